"""The whole story through the page, on real parts: watch a round, review a newcomer, vote, see the release appear, see the audit pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flow import ROOT, Network, tiny_founding
from playwright.sync_api import Browser, Page, expect
from watched import SHOTS, Watched

from deploy.localnet import LocalnetPlan
from deploy.manifest import load_preset

pytestmark = pytest.mark.e2e

CACHE = (ROOT / "build" / "cache" / "pairs").resolve()
ROUND_MS = 900_000  # a minute on a quiet machine
ACT_MS = 180_000
VOTING_SECONDS = 900  # enough for slow commands; skipped once everybody voted
LANGUAGE = "code-search/python"

# Notes every phase that the page shows, however short it lasts.
NOTE_PHASES = """() => {
  window.phases = [];
  const look = () => {
    const here = document.querySelector(".stepper [aria-current]")?.textContent;
    if (here && window.phases.at(-1) !== here) window.phases.push(here);
  };
  look();
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true, characterData: true, attributes: true });
}"""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    folder = tmp_path_factory.mktemp("flow")
    preset = load_preset("localnet")
    plan = LocalnetPlan(
        folder=folder / "network",
        params=replace(
            preset, governance=replace(preset.governance, voting_period=VOTING_SECONDS, unlock_delay=3 * VOTING_SECONDS)
        ),
        founding=tiny_founding(folder / "model", CACHE),
        nodes=4,
        attackers=0,
        rounds=1,
        slice_rows=32,
        cache=CACHE,
        spare=1,
        people_review_from=1,
    )
    with Network(plan) as running:
        yield running


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Callable[[str], Page]]:
    """Opens a dashboard's start URL in a window of its own; whatever went wrong in any of them fails the test."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce", locale="en-GB")
    watched: list[Watched] = []

    def visit(url: str) -> Page:
        page = context.new_page()
        watched.append(Watched(page, url.split("#", maxsplit=1)[0]))
        page.goto(url)
        page.locator("#main h1").wait_for()
        return page

    yield visit
    context.close()
    for one in watched:
        one.check()


def go(page: Page, section: str) -> None:
    page.get_by_role("navigation", name="Sections").get_by_role("link", name=section).click()
    expect(page.locator("#main h1")).to_have_text(section)


def confirm(page: Page, label: str, **filled: str) -> None:
    """Fill the open dialog, press its button, and see the transaction mined."""
    dialog = page.get_by_role("dialog")
    for value in filled.values():
        dialog.get_by_role("textbox").fill(value)
    dialog.get_by_role("button", name=label, exact=True).click()
    expect(dialog).to_contain_text("Done.", timeout=ACT_MS)
    expect(dialog).to_contain_text("block")
    dialog.get_by_role("button", name="Close").last.click()


def test_the_story(network: Network, open_page: Callable[[str], Page], tmp_path: Path) -> None:
    net = network.net
    page = open_page(network.dashboard(net.members[0].config))
    watch_a_round(page)
    review_a_newcomer(network, page, open_page)
    release(network, page, tmp_path)
    audit(network, page)


def watch_a_round(page: Page) -> None:
    page.evaluate(NOTE_PHASES)
    expect(page.locator(".round .badge", has_text="Finalised")).to_be_visible(timeout=ROUND_MS)
    phases: list[str] = page.evaluate("window.phases")
    order = ["Commit", "Reveal", "Seed", "Score commit", "Score reveal", "Settle", "Attest", "Challenge", "Finalised"]
    assert phases == [phase for phase in order if phase in phases]
    assert {"Commit", "Score commit", "Challenge", "Finalised"} <= set(phases)
    expect(page.locator(".grid tbody tr")).to_have_count(4)
    expect(page.locator(".grid tbody .dot.missed")).to_have_count(0)
    expect(page.locator(".grid tbody .badge", has_text="accepted")).not_to_have_count(0)
    page.screenshot(path=SHOTS / "flow-round.png")

    page.get_by_role("link", name="Details").click()
    score = page.get_by_role("button", name="Why: verdict on update 0")
    score.click()
    expect(page.get_by_role("dialog")).to_contain_text("the chain recorded the same")
    page.screenshot(path=SHOTS / "flow-why.png")
    page.keyboard.press("Escape")


