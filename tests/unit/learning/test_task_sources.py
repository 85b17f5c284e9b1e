"""The five tasks from repositories on disk: splits without leakage, labels without tell-tales, honest clones."""

from __future__ import annotations

import ast
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learning.errors import DataError, SpecError
from learning.metrics import accuracy
from learning.sources import installed, pool
from learning.sources.files import ReadReport
from learning.sources.minhash import groups, jaccard, shingles
from learning.sources.pool import Snippet, without_duplicates
from learning.sources.python_tokens import Literals, common_literals, program_tokens
from learning.sources.repository import Repository
from learning.tasks.base import TaskData
from learning.tasks.load import leakage, load
from learning.tasks.registry import TASKS, find_task

NAMES = ("click", "fsspec", "dnspython", "networkx", "anyio", "httpx", "rich", "jinja2", "joblib", "tqdm")
LIMITS = {"completion": 24, "defect_detection": 320}


@pytest.fixture(scope="module")
def repositories() -> list[Repository]:
    return [r for r in installed.list_repositories() if r.name in NAMES]


@pytest.fixture(scope="module")
def data(repositories: list[Repository]) -> dict[str, TaskData[Any]]:
    """All tasks from a handful of packages, small."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(installed, "list_repositories", lambda: repositories)
        for name in TASKS:
            found[name] = load(name, "installed", limit=LIMITS.get(name, 160), seed=1)
    return found


@pytest.mark.parametrize("name", TASKS)
def test_splits_share_no_repository_and_no_near_duplicate(data: dict[str, TaskData[Any]], name: str) -> None:
    found = data[name]
    places = {split: set(found.repositories(split)) for split in found.splits}
    assert not places["train"] & places["valid"]
    assert not places["train"] & places["test"]
    assert not places["valid"] & places["test"]
    held = {p for p in places["test"] if not p.startswith("problems")}
    assert held <= set(installed.PUBLIC_BENCHMARK)
    assert not any(p in installed.SEALED_BENCHMARK for place in places.values() for p in place)
    assert leakage(found) == {"train": 0, "valid": 0, "test": 0}
    assert len(found.examples("train")) > 20
    assert all(found.examples(split) for split in found.splits)


@pytest.mark.parametrize("name", ["clone_detection", "completion"])
def test_the_same_seed_gives_the_same_data_another_one_other(
    data: dict[str, TaskData[Any]], name: str, repositories: list[Repository], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installed, "list_repositories", lambda: repositories)
    limit = LIMITS.get(name, 160)
    assert load(name, limit=limit, seed=1).splits == data[name].splits
    assert load(name, limit=limit, seed=2).splits != data[name].splits


def test_a_planted_near_duplicate_never_crosses() -> None:
    body = "\n".join(f"    step_{i} = call_{i}(x, {i})" for i in range(30))
    original = f"def f(x):\n{body}\n    return step_3"
    copied = original.replace("step_3", "renamed").replace("call_7", "call_eight")
    other = "def g(y):\n" + "\n".join(f"    y.append(table[{i}] * {i})" for i in range(30))
    splits = {
        "train": [Snippet("a", "", "", original), Snippet("a", "", "", other)],
        "valid": [Snippet("b", "", "", other.replace("table[4]", "rows[4]")), Snippet("b", "", "", "def h(): pass")],
        "test": [Snippet("c", "", "", copied)],
    }
    report = ReadReport()
    kept = without_duplicates(splits, report)  # type: ignore[arg-type]
    assert kept["train"] == []
    assert [s.repository for s in kept["valid"]] == ["b", "b"]
    assert kept["test"] == splits["test"]
    assert report.skipped == {"near-duplicates across splits": 2}


def test_planted_copies_in_repositories_are_found(tmp_path: Path) -> None:
    """Copies of one vendored file in three repositories end up in one split only."""
    for place in range(4):
        root = tmp_path / f"company{place}"
        root.mkdir()
        own = "\n\n".join(
            f"def own_{place}_{n}(a, b):\n    total = a.get_{place}_{n}(b)\n    for item in b:\n        total += item.v{n}{place} * {n}\n"
            f"    return total - helper_{place}(a, {n})"
            for n in range(12)
        )
        shared = "\n\n".join(
            f"def shared_{n}(path, mode):\n    handle = open_{n}(path, mode)\n    if handle is None:\n        raise Problem({n})\n"
            f"    data = handle.read_{n}()\n    handle.close()\n    return data.split_{n}('x')[{place % 2}]"
            for n in range(12)
        )
        (root / "own.py").write_text(own)
        (root / "shared.py").write_text(shared)
    found = load("defect_detection", f"repositories:{tmp_path}", limit=400, seed=0)
    assert leakage(found) == {"train": 0, "valid": 0, "test": 0}
    assert found.report["skipped"]["near-duplicates across splits"] >= 12
    owners = {e.repository for s in found.splits for e in found.examples(s) if "shared" in e.commit}
    assert len(owners) == 1


def nearest_mean(train: Sequence[tuple[float, int]], test: Sequence[tuple[float, int]]) -> float:
    """Accuracy of the best threshold on one number, fitted on train."""
    cuts = sorted({x for x, _ in train})
    rules = [
        (sum(((x > c) == bool(y)) ^ flip for x, y in train), c, flip)
        for c in cuts[:: max(1, len(cuts) // 64)]
        for flip in (0, 1)
    ]
    _, cut, flip = max(rules)
    return accuracy([int((x > cut) != bool(flip)) for x, _ in test], [y for _, y in test])


def naive_bayes(train: Sequence[tuple[str, int]], test: Sequence[tuple[str, int]]) -> float:
    """Accuracy of multinomial naive Bayes on words."""
    words: dict[int, Counter[str]] = {0: Counter(), 1: Counter()}
    for text, label in train:
        words[label] += Counter(re.findall(r"\w+|[^\w\s]", text))
    totals = {label: sum(w.values()) + 1000 for label, w in words.items()}

    def score(text: str, label: int) -> float:
        return sum(math.log((words[label][w] + 1) / totals[label]) for w in re.findall(r"\w+|[^\w\s]", text))

    return accuracy([int(score(t, 1) > score(t, 0)) for t, _ in test], [y for _, y in test])


def halves(rows: list[Any], key: Callable[[Any], str]) -> tuple[list[Any], list[Any]]:
    """Two halves such that what belongs together (by key) is in one of them."""
    keys = sorted({key(r) for r in rows})
    first = set(keys[::2])
    return [r for r in rows if key(r) in first], [r for r in rows if key(r) not in first]


def test_length_and_words_do_not_tell_a_planted_bug(data: dict[str, TaskData[Any]]) -> None:
    rows = [e for s in data["defect_detection"].splits for e in data["defect_detection"].examples(s)]
    assert Counter(e.label for e in rows)[0] == len(rows) // 2
    train, test = halves(rows, lambda e: e.id[:-1])
    by_length = nearest_mean([(len(e.code), e.label) for e in train], [(len(e.code), e.label) for e in test])
    lines = nearest_mean([(e.code.count("\n"), e.label) for e in train], [(e.code.count("\n"), e.label) for e in test])
    by_words = naive_bayes([(e.code, e.label) for e in train], [(e.code, e.label) for e in test])
    bound = 0.5 + 3 * 0.5 / math.sqrt(len(test))
    assert max(by_length, lines, by_words) < bound
    assert lines == 0.5


def test_every_function_is_clean_once_and_broken_once(data: dict[str, TaskData[Any]]) -> None:
    rows = data["defect_detection"].examples("train")
    for name in {e.id[:-1] for e in rows}:
        clean, broken = sorted((e for e in rows if e.id[:-1] == name), key=lambda e: e.label)
        assert (clean.label, broken.label) == (0, 1)
        assert clean.code != broken.code
        assert clean.note == ""
        assert re.fullmatch(r"[\w -]+, line \d+", broken.note)
        assert ast.unparse(ast.parse(clean.code)) == clean.code


def test_one_side_of_a_clone_pair_tells_nothing(data: dict[str, TaskData[Any]]) -> None:
    rows = [e for s in data["clone_detection"].splits for e in data["clone_detection"].examples(s)]
    for side in ("first_id", "second_id"):
        seen: dict[str, list[int]] = {}
        for pair in rows:
            seen.setdefault(getattr(pair, side), []).append(pair.label)
        assert all(sorted(labels) == [0, 1] for labels in seen.values())
    train, test = halves(rows, lambda p: p.first_id)
    difference = nearest_mean(
        [(abs(len(p.first) - len(p.second)), p.label) for p in train],
        [(abs(len(p.first) - len(p.second)), p.label) for p in test],
    )
    assert difference < 0.95
    assert all(pair.first.startswith(("def function(", "async def function(")) for pair in rows)


def test_negatives_stay_in_their_repository(data: dict[str, TaskData[Any]]) -> None:
    rows = data["clone_detection"].examples("train")
    home = {p.second_id: p.repository for p in rows if p.label == 1}
    assert all(home[p.second_id] == p.repository for p in rows if p.label == 0)
    assert any(p.repository == "problems-train" for p in rows)


def test_few_pairs_come_from_few_repositories(repositories: list[Repository], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "list_repositories", lambda: repositories)
    small = load("clone_detection", limit=32, seed=3)
    assert [len(small.examples(split)) > 1 for split in small.splits] == [True] * 3
    assert len(set(small.repositories("train"))) < len(
        [r for r in repositories if r.name not in installed.PUBLIC_BENCHMARK]
    )


def test_search_queries_are_asked_once_and_names_are_hidden(data: dict[str, TaskData[Any]]) -> None:
    rows = [e for s in data["code_search"].splits for e in data["code_search"].examples(s)]
    assert len({p.query.lower() for p in rows}) == len(rows)
    assert all(re.match(r"(async )?def Func\(", p.code) for p in rows)
    summaries = data["code_to_text"].examples("train")
    assert all(e.summary not in e.code for e in summaries)
    assert any(e.name.split(".")[-1] in e.code for e in summaries)


def test_program_tokens_by_hand() -> None:
    source = (
        "# note\n\nimport os\n\ndef f(a):\n    '''Text, here'''\n"
        "    if a > 10:\n        return rb'x y' + \"name\"  # end\n\n\n    return 0x1\n"
    )
    expected = (
        "<s> import os <EOL> def f ( a ) : <EOL> '''<STR_LIT>''' <EOL> if a > <NUM_LIT:10> : <EOL> return rb'<STR_LIT>' + "
        '"<STR_LIT:name>" <EOL> return <NUM_LIT> </s>'
    )
    kept = Literals(frozenset({"10"}), frozenset({"name"}))
    assert " ".join(program_tokens(source, kept) or []) == expected
    text = program_tokens("x = 'a, b'", Literals(frozenset(), frozenset({"aU+002CU+0020b"})))
    assert text == ["<s>", "x", "=", "'<STR_LIT:aU+002CU+0020b>'", "</s>"]
    formatted = program_tokens("x = f'{a} b' 'c'", Literals())
    assert formatted == ["<s>", "x", "=", "f'<STR_LIT>'", "'<STR_LIT>'", "</s>"]
    assert program_tokens("x = (", Literals()) is None
    assert program_tokens("# only a note\n", Literals()) is None
    literals = common_literals(["x = 1 + 1 + 2", "y = 'a' 'a' 'b'", "z = ("])
    assert literals == Literals(frozenset({"1", "2"}), frozenset({"a", "b"}))


def test_no_token_holds_white_space(data: dict[str, TaskData[Any]]) -> None:
    for program in data["completion"].examples("train"):
        tokens = program.tokens.split(" ")
        assert tokens == program.tokens.split()
        assert (tokens[0], tokens[-1]) == ("<s>", "</s>")
        assert "<EOL> <EOL>" not in program.tokens
    assert any("<NUM_LIT:0>" in p.tokens for p in data["completion"].examples("train"))


def test_minhash_finds_what_exact_comparison_finds() -> None:
    generator = np.random.default_rng(0)
    texts = []
    for _ in range(40):
        words = [f"w{i}" for i in generator.integers(0, 400, 80)]
        texts.append(" ".join(words))
        for share in (2, 6, 20):
            changed = list(words)
            for place in generator.integers(0, 80, share):
                changed[place] = f"n{generator.integers(0, 10_000)}"
            texts.append(" ".join(changed))
    sets = [shingles(t) for t in texts]
    exact = {(i, j) for i in range(len(texts)) for j in range(i) if jaccard(sets[i], sets[j]) >= 0.6}
    found = groups(texts)
    assert len(exact) > 40
    assert all(found[i] == found[j] for i, j in exact)
    apart = {(i, j) for i in range(len(texts)) for j in range(i) if found[i] == found[j]}
    assert all(i // 4 == j // 4 for i, j in apart)


def test_minhash_at_the_edges() -> None:
    assert groups([]) == []
    assert groups(["", "  ", "a", "a", "b"]) == [0, 1, 2, 2, 4]
    assert jaccard(shingles(""), shingles("")) == 0
    assert jaccard(shingles("a b c d e f"), shingles("a b c d e f")) == 1
    assert jaccard(shingles("a b c d e f"), shingles("a b c d e g")) == pytest.approx(1 / 3)


def test_repositories_are_split_by_size_and_seed() -> None:
    many = [Repository(f"r{i:02}", "", Path(), (), 100_000 + 7_000 * i) for i in range(40)]
    found = pool.split_repositories(many, 3)
    assert sorted(r.name for part in found.values() for r in part) == [r.name for r in many]
    total = sum(r.size for r in many)
    assert 0.14 < sum(r.size for r in found["test"]) / total < 0.22
    assert 0.09 < sum(r.size for r in found["valid"]) / total < 0.17
    assert found == pool.split_repositories(list(reversed(many)), 3)
    assert found != pool.split_repositories(many, 4)
    pinned = pool.split_repositories(many, 3, pinned={"r05": "test", "r06": "test"})
    assert [r.name for r in pinned["test"]] == ["r05", "r06"]
    assert len(pool.split_repositories(many[:3], 0)["train"]) == 1
    with pytest.raises(DataError, match="too few"):
        pool.split_repositories(many[:2], 0)


@pytest.mark.parametrize(
    ("task", "source", "message"),
    [
        ("poetry", "installed", "no task called 'poetry'"),
        ("code_search", "web:x", "is no source"),
        ("code_search", "programs:x", "is no source"),
        ("code_search", "official:", "is no source"),
    ],
)
def test_unknown_names_are_said(task: str, source: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load(task, source)
    with pytest.raises(SpecError, match="limit of 1 "):
        load("code_search", limit=1)


def test_unusable_places_are_said(tmp_path: Path) -> None:
    for source in ("official", "repositories"):
        with pytest.raises(DataError, match="does not exist"):
            load("code_search", f"{source}:{tmp_path / 'nowhere'}")
    with pytest.raises(DataError, match="holds no repository"):
        load("code_search", f"repositories:{tmp_path}")
    with pytest.raises(DataError, match="not in the hub's cache"):
        load("code_search", "hub:no-such-owner/no-such-name")
    for place in range(3):
        (tmp_path / f"r{place}").mkdir()
        (tmp_path / f"r{place}" / "a.py").write_text("x = 1\n")
    with pytest.raises(DataError, match="gives no example of code_search"):
        load("code_search", f"repositories:{tmp_path}")


def test_files_that_are_not_text_are_counted(tmp_path: Path) -> None:
    for place in range(3):
        root = tmp_path / f"r{place}"
        root.mkdir()
        lines = "\n".join(f"value_{place}_{i} = {i} + other_{i}" for i in range(40))
        (root / "a.py").write_text(lines)
        (root / "latin.py").write_bytes(b"# \xe9\n" + lines.encode())
        (root / "big.py").write_text("#" * 400_001)
        (root / "broken.py").write_text(f"def (: {'x ' * 30}" + "'''")
    found = load("completion", f"repositories:{tmp_path}")
    assert found.report["skipped"]["files not UTF-8"] == 3
    assert found.report["skipped"]["files too large"] == 3
    assert found.report["skipped"]["files not tokenisable"] >= 1
    assert [len(found.examples(s)) for s in found.splits] == [1, 1, 1]


def test_tasks_describe_themselves() -> None:
    for name, task in TASKS.items():
        assert find_task(name) is task
        assert "repository" in task.schema()
        assert task.metrics
        assert task.kinds
