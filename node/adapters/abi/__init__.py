"""The contracts' ABIs (package data, written by `deploy.abi`) and their codec: calls, results, events and errors. Pure.

Values as they cross the `Chain` port: integers and enums are `int`, ``bytesN`` and ``bytes`` are `bytes`, addresses are EIP-55
text, arrays are tuples, structs are dicts by field name. Several results come as a tuple, a single one bare.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError, EncodingError, ParseError
from eth_utils.address import to_checksum_address

from node.protocol.errors import LocalProtocolError
from node.protocol.hashing import keccak256

CONTRACTS = (
    "ContributionToken",
    "Guardian",
    "MemberRegistry",
    "GuidelineRegistry",
    "RoundManager",
    "RoundCourt",
    "RewardDistributor",
    "Treasury",
    "VotingVault",
    "TimelockController",
    "CommunityGovernor",
    "ReleaseRegistry",
    "RevenueSplitter",
)
"""The contracts of one community in order of creation, by the names that `Call` and `ChainEvent` use."""

_ERROR_STRING = bytes.fromhex("08c379a0")  # Error(string)
_PANIC = bytes.fromhex("4e487b71")  # Panic(uint256)


class AbiMismatch(ValueError):
    """Bytes from the chain that our ABIs cannot explain."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One ABI item: its name, parameters, and selector (4 bytes) or topic (32)."""

    name: str
    inputs: tuple[Mapping[str, Any], ...]
    outputs: tuple[Mapping[str, Any], ...]
    digest: bytes


@dataclass(frozen=True, slots=True)
class ContractAbi:
    """Codec of one contract.

    Attributes:
        name: the contract's name.
        functions: by name; overloads share a name and differ in their number of arguments.
        events: by topic.
        errors: by selector.
        constructor: parameters of the constructor.
    """

    name: str
    functions: Mapping[str, tuple[_Entry, ...]]
    events: Mapping[bytes, _Entry]
    errors: Mapping[bytes, _Entry]
    constructor: tuple[Mapping[str, Any], ...] = field(default=())

    def encode_call(self, function: str, arguments: Sequence[Any]) -> bytes:
        """Call data.

        Raises:
            LocalProtocolError: no such function, or arguments that do not fit it.
        """
        entry = self._function(function, len(arguments))
        return entry.digest + _encode(f"{self.name}.{function}", entry.inputs, arguments)

    def decode_call(self, data: bytes) -> tuple[str, tuple[Any, ...]]:
        """Name and arguments of call data, the inverse of `encode_call`.

        Raises:
            AbiMismatch: no function of ours, or arguments that do not decode.
        """
        entries = (entry for overloads in self.functions.values() for entry in overloads)
        entry = next((entry for entry in entries if entry.digest == data[:4]), None)
        if entry is None:
            raise AbiMismatch(f"{self.name} has no function with selector 0x{data[:4].hex()}")
        return entry.name, _decode(f"a call of {self.name}.{entry.name}", entry.inputs, data[4:])

    def encode_constructor(self, arguments: Sequence[Any]) -> bytes:
        """Constructor arguments, to be appended to the creation code. Structs may be dicts by field name.

        Raises:
            LocalProtocolError: arguments that do not fit.
        """
        return _encode(f"{self.name}.constructor", self.constructor, arguments)

    def decode_result(self, function: str, count: int, data: bytes) -> Any:
        """Result of ``function`` (the overload of ``count`` arguments): bare if single, a tuple otherwise.

        Raises:
            AbiMismatch: these are not its results, e.g. because no contract is at the address.
        """
        entry = self._function(function, count)
        values = _decode(f"the result of {self.name}.{function}", entry.outputs, data)
        return values[0] if len(values) == 1 else values

    def decode_event(self, topics: Sequence[bytes], data: bytes) -> tuple[str, dict[str, Any]]:
        """Name and arguments of a log entry, in Solidity's order. An indexed dynamic value stays its hash.

        Raises:
            AbiMismatch: an event we do not know, or one that does not decode.
        """
        entry = self.events.get(topics[0]) if topics else None
        if entry is None:
            raise AbiMismatch(f"{self.name} emitted an event that its ABI does not name")
        indexed = [parameter for parameter in entry.inputs if parameter["indexed"]]
        if len(indexed) != len(topics) - 1:
            raise AbiMismatch(f"{self.name}.{entry.name} has {len(topics)} topics instead of {len(indexed) + 1}")
        where = f"the event {self.name}.{entry.name}"
        values = {p["name"]: _topic(where, p, topic) for p, topic in zip(indexed, topics[1:], strict=True)}
        plain = tuple(parameter for parameter in entry.inputs if not parameter["indexed"])
        values.update(zip((p["name"] for p in plain), _decode(where, plain, data), strict=True))
        return entry.name, {p["name"]: values[p["name"]] for p in entry.inputs}

    def decode_error(self, data: bytes) -> tuple[str, tuple[Any, ...]]:
        """Name and arguments of a custom error of this contract.

        Raises:
            AbiMismatch: none of ours, or arguments that do not decode.
        """
        entry = self.errors.get(data[:4])
        if entry is None:
            raise AbiMismatch(f"{self.name} has no error with selector 0x{data[:4].hex()}")
        return entry.name, _decode(f"the error {entry.name}", entry.inputs, data[4:])

    def _function(self, function: str, count: int) -> _Entry:
        fitting = [entry for entry in self.functions.get(function, ()) if len(entry.inputs) == count]
        if len(fitting) != 1:
            raise LocalProtocolError(f"{self.name} has no function {function} of {count} arguments.")
        return fitting[0]


