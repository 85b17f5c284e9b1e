"""Verifiers that lie or do not compute, and rounds that nobody else takes part in. Pure arithmetic on measured gains.

A colluding panel praises its members' updates and damns all others (`scoring.MAX_GAIN`, `MIN_GAIN`). The ring is a random permutation, so
the k verifiers of one update are a uniform draw from the other n−1 participants: the number of liars among them is hypergeometric, and
what each number leads to is the tally's own answer. `simulate` plays the same on the protocol's ring (`node.protocol.sortition`).
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from math import comb

import numpy as np

from benchmarks.economics_scoring import EMISSION, MOST, convex
from incentives import rewards, scoring
from node.protocol.sortition import verifiers_of, verifiers_per_update


@dataclasses.dataclass(frozen=True)
class Panel:
    """A community with liars.

    Attributes:
        n: participants of the round.
        liars: how many of them collude.
        max_verifiers: of the deployment.
        tally: the deployment's constants.
        absent: honest verifiers that do not show up, in every panel.
        convex: see `economics_scoring.Variant`.
    """

    n: int
    liars: int
    tally: scoring.TallyParams
    max_verifiers: int = 7
    absent: int = 0
    convex: int = 0

    def settled(self, written: Sequence[int]) -> scoring.Tally:
        """Verdict and weight of one update's fields."""
        result = scoring.tally(written, self.tally)
        return dataclasses.replace(result, weight=convex(result.weight, self.convex))

    def fair(self, gain: int) -> int:
        """Weight of an update that every verifier scores alike."""
        return self.settled([scoring.encode_gain(gain)]).weight

    @property
    def k(self) -> int:
        """Verifiers of one update."""
        return verifiers_per_update(self.n, self.max_verifiers)


def liars_among(n: int, liars: int, k: int) -> list[float]:
    """P(b liars among k drawn from n without replacement), b = 0 … k."""
    return [comb(liars, b) * comb(n - liars, k - b) / comb(n, k) if k - b <= n - liars else 0.0 for b in range(k + 1)]


def fields(panel: Panel, b: int, gain: int, *, is_member: bool) -> list[int]:
    """Fields of one update that b liars and k−b honest verifiers (less the absent) score; ``gain`` is the honest score."""
    honest = max(0, panel.k - b - panel.absent)
    lie = scoring.MAX_GAIN if is_member else scoring.MIN_GAIN
    missing = panel.k - b - honest
    return [scoring.encode_gain(lie)] * b + [scoring.encode_gain(gain)] * honest + [scoring.NOT_SCORED] * missing


def expected(panel: Panel, gain: int, *, is_member: bool) -> tuple[float, float, float]:
    """(weight, P(accepted), P(harmful)) of one update whose honest score is ``gain``."""
    chances = liars_among(panel.n - 1, panel.liars - is_member, panel.k)
    weight = accepted = harmful = 0.0
    for b, chance in enumerate(chances):
        if chance:
            result = panel.settled(fields(panel, b, gain, is_member=is_member))
            weight += chance * result.weight
            accepted += chance * (result.verdict is scoring.Verdict.ACCEPTED)
            harmful += chance * (result.verdict is scoring.Verdict.HARMFUL)
    return weight, accepted, harmful


def collusion(panel: Panel, gains: Sequence[int], own: int) -> dict[str, float]:
    """Expected weight of a colluder whose update is worth ``own``, relative to an honest node's where nobody lies.

    Args:
        panel: the community.
        gains: honest scores of the round (the real ones).
        own: honest score of a colluder's update: 0 for one that did not train.
    """
    fair = statistics.mean(panel.fair(gain) for gain in gains)
    mine, captured, _ = expected(panel, own, is_member=True)
    others = [expected(panel, gain, is_member=False) for gain in gains]
    return {
        "pay": min(MOST, mine / fair) if fair else MOST * (mine > 0),
        "captured": captured,
        "honest_pay": statistics.mean(o[0] for o in others) / fair if fair else 0.0,
        "honest_harmful": statistics.mean(o[2] for o in others),
    }


