"""A real chain that takes blocks back: a node's state goes back with it, and what was lost is sent again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from played import Played

from node.branch import Branch
from node.dao import acts
from node.protocol.state import State, apply

pytestmark = pytest.mark.e2e


async def fold(chain: Any, first: int) -> State:
    state = State()
    for event in await chain.events(first, (await chain.head()).number):
        state = apply(state, event)
    return state


def locked(branch: Branch, account: Any) -> int:
    found = branch.state.vault.locks.get(account)
    return 0 if found is None else found.amount


async def test_the_state_follows_the_chain_back_and_onto_another_branch(played: Played) -> None:
    desk, other = played.desk(4), played.desk(5)
    undone: list[int] = []
    first = played.network.manifest.deployment_block
    branch = Branch(desk.chain, first, State(), lambda: undone.append(1))
    await branch.advance()

    kept = await played.network.rpc("evm_snapshot")
    await acts.convert(desk, 100)
    await branch.advance()
    assert locked(branch, desk.me) == 100

    assert await played.network.rpc("evm_revert", kept)
    await acts.convert(other, 70)  # stands where the other's lock stood
    await played.network.rpc("anvil_mine", 3)
    await branch.advance()
    assert undone == [1]
    assert locked(branch, desk.me) == 0
    assert locked(branch, other.me) == 70
    assert branch.state == await fold(desk.chain, first)

    await asyncio.wait_for(acts.convert(desk, 100), 120)  # its nonce was counted past a transaction that is gone
    await branch.advance()
    assert locked(branch, desk.me) == 100
