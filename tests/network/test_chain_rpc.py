"""The chain adapter behind an endpoint that misbehaves: a proxy before a real Anvil that fails, limits, strips or lies."""

import asyncio
import contextlib
import logging
import traceback
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from node.adapters.chain_evm import EvmChain
from node.adapters.chain_rpc import RpcLimits, url_host
from node.adapters.chain_sender import SendLimits
from node.protocol.errors import ChainError, ConfigError, RpcUnreachable
from node.protocol.types import Address, Call

pytestmark = pytest.mark.e2e

Network = Any  # the class of conftest.py, which importlib mode does not let us import

QUICK = RpcLimits(attempts=3, backoff=0.001, timeout=5.0)
SECRET = "s3cr3t"  # stands for an access key in a URL
NO_ACCOUNT = Address("0x" + "11" * 20)


class Proxy:
    """Forwards to Anvil. ``before`` may answer itself (anything not None); ``after`` may change an answer."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.url = ""
        self.requests: list[dict[str, Any]] = []
        self.before: Callable[[dict[str, Any]], web.Response | None] = lambda _request: None
        self.after: Callable[[dict[str, Any], dict[str, Any]], None] = lambda _request, _answer: None

    async def handle(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.requests.append(asked)
        own = self.before(asked)
        if own is not None:
            return own
        async with aiohttp.ClientSession() as session, session.post(self.target, json=asked) as response:
            answer = await response.json()
        self.after(asked, answer)
        return web.json_response(answer)


@pytest.fixture
async def proxy(network: Network) -> AsyncIterator[Proxy]:
    proxy = Proxy(network.anvil.url)
    application = web.Application()
    application.router.add_post("/{path:.*}", proxy.handle)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    proxy.url = f"http://user:{SECRET}@127.0.0.1:{port}/v3/{SECRET}?key={SECRET}"
    yield proxy
    await runner.cleanup()


@pytest.fixture
async def chain(network: Network, proxy: Proxy) -> AsyncIterator[EvmChain]:
    async with await EvmChain.connect(
        proxy.url, 31337, network.manifest.contracts, signer=network.signers[4], rpc_limits=QUICK
    ) as chain:
        proxy.requests.clear()
        yield chain


def approve(amount: int) -> Call:
    return Call("ContributionToken", "approve", (NO_ACCOUNT, amount))


def refusal(asked: dict[str, Any], message: str, code: int = -32000) -> web.Response:
    return web.json_response({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": code, "message": message}})


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_passing_trouble_is_retried(chain: EvmChain, proxy: Proxy, status: int) -> None:
    proxy.before = lambda _: web.Response(status=status) if len(proxy.requests) < 3 else None
    await chain.head()
    assert len(proxy.requests) == 3


async def test_redirection_is_not_followed(chain: EvmChain, proxy: Proxy) -> None:
    """The body of a request is nobody else's business."""
    proxy.before = lambda _: web.Response(status=307, headers={"Location": "/elsewhere"})
    with pytest.raises(RpcUnreachable, match="307"):
        await chain.head()
    assert len(proxy.requests) == 1


async def test_lasting_trouble_is_unreachable(chain: EvmChain, proxy: Proxy) -> None:
    proxy.before = lambda _: web.Response(status=503)
    with pytest.raises(RpcUnreachable, match=r"status 503.*Tried 3 times"):
        await chain.head()
    assert len(proxy.requests) == 3


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(text="<html>log in</html>"),
        web.Response(status=401, text="no"),
        web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}),
        web.Response(text="[" * 1_000_000),
        web.json_response([]),
        web.json_response({}),
        web.json_response({"jsonrpc": "2.0", "id": 0, "result": {"number": "0x1"}}),
        web.json_response({"jsonrpc": "2.0", "id": 0, "result": {"number": "zero", "timestamp": [], "hash": 5}}),
        web.json_response({"jsonrpc": "2.0", "id": 0, "result": 7}),
        web.json_response({"jsonrpc": "2.0", "id": 0, "result": [1]}),
        web.json_response({"jsonrpc": "2.0", "id": 0, "result": None}),
        web.json_response({"jsonrpc": "2.0", "id": 0}),
        web.json_response({"jsonrpc": "2.0", "id": 0, "error": "text"}),
    ],
    ids=range(13),
)
async def test_nonsense_is_one_of_our_errors(chain: EvmChain, proxy: Proxy, answer: web.Response) -> None:
    proxy.before = lambda _: answer
    with pytest.raises(ChainError):
        await chain.head()


