// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {MemberRegistry} from "../src/MemberRegistry.sol";
import {IGuardian} from "../src/interfaces/IGuardian.sol";
import {IMemberRegistry} from "../src/interfaces/IMemberRegistry.sol";
import {IRoundManager} from "../src/interfaces/IRoundManager.sol";
import {Community} from "./utils/Community.sol";

/// @notice The design's threats against membership, one test each: what an attacker tries, and what it gets.
contract ThreatsMembershipTest is Community {
    uint256 private constant SIZE = 4;
    address private mallory = makeAddr("mallory");
    address private sybil = makeAddr("sybil");

    function setUp() public {
        IMemberRegistry.Params memory p = _membership();
        p.vetoWindow = 2 days;
        p.admissionBurst = 4;
        p.admissionsPerDay = 1;
        _deploy(_defaults(), p);
        for (uint256 i = 0; i < SIZE; ++i) {
            members.push(makeAddr(string.concat("member ", vm.toString(i))));
            _apply(members[i]);
            _review(i + 1, 0, 3, true);
        }
        skip(2 days);
        for (uint256 application = 1; application <= SIZE; ++application) {
            registry.admit(application);
        }
        rounds.openRound(0); // the first steward's time is over; later rounds are sealed
        _expire(1);
    }

    function _court(bytes memory act) private {
        vm.prank(registry.court());
        (bool ok,) = address(registry).call(act);
        assertTrue(ok, "court");
    }

    function _leave(address account) private {
        vm.prank(account);
        registry.startExit();
        skip(EXIT_DELAY);
        vm.prank(account);
        registry.finishExit();
    }

    // --- Sybil identities ---------------------------------------------------------------------------------------------

    /// Sybil votes: an identity without accepted work is worth nothing to whoever made it.
    function test_anIdentityWithoutWorkIsWorthNothing() public {
        _leave(members[0]);
        assertEq(token.balanceOf(members[0]), 0, "the grant burned");
    }

    /// Sybil votes: proving one's own fault from a second account must not carry a part of the grant away.
    function testFuzz_provingOnesOwnFaultFreesNothing(uint16[8] memory penalties) public {
        for (uint256 i = 0; i < penalties.length; ++i) {
            uint16 bps = uint16(bound(penalties[i], 0, 10_000));
            _court(abi.encodeCall(registry.slash, (members[0], bps, 1, 1, sybil)));
        }
        _leave(members[0]);
        assertEq(token.balanceOf(sybil) + token.balanceOf(members[0]), 0, "all of it burned");
    }

    /// Nor after some of it vested: both accounts together never have more than what accepted work vested.
    function testFuzz_provingOnesOwnFaultNeverPays(uint16[4] memory penalties) public {
        uint256 round = _toFinalized(SIZE);
        uint256 vested = registry.vest(round, 0);
        for (uint256 i = 0; i < penalties.length; ++i) {
            uint16 bps = uint16(bound(penalties[i], 0, 10_000));
            _court(abi.encodeCall(registry.slash, (members[0], bps, 1, 1, sybil)));
        }
        _leave(members[0]);
        assertLe(token.balanceOf(sybil) + token.balanceOf(members[0]), vested, "at most what work vested");
    }

    /// Leaving and coming back turns old work into a second grant: only rounds after the new admission count.
    function test_oneWorkNeverVestsTwoGrants() public {
        uint256[6] memory done;
        for (uint256 i = 0; i < 6; ++i) {
            done[i] = _toFinalized(SIZE);
        }
        for (uint256 i = 0; i < 5; ++i) {
            registry.vest(done[i], 0);
        }
        _leave(members[0]);
        assertEq(token.balanceOf(members[0]), GRANT, "one grant, by five updates");
        uint256 application = _apply(members[0]);
        _review(application, 0, 3, true);
        skip(2 days);
        registry.admit(application);
        for (uint256 i = 0; i < 6; ++i) {
            vm.expectRevert();
            registry.vest(done[i], 0);
        }
        _leave(members[0]);
        assertEq(token.balanceOf(members[0]), GRANT, "not a second one");
    }

    /// A lie is proven and the liar comes back under the same name, by any door.
    function test_theBannedStayOut() public {
        uint256 application = _apply(mallory);
        _review(application, 0, 2, true);
        _court(abi.encodeCall(registry.ban, (mallory)));
        bytes[4] memory doors = [
            abi.encodeCall(registry.applyToJoin, (0, 0, hex"01", 0)),
            abi.encodeCall(registry.bond, (1)),
            abi.encodeCall(registry.startExit, ()),
            abi.encodeCall(registry.finishExit, ())
        ];
        for (uint256 i = 0; i < doors.length; ++i) {
            vm.prank(mallory);
            (bool ok,) = address(registry).call(doors[i]);
            assertFalse(ok, "a door opened");
        }
        vm.expectRevert();
        _review(application, 2, 1, true);
        vm.expectRevert();
        _review(application, 2, 1, false);
        _assertStatus(mallory, IMemberRegistry.Status.Banned, "for ever");
    }

    // --- committee capture --------------------------------------------------------------------------------------------

    /// Three of five seats are captured at once and wave their friends through: two honest seats stop each of them, and those
    /// they do not see in time come in slowly.
    function test_aCapturedCommitteeIsSlowAndCanBeStopped() public {
        uint256 start = block.timestamp;
        uint256[6] memory friends;
        for (uint256 i = 0; i < 6; ++i) {
            friends[i] = _apply(makeAddr(string.concat("friend ", vm.toString(i))));
            _review(friends[i], 0, 3, true);
        }
        for (uint256 seat = 3; seat < 5; ++seat) {
            vm.prank(seats[seat]);
            registry.veto(friends[0], 0);
        }
        uint256 admitted = 0;
        skip(2 days);
        for (uint256 hour = 0; hour < 48; ++hour) {
            for (uint256 i = 0; i < 6; ++i) {
                try registry.admit(friends[i]) {
                    ++admitted;
                    assertTrue(i != 0, "vetoed");
                } catch {}
            }
            skip(1 hours);
        }
        assertLe(admitted, (block.timestamp - start) / 1 days, "one a day: the bucket was empty when they began");
    }

    /// Captured seats end by themselves; nobody but a vote of the community prolongs them.
    function test_capturedSeatsExpire() public {
        uint256 application = _apply(mallory);
        for (uint256 seat = 0; seat < 3; ++seat) {
            vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.NotTimelock.selector, seats[seat], timelock));
            vm.prank(seats[seat]);
            registry.setSeat(seat, seats[seat], uint40(block.timestamp + 300 days));
        }
        vm.warp(block.timestamp + SEAT_TERM);
        vm.expectRevert();
        _review(application, 0, 1, true);
    }

    /// No mint: whatever the committee does, all grants together end with the budget, below the cap with all emissions.
    function test_I20_theCommitteeCannotMintBeyondTheBudget() public view {
        uint256 emissions = 2 * INITIAL_EMISSION * HALVING;
        assertLe(emissions + registry.grantBudget(), token.cap(), "emissions and grants");
    }

    // --- guardian -----------------------------------------------------------------------------------------------------

    /// A captured guardian keeps everything paused: who wants to leave leaves, with all that is its own.
    function test_I14_aCapturedGuardianHoldsNobodyBack() public {
        uint256 round = _toFinalized(SIZE);
        for (uint8 entry = 0; entry <= uint8(type(IGuardian.Entry).max); ++entry) {
            guardian.set(IGuardian.Entry(entry), true);
        }
        registry.vest(round, 0);
        _leave(members[0]);
        assertEq(token.balanceOf(members[0]), GRANT / 5, "what its work vested");
    }

    // --- vesting ------------------------------------------------------------------------------------------------------

    /// One update counted often, by anybody, in any order.
    function testFuzz_anUpdateVestsOnce(uint8[12] memory tries) public {
        uint256 round = _toFinalized(SIZE);
        uint256 counted = 0;
        for (uint256 i = 0; i < tries.length; ++i) {
            try registry.vest(round, uint16(tries[i] % SIZE)) {
                ++counted;
            } catch {}
        }
        uint256 unvested = 0;
        for (uint256 i = 0; i < SIZE; ++i) {
            unvested += registry.unvestedOf(members[i]);
            assertGe(registry.unvestedOf(members[i]), GRANT - GRANT / 5, "at most a fifth each");
        }
        assertEq(SIZE * GRANT - unvested, counted * (GRANT / 5), "a fifth each time");
    }

    /// A registry wired to a manager that calls back into it while it is asked: views only, so there is no way in.
    function test_reentrancyThroughTheManagerIsImpossible() public {
        uint256 round = _toFinalized(SIZE);
        vm.etch(address(rounds), type(Reentrant).runtimeCode);
        Reentrant(address(rounds)).arm(registry, round, members[0]);
        vm.expectRevert();
        registry.vest(round, 0);
        assertEq(registry.unvestedOf(members[0]), GRANT, "nothing vested");
        assertFalse(registry.isVested(round, 0), "nothing marked");
    }
}

/// @notice Answers like a RoundManager, and tries to vest again while it is asked.
contract Reentrant {
    MemberRegistry private _registry;
    uint256 private _round;
    address private _owner;

    function arm(MemberRegistry registry_, uint256 round, address owner) external {
        (_registry, _round, _owner) = (registry_, round, owner);
    }

    function phaseOf(uint256) external pure returns (IRoundManager.Phase, uint40) {
        return (IRoundManager.Phase.Finalized, 0);
    }

    function resultOf(uint256, uint256) external pure returns (IRoundManager.UpdateStatus, int32, uint32) {
        return (IRoundManager.UpdateStatus.Accepted, 1, 1);
    }

    function ownerOf(uint256 round, uint256 index) external returns (address) {
        if (index == 0) _registry.vest(round, 1); // a state change within a static call fails
        return _owner;
    }
}
