"""How much privacy the noise buys: (ε, δ) of one round and of all rounds together, kept in a ledger that only grows.

(ε, δ)-differential privacy (Dwork et al. 2006): for neighbouring data sets D, D' and every set S of outcomes
P[M(D) ∈ S] ≤ e^ε·P[M(D') ∈ S] + δ. What neighbours are is the **unit**:

* ``client``: D' is any other data set of the same client (replacement). An update clipped to C then moves by at most 2C, so noise of
  standard deviation σC has multiplier σ/2. Each update is published by itself, so neither sampling nor the other clients hide it.
* ``example``: D' lacks one example or has one more. Each example's gradient is clipped to C, the sum gets noise of deviation σC, and
  each example enters a step with probability q (DP-SGD, Abadi et al. 2016, arXiv 1607.00133).

Steps without sampling compose exactly: T Gaussian mechanisms of multipliers m_t are one of multiplier (Σ m_t⁻²)^-½, whose δ(ε) is known in
closed form (Balle & Wang 2018, arXiv 1805.06530). Steps with sampling go through Opacus' Rényi accountant (Mironov et al. 2019, arXiv
1908.10530), an upper bound. Mixtures of both are taken by the latter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from learning.errors import SpecError

UNITS = ("client", "example")
LEDGER_VERSION = 1
_ORDERS = [*range(2, 64), 80, 96, 128, 192, 256, 512, 1024]  # whole ones: fractional ones need not converge


@dataclass(frozen=True, slots=True)
class Spending:
    """What one round's noise was.

    Attributes:
        round: number of the round.
        unit: ``client`` or ``example``.
        noise_multiplier: σ: standard deviation of the noise over the clipping bound C.
        sample_rate: q, probability that an example enters a step; 1 for the unit ``client``.
        steps: noisy steps taken; 1 for the unit ``client``.
    """

    round: int
    unit: str
    noise_multiplier: float
    sample_rate: float
    steps: int

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            SpecError: names the first that is wrong.
        """
        sigma, rate = self.noise_multiplier, self.sample_rate
        for name, holds, expected in (
            ("unit", self.unit in UNITS, f"one of {', '.join(UNITS)}"),
            ("noise_multiplier", math.isfinite(sigma) and sigma > 0, "positive and finite"),
            ("sample_rate", 0 < rate <= 1, "above 0 and at most 1"),
            ("steps", self.steps >= 0, "not negative"),
        ):
            if not holds:
                raise SpecError(
                    f"A round's privacy spending has {name} {getattr(self, name)!r}; it must be {expected}."
                )

    @property
    def effective_multiplier(self) -> float:
        """Deviation of the noise over the sensitivity: σ/2 for replacement of a client's data, σ for one example."""
        return self.noise_multiplier / 2 if self.unit == "client" else self.noise_multiplier


def epsilon(spendings: Sequence[Spending], delta: float) -> float:
    """ε that these rounds spent together on one client's data, for ``delta``; 0 for none.

    All rounds count in full, also where a client used other examples in each: an upper bound.

    Raises:
        SpecError: ``delta`` is not between 0 and 1, or the rounds protect different units (their sum means nothing).
    """
    if not 0 < delta < 1:
        raise SpecError(
            f"delta is {delta}; it must lie between 0 and 1.", hint="Far below one over the number of examples."
        )
    spent = [one for one in spendings if one.steps]
    if len({one.unit for one in spent}) > 1:
        raise SpecError(
            "Rounds that protect a client and rounds that protect an example cannot be added up.",
            hint="Report the rounds of each unit by themselves.",
        )
    if not spent:
        return 0.0
    if all(one.sample_rate == 1 for one in spent):
        return gaussian_epsilon(sum(one.steps / one.effective_multiplier**2 for one in spent) ** -0.5, delta)
    return _sampled_epsilon(spent, delta)


def gaussian_delta(multiplier: float, eps: float) -> float:
    """δ(ε) of one Gaussian mechanism of sensitivity 1: Φ(μ/2 − ε/μ) − e^ε·Φ(−μ/2 − ε/μ) with μ = 1/multiplier.

    Source: Balle & Wang 2018, theorem 8.
    """
    from scipy.special import log_ndtr  # noqa: PLC0415 - a third of a second, only where noise is used

    mu = 1 / multiplier
    first, second = float(log_ndtr(mu / 2 - eps / mu)), eps + float(log_ndtr(-mu / 2 - eps / mu))
    return max(0.0, -math.exp(first) * math.expm1(min(0.0, second - first)))


def gaussian_epsilon(multiplier: float, delta: float) -> float:
    """Least ε with `gaussian_delta` ≤ ``delta``, by bisection from above (never too small)."""
    low, high = 0.0, 1.0
    if gaussian_delta(multiplier, 0.0) <= delta:
        return 0.0
    while gaussian_delta(multiplier, high) > delta:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (low, middle) if gaussian_delta(multiplier, middle) <= delta else (middle, high)
    return high


def _sampled_epsilon(spent: Sequence[Spending], delta: float) -> float:
    from opacus.accountants.analysis.rdp import compute_rdp, get_privacy_spent  # noqa: PLC0415 - seconds of import

    total = sum(
        compute_rdp(
            q=one.sample_rate,
            noise_multiplier=one.effective_multiplier,
            steps=one.steps,
            orders=_ORDERS,
        )
        for one in spent
    )
    return max(0.0, float(get_privacy_spent(orders=_ORDERS, rdp=total, delta=delta)[0]))


@dataclass(frozen=True, slots=True)
class Ledger:
    """Every noisy training of one node, in order. A round that was trained twice spent twice.

    Attributes:
        spendings: one entry a training.
    """

    spendings: tuple[Spending, ...] = ()

    def with_entry(self, spending: Spending) -> Ledger:
        """The ledger with one more entry."""
        return Ledger((*self.spendings, spending))

    def epsilons(self, delta: float) -> dict[str, float]:
        """ε of all rounds together, by unit; only units that were used."""
        return {
            unit: epsilon(chosen, delta)
            for unit in UNITS
            if (chosen := [one for one in self.spendings if one.unit == unit])
        }

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"version": LEDGER_VERSION, "spendings": [asdict(one) for one in self.spendings]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Ledger:
        """The inverse of `to_json`.

        Raises:
            SpecError: it was not written by this version, or an entry is wrong: a damaged ledger must not look like an unspent one.
        """
        try:
            if value["version"] != LEDGER_VERSION:
                raise SpecError(f"The privacy ledger has version {value['version']!r}, not {LEDGER_VERSION}.")
            return cls(tuple(Spending(**entry) for entry in value["spendings"]))
        except (KeyError, TypeError) as error:
            raise SpecError(
                "The privacy ledger is damaged.",
                why=repr(error)[:200],
                hint="Restore it from a backup: what was spent cannot be found out again.",
            ) from error
