// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IGuidelineRegistry} from "../../src/interfaces/IGuidelineRegistry.sol";

/// @notice A guideline registry with one guideline, whose scoring tests can set: each change is a new epoch.
contract FakeGuidelines is IGuidelineRegistry {
    uint32 private _epoch = 1;
    bytes32 private immutable _GUIDELINE_HASH;
    Scoring private _scoring;

    constructor(bytes32 guidelineHash, Scoring memory scoring) {
        _GUIDELINE_HASH = guidelineHash;
        _scoring = scoring;
    }

    function setScoring(Scoring calldata scoring) external override {
        _scoring = scoring;
        ++_epoch;
    }

    function current() external view override returns (uint32, bytes32, Scoring memory) {
        return (_epoch, _GUIDELINE_HASH, _scoring);
    }

    function amend(Kind, bytes32, bytes32, bytes32, bytes32) external override {}

    function epochOf(uint256) external view override returns (Epoch memory) {}

    function documentOf(uint256, Kind) external view override returns (Document memory) {}

    function revisionOf(Kind, uint256) external view override returns (Document memory) {}

    function timelock() external view override returns (address) {}
}
