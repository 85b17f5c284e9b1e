"""A proposal as a value: its actions, its description, its number; and the builders of what can be proposed. Pure."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_abi.abi import encode as abi_encode
from eth_utils.address import is_checksum_address

from incentives.rewards import CWT
from node.dao.calls import SETTINGS, Action, to_name
from node.protocol.cid import digest_from_cid
from node.protocol.errors import ConfigError
from node.protocol.hashing import keccak256
from node.protocol.types import Address, Cid

MAX_FILE_BYTES = 256 * 1024
MARK = "#proposer="
"""Ending of a description: only the account that it names can propose it (OpenZeppelin's protection against front-running)."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a member proposes.

    Attributes:
        actions: what the timelock would do, in order; all or nothing.
        text: title and reasons.
        proposer: account that alone can propose it.
    """

    actions: tuple[Action, ...]
    text: str
    proposer: Address

    @property
    def description(self) -> str:
        """The text with the proposer's mark."""
        return f"{self.text.strip()}\n\n{MARK}{self.proposer.lower()}"

    def call(self, contracts: Mapping[str, Address]) -> tuple[tuple[Address, ...], tuple[int, ...], tuple[bytes, ...]]:
        """Targets, values (always 0) and call data."""
        encoded = [action.encode(contracts) for action in self.actions]
        return tuple(to for to, _ in encoded), (0,) * len(encoded), tuple(data for _, data in encoded)

    def number(self, contracts: Mapping[str, Address]) -> int:
        """The proposal's id on chain: H(abi(targets, values, calldatas, H(description)))."""
        targets, values, datas = self.call(contracts)
        return proposal_id(targets, values, datas, self.description)


def proposal_id(targets: Sequence[str], values: Sequence[int], datas: Sequence[bytes], description: str) -> int:
    """`Governor.hashProposal`."""
    packed = abi_encode(
        ["address[]", "uint256[]", "bytes[]", "bytes32"],
        [list(targets), list(values), list(datas), keccak256(description.encode())],
    )
    return int.from_bytes(keccak256(packed))


def split_description(description: str) -> tuple[str, str]:
    """Title (first line) and the rest, without the proposer's mark."""
    text, _, mark = description.rpartition(MARK)
    if len(mark) != 42:
        text = description
    title, _, body = text.strip().partition("\n")
    return title.strip(), body.strip()


# --- builders ---------------------------------------------------------------------------------------------------------


def address(text: str) -> Address:
    """A checksummed address.

    Raises:
        ConfigError: it is none; a mistyped one would receive what the vote gives.
    """
    if not is_checksum_address(text):
        raise ConfigError(f"{text!r} is not a checksummed address.", hint="Addresses are 0x and 40 digits, EIP-55.")
    return Address(text)


def tokens(value: str | float) -> int:
    """An amount of CWT, as people write it, in 10⁻¹⁸ CWT.

    Raises:
        ConfigError: no number, negative, or finer than 10⁻¹⁸.
    """
    whole, _, fraction = str(value).replace("_", "").replace(",", "").strip().partition(".")
    if not (whole or fraction).isdigit() or (fraction and not fraction.isdigit()) or len(fraction) > 18:
        raise ConfigError(f"{value!r} is not an amount of CWT.", hint="Write 1250 or 1250.5.")
    return int(whole or 0) * CWT + int(fraction.ljust(18, "0") or 0)


def set_scoring(tau: int, delta_min: int, harm_min: int, gain_cap: int) -> Action:
    """Other thresholds of the verdicts, ppm of a nat."""
    scoring = {"tau": tau, "deltaMin": delta_min, "harmMin": harm_min, "gainCap": gain_cap}
    return Action("GuidelineRegistry", "setScoring", (scoring,))


def amend(kind: int, document: tuple[bytes, Cid], guideline: tuple[bytes, Cid]) -> Action:
    """Another guideline document: its SHA-256 and CID; hash (Keccak-256) and CID of the whole guideline with it."""
    (content_hash, cid), (guideline_hash, guideline_cid) = document, guideline
    digests = digest_from_cid(cid), digest_from_cid(guideline_cid)
    return Action("GuidelineRegistry", "amend", (kind, content_hash, digests[0], guideline_hash, digests[1]))


def set_seat(seat: int, holder: str, expires_at: int) -> Action:
    """Who holds a committee seat, and until when (seconds since 1970)."""
    return Action("MemberRegistry", "setSeat", (seat, address(holder), expires_at))


def pay(token: str, to: str, amount: int) -> Action:
    """A payment from the treasury, in the token's smallest unit."""
    return Action("Treasury", "pay", (address(token), address(to), amount))


def add_benchmark(name: str, content_hash: bytes, cid: Cid) -> Action:
    """A benchmark that later releases are measured by."""
    return Action("ReleaseRegistry", "addBenchmark", (to_name(name), content_hash, digest_from_cid(cid)))


def retire_benchmark(name: str) -> Action:
    """A benchmark that counts no longer."""
    return Action("ReleaseRegistry", "retireBenchmark", (to_name(name),))


def yank(release: int, reason_hash: bytes) -> Action:
    """A release that is taken back; the reason by SHA-256."""
    return Action("ReleaseRegistry", "yank", (release, reason_hash))


def setting(name: str, value: str) -> Action:
    """One of the governor's own settings (`SETTINGS`): seconds, percent, or CWT for the threshold.

    Raises:
        ConfigError: there is no such setting, or it takes another kind of value.
    """
    if name not in SETTINGS:
        raise ConfigError(f"There is no setting {name!r}.", hint=f"A vote can change {', '.join(SETTINGS)}.")
    if name == "proposal-threshold":
        return Action("CommunityGovernor", SETTINGS[name], (tokens(value),))
    if not value.isdigit():
        raise ConfigError(f"{name} takes a whole number, not {value!r}.", hint="Seconds, or percent for the quorum.")
    return Action("CommunityGovernor", SETTINGS[name], (int(value),))


def replace_guardian(account: str) -> Action:
    """Another guardian; the zero address ends the office."""
    return Action("Guardian", "replace", (address(account),))


# --- files ------------------------------------------------------------------------------------------------------------


def _pay_tokens(token: str, to: str, amount: str) -> Action:
    return pay(token, to, tokens(amount))


_KINDS: Mapping[str, tuple[Callable[..., Action], Mapping[str, type]]] = {
    "scoring": (set_scoring, {"tau": int, "delta_min": int, "harm_min": int, "gain_cap": int}),
    "seat": (set_seat, {"seat": int, "holder": str, "expires_at": int}),
    "pay": (_pay_tokens, {"token": str, "to": str, "amount": str}),
    "retire-benchmark": (retire_benchmark, {"name": str}),
    "setting": (setting, {"name": str, "value": str}),
    "guardian": (replace_guardian, {"account": str}),
}


def read_file(path: Path) -> tuple[tuple[Action, ...], str]:
    """Actions and text of a proposal file, TOML or JSON: ``title``, ``text``, and ``actions``, each with its ``kind``.

    Raises:
        ConfigError: unreadable, or not such a file; names the action and key.
    """
    try:
        data = path.read_bytes()
        if len(data) > MAX_FILE_BYTES:
            raise ConfigError(f"{path} is larger than {MAX_FILE_BYTES} bytes.")
        value: Any = json.loads(data) if path.suffix == ".json" else tomllib.loads(data.decode())
    except OSError as error:
        raise ConfigError(f"The proposal {path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"The proposal {path} is neither TOML nor JSON: {error}.") from error
    return parse(value, path.name)


def parse(value: Any, where: str = "proposal") -> tuple[tuple[Action, ...], str]:
    """Actions and text of a proposal in plain values; see `read_file`."""
    if not isinstance(value, Mapping) or set(value) - {"title", "text", "actions"}:
        raise ConfigError(f"{where} has keys other than title, text and actions.")
    title, listed = value.get("title"), value.get("actions")
    if not isinstance(title, str) or not title.strip() or not isinstance(listed, list) or not listed:
        raise ConfigError(
            f"{where} needs a title and at least one action.",
            hint='E.g. title = "A seat for Ada" and [[actions]] kind = "seat" seat = 0 holder = "0x…" expires_at = 1800000000',
        )
    actions = tuple(_action(one, f"{where}.actions[{place}]") for place, one in enumerate(listed))
    return actions, f"{title.strip()}\n\n{str(value.get('text', '')).strip()}".strip()


def _action(value: Any, where: str) -> Action:
    kind = str(value.get("kind")) if isinstance(value, Mapping) else ""
    if kind not in _KINDS:
        raise ConfigError(f"{where}.kind is {kind!r}.", hint=f"It can be {', '.join(_KINDS)}.")
    build, wanted = _KINDS[kind]
    given = {key: one for key, one in value.items() if key != "kind"}
    if odd := sorted(set(given) ^ set(wanted)):
        raise ConfigError(f"{where} has a missing or unknown key {odd[0]!r}.", hint=f"{kind} has {', '.join(wanted)}.")
    for key, kind_of in wanted.items():
        if type(given[key]) is not kind_of:
            raise ConfigError(f"{where}.{key} is {given[key]!r}, expected {kind_of.__name__}.")
    return build(**given)
