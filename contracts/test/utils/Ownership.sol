// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Community} from "./Community.sol";

import {ReleaseRegistry} from "../../src/ReleaseRegistry.sol";
import {RevenueSplitter} from "../../src/RevenueSplitter.sol";
import {FakeGuardian} from "./FakeGuardian.sol";
import {IReleaseRegistry} from "../../src/interfaces/IReleaseRegistry.sol";

/// @notice A community that releases models: the steps from a finalised round to revenue, one function each.
abstract contract Ownership is Community {
    uint256 internal constant MAX_REGRESSION = 5000;
    bytes32 internal constant FIRST_BENCHMARK = "code-search";
    bytes32 internal constant SECOND_BENCHMARK = "pass-at-1";

    ReleaseRegistry internal releases;
    RevenueSplitter internal splitter;
    FakeGuardian internal guard;

    /// On top of a community that is deployed.
    function _deployOwnership() internal {
        guard = new FakeGuardian();
        releases = new ReleaseRegistry(rounds, distributor, guard, timelock, MAX_REGRESSION);
        splitter = new RevenueSplitter(releases, distributor);
        _addBenchmark(FIRST_BENCHMARK);
        _addBenchmark(SECOND_BENCHMARK);
    }

    function _addBenchmark(bytes32 name) internal {
        vm.prank(timelock);
        releases.addBenchmark(name, keccak256(abi.encode(name)), keccak256(abi.encode(name, "cid")));
    }

    function _retireBenchmark(bytes32 name) internal {
        vm.prank(timelock);
        releases.retireBenchmark(name);
    }

    // --- a release ----------------------------------------------------------------------------------------------------

    function _claimAll(uint256 round) internal {
        uint256 n = rounds.roundOf(round).reveals;
        for (uint256 index = 0; index < n; ++index) {
            if (!distributor.isClaimed(round, uint16(index))) distributor.claim(round, uint16(index));
        }
    }

    /// A finalised round of `n`, everything claimed and rolled up.
    function _rolledRound(uint256 n) internal returns (uint256 round) {
        round = _toFinalized(n);
        _claimAll(round);
        releases.rollCredits(round);
    }

    function _score(bytes32 benchmark, uint256 ppm) internal pure returns (IReleaseRegistry.Score memory) {
        return IReleaseRegistry.Score(benchmark, uint32(ppm));
    }

    function _scores(uint256 first, uint256 second) internal pure returns (IReleaseRegistry.Score[] memory scores) {
        scores = new IReleaseRegistry.Score[](2);
        scores[0] = _score(FIRST_BENCHMARK, first);
        scores[1] = _score(SECOND_BENCHMARK, second);
    }

    function _attestScores(uint256 round, uint256 slot, bytes32 scoresHash) internal {
        vm.prank(_attester(round, slot));
        releases.attestScores(round, uint8(slot), scoresHash);
    }

    /// The first `votes` slots vote, which must be correct ones.
    function _attestScores(uint256 round, IReleaseRegistry.Score[] memory scores, uint256 votes) internal {
        bytes32 scoresHash = releases.hashOf(round, scores);
        for (uint256 slot = 0; slot < votes; ++slot) {
            _attestScores(round, slot, scoresHash);
        }
    }

    /// As an honest proposal would say it: on the latest release, the next minor version.
    function _candidate(uint256 round, IReleaseRegistry.Score[] memory scores)
        internal
        view
        returns (IReleaseRegistry.Candidate memory candidate)
    {
        (candidate.modelHash, candidate.cid) = _model(round);
        candidate.parent = releases.latest();
        candidate.version = IReleaseRegistry.Version(1, uint16(releases.count()), 0);
        candidate.round = round;
        candidate.notesHash = keccak256("notes");
        candidate.notesCid = keccak256("notes cid");
        candidate.scores = scores;
    }

    function _publish(IReleaseRegistry.Candidate memory candidate) internal returns (uint32) {
        vm.prank(timelock);
        return releases.publish(candidate);
    }

    /// A release of a round of `n` with these scores, everything in order.
    function _release(uint256 n, uint256 first, uint256 second) internal returns (uint32) {
        uint256 round = _rolledRound(n);
        IReleaseRegistry.Score[] memory scores = _scores(first, second);
        _attestScores(round, scores, _attesters(n));
        return _publish(_candidate(round, scores));
    }
}
