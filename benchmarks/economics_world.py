"""What is expensive in economics.py: every strategy's update and its loss on every row of the sealed slices, once, on disk.

One federation of honest clients per seed goes through its rounds under the protocol as it stands (docs/protocol.md); each strategy is
tried as one more trainer of that round, so its update never enters the aggregate. What a scoring variant needs is then a small file:
losses per row (base and candidates, for slices of 128 and 256 rows), exact cosines, norms. The base is the verifiers', see `LOOKS`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from aggregation import bundle, gram, registry
from benchmarks import demo_learning
from benchmarks.constants import localnet_tally
from benchmarks.demo_learning import Tensors, at_norm
from benchmarks.economics_measured import Measured, read
from incentives import scoring
from learning.device import single_threaded
from learning.evaluation import score_updates, stepped
from learning.local_training import clipped_update, fit
from learning.models.encoder import base_model_hash, trainable
from learning.models.installed import find_base_model
from learning.prepared_pairs import PreparedPairs, prepare_pairs
from learning.sources import installed
from learning.spec import LearningSpec
from learning.tasks.code_search import contrastive_rows

Matrix = NDArray[np.float64]
Say = Callable[[str], None]

BASE_MODEL = "all-MiniLM-L6-v2"
VERSION = 4  # of the files below; a change of what is measured raises it
SIZES = (128, 256)
SEALED_POOL = 2_000  # rows from which the stewards of all rounds draw
BEST_OF = 200
LOOKS = ("protocol", "along", "always")
"""When the base is moved along the steward's training on the public benchmark: never, once there is a last aggregate, from round 1 on."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is measured.

    Attributes:
        honest: clients of the federation.
        pool: pairs a client may have.
        public: rows of the public benchmark.
        outer_rate: step along the aggregate.
        tally: the protocol's constants, which decide who enters the aggregate.
        z_milli: thousandths of standard errors that the federation's own verifiers take off a gain.
        full: (seed, round) in which every strategy is tried; the others leave out what costs trainings or repeats others.
    """

    honest: int = 8
    pool: int = 800
    public: int = 500
    outer_rate: float = 0.8
    tally: scoring.TallyParams = dataclasses.field(default_factory=localnet_tally)
    z_milli: int = 0
    full: tuple[tuple[int, int], ...] = ((0, 1), (0, 3))


@dataclasses.dataclass(frozen=True)
class Tried:
    """Steps, candidates (none: all) and look-ahead of one measurement; see `World.measure`."""

    etas: tuple[float, ...]
    only: tuple[str, ...]
    look: str


def sliced(queries: torch.Tensor, codes: torch.Tensor, size: int, temperature: float) -> Matrix:
    """Losses by row of consecutive slices of ``size`` rows, nats, (slices, size); each slice has its own rows as negatives."""
    starts = range(0, len(queries) - size + 1, size)
    found = [
        contrastive_rows(queries[s : s + size].double(), codes[s : s + size].double(), temperature=temperature)
        for s in starts
    ]
    return np.asarray(torch.stack(found).numpy(), np.float64)


def towards(target: Tensors, cosine: float, rng: np.random.Generator) -> Tensors:
    """``target`` blurred by noise at right angles to it: same norm, this cosine."""
    flat = np.concatenate([a.ravel() for a in target.values()]).astype(np.float64)
    noise = rng.standard_normal(flat.size)
    noise -= (noise @ flat) / (flat @ flat) * flat
    noise *= np.linalg.norm(flat) / np.linalg.norm(noise)
    return _shaped(cosine * flat + np.sqrt(1 - cosine**2) * noise, target)


def buried(target: Tensors, bound: float, rng: np.random.Generator) -> Tensors:
    """``target`` as it is, plus noise at right angles to it up to the norm bound: all of its gain, a small cosine."""
    length = norm(target)
    if length >= bound * (1 - 1e-6):
        return dict(target)
    return at_norm(towards(target, length / bound, rng), bound)


def partly_shuffled(count: int, share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """An order in which ⌊share·count⌋ random rows have changed places among themselves (cyclically: none stays)."""
    order = np.arange(count)
    chosen = rng.permutation(count)[: int(share * count)]
    order[chosen] = np.roll(chosen, 1)
    return order


def _shaped(flat: Matrix, like: Tensors) -> Tensors:
    found, start = {}, 0
    for name, array in like.items():
        found[name] = flat[start : start + array.size].reshape(array.shape).astype(np.float32)
        start += array.size
    return found


def norm(update: Tensors) -> float:
    """L2."""
    return float(np.sqrt(sum(np.square(a, dtype=np.float64).sum() for a in update.values())))


def guideline() -> LearningSpec:
    """The demo's learning settings."""
    found = base_model_hash(find_base_model(BASE_MODEL, None))
    return LearningSpec(base_hash=found, model=BASE_MODEL, confidence=1.0)


