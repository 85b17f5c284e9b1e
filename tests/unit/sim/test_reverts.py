"""Every refusal of RoundManager, by the name and arguments that contracts/src/interfaces/IRoundManager.sol declares."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

import pytest

from incentives.scoring import encode_gain, pack_word
from node.protocol.commitments import score_commitment
from node.protocol.types import Phase
from node.sim.abi import ZERO_ADDRESS
from node.sim.ledger import QUICK_COURT, QUICK_ROUNDS, Deployment, address_of
from node.sim.round_state import Entry
from node.sim.scripted import Community, Script

Refused = Callable[..., AbstractContextManager[None]]
STRANGER = address_of("stranger")
B32 = b"\x01" * 32


def in_commit(community: Community) -> None:
    community.open_round()


def in_reveal(community: Community) -> None:
    in_commit(community)
    for place in range(5):
        community.commit(place)
    community.advance()


def in_score_commit(community: Community) -> None:
    in_reveal(community)
    for place in range(5):
        community.reveal(place)
    community.reveal_slice()
    community.advance()
    community.advance()


def in_score_reveal(community: Community, absent: tuple[int, ...] = ()) -> None:
    in_score_commit(community)
    for place in range(5):
        if place not in absent:
            community.commit_scores(place, community.word_of(place))
    community.advance()


def in_settle(community: Community, absent: tuple[int, ...] = (), hidden: tuple[int, ...] = ()) -> None:
    in_score_reveal(community, absent)
    for place in range(5):
        if place not in (*absent, *hidden):
            community.reveal_scores(place, community.word_of(place))
    community.advance()


def in_attest(community: Community) -> None:
    in_settle(community)
    community.settle()
    community.advance()


def in_challenge(community: Community) -> None:
    in_attest(community)
    for place in range(5):
        community.attest(place, is_wrong=place == 4)
    community.propose()


ACTS: dict[Phase, tuple[Callable[[Community], None], str, tuple[object, ...]]] = {
    Phase.COMMIT: (in_commit, "commitUpdate", (1, B32)),
    Phase.REVEAL: (in_reveal, "revealUpdate", (1, B32, B32, 5, B32)),
    Phase.SCORE_COMMIT: (in_score_commit, "commitScores", (1, 0, B32)),
    Phase.SCORE_REVEAL: (in_score_reveal, "revealScores", (1, 0, 0, B32)),
    Phase.SETTLE: (in_settle, "settle", (1, (0,))),
    Phase.ATTEST: (in_attest, "attest", (1, 0, B32)),
}


@pytest.mark.parametrize("phase", ACTS)
@pytest.mark.parametrize("act", ACTS)
def test_acts_belong_to_their_phase(community: Community, refused: Refused, phase: Phase, act: Phase):
    reach, _, _ = ACTS[phase]
    _, function, arguments = ACTS[act]
    reach(community)
    if act is phase:
        community.wait(community.read("phaseOf", 1)[1] - community.now)
        with refused("DeadlinePassed", community.now, community.now + 1):
            community.call(community.members[0], function, *arguments)
    else:
        with refused("WrongPhase", int(phase), int(act)):
            community.call(community.members[0], function, *arguments)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("number", [0, 7])
def test_acts_need_a_running_round(community: Community, refused: Refused, act: Phase, number: int):
    _, function, arguments = ACTS[act]
    actual = Phase.FINALIZED if number == 0 else Phase.NONE  # round 0 is the founding model
    with refused("WrongPhase", int(actual), int(act)):
        community.call(community.members[0], function, number, *arguments[1:])


def test_an_act_at_the_deadline_is_in_time(community: Community):
    in_commit(community)
    community.wait(community.read("phaseOf", 1)[1] - community.now - 1)
    community.commit(0)
    assert community.now == community.read("phaseOf", 1)[1]


def test_opening(community: Community, refused: Refused):
    steward, other = community.members[0], community.members[1]
    window_end = community.read("phaseOf", 0)[1] + QUICK_ROUNDS.open_window
    with refused("NotSteward", other, steward):
        community.call(other, "openRound", B32)
    with refused("WrongSeal", bytes(32), window_end, community.now + 1):
        community.call(steward, "openRound", bytes(32))
    community.wait(window_end - community.now - 1)
    community.call(steward, "openRound", B32)
    with refused("RoundRunning", 1, int(Phase.COMMIT)):
        community.call(steward, "openRound", B32)


class Pausing:
    """A guardian that pauses one entry."""

    address = address_of("guardian")

    def __init__(self, paused: int | None) -> None:
        self.paused = paused

    def is_paused(self, entry: int, /) -> bool:
        return entry == self.paused


def test_the_guardian_can_pause_the_opening_of_rounds_and_nothing_else_of_them(refused: Refused):
    guardian = Pausing(None)
    community = Community(5, Deployment(seats=(address_of("member/0"),), guardian=guardian))
    assert community.read("guardian") == guardian.address
    guardian.paused = 1
    with refused("EntryPaused", 1):
        community.open_round()
    guardian.paused = 0
    community.open_round()
    guardian.paused = 1
    for place in range(5):
        community.commit(place)
    assert community.advance() is Phase.REVEAL


def test_late_opening_is_for_anybody_but_unsealed(community: Community, refused: Refused):
    community.wait(QUICK_ROUNDS.open_window + 1)
    for sender in (community.members[0], STRANGER):
        with refused("WrongSeal"):
            community.call(sender, "openRound", B32)
    assert community.call(STRANGER, "openRound", bytes(32)) == 1


def test_stewards_rotate():
    seats = tuple(address_of(f"member/{place}") for place in range(3))
    community = Community(5, Deployment(seats=seats))
    for number in (1, 2, 3, 4):
        community.play()
        opened = [event for event in community.events if event.name == "RoundOpened"][-1]
        assert opened.arguments["opener"] == seats[number % 3]


def test_committing(community: Community, refused: Refused):
    in_commit(community)
    with refused("NotEligible"):
        community.call(STRANGER, "commitUpdate", 1, B32)
    community.commit(0)
    with refused("WrongEntry", community.members[0], int(Entry.COMMITTED), int(Entry.NONE)):
        community.commit(0)


def test_a_newcomer_waits_for_the_next_round(community: Community, refused: Refused):
    in_commit(community)
    opened_at = community.now
    community.admit(STRANGER, b"new")
    with refused("NotEligible", STRANGER, opened_at):
        community.call(STRANGER, "commitUpdate", 1, B32)


def test_revealing(community: Community, refused: Refused):
    community.open_round()
    for place in range(4):
        community.commit(place)
    community.advance()
    with refused("WrongEntry", community.members[4], int(Entry.NONE), int(Entry.COMMITTED)):
        community.reveal(4)
    opening = community.opening(0)
    right = [opening[name] for name in ("content_hash", "cid", "samples", "salt")]
    for place, wrong in enumerate((B32, B32, 7, B32)):
        with refused("CommitmentMismatch"):
            community.call(community.members[0], "revealUpdate", 1, *right[:place], wrong, *right[place + 1 :])
    with refused("CommitmentMismatch"):  # a copied opening opens nothing for somebody else
        community.call(community.members[1], "revealUpdate", 1, *right)
    community.reveal(0)
    with refused("WrongEntry", community.members[0], int(Entry.REVEALED), int(Entry.COMMITTED)):
        community.reveal(0)


def test_a_commitment_copied_by_another_member_cannot_be_opened(community: Community, refused: Refused):
    in_commit(community)
    for place in range(4):
        community.commit(place)
    stolen = community.events[-1].arguments["commitment"]
    community.call(community.members[4], "commitUpdate", 1, stolen)
    community.advance()
    opening = community.opening(3)
    with refused("CommitmentMismatch"):
        community.call(
            community.members[4],
            "revealUpdate",
            1,
            *(opening[name] for name in ("content_hash", "cid", "samples", "salt")),
        )


def test_revealing_the_slice(community: Community, refused: Refused):
    in_reveal(community)
    opening = community.slice_opening(1)
    values = [opening[name] for name in ("content_hash", "cid", "salt")]
    with refused("NotSteward", community.members[1], community.members[0]):
        community.call(community.members[1], "revealBenchmark", 1, *values)
    with refused("CommitmentMismatch"):
        community.call(community.members[0], "revealBenchmark", 1, B32, *values[1:])
    community.reveal_slice()
    with refused("NoSealToReveal", 2, 1):
        community.reveal_slice()


def test_an_unsealed_round_has_no_slice_to_reveal(community: Community, refused: Refused):
    community.open_round(is_sealed=False)
    for place in range(5):
        community.commit(place)
    community.advance()
    with refused("NoSealToReveal", 0, 1):
        community.reveal_slice()


def test_committing_scores(community: Community, refused: Refused):
    in_score_commit(community)
    owner = community.members[community.order()[0]]
    thief = community.members[community.order()[1]]
    with refused("NotRingOwner", thief, owner):
        community.call(thief, "commitScores", 1, 0, B32)
    with refused("NotRingOwner", owner, ZERO_ADDRESS):
        community.call(owner, "commitScores", 1, 5, B32)
    community.call(owner, "commitScores", 1, 0, B32)
    with refused("WrongEntry", owner, int(Entry.COMMITTED), int(Entry.NONE)):
        community.call(owner, "commitScores", 1, 0, B32)


def test_revealing_scores(community: Community, refused: Refused):
    in_score_commit(community)
    wide = 1 << 140
    community.commit_scores(0, wide)
    for place in (1, 2, 3):
        community.commit_scores(place, 0)
    community.advance()
    with refused("WordTooWide", wide, wide - 1):
        community.reveal_scores(0, wide)
    with refused("CommitmentMismatch"):
        community.reveal_scores(1, 1)
    with refused("WrongEntry", community.members[4], int(Entry.NONE), int(Entry.COMMITTED)):
        community.reveal_scores(4, 0)
    community.reveal_scores(1, 0)
    with refused("WrongEntry", community.members[1], int(Entry.REVEALED), int(Entry.COMMITTED)):
        community.reveal_scores(1, 0)


def test_a_copied_score_commitment_opens_for_nobody_else(community: Community, refused: Refused):
    in_score_commit(community)
    word, salt = pack_word([encode_gain(1)]), community.salt(0, "scores")
    stolen = score_commitment(community.scope, community.members[0], word=word, salt=salt)
    index = community.order().index(1)
    community.call(community.members[1], "commitScores", 1, index, stolen)
    community.advance()
    with refused("CommitmentMismatch"):
        community.call(community.members[1], "revealScores", 1, index, word, salt)


def test_settling(community: Community, refused: Refused):
    in_settle(community)
    with refused("TooManyIndices", 17, 16):
        community.call(STRANGER, "settle", 1, (0,) * 17)
    with refused("NoSuchIndex", 5, 5):
        community.call(STRANGER, "settle", 1, (0, 5))
    assert community.read("resultOf", 1, 0)[0] == 0  # the refused call settled nothing
    community.call(STRANGER, "settle", 1, (0, 0, 1))
    count = len(community.events)
    community.call(STRANGER, "settle", 1, (0, 1))  # settled ones are passed over
    assert len(community.events) == count


def test_attesting(community: Community, refused: Refused):
    in_attest(community)
    slots = community.slots()
    owner = community.members[next(place for place, slot in slots.items() if slot == 0)]
    thief = community.members[next(place for place, slot in slots.items() if slot == 1)]
    with refused("NotRingOwner", thief, owner):
        community.call(thief, "attest", 1, 0, B32)
    with refused("NoSuchSlot", 5, 5):
        community.call(owner, "attest", 1, 5, B32)
    with refused("ZeroAttestation"):
        community.call(owner, "attest", 1, 0, bytes(32))
    community.call(owner, "attest", 1, 0, B32)
    with refused("AlreadyAttested", 0, B32):
        community.call(owner, "attest", 1, 0, b"\x02" * 32)


def test_a_quorum_counts_all_slots(community: Community, refused: Refused):
    in_attest(community)
    for place in range(3):
        community.attest(place)
    with refused("NoQuorum", 3, 4):  # 3 of 3 that turned up, but of 5 slots
        community.propose()
    community.attest(3, is_wrong=True)
    with refused("NoQuorum", 3, 4):
        community.propose()
    community.attest(4)
    community.propose()
    assert community.phase is Phase.CHALLENGE
    with refused("WrongPhase", int(Phase.CHALLENGE), int(Phase.ATTEST)):
        community.propose()


def test_advancing(community: Community, refused: Refused):
    with refused("NoSuchRound", 1, 0):
        community.call(STRANGER, "advance", 1)
    with refused("RoundEnded", 0, int(Phase.FINALIZED)):
        community.call(STRANGER, "advance", 0)
    in_commit(community)
    deadline = community.read("phaseOf", 1)[1]
    with refused("TooEarly", deadline, community.now + 1):
        community.call(STRANGER, "advance", 1)
    community.wait(deadline - community.now)
    community.call(STRANGER, "advance", 1)  # 0 commits
    assert community.phase is Phase.VOIDED
    with refused("RoundEnded", 1, int(Phase.VOIDED)):
        community.call(STRANGER, "advance", 1)


def test_the_seed_is_drawn_only_after_its_block(community: Community, refused: Refused):
    in_reveal(community)
    for place in range(5):
        community.reveal(place)
    community.reveal_slice()
    community.advance()
    seed_block = community.events[-1].arguments["seedBlock"]
    for block in (seed_block - 1, seed_block):
        with refused("SeedNotReady", seed_block, block):
            community.call(STRANGER, "advance", 1)
    community.call(STRANGER, "advance", 1)
    assert community.phase is Phase.SCORE_COMMIT


def prove(community: Community, function: str, *arguments: object) -> None:
    community.call(STRANGER, function, *arguments, contract="RoundCourt")


def test_faults_are_not_provable_before_their_phase_is_over(community: Community, refused: Refused):
    community.open_round()
    for place in range(4):
        community.commit(place)
    for function, arguments in [
        ("slashUnrevealedUpdate", (community.members[0],)),
        ("slashAbsentVerifier", (0, False)),
        ("slashAbsentVerifier", (0, True)),
        ("slashUnrevealedSlice", ()),
        ("slashVerdict", (0,)),
        ("slashAbsentAttester", (0,)),
        ("slashWrongAttestation", (0,)),
    ]:
        with refused("FaultNotProvable", int(Phase.COMMIT), 0):
            prove(community, function, 1, *arguments)
    with refused("FaultNotProvable", 0, 0):
        prove(community, "slashUnrevealedScores", 9, 0, False)


def test_who_could_not_reveal_is_not_guilty(community: Community, refused: Refused):
    community.open_round()
    community.commit(0)
    community.advance()
    assert community.phase is Phase.VOIDED
    with refused("FaultNotProvable", int(Phase.VOIDED), 1):
        prove(community, "slashUnrevealedUpdate", 1, community.members[0])
    with refused("FaultNotProvable", int(Phase.VOIDED), 1):
        prove(community, "slashUnrevealedSlice", 1)


def test_who_could_not_score_is_not_guilty(community: Community, refused: Refused):
    assert community.play(Script(no_reveal={0, 1, 2})) is Phase.VOIDED
    with refused("FaultNotProvable", int(Phase.VOIDED), 2):
        prove(community, "slashAbsentVerifier", 1, 0, False)
    prove(community, "slashUnrevealedUpdate", 1, community.members[0])  # but this one is


def test_unrevealed_updates(community: Community, refused: Refused):
    community.play(Script(no_reveal={2}, no_commit={3}))
    prove(community, "slashUnrevealedUpdate", 1, community.members[2])
    slashed, _burn, punished = (event.arguments for event in community.events[-3:])
    assert (slashed["fault"], slashed["amount"], slashed["bounty"]) == (1, 2 * 10**18, 0)  # all of it was granted
    assert punished == {
        "round": 1, "account": community.members[2], "fault": 1, "subject": 2, "prover": STRANGER, "amount": 2 * 10**18,
    }  # fmt: skip
    assert community.read("isPunished", 1, 1, 2, contract="RoundCourt")
    with refused("AlreadyPunished", 1, 1, 2):
        prove(community, "slashUnrevealedUpdate", 1, community.members[2])
    for place, entry in [(3, Entry.NONE), (0, Entry.REVEALED)]:
        with refused("NoFault", community.members[place], int(entry), int(Entry.COMMITTED)):
            prove(community, "slashUnrevealedUpdate", 1, community.members[place])


@pytest.mark.parametrize(
    "change",
    [
        {"min_participants": 1},
        {"max_verifiers": 8},
        {"max_verifiers": 0},
        {"max_attesters": 32},
        {"dispute_duration": 0},
        {"dispute_duration": 199},  # a dispute takes 200
        {"commit_duration": 0},
        {"seed_delay_blocks": 129},
    ],
)
def test_constants_are_bounded(refused: Refused, change: dict[str, int]):
    with refused("ParameterOutOfBounds"):
        Community(3, Deployment(seats=(STRANGER,), params=replace(QUICK_ROUNDS, **change)))


def test_nobody_leaves_before_a_round_ends(refused: Refused):
    longest = 120 + 60 + 4 * 60 + 2 * 60 + 60 + 20 + 200
    with refused("ExitDelayTooShort", longest + 20, longest + 20):  # and 20 more to prove what happened at its end
        Community(3, Deployment(seats=(STRANGER,), exit_delay=longest + 20))
    assert Community(3, Deployment(seats=(STRANGER,), exit_delay=longest + 21)).read("longestRound") == longest


@pytest.mark.parametrize(
    "change",
    [
        {"bond": 0},
        {"jury_size": 2},
        {"jury_size": 32},
        {"max_disputes": 0},
        {"max_disputes": 17},
        {"seed_delay_blocks": 129},
        {"draw_duration": 0},
        {"resolve_duration": 41},
    ],
)
def test_the_courts_constants_are_bounded(refused: Refused, change: dict[str, int]):
    with refused("ParameterOutOfBounds"):
        Community(3, Deployment(seats=(STRANGER,), court=replace(QUICK_COURT, **change)))


def test_faults_are_not_provable_while_their_phase_runs(community: Community, refused: Refused):
    in_reveal(community)
    with refused("FaultNotProvable", int(Phase.REVEAL), 0):
        prove(community, "slashUnrevealedUpdate", 1, community.members[0])
    for place in range(5):
        community.reveal(place)
    community.reveal_slice()
    community.advance()
    community.advance()
    for place in range(4):
        community.commit_scores(place, 0)
    community.advance()
    assert community.phase is Phase.SCORE_REVEAL
    for function, place in [("slashUnrevealedScores", 0), ("slashAbsentVerifier", 4)]:
        with refused("FaultNotProvable", int(Phase.SCORE_REVEAL), 0):
            prove(community, function, 1, community.order().index(place), False)
