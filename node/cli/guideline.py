"""`commonweight guideline`: the developer guideline, its epochs, and proposals to change it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from node import console
from node.cli.base import DEFAULT_CONFIG, ConfigOption, JsonOption, group, resolve, say
from node.cli.dao import DryOption, ForceOption, TextOption, show_sent
from node.cli.release import with_files
from node.protocol.errors import ConfigError

if TYPE_CHECKING:  # imported by the commands that need it: it loads web3
    from node.config import Config
    from node.dao.desk import Desk
    from node.dao.files import CommandFiles

guideline_app = group("guideline", "The developer guideline: four protocols, changed by vote.")

FileArgument = Annotated[Path, typer.Argument(help="A guideline's JSON file.")]


@guideline_app.command("show")
def guideline_show(
    epoch: Annotated[int, typer.Option(help="An epoch's, fetched by its CID; without it the node's own file.")] = 0,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """The guideline in force, line by line (checked against the hash the contracts pin)."""
    from node.dao.guidelines import read_guideline
    from node.dao.lines import leaves
    from node.manifest import load_manifest
    from node.runtime import load_guideline

    if epoch:

        async def work(_settings: Config, desk: Desk, files: CommandFiles) -> Any:
            return await read_guideline(desk, files, str(epoch))

        guideline = with_files(config, work, sign=False)
    else:
        settings = resolve(config, None)
        guideline = load_guideline(settings, load_manifest(settings.network.manifest))
    if as_json:
        console.print_json({"hash": "0x" + guideline.hash.hex(), **guideline.documents})
        return
    rows = [(line, escape(_shown(value))) for line, value in leaves(guideline.documents)]
    console.table(f"Guideline 0x{guideline.hash.hex()}", ("line", "value"), rows)


@guideline_app.command("diff")
def guideline_diff(
    after: Annotated[str, typer.Argument(help="A file, the number of an epoch, or current.")],
    before: Annotated[str, typer.Argument(help="What to compare it with: the same.")] = "current",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """What differs between two guidelines, line by line."""
    from node.dao.guidelines import read_guideline
    from node.dao.lines import differences

    async def work(_settings: Config, desk: Desk, files: CommandFiles) -> Any:
        old, new = await read_guideline(desk, files, before), await read_guideline(desk, files, after)
        return differences(old.documents, new.documents)

    changes = with_files(config, work, sign=False)
    if as_json:
        console.print_json([{"line": one.line, "before": one.before, "after": one.after} for one in changes])
        return
    rows = [(one.line, escape(_shown(one.before)), escape(_shown(one.after))) for one in changes]
    console.table(f"From {before} to {after}", ("line", "before", "after"), rows)


def _shown(value: object) -> str:
    return "–" if value is None else str(value)


@guideline_app.command("check")
def guideline_check(
    file: FileArgument,
    here: Annotated[bool, typer.Option("--here", help="Also whether this node can keep it.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Hold a guideline's file against the schemas and against what nodes can carry out. Exit code 2 if a line is wrong."""
    from node.config import Config
    from node.dao.guidelines import check_file
    from node.runtime import read_file

    settings = resolve(config, None) if here else Config()
    guideline, faults = check_file(read_file(file, "guideline", "Name a JSON file."), settings, here=here)
    if as_json:
        listed = [{"line": one.line, "at": place, "value": one.value, "why": one.why} for place, one in faults]
        console.print_json({"hash": "0x" + guideline.hash.hex(), "ok": not faults, "faults": listed})
    else:
        for place, one in faults:
            where = f"{file}:{place}" if place else str(file)
            console.out.print(f"[bold red]{escape(where)}[/] {escape(str(one))}", highlight=False, soft_wrap=True)
    if faults:
        place, one = faults[0]
        raise ConfigError(
            f"{file}{f':{place}' if place else ''}: {one}", hint="docs/schema says what each line may be."
        )
    if not as_json:
        say({"hash": "0x" + guideline.hash.hex()}, as_json=False)


@guideline_app.command("propose")
def guideline_propose(
    file: FileArgument,
    text: TextOption = "",
    *,
    force: ForceOption = False,
    dry_run: DryOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Propose the guideline of a file: every document that differs is published and amended, all in one proposal."""
    from node.dao import acts, guidelines
    from node.dao.lines import differences
    from node.dao.proposal import Proposal
    from node.runtime import read_file

    async def work(settings: Config, desk: Desk, files: CommandFiles) -> Any:
        data = read_file(file, "guideline", "Name a JSON file.")
        after, faults = guidelines.check_file(data, settings, here=False)
        if faults and not force:
            place, one = faults[0]
            raise ConfigError(
                f"{file}:{place}: {one}", hint="No node could honour it; `guideline check` lists every line."
            )
        before = await guidelines.read_guideline(desk, files, "current")
        actions, published = guidelines.amendments(before, after)
        if not dry_run:
            await guidelines.publish_all(files, published)
        described = guidelines.text_of(differences(before.documents, after.documents), text)
        return await acts.propose(desk, Proposal(tuple(actions), described, desk.me), force=force, send=not dry_run)

    show_sent(with_files(config, work, sign=True), as_json=as_json)


@guideline_app.command("fetch")
def guideline_fetch(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Write the guideline in force to the node's own file, if this node can honour it (a running node follows by itself)."""
    from node.dao.guidelines import adopt

    async def work(_settings: Config, desk: Desk, files: CommandFiles) -> Any:
        return await adopt(desk, files)

    say(with_files(config, work, sign=False), as_json=as_json)
