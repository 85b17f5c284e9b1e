"""Write the node's ABI package data from the compiler's output: `python -m deploy.abi` after every change of an interface."""

from __future__ import annotations

import json
from pathlib import Path

import node.adapters.abi
from node.adapters.abi import CONTRACTS
from node.protocol.errors import SetupError

CONTRACTS_FOLDER = Path(__file__).resolve().parent.parent / "contracts"
ABI_FOLDER = Path(node.adapters.abi.__file__).parent


def artifact(name: str, folder: Path = CONTRACTS_FOLDER) -> dict[str, object]:
    """The compiler's output for one contract.

    Raises:
        SetupError: the contracts are not compiled.
    """
    path = folder / "out" / f"{name}.sol" / f"{name}.json"
    if not path.exists():  # forge puts what two profiles compile under its folder
        path = next((folder / "out").glob(f"**/{name}.sol/{name}.json"), path)
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SetupError(
            f"The compiled contract {name} cannot be read from {path}: {error}.",
            why="The contracts are not compiled yet.",
            hint="Run `make setup`, or `.bin/forge build` in contracts/.",
        ) from error
    return dict(document)


def abi_text(name: str, folder: Path = CONTRACTS_FOLDER) -> str:
    """The ABI as it is committed: one item a line, the compiler's order, without the compiler's own type names."""
    items = artifact(name, folder)["abi"]
    if not isinstance(items, list):
        raise SetupError(f"The compiled contract {name} has no ABI.", hint="Run `.bin/forge build --force`.")
    lines = ",\n".join(json.dumps(_strip(item), separators=(", ", ": ")) for item in items)
    return f"[\n{lines}\n]\n"


def _strip(value: object) -> object:
    """Drop ``internalType``: it only names Solidity types and changes without any change on the wire."""
    if isinstance(value, dict):
        return {key: _strip(one) for key, one in value.items() if key != "internalType"}
    return [_strip(one) for one in value] if isinstance(value, list) else value


def write(folder: Path = ABI_FOLDER) -> list[Path]:
    """Write every contract's ABI; the paths written."""
    paths = []
    for name in CONTRACTS:
        path = folder / f"{name}.json"
        path.write_text(abi_text(name), encoding="utf-8")
        paths.append(path)
    return paths


if __name__ == "__main__":
    write()
