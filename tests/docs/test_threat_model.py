"""The threat model names tests that exist, and every threat test is named in it."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`(test\w*)`", TEXT))
SOURCES = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "contracts" / "test").glob("Threats*.t.sol"))
DEFINED = set(re.findall(r"function (test\w+)\(", SOURCES))


def test_every_test_that_is_named_exists() -> None:
    assert sorted(NAMED - DEFINED) == []


def test_every_threat_test_is_named() -> None:
    """Variants of one currency's tricks on the vault stand for one row."""
    missing = {name for name in DEFINED - NAMED if not name.startswith("test_threat_token")}
    assert sorted(missing) == []
