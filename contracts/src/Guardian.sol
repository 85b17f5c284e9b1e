// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IGovernor} from "@openzeppelin/contracts/governance/IGovernor.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {IGuardian} from "./interfaces/IGuardian.sol";

/// @title Guardian
/// @notice Pauses entry points and cancels proposals until it expires; the manual is IGuardian.
contract Guardian is IGuardian {
    // --- types and storage --------------------------------------------------------------------------------------------

    /// @dev One slot.
    struct Pauses {
        uint40 until;
        uint40 paused; // seconds, up to `until`
    }

    /// @notice Longest single pause, from the moment it is set.
    uint256 public constant MAX_PAUSE = 14 days;
    /// @notice Most that all pauses of one entry add up to.
    uint256 public constant MAX_PAUSED_TOTAL = 30 days;
    /// @notice Longest time from deployment to expiry.
    uint256 public constant MAX_TERM = 730 days;

    /// @inheritdoc IGuardian
    uint40 public immutable override expiresAt;
    /// @inheritdoc IGuardian
    address public immutable override timelock;
    /// @inheritdoc IGuardian
    address public override account;

    mapping(Entry entry => Pauses) private _pauses;

    // --- deployment ---------------------------------------------------------------------------------------------------

    /// @param account_ The first guardian.
    /// @param expiresAt_ After it nobody is.
    /// @param timelock_ TimelockController, deployed later at this precomputed address; the governor's constructor checks it.
    constructor(address account_, uint40 expiresAt_, address timelock_) {
        if (account_ == address(0) || timelock_ == address(0)) revert ZeroGuardian(account_, timelock_);
        uint256 most = block.timestamp + MAX_TERM;
        if (expiresAt_ <= block.timestamp || expiresAt_ > most) {
            revert BadExpiry(expiresAt_, block.timestamp + 1, most);
        }
        account = account_;
        expiresAt = expiresAt_;
        timelock = timelock_;
        emit Replaced(address(0), account_);
    }

    // --- acts ---------------------------------------------------------------------------------------------------------

    modifier onlyGuardian() {
        if (msg.sender != account) revert NotGuardian(msg.sender, account);
        if (block.timestamp >= expiresAt) revert GuardianExpired(expiresAt, block.timestamp);
        _;
    }

    /// @inheritdoc IGuardian
    function pause(Entry entry, uint40 until) external override onlyGuardian {
        Pauses memory p = _pauses[entry];
        // A running pause was paid for up to its end.
        uint256 from = Math.max(block.timestamp, p.until);
        uint256 most = Math.min(block.timestamp + MAX_PAUSE, expiresAt);
        if (until <= from || until > most) revert BadPause(until, from + 1, most);
        uint256 paused = p.paused + (until - from);
        if (paused > MAX_PAUSED_TOTAL) revert PausesSpent(entry, paused, MAX_PAUSED_TOTAL);
        // At most MAX_PAUSED_TOTAL.
        _pauses[entry] = Pauses(until, uint40(paused));
        emit Paused(entry, until, paused);
    }

    /// @inheritdoc IGuardian
    function unpause(Entry entry) external override {
        if (msg.sender != account && msg.sender != timelock) revert NotTimelock(msg.sender, timelock);
        if (!isPaused(entry)) revert NotPaused(entry);
        _unpause(entry);
    }

    /// @inheritdoc IGuardian
    function cancel(
        IGovernor governor,
        address[] calldata targets,
        uint256[] calldata values,
        bytes[] calldata calldatas,
        bytes32 descriptionHash
    ) external override onlyGuardian returns (uint256 proposalId) {
        return governor.cancel(targets, values, calldatas, descriptionHash);
    }

    /// @inheritdoc IGuardian
    function replace(address newAccount) external override {
        if (msg.sender != timelock) revert NotTimelock(msg.sender, timelock);
        emit Replaced(account, newAccount);
        account = newAccount;
        if (newAccount != address(0)) return;
        for (uint8 entry = 0; entry <= uint8(type(Entry).max); ++entry) {
            if (isPaused(Entry(entry))) _unpause(Entry(entry));
        }
    }

    /// @dev Gives back what is left of a running pause.
    function _unpause(Entry entry) private {
        Pauses memory p = _pauses[entry];
        // The pause runs, so it ends after now and was counted whole.
        uint40 currentTime = uint40(block.timestamp);
        p.paused -= p.until - currentTime;
        p.until = currentTime;
        _pauses[entry] = p;
        emit Unpaused(entry, p.paused);
    }

    // --- views --------------------------------------------------------------------------------------------------------

    /// @inheritdoc IGuardian
    function isPaused(Entry entry) public view override returns (bool) {
        return block.timestamp < _pauses[entry].until;
    }

    /// @inheritdoc IGuardian
    function pausesOf(Entry entry) external view override returns (uint40 until, uint40 paused) {
        return (_pauses[entry].until, _pauses[entry].paused);
    }
}
