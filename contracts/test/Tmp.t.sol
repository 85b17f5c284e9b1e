// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;
import {console} from "forge-std/console.sol";
import {TestBase} from "./utils/TestBase.sol";
import {RingShuffle} from "../src/libraries/RingShuffle.sol";
import {Tally} from "../src/libraries/Tally.sol";

contract TmpTest is TestBase {
    function test_x() public view {
        for (uint256 q = 0; q < 4; ++q) {
            uint256 n = [uint256(8), 32, 128, 17][q];
            uint256 t;
            uint256 x;
            for (uint256 i = 0; i < n; ++i) {
                uint256 g = gasleft();
                x += RingShuffle.inverse(bytes32(uint256(77 + q)), n, i);
                t += g - gasleft();
            }
            console.log(n, t / n, x);
        }
        uint256[7] memory f;
        for (uint256 i = 0; i < 7; ++i) {
            f[i] = 524288 + 1000 + 7 * i;
        }
        Tally.Bounds memory b = Tally.Bounds(300, 100, 1000, 20000);
        uint256 gg = gasleft();
        Tally.settle(f, 7, b);
        console.log(gg - gasleft());
    }
}
