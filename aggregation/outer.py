"""The outer step: how an aggregate moves the model. SGD, heavy ball, Nesterov or Adam on the server's side.

With update direction Δ (what training *added* to the parent), learning rate η, momentum μ, second momentum ν and ε, all
float32, and the state of the step before (``velocity`` v, ``variance`` u)::

    sgd        d = Δ                                                            (FedAvg with a server rate)
    momentum   v' = μ·v + Δ,  d = v'                                            (FedAvgM: heavy ball, no dampening)
    nesterov   v' = μ·v + Δ,  d = μ·v' + Δ                                      (DiLoCo's outer step)
    adam       v' = μ·v + (1-μ)·Δ,  u' = ν·u + (1-ν)·(Δ·Δ),  d = v' / (√u' + ε)      (FedAdam)

    x' = x + η·d

A missing velocity is 0. FedAdam is Algorithm 2 of Reddi et al.: ε is their τ, there is no bias correction (unlike Kingma
and Ba's Adam, and unlike libraries that fold it into η), and a missing variance is ε·ε, the smallest start they allow.

Bit-exact on every machine: each multiplication, addition, division and square root above is a numpy ufunc of its own that
stores its float32 result before the next one starts, in the order that the brackets and the usual precedence give, so no
compiler can fuse them (an FMA would round once instead of twice), and elementwise operations have no order. IEEE 754 asks
for the correctly rounded result of all four, and vector units give it. η, μ, ν and ε are rounded to float32 once, here;
``1-μ`` and ``1-ν`` are subtracted in float32 from those rounded values, once. The one thing that could differ is a process
that flushes subnormals to zero (some libraries switch that on); `OuterStep.apply` refuses to run in it.

McMahan et al., AISTATS 2017 (FedAvg); Hsu et al., arXiv 1909.06335 (FedAvgM); Reddi et al., ICLR 2021 (server optimisers,
FedAdam); Douillard et al., arXiv 2311.08105 (outer Nesterov, μ = 0.9).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import TypeAlias

import numpy as np

from aggregation.bundle import Tensors, Vector, require_schema, schema_of
from aggregation.checks import require_finite
from aggregation.errors import AggregationError

VELOCITY = "velocity"
VARIANCE = "variance"
SLOTS: Mapping[str, tuple[str, ...]] = {
    "sgd": (),
    "momentum": (VELOCITY,),
    "nesterov": (VELOCITY,),
    "adam": (VELOCITY, VARIANCE),
}
"""Kinds of step, and the state that each hands from round to round."""

State: TypeAlias = Mapping[str, Tensors]
"""Tensors by slot, then by name."""

_Slots: TypeAlias = dict[str, Vector]
_HINT = "Correct the guideline's update document."


@dataclass(frozen=True, slots=True)
class OuterStep:
    """One way to move the model; formulas in the module docstring. What a kind does not use must be 0.

    Attributes:
        kind: key of `SLOTS`.
        learning_rate: η > 0.
        momentum: μ; in (0, 1) for momentum and nesterov, in [0, 1) for adam (Reddi's β₁).
        second_momentum: ν in [0, 1), adam only (Reddi's β₂).
        epsilon: ε > 0, adam only (Reddi's τ).

    Raises:
        AggregationError: unknown kind, or a number out of its range, also once it is rounded to float32.
    """

    kind: str
    learning_rate: float
    momentum: float = 0.0
    second_momentum: float = 0.0
    epsilon: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in SLOTS:
            raise AggregationError(
                f"{self.kind!r} is no kind of outer step.", hint=f"Known kinds: {', '.join(sorted(SLOTS))}."
            )
        adam, plain = self.kind == "adam", self.kind == "sgd"
        _require("learning_rate", self.learning_rate, "above 0", lambda x: x > 0)
        if plain:
            _require("momentum", self.momentum, "0 for sgd", lambda x: x == 0)
        else:
            bounds = "within [0, 1)" if adam else f"within (0, 1) for {self.kind} (without momentum it is sgd)"
            _require("momentum", self.momentum, bounds, lambda x: x < 1 and (x > 0 or (adam and x == 0)))
        if adam:
            _require("second_momentum", self.second_momentum, "within [0, 1)", lambda x: 0 <= x < 1)
            _require("epsilon", self.epsilon, "above 0", lambda x: x > 0)
        else:
            for name in ("second_momentum", "epsilon"):
                _require(name, getattr(self, name), f"0 for {self.kind}", lambda x: x == 0)

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the state that this kind hands from round to round."""
        return SLOTS[self.kind]

    def apply(
        self, parent: Tensors, aggregate: Tensors, state: State | None = None
    ) -> tuple[dict[str, Vector], dict[str, dict[str, Vector]]]:
        """One step.

        Args:
            parent: all tensors of the model, trainable or frozen.
            aggregate: direction Δ for the trainable tensors only; tensors not named here pass through unchanged.
            state: what the step before returned; a slot or tensor that is missing has its initial value, tensors that
                the aggregate does not move are ignored.

        Returns:
            ``(new tensors, new state)``: fresh arrays, in order of name; the state has exactly `slots`.

        Raises:
            AggregationError: a tensor the parent does not have, a slot this kind does not have, or subnormals are
                flushed.
            UpdateRejected: another shape or dtype than the parent's, or model or state leave float32's finite numbers.
        """
        old = self._checked(parent, aggregate, state or {})
        _require_subnormals()
        direction_of, rate = _DIRECTIONS[self.kind], np.float32(self.learning_rate)
        new: dict[str, Vector] = {}
        kept: dict[str, dict[str, Vector]] = {slot: {} for slot in self.slots}
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # non-finite results are reported below
            for name in sorted(parent):
                if name not in aggregate:
                    new[name] = parent[name].copy()
                    continue
                before = {slot: tensors[name] for slot, tensors in old.items() if name in tensors}
                direction, after = direction_of(self, aggregate[name], before)
                new[name] = _add(parent[name], _multiply(rate, direction))
                for slot in self.slots:
                    kept[slot][name] = after[slot]
        for tensors in (new, *kept.values()):
            require_finite(tensors)
        return new, kept

    def _checked(self, parent: Tensors, aggregate: Tensors, state: State) -> dict[str, dict[str, Vector]]:
        """The part of the state that this step reads, every name, shape and dtype being the parent's."""
        if unknown := sorted(aggregate.keys() - parent.keys()):
            raise AggregationError(f"The aggregate moves {unknown[0]!r}, which the checkpoint does not have.")
        require_schema(aggregate, schema_of({name: parent[name] for name in aggregate}))
        if strange := sorted(state.keys() - set(self.slots)):
            raise AggregationError(
                f"{self.kind} keeps no {strange[0]!r}.",
                hint=f"Its slots: {', '.join(self.slots) or 'none'}. State belongs to one kind of outer step.",
            )
        old: dict[str, dict[str, Vector]] = {}
        for slot, tensors in state.items():
            old[slot] = {name: tensor for name, tensor in tensors.items() if name in aggregate}
            require_schema(old[slot], schema_of({name: parent[name] for name in old[slot]}))
        return old


def _sgd(_step: OuterStep, delta: Vector, _old: _Slots) -> tuple[Vector, _Slots]:
    return delta, {}


def _momentum(step: OuterStep, delta: Vector, old: _Slots) -> tuple[Vector, _Slots]:
    velocity = _decayed(np.float32(step.momentum), old.get(VELOCITY), delta)
    return velocity, {VELOCITY: velocity}


def _nesterov(step: OuterStep, delta: Vector, old: _Slots) -> tuple[Vector, _Slots]:
    decay = np.float32(step.momentum)
    velocity = _decayed(decay, old.get(VELOCITY), delta)
    return _decayed(decay, velocity, delta), {VELOCITY: velocity}


def _adam(step: OuterStep, delta: Vector, old: _Slots) -> tuple[Vector, _Slots]:
    first, second, epsilon = np.float32(step.momentum), np.float32(step.second_momentum), np.float32(step.epsilon)
    one = np.float32(1)
    start = np.full_like(delta, np.multiply(epsilon, epsilon, dtype=np.float32))
    velocity = _decayed(first, old.get(VELOCITY), _multiply(np.subtract(one, first), delta))
    variance = _decayed(second, old.get(VARIANCE, start), _multiply(np.subtract(one, second), _multiply(delta, delta)))
    scale = _add(np.sqrt(variance, dtype=np.float32), epsilon)
    return np.asarray(np.divide(velocity, scale, dtype=np.float32)), {VELOCITY: velocity, VARIANCE: variance}


_DIRECTIONS: Mapping[str, Callable[[OuterStep, Vector, _Slots], tuple[Vector, _Slots]]] = {
    "sgd": _sgd,
    "momentum": _momentum,
    "nesterov": _nesterov,
    "adam": _adam,
}


def _decayed(decay: np.float32, old: Vector | None, addend: Vector) -> Vector:
    """``decay·old + addend``, rounded after the product and after the sum; None is 0."""
    return _add(addend, _multiply(decay, np.zeros_like(addend) if old is None else old))


def _multiply(left: Vector | np.float32, right: Vector) -> Vector:
    return np.asarray(np.multiply(left, right, dtype=np.float32))


def _add(left: Vector, right: Vector | np.float32) -> Vector:
    return np.asarray(np.add(left, right, dtype=np.float32))


def _require(name: str, value: float, bounds: str, within: Callable[[float], bool]) -> None:
    """``value`` is finite and within its bounds, before and after rounding to float32."""
    with np.errstate(over="ignore", under="ignore"):
        rounded = float(np.float32(value))
    if not (isfinite(rounded) and within(rounded) and within(value)):
        raise AggregationError(f"The outer step's {name} is {value!r}; as float32 it must be {bounds}.", hint=_HINT)


def _require_subnormals() -> None:
    """The processor keeps subnormal results (2^-126 / 2 is not zero)."""
    halved = np.multiply(np.full(16, 2.0**-126, np.float32), np.float32(0.5))  # 16: the vector unit too
    if not halved.all():
        raise AggregationError(
            "This process flushes subnormal floats to zero, so its model would differ from everybody else's.",
            why="Some library set the processor's FTZ/DAZ mode.",
            hint="Do not call torch.set_flush_denormal(True); do not load libraries built with -ffast-math.",
        )
