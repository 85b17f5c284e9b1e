from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from benchmarks import economics_panels as panels
from benchmarks import economics_report as report
from benchmarks import economics_scoring as scored
from benchmarks.economics_measured import Measured, read
from benchmarks.economics_scoring import Variant
from incentives import scoring

PROTOCOL = scoring.TallyParams(tau=5_000, delta_min=1_000, harm_min=80_000, gain_cap=200_000)
NAMES = (*(f"honest-{i}" for i in range(4)), "self", "zero", "copy", "public", "random-0")


def a_round(gains: dict[str, float], *, noise: float = 0.0, number: int = 1, **changes) -> Measured:
    """A round whose candidates gain so many nats on every row, with honest ones at cosine 0.2 and the copy equal to honest-0."""
    rng = np.random.default_rng(0)
    base = np.full((1, 128), 2.0)
    after = [base - gains.get(name, 0.0) + noise * rng.standard_normal(base.shape) for name in NAMES]
    cosines = np.full((len(NAMES), len(NAMES)), 200_000)
    np.fill_diagonal(cosines, 1_000_000)
    cosines[0, 6] = cosines[6, 0] = 1_000_000
    measured = Measured(
        seed=0,
        number=number,
        names=NAMES,
        losses={(0.25, 128): np.stack([base, *after])},
        cosines=cosines,
        to_last=np.zeros(len(NAMES), np.int64),
        to_previous=np.zeros((len(NAMES), 0), np.int64),
        norms=np.ones(len(NAMES)),
        lookahead=0.0,
        along=0.0,
        accepted=(0, 1, 2, 3),
    )
    return dataclasses.replace(measured, **changes)


HONEST = {f"honest-{i}": 0.1 for i in range(4)} | {"self": 0.1, "copy": 0.1}


# --- replay ----------------------------------------------------------------------------------------------------------


def test_one_more_honest_trainer_is_paid_like_the_others():
    outcome = scored.replay(a_round(HONEST), Variant(), ("self",))
    assert outcome.accepted == outcome.passed == 1
    assert outcome.pay == pytest.approx(outcome.honest_pay, rel=0.2)


def test_doing_nothing_and_copying_pay_nothing():
    measured = a_round(HONEST)
    assert scored.replay(measured, Variant(), ("zero",)).pay == 0
    copied = scored.replay(measured, Variant(), ("copy",))
    assert copied.pay == 0
    assert copied.honest_pay > 0


def test_copies_commit_last_so_that_the_source_is_paid():
    for order in scored.commit_orders(5, 1, a_round(HONEST), 8):
        assert order[-1] == 4
        assert sorted(order) == [0, 1, 2, 3, 4]


def test_two_identities_that_send_the_same_are_paid_once():
    outcome = scored.replay(a_round(HONEST), Variant(), ("self", "self"))
    assert outcome.passed == 0.5


def test_harm_is_counted_and_not_paid():
    outcome = scored.replay(a_round(HONEST | {"zero": -0.3}), Variant(), ("zero",))
    assert outcome.harmful == 1
    assert outcome.slashed == outcome.pay == 0
    poisoned = scored.replay(a_round(HONEST | {"honest-2": -0.3}), Variant(), ("self",))
    assert (poisoned.harmful, poisoned.slashed) == (0, 0.25)


def test_the_paired_test_takes_away_what_chance_explains():
    measured = a_round(HONEST | {"random-0": 0.003}, noise=0.08)
    plain = scored.gains(measured, 0.25, 128, 0, False)[0]
    soft = scored.gains(measured, 0.25, 128, 2_000, False)[0]
    hard = scored.gains(measured, 0.25, 128, 2_000, True)[0]
    lucky, good = NAMES.index("random-0"), NAMES.index("honest-0")
    assert plain[lucky] != 0
    assert soft[lucky] < 0
    assert hard[lucky] == min(0, plain[lucky])
    assert hard[good] == plain[good] > soft[good] > 0


