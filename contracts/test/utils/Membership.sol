// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IMemberRegistry} from "../../src/interfaces/IMemberRegistry.sol";
import {Community} from "./Community.sol";

/// @notice What tests of the registry share.
abstract contract Membership is Community {
    address internal alice = makeAddr("alice");
    address internal prover = makeAddr("prover");
    address internal _court;

    function setUp() public {
        _deploy(_defaults());
        _court = registry.court();
    }

    function _wrongStatus(address account, IMemberRegistry.Status actual, IMemberRegistry.Status expected)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(IMemberRegistry.WrongStatus.selector, account, actual, expected);
    }

    function _fund(address account, uint96 amount) internal {
        vm.prank(address(distributor));
        token.mint(account, amount);
        vm.prank(account);
        token.approve(address(registry), amount);
    }

    function _bond(address account, uint96 amount) internal {
        _fund(account, amount);
        vm.prank(account);
        registry.bond(amount);
    }

    function _slash(address account, uint16 bps, address by) internal returns (uint256) {
        vm.prank(_court);
        return registry.slash(account, bps, 1, 9, by);
    }
}
