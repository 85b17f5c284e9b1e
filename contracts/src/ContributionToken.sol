// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Capped} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Capped.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

import {IContributionToken} from "./interfaces/IContributionToken.sol";

/// @title ContributionToken
/// @notice The token of contributions; the manual is IContributionToken.
contract ContributionToken is IContributionToken, ERC20Permit, ERC20Capped {
    /// @notice 10 000 000 CWT in units of 10⁻¹⁸ CWT: what all emissions and all grants together may mint.
    uint256 public constant CAP = 10_000_000e18;

    /// @inheritdoc IContributionToken
    address public immutable override distributor;
    /// @inheritdoc IContributionToken
    address public immutable override registry;

    /// @param distributor_ The RewardDistributor, deployed later at this precomputed address.
    /// @param registry_ The MemberRegistry, likewise.
    constructor(address distributor_, address registry_)
        ERC20("Commonweight Contribution Token", "CWT")
        ERC20Permit("Commonweight Contribution Token")
        ERC20Capped(CAP)
    {
        if (distributor_ == address(0) || registry_ == address(0)) {
            revert ZeroMinter(distributor_, registry_);
        }
        distributor = distributor_;
        registry = registry_;
    }

    /// @inheritdoc IContributionToken
    function mint(address to, uint256 amount) external override {
        if (msg.sender != distributor && msg.sender != registry) revert NotMinter(msg.sender);
        _mint(to, amount);
    }

    /// @inheritdoc IContributionToken
    function burn(uint256 amount) external override {
        _burn(msg.sender, amount);
    }

    /// @inheritdoc IContributionToken
    function cap() public view override(IContributionToken, ERC20Capped) returns (uint256) {
        return super.cap();
    }

    /// @dev The cap is enforced here, on every mint.
    function _update(address from, address to, uint256 amount) internal override(ERC20, ERC20Capped) {
        super._update(from, to, amount);
    }
}
