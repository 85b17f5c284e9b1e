"""The DAO on the real contracts: tokens to votes, votes to decisions, decisions to releases and their folders."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from played import GUARDIAN, MEMBERS, Played

from aggregation.bundle import decode, encode
from incentives.rewards import CWT
from node.dao import acts, publishing, views
from node.dao.calls import Action
from node.dao.measure import local_measure
from node.dao.power import power_of
from node.dao.proposal import Proposal, pay, set_scoring, set_seat, setting
from node.dao.rehearsal import rehearse
from node.dao.releases import Candidate, scores_of
from node.protocol.errors import ConfigError, TransactionReverted
from node.protocol.guideline import Guideline
from node.protocol.types import Call

pytestmark = pytest.mark.e2e


async def lock_all(played: Played) -> None:
    for account in MEMBERS:
        await acts.convert(played.desk(account), None)
    await played.pass_time(1)


def proposal_of(played: Played, account: int, *actions: Action, text: str = "A reason") -> Proposal:
    return Proposal(actions, text, played.network.address(account))


async def test_tokens_become_votes_and_the_power_is_explained(played: Played) -> None:
    desk, me = played.desk(4), played.network.address(4)
    linear = played.network.manifest.params.governance.linear_up_to
    before = power_of(await desk.state(), me, linear, await desk.now())
    assert before.votes == 0
    assert before.liquid > 100 * CWT
    await acts.convert(desk, 40 * CWT)
    await lock_all(played)
    state, now = await desk.state(), await desk.now()
    power = power_of(state, me, linear, now)
    assert power.locked == before.liquid
    assert power.votes == await desk.read("VotingVault", "getVotes", me) == state.vault.total.latest // 10
    assert power.units == await desk.read("VotingVault", "unitsOf", me)
    assert "capped from" in power.explain()[-1]

    await acts.delegate(desk, played.network.address(5))
    state = await desk.state()
    heir = power_of(state, played.network.address(5), linear, now)
    assert heir.received == {me: power.units}
    assert heir.delegated == await desk.read("VotingVault", "delegatedTo", played.network.address(5))
    assert power_of(state, me, linear, now).votes == 0
    assert any("follow" in line for line in power_of(state, me, linear, now).explain())
    shown = views.powers(state)
    assert int(shown["delegates"][0]["delegated"]) == heir.delegated

    leaving = await acts.unlock(desk, None)
    assert int(leaving["leaving"]) == power.locked
    with pytest.raises(TransactionReverted, match="free in"):
        await acts.withdraw(desk)
    await played.pass_time(played.network.manifest.params.governance.unlock_delay + 1)
    await acts.withdraw(desk)
    assert await desk.read("ContributionToken", "balanceOf", me) == before.liquid
    with pytest.raises(TransactionReverted, match="no member"):
        await acts.delegate(desk, played.network.address(0))


async def test_a_vote_from_proposal_to_execution(played: Played) -> None:
    await lock_all(played)
    desk, other = played.desk(4), played.network.address(0)
    law, contracts = played.network.manifest.params.governance, played.network.manifest.contracts
    token, treasury = contracts["ContributionToken"], contracts["Treasury"]
    held = await desk.read("ContributionToken", "balanceOf", treasury)
    now = await desk.now()
    actions = (pay(token, other, held), set_seat(2, other, now + 86_400), setting("voting-period", "900"))
    proposal = proposal_of(played, 4, *actions, text="Pay, seat, slow down\n\nBecause.")

    tried = await acts.propose(desk, proposal, send=False)
    assert tried["could_propose"]
    assert all(one["ok"] for one in tried["actions"])
    sent = await acts.propose(desk, proposal)
    assert sent["id"] == tried["id"] == str(proposal.number(contracts))
    assert await desk.read("CommunityGovernor", "proposalProposer", int(sent["id"])) == played.network.address(4)
    with pytest.raises(ConfigError, match="starts in"):
        await acts.vote(desk, "1", parts=(0, 1, 0))

    await played.pass_time(law.voting_delay + 1)
    await acts.vote(desk, "1", parts=(0, 1, 0), reason="it is right")
    await acts.vote(played.desk(5), "1", parts=(25, 50, 25), split=True)
    with pytest.raises(TransactionReverted, match="voted already"):
        await acts.vote(desk, "1", parts=(0, 1, 0))
    shown = views.proposal(await desk.state(), "1", await desk.now(), law.quorum_floor, contracts)
    assert shown["title"] == "Pay, seat, slow down"
    assert shown["state"] == "active"
    assert [vote["choice"] for vote in shown["votes"]] == ["for", "split"]
    assert shown["votes"][0]["reason"] == "it is right"
    assert "pay" in shown["calls"][0]["words"]
    assert shown["calls"][2]["call"] == "CommunityGovernor.setVotingPeriod"
    against, favour, abstain = await desk.read("CommunityGovernor", "proposalVotes", int(sent["id"]))
    assert (shown["against"], shown["for"], shown["abstain"]) == (str(against), str(favour), str(abstain))
    assert against > 0

    with pytest.raises(TransactionReverted, match="needs it to be succeeded"):
        await acts.queue(desk, "1")
    await played.pass_time(law.voting_period + law.late_extension + 1)
    row = views.proposals(await desk.state(), await desk.now(), law.quorum_floor)[0]
    assert row["quorum_reached"]
    assert row["next"] == "`commonweight dao queue 1`"
    await acts.queue(desk, "1")
    with pytest.raises(TransactionReverted, match="delay is not over"):
        await acts.execute(desk, "1")
    await played.pass_time(law.timelock_delay + 1)
    done = await acts.execute(desk, "1")
    assert len(done["done"]) == 3
    assert await desk.read("ContributionToken", "balanceOf", other) == held
    assert await desk.read("MemberRegistry", "seatHolder", 2) == other
    assert await desk.read("CommunityGovernor", "votingPeriod") == 900


@pytest.mark.parametrize(
    ("action", "error"),
    [
        (lambda p: set_scoring(1, 0, 1, 1), "ParameterOutOfBounds"),
        (lambda p: pay(p.network.manifest.contracts["ContributionToken"], p.network.address(0), 10**30), "ERC20Insuff"),
        (lambda p: setting("voting-period", "10"), "SettingOutOfBounds"),
        (lambda p: setting("quorum-percent", "50"), "SettingOutOfBounds"),
        (lambda p: Action("ReleaseRegistry", "yank", (3, bytes(32))), "NoSuchRelease"),
        (lambda p: Action("ReleaseRegistry", "retireBenchmark", (b"x".ljust(32, b"\0"),)), "WrongStanding"),
    ],
)
async def test_what_would_fail_is_not_sent(played: Played, action: Any, error: str) -> None:
    await lock_all(played)
    desk = played.desk(4)
    proposal = proposal_of(played, 4, action(played))
    (tried,) = await rehearse(desk, proposal)
    assert tried.refusal is not None
    assert error in tried.refusal.error
    with pytest.raises(ConfigError, match="Action 1 of the proposal would fail"):
        await acts.propose(desk, proposal)
    assert not (await desk.state()).proposals
    forced = await acts.propose(desk, proposal, force=True)
    assert forced["number"] == 1
    # What the simulation foretold happens.
    await played.pass_time(played.network.manifest.params.governance.voting_delay + 1)
    for account in MEMBERS:
        await acts.vote(played.desk(account), "1", parts=(0, 1, 0))
    law = played.network.manifest.params.governance
    await played.pass_time(law.voting_period + law.late_extension + 1)
    await acts.queue(desk, "1")
    await played.pass_time(law.timelock_delay + 1)
    with pytest.raises(TransactionReverted, match=error):
        await acts.execute(desk, "1")


async def test_nobody_can_propose_for_another_or_reach_the_token(played: Played) -> None:
    await lock_all(played)
    desk, contracts = played.desk(4), played.network.manifest.contracts
    stolen = proposal_of(played, 5, setting("voting-delay", "6"))
    with pytest.raises(TransactionReverted, match="only proposer"):
        await acts.propose(desk, stolen)
    mint = Action("ContributionToken", "mint", (played.network.address(4), CWT))
    tried = await acts.propose(desk, proposal_of(played, 4, mint), send=False)
    assert not tried["could_propose"]
    assert "NotAllowed" in tried["refused"]
    with pytest.raises(TransactionReverted, match="no vote can reach it"):
        await acts.propose(desk, proposal_of(played, 4, mint), force=True)
    stranger = played.desk(GUARDIAN)
    with pytest.raises(TransactionReverted, match="dao convert"):
        await acts.propose(stranger, proposal_of(played, GUARDIAN, setting("voting-delay", "6")))
    assert contracts["ContributionToken"] not in {one for one, _ in (await desk.state()).governance.settings.allowed}


async def test_cancelling(played: Played) -> None:
    await lock_all(played)
    desk = played.desk(4)
    await acts.propose(desk, proposal_of(played, 4, setting("voting-delay", "6")))
    with pytest.raises(TransactionReverted, match="Only its proposer"):
        await acts.cancel(played.desk(5), "1")
    await acts.cancel(desk, "1")
    await acts.propose(desk, proposal_of(played, 4, setting("voting-delay", "7")))
    await played.pass_time(played.network.manifest.params.governance.voting_delay + 1)
    with pytest.raises(TransactionReverted, match="Only its proposer"):
        await acts.cancel(desk, "2")
    await acts.cancel(played.desk(GUARDIAN), "2")
    law = played.network.manifest.params.governance
    rows = views.proposals(await desk.state(), await desk.now(), law.quorum_floor)
    assert [row["state"] for row in rows] == ["cancelled", "cancelled"]


async def test_the_endpoint_without_simulation_still_tries_each_action(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    from node.adapters.chain_rpc import Rpc, RpcRefused

    async def absent(self: Rpc, calls: Any) -> Any:
        raise RpcRefused("host", "method not found")

    chain, timelock = played.chains[4], played.network.manifest.contracts["TimelockController"]
    calls = [
        Call("MemberRegistry", "setSeat", (0, played.network.address(0), 2**32)),
        Call("ReleaseRegistry", "yank", (1, bytes(32))),
    ]
    together = await chain.simulate(timelock, calls)
    monkeypatch.setattr(Rpc, "simulate", absent)
    apart = await chain.simulate(timelock, calls)
    assert [one and one.error for one in apart] == [one and one.error for one in together]
    assert apart[1] is not None
    assert apart[1].error == "NoSuchRelease"


# --- releases ---------------------------------------------------------------------------------------------------------


def altered(model: bytes, amount: float) -> bytes:
    tensors = decode(model, max_bytes=1 << 20)
    return encode({name: value + amount if name.endswith("B") else value for name, value in tensors.items()})


class Measured:
    """Scores as told, by the model's length and nothing else."""

    def __init__(self, **scores: int) -> None:
        self.scores = scores

    async def __call__(self, checkpoint: bytes, benchmarks: Any) -> dict[str, int]:
        return {name: self.scores.get(name.replace("/", "_"), 500_000) for name in benchmarks}


