// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRoundManager} from "../src/interfaces/IRoundManager.sol";
import {Liars} from "./utils/Liars.sol";

/// @notice What a participant pays does not grow with the ring: every call of a round, for rings of 8, 32 and 128.
/// @dev Means over the ring and over several rounds, without the first call of each phase, which fills the round's own slots: a single
/// walk of the permutation depends on the seed. Measured as in `Gas.t.sol`; kept in `snapshots/GasFlatTest.json`.
/// forge-config: default.isolate = true
contract GasFlatTest is Liars {
    uint256 private constant WITHIN = 0.02e18;
    uint256 private constant CALLS = 7;
    /// Calls that each ring size is measured by, at least.
    uint256 private constant SAMPLE = 128;

    uint256[CALLS] private _sums;
    uint256[CALLS] private _counts;

    /// Seven verifiers of each update, which the least ring has.
    /// forge-config: default.isolate = true
    function test_gasOfARoundIsFlatInRingSize() public {
        _deploy(_defaults());
        _admitMany(128);
        string[CALLS] memory names =
            ["commitUpdate", "revealUpdate", "commitScores", "revealScores", "settle", "attest", "claim"];
        _compare(names, CALLS, false);
    }

    /// Three verifiers, so that the least ring has a second panel; every update is retried.
    /// forge-config: default.isolate = true
    function test_gasOfARetryIsFlatInRingSize() public {
        IRoundManager.Params memory p = _defaults();
        p.maxVerifiers = 3;
        _deploy(p);
        _admitMany(128);
        for (uint256 index = 0; index < 128; ++index) {
            _lie(index, 0, 2);
        }
        string[CALLS] memory names = ["retry commitScores", "retry revealScores", "retry settle", "", "", "", ""];
        _compare(names, 3, true);
    }

    function _compare(string[CALLS] memory names, uint256 calls, bool isRetry) private {
        uint256[CALLS] memory small = _means(8, calls, isRetry);
        uint256[CALLS] memory middle = _means(32, calls, isRetry);
        uint256[CALLS] memory large = _means(128, calls, isRetry);
        for (uint256 i = 0; i < calls; ++i) {
            vm.snapshotValue(string.concat(names[i], ": ring of 8"), small[i]);
            vm.snapshotValue(string.concat(names[i], ": ring of 32"), middle[i]);
            vm.snapshotValue(string.concat(names[i], ": ring of 128"), large[i]);
            assertApproxEqRel(middle[i], small[i], WITHIN, string.concat(names[i], ": 32 against 8"));
            assertApproxEqRel(large[i], small[i], WITHIN, string.concat(names[i], ": 128 against 8"));
        }
    }

    /// Each round from the same state, with a seed of its own.
    function _means(uint256 n, uint256 calls, bool isRetry) private returns (uint256[CALLS] memory means) {
        uint256[CALLS] memory sums;
        uint256[CALLS] memory counts;
        uint256 state = vm.snapshotState();
        for (uint256 time = 0; time < SAMPLE / n; ++time) {
            vm.roll(block.number + 1000 * time);
            if (isRetry) _retriedRound(n);
            else _wholeRound(n);
            for (uint256 i = 0; i < calls; ++i) {
                sums[i] += _sums[i];
                counts[i] += _counts[i];
            }
            vm.revertToState(state);
        }
        for (uint256 i = 0; i < calls; ++i) {
            means[i] = sums[i] / counts[i];
        }
    }

    function _wholeRound(uint256 n) private {
        uint256 round = _open();
        for (uint256 i = 0; i < n; ++i) {
            _commit(round, members[i]);
            _count(0, i);
        }
        _end(round);
        for (uint256 i = 0; i < n; ++i) {
            _reveal(round, members[i]);
            _count(1, i);
        }
        _revealBenchmark(round);
        rounds.advance(round);
        _drawSeed(round);
        _score(round, n, 2, false);
        for (uint256 index = 0; index < n; ++index) {
            _settle(round, index);
            _count(4, index + 1); // eight verdicts share a slot, in every ring
        }
        rounds.advance(round);
        uint256 attesters = _attesters(n);
        for (uint256 slot = 0; slot < attesters; ++slot) {
            _attest(round, slot);
            _count(5, slot + 1); // none fills a slot that others use
        }
        _propose(round);
        _expire(round);
        for (uint256 index = 0; index < n; ++index) {
            distributor.claim(round, uint16(index));
            _count(6, index);
        }
    }

    function _retriedRound(uint256 n) private {
        uint256 round = _toSettle(n);
        _settleAll(round, n);
        rounds.advance(round);
        _assertPhase(round, IRoundManager.Phase.RetryCommit, "all are retried");
        _score(round, n, 0, true);
        for (uint256 index = 0; index < n; ++index) {
            _settle(round, index);
            _count(2, index + 1);
        }
        assertEq(rounds.roundOf(round).accepted, n, "by the second panel");
    }

    function _score(uint256 round, uint256 n, uint256 first, bool isRetry) private {
        for (uint256 index = 0; index < n; ++index) {
            if (isRetry) _commitRetry(round, index, _retryWord(round, index));
            else _commitScores(round, index, _word(round, index));
            _count(first, index);
        }
        rounds.advance(round);
        for (uint256 index = 0; index < n; ++index) {
            if (isRetry) _revealRetry(round, index, _retryWord(round, index));
            else _revealScores(round, index, _word(round, index));
            _count(first + 1, index);
        }
        rounds.advance(round);
    }

    /// Adds the last call's gas to call number `i`, unless it was the first of its phase.
    function _count(uint256 i, uint256 before) private {
        if (before == 0) return;
        _sums[i] += vm.lastCallGas().gasTotalUsed;
        ++_counts[i];
    }

    /// Leaves Commit, by its deadline where not all who could have committed.
    function _end(uint256 round) private {
        IRoundManager.Round memory r = rounds.roundOf(round);
        if (r.commits == r.expected) rounds.advance(round);
        else _expire(round);
    }
}
