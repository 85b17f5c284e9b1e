"""Replays the demo's learning without chain, IPFS or network: what federation gains, what attacks cost, how many CPU-seconds.

    python -m benchmarks.demo_learning --seeds 0 1 2 3 4

Per seed: honest clients and one attacker (two with ``--nodes 8``) on disjoint installed packages, rounds of local training, scoring on a
sealed slice with the steward's public update, robust aggregation of what was accepted, outer step; then every honest client alone on the
same amount of its own data. All attacks are scored every round; the one named by ``--attack`` is also offered to the aggregation.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from aggregation import bundle, gram, outer, registry
from benchmarks.constants import localnet_tally
from incentives import scoring
from learning.device import choose_device, single_threaded
from learning.evaluation import evaluate, score_updates, stepped
from learning.local_training import clipped_update, fit, round_window
from learning.models.encoder import Encoder, base_model_hash, genesis, trainable
from learning.models.installed import find_base_model
from learning.prepared_pairs import PreparedPairs, prepare_pairs
from learning.sources import installed
from learning.spec import LearningSpec
from learning.tasks.code_search import Pair

Tensors = dict[str, NDArray[np.float32]]
ATTACKS = ("sign_flip", "noise", "shuffled")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything beside the learning spec."""

    nodes: int = 5
    attackers: int = 1
    rounds: int = 3
    pool: int = 800
    benchmark: int = 500
    slice: int = 128
    pipeline: str = registry.DEFAULT
    outer_rate: float = 0.8
    outer_momentum: float = 0.0
    attack: str = "sign_flip"
    tally: scoring.TallyParams = dataclasses.field(default_factory=localnet_tally)
    cache: Path | None = None
    model_folder: Path | None = None

    @property
    def outer_step(self) -> outer.OuterStep:
        """Nesterov with the outer momentum; without any, plain SGD."""
        return outer.OuterStep("nesterov" if self.outer_momentum else "sgd", self.outer_rate, self.outer_momentum)


