"""What confidentiality costs: encrypted bundles, secure sums of clusters, and what those take away from robust rules and the gate.

    python -m benchmarks.confidential                   # build/bench/confidential.json, about ten minutes
    python -m benchmarks.confidential --quick           # one seed, small sizes

*Envelopes*: processor seconds to encrypt, and to open with the check of every other member's copy of the key; bytes; by size and members.
*Sums*: seconds and bytes a member spends in `node.confidential.sums`, every message really made, with and without drop-outs.
*Learning*: thirty clients of `robustness_digits`, alone (clusters of 1: everybody's update is seen) and in clusters of 3 and 5 whose means
alone are seen. A Byzantine client owns its cluster's mean: nobody can bound or score what it adds, so it need only keep to the norm bound
on the mean. Byzantine clients sit in different clusters (the worst case; a random draw is shown beside it).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aggregation.errors import PreconditionFailed
from aggregation.registry import DEFAULT
from aggregation.secure import Grid
from benchmarks.robustness import Gate, play
from benchmarks.robustness_digits import Settings, Task
from benchmarks.robustness_report import machine
from node.confidential.agreement import agree, public_key
from node.confidential.envelope import enclose, open_with, read_envelope, unwrap
from node.confidential.sums import SHARES_BYTES, Cluster, Member, majority, recover
from node.protocol.commitments import RoundScope
from node.protocol.types import Address

OUT = Path("build/bench/confidential.json")
Matrix = NDArray[np.float32]
Vector = NDArray[np.float32]
SIZES = (716_832, 10_000_000, 100_000_000)
"""Bytes of an update: the demo's LoRA of MiniLM (rank 16), a rank-16 LoRA of a 1B model, of a 7B one, about."""


def account(i: int) -> Address:
    """Account number i."""
    return Address("0x" + f"{i + 1:040x}")


def private(i: int) -> bytes:
    """Its X25519 private key."""
    return (i + 1).to_bytes(32, "big")


def best(work: Callable[[], Any], repeats: int) -> float:
    """Least processor seconds of some runs."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


# --- envelopes --------------------------------------------------------------------------------------------------------


def envelopes(sizes: tuple[int, ...], members: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    """Time and bytes of one envelope."""
    scope = RoundScope(1, account(999), 1)
    for size in sizes:
        text = np.random.default_rng(0).bytes(size)
        for n in members:
            people = [(account(i), public_key(private(i))) for i in range(n)]
            data, key = enclose(text, scope, account(0), people, bytes(32))
            repeats = 3 if size < 50_000_000 else 1
            unlock = partial(unwrap, me=account(1), own_key=people[1][1], shared_secret=partial(agree, private(1)))
            assert open_with(read_envelope(data), unlock(read_envelope(data))) == text
            yield {
                "bytes": size,
                "members": n,
                "envelope_bytes": len(data),
                "overhead_percent": round(100 * (len(data) / size - 1), 3),
                "encrypt_s": round(best(partial(enclose, text, scope, account(0), people, bytes(32)), repeats), 4),
                "unwrap_s": round(best(lambda: unlock(read_envelope(data)), repeats), 4),  # noqa: B023 - called at once
                "open_and_check_s": round(best(lambda: open_with(read_envelope(data), key), repeats), 4),  # noqa: B023
            }


# --- sums -------------------------------------------------------------------------------------------------------------


def sums(lengths: tuple[int, ...], repeats: int) -> Iterator[dict[str, Any]]:
    """Time and bytes of one cluster's sum."""
    for length in lengths:
        for n in (3, 4, 5):
            for lost in range(n - majority(n) + 1):
                runs = [one_sum(n, length, lost) for _ in range(repeats)]
                times = {key: round(min(run[key] for run in runs), 5) for key in runs[0] if key.endswith("_s")}
                yield {"parameters": length, "members": n, "threshold": majority(n), "lost": lost, **runs[0], **times}


def one_sum(n: int, length: int, lost: int) -> dict[str, Any]:
    """One sum with the last ``lost`` members gone after they shared: seconds of one member, of whoever recovers, bytes of one member."""
    names = [account(i) for i in range(n)]
    cluster = Cluster(b"bench", {name: public_key(private(i)) for i, name in enumerate(names)}, majority(n))
    grid = Grid.of(n, 6.0)
    vectors = np.random.default_rng(n).normal(0, 1e-3, (n, length)).astype(np.float32)
    members = {
        name: Member(cluster, name, private(i + 100), partial(agree, private(i))) for i, name in enumerate(names)
    }
    start = time.process_time()
    announced = {name: member.announce() for name, member in members.items()}
    posted = {name: member.share() for name, member in members.items()}
    shared = time.process_time()
    there = names[: n - lost]
    words = {name: grid.encode(vectors[i]) for i, name in enumerate(there)}
    encoded = time.process_time()
    masked = {
        name: members[name].send(words[name], announced, {o: posted[o][name] for o in names if o != name})
        for name in there
    }
    sent = time.process_time()
    answers = {name: members[name].unmask(there) for name in there}
    answered = time.process_time()
    found = recover(cluster, announced, masked, answers)
    mean = grid.mean(found.words, found.count)
    recovered = time.process_time()
    clear = np.sum([one.view(np.int32).astype(np.int64) for one in words.values()], axis=0)
    assert np.array_equal(found.words.view(np.int32), clear)
    exact = vectors[: len(there)].astype(np.float64).mean(axis=0)
    answer_bytes = 52 * n  # an account and a share for each member
    return {
        "share_s": (shared - start) / n,
        "mask_s": (sent - encoded) / len(there),
        "answer_s": (answered - sent) / len(there),
        "recover_s": recovered - answered,
        "update_bytes": 4 * length,
        "extra_bytes": 64 + SHARES_BYTES * (n - 1) + answer_bytes,
        "largest_error": float(np.abs(mean - exact).max()),
        "exact": True,
    }


