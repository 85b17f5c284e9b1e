"""The demo's last act: members turn rewards into votes, release the last round's model, and load it with standard tools.

Votes are cast through the desks of the members' own keystores; what needs a model (measuring, attesting, fetching, verifying) runs as the
command line does, a process for each member.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.localnet import Localnet, Member
from node.config import load_config
from node.dao import acts
from node.dao.ballots import numbered
from node.dao.desk import Desk, open_desk
from node.dao.publishing import settle
from node.dao.releases import scores_of, version_of
from node.dao.revenue import credits_of
from node.protocol.errors import CommonweightError, SetupError
from node.protocol.governance import ProposalState

BENCHMARK = "code-search/python"
COMMAND_SECONDS = 900.0
"""A command takes seconds; so many mean that something hangs, also on a machine that does much else."""
AT_ONCE = 2
"""Commands that measure at one time: each loads a model, and a small machine has two processors."""
ALOUD = (
    ("return the number of items in a list", "def count(values):\n    return len(values)"),
    (
        "read a text file into a string",
        "def slurp(path):\n    with open(path) as handle:\n        return handle.read()",
    ),
    ("remove whitespace from both ends of a string", "def clean(text):\n    return text.strip()"),
)
"""Three questions and the functions that answer them: the released model must match each with its own."""


@dataclass(slots=True)
class Release:
    """Plays the act once; see `play`."""

    net: Localnet
    say: Callable[[str], None]
    folder: Path
    desks: dict[str, Desk] = field(default_factory=dict)

    @property
    def members(self) -> list[Member]:
        """Who takes part: not the attackers."""
        return [member for member in self.net.members if not member.is_attacker]

    async def play(self, number: int) -> dict[str, Any]:
        """Release the model of a finalised round; returns what happened, for the summary.

        Raises:
            CommonweightError: a step failed.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        async with AsyncExitStack() as stack:
            for member in self.members:
                desk = await stack.enter_async_context(open_desk(load_config(member.config), sign=True))
                self.desks[member.address] = desk
            locking = asyncio.create_task(self._lock())
            try:
                candidate = await self._candidate(number)
            finally:
                await locking
            first = self.desks[self.members[0].address]
            settled = await settle(first, number)
            self.say(
                f"{settled['claims_made']} claims made for the absent; credits of {settled['credits']} are final, and with them the shares"
            )
            await self._attest(candidate)
            proposal = await self._propose(candidate)
            await self._decide(first, proposal)
            found = await self._published(first, proposal)
        found |= await self._load()
        return found

    # --- steps ---

    async def _lock(self) -> None:
        locked = await asyncio.gather(*(acts.convert(self.desks[member.address], None) for member in self.members))
        total = sum(int(one["locked"]) for one in locked)
        self.say(f"{len(locked)} members lock {total / 10**18:,.0f} CWT that they earned, and can vote")

    async def _candidate(self, number: int) -> Path:
        path = self.net.plan.folder / "candidate.json"
        public = self.net.plan.folder / "public.jsonl"
        arguments = ("candidate", str(number), "--add-benchmark", f"{BENCHMARK}={public}", "--out", str(path))
        found = await self._command(self.members[0], "release", *arguments)
        score = found["table"][0]["score"]
        self.say(f"candidate: the model of round {number}, {BENCHMARK} {score / 1e6:.4f}")
        return path

    async def _attest(self, candidate: Path) -> None:
        turn = asyncio.Semaphore(AT_ONCE)

        async def one(member: Member) -> dict[str, Any]:
            async with turn:
                return await self._command(member, "release", "attest", str(candidate), "--tolerance", "0")

        found = await asyncio.gather(*(one(member) for member in self.members))
        votes, needed = max(one["votes"] for one in found), found[0]["votes_needed"]
        self.say(f"{votes} attesters measured the candidate themselves and found the same score; {needed} are needed")

    async def _propose(self, candidate: Path) -> dict[str, Any]:
        notes = self.net.plan.folder / "notes.md"
        notes.write_text("The first release: what the demo's members trained together.\n", encoding="utf-8")
        arguments = ("propose", str(candidate), "--version", "1.0.0", "--notes", str(notes))
        found = await self._command(self.members[0], "release", *arguments)
        self.say(f"proposal {found['number']}: {found['actions'][-1]['action']}")
        return found

    async def _decide(self, desk: Desk, proposal: dict[str, Any]) -> None:
        which = str(proposal["number"])
        await self._until(desk, int(proposal["id"]), ProposalState.ACTIVE)
        reasons = ("measured it myself", "better than what we began with")
        votes = [
            acts.vote(self.desks[member.address], which, parts=(0, 1, 0), reason=reasons[place % len(reasons)])
            for place, member in enumerate(self.members)
        ]
        cast = await asyncio.gather(*votes)
        self.say(f"{len(cast)} members vote for it, with {sum(int(one['for']) for one in cast) / 10**18:,.0f} votes")
        await self._until(desk, int(proposal["id"]), ProposalState.SUCCEEDED)
        await acts.queue(desk, which)
        self.say("the vote is won; the proposal waits in the timelock")
        eta = (await desk.state()).proposals[int(proposal["id"])].eta
        while await desk.now() < eta:  # noqa: ASYNC110 - nobody tells us that the chain's time has passed
            await asyncio.sleep(0.3)
        await acts.execute(desk, which)

    async def _until(self, desk: Desk, number: int, wanted: ProposalState) -> None:
        floor = desk.manifest.params.governance.quorum_floor
        while (found := (await desk.state()).proposal_state(number, await desk.now(), floor)) is not wanted:
            if found > wanted:
                raise SetupError(f"The proposal is {found.name.lower()} instead of {wanted.name.lower()}.")
            await asyncio.sleep(0.3)

    async def _published(self, desk: Desk, proposal: dict[str, Any]) -> dict[str, Any]:
        state = await desk.state()
        release = state.catalogue.releases[state.catalogue.latest]
        decided = state.proposals[int(proposal["id"])]
        self.say(f"[bold green]release {version_of(release)} published[/], model {release.model_hash.hex()[:16]}…")
        floor = desk.manifest.params.governance.quorum_floor
        return {
            "number": release.number,
            "version": version_of(release),
            "round": release.round,
            "model_hash": release.model_hash.hex(),
            "scores_ppm": scores_of(release),
            "proposal": {
                "number": next(place for place, one in numbered(state.proposals).items() if one is decided),
                "id": str(decided.number),
                "for": str(decided.in_favour),
                "against": str(decided.against),
                "abstain": str(decided.abstain),
                "quorum": str(state.quorum_at(decided.snapshot, floor)),
                "votes": {voter: str(vote.weight) for voter, vote in decided.voters.items()},
                "executed": decided.is_executed,
                "decided_this_release": release.proposal == decided.number,
            },
            "credits": {account: str(credit) for account, credit in credits_of(state, release.round).items()},
            "credit_total": str(release.credit_total),
        }

    async def _load(self) -> dict[str, Any]:
        member = self.members[-1]
        await self._command(member, "release", "fetch", str(self.folder))
        verified = await self._command(member, "release", "verify", str(self.folder))
        base = self.net.plan.founding.base_model
        tried = await asyncio.to_thread(try_folder, self.folder, base)
        self.say(
            f"fetched into {self.folder}: {verified['checked']} files are what the chain says; transformers loads it, "
            f"peft's adapter agrees to {tried['peft_difference']:.1e}"
        )
        return {"folder": str(self.folder), "verified": verified, "loaded": tried}

    async def _command(self, member: Member, *arguments: str) -> dict[str, Any]:
        """A command with a member's settings."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "node.cli", *arguments, "--json", "--config", str(member.config),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                output, errors = await process.communicate()
        except TimeoutError as error:
            raise SetupError(
                f"`commonweight {' '.join(arguments[:2])}` did not end within {COMMAND_SECONDS:.0f} s for {member.name}."
            ) from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            told = errors.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise SetupError(f"`commonweight {' '.join(arguments[:2])}` failed for {member.name}.", why=" ".join(told))
        found: dict[str, Any] = json.loads(output)
        return found


def try_folder(folder: Path, base: Path) -> dict[str, Any]:
    """Load a release's folder with transformers and with peft, and ask it three questions.

    Returns:
        ``right``: questions whose own function is the nearest; ``peft_difference``: largest difference between an embedding of the
        merged model and one of the base model with the adapter; ``dimensions`` of an embedding.
    """
    import torch  # noqa: PLC0415 - seconds of import, only here
    from peft import PeftModel  # noqa: PLC0415
    from transformers import AutoModel, AutoTokenizer  # noqa: PLC0415

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    whole = AutoModel.from_pretrained(folder, local_files_only=True)
    adapted = PeftModel.from_pretrained(AutoModel.from_pretrained(base, local_files_only=True), folder / "adapter")

    def embed(model: Any, texts: Sequence[str]) -> Any:
        batch = tokenizer(list(texts), padding=True, return_tensors="pt")
        with torch.no_grad():
            states = model.eval()(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1)
        return torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)

    queries, codes = (embed(whole, texts) for texts in zip(*ALOUD, strict=True))
    again = embed(adapted, [query for query, _ in ALOUD])
    nearest = (queries @ codes.T).argmax(1).tolist()
    return {
        "right": sum(place == found for place, found in enumerate(nearest)),
        "asked": len(ALOUD),
        "dimensions": int(queries.shape[1]),
        "peft_difference": float((queries - again).abs().max()),
    }


async def attempt(story: Release, number: int) -> dict[str, Any]:
    """`Release.play`, with a failure told instead of raised: the demo goes on to its audit and its report."""
    try:
        return await story.play(number)
    except CommonweightError as error:
        story.say(f"[red]the release failed[/]: {error}")
        return {"error": str(error)}
