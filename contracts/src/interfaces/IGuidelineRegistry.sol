// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

/// @title IGuidelineRegistry
/// @notice The guideline that every peer follows, by epoch; a round pins the epoch it opened under.
interface IGuidelineRegistry {
    /// @notice Bounds of a verdict, ppm.
    struct Scoring {
        uint24 tau; // two gains agree when they differ by at most this
        uint24 deltaMin; // least gain of an accepted update
        uint24 harmMin; // a gain of −harmMin or less is harmful
        uint24 gainCap; // most weight one update can have
    }

    /// @notice The epoch that a round opening now pins. Epochs count from 1.
    function current() external view returns (uint32 epoch, bytes32 guidelineHash, Scoring memory scoring);
}
