"""A real local network under a page test: chain, IPFS and nodes as processes, commands and dashboards as people start them.

Playwright's synchronous interface and the network's asyncio cannot share a thread, so the network lives in one of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx

from deploy.founding import Founding
from deploy.localnet import Localnet, LocalnetPlan

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 300
COMMAND_SECONDS = 300
DASHBOARD_SECONDS = 60


@dataclass
class Network:
    """`Localnet` for synchronous callers; a context manager."""

    plan: LocalnetPlan
    lines: list[str] = field(default_factory=list)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _dashboards: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self.net = Localnet(self.plan, self.lines.append)
        self._thread = threading.Thread()

    def _run(self, work: Coroutine[Any, Any, Any], seconds: float) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        try:
            self._run(self.net.__aenter__(), START_SECONDS)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *failure: object) -> None:
        self._dashboards.close()
        try:
            self._run(self.net.stop(), 60)
        finally:
            self._close()

    def _close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def command(self, config: Path, *arguments: str) -> Any:
        """The command line as a person runs it; its JSON answer."""
        done = subprocess.run(
            [sys.executable, "-m", "node.cli", *arguments, "--json", "--config", str(config)],
            capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False, env=environment(),
        )  # fmt: skip
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout)

    def skip(self, seconds: int) -> None:
        """Let the chain's clock jump, as a developer's chain can."""
        for method, parameters in (("evm_increaseTime", [seconds]), ("evm_mine", [])):
            asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
            answer = httpx.post(self.net.url, json=asked, timeout=30).json()
            assert "error" not in answer, answer

    def dashboard(self, config: Path) -> str:
        """Start `commonweight dashboard --sign` for one keystore, until the network stops; its address with the token."""
        return self._dashboards.enter_context(dashboard(config))


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@contextmanager
def dashboard(config: Path) -> Iterator[str]:
    command = [
        sys.executable,
        "-m",
        "node.cli",
        "dashboard",
        "--sign",
        "--port",
        "0",
        "--no-open",
        "--json",
        "--exit-with-parent",
    ]
    process = subprocess.Popen(
        [*command, "--config", str(config)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=environment(),
    )  # fmt: skip
    assert process.stdout is not None
    watchdog = threading.Timer(DASHBOARD_SECONDS, process.kill)
    watchdog.start()
    try:
        text = ""
        for line in process.stdout:
            text += line
            if line.startswith("}") or (line.startswith("{") and line.rstrip().endswith("}")):
                break
        assert text, f"the dashboard did not start: {process.stderr.read() if process.stderr else ''}"
        watchdog.cancel()
        yield json.loads(text)["url"]
    finally:
        watchdog.cancel()
        process.terminate()
        process.communicate(timeout=10)  # closes the pipes too


def tiny_founding(model: Path, cache: Path) -> Founding:
    """A community whose model trains in seconds."""
    from deploy.founding import found
    from learning.models.tiny import write_tiny_model

    model.mkdir(parents=True, exist_ok=True)
    write_tiny_model(model)
    documents = json.loads((ROOT / "deploy" / "guidelines" / "code-search.json").read_bytes())
    documents["architecture"]["learning"] |= {"model": "tiny", "lora_layers": 1, "lora_rank": 4, "lora_alpha": 8.0}
    documents["update"]["learning"] |= {"samples_per_round": 64, "batch_size": 32, "lookahead": [0.0]}
    return found(documents, model, rows=48, cache=cache)
