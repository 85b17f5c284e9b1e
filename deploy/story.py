"""`make story`: the paper's scenario on a fresh local network, through the command line and the pages that people use.

A release exists. A second team finds the model weak on one kind of code, brings a test set, retrains, applies, is reviewed and
admitted, trains along; its test set becomes a benchmark by vote, and the next release is better there and no worse elsewhere. Writes
``build/story/summary.json``: every step with its command, transaction and numbers, and every claim, true or false. The exit code is
1 if a required claim is false.

One stage direction: while people vote and review, the guardian holds the next round back (``pause`` of OpenRound), so that the newcomer
joins between two releases and not somewhere in the middle of a round.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.founding import GUIDELINE, Founding, found
from deploy.localnet import Localnet, LocalnetPlan, Member, write_toml
from deploy.manifest import load_preset
from deploy.story_claims import claims
from deploy.story_data import FOUNDERS, KINDS, ROWS, Kind, rows_of, spread
from deploy.story_web import Desks, desks
from deploy.watch import Watcher
from learning.tasks.code_search import encode_pairs
from node import console
from node.adapters.chain_evm import EvmChain
from node.adapters.trainer_local import read_pairs
from node.manifest import NetworkParams
from node.protocol.errors import AuditFailed, CommonweightError, SetupError
from node.protocol.types import Call, MemberStatus, Phase
from node.store import write_atomic

BEFORE, AFTER = 1, 3
"""Rounds that the first release and the second one are made of."""
WINDOW = 7200
"""Seconds a steward has to open a round: the story's votes and reviews lie in between."""
PHASE_SECONDS = 1800
"""Longest phase: it ends once everybody acted, and a busy machine must not void a round."""
VOTING_SECONDS = 120
WAIT_SECONDS = 3600.0
PUBLIC_ROWS = 200
"""Rows of the public benchmark: every attester of a release measures them."""
OPEN_ROUND = 1
"""`IGuardian.Entry.OpenRound`."""
GUARDIAN_ACCOUNT = 1
CACHE = Path("build/cache/pairs").resolve()


@dataclass(frozen=True, slots=True)
class Options:
    """The command's flags."""

    folder: Path
    seed: int
    kind: str
    keep: bool
    web: bool


