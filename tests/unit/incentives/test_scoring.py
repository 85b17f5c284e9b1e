from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incentives.scoring import (
    BIAS,
    FIELD_MASK,
    MALFORMED,
    MAX_GAIN,
    MIN_GAIN,
    PPM,
    UNAVAILABLE,
    Tally,
    TallyParams,
    Verdict,
    agrees,
    confident_gain,
    decode_gain,
    effective_gain,
    encode_gain,
    novelty_ppm,
    pack_word,
    tally,
    word_field,
)

PARAMS = TallyParams(tau=300, delta_min=100, harm_min=1_000, gain_cap=20_000)


def g(*gains: int) -> list[int]:
    return [encode_gain(gain) for gain in gains]


def test_documented_range_of_gains():
    assert (MIN_GAIN, MAX_GAIN) == (-524_272, 524_287)
    assert encode_gain(0) == BIAS == 1 << 19
    assert encode_gain(MIN_GAIN) == 16
    assert encode_gain(MAX_GAIN) == FIELD_MASK


@pytest.mark.parametrize(("gain", "kept"), [(10**9, MAX_GAIN), (-(10**9), MIN_GAIN), (-5, -5)])
def test_gains_are_clamped(gain: int, kept: int):
    assert decode_gain(encode_gain(gain)) == kept


def test_word_layout():
    word = pack_word([1, 2, FIELD_MASK])
    assert word == 1 | 2 << 20 | FIELD_MASK << 40
    assert [word_field(word, j) for j in range(4)] == [1, 2, FIELD_MASK, 0]


@pytest.mark.parametrize("fields", [[0] * 8, [FIELD_MASK + 1], [-1]])
def test_word_refuses_what_does_not_fit(fields: list[int]):
    with pytest.raises(ValueError, match=r"score word|does not fit"):
        pack_word(fields)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (g(5_000) * 5, Tally(Verdict.ACCEPTED, 5_000, 5, 5_000)),
        (g(30_000) * 5, Tally(Verdict.ACCEPTED, 30_000, 5, 20_000)),  # weight is capped, the gain is not
        (g(99) * 5, Tally(Verdict.REJECTED, 99, 5, 0)),
        (g(100) * 5, Tally(Verdict.ACCEPTED, 100, 5, 100)),
        (g(-999) * 5, Tally(Verdict.REJECTED, -999, 5, 0)),
        (g(-1_000) * 5, Tally(Verdict.HARMFUL, -1_000, 5, 0)),
        ([MALFORMED] * 3 + g(5_000, 5_000), Tally(Verdict.MALFORMED, 0, 3, 0)),
        ([MALFORMED] * 2 + g(5_000) * 3, Tally(Verdict.ACCEPTED, 5_000, 3, 5_000)),
        ([UNAVAILABLE] * 3 + g(5_000, 5_000), Tally(Verdict.UNAVAILABLE, 0, 3, 0)),
        ([UNAVAILABLE] * 2 + [MALFORMED] * 2 + g(5_000), Tally(Verdict.UNSCORED, 5_000, 1, 0)),
        ([0] * 5, Tally(Verdict.UNSCORED, 0, 0, 0)),
        ([3, 7, 15, 0, 0], Tally(Verdict.UNSCORED, 0, 0, 0)),
        (g(1_000, 1_300, 700), Tally(Verdict.ACCEPTED, 1_000, 3, 1_000)),
        (g(1_000, 1_301, 699), Tally(Verdict.UNSCORED, 1_000, 1, 0)),
        (g(1_000, 1_300), Tally(Verdict.ACCEPTED, 1_000, 2, 1_000)),  # the lower median of two
        ([*g(5_000, 5_000), 0, 0], Tally(Verdict.UNSCORED, 5_000, 2, 0)),  # absence does not lower the bar
        ([*g(5_000, 5_000, 5_000), 0, 0], Tally(Verdict.ACCEPTED, 5_000, 3, 5_000)),
        ([MALFORMED], Tally(Verdict.MALFORMED, 0, 1, 0)),
        ([], Tally(Verdict.UNSCORED, 0, 0, 0)),
    ],
)
def test_tally(fields: list[int], expected: Tally):
    assert tally(fields, PARAMS) == expected


@pytest.mark.parametrize(
    ("field", "verdict", "expected"),
    [
        (encode_gain(5_300), Verdict.ACCEPTED, True),
        (encode_gain(5_301), Verdict.ACCEPTED, False),
        (encode_gain(4_700), Verdict.REJECTED, True),
        (encode_gain(4_700), Verdict.HARMFUL, True),
        (encode_gain(5_000), Verdict.UNSCORED, False),
        (0, Verdict.UNSCORED, False),
        (MALFORMED, Verdict.MALFORMED, True),
        (UNAVAILABLE, Verdict.MALFORMED, False),
        (UNAVAILABLE, Verdict.UNAVAILABLE, True),
        (encode_gain(0), Verdict.UNAVAILABLE, False),
        (MALFORMED, Verdict.ACCEPTED, False),
        (15, Verdict.ACCEPTED, False),
    ],
)
def test_which_fields_earn_their_price(field: int, verdict: Verdict, *, expected: bool):
    assert agrees(field, Tally(verdict, 5_000, 3, 0), tau=300) is expected


