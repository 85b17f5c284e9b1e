// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {VotingVault} from "../../src/VotingVault.sol";
import {IGuardian} from "../../src/interfaces/IGuardian.sol";
import {IMemberRegistry} from "../../src/interfaces/IMemberRegistry.sol";

/// @notice All that the vault asks of its token, its registry and its guardian, in one: everybody is Active, nothing is
/// paused, and whatever is pulled arrives.
contract Surroundings {
    mapping(address account => uint256) public balanceOf;

    function token() external view returns (address) {
        return address(this);
    }

    function statusOf(address) external pure returns (IMemberRegistry.Status) {
        return IMemberRegistry.Status.Active;
    }

    function isPaused(IGuardian.Entry) external pure returns (bool) {
        return false;
    }

    function transferFrom(address, address to, uint256 amount) external returns (bool) {
        balanceOf[to] += amount;
        return true;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
        return true;
    }
}

/// @notice Symbolic checks (contracts/tools/halmos.sh) of an account's slot, for every amount, on the curve's linear part.
contract VaultChecks {
    uint40 private constant DELAY = 14 days;

    VotingVault private _vault;
    Surroundings private _outside;

    function setUp() public {
        _outside = new Surroundings();
        _vault = new VotingVault(
            IERC20(address(_outside)),
            IMemberRegistry(address(_outside)),
            IGuardian(address(_outside)),
            type(uint96).max,
            DELAY
        );
    }

    /// What was locked and unlocked stands in the slot, each part at its place, and units are what is locked.
    function check_accountIsLossless(uint96 amount, uint96 leaves) external {
        _vault.lock(amount);
        _vault.unlock(leaves);
        (uint96 locked, uint96 leaving, uint40 freeAt) = _vault.accountOf(address(this));
        assert(locked == amount - leaves);
        assert(leaving == leaves);
        assert(freeAt == uint40(block.timestamp) + DELAY);
        assert(_vault.unitsOf(address(this)) == locked);
        assert(_vault.delegatedTo(address(this)) == locked);
        assert(_outside.balanceOf(address(_vault)) == uint256(locked) + leaving);
    }

    /// More than is locked never leaves.
    function check_neverMoreThanLocked(uint96 amount, uint96 leaves) external {
        _vault.lock(amount);
        if (leaves <= amount) return;
        try _vault.unlock(leaves) {
            assert(false);
        } catch {}
    }
}
