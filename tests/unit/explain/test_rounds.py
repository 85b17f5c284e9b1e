"""Rewards, verdicts, penalties, credits of played rounds: explanations give what the chain recorded, and say where it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from incentives.scoring import MALFORMED, NOT_SCORED, encode_gain
from node.audit.pay import rewards_of
from node.explain import explain
from node.explain.core import cwt
from node.protocol.errors import ConfigError
from node.protocol.sortition import verifiers_of
from node.protocol.state import apply
from node.protocol.types import Fault, Outcome, Phase
from node.sim.ledger import QUICK_ROUNDS, Deployment, address_of
from node.sim.scripted import DEFAULT_GAIN, Community, Script
from node.sim.scripted_court import CourtCommunity

from .conftest import past_of

SIZE, VICTIM = 16, 3
HARM = encode_gain(-50_000)


def faulty_rounds():
    """Poison, garbage, absences of every kind, an unsealed round, a round without quorum."""
    community = Community(8)
    community.play(Script(fields={1: MALFORMED, 2: encode_gain(-500_000), 4: encode_gain(3)}, no_attest={3}))
    community.claim_all()
    court = {"contract": "RoundCourt"}
    for place in (1, 2):
        community.call(community.members[0], "slashVerdict", 1, community.order().index(place), **court)
    community.play(Script(no_reveal={4}, no_scores={5}, hide_scores={6}, wrong_attest={7}, is_sealed=False))
    sender, order = community.members[0], community.order()
    community.call(sender, "slashUnrevealedUpdate", 2, community.members[4], **court)
    community.call(sender, "slashAbsentVerifier", 2, order.index(5), False, **court)
    community.call(sender, "slashUnrevealedScores", 2, order.index(6), False, **court)
    community.call(sender, "slashWrongAttestation", 2, community.slots()[7], **court)
    community.claim_all()
    community.play(Script(no_attest={0, 1, 2, 3}))
    assert community.phase is Phase.VOIDED
    community.call(sender, "slashAbsentAttester", 3, community.slots()[2], **court)
    return community


class Framed(CourtCommunity):
    """In odd rounds four of the victim's verifiers lie about its update, in even ones they say nothing."""

    def word_of(self, place, fields=None, *, retry=False):
        order = self.order()
        panel = [order[i] for i, _ in verifiers_of(self.seed, len(order), order.index(VICTIM), 7)][:4]
        lie = HARM if self.round % 2 else NOT_SCORED
        return super().word_of(place, {VICTIM: lie} if place in panel and not retry else fields, retry=retry)


def court_rounds():
    """A lying panel overturned and banned, jurors that stay silent, a starved update retried, a wrong model refused."""
    params = replace(QUICK_ROUNDS, max_attesters=5, challenge_duration=120)
    community = Framed(SIZE + 4, Deployment(seats=(address_of("member/0"),), params=params))
    community.play_until_challenge()
    dispute = community.dispute_score(VICTIM, VICTIM)
    jury = list(community.draw_jury(dispute).values())
    community.ballots(dispute, lambda _m: encode_gain(DEFAULT_GAIN), absent=jury[:1], hiding=jury[1:2])
    assert community.resolve(dispute) is Outcome.OVERTURNED
    for j in range(4):
        community.court(9, "slashField", dispute, j)
    places = {member: place for place, member in community.jury(dispute).items()}
    community.court(9, "slashAbsentJuror", dispute, places[jury[0]])
    community.court(9, "slashUnrevealedBallot", dispute, places[jury[1]])
    community.play()
    community.claim_all()
    community.play_until_challenge()
    aggregate = community.dispute_aggregate(8)
    assert community.judge(aggregate, lambda _m: 2) is Outcome.OVERTURNED
    for slot in range(5):
        community.court(9, "slashAttester", aggregate, slot)
    return community


COMMUNITIES = {"faults": faulty_rounds(), "court": court_rounds()}
PASTS = {name: past_of(community) for name, community in COMMUNITIES.items()}


def every(name, what):
    past = PASTS[name]
    if what == "slash":
        count = sum(event.name == "Slashed" for event in past.events)
        return [explain(past, what, (str(number),)) for number in range(1, count + 1)]
    return [
        explain(past, what, (str(number), str(reveal.index)))
        for number, found in past.state.rounds.items()
        for reveal in found.reveals
    ]


@pytest.mark.parametrize("name", COMMUNITIES)
def test_every_verdict_is_what_the_chain_recorded(name):
    found = every(name, "score")
    assert all(one.agrees is True for one in found if one.recorded is not None)
    assert sum(one.agrees is True for one in found) >= 20
    assert all(len(one.sources) >= 2 for one in found if one.recorded is not None)


def test_the_majority_that_is_shown_is_of_all_who_were_asked():
    for one in every("faults", "score"):
        asked = sum(step.expression == "its field" for step in one.steps)
        if asked:
            assert {step.label: step.value for step in one.steps}["need"] == {7: "4", 6: "4"}[asked]


