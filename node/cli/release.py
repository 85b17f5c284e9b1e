"""`commonweight release`: versions of the model, from candidate to folder."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.tree import Tree

from node import console
from node.cli.base import DEFAULT_CONFIG, ConfigOption, JsonOption, group, resolve, say
from node.cli.dao import DryOption, ForceOption, TextOption, TitleOption, at_desk, propose_app, send_proposal, show_sent
from node.cli.process import run_supervised
from node.protocol.errors import AuditFailed, ConfigError
from node.store import write_atomic

if TYPE_CHECKING:  # imported by the commands that need it: it loads web3
    from node.config import Config
    from node.dao.desk import Desk
    from node.dao.files import CommandFiles
    from node.protocol.releases import Catalogue, Release

release_app = group("release", "Versions of the model: list, propose, fetch, verify.")

NumberArgument = Annotated[int, typer.Argument(help="Number of the release (`release list`); 0 is the latest.")]


def with_files(
    config: Path, work: Callable[[Config, Desk, CommandFiles], Coroutine[Any, Any, Any]], *, sign: bool
) -> Any:
    """Open the community of ``config`` with its files, and do some work there."""
    from node.dao.desk import open_desk
    from node.dao.files import open_files

    settings = resolve(config, None)

    async def run() -> Any:
        async with open_desk(settings, sign=sign) as desk, open_files(settings) as files:
            return await work(settings, desk, files)

    return run_supervised(run())


async def _catalogue(desk: Desk) -> Catalogue:
    return (await desk.state()).catalogue


def _row(release: Release) -> dict[str, Any]:
    from node.dao.releases import scores_of, version_of
    from node.protocol.cid import cid_from_digest

    return {
        "release": release.number,
        "version": version_of(release),
        "round": release.round,
        "parent": release.parent,
        "published_at": release.published_at,
        "model_hash": release.model_hash.hex(),
        "cid": cid_from_digest(release.cid),
        "notes_cid": cid_from_digest(release.notes_cid),
        "scores_ppm": scores_of(release),
        "credit_total": str(release.credit_total),
        "proposer": release.proposer,
        "is_yanked": release.is_yanked,
    }


# --- looking ----------------------------------------------------------------------------------------------------------


@release_app.command("list")
def release_list(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """All releases: version, round, scores."""
    from node.dao.calls import moment

    catalogue = at_desk(config, _catalogue, sign=False)
    rows = [_row(release) for release in catalogue.releases.values()]
    if as_json:
        console.print_json(rows)
        return
    console.table(
        "Releases",
        ("release#", "version", "round#", "on#", "published", "scores", "state"),
        [
            (
                row["release"], row["version"], row["round"], row["parent"] or "–", moment(row["published_at"]),
                "\n".join(f"{escape(name)} {ppm / 1e6:.4f}" for name, ppm in sorted(row["scores_ppm"].items())),
                "taken back" if row["is_yanked"] else "latest" if row["release"] == catalogue.latest else "",
            )
            for row in rows
        ],
    )  # fmt: skip


@release_app.command("show")
def release_show(
    number: NumberArgument = 0, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """One release: model, scores against its parent, who owns how much."""
    from incentives.ownership import shares_ppm
    from node.dao.releases import find, scores_of

    async def ask(desk: Desk) -> dict[str, Any]:
        state = await desk.state()
        release = find(state.catalogue, number)
        earned = {account: trace.at(release.round) for account, trace in state.credits.earned.items()}
        parent = state.catalogue.releases.get(release.parent)
        return {
            **_row(release),
            "parent_scores_ppm": scores_of(parent) if parent else {},
            "shares_ppm": shares_ppm({account: credit for account, credit in earned.items() if credit}),
        }

    found = at_desk(config, ask, sign=False)
    if as_json:
        console.print_json(found)
        return
    tables = ("scores_ppm", "parent_scores_ppm", "shares_ppm")
    say({key: value for key, value in found.items() if key not in tables}, as_json=False)
    before = found["parent_scores_ppm"]
    rows = [
        (
            escape(name),
            _score(before.get(name)),
            _score(ppm),
            _score(ppm - before[name], "+") if name in before else "–",
        )
        for name, ppm in sorted(found["scores_ppm"].items())
    ]
    console.table("Scores", ("benchmark", "parent#", "this release#", "change#"), rows)
    shares = sorted(found["shares_ppm"].items(), key=lambda entry: -entry[1])
    console.table("Owners", ("member", "share#"), [(who, f"{ppm / 1e4:.2f} %") for who, ppm in shares])


def _score(ppm: int | None, sign: str = "") -> str:
    return "–" if ppm is None else f"{ppm / 1e6:{sign}.4f}"


@release_app.command("lineage")
def release_lineage(
    dot: Annotated[bool, typer.Option("--dot", help="As a Graphviz graph.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Which release was built on which."""
    from node.dao.releases import children, lineage_dot, scores_of, version_of

    catalogue = at_desk(config, _catalogue, sign=False)
    if as_json:
        console.print_json([_row(release) for release in catalogue.releases.values()])
        return
    if dot:
        typer.echo(lineage_dot(catalogue), nl=False)
        return

    def grow(tree: Tree, parent: int) -> Tree:
        for one in children(catalogue, parent):
            scores = ", ".join(f"{name} {ppm / 1e6:.4f}" for name, ppm in sorted(scores_of(one).items()))
            gone = " [red]taken back[/]" if one.is_yanked else ""
            grow(tree.add(f"[bold]{version_of(one)}[/] round {one.round}: {escape(scores)}{gone}"), one.number)
        return tree

    console.out.print(grow(Tree("genesis"), 0))


