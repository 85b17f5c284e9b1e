"""`commonweight dao`: tokens to votes, and votes to decisions."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from node import console
from node.cli.base import DEFAULT_CONFIG, ConfigOption, JsonOption, group, resolve, say
from node.cli.process import run_supervised
from node.protocol.errors import ConfigError

if TYPE_CHECKING:  # imported by the commands that need it: it loads web3
    from node.dao.calls import Action
    from node.dao.desk import Desk
    from node.dao.power import Power
    from node.protocol.state import State

dao_app = group("dao", "Govern: lock tokens, propose, vote, execute.")
propose_app = typer.Typer(help="Propose a decision; it is tried out before it is sent.", no_args_is_help=True)
dao_app.add_typer(propose_app, name="propose")

WhichArgument = Annotated[str, typer.Argument(help="Number of the proposal (`dao list`), or its id.")]
AmountArgument = Annotated[str, typer.Argument(help="CWT, e.g. 1250.5, or all.")]
TitleOption = Annotated[str, typer.Option("--title", help="First line of the proposal.")]
TextOption = Annotated[str, typer.Option("--text", help="Reasons, for those who vote.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Send it although an action would fail now.")]
DryOption = Annotated[bool, typer.Option("--dry-run", help="Only try it out; send nothing.")]


def at_desk(config: Path, work: Callable[[Desk], Coroutine[Any, Any, Any]], *, sign: bool) -> Any:
    """Open the community of ``config`` and do some work there."""
    from node.dao.desk import open_desk

    async def run() -> Any:
        async with open_desk(resolve(config, None), sign=sign) as desk:
            return await work(desk)

    return run_supervised(run())


def cwt(amount: str | int | None) -> str:
    """A token amount of an answer, for people."""
    return "–" if amount is None else console.cwt(int(amount))


async def _state(desk: Desk) -> State:
    return await desk.state()


def _amount(text: str) -> int | None:
    from node.dao.proposal import tokens

    return None if text == "all" else tokens(text)


# --- tokens to votes --------------------------------------------------------------------------------------------------


@dao_app.command("convert")
def dao_convert(
    amount: AmountArgument = "all", config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """Lock CWT in the vault, so that they count as votes from the next second on."""
    from node.dao import acts

    found = at_desk(config, lambda desk: acts.convert(desk, _amount(amount)), sign=True)
    if not as_json:
        found |= {"locked": f"{cwt(found['locked'])} CWT", "units": cwt(found["units"])}
    say(found, as_json=as_json)


@dao_app.command("delegate")
def dao_delegate(
    member: Annotated[str, typer.Argument(help="Member that votes with your units; your own address takes them back.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Let another member vote with your units."""
    from node.dao import acts

    say(at_desk(config, lambda desk: acts.delegate(desk, member), sign=True), as_json=as_json)


