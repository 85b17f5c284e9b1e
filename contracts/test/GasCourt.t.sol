// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRoundCourt} from "../src/interfaces/IRoundCourt.sol";
import {IRoundManager} from "../src/interfaces/IRoundManager.sol";
import {CommitHash} from "../src/libraries/CommitHash.sol";
import {Disputes} from "./utils/Disputes.sol";

/// @notice Gas of the court's calls and of the retry's phases on a ring of 24 with a jury of 16, kept in `snapshots/GasCourtTest.json`.
/// Measured as in `Gas.t.sol`.
/// forge-config: default.isolate = true
contract GasCourtTest is Disputes {
    /// A dispute of a score that is overturned, and what it proves.
    /// forge-config: default.isolate = true
    function test_gasOfAScoreDispute() public {
        uint256 round = _toChallengeWithPoison();
        _disputeScore(disputer, round, 7);
        _under("disputeScore: first of a round", 330_000);
        uint256 id = _disputeScoreMeasured(round);
        _drawJury(id);
        _under("drawJury: 16 jurors", 150_000);
        _voteMeasured(id);
        court.resolve(id);
        _under("resolve: score overturned", 250_000);
        court.slashField(id, 0);
        _under("slashField: lie and ban", 200_000);
        court.slashVerdict(round, uint16(VICTIM));
        _under("slashVerdict", 125_000);
    }

    function _disputeScoreMeasured(uint256 round) private returns (uint256 id) {
        id = _disputeScore(makeAddr("second disputer"), round, VICTIM);
        // The helper's last call gives up the prank, which is no transaction: the last one was the dispute.
        _under("disputeScore", 280_000);
    }

    /// Means over the jurors but the first; two of them stay silent, and are punished.
    function _voteMeasured(uint256 id) private {
        uint256[] memory places = _firstSeats(id, JURORS);
        uint256 sum = 0;
        for (uint256 i = 1; i < JURORS; ++i) {
            _commitBallot(id, places[i], HARM);
            if (i > 1) sum += vm.lastCallGas().gasTotalUsed;
        }
        _mean("commitBallot: mean", sum / (JURORS - 2), 75_000);
        vm.warp(uint256(court.disputeOf(id).commitEnd) + 1);
        court.slashAbsentJuror(id, uint8(places[0]));
        _under("slashAbsentJuror", 140_000);
        sum = 0;
        for (uint256 i = 2; i < JURORS; ++i) {
            _revealBallot(id, places[i], HARM);
            if (i > 2) sum += vm.lastCallGas().gasTotalUsed;
        }
        _mean("revealBallot: mean", sum / (JURORS - 3), 60_000);
        vm.warp(uint256(court.disputeOf(id).commitEnd) + 30 minutes + 1);
        court.slashUnrevealedBallot(id, uint8(places[1]));
        _under("slashUnrevealedBallot", 140_000);
    }

    /// A dispute of a score that is upheld: the bond burns.
    /// forge-config: default.isolate = true
    function test_gasOfAnUpheldDispute() public {
        uint256 round = _toChallenge(N);
        uint256 id = _disputeScore(disputer, round, VICTIM);
        _drawJury(id);
        _vote(id);
        court.resolve(id);
        _under("resolve: score upheld", 170_000);
        id = _disputeScore(disputer, round, 7);
        vm.warp(uint256(court.disputeOf(id).until) + 1);
        court.resolve(id);
        _under("resolve: lapsed", 90_000);
    }

    /// forge-config: default.isolate = true
    function test_gasOfAnAggregateDispute() public {
        uint256 round = _toChallenge(N);
        uint256 id = _disputeAggregate(disputer, round);
        _under("disputeAggregate", 330_000);
        _drawJury(id);
        _under("drawJury: 21 jurors", 150_000);
        for (uint256 i = 0; i < N; ++i) {
            _bought[members[i]] = 2;
        }
        _vote(id);
        court.resolve(id);
        _under("resolve: aggregate overturned", 200_000);
        court.slashAttester(id, 3);
        _under("slashAttester", 150_000);
    }

    /// A field that is wrong and no lie.
    /// forge-config: default.isolate = true
    function test_gasOfAWrongField() public {
        _fieldOf[VICTIM] = GOOD;
        _lie(VICTIM, GOOD + 1000, 5);
        uint256 round = _toChallenge(N);
        uint256 id = _disputeScore(disputer, round, VICTIM);
        _judge(id);
        court.slashField(id, 0);
        _under("slashField: wrong", 160_000);
    }

    /// Silence in a round, from its updates to its attestations.
    /// forge-config: default.isolate = true
    function test_gasOfSilence() public {
        uint256 round = _open();
        for (uint256 i = 0; i < N; ++i) {
            _commit(round, members[i]);
        }
        rounds.advance(round);
        for (uint256 i = 1; i < N; ++i) {
            _reveal(round, members[i]);
        }
        _expire(round);
        court.slashUnrevealedUpdate(round, members[0]);
        _under("slashUnrevealedUpdate", 130_000);
        court.slashUnrevealedSlice(round);
        _under("slashUnrevealedSlice", 100_000);
        _drawSeed(round);
        uint256 n = N - 1;
        for (uint256 index = 2; index < n; ++index) {
            _commitScores(round, index, _word(round, index));
        }
        _commitScores(round, 1, _word(round, 1));
        _expire(round);
        for (uint256 index = 2; index < n; ++index) {
            _revealScores(round, index, _word(round, index));
        }
        _expire(round);
        court.slashAbsentVerifier(round, 0, false);
        _under("slashAbsentVerifier", 140_000);
        court.slashUnrevealedScores(round, 1, false);
        _under("slashUnrevealedScores", 140_000);
        _settleAll(round, n);
        rounds.advance(round);
        for (uint256 slot = 1; slot < 10; ++slot) {
            _attest(round, slot);
        }
        _expire(round);
        court.slashAbsentAttester(round, 0);
        _under("slashAbsentAttester", 140_000);
    }

    /// forge-config: default.isolate = true
    function test_gasOfAWrongAttestation() public {
        uint256 round = _toAttest(N);
        for (uint256 slot = 1; slot < N; ++slot) {
            _attest(round, slot);
        }
        vm.prank(_attester(round, 0));
        rounds.attest(round, 0, keccak256("wrong"));
        _propose(round);
        _expire(round);
        court.slashWrongAttestation(round, 0);
        _under("slashWrongAttestation", 140_000);
    }

    /// Members 0 and 1 commit to the same bytes.
    /// forge-config: default.isolate = true
    function test_gasOfACopy() public {
        uint256 round = _open();
        IRoundCourt.Opening memory o = IRoundCourt.Opening({cid: keccak256("cid"), samples: 7, salt: keccak256("salt")});
        bytes32 content = keccak256("the same bytes");
        for (uint256 i = 0; i < N; ++i) {
            if (i > 1) {
                _commit(round, members[i]);
                continue;
            }
            vm.prank(members[i]);
            rounds.commitUpdate(
                round,
                CommitHash.update(block.chainid, address(rounds), round, members[i], content, o.cid, o.samples, o.salt)
            );
        }
        rounds.advance(round);
        for (uint256 i = 0; i < N; ++i) {
            if (i > 1) {
                _reveal(round, members[i]);
                continue;
            }
            vm.prank(members[i]);
            rounds.revealUpdate(round, content, o.cid, o.samples, o.salt);
        }
        _revealBenchmark(round);
        rounds.advance(round);
        _drawSeed(round);
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
        _toProposal(round);
        court.proveCopy(round, members[0], members[1], content, o, o);
        _under("proveCopy", 190_000);
    }

    /// The retry's own phases, and silence in them.
    /// forge-config: default.isolate = true
    function test_gasOfARetry() public {
        _lie(VICTIM, 0, 4);
        uint256 round = _toSettle(N);
        _settleAll(round, N);
        rounds.advance(round);
        _under("advance: to RetryCommit", 60_000);
        assertEq(uint256(_phaseOf(round)), uint256(IRoundManager.Phase.RetryCommit), "retry");
        (uint256 absent, uint256 silent) = _withDuty(round);
        for (uint256 index = 0; index < N; ++index) {
            if (index == absent) continue;
            _commitRetry(round, index, _retryWord(round, index));
        }
        _under("retry commitScores", 60_000);
        _expire(round);
        _under("advance: to RetryReveal", 60_000);
        for (uint256 index = 0; index < N; ++index) {
            if (index == absent || index == silent) continue;
            _revealRetry(round, index, _retryWord(round, index));
        }
        _under("retry revealScores", 45_000);
        _expire(round);
        _under("advance: to RetrySettle", 60_000);
        _settle(round, VICTIM);
        _under("retry settle", 90_000);
        rounds.advance(round);
        _under("advance: RetrySettle to Attest", 60_000);
        court.slashAbsentVerifier(round, uint16(absent), true);
        _under("slashAbsentVerifier: retry", 220_000);
        court.slashUnrevealedScores(round, uint16(silent), true);
        _under("slashUnrevealedScores: retry", 220_000);
    }

    /// Two owners whose second word is about the update that waits.
    function _withDuty(uint256 round) private view returns (uint256 first, uint256 second) {
        while (!court.hasRetryDuty(round, first)) ++first;
        second = first + 1;
        while (!court.hasRetryDuty(round, second)) ++second;
    }

    function _mean(string memory name, uint256 gas, uint256 target) private {
        vm.snapshotValue(name, gas);
        assertLe(gas, target, name);
    }

    /// Keeps the last call's gas in the snapshot, and below a bound.
    function _under(string memory name, uint256 target) private {
        assertLe(vm.snapshotGasLastCall(name), target, name);
    }
}
