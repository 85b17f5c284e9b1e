"""Explanations and the dashboard on the real contracts: they say what the chain did, and an act in the page becomes one on chain."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from played import MEMBERS, SEATS, Played, found_tiny, plan_of
from test_dao import Measured, lock_all, released

from deploy.anvil import Anvil
from deploy.deploy import deploy
from node import queries
from node.config import load_config
from node.dao import acts
from node.explain import explain
from node.index.history import History
from node.index.store import EventIndex
from node.protocol.types import Call
from node.web import serve as serve_module
from node.web.serve import serving

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def founded(tmp_path_factory):
    return found_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
async def played(anvil: Anvil, founded: Any, tmp_path: Any) -> AsyncIterator[Played]:
    """Three members of a tiny community, and what round 1 paid them."""
    from conftest import Network  # type: ignore[import-not-found]  # tests/network is on the path

    manifest = await deploy(anvil.url, anvil.options.chain_id, anvil.signer(0), plan_of(founded, anvil))
    async with AsyncExitStack() as stack:
        network = Network(anvil, manifest, stack, [anvil.signer(account) for account in range(8)])
        made = Played(network, founded, tmp_path)
        await made.open()
        await made.join()
        await made.round(1, founded.model)
        yield made


async def past_of(played: Played) -> Any:
    manifest = played.network.manifest
    index = EventIndex.open(None, queries.identity_of(manifest))
    history = History(index, played.chains[1], manifest.deployment_block)
    await history.refresh()
    index.close()
    return queries.past_of(history, manifest)


async def test_every_explanation_agrees_with_the_contracts(played: Played) -> None:
    await lock_all(played)
    await acts.delegate(played.desk(6), played.network.address(5))
    await played.pass_time(1)
    await released(played, 1, Measured(a=600_000), {"a": b"rows of a"})
    await played.decide(1, MEMBERS[:2])

    past = await past_of(played)
    for index in range(3):
        assert explain(past, "reward", ("1", str(index))).agrees is True
        assert explain(past, "score", ("1", str(index))).agrees is True
    for account in (4, 5):
        address = played.network.address(account)
        vote = explain(past, "vote", ("1", address))
        assert vote.agrees is True, vote
        assert {source.event for source in vote.sources} >= {"Locked", "VoteCast"}
        power = explain(past, "power", (address,))
        assert power.agrees is True
        votes = await played.chains[1].read(Call("VotingVault", "getVotes", (address,)))
        assert votes > 0
        assert power.steps[-1].value == power.computed
        assert power.computed.replace(",", "").split()[0].replace(".", "").rstrip("0") == str(votes).rstrip("0")
        assert explain(past, "credit", (address, "1")).agrees is True
    silent = explain(past, "vote", ("1", played.network.address(6)))
    assert silent.agrees is None
    assert silent.computed == "0 CWT"  # its units follow another
    release = explain(past, "release", ("1",))
    assert release.agrees is True, release
    assert "gate passed" in release.computed
    assert {source.event for source in release.sources} >= {
        "RoundFinalized",
        "ScoresAttested",
        "CreditsRolled",
        "ReleasePublished",
    }
    for seat in range(3):
        found = explain(past, "seat", (str(seat),))
        assert found.agrees is True
        holder, expires_at = await played.chains[1].read(Call("MemberRegistry", "seatOf", (seat,)))
        assert holder == played.network.address(SEATS[seat])
        assert found.computed.startswith(holder)
        assert past.state.seats[seat].expires_at == expires_at


async def test_what_the_page_shows_is_what_the_contracts_say(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    await lock_all(played)
    await released(played, 1, Measured(a=600_000), {"a": b"rows of a"})
    law = played.network.manifest.params.governance
    await played.pass_time(law.voting_delay + 1)
    config = load_config(played.folder / "node.toml")
    monkeypatch.setattr(serve_module, "load_signer", lambda _config: played.network.signers[4])
    async with serving(config, port=0, sign=True) as served:
        url, _, token = served.url.partition("#token=")
        origin = url.rstrip("/")
        headers = {"Origin": origin, "X-Commonweight-Token": token}
        async with httpx.AsyncClient(base_url=origin, headers=headers, timeout=30) as client:
            shown = (await client.get("/api/snapshot")).json()
            await compare(played, shown)
            (proposal,) = shown["proposals"]
            assert (proposal["state"], proposal["actions"], proposal["kind"]) == ("ACTIVE", ["vote"], "release")
            assert proposal["candidate"]["scores"][0]["ppm"] == 600_000

            body = {"proposal": proposal["id"], "support": "for", "reason": "measured it"}
            voted = await client.post("/api/actions/vote", json=body)
            assert voted.status_code == 200, voted.text
            assert voted.json()["transactions"][0]["hash"].startswith("0x")
            again = await client.post("/api/actions/vote", json=body)
            assert again.status_code == 409
            assert "voted already" in again.json()["hint"]
            found = await until(client, lambda one: one["proposals"][0]["votes"])
            assert found["proposals"][0]["votes"][0]["voter"] == played.network.address(4)
            assert found["proposals"][0]["votes"][0]["reason"] == "measured it"

            for account in (5, 6):
                await acts.vote(played.desk(account), "1", parts=(0, 1, 0))
            await played.pass_time(law.voting_period + law.late_extension + 1)
            found = await until(client, lambda one: one["proposals"][0]["actions"] == ["queue"])
            assert (await client.post("/api/actions/queue", json={"proposal": "1"})).status_code == 200
            await played.pass_time(law.timelock_delay + 1)
            await until(client, lambda one: one["proposals"][0]["actions"] == ["execute"])
            assert (await client.post("/api/actions/execute", json={"proposal": "1"})).status_code == 200
            found = await until(client, lambda one: one["releases"])
            assert found["releases"][0]["scores"][0]["ppm"] == 600_000
            assert found["releases"][0]["proposal"] == proposal["id"]
            explained = (await client.get("/api/explain/release/1")).json()
            assert explained["agrees"] is True
            await compare(played, found)


async def compare(played: Played, shown: Any) -> None:
    """Members' and votes' numbers against the contracts' own views."""
    chain = played.chains[1]
    for member in shown["members"]:
        address = member["address"]
        assert int(member["stake"]) == await chain.read(Call("MemberRegistry", "stakeOf", (address,)))
        assert int(member["balance"]) == await chain.read(Call("ContributionToken", "balanceOf", (address,)))
        assert int(member["votes"]) == await chain.read(Call("VotingVault", "getVotes", (address,)))
        assert int(member["units"]) == await chain.read(Call("VotingVault", "unitsOf", (address,)))
        assert int(member["credit"]) == await chain.read(Call("RewardDistributor", "creditAt", (address, 1)))
    treasury = played.network.manifest.contracts["Treasury"]
    assert int(shown["treasury"]["balance"]) == await chain.read(Call("ContributionToken", "balanceOf", (treasury,)))
    for proposal in shown["proposals"]:
        number = int(proposal["id"])
        names = ("PENDING", "ACTIVE", "CANCELLED", "DEFEATED", "SUCCEEDED", "QUEUED", "EXPIRED", "EXECUTED")
        assert proposal["state"] == names[await chain.read(Call("CommunityGovernor", "state", (number,)))]
        votes = await chain.read(Call("CommunityGovernor", "proposalVotes", (number,)))
        assert tuple(int(proposal[side]) for side in ("against", "for", "abstain")) == tuple(votes)
        assert int(proposal["quorum"]) == await chain.read(
            Call("CommunityGovernor", "quorum", (proposal["vote_start"],))
        )