@dao_app.command("unlock")
def dao_unlock(
    amount: AmountArgument = "all", config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """Ask for locked CWT back: they stop counting now and are free after the vault's delay."""
    from node.dao import acts

    found = at_desk(config, lambda desk: acts.unlock(desk, _amount(amount)), sign=True)
    say(found if as_json else found | {"leaving": f"{cwt(found['leaving'])} CWT"}, as_json=as_json)


@dao_app.command("withdraw")
def dao_withdraw(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Fetch CWT that you unlocked and whose delay is over."""
    from node.dao import acts

    found = at_desk(config, acts.withdraw, sign=True)
    say(found if as_json else found | {"withdrawn": f"{cwt(found['withdrawn'])} CWT"}, as_json=as_json)


@dao_app.command("power")
def dao_power(
    account: Annotated[str, typer.Argument(help="Whose; without it your own.")] = "",
    everybody: Annotated[bool, typer.Option("--all", help="All delegates, and how concentrated votes are.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Voting power, and where it comes from: tokens, curve, delegation, cap."""
    from node.dao import views
    from node.dao.power import power_of
    from node.dao.proposal import address

    if everybody:
        found = views.powers(at_desk(config, _state, sign=False))
        if as_json:
            console.print_json(found)
            return
        rows = [(row["account"], cwt(row["delegated"]), cwt(row["votes"])) for row in found["delegates"]]
        console.table("Voting power", ("delegate", "units#", "votes#"), rows)
        say({"Gini of votes": found["gini"], "largest share": found["largest_share"]}, as_json=False)
        return
    who = address(account) if account else None

    async def ask(desk: Desk) -> Power:
        linear = desk.manifest.params.governance.linear_up_to
        return power_of(await desk.state(), who or desk.me, linear, await desk.now())

    power = at_desk(config, ask, sign=who is None)
    if as_json:
        shown = {name: getattr(power, name) for name in ("account", "is_member", "delegate", "free_at")}
        amounts = ("liquid", "locked", "leaving", "units", "delegated", "votes", "total", "linear_up_to")
        shown |= {name: str(getattr(power, name)) for name in amounts}
        received = {other: str(units) for other, units in power.received.items()}
        console.print_json(shown | {"received": received, "explained": power.explain()})
        return
    console.out.print(f"Voting power of [bold]{power.account}[/]", highlight=False)
    for line in power.explain():
        console.out.print(f"  {escape(line)}", highlight=False, soft_wrap=True)


# --- proposing --------------------------------------------------------------------------------------------------------


def send_proposal(
    config: Path, actions: list[Action], text: str, *, force: bool, dry: bool, as_json: bool
) -> dict[str, Any]:
    """Try out, send and show a proposal."""
    from node.dao import acts
    from node.dao.proposal import Proposal

    async def work(desk: Desk) -> dict[str, Any]:
        proposal = Proposal(tuple(actions), text, desk.me)
        return await acts.propose(desk, proposal, force=force, send=not dry)

    found: dict[str, Any] = at_desk(config, work, sign=True)
    show_sent(found, as_json=as_json)
    return found


def show_sent(found: dict[str, Any], *, as_json: bool) -> None:
    """The answer of `acts.propose`."""
    if as_json:
        console.print_json(found)
        return
    for one in found["actions"]:
        mark = "[green]✓[/]" if one["ok"] else "[red]✗[/]"
        console.out.print(f" {mark} {escape(one['action'])}", highlight=False, soft_wrap=True)
        if not one["ok"]:
            console.out.print(f"   {escape(one['refused'])} {escape(one['advice'])}", highlight=False, soft_wrap=True)
    if found["sent"]:
        say({"proposal": found["number"], "id": found["id"], "transaction": found["transaction"]}, as_json=False)
    else:
        verdict = "could be sent" if found["could_propose"] else f"could not be sent: {found['refused']}"
        console.out.print(f"Nothing was sent. The proposal {escape(verdict)}", highlight=False, soft_wrap=True)


@propose_app.command("scoring")
def propose_scoring(
    *,
    tau: Annotated[int, typer.Option(help="Gains within this agree, ppm of a nat.")],
    delta_min: Annotated[int, typer.Option(help="Least gain of an accepted update, ppm.")],
    harm_min: Annotated[int, typer.Option(help="Loss that is harmful, ppm.")],
    gain_cap: Annotated[int, typer.Option(help="Most weight of one update, ppm.")],
    title: TitleOption = "Other thresholds of the verdicts",
    text: TextOption = "",
    force: ForceOption = False,
    dry_run: DryOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Change how verdicts are reached: a new guideline epoch."""
    from node.dao.proposal import set_scoring

    action = set_scoring(tau, delta_min, harm_min, gain_cap)
    send_proposal(config, [action], f"{title}\n\n{text}", force=force, dry=dry_run, as_json=as_json)


@propose_app.command("setting")
def propose_setting(
    name: Annotated[
        str,
        typer.Argument(help="voting-delay, voting-period, late-extension, quorum-percent or proposal-threshold."),
    ],
    value: Annotated[str, typer.Argument(help="Seconds, percent, or CWT for the threshold.")],
    *,
    title: TitleOption = "",
    text: TextOption = "",
    force: ForceOption = False,
    dry_run: DryOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Change a setting of the votes themselves, within half and double of its first value."""
    from node.dao.proposal import setting

    head = title or f"{name} becomes {value}"
    send_proposal(config, [setting(name, value)], f"{head}\n\n{text}", force=force, dry=dry_run, as_json=as_json)


@propose_app.command("seat")
def propose_seat(
    seat: Annotated[int, typer.Argument(help="Number of the committee seat, from 0.")],
    holder: Annotated[str, typer.Argument(help="Account that shall hold it.")],
    *,
    days: Annotated[int, typer.Option(help="Term from now on, at most 365.")] = 180,
    title: TitleOption = "",
    text: TextOption = "",
    force: ForceOption = False,
    dry_run: DryOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Give a committee seat to somebody, for a term."""
    from node.dao.proposal import set_seat

    action = set_seat(seat, holder, int(time.time()) + days * 86_400)
    head = title or f"Committee seat {seat} for {holder}"
    send_proposal(config, [action], f"{head}\n\n{text}", force=force, dry=dry_run, as_json=as_json)


@propose_app.command("pay")
def propose_pay(
    to: Annotated[str, typer.Argument(help="Receiver.")],
    amount: Annotated[str, typer.Argument(help="CWT, e.g. 1250.5.")],
    *,
    token: Annotated[str, typer.Option(help="Another token with 18 decimals; without it CWT.")] = "",
    title: TitleOption = "",
    text: TextOption = "",
    force: ForceOption = False,
    dry_run: DryOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Spend what lies in the treasury."""
    from node.dao.proposal import pay, tokens
    from node.manifest import load_manifest

    cwt_token = load_manifest(resolve(config, None).network.manifest).contracts["ContributionToken"]
    head = title or f"Pay {amount} {token or 'CWT'} to {to}"
    action = pay(token or cwt_token, to, tokens(amount))
    send_proposal(config, [action], f"{head}\n\n{text}", force=force, dry=dry_run, as_json=as_json)


@propose_app.command("retire-benchmark")
def propose_retire(
    name: Annotated[str, typer.Argument(help="Name of the benchmark.")],
    *,
    title: TitleOption = "",
    text: TextOption = "",
    force: ForceOption = False,
    dry_run: DryOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Stop measuring releases by a benchmark."""
    from node.dao.proposal import retire_benchmark

    head = title or f"Retire the benchmark {name}"
    send_proposal(config, [retire_benchmark(name)], f"{head}\n\n{text}", force=force, dry=dry_run, as_json=as_json)


@propose_app.command("file")
def propose_file(
    path: Annotated[Path, typer.Argument(help="TOML or JSON: title, text, actions (docs/dao.md).")],
    force: ForceOption = False,
    dry_run: DryOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Propose what a file says; several actions in one proposal happen together or not at all."""
    from node.dao.proposal import read_file

    actions, text = read_file(path)
    send_proposal(config, list(actions), text, force=force, dry=dry_run, as_json=as_json)


# --- voting -----------------------------------------------------------------------------------------------------------


@dao_app.command("vote")
def dao_vote(
    which: WhichArgument,
    choice: Annotated[str, typer.Argument(help="for, against, abstain; or split, with percentages below.")],
    *,
    reason: Annotated[str, typer.Option(help="Why; everybody can read it.")] = "",
    favour: Annotated[float, typer.Option("--for", help="Percent of your votes, for split.")] = 0,
    against: Annotated[float, typer.Option("--against", help="Percent of your votes, for split.")] = 0,
    abstain: Annotated[float, typer.Option("--abstain", help="Percent of your votes, for split.")] = 0,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Vote with all your votes, or with parts of them on each side."""
    from node.dao import acts
    from node.dao.ballots import SUPPORT

    split = choice == "split"
    if not split and choice not in SUPPORT:
        raise ConfigError(f"{choice!r} is no vote.", hint="It is for, against, abstain or split.")
    parts = (against, favour, abstain) if split else tuple(float(choice == one) for one in SUPPORT)
    found = at_desk(
        config,
        lambda desk: acts.vote(desk, which, parts=(parts[0], parts[1], parts[2]), reason=reason, split=split),
        sign=True,
    )
    if not as_json:
        found |= {name: cwt(found[name]) for name in SUPPORT}
    say(found, as_json=as_json)


@dao_app.command("queue")
def dao_queue(which: WhichArgument, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Put a proposal that won into the timelock; anybody may."""
    from node.dao import acts

    say(at_desk(config, lambda desk: acts.queue(desk, which), sign=True), as_json=as_json)


@dao_app.command("execute")
def dao_execute(which: WhichArgument, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Carry out a queued proposal whose delay is over; anybody may."""
    from node.dao import acts

    say(at_desk(config, lambda desk: acts.execute(desk, which), sign=True), as_json=as_json)


@dao_app.command("cancel")
def dao_cancel(which: WhichArgument, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Take back your own proposal before its vote starts; as the guardian, any before it is executed."""
    from node.dao import acts

    say(at_desk(config, lambda desk: acts.cancel(desk, which), sign=True), as_json=as_json)


# --- looking ----------------------------------------------------------------------------------------------------------


@dao_app.command("list")
def dao_list(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """All proposals: state, votes, what comes next."""
    from node.dao import views

    async def ask(desk: Desk) -> list[dict[str, Any]]:
        floor = desk.manifest.params.governance.quorum_floor
        return views.proposals(await desk.state(), await desk.now(), floor)

    rows = at_desk(config, ask, sign=False)
    if as_json:
        console.print_json(rows)
        return
    console.table(
        "Proposals",
        ("number#", "title", "state", "for#", "against#", "abstain#", "quorum", "next"),
        [
            (
                row["number"], escape(row["title"]), row["state"], cwt(row["for"]), cwt(row["against"]), cwt(row["abstain"]),
                {None: "–", True: "reached", False: f"of {cwt(row['quorum'])} missed"}[row["quorum_reached"]], row["next"],
            )
            for row in rows
        ],
    )  # fmt: skip


@dao_app.command("show")
def dao_show(which: WhichArgument, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """One proposal: what it would do, in words and as calls, and every vote."""
    from node.dao import views

    async def ask(desk: Desk) -> dict[str, Any]:
        floor, contracts = desk.manifest.params.governance.quorum_floor, desk.manifest.contracts
        return views.proposal(await desk.state(), which, await desk.now(), floor, contracts)

    found = at_desk(config, ask, sign=False)
    if as_json:
        console.print_json(found)
        return
    console.out.print(
        f"Proposal {found['number']}, [bold]{found['state']}[/], {escape(found['next'] or 'over')}", highlight=False
    )
    console.out.print(escape(found["description"]), highlight=False, soft_wrap=True)
    for call in found["calls"]:
        console.out.print(f"  → it {escape(call['words'])}", highlight=False, soft_wrap=True)
        console.out.print(f"    [dim]{call['call']} at {call['target']}[/]", highlight=False, soft_wrap=True)
    reached = {None: "not known before the vote starts", True: "reached", False: "not reached"}[found["quorum_reached"]]
    console.out.print(f"Quorum {cwt(found['quorum'])}: {reached}", highlight=False)
    console.table(
        "Votes",
        ("voter", "choice", "for#", "against#", "abstain#", "reason"),
        [
            (
                vote["voter"],
                vote["choice"],
                cwt(vote["for"]),
                cwt(vote["against"]),
                cwt(vote["abstain"]),
                escape(vote["reason"]),
            )
            for vote in found["votes"]
        ],
    )
