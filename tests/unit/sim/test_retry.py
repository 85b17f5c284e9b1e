"""The retry panel on the reference model: when it comes, who sits on it, what it decides, who is paid and who is punished."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from incentives.rewards import CWT, emission
from incentives.scoring import NOT_SCORED, encode_gain
from node.protocol.sortition import verifiers_of
from node.protocol.types import Phase, UpdateStatus
from node.sim.round_state import Entry
from node.sim.scripted import DEFAULT_GAIN, Community, Script

Refused = Callable[..., AbstractContextManager[None]]
COURT, DISTRIBUTOR = "RoundCourt", "RewardDistributor"
SIZE = 16
VICTIM = 3


def panel(community: Community, place: int, *, retry: bool = False) -> list[int]:
    """Members that score the update of ``place``, by field."""
    order = community.order()
    found = verifiers_of(community.seed, len(order), order.index(place), 7, retry=retry)
    return [order[index] for index, _ in found]


class Silenced(Community):
    """Four of the victim's seven verifiers say nothing of its update; in the retry so many as ``again``."""

    def __init__(self, again: int = 0, size: int = SIZE) -> None:
        super().__init__(size)
        self.again = again

    def word_of(self, place, fields=None, *, retry=False):
        among = panel(self, VICTIM, retry=retry)[: self.again if retry else 4]
        return super().word_of(place, {VICTIM: NOT_SCORED} if place in among else fields, retry=retry)


def verdict(community: Community, place: int = VICTIM):
    return community.read("resultOf", 1, community.order().index(place))


def events(community: Community, name: str):
    return [event.arguments for event in community.events if event.name == name]


def test_a_minority_that_starves_an_update_is_overruled_by_the_second_panel():
    community = Silenced()
    assert community.play() is Phase.FINALIZED
    phases = [change["phase"] for change in events(community, "PhaseChanged")]
    assert phases == list(range(Phase.REVEAL, Phase.VOIDED))
    verdicts = [one for one in events(community, "UpdateSettled") if one["trainer"] == community.members[VICTIM]]
    assert [one["status"] for one in verdicts] == [UpdateStatus.UNSCORED, UpdateStatus.ACCEPTED]
    assert verdict(community) == (UpdateStatus.ACCEPTED, DEFAULT_GAIN, DEFAULT_GAIN, True, False)
    assert community.read("roundOf", 1)[20:23] == (0, 7, 7)
    assert [one["accepted"] for one in events(community, "RoundFinalized")] == [SIZE]


def test_the_retry_panel_is_disjoint_from_the_first_and_from_the_owner():
    community = Silenced()
    community.play()
    first, second = set(panel(community, VICTIM)), set(panel(community, VICTIM, retry=True))
    assert len(first) == len(second) == 7
    assert first.isdisjoint(second)
    assert VICTIM not in first | second
    order = community.order()
    on_duty = {order.index(place) for place in second}
    assert {i for i in range(SIZE) if community.read("hasRetryDuty", 1, i, contract=COURT)} == on_duty


def test_unscored_again_is_final():
    community = Silenced(again=4)
    assert community.play() is Phase.FINALIZED
    assert verdict(community)[0] == UpdateStatus.UNSCORED
    assert verdict(community)[3] is True
    assert events(community, "RoundFinalized")[0]["accepted"] == SIZE - 1
    community.claim_all()
    claimed = {one["member"]: one for one in events(community, "Claimed")}
    assert claimed[community.members[VICTIM]]["trainerReward"] == 0


def test_only_the_panel_that_had_the_last_word_is_paid():
    community = Silenced()
    community.play()
    community.claim_all()
    price = emission(1, community.deployment.emission) * 20 // 100 // (SIZE * 7)
    claimed = {one["member"]: one["verifierReward"] for one in events(community, "Claimed")}
    first, second = panel(community, VICTIM), panel(community, VICTIM, retry=True)
    for place, member in enumerate(community.members):
        fields = 7 - (place in first) + (place in second)  # even a right first field about it is worth nothing now
        assert claimed[member] == fields * price
    assert sum(claimed.values()) == SIZE * 7 * price


def test_a_ring_without_a_second_panel_has_no_retry():
    community = Silenced(size=14)
    assert community.play() is Phase.FINALIZED
    assert verdict(community)[0] == UpdateStatus.UNSCORED
    assert Phase.RETRY_COMMIT not in [one["phase"] for one in events(community, "PhaseChanged")]
    assert Silenced(size=15).play() is Phase.FINALIZED


def in_retry_commit() -> Silenced:
    community = Silenced()
    community._play_updates(Script())
    community.advance()
    for place in community.order():
        community.commit_scores(place, community.word_of(place))
    community.advance()
    for place in community.order():
        community.reveal_scores(place, community.word_of(place))
    community.advance()
    community.settle()
    assert community.advance() is Phase.RETRY_COMMIT
    return community


