"""The look-ahead along the steward's public update, through whole rounds: everybody scores alike, whatever the slice holds."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aggregation.bundle import Tensors, decode, encode
from node.ports import ScoreJob, TrainJob, TrainResult
from node.protocol.slices import PREFIX, SliceFile, join_slice, split_slice
from node.protocol.state import Round
from node.protocol.types import Phase
from node.sim.clock import run_virtual
from node.sim.community import Community
from node.sim.ledger import address_of
from node.sim.trainer import MAX_BYTES, ToyTask, ToyTrainer

MEMBERS = 5
WANTED = {"update": {"learning": {"lookahead_public": [0.0, 0.5, 1.0]}}}
TASK = ToyTask(seed=0)


class PublicTrainer(ToyTrainer):
    """A dishonest member: trains on what everybody knows instead of on its own data."""

    async def train(self, job: TrainJob) -> TrainResult:
        return await super().train(replace(job, seed=77, benchmark=TASK.benchmark("public")))


def play(folder: Path, number: int = 2, **changes: Any) -> tuple[Round, list[Mapping[int, int]], bytes, bytes]:
    """A round (the second has a last aggregate): its record, what each member measures of every update, slice's file, parent model."""

    async def story():
        community = Community(folder, members=MEMBERS, rounds=number, **(WANTED | changes))
        await community.start()
        await community.until(lambda: community.is_over(number))
        members = [node for node in community.nodes if node.name.startswith("member")]
        found = members[0].state.rounds[number]
        wanted = list(range(len(found.reveals)))
        fields = [await node.driver.executor.measure(node.state, found, wanted) for node in members]
        _hash, cid = found.benchmark
        data = await members[0].driver.executor._get(cid, 1 << 24, _hash)
        parent = await members[0].driver.executor.model(found.parent_model_hash, found.parent_model_cid)
        await community.stop()
        return found, fields, data, parent

    return run_virtual(story())


def gains(found: Round) -> dict[str, int]:
    return {reveal.trainer: found.settled[reveal.index].gain for reveal in found.reveals}


def test_verifiers_move_the_base_along_the_stewards_update_and_agree_to_the_bit(tmp_path):
    plain, _, rows, _ = play(tmp_path / "plain", trainers={4: PublicTrainer})
    found, fields, data, parent = play(tmp_path / "public", trainers={4: PublicTrainer}, is_public=True)
    assert all(field == fields[0] for field in fields)
    file = split_slice(data)
    assert file.rows == rows
    assert file.public_update is not None
    job = TrainJob(2, parent, 2, benchmark=TASK.benchmark("public"))
    trained = run_virtual(ToyTrainer(TASK, "anybody").train(job))
    assert file.public_update == trained.update  # anybody can repeat what the steward published
    cheat = address_of("member/4")
    assert gains(plain)[cheat] > 3 * max(1, gains(found)[cheat])
    assert found.phase is Phase.FINALIZED


def spoilt(name: str, update: bytes) -> bytes:
    """A slice's second part that is no valid update, by what is wrong with it."""
    tensors: Tensors = decode(update, max_bytes=MAX_BYTES)
    first = next(iter(tensors))
    changed = {
        "not finite": {**tensors, first: np.full_like(tensors[first], np.nan)},
        "above the norm bound": {k: np.float32(1e6) * a for k, a in tensors.items()},
        "another shape": {**tensors, first: np.zeros(99, np.float32)},
        "a name too few": {first: tensors[first]},
        "a name too many": {**tensors, "extra": np.zeros(3, np.float32)},
    }
    if name in changed:
        return encode(changed[name])
    return {"empty": b"", "cut off": update[:-4], "no bundle": b"\xff" * 100, "too long": bytes((1 << 20) + 1)}[name]


BAD = (
    "not finite",
    "above the norm bound",
    "another shape",
    "a name too few",
    "a name too many",
    "empty",
    "cut off",
    "no bundle",
    "too long",
    "unknown version",
)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_public_update_is_left_out_by_everybody_and_said_to_be(tmp_path, name, caplog):
    rows = TASK.benchmark("slice/1")
    update = run_virtual(ToyTrainer(TASK, "x").train(TrainJob(1, TASK.genesis(), 1, benchmark=rows))).update
    data = rows + PREFIX + b"2\n" + update if name == "unknown version" else join_slice(rows, spoilt(name, update))
    with caplog.at_level(logging.WARNING, "commonweight.executor"):
        found, fields, stored, _ = play(tmp_path / "bad", slices=lambda _number: data)
    assert stored == data
    assert found.phase is Phase.FINALIZED
    assert found.is_sealed
    assert all(field == fields[0] for field in fields)
    said = [r.getMessage() for r in caplog.records if "without the steward's public update" in r.getMessage()]
    assert len(said) >= MEMBERS
    assert len({text.partition(":")[2] for text in said}) == 1
    plain, fields_of_rows, _, _ = play(tmp_path / "plain", slices=lambda _number: rows)
    assert gains(found) == gains(plain)
    assert sorted(fields[0].values()) == sorted(fields_of_rows[0].values())