@cache
def contract_abi(name: str) -> ContractAbi:
    """Codec of one of `CONTRACTS`, from the package data.

    Raises:
        LocalProtocolError: no such contract.
    """
    if name not in CONTRACTS:
        raise LocalProtocolError(f"There is no contract {name!r}; there are {', '.join(CONTRACTS)}.")
    text = resources.files(__name__).joinpath(f"{name}.json").read_text(encoding="utf-8")
    return parse_abi(name, json.loads(text))


def parse_abi(name: str, items: Iterable[Mapping[str, Any]]) -> ContractAbi:
    """Codec of an ABI as the compiler writes it."""
    functions: dict[str, tuple[_Entry, ...]] = {}
    events: dict[bytes, _Entry] = {}
    errors: dict[bytes, _Entry] = {}
    constructor: tuple[Mapping[str, Any], ...] = ()
    for item in items:
        kind, inputs = item["type"], tuple(item.get("inputs", ()))
        if kind == "constructor":
            constructor = inputs
        if kind not in {"function", "event", "error"}:
            continue
        digest = keccak256(f"{item['name']}({','.join(_type(p) for p in inputs)})".encode())
        entry = _Entry(item["name"], inputs, tuple(item.get("outputs", ())), digest if kind == "event" else digest[:4])
        if kind == "function":
            functions[entry.name] = (*functions.get(entry.name, ()), entry)
        else:
            (events if kind == "event" else errors)[entry.digest] = entry
    return ContractAbi(name, functions, events, errors, constructor)


def decode_revert(data: bytes) -> tuple[str, tuple[Any, ...]]:
    """Name and arguments of a revert: a custom error of any of our contracts, ``Error(message)`` or ``Panic(code)``.

    Unknown data never raises: it comes back as ``("UnknownError", (data,))``, or ``("Reverted", ())`` where there is none.
    """
    if not data:
        return "Reverted", ()
    selector, body = data[:4], data[4:]
    try:
        if selector == _ERROR_STRING:
            return "Error", tuple(abi_decode(["string"], body))
        if selector == _PANIC:
            return "Panic", tuple(abi_decode(["uint256"], body))
        for name in CONTRACTS:
            if selector in contract_abi(name).errors:
                return contract_abi(name).decode_error(data)
    except (DecodingError, AbiMismatch, UnicodeDecodeError, OverflowError):
        pass  # a selector may collide; the raw bytes are still worth showing
    return "UnknownError", (data,)


def _type(parameter: Mapping[str, Any]) -> str:
    """Canonical type: a struct ``tuple[2]`` becomes ``(uint8,address)[2]``."""
    kind = str(parameter["type"])
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(_type(p) for p in parameter['components'])}){kind[5:]}"


def _encode(where: str, parameters: Sequence[Mapping[str, Any]], arguments: Sequence[Any]) -> bytes:
    if len(parameters) != len(arguments):
        raise LocalProtocolError(f"{where} takes {len(parameters)} arguments, not {len(arguments)}.")
    try:
        plain = [_plain(p, value) for p, value in zip(parameters, arguments, strict=True)]
        return abi_encode([_type(p) for p in parameters], plain)
    except (EncodingError, ParseError, TypeError, ValueError, KeyError, OverflowError) as error:
        raise LocalProtocolError(f"{where} does not take these arguments: {error}.") from error


def _plain(parameter: Mapping[str, Any], value: Any) -> Any:
    """Structs given as dicts, in arrays too, to the tuples that the encoder wants; exactly their fields."""
    kind = str(parameter["type"])
    if kind.endswith("]") and isinstance(value, list | tuple):
        inner = {**parameter, "type": kind[: kind.rindex("[")]}
        return [_plain(inner, one) for one in value]
    if kind != "tuple" or not isinstance(value, Mapping):
        return value
    names = [p["name"] for p in parameter["components"]]
    if set(value) != set(names):
        raise ValueError(f"fields {sorted(set(value) ^ set(names))} missing or unknown")
    return tuple(_plain(p, value[p["name"]]) for p in parameter["components"])


def _decode(where: str, parameters: Sequence[Mapping[str, Any]], data: bytes) -> tuple[Any, ...]:
    try:
        values = abi_decode([_type(p) for p in parameters], data)
    except (DecodingError, UnicodeDecodeError, OverflowError) as error:
        raise AbiMismatch(f"{where} does not decode: {error}") from error
    return tuple(_shape(p, value) for p, value in zip(parameters, values, strict=True))


def _topic(where: str, parameter: Mapping[str, Any], topic: bytes) -> Any:
    kind = str(parameter["type"])
    if kind in {"string", "bytes"} or kind.endswith("]") or kind.startswith("tuple"):
        return topic  # the chain keeps only the hash of an indexed dynamic value
    return _decode(where, (parameter,), topic)[0]


def _shape(parameter: Mapping[str, Any], value: Any) -> Any:
    """The port's form of a decoded value (see the module's text)."""
    kind = str(parameter["type"])
    if kind.endswith("]"):
        inner = {**parameter, "type": kind[: kind.rindex("[")]}
        return tuple(_shape(inner, one) for one in value)
    if kind == "tuple":
        return {p["name"]: _shape(p, one) for p, one in zip(parameter["components"], value, strict=True)}
    if kind == "address":
        return str(to_checksum_address(value))
    return value
