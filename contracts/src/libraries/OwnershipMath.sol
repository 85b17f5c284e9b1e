// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {IReleaseRegistry} from "../interfaces/IReleaseRegistry.sol";

/// @title OwnershipMath
/// @notice The arithmetic of releases and their revenue: what attesters agree on, what a benchmark may lose, what a member
/// is due.
/// @dev Mirror: `incentives/ownership.py` (vectors in `tests/vectors/ownership.json`); the hash: `node/sim/releases.py`.
library OwnershipMath {
    /// @notice What a member is due of `deposited` in all, paid or not: deposited · credit / total, rounded down.
    /// @dev The members' credits add up to at most `total`, so what all are due adds up to at most `deposited`.
    function entitledDown(uint256 deposited, uint256 credit, uint256 total) internal pure returns (uint256) {
        return Math.mulDiv(deposited, credit, total);
    }

    /// @notice Least score that a release may have where its parent has `parentScore`, ppm.
    function leastScore(uint256 parentScore, uint256 maxRegression) internal pure returns (uint256) {
        return parentScore > maxRegression ? parentScore - maxRegression : 0;
    }

    /// @notice Votes that scores need: more than two thirds of all `correct` attesters, not of those who turned up.
    function quorumOf(uint256 correct) internal pure returns (uint256) {
        return correct * 2 / 3 + 1;
    }

    /// @notice Number of bits that are set.
    function countBits(uint256 map) internal pure returns (uint256 count) {
        // Clears the lowest bit that is set; an attesters' map has at most 31.
        for (; map != 0; map &= map - 1) {
            ++count;
        }
    }

    /// @notice What attesters of `round` vote for: keccak-256 over `abi.encode`, bound to chain, contract and round.
    function scoresHash(uint256 chainId, address registry, uint256 round, IReleaseRegistry.Score[] memory scores)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(chainId, registry, round, scores));
    }
}
