// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {console} from "forge-std/console.sol";

import {ContributionToken} from "../../src/ContributionToken.sol";
import {MemberRegistry} from "../../src/MemberRegistry.sol";
import {IMemberRegistry} from "../../src/interfaces/IMemberRegistry.sol";
import {TestBase} from "../utils/TestBase.sol";
import {MembershipHandler} from "./MembershipHandler.sol";

/// @notice What holds of members, grants, stakes and seats after any sequence of acts; I14 and the outcome of every single act
/// are asserted by the handler.
contract MembershipInvariantsTest is TestBase {
    MembershipHandler private _handler;
    ContributionToken private _token;
    MemberRegistry private _registry;

    function setUp() public {
        _handler = new MembershipHandler();
        (address t, address r) = _handler.contracts();
        _token = ContributionToken(t);
        _registry = MemberRegistry(r);
        bytes4[] memory acts = new bytes4[](17);
        acts[0] = MembershipHandler.applyToJoin.selector;
        acts[1] = MembershipHandler.review.selector;
        acts[2] = MembershipHandler.reviewByAll.selector;
        acts[3] = MembershipHandler.veto.selector;
        acts[4] = MembershipHandler.admit.selector;
        acts[5] = MembershipHandler.play.selector;
        acts[6] = MembershipHandler.vest.selector;
        acts[7] = MembershipHandler.slash.selector;
        acts[8] = MembershipHandler.ban.selector;
        acts[9] = MembershipHandler.bond.selector;
        acts[10] = MembershipHandler.startExit.selector;
        acts[11] = MembershipHandler.finishExit.selector;
        acts[12] = MembershipHandler.setSeat.selector;
        acts[13] = MembershipHandler.renewSeats.selector;
        acts[14] = MembershipHandler.pause.selector;
        acts[15] = MembershipHandler.wait.selector;
        acts[16] = MembershipHandler.vetoByTwo.selector;
        targetContract(address(_handler));
        targetSelector(FuzzSelector({addr: address(_handler), selectors: acts}));
    }

    function invariant_I1_I4_I13_I20_membership() public view {
        _I1_I20_supply();
        _I4_registryIsSolvent();
        _I13_penalties();
        _grantsVestAtMostOnce();
        _seatsAreHeldOnce();
        _I20_admissionsAreLimited();
    }

    function _I1_I20_supply() private view {
        uint256 granted = _registry.grantsMinted();
        assertEq(_token.totalSupply(), _handler.minted() + granted - _handler.burned(), "I1");
        assertLe(_token.totalSupply(), _token.cap(), "I20");
        assertEq(granted, _handler.admissions() * _registry.grant(), "every admission minted one grant");
        assertLe(granted, _registry.grantBudget(), "I20 budget");
    }

    function _I4_registryIsSolvent() private view {
        uint256 stakes = 0;
        uint256 eligible = 0;
        for (uint256 i = 0; i < _handler.ACCOUNTS(); ++i) {
            address account = _handler.accountAt(i);
            IMemberRegistry.Status status = _registry.statusOf(account);
            uint256 stake = _registry.stakeOf(account);
            stakes += stake;
            assertLe(_registry.unvestedOf(account), stake, "the grant is part of the stake");
            if (status == IMemberRegistry.Status.Active && stake >= _registry.minBond()) ++eligible;
            if (status != IMemberRegistry.Status.Active && status != IMemberRegistry.Status.Exiting) {
                assertEq(stake, 0, "only members have a stake");
            }
            assertEq(status == IMemberRegistry.Status.Banned, _handler.banned(account), "banned for ever");
        }
        assertEq(_registry.totalStake(), stakes, "sum of stakes");
        assertEq(_token.balanceOf(address(_registry)), stakes, "I4");
        assertEq(_registry.eligibleCount(), eligible, "eligible members are counted");
    }

    function _I13_penalties() private view {
        assertLe(_handler.bounties() * 2, _handler.slashed(), "I13");
    }

    function _grantsVestAtMostOnce() private view {
        for (uint256 i = 0; i < _handler.ACCOUNTS(); ++i) {
            address account = _handler.accountAt(i);
            if (_registry.unvestedOf(account) == 0) continue;
            uint256 accounted = _handler.vestedOfGrant(account) + _registry.unvestedOf(account);
            assertLe(accounted, _registry.grant(), "vested and unvested are at most the grant");
        }
    }

    function _seatsAreHeldOnce() private view {
        uint256 count = _registry.seatCount();
        for (uint256 seat = 0; seat < count; ++seat) {
            address holder = _registry.seatHolder(seat);
            (address sitting, uint40 expiresAt) = _registry.seatOf(seat);
            assertEq(holder, block.timestamp < expiresAt ? sitting : address(0), "expired seats are empty");
            assertLe(expiresAt, block.timestamp + 365 days, "terms are bounded");
            for (uint256 other = 0; other < seat; ++other) {
                if (holder != address(0)) assertTrue(holder != _registry.seatHolder(other), "one seat a holder");
            }
        }
    }

    function _I20_admissionsAreLimited() private view {
        uint256 elapsed = block.timestamp - _handler.started();
        uint256 most = _handler.BURST() + elapsed * _handler.PER_DAY() / 1 days;
        assertLe(_handler.admissions(), most, "never more than the rate allows");
    }

    /// Random acts reach every outcome: none of the above holds for want of trying.
    function test_handlerReachesEveryOutcome() public {
        for (uint256 i = 0; i < 1500; ++i) {
            uint256 a = uint256(keccak256(abi.encode(i, 1)));
            uint256 b = uint256(keccak256(abi.encode(i, 2)));
            uint256 c = uint256(keccak256(abi.encode(i, 3)));
            _handler.applyToJoin(a);
            _handler.review(a, b, c);
            _handler.reviewByAll(b, c);
            if (i % 8 == 0) _handler.veto(c, a);
            if (i % 16 == 0) _handler.vetoByTwo(b, c);
            _handler.admit(b);
            if (i % 8 == 0) _handler.play();
            _handler.vest(c, b);
            _handler.slash(a, b, c % 2 == 0);
            if (i > 1000) _handler.ban(c, a);
            _handler.bond(b, c);
            _handler.startExit(c, b);
            _handler.finishExit(a);
            _handler.setSeat(a, c, b, c);
            if (i % 8 == 0) _handler.renewSeats();
            _handler.pause(c, b);
            _handler.wait(c);
            if (i % 16 == 0) invariant_I1_I4_I13_I20_membership();
        }
        _report();
        for (uint8 act = 0; act <= uint8(type(MembershipHandler.Act).max); ++act) {
            assertGt(_handler.passed(MembershipHandler.Act(act)), 0, "every act passed");
        }
        assertGt(_handler.limited(), 0, "the rate limit held some back");
        assertGt(_handler.exhausted(), 0, "and the budget");
        assertGt(_handler.vetoedOut(), 0, "vetoes refused some");
        assertGt(_handler.exitsWhilePaused(), 0, "some left while joining was paused");
        assertGt(_handler.bounties(), 0, "bounties");
    }

    function _report() private view {
        string[13] memory names = [
            "apply",
            "review",
            "veto",
            "admit",
            "play",
            "vest",
            "slash",
            "ban",
            "bond",
            "startExit",
            "finishExit",
            "setSeat",
            "pause"
        ];
        for (uint8 act = 0; act < names.length; ++act) {
            MembershipHandler.Act a = MembershipHandler.Act(act);
            console.log("passed, refused:", names[act], _handler.passed(a), _handler.refused(a));
        }
        console.log("held back by rate, by budget:", _handler.limited(), _handler.exhausted());
        console.log("vetoed out, left while paused:", _handler.vetoedOut(), _handler.exitsWhilePaused());
    }
}
