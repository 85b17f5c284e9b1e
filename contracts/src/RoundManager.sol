// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IMemberRegistry} from "./interfaces/IMemberRegistry.sol";
import {IRoundManager} from "./interfaces/IRoundManager.sol";
import {CommitHash} from "./libraries/CommitHash.sol";
import {Results} from "./libraries/Results.sol";
import {RingShuffle} from "./libraries/RingShuffle.sol";
import {ScoreSlot, ScoreSlots} from "./libraries/ScoreSlots.sol";
import {SCORE_FIELDS, ScoreWord} from "./libraries/ScoreWord.sol";
import {Tally} from "./libraries/Tally.sol";
import {RoundFaults} from "./rounds/RoundFaults.sol";
import {RoundParams} from "./rounds/RoundParams.sol";
import {RoundState} from "./rounds/RoundState.sol";

/// @title RoundManager
/// @notice The state machine of a round; the manual is IRoundManager.
/// @dev Three parts below this one: RoundParams (constants), RoundState (storage and views), RoundFaults (penalties).
contract RoundManager is RoundFaults {
    using Results for mapping(uint256 chunk => uint256 lanes);

    /// @dev What one call of `settle` adds to the round.
    struct Sums {
        uint16 settled;
        uint16 accepted;
        uint128 weight;
    }

    // --- deployment ---------------------------------------------------------------------------------------------------

    /// @param registry_ MemberRegistry, deployed already; names this contract as its RoundManager.
    /// @param guidelineHash_ SHA-256 of the guideline.
    /// @param modelHash SHA-256 of the genesis checkpoint.
    /// @param cid 32-byte digest of its CIDv0.
    /// @param p Constants, each within the bounds of RoundParams.
    constructor(IMemberRegistry registry_, bytes32 guidelineHash_, bytes32 modelHash, bytes32 cid, Params memory p)
        RoundParams(p)
        RoundState(registry_, guidelineHash_, modelHash, cid)
    {}

    // --- opening ------------------------------------------------------------------------------------------------------

    /// @inheritdoc IRoundManager
    function openRound(bytes32 benchmarkCommitment) external override returns (uint256 round) {
        uint256 last = _current;
        Round storage ended = _rounds[last];
        if (ended.phase < Phase.Finalized) revert RoundRunning(last, ended.phase);
        round = last + 1;

        uint256 windowEnd = uint256(ended.deadline) + OPEN_WINDOW;
        bool isWindowOpen = block.timestamp <= windowEnd;
        if (isWindowOpen) _requireSteward(round);
        if (isWindowOpen != (benchmarkCommitment != 0)) {
            revert WrongSeal(benchmarkCommitment, windowEnd, block.timestamp);
        }

        Round storage parent = _rounds[_latestFinalized];
        Round storage r = _rounds[round];
        uint40 deadline = uint40(block.timestamp) + COMMIT_DURATION;
        r.phase = Phase.Commit;
        r.deadline = deadline;
        r.openedAt = uint40(block.timestamp);
        r.expected = registry.eligibleCount();
        if (benchmarkCommitment != 0) {
            r.seal = Seal.Committed;
            r.benchmarkCommitment = benchmarkCommitment;
        }
        _current = uint128(round);
        emit RoundOpened(
            round, msg.sender, parent.modelHash, parent.cid, guidelineHash, benchmarkCommitment, r.expected, deadline
        );
    }

    // --- updates ------------------------------------------------------------------------------------------------------

    /// @inheritdoc IRoundManager
    function commitUpdate(uint256 round, bytes32 commitment) external override {
        Round storage r = _open(round, Phase.Commit);
        uint40 openedAt = r.openedAt;
        if (!registry.isEligible(msg.sender, openedAt)) revert NotEligible(msg.sender, openedAt);
        Trainer storage t = _trainers[round][msg.sender];
        if (t.entry != Entry.None) revert WrongEntry(msg.sender, t.entry, Entry.None);

        uint16 sequence = r.commits;
        r.commits = sequence + 1;
        _trainers[round][msg.sender] =
            Trainer({commitment: _cutUpdate(commitment), sequence: sequence, index: 0, entry: Entry.Committed});
        emit UpdateCommitted(round, msg.sender, sequence, commitment);
    }

    /// @inheritdoc IRoundManager
    function revealUpdate(uint256 round, bytes32 contentHash, bytes32 cid, uint32 samples, bytes32 salt)
        external
        override
    {
        Round storage r = _open(round, Phase.Reveal);
        Trainer memory t = _trainers[round][msg.sender];
        if (t.entry != Entry.Committed) revert WrongEntry(msg.sender, t.entry, Entry.Committed);
        uint208 opened = _cutUpdate(
            CommitHash.update(block.chainid, address(this), round, msg.sender, contentHash, cid, samples, salt)
        );
        if (opened != t.commitment) {
            revert CommitmentMismatch(
                bytes32(uint256(t.commitment) << TRAINER_CUT), bytes32(uint256(opened) << TRAINER_CUT)
            );
        }

        uint16 index = r.reveals;
        r.reveals = index + 1;
        t.index = index;
        t.entry = Entry.Revealed;
        _trainers[round][msg.sender] = t;
        _owners[round][index] = msg.sender;
        emit UpdateRevealed(round, msg.sender, index, t.sequence, contentHash, cid, samples);
    }

    /// @inheritdoc IRoundManager
    function revealBenchmark(uint256 round, bytes32 contentHash, bytes32 cid, bytes32 salt) external override {
        Round storage r = _open(round, Phase.Reveal);
        if (r.seal != Seal.Committed) revert NoSealToReveal(r.seal, Seal.Committed);
        _requireSteward(round);
        bytes32 opened = CommitHash.benchmark(block.chainid, address(this), round, msg.sender, contentHash, cid, salt);
        if (opened != r.benchmarkCommitment) revert CommitmentMismatch(r.benchmarkCommitment, opened);

        r.seal = Seal.Revealed;
        emit BenchmarkRevealed(round, msg.sender, contentHash, cid);
    }

    // --- scores -------------------------------------------------------------------------------------------------------

    /// @inheritdoc IRoundManager
    function commitScores(uint256 round, uint16 index, bytes32 commitment) external override {
        Round storage r = _open(round, Phase.ScoreCommit);
        _requireOwner(_owners[round][index]);
        Entry entry = _scores[round][index].entryOf();
        if (entry != Entry.None) revert WrongEntry(msg.sender, entry, Entry.None);

        ++r.scoreCommits;
        _scores[round][index] = ScoreSlots.pack(Entry.Committed, ScoreSlots.cut(commitment));
        emit ScoresCommitted(round, index, msg.sender, commitment);
    }

    /// @inheritdoc IRoundManager
    function revealScores(uint256 round, uint16 index, uint256 word, bytes32 salt) external override {
        Round storage r = _open(round, Phase.ScoreReveal);
        _requireOwner(_owners[round][index]);
        ScoreSlot slot = _scores[round][index];
        if (slot.entryOf() != Entry.Committed) revert WrongEntry(msg.sender, slot.entryOf(), Entry.Committed);
        uint256 opened = ScoreSlots.cut(CommitHash.scores(block.chainid, address(this), round, msg.sender, word, salt));
        if (opened != slot.contentOf()) {
            revert CommitmentMismatch(ScoreSlots.uncut(slot.contentOf()), ScoreSlots.uncut(opened));
        }
        ScoreWord.requireValid(word);

        ++r.scoreReveals;
        _scores[round][index] = ScoreSlots.pack(Entry.Revealed, word);
        emit ScoresRevealed(round, index, msg.sender, word);
    }

    // --- verdicts -----------------------------------------------------------------------------------------------------

    /// @inheritdoc IRoundManager
    function settle(uint256 round, uint16[] calldata indices) external override {
        if (indices.length > MAX_SETTLE) revert TooManyIndices(indices.length, MAX_SETTLE);
        Round storage r = _open(round, Phase.Settle);
        (bytes32 seed, uint256 n) = _ring(round);
        UpdateStatus[] memory statuses = new UpdateStatus[](indices.length);
        Sums memory sums = Sums({settled: 0, accepted: 0, weight: 0});
        for (uint256 i = 0; i < indices.length; ++i) {
            statuses[i] = _settleOne(round, seed, n, indices[i], sums);
        }
        r.settled += sums.settled;
        r.accepted += sums.accepted;
        r.sumWeight += sums.weight;

        for (uint256 i = 0; i < indices.length; ++i) {
            _slashFor(statuses[i], round, indices[i]);
        }
    }

    /// @dev Adds to `sums`. Pending, and nothing added, where the update was settled before.
    function _settleOne(uint256 round, bytes32 seed, uint256 n, uint16 index, Sums memory sums)
        private
        returns (UpdateStatus status)
    {
        if (index >= n) revert NoSuchIndex(index, n);
        uint256 position = RingShuffle.forward(seed, n, index);
        // The gain of an earlier verdict does not matter here.
        // slither-disable-next-line unused-return
        (status,) = _results[round].read(position);
        if (status != UpdateStatus.Pending) return UpdateStatus.Pending;

        uint256 k = _verifiersOf(n);
        Tally.Verdict memory verdict = Tally.settle(_fieldsAbout(round, seed, n, k, position), k, _bounds());
        status = verdict.status;
        // At most gainCap, which has 32 bits.
        uint32 weight = uint32(verdict.weight);
        ++sums.settled;
        if (status == UpdateStatus.Accepted) {
            ++sums.accepted;
            sums.weight += weight;
        }
        _results[round].write(position, status, verdict.gain);
        // A gain has 20 bits; votes are at most 7.
        emit UpdateSettled(
            round, index, _owners[round][index], status, int32(verdict.gain), uint8(verdict.votes), weight
        );
    }

    /// @dev What the k verifiers say about the update at `position`: field j of the word of position − 1 − j.
    function _fieldsAbout(uint256 round, bytes32 seed, uint256 n, uint256 k, uint256 position)
        private
        view
        returns (uint256[SCORE_FIELDS] memory fields)
    {
        mapping(uint256 index => ScoreSlot) storage scores = _scores[round];
        // Unchecked: j ends at k ≤ 7, and a position steps back from 0 to n − 1.
        unchecked {
            for (uint256 j = 0; j < k; ++j) {
                position = (position == 0 ? n : position) - 1;
                ScoreSlot slot = scores[RingShuffle.inverse(seed, n, position)];
                if (slot.entryOf() == Entry.Revealed) fields[j] = ScoreWord.field(slot.contentOf(), j);
            }
        }
    }

    function _bounds() private view returns (Tally.Bounds memory) {
        return Tally.Bounds({
            tau: TAU,
            deltaMin: int256(uint256(DELTA_MIN)),
            harmMin: int256(uint256(HARM_MIN)),
            gainCap: int256(uint256(GAIN_CAP))
        });
    }

    // --- aggregate ----------------------------------------------------------------------------------------------------

    /// @inheritdoc IRoundManager
    function attest(uint256 round, uint8 slot, bytes32 attestation) external override {
        _open(round, Phase.Attest);
        _requireOwner(_attester(round, slot));
        if (attestation == 0) revert ZeroAttestation();
        bytes32 before = _attestations[round][slot];
        if (before != 0) revert AlreadyAttested(slot, before);

        _attestations[round][slot] = attestation;
        emit Attested(round, slot, msg.sender, attestation);
    }

    /// @inheritdoc IRoundManager
    function proposeAggregate(uint256 round, bytes32 secret, bytes32 modelHash, bytes32 cid) external override {
        Round storage r = _open(round, Phase.Attest);
        (bytes32 seed, uint256 n) = _ring(round);
        uint256 attesters = _attestersOf(n);
        uint32 correct = 0;
        uint8 votes = 0;
        for (uint256 slot = 0; slot < attesters; ++slot) {
            bytes32 attestation = _attestations[round][slot];
            if (attestation == 0) continue;
            address attester = _owners[round][RingShuffle.inverse(seed, n, slot)];
            if (attestation == CommitHash.attestation(round, attester, secret, modelHash, cid)) {
                correct |= _bit(slot);
                ++votes;
            }
        }
        // More than two thirds of all attesters, not of those who turned up.
        uint256 needed = attesters * 2 / 3 + 1;
        if (votes < needed) revert NoQuorum(votes, needed);

        r.correctSlots = correct;
        r.modelHash = modelHash;
        r.cid = cid;
        emit AggregateProposed(round, msg.sender, secret, modelHash, cid, votes);
        _enter(r, round, Phase.Challenge);
    }

    // --- time ---------------------------------------------------------------------------------------------------------

    /// @inheritdoc IRoundManager
    function advance(uint256 round) external override {
        Round storage r = _rounds[round];
        Phase phase = r.phase;
        if (phase == Phase.None) revert NoSuchRound(round, _current);
        if (phase >= Phase.Finalized) revert RoundEnded(round, phase);
        if (phase == Phase.Seed) {
            _drawSeed(r, round);
            return;
        }
        if (block.timestamp <= r.deadline && !_isComplete(r, phase)) revert TooEarly(r.deadline, block.timestamp);

        VoidReason reason = _voidReason(r, phase);
        if (reason != VoidReason.None) {
            r.voidReason = reason;
            _enter(r, round, Phase.Voided);
            emit RoundVoided(round, reason);
            return;
        }
        // Phases follow one another by number; Attest is left by a proposal, Finalized is never left.
        Phase next = Phase(uint8(phase) + 1);
        _enter(r, round, next);
        if (next == Phase.Seed) {
            _pinSeed(r, round);
        } else if (next == Phase.Finalized) {
            _latestFinalized = uint128(round);
            emit RoundFinalized(round, r.modelHash, r.cid, r.accepted, r.sumWeight);
        }
    }

    /// @dev Whether every act that the phase expects has happened.
    function _isComplete(Round storage r, Phase phase) private view returns (bool) {
        if (phase == Phase.Commit) return r.commits == r.expected;
        if (phase == Phase.Reveal) return r.reveals == r.commits && r.seal != Seal.Committed;
        if (phase == Phase.ScoreCommit) return r.scoreCommits == r.reveals;
        if (phase == Phase.ScoreReveal) return r.scoreReveals == r.scoreCommits;
        if (phase == Phase.Settle) return r.settled == r.reveals;
        return false; // Attest ends by a proposal, Challenge by its deadline
    }

    /// @dev Why a round that leaves `phase` now is Voided; None where it goes on.
    function _voidReason(Round storage r, Phase phase) private view returns (VoidReason) {
        if (phase == Phase.Commit && r.commits < MIN_PARTICIPANTS) return VoidReason.TooFewCommits;
        if (phase == Phase.Reveal && r.reveals < MIN_PARTICIPANTS) return VoidReason.TooFewReveals;
        if (phase == Phase.Settle && r.accepted == 0) return VoidReason.NothingAccepted;
        if (phase == Phase.Attest) return VoidReason.NoQuorum;
        return VoidReason.None;
    }

    function _enter(Round storage r, uint256 round, Phase phase) private {
        uint40 deadline = phase == Phase.Seed ? 0 : uint40(block.timestamp) + _durationOf(phase);
        r.phase = phase;
        r.deadline = deadline;
        emit PhaseChanged(round, phase, deadline);
    }

    /// @dev The block is pinned before it exists, so neither the last to reveal nor the caller of `advance` picks the seed.
    function _pinSeed(Round storage r, uint256 round) private {
        uint40 seedBlock = uint40(block.number) + SEED_DELAY_BLOCKS;
        r.seedBlock = seedBlock;
        emit SeedPinned(round, seedBlock);
    }

    function _drawSeed(Round storage r, uint256 round) private {
        uint256 seedBlock = r.seedBlock;
        if (block.number <= seedBlock) revert SeedNotReady(seedBlock, block.number);
        bytes32 blockHash = blockhash(seedBlock);
        if (blockHash == 0) {
            _pinSeed(r, round);
            return;
        }
        bytes32 seed = CommitHash.seed(blockHash, round, address(this));
        r.seed = seed;
        emit SeedDrawn(round, seed, r.seal == Seal.Revealed);
        _enter(r, round, Phase.ScoreCommit);
    }

    // --- helpers ------------------------------------------------------------------------------------------------------

    function _requireSteward(uint256 round) private view {
        address steward = registry.seatHolder(round % registry.seatCount());
        if (msg.sender != steward) revert NotSteward(msg.sender, steward);
    }

    function _requireOwner(address owner) private view {
        if (msg.sender != owner) revert NotRingOwner(msg.sender, owner);
    }

    /// @dev The bits of a commitment that a trainer's slot holds.
    function _cutUpdate(bytes32 commitment) private pure returns (uint208) {
        return uint208(uint256(commitment) >> TRAINER_CUT);
    }
}
