// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IGuardian} from "./IGuardian.sol";
import {IRewardDistributor} from "./IRewardDistributor.sol";
import {IRoundManager} from "./IRoundManager.sol";

/// @title IReleaseRegistry
/// @notice Versions of the model: which round made each, how it scores, and who owns how much of it.
/// @dev A release is published by the timelock, so by a proposal that the members passed; the members decide *whether*, and
/// this contract checks what they cannot waive. Scores are parts per million (ppm), more is better. Releases count from 1; 0
/// is none. Hashes are of the files' bytes, CIDs the 32-byte digest of a CIDv0.
///
/// Ownership. Release v covers the rounds up to its own, R_v. A member's share is creditAt(member, R_v) / creditTotal, both of
/// RewardDistributor. A round's credits are final once every participant's claim is made (anybody may make it), and a
/// release is only published when that holds for all rounds up to R_v: so neither side of the fraction ever changes
/// afterwards, the shares add up to exactly 1, and no later claim dilutes anybody.
///
/// Assumptions. Safety: rounds never change after Finalized; at most 2/3 of a round's correct attesters lie about its scores.
/// Liveness: somebody claims for those who do not, and rolls the credits on; more than 2/3 of the correct attesters attest.
interface IReleaseRegistry {
    /// @notice Compared from left to right.
    struct Version {
        uint16 major;
        uint16 minor;
        uint16 patch;
    }

    /// @notice Score of one benchmark.
    struct Score {
        bytes32 benchmark; // its name
        uint32 ppm; // 0 … 1 000 000
    }

    /// @notice What a proposal asks to publish.
    struct Candidate {
        uint32 parent; // the latest release that is not yanked; 0 where there is none
        Version version;
        uint256 round;
        bytes32 modelHash;
        bytes32 cid;
        bytes32 notesHash; // of the release notes
        bytes32 notesCid;
        Score[] scores; // by ascending name
    }

    /// @notice A release, as stored.
    struct Release {
        // slot 0
        uint32 parent;
        uint32 before; // the release before it that is not yanked; as it was, for a yanked one
        uint32 next; // the one after it; as it was, for a yanked one
        uint48 round;
        Version version;
        uint40 publishedAt;
        bool isYanked;
        // slots 1 … 6
        bytes32 modelHash;
        bytes32 cid;
        bytes32 scoresHash;
        bytes32 notesHash;
        bytes32 notesCid;
        uint256 creditTotal; // of all members, from rounds up to its own
    }

    /// @notice Whether a benchmark counts.
    enum Standing {
        Unknown,
        Active,
        Retired
    }

    /// @notice A benchmark that releases are measured by.
    struct Benchmark {
        Standing standing;
        bytes32 contentHash;
        bytes32 cid;
    }

    /// @notice A correct attester of `round` voted for scores, which have `votes` now.
    event ScoresAttested(
        uint256 indexed round, uint8 slot, address indexed attester, bytes32 indexed scoresHash, uint8 votes
    );
    /// @notice The credits of `round` are final; those of all rounds up to it add up to `creditTotal`.
    event CreditsRolled(uint256 indexed round, uint256 creditTotal);
    /// @notice A release was published.
    event ReleasePublished(uint32 indexed release, uint256 indexed round, Candidate candidate, uint256 creditTotal);
    /// @notice A release was taken back; `reasonHash` is the SHA-256 of the published reason.
    event ReleaseYanked(uint32 indexed release, bytes32 reasonHash);
    /// @notice Releases are measured by one benchmark more.
    event BenchmarkAdded(bytes32 indexed name, bytes32 contentHash, bytes32 cid);
    /// @notice A benchmark no longer counts. Its name is never used again.
    event BenchmarkRetired(bytes32 indexed name);

