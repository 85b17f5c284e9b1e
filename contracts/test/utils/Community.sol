// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IMemberRegistry} from "../../src/interfaces/IMemberRegistry.sol";
import {IRoundCourt} from "../../src/interfaces/IRoundCourt.sol";
import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {CommitHash} from "../../src/libraries/CommitHash.sol";
import {Founding} from "./Founding.sol";

/// @notice A community and the steps of a round, one function each: what every test is written in.
abstract contract Community is Founding {
    // --- a round ------------------------------------------------------------------------------------------------------

    struct Opening {
        bytes32 contentHash;
        bytes32 cid;
        uint32 samples;
        bytes32 salt;
    }

    /// What `trainer` commits to in `round`.
    function _opening(uint256 round, address trainer) internal pure returns (Opening memory) {
        return Opening({
            contentHash: keccak256(abi.encode("content", round, trainer)),
            cid: keccak256(abi.encode("cid", round, trainer)),
            samples: uint32(uint160(trainer)),
            salt: keccak256(abi.encode("salt", round, trainer))
        });
    }

    function _updateCommitment(uint256 round, address trainer) internal view returns (bytes32) {
        Opening memory o = _opening(round, trainer);
        return
            CommitHash.update(block.chainid, address(rounds), round, trainer, o.contentHash, o.cid, o.samples, o.salt);
    }

    function _steward(uint256 round) internal view returns (address) {
        return registry.seatHolder(round % registry.seatCount());
    }

    function _benchmarkCommitment(uint256 round) internal view returns (bytes32) {
        Opening memory o = _opening(round, address(0));
        return
            CommitHash.benchmark(block.chainid, address(rounds), round, _steward(round), o.contentHash, o.cid, o.salt);
    }

    /// Opens a sealed round, as its steward.
    function _open() internal returns (uint256 round) {
        round = rounds.currentRound() + 1;
        bytes32 commitment = _benchmarkCommitment(round);
        vm.prank(_steward(round));
        rounds.openRound(commitment);
    }

    function _commit(uint256 round, address trainer) internal {
        bytes32 commitment = _updateCommitment(round, trainer);
        vm.prank(trainer);
        rounds.commitUpdate(round, commitment);
    }

    function _reveal(uint256 round, address trainer) internal {
        Opening memory o = _opening(round, trainer);
        vm.prank(trainer);
        rounds.revealUpdate(round, o.contentHash, o.cid, o.samples, o.salt);
    }

    function _revealBenchmark(uint256 round) internal {
        Opening memory o = _opening(round, address(0));
        vm.prank(_steward(round));
        rounds.revealBenchmark(round, o.contentHash, o.cid, o.salt);
    }

    /// Ends the phase by its deadline.
    function _expire(uint256 round) internal {
        (, uint40 deadline) = rounds.phaseOf(round);
        vm.warp(uint256(deadline) + 1);
        rounds.advance(round);
    }

    /// Mines the seed block and draws the ring.
    function _drawSeed(uint256 round) internal {
        vm.roll(uint256(rounds.roundOf(round).seedBlock) + 1);
        vm.setBlockhash(block.number - 1, keccak256(abi.encode("block", block.number - 1)));
        rounds.advance(round);
    }

    /// What an honest verifier writes about the update of ring member `index`. Tests override it.
    function _truth(uint256 index) internal view virtual returns (uint256 field) {
        return GAIN_OFFSET + 1000 + 100 * (index % 64);
    }

    /// Score word of ring member `index`, honest.
    function _word(uint256 round, uint256 index) internal view virtual returns (uint256 word) {
        uint256 n = rounds.roundOf(round).reveals;
        uint256 position = rounds.positionOf(round, index);
        for (uint256 j = 0; j < _verifiers(n); ++j) {
            word |= _truth(rounds.indexAt(round, (position + 1 + j) % n)) << (20 * j);
        }
    }

    function _verifiers(uint256 n) internal view returns (uint256) {
        uint256 most = rounds.params().maxVerifiers;
        return n - 1 < most ? n - 1 : most;
    }

    function _attesters(uint256 n) internal view returns (uint256) {
        uint256 most = rounds.params().maxAttesters;
        return n < most ? n : most;
    }

    /// Retry word of ring member `index`, honest: about the k updates after those of its first word.
    function _retryWord(uint256 round, uint256 index) internal view virtual returns (uint256 word) {
        uint256 n = rounds.roundOf(round).reveals;
        uint256 k = _verifiers(n);
        uint256 position = rounds.positionOf(round, index);
        for (uint256 j = 0; j < k; ++j) {
            word |= _truth(rounds.indexAt(round, (position + k + 1 + j) % n)) << (20 * j);
        }
    }

    function _scoreSalt(uint256 round, uint256 index) internal pure returns (bytes32) {
        return keccak256(abi.encode("scores", round, index));
    }

    function _commitScores(uint256 round, uint256 index, uint256 word) internal {
        address verifier = rounds.ownerOf(round, index);
        bytes32 commitment =
            CommitHash.scores(block.chainid, address(rounds), round, verifier, word, _scoreSalt(round, index));
        vm.prank(verifier);
        rounds.commitScores(round, uint16(index), commitment);
    }

    function _revealScores(uint256 round, uint256 index, uint256 word) internal {
        vm.prank(rounds.ownerOf(round, index));
        rounds.revealScores(round, uint16(index), word, _scoreSalt(round, index));
    }

    function _retrySalt(uint256 round, uint256 index) internal pure returns (bytes32) {
        return keccak256(abi.encode("retry", round, index));
    }

    function _commitRetry(uint256 round, uint256 index, uint256 word) internal {
        address verifier = rounds.ownerOf(round, index);
        bytes32 commitment =
            CommitHash.scores(block.chainid, address(rounds), round, verifier, word, _retrySalt(round, index));
        vm.prank(verifier);
        rounds.commitScores(round, uint16(index), commitment);
    }

    function _revealRetry(uint256 round, uint256 index, uint256 word) internal {
        vm.prank(rounds.ownerOf(round, index));
        rounds.revealScores(round, uint16(index), word, _retrySalt(round, index));
    }

    /// From RetryCommit to RetrySettle, everybody taking part.
    function _toRetrySettle(uint256 round) internal {
        uint256 n = rounds.roundOf(round).reveals;
        for (uint256 index = 0; index < n; ++index) {
            _commitRetry(round, index, _retryWord(round, index));
        }
        rounds.advance(round);
        for (uint256 index = 0; index < n; ++index) {
            _revealRetry(round, index, _retryWord(round, index));
        }
        rounds.advance(round);
    }

    function _settle(uint256 round, uint256 index) internal {
        uint16[] memory indices = new uint16[](1);
        indices[0] = uint16(index);
        rounds.settle(round, indices);
    }

    function _model(uint256 round) internal pure returns (bytes32 modelHash, bytes32 cid) {
        return (keccak256(abi.encode("model", round)), keccak256(abi.encode("model cid", round)));
    }

    function _attester(uint256 round, uint256 slot) internal view returns (address) {
        return rounds.ownerOf(round, rounds.indexAt(round, slot));
    }

    function _attest(uint256 round, uint256 slot) internal {
        (bytes32 modelHash, bytes32 cid) = _model(round);
        address attester = _attester(round, slot);
        vm.prank(attester);
        rounds.attest(round, uint8(slot), CommitHash.attestation(round, attester, SECRET, modelHash, cid));
    }

    function _propose(uint256 round) internal {
        (bytes32 modelHash, bytes32 cid) = _model(round);
        rounds.proposeAggregate(round, SECRET, modelHash, cid);
    }

    // --- disputes -----------------------------------------------------------------------------------------------------

    /// Gives `account` tokens, as if a round had paid it.
    function _give(address account, uint256 amount) internal virtual {
        vm.prank(address(distributor));
        token.mint(account, amount);
    }

    /// `account` pays the bond and disputes the verdict on `index`.
    function _disputeScore(address account, uint256 round, uint256 index) internal returns (uint256 id) {
        _give(account, DISPUTE_BOND);
        vm.startPrank(account);
        token.approve(address(court), DISPUTE_BOND);
        id = court.disputeScore(round, uint16(index));
        vm.stopPrank();
    }

    function _disputeAggregate(address account, uint256 round) internal returns (uint256 id) {
        _give(account, DISPUTE_BOND);
        vm.startPrank(account);
        token.approve(address(court), DISPUTE_BOND);
        id = court.disputeAggregate(round);
        vm.stopPrank();
    }

    /// Mines the seed block and draws the jury.
    function _drawJury(uint256 id) internal {
        uint256 seedBlock = court.disputeOf(id).seedBlock;
        if (block.number <= seedBlock) vm.roll(seedBlock + 1);
        vm.setBlockhash(seedBlock, keccak256(abi.encode("jury", id, seedBlock)));
        court.drawJury(id);
    }

    /// Who sits at `place`; zero where it is excluded.
    function _juror(uint256 id, uint256 place) internal view returns (address juror) {
        try court.jurorAt(id, place) returns (address found) {
            return found;
        } catch {
            return address(0);
        }
    }

    function _ballotSalt(uint256 id, uint256 place) internal pure returns (bytes32) {
        return keccak256(abi.encode("ballot", id, place));
    }

    function _commitBallot(uint256 id, uint256 place, uint256 ballot) internal {
        address juror = court.jurorAt(id, place);
        bytes32 commitment = CommitHash.ballot(block.chainid, address(court), id, juror, ballot, _ballotSalt(id, place));
        vm.prank(juror);
        court.commitBallot(id, uint8(place), commitment);
    }

    function _revealBallot(uint256 id, uint256 place, uint256 ballot) internal {
        vm.prank(court.jurorAt(id, place));
        court.revealBallot(id, uint8(place), ballot, _ballotSalt(id, place));
    }

    /// Every juror commits to and opens what `_ballot` says of it.
    function _vote(uint256 id) internal {
        uint256 places = court.disputeOf(id).places;
        for (uint256 place = 0; place < places; ++place) {
            address juror = _juror(id, place);
            if (juror != address(0)) _commitBallot(id, place, _ballot(id, juror));
        }
        for (uint256 place = 0; place < places; ++place) {
            address juror = _juror(id, place);
            if (juror != address(0)) _revealBallot(id, place, _ballot(id, juror));
        }
    }

    /// What `juror` votes; the truth where nobody lies. Tests override it.
    function _ballot(uint256 id, address) internal view virtual returns (uint256) {
        IRoundCourt.Dispute memory d = court.disputeOf(id);
        return d.kind == IRoundCourt.Kind.Score ? _truth(d.index) : 1;
    }

    /// From an open dispute to its end, every juror voting.
    function _judge(uint256 id) internal {
        _drawJury(id);
        _vote(id);
        court.resolve(id);
    }

    // --- a round up to a phase, everybody honest, the first `n` members take part ---------------------------------------

    function _toReveal(uint256 n) internal returns (uint256 round) {
        round = _open();
        for (uint256 i = 0; i < n; ++i) {
            _commit(round, members[i]);
        }
        if (n == rounds.roundOf(round).expected) rounds.advance(round);
        else _expire(round);
    }

    function _toSeed(uint256 n) internal returns (uint256 round) {
        round = _toReveal(n);
        for (uint256 i = 0; i < n; ++i) {
            _reveal(round, members[i]);
        }
        _revealBenchmark(round);
        rounds.advance(round);
    }

    function _toScoreCommit(uint256 n) internal returns (uint256 round) {
        round = _toSeed(n);
        _drawSeed(round);
    }

    function _toScoreReveal(uint256 n) internal returns (uint256 round) {
        round = _toScoreCommit(n);
        for (uint256 index = 0; index < n; ++index) {
            _commitScores(round, index, _word(round, index));
        }
        rounds.advance(round);
    }

    function _toSettle(uint256 n) internal returns (uint256 round) {
        round = _toScoreReveal(n);
        for (uint256 index = 0; index < n; ++index) {
            _revealScores(round, index, _word(round, index));
        }
        rounds.advance(round);
    }

    function _settleAll(uint256 round, uint256 n) internal {
        for (uint256 index = 0; index < n; ++index) {
            _settle(round, index);
        }
    }

    function _toAttest(uint256 n) internal returns (uint256 round) {
        round = _toSettle(n);
        _settleAll(round, n);
        rounds.advance(round);
        if (_phaseOf(round) == IRoundManager.Phase.RetryCommit) {
            _toRetrySettle(round);
            _settleAll(round, n);
            rounds.advance(round);
        }
    }

    function _toChallenge(uint256 n) internal returns (uint256 round) {
        round = _toAttest(n);
        _toProposal(round);
    }

    /// From Attest to Challenge, every attester agreeing.
    function _toProposal(uint256 round) internal {
        uint256 attesters = _attesters(rounds.roundOf(round).reveals);
        for (uint256 slot = 0; slot < attesters; ++slot) {
            _attest(round, slot);
        }
        _propose(round);
    }

    function _toFinalized(uint256 n) internal returns (uint256 round) {
        round = _toChallenge(n);
        _expire(round);
    }

    function _phaseOf(uint256 round) internal view returns (IRoundManager.Phase phase) {
        (phase,) = rounds.phaseOf(round);
    }

    // --- assertions ---------------------------------------------------------------------------------------------------

    function _assertPhase(uint256 round, IRoundManager.Phase expected, string memory label) internal view {
        (IRoundManager.Phase phase,) = rounds.phaseOf(round);
        assertEq(uint256(phase), uint256(expected), label);
    }

    function _assertStatus(address account, IMemberRegistry.Status expected, string memory label) internal view {
        assertEq(uint256(registry.statusOf(account)), uint256(expected), label);
    }
}
