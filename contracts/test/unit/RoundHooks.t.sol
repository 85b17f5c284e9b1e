// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IGuardian} from "../../src/interfaces/IGuardian.sol";
import {IGuidelineRegistry} from "../../src/interfaces/IGuidelineRegistry.sol";
import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {RingShuffle} from "../../src/libraries/RingShuffle.sol";
import {Liars} from "../utils/Liars.sol";

/// @notice What other contracts may do to a round: the court's four hooks, the guardian's pause, the guideline's epochs.
contract RoundHooksTest is Liars {
    uint256 private constant N = 8;

    function setUp() public {
        _deploy(_defaults());
        _admitMany(N);
    }

    function _asCourt() private {
        vm.prank(address(court));
    }

    function _wrongPhase(IRoundManager.Phase actual) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IRoundManager.WrongPhase.selector, actual, IRoundManager.Phase.Challenge);
    }

    // --- who ----------------------------------------------------------------------------------------------------------

    function test_hooks_RevertWhen_notTheCourt() public {
        uint256 round = _toChallenge(N);
        bytes memory refused = abi.encodeWithSelector(IRoundManager.NotCourt.selector, address(this), address(court));
        vm.expectRevert(refused);
        rounds.extend(round, uint40(block.timestamp));
        vm.expectRevert(refused);
        rounds.rescore(round, 0, IRoundManager.UpdateStatus.Malformed, 0);
        vm.expectRevert(refused);
        rounds.voidRound(round);
        vm.expectRevert(refused);
        rounds.forfeit(round, 0);
    }

    function test_hooks_RevertWhen_notInChallenge() public {
        uint256 round = _toAttest(N);
        for (uint256 i = 0; i < 2; ++i) {
            IRoundManager.Phase phase = _phaseOf(round);
            vm.startPrank(address(court));
            vm.expectRevert(_wrongPhase(phase));
            rounds.extend(round, uint40(block.timestamp));
            vm.expectRevert(_wrongPhase(phase));
            rounds.rescore(round, 0, IRoundManager.UpdateStatus.Malformed, 0);
            vm.expectRevert(_wrongPhase(phase));
            rounds.voidRound(round);
            vm.expectRevert(_wrongPhase(phase));
            rounds.forfeit(round, 0);
            vm.stopPrank();
            if (i == 0) _expire(round); // Voided for want of a quorum
        }
    }

    function test_hooks_RevertWhen_afterTheDeadline() public {
        uint256 round = _toChallenge(N);
        (, uint40 deadline) = rounds.phaseOf(round);
        vm.warp(uint256(deadline) + 1);
        bytes memory late =
            abi.encodeWithSelector(IRoundManager.DeadlinePassed.selector, deadline, uint256(deadline) + 1);
        vm.startPrank(address(court));
        vm.expectRevert(late);
        rounds.extend(round, deadline + 10);
        vm.expectRevert(late);
        rounds.rescore(round, 0, IRoundManager.UpdateStatus.Malformed, 0);
        vm.expectRevert(late);
        rounds.voidRound(round);
        rounds.forfeit(round, 0); // still possible: nobody has been paid
        vm.stopPrank();
    }

    // --- extend -------------------------------------------------------------------------------------------------------

    function test_extend_movesTheDeadlineOnlyLater() public {
        uint256 round = _toChallenge(N);
        (, uint40 deadline) = rounds.phaseOf(round);
        _asCourt();
        rounds.extend(round, deadline - 1);
        (, uint40 now_) = rounds.phaseOf(round);
        assertEq(now_, deadline, "never earlier");
        vm.expectEmit(address(rounds));
        emit IRoundManager.DeadlineExtended(round, deadline + 5);
        _asCourt();
        rounds.extend(round, deadline + 5);
        (, now_) = rounds.phaseOf(round);
        assertEq(now_, deadline + 5, "later");
        vm.warp(deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.TooEarly.selector, deadline + 5, deadline + 1));
        rounds.advance(round);
        _expire(round);
        _assertPhase(round, IRoundManager.Phase.Finalized, "ends");
    }

    /// I12: the court cannot hold a round for longer than a dispute may take.
    function test_I12_extend_RevertWhen_tooLong() public {
        uint256 round = _toChallenge(N);
        uint256 latest = block.timestamp + 2 hours;
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.ExtensionTooLong.selector, latest + 1, latest));
        _asCourt();
        rounds.extend(round, uint40(latest + 1));
        _asCourt();
        rounds.extend(round, uint40(latest));
    }

    // --- rescore ------------------------------------------------------------------------------------------------------

    /// Accepted before and after: the round goes on with the new weight, and other fields are paid.
    function test_rescore_keepsARoundWhoseAcceptedUpdatesStay() public {
        uint256 round = _toChallenge(N);
        uint256 sum = rounds.roundOf(round).sumWeight;
        uint256 verifier = rounds.indexAt(round, (rounds.positionOf(round, 2) + N - 1) % N);
        assertEq(rounds.earningsOf(round, verifier).correct, 7, "right so far");
        vm.expectEmit(address(rounds));
        emit IRoundManager.UpdateRescored(round, 2, members[2], IRoundManager.UpdateStatus.Accepted, 30_000, 20_000);
        _asCourt();
        rounds.rescore(round, 2, IRoundManager.UpdateStatus.Accepted, 30_000);
        (IRoundManager.UpdateStatus status, int32 gain, uint32 weight,,) = rounds.resultOf(round, 2);
        assertEq(uint256(status), uint256(IRoundManager.UpdateStatus.Accepted), "status");
        assertEq(gain, 30_000, "gain");
        assertEq(weight, GAIN_CAP, "capped");
        assertEq(rounds.roundOf(round).sumWeight, sum - 1200 + GAIN_CAP, "sum");
        assertEq(rounds.roundOf(round).accepted, N, "accepted");
        assertEq(rounds.earningsOf(round, verifier).correct, 6, "one field was wrong");
        _assertPhase(round, IRoundManager.Phase.Challenge, "goes on");
    }

    function test_rescore_voidsWhereAnAcceptedUpdateFalls() public {
        uint256 round = _toChallenge(N);
        uint256 sum = rounds.roundOf(round).sumWeight;
        vm.expectEmit(address(rounds));
        emit IRoundManager.UpdateRescored(round, 2, members[2], IRoundManager.UpdateStatus.Harmful, -5000, 0);
        vm.expectEmit(address(rounds));
        emit IRoundManager.PhaseChanged(round, IRoundManager.Phase.Voided, uint40(block.timestamp));
        vm.expectEmit(address(rounds));
        emit IRoundManager.RoundVoided(round, IRoundManager.VoidReason.CourtVoided);
        _asCourt();
        rounds.rescore(round, 2, IRoundManager.UpdateStatus.Harmful, -5000);
        IRoundManager.Round memory r = rounds.roundOf(round);
        assertEq(r.accepted, N - 1, "accepted");
        assertEq(r.sumWeight, sum - 1200, "sum");
        (,, uint256 from) = rounds.latestModel();
        assertEq(from, 0, "no model of it");
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.RoundEnded.selector, round, IRoundManager.Phase.Voided));
        rounds.advance(round);
        assertEq(_open(), round + 1, "the next one opens");
    }

    function test_rescore_voidsWhereAnUpdateBecomesAccepted() public {
        _fieldOf[2] = 2;
        uint256 round = _toChallenge(N);
        _asCourt();
        rounds.rescore(round, 2, IRoundManager.UpdateStatus.Accepted, 700);
        IRoundManager.Round memory r = rounds.roundOf(round);
        assertEq(uint256(r.voidReason), uint256(IRoundManager.VoidReason.CourtVoided), "voided");
        assertEq(r.accepted, N, "accepted");
    }

    function test_rescore_keepsARoundWhereNeitherIsAccepted() public {
        _fieldOf[2] = 2;
        uint256 round = _toChallenge(N);
        _asCourt();
        rounds.rescore(round, 2, IRoundManager.UpdateStatus.Rejected, 7);
        _assertPhase(round, IRoundManager.Phase.Challenge, "goes on");
        _assertVerdict(round, 2, IRoundManager.UpdateStatus.Rejected, "corrected");
    }

    /// A voided round's record is corrected, and it is voided once.
    function test_rescore_correctsAVoidedRound() public {
        uint256 round = _toChallenge(N);
        _asCourt();
        rounds.voidRound(round);
        (, uint40 ended) = rounds.phaseOf(round);
        skip(30);
        vm.startPrank(address(court));
        rounds.voidRound(round);
        rounds.rescore(round, 2, IRoundManager.UpdateStatus.Malformed, 0);
        vm.stopPrank();
        _assertVerdict(round, 2, IRoundManager.UpdateStatus.Malformed, "corrected");
        (, uint40 now_) = rounds.phaseOf(round);
        assertEq(now_, ended, "the moment of the end stays");
    }

    function test_rescore_keepsTheFlags() public {
        uint256 round = _toChallenge(N);
        vm.startPrank(address(court));
        rounds.forfeit(round, 2);
        rounds.rescore(round, 2, IRoundManager.UpdateStatus.Accepted, 999);
        vm.stopPrank();
        (,,,, bool isForfeited) = rounds.resultOf(round, 2);
        assertTrue(isForfeited, "forfeited");
    }

    function test_rescore_RevertWhen_notOnTheRing() public {
        uint256 round = _toChallenge(N);
        vm.startPrank(address(court));
        vm.expectRevert(abi.encodeWithSelector(RingShuffle.OutsideRing.selector, N, N));
        rounds.rescore(round, uint16(N), IRoundManager.UpdateStatus.Rejected, 0);
        vm.expectRevert(abi.encodeWithSelector(RingShuffle.OutsideRing.selector, N, N));
        rounds.forfeit(round, uint16(N));
        vm.stopPrank();
    }

    // --- voidRound and forfeit ----------------------------------------------------------------------------------------

    function test_voidRound_endsWithoutAModel() public {
        uint256 round = _toChallenge(N);
        vm.expectEmit(address(rounds));
        emit IRoundManager.RoundVoided(round, IRoundManager.VoidReason.CourtVoided);
        _asCourt();
        rounds.voidRound(round);
        _assertPhase(round, IRoundManager.Phase.Voided, "voided");
    }

    function test_forfeit_takesEveryReward() public {
        uint256 round = _toChallenge(N);
        uint256 sum = rounds.roundOf(round).sumWeight;
        vm.expectEmit(address(rounds));
        emit IRoundManager.UpdateForfeited(round, 2, members[2]);
        _asCourt();
        rounds.forfeit(round, 2);
        assertEq(rounds.roundOf(round).sumWeight, sum, "others are paid as before");
        _expire(round);
        assertEq(distributor.claim(round, 2), 0, "nothing");
        assertGt(distributor.claim(round, 3), 0, "others are paid");
    }

    // --- guardian and guideline ---------------------------------------------------------------------------------------

    function test_pause_blocksOpeningAndNothingElse() public {
        uint256 round = _toChallenge(N);
        guardian.set(IGuardian.Entry.OpenRound, true);
        _expire(round);
        _assertPhase(round, IRoundManager.Phase.Finalized, "a running round ends");
        bytes32 slice = _benchmarkCommitment(round + 1);
        address steward = _steward(round + 1);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.EntryPaused.selector, IGuardian.Entry.OpenRound));
        vm.prank(steward);
        rounds.openRound(slice);
        skip(2 hours);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.EntryPaused.selector, IGuardian.Entry.OpenRound));
        rounds.openRound(0);
        guardian.set(IGuardian.Entry.OpenRound, false);
        rounds.openRound(0);
    }

    /// A change of the scoring takes effect with the next round.
    function test_epoch_isPinnedAtOpening() public {
        uint256 round = _toSettle(N);
        guidelines.setScoring(
            IGuidelineRegistry.Scoring({tau: 5, deltaMin: 400_000, harmMin: 500_000, gainCap: 524_287})
        );
        _settleAll(round, N);
        assertEq(rounds.roundOf(round).accepted, N, "scored as it was opened");
        IRoundManager.Round memory r = rounds.roundOf(round);
        assertEq(r.epoch, 1, "epoch");
        assertEq(r.tau, 300, "tau");
        assertEq(r.deltaMin, 100, "deltaMin");
        assertEq(r.harmMin, 1000, "harmMin");
        assertEq(r.gainCap, GAIN_CAP, "gainCap");
        rounds.advance(round);
        _expire(round);
        round = _toSettle(N);
        r = rounds.roundOf(round);
        assertEq(r.epoch, 2, "next epoch");
        assertEq(r.tau, 5, "tau");
        assertEq(r.deltaMin, 400_000, "deltaMin");
        assertEq(r.harmMin, 500_000, "harmMin");
        assertEq(r.gainCap, 524_287, "gainCap");
        _settleAll(round, N);
        assertEq(rounds.roundOf(round).accepted, 0, "scored by the new bounds");
    }
}
