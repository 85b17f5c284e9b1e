// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRoundManager} from "../interfaces/IRoundManager.sol";
import {ScoreSlots} from "../libraries/ScoreSlots.sol";
import {RoundState} from "./RoundState.sol";

/// @title RoundFaults
/// @notice The faults of docs/protocol.md and what each costs. Proven faults pay the prover half; what `settle` finds burns
/// whole, since those who voted must not gain.
abstract contract RoundFaults is RoundState {
    // Codes and basis points of the stake.
    uint8 internal constant UPDATE_NOT_REVEALED = 1;
    uint8 internal constant VERIFIER_ABSENT = 2;
    uint8 internal constant SCORES_NOT_REVEALED = 3;
    uint8 internal constant UNAVAILABLE = 4;
    uint8 internal constant MALFORMED = 5;
    uint8 internal constant HARMFUL = 6;
    uint8 internal constant WRONG_ATTESTATION = 7;

    uint16 internal constant UPDATE_NOT_REVEALED_BPS = 200;
    uint16 internal constant VERIFIER_ABSENT_BPS = 100;
    uint16 internal constant SCORES_NOT_REVEALED_BPS = 500;
    uint16 internal constant UNAVAILABLE_BPS = 200;
    uint16 internal constant MALFORMED_BPS = 2000;
    uint16 internal constant HARMFUL_BPS = 1000;
    uint16 internal constant WRONG_ATTESTATION_BPS = 2500;

    // --- proofs -------------------------------------------------------------------------------------------------------

    /// @inheritdoc IRoundManager
    function slashUnrevealedUpdate(uint256 round, address trainer) external override {
        Round storage r = _rounds[round];
        if (r.phase < Phase.Seed || r.voidReason == VoidReason.TooFewCommits) {
            revert FaultNotProvable(r.phase, r.voidReason);
        }
        Trainer storage t = _trainers[round][trainer];
        if (t.entry != Entry.Committed) revert WrongEntry(trainer, t.entry, Entry.Committed);
        t.entry = Entry.Slashed;
        _slash(trainer, UPDATE_NOT_REVEALED_BPS, UPDATE_NOT_REVEALED, round, msg.sender);
    }

    /// @inheritdoc IRoundManager
    function slashAbsentVerifier(uint256 round, uint16 index) external override {
        _slashVerifier(round, index, Entry.None, VERIFIER_ABSENT_BPS, VERIFIER_ABSENT);
    }

    /// @inheritdoc IRoundManager
    function slashUnrevealedScores(uint256 round, uint16 index) external override {
        _slashVerifier(round, index, Entry.Committed, SCORES_NOT_REVEALED_BPS, SCORES_NOT_REVEALED);
    }

    /// @inheritdoc IRoundManager
    function slashWrongAttestation(uint256 round, uint8 slot) external override {
        Round storage r = _rounds[round];
        if (r.phase != Phase.Challenge && r.phase != Phase.Finalized) {
            revert FaultNotProvable(r.phase, r.voidReason);
        }
        address attester = _attester(round, slot);
        bytes32 attestation = _attestations[round][slot];
        uint32 bit = _bit(slot);
        if (attestation == 0 || r.correctSlots & bit != 0) revert NoWrongAttestation(slot, attestation);
        if (r.slashedSlots & bit != 0) revert AlreadySlashed(slot);
        r.slashedSlots |= bit;
        _slash(attester, WRONG_ATTESTATION_BPS, WRONG_ATTESTATION, round, msg.sender);
    }

    // --- helpers ------------------------------------------------------------------------------------------------------

    /// @dev Slashes the owner of `index` if its score entry stands at `fault`. An entry ends in Slashed, so once only.
    function _slashVerifier(uint256 round, uint16 index, Entry fault, uint16 bps, uint8 code) private {
        Round storage r = _rounds[round];
        // Only a round that drew its ring passes ScoreReveal: one voided before has another reason.
        if (
            r.phase < Phase.Settle || r.voidReason == VoidReason.TooFewCommits
                || r.voidReason == VoidReason.TooFewReveals
        ) revert FaultNotProvable(r.phase, r.voidReason);
        if (index >= r.reveals) revert NoSuchIndex(index, r.reveals);
        address verifier = _owners[round][index];
        Entry entry = _scores[round][index].entryOf();
        if (entry != fault) revert WrongEntry(verifier, entry, fault);
        _scores[round][index] = ScoreSlots.pack(Entry.Slashed, 0);
        _slash(verifier, bps, code, round, msg.sender);
    }

    /// @dev Penalty for a verdict on the update of `index`; nothing for the others.
    function _slashFor(UpdateStatus status, uint256 round, uint256 index) internal {
        if (status == UpdateStatus.Unavailable) {
            _slash(_owners[round][index], UNAVAILABLE_BPS, UNAVAILABLE, round, address(0));
        } else if (status == UpdateStatus.Malformed) {
            _slash(_owners[round][index], MALFORMED_BPS, MALFORMED, round, address(0));
        } else if (status == UpdateStatus.Harmful) {
            _slash(_owners[round][index], HARMFUL_BPS, HARMFUL, round, address(0));
        }
    }

    function _slash(address member, uint16 bps, uint8 fault, uint256 round, address prover) private {
        // The amount is the registry's business: it stands in its event.
        // slither-disable-next-line unused-return
        registry.slash(member, bps, fault, round, prover);
    }
}
