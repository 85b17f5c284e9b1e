"""How long a node needs to know a network's past: a fresh index over 10 000 events, a later start, a reorganisation.

    python -m benchmarks.index                  writes build/bench/index.json
    python -m benchmarks.index --events 50000

The history is that of a scripted community of eight over as many rounds as it takes, emitted again on a real Anvil: at the address
of each contract lies a program that emits whatever log it is told, so topics, data, addresses and blocks are what a real
network's would be, and everything a node does (RPC, decoding, SQLite, digests, fold) is timed. Every figure is the median of
``--repeats`` runs, each on a file of its own; ``fresh_s`` begins before the connection is made and ends with the folded state.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx
from eth_abi.abi import encode as abi_encode
from eth_utils.address import to_checksum_address
from rich.console import Console
from rich.table import Table

from deploy.anvil import Anvil, AnvilOptions
from node.adapters.abi import CONTRACTS, contract_abi
from node.adapters.chain_evm import EvmChain
from node.index.history import History
from node.index.store import EventIndex, Identity
from node.protocol.hashing import keccak256
from node.protocol.state import State, apply
from node.protocol.types import Address, ChainEvent
from node.sim.scripted import Community, Script

OUTPUT = Path("build/bench/index.json")
GOAL_SECONDS = 10.0
MEMBERS = 8
LATER_EVENTS = 100


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, default=OUTPUT, help="where the figures go")
    options = parser.parse_args()
    found = asyncio.run(measure(options.events, options.repeats))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    show(found)


def show(found: dict[str, Any]) -> None:
    """The figures for people."""
    table = Table(title=f"{found['events']:,} events in {found['blocks']:,} blocks", title_justify="left")
    table.add_column("what")
    table.add_column("seconds", justify="right")
    for name in ("fresh_s", "later_start_s", "new_events_s", "reorganisation_s", "fold_only_s"):
        table.add_row(name.removesuffix("_s").replace("_", " "), f"{found[name]:.3f}")
    Console().print(table)
    print(f"goal {GOAL_SECONDS:.0f} s for a fresh start: {'met' if found['goal_met'] else 'MISSED'}")


async def measure(count: int, repeats: int) -> dict[str, Any]:
    """All figures on one chain."""
    load_before = os.getloadavg()[0]
    events = history(count + LATER_EVENTS)
    contracts = {name: Address(to_checksum_address(keccak256(name.encode())[-20:])) for name in CONTRACTS}
    with tempfile.TemporaryDirectory() as folder:
        async with await Anvil.start(AnvilOptions(block_time=3_600, prune_history=64)) as anvil:
            emitter = Emitter(anvil, contracts)
            await emitter.prepare()
            await emitter.emit(events[:count])
            runs = [await run(anvil, contracts, Path(folder) / f"{n}.sqlite", events[:count]) for n in range(repeats)]
            await emitter.emit(events[count:])
            grown = [await again(anvil, contracts, Path(folder) / f"{n}.sqlite") for n in range(repeats)]
            blocks = await emitter.height()
            await emitter.rpc("anvil_reorg", 20, [])
            reorganised = [await again(anvil, contracts, Path(folder) / f"{n}.sqlite") for n in range(repeats)]
        size = (Path(folder) / "0.sqlite").stat().st_size
    began = time.perf_counter()
    fold(events[:count])
    fold_only = time.perf_counter() - began
    fresh = statistics.median(run["fresh_s"] for run in runs)
    return {
        "machine": {"processor": processor(), "cores": os.cpu_count(), "system": platform.system()},
        "load": [load_before, os.getloadavg()[0]],
        "versions": {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version, "web3": version("web3")},
        "events": count,
        "blocks": blocks,
        "members": MEMBERS,
        "rounds": max(event.arguments.get("round", 0) for event in events),
        "repeats": repeats,
        "fresh_s": fresh,
        "fresh_all_s": [run["fresh_s"] for run in runs],
        "later_start_s": statistics.median(run["later_start_s"] for run in runs),
        "new_events": LATER_EVENTS,
        "new_events_s": statistics.median(grown),
        "reorganisation_blocks": 20,
        "reorganisation_s": statistics.median(reorganised),
        "fold_only_s": fold_only,
        "file_bytes": size,
        "goal_s": GOAL_SECONDS,
        "goal_met": fresh < GOAL_SECONDS,
    }


def history(count: int) -> list[ChainEvent]:
    """Rounds of a community of eight, an absent member now and then, cut at ``count`` events."""
    community = Community(MEMBERS)
    while len(community.events) < count:
        community.play(Script(no_attest={community.round % MEMBERS}))
        community.claim_all()
    return community.events[:count]


def fold(events: Sequence[ChainEvent]) -> State:
    """The state after ``events``."""
    state = State()
    for event in events:
        state = apply(state, event)
    return state


async def run(
    anvil: Anvil, contracts: dict[str, Address], path: Path, events: Sequence[ChainEvent]
) -> dict[str, float]:
    """A fresh start, checked against the history; then a later one on the same file."""
    began = time.perf_counter()
    state = await start(anvil, contracts, path)
    fresh = time.perf_counter() - began
    expected = fold(events)
    if (state.events, state.balances, state.supply) != (len(events), expected.balances, expected.supply):
        raise SystemExit(f"The index holds {state.events} events, emitted were {len(events)}: another history.")
    return {"fresh_s": fresh, "later_start_s": await again(anvil, contracts, path)}


async def again(anvil: Anvil, contracts: dict[str, Address], path: Path) -> float:
    """Seconds of a start on a file that exists."""
    began = time.perf_counter()
    await start(anvil, contracts, path)
    return time.perf_counter() - began


async def start(anvil: Anvil, contracts: dict[str, Address], path: Path) -> State:
    """What a command does before it answers."""
    chain = await EvmChain.connect(anvil.url, anvil.options.chain_id, contracts)
    index = EventIndex.open(path, Identity(anvil.options.chain_id, 0, contracts, {}))
    try:
        known = History(index, chain, 0)
        await known.refresh()
        return known.state
    finally:
        index.close()
        await chain.close()


# --- emitting a history -----------------------------------------------------------------------------------------------


def emitter_code() -> bytes:
    """A program that emits the log its call data describes: one word with the number n of topics, n topics, the log's data."""
    head = bytes.fromhex(
        "5f35"  # n
        "80" "6005" "1b" "6020" "01"  # 32 + 32 n: where the data begins
        "80" "3603"  # its size
        "80" "82" "5f" "37"  # to memory
        "90" "50" "90"  # n, size
    )  # fmt: skip
    tails = []
    for n in range(1, 5):
        topics = b"".join(bytes((0x60, 32 * place, 0x35)) for place in range(n, 0, -1))
        tails.append(b"\x5b\x50" + topics + bytes((0x80 + n, 0x5F, 0xA0 + n, 0x00)))
    jumps_size = 4 * 8
    at, jumps = len(head) + jumps_size + 1, b""
    for n, tail in enumerate(tails, start=1):
        jumps += bytes((0x80, 0x60, n, 0x14, 0x60, at, 0x57, 0x5B))
        at += len(tail)
    return head + jumps + b"\x00" + b"".join(tails)


