r"""LoRA under aggregation: which factor a round moves, which rules are allowed, and distances between products.

A layer's change of weights is ``ΔW = B·A`` (times alpha/r), B ``[d, r]``, A ``[r, k]``. Modes:

* ``ffa``: A is drawn once and frozen, every round moves B. Linear in B: every rule over B is a rule over ΔW. Sun et al. 2403.12313.
* ``rolora``: one factor a round, even rounds B, odd rounds A; the other is the parent's, the same for all. A starts from a shared
  seed. Each round is linear in its factor. Chen et al., NeurIPS 2025, arXiv 2502.01755.
* ``joint``: both at once. ``B·A = (B·R)·(R⁻¹·A)``: the factors have a gauge that the product does not show. Averages, medians and
  distances of factors depend on it; measured, a mean of factors is off by 50 to 91 % of the product, and an attacker whose
  every coordinate lies within the honest range can turn the product round.

Distances that do not depend on the gauge come from `product_gram`, without forming a ``[d, k]`` product.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from aggregation.bundle import Schema, Tensors, Vector
from aggregation.errors import AggregationError
from aggregation.fixed_point import common_shift, exponent_of, quantise
from aggregation.gram import GRAM_BITS, MAX_COLUMNS, Gram
from aggregation.kernels_numpy import HEADROOM, Longs

if TYPE_CHECKING:
    from aggregation.registry import Pipeline

MODES = ("ffa", "rolora", "joint")
A, B = ".lora_A", ".lora_B"
Factors: TypeAlias = tuple[Vector, Vector]
"""U ``[d, r]`` and V ``[r, k]`` of one layer's product U·V."""

_MAX_LENGTH = 1 << 24  # 2^38 · 2^24 = 2^62 still fits int64


def active_suffix(mode: str, round: int) -> tuple[str, ...]:  # noqa: A002 - the field's word
    """How the names of the tensors that a round moves end; for `str.endswith`.

    Raises:
        AggregationError: an unknown mode.
    """
    if mode not in MODES:
        raise AggregationError(f"Unknown LoRA mode {mode!r}.", hint=f"Modes: {', '.join(MODES)}.")
    if mode == "joint":
        return (A, B)
    return (A,) if mode == "rolora" and round % 2 else (B,)


def require_aggregatable(mode: str, pipeline: Pipeline, schema: Schema) -> None:
    """Refuse combinations of mode, pipeline and update tensors whose aggregate would depend on the gauge.

    ``joint`` goes with ``krum`` alone, which hands on one client's factors as they are; give it `product_gram` for its distances.
    Pre-aggregations are refused too: clipping or mixing changes of factors is no clipping or mixing of products.

    Args:
        mode: ``ffa``, ``rolora`` or ``joint``.
        pipeline: what combines the updates.
        schema: the tensors of an update.

    Raises:
        AggregationError: a refused combination, an unknown mode, or tensors that the mode does not move together.
    """
    allowed = {active_suffix(mode, round_) for round_ in (0, 1)}
    for name, _ in schema:
        if not name.endswith((A, B)):
            raise AggregationError(f"Tensor {name!r} is no LoRA factor.", why=f"Factors end in {A} or {B}.")
    found = tuple(suffix for suffix in (A, B) if any(name.endswith(suffix) for name, _ in schema))
    if found not in allowed:
        options = " or ".join("both factors" if len(suffixes) > 1 else suffixes[0] for suffixes in sorted(allowed))
        raise AggregationError(
            f"LoRA mode {mode!r} moves {options} in a round, the update has {' and '.join(found) or 'none'}.",
            hint="Train the factors that the guideline's mode names.",
        )
    if mode != "joint":
        return
    _require_pairs(schema)
    if pipeline.rule.name != "krum" or pipeline.pre:
        raise AggregationError(
            f"Jointly trained LoRA factors cannot be aggregated by {pipeline}.",
            why="B·A = (B·R)·(R⁻¹·A): coordinates of factors mean nothing across clients, only their product does.",
            hint="Use mode ffa or rolora with any pipeline, or krum alone, which hands on one client's product whole.",
        )


def product_factors(mode: str, round: int, parent: Tensors, update: Tensors) -> list[Factors]:  # noqa: A002
    """One client's change of every layer's product as U·V, layers in order of name.

    ========================  ====================  =================
    what moved                U                     V
    ========================  ====================  =================
    B (ffa, even rolora)      ΔB                    A
    A (odd rolora)            B                     ΔA
    both (joint)              [ΔB, B]               [A + ΔA; ΔA]
    ========================  ====================  =================

    A, B the parent's. ``(B + ΔB)(A + ΔA) - B·A = ΔB·(A + ΔA) + B·ΔA``: no difference of two large products is taken.

    Args:
        mode: ``ffa``, ``rolora`` or ``joint``.
        round: its number; decides the factor in ``rolora``.
        parent: all factors of the parent checkpoint.
        update: new minus parent of the active factors.

    Raises:
        AggregationError: an unknown mode, or a factor without its counterpart.
    """
    suffixes = active_suffix(mode, round)
    layers = []
    for layer in sorted({name[: -len(A)] for name in update if name.endswith(suffixes)}):
        try:
            if suffixes == (B,):
                layers.append((update[layer + B], parent[layer + A]))
            elif suffixes == (A,):
                layers.append((parent[layer + B], update[layer + A]))
            else:
                u = np.concatenate([update[layer + B], parent[layer + B]], axis=1)
                v = np.concatenate([parent[layer + A] + update[layer + A], update[layer + A]], axis=0)
                layers.append((u, v))
        except KeyError as error:
            raise AggregationError(
                f"Layer {layer!r} lacks a factor: {error}.", hint="The parent holds A and B of each layer."
            ) from error
    return layers


