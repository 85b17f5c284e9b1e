"""What a proposal would call, as values: an action to and from call data, and in words for people. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from incentives.rewards import CWT
from node.adapters.abi import AbiMismatch, contract_abi
from node.protocol.cid import cid_from_digest
from node.protocol.errors import ConfigError
from node.protocol.guideline import DOCUMENTS
from node.protocol.types import Address

SETTINGS: Mapping[str, str] = {
    "voting-delay": "setVotingDelay",
    "voting-period": "setVotingPeriod",
    "late-extension": "setLateQuorumVoteExtension",
    "quorum-percent": "updateQuorumNumerator",
    "proposal-threshold": "setProposalThreshold",
}
"""The governor's own settings that a vote can change, by the name that people use."""

_ENTRIES = ("joining", "opening rounds", "locking", "publishing releases")
_NOBODY = "0x" + "00" * 20


@dataclass(frozen=True, slots=True)
class Action:
    """One call that the timelock makes once a proposal has passed: contract and function by name, positional arguments."""

    contract: str
    function: str
    arguments: tuple[Any, ...]

    def encode(self, contracts: Mapping[str, Address]) -> tuple[Address, bytes]:
        """Target and call data.

        Raises:
            ConfigError: the arguments do not fit the function.
        """
        try:
            data = contract_abi(self.contract).encode_call(self.function, self.arguments)
            return contracts[self.contract], data
        except Exception as error:
            raise ConfigError(f"{self.contract}.{self.function} does not take these arguments: {error}") from error


def decode(target: str, data: bytes, contracts: Mapping[str, Address]) -> Action | None:
    """The action of a target and call data; None where it is no function of a contract of ours."""
    for name, address in contracts.items():
        if address.lower() == target.lower():
            try:
                function, arguments = contract_abi(name).decode_call(data)
            except AbiMismatch:
                return None
            return Action(name, function, arguments)
    return None


# --- names that the contracts keep in 32 bytes ----------------------------------------------------------------------------


def to_name(text: str) -> bytes:
    """A benchmark's name as bytes32: ASCII, left-aligned.

    Raises:
        ConfigError: empty, not printable ASCII, or longer than 32 characters.
    """
    data = text.encode("ascii", "replace")
    if not 0 < len(data) <= 32 or data.decode() != text or not text.isprintable():
        raise ConfigError(f"{text!r} cannot name a benchmark.", hint="Use 1 to 32 printable ASCII characters.")
    return data.ljust(32, b"\0")


def from_name(name: bytes) -> str:
    """A benchmark's name for people; what is no text as hex."""
    text = name.rstrip(b"\0")
    return text.decode("ascii") if text.isascii() and text.decode("ascii").isprintable() else "0x" + name.hex()


# --- in words ---------------------------------------------------------------------------------------------------------


def describe(action: Action, decided: str = "would") -> str:
    """One sentence on what an action does; the call itself where we have no words for it."""
    words = _WORDS.get((action.contract, action.function))
    if words is None:
        arguments = ", ".join("0x" + a.hex() if isinstance(a, bytes) else str(a) for a in action.arguments)
        return f"{decided} call {action.contract}.{action.function}({arguments})"
    return f"{decided} {words(*action.arguments)}"


def cwt(amount: int) -> str:
    """An amount of tokens for people."""
    return f"{amount / CWT:,.2f} CWT"


def duration(seconds: float) -> str:
    """Seconds for people: ``2 d 3 h``, ``4 min 10 s``, ``0 s``."""
    left = max(0, round(seconds))
    parts = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        if left >= size:
            parts.append(f"{left // size} {unit}")
            left %= size
    return " ".join(parts[:2]) or "0 s"


def moment(timestamp: int) -> str:
    """A time of the chain for people, UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(timestamp))


def version_text(version: Mapping[str, int]) -> str:
    """``1.2.3``."""
    return f"{version['major']}.{version['minor']}.{version['patch']}"


def _publish(candidate: Mapping[str, Any]) -> str:
    scores = ", ".join(f"{from_name(s['benchmark'])} {s['ppm'] / 1e6:.4f}" for s in candidate["scores"])
    after = f"after release {candidate['parent']}" if candidate["parent"] else "as the first release"
    return (
        f"publish version {version_text(candidate['version'])}, the model of round {candidate['round']} "
        f"(0x{candidate['modelHash'].hex()[:16]}…), {after}; scores: {scores}"
    )


def _amend(kind: int, _hash: bytes, cid: bytes, guideline_hash: bytes, guideline_cid: bytes) -> str:
    name = DOCUMENTS[kind] if 0 <= kind < len(DOCUMENTS) else f"document {kind}"
    return (
        f"change the guideline's {name} document to {cid_from_digest(cid)}; the guideline becomes "
        f"0x{guideline_hash.hex()[:16]}… ({cid_from_digest(guideline_cid)})"
    )


def _set_scoring(scoring: Mapping[str, int]) -> str:
    return "score by " + ", ".join(f"{name} {value:,} ppm" for name, value in scoring.items())


def _set_seat(seat: int, holder: str, expires_at: int) -> str:
    if holder == _NOBODY:
        return f"empty committee seat {seat}"
    return f"give committee seat {seat} to {holder} until {moment(expires_at)}"


def _add_benchmark(name: bytes, content_hash: bytes, cid: bytes) -> str:
    return f"measure releases by {from_name(name)} ({cid_from_digest(cid)}, SHA-256 {content_hash.hex()[:16]}…)"


_WORDS: Mapping[tuple[str, str], Callable[..., str]] = {
    ("ReleaseRegistry", "publish"): _publish,
    ("ReleaseRegistry", "yank"): lambda release, _reason: f"take back release {release}",
    ("ReleaseRegistry", "addBenchmark"): _add_benchmark,
    ("ReleaseRegistry", "retireBenchmark"): lambda name: f"stop measuring releases by {from_name(name)}",
    ("GuidelineRegistry", "amend"): _amend,
    ("GuidelineRegistry", "setScoring"): _set_scoring,
    ("MemberRegistry", "setSeat"): _set_seat,
    ("Treasury", "pay"): lambda token, to, amount: f"pay {cwt(amount)} of token {token} from the treasury to {to}",
    ("Guardian", "replace"): lambda account: (
        "end the guardian's office" if account == _NOBODY else f"make {account} the guardian"
    ),
    ("Guardian", "unpause"): lambda entry: (
        f"end the pause of {_ENTRIES[entry] if 0 <= entry < len(_ENTRIES) else entry}"
    ),
    ("CommunityGovernor", "setVotingDelay"): lambda value: f"start votes {duration(value)} after their proposal",
    ("CommunityGovernor", "setVotingPeriod"): lambda value: f"let votes last {duration(value)}",
    ("CommunityGovernor", "setLateQuorumVoteExtension"): lambda value: (
        f"let a vote last {duration(value)} at least after its quorum was reached"
    ),
    ("CommunityGovernor", "updateQuorumNumerator"): lambda value: f"ask for {value} % of all units as quorum",
    ("CommunityGovernor", "setProposalThreshold"): lambda value: f"ask proposers for votes of {cwt(value)}",
}
