"""`commonweight dao`, `release`, `ownership` and `guideline` as members use them: the real command line on a real chain."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from typing import Any

import pytest
from played import GUARDIAN, MEMBERS, Played

from node.dao import acts, publishing
from node.dao.folder import fetch_release
from node.dao.measure import local_measure
from node.dao.releases import Candidate
from node.outbox import OUTBOX, serve_outbox
from node.protocol.guideline import Guideline

pytestmark = pytest.mark.e2e


class Shell:
    """The command line of one member."""

    def __init__(self, played: Played, account: int) -> None:
        self.config = played.settings(account)

    async def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "node.cli", *arguments, "-c", str(self.config)]
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    async def json(self, *arguments: str) -> Any:
        return json.loads((await self.run(*arguments, "--json")).stdout)

    async def told(self, *arguments: str) -> str:
        return " ".join((await self.run(*arguments)).stdout.split())


async def test_votes_on_the_command_line(played: Played, tmp_path: Any) -> None:
    me, law = Shell(played, 4), played.network.manifest.params.governance
    locked = await me.json("dao", "convert", "100.5")
    assert locked["locked"] == str(1005 * 10**17)
    await me.json("dao", "convert")
    await played.pass_time(1)
    assert "Votes:" in await me.told("dao", "power")
    power = await me.json("dao", "power", played.network.address(4))
    assert int(power["votes"]) > 0
    assert (await me.json("dao", "power", "--all"))["largest_share"] == 1.0
    assert "Voting power" in await me.told("dao", "power", "--all")

    tried = await me.run("dao", "propose", "setting", "voting-delay", "6", "--dry-run")
    assert "start votes 6 s after their proposal" in tried.stdout
    assert "could be sent" in tried.stdout
    failed = await me.run("dao", "propose", "setting", "voting-delay", "11", code=2)
    assert "Action 1 of the proposal would fail" in failed.stderr
    assert "between 3 and 10" in failed.stderr
    file = tmp_path / "proposal.toml"
    file.write_text(
        'title = "Slower"\ntext = "Why"\n[[actions]]\nkind = "setting"\nname = "voting-delay"\nvalue = "6"\n'
    )
    sent = await me.json("dao", "propose", "file", str(file))
    assert sent["number"] == 1
    await try_others(me, played.network.address(0))

    await played.pass_time(law.voting_delay + 1)
    wrong = await me.run("dao", "vote", "1", "maybe", code=2)
    assert "'maybe' is no vote" in wrong.stderr
    cast = await me.json("dao", "vote", "1", "split", "--for", "75", "--abstain", "25", "--reason", "mostly")
    assert int(cast["for"]) == 3 * int(cast["abstain"]) > 0
    shown = await me.told("dao", "show", "1")
    assert "it would start votes 6 s after their proposal" in shown
    assert "mostly" in shown
    assert (await me.json("dao", "list"))[0]["state"] == "active"
    await played.pass_time(law.voting_period + law.late_extension + 1)
    assert "reached" in await me.told("dao", "list")
    await me.json("dao", "queue", "1")
    early = await me.run("dao", "execute", "1", code=4)
    assert "delay is not over" in early.stderr
    await played.pass_time(law.timelock_delay + 1)
    assert "did start votes 6 s" in str((await me.json("dao", "execute", "1"))["done"])

    assert (await me.json("dao", "delegate", played.network.address(5)))["block"]
    assert (await me.json("dao", "propose", "file", str(file), "--force", "--dry-run"))["could_propose"] is False
    assert int((await me.json("dao", "unlock", "1"))["leaving"]) == 10**18
    await played.pass_time(law.unlock_delay + 1)
    assert (await me.json("dao", "withdraw"))["withdrawn"] == str(10**18)
    gone = await me.run("dao", "show", "9", code=2)
    assert "no proposal '9'" in gone.stderr
    late = await me.run("dao", "cancel", "1", code=4)
    assert "Only its proposer can cancel" in late.stderr


async def test_the_guardian_cancels_a_proposal_and_nobody_else(played: Played) -> None:
    me, guardian = Shell(played, 4), Shell(played, GUARDIAN)
    await me.json("dao", "convert")
    await played.pass_time(1)
    assert (await me.json("dao", "propose", "setting", "voting-delay", "6"))["number"] == 1
    await played.pass_time(played.network.manifest.params.governance.voting_delay + 1)
    late = await me.run("dao", "cancel", "1", code=4)  # its own, but the vote has begun
    assert "before the vote" in late.stderr
    assert (await guardian.json("dao", "cancel", "1"))["block"]
    assert (await me.json("dao", "list"))[0]["state"] == "cancelled"
    refused = await me.run("dao", "vote", "1", "for", code=2)
    assert "it is cancelled" in refused.stderr


async def try_others(me: Shell, receiver: str) -> None:
    scoring = ("--tau", "6000", "--delta-min", "1000", "--harm-min", "80000", "--gain-cap", "200000")
    assert (await me.json("dao", "propose", "scoring", *scoring, "--dry-run"))["could_propose"]
    assert (await me.json("dao", "propose", "pay", receiver, "1", "--dry-run"))["actions"][0]["ok"]
    assert (await me.json("dao", "propose", "seat", "0", receiver, "--days", "30", "--dry-run"))["actions"][0]["ok"]
    rows = str(me.config.parent / "public.jsonl")
    assert (await me.json("dao", "propose", "benchmark", "search/c", rows, "--dry-run"))["actions"][0]["ok"]
    retired = await me.json("dao", "propose", "retire-benchmark", "a", "--dry-run")
    assert not retired["actions"][0]["ok"]


async def test_a_release_on_the_command_line(played: Played, tmp_path: Any) -> None:
    me, desk = Shell(played, 4), played.desk(4)
    serving = asyncio.create_task(serve_outbox(me.config.parent / "data" / OUTBOX, Publisher(played), 0.1))
    path, public = tmp_path / "candidate.json", me.config.parent / "public.jsonl"
    for account in MEMBERS:
        await acts.convert(played.desk(account), None)
    await played.pass_time(1)
    found = await me.json("release", "candidate", "1", "--add-benchmark", f"search={public}", "--out", str(path))
    assert [row["verdict"] for row in found["table"]] == ["new"]
    assert (found["votes"], found["votes_needed"]) == (0, 3)
    voted = await me.json("release", "attest", str(path), "--tolerance", "0")
    assert (voted["votes"], voted["votes_needed"]) == (1, 3)
    early = await me.run("release", "propose", str(path), "--version", "1.0.0", code=2)
    assert "1 of the round's correct attesters voted" in early.stderr
    candidate = Candidate.parse(path.read_bytes())
    measure = local_measure(desk.config, played.founded.guideline)
    for account in MEMBERS[1:]:
        await publishing.attest(played.desk(account), played.files, measure, candidate, tolerance=0)
    early = await me.run("release", "propose", str(path), code=2)
    assert "release settle 1" in early.stderr
    assert (await me.json("release", "settle"))["credits_up_to"] == 1
    notes = tmp_path / "notes.md"
    notes.write_text("Words of mine.\n")
    tried = await me.json("release", "propose", str(path), "--notes", str(notes), "--dry-run")
    assert tried["could_propose"]
    sent = await me.told("release", "propose", str(path), "--notes", str(notes))
    assert "publish version 1.0.0" in sent
    await played.decide(1)

    assert (await me.json("release", "list"))[0]["version"] == "1.0.0"
    assert "1.0.0" in await me.told("release", "list")
    shown = await me.json("release", "show")
    assert sum(shown["shares_ppm"].values()) in range(999_990, 1_000_001)
    assert "Owners" in await me.told("release", "show", "1")
    assert "digraph lineage" in (await me.run("release", "lineage", "--dot")).stdout
    assert "1.0.0 round 1" in await me.told("release", "lineage")
    assert (await me.json("release", "lineage"))[0]["release"] == 1
    folder = tmp_path / "release"
    await fetch_release(desk, played.files, 0, folder, merged=False, yanked=False)
    assert "Words of mine." in (folder / "NOTES.md").read_text("utf-8")
    assert "files are what the chain says" in await me.told("release", "verify", str(folder))
    (folder / "NOTES.md").write_text("Other words.")
    bad = await me.run("release", "verify", str(folder), "--json", code=8)
    assert json.loads(bad.stdout)["findings"] == ["NOTES.md does not have the hash that the chain names"]
    assert json.loads(bad.stderr)["error"] == "AuditFailed"

    await earn(me, played)
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving


async def earn(me: Shell, played: Played) -> None:
    await me.json("dao", "unlock")
    await played.pass_time(played.network.manifest.params.governance.unlock_delay + 1)
    await me.json("dao", "withdraw")
    assert int((await me.json("ownership", "deposit", "30"))["deposited_in_all"]) == 30 * 10**18
    assert "Revenue in" in await me.told("ownership", "show")
    paid = await me.json("ownership", "claim", "1", "--account", played.network.address(5))
    assert int(paid["paid"]) > 0
    books = (await me.json("ownership", "show"))["revenue"]
    assert next(iter(books.values()))["paid"][played.network.address(5)] == paid["paid"]
    again = await me.run("ownership", "claim", "1", "--account", played.network.address(5), code=2)
    assert "Nothing of release 1 is due" in again.stderr
    yanked = await me.json("release", "yank", "1", "--reason", "it is wrong", "--dry-run")
    assert yanked["actions"][0]["ok"]


class Publisher:
    """The node's store, as far as the outbox needs it."""

    def __init__(self, played: Played) -> None:
        self.played = played

    async def put(self, data: bytes) -> str:
        return await self.played.files.publish(data)


