// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IMemberRegistry} from "../src/interfaces/IMemberRegistry.sol";
import {IRoundCourt} from "../src/interfaces/IRoundCourt.sol";
import {IRoundManager} from "../src/interfaces/IRoundManager.sol";
import {CommitHash} from "../src/libraries/CommitHash.sol";
import {Liars} from "./utils/Liars.sol";

/// @notice One test for each threat of the design that the contracts answer. Others stand elsewhere: colluding panel and
/// quorum of the assigned in `properties/Tally.t.sol`, unbounded loop in `Gas.t.sol`, rounding and donation in
/// `invariant/`, signature replay in `unit/ContributionToken.t.sol`. There is no reentrancy to try: the contracts call
/// one another and an ERC-20 without callbacks, nobody else.
contract ThreatsTest is Liars {
    uint256 private constant N = 8;
    address private disputer = makeAddr("disputer");

    function setUp() public {
        _deploy(_defaults());
        _admitMany(N);
    }

    // --- commitments --------------------------------------------------------------------------------------------------

    /// copied commit: B commits what A committed and, once A has revealed, replays A's opening.
    function testFuzz_threat_copiedCommit(uint256 a, uint256 b) public {
        a = bound(a, 0, N - 1);
        b = bound(b, 0, N - 1);
        if (a == b) b = (a + 1) % N;
        uint256 round = _open();
        bytes32 commitment = _updateCommitment(round, members[a]);
        _commit(round, members[a]);
        vm.prank(members[b]);
        rounds.commitUpdate(round, commitment);
        _expire2(round);
        _reveal(round, members[a]);
        Opening memory o = _opening(round, members[a]);
        vm.expectPartialRevert(IRoundManager.CommitmentMismatch.selector);
        vm.prank(members[b]);
        rounds.revealUpdate(round, o.contentHash, o.cid, o.samples, o.salt);
    }

    /// Three commits are the minimum: one honest member more, then time.
    function _expire2(uint256 round) private {
        for (uint256 i = 0; i < N; ++i) {
            (IRoundManager.Entry entry,,,) = rounds.trainerOf(round, members[i]);
            if (entry == IRoundManager.Entry.None) {
                _commit(round, members[i]);
                break;
            }
        }
        _expire(round);
    }

    /// copied scores: the same for score words.
    function test_threat_copiedScores() public {
        uint256 round = _toScoreCommit(N);
        uint256 word = _word(round, 0);
        bytes32 salt = _scoreSalt(round, 0);
        bytes32 commitment = CommitHash.scores(block.chainid, address(rounds), round, members[0], word, salt);
        _commitScores(round, 0, word);
        vm.prank(members[1]);
        rounds.commitScores(round, 1, commitment);
        _expire(round);
        _revealScores(round, 0, word);
        vm.expectPartialRevert(IRoundManager.CommitmentMismatch.selector);
        vm.prank(members[1]);
        rounds.revealScores(round, 1, word, salt);
    }

    /// A commitment of one round, contract or chain opens in no other.
    function test_threat_replayAcrossRoundsContractsAndChains() public view {
        Opening memory o = _opening(1, members[0]);
        bytes32 here = _updateCommitment(1, members[0]);
        address other = address(registry);
        bytes32[3] memory elsewhere = [
            CommitHash.update(block.chainid, address(rounds), 2, members[0], o.contentHash, o.cid, o.samples, o.salt),
            CommitHash.update(block.chainid, other, 1, members[0], o.contentHash, o.cid, o.samples, o.salt),
            CommitHash.update(1, address(rounds), 1, members[0], o.contentHash, o.cid, o.samples, o.salt)
        ];
        for (uint256 i = 0; i < 3; ++i) {
            assertTrue(here != elsewhere[i], "bound");
        }
    }

    /// many commits, reveal the best: one per member and round.
    function test_threat_manyCommits() public {
        uint256 round = _open();
        _commit(round, members[0]);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundManager.WrongEntry.selector, members[0], IRoundManager.Entry.Committed, IRoundManager.Entry.None
            )
        );
        vm.prank(members[0]);
        rounds.commitUpdate(round, keccak256("a better one"));
    }

    // --- the ring -----------------------------------------------------------------------------------------------------

    /// last revealer picks the seed: whoever draws, whenever within 256 blocks, the ring is the same, and its block did
    /// not exist when the last update was revealed.
    function testFuzz_threat_nobodyPicksTheSeed(address caller, uint256 wait) public {
        wait = bound(wait, 1, 256);
        uint256 lastReveal = block.number;
        uint256 round = _toSeed(N);
        uint256 seedBlock = rounds.roundOf(round).seedBlock;
        assertGt(seedBlock, lastReveal, "not yet mined at the last reveal");
        bytes32 blockHash = keccak256("unknown to all until then");
        vm.roll(seedBlock + wait);
        vm.setBlockhash(seedBlock, blockHash);
        vm.prank(caller);
        rounds.advance(round);
        assertEq(
            rounds.roundOf(round).seed,
            keccak256(abi.encode(blockHash, round, address(rounds))),
            "the pinned block alone decides"
        );
    }

    /// early advance: nobody can cut a phase short to shut others out.
    function test_threat_earlyAdvance() public {
        uint256 round = _open();
        for (uint256 i = 0; i < N - 1; ++i) {
            _commit(round, members[i]);
        }
        (, uint40 deadline) = rounds.phaseOf(round);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.TooEarly.selector, deadline, block.timestamp));
        rounds.advance(round);
        _commit(round, members[N - 1]); // the last one still may
    }

    /// starving a rival: four of its seven verifiers stay away; the second panel scores it, and the absentees pay.
    function test_threat_starvingARival() public {
        _admitMany(24 - N);
        uint256 round = _toScoreCommit(24);
        for (uint256 index = 0; index < 24; ++index) {
            if (!_isAmongFirst4(round, index)) _commitScores(round, index, _word(round, index));
        }
        _expire(round);
        for (uint256 index = 0; index < 24; ++index) {
            if (!_isAmongFirst4(round, index)) _revealScores(round, index, _word(round, index));
        }
        rounds.advance(round);
        _settleAll(round, 24);
        _assertVerdict(round, 0, IRoundManager.UpdateStatus.Unscored, "3 of 7 are no quorum");
        rounds.advance(round);
        _toRetrySettle(round);
        _settleAll(round, 24);
        _assertVerdict(round, 0, IRoundManager.UpdateStatus.Accepted, "the rival is scored all the same");
        for (uint16 index = 0; index < 24; ++index) {
            if (!_isAmongFirst4(round, index)) continue;
            court.slashAbsentVerifier(round, index, false);
            assertEq(registry.stakeOf(members[index]), 99e18, "absentees pay");
        }
    }

    function _isAmongFirst4(uint256 round, uint256 index) private view returns (bool) {
        uint256 before = (rounds.positionOf(round, 0) + 24 - rounds.positionOf(round, index)) % 24;
        return before >= 1 && before <= 4;
    }

    /// colluding panel: five of seven accept poison; a jury of others overturns them, and they lose everything.
    function test_threat_colludingPanel() public {
        uint256 round = _toChallengeWithPoison();
        uint256 id = _disputeScore(disputer, round, 0);
        _judge(id);
        _assertPhase(round, IRoundManager.Phase.Voided, "a poisoned model is none");
        for (uint8 j = 0; j < 5; ++j) {
            address liar = _verifier(round, 0, j, false);
            court.slashField(id, j);
            assertEq(registry.stakeOf(liar), 0, "everything");
            _assertStatus(liar, IMemberRegistry.Status.Banned, "and for good");
        }
    }

    function _toChallengeWithPoison() private returns (uint256 round) {
        _admitMany(24 - N);
        _fieldOf[0] = GAIN_OFFSET - 5000;
        _lie(0, GAIN_OFFSET + 5000, 5);
        round = _toChallenge(24);
        _assertVerdict(round, 0, IRoundManager.UpdateStatus.Accepted, "captured");
    }

    /// lying jury: a minority of the jurors, whatever it says, changes nothing.
    /// forge-config: default.fuzz.runs = 16
    function testFuzz_threat_lyingJuryMinority(uint256 ballot) public {
        ballot = bound(ballot, 16, (1 << 20) - 1);
        uint256 round = _toChallengeWithPoison();
        uint256 id = _disputeScore(disputer, round, 0);
        _drawJury(id);
        uint256 bought = 0;
        for (uint256 place = 0; place < 24 && bought < 7; ++place) {
            address juror = _juror(id, place);
            if (juror == address(0)) continue;
            _bought[juror] = ballot;
            ++bought;
        }
        _vote(id);
        court.resolve(id);
        _assertVerdict(round, 0, IRoundManager.UpdateStatus.Harmful, "nine honest of sixteen decide");
    }

    /// dispute without cause: an honest verdict stands, and the bond is gone.
    function test_threat_frivolousDispute() public {
        uint256 round = _toChallenge(N);
        uint256 id = _disputeScore(disputer, round, 0);
        _judge(id);
        assertEq(token.balanceOf(disputer), 0, "the bond is gone");
        _expire(round);
        _assertPhase(round, IRoundManager.Phase.Finalized, "and the round goes on");
    }

    /// bond too small: no dispute.
    function test_threat_bondTooSmall() public {
        uint256 round = _toChallenge(N);
        _give(disputer, DISPUTE_BOND);
        vm.startPrank(disputer);
        token.approve(address(court), DISPUTE_BOND - 1);
        vm.expectRevert();
        court.disputeScore(round, 0);
        vm.stopPrank();
        assertEq(court.disputeCount(), 0, "none");
    }

    /// dispute spam: four scores a round; the aggregate can be disputed all the same; and each is in time only until the
    /// Challenge's own end, so all of them together prolong a round by one dispute.
    function test_threat_disputeSpam() public {
        uint256 round = _toChallenge(N);
        (, uint40 challengeEnd) = rounds.phaseOf(round);
        for (uint256 index = 0; index < 3; ++index) {
            _disputeScore(disputer, round, index);
        }
        vm.warp(challengeEnd);
        _disputeScore(disputer, round, 3);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.TooManyDisputes.selector, round, 4));
        court.disputeScore(round, 4);
        uint256 id = _disputeAggregate(disputer, round);
        (uint256 end, uint256 scores, uint256 aggregate) = court.disputesOf(round);
        assertEq(end, challengeEnd, "the Challenge's own end");
        assertEq(scores, 4, "scores");
        assertEq(aggregate, id, "aggregate");
        (, uint40 deadline) = rounds.phaseOf(round);
        assertEq(deadline, uint256(challengeEnd) + 100 minutes, "prolonged by one dispute");
        vm.warp(uint256(challengeEnd) + 1);
        vm.expectRevert(
            abi.encodeWithSelector(IRoundCourt.DisputeTooLate.selector, challengeEnd, uint256(challengeEnd) + 1)
        );
        court.disputeScore(round, 5);
        vm.expectRevert(
            abi.encodeWithSelector(IRoundCourt.DisputeTooLate.selector, challengeEnd, uint256(challengeEnd) + 1)
        );
        court.disputeAggregate(round);
    }

    /// unresolved dispute: it lapses, the round ends, the bond burns.
    function test_threat_unresolvedDispute() public {
        uint256 round = _toChallenge(N);
        uint256 id = _disputeScore(disputer, round, 0);
        _expire(round);
        _assertPhase(round, IRoundManager.Phase.Finalized, "nobody can hold it");
        court.resolve(id);
        assertEq(uint256(court.disputeOf(id).outcome), uint256(IRoundCourt.Outcome.Lapsed), "lapsed");
        assertEq(token.balanceOf(address(court)), 0, "burned");
    }

    /// ballot replay: another juror's commitment, or the same of another dispute, opens nothing.
    function test_threat_ballotReplay() public {
        _admitMany(24 - N);
        uint256 round = _toChallenge(24);
        uint256 id = _disputeScore(disputer, round, 0);
        _drawJury(id);
        (uint256 first, uint256 second) = _twoSeats(id);
        address juror = court.jurorAt(id, first);
        bytes32 salt = _ballotSalt(id, first);
        bytes32 copied = CommitHash.ballot(block.chainid, address(court), id, juror, 20_000, salt);
        _commitBallot(id, first, 20_000);
        address copier = court.jurorAt(id, second);
        vm.prank(copier);
        court.commitBallot(id, uint8(second), copied);
        vm.warp(uint256(court.disputeOf(id).commitEnd) + 1);
        _revealBallot(id, first, 20_000);
        vm.expectPartialRevert(IRoundCourt.CommitmentMismatch.selector);
        vm.prank(copier);
        court.revealBallot(id, uint8(second), 20_000, salt);
        assertTrue(
            copied != CommitHash.ballot(block.chainid, address(court), id + 1, juror, 20_000, salt), "of this dispute"
        );
    }

    function _twoSeats(uint256 id) private view returns (uint256 first, uint256 second) {
        while (_juror(id, first) == address(0)) ++first;
        second = first + 1;
        while (_juror(id, second) == address(0)) ++second;
    }

    /// nobody picks the jury: whoever draws, whenever within 256 blocks, it is the same, and its block did not exist when the
    /// dispute was opened.
    function testFuzz_threat_nobodyPicksTheJury(address caller, uint256 wait) public {
        wait = bound(wait, 1, 256);
        uint256 id = _disputeScore(disputer, _toChallenge(N), 0);
        uint256 seedBlock = court.disputeOf(id).seedBlock;
        assertGt(seedBlock, block.number, "not yet mined");
        vm.roll(seedBlock + wait);
        bytes32 blockHash = keccak256("unknown to all until then");
        vm.setBlockhash(seedBlock, blockHash);
        vm.prank(caller);
        court.drawJury(id);
        assertEq(
            court.disputeOf(id).key,
            keccak256(abi.encode(blockHash, id, address(court))),
            "the pinned block alone decides"
        );
    }

    /// withheld from the panel, served to the jury: availability is past and cannot be disputed.
    function test_threat_withholdingFromThePanel() public {
        _lie(0, 1, 7);
        uint256 round = _toChallenge(N);
        _assertVerdict(round, 0, IRoundManager.UpdateStatus.Unavailable, "as the panel saw it");
        vm.expectRevert(
            abi.encodeWithSelector(IRoundCourt.NothingToDispute.selector, 0, IRoundManager.UpdateStatus.Unavailable)
        );
        court.disputeScore(round, 0);
    }

    /// verdict without appeal: a panel that can also starve the quorum slashes nobody by its verdict.
    function test_threat_verdictWithoutAppeal() public {
        _lie(0, 2, 7);
        uint256 round = _toAttest(N);
        _expire(round);
        vm.expectPartialRevert(IRoundCourt.FaultNotProvable.selector);
        court.slashVerdict(round, 0);
    }

    /// silent steward: the round loses its seal, and the steward 5 % of what it has.
    function test_threat_silentSteward() public {
        _admit(seats[1]);
        skip(1);
        uint256 round = _toReveal(N);
        for (uint256 i = 0; i < N; ++i) {
            _reveal(round, members[i]);
        }
        _expire(round);
        court.slashUnrevealedSlice(round);
        assertEq(registry.stakeOf(seats[1]), 95e18, "slashed");
        _drawSeed(round);
        assertFalse(rounds.earningsOf(round, 0).isSealed, "unsealed");
    }

    /// absent attester: who leaves a round without a quorum pays for it.
    function test_threat_absentAttester() public {
        uint256 round = _toAttest(N);
        for (uint256 slot = 0; slot < 5; ++slot) {
            _attest(round, slot);
        }
        _expire(round);
        for (uint8 slot = 5; slot < N; ++slot) {
            court.slashAbsentAttester(round, slot);
            assertEq(registry.stakeOf(_attester(round, slot)), 99e18, "slashed");
        }
    }

    /// unavailable update: a majority of sentinels rejects it, so no weight can be had for bytes that nobody can read.
    function test_threat_unavailableUpdate() public {
        _fieldOf[0] = 1;
        uint256 round = _toFinalized(N);
        (IRoundManager.UpdateStatus status,, uint32 weight,,) = rounds.resultOf(round, 0);
        assertEq(uint256(status), uint256(IRoundManager.UpdateStatus.Unavailable), "status");
        court.slashVerdict(round, 0);
        assertEq(registry.stakeOf(members[0]), 98e18, "2 %");
        assertEq(weight, 0, "weight");
    }

    // --- the aggregate ------------------------------------------------------------------------------------------------

    /// quorum by arrivals: all three that turn up agree, and that is not enough.
    function test_threat_quorumByArrivals() public {
        uint256 round = _toAttest(N);
        for (uint256 slot = 0; slot < 3; ++slot) {
            _attest(round, slot);
        }
        (bytes32 modelHash, bytes32 cid) = _model(round);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.NoQuorum.selector, 3, 6));
        rounds.proposeAggregate(round, SECRET, modelHash, cid);
    }

    /// attestation copying: the copy does not count, is not paid, and is slashed.
    function test_threat_attestationCopying() public {
        uint256 round = _toAttest(N);
        for (uint256 slot = 0; slot < 6; ++slot) {
            _attest(round, slot);
        }
        (, bytes32 original,) = rounds.attestationOf(round, 0);
        address copier = _attester(round, 7);
        vm.prank(copier);
        rounds.attest(round, 7, original);
        _propose(round);
        (,, bool isCorrect) = rounds.attestationOf(round, 7);
        assertFalse(isCorrect, "does not count");
        _expire(round);
        court.slashWrongAttestation(round, 7);
        assertEq(registry.stakeOf(copier), 75e18, "slashed");
        assertFalse(rounds.earningsOf(round, rounds.indexAt(round, 7)).isCorrectAttester, "not paid");
    }

    // --- money --------------------------------------------------------------------------------------------------------

    /// A self-dealer alone in an empty round: its own three identities, one update at the cap, all scores its own.
    function test_threat_selfDealerInAnEmptyRound() public {
        _fieldOf[0] = GAIN_OFFSET + 524_287; // the largest gain that can be said
        _fieldOf[1] = GAIN_OFFSET;
        _fieldOf[2] = GAIN_OFFSET;
        uint256 round = _toFinalized(3);
        distributor.claim(round, 0);
        uint256 pool = INITIAL_EMISSION * 70 / 100;
        uint256 others = INITIAL_EMISSION * 20 / 100 / (3 * 2) * 2 + INITIAL_EMISSION * 5 / 100 / 3;
        assertLe((token.balanceOf(members[0]) - others) * 100, pool * 2, "at most 2 % of the trainers' pool");
    }

    /// forfeiture: a trainer of a malformed update loses its pay as verifier and attester as well.
    function test_threat_forfeiture() public {
        _fieldOf[2] = 2;
        uint256 round = _toFinalized(N);
        assertEq(rounds.earningsOf(round, 2).correct, 7, "did its other work");
        assertEq(distributor.claim(round, 2), 0, "and is not paid for it");
    }

    /// Late acts: nothing of a phase works after its deadline, even if nobody advanced.
    function test_threat_lateActs() public {
        uint256 round = _toAttest(N);
        (bytes32 modelHash, bytes32 cid) = _model(round);
        for (uint256 slot = 0; slot < N; ++slot) {
            _attest(round, slot);
        }
        (, uint40 deadline) = rounds.phaseOf(round);
        vm.warp(uint256(deadline) + 1);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.DeadlinePassed.selector, deadline, block.timestamp));
        rounds.proposeAggregate(round, SECRET, modelHash, cid);
    }
}
