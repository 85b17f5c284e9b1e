"""Rules and pre-aggregations on numbers small enough to follow by hand, and their preconditions."""

import hashlib
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from aggregation.errors import AggregationError, PreconditionFailed
from aggregation.gram import Gram
from aggregation.pre import PRE_AGGREGATIONS, arc, bucketing, clip, nnm, norm_bound, norm_clip
from aggregation.registry import parse
from aggregation.rules import RULES, bulyan, dnc, geometric_median, krum, meamed, multi_krum
from aggregation.stages import (
    Clip,
    Combine,
    Mix,
    Nearest,
    PreAggregation,
    Ranks,
    Rule,
    View,
    require_tolerated,
)

ONE = 1 << 16


def gram_of(points: list[list[int]]) -> Gram:
    return [[sum(x * y for x, y in zip(u, v, strict=True)) for v in points] for u in points]


def seen(points: list[list[int]], f: int, **more: object) -> View:
    """What a stage sees of integer points; exact, in units of 1."""
    return View(len(points), f, gram_of(points), ids=tuple(bytes([i]) for i in range(len(points))), **more)


def run(text: str, rows: list[list[float]], **more: object) -> list[float]:
    updates = {bytes([i]): {"w": np.array(row, np.float32)} for i, row in enumerate(rows)}
    if "weighted_mean" in text:
        more.setdefault("weights", dict.fromkeys(updates, 1))
    return parse(text).aggregate(updates, (("w", (len(rows[0]),)),), **more).tensors["w"].tolist()


COLUMNS = [[1, 4], [2, 8], [3, -100], [4, 6], [100, 2]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mean", [22, -16]),
        ("weighted_mean", [22, -16]),
        ("median", [3.0, 4.0]),
        ("trimmed_mean:f=1", [3.0, 4.0]),
        ("trimmed_mean:f=2", [3.0, 4.0]),
        ("trimmed_mean:f=0", [22, -16]),
        ("meamed:f=0", [22, -16]),
        ("meamed:f=1", [2.5, 5]),
        ("meamed:f=2", [3, 4]),
    ],
)
def test_coordinate_rules_by_hand(text: str, expected: list[float]):
    assert run(text, COLUMNS) == pytest.approx(expected, abs=1e-6)


def test_median_of_an_even_number_is_the_mean_of_the_middle_two():
    assert run("median", [[1], [2], [4], [100]]) == [3.0]


SETTINGS = {"clip": "(c=1000)", "norm_bound": "(c=1000)"}


@pytest.mark.parametrize("rule", [rule.name for rule in RULES])
def test_one_and_two_clients_work_everywhere(rule: str):
    # krum picks one, a bucket holds both, centred clipping's coefficients are multiples of 2^-20
    for pre in ("", *(f"{stage.name}{SETTINGS.get(stage.name, '')}+" for stage in PRE_AGGREGATIONS), "arc+nnm+"):
        assert run(pre + rule, [[1.5, -2.0]]) == [1.5, -2.0]
        if pre != "norm_clip+" and not (pre == "bucketing+" and rule == "weighted_mean"):
            expected = [1.5, -2.0] if rule == "krum" and pre not in ("bucketing+", "nnm+", "arc+nnm+") else [2.0, 0.0]
            rough = rule == "centred_clipping" and pre != "bucketing+"
            assert run(pre + rule, [[1.5, -2.0], [2.5, 2.0]]) == pytest.approx(expected, abs=0.15 if rough else 1e-3)


