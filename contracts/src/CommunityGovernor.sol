// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Governor} from "@openzeppelin/contracts/governance/Governor.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {GovernorCountingFractional} from "@openzeppelin/contracts/governance/extensions/GovernorCountingFractional.sol";
import {GovernorPreventLateQuorum} from "@openzeppelin/contracts/governance/extensions/GovernorPreventLateQuorum.sol";
import {GovernorProposalGuardian} from "@openzeppelin/contracts/governance/extensions/GovernorProposalGuardian.sol";
import {GovernorSettings} from "@openzeppelin/contracts/governance/extensions/GovernorSettings.sol";
import {GovernorTimelockControl} from "@openzeppelin/contracts/governance/extensions/GovernorTimelockControl.sol";
import {GovernorVotes} from "@openzeppelin/contracts/governance/extensions/GovernorVotes.sol";
import {
    GovernorVotesQuorumFraction
} from "@openzeppelin/contracts/governance/extensions/GovernorVotesQuorumFraction.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {ICommunityGovernor} from "./interfaces/ICommunityGovernor.sol";
import {IGuardian} from "./interfaces/IGuardian.sol";
import {IVotingVault} from "./interfaces/IVotingVault.sol";

/// @title CommunityGovernor
/// @notice Proposals and votes; the manual is ICommunityGovernor.
/// @dev The OpenZeppelin modules decide how a proposal lives; this contract says what it may call and how far settings move.
contract CommunityGovernor is
    ICommunityGovernor,
    GovernorSettings,
    GovernorCountingFractional,
    GovernorVotesQuorumFraction,
    GovernorPreventLateQuorum,
    GovernorProposalGuardian,
    GovernorTimelockControl
{
    // --- storage ------------------------------------------------------------------------------------------------------

    /// @notice The threshold of proposers is at most 1 / THRESHOLD_DIVISOR of all units: proposing stays possible.
    uint256 public constant THRESHOLD_DIVISOR = 100;

    Settings private _first;
    mapping(address target => mapping(bytes4 selector => bool)) private _allowed;

    // --- deployment ---------------------------------------------------------------------------------------------------

    /// @param vault_ VotingVault, deployed already.
    /// @param timelock_ TimelockController, deployed already; this governor is its proposer and canceller.
    /// @param guardian_ Guardian; may cancel.
    /// @param first Settings.
    /// @param targets Contracts that proposals may call (some deployed later at precomputed addresses) …
    /// @param selectors … and the function of each.
    constructor(
        IVotingVault vault_,
        TimelockController timelock_,
        IGuardian guardian_,
        Settings memory first,
        address[] memory targets,
        bytes4[] memory selectors
    )
        Governor("Commonweight Governor")
        GovernorSettings(first.votingDelay, first.votingPeriod, first.proposalThreshold)
        GovernorVotes(vault_)
        GovernorVotesQuorumFraction(first.quorumPercent)
        GovernorPreventLateQuorum(first.lateExtension)
        GovernorTimelockControl(timelock_)
    {
        _requireWired(vault_, timelock_, guardian_);
        if (
            first.votingDelay == 0 || first.lateExtension == 0 || first.quorumPercent == 0 || first.quorumPercent > 50
                || first.quorumFloor == 0
        ) revert BadSettings(first);
        _first = first;
        _requireShorterThanLock(first.votingPeriod, first.lateExtension);
        _setProposalGuardian(address(guardian_));
        if (targets.length != selectors.length) revert BadList(targets.length, selectors.length);
        for (uint256 i = 0; i < targets.length; ++i) {
            _allow(targets[i], selectors[i]);
        }
    }

    function _requireWired(IVotingVault vault_, TimelockController timelock_, IGuardian guardian_) private view {
        if (address(vault_.guardian()) != address(guardian_)) {
            revert WiredElsewhere(address(vault_.guardian()), address(guardian_));
        }
        if (guardian_.timelock() != address(timelock_)) {
            revert WiredElsewhere(guardian_.timelock(), address(timelock_));
        }
        if (
            !timelock_.hasRole(timelock_.PROPOSER_ROLE(), address(this))
                || !timelock_.hasRole(timelock_.CANCELLER_ROLE(), address(this))
                || !timelock_.hasRole(timelock_.EXECUTOR_ROLE(), address(0))
        ) revert WiredElsewhere(address(timelock_), address(this));
    }

    function _allow(address target, bytes4 selector) private {
        if (
            target == address(0) || target == address(this) || target == address(vault())
                || target == address(vault().token()) || target == timelock() || _allowed[target][selector]
        ) revert ForbiddenTarget(target, selector);
        _allowed[target][selector] = true;
        emit Allowed(target, selector);
    }

    // --- proposals ----------------------------------------------------------------------------------------------------

    /// @dev Every way to propose ends here.
    function _propose(
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        string memory description,
        address proposer
    ) internal override returns (uint256 proposalId) {
        proposalId = super._propose(targets, values, calldatas, description, proposer);
        for (uint256 i = 0; i < targets.length; ++i) {
            // Bytes that are missing read as zeros; a plain payment has none at all, so it asks for selector 0.
            bytes4 selector = bytes4(calldatas[i]);
            if (calldatas[i].length < 4 || !isAllowed(targets[i], selector)) {
                revert NotAllowed(targets[i], selector);
            }
        }
    }

    /// @inheritdoc ICommunityGovernor
    function isAllowed(address target, bytes4 selector) public view override returns (bool) {
        if (target != address(this)) return _allowed[target][selector];
        return selector == this.setVotingDelay.selector || selector == this.setVotingPeriod.selector
            || selector == this.setProposalThreshold.selector || selector == this.updateQuorumNumerator.selector
            || selector == this.setLateQuorumVoteExtension.selector;
    }

    // --- settings -----------------------------------------------------------------------------------------------------

    /// @inheritdoc GovernorSettings
    function setVotingDelay(uint48 value) public override {
        _requireNear(value, _first.votingDelay);
        super.setVotingDelay(value);
    }

    /// @inheritdoc GovernorSettings
    function setVotingPeriod(uint32 value) public override {
        _requireNear(value, _first.votingPeriod);
        _requireShorterThanLock(value, lateQuorumVoteExtension());
        super.setVotingPeriod(value);
    }

    /// @inheritdoc GovernorSettings
    function setProposalThreshold(uint256 value) public override {
        _requireNear(value, _first.proposalThreshold);
        super.setProposalThreshold(value);
    }

    /// @inheritdoc GovernorVotesQuorumFraction
    function updateQuorumNumerator(uint256 value) public override {
        _requireNear(value, _first.quorumPercent);
        super.updateQuorumNumerator(value);
    }

    /// @inheritdoc GovernorPreventLateQuorum
    function setLateQuorumVoteExtension(uint48 value) public override {
        _requireNear(value, _first.lateExtension);
        _requireShorterThanLock(votingPeriod(), value);
        super.setLateQuorumVoteExtension(value);
    }

    function _requireNear(uint256 value, uint256 first) private pure {
        uint256 least = first - first / 2;
        uint256 most = 2 * first;
        if (value < least || value > most) revert SettingOutOfBounds(value, least, most);
    }

    /// @dev Tokens that voted stay in the vault until what they decided is done.
    function _requireShorterThanLock(uint256 period, uint256 extension) private view {
        uint256 duration = period + extension + TimelockController(payable(timelock())).getMinDelay();
        if (duration >= vault().unlockDelay()) revert VoteOutlastsLock(duration, vault().unlockDelay());
    }

    // --- views --------------------------------------------------------------------------------------------------------

    /// @notice Votes that reach the quorum of a vote starting at `timepoint`.
    /// @dev Of all units and of the quorum's share at that moment: a share lowered later changes no earlier vote.
    function quorum(uint256 timepoint) public view override(Governor, GovernorVotesQuorumFraction) returns (uint256) {
        return Math.max(super.quorum(timepoint), _first.quorumFloor);
    }

    /// @notice Votes that a proposer needs now.
    function proposalThreshold() public view override(Governor, GovernorSettings) returns (uint256) {
        return Math.min(super.proposalThreshold(), vault().getPastTotalSupply(clock() - 1) / THRESHOLD_DIVISOR);
    }

    /// @inheritdoc ICommunityGovernor
    function quorumFloor() external view override returns (uint256) {
        return _first.quorumFloor;
    }

    /// @inheritdoc ICommunityGovernor
    function firstSettings() external view override returns (Settings memory) {
        return _first;
    }

    /// @inheritdoc ICommunityGovernor
    function vault() public view override returns (IVotingVault) {
        return IVotingVault(address(token()));
    }

    /// @inheritdoc ICommunityGovernor
    function guardian() external view override returns (IGuardian) {
        return IGuardian(proposalGuardian());
    }

    // --- which module answers: Solidity wants it said -------------------------------------------------------------------

    function state(uint256 proposalId) public view override(Governor, GovernorTimelockControl) returns (ProposalState) {
        return super.state(proposalId);
    }

    function proposalDeadline(uint256 proposalId)
        public
        view
        override(Governor, GovernorPreventLateQuorum)
        returns (uint256)
    {
        return super.proposalDeadline(proposalId);
    }

    function proposalNeedsQueuing(uint256 proposalId)
        public
        view
        override(Governor, GovernorTimelockControl)
        returns (bool)
    {
        return super.proposalNeedsQueuing(proposalId);
    }

    function _tallyUpdated(uint256 proposalId) internal override(Governor, GovernorPreventLateQuorum) {
        super._tallyUpdated(proposalId);
    }

    function _queueOperations(
        uint256 proposalId,
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, GovernorTimelockControl) returns (uint48) {
        return super._queueOperations(proposalId, targets, values, calldatas, descriptionHash);
    }

    function _executeOperations(
        uint256 proposalId,
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, GovernorTimelockControl) {
        super._executeOperations(proposalId, targets, values, calldatas, descriptionHash);
    }

    function _cancel(
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, GovernorTimelockControl) returns (uint256) {
        return super._cancel(targets, values, calldatas, descriptionHash);
    }

    function _validateCancel(uint256 proposalId, address caller)
        internal
        view
        override(Governor, GovernorProposalGuardian)
        returns (bool)
    {
        return super._validateCancel(proposalId, caller);
    }

    function _executor() internal view override(Governor, GovernorTimelockControl) returns (address) {
        return super._executor();
    }
}
