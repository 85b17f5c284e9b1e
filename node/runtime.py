"""Puts one node together from its settings: loads what is on disk, opens the doors, hands them to the driver, closes them again.

The only module besides the command line that knows adapters and driver at once.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from node.adapters.chain_evm import EvmChain
from node.adapters.clock_system import SystemClock
from node.adapters.signer_keystore import KeystoreSigner
from node.combine import require_guideline
from node.config import Config
from node.dao.honour import require_honoured
from node.driver import Driver, DriverConfig
from node.executor import Executor, Ports
from node.health import HealthServer, Vitals
from node.manifest import Manifest, load_manifest
from node.membership.deeds import NO_DATA, Applicant
from node.membership.request import DataStatement
from node.membership.survey import hardware
from node.membership.survey import statement as data_statement
from node.outbox import OUTBOX, serve_outbox
from node.ports import BlobStore, Gossip, Trainer
from node.privacy import LEDGER, PrivacySettings, totals
from node.protocol.errors import ConfigError
from node.protocol.guideline import Guideline
from node.protocol.types import Call, Cid
from node.roles.steward import StewardPlan
from node.store import NodeStore

if TYPE_CHECKING:  # torch is loaded by the nodes that train
    from learning.tasks.code_search import Pair
    from node.adapters.trainer_local import LocalTrainer

ACCOUNT_FILE = "account.json"
PUBLIC_ROWS = 500
"""Rows of the public benchmark that training data are compared with (`node.adapters.trainer_local`)."""
GOSSIP_ROLES = frozenset({"applicant", "trainer", "verifier", "attester"})
TRAINER_ROLES = frozenset({"trainer", "verifier", "juror", "steward"})
WARM_ROLES = TRAINER_ROLES - {"steward"}

WrapTrainer = Callable[[Trainer], Trainer]


@dataclass(slots=True)
class Node:
    """A node ready to run, and what is worth looking at."""

    driver: Driver
    store: NodeStore
    blobs: BlobStore
    gossip: Gossip | None
    trainer: Trainer | None
    chain: EvmChain
    opened_at: float


def read_file(path: Path, what: str, hint: str) -> bytes:
    """Bytes of a file a node cannot start without.

    Raises:
        ConfigError: it is not there.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"The {what} {path} cannot be read: {error.strerror}.", hint=hint) from error


def load_guideline(config: Config, manifest: Manifest, in_force: bytes | None = None) -> Guideline:
    """The guideline on disk, which must be the one the contracts pin, and one that can be carried out.

    Args:
        config: settings of the node.
        manifest: of the deployment; its guideline is the founding one.
        in_force: hash of the one in force, where the chain was asked: also right, and where a running node goes by itself.

    Raises:
        ConfigError: it is another one, or asks for what is not possible.
    """
    data = read_file(config.network.guideline, "guideline", "It comes with the network's files.")
    guideline = Guideline.parse(data)
    founding = manifest.guideline.hash
    if guideline.hash not in (founding, in_force):
        raise ConfigError(
            f"The guideline {config.network.guideline} hashes to {guideline.hash.hex()}, "
            f"the contracts pin {(in_force or founding).hex()}.",
            hint="Get the one in force with `commonweight guideline fetch`, or point network.manifest at the right deployment.",
        )
    require_guideline(guideline)
    return guideline


def load_signer(config: Config) -> KeystoreSigner:
    """This node's key.

    Raises:
        KeystoreError: missing, damaged, or the password is wrong.
    """
    return KeystoreSigner.load(config.keys.folder / ACCOUNT_FILE, config.keys.password_file)


async def open_blobs(config: Config, root: Path) -> BlobStore:
    """The IPFS store named by the settings, started and ready."""
    if config.ipfs.mode == "rpc":
        from node.adapters.blobs_rpc import RpcStore  # noqa: PLC0415 - one of two; the other stays unloaded

        return await RpcStore.start(config.ipfs.rpc)
    from node.adapters.blobs_ipfs import KuboStore  # noqa: PLC0415

    text = read_file(config.ipfs.swarm_key_file, "swarm key", "It comes with the network's files.").decode().strip()
    try:
        key = bytes.fromhex(text)
    except ValueError as error:
        raise ConfigError(f"{config.ipfs.swarm_key_file} does not hold 64 hex digits.") from error
    return await KuboStore.start(root, swarm_key=key, bootstrap=config.ipfs.bootstrap, port=config.ipfs.port)


