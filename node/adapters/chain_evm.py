"""The `Chain` port on any EVM chain over JSON-RPC: the community's four contracts, read, written and watched."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, cast

from eth_typing import ChecksumAddress, HexStr
from web3.exceptions import BlockNotFound
from web3.types import BlockIdentifier, FilterParams, LogReceipt, TxParams

from node.adapters.abi import CONTRACTS, AbiMismatch, contract_abi, decode_revert
from node.adapters.chain_rpc import Revert, Rpc, RpcLimits, RpcRefused
from node.adapters.chain_sender import SendLimits, TransactionSender
from node.ports import Head, Receipt, Signer
from node.protocol.errors import ChainError, ChainIdMismatch, ConfigError, LocalProtocolError, TransactionReverted
from node.protocol.hashing import keccak256
from node.protocol.types import Address, Call, ChainEvent

_SPAN = 2_000
"""Blocks asked for in one log query; halved where an endpoint refuses."""
_REMEMBERED_BLOCKS = 4_096


@dataclass(frozen=True, slots=True)
class _Log:
    """A log entry in our own types; ``timestamp`` None where the node does not say it."""

    address: str
    topics: tuple[bytes, ...]
    data: bytes
    block: int
    block_hash: bytes
    transaction: bytes
    index: int
    timestamp: int | None

    @classmethod
    def of(cls, log: LogReceipt) -> _Log:
        stated = cast("Mapping[str, Any]", log).get("blockTimestamp")
        timestamp = int(stated, 16) if isinstance(stated, str) else stated
        return cls(
            address=str(log["address"]),
            topics=tuple(bytes(topic) for topic in log["topics"]),
            data=bytes(log["data"]),
            block=int(log["blockNumber"]),
            block_hash=bytes(log["blockHash"]),
            transaction=bytes(log["transactionHash"]),
            index=int(log["logIndex"]),
            timestamp=None if timestamp is None else int(timestamp),
        )


class EvmChain:
    """One community's contracts on one chain. Make it with `connect`; use it as ``async with``, or `close` it.

    Attributes:
        gas_log: gas of every mined call by ``Contract.function``; empty without a signer.
    """

    def __init__(self, rpc: Rpc, contracts: Mapping[str, Address], sender: TransactionSender | None) -> None:
        self._rpc = rpc
        self._contracts = dict(contracts)
        self._names = {address.lower(): name for name, address in contracts.items()}
        self._sender = sender
        self._span = _SPAN
        self._few = asyncio.Semaphore(8)
        self._timestamps: OrderedDict[bytes, int] = OrderedDict()
        self.gas_log: Mapping[str, Sequence[int]] = sender.gas_log if sender else {}

    @classmethod
    async def connect(
        cls,
        url: str,
        chain_id: int,
        contracts: Mapping[str, Address],
        *,
        signer: Signer | None = None,
        code_hashes: Mapping[str, bytes] | None = None,
        rpc_limits: RpcLimits | None = None,
        send_limits: SendLimits | None = None,
    ) -> EvmChain:
        """Check the endpoint and the contracts, then return a ready adapter.

        Args:
            url: JSON-RPC endpoint.
            chain_id: the chain it must serve.
            contracts: address of each of `CONTRACTS`.
            signer: our key; None gives a chain that can only be read (auditors).
            code_hashes: expected Keccak-256 of each contract's code, from the manifest; None checks only that there is code.
            rpc_limits: bounds of the transport.
            send_limits: bounds of sending.

        Raises:
            ConfigError: not a URL, or ``contracts`` does not name exactly our contracts.
            ChainIdMismatch: the endpoint serves another chain.
            ChainError: no code, or other code, at an address.
            RpcUnreachable: no answer.
        """
        if sorted(contracts) != sorted(CONTRACTS):
            raise ConfigError(
                f"The manifest must name the contracts {', '.join(CONTRACTS)}; it names {sorted(contracts)}."
            )
        rpc = Rpc(url, rpc_limits)
        try:
            await check_chain_id(rpc, chain_id)
            await _check_code(rpc, contracts, code_hashes)
        except BaseException:
            await rpc.close()
            raise
        return cls(rpc, contracts, TransactionSender(rpc, signer, chain_id, send_limits) if signer else None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Release connections."""
        await self._rpc.close()

    # --- port ---

    async def head(self) -> Head:
        """Newest block."""

        async def ask() -> Head:
            block = await self._rpc.w3.eth.get_block("latest")
            return Head(number=int(block["number"]), timestamp=int(block["timestamp"]), hash=bytes(block["hash"]))

        return await self._rpc.ask(ask)

    async def block_hash(self, number: int) -> bytes | None:
        """Hash of a block by height; None where the endpoint does not serve it.

        Raises:
            RpcUnreachable: no answer.
        """

        async def ask() -> bytes | None:
            try:
                return bytes((await self._rpc.w3.eth.get_block(cast("BlockIdentifier", number)))["hash"])
            except BlockNotFound:
                return None

        return await self._rpc.ask(ask)

    async def send(self, call: Call) -> Receipt:
        """Simulate, sign, send and wait for one call; see `TransactionSender.send`.

        Raises:
            TransactionReverted: the contract refused.
            ChainError: not mined in time, no funds for gas, fees above the limit.
            RpcUnreachable: no answer.
        """
        if self._sender is None:
            raise LocalProtocolError(f"{call.contract}.{call.function} needs a key; this chain was opened for reading.")
        data = contract_abi(call.contract).encode_call(call.function, call.arguments)
        mined = await self._sender.send(self._contracts[call.contract], data, f"{call.contract}.{call.function}")
        return Receipt(transaction=mined.transaction, block=mined.block, gas_used=mined.gas_used)

    async def funds(self, account: Address) -> tuple[int, int]:
        """(balance of an account, present price of gas), both in wei.

        Raises:
            RpcUnreachable: no answer.
        """

        async def ask() -> tuple[int, int]:
            eth = self._rpc.w3.eth
            return int(await eth.get_balance(cast("ChecksumAddress", account))), int(await eth.gas_price)

        return await self._rpc.ask(ask)

    async def call_of(self, transaction: bytes) -> Call | None:
        """The call that a mined transaction made to one of our contracts; None where it called something else.

        Raises:
            RpcUnreachable: no answer.
        """

        async def ask() -> tuple[str, bytes]:
            found = await self._rpc.w3.eth.get_transaction(HexStr("0x" + transaction.hex()))
            return str(found.get("to", "")), bytes(found["input"])

        to, data = await self._rpc.ask(ask)
        contract = self._names.get(to.lower())
        if contract is None:
            return None
        try:
            function, arguments = contract_abi(contract).decode_call(data)
        except AbiMismatch:
            return None
        return Call(contract, function, arguments)

    async def read(self, call: Call) -> Any:
        """Result of a view function at the newest block, in the forms that `node.adapters.abi` describes.

        Raises:
            TransactionReverted: the contract refused.
            RpcUnreachable: no answer.
        """
        abi = contract_abi(call.contract)
        request: TxParams = {
            "to": cast("ChecksumAddress", self._contracts[call.contract]),
            "data": HexStr("0x" + abi.encode_call(call.function, call.arguments).hex()),
        }
        try:
            answer = await self._rpc.call(request, "latest")
        except Revert as error:
            name, arguments = decode_revert(error.data)
            raise TransactionReverted(name, arguments, call=f"{call.contract}.{call.function}") from error
        try:
            return abi.decode_result(call.function, len(call.arguments), answer)
        except AbiMismatch as error:
            raise self._foreign(error) from error

    async def simulate(self, sender: Address, calls: Sequence[Call]) -> list[TransactionReverted | None]:
        """What would become of calls that ``sender`` makes one after the other at the newest block: None, or the refusal.

        Each call sees what those before it did (eth_simulateV1); where the endpoint does not offer that, each is tried by itself.

        Raises:
            RpcUnreachable: no answer.
        """
        requests: list[TxParams] = [
            {
                "from": cast("ChecksumAddress", sender),
                "to": cast("ChecksumAddress", self._contracts[call.contract]),
                "data": HexStr("0x" + contract_abi(call.contract).encode_call(call.function, call.arguments).hex()),
            }
            for call in calls
        ]
        labels = [f"{call.contract}.{call.function}" for call in calls]
        try:
            refusals = await self._rpc.simulate(requests)
        except RpcRefused:
            refusals = []
            for request in requests:
                try:
                    await self._rpc.call(request, "latest")
                    refusals.append(None)
                except Revert as error:
                    refusals.append(error.data)
        found: list[TransactionReverted | None] = []
        for label, data in zip(labels, refusals, strict=True):
            found.append(None if data is None else TransactionReverted(*decode_revert(data), call=label))
        return found

    async def events(self, first: int, last: int) -> Sequence[ChainEvent]:
        """All our contracts' events of blocks ``first..last`` (inclusive), in chain order.

        Raises:
            ChainError: a log entry that is none of ours.
            RpcUnreachable: no answer.
        """
        logs: list[_Log] = []
        span = self._span
        while first <= last:
            upper = min(last, first + span - 1)
            try:
                logs += await self._logs(first, upper)
            except RpcRefused:
                if upper == first:
                    raise
                span = (upper - first + 1) // 2  # providers limit the blocks or the entries of one answer
                continue
            self._span = span  # it worked: begin with it next time
            first = upper + 1
        logs.sort(key=lambda log: (log.block, log.index))
        timestamps = await self._timestamps_of(logs)
        return [self._event(log, timestamps[log.block_hash]) for log in logs]

    # --- logs ---

    async def _logs(self, first: int, last: int) -> list[_Log]:
        query: FilterParams = {
            "fromBlock": first,
            "toBlock": last,
            "address": cast("list[ChecksumAddress]", list(self._contracts.values())),
        }

        async def ask() -> list[_Log]:
            logs = [_Log.of(log) for log in await self._rpc.w3.eth.get_logs(query) if not log.get("removed", False)]
            if not all(first <= log.block <= last for log in logs):
                raise ValueError("a log entry of another block")
            return logs

        return await self._rpc.ask(ask)

    async def _timestamps_of(self, logs: Sequence[_Log]) -> dict[bytes, int]:
        """Timestamp by block hash: what the log says, where the node says it there, else the block's; remembered."""
        known = {log.block_hash: log.timestamp for log in logs if log.timestamp is not None}
        for block in {log.block_hash for log in logs} - known.keys():
            if block in self._timestamps:
                known[block] = self._timestamps[block]
        missing = list({log.block_hash for log in logs} - known.keys())
        stated = await _all(map(self._timestamp, missing))
        known.update(zip(missing, stated, strict=True))
        self._timestamps.update(known)
        while len(self._timestamps) > _REMEMBERED_BLOCKS:
            self._timestamps.popitem(last=False)
        return known

    async def _timestamp(self, block: bytes) -> int:
        async def ask() -> int:
            return int((await self._rpc.w3.eth.get_block(cast("Any", block)))["timestamp"])

        async with self._few:
            return await self._rpc.ask(ask)

    def _event(self, log: _Log, timestamp: int) -> ChainEvent:
        contract = self._names.get(log.address.lower())
        try:
            if contract is None:
                raise AbiMismatch(f"a log entry of {log.address}, which was not asked for")  # noqa: TRY301  # one way out
            name, arguments = contract_abi(contract).decode_event(log.topics, log.data)
        except AbiMismatch as error:
            raise self._foreign(error) from error
        return ChainEvent(
            contract=contract,
            name=name,
            arguments=arguments,
            block=log.block,
            timestamp=timestamp,
            transaction=log.transaction,
            log_index=log.index,
        )

    def _foreign(self, error: AbiMismatch) -> ChainError:
        return ChainError(
            f"The chain holds something that this version does not understand: {error}.",
            why="The contracts are newer than this node, or the manifest names other contracts.",
            hint="Update the node; compare the manifest's code hashes.",
        )