    /// @notice Thrown when another caller than the timelock decides.
    error NotTimelock(address caller, address timelock);
    /// @notice Thrown while the guardian has paused publishing.
    error PublishPaused();
    /// @notice Thrown when a version is not above the last published one (yanked or not).
    error VersionNotAbove(Version given, Version last);
    /// @notice Thrown when a release does not exist.
    error NoSuchRelease(uint256 release, uint256 count);
    /// @notice Thrown when a release is yanked: as a parent, or a second time.
    error Yanked(uint256 release);
    /// @notice Thrown when the parent is not the latest release that is not yanked.
    error NotLatest(uint256 parent, uint256 latest);
    /// @notice Thrown when a round is not later than the parent's.
    error RoundNotLater(uint256 round, uint256 parentRound);
    /// @notice Thrown when a round is not Finalized: it still runs, was voided, or does not exist.
    error NotFinalized(uint256 round, IRoundManager.Phase actual);
    /// @notice Thrown when model hash or CID are not the round's.
    error NotTheRoundsModel(bytes32 modelHash, bytes32 cid, bytes32 expectedHash, bytes32 expectedCid);
    /// @notice Thrown when the hash or the CID of the notes, or of a benchmark, or its name, is zero.
    error ZeroHash(bytes32 contentHash, bytes32 cid);
    /// @notice Thrown when too few correct attesters of the round voted for these scores.
    error ScoresNotAttested(bytes32 scoresHash, uint256 votes, uint256 needed);
    /// @notice Thrown when scores are not by ascending name, or a name comes twice.
    error ScoresNotAscending(bytes32 benchmark, bytes32 previous);
    /// @notice Thrown when there are too many scores for one release.
    error TooManyScores(uint256 count, uint256 maximum);
    /// @notice Thrown when a score is above 1 000 000 ppm.
    error ScoreOutOfBounds(bytes32 benchmark, uint256 ppm, uint256 most);
    /// @notice Thrown when an active benchmark has no score.
    error MissingScore(bytes32 benchmark);
    /// @notice Thrown when an active benchmark falls further below the parent than is allowed.
    error Regressed(bytes32 benchmark, uint256 ppm, uint256 least);
    /// @notice Thrown when nothing is measured: releases need at least one active benchmark.
    error NoActiveBenchmark();
    /// @notice Thrown when the credits of a round are not rolled up yet (`rollCredits`).
    error CreditsNotRolled(uint256 round, uint256 rolledTo);
    /// @notice Thrown when nobody has earned anything by this round: a release without owners.
    error NoCredits(uint256 round);
    /// @notice Thrown when a participant of this round has not claimed: anybody may do it for it.
    error ClaimsMissing(uint256 round);
    /// @notice Thrown when a round to roll has not ended.
    error RoundNotEnded(uint256 round, IRoundManager.Phase actual);

    /// @notice Thrown when another account than the slot's attester votes in its place.
    error NotAttester(address caller, address attester);
    /// @notice Thrown when the slot's attestation did not open to the round's model.
    error NotCorrect(uint256 round, uint256 slot);
    /// @notice Thrown when a slot votes twice for the same scores.
    error AlreadyAttested(uint256 round, uint256 slot, bytes32 scoresHash);
    /// @notice Thrown when a benchmark is not at the step that this act continues.
    error WrongStanding(bytes32 name, Standing actual, Standing expected);
    /// @notice Thrown when there are as many active benchmarks as there may be.
    error TooManyBenchmarks(uint256 maximum);

    /// @notice Thrown at deployment when the allowed regression lies outside its bounds.
    error ParameterOutOfBounds(bytes32 name, uint256 value, uint256 least, uint256 most);
    /// @notice Thrown at deployment when the distributor pays another RoundManager's rounds, or the members' registry obeys
    /// another timelock.
    error WiredElsewhere(address actual, address expected);

    // --- acts ---------------------------------------------------------------------------------------------------------

    /// @notice Votes for the scores of a finalised round's model.
    /// @dev Votes are never withdrawn, and a slot may vote for several hashes: a benchmark added later needs a longer array, and
    /// two arrays can both be true. Requirements: the round is Finalized; the caller is the attester of `slot`; its
    /// attestation opened to the round's model; it has not voted for this hash.
    /// @param scoresHash What `hashOf` says of the scores.
    function attestScores(uint256 round, uint8 slot, bytes32 scoresHash) external;

