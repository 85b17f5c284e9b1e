// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {Treasury} from "../../src/Treasury.sol";
import {ITreasury} from "../../src/interfaces/ITreasury.sol";
import {TestBase} from "../utils/TestBase.sol";
import {FalseToken, PlainToken} from "../utils/Tokens.sol";

contract TreasuryTest is TestBase {
    address private _timelock = makeAddr("timelock");
    address private _payee = makeAddr("payee");
    Treasury private _treasury;
    PlainToken private _money;

    function setUp() public {
        _treasury = new Treasury(_timelock);
        _money = new PlainToken();
        _money.mint(address(_treasury), 1000);
    }

    function test_deployment() public view {
        assertEq(_treasury.timelock(), _timelock, "timelock");
    }

    function test_deployment_RevertWhen_noTimelock() public {
        vm.expectRevert(ITreasury.ZeroTimelock.selector);
        new Treasury(address(0));
    }

    function testFuzz_pay(uint256 amount) public {
        amount = bound(amount, 1, 1000);
        vm.expectEmit(address(_treasury));
        emit ITreasury.Paid(_money, _payee, amount);
        vm.prank(_timelock);
        _treasury.pay(_money, _payee, amount);
        assertEq(_money.balanceOf(_payee), amount, "paid");
        assertEq(_money.balanceOf(address(_treasury)), 1000 - amount, "left");
    }

    function testFuzz_pay_RevertWhen_notTimelock(address caller) public {
        vm.assume(caller != _timelock);
        vm.expectRevert(abi.encodeWithSelector(ITreasury.NotTimelock.selector, caller, _timelock));
        vm.prank(caller);
        _treasury.pay(_money, _payee, 1);
    }

    function test_pay_RevertWhen_nothingOrNobody() public {
        vm.startPrank(_timelock);
        vm.expectRevert(abi.encodeWithSelector(ITreasury.EmptyPayment.selector, _payee, 0));
        _treasury.pay(_money, _payee, 0);
        vm.expectRevert(abi.encodeWithSelector(ITreasury.EmptyPayment.selector, address(0), 1));
        _treasury.pay(_money, address(0), 1);
        vm.stopPrank();
    }

    function test_pay_RevertWhen_moreThanThereIs() public {
        vm.expectRevert();
        vm.prank(_timelock);
        _treasury.pay(_money, _payee, 1001);
        assertEq(_money.balanceOf(address(_treasury)), 1000, "untouched");
    }

    function test_pay_RevertWhen_theTokenSaysNo() public {
        FalseToken token = new FalseToken();
        token.breakIt();
        token.mint(address(_treasury), 5);
        vm.expectRevert(abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(token)));
        vm.prank(_timelock);
        _treasury.pay(IERC20(address(token)), _payee, 5);
    }
}
