// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Vm} from "forge-std/Vm.sol";

import {Guardian} from "../../src/Guardian.sol";
import {ICommunityGovernor} from "../../src/interfaces/ICommunityGovernor.sol";
import {Governing} from "../utils/Governing.sol";
import {IFullGovernor, Noticeboard} from "../utils/VotingDoubles.sol";

/// @notice Wiring, settings and list that a governor is deployed with, and those it refuses.
contract CommunityGovernorDeploymentTest is Governing {
    function test_wiring() public view {
        assertEq(governor.name(), "Commonweight Governor", "name");
        assertEq(address(governor.vault()), address(vault), "vault");
        assertEq(address(governor.guardian()), address(guardian), "guardian");
        assertEq(governor.proposalGuardian(), address(guardian), "the same");
        assertEq(governor.timelock(), address(timelock), "timelock");
        assertEq(governor.votingDelay(), 1 days, "delay");
        assertEq(governor.votingPeriod(), 5 days, "period");
        assertEq(governor.lateQuorumVoteExtension(), 2 days, "extension");
        assertEq(governor.quorumNumerator(), 10, "quorum");
        assertEq(governor.quorumFloor(), QUORUM_FLOOR, "floor");
        assertEq(governor.proposalThreshold(), THRESHOLD, "threshold");
        assertEq(timelock.getMinDelay(), 2 days, "timelock's delay");
        assertEq(governor.clock(), block.timestamp, "clock");
        assertEq(governor.CLOCK_MODE(), "mode=timestamp", "clock mode");
        assertEq(keccak256(abi.encode(governor.firstSettings())), keccak256(abi.encode(_settings())), "settings");
    }

    function test_listIsReadBack() public {
        (address[] memory targets, bytes4[] memory selectors) = _list(address(board));
        vm.recordLogs();
        _newGovernorFor(_settings(), targets, selectors);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        uint256 listed = 0;
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] != ICommunityGovernor.Allowed.selector) continue;
            assertEq(logs[i].topics[1], bytes32(uint256(uint160(targets[listed]))), "target");
            assertEq(logs[i].topics[2], bytes32(selectors[listed]), "selector");
            ++listed;
        }
        assertEq(listed, 2, "one event for each pair");
        assertTrue(governor.isAllowed(address(board), Noticeboard.post.selector), "listed");
        assertFalse(governor.isAllowed(address(board), Noticeboard.postSecret.selector), "another function");
        assertFalse(governor.isAllowed(address(guardian), Noticeboard.post.selector), "another contract");
        assertTrue(governor.isAllowed(address(governor), IFullGovernor.setVotingDelay.selector), "own");
        assertTrue(governor.isAllowed(address(governor), IFullGovernor.setVotingPeriod.selector), "own");
        assertTrue(governor.isAllowed(address(governor), IFullGovernor.setProposalThreshold.selector), "own");
        assertTrue(governor.isAllowed(address(governor), IFullGovernor.updateQuorumNumerator.selector), "own");
        assertTrue(governor.isAllowed(address(governor), IFullGovernor.setLateQuorumVoteExtension.selector), "own");
        assertFalse(governor.isAllowed(address(governor), IFullGovernor.setProposalGuardian.selector), "fixed");
        assertFalse(governor.isAllowed(address(governor), IFullGovernor.updateTimelock.selector), "fixed");
        assertFalse(governor.isAllowed(address(governor), IFullGovernor.relay.selector), "would lead anywhere");
    }

    function _expectNoGovernor(
        ICommunityGovernor.Settings memory settings,
        address[] memory targets,
        bytes4[] memory selectors,
        bytes memory why
    ) private {
        uint256 before = vm.snapshotState();
        address next = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
        vm.startPrank(address(timelock));
        timelock.grantRole(timelock.PROPOSER_ROLE(), next);
        timelock.grantRole(timelock.CANCELLER_ROLE(), next);
        vm.stopPrank();
        try this.deploy(abi.encode(vault, timelock, guardian, settings, targets, selectors), next) {
            assertTrue(false, "a governor was deployed");
        } catch (bytes memory reason) {
            assertEq(reason, why, "reason");
        }
        vm.revertToState(before);
    }

    /// The constructor's own error, which `deployCode` would wrap.
    function deploy(bytes calldata arguments, address expectedAt) external returns (address at) {
        bytes memory code = abi.encodePacked(vm.getCode("CommunityGovernor.sol:CommunityGovernor"), arguments);
        assembly ("memory-safe") {
            at := create(0, add(code, 0x20), mload(code))
            if iszero(at) {
                returndatacopy(0, 0, returndatasize())
                revert(0, returndatasize())
            }
        }
        require(at == expectedAt, "address");
    }

    function _expectBadSettings(ICommunityGovernor.Settings memory s) private {
        (address[] memory targets, bytes4[] memory selectors) = _list(address(board));
        _expectNoGovernor(s, targets, selectors, abi.encodeWithSelector(ICommunityGovernor.BadSettings.selector, s));
    }

    function test_refusesBadSettings() public {
        ICommunityGovernor.Settings memory s = _settings();
        s.votingDelay = 0;
        _expectBadSettings(s);
        s = _settings();
        s.lateExtension = 0;
        _expectBadSettings(s);
        s = _settings();
        s.quorumPercent = 0;
        _expectBadSettings(s);
        s.quorumPercent = 51; // doubled above the whole
        _expectBadSettings(s);
        s = _settings();
        s.quorumFloor = 0;
        _expectBadSettings(s);
        s = _settings();
        s.quorumPercent = 50;
        (address[] memory targets, bytes4[] memory selectors) = _list(address(board));
        assertEq(_newGovernorFor(s, targets, selectors).quorumNumerator(), 50, "the most");
    }

    /// 8 + 4 + 2 days are as long as the lock of 14.
    function test_refusesVotesThatOutlastTheLock() public {
        ICommunityGovernor.Settings memory s = _settings();
        (s.votingPeriod, s.lateExtension) = (8 days, 4 days);
        (address[] memory targets, bytes4[] memory selectors) = _list(address(board));
        _expectNoGovernor(
            s,
            targets,
            selectors,
            abi.encodeWithSelector(ICommunityGovernor.VoteOutlastsLock.selector, 14 days, 14 days)
        );
        s.votingPeriod -= 1;
        assertEq(_newGovernorFor(s, targets, selectors).votingPeriod(), 8 days - 1, "the longest");
    }

    function test_refusesForbiddenTargets() public {
        address next = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
        address[5] memory forbidden = [address(0), next, address(vault), address(token), address(timelock)];
        (address[] memory targets, bytes4[] memory selectors) = _list(address(board));
        for (uint256 i = 0; i < forbidden.length; ++i) {
            targets[1] = forbidden[i];
            _expectNoGovernor(
                _settings(),
                targets,
                selectors,
                abi.encodeWithSelector(ICommunityGovernor.ForbiddenTarget.selector, forbidden[i], selectors[1])
            );
        }
    }

    function test_refusesBadLists() public {
        (address[] memory targets, bytes4[] memory selectors) = _list(address(board));
        (targets[1], selectors[1]) = (targets[0], selectors[0]);
        _expectNoGovernor(
            _settings(),
            targets,
            selectors,
            abi.encodeWithSelector(ICommunityGovernor.ForbiddenTarget.selector, targets[0], selectors[0])
        );
        _expectNoGovernor(
            _settings(), targets, new bytes4[](1), abi.encodeWithSelector(ICommunityGovernor.BadList.selector, 2, 1)
        );
        _expectNoGovernor(
            _settings(), targets, new bytes4[](3), abi.encodeWithSelector(ICommunityGovernor.BadList.selector, 2, 3)
        );
    }

    function test_refusesOtherWiring() public {
        (address[] memory targets, bytes4[] memory selectors) = _list(address(board));
        Guardian right = guardian;
        guardian = new Guardian(watch, uint40(block.timestamp) + 1, address(timelock));
        _expectNoGovernor(
            _settings(),
            targets,
            selectors,
            abi.encodeWithSelector(ICommunityGovernor.WiredElsewhere.selector, address(right), address(guardian))
        );
        guardian = right;
        address was = address(timelock);
        timelock = _newTimelock(_stranger, address(0));
        _expectNoGovernor(
            _settings(),
            targets,
            selectors,
            abi.encodeWithSelector(ICommunityGovernor.WiredElsewhere.selector, was, address(timelock))
        );
    }

    /// Without one of its three roles the governor could not do its work.
    function test_refusesATimelockWithoutItsRoles() public {
        (address[] memory targets, bytes4[] memory selectors) = _list(address(board));
        address next = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
        for (uint256 missing = 0; missing < 3; ++missing) {
            uint256 before = vm.snapshotState();
            vm.startPrank(address(timelock));
            if (missing != 0) timelock.grantRole(timelock.PROPOSER_ROLE(), next);
            if (missing != 1) timelock.grantRole(timelock.CANCELLER_ROLE(), next);
            if (missing == 2) timelock.revokeRole(timelock.EXECUTOR_ROLE(), address(0));
            vm.stopPrank();
            try this.deploy(abi.encode(vault, timelock, guardian, _settings(), targets, selectors), next) {
                assertTrue(false, "a governor was deployed");
            } catch (bytes memory reason) {
                assertEq(
                    reason,
                    abi.encodeWithSelector(ICommunityGovernor.WiredElsewhere.selector, address(timelock), next),
                    "reason"
                );
            }
            vm.revertToState(before);
        }
    }
}
