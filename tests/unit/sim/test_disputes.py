"""The court on the reference model: disputes, juries, what they overturn, who is punished, and every refusal."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

import pytest

from incentives.rewards import CWT
from incentives.scoring import MALFORMED, NOT_SCORED, UNAVAILABLE, encode_gain, pack_word
from node.protocol.sortition import assigned_updates, forward, verifiers_of
from node.protocol.types import Fault, MemberStatus, Outcome, Phase, UpdateStatus, VoidReason
from node.sim.ledger import QUICK_COURT, QUICK_ROUNDS, Deployment, address_of
from node.sim.round_state import Entry
from node.sim.scripted import DEFAULT_GAIN, Script
from node.sim.scripted_court import CourtCommunity

Refused = Callable[..., AbstractContextManager[None]]
COURT, TOKEN, REGISTRY = "RoundCourt", "ContributionToken", "MemberRegistry"
SIZE, VICTIM = 16, 3
HARM = encode_gain(-50_000)
RIGHT, WRONG = 1, 2
STRANGER = address_of("stranger")


class Framed(CourtCommunity):
    """``liars`` of the victim's seven verifiers write ``lie`` about its update."""

    def __init__(self, liars: int = 4, lie: int = HARM, size: int = SIZE, **params) -> None:
        members = tuple(address_of(f"member/{place}") for place in range(size))
        super().__init__(size, Deployment(seats=members[:1], **params))
        self.liars, self.lie = liars, lie

    def panel(self) -> list[int]:
        order = self.order()
        k = min(len(order) - 1, 7)
        return [order[index] for index, _ in verifiers_of(self.seed, len(order), order.index(VICTIM), k)]

    def word_of(self, place, fields=None, *, retry=False):
        honest = super().word_of(place, fields, retry=retry)
        if retry or place not in self.panel()[: self.liars]:
            return honest
        order = self.order()
        k = min(len(order) - 1, 7)
        about = assigned_updates(self.seed, len(order), order.index(place), k)
        return pack_word([self.lie if order[i] == VICTIM else encode_gain(DEFAULT_GAIN) for i in about])


def events(community, name):
    return [event.arguments for event in community.events if event.name == name]


def verdict(community, place=VICTIM):
    return community.read("resultOf", 1, community.order().index(place))


def stake(community, place):
    return community.read("stakeOf", community.members[place], contract=REGISTRY)


def balance(community, place):
    return community.read("balanceOf", community.members[place], contract=TOKEN)


def honest(_member):
    return encode_gain(DEFAULT_GAIN)


def framed(**params) -> tuple[Framed, int]:
    community = Framed(**params)
    assert community.play_until_challenge() is Phase.CHALLENGE
    return community, community.dispute_score(VICTIM, VICTIM)


def test_a_lying_panel_is_overturned_and_banned():
    community, dispute = framed()
    assert verdict(community)[0] == UpdateStatus.HARMFUL
    assert community.judge(dispute, honest) is Outcome.OVERTURNED
    assert verdict(community) == (UpdateStatus.ACCEPTED, DEFAULT_GAIN, DEFAULT_GAIN, False, False)
    assert community.phase is Phase.VOIDED  # the model left the update out
    assert events(community, "RoundVoided") == [{"round": 1, "reason": VoidReason.COURT_VOIDED}]
    assert balance(community, VICTIM) == community.deployment.court.bond
    for j, member in enumerate(community.panel()[:4]):
        community.court(9, "slashField", dispute, j)
        assert stake(community, member) == 0
        assert community.read("statusOf", community.members[member], contract=REGISTRY) is MemberStatus.BANNED
    punished = events(community, "FaultPunished")
    assert [one["fault"] for one in punished] == [Fault.LIE] * 4
    assert {one["prover"] for one in punished} == {community.members[VICTIM]}  # whoever sends the proof
    assert community.read("eligibleCount", contract=REGISTRY) == SIZE - 4
    assert community.play() is Phase.FINALIZED  # without them


