// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IGuidelineRegistry} from "./interfaces/IGuidelineRegistry.sol";

/// @title GuidelineRegistry
/// @notice What is trained and how it is scored; the manual is IGuidelineRegistry.
contract GuidelineRegistry is IGuidelineRegistry {
    // --- bounds -------------------------------------------------------------------------------------------------------

    /// @notice Number of documents, the length of every array over Kind.
    uint256 public constant KINDS = 4;
    /// @notice Largest gain that a field of a score word can say, ppm.
    uint256 public constant MOST_GAIN = 524_287;
    /// @notice Least `deltaMin` and `harmMin`, ppm: a gain of 0 is neither accepted nor harmful.
    uint256 public constant LEAST_GAIN = 1;

    // --- storage ------------------------------------------------------------------------------------------------------

    /// @inheritdoc IGuidelineRegistry
    address public immutable override timelock;

    uint32 private _current;
    mapping(uint256 epoch => Epoch) private _epochs;
    mapping(Kind kind => mapping(uint256 revision => Document)) private _documents;

    // --- deployment ---------------------------------------------------------------------------------------------------

    /// @param timelock_ TimelockController, deployed later at this precomputed address.
    /// @param founding First revision of each document, in the order of Kind.
    /// @param guidelineHash Of the combined file.
    /// @param guidelineCid 32-byte digest of its CIDv0.
    /// @param scoring Founding numbers, within the bounds.
    constructor(
        address timelock_,
        Document[4] memory founding,
        bytes32 guidelineHash,
        bytes32 guidelineCid,
        Scoring memory scoring
    ) {
        if (timelock_ == address(0)) revert ZeroTimelock();
        _requireHashes(guidelineHash, guidelineCid);
        _requireWithinBounds(scoring);
        timelock = timelock_;
        uint32[4] memory revisions = [uint32(1), 1, 1, 1];
        for (uint256 kind = 0; kind < KINDS; ++kind) {
            _write(Kind(kind), 1, founding[kind]);
        }
        _begin(Epoch(guidelineHash, guidelineCid, scoring, revisions, uint40(block.timestamp)));
    }

    // --- acts ---------------------------------------------------------------------------------------------------------

    /// @inheritdoc IGuidelineRegistry
    function amend(Kind kind, bytes32 contentHash, bytes32 cid, bytes32 guidelineHash, bytes32 guidelineCid)
        external
        override
    {
        _requireTimelock();
        _requireHashes(guidelineHash, guidelineCid);
        Epoch memory next = _epochs[_current];
        uint32 revision = next.revisions[uint256(kind)];
        bytes32 inForce = _documents[kind][revision].contentHash;
        if (contentHash == inForce) revert SameHash(contentHash, inForce);
        // A combined file that stays the same does not contain the new revision.
        if (guidelineHash == next.guidelineHash) revert SameHash(guidelineHash, next.guidelineHash);

        next.revisions[uint256(kind)] = revision + 1;
        next.guidelineHash = guidelineHash;
        next.guidelineCid = guidelineCid;
        next.since = uint40(block.timestamp);
        _write(kind, revision + 1, Document(contentHash, cid));
        _begin(next);
    }

    /// @inheritdoc IGuidelineRegistry
    function setScoring(Scoring calldata scoring) external override {
        _requireTimelock();
        _requireWithinBounds(scoring);
        Epoch memory next = _epochs[_current];
        if (_isSame(scoring, next.scoring)) revert SameScoring(scoring);

        next.scoring = scoring;
        next.since = uint40(block.timestamp);
        _begin(next);
    }

    // --- views --------------------------------------------------------------------------------------------------------

    /// @inheritdoc IGuidelineRegistry
    function current() external view override returns (uint32 epoch, bytes32 guidelineHash, Scoring memory scoring) {
        epoch = _current;
        Epoch storage e = _epochs[epoch];
        return (epoch, e.guidelineHash, e.scoring);
    }

    /// @inheritdoc IGuidelineRegistry
    function epochOf(uint256 epoch) public view override returns (Epoch memory) {
        if (epoch == 0 || epoch > _current) revert NoSuchEpoch(epoch, _current);
        return _epochs[epoch];
    }

    /// @inheritdoc IGuidelineRegistry
    function documentOf(uint256 epoch, Kind kind) external view override returns (Document memory) {
        return _documents[kind][epochOf(epoch).revisions[uint256(kind)]];
    }

    /// @inheritdoc IGuidelineRegistry
    function revisionOf(Kind kind, uint256 revision) external view override returns (Document memory) {
        uint256 latest = _epochs[_current].revisions[uint256(kind)];
        if (revision == 0 || revision > latest) revert NoSuchRevision(kind, revision, latest);
        return _documents[kind][revision];
    }

    // --- helpers ------------------------------------------------------------------------------------------------------

    function _write(Kind kind, uint32 revision, Document memory document) private {
        _requireHashes(document.contentHash, document.cid);
        _documents[kind][revision] = document;
        emit DocumentAmended(kind, revision, document.contentHash, document.cid);
    }

    function _begin(Epoch memory next) private {
        uint32 epoch = _current + 1;
        _current = epoch;
        _epochs[epoch] = next;
        emit EpochBegun(epoch, next.guidelineHash, next.guidelineCid, next.scoring, next.revisions);
    }

    function _requireTimelock() private view {
        if (msg.sender != timelock) revert NotTimelock(msg.sender, timelock);
    }

    function _requireHashes(bytes32 contentHash, bytes32 cid) private pure {
        if (contentHash == 0 || cid == 0) revert ZeroHash(contentHash, cid);
    }

    function _requireWithinBounds(Scoring memory scoring) private pure {
        _check("tau", scoring.tau, 0, MOST_GAIN);
        _check("deltaMin", scoring.deltaMin, LEAST_GAIN, MOST_GAIN);
        _check("harmMin", scoring.harmMin, LEAST_GAIN, MOST_GAIN);
        _check("gainCap", scoring.gainCap, scoring.deltaMin, MOST_GAIN);
    }

    function _check(bytes32 name, uint256 value, uint256 least, uint256 most) private pure {
        if (value < least || value > most) revert ParameterOutOfBounds(name, value, least, most);
    }

    function _isSame(Scoring memory a, Scoring memory b) private pure returns (bool) {
        return a.tau == b.tau && a.deltaMin == b.deltaMin && a.harmMin == b.harmMin && a.gainCap == b.gainCap;
    }
}
