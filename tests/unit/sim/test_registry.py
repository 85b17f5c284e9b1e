"""MemberRegistry on the reference model: joining, bonds, exits, slashes, and every refusal."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from incentives.rewards import CWT
from node.protocol.errors import LocalProtocolError
from node.protocol.types import Address, MemberStatus
from node.sim.abi import ZERO_ADDRESS
from node.sim.ledger import Deployment, address_of
from node.sim.scripted import Community, Script

Refused = Callable[..., AbstractContextManager[None]]
REGISTRY, TOKEN = "MemberRegistry", "ContributionToken"
STRANGER = address_of("stranger")
SEATS = tuple(address_of(f"seat/{place}") for place in range(5))
B32 = b"\x01" * 32


@pytest.fixture
def committee() -> Community:
    """Five seats, three approvals admit."""
    return Community(3, Deployment(seats=SEATS, threshold=3))


def status(community: Community, account: Address) -> MemberStatus:
    return MemberStatus(community.read("statusOf", account, contract=REGISTRY))


def act(community: Community, sender: Address, function: str, *arguments: object) -> object:
    return community.call(sender, function, *arguments, contract=REGISTRY)


def apply_to_join(community: Community, account: Address = STRANGER) -> int:
    number = act(community, account, "applyToJoin", B32, B32, b"peer", B32)
    assert isinstance(number, int)
    return number


def test_three_of_five_seats_admit(committee: Community):
    number = apply_to_join(committee)
    assert status(committee, STRANGER) is MemberStatus.APPLIED
    for place, seat in enumerate(SEATS[:3]):
        assert committee.read("applicationOf", number, contract=REGISTRY) == (STRANGER, 1, place, 0)
        act(committee, seat, "review", number, True, B32)
    assert status(committee, STRANGER) is MemberStatus.ACTIVE
    assert committee.read("stakeOf", STRANGER, contract=REGISTRY) == 100 * CWT
    assert committee.read("unvestedOf", STRANGER, contract=REGISTRY) == 100 * CWT
    assert committee.read("eligibleCount", contract=REGISTRY) == 4
    assert committee.read("applicationOf", number, contract=REGISTRY) == (STRANGER, 2, 3, 0)


def test_rejected_once_approval_is_out_of_reach(committee: Community, refused: Refused):
    number = apply_to_join(committee)
    for seat in SEATS[:3]:
        assert status(committee, STRANGER) is MemberStatus.APPLIED
        act(committee, seat, "review", number, False, B32)
    assert committee.events[-1].name == "Rejected"
    assert status(committee, STRANGER) is MemberStatus.NONE
    with refused("ApplicationNotOpen", number, 3):
        act(committee, SEATS[3], "review", number, True, B32)
    assert apply_to_join(committee) == number + 1  # and may try again


def test_refusals_of_reviews(committee: Community, refused: Refused):
    number = apply_to_join(committee)
    with refused("NotSeatHolder", STRANGER):
        act(committee, STRANGER, "review", number, True, B32)
    with refused("ApplicationNotOpen", 99, 0):
        act(committee, SEATS[0], "review", 99, True, B32)
    act(committee, SEATS[0], "review", number, True, B32)
    with refused("AlreadyReviewed", number, SEATS[0]):
        act(committee, SEATS[0], "review", number, False, B32)


def test_refusals_of_applications(community: Community, refused: Refused):
    with refused("WrongStatus", community.members[0], int(MemberStatus.ACTIVE), int(MemberStatus.NONE)):
        apply_to_join(community, community.members[0])
    with refused("PeerIdTooLong", 65, 64):
        act(community, STRANGER, "applyToJoin", B32, B32, b"p" * 65, B32)
    apply_to_join(community)
    with refused("WrongStatus", STRANGER, int(MemberStatus.APPLIED), int(MemberStatus.NONE)):
        apply_to_join(community)


def test_eligible_only_from_the_next_second_on(community: Community):
    community.admit(STRANGER, b"peer")
    assert not community.read("isEligible", STRANGER, community.now, contract=REGISTRY)
    assert community.read("isEligible", STRANGER, community.now + 1, contract=REGISTRY)


def test_exit_burns_the_grant_and_pays_the_rest(community: Community, refused: Refused):
    member = community.members[1]
    community.play()
    community.claim_all()
    act_amount = 30 * CWT
    community.call(member, "approve", community.ledger.registry.address, act_amount, contract=TOKEN)
    act(community, member, "bond", act_amount)
    before = community.read("balanceOf", member, contract=TOKEN)
    act(community, member, "startExit")
    exit_at = community.read("exitAtOf", member, contract=REGISTRY)
    assert exit_at == community.now + community.deployment.exit_delay
    with refused("ExitTooEarly", exit_at, community.now + 1):
        act(community, member, "finishExit")
    community.wait(exit_at - community.now - 1)
    act(community, member, "finishExit")
    assert community.read("balanceOf", member, contract=TOKEN) == before + act_amount
    assert status(community, member) is MemberStatus.NONE
    assert community.read("stakeOf", member, contract=REGISTRY) == 0
    exited = next(event.arguments for event in community.events if event.name == "Exited")
    assert (exited["paid"], exited["burned"]) == (act_amount, 100 * CWT)


def test_stake_in_exit_stays_slashable(community: Community):
    community.play(Script(no_reveal={1}))
    act(community, community.members[1], "startExit")
    community.call(STRANGER, "slashUnrevealedUpdate", 1, community.members[1], contract="RoundCourt")
    assert community.read("stakeOf", community.members[1], contract=REGISTRY) == 98 * CWT
    assert community.read("eligibleCount", contract=REGISTRY) == 4


def test_own_bond_is_slashed_before_the_grant(community: Community):
    member = community.members[1]
    community.play(Script(no_reveal={1}))
    community.play()
    community.claim_all()
    community.call(member, "approve", community.ledger.registry.address, 10 * CWT, contract=TOKEN)
    act(community, member, "bond", 10 * CWT)
    community.call(STRANGER, "slashUnrevealedUpdate", 1, member, contract="RoundCourt")
    assert community.read("stakeOf", member, contract=REGISTRY) == 110 * CWT * 98 // 100
    assert community.read("unvestedOf", member, contract=REGISTRY) == 100 * CWT


def test_below_the_bond_nobody_is_eligible_until_bonded_again(community: Community, refused: Refused):
    member = community.members[4]
    for number in (1, 2, 3):  # a quarter each time: 100 → 75 → 56.25 → 42.1875
        community.play(Script(wrong_attest={4}))
        community.claim_all()
        community.call(STRANGER, "slashWrongAttestation", number, community.slots()[4], contract="RoundCourt")
    assert community.read("stakeOf", member, contract=REGISTRY) == 42_187_500_000_000_000_000
    assert community.read("eligibleCount", contract=REGISTRY) == 4
    community.open_round()
    assert community.events[-1].arguments["expected"] == 4
    community.call(member, "approve", community.ledger.registry.address, 8 * CWT, contract=TOKEN)
    act(community, member, "bond", 8 * CWT)
    assert community.read("eligibleCount", contract=REGISTRY) == 5
    with refused("NotEligible"):  # bonded again, but not since before the round opened
        community.commit(4)


def test_refusals_of_bonds_and_exits(community: Community, refused: Refused):
    member, registry = community.members[1], community.ledger.registry.address
    with refused("ERC20InsufficientAllowance", registry, 0, 5):
        act(community, member, "bond", 5)
    community.call(member, "approve", registry, 5, contract=TOKEN)
    with refused("ERC20InsufficientBalance", member, 0, 5):
        act(community, member, "bond", 5)
    for function, arguments in [("bond", (5,)), ("startExit", ())]:
        with refused("WrongStatus", STRANGER, int(MemberStatus.NONE), int(MemberStatus.ACTIVE)):
            act(community, STRANGER, function, *arguments)
    with refused("WrongStatus", member, int(MemberStatus.ACTIVE), int(MemberStatus.EXITING)):
        act(community, member, "finishExit")


def test_only_the_court_slashes(community: Community, refused: Refused):
    court = community.read("court", contract=REGISTRY)
    member = community.members[0]
    with refused("NotCourt", STRANGER, court):
        act(community, STRANGER, "slash", member, 100, 1, 1, STRANGER)
    with refused("PenaltyAboveWhole", 10_001, 10_000):
        act(community, court, "slash", member, 10_001, 1, 1, STRANGER)
    assert act(community, court, "slash", member, 10_000, 1, 1, ZERO_ADDRESS) == 100 * CWT
    assert act(community, court, "slash", member, 10_000, 1, 1, ZERO_ADDRESS) == 0


def test_seats(committee: Community, refused: Refused):
    assert committee.read("seatCount", contract=REGISTRY) == 5
    assert committee.read("threshold", contract=REGISTRY) == 3
    assert [committee.read("seatHolder", place, contract=REGISTRY) for place in range(5)] == list(SEATS)
    with refused("NoSuchSeat", 5, 5):
        committee.read("seatHolder", 5, contract=REGISTRY)


@pytest.mark.parametrize(
    ("contract", "function", "arguments"),
    [
        ("Bank", "open", ()),
        (REGISTRY, "applyForFree", ()),
        (REGISTRY, "take", ()),  # an inner step, not a function of the contract
        (REGISTRY, "start_exit", ()),  # our spelling, not the contract's
        (REGISTRY, "statusOf", (STRANGER,)),  # a view cannot be sent
        (REGISTRY, "bond", ()),
        (REGISTRY, "bond", (-1,)),
        (REGISTRY, "bond", (1 << 96,)),
        (REGISTRY, "bond", ("5",)),
        (REGISTRY, "bond", (True,)),
        (REGISTRY, "review", (1, 1, B32)),
        (REGISTRY, "review", (1, True, b"")),
        ("RoundCourt", "slashUnrevealedUpdate", (1, "0x12")),
        ("RoundManager", "settle", (1, 5)),
        ("RoundManager", "settle", (1, (-1,))),
    ],
)
def test_calls_an_abi_encoder_would_refuse_are_our_own_bugs(
    community: Community, contract: str, function: str, arguments: tuple[object, ...]
):
    with pytest.raises(LocalProtocolError):
        community.call(STRANGER, function, *arguments, contract=contract)


def test_addresses_are_understood_in_any_letter_case(community: Community):
    member = community.members[0].lower()
    assert community.read("statusOf", member, contract=REGISTRY) is MemberStatus.ACTIVE
