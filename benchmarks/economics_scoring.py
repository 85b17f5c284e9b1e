"""Replays a measured round under a scoring variant: gains by slice, novelty, tally, pay. Pure; integers as the verifiers compute them."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from benchmarks.constants import localnet_tally
from benchmarks.economics_measured import Measured
from incentives import rewards, scoring

PANEL = 7
MOST = 99.0  # relative pay is cut here: beyond it, and where honest nodes earn nothing, the number says no more
PROTOCOL = localnet_tally()
Z_MILLI = 0  # the guideline's `confidence`
EMISSION = rewards.EmissionParams(weight_target=400_000)


@dataclasses.dataclass(frozen=True)
class Variant:
    """A way of scoring. The defaults are the protocol as it stands.

    Attributes:
        name: what the tables call it.
        tally: tolerance and thresholds, ppm.
        eta: step at which an update is tried.
        size: rows of a sealed slice.
        stewards: slices of a round, from different stewards; the least gain counts.
        z_milli: thousandths of standard errors of the slice's rows that are taken off a gain.
        is_hard: the same as a test that passes or fails (gain or 0).
        exponent: of novelty.
        references: what novelty also compares with: ``previous`` (every update revealed in the round before), ``public`` (an update
            that verifiers train on the public benchmark).
        contains: novelty counts how much of an earlier update is in this one, ⟨u,v⟩/⟨v,v⟩ where that is more than the cosine, so
            noise does not hide a copy.
        convex: an accepted gain g weighs g·min(g, convex)/convex, so it is paid by its square up to there; 0 never (contract side).
        public_baseline: what the update trained on the public benchmark gains is taken off every gain.
        relative: share of the round's lower median gain that an accepted update needs (contract side).
        winsor: a weight is at most this multiple of the lower median of accepted gains; 0 never (contract side).
    """

    name: str = "protocol"
    tally: scoring.TallyParams = PROTOCOL
    eta: float = 0.25
    size: int = 128
    stewards: int = 1
    z_milli: int = Z_MILLI
    is_hard: bool = False
    exponent: int = 2
    references: frozenset[str] = frozenset()
    contains: bool = False
    convex: int = 0
    public_baseline: bool = False
    relative: float = 0.0
    winsor: float = 0.0

    def but(self, name: str, **changes: object) -> Variant:
        """This variant with other fields; keys of the tally are taken as such."""
        inner = {k: v for k, v in changes.items() if k in {f.name for f in dataclasses.fields(scoring.TallyParams)}}
        outer = {k: v for k, v in changes.items() if k not in inner}
        tally = dataclasses.replace(self.tally, **inner)  # type: ignore[arg-type]
        return dataclasses.replace(self, name=name, tally=tally, **outer)  # type: ignore[arg-type]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A strategy in one round: pay of its identities together and of a mean honest node, in units of 10⁻¹⁸ CWT; verdicts.

    Attributes:
        pay: of the strategy's identities together.
        honest_pay: mean over the honest clients of the same round.
        accepted: share of honest clients accepted.
        passed: share of the strategy's identities accepted.
        harmful: share of the strategy's identities that are slashed.
        slashed: share of the honest clients that are.
    """

    pay: int
    honest_pay: int
    accepted: float
    passed: float
    harmful: float
    slashed: float = 0.0


def row_gains(before: NDArray[np.float64], after: NDArray[np.float64]) -> list[int]:
    """Gain of each row in integer ppm."""
    found: list[int] = np.rint(1e6 * (before - after)).astype(np.int64).tolist()
    return found


def tested(rows: Sequence[int], z_milli: int, *, is_hard: bool) -> int:
    """Gain less z standard errors; or, as a test that passes or fails, the mean where it is more than z of them above 0, else 0."""
    sure = scoring.confident_gain(rows, z_milli)
    if not is_hard:
        return sure
    mean = scoring.confident_gain(rows, 0)
    return 0 if mean > 0 >= sure else mean


@cache
def gains(measured: Measured, eta: float, size: int, z_milli: int, is_hard: bool) -> tuple[tuple[int, ...], ...]:  # noqa: FBT001
    """Raw gain of every candidate on every slice of ``size`` rows, after the test: one tuple a slice."""
    losses = measured.losses[eta, size]
    return tuple(
        tuple(tested(row_gains(losses[0, j], after[j]), z_milli, is_hard=is_hard) for after in losses[1:])
        for j in range(losses.shape[1])
    )


def contained(cosines: NDArray[np.int64], norms: NDArray[np.float64], of: NDArray[np.float64]) -> NDArray[np.int64]:
    """max(cos, cos·‖u‖/‖v‖) in ppm, at most 10⁶; rows u, columns v (``of``: their norms); negative cosines as they are."""
    ratio = norms[:, None] / np.maximum(of[None, :], 1e-30)
    found: NDArray[np.int64] = np.minimum(
        scoring.PPM, np.where(cosines > 0, cosines * np.maximum(1, ratio), cosines)
    ).astype(np.int64)
    return found


