"""Pipelines by name: ``[pre[(key=value)]+…]rule[:f=N|auto]``, e.g. ``arc+nnm+trimmed_mean`` or ``bucketing(s=2)+median:f=1``.

f is the number of faulty clients to withstand, one number for the whole pipeline. ``auto`` (default) is ``⌊(n-1)/3⌋``, lowered,
with a warning, to what every stage tolerates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aggregation import engine, fixed_point
from aggregation.bundle import Schema, Tensors, Vector, require_schema
from aggregation.engine import Passes
from aggregation.errors import AggregationError, UpdateRejected
from aggregation.gram import Gram
from aggregation.kernels import choose
from aggregation.kernels_numpy import ONE
from aggregation.pre import PRE_AGGREGATIONS
from aggregation.rules import RULES
from aggregation.stages import (
    Clip,
    Combine,
    Members,
    Mix,
    PreAggregation,
    Rule,
    Selection,
    Step,
    View,
    require_tolerated,
)

DEFAULT = "arc+nnm+trimmed_mean"
_RULES = {rule.name: rule for rule in RULES}
_PRE = {pre.name: pre for pre in PRE_AGGREGATIONS}
_STAGE = r"[a-z_]+(?:\([a-z]+=[0-9.]{1,20}\))?"
_TEXT = re.compile(rf"(?P<stages>{_STAGE}(?:\+{_STAGE})*)(?::f=(?P<f>auto|0|[1-9][0-9]{{0,3}}))?")
_PARAMETER = re.compile(r"(?P<name>[a-z_]+)(?:\((?P<key>[a-z]+)=(?P<value>[0-9]+(?:\.[0-9]+)?)\))?")
_LEAST_BITS = 16


@dataclass(frozen=True, slots=True)
class ClientReport:
    """What the pipeline did with one update.

    Attributes:
        client: its id.
        clip_factor: k of the factor k/2^16 it was multiplied with; 65536 is not clipped.
        excluded: ids that NNM left out of its neighbourhood.
        selected: whether the rule used its row (Krum's family drops some).
        groups: groups of 1024 coordinates in which it is not all zero.
        saturated: groups in which values exceed the round's scale and may have been clamped.
        lost: groups in which all its values are below the round's resolution and became 0.
    """

    client: bytes
    clip_factor: int
    excluded: tuple[bytes, ...]
    selected: bool
    groups: int
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
        shifts: per tensor and group s of ``q = rint(x · 2^s)``.
        clients: one entry per update, in order of id.
        warnings: sentences for people.
    """

    pipeline: str
    n: int
    f: int
    bits: int
    shifts: Mapping[str, NDArray[np.int32]]
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
        parameters: of each stage in ``stages``.
    """

    pre: tuple[PreAggregation, ...]
    rule: Rule
    f: int | None = None
    parameters: tuple[Mapping[str, Fraction], ...] = ()

    def __post_init__(self) -> None:
        if not self.parameters:
            object.__setattr__(self, "parameters", tuple({} for _ in self.stages))

    def __str__(self) -> str:
        names = "+".join(_written(*pair) for pair in zip(self.stages, self.parameters, strict=True))
        return names if self.f is None else f"{names}:f={self.f}"

    @property
    def stages(self) -> tuple[PreAggregation | Rule, ...]:
        """All stages in order of application."""
        return (*self.pre, self.rule)

    @property
    def uses_gram(self) -> bool:
        """Whether any stage looks at distances, which costs a pass over the updates."""
        return any(stage.uses_gram for stage in self.stages)

    def resolve_f(self, n: int) -> int:
        """The f used for n updates.

        Raises:
            PreconditionFailed: an explicit f is more than a stage tolerates.
        """
        if self.f is not None:
            self._require_tolerated(n, self.f)
            return self.f
        rows = n
        least = (n - 1) // 3
        for stage, parameters in zip(self.stages, self.parameters, strict=True):
            least = min(least, stage.tolerates(rows))
            if isinstance(stage, PreAggregation):
                rows, _ = stage.after(rows, 0, parameters)
        return least

    def aggregate(
        self,
        updates: Mapping[bytes, Tensors],
        schema: Schema,
        *,
        weights: Mapping[bytes, int] | None = None,
        seed: bytes = b"",
        gram: Gram | None = None,
        out: Mapping[str, Vector] | None = None,
        kernels: str | None = None,
        threads: int = 1,
        tile: int = 0,
    ) -> Aggregate:
        """Combine the updates; a function of the set of (id, update, weight), seed and gram alone.

        Args:
            updates: by client id; ids are compared as bytes, which orders clients and breaks ties. float32; float16, and bfloat16
                held in uint16, are taken at their exact float32 values.
            schema: names and shapes of every update.
            weights: integers by client id, for ``weighted_mean``.
            seed: public randomness drawn after the updates were fixed, for ``bucketing``.
            gram: inner products to decide by instead of the updates' own, in order of id (`aggregation.lora.product_gram`); not
                for stages with a norm in the updates' own units.
            out: float32 arrays to write the result to, of the schema's shapes, contiguous; None makes new ones.
            kernels: ``numpy``, ``numba`` or ``auto`` (`aggregation.kernels`); changes the time, never a bit.
            threads: workers; likewise.
            tile: columns per tile, 0 chooses; likewise.

        Raises:
            UpdateRejected: an update has another schema or dtype, or is not finite; the id is in `why`.
            PreconditionFailed: f is too large for n.
            AggregationError: no updates, or more than 1024; weights or gram that do not fit.
        """
        results = _outputs(out, schema)

        def begin(ids: list[bytes], bits: int, guard: int) -> Passes:
            source = engine.Source(_flat([updates[client] for client in ids], ids, schema), bits, guard)
            work = source.n * sum(rows[0].size for rows in source.tensors)
            machine = engine.Machine(choose(kernels, values=work), threads, tile)
            return engine.TilePasses(source, machine, [result.reshape(-1) for result in results.values()])

        report = self.carry_out(sorted(updates), schema, begin, weights=weights, seed=seed, gram=gram)
        return Aggregate(results, report)

    def carry_out(
        self,
        ids: list[bytes],
        schema: Schema,
        begin: Callable[[list[bytes], int, int], Passes],
        *,
        weights: Mapping[bytes, int] | None = None,
        seed: bytes = b"",
        gram: Gram | None = None,
    ) -> Report:
        """Decide as `aggregate` does, with the two passes of any engine.

        Args:
            ids: the clients, sorted.
            schema: names and shapes of every update.
            begin: ``(ids, bits, guard) ->`` the passes, once f is known to be possible.
            weights: see `aggregate`.
            seed: likewise.
            gram: likewise.

        Raises:
            AggregationError: as `aggregate` does.
        """
        n = len(ids)
        if not 1 <= n <= fixed_point.MAX_CLIENTS:
            raise AggregationError(f"Cannot aggregate {n} updates, 1 to {fixed_point.MAX_CLIENTS} are possible.")
        f = self.resolve_f(n)
        bits = self._bits(n)
        passes = begin(ids, bits, self._guard(n, f))
        view = View(n, f, ids=tuple(ids), seed=seed, weights=_weights(weights, ids))
        try:
            scales = None
            if gram is not None:
                view = _given(view, gram, self)
            elif self.uses_gram:
                found, unit, scales = passes.measure()
                view = replace(view, gram=found, unit=unit)
            steps, selection, members = self._plan(view)
            scales = passes.combine(steps, selection, scales)
        except engine.NotFinite as error:
            raise named(error, ids[error.client]) from error
        clients = _client_reports(ids, steps, selection, members, _counts(scales, bits))
        warnings = (*self._warnings(n, f), *_coarse_warnings(clients))
        shifts = {name: shift for (name, _), shift in zip(schema, scales.shifts, strict=True)}
        return Report(str(self), n, f, bits, shifts, clients, warnings)

    def _require_tolerated(self, n: int, f: int) -> None:
        for stage, parameters in zip(self.stages, self.parameters, strict=True):
            require_tolerated(stage, n, f)
            if isinstance(stage, PreAggregation):
                n, f = stage.after(n, f, parameters)

    def _bits(self, n: int) -> int:
        """Adding rows up in int32 costs bits; without it all 30 are free."""
        bits = fixed_point.MAX_BITS
        for stage, parameters in zip(self.pre, self.parameters, strict=False):
            bits -= (stage.growth(n, parameters) - 1).bit_length()
            n, _ = stage.after(n, 0, parameters)
        if bits < _LEAST_BITS:
            raise AggregationError(
                f"{self} leaves {bits} bits of resolution, at least {_LEAST_BITS} are needed.",
                hint="Use fewer stages that add rows up, or smaller buckets.",
            )
        return bits

    def _guard(self, n: int, f: int) -> int:
        """Whose loudness the scales must not follow (`aggregation.fixed_point`)."""
        own = f if self.rule.guard is None else self.rule.guard(n, f)
        return max(own, f) if self.pre else own

    def _plan(self, view: View) -> tuple[list[Step], Selection, Members]:
        steps: list[Step] = []
        members: Members = tuple((i,) for i in range(view.n))
        for stage, parameters in zip(self.pre, self.parameters, strict=False):
            step = stage.plan(replace(view, parameters=parameters))
            steps.append(step)
            members = step.members(members)
            view = _behind(view, step, members)
        require_tolerated(self.rule, view.n, view.f)
        return steps, self.rule.plan(replace(view, parameters=self.parameters[-1])), members

    def _warnings(self, n: int, f: int) -> tuple[str, ...]:
        if self.f is None and f < (n - 1) // 3:
            conditions = "; ".join(f"{stage.name} needs {stage.condition}" for stage in self.stages)
            return (f"f=auto was lowered from {(n - 1) // 3} to {f}: {conditions}; n={n}.",)
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
    parts = [_PARAMETER.fullmatch(part) for part in found["stages"].split("+")]
    known = f"Rules: {', '.join(sorted(_RULES))}. Before the rule: {', '.join(sorted(_PRE))}."
    names = [part["name"] if part else "" for part in parts]
    unknown = [name for name in names if name not in _RULES and name not in _PRE]
    if unknown:
        raise AggregationError(f"Unknown stage {unknown[0]!r} in {text!r}.", hint=known)
    *before, last = names
    if last not in _RULES or any(name not in _PRE for name in before):
        raise AggregationError(f"{text!r} must end with its one rule.", hint=known)
    if len(set(before)) != len(before):
        raise AggregationError(f"{text!r} names a stage twice.", hint=known)
    f = None if found["f"] in (None, "auto") else int(found["f"])
    pre, rule = tuple(_PRE[name] for name in before), _RULES[last]
    stages: tuple[PreAggregation | Rule, ...] = (*pre, rule)
    parameters = tuple(
        _parameters(stage, part["key"], part["value"])
        for stage, part in zip(stages, parts, strict=True)
        if part is not None
    )
    return Pipeline(pre, rule, f, parameters)


def _parameters(stage: PreAggregation | Rule, key: str | None, value: str | None) -> dict[str, Fraction]:
    """A stage's parameters, the defaults filled in."""
    given = {} if key is None or value is None else {key: Fraction(value)}
    wanted = ", ".join(stage.parameters) or "none"
    if unknown := sorted(given.keys() - stage.parameters.keys()):
        raise AggregationError(f"{stage.name} has no parameter {unknown[0]!r}.", hint=f"It takes: {wanted}.")
    filled = {name: given.get(name, default) for name, default in stage.parameters.items()}
    missing = [name for name, setting in filled.items() if setting is None]
    if missing:
        raise AggregationError(
            f"{stage.name} needs its parameter {missing[0]!r}.", hint=f"Write {stage.name}({missing[0]}=…)."
        )
    return {name: setting for name, setting in filled.items() if setting is not None}


def _written(stage: PreAggregation | Rule, parameters: Mapping[str, Fraction]) -> str:
    """A stage as `parse` reads it; defaults are left out."""
    given = [f"({key}={_decimal(value)})" for key, value in parameters.items() if stage.parameters.get(key) != value]
    return stage.name + "".join(given)


def _decimal(value: Fraction) -> str:
    """Exact decimal of a fraction that was read from one."""
    digits = 0
    while (value * 10**digits).denominator != 1:
        digits += 1
    whole = str(int(value * 10**digits)).rjust(digits + 1, "0")
    return f"{whole[:-digits]}.{whole[-digits:]}" if digits else whole


def _given(view: View, gram: Gram, pipeline: Pipeline) -> View:
    """The view with distances from outside.

    Raises:
        AggregationError: another size, or a stage that needs the updates' own units.
    """
    if len(gram) != view.n or any(len(row) != view.n for row in gram):
        raise AggregationError(
            f"The Gram matrix is not {view.n} by {view.n}.", hint="Give its rows in order of client id."
        )
    own = [stage.name for stage in pipeline.pre if "c" in stage.parameters]
    if own:
        raise AggregationError(f"{own[0]} needs norms in the updates' own units, not a Gram matrix from outside.")
    return replace(view, gram=gram)


def _behind(view: View, step: Step, members: Members) -> View:
    """What the next stage sees."""
    gram, growth = (None, 1) if view.gram is None else step.on_gram(view.gram)
    merged = len(members) != view.n
    dropped = view.n - len(members) if isinstance(step, Combine) and step.divisor == 1 else 0
    return replace(
        view,
        n=len(members),
        f=max(view.f - dropped, 0),
        gram=gram,
        scale=view.scale * growth,
        ids=tuple(b"".join(view.ids[i] for i in row) for row in _indices(step, view.n)) if merged else view.ids,
        weights=() if merged else view.weights,
    )


def _indices(step: Step, n: int) -> Members:
    """Which of the rows before a step each row behind it is made of."""
    return step.members(tuple((i,) for i in range(n)))


def _weights(weights: Mapping[bytes, int] | None, ids: Sequence[bytes]) -> tuple[int, ...]:
    """In order of id.

    Raises:
        AggregationError: a client without weight, a weight without client, or one that is no integer.
    """
    if weights is None:
        return ()
    if set(weights) != set(ids):
        raise AggregationError(
            "The weights' client ids are not those of the updates.", hint="Give every update one weight."
        )
    if any(not isinstance(weight, int) for weight in weights.values()):
        raise AggregationError("Weights are integers.", hint="Scale fractions up; only their ratios matter.")
    return tuple(weights[client] for client in ids)


def _outputs(out: Mapping[str, Vector] | None, schema: Schema) -> dict[str, Vector]:
    """Where the result goes.

    Raises:
        AggregationError: the given arrays do not fit.
    """
    if out is None:
        return {name: np.empty(shape, np.float32) for name, shape in schema}
    for name, shape in schema:
        array = out.get(name)
        if array is None or array.shape != shape or array.dtype != np.float32 or not array.flags.c_contiguous:
            raise AggregationError(f"out[{name!r}] must be a contiguous float32 array of shape {list(shape)}.")
    return {name: out[name] for name, _ in schema}


def _flat(updates: list[Tensors], ids: list[bytes], schema: Schema) -> tuple[tuple[NDArray[Any], ...], ...]:
    """Check the updates; per tensor the clients' flat arrays."""
    if not schema:
        raise AggregationError("The schema names no tensors.", hint="Check which parameters are trainable.")
    for client, update in zip(ids, updates, strict=True):
        try:
            require_schema(update, schema, half=True)
        except UpdateRejected as error:
            raise named(error, client) from error
    return tuple(tuple(_contiguous(update[name]).reshape(-1) for update in updates) for name, _ in schema)


def _contiguous(tensor: NDArray[Any]) -> NDArray[Any]:
    """The tensor, copied where its values do not lie aligned and in a row."""
    flags = tensor.flags
    return tensor if flags.c_contiguous and flags.aligned else np.require(tensor, requirements=["C", "A"])


def named(error: UpdateRejected, client: bytes) -> UpdateRejected:
    """The same refusal, saying whose update it is."""
    return UpdateRejected(error.reason, error.what, why=f"It is the update of client {client.hex()}.", hint=error.hint)


def _counts(scales: engine.Scales, bits: int) -> NDArray[np.int64]:
    """Per client and kind (may saturate, not all zero, all lost) the number of groups, int64 ``[3, n]``."""
    return np.array(engine.coarse_groups(np.hstack(scales.fields), np.hstack(scales.shifts), bits))


def _client_reports(
    ids: list[bytes], steps: list[Step], selection: Selection, members: Members, counts: NDArray[np.int64]
) -> tuple[ClientReport, ...]:
    used = {client for row, clients in enumerate(members) if selection.uses(row) for client in clients}
    factors, excluded = _traced(steps, len(ids))
    return tuple(
        ClientReport(
            client,
            factors[i],
            tuple(ids[j] for j in excluded[i]),
            i in used,
            int(counts[1, i]),
            int(counts[0, i]),
            int(counts[2, i]),
        )
        for i, client in enumerate(ids)
    )


def _traced(steps: list[Step], n: int) -> tuple[list[int], list[tuple[int, ...]]]:
    """Per client its clip factor and whom it excludes, as far as rows still are clients."""
    factors = [ONE] * n
    excluded: list[tuple[int, ...]] = [()] * n
    for step in steps:
        if isinstance(step, Clip) and len(step.factors) == n:
            factors = [factor * k // ONE for factor, k in zip(factors, step.factors, strict=True)]
        elif isinstance(step, Mix) and len(step.excluded) == n:
            excluded = [tuple(sorted(away)) for away in step.excluded]
        elif isinstance(step, Combine):
            break
    return factors, excluded


def _coarse_warnings(clients: tuple[ClientReport, ...]) -> tuple[str, ...]:
    return tuple(
        f"Client {client.client.hex()}: in {client.lost} of {client.groups} groups all its values are too small for the round's scale."
        for client in clients
        if fixed_point.too_coarse(client.groups, client.lost)
    )
