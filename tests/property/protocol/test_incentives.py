"""Scores, rewards and penalties for any numbers."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from incentives.rewards import (
    CWT,
    EmissionParams,
    attester_reward,
    emission,
    trainer_reward,
    treasury_reward,
    verifier_reward,
)
from incentives.scoring import (
    FIELD_MASK,
    FIELDS,
    MAX_GAIN,
    MIN_GAIN,
    PPM,
    TallyParams,
    Verdict,
    agrees,
    decode_gain,
    effective_gain,
    encode_gain,
    novelty_ppm,
    pack_word,
    tally,
    word_field,
)
from incentives.slashing import BPS, PENALTY_BPS, divide, penalty_up

fields = st.one_of(st.integers(0, 20), st.integers(0, FIELD_MASK), st.integers(-3_000, 3_000).map(encode_gain))
params = st.builds(
    TallyParams,
    tau=st.integers(0, 1_000),
    delta_min=st.integers(1, 1_000),
    harm_min=st.integers(1, 1_000),
    gain_cap=st.integers(1_000, MAX_GAIN),
)


@given(st.lists(st.integers(0, FIELD_MASK), max_size=FIELDS))
def test_score_word_round_trip(values: list[int]):
    word = pack_word(values)
    assert word < 1 << 140
    assert [word_field(word, j) for j in range(FIELDS)] == values + [0] * (FIELDS - len(values))


@given(st.integers(MIN_GAIN, MAX_GAIN))
def test_gain_round_trip(gain: int):
    assert decode_gain(encode_gain(gain)) == gain
    assert encode_gain(gain) >= 16


@given(st.data(), st.integers(1, 7), params)
def test_a_minority_of_liars_cannot_leave_the_honest_range(data: st.DataObject, k: int, chosen: TallyParams):
    liars = data.draw(st.integers(0, k - (k // 2 + 1)))  # honest ones alone are enough for `need`
    honest = data.draw(st.lists(st.integers(-3_000, 3_000), min_size=k - liars, max_size=k - liars))
    lies = data.draw(st.lists(fields, min_size=liars, max_size=liars))
    order = data.draw(st.permutations([*map(encode_gain, honest), *lies]))
    result = tally(order, chosen)
    assert result.verdict not in (Verdict.MALFORMED, Verdict.UNAVAILABLE)
    assert min(honest) <= result.gain <= max(honest)


@given(st.lists(fields, max_size=7), params, st.randoms(use_true_random=False))
def test_tally_does_not_depend_on_the_order_of_fields(values: list[int], chosen: TallyParams, random: Random):
    shuffled = list(values)
    random.shuffle(shuffled)
    assert tally(shuffled, chosen) == tally(values, chosen)


@given(st.lists(fields, min_size=1, max_size=7), params)
def test_a_verdict_has_its_votes_and_only_acceptance_pays(values: list[int], chosen: TallyParams):
    result = tally(values, chosen)
    need = len(values) // 2 + 1
    assert (result.weight > 0) == (result.verdict is Verdict.ACCEPTED)
    assert result.weight <= chosen.gain_cap
    if result.verdict is Verdict.UNSCORED:
        assert result.votes < need
    else:
        assert result.votes >= need
        assert sum(agrees(value, result, chosen.tau) for value in values) == result.votes


@given(st.lists(fields, min_size=1, max_size=7), params, st.data())
def test_one_more_absentee_never_helps(values: list[int], chosen: TallyParams, data: st.DataObject):
    absent = data.draw(st.integers(0, len(values) - 1))
    before = tally(values, chosen)
    after = tally([0 if place == absent else value for place, value in enumerate(values)], chosen)
    if before.verdict is Verdict.UNSCORED and before.votes == 0:
        assert after.verdict is Verdict.UNSCORED


@given(st.data(), st.integers(0, 8))
def test_novelty_lies_between_nothing_and_everything(data: st.DataObject, n: int):
    cosine = st.integers(-PPM, PPM)
    matrix = data.draw(st.lists(st.lists(cosine, min_size=n, max_size=n), min_size=n, max_size=n))
    last = data.draw(st.lists(cosine, min_size=n, max_size=n))
    order = data.draw(st.permutations(range(n)))
    found = novelty_ppm(matrix, last, order)
    assert len(found) == n
    assert all(0 <= value <= PPM for value in found)
    # At least the median is wholly new, so novelty can never silence a whole round, unless all are copies.
    if n and min(max([0, last[u], *(matrix[u][v] for v in range(n) if order[v] < order[u])]) for u in range(n)) < PPM:
        assert max(found) == PPM


@given(st.integers(-PPM, PPM), st.integers(0, PPM))
def test_effective_gain_never_exceeds_the_raw_gain(raw: int, novelty: int):
    effective = effective_gain(raw, novelty)
    assert effective == raw if raw <= 0 else 0 <= effective <= raw


@st.composite
def paid_rounds(draw: st.DrawFn):
    n = draw(st.integers(2, 40))
    k = min(n - 1, draw(st.integers(1, 7)))
    return {
        "n": n,
        "k": k,
        "slots": min(n, draw(st.integers(1, 31))),
        "weights": draw(st.lists(st.integers(0, 20_000), min_size=n, max_size=n)),
        "correct": draw(st.lists(st.integers(0, k), min_size=n, max_size=n)),
        "is_sealed": draw(st.booleans()),
        "params": EmissionParams(
            draw(st.integers(0, 10**6 * CWT)), draw(st.integers(1, 10**4)), draw(st.integers(1, 10**6))
        ),
        "number": draw(st.integers(1, 10**5)),
    }


@given(paid_rounds())
def test_a_round_never_mints_more_than_its_emission(paid: dict[str, Any]):
    emitted = emission(paid["number"], paid["params"])
    trainers = sum(
        trainer_reward(
            emitted,
            weight=weight,
            sum_weight=sum(paid["weights"]),
            weight_target=paid["params"].weight_target,
            is_sealed=paid["is_sealed"],
        )
        for weight in paid["weights"]
    )
    verifiers = sum(
        verifier_reward(emitted, correct=correct, participants=paid["n"], verifiers=paid["k"])
        for correct in paid["correct"]
    )
    attesters = attester_reward(emitted, attesters=paid["slots"]) * paid["slots"]
    assert 0 <= trainers <= emitted * 70 // 100
    assert 0 <= verifiers <= emitted * 20 // 100
    assert 0 <= attesters <= emitted * 5 // 100
    assert trainers + verifiers + attesters + treasury_reward(emitted) <= emitted


@given(st.integers(1, 10**6), st.integers(0, 10**24), st.integers(1, 10**4))
def test_emission_never_grows(number: int, initial: int, halving: int):
    chosen = EmissionParams(initial, halving)
    assert emission(number + 1, chosen) <= emission(number, chosen)
    assert emission(number + halving, chosen) == emission(number, chosen) // 2


@given(stake=st.integers(0, 10**30), bps=st.integers(0, BPS), granted=st.integers(0, 10**30), is_proven=st.booleans())
def test_slashing_conserves_and_rounds_up(stake: int, bps: int, granted: int, *, is_proven: bool):
    amount, own = penalty_up(stake, bps), max(0, stake - granted)
    burned, bounty = divide(amount, own=own, is_proven=is_proven)
    assert bounty <= own
    assert 0 <= amount <= stake
    assert amount * BPS >= stake * bps > (amount - 1) * BPS or amount == 0 == stake * bps
    assert burned + bounty == amount
    assert burned >= bounty >= 0
    assert is_proven or bounty == 0


@given(st.integers(1, 10**30), st.sampled_from(sorted(PENALTY_BPS.values())))
def test_every_fault_costs_something(stake: int, bps: int):
    assert penalty_up(stake, bps) >= 1
