"""Random fault schedules: a community on simulated ports, f Byzantine members, faults drawn from a seed; afterwards nothing may be broken.

One seed is one schedule and one history, so every violation can be replayed: ``play(draw(SEED), folder)``. Faults of one node are short
against a phase (the law slashes who is away for a whole one, and rightly so); that is the only mercy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from node.audit.report import AuditReport
from node.ports import Trainer
from node.protocol.types import Phase, Scoring
from node.sim.adversary import AdversarialTrainer, Liar, Mangler
from node.sim.blobs import SimBlobs
from node.sim.chain import SimChainPort
from node.sim.clock import run_virtual
from node.sim.community import MEMBER_ROLES, Community, SimNode, audit_of
from node.sim.dice import Dice
from node.sim.gossip import GossipFaults
from node.sim.trainer import ToyTask, ToyTrainer

SPAN = 240.0
"""Virtual seconds after the start in which faults begin: two rounds last about that long."""
LONGEST = 15.0
"""Virtual seconds that a fault of one node lasts at most; the shortest phase has 60."""
PATIENCE = 8.0
"""Seconds after which a node gives up on a lost transaction or receipt."""
GAP = 45.0
"""Virtual seconds between two faults of the same node, so that it can finish what it was kept from."""
LIMIT = 6_000.0
"""Virtual seconds in which all rounds must be over."""
MAX_NORM = 100.0
SCORING = Scoring(tau=300, delta_min=100, harm_min=30_000, gain_cap=20_000)
"""With the toy task's own threshold of harm (1 000 ppm) an honest client far from the others is punished in round 2, without any fault."""

