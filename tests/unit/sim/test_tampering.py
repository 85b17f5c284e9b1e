"""Every way of falsifying a history is found by the full audit, and the history itself has no finding."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path

import pytest

from node.audit.models import ModelAuditor
from node.audit.report import AuditReport, audit
from node.sim.archive import Archive, FolderBlobs
from node.sim.community import toy_guideline
from node.sim.rules import audit_rules
from node.sim.tampering import KINDS, AlteredBlobs, AlteredChain, Served, honest


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return honest(Archive(8, FolderBlobs(tmp_path_factory.mktemp("files")), toy_guideline()))


def audited(archive: Archive, served: Served) -> AuditReport:
    rules = audit_rules(archive.ledger)
    blobs = AlteredBlobs(archive.blobs, served.files)
    models = ModelAuditor(blobs, archive.founding, rules.chain_id, rules.round_manager, tau=rules.scoring.tau)
    return asyncio.run(audit(AlteredChain(archive, served), rules, first_block=0, models=models))


def test_the_honest_history_has_no_finding(archive: Archive) -> None:
    report = audited(archive, Served(archive.events))
    assert report.findings == []
    assert report.checked["models re-aggregated"] == len(report.model_hashes) == 4
    assert report.checked["guidelines fetched"] >= 1  # amended by vote on the way: two rounds were aggregated by it
    assert report.checked["slashes"] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_every_tampering_is_found(archive: Archive, kind: str) -> None:
    served = KINDS[kind](archive)
    report = audited(archive, served)
    assert not report.ok
    first = report.differences[0]
    assert 0 < first.block <= archive.block
    assert first.transaction or kind == "contract that answers otherwise"


@pytest.mark.parametrize("kind", KINDS)
def test_every_tampering_tampers(archive: Archive, kind: str) -> None:
    served = KINDS[kind](archive)
    assert list(served.events) != archive.events or served.files or served.answers


def test_the_first_difference_lies_at_the_first_event_that_was_changed(archive: Archive) -> None:
    for kind in ("wrong median", "forged seed", "wrong voting weight", "wrong credit", "revenue overpaid"):
        served = KINDS[kind](archive)
        changed = next(b for a, b in zip(archive.events, served.events, strict=True) if a != b)
        first = audited(archive, served).differences[0]
        assert (first.block, first.transaction) == (changed.block, "0x" + changed.transaction.hex()), kind


def test_at_least_fifteen_kinds_and_the_committed_figures_know_them_all() -> None:
    assert len(KINDS) >= 15
    figures = json.loads((Path(__file__).parents[3] / "benchmarks/results/audit.json").read_text())
    assert set(figures["tampering"]) == set(KINDS)
    assert all(figures["tampering"].values())
    assert figures["honest_ok"]
    assert (figures["rounds"], figures["nodes"]) == (100, 8)
    assert figures["parameters"] >= 250_000


def test_a_served_history_is_a_value() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Served([]).events = []  # type: ignore[misc]
