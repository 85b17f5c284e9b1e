"""The community on Brownie's Anvil, put there by the project's own deploy script and wrapped for Brownie from its manifest."""

import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from brownie import accounts, chain, web3
from brownie import project as projects

ROOT = Path(__file__).resolve().parents[3]
SEATS, MEMBERS, GUARDIAN = (1, 2, 3), (4, 5, 6), 7


@pytest.fixture(scope="module")
def community(tmp_path_factory):
    """Contracts by name, seats and members as accounts."""
    folder = tmp_path_factory.mktemp("deployment")
    key = folder / "key"
    deployer = accounts.add()
    accounts[0].transfer(deployer, "1 ether")
    key.write_text(deployer.private_key)
    for name in ("genesis", "benchmark"):
        (folder / name).write_text(name)
    options = {
        "--rpc": web3.provider.endpoint_uri,
        "--chain-id": str(chain.id),
        "--dev-key-file": str(key),
        "--guardian": accounts[GUARDIAN].address,
        "--threshold": "2",
        "--guideline": str(ROOT / "deploy" / "guidelines" / "code-search.json"),
        "--genesis": str(folder / "genesis"),
        "--benchmark": str(folder / "benchmark"),
        "--out": str(folder / "network.json"),
    }
    arguments = [part for pair in options.items() for part in pair]
    arguments += [part for seat in SEATS for part in ("--committee", accounts[seat].address)]
    command = [
        os.environ.get("COMMONWEIGHT_PYTHON", str(ROOT / ".venv" / "bin" / "python")),
        "-m",
        "deploy",
        *arguments,
    ]
    clean = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    done = subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    addresses = json.loads((folder / "network.json").read_text())["contracts"]
    (here,) = projects.get_loaded_projects()
    contracts = {name: here[name].at(address) for name, address in addresses.items()}
    return SimpleNamespace(
        **contracts, seats=[accounts[seat] for seat in SEATS], members=[accounts[member] for member in MEMBERS]
    )


@pytest.fixture(autouse=True)
def isolation(community, fn_isolation):
    """Every test begins with the community as it was deployed."""
