// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {Community} from "../utils/Community.sol";

/// @notice Opening a round, committing and revealing updates and the benchmark slice.
contract RoundUpdatesTest is Community {
    function setUp() public {
        _deploy(_defaults());
        _admitMany(5);
    }

    // --- openRound ----------------------------------------------------------------------------------------------------

    function test_open_RevertWhen_aRoundRuns() public {
        uint256 round = _open();
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.RoundRunning.selector, round, IRoundManager.Phase.Commit));
        rounds.openRound(0);
    }

    function test_open_RevertWhen_notTheStewardWithinTheWindow() public {
        address steward = _steward(1);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.NotSteward.selector, address(this), steward));
        rounds.openRound(keccak256("slice"));
        (, uint40 ended) = rounds.phaseOf(0);
        vm.warp(uint256(ended) + 1 hours); // last second of the window
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.NotSteward.selector, address(this), steward));
        rounds.openRound(0);
    }

    function test_open_RevertWhen_theStewardGivesNoSlice() public {
        (, uint40 ended) = rounds.phaseOf(0);
        address steward = _steward(1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundManager.WrongSeal.selector, bytes32(0), uint256(ended) + 1 hours, block.timestamp
            )
        );
        vm.prank(steward);
        rounds.openRound(0);
    }

    function test_open_RevertWhen_aSliceComesLate() public {
        (, uint40 ended) = rounds.phaseOf(0);
        vm.warp(uint256(ended) + 1 hours + 1);
        address steward = _steward(1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundManager.WrongSeal.selector, keccak256("slice"), uint256(ended) + 1 hours, block.timestamp
            )
        );
        vm.prank(steward);
        rounds.openRound(keccak256("slice"));
    }

    function test_open_byTheSteward() public {
        bytes32 slice = _benchmarkCommitment(1);
        vm.expectEmit(address(rounds));
        emit IRoundManager.RoundOpened(
            1, _steward(1), GENESIS_MODEL, GENESIS_CID, 1, GUIDELINE, slice, 5, uint40(block.timestamp + 1 hours)
        );
        assertEq(_open(), 1, "round");
        assertEq(rounds.currentRound(), 1, "current");
        IRoundManager.Round memory r = rounds.roundOf(1);
        assertEq(uint256(r.seal), uint256(IRoundManager.Seal.Committed), "seal");
        assertEq(r.benchmarkCommitment, slice, "commitment");
        assertEq(r.openedAt, block.timestamp, "opened");
    }

    function test_open_byAnyoneAfterTheWindowIsUnsealed() public {
        skip(1 hours + 1);
        assertEq(rounds.openRound(0), 1, "round");
        assertEq(uint256(rounds.roundOf(1).seal), uint256(IRoundManager.Seal.Unsealed), "seal");
    }

    function test_open_stewardsTakeTurns() public {
        for (uint256 round = 1; round <= 7; ++round) {
            assertEq(_open(), round, "round");
            assertEq(_steward(round), seats[round % 5], "steward");
            _expire(round); // nobody commits
        }
    }

    // --- commitUpdate -------------------------------------------------------------------------------------------------

    function test_commit_RevertWhen_notEligible() public {
        uint256 round = _open();
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.NotEligible.selector, address(this), block.timestamp));
        rounds.commitUpdate(round, keccak256("commitment"));
    }

    function test_commit_RevertWhen_admittedAfterTheOpening() public {
        uint256 round = _open();
        uint256 openedAt = block.timestamp;
        _admitMany(1);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.NotEligible.selector, members[5], openedAt));
        vm.prank(members[5]);
        rounds.commitUpdate(round, keccak256("commitment"));
    }

    function test_commit_RevertWhen_exiting() public {
        uint256 round = _open();
        vm.startPrank(members[0]);
        registry.startExit();
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.NotEligible.selector, members[0], block.timestamp));
        rounds.commitUpdate(round, keccak256("commitment"));
        vm.stopPrank();
    }

    function test_I10_commit_RevertWhen_afterTheDeadline() public {
        uint256 round = _open();
        (, uint40 deadline) = rounds.phaseOf(round);
        vm.warp(deadline);
        _commit(round, members[0]); // the last second counts
        vm.warp(uint256(deadline) + 1);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.DeadlinePassed.selector, deadline, uint256(deadline) + 1));
        vm.prank(members[1]);
        rounds.commitUpdate(round, keccak256("commitment"));
    }

    function test_commit_RevertWhen_inAnotherPhase() public {
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundManager.WrongPhase.selector, IRoundManager.Phase.None, IRoundManager.Phase.Commit
            )
        );
        vm.prank(members[0]);
        rounds.commitUpdate(9, keccak256("commitment"));
    }

    function test_commit_takesANumber() public {
        uint256 round = _open();
        bytes32 commitment = _updateCommitment(round, members[3]);
        vm.expectEmit(address(rounds));
        emit IRoundManager.UpdateCommitted(round, members[3], 0, commitment);
        _commit(round, members[3]);
        _commit(round, members[1]);
        (IRoundManager.Entry entry, uint16 sequence,, bytes32 kept) = rounds.trainerOf(round, members[1]);
        assertEq(uint256(entry), uint256(IRoundManager.Entry.Committed), "entry");
        assertEq(sequence, 1, "sequence");
        assertEq(kept >> 48, _updateCommitment(round, members[1]) >> 48, "208 bits are kept");
    }

    // --- revealUpdate -------------------------------------------------------------------------------------------------

    function test_I10_reveal_RevertWhen_beforeItsPhase() public {
        uint256 round = _open();
        _commit(round, members[0]);
        Opening memory o = _opening(round, members[0]);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundManager.WrongPhase.selector, IRoundManager.Phase.Commit, IRoundManager.Phase.Reveal
            )
        );
        vm.prank(members[0]);
        rounds.revealUpdate(round, o.contentHash, o.cid, o.samples, o.salt);
    }

    function test_I10_reveal_RevertWhen_afterTheDeadline() public {
        uint256 round = _toReveal(5);
        (, uint40 deadline) = rounds.phaseOf(round);
        vm.warp(uint256(deadline) + 1);
        Opening memory o = _opening(round, members[0]);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.DeadlinePassed.selector, deadline, uint256(deadline) + 1));
        vm.prank(members[0]);
        rounds.revealUpdate(round, o.contentHash, o.cid, o.samples, o.salt);
    }

    function test_reveal_RevertWhen_notCommittedOrTwice() public {
        uint256 round = _toReveal(4);
        Opening memory o = _opening(round, members[4]);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundManager.WrongEntry.selector, members[4], IRoundManager.Entry.None, IRoundManager.Entry.Committed
            )
        );
        vm.prank(members[4]);
        rounds.revealUpdate(round, o.contentHash, o.cid, o.samples, o.salt);
        _reveal(round, members[0]);
        o = _opening(round, members[0]);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundManager.WrongEntry.selector,
                members[0],
                IRoundManager.Entry.Revealed,
                IRoundManager.Entry.Committed
            )
        );
        vm.prank(members[0]);
        rounds.revealUpdate(round, o.contentHash, o.cid, o.samples, o.salt);
    }

    function test_I10_reveal_RevertWhen_itOpensSomethingElse() public {
        uint256 round = _toReveal(5);
        Opening memory o = _opening(round, members[0]);
        (,,, bytes32 committed) = rounds.trainerOf(round, members[0]);
        vm.expectPartialRevert(IRoundManager.CommitmentMismatch.selector);
        vm.prank(members[0]);
        rounds.revealUpdate(round, o.contentHash, o.cid, o.samples + 1, o.salt);
        assertEq(committed, _updateCommitment(round, members[0]) >> 48 << 48, "kept");
    }

    function test_reveal_takesTheNextIndex() public {
        uint256 round = _toReveal(5);
        Opening memory o = _opening(round, members[4]);
        vm.expectEmit(address(rounds));
        emit IRoundManager.UpdateRevealed(round, members[4], 0, 4, o.contentHash, o.cid, o.samples);
        _reveal(round, members[4]);
        _reveal(round, members[2]);
        assertEq(rounds.ownerOf(round, 0), members[4], "first to reveal");
        assertEq(rounds.ownerOf(round, 1), members[2], "second");
        assertEq(rounds.ownerOf(round, 2), address(0), "none yet");
        (IRoundManager.Entry entry, uint16 sequence, uint16 index,) = rounds.trainerOf(round, members[2]);
        assertEq(uint256(entry), uint256(IRoundManager.Entry.Revealed), "entry");
        assertEq(sequence, 2, "sequence");
        assertEq(index, 1, "index");
    }

    // --- revealBenchmark ----------------------------------------------------------------------------------------------

    function test_benchmark_RevertWhen_notTheSteward() public {
        uint256 round = _toReveal(5);
        Opening memory o = _opening(round, address(0));
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.NotSteward.selector, address(this), _steward(round)));
        rounds.revealBenchmark(round, o.contentHash, o.cid, o.salt);
    }

    function test_benchmark_RevertWhen_itOpensSomethingElse() public {
        uint256 round = _toReveal(5);
        Opening memory o = _opening(round, address(0));
        address steward = _steward(round);
        vm.expectPartialRevert(IRoundManager.CommitmentMismatch.selector);
        vm.prank(steward);
        rounds.revealBenchmark(round, o.contentHash, o.cid, ~o.salt);
    }

    function test_benchmark_RevertWhen_twiceOrUnsealed() public {
        uint256 round = _toReveal(5);
        _revealBenchmark(round);
        Opening memory o = _opening(round, address(0));
        address steward = _steward(round);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundManager.NoSealToReveal.selector, IRoundManager.Seal.Revealed, IRoundManager.Seal.Committed
            )
        );
        vm.prank(steward);
        rounds.revealBenchmark(round, o.contentHash, o.cid, o.salt);
    }

    function test_benchmark_isOpenedByTheSteward() public {
        uint256 round = _toReveal(5);
        Opening memory o = _opening(round, address(0));
        vm.expectEmit(address(rounds));
        emit IRoundManager.BenchmarkRevealed(round, _steward(round), o.contentHash, o.cid);
        _revealBenchmark(round);
        assertEq(uint256(rounds.roundOf(round).seal), uint256(IRoundManager.Seal.Revealed), "seal");
    }
}