def test_the_retry_is_committed_to_and_revealed_like_the_first_word(refused: Refused):
    community = in_retry_commit()
    juror, other = panel(community, VICTIM, retry=True)[:2]
    index = community.order().index(juror)
    with refused("NotRingOwner"):
        community.call(community.members[other], "commitScores", 1, index, bytes(31) + b"\1")
    community.commit_scores(juror, 5, retry=True)
    with refused("WrongEntry", community.members[juror], int(Entry.COMMITTED), int(Entry.NONE)):
        community.commit_scores(juror, 5, retry=True)
    with refused("WrongPhase", int(Phase.RETRY_COMMIT), int(Phase.SCORE_REVEAL)):
        community.reveal_scores(juror, 5, retry=True)
    assert community.advance() is Phase.RETRY_REVEAL
    with refused("WrongPhase", int(Phase.RETRY_REVEAL), int(Phase.SCORE_COMMIT)):
        community.commit_scores(other, 5, retry=True)
    with refused("CommitmentMismatch"):
        community.reveal_scores(juror, 6, retry=True)
    community.reveal_scores(juror, 5, retry=True)
    assert community.read("retryScoresOf", 1, index) == (Entry.REVEALED, 5)
    assert community.read("scoresOf", 1, index)[1] == community.word_of(juror)


def test_settling_again_touches_unscored_updates_only(refused: Refused):
    community = in_retry_commit()
    for _ in range(2):
        community.advance()
    assert community.phase is Phase.RETRY_SETTLE
    victim = community.order().index(VICTIM)
    with refused("NoSuchIndex", SIZE, SIZE):
        community.call(community.members[0], "settle", 1, (SIZE,))
    before = len(community.events)
    community.settle()
    community.settle()
    assert [event.arguments["index"] for event in community.events[before:]] == [victim]
    assert community.advance() is Phase.ATTEST


def test_time_ends_a_retry_that_nobody_settles():
    community = in_retry_commit()
    for _ in range(3):
        community.advance()
    assert community.phase is Phase.ATTEST
    assert verdict(community)[0] == UpdateStatus.UNSCORED
    assert verdict(community)[3] is False


def test_who_stays_away_from_the_retry_is_punished_as_from_the_first_panel(refused: Refused):
    community = Silenced()
    community._play_updates(Script())
    first, second = panel_after_seed(community)
    community._play_scores(Script(no_retry={second[0]}, hide_retry={second[1]}))
    community._play_attestations(Script())
    order = community.order()
    absent, silent, free = order.index(second[0]), order.index(second[1]), order.index(first[0])
    accuse = lambda function, index, retry=True: community.call(  # noqa: E731
        community.members[9], function, 1, index, retry, contract=COURT
    )
    with refused("NoRetryDuty", 1, free):
        accuse("slashAbsentVerifier", free)
    with refused("NoFault"):
        accuse("slashAbsentVerifier", absent, retry=False)
    accuse("slashAbsentVerifier", absent)
    accuse("slashUnrevealedScores", silent)
    punished = [(one["fault"], one["subject"], one["amount"]) for one in events(community, "FaultPunished")]
    assert punished == [(2, (1 << 16) + absent, CWT), (3, (1 << 16) + silent, 5 * CWT)]
    with refused("AlreadyPunished", 1, 2, (1 << 16) + absent):
        accuse("slashAbsentVerifier", absent)


def panel_after_seed(community: Community):
    community.wait(community.deployment.params.seed_delay_blocks)
    community.call(community.members[0], "advance", 1)
    found = panel(community, VICTIM), panel(community, VICTIM, retry=True)
    community.advance = once_noop(community.advance)  # type: ignore[method-assign]  # the ring is drawn already
    return found


def once_noop(act):
    done = []

    def wrapped():
        if not done:
            done.append(True)
            return Phase.SCORE_COMMIT
        return act()

    return wrapped


@pytest.mark.parametrize("gain", [-50_000, 50])
def test_the_second_panel_may_find_it_bad(gain: int):
    community = Silenced()
    community.play(Script(fields={VICTIM: encode_gain(gain)}))
    expected = UpdateStatus.HARMFUL if gain < 0 else UpdateStatus.REJECTED
    assert verdict(community) == (expected, gain, 0, True, False)


def test_no_claim_of_a_round_with_retry_passes_its_emission():
    community = Silenced()
    community.play()
    community.claim_all()
    assert community.read("mintedIn", 1, contract=DISTRIBUTOR) <= community.read("emission", 1, contract=DISTRIBUTOR)
