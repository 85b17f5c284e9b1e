// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IMemberRegistry} from "../../src/interfaces/IMemberRegistry.sol";
import {Community} from "../utils/Community.sol";

contract MemberRegistryTest is Community {
    address private alice = makeAddr("alice");
    address private prover = makeAddr("prover");

    function setUp() public {
        _deploy(_defaults());
    }

    function _wrongStatus(address account, IMemberRegistry.Status actual, IMemberRegistry.Status expected)
        private
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(IMemberRegistry.WrongStatus.selector, account, actual, expected);
    }

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

    function _fund(address account, uint96 amount) private {
        vm.prank(address(distributor));
        token.mint(account, amount);
        vm.prank(account);
        token.approve(address(registry), amount);
    }

    function _bond(address account, uint96 amount) private {
        _fund(account, amount);
        vm.prank(account);
        registry.bond(amount);
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

    // --- slash --------------------------------------------------------------------------------------------------------

    function _slash(address account, uint16 bps, address by) private returns (uint256) {
        vm.prank(address(court));
        return registry.slash(account, bps, 1, 9, by);
    }

    function test_slash_RevertWhen_notTheCourt() public {
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.NotCourt.selector, seats[0], address(court)));
        vm.prank(seats[0]);
        registry.slash(alice, 100, 1, 1, address(0));
    }

    function test_slash_RevertWhen_moreThanAll() public {
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.PenaltyAboveWhole.selector, 10_001, 10_000));
        _slash(alice, 10_001, address(0));
    }

    function test_I13_slash_burnsHalfAndPaysHalf() public {
        _admit(alice);
        vm.expectEmit(address(registry));
        emit IMemberRegistry.Slashed(alice, 9, 1, 2e18, 1e18, 1e18, prover, 98e18);
        assertEq(_slash(alice, 200, prover), 2e18, "amount");
        assertEq(token.balanceOf(prover), 1e18, "bounty");
        assertEq(token.totalSupply(), 99e18, "burned");
        assertEq(registry.stakeOf(alice), 98e18, "stake");
    }

    function test_slash_burnsAllWithoutProver() public {
        _admit(alice);
        _slash(alice, 10_000, address(0));
        assertEq(token.totalSupply(), 0, "burned");
        assertEq(registry.stakeOf(alice), 0, "stake");
        assertEq(registry.eligibleCount(), 0, "not eligible");
    }

    function test_slash_takesNothingFromNobody() public {
        assertEq(_slash(alice, 10_000, prover), 0, "amount");
        assertEq(token.balanceOf(prover), 0, "bounty");
    }

    function test_slash_takesOwnTokensBeforeTheGrant() public {
        _admit(alice);
        _bond(alice, 100e18);
        _slash(alice, 2500, address(0));
        assertEq(registry.stakeOf(alice), 150e18, "stake");
        assertEq(registry.unvestedOf(alice), GRANT, "grant untouched");
        _slash(alice, 5000, address(0));
        assertEq(registry.unvestedOf(alice), 75e18, "all own tokens gone, then the grant");
    }

    function test_slash_reachesStakeInExit() public {
        _admit(alice);
        _bond(alice, 100e18);
        vm.prank(alice);
        registry.startExit();
        _slash(alice, 2500, prover);
        skip(EXIT_DELAY);
        vm.prank(alice);
        registry.finishExit();
        assertEq(token.balanceOf(alice), 50e18, "100 own less a quarter of 200");
    }

    function test_eligibilityEndsBelowTheBondAndStartsAnew() public {
        _admit(alice);
        uint256 admitted = block.timestamp;
        assertFalse(registry.isEligible(alice, admitted), "not for a round of the same second");
        assertTrue(registry.isEligible(alice, admitted + 1), "for later rounds");
        skip(10);
        _slash(alice, 5000, address(0));
        assertTrue(registry.isEligible(alice, block.timestamp), "exactly the bond is enough");
        _slash(alice, 1, address(0));
        assertFalse(registry.isEligible(alice, block.timestamp), "below the bond");
        assertEq(registry.eligibleCount(), 0, "counted out once");
        _slash(alice, 1, address(0));
        assertEq(registry.eligibleCount(), 0, "still once");
        skip(10);
        _bond(alice, 1e18);
        assertEq(registry.eligibleCount(), 1, "counted in");
        assertFalse(registry.isEligible(alice, block.timestamp), "anew");
        assertTrue(registry.isEligible(alice, block.timestamp + 1), "from the next second");
    }

    function test_bondBelowTheBondDoesNotMakeEligible() public {
        _admit(alice);
        _slash(alice, 9000, address(0));
        _bond(alice, 39e18);
        assertEq(registry.eligibleCount(), 0, "49 of 50");
        vm.prank(alice);
        registry.startExit();
        assertEq(registry.eligibleCount(), 0, "exit of one who was not counted");
    }

    /// I13: no penalty exceeds the stake, burned and bounty make up the amount, and rounding goes against the slashed.
    function testFuzz_I13_slash(uint96 extra, uint16 bps, bool hasProver) public {
        extra = uint96(bound(extra, 1, 1_000_000e18));
        bps = uint16(bound(bps, 0, 10_000));
        _admit(alice);
        _bond(alice, extra);
        uint256 stake = registry.stakeOf(alice);
        uint256 supply = token.totalSupply();
        uint256 amount = _slash(alice, bps, hasProver ? prover : address(0));
        assertLe(amount, stake, "at most the stake");
        assertGe(amount * 10_000, stake * bps, "rounded up");
        assertLt(amount * 10_000, stake * bps + 10_000, "by less than one unit");
        uint256 burned = supply - token.totalSupply();
        assertEq(burned + token.balanceOf(prover), amount, "burned + bounty");
        assertGe(burned, token.balanceOf(prover), "the odd unit burns");
        assertEq(registry.totalStake(), stake - amount, "total");
        assertEq(token.balanceOf(address(registry)), stake - amount, "I4 solvent");
    }

    function test_seatHolder_RevertWhen_outOfRange() public {
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.NoSuchSeat.selector, 5, 5));
        registry.seatHolder(5);
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