RESULTS = (None, 7, "0x", "0xzz", "text", [], [1], [{}], {}, {"status": "0x1"}, True)


@pytest.mark.parametrize(
    "method",
    [
        "eth_chainId",
        "eth_getCode",
        "eth_call",
        "eth_getLogs",
        "eth_getBlockByNumber",
        "eth_estimateGas",
        "eth_getTransactionCount",
        "eth_maxPriorityFeePerGas",
        "eth_sendRawTransaction",
        "eth_getTransactionReceipt",
    ],
)
async def test_nonsense_to_any_request_is_one_of_our_errors(network: Network, proxy: Proxy, method: str) -> None:
    """Or harmless, as an unread transaction hash is. Never an error of a library."""
    limits = SendLimits(timeout=0.05)
    for result in RESULTS:
        lies = {"jsonrpc": "2.0", "id": 1, "result": result}
        proxy.before = lambda asked, lies=lies: web.json_response(lies) if asked["method"] == method else None  # type: ignore[misc]  # binds the loop variable
        for act in (
            lambda chain: chain.head(),
            lambda chain: chain.read(Call("RoundManager", "latestModel")),
            lambda chain: chain.send(approve(1)),
            lambda chain: chain.events(0, 5),
        ):
            with contextlib.suppress(ChainError):
                async with await EvmChain.connect(
                    proxy.url,
                    31337,
                    network.manifest.contracts,
                    signer=network.signers[4],
                    rpc_limits=QUICK,
                    send_limits=limits,
                ) as chain:
                    await act(chain)
    assert method in {asked["method"] for asked in proxy.requests}


async def test_closed_chain_stays_closed(network: Network) -> None:
    chain = await network.chain()
    await chain.close()
    with pytest.raises(RpcUnreachable, match="was closed"):
        await chain.head()


async def test_endless_answer_is_cut_off(network: Network, proxy: Proxy) -> None:
    limits = RpcLimits(max_bytes=100_000)
    async with await EvmChain.connect(proxy.url, 31337, network.manifest.contracts, rpc_limits=limits) as chain:
        proxy.before = lambda _: web.Response(body=b" " * 5_000_000)
        with pytest.raises(ChainError, match="larger than 100000 bytes"):
            await chain.head()


async def test_silent_endpoint_times_out(network: Network) -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(RpcUnreachable, match="did not answer in time"):
            await EvmChain.connect(
                f"http://127.0.0.1:{port}",
                31337,
                network.manifest.contracts,
                rpc_limits=RpcLimits(attempts=1, timeout=0.1),
            )


async def test_secrets_of_the_url_never_show(
    network: Network, chain: EvmChain, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    """In no error, traceback or log line, whatever goes wrong."""
    caplog.set_level(logging.DEBUG)
    shown = [repr(chain), repr(chain._rpc)]
    for status in (200, 302, 401, 503):
        proxy.before = lambda _, status=status: web.Response(status=status, text="?")  # type: ignore[misc]  # binds the loop variable
        with pytest.raises(ChainError) as caught:
            await chain.head()
        shown += traceback.format_exception(caught.value)
    url = f"http://user:{SECRET}@127.0.0.1:1/{SECRET}"
    for bad in (url, url.replace(":1/", ":x/"), f"ftp://{SECRET}@host/{SECRET}", f"http://a..b/{SECRET}"):
        with pytest.raises((RpcUnreachable, ConfigError)) as other:
            await EvmChain.connect(bad, 31337, network.manifest.contracts, rpc_limits=QUICK)
        shown += traceback.format_exception(other.value)
    ours = [line for line in "".join(shown).splitlines() if not line.strip().startswith(("for bad in", "url ="))]
    assert SECRET not in "\n".join(ours)
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://127.0.0.1:8545", "127.0.0.1:8545"),
        ("https://user:word@rpc.example/v3/key?x=1", "rpc.example"),
        ("https://[::1]:1/x", "::1:1"),
    ],
)
def test_host_of_a_url(url: str, host: str) -> None:
    assert url_host(url) == host


