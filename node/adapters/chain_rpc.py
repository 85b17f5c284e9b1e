"""JSON-RPC transport of the chain adapter: one endpoint, retried, bounded, and silent about the secrets in its URL.

web3's own HTTP provider takes a process-wide thread lock for every request, which a cancelled task can leave locked for ever, and
opens a connection per request. This one keeps a session of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast
from urllib.parse import urlsplit

import aiohttp
from eth_typing import ChecksumAddress
from web3 import AsyncWeb3
from web3.exceptions import ContractLogicError, Web3Exception, Web3RPCError
from web3.providers.async_base import AsyncJSONBaseProvider
from web3.types import BlockIdentifier, RPCEndpoint, RPCResponse, TxParams

from node.adapters.recursion import bound_recursion
from node.protocol.errors import ChainError, ConfigError, RpcUnreachable
from node.protocol.types import Address

bound_recursion()

T = TypeVar("T")

_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class RpcLimits:
    """Bounds of one endpoint.

    Attributes:
        timeout: seconds for one request.
        attempts: how often a request is tried before the endpoint counts as unreachable.
        backoff: seconds before the second attempt; doubles each time.
        max_bytes: largest answer that is read.
        connections: most connections at once.
    """

    timeout: float = 10.0
    attempts: int = 4
    backoff: float = 0.2
    max_bytes: int = 32 * 1024 * 1024
    connections: int = 16


class Revert(Exception):
    """A simulated call was refused: the raw revert data and the node's own words."""

    def __init__(self, data: bytes, message: str) -> None:
        self.data = data
        self.message = message
        super().__init__(message)


class RpcRefused(ChainError):
    """The endpoint answered with an error that is not a revert, e.g. ``nonce too low``; ``message`` is lower case."""

    def __init__(self, host: str, message: str) -> None:
        self.message = message.lower()
        super().__init__(f"The RPC endpoint {host} refused a request: {message[:300]}.")


class _Provider(AsyncJSONBaseProvider):
    """web3 provider on one keep-alive session. Every request here may safely be repeated: even a raw transaction is idempotent."""

    def __init__(self, url: str, host: str, limits: RpcLimits) -> None:
        super().__init__()
        self._url = url
        self._host = host
        self._limits = limits
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Send one request; retried with back-off while the endpoint does not answer."""
        body = self.encode_rpc_request(method, params)
        reason = ""
        for attempt in range(self._limits.attempts):
            if attempt:
                await asyncio.sleep(self._limits.backoff * 2 ** (attempt - 1))
            try:
                status, answer = await self._post(body)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                reason = _reason(error)
                continue
            if status in _TRANSIENT:
                reason = f"it answers with HTTP status {status}"
                continue
            return self._parse(status, answer)
        raise RpcUnreachable(
            f"The RPC endpoint {self._host} does not answer: {reason}.",
            why=f"Tried {self._limits.attempts} times.",
            hint="Is the chain node running, and is the address right? Retry later or name another endpoint.",
        )

    async def disconnect(self) -> None:
        """Close the session for good."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _post(self, body: bytes) -> tuple[int, bytes]:
        if self._closed:
            raise RpcUnreachable(f"The connection to {self._host} was closed.")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._limits.connections),
                timeout=aiohttp.ClientTimeout(total=self._limits.timeout),
                headers={"Content-Type": "application/json"},
            )
        async with self._session.post(self._url, data=body, allow_redirects=False) as response:
            answer = bytearray()
            async for chunk in response.content.iter_any():
                answer += chunk
                if len(answer) > self._limits.max_bytes:
                    raise RpcRefused(self._host, f"the answer is larger than {self._limits.max_bytes} bytes")
            return response.status, bytes(answer)

    def _parse(self, status: int, answer: bytes) -> RPCResponse:
        try:
            response = self.decode_rpc_response(answer)
        except (ValueError, RecursionError):
            response = {}
        if not isinstance(response, dict) or not response:
            raise RpcUnreachable(
                f"The RPC endpoint {self._host} does not speak JSON-RPC (HTTP status {status}).",
                hint="Check the address; a web page or a proxy may be answering, or the access key may be missing.",
            )
        return response


