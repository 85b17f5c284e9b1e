// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {GuidelineRegistry} from "../src/GuidelineRegistry.sol";
import {IGuidelineRegistry} from "../src/interfaces/IGuidelineRegistry.sol";
import {IReleaseRegistry} from "../src/interfaces/IReleaseRegistry.sol";
import {Ownership} from "./utils/Ownership.sol";
import {PlainToken} from "./utils/Tokens.sol";

/// @notice Gas of guideline, releases and revenue, kept in `snapshots/GasOwnershipTest.json`, and proof that none of it grows with
/// the ring. Measured as in `Gas.t.sol`.
/// forge-config: default.isolate = true
contract GasOwnershipTest is Ownership {
    uint256 private constant SIZE = 32;
    PlainToken private _money;

    function setUp() public {
        _deploy(_defaults());
        _deployOwnership();
        _money = new PlainToken();
        _money.mint(address(this), 1e24);
        _money.approve(address(splitter), 1e24);
    }

    /// forge-config: default.isolate = true
    function test_gasOfEveryCall() public {
        _admitMany(SIZE);
        uint256 round = _toFinalized(SIZE);
        _claimAll(round);
        releases.rollCredits(round);
        _under("rollCredits: first, 1 round of 32", 105_000);
        IReleaseRegistry.Score[] memory scores = _scores(500_000, 500_000);
        bytes32 scoresHash = releases.hashOf(round, scores);
        uint256 attesting = 0;
        for (uint256 slot = 1; slot < 31; ++slot) {
            _attestScores(round, slot, scoresHash);
            attesting += vm.lastCallGas().gasTotalUsed;
        }
        vm.snapshotValue("attestScores: mean of later", attesting / 30);
        assertLe(attesting / 30, 60_000, "attestScores");
        _publish(_candidate(round, scores));
        _under("publish: first, 2 benchmarks", 365_000);
        splitter.deposit(1, _money, 1e18);
        _under("deposit: first of a release", 110_000);
        splitter.deposit(1, _money, 1e18);
        _under("deposit: later", 75_000);
        splitter.claim(1, _money, members[0]);
        _under("claim: first", 106_000);
        splitter.deposit(1, _money, 1e18);
        splitter.claim(1, _money, members[0]);
        _under("claim: later", 72_000);
        _release(SIZE, 500_000, 500_000);
        _under("publish: later, 2 benchmarks", 375_000);
        vm.prank(timelock);
        releases.yank(2, "reason");
        _under("yank", 60_000);
    }

    /// Sixteen benchmarks, the most there may be, with a parent to compare with.
    /// forge-config: default.isolate = true
    function test_gasOfTheLargestRelease() public {
        _admitMany(SIZE);
        for (uint256 i = 0; i < 14; ++i) {
            _addBenchmark(bytes32(i + 1));
        }
        _under("addBenchmark", 160_000);
        IReleaseRegistry.Score[] memory scores = new IReleaseRegistry.Score[](16);
        for (uint256 i = 0; i < 14; ++i) {
            scores[i] = _score(bytes32(i + 1), 500_000);
        }
        (scores[14], scores[15]) = (_score(FIRST_BENCHMARK, 500_000), _score(SECOND_BENCHMARK, 500_000));
        for (uint256 i = 0; i < 2; ++i) {
            uint256 round = _rolledRound(SIZE);
            _attestScores(round, scores, 21);
            _publish(_candidate(round, scores));
        }
        _under("publish: later, 16 benchmarks", 800_000);
        _retireBenchmark(bytes32(uint256(14)));
        _under("retireBenchmark", 80_000);
    }

    /// forge-config: default.isolate = true
    function test_gasOfAmendments() public {
        IGuidelineRegistry.Document[4] memory founding;
        for (uint256 kind = 0; kind < 4; ++kind) {
            founding[kind] = IGuidelineRegistry.Document("hash", "cid");
        }
        IGuidelineRegistry.Scoring memory scoring = IGuidelineRegistry.Scoring(300, 100, 1000, 20_000);
        GuidelineRegistry guidelines = new GuidelineRegistry(timelock, founding, "hash", "cid", scoring);
        vm.startPrank(timelock);
        guidelines.amend(IGuidelineRegistry.Kind.Data, "next", "cid", "next", "cid");
        _under("amend", 230_000);
        scoring.tau = 400;
        guidelines.setScoring(scoring);
        _under("setScoring", 170_000);
        vm.stopPrank();
        guidelines.current();
        _under("current", 35_000);
        vm.snapshotValue("size: GuidelineRegistry", address(guidelines).code.length);
    }

    /// Attesting, publishing, rolling and claiming for rings of three sizes.
    /// forge-config: default.isolate = true
    function test_gasIsFlatInRingSize() public {
        _admitMany(128);
        uint256[4] memory small = _costs(8);
        uint256[4] memory middle = _costs(32);
        uint256[4] memory large = _costs(128);
        string[4] memory names = ["attestScores", "rollCredits", "publish", "claim"];
        for (uint256 i = 0; i < 4; ++i) {
            vm.snapshotValue(string.concat(names[i], ": ring of 8"), small[i]);
            vm.snapshotValue(string.concat(names[i], ": ring of 32"), middle[i]);
            vm.snapshotValue(string.concat(names[i], ": ring of 128"), large[i]);
            // A vote walks the permutation once: a few passes of some 700 gas, of which seven or thirty make the mean.
            // Publishing counts the bits of up to 31 attesters.
            uint256 within = i == 0 ? 0.06e18 : i == 2 ? 0.03e18 : 0.02e18;
            assertApproxEqRel(middle[i], small[i], within, string.concat(names[i], ": 32 against 8"));
            assertApproxEqRel(large[i], small[i], within, string.concat(names[i], ": 128 against 8"));
        }
    }

    /// Each from the same state.
    function _costs(uint256 n) private returns (uint256[4] memory costs) {
        uint256 state = vm.snapshotState();
        uint256 round = _toFinalized(n);
        IReleaseRegistry.Score[] memory scores = _scores(500_000, 500_000);
        bytes32 scoresHash = releases.hashOf(round, scores);
        uint256 voters = _attesters(n);
        _attestScores(round, 0, scoresHash); // the first pays for the slot
        for (uint256 slot = 1; slot < voters; ++slot) {
            _attestScores(round, slot, scoresHash);
            costs[0] += vm.lastCallGas().gasTotalUsed;
        }
        costs[0] /= voters - 1; // mean: a single walk of the permutation depends on the seed
        _claimAll(round);
        releases.rollCredits(round);
        costs[1] = vm.lastCallGas().gasTotalUsed;
        uint32 release = _publish(_candidate(round, scores));
        costs[2] = vm.lastCallGas().gasTotalUsed;
        splitter.deposit(release, _money, 1e18);
        for (uint256 i = 0; i < 8; ++i) {
            splitter.claim(release, _money, members[i]);
            if (i == 3) costs[3] = vm.lastCallGas().gasTotalUsed;
        }
        vm.revertToState(state);
    }

    /// A claim of revenue takes one step for each reward that was claimed out of order, and no more.
    /// forge-config: default.isolate = true
    function test_gasOfLateCredits() public {
        _admitMany(3);
        uint256 last = 0;
        for (uint256 i = 0; i < 9; ++i) {
            last = _toFinalized(3);
        }
        for (uint256 round = last; round > 0; --round) {
            distributor.claim(round, 0); // in reverse: eight are late
            if (round == last - 1) _under("distributor claim: first late", 140_000);
            if (round == 1) _under("distributor claim: later late", 125_000);
        }
        for (uint256 round = 1; round <= last; ++round) {
            _claimAll(round);
        }
        releases.rollCredits(last);
        IReleaseRegistry.Score[] memory scores = _scores(500_000, 500_000);
        _attestScores(last, scores, 3);
        _publish(_candidate(last, scores));
        splitter.deposit(1, _money, 1e18);
        splitter.claim(1, _money, members[1]);
        uint256 inOrder = vm.lastCallGas().gasTotalUsed;
        splitter.claim(1, _money, members[0]);
        uint256 late = vm.lastCallGas().gasTotalUsed;
        vm.snapshotValue("claim: 9 credits in order", inOrder);
        vm.snapshotValue("claim: 8 of 9 credits late", late);
        assertLe(late, inOrder + 8 * 2700 + 5000, "a step each");
    }

    /// EIP-170, and a committed size.
    function test_codeSizesFit() public {
        assertLe(address(releases).code.length, 24_576, "ReleaseRegistry");
        vm.snapshotValue("size: ReleaseRegistry", address(releases).code.length);
        vm.snapshotValue("size: RevenueSplitter", address(splitter).code.length);
    }

    /// Keeps the last call's gas in the snapshot, and below the target.
    function _under(string memory name, uint256 target) private {
        assertLe(vm.snapshotGasLastCall(name), target, name);
    }
}
