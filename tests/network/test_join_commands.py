"""Acts of `commonweight join` that need a chain but no IPFS and no model: bond, peer, exit, admit, and their refusals."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from incentives.rewards import CWT
from node.config import Config, KeysSection, NodeSection
from node.dao.desk import Desk
from node.membership import application, office
from node.protocol.errors import ConfigError, TransactionReverted
from node.protocol.types import Call

pytestmark = pytest.mark.e2e

Network = Any  # the class of conftest.py, which importlib mode does not let us import
MEMBER, STRANGER = 4, 5


@contextlib.asynccontextmanager
async def desk(network: Network, account: int, tmp_path):
    chain = await network.chain(account)
    config = Config(node=NodeSection(data=tmp_path / "data"), keys=KeysSection(folder=tmp_path / "keys"))
    yield Desk(config, network.manifest, chain, network.address(account))


async def admit(network: Network) -> None:
    newcomer = await network.chain(MEMBER)
    await newcomer.send(
        Call("MemberRegistry", "applyToJoin", (bytes(31) + b"\1", bytes(31) + b"\2", b"peer", bytes(32)))
    )
    for seat in (1, 2):
        await (await network.chain(seat)).send(Call("MemberRegistry", "review", (1, True, bytes(32))))


async def test_a_member_leaves_in_two_steps(network: Network, tmp_path) -> None:
    async with desk(network, MEMBER, tmp_path) as mine:
        with pytest.raises(ConfigError, match="is none, not active"):
            await application.leave(mine, finish=False)
        await admit(network)
        with pytest.raises(ConfigError, match="is active, not exiting"):
            await application.leave(mine, finish=True)
        left = await application.leave(mine, finish=False)
        assert left["standing"] == "EXITING"
        with pytest.raises(ConfigError, match="can be finished in"):
            await application.leave(mine, finish=True)
        await network.rpc("evm_increaseTime", network.manifest.params.registry.exit_delay)
        await network.rpc("evm_mine")
        gone = await application.leave(mine, finish=True)
        assert gone["standing"] == "NONE"


async def test_bonding_needs_tokens_and_a_member(network: Network, tmp_path) -> None:
    await admit(network)
    async with desk(network, MEMBER, tmp_path) as mine:
        with pytest.raises(TransactionReverted):
            await application.bond(mine, 5 * CWT)  # the grant is stake; nothing is liquid yet


async def test_admitting_what_cannot_be_admitted_is_explained(network: Network, tmp_path) -> None:
    await admit(network)
    async with desk(network, STRANGER, tmp_path) as other:
        with pytest.raises(ConfigError, match="There is no application 9"):
            await office.admit(other, 9)
        with pytest.raises(ConfigError, match="is not on probation: active"):
            await office.admit(other, 1)


async def test_a_new_peer_id_is_registered(network: Network, tmp_path, monkeypatch) -> None:
    await admit(network)

    async def peer_id(_config: Config, _manifest: Any) -> str:
        return "12D3KooWNew"

    monkeypatch.setattr(application, "own_peer_id", peer_id)
    monkeypatch.setattr(application, "load_signer", lambda _config: network.signers[MEMBER])
    async with desk(network, MEMBER, tmp_path) as mine:
        await application.update_peer(mine)
        member = (await mine.state()).member(network.address(MEMBER))
        assert member.peer_id == "12D3KooWNew"
        assert member.encryption_key == network.signers[MEMBER].encryption_public_key


@pytest.mark.parametrize("reason", ["", "   ", "x" * 1_501, "red \x1b[31m"])
async def test_a_vote_without_a_usable_reason_is_refused(network: Network, tmp_path, reason) -> None:
    newcomer = await network.chain(MEMBER)
    await newcomer.send(
        Call("MemberRegistry", "applyToJoin", (bytes(31) + b"\1", bytes(31) + b"\2", b"peer", bytes(32)))
    )
    async with desk(network, 1, tmp_path) as seat:
        with pytest.raises(ConfigError, match="needs a reason"):
            await office.review(seat, NoFiles(), office.Vote(1, approve=False, reason=reason))
        with pytest.raises(ConfigError, match="was not looked at"):
            await office.review(seat, NoFiles(), office.Vote(1, approve=True, reason="fine"))


class NoFiles:
    """Nothing may be published before everything was checked."""

    async def get(self, cid, *, max_bytes):
        raise AssertionError(cid)

    async def publish(self, data):
        raise AssertionError(data)