def test_weights_by_hand_and_none_for_nothing():
    weights = {bytes([0]): 3, bytes([1]): 0, bytes([2]): 1}
    assert run("weighted_mean", [[1], [100], [5]], weights=weights) == [2]
    assert run("weighted_mean", [[1], [100], [5]], weights={**weights, bytes([1]): (1 << 20) - 4}) == [
        pytest.approx(100, abs=1e-3)
    ]
    assert run("mean", [[1], [3]], weights={bytes([0]): 3, bytes([1]): 1}) == [2]  # the others do not heed them


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        (None, "got 0 with sum 0"),
        ([1, 1, 0, -1], "sum 1"),
        ([0, 0, 0, 0], "sum 0"),
        ([1 << 20, 1, 0, 0], "sum 1048577"),
        ([1, 1, 1], "not those of the updates"),
        ([1, 1, 1, 1, 1], "not those of the updates"),
    ],
)
def test_bad_weights_are_refused(weights: list[int] | None, says: str):
    by_client = None if weights is None else {bytes([i]): weight for i, weight in enumerate(weights)}
    updates = {bytes([i]): {"w": np.ones(1, np.float32)} for i in range(4)}
    with pytest.raises(AggregationError, match=says):
        parse("weighted_mean").aggregate(updates, (("w", (1,)),), weights=by_client)


def test_weights_do_not_go_with_steps_that_merge_or_drop_rows():
    with pytest.raises(AggregationError, match="do not go with weights"):
        run("bucketing+weighted_mean", [[1], [2]])
    with pytest.raises(AggregationError, match="do not go with weights"):
        run("norm_bound(c=5)+weighted_mean:f=1", [[1], [2], [9]])
    weights = {bytes([i]): i for i in range(9)}
    rows = [[float(i)] for i in range(9)]
    for harmless in ("bucketing(s=1)", "norm_bound(c=99)", "clip(c=99)"):
        assert run(f"{harmless}+weighted_mean:f=0", rows, weights=weights) == run(
            "weighted_mean", rows, weights=weights
        )


def test_krum_takes_the_one_of_lowest_score_and_ties_by_client():
    assert krum.plan(seen([[0], [1], [3], [7], [20]], 1)) == Ranks((1,), 0, 1)
    assert krum.plan(seen([[5], [5], [5], [5]], 0)).rows == (0,)
    assert run("krum:f=1", [[0], [1], [3], [7], [20]]) == [1]


def test_bulyan_chooses_by_krum_again_and_again():
    # f=1 of 7: five are chosen, of each the 3 values nearest to their median averaged
    points = [[0], [1], [2], [4], [7], [11], [1000]]
    plan = bulyan.plan(seen(points, 1))
    assert plan == Nearest((0, 1, 2, 3, 4), 3)
    assert run("bulyan:f=1", [[float(x[0])] for x in points]) == [
        1
    ]  # 0, 1, 2 around 2; 1, 2, 4 is as far: the lower window
    assert bulyan.plan(seen([[5]] * 7, 1)).rows == (0, 1, 2, 3, 4)


def test_bulyan_is_not_the_variant_that_keeps_old_scores():
    rng = np.random.default_rng(0)
    differ = 0
    for _ in range(50):
        points = [[int(x)] for x in rng.integers(-40, 40, 11)]
        scores = multi_krum.scores(gram_of(points), 2)
        differ += set(bulyan.plan(seen(points, 2)).rows) != set(sorted(range(11), key=lambda i: (scores[i], i))[:7])
    assert differ > 10


def test_meamed_keeps_all_but_f_values():
    assert meamed.plan(View(5, 2)) == Nearest((0, 1, 2, 3, 4), 3)


def test_geometric_median_of_a_triangle_and_of_a_majority():
    # the Fermat point of (0,0), (4,0), (0,4)… by symmetry on x = y; where two thirds agree, they win
    x, y = run("geometric_median", [[0, 0], [4, 0], [0, 4]])
    assert x == pytest.approx(y, abs=1e-4) == pytest.approx(4 * (3 - 3**0.5) / 6, abs=1e-3)
    assert run("geometric_median", [[1], [1], [30]]) == pytest.approx([1], abs=0.05)


def test_distances_to_a_combination():
    points, weights = [[1, 2], [3, -1], [5, 0]], [2, 1, 1]
    centre = [sum(w * p[k] for w, p in zip(weights, points, strict=True)) for k in range(2)]
    expected = [sum((4 * p[k] - centre[k]) ** 2 for k in range(2)) for p in points]
    assert geometric_median.squared_distances_to(gram_of(points), weights, 4) == expected


