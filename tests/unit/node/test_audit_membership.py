"""The audit of membership: an honest history with everything in it adds up, every kind of tampering is found, and I22."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from node.audit.ledger import AuditRules, LedgerAudit, replay
from node.audit.report import audit
from node.protocol.types import Address, ChainEvent, MemberStatus
from node.sim.abi import ZERO_ADDRESS
from node.sim.chain import SimChain
from node.sim.clock import VirtualClock, run_virtual
from node.sim.ledger import Deployment, address_of
from node.sim.rules import audit_rules
from node.sim.scripted import Community, Script

REGISTRY = "MemberRegistry"
DAY = 24 * 3600
SEATS = tuple(address_of(f"seat/{place}") for place in range(3))
B32 = b"\x01" * 32
ALICE, BOB, CAROL, DAVE = (address_of(name) for name in ("alice", "bob", "carol", "dave"))
DEPLOYMENT = Deployment(
    seats=SEATS, threshold=2, veto_threshold=2, veto_window=DAY, admission_burst=4, admissions_per_day=1, exit_delay=DAY
)


def history() -> Community:
    """Three members play; one leaves; of four applicants one is refused, one vetoed, one admitted, one banned on probation."""
    community = Community(0, DEPLOYMENT)

    def act(sender: Address, function: str, *arguments: object) -> Any:
        return community.call(sender, function, *arguments, contract=REGISTRY)

    def asked(account: Address, *, approve: bool) -> int:
        number = int(act(account, "applyToJoin", B32, B32, b"peer", B32))
        for seat in SEATS[:2]:
            act(seat, "review", number, approve, B32)
        return number

    members = tuple(address_of(f"member/{place}") for place in range(3))
    numbers = [asked(member, approve=True) for member in members]
    community.wait(DAY)
    for number in numbers:
        act(BOB, "admit", number)
    community.members = members
    community.wait(1)
    community.play(Script(is_sealed=False))
    community.claim_all()
    for index in range(3):
        act(BOB, "vest", 1, index)
    court, timelock = community.ledger.court.address, DEPLOYMENT.timelock
    act(court, "slash", members[1], 2_500, 7, 1, BOB)
    act(members[2], "updatePeer", b"elsewhere", B32)
    act(members[2], "startExit")
    asked(ALICE, approve=False)
    number = asked(BOB, approve=True)
    for seat in SEATS[1:]:
        act(seat, "veto", number, B32)
    number, last = asked(CAROL, approve=True), asked(DAVE, approve=True)
    assert last > number
    act(court, "ban", DAVE)
    act(court, "ban", members[0])
    act(timelock, "setSeat", 2, ALICE, community.now + 10 * DAY)
    community.wait(DAY)
    act(BOB, "admit", number)
    act(members[2], "finishExit")
    act(timelock, "setSeat", 1, ZERO_ADDRESS, 0)
    return community


COMMUNITY = history()
EVENTS = tuple(COMMUNITY.events)
HONEST = {
    f"{address_of('dave')} was banned without a lie.",
    f"{COMMUNITY.members[0]} was banned without a lie.",
    f"{COMMUNITY.members[1]} was slashed in round 1, but the court never said why.",
    "The call 0x1f8adf50 of MemberRegistry had its effect, but the timelock never made it.",
}
"""What is found in the history as it is: the slash, the bans and the seats were the test's doing, in the name of court and timelock."""


def rules() -> AuditRules:
    return audit_rules(COMMUNITY.ledger)


def audited(events: Sequence[ChainEvent]) -> LedgerAudit:
    return replay(list(events), rules(), COMMUNITY._block_hash)


def test_an_honest_history_adds_up():
    result = audited(EVENTS)
    assert {finding.what for finding in result.findings} == HONEST
    for subject in ("seats", "reviews", "vetoes", "admissions", "rejections", "vesting", "exits", "bans", "slashes"):
        assert result.checked[subject], subject


def test_i22_the_fold_is_what_the_registry_stores():
    state = audited(EVENTS).state

    def read(function: str, *arguments: object) -> Any:
        return COMMUNITY.read(function, *arguments, contract=REGISTRY)

    assert {member.status for member in state.members.values()} == set(MemberStatus) - {
        MemberStatus.APPLIED,
        MemberStatus.PROBATION,
        MemberStatus.EXITING,
    }
    for address, member in state.members.items():
        assert member.status is read("statusOf", address)
        assert (member.stake, member.unvested) == (read("stakeOf", address), read("unvestedOf", address))
        assert (member.admitted_in, member.exit_at) == (read("admittedIn", address), read("exitAtOf", address))
    for number, seat in state.seats.items():
        assert (seat.holder, seat.expires_at) == read("seatOf", number)
    for number, application in state.applications.items():
        votes = list(state.reviews[number].values())
        assert application.applicant == read("applicationOf", number)[0]
        assert (sum(votes), len(votes) - sum(votes)) == read("applicationOf", number)[2:]
        assert (application.admit_at, len(application.vetoes)) == read("probationOf", number)
    assert all(read("isVested", 1, index) == (index in state.rounds[1].vested) for index in range(4))
    assert state.granted == read("grantsMinted")
    assert sum(member.stake for member in state.members.values()) == read("totalStake")
    assert state.peer_ids[COMMUNITY.members[2]] == "elsewhere"


def index_of(name: str, nth: int = 0) -> int:
    return [place for place, event in enumerate(EVENTS) if event.name == name][nth]


