"""Rounds on the real contracts played by three members who agree, so that tests start from a finalised model and claimed rewards."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aggregation.bundle import encode
from deploy.localnet import write_toml
from deploy.manifest import NetworkParams, content, load_preset
from deploy.plan import Plan, documents
from learning.models.base import base_model_hash, genesis
from learning.models.tiny import write_tiny_model
from learning.spec import LearningSpec
from learning.tasks.code_search import Pair, encode_pairs
from node.adapters.chain_evm import EvmChain
from node.adapters.signer_keystore import KeystoreSigner
from node.config import load_config
from node.dao.desk import Desk
from node.membership.request import VERSION, Accepted, Body, DataStatement, Hardware, Identity, Request, Source
from node.protocol.cid import compute_cid, digest_from_cid
from node.protocol.commitments import (
    RoundScope,
    aggregate_secret,
    attestation,
    benchmark_commitment,
    score_commitment,
    update_commitment,
)
from node.protocol.errors import BlobUnavailable
from node.protocol.guideline import Guideline
from node.protocol.sortition import attesters
from node.protocol.types import Address, Call, Cid
from node.runtime import ACCOUNT_FILE
from node.store import NodeStore

MEMBERS = (4, 5, 6)
SEATS = (1, 2, 3)
GUARDIAN = 7
GAIN = 100_000
WORD = sum((GAIN + (1 << 19)) << (20 * j) for j in range(2))
SALT = b"\x05" * 32


def statement(*repositories: str) -> bytes:
    """A request to join that states these repositories."""
    sources = tuple(Source(name, "1.0", "MIT", 5) for name in repositories)
    nobody = Address("0x" + "00" * 20)
    body = Body(
        chain_id=31337,
        registry=nobody,
        identity=Identity(nobody, "peer", bytes(32), "tester"),
        hardware=Hardware("Linux", "x86_64", "3.11", 1, 1, "cpu", (), ""),
        data=DataStatement(("python",), sources, 10, 100, 0, 0, 0, ""),
        guideline=Accepted(1, bytes(32), {}),
        sample_updates=(),
        test_sets=(),
    )
    return Request(VERSION, body, bytes(65)).encode()


REQUEST = statement("alpha", "beta")


@dataclass
class Memory:
    """IPFS of a test: what was published can be had."""

    held: dict[str, bytes] = field(default_factory=dict)

    async def get(self, cid: Cid, *, max_bytes: int) -> bytes:
        if cid not in self.held or len(self.held[cid]) > max_bytes:
            raise BlobUnavailable(f"nobody has {cid}")
        return self.held[cid]

    async def publish(self, data: bytes) -> Cid:
        cid = compute_cid(data)
        self.held[cid] = data
        return cid


@dataclass
class Founded:
    """Founding files of a tiny community."""

    base: Path
    guideline: Guideline
    model: bytes
    benchmark: bytes


def found_tiny(folder: Path) -> Founded:
    write_tiny_model(folder)
    learning = {
        "model": "tiny",
        "base_hash": base_model_hash(folder),
        "lora_rank": 4,
        "lora_alpha": 8.0,
        "lora_layers": 1,
    }
    guideline = Guideline(
        {
            "data": {"task": "code_search", "learning": {"task": "code_search", "scoring_precision": "float32"}},
            "architecture": {"trainable_suffix": ".lora_B", "learning": learning},
            "update": {"pipeline": "mean", "outer_learning_rate": 1.0, "max_norm": 5.0, "max_bytes": 1 << 20},
            "versioning": {"metric": "mrr", "naming": "semantic"},
        }
    )
    model = encode(genesis(LearningSpec.from_mapping(guideline.learning), 1, folder))
    pairs = [
        Pair(
            query=f"return the {word} of a list",
            code=f"def {word}(values):\n    return {word}_of(values)",
            repository="r",
            path="p",
            name=word,
        )
        for word in ("first", "last", "sum", "length", "largest", "smallest", "mean", "median")
    ]
    return Founded(folder, guideline, model, encode_pairs(pairs))


def slow_votes() -> NetworkParams:
    """Localnet's constants, but votes that outlast commands on a busy machine; tests move the chain's time on."""
    params = load_preset("localnet")
    law = dataclasses.replace(params.governance, voting_period=1_200, timelock_delay=600, unlock_delay=7_200)
    # Rounds open sealed also after a vote.
    return dataclasses.replace(params, governance=law, rounds=dataclasses.replace(params.rounds, open_window=86_400))


def plan_of(founded: Founded, anvil: Any) -> Plan:
    return Plan(
        params=slow_votes(),
        committee=tuple(anvil.signer(seat).address for seat in SEATS),
        guardian=anvil.signer(GUARDIAN).address,
        guideline=content(founded.guideline.canonical, founded.guideline.hash),
        documents=documents(founded.guideline),
        genesis=content(founded.model, hashlib.sha256(founded.model).digest()),
        public_benchmark=content(founded.benchmark, hashlib.sha256(founded.benchmark).digest()),
    )


@dataclass
class Played:
    """A network and its members' chains."""

    network: Any
    founded: Founded
    folder: Path
    chains: dict[int, EvmChain] = field(default_factory=dict)
    files: Memory = field(default_factory=Memory)

    async def open(self) -> None:
        for account in (*SEATS, *MEMBERS, GUARDIAN):
            self.chains[account] = await self.network.chain(account)
        for data in (self.founded.guideline.canonical, self.founded.model, self.founded.benchmark, REQUEST):
            await self.files.publish(data)
        self.network.manifest.write(self.folder / "manifest.json")
        (self.folder / "guideline.json").write_bytes(self.founded.guideline.canonical)
        (self.folder / "node.toml").write_text(
            f'[chain]\nrpc = "{self.network.anvil.url}"\n[learning]\nbase_model = "{self.founded.base}"\n'
        )

    def settings(self, account: int) -> Path:
        """Settings of a member for the command line, with its own keystore."""
        home = self.folder / f"member-{account}"
        path = home / "commonweight.toml"
        if not path.exists():
            (home / "keys").mkdir(mode=0o700, parents=True)
            password = home / "keys" / "password"
            password.touch(mode=0o600)
            password.write_text("correct horse")
            key = self.network.anvil.key(account)
            KeystoreSigner.create(home / "keys" / ACCOUNT_FILE, password, key=key, scrypt_n=1 << 10)
            (home / "public.jsonl").write_bytes(self.founded.benchmark)
            NodeStore(home / "data").save_model(self.founded.model)  # as a node that took part has it
            files = {name: f"../{name}.json" for name in ("manifest", "guideline")}
            learning = {"base_model": str(self.founded.base), "cache": str(Path("build/cache/pairs").resolve())}
            write_toml(path, {"network": files, "chain": {"rpc": self.network.anvil.url}, "learning": learning})
        return path

    def desk(self, account: int) -> Desk:
        """A member's desk."""
        config = load_config(self.folder / "node.toml")
        return Desk(config, self.network.manifest, self.chains[account], self.network.address(account))

    async def send(self, account: int, contract: str, function: str, *arguments: Any) -> None:
        await self.chains[account].send(Call(contract, function, arguments))

    async def pass_time(self, seconds: int) -> None:
        await self.network.rpc("evm_increaseTime", seconds)
        await self.network.rpc("evm_mine")

    async def join(self) -> None:
        request = (hashlib.sha256(REQUEST).digest(), digest_from_cid(compute_cid(REQUEST)))
        for number, account in enumerate(MEMBERS, start=1):
            await self.send(account, "MemberRegistry", "applyToJoin", *request, b"peer", bytes(32))
            for seat in (1, 2):
                await self.send(seat, "MemberRegistry", "review", number, True, bytes(32))
        await self.pass_time(1)

    async def round(self, number: int, model: bytes, *, claim: bool = True) -> None:
        """A whole round that ends with ``model``."""
        scope = RoundScope(self.network.manifest.chain_id, self.network.manifest.contracts["RoundManager"], number)
        steward = SEATS[number % len(SEATS)]
        sealed = benchmark_commitment(scope, self.network.address(steward), content_hash=SALT, cid=SALT, salt=SALT)
        rounds = "RoundManager"
        await self.send(steward, rounds, "openRound", sealed)
        for account in MEMBERS:
            who, digest = self.network.address(account), account.to_bytes(32, "big")
            commitment = update_commitment(scope, who, content_hash=digest, cid=digest, samples=account, salt=SALT)
            await self.send(account, rounds, "commitUpdate", number, commitment)
        await self.send(1, rounds, "advance", number)
        for account in MEMBERS:
            digest = account.to_bytes(32, "big")
            await self.send(account, rounds, "revealUpdate", number, digest, digest, account, SALT)
        await self.send(steward, rounds, "revealBenchmark", number, SALT, SALT, SALT)
        await self.send(1, rounds, "advance", number)
        await self.network.rpc("anvil_mine", hex(self.network.manifest.params.rounds.seed_delay_blocks + 1))
        await self.send(1, rounds, "advance", number)
        for index, account in enumerate(MEMBERS):
            commitment = score_commitment(scope, self.network.address(account), word=WORD, salt=SALT)
            await self.send(account, rounds, "commitScores", number, index, commitment)
        await self.send(1, rounds, "advance", number)
        for index, account in enumerate(MEMBERS):
            await self.send(account, rounds, "revealScores", number, index, WORD, SALT)
        await self.send(1, rounds, "advance", number)
        await self.send(1, rounds, "settle", number, (0, 1, 2))
        await self.send(1, rounds, "advance", number)
        await self._agree(scope, number, model)
        if claim:
            for index in range(len(MEMBERS)):
                await self.send(1, "RewardDistributor", "claim", number, index)
        await self.send(1, "RewardDistributor", "claimTreasury", number)

    async def _agree(self, scope: RoundScope, number: int, model: bytes) -> None:
        seed = (await self.chains[1].read(Call("RoundManager", "roundOf", (number,))))["seed"]
        secret, digest = aggregate_secret(scope, model), hashlib.sha256(model).digest()
        cid = digest_from_cid(await self.files.publish(model))
        for slot, index in enumerate(attesters(seed, len(MEMBERS), 31)):
            who = self.network.address(MEMBERS[index])
            keyed = attestation(number, who, secret=secret, model_hash=digest, cid=cid)
            await self.send(MEMBERS[index], "RoundManager", "attest", number, slot, keyed)
        await self.send(1, "RoundManager", "proposeAggregate", number, secret, digest, cid)
        await self.pass_time(self.network.manifest.params.rounds.challenge_duration + 1)
        await self.send(1, "RoundManager", "advance", number)

    async def decide(self, number: int, voters: tuple[int, ...] = MEMBERS) -> None:
        """Vote a proposal through and carry it out."""
        from node.dao import acts

        law = self.network.manifest.params.governance
        await self.pass_time(law.voting_delay + 1)
        for account in voters:
            await acts.vote(self.desk(account), str(number), parts=(0, 1, 0))
        await self.pass_time(law.voting_period + law.late_extension + 1)
        await acts.queue(self.desk(voters[0]), str(number))
        await self.pass_time(law.timelock_delay + 1)
        await acts.execute(self.desk(voters[0]), str(number))
