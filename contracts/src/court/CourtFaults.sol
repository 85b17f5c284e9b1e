// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRoundCourt} from "../interfaces/IRoundCourt.sol";
import {IRoundManager} from "../interfaces/IRoundManager.sol";
import {CommitHash} from "../libraries/CommitHash.sol";
import {CourtState} from "./CourtState.sol";

/// @title CourtFaults
/// @notice Faults that the record of a round proves, and the verdicts that nobody overturned.
abstract contract CourtFaults is CourtState {
    // Codes and basis points of the stake.
    uint8 internal constant UPDATE_NOT_REVEALED = 1;
    uint8 internal constant VERIFIER_ABSENT = 2;
    uint8 internal constant SCORES_NOT_REVEALED = 3;
    uint8 internal constant WRONG_ATTESTATION = 7;
    uint8 internal constant ATTESTER_ABSENT = 8;
    uint8 internal constant SLICE_NOT_REVEALED = 9;
    uint8 internal constant COPY = 10;

    uint256 internal constant UPDATE_NOT_REVEALED_BPS = 200;
    uint256 internal constant VERIFIER_ABSENT_BPS = 100;
    uint256 internal constant SCORES_NOT_REVEALED_BPS = 500;
    uint256 internal constant UNAVAILABLE_BPS = 200;
    uint256 internal constant MALFORMED_BPS = 2000;
    uint256 internal constant HARMFUL_BPS = 1000;
    uint256 internal constant WRONG_ATTESTATION_BPS = 2500;
    uint256 internal constant ATTESTER_ABSENT_BPS = 100;
    uint256 internal constant SLICE_NOT_REVEALED_BPS = 500;
    uint256 internal constant COPY_BPS = 2000;

    /// @dev Added to an index for the subject of a fault in the retry.
    uint256 private constant RETRY = 1 << 16;
    /// @dev Bits of an update's commitment that the RoundManager does not keep.
    uint256 private constant COMMITMENT_CUT = 256 - 208;

    // --- silence ------------------------------------------------------------------------------------------------------

    /// @inheritdoc IRoundCourt
    function slashUnrevealedUpdate(uint256 round, address trainer) external override {
        _requireRevealOver(roundManager.roundOf(round));
        // Where the entry is at fault there is no index, and the commitment stays closed.
        // slither-disable-next-line unused-return
        (IRoundManager.Entry entry, uint16 sequence,,) = roundManager.trainerOf(round, trainer);
        _requireEntry(trainer, entry, IRoundManager.Entry.Committed);
        _mark(round, UPDATE_NOT_REVEALED, sequence);
        _slash(round, trainer, UPDATE_NOT_REVEALED_BPS, UPDATE_NOT_REVEALED, sequence, msg.sender);
    }

    /// @inheritdoc IRoundCourt
    function slashAbsentVerifier(uint256 round, uint16 index, bool retry) external override {
        _slashVerifier(round, index, retry, IRoundManager.Entry.None, VERIFIER_ABSENT_BPS, VERIFIER_ABSENT);
    }

    /// @inheritdoc IRoundCourt
    function slashUnrevealedScores(uint256 round, uint16 index, bool retry) external override {
        _slashVerifier(round, index, retry, IRoundManager.Entry.Committed, SCORES_NOT_REVEALED_BPS, SCORES_NOT_REVEALED);
    }

    /// @dev Slashes the owner of `index` if its score entry stands at `fault`.
    function _slashVerifier(uint256 round, uint16 index, bool retry, IRoundManager.Entry fault, uint256 bps, uint8 code)
        private
    {
        IRoundManager.Round memory r = roundManager.roundOf(round);
        // Only a round that drew its ring passes ScoreReveal: one voided before has another reason.
        if (
            r.phase < (retry ? IRoundManager.Phase.RetrySettle : IRoundManager.Phase.Settle)
                || r.voidReason == IRoundManager.VoidReason.TooFewCommits
                || r.voidReason == IRoundManager.VoidReason.TooFewReveals
        ) revert FaultNotProvable(r.phase, r.voidReason);
        if (index >= r.reveals) revert IRoundManager.NoSuchIndex(index, r.reveals);
        if (retry && !hasRetryDuty(round, index)) revert NoRetryDuty(round, index);
        address verifier = roundManager.ownerOf(round, index);
        // A word that was revealed is no fault, so what it says does not matter.
        // slither-disable-next-line unused-return
        (IRoundManager.Entry entry,) =
            retry ? roundManager.retryScoresOf(round, index) : roundManager.scoresOf(round, index);
        _requireEntry(verifier, entry, fault);
        uint256 subject = retry ? RETRY | index : index;
        _mark(round, code, subject);
        _slash(round, verifier, bps, code, subject, msg.sender);
    }

    /// @inheritdoc IRoundCourt
    function slashAbsentAttester(uint256 round, uint8 slot) external override {
        IRoundManager.Round memory r = roundManager.roundOf(round);
        if (r.voidReason != IRoundManager.VoidReason.NoQuorum) revert FaultNotProvable(r.phase, r.voidReason);
        // Nothing is correct where nothing was proposed.
        // slither-disable-next-line unused-return
        (address attester, bytes32 attestation,) = roundManager.attestationOf(round, slot);
        if (attestation != 0) {
            revert NoFault(attester, IRoundManager.Entry.Committed, IRoundManager.Entry.None);
        }
        _mark(round, ATTESTER_ABSENT, slot);
        _slash(round, attester, ATTESTER_ABSENT_BPS, ATTESTER_ABSENT, slot, msg.sender);
    }

    /// @inheritdoc IRoundCourt
    function slashUnrevealedSlice(uint256 round) external override {
        IRoundManager.Round memory r = roundManager.roundOf(round);
        _requireRevealOver(r);
        if (r.seal != IRoundManager.Seal.Committed) revert NoSilentSteward(r.seal);
        _mark(round, SLICE_NOT_REVEALED, 0);
        _slash(round, r.steward, SLICE_NOT_REVEALED_BPS, SLICE_NOT_REVEALED, 0, msg.sender);
    }

    // --- wrong work ---------------------------------------------------------------------------------------------------

    /// @inheritdoc IRoundCourt
    function slashVerdict(uint256 round, uint16 index) external override {
        IRoundManager.Round memory r = roundManager.roundOf(round);
        bool isFinal = r.phase == IRoundManager.Phase.Finalized
            || (r.voidReason == IRoundManager.VoidReason.CourtVoided && _isJudged(round, index));
        if (!isFinal) revert FaultNotProvable(r.phase, r.voidReason);
        // Only the verdict is punished.
        // slither-disable-next-line unused-return
        (IRoundManager.UpdateStatus status,,,,) = roundManager.resultOf(round, index);
        uint256 bps = 0;
        if (status == IRoundManager.UpdateStatus.Unavailable) bps = UNAVAILABLE_BPS;
        else if (status == IRoundManager.UpdateStatus.Malformed) bps = MALFORMED_BPS;
        else if (status == IRoundManager.UpdateStatus.Harmful) bps = HARMFUL_BPS;
        else revert NoFaultyVerdict(index, status);
        // These three faults have the codes of the verdicts.
        uint8 fault = uint8(status);
        _mark(round, fault, index);
        _slash(round, roundManager.ownerOf(round, index), bps, fault, index, address(0));
    }

    /// @dev Whether a jury agreed with the verdict on `index`, or replaced it.
    function _isJudged(uint256 round, uint256 index) private view returns (bool) {
        Outcome outcome = _disputes[_scoreDisputes[round][index]].outcome;
        return outcome == Outcome.Upheld || outcome == Outcome.Overturned;
    }

    /// @inheritdoc IRoundCourt
    function slashWrongAttestation(uint256 round, uint8 slot) external override {
        IRoundManager.Round memory r = roundManager.roundOf(round);
        if (r.phase != IRoundManager.Phase.Finalized) revert FaultNotProvable(r.phase, r.voidReason);
        (address attester, bytes32 attestation, bool isCorrect) = roundManager.attestationOf(round, slot);
        if (attestation == 0 || isCorrect) revert NoWrongAttestation(slot, attestation);
        _mark(round, WRONG_ATTESTATION, slot);
        _slash(round, attester, WRONG_ATTESTATION_BPS, WRONG_ATTESTATION, slot, msg.sender);
    }

    /// @inheritdoc IRoundCourt
    function proveCopy(
        uint256 round,
        address original,
        address copy,
        bytes32 contentHash,
        Opening calldata originalOpening,
        Opening calldata copyOpening
    ) external override {
        IRoundManager.Round memory r = roundManager.roundOf(round);
        if (r.phase < IRoundManager.Phase.Challenge) revert FaultNotProvable(r.phase, r.voidReason);
        // Where the original sits on the ring does not matter.
        // slither-disable-next-line unused-return
        (uint16 first,) = _revealedWith(round, original, contentHash, originalOpening);
        (uint16 second, uint16 index) = _revealedWith(round, copy, contentHash, copyOpening);
        if (second <= first) revert NotTheCopy(first, second);
        _mark(round, COPY, index);
        if (r.phase == IRoundManager.Phase.Challenge) roundManager.forfeit(round, index);
        _slash(round, copy, COPY_BPS, COPY, index, msg.sender);
    }

    /// @dev Sequence and index of a trainer whose revealed commitment is to these bytes.
    function _revealedWith(uint256 round, address trainer, bytes32 contentHash, Opening calldata o)
        private
        view
        returns (uint16 sequence, uint16 index)
    {
        IRoundManager.Entry entry;
        bytes32 committed;
        (entry, sequence, index, committed) = roundManager.trainerOf(round, trainer);
        _requireEntry(trainer, entry, IRoundManager.Entry.Revealed);
        bytes32 opened = CommitHash.update(
            block.chainid, address(roundManager), round, trainer, contentHash, o.cid, o.samples, o.salt
        );
        opened = (opened >> COMMITMENT_CUT) << COMMITMENT_CUT;
        if (opened != committed) revert CommitmentMismatch(committed, opened);
    }

    // --- helpers ------------------------------------------------------------------------------------------------------

    /// @dev Refuses a round whose Reveal phase is not over, or was never reached.
    function _requireRevealOver(IRoundManager.Round memory r) private pure {
        if (r.phase < IRoundManager.Phase.Seed || r.voidReason == IRoundManager.VoidReason.TooFewCommits) {
            revert FaultNotProvable(r.phase, r.voidReason);
        }
    }

    function _requireEntry(address account, IRoundManager.Entry actual, IRoundManager.Entry faulty) internal pure {
        if (actual != faulty) revert NoFault(account, actual, faulty);
    }
}
