// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {CommitHash} from "../../src/libraries/CommitHash.sol";
import {Community} from "../utils/Community.sol";

/// @notice `advance`: when each phase ends, early and late, and where a round is voided.
contract RoundTimeTest is Community {
    uint256 private constant N = 5;

    function setUp() public {
        _deploy(_defaults());
        _admitMany(N);
    }

    function _expectTooEarly(uint256 round) private {
        (, uint40 deadline) = rounds.phaseOf(round);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.TooEarly.selector, deadline, block.timestamp));
        rounds.advance(round);
    }

    function _expectVoid(uint256 round, IRoundManager.VoidReason reason) private {
        (, uint40 deadline) = rounds.phaseOf(round);
        vm.warp(uint256(deadline) + 1);
        vm.expectEmit(address(rounds));
        emit IRoundManager.PhaseChanged(round, IRoundManager.Phase.Voided, uint40(block.timestamp));
        vm.expectEmit(address(rounds));
        emit IRoundManager.RoundVoided(round, reason);
        rounds.advance(round);
        IRoundManager.Round memory r = rounds.roundOf(round);
        assertEq(uint256(r.voidReason), uint256(reason), "reason");
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.RoundEnded.selector, round, IRoundManager.Phase.Voided));
        rounds.advance(round);
        (bytes32 modelHash,, uint256 from) = rounds.latestModel();
        assertEq(modelHash, GENESIS_MODEL, "the model stays");
        assertEq(from, 0, "of genesis");
    }

    function test_advance_RevertWhen_noSuchRound() public {
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.NoSuchRound.selector, 1, 0));
        rounds.advance(1);
    }

    function test_advance_RevertWhen_genesisOrFinalized() public {
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.RoundEnded.selector, 0, IRoundManager.Phase.Finalized));
        rounds.advance(0);
        uint256 round = _toFinalized(N);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.RoundEnded.selector, round, IRoundManager.Phase.Finalized));
        rounds.advance(round);
    }

    // --- Commit -------------------------------------------------------------------------------------------------------

    function test_commit_waitsForAllOrTheDeadline() public {
        uint256 round = _open();
        for (uint256 i = 0; i < N - 1; ++i) {
            _commit(round, members[i]);
        }
        _expectTooEarly(round);
        (, uint40 deadline) = rounds.phaseOf(round);
        vm.warp(deadline);
        _expectTooEarly(round); // the last second still belongs to the phase
        _expire(round);
        _assertPhase(round, IRoundManager.Phase.Reveal, "late");
    }

    function test_commit_endsEarlyOnceAllCommitted() public {
        uint256 round = _toReveal(N);
        (IRoundManager.Phase phase, uint40 deadline) = rounds.phaseOf(round);
        assertEq(uint256(phase), uint256(IRoundManager.Phase.Reveal), "early");
        assertEq(deadline, block.timestamp + 30 minutes, "now + duration");
    }

    function test_commit_voidsBelowTheMinimum() public {
        uint256 round = _open();
        _commit(round, members[0]);
        _commit(round, members[1]);
        _expectVoid(round, IRoundManager.VoidReason.TooFewCommits);
    }

    // --- Reveal -------------------------------------------------------------------------------------------------------

    function test_reveal_waitsForTheSlice() public {
        uint256 round = _toReveal(N);
        for (uint256 i = 0; i < N; ++i) {
            _reveal(round, members[i]);
        }
        _expectTooEarly(round);
        _revealBenchmark(round);
        rounds.advance(round);
        _assertPhase(round, IRoundManager.Phase.Seed, "early");
    }

    function test_reveal_waitsForEveryCommit() public {
        uint256 round = _toReveal(N);
        _revealBenchmark(round);
        for (uint256 i = 0; i < N - 1; ++i) {
            _reveal(round, members[i]);
        }
        _expectTooEarly(round);
        _expire(round);
        _assertPhase(round, IRoundManager.Phase.Seed, "late");
    }

    function test_reveal_doesNotWaitForASliceThatWasNeverCommitted() public {
        skip(2 hours);
        uint256 round = rounds.openRound(0);
        for (uint256 i = 0; i < N; ++i) {
            _commit(round, members[i]);
        }
        rounds.advance(round);
        for (uint256 i = 0; i < N; ++i) {
            _reveal(round, members[i]);
        }
        rounds.advance(round);
        _drawSeed(round);
        assertFalse(rounds.earningsOf(round, 0).isSealed, "unsealed");
    }

    function test_reveal_withoutTheSliceTheRoundIsUnsealed() public {
        uint256 round = _toReveal(N);
        for (uint256 i = 0; i < N; ++i) {
            _reveal(round, members[i]);
        }
        _expire(round);
        uint256 seedBlock = rounds.roundOf(round).seedBlock;
        vm.roll(seedBlock + 1);
        bytes32 blockHash = keccak256("block");
        vm.setBlockhash(seedBlock, blockHash);
        vm.expectEmit(address(rounds));
        emit IRoundManager.SeedDrawn(round, CommitHash.seed(blockHash, round, address(rounds)), false);
        rounds.advance(round);
    }

    function test_reveal_voidsBelowTheMinimum() public {
        uint256 round = _toReveal(N);
        _reveal(round, members[0]);
        _reveal(round, members[1]);
        _expectVoid(round, IRoundManager.VoidReason.TooFewReveals);
    }

    // --- Seed ---------------------------------------------------------------------------------------------------------

    function test_seed_isPinnedAheadAndDrawnAfter() public {
        uint256 round = _toReveal(N);
        for (uint256 i = 0; i < N; ++i) {
            _reveal(round, members[i]);
        }
        _revealBenchmark(round);
        uint256 seedBlock = block.number + 4;
        vm.expectEmit(address(rounds));
        emit IRoundManager.PhaseChanged(round, IRoundManager.Phase.Seed, 0);
        vm.expectEmit(address(rounds));
        emit IRoundManager.SeedPinned(round, uint48(seedBlock));
        rounds.advance(round);

        vm.roll(seedBlock);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.SeedNotReady.selector, seedBlock, block.number));
        rounds.advance(round);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.SeedNotReady.selector, seedBlock, block.number));
        rounds.positionOf(round, 0);

        vm.roll(seedBlock + 1);
        bytes32 blockHash = keccak256("block");
        vm.setBlockhash(seedBlock, blockHash);
        bytes32 seed = CommitHash.seed(blockHash, round, address(rounds));
        vm.expectEmit(address(rounds));
        emit IRoundManager.SeedDrawn(round, seed, true);
        vm.expectEmit(address(rounds));
        emit IRoundManager.PhaseChanged(round, IRoundManager.Phase.ScoreCommit, uint40(block.timestamp + 30 minutes));
        rounds.advance(round);
        assertEq(rounds.roundOf(round).seed, seed, "seed");
    }

    function test_seed_isPinnedAgainWhenItsBlockIsForgotten() public {
        uint256 round = _toSeed(N);
        uint256 pinned = rounds.roundOf(round).seedBlock;
        vm.roll(pinned + 257);
        vm.expectEmit(address(rounds));
        emit IRoundManager.SeedPinned(round, uint48(block.number + 4));
        rounds.advance(round);
        _assertPhase(round, IRoundManager.Phase.Seed, "still");
        _drawSeed(round);
        _assertPhase(round, IRoundManager.Phase.ScoreCommit, "drawn from the new block");
    }

    // --- scores -------------------------------------------------------------------------------------------------------

    function test_scores_waitForAllOrTheDeadline() public {
        uint256 round = _toScoreCommit(N);
        for (uint256 index = 0; index < N - 1; ++index) {
            _commitScores(round, index, _word(round, index));
        }
        _expectTooEarly(round);
        _expire(round);
        _assertPhase(round, IRoundManager.Phase.ScoreReveal, "late");
        for (uint256 index = 0; index < N - 2; ++index) {
            _revealScores(round, index, _word(round, index));
        }
        _expectTooEarly(round);
        _revealScores(round, N - 2, _word(round, N - 2));
        rounds.advance(round);
        _assertPhase(round, IRoundManager.Phase.Settle, "every commit is revealed");
    }

    // --- Settle and after ---------------------------------------------------------------------------------------------

    function test_settle_waitsForAllOrTheDeadline() public {
        uint256 round = _toSettle(N);
        _settle(round, 0);
        _expectTooEarly(round);
        _expire(round);
        _assertPhase(round, IRoundManager.Phase.Attest, "one accepted is enough");
    }

    function test_settle_voidsWithNothingAccepted() public {
        _expectVoid(_toSettle(N), IRoundManager.VoidReason.NothingAccepted);
    }

    function test_attest_voidsWithoutAProposal() public {
        uint256 round = _toAttest(N);
        _expectTooEarly(round);
        _expectVoid(round, IRoundManager.VoidReason.NoQuorum);
    }

    function test_challenge_isNeverCutShort() public {
        uint256 round = _toChallenge(N);
        _expectTooEarly(round);
        (bytes32 modelHash, bytes32 cid) = _model(round);
        (, uint40 deadline) = rounds.phaseOf(round);
        vm.warp(uint256(deadline) + 1);
        vm.expectEmit(address(rounds));
        emit IRoundManager.RoundFinalized(round, modelHash, cid, uint16(N), rounds.roundOf(round).sumWeight);
        rounds.advance(round);
        (bytes32 latest, bytes32 latestCid, uint256 from) = rounds.latestModel();
        assertEq(latest, modelHash, "model");
        assertEq(latestCid, cid, "cid");
        assertEq(from, round, "round");
        (, uint40 ended) = rounds.phaseOf(round);
        assertEq(ended, block.timestamp, "moment of the end");
    }

    function test_aFinalizedRoundIsTheParentOfTheNext() public {
        uint256 round = _toFinalized(N);
        (bytes32 modelHash, bytes32 cid) = _model(round);
        bytes32 slice = _benchmarkCommitment(round + 1);
        vm.expectEmit(address(rounds));
        emit IRoundManager.RoundOpened(
            round + 1,
            _steward(round + 1),
            modelHash,
            cid,
            1,
            GUIDELINE,
            slice,
            uint16(N),
            uint40(block.timestamp + 1 hours)
        );
        _open();
    }
}
