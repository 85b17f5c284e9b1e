"""A member whose own audit stops its update sits the round out: no commitment, no slash, and the round goes on without it."""

from __future__ import annotations

from typing import ClassVar

from node.protocol.errors import LeakFound
from node.protocol.types import Phase
from node.roles.actions import TrainUpdate
from node.sim.clock import run_virtual
from node.sim.community import Community, audit_of
from node.sim.trainer import ToyTrainer


class Leaky(ToyTrainer):
    """Fails its audit in round 1 and passes it afterwards."""

    trainings: ClassVar[list[int]] = []

    async def train(self, job):
        self.trainings.append(job.round)
        result = await super().train(job)
        if job.round == 1:
            raise LeakFound("Our own update gives away its rows.", hint="Add repositories.")
        return result


def test_a_withheld_update_costs_its_round_and_nothing_else(tmp_path):
    async def story():
        community = Community(tmp_path, members=5, rounds=2, trainers={0: Leaky})
        await community.start()
        leaky = community.nodes[0]
        await community.until(lambda: leaky.driver.status(0)["withheld"])
        before = leaky.driver.status(0)
        assert community.phase(1) is Phase.COMMIT
        await community.kill(leaky)  # what it decided survives a restart
        community.launch(community.make(leaky.name, leaky.driver.config.roles, 0))
        again = community.nodes[-1]
        await community.until(lambda: community.is_over(2))
        status = again.driver.status(0)
        state = again.state
        await community.stop()
        return state, again.address, before, status, await audit_of(community)

    Leaky.trainings.clear()
    state, leaky, before, status, report = run_virtual(story())
    assert Leaky.trainings == [1, 2]  # what was withheld is not tried again, nor after the restart
    first, second = state.rounds[1], state.rounds[2]
    assert (first.phase, second.phase) == (Phase.FINALIZED, Phase.FINALIZED)
    assert leaky not in first.commits
    assert len(first.commits) == 4
    assert first.reveal_of(leaky) is None
    assert second.reveal_of(leaky) is not None
    assert state.member(leaky).slashed == 0
    for shown in (before, status):
        assert list(shown["withheld"]) == ["1"]
        assert "Add repositories" in shown["withheld"]["1"]
        assert not any("train" in key for key in shown["failing"])
    assert TrainUpdate(1).key not in status["running"]
    assert report.findings == []
