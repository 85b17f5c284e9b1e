"""Members vote for another guideline: running nodes take it over with the next round, or refuse and name the line."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from node.protocol.cid import compute_cid, digest_from_cid
from node.protocol.guideline import Guideline
from node.protocol.types import Call, Phase
from node.sim.clock import run_virtual
from node.sim.community import Community, toy_guideline
from node.sim.schedule import SCORING

KINDS = ("data", "architecture", "update", "versioning")


async def amend(community, name, new, *, serve=True):
    """What a vote would make the timelock do, and its proposer's publishing of the file."""
    document = new.document(name)
    if serve:
        await community.swarm.join("proposer").put(new.canonical)
    digest = digest_from_cid(compute_cid(document))
    combined = digest_from_cid(compute_cid(new.canonical))
    arguments = (KINDS.index(name), hashlib.sha256(document).digest(), digest, new.hash, combined)
    chain = community.world.chain_for(community.deployment.timelock)
    await chain.send(Call("GuidelineRegistry", "amend", arguments))


def changed(name, **values):
    documents = dict(toy_guideline().documents)
    documents[name] = {**documents[name], **values}
    return Guideline(documents)


def play(tmp_path, name, new, *, serve=True, then=None, refused=False):
    async def story():
        community = Community(tmp_path, members=5, rounds=2)
        await community.start()
        await community.until(lambda: community.phase(1) >= Phase.REVEAL)
        await amend(community, name, new, serve=serve)
        if then is not None:
            await community.until(lambda: community.is_over(1))
            await community.clock.sleep(60)
            await then(community)
        if refused:
            await community.until(lambda: community.is_over(1))
            await community.clock.sleep(900)
        else:
            await community.until(lambda: community.is_over(2), seconds=10_000)
        members = [node for node in community.nodes if node.name.startswith("member")]
        status = members[0].driver.status(0)
        state = members[0].state
        await community.stop()
        return members, state, status

    return run_virtual(story())


def test_the_next_round_runs_under_the_new_guideline_at_every_node(tmp_path):
    new = changed("update", max_norm=90.0)
    members, state, status = play(tmp_path, "update", new)
    assert [found.phase for found in state.rounds.values()] == [Phase.FINALIZED] * 2
    assert [found.epoch for found in state.rounds.values()] == [1, 2]
    assert state.rounds[1].guideline_hash != state.rounds[2].guideline_hash == new.hash
    assert all(node.driver.executor.guideline.hash == new.hash for node in members)
    assert len(state.rounds[2].accepted) >= 4
    assert status["error"] == ""
    assert (members[0].store.root / "guidelines" / f"{new.hash.hex()}.json").read_bytes() == new.canonical


@pytest.mark.parametrize(
    ("name", "values", "line"),
    [
        ("architecture", {"trainable_suffix": "weight"}, "architecture.trainable_suffix is 'weight'"),
        ("update", {"pipeline": "bucketing+mean"}, "bucketing"),
        ("update", {"compression": "topk", "pipeline": "median"}, "topk updates do not go with median"),
    ],
)
def test_a_guideline_that_cannot_be_honoured_is_refused_by_its_line_and_nobody_is_slashed(tmp_path, name, values, line):
    members, state, status = play(tmp_path, name, changed(name, **values), refused=True)
    assert 2 not in state.rounds  # nobody opens a round that it could not take part in
    assert line in status["error"], status
    assert all(state.member(node.address).slashed == 0 for node in members)


def test_a_round_that_nobody_can_honour_is_voided_and_a_better_vote_sets_the_community_going_again(tmp_path):
    bad, good = changed("architecture", trainable_suffix="weight"), changed("update", max_norm=90.0)

    async def story():
        community = Community(tmp_path, members=5, rounds=3, rules={"scoring": SCORING})
        await community.start()
        await community.until(lambda: community.phase(1) >= Phase.REVEAL)
        await amend(community, "architecture", bad)
        await community.until(lambda: community.is_over(1))
        stranger = community.world.chain_for(community.seats[2])
        await community.clock.sleep(2 * community.deployment.params.open_window)
        await stranger.send(Call("RoundManager", "openRound", (bytes(32),)))
        await community.until(lambda: community.is_over(2), seconds=10_000)
        await amend(community, "update", good)
        await community.until(lambda: community.is_over(3), seconds=10_000)
        state = community.nodes[0].state
        await community.stop()
        return state

    state = run_virtual(story())
    assert [found.phase for found in state.rounds.values()] == [Phase.FINALIZED, Phase.VOIDED, Phase.FINALIZED]
    assert not state.rounds[2].commits
    assert state.rounds[3].guideline_hash == good.hash
    assert [found.slashed for found in state.rounds.values()] == [frozenset()] * 3


def test_a_guideline_that_comes_late_is_taken_over_as_soon_as_it_is_there(tmp_path):
    new = changed("update", max_norm=90.0)

    async def serve(community):
        assert "taking no part" in community.nodes[0].driver.status(0)["error"]
        await community.swarm.join("proposer").put(new.canonical)

    _, state, status = play(tmp_path, "update", new, serve=False, then=serve)
    assert state.rounds[2].phase is Phase.FINALIZED
    assert status["error"] == ""


def test_a_cid_of_another_file_is_refused(tmp_path):
    new = changed("update", max_norm=90.0)
    other = replace(new, documents={**new.documents, "versioning": {"x": 1}})

    async def story():
        community = Community(tmp_path, members=5, rounds=2)
        await community.start()
        await community.until(lambda: community.phase(1) >= Phase.REVEAL)
        await community.swarm.join("proposer").put(other.canonical)
        combined = digest_from_cid(compute_cid(other.canonical))
        chain = community.world.chain_for(community.deployment.timelock)
        await chain.send(Call("GuidelineRegistry", "amend", (2, b"\x05" * 32, combined, new.hash, combined)))
        await community.until(lambda: community.is_over(1))
        await community.clock.sleep(60)
        status = community.nodes[0].driver.status(0)
        await community.stop()
        return status

    assert "the chain names" in run_virtual(story())["error"]
