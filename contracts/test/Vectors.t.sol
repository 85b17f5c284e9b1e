// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {CommitHash} from "../src/libraries/CommitHash.sol";
import {RewardMath} from "../src/libraries/RewardMath.sol";
import {RingShuffle} from "../src/libraries/RingShuffle.sol";
import {Tally} from "../src/libraries/Tally.sol";
import {TestBase} from "./utils/TestBase.sol";

/// @notice Replays `tests/vectors/*.json`, which the Python side writes, against the libraries: both sides compute the same.
contract VectorsTest is TestBase {
    string private constant FOLDER = "../tests/vectors/";
    /// A file that shrank to less is a mistake, not a set of vectors.
    uint256 private constant LEAST_CASES = 10;

    // --- ring ---------------------------------------------------------------------------------------------------------

    struct RingCase {
        bytes32 seed;
        uint256 n;
        uint256[] forward;
    }

    function test_ringVectors() public view {
        string memory json = _read("ring.json");
        uint256 c = 0;
        for (; _exists(json, c); ++c) {
            RingCase memory v = abi.decode(
                vm.parseJsonType(json, _at(c), "RingCase(bytes32 seed,uint256 n,uint256[] forward)"), (RingCase)
            );
            assertEq(v.forward.length, v.n, _at(c));
            for (uint256 index = 0; index < v.n; ++index) {
                uint256 position = RingShuffle.forward(v.seed, v.n, index);
                assertEq(position, v.forward[index], _at(c));
                assertEq(RingShuffle.inverse(v.seed, v.n, position), index, _at(c));
            }
        }
        assertGe(c, LEAST_CASES, "cases");
    }

    // --- tally --------------------------------------------------------------------------------------------------------

    struct TallyCase {
        uint256[] fields;
        uint256 k;
        uint256 tau;
        int256 deltaMin;
        int256 harmMin;
        int256 gainCap;
        uint256 status;
        int256 gain;
        uint256 votes;
        uint256 weight;
    }

    string private constant TALLY_TYPE =
        "TallyCase(uint256[] fields,uint256 k,uint256 tau,int256 deltaMin,int256 harmMin,int256 gainCap,uint256 status,int256 gain,uint256 votes,uint256 weight)";

    function test_tallyVectors() public view {
        string memory json = _read("tally.json");
        uint256 c = 0;
        for (; _exists(json, c); ++c) {
            TallyCase memory v = abi.decode(vm.parseJsonType(json, _at(c), TALLY_TYPE), (TallyCase));
            Tally.Verdict memory verdict =
                Tally.settle(v.fields, v.k, Tally.Bounds(v.tau, v.deltaMin, v.harmMin, v.gainCap));
            assertEq(uint256(verdict.status), v.status, string.concat(_at(c), " status"));
            assertEq(verdict.gain, v.gain, string.concat(_at(c), " gain"));
            assertEq(verdict.votes, v.votes, string.concat(_at(c), " votes"));
            assertEq(verdict.weight, v.weight, string.concat(_at(c), " weight"));
        }
        assertGe(c, LEAST_CASES, "cases");
    }

    // --- commitments --------------------------------------------------------------------------------------------------

    struct HashCase {
        string kind;
        uint256 chainId;
        address roundManager;
        uint256 round;
        address account;
        bytes32 contentHash;
        bytes32 cid;
        uint32 samples;
        bytes32 salt;
        uint256 word;
        bytes32 secret;
        bytes32 modelHash;
        bytes32 blockHash;
        bytes32 expected;
    }

    string private constant HASH_TYPE =
        "HashCase(string kind,uint256 chainId,address roundManager,uint256 round,address account,bytes32 contentHash,bytes32 cid,uint32 samples,bytes32 salt,uint256 word,bytes32 secret,bytes32 modelHash,bytes32 blockHash,bytes32 expected)";

    function test_commitmentVectors() public view {
        string memory json = _read("commitments.json");
        uint256 kinds = 0;
        uint256 c = 0;
        for (; _exists(json, c); ++c) {
            HashCase memory v = abi.decode(vm.parseJsonType(json, _at(c), HASH_TYPE), (HashCase));
            (bytes32 actual, uint256 kind) = _hash(v);
            kinds |= 1 << kind;
            assertEq(actual, v.expected, string.concat(_at(c), " ", v.kind));
        }
        assertEq(kinds, 31, "each of the five kinds has a case");
        assertGe(c, LEAST_CASES, "cases");
    }

    function _hash(HashCase memory v) private pure returns (bytes32 actual, uint256 kind) {
        bytes32 name = keccak256(bytes(v.kind));
        if (name == keccak256("update")) {
            actual = CommitHash.update(
                v.chainId, v.roundManager, v.round, v.account, v.contentHash, v.cid, v.samples, v.salt
            );
        } else if (name == keccak256("benchmark")) {
            actual = CommitHash.benchmark(v.chainId, v.roundManager, v.round, v.account, v.contentHash, v.cid, v.salt);
            kind = 1;
        } else if (name == keccak256("scores")) {
            actual = CommitHash.scores(v.chainId, v.roundManager, v.round, v.account, v.word, v.salt);
            kind = 2;
        } else if (name == keccak256("attestation")) {
            actual = CommitHash.attestation(v.round, v.account, v.secret, v.modelHash, v.cid);
            kind = 3;
        } else {
            assertEq(v.kind, "seed", "kind");
            actual = CommitHash.seed(v.blockHash, v.round, v.roundManager);
            kind = 4;
        }
    }

    // --- rewards ------------------------------------------------------------------------------------------------------

    struct RewardCase {
        uint256 round;
        uint256 e0;
        uint256 halving;
        uint256[] weights;
        uint256 wTarget;
        uint256 n;
        uint256 k;
        uint256[] correct;
        uint256 attesters;
        uint256[] trainerRewards;
        uint256[] verifierRewards;
        uint256 attesterReward;
        uint256 treasury;
    }

    string private constant REWARD_TYPE =
        "RewardCase(uint256 round,uint256 e0,uint256 halving,uint256[] weights,uint256 wTarget,uint256 n,uint256 k,uint256[] correct,uint256 attesters,uint256[] trainerRewards,uint256[] verifierRewards,uint256 attesterReward,uint256 treasury)";

    function test_rewardVectors() public view {
        string memory json = _read("rewards.json");
        uint256 c = 0;
        for (; _exists(json, c); ++c) {
            // `sealed` is a reserved word and cannot name a field of a struct.
            bool isSealed = vm.parseJsonBool(json, string.concat(_at(c), ".sealed"));
            _replay(abi.decode(vm.parseJsonType(json, _at(c), REWARD_TYPE), (RewardCase)), isSealed, _at(c));
        }
        assertGe(c, LEAST_CASES, "cases");
    }

    function _replay(RewardCase memory v, bool isSealed, string memory at) private pure {
        assertEq(v.trainerRewards.length, v.n, at);
        assertEq(v.verifierRewards.length, v.n, at);
        uint256 emission = RewardMath.emissionDown(v.e0, v.halving, v.round);
        uint256 sumWeight = 0;
        for (uint256 i = 0; i < v.n; ++i) {
            sumWeight += v.weights[i];
        }
        uint256 minted = 0;
        for (uint256 i = 0; i < v.n; ++i) {
            uint256 trainer = RewardMath.trainerDown(emission, isSealed, v.weights[i], sumWeight, v.wTarget);
            uint256 verifier = RewardMath.verifierDown(emission, v.n, v.k, v.correct[i]);
            assertEq(trainer, v.trainerRewards[i], string.concat(at, " trainer"));
            assertEq(verifier, v.verifierRewards[i], string.concat(at, " verifier"));
            minted += trainer + verifier;
        }
        uint256 attester = RewardMath.attesterDown(emission, v.attesters);
        uint256 treasury = RewardMath.treasuryDown(emission);
        assertEq(attester, v.attesterReward, string.concat(at, " attester"));
        assertEq(treasury, v.treasury, string.concat(at, " treasury"));
        assertLe(minted + attester * v.attesters + treasury, emission, "I2: minted within the emission");
    }

    // --- files --------------------------------------------------------------------------------------------------------

    function _read(string memory name) private view returns (string memory) {
        return vm.readFile(string.concat(FOLDER, name));
    }

    function _exists(string memory json, uint256 c) private view returns (bool) {
        return vm.keyExistsJson(json, _at(c));
    }

    function _at(uint256 c) private pure returns (string memory) {
        return string.concat(".cases[", vm.toString(c), "]");
    }
}
