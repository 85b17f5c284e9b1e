// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IGuardian} from "./IGuardian.sol";
import {IGuidelineRegistry} from "./IGuidelineRegistry.sol";
import {IMemberRegistry} from "./IMemberRegistry.sol";

/// @title IRoundManager
/// @notice The round: participants commit and reveal updates, a random ring of peers scores them, the ring settles each
/// update, attesters agree on the aggregated model by its hash. The rules stand in docs/protocol.md. It decides and punishes
/// nobody: penalties, and the appeal against a verdict, are the RoundCourt's.
/// @dev Times are seconds since 1970, gains and weights parts per million, CIDs the 32-byte digest of a CIDv0. No call loops
/// over the participants: a participant's cost does not depend on how many there are. Nobody owns this contract and
/// nobody can decide a round; every state ends in Finalized or Voided by time and `advance` alone: the court may prolong a
/// Challenge, but not beyond `disputeDuration` from the moment it does.
///
/// Assumptions. Safety: a block's hash cannot be chosen `seedDelayBlocks` ahead (on an L2: by its sequencer); fewer than
/// ⌊k/2⌋+1 of an update's k verifiers, and at most 2/3 of the attesters, collude, or somebody disputes what they decided and
/// most of the jury is honest. Liveness: somebody sends `advance`.
///
/// Retry. An update that the first panel left Unscored (too few turned up, or they disagree) gets a second one where the
/// ring is large enough (n ≥ 2k+1): the owners k+1 … 2k places before it. What they say is final and replaces the first.
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
        RetryCommit,
        RetryReveal,
        RetrySettle,
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
        NoQuorum,
        CourtVoided
    }

    /// @notice How far a participant came with a commitment.
    enum Entry {
        None,
        Committed,
        Revealed
    }

    /// @notice Whether the round is scored on an unpublished benchmark slice.
    enum Seal {
        Unsealed, // none was committed: the public benchmark
        Committed, // committed, not (yet) revealed
        Revealed
    }

    /// @notice Bounded constants of one deployment (docs/protocol.md). Durations in seconds.
    struct Params {
        uint32 openWindow;
        uint32 commitDuration;
        uint32 revealDuration;
        uint32 scoreDuration; // of ScoreCommit, ScoreReveal, RetryCommit and RetryReveal, each
        uint32 settleDuration; // of Settle and RetrySettle, each
        uint32 attestDuration;
        uint32 challengeDuration;
        uint32 disputeDuration; // longest that the court may prolong a Challenge from the moment it does
        uint16 seedDelayBlocks;
        uint16 minParticipants;
        uint8 maxVerifiers; // k, at most 7
        uint8 maxAttesters; // at most 31
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
        uint24 tau; // these four: the guideline's scoring, pinned at opening, ppm
        uint24 deltaMin;
        uint24 harmMin;
        uint24 gainCap;
        uint40 sumWeight; // of all accepted updates, ppm: 2^16 weights of 20 bits
        uint32 correctSlots; // bit per slot: its attestation opened to the round's model
        uint32 epoch; // of the guideline
        uint16 unscored; // updates that wait for a second verdict
        uint16 retryCommits;
        uint16 retryReveals;
        // slot 2
        address steward; // who committed to the slice; 0 where none was
        // slots 3 … 6
        bytes32 seed; // 0 before ScoreCommit
        bytes32 benchmarkCommitment;
        bytes32 modelHash; // 0 before Challenge
        bytes32 cid;
    }

    /// @notice All that a participant's pay depends on.
    struct Earnings {
        Phase phase; // of the round: nothing is earned before Finalized
        address owner;
        UpdateStatus status; // verdict on its own update
        uint32 weight; // of its own update
        uint40 sumWeight; // of the round
        uint16 participants; // n
        uint8 verifiers; // k
        uint8 correct; // its fields that equal the result, in the word that counts: the second for retried updates
        uint8 attesters;
        bool isCorrectAttester;
        bool isSealed;
        bool isForfeited; // earns nothing: its own update was Malformed or Harmful, or a proven copy
    }

    /// @notice A round opened on the model `parentModelHash`; `expected` members may commit until `deadline`. This is also the
    /// announcement of its Commit phase. `benchmarkCommitment` is zero where the round is unsealed.
    event RoundOpened(
        uint256 indexed round,
        address indexed opener,
        bytes32 parentModelHash,
        bytes32 parentModelCid,
        uint32 epoch,
        bytes32 guidelineHash,
        bytes32 benchmarkCommitment,
        uint16 expected,
        uint40 deadline
    );
    /// @notice A later phase began. `deadline` is 0 for Seed, and the moment of the end for Finalized and Voided.
    /// @dev ScoresCommitted, ScoresRevealed and UpdateSettled belong to the retry where one of its phases runs.
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
    /// @notice The court prolonged the Challenge for a dispute.
    event DeadlineExtended(uint256 indexed round, uint40 deadline);
    /// @notice A jury overturned the verdict on the update of ring member `index`.
    event UpdateRescored(
        uint256 indexed round, uint16 index, address indexed trainer, UpdateStatus status, int32 gain, uint32 weight
    );
    /// @notice The owner of ring member `index` lost every reward of the round.
    event UpdateForfeited(uint256 indexed round, uint16 index, address indexed trainer);
    /// @notice The round has a model; rewards can be claimed.
    event RoundFinalized(uint256 indexed round, bytes32 modelHash, bytes32 cid, uint16 accepted, uint40 sumWeight);
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
    /// @notice Thrown when the guardian has paused the opening of rounds.
    error EntryPaused(IGuardian.Entry entry);
    /// @notice Thrown when another account than the steward acts in its place.
    error NotSteward(address caller, address steward);
    /// @notice Thrown when the steward opens without a slice, or anybody opens late with one.
    error WrongSeal(bytes32 benchmarkCommitment, uint256 windowEnd, uint256 currentTime);
    /// @notice Thrown when the benchmark slice was not committed or is revealed already.
    error NoSealToReveal(Seal actual, Seal expected);
    /// @notice Thrown when the caller may not commit to this round: not Active, not bonded, or not since before it opened.
    error NotEligible(address caller, uint256 openedAt);
    /// @notice Thrown when the caller's entry is not at the step that this act continues (a second commit, a reveal
    /// without one).
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
    /// @notice Thrown when another account than the court uses one of its hooks.
    error NotCourt(address caller, address court);
    /// @notice Thrown when the court prolongs a Challenge beyond what a dispute may take.
    error ExtensionTooLong(uint256 until, uint256 latest);

    /// @notice Thrown at deployment when a constant lies outside its bounds; `name` is its name in Params.
    error ParameterOutOfBounds(bytes32 name, uint256 value, uint256 least, uint256 most);
    /// @notice Thrown at deployment when a member could leave before a round ends and another Challenge's time is left to
    /// prove what happened in it.
    error ExitDelayTooShort(uint256 exitDelay, uint256 longestRound);
    /// @notice Thrown at deployment when the registry names another RoundManager than this one.
    error WiredElsewhere(address actual, address expected);

    // --- acts ---------------------------------------------------------------------------------------------------------

    /// @notice Opens the next round, under the guideline and the scoring of the current epoch.
    /// @dev Requirements: the last round ended; opening is not paused. Until `openWindow` seconds after that, the caller is the steward (holder of
    /// committee seat `round mod seats`) and commits to a slice; later anyone may open, with commitment 0. Where the seat
    /// has no holder, nobody can open within the window.
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
    /// @dev Requirements: Reveal phase, before its deadline; the caller opened the round (its seat may have expired since);
    /// the arguments open the commitment.
    function revealBenchmark(uint256 round, bytes32 contentHash, bytes32 cid, bytes32 salt) external;
    /// @notice Commits to a score word, once per ring member and panel.
    /// @dev Requirements: ScoreCommit or RetryCommit phase, before its deadline; the caller revealed update `index`. The retry's
    /// word is about positions p+k+1 … p+2k; only Unscored updates among them matter, and who has none need not commit.
    /// @param commitment CommitHash.scores.
    function commitScores(uint256 round, uint16 index, bytes32 commitment) external;
    /// @notice Opens the caller's score word.
    /// @dev Requirements: ScoreReveal or RetryReveal phase, before its deadline; the caller owns `index`; the arguments open
    /// its commitment.
    function revealScores(uint256 round, uint16 index, uint256 word, bytes32 salt) external;
    /// @notice Settles up to MAX_SETTLE updates by their verifiers' words. Anyone; an index that is settled already is left as
    /// it is, so two callers do no harm. In RetrySettle: those that are Unscored, once more, by the retry's words.
    /// @dev Requirements: Settle or RetrySettle phase, before its deadline; each index is on the ring.
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

    // --- hooks of the court -------------------------------------------------------------------------------------------

    /// @notice Prolongs a Challenge to `until`; an earlier moment changes nothing.
    /// @dev Requirements: the court; Challenge phase, before its deadline; at most `disputeDuration` from now.
    function extend(uint256 round, uint40 until) external;
    /// @notice Replaces a verdict by the jury's. Where an update becomes accepted or is no longer, the round is Voided, since
    /// its model is not the aggregate of the accepted updates.
    /// @dev Requirements: the court; Challenge phase, before its deadline, or CourtVoided (the record is corrected then).
    function rescore(uint256 round, uint16 index, UpdateStatus status, int256 gain) external;
    /// @notice Ends a round without a model: the jury computed another aggregate. Changes nothing where a jury did already.
    /// @dev Requirements: the court; Challenge phase, before its deadline, or CourtVoided.
    function voidRound(uint256 round) external;
    /// @notice Takes every reward of the round from the owner of `index`; its update stays in the aggregate.
    /// @dev Requirements: the court; Challenge phase, its deadline passed or not.
    function forfeit(uint256 round, uint16 index) external;

    // --- views --------------------------------------------------------------------------------------------------------

    /// @notice Number of the latest round; 0 before the first.
    function currentRound() external view returns (uint256);
    /// @notice Phase of a round as stored, and its deadline (see PhaseChanged). A deadline may have passed already.
    function phaseOf(uint256 round) external view returns (Phase phase, uint40 deadline);
    /// @notice The model that the next round starts from, and the round that made it (0: genesis).
    function latestModel() external view returns (bytes32 modelHash, bytes32 cid, uint256 round);
    /// @notice The constants of this deployment.
    function params() external view returns (Params memory);
    /// @notice Longest time from opening to the end, when somebody advances at every deadline (the seed's blocks besides):
    /// with retry, and with a dispute opened in the last second of the Challenge.
    function longestRound() external view returns (uint256);

    /// @notice The registry that eligibility is read from.
    function registry() external view returns (IMemberRegistry);
    /// @notice The registry of guidelines and scoring.
    function guidelines() external view returns (IGuidelineRegistry);
    /// @notice The only contract that can prolong, rescore, void and forfeit.
    function court() external view returns (address);
    /// @notice Who can pause the opening of rounds.
    function guardian() external view returns (IGuardian);

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

    /// @notice The same of the retry.
    function retryScoresOf(uint256 round, uint256 index) external view returns (Entry entry, uint256 word);

    /// @notice Ring position of `index`. Reverts before the seed is drawn or where the index is not on the ring.
    function positionOf(uint256 round, uint256 index) external view returns (uint256 position);

    /// @notice Index at ring `position`, the inverse of `positionOf`.
    function indexAt(uint256 round, uint256 position) external view returns (uint256 index);

    /// @notice Verdict on the update of ring member `index`; whether it is the retry's, and whether its owner is paid nothing
    /// for being a copy.
    function resultOf(uint256 round, uint256 index)
        external
        view
        returns (UpdateStatus status, int32 gain, uint32 weight, bool isRetried, bool isForfeited);

    /// @notice What a slot attested (0: nothing), and whether it opened to the round's model.
    function attestationOf(uint256 round, uint8 slot)
        external
        view
        returns (address attester, bytes32 attestation, bool isCorrect);

    /// @notice All that the pay of ring member `index` depends on; nothing but the phase before the seed is drawn.
    function earningsOf(uint256 round, uint256 index) external view returns (Earnings memory);
}