def test_dnc_drops_along_the_direction_of_largest_spread():
    # two rows lie far along the second axis on either side, 5 along the first is not the main direction
    points = [[0, 0], [5, 1], [1, 40], [2, -41], [3, 0], [-4, 1]]
    assert dnc.plan(seen(points, 2)) == Ranks((0, 1, 4, 5), 0, 4)
    assert dnc.plan(seen([[7]] * 5, 2)).rows == (0, 1, 2)
    ratio = dnc.principal(gram_of(points))
    centred = np.array(points) - np.mean(points, axis=0)
    top = np.linalg.svd(centred)[0][:, 0]
    assert np.allclose(
        np.array(ratio, float) / float(max(ratio, key=abs)), top / top[np.argmax(np.abs(top))], atol=1e-9
    )


def test_bucketing_draws_by_seed_and_averages():
    view = View(5, 1, ids=tuple(bytes([i]) for i in range(5)), seed=b"x", parameters={"s": Fraction(2)})
    step = bucketing.plan(view)
    assert step.divisor == 2
    assert sorted(sum(row) for row in step.matrix) == [2, 2, 2]
    assert [sum(column) for column in zip(*step.matrix, strict=True)].count(2) == 1  # the one alone in its bucket
    assert step == bucketing.plan(view)
    drawn = {bucketing.plan(replace(view, seed=bytes([i]))).matrix for i in range(40)}
    assert len(drawn) > 10  # of the 15 possible partitions
    order = sorted(range(5), key=lambda i: hashlib.sha256(b"x" + bytes([i])).digest())
    buckets = {frozenset(order[:2]), frozenset(order[2:4]), frozenset(order[4:])}
    assert {frozenset(i for i, m in enumerate(row) if m) for row in step.matrix} == buckets


def test_bucketing_of_one_changes_nothing_and_of_many_is_the_mean():
    rows = [[float(x)] for x in (1, 5, 9, 2, 7)]
    for rule in ("median", "krum", "multi_krum:f=1", "trimmed_mean"):
        pre, _, f = rule.partition(":")
        assert run(f"bucketing(s=1)+{pre}" + (f":{f}" if f else ""), rows) == run(rule, rows)
    assert run("bucketing(s=5)+median", rows) == run("bucketing(s=32)+median", rows) == run("mean", rows)
    # the last, smaller bucket counts as much as a full one: the mean over means (a, b, c), (d)
    uneven = run("bucketing(s=3)+mean:f=0", [[0.0], [0.0], [0.0], [6.0]], seed=b"1")[0]
    assert uneven in (1.0, 3.0)


def test_rules_behind_bucketing_see_buckets():
    with pytest.raises(PreconditionFailed, match="n=3, f=2"):
        run("bucketing+median:f=2", [[1]] * 5)
    report = (
        parse("bucketing+median")
        .aggregate({bytes([i]): {"w": np.ones(1, np.float32)} for i in range(7)}, (("w", (1,)),))
        .report
    )
    assert report.f == 1  # 4 buckets


