"""A community with a veto window and with seats that expire, in virtual time; claims of those who went away."""

from __future__ import annotations

from dataclasses import replace

from node.membership.review import parse
from node.protocol.cid import cid_from_digest
from node.protocol.types import Call, MemberStatus, Phase
from node.sim.clock import run_virtual
from node.sim.community import Community, audit_of
from node.sim.ledger import address_of


def test_keepers_admit_after_the_veto_window_and_the_audit_agrees(tmp_path):
    async def story():
        community = Community(tmp_path, members=4, rounds=1, rules={"veto_window": 60})
        await community.start()
        await community.until(lambda: community.is_over(1))
        await community.until(lambda: len(community.nodes[0].state.rounds[1].claimed) == 4)
        state = community.nodes[0].state
        await community.stop()
        return state, await audit_of(community)

    state, report = run_virtual(story())
    assert len(state.active) == 4
    assert all(application.admit_at for application in state.applications.values())
    assert state.rounds[1].phase is Phase.FINALIZED
    assert report.ok, report.findings


def test_two_vetoes_within_the_window_keep_an_approved_newcomer_out(tmp_path):
    async def story():
        community = Community(
            tmp_path, members=4, rounds=0, least_members=3, rules={"veto_window": 60, "veto_threshold": 2}
        )
        await community.start()
        victim = address_of("member/3")
        await community.until(lambda: community.nodes[0].state.member(victim).status is MemberStatus.PROBATION)
        number = community.nodes[0].state.member(victim).application
        for node in [node for node in community.nodes if node.name == "member/3"]:
            await community.kill(node)  # it would apply again
        for seat in community.seats[:2]:
            await community.world.chain_for(seat).send(Call("MemberRegistry", "veto", (number, bytes(32))))
        await community.until(lambda: len(community.nodes[0].state.active) == 3)
        await community.clock.sleep(120)
        state = community.nodes[0].state
        await community.stop()
        return state, victim

    state, victim = run_virtual(story())
    assert state.member(victim).status is MemberStatus.NONE
    assert len(state.active) == 3


def test_with_expired_seats_nobody_is_admitted_and_rounds_open_unsealed(tmp_path):
    async def story():
        community = Community(tmp_path, members=4, rounds=1, least_members=5, rules={"seat_term": 20})
        await community.start()
        await community.until(lambda: len(community.nodes[0].state.active) == 4)
        await community.clock.sleep(20)
        community.least_members, community.member_rounds = 4, 1
        community.launch(community.make("member/late", ("applicant", "keeper"), 3))
        await community.until(lambda: community.is_over(1))
        seat = next(node for node in community.nodes if node.name == "seat/0")
        status, state = seat.driver.status(0), community.nodes[0].state
        await community.stop()
        return status, state

    status, state = run_virtual(story())
    assert "Our seat 0 expired" in status["error"]
    assert state.member(address_of("member/late")).status is MemberStatus.APPLIED
    assert state.rounds[1].benchmark_commitment == bytes(32)
    assert state.rounds[1].phase is Phase.FINALIZED


def test_what_a_vanished_owner_leaves_unclaimed_others_claim(tmp_path):
    async def story():
        community = Community(tmp_path, members=5, rounds=1)
        await community.start()
        await community.until(lambda: community.phase(1) is Phase.CHALLENGE)
        gone = next(node for node in community.nodes if node.name == "member/4")
        await community.kill(gone)
        await community.until(lambda: community.is_over(1))
        await community.until(lambda: len(community.nodes[0].state.rounds[1].claimed) == 5)
        state = community.nodes[0].state
        await community.stop()
        return state, gone.address

    state, gone = run_virtual(story())
    assert state.rewards[gone] > 0
    assert state.balances[gone] == state.rewards[gone]


MEMBER = ("applicant", "trainer", "verifier", "attester", "keeper")


async def newcomer_after_round_one(tmp_path, change=lambda _community, _node: None, **data_of):
    """A community that finished a round, and somebody who applies then; the events, and a store to read reviews from."""
    community = Community(tmp_path, members=4, rounds=1, data_of=data_of)
    await community.start()
    await community.until(lambda: community.is_over(1))
    node = community.make("member/9", MEMBER, 3)
    change(community, node)
    community.launch(node)
    seats = [address_of("seat/0"), address_of("seat/1"), address_of("seat/2")]
    await community.until(lambda: 5 in community.nodes[0].state.applications)
    await community.until(lambda: len(community.nodes[0].state.reviews.get(5, {})) >= 2)
    await community.clock.sleep(5)
    state, number = community.nodes[0].state, community.world.height
    hashes = {
        event.arguments["reviewer"]: event.arguments["reasonHash"]
        for event in community.world.events(0, number)
        if event.name == "Reviewed" and event.arguments["application"] == 5
    }
    store = community.swarm.join("reader")
    reviews = [
        parse(await store.get(cid_from_digest(digest), max_bytes=1 << 16, seconds=9)) for digest in hashes.values()
    ]
    request = await store.get(cid_from_digest(state.applications[5].request_cid), max_bytes=1 << 16, seconds=9)
    await community.stop()
    assert set(hashes) <= set(seats)
    return state, reviews, request


def test_a_newcomer_brings_a_sample_update_and_is_admitted(tmp_path):
    state, reviews, request = run_virtual(newcomer_after_round_one(tmp_path))
    assert state.member(address_of("member/9")).status is MemberStatus.ACTIVE
    assert {review.approve for review in reviews} == {"yes"}
    assert state.rounds[1].proposal.model_hash.hex() in request.decode()


def test_who_trains_on_benchmark_data_is_refused_with_a_published_reason(tmp_path):
    state, reviews, _request = run_virtual(newcomer_after_round_one(tmp_path, **{"member/9": "held-out"}))
    assert state.member(address_of("member/9")).status in (MemberStatus.NONE, MemberStatus.APPLIED)
    assert state.member(address_of("member/9")).stake == 0
    assert {review.approve for review in reviews} == {"no"}
    assert all("held out" in review.failed[0] for review in reviews)


def test_a_forged_signature_and_a_poisoned_sample_are_refused(tmp_path):
    def forge(_community, node):
        signer = node.driver.executor.ports.signer
        node.driver.executor.ports.signer = type(
            "Forger", (), {"address": signer.address, "derive": signer.derive, "sign_typed": lambda *_: b"x" * 65}
        )()

    _state, reviews, _request = run_virtual(newcomer_after_round_one(tmp_path / "a", forge))
    assert all("signature" in review.failed[0] for review in reviews)

    def poison(_community, node):
        trainer = node.driver.executor.ports.trainer
        honest = trainer.train

        async def train(job):
            result = await honest(job)
            return replace(result, update=result.update[:-4] + b"\0\0\xc0\x7f")  # the last value is NaN

        trainer.train = train

    state, reviews, _request = run_virtual(newcomer_after_round_one(tmp_path / "b", poison))
    assert all("not_finite" in review.failed[0] for review in reviews)
    assert state.member(address_of("member/9")).stake == 0
