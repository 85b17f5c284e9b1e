"""Pipelines by name: ``[pre+[pre+]]rule[:f=N|auto]``, e.g. ``arc+nnm+trimmed_mean`` or ``norm_clip+mean:f=2``.

f is the number of faulty clients to withstand, one number for the whole pipeline. ``auto`` (default) is ``⌊(n-1)/3⌋``, lowered,
with a warning, to what every stage tolerates.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from aggregation import engine, fixed_point
from aggregation.bundle import Schema, Tensors, Vector, require_schema
from aggregation.errors import AggregationError, UpdateRejected
from aggregation.gram import Gram
from aggregation.kernels import choose
from aggregation.kernels_numpy import ONE
from aggregation.pre import PRE_AGGREGATIONS
from aggregation.rules import RULES
from aggregation.stages import Clip, Mix, PreAggregation, Rule, Selection, Step, require_tolerated

DEFAULT = "arc+nnm+trimmed_mean"
_RULES = {rule.name: rule for rule in RULES}
_PRE = {pre.name: pre for pre in PRE_AGGREGATIONS}
_TEXT = re.compile(r"(?P<stages>[a-z_+]+)(?::f=(?P<f>auto|0|[1-9][0-9]{0,3}))?")


@dataclass(frozen=True, slots=True)
class ClientReport:
    """What the pipeline did with one update.

    Attributes:
        client: its id.
        clip_factor: k of the factor k/2^16 it was multiplied with; 65536 is not clipped.
        excluded: ids that NNM left out of its neighbourhood.
        selected: whether the rule used its row (Krum's family drops some).
        saturated: coordinates clamped because they exceed the round's scale.
        lost: non-zero coordinates that became 0.
    """

    client: bytes
    clip_factor: int
    excluded: tuple[bytes, ...]
    selected: bool
    saturated: int
    lost: int


@dataclass(frozen=True, slots=True)
class Report:
    """How an aggregate came about. Informative: not part of any hash.

    Attributes:
        pipeline: canonical text.
        n: number of updates.
        f: faulty clients withstood.
        bits: fixed-point bits.
        shifts: per tensor s of ``q = rint(x · 2^s)``.
        clients: one entry per update, in order of id.
        warnings: sentences for people.
    """

    pipeline: str
    n: int
    f: int
    bits: int
    shifts: Mapping[str, int]
    clients: tuple[ClientReport, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Result of a round: float32 tensors (no −0) and the report."""

    tensors: dict[str, Vector]
    report: Report


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Pre-aggregations, then one rule.

    Attributes:
        pre: in order of application.
        rule: the last stage.
        f: faulty clients to withstand; None is ``auto``.
    """

    pre: tuple[PreAggregation, ...]
    rule: Rule
    f: int | None = None

    def __str__(self) -> str:
        names = "+".join(stage.name for stage in self.stages)
        return names if self.f is None else f"{names}:f={self.f}"

    @property
    def stages(self) -> tuple[PreAggregation | Rule, ...]:
        """All stages in order of application."""
        return (*self.pre, self.rule)

    def resolve_f(self, n: int) -> int:
        """The f used for n updates.

        Raises:
            PreconditionFailed: an explicit f is more than a stage tolerates.
        """
        if self.f is None:
            return min((n - 1) // 3, *(stage.tolerates(n) for stage in self.stages))
        for stage in self.stages:
            require_tolerated(stage, n, self.f)
        return self.f

    def aggregate(
        self,
        updates: Mapping[bytes, Tensors],
        schema: Schema,
        *,
        kernels: str | None = None,
        threads: int = 1,
        tile: int = 0,
    ) -> Aggregate:
        """Combine the updates; a function of the set of (id, update) alone.

        Args:
            updates: by client id; ids are compared as bytes, which orders clients and breaks ties.
            schema: names and shapes of every update.
            kernels: ``numpy``, ``numba`` or ``auto`` (`aggregation.kernels`); changes the time, never a bit.
            threads: workers; likewise.
            tile: columns per tile, 0 chooses; likewise.

        Raises:
            UpdateRejected: an update has another schema or dtype, or is not finite; the id is in `why`.
            PreconditionFailed: f is too large for n.
            AggregationError: no updates, or more than 1024.
        """
        ids = sorted(updates)
        n = len(ids)
        if not 1 <= n <= fixed_point.MAX_CLIENTS:
            raise AggregationError(f"Cannot aggregate {n} updates, 1 to {fixed_point.MAX_CLIENTS} are possible.")
        f = self.resolve_f(n)
        source = _source([updates[client] for client in ids], ids, schema, self._bits(n))
        work = n * sum(rows[0].size for rows in source.tensors)
        machine = engine.Machine(choose(kernels, values=work), threads, tile)
        gram = engine.measure(source, machine) if self.pre or self.rule.uses_gram else None
        steps, selection = self._plan(n, f, gram)
        outputs, counts = engine.combine(source, steps, selection, machine)
        tensors = {name: out.reshape(shape) for (name, shape), out in zip(schema, outputs, strict=True)}
        clients = _client_reports(ids, steps, selection, counts)
        warnings = (*self._warnings(n, f), *_coarse_warnings(ids, counts))
        shifts = {name: shift for (name, _), shift in zip(schema, source.shifts, strict=True)}
        return Aggregate(tensors, Report(str(self), n, f, source.bits, shifts, clients, warnings))

    def _bits(self, n: int) -> int:
        """Mixing adds up to n rows in int32; without it all 30 bits are free."""
        return fixed_point.sum_bits(n) if any(pre.sums_rows for pre in self.pre) else fixed_point.MAX_BITS

    def _plan(self, n: int, f: int, gram: Gram | None) -> tuple[list[Step], Selection]:
        steps: list[Step] = []
        for pre in self.pre:
            assert gram is not None
            steps.append(pre.plan(gram, f))
            gram = steps[-1].on_gram(gram)
        return steps, self.rule.plan(n, f, gram)

    def _warnings(self, n: int, f: int) -> tuple[str, ...]:
        if self.f is None and f < (n - 1) // 3:
            tightest = min(self.stages, key=lambda stage: stage.tolerates(n))
            return (
                f"f=auto was lowered from {(n - 1) // 3} to {f}: {tightest.name} needs {tightest.condition}, n={n}.",
            )
        return ()


def parse(text: str) -> Pipeline:
    """Pipeline of a text (grammar in the module docstring).

    Raises:
        AggregationError: unknown names (the known ones are listed), a wrong order, a stage twice, or bad syntax.
    """
    found = _TEXT.fullmatch(text)
    if found is None:
        raise AggregationError(
            f"{text!r} is no aggregation pipeline.", hint=f"Write e.g. {DEFAULT} or {DEFAULT}:f=1 (f: number or auto)."
        )
    *before, last = found["stages"].split("+")
    known = f"Rules: {', '.join(sorted(_RULES))}. Before the rule: {', '.join(sorted(_PRE))}."
    unknown = [name for name in (*before, last) if name not in _RULES and name not in _PRE]
    if unknown:
        raise AggregationError(f"Unknown stage {unknown[0]!r} in {text!r}.", hint=known)
    if last not in _RULES or any(name not in _PRE for name in before):
        raise AggregationError(f"{text!r} must end with its one rule.", hint=known)
    if len(set(before)) != len(before):
        raise AggregationError(f"{text!r} names a stage twice.", hint=known)
    f = None if found["f"] in (None, "auto") else int(found["f"])
    return Pipeline(tuple(_PRE[name] for name in before), _RULES[last], f)


def _source(updates: list[Tensors], ids: list[bytes], schema: Schema, bits: int) -> engine.Source:
    """Check the updates and agree on the scales."""
    if not schema:
        raise AggregationError("The schema names no tensors.", hint="Check which parameters are trainable.")
    exponents: list[list[int | None]] = []
    for client, update in zip(ids, updates, strict=True):
        try:
            require_schema(update, schema)
            exponents.append([fixed_point.exponent_of(update[name]) for name, _ in schema])
        except UpdateRejected as error:
            why = f"It is the update of client {client.hex()}."
            raise UpdateRejected(error.reason, error.what, why=why, hint=error.hint) from error
    tensors = tuple(tuple(update[name].reshape(-1) for update in updates) for name, _ in schema)
    shifts = tuple(fixed_point.common_shift(votes, bits) for votes in zip(*exponents, strict=True))
    return engine.Source(tensors, shifts, bits)


def _client_reports(
    ids: list[bytes], steps: list[Step], selection: Selection, counts: list[tuple[int, int, int]]
) -> tuple[ClientReport, ...]:
    reports = []
    for i, client in enumerate(ids):
        factor = ONE
        excluded: tuple[bytes, ...] = ()
        for step in steps:
            if isinstance(step, Clip):
                factor = factor * step.factors[i] // ONE
            elif isinstance(step, Mix):
                excluded = tuple(ids[j] for j in sorted(step.excluded[i]))
        saturated, _, lost = counts[i]
        reports.append(ClientReport(client, factor, excluded, i in selection.rows, saturated, lost))
    return tuple(reports)


def _coarse_warnings(ids: list[bytes], counts: list[tuple[int, int, int]]) -> tuple[str, ...]:
    return tuple(
        f"Client {client.hex()}: {lost} of {nonzero} non-zero coordinates are too small for the round's scale."
        for client, (_, nonzero, lost) in zip(ids, counts, strict=True)
        if fixed_point.too_coarse(nonzero, lost)
    )
