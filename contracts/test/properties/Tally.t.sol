// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {SCORE_FIELDS, ScoreWord} from "../../src/libraries/ScoreWord.sol";
import {Tally} from "../../src/libraries/Tally.sol";
import {TestBase} from "../utils/TestBase.sol";

/// @notice Tally against a naive reading of docs/protocol.md, and what a minority can and cannot do.
contract TallyTest is TestBase {
    uint256 private constant OFFSET = 1 << 19;
    /// 7 verifiers, or a jury of 31 with as many excluded beside it.
    uint256 private constant MOST_VOTERS = 62;

    /// Fields as verifiers write them: sentinels, invalid values, and gains around `centre`, often near one another.
    function _draw(uint256 seed, uint256 k) private pure returns (uint256[] memory fields) {
        fields = new uint256[](k);
        uint256 centre = OFFSET - 3000 + seed % 30_000;
        for (uint256 j = 0; j < k; ++j) {
            uint256 draw = uint256(keccak256(abi.encode(seed, j)));
            uint256 kind = draw % 10;
            if (kind == 0) fields[j] = draw / 10 % 16;
            else if (kind == 1) fields[j] = seed % 3;
            else if (kind == 2) fields[j] = draw >> 236;
            else fields[j] = centre + draw / 10 % 700;
        }
    }

    // --- the reference: selection by counting, no sorting -----------------------------------------------------------------

    struct Naive {
        uint256 status;
        int256 gain;
        uint256 votes;
        uint256 weight;
    }

    function _naive(uint256[] memory f, uint256 k, Tally.Bounds memory b) private pure returns (Naive memory r) {
        uint256 malformed = _count(f, k, 2);
        uint256 unavailable = _count(f, k, 1);
        if (2 * malformed > k) return Naive(5, 0, malformed, 0);
        if (2 * unavailable > k) return Naive(4, 0, unavailable, 0);
        uint256 m = 0;
        for (uint256 j = 0; j < k; ++j) {
            if (f[j] >= 16) ++m;
        }
        if (m == 0) return Naive(3, 0, 0, 0);
        uint256 median = _select(f, k, (m - 1) / 2);
        r.gain = int256(median) - int256(OFFSET);
        for (uint256 j = 0; j < k; ++j) {
            if (f[j] >= 16 && f[j] <= median + b.tau && median <= f[j] + b.tau) ++r.votes;
        }
        if (2 * r.votes <= k) r.status = 3;
        else if (r.gain >= b.deltaMin) r.status = 1;
        else if (r.gain + b.harmMin <= 0) r.status = 6;
        else r.status = 2;
        if (r.status == 1) r.weight = uint256(r.gain > b.gainCap ? b.gainCap : r.gain);
    }

    function _count(uint256[] memory f, uint256 k, uint256 value) private pure returns (uint256 c) {
        for (uint256 j = 0; j < k; ++j) {
            if (f[j] == value) ++c;
        }
    }

    /// The gain with exactly `rank` gains before it, ties broken by place.
    function _select(uint256[] memory f, uint256 k, uint256 rank) private pure returns (uint256) {
        for (uint256 j = 0; j < k; ++j) {
            if (f[j] < 16) continue;
            uint256 before = 0;
            for (uint256 i = 0; i < k; ++i) {
                if (f[i] >= 16 && (f[i] < f[j] || (f[i] == f[j] && i < j))) ++before;
            }
            if (before == rank) return f[j];
        }
        revert("no such rank");
    }

    function testFuzz_equalsTheNaiveReading(uint256 seed, uint256 k, uint16 tau, uint16 deltaMin, uint16 harmMin)
        public
        pure
    {
        k = bound(k, 1, MOST_VOTERS);
        Tally.Bounds memory b = Tally.Bounds({
            tau: tau % 1000,
            deltaMin: int256(uint256(deltaMin % 3000)) + 1,
            harmMin: int256(uint256(harmMin % 3000)) + 1,
            gainCap: 20_000
        });
        uint256[] memory fields = _draw(seed, k);
        Naive memory expected = _naive(fields, k, b);
        Tally.Verdict memory actual = Tally.settle(fields, k, b);
        assertEq(uint256(actual.status), expected.status, "status");
        assertEq(actual.gain, expected.gain, "gain");
        assertEq(actual.votes, expected.votes, "votes");
        assertEq(actual.weight, expected.weight, "weight");
    }

    // --- what a minority can do -----------------------------------------------------------------------------------------

    function _usual() private pure returns (Tally.Bounds memory) {
        return Tally.Bounds({tau: 300, deltaMin: 100, harmMin: 1000, gainCap: 20_000});
    }

    /// colluding panel: as long as ⌊k/2⌋+1 honest verifiers agree within tau, the settled gain is one of theirs or lies
    /// between two of them, and no lie changes the status beyond that.
    function testFuzz_threat_aMinorityCannotMoveTheVerdict(uint256 seed, uint256 k, uint256 truth, uint256 spread)
        public
        pure
    {
        k = bound(k, 1, MOST_VOTERS);
        truth = bound(truth, 2000, 400_000);
        spread = bound(spread, 0, 300);
        uint256 honest = k / 2 + 1;
        uint256[] memory fields = new uint256[](k);
        for (uint256 j = 0; j < k; ++j) {
            uint256 draw = uint256(keccak256(abi.encode(seed, j)));
            // liars may write anything at all
            fields[j] = j < honest ? OFFSET + truth + draw % (spread + 1) : draw >> 236;
        }
        Tally.Verdict memory verdict = Tally.settle(fields, k, _usual());
        assertEq(uint256(verdict.status), uint256(IRoundManager.UpdateStatus.Accepted), "accepted");
        assertGe(verdict.gain, int256(truth), "not below the honest");
        assertLe(verdict.gain, int256(truth + spread), "not above the honest");
    }

    /// Absentees count against agreement, not out of it: quorum is of those assigned.
    function test_threat_quorumIsOfTheAssigned() public pure {
        uint256[] memory fields = new uint256[](3);
        for (uint256 j = 0; j < 3; ++j) {
            fields[j] = OFFSET + 5000; // three agree, four stay away
        }
        Tally.Verdict memory verdict = Tally.settle(fields, 7, _usual());
        assertEq(uint256(verdict.status), uint256(IRoundManager.UpdateStatus.Unscored), "3 of 7");
        assertEq(verdict.votes, 3, "votes");
    }

    /// Voters that said nothing may be left out, as long as they are counted.
    function testFuzz_silenceNeedsNoField(uint256 seed, uint256 said, uint256 silent) public pure {
        said = bound(said, 0, MOST_VOTERS / 2);
        silent = bound(silent, 0, MOST_VOTERS / 2);
        if (said + silent == 0) silent = 1;
        uint256[] memory short = _draw(seed, said);
        uint256[] memory long = new uint256[](said + silent);
        for (uint256 j = 0; j < said; ++j) {
            long[j + silent] = short[j];
        }
        bytes memory expected = abi.encode(Tally.settle(long, said + silent, _usual()));
        assertEq(abi.encode(Tally.settle(short, said + silent, _usual())), expected, "same");
    }

    function testFuzz_orderOfVerifiersDoesNotMatter(uint256 seed, uint256 k, uint256 turn) public pure {
        k = bound(k, 1, MOST_VOTERS);
        uint256[] memory fields = _draw(seed, k);
        uint256[] memory turned = new uint256[](k);
        for (uint256 j = 0; j < k; ++j) {
            turned[(j + turn % k) % k] = fields[j];
        }
        assertEq(abi.encode(Tally.settle(fields, k, _usual())), abi.encode(Tally.settle(turned, k, _usual())), "same");
    }

    /// A field is paid exactly when it counted as a vote, or said the sentinel that won.
    function testFuzz_paidFieldsAreTheVotes(uint256 seed, uint256 k) public pure {
        k = bound(k, 1, MOST_VOTERS);
        uint256[] memory fields = _draw(seed, k);
        uint256[] memory kept = _draw(seed, k);
        Tally.Verdict memory verdict = Tally.settle(fields, k, _usual());
        uint256 paid = 0;
        for (uint256 j = 0; j < k; ++j) {
            if (Tally.isCorrect(kept[j], verdict.status, verdict.gain, 300)) ++paid;
        }
        bool isUnscored = verdict.status == IRoundManager.UpdateStatus.Unscored;
        assertEq(paid, isUnscored ? 0 : verdict.votes, "paid");
        assertFalse(Tally.isCorrect(OFFSET, IRoundManager.UpdateStatus.Pending, 0, 300), "nothing equals Pending");
    }

    // --- score words ----------------------------------------------------------------------------------------------------

    function testFuzz_wordHoldsItsFields(uint256 seed, uint256 at) public pure {
        at = bound(at, 0, SCORE_FIELDS - 1);
        uint256 word = 0;
        for (uint256 j = 0; j < SCORE_FIELDS; ++j) {
            word |= (uint256(keccak256(abi.encode(seed, j))) >> 236) << (20 * j);
        }
        ScoreWord.requireValid(word);
        assertEq(ScoreWord.field(word, at), uint256(keccak256(abi.encode(seed, at))) >> 236, "field");
    }

    function testFuzz_gainsAndFieldsAreInverse(uint256 value) public pure {
        value = bound(value, ScoreWord.FIRST_GAIN, (1 << 20) - 1);
        int256 gain = ScoreWord.gainOf(value);
        assertGe(gain, -524_272, "least");
        assertLe(gain, 524_287, "most");
        assertEq(ScoreWord.fieldOf(gain), value, "inverse");
    }
}
