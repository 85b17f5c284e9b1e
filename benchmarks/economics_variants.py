"""The scoring variants that economics.py tries, and in which of the measured rounds."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.economics_scoring import Variant

PROTOCOL = Variant()
MOST_GAIN = 524_287  # what a field of the score word can hold
SQUARED = {"gain_cap": 200_000, "convex": 200_000}
UNCAPPED = {"gain_cap": MOST_GAIN, "convex": MOST_GAIN}
RECOMMENDED = PROTOCOL.but("recommended", z_milli=1_000, harm_min=150_000)
PREVIOUS, PUBLIC = frozenset({"previous"}), frozenset({"public"})


def families() -> dict[str, list[Variant]]:
    """One line of the picture each: variants by the one thing they change."""
    plain = [PROTOCOL.but(f"deltaMin {d}", delta_min=d) for d in (200, 1_000, 2_500, 5_000, 10_000, 20_000)]
    lower = [PROTOCOL.but(f"z {z / 1000}", z_milli=z) for z in (500, 1_000, 1_500, 2_000, 3_000)]
    hard = [PROTOCOL.but(f"pass or fail, z {z / 1000}", z_milli=z, is_hard=True) for z in (1_000, 2_000, 3_000)]
    relative = [PROTOCOL.but(f"share of the median {r}", relative=r) for r in (0.1, 0.3, 0.5)]
    squared = [PROTOCOL.but(f"squared, deltaMin {d}", delta_min=d, **SQUARED) for d in (200, 1_000, 5_000, 10_000)]
    both = [PROTOCOL.but(f"squared, z {z / 1000}", z_milli=z, **SQUARED) for z in (500, 1_000, 2_000)]
    return {
        "deltaMin": plain,
        "less z errors": lower,
        "z, pass or fail": hard,
        "share of the median": relative,
        "squared weight, deltaMin": squared,
        "squared weight, less z errors": both,
    }


def others() -> list[Variant]:
    """Single changes that are no line of the picture, and some together."""
    return [
        PROTOCOL.but("gainCap 100000", gain_cap=100_000),
        PROTOCOL.but(f"gainCap {MOST_GAIN}", gain_cap=MOST_GAIN),
        PROTOCOL.but("squared, gainCap 524287", **UNCAPPED),
        PROTOCOL.but("novelty¹", exponent=1),
        PROTOCOL.but("novelty³", exponent=3),
        PROTOCOL.but("novelty⁴", exponent=4),
        PROTOCOL.but("novelty to the last round's updates", references=PREVIOUS),
        PROTOCOL.but("novelty by containment", contains=True),
        PROTOCOL.but("public baseline", public_baseline=True),
        PROTOCOL.but("winsorised at 2 medians", winsor=2.0),
        PROTOCOL.but("two stewards, 128 rows each", size=128, stewards=2),
        PROTOCOL.but("128 rows", size=128),
        PROTOCOL.but("128 rows, z 1.0", size=128, z_milli=1_000),
        PROTOCOL.but("harmMin 150000", harm_min=150_000),
        PROTOCOL.but("squared, z 1.0, harmMin 150000", z_milli=1_000, harm_min=150_000, **SQUARED),
        PROTOCOL.but("winsorised, squared, z 1.0", z_milli=1_000, winsor=2.0, harm_min=150_000, **SQUARED),
        PROTOCOL.but("all", z_milli=3_000, winsor=2.0, relative=0.3, public_baseline=True, references=PREVIOUS),
        RECOMMENDED,
    ]


def compared() -> Mapping[str, list[Variant]]:
    """Variants that only some rounds were measured for, each beside those it is to be compared with on the same rounds.

    ``reference``: rounds with an update that verifiers train on the public benchmark; ``fine``: 512 rows; ``steps``: other steps;
    ``public``: look-ahead along public training. ``steps`` and ``public`` have measurements of their own; a name that ends in ``0.25``
    or ``plain`` is played on the ordinary measurement of those rounds.
    """
    few = [PROTOCOL, RECOMMENDED]
    return {
        "reference": [
            *(v.but(f"{v.name}, rounds with a reference") for v in few),
            *(v.but(f"{v.name}, novelty to public training", references=PUBLIC) for v in few),
            PROTOCOL.but("novelty⁴ to public training", references=PUBLIC, exponent=4),
        ],
        "fine": [v.but(f"{v.name}, {size} rows", size=size) for size in (128, 256, 512) for v in few],
        "steps plain": [v.but(f"{v.name}, eta 0.25") for v in few],
        "steps": [v.but(f"{v.name}, eta {eta}", eta=eta) for eta in (0.125, 0.5) for v in few],
        "public plain": [v.but(f"{v.name}, plain look-ahead") for v in few],
        "public": [v.but(f"{v.name}, public look-ahead") for v in few],
    }
