"""The auditor's checks of the guardian: pauses within their bounds, and nothing done at a paused entry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from node.audit.base import ZERO, Check, Checks
from node.protocol.governance import Entry, Pause

DAY = 24 * 3600
MAX_PAUSE = 14 * DAY
MAX_PAUSED_TOTAL = 30 * DAY


class GuardianChecks(Checks):
    """Pauses, and what they stop."""

    def handlers(self) -> Mapping[tuple[str, str], Check]:
        """The guardian's events, and acts that a pause stops. Locks and releases are checked where they belong."""
        registry = "MemberRegistry"
        return {
            ("Guardian", "Paused"): self._paused,
            ("Guardian", "Unpaused"): self._unpaused,
            (registry, "Applied"): lambda _: self._open(Entry.JOIN),
            (registry, "Reviewed"): lambda _: self._open(Entry.JOIN),
            (registry, "Admitted"): lambda _: self._open(Entry.JOIN),
            ("RoundManager", "RoundOpened"): lambda _: self._open(Entry.OPEN_ROUND),
        }

    def _pause_of(self, entry: Entry) -> Pause:
        return self.state.governance.pauses.get(entry, Pause(0, 0))

    def _paused(self, a: Mapping[str, Any]) -> None:
        entry = Entry(a["entry"])
        before, until = self._pause_of(entry), self.rules.guardian_until
        start = max(self.now, before.until)
        in_office = self.now < until and self.state.governance.guardian != ZERO
        self.expect("guardian", in_office, f"{entry.name} was paused, but there is no guardian.")
        most = min(self.now + MAX_PAUSE, until)
        self.expect("guardian", start < a["until"] <= most, f"{entry.name} was paused for longer than a guardian may.")
        self.equal("guardian", a["paused"], before.paused + a["until"] - start, f"seconds that {entry.name} was paused")
        self.expect(
            "guardian", a["paused"] <= MAX_PAUSED_TOTAL, f"All pauses of {entry.name} are longer than they may be."
        )

    def _unpaused(self, a: Mapping[str, Any]) -> None:
        entry = Entry(a["entry"])
        before = self._pause_of(entry)
        self.expect("guardian", self.now < before.until, f"{entry.name} was opened, but was not paused.")
        self.equal(
            "guardian", a["paused"], before.paused - (before.until - self.now), f"pauses of {entry.name} given back"
        )

    def _open(self, entry: Entry) -> None:
        is_open = not self.state.governance.is_paused(entry, self.now)
        self.expect("pauses", is_open, f"{self.event.name} while {entry.name} was paused.")
