// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {StdAssertions} from "forge-std/StdAssertions.sol";
import {StdInvariant} from "forge-std/StdInvariant.sol";
import {Vm} from "forge-std/Vm.sol";

/// @notice The parts of forge-std that our tests use.
/// @dev Not its `Test`: that pulls in files with more than 256 compiler warnings, after which solc reports no others, ours
/// included.
abstract contract TestBase is StdAssertions, StdInvariant {
    // forge looks for this marker.
    // forge-lint: disable-next-line(mixed-case-function)
    bool public constant IS_TEST = true;

    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    function makeAddr(string memory name) internal returns (address account) {
        account = vm.addr(uint256(keccak256(bytes(name))));
        vm.label(account, name);
    }

    function skip(uint256 time) internal {
        vm.warp(vm.getBlockTimestamp() + time);
    }

    /// Maps any number into least … most, evenly but for the remainder; within the range it stays as it is.
    function bound(uint256 x, uint256 least, uint256 most) internal pure returns (uint256) {
        if (x >= least && x <= most) return x;
        uint256 size = most - least + 1;
        return size == 0 ? x : least + x % size;
    }
}
