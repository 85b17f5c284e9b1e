"""Some random fault schedules (`make schedules` plays a thousand), and proof that their judge sees what is broken."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.executor import Executor
from node.sim.schedule import BYZANTINE, NET_FAULTS, NODE_FAULTS, Fault, Schedule, draw, play
from node.store import NodeStore

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", [1, 4, 7, 12])
def test_nothing_is_broken_after_random_faults(tmp_path, seed):
    outcome = play(draw(seed), tmp_path)
    assert outcome.violations == []
    assert outcome.phases == ["FINALIZED", "FINALIZED"]


def test_a_seed_is_one_schedule_and_all_kinds_come_up():
    drawn = [draw(seed) for seed in range(300)]
    assert drawn == [draw(seed) for seed in range(300)]
    assert {fault.kind for schedule in drawn for fault in schedule.faults} == {*NODE_FAULTS, *NET_FAULTS}
    assert {kind for schedule in drawn for kind in schedule.byzantine.values()} == set(BYZANTINE)
    assert all(len(schedule.byzantine) * 3 < schedule.members for schedule in drawn)
    assert max(len(schedule.byzantine) for schedule in drawn) == 2


def test_one_seed_is_one_history(tmp_path):
    schedule = replace(draw(4), rounds=1)
    assert play(schedule, tmp_path / "a") == play(schedule, tmp_path / "b")


def test_the_judge_sees_a_member_that_stays_away(tmp_path):
    """Away for a whole phase: that is punished, and the judge says so (schedules keep absences short)."""
    away = Schedule(0, 5, 1, {}, (Fault("kill", 14.0, 400.0, 1),))
    (violation, *_rest) = play(away, tmp_path).violations
    assert violation.startswith("member/1 is honest and lost")


def test_the_judge_sees_nodes_whose_reveals_do_not_open_their_commitments(tmp_path, monkeypatch):
    """Restarts that forget everything, salts too, as in an implementation with random ones."""
    processes = {}

    def salt(self, _number, _purpose):
        _, place = processes.setdefault(id(self), (self, len(processes)))
        return bytes([place]) * 32

    monkeypatch.setattr(Executor, "_salt", salt)
    monkeypatch.setattr(NodeStore, "load_facts", lambda _self: {})
    kills = tuple(Fault("kill", 6.0 * (i + 1), 2.0, i % 5) for i in range(15))
    violations = play(Schedule(0, 5, 1, {}, kills), tmp_path).violations
    assert any("is honest and lost" in violation for violation in violations)


def test_the_judge_sees_models_that_differ(tmp_path, monkeypatch):
    aggregate = Executor._aggregate

    async def wrong(self, found):
        await aggregate(self, found)
        facts = self.facts[found.number]
        if self.store.root.name == "member-1":
            self.facts[found.number] = replace(facts, aggregate=replace(facts.aggregate, model_hash=bytes(32)))

    monkeypatch.setattr(Executor, "_aggregate", wrong)
    violations = play(Schedule(0, 5, 1, {}, ()), tmp_path).violations
    assert "member/1 holds another model of round 1 than the chain." in violations
