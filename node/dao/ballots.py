"""Proposals as people name them, and how a vote is split. The proposals themselves are folded by `node.protocol.governance`. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from node.dao.proposal import split_description
from node.protocol.errors import ConfigError
from node.protocol.governance import GovernorProposal, Support
from node.protocol.hashing import keccak256
from node.protocol.types import Address

SUPPORT = ("against", "for", "abstain")
"""Choices by the governor's numbers."""
_SHORTEST_ID = 6
"""Characters, ``0x`` included, that must be given of an id."""


def numbered(proposals: Mapping[int, GovernorProposal]) -> dict[int, GovernorProposal]:
    """Proposals by their number for people: from 1, in the order of proposing."""
    return dict(enumerate(proposals.values(), 1))


def find(proposals: Mapping[int, GovernorProposal], which: str) -> tuple[int, GovernorProposal]:
    """A proposal and its number, by that number, its id, or the first hex digits of its id (``0x…``).

    Raises:
        ConfigError: there is none, or several.
    """
    begins = which.lower() if len(which) >= _SHORTEST_ID and which.startswith("0x") else None
    found = [
        (number, one)
        for number, one in numbered(proposals).items()
        if which in (str(number), str(one.number)) or (begins and f"0x{one.number:064x}".startswith(begins))
    ]
    if len(found) != 1:
        raise ConfigError(
            f"There is no proposal {which!r}." if not found else f"{which!r} begins the ids of {len(found)} proposals.",
            hint="`commonweight dao list` shows them.",
        )
    return found[0]


def title(proposal: GovernorProposal) -> str:
    """The description's first line."""
    return split_description(proposal.description)[0]


def operation(
    proposal: GovernorProposal,
) -> tuple[tuple[Address, ...], tuple[int, ...], tuple[bytes, ...], bytes]:
    """Arguments of `queue`, `execute` and `cancel`."""
    return proposal.targets, proposal.values, proposal.calldatas, keccak256(proposal.description.encode())


def choice(against: int, in_favour: int, abstain: int) -> str:
    """What a vote says in one word."""
    given = [SUPPORT[side] for side, part in zip(Support, (against, in_favour, abstain), strict=True) if part]
    return given[0] if len(given) == 1 else "split" if given else "nothing"


def split_params(against: int, in_favour: int, abstain: int) -> bytes:
    """Parameters of a split vote: three 128-bit integers."""
    return b"".join(part.to_bytes(16, "big") for part in (against, in_favour, abstain))


def shares(votes: int, parts: tuple[float, float, float]) -> tuple[int, int, int]:
    """``votes`` split by percentages of against, for, abstain, rounded down each: together never more than there are.

    Raises:
        ConfigError: a part is negative, or they are more than 100 together, or nothing.
    """
    if min(parts) < 0 or not 0 < sum(parts) <= 100:
        raise ConfigError(
            "The parts of a split vote are percentages, together at most 100.", hint="E.g. --for 60 --against 40."
        )
    against, in_favour, abstain = (votes * round(part * 1_000_000) // 100_000_000 for part in parts)
    return against, in_favour, abstain
