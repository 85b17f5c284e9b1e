// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {IGovernor} from "@openzeppelin/contracts/governance/IGovernor.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {VotingVault} from "../src/VotingVault.sol";
import {ICommunityGovernor} from "../src/interfaces/ICommunityGovernor.sol";
import {IGuardian} from "../src/interfaces/IGuardian.sol";
import {IMemberRegistry} from "../src/interfaces/IMemberRegistry.sol";
import {IVotingVault} from "../src/interfaces/IVotingVault.sol";
import {PowerCurve} from "../src/libraries/PowerCurve.sol";
import {Council} from "./utils/Council.sol";
import {HostileToken, IFullGovernor, Noticeboard} from "./utils/VotingDoubles.sol";

/// @notice Attacks on the community's votes, by the names of the design's list of threats.
contract ThreatsVotingTest is Council {
    address private _attacker;

    function setUp() public {
        _deployCouncil();
        _memberMany(20, 10_000e18);
        _attacker = _member();
    }

    /// What the governor says of a vote without weight.
    function _expectNothingToCount(address account) private {
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorAlreadyCastVote.selector, account));
    }

    // --- the same tokens twice ----------------------------------------------------------------------------------------

    /// flash loan: tokens locked in a block have no votes in it, and cannot leave in it.
    function test_threat_flashLoan() public {
        Proposal memory p = _notice(1);
        _propose(members[0], p);
        uint256 snapshot = governor.proposalSnapshot(p.id);
        _toVote(p);
        _lock(_attacker, 5_000_000e18);
        assertEq(governor.getVotes(_attacker, snapshot), 0, "no votes at the snapshot");
        _expectNothingToCount(_attacker);
        _vote(_attacker, p, 0);
        _unlock(_attacker, 5_000_000e18);
        vm.expectRevert(
            abi.encodeWithSelector(
                IVotingVault.WithdrawTooEarly.selector, block.timestamp + UNLOCK_DELAY, block.timestamp
            )
        );
        _withdraw(_attacker);
    }

    /// Not in the very second of the snapshot either: its past is complete only when it is over.
    function test_threat_flashLoanAtTheSnapshot() public {
        Proposal memory p = _notice(1);
        _propose(members[0], p);
        vm.warp(governor.proposalSnapshot(p.id));
        _lock(_attacker, 5_000_000e18);
        vm.expectPartialRevert(IGovernor.GovernorUnexpectedProposalState.selector);
        _vote(_attacker, p, 0);
        _unlock(_attacker, 5_000_000e18);
        skip(1);
        assertEq(governor.getVotes(_attacker, governor.proposalSnapshot(p.id)), 0, "gone with the second");
    }

    /// split or merge to vote twice: tokens that voted come back after everything that they decided is done.
    function test_threat_theSameTokensVoteOnce() public {
        _lock(_attacker, 10_000e18);
        Proposal memory p = _notice(1);
        _propose(members[0], p);
        _toVote(p);
        _vote(_attacker, p, 1);
        vm.prank(_attacker);
        vault.unlock(10_000e18);
        vm.warp(governor.proposalDeadline(p.id)); // the quorum comes in the last second: two days more
        _vote(members[0], p, 1);
        _vote(members[1], p, 1);
        assertEq(governor.proposalDeadline(p.id), vm.getBlockTimestamp() + LATE_EXTENSION, "as late as possible");
        _toEnd(p);
        _queue(p);
        vm.expectPartialRevert(IVotingVault.WithdrawTooEarly.selector);
        _withdraw(_attacker);
        skip(TIMELOCK_DELAY);
        vm.expectPartialRevert(IVotingVault.WithdrawTooEarly.selector);
        _withdraw(_attacker);
        _execute(p);
    }

    /// Delegating on after the snapshot gives nobody more votes: one ledger.
    function test_threat_delegateOnAndVoteAgain() public {
        _lock(_attacker, 10_000e18);
        address second = _member();
        Proposal memory p = _notice(1);
        _propose(members[0], p);
        _toVote(p);
        _vote(_attacker, p, 1);
        _delegate(_attacker, second);
        skip(1);
        _expectNothingToCount(second);
        _vote(second, p, 1);
    }

    // --- many identities ------------------------------------------------------------------------------------------------

    /// Sybil votes: n members with what one would have never beat one token, one vote.
    function testFuzz_threat_sybilVotes(uint96[8] memory parts, uint96 t) public pure {
        t = t == 0 ? 1 : t;
        uint256 tokens = 0;
        uint256 units = 0;
        for (uint256 i = 0; i < parts.length; ++i) {
            tokens += parts[i];
            units += PowerCurve.unitsDown(parts[i], t);
        }
        assertLe(units, tokens, "linear at best");
    }

    /// The same through the vault, and identities that nobody admitted count nothing.
    function test_threat_sybilVotesInTheVault() public {
        uint256 before = _totalNow();
        for (uint256 i = 0; i < 10; ++i) {
            _lock(_member(), 20_000e18);
        }
        assertLe(_totalNow() - before, 200_000e18, "at most the linear share");
        address stranger = makeAddr("nobody admitted me");
        token.mint(stranger, 1e18);
        vm.expectRevert(abi.encodeWithSelector(IVotingVault.NotActive.selector, stranger, IMemberRegistry.Status.None));
        vm.prank(stranger);
        vault.lock(1e18);
    }

    function _totalNow() private returns (uint256) {
        skip(1);
        return vault.getPastTotalSupply(vm.getBlockTimestamp() - 1);
    }

    /// I18: a whale, and whoever collects delegations, counts at most a tenth.
    function test_threat_I18_whaleAndDelegations() public {
        _lock(_attacker, 7_000_000e18);
        for (uint256 i = 0; i < 10; ++i) {
            _delegate(members[i], _attacker);
        }
        Proposal memory p = _notice(1);
        _propose(members[11], p);
        _toVote(p);
        uint256 total = vault.getPastTotalSupply(governor.proposalSnapshot(p.id));
        assertGt(vault.delegatedTo(_attacker) * 10, total * 5, "more than half was delegated");
        assertEq(_vote(_attacker, p, 1), total / 10, "and a tenth counts");
    }

    /// A banned delegate does not vote, not even in votes that had begun; what it had cast stays.
    function test_threat_bannedVoter() public {
        _lock(_attacker, 10_000e18);
        _delegate(members[5], _attacker);
        Proposal memory p = _notice(1);
        Proposal memory q = _notice(2);
        _propose(members[0], p);
        _propose(members[0], q);
        _toVote(p);
        uint256 cast = _vote(_attacker, p, 1);
        _set(_attacker, IMemberRegistry.Status.Banned);
        assertEq(governor.getVotes(_attacker, governor.proposalSnapshot(q.id)), 0, "none");
        _expectNothingToCount(_attacker);
        _vote(_attacker, q, 1);
        (, uint256 for_,) = governor.proposalVotes(p.id);
        assertEq(for_, cast, "stays");
        vm.expectPartialRevert(IVotingVault.NotMember.selector);
        _delegate(_attacker, members[1]);
        vault.evict(_attacker);
        assertEq(vault.delegatedTo(_attacker), 10_000e18, "only what others left with it");
        _delegate(members[5], members[5]); // they take it back themselves
        assertEq(vault.delegatedTo(_attacker), 0, "nothing");
    }

    // --- few voters -----------------------------------------------------------------------------------------------------

    /// governance at low turnout: one small voter is not enough; a quorum in the last second wakes the rest.
    function test_threat_lowTurnout() public {
        _lock(_attacker, 9_000e18);
        skip(1);
        Proposal memory p = _notice(666);
        _propose(_attacker, p);
        _toVote(p);
        _vote(_attacker, p, 1);
        _toEnd(p);
        _assertState(p, IGovernor.ProposalState.Defeated, "9 000 of 20 900");

        address second = _member();
        address third = _member();
        _lock(second, 10_000e18);
        _lock(third, 10_000e18);
        Proposal memory q = _notice(667);
        _propose(_attacker, q);
        vm.warp(governor.proposalDeadline(q.id));
        _vote(_attacker, q, 1);
        _vote(second, q, 1);
        _vote(third, q, 1); // 29 000 of 22 900 needed, in the last second
        skip(1 days);
        for (uint256 i = 0; i < 3; ++i) {
            _vote(members[i], q, 0);
        }
        _toEnd(q);
        _assertState(q, IGovernor.ProposalState.Defeated, "answered in time");
    }

    /// Cap and quorum are both a tenth: where nobody answers, one member decides; one equal answer is enough.
    function test_threat_aTenthAlone() public {
        _deployCouncil();
        delete members;
        _memberMany(10, 10_000e18);
        skip(1);
        Proposal memory p = _notice(1);
        _propose(members[0], p);
        _toVote(p);
        _vote(members[0], p, 1);
        _toEnd(p);
        _assertState(p, IGovernor.ProposalState.Succeeded, "nobody answers");

        Proposal memory q = _notice(2);
        _propose(members[0], q);
        _toVote(q);
        _vote(members[0], q, 1);
        _vote(members[1], q, 0);
        _toEnd(q);
        _assertState(q, IGovernor.ProposalState.Defeated, "a tie is no majority");
    }

    /// The first to lock anything has a tenth of all: the floor keeps it from deciding alone.
    function test_threat_firstToLock() public {
        _deployCouncil();
        delete members;
        address first = _member();
        _lock(first, 1e18);
        skip(1);
        Proposal memory p = _notice(1);
        _propose(first, p);
        _toVote(p);
        _vote(first, p, 1);
        _toEnd(p);
        _assertState(p, IGovernor.ProposalState.Defeated, "below the floor");
    }

    /// A vote without any units at all decides nothing.
    function test_threat_emptyVault() public {
        _deployCouncil();
        Proposal memory p = _notice(1);
        _propose(_attacker, p); // a threshold of 1 % of nothing
        _toEnd(p);
        _assertState(p, IGovernor.ProposalState.Defeated, "defeated");
    }

    // --- around the vote ------------------------------------------------------------------------------------------------

    /// proposal front-run: a copy under another name cannot take the id and cancel it.
    function test_threat_proposalFrontRun() public {
        _lock(_attacker, 10_000e18);
        skip(1);
        Proposal memory p = _notice(1);
        p.description = string.concat("Raise it #proposer=", vm.toString(members[0]));
        p.id = _id(p);
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorRestrictedProposer.selector, _attacker));
        _propose(_attacker, p);
        _propose(members[0], p);
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorUnableToCancel.selector, p.id, _attacker));
        _cancel(_attacker, p);
    }

    /// timelock bypass: every role read back; nobody but the governor holds any, and nobody administers them.
    function test_threat_timelockBypass() public {
        bytes32 admin = timelock.DEFAULT_ADMIN_ROLE();
        bytes32[3] memory roles = [timelock.PROPOSER_ROLE(), timelock.CANCELLER_ROLE(), timelock.EXECUTOR_ROLE()];
        address[8] memory all = [
            address(this),
            _attacker,
            watch,
            address(guardian),
            address(vault),
            address(token),
            address(registry),
            members[0]
        ];
        assertTrue(timelock.hasRole(roles[0], address(governor)), "the governor proposes");
        assertTrue(timelock.hasRole(roles[1], address(governor)), "and cancels");
        assertTrue(timelock.hasRole(roles[2], address(0)), "anybody executes");
        assertTrue(timelock.hasRole(admin, address(timelock)), "the timelock administers itself");
        assertFalse(timelock.hasRole(admin, address(governor)), "the governor does not");
        assertFalse(timelock.hasRole(admin, address(0)), "nor anybody");
        assertFalse(timelock.hasRole(roles[0], address(0)), "not anybody proposes");
        assertFalse(timelock.hasRole(roles[1], address(0)), "or cancels");
        for (uint256 i = 0; i < all.length; ++i) {
            assertFalse(timelock.hasRole(admin, all[i]), "administers");
            for (uint256 r = 0; r < roles.length; ++r) {
                assertFalse(timelock.hasRole(roles[r], all[i]), "has a role");
                assertEq(timelock.getRoleAdmin(roles[r]), admin, "its admin");
            }
        }
        vm.expectPartialRevert(IAccessControl.AccessControlUnauthorizedAccount.selector);
        vm.prank(_attacker);
        timelock.schedule(address(board), 0, "", 0, 0, TIMELOCK_DELAY);
        vm.expectPartialRevert(IAccessControl.AccessControlUnauthorizedAccount.selector);
        vm.prank(_attacker);
        timelock.grantRole(roles[0], _attacker);
    }

    /// The governor's settings change through its own execution only: executed on the timelock directly, the call fails.
    function test_threat_executedBesideTheGovernor() public {
        Proposal memory p = _call(address(governor), abi.encodeCall(IFullGovernor.updateQuorumNumerator, (5)), "");
        _toReady(p);
        bytes32 salt = bytes20(address(governor)) ^ keccak256(bytes(p.description));
        vm.expectRevert();
        timelock.executeBatch(p.targets, p.values, p.calldatas, 0, salt);
        assertEq(governor.quorumNumerator(), 10, "unchanged");
        _execute(p);
        assertEq(governor.quorumNumerator(), 5, "through the governor");
    }

    /// No mint, no token, no role: whatever the majority, it cannot even be proposed.
    function test_threat_mintByProposal() public {
        Proposal memory mint = _call(address(token), abi.encodeCall(token.mint, (_attacker, 1e18)), "");
        bytes memory grant = abi.encodeCall(timelock.grantRole, (timelock.PROPOSER_ROLE(), _attacker));
        Proposal memory role = _call(address(timelock), grant, "");
        vm.expectPartialRevert(ICommunityGovernor.NotAllowed.selector);
        _propose(members[0], mint);
        vm.expectPartialRevert(ICommunityGovernor.NotAllowed.selector);
        _propose(members[0], role);
    }

    /// guardian after expiry: neither cancels nor pauses; and until then it never stopped an unlock.
    function test_threat_guardianAfterExpiry() public {
        vm.warp(guardian.expiresAt() - 10 days);
        Proposal memory p = _notice(1);
        _toReady(p);
        vm.warp(guardian.expiresAt());
        vm.expectRevert(
            abi.encodeWithSelector(IGuardian.GuardianExpired.selector, guardian.expiresAt(), guardian.expiresAt())
        );
        _guardianCancel(p);
        vm.expectPartialRevert(IGuardian.GuardianExpired.selector);
        vm.prank(watch);
        guardian.pause(IGuardian.Entry.Lock, uint40(block.timestamp) + 1);
        _execute(p);
        assertEq(board.notice(), 1, "carried out");
    }

    // --- hostile tokens -------------------------------------------------------------------------------------------------

    function _hostile(HostileToken.Mode mode) private returns (HostileToken hostile, IVotingVault v) {
        hostile = new HostileToken();
        registry.setToken(address(hostile));
        v = new VotingVault(hostile, IMemberRegistry(address(registry)), guardian, LINEAR_UP_TO, UNLOCK_DELAY);
        hostile.mint(_attacker, 1_000e18);
        hostile.mint(address(hostile), 1_000e18);
        hostile.setUp(HostileToken.Mode.Honest, v);
        hostile.approveVault();
        registry.set(address(hostile), IMemberRegistry.Status.Active);
        vm.startPrank(_attacker);
        hostile.approve(address(v), type(uint256).max);
        v.lock(10e18);
        vm.stopPrank();
        hostile.act(abi.encodeCall(IVotingVault.lock, (10e18)));
        hostile.act(abi.encodeCall(IVotingVault.unlock, (5e18)));
        skip(UNLOCK_DELAY);
        hostile.setUp(mode, v);
    }

    function _expectMismatch(HostileToken.Mode mode, uint256 actual, uint256 expected) private {
        (HostileToken hostile, IVotingVault v) = _hostile(mode);
        vm.expectRevert(abi.encodeWithSelector(IVotingVault.BalanceMismatch.selector, actual, expected));
        vm.prank(_attacker);
        v.lock(100e18);
        assertEq(v.unitsOf(_attacker), 10e18, "units as before");
        assertEq(hostile.balanceOf(address(v)), 20e18, "tokens as before");
    }

    /// re-entrant/fee/reverting token: a fee is refused with what came and what should have come.
    function test_threat_tokenWithAFee() public {
        _expectMismatch(HostileToken.Mode.Fee, 119e18, 120e18);
    }

    /// A token that says yes and moves nothing.
    function test_threat_tokenThatLies() public {
        _expectMismatch(HostileToken.Mode.Silent, 20e18, 120e18);
    }

    function test_threat_tokenThatReverts() public {
        (, IVotingVault v) = _hostile(HostileToken.Mode.Refuse);
        vm.expectRevert("refused");
        vm.prank(_attacker);
        v.lock(100e18);
        assertEq(v.unitsOf(_attacker), 10e18, "units as before");
    }

    /// A withdrawal that the token refuses keeps the claim.
    function test_threat_tokenThatRevertsOnTheWayOut() public {
        (HostileToken hostile, IVotingVault v) = _hostile(HostileToken.Mode.Refuse);
        vm.expectRevert();
        hostile.act(abi.encodeCall(IVotingVault.withdraw, ()));
        hostile.setUp(HostileToken.Mode.Honest, v);
        uint256 before = hostile.balanceOf(address(hostile));
        hostile.act(abi.encodeCall(IVotingVault.withdraw, ()));
        assertEq(hostile.balanceOf(address(hostile)) - before, 5e18, "paid later");
    }

    /// Locks within a lock: the outer one sees too much.
    function test_threat_tokenThatLocksAgain() public {
        _expectMismatch(HostileToken.Mode.Lock, 121e18, 120e18);
    }

    /// Withdraws within a lock: the outer one sees too little.
    function test_threat_tokenThatWithdrawsWithinALock() public {
        _expectMismatch(HostileToken.Mode.Withdraw, 115e18, 120e18);
    }

    /// Withdraws within a withdrawal: the books were cleared first, so there is nothing more.
    function test_threat_tokenThatWithdrawsTwice() public {
        (HostileToken hostile, IVotingVault v) = _hostile(HostileToken.Mode.Withdraw);
        vm.expectRevert();
        hostile.act(abi.encodeCall(IVotingVault.withdraw, ()));
        assertEq(hostile.balanceOf(address(v)), 20e18, "nothing left");
    }

    /// Unlocks within a lock: books and balance agree all the same.
    function test_threat_tokenThatUnlocksWithinALock() public {
        (HostileToken hostile, IVotingVault v) = _hostile(HostileToken.Mode.Unlock);
        vm.prank(_attacker);
        v.lock(100e18);
        assertEq(v.unitsOf(_attacker), 110e18, "its own");
        assertEq(v.unitsOf(address(hostile)), 4e18, "the token's");
        assertEq(hostile.balanceOf(address(v)), 120e18, "all of it is here");
        assertEq(v.delegatedTo(_attacker) + v.delegatedTo(address(hostile)), 114e18, "votes are units");
    }
}
