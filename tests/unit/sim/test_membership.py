"""MemberRegistry on the reference model: probation, vetoes, rate, budget, vesting, seats, bans, the guardian's pause."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

import pytest

from incentives.rewards import CWT
from incentives.scoring import encode_gain
from node.protocol.errors import TransactionReverted
from node.protocol.types import Address, MemberStatus, Phase, UpdateStatus
from node.sim.abi import ZERO_ADDRESS
from node.sim.ledger import Deployment, address_of
from node.sim.registry import vesting
from node.sim.registry_storage import ENTRY_JOIN, LONGEST_TERM, check_params
from node.sim.scripted import Community, Script

Refused = Callable[..., AbstractContextManager[None]]
REGISTRY, TOKEN = "MemberRegistry", "ContributionToken"
ALICE, BOB, TIMELOCK = address_of("alice"), address_of("bob"), address_of("timelock")
SEATS = tuple(address_of(f"seat/{place}") for place in range(5))
B32 = b"\x01" * 32
DAY = 24 * 3600
GRANT = 100 * CWT


@dataclass
class SwitchedGuardian:
    """Pauses what a test says."""

    address: Address = field(default_factory=lambda: address_of("guardian"))
    paused: set[int] = field(default_factory=set)

    def is_paused(self, entry: int, /) -> bool:
        return entry in self.paused


def public(**changes: object) -> Community:
    """Five seats, three approvals, two vetoes, two days' window, bursts of three and two admissions a day."""
    constants: dict[str, object] = {
        "threshold": 3,
        "veto_threshold": 2,
        "veto_window": 2 * DAY,
        "admission_burst": 3,
        "admissions_per_day": 2,
    }
    return Community(0, Deployment(seats=SEATS, **{**constants, **changes}))  # type: ignore[arg-type]


def act(community: Community, sender: Address, function: str, *arguments: object) -> object:
    return community.call(sender, function, *arguments, contract=REGISTRY)


def read(community: Community, function: str, *arguments: object) -> object:
    return community.read(function, *arguments, contract=REGISTRY)


def status(community: Community, account: Address) -> MemberStatus:
    return MemberStatus(read(community, "statusOf", account))


def approved(community: Community, account: Address) -> int:
    number = act(community, account, "applyToJoin", B32, B32, b"peer", B32)
    assert isinstance(number, int)
    for seat in SEATS[:3]:
        act(community, seat, "review", number, True, B32)
    return number


def judge(community: Community, function: str, *arguments: object) -> object:
    court = read(community, "court")
    return act(community, Address(str(court)), function, *arguments)


# --- probation and veto -----------------------------------------------------------------------------------------------


def test_approval_starts_a_probation_and_anybody_admits_after_it(refused: Refused):
    community = public()
    number = approved(community, ALICE)
    admit_at = community.now + 2 * DAY
    event = community.events[-1]
    assert (event.name, event.arguments["admitAt"]) == ("ProbationStarted", admit_at)
    assert status(community, ALICE) is MemberStatus.PROBATION
    assert read(community, "applicationOf", number) == (ALICE, 4, 3, 0)
    assert read(community, "probationOf", number) == (admit_at, 0)
    community.wait(2 * DAY - 2)
    with refused("VetoWindowOpen", admit_at, admit_at - 1):
        act(community, BOB, "admit", number)
    act(community, BOB, "admit", number)
    assert status(community, ALICE) is MemberStatus.ACTIVE
    assert read(community, "stakeOf", ALICE) == read(community, "unvestedOf", ALICE) == GRANT
    assert read(community, "eligibleCount") == 1
    with refused("NotInProbation", number, 2):
        act(community, BOB, "admit", number)
    with refused("NotInProbation", 99, 0):
        act(community, BOB, "admit", 99)


def test_two_vetoes_refuse(refused: Refused):
    community = public()
    number = approved(community, ALICE)
    act(community, SEATS[0], "veto", number, B32)
    with refused("AlreadyVetoed", number, SEATS[0]):
        act(community, SEATS[0], "veto", number, B32)
    with refused("NotSeatHolder", ALICE):
        act(community, ALICE, "veto", number, B32)
    assert read(community, "probationOf", number)[1] == 1  # type: ignore[index]
    act(community, SEATS[4], "veto", number, B32)
    assert [event.name for event in community.events[-2:]] == ["Vetoed", "Rejected"]
    assert status(community, ALICE) is MemberStatus.NONE
    with refused("NotInProbation", number, 3):
        act(community, SEATS[3], "veto", number, B32)
    assert approved(community, ALICE) == number + 1


