// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {PowerCurve} from "../../src/libraries/PowerCurve.sol";
import {TestBase} from "../utils/TestBase.sol";

/// @notice f(x) = x up to T, then ⌊2·√(T·x)⌋ − T: exact, monotone, never above linear.
contract PowerCurveTest is TestBase {
    uint256 private constant MOST = type(uint96).max; // what the vault can hold for one account
    uint256 private constant FIRST_OUTSIDE = 1 << 127;

    /// So that expectRevert sees a call.
    function unitsDown(uint256 locked, uint256 linearUpTo) external pure returns (uint256) {
        return PowerCurve.unitsDown(locked, linearUpTo);
    }

    function test_valuesByHand() public pure {
        assertEq(PowerCurve.unitsDown(0, 100), 0, "nothing");
        assertEq(PowerCurve.unitsDown(99, 100), 99, "linear");
        assertEq(PowerCurve.unitsDown(100, 100), 100, "at T");
        assertEq(PowerCurve.unitsDown(101, 100), 100, "200.99 - 100, down");
        assertEq(PowerCurve.unitsDown(102, 100), 101, "201.99 - 100, down");
        assertEq(PowerCurve.unitsDown(400, 100), 300, "2*200 - 100");
        assertEq(PowerCurve.unitsDown(10_000, 100), 1_900, "2*1000 - 100");
        assertEq(PowerCurve.unitsDown(10_000_000e18, 10_000e18), 622_455.532033675866399778e18, "the whole supply");
    }

    function testFuzz_linearUpToT(uint256 x, uint256 t) public pure {
        x = bound(x, 0, t);
        assertEq(PowerCurve.unitsDown(x, t), x, "linear");
    }

    /// The defining inequality, without a root: u = f(x) is the largest integer with (u + T)² ≤ 4·T·x.
    function testFuzz_exactAboveT(uint256 x, uint256 t) public pure {
        t = bound(t, 1, MOST - 1);
        x = bound(x, t + 1, MOST);
        uint256 u = PowerCurve.unitsDown(x, t);
        assertLe((u + t) * (u + t), 4 * t * x, "not too many");
        assertGt((u + 1 + t) * (u + 1 + t), 4 * t * x, "not too few");
    }

    function testFuzz_I6_neverAboveLinear(uint256 x, uint256 t) public pure {
        t = bound(t, 1, FIRST_OUTSIDE - 1);
        x = bound(x, 0, FIRST_OUTSIDE - 1);
        assertLe(PowerCurve.unitsDown(x, t), x, "linear");
    }

    function testFuzz_monotone(uint256 x, uint256 y, uint256 t) public pure {
        t = bound(t, 1, MOST);
        x = bound(x, 0, MOST);
        y = bound(y, x, MOST);
        assertLe(PowerCurve.unitsDown(x, t), PowerCurve.unitsDown(y, t), "monotone");
        assertLe(PowerCurve.unitsDown(x, t), PowerCurve.unitsDown(x + 1, t), "from one to the next");
    }

    /// Concave: what is added to more counts for less (up to the rounding of four roots).
    function testFuzz_concave(uint256 x, uint256 y, uint256 added, uint256 t) public pure {
        t = bound(t, 1, MOST);
        x = bound(x, 0, MOST / 2);
        y = bound(y, x, MOST / 2);
        added = bound(added, 0, MOST / 2);
        uint256 toLess = PowerCurve.unitsDown(x + added, t) - PowerCurve.unitsDown(x, t);
        uint256 toMore = PowerCurve.unitsDown(y + added, t) - PowerCurve.unitsDown(y, t);
        assertLe(toMore, toLess + 2, "concave");
    }

    /// Outside its range the curve refuses and does not wrap around.
    function test_refusesWhatItCannotCompute() public {
        assertEq(PowerCurve.unitsDown(FIRST_OUTSIDE - 1, FIRST_OUTSIDE - 1), FIRST_OUTSIDE - 1, "the last at T");
        assertEq(PowerCurve.unitsDown(FIRST_OUTSIDE - 1, FIRST_OUTSIDE - 2), FIRST_OUTSIDE - 2, "the last above T");
        vm.expectRevert();
        this.unitsDown(FIRST_OUTSIDE + 1, FIRST_OUTSIDE);
    }

    // --- the mirror -----------------------------------------------------------------------------------------------------

    /// Replays `tests/vectors/voting.json`, which the Python side writes.
    function test_votingVectors() public view {
        string memory json = vm.readFile("../tests/vectors/voting.json");
        uint256 c = 0;
        uint256 bent = 0;
        for (; vm.keyExistsJson(json, _at(c, "")); ++c) {
            uint256 t = vm.parseJsonUint(json, _at(c, ".linearUpTo"));
            uint256 x = vm.parseJsonUint(json, _at(c, ".locked"));
            assertEq(PowerCurve.unitsDown(x, t), vm.parseJsonUint(json, _at(c, ".units")), _at(c, ""));
            if (x > t) ++bent;
        }
        assertGe(c, 50, "cases");
        assertGe(bent, 25, "cases above T");
    }

    function _at(uint256 c, string memory key) private pure returns (string memory) {
        return string.concat(".cases[", vm.toString(c), "]", key);
    }
}
