"""Scores of updates: the score word, its tally, and the effective gain an honest verifier writes into it.

Gains are integers of parts per million (ppm) of the benchmark loss (nats). Mirrors `contracts/src/libraries/{ScoreWord,Tally}.sol`;
`tests/vectors/tally.json` holds cases that both replay. docs/protocol.md states the rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import isqrt

FIELDS = 7
FIELD_BITS = 20
FIELD_MASK = (1 << FIELD_BITS) - 1
BIAS = 1 << 19
FIRST_NUMERIC = 16
MIN_GAIN = FIRST_NUMERIC - BIAS
MAX_GAIN = FIELD_MASK - BIAS
PPM = 1_000_000

NOT_SCORED = 0
UNAVAILABLE = 1
MALFORMED = 2


class Verdict(IntEnum):
    """Outcome of a tally; numbers equal the contract's UpdateStatus."""

    ACCEPTED = 1
    REJECTED = 2
    UNSCORED = 3
    UNAVAILABLE = 4
    MALFORMED = 5
    HARMFUL = 6


_GAINS = (Verdict.ACCEPTED, Verdict.REJECTED, Verdict.HARMFUL)


@dataclass(frozen=True, slots=True)
class TallyParams:
    """Constants of one deployment, ppm: agreement tolerance, least gain to accept, least harm to slash, cap of a paid gain."""

    tau: int
    delta_min: int
    harm_min: int
    gain_cap: int


@dataclass(frozen=True, slots=True)
class Tally:
    """Result for one update: verdict, median gain (ppm; 0 where none), agreeing votes, reward weight."""

    verdict: Verdict
    gain: int
    votes: int
    weight: int


def encode_gain(gain: int) -> int:
    """Field of a gain in ppm, clamped to what 20 bits hold."""
    return max(MIN_GAIN, min(MAX_GAIN, gain)) + BIAS


def decode_gain(field: int) -> int:
    """Gain in ppm of a numeric field (≥ 16)."""
    return field - BIAS


def pack_word(fields: Sequence[int]) -> int:
    """Score word of up to seven fields, field j at bits 20j … 20j+19.

    Raises:
        ValueError: more than seven fields, or one outside 20 bits.
    """
    if len(fields) > FIELDS:
        raise ValueError(f"a score word has {FIELDS} fields, got {len(fields)}")
    word = 0
    for j, field in enumerate(fields):
        if not 0 <= field <= FIELD_MASK:
            raise ValueError(f"field {j} = {field} does not fit in {FIELD_BITS} bits")
        word |= field << (FIELD_BITS * j)
    return word


def word_field(word: int, j: int) -> int:
    """Field j of a word."""
    return (word >> (FIELD_BITS * j)) & FIELD_MASK


