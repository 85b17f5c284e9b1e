// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @title RewardMath
/// @notice What a finalised round pays. Amounts are in units of 10⁻¹⁸ CWT and every division rounds down, in favour of
/// all holders: what nobody earned is never minted.
/// @dev Shares of an emission: trainers 70 %, verifiers 20 %, attesters 5 %, treasury 5 %. Each function pays at most its
/// pool over all participants, so a round never mints more than its emission. Mirror: `incentives` (vectors in
/// `tests/vectors/rewards.json`).
library RewardMath {
    uint256 private constant PERCENT = 100;
    uint256 private constant TRAINERS_PERCENT = 70;
    uint256 private constant VERIFIERS_PERCENT = 20;
    uint256 private constant ATTESTERS_PERCENT = 5;
    uint256 private constant TREASURY_PERCENT = 5;

    /// @notice Emission of `round`: `initial`, halved every `halving` rounds; rounds count from 1.
    function emissionDown(uint256 initial, uint256 halving, uint256 round) internal pure returns (uint256) {
        return initial >> ((round - 1) / halving);
    }

    /// @notice Reward of an accepted update. In a round without a sealed benchmark slice the pool is halved.
    /// @param weight Of this update, ppm.
    /// @param sumWeight Of all accepted updates of the round, ppm.
    /// @param wTarget Weight that a round must reach to pay its whole pool: a lone self-dealer gets its fraction only.
    function trainerDown(uint256 emission, bool isSealed, uint256 weight, uint256 sumWeight, uint256 wTarget)
        internal
        pure
        returns (uint256)
    {
        uint256 pool = emission * TRAINERS_PERCENT / PERCENT;
        if (!isSealed) pool /= 2;
        // The pool is a whole number of units in docs/protocol.md, so it is divided first.
        // slither-disable-next-line divide-before-multiply
        return pool * weight / Math.max(sumWeight, wTarget);
    }

    /// @notice Reward for `correct` fields at a fixed price each: the pool over all n·k assigned fields.
    function verifierDown(uint256 emission, uint256 participants, uint256 verifiers, uint256 correct)
        internal
        pure
        returns (uint256)
    {
        // Dividing first is meant: every field has the same price, whoever wrote it.
        // slither-disable-next-line divide-before-multiply
        uint256 price = emission * VERIFIERS_PERCENT / PERCENT / (participants * verifiers);
        return price * correct;
    }

    /// @notice Reward of an attester whose attestation opened to the finalised model.
    function attesterDown(uint256 emission, uint256 attesters) internal pure returns (uint256) {
        return emission * ATTESTERS_PERCENT / PERCENT / attesters;
    }

    /// @notice Share of the treasury.
    function treasuryDown(uint256 emission) internal pure returns (uint256) {
        return emission * TREASURY_PERCENT / PERCENT;
    }
}
