// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {ERC20Capped} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Capped.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";

import {IContributionToken} from "../../src/interfaces/IContributionToken.sol";
import {Community} from "../utils/Community.sol";

contract ContributionTokenTest is Community {
    function setUp() public {
        _deploy(_defaults());
    }

    function test_RevertWhen_anyoneElseMints() public {
        address[4] memory callers = [address(this), address(rounds), seats[0], treasury];
        for (uint256 i = 0; i < callers.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IContributionToken.NotMinter.selector, callers[i]));
            vm.prank(callers[i]);
            token.mint(callers[i], 1);
        }
    }

    function test_I20_RevertWhen_aMintExceedsTheCap() public {
        vm.startPrank(address(registry));
        token.mint(address(this), token.CAP());
        vm.expectRevert(abi.encodeWithSelector(ERC20Capped.ERC20ExceededCap.selector, token.CAP() + 1, token.CAP()));
        token.mint(address(this), 1);
        vm.stopPrank();
    }

    function test_RevertWhen_burningMoreThanOneHas() public {
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, address(this), 0, 1));
        token.burn(1);
    }

    function test_bothMintersMintAndHoldersBurn() public {
        vm.prank(address(registry));
        token.mint(address(this), 3);
        vm.prank(address(distributor));
        token.mint(address(this), 4);
        token.burn(2);
        assertEq(token.balanceOf(address(this)), 5, "balance");
        assertEq(token.totalSupply(), 5, "supply");
    }

    function test_nameSymbolCap() public view {
        assertEq(token.name(), "Commonweight Contribution Token", "name");
        assertEq(token.symbol(), "CWT", "symbol");
        assertEq(token.decimals(), 18, "decimals");
        assertEq(token.cap(), 10_000_000e18, "cap");
    }

    /// signature replay: the nonce moves on.
    function test_permitWorksOnce() public {
        uint256 key = 0xA11CE;
        address holder = vm.addr(key);
        bytes32 permitType =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 digest = keccak256(
            abi.encodePacked(
                hex"1901",
                token.DOMAIN_SEPARATOR(),
                keccak256(abi.encode(permitType, holder, address(this), 7, 0, block.timestamp))
            )
        );
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        token.permit(holder, address(this), 7, block.timestamp, v, r, s);
        assertEq(token.allowance(holder, address(this)), 7, "allowance");
        vm.expectRevert();
        token.permit(holder, address(this), 7, block.timestamp, v, r, s);
    }
}
