"""Rules and pre-aggregations on numbers small enough to follow by hand, and their preconditions."""

import numpy as np
import pytest

from aggregation.errors import PreconditionFailed
from aggregation.gram import Gram
from aggregation.pre import PRE_AGGREGATIONS, arc, nnm, norm_clip
from aggregation.registry import parse
from aggregation.rules import RULES, multi_krum
from aggregation.stages import Clip, Mix, PreAggregation, Rule, Selection, require_tolerated

ONE = 1 << 16


def gram_of(points: list[list[int]]) -> Gram:
    return [[sum(x * y for x, y in zip(u, v, strict=True)) for v in points] for u in points]


def run(text: str, rows: list[list[float]]) -> list[float]:
    updates = {bytes([i]): {"w": np.array(row, np.float32)} for i, row in enumerate(rows)}
    return parse(text).aggregate(updates, (("w", (len(rows[0]),)),)).tensors["w"].tolist()


COLUMNS = [[1, 4], [2, 8], [3, -100], [4, 6], [100, 2]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mean", [14.8, -8.8]),
        ("median", [3.0, 4.0]),
        ("trimmed_mean:f=1", [3.0, 4.0]),
        ("trimmed_mean:f=2", [3.0, 4.0]),
        ("trimmed_mean:f=0", [14.8, -8.8]),
    ],
)
def test_coordinate_rules_by_hand(text: str, expected: list[float]):
    # the median client stays below 2^4, so 100 and -100 are clamped to ±2^6: (1 + 2 + 3 + 4 + 64) / 5
    assert run(text, COLUMNS) == pytest.approx(expected, abs=1e-6)


def test_median_of_an_even_number_is_the_mean_of_the_middle_two():
    assert run("median", [[1], [2], [4], [100]]) == [3.0]


def test_one_and_two_clients_work_everywhere():
    for pre in ("", *(f"{stage.name}+" for stage in PRE_AGGREGATIONS), "arc+nnm+"):
        for rule in RULES:
            assert run(pre + rule.name, [[1.5, -2.0]]) == [1.5, -2.0]
            if not pre.startswith("norm_clip"):
                assert run(pre + rule.name, [[1.5, -2.0], [2.5, 2.0]]) == [2.0, 0.0]


def test_krum_scores_leave_out_oneself_and_take_the_n_minus_f_minus_2_nearest():
    gram = gram_of([[0], [1], [3], [7], [20]])
    assert multi_krum.scores(gram, 1) == [1 + 9, 1 + 4, 4 + 9, 16 + 36, 169 + 289]
    assert multi_krum.scores(gram, 0) == [1 + 9 + 49, 1 + 4 + 36, 4 + 9 + 16, 16 + 36 + 49, 169 + 289 + 361]


def test_multi_krum_is_blanchards_variant():
    # on these points, summing over n-f-2, n-f-1 or all n-1 others selects three different sets
    points = [[-12], [16], [-16], [-4], [-13], [11], [8]]
    assert multi_krum.plan(7, 2, gram_of(points)) == Selection((0, 2, 4, 5, 6), 0, 5)
    assert run("multi_krum:f=2", [[float(x[0])] for x in points]) == pytest.approx([(-12 - 16 - 13 + 11 + 8) / 5])


def test_multi_krum_breaks_ties_by_client():
    gram = gram_of([[0], [0], [0], [0], [0]])
    assert multi_krum.plan(5, 1, gram).rows == (0, 1, 2, 3)


def test_multi_krum_drops_the_far_one():
    assert run("multi_krum:f=1", [[1], [2], [3], [90], [2]]) == [2.0]


