"""The BlobStore port on an embedded IPFS node: Kubo in a supervised child process (`node.hosts.kubo_host`).

Reading does not trust Kubo, which returns damaged local blocks as success, fetches whatever a hostile root block links
to, and has no size limit, no deadline and no quota. So the tree is walked here: the root block alone is fetched and
tells the size; then each level's blocks, exactly as many as a file of that size has; every block is read from disk and
hashed by us. To make Kubo fetch given blocks and nothing below them, a lone block is pinned as raw bytes (the same
multihash under another codec), and many are pinned through a throw-away block that links them as raw bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from secrets import token_bytes, token_hex
from types import TracebackType
from typing import Final, Self

from node.adapters.blobs_flatfs import DamagedBlock, FlatFs, Pins, in_thread
from node.hosts.messages import Add, Connect, Message, Peers, Pin, Ready, Request, StartKubo, Unpin
from node.hosts.supervisor import HostDown, HostProcess, HostRefused, HostStatus, RequestFailed
from node.protocol.cid import (
    CHUNK_BYTES,
    Branch,
    FileWalk,
    children,
    cid_from_digest,
    digest_from_cid,
    iter_blocks,
    manifest_block,
    open_root,
    raw_cid_text,
)
from node.protocol.errors import (
    BlobCorrupt,
    BlobError,
    BlobStoreDown,
    BlobUnavailable,
    CommonweightError,
    SetupError,
)
from node.protocol.types import Cid

log = logging.getLogger(__name__)

_PUT_SECONDS: Final = 120.0
_PIN_SECONDS: Final = 20.0  # of content that is complete here
_CONNECT_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 1.0
_DIAL_PAUSE_MOST: Final = 30.0
_MAX_KNOWN: Final = 256
_DOWN_SECONDS: Final = 20.0  # how long a call waits for a child that is being restarted
_FOR_EVER: Final = 1e9  # the caller's own deadline counts
_MAX_HUNG: Final = 12  # forgotten calls that still occupy Kubo before it is started again
_BATCH: Final = 256  # blocks asked for at a time: 64 MiB
_RESERVE_BYTES: Final = 32 << 20  # never fill the disk to the brim: Kubo's own database lives there too
_ADDRESS: Final = re.compile(r"/[\w.:/-]{1,256}/p2p/[1-9A-HJ-NP-Za-km-z]{46,64}")
_EMPTY_FOLDER: Final = sha256(b"\x0a\x02\x08\x01").digest()  # Kubo's files root; must not be collected


class KuboStore:
    """Blobs in an embedded Kubo. Make one with `start`; it is also an asynchronous context manager."""

    def __init__(self, root: Path, start: StartKubo, quota_bytes: int) -> None:
        root = root.absolute()
        self._root = root
        self._incoming = root / "incoming"
        self._blocks = FlatFs(root / "repo" / "blocks")
        self._pins = Pins(root / "pins")
        self._quota = quota_bytes
        self._usage = 0
        self._wanted: Counter[bytes] = Counter()  # blocks of calls under way: not to be collected
        self._known: list[str] = []  # dialled on request
        self._met: tuple[str, ...] = ()  # connected when last asked
        self._lost: tuple[str, ...] = ()  # connected before the child was restarted
        self._pauses: dict[str, tuple[float, float]] = {}  # by address: when to dial again, and the pause before that
        self._look = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._start_message = start = replace(start, repo=str(root / "repo"))
        self._making_room = asyncio.Lock()
        self._ready = Ready("", ())
        self._host = HostProcess(
            "node.hosts.kubo_host",
            root,
            start,
            on_message=self._on_message,
            restart_message=self._restart_message,
            environment={"LIBP2P_FORCE_PNET": "1"},
            before_start=self._tidy,
        )

    @classmethod
    async def start(
        cls,
        root: Path,
        *,
        swarm_key: bytes,
        bootstrap: Sequence[str] = (),
        port: int = 0,
        listen: str = "127.0.0.1",
        announce: Sequence[str] = (),
        quota_bytes: int = 20 << 30,
    ) -> Self:
        """Start the child on the repository in ``root`` (made on first use). Does not wait for peers.

        Args:
            root: folder of the store; everything in it can be fetched again, except what only we hold.
            swarm_key: 32 bytes; only nodes with the same key can connect.
            bootstrap: multiaddrs ending in ``/p2p/<id>`` of other stores; our own is skipped.
            port: TCP port, 0 for any free one (kept across restarts of the child).
            listen: IP address to listen on.
            announce: multiaddrs told to others instead of the listen address (behind NAT), without ``/p2p/``.
            quota_bytes: most bytes of blocks kept; beyond it, what is not pinned goes, then calls fail.

        Raises:
            SetupError: the port is in use, the folder is taken, the disk is full, an address is invalid.
            BlobStoreDown: the child ended without a reason.
        """
        if len(swarm_key) != 32:
            raise SetupError(f"A swarm key has 32 bytes, not {len(swarm_key)}.")
        message = StartKubo("", listen, port, tuple(announce), tuple(bootstrap), swarm_key)
        try:
            store = cls(root, message, quota_bytes)
            await store._host.start()
            store._keeper = asyncio.create_task(store._keep_connected(), name="connections of the blob store")
        except HostRefused as error:
            raise SetupError(error.failure.what, why=error.failure.why, hint=error.failure.hint) from error
        except HostDown as error:
            raise BlobStoreDown(
                "The IPFS node did not start.", why=str(error), hint=f"Read {root / 'host.log'}."
            ) from error
        except OSError as error:
            raise SetupError(f"The folder {root} cannot be used.", why=str(error)) from error
        return store

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def addresses(self) -> Sequence[str]:
        """Multiaddrs (with /p2p/ id) on which our store can be dialled."""
        return self._ready.addresses

    @property
    def status(self) -> HostStatus:
        """State of the child, for status pages."""
        return self._host.status

    # --- the port ---

    async def put(self, data: bytes) -> Cid:
        """Store and pin; the CID is that of `compute_cid`.

        Raises:
            BlobStoreDown: the node is not up.
            SetupError: the disk or the quota is full.
        """
        blocks = await in_thread(lambda: [digest for digest, _ in iter_blocks((data,))])
        cid = cid_from_digest(blocks[-1])
        if cid in self._pins.cids and not await in_thread(self._absent, blocks):
            return cid
        await self._room_for(len(data))
        path = self._incoming / token_hex(8)
        self._want(blocks)
        try:
            await in_thread(self._write_incoming, path, data)
            said = await self._ask(lambda number: Add(number, str(path)), _PUT_SECONDS)
            if said != (cid,):
                raise BlobCorrupt(f"Kubo stored the content as {said!r:.80}, but its CID is {cid}.")
            # Kubo skips blocks it believes to have, even where the disk says otherwise.
            await in_thread(self._repair, data)
            await self._ask(lambda number: Pin(number, cid), _PIN_SECONDS)
            self._pins.add(cid)
        except (RequestFailed, OSError) as error:
            raise self._failure(f"{cid} could not be stored.", error, BlobStoreDown) from error
        except TimeoutError as error:
            raise _down(error) from error
        finally:
            path.unlink(missing_ok=True)
            self._release(blocks)
        self._usage += len(data)
        return cid

    async def get(self, cid: Cid, *, max_bytes: int, seconds: float) -> bytes:
        """Fetch, verify every block, and pin.

        Raises:
            BlobUnavailable: nobody served it within ``seconds``.
            BlobTooLarge: it is longer than ``max_bytes`` (nothing but its root block was fetched).
            BlobCorrupt: bytes differ from the CID; or our copy was damaged and nobody else had it in time.
            BlobStoreDown: the node is not up.
            SetupError: the disk or the quota is full.
            RemoteProtocolError: not a CID.
        """
        walk = FileWalk(cid, max_bytes=max_bytes, batch=_BATCH)
        reading = _Reading()
        try:
            async with asyncio.timeout(seconds):
                while walk.data is None:
                    await in_thread(walk.feed, await self._collect(walk.wanted, reading))
                if cid not in self._pins.cids:
                    await self._ask(lambda number: Pin(number, cid), _PIN_SECONDS)
        except TimeoutError as error:
            raise self._unavailable(cid, seconds, damaged=reading.damaged) from error
        except (RequestFailed, OSError) as error:
            raise self._failure(f"{cid} could not be fetched.", error, BlobUnavailable) from error
        finally:
            self._release(reading.asked)
        self._pins.add(cid)
        self._usage += reading.fetched
        return walk.data

    async def unpin(self, cid: Cid) -> None:
        """Let go of it; unknown CIDs are ignored. The space is reused when the quota asks for it."""
        if cid not in self._pins.cids:
            return
        self._pins.remove(cid)
        with contextlib.suppress(HostDown, RequestFailed, TimeoutError):
            await self._host.request(lambda number: Unpin(number, cid), _PIN_SECONDS)

    async def connect(self, address: str) -> None:
        """Dial another store's multiaddr (best effort), and again whenever the connection is gone."""
        if not _ADDRESS.fullmatch(address):
            log.info("not the address of a store: %.100r", address)
            return
        if await self._dial(address) and address not in self._known:
            self._known = [*self._known[-_MAX_KNOWN:], address]

    async def close(self) -> None:
        """Stop the node."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
        await self._host.close()

    # --- the child ---

    def _on_message(self, message: Message) -> None:
        if isinstance(message, Ready) and all(map(_ADDRESS.fullmatch, message.addresses)):
            if not self._ready.peer_id:  # the folder is ours only now
                shutil.rmtree(self._incoming, ignore_errors=True)
            self._ready = message
            self._lost = self._met
            self._pauses.clear()
            self._look.set()
        else:
            log.warning("the IPFS host sent an unexpected %s", type(message).__name__)

    async def _dial(self, address: str) -> bool:
        try:
            await self._host.request(lambda number: Connect(number, address), _CONNECT_SECONDS)
        except (HostDown, RequestFailed, TimeoutError) as error:
            log.debug("dialling the store at %s failed: %s", address, error)
            return False
        return True

    async def _keep_connected(self) -> None:
        """Dial the stores we know whenever they are away; the child dials nobody by itself."""
        while True:
            self._look.clear()
            with contextlib.suppress(HostDown, RequestFailed, TimeoutError):
                await self._dial_missing(await self._host.request(Peers, _CONNECT_SECONDS))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._look.wait()

    async def _dial_missing(self, connected: Sequence[str]) -> None:
        # Kubo lists /ip4/…/tcp/…/<peer id>, without /p2p/.
        met = (re.sub(r"/(\w+)$", r"/p2p/\1", peer) for peer in connected[:_MAX_KNOWN])
        self._met = tuple(address for address in met if _ADDRESS.fullmatch(address))
        there = {address.rpartition("/")[2] for address in (*self._met, *self._ready.addresses)}
        now = asyncio.get_running_loop().time()
        wanted = dict.fromkeys((*self._start_message.bootstrap, *self._known, *self._lost))
        away = [address for address in wanted if address.rpartition("/")[2] not in there]
        due = [address for address in away if self._pauses.get(address, (0.0, 0.0))[0] <= now]
        self._lost = ()
        for address, reached in zip(due, await asyncio.gather(*map(self._dial, due)), strict=True):
            pause = self._pauses.pop(address, (0.0, _LOOK_SECONDS / 2))[1]
            if not reached:
                self._pauses[address] = (now + 2 * pause, min(2 * pause, _DIAL_PAUSE_MOST))

    def _restart_message(self, ready: Ready) -> Message:
        message = self._start_message
        ports = [part for address in ready.addresses for part in re.findall(r"/tcp/(\d{1,5})(?:/|$)", address)]
        return message if message.port or message.announce or not ports else replace(message, port=int(ports[0]))

    def _tidy(self) -> None:
        """Before every start of the child, in a thread: remove left-overs, and unpinned blocks when space is short."""
        self._usage = self._blocks.usage()
        if self._usage <= self._quota // 2:
            return
        keep = {_EMPTY_FOLDER}
        for cid in tuple(self._pins.cids):
            keep |= self._tree(Cid(cid))
        self._usage -= self._blocks.collect(lambda digest: digest in keep or digest in self._wanted)

    def _tree(self, cid: Cid) -> set[bytes]:
        """Digests of all blocks of a file stored here, as far as they are intact; leaves are not read."""
        found = {digest_from_cid(cid)}
        try:
            root = self._blocks.read(digest_from_cid(cid))
            level = [open_root(cid, root, max_bytes=1 << 50)] if root else []
            while level and level[0].depth:
                below: list[Branch] = []
                for branch in level:
                    block = self._blocks.read(branch.digest)
                    below += children(branch, block) if block else ()
                found |= {branch.digest for branch in below}
                level = below
        except (DamagedBlock, BlobError) as error:
            log.warning("%s is damaged on disk: %s", cid, error)
        return found

    async def _ask(self, build: Callable[[int], Request], seconds: float) -> tuple[str, ...]:
        """A request that survives restarts of the child (all of ours may be repeated)."""
        async with asyncio.timeout(seconds):
            while True:
                try:
                    return await self._host.request(build, seconds)
                except HostDown:
                    try:
                        await self._host.wait_up(_DOWN_SECONDS)
                    except HostDown as error:
                        raise _down(error) from error

    # --- blocks ---

    async def _collect(self, digests: Sequence[bytes], reading: _Reading) -> dict[bytes, bytes]:
        """These blocks, from disk or else from peers; waits until all are here."""
        reading.asked += digests
        self._want(digests)
        attempt = 0
        while True:
            found, damaged = await in_thread(self._blocks.read_all, digests)
            reading.damaged |= damaged
            missing = [digest for digest in dict.fromkeys(digests) if digest not in found]
            if not missing:
                return found
            size = len(missing) * CHUNK_BYTES
            await self._room_for(size)
            await self._fetch(missing, attempt)
            reading.fetched += size
            attempt += 1

    async def _fetch(self, digests: Sequence[bytes], attempt: int) -> None:
        """Make Kubo fetch these blocks, and no others. Returns when it says they are here; may wait for ever."""
        if self._host.unanswered >= _MAX_HUNG:
            log.warning("%d calls hang in Kubo; starting it again", self._host.unanswered)
            self._host.kill()
        if len(digests) == 1 and attempt == 0:
            target = raw_cid_text(digests[0])
        else:
            # A second attempt needs a block Kubo has never pinned, or it would believe to be done already.
            digest, block = manifest_block(digests, token_bytes(8) if attempt else b"")
            await in_thread(self._blocks.write, digest, block)
            target = cid_from_digest(digest)
        await self._ask(lambda number: Pin(number, target), _FOR_EVER)
        # Somebody who waited for the same pin may have let go of it first.
        with contextlib.suppress(RequestFailed):
            await self._ask(lambda number: Unpin(number, target), _PIN_SECONDS)

    def _absent(self, digests: Sequence[bytes]) -> bool:
        return len(self._blocks.read_all(digests)[0]) < len(set(digests))

    def _repair(self, data: bytes) -> None:
        for digest, block in iter_blocks((data,)):
            if self._absent([digest]):
                self._blocks.write(digest, block)

    def _write_incoming(self, path: Path, data: bytes) -> None:
        self._incoming.mkdir(mode=0o700, exist_ok=True)
        path.write_bytes(data)

    def _want(self, digests: Sequence[bytes]) -> None:
        """Protect blocks from collection until `_release`."""
        self._wanted.update(digests)

    def _release(self, digests: Sequence[bytes]) -> None:
        """End the protection of `_want`."""
        self._wanted.subtract(digests)
        self._wanted += Counter()  # drop the zeros

    # --- space ---

    async def _room_for(self, size: int) -> None:
        """See that ``size`` more bytes fit; collect what is not pinned if they do not.

        Raises:
            SetupError: they do not fit even then.
        """
        free = shutil.disk_usage(self._root).free
        if free < size + _RESERVE_BYTES:
            raise SetupError(
                f"The disk under {self._root} is full.",
                why=f"{size} more bytes are needed and {free} are free.",
                hint="Free some space, or move the store to a larger disk.",
            )
        async with self._making_room:
            if self._usage + size <= self._quota:
                return
            self._host.kill()  # `_tidy` collects before the child starts again
            try:
                await self._host.wait_up(_DOWN_SECONDS)
            except HostDown as error:
                raise _down(error) from error
        if self._usage + size > self._quota:
            raise SetupError(
                f"The blob store's quota of {self._quota} bytes is full.",
                why=f"{self._usage} bytes are pinned and {size} more are needed.",
                hint="Raise the quota, or unpin old rounds.",
            )

    def _unavailable(self, cid: Cid, seconds: float, *, damaged: bool) -> BlobError:
        """The error for a deadline that passed."""
        if not self._host.status.up:
            return _down(TimeoutError(f"It was down and did not come back within {seconds:g} s."))
        if damaged:
            return BlobCorrupt(
                f"The copy of {cid} here was damaged, and no peer served it within {seconds:g} s.",
                why="Bytes on disk no longer matched the CID; the damaged block has been deleted.",
                hint="Check the disk; fetch again when a peer that has it is online.",
            )
        return BlobUnavailable(
            f"Nobody served {cid} within {seconds:g} s.",
            why="No connected peer has it (all of it), or the connection is too slow.",
            hint="Is the node that published it online and connected?",
        )

    def _failure(self, what: str, error: Exception, otherwise: type[BlobError]) -> CommonweightError:
        """The error of the port for Kubo's "something failed": a full disk, or ``otherwise``."""
        free = shutil.disk_usage(self._root).free
        if isinstance(error, OSError) or free < _RESERVE_BYTES:
            hint = "Free some space, or move the store to a larger disk."
            return SetupError(what, why=f"{free} bytes are free: {error}", hint=hint)
        return otherwise(what, why=str(error), hint=f"Read {self._root / 'kubo.log'}.")


@dataclass(slots=True)
class _Reading:
    """One `KuboStore.get` under way: blocks it asked for, bytes it got from peers, whether it met a damaged block."""

    asked: list[bytes] = field(default_factory=list)
    fetched: int = 0
    damaged: bool = False


def _down(error: Exception) -> BlobStoreDown:
    return BlobStoreDown(
        "The IPFS node is not up.",
        why=str(error) or "It does not answer.",
        hint="It is restarted by itself; try again.",
    )
