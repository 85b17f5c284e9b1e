// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {IReleaseRegistry} from "./interfaces/IReleaseRegistry.sol";
import {IRevenueSplitter} from "./interfaces/IRevenueSplitter.sol";
import {IRewardDistributor} from "./interfaces/IRewardDistributor.sol";
import {OwnershipMath} from "./libraries/OwnershipMath.sol";

/// @title RevenueSplitter
/// @notice Revenue by frozen shares; the manual is IRevenueSplitter.
contract RevenueSplitter is IRevenueSplitter, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    // --- storage ------------------------------------------------------------------------------------------------------

    /// @inheritdoc IRevenueSplitter
    IReleaseRegistry public immutable override releases;
    /// @inheritdoc IRevenueSplitter
    IRewardDistributor public immutable override distributor;

    mapping(uint32 release => mapping(IERC20 token => uint256)) private _deposited;
    mapping(uint32 release => mapping(IERC20 token => mapping(address account => uint256))) private _paid;

    // --- deployment ---------------------------------------------------------------------------------------------------

    /// @param releases_ ReleaseRegistry, deployed already.
    /// @param distributor_ RewardDistributor, the one that the registry adds up.
    constructor(IReleaseRegistry releases_, IRewardDistributor distributor_) {
        address kept = address(releases_.distributor());
        if (kept != address(distributor_)) revert WiredElsewhere(kept, address(distributor_));
        releases = releases_;
        distributor = distributor_;
    }

    // --- acts ---------------------------------------------------------------------------------------------------------

    /// @inheritdoc IRevenueSplitter
    function deposit(uint32 release, IERC20 token, uint256 amount)
        external
        override
        nonReentrant
        returns (uint256 arrived)
    {
        // Reverts where there is no such release.
        // slither-disable-next-line unused-return
        releases.ownershipOf(release);
        uint256 before = token.balanceOf(address(this));
        token.safeTransferFrom(msg.sender, address(this), amount);
        // Saturating: a token whose balance fell meanwhile brought nothing.
        uint256 afterwards = token.balanceOf(address(this));
        arrived = afterwards > before ? afterwards - before : 0;
        // Exactly zero is meant: nothing came in.
        // slither-disable-next-line incorrect-equality
        if (arrived == 0) revert NothingArrived(token, amount);

        // After the call, since only then it is known what arrived; nothing nests (nonReentrant).
        uint256 total = _deposited[release][token] + arrived;
        _deposited[release][token] = total;
        emit Deposited(release, token, msg.sender, arrived, total);
    }

    /// @inheritdoc IRevenueSplitter
    function claim(uint32 release, IERC20 token, address account)
        external
        override
        nonReentrant
        returns (uint256 amount)
    {
        uint256 paid = _paid[release][token][account];
        amount = _entitledDown(release, token, account) - paid;
        if (amount == 0) revert NothingToClaim(release, token, account, paid);

        _paid[release][token][account] = paid + amount;
        emit Claimed(release, token, account, amount, paid + amount);
        token.safeTransfer(account, amount);
    }

    // --- views --------------------------------------------------------------------------------------------------------

    /// @inheritdoc IRevenueSplitter
    function claimable(uint32 release, IERC20 token, address account) external view override returns (uint256) {
        return _entitledDown(release, token, account) - _paid[release][token][account];
    }

    /// @inheritdoc IRevenueSplitter
    function depositedOf(uint32 release, IERC20 token) external view override returns (uint256) {
        return _deposited[release][token];
    }

    /// @inheritdoc IRevenueSplitter
    function paidOf(uint32 release, IERC20 token, address account) external view override returns (uint256) {
        return _paid[release][token][account];
    }

    /// @inheritdoc IRevenueSplitter
    function shareOf(uint32 release, address account) public view override returns (uint256 credit, uint256 total) {
        uint256 round;
        (round, total) = releases.ownershipOf(release);
        credit = distributor.creditAt(account, round);
    }

    // --- helpers ------------------------------------------------------------------------------------------------------

    /// @dev Never falls: deposits only grow and shares never change. So what was paid never exceeds it.
    function _entitledDown(uint32 release, IERC20 token, address account) private view returns (uint256) {
        (uint256 credit, uint256 total) = shareOf(release, account);
        return OwnershipMath.entitledDown(_deposited[release][token], credit, total);
    }
}
