"""Whole rounds on the reference model: what is paid, minted, emitted, and where a round ends without a model."""

from __future__ import annotations

from collections import Counter

import pytest

from incentives.rewards import CWT
from incentives.scoring import MALFORMED, UNAVAILABLE, encode_gain
from node.protocol.state import State, apply
from node.protocol.types import MemberStatus, Phase, UpdateStatus, VoidReason
from node.sim.scripted import DEFAULT_GAIN, Community, Script

TOKEN, REGISTRY, DISTRIBUTOR, COURT = "ContributionToken", "MemberRegistry", "RewardDistributor", "RoundCourt"
GRANT = 100 * CWT


def supply(community: Community) -> int:
    return int(community.read("totalSupply", contract=TOKEN))


def balance(community: Community, place: int) -> int:
    return int(community.read("balanceOf", community.members[place], contract=TOKEN))


def stake(community: Community, place: int) -> int:
    return int(community.read("stakeOf", community.members[place], contract=REGISTRY))


def names(community: Community) -> Counter[str]:
    return Counter(event.name for event in community.events)


def void_reason(community: Community) -> VoidReason:
    event = next(event for event in reversed(community.events) if event.name == "RoundVoided")
    return VoidReason(event.arguments["reason"])


def fold(community: Community) -> State:
    state = State()
    for event in community.events:
        state = apply(state, event)
    return state


def conserved(community: Community) -> bool:
    """Supply = minted − burned = sum of balances; the registry holds exactly the stakes."""
    balances = community.ledger.token.balances
    zero = "0x" + "00" * 20
    moves = [event.arguments for event in community.events if event.name == "Transfer"]
    minted = sum(move["value"] for move in moves if move["from"] == zero)
    burned = sum(move["value"] for move in moves if move["to"] == zero)
    stakes = community.read("totalStake", contract=REGISTRY)
    return (
        supply(community) == minted - burned == sum(balances.values())
        and min(balances.values()) >= 0
        and balances[community.ledger.registry.address] == stakes
    )


def test_five_honest_members(community: Community):
    assert community.play() is Phase.FINALIZED
    community.claim_all()
    # 5·5 000 ppm is above the target of 20 000, every field is right, every attestation too: all 10 000 CWT.
    assert supply(community) == 5 * GRANT + 10_000 * CWT
    assert [balance(community, place) for place in range(5)] == [1_900 * CWT] * 5
    assert community.read("balanceOf", community.deployment.treasury, contract=TOKEN) == 500 * CWT
    assert community.read("mintedIn", 1, contract=DISTRIBUTOR) == 10_000 * CWT
    assert conserved(community)


def test_the_model_becomes_the_next_parent(community: Community):
    community.play()
    _, model_hash, cid = community.model(1)
    assert community.read("latestModel") == (model_hash, cid, 1)
    community.open_round()
    opened = community.events[-1].arguments
    assert (opened["round"], opened["parentModelHash"], opened["parentModelCid"]) == (2, model_hash, cid)


def test_events_tell_the_whole_story(community: Community):
    community.play()
    community.claim_all()
    assert names(community) == {
        "Replaced": 1,
        "SeatSet": 1,
        "DocumentAmended": 4,
        "EpochBegun": 1,
        "RoleGranted": 4,
        "MinDelayChange": 1,
        "VotingDelaySet": 1,
        "VotingPeriodSet": 1,
        "ProposalThresholdSet": 1,
        "QuorumNumeratorUpdated": 1,
        "LateQuorumVoteExtensionSet": 1,
        "TimelockChange": 1,
        "ProposalGuardianSet": 1,
        "Allowed": 10,
        "Applied": 5,
        "Reviewed": 5,
        "Admitted": 5,
        "Transfer": 11,
        "RoundOpened": 1,
        "UpdateCommitted": 5,
        "UpdateRevealed": 5,
        "BenchmarkRevealed": 1,
        "SeedPinned": 1,
        "SeedDrawn": 1,
        "ScoresCommitted": 5,
        "ScoresRevealed": 5,
        "UpdateSettled": 5,
        "Attested": 5,
        "AggregateProposed": 1,
        "PhaseChanged": 8,
        "RoundFinalized": 1,
        "Claimed": 5,
        "TreasuryClaimed": 1,
    }
    phases = [event.arguments["phase"] for event in community.events if event.name == "PhaseChanged"]
    assert phases == sorted(phases)
    retry = {Phase.RETRY_COMMIT, Phase.RETRY_REVEAL, Phase.RETRY_SETTLE}
    assert set(phases) == set(range(Phase.REVEAL, Phase.VOIDED)) - retry


