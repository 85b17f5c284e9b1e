// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRoundManager} from "../interfaces/IRoundManager.sol";
import {ScoreWord} from "./ScoreWord.sol";
import {Tally} from "./Tally.sol";

/// @dev Verdict on one update: bits 0 … 5 status, bit 6 forfeited, bit 7 retried, bits 8 … 31 gain (two's complement; a gain has
/// 20 bits).
type Lane is uint256;

using Results for Lane global;

/// @title Results
/// @notice Verdicts of one round, packed eight to a slot and keyed by ring position.
/// @dev A verifier's updates are neighbours on the ring, so paying it reads one or two slots instead of seven.
library Results {
    uint256 private constant LANES = 8;
    uint256 private constant LANE_BITS = 32;
    uint256 private constant LANE_MASK = (1 << LANE_BITS) - 1;
    uint256 private constant STATUS_MASK = (1 << 6) - 1;
    uint256 private constant FORFEITED = 1 << 6;
    uint256 private constant RETRIED = 1 << 7;
    uint256 private constant GAIN_SHIFT = 8;

    /// @notice The lane of `position`; all zero (Pending) where none was written.
    function read(mapping(uint256 slot => uint256 lanes) storage results, uint256 position)
        internal
        view
        returns (Lane)
    {
        return Lane.wrap((results[position / LANES] >> _shiftOf(position)) & LANE_MASK);
    }

    /// @notice Replaces the lane of `position`, and no other.
    function write(mapping(uint256 slot => uint256 lanes) storage results, uint256 position, Lane lane) internal {
        uint256 shift = _shiftOf(position);
        uint256 lanes = results[position / LANES];
        results[position / LANES] = (lanes & ~(LANE_MASK << shift)) | (Lane.unwrap(lane) << shift);
    }

    /// @notice A lane that says this.
    function pack(IRoundManager.UpdateStatus status, int256 gain, bool retried) internal pure returns (Lane) {
        // A settled gain has 20 bits, so int24 keeps its value.
        return
            Lane.wrap((uint256(uint24(int24(gain))) << GAIN_SHIFT) | (retried ? RETRIED : 0) | uint256(uint8(status)));
    }

    /// @notice The same lane with another verdict; its flags stay.
    function withVerdict(Lane lane, IRoundManager.UpdateStatus status, int256 gain) internal pure returns (Lane) {
        uint256 flags = Lane.unwrap(lane) & (FORFEITED | RETRIED);
        return Lane.wrap(Lane.unwrap(pack(status, gain, false)) | flags);
    }

    /// @notice The same lane, forfeited.
    function forfeited(Lane lane) internal pure returns (Lane) {
        return Lane.wrap(Lane.unwrap(lane) | FORFEITED);
    }

    /// @notice The verdict.
    function statusOf(Lane lane) internal pure returns (IRoundManager.UpdateStatus) {
        // Only `pack` and what builds on it make lanes, so the status is one.
        return IRoundManager.UpdateStatus(uint8(Lane.unwrap(lane) & STATUS_MASK));
    }

    /// @notice Whether there is a verdict.
    function isSettled(Lane lane) internal pure returns (bool) {
        return Lane.unwrap(lane) & STATUS_MASK != 0;
    }

    /// @notice The settled gain, ppm.
    function gainOf(Lane lane) internal pure returns (int256) {
        // The cast cuts the gain out of the lane.
        return int24(uint24(Lane.unwrap(lane) >> GAIN_SHIFT));
    }

    /// @notice Whether the verdict is the retry's.
    function isRetried(Lane lane) internal pure returns (bool) {
        return Lane.unwrap(lane) & RETRIED != 0;
    }

    /// @notice Whether the owner is paid nothing for being a copy.
    function isForfeited(Lane lane) internal pure returns (bool) {
        return Lane.unwrap(lane) & FORFEITED != 0;
    }

    /// @notice How many fields of a word equal the verdict, of updates that were (not) retried: field j is about position
    /// `before` + 1 + j of a ring of `n`. The same as Tally.isCorrect over every field.
    /// @dev Written out in one piece: it is most of what a claim computes, and calls of small functions cost half of it.
    function countCorrect(
        mapping(uint256 slot => uint256 lanes) storage results,
        uint256 word,
        uint256 before,
        uint256 n,
        uint256 k,
        uint256 tau,
        bool isRetry
    ) internal view returns (uint256 correct) {
        uint256 flag = isRetry ? RETRIED : 0;
        uint256 position = before;
        uint256 lanes = 0;
        // Unchecked: it counts down from k ≤ 7, a position steps on from n − 1 to 0, and the smaller field is taken from the
        // larger.
        unchecked {
            for (uint256 left = k; left > 0; --left) {
                position = position + 1 == n ? 0 : position + 1;
                // Neighbours share a slot: read the next one only where it begins, or the ring wraps.
                if (left == k || position % LANES == 0) lanes = results[position / LANES] >> _shiftOf(position);
                else lanes >>= LANE_BITS;
                if (lanes & RETRIED == flag) {
                    uint256 value = word & ScoreWord.FIELD_MASK;
                    uint256 status = lanes & STATUS_MASK;
                    if ((Tally.GAINS >> status) & 1 != 0) {
                        // The gain has 24 bits, of which its field keeps 20.
                        uint256 settled = ((lanes >> GAIN_SHIFT) + ScoreWord.OFFSET) & ScoreWord.FIELD_MASK;
                        uint256 distance = value > settled ? value - settled : settled - value;
                        if (distance <= tau && value >= ScoreWord.FIRST_GAIN) ++correct;
                    } else if (value == ScoreWord.UNAVAILABLE) {
                        if (status == uint8(IRoundManager.UpdateStatus.Unavailable)) ++correct;
                    } else if (value == ScoreWord.MALFORMED) {
                        if (status == uint8(IRoundManager.UpdateStatus.Malformed)) ++correct;
                    }
                }
                word >>= ScoreWord.FIELD_BITS;
            }
        }
    }

    function _shiftOf(uint256 position) private pure returns (uint256) {
        // Unchecked: at most 7 · 32.
        unchecked {
            return (position % LANES) * LANE_BITS;
        }
    }
}
