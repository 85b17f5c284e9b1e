"""The dashboard's page in Chromium: it loads, stays current, explains, and lets people act; by mouse, keyboard and on a phone."""

from __future__ import annotations

import copy
import itertools
import json
from typing import Any

import pytest
from double import HASH, Double
from playwright.sync_api import Page, expect
from probes import CONTRAST, WIDE
from watched import NOW, SHOTS, Watched

pytestmark = pytest.mark.e2e

SECTIONS = ("overview", "rounds", "members", "governance", "releases", "audit")
VIEWER = "0x0f836e31e6Dbf99BE0760398b0F6386414e4BDa2"
FOUNDER = "0x0E9E842d6f6bA7833Da4ab04b146c98E6720625D"
PHONE = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2}
EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>"

WALLET = """
window.requests = [];
const answers = %s;
window.ethereum = {
  request: async (call) => {
    window.requests.push(call);
    const answer = answers[call.method];
    if (answer && answer.error) throw Object.assign(new Error(answer.error), { code: answer.code });
    if (answer && answer.sequence) return answer.sequence.length > 1 ? answer.sequence.shift() : answer.sequence[0];
    return answer;
  },
};
"""
GOOD_WALLET: dict[str, Any] = {
    "eth_requestAccounts": [FOUNDER],
    "eth_chainId": "0x7a69",
    "eth_sendTransaction": HASH,
    "eth_getTransactionReceipt": {"sequence": [None, {"status": "0x1", "blockNumber": "0x13d"}]},
}


def visit(page: Page, double: Double, section: str = "overview") -> None:
    page.goto(f"{double.url}/#{section}")
    page.locator("#main h1").wait_for()
    expect(page.locator(".connection")).to_contain_text("live")


def use_wallet(page: Page, double: Double, answers: dict[str, Any]) -> None:
    page.add_init_script(WALLET % json.dumps(answers))
    double.snapshot["viewer"] = {"mode": "wallet", "account": None, "node": None}


def calls(page: Page, method: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate(
        "method => window.requests.filter(call => call.method === method)", method
    )
    return found


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


def test_a_vote_is_signed_by_the_wallet(page: Page, double: Double) -> None:
    use_wallet(page, double, GOOD_WALLET)
    visit(page, double, "governance")
    page.get_by_role("button", name="For: proposal 3").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Vote for: Release 1.2.0")
    dialog.get_by_role("textbox").fill("Better on SQL.")
    dialog.get_by_role("button", name="Vote for").click()
    page.clock.run_for(2_000)
    expect(dialog).to_contain_text("Done.")
    expect(dialog.get_by_role("button", name=f"Transaction {HASH}: copy")).to_be_visible()
    expect(dialog).to_contain_text("block 317")

    proposal = double.snapshot["proposals"][2]["id"]
    [(name, body, headers)] = double.actions
    assert (name, body) == (
        "vote",
        {"proposal": proposal, "support": "for", "reason": "Better on SQL.", "from": FOUNDER.lower()},
    )
    assert headers["Content-Type"] == "application/json"
    assert headers["Origin"] == double.url
    governor = double.snapshot["network"]["contracts"]["CommunityGovernor"]
    [sent] = calls(page, "eth_sendTransaction")
    assert sent["params"] == [{"from": FOUNDER, "to": governor, "data": "0x7b3c71d3", "value": "0x0"}]


def test_the_wallet_is_asked_to_change_to_the_right_chain(page: Page, double: Double) -> None:
    use_wallet(page, double, GOOD_WALLET | {"eth_chainId": "0x1"})
    visit(page, double, "governance")
    page.get_by_role("button", name="Against: proposal 3").click()
    page.get_by_role("dialog").get_by_role("button", name="Vote against").click()
    expect(page.get_by_role("alert")).to_contain_text("The wallet is on chain 1.")
    [asked] = calls(page, "wallet_switchEthereumChain")
    assert asked["params"] == [{"chainId": "0x7a69"}]
    assert calls(page, "eth_sendTransaction") == []
    assert double.actions == []


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"eth_requestAccounts": {"error": "no", "code": 4001}}, "You declined in your wallet."),
        ({"eth_sendTransaction": {"error": "no", "code": 4001}}, "You declined in your wallet."),
        ({"eth_requestAccounts": {"error": "busy", "code": -32002}}, "Your wallet is already asking you something."),
        ({"eth_sendTransaction": {"error": "insufficient funds", "code": -32000}}, "could not send the transaction"),
        ({"eth_getTransactionReceipt": {"status": "0x0", "blockNumber": "0x13d"}}, "mined, but reverted"),
    ],
)
def test_a_wallet_that_refuses_is_advice(page: Page, double: Double, answers: dict[str, Any], said: str) -> None:
    use_wallet(page, double, GOOD_WALLET | answers)
    visit(page, double, "governance")
    page.get_by_role("button", name="Abstain: proposal 3").click()
    page.get_by_role("dialog").get_by_role("button", name="Vote abstain").click()
    expect(page.get_by_role("alert")).to_contain_text(said)
    expect(page.get_by_role("button", name="Try again")).to_be_enabled()


def test_without_wallet_or_keystore_nothing_can_be_signed(page: Page, double: Double) -> None:
    double.snapshot["viewer"] = {"mode": "wallet", "account": None, "node": None}
    visit(page, double, "governance")
    page.get_by_role("button", name="For: proposal 3").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Nothing here can sign.")
    expect(dialog).to_contain_text("commonweight dao vote 3 for")
    expect(dialog.get_by_role("button", name="Vote for")).to_be_disabled()


