// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IGuardian} from "../interfaces/IGuardian.sol";
import {IGuidelineRegistry} from "../interfaces/IGuidelineRegistry.sol";
import {IMemberRegistry} from "../interfaces/IMemberRegistry.sol";
import {IRoundManager} from "../interfaces/IRoundManager.sol";
import {Lane, Results} from "../libraries/Results.sol";
import {RingShuffle} from "../libraries/RingShuffle.sol";
import {ScoreSlot} from "../libraries/ScoreSlots.sol";
import {Tally} from "../libraries/Tally.sol";
import {RoundParams} from "./RoundParams.sol";

/// @title RoundState
/// @notice Storage of all rounds, and every view of it. One new slot per participant and step.
abstract contract RoundState is RoundParams {
    using Results for mapping(uint256 slot => uint256 lanes);

    // --- storage ------------------------------------------------------------------------------------------------------

    /// @dev One slot. 208 bits of the commitment: finding a second opening takes 2^104 tries.
    struct Trainer {
        uint208 commitment; // its highest bits
        uint16 sequence; // how many had committed before
        uint16 index; // place in the order of reveal
        Entry entry;
    }

    uint256 internal constant TRAINER_CUT = 256 - 208;

    /// @inheritdoc IRoundManager
    IMemberRegistry public immutable override registry;
    /// @inheritdoc IRoundManager
    IGuidelineRegistry public immutable override guidelines;
    /// @inheritdoc IRoundManager
    address public immutable override court;
    /// @inheritdoc IRoundManager
    IGuardian public immutable override guardian;

    /// @dev One slot with the next.
    uint128 internal _current;
    uint128 internal _latestFinalized;

    mapping(uint256 round => Round) internal _rounds;
    mapping(uint256 round => mapping(address trainer => Trainer)) internal _trainers;
    mapping(uint256 round => mapping(uint256 index => address owner)) internal _owners;
    // Both are written through a reference: `RoundVerdicts._wordsOf` chooses one of them.
    // slither-disable-next-line uninitialized-state
    mapping(uint256 round => mapping(uint256 index => ScoreSlot)) internal _scores;
    // slither-disable-next-line uninitialized-state
    mapping(uint256 round => mapping(uint256 index => ScoreSlot)) internal _retryScores;
    mapping(uint256 round => mapping(uint256 slot => uint256 lanes)) internal _results;
    mapping(uint256 round => mapping(uint256 slot => bytes32 attestation)) internal _attestations;

    constructor(
        IMemberRegistry registry_,
        IGuidelineRegistry guidelines_,
        address court_,
        IGuardian guardian_,
        bytes32 modelHash,
        bytes32 cid
    ) {
        if (registry_.roundManager() != address(this)) {
            revert WiredElsewhere(registry_.roundManager(), address(this));
        }
        // A penalty that the end of the round makes provable needs time to be proven, too.
        uint256 least = longestRound() + CHALLENGE_DURATION;
        if (registry_.exitDelay() <= least) revert ExitDelayTooShort(registry_.exitDelay(), least);
        registry = registry_;
        guidelines = guidelines_;
        court = court_;
        guardian = guardian_;
        Round storage genesis = _rounds[0];
        genesis.phase = Phase.Finalized;
        genesis.deadline = uint40(block.timestamp);
        genesis.modelHash = modelHash;
        genesis.cid = cid;
    }

    // --- views --------------------------------------------------------------------------------------------------------

    /// @inheritdoc IRoundManager
    function currentRound() external view override returns (uint256) {
        return _current;
    }

    /// @inheritdoc IRoundManager
    function phaseOf(uint256 round) external view override returns (Phase phase, uint40 deadline) {
        Round storage r = _rounds[round];
        return (r.phase, r.deadline);
    }

    /// @inheritdoc IRoundManager
    function latestModel() external view override returns (bytes32 modelHash, bytes32 cid, uint256 round) {
        round = _latestFinalized;
        Round storage r = _rounds[round];
        return (r.modelHash, r.cid, round);
    }

    /// @inheritdoc IRoundManager
    function roundOf(uint256 round) external view override returns (Round memory) {
        return _rounds[round];
    }

    /// @inheritdoc IRoundManager
    function trainerOf(uint256 round, address trainer)
        external
        view
        override
        returns (Entry entry, uint16 sequence, uint16 index, bytes32 commitment)
    {
        Trainer storage t = _trainers[round][trainer];
        return (t.entry, t.sequence, t.index, bytes32(uint256(t.commitment) << TRAINER_CUT));
    }

    /// @inheritdoc IRoundManager
    function ownerOf(uint256 round, uint256 index) external view override returns (address) {
        return _owners[round][index];
    }

    /// @inheritdoc IRoundManager
    function scoresOf(uint256 round, uint256 index) external view override returns (Entry entry, uint256 word) {
        return _scores[round][index].revealed();
    }

    /// @inheritdoc IRoundManager
    function retryScoresOf(uint256 round, uint256 index) external view override returns (Entry entry, uint256 word) {
        return _retryScores[round][index].revealed();
    }

    /// @inheritdoc IRoundManager
    function positionOf(uint256 round, uint256 index) external view override returns (uint256 position) {
        (bytes32 seed, uint256 n) = _ring(round);
        return RingShuffle.forward(seed, n, index);
    }

    /// @inheritdoc IRoundManager
    function indexAt(uint256 round, uint256 position) external view override returns (uint256 index) {
        (bytes32 seed, uint256 n) = _ring(round);
        return RingShuffle.inverse(seed, n, position);
    }

    /// @inheritdoc IRoundManager
    function resultOf(uint256 round, uint256 index)
        external
        view
        override
        returns (UpdateStatus status, int32 gain, uint32 weight, bool isRetried, bool isForfeited)
    {
        (bytes32 seed, uint256 n) = _ring(round);
        Lane lane = _results[round].read(RingShuffle.forward(seed, n, index));
        // A stored gain has 24 bits.
        return (
            lane.statusOf(),
            int32(lane.gainOf()),
            _weightOf(lane, _rounds[round].gainCap),
            lane.isRetried(),
            lane.isForfeited()
        );
    }

    /// @inheritdoc IRoundManager
    function attestationOf(uint256 round, uint8 slot)
        external
        view
        override
        returns (address attester, bytes32 attestation, bool isCorrect)
    {
        attester = _attester(round, slot);
        attestation = _attestations[round][slot];
        isCorrect = _rounds[round].correctSlots & _bit(slot) != 0;
    }

    /// @inheritdoc IRoundManager
    function earningsOf(uint256 round, uint256 index) external view override returns (Earnings memory earned) {
        Round storage r = _rounds[round];
        bytes32 seed = r.seed;
        earned.phase = r.phase;
        if (seed == 0) return earned;
        uint256 n = r.reveals;
        uint256 k = _verifiersOf(n);
        uint256 position = RingShuffle.forward(seed, n, index);
        Lane lane = _results[round].read(position);
        UpdateStatus status = lane.statusOf();
        uint256 attesters = _attestersOf(n);
        earned.owner = _owners[round][index];
        earned.status = status;
        earned.weight = _weightOf(lane, r.gainCap);
        earned.sumWeight = r.sumWeight;
        // n has 16 bits; k is at most 7, the attesters at most 31, the correct fields of both words at most 14.
        earned.participants = uint16(n);
        earned.verifiers = uint8(k);
        earned.correct = uint8(_correctFields(_scores[round][index], round, position, n, k, false));
        // The second word counts for retried updates, of which most rounds have none.
        if (r.retryReveals != 0) {
            ScoreSlot second = _retryScores[round][index];
            earned.correct += uint8(_correctFields(second, round, (position + k) % n, n, k, true));
        }
        earned.attesters = uint8(attesters);
        earned.isCorrectAttester = position < attesters && r.correctSlots & _bit(position) != 0;
        earned.isSealed = r.seal == Seal.Revealed;
        earned.isForfeited = lane.isForfeited() || status == UpdateStatus.Malformed || status == UpdateStatus.Harmful;
    }

    // --- helpers ------------------------------------------------------------------------------------------------------

    function _correctFields(ScoreSlot scores, uint256 round, uint256 before, uint256 n, uint256 k, bool isRetry)
        private
        view
        returns (uint256)
    {
        if (scores.entryOf() != Entry.Revealed) return 0;
        return _results[round].countCorrect(scores.contentOf(), before, n, k, _rounds[round].tau, isRetry);
    }

    function _weightOf(Lane lane, uint256 cap) internal pure returns (uint32) {
        // The cap has 24 bits.
        return lane.statusOf() == UpdateStatus.Accepted ? uint32(Tally.weightOf(lane.gainOf(), int256(cap))) : 0;
    }

    /// @dev Key and size of a round's ring.
    function _ring(uint256 round) internal view returns (bytes32 seed, uint256 n) {
        Round storage r = _rounds[round];
        seed = r.seed;
        n = r.reveals;
        if (seed == 0) revert SeedNotReady(r.seedBlock, block.number);
    }

    /// @dev Who attests for `slot`: the owner at that ring position.
    function _attester(uint256 round, uint256 slot) internal view returns (address) {
        (bytes32 seed, uint256 n) = _ring(round);
        uint256 attesters = _attestersOf(n);
        if (slot >= attesters) revert NoSuchSlot(slot, attesters);
        return _owners[round][RingShuffle.inverse(seed, n, slot)];
    }

    /// @dev The round, if it is in `expected` and the deadline has not passed.
    function _open(uint256 round, Phase expected) internal view returns (Round storage r) {
        r = _rounds[round];
        _requireOpen(r, expected);
    }

    function _requireOpen(Round storage r, Phase expected) internal view {
        if (r.phase != expected) revert WrongPhase(r.phase, expected);
        if (block.timestamp > r.deadline) revert DeadlinePassed(r.deadline, block.timestamp);
    }

    /// @dev Bit of an attester's slot, below 31.
    function _bit(uint256 slot) internal pure returns (uint32) {
        return uint32(1 << slot);
    }
}