class Rpc:
    """One endpoint: `AsyncWeb3` on our transport, with every library error turned into ours.

    Args:
        url: ``http://`` or ``https://``; may hold an access key, which is never shown.
        limits: bounds.

    Raises:
        ConfigError: not such a URL.
    """

    def __init__(self, url: str, limits: RpcLimits | None = None) -> None:
        self.host = url_host(url)
        self._provider = _Provider(url, self.host, limits or RpcLimits())
        self.w3: AsyncWeb3[Any] = AsyncWeb3(self._provider, middleware=[])

    def __repr__(self) -> str:
        return f"Rpc({self.host})"

    async def ask(self, request: Callable[[], Awaitable[T]]) -> T:
        """Result of ``request``, a call on `w3` with the conversion of its answer, which may be anything.

        Raises:
            Revert: the EVM refused a simulated call.
            RpcRefused: the endpoint answered with another error.
            RpcUnreachable: no answer, or none that makes sense.
        """
        try:
            return await request()
        except ContractLogicError as error:
            raise Revert(_revert_data(error.data), str(error.message)) from error
        except Web3RPCError as error:
            details = (error.rpc_response or {}).get("error", {})
            message = details.get("message", "") if isinstance(details, dict) else str(details)
            raise RpcRefused(self.host, message or str(error)) from error
        except (Web3Exception, ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
            raise RpcUnreachable(
                f"The RPC endpoint {self.host} gave an answer that makes no sense: {type(error).__name__}.",
                hint="Check that it is an Ethereum JSON-RPC endpoint.",
            ) from error

    async def call(self, transaction: TxParams, block: int | Literal["pending", "latest"]) -> bytes:
        """What a call would return at ``block``; raises as `ask`."""

        async def run() -> bytes:
            return bytes(await self.w3.eth.call(transaction, cast("BlockIdentifier", block), ccip_read_enabled=False))

        return await self.ask(run)

    async def simulate(self, calls: Sequence[TxParams]) -> list[bytes | None]:
        """Revert data of calls made one after the other on the newest block, None where one goes through.

        Raises:
            RpcRefused: the endpoint has no eth_simulateV1, or refuses these calls.
            RpcUnreachable: no answer, or none that makes sense.
        """
        entries = [{"from": call["from"], "to": call["to"], "input": call["data"]} for call in calls]
        request = {"blockStateCalls": [{"calls": entries}], "validation": False}

        async def run() -> list[bytes | None]:
            response = await self._provider.make_request(RPCEndpoint("eth_simulateV1"), [request, "latest"])
            if "error" in response:
                raise RpcRefused(self.host, str(cast("Any", response["error"]).get("message", "")))
            (block,) = cast("Any", response["result"])
            if len(block["calls"]) != len(entries):
                raise ValueError("an answer to other calls")
            return [
                None if int(one["status"], 16) == 1 else bytes.fromhex(one["returnData"][2:]) for one in block["calls"]
            ]

        return await self.ask(run)

    async def nonce(self, account: Address, block: Literal["pending", "latest"]) -> int:
        """Transactions of ``account`` up to ``block``; raises as `ask`."""

        async def run() -> int:
            return int(await self.w3.eth.get_transaction_count(cast("ChecksumAddress", account), block))

        return await self.ask(run)

    async def close(self) -> None:
        """Release the connections."""
        await self._provider.disconnect()


def url_host(url: str) -> str:
    """Host and port of an RPC URL, without user, path or query: those may hold secrets.

    Raises:
        ConfigError: not an HTTP URL.
    """
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        parts, port = None, ""
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError("The RPC address is not an http:// or https:// URL.", hint="E.g. http://127.0.0.1:8545")
    return parts.hostname + port


def _reason(error: BaseException) -> str:
    """Why a connection failed, without what could be secret."""
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name is not known"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not valid"
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or "the connection was refused"
    return f"the connection broke ({type(error).__name__})"


def _revert_data(data: object) -> bytes:
    """Revert bytes, as the common nodes report them: hex text, or wrapped in an object."""
    if isinstance(data, dict):
        data = data.get("data")
    if isinstance(data, str) and data.startswith("Reverted "):
        data = data.removeprefix("Reverted ")
    if isinstance(data, str) and data.startswith("0x"):
        try:
            return bytes.fromhex(data[2:])
        except ValueError:
            return b""
    return b""