@asynccontextmanager
async def open_node(
    config: Config,
    *,
    wrap_trainer: WrapTrainer | None = None,
    on_status: Callable[[dict[str, Any]], None] | None = None,
    blobs: BlobStore | None = None,
    trainer: Trainer | None = None,
) -> AsyncIterator[Node]:
    """Open a node's doors; they close on the way out, whatever happens.

    Args:
        config: settings.
        wrap_trainer: puts something around the trainer (an adversary, in exercises).
        on_status: receives the driver's status.
        blobs: a store to share with another node of the same process; None opens one.
        trainer: one to share likewise; None opens one where a role needs it.
    """
    manifest = load_manifest(config.network.manifest)
    signer = load_signer(config)
    roles = frozenset(config.node.roles)
    async with AsyncExitStack() as stack:
        chain = await EvmChain.connect(
            config.chain.rpc,
            manifest.chain_id,
            manifest.contracts,
            signer=signer,
            code_hashes=manifest.code_hashes,
        )
        stack.push_async_callback(chain.close)
        _, in_force, _ = await chain.read(Call("GuidelineRegistry", "current"))
        guideline = load_guideline(config, manifest, in_force)
        trains = bool(roles & TRAINER_ROLES)
        require_honoured(guideline, config, trains=trains)
        gossip = await _open_gossip(config, manifest) if roles & GOSSIP_ROLES else None
        if gossip is not None:
            stack.push_async_callback(gossip.close)
        if blobs is None:
            blobs = await open_blobs(config, config.node.data / "ipfs")
            stack.push_async_callback(blobs.close)
        local = open_trainer(config, guideline, stack) if trainer is None and roles & TRAINER_ROLES else None
        trainer = trainer or local
        if trainer is not None and wrap_trainer is not None:
            trainer = wrap_trainer(trainer)
        store = NodeStore(config.node.data)
        ports = Ports(chain, blobs, signer, gossip, trainer, _slices(config, signer) if "steward" in roles else None)
        executor = Executor(
            ports=ports,
            store=store,
            guideline=guideline,
            chain_id=manifest.chain_id,
            round_manager=manifest.contracts["RoundManager"],
            court=manifest.contracts["RoundCourt"],
            max_verifiers=manifest.params.rounds.max_verifiers,
            public_benchmark=read_file(
                config.network.public_benchmark, "public benchmark", "See network.public_benchmark."
            ),
            seed=config.learning.seed,
            honour=lambda new: require_honoured(new, config, trains=bool(roles & TRAINER_ROLES)),
            fetch_seconds=config.pace.fetch_seconds,
            applicant=applicant_of(config, manifest, signer, local),
        )
        driver = Driver(executor, SystemClock(), _driver_config(config, manifest), on_status)
        yield Node(driver, store, blobs, gossip, trainer, chain, driver.clock.now())


async def _open_gossip(config: Config, manifest: Manifest) -> Gossip:
    from node.adapters.gossip_libp2p import LibP2PGossip  # noqa: PLC0415 - stewards need none

    return await LibP2PGossip.start(
        config.node.data / "p2p",
        config.keys.folder,
        topic=manifest.topic,
        bootstrap=config.p2p.bootstrap,
        port=config.p2p.port,
    )


def open_trainer(config: Config, guideline: Guideline, stack: AsyncExitStack) -> LocalTrainer:
    """This machine's trainer; the stack closes it."""
    from node.adapters.trainer_local import LocalTrainer, TrainerSettings  # noqa: PLC0415 - keepers need none

    trainer = LocalTrainer(
        TrainerSettings(
            learning=guideline.learning,
            repositories=config.learning.repositories,
            device=config.learning.device,
            threads=config.learning.threads,
            base_model=Path(config.learning.base_model) if config.learning.base_model else None,
            cache=config.learning.cache,
            max_bytes=guideline.update.max_bytes,
            privacy=PrivacySettings(
                config.privacy.audit, config.privacy.max_auc, config.privacy.max_tpr, config.node.data / LEDGER
            ),
        )
    )
    stack.callback(trainer.close)
    return trainer


