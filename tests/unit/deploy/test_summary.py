"""The demo's claims: each is false when the thing did not happen, and decides the exit code if it is required."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest

from deploy.localnet import Member
from deploy.report import render
from deploy.summary import better_alone, claims
from node.protocol.types import Address

GRANT = 100
HONEST = [Address(f"0x{i:040x}") for i in range(1, 5)]
ATTACKER = Address(f"0x{9:040x}")
MEMBERS = [Member(i, Path(), address, ("repo",), is_attacker=False) for i, address in enumerate(HONEST)]
MEMBERS.append(Member(4, Path(), ATTACKER, ("repo",), is_attacker=True))


def good():
    everybody = [*HONEST, ATTACKER]
    rounds = [
        {
            "round": number,
            "phase": "FINALIZED",
            "sealed": True,
            "metric_before": 0.30 + number / 100,
            "metric_after": 0.31 + number / 100,
            "accepted": list(HONEST),
            "rejected": [{"addr": ATTACKER, "reason": "harmful: <b>"}],
            "model_hash": f"h{number}",
            "model_hashes": dict.fromkeys(everybody, f"h{number}"),
            "distinct_model_hashes": 1,
            "seconds": 50,
        }
        for number in (1, 2)
    ]
    line = {"round": 1, "verdict": "ACCEPTED", "gain_ppm": 5, "trainer": "7", "verifier": "2", "attester": "1"}
    bad = {"round": 1, "verdict": "REJECTED", "gain_ppm": -5, "trainer": "0", "verifier": "2", "attester": "1"}
    return {
        "duration_s": 100.0,
        "settings": {"seed": 0},
        "rounds": rounds,
        "rewards": {**dict.fromkeys(HONEST, "10"), ATTACKER: "3"},
        "stakes": {**dict.fromkeys(HONEST, "100"), ATTACKER: "90"},
        "why": {address: [dict(bad if address == ATTACKER else line)] for address in everybody},
        "attacker": [ATTACKER],
        "names": {address: f"node {i} <x>" for i, address in enumerate(everybody)},
        "repositories": {address: ["repo"] for address in everybody},
        "gas": {"claim": 100_000},
        "baseline": {
            "pretrained": 0.30,
            "single_clients": dict(zip(HONEST, (0.31, 0.315, 0.32, 0.325), strict=True)),
            "federated": 0.33,
            "centralised": None,
        },
        "audit": {"ok": True, "checked": {"events": 3}, "findings": []},
        "release": {
            "number": 1,
            "version": "1.0.0",
            "round": 2,
            "model_hash": "h2",
            "scores_ppm": {"search <b>": 330_000},
            "proposal": {
                "number": 1, "id": "5", "for": "40", "against": "0", "abstain": "0", "quorum": "10", "executed": True,
                "votes": dict.fromkeys(HONEST, "10"), "decided_this_release": True,
            },
            "credits": {**dict.fromkeys(HONEST, "25"), ATTACKER: "3"},
            "credit_total": "103",
            "folder": "build/demo/release",
            "verified": {"ok": True, "checked": 12, "findings": []},
            "loaded": {"right": 3, "asked": 3, "dimensions": 384, "peft_difference": 1e-7},
        },
    }  # fmt: skip


def verdicts(summary):
    return {claim.text: claim for claim in claims(summary, MEMBERS, grant=GRANT, rounds=2)}


def test_a_good_run_holds_every_claim():
    assert all(claim.holds for claim in verdicts(good()).values())


def change(path, value):
    def apply(summary):
        *parents, last = path
        for key in parents:
            summary = summary[key]
        summary[last] = value

    return apply


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        (change(["rounds", 1, "phase"], "VOIDED"), "all 2 rounds finalised"),
        (lambda s: s["rounds"].pop(), "all 2 rounds finalised"),
        (change(["rounds", 0, "model_hashes", HONEST[2]], "other"), "all 5 nodes computed the same model"),
        (lambda s: s["rounds"][0]["model_hashes"].pop(HONEST[2]), "all 5 nodes computed the same model"),
        (change(["rounds", 0, "model_hash"], "other"), "all 5 nodes computed the same model"),
        (change(["rounds", 0, "sealed"], value=False), "every round was scored on a sealed slice"),
        (change(["rewards", HONEST[0]], "0"), "every honest node earned a reward"),
        (change(["audit", "ok"], value=False), "the audit rebuilt"),
        (lambda s: s["rounds"][1]["accepted"].append(ATTACKER), "no poisoned update was accepted"),
        (change(["why", ATTACKER, 0, "trainer"], "1"), "the attackers' updates earned 0"),
        (change(["rewards", ATTACKER], "4"), "the attackers' updates earned 0"),
        (change(["rewards", HONEST[2]], "6"), "every attacker earned less than half"),
        (change(["stakes", ATTACKER], "100"), "the attackers lost stake"),
        (change(["baseline", "federated"], 0.30), "beats the pretrained one"),
        (change(["baseline", "federated"], 0.317), "beats the mean of the honest clients"),
        (lambda s: s["baseline"]["single_clients"].pop(HONEST[3]), "every honest client was also measured"),
        (change(["release"], None), "the timelock published it"),
        (change(["release"], {"error": "it failed"}), "every file of the fetched release"),
        (change(["release", "model_hash"], "h1"), "the timelock published it"),
        (change(["release", "proposal", "for"], "9"), "the timelock published it"),
        (change(["release", "proposal", "against"], "40"), "the timelock published it"),
        (change(["release", "proposal", "votes", ATTACKER], "1"), "the timelock published it"),
        (change(["release", "proposal", "decided_this_release"], value=False), "the timelock published it"),
        (change(["release", "verified", "ok"], value=False), "every file of the fetched release"),
        (change(["release", "loaded", "right"], 2), "transformers and peft load"),
        (change(["release", "loaded", "peft_difference"], 0.1), "transformers and peft load"),
        (change(["release", "credits", HONEST[0]], "24"), "the shares of the release"),
        (change(["release", "credits"], {ATTACKER: "103"}), "an attacker's is what it earned without"),
    ],
)
def test_what_did_not_happen_fails_a_required_claim(broken, text):
    summary = copy.deepcopy(good())
    broken(summary)
    failed = [claim for claim in verdicts(summary).values() if not claim.holds and claim.required]
    assert any(text in claim.text for claim in failed), [claim.text for claim in failed]


def test_beating_the_best_client_is_a_goal_and_its_miss_is_said_plainly():
    summary = good()
    summary["baseline"]["federated"] = 0.322
    missed = [claim for claim in verdicts(summary).values() if not claim.holds]
    assert [claim.required for claim in missed] == [False]
    assert better_alone(summary) == ["node 3 <x> does better alone: 0.3250 against 0.3220"]


def test_the_report_escapes_what_members_call_themselves_and_says_what_was_not_run():
    page = render(good(), list(verdicts(good()).values()))
    assert "<x>" not in page
    assert "harmful: &lt;b&gt;" in page
    assert "search &lt;b&gt;" in page
    assert "1.0.0" in page
    assert "Release" not in render({**good(), "release": None}, [])
    assert "centralised training was not run" in page
    assert not re.search(r"""(src|href|url)\s*[=(]\s*["']?https?:""", page)  # nothing is loaded from elsewhere
    empty = good()
    empty["baseline"]["single_clients"] = {}
    assert "single-client baselines were not run" in render(empty, [])