@dataclass(slots=True)
class Story:
    """One performance.

    Attributes:
        options: flags.
        founding: founding files.
        net: the network.
        watcher: follows its chain.
        cache: folder of extracted pairs.
        steps: what was done, for the summary.
        desks: the people's dashboards; None: everything by the command line.
    """

    options: Options
    founding: Founding
    net: Localnet
    watcher: Watcher
    cache: Path
    say: Callable[[str], None]
    desks: Desks | None = None
    steps: list[dict[str, Any]] = field(default_factory=list)
    _polling: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def poll(self) -> None:
        """Read what is new on chain, one caller at a time."""
        async with self._polling:
            await self.watcher.poll()

    # --- telling ---

    async def note(self, name: str, **numbers: Any) -> None:
        """A step that is no command."""
        self.steps.append({"step": name, **numbers})
        shown = ", ".join(f"{key} {value}" for key, value in numbers.items() if not isinstance(value, dict | list))
        self.say(f"[bold]{name}[/] {shown}")

    async def look(self, name: str, config: Path, section: str) -> None:
        """Somebody looks at a section of the dashboard; a picture is kept."""
        if self.desks is not None:
            await self.desks.shot(await self.desks.page(config, section), name)

    async def commonweight(self, name: str, config: Path, *arguments: str, may: Sequence[int] = (0,)) -> Any:
        """A step that is a command, as a person runs it; its JSON answer.

        Args:
            name: what it is in the story.
            config: settings of who runs it.
            arguments: words of the command.
            may: exit codes that are no failure.

        Raises:
            SetupError: the command failed.
        """
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "node.cli", *arguments, "--json", "--config", str(config),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        output, errors = await process.communicate()
        shown = " ".join(self._short(word) for word in ("commonweight", *arguments))
        if process.returncode not in may:
            raise SetupError(f"`{shown}` failed ({process.returncode}): {errors.decode('utf-8', 'replace')[-600:]}")
        found = json.loads(output)
        step = {"command": shown, "by": self._short(str(config)), "seconds": round(time.monotonic() - began, 1)}
        if isinstance(found, dict) and "transaction" in found:
            step |= {"transaction": found["transaction"], "block": found["block"]}
        await self.poll()
        await self.note(name, **step)
        return found

    def _short(self, word: str) -> str:
        return word.replace(str(self.net.plan.folder) + "/", "")

    # --- waiting ---

    async def until(self, done: Callable[[], bool], what: str) -> None:
        """Wait for something on chain.

        Raises:
            SetupError: it does not come.
        """
        end = time.monotonic() + WAIT_SECONDS
        while not done():
            self.net.require_running()
            if any(found.phase is Phase.VOIDED for found in self.watcher.state.rounds.values()):
                raise SetupError("A round was voided.", hint=f"Logs are under {self.net.plan.folder}.")
            if time.monotonic() > end:
                raise SetupError(f"Waited {WAIT_SECONDS:.0f} s for {what}.", hint=f"Logs: {self.net.plan.folder}.")
            await self.poll()
            await asyncio.sleep(0.3)

    async def until_time(self, moment: int) -> None:
        """Wait until the chain's clock has passed a moment."""
        clock = 0
        while clock <= moment:
            await asyncio.sleep(0.5)
            clock = (await self.watcher.chain.head()).timestamp
        await self.poll()

    async def finalised(self, number: int, holders: Sequence[Member]) -> None:
        """Wait until a round is finalised, claimed, and its model lies with its holders."""

        def done() -> bool:
            found = self.watcher.state.rounds.get(number)
            if found is None or found.phase is not Phase.FINALIZED or len(found.claimed) < len(found.reveals):
                return False
            hashes = self.watcher.model_hashes(number)
            return all(member.address in hashes for member in holders)

        await self.until(done, f"round {number}")
        found = self.watcher.state.rounds[number]
        await self.note(f"round {number} finalised", accepted=len(found.accepted), updates=len(found.reveals))

    # --- acts ---

    async def hold_rounds(self, *, back: bool) -> None:
        """The guardian pauses the opening of rounds, or lets them go on."""
        assert self.net.anvil is not None, "the network runs"
        chain = await EvmChain.connect(
            self.net.url, self.net.manifest.chain_id, self.net.manifest.contracts,
            signer=self.net.anvil.signer(GUARDIAN_ACCOUNT),
        )  # fmt: skip
        try:
            until = (await chain.head()).timestamp + 2 * WINDOW
            call = (
                Call("Guardian", "pause", (OPEN_ROUND, until)) if back else Call("Guardian", "unpause", (OPEN_ROUND,))
            )
            receipt = await chain.send(call)
        finally:
            await chain.close()
        what = "holds the next round back" if back else "lets rounds go on"
        await self.note(f"the guardian {what}", transaction="0x" + receipt.transaction.hex(), block=receipt.block)

    async def release(
        self, number: int, added: Mapping[str, Path], text: str, voters: Sequence[Member]
    ) -> dict[str, Any]:
        """From a finalised round to a published release: measure, attest, propose, vote, execute."""
        folder, first = self.net.plan.folder, voters[0]
        candidate, notes = folder / f"candidate-{number}.json", folder / f"notes-{number}.md"
        write_atomic(notes, text.encode())
        extra = [word for name, path in added.items() for word in ("--add-benchmark", f"{name}={path}")]
        made = await self.commonweight(
            f"candidate: the model of round {number} is measured", first.config,
            "release", "candidate", str(number), *extra, "--out", str(candidate),
        )  # fmt: skip
        await asyncio.gather(*(self._attest(member, candidate) for member in voters))
        await self.commonweight("claims are complete, credits added up", first.config, "release", "settle", str(number))
        owners = [member for member in voters if self.watcher.state.balances.get(member.address, 0)]
        await asyncio.gather(
            *(self.commonweight(f"{one.name} locks its tokens", one.config, "dao", "convert") for one in owners)
        )
        proposed = await self.commonweight(
            "the release is proposed", first.config, "release", "propose", str(candidate), "--notes", str(notes)
        )
        which = str(proposed["number"])
        await self.until_time(proposed["starts"])
        await asyncio.gather(*(self._vote(one, int(which), on_page=one is first) for one in voters))
        await self.until_time(proposed["ends"] + self.net.plan.params.governance.late_extension)
        queued = await self.commonweight("the proposal is queued", first.config, "dao", "queue", which)
        await self.until_time(queued["eta"])
        executed = await self.commonweight("the release is published", first.config, "dao", "execute", which)
        shown = (await self.commonweight("the releases", first.config, "release", "list"))[-1]
        return {
            "round": number,
            "version": shown["version"],
            "model_hash": shown["model_hash"],
            "scores": shown["scores_ppm"],
            "proposal": proposed["id"],
            "executed": executed["transaction"],
            "table": made["table"],
        }

    async def _vote(self, member: Member, proposal: int, *, on_page: bool) -> None:
        if on_page and self.desks is not None:
            said = await self.desks.vote(member.config, proposal, "I measured it myself.")
            await self.poll()
            await self.note(f"{member.name} votes on its dashboard", by=self._short(str(member.config)), **said)
            return
        await self.commonweight(f"{member.name} votes", member.config, "dao", "vote", str(proposal), "for")

    async def _attest(self, member: Member, candidate: Path) -> None:
        try:
            await self.commonweight(
                f"{member.name} measures it and votes for the scores",
                member.config,
                "release",
                "attest",
                str(candidate),
            )
        except SetupError as error:  # e.g. no correct attester of the round: the others decide
            await self.note(f"{member.name} does not attest the scores", why=str(error)[-200:])

    def checkpoint(self, number: int) -> bytes:
        """Model of a finalised round, as the first member keeps it."""
        proposal = self.watcher.state.rounds[number].proposal
        assert proposal is not None, "the round is finalised"
        name = f"{proposal.model_hash.hex()}.safetensors"
        return (self.net.members[0].folder / "data" / "models" / name).read_bytes()

    # --- the play ---

    async def play(self) -> dict[str, Any]:
        """All of it; the summary without claims."""
        founders = list(self.net.members)
        await self.finalised(BEFORE, founders)
        await self.hold_rounds(back=True)
        await self.look("first-round", founders[0].config, "Overview")
        public = self.net.plan.folder / "public.jsonl"
        first = await self.release(BEFORE, {"public": public}, "The founders' first release.", founders)

        weakness, tests = await asyncio.to_thread(self._weakness)
        name = str(weakness["kind"])
        await self.note("a second team measures the release on its own kinds of code", **weakness)
        newcomer, join = await self._join(name, tests[name], founders)

        await self.hold_rounds(back=False)
        team = [*founders, newcomer]
        for number in range(BEFORE + 1, AFTER + 1):
            await self.finalised(number, team)
        offered = newcomer.folder / f"{name}.jsonl"
        text = f"With the team that works on {KINDS[name].about}; its test set becomes a benchmark."
        second = await self.release(AFTER, {name: offered}, text, [*founders, newcomer])
        after = await asyncio.to_thread(self._measure, AFTER, tests)
        await self.look("releases", founders[0].config, "Releases")
        audit = await self._audit()
        await self.commonweight("all rounds' models, measured by a founder", founders[0].config, "round", "measure")
        await self.look("overview", founders[0].config, "Overview")
        return {
            "weakness": weakness,
            "join": join,
            "newcomer": self._newcomer(newcomer),
            "releases": [first, second],
            "after_ppm": after,
            "changes_ppm": {kind: after[kind] - weakness["ppm"][kind] for kind in tests},
            "max_regression_ppm": self.net.plan.params.governance.max_regression,
            "audit": {"ok": audit["ok"], "findings": audit["findings"][:5], "checked": audit["checked"]},
            "screenshots": [] if self.desks is None else self.desks.shots,
        }

    def _weakness(self) -> tuple[dict[str, Any], dict[str, list[Any]]]:
        """Scores of the first release on each kind of code, equally many rows each, and the test sets."""
        everybody = read_pairs([name for hand in FOUNDERS for name in hand], self.cache)
        tests = {}
        for name, kind in KINDS.items():
            tests[name] = rows_of(kind, [*everybody, *read_pairs(kind.trained, self.cache)], self.cache)
        scores = self._measure(BEFORE, tests)
        weakest = self.options.kind or min(tests, key=lambda name: scores[name])
        return {"kind": weakest, "rows": ROWS, "ppm": scores}, tests

    def _measure(self, number: int, tests: Mapping[str, Sequence[Any]]) -> dict[str, int]:
        from deploy.measure import Bench  # noqa: PLC0415 - imports torch
        from learning.tasks.code_search import to_ppm  # noqa: PLC0415

        bench = Bench.open(self.founding.guideline, self.founding.base_model, self.founding.public_benchmark)
        model, public = self.checkpoint(number), spread(bench.pairs, ROWS)
        found = {}
        for name, rows in {**tests, "public": public}.items():
            bench.pairs = list(rows)
            found[name] = to_ppm(bench.metric(model))
        return found

    async def _join(self, name: str, rows: Sequence[Any], founders: Sequence[Member]) -> tuple[Member, dict[str, Any]]:
        """The second team retrains, applies, is looked at and admitted."""
        kind: Kind = KINDS[name]
        newcomer = self.net.newcomer(kind.trained)
        offered = newcomer.folder / f"{name}.jsonl"
        write_atomic(offered, encode_pairs(rows))
        sent = await self.commonweight(
            "the team retrains, signs its request and applies", newcomer.config,
            "join", "apply", "--test-set", str(offered), "--about", kind.about, "--note", "A company's own libraries.",
        )  # fmt: skip
        number = str(sent["application"])
        self.net.start(newcomer)  # its node serves request, sample update and test set
        looked: dict[str, Any] = {}
        for place in range(self.net.plan.params.registry.threshold):
            seat = self.net.seat_config(place)
            quick = ["--quick"] if place else []
            found = await self.commonweight(
                f"seat {place} looks at the application", seat, "join", "show", number, *quick
            )
            looked = looked or found
            reason = "; ".join(
                f"{row['benchmark']} {row['before']:.4f} to {row['after']:.4f}" for row in looked["measured"]
            )
            await self._approve(place, seat, number, f"Its update: {reason}")
        await self.poll()
        await self.look("members", founders[0].config, "Members")
        final = await self.commonweight(
            "anybody reads the reviews", founders[0].config, "join", "show", number, "--quick"
        )
        return newcomer, {
            "application": sent["application"],
            "request_cid": sent["request_cid"],
            "transaction": sent["transaction"],
            "measured": looked["measured"],
            "reasons": sum(row["reason"] is not None for row in final["reviews"]),
            "reviews": final["reviews"],
            "admitted": self.watcher.state.member(newcomer.address).status is MemberStatus.ACTIVE,
        }

    async def _approve(self, place: int, seat: Path, number: str, reason: str) -> None:
        """The first seat on the command line, the others on their pages."""
        if place and self.desks is not None:
            said = await self.desks.review(seat, int(number), reason)
            await self.note(f"seat {place} approves on its dashboard", by=self._short(str(seat)), **said)
            return
        words = ("join", "review", number, "--approve", "--reason", reason)
        await self.commonweight(f"seat {place} approves", seat, *words)

    def _newcomer(self, newcomer: Member) -> dict[str, Any]:
        verdicts, state = [], self.watcher.state
        for number in range(BEFORE + 1, AFTER + 1):
            reveal = state.rounds[number].reveal_of(newcomer.address)
            if reveal is not None:
                verdicts.append(state.rounds[number].settled[reveal.index].status.name)
        member = state.member(newcomer.address)
        return {
            "account": newcomer.address,
            "repositories": list(newcomer.repositories),
            "verdicts": verdicts,
            "earned": str(state.rewards.get(newcomer.address, 0)),
            "stake": str(member.stake),
        }

    async def _audit(self) -> dict[str, Any]:
        """`commonweight audit` by somebody who trusts nobody here."""
        path = self.net.plan.folder / "auditor" / "commonweight.toml"
        write_toml(path, {"node": {"name": "auditor"}, "network": {"file": "../network.toml"}})
        found: dict[str, Any] = await self.commonweight(
            "an auditor computes everything again", path, "audit", may=(0, AuditFailed.exit_code)
        )
        return found


