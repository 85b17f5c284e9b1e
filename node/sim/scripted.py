"""A scripted community: members without networks, driven act by act on the reference model. For tests, audits and figures.

Time is a counter: every call makes one block of one second. Whoever is not named in an act stays away from it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from incentives.scoring import encode_gain, pack_word
from node.protocol.commitments import (
    RoundScope,
    attestation,
    benchmark_commitment,
    score_commitment,
    update_commitment,
)
from node.protocol.errors import TransactionReverted
from node.protocol.hashing import keccak256
from node.protocol.sortition import assigned_updates, attesters, verifiers_per_update
from node.protocol.types import Address, Call, ChainEvent, MemberStatus, Phase
from node.sim.abi import Log
from node.sim.ledger import Deployment, Ledger, address_of

START = 1_800_000_000
DEFAULT_GAIN = 5_000


@dataclass(frozen=True, slots=True)
class Script:
    """Who stays away from what in one round, and what verifiers see. Members by number.

    Attributes:
        no_commit: commit no update.
        no_reveal: commit an update and do not open it.
        no_scores: commit no scores.
        hide_scores: commit scores and do not open them.
        no_retry: commit no word for the retry panel.
        hide_retry: commit one and do not open it.
        no_attest: do not attest.
        wrong_attest: attest to another model.
        is_sealed: the steward promises a slice and opens it.
        fields: what honest verifiers write about a member's update, as field of the score word.
        lies: words of liars by member, instead of honest ones.
        retry_lies: the same for the retry panel.
    """

    no_commit: Collection[int] = ()
    no_reveal: Collection[int] = ()
    no_scores: Collection[int] = ()
    hide_scores: Collection[int] = ()
    no_retry: Collection[int] = ()
    hide_retry: Collection[int] = ()
    no_attest: Collection[int] = ()
    wrong_attest: Collection[int] = ()
    is_sealed: bool = True
    fields: Mapping[int, int] | None = None
    lies: Mapping[int, int] | None = None
    retry_lies: Mapping[int, int] | None = None


class Community:
    """Members 0 … size−1 on one ledger; member 0 holds the only committee seat unless the deployment says otherwise.

    Args:
        size: members admitted at the start.
        deployment: constants; the seats default to member 0.
        seed: decides block hashes, so rings.
    """

    def __init__(self, size: int = 5, deployment: Deployment | None = None, *, seed: int = 0) -> None:
        self.members = tuple(address_of(f"member/{place}") for place in range(size))
        chosen = deployment if deployment is not None else Deployment(seats=self.members[:1])
        self.deployment = replace(chosen, deployed_at=chosen.deployed_at or START)
        self.block, self.now = self.start_time()
        self.events: list[ChainEvent] = []
        self.call_by_transaction: dict[bytes, Call] = {}
        self._seed = seed
        self.ledger = Ledger(self.deployment, self._block_hash, lambda: self.now)
        self._record(self.ledger.founding_logs)
        for place, member in enumerate(self.members):
            self.admit(member, f"peer-{place}".encode())
        self.wait(1)

    def call(self, sender: Address, function: str, *arguments: object, contract: str = "RoundManager") -> Any:
        """One transaction in a block of its own; its result.

        Raises:
            TransactionReverted: the contract refused; the block is empty.
        """
        self.wait(1)
        call = Call(contract, function, arguments)
        self.ledger.preflight(sender, call, number=self.block, timestamp=self.now)
        result, logs = self.ledger.execute(sender, call, number=self.block, timestamp=self.now)
        self.call_by_transaction[self._record(logs)] = call
        return result

    def _record(self, logs: Sequence[Log]) -> bytes:
        """Add the logs of one transaction to the events; its identity."""
        identity = keccak256(f"{self._seed}/{self.block}".encode())
        self.events += [
            ChainEvent(log.contract, log.name, log.arguments, self.block, self.now, identity, place)
            for place, log in enumerate(logs)
        ]
        return identity

    def start_time(self) -> tuple[int, int]:
        """(height, timestamp) when the community is founded."""
        return 0, START

    def read(self, function: str, *arguments: object, contract: str = "RoundManager") -> Any:
        """Result of a view function."""
        return self.ledger.read(Call(contract, function, arguments))

    def wait(self, seconds: int) -> None:
        """Let time pass, a block a second."""
        self.now += seconds
        self.block += seconds

    def admit(self, account: Address, peer_id: bytes) -> None:
        """Apply, and have the first seats approve."""
        registry = "MemberRegistry"
        arguments = (bytes(32), bytes(32), peer_id, bytes(32))
        application = self.call(account, "applyToJoin", *arguments, contract=registry)
        for seat in self.deployment.seats[: self.deployment.threshold]:
            self.call(seat, "review", application, True, bytes(32), contract=registry)

    @property
    def round(self) -> int:
        """Number of the newest round."""
        return int(self.read("currentRound"))

    @property
    def phase(self) -> Phase:
        """Phase of the newest round."""
        return Phase(self.read("phaseOf", self.round)[0])

    @property
    def scope(self) -> RoundScope:
        """What commitments of the newest round are bound to."""
        return self._scope(self.round)

    def steward(self, round_number: int) -> Address:
        """Who opens a round."""
        seats = self.deployment.seats
        return seats[round_number % len(seats)]

    def open_round(self, *, is_sealed: bool = True) -> int:
        """The steward opens the next round; unsealed ones only after the open window."""
        number = self.round + 1
        steward = self.steward(number)
        if not is_sealed:
            self.wait(self.deployment.params.open_window + 1)
            return int(self.call(steward, "openRound", bytes(32)))
        commitment = benchmark_commitment(self._scope(number), steward, **self.slice_opening(number))
        return int(self.call(steward, "openRound", commitment))

    def commit(self, place: int) -> None:
        """One member commits its update."""
        member = self.members[place]
        self.call(member, "commitUpdate", self.round, update_commitment(self.scope, member, **self.opening(place)))

    def reveal(self, place: int) -> None:
        """One member opens its update."""
        opening = self.opening(place)
        values = (opening["content_hash"], opening["cid"], opening["samples"], opening["salt"])
        self.call(self.members[place], "revealUpdate", self.round, *values)

    def reveal_slice(self) -> None:
        """The steward opens its slice."""
        opening = self.slice_opening(self.round)
        values = (opening["content_hash"], opening["cid"], opening["salt"])
        self.call(self.steward(self.round), "revealBenchmark", self.round, *values)

    def advance(self) -> Phase:
        """Move on, waiting for the deadline or the seed block where nothing else helps; the phase entered."""
        number = self.round
        call = Call("RoundManager", "advance", (number,))
        try:
            self.ledger.preflight(self.members[0], call, number=self.block + 1, timestamp=self.now + 1)
        except TransactionReverted:
            _, deadline = self.read("phaseOf", number)
            delay = self.deployment.params.seed_delay_blocks if self.phase is Phase.SEED else 0
            self.wait(max(delay, deadline - self.now))
        self.call(self.members[0], "advance", number)
        return self.phase

    def order(self) -> list[int]:
        """Members by index of their revealed updates."""
        owners: list[int] = []
        while (owner := self.read("ownerOf", self.round, len(owners))) in self.members:
            owners.append(self.members.index(owner))
        return owners

    def word_of(self, place: int, fields: Mapping[int, int] | None = None, *, retry: bool = False) -> int:
        """Honest score word of a member for one of the two panels, given what everybody sees."""
        seen = fields if fields is not None else {}
        order = self.order()
        n = len(order)
        k = verifiers_per_update(n, self.deployment.params.max_verifiers)
        assigned = assigned_updates(self.seed, n, order.index(place), k, retry=retry)
        return pack_word([seen.get(order[index], encode_gain(DEFAULT_GAIN)) for index in assigned])

    def commit_scores(self, place: int, word: int, *, retry: bool = False) -> None:
        """One member commits its score word for one of the two panels."""
        member, salt = self.members[place], self.salt(place, "retry" if retry else "scores")
        commitment = score_commitment(self.scope, member, word=word, salt=salt)
        self.call(member, "commitScores", self.round, self.order().index(place), commitment)

    def reveal_scores(self, place: int, word: int, *, retry: bool = False) -> None:
        """One member opens its score word for one of the two panels."""
        index, salt = self.order().index(place), self.salt(place, "retry" if retry else "scores")
        self.call(self.members[place], "revealScores", self.round, index, word, salt)

    def on_duty(self) -> list[int]:
        """Members that have an Unscored update to score again."""
        number = self.round
        return [
            place
            for index, place in enumerate(self.order())
            if self.read("hasRetryDuty", number, index, contract="RoundCourt")
        ]

    def settle(self) -> None:
        """Settle everything, in batches."""
        indices = tuple(range(len(self.order())))
        for start in range(0, len(indices), 16):
            self.call(self.members[0], "settle", self.round, indices[start : start + 16])

    def slots(self) -> dict[int, int]:
        """Attestation slot of each member that has one."""
        order = self.order()
        found = attesters(self.seed, len(order), self.deployment.params.max_attesters)
        return {order[index]: slot for slot, index in enumerate(found)}

    def attest(self, place: int, *, is_wrong: bool = False) -> None:
        """One member attests, to the right model or to another."""
        secret, model_hash, cid = self.model(self.round + 1_000_000 if is_wrong else self.round)
        member = self.members[place]
        value = attestation(self.round, member, secret=secret, model_hash=model_hash, cid=cid)
        self.call(member, "attest", self.round, self.slots()[place], value)

    def propose(self) -> None:
        """Member 0 proposes the right model."""
        self.call(self.members[0], "proposeAggregate", self.round, *self.model(self.round))

    def claim_all(self) -> None:
        """Claim every reward and the treasury's share of the newest round."""
        for index in range(len(self.order())):
            self.call(self.members[0], "claim", self.round, index, contract="RewardDistributor")
        self.call(self.members[0], "claimTreasury", self.round, contract="RewardDistributor")

    def play(self, script: Script | None = None) -> Phase:
        """One whole round by script, claims excluded; Finalized, or Voided on the way."""
        if self.play_until_challenge(script) is not Phase.VOIDED:
            self.advance()
        return self.phase

    def play_until_challenge(self, script: Script | None = None) -> Phase:
        """One round by script until it can be disputed; Challenge, or Voided on the way."""
        script = script if script is not None else Script()
        for step in (self._play_updates, self._play_scores, self._play_attestations):
            step(script)
            if self.phase is Phase.VOIDED:
                break
        return self.phase

    def _play_updates(self, script: Script) -> None:
        self.open_round(is_sealed=script.is_sealed)
        committed = [p for p in self._active() if p not in script.no_commit]
        for place in committed:
            self.commit(place)
        if self.advance() is Phase.VOIDED:
            return
        for place in committed:
            if place not in script.no_reveal:
                self.reveal(place)
        if script.is_sealed:
            self.reveal_slice()
        self.advance()

    def _play_scores(self, script: Script) -> None:
        self.advance()
        lies = script.lies if script.lies is not None else {}
        scorers = [place for place in self.order() if place not in script.no_scores]
        words = {place: lies.get(place, self.word_of(place, script.fields)) for place in scorers}
        for place in scorers:
            self.commit_scores(place, words[place])
        self.advance()
        for place in scorers:
            if place not in script.hide_scores:
                self.reveal_scores(place, words[place])
        self.advance()
        self.settle()
        if self.advance() is Phase.RETRY_COMMIT:
            self._play_retry(script)

    def _play_retry(self, script: Script) -> None:
        lies = script.retry_lies if script.retry_lies is not None else {}
        scorers = [place for place in self.on_duty() if place not in script.no_retry]
        words = {place: lies.get(place, self.word_of(place, script.fields, retry=True)) for place in scorers}
        for place in scorers:
            self.commit_scores(place, words[place], retry=True)
        self.advance()
        for place in scorers:
            if place not in script.hide_retry:
                self.reveal_scores(place, words[place], retry=True)
        self.advance()
        self.settle()
        self.advance()

    def _play_attestations(self, script: Script) -> None:
        for place in self.slots():
            if place not in script.no_attest:
                self.attest(place, is_wrong=place in script.wrong_attest)
        right = len(set(self.slots()) - set(script.no_attest) - set(script.wrong_attest))
        if 3 * right > 2 * len(self.slots()):
            self.propose()
        else:
            self.advance()

    def opening(self, place: int) -> dict[str, Any]:
        """What opens a member's update commitment."""
        label = f"update/{self.round}/{place}"
        return {
            "content_hash": _made_up(f"{label}/content"),
            "cid": _made_up(f"{label}/cid"),
            "samples": 100 + place,
            "salt": self.salt(place, "update"),
        }

    def slice_opening(self, round_number: int) -> dict[str, bytes]:
        """What opens the steward's commitment."""
        return {name: _made_up(f"slice/{round_number}/{name}") for name in ("content_hash", "cid", "salt")}

    def model(self, round_number: int) -> tuple[bytes, bytes, bytes]:
        """(secret, model hash, CID) of the model a round makes."""
        secret, model_hash, cid = (_made_up(f"model/{round_number}/{part}") for part in ("secret", "hash", "cid"))
        return secret, model_hash, cid

    def salt(self, place: int, label: str) -> bytes:
        """Salt of a member's commitment in the newest round."""
        return _made_up(f"salt/{self.round}/{place}/{label}")

    @property
    def seed(self) -> bytes:
        """Seed of the newest round's ring, from its event."""
        return next(bytes(event.arguments["seed"]) for event in reversed(self.events) if event.name == "SeedDrawn")

    def _active(self) -> Iterable[int]:
        for place, member in enumerate(self.members):
            if self.read("statusOf", member, contract="MemberRegistry") is MemberStatus.ACTIVE:
                yield place

    def _scope(self, number: int) -> RoundScope:
        return RoundScope(self.deployment.chain_id, self.ledger.rounds.address, number)

    def block_hash(self, number: int) -> bytes:
        """Hash of a block."""
        return self._block_hash(number)

    def _block_hash(self, number: int) -> bytes:
        return _made_up(f"block/{self._seed}/{number}")


def _made_up(label: str) -> bytes:
    return keccak256(label.encode())
