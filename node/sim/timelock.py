"""Reference model of TimelockController: operations that wait, and the calls that follow.

An operation's calls are all checked before the first is made, so one that would be refused undoes nothing; calls of one operation must
not depend on one another's effects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from node.adapters.abi import AbiMismatch, contract_abi
from node.protocol.governance import Operation, TimelockCall
from node.protocol.hashing import keccak256
from node.protocol.types import Address, Call
from node.sim.abi import ZERO_ADDRESS, ZERO_BYTES32, Contract, Log, PreflightPassed, Transaction, view


class TimelockController(Contract):
    """Operations that wait; made by the governor alone, in this model.

    Args:
        address: of the contract.
        governor: its only proposer and canceller.
        min_delay: seconds.
        contracts: every contract, by address.
    """

    NAME = "TimelockController"

    def __init__(
        self,
        address: Address,
        *,
        governor: Address,
        min_delay: int,
        contracts: Callable[[], Mapping[Address, Contract]],
    ) -> None:
        super().__init__(address)
        self._min_delay = min_delay
        self._contracts = contracts
        self.operations: dict[bytes, Operation] = {}
        self._roles = {
            (ZERO_BYTES32, address),
            (keccak256(b"PROPOSER_ROLE"), governor),
            (keccak256(b"CANCELLER_ROLE"), governor),
            (keccak256(b"EXECUTOR_ROLE"), ZERO_ADDRESS),
        }
        given = [
            Log(self.NAME, "RoleGranted", {"role": role, "account": account, "sender": ZERO_ADDRESS})
            for role, account in sorted(self._roles)
        ]
        self.founding_logs = [*given, Log(self.NAME, "MinDelayChange", {"oldDuration": 0, "newDuration": min_delay})]

    @view()
    def get_min_delay(self) -> int:
        """Seconds that an operation waits at least."""
        return self._min_delay

    @view("bytes32", "address")
    def has_role(self, role: bytes, account: Address) -> bool:
        """Whether an account holds a role."""
        return (role, account) in self._roles

    @view("bytes32")
    def get_timestamp(self, identity: bytes) -> int:
        """When an operation can be executed: 1 once it is done, 0 where there is none."""
        found = self.operations.get(identity)
        if found is None or found.is_cancelled:
            return 0
        return 1 if found.executed == len(found.calls) else found.ready_at

    def schedule(self, transaction: Transaction, identity: bytes, operation: Operation) -> None:
        """Effect of the governor's `scheduleBatch`."""
        self.operations[identity] = operation
        for index, call in enumerate(operation.calls):
            transaction.emit(
                self.NAME,
                "CallScheduled",
                id=identity,
                index=index,
                target=call.target,
                value=call.value,
                data=call.data,
                predecessor=operation.predecessor,
                delay=operation.delay,
            )
        transaction.emit(self.NAME, "CallSalt", id=identity, salt=operation.salt)

    def cancel(self, transaction: Transaction, identity: bytes) -> None:
        """Effect of the governor's `cancel`."""
        self.operations[identity] = replace(self.operations[identity], is_cancelled=True)
        transaction.emit(self.NAME, "Cancelled", id=identity)

    def check(self, transaction: Transaction, operation: Operation) -> None:
        """Revert where one of an operation's calls would."""
        for call in operation.calls:
            try:
                self._make(self._own(transaction, is_preflight=True), call)
            except PreflightPassed:
                continue

    def execute_batch(self, transaction: Transaction, identity: bytes) -> None:
        """Effect of a checked execution."""
        operation = self.operations[identity]
        for index, call in enumerate(operation.calls):
            self._make(self._own(transaction), call)
            told = {"target": call.target, "value": call.value, "data": call.data}
            transaction.emit(self.NAME, "CallExecuted", id=identity, index=index, **told)
        self.operations[identity] = replace(operation, executed=len(operation.calls))

    def _own(self, transaction: Transaction, *, is_preflight: bool = False) -> Transaction:
        """A call by the timelock within a transaction."""
        return replace(transaction, sender=self.address, is_preflight=is_preflight, is_effecting=False)

    def _make(self, transaction: Transaction, call: TimelockCall) -> Any:
        target = self._contracts().get(call.target)
        if target is None:
            transaction.revert("FailedCall")
        try:
            function, arguments = contract_abi(target.NAME).decode_call(call.data)
        except AbiMismatch:
            transaction.revert("FailedCall")
        return target.execute(transaction, Call(target.NAME, function, arguments))
