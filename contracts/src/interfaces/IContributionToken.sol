// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title IContributionToken
/// @notice CWT, the token that contributions are paid in: ERC-20 with permit, capped, minted by two contracts only.
/// @dev Nobody owns it. Its minters are constructor arguments and never change.
interface IContributionToken is IERC20 {
    /// @notice Thrown when another account than the two minters asks for a mint.
    error NotMinter(address caller);

    /// @notice Thrown when a minter given at deployment is the zero address.
    error ZeroMinter(address distributor, address registry);

    /// @notice The RewardDistributor: mints what finalised rounds earned.
    function distributor() external view returns (address);

    /// @notice The MemberRegistry: mints the grant of a newcomer into its stake.
    function registry() external view returns (address);

    /// @notice Most tokens that may ever exist at one time, in units of 10⁻¹⁸ CWT.
    function cap() external view returns (uint256);

    /// @notice Creates `amount` for `to`. Only the minters; reverts above the cap.
    function mint(address to, uint256 amount) external;

    /// @notice Destroys `amount` of the caller's own tokens.
    function burn(uint256 amount) external;
}
