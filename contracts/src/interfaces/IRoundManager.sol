// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IMemberRegistry} from "./IMemberRegistry.sol";

/// @title IRoundManager
/// @notice The round: participants commit and reveal updates, a random ring of peers scores them, the ring settles each
/// update, attesters agree on the aggregated model by its hash. The rules stand in docs/protocol.md.
/// @dev Times are seconds since 1970, gains and weights parts per million, CIDs the 32-byte digest of a CIDv0. No call loops
/// over the participants: a participant's cost does not depend on how many there are. Nobody owns this contract and
/// nobody can decide a round; every state ends in Finalized or Voided by time and `advance` alone.
///
/// Assumptions. Safety: a block's hash cannot be chosen `seedDelayBlocks` ahead (on an L2: by its sequencer); fewer than
/// ⌊k/2⌋+1 of an update's k verifiers, and at most 2/3 of the attesters, collude. Liveness: somebody sends `advance`.
///
/// Round 0 is the genesis model: Finalized at deployment, without participants.
interface IRoundManager {
    /// @notice Phases of a round; the number only grows.
    enum Phase {
        None,
        Commit,
        Reveal,
        Seed,
        ScoreCommit,
        ScoreReveal,
        Settle,
        Attest,
        Challenge,
        Finalized,
        Voided
    }

    /// @notice Verdict on one update.
    enum UpdateStatus {
        Pending,
        Accepted,
        Rejected,
        Unscored,
        Unavailable,
        Malformed,
        Harmful
    }

    /// @notice Why a round ended without a model.
    enum VoidReason {
        None,
        TooFewCommits,
        TooFewReveals,
        NothingAccepted,
        NoQuorum
    }

    /// @notice How far a participant came with a commitment.
    enum Entry {
        None,
        Committed,
        Revealed,
        Slashed
    }

    /// @notice Whether the round is scored on an unpublished benchmark slice.
    enum Seal {
        Unsealed, // none was committed: the public benchmark
        Committed, // committed, not (yet) revealed
        Revealed
    }

    /// @notice Bounded constants of one deployment (docs/protocol.md). Durations in seconds, gains in ppm.
    struct Params {
        uint32 openWindow;
        uint32 commitDuration;
        uint32 revealDuration;
        uint32 scoreDuration; // of ScoreCommit and of ScoreReveal, each
        uint32 settleDuration;
        uint32 attestDuration;
        uint32 challengeDuration;
        uint16 seedDelayBlocks;
        uint16 minParticipants;
        uint8 maxVerifiers; // k, at most 7
        uint8 maxAttesters; // at most 31
        uint32 tau;
        uint32 deltaMin;
        uint32 harmMin;
        uint32 gainCap;
    }

    /// @notice State of one round, as stored.
    struct Round {
        // slot 0
        Phase phase;
        uint40 deadline; // end of the phase; 0 in Seed; moment of the end where Finalized or Voided
        uint40 openedAt;
        uint40 seedBlock; // 0 before Seed
        uint16 expected; // members eligible at opening
        uint16 commits;
        uint16 reveals; // n: participants on the ring
        uint16 scoreCommits;
        uint16 scoreReveals;
        uint16 settled;
        uint16 accepted;
        Seal seal;
        VoidReason voidReason;
        // slot 1
        uint128 sumWeight; // of all accepted updates, ppm
        uint32 correctSlots; // bit per slot: its attestation opened to the round's model
        uint32 slashedSlots; // bit per slot: slashed for its attestation
        // slots 2 … 5
        bytes32 seed; // 0 before ScoreCommit
        bytes32 benchmarkCommitment;
        bytes32 modelHash; // 0 before Challenge
        bytes32 cid;
    }

    /// @notice All that a participant's pay depends on.
    struct Earnings {
        address owner;
        UpdateStatus status; // verdict on its own update
        uint32 weight; // of its own update
        uint128 sumWeight; // of the round
        uint16 participants; // n
        uint8 verifiers; // k
        uint8 correct; // its fields that equal the settled result
        uint8 attesters;
        bool isCorrectAttester;
        bool isSealed;
    }

