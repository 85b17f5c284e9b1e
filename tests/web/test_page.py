"""The dashboard's page in Chromium: it loads, stays current and explains."""

from __future__ import annotations

import copy

import pytest
from double import Double
from playwright.sync_api import Page, expect
from visits import EVIL, SECTIONS, visit
from watched import NOW, SHOTS, Watched

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("section", SECTIONS)
def test_each_section_loads_without_a_word_on_the_console(page: Page, double: Double, section: str) -> None:
    visit(page, double, section)
    expect(page.locator("#main h1")).to_have_text(section.capitalize())
    expect(page.locator(f"nav a[href='#{section}']")).to_have_attribute("aria-current", "page")
    assert page.evaluate("document.querySelectorAll('.card').length") > 0
    assert (
        page.evaluate("getComputedStyle(document.querySelector('.card')).borderRadius") != "0px"
    )  # the style sheets came


@pytest.mark.parametrize("section", ["overview", "governance"])
def test_charts_are_drawn(page: Page, double: Double, section: str) -> None:
    visit(page, double, section)
    canvas = page.locator(".plot canvas").first
    canvas.wait_for()
    inked = canvas.evaluate(
        "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.reduce((n, v, i) => n + (i % 4 === 3 && v > 0), 0)"
    )
    assert inked > 1_000


def test_a_chart_is_read_by_keyboard_and_as_a_table(page: Page, double: Double) -> None:
    visit(page, double)
    chart = page.locator(".plot .canvas").first
    chart.locator("canvas").wait_for()
    chart.focus()
    page.keyboard.press("ArrowRight")
    expect(chart.locator(".readout")).to_have_text("Before round 1: MRR 0.1873")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(chart.locator(".readout")).to_have_text("After round 2: MRR 0.3492, release 1.0.0")
    page.get_by_text("Numbers").click()
    expect(page.locator(".plot tbody tr")).to_have_count(5)


def test_who_did_what_agrees_with_the_snapshot(page: Page, double: Double) -> None:
    visit(page, double)
    live = double.snapshot["live"]
    expect(page.locator(".grid tbody tr")).to_have_count(len(live["participants"]))
    for state in ("done", "due", "waiting", "missed"):
        acts = [a for p in live["participants"] for name, a in p["acts"].items() if not name.startswith("retry")]
        expect(page.locator(f".grid .dot.{state}")).to_have_count(acts.count(state))
    left = live["deadline"] - NOW
    assert page.locator(".left .countdown").inner_text() in {
        f"{s // 60:02}:{s % 60:02} left" for s in range(left - 120, left + 1)
    }


def test_the_countdown_counts(page: Page, double: Double) -> None:
    visit(page, double)
    page.clock.pause_at(NOW + 60)
    expect(page.locator(".left .countdown")).to_have_text("01:26 left")
    page.clock.run_for(30_000)
    expect(page.locator(".left .countdown")).to_have_text("00:56 left")
    page.clock.run_for(60_000)
    expect(page.locator(".left .countdown")).to_have_text("time is up: anybody may advance")


def test_an_event_changes_the_page_and_is_said_aloud(page: Page, double: Double) -> None:
    visit(page, double)
    live = copy.deepcopy(double.snapshot["live"])
    live |= {"phase": "SETTLE", "deadline": NOW + 300, "phase_since": NOW}
    live["counts"]["scores_revealed"] = 8
    for participant in live["participants"]:
        participant["acts"]["scores_reveal"] = "done"
    before = len(double.paths)
    double.change(live=live)
    expect(page.locator(".stepper [aria-current]")).to_have_text("Settle")
    expect(page.locator(".grid .dot.due")).to_have_count(0)
    expect(page.locator("#announcer")).to_contain_text("Round 6: Settle, 5 minutes left")
    assert double.paths[before:] == []  # the event brought everything: nothing was fetched


def test_an_update_keeps_focus_and_what_was_opened(page: Page, double: Double) -> None:
    visit(page, double, "governance")
    page.get_by_text("Votes (2)").click()
    voter = page.locator(".proposal").first.locator("tbody th button").first
    voter.focus()
    proposals = copy.deepcopy(double.snapshot["proposals"])
    proposals[2]["for"] = "7000000000000000000000"
    double.change(proposals=proposals)
    expect(page.locator(".proposal .tally").first).to_contain_text("for 7,000")
    assert voter.is_visible()
    assert voter.evaluate("node => node === document.activeElement")


def test_a_large_change_is_fetched_once(page: Page, double: Double) -> None:
    visit(page, double)
    double.snapshot["audit"] = double.snapshot["audit"] | {"ok": False, "findings": ["block 12: a balance differs"]}
    before = len(double.paths)
    double.push("changed", {"sections": ["audit"]}, number=200)
    expect(page.locator("a.tile", has_text="last audit")).to_contain_text("Failed")
    assert double.paths[before:] == ["/api/snapshot?sections=audit"]