async def test_the_guideline_changes_by_vote_and_the_node_takes_it_over(played: Played, tmp_path: Any) -> None:
    me = Shell(played, 4)
    serving = asyncio.create_task(serve_outbox(me.config.parent / "data" / OUTBOX, Publisher(played), 0.1))
    for account in MEMBERS:
        await acts.convert(played.desk(account), None)
    await played.pass_time(1)
    documents = {name: dict(one) for name, one in played.founded.guideline.documents.items()}
    documents["update"]["max_norm"] = 4.0
    documents["data"]["held_out"] = ["pip"]
    new = tmp_path / "new.json"
    new.write_text(json.dumps(documents, indent=2))
    assert (await me.json("guideline", "show"))["hash"] == "0x" + played.founded.guideline.hash.hex()
    assert "update.max_norm" in await me.told("guideline", "show")
    assert (await me.json("guideline", "check", str(new)))["ok"]
    assert (await me.json("guideline", "check", str(new), "--here"))["ok"]
    changes = await me.json("guideline", "diff", str(new))
    assert [change["line"] for change in changes] == ["data.held_out", "update.max_norm"]
    assert "update.max_norm" in await me.told("guideline", "diff", str(new), "1")
    tried = await me.json("guideline", "propose", str(new), "--dry-run")
    assert len(tried["actions"]) == 2
    assert all(one["ok"] for one in tried["actions"])
    sent = await me.json("guideline", "propose", str(new), "--text", "Because.")
    assert "update.max_norm: 5.0 → 4.0" in sent["description"]
    await played.decide(1)

    desk = played.desk(4)
    state = await desk.state()
    assert len(state.guidelines.epochs) == 3  # one for each document
    assert state.guidelines.epochs[3].guideline_hash == Guideline(documents).hash
    from node.dao.guidelines import adopt, read_guideline

    assert (await read_guideline(desk, played.files, "current")).documents == documents
    assert (await read_guideline(desk, played.files, "1")).hash == played.founded.guideline.hash
    stale = await me.run("guideline", "fetch", code=2)  # no IPFS in this test
    assert "swarm key" in stale.stderr
    taken = await adopt(desk, played.files)
    assert taken["changed"] == ["data.held_out", "update.max_norm"]
    assert desk.config.network.guideline.read_bytes() == Guideline(documents).canonical

    documents["update"]["pipeline"] = "magic"
    new.write_text(json.dumps(documents, indent=2))
    place = next(number for number, line in enumerate(new.read_text().splitlines(), 1) if '"magic"' in line)
    bad = await me.run("guideline", "check", str(new), code=2)
    assert f"new.json:{place}: update.pipeline" in " ".join(bad.stderr.split())
    refused = await me.run("guideline", "propose", str(new), code=2)
    assert "update.pipeline" in refused.stderr
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving
