"""Verbatim extraction: how many training rows a decoder finishes word for word when given their beginning (Carlini et al. 2021, 2023).

Works on token ids and a function that continues them, so on any decoder. An encoder emits no text: there is nothing to extract.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from learning.privacy.audit import Finding, Limits, Verdict, judged
from learning.privacy.statistics import Estimate, proportion

Tokens = Sequence[int]
Continue = Callable[[Sequence[Tokens], int], Sequence[Tokens]]
"""``continue_(prompts, count)``: the decoder's own (greedy) next ``count`` tokens of each prompt."""
TEST = "verbatim extraction"
PREFIX, SUFFIX = 24, 24


def extracted(rows: Sequence[Tokens], continue_: Continue, *, prefix: int = PREFIX, suffix: int = SUFFIX) -> list[bool]:
    """For each row that is long enough: whether the next ``suffix`` tokens after its first ``prefix`` are given back exactly."""
    long = [row for row in rows if len(row) >= prefix + suffix]
    found = continue_([list(row[:prefix]) for row in long], suffix)
    return [list(given[:suffix]) == list(row[prefix : prefix + suffix]) for given, row in zip(found, long, strict=True)]


def extraction_finding(
    members: Sequence[Tokens], others: Sequence[Tokens], continue_: Continue, limits: Limits, *, least: int = 30
) -> Finding:
    """Share of members extracted beyond the share of others, which a decoder may finish because code repeats itself.

    The interval is that of the members' share with the others' share taken off.
    """
    ours, theirs = extracted(members, continue_), extracted(others, continue_)
    measure = f"share continued for {SUFFIX} tokens, beyond unseen rows"
    if min(len(ours), len(theirs)) < least:
        note = f"{len(ours)} members and {len(theirs)} others are {PREFIX + SUFFIX} tokens long; {least} are needed"
        return Finding(TEST, measure, None, limits.max_extracted, Verdict.NOT_JUDGED, note)
    share, base = proportion(sum(ours), len(ours)), proportion(sum(theirs), len(theirs))
    beyond = Estimate(share.value - base.value, share.low - base.high, share.high - base.low)
    return judged(TEST, measure, beyond, limits.max_extracted, f"members {share.value:.3f}, others {base.value:.3f}")


def not_applicable() -> Finding:
    """What an encoder's audit says of extraction."""
    note = "the model embeds text and emits none; what it keeps of its rows shows in membership and canaries"
    return Finding(TEST, "share", None, None, Verdict.NOT_APPLICABLE, note)
