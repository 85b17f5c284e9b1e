"""The court's proven faults on the reference model: silent stewards, absent attesters, copies, verifiers; and who may use its hooks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from incentives.rewards import CWT
from node.protocol.types import Fault, Phase, UpdateStatus
from node.sim.ledger import QUICK_ROUNDS, address_of
from node.sim.round_state import Entry
from node.sim.scripted import Script
from node.sim.scripted_court import CourtCommunity

Refused = Callable[..., AbstractContextManager[None]]
TOKEN, REGISTRY = "ContributionToken", "MemberRegistry"
STRANGER = address_of("stranger")


def events(community, name):
    return [event.arguments for event in community.events if event.name == name]


def verdict(community, place):
    return community.read("resultOf", 1, community.order().index(place))


def stake(community, place):
    return community.read("stakeOf", community.members[place], contract=REGISTRY)


def balance(community, place):
    return community.read("balanceOf", community.members[place], contract=TOKEN)


def prove(community, function, *arguments):
    community.call(STRANGER, function, *arguments, contract="RoundCourt")


def test_absent_and_silent_verifiers(refused: Refused):
    community = CourtCommunity(5)
    community.play(Script(no_scores={1}, hide_scores={2}))
    order = community.order()
    absent, silent, honest = (order.index(place) for place in (1, 2, 3))
    with refused("NoFault", community.members[2], int(Entry.COMMITTED), int(Entry.NONE)):
        prove(community, "slashAbsentVerifier", 1, silent, False)
    with refused("NoFault", community.members[1], int(Entry.NONE), int(Entry.COMMITTED)):
        prove(community, "slashUnrevealedScores", 1, absent, False)
    prove(community, "slashAbsentVerifier", 1, absent, False)
    prove(community, "slashUnrevealedScores", 1, silent, False)
    faults = [event.arguments["fault"] for event in community.events if event.name == "Slashed"]
    assert faults == [2, 3]
    for function, fault, index in [("slashAbsentVerifier", 2, absent), ("slashUnrevealedScores", 3, silent)]:
        with refused("AlreadyPunished", 1, fault, index):
            prove(community, function, 1, index, False)
    for function in ("slashAbsentVerifier", "slashUnrevealedScores"):
        with refused("NoFault"):
            prove(community, function, 1, honest, False)
        with refused("NoSuchIndex", 5, 5):
            prove(community, function, 1, 5, False)


def test_wrong_attestations_are_final_with_the_model_only(refused: Refused):
    community = CourtCommunity(5)
    community.play_until_challenge(Script(wrong_attest={4}))
    slots = community.slots()
    with refused("FaultNotProvable", int(Phase.CHALLENGE), 0):  # the dissenter may still be right
        prove(community, "slashWrongAttestation", 1, slots[4])
    community.advance()
    with refused("NoWrongAttestation"):
        prove(community, "slashWrongAttestation", 1, slots[0])
    with refused("NoSuchSlot", 5, 5):
        prove(community, "slashWrongAttestation", 1, 5)
    prove(community, "slashWrongAttestation", 1, slots[4])
    with refused("AlreadyPunished", 1, 7, slots[4]):
        prove(community, "slashWrongAttestation", 1, slots[4])


def test_a_silent_steward_pays(refused: Refused):
    community = CourtCommunity(5)
    community.open_round()
    for place in range(5):
        community.commit(place)
    community.advance()
    for place in range(5):
        community.reveal(place)
    with refused("FaultNotProvable", int(Phase.REVEAL), 0):
        community.court(1, "slashUnrevealedSlice", 1)
    community.advance()
    community.court(1, "slashUnrevealedSlice", 1)
    assert stake(community, 0) == 95 * CWT
    with refused("AlreadyPunished", 1, Fault.SLICE_NOT_REVEALED, 0):
        community.court(1, "slashUnrevealedSlice", 1)


def test_a_steward_that_opened_its_slice_or_had_none_is_no_silent_one(refused: Refused):
    community = CourtCommunity(5)
    community.play()
    with refused("NoSilentSteward", 2):
        community.court(1, "slashUnrevealedSlice", 1)
    community.play(Script(is_sealed=False))
    with refused("NoSilentSteward", 0):
        community.court(1, "slashUnrevealedSlice", 2)


def test_attesters_that_stay_away_pay_where_no_quorum_was_found(refused: Refused):
    community = CourtCommunity(5)
    assert community.play(Script(no_attest={1, 2})) is Phase.VOIDED
    slots = community.slots()
    for place in (1, 2):
        community.court(0, "slashAbsentAttester", 1, slots[place])
        assert stake(community, place) == 99 * CWT
    with refused("NoFault", community.members[3], 1, 0):
        community.court(0, "slashAbsentAttester", 1, slots[3])
    community.play(Script(no_attest={1}))
    with refused("FaultNotProvable", int(Phase.FINALIZED), 0):  # with a quorum it may just have been slow
        community.court(0, "slashAbsentAttester", 2, community.slots()[1])


class Copied(CourtCommunity):
    """Member 4 commits to the bytes of member 1."""

    def opening(self, place):
        own = super().opening(place)
        return own if place != 4 else {**own, "content_hash": super().opening(1)["content_hash"]}

    def prove(self, original, copy, *, sender=0, **change):
        def opening(place):
            found = {**self.opening(place), **change}
            return (found["cid"], found["samples"], found["salt"])

        arguments = (self.members[original], self.members[copy], self.opening(original)["content_hash"])
        self.court(sender, "proveCopy", self.round, *arguments, opening(original), opening(copy))


def test_a_proven_copy_earns_nothing_and_pays(refused: Refused):
    community = Copied(5)
    community.play_until_challenge()
    with refused("NotTheCopy", 4, 1):
        community.prove(4, 1)
    with refused("CommitmentMismatch"):
        community.prove(1, 4, salt=bytes(32))
    with refused("CommitmentMismatch"):
        community.prove(1, 2)
    community.prove(1, 4)
    with refused("AlreadyPunished", 1, Fault.COPY, community.order().index(4)):
        community.prove(1, 4)
    assert stake(community, 4) == 80 * CWT
    assert verdict(community, 4)[4] is True
    community.advance()
    community.claim_all()
    assert balance(community, 4) == 0
    assert balance(community, 1) > 0


def test_a_copy_proven_after_the_end_costs_stake_only(refused: Refused):
    community = Copied(5)
    community._play_updates(Script())
    with refused("FaultNotProvable", int(Phase.SEED), 0):
        community.prove(1, 4)
    community._play_scores(Script())
    community._play_attestations(Script())
    community.advance()
    community.prove(1, 4)
    assert verdict(community, 4)[4] is False
    community.claim_all()
    assert balance(community, 4) > 0


def test_hooks_belong_to_the_court(refused: Refused):
    community = CourtCommunity(5)
    community.play_until_challenge()
    court = community.ledger.court.address
    for function, arguments in [
        ("extend", (community.now + 50,)),
        ("rescore", (0, 2, 5)),
        ("voidRound", ()),
        ("forfeit", (0,)),
    ]:
        with refused("NotCourt", STRANGER, court):
            community.call(STRANGER, function, 1, *arguments)
    latest = community.now + 1 + QUICK_ROUNDS.dispute_duration
    with refused("ExtensionTooLong", latest + 1, latest):
        community.call(court, "extend", 1, latest + 1)
    community.call(court, "forfeit", 1, 0)
    community.call(court, "voidRound", 1)
    community.call(court, "voidRound", 1)
    assert len(events(community, "RoundVoided")) == 1
    community.call(court, "rescore", 1, 0, int(UpdateStatus.REJECTED), 5)
    assert community.read("resultOf", 1, 0) == (UpdateStatus.REJECTED, 5, 0, False, True)
    with refused("WrongPhase", int(Phase.VOIDED), int(Phase.CHALLENGE)):
        community.call(court, "forfeit", 1, 0)
    with refused("WrongPhase", int(Phase.VOIDED), int(Phase.CHALLENGE)):
        community.call(court, "extend", 1, community.now)


def test_a_forfeited_update_vests_nothing(refused: Refused):
    community = CourtCommunity(5)
    community.play_until_challenge()
    accepted = [i for i in range(5) if community.read("resultOf", 1, i)[0] == UpdateStatus.ACCEPTED]
    community.call(community.ledger.court.address, "forfeit", 1, accepted[0])
    community.advance()
    assert community.phase is Phase.FINALIZED
    with refused("UpdateIsForfeited", 1, accepted[0]):
        community.call(STRANGER, "vest", 1, accepted[0], contract="MemberRegistry")
    community.call(STRANGER, "vest", 1, accepted[1], contract="MemberRegistry")
