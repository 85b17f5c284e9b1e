"""The only loop: events → state → roles → actions. Retries, restart from disk, and a status for people.

Theory of operation: every `poll_seconds` the driver reads new blocks' events into the state, asks its roles what is due, and
starts each due action that is neither under way nor done. An action that fails is tried again after a pause that doubles up to
`MAX_BACKOFF`. Nothing is remembered between polls that could not be rebuilt from the chain and the node's folder, so kill -9 at any
moment costs time only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from node.branch import Branch
from node.executor import Executor
from node.following import wanted
from node.ports import Chain, Clock, Gossip
from node.protocol import messages
from node.protocol.cid import cid_from_digest
from node.protocol.errors import (
    ChainError,
    CommonweightError,
    ConfigError,
    GossipError,
    LocalProtocolError,
    RemoteProtocolError,
    TransactionReverted,
)
from node.protocol.state import State
from node.protocol.types import Address, Call, CourtParams, Phase, RoundParams, Scoring
from node.roles import attester, challenger, juror, keeper, membership, steward, trainer, verifier
from node.roles.actions import Action, FollowGuideline, Submit
from node.roles.steward import StewardPlan
from node.roles.view import View

log = logging.getLogger("commonweight.driver")

ROLES = ("applicant", "trainer", "verifier", "attester", "keeper", "challenger", "juror", "steward", "reviewer")
MAX_BACKOFF = 15.0
"""Seconds: a phase lasts longer, so a mended fault is always noticed within the phase."""
HELLO_SECONDS = 30.0
"""How often a node says where its store is: a newcomer hears everybody within one period."""
NO_PLAN = StewardPlan(rounds=0, min_members=0)
"""A node that is no steward opens nothing."""


@dataclass(frozen=True, slots=True)
class DriverConfig:
    """What the loop needs besides its ports.

    Attributes:
        roles: names out of `ROLES`.
        params: constants of the rounds.
        court: constants of the disputes.
        scoring: how verdicts are reached under the founding guideline.
        first_block: block of the deployment.
        poll_seconds: pause between polls.
        stagger: seconds between ranks (`View.is_my_turn`).
        plan: what a steward opens.
        last_round: stop after this round is over and claimed; 0 is never.
        review_before: from this round on a reviewer leaves applications to people; 0 is never.
    """

    roles: tuple[str, ...]
    params: RoundParams
    court: CourtParams
    scoring: Scoring
    first_block: int
    poll_seconds: float = 0.5
    stagger: int = 4
    plan: StewardPlan = NO_PLAN
    last_round: int = 0
    review_before: int = 0

    def __post_init__(self) -> None:
        unknown = [role for role in self.roles if role not in ROLES]
        if unknown or not self.roles:
            raise ConfigError(f"Unknown roles {unknown}.", hint=f"Known roles are {', '.join(ROLES)}.")


@dataclass(slots=True)
class _Attempt:
    """An action that failed: when it may be tried again, and how often it failed."""

    not_before: float
    failures: int
    error: str


@dataclass(slots=True)
class Driver:
    """Runs one node until cancelled, or until its last round is over.

    Args:
        executor: hands.
        clock: paces the loop.
        config: see `DriverConfig`.
        on_status: receives the status after every poll that changed something.
        state: the network, as of the last block read.
        polled_at: when the chain was last read, on ``clock``.
    """

    executor: Executor
    clock: Clock
    config: DriverConfig
    on_status: Callable[[dict[str, Any]], None] | None = None
    state: State = field(default_factory=State)
    polled_at: float = 0.0
    _branch: Branch | None = None
    _running: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _done: set[str] = field(default_factory=set)
    _failed: dict[str, _Attempt] = field(default_factory=dict)
    _hello_at: float = 0.0
    _error: str = ""
    _refusal: str = ""
    _notice: str = ""
    _now: int = 0

    @property
    def _chain(self) -> Chain:
        return self.executor.ports.chain

    @property
    def me(self) -> Address:
        """Our account."""
        return self.executor.ports.signer.address

    async def run(self) -> None:
        """Loop until cancelled or finished. Running actions are cancelled and awaited on the way out."""
        self.executor.facts = self.executor.store.load_facts()
        listener = self._start_listener()
        try:
            while not self._is_finished():
                try:
                    await self.poll()
                    self._error, self.polled_at = "", self.clock.now()
                except ChainError as error:
                    self._error = str(error)
                    log.warning("chain: %s", error)
                await self.clock.sleep(self.config.poll_seconds)
        finally:
            tasks = [*self._running.values(), *([listener] if listener else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def poll(self) -> None:
        """One turn of the loop.

        Raises:
            ChainError: the chain could not be read; the state is as of the last block read.
        """
        if self._branch is None:
            _phase, founded_at = await self._chain.read(Call("RoundManager", "phaseOf", (0,)))
            founding = State(last_round_ended_at=founded_at)
            self._branch = Branch(self._chain, self.config.first_block, founding, self._forget)
        try:
            head = await self._branch.advance()
        finally:
            self.state = self._branch.state
        changed = self._now != head.timestamp
        self._now = head.timestamp
        self._reap()
        view = self._view(head.number, head.timestamp)
        for action in self.due(view):
            self._start(action)
        await self._say_hello()
        if changed and self.on_status is not None:
            self.on_status(self.status(head.number))

    def _forget(self) -> None:
        """After a reorganisation nothing counts as done: what the chain still has, the roles see in the state."""
        self._done.clear()
        self._failed.clear()

    def _view(self, block: int, now: int) -> View:
        return View(
            state=self.state,
            facts=self.executor.facts,
            me=self.me,
            now=now,
            block=block,
            params=self.config.params,
            court_params=self.config.court,
            scoring=self.config.scoring,
            chain_id=self.executor.chain_id,
            round_manager=self.executor.round_manager,
            court=self.executor.court,
            stagger=self.config.stagger,
        )

    def due(self, view: View) -> Sequence[Action]:
        """What our roles want done now. Under another guideline than ours: take it over, and only keep the rounds moving."""
        epoch = wanted(view.state)
        if epoch is not None and epoch.guideline_hash != self.executor.guideline.hash:
            follow = FollowGuideline(epoch.number, epoch.guideline_hash, epoch.guideline_cid)
            failed = self._failed.get(follow.key)
            self._refusal = (
                f"Epoch {epoch.number} has guideline {epoch.guideline_hash.hex()}, ours is "
                f"{self.executor.guideline.hash.hex()}; taking no part. {failed.error if failed else ''}"
            ).strip()
            return [follow, *(keeper.decide(view) if "keeper" in self.config.roles else [])]
        self._refusal = ""
        self._heed_seat(view)
        deciders: dict[str, Callable[[View], list[Action]]] = {
            "trainer": trainer.decide,
            "verifier": verifier.decide,
            "attester": attester.decide,
            "keeper": lambda seen: keeper.decide(seen) + steward.decide_late(seen, self.config.plan),
            "challenger": challenger.decide,
            "juror": juror.decide,
            "steward": lambda seen: steward.decide(seen, self.config.plan),
            "applicant": membership.decide_apply,
            "reviewer": lambda seen: membership.decide_review(seen, self.config.review_before),
        }
        return [action for role in self.config.roles for action in deciders[role](view)]

    def _heed_seat(self, view: View) -> None:
        """Say it once, and in the status, where a role of the committee has no seat to act from."""
        notice = membership.seat_notice(view, self.config.roles)
        if notice and notice != self._notice:
            log.warning("%s", notice)
        self._notice = notice

    # --- actions ---

    def _start(self, action: Action) -> None:
        key = action.key
        attempt = self._failed.get(key)
        if key in self._running or key in self._done or (attempt and self.clock.now() < attempt.not_before):
            return
        task = asyncio.create_task(self.executor.perform(action, self.state), name=key)
        self._running[key] = task

    def _reap(self) -> None:
        for key, task in list(self._running.items()):
            if not task.done():
                continue
            del self._running[key]
            error = None if task.cancelled() else task.exception()
            if error is None:
                self._done.add(key)
                self._failed.pop(key, None)
            elif isinstance(error, LocalProtocolError) or not isinstance(error, CommonweightError):
                raise error  # our own bug: better to stop loudly than to go on wrongly
            else:
                self._note_failure(key, error)

    def _note_failure(self, key: str, error: CommonweightError) -> None:
        failures = self._failed[key].failures + 1 if key in self._failed else 1
        pause = min(MAX_BACKOFF, 0.5 * 2**failures)
        self._failed[key] = _Attempt(self.clock.now() + pause, failures, str(error))
        # A revert mostly says that somebody else was faster: worth a line only when it stays.
        level = logging.DEBUG if isinstance(error, TransactionReverted) and failures < 4 else logging.WARNING
        log.log(level, "%s failed (%d times): %s", key, failures, error)

    def _is_finished(self) -> bool:
        last = self.config.last_round
        found = self.state.rounds.get(last)
        if not last or found is None or not found.is_over or self._running:
            return False
        facts = self.executor.facts_of(last)
        if (
            found.phase is Phase.FINALIZED
            and "verifier" in self.config.roles
            and facts.keys
            and not facts.keys_published
        ):
            return False
        if found.phase is Phase.FINALIZED and "attester" in self.config.roles:
            return self.executor.facts_of(last).aggregate is not None and not self.is_claim_pending()
        return True

    def is_claim_pending(self) -> bool:
        """Whether our keeper still has something to send about rounds that are over."""
        view = self._view(self.state.block, self._now)
        return any(isinstance(action, Submit) for action in keeper.decide(view)) and "keeper" in self.config.roles

    # --- gossip ---

    def _start_listener(self) -> asyncio.Task[None] | None:
        gossip = self.executor.ports.gossip
        return None if gossip is None else asyncio.create_task(self._listen(gossip), name="gossip")

    async def _listen(self, gossip: Gossip) -> None:
        async for message in gossip.messages():
            try:
                decoded = messages.decode(message.data)
            except RemoteProtocolError as error:
                log.warning("peer %s: %s", message.author, error)
                continue
            current = self.state.current
            outcome = messages.validate(
                decoded,
                author=message.author,
                peer_ids=self.state.peer_ids,
                current_round=current.number if current else 0,
            )
            if outcome.check is messages.Check.ACCEPT:
                await self._heed(decoded)
            elif outcome.check is messages.Check.REJECT:
                log.warning("peer %s: %s", message.author, outcome.reason)

    async def _heed(self, message: messages.Message) -> None:
        """Use a hint: dial a member's store, or fetch what it published before the block says so."""
        blobs = self.executor.ports.blobs
        try:
            if isinstance(message, messages.Hello):
                for address in message.addresses:
                    await blobs.connect(address)
            elif isinstance(message, messages.UpdateNotice):
                self._prefetch(message)
            else:
                self._compare(message)
        except CommonweightError as error:
            log.info("hint of %s was of no use: %s", message.sender, error)

    def _prefetch(self, notice: messages.UpdateNotice) -> None:
        found = self.state.current
        key = f"{notice.round}:prefetch:{notice.sender}"
        # One fetch per member and round, and only of those who committed: nobody can make us fetch more than a round holds.
        if found is None or found.number != notice.round or notice.sender not in found.commits:
            return
        if found.phase is Phase.REVEAL and key not in self._running and key not in self._done:
            self._running[key] = asyncio.create_task(self.executor.prefetch(found, notice.cid), name=key)

    def _compare(self, notice: messages.ModelNotice) -> None:
        fact = self.executor.facts_of(notice.round).aggregate
        if fact is not None and cid_from_digest(fact.cid) != notice.cid:
            log.warning("%s computed another model for round %d than we did", notice.sender, notice.round)

    async def _say_hello(self) -> None:
        gossip, blobs = self.executor.ports.gossip, self.executor.ports.blobs
        if gossip is None or self.clock.now() < self._hello_at or self.me not in self.state.peer_ids:
            return
        self._hello_at = self.clock.now() + HELLO_SECONDS
        hello = messages.Hello(self.me, tuple(blobs.addresses)[: messages.MAX_ADDRESSES])
        try:
            await gossip.publish(messages.encode(hello))
        except GossipError as error:
            log.info("hello not sent: %s", error)

    # --- status ---

    def status(self, block: int) -> dict[str, Any]:
        """What the node is doing, as JSON values."""
        found = self.state.current
        facts = self.executor.facts_of(found.number) if found else None
        return {
            "address": self.me,
            "roles": list(self.config.roles),
            "block": block,
            "round": found.number if found else 0,
            "phase": found.phase.name if found else "NONE",
            "running": sorted(self._running),
            "failing": {key: attempt.error for key, attempt in self._failed.items() if key not in self._done},
            "error": self._error or self._refusal or self._notice,
            "model": facts.aggregate.model_hash.hex() if facts and facts.aggregate else None,
            "models": {
                str(number): known.aggregate.model_hash.hex()
                for number, known in self.executor.facts.items()
                if known.aggregate
            },
            "refused": {
                str(number): {str(index): reason for index, (_, reason) in known.fetched.items() if reason}
                for number, known in self.executor.facts.items()
                if any(reason for _, reason in known.fetched.values())
            },
            "withheld": {str(n): known.withheld for n, known in self.executor.facts.items() if known.withheld},
            "notes": {str(number): values for number, values in self.executor.notes.items()},
        }