    /// @notice A round opened on the model `parentModelHash`; `expected` members may commit until `deadline`. This is also the
    /// announcement of its Commit phase. `benchmarkCommitment` is zero where the round is unsealed.
    event RoundOpened(
        uint256 indexed round,
        address indexed opener,
        bytes32 parentModelHash,
        bytes32 parentModelCid,
        bytes32 guidelineHash,
        bytes32 benchmarkCommitment,
        uint16 expected,
        uint40 deadline
    );
    /// @notice A later phase began. `deadline` is 0 for Seed, and the moment of the end for Finalized and Voided.
    event PhaseChanged(uint256 indexed round, Phase phase, uint40 deadline);
    /// @notice A trainer committed to an update, as number `sequence` of the round, from 0.
    event UpdateCommitted(uint256 indexed round, address indexed trainer, uint16 sequence, bytes32 commitment);
    /// @notice A trainer opened its commitment; its place in the order of reveal is `index`, from 0.
    event UpdateRevealed(
        uint256 indexed round,
        address indexed trainer,
        uint16 index,
        uint16 sequence,
        bytes32 contentHash,
        bytes32 cid,
        uint32 samples
    );
    /// @notice The steward opened the benchmark slice.
    event BenchmarkRevealed(uint256 indexed round, address indexed steward, bytes32 contentHash, bytes32 cid);
    /// @notice The ring will be drawn from the hash of block `seedBlock`.
    event SeedPinned(uint256 indexed round, uint48 seedBlock);
    /// @notice The ring is known, and so is whether the round is scored on a sealed slice.
    event SeedDrawn(uint256 indexed round, bytes32 seed, bool isSealed);
    /// @notice The verifier of ring member `index` committed to its score word.
    event ScoresCommitted(uint256 indexed round, uint16 index, address indexed verifier, bytes32 commitment);
    /// @notice The verifier of ring member `index` opened its score word.
    event ScoresRevealed(uint256 indexed round, uint16 index, address indexed verifier, uint256 word);
    /// @notice The verdict on the update of ring member `index` (Tally).
    event UpdateSettled(
        uint256 indexed round,
        uint16 index,
        address indexed trainer,
        UpdateStatus status,
        int32 gain,
        uint8 votes,
        uint32 weight
    );
    /// @notice An attester published its keyed attestation.
    event Attested(uint256 indexed round, uint8 slot, address indexed attester, bytes32 attestation);
    /// @notice A quorum of attestations opened with this secret, model and CID.
    event AggregateProposed(
        uint256 indexed round, address indexed proposer, bytes32 secret, bytes32 modelHash, bytes32 cid, uint8 votes
    );
    /// @notice The round has a model; rewards can be claimed.
    event RoundFinalized(uint256 indexed round, bytes32 modelHash, bytes32 cid, uint16 accepted, uint128 sumWeight);
    /// @notice The round ended without a model; nobody is paid.
    event RoundVoided(uint256 indexed round, VoidReason reason);

    // --- errors -------------------------------------------------------------------------------------------------------

    /// @notice Thrown when an act belongs to another phase than the round's.
    error WrongPhase(Phase actual, Phase expected);
    /// @notice Thrown when the phase is right but its deadline has passed, whether or not somebody has advanced.
    error DeadlinePassed(uint256 deadline, uint256 currentTime);
    /// @notice Thrown when `advance` comes before the deadline and not every expected act has happened.
    error TooEarly(uint256 deadline, uint256 currentTime);
    /// @notice Thrown when `advance` comes before the seed block is mined.
    error SeedNotReady(uint256 seedBlock, uint256 currentBlock);
    /// @notice Thrown when a round is Finalized or Voided and cannot advance.
    error RoundEnded(uint256 round, Phase phase);
    /// @notice Thrown when a round was never opened.
    error NoSuchRound(uint256 round, uint256 currentRound);
    /// @notice Thrown when a round is opened while the last one still runs.
    error RoundRunning(uint256 round, Phase phase);
    /// @notice Thrown when another account than the steward acts in its place.
    error NotSteward(address caller, address steward);
    /// @notice Thrown when the steward opens without a slice, or anybody opens late with one.
    error WrongSeal(bytes32 benchmarkCommitment, uint256 windowEnd, uint256 currentTime);
    /// @notice Thrown when the benchmark slice was not committed or is revealed already.
    error NoSealToReveal(Seal actual, Seal expected);
    /// @notice Thrown when the caller may not commit to this round: not Active, not bonded, or not since before it opened.
    error NotEligible(address caller, uint256 openedAt);
    /// @notice Thrown when the caller's entry is not at the step that this act continues (a second commit, a reveal
    /// without one, a second penalty, a fault that did not happen).
    error WrongEntry(address account, Entry actual, Entry expected);
    /// @notice Thrown when the arguments do not open the commitment. Both sides are cut to the bits that are stored.
    error CommitmentMismatch(bytes32 committed, bytes32 opened);
    /// @notice Thrown when the caller is not the owner of this ring member or position.
    error NotRingOwner(address caller, address owner);
    /// @notice Thrown when an index is not on the ring.
    error NoSuchIndex(uint256 index, uint256 participants);
    /// @notice Thrown when a slot has no attester.
    error NoSuchSlot(uint256 slot, uint256 attesters);
    /// @notice Thrown when one call settles too many updates.
    error TooManyIndices(uint256 count, uint256 maximum);
    /// @notice Thrown when an attestation is zero, which is how absence is stored.
    error ZeroAttestation();
    /// @notice Thrown when a slot attests twice.
    error AlreadyAttested(uint256 slot, bytes32 attestation);
    /// @notice Thrown when too few attestations open to the proposed model.
    error NoQuorum(uint256 votes, uint256 needed);
    /// @notice Thrown when the phase in which a fault could happen is not over, or never was.
    error FaultNotProvable(Phase actual, VoidReason voidReason);
    /// @notice Thrown when a slot did not attest, or its attestation is right.
    error NoWrongAttestation(uint256 slot, bytes32 attestation);
    /// @notice Thrown when a slot was slashed for its attestation already.
    error AlreadySlashed(uint256 slot);

