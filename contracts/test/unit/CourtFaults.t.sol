// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRoundCourt} from "../../src/interfaces/IRoundCourt.sol";
import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {Faults} from "../utils/Faults.sol";

/// @notice Faults of silence and of wrong attestations: what the record proves, what it costs whom, and that it costs once.
contract CourtFaultsTest is Faults {
    // --- update not revealed ------------------------------------------------------------------------------------------

    function test_unrevealedUpdate_RevertWhen_revealIsNotOver() public {
        uint256 round = _toReveal(N);
        (, uint40 deadline) = rounds.phaseOf(round);
        vm.warp(uint256(deadline) + 1); // past the deadline, not advanced
        vm.expectRevert(_notProvable(round));
        court.slashUnrevealedUpdate(round, members[0]);
    }

    function test_unrevealedUpdate_RevertWhen_thereWasNoReveal() public {
        uint256 round = _open();
        _commit(round, members[0]);
        _expire(round); // voided: too few commits
        vm.expectRevert(_notProvable(round));
        court.slashUnrevealedUpdate(round, members[0]);
    }

    function test_unrevealedUpdate_RevertWhen_noFault() public {
        uint256 round = _toReveal(N - 1);
        for (uint256 i = 0; i < N - 2; ++i) {
            _reveal(round, members[i]);
        }
        _expire(round);
        vm.expectRevert(_noFault(members[N - 1], IRoundManager.Entry.None, IRoundManager.Entry.Committed));
        court.slashUnrevealedUpdate(round, members[N - 1]);
        vm.expectRevert(_noFault(members[0], IRoundManager.Entry.Revealed, IRoundManager.Entry.Committed));
        court.slashUnrevealedUpdate(round, members[0]);
    }

    function test_unrevealedUpdate_costs2PercentOnce() public {
        uint256 round = _toReveal(N);
        _expire(round); // voided: too few reveals; still a fault
        _expectPunished(members[3], round, 1, 3, 2e18);
        court.slashUnrevealedUpdate(round, members[3]);
        assertEq(registry.stakeOf(members[3]), 98e18, "stake");
        _assertPunished(round, 1, 3);
        vm.expectRevert(_punished(round, 1, 3));
        court.slashUnrevealedUpdate(round, members[3]);
        (IRoundManager.Entry entry,,,) = rounds.trainerOf(round, members[3]);
        assertEq(uint256(entry), uint256(IRoundManager.Entry.Committed), "the record stays");
    }

    // --- verifiers ----------------------------------------------------------------------------------------------------

    function test_verifiers_RevertWhen_scoreRevealIsNotOver() public {
        uint256 round = _toScoreCommit(N);
        vm.expectRevert(_notProvable(round));
        court.slashAbsentVerifier(round, 0, false);
        _commitScores(round, 0, 0);
        _expire(round);
        vm.expectRevert(_notProvable(round));
        court.slashUnrevealedScores(round, 0, false);
    }

    function test_verifiers_RevertWhen_theRoundDrewNoRing() public {
        uint256 round = _toReveal(N);
        _reveal(round, members[0]);
        _expire(round); // voided: too few reveals
        vm.expectRevert(_notProvable(round));
        court.slashAbsentVerifier(round, 0, false);
        round = _open();
        _expire(round); // voided: too few commits
        vm.expectRevert(_notProvable(round));
        court.slashAbsentVerifier(round, 0, false);
    }

    function test_verifiers_RevertWhen_noFault() public {
        uint256 round = _toSettle(N);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.NoSuchIndex.selector, N, N));
        court.slashAbsentVerifier(round, uint16(N), false);
        vm.expectRevert(_noFault(members[0], IRoundManager.Entry.Revealed, IRoundManager.Entry.None));
        court.slashAbsentVerifier(round, 0, false);
        vm.expectRevert(_noFault(members[0], IRoundManager.Entry.Revealed, IRoundManager.Entry.Committed));
        court.slashUnrevealedScores(round, 0, false);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.NoSuchIndex.selector, 0, 0));
        court.slashAbsentVerifier(0, 0, false); // genesis
    }

    function _toSettleWithOneAbsentAndOneSilent() private returns (uint256 round) {
        round = _toScoreCommit(N);
        for (uint256 index = 1; index < N; ++index) {
            _commitScores(round, index, _word(round, index));
        }
        _expire(round);
        for (uint256 index = 2; index < N; ++index) {
            _revealScores(round, index, _word(round, index));
        }
        _expire(round);
    }

    function test_absentVerifier_costs1PercentOnce() public {
        uint256 round = _toSettleWithOneAbsentAndOneSilent();
        vm.expectRevert(_noFault(members[0], IRoundManager.Entry.None, IRoundManager.Entry.Committed));
        court.slashUnrevealedScores(round, 0, false);
        _expectPunished(members[0], round, 2, 0, 1e18);
        court.slashAbsentVerifier(round, 0, false);
        _assertPunished(round, 2, 0);
        vm.expectRevert(_punished(round, 2, 0));
        court.slashAbsentVerifier(round, 0, false);
    }

    function test_unrevealedScores_cost5PercentOnce() public {
        uint256 round = _toSettleWithOneAbsentAndOneSilent();
        vm.expectRevert(_noFault(members[1], IRoundManager.Entry.Committed, IRoundManager.Entry.None));
        court.slashAbsentVerifier(round, 1, false);
        _expectPunished(members[1], round, 3, 1, 5e18);
        court.slashUnrevealedScores(round, 1, false);
        _assertPunished(round, 3, 1);
        vm.expectRevert(_punished(round, 3, 1));
        court.slashUnrevealedScores(round, 1, false);
        _settleAll(round, N);
        assertEq(rounds.roundOf(round).accepted, N, "5 of 7 verifiers agree everywhere");
        assertEq(rounds.earningsOf(round, 1).correct, 0, "a closed word earns nothing");
    }

    function test_verifiers_canBeProvenInAVoidedRound() public {
        uint256 round = _toSettleWithOneAbsentAndOneSilent();
        _expire(round); // nothing settled
        _assertPhase(round, IRoundManager.Phase.Voided, "voided");
        court.slashAbsentVerifier(round, 0, false);
        assertEq(registry.stakeOf(members[0]), 99e18, "slashed");
    }

    /// A ring of 8 has no second panel, so nobody owes it anything.
    function test_verifiers_RevertWhen_theRingHasNoSecondPanel() public {
        uint256 round = _toScoreCommit(N);
        _expire(round);
        vm.expectRevert(_notProvable(round));
        court.slashAbsentVerifier(round, 0, true);
        _expire(round);
        _settleAll(round, N); // all Unscored
        _expire(round);
        assertFalse(court.hasRetryDuty(round, 0), "none");
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.NoRetryDuty.selector, round, 0));
        court.slashAbsentVerifier(round, 0, true);
    }

    // --- the steward --------------------------------------------------------------------------------------------------

    function test_slice_RevertWhen_revealIsNotOverOrNeverWas() public {
        uint256 round = _toReveal(N);
        vm.expectRevert(_notProvable(round));
        court.slashUnrevealedSlice(round);
        _expire(round);
        round = _open();
        _expire(round); // too few commits
        vm.expectRevert(_notProvable(round));
        court.slashUnrevealedSlice(round);
    }

    function test_slice_RevertWhen_itWasOpenedOrNeverCommitted() public {
        uint256 round = _toScoreCommit(N);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.NoSilentSteward.selector, IRoundManager.Seal.Revealed));
        court.slashUnrevealedSlice(round);
        _expire(round);
        _expire(round);
        _expire(round); // nothing settled: voided
        skip(2 hours);
        round = rounds.openRound(0);
        for (uint256 i = 0; i < N; ++i) {
            _commit(round, members[i]);
        }
        rounds.advance(round);
        _expire(round);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.NoSilentSteward.selector, IRoundManager.Seal.Unsealed));
        court.slashUnrevealedSlice(round);
    }

    /// A steward that is no member has no stake: it loses 0, and the round its seal.
    function test_slice_costsTheOpener() public {
        uint256 round = _toReveal(N);
        for (uint256 i = 0; i < N; ++i) {
            _reveal(round, members[i]);
        }
        _expire(round);
        assertEq(rounds.roundOf(round).steward, seats[1], "opener");
        _expectPunished(seats[1], round, 9, 0, 0);
        court.slashUnrevealedSlice(round);
        _assertPunished(round, 9, 0);
        vm.expectRevert(_punished(round, 9, 0));
        court.slashUnrevealedSlice(round);
    }

    function test_slice_costs5PercentOfAStewardsStake() public {
        _admit(seats[1]);
        skip(1);
        uint256 round = _toReveal(N);
        _expire(round); // too few reveals: Reveal is over all the same
        _expectPunished(seats[1], round, 9, 0, 5e18);
        court.slashUnrevealedSlice(round);
    }

    // --- attesters ----------------------------------------------------------------------------------------------------

    function test_absentAttester_RevertWhen_thereWasAQuorumOrTheRoundRuns() public {
        uint256 round = _toAttest(N);
        vm.expectRevert(_notProvable(round));
        court.slashAbsentAttester(round, 7);
        for (uint256 slot = 0; slot < 6; ++slot) {
            _attest(round, slot);
        }
        _propose(round); // slots 6 and 7 had no time
        vm.expectRevert(_notProvable(round));
        court.slashAbsentAttester(round, 7);
        _expire(round);
        vm.expectRevert(_notProvable(round));
        court.slashAbsentAttester(round, 7);
    }

    function test_absentAttester_costs1PercentOnce() public {
        uint256 round = _toAttest(N);
        _attest(round, 0);
        _expire(round);
        address attester = _attester(round, 0);
        vm.expectRevert(_noFault(attester, IRoundManager.Entry.Committed, IRoundManager.Entry.None));
        court.slashAbsentAttester(round, 0);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.NoSuchSlot.selector, N, N));
        court.slashAbsentAttester(round, uint8(N));
        _expectPunished(_attester(round, 7), round, 8, 7, 1e18);
        court.slashAbsentAttester(round, 7);
        _assertPunished(round, 8, 7);
        vm.expectRevert(_punished(round, 8, 7));
        court.slashAbsentAttester(round, 7);
    }

    function test_wrongAttestation_RevertWhen_theModelIsNotFinal() public {
        uint256 round = _toAttest(N);
        for (uint256 slot = 0; slot < 6; ++slot) {
            _attest(round, slot);
        }
        vm.prank(_attester(round, 6));
        rounds.attest(round, 6, keccak256("wrong"));
        vm.expectRevert(_notProvable(round));
        court.slashWrongAttestation(round, 6);
        _propose(round);
        vm.expectRevert(_notProvable(round)); // it may still be overturned
        court.slashWrongAttestation(round, 6);
    }

    function test_wrongAttestation_costs25PercentOnce() public {
        uint256 round = _toAttest(N);
        for (uint256 slot = 0; slot < 6; ++slot) {
            _attest(round, slot);
        }
        address liar = _attester(round, 6);
        vm.prank(liar);
        rounds.attest(round, 6, keccak256("wrong"));
        _propose(round);
        _expire(round);
        vm.expectPartialRevert(IRoundCourt.NoWrongAttestation.selector);
        court.slashWrongAttestation(round, 0); // right
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.NoWrongAttestation.selector, 7, bytes32(0)));
        court.slashWrongAttestation(round, 7); // absent
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.NoSuchSlot.selector, 8, 8));
        court.slashWrongAttestation(round, 8);
        _expectPunished(liar, round, 7, 6, 25e18);
        court.slashWrongAttestation(round, 6);
        _assertPunished(round, 7, 6);
        vm.expectRevert(_punished(round, 7, 6));
        court.slashWrongAttestation(round, 6);
    }
}