NODE_FAULTS = ("kill", "rpc_down", "rpc_lag", "lost_transactions", "lost_receipts", "ipfs_down")
NET_FAULTS = ("gossip_loss", "gossip_delay", "gossip_doubles", "partition")
BYZANTINE: Mapping[str, Callable[[Trainer], Trainer]] = {
    **{
        name: partial(AdversarialTrainer, attack=name, max_norm=MAX_NORM)
        for name in ("sign_flip", "scaling", "gaussian", "zero", "not_finite")
    },
    **{f"mangled_{name}": partial(Mangler, attack=name, max_norm=MAX_NORM) for name in ("truncated", "empty", "noise")},
    **{f"scores_{name}": partial(Liar, attack=name, max_norm=MAX_NORM) for name in ("high", "low", "zero")},
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something goes wrong for a while.

    Attributes:
        kind: out of `NODE_FAULTS` or `NET_FAULTS`.
        start: virtual seconds after the community's start.
        seconds: how long it lasts.
        target: the member or (from `Schedule.members` on) the seat; -1 is the net.
    """

    kind: str
    start: float
    seconds: float
    target: int = -1


@dataclass(frozen=True, slots=True)
class Schedule:
    """One history to be: who is Byzantine and how, and what goes wrong when."""

    seed: int
    members: int
    rounds: int
    byzantine: Mapping[int, str]
    faults: tuple[Fault, ...]


@dataclass(slots=True)
class Outcome:
    """What came of a schedule.

    Attributes:
        phases: last phase of each round.
        violations: what must not be, in words; empty when all is well.
        slashed_byzantine: Byzantine members that lost stake.
        kills: how many nodes were killed.
    """

    phases: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    slashed_byzantine: int = 0
    kills: int = 0


def draw(seed: int, *, rounds: int = 2) -> Schedule:
    """The schedule of a seed: 4 to 9 members, fewer than a third of them Byzantine, 1 to 12 faults of nodes and 0 to 3 of the net."""
    dice = Dice(f"schedule/{seed}")

    def choose(count: int) -> int:
        return min(count - 1, int(dice.between(0, count)))

    members = 4 + choose(6)
    kinds = sorted(BYZANTINE)
    byzantine = {members - 1 - i: kinds[choose(len(kinds))] for i in range(choose((members - 1) // 3 + 1))}
    faults: list[Fault] = []
    free_at: dict[int, float] = {}
    for start in sorted(dice.between(0, SPAN) for _ in range(1 + choose(12))):
        target = choose(members + 1)
        if start < free_at.get(target, 0.0):
            continue
        seconds = dice.between(1, LONGEST)
        free_at[target] = start + seconds + GAP
        faults.append(Fault(NODE_FAULTS[choose(len(NODE_FAULTS))], start, seconds, target))
    for _ in range(choose(4)):
        kind = NET_FAULTS[choose(len(NET_FAULTS))]
        faults += [Fault(kind, dice.between(0, SPAN), dice.between(1, 60))]
    return Schedule(seed, members, rounds, byzantine, tuple(sorted(faults, key=lambda fault: fault.start)))


def play(schedule: Schedule, folder: Path) -> Outcome:
    """Live through a schedule in virtual time, audit the history, and list what is broken.

    Args:
        schedule: see `draw`.
        folder: for the nodes' files; must be empty.
    """

    async def story() -> Outcome:
        return await _Play(schedule, folder).run()

    return run_virtual(story())


class _Play:
    def __init__(self, schedule: Schedule, folder: Path) -> None:
        self.schedule = schedule
        self.outcome = Outcome()
        self.net = GossipFaults()
        self.community = Community(
            folder,
            members=schedule.members,
            rounds=schedule.rounds,
            seed=schedule.seed,
            gossip_faults=self.net,
            rules={"scoring": SCORING},
            trainers={index: partial(_byzantine, kind) for index, kind in schedule.byzantine.items()},
        )

    async def run(self) -> Outcome:
        """Start, break, mend, wait, judge."""
        community, last = self.community, self.schedule.rounds
        await community.start()
        faults = [asyncio.create_task(self._happen(fault)) for fault in self.schedule.faults]
        try:
            await community.until(lambda: all(task.done() for task in faults) and community.is_over(last), LIMIT)
            await community.until(self._is_settled, LIMIT)
        except AssertionError:
            self.outcome.violations.append(f"Not all rounds were over after {LIMIT:.0f} s: {self._phases()}.")
        for task in faults:
            task.cancel()
        for result in await asyncio.gather(*faults, return_exceptions=True):
            if isinstance(result, Exception):
                raise result
        nodes = list(community.nodes)
        await community.stop()
        self._judge(nodes, await audit_of(community))
        return self.outcome

    def _is_settled(self) -> bool:
        """Everybody computed the last finalised model and has all its claims behind it."""
        nodes = self._honest(self.community.nodes)
        finalised = [r.number for r in nodes[0].state.rounds.values() if r.phase is Phase.FINALIZED]
        if not finalised:
            return True
        known = all(node.driver.executor.facts_of(finalised[-1]).aggregate is not None for node in nodes)
        return known and not any(node.driver.is_claim_pending() for node in nodes)

    # --- faults ---

    async def _happen(self, fault: Fault) -> None:
        await self.community.clock.sleep(fault.start)
        if fault.target < 0:
            await self._disturb_net(fault)
        else:
            await self._disturb_node(fault)

    async def _disturb_node(self, fault: Fault) -> None:
        is_member = fault.target < self.schedule.members
        name = f"member/{fault.target}" if is_member else "seat/0"
        node = next(node for node in self.community.nodes if node.name == name)
        ports = node.driver.executor.ports
        if fault.kind == "kill":
            self.outcome.kills += 1
            await self.community.kill(node)
            await self.community.clock.sleep(fault.seconds)
            roles = MEMBER_ROLES if is_member else ("steward", "reviewer")
            self.community.launch(self.community.make(name, roles, fault.target if is_member else None))
            return
        chain, blobs = ports.chain, ports.blobs
        assert isinstance(chain, SimChainPort)
        assert isinstance(blobs, SimBlobs)
        faults = chain.faults
        faults.patience = PATIENCE
        if fault.kind == "ipfs_down":
            blobs.is_down = True
        faults.is_down = fault.kind == "rpc_down"
        faults.lag = 5 if fault.kind == "rpc_lag" else 0
        faults.drop = 0.5 if fault.kind == "lost_transactions" else 0.0
        faults.lose_answer = 0.5 if fault.kind == "lost_receipts" else 0.0
        await self.community.clock.sleep(fault.seconds)
        blobs.is_down = faults.is_down = False
        faults.lag, faults.drop, faults.lose_answer = 0, 0.0, 0.0

    async def _disturb_net(self, fault: Fault) -> None:
        if fault.kind == "partition":
            names = [f"peer-of-member/{index}" for index in range(self.schedule.members)]
            self.community.wire.partition(names[::2], names[1::2])
            await self.community.clock.sleep(fault.seconds)
            self.community.wire.partition()
            return
        name, bad, good = {
            "gossip_loss": ("loss", 0.7, 0.0),
            "gossip_doubles": ("duplication", 0.8, 0.0),
            "gossip_delay": ("most_delay", 20.0, 0.3),
        }[fault.kind]
        setattr(self.net, name, bad)
        await self.community.clock.sleep(fault.seconds)
        setattr(self.net, name, good)

    # --- judgement ---

    def _honest(self, nodes: list[SimNode]) -> list[SimNode]:
        bad = {f"member/{index}" for index in self.schedule.byzantine}
        return [node for node in nodes if node.name.startswith("member") and node.name not in bad]

    def _phases(self) -> list[str]:
        state = self.community.nodes[0].state
        return [found.phase.name for _, found in sorted(state.rounds.items())]

    def _judge(self, nodes: list[SimNode], report: AuditReport) -> None:
        state, honest = report.state, self._honest(nodes)
        self.outcome.phases = [found.phase.name for _, found in sorted(state.rounds.items())]
        self.outcome.violations += [f"audit: {finding}" for finding in report.findings]
        for number, found in sorted(state.rounds.items()):
            if not found.is_over:
                self.outcome.violations.append(f"Round {number} ended in {found.phase.name}.")
            if found.phase is not Phase.FINALIZED or found.proposal is None:
                continue
            for node in honest:
                fact = node.driver.executor.facts_of(number).aggregate
                if fact is not None and fact.model_hash != found.proposal.model_hash:
                    self.outcome.violations.append(f"{node.name} holds another model of round {number} than the chain.")
        for node in honest:
            slashed = state.member(node.address).slashed
            if slashed:
                faults = [
                    (found.number, fault)
                    for found in state.rounds.values()
                    for who, fault in found.slashed
                    if who == node.address
                ]
                self.outcome.violations.append(f"{node.name} is honest and lost {slashed}: {faults}.")
        bad = {node.address for node in nodes} - {node.address for node in honest}
        self.outcome.slashed_byzantine = sum(
            state.member(address).slashed > 0 for address in bad if address in state.members
        )


def _byzantine(kind: str, task: ToyTask, name: str) -> Trainer:
    return BYZANTINE[kind](ToyTrainer(task, name))
