"""Opening sections, and a wallet that answers as told: what the page tests share."""

from __future__ import annotations

import json
from typing import Any

from double import HASH, Double
from playwright.sync_api import Page, expect

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
