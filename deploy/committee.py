"""The founding committee of a local network in one process: its seats review newcomers and take turns as benchmark stewards.

The seats share one IPFS store and one gossip host, which also serve as the network's first contact, and one trainer, for the stewards'
public updates. It publishes the founding files (guideline, genesis model, public benchmark) and what people at a seat publish
(`node.outbox`): their reviews. Until people review (``review.before_round``) the seats do so by themselves, by the checks of
`node.membership` alone.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from node.adapters.gossip_libp2p import LibP2PGossip
from node.cli.process import run_supervised, start_logging, stop_with_parent
from node.config import Config, load_config
from node.hosts.child import lock_folder
from node.manifest import load_manifest
from node.outbox import OUTBOX, serve_outbox
from node.protocol.errors import CommonweightError, SetupError
from node.runtime import open_blobs, open_node, status_writer
from node.store import write_atomic


async def run(folder: Path, configs: Sequence[Config]) -> None:
    """Run all seats until cancelled.

    Args:
        folder: of the process; its ``founding/`` holds the files to publish.
        configs: settings of each seat.
    """
    if not configs:
        raise SetupError(f"{folder} holds no seat-*.toml.")
    founding = [path.read_bytes() for path in sorted((folder / "founding").iterdir())]
    manifest = load_manifest(configs[0].network.manifest)
    async with AsyncExitStack() as stack:
        for (
            config
        ) in configs:  # the store is shared: commands at a seat must see that its node runs (`node.membership.shelf`)
            stack.enter_context(lock_folder(config.node.data / "ipfs"))
        blobs = await open_blobs(configs[0], folder / "ipfs")
        stack.push_async_callback(blobs.close)
        gossip = await LibP2PGossip.start(folder / "p2p", folder / "keys", topic=manifest.topic)
        stack.push_async_callback(gossip.close)
        for data in founding:
            await blobs.put(data)
        contact = {"ipfs": list(blobs.addresses), "p2p": list(gossip.addresses)}
        write_atomic(folder / "contact.json", json.dumps(contact).encode())
        trainer = None
        async with asyncio.TaskGroup() as group:
            for config in configs:
                node = await stack.enter_async_context(open_node(config, blobs=blobs, trainer=trainer))
                trainer = node.trainer
                node.driver.on_status = status_writer(node)
                group.create_task(node.driver.run(), name=config.node.name)
                group.create_task(serve_outbox(config.node.data / OUTBOX, blobs), name=f"outbox of {config.node.name}")


def main() -> None:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="deploy.committee", description="Seats of a local network's committee.")
    parser.add_argument("--folder", type=Path, required=True)
    folder = parser.parse_args().folder
    start_logging(folder / "committee.log", verbose=False)
    stop_with_parent()

    with contextlib.suppress(asyncio.CancelledError):
        run_supervised(run(folder, [load_config(path) for path in sorted(folder.glob("seat-*.toml"))]))


if __name__ == "__main__":
    try:
        main()
    except CommonweightError as failure:
        sys.stderr.write(f"{failure}\n")
        raise SystemExit(failure.exit_code) from failure
