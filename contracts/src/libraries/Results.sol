// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRoundManager} from "../interfaces/IRoundManager.sol";

/// @title Results
/// @notice Verdicts of one round, packed eight to a slot and keyed by ring position.
/// @dev A verifier's updates are neighbours on the ring, so paying it reads one or two slots instead of seven. Lane of a
/// position: bits 0 … 7 status, bits 8 … 31 gain (two's complement; a gain has 20 bits).
library Results {
    uint256 private constant LANES = 8;
    uint256 private constant LANE_BITS = 32;
    uint256 private constant GAIN_SHIFT = 8;

    /// @notice Verdict at `position`; Pending and 0 where none was written.
    function read(mapping(uint256 chunk => uint256 lanes) storage results, uint256 position)
        internal
        view
        returns (IRoundManager.UpdateStatus status, int256 gain)
    {
        return unpack(results[chunkOf(position)], position);
    }

    /// @notice Writes the verdict at a position that has none yet.
    function write(
        mapping(uint256 chunk => uint256 lanes) storage results,
        uint256 position,
        IRoundManager.UpdateStatus status,
        int256 gain
    ) internal {
        // A settled gain has 20 bits, so int24 keeps its value.
        uint256 lane = (uint256(uint24(int24(gain))) << GAIN_SHIFT) | uint256(uint8(status));
        results[chunkOf(position)] |= lane << _shiftOf(position);
    }

    /// @notice The slot that holds `position`.
    function chunkOf(uint256 position) internal pure returns (uint256) {
        return position / LANES;
    }

    /// @notice Whether `position` is the first of its slot.
    function isFirstOfChunk(uint256 position) internal pure returns (bool) {
        return position % LANES == 0;
    }

    /// @notice Verdict at `position`, out of the slot that holds it.
    function unpack(uint256 lanes, uint256 position)
        internal
        pure
        returns (IRoundManager.UpdateStatus status, int256 gain)
    {
        uint256 lane = lanes >> _shiftOf(position);
        // The casts cut the lane's two parts out of the slot; only `write` writes, so the status is one.
        status = IRoundManager.UpdateStatus(uint8(lane));
        gain = int24(uint24(lane >> GAIN_SHIFT));
    }

    function _shiftOf(uint256 position) private pure returns (uint256) {
        // Unchecked: at most 7 · 32.
        unchecked {
            return (position % LANES) * LANE_BITS;
        }
    }
}