@pytest.mark.parametrize("url", ["", "127.0.0.1:8545", "ws://host", "http://", "http://host:99999", "file:///x"])
def test_not_an_http_url(url: str) -> None:
    with pytest.raises(ConfigError, match="not an http"):
        url_host(url)


async def test_lost_answer_to_a_sent_transaction(chain: EvmChain, proxy: Proxy) -> None:
    """The node took the transaction but its answer was lost: the repeat is refused, and it must count once."""
    lost: list[str] = []

    def lose(asked: dict[str, Any], answer: dict[str, Any]) -> None:
        if asked["method"] == "eth_sendRawTransaction" and not lost:
            lost.append(answer["result"])
            answer.clear()
            answer.update({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32000, "message": "nonce too low"}})

    proxy.after = lose
    receipt = await chain.send(approve(1))
    assert receipt.transaction.hex() == lost[0][2:]
    await chain.send(approve(2))
    events = await chain.events(0, (await chain.head()).number)
    assert [event.arguments["value"] for event in events if event.name == "Approval"] == [1, 2]


async def test_many_at_once_need_no_second_try(chain: EvmChain, proxy: Proxy) -> None:
    await asyncio.gather(*(chain.send(approve(amount)) for amount in range(20)))
    methods = [asked["method"] for asked in proxy.requests]
    assert methods.count("eth_sendRawTransaction") == 20
    assert methods.count("eth_getTransactionCount") == 1


async def test_transaction_in_the_pool_already_counts_as_sent(chain: EvmChain, proxy: Proxy) -> None:
    def known(asked: dict[str, Any], answer: dict[str, Any]) -> None:
        if asked["method"] == "eth_sendRawTransaction":
            answer.clear()
            answer.update({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32000, "message": "already known"}})

    proxy.after = known
    await chain.send(approve(1))
    await chain.send(approve(2))
    assert len(chain.gas_log["ContributionToken.approve"]) == 2


async def test_other_refusal_is_shown_and_the_nonce_is_not_lost(chain: EvmChain, proxy: Proxy) -> None:
    await chain.send(approve(1))
    proxy.before = lambda asked: (
        refusal(asked, "no, thank you") if asked["method"] == "eth_sendRawTransaction" else None
    )
    with pytest.raises(ChainError, match="no, thank you"):
        await chain.send(approve(2))
    proxy.before = lambda _: None
    await chain.send(approve(3))
    events = await chain.events(0, (await chain.head()).number)
    assert [event.arguments["value"] for event in events if event.name == "Approval"] == [1, 3]


async def test_revert_without_data_is_asked_for_by_a_call(network: Network, chain: EvmChain, proxy: Proxy) -> None:
    def strip(asked: dict[str, Any], answer: dict[str, Any]) -> None:
        if asked["method"] == "eth_estimateGas" and "error" in answer:
            answer["error"] = {"code": 3, "message": "execution reverted"}

    proxy.after = strip
    with pytest.raises(ChainError, match=r"NotSeatHolder\(" + network.address(4)):
        await chain.send(Call("MemberRegistry", "review", (1, True, bytes(32))))