async def released(played: Played, number: int, measure: Any, added: Any = None, version: Any = (1, 0, 0)) -> Candidate:
    """A candidate, attested, settled and proposed by member 4 as proposal ``number``."""
    desk = played.desk(4)
    candidate = await publishing.make_candidate(desk, played.files, measure, number, added)
    for data in (added or {}).values():
        await played.files.publish(data)
    for account in MEMBERS:
        await publishing.attest(played.desk(account), played.files, measure, candidate, tolerance=0)
    await publishing.settle(desk, number)
    notes = "First words."
    await publishing.propose_release(desk, played.files, candidate, version, notes, force=False, send=True)
    return candidate


# peft 0.21 still asks transformers 5 by the old name
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
async def test_a_release_from_round_to_folder_that_transformers_loads(played: Played, tmp_path: Any) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModel, AutoTokenizer

    from node.dao.folder import fetch_release, verify_release

    model = altered(played.founded.model, 0.05)
    await played.round(2, model, claim=False)
    await lock_all(played)
    desk = played.desk(4)
    measure = local_measure(desk.config, played.founded.guideline)
    added = {"search/python": played.founded.benchmark}
    empty = await publishing.make_candidate(desk, played.files, measure, 2)
    with pytest.raises(ConfigError, match="needs at least one active benchmark"):
        await publishing.propose_release(desk, played.files, empty, (1, 0, 0), "x", force=False, send=True)
    candidate = await released(played, 2, measure, added)
    assert 0 < candidate.scores["search/python"] <= 1_000_000
    await played.decide(1)

    state = await desk.state()
    release = state.catalogue.releases[1]
    assert scores_of(release) == dict(candidate.scores)
    assert release.credit_total == await desk.read("ReleaseRegistry", "creditTotalAt", 2)
    folder = tmp_path / "release"
    await fetch_release(desk, played.files, 0, folder, merged=True, yanked=False)

    tokenizer = AutoTokenizer.from_pretrained(folder)
    whole = AutoModel.from_pretrained(folder, add_pooling_layer=False)
    adapted = PeftModel.from_pretrained(
        AutoModel.from_pretrained(played.founded.base, add_pooling_layer=False), folder / "adapter"
    )
    batch = tokenizer(["return the first item"], return_tensors="pt")
    with torch.no_grad():
        merged, base = whole.eval()(**batch).last_hidden_state, adapted.eval()(**batch).last_hidden_state
        with adapted.disable_adapter():
            plain = adapted(**batch).last_hidden_state
    torch.testing.assert_close(merged, base, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(merged, plain, atol=1e-3)

    card = (folder / "README.md").read_text("utf-8")
    assert "alpha, beta" in card
    assert "search/python" in card
    assert "Epoch 1" in card
    assert "First words." in card
    shares = {account: trace.at(2) for account, trace in state.credits.earned.items()}
    assert len(shares) == 3
    for account, credit in shares.items():
        assert f"| {account} | {100 * credit / release.credit_total:.2f} % |" in card
    found = await verify_release(desk, folder)
    assert found["ok"], found
    assert found["checked"] == len([path for path in folder.rglob("*") if path.is_file()])

    await altered_folders_are_found(played, folder)
    with pytest.raises(ConfigError, match="exists already"):
        await fetch_release(desk, played.files, 0, folder, merged=True, yanked=False)


async def altered_folders_are_found(played: Played, folder: Any) -> None:
    from node.dao.folder import verify_release

    desk = played.desk(4)
    for name, change in {
        "model.safetensors": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        "adapter/adapter_model.safetensors": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        "checkpoint.safetensors": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        "tokenizer.json": lambda data: data.replace(b"the", b"eht", 1),
        "README.md": lambda data: data.replace(b"alpha", b"omega"),
        "NOTES.md": lambda data: data + b"more",
        "guideline.json": lambda data: data.replace(b"mean", b"sums"),
        "release.json": lambda data: data.replace(b'"round": 2', b'"round": 9'),
        f"statements/{played.network.address(4)}.json": lambda data: data.replace(b"alpha", b"omega"),
        "extra.py": lambda data: b"print('hello')",
    }.items():
        path = folder / name
        before = path.read_bytes() if path.exists() else None
        path.write_bytes(change(before))
        found = await verify_release(desk, folder)
        assert not found["ok"], name
        assert name in found["findings"][0]
        path.unlink() if before is None else path.write_bytes(before)
    (folder / "tokenizer.json").rename(folder / "gone")
    assert "tokenizer.json is missing" in (await verify_release(desk, folder))["findings"]


async def test_a_release_that_fell_too_far_is_refused_by_us_and_on_chain(played: Played) -> None:
    await lock_all(played)
    desk = played.desk(4)
    added = {"a": b"rows of a", "b": b"rows of b"}
    await released(played, 1, Measured(a=600_000, b=500_000), added)
    await played.decide(1)
    await played.round(2, altered(played.founded.model, 0.1))
    allowed = played.network.manifest.params.governance.max_regression
    with pytest.raises(ConfigError, match="benchmark b fell too far"):
        await released(played, 2, Measured(a=900_000, b=500_000 - allowed - 1), version=(1, 1, 0))
    bad = await publishing.make_candidate(desk, played.files, Measured(a=900_000, b=500_000 - allowed - 1), 2)
    lines = await publishing.table(desk, bad, played.founded.guideline)
    assert [(line.benchmark, line.verdict) for line in lines] == [("a", "better"), ("b", "fell too far")]

    strict = Guideline(
        {**played.founded.guideline.documents, "versioning": {"metric": "mrr", "allowed_regression": 0.001}}
    )
    fallen = dataclasses.replace(bad, scores={"a": 900_000, "b": 498_999})
    assert [line.passes for line in await publishing.table(desk, fallen, strict)] == [True, False]
    assert [line.passes for line in await publishing.table(desk, fallen, played.founded.guideline)] == [True, True]

    struct = bad.struct(1, (1, 1, 0), (b"\x01" * 32, (await played.files.publish(b"n"))))
    (tried,) = await rehearse(desk, proposal_of(played, 4, Action("ReleaseRegistry", "publish", (struct,))))
    assert tried.refusal is not None
    assert tried.refusal.error == "Regressed"

    await released(played, 2, Measured(a=900_000, b=500_000 - allowed), version=(1, 1, 0))
    await played.decide(2)
    assert (await desk.state()).catalogue.lineage(2) == (2, 1)


async def test_who_measures_something_else_does_not_vote_for_a_candidate(played: Played) -> None:
    desk, added = played.desk(4), {"a": b"rows of a"}
    await played.files.publish(b"rows of a")
    candidate = await publishing.make_candidate(desk, played.files, Measured(a=600_000), 1, added)
    other = Measured(a=599_000)
    with pytest.raises(ConfigError, match=r"0\.599000 on a"):
        await publishing.attest(played.desk(5), played.files, other, candidate, tolerance=999)
    found = await publishing.attest(played.desk(5), played.files, other, candidate, tolerance=1_000)
    assert (found["votes"], found["votes_needed"]) == (1, 3)
    again = await publishing.attest(played.desk(5), played.files, other, candidate, tolerance=1_000)
    assert again["votes"] == 1
    with pytest.raises(ConfigError, match="no correct attester"):
        await publishing.attest(played.desk(1), played.files, other, candidate, tolerance=1_000)
    false = dataclasses.replace(candidate, model_hash=bytes(32))
    with pytest.raises(ConfigError, match="not that of round 1"):
        await publishing.attest(played.desk(5), played.files, other, false, tolerance=0)
    assert Candidate.parse(candidate.to_json()) == candidate
    ready = await publishing.readiness(desk, candidate)
    assert ready["votes"] == 1
    expected = await desk.read(
        "ReleaseRegistry", "hashOf", 1, [tuple(one.values()) for one in candidate.struct_scores()]
    )
    assert ready["scores_hash"] == "0x" + expected.hex()


async def test_a_yanked_release(played: Played, tmp_path: Any) -> None:
    from node.dao.folder import fetch_release, verify_release
    from node.dao.proposal import yank

    await lock_all(played)
    desk = played.desk(4)
    await released(played, 1, Measured(a=600_000), {"a": b"rows of a"})
    await played.decide(1)
    before = tmp_path / "before"
    await fetch_release(desk, played.files, 1, before, merged=False, yanked=False)
    assert not (before / "model.safetensors").exists()
    await acts.propose(desk, proposal_of(played, 4, yank(1, b"\x01" * 32)))
    await played.decide(2)
    with pytest.raises(ConfigError, match="no release yet"):
        await fetch_release(desk, played.files, 0, tmp_path / "r", merged=False, yanked=False)
    with pytest.raises(ConfigError, match="taken back by a vote"):
        await fetch_release(desk, played.files, 1, tmp_path / "r", merged=False, yanked=False)
    await fetch_release(desk, played.files, 1, tmp_path / "r", merged=False, yanked=True)
    assert "taken back" in (tmp_path / "r" / "README.md").read_text("utf-8")
    for folder in (before, tmp_path / "r"):
        found = await verify_release(desk, folder)
        assert (found["ok"], found["is_yanked"]) == (True, True), found
    record = json.loads((before / "release.json").read_text("utf-8"))
    assert record["merged"] is False


# --- ownership --------------------------------------------------------------------------------------------------------


async def test_shares_and_revenue_of_a_release(played: Played) -> None:
    from node.dao import revenue

    await released_first(played)
    desk, other = played.desk(4), played.network.address(5)
    before = revenue.ownership(await desk.state(), 0)
    for account, credit in before["credits"].items():
        assert await desk.read("RevenueSplitter", "shareOf", 1, account) == (int(credit), int(before["credit_total"]))
    assert sum(map(int, before["credits"].values())) == int(before["credit_total"])

    await played.round(2, altered(played.founded.model, 0.1))  # rewards of later rounds change no share
    liquid = await desk.read("ContributionToken", "balanceOf", desk.me)
    await revenue.deposit(desk, 1, "", liquid // 2)
    shown = revenue.ownership(await desk.state(), 1)
    assert shown["shares_ppm"] == before["shares_ppm"]
    (books,) = shown["revenue"].values()
    assert int(books["deposited"]) == liquid // 2
    for account, due in books["claimable"].items():
        assert await desk.read(
            "RevenueSplitter", "claimable", 1, played.network.manifest.contracts["ContributionToken"], account
        ) == int(due)
    held = await desk.read("ContributionToken", "balanceOf", other)
    paid = await revenue.claim(desk, 1, "", other)
    assert await desk.read("ContributionToken", "balanceOf", other) == held + int(paid["paid"]) > held
    with pytest.raises(ConfigError, match="Nothing of release 1 is due"):
        await revenue.claim(desk, 1, "", other)
    (books,) = revenue.ownership(await desk.state(), 1)["revenue"].values()
    assert books["claimable"][other] == "0"
    assert books["paid"][other] == paid["paid"]


async def released_first(played: Played) -> None:
    await lock_all(played)
    await released(played, 1, Measured(a=600_000), {"a": b"rows of a"})
    await played.decide(1)