def test_the_nodes_own_fold_agrees_with_the_model(community: Community):
    community.play(Script(no_reveal={4}, fields={1: MALFORMED}))
    community.claim_all()
    state = fold(community)
    assert state.supply == supply(community)
    for place, member in enumerate(community.members):
        assert state.balances.get(member, 0) == balance(community, place)
        assert state.member(member).stake == stake(community, place)
    assert state.current is not None
    assert state.current.phase is Phase.FINALIZED


def test_an_unsealed_round_pays_trainers_half(community: Community):
    assert community.play(Script(is_sealed=False)) is Phase.FINALIZED
    community.claim_all()
    claimed = [event.arguments for event in community.events if event.name == "Claimed"]
    assert {paid["trainerReward"] for paid in claimed} == {700 * CWT}
    assert {paid["verifierReward"] for paid in claimed} == {400 * CWT}
    drawn = next(event for event in community.events if event.name == "SeedDrawn")
    assert drawn.arguments["isSealed"] is False


def test_a_slice_not_opened_in_time_unseals_the_round(community: Community):
    community.open_round()
    for place in range(5):
        community.commit(place)
    community.advance()
    for place in range(5):
        community.reveal(place)
    before = community.now
    assert community.advance() is Phase.SEED
    assert community.now > before + 10  # only the deadline ends Reveal while the slice is missing
    community.advance()
    drawn = community.events[-2]
    assert (drawn.name, drawn.arguments["isSealed"]) == ("SeedDrawn", False)


def execute(community: Community, place: int) -> None:
    """Somebody has the court execute the verdict on an update."""
    index = community.order().index(place)
    community.call(community.members[1], "slashVerdict", community.round, index, contract=COURT)


@pytest.mark.parametrize("fault", [MALFORMED, encode_gain(-2_000)])
def test_a_bad_update_forfeits_all_rewards_and_burns_stake(community: Community, fault: int):
    community.play(Script(fields={3: fault}))
    community.claim_all()
    execute(community, 3)
    share = 20 if fault == MALFORMED else 10
    assert balance(community, 3) == 0
    assert stake(community, 3) == GRANT - GRANT * share // 100
    slashed = next(event.arguments for event in community.events if event.name == "Slashed")
    assert (slashed["burned"], slashed["bounty"], slashed["prover"]) == (GRANT * share // 100, 0, "0x" + "00" * 20)
    assert balance(community, 0) > 0
    assert conserved(community)


def test_an_unavailable_update_costs_little_and_keeps_other_rewards(community: Community):
    community.play(Script(fields={2: UNAVAILABLE}))
    community.claim_all()
    execute(community, 2)
    assert stake(community, 2) == GRANT - GRANT * 2 // 100
    assert balance(community, 2) == (400 + 100) * CWT  # verified and attested, but no trainer's reward


def test_only_right_fields_are_paid(community: Community):
    # Member 2 says everything is malformed; the other three fields outvote it each time.
    community.play(Script(lies={2: MALFORMED | MALFORMED << 20 | MALFORMED << 40 | MALFORMED << 60}))
    community.claim_all()
    assert balance(community, 2) == (1_400 + 0 + 100) * CWT
    assert balance(community, 1) == (1_400 + 400 + 100) * CWT
    assert names(community)["Slashed"] == 0


def test_a_wrong_attestation_is_not_paid_and_can_be_slashed(community: Community):
    community.play(Script(wrong_attest={4}))
    community.call(community.members[1], "slashWrongAttestation", 1, community.slots()[4], contract=COURT)
    assert stake(community, 4) == GRANT * 75 // 100
    assert balance(community, 1) == 0  # no bounty comes out of a grant
    community.claim_all()
    assert balance(community, 4) == (1_400 + 400) * CWT
    assert conserved(community)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (Script(no_commit={0, 1, 2}), VoidReason.TOO_FEW_COMMITS),
        (Script(no_reveal={0, 1, 2}), VoidReason.TOO_FEW_REVEALS),
        (Script(no_scores=range(5)), VoidReason.NOTHING_ACCEPTED),
        (Script(hide_scores=range(5)), VoidReason.NOTHING_ACCEPTED),
        (Script(fields=dict.fromkeys(range(5), encode_gain(10))), VoidReason.NOTHING_ACCEPTED),
        (Script(no_attest={0, 1}), VoidReason.NO_QUORUM),
        (Script(wrong_attest={0, 1}), VoidReason.NO_QUORUM),
    ],
)
def test_voided_rounds_mint_nothing_and_the_next_one_opens(community: Community, script: Script, reason: VoidReason):
    assert community.play(script) is Phase.VOIDED
    assert void_reason(community) is reason
    assert community.read("mintedIn", 1, contract=DISTRIBUTOR) == 0
    assert community.read("latestModel")[2] == 0
    assert conserved(community)
    assert community.play() is Phase.FINALIZED
    assert community.read("latestModel")[2] == 2


