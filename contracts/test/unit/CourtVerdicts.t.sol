// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRoundCourt} from "../../src/interfaces/IRoundCourt.sol";
import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {Disputes} from "../utils/Disputes.sol";

/// @notice What a jury decides about a score or a model, and when a dispute lapses.
contract CourtVerdictsTest is Disputes {
    // --- verdict on a score -------------------------------------------------------------------------------------------

    function test_resolve_RevertWhen_early() public {
        uint256 id = _disputeScore(disputer, _toChallenge(N), 3);
        _drawJury(id);
        uint256 revealEnd = uint256(court.disputeOf(id).commitEnd) + 30 minutes;
        vm.warp(revealEnd);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.TooEarly.selector, revealEnd, revealEnd));
        court.resolve(id);
    }

    function test_resolve_upholdsAndBurnsTheBond() public {
        uint256 round = _toChallenge(N);
        uint256 id = _disputeScore(disputer, round, VICTIM);
        _drawJury(id);
        _vote(id);
        uint256 supply = token.totalSupply();
        vm.expectEmit(address(court));
        emit IRoundCourt.DisputeResolved(
            id, IRoundCourt.Outcome.Upheld, IRoundManager.UpdateStatus.Pending, 0, uint8(JURORS)
        );
        court.resolve(id);
        assertEq(token.totalSupply(), supply - DISPUTE_BOND, "burned");
        assertEq(token.balanceOf(disputer), 0, "lost");
        assertEq(court.totalBonds(), 0, "settled");
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundCourt.WrongOutcome.selector, id, IRoundCourt.Outcome.Upheld, IRoundCourt.Outcome.None
            )
        );
        court.resolve(id);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundCourt.WrongOutcome.selector, id, IRoundCourt.Outcome.Upheld, IRoundCourt.Outcome.Overturned
            )
        );
        court.slashField(id, 0);
        _expire(round);
        _assertPhase(round, IRoundManager.Phase.Finalized, "goes on");
    }

    /// Within tau of one another on either side of a bound: no two honest verifiers would argue.
    function test_resolve_upholdsWithinTauWhateverTheStatus() public {
        _lie(VICTIM, GAIN_OFFSET + 99, 7); // Rejected
        _fieldOf[VICTIM] = GAIN_OFFSET + 399; // Accepted, by 300 more
        uint256 round = _toChallenge(N);
        _assertVerdict(round, VICTIM, IRoundManager.UpdateStatus.Rejected, "settled");
        uint256 id = _disputeScore(disputer, round, VICTIM);
        _judge(id);
        _assertOutcome(id, IRoundCourt.Outcome.Upheld);
        _assertVerdict(round, VICTIM, IRoundManager.UpdateStatus.Rejected, "stays");
    }

    function test_resolve_overturnsBeyondTau() public {
        _lie(VICTIM, GAIN_OFFSET + 99, 7);
        _fieldOf[VICTIM] = GAIN_OFFSET + 400;
        uint256 round = _toChallenge(N);
        uint256 id = _disputeScore(disputer, round, VICTIM);
        _judge(id);
        _assertOutcome(id, IRoundCourt.Outcome.Overturned);
        _assertVerdict(round, VICTIM, IRoundManager.UpdateStatus.Accepted, "corrected");
        _assertPhase(round, IRoundManager.Phase.Voided, "its model lacks it");
    }

    function test_resolve_upholdsMalformed() public {
        _fieldOf[VICTIM] = 2;
        uint256 id = _disputeScore(disputer, _toChallenge(N), VICTIM);
        _judge(id);
        _assertOutcome(id, IRoundCourt.Outcome.Upheld);
    }

    /// Another weight of an accepted update: the round goes on with the jury's.
    function test_resolve_overturnsAGainAndReturnsTheBond() public {
        _lie(VICTIM, GAIN_OFFSET + 15_000, 7);
        uint256 round = _toChallenge(N);
        uint256 id = _disputeScore(disputer, round, VICTIM);
        _drawJury(id);
        _vote(id);
        vm.expectEmit(address(court));
        emit IRoundCourt.DisputeResolved(
            id, IRoundCourt.Outcome.Overturned, IRoundManager.UpdateStatus.Accepted, 1400, uint8(JURORS)
        );
        vm.expectEmit(address(rounds));
        emit IRoundManager.UpdateRescored(
            round, uint16(VICTIM), members[VICTIM], IRoundManager.UpdateStatus.Accepted, 1400, 1400
        );
        court.resolve(id);
        assertEq(token.balanceOf(disputer), DISPUTE_BOND, "returned");
        assertEq(court.totalBonds(), 0, "settled");
        IRoundCourt.Dispute memory d = court.disputeOf(id);
        assertEq(uint256(d.status), uint256(IRoundManager.UpdateStatus.Accepted), "status");
        assertEq(d.gain, 1400, "gain");
        _assertPhase(round, IRoundManager.Phase.Challenge, "goes on");
        _expire(round);
        assertEq(rounds.earningsOf(round, VICTIM).weight, 1400, "paid by the jury's");
    }

    /// Eight of sixteen are not more than half, though all who came agree.
    function test_resolve_countsAllJurorsNotThoseWhoCame() public {
        uint256 round = _toChallengeWithPoison();
        uint256 id = _disputeScore(disputer, round, VICTIM);
        _drawJury(id);
        uint256[] memory places = _firstSeats(id, 9);
        for (uint256 i = 0; i < 9; ++i) {
            _commitBallot(id, places[i], HARM);
        }
        vm.warp(uint256(court.disputeOf(id).commitEnd) + 1);
        for (uint256 i = 0; i < 8; ++i) {
            _revealBallot(id, places[i], HARM);
        }
        uint256 state = vm.snapshotState();
        vm.warp(block.timestamp + 30 minutes);
        vm.expectEmit(address(court));
        emit IRoundCourt.DisputeResolved(id, IRoundCourt.Outcome.NoMajority, IRoundManager.UpdateStatus.Pending, 0, 8);
        court.resolve(id);
        assertEq(token.balanceOf(disputer), DISPUTE_BOND, "returned");
        _assertVerdict(round, VICTIM, IRoundManager.UpdateStatus.Accepted, "nothing changes");
        vm.revertToState(state);
        _revealBallot(id, places[8], HARM);
        vm.warp(block.timestamp + 30 minutes);
        court.resolve(id);
        _assertOutcome(id, IRoundCourt.Outcome.Overturned); // the ninth decides
    }

    /// Bytes that the jury cannot have show nothing against the panel, which had them.
    function test_threat_withholdingFromTheJury() public {
        uint256 round = _toChallenge(N);
        uint256 id = _disputeScore(members[VICTIM], round, VICTIM);
        for (uint256 i = 0; i < N; ++i) {
            _bought[members[i]] = 1; // Unavailable, truly
        }
        _judge(id);
        _assertOutcome(id, IRoundCourt.Outcome.Upheld);
        assertEq(token.balanceOf(members[VICTIM]), 0, "and its bond is gone");
        _assertPhase(round, IRoundManager.Phase.Challenge, "the round goes on");
    }

    function test_resolve_RevertWhen_noSuchDispute() public {
        bytes memory refused = abi.encodeWithSelector(IRoundCourt.NoSuchDispute.selector, 1, 0);
        vm.expectRevert(refused);
        court.resolve(1);
        vm.expectRevert(refused);
        court.drawJury(1);
        vm.expectRevert(refused);
        court.slashField(1, 0);
    }

    // --- lapse --------------------------------------------------------------------------------------------------------

    function test_resolve_lapsesUndrawn() public {
        uint256 round = _toChallenge(N);
        uint256 id = _disputeScore(disputer, round, 3);
        vm.warp(block.timestamp + 20 minutes);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.JuryNotDrawn.selector, id));
        court.resolve(id);
        skip(1);
        uint256 supply = token.totalSupply();
        court.resolve(id);
        _assertOutcome(id, IRoundCourt.Outcome.Lapsed);
        assertEq(token.totalSupply(), supply - DISPUTE_BOND, "burned");
    }

    function test_resolve_lapsesAfterItsEnd() public {
        uint256 round = _toChallengeWithPoison();
        uint256 id = _disputeScore(disputer, round, VICTIM);
        _drawJury(id);
        _vote(id);
        uint256 until = court.disputeOf(id).until;
        uint256 state = vm.snapshotState();
        vm.warp(until);
        court.resolve(id);
        _assertOutcome(id, IRoundCourt.Outcome.Overturned); // the last second counts
        vm.revertToState(state);
        _expire(round);
        _assertPhase(round, IRoundManager.Phase.Finalized, "nobody resolved it in time");
        court.resolve(id);
        _assertOutcome(id, IRoundCourt.Outcome.Lapsed);
        _assertVerdict(round, VICTIM, IRoundManager.UpdateStatus.Accepted, "a Finalized round never changes");
        assertEq(token.balanceOf(disputer), 0, "bond lost");
    }

    // --- the aggregate ------------------------------------------------------------------------------------------------

    function test_aggregate_voidsAndPunishesThoseCounted() public {
        uint256 round = _toAttest(N);
        for (uint256 slot = 0; slot < 17; ++slot) {
            _attest(round, slot);
        }
        _propose(round); // a wrong model: 17 of 24 are enough
        uint256 id = _disputeAggregate(disputer, round);
        IRoundCourt.Dispute memory d = court.disputeOf(id);
        assertEq(uint256(d.kind), uint256(IRoundCourt.Kind.Aggregate), "kind");
        assertFalse(d.isIndependent, "all 24 are attesters");
        _drawJury(id);
        assertEq(court.disputeOf(id).jurors, 21, "so nobody is excluded");
        for (uint256 i = 0; i < N; ++i) {
            _bought[members[i]] = 2;
        }
        _vote(id);
        vm.expectEmit(address(court));
        emit IRoundCourt.DisputeResolved(id, IRoundCourt.Outcome.Overturned, IRoundManager.UpdateStatus.Pending, 0, 21);
        vm.expectEmit(address(rounds));
        emit IRoundManager.RoundVoided(round, IRoundManager.VoidReason.CourtVoided);
        court.resolve(id);
        assertEq(token.balanceOf(disputer), DISPUTE_BOND, "returned");
        address attester = _attester(round, 16);
        vm.expectEmit(address(court));
        emit IRoundCourt.FaultPunished(round, attester, 7, 16, disputer, 25e18);
        court.slashAttester(id, 16);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.AlreadyPunished.selector, round, 7, 16));
        court.slashAttester(id, 16);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.NotCounted.selector, 17));
        court.slashAttester(id, 17);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundCourt.WrongKind.selector, id, IRoundCourt.Kind.Aggregate, IRoundCourt.Kind.Score
            )
        );
        court.slashField(id, 0);
    }

    function test_aggregate_isUpheld() public {
        uint256 round = _toChallenge(N);
        uint256 id = _disputeAggregate(disputer, round);
        _judge(id);
        _assertOutcome(id, IRoundCourt.Outcome.Upheld);
        assertEq(token.balanceOf(disputer), 0, "burned");
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundCourt.WrongOutcome.selector, id, IRoundCourt.Outcome.Upheld, IRoundCourt.Outcome.Overturned
            )
        );
        court.slashAttester(id, 0);
        _expire(round);
        _assertPhase(round, IRoundManager.Phase.Finalized, "goes on");
    }

    /// 21 jurors: eleven decide, ten do not, either way.
    function test_aggregate_needsMoreThanHalfOfAll() public {
        _aggregateVotes(10, 2, IRoundCourt.Outcome.NoMajority);
        _aggregateVotes(11, 2, IRoundCourt.Outcome.Overturned);
        _aggregateVotes(10, 1, IRoundCourt.Outcome.NoMajority);
        _aggregateVotes(11, 1, IRoundCourt.Outcome.Upheld);
    }

    function _aggregateVotes(uint256 votes, uint256 ballot, IRoundCourt.Outcome expected) private {
        uint256 state = vm.snapshotState();
        uint256 round = _toChallenge(N);
        uint256 id = _disputeAggregate(disputer, round);
        _drawJury(id);
        for (uint256 place = 0; place < votes; ++place) {
            _commitBallot(id, place, ballot);
        }
        vm.warp(uint256(court.disputeOf(id).commitEnd) + 1);
        for (uint256 place = 0; place < votes; ++place) {
            _revealBallot(id, place, ballot);
        }
        vm.warp(block.timestamp + 30 minutes);
        court.resolve(id);
        _assertOutcome(id, expected);
        vm.revertToState(state);
    }

    /// A ring of 40: the first 31 positions attested, so only the other nine may judge.
    function test_aggregate_excludesTheAttesters() public {
        _admitMany(40 - N);
        uint256 round = _toChallenge(40);
        uint256 id = _disputeAggregate(disputer, round);
        assertTrue(court.disputeOf(id).isIndependent, "nobody judges itself");
        _drawJury(id);
        IRoundCourt.Dispute memory d = court.disputeOf(id);
        assertEq(d.places, 40, "21 + 31 are more than the ring has");
        assertEq(d.jurors, 9, "jurors");
        for (uint256 place = 0; place < 40; ++place) {
            address juror = _juror(id, place);
            if (juror == address(0)) continue;
            (,, uint16 index,) = rounds.trainerOf(round, juror);
            assertGe(rounds.positionOf(round, index), 31, "no attester");
        }
    }
}
