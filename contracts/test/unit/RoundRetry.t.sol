// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRoundCourt} from "../../src/interfaces/IRoundCourt.sol";
import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {CommitHash} from "../../src/libraries/CommitHash.sol";
import {Liars} from "../utils/Liars.sol";

/// @notice The second panel: when there is one, what it decides, who is paid, and who owed it a word.
contract RoundRetryTest is Liars {
    /// The least ring with a second panel: 2 · 7 + 1.
    uint256 private constant N = 15;
    uint256 private constant VICTIM = 4;

    function setUp() public {
        _deploy(_defaults());
        _admitMany(N);
    }

    /// A majority of the first panel says nothing about the victim.
    function _starve() private {
        _lie(VICTIM, 0, 4);
    }

    function _toRetryCommit() private returns (uint256 round) {
        _starve();
        round = _toSettle(N);
        _settleAll(round, N);
        rounds.advance(round);
    }

    function _expectTooEarly(uint256 round) private {
        (, uint40 deadline) = rounds.phaseOf(round);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.TooEarly.selector, deadline, block.timestamp));
        rounds.advance(round);
    }

    // --- when ---------------------------------------------------------------------------------------------------------

    function test_retry_comesWhereAnUpdateIsUnscored() public {
        _starve();
        uint256 round = _toSettle(N);
        _settleAll(round, N);
        assertEq(rounds.roundOf(round).unscored, 1, "one waits");
        vm.expectEmit(address(rounds));
        emit IRoundManager.PhaseChanged(round, IRoundManager.Phase.RetryCommit, uint40(block.timestamp + 30 minutes));
        rounds.advance(round);
    }

    function test_retry_isSkippedWhereEveryUpdateHasAVerdict() public {
        uint256 round = _toSettle(N);
        _settleAll(round, N);
        rounds.advance(round);
        _assertPhase(round, IRoundManager.Phase.Attest, "no retry");
    }

    function test_retry_isSkippedWhereTheRingIsTooSmall() public {
        _starve();
        uint256 round = _toSettle(N - 1);
        _settleAll(round, N - 1);
        rounds.advance(round);
        _assertPhase(round, IRoundManager.Phase.Attest, "14 is too few");
        assertEq(rounds.roundOf(round).unscored, 1, "stays as it is");
    }

    /// Left Pending by everybody: not Unscored, so no second panel.
    function test_retry_isNotForUpdatesThatNobodySettled() public {
        uint256 round = _toSettle(N);
        _settle(round, 0);
        _expire(round);
        _assertPhase(round, IRoundManager.Phase.Attest, "no retry");
    }

    // --- what it decides ----------------------------------------------------------------------------------------------

    function test_retry_replacesTheVerdict() public {
        uint256 round = _toRetryCommit();
        uint256 acceptedBefore = rounds.roundOf(round).accepted;
        uint256 sumBefore = rounds.roundOf(round).sumWeight;
        _toRetrySettle(round);
        vm.expectEmit(address(rounds));
        emit IRoundManager.UpdateSettled(
            round, uint16(VICTIM), members[VICTIM], IRoundManager.UpdateStatus.Accepted, 1400, 7, 1400
        );
        _settle(round, VICTIM);
        (IRoundManager.UpdateStatus status, int32 gain, uint32 weight, bool isRetried,) = rounds.resultOf(round, VICTIM);
        assertEq(uint256(status), uint256(IRoundManager.UpdateStatus.Accepted), "status");
        assertEq(gain, 1400, "gain");
        assertEq(weight, 1400, "weight");
        assertTrue(isRetried, "flag");
        (,,, isRetried,) = rounds.resultOf(round, 0);
        assertFalse(isRetried, "no other");
        IRoundManager.Round memory r = rounds.roundOf(round);
        assertEq(r.unscored, 0, "nothing waits");
        assertEq(r.accepted, acceptedBefore + 1, "accepted");
        assertEq(r.sumWeight, sumBefore + 1400, "sum");
        assertEq(r.settled, N, "settled once each");
        rounds.advance(round);
        _assertPhase(round, IRoundManager.Phase.Attest, "goes on");
    }

    function test_retry_unscoredAgainIsFinal() public {
        uint256 round = _toRetryCommit();
        _lieAgain(VICTIM, 0, 4);
        _toRetrySettle(round);
        _settle(round, VICTIM);
        _settle(round, VICTIM); // no third time
        (IRoundManager.UpdateStatus status,,, bool isRetried,) = rounds.resultOf(round, VICTIM);
        assertEq(uint256(status), uint256(IRoundManager.UpdateStatus.Unscored), "status");
        assertTrue(isRetried, "flag");
        assertEq(rounds.roundOf(round).unscored, 0, "counted down once");
    }

    function test_retry_leavesOtherVerdictsAlone() public {
        _fieldOf[1] = GAIN_OFFSET; // Rejected
        _fieldOf[2] = 2; // Malformed
        uint256 round = _toRetryCommit();
        _toRetrySettle(round);
        uint256 accepted = rounds.roundOf(round).accepted;
        for (uint256 index = 0; index < N; ++index) {
            if (index != VICTIM) _settle(round, index);
        }
        assertEq(rounds.roundOf(round).accepted, accepted, "accepted");
        assertEq(rounds.roundOf(round).unscored, 1, "the victim still waits");
        _assertVerdict(round, 1, IRoundManager.UpdateStatus.Rejected, "rejected");
        _assertVerdict(round, 2, IRoundManager.UpdateStatus.Malformed, "malformed");
    }

    function test_retry_voidsWithNothingAccepted() public {
        for (uint256 index = 0; index < N; ++index) {
            _lie(index, 0, 4);
            _lieAgain(index, 0, 4);
        }
        uint256 round = _toSettle(N);
        _settleAll(round, N);
        rounds.advance(round);
        _assertPhase(round, IRoundManager.Phase.RetryCommit, "not yet");
        _toRetrySettle(round);
        _settleAll(round, N);
        vm.expectEmit(address(rounds));
        emit IRoundManager.RoundVoided(round, IRoundManager.VoidReason.NothingAccepted);
        rounds.advance(round);
    }

    // --- time ---------------------------------------------------------------------------------------------------------

    function test_retry_phasesWaitForAllOrTheDeadline() public {
        uint256 round = _toRetryCommit();
        for (uint256 index = 0; index < N - 1; ++index) {
            _commitRetry(round, index, _retryWord(round, index));
        }
        _expectTooEarly(round);
        _commitRetry(round, N - 1, _retryWord(round, N - 1));
        rounds.advance(round);
        _assertPhase(round, IRoundManager.Phase.RetryReveal, "all committed");
        for (uint256 index = 0; index < N - 1; ++index) {
            _revealRetry(round, index, _retryWord(round, index));
        }
        _expectTooEarly(round);
        _revealRetry(round, N - 1, _retryWord(round, N - 1));
        rounds.advance(round);
        _assertPhase(round, IRoundManager.Phase.RetrySettle, "all revealed");
        _expectTooEarly(round);
        _settle(round, VICTIM);
        rounds.advance(round);
        _assertPhase(round, IRoundManager.Phase.Attest, "none waits");
    }

    function test_retry_endsByItsDeadlinesAlone() public {
        uint256 round = _toRetryCommit();
        _expire(round);
        _assertPhase(round, IRoundManager.Phase.RetryReveal, "by time");
        rounds.advance(round); // nothing was committed
        _assertPhase(round, IRoundManager.Phase.RetrySettle, "nothing to reveal");
        (, uint40 deadline) = rounds.phaseOf(round);
        assertEq(deadline, block.timestamp + 20 minutes, "as long as Settle");
        _expire(round);
        _assertPhase(round, IRoundManager.Phase.Attest, "by time");
        _assertVerdict(round, VICTIM, IRoundManager.UpdateStatus.Unscored, "nobody settled it");
    }

    // --- words --------------------------------------------------------------------------------------------------------

    function test_retry_wordsAreStoredApart() public {
        uint256 round = _toRetryCommit();
        uint256 first = _word(round, 3);
        uint256 second = _retryWord(round, 3);
        assertTrue(first != second, "about others");
        vm.expectEmit(address(rounds));
        emit IRoundManager.ScoresCommitted(
            round,
            3,
            members[3],
            CommitHash.scores(block.chainid, address(rounds), round, members[3], second, _retrySalt(round, 3))
        );
        _commitRetry(round, 3, second);
        (IRoundManager.Entry entry, uint256 kept) = rounds.retryScoresOf(round, 3);
        assertEq(uint256(entry), uint256(IRoundManager.Entry.Committed), "committed");
        _expire(round);
        _revealRetry(round, 3, second);
        (entry, kept) = rounds.retryScoresOf(round, 3);
        assertEq(uint256(entry), uint256(IRoundManager.Entry.Revealed), "revealed");
        assertEq(kept, second, "second word");
        (, kept) = rounds.scoresOf(round, 3);
        assertEq(kept, first, "first word");
        IRoundManager.Round memory r = rounds.roundOf(round);
        assertEq(r.retryCommits, 1, "commits");
        assertEq(r.retryReveals, 1, "reveals");
        assertEq(r.scoreCommits, N, "first commits");
        assertEq(r.scoreReveals, N, "first reveals");
    }

    function test_retry_RevertWhen_twiceOrNotOpenedOrNotTheOwner() public {
        uint256 round = _toRetryCommit();
        _commitRetry(round, 3, 5);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundManager.WrongEntry.selector, members[3], IRoundManager.Entry.Committed, IRoundManager.Entry.None
            )
        );
        vm.prank(members[3]);
        rounds.commitScores(round, 3, keccak256("another"));
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.NotRingOwner.selector, members[0], members[3]));
        vm.prank(members[0]);
        rounds.commitScores(round, 3, keccak256("another's"));
        _expire(round);
        bytes32 salt = _retrySalt(round, 3);
        vm.expectPartialRevert(IRoundManager.CommitmentMismatch.selector);
        vm.prank(members[3]);
        rounds.revealScores(round, 3, 6, salt);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundManager.WrongEntry.selector, members[2], IRoundManager.Entry.None, IRoundManager.Entry.Committed
            )
        );
        vm.prank(members[2]);
        rounds.revealScores(round, 2, 5, salt);
    }

    function test_I10_retry_RevertWhen_late() public {
        uint256 round = _toRetryCommit();
        (, uint40 deadline) = rounds.phaseOf(round);
        vm.warp(uint256(deadline) + 1);
        bytes memory late =
            abi.encodeWithSelector(IRoundManager.DeadlinePassed.selector, deadline, uint256(deadline) + 1);
        vm.expectRevert(late);
        vm.prank(members[3]);
        rounds.commitScores(round, 3, keccak256("late"));
        rounds.advance(round);
        rounds.advance(round);
        (, deadline) = rounds.phaseOf(round);
        vm.warp(uint256(deadline) + 1);
        late = abi.encodeWithSelector(IRoundManager.DeadlinePassed.selector, deadline, uint256(deadline) + 1);
        vm.expectRevert(late);
        rounds.settle(round, new uint16[](1));
    }

    // --- pay ----------------------------------------------------------------------------------------------------------

    /// k fields an update, whichever panel was paid for it: the pool of n · k fields never grows.
    function test_I2_retry_paysKFieldsPerUpdate() public {
        _starve();
        uint256 round = _toChallenge(N);
        _expire(round);
        uint256 correct = 0;
        for (uint256 index = 0; index < N; ++index) {
            correct += rounds.earningsOf(round, index).correct;
        }
        assertEq(correct, N * 7, "every field of the paid panel, and no other");
        uint256 total = distributor.claimTreasury(round);
        for (uint16 index = 0; index < N; ++index) {
            total += distributor.claim(round, index);
        }
        assertLe(total, INITIAL_EMISSION, "within the emission");
    }

    /// Where the first panel was right and the second panel too, only the second is paid.
    function test_retry_paysTheSecondPanelOnly() public {
        _starve();
        uint256 round = _toChallenge(N);
        _expire(round);
        for (uint256 index = 0; index < N; ++index) {
            uint256 before = (rounds.positionOf(round, VICTIM) + N - rounds.positionOf(round, index)) % N;
            uint256 expected = 7; // neighbours of the victim on either side
            if (before >= 1 && before <= 7) expected = 6; // it was in the first panel
            if (before >= 8) expected = 8; // in the second
            assertEq(rounds.earningsOf(round, index).correct, expected, "fields");
        }
    }

    // --- who owed a word ----------------------------------------------------------------------------------------------

    function test_retry_absentVerifiersAreSlashed() public {
        uint256 round = _toRetryCommit();
        address silent = _verifier(round, VICTIM, 0, true);
        address absent = _verifier(round, VICTIM, 6, true);
        address free = _verifier(round, VICTIM, 0, false);
        (uint16 silentIndex, uint16 absentIndex, uint16 freeIndex) =
            (_indexOf(round, silent), _indexOf(round, absent), _indexOf(round, free));
        _commitRetry(round, silentIndex, 0);
        _expire(round);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundCourt.FaultNotProvable.selector, IRoundManager.Phase.RetryReveal, IRoundManager.VoidReason.None
            )
        );
        court.slashAbsentVerifier(round, absentIndex, true);
        _expire(round);

        assertTrue(court.hasRetryDuty(round, absentIndex), "has a duty");
        assertFalse(court.hasRetryDuty(round, freeIndex), "sits in the first panel");
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.NoRetryDuty.selector, round, freeIndex));
        court.slashAbsentVerifier(round, freeIndex, true);
        uint256 subject = 65_536 + absentIndex;
        vm.expectEmit(address(court));
        emit IRoundCourt.FaultPunished(round, absent, 2, subject, address(this), 1e18);
        court.slashAbsentVerifier(round, absentIndex, true);
        assertTrue(court.isPunished(round, 2, subject), "marked");
        assertFalse(court.isPunished(round, 2, absentIndex), "apart from the first panel");
        vm.expectEmit(address(court));
        emit IRoundCourt.FaultPunished(round, silent, 3, 65_536 + uint256(silentIndex), address(this), 5e18);
        court.slashUnrevealedScores(round, silentIndex, true);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.AlreadyPunished.selector, round, 2, subject));
        court.slashAbsentVerifier(round, absentIndex, true);
    }

    /// The duty is remembered by the flag once the update is settled again.
    function test_retry_dutyOutlastsTheVerdict() public {
        uint256 round = _toRetryCommit();
        _lieAgain(VICTIM, 0, 0);
        uint16 absent = _indexOf(round, _verifier(round, VICTIM, 3, true));
        for (uint256 index = 0; index < N; ++index) {
            if (index != absent) _commitRetry(round, index, _retryWord(round, index));
        }
        _expire(round);
        for (uint256 index = 0; index < N; ++index) {
            if (index != absent) _revealRetry(round, index, _retryWord(round, index));
        }
        rounds.advance(round);
        _settle(round, VICTIM);
        _assertVerdict(round, VICTIM, IRoundManager.UpdateStatus.Accepted, "six of seven");
        rounds.advance(round);
        court.slashAbsentVerifier(round, absent, true);
        assertEq(registry.stakeOf(members[absent]), 99e18, "slashed");
    }

    function _indexOf(uint256 round, address account) private view returns (uint16 index) {
        (,, index,) = rounds.trainerOf(round, account);
    }
}
