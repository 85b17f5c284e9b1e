"""The command `python -m deploy`: options to a `Plan`, and the result to a manifest file."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from pathlib import Path
from typing import Annotated

import typer
from eth_utils.address import is_checksum_address

from deploy.anvil import CHAIN_ID
from deploy.deploy import deploy
from deploy.manifest import Manifest, content, load_preset
from deploy.plan import Plan, documents
from node.adapters.signer_keystore import KeystoreSigner
from node.combine import require_guideline
from node.protocol.errors import CommonweightError, ConfigError
from node.protocol.guideline import Guideline
from node.protocol.types import Address

app: typer.Typer = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    *,
    rpc: Annotated[str, typer.Option(help="JSON-RPC endpoint")],
    chain_id: Annotated[int, typer.Option(help="chain that it must serve")],
    committee: Annotated[list[str], typer.Option(help="committee seat, in order; once per seat")],
    guardian: Annotated[str, typer.Option(help="account that can pause entry points and cancel proposals for a term")],
    guideline: Annotated[Path, typer.Option(help="the developer guideline, JSON")],
    genesis: Annotated[Path, typer.Option(help="the founding checkpoint")],
    benchmark: Annotated[Path, typer.Option(help="the public benchmark, JSONL")],
    preset: Annotated[
        str, typer.Option(help="constants: a file of deploy/networks, or a path ending in .toml")
    ] = "localnet",
    threshold: Annotated[int, typer.Option(help="approvals that admit a member; 0 is the preset's")] = 0,
    keystore: Annotated[Path | None, typer.Option(help="the deployer's keystore")] = None,
    password_file: Annotated[Path | None, typer.Option(help="its password; asked for if not given")] = None,
    dev_key_file: Annotated[Path | None, typer.Option(help="a bare hex key; development chains only")] = None,
    out: Annotated[Path, typer.Option(help="manifest to write")] = Path("network.json"),
) -> None:
    """Deploy one community's contracts, check them, and write its manifest.

    The founding files are only hashed here; a node that has them puts them on IPFS.
    """
    try:
        signer = _signer(chain_id, keystore, password_file, dev_key_file)
        params = load_preset(Path(preset) if preset.endswith(".toml") else preset)
        if threshold:
            params = dataclasses.replace(params, registry=dataclasses.replace(params.registry, threshold=threshold))
        parsed = Guideline.parse(_read(guideline))
        require_guideline(parsed)
        model, public = _read(genesis), _read(benchmark)
        plan = Plan(
            params=params,
            committee=tuple(_address(one) for one in committee),
            guardian=_address(guardian),
            guideline=content(parsed.canonical, parsed.hash),
            documents=documents(parsed),
            genesis=content(model, hashlib.sha256(model).digest()),
            public_benchmark=content(public, hashlib.sha256(public).digest()),
        )
        manifest: Manifest = asyncio.run(deploy(rpc, chain_id, signer, plan, report=typer.echo))
        manifest.write(out)
    except CommonweightError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    typer.echo(f"manifest: {out}")


def _signer(
    chain_id: int, keystore: Path | None, password_file: Path | None, dev_key_file: Path | None
) -> KeystoreSigner:
    if (keystore is None) == (dev_key_file is None):
        raise ConfigError("Name either --keystore or --dev-key-file.")
    if keystore is not None:
        return KeystoreSigner.load(
            keystore, password_file or (lambda: str(typer.prompt("Keystore password", hide_input=True)))
        )
    assert dev_key_file is not None, "one of the two is given"
    if chain_id != CHAIN_ID:
        raise ConfigError(
            f"A bare key is only read for development chains (chain {CHAIN_ID}), not for chain {chain_id}.",
            hint="Make a keystore with `commonweight keys create`.",
        )
    try:
        key = bytes.fromhex(_read(dev_key_file).decode("ascii").strip().removeprefix("0x"))
    except ValueError:
        raise ConfigError(f"{dev_key_file} does not hold a key in hex.") from None
    return KeystoreSigner.from_key(key)


def _address(text: str) -> Address:
    if not is_checksum_address(text):
        raise ConfigError(f"{text!r} is not a checksummed address.", hint="Addresses are 0x and 40 digits, EIP-55.")
    return Address(text)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
