// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IMemberRegistry} from "../../src/interfaces/IMemberRegistry.sol";
import {IRoundCourt} from "../../src/interfaces/IRoundCourt.sol";
import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {CommitHash} from "../../src/libraries/CommitHash.sol";
import {RingShuffle} from "../../src/libraries/RingShuffle.sol";
import {Liars} from "../utils/Liars.sol";

/// @notice A dispute from its bond to its end: who may, until when, what a jury decides, and what that costs whom.
contract CourtDisputesTest is Liars {
    /// k = 7; of 24 places 8 are excluded for a score: 16 jurors, of whom 9 decide.
    uint256 private constant N = 24;
    uint256 private constant JURORS = 16;
    uint256 private constant VICTIM = 4;
    uint256 private constant HARM = GAIN_OFFSET - 5000;
    uint256 private constant GOOD = GAIN_OFFSET + 5000;
    address private disputer = makeAddr("disputer");

    function setUp() public {
        _deploy(_defaults());
        _admitMany(N);
    }

    /// A poisoned update that five of its seven verifiers called good.
    function _toChallengeWithPoison() private returns (uint256 round) {
        _fieldOf[VICTIM] = HARM;
        _lie(VICTIM, GOOD, 5);
        round = _toChallenge(N);
        _assertVerdict(round, VICTIM, IRoundManager.UpdateStatus.Accepted, "captured");
    }

    function _outcome(uint256 id) private view returns (IRoundCourt.Outcome) {
        return court.disputeOf(id).outcome;
    }

    function _assertOutcome(uint256 id, IRoundCourt.Outcome expected) private view {
        assertEq(uint256(_outcome(id)), uint256(expected), "outcome");
    }

    /// Some place of a drawn jury that somebody sits at, from `start` on.
    function _seat(uint256 id, uint256 start) private view returns (uint256 place) {
        place = start;
        while (_juror(id, place) == address(0)) ++place;
    }

    // --- opening ------------------------------------------------------------------------------------------------------

    function test_open_RevertWhen_notInChallenge() public {
        uint256 round = _toAttest(N);
        bytes memory refused = abi.encodeWithSelector(
            IRoundCourt.WrongPhase.selector, IRoundManager.Phase.Attest, IRoundManager.Phase.Challenge
        );
        vm.expectRevert(refused);
        court.disputeScore(round, 0);
        vm.expectRevert(refused);
        court.disputeAggregate(round);
        _toProposal(round);
        _expire(round);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundCourt.WrongPhase.selector, IRoundManager.Phase.Finalized, IRoundManager.Phase.Challenge
            )
        );
        court.disputeScore(round, 0);
    }

    function test_open_RevertWhen_noBond() public {
        uint256 round = _toChallenge(N);
        vm.expectRevert();
        court.disputeScore(round, 0);
        _give(disputer, DISPUTE_BOND - 1);
        vm.startPrank(disputer);
        token.approve(address(court), DISPUTE_BOND);
        vm.expectRevert();
        court.disputeScore(round, 0);
        vm.stopPrank();
        assertEq(court.totalBonds(), 0, "none taken");
    }

    function test_open_RevertWhen_disputedAlreadyOrNotOnTheRing() public {
        uint256 round = _toChallenge(N);
        uint256 first = _disputeScore(disputer, round, 3);
        uint256 second = _disputeAggregate(disputer, round);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.AlreadyDisputed.selector, round, first));
        court.disputeScore(round, 3);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.AlreadyDisputed.selector, round, second));
        court.disputeAggregate(round);
        vm.expectRevert(abi.encodeWithSelector(RingShuffle.OutsideRing.selector, N, N));
        court.disputeScore(round, uint16(N));
    }

    function test_open_RevertWhen_thereIsNoVerdictToJudge() public {
        _fieldOf[1] = 1; // Unavailable
        _lie(2, 0, 4); // Unscored, and then nobody settles it again
        uint256 round = _toSettle(N);
        for (uint256 index = 0; index < N; ++index) {
            if (index != 3) _settle(round, index);
        }
        _expire(round);
        _expire(round);
        _expire(round);
        _expire(round);
        _toProposal(round);
        _nothing(round, 1, IRoundManager.UpdateStatus.Unavailable);
        _nothing(round, 2, IRoundManager.UpdateStatus.Unscored);
        _nothing(round, 3, IRoundManager.UpdateStatus.Pending);
    }

    function _nothing(uint256 round, uint16 index, IRoundManager.UpdateStatus status) private {
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.NothingToDispute.selector, index, status));
        court.disputeScore(round, index);
    }

    /// Unscored for good, by the second panel: a jury may find what two panels could not.
    function test_open_ofAFinalUnscored() public {
        _lie(2, 0, 4);
        _lieAgain(2, 0, 4);
        uint256 round = _toChallenge(N);
        uint256 id = _disputeScore(disputer, round, 2);
        assertTrue(court.disputeOf(id).isRetried, "the second panel's");
        _drawJury(id);
        assertEq(court.disputeOf(id).jurors, N - 15, "both panels and the owner are excluded");
        _vote(id);
        court.resolve(id);
        _assertOutcome(id, IRoundCourt.Outcome.Overturned);
        _assertVerdict(round, 2, IRoundManager.UpdateStatus.Accepted, "found");
        _assertPhase(round, IRoundManager.Phase.Voided, "its model lacks it");
    }

    function test_open_keepsWhatItIsAbout() public {
        uint256 round = _toChallenge(N);
        uint40 until = uint40(block.timestamp + 100 minutes);
        uint40 seedBlock = uint40(block.number + 4);
        _give(disputer, DISPUTE_BOND);
        vm.startPrank(disputer);
        token.approve(address(court), DISPUTE_BOND);
        vm.expectEmit(address(court));
        emit IRoundCourt.DisputeOpened(1, round, disputer, IRoundCourt.Kind.Score, 3, false, true, seedBlock, until);
        assertEq(court.disputeScore(round, 3), 1, "id");
        vm.stopPrank();
        IRoundCourt.Dispute memory d = court.disputeOf(1);
        assertEq(d.disputer, disputer, "disputer");
        assertEq(d.round, round, "round");
        assertEq(d.index, 3, "index");
        assertEq(d.participants, N, "participants");
        assertEq(d.position, rounds.positionOf(round, 3), "position");
        assertEq(d.until, until, "until");
        assertTrue(d.isIndependent, "nobody judges itself");
        assertEq(court.totalBonds(), DISPUTE_BOND, "bond");
        assertEq(token.balanceOf(address(court)), DISPUTE_BOND, "held");
        assertEq(court.scoreDisputeOf(round, 3), 1, "by update");
        (, uint40 deadline) = rounds.phaseOf(round);
        assertEq(deadline, until, "the round waits");
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.NoSuchDispute.selector, 2, 1));
        court.disputeOf(2);
    }

    // --- drawing ------------------------------------------------------------------------------------------------------

    function test_draw_RevertWhen_early() public {
        uint256 id = _disputeScore(disputer, _toChallenge(N), 3);
        uint256 seedBlock = court.disputeOf(id).seedBlock;
        vm.roll(seedBlock);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.SeedNotReady.selector, seedBlock, seedBlock));
        court.drawJury(id);
    }

    function test_draw_RevertWhen_lateOrTwice() public {
        uint256 id = _disputeScore(disputer, _toChallenge(N), 3);
        uint256 drawEnd = block.timestamp + 20 minutes;
        vm.roll(block.number + 10);
        vm.warp(drawEnd + 1);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.DeadlinePassed.selector, drawEnd, drawEnd + 1));
        court.drawJury(id);
        vm.warp(drawEnd);
        _drawJury(id);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.JuryIsDrawn.selector, id));
        court.drawJury(id);
    }

    function test_draw_pinsAgainWhereTheHashIsGone() public {
        uint256 id = _disputeScore(disputer, _toChallenge(N), 3);
        vm.roll(block.number + 4 + 257);
        vm.expectEmit(address(court));
        emit IRoundCourt.JurySeedPinned(id, uint40(block.number + 4));
        court.drawJury(id);
        assertEq(court.disputeOf(id).jurors, 0, "no jury yet");
        _drawJury(id);
        assertEq(court.disputeOf(id).jurors, JURORS, "drawn from the later block");
    }

    function test_draw_takesTheRingWithoutThePanel() public {
        uint256 round = _toChallenge(N);
        uint256 id = _disputeScore(disputer, round, VICTIM);
        uint256 seedBlock = court.disputeOf(id).seedBlock;
        vm.roll(seedBlock + 1);
        bytes32 blockHash = keccak256("jury block");
        vm.setBlockhash(seedBlock, blockHash);
        vm.expectEmit(address(court));
        emit IRoundCourt.JuryDrawn(
            id,
            keccak256(abi.encode(blockHash, id, address(court))),
            uint8(N),
            uint8(JURORS),
            uint40(block.timestamp + 30 minutes)
        );
        court.drawJury(id);
        uint256 seats_ = 0;
        for (uint256 place = 0; place < N; ++place) {
            address juror = _juror(id, place);
            if (juror == address(0)) {
                vm.expectRevert(abi.encodeWithSelector(IRoundCourt.PlaceExcluded.selector, id, place));
                court.jurorAt(id, place);
                continue;
            }
            ++seats_;
            assertTrue(juror != members[VICTIM], "not the owner");
            for (uint256 j = 0; j < 7; ++j) {
                assertTrue(juror != _verifier(round, VICTIM, j, false), "not its panel");
            }
            for (uint256 other = 0; other < place; ++other) {
                assertTrue(juror != _juror(id, other), "once");
            }
        }
        assertEq(seats_, JURORS, "counted absolutely");
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.NoSuchPlace.selector, N, N));
        court.jurorAt(id, N);
    }

    // --- ballots ------------------------------------------------------------------------------------------------------

    function test_ballot_RevertWhen_theJuryIsNotDrawn() public {
        uint256 id = _disputeScore(disputer, _toChallenge(N), 3);
        bytes memory refused = abi.encodeWithSelector(IRoundCourt.JuryNotDrawn.selector, id);
        vm.expectRevert(refused);
        court.commitBallot(id, 0, keccak256("ballot"));
        vm.expectRevert(refused);
        court.revealBallot(id, 0, 1, 0);
        vm.expectRevert(refused);
        court.resolve(id);
        vm.expectRevert(refused);
        court.slashAbsentJuror(id, 0);
    }

    function test_threat_ballotsOfOthersThanJurors() public {
        uint256 round = _toChallenge(N);
        uint256 id = _disputeScore(disputer, round, VICTIM);
        _drawJury(id);
        uint8 place = uint8(_seat(id, 0));
        address juror = court.jurorAt(id, place);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.NotJuror.selector, disputer, juror));
        vm.prank(disputer);
        court.commitBallot(id, place, keccak256("ballot"));
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.NotJuror.selector, members[VICTIM], juror));
        vm.prank(members[VICTIM]);
        court.revealBallot(id, place, 1, 0);
    }

    function test_ballot_RevertWhen_twiceOrLate() public {
        uint256 id = _disputeScore(disputer, _toChallenge(N), 3);
        _drawJury(id);
        uint8 place = uint8(_seat(id, 0));
        address juror = court.jurorAt(id, place);
        bytes32 commitment = CommitHash.ballot(block.chainid, address(court), id, juror, GOOD, _ballotSalt(id, place));
        vm.expectEmit(address(court));
        emit IRoundCourt.BallotCommitted(id, place, juror, commitment);
        _commitBallot(id, place, GOOD);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundCourt.WrongEntry.selector, juror, IRoundManager.Entry.Committed, IRoundManager.Entry.None
            )
        );
        vm.prank(juror);
        court.commitBallot(id, place, keccak256("another"));
        uint8 next = uint8(_seat(id, place + 1));
        address late = court.jurorAt(id, next);
        uint256 commitEnd = court.disputeOf(id).commitEnd;
        vm.warp(commitEnd + 1);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.DeadlinePassed.selector, commitEnd, commitEnd + 1));
        vm.prank(late);
        court.commitBallot(id, next, keccak256("late"));
    }

    function test_ballot_revealRevertsWhen_earlyLateOrWrong() public {
        uint256 id = _disputeScore(disputer, _toChallenge(N), 3);
        _drawJury(id);
        uint8 place = uint8(_seat(id, 0));
        address juror = court.jurorAt(id, place);
        bytes32 salt = _ballotSalt(id, place);
        _commitBallot(id, place, GOOD);
        uint256 commitEnd = court.disputeOf(id).commitEnd;
        vm.startPrank(juror);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.TooEarly.selector, commitEnd, block.timestamp));
        court.revealBallot(id, place, GOOD, salt);
        vm.warp(commitEnd + 1);
        vm.expectPartialRevert(IRoundCourt.CommitmentMismatch.selector);
        court.revealBallot(id, place, GOOD + 1, salt);
        uint256 revealEnd = commitEnd + 30 minutes;
        vm.warp(revealEnd + 1);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.DeadlinePassed.selector, revealEnd, revealEnd + 1));
        court.revealBallot(id, place, GOOD, salt);
        vm.warp(revealEnd);
        vm.expectEmit(address(court));
        emit IRoundCourt.BallotRevealed(id, place, juror, GOOD);
        court.revealBallot(id, place, GOOD, salt);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundCourt.WrongEntry.selector, juror, IRoundManager.Entry.Revealed, IRoundManager.Entry.Committed
            )
        );
        court.revealBallot(id, place, GOOD, salt);
        vm.stopPrank();
        (IRoundManager.Entry entry, uint256 ballot) = court.ballotOf(id, place);
        assertEq(uint256(entry), uint256(IRoundManager.Entry.Revealed), "entry");
        assertEq(ballot, GOOD, "ballot");
    }

    /// Once every juror has committed, nobody can copy: reveals need not wait.
    function test_ballot_revealsBeginOnceAllHaveCommitted() public {
        uint256 id = _disputeScore(disputer, _toChallenge(N), 3);
        _drawJury(id);
        _vote(id);
        assertEq(court.disputeOf(id).reveals, JURORS, "in one moment");
        court.resolve(id);
    }

    function test_ballot_RevertWhen_itSaysNothing() public {
        uint256 round = _toChallenge(N);
        uint256 score = _disputeScore(disputer, round, 3);
        uint256[5] memory empty = [uint256(0), 3, 15, 1 << 20, type(uint256).max];
        for (uint256 i = 0; i < empty.length; ++i) {
            uint256 state = vm.snapshotState();
            _invalid(score, empty[i]);
            vm.revertToState(state);
        }
        uint256 aggregate = _disputeAggregate(disputer, round);
        for (uint256 i = 0; i < empty.length; ++i) {
            uint256 state = vm.snapshotState();
            _invalid(aggregate, empty[i]);
            vm.revertToState(state);
        }
    }

    function _invalid(uint256 id, uint256 ballot) private {
        _drawJury(id);
        uint256 place = _seat(id, 0);
        address juror = court.jurorAt(id, place);
        _commitBallot(id, place, ballot);
        vm.warp(uint256(court.disputeOf(id).commitEnd) + 1);
        bytes32 salt = _ballotSalt(id, place);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.InvalidBallot.selector, ballot));
        vm.prank(juror);
        court.revealBallot(id, uint8(place), ballot, salt);
    }

    // --- verdict on a score -------------------------------------------------------------------------------------------

    function test_resolve_RevertWhen_early() public {
        uint256 id = _disputeScore(disputer, _toChallenge(N), 3);
        _drawJury(id);
        uint256 revealEnd = uint256(court.disputeOf(id).commitEnd) + 30 minutes;
        vm.warp(revealEnd);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.TooEarly.selector, revealEnd, revealEnd));
        court.resolve(id);
    }

    function test_resolve_upholdsAndBurnsTheBond() public {
        uint256 round = _toChallenge(N);
        uint256 id = _disputeScore(disputer, round, VICTIM);
        _drawJury(id);
        _vote(id);
        uint256 supply = token.totalSupply();
        vm.expectEmit(address(court));
        emit IRoundCourt.DisputeResolved(
            id, IRoundCourt.Outcome.Upheld, IRoundManager.UpdateStatus.Pending, 0, uint8(JURORS)
        );
        court.resolve(id);
        assertEq(token.totalSupply(), supply - DISPUTE_BOND, "burned");
        assertEq(token.balanceOf(disputer), 0, "lost");
        assertEq(court.totalBonds(), 0, "settled");
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundCourt.WrongOutcome.selector, id, IRoundCourt.Outcome.Upheld, IRoundCourt.Outcome.None
            )
        );
        court.resolve(id);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundCourt.WrongOutcome.selector, id, IRoundCourt.Outcome.Upheld, IRoundCourt.Outcome.Overturned
            )
        );
        court.slashField(id, 0);
        _expire(round);
        _assertPhase(round, IRoundManager.Phase.Finalized, "goes on");
    }

    /// Within tau of one another on either side of a bound: no two honest verifiers would argue.
    function test_resolve_upholdsWithinTauWhateverTheStatus() public {
        _lie(VICTIM, GAIN_OFFSET + 99, 7); // Rejected
        _fieldOf[VICTIM] = GAIN_OFFSET + 399; // Accepted, by 300 more
        uint256 round = _toChallenge(N);
        _assertVerdict(round, VICTIM, IRoundManager.UpdateStatus.Rejected, "settled");
        uint256 id = _disputeScore(disputer, round, VICTIM);
        _judge(id);
        _assertOutcome(id, IRoundCourt.Outcome.Upheld);
        _assertVerdict(round, VICTIM, IRoundManager.UpdateStatus.Rejected, "stays");
    }

    function test_resolve_overturnsBeyondTau() public {
        _lie(VICTIM, GAIN_OFFSET + 99, 7);
        _fieldOf[VICTIM] = GAIN_OFFSET + 400;
        uint256 round = _toChallenge(N);
        uint256 id = _disputeScore(disputer, round, VICTIM);
        _judge(id);
        _assertOutcome(id, IRoundCourt.Outcome.Overturned);
        _assertVerdict(round, VICTIM, IRoundManager.UpdateStatus.Accepted, "corrected");
        _assertPhase(round, IRoundManager.Phase.Voided, "its model lacks it");
    }

    function test_resolve_upholdsMalformed() public {
        _fieldOf[VICTIM] = 2;
        uint256 id = _disputeScore(disputer, _toChallenge(N), VICTIM);
        _judge(id);
        _assertOutcome(id, IRoundCourt.Outcome.Upheld);
    }

    /// Another weight of an accepted update: the round goes on with the jury's.
    function test_resolve_overturnsAGainAndReturnsTheBond() public {
        _lie(VICTIM, GAIN_OFFSET + 15_000, 7);
        uint256 round = _toChallenge(N);
        uint256 id = _disputeScore(disputer, round, VICTIM);
        _drawJury(id);
        _vote(id);
        vm.expectEmit(address(court));
        emit IRoundCourt.DisputeResolved(
            id, IRoundCourt.Outcome.Overturned, IRoundManager.UpdateStatus.Accepted, 1400, uint8(JURORS)
        );
        vm.expectEmit(address(rounds));
        emit IRoundManager.UpdateRescored(
            round, uint16(VICTIM), members[VICTIM], IRoundManager.UpdateStatus.Accepted, 1400, 1400
        );
        court.resolve(id);
        assertEq(token.balanceOf(disputer), DISPUTE_BOND, "returned");
        assertEq(court.totalBonds(), 0, "settled");
        IRoundCourt.Dispute memory d = court.disputeOf(id);
        assertEq(uint256(d.status), uint256(IRoundManager.UpdateStatus.Accepted), "status");
        assertEq(d.gain, 1400, "gain");
        _assertPhase(round, IRoundManager.Phase.Challenge, "goes on");
        _expire(round);
        assertEq(rounds.earningsOf(round, VICTIM).weight, 1400, "paid by the jury's");
    }

    /// Eight of sixteen are not more than half, though all who came agree.
    function test_resolve_countsAllJurorsNotThoseWhoCame() public {
        uint256 round = _toChallengeWithPoison();
        uint256 id = _disputeScore(disputer, round, VICTIM);
        _drawJury(id);
        uint256[] memory places = _firstSeats(id, 9);
        for (uint256 i = 0; i < 9; ++i) {
            _commitBallot(id, places[i], HARM);
        }
        vm.warp(uint256(court.disputeOf(id).commitEnd) + 1);
        for (uint256 i = 0; i < 8; ++i) {
            _revealBallot(id, places[i], HARM);
        }
        uint256 state = vm.snapshotState();
        vm.warp(block.timestamp + 30 minutes);
        vm.expectEmit(address(court));
        emit IRoundCourt.DisputeResolved(id, IRoundCourt.Outcome.NoMajority, IRoundManager.UpdateStatus.Pending, 0, 8);
        court.resolve(id);
        assertEq(token.balanceOf(disputer), DISPUTE_BOND, "returned");
        _assertVerdict(round, VICTIM, IRoundManager.UpdateStatus.Accepted, "nothing changes");
        vm.revertToState(state);
        _revealBallot(id, places[8], HARM);
        vm.warp(block.timestamp + 30 minutes);
        court.resolve(id);
        _assertOutcome(id, IRoundCourt.Outcome.Overturned); // the ninth decides
    }

    function _firstSeats(uint256 id, uint256 count) private view returns (uint256[] memory places) {
        places = new uint256[](count);
        uint256 place = 0;
        for (uint256 i = 0; i < count; ++i) {
            place = _seat(id, place);
            places[i] = place++;
        }
    }

    /// Bytes that the jury cannot have show nothing against the panel, which had them.
    function test_threat_withholdingFromTheJury() public {
        uint256 round = _toChallenge(N);
        uint256 id = _disputeScore(members[VICTIM], round, VICTIM);
        for (uint256 i = 0; i < N; ++i) {
            _bought[members[i]] = 1; // Unavailable, truly
        }
        _judge(id);
        _assertOutcome(id, IRoundCourt.Outcome.Upheld);
        assertEq(token.balanceOf(members[VICTIM]), 0, "and its bond is gone");
        _assertPhase(round, IRoundManager.Phase.Challenge, "the round goes on");
    }

    function test_resolve_RevertWhen_noSuchDispute() public {
        bytes memory refused = abi.encodeWithSelector(IRoundCourt.NoSuchDispute.selector, 1, 0);
        vm.expectRevert(refused);
        court.resolve(1);
        vm.expectRevert(refused);
        court.drawJury(1);
        vm.expectRevert(refused);
        court.slashField(1, 0);
    }

    // --- lapse --------------------------------------------------------------------------------------------------------

    function test_resolve_lapsesUndrawn() public {
        uint256 round = _toChallenge(N);
        uint256 id = _disputeScore(disputer, round, 3);
        vm.warp(block.timestamp + 20 minutes);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.JuryNotDrawn.selector, id));
        court.resolve(id);
        skip(1);
        uint256 supply = token.totalSupply();
        court.resolve(id);
        _assertOutcome(id, IRoundCourt.Outcome.Lapsed);
        assertEq(token.totalSupply(), supply - DISPUTE_BOND, "burned");
    }

    function test_resolve_lapsesAfterItsEnd() public {
        uint256 round = _toChallengeWithPoison();
        uint256 id = _disputeScore(disputer, round, VICTIM);
        _drawJury(id);
        _vote(id);
        uint256 until = court.disputeOf(id).until;
        uint256 state = vm.snapshotState();
        vm.warp(until);
        court.resolve(id);
        _assertOutcome(id, IRoundCourt.Outcome.Overturned); // the last second counts
        vm.revertToState(state);
        _expire(round);
        _assertPhase(round, IRoundManager.Phase.Finalized, "nobody resolved it in time");
        court.resolve(id);
        _assertOutcome(id, IRoundCourt.Outcome.Lapsed);
        _assertVerdict(round, VICTIM, IRoundManager.UpdateStatus.Accepted, "a Finalized round never changes");
        assertEq(token.balanceOf(disputer), 0, "bond lost");
    }

    // --- what an overturned score proves ------------------------------------------------------------------------------

    function _overturn() private returns (uint256 round, uint256 id) {
        round = _toChallengeWithPoison();
        id = _disputeScore(disputer, round, VICTIM);
        _judge(id);
        _assertOutcome(id, IRoundCourt.Outcome.Overturned);
    }

    function test_threat_collusionOfAPanel() public {
        (uint256 round, uint256 id) = _overturn();
        _assertVerdict(round, VICTIM, IRoundManager.UpdateStatus.Harmful, "the jury's");
        _assertPhase(round, IRoundManager.Phase.Voided, "a poisoned model is none");
        assertEq(
            uint256(rounds.roundOf(round).voidReason), uint256(IRoundManager.VoidReason.CourtVoided), "by the court"
        );
        assertEq(token.balanceOf(disputer), DISPUTE_BOND, "bond returned");
        uint256 eligible = registry.eligibleCount();
        for (uint8 j = 0; j < 5; ++j) {
            address liar = _verifier(round, VICTIM, j, false);
            uint256 subject = 256 * id + j;
            vm.expectEmit(address(court));
            emit IRoundCourt.FaultPunished(round, liar, 12, subject, disputer, GRANT);
            court.slashField(id, j);
            assertEq(registry.stakeOf(liar), 0, "everything");
            _assertStatus(liar, IMemberRegistry.Status.Banned, "banned");
            assertTrue(court.isPunished(round, 11, subject), "marked");
            vm.expectRevert(abi.encodeWithSelector(IRoundCourt.AlreadyPunished.selector, round, 11, subject));
            court.slashField(id, j);
        }
        assertEq(registry.eligibleCount(), eligible - 5, "shut out");
        for (uint8 j = 5; j < 7; ++j) {
            address honest = _verifier(round, VICTIM, j, false);
            vm.expectRevert(abi.encodeWithSelector(IRoundCourt.NoWrongField.selector, honest, HARM));
            court.slashField(id, j);
        }
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.NoSuchVerifier.selector, 7, 7));
        court.slashField(id, 7);
        // The poison itself: its verdict was judged, so it costs, though the round has no model.
        vm.expectEmit(address(court));
        emit IRoundCourt.FaultPunished(round, members[VICTIM], 6, VICTIM, address(0), 10e18);
        court.slashVerdict(round, uint16(VICTIM));
    }

    /// The other verdicts of a round that a jury voided were not judged: their time to appeal was cut short.
    function test_overturned_otherVerdictsCostNothing() public {
        _fieldOf[1] = 2;
        (uint256 round,) = _overturn();
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundCourt.FaultNotProvable.selector, IRoundManager.Phase.Voided, IRoundManager.VoidReason.CourtVoided
            )
        );
        court.slashVerdict(round, 1);
    }

    /// What a verifier said, what the jury found, and whether that is nothing, wrong or a lie.
    function test_overturned_fieldsByWhatTheySay() public {
        _case(GOOD, HARM, GAIN_OFFSET + 100, 12); // just accepted
        _case(GOOD, HARM, GAIN_OFFSET + 99, 11); // just not
        _case(GOOD, HARM, 2, 11); // Malformed where Harmful
        _case(GOOD, HARM, 1, 0); // Unavailable
        _case(GOOD, HARM, 0, 0); // silent
        _case(GOOD, HARM, 7, 0); // says nothing either
        _case(GOOD, HARM, HARM + 300, 0); // within tau
        _case(GOOD, HARM, HARM + 301, 11); // beyond
        _case(GOOD, 2, GAIN_OFFSET + 100, 12); // accepted where Malformed
        _case(GOOD, 2, GAIN_OFFSET + 99, 11);
        _case(HARM, GOOD, 2, 12); // Malformed where Accepted
        _case(HARM, GOOD, GAIN_OFFSET - 1000, 12); // Harmful where Accepted
        _case(HARM, GOOD, GAIN_OFFSET - 999, 11); // Rejected where Accepted
        _case(GOOD, GAIN_OFFSET, GOOD, 11); // Accepted where Rejected: no lie
        _case(GOOD, GAIN_OFFSET, HARM, 11);
        _case(GOOD, GAIN_OFFSET, 2, 11);
    }

    /// Six verifiers say `lie`, the first one says `field`, the jury finds `truth`.
    function _case(uint256 lie, uint256 truth, uint256 field, uint8 fault) private {
        uint256 state = vm.snapshotState();
        _fieldOf[VICTIM] = truth;
        _lie(VICTIM, lie, 7);
        uint256 round = _toScoreCommit(N);
        (,, uint16 odd,) = rounds.trainerOf(round, _verifier(round, VICTIM, 0, false));
        for (uint256 index = 0; index < N; ++index) {
            _commitScores(round, index, _withFirst(_word(round, index), index == odd, field));
        }
        rounds.advance(round);
        for (uint256 index = 0; index < N; ++index) {
            _revealScores(round, index, _withFirst(_word(round, index), index == odd, field));
        }
        rounds.advance(round);
        _settleAll(round, N);
        rounds.advance(round);
        _toProposal(round);
        uint256 id = _disputeScore(disputer, round, VICTIM);
        _judge(id);
        _assertOutcome(id, IRoundCourt.Outcome.Overturned);
        address verifier = members[odd];
        if (fault == 0) {
            vm.expectRevert(abi.encodeWithSelector(IRoundCourt.NoWrongField.selector, verifier, field));
        } else {
            vm.expectEmit(address(court));
            emit IRoundCourt.FaultPunished(round, verifier, fault, 256 * id, disputer, fault == 12 ? GRANT : GRANT / 10);
        }
        court.slashField(id, 0);
        vm.revertToState(state);
    }

    function _withFirst(uint256 word, bool isOdd, uint256 field) private pure returns (uint256) {
        return isOdd ? (word & ~uint256(0xfffff)) | field : word;
    }

    /// Where the second panel gave the verdict, its words are the ones that are judged.
    function test_overturned_theSecondPanelIsJudged() public {
        _lie(VICTIM, 0, 4); // starved at first
        _fieldOf[VICTIM] = HARM;
        _lieAgain(VICTIM, GOOD, 7);
        uint256 round = _toChallenge(N);
        _assertVerdict(round, VICTIM, IRoundManager.UpdateStatus.Accepted, "captured by the second panel");
        uint256 id = _disputeScore(disputer, round, VICTIM);
        _judge(id);
        _assertOutcome(id, IRoundCourt.Outcome.Overturned);
        address liar = _verifier(round, VICTIM, 3, true);
        vm.expectEmit(address(court));
        emit IRoundCourt.FaultPunished(round, liar, 12, 256 * id + 3, disputer, GRANT);
        court.slashField(id, 3);
        _assertStatus(_verifier(round, VICTIM, 3, false), IMemberRegistry.Status.Active, "not the first panel");
    }

    /// Two disputes: the first to end voids the round, and the other's liars are punished all the same.
    function test_threat_voidingARoundToSpareALiar() public {
        _fieldOf[7] = HARM;
        _lie(7, GOOD, 7);
        uint256 round = _toChallengeWithPoison();
        uint256 first = _disputeScore(disputer, round, VICTIM);
        uint256 second = _disputeScore(disputer, round, 7);
        _judge(first);
        _assertPhase(round, IRoundManager.Phase.Voided, "voided");
        _judge(second);
        _assertOutcome(second, IRoundCourt.Outcome.Overturned);
        _assertVerdict(round, 7, IRoundManager.UpdateStatus.Harmful, "the record is corrected");
        assertEq(rounds.roundOf(round).accepted, N - 2, "twice");
        assertEq(token.balanceOf(disputer), 2 * DISPUTE_BOND, "both bonds return");
        address liar = _verifier(round, 7, 6, false);
        court.slashField(second, 6);
        _assertStatus(liar, IMemberRegistry.Status.Banned, "banned");
        court.slashVerdict(round, 7);
    }

    // --- the aggregate ------------------------------------------------------------------------------------------------

    function test_aggregate_voidsAndPunishesThoseCounted() public {
        uint256 round = _toAttest(N);
        for (uint256 slot = 0; slot < 17; ++slot) {
            _attest(round, slot);
        }
        _propose(round); // a wrong model: 17 of 24 are enough
        uint256 id = _disputeAggregate(disputer, round);
        IRoundCourt.Dispute memory d = court.disputeOf(id);
        assertEq(uint256(d.kind), uint256(IRoundCourt.Kind.Aggregate), "kind");
        assertFalse(d.isIndependent, "all 24 are attesters");
        _drawJury(id);
        assertEq(court.disputeOf(id).jurors, 21, "so nobody is excluded");
        for (uint256 i = 0; i < N; ++i) {
            _bought[members[i]] = 2;
        }
        _vote(id);
        vm.expectEmit(address(court));
        emit IRoundCourt.DisputeResolved(id, IRoundCourt.Outcome.Overturned, IRoundManager.UpdateStatus.Pending, 0, 21);
        vm.expectEmit(address(rounds));
        emit IRoundManager.RoundVoided(round, IRoundManager.VoidReason.CourtVoided);
        court.resolve(id);
        assertEq(token.balanceOf(disputer), DISPUTE_BOND, "returned");
        address attester = _attester(round, 16);
        vm.expectEmit(address(court));
        emit IRoundCourt.FaultPunished(round, attester, 7, 16, disputer, 25e18);
        court.slashAttester(id, 16);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.AlreadyPunished.selector, round, 7, 16));
        court.slashAttester(id, 16);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.NotCounted.selector, 17));
        court.slashAttester(id, 17);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundCourt.WrongKind.selector, id, IRoundCourt.Kind.Aggregate, IRoundCourt.Kind.Score
            )
        );
        court.slashField(id, 0);
    }

    function test_aggregate_isUpheld() public {
        uint256 round = _toChallenge(N);
        uint256 id = _disputeAggregate(disputer, round);
        _judge(id);
        _assertOutcome(id, IRoundCourt.Outcome.Upheld);
        assertEq(token.balanceOf(disputer), 0, "burned");
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundCourt.WrongOutcome.selector, id, IRoundCourt.Outcome.Upheld, IRoundCourt.Outcome.Overturned
            )
        );
        court.slashAttester(id, 0);
        _expire(round);
        _assertPhase(round, IRoundManager.Phase.Finalized, "goes on");
    }

    /// 21 jurors: eleven decide, ten do not, either way.
    function test_aggregate_needsMoreThanHalfOfAll() public {
        _aggregateVotes(10, 2, IRoundCourt.Outcome.NoMajority);
        _aggregateVotes(11, 2, IRoundCourt.Outcome.Overturned);
        _aggregateVotes(10, 1, IRoundCourt.Outcome.NoMajority);
        _aggregateVotes(11, 1, IRoundCourt.Outcome.Upheld);
    }

    function _aggregateVotes(uint256 votes, uint256 ballot, IRoundCourt.Outcome expected) private {
        uint256 state = vm.snapshotState();
        uint256 round = _toChallenge(N);
        uint256 id = _disputeAggregate(disputer, round);
        _drawJury(id);
        for (uint256 place = 0; place < votes; ++place) {
            _commitBallot(id, place, ballot);
        }
        vm.warp(uint256(court.disputeOf(id).commitEnd) + 1);
        for (uint256 place = 0; place < votes; ++place) {
            _revealBallot(id, place, ballot);
        }
        vm.warp(block.timestamp + 30 minutes);
        court.resolve(id);
        _assertOutcome(id, expected);
        vm.revertToState(state);
    }

    /// A ring of 40: the first 31 positions attested, so only the other nine may judge.
    function test_aggregate_excludesTheAttesters() public {
        _admitMany(40 - N);
        uint256 round = _toChallenge(40);
        uint256 id = _disputeAggregate(disputer, round);
        assertTrue(court.disputeOf(id).isIndependent, "nobody judges itself");
        _drawJury(id);
        IRoundCourt.Dispute memory d = court.disputeOf(id);
        assertEq(d.places, 40, "21 + 31 are more than the ring has");
        assertEq(d.jurors, 9, "jurors");
        for (uint256 place = 0; place < 40; ++place) {
            address juror = _juror(id, place);
            if (juror == address(0)) continue;
            (,, uint16 index,) = rounds.trainerOf(round, juror);
            assertGe(rounds.positionOf(round, index), 31, "no attester");
        }
    }

    // --- jurors -------------------------------------------------------------------------------------------------------

    function test_jurors_silenceCosts() public {
        uint256 round = _toChallenge(N);
        uint256 id = _disputeScore(disputer, round, VICTIM);
        _drawJury(id);
        uint256[] memory places = _firstSeats(id, 3);
        (address absent, address silent) = (court.jurorAt(id, places[0]), court.jurorAt(id, places[1]));
        _commitBallot(id, places[1], GOOD);
        _commitBallot(id, places[2], GOOD);
        uint256 commitEnd = court.disputeOf(id).commitEnd;
        vm.warp(commitEnd);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.TooEarly.selector, commitEnd, commitEnd));
        court.slashAbsentJuror(id, uint8(places[0]));
        vm.warp(commitEnd + 1);
        _revealBallot(id, places[2], GOOD);
        vm.expectEmit(address(court));
        emit IRoundCourt.FaultPunished(round, absent, 13, 256 * id + places[0], address(this), 1e18);
        court.slashAbsentJuror(id, uint8(places[0]));
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.AlreadyPunished.selector, round, 13, 256 * id + places[0]));
        court.slashAbsentJuror(id, uint8(places[0]));
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundCourt.NoFault.selector, silent, IRoundManager.Entry.Committed, IRoundManager.Entry.None
            )
        );
        court.slashAbsentJuror(id, uint8(places[1]));

        vm.warp(commitEnd + 30 minutes);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.TooEarly.selector, commitEnd + 30 minutes, block.timestamp));
        court.slashUnrevealedBallot(id, uint8(places[1]));
        skip(1);
        vm.expectEmit(address(court));
        emit IRoundCourt.FaultPunished(round, silent, 14, 256 * id + places[1], address(this), 5e18);
        court.slashUnrevealedBallot(id, uint8(places[1]));
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.AlreadyPunished.selector, round, 14, 256 * id + places[1]));
        court.slashUnrevealedBallot(id, uint8(places[1]));
        vm.expectPartialRevert(IRoundCourt.NoFault.selector);
        court.slashUnrevealedBallot(id, uint8(places[2]));
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.NoSuchPlace.selector, N, N));
        court.slashAbsentJuror(id, uint8(N));
    }
}

