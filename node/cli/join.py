"""`commonweight join`: newcomers apply, the committee reviews, members leave."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from node import console
from node.cli.base import DEFAULT_CONFIG, ConfigOption, JsonOption, SetOption, group, resolve, say
from node.cli.process import run_supervised

if TYPE_CHECKING:  # imported by the commands that need it: it loads web3
    from node.dao.desk import Desk
    from node.dao.files import Files

join_app = group("join", "Newcomers: apply, review, admit, leave.")

NumberArgument = Annotated[int, typer.Argument(help="Number of the application (`join list`).")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; published on IPFS, named on chain.")]
Work = Callable[["Desk", "Files"], Coroutine[Any, Any, dict[str, Any]]]


def _at_desk(config: Path, work: Work, *, sign: bool, overrides: list[str] | None = None) -> dict[str, Any]:
    """Open community and files of ``config`` and do some work there."""
    from node.dao.desk import open_desk
    from node.membership.shelf import open_shelf

    async def run() -> dict[str, Any]:
        settings = resolve(config, overrides)
        async with open_desk(settings, sign=sign) as desk, open_shelf(settings) as files:
            return await work(desk, files)

    return run_supervised(run())


@join_app.command("list")
def join_list(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Members and applicants: standing, stake, earnings."""
    from node import queries

    rows = run_supervised(queries.members(resolve(config, None)))
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


@join_app.command("apply")
def join_apply(
    test_set: Annotated[
        list[Path] | None,
        typer.Option("--test-set", help="JSONL rows to offer as a benchmark; its name is the file's."),
    ] = None,
    about: Annotated[str, typer.Option(help="What the test sets test.")] = "",
    note: Annotated[str, typer.Option(help="Remark on your data.")] = "",
    hardware_note: Annotated[str, typer.Option(help="Remark on your hardware.")] = "",
    draft: Annotated[
        Path | None, typer.Option(help="Edited draft: its hardware and data statement instead of what is found.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Make and check the document, send nothing.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew; do not go on with data/join.")] = False,
    wait: Annotated[int, typer.Option(help="Seconds to stay and serve the files until it is decided.")] = 0,
    config: ConfigOption = DEFAULT_CONFIG,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make your request (identity, hardware, data statement, sample update, test sets), sign it, and apply."""
    from node.membership.application import Options, apply_to_join

    options = Options(
        test_sets=tuple(test_set or ()), about=about, note=note, hardware_note=hardware_note, draft=draft,
        dry_run=dry_run, fresh=fresh, wait=wait,
    )  # fmt: skip
    found = _at_desk(config, lambda desk, files: apply_to_join(desk, files, options), sign=True, overrides=overrides)
    if as_json or dry_run:
        console.print_json(found)
        return
    found.pop("document", None)
    say({key: value for key, value in found.items() if value not in ([], None)}, as_json=False)
    if not wait and "published" not in found:
        console.out.print("Start your node now (`commonweight node run`): it serves the files to the committee.")


@join_app.command("show")
def join_show(
    application: NumberArgument,
    quick: Annotated[bool, typer.Option("--quick", help="Checks only; measure nothing.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Fetch an application, check it, and measure what its sample update does."""
    from node.membership import office

    found = _at_desk(config, lambda desk, files: office.show(desk, files, application, measure=not quick), sign=False)
    if as_json:
        console.print_json(found)
        return
    _print_application(found)


def _print_application(found: dict[str, Any]) -> None:
    console.out.print(
        f"Application {found['application']} of {found['applicant']}: [bold]{found['standing']}[/]\n"
        f"request {found['request_cid']}", highlight=False,
    )  # fmt: skip
    console.table(
        "Checks",
        ("", "what", "found"),
        [("✓" if one["ok"] else "✗", one["name"], escape(one["detail"])) for one in found["checks"]],
    )
    if found["measured"]:
        what = "with its sample update" if found["has_sample"] else "the newest model, as it brought no sample update"
        console.table(
            f"{found['metric']}: the model before, and {what}",
            ("benchmark", "before#", "after#", "change#"),
            [
                (escape(row["benchmark"]), escape(row["error"]), "", "")
                if "error" in row
                else (escape(row["benchmark"]), f"{row['before']:.4f}", f"{row['after']:.4f}", f"{row['change']:+.4f}")
                for row in found["measured"]
            ],
        )
    for row in found["reviews"]:
        verdict = "vetoes" if row["kind"] == "veto" else "approves" if row["approve"] else "rejects"
        reason = row["reason"] or f"no reason: {row['why_not']}"
        console.out.print(f"{row['reviewer']} {verdict}: {escape(reason)}", highlight=False)


@join_app.command("review")
def join_review(
    application: NumberArgument,
    approve: Annotated[bool, typer.Option("--approve/--reject", help="Your vote.")],
    reason: ReasonOption,
    force: Annotated[bool, typer.Option("--force", help="Approve unseen, or although a check failed.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Vote on an application, as a committee seat, with reasons that are published."""
    from node.membership import office

    vote = office.Vote(application, approve, reason, force)
    say(_at_desk(config, lambda desk, files: office.review(desk, files, vote), sign=True), as_json=as_json)


@join_app.command("veto")
def join_veto(
    application: NumberArgument,
    reason: ReasonOption,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Object to an approved application within its veto window, as a committee seat."""
    from node.membership import office

    say(_at_desk(config, lambda desk, files: office.veto(desk, files, application, reason), sign=True), as_json=as_json)


@join_app.command("admit")
def join_admit(application: NumberArgument, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Admit an approved applicant whose veto window is over (keepers do it by themselves)."""
    from node.cli.dao import at_desk
    from node.membership import office

    say(at_desk(config, lambda desk: office.admit(desk, application), sign=True), as_json=as_json)


@join_app.command("bond")
def join_bond(
    amount: Annotated[str, typer.Argument(help="CWT, e.g. 12.5.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Add own CWT to your stake, e.g. after a penalty took it below the bond."""
    from node.cli.dao import at_desk
    from node.dao.proposal import tokens
    from node.membership.application import bond

    say(at_desk(config, lambda desk: bond(desk, tokens(amount)), sign=True), as_json=as_json)


@join_app.command("peer")
def join_peer(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Register your present peer id and encryption key, after they changed."""
    from node.cli.dao import at_desk
    from node.membership.application import update_peer

    say(at_desk(config, update_peer, sign=True), as_json=as_json)


@join_app.command("exit")
def join_exit(
    finish: Annotated[bool, typer.Option("--finish", help="End an exit whose delay is over.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Leave the community: your own part of the stake is paid out after a delay, the unvested grant burns."""
    from node.cli.dao import at_desk
    from node.membership.application import leave

    say(at_desk(config, lambda desk: leave(desk, finish=finish), sign=True), as_json=as_json)
