"""The node's health, as a supervisor and Prometheus see it."""

from __future__ import annotations

import socket
from dataclasses import replace

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from incentives.rewards import CWT
from node.health import STALE_SECONDS, HealthServer, Vitals
from node.protocol.errors import SetupError
from node.protocol.members import Member
from node.protocol.state import State
from node.protocol.types import Address, MemberStatus

ME = Address("0x" + "11" * 20)


def vitals(**changes):
    member = Member(address=ME, status=MemberStatus.ACTIVE, stake=100 * CWT, slashed=3 * CWT)
    state = State(members={ME: member}, balances={ME: 7 * CWT}, rewards={ME: 5 * CWT})
    healthy = Vitals(
        state, ME, block=42, since_poll=0.5, running=1, failing=2, error="", gas={"RoundManager.advance": 9}
    )
    return replace(healthy, **changes)


@pytest.fixture
async def served():
    shown = [vitals()]
    server = await HealthServer.start(lambda: shown[0])
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as client:
        yield shown, client
    await server.close()


async def test_prometheus_reads_the_figures(served):
    _, client = served
    answer = await client.get("/metrics")
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert samples["commonweight_healthy",] == 1
    assert samples["commonweight_block",] == 42
    assert samples["commonweight_stake_cwt",] == 100
    assert samples["commonweight_balance_cwt",] == 7
    assert samples["commonweight_earned_cwt_total",] == 5
    assert samples["commonweight_slashed_cwt_total",] == 3
    assert samples["commonweight_actions_failing",] == 2
    assert samples["commonweight_member_status",] == MemberStatus.ACTIVE
    assert samples["commonweight_gas_total", "RoundManager.advance"] == 9
    assert samples["commonweight_updates_total", "accepted"] == 0


async def test_a_node_that_lost_the_chain_is_not_healthy(served):
    shown, client = served
    assert (await client.get("/healthz")).status_code == 200
    shown[0] = vitals(since_poll=STALE_SECONDS + 1, error="no answer from the RPC")
    answer = await client.get("/healthz")
    assert answer.status_code == 503
    assert answer.json()["error"] == "no answer from the RPC"
    assert "commonweight_healthy 0.0" in (await client.get("/metrics")).text


async def test_the_status_is_served_and_nothing_can_be_posted(served):
    shown, client = served
    shown[0] = vitals(status={"round": 3})
    assert (await client.get("/status")).json() == {"round": 3}
    assert (await client.post("/status", content=b"x")).status_code == 405
    assert (await client.get("/keys")).status_code == 404


async def test_a_newcomer_has_figures_too(served):
    shown, client = served
    shown[0] = vitals(state=State())
    assert "commonweight_stake_cwt 0.0" in (await client.get("/metrics")).text


async def test_a_port_in_use_says_which_setting_to_change():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SetupError, match=r"operations\.port"):
            await HealthServer.start(vitals, port=taken.getsockname()[1])
