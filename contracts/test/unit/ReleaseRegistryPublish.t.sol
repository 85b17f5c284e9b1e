// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IGuardian} from "../../src/interfaces/IGuardian.sol";
import {IReleaseRegistry} from "../../src/interfaces/IReleaseRegistry.sol";
import {IRewardDistributor} from "../../src/interfaces/IRewardDistributor.sol";
import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {Releasing} from "../utils/Releasing.sol";

/// @notice What a release must satisfy, and what yanking one does.
contract ReleaseRegistryPublishTest is Releasing {
    // --- publish ------------------------------------------------------------------------------------------------------

    function test_publish() public {
        IReleaseRegistry.Candidate memory candidate = _ready();
        vm.expectEmit(address(releases));
        emit IReleaseRegistry.ReleasePublished(1, candidate.round, candidate, releases.creditTotalAt(candidate.round));
        assertEq(_publish(candidate), 1, "counts from 1");
        assertEq(releases.latest(), 1, "latest");
        assertEq(releases.count(), 1, "count");
        IReleaseRegistry.Release memory r = releases.releaseOf(1);
        assertEq(r.parent, 0, "the first");
        assertEq(r.round, candidate.round, "round");
        assertEq(abi.encode(r.version), abi.encode(candidate.version), "version");
        assertEq(r.publishedAt, vm.getBlockTimestamp(), "time");
        assertFalse(r.isYanked, "stands");
        assertEq(r.modelHash, candidate.modelHash, "model");
        assertEq(r.cid, candidate.cid, "cid");
        assertEq(r.scoresHash, releases.hashOf(candidate.round, candidate.scores), "scores");
        assertEq(r.notesHash, keccak256("notes"), "notes");
        assertEq(r.notesCid, keccak256("notes cid"), "notes");
        assertEq(r.creditTotal, releases.creditTotalAt(candidate.round), "total");
        (bool exists, uint32 ppm) = releases.scoreOf(1, SECOND_BENCHMARK);
        assertTrue(exists, "measured");
        assertEq(ppm, 500_000, "score");
        (exists, ppm) = releases.scoreOf(1, "other");
        assertFalse(exists, "not measured");
        (uint256 round, uint256 total) = releases.ownershipOf(1);
        assertEq(round, candidate.round, "round");
        assertEq(total, r.creditTotal, "total");
    }

    function test_publish_onTheLatest() public {
        _publish(_ready());
        assertEq(_publish(_ready()), 2, "second");
        assertEq(releases.latest(), 2, "latest");
        assertEq(releases.releaseOf(2).parent, 1, "parent");
        assertEq(releases.releaseOf(2).before, 1, "before");
        assertEq(releases.releaseOf(1).next, 2, "next");
    }

    function test_publish_RevertWhen_paused() public {
        IReleaseRegistry.Candidate memory candidate = _ready();
        guard.set(IGuardian.Entry.Publish, true);
        _refuse(candidate, abi.encodeWithSelector(IReleaseRegistry.PublishPaused.selector));
        guard.set(IGuardian.Entry.Publish, false);
        for (uint8 entry = 0; entry < 3; ++entry) {
            guard.set(IGuardian.Entry(entry), true); // other entries do not matter
        }
        _publish(candidate);
    }

    function test_publish_RevertWhen_parentIsWrong() public {
        IReleaseRegistry.Candidate memory candidate = _ready();
        candidate.parent = 1;
        _refuse(candidate, abi.encodeWithSelector(IReleaseRegistry.NoSuchRelease.selector, 1, 0));
        candidate.parent = 0;
        _publish(candidate);
        candidate = _ready();
        candidate.parent = 0;
        _refuse(candidate, abi.encodeWithSelector(IReleaseRegistry.NotLatest.selector, 0, 1));
        candidate.parent = 1;
        _publish(candidate);
        candidate = _ready();
        candidate.parent = 1; // an older one, with lower scores perhaps
        _refuse(candidate, abi.encodeWithSelector(IReleaseRegistry.NotLatest.selector, 1, 2));
    }

    function test_publish_RevertWhen_parentIsYanked() public {
        _publish(_ready());
        _publish(_ready());
        IReleaseRegistry.Candidate memory candidate = _ready();
        vm.prank(timelock);
        releases.yank(2, "reason");
        _refuse(candidate, abi.encodeWithSelector(IReleaseRegistry.Yanked.selector, 2));
        candidate.parent = 1;
        _publish(candidate);
        assertEq(releases.latest(), 3, "on the one before");
    }

    function test_publish_RevertWhen_versionIsNotAbove() public {
        IReleaseRegistry.Candidate memory candidate = _ready();
        candidate.version = _version(0, 0, 0);
        _refuse(
            candidate,
            abi.encodeWithSelector(IReleaseRegistry.VersionNotAbove.selector, candidate.version, _version(0, 0, 0))
        );
        candidate.version = _version(1, 2, 3);
        _publish(candidate);
        candidate = _ready();
        IReleaseRegistry.Version[4] memory given =
            [_version(1, 2, 3), _version(1, 2, 2), _version(1, 1, 9), _version(0, 9, 9)];
        for (uint256 i = 0; i < 4; ++i) {
            candidate.version = given[i];
            _refuse(
                candidate,
                abi.encodeWithSelector(IReleaseRegistry.VersionNotAbove.selector, given[i], _version(1, 2, 3))
            );
        }
        uint256 state = vm.snapshotState();
        given = [_version(1, 2, 4), _version(1, 3, 0), _version(2, 0, 0), _version(65_535, 65_535, 65_535)];
        for (uint256 i = 0; i < 4; ++i) {
            candidate.version = given[i];
            _publish(candidate);
            vm.revertToState(state);
        }
    }

    /// The number of a yanked release is not used again.
    function test_publish_RevertWhen_versionWasYanked() public {
        IReleaseRegistry.Candidate memory candidate = _ready();
        candidate.version = _version(3, 0, 0);
        _publish(candidate);
        vm.prank(timelock);
        releases.yank(1, "reason");
        candidate = _ready();
        candidate.version = _version(3, 0, 0);
        _refuse(
            candidate,
            abi.encodeWithSelector(IReleaseRegistry.VersionNotAbove.selector, _version(3, 0, 0), _version(3, 0, 0))
        );
    }

    function test_publish_RevertWhen_roundIsNotLater() public {
        IReleaseRegistry.Candidate memory candidate = _ready();
        _publish(candidate);
        candidate.parent = 1;
        candidate.version = _version(2, 0, 0);
        _refuse(
            candidate, abi.encodeWithSelector(IReleaseRegistry.RoundNotLater.selector, candidate.round, candidate.round)
        );
        vm.prank(timelock);
        releases.yank(1, "reason");
        candidate.parent = 0;
        _publish(candidate); // the first again: its round may be any
    }

    function test_publish_RevertWhen_genesis() public {
        _ready();
        IReleaseRegistry.Candidate memory candidate = _candidate(0, _scores(1, 1));
        (candidate.modelHash, candidate.cid) = (GENESIS_MODEL, GENESIS_CID);
        _refuse(candidate, abi.encodeWithSelector(IReleaseRegistry.RoundNotLater.selector, 0, 0));
    }

    function test_publish_RevertWhen_roundIsNotFinalized() public {
        uint256 round = _toChallenge(N);
        IReleaseRegistry.Candidate memory candidate = _candidate(round, _scores(1, 1));
        _refuse(
            candidate,
            abi.encodeWithSelector(IReleaseRegistry.NotFinalized.selector, round, IRoundManager.Phase.Challenge)
        );
        candidate.round = round + 1;
        _refuse(
            candidate,
            abi.encodeWithSelector(IReleaseRegistry.NotFinalized.selector, round + 1, IRoundManager.Phase.None)
        );
    }

    function test_publish_RevertWhen_modelIsAnother() public {
        IReleaseRegistry.Candidate memory candidate = _ready();
        (bytes32 modelHash, bytes32 cid) = (candidate.modelHash, candidate.cid);
        candidate.modelHash = "forged";
        _refuse(
            candidate,
            abi.encodeWithSelector(IReleaseRegistry.NotTheRoundsModel.selector, bytes32("forged"), cid, modelHash, cid)
        );
        (candidate.modelHash, candidate.cid) = (modelHash, "forged");
        _refuse(
            candidate,
            abi.encodeWithSelector(
                IReleaseRegistry.NotTheRoundsModel.selector, modelHash, bytes32("forged"), modelHash, cid
            )
        );
    }

    function test_publish_RevertWhen_tooFewVotes() public {
        uint256 round = _rolledRound(N);
        IReleaseRegistry.Score[] memory scores = _scores(1, 1);
        _attestScores(round, scores, 2);
        IReleaseRegistry.Candidate memory candidate = _candidate(round, scores);
        bytes32 scoresHash = releases.hashOf(round, scores);
        _refuse(candidate, abi.encodeWithSelector(IReleaseRegistry.ScoresNotAttested.selector, scoresHash, 2, 3));
        _attestScores(round, 2, scoresHash);
        _publish(candidate);
    }

    function test_publish_RevertWhen_creditsAreNotRolled() public {
        _rolledRound(N);
        uint256 round = _toFinalized(N);
        IReleaseRegistry.Score[] memory scores = _scores(1, 1);
        _attestScores(round, scores, 3);
        IReleaseRegistry.Candidate memory candidate = _candidate(round, scores);
        _refuse(candidate, abi.encodeWithSelector(IReleaseRegistry.CreditsNotRolled.selector, round, round - 1));
        _claimAll(round);
        releases.rollCredits(round);
        _publish(candidate);
    }

    function test_publish_RevertWhen_nobodyEarned() public {
        IReleaseRegistry.Candidate memory candidate = _candidate(_toFinalized(N), _scores(1, 1));
        _attestScores(candidate.round, candidate.scores, 3);
        // All pay rounds to nothing, as after some 70 halvings.
        vm.mockCall(
            address(distributor),
            abi.encodeCall(IRewardDistributor.creditsIn, (candidate.round)),
            abi.encode(uint256(0), true)
        );
        releases.rollCredits(candidate.round);
        _refuse(candidate, abi.encodeWithSelector(IReleaseRegistry.NoCredits.selector, candidate.round));
    }

    function test_publish_RevertWhen_notesAreZero() public {
        IReleaseRegistry.Candidate memory candidate = _ready();
        candidate.notesHash = 0;
        _refuse(candidate, abi.encodeWithSelector(IReleaseRegistry.ZeroHash.selector, bytes32(0), candidate.notesCid));
        (candidate.notesHash, candidate.notesCid) = ("notes", 0);
        _refuse(candidate, abi.encodeWithSelector(IReleaseRegistry.ZeroHash.selector, bytes32("notes"), bytes32(0)));
    }

    // --- scores of a release ------------------------------------------------------------------------------------------

    function _attested(IReleaseRegistry.Score[] memory scores) private returns (IReleaseRegistry.Candidate memory) {
        uint256 round = _rolledRound(N);
        _attestScores(round, scores, 3);
        return _candidate(round, scores);
    }

    function test_scores_RevertWhen_oneIsMissing() public {
        IReleaseRegistry.Score[] memory scores = new IReleaseRegistry.Score[](1);
        scores[0] = _score(FIRST_BENCHMARK, 1);
        IReleaseRegistry.Candidate memory candidate = _attested(scores);
        _refuse(candidate, abi.encodeWithSelector(IReleaseRegistry.MissingScore.selector, SECOND_BENCHMARK));
        _retireBenchmark(SECOND_BENCHMARK);
        _publish(candidate);
    }

    function test_scores_RevertWhen_nothingIsMeasured() public {
        IReleaseRegistry.Candidate memory candidate = _attested(new IReleaseRegistry.Score[](0));
        _retireBenchmark(FIRST_BENCHMARK);
        _retireBenchmark(SECOND_BENCHMARK);
        _refuse(candidate, abi.encodeWithSelector(IReleaseRegistry.NoActiveBenchmark.selector));
    }

    function test_scores_RevertWhen_notAscending() public {
        IReleaseRegistry.Score[] memory scores = _scores(1, 1);
        (scores[0], scores[1]) = (scores[1], scores[0]);
        _refuse(
            _attested(scores),
            abi.encodeWithSelector(IReleaseRegistry.ScoresNotAscending.selector, FIRST_BENCHMARK, SECOND_BENCHMARK)
        );
        scores[1] = scores[0]; // the same name twice
        _refuse(
            _attested(scores),
            abi.encodeWithSelector(IReleaseRegistry.ScoresNotAscending.selector, SECOND_BENCHMARK, SECOND_BENCHMARK)
        );
        scores[0].benchmark = 0;
        _refuse(
            _attested(scores),
            abi.encodeWithSelector(IReleaseRegistry.ScoresNotAscending.selector, bytes32(0), bytes32(0))
        );
    }

    function test_scores_RevertWhen_aboveOne() public {
        _refuse(
            _attested(_scores(1, 1_000_001)),
            abi.encodeWithSelector(IReleaseRegistry.ScoreOutOfBounds.selector, SECOND_BENCHMARK, 1_000_001, 1_000_000)
        );
        _publish(_attested(_scores(0, 1_000_000)));
        (bool exists, uint32 ppm) = releases.scoreOf(1, FIRST_BENCHMARK);
        assertTrue(exists && ppm == 0, "0 is a score");
    }

    function test_scores_RevertWhen_tooMany() public {
        IReleaseRegistry.Score[] memory scores = new IReleaseRegistry.Score[](33);
        for (uint256 i = 0; i < 33; ++i) {
            scores[i] = _score(bytes32(i + 1), 1);
        }
        _refuse(_attested(scores), abi.encodeWithSelector(IReleaseRegistry.TooManyScores.selector, 33, 32));
        IReleaseRegistry.Score[] memory fewer = new IReleaseRegistry.Score[](32);
        for (uint256 i = 0; i < 30; ++i) {
            fewer[i] = scores[i];
        }
        (fewer[30], fewer[31]) = (_score(FIRST_BENCHMARK, 1), _score(SECOND_BENCHMARK, 1));
        _publish(_attested(fewer));
    }

    function test_scores_RevertWhen_regressed() public {
        _publish(_ready(500_000, 3000));
        _refuse(
            _ready(494_999, 3000),
            abi.encodeWithSelector(IReleaseRegistry.Regressed.selector, FIRST_BENCHMARK, 494_999, 495_000)
        );
        _publish(_ready(495_000, 0)); // exactly as far as may be; 0 where less may be lost than there is
    }

    /// What the parent was not measured by cannot regress, but counts from then on.
    function test_scores_newBenchmark() public {
        _publish(_ready());
        _addBenchmark("zz");
        IReleaseRegistry.Score[] memory scores = new IReleaseRegistry.Score[](3);
        (scores[0], scores[1]) = (_scores(500_000, 500_000)[0], _scores(500_000, 500_000)[1]);
        scores[2] = _score("zz", 100_000);
        _publish(_attested(scores));
        scores[2].ppm = 94_999;
        _refuse(
            _attested(scores),
            abi.encodeWithSelector(IReleaseRegistry.Regressed.selector, bytes32("zz"), 94_999, 95_000)
        );
    }

    /// A retired benchmark may fall, and its score is kept all the same.
    function test_scores_retiredBenchmark() public {
        _publish(_ready());
        IReleaseRegistry.Candidate memory candidate = _ready(0, 500_000);
        _retireBenchmark(FIRST_BENCHMARK);
        _publish(candidate);
        (bool exists, uint32 ppm) = releases.scoreOf(2, FIRST_BENCHMARK);
        assertTrue(exists && ppm == 0, "kept");
    }

    /// I15: two benchmarks, any scores: published exactly where neither falls too far.
    function testFuzz_I15_regressionGate(uint256 first, uint256 second, uint256 nextFirst, uint256 nextSecond) public {
        first = bound(first, 0, 1_000_000);
        second = bound(second, 0, 1_000_000);
        nextFirst = _near(first, nextFirst);
        nextSecond = _near(second, nextSecond);
        _publish(_ready(first, second));
        IReleaseRegistry.Candidate memory candidate = _ready(nextFirst, nextSecond);
        bool isGood = nextFirst + MAX_REGRESSION >= first && nextSecond + MAX_REGRESSION >= second;
        if (!isGood) vm.expectPartialRevert(IReleaseRegistry.Regressed.selector);
        vm.prank(timelock);
        releases.publish(candidate);
        assertEq(releases.count(), isGood ? 2 : 1, "published");
    }

    function _near(uint256 score, uint256 draw) private pure returns (uint256) {
        uint256 least = score > 2 * MAX_REGRESSION ? score - 2 * MAX_REGRESSION : 0;
        return bound(draw, least, score);
    }

    // --- yank ---------------------------------------------------------------------------------------------------------

    function test_yank_latestSkips() public {
        for (uint256 i = 0; i < 4; ++i) {
            _publish(_ready());
        }
        vm.startPrank(timelock);
        vm.expectEmit(address(releases));
        emit IReleaseRegistry.ReleaseYanked(2, "reason");
        releases.yank(2, "reason");
        assertEq(releases.latest(), 4, "one in the middle");
        releases.yank(3, "reason");
        releases.yank(4, "reason");
        assertEq(releases.latest(), 1, "over all that are yanked");
        releases.yank(1, "reason");
        assertEq(releases.latest(), 0, "none left");
        vm.stopPrank();
        assertEq(releases.count(), 4, "all stay listed");
        IReleaseRegistry.Release memory r = releases.releaseOf(2);
        assertTrue(r.isYanked, "and say so");
        assertEq(r.parent, 1, "and stay readable");
        (, uint256 total) = releases.ownershipOf(2);
        assertEq(total, r.creditTotal, "and owned");
        assertEq(_publish(_ready()), 5, "a new beginning");
        assertEq(releases.releaseOf(5).parent, 0, "without a parent");
    }

    /// latest() is the highest release that is not yanked, in every order of yanking.
    function testFuzz_yank_anyOrder(uint256 order) public {
        for (uint256 i = 0; i < 5; ++i) {
            _publish(_ready());
        }
        for (uint256 step = 0; step < 5; ++step) {
            uint256 pick = order % (5 - step);
            order /= 5;
            for (uint32 release = 1; release <= 5; ++release) {
                if (releases.releaseOf(release).isYanked) continue;
                if (pick == 0) {
                    vm.prank(timelock);
                    releases.yank(release, "reason");
                    break;
                }
                --pick;
            }
            uint256 highest = 5;
            while (highest > 0 && releases.releaseOf(highest).isYanked) --highest;
            assertEq(releases.latest(), highest, "latest");
        }
    }

    function test_yank_RevertWhen_thereIsNone() public {
        _publish(_ready());
        vm.startPrank(timelock);
        vm.expectRevert(abi.encodeWithSelector(IReleaseRegistry.NoSuchRelease.selector, 0, 1));
        releases.yank(0, "reason");
        vm.expectRevert(abi.encodeWithSelector(IReleaseRegistry.NoSuchRelease.selector, 2, 1));
        releases.yank(2, "reason");
        releases.yank(1, "reason");
        vm.expectRevert(abi.encodeWithSelector(IReleaseRegistry.Yanked.selector, 1));
        releases.yank(1, "reason");
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(IReleaseRegistry.NoSuchRelease.selector, 2, 1));
        releases.releaseOf(2);
        vm.expectRevert(abi.encodeWithSelector(IReleaseRegistry.NoSuchRelease.selector, 0, 1));
        releases.ownershipOf(0);
    }
}
