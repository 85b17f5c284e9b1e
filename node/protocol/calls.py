"""What identifies a proposal and its calls: selectors, call data, and the ids that governor and timelock compute."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from eth_abi.abi import encode

from node.protocol.hashing import keccak256
from node.protocol.types import Address


@cache
def selector_of(signature: str) -> bytes:
    """First four bytes of a signature's hash: ``setSeat(uint256,address,uint40)``."""
    return keccak256(signature.encode())[:4]


def calldata(signature: str, *arguments: Any) -> bytes:
    """Call data of a function by its signature; structs as tuples."""
    return selector_of(signature) + encode(_types(signature), arguments)


@cache
def _types(signature: str) -> list[str]:
    """Types of the outermost arguments: commas within a struct do not part them."""
    inner, types, depth, current = signature[signature.index("(") + 1 : -1], [], 0, ""
    for letter in inner:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            types.append(current)
            current = ""
        else:
            current += letter
    return [*types, current] if current else types


def proposal_id(
    targets: Sequence[Address], values: Sequence[int], calldatas: Sequence[bytes], description_hash: bytes
) -> int:
    """`hashProposal`: H(abi(targets, values, calldatas, H(description))) as a number."""
    types = ["address[]", "uint256[]", "bytes[]", "bytes32"]
    return int.from_bytes(keccak256(encode(types, [targets, values, calldatas, description_hash])), "big")


def salt_of(governor: Address, description_hash: bytes) -> bytes:
    """The salt under which a governor queues: its address, left-aligned, XOR the description's hash."""
    own = bytes.fromhex(governor[2:]).ljust(32, b"\0")
    return bytes(one ^ other for one, other in zip(own, description_hash, strict=True))


def operation_id(
    targets: Sequence[Address], values: Sequence[int], calldatas: Sequence[bytes], predecessor: bytes, salt: bytes
) -> bytes:
    """`hashOperationBatch`: H(abi(targets, values, payloads, predecessor, salt))."""
    types = ["address[]", "uint256[]", "bytes[]", "bytes32", "bytes32"]
    return keccak256(encode(types, [targets, values, calldatas, predecessor, salt]))


PUBLISH = "publish((uint32,(uint16,uint16,uint16),uint256,bytes32,bytes32,bytes32,bytes32,(bytes32,uint32)[]))"

PROPOSABLE: tuple[tuple[str, str], ...] = (
    ("Guardian", "replace(address)"),
    ("Guardian", "unpause(uint8)"),
    ("MemberRegistry", "setSeat(uint256,address,uint40)"),
    ("GuidelineRegistry", "amend(uint8,bytes32,bytes32,bytes32,bytes32)"),
    ("GuidelineRegistry", "setScoring((uint24,uint24,uint24,uint24))"),
    ("Treasury", "pay(address,address,uint256)"),
    ("ReleaseRegistry", PUBLISH),
    ("ReleaseRegistry", "yank(uint32,bytes32)"),
    ("ReleaseRegistry", "addBenchmark(bytes32,bytes32,bytes32)"),
    ("ReleaseRegistry", "retireBenchmark(bytes32)"),
)
"""All that a proposal can call beside the governor's own settings: (contract, signature). `deploy.plan` deploys the same list."""

OWN_SETTINGS = (
    "setVotingDelay(uint48)",
    "setVotingPeriod(uint32)",
    "setProposalThreshold(uint256)",
    "updateQuorumNumerator(uint256)",
    "setLateQuorumVoteExtension(uint48)",
)
"""Functions of the governor itself that proposals can call."""
