// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IMemberRegistry} from "../../src/interfaces/IMemberRegistry.sol";
import {Membership} from "../utils/Membership.sol";

/// @notice Penalties and bans: out of which part, who is paid, what a member is afterwards.
contract MemberRegistryPenaltiesTest is Membership {
    // --- slash --------------------------------------------------------------------------------------------------------

    function test_slash_RevertWhen_notTheCourt() public {
        address[3] memory callers = [seats[0], timelock, address(guardian)];
        for (uint256 i = 0; i < callers.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.NotCourt.selector, callers[i], _court));
            vm.prank(callers[i]);
            registry.slash(alice, 100, 1, 1, address(0));
        }
    }

    function test_slash_RevertWhen_moreThanAll() public {
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.PenaltyAboveWhole.selector, 10_001, 10_000));
        _slash(alice, 10_001, address(0));
    }

    function test_I13_slash_burnsHalfOfTheOwnPartAndPaysHalf() public {
        _admit(alice);
        _bond(alice, 100e18);
        vm.expectEmit(address(registry));
        emit IMemberRegistry.Slashed(alice, 9, 1, 4e18, 2e18, 2e18, prover, 196e18);
        assertEq(_slash(alice, 200, prover), 4e18, "amount");
        assertEq(token.balanceOf(prover), 2e18, "bounty");
        assertEq(token.totalSupply(), 198e18, "burned");
        assertEq(registry.stakeOf(alice), 196e18, "stake");
    }

    function test_I13_slash_burnsTheUnvestedPartWhole() public {
        _admit(alice);
        vm.expectEmit(address(registry));
        emit IMemberRegistry.Slashed(alice, 9, 1, 2e18, 2e18, 0, prover, 98e18);
        assertEq(_slash(alice, 200, prover), 2e18, "amount");
        assertEq(token.balanceOf(prover), 0, "no bounty out of a grant");
        assertEq(token.totalSupply(), 98e18, "burned");
    }

    /// Three units of its own and a grant: the penalty takes them all and more, the bounty is half of the three.
    function test_I13_slash_paysOutOfTheOwnPartOnly() public {
        _admit(alice);
        _bond(alice, 3);
        uint256 amount = _slash(alice, 5000, prover);
        assertEq(amount, 50e18 + 2, "half of everything, rounded up");
        assertEq(token.balanceOf(prover), 1, "half of 3, rounded down");
        assertEq(registry.unvestedOf(alice), registry.stakeOf(alice), "nothing of its own is left");
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
        uint256 own = stake - registry.unvestedOf(alice);
        uint256 amount = _slash(alice, bps, hasProver ? prover : address(0));
        assertLe(amount, stake, "at most the stake");
        assertGe(amount * 10_000, stake * bps, "rounded up");
        assertLt(amount * 10_000, stake * bps + 10_000, "by less than one unit");
        uint256 burned = supply - token.totalSupply();
        assertEq(burned + token.balanceOf(prover), amount, "burned + bounty");
        assertEq(token.balanceOf(prover), hasProver ? _min(amount, own) / 2 : 0, "half of the own part");
        assertEq(registry.unvestedOf(alice), _min(GRANT, stake - amount), "own tokens go first");
        assertEq(registry.totalStake(), stake - amount, "total");
        assertEq(token.balanceOf(address(registry)), stake - amount, "I4 solvent");
    }

    function _min(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }

    // --- ban ----------------------------------------------------------------------------------------------------------

    function _ban(address account) private {
        vm.prank(_court);
        registry.ban(account);
    }

    function test_ban_RevertWhen_notTheCourt() public {
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.NotCourt.selector, timelock, _court));
        vm.prank(timelock);
        registry.ban(alice);
    }

    function test_ban_afterAWholePenaltyIsForEver() public {
        _admit(alice);
        _slash(alice, 10_000, prover);
        vm.expectEmit(address(registry));
        emit IMemberRegistry.Banned(alice, 0);
        _ban(alice);
        _assertStatus(alice, IMemberRegistry.Status.Banned, "status");
        assertEq(registry.eligibleCount(), 0, "counted out once");
        vm.expectRevert(_wrongStatus(alice, IMemberRegistry.Status.Banned, IMemberRegistry.Status.None));
        _apply(alice);
        skip(3650 days);
        vm.expectRevert(_wrongStatus(alice, IMemberRegistry.Status.Banned, IMemberRegistry.Status.None));
        _apply(alice);
    }

    function test_ban_burnsWhatIsLeft() public {
        _admit(alice);
        _bond(alice, 30e18);
        vm.expectEmit(address(registry));
        emit IMemberRegistry.Banned(alice, GRANT + 30e18);
        _ban(alice);
        assertEq(token.totalSupply(), 0, "burned");
        assertEq(registry.stakeOf(alice) + registry.unvestedOf(alice) + registry.totalStake(), 0, "nothing left");
        assertEq(registry.eligibleCount(), 0, "not eligible");
        assertFalse(registry.isEligible(alice, block.timestamp + 1), "not eligible");
        uint256 logs = _logsOf(alice);
        assertEq(logs, 0, "banned once: the second time nothing happens");
        vm.expectRevert(_wrongStatus(alice, IMemberRegistry.Status.Banned, IMemberRegistry.Status.Active));
        vm.prank(alice);
        registry.startExit();
        vm.expectRevert(_wrongStatus(alice, IMemberRegistry.Status.Banned, IMemberRegistry.Status.Active));
        vm.prank(alice);
        registry.bond(0);
    }

    function _logsOf(address account) private returns (uint256) {
        vm.recordLogs();
        _ban(account);
        return vm.getRecordedLogs().length;
    }

    function test_ban_reachesAMemberInExit() public {
        _admit(alice);
        _bond(alice, 30e18);
        vm.prank(alice);
        registry.startExit();
        _ban(alice);
        assertEq(registry.eligibleCount(), 0, "counted out once");
        assertEq(registry.exitAtOf(alice), 0, "no exit");
        skip(EXIT_DELAY);
        vm.expectRevert(_wrongStatus(alice, IMemberRegistry.Status.Banned, IMemberRegistry.Status.Exiting));
        vm.prank(alice);
        registry.finishExit();
        assertEq(token.balanceOf(alice), 0, "paid nothing");
    }

    function test_ban_ofOneBelowTheBondCountsNobodyOut() public {
        _admit(alice);
        _admit(prover);
        _slash(alice, 9000, address(0));
        assertEq(registry.eligibleCount(), 1, "one below the bond");
        _ban(alice);
        assertEq(registry.eligibleCount(), 1, "the other stays");
    }

    /// An application that was open when its applicant was banned can no longer be decided, least of all into a new start.
    function test_ban_reachesAnApplicant() public {
        uint256 application = _apply(alice);
        _review(application, 0, 2, true);
        _ban(alice);
        for (uint256 approve = 0; approve < 2; ++approve) {
            vm.expectRevert(_wrongStatus(alice, IMemberRegistry.Status.Banned, IMemberRegistry.Status.Applied));
            vm.prank(seats[2]);
            registry.review(application, approve == 1, 0);
        }
        assertEq(token.totalSupply(), 0, "no grant");
    }

    function test_ban_reachesAStranger() public {
        _ban(alice);
        vm.expectRevert(_wrongStatus(alice, IMemberRegistry.Status.Banned, IMemberRegistry.Status.None));
        _apply(alice);
        assertEq(_slash(alice, 10_000, prover), 0, "nothing to slash");
    }
}
