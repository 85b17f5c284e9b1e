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
    function read(
        mapping(uint256 chunk => uint256 lanes) storage results,
        uint256 position
    ) internal view returns (IRoundManager.UpdateStatus status, int256 gain) {
        uint256 lane = results[position / LANES] >> ((position % LANES) * LANE_BITS);
        // Both casts cut the lane's own bits out of the slot.
        status = IRoundManager.UpdateStatus(uint8(lane));
        gain = int24(uint24(lane >> GAIN_SHIFT));
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
        results[position / LANES] |= lane << ((position % LANES) * LANE_BITS);
    }
}
