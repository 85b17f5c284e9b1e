"""The gossip adapter with real libp2p processes on loopback."""

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import pytest
import pytest_asyncio

from node.adapters.gossip_libp2p import LibP2PGossip
from node.protocol.errors import GossipError, SetupError

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

TOPIC = "commonweight/test"
PATIENCE = 30.0

Hosts: TypeAlias = list[LibP2PGossip]


async def start(
    root: Path, name: str, bootstrap: Sequence[str] = (), *, port: int = 0, network_key: bytes = b""
) -> LibP2PGossip:
    keys = root / name / "keys"
    return await LibP2PGossip.start(
        root / name, keys, topic=TOPIC, bootstrap=bootstrap, port=port, network_key=network_key
    )


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait for something that other processes bring about."""
    deadline = time.monotonic() + PATIENCE
    while not await condition():
        assert time.monotonic() < deadline, f"no {what} within {PATIENCE} s"
        await asyncio.sleep(0.05)


async def meshed(*nodes: LibP2PGossip) -> None:
    async def everybody_sees_everybody() -> bool:
        return all([len(await node.peers()) == len(nodes) - 1 for node in nodes])

    await until(everybody_sees_everybody, "full mesh")


async def read(node: LibP2PGossip, count: int) -> list[bytes]:
    async with asyncio.timeout(PATIENCE):
        return [(await anext(node.messages())).data for _ in range(count)]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def trio_of_hosts(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hosts]:
    root = tmp_path_factory.mktemp("gossip")
    first = await start(root, "a")
    # b and c know only a, and find each other through it.
    others = await asyncio.gather(start(root, "b", first.addresses), start(root, "c", first.addresses))
    nodes = [first, *others]
    try:
        await meshed(*nodes)
        yield nodes
    finally:
        await asyncio.gather(*(node.close() for node in nodes))


async def test_every_message_arrives_once_with_its_author(trio_of_hosts: Hosts):
    expected = Counter()
    for number in range(5):
        for node in trio_of_hosts:
            data = b"%d from %s" % (number, node.peer_id.encode())
            expected[node.peer_id, data] += 1
            await node.publish(data)
    for node in trio_of_hosts:
        async with asyncio.timeout(PATIENCE):
            got = [await anext(node.messages()) for _ in range(10)]
        assert Counter((message.author, message.data) for message in got) == Counter(
            {key: count for key, count in expected.items() if key[0] != node.peer_id}
        )
    await trio_of_hosts[0].publish(b"last")
    # A duplicate of anything above would come before it.
    assert [await read(node, 1) for node in trio_of_hosts[1:]] == [[b"last"], [b"last"]]


async def test_the_largest_payload_passes_and_one_more_byte_is_refused(trio_of_hosts: Hosts):
    sender, *others = trio_of_hosts
    largest = os.urandom(65_536)
    await sender.publish(largest)
    assert [await read(node, 1) for node in others] == [[largest], [largest]]
    with pytest.raises(GossipError, match="65536"):
        await sender.publish(largest + b"x")


async def test_a_cancelled_reader_loses_nothing(trio_of_hosts: Hosts):
    sender, reader, other = trio_of_hosts
    waiting = asyncio.ensure_future(anext(reader.messages()))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    await sender.publish(b"after the cancellation")
    assert await read(reader, 1) == [b"after the cancellation"]
    await read(other, 1)


async def test_strangers_cannot_kill_a_host_or_pass_off_messages(trio_of_hosts: Hosts):
    victim, *others = trio_of_hosts
    before = victim.health.host
    attacks = [
        "malformed protobuf",
        "key that cannot be parsed",
        "unsigned",
        "forged author",
        "tampered",
        "oversized",
        "old",
        "from the future",
        "broken peer record",
        "topic that is not text",
        "broken prune",
        "endless length",
        "garbage on the stream",
        "garbage instead of a handshake",
        "peer exchange cut short",
        "plaintext",
        "genuine",
    ]
    attacker = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("libp2p_attacker.py")),
        victim.addresses[0],
        TOPIC,
        *attacks,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    output, _ = await attacker.communicate()
    assert sorted(output.decode().splitlines()) == sorted(attacks)
    assert attacker.returncode == 0
    # Only the control, a well-formed message of a stranger, came through.
    assert await read(victim, 1) == [b"GOOD"]
    await others[0].publish(b"still here")
    assert await read(victim, 1) == [b"still here"]
    assert victim.health.host == before
    assert [await read(node, 1) for node in others] == [[b"GOOD"], [b"GOOD"]]
    assert await read(others[1], 1) == [b"still here"]


async def test_a_killed_host_comes_back_with_its_identity_and_misses_nothing(trio_of_hosts: Hosts):
    sender, victim, other = trio_of_hosts
    identity, addresses, pid = victim.peer_id, victim.addresses, victim.health.host.pid
    await sender.publish(b"before")  # its peers will offer it again to the host that comes back
    assert [await read(node, 1) for node in (victim, other)] == [[b"before"], [b"before"]]
    os.kill(pid, signal.SIGKILL)

    async def down() -> bool:
        return not victim.health.host.up

    await until(down, "sign of the death")
    with pytest.raises(GossipError, match="try again"):
        await victim.publish(b"lost")
    await sender.publish(b"while it was down")
    assert await read(victim, 1) == [b"while it was down"]
    assert (victim.peer_id, victim.addresses) == (identity, addresses)
    assert victim.health.host.restarts == 1
    await victim.publish(b"back")
    assert await read(sender, 1) == [b"back"]
    assert await read(other, 2) == [b"while it was down", b"back"]


async def test_the_identity_is_kept_on_disk_readable_by_its_owner_only(tmp_path: Path):
    async with await start(tmp_path, "a") as node:
        first = node.peer_id
    key = tmp_path / "a" / "keys" / "gossip.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    async with await start(tmp_path, "a") as node:
        assert node.peer_id == first
    key.write_bytes(b"damaged")
    with pytest.raises(SetupError, match="identity"):
        await start(tmp_path, "a")


async def test_a_port_in_use_is_named(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=str(port)) as caught:
            await start(tmp_path, "a", port=port)
        assert caught.value.hint


async def test_another_hosts_port_is_in_use_too(tmp_path: Path):
    # libp2p listens with SO_REUSEPORT: without our own check a second host would share the port.
    async with await start(tmp_path, "a") as node:
        port = int(node.addresses[0].split("/")[4])
        with pytest.raises(SetupError, match=str(port)):
            await start(tmp_path, "b", port=port)


async def test_a_bad_bootstrap_address_is_refused(tmp_path: Path):
    with pytest.raises(SetupError, match="multiaddr"):
        await start(tmp_path, "a", ["/ip4/127.0.0.1/tcp/1"])


async def test_other_network_keys_and_none_are_shut_out(tmp_path: Path):
    key = b"k" * 32
    first = await start(tmp_path, "a", network_key=key)
    friend, stranger, outsider = await asyncio.gather(
        start(tmp_path, "b", first.addresses, network_key=key),
        start(tmp_path, "c", first.addresses, network_key=b"x" * 32),
        start(tmp_path, "d", first.addresses),
    )
    try:
        await meshed(first, friend)
        await friend.publish(b"among us")
        assert await read(first, 1) == [b"among us"]
        assert (await stranger.peers(), await outsider.peers()) == ((), ())
    finally:
        await asyncio.gather(*(node.close() for node in (first, friend, stranger, outsider)))


async def test_readers_end_when_the_adapter_closes(tmp_path: Path):
    node = await start(tmp_path, "a")
    pid = node.health.host.pid
    await node.close()
    assert [message async for message in node.messages()] == []
    assert gone(pid)
    with pytest.raises(GossipError):
        await node.publish(b"too late")
    assert await node.peers() == ()


async def test_no_host_outlives_a_parent_that_was_killed(tmp_path: Path):
    script = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from node.adapters.blobs_ipfs import KuboStore\n"
        "from node.adapters.gossip_libp2p import LibP2PGossip\n"
        "async def main(root):\n"
        "    gossip = await LibP2PGossip.start(root / 'p2p', root / 'keys', topic='t')\n"
        "    store = await KuboStore.start(root / 'ipfs', swarm_key=bytes(32))\n"
        "    print(gossip.health.host.pid, store.status.pid, flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main(Path(sys.argv[1])))\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", script, str(tmp_path), stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pids = [int(pid) for pid in (await asyncio.wait_for(parent.stdout.readline(), PATIENCE)).split()]
    assert len(pids) == 2
    assert not any(map(gone, pids))
    parent.kill()
    await parent.wait()

    async def all_gone() -> bool:
        return all(map(gone, pids))

    await until(all_gone, "end of the children")