def make_founding() -> Founding:
    """Guideline, model and public benchmark of the embedded code-search community."""
    return found(json.loads(GUIDELINE.read_bytes()), None, rows=PUBLIC_ROWS, cache=CACHE)


def patient(params: NetworkParams) -> NetworkParams:
    """A local network's constants with time enough for a machine that does other things, too."""
    rounds = dataclasses.replace(
        params.rounds,
        open_window=WINDOW,
        commit_duration=PHASE_SECONDS,
        reveal_duration=PHASE_SECONDS,
        score_duration=PHASE_SECONDS,
        settle_duration=PHASE_SECONDS,
        attest_duration=PHASE_SECONDS,
    )
    registry = dataclasses.replace(params.registry, exit_delay=20 * PHASE_SECONDS)  # longer than the longest round
    governance = dataclasses.replace(params.governance, voting_period=VOTING_SECONDS, unlock_delay=3 * VOTING_SECONDS)
    return dataclasses.replace(params, rounds=rounds, registry=registry, governance=governance)


async def perform(options: Options) -> int:
    """Start the network, play, judge; returns the exit code."""
    began = time.monotonic()

    def say(line: str) -> None:
        console.out.print(f"[dim]{time.monotonic() - began:6.1f} s[/] {line}", highlight=False, soft_wrap=True)

    plan = LocalnetPlan(
        folder=options.folder.resolve() / "network",
        params=patient(load_preset("localnet")),
        founding=await asyncio.to_thread(make_founding),
        nodes=len(FOUNDERS),
        attackers=0,
        rounds=AFTER,
        seed=options.seed,
        cache=CACHE,
        repositories=FOUNDERS,
        spare=1,
        people_review_from=1,
    )
    async with Localnet(plan, say) as net:
        chain = await EvmChain.connect(net.url, net.manifest.chain_id, net.manifest.contracts)
        try:
            async with AsyncExitStack() as stack:
                looks = await stack.enter_async_context(desks(options.folder.resolve())) if options.web else None
                story = Story(options, plan.founding, net, Watcher(net, chain, say), CACHE, say, looks)
                summary = await story.play()
            summary |= {"steps": story.steps, "duration_s": round(time.monotonic() - began, 1), "seed": options.seed}
            code = conclude(summary, options.folder.resolve())
            if options.keep:
                say(f"the network stays up: RPC {net.url}, files in {plan.folder}; Ctrl-C stops it")
                await asyncio.Event().wait()
            return code
        finally:
            await chain.close()