def key_of(settings: Settings, spec: LearningSpec) -> str:
    """Names the files of one way of measuring."""
    wanted = dataclasses.asdict(settings)
    for name in ("harm_min", "gain_cap"):  # replayed: they do not decide who enters the aggregate
        wanted["tally"].pop(name)
    wanted.pop("full")  # says which candidates exist, not what they are
    learning = spec.to_mapping()
    for name in ("confidence", "lookahead_public"):  # replayed; measured in files of its own
        learning.pop(name)
    text = json.dumps([VERSION, wanted, learning], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def measured_path(
    folder: Path, key: str, seed: int, number: int, rows: int, *, etas: tuple[float, ...] = (), look: str = "protocol"
) -> Path:
    """File of a measured round."""
    chosen = "-".join([*map(str, etas), *([look] if look != "protocol" or not etas else [])])
    return folder / f"{key}-{seed}-{number}-measured-{rows}-{chosen}.npz"


class World:
    """One seed: clients 0 … honest−1 and one more, whose data the trained strategies use."""

    def __init__(self, settings: Settings, seed: int, folder: Path, pairs: Path) -> None:
        single_threaded()
        torch.use_deterministic_algorithms(True)
        self.settings, self.seed, self.folder = settings, seed, folder
        self.spec = guideline()
        chosen = demo_learning.Settings(
            nodes=settings.honest + 2,
            attackers=0,
            rounds=1,
            pool=settings.pool,
            benchmark=settings.public,
            slice=8,
            cache=pairs,
        )
        self.federation = demo_learning.Federation(self.spec, chosen, seed)
        self.model = self.federation.model
        self.public = self.federation.benchmark
        self.own = settings.honest
        self.pool = installed.sealed_slice(SEALED_POOL, 0, cache=pairs)
        self.schema = bundle.schema_of(trainable(self.federation.genesis))
        self.key = key_of(settings, self.spec)
        folder.mkdir(parents=True, exist_ok=True)

    # --- the honest federation ---

    def state(self, number: int) -> tuple[Tensors, Tensors | None]:
        """Parent model and last aggregate of a round, from the rounds before it."""
        if number == 1:
            return self.federation.genesis, None
        path = self._path(number - 1, "state")
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing: measure round {number - 1} of seed {self.seed} first.")
        with np.load(path) as found:
            model = {n[2:]: found[n] for n in found.files if n.startswith("m:")}
            last = {n[2:]: found[n] for n in found.files if n.startswith("l:")}
        return {**self.federation.genesis, **model}, last or None

    def revealed(self, number: int) -> dict[str, Tensors]:
        """The honest updates of a round by name (client ``own`` is ``self``), from disk or trained."""
        path, names = self._path(number, "honest"), [*(f"honest-{i}" for i in range(self.own)), "self"]
        if not path.exists():
            model, _ = self.state(number)
            trained = [self.federation.update(model, i, number) for i in range(self.own + 1)]
            _keep(path, dict(zip(names, trained, strict=True)))
        with np.load(path) as found:
            return {n: {k: found[f"{n}|{k}"] for k, _ in self.schema} for n in names}

    def _path(self, number: int, kind: str, suffix: str = ".npz") -> Path:
        return self.folder / f"{self.key}-{self.seed}-{number}-{kind}{suffix}"

    # --- one round ---

    def measure(
        self,
        number: int,
        rows: int,
        say: Say,
        *,
        etas: tuple[float, ...] = (),
        only: tuple[str, ...] = (),
        look: str = "protocol",
    ) -> Measured:
        """Everything about a round: from disk, or measured and kept.

        Args:
            number: of the round.
            rows: of the sealed slice.
            say: told what it cost.
            etas: steps at which updates are tried; none: the guideline's.
            only: candidates that are scored; none: all.
            look: one of `LOOKS`.
        """
        path = measured_path(self.folder, self.key, self.seed, number, rows, etas=etas, look=look)
        if not path.exists():
            began = process_time()
            self._measure(path, number, rows, Tried(etas or (self.spec.eta,), only, look))
            say(f"{path.stem}: {process_time() - began:.0f} CPU-s")
        return read(path, self.seed, number)

    def slice_rows(self, number: int, rows: int) -> PreparedPairs:
        """The sealed slice of a round; the first 256 rows are the same whatever ``rows`` is."""
        order = np.random.default_rng([self.seed, number, 7]).permutation(len(self.pool))[:rows]
        return prepare_pairs(self.model, [self.pool[i] for i in order], self.spec.scoring_precision)

    def _measure(self, path: Path, number: int, rows: int, tried: Tried) -> None:
        etas, only, look = tried.etas, tried.only, tried.look
        model, last = self.state(number)
        slice_ = self.slice_rows(number, rows)
        candidates = self.kept_candidates(number, slice_)
        reference = candidates["public-reference"]
        if only:
            candidates = {name: update for name, update in candidates.items() if name in only}
        base, lookahead = self._base(model, last, slice_)
        along = 0.0
        is_along = look == "always" or (look == "along" and last is not None)
        if is_along:
            base, along = self._base(base, reference, slice_)
        losses = self._losses(base, candidates, slice_, etas)
        if (self.seed, number) in self.settings.full and self.spec.eta in etas:
            wanted = score_updates(
                self.model,
                model,
                last,
                [candidates["honest-0"]],
                slice_,
                eta=self.spec.eta,
                grid=self.spec.lookahead,
                public_update=reference if is_along else None,
            )
            self._check(wanted[0], losses[self.spec.eta, len(slice_)])
        before = list(self.revealed(number - 1).values())[: self.own] if number > 1 else []
        everybody = [*candidates.values(), *before]
        cosines, to_last = gram.similarity_ppm(everybody, last, self.schema)
        count, known = len(candidates), to_last or [0] * len(everybody)
        accepted: list[int] = []
        if not only:
            honest = list(candidates.values())[: self.own]
            accepted = self._admitted(number, losses[self.spec.eta, SIZES[0]], cosines, known)
            self._advance(model, last, number, {i: honest[i] for i in accepted})
        arrays: dict[str, Any] = {f"{eta}|{size}": array for (eta, size), array in losses.items()}
        np.savez(
            path,
            names=np.array(list(candidates)),
            cosines=np.array(cosines)[:count, :count],
            to_last=np.array(known)[:count],
            to_previous=np.array(cosines)[:count, count:],
            norms=np.array([norm(u) for u in candidates.values()]),
            lookahead=lookahead,
            along=along,
            accepted=np.array(accepted, np.int64),
            **arrays,
        )

    def _embedded(self, checkpoint: Mapping[str, NDArray[np.float32]], slice_: PreparedPairs) -> dict[int, Matrix]:
        self.model.load(checkpoint)
        precision = self.spec.scoring_precision
        queries = self.model.embed_all(slice_.queries, precision)
        codes = self.model.embed_all(slice_.codes, precision)
        return {s: sliced(queries, codes, s, self.spec.temperature) for s in SIZES if s <= len(slice_)}

    def _base(self, model: Tensors, last: Tensors | None, slice_: PreparedPairs) -> tuple[Tensors, float]:
        """Look-ahead, decided on all measured rows for every slice alike."""
        best, chosen, least = model, 0.0, np.inf
        for step in self.spec.lookahead if last is not None else (0.0,):
            candidate = stepped(model, last, step) if last is not None and step else model
            loss = float(self._embedded(candidate, slice_)[len(slice_)][0].mean()) if last is not None else 0.0
            if loss < least:
                best, chosen, least = candidate, step, loss
        return best, chosen

    def _losses(
        self, base: Tensors, candidates: Mapping[str, Tensors], slice_: PreparedPairs, etas: tuple[float, ...]
    ) -> dict[tuple[float, int], Matrix]:
        """Losses by row of the base and of every candidate; equal updates are tried once."""
        start = self._embedded(base, slice_)
        found: dict[tuple[float, int], list[Matrix]] = {(eta, size): [start[size]] for eta in etas for size in start}
        known: dict[tuple[float, bytes], dict[int, Matrix]] = {}
        for update in candidates.values():
            content = hashlib.sha256(b"".join(a.tobytes() for a in update.values())).digest()
            for eta in etas:
                if not any(a.any() for a in update.values()):
                    known[eta, content] = start
                if (eta, content) not in known:
                    known[eta, content] = self._embedded(stepped(base, update, eta), slice_)
                for size, matrix in known[eta, content].items():
                    found[eta, size].append(matrix)
        return {key: np.stack(matrices) for key, matrices in found.items()}

    def _check(self, wanted: int, losses: Matrix) -> None:
        """The row losses give for the first honest client what a verifier writes, to 1 ppm."""
        got = self._gain(losses, 0, 1_000)
        if abs(wanted - got) > 1:
            raise AssertionError(f"score_updates gives {wanted} ppm, the losses by row {got} ppm.")

    def _gain(self, losses: Matrix, place: int, z_milli: int) -> int:
        """What an honest verifier finds for one candidate on the first slice, before novelty."""
        rows: list[int] = np.rint(1e6 * (losses[0, 0] - losses[1 + place, 0])).astype(np.int64).tolist()
        return scoring.confident_gain(rows, z_milli)

    def _admitted(self, number: int, losses: Matrix, cosines: list[list[int]], to_last: list[int]) -> list[int]:
        """Honest clients accepted by the protocol as it stands."""
        n = self.own
        order = np.random.default_rng([self.seed, number, 3]).permutation(n).tolist()
        novelty = scoring.novelty_ppm([row[:n] for row in cosines[:n]], to_last[:n], order)
        gains = [self._gain(losses, i, self.settings.z_milli) for i in range(n)]
        fields = [
            scoring.encode_gain(scoring.effective_gain(gain, new)) for gain, new in zip(gains, novelty, strict=True)
        ]
        verdicts = [scoring.tally([field] * 7, self.settings.tally).verdict for field in fields]
        return [i for i, verdict in enumerate(verdicts) if verdict is scoring.Verdict.ACCEPTED]

    def _advance(self, model: Tensors, last: Tensors | None, number: int, accepted: Mapping[int, Tensors]) -> None:
        """Writes the next round's parent and last aggregate; a round that accepts nobody changes neither."""
        if accepted:
            sent = {bytes([i]): update for i, update in accepted.items()}
            last = dict(registry.parse(registry.DEFAULT).aggregate(sent, self.schema).tensors)
            model = stepped(model, last, self.settings.outer_rate)
        kept: dict[str, Any] = {f"m:{k}": model[k] for k, _ in self.schema}
        kept |= {f"l:{k}": a for k, a in (last or {}).items()}
        np.savez(self._path(number, "state"), **kept)

    # --- strategies ---

    def kept_candidates(self, number: int, slice_: PreparedPairs) -> dict[str, Tensors]:
        """`candidates`, from disk or made."""
        path = self._path(number, "candidates")
        if not path.exists():
            made = self.candidates(number, slice_)
            _keep(path, made)
        with np.load(path) as found:
            names = list(dict.fromkeys(name.split("|")[0] for name in found.files))
            return {n: {k: found[f"{n}|{k}"] for k, _ in self.schema} for n in names}

    def candidates(self, number: int, slice_: PreparedPairs) -> dict[str, Tensors]:
        """Updates by name: honest clients first, then ``self`` (honest, the strategies' own data), then the strategies."""
        model, last = self.state(number)
        honest = self.revealed(number)
        rng = np.random.default_rng([self.seed, number, 11])
        found = dict(honest)
        window = self.federation.window(self.own, number)
        is_full = (self.seed, number) in self.settings.full
        shares = {"noisy-20": 0.2, "noisy-40": 0.4, "shuffled": 1.0}
        for name, share in shares.items() if is_full else list(shares.items())[1:]:
            found[name] = self._fit(model, _mispaired(window, partly_shuffled(len(window), share, rng)), number)
        found["public-reference"] = self._fit(model, self.public, number, seed=1)
        found["public"] = self._fit(model, self.public, number)
        ahead = stepped(model, found["public"], 1.0)
        found["public-next"] = self._fit(ahead, self.public, number)
        both = {k: a + found["public-next"][k] for k, a in found["public"].items()}
        found["public-twice"] = both if norm(both) <= self.spec.max_norm else at_norm(both, self.spec.max_norm)
        found["leak"] = self._fit(model, slice_, number)
        if is_full:
            found["leak-half"] = self._fit(model, _rows(slice_, [*range(128), *range(128)]), number)
            found |= self._split(model, window, number)
        found |= self._made_up(honest, found, last, number, rng)
        return found

    def _split(self, model: Tensors, window: PreparedPairs, number: int) -> dict[str, Tensors]:
        """One trainer as several identities: its data split, or the same data in another order."""
        found = {"same-2": self._fit(model, window, number, seed=1)}
        for parts in (2, 4):
            for part in range(parts):
                found[f"split-{parts}-{part}"] = self._fit(
                    model, _rows(window, range(part, len(window), parts)), number
                )
        return found

    def _made_up(
        self,
        honest: Mapping[str, Tensors],
        trained: Mapping[str, Tensors],
        last: Tensors | None,
        number: int,
        rng: np.random.Generator,
    ) -> dict[str, Tensors]:
        """Strategies that train nothing."""
        public, is_full = trained["public"], (self.seed, number) in self.settings.full
        bound, usual = self.spec.max_norm, float(np.median([norm(honest[f"honest-{i}"]) for i in range(self.own)]))
        shape = honest["self"]
        size = sum(a.size for a in shape.values())

        def noise() -> Tensors:
            return _shaped(rng.standard_normal(size), shape)

        target = np.concatenate([a.ravel() for a in public.values()])
        draws = [int(s) for s in rng.integers(1 << 62, size=BEST_OF)]
        fits = [np.random.default_rng(s).standard_normal(size) @ target for s in draws]
        best = np.random.default_rng(draws[int(np.argmax(fits))]).standard_normal(size)
        found = {
            "zero": {k: np.zeros_like(a) for k, a in shape.items()},
            "random-0": at_norm(noise(), bound),
            "random-small": at_norm(noise(), usual),
            "best-of-200": at_norm(_shaped(best, shape), bound),
            "flipped": at_norm({k: -a for k, a in honest["self"].items()}, bound),
            "flipped-small": {k: -a for k, a in honest["self"].items()},
            "copy": dict(honest["honest-0"]),
            "copy-90": towards(honest["honest-0"], 0.9, rng),
            "copy-70": towards(honest["honest-0"], 0.7, rng),
        }
        copied = {"public": public} | ({"copy": found["copy"]} if is_full else {})
        if last is not None:
            earlier = self.revealed(number - 1)
            copied |= {"replay": dict(last), "other-last": earlier["honest-1"]}
            found |= {
                "replay": dict(last),
                "own-last": dict(earlier["self"]),
                "other-last": dict(earlier["honest-1"]),
            }
            if is_full:
                found |= {
                    "random-1": at_norm(noise(), bound),
                    "replay-scaled": at_norm(last, bound),
                    "replay-90": towards(at_norm(last, usual), 0.9, rng),
                    "replay-70": towards(at_norm(last, usual), 0.7, rng),
                }
        found |= {f"{name}-buried": buried(update, bound, rng) for name, update in copied.items()}
        for place in (0, 1):
            found[f"self-buried-{place}"] = buried(honest["self"], bound, rng)
        return found

    def _fit(self, model: Tensors, pairs: PreparedPairs, number: int, seed: int = 0) -> Tensors:
        fit(self.model, model, pairs, self.spec, seed=1_000 * self.seed + 10 * number + self.own + 500 * seed)
        return clipped_update(self.model, model, self.spec.max_norm)[0]


def _keep(path: Path, updates: Mapping[str, Tensors]) -> None:
    arrays: dict[str, Any] = {f"{n}|{k}": a for n, u in updates.items() for k, a in u.items()}
    np.savez(path, **arrays)


def _rows(pairs: PreparedPairs, rows: Any) -> PreparedPairs:
    chosen = np.array(list(rows), np.int64)
    return PreparedPairs(_taken(pairs.queries, chosen), _taken(pairs.codes, chosen))


def _mispaired(pairs: PreparedPairs, order: NDArray[np.int64]) -> PreparedPairs:
    return PreparedPairs(pairs.queries, _taken(pairs.codes, order))


def _taken(prepared: Any, rows: NDArray[np.int64]) -> Any:
    return dataclasses.replace(prepared, starts=prepared.starts[rows], lengths=prepared.lengths[rows])
