"""`commonweight ownership`: who owns a release, and what it earns them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from node import console
from node.cli.base import DEFAULT_CONFIG, ConfigOption, JsonOption, group, say
from node.cli.dao import at_desk, cwt
from node.cli.release import NumberArgument

if TYPE_CHECKING:  # imported by the commands that need it: it loads web3
    from node.dao.desk import Desk

ownership_app = group("ownership", "Who owns a release, and what it earns them.")

TokenOption = Annotated[str, typer.Option(help="Address of the token; without it CWT.")]


@ownership_app.command("show")
def ownership_show(
    number: NumberArgument = 0, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """Credits and frozen shares of a release, its revenue, and what each owner can claim."""
    from node.dao.revenue import ownership

    async def ask(desk: Desk) -> dict[str, Any]:
        return ownership(await desk.state(), number)

    found = at_desk(config, ask, sign=False)
    if as_json:
        console.print_json(found)
        return
    rows = [
        (account, cwt(credit), f"{found['shares_ppm'][account] / 1e4:.2f} %")
        for account, credit in found["credits"].items()
    ]
    console.table(f"Owners of release {found['version']}", ("member", "credits#", "share#"), rows)
    for token, books in found["revenue"].items():
        owners = [(account, cwt(books["paid"][account]), cwt(due)) for account, due in books["claimable"].items()]
        title = f"Revenue in {token}: {cwt(books['deposited'])} deposited"
        console.table(title, ("member", "paid#", "can claim#"), owners)


@ownership_app.command("deposit")
def ownership_deposit(
    amount: Annotated[str, typer.Argument(help="Amount, in tokens of 18 decimals.")],
    number: NumberArgument = 0,
    token: TokenOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Pay revenue in for the owners of a release."""
    from node.dao.proposal import tokens
    from node.dao.revenue import deposit

    say(at_desk(config, lambda desk: deposit(desk, number, token, tokens(amount)), sign=True), as_json=as_json)


@ownership_app.command("claim")
def ownership_claim(
    number: NumberArgument = 0,
    token: TokenOption = "",
    account: Annotated[str, typer.Option(help="Owner to be paid; without it yourself.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Pay out an owner's share of what a release has earned."""
    from node.dao.revenue import claim

    found = at_desk(config, lambda desk: claim(desk, number, token, account), sign=True)
    say(found if as_json else found | {"paid": cwt(found["paid"])}, as_json=as_json)