def conclude(summary: dict[str, Any], folder: Path) -> int:
    """Judge the claims, write the summary, say how it ended."""
    verdicts = claims(summary)
    summary["claims"] = [{"claim": one.text, "holds": one.holds, "required": one.required} for one in verdicts]
    write_atomic(folder / "summary.json", (json.dumps(summary, indent=2) + "\n").encode())
    for one in verdicts:
        mark = "[green]✓[/]" if one.holds else ("[red]✗[/]" if one.required else "[yellow]✗[/]")
        console.out.print(f" {mark} {one.text}", highlight=False)
    console.out.print(f"\n[bold]{folder / 'summary.json'}[/] has every step.", highlight=False)
    return 0 if all(one.holds for one in verdicts if one.required) else 1


def parse(arguments: list[str] | None = None) -> Options:
    """Flags of the command line."""
    parser = argparse.ArgumentParser(prog="deploy.story", description="The paper's scenario, from release to release.")
    parser.add_argument("--folder", type=Path, default=Path("build/story"))
    parser.add_argument("--seed", type=int, default=0, help="seeds sampling")
    parser.add_argument("--kind", default="", choices=("", *KINDS), help="the second team's; else what is weakest")
    parser.add_argument(
        "--no-web", dest="web", action="store_false", help="no browser: every act by the command line, no pictures"
    )
    parser.add_argument("--keep", action="store_true", help="leave the network running at the end")
    return Options(**vars(parser.parse_args(arguments)))


def main(arguments: list[str] | None = None) -> int:
    """Entry point: SIGINT and SIGTERM stop everything in order."""
    options = parse(arguments)

    async def supervised() -> int:
        task = asyncio.ensure_future(perform(options))
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
