// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";

import {IGuardian} from "../../src/interfaces/IGuardian.sol";
import {IMemberRegistry} from "../../src/interfaces/IMemberRegistry.sol";
import {Membership} from "../utils/Membership.sol";

/// @notice Joining, stakes, exits, and what a pause does not stop.
contract MemberRegistryTest is Membership {
    // --- applyToJoin --------------------------------------------------------------------------------------------------

    function test_apply_RevertWhen_appliedOrActive() public {
        uint256 application = _apply(alice);
        vm.expectRevert(_wrongStatus(alice, IMemberRegistry.Status.Applied, IMemberRegistry.Status.None));
        _apply(alice);
        _review(application, 0, 3, true);
        vm.expectRevert(_wrongStatus(alice, IMemberRegistry.Status.Active, IMemberRegistry.Status.None));
        _apply(alice);
    }

    function test_apply_RevertWhen_thePeerIdIsTooLong() public {
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.PeerIdTooLong.selector, 65, 64));
        registry.applyToJoin(0, 0, new bytes(65), 0);
    }

    function test_apply_opensAnApplication() public {
        vm.expectEmit(address(registry));
        emit IMemberRegistry.Applied(1, alice, keccak256("request"), keccak256("cid"), hex"00240801", keccak256("key"));
        assertEq(_apply(alice), 1, "number");
        _assertStatus(alice, IMemberRegistry.Status.Applied, "status");
        (address applicant, IMemberRegistry.ApplicationState state, uint8 approvals, uint8 refusals) =
            registry.applicationOf(1);
        assertEq(applicant, alice, "applicant");
        assertEq(uint256(state), uint256(IMemberRegistry.ApplicationState.Open), "state");
        assertEq(approvals + refusals, 0, "votes");
        assertEq(registry.applicationCount(), 1, "count");
    }

    // --- review -------------------------------------------------------------------------------------------------------

    function test_review_RevertWhen_theCallerHasNoSeat() public {
        uint256 application = _apply(alice);
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.NotSeatHolder.selector, alice));
        vm.prank(alice);
        registry.review(application, true, 0);
    }

    function test_review_RevertWhen_aSeatReviewsTwice() public {
        uint256 application = _apply(alice);
        _review(application, 0, 1, true);
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.AlreadyReviewed.selector, application, seats[0]));
        _review(application, 0, 1, false);
    }

    function test_review_RevertWhen_theApplicationIsNotOpen() public {
        vm.expectRevert(
            abi.encodeWithSelector(
                IMemberRegistry.ApplicationNotOpen.selector, 7, IMemberRegistry.ApplicationState.None
            )
        );
        _review(7, 0, 1, true);
        uint256 application = _apply(alice);
        _review(application, 0, 3, true);
        vm.expectRevert(
            abi.encodeWithSelector(
                IMemberRegistry.ApplicationNotOpen.selector, application, IMemberRegistry.ApplicationState.Approved
            )
        );
        _review(application, 3, 1, true);
    }

    function test_review_admitsAtTheThreshold() public {
        uint256 application = _apply(alice);
        _review(application, 0, 2, true);
        _assertStatus(alice, IMemberRegistry.Status.Applied, "below the threshold");
        vm.expectEmit(address(registry));
        emit IMemberRegistry.Reviewed(application, seats[2], true, keccak256("reason"));
        vm.expectEmit(address(registry));
        emit IMemberRegistry.Admitted(application, alice, GRANT);
        _review(application, 2, 1, true);
        _assertStatus(alice, IMemberRegistry.Status.Active, "status");
        assertEq(registry.stakeOf(alice), GRANT, "stake");
        assertEq(registry.unvestedOf(alice), GRANT, "unvested");
        assertEq(token.balanceOf(address(registry)), GRANT, "registry holds the grant");
        assertEq(token.totalSupply(), GRANT, "minted");
        assertEq(registry.eligibleCount(), 1, "eligible");
        assertEq(registry.totalStake(), GRANT, "total");
    }

    function test_review_refusesOnceTheThresholdIsOutOfReach() public {
        uint256 application = _apply(alice);
        _review(application, 0, 2, false); // 3 of 5 could still approve
        _assertStatus(alice, IMemberRegistry.Status.Applied, "still open");
        vm.expectEmit(address(registry));
        emit IMemberRegistry.Rejected(application, alice);
        _review(application, 2, 1, false);
        _assertStatus(alice, IMemberRegistry.Status.None, "refused");
        assertEq(_apply(alice), application + 1, "may apply again");
    }

    function test_review_refusalsDoNotStopEnoughApprovals() public {
        uint256 application = _apply(alice);
        _review(application, 0, 2, false);
        _review(application, 2, 3, true);
        _assertStatus(alice, IMemberRegistry.Status.Active, "status");
    }

    // --- bond ---------------------------------------------------------------------------------------------------------

    function test_bond_RevertWhen_notActive() public {
        vm.expectRevert(_wrongStatus(alice, IMemberRegistry.Status.None, IMemberRegistry.Status.Active));
        vm.prank(alice);
        registry.bond(1);
    }

    function test_bond_RevertWhen_notAllowed() public {
        _admit(alice);
        vm.expectRevert();
        vm.prank(alice);
        registry.bond(1);
    }

    /// A stake has 88 bits: what is larger than all tokens together must not wrap into a small one.
    function test_bond_RevertWhen_moreThanEverExists() public {
        _admit(alice);
        vm.prank(alice);
        token.approve(address(registry), type(uint256).max);
        uint96[3] memory amounts = [uint96(1 << 88), uint96(1 << 88) - uint96(GRANT), type(uint96).max];
        for (uint256 i = 0; i < amounts.length; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, alice, 0, amounts[i])
            );
            vm.prank(alice);
            registry.bond(amounts[i]);
        }
    }

    function test_bond_addsOwnTokens() public {
        _admit(alice);
        _fund(alice, 30e18);
        vm.expectEmit(address(registry));
        emit IMemberRegistry.Bonded(alice, 30e18, GRANT + 30e18);
        vm.prank(alice);
        registry.bond(30e18);
        assertEq(registry.stakeOf(alice), GRANT + 30e18, "stake");
        assertEq(registry.unvestedOf(alice), GRANT, "unvested");
        assertEq(registry.eligibleCount(), 1, "counted once");
    }

    // --- exit ---------------------------------------------------------------------------------------------------------

    function test_I14_exit_RevertWhen_early() public {
        _admit(alice);
        vm.prank(alice);
        registry.startExit();
        uint256 exitAt = block.timestamp + EXIT_DELAY;
        assertEq(registry.exitAtOf(alice), exitAt, "exit time");
        vm.warp(exitAt - 1);
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.ExitTooEarly.selector, exitAt, exitAt - 1));
        vm.prank(alice);
        registry.finishExit();
    }

    function test_exit_RevertWhen_notActiveOrNotExiting() public {
        vm.expectRevert(_wrongStatus(alice, IMemberRegistry.Status.None, IMemberRegistry.Status.Active));
        vm.prank(alice);
        registry.startExit();
        _admit(alice);
        assertEq(registry.exitAtOf(alice), 0, "no exit");
        vm.expectRevert(_wrongStatus(alice, IMemberRegistry.Status.Active, IMemberRegistry.Status.Exiting));
        vm.prank(alice);
        registry.finishExit();
    }

    function test_exit_paysOwnStakeAndBurnsTheGrant() public {
        _admit(alice);
        _bond(alice, 30e18);
        vm.expectEmit(address(registry));
        emit IMemberRegistry.ExitStarted(alice, block.timestamp + EXIT_DELAY);
        vm.prank(alice);
        registry.startExit();
        assertEq(registry.eligibleCount(), 0, "not eligible at once");
        assertFalse(registry.isEligible(alice, block.timestamp + 1), "not eligible");
        skip(EXIT_DELAY);
        vm.expectEmit(address(registry));
        emit IMemberRegistry.Exited(alice, 30e18, GRANT);
        vm.prank(alice);
        registry.finishExit();
        assertEq(token.balanceOf(alice), 30e18, "paid");
        assertEq(token.totalSupply(), 30e18, "grant burned");
        assertEq(registry.totalStake(), 0, "total");
        _assertStatus(alice, IMemberRegistry.Status.None, "may apply again");
    }

    // --- updatePeer ---------------------------------------------------------------------------------------------------

    function test_updatePeer() public {
        vm.expectRevert(_wrongStatus(alice, IMemberRegistry.Status.None, IMemberRegistry.Status.Active));
        vm.prank(alice);
        registry.updatePeer(hex"01", keccak256("key"));
        _admit(alice);
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.PeerIdTooLong.selector, 65, 64));
        vm.prank(alice);
        registry.updatePeer(new bytes(65), 0);
        vm.expectEmit(address(registry));
        emit IMemberRegistry.PeerUpdated(alice, hex"002408012345", keccak256("new key"));
        vm.prank(alice);
        registry.updatePeer(hex"002408012345", keccak256("new key"));
        vm.startPrank(alice);
        registry.startExit();
        registry.updatePeer(new bytes(64), 0); // duties go on in exit
        skip(EXIT_DELAY);
        registry.finishExit();
        vm.expectRevert(_wrongStatus(alice, IMemberRegistry.Status.None, IMemberRegistry.Status.Active));
        registry.updatePeer(hex"01", 0);
        vm.stopPrank();
    }

    // --- the guardian -------------------------------------------------------------------------------------------------

    function test_pause_blocksNewcomersOnly() public {
        _admit(alice);
        _bond(alice, 1e18);
        uint256 application = _apply(prover);
        guardian.set(IGuardian.Entry.Join, true);
        vm.expectRevert(IMemberRegistry.JoiningPaused.selector);
        _apply(makeAddr("bob"));
        vm.expectRevert(IMemberRegistry.JoiningPaused.selector);
        _review(application, 0, 1, false);
        guardian.set(IGuardian.Entry.Join, false);
        _review(application, 0, 3, true);
        _assertStatus(prover, IMemberRegistry.Status.Active, "goes on");
    }

    /// I14: nothing that is paused stops anybody who leaves.
    function test_I14_pauseNeverBlocksAnExit() public {
        _admit(alice);
        for (uint8 entry = 0; entry <= uint8(type(IGuardian.Entry).max); ++entry) {
            guardian.set(IGuardian.Entry(entry), true);
        }
        _bond(alice, 30e18);
        vm.startPrank(alice);
        registry.updatePeer(hex"01", 0);
        registry.startExit();
        skip(EXIT_DELAY);
        registry.finishExit();
        vm.stopPrank();
        assertEq(token.balanceOf(alice), 30e18, "paid");
    }

    function test_otherPausesDoNotStopNewcomers() public {
        guardian.set(IGuardian.Entry.OpenRound, true);
        guardian.set(IGuardian.Entry.Lock, true);
        guardian.set(IGuardian.Entry.Publish, true);
        _admit(alice);
        _assertStatus(alice, IMemberRegistry.Status.Active, "in");
    }

    /// I23: a donation changes nobody's stake.
    function test_I23_donationsAreNotStake() public {
        _admit(alice);
        vm.prank(address(distributor));
        token.mint(address(registry), 5e18);
        assertEq(registry.totalStake(), GRANT, "total");
        vm.prank(alice);
        registry.startExit();
        skip(EXIT_DELAY);
        vm.prank(alice);
        registry.finishExit();
        assertEq(token.balanceOf(alice), 0, "paid");
        assertEq(token.balanceOf(address(registry)), 5e18, "stays");
    }
}
