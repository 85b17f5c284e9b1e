"""CodeXGLUE's formats: small files of each kind, round trips, broken lines named, evaluation by each task."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learning.errors import DataError, SpecError
from learning.sources.files import ReadReport
from learning.tasks import __main__ as command
from learning.tasks.base import Split
from learning.tasks.clone_detection import CloneDetection, ClonePair, Twins, by_group
from learning.tasks.code_to_text import CodeToText, SummaryExample
from learning.tasks.completion import Completion, Program
from learning.tasks.defect_detection import DefectDetection, DefectExample
from learning.tasks.load import leakage, load
from learning.tasks.pairs import Pair
from learning.tasks.registry import TASKS
from learning.tasks.search import CodeSearch


def jsonl(path: Path, *rows: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def read(task: str, folder: Path, split: Split = "train") -> list[Any]:
    return list(TASKS[task].read(folder, split, ReadReport()))


def test_clone_files(tmp_path: Path) -> None:
    jsonl(tmp_path / "data.jsonl", {"func": "int a() {}", "idx": "13"}, {"func": "int b() {}", "idx": "7"})
    (tmp_path / "train.txt").write_text("13\t7\t0\n7 13 1\n")
    assert read("clone_detection", tmp_path) == [
        ClonePair("int a() {}", "int b() {}", 0, "13", "7", ""),
        ClonePair("int b() {}", "int a() {}", 1, "7", "13", ""),
    ]
    for line, message in (("13\t8\t0", "no function '8'"), ("13\t7", "2 fields"), ("13\t7\t2", "not 0 or 1")):
        (tmp_path / "train.txt").write_text(f"13\t7\t0\n{line}\n")
        with pytest.raises(DataError, match=rf"train\.txt, line 2: .*{message}"):
            read("clone_detection", tmp_path)
        report = ReadReport(lenient=True)
        assert len(list(CloneDetection().read(tmp_path, "train", report))) == 1
        assert report.skipped == {"broken lines": 1}
    with pytest.raises(DataError, match=r"no file for the split valid: looked for valid\.txt"):
        read("clone_detection", tmp_path, "valid")
    (tmp_path / "data.jsonl").unlink()
    with pytest.raises(DataError, match=r"no data\.jsonl"):
        read("clone_detection", tmp_path)


def test_defect_files(tmp_path: Path) -> None:
    row = {"project": "qemu", "commit_id": "c0", "target": 1, "func": "void f() {}"}
    jsonl(tmp_path / "train.jsonl", {**row, "idx": 5}, row)
    assert read("defect_detection", tmp_path) == [
        DefectExample("void f() {}", 1, "5", "qemu", "c0"),
        DefectExample("void f() {}", 1, "1", "qemu", "c0"),
    ]
    jsonl(tmp_path / "test.jsonl", row, {**row, "target": 3})
    with pytest.raises(DataError, match=r"test\.jsonl, line 2: the label 'target' is '3'"):
        read("defect_detection", tmp_path, "test")


def test_devign_list_with_positions(tmp_path: Path) -> None:
    rows = [{"project": f"p{i}", "commit_id": "c", "target": i % 2, "func": f"f{i}"} for i in range(4)]
    (tmp_path / "function.json").write_text(json.dumps(rows))
    (tmp_path / "valid.txt").write_text("2\n1\n")
    found = read("defect_detection", tmp_path, "valid")
    assert [(e.id, e.code, e.label, e.repository) for e in found] == [("2", "f2", 0, "p2"), ("1", "f1", 1, "p1")]
    (tmp_path / "valid.txt").write_text("2\n4\n")
    with pytest.raises(DataError, match=r"valid\.txt, line 2: '4' is no position"):
        read("defect_detection", tmp_path, "valid")
    for text in ("{", "{}"):
        (tmp_path / "function.json").write_text(text)
        with pytest.raises(DataError, match=r"not JSON|not a list"):
            read("defect_detection", tmp_path, "valid")


def test_search_and_summary_rows(tmp_path: Path) -> None:
    row = {
        "repo": "o/r",
        "path": "a.py",
        "func_name": "A.f",
        "language": "python",
        "code": "def f():\n    '''Do it.'''\n    go()",
        "code_tokens": ["def", "f", "(", ")", ":", "go", "(", ")"],
        "docstring": "Do it.\n\nMore.",
        "docstring_tokens": ["Do", "it", "."],
        "url": "u",
        "idx": 3,
    }
    jsonl(tmp_path / "s" / "train.jsonl", row, {"function_tokens": ["x"], "docstring": "One.\n\nTwo."})
    assert read("code_search", tmp_path / "s") == [
        Pair("Do it .", "def f ( ) : go ( )", "o/r", "a.py", "A.f"),
        Pair("One.", "x", "", "", ""),
    ]
    jsonl(tmp_path / "t" / "ruby" / "train.jsonl", {**row, "language": "ruby"})
    jsonl(tmp_path / "t" / "go" / "train.jsonl", {k: v for k, v in row.items() if k != "language"})
    found = read("code_to_text", tmp_path / "t")
    assert [(e.language, e.summary, e.code) for e in found] == [
        ("go", "Do it .", "def f ( ) : go ( )"),
        ("ruby", "Do it .", "def f ( ) : go ( )"),
    ]
    jsonl(tmp_path / "s" / "test.jsonl", row, {"code": "x", "docstring": " "})
    for task in ("code_search", "code_to_text"):
        with pytest.raises(DataError, match=r"test\.jsonl, line 2: an empty"):
            read(task, tmp_path / "s", "test")


def test_completion_files(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("<s> a = 1 </s>\n\nb  <EOL> c\n")
    (tmp_path / "dev.txt").write_text("<s> d </s>\n")
    assert read("completion", tmp_path) == [
        Program("<s> a = 1 </s>", "", "train.txt:1"),
        Program("<s> b <EOL> c </s>", "", "train.txt:3"),
    ]
    assert len(read("completion", tmp_path, "valid")) == 1


@pytest.mark.parametrize("name", ["train-00000-of-00002", "train_0"])
def test_shards_gzip_subfolder_and_parquet(tmp_path: Path, name: str) -> None:
    jsonl(tmp_path / "data" / f"{name}.jsonl", {"func": "f", "target": 0})
    assert len(read("defect_detection", tmp_path)) == 1
    jsonl(tmp_path / "data" / "validation.jsonl", {"func": "f", "target": 0})
    assert len(read("defect_detection", tmp_path, "valid")) == 1
    (tmp_path / "data" / "test-00000-of-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="Parquet is not read"):
        read("defect_detection", tmp_path, "test")


EXAMPLES: dict[str, list[Any]] = {
    "clone_detection": [ClonePair("def f(): a", "def f(): b", i % 2, f"{i}a", f"{i}b", "r") for i in range(4)],
    "defect_detection": [DefectExample(f"f{i}", i % 2, str(i), f"p{i}", "c", "note") for i in range(4)],
    "code_search": [Pair(f"Query number {i}.", f"def f():\n    return {i}", "r", "p", "n") for i in range(4)],
    "code_to_text": [SummaryExample(f"def f():\n    {i}", f"Sum {i}.", "python", "r", "p", "n") for i in range(4)],
    "completion": [Program(f"<s> x = {i} </s>", f"r{i}" if i else "", f"dev.txt:{i + 1}") for i in range(4)],
}


@pytest.mark.parametrize("name", TASKS)
def test_what_is_written_is_read_back(tmp_path: Path, name: str) -> None:
    examples = EXAMPLES[name]
    TASKS[name].write(tmp_path, {"train": examples[:1], "valid": examples, "test": examples[:1]})
    found = read(name, tmp_path, "valid")
    if name == "defect_detection":  # ids become positions over all splits
        assert [e.id for e in found] == ["1", "2", "3", "4"]
        found = [DefectExample(e.code, e.label, str(i), e.repository, e.commit, e.note) for i, e in enumerate(found)]
    assert found == examples


def test_each_task_evaluates() -> None:
    clones = CloneDetection().evaluate(EXAMPLES["clone_detection"], [1, 1, 0, 1])
    assert clones == {"f1": 0.8, "precision": 2 / 3, "recall": 1.0}
    assert DefectDetection().evaluate(EXAMPLES["defect_detection"], [0, 1, 1, 1]) == {"accuracy": 0.75}
    search = CodeSearch()
    assert search.evaluate(EXAMPLES["code_search"], [[0, 1], [0, 1], [3, 1], [3]]) == {"mrr": (1 + 0.5 + 0 + 1) / 4}
    assert search.evaluate(EXAMPLES["code_search"], np.eye(4)) == {"mrr": 1.0}  # type: ignore[arg-type]
    assert search.evaluate(EXAMPLES["code_search"], np.ones((4, 4))) == {"mrr": 0.25}  # type: ignore[arg-type]
    completion = Completion().evaluate(
        EXAMPLES["completion"], ["<s> x = 0 </s>", "x x x x x", ["a", "=", "2", "b", "</s>"], "a b c 3 e"]
    )
    assert completion == {"accuracy": (3 + 1 + 0 + 1) / 12}


def test_repeated_clone_pairs_count_once_as_the_last() -> None:
    pair = EXAMPLES["clone_detection"][1]
    assert CloneDetection().evaluate([pair, pair], [0, 1])["f1"] == 1
    assert CloneDetection().evaluate([pair, pair], [1, 0])["f1"] == 0


def test_overall_bleu_is_the_mean_over_languages() -> None:
    ruby = SummaryExample("c", "Sum 0.", "ruby", "", "", "")
    rows = [*EXAMPLES["code_to_text"][:3], ruby]
    found = CodeToText().evaluate(rows, ["Sum 0.", "Sum 1.", "Sum 2.", ""])
    assert found["bleu_python"] == pytest.approx(100)
    assert found["bleu"] == pytest.approx((100 + found["bleu_ruby"]) / 2)
    with pytest.raises(DataError, match="must be texts"):
        CodeToText().evaluate(rows, [1, 2, 3, 4])


def test_groups_are_matched_with_other_groups() -> None:
    twins = [Twins(f"a{i}", f"b{i}", "xyz"[i % 3], "r") for i in range(9)]
    pairs = by_group(twins, "p", ReadReport())
    assert len(pairs) == 18
    group = {t.first: t.group for t in twins} | {t.second: t.group for t in twins}
    assert all((group[p.first] == group[p.second]) == bool(p.label) for p in pairs)
    report = ReadReport()
    lopsided = by_group([Twins(f"a{i}", f"b{i}", "x" if i else "y", "r") for i in range(5)], "p", report)
    assert sorted(p.label for p in lopsided) == [0, 0, 1, 1]
    assert report.skipped == {"programs without a counterpart": 3}
    assert by_group(twins[:1], "p", ReadReport()) == []


def test_programs_file(tmp_path: Path) -> None:
    rows = [
        {
            "problem": str(k % 4),
            "participant": f"who{k // 4}",
            "func": f"int f{k}() {{ " + f"call_{k}_{k * 7}(x[{k}]); " * 9 + "}",
        }
        for k in range(160)
    ]
    jsonl(tmp_path / "gcj.jsonl", *rows)
    found = load("clone_detection", f"programs:{tmp_path / 'gcj.jsonl'}", limit=64)
    assert not set(found.repositories("train")) & set(found.repositories("test"))
    problem = {row["func"]: row["problem"] for row in rows}
    for pair in found.examples("train"):
        assert (problem[pair.first] == problem[pair.second]) == bool(pair.label)


def test_corpus_file_is_split_by_repository_and_keeps_repairs(tmp_path: Path) -> None:
    rows = []
    for place in range(12):
        for k in range(6):
            body = "\n".join(f"    call_{place}_{k}_{i}(x, {i * k + place});" for i in range(12))
            rows += [
                {"func": f"int f(x) {{\n{body}\n    x += {y};\n}}", "target": y, "project": f"p{place}"} for y in (0, 1)
            ]
    leaked = {**rows[0], "project": "p11", "target": 1}
    jsonl(tmp_path / "all.jsonl", *rows, leaked)
    found = load("defect_detection", f"corpus:{tmp_path / 'all.jsonl'}", limit=200)
    places = [set(found.repositories(split)) for split in found.splits]
    assert sum(map(len, places)) == len(set.union(*places)) == 12
    assert sum(len(found.examples(s)) for s in found.splits) + sum(found.report["skipped"].values()) == 145
    assert leakage(found) == {"train": 0, "valid": 0, "test": 0}
    kept = [e for s in found.splits for e in found.examples(s) if e.code == rows[0]["func"]]
    assert len({e.repository for e in kept}) == 1 or found.report["skipped"] == {}
    with pytest.raises(SpecError, match="cannot be read from a corpus file"):
        load("completion", f"corpus:{tmp_path / 'all.jsonl'}")


@pytest.fixture
def devign(tmp_path: Path) -> Path:
    for split, count in (("train", 40), ("valid", 4), ("test", 4)):
        rows = [
            {"func": f"int {split}{i}() {{ return {i * 37}; }}", "target": i % 2, "project": f"p{i % 3}", "idx": i}
            for i in range(count)
        ]
        jsonl(tmp_path / f"{split}.jsonl", *rows)
    return tmp_path


def test_hub_is_read_from_its_cache_offline(devign: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    home = tmp_path / "cache" / "datasets--owner--devign"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("0" * 40)
    snapshot = home / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    for split in ("train", "valid", "test"):
        (snapshot / f"{split}.jsonl").write_bytes((devign / f"{split}.jsonl").read_bytes())
    found = load("defect_detection", "hub:owner/devign")
    assert len(found.examples("train")) == 40
    assert found.splits == load("defect_detection", f"official:{devign}").splits
    with pytest.raises(DataError, match="not in the hub's cache"):
        load("defect_detection", "hub:owner/devign@other")


def test_command_prints_json(devign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture, folder = devign / "p.svg", devign / "out"
    what = ["defect_detection", "--source", f"official:{devign}", "--partition", "by_repository", "--clients", "3"]
    code = command.main([*what, "--json", "--plot", str(picture), "--write", str(folder), "--samples", "1"])
    found = json.loads(capsys.readouterr().out)
    assert code == 0
    assert found["splits"]["train"] == {
        "examples": 40,
        "labels": {"0": 20, "1": 20},
        "repositories": ["p0", "p1", "p2"],
    }
    assert [c["examples"] for c in found["partition"]["clients"]] == [14, 13, 13]
    assert len(found["samples"]) == 1
    assert picture.stat().st_size > 1000
    assert (folder / "test.jsonl").read_text().count("\n") == 4


def test_command_prints_for_people(devign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "defect_detection",
        "--source",
        f"official:{devign}",
        "--partition",
        "label_imbalanced",
        "--skew",
        "1000",
    ]
    assert command.main([*arguments, "--clients", "2"]) == 0
    text = capsys.readouterr().out
    assert "Defect detection" in text
    assert "training example 1" in text
    assert "only" in text


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--clients", "0"], 2, "clients must be 1"),
        (["--partition", "by_repository", "--clients", "9"], 9, "3 repositories"),
        (["--partition", "label_imbalanced", "--skew", "1000", "--two-labels"], 9, "only"),
        (["--limit", "3"], 2, "limit of 3"),
    ],
)
def test_command_fails_with_words_and_codes(
    devign: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    full = ["defect_detection", "--source", f"official:{devign}", *arguments]
    assert command.main(full) == code
    assert message in " ".join(capsys.readouterr().err.split())
    assert command.main([*full, "--json"]) == code
    assert message in json.loads(capsys.readouterr().out)["error"]


@pytest.mark.parametrize("damage", [lambda b: b[:-30], lambda b: b.replace(b'"func"', b'"fun\xff"', 1)])
def test_damaged_lines_stop_or_are_counted(devign: Path, damage: Callable[[bytes], bytes]) -> None:
    path = devign / "train.jsonl"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"train\.jsonl, line (1|40): "):
        load("defect_detection", f"official:{devign}")
    found = load("defect_detection", f"official:{devign}", lenient=True)
    assert len(found.examples("train")) == 39
    assert found.report["skipped"] == {"broken lines": 1}
