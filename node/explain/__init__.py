"""Why the chain paid, slashed, counted or released as it did: inputs, formula, each step with its numbers, the transactions.

Pure: events and constants in, an `Explanation` out. What is explained is computed anew by `incentives` from the inputs, never copied
from the result, and compared with what the chain recorded; a difference is said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from node.explain.core import Explanation, Past, Terms
from node.explain.ownership import explain_credit, explain_release
from node.explain.reward import explain_reward
from node.explain.score import explain_score
from node.explain.seat import explain_seat
from node.explain.slash import explain_slash
from node.explain.votes import explain_power, explain_vote
from node.protocol.errors import ConfigError

__all__ = ["KINDS", "Explanation", "Past", "Terms", "explain"]

KINDS: Mapping[str, tuple[Callable[..., Explanation], tuple[str, ...], int]] = {
    "reward": (explain_reward, ("round", "index"), 2),
    "score": (explain_score, ("round", "index"), 2),
    "slash": (explain_slash, ("number",), 1),
    "vote": (explain_vote, ("proposal", "account"), 2),
    "power": (explain_power, ("account",), 1),
    "credit": (explain_credit, ("account", "round"), 1),
    "release": (explain_release, ("number",), 1),
    "seat": (explain_seat, ("number",), 1),
}
"""What can be explained: by which function, from which parts of an id, how many of them at least."""


def explain(past: Past, what: str, parts: tuple[str, ...]) -> Explanation:
    """The explanation of one thing.

    Args:
        past: everything that happened.
        what: one of `KINDS`.
        parts: its id, as `KINDS` names the parts; a full stop also separates them.

    Raises:
        ConfigError: there is no such kind or thing, or the id is none.
    """
    if what not in KINDS:
        raise ConfigError(f"There is no explanation of {what!r}.", hint=f"There are {', '.join(KINDS)}.")
    build, names, least = KINDS[what]
    given = [part for text in parts for part in text.split(".") if part]
    if not least <= len(given) <= len(names):
        wanted = " ".join(name if place < least else f"[{name}]" for place, name in enumerate(names))
        raise ConfigError(f"`explain {what}` takes {wanted}; it was given {' '.join(given) or 'nothing'}.")
    arguments = [
        _account(past, text) if name == "account" else _number(name, text)
        for name, text in zip(names, given, strict=False)
    ]
    return build(past, *arguments)


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 78):
        raise ConfigError(f"The {name} is {text[:80]!r}, expected a number.")
    return int(text)


def _account(past: Past, text: str) -> str:
    """A known account by its address, or by how it begins."""
    known = {*past.state.members, *past.state.balances, *past.state.locks}
    found = [address for address in known if address.lower() == text.lower()]
    if not found and len(text) >= 6:
        found = [address for address in known if address.lower().startswith(text.lower())]
    if len(found) != 1:
        why = "Nobody of that address ever took part." if not found else f"{len(found)} accounts begin so."
        raise ConfigError(f"{text[:80]!r} names no account here.", why=why, hint="`commonweight join list` shows all.")
    return found[0]
