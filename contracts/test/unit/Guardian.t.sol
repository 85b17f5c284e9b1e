// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Guardian} from "../../src/Guardian.sol";
import {IGuardian} from "../../src/interfaces/IGuardian.sol";
import {TestBase} from "../utils/TestBase.sol";

contract GuardianTest is TestBase {
    Guardian private _guardian;
    address private _account = makeAddr("guardian");
    address private _timelock = makeAddr("timelock");
    address private _stranger = makeAddr("stranger");
    uint40 private _start = 1_800_000_000;
    uint40 private _expiry = 1_800_000_000 + 100 days;

    function setUp() public {
        vm.warp(_start);
        _guardian = new Guardian(_account, _expiry, _timelock);
    }

    function _pause(IGuardian.Entry entry, uint256 duration) private {
        uint40 until = uint40(vm.getBlockTimestamp() + duration);
        vm.prank(_account);
        _guardian.pause(entry, until);
    }

    // --- deployment ---------------------------------------------------------------------------------------------------

    function test_wiring() public {
        vm.expectEmit();
        emit IGuardian.Replaced(address(0), _account);
        Guardian g = new Guardian(_account, _start + 730 days, _timelock); // the longest term
        assertEq(g.account(), _account, "account");
        assertEq(g.expiresAt(), _start + 730 days, "expiry");
        assertEq(g.timelock(), _timelock, "timelock");
        for (uint8 entry = 0; entry < 4; ++entry) {
            assertFalse(g.isPaused(IGuardian.Entry(entry)), "nothing is paused");
        }
    }

    function test_refusesZeroAddresses() public {
        vm.expectRevert(abi.encodeWithSelector(IGuardian.ZeroGuardian.selector, address(0), _timelock));
        new Guardian(address(0), _expiry, _timelock);
        vm.expectRevert(abi.encodeWithSelector(IGuardian.ZeroGuardian.selector, _account, address(0)));
        new Guardian(_account, _expiry, address(0));
    }

    function test_refusesExpiryOutsideItsBounds() public {
        uint256 least = uint256(_start) + 1;
        uint256 most = uint256(_start) + 730 days;
        vm.expectRevert(abi.encodeWithSelector(IGuardian.BadExpiry.selector, _start, least, most));
        new Guardian(_account, _start, _timelock);
        vm.expectRevert(abi.encodeWithSelector(IGuardian.BadExpiry.selector, most + 1, least, most));
        new Guardian(_account, uint40(most) + 1, _timelock);
        new Guardian(_account, uint40(least), _timelock);
    }

    // --- pauses -------------------------------------------------------------------------------------------------------

    function test_pausesOneEntryUntilTheTime() public {
        vm.expectEmit();
        emit IGuardian.Paused(IGuardian.Entry.Lock, _start + 14 days, 14 days);
        _pause(IGuardian.Entry.Lock, 14 days);
        assertTrue(_guardian.isPaused(IGuardian.Entry.Lock), "paused");
        assertFalse(_guardian.isPaused(IGuardian.Entry.Join), "others are not");
        assertFalse(_guardian.isPaused(IGuardian.Entry.OpenRound), "others are not");
        assertFalse(_guardian.isPaused(IGuardian.Entry.Publish), "others are not");
        vm.warp(_start + 14 days - 1);
        assertTrue(_guardian.isPaused(IGuardian.Entry.Lock), "to the last second");
        vm.warp(_start + 14 days);
        assertFalse(_guardian.isPaused(IGuardian.Entry.Lock), "over");
    }

    function test_refusesPausesThatAreTooLongOrEmpty() public {
        vm.startPrank(_account);
        vm.expectRevert(
            abi.encodeWithSelector(IGuardian.BadPause.selector, _start, uint256(_start) + 1, _start + 14 days)
        );
        _guardian.pause(IGuardian.Entry.Join, _start);
        vm.expectRevert(
            abi.encodeWithSelector(
                IGuardian.BadPause.selector, _start + 14 days + 1, uint256(_start) + 1, _start + 14 days
            )
        );
        _guardian.pause(IGuardian.Entry.Join, _start + 14 days + 1);
    }

    /// Prolonging counts only what is added; a shorter pause is `unpause`.
    function test_prolongs() public {
        _pause(IGuardian.Entry.Join, 10 days);
        vm.warp(_start + 4 days);
        vm.expectEmit();
        emit IGuardian.Paused(IGuardian.Entry.Join, _start + 18 days, 18 days);
        _pause(IGuardian.Entry.Join, 14 days);
        (uint40 until, uint40 paused) = _guardian.pausesOf(IGuardian.Entry.Join);
        assertEq(until, _start + 18 days, "until");
        assertEq(paused, 18 days, "each day once");
        vm.expectRevert(
            abi.encodeWithSelector(
                IGuardian.BadPause.selector, _start + 18 days, uint256(_start) + 18 days + 1, _start + 18 days
            )
        );
        _pause(IGuardian.Entry.Join, 14 days);
    }

    /// The time between two pauses does not count.
    function test_pausesAddUpToThirtyDays() public {
        for (uint256 i = 0; i < 2; ++i) {
            _pause(IGuardian.Entry.Publish, 14 days);
            skip(20 days);
        }
        vm.expectRevert(
            abi.encodeWithSelector(IGuardian.PausesSpent.selector, IGuardian.Entry.Publish, 30 days + 1, 30 days)
        );
        _pause(IGuardian.Entry.Publish, 2 days + 1);
        _pause(IGuardian.Entry.Publish, 2 days);
        skip(2 days);
        vm.expectRevert(
            abi.encodeWithSelector(IGuardian.PausesSpent.selector, IGuardian.Entry.Publish, 30 days + 1, 30 days)
        );
        _pause(IGuardian.Entry.Publish, 1);
        _pause(IGuardian.Entry.Join, 14 days); // every entry has its own
    }

    function test_unpauseGivesBackTheRest() public {
        _pause(IGuardian.Entry.Lock, 10 days);
        skip(3 days);
        vm.expectEmit();
        emit IGuardian.Unpaused(IGuardian.Entry.Lock, 3 days);
        vm.prank(_account);
        _guardian.unpause(IGuardian.Entry.Lock);
        assertFalse(_guardian.isPaused(IGuardian.Entry.Lock), "over at once");
        (uint40 until, uint40 paused) = _guardian.pausesOf(IGuardian.Entry.Lock);
        assertEq(until, _start + 3 days, "until");
        assertEq(paused, 3 days, "used");
    }

    function test_theTimelockUnpausesToo() public {
        _pause(IGuardian.Entry.Lock, 10 days);
        vm.prank(_timelock);
        _guardian.unpause(IGuardian.Entry.Lock);
        assertFalse(_guardian.isPaused(IGuardian.Entry.Lock), "over");
    }

    function test_refusesToUnpauseWhatIsNot() public {
        vm.expectRevert(abi.encodeWithSelector(IGuardian.NotPaused.selector, IGuardian.Entry.Lock));
        vm.prank(_account);
        _guardian.unpause(IGuardian.Entry.Lock);
        _pause(IGuardian.Entry.Lock, 1 days);
        skip(1 days);
        vm.expectRevert(abi.encodeWithSelector(IGuardian.NotPaused.selector, IGuardian.Entry.Lock));
        vm.prank(_account);
        _guardian.unpause(IGuardian.Entry.Lock);
    }

    function test_strangersDoNothing() public {
        _pause(IGuardian.Entry.Lock, 1 days);
        vm.startPrank(_stranger);
        vm.expectRevert(abi.encodeWithSelector(IGuardian.NotGuardian.selector, _stranger, _account));
        _guardian.pause(IGuardian.Entry.Join, _start + 1);
        vm.expectRevert(abi.encodeWithSelector(IGuardian.NotTimelock.selector, _stranger, _timelock));
        _guardian.unpause(IGuardian.Entry.Lock);
        vm.expectRevert(abi.encodeWithSelector(IGuardian.NotTimelock.selector, _stranger, _timelock));
        _guardian.replace(_stranger);
    }

    /// Not even the timelock pauses.
    function test_theTimelockDoesNotPause() public {
        vm.expectRevert(abi.encodeWithSelector(IGuardian.NotGuardian.selector, _timelock, _account));
        vm.prank(_timelock);
        _guardian.pause(IGuardian.Entry.Join, _start + 1);
    }

    // --- the end ------------------------------------------------------------------------------------------------------

    /// No pause reaches beyond the expiry, and none starts after it.
    function test_expires() public {
        vm.warp(_expiry - 1 days);
        vm.expectRevert(
            abi.encodeWithSelector(IGuardian.BadPause.selector, _expiry + 1, uint256(_expiry) - 1 days + 1, _expiry)
        );
        _pause(IGuardian.Entry.Join, 1 days + 1);
        _pause(IGuardian.Entry.Join, 1 days);
        vm.warp(_expiry);
        assertFalse(_guardian.isPaused(IGuardian.Entry.Join), "over with the guardian");
        vm.expectRevert(abi.encodeWithSelector(IGuardian.GuardianExpired.selector, _expiry, _expiry));
        _pause(IGuardian.Entry.Lock, 1);
    }

    function test_replaced() public {
        _pause(IGuardian.Entry.Join, 14 days);
        vm.expectEmit();
        emit IGuardian.Replaced(_account, _stranger);
        vm.prank(_timelock);
        _guardian.replace(_stranger);
        assertEq(_guardian.account(), _stranger, "account");
        assertEq(_guardian.expiresAt(), _expiry, "the same expiry");
        assertTrue(_guardian.isPaused(IGuardian.Entry.Join), "its predecessor's pause goes on");
        vm.expectRevert(abi.encodeWithSelector(IGuardian.NotGuardian.selector, _account, _stranger));
        _pause(IGuardian.Entry.Lock, 1 days);
        _account = _stranger;
        skip(14 days);
        _pause(IGuardian.Entry.Join, 14 days);
        skip(14 days);
        vm.expectRevert(
            abi.encodeWithSelector(IGuardian.PausesSpent.selector, IGuardian.Entry.Join, 30 days + 1, 30 days)
        );
        _pause(IGuardian.Entry.Join, 2 days + 1); // no new allowance
    }

    function test_endedWithEveryPause() public {
        for (uint8 entry = 0; entry < 4; ++entry) {
            if (entry != 1) _pause(IGuardian.Entry(entry), 5 days);
        }
        skip(2 days);
        vm.expectEmit();
        emit IGuardian.Replaced(_account, address(0));
        vm.expectEmit();
        emit IGuardian.Unpaused(IGuardian.Entry.Join, 2 days);
        vm.expectEmit();
        emit IGuardian.Unpaused(IGuardian.Entry.Lock, 2 days);
        vm.expectEmit();
        emit IGuardian.Unpaused(IGuardian.Entry.Publish, 2 days);
        vm.prank(_timelock);
        _guardian.replace(address(0));
        for (uint8 entry = 0; entry < 4; ++entry) {
            assertFalse(_guardian.isPaused(IGuardian.Entry(entry)), "none");
        }
        vm.expectRevert(abi.encodeWithSelector(IGuardian.NotGuardian.selector, _account, address(0)));
        _pause(IGuardian.Entry.Lock, 1 days);
    }

    /// Whatever it tries, an entry is closed for at most 30 days in all.
    function testFuzz_neverMoreThanThirtyDaysClosed(uint256[12] memory draws) public {
        uint256 closed = 0;
        for (uint256 i = 0; i < draws.length; ++i) {
            uint256 d = draws[i];
            uint40 until = uint40(vm.getBlockTimestamp() + d % 20 days);
            vm.prank(_account);
            try _guardian.pause(IGuardian.Entry.Lock, until) {} catch {}
            uint256 step = (d >> 64) % 9 days;
            (uint40 end,) = _guardian.pausesOf(IGuardian.Entry.Lock);
            uint256 left = end > vm.getBlockTimestamp() ? end - vm.getBlockTimestamp() : 0;
            closed += left < step ? left : step;
            skip(step);
            if (d >> 255 == 1 && _guardian.isPaused(IGuardian.Entry.Lock)) {
                vm.prank(_account);
                _guardian.unpause(IGuardian.Entry.Lock);
            }
        }
        assertLe(closed, 30 days, "closed");
    }
}
