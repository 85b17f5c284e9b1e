// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {CommitHash} from "../../src/libraries/CommitHash.sol";
import {Results} from "../../src/libraries/Results.sol";
import {RewardMath} from "../../src/libraries/RewardMath.sol";
import {ScoreSlot, ScoreSlots} from "../../src/libraries/ScoreSlots.sol";
import {TestBase} from "../utils/TestBase.sol";

/// @notice Packed slots lose nothing, commitments bind everything, rewards never exceed their pools.
contract PackingTest is TestBase {
    using Results for mapping(uint256 chunk => uint256 lanes);

    mapping(uint256 chunk => uint256 lanes) private _results;

    function testFuzz_resultsKeepToTheirLanes(uint256 seed) public {
        uint256 size = 40;
        for (uint256 position = 0; position < size; ++position) {
            (IRoundManager.UpdateStatus status, int256 gain) = _draw(seed, position);
            _results.write(position, status, gain);
        }
        for (uint256 position = 0; position < size; ++position) {
            (IRoundManager.UpdateStatus status, int256 gain) = _draw(seed, position);
            (IRoundManager.UpdateStatus kept, int256 keptGain) = _results.read(position);
            assertEq(uint256(kept), uint256(status), "status");
            assertEq(keptGain, gain, "gain");
        }
        (IRoundManager.UpdateStatus none,) = _results.read(size);
        assertEq(uint256(none), 0, "the next one is Pending");
    }

    function _draw(uint256 seed, uint256 position)
        private
        pure
        returns (IRoundManager.UpdateStatus status, int256 gain)
    {
        uint256 draw = uint256(keccak256(abi.encode(seed, position)));
        status = IRoundManager.UpdateStatus(1 + draw % 6);
        gain = int256(draw / 6 % (1 << 20)) - (1 << 19); // every gain that a field can say, and beyond by 16
    }

    function testFuzz_scoreSlotKeepsBothParts(uint256 content, uint8 entry) public pure {
        content >>= 8;
        IRoundManager.Entry given = IRoundManager.Entry(entry % 4);
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
