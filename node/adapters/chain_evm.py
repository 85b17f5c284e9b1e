"""The `Chain` port on any EVM chain over JSON-RPC: the community's four contracts, read, written and watched."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, cast

from eth_typing import ChecksumAddress, HexStr
from web3.types import FilterParams, LogReceipt, TxParams

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
        block = await self._rpc.ask(lambda: self._rpc.w3.eth.get_block("latest"))
        return Head(number=int(block["number"]), timestamp=int(block["timestamp"]), hash=bytes(block["hash"]))

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
            answer = await self._rpc.ask(lambda: self._rpc.w3.eth.call(request, "latest", ccip_read_enabled=False))
        except Revert as error:
            name, arguments = decode_revert(error.data)
            raise TransactionReverted(name, arguments, call=f"{call.contract}.{call.function}") from error
        try:
            return abi.decode_result(call.function, len(call.arguments), bytes(answer))
        except AbiMismatch as error:
            raise self._foreign(error) from error

    async def events(self, first: int, last: int) -> Sequence[ChainEvent]:
        """All our contracts' events of blocks ``first..last`` (inclusive), in chain order.

        Raises:
            ChainError: a log entry that is none of ours.
            RpcUnreachable: no answer.
        """
        logs: list[LogReceipt] = []
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
        logs = [log for log in logs if not log.get("removed", False)]
        logs.sort(key=lambda log: (log["blockNumber"], log["logIndex"]))
        await self._learn_timestamps(logs)
        return [self._event(log) for log in logs]

    # --- logs ---

    async def _logs(self, first: int, last: int) -> Sequence[LogReceipt]:
        query: FilterParams = {
            "fromBlock": first,
            "toBlock": last,
            "address": cast("list[ChecksumAddress]", list(self._contracts.values())),
        }
        return await self._rpc.ask(lambda: self._rpc.w3.eth.get_logs(query))

    async def _learn_timestamps(self, logs: Sequence[LogReceipt]) -> None:
        """Timestamp of every block with events: from the log where the node says it, else from the block. By block hash."""
        for log in logs:
            stated = cast("Mapping[str, Any]", log).get("blockTimestamp")
            if stated is not None:
                self._timestamps[bytes(log["blockHash"])] = int(stated, 16) if isinstance(stated, str) else int(stated)
        wanted = {bytes(log["blockHash"]) for log in logs}
        missing = [block for block in wanted if block not in self._timestamps]
        for block, timestamp in zip(missing, await asyncio.gather(*map(self._timestamp, missing)), strict=True):
            self._timestamps[block] = timestamp
        for block in wanted:
            self._timestamps.move_to_end(block)
        while len(self._timestamps) > max(_REMEMBERED_BLOCKS, len(wanted)):
            self._timestamps.popitem(last=False)

    async def _timestamp(self, block: bytes) -> int:
        found = await self._rpc.ask(lambda: self._rpc.w3.eth.get_block(cast("Any", block)))
        return int(found["timestamp"])

    def _event(self, log: LogReceipt) -> ChainEvent:
        contract = self._names.get(str(log["address"]).lower())
        if contract is None:
            raise self._foreign(AbiMismatch(f"a log entry of {log['address']} was not asked for"))
        try:
            topics = [bytes(topic) for topic in log["topics"]]
            name, arguments = contract_abi(contract).decode_event(topics, bytes(log["data"]))
        except AbiMismatch as error:
            raise self._foreign(error) from error
        return ChainEvent(
            contract=contract,
            name=name,
            arguments=arguments,
            block=int(log["blockNumber"]),
            timestamp=self._timestamps[bytes(log["blockHash"])],
            transaction=bytes(log["transactionHash"]),
            log_index=int(log["logIndex"]),
        )

    def _foreign(self, error: AbiMismatch) -> ChainError:
        return ChainError(
            f"The chain holds something that this version does not understand: {error}.",
            why="The contracts are newer than this node, or the manifest names other contracts.",
            hint="Update the node; compare the manifest's code hashes.",
        )


async def check_chain_id(rpc: Rpc, expected: int) -> None:
    """The endpoint serves the chain we mean.

    Raises:
        ChainIdMismatch: it serves another one.
    """
    found = int(await rpc.ask(lambda: cast("Any", rpc.w3.eth.chain_id)))
    if found != expected:
        raise ChainIdMismatch(
            f"The RPC endpoint {rpc.host} serves chain {found}; this community lives on chain {expected}.",
            hint="Name an endpoint of the right chain, or the manifest of the right community.",
        )


async def _check_code(rpc: Rpc, contracts: Mapping[str, Address], expected: Mapping[str, bytes] | None) -> None:
    hashes = await asyncio.gather(*(code_hash(rpc, name, contracts[name]) for name in CONTRACTS))
    for name, found in zip(CONTRACTS, hashes, strict=True):
        if expected is not None and expected.get(name) != found:
            raise ChainError(
                f"The code of {name} at {contracts[name]} is not the one in the manifest.",
                why="The manifest belongs to another deployment, or was altered.",
                hint="Get the community's manifest again from a member you trust.",
            )


async def code_hash(rpc: Rpc, name: str, address: Address) -> bytes:
    """Keccak-256 of the contract's runtime code.

    Raises:
        ChainError: there is no code.
    """
    code = bytes(await rpc.ask(lambda: rpc.w3.eth.get_code(cast("ChecksumAddress", address))))
    if not code:
        raise ChainError(
            f"There is no contract {name} at {address}.",
            why="The chain was started anew, or the manifest belongs to another chain.",
            hint="Deploy again, or name the manifest of this chain.",
        )
    return keccak256(code)
