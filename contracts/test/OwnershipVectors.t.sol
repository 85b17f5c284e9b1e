// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IReleaseRegistry} from "../src/interfaces/IReleaseRegistry.sol";
import {OwnershipMath} from "../src/libraries/OwnershipMath.sol";
import {TestBase} from "./utils/TestBase.sol";

/// @notice Replays `tests/vectors/ownership.json` against OwnershipMath, as `Vectors.t.sol` does for the other files.
contract OwnershipVectorsTest is TestBase {
    struct OwnershipCase {
        uint256[] credits;
        uint256[] deposits;
        uint256[] entitled; // deposit by deposit, member by member
        uint256 parentScore;
        uint256 maxRegression;
        uint256 leastScore;
        uint256 correct;
        uint256 quorum;
        bytes32 benchmark;
        address registry;
        bytes32 scoresHash;
    }

    string private constant TYPE =
        "OwnershipCase(uint256[] credits,uint256[] deposits,uint256[] entitled,uint256 parentScore,uint256 maxRegression,uint256 leastScore,uint256 correct,uint256 quorum,bytes32 benchmark,address registry,bytes32 scoresHash)";

    function test_ownershipVectors() public view {
        string memory json = vm.readFile("../tests/vectors/ownership.json");
        uint256 c = 0;
        for (; vm.keyExistsJson(json, _at(c)); ++c) {
            OwnershipCase memory v = abi.decode(vm.parseJsonType(json, _at(c), TYPE), (OwnershipCase));
            _replayShares(v, _at(c));
            assertEq(OwnershipMath.leastScore(v.parentScore, v.maxRegression), v.leastScore, _at(c));
            assertEq(OwnershipMath.quorumOf(v.correct), v.quorum, _at(c));
            IReleaseRegistry.Score[] memory scores = new IReleaseRegistry.Score[](2);
            scores[0] = IReleaseRegistry.Score(v.benchmark, uint32(v.parentScore));
            scores[1] = IReleaseRegistry.Score(bytes32(type(uint256).max), uint32(v.maxRegression));
            assertEq(OwnershipMath.scoresHash(31_337, v.registry, v.correct, scores), v.scoresHash, _at(c));
        }
        assertGe(c, 30, "cases");
    }

    function _replayShares(OwnershipCase memory v, string memory at) private pure {
        uint256 total = 0;
        for (uint256 m = 0; m < v.credits.length; ++m) {
            total += v.credits[m];
        }
        assertEq(v.entitled.length, v.deposits.length * v.credits.length, at);
        uint256 deposited = 0;
        for (uint256 d = 0; d < v.deposits.length; ++d) {
            deposited += v.deposits[d];
            uint256 sum = 0;
            for (uint256 m = 0; m < v.credits.length; ++m) {
                uint256 entitled = OwnershipMath.entitledDown(deposited, v.credits[m], total);
                assertEq(entitled, v.entitled[d * v.credits.length + m], at);
                sum += entitled;
            }
            assertLe(sum, deposited, "I16");
        }
    }

    function testFuzz_countBits(uint256 map) public pure {
        uint256 expected = 0;
        for (uint256 i = 0; i < 256; ++i) {
            expected += (map >> i) & 1;
        }
        assertEq(OwnershipMath.countBits(map), expected, "one by one");
    }

    /// More than two thirds, and no more than that takes.
    function testFuzz_quorum(uint8 correct) public pure {
        uint256 quorum = OwnershipMath.quorumOf(correct);
        assertGt(quorum * 3, uint256(correct) * 2, "more than two thirds");
        assertLe((quorum - 1) * 3, uint256(correct) * 2, "one less is not");
    }

    function _at(uint256 c) private pure returns (string memory) {
        return string.concat(".cases[", vm.toString(c), "]");
    }
}