def test_a_veto_comes_too_late(refused: Refused):
    community = public()
    number = approved(community, ALICE)
    admit_at = community.now + 2 * DAY
    community.wait(2 * DAY - 1)
    with refused("VetoWindowOver", admit_at, admit_at):
        act(community, SEATS[0], "veto", number, B32)


# --- rate and budget --------------------------------------------------------------------------------------------------


def test_admissions_are_limited(refused: Refused):
    community = public()
    numbers = [approved(community, address_of(f"newcomer/{place}")) for place in range(5)]
    community.wait(2 * DAY)
    for number in numbers[:3]:
        act(community, BOB, "admit", number)
    start = community.now - 2
    # Two of the three were refilled for a second or two meanwhile: two units a second each.
    next_at = read(community, "nextAdmissionAt")
    assert isinstance(next_at, int)
    assert start + DAY // 2 - 3 <= next_at <= start + DAY // 2
    with refused("AdmissionsLimited", next_at, community.now + 1):
        act(community, BOB, "admit", numbers[3])
    community.wait(next_at - community.now - 2)
    with refused("AdmissionsLimited", next_at, next_at - 1):
        act(community, BOB, "admit", numbers[3])
    act(community, BOB, "admit", numbers[3])
    with refused("AdmissionsLimited", next_at + DAY // 2, next_at + 1):
        act(community, BOB, "admit", numbers[4])


def test_grants_end_with_the_budget(refused: Refused):
    community = public(grant_budget=2 * GRANT + 1, veto_window=0)
    for place in range(2):
        approved(community, address_of(f"newcomer/{place}"))
        judge(community, "slash", address_of(f"newcomer/{place}"), 10_000, 1, 1, ZERO_ADDRESS)
    assert community.read("totalSupply", contract=TOKEN) == 0
    assert read(community, "grantsMinted") == 2 * GRANT
    with refused("GrantBudgetExhausted", 3 * GRANT, 2 * GRANT + 1):
        approved(community, ALICE)
    assert status(community, ALICE) is MemberStatus.APPLIED


# --- vesting ----------------------------------------------------------------------------------------------------------


def test_five_accepted_updates_vest_a_grant(community: Community, refused: Refused):
    member = community.members[1]
    for fifth in range(1, 6):
        community.play()
        index = community.order().index(1)
        assert act(community, ALICE, "vest", fifth, index) == 20 * CWT
        vested = community.events[-1].arguments
        assert (vested["member"], vested["unvested"]) == (member, GRANT - fifth * 20 * CWT)
        assert read(community, "isVested", fifth, index)
        with refused("AlreadyVested", fifth, index):
            act(community, ALICE, "vest", fifth, index)
    assert read(community, "stakeOf", member) == GRANT
    community.play()
    with refused("NothingToVest", member):
        act(community, ALICE, "vest", 6, community.order().index(1))


def test_what_does_not_vest(community: Community, refused: Refused):
    community.open_round()
    with refused("RoundNotFinalized", 1, int(Phase.COMMIT)):
        act(community, ALICE, "vest", 1, 0)
    with refused("RoundNotFinalized", 2, int(Phase.NONE)):
        act(community, ALICE, "vest", 2, 0)
    community.advance()
    assert community.phase is Phase.VOIDED
    community.play(Script(fields={1: encode_gain(0)}))
    index = community.order().index(1)
    with refused("UpdateNotAccepted", 2, index, int(UpdateStatus.REJECTED)):
        act(community, ALICE, "vest", 2, index)
    with refused("OutsideRing"):
        act(community, ALICE, "vest", 2, 5)


def test_old_work_vests_no_new_grant(community: Community, refused: Refused):
    member = community.members[1]
    community.play()
    index = community.order().index(1)
    act(community, member, "startExit")
    community.wait(community.deployment.exit_delay)
    act(community, member, "finishExit")
    community.admit(member, b"peer")
    with refused("OlderThanGrant", 1, 1):
        act(community, ALICE, "vest", 1, index)
    assert read(community, "admittedIn", member) == 1


@pytest.mark.parametrize(
    ("unvested", "grant", "expected"),
    [(103, 103, 20), (23, 103, 23), (25, 103, 20), (24, 103, 24), (3, 103, 3), (4, 4, 4), (65, 100, 20), (5, 100, 5)],
)
def test_the_last_fifth_takes_the_remainder(unvested: int, grant: int, expected: int):
    assert vesting(unvested, grant) == expected


def test_bounties_come_out_of_the_own_part(community: Community):
    community.play()
    act(community, ALICE, "vest", 1, community.order().index(1))
    judge(community, "slash", community.members[1], 3_000, 1, 1, BOB)
    assert community.read("balanceOf", BOB, contract=TOKEN) == 10 * CWT
    assert read(community, "unvestedOf", community.members[1]) == 70 * CWT


# --- bans -------------------------------------------------------------------------------------------------------------


def test_a_ban_is_for_ever(community: Community, refused: Refused):
    member, court = community.members[1], community.ledger.court.address
    with refused("NotCourt", ALICE, court):
        act(community, ALICE, "ban", member)
    judge(community, "ban", member)
    assert community.events[-2].arguments == {"account": member, "burned": GRANT}
    assert status(community, member) is MemberStatus.BANNED
    assert read(community, "eligibleCount") == 4
    assert read(community, "totalStake") == 4 * GRANT == community.read("totalSupply", contract=TOKEN)
    count = len(community.events)
    judge(community, "ban", member)
    assert len(community.events) == count  # nothing happens twice
    with refused("WrongStatus", member, int(MemberStatus.BANNED), int(MemberStatus.NONE)):
        act(community, member, "applyToJoin", B32, B32, b"peer", B32)


def test_a_ban_reaches_exits_and_applications(refused: Refused):
    community = public()
    number = approved(community, ALICE)
    judge(community, "ban", ALICE)
    for sender, function, arguments in [(SEATS[0], "veto", (number, B32)), (BOB, "admit", (number,))]:
        with refused("WrongStatus", ALICE, int(MemberStatus.BANNED), int(MemberStatus.PROBATION)):
            act(community, sender, function, *arguments)
    number = approved(community, BOB)
    community.wait(2 * DAY)
    act(community, ALICE, "admit", number)
    act(community, BOB, "startExit")
    judge(community, "ban", BOB)
    assert read(community, "eligibleCount") == 0
    community.wait(community.deployment.exit_delay)
    with refused("WrongStatus", BOB, int(MemberStatus.BANNED), int(MemberStatus.EXITING)):
        act(community, BOB, "finishExit")


# --- seats ------------------------------------------------------------------------------------------------------------


def test_only_the_timelock_gives_out_seats(refused: Refused):
    community = public()
    for sender in (ALICE, SEATS[0], community.ledger.court.address):
        with refused("NotTimelock", sender, TIMELOCK):
            act(community, sender, "setSeat", 0, ALICE, community.now + DAY)
    with refused("NoSuchSeat", 5, 5):
        act(community, TIMELOCK, "setSeat", 5, ALICE, community.now + DAY)
    with refused("SeatTaken", SEATS[3], 3):
        act(community, TIMELOCK, "setSeat", 0, SEATS[3], community.now + DAY)
    for offset in (0, LONGEST_TERM + 1):
        now = community.now + 1  # of the call's block
        with refused("BadTerm", now + offset, now + 1, now + LONGEST_TERM):
            act(community, TIMELOCK, "setSeat", 0, ALICE, now + offset)
    with refused("BadTerm", 1, 0, 0):
        act(community, TIMELOCK, "setSeat", 0, ZERO_ADDRESS, 1)


def test_seats_change_hands_and_expire(refused: Refused):
    community = public(seat_term=10 * DAY)
    number = act(community, ALICE, "applyToJoin", B32, B32, b"peer", B32)
    act(community, SEATS[0], "review", number, True, B32)
    act(community, TIMELOCK, "setSeat", 0, BOB, community.now + 20 * DAY)
    assert read(community, "seatOf", 0) == (BOB, community.now - 1 + 20 * DAY)
    with refused("NotSeatHolder", SEATS[0]):
        act(community, SEATS[0], "review", number, True, B32)
    with refused("AlreadyReviewed", number, BOB):  # the seat has voted, whoever holds it
        act(community, BOB, "review", number, True, B32)
    community.wait(10 * DAY)
    assert read(community, "seatHolder", 0) == BOB
    assert read(community, "seatHolder", 1) == ZERO_ADDRESS
    expires_at = community.deployment.deployed_at + 10 * DAY
    with refused("SeatExpired", 1, expires_at, community.now + 1):
        act(community, SEATS[1], "review", number, True, B32)
    act(community, TIMELOCK, "setSeat", 0, ZERO_ADDRESS, 0)
    assert read(community, "seatHolder", 0) == ZERO_ADDRESS


def test_without_a_steward_a_round_opens_unsealed(community: Community, refused: Refused):
    act(community, TIMELOCK, "setSeat", 0, ZERO_ADDRESS, 0)
    with refused("NotSteward", community.members[0], ZERO_ADDRESS):
        community.call(community.members[0], "openRound", B32)
    assert community.play(Script(is_sealed=False)) is Phase.FINALIZED


# --- peers and pauses -------------------------------------------------------------------------------------------------


def test_members_update_their_peer(community: Community, refused: Refused):
    member = community.members[1]
    act(community, member, "updatePeer", b"elsewhere", B32)
    assert community.events[-1].arguments == {"member": member, "peerId": b"elsewhere", "encryptionKey": B32}
    with refused("PeerIdTooLong", 65, 64):
        act(community, member, "updatePeer", b"p" * 65, B32)
    with refused("WrongStatus", ALICE, int(MemberStatus.NONE), int(MemberStatus.ACTIVE)):
        act(community, ALICE, "updatePeer", b"p", B32)
    act(community, member, "startExit")
    act(community, member, "updatePeer", b"p", B32)


def test_a_pause_blocks_newcomers_only(refused: Refused):
    guardian = SwitchedGuardian()
    community = public(guardian=guardian)
    first = approved(community, ALICE)
    community.wait(2 * DAY)
    act(community, BOB, "admit", first)
    number = approved(community, BOB)
    guardian.paused.add(ENTRY_JOIN)
    assert read(community, "guardian") == guardian.address
    for sender, function, arguments in [
        (address_of("carol"), "applyToJoin", (B32, B32, b"p", B32)),
        (SEATS[0], "review", (number, True, B32)),
        (BOB, "admit", (number,)),
    ]:
        with refused("JoiningPaused"):
            act(community, sender, function, *arguments)
    act(community, SEATS[0], "veto", number, B32)
    act(community, ALICE, "startExit")
    community.wait(community.deployment.exit_delay)
    act(community, ALICE, "finishExit")
    assert status(community, ALICE) is MemberStatus.NONE


# --- constants --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "arguments"),
    [
        ({"threshold": 6}, "BadThreshold", (6, 5)),
        ({"threshold": 0}, "BadThreshold", (0, 5)),
        ({"veto_threshold": 6}, "BadThreshold", (6, 5)),
        ({"veto_threshold": 0}, "BadThreshold", (0, 5)),
        ({"min_bond": 0}, "BadBond", (0, GRANT)),
        ({"min_bond": GRANT + 1}, "BadBond", (GRANT + 1, GRANT)),
        ({"grant_budget": GRANT - 1}, "BadGrantBudget", (GRANT - 1, GRANT, 10_000_000 * CWT)),
        ({"grant_budget": 10_000_001 * CWT}, "BadGrantBudget", (10_000_001 * CWT, GRANT, 10_000_000 * CWT)),
        ({"veto_window": 30 * DAY + 1}, "ParameterOutOfBounds", ("vetoWindow", 30 * DAY + 1, 0, 30 * DAY)),
        ({"seat_term": 0}, "ParameterOutOfBounds", ("seatTerm", 0, 1, LONGEST_TERM)),
        ({"seat_term": LONGEST_TERM + 1}, "ParameterOutOfBounds", ("seatTerm", LONGEST_TERM + 1, 1, LONGEST_TERM)),
        ({"admission_burst": 0}, "ParameterOutOfBounds", ("admissionBurst", 0, 1, 65_535)),
        ({"admissions_per_day": 0}, "ParameterOutOfBounds", ("admissionsPerDay", 0, 1, 65_535)),
    ],
)
def test_constants_out_of_bounds(change: dict[str, int], error: str, arguments: tuple[object, ...]):
    params = replace(public().deployment.registry, **change)
    with pytest.raises(TransactionReverted) as caught:
        check_params(params, 5, 10_000_000 * CWT)
    assert (caught.value.error, caught.value.arguments) == (error, arguments)


@pytest.mark.parametrize("seats", [(), SEATS[:1] * 2, (ZERO_ADDRESS,), SEATS * 13])
def test_seats_that_are_none(seats: tuple[Address, ...]):
    with pytest.raises(TransactionReverted, match=r"BadSeat|BadSeatCount"):
        Community(0, Deployment(seats=seats))
