"""What people sign on the page: votes, reviews, locks and delegations, by wallet or keystore."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from double import HASH, Double
from playwright.sync_api import Page, expect
from visits import FOUNDER, GOOD_WALLET, VIEWER, calls, use_wallet, visit
from watched import SHOTS, Watched

pytestmark = pytest.mark.e2e


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
