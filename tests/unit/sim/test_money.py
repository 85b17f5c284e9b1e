"""ContributionToken and RewardDistributor on the reference model: who may mint, pay, claim, and every refusal."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from incentives.rewards import CWT, EmissionParams
from node.protocol.types import Phase
from node.sim.abi import ZERO_ADDRESS
from node.sim.ledger import CAP, Deployment, address_of
from node.sim.scripted import Community, Script

Refused = Callable[..., AbstractContextManager[None]]
TOKEN, DISTRIBUTOR = "ContributionToken", "RewardDistributor"
STRANGER = address_of("stranger")


@pytest.fixture
def rich(community: Community) -> Community:
    """Members 0 to 4 hold 1 900 CWT each."""
    community.play()
    community.claim_all()
    return community


def balance(community: Community, place: int) -> int:
    return int(community.read("balanceOf", community.members[place], contract=TOKEN))


def test_transfers(rich: Community, refused: Refused):
    alice, bob = rich.members[:2]
    assert rich.call(alice, "transfer", bob, 5, contract=TOKEN) is True
    assert (balance(rich, 0), balance(rich, 1)) == (1_900 * CWT - 5, 1_900 * CWT + 5)
    with refused("ERC20InsufficientBalance", alice, balance(rich, 0), CAP):
        rich.call(alice, "transfer", bob, CAP, contract=TOKEN)
    with refused("ERC20InvalidReceiver", ZERO_ADDRESS):
        rich.call(alice, "transfer", ZERO_ADDRESS, 5, contract=TOKEN)


def test_a_transfer_to_oneself_changes_nothing(rich: Community):
    rich.call(rich.members[0], "transfer", rich.members[0], 7, contract=TOKEN)
    assert balance(rich, 0) == 1_900 * CWT


def test_allowances(rich: Community, refused: Refused):
    alice, bob, carol = rich.members[:3]
    with refused("ERC20InvalidSpender", ZERO_ADDRESS):
        rich.call(alice, "approve", ZERO_ADDRESS, 1, contract=TOKEN)
    rich.call(alice, "approve", bob, 9, contract=TOKEN)
    assert rich.events[-1].arguments == {"owner": alice, "spender": bob, "value": 9}
    rich.call(bob, "transferFrom", alice, carol, 4, contract=TOKEN)
    assert rich.read("allowance", alice, bob, contract=TOKEN) == 5
    assert balance(rich, 2) == 1_900 * CWT + 4
    with refused("ERC20InsufficientAllowance", bob, 5, 6):
        rich.call(bob, "transferFrom", alice, carol, 6, contract=TOKEN)


def test_the_largest_allowance_is_endless(rich: Community):
    alice, bob = rich.members[:2]
    rich.call(alice, "approve", bob, 2**256 - 1, contract=TOKEN)
    rich.call(bob, "transferFrom", alice, bob, 4, contract=TOKEN)
    assert rich.read("allowance", alice, bob, contract=TOKEN) == 2**256 - 1


def test_minting_is_for_two_contracts(community: Community, refused: Refused):
    with refused("NotMinter", STRANGER):
        community.call(STRANGER, "mint", STRANGER, 1, contract=TOKEN)
    minters = [community.read(name, contract=TOKEN) for name in ("distributor", "registry")]
    assert minters == [community.ledger.distributor.address, community.ledger.registry.address]
    for minter in minters:
        community.call(minter, "mint", STRANGER, 5, contract=TOKEN)
    assert community.read("balanceOf", STRANGER, contract=TOKEN) == 10


def test_supply_is_capped(community: Community, refused: Refused):
    minter = community.ledger.distributor.address
    supply = community.read("totalSupply", contract=TOKEN)
    with refused("ERC20ExceededCap", CAP + 1, CAP):
        community.call(minter, "mint", STRANGER, CAP + 1 - supply, contract=TOKEN)
    community.call(minter, "mint", STRANGER, CAP - supply, contract=TOKEN)
    with refused("ERC20ExceededCap"):
        community.admit(STRANGER, b"peer")


def test_burning(rich: Community, refused: Refused):
    supply = rich.read("totalSupply", contract=TOKEN)
    rich.call(rich.members[0], "burn", 100, contract=TOKEN)
    assert rich.read("totalSupply", contract=TOKEN) == supply - 100
    with refused("ERC20InsufficientBalance", STRANGER, 0, 1):
        rich.call(STRANGER, "burn", 1, contract=TOKEN)


def test_claims_need_a_finalised_round(community: Community, refused: Refused):
    for function, arguments in [("claim", (0,)), ("claimTreasury", ())]:
        with refused("GenesisHasNoRewards"):
            community.call(STRANGER, function, 0, *arguments, contract=DISTRIBUTOR)
        with refused("NotFinalized", 1, 0):
            community.call(STRANGER, function, 1, *arguments, contract=DISTRIBUTOR)
    assert community.play(Script(no_attest={0, 1})) is Phase.VOIDED
    for function, arguments in [("claim", (0,)), ("claimTreasury", ())]:
        with refused("NotFinalized", 1, int(Phase.VOIDED)):
            community.call(STRANGER, function, 1, *arguments, contract=DISTRIBUTOR)


def test_everything_is_claimed_once(rich: Community, refused: Refused):
    with refused("AlreadyClaimed", 1, 0):
        rich.call(STRANGER, "claim", 1, 0, contract=DISTRIBUTOR)
    with refused("TreasuryAlreadyClaimed", 1):
        rich.call(STRANGER, "claimTreasury", 1, contract=DISTRIBUTOR)
    with refused("OutsideRing", 5, 5):
        rich.call(STRANGER, "claim", 1, 5, contract=DISTRIBUTOR)
    assert [rich.read("isClaimed", 1, index, contract=DISTRIBUTOR) for index in (0, 4, 5)] == [True, True, False]
    assert rich.read("isTreasuryClaimed", 1, contract=DISTRIBUTOR)
    assert not rich.read("isTreasuryClaimed", 2, contract=DISTRIBUTOR)


def test_anybody_may_claim_but_the_owner_is_paid(community: Community):
    community.play()
    amount = community.call(STRANGER, "claim", 1, community.order().index(3), contract=DISTRIBUTOR)
    assert amount == balance(community, 3) == 1_900 * CWT
    assert community.read("balanceOf", STRANGER, contract=TOKEN) == 0


def test_donations_change_no_payout(rich: Community):
    for contract in rich.ledger.addresses.values():
        rich.call(rich.members[0], "transfer", contract, CWT, contract=TOKEN)
    rich.play()
    assert rich.call(STRANGER, "claim", 2, 0, contract=DISTRIBUTOR) == 1_900 * CWT


def test_a_claim_of_nothing_is_still_a_claim(community: Community, refused: Refused):
    community.play(Script(fields={3: 2}))
    index = community.order().index(3)
    count = len(community.events)
    assert community.call(STRANGER, "claim", 1, index, contract=DISTRIBUTOR) == 0
    assert [event.name for event in community.events[count:]] == ["Claimed"]
    with refused("AlreadyClaimed", 1, index):
        community.call(STRANGER, "claim", 1, index, contract=DISTRIBUTOR)


def test_emission_halves(refused: Refused):
    community = Community(5, Deployment(seats=(STRANGER,), emission=EmissionParams(100, 2, 1)))
    found = [community.read("emission", number, contract=DISTRIBUTOR) for number in range(1, 8)]
    assert found == [100, 100, 50, 50, 25, 25, 12]
    with refused("GenesisHasNoRewards"):
        community.read("emission", 0, contract=DISTRIBUTOR)


def test_a_deployment_whose_mints_could_pass_the_cap_is_refused(refused: Refused):
    Community(1, Deployment(seats=(STRANGER,), emission=EmissionParams(9_000 * CWT, 500, 1)))  # exactly the cap
    with refused("MintsAboveCap", 9_001_000 * CWT, 1_000_000 * CWT, 10_000_000 * CWT):
        Community(1, Deployment(seats=(STRANGER,), emission=EmissionParams(9_001 * CWT, 500, 1)))