# --- from a round to a proposal ---------------------------------------------------------------------------------------


@release_app.command("candidate")
def release_candidate(
    number: Annotated[int, typer.Argument(help="A finalised round; 0 is the newest.")] = 0,
    *,
    add_benchmark: Annotated[
        list[str] | None, typer.Option("--add-benchmark", help="NAME=FILE: a benchmark that the proposal shall add.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Candidate's file, for attesters and `release propose`.")] = Path(
        "candidate.json"
    ),
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Measure a round's model on every active benchmark, compare it with the latest release, and write the candidate."""
    from node.dao import publishing
    from node.dao.measure import local_measure
    from node.runtime import read_file

    added = {}
    for entry in add_benchmark or []:
        name, separator, path = entry.partition("=")
        if not separator:
            raise ConfigError(f"--add-benchmark {entry!r} is not of the form NAME=FILE.")
        added[name] = read_file(Path(path), "benchmark", "Name a JSONL file of the guideline's test-set format.")

    async def work(settings: Config, desk: Desk, files: CommandFiles) -> dict[str, Any]:
        from node.dao.files import guideline_of

        wanted = number or await publishing.last_finalised(desk)
        epoch = (await publishing.finalised(desk, wanted))["epoch"]
        guideline = await guideline_of(desk, files, epoch)
        measure = local_measure(settings, guideline)
        candidate = await publishing.make_candidate(desk, files, measure, wanted, added)
        for one in candidate.added:
            await files.publish(added[one.name])  # attesters fetch it by its CID
        write_atomic(out, candidate.to_json())
        lines = await publishing.table(desk, candidate, guideline)
        ready = await publishing.readiness(desk, candidate)
        return {"round": wanted, "written": str(out), "table": [line.row() for line in lines], **ready}

    found = with_files(config, work, sign=False)
    if as_json:
        console.print_json(found)
        return
    rows = [
        (
            escape(r["benchmark"]),
            _score(r["parent"]),
            _score(r["score"]),
            _score(r["change"], "+"),
            _score(r["least"]),
            r["verdict"],
        )
        for r in found["table"]
    ]
    columns = ("benchmark", "parent#", "candidate#", "change#", "at least#", "verdict")
    console.table(f"Candidate: the model of round {found['round']}", columns, rows)
    say(
        {key: found[key] for key in ("written", "votes", "votes_needed", "claims_missing", "credits_rolled")},
        as_json=False,
    )


@release_app.command("attest")
def release_attest(
    candidate: Annotated[Path, typer.Argument(help="The candidate's file.")],
    tolerance: Annotated[int, typer.Option(help="How far our own measurement may differ, ppm of a score.")] = 2_000,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """As an attester of the round: measure the candidate yourself, and vote for its scores if they are what you find."""
    from node.dao import publishing
    from node.dao.measure import local_measure
    from node.dao.releases import Candidate
    from node.runtime import read_file

    parsed = Candidate.parse(read_file(candidate, "candidate", "Its maker gives it to the attesters."))

    async def work(settings: Config, desk: Desk, files: CommandFiles) -> dict[str, Any]:
        from node.dao.files import guideline_of

        epoch = (await publishing.finalised(desk, parsed.round))["epoch"]
        measure = local_measure(settings, await guideline_of(desk, files, epoch))
        return await publishing.attest(desk, files, measure, parsed, tolerance=tolerance)

    say(with_files(config, work, sign=True), as_json=as_json)


@release_app.command("settle")
def release_settle(
    number: Annotated[int, typer.Argument(help="A finalised round; 0 is the newest.")] = 0,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Claim for everybody who has not, and add up the credits: a release needs them final. Anybody may."""
    from node.dao import publishing

    async def work(desk: Desk) -> dict[str, Any]:
        return await publishing.settle(desk, number or await publishing.last_finalised(desk))

    say(at_desk(config, work, sign=True), as_json=as_json)


@release_app.command("propose")
def release_propose(
    candidate: Annotated[Path, typer.Argument(help="The candidate's file.")],
    version: Annotated[str, typer.Option(help="major.minor.patch; without it the next minor version.")] = "",
    notes: Annotated[Path | None, typer.Option(help="Release notes, Markdown; the benchmark table is added.")] = None,
    *,
    force: ForceOption = False,
    dry_run: DryOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Propose to publish a candidate: notes, new benchmarks, and the release itself in one proposal."""
    from node.dao import publishing
    from node.dao.releases import Candidate, next_version, parse_version
    from node.runtime import read_file

    parsed = Candidate.parse(read_file(candidate, "candidate", "`commonweight release candidate` writes one."))
    text = read_file(notes, "release notes", "Name a Markdown file.").decode("utf-8", "replace") if notes else ""

    async def work(_settings: Config, desk: Desk, files: CommandFiles) -> dict[str, Any]:
        catalogue = await _catalogue(desk)
        chosen = parse_version(version) if version else next_version(catalogue)
        return await publishing.propose_release(desk, files, parsed, chosen, text, force=force, send=not dry_run)

    show_sent(with_files(config, work, sign=True), as_json=as_json)


@propose_app.command("benchmark")
def propose_benchmark(
    name: Annotated[str, typer.Argument(help="1 to 32 printable ASCII characters, e.g. code-search/python.")],
    file: Annotated[Path, typer.Argument(help="Rows, JSONL, in the guideline's test-set format.")],
    title: TitleOption = "",
    text: TextOption = "",
    *,
    force: ForceOption = False,
    dry_run: DryOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Publish a test set and measure later releases by it."""
    from node.dao import acts
    from node.dao.proposal import Proposal, add_benchmark
    from node.protocol.cid import compute_cid
    from node.runtime import read_file
    from node.store import sha256

    rows = read_file(file, "benchmark", "Name a JSONL file.")
    head = title or f"Measure releases by {name}"

    async def work(_settings: Config, desk: Desk, files: CommandFiles) -> dict[str, Any]:
        if not dry_run:
            await files.publish(rows)
        action = add_benchmark(name, sha256(rows), compute_cid(rows))
        proposal = Proposal((action,), f"{head}\n\n{text}", desk.me)
        return await acts.propose(desk, proposal, force=force, send=not dry_run)

    show_sent(with_files(config, work, sign=True), as_json=as_json)


@release_app.command("yank")
def release_yank(
    number: Annotated[int, typer.Argument(help="Number of the release.")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the proposal, its SHA-256 on chain.")],
    *,
    force: ForceOption = False,
    dry_run: DryOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Propose to take a release back: it stays readable, but nothing is built on it."""
    from node.dao.proposal import yank
    from node.store import sha256

    text = f"Take back release {number}\n\n{reason}"
    send_proposal(config, [yank(number, sha256(reason.encode()))], text, force=force, dry=dry_run, as_json=as_json)


# --- folders ----------------------------------------------------------------------------------------------------------


@release_app.command("fetch")
def release_fetch(
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    number: Annotated[int, typer.Option("--release", help="Number of the release; 0 is the latest.")] = 0,
    adapter: Annotated[
        bool, typer.Option("--adapter", help="Only the adapter, without the base model's weights.")
    ] = False,
    *,
    yanked: Annotated[bool, typer.Option("--yanked", help="Also one that was taken back.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Fetch a release as a folder that transformers and peft load, with its model card; every hash is checked."""
    from node.dao.folder import fetch_release
    from node.dao.releases import version_of

    async def work(_settings: Config, desk: Desk, files: CommandFiles) -> dict[str, Any]:
        facts = await fetch_release(desk, files, number, folder, merged=not adapter, yanked=yanked)
        return {
            "folder": str(folder),
            "release": facts.release.number,
            "version": version_of(facts.release),
            "model_hash": facts.release.model_hash.hex(),
        }

    say(with_files(config, work, sign=False), as_json=as_json)


@release_app.command("verify")
def release_verify(
    folder: Annotated[Path, typer.Argument(help="A fetched folder.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Hold a fetched folder against the chain, file by file. Exit code 8 if anything differs."""
    from node.dao.folder import verify_release

    found = at_desk(config, lambda desk: verify_release(desk, folder), sign=False)
    if as_json:
        console.print_json(found)
    else:
        for finding in found["findings"]:
            console.out.print(f"[bold red]differs[/] {escape(finding)}", highlight=False, soft_wrap=True)
    if not found["ok"]:
        raise AuditFailed(
            f"{folder} is not release {found['version']}: {found['findings'][0]}.",
            hint="Fetch it again into a new folder.",
        )
    if not as_json:
        gone = " It was taken back by a vote." if found["is_yanked"] else ""
        say({"release": f"{found['version']}, {found['checked']} files are what the chain says.{gone}"}, as_json=False)
