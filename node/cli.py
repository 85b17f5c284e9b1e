"""`commonweight`: the command line of operators, members and auditors.

Every command has ``--json`` and ``--help``; errors end with the exit codes of `node.protocol.errors`, tracebacks appear with
``--verbose`` only.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.markup import escape

from node import console
from node.config import Config, describe, load_config, template
from node.protocol.errors import AuditFailed, CommonweightError, ConfigError, TransactionReverted
from node.store import write_atomic

T = TypeVar("T")

app = typer.Typer(
    name="commonweight",
    help="Build, own and govern code models together, without sharing code.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
node_app = typer.Typer(help="Run and look after one node.", no_args_is_help=True)
keys_app = typer.Typer(help="Encrypted keystores.", no_args_is_help=True)
round_app = typer.Typer(help="Look at rounds.", no_args_is_help=True)
join_app = typer.Typer(help="Newcomers: applications and reviews.", no_args_is_help=True)
dispute_app = typer.Typer(help="Appeal to the court, with a bond.", no_args_is_help=True)
guideline_app = typer.Typer(help="The developer guideline.", no_args_is_help=True)
for _name, _group in (
    ("node", node_app),
    ("keys", keys_app),
    ("round", round_app),
    ("join", join_app),
    ("dispute", dispute_app),
    ("guideline", guideline_app),
):
    app.add_typer(_group, name=_name)

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The node's TOML file.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="Override a setting: section.key=value.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]

_DEFAULT_CONFIG = Path("commonweight.toml")
_state = {"verbose": False}


@app.callback()
def _main(
    verbose: Annotated[bool, typer.Option("--verbose", help="Show tracebacks and debug logs.")] = False,
) -> None:
    _state["verbose"] = verbose


def _config(path: Path, flags: list[str] | None) -> Config:
    return load_config(path, environment=os.environ, flags=flags or ())


def run_supervised(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end; SIGINT and SIGTERM cancel it in order."""

    async def supervised() -> T:
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        return await task

    return asyncio.run(supervised())


# --- node -----------------------------------------------------------------------------------------------------------


@node_app.command("run")
def node_run(
    config: ConfigOption = _DEFAULT_CONFIG,
    overrides: SetOption = None,
    exit_with_parent: Annotated[
        bool, typer.Option("--exit-with-parent", help="Stop when standard input closes (for supervisors).")
    ] = False,
) -> None:
    """Run a node until it is stopped."""
    from node.runtime import run_node  # noqa: PLC0415 - web3 takes a second; other commands do not need it

    settings = _config(config, overrides)
    start_logging(settings.node.data / "node.log", verbose=_state["verbose"])
    if exit_with_parent:
        stop_with_parent()
    with contextlib.suppress(asyncio.CancelledError):
        run_supervised(run_node(settings))


