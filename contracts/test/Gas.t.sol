// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IMemberRegistry} from "../src/interfaces/IMemberRegistry.sol";
import {Community} from "./utils/Community.sol";

/// @notice Gas of every call with a target, kept in `snapshots/GasTest.json`, and proof that it does not grow with the ring.
/// @dev Every call is measured as a transaction of its own (`isolate`): base cost, calldata and cold storage included.
/// With `FOUNDRY_GAS_SNAPSHOT_CHECK=true FOUNDRY_GAS_SNAPSHOT_EMIT=false` any difference to the committed file fails.
/// forge-config: default.isolate = true
contract GasTest is Community {
    uint256 private constant SIZE = 32;

    function setUp() public {
        _deploy(_defaults());
    }

    /// One round of 32 with every call measured, then a second one for the price of later claims.
    /// forge-config: default.isolate = true
    function test_gasOfEveryCall() public {
        address newcomer = makeAddr("newcomer");
        uint256 application = _apply(newcomer);
        _under("applyToJoin", 100_000);
        _review(application, 0, 1, true);
        _under("review: vote", 45_000);
        _review(application, 1, 2, true);
        _under("review: admit", 160_000);
        _admitMany(SIZE - 1);
        members.push(newcomer);

        uint256 round = _measuredRound();
        distributor.claim(round, 0);
        _under("claim: first of a round", 170_000);
        distributor.claim(round, 1);
        _under("claim: first of a member", 150_000);
        distributor.claimTreasury(round);
        _under("claimTreasury", 100_000);
        registry.vest(round, 0);
        _under("vest: first of a round", 72_000);
        registry.vest(round, 1);
        _under("vest", 70_000);

        round = _toFinalized(SIZE);
        distributor.claim(round, 0);
        distributor.claim(round, 1);
        _under("claim: later", 110_000);
    }

    /// Membership with a veto window, on a registry of its own.
    /// forge-config: default.isolate = true
    function test_gasOfMembership() public {
        IMemberRegistry.Params memory p = _membership();
        p.vetoWindow = 2 days;
        _deploy(_defaults(), p);
        address newcomer = makeAddr("newcomer");
        uint256 application = _apply(newcomer);
        _review(application, 0, 3, true);
        _under("review: probation", 75_000);
        vm.prank(seats[0]);
        registry.veto(application, 0);
        _under("veto", 45_000);
        skip(2 days);
        registry.admit(application);
        _under("admit", 150_000);
        vm.prank(timelock);
        registry.setSeat(0, newcomer, uint40(block.timestamp + 1 days));
        _under("setSeat: another holder", 65_000);
        vm.prank(timelock);
        registry.setSeat(0, newcomer, uint40(block.timestamp + 2 days));
        _under("setSeat: the same", 45_000);
        vm.prank(registry.court());
        registry.ban(newcomer);
        _under("ban", 65_000);
    }

    function _measuredRound() private returns (uint256 round) {
        round = _open();
        _under("openRound", 175_000);
        for (uint256 i = 0; i < SIZE; ++i) {
            _commit(round, members[i]);
            if (i == 5) _under("commitUpdate", 60_000);
        }
        rounds.advance(round);
        _under("advance: to Reveal", 60_000);
        for (uint256 i = 0; i < SIZE; ++i) {
            _reveal(round, members[i]);
            if (i == 5) _under("revealUpdate", 65_000);
        }
        _revealBenchmark(round);
        _under("revealBenchmark", 60_000);
        rounds.advance(round);
        _under("advance: to Seed", 60_000);
        _drawSeed(round);
        _under("advance: to ScoreCommit", 60_000);
        for (uint256 index = 0; index < SIZE; ++index) {
            _commitScores(round, index, _word(round, index));
            if (index == 5) _under("commitScores", 56_000);
        }
        rounds.advance(round);
        for (uint256 index = 0; index < SIZE; ++index) {
            _revealScores(round, index, _word(round, index));
            if (index == 5) _under("revealScores", 40_000);
        }
        rounds.advance(round);
        _settleMeasured(round);
        rounds.advance(round);
        uint256 attesting = 0;
        for (uint256 slot = 0; slot < 31; ++slot) {
            _attest(round, slot);
            attesting += vm.lastCallGas().gasTotalUsed;
        }
        // Mean over the slots: the walk of a single one depends on the seed.
        vm.snapshotValue("attest: mean", attesting / 31);
        assertLe(attesting / 31, 56_000, "attest");
        _propose(round);
        _under("proposeAggregate: 31", 300_000);
        _expire(round);
        _under("advance: to Finalized", 60_000);
    }

    /// Mean over four batches of 8: the walks of a single one depend on the seed.
    function _settleMeasured(uint256 round) private {
        uint256 total = 0;
        for (uint16 batch = 0; batch < SIZE / 8; ++batch) {
            uint16[] memory indices = new uint16[](8);
            for (uint16 i = 0; i < 8; ++i) {
                indices[i] = batch * 8 + i;
            }
            rounds.settle(round, indices);
            total += vm.lastCallGas().gasTotalUsed;
        }
        total /= SIZE / 8;
        vm.snapshotValue("settle: 8", total);
        assertLe(total, 8 * 42_000, "settle: 8");
    }

    /// Settling, the most expensive act per participant, for rings of three sizes.
    /// forge-config: default.isolate = true
    function test_gasIsFlatInRingSize() public {
        _admitMany(128);
        uint256 small = _settleAverage(8);
        uint256 middle = _settleAverage(32);
        uint256 large = _settleAverage(128);
        vm.snapshotValue("settle: 1 of 8", small);
        vm.snapshotValue("settle: 1 of 32", middle);
        vm.snapshotValue("settle: 1 of 128", large);
        assertApproxEqRel(middle, small, 0.02e18, "32 against 8");
        assertApproxEqRel(large, small, 0.02e18, "128 against 8");
    }

    /// Mean over the ring: a single walk of the permutation depends on the seed.
    function _settleAverage(uint256 n) private returns (uint256) {
        uint256 round = _toSettle(n);
        uint256 total = 0;
        for (uint256 index = 0; index < n; ++index) {
            _settle(round, index);
            total += vm.lastCallGas().gasTotalUsed;
        }
        rounds.advance(round);
        _expire(round);
        return total / n;
    }

    /// EIP-170, and a committed size.
    function test_codeSizesFit() public {
        uint256 limit = 24_576;
        address[5] memory deployed =
            [address(rounds), address(court), address(registry), address(distributor), address(token)];
        string[5] memory names =
            ["RoundManager", "RoundCourt", "MemberRegistry", "RewardDistributor", "ContributionToken"];
        for (uint256 i = 0; i < deployed.length; ++i) {
            assertLe(deployed[i].code.length, limit, names[i]);
            vm.snapshotValue(string.concat("size: ", names[i]), deployed[i].code.length);
        }
    }

    /// Keeps the last call's gas in the snapshot, and below the design's target.
    function _under(string memory name, uint256 target) private {
        assertLe(vm.snapshotGasLastCall(name), target, name);
    }
}