def test_a_public_baseline_is_taken_off_every_gain():
    measured = a_round(HONEST | {"public": 0.04})
    wanted = Variant(public_baseline=True)
    written = scored.effective(measured, wanted, [0, 7], [0, 1], scored.gains(measured, 0.25, 128, 0, False)[0])
    assert written[0] == pytest.approx(60_000, abs=2)
    assert written[1] == 0
    assert scored.above(-5, 3) == -5


def test_novelty_compares_with_what_the_variant_names():
    previous = np.full((len(NAMES), 4), 100_000)
    previous[4] = 999_999
    measured = a_round(HONEST, to_previous=previous)
    assert scored.references(measured, Variant())[4] == 0
    assert scored.references(measured, Variant(references=frozenset({"previous"})))[4] == 999_999
    assert scored.replay(measured, Variant(references=frozenset({"previous"})), ("self",)).passed == 0
    assert scored.replay(measured, Variant(), ("self",)).passed == 1


def test_relative_acceptance_and_winsorising_change_what_the_contract_pays():
    written = [100_000, 100_000, 100_000, 20_000, 190_000]
    plain = scored.settle(Variant(tally=PROTOCOL), written)
    assert [r.weight for r in plain] == written
    relative = scored.settle(Variant(tally=PROTOCOL, relative=0.3), written)
    assert [r.weight for r in relative] == [100_000, 100_000, 100_000, 0, 190_000]
    assert relative[3].verdict is scoring.Verdict.REJECTED
    assert [r.weight for r in scored.settle(Variant(tally=PROTOCOL, winsor=1.5), written)] == [
        100_000,
        100_000,
        100_000,
        20_000,
        150_000,
    ]


def test_convex_weights_pay_the_square_up_to_their_bound():
    results = scored.settle(Variant(tally=PROTOCOL, convex=100_000), [10_000, 100_000, 150_000, 500, -90_000])
    assert [r.weight for r in results] == [1_000, 100_000, 150_000, 0, 0]
    assert results[4].verdict is scoring.Verdict.HARMFUL


def test_of_two_stewards_slices_the_worse_counts():
    measured = a_round(HONEST)
    base = measured.losses[0.25, 128].repeat(2, 1)
    base[1, 1] += 0.09
    both = dataclasses.replace(measured, losses={(0.25, 128): base})
    (least,) = scored.by_group(both, Variant(size=128, stewards=2))
    assert least[:2] == (pytest.approx(10_000, abs=2), pytest.approx(100_000, abs=2))
    assert len(scored.by_group(both, Variant(size=128))) == 2


def test_containment_finds_a_copy_under_noise_and_changes_nothing_else():
    cosines = np.array([[1_000_000, 300_000, -300_000], [300_000, 1_000_000, 0], [-300_000, 0, 1_000_000]])
    norms = np.array([4.0, 1.0, 1.0])
    found = scored.contained(cosines, norms, norms)
    assert found[0].tolist() == [1_000_000, 1_000_000, -300_000]
    assert found[1].tolist() == [300_000, 1_000_000, 0]


def test_relative_acceptance_does_not_accept_what_the_least_gain_refuses():
    results = scored.settle(Variant(relative=0.3), [900, -5_000, -5_000])
    assert all(r.weight == 0 for r in results)


def test_changes_of_a_variant_reach_the_tally():
    changed = Variant(tally=PROTOCOL).but("other", delta_min=5_000, z_milli=2_000)
    assert changed.tally == dataclasses.replace(PROTOCOL, delta_min=5_000)
    assert (changed.name, changed.z_milli, Variant().z_milli) == ("other", 2_000, 0)


def test_relative_pay_says_most_where_honest_nodes_earn_nothing():
    nothing = scored.Outcome(0, 0, 0.0, 0.0, 0.0)
    assert scored.ratio([nothing]) == 0
    assert scored.ratio([dataclasses.replace(nothing, pay=1)]) == scored.MOST
    assert scored.ratio([dataclasses.replace(nothing, pay=1, honest_pay=4), nothing]) == 0.25


