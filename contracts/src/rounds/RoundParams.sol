// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRoundManager} from "../interfaces/IRoundManager.sol";
import {SCORE_FIELDS} from "../libraries/ScoreWord.sol";

/// @title RoundParams
/// @notice The constants of one deployment: checked once, then immutable (a read costs no storage access).
abstract contract RoundParams is IRoundManager {
    /// @notice Bits of the attesters' maps, and the loop bound of `proposeAggregate`.
    uint256 public constant MOST_ATTESTERS = 31;
    /// @notice Most updates that one `settle` handles.
    uint256 public constant MAX_SETTLE = 16;
    /// @notice A ring needs a verifier besides the owner.
    uint256 public constant LEAST_PARTICIPANTS = 2;
    /// @notice Longest phase: 30 days in seconds.
    uint256 public constant LONGEST_PHASE = 30 days;
    /// @notice A block's hash can be read for 256 blocks, so the delay must leave time to read it.
    uint256 public constant LONGEST_SEED_DELAY = 128;

    uint32 internal immutable OPEN_WINDOW;
    uint32 internal immutable COMMIT_DURATION;
    uint32 internal immutable REVEAL_DURATION;
    uint32 internal immutable SCORE_DURATION;
    uint32 internal immutable SETTLE_DURATION;
    uint32 internal immutable ATTEST_DURATION;
    uint32 internal immutable CHALLENGE_DURATION;
    uint32 internal immutable DISPUTE_DURATION;
    uint16 internal immutable SEED_DELAY_BLOCKS;
    uint16 internal immutable MIN_PARTICIPANTS;
    uint8 internal immutable MAX_VERIFIERS;
    uint8 internal immutable MAX_ATTESTERS;

    constructor(Params memory p) {
        _check("openWindow", p.openWindow, 1, LONGEST_PHASE);
        _check("commitDuration", p.commitDuration, 1, LONGEST_PHASE);
        _check("revealDuration", p.revealDuration, 1, LONGEST_PHASE);
        _check("scoreDuration", p.scoreDuration, 1, LONGEST_PHASE);
        _check("settleDuration", p.settleDuration, 1, LONGEST_PHASE);
        _check("attestDuration", p.attestDuration, 1, LONGEST_PHASE);
        _check("challengeDuration", p.challengeDuration, 1, LONGEST_PHASE);
        _check("disputeDuration", p.disputeDuration, 1, LONGEST_PHASE);
        _check("seedDelayBlocks", p.seedDelayBlocks, 1, LONGEST_SEED_DELAY);
        _check("minParticipants", p.minParticipants, LEAST_PARTICIPANTS, type(uint16).max);
        _check("maxVerifiers", p.maxVerifiers, 1, SCORE_FIELDS);
        _check("maxAttesters", p.maxAttesters, 1, MOST_ATTESTERS);
        OPEN_WINDOW = p.openWindow;
        COMMIT_DURATION = p.commitDuration;
        REVEAL_DURATION = p.revealDuration;
        SCORE_DURATION = p.scoreDuration;
        SETTLE_DURATION = p.settleDuration;
        ATTEST_DURATION = p.attestDuration;
        CHALLENGE_DURATION = p.challengeDuration;
        DISPUTE_DURATION = p.disputeDuration;
        SEED_DELAY_BLOCKS = p.seedDelayBlocks;
        MIN_PARTICIPANTS = p.minParticipants;
        MAX_VERIFIERS = p.maxVerifiers;
        MAX_ATTESTERS = p.maxAttesters;
    }

    /// @inheritdoc IRoundManager
    function params() external view override returns (Params memory p) {
        p.openWindow = OPEN_WINDOW;
        p.commitDuration = COMMIT_DURATION;
        p.revealDuration = REVEAL_DURATION;
        p.scoreDuration = SCORE_DURATION;
        p.settleDuration = SETTLE_DURATION;
        p.attestDuration = ATTEST_DURATION;
        p.challengeDuration = CHALLENGE_DURATION;
        p.disputeDuration = DISPUTE_DURATION;
        p.seedDelayBlocks = SEED_DELAY_BLOCKS;
        p.minParticipants = MIN_PARTICIPANTS;
        p.maxVerifiers = MAX_VERIFIERS;
        p.maxAttesters = MAX_ATTESTERS;
    }

    /// @dev Duration of a phase that ends by a deadline; 0 for the others.
    function _durationOf(Phase phase) internal view returns (uint40) {
        if (phase == Phase.Commit) return COMMIT_DURATION;
        if (phase == Phase.Reveal) return REVEAL_DURATION;
        if (phase == Phase.ScoreCommit || phase == Phase.ScoreReveal) return SCORE_DURATION;
        if (phase == Phase.RetryCommit || phase == Phase.RetryReveal) return SCORE_DURATION;
        if (phase == Phase.Settle || phase == Phase.RetrySettle) return SETTLE_DURATION;
        if (phase == Phase.Attest) return ATTEST_DURATION;
        if (phase == Phase.Challenge) return CHALLENGE_DURATION;
        return 0;
    }

    /// @inheritdoc IRoundManager
    function longestRound() public view override returns (uint256) {
        return uint256(COMMIT_DURATION) + REVEAL_DURATION + 4 * uint256(SCORE_DURATION) + 2 * uint256(SETTLE_DURATION)
            + ATTEST_DURATION + CHALLENGE_DURATION + DISPUTE_DURATION;
    }

    /// @dev Verifiers of each update, k, on a ring of `n`.
    function _verifiersOf(uint256 n) internal view returns (uint256) {
        return n - 1 < MAX_VERIFIERS ? n - 1 : MAX_VERIFIERS;
    }

    /// @dev Attesters of a ring of `n`.
    function _attestersOf(uint256 n) internal view returns (uint256) {
        return n < MAX_ATTESTERS ? n : MAX_ATTESTERS;
    }

    function _check(bytes32 name, uint256 value, uint256 least, uint256 most) private pure {
        if (value < least || value > most) revert ParameterOutOfBounds(name, value, least, most);
    }
}