    /// @notice Adds up the credits of the next rounds, up to and with `round`. Anyone; a voided round adds nothing.
    /// @dev Loops over the rounds not rolled yet: roll in steps where there are many. A round that is rolled already changes
    /// nothing. Requirements: each round is over; every participant of a Finalized one is claimed.
    function rollCredits(uint256 round) external;

    /// @notice Publishes a release.
    /// @dev Effects: one release more, which is the latest; its scores and its members' total are fixed. Requirements: the
    /// caller is the timelock, and the guardian has not paused Publish; the version is above the last one; the parent is
    /// the latest release that is not yanked (0: there is none); the round is Finalized and later than the parent's; model
    /// hash and CID are the round's; more than 2/3 of the round's correct attesters voted for exactly these scores; every
    /// active benchmark has one, none further below the parent's than `maxRegression`; credits are rolled up to the round.
    function publish(Candidate calldata candidate) external returns (uint32 release);

    /// @notice Takes a release back: `latest` skips it and nothing can be built on it. It stays readable, and its revenue stays
    /// its owners'.
    /// @dev Requirements: the caller is the timelock; the release exists and is not yanked.
    function yank(uint32 release, bytes32 reasonHash) external;

    /// @notice Adds a benchmark. Every later release needs a score for it.
    /// @dev Requirements: the caller is the timelock; the name was never used; fewer than MAX_BENCHMARKS are active.
    /// @param name Short text, left-aligned, not zero.
    function addBenchmark(bytes32 name, bytes32 contentHash, bytes32 cid) external;

    /// @notice Retires a benchmark: later releases are not measured by it.
    /// @dev Requirements: the caller is the timelock; it is active.
    function retireBenchmark(bytes32 name) external;

    // --- views --------------------------------------------------------------------------------------------------------

    /// @notice The latest release that is not yanked; 0 where there is none.
    function latest() external view returns (uint32 release);

    /// @notice How many releases were published.
    function count() external view returns (uint32);

    /// @notice A release, yanked or not.
    function releaseOf(uint256 release) external view returns (Release memory);

    /// @notice The round of a release, and its owners' total: what a share is computed from.
    function ownershipOf(uint256 release) external view returns (uint256 round, uint256 creditTotal);

    /// @notice Score of a release; `exists` is false where it was not measured by this benchmark.
    function scoreOf(uint256 release, bytes32 benchmark) external view returns (bool exists, uint32 ppm);

    /// @notice Votes for scores of a round, and how many they need.
    function votesOf(uint256 round, bytes32 scoresHash) external view returns (uint256 votes, uint256 needed);

    /// @notice Bit per slot that voted for these scores.
    function votersOf(uint256 round, bytes32 scoresHash) external view returns (uint32 slots);

    /// @notice What attesters vote for: OwnershipMath.scoresHash.
    function hashOf(uint256 round, Score[] calldata scores) external view returns (bytes32);

    /// @notice A benchmark by name.
    function benchmarkOf(bytes32 name) external view returns (Benchmark memory);

    /// @notice Names of the active benchmarks, in no order.
    function activeBenchmarks() external view returns (bytes32[] memory);

    /// @notice Credits of all members from rounds up to `round`. Reverts where they are not rolled up yet.
    function creditTotalAt(uint256 round) external view returns (uint256);

    /// @notice Latest round whose credits are rolled up; 0 before the first.
    function rolledTo() external view returns (uint256 round);

    /// @notice How far a score may fall below the parent's, ppm.
    function maxRegression() external view returns (uint256);

    /// @notice The only account that publishes, yanks, adds and retires.
    function timelock() external view returns (address);

    /// @notice The contract whose rounds are released.
    function roundManager() external view returns (IRoundManager);

    /// @notice The contract that keeps the credits.
    function distributor() external view returns (IRewardDistributor);

    /// @notice Who may pause publishing for a while.
    function guardian() external view returns (IGuardian);
}