@pytest.mark.parametrize("name", COMMUNITIES)
def test_every_reward_is_what_the_chain_paid(name):
    found = every(name, "reward")
    assert [one for one in found if one.agrees is False] == []
    assert sum(one.agrees is True for one in found) >= 15
    claims = [event for event in PASTS[name].events if event.name == "Claimed"]
    assert len(claims) == sum(one.agrees is True for one in found)


@pytest.mark.parametrize("name", COMMUNITIES)
def test_every_penalty_is_what_the_chain_took(name):
    found = every(name, "slash")
    assert [one.agrees for one in found] == [True] * len(found)
    assert all(any(source.event == "FaultPunished" for source in one.sources) for one in found)
    assert all(len(one.sources) >= 3 for one in found), [one.title for one in found if len(one.sources) < 3]


def test_every_fault_but_copy_and_slice_was_explained():
    faults = {
        Fault(event.arguments["fault"]) for past in PASTS.values() for event in past.events if event.name == "Slashed"
    }
    assert set(Fault) - faults == {Fault.UNAVAILABLE, Fault.SLICE_NOT_REVEALED, Fault.COPY, Fault.FIELD_WRONG}


def test_a_reward_is_explained_by_the_same_numbers_as_the_audit_uses():
    community, past = COMMUNITIES["faults"], PASTS["faults"]
    found = past.state.rounds[1]

    class Rules:
        emission, params = community.deployment.emission, community.deployment.params

    for reveal in found.reveals:
        parts = rewards_of(found, reveal.index, Rules, community.deployment.scoring)
        one = explain(past, "reward", ("1", str(reveal.index)))
        values = {step.label: step.value for step in one.steps}
        if sum(parts):
            assert one.computed == values["total"]
            assert [values["trainer"], values["verifier"], values["attester"]] == [
                f"{part // 10**18:,}" + (f".{part % 10**18:018d}".rstrip("0") if part % 10**18 else "") + " CWT"
                for part in parts
            ]
        else:
            assert "forfeit" in values


def test_an_unsealed_rounds_pool_is_halved_in_the_explanation():
    one = explain(PASTS["faults"], "reward", ("2", "0"))
    assert any("unsealed" in step.expression for step in one.steps)
    assert not any("unsealed" in step.expression for step in explain(PASTS["faults"], "reward", ("1", "0")).steps)


def test_a_jury_explains_what_it_overturned():
    community, past = COMMUNITIES["court"], PASTS["court"]
    index = next(reveal.index for reveal in past.state.rounds[1].reveals if reveal.trainer == community.members[VICTIM])
    one = explain(past, "score", ("1", str(index)))
    assert "jury of dispute 1" in one.title
    assert one.agrees is True
    assert "Accepted" in one.computed
    assert [source.event for source in one.sources].count("BallotRevealed") >= 3
    assert {"UpdateSettled", "UpdateRescored"} <= {source.event for source in one.sources}


def test_a_retry_explains_its_second_words():
    community, past = COMMUNITIES["court"], PASTS["court"]
    index = next(reveal.index for reveal in past.state.rounds[2].reveals if reveal.trainer == community.members[VICTIM])
    one = explain(past, "score", ("2", str(index)))
    assert "second try" in one.title
    assert one.agrees is True
    paid = explain(past, "reward", ("2", str(past.state.rounds[2].reveals[0].index)))
    assert paid.agrees is True


def test_a_running_round_has_no_verdict_yet():
    community = Community(5)
    community.open_round()
    for place in range(5):
        community.commit(place)
    community.advance()
    for place in range(5):
        community.reveal(place)
    past = past_of(community)
    one = explain(past, "score", ("1", "2"))
    assert one.agrees is None
    assert "REVEAL" in one.notes[0]
    assert explain(past, "reward", ("1", "2")).computed == "0 CWT"


def test_a_voided_round_pays_nothing_and_says_why():
    one = explain(PASTS["faults"], "reward", ("3", "0"))
    assert one.computed == "0 CWT"
    assert one.agrees is None
    assert "VOIDED" in one.notes[0]


def test_an_unclaimed_reward_is_computed_and_said_to_be_open():
    community = Community(5)
    community.play()
    one = explain(past_of(community), "reward", ("1", "0"))
    assert one.agrees is None
    assert one.computed != "0 CWT"
    assert "claimed" in one.notes[0]


# --- credits ---


@pytest.mark.parametrize("name", COMMUNITIES)
def test_credits_add_up_to_what_was_earned(name):
    past = PASTS[name]
    for member in COMMUNITIES[name].members:
        one = explain(past, "credit", (member,))
        assert one.agrees is None
        assert one.steps[-3].value == one.computed.split(" of ")[0]
        earned = past.state.rewards.get(member, 0)
        assert one.steps[-3].value == cwt(earned)
        assert one.computed == f"{cwt(earned)} of {cwt(sum(past.state.rewards.values()))}"
        assert len(one.sources) == len([source for source in one.sources if source.event == "Claimed"])


