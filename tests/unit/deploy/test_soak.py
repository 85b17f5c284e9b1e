"""The soak's judge sees what may not happen; its plan of kills can be repeated."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest

from deploy.soak import NODES, PHASES, Kill, Record, Soak
from node.protocol.types import Phase


def soak(found: Any, hashes: dict[str, str], every: int = 2) -> tuple[Soak, Record]:
    record = Record(rounds=4, seed=0, seconds=[1.0])
    watcher = SimpleNamespace(state=SimpleNamespace(rounds={1: found}), model_hashes=lambda _number: hashes)
    net = SimpleNamespace(members=[SimpleNamespace(name=f"node {i}") for i in range(NODES)])
    return Soak(net, watcher, record, every, lambda _line: None), record  # type: ignore[arg-type]  # what it needs of them


def round_of(**changes: Any) -> Any:
    proposal = SimpleNamespace(model_hash=b"\x01" * 32)
    good = {"phase": Phase.FINALIZED, "proposal": proposal, "slashed": frozenset(), "accepted": [1], "reveals": [1]}
    return SimpleNamespace(**{**good, **changes})


GOOD = {"a": "01" * 32, "b": "01" * 32}


def test_a_good_round_is_completed() -> None:
    watched, record = soak(round_of(), GOOD)
    watched._judge(1)
    assert (record.completed, record.violations) == (1, [])


@pytest.mark.parametrize(
    ("found", "hashes", "said"),
    [
        (round_of(phase=Phase.VOIDED, proposal=None), GOOD, "round 1 is VOIDED"),
        (round_of(), {**GOOD, "b": "02" * 32}, "round 1 has 2 models"),
        (round_of(), {"a": "02" * 32}, "round 1 has 1 models"),
        (round_of(slashed=frozenset({("0xa", 3)})), GOOD, "round 1 slashed"),
    ],
)
def test_what_may_not_happen_is_a_violation(found: Any, hashes: dict[str, str], said: str) -> None:
    watched, record = soak(found, hashes)
    watched._judge(1)
    assert [said in text for text in record.violations] == [True]


def test_kills_come_every_so_often_and_the_seed_says_whom_and_when() -> None:
    def plan(seed: int) -> list[Kill]:
        watched, _ = soak(round_of(), GOOD, every=3)
        dice = random.Random(seed)
        return [kill for number in range(1, 31) if (kill := watched._plan(number, dice)) is not None]

    assert [kill.round for kill in plan(0)] == list(range(3, 31, 3))
    assert plan(0) == plan(0) != plan(1)
    assert {kill.member for seed in range(9) for kill in plan(seed)} == set(range(NODES))
    assert {kill.phase for seed in range(9) for kill in plan(seed)} == {phase.name for phase in PHASES}
