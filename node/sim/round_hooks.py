"""Reference model of RoundManager, part 4: what the court, and nobody else, may correct while a round is in Challenge."""

from __future__ import annotations

from node.protocol.types import Phase, UpdateStatus, VoidReason
from node.sim.abi import Transaction, external
from node.sim.round_state import RoundRecord
from node.sim.rounds import RoundActs


class RoundManager(RoundActs):
    """Hooks of the RoundCourt, whose own functions use the effects directly."""

    @external("uint256", "uint40")
    def extend(self, transaction: Transaction, round_number: int, until: int) -> None:
        """Keep Challenge open until ``until`` at least."""
        self._require_court(transaction)
        found = self.in_phase(transaction, round_number, Phase.CHALLENGE)
        latest = transaction.timestamp + self._params.dispute_duration
        transaction.require(until <= latest, "ExtensionTooLong", until, latest)
        transaction.effects()
        self.prolong(transaction, found, until)

    @external("uint256", "uint16", "uint8", "int256")
    def rescore(self, transaction: Transaction, round_number: int, index: int, status: int, gain: int) -> None:
        """Replace the verdict on one update."""
        self._require_court(transaction)
        found = self._judged(transaction, round_number)
        self.ring(round_number, index)
        transaction.effects()
        self.overturn(transaction, found, index, UpdateStatus(status), gain)

    @external("uint256")
    def void_round(self, transaction: Transaction, round_number: int) -> None:
        """End the round without a model."""
        self._require_court(transaction)
        found = self._judged(transaction, round_number)
        transaction.effects()
        self.void(transaction, found)

    @external("uint256", "uint16")
    def forfeit(self, transaction: Transaction, round_number: int, index: int) -> None:
        """Pay the owner of one update nothing."""
        self._require_court(transaction)
        found = self._rounds.get(round_number)
        actual = Phase.NONE if found is None else found.phase
        if found is None or actual is not Phase.CHALLENGE:
            transaction.revert("WrongPhase", int(actual), int(Phase.CHALLENGE))
        self.ring(round_number, index)
        transaction.effects()
        self.deny(transaction, found, index)

    # --- effects ---

    def prolong(self, transaction: Transaction, found: RoundRecord, until: int) -> None:
        """Effect of `extend`."""
        if until <= found.deadline:
            return
        found.deadline = until
        transaction.emit(self.NAME, "DeadlineExtended", round=found.number, deadline=until)

    def overturn(
        self, transaction: Transaction, found: RoundRecord, index: int, status: UpdateStatus, gain: int
    ) -> None:
        """Effect of `rescore`: where the accepted set changes, the aggregate is no longer theirs and the round is void."""
        participant = found.participants[index]
        before, weight = participant.status, participant.weight
        participant.set_verdict(status, gain, found.scoring.gain_cap)
        found.sum_weight += participant.weight - weight
        was_accepted, is_accepted = before is UpdateStatus.ACCEPTED, status is UpdateStatus.ACCEPTED
        found.accepted += is_accepted - was_accepted
        transaction.emit(
            self.NAME,
            "UpdateRescored",
            round=found.number,
            index=index,
            trainer=participant.owner,
            status=int(status),
            gain=gain,
            weight=participant.weight,
        )
        if was_accepted is not is_accepted:
            self.void(transaction, found)

    def void(self, transaction: Transaction, found: RoundRecord) -> None:
        """Effect of `voidRound`; nothing where a jury voided it already."""
        if found.phase is Phase.VOIDED:
            return
        found.void_reason = VoidReason.COURT_VOIDED
        self.enter(transaction, found, Phase.VOIDED)
        transaction.emit(self.NAME, "RoundVoided", round=found.number, reason=int(found.void_reason))

    def deny(self, transaction: Transaction, found: RoundRecord, index: int) -> None:
        """Effect of `forfeit`."""
        participant = found.participants[index]
        participant.is_forfeited = True
        transaction.emit(self.NAME, "UpdateForfeited", round=found.number, index=index, trainer=participant.owner)

    def _require_court(self, transaction: Transaction) -> None:
        sender = transaction.sender
        transaction.require(sender == self._court, "NotCourt", sender, self._court)

    def _judged(self, transaction: Transaction, round_number: int) -> RoundRecord:
        """Record of a round that a jury's verdict may change: in Challenge before its deadline, or voided by a jury."""
        found = self._rounds.get(round_number)
        if found is not None and found.void_reason is VoidReason.COURT_VOIDED:
            return found
        return self.in_phase(transaction, round_number, Phase.CHALLENGE)
