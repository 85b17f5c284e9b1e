"""What a refusal of the contracts means for somebody who proposes, votes or releases, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from node.dao.calls import cwt, duration, from_name, moment, version_text
from node.protocol.errors import TransactionReverted
from node.protocol.types import Phase

STATES = ("pending", "active", "cancelled", "defeated", "succeeded", "queued", "expired", "executed")
"""States of a proposal, by OpenZeppelin's numbers."""

_Text = Callable[..., str]


def explain(error: TransactionReverted) -> str:
    """A sentence for people on why a call was refused and what to try; empty where the contract's own words must do."""
    text = _ADVICE.get(error.error)
    if text is None:
        return ""
    try:
        return text(*error.arguments)
    except (TypeError, ValueError, IndexError, KeyError):
        return ""  # an error of the same name with other arguments


def explained(error: TransactionReverted) -> TransactionReverted:
    """The same refusal with our advice as its hint."""
    hint = explain(error) or error.hint
    return TransactionReverted(error.error, error.arguments, call=error.call, hint=hint)


def _states(bitmap: bytes) -> str:
    wanted = int.from_bytes(bitmap)
    return " or ".join(name for number, name in enumerate(STATES) if wanted >> number & 1)


def _unexpected_state(_proposal: int, state: int, expected: bytes) -> str:
    if not int.from_bytes(expected):
        return f"The proposal exists already and is {STATES[state]}. Change a word of its text to propose it again."
    return (
        f"The proposal is {STATES[state]}; this needs it to be {_states(expected)}. `commonweight dao show` says when."
    )


def _operation_state(_id: bytes, expected: bytes) -> str:
    if int.from_bytes(expected) == 1 << 2:
        return "The timelock's delay is not over yet; `commonweight dao show` says when it is."
    return "The timelock holds this operation already, or does not hold it yet."


