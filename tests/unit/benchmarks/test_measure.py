from __future__ import annotations

import pytest

from benchmarks.peers import measure
from benchmarks.peers.measure import Cost, Goal, Row, Turn

TURNS = [
    Turn(Cost(1.0, 2.0), Cost(10.0, 10.0), Cost(1.0, 1.0)),
    Turn(Cost(2.0, 2.0), Cost(60.0, 30.0), Cost(1.0, 1.0)),
    Turn(Cost(1.0, 1.0), Cost(20.0, 10.0), Cost(1.0, 1.0)),
]


def test_ratios_are_medians_of_the_pairs_not_ratios_of_medians():
    assert measure.ratio_cpu(TURNS) == 20
    assert measure.ratio_wall(TURNS) == 10


def test_moving_as_many_bytes_as_a_copy_in_its_time_is_its_bandwidth():
    assert measure.percent_of_copy(1, 100, 2.0, copied=400, copy_seconds=2.0) == 100
    assert measure.percent_of_copy(9, 100, 1.0, copied=400, copy_seconds=0.1) == 50


@pytest.mark.parametrize(("seconds", "expected"), [(0.1, 5), (5.0, 5), (5.1, 2), (40.0, 2), (41.0, 1)])
def test_long_calls_take_fewer_turns(seconds, expected):
    assert measure.turns(seconds) == expected


def test_a_call_is_timed_and_its_result_given_up():
    calls = []
    cost = measure.timed(lambda: calls.append(sum(range(10_000))))
    assert len(calls) == 1
    assert cost.cpu >= 0
    assert 0 < cost.wall < 10


def row(peer: str, ratio: float, *, threads: int = 1) -> Row:
    return Row(10, 1000, "median", 2, peer, threads=threads, ratio_cpu=ratio)


GOAL = Goal("twice", 10, 1000, ("median",), ("a", "b"), "ratio_cpu", 2)


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        ([row("a", 2), row("b", 3)], ("met", 2)),
        ([row("a", 1.9), row("b", 3)], ("missed", 1.9)),
        ([row("a", 2)], ("not measured", None)),
        ([row("a", 2), row("b", 3, threads=2)], ("not measured", None)),
        ([row("a", 2), Row(10, 1000, "median", 2, "b")], ("not measured", None)),
    ],
)
def test_a_goal_is_judged_by_its_worst_row(rows, verdict):
    assert GOAL.verdict(rows) == verdict


def test_a_limit_is_judged_by_its_largest_row():
    limit = Goal("small", 10, 1000, ("median",), ("a",), "peak_extra_bytes", 100, at_most=True)
    assert limit.verdict([Row(10, 1000, "median", 2, "a", peak_extra_bytes=100)]) == ("met", 100)
    assert limit.verdict([Row(10, 1000, "median", 2, "a", peak_extra_bytes=101)]) == ("missed", 101)


def test_every_goal_names_a_field_of_a_row():
    assert {goal.field for goal in measure.GOALS} <= set(Row.__dataclass_fields__)
