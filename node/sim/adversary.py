"""A dishonest member, for exercises: an ordinary node whose trainer poisons every update it makes.

The only place outside `aggregation.testing` with attack code; nothing of the product imports it. Run as a process it takes the same
settings as an honest node::

    python -m node.sim.adversary --config commonweight.toml --attack sign_flip
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aggregation.bundle import decode, encode, flatten, schema_of, unflatten
from aggregation.testing import attacks
from node.cli.process import run_supervised, start_logging, stop_with_parent
from node.config import load_config
from node.ports import ScoreJob, Trainer, TrainJob, TrainResult
from node.protocol.errors import CommonweightError
from node.runtime import run_node

Vector = NDArray[np.float32]
MAX_BYTES = 1 << 30

ATTACKS: Mapping[str, Callable[[Vector, int], Vector]] = {
    "sign_flip": lambda update, _seed: attacks.sign_flip(update[None], 1, strength=4.0)[0],
    "scaling": lambda update, _seed: attacks.scaling(update[None], 1, factor=-100.0)[0],
    "gaussian": lambda update, seed: attacks.gaussian(update[None], 1, seed=seed)[0],
    "zero": lambda update, _seed: attacks.zero(update[None], 1)[0],
    "not_finite": lambda update, _seed: np.full_like(update, np.nan),
}


@dataclass(slots=True)
class AdversarialTrainer:
    """Trains honestly, then replaces the update. Scores honestly: the cunning attacker wants the verifier's pay too.

    Attributes:
        inner: the honest trainer.
        attack: name in `ATTACKS`.
        max_norm: the guideline's bound; the poison is scaled to just fit, so that only its effect gives it away.
    """

    inner: Trainer
    attack: str
    max_norm: float

    async def prepare(self) -> None:
        """As the honest trainer."""
        await self.inner.prepare()

    async def follow(self, learning: Mapping[str, Any], max_bytes: int) -> None:
        """As the honest trainer."""
        await self.inner.follow(learning, max_bytes)

    async def train(self, job: TrainJob) -> TrainResult:
        """The poisoned update."""
        result = await self.inner.train(job)
        tensors = decode(result.update, max_bytes=MAX_BYTES)
        schema = schema_of(tensors)
        poison = ATTACKS[self.attack](flatten(tensors, schema), job.seed * 1_000 + job.round)
        norm = float(np.linalg.norm(poison.astype(np.float64)))
        limit = self.max_norm * (1 - 1e-5)
        if math.isfinite(norm) and norm > limit:
            poison = (poison * np.float32(limit / norm)).astype(np.float32)
        return replace(result, update=encode(unflatten(poison, schema)))

    async def score(self, job: ScoreJob) -> Sequence[int]:
        """Honest scores."""
        return await self.inner.score(job)

    async def evaluate(self, checkpoint: bytes, benchmark: bytes) -> Mapping[str, float]:
        """Honest metrics."""
        return await self.inner.evaluate(checkpoint, benchmark)


class Mangler(AdversarialTrainer):
    """Trains honestly, then sends bytes that are no bundle: ``attack`` is truncated, empty or noise."""

    async def train(self, job: TrainJob) -> TrainResult:
        """The mangled update."""
        result = await self.inner.train(job)
        mangled = {"truncated": result.update[:-3], "empty": b"", "noise": bytes(range(256)) * 4}[self.attack]
        return replace(result, update=mangled)


class Liar(AdversarialTrainer):
    """Trains honestly and makes its scores up: ``attack`` is high (praises everything), low (damns everything) or zero (lazy)."""

    async def train(self, job: TrainJob) -> TrainResult:
        """An honest update."""
        return await self.inner.train(job)

    async def score(self, job: ScoreJob) -> Sequence[int]:
        """Made-up gains."""
        gain = {"high": 400_000, "low": -400_000, "zero": 0}[self.attack]
        return [gain] * len(job.updates)


def main() -> None:
    """Run one adversary until it is stopped."""
    parser = argparse.ArgumentParser(prog="node.sim.adversary", description="A member that poisons its updates.")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--attack", choices=sorted(ATTACKS), default="sign_flip")
    parser.add_argument("--max-norm", type=float, required=True, help="the guideline's norm bound")
    parser.add_argument("--exit-with-parent", action="store_true")
    arguments = parser.parse_args()
    config = load_config(arguments.config, environment=os.environ)
    start_logging(config.node.data / "node.log", verbose=False)
    if arguments.exit_with_parent:
        stop_with_parent()

    def wrap(inner: Trainer) -> Trainer:
        return AdversarialTrainer(inner, arguments.attack, arguments.max_norm)

    with contextlib.suppress(asyncio.CancelledError):
        run_supervised(run_node(config, wrap_trainer=wrap))


if __name__ == "__main__":
    try:
        main()
    except CommonweightError as failure:
        sys.stderr.write(f"{failure}\n")
        raise SystemExit(failure.exit_code) from failure
