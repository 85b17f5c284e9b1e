"""The whole audit: ledger, models and storage in one pass over the history; one report with an exit code.

Streaming: events are read in chunks, checked, folded and forgotten; a round's model is derived as soon as the round is final. What grows
with the history is the folded state alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from node.audit.base import AuditRules, Finding
from node.audit.ledger import Replay
from node.audit.models import ModelAuditor, RoundModel
from node.audit.openings import OPENINGS, opening_of
from node.audit.view import View, flat
from node.audit.views import expected_views
from node.ports import EVENT_CHUNK, Chain
from node.protocol.errors import TransactionReverted
from node.protocol.state import Round, State
from node.protocol.types import Call, ChainEvent, Phase

MAX_TRIES = 5
"""A busy chain moves between reading events and views; this often we look again at what came in between."""
QUESTIONS_AT_ONCE = 8
PINNING = ("SeedPinned", "DisputeOpened", "JurySeedPinned")
SEED_BLOCKS_KEPT = 1_000


@dataclass(frozen=True, slots=True)
class RoundRow:
    """What the report says of one round."""

    number: int
    phase: str
    block: int
    participants: int
    accepted: int
    votes: int
    slots: int
    model: str
    is_derived: bool
    rescored: int
    findings: int


@dataclass(slots=True)
class AuditReport:
    """Outcome of an audit.

    Attributes:
        ok: nothing was found.
        checked: how many things of each kind were checked.
        findings: what does not add up, first in chain order first, as text.
        differences: the same with block and transaction; what a contract answers wrongly has the newest block and no transaction.
        state: the history's final state.
        model_hashes: computed model hash of every finalised round.
        rounds: a row for each round.
        chain_id: of the chain.
        blocks: first and last block read.
        seconds: it took.
    """

    ok: bool = True
    checked: dict[str, int] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    differences: list[Finding] = field(default_factory=list)
    state: State = field(default_factory=State)
    model_hashes: dict[int, str] = field(default_factory=dict)
    rounds: list[RoundRow] = field(default_factory=list)
    chain_id: int = 0
    blocks: tuple[int, int] = (0, 0)
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """JSON value for `--json` and summaries."""
        first = self.differences[0] if self.differences else None
        return {
            "ok": self.ok,
            "checked": self.checked,
            "findings": self.findings,
            "first_difference": None
            if first is None
            else {"what": first.what, "block": first.block, "transaction": first.transaction},
            "blocks": list(self.blocks),
            "events": self.state.events,
            "seconds": round(self.seconds, 3),
            "model_hashes": {str(number): digest for number, digest in self.model_hashes.items()},
            "supply": str(self.state.supply),
            "balances": {address: str(amount) for address, amount in sorted(self.state.balances.items())},
            "rewards": {address: str(amount) for address, amount in sorted(self.state.rewards.items())},
            "stakes": {address: str(member.stake) for address, member in sorted(self.state.members.items())},
        }


@dataclass(frozen=True, slots=True)
class Scope:
    """How much is looked at.

    Attributes:
        with_storage: compare the final state with every view of the contracts.
        detailed_rounds: ask about the participants of that many of the newest rounds; None: of all.
        at_once: rounds whose models are derived at the same time.
        with_openings: ask for the transactions that revealed something, and open the commitments.
    """

    with_storage: bool = True
    detailed_rounds: int | None = None
    at_once: int = 2
    with_openings: bool = True


async def stream(chain: Chain, first_block: int, last_block: int) -> AsyncIterator[Sequence[ChainEvent]]:
    """Events of a range of blocks, a chunk at a time."""
    for start in range(first_block, last_block + 1, EVENT_CHUNK):
        yield await chain.events(start, min(last_block, start + EVENT_CHUNK - 1))


async def audit(
    chain: Chain,
    rules: AuditRules,
    *,
    first_block: int,
    models: ModelAuditor | None,
    scope: Scope | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> AuditReport:
    """Rebuild and compare.

    Args:
        chain: any endpoint of the chain.
        rules: constants of the deployment.
        first_block: block of the deployment.
        models: re-derives the models; None checks the ledger only.
        scope: how much is looked at; None: everything.
        progress: called with (block, newest block) after each chunk.
    """
    return await _Audit(chain, rules, models, scope or Scope(), progress).run(first_block)


class _Audit:
    """One audit under way."""

    def __init__(
        self,
        chain: Chain,
        rules: AuditRules,
        models: ModelAuditor | None,
        scope: Scope,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._chain = chain
        self._models = models
        self._scope = scope
        self._progress = progress
        self._hashes: dict[int, bytes | None] = {}
        self._replay = Replay(rules, self._hashes.get)
        self._ended: dict[int, ChainEvent] = {}
        self._jobs: dict[int, asyncio.Task[RoundModel]] = {}
        self._derived: dict[int, RoundModel] = {}
        self._is_consistent = True

    async def run(self, first_block: int) -> AuditReport:
        started, start, found = time.monotonic(), first_block, list[Finding]()
        head = await self._chain.head()
        try:
            for _ in range(MAX_TRIES):
                await self._read(start, head.number)
                start = head.number + 1
                if not self._is_consistent or not self._scope.with_storage:
                    break
                found = await self._compare_with_chain(head.number, head.timestamp)
                # The contracts answer for the newest block: if something happened meanwhile, look again.
                newest = await self._chain.head()
                if newest.number == head.number or not await self._anything(start, newest.number):
                    break
                head = newest
            if self._is_consistent:
                self._replay.finish()
            await self._drain(0)
        finally:
            for job in self._jobs.values():
                job.cancel()
        return self._report(found, (first_block, head.number), time.monotonic() - started)

    async def _anything(self, first: int, last: int) -> bool:
        return any([bool(events) async for events in stream(self._chain, first, last)])

    # --- one pass over the events ---

    async def _read(self, first: int, last: int) -> None:
        async for events in stream(self._chain, first, last):
            await self._fetch_hashes(events)
            calls = await self._fetch_calls(events)
            for event in events:
                self._open(event, calls)
                if not self._replay.feed(event):
                    self._is_consistent = False
                    return
                if event.name == "RoundFinalized" and event.contract == "RoundManager":
                    await self._final(event)
            if self._progress is not None and events:
                self._progress(events[-1].block, last)
            await asyncio.sleep(0)

    async def _fetch_hashes(self, events: Iterable[ChainEvent]) -> None:
        """Hashes of the blocks that rings and juries are drawn from."""
        pinned = {event.arguments["seedBlock"] for event in events if event.name in PINNING}
        for number in sorted(pinned - set(self._hashes)):
            self._hashes[number] = await self._chain.block_hash(number)
        for number in sorted(self._hashes)[:-SEED_BLOCKS_KEPT]:
            del self._hashes[number]

    async def _fetch_calls(self, events: Sequence[ChainEvent]) -> Mapping[bytes, Call | None]:
        """Calls of the transactions that revealed something."""
        if not self._scope.with_openings:
            return {}
        wanted = sorted({event.transaction for event in events if (event.contract, event.name) in OPENINGS})
        gate = asyncio.Semaphore(QUESTIONS_AT_ONCE)

        async def ask(transaction: bytes) -> Call | None:
            async with gate:
                return await self._chain.call_of(transaction)

        return dict(zip(wanted, await asyncio.gather(*map(ask, wanted)), strict=True))

    def _open(self, event: ChainEvent, calls: Mapping[bytes, Call | None]) -> None:
        """Hold what an event reveals against what was committed."""
        if (event.contract, event.name) not in OPENINGS or not self._scope.with_openings:
            return
        checked, call = self._replay.result.checked, calls[event.transaction]
        try:
            opening = None if call is None else opening_of(self._replay.rules, self._replay.state, event, call)
        except (KeyError, ValueError):
            return  # it names what does not exist, and the ledger says so
        if opening is None:
            checked["openings not checked (not the transaction's own call)"] += 1
            return
        checked["openings"] += 1
        if opening[0] != opening[1]:
            what = f"{event.name} does not open what was committed: {_short(dict(event.arguments))}."
            self._replay.result.findings.append(Finding(what, event.block, "0x" + event.transaction.hex()))

    async def _final(self, event: ChainEvent) -> None:
        number = event.arguments["round"]
        self._ended[number] = event
        if self._models is None:
            return
        found = self._replay.state.rounds[number]
        epoch = self._replay.state.epochs.get(found.epoch)
        self._jobs[number] = asyncio.create_task(self._models.round(found, epoch))
        await self._drain(self._scope.at_once - 1)

    async def _drain(self, left: int) -> None:
        """Wait, oldest first, until at most ``left`` models are being derived."""
        while len(self._jobs) > left:
            number = min(self._jobs)
            self._derived[number] = await self._jobs[number]
            del self._jobs[number]

    # --- storage ---

    async def _compare_with_chain(self, block: int, now: int) -> list[Finding]:
        """Hold the folded state against every view: replay equals storage."""
        allowance = self._replay.money.allowance
        detailed = self._scope.detailed_rounds
        views = list(
            expected_views(self._replay.state, self._replay.rules, allowance, now=now, detailed_rounds=detailed)
        )
        gate = asyncio.Semaphore(QUESTIONS_AT_ONCE)

        async def ask(view: View) -> Any:
            async with gate:
                try:
                    return flat(await self._chain.read(view.call))
                except TransactionReverted as error:
                    return f"refused: {error.error}"

        answers = await asyncio.gather(*(ask(view) for view in views))
        found = [
            _contradiction(view, answer, block)
            for view, answer in zip(views, answers, strict=True)
            if answer != flat(view.expected)
        ]
        self._replay.result.checked["views of the contracts"] = len(views)
        return found

    # --- the report ---

    def _report(self, storage: list[Finding], blocks: tuple[int, int], seconds: float) -> AuditReport:
        ledger, checked = self._replay.result, self._replay.result.checked
        report = AuditReport(state=ledger.state, chain_id=self._replay.rules.chain_id, blocks=blocks, seconds=seconds)
        differences = list(ledger.findings)
        for number, model in sorted(self._derived.items()):
            checked.update(model.checked)
            end = self._ended[number]
            differences += [Finding(what, end.block, "0x" + end.transaction.hex()) for what in model.findings]
            if model.digest:
                report.model_hashes[number] = model.digest.hex()
        report.differences = sorted(differences, key=lambda one: one.block) + storage
        report.findings = [str(one) for one in report.differences]
        report.checked = dict(checked)
        report.rounds = [self._row(found) for _, found in sorted(ledger.state.rounds.items())]
        report.ok = not report.findings
        return report

    def _row(self, found: Round) -> RoundRow:
        model, params = self._derived.get(found.number), self._replay.rules.params
        end = self._ended.get(found.number)
        span = range(found.opened_block, (end.block if end is not None else found.opened_block) + 1)
        mine = sum(one.block in span for one in self._replay.result.findings)
        proposal = found.proposal
        return RoundRow(
            number=found.number,
            phase=found.phase.name,
            block=found.opened_block,
            participants=len(found.reveals),
            accepted=len(found.accepted),
            votes=0 if proposal is None else proposal.votes,
            slots=min(len(found.reveals), params.max_attesters),
            model=proposal.model_hash.hex() if proposal is not None and found.phase is Phase.FINALIZED else "",
            is_derived=model is not None and proposal is not None and model.digest == proposal.model_hash,
            rescored=0 if model is None else model.checked.get("gains scored again", 0),
            findings=mine + (0 if model is None else len(model.findings)),
        )


def _contradiction(view: View, answer: Any, block: int) -> Finding:
    call = view.call
    asked = f"{call.contract}.{call.function}({', '.join(map(_short, call.arguments))})"
    what = f"{view.subject}: {asked} answers {_short(answer)}, the events add up to {_short(flat(view.expected))}."
    return Finding(what, block, "")


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(one)}" for key, one in value.items())
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, list):
        return "[" + ", ".join(map(_short, value)) + "]"
    return str(value)


async def read_history(chain: Chain, first_block: int) -> Sequence[ChainEvent]:
    """All events from the deployment to the newest block."""
    head = await chain.head()
    return [event async for events in stream(chain, first_block, head.number) for event in events]
