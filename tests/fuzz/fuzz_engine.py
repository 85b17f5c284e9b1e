"""Makes foreign bytes out of good ones, and watches what a decoder does with them.

Inputs are entries of a corpus with a few bytes changed or, where they are JSON, with a value or a key exchanged for an odd one. Seeded: the
same seed makes the same inputs.
"""

from __future__ import annotations

import hashlib
import json
import random
import resource
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MAX_INPUT = 1 << 16
MOST_SECONDS = 2.0
"""A decoder that takes longer over one input of at most 64 KiB has lost its way. (Milliseconds are usual; machines hiccup.)"""
MOST_GROWTH = 256 << 20
"""Bytes that a decoder may add to the most the process ever held."""
ODD_NUMBERS = (0, -1, 1, 255, 256, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**63, 2**64, 2**256, -(2**63), 10**400)
ODD_TEXTS = (
    *("", " ", "\x00", "0x", "0x0", "é", "\ud800", "９", "²", "null", "1e999", "../../x", "-1", "NaN"),
    "a" * 300,
    "Qm" + "1" * 44,
    "0x" + "00" * 20,
)
ODD_BYTES = (
    *(b"\x00", b"\xff", b"\x80", b"\x7f", b"\n", b'"', b"{", b"}", b"[", b"]", b"\\u0000", b"\xf0\x9f"),
    *(b"NaN", b"Infinity", b"-", b"e"),
)


@dataclass(frozen=True, slots=True)
class Decoder:
    """One reader of foreign bytes.

    Attributes:
        name: as in the report.
        read: reads bytes; may check what it got (AssertionError is a crash).
        errors: what it documents to raise.
        corpus: good inputs, at least one.
    """

    name: str
    read: Callable[[bytes], Any]
    errors: tuple[type[BaseException], ...]
    corpus: tuple[bytes, ...]


@dataclass(slots=True)
class Outcome:
    """What became of one decoder's inputs."""

    inputs: int = 0
    accepted: int = 0
    seconds: float = 0.0
    slowest_ms: float = 0.0
    growth_mb: float = 0.0
    crashes: dict[str, tuple[bytes, str]] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """Of the report."""
        return {
            "inputs": self.inputs,
            "accepted": self.accepted,
            "seconds": round(self.seconds, 2),
            "crashes": len(self.crashes),
            "slowest_ms": round(self.slowest_ms, 2),
            "growth_mb": round(self.growth_mb, 1),
        }


def fuzz(decoder: Decoder, *, seed: int, inputs: int, seconds: float = 1e9) -> Outcome:
    """Feed mutated corpus entries until ``inputs`` or ``seconds`` of processor time are used up; first the corpus itself."""
    rng = random.Random(f"{seed}/{decoder.name}")
    outcome, end = Outcome(), time.process_time() + seconds
    for data in decoder.corpus:  # also warms caches up, so that the first real input is not the slowest
        one(decoder, data, outcome)
    if not outcome.accepted and not outcome.crashes:
        raise AssertionError(f"{decoder.name} refuses its whole corpus")
    outcome.slowest_ms = 0.0
    before = most_memory()
    while outcome.inputs < inputs and time.process_time() < end:
        one(decoder, mutated(rng, decoder.corpus), outcome)
    outcome.growth_mb = (most_memory() - before) / (1 << 20)
    if most_memory() - before > MOST_GROWTH:
        outcome.crashes["memory"] = (b"", f"{decoder.name} grew the process by {outcome.growth_mb:.0f} MiB")
    return outcome


def most_memory() -> int:
    """Most bytes this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def one(decoder: Decoder, data: bytes, outcome: Outcome) -> None:
    """One input."""
    start = time.perf_counter()
    begun = time.process_time()
    try:
        decoder.read(data)
        outcome.accepted += 1
    except decoder.errors:
        pass
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what we look for
        outcome.crashes.setdefault(_where(error), (data, "".join(traceback.format_exception(error))))
    spent = time.process_time() - begun
    if spent > MOST_SECONDS:
        outcome.crashes.setdefault("slow", (data, f"{spent:.1f} seconds of processor time for {len(data)} bytes"))
    outcome.inputs += 1
    outcome.seconds += time.perf_counter() - start
    outcome.slowest_ms = max(outcome.slowest_ms, 1e3 * spent)


def _where(error: BaseException) -> str:
    """Kind and innermost place of ours: one crash a place."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
    return f"{type(error).__name__} at {Path(frames[-1].filename).name}:{frames[-1].lineno}"


