// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @title PowerCurve
/// @notice Voting units of locked tokens: f(x) = x up to T, then 2·√(T·x) − T, rounded down.
/// @dev Both halves meet at T with the same value and slope. Above T, (√x − √T)² ≥ 0 gives 2·√(T·x) − T ≤ x: units never
/// exceed tokens, so whoever splits tokens over n accounts gets at most what one token, one vote would give.
/// ⌊2·√(T·x)⌋ is computed as ⌊√(4·T·x)⌋, one integer root without a second rounding. Exact for x, T < 2¹²⁷; larger products
/// revert. Mirror: `incentives/voting.py` (vectors in `tests/vectors/voting.json`).
library PowerCurve {
    /// @notice Units of `locked` tokens; `linearUpTo` is T.
    function unitsDown(uint256 locked, uint256 linearUpTo) internal pure returns (uint256) {
        if (locked <= linearUpTo) return locked;
        return Math.sqrt(4 * linearUpTo * locked) - linearUpTo;
    }
}
