// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRoundManager} from "../interfaces/IRoundManager.sol";

/// @dev A verifier's or juror's entry in one slot: bits 0 … 7 how far it came, bits 8 … 255 its commitment's highest bits
/// (Committed) or its word or ballot (Revealed).
type ScoreSlot is uint256;

using ScoreSlots for ScoreSlot global;

/// @title ScoreSlots
/// @notice Packs and unpacks a verifier's entry. A value type and not a struct, so that a read is one storage access.
library ScoreSlots {
    uint256 private constant CONTENT_SHIFT = 8;

    /// @notice A slot of `entry` with `content`, which has at most 248 bits.
    function pack(IRoundManager.Entry entry, uint256 content) internal pure returns (ScoreSlot) {
        return ScoreSlot.wrap((content << CONTENT_SHIFT) | uint256(uint8(entry)));
    }

    /// @notice A commitment cut to the bits that a slot holds: its highest 248.
    function cut(bytes32 commitment) internal pure returns (uint256) {
        return uint256(commitment) >> CONTENT_SHIFT;
    }

    /// @notice A cut commitment back at its place in a word.
    function uncut(uint256 content) internal pure returns (bytes32) {
        return bytes32(content << CONTENT_SHIFT);
    }

    /// @notice How far the verifier came.
    function entryOf(ScoreSlot slot) internal pure returns (IRoundManager.Entry) {
        // The lowest 8 bits are an Entry: only `pack` writes slots.
        return IRoundManager.Entry(uint8(ScoreSlot.unwrap(slot)));
    }

    /// @notice How far the verifier came, and its word once Revealed.
    function revealed(ScoreSlot slot) internal pure returns (IRoundManager.Entry entry, uint256 word) {
        entry = entryOf(slot);
        if (entry == IRoundManager.Entry.Revealed) word = contentOf(slot);
    }

    /// @notice What it committed or revealed.
    function contentOf(ScoreSlot slot) internal pure returns (uint256) {
        return ScoreSlot.unwrap(slot) >> CONTENT_SHIFT;
    }
}