async def test_revert_without_any_data_still_says_so(chain: EvmChain, proxy: Proxy) -> None:
    def strip(_asked: dict[str, Any], answer: dict[str, Any]) -> None:
        if "error" in answer:
            answer["error"] = {"code": 3, "message": "execution reverted"}

    proxy.after = strip
    with pytest.raises(ChainError, match=r"Reverted\(execution reverted\)"):
        await chain.send(Call("MemberRegistry", "review", (1, True, bytes(32))))


# --- logs -------------------------------------------------------------------------------------------------------------


async def test_limited_log_range_is_asked_for_in_pieces(network: Network, chain: EvmChain, proxy: Proxy) -> None:
    for amount in range(10):
        await chain.send(approve(amount))
    await network.rpc("anvil_mine", hex(300))
    last = (await chain.head()).number
    whole = await chain.events(0, last)

    def limited(asked: dict[str, Any]) -> web.Response | None:
        if asked["method"] != "eth_getLogs":
            return None
        query = asked["params"][0]
        spans.append(int(query["toBlock"], 16) - int(query["fromBlock"], 16) + 1)
        return refusal(asked, "block range is too wide", -32005) if spans[-1] > 50 else None

    spans: list[int] = []
    proxy.before = limited
    assert await chain.events(0, last) == whole
    assert sum(span for span in spans if span <= 50) == last + 1
    assert len(spans) < 20, "halved, not crawled"
    spans.clear()
    assert await chain.events(0, last) == whole
    assert max(spans) <= 50, "the limit is remembered"


async def test_refused_log_query_ends(chain: EvmChain, proxy: Proxy) -> None:
    proxy.before = lambda asked: refusal(asked, "never") if asked["method"] == "eth_getLogs" else None
    with pytest.raises(ChainError, match="never"):
        await chain.events(0, 5)


async def test_timestamps_come_from_blocks_where_logs_lack_them(chain: EvmChain, proxy: Proxy) -> None:
    receipts = [await chain.send(approve(amount)) for amount in range(5)]
    first, last = receipts[0].block, receipts[-1].block
    stated = await chain.events(first, last)
    chain._timestamps.clear()

    def strip(asked: dict[str, Any], answer: dict[str, Any]) -> None:
        if asked["method"] == "eth_getLogs":
            for log in answer["result"]:
                log.pop("blockTimestamp", None)

    proxy.after = strip
    proxy.requests.clear()
    assert await chain.events(first, last) == stated
    assert await chain.events(first, last) == stated
    blocks = [asked["params"][0] for asked in proxy.requests if asked["method"] == "eth_getBlockByHash"]
    assert len(blocks) == len(set(blocks)) == len({event.block for event in stated})


@pytest.mark.parametrize(
    "lie",
    [
        {"address": NO_ACCOUNT},
        {"topics": []},
        {"topics": ["0x" + "22" * 32]},
        {"data": "0x"},
        {"data": "0x" + "ff" * 31},
    ],
)
async def test_log_that_is_none_of_ours(chain: EvmChain, proxy: Proxy, lie: dict[str, Any]) -> None:
    receipt = await chain.send(approve(1))

    def alter(asked: dict[str, Any], answer: dict[str, Any]) -> None:
        if asked["method"] == "eth_getLogs":
            answer["result"][0].update(lie)

    proxy.after = alter
    with pytest.raises(ChainError, match="does not understand"):
        await chain.events(receipt.block, receipt.block)


async def test_removed_logs_are_left_out(chain: EvmChain, proxy: Proxy) -> None:
    receipt = await chain.send(approve(1))
    proxy.after = lambda asked, answer: (
        answer["result"][0].update(removed=True) if asked["method"] == "eth_getLogs" else None
    )
    assert await chain.events(receipt.block, receipt.block) == []


async def test_wrong_result_is_not_decoded(chain: EvmChain, proxy: Proxy) -> None:
    proxy.after = lambda asked, answer: answer.update(result="0x") if asked["method"] == "eth_call" else None
    with pytest.raises(ChainError, match="does not understand"):
        await chain.read(Call("RoundManager", "latestModel"))