async def _all(requests: Iterable[Coroutine[Any, Any, int]]) -> list[int]:
    """Results in order; when one fails, or we are cancelled, none is left running."""
    tasks = [asyncio.ensure_future(request) for request in requests]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def check_chain_id(rpc: Rpc, expected: int) -> None:
    """The endpoint serves the chain we mean.

    Raises:
        ChainIdMismatch: it serves another one.
    """

    async def ask() -> int:
        return int(await rpc.w3.eth.chain_id)

    found = await rpc.ask(ask)
    if found != expected:
        raise ChainIdMismatch(
            f"The RPC endpoint {rpc.host} serves chain {found}; this community lives on chain {expected}.",
            hint="Name an endpoint of the right chain, or the manifest of the right community.",
        )


async def _check_code(rpc: Rpc, contracts: Mapping[str, Address], expected: Mapping[str, bytes] | None) -> None:
    for name in CONTRACTS:
        found = await code_hash(rpc, name, contracts[name])
        if expected is not None and expected.get(name) != found:
            raise ChainError(
                f"The code of {name} at {contracts[name]} is not the one in the manifest.",
                why="The manifest belongs to another deployment, or was altered.",
                hint="Get the community's manifest again from a member you trust.",
            )


async def code_hash(rpc: Rpc, name: str, address: Address) -> bytes:
    """Keccak-256 of the contract's runtime code; raises as `runtime_code`."""
    return keccak256(await runtime_code(rpc, name, address))


async def runtime_code(rpc: Rpc, name: str, address: Address) -> bytes:
    """Code of the contract ``name``.

    Raises:
        ChainError: there is no code.
    """

    async def ask() -> bytes:
        return bytes(await rpc.w3.eth.get_code(cast("ChecksumAddress", address)))

    code = await rpc.ask(ask)
    if not code:
        raise ChainError(
            f"There is no contract {name} at {address}.",
            why="The chain was started anew, or the manifest belongs to another chain.",
            hint="Deploy again, or name the manifest of this chain.",
        )
    return code
