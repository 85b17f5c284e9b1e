// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {RevenueSplitter} from "../../src/RevenueSplitter.sol";
import {IReleaseRegistry} from "../../src/interfaces/IReleaseRegistry.sol";
import {IRevenueSplitter} from "../../src/interfaces/IRevenueSplitter.sol";
import {IRewardDistributor} from "../../src/interfaces/IRewardDistributor.sol";
import {Ownership} from "../utils/Ownership.sol";
import {FeeToken, PlainToken, SilentToken} from "../utils/Tokens.sol";

contract RevenueSplitterTest is Ownership {
    uint256 private constant N = 4;
    PlainToken private _money;
    address private _payer = makeAddr("payer");

    function setUp() public {
        _deploy(_defaults());
        _admitMany(N);
        _deployOwnership();
        _money = new PlainToken();
        _release(N, 500_000, 500_000);
    }

    function _deposit(uint32 release, PlainToken currency, uint256 amount) private returns (uint256 arrived) {
        currency.mint(_payer, amount);
        vm.startPrank(_payer);
        currency.approve(address(splitter), amount);
        arrived = splitter.deposit(release, currency, amount);
        vm.stopPrank();
    }

    /// By hand: amount · credit / total, rounded down.
    function _due(uint32 release, address account, uint256 amount) private view returns (uint256) {
        (uint256 round, uint256 total) = releases.ownershipOf(release);
        return amount * distributor.creditAt(account, round) / total;
    }

    // --- deployment ---------------------------------------------------------------------------------------------------

    function test_deployment() public view {
        assertEq(address(splitter.releases()), address(releases), "releases");
        assertEq(address(splitter.distributor()), address(distributor), "distributor");
    }

    function test_deployment_RevertWhen_wiredElsewhere() public {
        address other = makeAddr("other");
        vm.expectRevert(abi.encodeWithSelector(IRevenueSplitter.WiredElsewhere.selector, address(distributor), other));
        new RevenueSplitter(releases, IRewardDistributor(other));
    }

    // --- deposit ------------------------------------------------------------------------------------------------------

    function test_deposit() public {
        _money.mint(_payer, 1000);
        vm.startPrank(_payer);
        _money.approve(address(splitter), 1000);
        vm.expectEmit(address(splitter));
        emit IRevenueSplitter.Deposited(1, _money, _payer, 400, 400);
        assertEq(splitter.deposit(1, _money, 400), 400, "arrived");
        vm.expectEmit(address(splitter));
        emit IRevenueSplitter.Deposited(1, _money, _payer, 600, 1000);
        splitter.deposit(1, _money, 600);
        vm.stopPrank();
        assertEq(splitter.depositedOf(1, _money), 1000, "adds up");
        assertEq(_money.balanceOf(address(splitter)), 1000, "is there");
    }

    function test_deposit_RevertWhen_noSuchRelease() public {
        vm.expectRevert(abi.encodeWithSelector(IReleaseRegistry.NoSuchRelease.selector, 2, 1));
        splitter.deposit(2, _money, 1);
        vm.expectRevert(abi.encodeWithSelector(IReleaseRegistry.NoSuchRelease.selector, 0, 1));
        splitter.deposit(0, _money, 1);
        vm.expectRevert(abi.encodeWithSelector(IReleaseRegistry.NoSuchRelease.selector, 2, 1));
        splitter.claim(2, _money, members[0]);
        vm.expectRevert(abi.encodeWithSelector(IReleaseRegistry.NoSuchRelease.selector, 2, 1));
        splitter.claimable(2, _money, members[0]);
    }

    function test_deposit_RevertWhen_nothing() public {
        vm.expectRevert(abi.encodeWithSelector(IRevenueSplitter.NothingArrived.selector, _money, 0));
        splitter.deposit(1, _money, 0);
    }

    /// Books are kept for each release and each token apart.
    function test_deposit_keepsReleasesAndTokensApart() public {
        PlainToken other = new PlainToken();
        _release(N, 500_000, 500_000);
        _deposit(1, _money, 1000);
        _deposit(2, _money, 500);
        _deposit(1, other, 70);
        assertEq(splitter.depositedOf(1, _money), 1000, "first");
        assertEq(splitter.depositedOf(2, _money), 500, "second");
        assertEq(splitter.depositedOf(1, other), 70, "other token");
        assertEq(splitter.depositedOf(2, other), 0, "none");
        splitter.claim(1, _money, members[0]);
        assertEq(splitter.claimable(2, _money, members[0]), _due(2, members[0], 500), "untouched");
        assertEq(splitter.paidOf(2, _money, members[0]), 0, "untouched");
        assertEq(splitter.claimable(1, other, members[0]), _due(1, members[0], 70), "untouched");
    }

    function test_deposit_tokenWithoutReturnValue() public {
        SilentToken silent = new SilentToken();
        silent.mint(address(this), 1000);
        IERC20 currency = IERC20(address(silent));
        splitter.deposit(1, currency, 1000);
        splitter.claim(1, currency, members[0]);
        assertEq(silent.balanceOf(members[0]), _due(1, members[0], 1000), "paid");
    }

    // --- claim --------------------------------------------------------------------------------------------------------

    function test_claim_paysTheAccountWhoeverSendsIt() public {
        _deposit(1, _money, 1_000_000);
        uint256 due = _due(1, members[2], 1_000_000);
        assertEq(splitter.claimable(1, _money, members[2]), due, "claimable");
        vm.expectEmit(address(splitter));
        emit IRevenueSplitter.Claimed(1, _money, members[2], due, due);
        vm.prank(makeAddr("stranger"));
        assertEq(splitter.claim(1, _money, members[2]), due, "amount");
        assertEq(_money.balanceOf(members[2]), due, "paid");
        assertEq(splitter.paidOf(1, _money, members[2]), due, "kept");
        assertEq(splitter.claimable(1, _money, members[2]), 0, "all of it");
    }

    function test_claim_RevertWhen_nothingIsLeft() public {
        vm.expectRevert(abi.encodeWithSelector(IRevenueSplitter.NothingToClaim.selector, 1, _money, members[0], 0));
        splitter.claim(1, _money, members[0]);
        _deposit(1, _money, 1000);
        uint256 due = splitter.claim(1, _money, members[0]);
        vm.expectRevert(abi.encodeWithSelector(IRevenueSplitter.NothingToClaim.selector, 1, _money, members[0], due));
        splitter.claim(1, _money, members[0]);
        address stranger = makeAddr("stranger");
        vm.expectRevert(abi.encodeWithSelector(IRevenueSplitter.NothingToClaim.selector, 1, _money, stranger, 0));
        splitter.claim(1, _money, stranger);
    }

    /// Cumulative: what comes after a claim can be claimed, and rounding never loses more than a unit in all.
    function test_claim_afterLaterDeposits() public {
        for (uint256 i = 0; i < 20; ++i) {
            _deposit(1, _money, 7);
            uint256 due = _due(1, members[1], 7 * (i + 1));
            uint256 before = splitter.paidOf(1, _money, members[1]);
            if (due == before) continue;
            vm.expectEmit(address(splitter));
            emit IRevenueSplitter.Claimed(1, _money, members[1], due - before, due);
            splitter.claim(1, _money, members[1]);
        }
        assertEq(_money.balanceOf(members[1]), _due(1, members[1], 140), "as if claimed once");
    }

    function test_claim_ofAYankedRelease() public {
        vm.prank(timelock);
        releases.yank(1, "reason");
        _deposit(1, _money, 1000);
        splitter.claim(1, _money, members[0]);
        assertEq(_money.balanceOf(members[0]), _due(1, members[0], 1000), "it stays its owners'");
    }

    /// Rounds after the release's change nobody's share of it, nor do transfers of CWT.
    function test_claim_sharesAreFrozen() public {
        (uint256 credit, uint256 total) = splitter.shareOf(1, members[0]);
        uint256 round = _toFinalized(3);
        _claimAll(round);
        vm.startPrank(members[0]);
        token.transfer(members[1], token.balanceOf(members[0]));
        vm.stopPrank();
        (uint256 creditAfter, uint256 totalAfter) = splitter.shareOf(1, members[0]);
        assertEq(creditAfter, credit, "credit");
        assertEq(totalAfter, total, "total");
        assertGt(distributor.creditAt(members[0], round), credit, "it did earn more");
    }

    /// I16, rounding: any deposits, claims in between by anybody; paid is what is due, and at most what arrived.
    function testFuzz_I16_payments(uint128[6] memory amounts, uint256 who) public {
        uint256 deposited = 0;
        uint256 paid = 0;
        for (uint256 i = 0; i < 6; ++i) {
            if (amounts[i] != 0) deposited += _deposit(1, _money, amounts[i]);
            address account = members[(who >> (8 * i)) % N];
            if (splitter.claimable(1, _money, account) != 0) paid += splitter.claim(1, _money, account);
            assertLe(paid, deposited, "I16");
        }
        for (uint256 i = 0; i < N; ++i) {
            if (splitter.claimable(1, _money, members[i]) != 0) paid += splitter.claim(1, _money, members[i]);
            assertEq(_money.balanceOf(members[i]), _due(1, members[i], deposited), "exactly what is due");
        }
        assertLe(paid, deposited, "I16");
        assertLt(deposited - paid, N, "less than a unit each stays");
        assertEq(_money.balanceOf(address(splitter)), deposited - paid, "the rest is there");
    }

    /// Deposits near the largest number: nothing overflows on the way.
    function test_claim_ofTheLargestAmount() public {
        _deposit(1, _money, type(uint256).max);
        uint256 paid = 0;
        for (uint256 i = 0; i < N; ++i) {
            paid += splitter.claim(1, _money, members[i]);
        }
        assertLt(type(uint256).max - paid, N, "all but the rounding");
    }

    /// I23: tokens sent by mistake change nobody's payout.
    function testFuzz_I23_donation(uint96 deposited, uint96 donated) public {
        if (deposited == 0) return;
        _deposit(1, _money, deposited);
        uint256 before = splitter.claimable(1, _money, members[0]);
        _money.mint(address(splitter), donated);
        assertEq(splitter.claimable(1, _money, members[0]), before, "I23");
        assertEq(splitter.depositedOf(1, _money), deposited, "I23");
        assertEq(_deposit(1, _money, 5), 5, "nor does the next deposit take it in");
    }

    function testFuzz_deposit_countsWhatArrives(uint96 amount) public {
        FeeToken fee = new FeeToken();
        uint256 expected = uint256(amount) - amount / 100;
        if (expected == 0) return;
        assertEq(_deposit(1, fee, amount), expected, "less the fee");
        assertEq(splitter.depositedOf(1, fee), expected, "less the fee");
        assertEq(fee.balanceOf(address(splitter)), expected, "covered");
    }
}
