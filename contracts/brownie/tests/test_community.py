"""What a person would try first in Brownie's console: roles, joining, a review, a commitment. The full tests are forge's."""

from brownie import chain, reverts

EMPTY, COMMITMENT = "0x" + "00" * 32, "0x" + "11" * 32


def _join(community, member):
    community.MemberRegistry.applyToJoin(EMPTY, EMPTY, b"peer", EMPTY, {"from": member})
    number = community.MemberRegistry.applicationCount()
    first = community.MemberRegistry.review(number, True, EMPTY, {"from": community.seats[0]})
    second = community.MemberRegistry.review(number, True, EMPTY, {"from": community.seats[1]})
    return first, second


def test_every_contract_names_the_others(community):
    assert community.ContributionToken.distributor() == community.RewardDistributor.address
    assert community.ContributionToken.registry() == community.MemberRegistry.address
    assert community.MemberRegistry.roundManager() == community.RoundManager.address
    assert community.RewardDistributor.roundManager() == community.RoundManager.address


def test_the_token_starts_empty_and_nobody_may_mint(community):
    assert community.ContributionToken.totalSupply() == 0
    with reverts():
        community.ContributionToken.mint(community.members[0], 1, {"from": community.members[0]})


def test_two_seats_admit_a_member_and_mint_the_grant(community):
    member = community.members[0]
    first, second = _join(community, member)
    assert "Transfer" not in first.events
    assert second.events["Transfer"]["value"] == community.MemberRegistry.grant()
    assert community.MemberRegistry.stakeOf(member) == community.MemberRegistry.grant()
    assert community.ContributionToken.totalSupply() == community.MemberRegistry.grant()


def test_a_stranger_may_not_review(community):
    community.MemberRegistry.applyToJoin(EMPTY, EMPTY, b"peer", EMPTY, {"from": community.members[0]})
    with reverts():
        community.MemberRegistry.review(1, True, EMPTY, {"from": community.members[1]})


def test_members_commit_to_their_updates(community):
    for member in community.members:
        _join(community, member)
    chain.sleep(1)
    chain.mine()
    steward = community.seats[1]  # of round 1
    community.RoundManager.openRound(COMMITMENT, {"from": steward})
    for number, member in enumerate(community.members, start=1):
        sent = community.RoundManager.commitUpdate(1, COMMITMENT, {"from": member})
        assert sent.status == 1
        assert community.RoundManager.roundOf(1)["commits"] == number
    with reverts():
        community.RoundManager.commitUpdate(1, COMMITMENT, {"from": community.members[0]})