def test_a_sentinel_near_the_least_gain_does_not_agree():
    # As a number, field 2 would lie 14 ppm below the least gain; it is no number.
    assert not agrees(MALFORMED, Tally(Verdict.HARMFUL, MIN_GAIN, 3, 0), tau=300)


def test_a_copy_has_no_novelty_and_the_original_keeps_its_own():
    cosines = [[PPM, PPM, 0], [PPM, PPM, 0], [0, 0, PPM]]
    assert novelty_ppm(cosines, [0, 0, 0], [0, 1, 2]) == [PPM, 0, PPM]
    assert novelty_ppm(cosines, [0, 0, 0], [1, 0, 2]) == [0, PPM, PPM]


def test_replaying_the_last_aggregate_has_no_novelty():
    cosines = [[PPM, 0, 0], [0, PPM, 0], [0, 0, PPM]]
    assert novelty_ppm(cosines, [PPM, 0, 0], [0, 1, 2]) == [0, PPM, PPM]


def test_common_likeness_is_normalised_away():
    # Everybody is 0.5 like the last aggregate: nobody is less new than the median.
    assert novelty_ppm([[PPM, 0], [0, PPM]], [500_000, 500_000], [0, 1]) == [PPM, PPM]
    assert novelty_ppm([[PPM, 0, 0]] * 3, [500_000, 500_000, 750_000], [0, 0, 0]) == [PPM, PPM, 500_000]


def test_opposite_directions_are_new():
    assert novelty_ppm([[PPM, -PPM], [-PPM, PPM]], [-PPM, -PPM], [0, 1]) == [PPM, PPM]


def test_novelty_of_nothing():
    assert novelty_ppm([], [], []) == []


def test_all_copies_do_not_divide_by_zero():
    assert novelty_ppm([[PPM] * 3] * 3, [PPM] * 3, [0, 1, 2]) == [0, 0, 0]


@pytest.mark.parametrize(
    ("raw", "novelty", "expected"),
    [(1_000, PPM, 1_000), (1_000, 500_000, 250), (999, 500_000, 249), (1_000, 0, 0), (-1_000, 0, -1_000), (0, PPM, 0)],
)
def test_effective_gain(raw: int, novelty: int, expected: int):
    assert effective_gain(raw, novelty) == expected


# --- gains less their standard errors ---


def test_without_standard_errors_the_gain_is_the_mean_rounded_down():
    assert confident_gain([10, 20, 30], 0) == 20
    assert confident_gain([10, 20, 31], 0) == 20
    assert confident_gain([-10, -20, -31], 0) == -21


@pytest.mark.parametrize(
    ("rows", "z_milli", "expected"),
    [
        ([100, 100, 100, 100], 3_000, 100),  # no spread, nothing to take off
        ([0, 200, 0, 200], 1_000, 42),  # S = 400, Q = 160 000, error of the sum 230.9 → ⌊(400 − 230) / 4⌋
        ([0, -200, 0, -200], 1_000, -158),
        ([0, 200, 0, 200], 2_000, -16),
        ([0, 0], 1_000, 0),
    ],
)
def test_standard_errors_are_taken_off(rows, z_milli, expected):
    assert confident_gain(rows, z_milli) == expected


@given(
    st.lists(st.integers(-(10**7), 10**7), min_size=2, max_size=60), st.integers(0, 5_000), st.integers(-1_000, 1_000)
)
def test_confidence_never_adds_and_knows_no_order(rows, z_milli, shift):
    sure = confident_gain(rows, z_milli)
    assert sure <= confident_gain(rows, 0)
    assert sure >= confident_gain(rows, z_milli + 100)
    assert confident_gain(rows[::-1], z_milli) == sure
    assert confident_gain([row + shift for row in rows], z_milli) == sure + shift


@given(st.lists(st.integers(-(10**6), 10**6), min_size=8, max_size=60), st.integers(0, 3_000), st.data())
def test_a_little_noise_in_the_rows_moves_the_gain_a_little(rows, z_milli, data):
    """Rows moved by at most e move the mean by at most e and its standard error by at most about e/√(n−1): verifiers stay within tau."""
    moved = [row + data.draw(st.integers(-100, 100)) for row in rows]
    bound = 100 + z_milli / 1_000 * 100 / (len(rows) - 1) ** 0.5 + 2
    assert abs(confident_gain(rows, z_milli) - confident_gain(moved, z_milli)) <= bound


@pytest.mark.parametrize(("rows", "z_milli"), [([5], 0), ([], 1_000), ([1, 2], -1)])
def test_too_few_rows_or_a_negative_z_are_refused(rows, z_milli):
    with pytest.raises(ValueError, match="at least two rows"):
        confident_gain(rows, z_milli)


def test_novelty_may_count_other_than_squared():
    assert effective_gain(1_000, PPM // 2, exponent=1) == 500
    assert effective_gain(1_000, PPM // 2, exponent=0) == 1_000
    assert effective_gain(1_000, PPM // 2, exponent=3) == 125
    assert effective_gain(-1_000, PPM // 2, exponent=3) == -1_000
