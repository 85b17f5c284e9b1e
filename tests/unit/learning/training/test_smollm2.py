"""Where the package is missing or not the known one, the command says so. (The conversion needs 93 MB that set-up does not fetch.)"""

from __future__ import annotations

import json
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from learning.errors import ModelError
from learning.models import smollm2


def pretend(monkeypatch: pytest.MonkeyPatch, folder: Path | None) -> None:
    def find(name: str) -> ModuleSpec | None:
        if folder is None:
            return None
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(folder)]
        return spec

    monkeypatch.setattr("importlib.util.find_spec", find)


def test_without_the_package_the_hint_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch, None)
    with pytest.raises(ModelError, match="make smollm"):
        smollm2.convert(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_other_weights_than_the_known_ones_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch, tmp_path)
    with pytest.raises(ModelError, match=r"holds no SmolLM2.*0\.1\.2"):
        smollm2.packaged_weights()
    (tmp_path / smollm2.GGUF).write_bytes(b"other")
    with pytest.raises(ModelError, match="was expected"):
        smollm2.packaged_weights()
    monkeypatch.setattr(smollm2, "GGUF_SHA256", "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa")
    assert smollm2.packaged_weights() == tmp_path / smollm2.GGUF


def test_a_folder_is_never_overwritten(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="exists already"):
        smollm2.convert(tmp_path)


def test_the_command_ends_with_code_nine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["smollm2", str(tmp_path)])
    with pytest.raises(SystemExit) as caught:
        smollm2.main()
    assert caught.value.code == 9
    assert "exists already" in capsys.readouterr().err
    monkeypatch.setattr(smollm2, "convert", lambda folder: "ab" * 32)
    monkeypatch.setattr(sys, "argv", ["smollm2", str(tmp_path), "--json"])
    smollm2.main()
    assert json.loads(capsys.readouterr().out) == {"folder": str(tmp_path), "hash": "ab" * 32}
