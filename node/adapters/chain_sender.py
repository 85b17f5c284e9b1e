"""Getting transactions of one account mined: simulation, fees, nonces, and everything that can go wrong while waiting.

Nonces are counted here, under a lock: a node's own count lags behind what it has accepted. One sender per account and process;
a second process with the same key is survived (the nonce is read again), not supported.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, cast

from eth_typing import ChecksumAddress, HexStr
from hexbytes import HexBytes
from web3.exceptions import TransactionNotFound
from web3.types import TxParams, TxReceipt, Wei

from node.adapters.abi import decode_revert
from node.adapters.chain_rpc import Revert, Rpc, RpcRefused
from node.ports import Signer
from node.protocol.errors import ChainError, TransactionReverted
from node.protocol.hashing import keccak256
from node.protocol.types import Address

_log = logging.getLogger(__name__)

_KNOWN = ("already known", "already imported", "already exists", "known transaction")
_STALE = (
    "nonce too low",
    "nonce is too low",
    "invalid nonce",
    "replacement transaction underpriced",
    "underpriced replacement",
)
_POOR = ("insufficient funds", "enough funds")


@dataclass(frozen=True, slots=True)
class SendLimits:
    """How a sender behaves.

    Attributes:
        timeout: seconds until an unmined transaction is given up (it may still be mined later).
        poll: seconds between looks for a receipt, at first and at most; the interval doubles.
        check_every: seconds between checks whether a waiting transaction was dropped or replaced.
        bump_after: seconds after which the same nonce is offered with higher fees.
        gas_factor: gas limit over the estimate; others' transactions may come first and make ours dearer.
        gas_extra: gas added on top.
        max_fee: most wei per gas we pay, None for no limit.
        simulate_at: block of the simulation. ``pending`` sees our own unmined transactions and the present time.
        attempts: how many nonces are tried before giving up.
    """

    timeout: float = 120.0
    poll: tuple[float, float] = (0.02, 0.2)
    check_every: float = 3.0
    bump_after: float = 30.0
    gas_factor: float = 1.5
    gas_extra: int = 60_000
    max_fee: int | None = None
    simulate_at: Literal["pending", "latest"] = "pending"
    attempts: int = 16


@dataclass(frozen=True, slots=True)
class Mined:
    """A mined transaction: hash, block, gas, the address where it created a contract, and whether it succeeded."""

    transaction: bytes
    block: int
    gas_used: int
    created: Address | None
    succeeded: bool

    @classmethod
    def of(cls, receipt: TxReceipt) -> Mined:
        """From web3's receipt."""
        created = receipt.get("contractAddress")
        return cls(
            transaction=bytes(receipt["transactionHash"]),
            block=int(receipt["blockNumber"]),
            gas_used=int(receipt["gasUsed"]),
            created=Address(str(created)) if created else None,
            succeeded=receipt["status"] == 1,
        )


@dataclass(slots=True)
class _Attempt:
    """One nonce in flight: the fields signed last, and the hash and raw bytes of every version sent (newest last)."""

    fields: TxParams
    sent: dict[bytes, bytes] = field(default_factory=dict)

    @property
    def nonce(self) -> int:
        return int(self.fields["nonce"])