def lost_clusters(shares: tuple[float, ...]) -> list[dict[str, Any]]:
    """Chance that a cluster loses its sum where every member is gone with probability p, after it shared."""
    rows = []
    for p in shares:
        for n in (3, 4, 5):
            spare = n - majority(n)
            kept = sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(spare + 1))
            rows.append({"gone": p, "members": n, "tolerates": spare, "cluster_lost": round(1 - kept, 5)})
    return rows


# --- learning ---------------------------------------------------------------------------------------------------------


class Clustered(Task):
    """The digits task where a "client" is a cluster of clients, drawn anew each round, whose mean is all that shows."""

    def __init__(self, settings: Settings, seed: int, size: int) -> None:
        super().__init__(settings, seed)
        self.size, self.people = size, settings.clients
        self.n = settings.clients // size
        self.grid = Grid.of(size, settings.max_norm)

    def updates(self, model: Vector, number: int, count: int, *, flipped: bool = False) -> Matrix:
        """Means of ``count`` clusters without a Byzantine client, by way of the words that a secure sum adds."""
        trained = super().updates(model, number, self.people, flipped=flipped)
        if self.size == 1:
            return trained[:count]
        norms = np.linalg.norm(trained.astype(np.float64), axis=1)
        trained = (trained * np.minimum(1, self.max_norm / norms)[:, None]).astype(np.float32)
        order = np.random.default_rng([self.seed, number, 7]).permutation(self.people)
        means = []
        for cluster in order[: count * self.size].reshape(count, self.size):
            words = [self.grid.encode(row) for row in trained[cluster]]
            means.append(self.grid.mean(np.sum(words, axis=0, dtype=np.uint32), self.size))
        return np.stack(means)


def learning(
    settings: Settings, seeds: int, byzantine: tuple[int, ...], attacks: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    """Accuracy of the default pipeline and of plain averaging by cluster size, Byzantine clients, attack and gate."""
    for size in (1, 3, 5):
        worlds = [Clustered(settings, seed, size) for seed in range(seeds)]
        clusters = worlds[0].n
        for pipeline, gate in (("mean", None), (DEFAULT, None), (DEFAULT, Gate())):
            for f in byzantine:
                for attack in attacks if f else ("none",):
                    row = {"cluster": size, "clusters": clusters, "pipeline": pipeline, "gate": gate is not None}
                    row |= {"byzantine": f, "attack": attack}
                    if f >= clusters:
                        yield {**row, "refused": "Every cluster holds a Byzantine client."}
                        continue
                    try:
                        told = pipeline == "mean" or gate is not None
                        found = [play(world, pipeline, 0 if told and not f else f, attack, gate) for world in worlds]
                    except PreconditionFailed as error:
                        yield {**row, "refused": str(error)}
                        continue
                    score = [one["accuracy"] for one in found]
                    yield {**row, "accuracy": round(statistics.mean(score), 2), "per_seed": score}


def poisoned(people: int, sizes: tuple[int, ...], byzantine: tuple[int, ...]) -> list[dict[str, Any]]:
    """How many clusters f Byzantine clients poison when clusters are drawn at random, and how many the default pipeline tolerates."""
    rows, rng = [], np.random.default_rng(0)
    for size in sizes:
        clusters = people // size
        for f in byzantine:
            drawn = [len(set((rng.permutation(people)[:f] // size).tolist())) for _ in range(2_000)]
            tolerated = (clusters - 1) // 3
            rows.append(
                {
                    "cluster": size,
                    "byzantine": f,
                    "clusters": clusters,
                    "tolerated": tolerated,
                    "poisoned_mean": round(statistics.mean(drawn), 2),
                    "beyond": round(sum(one > tolerated for one in drawn) / len(drawn), 4),
                }
            )
    return rows


def shown(rows: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows, each printed as it comes."""
    found = []
    for row in rows:
        print(row, flush=True)
        found.append(row)
    return found


def main() -> None:
    """Run everything and write the file."""
    parser = argparse.ArgumentParser(prog="benchmarks.confidential", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="one seed, small sizes")
    parser.add_argument("--json", type=Path, default=OUT)
    parser.add_argument(
        "--only", choices=("costs", "learning"), help="measure one half again; the other stays as it is in the file"
    )
    arguments = parser.parse_args()
    quick, started = arguments.quick, time.process_time()
    settings = Settings(clients=30, least=8, rounds=6 if quick else 20)
    byzantine = (0, 1, 3) if quick else (0, 1, 2, 3, 5, 9)
    attacks = ("sign_flip×4",) if quick else ("sign_flip×4", "alie", "gauss", "min_max")
    known = json.loads(arguments.json.read_text("utf-8")) if arguments.only else {}
    result = known | {
        "machine": machine(),
        "versions": {"python": sys.version.split()[0], **{name: version(name) for name in ("numpy", "cryptography")}},
        "settings": {**dataclasses.asdict(settings), "seeds": 1 if quick else 3},
        "lost_clusters": lost_clusters((0.01, 0.05, 0.1, 0.2)),
        "poisoned_clusters": poisoned(settings.clients, (1, 3, 5), byzantine),
    }
    if arguments.only != "learning":
        result["envelopes"] = shown(envelopes(SIZES[:1] if quick else SIZES, (5, 30) if quick else (5, 30, 300)))
        result["sums"] = shown(sums((10_000,) if quick else (10_000, 179_208, 2_500_000), 1 if quick else 3))
    if arguments.only != "costs":
        result["learning"] = shown(learning(settings, 1 if quick else 3, byzantine, attacks))
    if not arguments.only:
        result["cpu_seconds"] = round(time.process_time() - started, 1)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