def test_a_valid_update_in_the_file_changes_the_scores(tmp_path):
    """The control of the test above: without the fault the same file counts."""
    rows = TASK.benchmark("slice/1")
    update = run_virtual(ToyTrainer(TASK, "x").train(TrainJob(1, TASK.genesis(), 1, benchmark=rows))).update
    found, *_ = play(tmp_path / "good", slices=lambda _number: join_slice(rows, update))
    plain, *_ = play(tmp_path / "plain", slices=lambda _number: rows)
    assert all(gains(found)[trainer] < gain for trainer, gain in gains(plain).items())


def test_from_the_genesis_model_there_is_no_such_look_ahead(tmp_path):
    rows = TASK.benchmark("slice/1")
    update = run_virtual(ToyTrainer(TASK, "x").train(TrainJob(1, TASK.genesis(), 1, benchmark=rows))).update
    with_it, *_ = play(tmp_path / "with", 1, slices=lambda _number: join_slice(rows, update))
    without, *_ = play(tmp_path / "without", 1, slices=lambda _number: rows)
    assert gains(with_it) == gains(without)
    _, _, data, _ = play(tmp_path / "steward", 1, is_public=True)
    assert data == rows  # so the steward does not make one


def test_a_steward_whose_training_fails_still_opens_its_round(tmp_path, caplog):
    class Failing(ToyTrainer):
        async def train(self, job: TrainJob) -> TrainResult:
            if job.benchmark is not None:
                result = await super().train(job)
                return replace(result, update=b"not a bundle")
            return await super().train(job)

    with caplog.at_level(logging.WARNING, "commonweight.executor"):
        found, _, data, _ = play(tmp_path, is_public=True, steward_trainer=Failing)
    assert found.phase is Phase.FINALIZED
    assert found.is_sealed
    assert split_slice(data).public_update is None
    assert any("round 2 gets no public update" in r.getMessage() for r in caplog.records)


def test_a_guideline_can_do_without(tmp_path):
    _, _, data, _ = play(tmp_path, is_public=True, update={"learning": {"lookahead_public": [0.0]}})
    assert split_slice(data) == SliceFile(TASK.benchmark("slice/2"))
    rows = TASK.benchmark("slice/1")
    update = run_virtual(ToyTrainer(TASK, "x").train(TrainJob(1, TASK.genesis(), 1, benchmark=rows))).update
    with_it, *_ = play(tmp_path / "with", slices=lambda _number: join_slice(rows, update), update={})
    without, *_ = play(tmp_path / "without", slices=lambda _number: rows, update={})
    assert gains(with_it) == gains(without)


def test_an_unsealed_round_is_scored_on_the_public_benchmark_alone(tmp_path):
    async def story():
        community = Community(tmp_path, members=MEMBERS, member_rounds=1)
        await community.start()
        await community.until(lambda: len(community.nodes[0].state.active) == MEMBERS)
        for seat in [node for node in community.nodes if node.name.startswith("seat")]:
            await community.kill(seat)
        await community.until(lambda: community.is_over(1), seconds=20_000)
        node = community.nodes[0]
        slice_ = await node.driver.executor.benchmark(node.state.rounds[1])
        await community.stop()
        return slice_, community

    slice_, community = run_virtual(story())
    assert slice_.rows == community.task.benchmark("public")
    assert slice_.public_update is None


def test_the_toy_trainer_gains_little_by_what_everybody_could_train():
    public = run_virtual(
        ToyTrainer(TASK, "seat").train(TrainJob(1, TASK.genesis(), 1, benchmark=TASK.benchmark("public")))
    )
    again = run_virtual(ToyTrainer(TASK, "a").train(TrainJob(1, TASK.genesis(), 2, benchmark=TASK.benchmark("public"))))

    def scored(public_update: bytes | None) -> int:
        job = ScoreJob(1, TASK.genesis(), None, [again.update], TASK.benchmark("one"), public_update)
        return run_virtual(ToyTrainer(TASK, "judge").score(job))[0]

    assert scored(None) > 10_000
    assert scored(public.update) < scored(None) / 5