def _slices(config: Config, signer: KeystoreSigner) -> Callable[[int], bytes]:
    from node.adapters.slices_local import LocalSlices  # noqa: PLC0415 - only stewards need it

    return LocalSlices(config.steward.rows, signer.derive, config.learning.cache)


def applicant_of(config: Config, manifest: Manifest, signer: KeystoreSigner, trainer: LocalTrainer | None) -> Applicant:
    """What a node says of itself when it asks to join; its data are measured when it does."""

    async def statement() -> DataStatement:
        if trainer is None:
            return NO_DATA
        pairs = await trainer.pairs()
        return await asyncio.to_thread(measure_data, config, pairs)

    return Applicant(
        registry=manifest.contracts["MemberRegistry"],
        name=config.node.name,
        hardware=hardware(config.learning.device),
        statement=statement,
        encryption_key=signer.encryption_public_key,
    )


def measure_data(config: Config, pairs: Sequence[Pair], note: str = "") -> DataStatement:
    """Data statement of a node's settings and rows."""
    from learning.sources.installed import public_benchmark  # noqa: PLC0415 - imports torch

    public = public_benchmark(PUBLIC_ROWS, cache=config.learning.cache)
    return data_statement(config.learning.repositories, pairs, public, note)


def _driver_config(config: Config, manifest: Manifest) -> DriverConfig:
    return DriverConfig(
        roles=config.node.roles,
        params=manifest.params.rounds,
        court=manifest.params.court,
        scoring=manifest.params.scoring,
        first_block=manifest.deployment_block,
        poll_seconds=config.pace.poll_seconds,
        stagger=config.pace.stagger,
        plan=StewardPlan(config.steward.rounds, config.steward.min_members),
        last_round=config.pace.last_round,
        review_before=config.review.before_round,
    )


async def run_node(config: Config, *, wrap_trainer: WrapTrainer | None = None) -> None:
    """Run one node until its last round is over or it is cancelled (Ctrl-C, SIGTERM)."""
    async with open_node(config, wrap_trainer=wrap_trainer) as node, AsyncExitStack() as stack:
        node.driver.on_status = status_writer(node)
        if config.operations.port:
            where = config.operations
            server = await HealthServer.start(lambda: vitals(node), host=where.host, port=where.port)
            stack.push_async_callback(server.close)
        beside = [asyncio.create_task(serve_outbox(config.node.data / OUTBOX, node.blobs), name="outbox")]
        if node.trainer is not None and WARM_ROLES & set(config.node.roles):
            beside.append(asyncio.create_task(node.trainer.prepare(), name="prepare"))
        if config.web.port:
            beside.append(_dashboard(config, node))
        try:
            await node.driver.run()
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)


def vitals(node: Node) -> Vitals:
    """One look at a running node."""
    driver, clock = node.driver, node.driver.clock
    status = driver.status(driver.state.block)
    return Vitals(
        state=driver.state,
        me=driver.me,
        block=driver.state.block,
        since_poll=clock.now() - driver.polled_at if driver.polled_at else clock.now() - node.opened_at,
        running=len(status["running"]),
        failing=len(status["failing"]),
        error=status["error"],
        gas={call: sum(spent) for call, spent in node.chain.gas_log.items()},
        disk_free=shutil.disk_usage(node.store.root).free,
        status=status,
    )


def _dashboard(config: Config, node: Node) -> asyncio.Task[None]:
    from node.web.serve import serve  # noqa: PLC0415 - most nodes serve none

    async def fetch(cid: Cid, max_bytes: int) -> bytes:
        return await node.blobs.get(cid, max_bytes=max_bytes, seconds=config.pace.fetch_seconds)

    return asyncio.create_task(serve(config, port=config.web.port, host=config.web.host, fetch=fetch), name="dashboard")


def status_writer(node: Node) -> Callable[[dict[str, Any]], None]:
    """Writes the driver's status, with the doors' addresses, where `commonweight node status` finds it."""

    def write(status: dict[str, Any]) -> None:
        doors: dict[str, Any] = {"ipfs": list(node.blobs.addresses)}
        if node.gossip is not None:
            doors |= {"peer_id": node.gossip.peer_id, "p2p": list(node.gossip.addresses)}
        spent = totals(node.store.root / LEDGER)
        if spent is not None:
            doors["privacy"] = spent
        node.store.save_status(status | doors)

    return write
