"""A community with a veto window and with seats that expire, in virtual time; claims of those who went away."""

from __future__ import annotations

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
