// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

/// @title IGuidelineRegistry
/// @notice The developer guideline: four append-only documents and the numbers that updates are scored by. A round pins the
/// epoch it opened under, so an amendment never reaches into a round that runs.
/// @dev Hashes are of the files' bytes, CIDs the 32-byte digest of a CIDv0, scoring numbers parts per million (ppm).
///
/// An epoch is: the revision of each document in force, hash and CID of the combined file that peers read, and the scoring.
/// Every amendment makes a new epoch and none is ever rewritten; epochs count from 1, the founding one. Only the timelock
/// amends, and never beyond the bounds, which are constants.
///
/// Assumptions. Safety: the timelock executes only what the governor decided. Liveness: the files behind the CIDs are kept by
/// somebody; the hashes stay here whatever happens to them.
interface IGuidelineRegistry {
    /// @notice The four documents, in this order in every array.
    enum Kind {
        Data,
        Architecture,
        Update,
        Versioning
    }

    /// @notice What a gain means (docs/protocol.md, "Tally of one update"), in ppm.
    struct Scoring {
        uint24 tau;
        uint24 deltaMin;
        uint24 harmMin;
        uint24 gainCap;
    }

    /// @notice One revision of a document.
    struct Document {
        bytes32 contentHash;
        bytes32 cid;
    }

    /// @notice What was in force together.
    struct Epoch {
        bytes32 guidelineHash;
        bytes32 guidelineCid;
        Scoring scoring;
        uint32[4] revisions; // of each kind, from 1
        uint40 since; // when it began
    }

    /// @notice A new epoch began; `revisions` says which revision of each document is in force from now on.
    event EpochBegun(
        uint32 indexed epoch, bytes32 guidelineHash, bytes32 guidelineCid, Scoring scoring, uint32[4] revisions
    );
    /// @notice A document has a new revision. At deployment each kind gets its first.
    event DocumentAmended(Kind indexed kind, uint32 revision, bytes32 contentHash, bytes32 cid);

    /// @notice Thrown when another caller than the timelock amends.
    error NotTimelock(address caller, address timelock);
    /// @notice Thrown when a hash or a CID is zero.
    error ZeroHash(bytes32 contentHash, bytes32 cid);
    /// @notice Thrown when an amendment would change nothing: the document, or the combined file, is the one in force.
    error SameHash(bytes32 contentHash, bytes32 inForce);
    /// @notice Thrown when the scoring given is the one in force.
    error SameScoring(Scoring given);
    /// @notice Thrown when a scoring number lies outside its bounds; `name` is its name in Scoring.
    error ParameterOutOfBounds(bytes32 name, uint256 value, uint256 least, uint256 most);
    /// @notice Thrown when an epoch has not begun.
    error NoSuchEpoch(uint256 epoch, uint256 currentEpoch);
    /// @notice Thrown when a document has no such revision.
    error NoSuchRevision(Kind kind, uint256 revision, uint256 latest);
    /// @notice Thrown at deployment when the timelock is the zero address.
    error ZeroTimelock();

    /// @notice Puts a new revision of one document in force, and the combined file that contains it.
    /// @dev Effects: one revision and one epoch more; scoring and the other documents stay. Requirements: the caller is the
    /// timelock; no hash or CID is zero; both hashes differ from the ones in force.
    /// @param contentHash Of the document's bytes.
    /// @param guidelineHash Of the combined file, as peers check it.
    function amend(Kind kind, bytes32 contentHash, bytes32 cid, bytes32 guidelineHash, bytes32 guidelineCid) external;

    /// @notice Puts new scoring numbers in force.
    /// @dev Effects: one epoch more; the documents and the combined file stay. Requirements: the caller is the timelock; each
    /// number is within its bounds; something changes.
    function setScoring(Scoring calldata scoring) external;

    /// @notice What the next round opens under.
    function current() external view returns (uint32 epoch, bytes32 guidelineHash, Scoring memory scoring);

    /// @notice A past epoch, or the one in force.
    function epochOf(uint256 epoch) external view returns (Epoch memory);

    /// @notice The document of `kind` that was in force in `epoch`.
    function documentOf(uint256 epoch, Kind kind) external view returns (Document memory);

    /// @notice Revision `revision` of a document, from 1.
    function revisionOf(Kind kind, uint256 revision) external view returns (Document memory);

    /// @notice The only account that amends.
    function timelock() external view returns (address);
}