def test_rolled_credits_are_compared():
    community = Community(5)
    community.play()
    community.claim_all()
    total = sum(past_of(community).state.rewards.values())
    last = community.events[-1]
    rolled = replace(
        last, contract="ReleaseRegistry", name="CreditsRolled", arguments={"round": 1, "creditTotal": total}
    )
    past = past_of(community, [*community.events, replace(rolled, log_index=last.log_index + 1)])
    for member in community.members:
        assert explain(past, "credit", (member, "1")).agrees is True
    shares = [
        int(explain(past, "credit", (m, "1")).steps[-1].value.split()[0].replace(",", "")) for m in community.members
    ]
    assert 1_000_000 - len(shares) <= sum(shares) <= 1_000_000
    off = replace(rolled, arguments={"round": 1, "creditTotal": total + 1}, log_index=last.log_index + 1)
    assert explain(past_of(community, [*community.events, off]), "credit", (community.members[0], "1")).agrees is False


# --- a chain that lies ---


def tampered(name, event_name, **changes):
    community = COMMUNITIES[name]
    at = next(place for place, event in enumerate(community.events) if event.name == event_name)
    event = community.events[at]
    altered = replace(
        event, arguments={**event.arguments, **{k: change(event.arguments[k]) for k, change in changes.items()}}
    )
    return at, past_of(community, [*community.events[:at], altered, *community.events[at + 1 :]])


def test_a_reward_that_the_formula_does_not_give_is_said():
    _, past = tampered("faults", "Claimed", verifierReward=lambda value: value + 1)
    first = next(event for event in past.events if event.name == "Claimed").arguments
    one = explain(past, "reward", (str(first["round"]), str(first["index"])))
    assert one.agrees is False
    assert one.recorded != one.computed


@pytest.mark.parametrize(
    "changes", [{"gain": lambda g: g + 1}, {"votes": lambda v: v - 1}, {"weight": lambda w: w + 1}]
)
def test_a_verdict_that_the_fields_do_not_give_is_said(changes):
    at, past = tampered("faults", "UpdateSettled", **changes)
    a = past.events[at].arguments
    assert explain(past, "score", (str(a["round"]), str(a["index"]))).agrees is False


@pytest.mark.parametrize(
    "changes", [{"burned": lambda b: b + 1}, {"bounty": lambda b: b + 1}, {"stake": lambda s: s + 1}]
)
def test_a_penalty_that_the_rule_does_not_give_is_said(changes):
    _, past = tampered("faults", "Slashed", **changes)
    assert explain(past, "slash", ("1",)).agrees is False


def test_a_field_that_was_changed_changes_the_verdict():
    community = COMMUNITIES["faults"]
    flipped = []
    for event in community.events:
        is_word = event.name == "ScoresRevealed" and event.arguments["round"] == 1
        flipped.append(replace(event, arguments={**event.arguments, "word": 0}) if is_word else event)
    past = past_of(community, flipped)
    assert all(explain(past, "score", ("1", str(index))).agrees is False for index in range(8))


# --- what does not exist ---


@pytest.mark.parametrize(
    ("what", "parts", "says"),
    [
        ("joke", ("1",), "no explanation of 'joke'"),
        ("reward", (), "takes round index"),
        ("reward", ("1",), "takes round index"),
        ("reward", ("1", "2", "3"), "takes round index"),
        ("reward", ("9", "0"), "no round 9"),
        ("reward", ("1", "99"), "no update 99"),
        ("reward", ("1", "-1"), "expected a number"),
        ("reward", ("1", "²"), "expected a number"),
        ("reward", ("1", "9" * 200), "expected a number"),
        ("score", ("x", "0"), "expected a number"),
        ("slash", ("0",), "no penalty 0"),
        ("slash", ("99",), "no penalty 99"),
        ("vote", ("1", "0x1234"), "no account"),
        ("power", ("0x",), "no account"),
        ("power", ("<script>",), "no account"),
        ("credit", ("0x" + "12" * 20,), "no account"),
        ("release", ("1",), "no release 1"),
        ("seat", ("9",), "no seat 9"),
    ],
)
def test_what_does_not_exist_is_refused(what, parts, says):
    with pytest.raises(ConfigError, match=says):
        explain(PASTS["faults"], what, parts)


def test_an_id_may_be_written_with_full_stops_and_an_account_by_its_beginning():
    past, member = PASTS["faults"], COMMUNITIES["faults"].members[0]
    assert explain(past, "reward", ("1.0",)) == explain(past, "reward", ("1", "0"))
    assert explain(past, "credit", (member[:8].lower(),)) == explain(past, "credit", (member,))


def test_an_explanation_is_plain_json():
    for what, parts in (("reward", ("1", "0")), ("score", ("1", "0")), ("slash", ("1",))):
        found = explain(PASTS["faults"], what, parts).to_json()
        assert set(found) == {
            "what", "id", "title", "formula", "steps", "computed", "recorded", "sources", "notes", "agrees"
        }  # fmt: skip
        assert all(set(step) == {"label", "expression", "value"} for step in found["steps"])


def test_the_state_before_an_event_is_that_of_the_events_before_it():
    past = PASTS["faults"]
    state = past.before(0)
    for place, event in enumerate(past.events[:200]):
        state = apply(state, event)
        assert past.before(place + 1) == state