def test_half_of_what_a_liar_owned_goes_to_the_disputer():
    community, dispute = framed()
    liar = community.panel()[0]
    minter = community.ledger.distributor.address
    community.call(minter, "mint", community.members[liar], 40 * CWT, contract=TOKEN)
    community.call(community.members[liar], "approve", community.ledger.registry.address, 40 * CWT, contract=TOKEN)
    community.call(community.members[liar], "bond", 40 * CWT, contract=REGISTRY)
    community.judge(dispute, honest)
    before = balance(community, VICTIM)
    community.court(9, "slashField", dispute, 0)
    assert balance(community, VICTIM) == before + 20 * CWT


def test_a_right_verdict_is_upheld_and_the_bond_burns():
    community = Framed(liars=0)
    community.play_until_challenge(Script(fields={VICTIM: HARM}))
    dispute = community.dispute_score(VICTIM, VICTIM)
    supply = community.read("totalSupply", contract=TOKEN)
    assert community.judge(dispute, lambda _member: HARM + 299) is Outcome.UPHELD
    assert community.read("totalSupply", contract=TOKEN) == supply - community.deployment.court.bond
    assert verdict(community)[:2] == (UpdateStatus.HARMFUL, -50_000)
    assert community.phase is Phase.CHALLENGE


def test_gains_within_tau_are_no_disagreement_whatever_side_of_a_bound_they_lie_on():
    community = Framed(liars=0)
    community.play_until_challenge(Script(fields={VICTIM: encode_gain(99)}))
    dispute = community.dispute_score(VICTIM, VICTIM)
    assert community.judge(dispute, lambda _member: encode_gain(101)) is Outcome.UPHELD
    assert verdict(community)[0] == UpdateStatus.REJECTED


def test_a_jury_corrects_a_gain_without_voiding_the_round():
    community, dispute = framed(lie=encode_gain(19_000))
    assert verdict(community)[:2] == (UpdateStatus.ACCEPTED, 19_000)
    assert community.judge(dispute, honest) is Outcome.OVERTURNED
    assert verdict(community)[:3] == (UpdateStatus.ACCEPTED, DEFAULT_GAIN, DEFAULT_GAIN)
    assert community.read("roundOf", 1)[17] == SIZE * DEFAULT_GAIN
    community.court(9, "slashField", dispute, 0)
    assert events(community, "FaultPunished")[0]["fault"] == Fault.FIELD_WRONG
    assert stake(community, community.panel()[0]) == 90 * CWT
    assert community.advance() is Phase.FINALIZED
    assert events(community, "RoundFinalized")[0]["sumWeight"] == SIZE * DEFAULT_GAIN


@pytest.mark.parametrize("vote", [UNAVAILABLE, None])
def test_a_jury_that_finds_nothing_changes_nothing(vote):
    community, dispute = framed()
    scattered = iter(range(100))
    votes: dict[int, int] = {}
    outcome = community.judge(
        dispute,
        lambda member: vote if vote is not None else votes.setdefault(member, encode_gain(1_000 * next(scattered))),
    )
    assert outcome is (Outcome.UPHELD if vote is not None else Outcome.NO_MAJORITY)
    assert verdict(community)[0] == UpdateStatus.HARMFUL
    returned = community.deployment.court.bond if vote is None else 0
    assert balance(community, VICTIM) == returned


