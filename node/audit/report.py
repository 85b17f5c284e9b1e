"""The whole audit: ledger, balances on chain, models; one report with an exit code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from node.audit.ledger import AuditRules, replay
from node.audit.models import ModelAuditor
from node.ports import EVENT_CHUNK, Chain
from node.protocol.state import State
from node.protocol.types import Call, ChainEvent

MAX_TRIES = 5
"""A busy chain moves between reading events and balances; this often we start over."""


@dataclass(slots=True)
class AuditReport:
    """Outcome of an audit.

    Attributes:
        ok: nothing was found.
        checked: how many things of each kind were checked.
        findings: what does not add up, first in chain order first.
        state: the history's final state.
        model_hashes: computed model hash of every finalised round.
    """

    ok: bool = True
    checked: dict[str, int] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    state: State = field(default_factory=State)
    model_hashes: dict[int, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """JSON value for `--json` and summaries."""
        return {
            "ok": self.ok,
            "checked": self.checked,
            "findings": self.findings,
            "model_hashes": {str(number): digest for number, digest in self.model_hashes.items()},
            "supply": str(self.state.supply),
            "balances": {address: str(amount) for address, amount in sorted(self.state.balances.items())},
            "rewards": {address: str(amount) for address, amount in sorted(self.state.rewards.items())},
            "stakes": {address: str(member.stake) for address, member in sorted(self.state.members.items())},
        }


async def read_history(chain: Chain, first_block: int) -> Sequence[ChainEvent]:
    """All events from the deployment to the newest block."""
    head = await chain.head()
    events: list[ChainEvent] = []
    for start in range(first_block, head.number + 1, EVENT_CHUNK):
        events += await chain.events(start, min(head.number, start + EVENT_CHUNK - 1))
    return events


async def audit(chain: Chain, rules: AuditRules, *, first_block: int, models: ModelAuditor | None) -> AuditReport:
    """Rebuild and compare.

    Args:
        chain: any endpoint of the chain.
        rules: constants of the deployment.
        first_block: block of the deployment.
        models: re-derives the models; None checks the ledger only.
    """
    for _ in range(MAX_TRIES):
        events = await read_history(chain, first_block)
        report = _ledger(events, rules, await _seed_hashes(chain, events))
        await _compare_with_chain(chain, report)
        # The contracts answer for the newest block: if more happened meanwhile, look again at everything.
        if len(await read_history(chain, first_block)) == len(events):
            break
    if models is not None:
        outcome = await models.run(report.state)
        report.checked.update(outcome.checked)
        report.findings += outcome.findings
        report.model_hashes = {number: digest.hex() for number, digest in outcome.hashes.items()}
    report.ok = not report.findings
    return report


async def _seed_hashes(chain: Chain, events: Sequence[ChainEvent]) -> Mapping[int, bytes | None]:
    """Hashes of the blocks that rings and juries were drawn from."""
    pinning = ("SeedPinned", "DisputeOpened", "JurySeedPinned")
    blocks = {event.arguments["seedBlock"] for event in events if event.name in pinning}
    return {number: await chain.block_hash(number) for number in sorted(blocks)}


def _ledger(events: Sequence[ChainEvent], rules: AuditRules, seed_hashes: Mapping[int, bytes | None]) -> AuditReport:
    ledger = replay(events, rules, seed_hashes.get)
    findings = [f"{entry.what} (block {entry.block}, transaction {entry.transaction})" for entry in ledger.findings]
    return AuditReport(state=ledger.state, checked=dict(ledger.checked), findings=findings)


async def _compare_with_chain(chain: Chain, report: AuditReport) -> None:
    """Hold the rebuilt balances and stakes against what the contracts answer."""

    def compare(subject: str, recorded: int, computed: int, whose: str) -> None:
        report.checked[subject] = report.checked.get(subject, 0) + 1
        if recorded != computed:
            report.findings.append(
                f"{subject} of {whose}: the contract says {recorded}, the events add up to {computed}."
            )

    state = report.state
    for address, amount in sorted(state.balances.items()):
        compare("balances", await chain.read(Call("ContributionToken", "balanceOf", (address,))), amount, address)
    for address, member in sorted(state.members.items()):
        views = {
            "stakeOf": ("stakes", member.stake),
            "unvestedOf": ("unvested grants", member.unvested),
            "statusOf": ("standings", int(member.status)),
            "admittedIn": ("rounds of admission", member.admitted_in),
        }
        for view, (subject, computed) in views.items():
            compare(subject, await chain.read(Call("MemberRegistry", view, (address,))), computed, address)
    for number, seat in sorted(state.seats.items()):
        holder, expires_at = await chain.read(Call("MemberRegistry", "seatOf", (number,)))
        is_same = holder == seat.holder
        compare("terms", expires_at, seat.expires_at if is_same else -1, f"seat {number}, held by {holder}")
    total = sum(member.stake for member in state.members.values())
    compare("stakes", await chain.read(Call("MemberRegistry", "totalStake")), total, "the registry")
    compare("grants", await chain.read(Call("MemberRegistry", "grantsMinted")), state.granted, "the registry")
    compare("supply", await chain.read(Call("ContributionToken", "totalSupply")), state.supply, "the token")