def test_the_keystore_signs_with_the_token_of_the_start_url(page: Page, double: Double) -> None:
    double.snapshot["proposals"][2]["votes"] = []
    page.goto(f"{double.url}/#token=s3cret-T0ken")
    page.locator("#main h1").wait_for()
    assert "s3cret" not in page.url
    page.get_by_role("link", name="Governance").click()
    page.get_by_role("button", name="For: proposal 3").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("This node's keystore signs")
    page.screenshot(path=SHOTS / "vote-light.png")
    dialog.get_by_role("button", name="Vote for").click()
    expect(dialog).to_contain_text("Done.")
    [(name, body, headers)] = double.actions
    assert (name, body["support"]) == ("vote", "for")
    assert "from" not in body
    assert headers["X-Commonweight-Token"] == "s3cret-T0ken"


def test_a_refusal_of_the_contract_is_shown_with_its_reason(watched: Watched, double: Double) -> None:
    watched.allowed.append("409")
    page = watched.page
    double.snapshot["proposals"][2]["votes"] = []
    double.refusal = (
        409,
        {
            "error": "Refused",
            "what": "The contract refused.",
            "why": "You already voted.",
            "hint": "Look at the votes.",
        },
    )
    visit(page, double, "governance")
    page.get_by_role("button", name="For: proposal 3").click()
    page.get_by_role("dialog").get_by_role("button", name="Vote for").click()
    expect(page.get_by_role("alert")).to_contain_text("You already voted.")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("dialog")).to_contain_text("Done.")


def test_a_newcomer_is_reviewed(page: Page, double: Double) -> None:
    double.snapshot["applications"][1]["reviews"] = []
    visit(page, double, "members")
    card = page.get_by_role("article", name="Application 9")
    expect(card).to_contain_text("+2,150 ppm")
    card.get_by_role("button", name="Reject").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox").fill("The sample gains too little.")
    dialog.get_by_role("button", name="Reject").click()
    expect(dialog).to_contain_text("Done.")
    assert double.actions[0][:2] == (
        "review",
        {"application": 9, "approve": False, "reason": "The sample gains too little."},
    )


def test_only_seats_review_and_only_once(page: Page, double: Double) -> None:
    visit(page, double, "members")
    card = page.get_by_role("article", name="Application 9")
    expect(card).to_contain_text("You approved")
    expect(card.get_by_role("button", name="Approve")).to_have_count(0)
    seats = copy.deepcopy(double.snapshot["seats"])
    seats[1]["is_vacant"] = True
    applications = copy.deepcopy(double.snapshot["applications"])
    applications[1]["reviews"] = []
    double.change(seats=seats, applications=applications)
    expect(card).to_contain_text("yours is none of them")
    expect(card.get_by_role("button", name="Approve")).to_have_count(0)


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


def test_tokens_are_locked_after_the_amount_was_understood(page: Page, double: Double) -> None:
    member = next(entry for entry in double.snapshot["members"] if entry["address"] == VIEWER)
    member["balance"] = "1250000000000000001"
    visit(page, double, "governance")
    page.get_by_role("button", name="Lock tokens").click()
    dialog = page.get_by_role("dialog")
    field = dialog.get_by_role("textbox")
    for text, said in (
        ("twelve", "is no amount"),
        ("0", "is no amount"),
        ("1.3", "more than there is"),
        ("1.0000000000000000001", "is no amount"),
    ):
        field.fill(text)
        dialog.locator("button[type=submit]").click()
        expect(dialog.get_by_role("alert")).to_contain_text(said)
    assert double.actions == []
    field.fill("1.250000000000000001")
    dialog.locator("button[type=submit]").click()
    expect(dialog).to_contain_text("Done.")
    assert double.actions[0][:2] == ("lock", {"amount": "1250000000000000001"})


def test_votes_are_delegated_to_a_member(page: Page, double: Double) -> None:
    visit(page, double, "governance")
    page.get_by_role("button", name="Delegate", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("combobox").select_option(FOUNDER)
    dialog.get_by_role("button", name="Delegate").click()
    expect(dialog).to_contain_text("Done.")
    assert double.actions[0][:2] == ("delegate", {"to": FOUNDER})


@pytest.mark.parametrize(
    "account", [FOUNDER, FOUNDER.lower(), "0x" + "12" * 20], ids=["checksummed", "lower", "stranger"]
)
def test_the_server_hears_who_will_sign(page: Page, double: Double, account: str) -> None:
    use_wallet(page, double, GOOD_WALLET | {"eth_requestAccounts": [account]})
    visit(page, double, "governance")
    page.get_by_role("button", name="Connect Browser wallet").click()
    page.get_by_role("button", name="For: proposal 3").click()
    page.get_by_role("dialog").get_by_role("button", name="Vote for").click()
    page.clock.run_for(2_000)
    expect(page.get_by_role("dialog")).to_contain_text("Done.")
    assert double.actions[0][1]["from"] == account.lower()
    assert calls(page, "eth_sendTransaction")[0]["params"][0]["from"] == account


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


def test_the_navigation_counts_what_waits_for_the_signer(page: Page, double: Double) -> None:
    visit(page, double)
    members, governance = page.locator("nav a[href='#members']"), page.locator("nav a[href='#governance']")
    expect(members.locator(".count")).to_have_text("1")  # a veto is possible; the open one was reviewed
    expect(governance.locator(".count")).to_have_count(0)  # voted already
    proposals = copy.deepcopy(double.snapshot["proposals"])
    proposals[2]["votes"] = []
    applications = copy.deepcopy(double.snapshot["applications"])
    applications[1]["reviews"] = []
    double.change(proposals=proposals, applications=applications)
    expect(members.locator(".count")).to_have_text("2")
    expect(governance.locator(".count")).to_have_text("1")
    double.change(seats=[])
    expect(members.locator(".count")).to_have_count(0)