def simulate(panel: Panel, gains: Sequence[int], own: int, *, rounds: int, seed: int) -> dict[str, float]:
    """`collusion` on the protocol's ring: means over random seeds and draws of the honest scores, pay by the reward formula."""
    rng = np.random.default_rng(seed)
    emitted = rewards.emission(1, EMISSION)
    mine = fair = 0
    captured = harmful = 0
    for _ in range(rounds):
        ring = rng.bytes(32)
        liars = set(rng.permutation(panel.n)[: panel.liars].tolist())
        drawn = rng.choice(gains, panel.n).tolist()
        score = [own if i in liars else drawn[i] for i in range(panel.n)]
        results = []
        for i in range(panel.n):
            b = sum(v in liars for v, _ in verifiers_of(ring, panel.n, i, panel.k))
            results.append(panel.settled(fields(panel, b, score[i], is_member=i in liars)))
        mine += sum(_pay(emitted, results[i].weight, [r.weight for r in results]) for i in liars)
        undisturbed = [panel.fair(gain) for gain in drawn]
        fair += sum(_pay(emitted, w, undisturbed) for w in undisturbed)
        captured += sum(results[i].verdict is scoring.Verdict.ACCEPTED for i in liars)
        harmful += sum(results[i].verdict is scoring.Verdict.HARMFUL for i in range(panel.n) if i not in liars)
    return {
        "pay": (mine / panel.liars) / (fair / panel.n) if fair else 0.0,
        "captured": captured / (panel.liars * rounds),
        "honest_harmful": harmful / ((panel.n - panel.liars) * rounds),
    }


def _pay(emitted: int, weight: int, weights: Sequence[int]) -> int:
    target = EMISSION.weight_target
    return rewards.trainer_reward(emitted, weight=weight, sum_weight=sum(weights), weight_target=target, is_sealed=True)


# --- lazy verifiers --------------------------------------------------------------------------------------------------


def hits(guess: int, settled: Sequence[int], tau: int) -> float:
    """Share of fields that a verifier who writes ``guess`` everywhere is paid for."""
    return statistics.mean(abs(guess - gain) <= tau for gain in settled) if settled else 0.0


def lazy(history: Sequence[Sequence[int]], tau: int, *, draws: int = 200, seed: int = 0) -> dict[str, list[float]]:
    """Pay per round of verifiers that compute nothing, relative to one that does, by what they write.

    Args:
        history: settled gains of every round.
        tau: tolerance, ppm.
        draws: random guesses tried per field.
        seed: of the guesses.

    ``zero``; ``median``: the lower median of the round before; ``past``: a random settled gain of the round before; ``anything``: uniform
    within the gains of the round before; ``best``: the best single number in hindsight, which nobody knows before (an upper bound).
    """
    rng = np.random.default_rng(seed)
    found: dict[str, list[float]] = {name: [] for name in ("zero", "median", "past", "anything", "best")}
    for number, settled in enumerate(history):
        before = sorted(history[number - 1]) if number else [0]
        past = rng.choice(before, draws).tolist()
        anything = rng.integers(min(before), max(before) + 1, draws).tolist()
        found["zero"].append(hits(0, settled, tau))
        found["median"].append(hits(before[(len(before) - 1) // 2], settled, tau))
        found["past"].append(statistics.mean(hits(g, settled, tau) for g in past))
        found["anything"].append(statistics.mean(hits(g, settled, tau) for g in anything))
        found["best"].append(max((hits(g + tau, settled, tau) for g in settled), default=0.0))
    return found


def worth_of_guessing(
    hit: float, *, dispute: float, stake: int, fields_paid: int, price: float, bps: int = 1_000
) -> float:
    """Expected pay of one guessed field relative to its price, where a wrong field is disputed with some probability and slashed.

    Args:
        hit: chance that the guess is right.
        dispute: chance that a wrong field is proven before the court.
        stake: of the verifier, CWT.
        fields_paid: fields of a word (a proven field costs ``bps`` of the whole stake, so it is shared over them for display).
        price: of one field, CWT.
        bps: of the penalty.
    """
    return hit - (1 - hit) * dispute * stake * bps / 10_000 / (price * fields_paid)


# --- empty rounds ----------------------------------------------------------------------------------------------------


def empty_round(weights: Sequence[int], *, honest_weight: float, honest: int, weight_target: int) -> float:
    """Pay of each identity of a farmer alone in a round, relative to an honest node in a round of ``honest`` alike.

    Args:
        weights: of the farmer's identities (the round needs at least `minParticipants`).
        honest_weight: mean weight of an honest update in a full round.
        honest: nodes of a full round.
        weight_target: ppm.
    """
    farmed = sum(weights) / max(sum(weights), weight_target) / len(weights)
    fair = honest_weight / max(honest * honest_weight, weight_target)
    return farmed / fair if fair else 0.0