def by_group(measured: Measured, variant: Variant) -> list[tuple[int, ...]]:
    """Raw gain of every candidate on every group of ``stewards`` slices: the least of the group's."""
    found = gains(measured, variant.eta, variant.size, variant.z_milli, variant.is_hard)
    count = variant.stewards
    return [
        tuple(min(each) for each in zip(*found[start : start + count], strict=True))
        for start in range(0, len(found) - count + 1, count)
    ]


def references(measured: Measured, variant: Variant) -> list[int]:
    """Largest cosine of each candidate to what everybody knew before the round, ppm."""
    known = [measured.to_last]
    if variant.contains and "replay" in measured.names:
        place = measured.names.index("replay")
        known = [contained(measured.to_last[:, None], measured.norms, measured.norms[[place]])[:, 0]]
    if "previous" in variant.references and measured.to_previous.shape[1]:
        known.append(measured.to_previous.max(1))
    if "public" in variant.references:
        place = measured.names.index("public-reference")
        column = measured.cosines[:, [place]]
        if variant.contains:
            column = contained(column, measured.norms, measured.norms[[place]])
        known.append(column[:, 0])
    found: list[int] = np.max(known, axis=0).tolist()
    return found


def effective(
    measured: Measured, variant: Variant, present: Sequence[int], order: Sequence[int], raw: Sequence[int]
) -> list[int]:
    """What an honest verifier writes for each of the ``present`` candidates (indices); ``order`` is their commits' sequence."""
    table = measured.cosines
    if variant.contains:
        table = contained(table, measured.norms, measured.norms)
    cosines = table[np.ix_(present, present)].tolist()
    known = references(measured, variant)
    novelty = scoring.novelty_ppm(cosines, [known[i] for i in present], order)
    baseline = max(0, raw[measured.names.index("public")]) if variant.public_baseline else 0
    return [
        scoring.effective_gain(above(raw[i], baseline), new, exponent=variant.exponent)
        for i, new in zip(present, novelty, strict=True)
    ]


def above(gain: int, baseline: int) -> int:
    """What a positive gain has beyond a baseline; harm stays as it is."""
    return max(0, gain - baseline) if gain > 0 else gain


def convex(weight: int, upto: int) -> int:
    """w·min(w, upto)/upto, rounded down; ``upto`` 0 changes nothing."""
    return weight * min(weight, upto) // upto if upto else weight