class TransactionSender:
    """Sends calls of one account, many at once if need be.

    Attributes:
        gas_log: gas used by every mined call, by label (``RoundManager.commitUpdate``).
    """

    def __init__(self, rpc: Rpc, signer: Signer, chain_id: int, limits: SendLimits | None = None) -> None:
        self.gas_log: dict[str, list[int]] = {}
        self._rpc = rpc
        self._signer = signer
        self._chain_id = chain_id
        self._limits = limits or SendLimits()
        self._lock = asyncio.Lock()
        self._nonce: int | None = None
        self._fees: tuple[float, int, int] = (float("-inf"), 0, 0)

    async def send(self, to: Address | None, data: bytes, label: str) -> Mined:
        """Simulate, sign, send, wait. ``to`` None creates a contract.

        Raises:
            TransactionReverted: refused, normally already by the simulation and so without cost.
            ChainError: not mined in time, no funds, or fees above the limit.
            RpcUnreachable: no answer.
        """
        deadline = asyncio.get_running_loop().time() + self._limits.timeout
        call: TxParams = {"from": cast("ChecksumAddress", self._signer.address), "data": HexStr("0x" + data.hex())}
        if to is not None:
            call["to"] = cast("ChecksumAddress", to)
        for _ in range(self._limits.attempts):
            attempt = await self._submit(call, label)
            receipt = await self._wait(attempt, label, deadline)
            if receipt is None:  # another transaction took our nonce: simulate anew, it may no longer make sense
                continue
            self.gas_log.setdefault(label, []).append(receipt.gas_used)
            if not receipt.succeeded:
                raise await self._explain(call, receipt, attempt, label)
            return receipt
        raise ChainError(
            f"{label} was displaced {self._limits.attempts} times by other transactions of {self._signer.address}.",
            why="Another process signs with the same key.",
            hint="Run one node per key.",
        )

    # --- submitting ---

    async def _submit(self, call: TxParams, label: str) -> _Attempt:
        async with self._lock:
            gas = await self._simulate(call, label)
            for _ in range(self._limits.attempts):
                max_fee, tip = await self._current_fees()
                nonce = (
                    self._nonce if self._nonce is not None else await self._rpc.nonce(self._signer.address, "pending")
                )
                self._nonce = None  # unknown until the node has answered; stays so if we are cancelled meanwhile
                fields: TxParams = {
                    **{key: value for key, value in call.items() if key != "from"},  # type: ignore[typeddict-item]  # a subset of the same keys
                    "chainId": self._chain_id,
                    "nonce": nonce,
                    "gas": gas,
                    "maxFeePerGas": Wei(max_fee),
                    "maxPriorityFeePerGas": Wei(tip),
                    "type": 2,
                    "value": Wei(0),
                }
                attempt = _Attempt(fields)
                if await self._broadcast(attempt):
                    self._nonce = nonce + 1
                    return attempt
                # the nonce is taken; the node's count may lag behind, so never go back
                self._nonce = max(nonce + 1, await self._rpc.nonce(self._signer.address, "pending"))
        raise ChainError(
            f"No free nonce was found for {label} of {self._signer.address}.",
            why="Another process signs with the same key.",
            hint="Run one node per key.",
        )

    async def _simulate(self, call: TxParams, label: str) -> int:
        """Gas limit for ``call``; a revert is decoded before anything is signed."""
        at = self._limits.simulate_at

        async def estimate() -> int:
            return int(await self._rpc.w3.eth.estimate_gas(call, block_identifier=at))

        try:
            return int(await self._rpc.ask(estimate) * self._limits.gas_factor) + self._limits.gas_extra
        except Revert as error:
            if error.data:
                raise _reverted(error, label) from error
            await self._call(call, at, label)  # some nodes only tell the reason here
            raise _reverted(error, label) from error

    async def _call(self, call: TxParams, at: int | Literal["pending", "latest"], label: str) -> None:
        try:
            await self._rpc.call(call, at)
        except Revert as error:
            raise _reverted(error, label) from error

    async def _current_fees(self) -> tuple[int, int]:
        """``(maxFeePerGas, maxPriorityFeePerGas)``: twice the base fee lasts six full blocks. Remembered for a second."""
        now = asyncio.get_running_loop().time()
        if now - self._fees[0] > 1.0:
            base, tip = await self._rpc.ask(self._market)
            max_fee, limit = 2 * base + tip, self._limits.max_fee
            if limit is not None and base + tip > limit:
                raise ChainError(
                    f"Gas costs {base + tip} wei now; the limit is {limit}.",
                    hint="Wait for a quieter time, or raise the limit in the node's configuration.",
                )
            self._fees = (now, max_fee if limit is None else min(max_fee, limit), tip)
        return self._fees[1], self._fees[2]

    async def _market(self) -> tuple[int, int]:
        """Base fee of the newest block, and the tip that the node suggests."""
        block = await self._rpc.w3.eth.get_block("latest")
        return int(block["baseFeePerGas"]), int(await self._rpc.w3.eth.max_priority_fee)

    async def _broadcast(self, attempt: _Attempt) -> bool:
        """Sign and send; False if the nonce belongs to another transaction.

        Raises:
            ChainError: refused for another reason.
        """
        raw = self._signer.sign_transaction(dict(attempt.fields))
        attempt.sent[keccak256(raw)] = raw
        try:
            await self._rpc.ask(lambda: self._rpc.w3.eth.send_raw_transaction(raw))
        except Revert:
            if await self._find_receipt(attempt) is None:
                raise
            return True  # a node that mines at once and answers with the failure of what it mined, as Hardhat's does
        except RpcRefused as error:
            if any(words in error.message for words in _KNOWN):
                return True  # an earlier try arrived although its answer did not
            if any(words in error.message for words in _STALE):
                return await self._find_receipt(attempt) is not None
            if any(words in error.message for words in _POOR):
                raise ChainError(
                    f"The account {self._signer.address} cannot pay for the transaction.",
                    hint="Send it some of the chain's own coin for gas.",
                ) from error
            if await self._find_receipt(attempt) is None:
                raise  # else mined and failed, as above
        return True

    # --- waiting ---

    async def _wait(self, attempt: _Attempt, label: str, deadline: float) -> Mined | None:
        """The receipt; None if another transaction with our nonce was mined instead."""
        loop = asyncio.get_running_loop()
        pause, longest = self._limits.poll
        sent = checked = loop.time()
        while True:
            receipt = await self._find_receipt(attempt)
            if receipt is not None:
                return receipt
            now = loop.time()
            if now >= deadline:
                raise ChainError(
                    f"{label} was not mined within {self._limits.timeout:.0f} s (nonce {attempt.nonce}).",
                    why="The chain is congested or stands still.",
                    hint="It may still be mined; look at the chain's state before sending it again.",
                )
            if now - checked >= self._limits.check_every:
                checked = now
                bump = now - sent >= self._limits.bump_after
                if bump:
                    sent = now
                if not await self._nurse(attempt, bump=bump):
                    return None
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)

    async def _find_receipt(self, attempt: _Attempt) -> Mined | None:
        for transaction in reversed(attempt.sent):
            found = await self._rpc.ask(partial(self._look_up, transaction))
            if found is not None:
                return found
        return None

    async def _look_up(self, transaction: bytes) -> Mined | None:
        try:
            return Mined.of(await self._rpc.w3.eth.get_transaction_receipt(cast("HexBytes", transaction)))
        except TransactionNotFound:
            return None

    async def _is_known(self, transaction: bytes) -> bool:
        try:
            await self._rpc.w3.eth.get_transaction(cast("HexBytes", transaction))
        except TransactionNotFound:
            return False
        return True

    async def _nurse(self, attempt: _Attempt, *, bump: bool) -> bool:
        """Help a transaction that waits too long; False if its nonce was used by another one."""
        if await self._rpc.nonce(self._signer.address, "latest") > attempt.nonce:
            return await self._find_receipt(attempt) is not None
        newest, raw = list(attempt.sent.items())[-1]
        if not await self._rpc.ask(partial(self._is_known, newest)):
            _log.info("transaction 0x%s was dropped; sending it again", newest.hex())
            await self._offer(raw)
        missing = await self._rpc.nonce(self._signer.address, "pending")
        if missing < attempt.nonce:  # one before it vanished: an empty transfer to ourselves closes the gap
            _log.info("nonce %d is missing; filling it", missing)
            await self._offer(self._signer.sign_transaction(await self._filler(missing)))
        elif bump:
            await self._raise_fees(attempt)
        return True

    async def _raise_fees(self, attempt: _Attempt) -> None:
        """Offer the same nonce for at least an eighth more (nodes refuse replacements below a tenth)."""
        fields = attempt.fields
        max_fee, tip = await self._current_fees()
        raised = max(max_fee, int(fields["maxFeePerGas"]) * 9 // 8 + 1)
        if self._limits.max_fee is not None and raised > self._limits.max_fee:
            return
        fields["maxFeePerGas"] = Wei(raised)
        fields["maxPriorityFeePerGas"] = Wei(max(tip, int(fields["maxPriorityFeePerGas"]) * 9 // 8 + 1))
        raw = self._signer.sign_transaction(dict(fields))
        attempt.sent[keccak256(raw)] = raw
        await self._offer(raw)

    async def _filler(self, nonce: int) -> dict[str, Any]:
        max_fee, tip = await self._current_fees()
        return {
            "to": self._signer.address,
            "data": b"",
            "value": 0,
            "gas": 21_000,
            "chainId": self._chain_id,
            "nonce": nonce,
            "maxFeePerGas": max_fee,
            "maxPriorityFeePerGas": tip,
            "type": 2,
        }

    async def _offer(self, raw: bytes) -> None:
        """Send raw bytes; a refusal only means that the pool holds something as good."""
        try:
            await self._rpc.ask(lambda: self._rpc.w3.eth.send_raw_transaction(raw))
        except RpcRefused as error:
            _log.debug("not accepted again: %s", error.message)

    async def _explain(self, call: TxParams, receipt: Mined, attempt: _Attempt, label: str) -> ChainError:
        """Why a mined transaction failed: the same call on the state after its block (or the newest, if that is pruned)."""
        if receipt.gas_used >= int(attempt.fields["gas"]):
            return TransactionReverted("OutOfGas", (receipt.gas_used,), call=label)
        newest: Literal["latest"] = "latest"
        for block in (receipt.block, newest):
            try:
                await self._call(call, block, label)
            except TransactionReverted as reverted:
                return reverted
            except RpcRefused:
                continue
        return TransactionReverted("Unexplained", (), call=label, hint="The state changed since; look at the block.")


def _reverted(error: Revert, label: str) -> TransactionReverted:
    name, arguments = decode_revert(error.data)
    if name == "Reverted" and error.message:
        arguments = (error.message,)
    return TransactionReverted(name, arguments, call=label)
