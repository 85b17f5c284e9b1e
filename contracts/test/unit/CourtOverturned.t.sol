// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IMemberRegistry} from "../../src/interfaces/IMemberRegistry.sol";
import {IRoundCourt} from "../../src/interfaces/IRoundCourt.sol";
import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {Disputes} from "../utils/Disputes.sol";

/// @notice What an overturned score proves against its panel.
contract CourtOverturnedTest is Disputes {
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
}
