"""Poisoning and free riding: what f colluding clients send when they see every honest update.

All attacks are pure: ``(honest, f, …) -> malicious`` with honest float32 ``[h, P]`` and malicious float32 ``[f, P]``;
`label_flip` works on labels, `replay` on the last aggregate. Formulas use the honest mean μ and population standard
deviation σ per coordinate (float64, then rounded). For simulation, not for consensus: results may differ in the last
bit between machines.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Matrix: TypeAlias = NDArray[np.float32]
Row: TypeAlias = NDArray[np.float64]
Label = TypeVar("Label", bound=np.integer)
_DOUBLINGS = 60
_HALVINGS = 50  # leaves 2^-50 of the bracket


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
    """A little is enough: ``μ - z·σ``, z chosen by the caller (Baruch et al., NeurIPS 2019, derive it from n and f)."""
    return _repeat(_mean(honest) - z * _deviation(honest), f)


def ipm(honest: Matrix, f: int, *, epsilon: float = 0.5) -> Matrix:
    """Inner product manipulation: ``-ε·μ`` with ε small enough to pass distance filters (Xie et al., UAI 2019)."""
    return _repeat(-epsilon * _mean(honest), f)


def min_max(honest: Matrix, f: int) -> Matrix:
    """``μ - γ·σ``, γ ≥ 0 the largest that keeps it as near to every honest update as the two farthest of them are.

    ``max_i ‖m - x_i‖ ≤ max_ij ‖x_i - x_j‖`` (Shejwalkar & Houmansadr, NDSS 2021, AGR-agnostic; their perturbation
    "inverse standard deviation", -σ). γ by doubling and bisection: the left side is convex in γ and holds at 0, so what
    is allowed is one interval. Without spread (σ = 0) it is μ.
    """
    bound = float(_squared_distances(honest).max())
    return _farthest(honest, f, lambda squared: float(squared.max()) <= bound)


def min_sum(honest: Matrix, f: int) -> Matrix:
    """As `min_max`, with sums: ``Σ_i ‖m - x_i‖² ≤ max_i Σ_j ‖x_i - x_j‖²`` (same source, same -σ)."""
    bound = float(_squared_distances(honest).sum(axis=1).max())
    return _farthest(honest, f, lambda squared: float(squared.sum()) <= bound)


def mimic(honest: Matrix, f: int) -> Matrix:
    """All repeat the honest update that lies farthest out along the direction in which the honest differ most.

    ``argmax_i |⟨z, x_i - μ⟩|``, z the first principal direction of this round's updates (Karimireddy et al., ICLR 2022,
    who average z over the first rounds; this is its variant without memory). The smaller index wins a tie.
    """
    centred = honest.astype(np.float64) - _mean(honest)
    leading = np.linalg.eigh(centred @ centred.T)[1][:, -1]  # of the small Gram matrix; ⟨z, x_i - μ⟩ ∝ its entry i
    return copy(honest, f, victim=int(np.argmax(np.abs(leading))))


def label_flip(labels: NDArray[Label], classes: int) -> NDArray[Label]:
    """Labels to train on instead: ``classes - 1 - y`` (Tolpegin et al., ESORICS 2020), dtype kept.

    Raises:
        ValueError: a label outside ``0 … classes-1``.
    """
    if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(f"labels must be within 0 … {classes - 1}, found {labels.min()} … {labels.max()}")
    return np.asarray(classes - 1 - labels, dtype=labels.dtype)


def zero(honest: Matrix, f: int) -> Matrix:
    """Free riders that send nothing but zeros (Lin et al., arXiv 1911.12560)."""
    return np.zeros((f, honest.shape[1]), np.float32)


def copy(honest: Matrix, f: int, *, victim: int = 0) -> Matrix:
    """Free riders that all repeat one honest client's update."""
    return np.repeat(honest[victim : victim + 1], f, axis=0)


def copy_noise(honest: Matrix, f: int, *, seed: int, victim: int = 0, share: float = 0.1) -> Matrix:
    """`copy` disguised: each adds its own noise of ``share`` times the victim's norm, in expectation of its square.

    The cosine to the victim is about ``1 / √(1 + share²)``.
    """
    stolen = copy(honest, f, victim=victim)
    noise = np.random.default_rng(seed).standard_normal(stolen.shape, dtype=np.float32)
    scale = share * float(np.linalg.norm(stolen[0].astype(np.float64))) / np.sqrt(honest.shape[1]) if f else 0.0
    return stolen + noise * np.float32(scale)


def replay(last: NDArray[np.float32], f: int) -> Matrix:
    """Free riders that all send the last aggregate ``[P]`` again: right direction, no work."""
    return _repeat(last.astype(np.float64), f)


def _mean(honest: Matrix) -> Row:
    return np.asarray(honest.mean(axis=0, dtype=np.float64))


def _deviation(honest: Matrix) -> Row:
    return np.asarray(honest.std(axis=0, dtype=np.float64))


def _repeat(row: Row, f: int) -> Matrix:
    return np.repeat(row.astype(np.float32)[None, :], f, axis=0)


def _squared_distances(honest: Matrix) -> NDArray[np.float64]:
    rows = honest.astype(np.float64)
    return np.stack([np.square(rows - row).sum(axis=1) for row in rows])


def _farthest(honest: Matrix, f: int, allowed: Callable[[NDArray[np.float64]], bool]) -> Matrix:
    """``μ - γ·σ`` with the largest γ for which the squared distances to the honest rows are allowed."""
    mean, sigma = _mean(honest), _deviation(honest)
    centred = honest.astype(np.float64) - mean
    own, cross, square = np.square(centred).sum(axis=1), centred @ sigma, float(sigma @ sigma)
    if square == 0:
        return _repeat(mean, f)

    def fits(gamma: float) -> bool:  # ‖μ - γσ - x_i‖² = ‖x_i - μ‖² + 2γ⟨σ, x_i - μ⟩ + γ²‖σ‖²
        return allowed(own + 2 * gamma * cross + gamma * gamma * square)

    high = 1.0
    for _ in range(_DOUBLINGS):
        if not fits(high):
            break
        high *= 2
    low = 0.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return _repeat(mean - low * sigma, f)
