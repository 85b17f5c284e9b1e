"""`make soak`: many rounds on a real local network while members are killed, with a judge that looks at every round.

Every ``every`` rounds one member (drawn by the seed) is killed by kill -9, its IPFS node and libp2p host with it, in a drawn phase, and
started again after a drawn pause. What may not happen is written down as a violation: a round that is voided, nodes that compute different
models, a member that is slashed, a node that does not come back, an audit that does not add up. ``build/soak.json`` is written after every
round; the exit code is 1 if there is a violation, or a round is missing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from deploy.founding import found_tiny
from deploy.localnet import Localnet, LocalnetPlan
from deploy.manifest import load_preset
from deploy.watch import Watcher
from node import console
from node.adapters.chain_evm import EvmChain
from node.protocol.errors import AuditFailed, CommonweightError
from node.protocol.types import Phase
from node.store import write_atomic

NODES = 4
SLICE_ROWS = 128
"""Enough that no honest update of the tiny model is rejected by chance (of 32 measured, the least gained 2 991 ppm; 1 000 are needed)."""
OUTER_RATE = 0.002
"""The model moves so little that there is as much to learn in round 200 as in the first: a soak is about the network."""
PHASES = (
    Phase.COMMIT,
    Phase.REVEAL,
    Phase.SCORE_COMMIT,
    Phase.SCORE_REVEAL,
    Phase.SETTLE,
    Phase.ATTEST,
    Phase.CHALLENGE,
)
MOST_PAUSE = 8.0
"""Longest a killed member stays away, seconds: well within any phase."""
ROUND_SECONDS = 900.0
CACHE = Path("build/cache/pairs").resolve()


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill -9: in which round and phase, whom, and for how many seconds."""

    round: int
    phase: str
    member: int
    away: float


@dataclass(slots=True)
class Record:
    """What a soak showed; ``build/soak.json``."""

    rounds: int
    seed: int
    completed: int = 0
    kills: list[Kill] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    audit: dict[str, Any] | None = None

    def write(self, path: Path) -> None:
        """Whole or not at all."""
        write_atomic(path, (json.dumps(asdict(self), indent=1) + "\n").encode())


@dataclass(slots=True)
class Soak:
    """One run: kills by the plan, looks at every round."""

    net: Localnet
    watcher: Watcher
    record: Record
    every: int
    say: Callable[[str], None]

    async def play(self, path: Path) -> None:
        """All rounds, then the audit."""
        dice = random.Random(self.record.seed)  # noqa: S311 - a plan that can be repeated
        for number in range(1, self.record.rounds + 1):
            began = time.monotonic()
            plan = self._plan(number, dice)
            try:
                async with asyncio.timeout(ROUND_SECONDS):
                    await self._round(number, plan)
            except TimeoutError:
                self._violated(f"round {number} did not end within {ROUND_SECONDS:.0f} s")
                break
            self.record.seconds.append(round(time.monotonic() - began, 1))
            self._judge(number)
            self.record.write(path)
            if self.watcher.state.rounds[number].phase is Phase.VOIDED:
                break  # its stewards would open the same number of rounds in all
        self.record.audit = await self._audit()
        self.record.write(path)

    def _plan(self, number: int, dice: random.Random) -> Kill | None:
        kill = Kill(
            number,
            dice.choice(PHASES).name,
            dice.randrange(len(self.net.members)),
            round(dice.uniform(0, MOST_PAUSE), 1),
        )
        return kill if number % self.every == 0 else None

    async def _round(self, number: int, plan: Kill | None) -> None:
        if plan is not None:
            await self._until(lambda: self._phase(number) >= Phase[plan.phase])
            await self._kill(plan)
        await self._until(lambda: self.watcher.is_settled(number))

    def _phase(self, number: int) -> Phase:
        found = self.watcher.state.rounds.get(number)
        return Phase.NONE if found is None else found.phase

    async def _until(self, done: Callable[[], bool]) -> None:
        await self.watcher.poll()
        while not done():
            await asyncio.sleep(0.2)
            await self.watcher.poll()

    async def _kill(self, plan: Kill) -> None:
        member = self.net.members[plan.member]
        assert member.child is not None, "every member was started"
        member.child.kill()
        self.say(f"round {plan.round}: {member.name} killed in {self._phase(plan.round).name}, away for {plan.away} s")
        await asyncio.sleep(plan.away)
        self.net.start(member)
        self.record.kills.append(plan)

    def _judge(self, number: int) -> None:
        found = self.watcher.state.rounds[number]
        if found.phase is not Phase.FINALIZED:
            self._violated(f"round {number} is {found.phase.name}")
            return
        hashes = self.watcher.model_hashes(number)
        assert found.proposal is not None, "it is finalised"
        if set(hashes.values()) != {found.proposal.model_hash.hex()}:
            self._violated(f"round {number} has {len(set(hashes.values()))} models")
        if found.slashed:
            self._violated(f"round {number} slashed {sorted(found.slashed)}")
        self.record.completed += 1
        accepted, revealed = len(found.accepted), len(found.reveals)
        self.say(f"round {number}: finalised, {accepted} of {revealed} updates in it, {self.record.seconds[-1]} s")

    def _violated(self, what: str) -> None:
        self.record.violations.append(what)
        self.say(f"[red]{what}[/]")

    async def _audit(self) -> dict[str, Any]:
        for member in self.net.members:
            if member.child is None or not member.child.is_running:
                self._violated(f"{member.name} is not running")
        command = [sys.executable, "-m", "node.cli", "audit", "--json", "--config", str(self.net.members[0].config)]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        output, errors = await process.communicate()
        if process.returncode not in (0, AuditFailed.exit_code):
            self._violated(f"the audit did not run: {errors.decode('utf-8', 'replace')[-300:]}")
            return {"ok": False}
        found = json.loads(output)
        for finding in found["findings"][:10]:
            self._violated(f"audit: {finding}")
        return {"ok": found["ok"], "checked": found["checked"]}


