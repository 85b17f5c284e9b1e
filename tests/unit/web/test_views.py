"""The snapshot: its shape is that of the example the page is written against, and its numbers are the chain's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from incentives.rewards import CWT
from incentives.voting import voting_units
from node.protocol.errors import ConfigError
from node.protocol.types import Phase
from node.web.views import SECTIONS, sections
from node.web.views_law import plain, proposal_of, release_of, split_description
from node.web.views_members import gini_ppm
from node.web.views_rounds import detail, round_of

from .conftest import COMMUNITY, GOVERNANCE, HOSTILE, LINEAR, TOLD, world_of

EXAMPLE = json.loads((Path(__file__).parents[2] / "web" / "snapshot.json").read_text("utf-8"))
FREE_FORM = {"contracts", "checked", "failing", "test_set"}
"""Objects whose keys are data."""


def shape(value, path=""):
    """Types by path: rows of a list share one path."""
    if path.endswith(".arguments[].value"):
        return {path: {"any"}}
    if isinstance(value, dict):
        name = path.rsplit(".", 1)[-1]
        if name in FREE_FORM or path.endswith("metric.releases[].scores"):
            return {path: {"object"}}
        found = {path: {"object"}}
        for key, one in value.items():
            merge(found, shape(one, f"{path}.{key}"))
        return found
    if isinstance(value, list):
        found = {path: {"list"}}
        for one in value:
            merge(found, shape(one, path + "[]"))
        return found
    kind = (
        "null"
        if value is None
        else "number"
        if isinstance(value, int | float) and not isinstance(value, bool)
        else type(value).__name__
    )
    return {path: {kind}}


def merge(into, other):
    for path, kinds in other.items():
        into.setdefault(path, set()).update(kinds)


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_has_the_shape_of_the_example(world, name):
    ours, example = shape(sections(world, [name])[name]), shape(EXAMPLE[name])
    listed = {path for path in example if "[]" not in path}
    assert listed <= set(ours), "a key of the example is missing"
    unknown = set(ours) - set(example)
    assert unknown == set(), "a key that the example does not have"
    for path in set(ours) & set(example):
        assert (ours[path] - {"null"}) <= example[path] | {"null"} or not (example[path] - {"null"}), path


def test_every_section_of_the_example_is_made():
    assert set(EXAMPLE) - {"version", "id"} == set(SECTIONS)


def test_the_snapshot_is_json_without_numbers_that_javascript_cannot_hold(world):
    text = json.dumps(sections(world))

    def check(value):
        if isinstance(value, dict):
            for one in value.values():
                check(one)
        elif isinstance(value, list):
            for one in value:
                check(one)
        elif isinstance(value, int):
            assert abs(value) < 2**53, value

    check(json.loads(text))


def test_an_unknown_section_is_refused(world):
    with pytest.raises(ConfigError, match="no section 'joke'"):
        sections(world, ["live", "joke"])


def test_a_network_without_a_past_can_be_shown():
    empty = world_of([], now=5)
    shown = sections(empty)
    assert shown["live"] is None
    assert shown["rounds"] == []
    assert shown["power"]["gini_ppm"] == 0
    assert shown["audit"] is None
    assert shown["guideline"] is None
    json.dumps(shown)


# --- rounds ---


def test_the_running_round_says_who_did_what(world):
    live = sections(world, ["live"])["live"]
    assert (live["number"], live["phase"], live["model"], live["is_sealed"]) == (6, "SCORE_REVEAL", None, True)
    assert live["counts"] == {
        "committed": 7, "revealed": 7, "scores_committed": 7, "scores_revealed": 3, "settled": 0, "accepted": 0,
        "attested": 0, "attesters": 7, "quorum": 5,
    }  # fmt: skip
    acts = [row["acts"] for row in live["participants"]]
    assert [one["scores_reveal"] for one in acts].count("done") == 3
    assert [one["scores_reveal"] for one in acts].count("due") == 4
    assert {one["attest"] for one in acts} == {"waiting", "none"}
    absent = [row for row in live["participants"] if row["index"] is None]
    assert all(row["acts"]["commit"] == "missed" for row in absent)
    assert sum(field["field"] == "gain" for field in live["updates"][0]["fields"]) in range(7)
    assert [step["phase"] for step in live["timeline"]] == ["COMMIT", "REVEAL", "SEED", "SCORE_COMMIT", "SCORE_REVEAL"]


def test_a_finalised_round_says_what_everybody_earned(world):
    shown = round_of(world, 2)
    claimed = {row["index"]: row for row in shown["rewards"]}
    for event in TOLD.events:
        if event.name == "Claimed" and event.contract == "RewardDistributor" and event.arguments["round"] == 2:
            row = claimed[event.arguments["index"]]
            assert row["claimed"]
            assert [row["trainer"], row["verifier"], row["attester"]] == [
                str(event.arguments[key]) for key in ("trainerReward", "verifierReward", "attesterReward")
            ]
    assert len(claimed) == len(shown["updates"]) == 8 - 0
    assert all(act["attest"] == "done" for act in (row["acts"] for row in shown["participants"]))


def test_faults_are_seen_in_the_round(world):
    one = round_of(world, 1)
    assert {update["status"] for update in one["updates"]} == {"ACCEPTED", "MALFORMED", "HARMFUL", "REJECTED"}
    assert len(one["slashes"]) == 2
    assert any(field["field"] == "malformed" for update in one["updates"] for field in update["fields"])
    three = round_of(world, 3)
    assert (three["phase"], three["void_reason"], three["is_sealed"]) == ("VOIDED", "TOO_FEW_REVEALS", None)
    assert [row["acts"]["reveal"] for row in three["participants"]].count("missed") == 7
    assert {row["acts"]["scores_commit"] for row in three["participants"]} == {"none"}
    five = round_of(world, 5)
    assert five["is_sealed"] is False
    assert sum(row["claimed"] for row in five["rewards"]) == 3


def test_acts_of_every_phase_add_up():
    """Replayed event by event, no act is due outside its phase, and done never becomes undone."""
    done = set()
    state_events = list(COMMUNITY.events)
    for place in range(40, len(state_events), 3):
        partial = world_of(state_events[:place], now=state_events[place - 1].timestamp)
        found = partial.state.current
        if found is None:
            continue
        for row in detail(partial, found)["participants"]:
            for act, standing in row["acts"].items():
                key = (found.number, row["member"], act)
                assert not (key in done and standing != "done"), key
                if standing == "done":
                    done.add(key)
                if standing == "due":
                    phases = {"commit": Phase.COMMIT, "reveal": Phase.REVEAL, "attest": Phase.ATTEST}
                    assert act not in phases or found.phase is phases[act]
    assert len(done) > 150


def test_a_round_that_does_not_exist_is_refused(world):
    with pytest.raises(ConfigError, match="no round 99"):
        round_of(world, 99)


def test_gains_are_summed_over_accepted_updates_only(world):
    rows = {row["round"]: row for row in sections(world, ["metric"])["metric"]["rounds"]}
    assert set(rows) == {1, 2, 4, 5}
    accepted = [update["gain"] for update in round_of(world, 1)["updates"] if update["status"] == "ACCEPTED"]
    assert rows[1]["gain_sum"] == sum(accepted)
    assert rows[1]["accepted"] == len(accepted)
    assert rows[1]["gain_median"] == sorted(accepted)[(len(accepted) - 1) // 2]


def test_contributions_add_up_to_what_was_paid(world):
    shown = sections(world, ["contributions"])["contributions"]
    paid = sum(int(cell["reward"] or 0) for cell in shown["cells"])
    assert paid == sum(world.state.rewards.values()) == sum(int(row["credit"]) for row in shown["totals"])
    assert 1_000_000 - len(shown["totals"]) <= sum(row["share_ppm"] for row in shown["totals"]) <= 1_000_000
    assert [int(row["credit"]) for row in shown["totals"]] == sorted(
        (int(row["credit"]) for row in shown["totals"]), reverse=True
    )


def test_slashes_name_fault_subject_and_prover(world):
    rows = sections(world, ["slashes"])["slashes"]
    assert [row["fault"] for row in rows] == ["Malformed", "WrongAttestation", "UpdateNotRevealed"]
    assert [row["number"] for row in rows] == [1, 2, 3]
    assert all(row["subject"] is not None for row in rows)
    assert all(int(row["burned"]) + int(row["bounty"]) == int(row["amount"]) for row in rows)


# --- votes ---


def test_power_is_concentrated_as_the_holdings_say(world):
    shown = sections(world, ["power"])["power"]
    units = [voting_units(amount * CWT, LINEAR) for amount in (1_500, 900, 400, 50)]
    assert shown["total_units"] == str(sum(units))
    cap = sum(units) // 10
    votes = [min(one, cap) for one in (units[0], units[1], units[2] + units[3])]
    assert sorted(int(row["votes"]) for row in shown["delegates"]) == sorted(votes)
    assert all(row["is_capped"] for row in shown["delegates"])
    assert shown["gini_ppm"] == 0
    assert shown["largest_share_ppm"] == 333_333
    assert shown["holders"] == 4
    assert [row["delegators"] for row in shown["delegates"] if row["member"] == COMMUNITY.members[2]] == [2]
    amounts = [int(point["locked"]) for point in shown["curve"]]
    assert LINEAR in amounts
    assert amounts == sorted(amounts)


@pytest.mark.parametrize(
    ("holdings", "gini"),
    [([], 0), ([0], 0), ([5], 0), ([5, 5], 0), ([0, 10], 500_000), ([1, 2, 3, 4], 250_000), ([0, 0, 0, 9], 750_000)],
)
def test_gini(holdings, gini):
    assert gini_ppm(holdings) == gini
    assert gini_ppm(holdings[::-1]) == gini


def test_proposals_say_their_state_and_what_can_be_done(world):
    rows = sections(world, ["proposals"])["proposals"]
    assert [row["state"] for row in rows] == ["EXECUTED", "EXECUTED", "QUEUED", "ACTIVE"]
    assert [row["kind"] for row in rows] == ["release", "release", "scoring", "treasury"]
    assert rows[3]["actions"] == ["vote"]
    assert rows[2]["actions"] == (["execute"] if world.now >= rows[2]["eta"] else [])
    assert rows[0]["title"] == "Release 1.1.0"
    assert rows[0]["description"] == "Notes."
    assert rows[0]["executed_at"] is not None
    assert rows[0]["candidate"]["scores"][0]["parent_ppm"] is None
    go, python = rows[1]["candidate"]["scores"]
    assert (go["benchmark"], go["delta"], go["floor"]) == ("code-search/go", -6_500, 267_900)
    assert python["delta"] == 19_550
    assert int(rows[0]["for"]) + int(rows[0]["abstain"]) >= int(rows[0]["quorum"])
    assert rows[0]["has_quorum"]
    assert rows[2]["calls"][0]["arguments"][0]["value"]["deltaMin"] == 2_000
    assert rows[3]["calls"][0]["arguments"][2] == {"name": "amount", "value": str(5 * CWT)}


def test_proposals_follow_time(world):
    running = sections(world, ["proposals"])["proposals"][3]
    later = replace(world, head=replace(world.head, timestamp=running["vote_end"] + 1))
    shown = sections(later, ["proposals"])["proposals"]
    quorate = int(running["for"]) >= int(running["quorum"])
    assert shown[3]["state"] == ("SUCCEEDED" if quorate else "DEFEATED")
    assert shown[3]["actions"] == (["queue"] if quorate else [])
    assert shown[2]["actions"] == ["execute"]


def test_a_proposal_is_found_by_number_and_id(world):
    listed = sections(world, ["proposals"])["proposals"]
    assert proposal_of(world, 2) == proposal_of(world, int(listed[1]["id"])) == listed[1]
    with pytest.raises(ConfigError, match="no proposal 9"):
        proposal_of(world, 9)


def test_texts_of_others_stay_texts(world):
    rows = sections(world, ["proposals", "activity"])
    assert HOSTILE in rows["proposals"][2]["title"]
    assert HOSTILE in {vote["reason"] for vote in rows["proposals"][2]["votes"]}
    assert json.loads(json.dumps(rows)) == rows


@pytest.mark.parametrize(
    ("description", "parts"),
    [
        ("Title\nbody", ("Title", "body")),
        ("# Title #\n\nbody #proposer=0xabc", ("Title", "body")),
        ("#proposer=0xabc", ("", "")),
        ("", ("", "")),
        ("x" * 500, ("x" * 200, "")),
        ("a #proposer=1 b\nc #proposer=0x2", ("a #proposer=1 b", "c")),
    ],
)
def test_descriptions_are_split(description, parts):
    assert split_description(description) == parts


def test_abi_values_become_json():
    assert plain({"a": (1, 2**60, b"\x01", True, "x")}) == {"a": [1, str(2**60), "0x01", True, "x"]}


# --- releases, newcomers, local files ---


def test_releases_have_lineage_shares_and_revenue(world):
    one, two = sections(world, ["releases"])["releases"]
    assert (one["parent"], one["children"], two["parent"], two["children"]) == (0, [2], 1, [])
    assert one["proposal"] == sections(world, ["proposals"])["proposals"][0]["id"]
    assert sum(int(share["credit"]) for share in two["shares"]) == int(two["credit_total"])
    assert one["revenue"] == [{"token": one["revenue"][0]["token"], "deposited": "100", "paid": "7"}]
    assert two["scores"][1]["parent_ppm"] == 412_300
    assert release_of(world, 1) == one
    with pytest.raises(ConfigError, match="no release 3"):
        release_of(world, 3)


def test_newcomers_are_shown_with_their_reviews(world):
    newest, older = sections(world, ["applications"])["applications"][:2]
    assert (newest["number"], newest["state"], newest["actions"]) == (10, "open", ["review"])
    assert (older["approvals"], older["refusals"], len(older["reviews"])) == (1, 0, 1)
    assert older["request"]["repositories"] == ["r"]
    assert newest["request"] is None
    assert {row["state"] for row in sections(world, ["applications"])["applications"][2:]} == {"admitted"}


def test_only_known_keys_of_the_nodes_status_are_shown(world):
    viewer = sections(world, ["viewer"])["viewer"]
    assert "secret" not in viewer["node"]
    assert viewer["account"] == COMMUNITY.members[1]


@pytest.mark.parametrize(
    ("report", "ok", "current"),
    [
        ({"ok": True, "checked": {"events": 10**6}, "findings": []}, True, True),
        ({"ok": True, "checked": {"events": 3}, "findings": []}, True, False),
        ({"ok": True, "events": 10**6, "blocks": [1, 9], "checked": {}, "findings": []}, True, True),
        ({"ok": True, "events": "many", "blocks": ["x"], "checked": {}, "findings": []}, True, False),
        ({"ok": True, "checked": {"events": 10**6}, "findings": ["x"]}, False, True),
        ({"ok": "yes", "checked": {}, "findings": []}, False, False),
        ({}, False, False),
        ({"ok": True, "checked": {"events": "many"}, "findings": [{"what": "w"}]}, False, False),
    ],
)
def test_the_audits_state(world, report, ok, current):
    shown = sections(replace(world, local=replace(world.local, audit=report)), ["audit"])["audit"]
    assert (shown["ok"], shown["is_current"]) == (ok, current)
    assert all(isinstance(text, str) for text in shown["findings"])


@pytest.mark.parametrize("given", [{"values": 7}, {"values": {"x": 1}}, {}, {"name": "m"}])
def test_damaged_evaluations_do_no_harm(world, given):
    shown = sections(replace(world, local=replace(world.local, evaluations=given)), ["metric"])["metric"]["evaluations"]
    assert shown is None or shown["values"] == []


def test_parameters_are_the_deployments(world):
    params = sections(world, ["network"])["network"]["params"]
    assert params["voting_period"] == GOVERNANCE["voting_period"]
    assert params["linear_up_to"] == str(LINEAR)
    assert params["max_verifiers"] == COMMUNITY.deployment.params.max_verifiers


def test_activity_is_bounded_and_newest_first(world):
    rows = sections(world, ["activity"])["activity"]
    assert len(rows) == 60
    assert [row["at"] for row in rows] == sorted((row["at"] for row in rows), reverse=True)
    assert any("voted for" in row["text"] for row in rows)
