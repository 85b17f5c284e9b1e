"""`commonweight node doctor`: everything a node needs, looked at one by one before it runs, each with how to mend it.

A check never raises: what goes wrong is its finding. Nothing is changed, except that a small file passes through the IPFS store.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import shutil
import stat
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from learning.errors import LearningError
from node.adapters.chain_evm import EvmChain
from node.config import Config
from node.manifest import Manifest, load_manifest
from node.ports import Head
from node.protocol.errors import CommonweightError, SetupError
from node.protocol.guideline import Guideline
from node.protocol.types import Address, Call, MemberStatus
from node.runtime import load_guideline, load_signer, open_blobs, read_file

DISK_FAIL = 500 << 20
DISK_WARN = 5 << 30
"""Bytes free: an update, a checkpoint and the IPFS repository of some rounds need that much."""
CLOCK_SECONDS = 30
"""Local time and a fresh block may differ by so much; the chain's time decides deadlines, ours only paces the node."""
STALE_SECONDS = 900
"""A chain whose newest block is older has stopped, or the endpoint lags."""
ROUND_GAS = 1_500_000
"""Upper bound of what all roles of one node send in a round (docs/contracts/README.md, gas table)."""
ROUNDS_AHEAD = 20
DIAL_SECONDS = 5.0
STORE_SECONDS = 60.0


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: what was looked at, how it is, and how to mend it where it is not well."""

    name: str
    verdict: Verdict
    found: str
    mend: str = ""


@dataclass(slots=True)
class Patient:
    """What the checks find out about the node on their way; later ones need it."""

    config: Config
    manifest: Manifest | None = None
    guideline: Guideline | None = None
    account: Address | None = None
    chain: EvmChain | None = None
    head: Head | None = None
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)


class _Missing(Exception):
    """A check cannot run because an earlier one failed."""


Look = Callable[[Patient], Awaitable[Check]]


async def examine(config: Config, *, on_check: Callable[[Check], None] = lambda _check: None) -> list[Check]:
    """Run all checks in order.

    Args:
        config: the node's settings.
        on_check: called with each finding as it comes.
    """
    patient = Patient(config)
    found: list[Check] = []
    async with patient.stack:
        for name, look in _LOOKS.items():
            check = await _guarded(name, look, patient)
            found.append(check)
            on_check(check)
    return found


async def _guarded(name: str, look: Look, patient: Patient) -> Check:
    try:
        return await look(patient)
    except _Missing as missing:
        return Check(name, Verdict.WARN, f"not looked at: needs {missing}", f"Mend {missing} first.")
    except (CommonweightError, LearningError) as error:
        reason = f" {error.why}" if error.why else ""
        return Check(name, Verdict.FAIL, f"{error.what}{reason}", error.hint)
    except TimeoutError:
        return Check(name, Verdict.FAIL, "no answer in time", "Try again when the machine is less busy; read its log.")
    except OSError as error:
        return Check(name, Verdict.FAIL, f"{type(error).__name__}: {error}", "Check the path, its owner and mode.")


# --- this machine ---


async def _disk(patient: Patient) -> Check:
    folder = patient.config.node.data
    there = next(parent for parent in (folder, *folder.resolve().parents) if parent.exists())
    free = shutil.disk_usage(there).free
    shown = f"{free / (1 << 30):.1f} GiB free at {folder}"
    if free < DISK_FAIL:
        return Check("disk", Verdict.FAIL, shown, "Free some space, or set node.data to a larger disk.")
    if free < DISK_WARN:
        return Check("disk", Verdict.WARN, shown, "Enough for some rounds; plan for more than 5 GiB.")
    return Check("disk", Verdict.OK, shown)


async def _keys(patient: Patient) -> Check:
    keys = patient.config.keys
    signer = await asyncio.to_thread(load_signer, patient.config)
    patient.account = signer.address
    if stat.S_IMODE(keys.folder.stat().st_mode) & 0o077:  # of the files in it, loading the keystore makes sure
        return Check(
            "keys", Verdict.WARN, f"{signer.address}; others may look into {keys.folder}", f"chmod 700 {keys.folder}"
        )
    return Check("keys", Verdict.OK, f"the keystore opens: {signer.address}")


async def _device(patient: Patient) -> Check:
    from learning.device import choose_device, supports_bf16  # noqa: PLC0415 - torch takes a second

    device = choose_device(patient.config.learning.device)
    bf16 = "bf16" if supports_bf16(device) else "no bf16"
    if device.type == "cuda":
        import torch  # noqa: PLC0415

        free, total = torch.cuda.mem_get_info(device)
        name = torch.cuda.get_device_name(device)
        return Check("device", Verdict.OK, f"{device}: {name}, {free >> 20} of {total >> 20} MiB free, {bf16}")
    threads = patient.config.learning.threads
    return Check("device", Verdict.OK, f"CPU, {threads} thread{'s' * (threads != 1)}, {bf16}; no accelerator is used")


# --- the community's files ---


async def _files(patient: Patient) -> Check:
    config = patient.config
    patient.manifest = manifest = load_manifest(config.network.manifest)
    patient.guideline = load_guideline(config, manifest)
    benchmark = read_file(config.network.public_benchmark, "public benchmark", "It comes with the network's files.")
    if hashlib.sha256(benchmark).digest() != manifest.public_benchmark.hash:
        raise SetupError(
            f"{config.network.public_benchmark} is not the benchmark that the manifest names.",
            hint="Fetch the network's files again.",
        )
    return Check("network", Verdict.OK, f"manifest, guideline and public benchmark of chain {manifest.chain_id} fit")


async def _base_model(patient: Patient) -> Check:
    if patient.guideline is None:
        raise _Missing("network")
    from learning.models.base import base_model_hash  # noqa: PLC0415
    from learning.models.installed import find_base_model  # noqa: PLC0415

    learning, folder = patient.guideline.learning, patient.config.learning.base_model
    found = find_base_model(str(learning["model"]), Path(folder) if folder else None)
    digest = await asyncio.to_thread(base_model_hash, found)
    if digest != learning["base_hash"]:
        return Check(
            "base model",
            Verdict.FAIL,
            f"{found} hashes to {digest[:12]}…, the guideline asks for {str(learning['base_hash'])[:12]}…",
            "Fetch the model that the guideline names, and set learning.base_model to its folder.",
        )
    return Check("base model", Verdict.OK, f"{learning['model']} at {found}")


# --- the chain ---


async def _chain(patient: Patient) -> Check:
    if patient.manifest is None:
        raise _Missing("network")
    manifest, url = patient.manifest, patient.config.chain.rpc
    began = time.perf_counter()
    patient.chain = await EvmChain.connect(url, manifest.chain_id, manifest.contracts, code_hashes=manifest.code_hashes)
    patient.stack.push_async_callback(patient.chain.close)
    patient.head = await patient.chain.head()
    took = (time.perf_counter() - began) * 1000
    count = len(manifest.contracts)
    return Check(
        "chain", Verdict.OK, f"chain {manifest.chain_id}, block {patient.head.number}, {count} contracts' code as deployed, {took:.0f} ms"
    )  # fmt: skip


async def _clock(patient: Patient) -> Check:
    if patient.head is None:
        raise _Missing("chain")
    ahead = patient.head.timestamp - time.time()
    if ahead > CLOCK_SECONDS:
        return Check(
            "clock",
            Verdict.WARN,
            f"the chain is {ahead:.0f} s ahead of this clock",
            "Let NTP set this machine's clock.",
        )
    if -ahead > STALE_SECONDS:
        return Check(
            "clock",
            Verdict.WARN,
            f"the newest block is {-ahead:.0f} s old",
            "The chain rests, the endpoint lags, or this clock is fast: compare with another endpoint; let NTP set it.",
        )
    return Check("clock", Verdict.OK, f"the newest block is {max(0.0, -ahead):.0f} s old")


async def _funds(patient: Patient) -> Check:
    if patient.chain is None or patient.account is None:
        raise _Missing("chain" if patient.chain is None else "keys")
    balance, price = await patient.chain.funds(patient.account)
    need = ROUND_GAS * max(price, 1) * ROUNDS_AHEAD
    shown = f"{balance / 1e18:.6f} of the chain's coin, gas at {price / 1e9:.3f} Gwei"
    mend = f"Send at least {need / 1e18:.6f} to {patient.account}: about {ROUNDS_AHEAD} rounds."
    if balance == 0:
        return Check("gas money", Verdict.FAIL, shown, mend)
    if balance < need:
        return Check("gas money", Verdict.WARN, f"{shown}: less than {ROUNDS_AHEAD} rounds", mend)
    return Check("gas money", Verdict.OK, shown)


async def _membership(patient: Patient) -> Check:
    if patient.chain is None or patient.account is None:
        raise _Missing("chain" if patient.chain is None else "keys")
    status = MemberStatus(await patient.chain.read(Call("MemberRegistry", "statusOf", (patient.account,))))
    stake = await patient.chain.read(Call("MemberRegistry", "stakeOf", (patient.account,)))
    shown = f"{status.name.lower()}, stake {stake / 1e18:.2f} CWT"
    if status is MemberStatus.BANNED:
        return Check("membership", Verdict.FAIL, shown, "A banned account cannot come back.")
    if status is MemberStatus.NONE:
        return Check("membership", Verdict.WARN, shown, "`commonweight node run` applies to join by itself.")
    return Check("membership", Verdict.OK, shown)


# --- peers ---


async def _ipfs(patient: Patient) -> Check:
    config = patient.config
    if config.ipfs.mode == "embedded" and _is_taken(config.node.data / "ipfs"):
        return Check("IPFS", Verdict.OK, "in use by the running node (`commonweight node status`)")
    async with asyncio.timeout(STORE_SECONDS):
        blobs = await open_blobs(config, config.node.data / "ipfs")
        try:
            data = b"commonweight doctor"
            cid = await blobs.put(data)
            back = await blobs.get(cid, max_bytes=len(data), seconds=10)
        finally:
            await blobs.close()
    if back != data:
        return Check("IPFS", Verdict.FAIL, "the store returned other bytes", f"Remove {config.node.data / 'ipfs'}.")
    where = config.ipfs.rpc if config.ipfs.mode == "rpc" else "embedded Kubo"
    return Check("IPFS", Verdict.OK, f"{where}: stored and read back")


def _is_taken(folder: Path) -> bool:
    """Whether a running node holds the folder of a supervised host (`node.hosts.child` locks it)."""
    try:
        with (folder / "host.lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


async def _peers(patient: Patient) -> Check:
    contacts = [*patient.config.p2p.bootstrap, *patient.config.ipfs.bootstrap]
    if not contacts:
        return Check(
            "peers",
            Verdict.WARN,
            "no bootstrap peers are set",
            "Set p2p.bootstrap and ipfs.bootstrap, or network.file.",
        )
    answers = await asyncio.gather(*(_dial(contact) for contact in contacts))
    silent = [contact for contact, answered in zip(contacts, answers, strict=True) if not answered]
    shown = f"{len(contacts) - len(silent)} of {len(contacts)} bootstrap addresses answer"
    if len(silent) == len(contacts):
        return Check(
            "peers", Verdict.FAIL, shown, "Check the firewall, or ask the community for its present addresses."
        )
    if silent:
        return Check("peers", Verdict.WARN, f"{shown}; silent: {', '.join(silent)}", "One that answers is enough.")
    return Check("peers", Verdict.OK, shown)


async def _dial(multiaddr: str) -> bool:
    """Whether something accepts a TCP connection at ``/ip4|ip6|dns…/HOST/tcp/PORT/…``."""
    parts = multiaddr.split("/")
    try:
        host, port = parts[2], int(parts[parts.index("tcp") + 1])
        async with asyncio.timeout(DIAL_SECONDS):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError, ValueError, IndexError):
        return False
    writer.close()
    return True


_LOOKS: dict[str, Look] = {
    "disk": _disk,
    "keys": _keys,
    "network": _files,
    "base model": _base_model,
    "device": _device,
    "chain": _chain,
    "clock": _clock,
    "gas money": _funds,
    "membership": _membership,
    "IPFS": _ipfs,
    "peers": _peers,
}


def to_json(checks: list[Check]) -> dict[str, Any]:
    """JSON value for `--json`."""
    worst = next((v for v in (Verdict.FAIL, Verdict.WARN) if any(c.verdict is v for c in checks)), Verdict.OK)
    return {
        "verdict": worst.value,
        "checks": [{"name": c.name, "verdict": c.verdict.value, "found": c.found, "mend": c.mend} for c in checks],
    }
