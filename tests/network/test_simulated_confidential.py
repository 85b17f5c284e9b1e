"""Rounds whose updates travel encrypted: who reads them when, members without keys, senders that cheat, keys that are withheld."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import node.executor
from node.confidential.envelope import enclose, key_file, read_envelope
from node.envelopes import encrypt_update
from node.protocol.cid import cid_from_digest, compute_cid
from node.protocol.errors import EnvelopeClosed
from node.protocol.types import Fault, Phase, UpdateStatus
from node.roles.view import Fetched
from node.sim.clock import run_virtual
from node.sim.community import Community, SimSigner, audit_of
from node.sim.ledger import address_of
from node.sim.schedule import SCORING

PATIENCE = 60.0


def community(folder: Path, *, members: int = 5, rounds: int = 1, **settings: Any) -> Community:
    return Community(
        folder,
        members=members,
        rounds=rounds,
        update={"confidentiality": "members"},
        rules={"scoring": SCORING},
        **settings,
    )


def play(folder: Path, during: Callable[[Community], None] | None = None, **settings: Any) -> Any:
    """All rounds to the end: community, state, facts, and what a stranger's audit finds."""

    async def story():
        made = community(folder, **settings)
        await made.start()
        while not made.is_over(made.rounds):
            if during is not None:
                during(made)
            await made.until(lambda: True)
            await made.clock.sleep(1)
        await made.until(lambda: all_have_the_model(made))
        await made.clock.sleep(PATIENCE)
        state = made.nodes[0].state
        facts = {node.name: node.driver.executor.facts for node in made.nodes}
        await made.stop()
        return made, state, facts, await audit_of(made)

    return run_virtual(story())


def all_have_the_model(made: Community) -> bool:
    last = made.rounds
    if made.nodes[0].state.rounds[last].phase is not Phase.FINALIZED:
        return True
    members = [node for node in made.nodes if node.name.startswith("member")]
    return all(node.driver.executor.facts_of(last).aggregate for node in members)


def test_two_rounds_agree_and_the_audit_passes_bit_for_bit(tmp_path):
    _, state, facts, report = play(tmp_path, rounds=2)
    assert [found.phase for found in state.rounds.values()] == [Phase.FINALIZED] * 2
    assert report.ok, report.findings
    assert report.checked["content keys"] == report.checked["update checks"] == 10
    assert report.checked["models re-aggregated"] == 2
    models = {facts[f"member/{i}"][2].aggregate.model_hash for i in range(5)}
    assert models == {state.rounds[2].proposal.model_hash}


def test_outsiders_read_nothing_before_the_round_is_final_and_everything_after(tmp_path):
    outsider = SimSigner(address_of("outsider"))
    seen: dict[Phase, int] = {}

    def look(made: Community) -> None:
        found = made.nodes[0].state.rounds.get(1)
        if found is None or found.phase is Phase.FINALIZED:
            return
        for reveal in found.reveals:
            data = made.swarm.find(cid_from_digest(reveal.cid), "outsider")
            assert data is not None
            assert b"weight" not in data
            envelope = read_envelope(data)
            with pytest.raises(EnvelopeClosed):
                node.envelopes.unwrap(
                    envelope, outsider.address, outsider.encryption_public_key, outsider.shared_secret
                )
            assert not made.swarm.holders(cid_from_digest(envelope.key_digest))
            seen[found.phase] = seen.get(found.phase, 0) + 1

    made, state, facts, _ = play(tmp_path, look)
    assert {Phase.SCORE_COMMIT, Phase.ATTEST, Phase.CHALLENGE} <= set(seen)
    for reveal in state.rounds[1].reveals:
        key = facts["member/0"][1].keys[reveal.index]
        holders = made.swarm.holders(compute_cid(key_file(key)))
        assert {f"member/{i}" for i in range(5)} <= set(holders)


def test_a_member_without_a_key_reads_late_and_stops_nobody(tmp_path):
    _, state, facts, report = play(tmp_path, keys={"member/0": bytes(32)})
    found = state.rounds[1]
    assert found.phase is Phase.FINALIZED
    mine = found.reveal_of(address_of("member/0")).index
    assert set(facts["member/0"][1].keys) == set(range(5))  # from the published keys, in the end
    assert facts["member/1"][1].fetched[mine][0] is Fetched.VALID  # it can still send
    assert facts["member/0"][1].aggregate.model_hash == found.proposal.model_hash
    assert all(member.slashed == 0 for member in state.members.values())
    assert report.ok, report.findings


def test_a_member_whose_key_on_chain_is_another_is_told_so(tmp_path):
    stale = SimSigner(address_of("elsewhere")).encryption_public_key
    reasons: set[str] = set()

    def look(made: Community) -> None:
        for node_ in made.nodes:
            if node_.name == "member/0":
                reasons.update(reason for _, reason in node_.driver.executor.facts_of(1).fetched.values())

    _, state, _, report = play(tmp_path, look, keys={"member/0": stale})
    assert any("another encryption key of ours" in reason and "join peer" in reason for reason in reasons)
    assert state.rounds[1].phase is Phase.FINALIZED
    assert report.ok, report.findings


# --- senders that cheat -------------------------------------------------------------------------------------------------


def cheat(monkeypatch: pytest.MonkeyPatch, change: Callable[..., bytes]) -> None:
    """member/0 sends ``change(update, found, scope, signer)``; the others are honest."""

    def encrypt(update, found, scope, signer):
        honest = encrypt_update(update, found, scope, signer)
        return change(update, found, scope, signer) if signer.address == address_of("member/0") else honest

    monkeypatch.setattr(node.executor, "encrypt_update", encrypt)


