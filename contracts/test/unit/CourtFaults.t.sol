// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRoundCourt} from "../../src/interfaces/IRoundCourt.sol";
import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {CommitHash} from "../../src/libraries/CommitHash.sol";
import {Community} from "../utils/Community.sol";

/// @notice Proofs of fault from the record of a round: when each can be given, that it is given once, and what it costs.
contract CourtFaultsTest is Community {
    uint256 private constant N = 8;
    address private prover = makeAddr("prover");
    mapping(uint256 index => uint256 field) private _fieldOf;

    function setUp() public {
        _deploy(_defaults());
        _admitMany(N);
    }

    function _truth(uint256 index) internal view override returns (uint256) {
        uint256 field = _fieldOf[index];
        return field == 0 ? super._truth(index) : field;
    }

    function _notProvable(uint256 round) private view returns (bytes memory) {
        IRoundManager.Round memory r = rounds.roundOf(round);
        return abi.encodeWithSelector(IRoundCourt.FaultNotProvable.selector, r.phase, r.voidReason);
    }

    function _noFault(address account, IRoundManager.Entry actual, IRoundManager.Entry faulty)
        private
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(IRoundCourt.NoFault.selector, account, actual, faulty);
    }

    function _punished(uint256 round, uint8 fault, uint256 subject) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IRoundCourt.AlreadyPunished.selector, round, fault, subject);
    }

    /// The next call punishes `account`: once, with this share of its stake, and names `prover` to the registry.
    function _expectPunished(address account, uint256 round, uint8 fault, uint256 subject, uint256 amount) private {
        assertFalse(court.isPunished(round, fault, subject), "not yet");
        vm.expectEmit(address(court));
        emit IRoundCourt.FaultPunished(round, account, fault, subject, prover, amount);
        vm.prank(prover);
    }

    function _assertPunished(uint256 round, uint8 fault, uint256 subject) private view {
        assertTrue(court.isPunished(round, fault, subject), "marked");
        assertFalse(court.isPunished(round + 1, fault, subject), "in this round");
        assertFalse(court.isPunished(round, fault + 1, subject), "for this fault");
        assertFalse(court.isPunished(round, fault, subject + 1), "for this subject");
        assertFalse(court.isPunished(round, fault, subject + 256), "for this subject alone");
    }

    // --- update not revealed ------------------------------------------------------------------------------------------

    function test_unrevealedUpdate_RevertWhen_revealIsNotOver() public {
        uint256 round = _toReveal(N);
        (, uint40 deadline) = rounds.phaseOf(round);
        vm.warp(uint256(deadline) + 1); // past the deadline, not advanced
        vm.expectRevert(_notProvable(round));
        court.slashUnrevealedUpdate(round, members[0]);
    }

    function test_unrevealedUpdate_RevertWhen_thereWasNoReveal() public {
        uint256 round = _open();
        _commit(round, members[0]);
        _expire(round); // voided: too few commits
        vm.expectRevert(_notProvable(round));
        court.slashUnrevealedUpdate(round, members[0]);
    }

    function test_unrevealedUpdate_RevertWhen_noFault() public {
        uint256 round = _toReveal(N - 1);
        for (uint256 i = 0; i < N - 2; ++i) {
            _reveal(round, members[i]);
        }
        _expire(round);
        vm.expectRevert(_noFault(members[N - 1], IRoundManager.Entry.None, IRoundManager.Entry.Committed));
        court.slashUnrevealedUpdate(round, members[N - 1]);
        vm.expectRevert(_noFault(members[0], IRoundManager.Entry.Revealed, IRoundManager.Entry.Committed));
        court.slashUnrevealedUpdate(round, members[0]);
    }

    function test_unrevealedUpdate_costs2PercentOnce() public {
        uint256 round = _toReveal(N);
        _expire(round); // voided: too few reveals; still a fault
        _expectPunished(members[3], round, 1, 3, 2e18);
        court.slashUnrevealedUpdate(round, members[3]);
        assertEq(registry.stakeOf(members[3]), 98e18, "stake");
        _assertPunished(round, 1, 3);
        vm.expectRevert(_punished(round, 1, 3));
        court.slashUnrevealedUpdate(round, members[3]);
        (IRoundManager.Entry entry,,,) = rounds.trainerOf(round, members[3]);
        assertEq(uint256(entry), uint256(IRoundManager.Entry.Committed), "the record stays");
    }

    // --- verifiers ----------------------------------------------------------------------------------------------------

    function test_verifiers_RevertWhen_scoreRevealIsNotOver() public {
        uint256 round = _toScoreCommit(N);
        vm.expectRevert(_notProvable(round));
        court.slashAbsentVerifier(round, 0, false);
        _commitScores(round, 0, 0);
        _expire(round);
        vm.expectRevert(_notProvable(round));
        court.slashUnrevealedScores(round, 0, false);
    }

    function test_verifiers_RevertWhen_theRoundDrewNoRing() public {
        uint256 round = _toReveal(N);
        _reveal(round, members[0]);
        _expire(round); // voided: too few reveals
        vm.expectRevert(_notProvable(round));
        court.slashAbsentVerifier(round, 0, false);
        round = _open();
        _expire(round); // voided: too few commits
        vm.expectRevert(_notProvable(round));
        court.slashAbsentVerifier(round, 0, false);
    }

    function test_verifiers_RevertWhen_noFault() public {
        uint256 round = _toSettle(N);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.NoSuchIndex.selector, N, N));
        court.slashAbsentVerifier(round, uint16(N), false);
        vm.expectRevert(_noFault(members[0], IRoundManager.Entry.Revealed, IRoundManager.Entry.None));
        court.slashAbsentVerifier(round, 0, false);
        vm.expectRevert(_noFault(members[0], IRoundManager.Entry.Revealed, IRoundManager.Entry.Committed));
        court.slashUnrevealedScores(round, 0, false);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.NoSuchIndex.selector, 0, 0));
        court.slashAbsentVerifier(0, 0, false); // genesis
    }

    function _toSettleWithOneAbsentAndOneSilent() private returns (uint256 round) {
        round = _toScoreCommit(N);
        for (uint256 index = 1; index < N; ++index) {
            _commitScores(round, index, _word(round, index));
        }
        _expire(round);
        for (uint256 index = 2; index < N; ++index) {
            _revealScores(round, index, _word(round, index));
        }
        _expire(round);
    }

    function test_absentVerifier_costs1PercentOnce() public {
        uint256 round = _toSettleWithOneAbsentAndOneSilent();
        vm.expectRevert(_noFault(members[0], IRoundManager.Entry.None, IRoundManager.Entry.Committed));
        court.slashUnrevealedScores(round, 0, false);
        _expectPunished(members[0], round, 2, 0, 1e18);
        court.slashAbsentVerifier(round, 0, false);
        _assertPunished(round, 2, 0);
        vm.expectRevert(_punished(round, 2, 0));
        court.slashAbsentVerifier(round, 0, false);
    }

    function test_unrevealedScores_cost5PercentOnce() public {
        uint256 round = _toSettleWithOneAbsentAndOneSilent();
        vm.expectRevert(_noFault(members[1], IRoundManager.Entry.Committed, IRoundManager.Entry.None));
        court.slashAbsentVerifier(round, 1, false);
        _expectPunished(members[1], round, 3, 1, 5e18);
        court.slashUnrevealedScores(round, 1, false);
        _assertPunished(round, 3, 1);
        vm.expectRevert(_punished(round, 3, 1));
        court.slashUnrevealedScores(round, 1, false);
        _settleAll(round, N);
        assertEq(rounds.roundOf(round).accepted, N, "5 of 7 verifiers agree everywhere");
        assertEq(rounds.earningsOf(round, 1).correct, 0, "a closed word earns nothing");
    }

    function test_verifiers_canBeProvenInAVoidedRound() public {
        uint256 round = _toSettleWithOneAbsentAndOneSilent();
        _expire(round); // nothing settled
        _assertPhase(round, IRoundManager.Phase.Voided, "voided");
        court.slashAbsentVerifier(round, 0, false);
        assertEq(registry.stakeOf(members[0]), 99e18, "slashed");
    }

    /// A ring of 8 has no second panel, so nobody owes it anything.
    function test_verifiers_RevertWhen_theRingHasNoSecondPanel() public {
        uint256 round = _toScoreCommit(N);
        _expire(round);
        vm.expectRevert(_notProvable(round));
        court.slashAbsentVerifier(round, 0, true);
        _expire(round);
        _settleAll(round, N); // all Unscored
        _expire(round);
        assertFalse(court.hasRetryDuty(round, 0), "none");
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.NoRetryDuty.selector, round, 0));
        court.slashAbsentVerifier(round, 0, true);
    }

    // --- the steward --------------------------------------------------------------------------------------------------

    function test_slice_RevertWhen_revealIsNotOverOrNeverWas() public {
        uint256 round = _toReveal(N);
        vm.expectRevert(_notProvable(round));
        court.slashUnrevealedSlice(round);
        _expire(round);
        round = _open();
        _expire(round); // too few commits
        vm.expectRevert(_notProvable(round));
        court.slashUnrevealedSlice(round);
    }

    function test_slice_RevertWhen_itWasOpenedOrNeverCommitted() public {
        uint256 round = _toScoreCommit(N);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.NoSilentSteward.selector, IRoundManager.Seal.Revealed));
        court.slashUnrevealedSlice(round);
        _expire(round);
        _expire(round);
        _expire(round); // nothing settled: voided
        skip(2 hours);
        round = rounds.openRound(0);
        for (uint256 i = 0; i < N; ++i) {
            _commit(round, members[i]);
        }
        rounds.advance(round);
        _expire(round);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.NoSilentSteward.selector, IRoundManager.Seal.Unsealed));
        court.slashUnrevealedSlice(round);
    }

    /// A steward that is no member has no stake: it loses 0, and the round its seal.
    function test_slice_costsTheOpener() public {
        uint256 round = _toReveal(N);
        for (uint256 i = 0; i < N; ++i) {
            _reveal(round, members[i]);
        }
        _expire(round);
        assertEq(rounds.roundOf(round).steward, seats[1], "opener");
        _expectPunished(seats[1], round, 9, 0, 0);
        court.slashUnrevealedSlice(round);
        _assertPunished(round, 9, 0);
        vm.expectRevert(_punished(round, 9, 0));
        court.slashUnrevealedSlice(round);
    }

    function test_slice_costs5PercentOfAStewardsStake() public {
        _admit(seats[1]);
        skip(1);
        uint256 round = _toReveal(N);
        _expire(round); // too few reveals: Reveal is over all the same
        _expectPunished(seats[1], round, 9, 0, 5e18);
        court.slashUnrevealedSlice(round);
    }

    // --- attesters ----------------------------------------------------------------------------------------------------

    function test_absentAttester_RevertWhen_thereWasAQuorumOrTheRoundRuns() public {
        uint256 round = _toAttest(N);
        vm.expectRevert(_notProvable(round));
        court.slashAbsentAttester(round, 7);
        for (uint256 slot = 0; slot < 6; ++slot) {
            _attest(round, slot);
        }
        _propose(round); // slots 6 and 7 had no time
        vm.expectRevert(_notProvable(round));
        court.slashAbsentAttester(round, 7);
        _expire(round);
        vm.expectRevert(_notProvable(round));
        court.slashAbsentAttester(round, 7);
    }

    function test_absentAttester_costs1PercentOnce() public {
        uint256 round = _toAttest(N);
        _attest(round, 0);
        _expire(round);
        address attester = _attester(round, 0);
        vm.expectRevert(_noFault(attester, IRoundManager.Entry.Committed, IRoundManager.Entry.None));
        court.slashAbsentAttester(round, 0);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.NoSuchSlot.selector, N, N));
        court.slashAbsentAttester(round, uint8(N));
        _expectPunished(_attester(round, 7), round, 8, 7, 1e18);
        court.slashAbsentAttester(round, 7);
        _assertPunished(round, 8, 7);
        vm.expectRevert(_punished(round, 8, 7));
        court.slashAbsentAttester(round, 7);
    }

    function test_wrongAttestation_RevertWhen_theModelIsNotFinal() public {
        uint256 round = _toAttest(N);
        for (uint256 slot = 0; slot < 6; ++slot) {
            _attest(round, slot);
        }
        vm.prank(_attester(round, 6));
        rounds.attest(round, 6, keccak256("wrong"));
        vm.expectRevert(_notProvable(round));
        court.slashWrongAttestation(round, 6);
        _propose(round);
        vm.expectRevert(_notProvable(round)); // it may still be overturned
        court.slashWrongAttestation(round, 6);
    }

    function test_wrongAttestation_costs25PercentOnce() public {
        uint256 round = _toAttest(N);
        for (uint256 slot = 0; slot < 6; ++slot) {
            _attest(round, slot);
        }
        address liar = _attester(round, 6);
        vm.prank(liar);
        rounds.attest(round, 6, keccak256("wrong"));
        _propose(round);
        _expire(round);
        vm.expectPartialRevert(IRoundCourt.NoWrongAttestation.selector);
        court.slashWrongAttestation(round, 0); // right
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.NoWrongAttestation.selector, 7, bytes32(0)));
        court.slashWrongAttestation(round, 7); // absent
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.NoSuchSlot.selector, 8, 8));
        court.slashWrongAttestation(round, 8);
        _expectPunished(liar, round, 7, 6, 25e18);
        court.slashWrongAttestation(round, 6);
        _assertPunished(round, 7, 6);
        vm.expectRevert(_punished(round, 7, 6));
        court.slashWrongAttestation(round, 6);
    }

    // --- verdicts -----------------------------------------------------------------------------------------------------

    function _withBadUpdates() private {
        _fieldOf[0] = 1; // Unavailable
        _fieldOf[1] = 2; // Malformed
        _fieldOf[2] = GAIN_OFFSET - 1000; // Harmful
        _fieldOf[3] = GAIN_OFFSET; // Rejected
    }

    function test_verdict_RevertWhen_theTimeToAppealIsNotOver() public {
        _withBadUpdates();
        uint256 round = _toAttest(N);
        vm.expectRevert(_notProvable(round));
        court.slashVerdict(round, 1);
        for (uint256 slot = 0; slot < N; ++slot) {
            _attest(round, slot);
        }
        _propose(round);
        (, uint40 deadline) = rounds.phaseOf(round);
        vm.warp(uint256(deadline) + 1);
        vm.expectRevert(_notProvable(round));
        court.slashVerdict(round, 1);
    }

    /// Voided before a Challenge: nobody could appeal.
    function test_verdict_RevertWhen_thereWasNoAppeal() public {
        _withBadUpdates();
        uint256 round = _toAttest(N);
        _expire(round);
        vm.expectRevert(_notProvable(round));
        court.slashVerdict(round, 1);
    }

    function test_verdict_costsOnceAndBurns() public {
        _withBadUpdates();
        uint256 round = _toFinalized(N);
        uint256 supply = token.totalSupply();
        uint256[3] memory amounts = [uint256(2e18), 20e18, 10e18];
        for (uint16 index = 0; index < 3; ++index) {
            uint8 fault = uint8(4 + index);
            vm.expectEmit(address(court));
            emit IRoundCourt.FaultPunished(round, members[index], fault, index, address(0), amounts[index]);
            vm.prank(prover);
            court.slashVerdict(round, index);
            assertTrue(court.isPunished(round, fault, index), "marked");
            vm.expectRevert(_punished(round, fault, index));
            court.slashVerdict(round, index);
        }
        assertEq(token.totalSupply(), supply - 32e18, "all of it burns");
        assertEq(token.balanceOf(prover), 0, "nobody gains");
    }

    function test_verdict_RevertWhen_itCostsNothing() public {
        _withBadUpdates();
        uint256 round = _toFinalized(N);
        vm.expectRevert(
            abi.encodeWithSelector(IRoundCourt.NoFaultyVerdict.selector, 3, IRoundManager.UpdateStatus.Rejected)
        );
        court.slashVerdict(round, 3);
        vm.expectRevert(
            abi.encodeWithSelector(IRoundCourt.NoFaultyVerdict.selector, 4, IRoundManager.UpdateStatus.Accepted)
        );
        court.slashVerdict(round, 4);
    }

    // --- copies -------------------------------------------------------------------------------------------------------

    function _salt(address trainer) private pure returns (bytes32) {
        return keccak256(abi.encode("salt of", trainer));
    }

    function _proof(address trainer) private pure returns (IRoundCourt.Opening memory) {
        return IRoundCourt.Opening({cid: keccak256(abi.encode(trainer)), samples: 7, salt: _salt(trainer)});
    }

    /// Members 5 and 2 commit to the same bytes, 5 first; each with its own CID and salt.
    function _toRevealWithACopy() private returns (uint256 round) {
        round = _open();
        uint8[8] memory order = [5, 0, 1, 2, 3, 4, 6, 7];
        for (uint256 i = 0; i < N; ++i) {
            address trainer = members[order[i]];
            IRoundCourt.Opening memory o = _proof(trainer);
            bytes32 content = _content(order[i]);
            vm.prank(trainer);
            rounds.commitUpdate(
                round,
                CommitHash.update(block.chainid, address(rounds), round, trainer, content, o.cid, o.samples, o.salt)
            );
        }
        rounds.advance(round);
        for (uint256 i = 0; i < N; ++i) {
            IRoundCourt.Opening memory o = _proof(members[i]);
            vm.prank(members[i]);
            rounds.revealUpdate(round, _content(i), o.cid, o.samples, o.salt);
        }
        _revealBenchmark(round);
        rounds.advance(round);
        _drawSeed(round);
    }

    function _content(uint256 i) private pure returns (bytes32) {
        return keccak256(abi.encode("content", i == 5 ? 2 : i));
    }

    function _scoreToChallenge(uint256 round) private {
        for (uint256 index = 0; index < N; ++index) {
            _commitScores(round, index, _word(round, index));
        }
        rounds.advance(round);
        for (uint256 index = 0; index < N; ++index) {
            _revealScores(round, index, _word(round, index));
        }
        rounds.advance(round);
        _settleAll(round, N);
        rounds.advance(round);
        for (uint256 slot = 0; slot < N; ++slot) {
            _attest(round, slot);
        }
        _propose(round);
    }

    function _prove(uint256 round, uint256 original, uint256 copy) private {
        court.proveCopy(
            round, members[original], members[copy], _content(2), _proof(members[original]), _proof(members[copy])
        );
    }

    function proveCopy(uint256 round, uint256 original, uint256 copy) external {
        vm.startPrank(prover);
        _prove(round, original, copy);
        vm.stopPrank();
    }

    function test_copy_RevertWhen_nothingCanBeForfeitedYet() public {
        uint256 round = _toRevealWithACopy();
        vm.expectRevert(_notProvable(round));
        this.proveCopy(round, 5, 2);
    }

    function test_copy_RevertWhen_theOpeningsAreNotTheirs() public {
        uint256 round = _toRevealWithACopy();
        _scoreToChallenge(round);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.NotTheCopy.selector, 3, 0));
        this.proveCopy(round, 2, 5); // the original is no copy
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.NotTheCopy.selector, 3, 3));
        this.proveCopy(round, 2, 2); // nor is anybody of itself
        vm.expectPartialRevert(IRoundCourt.CommitmentMismatch.selector);
        this.proveCopy(round, 5, 1); // other bytes
        vm.expectPartialRevert(IRoundCourt.CommitmentMismatch.selector);
        this.proveCopy(round, 1, 2);
        members.push(makeAddr("stranger"));
        vm.expectRevert(_noFault(members[N], IRoundManager.Entry.None, IRoundManager.Entry.Revealed));
        this.proveCopy(round, 5, N);
    }

    function test_copy_costs20PercentAndTheReward() public {
        uint256 round = _toRevealWithACopy();
        _scoreToChallenge(round);
        vm.expectEmit(address(rounds));
        emit IRoundManager.UpdateForfeited(round, 2, members[2]);
        vm.expectEmit(address(court));
        emit IRoundCourt.FaultPunished(round, members[2], 10, 2, prover, 20e18);
        this.proveCopy(round, 5, 2);
        _assertPunished(round, 10, 2);
        vm.expectRevert(_punished(round, 10, 2));
        this.proveCopy(round, 5, 2);
        (IRoundManager.UpdateStatus status,, uint32 weight,, bool isForfeited) = rounds.resultOf(round, 2);
        assertEq(uint256(status), uint256(IRoundManager.UpdateStatus.Accepted), "it stays in the aggregate");
        assertTrue(isForfeited, "forfeited");
        assertGt(weight, 0, "and in the sum");
        _expire(round);
        assertTrue(rounds.earningsOf(round, 2).isForfeited, "no pay");
        assertEq(distributor.claim(round, 2), 0, "as trainer, verifier and attester");
        assertGt(distributor.claim(round, 5), 0, "the original is paid");
    }

    /// Between the deadline and `advance` a copy is still forfeited; once Finalized it costs stake only.
    function test_copy_isForfeitedUntilTheRoundEnds() public {
        uint256 round = _toRevealWithACopy();
        _scoreToChallenge(round);
        uint256 state = vm.snapshotState();
        (, uint40 deadline) = rounds.phaseOf(round);
        vm.warp(uint256(deadline) + 1);
        this.proveCopy(round, 5, 2);
        rounds.advance(round);
        assertEq(distributor.claim(round, 2), 0, "forfeited");
        vm.revertToState(state);
        _expire(round);
        this.proveCopy(round, 5, 2);
        assertEq(registry.stakeOf(members[2]), 80e18, "slashed");
        assertGt(distributor.claim(round, 2), 0, "but paid: the record of a Finalized round never changes");
    }

    function test_copy_isProvableInAVoidedRound() public {
        uint256 round = _toRevealWithACopy();
        _expire(round);
        _expire(round);
        _expire(round); // nothing settled
        this.proveCopy(round, 5, 2);
        assertEq(registry.stakeOf(members[2]), 80e18, "slashed");
    }
}
