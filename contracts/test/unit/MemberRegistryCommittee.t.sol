// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IGuardian} from "../../src/interfaces/IGuardian.sol";
import {IMemberRegistry} from "../../src/interfaces/IMemberRegistry.sol";
import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {Community} from "../utils/Community.sol";

/// @notice Probation and veto, the rate limit, the budget of grants, and the seats, with the settings of a public network.
contract MemberRegistryCommitteeTest is Community {
    uint40 private constant WINDOW = 2 days;
    uint16 private constant BURST = 3;
    uint16 private constant PER_DAY = 2;

    address private alice = makeAddr("alice");
    address private bob = makeAddr("bob");

    function setUp() public {
        IMemberRegistry.Params memory p = _membership();
        p.vetoWindow = WINDOW;
        p.admissionBurst = BURST;
        p.admissionsPerDay = PER_DAY;
        p.grantBudget = 6 * GRANT + 1;
        _deploy(_defaults(), p);
    }

    function _approved(address account) private returns (uint256 application) {
        application = _apply(account);
        _review(application, 0, 3, true);
    }

    function _veto(uint256 application, uint256 seat) private {
        vm.prank(seats[seat]);
        registry.veto(application, keccak256("why"));
    }

    function _assertState(uint256 application, IMemberRegistry.ApplicationState expected) private view {
        (, IMemberRegistry.ApplicationState state,,) = registry.applicationOf(application);
        assertEq(uint256(state), uint256(expected), "state");
    }

    function _notInProbation(uint256 application, IMemberRegistry.ApplicationState actual)
        private
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(IMemberRegistry.NotInProbation.selector, application, actual);
    }

    // --- probation and veto -------------------------------------------------------------------------------------------

    function test_approvalStartsAProbation() public {
        uint256 application = _apply(alice);
        _review(application, 0, 2, true);
        uint40 admitAt = uint40(block.timestamp) + WINDOW;
        vm.expectEmit(address(registry));
        emit IMemberRegistry.Reviewed(application, seats[2], true, keccak256("reason"));
        vm.expectEmit(address(registry));
        emit IMemberRegistry.ProbationStarted(application, alice, admitAt);
        _review(application, 2, 1, true);
        _assertStatus(alice, IMemberRegistry.Status.Probation, "status");
        _assertState(application, IMemberRegistry.ApplicationState.Probation);
        assertEq(registry.stakeOf(alice) + registry.eligibleCount() + token.totalSupply(), 0, "nothing minted");
        (uint40 until, uint8 vetoes) = registry.probationOf(application);
        assertEq(until, admitAt, "until");
        assertEq(vetoes, 0, "vetoes");
        vm.expectRevert(
            abi.encodeWithSelector(
                IMemberRegistry.WrongStatus.selector,
                alice,
                IMemberRegistry.Status.Probation,
                IMemberRegistry.Status.None
            )
        );
        _apply(alice);
        vm.expectRevert(
            abi.encodeWithSelector(
                IMemberRegistry.ApplicationNotOpen.selector, application, IMemberRegistry.ApplicationState.Probation
            )
        );
        _review(application, 3, 1, true);
    }

    function test_anybodyAdmitsOnceTheWindowIsOver() public {
        uint256 application = _approved(alice);
        uint256 admitAt = block.timestamp + WINDOW;
        vm.warp(admitAt - 1);
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.VetoWindowOpen.selector, admitAt, admitAt - 1));
        registry.admit(application);
        vm.warp(admitAt);
        vm.expectEmit(address(registry));
        emit IMemberRegistry.Admitted(application, alice, GRANT);
        vm.prank(bob);
        registry.admit(application);
        _assertStatus(alice, IMemberRegistry.Status.Active, "status");
        assertEq(registry.stakeOf(alice), GRANT, "stake");
        assertEq(registry.unvestedOf(alice), GRANT, "unvested");
        assertEq(registry.eligibleCount(), 1, "eligible");
        assertFalse(registry.isEligible(alice, admitAt), "from the next second on");
        assertTrue(registry.isEligible(alice, admitAt + 1), "from the next second on");
        vm.expectRevert(_notInProbation(application, IMemberRegistry.ApplicationState.Approved));
        registry.admit(application);
    }

    function test_admit_RevertWhen_nobodyApproved() public {
        uint256 application = _apply(alice);
        vm.expectRevert(_notInProbation(application, IMemberRegistry.ApplicationState.Open));
        registry.admit(application);
        vm.expectRevert(_notInProbation(9, IMemberRegistry.ApplicationState.None));
        registry.admit(9);
        vm.expectRevert(_notInProbation(application, IMemberRegistry.ApplicationState.Open));
        _veto(application, 0);
    }

    function test_enoughVetoesRefuse() public {
        uint256 application = _approved(alice);
        vm.expectEmit(address(registry));
        emit IMemberRegistry.Vetoed(application, seats[0], keccak256("why"));
        _veto(application, 0); // who approved may think again
        _assertStatus(alice, IMemberRegistry.Status.Probation, "one is not enough");
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.AlreadyVetoed.selector, application, seats[0]));
        _veto(application, 0);
        (, uint8 vetoes) = registry.probationOf(application);
        assertEq(vetoes, 1, "counted once");
        vm.warp(block.timestamp + WINDOW - 1);
        vm.expectEmit(address(registry));
        emit IMemberRegistry.Rejected(application, alice);
        _veto(application, 4);
        _assertStatus(alice, IMemberRegistry.Status.None, "refused");
        _assertState(application, IMemberRegistry.ApplicationState.Refused);
        skip(WINDOW);
        vm.expectRevert(_notInProbation(application, IMemberRegistry.ApplicationState.Refused));
        registry.admit(application);
        vm.expectRevert(_notInProbation(application, IMemberRegistry.ApplicationState.Refused));
        _veto(application, 3);
        assertEq(token.totalSupply(), 0, "no grant");
        uint256 again = _approved(alice);
        assertEq(again, application + 1, "may apply again, from scratch");
        (, vetoes) = registry.probationOf(again);
        assertEq(vetoes, 0, "from scratch");
    }

    function test_veto_RevertWhen_theWindowIsOver() public {
        uint256 application = _approved(alice);
        _veto(application, 0);
        uint256 admitAt = block.timestamp + WINDOW;
        vm.warp(admitAt);
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.VetoWindowOver.selector, admitAt, admitAt));
        _veto(application, 1);
    }

    function test_veto_RevertWhen_noSeat() public {
        uint256 application = _approved(alice);
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.NotSeatHolder.selector, alice));
        vm.prank(alice);
        registry.veto(application, 0);
    }

    function test_pauseStopsAdmissionsNotVetoes() public {
        uint256 application = _approved(alice);
        uint256 other = _approved(bob);
        guardian.set(IGuardian.Entry.Join, true);
        _veto(application, 0);
        _veto(application, 1);
        _assertStatus(alice, IMemberRegistry.Status.None, "refused");
        skip(WINDOW);
        vm.expectRevert(IMemberRegistry.JoiningPaused.selector);
        registry.admit(other);
        guardian.set(IGuardian.Entry.Join, false);
        registry.admit(other);
    }

    function test_banInProbation() public {
        uint256 application = _approved(alice);
        vm.prank(registry.court());
        registry.ban(alice);
        bytes memory refusal = abi.encodeWithSelector(
            IMemberRegistry.WrongStatus.selector, alice, IMemberRegistry.Status.Banned, IMemberRegistry.Status.Probation
        );
        vm.expectRevert(refusal);
        _veto(application, 0);
        skip(WINDOW);
        vm.expectRevert(refusal);
        registry.admit(application);
        _assertStatus(alice, IMemberRegistry.Status.Banned, "for ever");
    }

    // --- rate limit ---------------------------------------------------------------------------------------------------

    function _approvedMany(uint256 count) private returns (uint256[] memory applications) {
        applications = new uint256[](count);
        for (uint256 i = 0; i < count; ++i) {
            applications[i] = _approved(makeAddr(string.concat("newcomer ", vm.toString(i))));
        }
        skip(WINDOW);
    }

    function test_admissionsAreLimited() public {
        uint256[] memory applications = _approvedMany(6);
        uint256 start = block.timestamp;
        for (uint256 i = 0; i < BURST; ++i) {
            assertEq(registry.nextAdmissionAt(), start, "at once");
            registry.admit(applications[i]);
        }
        // Two a day: the bucket of three is empty, one more comes in twelve hours.
        for (uint256 i = BURST; i < 6; ++i) {
            uint256 next = start + (i + 1 - BURST) * 12 hours;
            assertEq(registry.nextAdmissionAt(), next, "says when");
            vm.warp(next - 1);
            vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.AdmissionsLimited.selector, next, next - 1));
            registry.admit(applications[i]);
            _assertState(applications[i], IMemberRegistry.ApplicationState.Probation);
            vm.warp(next);
            registry.admit(applications[i]);
        }
        assertEq(registry.eligibleCount(), 6, "all in");
    }

    function test_theBucketHoldsNoMoreThanItsBurst() public {
        uint256[] memory applications = _approvedMany(BURST + 1);
        skip(300 days);
        for (uint256 i = 0; i < BURST; ++i) {
            registry.admit(applications[i]);
        }
        uint256 next = block.timestamp + 12 hours;
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.AdmissionsLimited.selector, next, block.timestamp));
        registry.admit(applications[BURST]);
    }

    /// Never more in any time than the burst and the rate allow, and what `nextAdmissionAt` says is true.
    function testFuzz_admissionsAreLimited(uint16 burst, uint16 perDay, uint32[8] memory pauses) public {
        IMemberRegistry.Params memory p = _membership();
        p.admissionBurst = uint16(bound(burst, 1, 3));
        p.admissionsPerDay = uint16(bound(perDay, 1, 5000));
        _deploy(_defaults(), p);
        uint256 start = block.timestamp;
        for (uint256 i = 0; i < pauses.length; ++i) {
            skip(bound(pauses[i], 0, 2 days));
            uint256 application = _apply(makeAddr(string.concat("newcomer ", vm.toString(i))));
            _review(application, 0, 2, true);
            uint256 next = registry.nextAdmissionAt();
            if (next > block.timestamp) {
                vm.expectRevert(
                    abi.encodeWithSelector(IMemberRegistry.AdmissionsLimited.selector, next, block.timestamp)
                );
                _review(application, 2, 1, true);
                vm.warp(next);
            }
            _review(application, 2, 1, true);
            uint256 allowed = p.admissionBurst + (block.timestamp - start) * p.admissionsPerDay / 1 days;
            assertLe(i + 1, allowed, "rate");
        }
    }

    /// Without a veto window it is the approving review that waits; the seat's vote is not lost.
    function test_aLimitedReviewCanBeSentAgain() public {
        IMemberRegistry.Params memory p = _membership();
        p.admissionBurst = 1;
        p.admissionsPerDay = 1;
        _deploy(_defaults(), p);
        _admit(alice);
        uint256 application = _apply(bob);
        _review(application, 0, 2, true);
        uint256 next = block.timestamp + 1 days;
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.AdmissionsLimited.selector, next, block.timestamp));
        _review(application, 2, 1, true);
        _assertState(application, IMemberRegistry.ApplicationState.Open);
        _assertStatus(bob, IMemberRegistry.Status.Applied, "waits");
        vm.warp(next);
        _review(application, 2, 1, true);
        _assertStatus(bob, IMemberRegistry.Status.Active, "in");
    }

    // --- budget -------------------------------------------------------------------------------------------------------

    /// I20: what burns does not come back, so all grants together never exceed the budget.
    function test_I20_grantsEndWithTheBudget() public {
        uint256[] memory applications = _approvedMany(7);
        for (uint256 i = 0; i < 6; ++i) {
            skip(1 days);
            registry.admit(applications[i]);
            (address applicant,,,) = registry.applicationOf(applications[i]);
            vm.prank(registry.court());
            registry.slash(applicant, 10_000, 1, 1, address(0));
        }
        assertEq(token.totalSupply(), 0, "all burned");
        assertEq(registry.grantsMinted(), 6 * GRANT, "all minted");
        skip(1 days);
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.GrantBudgetExhausted.selector, 7 * GRANT, 6 * GRANT + 1));
        registry.admit(applications[6]);
        _assertState(applications[6], IMemberRegistry.ApplicationState.Probation);
    }

    // --- seats --------------------------------------------------------------------------------------------------------

    function _setSeat(uint256 seat, address holder, uint256 expiresAt) private {
        vm.prank(timelock);
        registry.setSeat(seat, holder, uint40(expiresAt));
    }

    function _expired(uint256 seat, uint256 expiresAt) private view returns (bytes memory) {
        return abi.encodeWithSelector(IMemberRegistry.SeatExpired.selector, seat, expiresAt, block.timestamp);
    }

    function test_setSeat_RevertWhen_notTheTimelock() public {
        address[4] memory callers = [seats[0], treasury, registry.court(), address(guardian)];
        for (uint256 i = 0; i < callers.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.NotTimelock.selector, callers[i], timelock));
            vm.prank(callers[i]);
            registry.setSeat(0, alice, uint40(block.timestamp + 1 days));
        }
    }

    function test_seats_RevertWhen_outOfRange() public {
        bytes memory refusal = abi.encodeWithSelector(IMemberRegistry.NoSuchSeat.selector, 5, 5);
        vm.expectRevert(refusal);
        registry.seatHolder(5);
        vm.expectRevert(refusal);
        registry.seatOf(5);
        vm.expectRevert(refusal);
        _setSeat(5, alice, block.timestamp + 1 days);
    }

    function test_setSeat_RevertWhen_theTermIsBad() public {
        uint256 t = block.timestamp;
        uint256[3] memory terms = [t, 0, t + 365 days + 1];
        for (uint256 i = 0; i < terms.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.BadTerm.selector, terms[i], t + 1, t + 365 days));
            _setSeat(0, alice, terms[i]);
        }
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.BadTerm.selector, t + 1, 0, 0));
        _setSeat(0, address(0), t + 1);
        _setSeat(0, alice, t + 1);
        _setSeat(1, bob, t + 365 days);
    }

    function test_setSeat_RevertWhen_theHolderHasAnother() public {
        uint256 term = block.timestamp + 10 days;
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.SeatTaken.selector, seats[3], 3));
        _setSeat(0, seats[3], term);
        vm.warp(block.timestamp + SEAT_TERM); // an expired one counts too
        term = block.timestamp + 10 days;
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.SeatTaken.selector, seats[3], 3));
        _setSeat(0, seats[3], term);
        _setSeat(3, address(0), 0);
        _setSeat(0, seats[3], term);
        assertEq(registry.seatHolder(0), seats[3], "moved");
        assertEq(registry.seatHolder(3), address(0), "empty");
        _setSeat(3, seats[0], term); // whom it replaced holds none
    }

    function test_setSeat_replacesAndRenews() public {
        uint256 application = _apply(bob);
        uint256 term = block.timestamp + 10 days;
        vm.expectEmit(address(registry));
        emit IMemberRegistry.SeatSet(0, alice, uint40(term));
        _setSeat(0, alice, term);
        (address holder, uint40 expiresAt) = registry.seatOf(0);
        assertEq(holder, alice, "holder");
        assertEq(expiresAt, term, "term");
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.NotSeatHolder.selector, seats[0]));
        _review(application, 0, 1, true);
        vm.prank(alice);
        registry.review(application, true, 0);
        _setSeat(0, alice, term + 1 days); // renewed
        assertEq(registry.seatHolder(0), alice, "renewed");
        vm.warp(term);
        assertEq(registry.seatHolder(0), alice, "renewed");
    }

    /// A vote belongs to its seat: handing the seat on does not give another.
    function test_aSeatVotesOnceWhoeverHoldsIt() public {
        uint256 application = _apply(bob);
        _review(application, 0, 1, true);
        _setSeat(0, alice, block.timestamp + 10 days);
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.AlreadyReviewed.selector, application, alice));
        vm.prank(alice);
        registry.review(application, true, 0);
        _review(application, 1, 2, true);
        vm.prank(alice);
        registry.veto(application, 0);
        _setSeat(0, seats[0], block.timestamp + 10 days);
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.AlreadyVetoed.selector, application, seats[0]));
        _veto(application, 0);
    }

    function test_anExpiredSeatHasNoPower() public {
        uint256 application = _apply(alice);
        uint256 other = _approved(bob);
        uint256 expiresAt = block.timestamp + SEAT_TERM;
        vm.warp(expiresAt - 1);
        assertEq(registry.seatHolder(0), seats[0], "until the last second");
        _review(application, 0, 1, true);
        vm.warp(expiresAt);
        assertEq(registry.seatHolder(0), address(0), "expired");
        (address holder,) = registry.seatOf(0);
        assertEq(holder, seats[0], "still on record");
        vm.expectRevert(_expired(1, expiresAt));
        _review(application, 1, 1, true);
        vm.expectRevert(_expired(1, expiresAt));
        _veto(other, 1);
        registry.admit(other); // what was approved in time goes on without a committee
    }

    function test_noStewardMeansAnUnsealedRound() public {
        _setSeat(1, address(0), 0);
        bytes32 slice = keccak256("slice");
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.NotSteward.selector, seats[1], address(0)));
        vm.prank(seats[1]);
        rounds.openRound(slice);
        skip(1 hours + 1);
        assertEq(rounds.openRound(0), 1, "anybody, unsealed");
    }
}
