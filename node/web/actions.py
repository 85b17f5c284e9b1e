"""What a person can do from the page, as contract calls: the body is checked, nothing is sent. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from eth_utils.address import is_address, is_checksum_address, to_checksum_address

from node.explain.core import cwt
from node.explain.votes import find_proposal
from node.membership.review import VERSION, Review
from node.protocol.errors import ConfigError
from node.protocol.governance import GovernorProposal
from node.protocol.hashing import keccak256
from node.protocol.types import Address, Call
from node.web.world import World

MOST_REASON = 1_000
MOST_AMOUNT = 2**96
SUPPORT: Mapping[str, int] = {"against": 0, "for": 1, "abstain": 2}


@dataclass(frozen=True, slots=True)
class Prepared:
    """One transaction to sign, and what it does in words."""

    call: Call
    label: str
    publish: bytes = b""
    """A file that the call names by its CID, to be published first."""


Body = Mapping[str, Any]
Build = Callable[[World, Body], list[Prepared]]


def prepare(world: World, name: str, body: Any, signer: Address | None = None) -> tuple[list[Prepared], Address | None]:
    """Calls of an action, in order, and the account that says it will sign (``from``), if it says so.

    Args:
        world: what the server knows.
        name: of the action.
        body: of the request.
        signer: whose key the server has, if it has one.

    Raises:
        ConfigError: there is no such action, or the body is not what it takes.
    """
    if name not in ACTIONS:
        raise ConfigError(f"There is no action {name[:40]!r}.", hint=f"There are {', '.join(ACTIONS)}.")
    build, wanted = ACTIONS[name]
    if not isinstance(body, dict):
        raise ConfigError("The body is not a JSON object.")
    given = dict(body)
    sender = _account(given.pop("from"), "from") if "from" in given else None
    if odd := sorted(set(given) ^ set(wanted)):
        raise ConfigError(
            f"The body has a missing or unknown key {str(odd[0])[:40]!r}.",
            hint=f"{name} takes {', '.join(wanted) or 'nothing'}.",
        )
    for key, kind in wanted.items():
        if type(given[key]) is not kind:
            raise ConfigError(f"{key} is {given[key]!r:.80}, expected {_KINDS[kind]}.")
    return build(world, given | {_SIGNER: signer}), sender


_SIGNER = "signer"

_KINDS = {str: "a text", int: "a whole number", bool: "true or false"}


def _account(value: Any, key: str) -> Address:
    # Wallets often give accounts in lower case; a checksum that is there must be right.
    if isinstance(value, str) and is_address(value) and (value.lower() == value or is_checksum_address(value)):
        return Address(to_checksum_address(value))
    raise ConfigError(f"{key} is {value!r:.80}, expected an account 0x…, in lower case or with its checksum.")


def _reason(text: str) -> str:
    if len(text) > MOST_REASON:
        raise ConfigError(f"The reason has {len(text)} characters.", hint=f"At most {MOST_REASON}: it goes on chain.")
    return text


def _number(value: int, key: str) -> int:
    if not 0 <= value < 2**64:
        raise ConfigError(f"{key} is {value}, which numbers nothing.")
    return value


def _amount(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 30 and 0 < int(text) < MOST_AMOUNT):
        raise ConfigError(
            f"The amount is {text!r:.80}, expected units of 10⁻¹⁸ CWT above 0.",
            hint='E.g. "1000000000000000000" for 1 CWT.',
        )
    return int(text)


def _proposal(world: World, text: str) -> GovernorProposal:
    if not (text.isascii() and text.isdigit() and len(text) <= 78):
        raise ConfigError(f"The proposal is {text!r:.80}, expected its id or number.")
    return find_proposal(world.state, int(text))


def _vote(world: World, body: Body) -> list[Prepared]:
    found = _proposal(world, body["proposal"])
    if body["support"] not in SUPPORT:
        raise ConfigError(f"support is {body['support']!r:.80}.", hint=f"It is {', '.join(SUPPORT)}.")
    arguments = (found.number, SUPPORT[body["support"]], _reason(body["reason"]))
    return [Prepared(Call("CommunityGovernor", "castVoteWithReason", arguments), f"Vote {body['support']}")]


def _operation(function: str, label: str) -> Build:
    def build(world: World, body: Body) -> list[Prepared]:
        found = _proposal(world, body["proposal"])
        digest = keccak256(found.description.encode())
        call = Call("CommunityGovernor", function, (found.targets, found.values, found.calldatas, digest))
        return [Prepared(call, label)]

    return build


def _review(world: World, body: Body) -> list[Prepared]:
    word = "yes" if body["approve"] else "no"
    number, digest, file = _grounds(world, body, "review", word)
    label = f"{'Approve' if body['approve'] else 'Refuse'} application {number}"
    return [Prepared(Call("MemberRegistry", "review", (number, body["approve"], digest)), label, file)]


def _veto(world: World, body: Body) -> list[Prepared]:
    number, digest, file = _grounds(world, body, "veto", "no")
    return [Prepared(Call("MemberRegistry", "veto", (number, digest)), f"Veto application {number}", file)]


def _grounds(world: World, body: Body, kind: str, approve: str) -> tuple[int, bytes, bytes]:
    """Number of the application, what goes on chain for the reason, and the review's file (`node.membership.review`).

    Where a wallet signs, the server publishes nothing (whoever reaches it could fill the node's store), and the chain names the bare
    reason's hash.
    """
    number, reason = _number(body["application"], "application"), _reason(body["reason"])
    application = world.state.applications.get(number)
    if application is None:
        raise ConfigError(
            f"There is no application {number}.", hint=f"So far {len(world.state.applications)} were made."
        )
    reviewer: Address | None = body[_SIGNER]
    if reviewer is None:
        return number, keccak256(reason.encode()), b""
    review = Review(VERSION, number, application.request_hash, reviewer, kind, approve, reason, (), ())
    return number, review.reason_hash, review.encode()


def _admit(_world: World, body: Body) -> list[Prepared]:
    number = _number(body["application"], "application")
    return [Prepared(Call("MemberRegistry", "admit", (number,)), f"Admit application {number}")]


def _lock(world: World, body: Body) -> list[Prepared]:
    amount = _amount(body["amount"])
    vault = world.terms.contracts["VotingVault"]
    return [
        Prepared(Call("ContributionToken", "approve", (vault, amount)), f"Let the vault take {cwt(amount)}"),
        Prepared(Call("VotingVault", "lock", (amount,)), f"Lock {cwt(amount)} for votes"),
    ]


def _unlock(_world: World, body: Body) -> list[Prepared]:
    amount = _amount(body["amount"])
    return [Prepared(Call("VotingVault", "unlock", (amount,)), f"Take {cwt(amount)} out of the vault")]


def _withdraw(_world: World, _body: Body) -> list[Prepared]:
    return [Prepared(Call("VotingVault", "withdraw"), "Withdraw what is free")]


def _delegate(_world: World, body: Body) -> list[Prepared]:
    to = _account(body["to"], "to")
    return [Prepared(Call("VotingVault", "delegate", (to,)), f"Let {to} vote with your units")]


def _claim(_world: World, body: Body) -> list[Prepared]:
    place = (_number(body["round"], "round"), _number(body["index"], "index"))
    return [Prepared(Call("RewardDistributor", "claim", place), f"Claim for index {place[1]} of round {place[0]}")]


ACTIONS: Mapping[str, tuple[Build, Mapping[str, type]]] = {
    "vote": (_vote, {"proposal": str, "support": str, "reason": str}),
    "queue": (_operation("queue", "Put it into the timelock"), {"proposal": str}),
    "execute": (_operation("execute", "Carry it out"), {"proposal": str}),
    "review": (_review, {"application": int, "approve": bool, "reason": str}),
    "veto": (_veto, {"application": int, "reason": str}),
    "admit": (_admit, {"application": int}),
    "lock": (_lock, {"amount": str}),
    "unlock": (_unlock, {"amount": str}),
    "withdraw": (_withdraw, {}),
    "delegate": (_delegate, {"to": str}),
    "claim": (_claim, {"round": int, "index": int}),
}
"""Actions by name: what builds them, and the types of their body."""
