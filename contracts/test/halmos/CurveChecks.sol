// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {PowerCurve} from "../../src/libraries/PowerCurve.sol";

/// @notice Symbolic checks of the curve (contracts/tools/halmos.sh): for every input of a range, not for a sample.
/// @dev The root itself, six divisions by an unknown, is beyond the solver: that it is exact is fuzzed (PowerCurveTest), and
/// what follows from an exact root is proven here, for all numbers of a range.
contract CurveChecks {
    uint256 private constant SMALL = 1 << 6;
    uint256 private constant WIDE = 1 << 8;

    function check_linearUpToT(uint256 x, uint256 t) external pure {
        if (x > t) return;
        assert(PowerCurve.unitsDown(x, t) == x);
    }

    /// A number u with (u + T)² ≤ 4·T·x, as the floored root is, is at most x.
    function check_lemmaNeverAboveLinear(uint256 u, uint256 x, uint256 t) external pure {
        if (u >= SMALL || x >= SMALL || t >= SMALL) return;
        // Unchecked: overflow checks divide, and small numbers do not overflow.
        unchecked {
            if ((u + t) * (u + t) > 4 * t * x) return;
        }
        assert(u <= x);
    }

    /// Squares keep order, so of two floored roots that of the smaller number is not larger.
    function check_lemmaMonotone(uint256 u, uint256 v) external pure {
        if (u >= WIDE || v >= u) return;
        unchecked {
            assert((v + 1) * (v + 1) <= u * u);
        }
    }
}