def log_of(event: ChainEvent) -> bytes:
    """Call data for the emitter: the event as the chain's log would hold it."""
    entry = next(entry for entry in contract_abi(event.contract).events.values() if entry.name == event.name)
    topics, types, values = [entry.digest], [], []
    for item in entry.inputs:
        value = event.arguments[item["name"]]
        if item["indexed"]:
            topics.append(abi_encode([item["type"]], [value]))
        else:
            types.append(canonical(item))
            values.append(plain(item, value))
    return len(topics).to_bytes(32, "big") + b"".join(topics) + abi_encode(types, values)


def canonical(item: Any) -> str:
    """ABI type; a struct in brackets."""
    if item["type"] == "tuple":
        return "(" + ",".join(canonical(part) for part in item["components"]) + ")"
    return str(item["type"])


def plain(item: Any, value: Any) -> Any:
    """A struct as the encoder takes it."""
    if item["type"] == "tuple":
        return tuple(plain(part, value[part["name"]]) for part in item["components"])
    return value


class Emitter:
    """Emits events on Anvil: those of one block in one block."""

    def __init__(self, anvil: Anvil, contracts: dict[str, Address]) -> None:
        self.anvil = anvil
        self.contracts = contracts
        self.client = httpx.AsyncClient(timeout=60)
        self.sender = anvil.signer(0).address
        self.nonce = 0

    async def rpc(self, method: str, *parameters: Any) -> Any:
        """One request. Never a batch: Anvil takes its parts at once, and a transaction that overtakes another is lost."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
        answer = (await self.client.post(self.anvil.url, json=request)).json()
        if "error" in answer:
            raise SystemExit(f"Anvil refused {method}: {answer['error']}")
        return answer["result"]

    async def prepare(self) -> None:
        """Put the program where each contract would be."""
        for address in self.contracts.values():
            await self.rpc("anvil_setCode", address, "0x" + emitter_code().hex())
        await self.rpc("evm_setAutomine", False)

    async def emit(self, events: Sequence[ChainEvent]) -> None:
        """Emit and mine."""
        for _, group in groupby(events, key=lambda event: event.block // 4):
            for event in group:
                transaction = {
                    "from": self.sender,
                    "to": self.contracts[event.contract],
                    "data": "0x" + log_of(event).hex(),
                    "nonce": hex(self.nonce),
                    "gas": hex(200_000),
                }
                await self.rpc("eth_sendTransaction", transaction)
                self.nonce += 1
            await self.rpc("evm_mine")

    async def height(self) -> int:
        """Newest block."""
        return int(await self.rpc("eth_blockNumber"), 16)


def processor() -> str:
    """Model of this machine's processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((one.split(":", 1)[1].strip() for one in lines if one.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
