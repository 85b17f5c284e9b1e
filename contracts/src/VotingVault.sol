// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";
import {Votes} from "@openzeppelin/contracts/governance/utils/Votes.sol";
import {IERC6372} from "@openzeppelin/contracts/interfaces/IERC6372.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ERC6372Utils} from "@openzeppelin/contracts/utils/ERC6372Utils.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Time} from "@openzeppelin/contracts/utils/types/Time.sol";

import {IGuardian} from "./interfaces/IGuardian.sol";
import {IMemberRegistry} from "./interfaces/IMemberRegistry.sol";
import {IVotingVault} from "./interfaces/IVotingVault.sol";
import {PowerCurve} from "./libraries/PowerCurve.sol";

/// @title VotingVault
/// @notice Locked tokens, units and votes; the manual is IVotingVault.
/// @dev No call-back can do harm: books are written before a token moves, and `lock` demands the exact balance afterwards, so
/// whatever a token did to this contract's balance in between undoes the whole call.
contract VotingVault is IVotingVault, Votes {
    using SafeERC20 for IERC20;

    // --- types and storage --------------------------------------------------------------------------------------------

    /// @dev One slot.
    struct Account {
        uint96 locked;
        uint96 leaving;
        uint40 freeAt;
    }

    /// @notice One delegate counts at most 1 / CAP_DIVISOR of all units.
    uint256 public constant CAP_DIVISOR = 10;
    /// @notice Longest unlock delay that can be deployed.
    uint40 public constant MAX_UNLOCK_DELAY = 60 days;

    /// @inheritdoc IVotingVault
    IERC20 public immutable override token;
    /// @inheritdoc IVotingVault
    IMemberRegistry public immutable override registry;
    /// @inheritdoc IVotingVault
    IGuardian public immutable override guardian;
    /// @inheritdoc IVotingVault
    uint256 public immutable override linearUpTo;
    /// @inheritdoc IVotingVault
    uint40 public immutable override unlockDelay;

    mapping(address account => Account) private _accounts;

    // --- deployment ---------------------------------------------------------------------------------------------------

    /// @param token_ ContributionToken.
    /// @param registry_ MemberRegistry; holds its stakes in the same token.
    /// @param guardian_ Guardian.
    /// @param linearUpTo_ T of PowerCurve, above 0.
    /// @param unlockDelay_ Seconds; the governor's constructor checks that it is longer than a vote and its timelock.
    constructor(IERC20 token_, IMemberRegistry registry_, IGuardian guardian_, uint96 linearUpTo_, uint40 unlockDelay_)
        EIP712("Commonweight Voting Vault", "1")
    {
        if (address(registry_.token()) != address(token_)) {
            revert WiredElsewhere(address(registry_.token()), address(token_));
        }
        if (
            address(guardian_) == address(0) || linearUpTo_ == 0 || unlockDelay_ == 0 || unlockDelay_ > MAX_UNLOCK_DELAY
        ) revert BadParameter(address(guardian_), linearUpTo_, unlockDelay_);
        token = token_;
        registry = registry_;
        guardian = guardian_;
        linearUpTo = linearUpTo_;
        unlockDelay = unlockDelay_;
    }

    // --- acts ---------------------------------------------------------------------------------------------------------

    /// @inheritdoc IVotingVault
    function lock(uint96 amount) external override {
        if (amount == 0) revert ZeroAmount();
        if (guardian.isPaused(IGuardian.Entry.Lock)) revert LockPaused();
        IMemberRegistry.Status status = registry.statusOf(msg.sender);
        if (status != IMemberRegistry.Status.Active) revert NotActive(msg.sender, status);

        // Units that nobody can vote with would only raise the quorum. Before the books: these units are none yet.
        if (delegates(msg.sender) == address(0)) super._delegate(msg.sender, msg.sender);
        Account storage a = _accounts[msg.sender];
        uint96 locked = a.locked + amount;
        uint256 added = _units(locked) - _units(a.locked);
        a.locked = locked;
        _transferVotingUnits(address(0), msg.sender, added);
        emit Locked(msg.sender, amount, locked);

        uint256 expected = token.balanceOf(address(this)) + amount;
        token.safeTransferFrom(msg.sender, address(this), amount);
        uint256 actual = token.balanceOf(address(this));
        if (actual != expected) revert BalanceMismatch(actual, expected);
    }

    /// @inheritdoc IVotingVault
    function unlock(uint96 amount) external override {
        if (amount == 0) revert ZeroAmount();
        uint96 locked = _accounts[msg.sender].locked;
        if (amount > locked) revert NotLocked(amount, locked);
        _unlock(msg.sender, amount);
    }

    /// @inheritdoc IVotingVault
    function evict(address account) external override {
        IMemberRegistry.Status status = registry.statusOf(account);
        if (_isMember(status)) revert StillMember(account, status);
        uint96 locked = _accounts[account].locked;
        if (locked == 0) revert NothingThere(account);
        emit Evicted(account, status);
        _unlock(account, locked);
    }

    /// @inheritdoc IVotingVault
    function withdraw() external override returns (uint256 amount) {
        Account storage a = _accounts[msg.sender];
        amount = a.leaving;
        if (amount == 0) revert NothingThere(msg.sender);
        if (block.timestamp < a.freeAt) revert WithdrawTooEarly(a.freeAt, block.timestamp);
        a.leaving = 0;
        emit Withdrawn(msg.sender, amount);
        token.safeTransfer(msg.sender, amount);
    }

    /// @dev `amount` is at most what is locked.
    function _unlock(address account, uint96 amount) private {
        Account memory a = _accounts[account];
        uint256 removed = _units(a.locked) - _units(a.locked - amount);
        a.locked -= amount;
        a.leaving += amount;
        a.freeAt = uint40(block.timestamp) + unlockDelay;
        _accounts[account] = a;
        _transferVotingUnits(account, address(0), removed);
        emit UnlockStarted(account, amount, a.locked, a.leaving, a.freeAt);
    }

    /// @dev Both sides of a delegation are members: a banned account must not hand on what it can no longer use itself.
    function _delegate(address account, address delegatee) internal override {
        _requireMember(account);
        _requireMember(delegatee);
        super._delegate(account, delegatee);
    }

    // --- votes --------------------------------------------------------------------------------------------------------

    /// @inheritdoc IVotes
    /// @dev Capped, and 0 for who is no member, as in `getPastVotes`.
    function getVotes(address account) public view override(IVotes, Votes) returns (uint256) {
        return _votes(account, super.getVotes(account), _getTotalSupply());
    }

    /// @inheritdoc IVotes
    /// @dev The cap is taken here, from the total at the same moment: a capped number in storage would be wrong as soon as
    /// anybody else locked or unlocked. Membership is that of now: a vote needs units then and a member now.
    function getPastVotes(address account, uint256 timepoint) public view override(IVotes, Votes) returns (uint256) {
        return _votes(account, super.getPastVotes(account, timepoint), getPastTotalSupply(timepoint));
    }

    /// @inheritdoc IERC6372
    function clock() public view override(IERC6372, Votes) returns (uint48) {
        return Time.timestamp();
    }

    /// @inheritdoc IERC6372
    // solhint-disable-next-line func-name-mixedcase
    function CLOCK_MODE() public view override(IERC6372, Votes) returns (string memory) {
        return ERC6372Utils.timestampClockMode(clock());
    }

    function _votes(address account, uint256 delegated, uint256 total) private view returns (uint256) {
        if (!_isMember(registry.statusOf(account))) return 0;
        return Math.min(delegated, total / CAP_DIVISOR);
    }

    // --- views --------------------------------------------------------------------------------------------------------

    /// @inheritdoc IVotingVault
    function accountOf(address account) external view override returns (uint96 locked, uint96 leaving, uint40 freeAt) {
        Account storage a = _accounts[account];
        return (a.locked, a.leaving, a.freeAt);
    }

    /// @inheritdoc IVotingVault
    function unitsOf(address account) external view override returns (uint256) {
        return _getVotingUnits(account);
    }

    /// @inheritdoc IVotingVault
    function delegatedTo(address account) external view override returns (uint256) {
        return super.getVotes(account);
    }

    // --- helpers ------------------------------------------------------------------------------------------------------

    function _getVotingUnits(address account) internal view override returns (uint256) {
        return _units(_accounts[account].locked);
    }

    function _units(uint256 locked) private view returns (uint256) {
        return PowerCurve.unitsDown(locked, linearUpTo);
    }

    function _requireMember(address account) private view {
        IMemberRegistry.Status status = registry.statusOf(account);
        if (!_isMember(status)) revert NotMember(account, status);
    }

    function _isMember(IMemberRegistry.Status status) private pure returns (bool) {
        return status == IMemberRegistry.Status.Active || status == IMemberRegistry.Status.Exiting;
    }
}
