"""Hardhat's node as a child process: a second client beside Anvil, so that nothing of ours leans on one client's habits.

It runs the same rules (Cancun) with accounts from a mnemonic, mines at once and once a second, and never steps on an old timestamp:
a block's time is at least its parent's plus one. ``make hardhat`` installs and tries it; docs/adr/0017-second-client.md says why.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from deploy.anvil import LOOPBACK, LocalChain, LocalOptions, Program
from node.protocol.errors import SetupError

FOLDER = Path(__file__).resolve().parent.parent / "contracts" / "hardhat"
_CLI = Path("node_modules") / "hardhat" / "internal" / "cli" / "bootstrap.js"


@dataclass(frozen=True, slots=True)
class HardhatOptions(LocalOptions):
    """How Hardhat runs.

    Attributes:
        folder: where it is installed, with its ``hardhat.config.js``.
        startup: it loads its engine first, a second or more.
    """

    startup: float = 60.0
    folder: Path = FOLDER


class Hardhat(LocalChain[HardhatOptions]):
    """A running Hardhat node."""

    program = "hardhat"

    @classmethod
    def default_options(cls) -> HardhatOptions:
        """A free port, ten accounts."""
        return HardhatOptions()

    @classmethod
    def how_to_start(cls, options: HardhatOptions, port: int, mnemonic: str) -> Program:
        """Node.js on Hardhat's own entry point, so that the process we stop is the chain itself.

        Raises:
            SetupError: Node.js is missing, or Hardhat is not installed.
        """
        node, entry = shutil.which("node"), options.folder / _CLI
        if node is None or not entry.is_file():
            raise SetupError(
                "Hardhat's node cannot be started: "
                + ("Node.js is missing." if node is None else f"{entry} is missing."),
                why="The second client is not part of `make setup`.",
                hint="Run `make hardhat`.",
            )
        environment = {
            "COMMONWEIGHT_CHAIN_ID": str(options.chain_id),
            "COMMONWEIGHT_MNEMONIC": mnemonic,
            "COMMONWEIGHT_ACCOUNTS": str(options.accounts),
            "COMMONWEIGHT_BLOCK_TIME": str(options.block_time),
            "HARDHAT_DISABLE_TELEMETRY_PROMPT": "true",
            "CI": "true",  # no questions, no look-up of newer versions
        }
        return Program(
            [node, str(entry), "node", "--hostname", LOOPBACK, "--port", str(port)], environment, options.folder
        )
