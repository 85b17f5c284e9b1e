"""The DAO's pure part: proposals from files, calls in words, votes split, power explained, gates, lineage, cards."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incentives.rewards import CWT
from incentives.voting import voting_units
from node.adapters.abi import contract_abi
from node.dao import advice, releases
from node.dao.ballots import choice, find, shares, split_params
from node.dao.calls import SETTINGS, Action, cwt, decode, describe, duration, from_name, to_name
from node.dao.card import Facts, card, privacy_of, repositories
from node.dao.power import Power, concentration
from node.dao.proposal import Proposal, parse, proposal_id, read_file, setting, split_description, tokens
from node.dao.rehearsal import settings_refusals
from node.dao.releases import Addition, Candidate, gate, lineage_dot, next_version, parse_version, require_gate
from node.membership.request import VERSION, Accepted, Body, DataStatement, Hardware, Identity, Request, Source
from node.protocol.cid import compute_cid, digest_from_cid
from node.protocol.errors import ConfigError, TransactionReverted
from node.protocol.governance import GovernorProposal
from node.protocol.guideline import Guideline
from node.protocol.releases import Benchmark, Catalogue, Release
from node.protocol.types import Address

ANNA = Address("0x52908400098527886E0F7030069857D2E4169EE7")
BERT = Address("0x8617E340B3D01FA5F11F306F4090FD50E238070D")
CONTRACTS = {
    name: Address(f"0x{number:040x}")
    for number, name in enumerate(
        ("MemberRegistry", "Treasury", "ReleaseRegistry", "CommunityGovernor", "GuidelineRegistry"), 1
    )
}
CID = compute_cid(b"anything")


# --- proposals --------------------------------------------------------------------------------------------------------


def test_a_proposal_file(tmp_path):
    path = tmp_path / "p.toml"
    path.write_text(
        'title = "A seat for Ada"\ntext = "She reviews well."\n'
        f'[[actions]]\nkind = "seat"\nseat = 0\nholder = "{ANNA}"\nexpires_at = 1800000000\n'
        f'[[actions]]\nkind = "pay"\ntoken = "{BERT}"\nto = "{ANNA}"\namount = "12.5"\n'
        '[[actions]]\nkind = "setting"\nname = "quorum-percent"\nvalue = "12"\n'
    )
    actions, text = read_file(path)
    assert text == "A seat for Ada\n\nShe reviews well."
    assert actions[0] == Action("MemberRegistry", "setSeat", (0, ANNA, 1_800_000_000))
    assert actions[1].arguments == (BERT, ANNA, 12_500_000_000_000_000_000)
    assert actions[2] == Action("CommunityGovernor", "updateQuorumNumerator", (12,))
    as_json = tmp_path / "p.json"
    import tomllib

    as_json.write_text(json.dumps(tomllib.loads(path.read_text())))
    assert read_file(as_json) == (actions, text)


def test_the_guide_s_proposal_file_is_one(tmp_path):
    guide = (Path(__file__).parents[3] / "docs" / "dao.md").read_text("utf-8")
    (text,) = re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)
    (tmp_path / "p.toml").write_text(text)
    actions, _ = read_file(tmp_path / "p.toml")
    assert [action.function for action in actions] == ["setSeat", "pay"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"title": ""}, "needs a title"),
        ({"actions": []}, "at least one action"),
        ({"colour": 1}, "keys other than"),
        ({"actions": [{"kind": "mint"}]}, r"actions\[0\]\.kind is 'mint'"),
        ({"actions": [{"kind": "setting", "name": "voting-delay"}]}, "'value'"),
        ({"actions": [{"kind": "setting", "name": "voting-delay", "value": 5}]}, "expected str"),
        ({"actions": [{"kind": "setting", "name": "tax", "value": "5"}]}, "no setting 'tax'"),
        ({"actions": [{"kind": "setting", "name": "voting-delay", "value": "soon"}]}, "whole number"),
        ({"actions": [{"kind": "seat", "seat": True, "holder": ANNA, "expires_at": 1}]}, "expected int"),
        ({"actions": [{"kind": "seat", "seat": 1, "holder": ANNA.lower(), "expires_at": 1}]}, "checksummed"),
        ({"actions": [{"kind": "pay", "token": BERT, "to": ANNA, "amount": "-1"}]}, "not an amount"),
    ],
)
def test_a_wrong_proposal_file_says_what_is_wrong(change, told):
    good = {"title": "T", "actions": [{"kind": "setting", "name": "voting-delay", "value": "5"}]}
    assert parse(good)[1] == "T"
    with pytest.raises(ConfigError, match=told):
        parse({**good, **change})


def test_files_that_are_none(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_file(tmp_path / "absent.toml")
    (tmp_path / "x.toml").write_text("title = ")
    with pytest.raises(ConfigError, match="neither TOML nor JSON"):
        read_file(tmp_path / "x.toml")
    (tmp_path / "big.toml").write_bytes(b"#" * 300_000)
    with pytest.raises(ConfigError, match="larger than"):
        read_file(tmp_path / "big.toml")


def test_the_description_names_its_proposer_and_the_id_follows():
    proposal = Proposal((setting("voting-delay", "6"),), "Title\n\nBody #proposer=me", ANNA)
    assert proposal.description.endswith(f"\n\n#proposer={ANNA.lower()}")
    assert split_description(proposal.description) == ("Title", "Body #proposer=me")
    assert split_description("No mark") == ("No mark", "")
    targets, values, datas = proposal.call(CONTRACTS)
    assert proposal.number(CONTRACTS) == proposal_id(targets, values, datas, proposal.description)
    assert proposal.number(CONTRACTS) != dataclasses.replace(proposal, proposer=BERT).number(CONTRACTS)


@pytest.mark.parametrize(
    ("text", "amount"),
    [("1", CWT), ("1.5", 15 * CWT // 10), ("1,000", 1000 * CWT), (".5", CWT // 2), ("0.000000000000000001", 1)],
)
def test_amounts(text, amount):
    assert tokens(text) == amount


@pytest.mark.parametrize("text", ["", ".", "x", "1e3", "-1", "1.0000000000000000001", "1.x", "0x10", "1.-5"])
def test_no_amounts(text):
    with pytest.raises(ConfigError, match="not an amount"):
        tokens(text)


@given(st.integers(0, 10**26))
def test_amounts_survive_their_text(amount):
    assert tokens(f"{amount // CWT}.{amount % CWT:018d}") == amount


# --- calls in words ---------------------------------------------------------------------------------------------------

SCORES = ({"benchmark": to_name("search/python"), "ppm": 361_900},)
STRUCT = {
    "parent": 0,
    "version": {"major": 1, "minor": 2, "patch": 3},
    "round": 7,
    "modelHash": b"\xab" * 32,
    "cid": digest_from_cid(CID),
    "notesHash": b"\x01" * 32,
    "notesCid": digest_from_cid(CID),
    "scores": SCORES,
}


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (Action("ReleaseRegistry", "publish", (STRUCT,)), "publish version 1.2.3, the model of round 7"),
        (Action("ReleaseRegistry", "publish", (STRUCT,)), "search/python 0.3619"),
        (Action("ReleaseRegistry", "publish", (STRUCT,)), "as the first release"),
        (Action("ReleaseRegistry", "publish", ({**STRUCT, "parent": 3},)), "after release 3"),
        (Action("ReleaseRegistry", "yank", (3, bytes(32))), "take back release 3"),
        (
            Action("ReleaseRegistry", "addBenchmark", (to_name("a"), bytes(32), digest_from_cid(CID))),
            f"measure releases by a ({CID}",
        ),
        (Action("MemberRegistry", "setSeat", (1, ANNA, 1_800_000_000)), f"seat 1 to {ANNA} until 2027-01-15"),
        (Action("MemberRegistry", "setSeat", (1, "0x" + "00" * 20, 0)), "empty committee seat 1"),
        (Action("Treasury", "pay", (BERT, ANNA, 5 * CWT)), "pay 5.00 CWT"),
        (
            Action("GuidelineRegistry", "amend", (2, bytes(32), digest_from_cid(CID), bytes(32), digest_from_cid(CID))),
            "update document",
        ),
        (setting("voting-period", "90"), "votes last 1 min 30 s"),
        (setting("proposal-threshold", "2"), "2.00 CWT"),
    ],
)
def test_actions_in_words_also_after_the_chain(action, words):
    assert words in describe(action)
    target, data = action.encode(CONTRACTS)
    back = decode(target, data, CONTRACTS)
    assert back is not None
    assert describe(back) == describe(action)
    assert back.encode(CONTRACTS) == (target, data)


def test_what_a_vote_can_reach_has_words():
    from deploy.plan import PROPOSABLE
    from node.dao.calls import _WORDS

    assert set(PROPOSABLE) | {("CommunityGovernor", function) for function in SETTINGS.values()} == set(_WORDS)


def test_unknown_calls_are_shown_as_they_are():
    assert decode(BERT, b"\x00" * 4, CONTRACTS) is None
    assert decode(CONTRACTS["Treasury"], b"\xff" * 4, CONTRACTS) is None
    assert "would call Treasury.sweep(0xff)" in describe(Action("Treasury", "sweep", (b"\xff",)))
    with pytest.raises(ConfigError, match="does not take these arguments"):
        Action("Treasury", "pay", (1,)).encode(CONTRACTS)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (61, "1 min 1 s"), (90_061, "1 d 1 h"), (3_600, "1 h"), (-5, "0 s")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_names_of_benchmarks():
    assert from_name(to_name("search/python")) == "search/python"
    assert from_name(b"\xff" * 32) == "0x" + "ff" * 32
    for wrong in ("", "x" * 33, "naïve", "a\nb"):
        with pytest.raises(ConfigError, match="cannot name"):
            to_name(wrong)


def test_every_advice_is_for_an_error_of_ours_and_takes_its_arguments():
    from node.adapters import abi

    names = abi.CONTRACTS
    arity = {}
    for contract in names:
        for entry in contract_abi(contract).errors.values():
            arity.setdefault(entry.name, set()).add(len(entry.inputs))
    assert set(advice._ADVICE) <= set(arity)
    sample = {"bytes32": to_name("a"), "bytes4": b"\x01" * 4, "address": ANNA}
    for contract in names:
        for entry in contract_abi(contract).errors.values():
            if entry.name in advice._ADVICE:
                values = [
                    {"major": 1, "minor": 0, "patch": 0} if p["type"] == "tuple" else sample.get(p["type"], 1)
                    for p in entry.inputs
                ]
                assert advice.explain(TransactionReverted(entry.name, tuple(values))), (contract, entry.name)
    assert advice.explain(TransactionReverted("Nonsense", ())) == ""
    assert advice.explain(TransactionReverted("NotActive", ())) == ""


# --- votes ------------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10**27), st.tuples(*[st.integers(0, 100)] * 3).filter(lambda parts: 0 < sum(parts) <= 100))
def test_split_votes_never_exceed_what_there_is(votes, parts):
    divided = shares(votes, parts)
    assert sum(divided) <= votes
    assert all(
        abs(part - votes * percent / 100) <= 1 + votes * 1e-12 for part, percent in zip(divided, parts, strict=True)
    )
    if sum(parts) == 100:
        assert votes - sum(divided) < 3


@pytest.mark.parametrize("parts", [(0, 0, 0), (101, 0, 0), (50, 51, 0), (-1, 50, 0)])
def test_no_split(parts):
    with pytest.raises(ConfigError, match="percentages"):
        shares(100, parts)


def test_split_parameters_are_what_the_fold_reads():
    from node.protocol.governance import split_vote

    assert split_vote(255, 60, split_params(10, 20, 30)) == (10, 20, 30)
    assert [choice(1, 0, 0), choice(0, 1, 0), choice(0, 0, 1), choice(1, 1, 0), choice(0, 0, 0)] == [
        "against",
        "for",
        "abstain",
        "split",
        "nothing",
    ]


def governor_proposal(number):
    empty = {"created_at": 0, "vote_start": 1, "vote_end": 2, "first_end": 2, "block": 1, "transaction": b""}
    return GovernorProposal(number, ANNA, (), (), (), "t", **empty)


def test_proposals_are_found_by_number_id_and_beginning():
    first, second = 0xAB << 248, (0xAB << 248) + (1 << 240)
    known = {first: governor_proposal(first), second: governor_proposal(second)}
    assert find(known, "2") == (2, known[second])
    assert find(known, str(first)) == (1, known[first])
    assert find(known, "0xab01")[0] == 2
    with pytest.raises(ConfigError, match="no proposal '3'"):
        find(known, "3")
    with pytest.raises(ConfigError, match="no proposal '0xab'"):  # too short to be meant
        find(known, "0xab")
    third = second + 1
    with pytest.raises(ConfigError, match="begins the ids of 2"):
        find({**known, third: governor_proposal(third)}, "0xab01")


def power(**changes):
    values = {
        "account": ANNA, "is_member": True, "liquid": CWT, "locked": 40_000 * CWT, "leaving": 0, "free_at": 0, "linear_up_to": 10_000 * CWT,
        "units": voting_units(40_000 * CWT, 10_000 * CWT), "delegate": ANNA, "received": {}, "total": 10**30, "now": 100,
    }  # fmt: skip
    return Power(**{**values, **changes})


def test_power_is_explained_with_its_numbers():
    lines = power().explain()
    assert "40,000.00 CWT locked, 1.00 CWT could be locked" in lines[0]
    assert "2·√(T·x) − T = 30,000.00" in lines[1]
    assert lines[-1].startswith("Votes: 30,000.00, below the cap")
    low = power(locked=50 * CWT, units=50 * CWT)
    assert "x = 50.00, since x is at most T" in low.explain()[1]
    capped = power(total=100_000 * CWT)
    assert capped.votes == 10_000 * CWT
    assert "capped from 30,000.00 to a tenth of all 100,000.00" in capped.explain()[-1]
    away = power(delegate=BERT, received={BERT: 7 * CWT})
    assert away.votes == 7 * CWT
    assert any(f"follow {BERT}" in line for line in away.explain())
    assert f"7.00 units of {BERT} follow this account." in away.explain()
    assert power(is_member=False).votes == 0
    assert "no member" in power(is_member=False).explain()[-1]
    assert any("in 1 min 40 s" in line for line in power(leaving=CWT, free_at=200).explain())
    assert any("withdraw" in line for line in power(leaving=CWT, free_at=50).explain())


def test_concentration():
    assert concentration([]) == (0.0, 0.0)
    assert concentration([5, 5, 5, 5]) == (0.0, 0.25)
    gini, largest = concentration([0, 0, 0, 8])
    assert (round(gini, 9), largest) == (0.75, 1.0)


FIRST = {"votingDelay": 5, "votingPeriod": 61, "lateExtension": 10, "quorumPercent": 10, "proposalThreshold": CWT}


@pytest.mark.parametrize(
    ("actions", "errors"),
    [
        ([("voting-period", "31")], [None]),
        ([("voting-period", "30")], ["SettingOutOfBounds"]),
        ([("voting-period", "122")], [None]),
        ([("voting-period", "123")], ["SettingOutOfBounds"]),
        ([("voting-period", "122"), ("late-extension", "20")], [None, "VoteOutlastsLock"]),
        ([("late-extension", "20"), ("voting-period", "122")], [None, "VoteOutlastsLock"]),
        ([("proposal-threshold", "2"), ("quorum-percent", "4")], [None, "SettingOutOfBounds"]),
    ],
)
def test_the_governor_s_bounds(actions, errors):
    found = settings_refusals([setting(*one) for one in actions], FIRST, (61, 10), timelock=5, unlock=147)
    assert [one and one.error for one in found] == errors


# --- releases ---------------------------------------------------------------------------------------------------------


def release(number, parent, scores, **changes):
    values = {
        "number": number, "parent": parent, "before": parent, "version": (1, number, 0), "round": 10 * number, "model_hash": b"\x01" * 32,
        "cid": digest_from_cid(CID), "notes_hash": b"\x02" * 32, "notes_cid": digest_from_cid(CID),
        "scores": {to_name(name): ppm for name, ppm in scores.items()}, "credit_total": 300, "published_at": 0, "block": 1,
        "transaction": b"",
    }  # fmt: skip
    return Release(**{**values, **changes})


def catalogue(*releases, active=("a", "b"), latest=None):
    benchmarks = {to_name(name): Benchmark(to_name(name), bytes(32), digest_from_cid(CID)) for name in active}
    known = {one.number: one for one in releases}
    return Catalogue(known, len(known) if latest is None else latest, benchmarks, tuple(benchmarks))


def candidate(**scores):
    return Candidate(30, b"\x01" * 32, CID, scores)


def test_the_gate_compares_with_the_latest_release():
    known = catalogue(release(1, 0, {"a": 500_000, "old": 900_000}))
    lines = {line.benchmark: line for line in gate(candidate(a=490_000, b=1), known, 10_000)}
    assert lines["a"].passes
    assert (lines["a"].least, lines["a"].change, lines["a"].verdict) == (490_000, -10_000, "allowed")
    assert (lines["b"].least, lines["b"].verdict) == (None, "new")
    require_gate(list(lines.values()))
    fallen = gate(candidate(a=489_999, b=1), known, 10_000)
    with pytest.raises(ConfigError, match=r"a fell too far: 0\.4900, at least 0\.4900"):
        require_gate(fallen)
    with pytest.raises(ConfigError, match="b not measured"):
        require_gate(gate(candidate(a=500_000), known, 10_000))
    extra = {line.benchmark: line for line in gate(candidate(a=500_000, b=1, old=1), known, 10_000)}
    assert extra["old"].verdict == "does not count"
    assert [extra["a"].verdict, gate(candidate(a=500_001, b=1), known, 0)[0].verdict] == ["as before", "better"]
    with pytest.raises(ConfigError, match="at least one active"):
        require_gate(gate(candidate(a=1), catalogue(active=()), 0))
    added = Candidate(30, b"\x01" * 32, CID, {"n": 1}, (Addition("n", bytes(32), CID),))
    require_gate(gate(added, catalogue(active=()), 0))
    taken_back = catalogue(release(1, 0, {"a": 1}), release(2, 1, {"a": 900_000}, is_yanked=True), latest=1)
    require_gate(gate(candidate(a=1, b=1), taken_back, 0))


def test_candidates_in_files():
    one = Candidate(3, b"\x01" * 32, CID, {"b": 2, "a": 1}, (Addition("b", bytes(32), CID),))
    assert Candidate.parse(one.to_json()) == one
    assert [score["benchmark"] for score in one.struct_scores()] == [to_name("a"), to_name("b")]
    value = json.loads(one.to_json())
    for change in (
        {"scores": {"a": 1_000_001}},
        {"scores": {"": 1}},
        {"scores": {"a": -1}},
        {"round": "3"},
        {"more": 1},
    ):
        with pytest.raises(ConfigError):
            Candidate.parse(json.dumps({**value, **change}).encode())
    with pytest.raises(ConfigError, match="is not JSON"):
        Candidate.parse(b"[")
    long = one.to_json() + b" " * 100_000
    with pytest.raises(ConfigError, match=f"has {len(long)} bytes; at most"):
        Candidate.parse(long)


def test_releases_by_number():
    known = catalogue(release(1, 0, {"a": 1}), release(2, 1, {"a": 2}))
    assert (releases.find(known, 1).number, releases.find(known, 0).number) == (1, 2)
    with pytest.raises(ConfigError, match="no release 3"):
        releases.find(known, 3)
    with pytest.raises(ConfigError, match="no release yet"):
        releases.find(catalogue(), 0)


def test_versions():
    assert parse_version("v1.20.3") == (1, 20, 3)
    for wrong in ("1.2", "1.2.x", "1.2.65536", "-1.2.3", ""):
        with pytest.raises(ConfigError):
            parse_version(wrong)
    assert next_version(catalogue()) == (1, 0, 0)
    assert next_version(catalogue(release(1, 0, {}), release(2, 1, {}, is_yanked=True))) == (1, 3, 0)


def test_lineage_as_a_graph():
    dot = lineage_dot(catalogue(release(1, 0, {"a": 500_000}), release(2, 1, {"a": 510_000}, is_yanked=True)))
    assert "0 -> 1;" in dot
    assert "1 -> 2;" in dot
    assert dot.count("style=dashed") == 1
    assert "a 0.5100" in dot
    assert lineage_dot(catalogue(release(1, 0, {'x"y': 1}))).count('"') % 2 == 0


def facts(**changes):
    documents = {
        "data": {"task": "code_search"},
        "architecture": {"learning": {"model": "m"}},
        "update": {},
        "versioning": {"metric": "mrr"},
    }
    known = catalogue(release(1, 0, {"a": 500_000}), release(2, 1, {"a": 510_000, "b": 1}))
    sources = tuple(Source(name, "1.0", "MIT", 5) for name in ("fine", "a|b# <script>"))
    identity = Identity(ANNA, "peer", bytes(32), "Anna")
    body = Body(
        chain_id=1, registry=BERT, identity=identity, hardware=Hardware("", "", "", 1, 1, "cpu", (), ""),
        data=DataStatement((), sources, 10, 100, 0, 0, 0, ""), guideline=Accepted(1, bytes(32), {}), sample_updates=(), test_sets=(),
    )  # fmt: skip
    statement = Request(VERSION, body, bytes(65)).encode()
    values = {
        "chain_id": 1, "registry": BERT, "release": known.releases[2], "catalogue": known, "epoch": 4, "guideline": Guideline(documents),
        "credits": {ANNA: 100, BERT: 200}, "statements": {ANNA: statement}, "notes": b"Notes.\n# not a heading",
    }  # fmt: skip
    return Facts(**{**values, **changes})


def test_the_card_tells_it_all_and_lets_no_stranger_write_markup():
    text = card(facts())
    assert text.startswith("---\nlibrary_name: transformers\n")
    assert "| a | 0.5000 | 0.5100 | +0.0100 |" in text
    assert "| b | – | 0.0000 | – |" in text
    assert "| 1.1.0 | 10 |" in text
    assert f"| {BERT} | 66.67 % | (statement not available) |" in text
    assert f"| {ANNA} | 33.33 % | fine, ab# script |" in text
    assert "> # not a heading" in text
    assert "Epoch 4" in text
    assert "taken back" not in text
    taken = dataclasses.replace(facts().release, is_yanked=True)
    assert "taken back by a vote" in card(facts(release=taken))
    assert list(repositories(b"not json")) == list(repositories(b'{"repositories": "x"}')) == []


def guideline_with(**update):
    learning = {"base_hash": "0" * 64, "samples_per_round": 256, "batch_size": 64, **update}
    return Guideline(
        {"data": {}, "architecture": {"learning": learning}, "update": {"max_norm": 5.0}, "versioning": {}}
    )


def test_the_card_says_what_privacy_was_promised_and_never_more():
    none = privacy_of(guideline_with(), 12)
    assert "no (ε, δ) bounds" in none
    assert "L2 norm 5.0" in none
    client = privacy_of(guideline_with(privacy="client", noise_multiplier=2.0), 4)
    # dp-accounting's PLD accountant: 4.377178 for multiplier 1 and 9.997256 for 1/2 (four rounds), delta 1e-5; rounded up
    assert "ε = 4.38 a round, ε = 10.00 for 4 rounds" in client
    assert "all of a contributor's data" in client
    example = privacy_of(guideline_with(privacy="example", noise_multiplier=1.0), 10)
    once = float(example.split("ε = ")[1].split()[0])
    assert 4.2058 <= once <= 1.2 * 4.2058  # dp-accounting, q 0.25, four steps
    assert float(example.split("ε = ")[2].split()[0]) > once
    assert "## Privacy\nCode stayed" in card(facts())


def test_amounts_for_people():
    assert cwt(1_234_500_000_000_000_000_000) == "1,234.50 CWT"