    /// @notice Thrown at deployment when a constant lies outside its bounds; `name` is its name in Params.
    error ParameterOutOfBounds(bytes32 name, uint256 value, uint256 least, uint256 most);
    /// @notice Thrown at deployment when a member could leave before a round ends.
    error ExitDelayTooShort(uint256 exitDelay, uint256 longestRound);
    /// @notice Thrown at deployment when the registry names another RoundManager than this one.
    error WiredElsewhere(address actual, address expected);

    // --- acts ---------------------------------------------------------------------------------------------------------

    /// @notice Opens the next round.
    /// @dev Requirements: the last round ended. Until `openWindow` seconds after that, the caller is the steward (holder of
    /// committee seat `round mod seats`) and commits to a slice; later anyone may open, with commitment 0.
    /// @param benchmarkCommitment CommitHash.benchmark of the unpublished slice, or 0.
    function openRound(bytes32 benchmarkCommitment) external returns (uint256 round);
    /// @notice Commits to an update, once per member and round.
    /// @dev Requirements: Commit phase, before its deadline; the caller was eligible when the round opened and still is.
    /// @param commitment CommitHash.update.
    function commitUpdate(uint256 round, bytes32 commitment) external;
    /// @notice Opens the caller's commitment and takes the next place in the order of reveal.
    /// @dev Requirements: Reveal phase, before its deadline; the arguments open what the caller committed.
    function revealUpdate(uint256 round, bytes32 contentHash, bytes32 cid, uint32 samples, bytes32 salt) external;
    /// @notice Opens the steward's commitment. Not opened before Reveal ends, the round is unsealed.
    /// @dev Requirements: Reveal phase, before its deadline; the caller is the steward; the arguments open the commitment.
    function revealBenchmark(uint256 round, bytes32 contentHash, bytes32 cid, bytes32 salt) external;
    /// @notice Commits to a score word, once per ring member.
    /// @dev Requirements: ScoreCommit phase, before its deadline; the caller revealed update `index`.
    /// @param commitment CommitHash.scores.
    function commitScores(uint256 round, uint16 index, bytes32 commitment) external;
    /// @notice Opens the caller's score word.
    /// @dev Requirements: ScoreReveal phase, before its deadline; the caller owns `index`; the arguments open its commitment.
    function revealScores(uint256 round, uint16 index, uint256 word, bytes32 salt) external;
    /// @notice Settles up to MAX_SETTLE updates by their verifiers' words, and slashes the owners of those found Unavailable,
    /// Malformed or Harmful. Anyone; an index that is settled already is left as it is, so two callers do no harm.
    /// @dev Requirements: Settle phase, before its deadline; each index is on the ring.
    function settle(uint256 round, uint16[] calldata indices) external;
    /// @notice Publishes the caller's attestation of the aggregate, once.
    /// @dev Requirements: Attest phase, before its deadline; the caller sits at ring position `slot`, below
    /// min(n, maxAttesters).
    /// @param attestation CommitHash.attestation; not zero.
    function attest(uint256 round, uint8 slot, bytes32 attestation) external;
    /// @notice Opens all attestations at once. Anyone who holds the model can.
    /// @dev Requirements: Attest phase, before its deadline; more than 2/3 of all min(n, maxAttesters) slots, not of those
    /// who turned up, attested exactly this. Effects: the model is the round's; its
    /// Challenge phase begins.
    /// @param secret D, which only somebody who holds the aggregated weights can compute.
    function proposeAggregate(uint256 round, bytes32 secret, bytes32 modelHash, bytes32 cid) external;
    /// @notice Moves a round on once its deadline passed or every expected act has happened. Anyone, O(1).
    /// @dev In Seed: once the seed block is mined; where its hash is gone (256 blocks), pins a new one instead.
    function advance(uint256 round) external;