def settle(variant: Variant, written: Sequence[int]) -> list[scoring.Tally]:
    """Verdicts where every verifier is honest, with the variant's contract-side rules."""
    results = [scoring.tally([scoring.encode_gain(g)] * PANEL, variant.tally) for g in written]
    settled = sorted(r.gain for r in results)
    bar = variant.relative * max(0, settled[(len(settled) - 1) // 2])
    results = [
        dataclasses.replace(r, verdict=scoring.Verdict.REJECTED, weight=0)
        if r.verdict is scoring.Verdict.ACCEPTED and r.gain < bar
        else r
        for r in results
    ]
    results = [dataclasses.replace(r, weight=convex(r.weight, variant.convex)) for r in results]
    passed = sorted(r.weight for r in results if r.weight)
    if variant.winsor and passed:
        most = int(variant.winsor * passed[(len(passed) - 1) // 2])
        results = [dataclasses.replace(r, weight=min(r.weight, most)) for r in results]
    return results


def pay(weight: int, weights: Sequence[int], *, number: int, is_sealed: bool = True) -> int:
    """Trainer's reward of one weight in a round."""
    return rewards.trainer_reward(
        rewards.emission(number, EMISSION),
        weight=weight,
        sum_weight=sum(weights),
        weight_target=EMISSION.weight_target,
        is_sealed=is_sealed,
    )


def replay(
    measured: Measured,
    variant: Variant,
    strategy: Sequence[str],
    *,
    orders: int = 4,
    slices: Sequence[int] | None = None,
) -> Outcome:
    """The honest clients and a strategy's identities in one round, mean over slices and commit orders.

    Args:
        measured: the round.
        variant: scoring.
        strategy: candidates that the strategy sends; copies commit after everybody else.
        orders: commit orders tried.
        slices: which slices count (None: all of the size).
    """
    honest = [i for i, name in enumerate(measured.names) if name.startswith("honest-")]
    present = [*honest, *(measured.names.index(name) for name in strategy)]
    by_slice = by_group(measured, variant)
    chosen = range(len(by_slice)) if slices is None else [s for s in slices if s < len(by_slice)]
    found = []
    for j in chosen:
        for order in commit_orders(len(present), _is_late(strategy) * len(strategy), measured, orders):
            results = settle(variant, effective(measured, variant, present, order, by_slice[j]))
            weights = [r.weight for r in results]
            earned = [pay(w, weights, number=measured.number) for w in weights]
            n = len(honest)
            found.append(
                Outcome(
                    pay=sum(earned[n:]),
                    honest_pay=sum(earned[:n]) // n,
                    accepted=statistics.mean(w > 0 for w in weights[:n]),
                    passed=statistics.mean([w > 0 for w in weights[n:]] or [0]),
                    harmful=statistics.mean([r.verdict is scoring.Verdict.HARMFUL for r in results[n:]] or [0]),
                    slashed=statistics.mean(r.verdict is scoring.Verdict.HARMFUL for r in results[:n]),
                )
            )
    return mean_outcome(found)


def commit_orders(n: int, late: int, measured: Measured, count: int) -> Iterator[list[int]]:
    """Random sequence numbers of n commits, the last ``late`` of them after all others."""
    rng = np.random.default_rng([measured.seed, measured.number, 17])
    for _ in range(count):
        early = rng.permutation(n - late).tolist()
        yield [*early, *range(n - late, n)]


def mean_outcome(found: Sequence[Outcome]) -> Outcome:
    """Means, pays in whole units."""
    return Outcome(
        pay=sum(o.pay for o in found) // len(found),
        honest_pay=sum(o.honest_pay for o in found) // len(found),
        accepted=statistics.mean(o.accepted for o in found),
        passed=statistics.mean(o.passed for o in found),
        harmful=statistics.mean(o.harmful for o in found),
        slashed=statistics.mean(o.slashed for o in found),
    )


def ratio(outcomes: Sequence[Outcome]) -> float:
    """Pay of a strategy over several rounds relative to an honest node's, at most `MOST`; 0 where nobody earns anything."""
    honest, earned = sum(o.honest_pay for o in outcomes), sum(o.pay for o in outcomes)
    return min(MOST, earned / honest) if honest else MOST * (earned > 0)


def _is_late(strategy: Sequence[str]) -> bool:
    return all(name.startswith("copy") for name in strategy)


STRATEGIES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "honest, one more": (("self",),),
    "noisy labels 20 %": (("noisy-20",),),
    "noisy labels 40 %": (("noisy-40",),),
    "labels shuffled": (("shuffled",),),
    "poison: flipped": (("flipped-small",),),
    "poison: flipped, norm bound": (("flipped",),),
    "zero update": (("zero",),),
    "random, norm bound": (("random-0",), ("random-1",)),
    "random, usual norm": (("random-small",),),
    "best of 200 random": (("best-of-200",),),
    "public benchmark": (("public",),),
    "replay of the aggregate": (("replay",),),
    "replay, scaled up": (("replay-scaled",),),
    "replay, noise to cos 0.9": (("replay-90",),),
    "replay, noise to cos 0.7": (("replay-70",),),
    "replay of its own last": (("own-last",),),
    "replay of another's last": (("other-last",),),
    "copy (leak)": (("copy",),),
    "copy, noise to cos 0.9 (leak)": (("copy-90",),),
    "copy, noise to cos 0.7 (leak)": (("copy-70",),),
    "public benchmark, buried": (("public-buried",),),
    "public benchmark, two passes": (("public-twice",),),
    "public benchmark, the second pass alone": (("public-next",),),
    "replay, buried": (("replay-buried",),),
    "replay of another's last, buried": (("other-last-buried",),),
    "copy, buried (leak)": (("copy-buried",),),
    "Sybil, data split in 2": (("split-2-0", "split-2-1"),),
    "Sybil, data split in 4": (("split-4-0", "split-4-1", "split-4-2", "split-4-3"),),
    "Sybil, same data twice": (("self", "same-2"),),
    "Sybil, one training, two noises": (("self-buried-0", "self-buried-1"),),
    "leaked slice": (("leak",),),
    "half the slice leaked": (("leak-half",),),
}
"""Candidates of each strategy; several tuples are draws of the same one."""

LEAKS: Mapping[str, Mapping[tuple[int, int], tuple[str, tuple[int, ...]]]] = {
    "leaked slice": {(128, 1): ("leak", (0, 1)), (256, 1): ("leak", (0,)), (128, 2): ("leak", (0,))},
    "half the slice leaked": {(256, 1): ("leak-half", (0,)), (512, 1): ("leak", (0,)), (128, 2): ("leak-half", (0,))},
}
"""By slice size and stewards: who trained on the rows, and which groups of slices those are in."""


def play(measured: Measured, variant: Variant, strategy: str) -> Outcome | None:
    """One strategy in one round; None where it does not exist (nothing to replay yet, not measured so)."""
    if (variant.eta, variant.size) not in measured.losses:
        return None
    if strategy in LEAKS:
        known = LEAKS[strategy].get((variant.size, variant.stewards))
        if known is None or known[0] not in measured.names:
            return None
        return replay(measured, variant, (known[0],), slices=known[1])
    draws = [draw for draw in STRATEGIES[strategy] if set(draw) <= set(measured.names)]
    if not draws:
        return None
    return mean_outcome([replay(measured, variant, draw) for draw in draws])
