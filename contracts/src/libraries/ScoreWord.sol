// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

/// @dev Fields of a word: the most updates that one verifier scores. At file level, since arrays have this length.
uint256 constant SCORE_FIELDS = 7;

/// @title ScoreWord
/// @notice What one verifier says about the updates it was assigned: 7 fields of 20 bits, field j at bits 20j … 20j+19.
/// @dev A field is 0 (not scored), 1 (Unavailable), 2 (Malformed), or gain + 2¹⁹ from 16 upwards; 3 … 15 count as 0.
/// Mirror: `node/protocol`.
library ScoreWord {
    /// @notice Thrown when a word has a bit set above its last field.
    error WordTooWide(uint256 word, uint256 maximum);

    /// @notice Bits of one field.
    uint256 internal constant FIELD_BITS = 20;
    /// @notice Bits of a whole word; all above are zero.
    uint256 internal constant WORD_BITS = SCORE_FIELDS * FIELD_BITS;

    /// @notice Field value: the verifier does not say anything.
    uint256 internal constant NOT_SCORED = 0;
    /// @notice Field value: the bytes of the CID could not be had in time.
    uint256 internal constant UNAVAILABLE = 1;
    /// @notice Field value: wrong hash, schema, shape, dtype, not finite, or above the norm bound.
    uint256 internal constant MALFORMED = 2;
    /// @notice Least field value that is a gain.
    uint256 internal constant FIRST_GAIN = 16;

    /// @notice The bits of the first field.
    uint256 internal constant FIELD_MASK = (1 << FIELD_BITS) - 1;
    /// @notice What a field that is a gain exceeds it by.
    uint256 internal constant OFFSET = 1 << 19;

    int256 private constant GAIN_OFFSET = int256(OFFSET);

    /// @notice Refuses a word with bits outside its fields.
    function requireValid(uint256 word) internal pure {
        if (word >> WORD_BITS != 0) revert WordTooWide(word, (1 << WORD_BITS) - 1);
    }

    /// @notice Field `j` of `word`, j in 0 … 6.
    function field(uint256 word, uint256 j) internal pure returns (uint256) {
        // Unchecked: j is at most 6.
        unchecked {
            return (word >> (j * FIELD_BITS)) & FIELD_MASK;
        }
    }

    /// @notice Whether a value is a field that says anything: a sentinel or a gain.
    function isSaying(uint256 value) internal pure returns (bool) {
        return value == UNAVAILABLE || value == MALFORMED || (isGain(value) && value <= FIELD_MASK);
    }

    /// @notice Whether a field is a gain.
    function isGain(uint256 value) internal pure returns (bool) {
        return value >= FIRST_GAIN;
    }

    /// @notice The gain in ppm that a field says; only meaningful where `isGain`.
    function gainOf(uint256 value) internal pure returns (int256) {
        // Unchecked, and cast: a field has 20 bits.
        unchecked {
            return int256(value) - GAIN_OFFSET;
        }
    }

    /// @notice The field that says `gain`: the inverse of `gainOf`.
    function fieldOf(int256 gain) internal pure returns (uint256) {
        // Unchecked, and cast: a gain came out of a field, so the sum is one again.
        unchecked {
            return uint256(gain + GAIN_OFFSET);
        }
    }
}
