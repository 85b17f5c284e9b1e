// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {ICommunityGovernor} from "../../src/interfaces/ICommunityGovernor.sol";
import {Council} from "./Council.sol";
import {IFullGovernor, IFullTimelock} from "./VotingDoubles.sol";

/// @notice What tests of the governor share.
abstract contract Governing is Council {
    address internal _stranger = makeAddr("stranger");

    function setUp() public {
        _deployCouncil();
        _memberMany(10, 10_000e18);
    }

    /// A governor with a timelock of its own, where the constructor gets as far as its own checks.
    function _newGovernorFor(
        ICommunityGovernor.Settings memory settings,
        address[] memory targets,
        bytes4[] memory selectors
    ) internal returns (IFullGovernor) {
        // The timelock holds the governor's address, the guardian and so the vault the timelock's.
        timelock = IFullTimelock(guardian.timelock());
        bytes32[2] memory roles = [timelock.PROPOSER_ROLE(), timelock.CANCELLER_ROLE()];
        address next = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
        vm.startPrank(address(timelock));
        timelock.grantRole(roles[0], next);
        timelock.grantRole(roles[1], next);
        vm.stopPrank();
        return _newGovernor(settings, targets, selectors);
    }
}
