"""The Trainer port on this machine's own torch: one worker thread that owns the model, so the event loop never waits for it.

The model and the data are loaded on first use, in that thread. Cancelling a job makes it stop at its next step.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from aggregation.bundle import decode, encode
from node.combine import model_tensors
from node.ports import ScoreJob, TrainJob, TrainResult
from node.privacy import PrivacySettings, Rows, record, require_publishable, split
from node.protocol.errors import SliceUnusable, TrainingError

if TYPE_CHECKING:  # torch takes seconds to import: only the worker thread does
    from learning.models.encoder import Encoder
    from learning.spec import LearningSpec
    from learning.tasks.code_search import Pair

log = logging.getLogger("commonweight.trainer")
T = TypeVar("T")

MIN_SLICE_ROWS = 8
MAX_SLICE_ROWS = 10_000
CANDIDATES_PER_NODE = 1_500
"""Pairs read from the repositories at start-up: several rounds' worth of fresh samples."""
PUBLIC_ROWS = 500
"""Rows of the public benchmark that training data must not nearly equal."""

PUBLIC_NEGATIVES = 128
"""Rows of it that serve as negatives where the guideline asks for privacy of examples."""


@dataclass(frozen=True, slots=True)
class TrainerSettings:
    """What an operator decides about local training.

    Attributes:
        learning: the guideline's learning settings (`Guideline.learning`).
        repositories: installed packages to train on, or folders.
        device: ``auto``, ``cpu``, ``cuda:0`` …
        threads: torch threads.
        base_model: folder of the base model; None looks for an installed package.
        cache: folder for extracted pairs.
        max_bytes: size limit of checkpoints and updates.
        privacy: the gate before publishing.
    """

    learning: Mapping[str, object]
    repositories: tuple[str, ...]
    device: str
    threads: int
    base_model: Path | None
    cache: Path
    max_bytes: int
    privacy: PrivacySettings = field(default_factory=PrivacySettings)


@dataclass(slots=True)
class _Loaded:
    model: Encoder
    spec: LearningSpec
    pairs: list[Pair]
    rows: Rows | None = None


