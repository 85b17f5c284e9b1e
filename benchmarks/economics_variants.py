"""The scoring variants that economics.py tries."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.economics_scoring import Variant
from incentives.scoring import TallyParams

PROTOCOL = Variant()
MOST_GAIN = 524_287  # what a field of the score word can hold
CAPS = (25_000, 50_000, 100_000, 200_000, MOST_GAIN)
BEFORE = Variant(
    "before", TallyParams(tau=5_000, delta_min=1_000, harm_min=80_000, gain_cap=200_000)
)  # the constants until ADR 0018


def families() -> dict[str, list[Variant]]:
    """One line of the picture each: variants by the one thing they change."""
    return {
        "less z errors": [PROTOCOL.but(f"z {z / 1000}", z_milli=z) for z in (0, 250, 500, 1_000, 2_000, 3_000)],
        "deltaMin": [PROTOCOL.but(f"deltaMin {d}", delta_min=d) for d in (200, 1_000, 2_500, 5_000, 10_000, 20_000)],
        "share of the median": [PROTOCOL.but(f"share of the median {r}", relative=r) for r in (0.1, 0.3, 0.5)],
    }


def caps() -> list[Variant]:
    """The protocol, and other bounds of what one update can weigh."""
    return [PROTOCOL, *(PROTOCOL.but(f"gainCap {cap}", gain_cap=cap) for cap in CAPS)]


def along() -> list[Variant]:
    """Scoring from a base that was also moved along the steward's public training."""
    return [PROTOCOL.but(f"public look-ahead, z {z / 1000}", z_milli=z) for z in (0, 500, 1_000, 2_000)]


def always() -> list[Variant]:
    """The look-ahead along public training from the genesis model on."""
    return [PROTOCOL.but(f"public look-ahead in round 1, z {z / 1000}", z_milli=z) for z in (0, 1_000)]


def steps(etas: Sequence[float]) -> list[Variant]:
    """The protocol with other steps at which an update is tried."""
    return [PROTOCOL.but(f"eta {eta}, z {z / 1000}", eta=eta, z_milli=z) for eta in etas for z in (0, 1_000)]


def others() -> list[Variant]:
    """Single changes that are no line of the picture, and some together."""
    return [
        BEFORE,
        *caps(),
        *(
            PROTOCOL.but(f"harmMin {harm}", harm_min=harm)
            for harm in (80_000, 100_000, 150_000, 200_000, 250_000, 300_000)
        ),
        PROTOCOL.but("novelty¹", exponent=1),
        PROTOCOL.but("novelty⁴", exponent=4),
        PROTOCOL.but("novelty to the last round's updates", references=frozenset({"previous"})),
        PROTOCOL.but("novelty to public training", references=frozenset({"public"})),
        PROTOCOL.but("winsorised at 2 medians", winsor=2.0),
        PROTOCOL.but("two stewards, 128 rows each", size=128, stewards=2),
        PROTOCOL.but("256 rows", size=256),
        PROTOCOL.but("256 rows, z 1.0", size=256, z_milli=1_000),
        PROTOCOL.but("pass or fail, z 1.0", z_milli=1_000, is_hard=True),
    ]