/// @notice A jury smaller than the ring, and rings too small for an independent one.
contract CourtSmallJuriesTest is Liars {
    uint256 private constant VICTIM = 4;
    address private disputer = makeAddr("disputer");

    function _courtDefaults() internal pure override returns (IRoundCourt.Params memory p) {
        p = super._courtDefaults();
        p.jurySize = 5;
    }

    function setUp() public {
        _deploy(_defaults());
    }

    /// Thirteen places of 24: five jurors at least, however many of the panel are drawn among them.
    function test_jury_hasAtLeastItsSize() public {
        _admitMany(24);
        uint256 round = _toChallenge(24);
        for (uint256 index = 0; index < 4; ++index) {
            uint256 id = _disputeScore(disputer, round, index);
            _drawJury(id);
            IRoundCourt.Dispute memory d = court.disputeOf(id);
            assertEq(d.places, 13, "places");
            assertGe(d.jurors, 5, "jurors");
            uint256 found = 0;
            for (uint256 place = 0; place < 13; ++place) {
                if (_juror(id, place) != address(0)) ++found;
            }
            assertEq(found, d.jurors, "counted");
        }
    }

    /// Ten: two would remain without owner and panel, so only the owner is excluded; such a jury finds no lie.
    function test_fallback_correctsButFindsNoLie() public {
        _admitMany(10);
        _fieldOf[VICTIM] = GAIN_OFFSET - 5000;
        _lie(VICTIM, GAIN_OFFSET + 5000, 4);
        uint256 round = _toChallenge(10);
        _assertVerdict(round, VICTIM, IRoundManager.UpdateStatus.Accepted, "captured");
        uint256 id = _disputeScore(disputer, round, VICTIM);
        assertFalse(court.disputeOf(id).isIndependent, "the panel sits on it");
        _drawJury(id);
        IRoundCourt.Dispute memory d = court.disputeOf(id);
        assertEq(d.places, 6, "five and the owner");
        assertGe(d.jurors, 5, "jurors");
        _vote(id);
        court.resolve(id);
        assertEq(uint256(court.disputeOf(id).outcome), uint256(IRoundCourt.Outcome.Overturned), "outcome");
        address liar = _verifier(round, VICTIM, 0, false);
        vm.expectEmit(address(court));
        emit IRoundCourt.FaultPunished(round, liar, 11, 256 * id, disputer, 10e18);
        court.slashField(id, 0);
        _assertStatus(liar, IMemberRegistry.Status.Active, "not banned");
    }

    /// Eleven are the least ring with an independent jury: three of them.
    function test_fallback_endsAtThreeJurors() public {
        _admitMany(11);
        uint256 round = _toChallenge(11);
        uint256 id = _disputeScore(disputer, round, VICTIM);
        assertTrue(court.disputeOf(id).isIndependent, "independent");
        _drawJury(id);
        assertEq(court.disputeOf(id).jurors, 3, "jurors");
    }

    function test_fallback_neverSeatsTheOwner() public {
        _admitMany(3);
        uint256 round = _toChallenge(3);
        uint256 id = _disputeScore(disputer, round, 1);
        _drawJury(id);
        assertEq(court.disputeOf(id).jurors, 2, "the other two");
        for (uint256 place = 0; place < 3; ++place) {
            assertTrue(_juror(id, place) != members[1], "not the owner");
        }
        _judgeRest(id, round);
    }

    function _judgeRest(uint256 id, uint256 round) private {
        _vote(id);
        court.resolve(id);
        assertEq(uint256(court.disputeOf(id).outcome), uint256(IRoundCourt.Outcome.Upheld), "upheld");
        _expire(round);
        _assertPhase(round, IRoundManager.Phase.Finalized, "ends");
    }

    function test_smallRing_anUnscoredUpdateCanBeDisputed() public {
        _admitMany(8);
        _lie(VICTIM, 0, 4);
        uint256 round = _toChallenge(8);
        _assertVerdict(round, VICTIM, IRoundManager.UpdateStatus.Unscored, "starved, no second panel");
        uint256 id = _disputeScore(disputer, round, VICTIM);
        _drawJury(id);
        _vote(id);
        court.resolve(id);
        _assertVerdict(round, VICTIM, IRoundManager.UpdateStatus.Accepted, "found by the jury");
    }
}
