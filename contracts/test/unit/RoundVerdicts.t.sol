// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {CommitHash} from "../../src/libraries/CommitHash.sol";
import {RingShuffle} from "../../src/libraries/RingShuffle.sol";
import {ScoreWord} from "../../src/libraries/ScoreWord.sol";
import {Community} from "../utils/Community.sol";

/// @notice Scores, settling, attestations and the proposal of the aggregate.
contract RoundVerdictsTest is Community {
    uint256 private constant N = 8;
    mapping(uint256 index => uint256 field) private _fieldOf;

    function setUp() public {
        _deploy(_defaults());
        _admitMany(N);
    }

    function _truth(uint256 index) internal view override returns (uint256) {
        uint256 field = _fieldOf[index];
        return field == 0 ? super._truth(index) : field;
    }

    // --- commitScores -------------------------------------------------------------------------------------------------

    function test_commitScores_RevertWhen_notTheOwner() public {
        uint256 round = _toScoreCommit(N);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.NotRingOwner.selector, address(this), members[2]));
        rounds.commitScores(round, 2, keccak256("commitment"));
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.NotRingOwner.selector, members[0], address(0)));
        vm.prank(members[0]);
        rounds.commitScores(round, uint16(N), keccak256("commitment"));
    }

    function test_commitScores_RevertWhen_twiceOrOutOfTime() public {
        uint256 round = _toScoreCommit(N);
        _commitScores(round, 0, 0);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundManager.WrongEntry.selector, members[0], IRoundManager.Entry.Committed, IRoundManager.Entry.None
            )
        );
        vm.prank(members[0]);
        rounds.commitScores(round, 0, keccak256("another"));
        (, uint40 deadline) = rounds.phaseOf(round);
        vm.warp(uint256(deadline) + 1);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.DeadlinePassed.selector, deadline, block.timestamp));
        vm.prank(members[1]);
        rounds.commitScores(round, 1, keccak256("late"));
    }

    // --- revealScores -------------------------------------------------------------------------------------------------

    function test_revealScores_RevertWhen_itOpensSomethingElse() public {
        uint256 round = _toScoreReveal(N);
        bytes32 salt = _scoreSalt(round, 0);
        vm.expectPartialRevert(IRoundManager.CommitmentMismatch.selector);
        vm.prank(members[0]);
        rounds.revealScores(round, 0, 1, salt);
    }

    function test_revealScores_RevertWhen_notCommittedNotOwnerOrTwice() public {
        uint256 round = _toScoreCommit(N);
        for (uint256 index = 1; index < N; ++index) {
            _commitScores(round, index, 5);
        }
        _expire(round);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundManager.WrongEntry.selector, members[0], IRoundManager.Entry.None, IRoundManager.Entry.Committed
            )
        );
        vm.prank(members[0]);
        rounds.revealScores(round, 0, 5, 0);
        bytes32 salt = _scoreSalt(round, 1);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.NotRingOwner.selector, members[0], members[1]));
        vm.prank(members[0]);
        rounds.revealScores(round, 1, 5, salt);
        _revealScores(round, 1, 5);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundManager.WrongEntry.selector,
                members[1],
                IRoundManager.Entry.Revealed,
                IRoundManager.Entry.Committed
            )
        );
        vm.prank(members[1]);
        rounds.revealScores(round, 1, 5, salt);
    }

    function test_revealScores_RevertWhen_theWordIsTooWide() public {
        uint256 round = _toScoreCommit(N);
        uint256 word = 1 << 140;
        for (uint256 index = 0; index < N; ++index) {
            _commitScores(round, index, word);
        }
        rounds.advance(round);
        bytes32 salt = _scoreSalt(round, 0);
        vm.expectRevert(abi.encodeWithSelector(ScoreWord.WordTooWide.selector, word, (1 << 140) - 1));
        vm.prank(members[0]);
        rounds.revealScores(round, 0, word, salt);
    }

    function test_revealScores_keepsTheWord() public {
        uint256 round = _toScoreReveal(N);
        uint256 word = _word(round, 3);
        (IRoundManager.Entry entry, uint256 kept) = rounds.scoresOf(round, 3);
        assertEq(uint256(entry), uint256(IRoundManager.Entry.Committed), "committed");
        assertEq(kept, 0, "not known yet");
        vm.expectEmit(address(rounds));
        emit IRoundManager.ScoresRevealed(round, 3, members[3], word);
        _revealScores(round, 3, word);
        (entry, kept) = rounds.scoresOf(round, 3);
        assertEq(uint256(entry), uint256(IRoundManager.Entry.Revealed), "revealed");
        assertEq(kept, word, "word");
    }

    // --- settle -------------------------------------------------------------------------------------------------------

    function test_settle_RevertWhen_tooManyAtOnce() public {
        uint256 round = _toSettle(N);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.TooManyIndices.selector, 17, 16));
        rounds.settle(round, new uint16[](17));
    }

    function test_settle_RevertWhen_notOnTheRing() public {
        uint256 round = _toSettle(N);
        uint16[] memory indices = new uint16[](1);
        indices[0] = uint16(N);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.NoSuchIndex.selector, N, N));
        rounds.settle(round, indices);
    }

    function test_settle_RevertWhen_outOfTime() public {
        uint256 round = _toSettle(N);
        (, uint40 deadline) = rounds.phaseOf(round);
        vm.warp(uint256(deadline) + 1);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.DeadlinePassed.selector, deadline, block.timestamp));
        rounds.settle(round, new uint16[](1));
    }

    function test_settle_acceptsWithCappedWeight() public {
        _fieldOf[0] = GAIN_OFFSET + 1234;
        _fieldOf[1] = GAIN_OFFSET + GAIN_CAP + 1;
        uint256 round = _toSettle(N);
        vm.expectEmit(address(rounds));
        emit IRoundManager.UpdateSettled(round, 0, members[0], IRoundManager.UpdateStatus.Accepted, 1234, 7, 1234);
        _settle(round, 0);
        _settle(round, 1);
        (IRoundManager.UpdateStatus status, int32 gain, uint32 weight,,) = rounds.resultOf(round, 1);
        assertEq(uint256(status), uint256(IRoundManager.UpdateStatus.Accepted), "status");
        assertEq(gain, int256(GAIN_CAP + 1), "gain");
        assertEq(weight, GAIN_CAP, "weight is capped");
        IRoundManager.Round memory r = rounds.roundOf(round);
        assertEq(r.settled, 2, "settled");
        assertEq(r.accepted, 2, "accepted");
        assertEq(r.sumWeight, 1234 + GAIN_CAP, "sum");
    }

    function test_settle_rejectsWithoutPenalty() public {
        _fieldOf[0] = GAIN_OFFSET + 99; // below deltaMin
        _fieldOf[1] = GAIN_OFFSET - 999; // above −harmMin
        uint256 round = _toSettle(N);
        _settleAll(round, 2);
        for (uint256 index = 0; index < 2; ++index) {
            (IRoundManager.UpdateStatus status,, uint32 weight,,) = rounds.resultOf(round, index);
            assertEq(uint256(status), uint256(IRoundManager.UpdateStatus.Rejected), "status");
            assertEq(weight, 0, "weight");
            assertEq(registry.stakeOf(members[index]), GRANT, "stake");
        }
    }

    /// What the ring found costs nothing yet: first comes the time to appeal.
    function test_settle_punishesNobody() public {
        _fieldOf[0] = 1;
        _fieldOf[1] = 2;
        _fieldOf[2] = GAIN_OFFSET - 1000;
        uint256 round = _toSettle(N);
        uint256 stakes = registry.totalStake();
        _settleAll(round, 3);
        for (uint256 index = 0; index < 3; ++index) {
            (IRoundManager.UpdateStatus status,,,,) = rounds.resultOf(round, index);
            assertEq(uint256(status), 4 + index, "Unavailable, Malformed, Harmful");
        }
        assertEq(registry.totalStake(), stakes, "stakes");
    }

    function test_settle_twiceChangesNothing() public {
        _fieldOf[1] = 2;
        uint256 round = _toSettle(N);
        uint16[] memory indices = new uint16[](4);
        indices[1] = 1;
        indices[2] = 1;
        rounds.settle(round, indices);
        rounds.settle(round, indices);
        IRoundManager.Round memory r = rounds.roundOf(round);
        assertEq(r.settled, 2, "settled");
        assertEq(r.accepted, 1, "accepted");
    }

    function test_settle_withoutWordsIsUnscored() public {
        uint256 round = _toScoreCommit(N);
        _expire(round);
        _expire(round);
        _settle(round, 0);
        (IRoundManager.UpdateStatus status,,,,) = rounds.resultOf(round, 0);
        assertEq(uint256(status), uint256(IRoundManager.UpdateStatus.Unscored), "status");
    }

    // --- attest -------------------------------------------------------------------------------------------------------

    function test_attest_RevertWhen_notTheAttester() public {
        uint256 round = _toAttest(N);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.NotRingOwner.selector, address(this), _attester(round, 0)));
        rounds.attest(round, 0, keccak256("attestation"));
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.NoSuchSlot.selector, N, N));
        rounds.attest(round, uint8(N), keccak256("attestation"));
    }

    function test_attest_RevertWhen_zeroTwiceOrOutOfTime() public {
        uint256 round = _toAttest(N);
        address attester = _attester(round, 0);
        vm.startPrank(attester);
        vm.expectRevert(IRoundManager.ZeroAttestation.selector);
        rounds.attest(round, 0, 0);
        rounds.attest(round, 0, keccak256("attestation"));
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.AlreadyAttested.selector, 0, keccak256("attestation")));
        rounds.attest(round, 0, keccak256("another"));
        (, uint40 deadline) = rounds.phaseOf(round);
        vm.warp(uint256(deadline) + 1);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.DeadlinePassed.selector, deadline, block.timestamp));
        rounds.attest(round, 0, keccak256("late"));
        vm.stopPrank();
    }

    // --- proposeAggregate ---------------------------------------------------------------------------------------------

    /// 8 attesters: more than two thirds are 6.
    function test_propose_RevertWhen_noQuorum() public {
        uint256 round = _toAttest(N);
        for (uint256 slot = 0; slot < 5; ++slot) {
            _attest(round, slot);
        }
        (bytes32 modelHash, bytes32 cid) = _model(round);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.NoQuorum.selector, 5, 6));
        rounds.proposeAggregate(round, SECRET, modelHash, cid);
        _attest(round, 5);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.NoQuorum.selector, 0, 6));
        rounds.proposeAggregate(round, ~SECRET, modelHash, cid);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.NoQuorum.selector, 0, 6));
        rounds.proposeAggregate(round, SECRET, modelHash, ~cid);
        _propose(round);
    }

    function test_propose_startsTheChallenge() public {
        uint256 round = _toAttest(N);
        for (uint256 slot = 0; slot < 6; ++slot) {
            _attest(round, slot);
        }
        (bytes32 modelHash, bytes32 cid) = _model(round);
        vm.expectEmit(address(rounds));
        emit IRoundManager.AggregateProposed(round, address(this), SECRET, modelHash, cid, 6);
        vm.expectEmit(address(rounds));
        emit IRoundManager.PhaseChanged(round, IRoundManager.Phase.Challenge, uint40(block.timestamp + 1 hours));
        _propose(round);
        (address attester, bytes32 attestation, bool isCorrect) = rounds.attestationOf(round, 5);
        assertEq(attester, _attester(round, 5), "attester");
        assertEq(attestation, CommitHash.attestation(round, attester, SECRET, modelHash, cid), "attestation");
        assertTrue(isCorrect, "correct");
        (,, isCorrect) = rounds.attestationOf(round, 6);
        assertFalse(isCorrect, "did not attest");
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundManager.WrongPhase.selector, IRoundManager.Phase.Challenge, IRoundManager.Phase.Attest
            )
        );
        rounds.proposeAggregate(round, SECRET, modelHash, cid);
    }

    // --- views --------------------------------------------------------------------------------------------------------

    function test_positionsAndIndicesAreInverse() public {
        uint256 round = _toScoreCommit(N);
        for (uint256 index = 0; index < N; ++index) {
            assertEq(rounds.indexAt(round, rounds.positionOf(round, index)), index, "inverse");
        }
        vm.expectRevert(abi.encodeWithSelector(RingShuffle.OutsideRing.selector, N, N));
        rounds.positionOf(round, N);
    }
}