def keep(decoder: str, outcome: Outcome, folder: Path) -> list[str]:
    """Write crashing inputs down; returns what happened, a line each."""
    lines = []
    for place, (data, trace) in sorted(outcome.crashes.items()):
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{decoder.replace('/', '-')}-{hashlib.sha256(data + place.encode()).hexdigest()[:12]}"
        (folder / f"{name}.bin").write_bytes(data)
        (folder / f"{name}.txt").write_text(trace, encoding="utf-8", errors="backslashreplace")
        lines.append(f"{decoder}: {place} ({name}.bin)")
    return lines


# --- mutations --------------------------------------------------------------------------------------------------------


def mutated(rng: random.Random, corpus: Sequence[bytes]) -> bytes:
    """Another input."""
    data = rng.choice(corpus)
    kind = rng.random()
    if kind < 0.02:
        return rng.randbytes(rng.choice((0, 1, 7, 8, 64, 1000)))
    if kind < 0.45 and data[:1] in b'{["':
        changed = _json(rng, data)
        if changed is not None:
            return changed[:MAX_INPUT]
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        data = _bytes(rng, data, corpus)
    return data[:MAX_INPUT]


def _bytes(rng: random.Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(data) + 1)
    span = rng.choice((1, 1, 2, 4, 8, 32, rng.randrange(len(data) + 1)))
    match rng.randrange(9):
        case 0 if data:
            at = min(at, len(data) - 1)
            return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
        case 1:
            return data[:at] + data[at + span :]
        case 2:
            return data[:at] + data[at : at + span] * rng.choice((2, 2, 3, 100)) + data[at + span :]
        case 3:
            return data[:at] + rng.randbytes(span) + data[at + span :]
        case 4:
            return data[:at] + rng.choice(ODD_BYTES) + data[at + rng.choice((0, 1)) :]
        case 5:
            number = rng.choice(ODD_NUMBERS) % (1 << 64)
            width, order = rng.choice((1, 2, 4, 8)), rng.choice(("big", "little"))
            return data[:at] + (number % (1 << 8 * width)).to_bytes(width, order) + data[at + width :]
        case 6:
            other = rng.choice(corpus)
            return data[:at] + other[rng.randrange(len(other) + 1) :]
        case 7:
            return data[:at]
        case _:
            text = str(rng.choice(ODD_NUMBERS)).encode()
            return data[:at] + text + data[at + rng.choice((0, 1, len(text))) :]


def _json(rng: random.Random, data: bytes) -> bytes | None:
    """A JSON document with a few values exchanged, in the writing it came in."""
    try:
        value = json.loads(data)
    except ValueError:
        return None
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        value = _changed(rng, value)
    compact = (",", ":") if b'": ' not in data else None
    try:
        text = json.dumps(value, sort_keys=True, separators=compact, ensure_ascii=rng.random() < 0.9)
        return text.encode() + (b"\n" if data.endswith(b"\n") else b"")
    except (ValueError, RecursionError):
        return None


def _changed(rng: random.Random, value: Any) -> Any:
    """The value with one place below it changed."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(sorted(value, key=str))
        match rng.randrange(8):
            case 0:
                return {k: v for k, v in value.items() if k != key}
            case 1:
                return {**value, rng.choice(ODD_TEXTS): _odd(rng)}
            case 2:
                return {(rng.choice(ODD_TEXTS) if k == key else k): v for k, v in value.items()}
            case _:
                return {**value, key: _changed(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.9:
        at = rng.randrange(len(value))
        match rng.randrange(6):
            case 0:
                return value[:at] + value[at + 1 :]
            case 1:
                return value + [value[at]] * rng.choice((1, 2, 70))
            case _:
                return [*value[:at], _changed(rng, value[at]), *value[at + 1 :]]
    if isinstance(value, str) and value and rng.random() < 0.4:
        at = rng.randrange(len(value))
        return value[:at] + rng.choice((*ODD_TEXTS, value[at].swapcase(), "")) + value[at + rng.choice((0, 1)) :]
    return _odd(rng)


def _odd(rng: random.Random) -> Any:
    match rng.randrange(9):
        case 0:
            return rng.choice(ODD_NUMBERS[:-1])
        case 1:
            return rng.choice(ODD_TEXTS)
        case 2:
            return rng.choice((True, False, None))
        case 3:
            return rng.choice((0.5, -0.0, 1e308, float("inf"), float("nan"), 5e-324))
        case 4:
            return rng.choice(([], {}, [[]], {"a": 1}, [None], ["x"] * 70))
        case 5:
            deep: Any = 0
            for _ in range(rng.choice((3, 60, 400))):
                deep = [deep]
            return deep
        case 6:
            return "0x" + "ab" * rng.choice((1, 19, 20, 31, 32, 33, 65))
        case 7:
            return rng.choice(("x", "\n")) * rng.choice((1, 1999, 2001, 21_000))
        case _:
            return rng.randrange(1 << rng.choice((4, 16, 64)))