def product_gram(clients: Sequence[Sequence[Factors]]) -> Gram:
    """Exact Gram matrix of the products of quantised factors, without forming them.

    ``G_ij = Σ_layers ⟨U_i·V_i, U_j·V_j⟩ = Σ_layers Σ_ab (u_ia · u_jb)(v_ia · v_jb)``, which is ``tr((U_jᵀU_i)(V_iV_jᵀ))``; u_ia is
    column a of U_i, v_ia row a of V_i. Each such vector is rounded to integers ``|g| < 2^19`` at its own power of two; at most 8192
    products of 38 bits are summed in float64, so every partial sum is an integer below 2^53 and every BLAS gives the same; int64 and
    Python integers do the rest. So an entry depends on its two clients alone (up to a common power of four), and a permutation of
    clients permutes the matrix, exactly. Quantising moves each vector by at most ``2^-19`` of its largest entry per coordinate.

    O((n·r)²·(d + k)) instead of O(n²·d·k) operations. Compare `aggregation.gram`.

    Args:
        clients: per client its layers' factors; the layers in the same order for all, ranks may differ.

    Returns:
        ``[n, n]`` Python integers, in units that are common to all entries.

    Raises:
        AggregationError: layers or shapes do not match, or a dimension exceeds 2^24.
        UpdateRejected: a value is not finite.
    """
    _require_matching(clients)
    n = len(clients)
    parts: list[tuple[np.ndarray[tuple[int, ...], np.dtype[np.object_]], list[int], list[int]]] = []
    for layer in range(len(clients[0]) if clients else 0):
        own = [client[layer] for client in clients]
        u, u_shifts = _integers([column for left, _ in own for column in left.T])
        v, v_shifts = _integers([row for _, right in own for row in right])
        product = _inner(u).astype(np.object_) * _inner(v).astype(np.object_)
        shifts = [a + b for a, b in zip(u_shifts, v_shifts, strict=True)]
        parts.append((product, shifts, [i for i, (left, _) in enumerate(own) for _ in range(left.shape[1])]))
    base = max((shift for _, shifts, _ in parts for shift in shifts), default=0)
    gram = [[0] * n for _ in range(n)]
    for product, shifts, owners in parts:
        factors = np.array([1 << (base - shift) for shift in shifts], np.object_)
        scaled = product * factors[:, None] * factors[None, :]
        for i, row in zip(owners, scaled, strict=True):
            for j, value in zip(owners, row, strict=True):
                gram[i][j] += int(value)
    return gram


def _integers(vectors: Sequence[Vector]) -> tuple[Longs, list[int]]:
    """20-bit image of each vector, ``[vectors, length]``, and its shift."""
    bits = GRAM_BITS + HEADROOM  # a vector at its own scale stays below 2^(bits - HEADROOM)
    contiguous = [np.ascontiguousarray(vector) for vector in vectors]
    shifts = [common_shift([exponent_of(vector)], bits) for vector in contiguous]
    rows = [quantise(vector, shift, bits).values for vector, shift in zip(contiguous, shifts, strict=True)]
    return np.array(rows, np.int64), shifts


def _inner(rows: Longs) -> Longs:
    """``rows · rowsᵀ``, exact."""
    total = np.zeros((len(rows), len(rows)), np.int64)
    for start in range(0, rows.shape[1], MAX_COLUMNS):
        chunk = rows[:, start : start + MAX_COLUMNS].astype(np.float64)
        total += (chunk @ chunk.T).astype(np.int64)
    return total


def _require_matching(clients: Sequence[Sequence[Factors]]) -> None:
    """Same layers for all, inner dimensions agree, outer dimensions are the same, nothing is empty."""
    for client in clients:
        if len(client) != len(clients[0]):
            raise AggregationError("The clients have different numbers of layers.")
        for (u, v), (first_u, first_v) in zip(client, clients[0], strict=True):
            shapes = f"U {list(u.shape)}, V {list(v.shape)}"
            if u.ndim != 2 or v.ndim != 2 or u.shape[1] != v.shape[0] or not u.size or not v.size:
                raise AggregationError(f"No product of factors: {shapes}.", hint="U is [d, r], V is [r, k].")
            if (u.shape[0], v.shape[1]) != (first_u.shape[0], first_v.shape[1]):
                raise AggregationError(f"Products of different shape: {shapes}.", hint="Clients share the base model.")
            if max(u.shape[0], v.shape[1]) > _MAX_LENGTH:
                raise AggregationError(f"Dimensions above {_MAX_LENGTH} are not exact: {shapes}.")


def _require_pairs(schema: Schema) -> None:
    shapes = dict(schema)
    for name, shape in schema:
        other = name[: -len(A)] + (B if name.endswith(A) else A)
        ranks = (shape[0], shapes.get(other, ())[-1:]) if name.endswith(A) else (shape[-1], shapes.get(other, ())[:1])
        if other not in shapes or ranks[1] != (ranks[0],):
            raise AggregationError(f"Factor {name!r} has no counterpart {other!r} of its rank.")
