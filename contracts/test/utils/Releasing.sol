// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IReleaseRegistry} from "../../src/interfaces/IReleaseRegistry.sol";
import {Ownership} from "./Ownership.sol";

/// @notice What tests of releases share.
abstract contract Releasing is Ownership {
    uint256 internal constant N = 4; // 4 attesters, of whom 3 are a quorum

    function setUp() public {
        _deploy(_defaults());
        _admitMany(N);
        _deployOwnership();
    }

    function _version(uint16 major, uint16 minor, uint16 patch)
        internal
        pure
        returns (IReleaseRegistry.Version memory)
    {
        return IReleaseRegistry.Version(major, minor, patch);
    }

    /// A rolled round whose attesters voted for (50 %, 50 %), and the candidate that follows.
    function _ready() internal returns (IReleaseRegistry.Candidate memory) {
        return _ready(500_000, 500_000);
    }

    function _ready(uint256 first, uint256 second) internal returns (IReleaseRegistry.Candidate memory) {
        uint256 round = _rolledRound(N);
        IReleaseRegistry.Score[] memory scores = _scores(first, second);
        _attestScores(round, scores, 3);
        return _candidate(round, scores);
    }

    function _refuse(IReleaseRegistry.Candidate memory candidate, bytes memory refusal) internal {
        vm.expectRevert(refusal);
        vm.prank(timelock);
        releases.publish(candidate);
    }
}
