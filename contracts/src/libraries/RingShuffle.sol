// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

/// @title RingShuffle
/// @notice A keyed permutation of 0 … size−1: who sits where on the verification ring.
/// @dev A balanced Feistel network of four rounds on 2h bits, h the least with 4^h ≥ size, h ≥ 1. Values of size or above
/// are encrypted again until one falls below it (cycle walking), which keeps the map a bijection. At most 4 values share
/// one ring place in the domain (4^h < 4·size), so a walk takes under 4 passes on average whatever the size: the cost
/// does not grow with the number of participants. Both directions are computable, so nothing about the ring is stored.
/// Mirror: `node/protocol` (vectors in `tests/vectors/ring.json`).
library RingShuffle {
    /// @notice Thrown when the value to permute does not lie on the ring.
    error OutsideRing(uint256 value, uint256 size);

    /// @notice Thrown when a ring is larger than the network's 16-bit domain.
    error RingTooLarge(uint256 size, uint256 maximum);

    /// @notice Largest ring: 4^8, the domain of two halves of 8 bits.
    uint256 internal constant MAX_SIZE = 65_536;

    /// @notice The position of `index` on the ring.
    /// @param seed Key of the permutation.
    /// @param size Members on the ring, 1 … MAX_SIZE.
    /// @param index In order of reveal, 0 … size−1.
    function forward(bytes32 seed, uint256 size, uint256 index) internal pure returns (uint256 position) {
        if (index >= size) revert OutsideRing(index, size);
        uint256 half = halfOf(size);
        uint256 mask = _maskOf(half);
        // The first pass of the loop reads what is written here.
        // slither-disable-next-line write-after-write
        position = index;
        do {
            uint256 left = position >> half;
            uint256 right = position & mask;
            left ^= _roundFunction(seed, 0, right) & mask;
            right ^= _roundFunction(seed, 1, left) & mask;
            left ^= _roundFunction(seed, 2, right) & mask;
            right ^= _roundFunction(seed, 3, left) & mask;
            position = (left << half) | right;
        } while (position >= size);
    }

    /// @notice The index that sits at `position`: `inverse(seed, size, forward(seed, size, index)) == index`.
    /// @param seed Key of the permutation.
    /// @param size Members on the ring, 1 … MAX_SIZE.
    /// @param position Place on the ring, 0 … size−1.
    function inverse(bytes32 seed, uint256 size, uint256 position) internal pure returns (uint256 index) {
        if (position >= size) revert OutsideRing(position, size);
        return inverse(seed, size, halfOf(size), position);
    }

    /// @notice The same for a caller that asks for many positions of one ring.
    /// @param half `halfOf(size)`.
    /// @param position Below `size`, which the caller sees to: from outside the ring a walk might never come back.
    function inverse(bytes32 seed, uint256 size, uint256 half, uint256 position) internal pure returns (uint256 index) {
        uint256 mask = _maskOf(half);
        // As in `forward`.
        // slither-disable-next-line write-after-write
        index = position;
        do {
            uint256 left = index >> half;
            uint256 right = index & mask;
            right ^= _roundFunction(seed, 3, left) & mask;
            left ^= _roundFunction(seed, 2, right) & mask;
            right ^= _roundFunction(seed, 1, left) & mask;
            left ^= _roundFunction(seed, 0, right) & mask;
            index = (left << half) | right;
        } while (index >= size);
    }

    /// @notice Bits of one half of the network's domain: the least h ≥ 1 with 4^h ≥ size.
    function halfOf(uint256 size) internal pure returns (uint256 half) {
        if (size > MAX_SIZE) revert RingTooLarge(size, MAX_SIZE);
        // Unchecked: half ends at 8, since 4^8 = MAX_SIZE.
        unchecked {
            half = 1;
            while ((1 << (2 * half)) < size) ++half;
        }
    }

    function _maskOf(uint256 half) private pure returns (uint256) {
        // Unchecked: half is at least 1.
        unchecked {
            return (1 << half) - 1;
        }
    }

    /// @dev H(seed ‖ uint256(i<<128 | value)).
    function _roundFunction(bytes32 seed, uint256 i, uint256 value) private pure returns (uint256 digest) {
        // Assembly: hashes two words in scratch space; settling one update does it some 60 times (snapshots/Gas.json).
        assembly ("memory-safe") {
            mstore(0x00, seed)
            mstore(0x20, or(shl(128, i), value))
            digest := keccak256(0x00, 0x40)
        }
    }
}
