// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IGuardian} from "../../src/interfaces/IGuardian.sol";
import {IMemberRegistry} from "../../src/interfaces/IMemberRegistry.sol";
import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {Community} from "../utils/Community.sol";

/// @notice Grants vest by fifths, once per accepted update of a finalised round.
contract MemberRegistryVestingTest is Community {
    uint256 private constant SIZE = 4;
    uint256 private _rejected = type(uint256).max;

    function setUp() public {
        _deploy(_defaults());
        _admitMany(SIZE);
    }

    function _truth(uint256 index) internal view override returns (uint256) {
        return index == _rejected ? GAIN_OFFSET : super._truth(index);
    }

    function _slash(address account, uint16 bps) private {
        vm.prank(registry.court());
        registry.slash(account, bps, 1, 9, address(0));
    }

    // --- what vests ---------------------------------------------------------------------------------------------------

    function test_fiveAcceptedUpdatesVestAGrant() public {
        address member = members[1];
        for (uint256 fifth = 1; fifth <= 5; ++fifth) {
            uint256 round = _toFinalized(SIZE);
            uint256 left = GRANT - fifth * 20e18;
            vm.expectEmit(address(registry));
            emit IMemberRegistry.Vested(member, round, 1, 20e18, left);
            vm.prank(makeAddr("anybody"));
            assertEq(registry.vest(round, 1), 20e18, "a fifth");
            assertTrue(registry.isVested(round, 1), "marked");
            assertFalse(registry.isVested(round, 2), "only this one");
            assertEq(registry.unvestedOf(member), left, "unvested");
            assertEq(registry.stakeOf(member), GRANT, "the stake stays");
        }
        assertEq(registry.totalStake(), SIZE * GRANT, "total");
        uint256 sixth = _toFinalized(SIZE);
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.NothingToVest.selector, member));
        registry.vest(sixth, 1);
        vm.startPrank(member);
        registry.startExit();
        skip(EXIT_DELAY);
        registry.finishExit();
        vm.stopPrank();
        assertEq(token.balanceOf(member), GRANT, "vested tokens are its own");
    }

    /// 103 units: 20, 20, 20, 20, 23.
    function test_theLastFifthTakesTheRemainder() public {
        IMemberRegistry.Params memory p = _membership();
        p.grant = 103;
        p.minBond = 1;
        _deploy(_defaults(), p);
        delete members;
        _admitMany(3);
        uint256[5] memory expected = [uint256(20), 20, 20, 20, 23];
        for (uint256 i = 0; i < 5; ++i) {
            assertEq(registry.vest(_toFinalized(3), 0), expected[i], "fifth");
        }
        assertEq(registry.unvestedOf(members[0]), 0, "all");
    }

    /// A grant of fewer units than fifths vests at once.
    function test_aTinyGrantVestsWhole() public {
        IMemberRegistry.Params memory p = _membership();
        p.grant = 4;
        p.minBond = 1;
        _deploy(_defaults(), p);
        delete members;
        _admitMany(3);
        assertEq(registry.vest(_toFinalized(3), 0), 4, "all");
    }

    /// A penalty of 35 % leaves 65 unvested: 20, 20, 20, 5.
    function test_afterAPenaltyOnlyWhatRemainsVests() public {
        address member = members[0];
        _slash(member, 3500);
        uint256[4] memory expected = [uint256(20e18), 20e18, 20e18, 5e18];
        for (uint256 i = 0; i < 4; ++i) {
            assertEq(registry.vest(_toFinalized(SIZE), 0), expected[i], "fifth");
        }
        assertEq(registry.unvestedOf(member), 0, "all that was left");
        assertEq(registry.stakeOf(member), 65e18, "stake");
    }

    /// What has vested is the member's own, so penalties take it first, and the prover shares in it.
    function test_I13_vestedTokensAreOwnTokens() public {
        registry.vest(_toFinalized(SIZE), 0);
        address prover = makeAddr("prover");
        vm.prank(registry.court());
        registry.slash(members[0], 3000, 1, 9, prover);
        assertEq(token.balanceOf(prover), 10e18, "half of the 20 that had vested");
        assertEq(registry.unvestedOf(members[0]), 70e18, "10 of the grant");
    }

    function test_vestsInExitButNotAfter() public {
        uint256 round = _toFinalized(SIZE);
        uint256 later = _toFinalized(SIZE);
        vm.startPrank(members[0]);
        registry.startExit();
        assertEq(registry.vest(round, 0), 20e18, "its accepted work counts");
        skip(EXIT_DELAY);
        registry.finishExit();
        vm.stopPrank();
        assertEq(token.balanceOf(members[0]), 20e18, "paid");
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.NothingToVest.selector, members[0]));
        registry.vest(later, 0);
    }

    function test_pauseDoesNotStopVesting() public {
        uint256 round = _toFinalized(SIZE);
        guardian.set(IGuardian.Entry.Join, true);
        assertEq(registry.vest(round, 0), 20e18, "vests");
    }

    /// Invariant of one grant: whatever comes in between, vested and slashed make up what is gone, and nothing vests twice.
    function testFuzz_vestingAndPenalties(uint256 grant, uint16[6] memory penalties) public {
        IMemberRegistry.Params memory p = _membership();
        p.grant = uint96(bound(grant, 1, 1e18));
        p.minBond = 1;
        _deploy(_defaults(), p);
        delete members;
        _admitMany(3);
        uint256 vested = 0;
        for (uint256 i = 0; i < 6; ++i) {
            uint256 unvested = registry.unvestedOf(members[0]);
            uint256 stake = registry.stakeOf(members[0]);
            uint256 own = stake - unvested;
            uint16 bps = uint16(bound(penalties[i], 0, 4000));
            _slash(members[0], bps);
            uint256 loss = stake - registry.stakeOf(members[0]);
            uint256 left = unvested - (loss > own ? loss - own : 0);
            assertEq(registry.unvestedOf(members[0]), left, "own tokens first");
            uint256 round = _toVerdicts();
            if (left == 0) continue;
            vm.mockCall(
                address(rounds),
                abi.encodeCall(rounds.phaseOf, (round)),
                abi.encode(IRoundManager.Phase.Finalized, uint40(0))
            );
            vested = registry.vest(round, 0);
            vm.clearMockedCalls();
            assertLe(vested, left, "at most what remains");
            assertLe(vested, p.grant / 5 + 4, "at most a fifth and the remainder");
            assertGe(vested, left < p.grant / 5 ? left : p.grant / 5, "at least a fifth, or all");
            assertEq(registry.unvestedOf(members[0]), left - vested, "unvested");
        }
        if (p.grant > 5) assertTrue(registry.unvestedOf(members[0]) == 0, "six updates are enough for any");
    }

    /// A round that its RoundManager would say to have accepted update 0, of member 0.
    function _toVerdicts() private returns (uint256 round) {
        round = rounds.currentRound() + 1;
        (IRoundManager.Phase last,) = rounds.phaseOf(round - 1);
        if (last < IRoundManager.Phase.Finalized) _expire(round - 1);
        skip(1 hours + 1);
        vm.mockCall(
            address(rounds),
            abi.encodeCall(rounds.resultOf, (round, 0)),
            abi.encode(IRoundManager.UpdateStatus.Accepted, int32(5000), uint32(5000), false, false)
        );
        vm.mockCall(address(rounds), abi.encodeCall(rounds.ownerOf, (round, 0)), abi.encode(members[0]));
        rounds.openRound(0);
    }

    // --- what does not ------------------------------------------------------------------------------------------------

    function test_RevertWhen_vestedBefore() public {
        uint256 round = _toFinalized(SIZE);
        registry.vest(round, 0);
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.AlreadyVested.selector, round, 0));
        registry.vest(round, 0);
        registry.vest(round, 1); // another update of the same round
    }

    function test_RevertWhen_theRoundIsNotFinalized() public {
        uint256 round = _toChallenge(SIZE);
        vm.expectRevert(_notFinalized(round, IRoundManager.Phase.Challenge));
        registry.vest(round, 0);
        _expire(round);
        registry.vest(round, 0);
        uint256 voided = _toAttest(SIZE);
        _expire(voided);
        vm.expectRevert(_notFinalized(voided, IRoundManager.Phase.Voided));
        registry.vest(voided, 0);
        vm.expectRevert(_notFinalized(voided + 1, IRoundManager.Phase.None));
        registry.vest(voided + 1, 0);
    }

    function _notFinalized(uint256 round, IRoundManager.Phase actual) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IMemberRegistry.RoundNotFinalized.selector, round, actual);
    }

    function test_RevertWhen_genesisOrOffTheRing() public {
        uint256 round = _toFinalized(SIZE);
        vm.expectRevert();
        registry.vest(0, 0);
        vm.expectRevert();
        registry.vest(round, uint16(SIZE));
    }

    function test_RevertWhen_theUpdateIsForfeited() public {
        uint256 round = _toChallenge(SIZE);
        vm.prank(address(court));
        rounds.forfeit(round, 2);
        _expire(round);
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.UpdateIsForfeited.selector, round, 2));
        registry.vest(round, 2);
        assertFalse(registry.isVested(round, 2), "a copy vests nothing");
        registry.vest(round, 1);
    }

    function test_RevertWhen_theUpdateWasNotAccepted() public {
        _rejected = 2;
        uint256 round = _toFinalized(SIZE);
        vm.expectRevert(
            abi.encodeWithSelector(
                IMemberRegistry.UpdateNotAccepted.selector, round, 2, IRoundManager.UpdateStatus.Rejected
            )
        );
        registry.vest(round, 2);
    }

    /// Who leaves and comes back has a new grant: the work of its former life does not vest it.
    function test_RevertWhen_theWorkIsOlderThanTheGrant() public {
        uint256 old = _toFinalized(SIZE);
        address member = members[0];
        vm.startPrank(member);
        registry.startExit();
        skip(EXIT_DELAY);
        registry.finishExit();
        vm.stopPrank();
        _admit(member);
        assertEq(registry.admittedIn(member), old, "admitted after it");
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.OlderThanGrant.selector, old, old));
        registry.vest(old, 0);
        rounds.openRound(0); // the steward's time is over
        _expire(old + 1);
        uint256 round = _toFinalized(SIZE);
        assertEq(registry.vest(round, 0), 20e18, "new work does");
    }
}
