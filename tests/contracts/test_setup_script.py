"""contracts/tools: what a machine lacks is said plainly, with exit code 7, and the compiler wrapper answers like solc."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

CONTRACTS = Path(__file__).parents[2] / "contracts"
SETUP_ERROR = 7
TOOLS_OF_THE_SCRIPT = ("sh", "uname", "dirname", "mkdir", "ln", "head", "tail")


def run_setup(folder: Path, **scripts: str) -> subprocess.CompletedProcess[str]:
    """Runs setup.sh where PATH holds only the tools it needs and `scripts`, shell one-liners by name."""
    for tool in TOOLS_OF_THE_SCRIPT:
        found = shutil.which(tool)
        assert found is not None
        if tool not in scripts:
            (folder / tool).symlink_to(found)
    for name, body in scripts.items():
        script = folder / name
        script.write_text(f"#!/bin/sh\n{body}\n")
        script.chmod(0o755)
    return subprocess.run(
        ["/bin/sh", str(CONTRACTS / "tools" / "setup.sh")],
        env={"PATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("scripts", "what"),
    [
        ({}, "Node.js is missing"),
        ({"node": "echo v20.1.0"}, "npm is missing"),
        ({"node": "echo v18.19.0", "npm": ":"}, "Node.js v18.19.0 is too old"),
        ({"uname": "echo Darwin"}, "this system (Darwin) is not supported"),
        ({"uname": '[ "$1" = -m ] && echo riscv64 || echo Linux'}, "this processor (riscv64) is not supported"),
        ({"node": "echo v22.0.0", "npm": "exit 1"}, "npm ci failed"),
    ],
)
def test_setup_says_what_the_machine_lacks(tmp_path: Path, scripts: dict[str, str], what: str) -> None:
    result = run_setup(tmp_path, **scripts)
    assert result.returncode == SETUP_ERROR
    assert what in result.stderr
    assert "why:" in result.stderr
    assert "try:" in result.stderr


def test_solc_wrapper_compiles_standard_json() -> None:
    source = "// SPDX-License-Identifier: Apache-2.0\npragma solidity 0.8.34;\ncontract Empty {}\n"
    settings = {"outputSelection": {"*": {"*": ["abi"]}}}
    document = {"language": "Solidity", "sources": {"Empty.sol": {"content": source}}, "settings": settings}
    result = subprocess.run(
        [CONTRACTS / "tools" / "solc", "--standard-json"],
        input=json.dumps(document),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert json.loads(result.stdout)["contracts"]["Empty.sol"]["Empty"]["abi"] == []


def test_solc_wrapper_names_its_version_and_refuses_other_modes() -> None:
    wrapper = CONTRACTS / "tools" / "solc"
    version = subprocess.run([wrapper, "--version"], capture_output=True, text=True, check=True, timeout=60)
    assert "Version: 0.8.34+commit." in version.stdout
    refused = subprocess.run([wrapper, "Empty.sol"], capture_output=True, text=True, check=False, timeout=60)
    assert refused.returncode == 1
    assert "only --version and --standard-json" in refused.stderr


def test_solc_wrapper_reads_imports_below_the_named_folders_only(tmp_path: Path) -> None:
    head = "// SPDX-License-Identifier: Apache-2.0\npragma solidity 0.8.34;\n"
    for folder in ("open", "closed"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "A.sol").write_text(f"{head}contract A {{}}\n")
    (tmp_path / "open" / "Link.sol").symlink_to(tmp_path / "closed" / "A.sol")

    def errors(imported: str, *options: str) -> list[str]:
        source = f'{head}import {{A}} from "{imported}";\ncontract B is A {{}}\n'
        document = {"language": "Solidity", "sources": {"B.sol": {"content": source}}}
        result = subprocess.run(
            [CONTRACTS / "tools" / "solc", *options, "--standard-json"],
            input=json.dumps(document),
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        return [one["message"] for one in json.loads(result.stdout).get("errors", [])]

    allowed = ("--base-path", str(tmp_path / "open"))
    assert errors("A.sol", *allowed) == []
    assert (
        errors(str(tmp_path / "closed" / "A.sol"), "--allow-paths", f"{tmp_path / 'open'},{tmp_path / 'closed'}") == []
    )
    assert "outside the folders" in errors(str(tmp_path / "closed" / "A.sol"), *allowed)[0]
    assert "not found" in errors("../closed/A.sol", *allowed)[0]  # the compiler itself normalises it
    assert "outside the folders" in errors("Link.sol", *allowed)[0]
    assert "was not found" in errors("Gone.sol", *allowed)[0]
    assert "none was named" in errors("A.sol")[0]
