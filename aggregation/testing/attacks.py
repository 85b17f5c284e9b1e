"""Model poisoning: what f colluding clients send when they see every honest update.

All functions are pure: ``(honest, f, …) -> malicious`` with honest float32 ``[h, P]`` and malicious float32 ``[f, P]``.
Formulas use the honest mean μ and standard deviation σ per coordinate (float64, then rounded). For simulation, not
for consensus: results may differ in the last bit between machines.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Matrix: TypeAlias = NDArray[np.float32]


def sign_flip(honest: Matrix, f: int, *, strength: float = 1.0) -> Matrix:
    """``-strength · μ``, everybody the same (Allen-Zhu et al., ICLR 2021)."""
    return _repeat(-strength * _mean(honest), f)


def scaling(honest: Matrix, f: int, *, factor: float = 100.0) -> Matrix:
    """``factor · x_i`` of one's own honest update: model replacement (Bagdasaryan et al., AISTATS 2020)."""
    return np.asarray(honest[np.arange(f) % len(honest)] * np.float32(factor))


def gaussian(honest: Matrix, f: int, *, seed: int, spread: float = 10.0) -> Matrix:
    """Independent noise of standard deviation ``spread`` times the honest values' own."""
    noise = np.random.default_rng(seed).standard_normal((f, honest.shape[1]), dtype=np.float32)
    return noise * np.float32(spread * float(honest.std(dtype=np.float64)))


def alie(honest: Matrix, f: int, *, z: float = 1.5) -> Matrix:
    """A little is enough: ``μ - z·σ`` (Baruch et al., NeurIPS 2019)."""
    return _repeat(_mean(honest) - z * honest.std(axis=0, dtype=np.float64), f)


def ipm(honest: Matrix, f: int, *, epsilon: float = 0.5) -> Matrix:
    """Inner product manipulation: ``-ε·μ`` with ε small enough to pass distance filters (Xie et al., UAI 2019)."""
    return _repeat(-epsilon * _mean(honest), f)


def zero(honest: Matrix, f: int) -> Matrix:
    """Free riders that send nothing but zeros (Lin et al., arXiv 1911.12560)."""
    return np.zeros((f, honest.shape[1]), np.float32)


def copy(honest: Matrix, f: int, *, victim: int = 0) -> Matrix:
    """Everybody repeats one honest client's update (mimic; Karimireddy et al., ICLR 2022)."""
    return np.repeat(honest[victim : victim + 1], f, axis=0)


def _mean(honest: Matrix) -> NDArray[np.float64]:
    return np.asarray(honest.mean(axis=0, dtype=np.float64))


def _repeat(row: NDArray[np.float64], f: int) -> Matrix:
    return np.repeat(row.astype(np.float32)[None, :], f, axis=0)