def test_a_leak_is_scored_on_the_leaked_rows_only():
    names = ("honest-0", "honest-1", "leak", "leak-half")
    losses = np.full((5, 2, 128), 2.0)
    losses[1:3] -= 0.1
    losses[4, 1] -= 0.1  # leak-half gains where it did not train: must not count
    losses[3] -= 0.1
    measured = a_round({}, names=names, losses={(0.25, 128): losses}, cosines=np.eye(4, dtype=int) * 10**6)
    measured = dataclasses.replace(
        measured, to_last=np.zeros(4, np.int64), losses={**measured.losses, (0.25, 256): losses.repeat(2, 2)}
    )
    assert scored.play(measured, Variant(size=128), "leaked slice").passed == 1
    assert scored.play(measured, Variant(size=256), "half the slice leaked").passed == 0
    assert scored.play(measured, Variant(size=128), "half the slice leaked") is None
    assert scored.play(measured, Variant(), "replay of the aggregate") is None
    assert scored.play(measured, Variant(size=512), "zero update") is None


def test_a_round_survives_its_file(tmp_path):
    measured = a_round(HONEST)
    arrays = {"0.25|128": measured.losses[0.25, 128]}
    fields = ("cosines", "to_last", "to_previous", "norms", "lookahead", "along", "accepted")
    np.savez(tmp_path / "r.npz", names=np.array(NAMES), **{f: getattr(measured, f) for f in fields}, **arrays)
    found = read(tmp_path / "r.npz", 0, 1)
    assert found.names == NAMES
    assert found.accepted == (0, 1, 2, 3)
    assert np.array_equal(found.losses[0.25, 128], measured.losses[0.25, 128])


# --- panels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "liars", "k"), [(9, 2, 7), (63, 12, 7), (5, 5, 3), (7, 0, 7)])
def test_numbers_of_liars_are_a_distribution_of_the_right_mean(n, liars, k):
    chances = panels.liars_among(n, liars, k)
    assert sum(chances) == pytest.approx(1)
    assert sum(b * c for b, c in enumerate(chances)) == pytest.approx(k * liars / n)


def test_a_captured_panel_pays_the_cap_for_nothing():
    everybody = panels.Panel(8, 8, PROTOCOL)
    assert panels.expected(everybody, 0, is_member=True) == (PROTOCOL.gain_cap, 1.0, 0.0)
    squared = panels.Panel(8, 8, PROTOCOL, convex=400_000)
    assert panels.expected(squared, 0, is_member=True)[0] == 100_000
    assert panels.expected(panels.Panel(8, 0, PROTOCOL), 50_000, is_member=False) == (50_000.0, 1.0, 0.0)
    weight, accepted, harmful = panels.expected(panels.Panel(9, 8, PROTOCOL), 50_000, is_member=False)
    assert (weight, accepted) == (0, 0)
    assert harmful == pytest.approx(1)


def test_three_of_ten_capture_nothing_and_absences_only_help_to_block():
    """Seven verifiers, three liars at most: four honest votes decide. With one of those away nobody has a majority."""
    assert panels.collusion(panels.Panel(10, 3, PROTOCOL), [50_000], 0)["pay"] == 0
    assert panels.expected(panels.Panel(10, 3, PROTOCOL), 50_000, is_member=False)[1] == pytest.approx(1)
    assert panels.expected(panels.Panel(10, 3, PROTOCOL, absent=1), 50_000, is_member=False)[1] < 1


def test_the_ring_agrees_with_the_hypergeometric():
    panel = panels.Panel(24, 8, PROTOCOL)
    exact = panels.collusion(panel, [60_000], 0)
    played = panels.simulate(panel, [60_000], 0, rounds=400, seed=1)
    assert exact["captured"] > 0.05
    assert played["captured"] == pytest.approx(exact["captured"], abs=0.02)
    assert played["honest_harmful"] == pytest.approx(exact["honest_harmful"], abs=0.02)
    assert played["pay"] == pytest.approx(exact["pay"], rel=0.5)


