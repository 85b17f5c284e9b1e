"""Reference model of MemberRegistry, part 2: applications, committee, grants and their vesting, stakes, exits, slashes, bans."""

from __future__ import annotations

from incentives.slashing import BPS, divide, penalty_up
from node.protocol.types import Address, MemberStatus, Phase, UpdateStatus
from node.sim.abi import ZERO_ADDRESS, Transaction, external
from node.sim.registry_storage import (
    ENTRY_JOIN,
    LONGEST_TERM,
    MAX_PEER_ID_BYTES,
    VESTING_UPDATES,
    Account,
    Application,
    ApplicationState,
    RegistryStorage,
    RegistryWiring,
    Seat,
)

__all__ = ["ApplicationState", "MemberRegistry", "RegistryWiring"]


class MemberRegistry(RegistryStorage):
    """Who belongs to the community, and what each has at stake; constructed as `RegistryStorage` says."""

    # --- joining ---

    @external("bytes32", "bytes32", "bytes", "bytes32")
    def apply_to_join(
        self, transaction: Transaction, request_hash: bytes, request_cid: bytes, peer_id: bytes, encryption_key: bytes
    ) -> int:
        """Ask to be admitted."""
        sender = transaction.sender
        self._require_unpaused(transaction)
        self._require_status(transaction, sender, MemberStatus.NONE)
        self._check_peer_id(transaction, peer_id)
        transaction.effects()
        number = len(self._applications) + 1
        self._applications[number] = Application(sender)
        self.accounts[sender] = Account(MemberStatus.APPLIED, peer_id=peer_id)
        transaction.emit(
            self.NAME,
            "Applied",
            application=number,
            applicant=sender,
            requestHash=request_hash,
            requestCid=request_cid,
            peerId=peer_id,
            encryptionKey=encryption_key,
        )
        return number

    @external("uint256", "bool", "bytes32")
    def review(
        self,
        transaction: Transaction,
        application: int,
        approve: bool,  # noqa: FBT001 - the contract's signature
        reason_hash: bytes,
    ) -> None:
        """Vote on an application; committee seats only, once each."""
        sender = transaction.sender
        self._require_unpaused(transaction)
        seat = self._require_seat(transaction)
        found = self.application(application)
        is_open = found.state is ApplicationState.OPEN
        transaction.require(is_open, "ApplicationNotOpen", application, int(found.state))
        self._require_status(transaction, found.applicant, MemberStatus.APPLIED)
        transaction.require(seat not in found.verdicts, "AlreadyReviewed", application, sender)
        is_approved = approve and found.approvals + 1 >= self._params.threshold
        if is_approved and not self._params.veto_window:
            self._check_admission(transaction)
        transaction.effects()
        found.verdicts[seat] = approve
        transaction.emit(
            self.NAME, "Reviewed", application=application, reviewer=sender, approve=approve, reasonHash=reason_hash
        )
        refusals = len(found.verdicts) - found.approvals
        if is_approved:
            self._approve(transaction, application, found)
        elif not approve and refusals > len(self._seats) - self._params.threshold:
            self._reject(transaction, application, found)

    @external("uint256", "bytes32")
    def veto(self, transaction: Transaction, application: int, reason_hash: bytes) -> None:
        """Object to an approved application; committee seats only, once each, until its window is over."""
        sender, now = transaction.sender, transaction.timestamp
        seat = self._require_seat(transaction)
        found = self._require_probation(transaction, application)
        transaction.require(now < found.admit_at, "VetoWindowOver", found.admit_at, now)
        transaction.require(seat not in found.vetoes, "AlreadyVetoed", application, sender)
        transaction.effects()
        found.vetoes.add(seat)
        transaction.emit(self.NAME, "Vetoed", application=application, reviewer=sender, reasonHash=reason_hash)
        if len(found.vetoes) == self._params.veto_threshold:
            self._reject(transaction, application, found)

    @external("uint256")
    def admit(self, transaction: Transaction, application: int) -> None:
        """Anyone: admit an approved applicant whose veto window is over."""
        now = transaction.timestamp
        self._require_unpaused(transaction)
        found = self._require_probation(transaction, application)
        transaction.require(now >= found.admit_at, "VetoWindowOpen", found.admit_at, now)
        self._check_admission(transaction)
        transaction.effects()
        self._admit(transaction, application, found)

    @external("bytes", "bytes32")
    def update_peer(self, transaction: Transaction, peer_id: bytes, encryption_key: bytes) -> None:
        """Change how others reach a member."""
        sender = transaction.sender
        status = self.status_of(sender)
        is_member = status in (MemberStatus.ACTIVE, MemberStatus.EXITING)
        transaction.require(is_member, "WrongStatus", sender, int(status), int(MemberStatus.ACTIVE))
        self._check_peer_id(transaction, peer_id)
        transaction.effects()
        self.accounts[sender].peer_id = peer_id
        transaction.emit(self.NAME, "PeerUpdated", member=sender, peerId=peer_id, encryptionKey=encryption_key)

    def _approve(self, transaction: Transaction, application: int, found: Application) -> None:
        if not self._params.veto_window:
            self._admit(transaction, application, found)
            return
        found.state = ApplicationState.PROBATION
        found.admit_at = transaction.timestamp + self._params.veto_window
        self.accounts[found.applicant].status = MemberStatus.PROBATION
        transaction.emit(
            self.NAME, "ProbationStarted", application=application, applicant=found.applicant, admitAt=found.admit_at
        )

    def _reject(self, transaction: Transaction, application: int, found: Application) -> None:
        found.state = ApplicationState.REFUSED
        self.accounts[found.applicant] = Account()
        transaction.emit(self.NAME, "Rejected", application=application, applicant=found.applicant)

    def _check_admission(self, transaction: Transaction) -> None:
        """What every admission needs besides approval: budget, then rate."""
        granted, now = self._granted + self._params.grant, transaction.timestamp
        budget = self._params.grant_budget
        transaction.require(granted <= budget, "GrantBudgetExhausted", granted, budget)
        next_at = self._bucket.next_at(now)
        transaction.require(next_at <= now, "AdmissionsLimited", next_at, now)
        self._token.check_cap(transaction, self._params.grant)

    def _admit(self, transaction: Transaction, application: int, found: Application) -> None:
        grant = self._params.grant
        self._bucket.take(transaction.timestamp)
        self._granted += grant
        found.state = ApplicationState.APPROVED
        account = self.accounts[found.applicant]
        account.status = MemberStatus.ACTIVE
        account.unvested = grant
        account.admitted_in = self.rounds.current_round()
        self._set_stake(transaction, account, grant)
        transaction.emit(self.NAME, "Admitted", application=application, member=found.applicant, grant=grant)
        self._token.move(transaction, ZERO_ADDRESS, self.address, grant)

    # --- stake ---

    @external("uint96")
    def bond(self, transaction: Transaction, amount: int) -> None:
        """Add own tokens to the stake; needs an allowance."""
        sender = transaction.sender
        self._require_status(transaction, sender, MemberStatus.ACTIVE)
        self._token.check_spend(transaction, sender, self.address, amount)
        transaction.effects()
        account = self.accounts[sender]
        self._set_stake(transaction, account, account.stake + amount)
        transaction.emit(self.NAME, "Bonded", member=sender, amount=amount, stake=account.stake)
        self._token.spend(transaction, sender, self.address, self.address, amount)

    @external("uint256", "uint16")
    def vest(self, transaction: Transaction, round_number: int, index: int) -> int:
        """Anyone, once per accepted update: a fifth of its owner's grant becomes the owner's; the amount."""
        phase = Phase(self.rounds.phase_of(round_number)[0])
        transaction.require(phase is Phase.FINALIZED, "RoundNotFinalized", round_number, int(phase))
        status, _gain, _weight, _is_retried, is_forfeited = self.rounds.result_of(round_number, index)
        is_accepted = status == UpdateStatus.ACCEPTED
        transaction.require(is_accepted, "UpdateNotAccepted", round_number, index, int(status))
        transaction.require(not is_forfeited, "UpdateIsForfeited", round_number, index)
        is_new = (round_number, index) not in self._vested
        transaction.require(is_new, "AlreadyVested", round_number, index)
        owner = self.rounds.owner_of(round_number, index)
        account = self.account(owner)
        transaction.require(account.unvested, "NothingToVest", owner)
        is_later = round_number > account.admitted_in
        transaction.require(is_later, "OlderThanGrant", round_number, account.admitted_in)
        transaction.effects()
        amount = vesting(account.unvested, self._params.grant)
        self._vested.add((round_number, index))
        account.unvested -= amount
        transaction.emit(
            self.NAME,
            "Vested",
            member=owner,
            round=round_number,
            index=index,
            amount=amount,
            unvested=account.unvested,
        )
        return amount

    @external()
    def start_exit(self, transaction: Transaction) -> None:
        """Begin to leave; the stake stays slashable for the exit delay."""
        sender = transaction.sender
        self._require_status(transaction, sender, MemberStatus.ACTIVE)
        transaction.effects()
        account = self.accounts[sender]
        self._eligible -= self.is_counted(account)
        account.status = MemberStatus.EXITING
        account.exit_at = transaction.timestamp + self._params.exit_delay
        transaction.emit(self.NAME, "ExitStarted", member=sender, exitAt=account.exit_at)

    @external()
    def finish_exit(self, transaction: Transaction) -> None:
        """Leave: what is unvested of the grant burns, the rest of the stake is paid out."""
        sender = transaction.sender
        self._require_status(transaction, sender, MemberStatus.EXITING)
        account = self.accounts[sender]
        now = transaction.timestamp
        transaction.require(now >= account.exit_at, "ExitTooEarly", account.exit_at, now)
        transaction.effects()
        burned, paid = account.unvested, account.stake - account.unvested
        self.accounts[sender] = Account()
        transaction.emit(self.NAME, "Exited", member=sender, paid=paid, burned=burned)
        self._token.move(transaction, self.address, ZERO_ADDRESS, burned)
        self._token.move(transaction, self.address, sender, paid)

    # --- court and timelock ---

    @external("address", "uint16", "uint8", "uint256", "address")
    def slash(  # noqa: PLR0917 - the contract's signature
        self, transaction: Transaction, member: Address, bps: int, fault: int, round_number: int, prover: Address
    ) -> int:
        """Take ``bps`` of a stake, rounded up; the court only."""
        self._require_court(transaction)
        transaction.require(bps <= BPS, "PenaltyAboveWhole", bps, BPS)
        transaction.effects()
        return self.take(transaction, member, bps, fault, round_number, prover)

    def take(  # noqa: PLR0917 - the same arguments as `slash`
        self, transaction: Transaction, member: Address, bps: int, fault: int, round_number: int, prover: Address
    ) -> int:
        """Effect of `slash`: the amount taken. The own part goes first, so a grant is no cushion; only it pays a bounty."""
        account = self.account(member)
        amount = penalty_up(account.stake, bps)
        own = account.stake - account.unvested
        burned, bounty = divide(amount, own=own, is_proven=prover != ZERO_ADDRESS)
        if amount:
            self._set_stake(transaction, account, account.stake - amount)
            account.unvested = min(account.unvested, account.stake)
        transaction.emit(
            self.NAME,
            "Slashed",
            member=member,
            round=round_number,
            fault=fault,
            amount=amount,
            burned=burned,
            bounty=bounty,
            prover=prover,
            stake=account.stake,
        )
        self._token.move(transaction, self.address, ZERO_ADDRESS, burned)
        if bounty:
            self._token.move(transaction, self.address, prover, bounty)
        return amount

    @external("address")
    def ban(self, transaction: Transaction, account: Address) -> None:
        """Shut an account out for ever; the court only."""
        self._require_court(transaction)
        transaction.effects()
        self.shut_out(transaction, account)

    def shut_out(self, transaction: Transaction, address: Address) -> None:
        """Effect of `ban`: what penalties left of the stake burns."""
        account = self.account(address)
        if account.status is MemberStatus.BANNED:
            return
        self._eligible -= self.is_counted(account)
        self.accounts[address] = Account(MemberStatus.BANNED)
        transaction.emit(self.NAME, "Banned", account=address, burned=account.stake)
        self._token.move(transaction, self.address, ZERO_ADDRESS, account.stake)

    @external("uint256", "address", "uint40")
    def set_seat(self, transaction: Transaction, seat: int, holder: Address, expires_at: int) -> None:
        """Give a committee seat to an account for a term, or empty it; the timelock only."""
        sender, now = transaction.sender, transaction.timestamp
        timelock = self._wiring.timelock
        transaction.require(sender == timelock, "NotTimelock", sender, timelock)
        self.seat(seat)
        least, most = (0, 0) if holder == ZERO_ADDRESS else (now + 1, now + LONGEST_TERM)
        transaction.require(least <= expires_at <= most, "BadTerm", expires_at, least, most)
        if holder != ZERO_ADDRESS:
            taken = self._seat_held_by(holder)
            transaction.require(taken in (None, seat), "SeatTaken", holder, taken)
        transaction.effects()
        self._seats[seat] = Seat(holder, expires_at)
        transaction.emit(self.NAME, "SeatSet", seat=seat, holder=holder, expiresAt=expires_at)

    # --- helpers ---

    def _require_unpaused(self, transaction: Transaction) -> None:
        guardian = self._wiring.guardian
        transaction.require(guardian is None or not guardian.is_paused(ENTRY_JOIN), "JoiningPaused")

    def _require_court(self, transaction: Transaction) -> None:
        sender, court = transaction.sender, self._wiring.court
        transaction.require(sender == court, "NotCourt", sender, court)

    def _require_status(self, transaction: Transaction, account: Address, expected: MemberStatus) -> None:
        actual = self.status_of(account)
        transaction.require(actual is expected, "WrongStatus", account, int(actual), int(expected))

    def _require_seat(self, transaction: Transaction) -> int:
        """Number of the sender's seat, within its term."""
        sender, now = transaction.sender, transaction.timestamp
        number = self._seat_held_by(sender)
        if number is None:
            transaction.revert("NotSeatHolder", sender)
        expires_at = self._seats[number].expires_at
        transaction.require(now < expires_at, "SeatExpired", number, expires_at, now)
        return number

    def _require_probation(self, transaction: Transaction, application: int) -> Application:
        found = self.application(application)
        is_on_probation = found.state is ApplicationState.PROBATION
        transaction.require(is_on_probation, "NotInProbation", application, int(found.state))
        self._require_status(transaction, found.applicant, MemberStatus.PROBATION)
        return found

    def _seat_held_by(self, holder: Address) -> int | None:
        """The seat an account has, expired or not."""
        return next((number for number, seat in enumerate(self._seats) if seat.holder == holder), None)

    @staticmethod
    def _check_peer_id(transaction: Transaction, peer_id: bytes) -> None:
        transaction.require(len(peer_id) <= MAX_PEER_ID_BYTES, "PeerIdTooLong", len(peer_id), MAX_PEER_ID_BYTES)

    def _set_stake(self, transaction: Transaction, account: Account, stake: int) -> None:
        """Change a stake and keep the count of eligible members; becoming eligible starts its clock anew."""
        was_counted = account.eligible_since > 0 and self.is_counted(account)
        account.stake = stake
        is_counted = self.is_counted(account)
        if is_counted and not was_counted:
            account.eligible_since = transaction.timestamp
        elif was_counted and not is_counted:
            account.eligible_since = 0
        self._eligible += is_counted - was_counted


def vesting(unvested: int, grant: int) -> int:
    """What one accepted update vests: ⌊grant / 5⌋, or all that is left where that is less, or more by the rounding alone."""
    fifth = grant // VESTING_UPDATES
    return unvested if unvested < fifth + VESTING_UPDATES else fifth
