"""A whole community on simulated ports and virtual time: real roles, driver and aggregation; fake wire."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node.audit.models import ModelAuditor
from node.audit.report import AuditReport, audit
from node.confidential.agreement import agree, public_key
from node.driver import Driver, DriverConfig
from node.executor import Executor, Ports
from node.membership.deeds import Applicant
from node.membership.request import DataStatement, Source
from node.ports import Trainer
from node.protocol.cid import compute_cid, digest_from_cid
from node.protocol.errors import LocalProtocolError
from node.protocol.guideline import Guideline
from node.protocol.state import State
from node.protocol.types import Address, Call, Cid, Phase
from node.roles.steward import StewardPlan
from node.sim.blobs import SimSwarm
from node.sim.chain import SimChain
from node.sim.clock import VirtualClock
from node.sim.gossip import GossipFaults, SimNetwork
from node.sim.ledger import Deployment, address_of
from node.sim.round_storage import Model
from node.sim.rules import audit_rules
from node.sim.trainer import ToyTask, ToyTrainer
from node.store import NodeStore

MEMBER_ROLES = ("applicant", "trainer", "verifier", "attester", "keeper", "challenger", "juror")


@dataclass
class SimSigner:
    """A key that signs nothing: the simulated chain knows the sender by its port."""

    address: Address

    def sign_transaction(self, transaction: Mapping[str, Any]) -> bytes:
        """Never called.

        Raises:
            LocalProtocolError: always.
        """
        raise LocalProtocolError(f"Nothing is signed in simulation: {sorted(transaction)}.")

    def sign_typed(self, domain: Any, types: Any, message: Any) -> bytes:  # noqa: ARG002 - the address is all there is
        """As if signed, by the account that the message names."""
        return self.address.encode().ljust(65, b" ") if message["account"] == self.address else bytes(65)

    def derive(self, label: bytes) -> bytes:
        """HMAC-SHA-256 under the address."""
        return hmac.new(self.address.encode(), label, hashlib.sha256).digest()

    @property
    def encryption_public_key(self) -> bytes:
        """X25519 public key of a private one that follows from the address."""
        return public_key(self.derive(b"x25519"))

    def shared_secret(self, peer_public_key: bytes) -> bytes:
        """As the keystore's."""
        return agree(self.derive(b"x25519"), peer_public_key)


def recover(_chain_id: int, _registry: Address, _account: Address, _body_hash: bytes, signature: bytes) -> Address:
    """As good as `SimSigner.sign_typed`: it says who signed."""
    return Address(signature.rstrip(b" ").decode())


def toy_guideline(**update: Any) -> Guideline:
    """A guideline of the toy task; ``update`` changes its update document."""
    documents = {
        "data": {"task": "toy", "held_out": ["held-out"]},
        "architecture": {"trainable_suffix": ""},
        "update": {
            "pipeline": "arc+nnm+trimmed_mean",
            "outer_learning_rate": 1.0,
            "max_norm": 100.0,
            "max_bytes": 1 << 20,
            **update,
        },
        "versioning": {},
    }
    return Guideline.parse(json.dumps(documents).encode())


@dataclass
class SimNode:
    """A node of the community, and its task while it runs."""

    name: str
    address: Address
    driver: Driver
    store: NodeStore
    task: asyncio.Task[None] | None = None

    @property
    def state(self) -> State:
        """The network as this node knows it."""
        return self.driver.state