@node_app.command("init")
def node_init(config: ConfigOption = _DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Write a settings file with every key, its default and its meaning."""
    if config.exists():
        raise ConfigError(f"{config} exists already.", hint="Move it away first; it is never overwritten.")
    write_atomic(config, template().encode())
    _say({"written": str(config)}, as_json=as_json)


@node_app.command("status")
def node_status(config: ConfigOption = _DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """What the node is doing now."""
    settings = _config(config, None)
    path = settings.node.data / "status.json"
    try:
        status = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"There is no status at {path}.", hint="Is the node running? `commonweight node run`."
        ) from error
    if as_json:
        console.print_json(status)
        return
    rows = [(key, escape(_plain(value))) for key, value in status.items() if value not in (None, "", [], {})]
    console.table(f"Node {settings.node.name}", ("what", "value"), rows)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@node_app.command("config")
def node_config(
    config: Annotated[Path | None, typer.Option("--config", "-c", help="Resolve this TOML file.")] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Every setting: without --config the defaults, with it the values a node would run with."""
    resolved = _config(config, overrides) if config else Config()
    values = {}
    for name, _kind, _default, _help in describe():
        section, key = name.split(".")
        value = getattr(getattr(resolved, section), key)
        values[name] = str(value) if isinstance(value, Path) else value
    if as_json:
        console.print_json(values)
        return
    rows = [(name, kind, escape(str(values[name])), text) for name, kind, _default, text in describe()]
    console.table("Settings", ("key", "kind", "value", "meaning"), rows)


# --- keys -----------------------------------------------------------------------------------------------------------


@keys_app.command("create")
def keys_create(config: ConfigOption = _DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Make this node's key, encrypted under the password in keys.password_file."""
    from node.adapters.signer_keystore import KeystoreSigner  # noqa: PLC0415
    from node.runtime import ACCOUNT_FILE  # noqa: PLC0415

    settings = _config(config, None)
    settings.keys.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    signer = KeystoreSigner.create(settings.keys.folder / ACCOUNT_FILE, settings.keys.password_file)
    _say({"address": signer.address}, as_json=as_json)


@keys_app.command("show")
def keys_show(config: ConfigOption = _DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """The node's address (checks that the keystore opens)."""
    from node.runtime import load_signer  # noqa: PLC0415

    _say({"address": load_signer(_config(config, None)).address}, as_json=as_json)


def _say(values: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        console.print_json(values)
    else:
        for key, value in values.items():
            console.out.print(f"{key}  [bold]{value}[/]", highlight=False)


# --- rounds, membership, guideline ------------------------------------------------------------------------------------


@round_app.command("list")
def round_list(config: ConfigOption = _DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """All rounds: phase, updates, model."""
    from node import queries  # noqa: PLC0415

    rows = run_supervised(queries.rounds(_config(config, None)))
    if as_json:
        console.print_json(rows)
        return
    console.table(
        "Rounds",
        ("round#", "phase", "committed#", "revealed#", "accepted#", "attested#", "sealed", "model"),
        [
            (
                row["round"], row["phase"], row["committed"], row["revealed"], row["accepted"], row["attestations"],
                "yes" if row["sealed"] else "no", console.short(row["model_hash"] or "–"),
            )
            for row in rows
        ],
    )  # fmt: skip


@round_app.command("show")
def round_show(
    number: Annotated[int, typer.Argument(help="Round number; 0 is the newest.")] = 0,
    config: ConfigOption = _DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """One round: every update, its verdict, and why."""
    from node import queries  # noqa: PLC0415

    found = run_supervised(queries.round_detail(_config(config, None), number))
    if as_json:
        console.print_json(found)
        return
    console.out.print(f"Round {found['round']}, {found['phase']}, model {found['model_hash'] or '–'}", highlight=False)
    console.table(
        "Updates",
        ("index#", "trainer", "verdict", "gain ppm#", "votes#", "weight#", "CID"),
        [
            (u["index"], u["trainer"], u["status"], u["gain"], u["votes"], u["weight"], u["cid"])
            for u in found["updates"]
        ],
    )


@join_app.command("list")
def join_list(config: ConfigOption = _DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Members and applicants: standing, stake, earnings."""
    from node import queries  # noqa: PLC0415

    rows = run_supervised(queries.members(_config(config, None)))
    if as_json:
        console.print_json(rows)
        return
    console.table(
        "Members",
        ("account", "standing", "application#", "approvals#", "stake CWT#", "earned CWT#", "slashed CWT#"),
        [
            (
                row["address"], row["status"], row["application"], row["approvals"],
                console.cwt(int(row["stake"])), console.cwt(int(row["earned"])), console.cwt(int(row["slashed"])),
            )
            for row in rows
        ],
    )  # fmt: skip


@join_app.command("review")
def join_review(
    application: Annotated[int, typer.Argument(help="Number of the application (`join list`).")],
    approve: Annotated[bool, typer.Option("--approve/--reject", help="Your vote.")],
    reason: Annotated[str, typer.Option(help="Why; its hash goes on chain.")] = "",
    config: ConfigOption = _DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Vote on an application, as a committee seat."""
    from node import queries  # noqa: PLC0415

    receipt = run_supervised(queries.review(_config(config, None), application, approve=approve, reason=reason))
    _say({"transaction": "0x" + receipt.transaction.hex(), "block": receipt.block}, as_json=as_json)


SendOption = Annotated[bool, typer.Option("--send", help="Put up the bond and open the dispute; else only advise.")]


@dispute_app.command("score")
def dispute_score(
    number: Annotated[int, typer.Argument(help="Round number.")],
    index: Annotated[int, typer.Argument(help="Index of the update (`round show`).")],
    send: SendOption = False,
    config: ConfigOption = _DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Dispute the verdict on one update. Without --send it says what a jury would look like and what this node found itself."""
    _dispute(config, number, index, send=send, as_json=as_json)


@dispute_app.command("aggregate")
def dispute_aggregate(
    number: Annotated[int, typer.Argument(help="Round number.")],
    send: SendOption = False,
    config: ConfigOption = _DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Dispute the model of a round. Without --send it says whether this node computed another one."""
    _dispute(config, number, None, send=send, as_json=as_json)


def _dispute(config: Path, number: int, index: int | None, *, send: bool, as_json: bool) -> None:
    from node import queries  # noqa: PLC0415

    found = run_supervised(queries.dispute(_config(config, None), number, index, send=send))
    if as_json:
        console.print_json(found)
        return
    rows = [
        ("decided", found["decided"]),
        ("this node found", found["ours"]),
        ("jurors", f"{found['jurors']}{'' if found['is_independent'] else ', those who decided among them'}"),
        ("bond", f"{console.cwt(int(found['bond']))} CWT, burned where the jury disagrees"),
        ("time left", f"{found['seconds']} s"),
        ("advice", "dispute" if found["can"] and found["worth"] else "do not dispute"),
        *(("because", reason) for reason in found["reasons"]),
        *([("transaction", found["transaction"])] if "transaction" in found else []),
    ]
    console.table("Dispute", ("what", "value"), [(what, escape(str(value))) for what, value in rows])


@guideline_app.command("show")
def guideline_show(config: ConfigOption = _DEFAULT_CONFIG) -> None:
    """The guideline in force, as JSON (checked against the hash the contracts pin)."""
    from node.manifest import load_manifest  # noqa: PLC0415
    from node.runtime import load_guideline  # noqa: PLC0415

    settings = _config(config, None)
    guideline = load_guideline(settings, load_manifest(settings.network.manifest))
    console.print_json({"hash": "0x" + guideline.hash.hex(), **guideline.documents})


# --- audit ----------------------------------------------------------------------------------------------------------


@app.command()
def audit(
    config: ConfigOption = _DEFAULT_CONFIG,
    ledger_only: Annotated[bool, typer.Option("--ledger-only", help="Do not fetch and re-aggregate models.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Rebuild every balance, verdict and model from the chain and IPFS alone, and compare. Exit code 8 if anything differs."""
    from node import queries  # noqa: PLC0415

    report = run_supervised(queries.run_audit(_config(config, None), ledger_only=ledger_only))
    if as_json:
        console.print_json(report.to_json())
    else:
        console.table("Checked", ("what", "times#"), sorted(report.checked.items()))
        for finding in report.findings:
            console.out.print(f"[bold red]differs[/] {escape(finding)}", highlight=False, soft_wrap=True)
    if not report.ok:
        raise AuditFailed(f"{len(report.findings)} things do not add up; the first: {report.findings[0]}")
    if not as_json:
        console.out.print("[bold green]The history adds up.[/]")


# --- process --------------------------------------------------------------------------------------------------------


def start_logging(path: Path, *, verbose: bool) -> None:
    """Log to a file; warnings to the terminal too. Nothing secret is ever logged."""
    path.parent.mkdir(parents=True, exist_ok=True)
    form = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    file = logging.FileHandler(path, encoding="utf-8")
    file.setFormatter(form)
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(form)
    stream.setLevel(logging.WARNING)
    root = logging.getLogger("commonweight")
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    root.handlers[:] = [file, stream]


def stop_with_parent() -> None:
    """End this process when standard input closes: a supervisor that dies, even by kill -9, leaves no orphan."""

    def wait() -> None:
        # On the descriptor: a thread that sits in sys.stdin's lock would crash the interpreter's exit.
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True, name="parent").start()


def main() -> None:
    """Entry point: run a command and turn our errors into messages and exit codes."""
    try:
        app()
    except CommonweightError as error:
        if isinstance(error, TransactionReverted):
            from node.advice import explained  # noqa: PLC0415

            error = explained(error)
        console.fail(error, verbose=_state["verbose"], as_json="--json" in sys.argv)


if __name__ == "__main__":
    main()