def leave_one_out(update, found, scope, signer):
    data = encrypt_update(update, found, scope, signer)
    victim = [address for address, _ in read_envelope(data, [a for a, _ in found.members]).recipients].index(
        address_of("member/1")
    )
    at = 162 + 100 * victim + 52
    return data[:at] + bytes(48) + data[at + 48 :]


def fewer_recipients(update, found, scope, signer):
    return enclose(update, scope, signer.address, found.members[:3], signer.derive(b"x"))[0]


def of_another_round(update, found, scope, signer):
    return enclose(update, type(scope)(scope.chain_id, scope.round_manager, 9), signer.address, found.members, b"x")[0]


def of_another_sender(update, found, scope, signer):
    return enclose(update, scope, address_of("member/1"), found.members, b"x")[0]


def plain(update, found, scope, signer):
    return update


def wrong_body(update, found, scope, signer):
    data = encrypt_update(update, found, scope, signer)
    return data[:-1] + bytes([data[-1] ^ 1])


def encrypted_noise(update, found, scope, signer):
    return encrypt_update(b"noise", found, scope, signer)


@pytest.mark.parametrize(
    "change",
    [leave_one_out, fewer_recipients, of_another_round, of_another_sender, plain, wrong_body, encrypted_noise],
)
def test_a_sender_that_cheats_is_malformed_to_everybody_who_can_tell_and_stops_nobody(tmp_path, monkeypatch, change):
    cheat(monkeypatch, change)
    _, state, facts, report = play(tmp_path)
    found = state.rounds[1]
    cheater = found.reveal_of(address_of("member/0")).index
    assert found.phase is Phase.FINALIZED
    assert found.settled[cheater].status is UpdateStatus.MALFORMED
    others = [reveal.index for reveal in found.reveals if reveal.index != cheater]
    assert all(found.settled[index].status is UpdateStatus.ACCEPTED for index in others)
    victim = facts["member/1"][1].fetched[cheater][0]
    assert victim is (Fetched.UNAVAILABLE if change is leave_one_out else Fetched.MALFORMED)
    assert (int(Fault.MALFORMED), cheater) in found.punished
    assert report.ok, report.findings
    assert report.checked["malformed updates"] == 1


# --- keys that are withheld -------------------------------------------------------------------------------------------


def test_a_trainer_that_dies_before_it_published_its_key_is_no_loss(tmp_path):
    async def story():
        made = community(tmp_path)
        await made.start()
        await made.until(lambda: made.phase(1) is Phase.CHALLENGE)
        await made.kill(made.nodes[0])
        await made.until(lambda: made.is_over(1))
        await made.clock.sleep(PATIENCE)
        await made.stop()
        return await audit_of(made)

    report = run_virtual(story())
    assert report.ok, report.findings
    assert report.checked["content keys"] == 5


@pytest.mark.parametrize(("fault", "said"), [("unavailable", "was withheld"), ("corrupt", "is wrong")])
def test_the_audit_names_a_key_that_is_withheld_or_wrong(tmp_path, fault, said):
    async def story():
        made = community(tmp_path)
        await made.start()
        await made.until(lambda: made.is_over(1))
        await made.clock.sleep(PATIENCE)
        state = made.nodes[0].state
        key = made.nodes[0].driver.executor.facts[1].keys[2]
        getattr(made.swarm.faults, fault).add(compute_cid(key_file(key)))
        await made.stop()
        return state, await audit_of(made)

    state, report = run_virtual(story())
    assert not report.ok
    (finding,) = report.findings
    who = state.rounds[1].reveals[2].trainer
    assert f"The content key of the update of {who} in round 1 {said}" in finding


def test_a_node_that_was_away_at_the_end_publishes_when_it_is_back(tmp_path):
    async def story():
        made = community(tmp_path)
        await made.start()
        await made.until(lambda: made.phase(1) is Phase.CHALLENGE)
        for node_ in list(made.nodes):
            await made.kill(node_)
        for i in range(5):
            made.launch(made.make(f"member/{i}", ("verifier", "keeper"), i))
        await made.until(lambda: made.is_over(1))
        await made.clock.sleep(PATIENCE)
        done = [node_.driver.executor.facts[1].keys_published for node_ in made.nodes]
        await made.stop()
        return done, await audit_of(made)

    done, report = run_virtual(story())
    assert done == [True] * 5
    assert report.ok, report.findings


def test_keys_stay_secret_where_the_round_is_voided(tmp_path):
    async def story():
        made = community(tmp_path)
        await made.start()
        await made.until(lambda: made.phase(1) is Phase.ATTEST)
        for node_ in [one for one in made.nodes if one.name in {"member/0", "member/1", "member/2"}]:
            await made.kill(node_)
        await made.until(lambda: made.is_over(1), seconds=20_000)
        await made.clock.sleep(PATIENCE)
        survivor = next(one for one in made.nodes if one.name == "member/3")
        keys = survivor.driver.executor.facts[1].keys.values()
        phase = survivor.state.rounds[1].phase
        await made.stop()
        return phase, [made.swarm.holders(compute_cid(key_file(key))) for key in keys]

    phase, holders = run_virtual(story())
    assert phase is Phase.VOIDED
    assert holders
    assert not any(holders)
