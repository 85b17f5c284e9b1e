// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

/// @title CommitHash
/// @notice Every hash that a participant commits to, bound to chain, contract, round and sender: a commitment that
/// somebody else copies can never be opened by the copier. All are keccak-256 over `abi.encode`.
/// @dev Mirror: `node/protocol` (vectors in `tests/vectors/commitments.json`).
library CommitHash {
    /// @notice What `commitUpdate` takes.
    /// @param contentHash SHA-256 of the update's bytes.
    /// @param cid 32-byte digest of its CIDv0.
    /// @param samples Samples the trainer says it used.
    /// @param salt Secret until the reveal; without it a guessed update could be confirmed.
    function update(
        uint256 chainId,
        address roundManager,
        uint256 round,
        address trainer,
        bytes32 contentHash,
        bytes32 cid,
        uint32 samples,
        bytes32 salt
    ) internal pure returns (bytes32) {
        return keccak256(abi.encode(chainId, roundManager, round, trainer, contentHash, cid, samples, salt));
    }

    /// @notice What the steward gives to `openRound`: the unpublished benchmark slice.
    function benchmark(
        uint256 chainId,
        address roundManager,
        uint256 round,
        address steward,
        bytes32 contentHash,
        bytes32 cid,
        bytes32 salt
    ) internal pure returns (bytes32) {
        return keccak256(abi.encode(chainId, roundManager, round, steward, contentHash, cid, salt));
    }

    /// @notice What `commitScores` takes.
    function scores(uint256 chainId, address roundManager, uint256 round, address verifier, uint256 word, bytes32 salt)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(chainId, roundManager, round, verifier, word, salt));
    }

    /// @notice Key of a round's ring.
    function seed(bytes32 blockHash, uint256 round, address roundManager) internal pure returns (bytes32) {
        return keccak256(abi.encode(blockHash, round, roundManager));
    }

    /// @notice Key of a jury's permutation.
    function jury(bytes32 blockHash, uint256 id, address court) internal pure returns (bytes32) {
        return keccak256(abi.encode(blockHash, id, court));
    }

    /// @notice What `commitBallot` takes.
    function ballot(uint256 chainId, address court, uint256 id, address juror, uint256 vote, bytes32 salt)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(chainId, court, id, juror, vote, salt));
    }

    /// @notice What `attest` takes: keyed by the attester, so nobody can copy it, and by a secret that only somebody who
    /// holds the aggregated weights can compute, so nobody can guess it. One reveal of the secret opens all of them.
    function attestation(uint256 round, address attester, bytes32 secret, bytes32 modelHash, bytes32 cid)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(round, attester, secret, modelHash, cid));
    }
}