@dataclass
class Community:
    """n members and one seat that reviews and stewards."""

    folder: Path
    members: int = 5
    rounds: int = 1
    member_rounds: int = 0
    least_members: int = 0
    seed: int = 0
    gossip_faults: GossipFaults = field(default_factory=GossipFaults)
    trainers: dict[int, Any] = field(default_factory=dict)
    update: dict[str, Any] = field(default_factory=dict)
    executor: type[Executor] = Executor
    rules: dict[str, Any] = field(default_factory=dict)
    slices: Callable[[int], bytes] | None = None
    is_public: bool = False  # stewards give a public update with their slices
    steward_trainer: type[ToyTrainer] = ToyTrainer
    keys: dict[str, bytes] = field(default_factory=dict)  # encryption keys registered in place of the node's own
    signers: dict[str, type[SimSigner]] = field(default_factory=dict)
    nodes: list[SimNode] = field(default_factory=list)
    data_of: dict[str, str] = field(default_factory=dict)
    forged: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.task = ToyTask(seed=self.seed)
        self.guideline = toy_guideline(**self.update)
        self.clock = VirtualClock()
        self.genesis = self.task.genesis()
        model = Model(hashlib.sha256(self.genesis).digest(), digest_from_cid(compute_cid(self.genesis)))
        self.seats = tuple(address_of(f"seat/{i}") for i in range(3))
        self.deployment = Deployment(
            seats=self.seats,
            threshold=2,
            genesis=model,
            guideline_hash=self.guideline.hash,
            guideline_cid=digest_from_cid(compute_cid(self.guideline.canonical)),
            **self.rules,
        )
        self.world = SimChain(self.deployment, self.clock, block_time=1, seed=self.seed)
        self.wire = SimNetwork(self.gossip_faults, seed=self.seed)
        self.swarm = SimSwarm()

    async def start(self) -> None:
        """Publish the founding model and launch everybody."""
        founder = self.swarm.join("founder")
        for file in (self.genesis, self.guideline.canonical):
            await founder.put(file)
        for i in range(self.members):
            self.launch(self.make(f"member/{i}", MEMBER_ROLES, i))
        for i, _seat in enumerate(self.seats):
            self.launch(self.make(f"seat/{i}", ("steward", "reviewer"), None))

    def make(self, name: str, roles: tuple[str, ...], index: int | None) -> SimNode:
        """A node with its doors, not yet running; ``index`` of a member, None for a seat. One made again finds its folder."""
        address = address_of(name)
        trainer: Trainer | None = None
        if index is not None:
            trainer = self.trainers.get(index, ToyTrainer)(self.task, name)
        elif self.is_public:
            trainer = self.steward_trainer(self.task, name)
        signer = self.signers.get(name, SimSigner)(address)
        ports = Ports(
            chain=self.world.chain_for(address),
            blobs=self.swarm.join(name),
            signer=signer,
            gossip=self.wire.join(f"peer-of-{name}") if index is not None else None,
            trainer=trainer,
            slices=(self.slices or self.slice_of) if index is None else None,
        )

        async def statement() -> DataStatement:
            return DataStatement(
                ("toy",), (Source(self.data_of.get(name, name), "1", "own", 100),), 100, 1, 0, 0, 0, ""
            )

        store = NodeStore(self.folder / name.replace("/", "-"))
        executor = self.executor(
            ports=ports,
            store=store,
            guideline=self.guideline,
            chain_id=self.deployment.chain_id,
            round_manager=self.world.ledger.rounds.address,
            court=self.world.ledger.court.address,
            max_verifiers=7,
            public_benchmark=self.task.benchmark("public"),
            seed=self.seed,
            fetch_seconds=5.0,
            applicant=Applicant(
                self.world.ledger.registry.address,
                name,
                encryption_key=self.keys.get(name, signer.encryption_public_key),
                statement=statement,
                recover=recover,
            ),
        )
        config = DriverConfig(
            roles=roles,
            params=self.deployment.params,
            court=self.deployment.court,
            scoring=self.deployment.scoring,
            first_block=0,
            plan=StewardPlan(self.rounds if index is None else self.member_rounds, self.least_members or self.members),
        )
        return SimNode(name, address, Driver(executor, self.clock, config), store)

    def slice_of(self, number: int) -> bytes:
        """The slice that the steward of a round opens."""
        return self.task.benchmark(f"slice/{number}")

    def launch(self, node: SimNode) -> SimNode:
        """Run a node."""
        node.task = asyncio.create_task(node.driver.run(), name=node.name)
        self.nodes.append(node)
        return node

    async def dispute(self, who: SimNode, function: str, *arguments: int) -> None:
        """A person disputes from its node's account; the bond is forged, since nobody has earned one before the first round ends."""
        ledger, bond = self.world.ledger, self.deployment.court.bond
        minter = self.world.chain_for(ledger.distributor.address)
        receipt = await minter.send(Call("ContributionToken", "mint", (who.address, bond)))
        self.forged.append(receipt.transaction.hex())
        chain = self.world.chain_for(who.address)
        await chain.send(Call("ContributionToken", "approve", (ledger.court.address, bond)))
        await chain.send(Call("RoundCourt", function, arguments))

    async def kill(self, node: SimNode) -> None:
        """As kill -9 would: nothing of the process remains but its folder."""
        assert node.task is not None
        node.task.cancel()
        with suppress(asyncio.CancelledError):
            await node.task
        self.nodes.remove(node)

    async def until(self, condition: Callable[[], bool], seconds: float = 3_000) -> None:
        """Wait in virtual time; a node that died with an error fails the test here."""
        end = self.clock.now() + seconds
        while not condition():
            for node in self.nodes:
                if node.task is not None and node.task.done():
                    node.task.result()
            assert self.clock.now() < end, self.describe()
            await self.clock.sleep(1)

    async def stop(self) -> None:
        """Kill everybody."""
        for node in list(self.nodes):
            await self.kill(node)

    def is_over(self, number: int) -> bool:
        """Whether every running node knows that a round has ended."""
        return all((found := node.state.rounds.get(number)) is not None and found.is_over for node in self.nodes)

    @staticmethod
    def cid_of(data: bytes) -> Cid:
        """CID of a file."""
        return compute_cid(data)

    def phase(self, number: int) -> Phase:
        """Phase of a round, as the first node knows it."""
        found = self.nodes[0].state.rounds.get(number)
        return found.phase if found else Phase.NONE

    def describe(self) -> str:
        """Everybody's status, for error messages."""
        return json.dumps([node.driver.status(0) for node in self.nodes], indent=1, default=str)


async def audit_of(community: Community) -> AuditReport:
    """A stranger's audit: the chain's events and a store of its own."""
    deployment = community.deployment
    rules = audit_rules(community.world.ledger, guideline_hash=community.guideline.hash)
    auditor = ModelAuditor(
        community.swarm.join("auditor"), community.guideline, deployment.chain_id, rules.round_manager, 5.0
    )
    chain = community.world.chain_for(address_of("auditor"))
    return await audit(chain, rules, first_block=0, models=auditor)
