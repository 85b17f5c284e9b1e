"""A whole community on this machine: chain, contracts, committee and nodes as separate real processes.

Folder of one network::

    network.toml manifest.json guideline.json public.jsonl swarm.key      what an operator needs to join
    anvil.log committee/… nodes/0/{commonweight.toml,keys/,data/,process.log} … lock
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from deploy.anvil import Anvil, AnvilOptions
from deploy.deploy import deploy
from deploy.founding import Founding
from deploy.plan import Plan, documents
from deploy.processes import Child, stop_all
from learning.sources import installed
from node.adapters.signer_keystore import KeystoreSigner
from node.manifest import Manifest, NetworkParams
from node.protocol.errors import SetupError
from node.protocol.types import Address
from node.runtime import ACCOUNT_FILE
from node.store import write_atomic

SEATS = 3
SCRYPT_N = 1 << 14
"""Cost of the test keystores: eight of them open at once on a small machine. An operator's own keystore uses the full cost."""
START_SECONDS = 300.0
NETWORK_FILE = "network.toml"
"""What `commonweight node init --network` takes."""
MEMBER_ROLES = ("applicant", "trainer", "verifier", "attester", "keeper", "challenger", "juror")
SEAT_ROLES = ("reviewer", "steward")


@dataclass(frozen=True, slots=True)
class LocalnetPlan:
    """What to start.

    Attributes:
        folder: wiped at the start; everything lives in it.
        params: constants of the deployment.
        founding: founding files.
        nodes: members, attackers included.
        attackers: how many of them (the last ones) poison their updates.
        attack: name of the attack.
        rounds: rounds the stewards open.
        seed: seeds local sampling and the deal of repositories.
        slice_rows: pairs in a sealed slice.
        cache: folder of extracted pairs, shared by all.
        repositories: data of each node; None deals out the installed packages.
        port: of the chain's RPC; 0 takes a free one.
        spare: funded accounts for newcomers (`Localnet.newcomer`).
        people_review_from: from this round on the seats leave applications to people; 0: never.
    """

    folder: Path
    params: NetworkParams
    founding: Founding
    nodes: int = 5
    attackers: int = 1
    attack: str = "sign_flip"
    rounds: int = 3
    seed: int = 0
    slice_rows: int = 128
    cache: Path = Path("build/cache/pairs")
    repositories: Sequence[Sequence[str]] | None = None
    port: int = 0
    spare: int = 0
    people_review_from: int = 0


@dataclass(slots=True)
class Member:
    """One node of the network: its folder, account, data, and process."""

    index: int
    folder: Path
    address: Address
    repositories: tuple[str, ...]
    is_attacker: bool
    child: Child | None = None

    @property
    def config(self) -> Path:
        """Its settings."""
        return self.folder / "commonweight.toml"

    @property
    def name(self) -> str:
        """For people: number and first repository."""
        kind = "attacker" if self.is_attacker else "node"
        return f"{kind} {self.index} ({self.repositories[0]})"

    def status(self) -> Mapping[str, Any]:
        """Its latest status, empty before the first."""
        with suppress(OSError, ValueError):
            value: Mapping[str, Any] = json.loads((self.folder / "data" / "status.json").read_bytes())
            return value
        return {}