async def perform(folder: Path, rounds: int, every: int, seed: int, out: Path) -> int:
    """Start the network, soak it, judge it; returns the exit code."""
    began = time.monotonic()

    def say(line: str) -> None:
        console.out.print(f"[dim]{time.monotonic() - began:7.1f} s[/] {line}", highlight=False, soft_wrap=True)

    plan = LocalnetPlan(
        folder=folder / "network",
        params=load_preset("localnet"),
        founding=await asyncio.to_thread(found_tiny, folder / "model", CACHE, outer_learning_rate=OUTER_RATE),
        nodes=NODES,
        attackers=0,
        rounds=rounds,
        seed=seed,
        slice_rows=SLICE_ROWS,
        cache=CACHE,
    )
    record = Record(rounds, seed)
    async with Localnet(plan, say) as net:
        chain = await EvmChain.connect(net.url, net.manifest.chain_id, net.manifest.contracts)
        try:
            await Soak(net, Watcher(net, chain, lambda _line: None), record, every, say).play(out)
        finally:
            await chain.close()
    say(
        f"{record.completed} of {rounds} rounds completed, {len(record.kills)} kills, {len(record.violations)} violations"
    )
    console.out.print(f"\n[bold]{out}[/] has every round.", highlight=False)
    return 0 if record.completed == rounds and not record.violations else 1


def main(arguments: list[str] | None = None) -> int:
    """Entry point: SIGINT and SIGTERM stop everything in order."""
    parser = argparse.ArgumentParser(prog="deploy.soak", description="Many rounds while members are killed.")
    parser.add_argument("--folder", type=Path, default=Path("build/soak"))
    parser.add_argument("--out", type=Path, default=Path("build/soak.json"))
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--every", type=int, default=10, help="a member is killed every so many rounds")
    parser.add_argument("--seed", type=int, default=0, help="draws whom, when and for how long")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)

    async def supervised() -> int:
        task = asyncio.ensure_future(
            perform(options.folder.resolve(), options.rounds, options.every, options.seed, options.out.resolve())
        )
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        with suppress(asyncio.CancelledError):
            return await task
        console.out.print("stopped; no process is left running")
        return 130

    try:
        return asyncio.run(supervised())
    except CommonweightError as error:
        console.fail(error, verbose=False)


if __name__ == "__main__":
    sys.exit(main())
