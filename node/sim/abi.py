"""The little of the EVM the reference model needs: transactions with a check phase and an effects phase, logs, reverts, typed dispatch.

Theory of operation: every function checks first, then calls `Transaction.effects` once, then changes state. So a revert never leaves a
half-made change (no snapshot needed), and a *preflight* (what `eth_call` is to a node) is the same function stopped at that line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn, TypeVar

from eth_utils.address import to_checksum_address

from node.protocol.errors import LocalProtocolError, TransactionReverted
from node.protocol.types import Address, Call

ZERO_ADDRESS = Address("0x" + "00" * 20)
ZERO_BYTES32 = bytes(32)

_Function = TypeVar("_Function", bound=Callable[..., Any])


class PreflightPassed(Exception):
    """A preflight reached the end of the checks: the call would succeed."""


class Log(NamedTuple):
    """One log entry before it is mined: contract, event, arguments."""

    contract: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(slots=True)
class Transaction:
    """One call in one block.

    Attributes:
        sender: account that signed.
        number: height of the block that holds the call.
        timestamp: its time in seconds.
        block_hash: hash of an earlier block by height.
        is_preflight: stop where the effects would begin.
        logs: what was emitted so far.
    """

    sender: Address
    number: int
    timestamp: int
    block_hash: Callable[[int], bytes]
    is_preflight: bool = False
    logs: list[Log] = field(default_factory=list)
    is_effecting: bool = False

    def effects(self) -> None:
        """End of the checks; from here on nothing may revert.

        Raises:
            PreflightPassed: this is only a preflight.
        """
        if self.is_preflight:
            raise PreflightPassed
        self.is_effecting = True

    def require(self, condition: object, error: str, *arguments: object) -> None:
        """Revert with a custom error unless ``condition``."""
        if not condition:
            self.revert(error, *arguments)

    def revert(self, error: str, *arguments: object) -> NoReturn:
        """Refuse the call with a custom error.

        Raises:
            TransactionReverted: always.
        """
        if self.is_effecting:
            raise LocalProtocolError(f"The reference model reverted with {error} after its effects began.")
        raise TransactionReverted(error, arguments)

    def emit(self, contract: str, name: str, /, **arguments: Any) -> None:
        """Append a log entry; argument names are Solidity's."""
        self.emit_mapping(contract, name, arguments)

    def emit_mapping(self, contract: str, name: str, arguments: Mapping[str, Any]) -> None:
        """`emit` for argument names that are Python keywords."""
        if not self.is_effecting:
            raise LocalProtocolError(f"The reference model emitted {name} before its effects began.")
        self.logs.append(Log(contract, name, dict(arguments)))


def external(*types: str) -> Callable[[_Function], _Function]:
    """Mark a method ``(self, transaction, *arguments)`` as a state-changing function with these Solidity argument types."""
    return _marked("external", types)


def view(*types: str) -> Callable[[_Function], _Function]:
    """Mark a method ``(self, *arguments)`` as a view function with these Solidity argument types."""
    return _marked("view", types)


def _marked(kind: str, types: Sequence[str]) -> Callable[[_Function], _Function]:
    def mark(function: _Function) -> _Function:
        function.__dict__["abi"] = (kind, tuple(types))
        return function

    return mark


class Contract:
    """Base of the contracts: finds functions by their Solidity name and checks arguments as an ABI encoder would."""

    NAME = ""

    def __init__(self, address: Address) -> None:
        self.address = address

    def execute(self, transaction: Transaction, call: Call) -> Any:
        """Run a state-changing function.

        Raises:
            TransactionReverted: the contract refused.
            LocalProtocolError: no such function, or arguments of the wrong kind.
        """
        function, arguments = self._find("external", call)
        return function(transaction, *arguments)

    def read(self, call: Call) -> Any:
        """Result of a view function.

        Raises:
            TransactionReverted: the contract refused.
            LocalProtocolError: no such function, or arguments of the wrong kind.
        """
        function, arguments = self._find("view", call)
        return function(*arguments)

    def _find(self, kind: str, call: Call) -> tuple[Callable[..., Any], list[Any]]:
        function = getattr(self, snake_case(call.function), None)
        found, types = getattr(function, "abi", ("", ()))
        if function is None or found != kind or camel_case(function.__name__) != call.function:
            raise LocalProtocolError(
                f"{self.NAME} has no {kind} function {call.function!r}.",
                hint="The interfaces in contracts/src/interfaces list them.",
            )
        if len(call.arguments) != len(types):
            raise LocalProtocolError(
                f"{self.NAME}.{call.function} takes {len(types)} arguments, not {len(call.arguments)}."
            )
        return function, [
            convert(kind_of, value, f"{self.NAME}.{call.function}")
            for kind_of, value in zip(types, call.arguments, strict=True)
        ]


def snake_case(name: str) -> str:
    """``openRound`` → ``open_round``."""
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name)


def camel_case(name: str) -> str:
    """``open_round`` → ``openRound``."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def convert(kind: str, value: Any, where: str) -> Any:
    """``value`` checked as the Solidity type ``kind``; addresses come back checksummed, arrays and structs as tuples.

    Raises:
        LocalProtocolError: an ABI encoder would refuse it.
    """
    if kind.endswith("[]"):
        if isinstance(value, list | tuple):
            return tuple(convert(kind[:-2], item, where) for item in value)
    elif kind.startswith("("):
        kinds = kind[1:-1].split(",")
        if isinstance(value, list | tuple) and len(value) == len(kinds):
            return tuple(convert(one, item, where) for one, item in zip(kinds, value, strict=True))
    elif _is_integer(kind, value):
        return value
    if kind == "struct" or (kind in _KINDS and isinstance(value, _KINDS[kind]) and _fits(kind, value)):
        return value  # structs are checked by the function that takes them
    if kind == "address" and isinstance(value, str) and len(value) == 42:
        return Address(to_checksum_address(value))
    raise LocalProtocolError(f"{where}: {value!r} is not a Solidity {kind}.")


_KINDS: Mapping[str, type] = {"bool": bool, "bytes": bytes, "string": str, "bytes32": bytes, "bytes4": bytes}


def _fits(kind: str, value: Any) -> bool:
    return not kind[5:] or len(value) == int(kind[5:]) if kind.startswith("bytes") else True


def _is_integer(kind: str, value: Any) -> bool:
    if type(value) is not int:
        return False
    if kind.startswith("uint"):
        return 0 <= value < 1 << int(kind[4:])
    if kind.startswith("int"):
        half = 1 << (int(kind[3:]) - 1)
        return -half <= value < half
    return False
