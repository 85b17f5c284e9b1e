"""What watches a node from outside: ``/healthz`` for supervisors, ``/metrics`` for Prometheus, ``/status`` for tools. Loopback by default.

Nothing here is secret, and nothing can be changed through it. The figures are those of the driver's state: what the chain says of this
node, and how well it keeps up.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from incentives.rewards import CWT
from node.protocol.errors import SetupError
from node.protocol.state import State
from node.protocol.types import Address, Phase, UpdateStatus

PREFIX = "commonweight"
STALE_SECONDS = 120.0
"""A node that has not read the chain for so long is not healthy, whatever else it does."""


@dataclass(frozen=True, slots=True)
class Vitals:
    """One look at a running node.

    Attributes:
        state: the network as the node knows it.
        me: its account.
        block: newest block read.
        since_poll: seconds since the chain was last read.
        running: actions under way.
        failing: actions that failed at least once and are not done.
        error: what is wrong now, for people; empty if nothing is.
        gas: gas spent since the start, by ``Contract.function``.
        disk_free: bytes free where the node keeps its data.
        status: the whole status, for ``/status``.
    """

    state: State
    me: Address
    block: int
    since_poll: float
    running: int
    failing: int
    error: str
    gas: dict[str, int] = field(default_factory=dict)
    disk_free: int = 0
    status: dict[str, Any] = field(default_factory=dict)

    @property
    def is_healthy(self) -> bool:
        """Whether the node follows the chain."""
        return self.since_poll <= STALE_SECONDS


def metrics(vitals: Vitals) -> list[Metric]:
    """The figures of a node as Prometheus metrics. Token amounts are whole CWT."""
    state, me = vitals.state, vitals.me
    current = state.current
    member = state.members.get(me)
    rounds = state.rounds.values()
    mine = [
        found.settled[reveal.index].status
        for found in rounds
        for reveal in found.reveals
        if reveal.trainer == me and reveal.index in found.settled
    ]
    gauges: list[tuple[str, str, float]] = [
        ("healthy", "1 while the node follows the chain.", float(vitals.is_healthy)),
        ("block", "Newest block read.", vitals.block),
        ("seconds_since_poll", "Seconds since the chain was last read.", vitals.since_poll),
        ("round", "Number of the newest round.", current.number if current else 0),
        ("phase", "Phase of the newest round (docs/protocol.md).", int(current.phase) if current else 0),
        ("actions_running", "Actions under way.", vitals.running),
        ("actions_failing", "Actions that failed and are being tried again.", vitals.failing),
        ("disk_free_bytes", "Free bytes where the node keeps its data.", vitals.disk_free),
        ("member_status", "Standing (MemberStatus).", int(member.status) if member else 0),
        ("stake_cwt", "Stake.", (member.stake if member else 0) / CWT),
        ("balance_cwt", "Liquid tokens.", state.balances.get(me, 0) / CWT),
    ]
    counters: list[tuple[str, str, float]] = [
        ("earned_cwt", "Rewards claimed.", state.rewards.get(me, 0) / CWT),
        ("slashed_cwt", "Stake lost to penalties.", (member.slashed if member else 0) / CWT),
        ("rounds_finalised", "Rounds that ended with a model.", sum(r.phase is Phase.FINALIZED for r in rounds)),
        ("rounds_voided", "Rounds that ended without one.", sum(r.phase is Phase.VOIDED for r in rounds)),
    ]
    families: list[Metric] = [GaugeMetricFamily(f"{PREFIX}_{name}", text, value) for name, text, value in gauges]
    families += [CounterMetricFamily(f"{PREFIX}_{name}", text, value) for name, text, value in counters]
    updates = CounterMetricFamily(f"{PREFIX}_updates", "Own updates by verdict.", labels=("verdict",))
    for status in UpdateStatus:
        updates.add_metric((status.name.lower(),), float(mine.count(status)))
    gas = CounterMetricFamily(f"{PREFIX}_gas", "Gas spent since the start, by call.", labels=("call",))
    for call, spent in sorted(vitals.gas.items()):
        gas.add_metric((call,), float(spent))
    return [*families, updates, gas]


class HealthServer:
    """Serves a node's vitals over HTTP. Make one with `start`; `close` it.

    Args:
        look: takes the vitals now.
    """

    def __init__(self, look: Callable[[], Vitals]) -> None:
        self._look = look
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        app = web.Application(client_max_size=1024)
        app.add_routes(
            [web.get("/healthz", self._healthz), web.get("/metrics", self._metrics), web.get("/status", self._status)]
        )
        self._runner = web.AppRunner(app, access_log=None)
        self.port = 0

    @classmethod
    async def start(cls, look: Callable[[], Vitals], *, host: str = "127.0.0.1", port: int = 0) -> Self:
        """Listen on ``host``:``port`` (0 takes a free one; see `port`).

        Raises:
            SetupError: the port is taken, or the host is none of this machine's.
        """
        server = cls(look)
        await server._runner.setup()
        try:
            await web.TCPSite(server._runner, host, port).start()
        except OSError as error:
            await server.close()
            raise SetupError(
                f"The node's health cannot be served on {host}:{port}: {error.strerror}.",
                hint="Choose another operations.port, or 0 to serve none.",
            ) from error
        server.port = int(server._runner.addresses[0][1])
        return server

    async def close(self) -> None:
        """Stop listening."""
        with suppress(RuntimeError):
            await self._runner.cleanup()

    def collect(self) -> Iterable[Metric]:
        """What Prometheus' registry asks for."""
        return metrics(self._look())

    async def _healthz(self, _request: web.Request) -> web.Response:
        vitals = self._look()
        body = {
            "healthy": vitals.is_healthy,
            "block": vitals.block,
            "seconds_since_poll": round(vitals.since_poll, 1),
            "error": vitals.error,
        }
        return web.json_response(body, status=200 if vitals.is_healthy else 503)

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _status(self, _request: web.Request) -> web.Response:
        return web.Response(text=json.dumps(self._look().status), content_type="application/json")