def test_norm_bound_drops_and_lowers_f():
    step = norm_bound.plan(seen([[3], [-5], [6]], 1, parameters={"c": Fraction(5)}))
    assert step == Combine(((1, 0, 0), (0, 1, 0)), 1)
    assert norm_bound.plan(seen([[6], [7]], 0, parameters={"c": Fraction(5)})) == Combine(((0, 0),), 1)
    # of five two are dropped: f=2 of 5 becomes 0 of 3, so the trimmed mean behind is a mean
    assert run("norm_bound(c=10)+trimmed_mean:f=2", [[1], [2], [6], [50], [60]]) == [3]
    assert run("norm_bound(c=10)+trimmed_mean:f=2", [[1], [2], [6], [9], [60]]) == [4]  # f=1 of 4
    assert run("norm_bound(c=0.5)+median", [[1], [2], [3]]) == [0]


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_clip_is_in_the_updates_own_units(scale: float):
    rows = [[3 * scale, 4 * scale], [0.3 * scale, 0.4 * scale]]
    factor = clip.plan(seen([[6, 8], [0, 1]], 0, parameters={"c": Fraction(5)})).factors
    assert factor == (ONE // 2, ONE)
    out = np.array(run(f"clip(c={2 * scale:.7f})+mean", rows)) * 2 - np.array(rows[1])
    assert np.linalg.norm(out) == pytest.approx(2 * scale, rel=1e-2)


def test_clip_clips_to_c_within_a_thousandth():
    rng = np.random.default_rng(3)
    rows = (rng.standard_normal((6, 3000)) * rng.uniform(0.2, 3, (6, 1))).astype(np.float32)
    for row in rows:
        schema = (("w", (3000,)),)
        out = parse("clip(c=60)+mean").aggregate({b"a": {"w": row}}, schema).tensors["w"]
        length = float(np.linalg.norm(row))
        assert float(np.linalg.norm(out)) == pytest.approx(min(length, 60), rel=1e-3)
        assert np.allclose(out, row * min(1, 60 / length), rtol=1e-3, atol=1e-6)


def test_clip_behind_mixing_and_bucketing_knows_its_units():
    # all rows are equal, so every step before leaves them as they are: norm 10 is clipped to 4
    for pre in ("nnm+", "bucketing+", "norm_clip+", "bucketing(s=3)+nnm+", "nnm+bucketing+"):
        out = run(f"{pre}clip(c=4)+mean", [[6, 8]] * 7)
        assert out == pytest.approx([2.4, 3.2], rel=1e-3)
        assert run(f"{pre}norm_bound(c=9)+mean:f=1", [[6, 8]] * 7) == [0, 0]
        assert run(f"{pre}norm_bound(c=11)+mean:f=1", [[6, 8]] * 7) == pytest.approx([6, 8], rel=1e-4)


RIVALS = [[-12], [16], [-16], [-4], [-13], [11], [8]]


def test_rivals_give_different_answers():
    texts = ["mean", "median", "trimmed_mean:f=1", "meamed:f=1", "krum:f=1", "multi_krum:f=1", "bulyan:f=1"]
    texts += ["geometric_median", "centred_clipping:f=1", "dnc:f=1", "arc+mean:f=1", "nnm+median:f=1"]
    texts += ["norm_clip+mean:f=1", "clip(c=9)+mean", "norm_bound(c=13.5)+mean", "bucketing+median:f=1"]
    answers: dict[str, tuple[float, ...]] = dict.fromkeys(texts, ())
    for seed in range(4):
        rows = np.random.default_rng(seed).standard_normal((11, 2)) * 6
        rows[0] *= 1.6
        for text in texts:
            answers[text] += tuple(round(x, 3) for x in run(text, rows.tolist(), seed=b"2"))
    assert len(set(answers.values())) == len(texts), answers


def test_krum_scores_leave_out_oneself_and_take_the_n_minus_f_minus_2_nearest():
    gram = gram_of([[0], [1], [3], [7], [20]])
    assert multi_krum.scores(gram, 1) == [1 + 9, 1 + 4, 4 + 9, 16 + 36, 169 + 289]
    assert multi_krum.scores(gram, 0) == [1 + 9 + 49, 1 + 4 + 36, 4 + 9 + 16, 16 + 36 + 49, 169 + 289 + 361]


def test_multi_krum_is_blanchards_variant():
    # on these points, summing over n-f-2, n-f-1 or all n-1 others selects three different sets
    points = RIVALS
    assert multi_krum.plan(seen(points, 2)) == Ranks((0, 2, 4, 5, 6), 0, 5)
    assert run("multi_krum:f=2", [[float(x[0])] for x in points]) == pytest.approx([(-12 - 16 - 13 + 11 + 8) / 5])


def test_multi_krum_breaks_ties_by_client():
    assert multi_krum.plan(seen([[0]] * 5, 1)).rows == (0, 1, 2, 3)


def test_multi_krum_drops_the_far_one():
    assert run("multi_krum:f=1", [[1], [2], [3], [90], [2]]) == [2.0]


def test_arc_clips_the_largest_to_the_next():
    points = [[1], [2], [3], [40], [50]]
    # n=5, f=1: ⌊2·4/5⌋ = 1 is clipped to the second largest
    assert arc.plan(seen(points, 1)) == Clip((ONE, ONE, ONE, ONE, ONE * 40 // 50))
    # f=2: ⌊4·3/5⌋ = 2 are clipped to the third largest
    assert arc.plan(seen(points, 2)) == Clip((ONE, ONE, ONE, ONE * 3 // 40, ONE * 3 // 50))
    assert arc.plan(seen(points, 0)) == Clip((ONE,) * 5)


def test_norm_clip_uses_the_lower_median():
    assert norm_clip.plan(seen([[1], [2], [4], [8]], 1)) == Clip((ONE, ONE, ONE // 2, ONE // 4))


def test_clip_factors_round_down():
    factor = norm_clip.clip_to(gram_of([[3]]), 2).factors[0]
    assert factor**2 * 9 <= 2 * ONE**2 < (factor + 1) ** 2 * 9


def test_clipping_to_zero_norm_gives_zero():
    assert norm_clip.plan(seen([[0], [0], [5]], 1)).factors == (ONE, ONE, 0)


def test_clip_changes_the_gram_matrix_like_the_rows():
    step = Clip((ONE, ONE // 2))
    assert step.on_gram(gram_of([[2], [4]])) == ([[4 * ONE**2, 4 * ONE**2], [4 * ONE**2, 4 * ONE**2]], ONE**2)


def test_nnm_excludes_the_farthest():
    plan = nnm.plan(seen([[0], [1], [3], [7], [20]], 2))
    assert [set(away) for away in plan.excluded] == [{3, 4}, {3, 4}, {3, 4}, {0, 4}, {0, 1}]
    assert plan.divisor == 3


def test_nnm_breaks_ties_by_client_but_keeps_oneself():
    # rows 1 and 2 are equally far from 0; copies tie at distance 0
    assert nnm.plan(seen([[0], [1], [-1]], 1)).excluded[0] == (2,)
    assert nnm.plan(seen([[5], [5], [5], [5]], 1)).excluded == ((3,), (3,), (3,), (2,))


def test_mix_changes_the_gram_matrix_like_the_rows():
    points = [[1, 2], [3, -1], [5, 0], [-2, 2]]
    step = Mix(((3,), (0,), (1,), (0,)))
    mixed = [
        [sum(column) - sum(points[j][k] for j in away) for k, column in enumerate(zip(*points, strict=True))]
        for away in step.excluded
    ]
    assert step.on_gram(gram_of(points)) == (gram_of(mixed), step.divisor**2)


def test_combine_changes_the_gram_matrix_like_the_rows():
    points = [[1, 2], [3, -1], [5, 0]]
    step = Combine(((1, 0, 1), (0, 2, 0)), 2)
    assert step.on_gram(gram_of(points)) == (gram_of([[6, 2], [6, -2]]), 4)
    assert step.members(((0,), (1, 3), (2,))) == ((0, 2), (1, 3))


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
        ("bulyan", 6, 0),
        ("bulyan", 7, 1),
        ("bulyan", 11, 2),
        ("krum", 4, 0),
        ("krum", 5, 1),
        ("dnc", 5, 2),
        ("geometric_median", 4, 1),
        ("mean", 3, 3),
    ],
)
def test_largest_tolerated_f(name: str, n: int, most: int):
    stage = next(stage for stage in (*RULES, *PRE_AGGREGATIONS) if stage.name == name)
    assert stage.tolerates(n) == most