@pytest.mark.parametrize("gone", range(5))
def test_one_vanished_member_does_not_stop_the_others(community: Community, gone: int):
    script = Script(no_commit={gone})
    assert [community.play(script) for _ in range(3)] == [Phase.FINALIZED] * 3


@pytest.mark.parametrize("gone", range(5))
def test_one_member_that_vanishes_mid_round_does_not_stop_the_others(community: Community, gone: int):
    assert community.play(Script(no_reveal={gone})) is Phase.FINALIZED
    assert community.play(Script(no_scores={gone})) is Phase.FINALIZED
    assert community.play(Script(hide_scores={gone}, no_attest={gone})) is Phase.FINALIZED
    assert conserved(community)


def test_settled_statuses_are_readable(community: Community):
    community.play(Script(fields={1: MALFORMED, 2: encode_gain(50)}))
    order = community.order()
    found = {place: UpdateStatus(community.read("resultOf", 1, order.index(place))[0]) for place in range(5)}
    assert found == {
        0: UpdateStatus.ACCEPTED,
        1: UpdateStatus.MALFORMED,
        2: UpdateStatus.REJECTED,
        3: UpdateStatus.ACCEPTED,
        4: UpdateStatus.ACCEPTED,
    }
    assert community.read("resultOf", 1, order.index(0)) == (
        UpdateStatus.ACCEPTED,
        DEFAULT_GAIN,
        DEFAULT_GAIN,
        False,
        False,
    )


def test_a_seed_block_too_old_is_pinned_again(community: Community):
    community.open_round()
    for place in range(5):
        community.commit(place)
    community.advance()
    for place in range(5):
        community.reveal(place)
    community.reveal_slice()
    assert community.advance() is Phase.SEED
    community.wait(300)
    assert community.advance() is Phase.SEED
    assert names(community)["SeedPinned"] == 2
    assert community.advance() is Phase.SCORE_COMMIT
    assert names(community)["SeedDrawn"] == 1


def test_a_hash_exactly_256_blocks_old_is_still_known(community: Community):
    community.open_round()
    for place in range(5):
        community.commit(place)
    community.advance()
    for place in range(5):
        community.reveal(place)
    community.reveal_slice()
    community.advance()
    seed_block = next(event.arguments["seedBlock"] for event in community.events if event.name == "SeedPinned")
    community.wait(seed_block + 256 - community.block - 1)
    assert community.advance() is Phase.SCORE_COMMIT
    assert community.block == seed_block + 256


def test_forty_members_settle_in_batches():
    large = Community(40)
    assert large.play(Script(no_scores={1, 2})) is Phase.FINALIZED
    large.claim_all()
    assert names(large)["UpdateSettled"] == 40
    assert names(large)["Attested"] == 31
    assert large.read("mintedIn", 1, contract=DISTRIBUTOR) <= 10_000 * CWT
    assert conserved(large)


def test_members_stay_active_after_rounds(community: Community):
    community.play()
    statuses = {community.read("statusOf", member, contract=REGISTRY) for member in community.members}
    assert statuses == {MemberStatus.ACTIVE}


def test_credit_is_soul_bound_and_by_round(community: Community):
    member = community.members[1]
    for _ in range(2):
        community.play()
        community.claim_all()
    earned = 1_900 * CWT
    community.call(member, "transfer", community.members[2], balance(community, 1), contract=TOKEN)
    credit = [community.read("creditAt", member, number, contract=DISTRIBUTOR) for number in (0, 1, 2, 99)]
    assert credit == [0, earned, 2 * earned, 2 * earned]


def test_a_late_claim_counts_from_its_own_round(community: Community):
    member = community.members[1]
    for number in (1, 2):
        community.play()
        if number == 1:
            late = community.order().index(1)
    community.call(member, "claim", 2, community.order().index(1), contract=DISTRIBUTOR)
    community.call(member, "claim", 1, late, contract=DISTRIBUTOR)
    credit = [community.read("creditAt", member, number, contract=DISTRIBUTOR) for number in (1, 2)]
    assert credit == [1_900 * CWT, 2 * 1_900 * CWT]


def test_the_round_record_as_the_contract_stores_it(community: Community):
    community.play(Script(wrong_attest={4}))
    slots = community.slots()
    record = community.read("roundOf", 1)
    _, model_hash, cid = community.model(1)
    assert record[0] == Phase.FINALIZED
    assert record[4:13] == (5, 5, 5, 5, 5, 5, 5, 2, 0)
    assert record[13:19] == (300, 100, 1_000, 20_000, 5 * DEFAULT_GAIN, 0b11111 ^ 1 << slots[4])
    assert record[19:24] == (1, 0, 0, 0, community.members[0])
    assert record[24] == community.seed
    assert record[26:] == (model_hash, cid)
    assert len(community.read("roundOf", 2)) == len(record)
    empty = {0, bytes(32), "0x" + "00" * 20}
    assert set(community.read("roundOf", 2)) == empty
