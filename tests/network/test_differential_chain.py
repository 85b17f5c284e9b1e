"""Differential fuzz: the reference model and the compiled contracts on Anvil play the same random rounds, call by call.

Members drop out, lie, act late and dispute. After every call both sides must agree on its outcome: the error with its arguments, or
every event with its arguments, in order; and after every few calls on the views. What they disagree on is a bug in one of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import replace

import pytest
from twin import GUIDELINE, Evm, Twin

from deploy.anvil import Anvil
from incentives.rewards import CWT
from incentives.scoring import FIELD_MASK, MALFORMED, NOT_SCORED, UNAVAILABLE, encode_gain
from node.protocol.types import Phase
from node.sim.ledger import QUICK_COURT, QUICK_ROUNDS, Deployment, address_of
from node.sim.round_storage import Model

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SCORES = (
    NOT_SCORED,
    UNAVAILABLE,
    MALFORMED,
    7,
    *(encode_gain(gain) for gain in (5_000, 5_250, 6_000, 99, -400, -50_000)),
)
"""Fields that lie around every bound of `QUICK_SCORING`."""


class Player:
    """Plays random rounds on a `Twin`: most do their part, some never, some late, some wrongly."""

    def __init__(self, twin: Twin, seed: int) -> None:
        self.twin = twin
        self.dice = random.Random(seed)
        self.words: dict[tuple[int, bool], int] = {}

    def some(self, share: float) -> list[int]:
        """About this share of the members, in random order."""
        places = [place for place in range(len(self.twin.members)) if self.dice.random() < share]
        self.dice.shuffle(places)
        return places

    def noise(self) -> None:
        """Acts out of place: both sides must refuse them alike."""
        twin, dice = self.twin, self.dice
        place, index = dice.randrange(len(twin.members)), dice.randrange(len(twin.members) + 1)
        number = max(0, twin.round - dice.randrange(2))
        b32 = dice.randbytes(32)
        acts: list[tuple[str, str, tuple[object, ...]]] = [
            ("RoundManager", "openRound", (b32,)),
            ("RoundManager", "commitUpdate", (number, b32)),
            ("RoundManager", "revealUpdate", (number, b32, b32, 5, b32)),
            ("RoundManager", "commitScores", (number, index, b32)),
            ("RoundManager", "revealScores", (number, index, dice.randrange(1 << 141), b32)),
            ("RoundManager", "settle", (number, (index,))),
            ("RoundManager", "attest", (number, index, b32)),
            ("RoundManager", "proposeAggregate", (number, b32, b32, b32)),
            ("RoundManager", "advance", (number,)),
            ("RoundManager", "extend", (number, twin.now)),
            ("RoundCourt", "slashUnrevealedUpdate", (number, twin.members[place])),
            ("RoundCourt", "slashAbsentVerifier", (number, index, dice.random() < 0.5)),
            ("RoundCourt", "slashUnrevealedScores", (number, index, dice.random() < 0.5)),
            ("RoundCourt", "slashVerdict", (number, index)),
            ("RoundCourt", "slashWrongAttestation", (number, index)),
            ("RoundCourt", "slashAbsentAttester", (number, index)),
            ("RoundCourt", "slashUnrevealedSlice", (number,)),
            ("RoundCourt", "disputeScore", (number, index)),
            ("RoundCourt", "disputeAggregate", (number,)),
            ("RoundCourt", "drawJury", (dice.randrange(4),)),
            ("RoundCourt", "commitBallot", (dice.randrange(4), index, b32)),
            ("RoundCourt", "revealBallot", (dice.randrange(4), index, dice.randrange(FIELD_MASK), b32)),
            ("RoundCourt", "resolve", (dice.randrange(4),)),
            ("RoundCourt", "slashField", (dice.randrange(4), dice.randrange(8))),
            ("RoundCourt", "slashAttester", (dice.randrange(4), index)),
            ("RoundCourt", "slashAbsentJuror", (dice.randrange(4), index)),
            ("RoundCourt", "slashUnrevealedBallot", (dice.randrange(4), index)),
            ("RewardDistributor", "claim", (number, index)),
        ]
        contract, function, arguments = dice.choice(acts)
        twin.quietly(twin.call, twin.members[place], function, *arguments, contract=contract)

    def advance(self) -> Phase:
        """On to the next phase, with some noise before, which may itself move the round on."""
        before = self.twin.phase
        for _ in range(self.dice.randrange(3)):
            self.noise()
        if self.dice.random() < 0.1:
            self.twin.wait(self.dice.randrange(1, 150))
        if self.twin.phase is before:
            self.twin.quietly(self.twin.advance)
        return self.twin.phase

    def word(self, place: int, *, retry: bool) -> int:
        fields = {other: self.fields[other] for other in range(len(self.twin.members))}
        if self.dice.random() < self.lying:
            fields = {other: self.dice.choice(SCORES) for other in fields}
        return self.twin.word_of(place, fields, retry=retry)

    def play(self) -> None:
        """One round, up to its end."""
        twin, dice = self.twin, self.dice
        size = len(twin.members)
        self.lying = dice.choice([0.0, 0.2, 0.6])
        self.fields = [encode_gain(5_000) if dice.random() < 0.7 else dice.choice(SCORES) for _ in range(size)]
        zeal = dice.choice([0.7, 0.95, 1.0])
        self.words.clear()
        twin.open_round(is_sealed=dice.random() < 0.8)
        for place in self.some(zeal):
            twin.quietly(twin.commit, place)
        if self.advance() is Phase.VOIDED:
            return
        for place in self.some(zeal):
            twin.quietly(twin.reveal, place)
        if dice.random() < 0.8:
            twin.quietly(twin.reveal_slice)
        if self.advance() is Phase.VOIDED:
            return
        self.advance()
        self.judge(zeal, retry=False)
        if twin.phase is Phase.RETRY_COMMIT:
            self.judge(zeal, retry=True)
        if twin.phase is Phase.ATTEST:
            self.agree(zeal)
        twin.compare_views()
        self.aftermath()

    def judge(self, zeal: float, *, retry: bool) -> None:
        twin = self.twin
        ring = twin.order()
        for place in self.some(zeal):
            if place in ring:
                self.words[place, retry] = self.word(place, retry=retry)
                twin.quietly(twin.commit_scores, place, self.words[place, retry], retry=retry)
        self.advance()
        for place in self.some(zeal):
            if (place, retry) in self.words:
                twin.quietly(twin.reveal_scores, place, self.words[place, retry], retry=retry)
        self.advance()
        if self.dice.random() < 0.9:
            twin.quietly(twin.settle)
        twin.compare_views()
        self.advance()

    def agree(self, zeal: float) -> None:
        twin, dice = self.twin, self.dice
        for place in self.some(zeal):
            if place in twin.slots():
                twin.quietly(twin.attest, place, is_wrong=dice.random() < 0.1)
        if twin.quietly(twin.propose) is None and twin.phase is not Phase.CHALLENGE:
            self.advance()
            return
        disputes = self.dispute()
        for dispute in disputes:
            self.trial(dispute, zeal)
            twin.compare_views()
        if twin.phase is Phase.CHALLENGE:
            self.advance()

    def dispute(self) -> list[int]:
        twin, dice = self.twin, self.dice
        ring, opened = twin.order(), []
        for _ in range(dice.randrange(4)):
            disputer = dice.randrange(len(twin.members))
            if dice.random() < 0.3:
                opened.append(twin.quietly(twin.dispute_aggregate, disputer))
            else:
                opened.append(twin.quietly(twin.dispute_score, disputer, dice.choice(ring)))
        return [dispute for dispute in opened if dispute]

    def trial(self, dispute: int, zeal: float) -> None:
        twin, dice = self.twin, self.dice
        if dice.random() < 0.1:
            twin.wait(60)
        jury = twin.quietly(twin.draw_jury, dispute)
        if jury:
            verdict = encode_gain(5_000) if dice.random() < 0.5 else dice.choice([1, 2, *SCORES])
            absent = {member for member in jury.values() if dice.random() > zeal}
            hiding = {member for member in jury.values() if dice.random() > zeal}
            twin.quietly(
                twin.ballots,
                dispute,
                lambda member: verdict if (member * 7 + dispute) % 10 else MALFORMED,
                absent=absent,
                hiding=hiding,
            )
        twin.quietly(twin.resolve, dispute)
        for j in range(8):
            twin.quietly(twin.court, j % 3, "slashField", dispute, j)
            twin.quietly(twin.court, j % 3, "slashAttester", dispute, j)
        for place in range(len(twin.members)):
            twin.quietly(twin.court, 0, "slashAbsentJuror", dispute, place)
            twin.quietly(twin.court, 1, "slashUnrevealedBallot", dispute, place)

    def aftermath(self) -> None:
        """Every proof is tried, every reward claimed."""
        twin, number = self.twin, self.twin.round
        for member in twin.members:
            twin.quietly(twin.court, 0, "slashUnrevealedUpdate", number, member)
        twin.quietly(twin.court, 1, "slashUnrevealedSlice", number)
        twin.quietly(twin.prove_copy, 0, 3, 1)
        twin.quietly(twin.prove_copy, 0, 1, 3)
        for index in range(len(twin.order())):
            for retry in (False, True):
                twin.quietly(twin.court, 0, "slashAbsentVerifier", number, index, retry)
                twin.quietly(twin.court, 1, "slashUnrevealedScores", number, index, retry)
            for function in ("slashVerdict", "slashWrongAttestation", "slashAbsentAttester"):
                twin.quietly(twin.court, 2, function, number, index)
            twin.quietly(twin.call, twin.members[0], "claim", number, index, contract="RewardDistributor")
        twin.quietly(twin.call, twin.members[0], "claimTreasury", number, contract="RewardDistributor")
        twin.compare_views()


def fuzz(url: str, size: int, rounds: int, seed: int) -> Twin:
    """Play some rounds; the community afterwards."""
    params = replace(QUICK_ROUNDS, max_verifiers=3, max_attesters=5, challenge_duration=60, dispute_duration=600)
    deployment = Deployment(
        seats=(address_of("member/0"),),
        params=params,
        court=replace(QUICK_COURT, jury_size=5, draw_duration=240, resolve_duration=240),
        guideline_hash=GUIDELINE,
        genesis=Model(b"\x03" * 32, b"\x04" * 32),
        min_bond=10 * CWT,
    )
    with contextlib.closing(Evm(url)) as evm:
        twin = Twin(evm, size, deployment, seed)
        player = Player(twin, seed)
        for _ in range(rounds):
            player.play()
    return twin


@pytest.mark.parametrize(("size", "seed"), [(4, 1), (6, 2), (9, 3), (12, 4), (12, 5), (16, 6)])
async def test_the_model_and_the_contracts_play_the_same_rounds(anvil: Anvil, size: int, seed: int) -> None:
    twin = await asyncio.to_thread(fuzz, anvil.url, size, 4, seed)
    names = {event.name for event in twin.events}
    assert twin.calls > 200
    assert {"UpdateSettled", "FaultPunished", "PhaseChanged"} <= names
    assert len(twin.reverts) > 5  # refusals were compared, too