def test_arc_clips_the_largest_to_the_next():
    gram = gram_of([[1], [2], [3], [40], [50]])
    # n=5, f=1: ⌊2·4/5⌋ = 1 is clipped to the second largest
    assert arc.plan(gram, 1) == Clip((ONE, ONE, ONE, ONE, ONE * 40 // 50))
    # f=2: ⌊4·3/5⌋ = 2 are clipped to the third largest
    assert arc.plan(gram, 2) == Clip((ONE, ONE, ONE, ONE * 3 // 40, ONE * 3 // 50))
    assert arc.plan(gram, 0) == Clip((ONE,) * 5)


def test_norm_clip_uses_the_lower_median():
    assert norm_clip.plan(gram_of([[1], [2], [4], [8]]), 1) == Clip((ONE, ONE, ONE // 2, ONE // 4))


def test_clip_factors_round_down():
    factor = norm_clip.clip_to(gram_of([[3]]), 2).factors[0]
    assert factor**2 * 9 <= 2 * ONE**2 < (factor + 1) ** 2 * 9


def test_clipping_to_zero_norm_gives_zero():
    assert norm_clip.plan(gram_of([[0], [0], [5]]), 1).factors == (ONE, ONE, 0)


def test_clip_changes_the_gram_matrix_like_the_rows():
    step = Clip((ONE, ONE // 2))
    assert step.on_gram(gram_of([[2], [4]])) == [[4 * ONE**2, 4 * ONE**2], [4 * ONE**2, 4 * ONE**2]]


def test_nnm_excludes_the_farthest():
    plan = nnm.plan(gram_of([[0], [1], [3], [7], [20]]), 2)
    assert [set(away) for away in plan.excluded] == [{3, 4}, {3, 4}, {3, 4}, {0, 4}, {0, 1}]
    assert plan.divisor == 3


def test_nnm_breaks_ties_by_client_but_keeps_oneself():
    # rows 1 and 2 are equally far from 0; copies tie at distance 0
    assert nnm.plan(gram_of([[0], [1], [-1]]), 1).excluded[0] == (2,)
    assert nnm.plan(gram_of([[5], [5], [5], [5]]), 1).excluded == ((3,), (3,), (3,), (2,))


def test_mix_changes_the_gram_matrix_like_the_rows():
    points = [[1, 2], [3, -1], [5, 0], [-2, 2]]
    step = Mix(((3,), (0,), (1,), (0,)))
    mixed = [
        [sum(column) - sum(points[j][k] for j in away) for k, column in enumerate(zip(*points, strict=True))]
        for away in step.excluded
    ]
    assert step.on_gram(gram_of(points)) == gram_of(mixed)


def test_krum_behind_nnm_sees_the_mixed_rows():
    # 10 is an outlier among the raw rows; after mixing, the rows of 0 and 1 are
    raw, rows = parse("multi_krum:f=1"), [[0], [1], [3], [6], [10]]
    mixed = parse("nnm+multi_krum:f=1")
    updates = {bytes([i]): {"w": np.array(row, np.float32)} for i, row in enumerate(rows)}
    schema = (("w", (1,)),)
    selected = [[c.selected for c in p.aggregate(updates, schema).report.clients] for p in (raw, mixed)]
    means = [(0 + 1 + 3 + 6) / 4, (0 + 1 + 3 + 6) / 4, (0 + 1 + 3 + 6) / 4, (1 + 3 + 6 + 10) / 4, (1 + 3 + 6 + 10) / 4]
    assert selected[0] == [True, True, True, True, False]
    assert mixed.aggregate(updates, schema).tensors["w"][0] == pytest.approx(
        sum(m for m, chosen in zip(means, selected[1], strict=True) if chosen) / 4
    )


@pytest.mark.parametrize("stage", [*RULES, *PRE_AGGREGATIONS], ids=lambda stage: stage.name)
def test_preconditions_report_both_numbers(stage: Rule | PreAggregation):
    for n in range(1, 12):
        most = stage.tolerates(n)
        assert most >= 0
        require_tolerated(stage, n, most)
        with pytest.raises(PreconditionFailed) as caught:
            require_tolerated(stage, n, most + 1)
        assert f"{stage.name} needs {stage.condition}, got n={n}, f={most + 1}." == caught.value.what
        assert caught.value.numbers == {"n": n, "f": most + 1}


@pytest.mark.parametrize(
    ("name", "n", "most"),
    [
        ("median", 5, 2),
        ("trimmed_mean", 4, 1),
        ("multi_krum", 7, 2),
        ("multi_krum", 8, 2),
        ("multi_krum", 9, 3),
        ("nnm", 4, 1),
    ],
)
def test_largest_tolerated_f(name: str, n: int, most: int):
    stage = next(stage for stage in (*RULES, *PRE_AGGREGATIONS) if stage.name == name)
    assert stage.tolerates(n) == most
