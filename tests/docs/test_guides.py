"""Every command that a guide shows exists, with the options it shows; every make target too; every link leads somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from node.cli import app

ROOT = Path(__file__).parents[2]
GUIDES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("docs/adr/*.md")])
COMMANDS = typer.main.get_command(app)
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def shown(pattern):
    found = []
    for guide in GUIDES:
        text = guide.read_text("utf-8")
        found += [(guide.name, match.strip()) for match in re.findall(pattern, text, re.MULTILINE)]
    return sorted(set(found))


def test_the_patterns_find_something():
    assert len(shown(r"^commonweight [^\n#`]+")) >= 7
    assert len(shown(r"\bmake [a-z-]+")) >= 4


@pytest.mark.parametrize(("guide", "line"), shown(r"^commonweight [^\n#`]+") + shown(r"`(commonweight [a-z][^`]+)`"))
def test_a_command_and_its_options_exist(guide, line):
    words = shlex.split(line)[1:]
    command = COMMANDS
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    unknown = [word for word in words if word.startswith("-") and word.split("=")[0] not in known | {"--help"}]
    assert not unknown, f"{guide} shows {line!r}"
    assert not hasattr(command, "commands") or not words, f"{guide} shows {line!r}"


@pytest.mark.parametrize(("guide", "line"), shown(r"^make [a-z-]+[^\n#]*") + shown(r"`(make [a-z-]+)[^`]*`"))
def test_a_make_target_exists(guide, line):
    assert line.split()[1] in TARGETS | {"brownie"}, f"{guide} shows {line!r}"


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_links_lead_somewhere(guide):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", guide.read_text("utf-8")):
        if "://" not in target:
            assert (guide.parent / target).exists(), f"{guide.name} links to {target}"
