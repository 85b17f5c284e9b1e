// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRoundManager} from "../interfaces/IRoundManager.sol";
import {ScoreWord} from "./ScoreWord.sol";

/// @title Tally
/// @notice Settles one update from the fields of its assigned verifiers, or of a jury.
/// @dev Robust to a minority: of `voters` assigned, `need = ⌊voters/2⌋+1` must agree, counted over all of them and not over
/// those who turned up. Mirror: `node/protocol` (vectors in `tests/vectors/tally.json`).
library Tally {
    /// @notice Statuses with a gain that the voters agreed on, a bit each: Accepted 1, Rejected 2, Harmful 6.
    uint256 internal constant GAINS = (1 << 1) | (1 << 2) | (1 << 6);

    /// @notice Bounds of a verdict, all in ppm.
    struct Bounds {
        uint256 tau; // two gains agree when they differ by at most this
        int256 deltaMin; // least gain of an accepted update
        int256 harmMin; // a gain of −harmMin or less is harmful
        int256 gainCap; // most weight one update can have
    }

    /// @notice What the ring decided about one update.
    struct Verdict {
        IRoundManager.UpdateStatus status;
        int256 gain; // settled gain, ppm; 0 where no gain was settled or seen
        uint256 votes; // verifiers that agree with the result
        uint256 weight; // ppm; 0 unless Accepted
    }

    /// @notice Verdict over `fields`.
    /// @param fields What each voter said; 0 for one that did not reveal, or none at all. Reordered in place.
    /// @param voters How many were assigned, at least as many as fields.
    function settle(uint256[] memory fields, uint256 voters, Bounds memory bounds)
        internal
        pure
        returns (Verdict memory verdict)
    {
        uint256 need = needOf(voters);
        (uint256 gains, uint256 unavailable, uint256 malformed) = _sort(fields);
        if (malformed >= need) {
            verdict.status = IRoundManager.UpdateStatus.Malformed;
            verdict.votes = malformed;
            return verdict;
        }
        if (unavailable >= need) {
            verdict.status = IRoundManager.UpdateStatus.Unavailable;
            verdict.votes = unavailable;
            return verdict;
        }
        verdict.status = IRoundManager.UpdateStatus.Unscored;
        if (gains == 0) return verdict;

        uint256 median = fields[(gains - 1) / 2];
        int256 gain = ScoreWord.gainOf(median);
        verdict.gain = gain;
        verdict.votes = _votes(fields, gains, median, bounds.tau);
        if (verdict.votes < need) return verdict;
        if (gain >= bounds.deltaMin) {
            verdict.status = IRoundManager.UpdateStatus.Accepted;
            verdict.weight = weightOf(gain, bounds.gainCap);
        } else if (gain <= -bounds.harmMin) {
            verdict.status = IRoundManager.UpdateStatus.Harmful;
        } else {
            verdict.status = IRoundManager.UpdateStatus.Rejected;
        }
    }

    /// @notice Voters of `voters` that decide: more than half of all.
    function needOf(uint256 voters) internal pure returns (uint256) {
        return voters / 2 + 1;
    }

    /// @notice Whether a verdict of this status has a gain that the voters agreed on.
    function isGain(IRoundManager.UpdateStatus status) internal pure returns (bool) {
        return (GAINS >> uint8(status)) & 1 != 0;
    }

    /// @notice Whether one verifier's field says what the ring settled: such a field is paid.
    /// @dev Nothing equals Unscored or Pending.
    function isCorrect(uint256 value, IRoundManager.UpdateStatus status, int256 gain, uint256 tau)
        internal
        pure
        returns (bool)
    {
        if (isGain(status)) return ScoreWord.isGain(value) && _distance(value, ScoreWord.fieldOf(gain)) <= tau;
        if (status == IRoundManager.UpdateStatus.Unavailable) return value == ScoreWord.UNAVAILABLE;
        if (status == IRoundManager.UpdateStatus.Malformed) return value == ScoreWord.MALFORMED;
        return false;
    }

    /// @notice Weight of an accepted update: its gain, at most `cap`.
    /// @dev An accepted gain is at least deltaMin ≥ 1, so the cast keeps its value.
    function weightOf(int256 gain, int256 cap) internal pure returns (uint256) {
        return uint256(gain < cap ? gain : cap);
    }

    /// @dev Moves the gains to the front, ascending (insertion sort: at most 62), and counts the sentinels.
    function _sort(uint256[] memory fields)
        private
        pure
        returns (uint256 gains, uint256 unavailable, uint256 malformed)
    {
        // Unchecked: every counter ends at the number of fields.
        unchecked {
            for (uint256 j = 0; j < fields.length; ++j) {
                uint256 value = fields[j];
                if (ScoreWord.isGain(value)) {
                    uint256 i = gains++;
                    for (; i > 0; --i) {
                        uint256 below = fields[i - 1];
                        if (below <= value) break;
                        fields[i] = below;
                    }
                    fields[i] = value;
                } else if (value == ScoreWord.MALFORMED) {
                    ++malformed;
                } else if (value == ScoreWord.UNAVAILABLE) {
                    ++unavailable;
                }
            }
        }
    }

    /// @dev How many of the first `gains` fields lie within `tau` of the median.
    function _votes(uint256[] memory fields, uint256 gains, uint256 median, uint256 tau)
        private
        pure
        returns (uint256 votes)
    {
        // Unchecked: both counters end at gains, at most the number of fields.
        unchecked {
            for (uint256 i = 0; i < gains; ++i) {
                if (_distance(fields[i], median) <= tau) ++votes;
            }
        }
    }

    function _distance(uint256 a, uint256 b) private pure returns (uint256) {
        // Unchecked: the smaller is taken from the larger.
        unchecked {
            return a > b ? a - b : b - a;
        }
    }
}