def tally(fields: Sequence[int], params: TallyParams) -> Tally:
    """Verdict on one update from the fields of all its *assigned* verifiers (0 for one who did not score).

    `need` = ⌊k/2⌋+1 counts against the assigned k, never against those who turned up, so absence cannot lower the bar.
    The lower median at (m−1)//2 of m numeric fields stays within the honest range while liars are fewer than half of the fields.
    """
    need = len(fields) // 2 + 1
    for sentinel, verdict in ((MALFORMED, Verdict.MALFORMED), (UNAVAILABLE, Verdict.UNAVAILABLE)):
        count = sum(field == sentinel for field in fields)
        if count >= need:
            return Tally(verdict, 0, count, 0)
    gains = sorted(decode_gain(field) for field in fields if field >= FIRST_NUMERIC)
    if not gains:
        return Tally(Verdict.UNSCORED, 0, 0, 0)
    median = gains[(len(gains) - 1) // 2]
    votes = sum(abs(gain - median) <= params.tau for gain in gains)
    if votes < need:
        return Tally(Verdict.UNSCORED, median, votes, 0)
    if median >= params.delta_min:
        return Tally(Verdict.ACCEPTED, median, votes, min(median, params.gain_cap))
    if median <= -params.harm_min:
        return Tally(Verdict.HARMFUL, median, votes, 0)
    return Tally(Verdict.REJECTED, median, votes, 0)


def agrees(field: int, result: Tally, tau: int) -> bool:
    """Whether a verifier's field earns its price: within tau of the settled gain, or the settled sentinel."""
    if result.verdict is Verdict.MALFORMED:
        return field == MALFORMED
    if result.verdict is Verdict.UNAVAILABLE:
        return field == UNAVAILABLE
    if result.verdict is Verdict.UNSCORED or field < FIRST_NUMERIC:
        return False
    return abs(decode_gain(field) - result.gain) <= tau


def is_upheld(verdict: Tally, settled: Tally, tau: int) -> bool:
    """Whether a jury's verdict shows nothing against the settled one.

    Gains within tau are what two honest verifiers may find, whatever side of a bound they lie on; and a majority for Unavailable says
    only that the jury did not have the bytes.
    """
    if verdict.verdict is Verdict.UNAVAILABLE:
        return True
    if verdict.verdict in _GAINS:
        return agrees(encode_gain(verdict.gain), settled, tau)
    return verdict.verdict is settled.verdict


class Contradiction(IntEnum):
    """How far a verifier's field lies from what a jury found."""

    NONE = 0
    WRONG = 1
    LIE = 2


def contradiction(field: int, verdict: Tally, params: TallyParams) -> Contradiction:
    """LIE where one accepts what the other finds Harmful or Malformed; a field that says nothing, or Unavailable, is no fault."""
    if field in (NOT_SCORED, UNAVAILABLE) or MALFORMED < field < FIRST_NUMERIC or agrees(field, verdict, params.tau):
        return Contradiction.NONE
    says = tally([field], params).verdict
    bad = (Verdict.HARMFUL, Verdict.MALFORMED)
    is_lie = (says is Verdict.ACCEPTED and verdict.verdict in bad) or (
        says in bad and verdict.verdict is Verdict.ACCEPTED
    )
    return Contradiction.LIE if is_lie else Contradiction.WRONG


def novelty_ppm(cosines: Sequence[Sequence[int]], to_last: Sequence[int], order: Sequence[int]) -> list[int]:
    """Novelty of each update in ppm: how little it repeats what was committed before it.

    ρ_u = max(0, cos(u, last aggregate), cos(u, v) for v committed before u);
    novelty_u = clip((1−ρ_u) / max(10⁻⁶, 1−median ρ), 0, 1), median = lower median, all in integer ppm, division rounds down.

    Args:
        cosines: n×n matrix of cosines in ppm.
        to_last: cosine of each update to the last aggregate in ppm (0 where there is none).
        order: commit sequence number of each update.
    """
    n = len(cosines)
    rho = [max([0, to_last[u], *(cosines[u][v] for v in range(n) if order[v] < order[u])]) for u in range(n)]
    if not rho:
        return []
    median = sorted(rho)[(n - 1) // 2]
    scale = max(1, PPM - median)
    return [max(0, min(PPM, (PPM - value) * PPM // scale)) for value in rho]


def effective_gain(raw: int, novelty: int, *, exponent: int = 2) -> int:
    """Raw gain (ppm) × novelty^exponent for positive gains, rounded down; harm counts in full."""
    if raw <= 0:
        return raw
    share, whole = 1, 1
    for _ in range(exponent):
        share, whole = share * novelty, whole * PPM
    return raw * share // whole


def confident_gain(rows: Sequence[int], z_milli: int) -> int:
    """Mean gain of a slice's rows less z standard errors (a lower confidence bound), in integer ppm.

    With S = Σ d_i and Q = n·Σ d_i² − S² the sum's standard error is √(Q/(n−1)); the result is ⌊(S − ⌊z·√(Q/(n−1))⌋) / n⌋. It is
    continuous in the rows, unlike a test that passes or fails, so verifiers whose losses differ a little still agree within tau; and it is
    not cut off at 0, or a verifier could write 0 for whatever looks weak without computing anything.

    Args:
        rows: gain of each row, ppm of a nat.
        z_milli: thousandths of a standard error; 0 gives the mean, rounded down.

    Raises:
        ValueError: fewer than two rows, or a negative z.
    """
    n = len(rows)
    if n < 2 or z_milli < 0:
        raise ValueError(f"confident_gain needs at least two rows and z_milli ≥ 0, got {n} rows and {z_milli}")
    total = sum(rows)
    spread = n * sum(row * row for row in rows) - total * total
    return (total - isqrt(z_milli * z_milli * spread // (1_000_000 * (n - 1)))) // n