def review_a_newcomer(network: Network, page: Page, open_page: Callable[[str], Page]) -> None:
    net = network.net
    go(page, "Members")
    newcomer = net.newcomer(["jinja2"])
    number = network.command(newcomer.config, "join", "apply")["application"]
    net.start(newcomer)
    card = page.get_by_role("article", name=f"Application {number}")
    expect(card).to_contain_text("to review", timeout=ACT_MS)  # it appeared by itself
    expect(card).to_contain_text("yours is none of them")
    for seat in (0, 1):
        desk = open_page(network.dashboard(net.seat_config(seat)))
        go(desk, "Members")
        mine = desk.get_by_role("article", name=f"Application {number}")
        mine.get_by_role("button", name="Approve").click()
        confirm(desk, "Approve", reason="Its sample gains, and it brings a repository that nobody has.")
        if seat == 0:
            expect(card).to_contain_text("1 / 2", timeout=ACT_MS)
        desk.close()
    row = (
        page.get_by_role("region", name="Members", exact=True).get_by_role("row").filter(has_text=newcomer.address[-4:])
    )
    expect(row).to_contain_text("active", timeout=ACT_MS)
    page.screenshot(path=SHOTS / "flow-newcomer.png")


def release(network: Network, page: Page, tmp_path: Path) -> None:
    net = network.net
    members = net.members[:4]
    go(page, "Governance")
    page.get_by_role("button", name="Lock tokens").click(timeout=ACT_MS)  # the node claimed its reward
    confirm(page, "Lock", amount="200")
    expect(page.get_by_role("region", name="Your voting power")).to_contain_text(
        "votes from 200 locked CWT", timeout=ACT_MS
    )
    for member in members[1:]:
        network.command(member.config, "dao", "convert")
    proposal = propose(network, tmp_path / "candidate.json")

    card = page.get_by_role("article", name=f"Proposal {proposal['number']}")
    expect(card).to_contain_text("ReleaseRegistry.publish", timeout=ACT_MS)
    page.get_by_role("button", name=f"For: proposal {proposal['number']}").click(timeout=ACT_MS)
    confirm(page, "Vote for", reason="Measured it myself.")
    expect(card).to_contain_text("You voted for", timeout=ACT_MS)
    for member in members[1:3]:
        network.command(member.config, "dao", "vote", str(proposal["number"]), "for")
    expect(card).to_contain_text("quorum reached", timeout=ACT_MS)
    card.screenshot(path=SHOTS / "flow-vote.png")
    card.get_by_text("Votes (3)").click()
    card.get_by_role("button", name="Why: weight of this vote").first.click()
    expect(page.get_by_role("dialog")).to_contain_text("the chain recorded the same")
    page.keyboard.press("Escape")

    network.skip(VOTING_SECONDS)
    page.get_by_role("button", name=f"Queue: proposal {proposal['number']}").click(timeout=ACT_MS)
    confirm(page, "Queue")
    page.get_by_role("button", name=f"Execute: proposal {proposal['number']}").click(timeout=ACT_MS)
    confirm(page, "Execute")
    go(page, "Releases")
    shown = page.locator(".card", has=page.get_by_role("heading", name="Release 1.0.0"))
    expect(shown).to_contain_text(LANGUAGE, timeout=ACT_MS)
    expect(shown).to_contain_text("round 1")
    expect(shown.locator(".bars li")).to_have_count(4)
    expect(page.get_by_role("link", name="Release 1.0.0, round 1")).to_be_visible()
    page.screenshot(path=SHOTS / "flow-release.png")


def propose(network: Network, candidate: Path) -> dict[str, Any]:
    """What releasing needs of the command line: measured, settled, attested, proposed."""
    net = network.net
    first, members = net.members[0].config, net.members[:4]
    public = net.plan.folder / "public.jsonl"
    network.command(
        first, "release", "candidate", "1", "--add-benchmark", f"{LANGUAGE}={public}", "--out", str(candidate)
    )
    network.command(first, "release", "settle", "1")
    for member in members:
        network.command(member.config, "release", "attest", str(candidate), "--tolerance", "0")
    notes = candidate.with_suffix(".md")
    notes.write_text("The first model that this network trained together.\n", encoding="utf-8")
    found: dict[str, Any] = network.command(
        first, "release", "propose", str(candidate), "--version", "1.0.0", "--notes", str(notes)
    )
    return found


def audit(network: Network, page: Page) -> None:
    go(page, "Audit")
    report = network.command(network.net.members[0].config, "audit")
    assert report["ok"]
    expect(page.locator("#main")).to_contain_text("Everything agrees.", timeout=ACT_MS)
    page.screenshot(path=SHOTS / "flow-audit.png")
