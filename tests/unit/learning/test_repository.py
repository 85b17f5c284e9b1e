from __future__ import annotations

from pathlib import Path

import pytest

from learning.errors import DataError
from learning.sources import repository as module
from learning.sources.repository import extract_pairs, folder, wanted


def source(numbers: range, *, salt: str = "") -> str:
    return "\n\n".join(
        f'def work_{n}(a):\n    """Do job number {n} {salt} well."""\n    b_{n} = a.step{n}{salt}({n}, {n * 3})\n'
        f"    c = b_{n} ** {n}\n    return c - {n}"
        for n in numbers
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "company"
    for name, text in {
        "app/core.py": source(range(40)),
        "app/more.py": source(range(100, 110), salt="x"),
        "app/copy.py": source(range(40)),
        "tests/test_core.py": source(range(200, 210)),
        "app/_vendor/lib.py": source(range(300, 310)),
        ".hidden/secret.py": source(range(400, 410)),
        "notes.txt": "text",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (root / "app/latin.py").write_bytes(source(range(500, 510)).encode() + b"\n# \xe9\n")
    return root


def test_tests_vendored_and_hidden_files_are_left_out(checkout: Path) -> None:
    assert folder(checkout).files == ("app/copy.py", "app/core.py", "app/latin.py", "app/more.py")


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("a/b.py", True),
        ("a/testing_tools.py", True),
        ("a/tests/b.py", False),
        ("test_a.py", False),
        ("a/b.pyx", False),
        ("setup.py", False),
    ],
)
def test_wanted(path: str, *, answer: bool) -> None:
    assert wanted(path) is answer


def test_pairs_are_deterministic_limited_and_free_of_copies(checkout: Path) -> None:
    repository = folder(checkout, name="company", version="1")
    pairs = extract_pairs(repository, limit=1_000, seed=3)
    assert pairs == extract_pairs(repository, limit=1_000, seed=3)
    assert len({p.query for p in pairs}) == len(pairs)
    assert {p.repository for p in pairs} == {"company"}
    assert not any(p.path == "app/latin.py" for p in pairs)
    per_file = [sum(p.path == f for p in pairs) for f in repository.files]
    assert max(per_file) == module.MAX_PAIRS_PER_FILE
    assert len(extract_pairs(repository, limit=7, seed=3)) == 7
    assert extract_pairs(repository, limit=1_000, seed=4) != pairs


def test_large_file_is_skipped(checkout: Path) -> None:
    (checkout / "app/big.py").write_text("#" * module.MAX_FILE_BYTES + "\n" + source(range(600, 601), salt="big"))
    assert not any(p.path == "app/big.py" for p in extract_pairs(folder(checkout), limit=1_000))


def test_vanished_file_is_skipped(checkout: Path) -> None:
    repository = folder(checkout)
    (checkout / "app/more.py").unlink()
    assert {p.path for p in extract_pairs(repository, limit=1_000)} <= {"app/core.py", "app/copy.py"}


def test_cache_is_used_keyed_by_version_and_healed(checkout: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = extract_pairs(folder(checkout, version="1"), limit=20, cache=cache)
    for name in ("core", "more"):
        (checkout / f"app/{name}.py").write_text(source(range(700, 740), salt=f"new{name}"))
    assert extract_pairs(folder(checkout, version="1"), limit=20, cache=cache) == first
    changed = extract_pairs(folder(checkout, version="2"), limit=20, cache=cache)
    assert changed != first
    for entry in cache.iterdir():
        entry.write_bytes(entry.read_bytes()[:-5])
    assert extract_pairs(folder(checkout, version="2"), limit=20, cache=cache) == changed
    assert not list(cache.glob("*.tmp"))


def test_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        folder(tmp_path / "nowhere")
