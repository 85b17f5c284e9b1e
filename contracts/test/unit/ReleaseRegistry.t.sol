// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {ReleaseRegistry} from "../../src/ReleaseRegistry.sol";
import {IGuardian} from "../../src/interfaces/IGuardian.sol";
import {IReleaseRegistry} from "../../src/interfaces/IReleaseRegistry.sol";
import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {Releasing} from "../utils/Releasing.sol";

/// @notice Benchmarks, votes for scores and credits: what a release is made from.
contract ReleaseRegistryTest is Releasing {
    // --- deployment ---------------------------------------------------------------------------------------------------

    function test_deployment() public view {
        assertEq(address(releases.roundManager()), address(rounds), "rounds");
        assertEq(address(releases.distributor()), address(distributor), "distributor");
        assertEq(address(releases.guardian()), address(guard), "guardian");
        assertEq(releases.timelock(), timelock, "timelock");
        assertEq(releases.maxRegression(), MAX_REGRESSION, "regression");
        assertEq(releases.count(), 0, "no release");
        assertEq(releases.latest(), 0, "no release");
        assertEq(releases.rolledTo(), 0, "no round");
        assertEq(releases.creditTotalAt(0), 0, "genesis earned nobody anything");
    }

    function test_deployment_RevertWhen_wiredElsewhere() public {
        IRoundManager other = IRoundManager(makeAddr("other"));
        vm.expectRevert(
            abi.encodeWithSelector(IReleaseRegistry.WiredElsewhere.selector, address(rounds), address(other))
        );
        new ReleaseRegistry(other, distributor, guard, timelock, 0);
        vm.expectRevert(abi.encodeWithSelector(IReleaseRegistry.WiredElsewhere.selector, timelock, address(other)));
        new ReleaseRegistry(rounds, distributor, guard, address(other), 0);
        vm.expectRevert(); // nobody there who could answer
        new ReleaseRegistry(rounds, distributor, IGuardian(address(other)), timelock, 0);
    }

    function test_I17_deployment_RevertWhen_outOfBounds() public {
        assertEq(
            new ReleaseRegistry(rounds, distributor, guard, timelock, 100_000).maxRegression(), 100_000, "the bound"
        );
        bytes32 name = "maxRegression";
        vm.expectRevert(
            abi.encodeWithSelector(IReleaseRegistry.ParameterOutOfBounds.selector, name, 100_001, 0, 100_000)
        );
        new ReleaseRegistry(rounds, distributor, guard, timelock, 100_001);
    }

    // --- benchmarks ---------------------------------------------------------------------------------------------------

    function test_benchmarks() public {
        bytes32 name = "third";
        vm.expectEmit(address(releases));
        emit IReleaseRegistry.BenchmarkAdded(name, "hash", "cid");
        vm.startPrank(timelock);
        releases.addBenchmark(name, "hash", "cid");
        assertEq(
            abi.encode(releases.benchmarkOf(name)),
            abi.encode(IReleaseRegistry.Standing.Active, bytes32("hash"), bytes32("cid")),
            "as given"
        );
        assertEq(releases.activeBenchmarks().length, 3, "three");
        vm.expectEmit(address(releases));
        emit IReleaseRegistry.BenchmarkRetired(FIRST_BENCHMARK);
        releases.retireBenchmark(FIRST_BENCHMARK);
        vm.stopPrank();
        assertEq(uint256(releases.benchmarkOf(FIRST_BENCHMARK).standing), 2, "retired");
        bytes32[] memory active = releases.activeBenchmarks();
        assertEq(active.length, 2, "two left");
        assertEq(active[0], name, "the last takes its place");
        assertEq(active[1], SECOND_BENCHMARK, "the other stays");
        assertEq(uint256(releases.benchmarkOf("unknown").standing), 0, "unknown");
    }

    function test_benchmarks_retireTheLast() public {
        _retireBenchmark(SECOND_BENCHMARK);
        _retireBenchmark(FIRST_BENCHMARK);
        assertEq(releases.activeBenchmarks().length, 0, "none");
    }

    function _wrongStanding(bytes32 name, IReleaseRegistry.Standing actual, IReleaseRegistry.Standing expected)
        private
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(IReleaseRegistry.WrongStanding.selector, name, actual, expected);
    }

    function test_benchmarks_RevertWhen_standingIsWrong() public {
        _retireBenchmark(FIRST_BENCHMARK);
        vm.startPrank(timelock);
        vm.expectRevert(
            _wrongStanding(SECOND_BENCHMARK, IReleaseRegistry.Standing.Active, IReleaseRegistry.Standing.Unknown)
        );
        releases.addBenchmark(SECOND_BENCHMARK, "hash", "cid");
        // a name means the same for ever
        vm.expectRevert(
            _wrongStanding(FIRST_BENCHMARK, IReleaseRegistry.Standing.Retired, IReleaseRegistry.Standing.Unknown)
        );
        releases.addBenchmark(FIRST_BENCHMARK, "hash", "cid");
        vm.expectRevert(
            _wrongStanding(FIRST_BENCHMARK, IReleaseRegistry.Standing.Retired, IReleaseRegistry.Standing.Active)
        );
        releases.retireBenchmark(FIRST_BENCHMARK);
        vm.expectRevert(_wrongStanding("new", IReleaseRegistry.Standing.Unknown, IReleaseRegistry.Standing.Active));
        releases.retireBenchmark("new");
        vm.stopPrank();
    }

    function test_benchmarks_RevertWhen_zero() public {
        vm.startPrank(timelock);
        vm.expectRevert(abi.encodeWithSelector(IReleaseRegistry.ZeroHash.selector, bytes32(0), bytes32("cid")));
        releases.addBenchmark("name", 0, "cid");
        vm.expectRevert(abi.encodeWithSelector(IReleaseRegistry.ZeroHash.selector, bytes32("hash"), bytes32(0)));
        releases.addBenchmark("name", "hash", 0);
        vm.expectRevert(abi.encodeWithSelector(IReleaseRegistry.ZeroHash.selector, bytes32(0), bytes32("cid")));
        releases.addBenchmark(0, "hash", "cid");
        vm.stopPrank();
    }

    function test_benchmarks_RevertWhen_tooMany() public {
        for (uint256 i = 2; i < 16; ++i) {
            _addBenchmark(bytes32(i));
        }
        vm.expectRevert(abi.encodeWithSelector(IReleaseRegistry.TooManyBenchmarks.selector, 16));
        vm.prank(timelock);
        releases.addBenchmark("one more", "hash", "cid");
        _retireBenchmark(bytes32(uint256(7)));
        _addBenchmark("one more");
        assertEq(releases.activeBenchmarks().length, 16, "sixteen again");
    }

    function test_timelock_RevertWhen_another() public {
        IReleaseRegistry.Candidate memory candidate = _ready();
        bytes memory refusal = abi.encodeWithSelector(IReleaseRegistry.NotTimelock.selector, address(this), timelock);
        vm.expectRevert(refusal);
        releases.addBenchmark("name", "hash", "cid");
        vm.expectRevert(refusal);
        releases.retireBenchmark(FIRST_BENCHMARK);
        vm.expectRevert(refusal);
        releases.publish(candidate);
        _publish(candidate);
        vm.expectRevert(refusal);
        releases.yank(1, "reason");
    }

    // --- votes for scores ---------------------------------------------------------------------------------------------

    function test_attestScores_countsVotes() public {
        uint256 round = _toFinalized(N);
        bytes32 scoresHash = releases.hashOf(round, _scores(1, 2));
        for (uint256 slot = 0; slot < N; ++slot) {
            vm.expectEmit(address(releases));
            emit IReleaseRegistry.ScoresAttested(
                round, uint8(slot), _attester(round, slot), scoresHash, uint8(slot + 1)
            );
            _attestScores(round, slot, scoresHash);
            (uint256 votes, uint256 needed) = releases.votesOf(round, scoresHash);
            assertEq(votes, slot + 1, "votes");
            assertEq(needed, 3, "more than two thirds of 4");
        }
        assertEq(releases.votersOf(round, scoresHash), 15, "bit per slot");
        (uint256 others,) = releases.votesOf(round, "other");
        assertEq(others, 0, "each hash by itself");
    }

    function test_attestScores_mayVoteForSeveral() public {
        uint256 round = _toFinalized(N);
        _attestScores(round, 1, "first");
        _attestScores(round, 1, "second");
        assertEq(releases.votersOf(round, "first"), 2, "stays");
        assertEq(releases.votersOf(round, "second"), 2, "counts too");
    }

    /// The quorum is of those who attested the model correctly.
    function test_attestScores_quorumIsOfTheCorrect() public {
        uint256 n = 6;
        _admitMany(n - N);
        uint256 round = _toAttest(n);
        for (uint256 slot = 0; slot < 5; ++slot) {
            _attest(round, slot);
        }
        address liar = _attester(round, 5);
        vm.prank(liar);
        rounds.attest(round, 5, "a lie");
        _propose(round);
        _expire(round);
        (, uint256 needed) = releases.votesOf(round, "any");
        assertEq(needed, 4, "more than two thirds of 5");
        vm.expectRevert(abi.encodeWithSelector(IReleaseRegistry.NotCorrect.selector, round, 5));
        vm.prank(liar);
        releases.attestScores(round, 5, "any");
    }

    function test_attestScores_RevertWhen_notFinalized() public {
        uint256 round = _toChallenge(N);
        address attester = _attester(round, 0);
        vm.expectRevert(
            abi.encodeWithSelector(IReleaseRegistry.NotFinalized.selector, round, IRoundManager.Phase.Challenge)
        );
        vm.prank(attester);
        releases.attestScores(round, 0, "any");
    }

    function test_attestScores_RevertWhen_another() public {
        uint256 round = _toFinalized(N);
        address attester = _attester(round, 0);
        address other = _attester(round, 1);
        vm.expectRevert(abi.encodeWithSelector(IReleaseRegistry.NotAttester.selector, other, attester));
        vm.prank(other);
        releases.attestScores(round, 0, "any");
    }

    function test_attestScores_RevertWhen_noSuchSlot() public {
        uint256 round = _toFinalized(N);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.NoSuchSlot.selector, N, N));
        releases.attestScores(round, uint8(N), "any");
        vm.expectPartialRevert(IRoundManager.SeedNotReady.selector); // genesis has no ring
        releases.attestScores(0, 0, "any");
    }

    function test_attestScores_RevertWhen_twice() public {
        uint256 round = _toFinalized(N);
        _attestScores(round, 2, "any");
        address attester = _attester(round, 2);
        vm.expectRevert(abi.encodeWithSelector(IReleaseRegistry.AlreadyAttested.selector, round, 2, bytes32("any")));
        vm.prank(attester);
        releases.attestScores(round, 2, "any");
    }

    /// Chain, contract, round, names and numbers: any other gives another hash.
    function testFuzz_hashOf_bindsEverything(uint256 round, uint32 first, uint32 second, uint8 which) public {
        IReleaseRegistry.Score[] memory scores = _scores(first, second);
        bytes32 base = releases.hashOf(round, scores);
        bytes32 other;
        which = which % 6;
        if (which == 0) other = releases.hashOf(round ^ 1, scores);
        if (which == 1) other = releases.hashOf(round, _scores(first ^ 1, second));
        if (which == 2) other = releases.hashOf(round, _scores(first, second ^ 1));
        if (which == 3) {
            scores[1].benchmark = "another";
            other = releases.hashOf(round, scores);
        }
        if (which == 4) {
            other = new ReleaseRegistry(rounds, distributor, guard, timelock, 0).hashOf(round, scores);
        }
        if (which == 5) {
            vm.chainId(99);
            other = releases.hashOf(round, scores);
        }
        assertTrue(base != other, "bound");
    }

    // --- credits ------------------------------------------------------------------------------------------------------

    function test_rollCredits_addsUpRounds() public {
        uint256 first = _toFinalized(N);
        uint256 voided = _toAttest(N);
        _expire(voided);
        uint256 third = _toFinalized(N);
        _claimAll(first);
        distributor.claimTreasury(first);
        _claimAll(third);
        (uint256 inFirst,) = distributor.creditsIn(first);
        (uint256 inThird,) = distributor.creditsIn(third);
        assertGt(inFirst, 0, "somebody earned");
        vm.expectEmit(address(releases));
        emit IReleaseRegistry.CreditsRolled(first, inFirst);
        vm.expectEmit(address(releases));
        emit IReleaseRegistry.CreditsRolled(voided, inFirst);
        releases.rollCredits(voided);
        vm.expectEmit(address(releases));
        emit IReleaseRegistry.CreditsRolled(third, inFirst + inThird);
        releases.rollCredits(third);
        assertEq(releases.creditTotalAt(first), inFirst, "first");
        assertEq(releases.creditTotalAt(voided), inFirst, "a voided round adds nothing");
        assertEq(releases.creditTotalAt(third), inFirst + inThird, "third");
        assertEq(releases.rolledTo(), third, "rolled to");
        _assertSharesAddUp(third);
    }

    /// The sum of all members' credits is the total, at every round.
    function _assertSharesAddUp(uint256 last) private view {
        for (uint256 round = 1; round <= last; ++round) {
            uint256 credits = 0;
            for (uint256 i = 0; i < members.length; ++i) {
                credits += distributor.creditAt(members[i], round);
            }
            assertEq(credits, releases.creditTotalAt(round), "shares add up to 1");
        }
    }

    function test_rollCredits_again() public {
        uint256 round = _rolledRound(N);
        uint256 total = releases.creditTotalAt(round);
        releases.rollCredits(round);
        releases.rollCredits(0);
        assertEq(releases.rolledTo(), round, "as before");
        assertEq(releases.creditTotalAt(round), total, "not twice");
    }

    function test_rollCredits_RevertWhen_claimsAreMissing() public {
        uint256 round = _toFinalized(N);
        for (uint16 index = 1; index < N; ++index) {
            distributor.claim(round, index);
        }
        vm.expectRevert(abi.encodeWithSelector(IReleaseRegistry.ClaimsMissing.selector, round));
        releases.rollCredits(round);
        distributor.claim(round, 0);
        releases.rollCredits(round);
    }

    function test_rollCredits_RevertWhen_notEnded() public {
        uint256 round = _rolledRound(N);
        vm.expectRevert(
            abi.encodeWithSelector(IReleaseRegistry.RoundNotEnded.selector, round + 1, IRoundManager.Phase.None)
        );
        releases.rollCredits(round + 1);
        _toChallenge(N);
        vm.expectRevert(
            abi.encodeWithSelector(IReleaseRegistry.RoundNotEnded.selector, round + 1, IRoundManager.Phase.Challenge)
        );
        releases.rollCredits(round + 1);
        vm.expectRevert(abi.encodeWithSelector(IReleaseRegistry.CreditsNotRolled.selector, round + 1, round));
        releases.creditTotalAt(round + 1);
    }
}
