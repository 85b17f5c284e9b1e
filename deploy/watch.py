"""Follows a local network on its chain and shows it live: who does what now, what was decided, what was earned."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from rich.console import Group
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from deploy.localnet import Localnet, Member
from incentives.rewards import CWT
from node.adapters.chain_evm import EvmChain
from node.dao.calls import version_text
from node.protocol.state import Round, State, apply
from node.protocol.types import ChainEvent, DisputeKind, Fault, MemberStatus, Outcome, Phase, UpdateStatus
from node.roles.challenger import VERDICT_FAULTS

PHASES = [phase for phase in Phase if Phase.COMMIT <= phase <= Phase.FINALIZED]


@dataclass(slots=True)
class Watcher:
    """Folds the chain's events and turns them into lines for people.

    Attributes:
        net: the network.
        chain: read-only port.
        say: receives one line about each thing worth telling.
        metrics: metric by round number (0 is the pretrained model), filled by whoever measures.
    """

    net: Localnet
    chain: EvmChain
    say: Callable[[str], None]
    state: State = field(default_factory=State)
    metrics: dict[int, float] = field(default_factory=dict)
    history: list[ChainEvent] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    _next: int = 0

    async def poll(self) -> None:
        """Read what is new."""
        head = await self.chain.head()
        first = self._next or self.net.manifest.deployment_block
        if head.number < first:
            return
        for event in await self.chain.events(first, head.number):
            self.state = apply(self.state, event)
            self.history.append(event)
            for line in self._tell(event):
                self.say(line)
        self._next = head.number + 1

    def member_name(self, address: str) -> str:
        """What people call an account."""
        for member in self.net.members:
            if member.address == address:
                return member.name
        return address

    def _tell(self, event: ChainEvent) -> Iterator[str]:
        a = event.arguments
        match event.name:
            case "Admitted":
                yield f"{self.member_name(a['member'])} admitted; airdrop of {a['grant'] / CWT:g} CWT bonded as stake"
            case "RoundOpened":
                sealed = a["benchmarkCommitment"] != bytes(32)
                yield f"[bold]round {a['round']}[/] opened, {'sealed benchmark slice' if sealed else 'public benchmark'}"
            case "PhaseChanged":
                phase = Phase(a["phase"])
                if phase in _PHASE_LINES:
                    yield f"round {a['round']}: {_PHASE_LINES[phase]}"
            case "UpdateSettled":
                status = UpdateStatus(a["status"])
                colour = "green" if status is UpdateStatus.ACCEPTED else "red"
                yield (
                    f"round {a['round']}: update of {self.member_name(a['trainer'])} [{colour}]{status.name.lower()}[/], "
                    f"median gain {a['gain']:+,} ppm, {a['votes']} votes"
                )
            case "Slashed":
                who, fault = self.member_name(a["member"]), Fault(a["fault"]).name.lower().replace("_", " ")
                yield f"round {a['round']}: {who} [red]slashed[/] {a['amount'] / CWT:.2f} CWT ({fault})"
            case "Banned":
                yield f"{self.member_name(a['account'])} [bold red]banned[/]"
            case "DisputeOpened":
                subject = "the model" if a["kind"] == DisputeKind.AGGREGATE else f"the verdict on update {a['index']}"
                yield f"round {a['round']}: {self.member_name(a['disputer'])} disputes {subject} (dispute {a['id']})"
            case "JuryDrawn":
                yield f"dispute {a['id']}: {a['jurors']} jurors drawn"
            case "DisputeResolved":
                outcome = Outcome(a["outcome"]).name.lower().replace("_", " ")
                yield f"dispute {a['id']}: [bold]{outcome}[/], {a['votes']} votes"
            case "UpdateForfeited":
                yield f"round {a['round']}: the update of {self.member_name(a['trainer'])} is a copy and earns nothing"
            case "RoundFinalized":
                yield f"round {a['round']} [bold green]finalised[/], model {a['modelHash'].hex()[:16]}…, {a['accepted']} updates in it"
            case "RoundVoided":
                yield f"round {a['round']} [bold red]voided[/]"
            case _:
                yield from self._tell_votes(event)

    def _tell_votes(self, event: ChainEvent) -> Iterator[str]:
        a = event.arguments
        match event.name:
            case "ScoresAttested":
                yield f"round {a['round']}: {self.member_name(a['attester'])} vouches for the scores ({a['votes']} votes)"
            case "ReleasePublished":
                version = version_text(a["candidate"]["version"])
                yield f"release {a['release']}, version {version}, is on chain with {len(a['candidate']['scores'])} scores"
            case "VoteCast" | "VoteCastWithParams":
                said = ("against", "for", "abstain")[a["support"]] if a["support"] < 3 else "split"
                reason = f": {escape(a['reason'])}" if a["reason"] else ""
                yield f"{self.member_name(a['voter'])} votes [bold]{said}[/], {a['weight'] / CWT:,.1f} votes{reason}"

    # --- progress ---

    @property
    def admitted(self) -> int:
        """Members so far."""
        return sum(self.state.member(m.address).status is MemberStatus.ACTIVE for m in self.net.members)

    def is_settled(self, number: int) -> bool:
        """Whether round ``number`` is over, everybody holds its model and has claimed, and its verdicts are executed."""
        found = self.state.rounds.get(number)
        if found is None or not found.is_over:
            return False
        if found.phase is Phase.VOIDED:
            return True
        return (
            self._owed(found) <= found.claimed
            and found.treasury_claimed
            and self._guilt(found) <= found.punished
            and len(self.model_hashes(number)) == len(self.net.members)
        )

    def _guilt(self, found: Round) -> set[tuple[int, int]]:
        """(fault, index) of every verdict that the court has to punish."""
        return {
            (int(VERDICT_FAULTS[verdict.status]), index)
            for index, verdict in found.settled.items()
            if verdict.status in VERDICT_FAULTS
        }

    def _owed(self, found: Round) -> set[int]:
        forfeited = (UpdateStatus.HARMFUL, UpdateStatus.MALFORMED)
        return {
            r.index
            for r in found.reveals
            if r.index not in found.forfeited
            and r.index in found.settled
            and found.settled[r.index].status not in forfeited
        }

    def model_hashes(self, number: int) -> dict[str, str]:
        """Model hash that each node computed for a round, by address."""
        hashes: dict[str, str] = {}
        for member in self.net.members:
            computed = member.status().get("models", {}).get(str(number))
            if computed:
                hashes[member.address] = computed
        return hashes

    # --- view ---

    def view(self) -> Panel:
        """The live picture."""
        return Panel(
            Group(self._rounds(), Text(), self._members()),
            title=f"commonweight, {time.monotonic() - self.started:.0f} s, block {self.state.block}",
            border_style="cyan",
        )

    def _rounds(self) -> Table:
        table = Table(box=None, header_style="dim", pad_edge=False)
        for column in ("round", *(_SHORT[phase] for phase in PHASES), "metric"):
            table.add_column(column, justify="center")
        for number, found in sorted(self.state.rounds.items()):
            marks = [_mark(found, phase) for phase in PHASES]
            metric = f"{self.metrics[number]:.4f}" if number in self.metrics else "…"
            table.add_row(str(number), *marks, metric)
        return table

    def _members(self) -> Table:
        table = Table(box=None, header_style="dim", pad_edge=False)
        for column in ("member", "doing", "stake", "earned"):
            table.add_column(column, justify="right" if column in ("stake", "earned") else "left")
        for member in self.net.members:
            known = self.state.member(member.address)
            style = "red" if member.is_attacker else ""
            earned = self.state.rewards.get(member.address, 0)
            table.add_row(
                Text(member.name, style=style), _doing(member), f"{known.stake / CWT:.1f}", f"{earned / CWT:,.1f}"
            )
        return table


_SHORT = {
    Phase.COMMIT: "train",
    Phase.REVEAL: "reveal",
    Phase.SEED: "seed",
    Phase.SCORE_COMMIT: "score",
    Phase.SCORE_REVEAL: "open",
    Phase.SETTLE: "settle",
    Phase.RETRY_COMMIT: "rescore",
    Phase.RETRY_REVEAL: "reopen",
    Phase.RETRY_SETTLE: "resettle",
    Phase.ATTEST: "attest",
    Phase.CHALLENGE: "challenge",
    Phase.FINALIZED: "final",
}
_PHASE_LINES = {
    Phase.REVEAL: "all updates committed; bundles go to IPFS and commitments open",
    Phase.SCORE_COMMIT: "ring seed drawn; peers score each other's updates, sealed",
    Phase.RETRY_COMMIT: "the first panel left an update unscored; a second one scores it",
    Phase.ATTEST: "verdicts settled; everybody aggregates and attests the model's hash",
}


def _mark(found: Round, phase: Phase) -> str:
    now, retry = found.phase, (Phase.RETRY_COMMIT, Phase.RETRY_REVEAL, Phase.RETRY_SETTLE)
    if now is Phase.VOIDED:
        return "[red]✗[/]"
    if phase in retry and now not in retry and not found.retry_commits:
        return "[dim]–[/]" if now > phase else "[dim]·[/]"  # most rounds need none
    if now > phase or now is Phase.FINALIZED:
        return "[green]●[/]"
    return "[yellow]◐[/]" if now is phase else "[dim]·[/]"


def _doing(member: Member) -> str:
    status = member.status()
    if not status:
        return "starting"
    running = [key.split(":")[1] for key in status.get("running", []) if ":" in key]
    return ", ".join(sorted(set(running))) or "waiting"