def test_a_lost_stream_is_shown_and_resumed_where_it_ended(page: Page, double: Double) -> None:
    visit(page, double)
    assert double.stream_ids == [double.snapshot["id"]]
    double.push("delta", {"sections": {"head": double.snapshot["head"] | {"block": 317}}}, number=777)
    expect(page.locator(".block")).to_have_text("block 317")
    double.drop_streams()
    expect(page.locator(".connection")).to_contain_text("connection lost")
    expect(page.locator(".connection")).to_contain_text("live")  # the browser's own retry, 200 ms as the double asks
    assert double.stream_ids == [double.snapshot["id"], "777"]
    assert sum(path.startswith("/api/snapshot") for path in double.paths) == 1


def test_reset_asks_for_everything_again(page: Page, double: Double) -> None:
    visit(page, double)
    double.snapshot["head"]["block"] = 999
    double.push("reset", {})
    expect(page.locator(".block")).to_have_text("block 999")


def test_a_server_that_is_down_is_explained_and_tried_again(watched: Watched, double: Double) -> None:
    watched.allowed.append("503")
    double.is_down = True
    page = watched.page
    page.goto(double.url)
    expect(page.get_by_role("alert")).to_contain_text("The chain does not answer.")
    double.is_down = False
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#main h1")).to_have_text("Overview")


def test_retries_wait_longer_each_time(watched: Watched, double: Double) -> None:
    watched.allowed.append("503")
    double.is_down = True
    watched.page.goto(double.url)
    watched.page.get_by_role("alert").wait_for()
    for _ in range(60):
        watched.page.clock.run_for(1_000)
    tries = sum(path.startswith("/api/snapshot") for path in double.paths)
    assert 3 <= tries <= 7  # after 1, 2, 4, 8, 16 and 32 seconds


def test_a_silent_stream_is_replaced(page: Page, double: Double) -> None:
    visit(page, double)
    page.clock.run_for(41_000)
    expect(page.locator(".connection")).to_contain_text("live")
    assert len(double.stream_ids) == 2


def test_a_stale_chain_is_said(page: Page, double: Double) -> None:
    visit(page, double)
    double.change(head=double.snapshot["head"] | {"is_stale": True})
    expect(page.locator(".connection")).to_have_text("the chain does not answer")


def test_an_explanation_opens_beside_the_page(page: Page, double: Double) -> None:
    visit(page, double, "members")
    why = page.get_by_role("button", name="Why: reward 7 of round 5")
    why.click()
    sheet = page.get_by_role("dialog")
    expect(sheet).to_contain_text("computed here, and the chain recorded the same")
    assert "/api/explain/reward/5.7" in double.paths
    expect(sheet.locator(".steps li")).to_have_count(6)
    page.screenshot(path=SHOTS / "explain-light.png")
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    assert why.evaluate("node => node === document.activeElement")


def test_an_explanation_that_disagrees_says_so(page: Page, double: Double) -> None:
    double.explanation = {
        "what": "score", "id": "6.0", "title": EVIL, "formula": [EVIL], "steps": [{"label": EVIL, "expression": EVIL, "value": EVIL}],
        "computed": "1 ppm", "recorded": "2 ppm", "agrees": False, "sources": [], "notes": [EVIL],
    }  # fmt: skip
    visit(page, double, "rounds/6")
    page.get_by_role("button", name="Why: verdict on update 0").click()
    expect(page.get_by_role("dialog")).to_contain_text("but the chain recorded 2 ppm")
    assert page.locator("dialog img").count() == 0


def test_a_round_that_is_over_is_fetched_when_it_is_opened(page: Page, double: Double) -> None:
    visit(page, double, "rounds")
    assert not any(path.startswith("/api/round/") for path in double.paths)
    page.get_by_role("link", name="Round 4").click()
    expect(page.locator("#main h1")).to_have_text("Round 4")
    expect(page.get_by_role("heading", name="Disputes")).to_be_visible()
    assert "/api/round/4" in double.paths
    page.go_back()
    expect(page.locator("#main h1")).to_have_text("Rounds")


def test_a_young_community_has_an_empty_page_that_says_what_to_do(page: Page, double: Double) -> None:
    shot = double.snapshot
    for name, value in shot.items():
        if isinstance(value, list):
            shot[name] = []
    shot |= {"live": None, "audit": None, "metric": {"rounds": [], "evaluations": None, "releases": []}}
    shot["contributions"] = {"members": [], "rounds": [], "cells": [], "totals": []}
    shot["power"] |= {"delegates": [], "holders": 0}
    for section in SECTIONS:
        visit(page, double, section)
        expect(page.locator("#main .empty").first).to_be_visible()
    visit(page, double, "releases")
    expect(page.locator("#main")).to_contain_text("commonweight release propose")
