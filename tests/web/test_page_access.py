"""The page for everybody: by keyboard, on a phone, in the dark, and safe from others' texts."""

from __future__ import annotations

import itertools

import pytest
from double import Double
from playwright.sync_api import Page, expect
from probes import CONTRAST, WIDE
from visits import EVIL, PHONE, SECTIONS, visit
from watched import SHOTS

pytestmark = pytest.mark.e2e


def test_texts_of_others_stay_text(page: Page, double: Double) -> None:
    shot = double.snapshot
    for proposal in shot["proposals"]:
        proposal |= {"title": EVIL, "description": f"# {EVIL}\n\n{EVIL}\n\n- {EVIL}\n\n| {EVIL} |\n|---|\n| {EVIL} |"}
        for vote in proposal["votes"]:
            vote["reason"] = EVIL
        proposal["calls"][0] |= {"contract": EVIL, "function": EVIL, "arguments": [{"name": EVIL, "value": EVIL}]}
    for release in shot["releases"]:
        release["version"] = EVIL
    shot["metric"]["releases"][0]["version"] = EVIL
    for application in shot["applications"]:
        application["request"] = {
            "hardware": EVIL,
            "repositories": [EVIL],
            "rows": 1,
            "sample_gain": 1,
            "test_set": {"name": EVIL},
        }
    for entry in shot["activity"]:
        entry["text"] = EVIL
    shot["network"]["name"] = EVIL
    shot["audit"] |= {"ok": False, "findings": [EVIL], "checked": {EVIL: 1}}
    shot["viewer"]["node"]["failing"] = {EVIL: EVIL}
    for section in SECTIONS:
        visit(page, double, section)
        for fold in page.locator("details:visible > summary").all():
            fold.click()
        assert page.locator("#main img, #main script, #sidebar nav img, [onerror]").count() == 0
    visit(page, double, "governance")
    assert page.locator(".proposal h3").first.inner_text() == EVIL


def test_the_whole_page_is_reached_by_keyboard_with_visible_focus(page: Page, double: Double) -> None:
    visit(page, double, "governance")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    wanted = page.evaluate(
        "[...document.querySelectorAll('main a, main button, main summary, main [tabindex=\"0\"]')].filter(e => e.checkVisibility()).length"
    )
    seen: set[int] = set()
    for _ in range(wanted + 2):
        page.keyboard.press("Tab")
        at, ring = page.evaluate(
            "() => { const e = document.activeElement; const all = [...document.querySelectorAll('main *')];"
            " const s = getComputedStyle(e); const r = e.querySelector('rect');"
            " return [all.indexOf(e), s.outlineStyle !== 'none' || (r && getComputedStyle(r).strokeWidth === '3px')]; }"
        )
        if at >= 0:
            seen.add(at)
            assert ring
    assert len(seen) == wanted


def test_a_dialog_keeps_the_focus(page: Page, double: Double) -> None:
    double.snapshot["proposals"][2]["votes"] = []
    visit(page, double, "governance")
    opener = page.get_by_role("button", name="For: proposal 3")
    opener.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    inside = "document.activeElement === document.body || document.activeElement.closest('dialog') !== null"
    for _ in range(12):
        page.keyboard.press("Tab")
        assert page.evaluate(inside)
    page.keyboard.press("Escape")
    assert opener.evaluate("node => node === document.activeElement")


def test_addresses_show_whole_on_focus_and_are_copied(page: Page, double: Double) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visit(page, double)
    chip = page.locator(".grid .account").first
    chip.focus()
    whole = page.locator("#tip").inner_text()
    assert whole in {entry["member"] for entry in double.snapshot["live"]["participants"]}
    page.keyboard.press("Enter")
    expect(page.locator("#toast")).to_have_text("Address copied")
    assert page.evaluate("navigator.clipboard.readText()") == whole


@pytest.mark.parametrize("settings", [{"color_scheme": "light"}, {"color_scheme": "dark"}], ids=["light", "dark"])
def test_contrast_is_enough_everywhere(page: Page, double: Double) -> None:
    for section in (*SECTIONS, "rounds/6"):
        visit(page, double, section)
        assert page.evaluate(CONTRAST) == []


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"viewport": {"width": 1440, "height": 900}}, "light"),
        ({"viewport": {"width": 1440, "height": 900}, "color_scheme": "dark"}, "dark"),
        ({"viewport": {"width": 1600, "height": 900}}, "wide"),
        ({"viewport": {"width": 900, "height": 1100}}, "tablet"),
        (PHONE, "phone"),
        (PHONE | {"color_scheme": "dark"}, "phone-dark"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_fits_every_screen(page: Page, double: Double, name: str) -> None:
    for section in (*SECTIONS, "rounds/6"):
        visit(page, double, section)
        if page.locator(".plot").count():
            page.locator(".plot canvas").first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (section, page.evaluate(WIDE))
        page.screenshot(path=SHOTS / f"{section.replace('/', '-')}-{name}.png", full_page=section != "overview")


def test_landmarks_and_names_are_there(page: Page, double: Double) -> None:
    for section in (*SECTIONS, "rounds/6"):
        visit(page, double, section)
        assert page.locator("main").count() == 1
        assert page.locator("h1").count() == 1
        nameless = page.evaluate(
            "[...document.querySelectorAll('button, a, [role=img], [role=region]')]"
            ".filter(e => e.checkVisibility() && !(e.getAttribute('aria-label') || e.textContent.trim()))"
            ".map(e => e.className)"
        )
        assert nameless == []
        found = page.evaluate(
            "[...document.querySelectorAll('main :is(h1, h2, h3, h4)')].map(h => Number(h.tagName[1]))"
        )
        assert all(b - a <= 1 for a, b in itertools.pairwise(found)), (section, found)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"viewport": {"width": 1440, "height": 1180}, "color_scheme": "light"}, "dashboard-light"),
        (PHONE | {"color_scheme": "dark"}, "dashboard-phone-dark"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_pictures_for_the_guide(page: Page, double: Double, name: str) -> None:
    double.snapshot["viewer"]["node"]["failing"] = {}
    visit(page, double)
    page.locator(".plot canvas").wait_for()
    expect(page.locator(".hint")).to_have_count(0)
    page.screenshot(path=SHOTS / f"{name}.png")