_ADVICE: Mapping[str, _Text] = {
    # governor
    "NotAllowed": lambda target, selector: (
        f"The governor's list, fixed at deployment, has no function 0x{selector.hex()} of {target}: no vote can reach it."
    ),
    "GovernorInsufficientProposerVotes": lambda _who, votes, needed: (
        f"Proposing needs votes of {cwt(needed)}, you have {cwt(votes)}. Lock tokens with `commonweight dao convert`; they count "
        "from the next second."
    ),
    "GovernorRestrictedProposer": lambda _who: "The text names another account as its only proposer.",
    "GovernorUnexpectedProposalState": _unexpected_state,
    "GovernorNonexistentProposal": lambda _id: "There is no such proposal; `commonweight dao list` shows them.",
    "GovernorAlreadyCastVote": lambda _who: "You have voted already, with all your votes.",
    "GovernorUnableToCancel": lambda _id, _who: (
        "Only its proposer can cancel a proposal, before the vote starts; the guardian can at any time."
    ),
    "SettingOutOfBounds": lambda _value, least, most: f"The setting may lie between {least} and {most}.",
    "ParameterOutOfBounds": lambda name, value, least, most: (
        f"{from_name(name)} is {value}; it may lie between {least} and {most}."
    ),
    "BadTerm": lambda _expires, least, most: f"A seat's term may end between {moment(least)} and {moment(most)}.",
    "NoSuchSeat": lambda seat, seats: f"There is no seat {seat}; they are numbered from 0 to {seats - 1}.",
    "SeatTaken": lambda holder, seat: f"{holder} holds seat {seat} already; nobody holds two.",
    "SameHash": lambda *_: "This is what is in force already.",
    "SameScoring": lambda *_: "These numbers are in force already.",
    "NotPaused": lambda *_: "Nothing is paused there.",
    "VoteOutlastsLock": lambda duration_, delay: (
        f"Vote, extension and timelock would last {duration(duration_)}; that must be shorter than the vault's unlock delay, "
        f"{duration(delay)}."
    ),
    "TimelockUnexpectedOperationState": _operation_state,
    # vault
    "LockPaused": lambda: "The guardian has paused locking for a while; delegating and voting go on.",
    "NotActive": lambda who, _status: f"{who} is no active member, and only active members lock tokens.",
    "NotMember": lambda who, _status: f"{who} is no member; votes can only be delegated between members.",
    "NotLocked": lambda amount, locked: f"You asked for {cwt(amount)}, and {cwt(locked)} are locked.",
    "WithdrawTooEarly": lambda free_at, now: f"The tokens are free in {duration(free_at - now)}.",
    "NothingThere": lambda _who: "There is nothing to withdraw; `commonweight dao unlock` starts the delay.",
    "ERC20InsufficientBalance": lambda who, balance, needed: (
        f"{who} has {cwt(balance)}, {cwt(needed)} are needed. Rewards count once they are claimed; a stake cannot be locked."
    ),
    "EmptyPayment": lambda _to, _amount: "A payment needs a receiver and an amount.",
    # revenue
    "NothingToClaim": lambda *_: "Nothing is due: all of your share was paid, or nothing was deposited.",
    "NothingArrived": lambda *_: "No tokens arrived: deposit more than 0.",
    "ERC20InsufficientAllowance": lambda _who, allowance, needed: (
        f"Allowed are {cwt(allowance)}, needed {cwt(needed)}."
    ),
    # releases
    "PublishPaused": lambda: "The guardian has paused publishing for a while.",
    "VersionNotAbove": lambda given, last: (
        f"Version {version_text(given)} is not above {version_text(last)}, the last published one (taken back or not)."
    ),
    "NoSuchRelease": lambda release, count: f"There is no release {release}; there are {count}.",
    "Yanked": lambda release: f"Release {release} was taken back: nothing can be built on it.",
    "NotLatest": lambda parent, latest: (
        f"The parent must be the latest release, {latest}, not {parent}. Make the candidate again."
    ),
    "RoundNotLater": lambda number, parent: f"Round {number} is not later than {parent}, the parent's.",
    "NotFinalized": lambda number, phase: (
        f"Round {number} is {Phase(phase).name.lower()}; a release needs a finalised one."
    ),
    "NotTheRoundsModel": lambda *_: "Model hash and CID are not those of the round. Make the candidate again.",
    "ScoresNotAttested": lambda _hash, votes, needed: (
        f"{votes} of the round's correct attesters voted for exactly these scores, {needed} are needed. They run `commonweight "
        "release attest ROUND`."
    ),
    "ScoreOutOfBounds": lambda name, ppm, most: f"{from_name(name)} has {ppm} ppm; the best score is {most}.",
    "MissingScore": lambda name: f"The active benchmark {from_name(name)} has no score. Measure again with it.",
    "Regressed": lambda name, ppm, least: (
        f"{from_name(name)} fell to {ppm / 1e6:.4f}; at least {least / 1e6:.4f} is asked for. This model cannot be released: train on."
    ),
    "NoActiveBenchmark": lambda: (
        "Releases need an active benchmark. Add one with `commonweight release propose --add-benchmark` or `dao propose benchmark`."
    ),
    "CreditsNotRolled": lambda number, rolled: (
        f"Credits are added up to round {rolled}, not to {number}. `commonweight release settle {number}` does it."
    ),
    "ClaimsMissing": lambda number: (
        f"A participant of round {number} has not claimed; anybody may for it: `commonweight release settle {number}`."
    ),
    "NoCredits": lambda number: f"Nobody has earned anything by round {number}: a release without owners.",
    "NotAttester": lambda _caller, attester: f"{attester} is the attester of that slot.",
    "NotCorrect": lambda number, slot: f"The attestation of slot {slot} did not open to the model of round {number}.",
    "AlreadyAttested": lambda *_: "You have voted for exactly these scores already.",
    "WrongStanding": lambda name, actual, _expected: (
        f"The benchmark {from_name(name)} is {('unknown', 'active', 'retired')[actual]}; a name is used once."
    ),
    "ZeroHash": lambda *_: "A hash or a CID is missing.",
    "NotTimelock": lambda *_: "Only a proposal that passed can do this.",
}
