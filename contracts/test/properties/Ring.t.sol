// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {RingShuffle} from "../../src/libraries/RingShuffle.sol";
import {TestBase} from "../utils/TestBase.sol";

/// @notice RingShuffle: a bijection, its inverse, and the assignment of verifiers that follows from it.
contract RingTest is TestBase {
    function testFuzz_I9_forwardIsABijection(bytes32 seed, uint256 size) public pure {
        size = bound(size, 1, 100);
        uint256 seen = 0;
        for (uint256 index = 0; index < size; ++index) {
            uint256 position = RingShuffle.forward(seed, size, index);
            assertLt(position, size, "on the ring");
            assertEq(seen & (1 << position), 0, "taken once");
            seen |= 1 << position;
        }
    }

    function testFuzz_inverseUndoesForward(bytes32 seed, uint256 size, uint256 index) public pure {
        size = bound(size, 1, RingShuffle.MAX_SIZE);
        index = bound(index, 0, size - 1);
        assertEq(RingShuffle.inverse(seed, size, RingShuffle.forward(seed, size, index)), index, "inverse(forward)");
        assertEq(RingShuffle.forward(seed, size, RingShuffle.inverse(seed, size, index)), index, "forward(inverse)");
    }

    /// Both sides name the same pairs: verifiers by forward steps, the updates' verifiers by backward steps.
    function testFuzz_I9_exactlyKVerifiersAndNeverItself(bytes32 seed, uint256 size, uint256 most) public pure {
        size = bound(size, 2, 24);
        most = bound(most, 1, 7);
        uint256 k = size - 1 < most ? size - 1 : most;
        uint256[] memory verifiers = new uint256[](size);
        for (uint256 index = 0; index < size; ++index) {
            uint256 position = RingShuffle.forward(seed, size, index);
            for (uint256 j = 0; j < k; ++j) {
                uint256 scored = RingShuffle.inverse(seed, size, (position + 1 + j) % size);
                assertTrue(scored != index, "nobody scores itself");
                ++verifiers[scored];
                uint256 back = (RingShuffle.forward(seed, size, scored) + size - 1 - j) % size;
                assertEq(RingShuffle.inverse(seed, size, back), index, "field j is found from both sides");
            }
        }
        for (uint256 index = 0; index < size; ++index) {
            assertEq(verifiers[index], k, "exactly k");
        }
    }

    /// The seed matters: over many seeds an index comes to every position about equally often.
    function test_positionsAreEven() public pure {
        uint256 size = 10;
        uint256[10] memory counts;
        for (uint256 i = 0; i < 4000; ++i) {
            ++counts[RingShuffle.forward(keccak256(abi.encode(i)), size, 3)];
        }
        for (uint256 position = 0; position < size; ++position) {
            // 400 expected, standard deviation 19: five of them
            assertApproxEqAbs(counts[position], 400, 95, "even");
        }
    }

    function test_RevertWhen_outsideTheRing() public {
        vm.expectRevert(abi.encodeWithSelector(RingShuffle.OutsideRing.selector, 5, 5));
        this.forward(0, 5, 5);
        vm.expectRevert(abi.encodeWithSelector(RingShuffle.OutsideRing.selector, 0, 0));
        this.inverse(0, 0, 0);
    }

    function test_RevertWhen_theRingIsTooLarge() public {
        vm.expectRevert(abi.encodeWithSelector(RingShuffle.RingTooLarge.selector, 65_537, 65_536));
        this.forward(0, 65_537, 0);
        assertLt(this.forward(0, 65_536, 65_535), 65_536, "the largest");
    }

    function forward(bytes32 seed, uint256 size, uint256 index) external pure returns (uint256) {
        return RingShuffle.forward(seed, size, index);
    }

    function inverse(bytes32 seed, uint256 size, uint256 position) external pure returns (uint256) {
        return RingShuffle.inverse(seed, size, position);
    }
}