@dataclass(slots=True)
class LocalTrainer:
    """Trains, scores and evaluates on this machine. One job at a time.

    Args:
        settings: see `TrainerSettings`.
        on_progress: called from the worker with (step, steps, loss) while training.
    """

    settings: TrainerSettings
    on_progress: Callable[[int, int, float], None] | None = None
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "trainer"))
    _loaded: _Loaded | None = None

    async def train(self, job: TrainJob) -> TrainResult:
        """Train on this round's share of our pairs, or on all rows of the job's benchmark (which is public: no noise, no gate).

        Raises:
            LeakFound: the update gives away what it was trained on, and must not be published.
        """
        stop = threading.Event()
        return await self._run(lambda: self._train(job, stop), stop)

    async def score(self, job: ScoreJob) -> Sequence[int]:
        """Raw gains in ppm of a nat."""
        return await self._run(lambda: self._score(job))

    async def evaluate(self, checkpoint: bytes, benchmark: bytes) -> Mapping[str, float]:
        """MRR and loss on a benchmark."""
        return await self._run(lambda: self._evaluate(checkpoint, benchmark))

    async def prepare(self) -> None:
        """Load model and data now, so that the first round does not wait for it."""
        await self._run(lambda: self._load() and None)

    async def follow(self, learning: Mapping[str, object], max_bytes: int) -> None:
        """Work by another guideline's settings; model and data are loaded again where they change what is loaded."""
        await self._run(lambda: self._follow(learning, max_bytes))

    async def pairs(self) -> list[Pair]:
        """All rows that we train on."""
        return await self._run(lambda: self._load().pairs)

    def close(self) -> None:
        """Stop the worker after its current job."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self, job: Callable[[], T], stop: threading.Event | None = None) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, _translated, job)
        except asyncio.CancelledError:
            if stop is not None:
                stop.set()
            raise

    # --- in the worker thread ---

    def _follow(self, learning: Mapping[str, object], max_bytes: int) -> None:
        from learning.models.installed import find_base_model  # noqa: PLC0415
        from learning.spec import LearningSpec  # noqa: PLC0415

        find_base_model(LearningSpec.from_mapping(learning).model, self.settings.base_model)
        if learning != self.settings.learning:
            self._loaded = None
        self.settings = replace(self.settings, learning=learning, max_bytes=max_bytes)

    def _load(self) -> _Loaded:
        if self._loaded is None:
            import torch  # noqa: PLC0415 - seconds of import, paid by the worker thread only

            from learning.device import choose_device  # noqa: PLC0415
            from learning.models.encoder import Encoder  # noqa: PLC0415
            from learning.models.installed import find_base_model  # noqa: PLC0415
            from learning.spec import LearningSpec  # noqa: PLC0415

            torch.set_num_threads(self.settings.threads)
            spec = LearningSpec.from_mapping(self.settings.learning)
            base = find_base_model(spec.model, self.settings.base_model)
            device = choose_device(self.settings.device)
            pairs = read_pairs(self.settings.repositories, self.settings.cache)
            self._loaded = _Loaded(Encoder(base, spec, device), spec, pairs)
            log.info("ready on %s with %d pairs", device, len(pairs))
        return self._loaded

    def _train(self, job: TrainJob, stop: threading.Event) -> TrainResult:
        from learning.local_training import round_window, train  # noqa: PLC0415

        loaded = self._load()
        checkpoint, spec, privacy = self._checkpoint(job.checkpoint), loaded.spec, self.settings.privacy
        is_own = job.benchmark is None
        if job.benchmark is not None:
            pairs = _pairs(job.benchmark)
            spec = replace(spec, samples_per_round=max(2, len(pairs)), privacy="none", noise_multiplier=0.0)
        elif privacy.audit:
            loaded.rows = loaded.rows or split(loaded.pairs)
            pairs = loaded.rows.training
        else:
            pairs = loaded.pairs
        result = train(
            loaded.model,
            checkpoint,
            pairs,
            spec,
            round=job.round,
            seed=job.seed,
            progress=self.on_progress,
            should_stop=stop.is_set,
            public=self._negatives() if spec.privacy == "example" else (),
        )
        notes = {"loss": result.loss, "norm": result.norm, "cpu_seconds": result.cpu_seconds}
        if result.spending is not None:
            notes |= record(privacy.ledger, result.spending, spec.privacy_delta)
        if is_own and privacy.audit:
            assert loaded.rows is not None
            window = round_window(pairs, spec.samples_per_round, job.round)
            notes |= require_publishable(
                loaded.model, checkpoint, window, loaded.rows.held_out, result.update, settings=privacy
            )
        return TrainResult(encode(result.update), result.samples, notes)

    def _negatives(self) -> list[Pair]:
        from learning.sources.installed import public_benchmark  # noqa: PLC0415

        return public_benchmark(PUBLIC_NEGATIVES, cache=self.settings.cache)

    def _score(self, job: ScoreJob) -> list[int]:
        from learning.evaluation import score_updates  # noqa: PLC0415

        loaded = self._load()
        last = None if job.last_aggregate is None else self._decode(job.last_aggregate)
        return score_updates(
            loaded.model,
            self._checkpoint(job.checkpoint),
            last,
            [self._decode(update) for update in job.updates],
            _slice(job.benchmark),
            eta=loaded.spec.eta,
            grid=loaded.spec.lookahead,
            public_update=None if job.public_update is None else self._decode(job.public_update),
            public_grid=loaded.spec.lookahead_public,
        )

    def _evaluate(self, checkpoint: bytes, benchmark: bytes) -> dict[str, float]:
        from learning.evaluation import evaluate  # noqa: PLC0415

        return evaluate(self._load().model, self._checkpoint(checkpoint), _pairs(benchmark))

    def _checkpoint(self, data: bytes) -> dict[str, NDArray[np.float32]]:
        return model_tensors(self._decode(data))

    def _decode(self, data: bytes) -> dict[str, NDArray[np.float32]]:
        return decode(data, max_bytes=self.settings.max_bytes)


def _pairs(benchmark: bytes) -> list[Pair]:
    from learning.tasks.code_search import decode_pairs  # noqa: PLC0415

    return decode_pairs(benchmark, max_rows=MAX_SLICE_ROWS)


def _slice(benchmark: bytes) -> list[Pair]:
    """Rows to score on; foreign bytes.

    Raises:
        SliceUnusable: they cannot be read, or are fewer than `MIN_SLICE_ROWS`.
    """
    from learning.errors import DataError  # noqa: PLC0415

    try:
        pairs = _pairs(benchmark)
    except DataError as error:
        raise SliceUnusable(error.what, why=error.why) from error
    if len(pairs) < MIN_SLICE_ROWS:
        raise SliceUnusable(f"The slice has {len(pairs)} rows; {MIN_SLICE_ROWS} are the least that say anything.")
    return pairs


def read_pairs(names: Sequence[str], cache: Path) -> list[Pair]:
    """Training pairs of the named repositories: installed packages, or folders of one's own (anything with a slash). None: none."""
    if not names:
        return []  # a steward's, who trains on the benchmark alone
    from learning.sources import installed  # noqa: PLC0415
    from learning.sources.repository import folder  # noqa: PLC0415

    known = {repository.name: repository for repository in installed.list_repositories()}
    chosen = []
    for name in names:
        if "/" in name:
            chosen.append(folder(Path(name).expanduser()))
        elif name in known:
            chosen.append(known[name])
        else:
            raise TrainingError(
                f"There is no installed package {name!r} to train on.",
                hint="Install it, or name a folder (a path with a slash) in learning.repositories.",
            )
    against = installed.public_benchmark(PUBLIC_ROWS, cache=cache)
    return installed.collect(chosen, limit=CANDIDATES_PER_NODE, against=against, cache=cache)


def _translated(job: Callable[[], T]) -> T:
    """Run a job and turn learning's errors into ours."""
    from learning.errors import LearningError  # noqa: PLC0415

    try:
        return job()
    except LearningError as error:
        raise TrainingError(error.what, why=error.why, hint=error.hint) from error