@dataclass(slots=True)
class Localnet:
    """A running network. ``async with Localnet(plan) as net`` stops every process in the end, whatever happens.

    Args:
        plan: see `LocalnetPlan`.
        report: called with one line about each step.
    """

    plan: LocalnetPlan
    report: Callable[[str], None] = lambda _line: None
    members: list[Member] = field(default_factory=list)
    seats: list[Address] = field(default_factory=list)
    committee: Child | None = None
    anvil: Anvil | None = None
    _manifest: Manifest | None = None
    _lock: int = -1

    @property
    def manifest(self) -> Manifest:
        """The deployment."""
        assert self._manifest is not None, "the network has not been started"
        return self._manifest

    @property
    def url(self) -> str:
        """RPC address of the chain."""
        assert self.anvil is not None, "the network has not been started"
        return self.anvil.url

    @property
    def children(self) -> list[Child]:
        """All processes but the chain."""
        return [child for child in (*(member.child for member in self.members), self.committee) if child]

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Stop all processes; harmless if they are gone already."""
        await stop_all(self.children)
        if self.anvil is not None:
            await asyncio.to_thread(self.anvil.stop)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def require_running(self) -> None:
        """Raise where a process died.

        Raises:
            SetupError: with the end of its log.
        """
        for child in self.children:
            child.require_running()

    # --- start ---

    async def _start(self) -> None:
        plan = self.plan
        self._take_folder()
        self.anvil = await Anvil.start(
            AnvilOptions(port=plan.port, accounts=plan.nodes + SEATS + 2 + plan.spare, log=plan.folder / "anvil.log")
        )
        self.report(f"chain {self.anvil.options.chain_id} on {self.anvil.url}")
        self._make_accounts(self.anvil)
        await self._deploy(self.anvil)
        await self._start_committee()
        self._write_network(await self._wait_contact())
        for member in self.members:
            self._write_config(member)
            member.child = self._start_member(member)
        self.report(f"{plan.nodes} nodes started, each with its own keystore, IPFS node and libp2p host")

    def _take_folder(self) -> None:
        folder = self.plan.folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SetupError(
                f"Another network is running in {folder}.",
                hint="Stop it first (Ctrl-C where it runs), or use another folder.",
            ) from error
        for entry in folder.iterdir():
            if entry.name != "lock":
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def _make_accounts(self, anvil: Anvil) -> None:
        plan, folder = self.plan, self.plan.folder
        (folder / "swarm.key").write_text(secrets.token_hex(32))
        dealt = plan.repositories or [
            [repository.name for repository in hand] for hand in installed.assign(plan.nodes, plan.seed)
        ]
        for index in range(plan.nodes):
            home = folder / "nodes" / str(index)
            signer = _keystore(home / "keys", anvil.key(2 + SEATS + index))
            attacker = index >= plan.nodes - plan.attackers
            self.members.append(Member(index, home, signer.address, tuple(dealt[index]), attacker))
        for seat in range(SEATS):
            signer = _keystore(folder / "committee" / f"seat-{seat}" / "keys", anvil.key(2 + seat))
            self.seats.append(signer.address)

    async def _deploy(self, anvil: Anvil) -> None:
        plan, founding, folder = self.plan, self.plan.founding, self.plan.folder
        self._manifest = await deploy(
            anvil.url,
            anvil.options.chain_id,
            anvil.signer(0),
            Plan(
                params=plan.params,
                committee=tuple(self.seats),
                guardian=anvil.signer(1).address,
                guideline=founding.guideline_content,
                documents=documents(founding.guideline),
                genesis=founding.genesis_content,
                public_benchmark=founding.benchmark_content,
            ),
        )
        self.manifest.write(folder / "manifest.json")
        files = {
            "guideline.json": founding.guideline.canonical,
            "genesis.safetensors": founding.genesis,
            "public.jsonl": founding.public_benchmark,
        }
        for name, data in files.items():
            write_atomic(folder / "committee" / "founding" / name, data)
        for name in ("guideline.json", "public.jsonl"):
            write_atomic(folder / name, files[name])
        self.report(f"contracts deployed, RoundManager at {self.manifest.contracts['RoundManager']}")

    async def _start_committee(self) -> None:
        folder = self.plan.folder / "committee"
        for seat in range(SEATS):
            settings: dict[str, Mapping[str, Any]] = {
                "node": {"name": f"seat {seat}", "data": f"seat-{seat}/data", "roles": SEAT_ROLES},
                "network": _network_files(".."),
                "chain": {"rpc": self.url},
                "keys": {"folder": f"seat-{seat}/keys", "password_file": f"seat-{seat}/keys/password"},
                "ipfs": {"swarm_key_file": "../swarm.key"},
                "learning": {
                    "cache": str(self.plan.cache.resolve()),
                    "base_model": str(self.plan.founding.base_model),
                },
                "review": {"before_round": self.plan.people_review_from},
                "steward": {
                    "rounds": self.plan.rounds,
                    "min_members": self.plan.nodes,
                    "rows": self.plan.slice_rows,
                },
            }
            write_toml(folder / f"seat-{seat}.toml", settings)
        command = [sys.executable, "-m", "deploy.committee", "--folder", str(folder)]
        self.committee = Child.start("committee", command, folder / "process.log")

    async def _wait_contact(self) -> Mapping[str, list[str]]:
        path = self.plan.folder / "committee" / "contact.json"
        assert self.committee is not None
        end = asyncio.get_running_loop().time() + START_SECONDS
        while asyncio.get_running_loop().time() < end:
            self.committee.require_running()
            with suppress(OSError, ValueError):
                contact: Mapping[str, list[str]] = json.loads(path.read_bytes())
                return contact
            await asyncio.sleep(0.1)
        raise SetupError(
            f"The committee did not come up within {START_SECONDS:.0f} s.", hint=f"Read {self.committee.log}."
        )

    def _write_network(self, contact: Mapping[str, list[str]]) -> None:
        settings: dict[str, Mapping[str, Any]] = {
            "chain": {"rpc": self.url},
            "network": _network_files("."),
            "ipfs": {"bootstrap": contact["ipfs"], "swarm_key_file": "swarm.key"},
            "p2p": {"bootstrap": contact["p2p"]},
        }
        write_toml(self.plan.folder / NETWORK_FILE, settings)

    def _write_config(self, member: Member, roles: Sequence[str] = MEMBER_ROLES) -> None:
        settings: dict[str, Mapping[str, Any]] = {
            "node": {"name": member.name, "roles": roles},
            "network": {"file": f"../../{NETWORK_FILE}"},
            "learning": {
                "repositories": member.repositories,
                "seed": self.plan.seed,
                "cache": str(self.plan.cache.resolve()),
                "base_model": str(self.plan.founding.base_model),
            },
        }
        write_toml(member.config, settings)

    def newcomer(self, repositories: Sequence[str]) -> Member:
        """Folder, funded key and settings of somebody who will apply (`commonweight join apply`); it is not started.

        Raises:
            SetupError: no spare account is left.
        """
        index = len(self.members)
        assert self.anvil is not None, "the network has not been started"
        if index >= self.plan.nodes + self.plan.spare:
            raise SetupError("No spare account is left.", hint="Raise the plan's `spare`.")
        home = self.plan.folder / "nodes" / str(index)
        signer = _keystore(home / "keys", self.anvil.key(2 + SEATS + index))
        member = Member(index, home, signer.address, tuple(repositories), is_attacker=False)
        self._write_config(member, tuple(role for role in MEMBER_ROLES if role != "applicant"))
        self.members.append(member)
        return member

    def start(self, member: Member) -> None:
        """Start a newcomer's node."""
        member.child = self._start_member(member)

    def seat_config(self, seat: int) -> Path:
        """Settings of a committee seat, for commands at it."""
        return self.plan.folder / "committee" / f"seat-{seat}.toml"

    def _start_member(self, member: Member) -> Child:
        if member.is_attacker:
            max_norm = str(self.plan.founding.guideline.update.max_norm)
            program = ["-m", "node.sim.adversary", "--attack", self.plan.attack, "--max-norm", max_norm]
        else:
            program = ["-m", "node.cli", "node", "run"]
        command = [sys.executable, *program, "--config", str(member.config), "--exit-with-parent"]
        return Child.start(member.name, command, member.folder / "process.log")


def _network_files(up: str) -> dict[str, str]:
    return {
        "manifest": f"{up}/manifest.json",
        "guideline": f"{up}/guideline.json",
        "public_benchmark": f"{up}/public.jsonl",
    }


def _keystore(folder: Path, key: bytes) -> KeystoreSigner:
    folder.mkdir(mode=0o700, parents=True)
    password = folder / "password"
    password.touch(mode=0o600)
    password.write_text(secrets.token_urlsafe(24))
    return KeystoreSigner.create(folder / ACCOUNT_FILE, password, key=key, scrypt_n=SCRYPT_N)


def write_toml(path: Path, settings: Mapping[str, Mapping[str, Any]]) -> None:
    """Write settings of texts, numbers and lists of texts as TOML."""
    lines: list[str] = []
    for section, values in settings.items():
        lines += ["", f"[{section}]"]
        lines += [f"{key} = {_toml(value)}" for key, value in values.items()]
    write_atomic(path, ("\n".join(lines).strip() + "\n").encode())


def _toml(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(entry) for entry in value) + "]"
    # JSON's texts and numbers are TOML's too.
    return json.dumps(value)
