"""What a contract's refusal says to people: every custom error of every ABI has its text, and the text fits its arguments."""

from __future__ import annotations

import json
from collections import defaultdict
from importlib import resources
from string import Formatter

import pytest

from node import cli
from node.advice import explained, fill, refusals
from node.protocol.errors import TransactionReverted

ABIS = {
    file.name.removesuffix(".json"): [one for one in json.loads(file.read_text("utf-8")) if one["type"] == "error"]
    for file in resources.files("node.adapters.abi").iterdir()
    if file.name.endswith(".json")
}
ERRORS = [(contract, entry) for contract, entries in sorted(ABIS.items()) for entry in entries]
WHERE = defaultdict(set)
for _contract, _entry in ERRORS:
    WHERE[_entry["name"]].add(tuple((one["name"], one["type"]) for one in _entry["inputs"]))


def text_of(contract, entry):
    return refusals().get(f"{contract}.{entry['name']}") or refusals().get(entry["name"])


def example(kind):
    if kind == "address":
        return "0x" + "11" * 20
    if kind.startswith("bytes"):
        return b"\x22" * 32
    return "text" if kind == "string" else 1


def ids(value):
    return value if isinstance(value, str) else value["name"]


def test_there_are_errors_of_all_thirteen_contracts():
    assert len(ABIS) == 13
    assert len(ERRORS) > 200


@pytest.mark.parametrize(("contract", "entry"), ERRORS, ids=ids)
def test_every_error_says_what_happened_why_and_what_to_try(contract, entry):
    found = text_of(contract, entry)
    assert found is not None, f"{contract}.{entry['name']} has no entry in node/adapters/abi/refusals.toml"
    values = {one["name"]: example(one["type"]) for one in entry["inputs"]}
    for sentence in (fill(found.what, values), found.why, found.hint):
        assert len(sentence) > 10
        assert sentence.endswith(".")
        assert sentence[0].isupper() or sentence[0].isdigit() or sentence.startswith(("0x", "States:", "text", '"'))
        assert "{" not in sentence


@pytest.mark.parametrize(("contract", "entry"), ERRORS, ids=ids)
def test_a_refusal_is_explained_with_its_arguments(contract, entry):
    arguments = tuple(example(one["type"]) for one in entry["inputs"])
    told = explained(TransactionReverted(entry["name"], arguments, call=f"{contract}.act"))
    named = [name for _, name, _, _ in Formatter().parse(text_of(contract, entry).what) if name]
    assert told.what.startswith(f"The contract refused {contract}.act: {entry['name']}(")
    assert len(told.what) > len(f"The contract refused {contract}.act: {entry['name']}()") + 10 * bool(named)
    assert told.why
    assert told.hint
    assert (told.error, told.arguments, told.exit_code) == (entry["name"], arguments, 4)


def test_every_text_belongs_to_an_error():
    known = {entry["name"] for _, entry in ERRORS} | {f"{contract}.{entry['name']}" for contract, entry in ERRORS}
    assert set(refusals()) <= known


def test_errors_of_one_name_and_different_arguments_have_texts_of_their_own():
    several = {name for name, inputs in WHERE.items() if len(inputs) > 1}
    assert several == {"AlreadyAttested"}
    assert not several & set(refusals())


@pytest.mark.parametrize(
    ("error", "arguments", "says"),
    [
        (
            "DeadlinePassed",
            (1_800_000_000, 1_800_000_060),
            "The time for this ended at 2027-01-15 08:00:00 UTC; the chain's clock shows 2027-01-15 08:01:00 UTC.",
        ),
        ("WrongPhase", (2, 4), "The round is in reveal; this belongs to score commit."),
        ("WrongPhase", (99, 4), "The round is in 99; this belongs to score commit."),
        ("WrongEntry", ("0xA", 1, 0), "What 0xA handed in stands at committed, not at none."),
        (
            "ParameterOutOfBounds",
            (b"jurySize".ljust(32, b"\0"), 2, 3, 31),
            "The parameter jurySize is 2; it must lie between 3 and 31.",
        ),
        ("NotLocked", (5 * 10**18, 10**17), "5.00 CWT cannot be unlocked; 0.10 CWT are locked."),
        ("VetoWindowOpen", (0, 5), "The applicant can be admitted from 0 on; now is 1970-01-01 00:00:05 UTC."),
        ("AlreadyAttested", (3, b"\x01" * 32), f"Slot 3 has attested already (0x{'01' * 32})."),
        ("AlreadyAttested", (9, 3, b"\x01" * 32), "Slot 3 of round 9 has voted for these scores already"),
    ],
)
def test_arguments_are_shown_as_people_read_them(error, arguments, says):
    assert says in explained(TransactionReverted(error, arguments)).what


@pytest.mark.parametrize("error", [TransactionReverted("OutOfGas", (5,)), TransactionReverted("WrongPhase", (1,))])
def test_what_is_no_error_of_ours_stays_as_it_is(error):
    assert explained(error) is error


def test_a_hint_that_is_there_stays_and_nothing_is_explained_twice():
    once = explained(TransactionReverted("ZeroAmount", (), hint="Try that."))
    assert once.hint == "Try that."
    assert explained(once) is once


def test_an_unknown_name_is_an_error():
    with pytest.raises(KeyError, match="other"):
        fill("{other}", {"one": 1})
    with pytest.raises(KeyError, match="colour"):
        fill("{one:colour}", {"one": 1})


def test_the_command_line_explains(monkeypatch, capsys):
    def refuse():
        raise TransactionReverted("ExitTooEarly", (1_800_000_000, 1_799_999_999), call="MemberRegistry.finishExit")

    monkeypatch.setattr(cli, "app", refuse)
    with pytest.raises(SystemExit) as left:
        cli.main()
    shown = " ".join(capsys.readouterr().err.split())
    assert left.value.code == 4
    assert "The stake is free from 2027-01-15 08:00:00 UTC on" in shown
    assert "why It stays until the faults of the last rounds could be proven." in shown
    assert "try Finish the exit then." in shown
