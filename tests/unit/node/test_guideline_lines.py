"""The guideline's schemas, and what a node cannot honour: every fault names its line."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from node.config import Config, LearningSection
from node.dao.guideline_schema import MODELS, check_documents, json_schema
from node.dao.guidelines import amendments, check_file
from node.dao.honour import faults_here, faults_of, require_honoured
from node.dao.lines import differences, line_numbers
from node.protocol.errors import ConfigError
from node.protocol.guideline import Guideline

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "deploy" / "guidelines").glob("*.json"))
DOCUMENTS = json.loads((ROOT / "deploy" / "guidelines" / "code-search.json").read_bytes())
DOCUMENTS["architecture"]["learning"]["base_hash"] = "0" * 64


def changed(path, value=...):
    documents = copy.deepcopy(DOCUMENTS)
    *parents, last = path.split(".")
    inner = documents
    for key in parents:
        inner = inner[key]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return Guideline(documents)


@pytest.mark.parametrize("name", MODELS)
def test_the_published_schemas_are_the_code_s(name):
    """If this fails, run `make generated` and look at what changed."""
    assert (ROOT / "docs" / "schema" / f"{name}.json").read_text("utf-8") == json_schema(name)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_guidelines_we_ship_can_be_honoured(path):
    documents = json.loads(path.read_bytes())
    documents["architecture"]["learning"]["base_hash"] = "0" * 64
    assert faults_of(Guideline(documents)) == []


@pytest.mark.parametrize(
    ("line", "value", "why"),
    [
        ("data.task", ..., "missing"),
        ("data.held_out", "networkx", "list"),
        ("data.extra", 1, "no such line"),
        ("data.learning.batch_size", 2.5, "integer"),
        ("data.learning.batchsize", 2, "no such line"),
        ("update.pipeline", 3, "string"),
        ("update.pipeline", "avarage", "avarage"),
        ("update.pipeline", "bucketing+mean", "seed"),
        ("update.pipeline", "weighted_mean", "own weights"),
        ("update.compression", "zip9", "zip9"),
        ("update.outer_kind", "nadam", "'sgd'"),
        ("update.outer_momentum", 0.5, None),
        ("update.outer_momentum", 1.0, "less than 1"),
        ("update.outer_epsilon", 1e-8, "must be 0"),
        ("update.outer_learning_rate", 0, "greater than 0"),
        ("update.outer_learning_rate", True, "number"),
        ("update.max_bytes", 0, "greater than 0"),
        ("update.max_norm", 1.0, None),
        ("update.learning.batch_size", 1, "from 2"),
        ("update.learning.optimiser", "lion", "adamw or sgd"),
        ("update.learning.lookahead", [0.5], "first 0"),
        ("update.learning.max_norm", 6.0, "malformed"),
        ("update.learning.task", "code_search", "already"),
        ("data.learning.task", "poetry", "data.task says code_search"),
        ("architecture.learning.base_hash", ..., "base_hash"),
        ("architecture.learning.lora_targets", ["query", "query"], "distinct"),
        ("versioning.metric", "bleu", "mrr"),
        ("versioning.metric", ..., "missing"),
        ("versioning.naming", "roman", "semantic"),
        ("versioning.allowed_regression", 0.5, "less than or equal to 0.1"),
    ],
)
def test_a_fault_names_its_line(line, value, why):
    faults = faults_of(changed(line, value))
    if why is None:  # allowed, or the fault of another line
        assert all(fault.line != line for fault in faults)
        return
    assert [fault.line for fault in faults] == [line]
    assert why in faults[0].why


def test_a_guideline_without_learning_has_no_fault_there():
    documents = copy.deepcopy(DOCUMENTS)
    for name in documents:
        documents[name].pop("learning", None)
    assert faults_of(Guideline(documents)) == []


def test_every_wrong_line_is_named():
    documents = copy.deepcopy(DOCUMENTS)
    documents["data"]["held_out"] = 1
    documents["update"]["max_bytes"] = "many"
    del documents["versioning"]
    assert [fault.line for fault in check_documents(documents)] == ["data.held_out", "update.max_bytes", "versioning"]
    assert [fault.line for fault in check_documents({**DOCUMENTS, "poems": {}})] == ["poems"]


def test_a_guideline_that_compresses_beyond_its_rule():
    guideline = changed("update.pipeline", "median")
    guideline = Guideline({**guideline.documents, "update": {**guideline.documents["update"], "compression": "topk"}})
    (fault,) = faults_of(guideline)
    assert fault.line in ("update.pipeline", "update.compression")
    assert "topk" in fault.why


def test_what_this_node_cannot_keep(tmp_path):
    guideline = Guideline(DOCUMENTS)
    mine = Config(learning=LearningSection(repositories=("networkx", "fine")))
    (fault,) = faults_here(guideline, mine, trains=False)
    assert fault.line == "data.held_out"
    assert "networkx" in fault.why
    away = Config(learning=LearningSection(base_model=str(tmp_path / "gone")))
    assert faults_here(guideline, away, trains=False) == []
    (fault,) = faults_here(guideline, away, trains=True)
    assert fault.line == "architecture.learning.model"
    with pytest.raises(ConfigError, match=r"cannot honour the guideline's line data\.held_out"):
        require_honoured(guideline, mine, trains=False)
    require_honoured(guideline, Config(), trains=False)


def test_a_file_s_faults_have_line_numbers():
    text = json.dumps(DOCUMENTS, indent=2).replace(
        '"max_norm": 5.0,\n    "max_bytes"', '"max_norm": -1,\n    "max_bytes"'
    )
    _, faults = check_file(text.encode(), Config(), here=False)
    ((place, fault),) = faults
    assert fault.line == "update.max_norm"
    assert text.splitlines()[place - 1].strip() == '"max_norm": -1,'
    del (gone := copy.deepcopy(DOCUMENTS))["update"]["pipeline"]
    text = json.dumps(gone, indent=2)
    ((place, fault),) = check_file(text.encode(), Config(), here=False)[1]
    assert fault.line == "update.pipeline"
    assert text.splitlines()[place - 1].strip() == '"update": {'


def test_line_numbers_of_every_value():
    text = '{\n "a": [1,\n  {"b": "x\\"}"}],\n "c": {}\n}'
    assert line_numbers(text) == {"": 1, "a": 2, "a.0": 2, "a.1": 3, "a.1.b": 3, "c": 4}


def test_differences():
    old, new = {"a": {"b": 1, "c": [1]}, "d": 2}, {"a": {"b": 1.0, "c": [1], "e": None}, "d": 3}
    assert [(one.line, one.before, one.after) for one in differences(old, new)] == [
        ("a.b", 1, 1.0),
        ("a.e", None, None),
        ("d", 2, 3),
    ]
    assert differences(old, old) == []


def test_amendments_lead_from_one_guideline_to_the_other():
    before, after = Guideline(DOCUMENTS), changed("update.max_norm", 6.0)
    after = Guideline({**after.documents, "data": {**after.documents["data"], "format": "other"}})
    actions, files = amendments(before, after)
    assert [action.arguments[0] for action in actions] == [0, 2]
    assert actions[-1].arguments[3] == after.hash
    assert actions[0].arguments[3] not in (before.hash, after.hash)
    assert files[0] == after.document("data")
    assert files[-1] == after.canonical
    between = Guideline.parse(files[1])
    assert between.documents["data"] == after.documents["data"]
    assert between.documents["update"] == before.documents["update"]
    with pytest.raises(ConfigError, match="nothing would change"):
        amendments(before, before)
