// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IGuardian} from "./interfaces/IGuardian.sol";
import {IGuidelineRegistry} from "./interfaces/IGuidelineRegistry.sol";
import {IMemberRegistry} from "./interfaces/IMemberRegistry.sol";
import {IRoundManager} from "./interfaces/IRoundManager.sol";
import {CommitHash} from "./libraries/CommitHash.sol";
import {Lane, Results} from "./libraries/Results.sol";
import {RingShuffle} from "./libraries/RingShuffle.sol";
import {RoundParams} from "./rounds/RoundParams.sol";
import {RoundState} from "./rounds/RoundState.sol";
import {RoundVerdicts} from "./rounds/RoundVerdicts.sol";

/// @title RoundManager
/// @notice The state machine of a round; the manual is IRoundManager.
/// @dev Three parts below this one: RoundParams (constants), RoundState (storage and views), RoundVerdicts (scores and settling).
contract RoundManager is RoundVerdicts {
    using Results for mapping(uint256 slot => uint256 lanes);

    modifier onlyCourt() {
        if (msg.sender != court) revert NotCourt(msg.sender, court);
        _;
    }

    // --- deployment ---------------------------------------------------------------------------------------------------

    /// @param registry_ MemberRegistry, deployed already; names this contract as its RoundManager.
    /// @param guidelines_ GuidelineRegistry, deployed already.
    /// @param court_ RoundCourt, deployed later at this precomputed address; its constructor checks that it is named here.
    /// @param guardian_ Guardian, deployed already.
    /// @param modelHash SHA-256 of the genesis checkpoint.
    /// @param cid 32-byte digest of its CIDv0.
    /// @param p Constants, each within the bounds of RoundParams.
    constructor(
        IMemberRegistry registry_,
        IGuidelineRegistry guidelines_,
        address court_,
        IGuardian guardian_,
        bytes32 modelHash,
        bytes32 cid,
        Params memory p
    ) RoundParams(p) RoundState(registry_, guidelines_, court_, guardian_, modelHash, cid) {}

    // --- opening ------------------------------------------------------------------------------------------------------

    /// @inheritdoc IRoundManager
    function openRound(bytes32 benchmarkCommitment) external override returns (uint256 round) {
        if (guardian.isPaused(IGuardian.Entry.OpenRound)) revert EntryPaused(IGuardian.Entry.OpenRound);
        uint256 last = _current;
        Round storage ended = _rounds[last];
        if (ended.phase < Phase.Finalized) revert RoundRunning(last, ended.phase);
        round = last + 1;
        _requireOpener(round, uint256(ended.deadline) + OPEN_WINDOW, benchmarkCommitment);

        Round storage r = _rounds[round];
        r.phase = Phase.Commit;
        r.deadline = uint40(block.timestamp) + COMMIT_DURATION;
        r.openedAt = uint40(block.timestamp);
        r.expected = registry.eligibleCount();
        if (benchmarkCommitment != 0) {
            r.seal = Seal.Committed;
            r.steward = msg.sender;
            r.benchmarkCommitment = benchmarkCommitment;
        }
        _current = uint128(round);
        bytes32 guidelineHash = _pinGuideline(r);
        Round storage parent = _rounds[_latestFinalized];
        emit RoundOpened(
            round,
            msg.sender,
            parent.modelHash,
            parent.cid,
            r.epoch,
            guidelineHash,
            benchmarkCommitment,
            r.expected,
            r.deadline
        );
    }

    /// @dev Within the window: the steward, with a slice. Later: anybody, without.
    function _requireOpener(uint256 round, uint256 windowEnd, bytes32 benchmarkCommitment) private view {
        bool isWindowOpen = block.timestamp <= windowEnd;
        if (isWindowOpen) {
            address steward = registry.seatHolder(round % registry.seatCount());
            if (msg.sender != steward) revert NotSteward(msg.sender, steward);
        }
        if (isWindowOpen != (benchmarkCommitment != 0)) {
            revert WrongSeal(benchmarkCommitment, windowEnd, block.timestamp);
        }
    }

    /// @dev A change of the guideline takes effect with the next round, never within one.
    function _pinGuideline(Round storage r) private returns (bytes32 guidelineHash) {
        IGuidelineRegistry.Scoring memory scoring;
        (r.epoch, guidelineHash, scoring) = guidelines.current();
        r.tau = scoring.tau;
        r.deltaMin = scoring.deltaMin;
        r.harmMin = scoring.harmMin;
        r.gainCap = scoring.gainCap;
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
        if (msg.sender != r.steward) revert NotSteward(msg.sender, r.steward);
        bytes32 opened = CommitHash.benchmark(block.chainid, address(this), round, msg.sender, contentHash, cid, salt);
        if (opened != r.benchmarkCommitment) revert CommitmentMismatch(r.benchmarkCommitment, opened);

        r.seal = Seal.Revealed;
        emit BenchmarkRevealed(round, msg.sender, contentHash, cid);
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
        uint256 half = RingShuffle.halfOf(n);
        uint256 attesters = _attestersOf(n);
        uint32 correct = 0;
        uint8 votes = 0;
        for (uint256 slot = 0; slot < attesters; ++slot) {
            bytes32 attestation = _attestations[round][slot];
            if (attestation == 0) continue;
            address attester = _owners[round][RingShuffle.inverse(seed, n, half, slot)];
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

        Phase next = _nextOf(r, phase);
        VoidReason reason = _voidReason(r, phase, next);
        if (reason != VoidReason.None) {
            _void(r, round, reason);
            return;
        }
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
        if (phase == Phase.RetryCommit) return r.retryCommits == r.reveals;
        if (phase == Phase.RetryReveal) return r.retryReveals == r.retryCommits;
        if (phase == Phase.RetrySettle) return r.unscored == 0;
        return false; // Attest ends by a proposal, Challenge by its deadline
    }

    /// @dev Phases follow one another by number. The retry is skipped where no update needs it or the ring is too small for a
    /// second panel; Attest is left by a proposal, Finalized is never left.
    function _nextOf(Round storage r, Phase phase) private view returns (Phase) {
        if (phase == Phase.Settle && (r.unscored == 0 || r.reveals <= 2 * _verifiersOf(r.reveals))) {
            return Phase.Attest;
        }
        return Phase(uint8(phase) + 1);
    }

    /// @dev Why a round that leaves `phase` for `next` is Voided; None where it goes on.
    function _voidReason(Round storage r, Phase phase, Phase next) private view returns (VoidReason) {
        if (phase == Phase.Commit && r.commits < MIN_PARTICIPANTS) return VoidReason.TooFewCommits;
        if (phase == Phase.Reveal && r.reveals < MIN_PARTICIPANTS) return VoidReason.TooFewReveals;
        if (next == Phase.Attest && r.accepted == 0) return VoidReason.NothingAccepted;
        if (phase == Phase.Attest) return VoidReason.NoQuorum;
        return VoidReason.None;
    }

    function _enter(Round storage r, uint256 round, Phase phase) private {
        uint40 deadline = phase == Phase.Seed ? 0 : uint40(block.timestamp) + _durationOf(phase);
        r.phase = phase;
        r.deadline = deadline;
        emit PhaseChanged(round, phase, deadline);
    }

    function _void(Round storage r, uint256 round, VoidReason reason) private {
        r.voidReason = reason;
        _enter(r, round, Phase.Voided);
        emit RoundVoided(round, reason);
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

    // --- hooks of the court -------------------------------------------------------------------------------------------

    /// @inheritdoc IRoundManager
    function extend(uint256 round, uint40 until) external override onlyCourt {
        Round storage r = _open(round, Phase.Challenge);
        uint256 latest = block.timestamp + DISPUTE_DURATION;
        if (until > latest) revert ExtensionTooLong(until, latest);
        if (until <= r.deadline) return;
        r.deadline = until;
        emit DeadlineExtended(round, until);
    }

    /// @inheritdoc IRoundManager
    function rescore(uint256 round, uint16 index, UpdateStatus status, int256 gain) external override onlyCourt {
        Round storage r = _judged(round);
        uint256 position = RingShuffle.forward(r.seed, r.reveals, index);
        Lane before = _results[round].read(position);
        Lane lane = before.withVerdict(status, gain);
        uint32 weight = _weightOf(lane, r.gainCap);
        bool wasAccepted = before.statusOf() == UpdateStatus.Accepted;
        bool isAccepted = status == UpdateStatus.Accepted;
        r.sumWeight = r.sumWeight + weight - _weightOf(before, r.gainCap);
        _results[round].write(position, lane);
        // A gain has 20 bits.
        emit UpdateRescored(round, index, _owners[round][index], status, int32(gain), weight);
        if (wasAccepted == isAccepted) return;
        if (isAccepted) ++r.accepted;
        else --r.accepted;
        if (r.phase == Phase.Challenge) _void(r, round, VoidReason.CourtVoided);
    }

    /// @inheritdoc IRoundManager
    function voidRound(uint256 round) external override onlyCourt {
        Round storage r = _judged(round);
        if (r.phase == Phase.Challenge) _void(r, round, VoidReason.CourtVoided);
    }

    /// @inheritdoc IRoundManager
    function forfeit(uint256 round, uint16 index) external override onlyCourt {
        Round storage r = _rounds[round];
        if (r.phase != Phase.Challenge) revert WrongPhase(r.phase, Phase.Challenge);
        uint256 position = RingShuffle.forward(r.seed, r.reveals, index);
        _results[round].write(position, _results[round].read(position).forfeited());
        emit UpdateForfeited(round, index, _owners[round][index]);
    }

    /// @dev The round, if a jury's verdict may change it: in Challenge before its deadline, or voided by a jury.
    function _judged(uint256 round) private view returns (Round storage r) {
        r = _rounds[round];
        if (r.voidReason != VoidReason.CourtVoided) _requireOpen(r, Phase.Challenge);
    }

    // --- helpers ------------------------------------------------------------------------------------------------------

    /// @dev The bits of a commitment that a trainer's slot holds.
    function _cutUpdate(bytes32 commitment) private pure returns (uint208) {
        return uint208(uint256(commitment) >> TRAINER_CUT);
    }
}