class Federation:
    """One seed's clients, data and model; activations of the frozen layers are kept between uses."""

    def __init__(self, spec: LearningSpec, settings: Settings, seed: int) -> None:
        self.spec, self.settings, self.seed = spec, settings, seed
        self.seconds: dict[str, float] = {}
        base = find_base_model(spec.model, settings.model_folder)
        with self.timed("load model"):
            self.model = Encoder(base, spec, choose_device("cpu"))
        self.genesis: Tensors = genesis(spec, seed, base)
        hands = installed.assign(settings.nodes, seed)
        self.names = ["+".join(r.name for r in hand) for hand in hands]
        self.honest = range(settings.nodes - settings.attackers)
        with self.timed("read pairs"):
            benchmark = installed.public_benchmark(settings.benchmark, cache=settings.cache)
            self.pairs = [
                installed.collect(hand, limit=settings.pool, against=benchmark, cache=settings.cache) for hand in hands
            ]
            slices = [
                installed.sealed_slice(settings.slice, 1_000 * seed + r, cache=settings.cache)
                for r in range(1, settings.rounds + 1)
            ]
        self.benchmark = self._prepared("evaluate", benchmark, spec.scoring_precision)
        self.slices = [self._prepared("score", slice_, spec.scoring_precision) for slice_ in slices]
        self._windows: dict[tuple[int, int], PreparedPairs] = {}
        self._public: dict[int, Tensors] = {}

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Adds this block's CPU seconds to ``phase``."""
        began = process_time()
        yield
        self.seconds[phase] = self.seconds.get(phase, 0.0) + process_time() - began

    def _prepared(self, phase: str, pairs: Sequence[Pair], precision: str) -> PreparedPairs:
        with self.timed(phase):
            return prepare_pairs(self.model, pairs, precision)

    def window(self, client: int, number: int) -> PreparedPairs:
        """A client's prepared pairs of one round."""
        if (client, number) not in self._windows:
            rows = round_window(self.pairs[client], self.spec.samples_per_round, number)
            self._windows[client, number] = self._prepared("train", rows, self.spec.precision)
        return self._windows[client, number]

    def update(
        self, checkpoint: Tensors, client: int, number: int, *, phase: str = "train", shuffled: bool = False
    ) -> Tensors:
        """What `learning.local_training.train` gives, from kept activations."""
        pairs = self.window(client, number)
        if shuffled:
            order = np.random.default_rng(number).permutation(len(pairs))
            codes = dataclasses.replace(
                pairs.codes, starts=pairs.codes.starts[order], lengths=pairs.codes.lengths[order]
            )
            pairs = PreparedPairs(pairs.queries, codes)
        with self.timed(phase):
            fit(self.model, checkpoint, pairs, self.spec, seed=1_000 * self.seed + 10 * number + client)
            return clipped_update(self.model, checkpoint, self.spec.max_norm)[0]

    def mrr(self, checkpoint: Tensors, phase: str = "evaluate") -> float:
        """MRR on the public benchmark."""
        with self.timed(phase):
            return evaluate(self.model, checkpoint, self.benchmark)["mrr"]

    def attacks(self, checkpoint: Tensors, number: int) -> dict[str, Tensors]:
        """Every attack of the first attacker at the norm bound (the shuffled one: whatever its training gives)."""
        attacker = len(self.honest)
        own = self.update(checkpoint, attacker, number, phase="attack")
        rng = np.random.default_rng([self.seed, number])
        noise = {n: rng.standard_normal(a.shape, dtype=np.float32) for n, a in own.items()}
        return {
            "sign_flip": at_norm({n: -a for n, a in own.items()}, self.spec.max_norm),
            "noise": at_norm(noise, self.spec.max_norm),
            "shuffled": self.update(checkpoint, attacker, number, phase="attack", shuffled=True),
        }

    def public_update(self, checkpoint: Tensors, number: int) -> Tensors | None:
        """What the round's steward trains on the public benchmark; None in the first round, and where the guideline does without."""
        if number == 1 or self.spec.lookahead_public == (0.0,):
            return None
        if number not in self._public:
            with self.timed("steward"):
                fit(self.model, checkpoint, self.benchmark, self.spec, seed=number)
                self._public[number] = clipped_update(self.model, checkpoint, self.spec.max_norm)[0]
        return self._public[number]

    def gains(
        self, checkpoint: Tensors, last: Tensors | None, updates: list[Tensors], number: int
    ) -> list[tuple[int, int]]:
        """(raw, effective) gain in ppm of each update, as every verifier computes it."""
        public = self.public_update(checkpoint, number)
        with self.timed("score"):
            raw = score_updates(
                self.model,
                checkpoint,
                last,
                updates,
                self.slices[number - 1],
                eta=self.spec.eta,
                grid=self.spec.lookahead,
                public_update=public,
                public_grid=self.spec.lookahead_public,
            )
        schema = bundle.schema_of(trainable(checkpoint))
        cosines, to_last = gram.similarity_ppm(updates, last, schema)
        novelty = scoring.novelty_ppm(cosines, to_last or [0] * len(updates), range(len(updates)))
        return [(g, scoring.effective_gain(g, v)) for g, v in zip(raw, novelty, strict=True)]


def at_norm(update: Tensors, norm: float) -> Tensors:
    """``update`` scaled to an L2 norm just within ``norm``."""
    length = float(np.sqrt(sum(np.square(a, dtype=np.float64).sum() for a in update.values())))
    factor = np.float32(norm * (1 - 1e-6) / length)
    return {n: a * factor for n, a in update.items()}


def federate(world: Federation) -> dict[str, Any]:
    """All rounds; MRR after each, gains and verdicts."""
    settings, checkpoint = world.settings, world.genesis
    last: Tensors | None = None
    state: outer.State = {}
    mrr, rounds = [], []
    for number in range(1, settings.rounds + 1):
        honest = [world.update(checkpoint, i, number) for i in world.honest]
        attacks = world.attacks(checkpoint, number)
        offered = [*honest, *([attacks[settings.attack]] * settings.attackers)]
        gains = world.gains(checkpoint, last, offered, number)
        results = [scoring.tally([scoring.encode_gain(g)] * 4, settings.tally) for _, g in gains]
        probes = world.gains(checkpoint, last, [attacks[name] for name in ATTACKS], number)
        accepted = {
            bytes([i]): u
            for i, (u, r) in enumerate(zip(offered, results, strict=True))
            if r.verdict is scoring.Verdict.ACCEPTED
        }
        rounds.append(
            {
                "gains": gains,
                "verdicts": [r.verdict.name.lower() for r in results],
                "attacks": {name: gain for name, (gain, _) in zip(ATTACKS, probes, strict=True)},
                "weights": [r.weight for r in results],
            }
        )
        if accepted:
            with world.timed("aggregate"):
                schema = bundle.schema_of(trainable(checkpoint))
                last = registry.parse(settings.pipeline).aggregate(accepted, schema).tensors
                checkpoint, state = settings.outer_step.apply(checkpoint, last, state)
        mrr.append(world.mrr(checkpoint))
    return {"mrr": mrr, "rounds": rounds}


