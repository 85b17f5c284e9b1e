// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {Lane, Results} from "../../src/libraries/Results.sol";
import {ScoreSlot, ScoreSlots} from "../../src/libraries/ScoreSlots.sol";
import {SCORE_FIELDS, ScoreWord} from "../../src/libraries/ScoreWord.sol";
import {Tally} from "../../src/libraries/Tally.sol";

/// @notice Symbolic checks (contracts/tools/halmos.sh): what is packed comes out as it went in, for every value.
contract PackingChecks {
    using Results for mapping(uint256 chunk => uint256 lanes);

    mapping(uint256 chunk => uint256 lanes) private _results;

    function check_scoreSlotIsLossless(uint256 content, uint8 entry) external pure {
        if (content >> 248 != 0 || entry > uint8(type(IRoundManager.Entry).max)) return;
        ScoreSlot slot = ScoreSlots.pack(IRoundManager.Entry(entry), content);
        assert(uint8(slot.entryOf()) == entry);
        assert(slot.contentOf() == content);
    }

    function check_cutCommitmentKeepsItsHighestBits(bytes32 commitment) external pure {
        bytes32 kept = ScoreSlots.uncut(ScoreSlots.cut(commitment));
        assert(kept == commitment & ~bytes32(uint256(0xff)));
    }

    /// Seven fields into a word and out again; nothing of one reaches another.
    function check_scoreWordIsLossless(uint256[SCORE_FIELDS] memory fields) external pure {
        uint256 word = 0;
        for (uint256 j = 0; j < SCORE_FIELDS; ++j) {
            if (fields[j] >> ScoreWord.FIELD_BITS != 0) return;
            word |= fields[j] << (j * ScoreWord.FIELD_BITS);
        }
        ScoreWord.requireValid(word);
        for (uint256 j = 0; j < SCORE_FIELDS; ++j) {
            assert(ScoreWord.field(word, j) == fields[j]);
        }
    }

    function check_gainIsLossless(uint256 value) external pure {
        if (value >> ScoreWord.FIELD_BITS != 0) return;
        assert(ScoreWord.fieldOf(ScoreWord.gainOf(value)) == value);
    }

    /// A result comes back, and its neighbour keeps its own.
    function check_resultsAreLossless(
        uint8 position,
        uint8 other,
        uint8 first,
        uint8 second,
        int256 a,
        int256 b,
        bool isRetried
    ) external {
        if (position == other || position >= 32 || other >= 32) return;
        if (first == 0 || first > 6 || second == 0 || second > 6) return;
        if (a < -(1 << 19) || a >= 1 << 19 || b < -(1 << 19) || b >= 1 << 19) return;
        _results.write(position, Results.pack(IRoundManager.UpdateStatus(first), a, isRetried));
        _results.write(other, Results.pack(IRoundManager.UpdateStatus(second), b, !isRetried).forfeited());
        Lane lane = _results.read(position);
        assert(uint8(lane.statusOf()) == first && lane.gainOf() == a);
        assert(lane.isRetried() == isRetried && !lane.isForfeited());
        lane = _results.read(other);
        assert(uint8(lane.statusOf()) == second && lane.gainOf() == b);
        assert(lane.isRetried() == !isRetried && lane.isForfeited());
    }

    /// Three verifiers with gains: the verdict's gain is the middle one, whatever the order they come in.
    function check_medianOfThree(uint256 a, uint256 b, uint256 c) external pure {
        if (a < 16 || b < 16 || c < 16) return;
        if (a >> 20 != 0 || b >> 20 != 0 || c >> 20 != 0) return;
        uint256[] memory fields = new uint256[](3);
        (fields[0], fields[1], fields[2]) = (a, b, c);
        Tally.Verdict memory verdict = Tally.settle(fields, 3, Tally.Bounds(300, 100, 1000, 20_000));
        uint256 median = ScoreWord.fieldOf(verdict.gain);
        assert(median == a || median == b || median == c);
        uint256 notAbove = (a <= median ? 1 : 0) + (b <= median ? 1 : 0) + (c <= median ? 1 : 0);
        uint256 notBelow = (a >= median ? 1 : 0) + (b >= median ? 1 : 0) + (c >= median ? 1 : 0);
        assert(notAbove >= 2 && notBelow >= 2);
    }
}
