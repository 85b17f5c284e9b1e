// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {CommitHash} from "../../src/libraries/CommitHash.sol";
import {Lane, Results} from "../../src/libraries/Results.sol";
import {RewardMath} from "../../src/libraries/RewardMath.sol";
import {ScoreSlot, ScoreSlots} from "../../src/libraries/ScoreSlots.sol";
import {TestBase} from "../utils/TestBase.sol";

/// @notice Packed slots lose nothing, commitments bind everything, rewards never exceed their pools.
contract PackingTest is TestBase {
    using Results for mapping(uint256 slot => uint256 lanes);

    mapping(uint256 slot => uint256 lanes) private _results;

    function testFuzz_resultsKeepToTheirLanes(uint256 seed) public {
        uint256 size = 40;
        for (uint256 position = 0; position < size; ++position) {
            _results.write(position, _draw(~seed, position)); // what is written first leaves nothing behind
            _results.write(position, _draw(seed, position));
        }
        for (uint256 position = 0; position < size; ++position) {
            assertEq(Lane.unwrap(_results.read(position)), Lane.unwrap(_draw(seed, position)), "lane");
        }
        assertFalse(_results.read(size).isSettled(), "the next one is Pending");
    }

    function _draw(uint256 seed, uint256 position) private pure returns (Lane lane) {
        uint256 draw = uint256(keccak256(abi.encode(seed, position)));
        lane = Results.pack(IRoundManager.UpdateStatus(1 + draw % 6), _gain(draw), draw % 7 == 0);
        if (draw % 11 == 0) lane = lane.forfeited();
    }

    /// Every gain that a field can say, and beyond by 16.
    function _gain(uint256 draw) private pure returns (int256) {
        return int256(draw / 6 % (1 << 20)) - (1 << 19);
    }

    function testFuzz_aLaneKeepsEveryPart(uint256 draw, uint8 status, uint8 other, bool retried) public pure {
        IRoundManager.UpdateStatus first = IRoundManager.UpdateStatus(status % 7);
        IRoundManager.UpdateStatus second = IRoundManager.UpdateStatus(other % 7);
        Lane lane = Results.pack(first, _gain(draw), retried);
        _assertLane(lane, first, _gain(draw), retried, false);
        _assertLane(lane.forfeited(), first, _gain(draw), retried, true);
        _assertLane(lane.withVerdict(second, _gain(~draw)), second, _gain(~draw), retried, false);
        _assertLane(lane.forfeited().withVerdict(second, _gain(~draw)), second, _gain(~draw), retried, true);
    }

    function _assertLane(Lane lane, IRoundManager.UpdateStatus status, int256 gain, bool retried, bool forfeited)
        private
        pure
    {
        assertEq(uint256(lane.statusOf()), uint256(status), "status");
        assertEq(lane.isSettled(), status != IRoundManager.UpdateStatus.Pending, "settled");
        assertEq(lane.gainOf(), gain, "gain");
        assertEq(lane.isRetried(), retried, "retried");
        assertEq(lane.isForfeited(), forfeited, "forfeited");
        assertLt(Lane.unwrap(lane), 1 << 32, "within its bits");
    }

    function testFuzz_scoreSlotKeepsBothParts(uint256 content, uint8 entry) public pure {
        content >>= 8;
        IRoundManager.Entry given = IRoundManager.Entry(entry % 3);
        ScoreSlot slot = ScoreSlots.pack(given, content);
        assertEq(uint256(slot.entryOf()), uint256(given), "entry");
        assertEq(slot.contentOf(), content, "content");
        assertEq(ScoreSlots.cut(ScoreSlots.uncut(content)), content, "cut");
    }

    // --- commitments --------------------------------------------------------------------------------------------------

    /// Every argument of a commitment matters: another one gives another hash.
    function testFuzz_updateCommitmentBindsEveryArgument(
        bytes32 contentHash,
        bytes32 cid,
        uint32 samples,
        bytes32 salt,
        uint8 which
    ) public pure {
        bytes32 base = CommitHash.update(1, address(2), 3, address(4), contentHash, cid, samples, salt);
        bytes32 other;
        which = which % 8;
        if (which == 0) other = CommitHash.update(9, address(2), 3, address(4), contentHash, cid, samples, salt);
        if (which == 1) other = CommitHash.update(1, address(9), 3, address(4), contentHash, cid, samples, salt);
        if (which == 2) other = CommitHash.update(1, address(2), 9, address(4), contentHash, cid, samples, salt);
        if (which == 3) other = CommitHash.update(1, address(2), 3, address(9), contentHash, cid, samples, salt);
        if (which == 4) other = CommitHash.update(1, address(2), 3, address(4), ~contentHash, cid, samples, salt);
        if (which == 5) other = CommitHash.update(1, address(2), 3, address(4), contentHash, ~cid, samples, salt);
        if (which == 6) other = CommitHash.update(1, address(2), 3, address(4), contentHash, cid, ~samples, salt);
        if (which == 7) other = CommitHash.update(1, address(2), 3, address(4), contentHash, cid, samples, ~salt);
        assertTrue(base != other, "bound");
    }

    function testFuzz_ballotCommitmentBindsEveryArgument(uint256 vote, bytes32 salt, uint8 which) public pure {
        bytes32 base = CommitHash.ballot(1, address(2), 3, address(4), vote, salt);
        bytes32 other;
        which = which % 6;
        if (which == 0) other = CommitHash.ballot(9, address(2), 3, address(4), vote, salt);
        if (which == 1) other = CommitHash.ballot(1, address(9), 3, address(4), vote, salt);
        if (which == 2) other = CommitHash.ballot(1, address(2), 9, address(4), vote, salt);
        if (which == 3) other = CommitHash.ballot(1, address(2), 3, address(9), vote, salt);
        if (which == 4) other = CommitHash.ballot(1, address(2), 3, address(4), ~vote, salt);
        if (which == 5) other = CommitHash.ballot(1, address(2), 3, address(4), vote, ~salt);
        assertTrue(base != other, "bound");
    }

    // --- rewards ------------------------------------------------------------------------------------------------------

    function testFuzz_I2_trainersShareAtMostTheirPool(
        uint96 emission,
        uint32[8] memory weights,
        uint64 wTarget,
        bool isSealed
    ) public pure {
        wTarget = wTarget == 0 ? 1 : wTarget;
        uint256 sumWeight = 0;
        for (uint256 i = 0; i < 8; ++i) {
            sumWeight += weights[i];
        }
        uint256 total = 0;
        for (uint256 i = 0; i < 8; ++i) {
            total += RewardMath.trainerDown(emission, isSealed, weights[i], sumWeight, wTarget);
        }
        assertLe(total, uint256(emission) * 70 / 100 / (isSealed ? 1 : 2), "pool");
    }

    function testFuzz_I2_verifiersAndAttestersShareAtMostTheirPools(uint96 emission, uint16 n, uint8 k) public pure {
        n = uint16(bound(n, 2, type(uint16).max));
        k = uint8(bound(k, 1, 7));
        assertLe(RewardMath.verifierDown(emission, n, k, k) * n, uint256(emission) * 20 / 100, "verifiers");
        uint256 attesters = n < 31 ? n : 31;
        assertLe(RewardMath.attesterDown(emission, attesters) * attesters, uint256(emission) * 5 / 100, "attesters");
        assertLe(RewardMath.treasuryDown(emission) * 20, emission, "treasury");
    }

    /// All rounds together stay below 2·E₀·halving, which the distributor checks against the cap.
    function test_I20_emissionsAddUpToTheirBound() public pure {
        uint256 total = 0;
        for (uint256 period = 0; period < 100; ++period) {
            total += 500 * RewardMath.emissionDown(10_000e18, 500, period * 500 + 1);
        }
        assertLe(total, 2 * 10_000e18 * 500, "bound");
    }
}
