"""The index on a real chain: reorganisations ordered from Anvil, and a chain that was started anew."""

from __future__ import annotations

import pytest

from node.index.history import History
from node.index.store import EventIndex
from node.protocol.state import State, apply
from node.protocol.types import Call, MemberStatus
from node.queries import identity_of

pytestmark = pytest.mark.e2e


async def apply_to_join(network, account: int) -> None:
    chain = await network.chain(account)
    await chain.send(
        Call("MemberRegistry", "applyToJoin", (b"\x01" * 32, b"\x02" * 32, b"peer-%d" % account, bytes(32)))
    )


async def review(network, seat: int, application: int) -> None:
    chain = await network.chain(seat)
    await chain.send(Call("MemberRegistry", "review", (application, True, bytes(32))))


async def folded_afresh(network, chain) -> State:
    state = State()
    for event in await chain.events(network.manifest.deployment_block, (await chain.head()).number):
        state = apply(state, event)
    return state


@pytest.fixture
async def history(network, tmp_path):
    index = EventIndex.open(tmp_path / "index.sqlite", identity_of(network.manifest))
    yield History(index, await network.chain(), network.manifest.deployment_block)
    index.close()


async def test_a_reorganisation_is_rolled_back(network, history):
    chain = history.chain
    await apply_to_join(network, 4)
    await history.refresh()
    applicant = network.address(4)
    assert history.state.member(applicant).status is MemberStatus.APPLIED
    await review(network, 1, 1)
    await review(network, 2, 1)
    await history.refresh()
    assert history.state.member(applicant).status is MemberStatus.ACTIVE

    await network.rpc("anvil_reorg", 2, [])  # the two newest blocks, which hold the reviews, are replaced by empty ones
    await history.refresh()
    assert history.state.member(applicant).status is MemberStatus.APPLIED
    assert history.state == await folded_afresh(network, chain)

    await review(network, 3, 1)
    await history.refresh()
    assert history.state.reviews[1] == {network.address(3): True}
    assert history.state == await folded_afresh(network, chain)


async def test_a_shorter_chain_is_followed_and_grown_again(network, history):
    snapshot = await network.rpc("evm_snapshot")
    for account in (4, 5, 6):
        await apply_to_join(network, account)
    await history.refresh()
    assert len(history.state.applications) == 3
    await network.rpc("evm_revert", snapshot)
    await history.refresh()
    assert history.state.applications == {}
    await apply_to_join(network, 6)
    await history.refresh()
    assert [one.applicant for one in history.state.applications.values()] == [network.address(6)]
    assert history.events == list(await history.chain.events(0, (await history.chain.head()).number))


async def test_events_survive_the_index_exactly(network, history, tmp_path):
    await apply_to_join(network, 4)
    await history.refresh()
    read = list(await history.chain.events(0, (await history.chain.head()).number))
    again = EventIndex.open(tmp_path / "index.sqlite", identity_of(network.manifest))
    kept = again.events()
    again.close()
    assert kept == read
    assert [{key: type(value) for key, value in event.arguments.items()} for event in kept] == [
        {key: type(value) for key, value in event.arguments.items()} for event in read
    ]
