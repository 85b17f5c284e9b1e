"""Gaussian noise on a whole update (DP-FedAvg, McMahan et al. 2018, arXiv 1710.06963), drawn by each client for itself.

Order: clip to C, add noise of deviation σC to every coordinate, scale back into the guideline's ``max_norm``, then compress. All that
follows the noise is post-processing and costs no privacy; so the update that travels always keeps the norm bound, and peers who check
and score it see an ordinary update.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from learning.errors import SpecError

Tensors = Mapping[str, NDArray[np.float32]]
Source = Callable[[int], bytes]
"""Random bytes on demand: ``source(n)`` gives n fresh ones."""
MARGIN = 1 - 1e-6  # float32 rounding must not lift a scaled vector above its bound again
_SUMMANDS = 4


def system_source(count: int) -> bytes:
    """The operating system's cryptographic generator: what a node draws its noise from."""
    return os.urandom(count)


def seeded_source(seed: int) -> Source:
    """A repeatable stream for tests and experiments: SHAKE-256 blocks. Noise from it protects nothing, whoever knows the seed."""
    state = [0]

    def draw(count: int) -> bytes:
        state[0] += 1
        return hashlib.shake_256(f"commonweight/noise/1\0{seed}\0{state[0]}".encode()).digest(count)

    return draw


def gaussian(count: int, source: Source = system_source) -> NDArray[np.float64]:
    """``count`` standard normal numbers: Box–Muller on 53-bit uniforms, four draws summed and halved.

    The sum of four makes it infeasible to guess a draw back from the low bits of a noised value (Mironov 2012; Holohan & Braghin
    2021, arXiv 2107.10138).
    """
    total = np.zeros(count)
    for _ in range(_SUMMANDS):
        half = (count + 1) // 2
        bits = np.frombuffer(source(16 * half), dtype="<u8").reshape(2, half) >> np.uint64(11)
        first, second = (bits.astype(np.float64) + 0.5) * 2.0**-53  # within (0, 1): the logarithm is finite
        radius, angle = np.sqrt(-2 * np.log(first)), 2 * np.pi * second
        total += np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]
    return total / math.sqrt(_SUMMANDS)


def norm_of(tensors: Tensors) -> float:
    """L2 norm over all tensors together, summed in float64."""
    return math.sqrt(sum(float(np.square(array, dtype=np.float64).sum()) for array in tensors.values()))


def clipped(tensors: Tensors, bound: float) -> dict[str, NDArray[np.float32]]:
    """The tensors scaled down to an L2 norm of at most ``bound``; as they are where they are shorter.

    Raises:
        SpecError: a value is not finite, or the bound is not positive: clipping would not bound anything.
    """
    norm = norm_of(tensors)
    if not (math.isfinite(norm) and bound > 0):
        raise SpecError(f"An update of norm {norm} cannot be clipped to {bound}.")
    factor = np.float32(1.0 if norm <= bound * MARGIN else bound * MARGIN / norm)
    return {name: (tensors[name] * factor).astype(np.float32) for name in sorted(tensors)}


def privatised(
    update: Tensors, *, clip: float, noise_multiplier: float, max_norm: float, source: Source = system_source
) -> dict[str, NDArray[np.float32]]:
    """min(1, max_norm/‖·‖) · (clip(update, C) + N(0, (σC)²)), by name, float32, L2 norm ≤ ``max_norm``.

    Args:
        update: new minus parent.
        clip: C, L2 norm.
        noise_multiplier: σ.
        max_norm: the guideline's bound on updates.
        source: where randomness comes from.

    Raises:
        SpecError: the update is not finite, or a bound is not positive.
    """
    bounded = clipped(update, clip)
    noised = {}
    for name, array in bounded.items():
        noise = gaussian(array.size, source).reshape(array.shape) * (noise_multiplier * clip)
        noised[name] = (array + noise).astype(np.float32)
    return clipped(noised, max_norm)
