// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";
import {Votes} from "@openzeppelin/contracts/governance/utils/Votes.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";

import {VotingVault} from "../../src/VotingVault.sol";
import {IGuardian} from "../../src/interfaces/IGuardian.sol";
import {IMemberRegistry} from "../../src/interfaces/IMemberRegistry.sol";
import {IVotingVault} from "../../src/interfaces/IVotingVault.sol";
import {Council} from "../utils/Council.sol";

contract VotingVaultTest is Council {
    address private _a;
    address private _b;
    address private _stranger = makeAddr("stranger");

    function setUp() public {
        _deployCouncil();
        _a = _member();
        _b = _member();
        _memberMany(20, 10_000e18); // so that the cap leaves room: a tenth of 200 000
    }

    // --- deployment ---------------------------------------------------------------------------------------------------

    function test_wiring() public view {
        assertEq(address(vault.token()), address(token), "token");
        assertEq(address(vault.registry()), address(registry), "registry");
        assertEq(address(vault.guardian()), address(guardian), "guardian");
        assertEq(vault.linearUpTo(), LINEAR_UP_TO, "T");
        assertEq(vault.unlockDelay(), UNLOCK_DELAY, "delay");
        assertEq(vault.clock(), block.timestamp, "clock");
        assertEq(vault.CLOCK_MODE(), "mode=timestamp", "clock mode");
    }

    function test_refusesAnotherTokenThanTheRegistrys() public {
        registry.setToken(_stranger);
        vm.expectRevert(abi.encodeWithSelector(IVotingVault.WiredElsewhere.selector, _stranger, address(token)));
        new VotingVault(token, IMemberRegistry(address(registry)), guardian, LINEAR_UP_TO, UNLOCK_DELAY);
    }

    function test_refusesBadParameters() public {
        IMemberRegistry r = IMemberRegistry(address(registry));
        IGuardian none = IGuardian(address(0));
        _expectBad(address(0), LINEAR_UP_TO, UNLOCK_DELAY);
        new VotingVault(token, r, none, LINEAR_UP_TO, UNLOCK_DELAY);
        _expectBad(address(guardian), 0, UNLOCK_DELAY);
        new VotingVault(token, r, guardian, 0, UNLOCK_DELAY);
        _expectBad(address(guardian), LINEAR_UP_TO, 0);
        new VotingVault(token, r, guardian, LINEAR_UP_TO, 0);
        _expectBad(address(guardian), LINEAR_UP_TO, 60 days + 1);
        new VotingVault(token, r, guardian, LINEAR_UP_TO, 60 days + 1);
        new VotingVault(token, r, guardian, 1, 60 days);
    }

    function _expectBad(address guardian_, uint256 t, uint256 delay) private {
        vm.expectRevert(abi.encodeWithSelector(IVotingVault.BadParameter.selector, guardian_, t, delay));
    }

    // --- lock ---------------------------------------------------------------------------------------------------------

    function test_locksAndDelegatesToItself() public {
        token.mint(_a, 5_000e18);
        vm.expectEmit(address(vault));
        emit IVotes.DelegateChanged(_a, address(0), _a);
        vm.expectEmit(address(vault));
        emit IVotes.DelegateVotesChanged(_a, 0, 5_000e18);
        vm.expectEmit(address(vault));
        emit IVotingVault.Locked(_a, 5_000e18, 5_000e18);
        vm.prank(_a);
        vault.lock(5_000e18);
        (uint96 locked, uint96 leaving, uint40 freeAt) = vault.accountOf(_a);
        assertEq(locked, 5_000e18, "locked");
        assertEq(uint256(leaving) + freeAt, 0, "nothing leaves");
        assertEq(vault.unitsOf(_a), 5_000e18, "units");
        assertEq(vault.getVotes(_a), 5_000e18, "votes");
        assertEq(token.balanceOf(_a), 0, "moved");
        assertEq(token.balanceOf(address(vault)), 205_000e18, "held");
    }

    /// Above T the curve bends: 40 000 of T = 10 000 are 2·20 000 − 10 000 units, added in two steps.
    function test_locksMoreOnTheCurve() public {
        _lock(_a, 9_000e18);
        token.mint(_a, 31_000e18);
        vm.expectEmit(address(vault));
        emit IVotes.DelegateVotesChanged(_a, 9_000e18, 30_000e18);
        vm.expectEmit(address(vault));
        emit IVotingVault.Locked(_a, 31_000e18, 40_000e18);
        vm.prank(_a);
        vault.lock(31_000e18);
        assertEq(vault.unitsOf(_a), 30_000e18, "units");
        assertEq(vault.delegatedTo(_a), 30_000e18, "delegated");
        skip(1);
        assertEq(vault.getPastTotalSupply(block.timestamp - 1), 230_000e18, "total");
    }

    function test_keepsAChosenDelegate() public {
        _delegate(_a, _b);
        _lock(_a, 1e18);
        assertEq(vault.delegates(_a), _b, "delegate");
        assertEq(vault.getVotes(_b), 1e18, "its votes");
        assertEq(vault.getVotes(_a), 0, "none itself");
    }

    function test_onlyActiveMembersLock() public {
        token.mint(_a, 1e18);
        for (uint8 s = 0; s <= uint8(type(IMemberRegistry.Status).max); ++s) {
            IMemberRegistry.Status status = IMemberRegistry.Status(s);
            if (status == IMemberRegistry.Status.Active) continue;
            _set(_a, status);
            vm.expectRevert(abi.encodeWithSelector(IVotingVault.NotActive.selector, _a, status));
            vm.prank(_a);
            vault.lock(1e18);
        }
    }

    function test_refusesToLockNothing() public {
        vm.expectRevert(IVotingVault.ZeroAmount.selector);
        vm.prank(_a);
        vault.lock(0);
    }

    function test_thePauseBlocksLockOnly() public {
        _lock(_a, 2e18);
        token.mint(_a, 1e18);
        vm.prank(watch);
        guardian.pause(IGuardian.Entry.Lock, uint40(block.timestamp) + 14 days);
        vm.expectRevert(IVotingVault.LockPaused.selector);
        vm.prank(_a);
        vault.lock(1e18);
        _unlock(_a, 1e18);
        _delegate(_a, _b);
        _set(_b, IMemberRegistry.Status.Banned);
        skip(14 days);
        vm.prank(_a);
        vault.lock(1e18); // the pause is over
        vm.prank(watch);
        guardian.pause(IGuardian.Entry.Lock, uint40(block.timestamp) + 14 days);
        assertEq(_withdraw(_a), 1e18, "withdrawn while paused");
        _set(_a, IMemberRegistry.Status.Banned);
        vault.evict(_a);
    }

    /// Pauses of other entries are none of the vault's business.
    function test_otherPausesDoNotBlock() public {
        vm.startPrank(watch);
        guardian.pause(IGuardian.Entry.Join, uint40(block.timestamp) + 1 days);
        guardian.pause(IGuardian.Entry.OpenRound, uint40(block.timestamp) + 1 days);
        guardian.pause(IGuardian.Entry.Publish, uint40(block.timestamp) + 1 days);
        vm.stopPrank();
        _lock(_a, 1e18);
    }

    /// I23: what is sent here without `lock` changes nothing.
    function test_I23_donationsChangeNothing() public {
        _lock(_a, 1e18);
        token.mint(address(vault), 77e18);
        assertEq(vault.unitsOf(_a), 1e18, "units");
        _lock(_b, 1e18);
        assertEq(vault.unitsOf(_b), 1e18, "units of the next");
        _unlock(_a, 1e18);
        skip(UNLOCK_DELAY);
        assertEq(_withdraw(_a), 1e18, "paid");
    }

    // --- unlock -------------------------------------------------------------------------------------------------------

    /// Units leave at the request, tokens after the delay.
    function test_unlocks() public {
        _lock(_a, 40_000e18);
        skip(1);
        uint40 freeAt = uint40(block.timestamp) + UNLOCK_DELAY;
        vm.expectEmit(address(vault));
        emit IVotes.DelegateVotesChanged(_a, 30_000e18, 5_000e18);
        vm.expectEmit(address(vault));
        emit IVotingVault.UnlockStarted(_a, 35_000e18, 5_000e18, 35_000e18, freeAt);
        _unlock(_a, 35_000e18);
        assertEq(vault.unitsOf(_a), 5_000e18, "units");
        assertEq(vault.getVotes(_a), 5_000e18, "votes");
        assertEq(token.balanceOf(_a), 0, "no tokens yet");
        skip(1);
        assertEq(vault.getPastTotalSupply(block.timestamp - 1), 205_000e18, "total");
        assertEq(vault.getPastTotalSupply(block.timestamp - 2), 230_000e18, "total before");

        vm.warp(freeAt - 1);
        vm.expectRevert(abi.encodeWithSelector(IVotingVault.WithdrawTooEarly.selector, freeAt, freeAt - 1));
        _withdraw(_a);
        vm.warp(freeAt);
        vm.expectEmit(address(vault));
        emit IVotingVault.Withdrawn(_a, 35_000e18);
        assertEq(_withdraw(_a), 35_000e18, "amount");
        assertEq(token.balanceOf(_a), 35_000e18, "paid");
        (uint96 locked, uint96 leaving,) = vault.accountOf(_a);
        assertEq(locked, 5_000e18, "locked stays");
        assertEq(leaving, 0, "nothing leaves any more");
        vm.expectRevert(abi.encodeWithSelector(IVotingVault.NothingThere.selector, _a));
        _withdraw(_a);
    }

    /// A second request starts the delay anew for all that is leaving.
    function test_unlocksAgain() public {
        _lock(_a, 10e18);
        _unlock(_a, 4e18);
        skip(UNLOCK_DELAY - 1);
        uint40 freeAt = uint40(vm.getBlockTimestamp()) + UNLOCK_DELAY;
        vm.expectEmit(address(vault));
        emit IVotingVault.UnlockStarted(_a, 3e18, 3e18, 7e18, freeAt);
        _unlock(_a, 3e18);
        skip(1);
        vm.expectRevert(abi.encodeWithSelector(IVotingVault.WithdrawTooEarly.selector, freeAt, vm.getBlockTimestamp()));
        _withdraw(_a);
        vm.warp(freeAt);
        assertEq(_withdraw(_a), 7e18, "both");
    }

    function test_refusesToUnlockNothingOrTooMuch() public {
        _lock(_a, 10e18);
        vm.expectRevert(IVotingVault.ZeroAmount.selector);
        _unlock(_a, 0);
        vm.expectRevert(abi.encodeWithSelector(IVotingVault.NotLocked.selector, 10e18 + 1, 10e18));
        _unlock(_a, 10e18 + 1);
        _unlock(_a, 10e18);
        vm.expectRevert(abi.encodeWithSelector(IVotingVault.NotLocked.selector, 1, 0));
        _unlock(_a, 1);
    }

    /// Whatever became of the member: its tokens come back.
    function test_everybodyMayUnlockAndWithdraw() public {
        for (uint8 s = 0; s <= uint8(type(IMemberRegistry.Status).max); ++s) {
            _set(_a, IMemberRegistry.Status.Active);
            _lock(_a, 1e18);
            _set(_a, IMemberRegistry.Status(s));
            _unlock(_a, 1e18);
            skip(UNLOCK_DELAY);
            assertEq(_withdraw(_a), 1e18, "withdrawn");
        }
    }

    // --- delegation ---------------------------------------------------------------------------------------------------

    function test_delegatesToAnotherMember() public {
        _lock(_a, 3e18);
        vm.expectEmit(address(vault));
        emit IVotes.DelegateChanged(_a, _a, _b);
        vm.expectEmit(address(vault));
        emit IVotes.DelegateVotesChanged(_a, 3e18, 0);
        vm.expectEmit(address(vault));
        emit IVotes.DelegateVotesChanged(_b, 0, 3e18);
        _delegate(_a, _b);
        assertEq(vault.getVotes(_a), 0, "gone");
        assertEq(vault.getVotes(_b), 3e18, "there");
        _lock(_a, 1e18);
        assertEq(vault.getVotes(_b), 4e18, "more follows");
        _unlock(_a, 2e18);
        assertEq(vault.getVotes(_b), 2e18, "less too");
    }

    function test_delegatesToMembersOnly() public {
        _lock(_a, 3e18);
        vm.expectRevert(
            abi.encodeWithSelector(IVotingVault.NotMember.selector, address(0), IMemberRegistry.Status.None)
        );
        _delegate(_a, address(0));
        for (uint8 s = 0; s <= uint8(type(IMemberRegistry.Status).max); ++s) {
            IMemberRegistry.Status status = IMemberRegistry.Status(s);
            _set(_b, status);
            if (status == IMemberRegistry.Status.Active || status == IMemberRegistry.Status.Exiting) {
                _delegate(_a, _b);
                _delegate(_a, _a);
                continue;
            }
            vm.expectRevert(abi.encodeWithSelector(IVotingVault.NotMember.selector, _b, status));
            _delegate(_a, _b);
        }
    }

    /// A banned account cannot hand its units on.
    function test_onlyMembersDelegate() public {
        _lock(_a, 3e18);
        _set(_a, IMemberRegistry.Status.Banned);
        vm.expectRevert(abi.encodeWithSelector(IVotingVault.NotMember.selector, _a, IMemberRegistry.Status.Banned));
        _delegate(_a, _b);
    }

    function test_delegatesBySignature() public {
        uint256 key = uint256(keccak256("signer"));
        address signer = vm.addr(key);
        _set(signer, IMemberRegistry.Status.Active);
        bytes32 digest = _delegation(_b, 0, block.timestamp);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        vault.delegateBySig(_b, 0, block.timestamp, v, r, s);
        assertEq(vault.delegates(signer), _b, "delegate");
        vm.expectRevert(abi.encodeWithSelector(Nonces.InvalidAccountNonce.selector, signer, 1));
        vault.delegateBySig(_b, 0, block.timestamp, v, r, s); // not twice

        digest = _delegation(_stranger, 1, block.timestamp);
        (v, r, s) = vm.sign(key, digest);
        vm.expectRevert(abi.encodeWithSelector(IVotingVault.NotMember.selector, _stranger, IMemberRegistry.Status.None));
        vault.delegateBySig(_stranger, 1, block.timestamp, v, r, s);
    }

    function _delegation(address delegatee, uint256 nonce, uint256 expiry) private view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Commonweight Voting Vault"),
                keccak256("1"),
                block.chainid,
                address(vault)
            )
        );
        bytes32 hash = keccak256(
            abi.encode(
                keccak256("Delegation(address delegatee,uint256 nonce,uint256 expiry)"), delegatee, nonce, expiry
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, hash));
    }

    // --- votes: past, capped, of members --------------------------------------------------------------------------------

    function test_pastVotes() public {
        uint256 t = vm.getBlockTimestamp();
        _lock(_a, 1e18);
        vm.warp(t + 10);
        _lock(_a, 2e18);
        vm.warp(t + 20);
        assertEq(vault.getPastVotes(_a, t - 1), 0, "before");
        assertEq(vault.getPastVotes(_a, t), 1e18, "at");
        assertEq(vault.getPastVotes(_a, t + 9), 1e18, "between");
        assertEq(vault.getPastVotes(_a, t + 19), 3e18, "after");
        vm.expectRevert(abi.encodeWithSelector(Votes.ERC5805FutureLookup.selector, t + 20, t + 20));
        vault.getPastVotes(_a, t + 20);
    }

    /// I18: never more than a tenth, of the total at the same moment.
    function test_I18_votesAreCapped() public {
        uint256 t = vm.getBlockTimestamp();
        _lock(_a, 1_000_000e18); // 2·√(10 000·1 000 000) − 10 000 = 190 000 units of 390 000
        assertEq(vault.delegatedTo(_a), 190_000e18, "delegated");
        assertEq(vault.getVotes(_a), 39_000e18, "now");
        vm.warp(t + 1);
        _memberMany(10, 10_000e18);
        assertEq(vault.getPastVotes(_a, t), 39_000e18, "of the total then");
        assertEq(vault.getPastVotes(_a, t + 1), 49_000e18, "of the later total");
        assertEq(vault.getVotes(_a), 49_000e18, "of the total now");
    }

    /// Exactly a tenth is not cut; an odd total rounds the cap down.
    function test_I18_theCapItself() public {
        _unlock(members[2], 10_000e18); // 190 000 of others
        _lock(_a, 20_000e18);
        uint256 units = vault.unitsOf(_a); // 18 284.27…
        _unlock(_a, 20_000e18);
        _lock(_a, 10_000e18);
        _delegate(members[3], _a); // 20 000 of 200 000
        assertEq(vault.getVotes(_a), 20_000e18, "exactly a tenth");
        _lock(_b, 9);
        _delegate(_b, _a);
        assertEq(vault.delegatedTo(_a), 20_000e18 + 9, "nine more");
        assertEq(vault.getVotes(_a), 20_000e18, "a tenth of nine more is nothing");
        assertLt(units, 20_000e18, "below linear");
    }

    function test_whoIsNoMemberHasNoVotes() public {
        _lock(_a, 3e18);
        uint256 t = vm.getBlockTimestamp();
        skip(1);
        for (uint8 s = 0; s <= uint8(type(IMemberRegistry.Status).max); ++s) {
            IMemberRegistry.Status status = IMemberRegistry.Status(s);
            bool isMember = status == IMemberRegistry.Status.Active || status == IMemberRegistry.Status.Exiting;
            _set(_a, status);
            assertEq(vault.getVotes(_a), isMember ? 3e18 : 0, "now");
            assertEq(vault.getPastVotes(_a, t), isMember ? 3e18 : 0, "then");
            assertEq(vault.delegatedTo(_a), 3e18, "the units are there");
        }
    }

    // --- eviction -----------------------------------------------------------------------------------------------------

    /// A banned account's units leave for the delegate that it chose, too; its tokens stay its own.
    function test_evictsBanned() public {
        _lock(_a, 40_000e18);
        _delegate(_a, _b);
        _set(_a, IMemberRegistry.Status.Banned);
        assertEq(vault.delegatedTo(_b), 30_000e18, "still there");
        vm.expectEmit(address(vault));
        emit IVotingVault.Evicted(_a, IMemberRegistry.Status.Banned);
        vm.expectEmit(address(vault));
        emit IVotingVault.UnlockStarted(_a, 40_000e18, 0, 40_000e18, block.timestamp + UNLOCK_DELAY);
        vm.prank(_stranger);
        vault.evict(_a);
        assertEq(vault.delegatedTo(_b), 0, "gone");
        skip(1);
        assertEq(vault.getPastTotalSupply(block.timestamp - 1), 200_000e18, "total");
        skip(UNLOCK_DELAY);
        assertEq(_withdraw(_a), 40_000e18, "its own");
    }

    function test_evictsWhoLeft() public {
        _lock(_a, 5e18);
        _unlock(_a, 2e18);
        _set(_a, IMemberRegistry.Status.None);
        vault.evict(_a);
        (uint96 locked, uint96 leaving,) = vault.accountOf(_a);
        assertEq(locked, 0, "locked");
        assertEq(leaving, 5e18, "leaving");
        vm.expectRevert(abi.encodeWithSelector(IVotingVault.NothingThere.selector, _a));
        vault.evict(_a);
    }

    function test_membersAreNotEvicted() public {
        _lock(_a, 5e18);
        vm.expectRevert(abi.encodeWithSelector(IVotingVault.StillMember.selector, _a, IMemberRegistry.Status.Active));
        vault.evict(_a);
        _set(_a, IMemberRegistry.Status.Exiting);
        vm.expectRevert(abi.encodeWithSelector(IVotingVault.StillMember.selector, _a, IMemberRegistry.Status.Exiting));
        vault.evict(_a);
    }
}
