// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IMemberRegistry} from "../../src/interfaces/IMemberRegistry.sol";
import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {Community} from "../utils/Community.sol";

/// @notice Proofs of fault: when each can be given, that it is given once, and what it costs.
contract RoundFaultsTest is Community {
    uint256 private constant N = 8;
    address private prover = makeAddr("prover");

    function setUp() public {
        _deploy(_defaults());
        _admitMany(N);
    }

    function _notProvable(uint256 round) private view returns (bytes memory) {
        IRoundManager.Round memory r = rounds.roundOf(round);
        return abi.encodeWithSelector(IRoundManager.FaultNotProvable.selector, r.phase, r.voidReason);
    }

    function _wrongEntry(address account, IRoundManager.Entry actual, IRoundManager.Entry expected)
        private
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(IRoundManager.WrongEntry.selector, account, actual, expected);
    }

    function _expectSlashed(address member, uint256 round, uint8 fault, uint256 amount) private {
        vm.expectEmit(address(registry));
        emit IMemberRegistry.Slashed(member, round, fault, amount, amount, 0, prover, GRANT - amount);
        vm.prank(prover);
    }

    // --- update not revealed ------------------------------------------------------------------------------------------

    function test_unrevealedUpdate_RevertWhen_revealIsNotOver() public {
        uint256 round = _toReveal(N);
        (, uint40 deadline) = rounds.phaseOf(round);
        vm.warp(uint256(deadline) + 1); // past the deadline, not advanced
        vm.expectRevert(_notProvable(round));
        rounds.slashUnrevealedUpdate(round, members[0]);
    }

    function test_unrevealedUpdate_RevertWhen_thereWasNoReveal() public {
        uint256 round = _open();
        _commit(round, members[0]);
        _expire(round); // voided: too few commits
        vm.expectRevert(_notProvable(round));
        rounds.slashUnrevealedUpdate(round, members[0]);
    }

    function test_unrevealedUpdate_RevertWhen_noFault() public {
        uint256 round = _toReveal(N - 1);
        for (uint256 i = 0; i < N - 2; ++i) {
            _reveal(round, members[i]);
        }
        _expire(round);
        vm.expectRevert(_wrongEntry(members[N - 1], IRoundManager.Entry.None, IRoundManager.Entry.Committed));
        rounds.slashUnrevealedUpdate(round, members[N - 1]);
        vm.expectRevert(_wrongEntry(members[0], IRoundManager.Entry.Revealed, IRoundManager.Entry.Committed));
        rounds.slashUnrevealedUpdate(round, members[0]);
        rounds.slashUnrevealedUpdate(round, members[N - 2]);
        vm.expectRevert(_wrongEntry(members[N - 2], IRoundManager.Entry.Slashed, IRoundManager.Entry.Committed));
        rounds.slashUnrevealedUpdate(round, members[N - 2]);
    }

    function test_unrevealedUpdate_costs2Percent() public {
        uint256 round = _toReveal(N);
        _expire(round); // voided: too few reveals; still a fault
        _expectSlashed(members[0], round, 1, 2e18);
        rounds.slashUnrevealedUpdate(round, members[0]);
        assertEq(token.balanceOf(prover), 0, "no bounty out of a grant");
    }

    // --- verifiers ----------------------------------------------------------------------------------------------------

    function test_verifiers_RevertWhen_scoreRevealIsNotOver() public {
        uint256 round = _toScoreCommit(N);
        vm.expectRevert(_notProvable(round));
        rounds.slashAbsentVerifier(round, 0);
        _commitScores(round, 0, 0);
        _expire(round);
        vm.expectRevert(_notProvable(round));
        rounds.slashUnrevealedScores(round, 0);
    }

    function test_verifiers_RevertWhen_theRoundDrewNoRing() public {
        uint256 round = _toReveal(N);
        _reveal(round, members[0]);
        _expire(round); // voided: too few reveals
        vm.expectRevert(_notProvable(round));
        rounds.slashAbsentVerifier(round, 0);
        round = _open();
        _expire(round); // voided: too few commits
        vm.expectRevert(_notProvable(round));
        rounds.slashAbsentVerifier(round, 0);
    }

    function test_verifiers_RevertWhen_noFault() public {
        uint256 round = _toSettle(N);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.NoSuchIndex.selector, N, N));
        rounds.slashAbsentVerifier(round, uint16(N));
        vm.expectRevert(_wrongEntry(members[0], IRoundManager.Entry.Revealed, IRoundManager.Entry.None));
        rounds.slashAbsentVerifier(round, 0);
        vm.expectRevert(_wrongEntry(members[0], IRoundManager.Entry.Revealed, IRoundManager.Entry.Committed));
        rounds.slashUnrevealedScores(round, 0);
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
        _expectSlashed(members[0], round, 2, 1e18);
        rounds.slashAbsentVerifier(round, 0);
        vm.expectRevert(_wrongEntry(members[0], IRoundManager.Entry.Slashed, IRoundManager.Entry.None));
        rounds.slashAbsentVerifier(round, 0);
        vm.expectRevert(_wrongEntry(members[0], IRoundManager.Entry.Slashed, IRoundManager.Entry.Committed));
        rounds.slashUnrevealedScores(round, 0);
    }

    function test_unrevealedScores_cost5PercentOnce() public {
        uint256 round = _toSettleWithOneAbsentAndOneSilent();
        vm.expectRevert(_wrongEntry(members[1], IRoundManager.Entry.Committed, IRoundManager.Entry.None));
        rounds.slashAbsentVerifier(round, 1);
        _expectSlashed(members[1], round, 3, 5e18);
        rounds.slashUnrevealedScores(round, 1);
        vm.expectRevert(_wrongEntry(members[1], IRoundManager.Entry.Slashed, IRoundManager.Entry.Committed));
        rounds.slashUnrevealedScores(round, 1);
    }

    function test_verifiers_canBeProvenInAVoidedRound() public {
        uint256 round = _toSettleWithOneAbsentAndOneSilent();
        _expire(round); // nothing settled
        _assertPhase(round, IRoundManager.Phase.Voided, "voided");
        rounds.slashAbsentVerifier(round, 0);
        assertEq(registry.stakeOf(members[0]), 99e18, "slashed");
    }

    /// A slashed commitment is no word: it must not count as scores of the update.
    function test_aSlashedEntryIsNotAWord() public {
        uint256 round = _toSettleWithOneAbsentAndOneSilent();
        rounds.slashUnrevealedScores(round, 1);
        _settleAll(round, N);
        (IRoundManager.Entry entry, uint256 word) = rounds.scoresOf(round, 1);
        assertEq(uint256(entry), uint256(IRoundManager.Entry.Slashed), "entry");
        assertEq(word, 0, "no word");
        assertEq(rounds.roundOf(round).accepted, N, "5 of 7 verifiers agree everywhere");
        assertEq(rounds.earningsOf(round, 1).correct, 0, "earns nothing");
    }

    // --- attestations -------------------------------------------------------------------------------------------------

    function test_wrongAttestation_RevertWhen_nothingIsProposed() public {
        uint256 round = _toAttest(N);
        _attest(round, 0);
        vm.expectRevert(_notProvable(round));
        rounds.slashWrongAttestation(round, 0);
        _expire(round); // voided
        vm.expectRevert(_notProvable(round));
        rounds.slashWrongAttestation(round, 0);
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

        vm.expectPartialRevert(IRoundManager.NoWrongAttestation.selector);
        rounds.slashWrongAttestation(round, 0); // right
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.NoWrongAttestation.selector, 7, bytes32(0)));
        rounds.slashWrongAttestation(round, 7); // absent
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.NoSuchSlot.selector, 8, 8));
        rounds.slashWrongAttestation(round, 8);
        _expectSlashed(liar, round, 7, 25e18);
        rounds.slashWrongAttestation(round, 6);
        _expire(round); // Finalized: still provable, still once
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.AlreadySlashed.selector, 6));
        rounds.slashWrongAttestation(round, 6);
    }
}