def alone(world: Federation, client: int) -> float:
    """MRR of one client after the same rounds on its own data."""
    checkpoint = world.genesis
    for number in range(1, world.settings.rounds + 1):
        checkpoint = stepped(checkpoint, world.update(checkpoint, client, number, phase="baselines"), 1.0)
    return world.mrr(checkpoint, "baselines")


def centralised(world: Federation) -> float:
    """MRR of one trainer that sees all honest clients' data, in the same number of rounds."""
    spec = dataclasses.replace(world.spec, samples_per_round=world.spec.samples_per_round * len(world.honest))
    checkpoint = world.genesis
    for number in range(1, world.settings.rounds + 1):
        rows = [p for i in world.honest for p in round_window(world.pairs[i], world.spec.samples_per_round, number)]
        with world.timed("centralised"):
            fit(world.model, checkpoint, prepare_pairs(world.model, rows, spec.precision), spec, seed=number)
            checkpoint = stepped(checkpoint, clipped_update(world.model, checkpoint, 1e6)[0], 1.0)
    return world.mrr(checkpoint, "centralised")


def replay(spec: LearningSpec, settings: Settings, seed: int, *, baselines: int) -> dict[str, Any]:
    """One seed: pretrained, federated, alone and (``baselines`` = 2) centralised."""
    world = Federation(spec, settings, seed)
    result: dict[str, Any] = {"seed": seed, "clients": world.names, "pretrained": world.mrr(world.genesis)}
    result |= federate(world)
    if baselines:
        result["alone"] = [alone(world, i) for i in world.honest]
    if baselines > 1:
        result["centralised"] = centralised(world)
    result["cpu_seconds"] = {phase: round(value, 1) for phase, value in world.seconds.items()}
    return result


def show(result: dict[str, Any]) -> None:
    """Prints one seed."""
    mrr = " → ".join(f"{v:.4f}" for v in result["mrr"])
    print(f"seed {result['seed']}: pretrained {result['pretrained']:.4f} → federated {mrr}")
    if "alone" in result:
        single = result["alone"]
        each = " ".join(f"{v:.4f}" for v in single)
        margin = result["mrr"][-1] - max(single)
        print(
            f"  alone {each}  mean {statistics.mean(single):.4f}  best {max(single):.4f}  federated − best {margin:+.4f}"
        )
    if "centralised" in result:
        print(f"  centralised {result['centralised']:.4f}")
    for number, entry in enumerate(result["rounds"], 1):
        gains = " ".join(f"{raw}/{effective}" for raw, effective in entry["gains"])
        attacks = " ".join(f"{name} {gain}" for name, gain in entry["attacks"].items())
        print(f"  round {number}: gain raw/effective ppm {gains}  {' '.join(entry['verdicts'])}  | {attacks}")
    print(f"  CPU-s {result['cpu_seconds']}", flush=True)


def main() -> int:
    """Command line; JSON of all seeds goes to ``--json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--spec", type=Path, help="JSON with learning settings over the defaults")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="NAME=JSON", help="settings of this benchmark or of the spec"
    )
    parser.add_argument("--baselines", type=int, default=1, choices=(0, 1, 2))
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--model-folder", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    single_threaded()
    torch.use_deterministic_algorithms(True)
    learning: dict[str, Any] = json.loads(options.spec.read_text()) if options.spec else {}
    changes = {name: json.loads(value) for name, value in (text.split("=", 1) for text in options.set)}
    known = {field.name for field in dataclasses.fields(Settings)}
    learning |= {name: value for name, value in changes.items() if name not in known}
    learning.setdefault(
        "base_hash", base_model_hash(find_base_model(learning.get("model", "all-MiniLM-L6-v2"), options.model_folder))
    )
    chosen = {name: value for name, value in changes.items() if name in known}
    settings = Settings(cache=options.cache, model_folder=options.model_folder, **chosen)
    results = []
    for seed in options.seeds:
        results.append(replay(LearningSpec.from_mapping(learning), settings, seed, baselines=options.baselines))
        show(results[-1])
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
