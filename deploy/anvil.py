"""A local chain as a child process: loopback only, funded accounts, gone when we are gone. Here Anvil; `deploy.hardhat` is the other.

Anvil's flags, and why (measured with 1.7.1):

* ``--hardfork cancun --prune-history 256``: the cost of a block stays flat as the chain grows. Old *states* go after 256 blocks;
  logs, receipts, transactions and block hashes, all that an auditor reads, stay.
* ``--block-time 1 --mixed-mining``: a transaction is mined at once (2 ms instead of up to 1 s), and an empty block comes every
  second, so that time passes on chain too. Timestamps follow the clock: never ahead of it, never falling, often equal.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar

from eth_account import Account
from eth_account.hdaccount import generate_mnemonic
from eth_account.types import Language

from node.adapters.chain_rpc import Rpc, RpcLimits
from node.adapters.signer_keystore import KeystoreSigner
from node.protocol.errors import RpcUnreachable, SetupError

LOOPBACK = "127.0.0.1"
CHAIN_ID = 31337
BINARY = Path(__file__).resolve().parent.parent / "contracts" / ".bin" / "anvil"
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """How a local chain runs.

    Attributes:
        port: 0 takes a free one.
        chain_id: the chain's id.
        accounts: funded accounts.
        mnemonic: of the funded accounts; None draws a new one. Never one of real funds.
        block_time: seconds between empty blocks.
        log: file for its output, None for none.
        startup: seconds until it must answer.
    """

    port: int = 0
    chain_id: int = CHAIN_ID
    accounts: int = 10
    mnemonic: str | None = None
    block_time: int = 1
    log: Path | None = None
    startup: float = 20.0


Options = TypeVar("Options", bound=LocalOptions)


@dataclass(frozen=True, slots=True)
class AnvilOptions(LocalOptions):
    """How Anvil runs.

    Attributes:
        prune_history: block states kept.
        binary: the native program (the npm shim hides exit codes).
    """

    prune_history: int = 256
    binary: Path = BINARY


@dataclass(frozen=True, slots=True)
class Program:
    """What to start: a command, more environment, and where to start it."""

    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None


class LocalChain(Generic[Options]):
    """A running chain; subclasses say how it is started. ``async with await Anvil.start() as anvil`` stops it in the end.

    Attributes:
        program: its name in messages.
    """

    program = "chain"

    def __init__(self, process: subprocess.Popen[bytes], port: int, options: Options, mnemonic: str) -> None:
        self._process = process
        self._mnemonic = mnemonic
        self.port = port
        self.options = options

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url}, chain {self.options.chain_id})"

    @classmethod
    def default_options(cls) -> Options:
        """What `start` takes when it is told nothing."""
        raise NotImplementedError

    @classmethod
    def how_to_start(cls, options: Options, port: int, mnemonic: str) -> Program:
        """The program on ``port`` with accounts of ``mnemonic``.

        Raises:
            SetupError: it is not installed.
        """
        raise NotImplementedError

    @classmethod
    async def start(cls, options: Options | None = None) -> Self:
        """Start it and wait until it answers.

        Raises:
            SetupError: the program is missing, the port is in use, or it died.
        """
        options = options or cls.default_options()
        port = options.port or _free_port()
        mnemonic = options.mnemonic or generate_mnemonic(12, Language.ENGLISH)
        program = cls.how_to_start(options, port, mnemonic)
        _require_free(port)
        chain = cls(_spawn(program, options.log), port, options, mnemonic)
        try:
            await chain._wait_ready()
        except BaseException:
            chain.stop()
            raise
        return chain

    @property
    def url(self) -> str:
        """RPC address."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def key(self, index: int) -> bytes:
        """Private key of the funded account ``index``: development money only.

        Raises:
            IndexError: there are not that many.
        """
        if not 0 <= index < self.options.accounts:
            raise IndexError(f"account {index} of {self.options.accounts}")
        Account.enable_unaudited_hdwallet_features()
        return bytes(Account.from_mnemonic(self._mnemonic, account_path=f"m/44'/60'/0'/0/{index}").key)

    def signer(self, index: int) -> KeystoreSigner:
        """Signer of the funded account ``index``."""
        return KeystoreSigner.from_key(self.key(index))

    def stop(self) -> None:
        """End it; harmless if it is gone already."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    async def _wait_ready(self) -> None:
        deadline = time.monotonic() + self.options.startup
        rpc = Rpc(self.url, RpcLimits(timeout=2.0, attempts=1))
        try:
            while True:
                if self._process.poll() is not None:
                    raise SetupError(
                        f"{self.program} ended at once with status {self._process.returncode}.",
                        hint=f"Its words are in {self.options.log}."
                        if self.options.log
                        else "Start it with a log file.",
                    )
                with contextlib.suppress(RpcUnreachable):
                    await rpc.ask(rpc.w3.eth.get_block_number)
                    return
                if time.monotonic() > deadline:
                    raise SetupError(
                        f"{self.program} did not answer within {self.options.startup:.0f} s.",
                        hint="Is the machine overloaded?",
                    )
                await asyncio.sleep(0.02)
        finally:
            await rpc.close()


class Anvil(LocalChain[AnvilOptions]):
    """A running Anvil."""

    program = "anvil"

    @classmethod
    def default_options(cls) -> AnvilOptions:
        """A free port, ten accounts."""
        return AnvilOptions()

    @classmethod
    def how_to_start(cls, options: AnvilOptions, port: int, mnemonic: str) -> Program:
        """Its command line; raises as in the base class."""
        if not options.binary.is_file():
            raise SetupError(
                f"The program anvil is not at {options.binary}.",
                why="The contracts' tools are not installed.",
                hint="Run `make setup`.",
            )
        command = [
            str(options.binary),
            *("--host", LOOPBACK, "--port", str(port), "--chain-id", str(options.chain_id)),
            *("--hardfork", "cancun", "--prune-history", str(options.prune_history)),
            *("--block-time", str(options.block_time), "--mixed-mining"),
            *("--accounts", str(options.accounts), "--mnemonic", mnemonic),
            "--no-cors",
        ]
        return Program(command)


def _spawn(program: Program, log: Path | None) -> subprocess.Popen[bytes]:
    parent = os.getpid()
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("ab")) if log else subprocess.DEVNULL
        return subprocess.Popen(
            program.command,
            cwd=program.folder,
            env={**os.environ, **program.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # its own share of the processor, and no Ctrl-C meant for us
            preexec_fn=lambda: _die_with(parent),  # noqa: PLW1509  # only async-signal-safe calls; see _die_with
        )


def _die_with(parent: int) -> None:
    """In the child: have the kernel end us when the parent's thread ends, also if it ended already."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise SetupError(
                f"Port {port} on {LOOPBACK} cannot be used: {error.strerror}.",
                why="Another program listens there, perhaps an earlier chain.",
                hint=f"Stop it (`ss -ltnp | grep :{port}` names it), or choose another port; 0 takes a free one.",
            ) from error
