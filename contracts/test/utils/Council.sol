// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IGovernor} from "@openzeppelin/contracts/governance/IGovernor.sol";

import {ContributionToken} from "../../src/ContributionToken.sol";
import {Guardian} from "../../src/Guardian.sol";
import {VotingVault} from "../../src/VotingVault.sol";
import {ICommunityGovernor} from "../../src/interfaces/ICommunityGovernor.sol";
import {IGuardian} from "../../src/interfaces/IGuardian.sol";
import {IMemberRegistry} from "../../src/interfaces/IMemberRegistry.sol";
import {TestBase} from "./TestBase.sol";
import {IFullGovernor, IFullTimelock, Noticeboard, RegistryDouble} from "./VotingDoubles.sol";

/// @notice The voting half of a community: real contracts, and a registry whose answers tests set.
abstract contract Council is TestBase {
    uint96 internal constant LINEAR_UP_TO = 10_000e18;
    uint40 internal constant UNLOCK_DELAY = 14 days;
    uint48 internal constant VOTING_DELAY = 1 days;
    uint32 internal constant VOTING_PERIOD = 5 days;
    uint48 internal constant LATE_EXTENSION = 2 days;
    uint256 internal constant TIMELOCK_DELAY = 2 days;
    uint96 internal constant THRESHOLD = 100e18;
    uint96 internal constant QUORUM_FLOOR = 5_000e18;
    uint40 internal constant GUARDIAN_TERM = 365 days;

    ContributionToken internal token;
    RegistryDouble internal registry;
    Guardian internal guardian;
    VotingVault internal vault;
    IFullTimelock internal timelock;
    IFullGovernor internal governor;
    Noticeboard internal board;
    address internal watch = makeAddr("guardian's account");
    address[] internal members;

    /// One proposal of one call or more.
    struct Proposal {
        uint256 id;
        address[] targets;
        uint256[] values;
        bytes[] calldatas;
        string description;
    }

    // --- deployment ---------------------------------------------------------------------------------------------------

    function _settings() internal pure returns (ICommunityGovernor.Settings memory) {
        return ICommunityGovernor.Settings({
            votingDelay: VOTING_DELAY,
            votingPeriod: VOTING_PERIOD,
            lateExtension: LATE_EXTENSION,
            quorumPercent: 10,
            proposalThreshold: THRESHOLD,
            quorumFloor: QUORUM_FLOOR
        });
    }

    /// Everything, with this contract as the token's distributor: it mints.
    function _deployCouncil() internal {
        vm.warp(1_800_000_000);
        registry = new RegistryDouble();
        token = new ContributionToken(address(this), address(registry));
        registry.setToken(address(token));
        uint256 nonce = vm.getNonce(address(this));
        address timelockAt = vm.computeCreateAddress(address(this), nonce + 2);
        address governorAt = vm.computeCreateAddress(address(this), nonce + 3);
        address boardAt = vm.computeCreateAddress(address(this), nonce + 4);
        guardian = new Guardian(watch, uint40(block.timestamp) + GUARDIAN_TERM, timelockAt);
        vault = new VotingVault(token, IMemberRegistry(address(registry)), guardian, LINEAR_UP_TO, UNLOCK_DELAY);
        timelock = _newTimelock(governorAt, address(0));
        (address[] memory targets, bytes4[] memory selectors) = _list(boardAt);
        governor = _newGovernor(_settings(), targets, selectors);
        board = new Noticeboard(address(timelock));
        assertEq(address(governor), governorAt, "governor where the timelock expects it");
        assertEq(address(board), boardAt, "board where the governor expects it");
    }

    function _newTimelock(address proposer, address executor) internal returns (IFullTimelock) {
        address[] memory proposers = new address[](1);
        address[] memory executors = new address[](1);
        proposers[0] = proposer;
        executors[0] = executor;
        return IFullTimelock(
            vm.deployCode(
                "TimelockController.sol:TimelockController",
                abi.encode(TIMELOCK_DELAY, proposers, executors, address(0))
            )
        );
    }

    function _newGovernor(
        ICommunityGovernor.Settings memory settings,
        address[] memory targets,
        bytes4[] memory selectors
    ) internal returns (IFullGovernor) {
        return IFullGovernor(
            payable(vm.deployCode(
                    "CommunityGovernor.sol:CommunityGovernor",
                    abi.encode(vault, timelock, guardian, settings, targets, selectors)
                ))
        );
    }

    /// The list: post a notice, replace the guardian.
    function _list(address board_) internal view returns (address[] memory targets, bytes4[] memory selectors) {
        targets = new address[](2);
        selectors = new bytes4[](2);
        (targets[0], selectors[0]) = (board_, Noticeboard.post.selector);
        (targets[1], selectors[1]) = (address(guardian), IGuardian.replace.selector);
    }

    // --- members ------------------------------------------------------------------------------------------------------

    function _member() internal returns (address account) {
        account = makeAddr(string.concat("member ", vm.toString(members.length)));
        registry.set(account, IMemberRegistry.Status.Active);
        members.push(account);
        vm.prank(account);
        token.approve(address(vault), type(uint256).max);
    }

    /// `count` members with `amount` locked each.
    function _memberMany(uint256 count, uint96 amount) internal {
        for (uint256 i = 0; i < count; ++i) {
            _lock(_member(), amount);
        }
        skip(1);
    }

    function _set(address account, IMemberRegistry.Status status) internal {
        registry.set(account, status);
    }

    function _lock(address account, uint96 amount) internal {
        token.mint(account, amount);
        vm.prank(account);
        vault.lock(amount);
    }

    function _unlock(address account, uint96 amount) internal {
        vm.prank(account);
        vault.unlock(amount);
    }

    function _withdraw(address account) internal returns (uint256) {
        vm.prank(account);
        return vault.withdraw();
    }

    function _delegate(address account, address delegatee) internal {
        vm.prank(account);
        vault.delegate(delegatee);
    }

    // --- proposals ----------------------------------------------------------------------------------------------------

    function _call(address target, bytes memory data, string memory description)
        internal
        view
        returns (Proposal memory p)
    {
        p.targets = new address[](1);
        p.values = new uint256[](1);
        p.calldatas = new bytes[](1);
        p.targets[0] = target;
        p.calldatas[0] = data;
        p.description = description;
        p.id = _id(p);
    }

    function _notice(uint256 notice) internal view returns (Proposal memory) {
        return _call(address(board), abi.encodeCall(Noticeboard.post, (notice)), vm.toString(notice));
    }

    function _id(Proposal memory p) internal view returns (uint256) {
        return governor.hashProposal(p.targets, p.values, p.calldatas, keccak256(bytes(p.description)));
    }

    function _propose(address proposer, Proposal memory p) internal {
        vm.prank(proposer);
        governor.propose(p.targets, p.values, p.calldatas, p.description);
    }

    function _vote(address account, Proposal memory p, uint8 support) internal returns (uint256) {
        vm.prank(account);
        return governor.castVote(p.id, support);
    }

    function _queue(Proposal memory p) internal {
        governor.queue(p.targets, p.values, p.calldatas, keccak256(bytes(p.description)));
    }

    function _execute(Proposal memory p) internal {
        governor.execute(p.targets, p.values, p.calldatas, keccak256(bytes(p.description)));
    }

    function _cancel(address account, Proposal memory p) internal {
        vm.prank(account);
        governor.cancel(p.targets, p.values, p.calldatas, keccak256(bytes(p.description)));
    }

    function _guardianCancel(Proposal memory p) internal {
        vm.prank(watch);
        guardian.cancel(governor, p.targets, p.values, p.calldatas, keccak256(bytes(p.description)));
    }

    /// Votes can be cast from here on.
    function _toVote(Proposal memory p) internal {
        vm.warp(governor.proposalSnapshot(p.id) + 1);
    }

    /// The vote is over.
    function _toEnd(Proposal memory p) internal {
        vm.warp(governor.proposalDeadline(p.id) + 1);
    }

    /// Proposed, voted for by everybody, over.
    function _toSucceeded(Proposal memory p) internal {
        _propose(members[0], p);
        _toVote(p);
        for (uint256 i = 0; i < members.length; ++i) {
            if (governor.getVotes(members[i], governor.proposalSnapshot(p.id)) != 0) _vote(members[i], p, 1);
        }
        _toEnd(p);
    }

    function _toReady(Proposal memory p) internal {
        _toSucceeded(p);
        _queue(p);
        skip(TIMELOCK_DELAY);
    }

    function _carry(Proposal memory p) internal {
        _toReady(p);
        _execute(p);
    }

    function _assertState(Proposal memory p, IGovernor.ProposalState expected, string memory what) internal view {
        assertEq(uint256(governor.state(p.id)), uint256(expected), what);
    }
}
