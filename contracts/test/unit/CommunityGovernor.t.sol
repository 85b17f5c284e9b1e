// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IGovernor} from "@openzeppelin/contracts/governance/IGovernor.sol";

import {ICommunityGovernor} from "../../src/interfaces/ICommunityGovernor.sol";
import {IGuardian} from "../../src/interfaces/IGuardian.sol";
import {Governing} from "../utils/Governing.sol";
import {IFullGovernor, Noticeboard} from "../utils/VotingDoubles.sol";

/// @notice A proposal's life: who proposes, what may be proposed, settings, quorum, the guardian's veto.
contract CommunityGovernorTest is Governing {
    // --- a proposal's life ----------------------------------------------------------------------------------------------

    function test_aProposalIsCarriedOut() public {
        Proposal memory p = _notice(42);
        uint256 start = vm.getBlockTimestamp();
        _propose(members[0], p);
        assertEq(governor.proposalSnapshot(p.id), start + 1 days, "snapshot");
        assertEq(governor.proposalDeadline(p.id), start + 6 days, "deadline");
        vm.warp(start + 1 days);
        _assertState(p, IGovernor.ProposalState.Pending, "until the snapshot");
        _toVote(p);
        _vote(members[1], p, 1);
        _vote(members[2], p, 0);
        _vote(members[3], p, 1);
        vm.warp(start + 6 days);
        _assertState(p, IGovernor.ProposalState.Active, "until the deadline");
        _toEnd(p);
        _assertState(p, IGovernor.ProposalState.Succeeded, "two for, one against, 20 % for");
        _queue(p);
        _assertState(p, IGovernor.ProposalState.Queued, "queued");
        skip(2 days - 1);
        vm.expectRevert();
        _execute(p);
        skip(1);
        vm.prank(_stranger);
        _execute(p);
        _assertState(p, IGovernor.ProposalState.Executed, "executed");
        assertEq(board.notice(), 42, "done");
    }

    function test_aTieIsDefeated() public {
        Proposal memory p = _notice(1);
        _propose(members[0], p);
        _toVote(p);
        _vote(members[1], p, 1);
        _vote(members[2], p, 0);
        _toEnd(p);
        _assertState(p, IGovernor.ProposalState.Defeated, "tie");
    }

    /// Abstaining counts for the quorum, against does not.
    function test_quorum() public {
        Proposal memory p = _notice(1);
        _unlock(members[1], 1); // one unit short of a tenth alone
        _propose(members[0], p);
        _toVote(p);
        uint256 quorum = governor.quorum(governor.proposalSnapshot(p.id));
        assertEq(quorum, 9_999.999999999999999999e18, "a tenth, rounded down");
        _vote(members[1], p, 1);
        _toEnd(p);
        _assertState(p, IGovernor.ProposalState.Succeeded, "just reached");

        Proposal memory q = _notice(2);
        _unlock(members[1], 1);
        _unlock(members[2], 8_000e18);
        _propose(members[0], q);
        _toVote(q);
        _vote(members[2], q, 1); // 2 000
        _vote(members[3], q, 0);
        _toEnd(q);
        _assertState(q, IGovernor.ProposalState.Defeated, "for alone is short, and less than against");
    }

    function test_abstainingCountsForTheQuorum() public {
        _unlock(members[2], 8_000e18);
        Proposal memory p = _notice(1);
        Proposal memory q = _notice(2);
        _propose(members[0], p);
        _propose(members[0], q);
        _toVote(p);
        _vote(members[2], p, 1);
        _vote(members[2], q, 1);
        _vote(members[3], q, 2);
        _toEnd(p);
        _assertState(p, IGovernor.ProposalState.Defeated, "2 000 of 9 200");
        _assertState(q, IGovernor.ProposalState.Succeeded, "with those who abstain");
    }

    function test_votesCanBeSplit() public {
        Proposal memory p = _notice(1);
        _propose(members[0], p);
        _toVote(p);
        vm.prank(members[0]);
        governor.castVoteWithReasonAndParams(
            p.id, 255, "", abi.encodePacked(uint128(1_000e18), uint128(5_000e18), uint128(500e18))
        );
        (uint256 against, uint256 for_, uint256 abstain) = governor.proposalVotes(p.id);
        assertEq(against, 1_000e18, "against");
        assertEq(for_, 5_000e18, "for");
        assertEq(abstain, 500e18, "abstain");
        assertEq(_vote(members[0], p, 0), 3_500e18, "the rest");
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorAlreadyCastVote.selector, members[0]));
        _vote(members[0], p, 0);
    }

    /// A quorum reached in the last hour leaves two more days to answer.
    function test_lateQuorumProlongs() public {
        Proposal memory p = _notice(1);
        _propose(members[0], p);
        uint256 deadline = governor.proposalDeadline(p.id);
        vm.warp(deadline);
        _vote(members[1], p, 1);
        assertEq(governor.proposalDeadline(p.id), deadline + 2 days, "prolonged");
        skip(2 days);
        _vote(members[2], p, 0);
        _vote(members[3], p, 0);
        _toEnd(p);
        assertEq(vm.getBlockTimestamp(), deadline + 2 days + 1, "once only");
        _assertState(p, IGovernor.ProposalState.Defeated, "answered");
    }

    /// Below the floor a tenth of everything is no quorum.
    function test_quorumHasAFloor() public {
        for (uint256 i = 0; i < 10; ++i) {
            _unlock(members[i], 5_001e18);
        }
        Proposal memory p = _notice(1);
        _propose(members[0], p);
        _toVote(p);
        assertEq(governor.quorum(governor.proposalSnapshot(p.id)), QUORUM_FLOOR, "floor");
        _vote(members[0], p, 1);
        _toEnd(p);
        _assertState(p, IGovernor.ProposalState.Defeated, "4 999 of 5 000");
    }

    // --- who proposes ---------------------------------------------------------------------------------------------------

    function test_theThreshold() public {
        address poor = _member();
        _lock(poor, THRESHOLD - 1);
        skip(1);
        Proposal memory p = _notice(1);
        vm.expectRevert(
            abi.encodeWithSelector(IGovernor.GovernorInsufficientProposerVotes.selector, poor, THRESHOLD - 1, THRESHOLD)
        );
        _propose(poor, p);
        _lock(poor, 1);
        skip(1);
        _propose(poor, p);
    }

    /// Where few have locked anything, a hundredth of it is enough.
    function test_theThresholdIsAtMostAHundredth() public {
        for (uint256 i = 0; i < 10; ++i) {
            _unlock(members[i], 9_500e18);
        }
        skip(1);
        assertEq(governor.proposalThreshold(), 50e18, "1 % of 5 000");
    }

    /// proposal front-run: the suffix reserves a proposal for its proposer.
    function test_theProposerSuffix() public {
        Proposal memory p = _notice(1);
        p.description = string.concat("notice #proposer=", vm.toString(members[0]));
        p.id = _id(p);
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorRestrictedProposer.selector, members[1]));
        _propose(members[1], p);
        _propose(members[0], p);
    }

    // --- what may be proposed ---------------------------------------------------------------------------------------------

    function _expectNotAllowed(address target, bytes memory data) private {
        Proposal memory p = _call(target, data, "");
        vm.expectRevert(abi.encodeWithSelector(ICommunityGovernor.NotAllowed.selector, target, bytes4(data)));
        _propose(members[0], p);
    }

    function test_onlyListedCalls() public {
        _expectNotAllowed(address(board), abi.encodeCall(Noticeboard.postSecret, (1)));
        _expectNotAllowed(address(token), abi.encodeCall(token.mint, (_stranger, 1)));
        _expectNotAllowed(address(token), abi.encodeCall(token.transfer, (_stranger, 1)));
        _expectNotAllowed(address(timelock), abi.encodeCall(timelock.grantRole, (bytes32(0), _stranger)));
        _expectNotAllowed(address(timelock), abi.encodeCall(timelock.revokeRole, (bytes32(0), _stranger)));
        _expectNotAllowed(address(timelock), abi.encodeCall(timelock.renounceRole, (bytes32(0), _stranger)));
        _expectNotAllowed(address(timelock), abi.encodeCall(timelock.updateDelay, (0)));
        _expectNotAllowed(address(governor), abi.encodeCall(IFullGovernor.relay, (address(token), 0, "")));
        _expectNotAllowed(address(governor), abi.encodeCall(IFullGovernor.setProposalGuardian, (_stranger)));
        _expectNotAllowed(address(governor), abi.encodeCall(IFullGovernor.updateTimelock, (address(timelock))));
        _expectNotAllowed(_stranger, abi.encodeCall(Noticeboard.post, (1)));
        _expectNotAllowed(address(vault), abi.encodeCall(vault.evict, (_stranger)));
    }

    /// Calls without a whole selector: a payment, or three of its four bytes.
    function test_noBareCalls() public {
        _expectNotAllowed(address(board), "");
        _expectNotAllowed(address(board), hex"010203");
        // Even where the padded bytes stand on the list.
        (address[] memory targets, bytes4[] memory selectors) = _list(address(board));
        (targets[1], selectors[1]) = (address(board), bytes4(0x01020300));
        governor = _newGovernorFor(_settings(), targets, selectors);
        _expectNotAllowed(address(board), hex"010203");
        _propose(members[0], _call(address(board), hex"01020300", ""));
    }

    /// Every call of a batch is looked at, the last too.
    function test_everyCallOfABatch() public {
        Proposal memory p;
        p.targets = new address[](3);
        p.values = new uint256[](3);
        p.calldatas = new bytes[](3);
        for (uint256 i = 0; i < 3; ++i) {
            p.targets[i] = address(board);
            p.calldatas[i] = abi.encodeCall(Noticeboard.post, (i));
        }
        p.calldatas[2] = abi.encodeCall(Noticeboard.postSecret, (1));
        vm.expectRevert(
            abi.encodeWithSelector(
                ICommunityGovernor.NotAllowed.selector, address(board), Noticeboard.postSecret.selector
            )
        );
        _propose(members[0], p);
        p.calldatas[2] = abi.encodeCall(Noticeboard.post, (7));
        p.id = _id(p);
        _carry(p);
        assertEq(board.notice(), 7, "in order");
    }

    // --- the governor's own settings ----------------------------------------------------------------------------------

    function _set(bytes memory data) private {
        _carry(_call(address(governor), data, vm.toString(vm.getBlockTimestamp())));
    }

    function test_settingsChangeByProposal() public {
        _set(abi.encodeCall(IFullGovernor.setVotingDelay, (2 days)));
        assertEq(governor.votingDelay(), 2 days, "delay");
        _set(abi.encodeCall(IFullGovernor.setVotingPeriod, (2.5 days)));
        assertEq(governor.votingPeriod(), 2.5 days, "period");
        _set(abi.encodeCall(IFullGovernor.setProposalThreshold, (THRESHOLD / 2)));
        assertEq(governor.proposalThreshold(), THRESHOLD / 2, "threshold");
        _set(abi.encodeCall(IFullGovernor.updateQuorumNumerator, (20)));
        assertEq(governor.quorumNumerator(), 20, "quorum");
        _set(abi.encodeCall(IFullGovernor.setLateQuorumVoteExtension, (1 days)));
        assertEq(governor.lateQuorumVoteExtension(), 1 days, "extension");
    }

    function _expectOutside(bytes memory data, uint256 value, uint256 least, uint256 most) private {
        uint256 before = vm.snapshotState();
        Proposal memory p = _call(address(governor), data, "");
        _toReady(p);
        vm.expectRevert(abi.encodeWithSelector(ICommunityGovernor.SettingOutOfBounds.selector, value, least, most));
        _execute(p);
        vm.revertToState(before);
    }

    /// I17: a proposal that would leave the bounds passes and cannot be carried out.
    function test_I17_settingsStayWithinHalfAndDouble() public {
        uint48 d = VOTING_DELAY;
        _expectOutside(abi.encodeCall(IFullGovernor.setVotingDelay, (d / 2 - 1)), d / 2 - 1, d / 2, 2 * d);
        _expectOutside(abi.encodeCall(IFullGovernor.setVotingDelay, (2 * d + 1)), 2 * d + 1, d / 2, 2 * d);
        uint32 v = VOTING_PERIOD;
        _expectOutside(abi.encodeCall(IFullGovernor.setVotingPeriod, (v / 2 - 1)), v / 2 - 1, v / 2, 2 * v);
        _expectOutside(abi.encodeCall(IFullGovernor.setVotingPeriod, (2 * v + 1)), 2 * v + 1, v / 2, 2 * v);
        uint256 t = THRESHOLD;
        _expectOutside(abi.encodeCall(IFullGovernor.setProposalThreshold, (t / 2 - 1)), t / 2 - 1, t / 2, 2 * t);
        _expectOutside(abi.encodeCall(IFullGovernor.setProposalThreshold, (2 * t + 1)), 2 * t + 1, t / 2, 2 * t);
        _expectOutside(abi.encodeCall(IFullGovernor.updateQuorumNumerator, (4)), 4, 5, 20);
        _expectOutside(abi.encodeCall(IFullGovernor.updateQuorumNumerator, (21)), 21, 5, 20);
        uint48 e = LATE_EXTENSION;
        _expectOutside(abi.encodeCall(IFullGovernor.setLateQuorumVoteExtension, (e / 2 - 1)), e / 2 - 1, e / 2, 2 * e);
        _expectOutside(abi.encodeCall(IFullGovernor.setLateQuorumVoteExtension, (2 * e + 1)), 2 * e + 1, e / 2, 2 * e);
    }

    /// Half of an odd number rounds up, so that no setting can reach 0.
    function test_I17_halfRoundsUp() public {
        ICommunityGovernor.Settings memory s = _settings();
        s.quorumPercent = 1;
        (address[] memory targets, bytes4[] memory selectors) = _list(address(board));
        governor = _newGovernorFor(s, targets, selectors);
        _expectOutside(abi.encodeCall(IFullGovernor.updateQuorumNumerator, (0)), 0, 1, 2);
    }

    /// Both settings stay within their bounds, but not their sum.
    function test_settingsNeverOutlastTheLock() public {
        _set(abi.encodeCall(IFullGovernor.setVotingPeriod, (uint32(10 days - 1))));
        assertEq(governor.votingPeriod(), 10 days - 1, "10 + 2 + 2 days less a second");
        Proposal memory p =
            _call(address(governor), abi.encodeCall(IFullGovernor.setLateQuorumVoteExtension, (2 days + 1)), "");
        _toReady(p);
        vm.expectRevert(abi.encodeWithSelector(ICommunityGovernor.VoteOutlastsLock.selector, 14 days, UNLOCK_DELAY));
        _execute(p);
        p = _call(address(governor), abi.encodeCall(IFullGovernor.setVotingPeriod, (uint32(10 days))), "x");
        _toReady(p);
        vm.expectRevert(abi.encodeWithSelector(ICommunityGovernor.VoteOutlastsLock.selector, 14 days, UNLOCK_DELAY));
        _execute(p);
    }

    function test_nobodyElseSetsThem() public {
        vm.startPrank(_stranger);
        bytes memory only = abi.encodeWithSelector(IGovernor.GovernorOnlyExecutor.selector, _stranger);
        vm.expectRevert(only);
        governor.setVotingDelay(1 days);
        vm.expectRevert(only);
        governor.setVotingPeriod(5 days);
        vm.expectRevert(only);
        governor.setProposalThreshold(THRESHOLD);
        vm.expectRevert(only);
        governor.updateQuorumNumerator(10);
        vm.expectRevert(only);
        governor.setLateQuorumVoteExtension(2 days);
        vm.expectRevert(only);
        governor.setProposalGuardian(_stranger);
    }

    // --- I19 ----------------------------------------------------------------------------------------------------------

    /// I19: a lower quorum counts for votes that start after it.
    function test_I19_aLowerQuorumRevivesNothing() public {
        for (uint256 i = 0; i < 30; ++i) {
            _lock(_member(), 10_000e18); // 400 000: far above the floor
        }
        Proposal memory old = _notice(1);
        _propose(members[0], old);
        _toVote(old);
        _vote(members[0], old, 1);
        _vote(members[1], old, 1);
        _vote(members[2], old, 1); // 30 000 of 40 000 needed, more than the later 20 000
        _toEnd(old);
        _assertState(old, IGovernor.ProposalState.Defeated, "before");
        uint256 snapshot = governor.proposalSnapshot(old.id);
        uint256 needed = governor.quorum(snapshot);
        _set(abi.encodeCall(IFullGovernor.updateQuorumNumerator, (5)));
        skip(1);
        assertEq(governor.quorum(vm.getBlockTimestamp() - 1), needed / 2, "lower now");
        assertEq(governor.quorum(snapshot), needed, "not then");
        _assertState(old, IGovernor.ProposalState.Defeated, "after");
        bytes32 defeated = bytes32(1 << uint8(IGovernor.ProposalState.Succeeded));
        vm.expectRevert(
            abi.encodeWithSelector(
                IGovernor.GovernorUnexpectedProposalState.selector, old.id, IGovernor.ProposalState.Defeated, defeated
            )
        );
        _queue(old);
    }

    // --- the guardian's veto --------------------------------------------------------------------------------------------

    function test_theGuardianCancelsInEveryState() public {
        for (uint256 stage = 0; stage < 4; ++stage) {
            Proposal memory p = _notice(100 + stage);
            if (stage == 0) _propose(members[0], p);
            if (stage == 1) {
                _propose(members[0], p);
                _toVote(p);
            }
            if (stage == 2) _toSucceeded(p);
            if (stage == 3) _toReady(p);
            _guardianCancel(p);
            _assertState(p, IGovernor.ProposalState.Canceled, "cancelled");
        }
    }

    /// A cancelled proposal is gone from the timelock as well.
    function test_cancellingEmptiesTheTimelock() public {
        Proposal memory p = _notice(1);
        _toReady(p);
        _guardianCancel(p);
        bytes32 salt = bytes20(address(governor)) ^ keccak256(bytes(p.description));
        vm.expectRevert();
        timelock.executeBatch(p.targets, p.values, p.calldatas, 0, salt);
        assertEq(board.notice(), 0, "nothing happened");
    }

    function test_onlyTheGuardianCancels() public {
        Proposal memory p = _notice(1);
        _propose(members[0], p);
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorUnableToCancel.selector, p.id, members[1]));
        _cancel(members[1], p);
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorUnableToCancel.selector, p.id, watch));
        _cancel(watch, p);
        vm.expectRevert(abi.encodeWithSelector(IGuardian.NotGuardian.selector, _stranger, watch));
        vm.prank(_stranger);
        guardian.cancel(governor, p.targets, p.values, p.calldatas, keccak256(bytes(p.description)));
    }

    /// The proposer may take its proposal back before the vote starts, and no later, with or without a guardian.
    function test_theProposerCancelsBeforeTheVote() public {
        Proposal memory p = _notice(1);
        _propose(members[0], p);
        _cancel(members[0], p);
        _assertState(p, IGovernor.ProposalState.Canceled, "cancelled");
        p = _notice(2);
        _propose(members[0], p);
        _toVote(p);
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorUnableToCancel.selector, p.id, members[0]));
        _cancel(members[0], p);
        vm.prank(address(timelock));
        guardian.replace(address(0));
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorUnableToCancel.selector, p.id, members[0]));
        _cancel(members[0], p);
    }

    function test_theCommunityReplacesTheGuardian() public {
        Proposal memory p = _call(address(guardian), abi.encodeCall(IGuardian.replace, (_stranger)), "");
        _carry(p);
        assertEq(guardian.account(), _stranger, "replaced");
        Proposal memory q = _notice(1);
        _propose(members[0], q);
        vm.expectRevert(abi.encodeWithSelector(IGuardian.NotGuardian.selector, watch, _stranger));
        _guardianCancel(q);
    }
}