def test_majorities_are_of_all_jurors():
    community, dispute = framed()
    jury = community.draw_jury(dispute)
    absent = list(jury.values())[: len(jury) - len(jury) // 2]  # leaves less than half
    community.ballots(dispute, honest, absent=absent)
    assert community.resolve(dispute) is Outcome.NO_MAJORITY


def test_the_jury_is_drawn_from_those_who_had_no_part_in_it():
    community, dispute = framed()
    jury = community.draw_jury(dispute)
    assert set(jury.values()).isdisjoint({VICTIM, *community.panel()})
    assert len(jury) == 8 == events(community, "JuryDrawn")[0]["jurors"]
    assert events(community, "DisputeOpened")[0]["isIndependent"] is True


def test_a_retried_verdict_excludes_both_panels():
    community = Framed(liars=4, lie=NOT_SCORED, size=24)
    assert community.play_until_challenge() is Phase.CHALLENGE
    assert verdict(community)[3] is True
    dispute = community.dispute_score(VICTIM, VICTIM)
    jury = community.draw_jury(dispute)
    order = community.order()
    second = {order[i] for i, _ in verifiers_of(community.seed, 24, order.index(VICTIM), 7, retry=True)}
    assert set(jury.values()).isdisjoint({VICTIM, *community.panel(), *second})
    assert len(jury) == 24 - 15


@pytest.mark.parametrize("size", range(4, 9))
def test_in_a_small_ring_the_panel_sits_on_the_jury_and_finds_no_lie(size: int):
    community, dispute = framed(size=size, liars=(size - 1) // 2 + 1)
    opened = events(community, "DisputeOpened")[0]
    assert opened["isIndependent"] is False
    jury = community.draw_jury(dispute)
    assert set(jury.values()) == set(range(size)) - {VICTIM}
    community.ballots(dispute, honest)
    assert community.resolve(dispute) is Outcome.OVERTURNED
    community.court(0, "slashField", dispute, 0)
    assert events(community, "FaultPunished")[0]["fault"] == Fault.FIELD_WRONG


@pytest.mark.parametrize(
    ("lie", "truth", "fault"),
    [
        (HARM, encode_gain(DEFAULT_GAIN), Fault.LIE),
        (MALFORMED, encode_gain(DEFAULT_GAIN), Fault.LIE),
        (encode_gain(DEFAULT_GAIN), HARM, Fault.LIE),
        (encode_gain(DEFAULT_GAIN), MALFORMED, Fault.LIE),
        (HARM, MALFORMED, Fault.FIELD_WRONG),
        (encode_gain(50), encode_gain(DEFAULT_GAIN), Fault.FIELD_WRONG),
        (encode_gain(DEFAULT_GAIN), encode_gain(50), Fault.FIELD_WRONG),
        (HARM, encode_gain(50), Fault.FIELD_WRONG),
    ],
)
def test_what_is_a_lie(lie: int, truth: int, fault: Fault):
    community, dispute = framed(lie=lie)
    assert community.judge(dispute, lambda _member: truth) is Outcome.OVERTURNED
    community.court(0, "slashField", dispute, 0)
    assert events(community, "FaultPunished")[0]["fault"] == fault


def test_whoever_said_nothing_is_no_liar(refused: Refused):
    community = Framed(liars=4)
    community.play_until_challenge()
    dispute = community.dispute_score(VICTIM, VICTIM)
    community.judge(dispute, honest)
    panel = community.panel()
    with refused("NoWrongField", community.members[panel[6]], encode_gain(DEFAULT_GAIN)):
        community.court(0, "slashField", dispute, 6)
    with refused("NoSuchVerifier", 7, 7):
        community.court(0, "slashField", dispute, 7)
    community.court(0, "slashField", dispute, 0)
    with refused("AlreadyPunished", 1, Fault.FIELD_WRONG, 256 * dispute):
        community.court(0, "slashField", dispute, 0)
    with refused("WrongKind", dispute, 0, 1):
        community.court(0, "slashAttester", dispute, 0)


def test_a_dispute_goes_on_where_another_one_voided_the_round():
    community, score = framed()
    aggregate = community.dispute_aggregate(9)
    for dispute in (aggregate, score):
        community.draw_jury(dispute)
    community.ballots(aggregate, lambda _member: WRONG)
    assert community.resolve(aggregate) is Outcome.OVERTURNED
    assert community.phase is Phase.VOIDED
    community.ballots(score, honest)
    assert community.resolve(score) is Outcome.OVERTURNED  # a round cannot be voided to spare a liar
    assert verdict(community)[0] == UpdateStatus.ACCEPTED
    assert len(events(community, "RoundVoided")) == 1
    community.court(0, "slashField", score, 0)


# --- time ---


def test_a_dispute_prolongs_the_challenge_by_what_it_takes():
    community = Framed()
    community.play_until_challenge()
    own = community.read("phaseOf", 1)[1]
    dispute = community.dispute_score(VICTIM, VICTIM)
    until = community.now + QUICK_COURT.duration
    assert community.read("phaseOf", 1) == (Phase.CHALLENGE, until)
    assert community.read("disputeOf", dispute, contract=COURT)[1] == until
    assert community.read("disputesOf", 1, contract=COURT)[0] == own
    assert events(community, "DeadlineExtended") == [{"round": 1, "deadline": until}]


def test_disputes_end_with_the_challenges_own_end(refused: Refused):
    community, _ = framed()
    own = community.read("disputesOf", 1, contract=COURT)[0]
    community.fund_bond(9)
    community.wait_until(own)
    with refused("DisputeTooLate", own, own + 1):
        community.court(9, "disputeAggregate", 1)


def test_an_undrawn_jury_lapses_and_the_bond_burns(refused: Refused):
    community, dispute = framed()
    until = community.read("disputeOf", dispute, contract=COURT)[1]
    drawn_by = until - QUICK_COURT.duration + QUICK_COURT.draw_duration
    with refused("JuryNotDrawn", dispute):
        community.court(0, "resolve", dispute)
    community.wait_until(drawn_by)
    with refused("DeadlinePassed", drawn_by, drawn_by + 1):
        community.court(0, "drawJury", dispute)
    assert community.resolve(dispute) is Outcome.LAPSED
    assert balance(community, VICTIM) == 0
    assert community.read("totalBonds", contract=COURT) == 0
    with refused("WrongOutcome", dispute, int(Outcome.LAPSED), 0):
        community.court(0, "resolve", dispute)


def test_an_unresolved_dispute_lapses():
    community, dispute = framed()
    community.draw_jury(dispute)
    community.ballots(dispute, honest)
    community.wait_until(community.ledger.court.dispute(dispute).until)
    assert community.advance() is Phase.FINALIZED
    assert community.resolve(dispute) is Outcome.LAPSED
    assert verdict(community)[0] == UpdateStatus.HARMFUL


def test_a_jurys_seed_that_nobody_drew_is_pinned_again():
    court = replace(QUICK_COURT, draw_duration=400, commit_duration=60)
    rounds = replace(QUICK_ROUNDS, dispute_duration=600)
    community, dispute = framed(court=court, params=rounds)
    community.wait(300)
    community.court(0, "drawJury", dispute)
    assert events(community, "JurySeedPinned") == [{"id": dispute, "seedBlock": community.block + 2}]
    assert community.draw_jury(dispute)


# --- refusals ---


def test_what_cannot_be_disputed(refused: Refused):
    community = Framed(liars=0)
    community.fund_bond(9)
    with refused("WrongPhase", int(Phase.NONE), int(Phase.CHALLENGE)):
        community.court(9, "disputeScore", 1, 0)
    community.play_until_challenge(Script(fields={5: UNAVAILABLE}))
    index = community.order().index(5)
    with refused("NothingToDispute", index, int(UpdateStatus.UNAVAILABLE)):
        community.court(9, "disputeScore", 1, index)
    with refused("OutsideRing", SIZE, SIZE):
        community.court(9, "disputeScore", 1, SIZE)
    with refused("ERC20InsufficientAllowance"):
        community.court(8, "disputeScore", 1, 0)
    dispute = int(community.court(9, "disputeScore", 1, 0))
    with refused("AlreadyDisputed", 1, dispute):
        community.court(9, "disputeScore", 1, 0)
    with refused("NoSuchDispute", dispute + 1, dispute):
        community.court(9, "drawJury", dispute + 1)


def test_a_final_unscored_can_be_disputed_but_not_one_that_awaits_its_retry(refused: Refused):
    community = Framed(liars=4, lie=NOT_SCORED)
    community.play_until_challenge(Script(no_retry=set(range(SIZE))))
    assert verdict(community)[0] == UpdateStatus.UNSCORED
    dispute = community.dispute_score(VICTIM, VICTIM)
    assert community.judge(dispute, honest) is Outcome.OVERTURNED
    other = Framed(liars=4, lie=NOT_SCORED)
    other._play_updates(Script())
    settle, other.settle = other.settle, lambda: None
    other.settle = lambda: settle() if other.phase is Phase.SETTLE else None  # nobody settles it again
    other._play_scores(Script())
    other._play_attestations(Script())
    other.fund_bond(VICTIM)
    index = other.order().index(VICTIM)
    with refused("NothingToDispute", index, int(UpdateStatus.UNSCORED)):
        other.court(VICTIM, "disputeScore", 1, index)


def test_jurors_vote_in_turn_and_once(refused: Refused):
    community, dispute = framed()
    with refused("SeedNotReady"):
        community.court(0, "drawJury", dispute)
    with refused("JuryNotDrawn", dispute):
        community.court(0, "commitBallot", dispute, 0, bytes(32))
    jury = community.draw_jury(dispute)
    with refused("JuryIsDrawn", dispute):
        community.court(0, "drawJury", dispute)
    place, juror = next(iter(jury.items()))
    excluded = next(p for p in range(16) if p not in jury)
    with refused("PlaceExcluded", dispute, excluded):
        community.court(juror, "commitBallot", dispute, excluded, bytes(32))
    with refused("NoSuchPlace", 16, 16):
        community.court(juror, "commitBallot", dispute, 16, bytes(32))
    with refused("NotJuror", community.members[VICTIM], community.members[juror]):
        community.court(VICTIM, "commitBallot", dispute, place, bytes(32))
    community.court(juror, "commitBallot", dispute, place, bytes(32))
    with refused("WrongEntry", community.members[juror], int(Entry.COMMITTED), int(Entry.NONE)):
        community.court(juror, "commitBallot", dispute, place, bytes(32))
    end = community.ledger.court.dispute(dispute).commit_end
    with refused("TooEarly", end, community.now + 1):
        community.court(juror, "revealBallot", dispute, place, HARM, bytes(32))
    with refused("TooEarly"):
        community.court(0, "resolve", dispute)
    community.wait_until(end)
    with refused("DeadlinePassed", end, end + 1):
        community.court(jury[max(jury)], "commitBallot", dispute, max(jury), bytes(32))
    with refused("CommitmentMismatch"):
        community.court(juror, "revealBallot", dispute, place, HARM, bytes(32))
    community.wait_until(end + QUICK_COURT.reveal_duration)
    with refused("DeadlinePassed"):
        community.court(juror, "revealBallot", dispute, place, HARM, bytes(32))


@pytest.mark.parametrize(
    ("ballot", "is_aggregate"), [(0, False), (3, False), (15, False), (1 << 20, False), (0, True), (3, True)]
)
def test_a_ballot_that_says_nothing_cannot_be_opened(refused: Refused, ballot: int, *, is_aggregate: bool):
    community = Framed(liars=0)
    community.play_until_challenge()
    dispute = community.dispute_aggregate(9) if is_aggregate else community.dispute_score(9, VICTIM)
    community.draw_jury(dispute)
    with refused("InvalidBallot", ballot):
        community.ballots(dispute, lambda _member: ballot)


def test_absent_and_silent_jurors_pay(refused: Refused):
    community, dispute = framed()
    jury = community.draw_jury(dispute)
    (away, absent), (quiet, silent), (there, present) = list(jury.items())[:3]
    with refused("TooEarly"):
        community.court(0, "slashAbsentJuror", dispute, away)
    community.ballots(dispute, honest, absent={absent}, hiding={silent})
    with refused("TooEarly"):
        community.court(0, "slashUnrevealedBallot", dispute, quiet)
    assert community.resolve(dispute) is Outcome.OVERTURNED
    with refused("NoFault", community.members[present], int(Entry.REVEALED), int(Entry.NONE)):
        community.court(0, "slashAbsentJuror", dispute, there)
    with refused("PlaceExcluded"):
        community.court(0, "slashAbsentJuror", dispute, next(p for p in range(16) if p not in jury))
    community.court(0, "slashAbsentJuror", dispute, away)
    community.court(0, "slashUnrevealedBallot", dispute, quiet)
    assert (stake(community, absent), stake(community, silent)) == (99 * CWT, 95 * CWT)
    with refused("AlreadyPunished", 1, Fault.BALLOT_ABSENT, 256 * dispute + away):
        community.court(0, "slashAbsentJuror", dispute, away)


# --- verdicts ---


def test_a_verdict_is_executed_after_the_time_to_appeal(refused: Refused):
    community = Framed()
    community.play_until_challenge()
    index = community.order().index(VICTIM)
    with refused("FaultNotProvable", int(Phase.CHALLENGE), 0):
        community.court(0, "slashVerdict", 1, index)
    community.advance()
    community.court(0, "slashVerdict", 1, index)
    assert stake(community, VICTIM) == 90 * CWT
    assert events(community, "FaultPunished")[0]["prover"] == "0x" + "00" * 20
    with refused("AlreadyPunished", 1, Fault.HARMFUL, index):
        community.court(0, "slashVerdict", 1, index)
    with refused("NoFaultyVerdict"):
        community.court(0, "slashVerdict", 1, community.order().index(5))
    with refused("OutsideRing", SIZE, SIZE):
        community.court(0, "slashVerdict", 1, SIZE)


def test_in_a_round_the_court_voided_only_judged_verdicts_are_executed(refused: Refused):
    community = Framed(lie=encode_gain(DEFAULT_GAIN))
    community.play_until_challenge(Script(fields={VICTIM: HARM, 5: HARM}))
    assert verdict(community)[0] == UpdateStatus.ACCEPTED
    dispute = community.dispute_score(9, VICTIM)
    assert community.judge(dispute, lambda _member: HARM) is Outcome.OVERTURNED
    order = community.order()
    community.court(0, "slashVerdict", 1, order.index(VICTIM))
    with refused("FaultNotProvable", int(Phase.VOIDED), int(VoidReason.COURT_VOIDED)):
        community.court(0, "slashVerdict", 1, order.index(5))


def test_the_record_of_a_dispute_as_the_contract_stores_it():
    community, dispute = framed()
    jury = community.draw_jury(dispute)
    community.ballots(dispute, honest)
    community.resolve(dispute)
    record = community.read("disputeOf", dispute, contract=COURT)
    order = community.order()
    index = order.index(VICTIM)
    assert record[0] == community.members[VICTIM]
    assert record[3:5] == (index, 1)
    assert record[6:8] == (SIZE, forward(community.seed, SIZE, index))
    assert record[8:] == (
        0, Outcome.OVERTURNED, False, True, 16, 8, 8, 8, UpdateStatus.ACCEPTED, DEFAULT_GAIN,
        community.ledger.court.dispute(dispute).key,
    )  # fmt: skip
    place = min(jury)
    assert community.read("jurorAt", dispute, place, contract=COURT) == community.members[jury[place]]
    assert community.read("ballotOf", dispute, place, contract=COURT) == (Entry.REVEALED, encode_gain(DEFAULT_GAIN))
    assert community.read("ballotOf", dispute, 60, contract=COURT) == (0, 0)
