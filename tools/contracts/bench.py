"""Copies of the contracts in a temporary folder, where mutants are tried. The source itself is never written to.

One copy holds one set of tests, so that forge needs no filter (with a filter it first compiles everything for its interface, 2 s).
Compiled without the optimizer and with tests linked at run time, a mutant costs the recompilation of one contract.

Linking at run time blinds some tests: where `new C(…)` reverts as `vm.expectRevert` demands, forge 1.7 ends the test there and calls it
passed, whatever follows (`test_bench.py` shows it). `is_blinded` finds the files; a copy with `linked` compiles everything into them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.protocol.errors import SetupError
from tools.contracts.campaign import Outcome
from tools.contracts.solidity import CONTRACTS, clean_environment, settings

PROFILE = """
[profile.mutation]
optimizer = false
dynamic_test_linking = DYNAMIC
code_size_limit = 1000000
deny = "never"
build_info = false
threads = 1
[profile.mutation.fuzz]
runs = 32
[profile.mutation.invariant]
runs = 4
depth = 30
fail_on_revert = true
"""
_REFUSED = ("Compilation failed", "Compiler run failed")
_CREATION = re.compile(r"\bnew [A-Z]\w*\s*[({]")
_EXPECTED = re.compile(r"\bvm\.expect(Partial)?Revert\b")

_running: set[int] = set()
"""Process groups of the forges that run now."""


def stop_all() -> None:
    """Kill every run of forge that is going on, with the compilers it started."""
    for group in list(_running):
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


def is_blinded(test: str) -> bool:
    """Whether linking at run time may hide failures of this test file: it expects reverts, and deploys."""
    return bool(_EXPECTED.search(test) and _CREATION.search(test))


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a run of the tests ended, why, and after how many seconds. ``survived`` means that all passed."""

    outcome: Outcome
    by: str
    seconds: float


class Bench:
    """One copy: ``folder/contracts`` with all sources, the helpers of the tests, and the test files ``tests``.

    Args:
        folder: an empty folder.
        tests: test files, relative to the contracts' folder.
        timeout: seconds until a run counts as hung.
        contracts: what is copied.
        linked: compile the contracts into the tests; slower, blinds none.

    Attributes:
        has_passed: whether the tests have passed on the unchanged source.

    Raises:
        SetupError: forge or the packages are missing.
    """

    def __init__(
        self, folder: Path, tests: Sequence[str], timeout: float, contracts: Path = CONTRACTS, *, linked: bool = False
    ) -> None:
        self.timeout = timeout
        self.has_passed = False
        self.path = folder / "contracts"
        self._forge = contracts / ".bin" / "forge"
        if not self._forge.exists() or not (contracts / "node_modules").is_dir():
            raise SetupError("The contracts' tools are not installed.", hint="Run `make setup`.")
        self.path.mkdir(parents=True)
        for name in ("node_modules", "tools"):
            (self.path / name).symlink_to((contracts / name).resolve())
        shutil.copytree(contracts / "src", self.path / "src")
        wanted = {contracts / test for test in tests}
        for file in sorted((contracts / "test").rglob("*.sol")):
            if not file.name.endswith(".t.sol") or file in wanted:
                there = self.path / file.relative_to(contracts)
                there.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, there)
        profile = PROFILE.replace("DYNAMIC", "false" if linked else "true")
        (self.path / "foundry.toml").write_text((contracts / "foundry.toml").read_text("utf-8") + profile, "utf-8")
        self._link_what_tests_read(contracts)

    def at(self, path: Path) -> Bench:
        """The same bench, copied to ``path`` with all that it has compiled."""
        twin = copy(self)
        twin.path = path
        return twin

    def _link_what_tests_read(self, contracts: Path) -> None:
        """Paths outside the contracts' folder that ``fs_permissions`` names."""
        for entry in settings(contracts).get("fs_permissions", []):
            link = Path(os.path.normpath(self.path / entry["path"]))
            if not link.is_relative_to(self.path) and not link.exists():
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to((contracts / entry["path"]).resolve())

    def read(self, file: str) -> bytes:
        """A source as it stands in this copy."""
        return (self.path / file).read_bytes()

    def write(self, file: str, text: bytes) -> None:
        """Change a source of this copy."""
        path = self.path / file
        assert path.resolve().is_relative_to(self.path.resolve()), "only the copy is written to"
        path.write_bytes(text)

    def try_with(self, file: str, text: bytes) -> Verdict:
        """Run the tests with ``file`` changed, and change it back; raises as `run`."""
        before = self.read(file)
        self.write(file, text)
        try:
            return self.run()
        finally:
            self.write(file, before)

    def run(self) -> Verdict:
        """Compile and test.

        Raises:
            SetupError: forge ended otherwise than by passing, failing tests or compiler errors, so nothing is known.
        """
        for remembered in ("fuzz", "invariant"):  # failures of an earlier mutant must not judge this one
            shutil.rmtree(self.path / "cache" / remembered, ignore_errors=True)
        command = [str(self._forge), "test", "--json", "--fail-fast", "--allow-failure"]
        begun = time.monotonic()
        with subprocess.Popen(
            command,
            cwd=self.path,
            env=clean_environment(FOUNDRY_PROFILE="mutation", FOUNDRY_GAS_SNAPSHOT_EMIT="false", NO_COLOR="1"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            _running.add(process.pid)
            try:
                output, errors = process.communicate(timeout=self.timeout)
            except subprocess.TimeoutExpired:
                self._kill(process)
                self._forget()
                return Verdict("timeout", f"more than {self.timeout:.0f} s", time.monotonic() - begun)
            finally:
                self._kill(process)
                _running.discard(process.pid)
        outcome, by = classify(process.returncode, output.decode("utf-8", "replace"), errors.decode("utf-8", "replace"))
        return Verdict(outcome, by, time.monotonic() - begun)

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        """Ends a run, also the compiler that it started; nothing where it has ended."""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _forget(self) -> None:
        """Throw away what is compiled: a killed build may leave a mutant's code under the unchanged source's name."""
        for folder in ("out", "cache"):
            shutil.rmtree(self.path / folder, ignore_errors=True)


def classify(status: int, output: str, errors: str) -> tuple[Outcome, str]:
    """Outcome and reason of ``forge test --json --allow-failure``.

    Raises:
        SetupError: neither a test result nor a compiler error; a mutant is never called killed for such a reason.
    """
    if status and any(words in output + errors for words in _REFUSED):
        return "invalid", _first_error(output + errors)
    suites: dict[str, Any] = {}
    with suppress(ValueError):
        suites = json.loads(output)
    results = [
        (f"{suite}:{name}", result)
        for suite, entry in suites.items()
        if isinstance(entry, dict)
        for name, result in entry.get("test_results", {}).items()
    ]
    failed = sorted(name for name, result in results if result["status"] == "Failure")
    if failed:
        return "killed", failed[0]
    if status == 0 and results and all(result["status"] == "Success" for _, result in results):
        return "survived", f"{len(results)} tests passed"
    raise SetupError(
        f"forge test ended with status {status} and without a result.",
        why=(errors or output).strip()[-600:] or "It said nothing.",
        hint="Run `.bin/forge test` in contracts/; the tests must pass and none may be skipped.",
    )


def _first_error(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("Error")]
    return next((line for line in lines if "(" in line), lines[0] if lines else "refused by the compiler")[:200]