def test_a_lazy_verifier_is_paid_for_what_it_guesses():
    history = [[100_000, 104_000, 200_000], [103_000, 1_000, -1_000, 90_000]]
    found = panels.lazy(history, 5_000)
    assert found["zero"] == [0, 0.5]
    assert found["median"] == [0, 0.25]
    assert found["best"] == [pytest.approx(2 / 3), 0.5]
    assert 0 < found["past"][1] < 0.5
    assert panels.lazy(history, 500)["zero"] == [0, 0]


def test_guessing_is_worth_less_where_wrong_fields_are_disputed():
    assert panels.worth_of_guessing(0.3, dispute=0, stake=100, fields_paid=7, price=30) == 0.3
    assert panels.worth_of_guessing(0.3, dispute=0.5, stake=100, fields_paid=1, price=5) == pytest.approx(0.3 - 0.7)


def test_a_lone_farmer_gains_nothing_from_an_empty_round_while_the_target_is_out_of_reach():
    fair = panels.empty_round([40_000], honest_weight=40_000, honest=8, weight_target=400_000)
    assert fair == pytest.approx(1)
    assert panels.empty_round([40_000], honest_weight=40_000, honest=8, weight_target=1) == pytest.approx(8)
    assert panels.empty_round([40_000] * 2, honest_weight=40_000, honest=8, weight_target=400_000) == pytest.approx(1)
    assert panels.empty_round([0, 0, 0], honest_weight=40_000, honest=8, weight_target=400_000) == 0


# --- report ----------------------------------------------------------------------------------------------------------


def row(strategy, pay, *, seed=0, accepted=0.9, harmful=0.0, slashed=0.0):
    return {
        "strategy": strategy,
        "setting": "s",
        "rounds": "1–3",
        "seed": seed,
        "pay": pay,
        "honest_accepted": accepted,
        "harmful": harmful,
        "slashed": slashed,
    }


def test_the_worst_dishonest_strategy_decides():
    rows = [
        row("honest, one more", 1.1),
        row("zero update", 0.0),
        row("public benchmark", 0.2),
        row("leaked slice", 9.0),
    ]
    rows += [row("public benchmark", 0.28, seed=1), row("honest, one more", 0.9, seed=1, accepted=0.8)]
    (found,) = report.summarise(rows)
    assert (found["worst_strategy"], found["worst"]) == ("public benchmark", 0.24)
    assert found["honest_accepted"] == 0.85
    assert found["accepted_range"] == [0.8, 0.9]
    assert found["pay_range"]["public benchmark"] == [0.2, 0.28]
    assert found["reached"]
    assert found["seeds"] == 2


@pytest.mark.parametrize(
    "bad",
    [
        row("public benchmark", 0.26),
        row("noisy labels 20 %", 0.5, harmful=0.1),
        row("honest, one more", 1, accepted=0.7),
        row("honest, one more", 1, slashed=0.1),
    ],
)
def test_a_missed_goal_is_missed(bad):
    kept = [r for r in (row("honest, one more", 1), row("zero update", 0)) if r["strategy"] != bad["strategy"]]
    (found,) = report.summarise([*kept, bad])
    assert not found["reached"]


def test_the_file_is_json_with_a_row_a_line(tmp_path):
    path = tmp_path / "deep" / "r.json"
    report.write(path, {"seeds": [0]}, {"rows": [row("zero update", 0.0), row("copy (leak)", 0.1)]})
    assert json.loads(path.read_text("utf-8"))["rows"][1]["pay"] == 0.1
    assert len(path.read_text("utf-8").splitlines()) == 7


def test_the_picture_is_drawn(tmp_path):
    report.draw({"rounds 1–3": {"a": [(0.9, 0.2, "z 1"), (0.5, 0.0, "z 2")]}, "4–6": {}}, tmp_path / "p.png", "title")
    assert (tmp_path / "p.png").stat().st_size > 5_000