def changed(name: str, nth: int = 0, **arguments: Callable[[Any], Any]) -> tuple[ChainEvent, ...]:
    at = index_of(name, nth)
    event = EVENTS[at]
    values = {key: change(event.arguments[key]) for key, change in arguments.items()}
    return (*EVENTS[:at], replace(event, arguments={**event.arguments, **values}), *EVENTS[at + 1 :])


def without(name: str, nth: int = 0) -> tuple[ChainEvent, ...]:
    at = index_of(name, nth)
    return (*EVENTS[:at], *EVENTS[at + 1 :])


def earlier(name: str, seconds: int) -> tuple[ChainEvent, ...]:
    at = index_of(name)
    return (*EVENTS[:at], replace(EVENTS[at], timestamp=EVENTS[at].timestamp - seconds), *EVENTS[at + 1 :])


def more(value: int) -> int:
    return value + 1


TAMPERINGS = {
    "a founding seat": changed("SeatSet", holder=lambda _: BOB),
    "a founding term": changed("SeatSet", expiresAt=more),
    "a second seat": changed("SeatSet", 3, holder=lambda _: SEATS[0]),
    "a review without a seat": changed("Reviewed", reviewer=lambda _: ALICE),
    "a review of a stranger's application": without("Applied"),
    "a veto without a seat": changed("Vetoed", reviewer=lambda _: ALICE),
    "a veto twice": changed("Vetoed", 1, reviewer=lambda _: SEATS[1]),
    "a rejection by too few vetoes": without("Vetoed"),
    "a rejection by too few refusals": changed("Reviewed", 6, approve=lambda _: True),
    "a window that is too long": changed("ProbationStarted", admitAt=more),
    "an admission without probation": without("ProbationStarted"),
    "an admission without approval": without("Reviewed", 1),
    "an admission of another": changed("Admitted", member=lambda _: BOB),
    "an admission too soon": earlier("Admitted", DAY),
    "another grant": changed("Admitted", grant=more),
    "vesting too much": changed("Vested", amount=more, unvested=lambda unvested: unvested - 1),
    "vesting another's grant": changed("Vested", member=lambda _: BOB),
    "vesting twice": changed("Vested", 1, index=lambda _: 0),
    "vesting by a round to come": changed("Vested", round=more),
    "a bounty out of the grant": changed("Slashed", bounty=more, burned=lambda burned: burned - 1),
    "a hasty exit": changed("ExitStarted", exitAt=lambda exit_at: exit_at - 1),
    "an exit before its time": earlier("Exited", DAY),
    "an exit that pays too much": changed("Exited", paid=more, burned=lambda burned: burned - 1),
    "a ban that burns too little": changed("Banned", 1, burned=lambda burned: burned - 1),
}


@pytest.mark.parametrize("kind", TAMPERINGS)
def test_tampering_is_found(kind: str):
    assert {finding.what for finding in audited(TAMPERINGS[kind]).findings} - HONEST, kind


def told(events: Sequence[ChainEvent]) -> str:
    return "\n".join(finding.what for finding in audited(events).findings)


def test_the_cause_is_named():
    at = index_of("Reviewed")
    assert "Seat 0 voted twice on application 1." in told((*EVENTS[: at + 1], EVENTS[at], *EVENTS[at + 1 :]))
    assert "owner of update 0 of round 1" in told(changed("Vested", member=lambda _: COMMUNITY.members[1]))


def test_old_work_that_vests_a_new_grant_is_found():
    community = Community(5)
    community.play()
    member, index = community.members[1], community.order().index(1)
    community.call(member, "startExit", contract=REGISTRY)
    community.wait(community.deployment.exit_delay)
    community.call(member, "finishExit", contract=REGISTRY)
    community.admit(member, b"peer")
    bounds = replace(rules(), registry=community.deployment.registry, committee=community.members[:1])
    assert replay(community.events, bounds, community._block_hash).findings == []
    grant = community.deployment.grant
    values = {"member": member, "round": 1, "index": index, "amount": grant // 5, "unvested": grant - grant // 5}
    forged = replace(community.events[-1], contract=REGISTRY, name="Vested", arguments=values)
    found = replay([*community.events, forged], bounds, community._block_hash).findings
    assert [finding.what for finding in found] == [f"The update {index} of round 1 is older than the grant it vested."]


def test_too_many_admissions_are_found():
    slower = replace(rules(), registry=replace(DEPLOYMENT.registry, admission_burst=2))
    found = [finding.what for finding in replay(list(EVENTS), slower, COMMUNITY._block_hash).findings]
    assert "An admission came sooner than the rate limit allows." in found
    poorer = replace(rules(), registry=replace(DEPLOYMENT.registry, grant_budget=3 * DEPLOYMENT.grant))
    found = [finding.what for finding in replay(list(EVENTS), poorer, COMMUNITY._block_hash).findings]
    assert any("exceed the budget" in what for what in found)


def test_the_report_compares_with_the_contract():
    """Bytes of storage that no event explains are found: here a stake, a seat and a grant changed behind the events' back."""

    async def run() -> None:
        chain = SimChain(Deployment(seats=SEATS), VirtualClock())
        chain.found([ALICE, BOB])
        bounds = audit_rules(chain.ledger)
        port = chain.chain_for(CAROL)
        report = await audit(port, bounds, first_block=0, models=None)
        assert report.findings == []
        assert report.checked["views of the contracts"] > 50
        registry = chain.ledger.registry
        registry.accounts[ALICE].unvested -= 1
        registry._seats[2] = replace(registry._seats[2], holder=CAROL)
        registry._granted += 1
        findings = "\n".join((await audit(port, bounds, first_block=0, models=None)).findings)
        for subject in ("unvestedOf", "seatOf(2)", "grantsMinted"):
            assert subject in findings

    run_virtual(run())