async def until(client: httpx.AsyncClient, condition: Any) -> Any:
    async with asyncio.timeout(20):
        while True:
            shown = (await client.get("/api/snapshot")).json()
            if condition(shown):
                return shown
            await asyncio.sleep(0.1)


async def test_the_commands(played: Played) -> None:
    config = played.folder / "node.toml"

    async def run(*arguments: str) -> tuple[int, str, str]:
        command = (sys.executable, "-m", "node.cli", *arguments, "-c", str(config))
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, cwd=ROOT)
        out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()

    code, out, err = await run("explain", "reward", "1", "0", "--json")
    assert code == 0, err
    assert json.loads(out)["agrees"] is True
    code, out, err = await run("explain", "reward", "1", "0")
    assert code == 0, err
    assert "as the chain recorded" in out
    code, out, err = await run("explain", "reward", "9", "0")
    assert code == 2
    assert "no round 9" in err
    code, out, err = await run("round", "list", "--json")
    assert json.loads(out)[0]["phase"] == "FINALIZED"
    assert (played.folder / "data" / "index.sqlite").exists()

    command = ("dashboard", "--no-open", "--port", "0", "--json", "-c", str(config))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "node.cli", *command, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        lines = b""
        while not lines.rstrip().endswith(b"}"):
            lines += await process.stdout.readline()
        started = json.loads(lines)
        assert started["sign"] is False
        async with httpx.AsyncClient(base_url=started["url"].rstrip("/")) as client:
            assert (await client.get("/api/health")).json()["ok"] is True
            assert (await client.get("/api/snapshot?sections=rounds")).json()["rounds"][0]["phase"] == "FINALIZED"
            denied = await client.post("/api/actions/withdraw", json={}, headers={"Origin": started["url"].rstrip("/")})
            assert denied.json()["mode"] == "wallet"
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
