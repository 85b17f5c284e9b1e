// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRoundManager} from "../interfaces/IRoundManager.sol";
import {CommitHash} from "../libraries/CommitHash.sol";
import {Lane, Results} from "../libraries/Results.sol";
import {RingShuffle} from "../libraries/RingShuffle.sol";
import {ScoreSlot, ScoreSlots} from "../libraries/ScoreSlots.sol";
import {ScoreWord} from "../libraries/ScoreWord.sol";
import {Tally} from "../libraries/Tally.sol";
import {RoundState} from "./RoundState.sol";

/// @title RoundVerdicts
/// @notice What the verifiers say about the updates, and the verdicts that follow from it.
abstract contract RoundVerdicts is RoundState {
    using Results for mapping(uint256 slot => uint256 lanes);

    /// @dev What one call of `settle` works on, and what it adds to the round.
    struct Settling {
        bytes32 seed;
        uint256 n;
        uint256 half; // of the ring's permutation
        uint256 k;
        bool isRetry;
        Tally.Bounds bounds;
        uint16 settled;
        uint16 accepted;
        uint16 unscored;
        uint40 weight;
    }

    // --- scores -------------------------------------------------------------------------------------------------------

    /// @inheritdoc IRoundManager
    function commitScores(uint256 round, uint16 index, bytes32 commitment) external override {
        Round storage r = _rounds[round];
        bool isRetry = r.phase == Phase.RetryCommit;
        _requireOpen(r, isRetry ? Phase.RetryCommit : Phase.ScoreCommit);
        _requireOwner(_owners[round][index]);
        mapping(uint256 index => ScoreSlot) storage scores = _wordsOf(round, isRetry);
        Entry entry = scores[index].entryOf();
        if (entry != Entry.None) revert WrongEntry(msg.sender, entry, Entry.None);

        if (isRetry) ++r.retryCommits;
        else ++r.scoreCommits;
        scores[index] = ScoreSlots.pack(Entry.Committed, ScoreSlots.cut(commitment));
        emit ScoresCommitted(round, index, msg.sender, commitment);
    }

    /// @inheritdoc IRoundManager
    function revealScores(uint256 round, uint16 index, uint256 word, bytes32 salt) external override {
        Round storage r = _rounds[round];
        bool isRetry = r.phase == Phase.RetryReveal;
        _requireOpen(r, isRetry ? Phase.RetryReveal : Phase.ScoreReveal);
        _requireOwner(_owners[round][index]);
        mapping(uint256 index => ScoreSlot) storage scores = _wordsOf(round, isRetry);
        ScoreSlot slot = scores[index];
        if (slot.entryOf() != Entry.Committed) revert WrongEntry(msg.sender, slot.entryOf(), Entry.Committed);
        uint256 opened = ScoreSlots.cut(CommitHash.scores(block.chainid, address(this), round, msg.sender, word, salt));
        if (opened != slot.contentOf()) {
            revert CommitmentMismatch(ScoreSlots.uncut(slot.contentOf()), ScoreSlots.uncut(opened));
        }
        ScoreWord.requireValid(word);

        if (isRetry) ++r.retryReveals;
        else ++r.scoreReveals;
        scores[index] = ScoreSlots.pack(Entry.Revealed, word);
        emit ScoresRevealed(round, index, msg.sender, word);
    }

    function _wordsOf(uint256 round, bool isRetry)
        private
        view
        returns (mapping(uint256 index => ScoreSlot) storage words)
    {
        if (isRetry) return _retryScores[round];
        return _scores[round];
    }

    // --- verdicts -----------------------------------------------------------------------------------------------------

    /// @inheritdoc IRoundManager
    function settle(uint256 round, uint16[] calldata indices) external override {
        if (indices.length > MAX_SETTLE) revert TooManyIndices(indices.length, MAX_SETTLE);
        Round storage r = _rounds[round];
        bool isRetry = r.phase == Phase.RetrySettle;
        _requireOpen(r, isRetry ? Phase.RetrySettle : Phase.Settle);
        // Its fields follow; the sums begin at zero.
        // slither-disable-next-line uninitialized-local
        Settling memory s;
        s.isRetry = isRetry;
        s.seed = r.seed;
        s.n = r.reveals;
        s.half = RingShuffle.halfOf(s.n);
        s.k = _verifiersOf(s.n);
        s.bounds.tau = r.tau;
        s.bounds.deltaMin = int256(uint256(r.deltaMin));
        s.bounds.harmMin = int256(uint256(r.harmMin));
        s.bounds.gainCap = int256(uint256(r.gainCap));
        for (uint256 i = 0; i < indices.length; ++i) {
            _settleOne(round, indices[i], s);
        }
        r.accepted += s.accepted;
        r.sumWeight += s.weight;
        if (isRetry) {
            // A retried update waits no longer, whatever came of it.
            r.unscored -= s.settled;
        } else {
            r.settled += s.settled;
            r.unscored += s.unscored;
        }
    }

    /// @dev Adds to the sums of `s`, and nothing where the update was settled before.
    function _settleOne(uint256 round, uint16 index, Settling memory s) private {
        if (index >= s.n) revert NoSuchIndex(index, s.n);
        uint256 position = RingShuffle.forward(s.seed, s.n, index);
        Lane lane = _results[round].read(position);
        // Used, as a condition.
        // slither-disable-next-line unused-return
        if (s.isRetry ? lane.statusOf() != UpdateStatus.Unscored || lane.isRetried() : lane.isSettled()) return;

        Tally.Verdict memory verdict = Tally.settle(_fieldsAbout(round, position, s), s.k, s.bounds);
        // At most gainCap, which has 24 bits.
        uint32 weight = uint32(verdict.weight);
        ++s.settled;
        if (verdict.status == UpdateStatus.Accepted) {
            ++s.accepted;
            s.weight += weight;
        } else if (verdict.status == UpdateStatus.Unscored) {
            ++s.unscored;
        }
        _results[round].write(position, Results.pack(verdict.status, verdict.gain, s.isRetry));
        // A gain has 20 bits; votes are at most 7.
        emit UpdateSettled(
            round, index, _owners[round][index], verdict.status, int32(verdict.gain), uint8(verdict.votes), weight
        );
    }

    /// @dev What the k verifiers say about the update at `position`: field j of the word of position − 1 − j, in the retry
    /// of the second word of position − k − 1 − j.
    function _fieldsAbout(uint256 round, uint256 position, Settling memory s)
        private
        view
        returns (uint256[] memory fields)
    {
        mapping(uint256 index => ScoreSlot) storage scores = _wordsOf(round, s.isRetry);
        (bytes32 seed, uint256 n, uint256 half, uint256 k) = (s.seed, s.n, s.half, s.k);
        fields = new uint256[](k);
        // Unchecked: j ends at k ≤ 7, a retry has n > 2k, and a position steps back from 0 to n − 1.
        unchecked {
            if (s.isRetry) position = (position + n - k) % n;
            for (uint256 j = 0; j < k; ++j) {
                // Below n, as the walk needs.
                position = (position == 0 ? n : position) - 1;
                ScoreSlot slot = scores[RingShuffle.inverse(seed, n, half, position)];
                if (slot.entryOf() == Entry.Revealed) fields[j] = ScoreWord.field(slot.contentOf(), j);
            }
        }
    }

    // --- helpers ------------------------------------------------------------------------------------------------------

    function _requireOwner(address owner) internal view {
        if (msg.sender != owner) revert NotRingOwner(msg.sender, owner);
    }
}
