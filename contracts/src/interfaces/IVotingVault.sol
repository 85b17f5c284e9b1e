// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IERC5805} from "@openzeppelin/contracts/interfaces/IERC5805.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {IGuardian} from "./IGuardian.sol";
import {IMemberRegistry} from "./IMemberRegistry.sol";

/// @title IVotingVault
/// @notice Where voting power comes from: members lock tokens and get units by PowerCurve; units follow a delegate, and what
/// a delegate has at a moment, at most a tenth of all, are its votes.
/// @dev Amounts in units of 10⁻¹⁸ CWT, times in seconds since 1970 (the clock of ERC-6372 too). Only what `lock` took counts:
/// tokens sent here otherwise change nothing and stay.
///
/// A **member** is here who is Active or Exiting in the registry. Only Active members lock. Who is no member has no
/// votes, whatever was locked or delegated; so a banned account cannot vote from the moment of its ban on, while votes cast
/// before stay counted. Its units still count in the total, and for the delegate it chose, until anybody calls `evict`.
/// Its tokens stay its own.
///
/// Assumptions. Safety: `registry` says who is a member; `token` moves what it is asked to (`lock` checks that the
/// balance grew by exactly the amount). Liveness: none; nothing but `lock` and `delegate` asks registry or guardian.
interface IVotingVault is IERC5805 {
    /// @notice `account` added `amount`; it now has `locked`.
    event Locked(address indexed account, uint256 amount, uint256 locked);
    /// @notice `account` asked for `amount` back: `locked` still vote, `leaving` (with this) can be withdrawn at `freeAt`.
    event UnlockStarted(address indexed account, uint256 amount, uint256 locked, uint256 leaving, uint256 freeAt);
    /// @notice Everything that `account` had locked leaves, since it is no member; an UnlockStarted comes with it.
    event Evicted(address indexed account, IMemberRegistry.Status status);
    /// @notice `account` got `amount` of its tokens back.
    event Withdrawn(address indexed account, uint256 amount);

    /// @notice Thrown when locking is paused.
    error LockPaused();
    /// @notice Thrown when somebody who is not Active locks.
    error NotActive(address account, IMemberRegistry.Status actual);
    /// @notice Thrown when an account delegates, or is delegated to, that is no member.
    error NotMember(address account, IMemberRegistry.Status actual);
    /// @notice Thrown when a member is to be evicted.
    error StillMember(address account, IMemberRegistry.Status actual);
    /// @notice Thrown when an amount is 0.
    error ZeroAmount();
    /// @notice Thrown when more is to be unlocked than is locked.
    error NotLocked(uint256 amount, uint256 locked);
    /// @notice Thrown when there is nothing to evict or to withdraw.
    error NothingThere(address account);
    /// @notice Thrown when tokens are asked for before their delay is over.
    error WithdrawTooEarly(uint256 freeAt, uint256 currentTime);
    /// @notice Thrown when a transfer left another balance here than it should have: the token takes a fee or called back.
    error BalanceMismatch(uint256 actual, uint256 expected);

    /// @notice Thrown at deployment when the registry holds its stakes in another token.
    error WiredElsewhere(address actual, address expected);
    /// @notice Thrown at deployment when guardian, T or delay is zero, or the delay longer than MAX_UNLOCK_DELAY.
    error BadParameter(address guardian, uint256 linearUpTo, uint256 unlockDelay);

    /// @notice Locks `amount` of the caller's tokens (needs an allowance).
    /// @dev Effects: the caller's units grow; its first lock delegates them to itself unless it chose before. Requirements: the
    /// caller is Active; locking is not paused; amount above 0; the token moves exactly that.
    function lock(uint96 amount) external;

    /// @notice Asks for `amount` back: its units leave now, the tokens `unlockDelay` later.
    /// @dev A second request starts the delay anew for all that is leaving: withdraw first what is free. Requirements: that
    /// much is locked. Needs no membership and cannot be paused.
    function unlock(uint96 amount) external;

    /// @notice Starts to unlock everything of an account that is no member. Anybody may.
    /// @dev Requirements: the account is neither Active nor Exiting, and has something locked.
    function evict(address account) external;

    /// @notice Sends the caller what it unlocked, after the delay.
    function withdraw() external returns (uint256 amount);

    /// @notice What `account` has: `locked` votes, `leaving` is free at `freeAt` (0 where it never unlocked).
    function accountOf(address account) external view returns (uint96 locked, uint96 leaving, uint40 freeAt);
    /// @notice Units of `account`: f(locked).
    function unitsOf(address account) external view returns (uint256);
    /// @notice Units that were delegated to `account`, before cap and membership are looked at.
    function delegatedTo(address account) external view returns (uint256);
    /// @notice T of the curve: tokens up to which one locked token is one unit.
    function linearUpTo() external view returns (uint256);
    /// @notice Seconds from `unlock` to `withdraw`; the governor checks that it is longer than a vote and its timelock.
    function unlockDelay() external view returns (uint40);
    /// @notice The token that is locked.
    function token() external view returns (IERC20);
    /// @notice Says who is a member.
    function registry() external view returns (IMemberRegistry);
    /// @notice May pause `lock`.
    function guardian() external view returns (IGuardian);
}