    /// @notice Proves that `trainer` committed and did not reveal. Half of the penalty goes to the caller.
    /// @dev Requirements: the round's Reveal phase is over (a round voided before it has none); not yet slashed for it.
    function slashUnrevealedUpdate(uint256 round, address trainer) external;
    /// @notice Proves that the owner of `index` did not commit scores.
    /// @dev Requirements: the round's ScoreReveal phase is over; not yet slashed for it.
    function slashAbsentVerifier(uint256 round, uint16 index) external;
    /// @notice Proves that the owner of `index` committed scores and did not reveal them.
    /// @dev Requirements: the round's ScoreReveal phase is over; not yet slashed for it.
    function slashUnrevealedScores(uint256 round, uint16 index) external;
    /// @notice Proves that the attestation of `slot` opens to something else than the round's model.
    /// @dev Requirements: Challenge or Finalized; the slot attested; not yet slashed for it.
    function slashWrongAttestation(uint256 round, uint8 slot) external;

    // --- views --------------------------------------------------------------------------------------------------------

    /// @notice Number of the latest round; 0 before the first.
    function currentRound() external view returns (uint256);
    /// @notice Phase of a round as stored, and its deadline (see PhaseChanged). A deadline may have passed already.
    function phaseOf(uint256 round) external view returns (Phase phase, uint40 deadline);
    /// @notice The model that the next round starts from, and the round that made it (0: genesis).
    function latestModel() external view returns (bytes32 modelHash, bytes32 cid, uint256 round);
    /// @notice The constants of this deployment.
    function params() external view returns (Params memory);
    /// @notice SHA-256 of the guideline that every peer follows.
    function guidelineHash() external view returns (bytes32);

    /// @notice The registry that eligibility is read from and penalties are taken through.
    function registry() external view returns (IMemberRegistry);

    /// @notice State of a round.
    function roundOf(uint256 round) external view returns (Round memory);

    /// @notice A trainer's entry and the highest 208 bits of its commitment; `index` is meaningful once Revealed, `sequence`
    /// once Committed.
    function trainerOf(uint256 round, address trainer)
        external
        view
        returns (Entry entry, uint16 sequence, uint16 index, bytes32 commitment);

    /// @notice Owner of ring member `index`; zero where there is none.
    function ownerOf(uint256 round, uint256 index) external view returns (address);

    /// @notice The score entry of ring member `index`, and its word once Revealed.
    function scoresOf(uint256 round, uint256 index) external view returns (Entry entry, uint256 word);

    /// @notice Ring position of `index`. Reverts before the seed is drawn or where the index is not on the ring.
    function positionOf(uint256 round, uint256 index) external view returns (uint256 position);

    /// @notice Index at ring `position`, the inverse of `positionOf`.
    function indexAt(uint256 round, uint256 position) external view returns (uint256 index);

    /// @notice Verdict on the update of ring member `index`.
    function resultOf(uint256 round, uint256 index)
        external
        view
        returns (UpdateStatus status, int32 gain, uint32 weight);

    /// @notice What a slot attested (0: nothing), and whether it opened to the round's model.
    function attestationOf(uint256 round, uint8 slot)
        external
        view
        returns (address attester, bytes32 attestation, bool isCorrect);

    /// @notice All that the pay of ring member `index` depends on. Reverts before the seed is drawn.
    function earningsOf(uint256 round, uint256 index) external view returns (Earnings memory);
}
