"""Frozen dataclasses to plain JSON or TOML values and back, strictly: unknown or missing keys and wrong types are refused.

Known field types: `int`, `str`, `bytes` (``0x`` hex), `Address` (EIP-55), `Cid` (CIDv0), ``tuple[X, ...]``, ``Mapping[str, X]`` and
other such dataclasses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from eth_utils.address import is_checksum_address

from node.protocol.cid import digest_from_cid
from node.protocol.errors import CommonweightError, ConfigError
from node.protocol.types import Address, Cid

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """JSON values of a record."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: to_plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, Mapping):
        return {key: to_plain(one) for key, one in value.items()}
    return [to_plain(one) for one in value] if isinstance(value, tuple) else value


def from_plain(kind: type[T], value: Any, where: str) -> T:
    """Record of type ``kind`` from JSON values.

    Args:
        kind: a dataclass.
        value: what the file says.
        where: the file's name, for messages.

    Raises:
        ConfigError: it says where, what stands there and what is expected.
    """
    return cast("T", _read(kind, value, where))


def _read(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _read_record(kind, value, where)
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise _wrong(where, value, "a list")
        return tuple(_read(get_args(kind)[0], one, f"{where}[{place}]") for place, one in enumerate(value))
    if get_origin(kind) is not None:  # a mapping
        if not isinstance(value, dict):
            raise _wrong(where, value, "an object")
        return {key: _read(get_args(kind)[1], one, f"{where}.{key}") for key, one in value.items()}
    expected, accept = _LEAVES[kind]
    try:
        return accept(value)
    except (ValueError, TypeError, CommonweightError):
        raise _wrong(where, value, expected) from None


def _read_record(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise _wrong(where, value, "an object")
    hints = get_type_hints(kind)
    unknown, missing = sorted(set(value) - set(hints)), sorted(set(hints) - set(value))
    if unknown or missing:
        lacks = [f"unknown keys {unknown}"] * bool(unknown) + [f"missing keys {missing}"] * bool(missing)
        raise ConfigError(
            f"{where} has {' and '.join(lacks)}.",
            why="It was written by another version, or by hand.",
            hint=f"Known keys are {', '.join(hints)}.",
        )
    return kind(**{key: _read(hints[key], one, f"{where}.{key}") for key, one in value.items()})


def _wrong(where: str, value: Any, expected: str) -> ConfigError:
    shown = repr(value)
    return ConfigError(f"{where} is {shown[:80]}{'…' * (len(shown) > 80)}; expected {expected}.")


def _integer(value: Any) -> int:
    if type(value) is not int or value < 0:  # bool is an int, too
        raise ValueError
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _hex_bytes(value: Any) -> bytes:
    text = _text(value)
    if not text.startswith("0x"):
        raise ValueError
    return bytes.fromhex(text[2:])


def _address(value: Any) -> Address:
    if not is_checksum_address(_text(value)):
        raise ValueError
    return Address(value)


def _cid(value: Any) -> Cid:
    digest_from_cid(_text(value))
    return Cid(value)


_LEAVES: dict[Any, tuple[str, Callable[[Any], Any]]] = {
    int: ("a whole number", _integer),
    str: ("a text", _text),
    bytes: ("0x and hex digits", _hex_bytes),
    Address: ("a checksummed address 0x…", _address),
    Cid: ("a CIDv0, Qm…", _cid),
}
