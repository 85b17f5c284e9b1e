"""The files that run and watch a node in production agree with the code: commands, settings, metrics, runbook."""

from __future__ import annotations

import configparser
import json
import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

from node.cli import app
from node.config import describe
from node.health import Vitals, metrics
from node.protocol.state import State
from node.protocol.types import Address

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "operations"
SETTINGS = {name for name, _kind, _default, _help in describe()}


def metric_names():
    families = metrics(Vitals(State(), Address("0x" + "11" * 20), 0, 0.0, 0, 0, ""))
    return {f"{family.name}_total" if family.type == "counter" else family.name for family in families}


def check_command(words):
    """A command of ours with known options and settings."""
    command = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    options = {option for parameter in command.params for option in parameter.opts}
    assert not hasattr(command, "commands")
    for before, word in zip(["", *words], words, strict=False):
        if word.startswith("--"):
            assert word in options, word
        if before == "--set":
            assert word.split("=")[0] in SETTINGS, word


def used_metrics(expression):
    return set(re.findall(r"commonweight_\w+", expression))


def test_the_systemd_unit_runs_a_command_of_ours():
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str
    unit.read_string((FOLDER / "commonweight.service").read_text())
    program, *words = shlex.split(unit["Service"]["ExecStart"])
    assert program.endswith("/commonweight")
    check_command(words)
    assert unit["Service"]["NoNewPrivileges"] == "yes"


def test_compose_runs_the_node_and_opens_only_the_peer_to_peer_doors_to_the_world():
    compose = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    check_command(list(compose["services"]["node"]["command"]))
    for name, service in compose["services"].items():
        assert ":" in service["image"], f"{name}'s image is not pinned"
        for port in service["ports"]:
            assert port.startswith("127.0.0.1:") or (name == "node" and port.split(":")[0] in {"4101", "4102"}), port
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            if source.startswith("./") and source != "./node":
                assert (FOLDER / source).exists(), source
            elif not source.startswith("./"):
                assert source in compose["volumes"]


def test_the_image_copies_what_the_package_needs_and_starts_a_command_of_ours():
    text = (FOLDER / "Dockerfile").read_text()
    for source in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE):
        for name in source.split()[:-1]:
            assert (ROOT / name).exists(), name
    words = json.loads(re.search(r"^CMD (\[.+\])$", text, re.MULTILINE)[1])
    check_command(words)
    assert "USER commonweight" in text


def test_every_metric_of_the_board_exists():
    board = json.loads((FOLDER / "grafana" / "dashboards" / "node.json").read_text())
    used = {name for panel in board["panels"] for t in panel["targets"] for name in used_metrics(t["expr"])}
    assert used
    assert used <= metric_names(), used - metric_names()


def alerts():
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text())
    return [rule for group in rules["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_every_alert_uses_known_metrics_and_has_its_page_in_the_runbook(rule):
    assert used_metrics(rule["expr"]) <= metric_names()
    headings = {
        line[3:].lower() for line in (ROOT / "docs" / "runbook.md").read_text().splitlines() if line[:3] == "## "
    }
    assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"
    assert rule["alert"].lower() in headings
