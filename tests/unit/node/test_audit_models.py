"""The whole audit over files: bundles altered, models swapped, chains that answer otherwise; and the pages that say so."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aggregation.bundle import decode, encode
from incentives.scoring import MALFORMED
from node.audit.models import ModelAuditor
from node.audit.page import page
from node.audit.report import AuditReport, Scope, audit
from node.audit.round_models import is_plainly_within
from node.ports import ScoreJob
from node.protocol.cid import cid_from_digest, compute_cid, digest_from_cid
from node.protocol.guideline import Guideline
from node.protocol.types import Call, ChainEvent, Cid
from node.sim.archive import Archive, FolderBlobs
from node.sim.community import toy_guideline
from node.sim.rules import audit_rules
from node.sim.scripted import DEFAULT_GAIN, Script
from node.sim.scripted_chain import RecordedChain
from node.store import sha256

ROUNDS = 3


@dataclass
class World:
    """A community of five, three rounds old, and its files."""

    archive: Archive
    folder: Path
    guideline: Guideline

    @property
    def blobs(self) -> FolderBlobs:
        return FolderBlobs(self.folder)

    def event(self, name: str, nth: int = 0) -> ChainEvent:
        return [event for event in self.archive.events if event.name == name][nth]

    def cid(self, name: str, nth: int = 0) -> Cid:
        return cid_from_digest(self.event(name, nth).arguments["cid"])

    def path(self, name: str, nth: int = 0) -> Path:
        return self.folder / self.cid(name, nth)

    def audit(
        self,
        *,
        events: Sequence[ChainEvent] | None = None,
        chain: RecordedChain | None = None,
        scope: Scope | None = None,
        **settings: Any,
    ) -> AuditReport:
        rules = audit_rules(self.archive.ledger)
        models = ModelAuditor(
            self.blobs, self.guideline, rules.chain_id, rules.round_manager, tau=rules.scoring.tau, **settings
        )
        served = chain if chain is not None else RecordedChain(self.archive, events)
        return asyncio.run(audit(served, rules, first_block=0, models=models, scope=scope))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("files")
    guideline = toy_guideline()
    archive = Archive(5, FolderBlobs(folder), guideline)
    archive.play()
    archive.claim_all()
    archive.play(Script(fields={2: MALFORMED}))
    archive.claim_all()
    archive.play()
    archive.claim_all()
    return World(archive, folder, guideline)


@pytest.fixture
def world(made: World, tmp_path: Path) -> World:
    """A copy of the files, to damage."""
    copy = tmp_path / "files"
    shutil.copytree(made.folder, copy)
    return World(made.archive, copy, made.guideline)


def test_an_honest_history_has_no_finding_but_the_lie_about_a_form(made: World) -> None:
    report = made.audit(scope=Scope(at_once=1))
    (finding,) = report.findings
    assert "was found malformed, but it is well-formed" in finding  # the panel of round 2 lied, and the file shows it
    assert report.checked["models re-aggregated"] == report.checked["model CIDs"] == ROUNDS
    assert report.checked["files fetched"] == 5 + 4 + 5 + ROUNDS + 1  # updates, slices, the genesis
    assert report.checked["views of the contracts"] > 200
    assert [row.is_derived for row in report.rounds] == [True] * ROUNDS
    assert list(report.model_hashes) == [1, 2, 3]
    assert all(row.findings == (row.number == 2) for row in report.rounds)


def says(report: AuditReport) -> str:
    return "\n".join(report.findings)


def test_an_altered_bundle_is_found(world: World) -> None:
    path = world.path("UpdateRevealed")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    assert "could not be had" in says(world.audit())


def test_a_bundle_that_is_gone_is_found(world: World) -> None:
    world.path("UpdateRevealed", 6).unlink()
    report = world.audit()
    assert "of round 2 could not be had" in says(report) or "in round 2 could not be had" in says(report)
    assert 2 not in report.model_hashes
    assert report.model_hashes.keys() == {1, 3}


def tampered(world: World, name: str, nth: int = 0, **changes: Callable[[Any], Any]) -> list[ChainEvent]:
    target = world.event(name, nth)
    values = {key: change(target.arguments[key]) for key, change in changes.items()}
    other = replace(target, arguments={**target.arguments, **values})
    return [other if event is target else event for event in world.archive.events]


def test_another_content_hash_is_found(world: World) -> None:
    events = tampered(world, "UpdateRevealed", contentHash=lambda h: bytes([h[0] ^ 1, *h[1:]]))
    assert "does not have the content hash recorded on chain" in says(world.audit(events=events))


def test_a_wrong_cid_is_found(world: World) -> None:
    other = world.event("UpdateRevealed", 1).arguments["cid"]
    report = world.audit(events=tampered(world, "UpdateRevealed", cid=lambda _: other))
    assert "does not have the content hash recorded on chain" in says(report)


def test_a_wrong_cid_of_the_model_is_found(world: World) -> None:
    other = world.event("UpdateRevealed").arguments["cid"]
    events = tampered(world, "AggregateProposed", 2, cid=lambda _: other)
    assert "lies under another CID" in says(world.audit(events=events, scope=Scope(with_storage=False)))


def test_an_update_replaced_with_its_hashes_is_found_in_the_model(world: World) -> None:
    """Bytes, hash and CID agree with one another, but the model was made of others, and the commitment opens to others."""
    data = decode(world.path("UpdateRevealed").read_bytes(), max_bytes=1 << 20)
    forged = encode({name: tensor + np.float32(0.01) for name, tensor in data.items()})
    world.blobs.keep(forged)
    digest, cid = sha256(forged), digest_from_cid(compute_cid(forged))
    events = tampered(world, "UpdateRevealed", contentHash=lambda _: digest, cid=lambda _: cid)
    opened = world.audit(events=events, scope=Scope(with_storage=False)).differences[0]
    assert "UpdateRevealed does not open what was committed" in opened.what
    assert opened.block == world.event("UpdateRevealed").block
    report = world.audit(events=events, scope=Scope(with_storage=False, with_openings=False))
    assert "when aggregated again" in says(report)
    assert not report.rounds[0].is_derived
    end = world.event("RoundFinalized")
    first = report.differences[0]
    assert (first.block, first.transaction) == (end.block, "0x" + end.transaction.hex())


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("UpdateRevealed", {"samples": lambda samples: samples + 1}),
        ("BenchmarkRevealed", {"contentHash": lambda digest: digest[::-1]}),
        ("ScoresRevealed", {"word": lambda word: word ^ 1 << 15}),
        ("UpdateCommitted", {"commitment": lambda commitment: commitment[::-1]}),
        ("ScoresCommitted", {"commitment": lambda commitment: commitment[::-1]}),
    ],
)
def test_what_does_not_open_a_commitment_is_found(world: World, name: str, changes: dict[str, Any]) -> None:
    report = world.audit(events=tampered(world, name, **changes), scope=Scope(with_storage=False))
    assert "does not open what was committed" in says(report)


def test_openings_are_counted_and_can_be_left_out(made: World) -> None:
    assert made.audit().checked["openings"] == ROUNDS * (5 + 1 + 5)
    assert "openings" not in made.audit(scope=Scope(with_openings=False)).checked


def test_a_wrong_aggregate_is_found_though_all_attested_it(world: World) -> None:
    """Everybody signs and publishes the same wrong model: only the aggregation itself shows it."""

    class Wrong(Archive):
        def _combined(self, number: int) -> tuple[bytes, bytes, bytes]:
            super()._combined(number)
            self._next = encode(
                {name: tensor + np.float32(1) for name, tensor in decode(self._next, max_bytes=1 << 20).items()}
            )
            from node.protocol.commitments import aggregate_secret

            cid = digest_from_cid(self.blobs.keep(self._next))
            return aggregate_secret(self._scope(number), self._next), sha256(self._next), cid

    archive = Wrong(5, world.blobs, world.guideline)
    archive.play()
    report = World(archive, world.folder, world.guideline).audit()
    assert len(report.findings) == 1
    assert "when aggregated again" in report.findings[0]


def test_an_oversized_norm_that_was_accepted_is_found(world: World) -> None:
    class Loud(Archive):
        def update(self, place: int) -> bytes:
            data = super().update(place)
            loud = {name: tensor + np.float32(100) for name, tensor in decode(data, max_bytes=1 << 20).items()}
            return encode(loud) if place == 1 else data

    archive = Loud(5, world.blobs, world.guideline)
    archive.play()
    assert "was accepted but is malformed" in says(World(archive, world.folder, world.guideline).audit())


class Scorer:
    """A trainer that gives every update the gain that all verifiers saw, or another."""

    def __init__(self, gain: int) -> None:
        self.gain = gain
        self.jobs: list[ScoreJob] = []

    async def prepare(self) -> None: ...

    async def follow(self, learning: Mapping[str, Any], max_bytes: int) -> None: ...

    async def train(self, job: Any) -> Any: ...

    async def evaluate(self, checkpoint: bytes, benchmark: bytes) -> Mapping[str, float]:
        return {}

    async def score(self, job: ScoreJob) -> Sequence[int]:
        self.jobs.append(job)
        return [self.gain] * len(job.updates)


def test_scores_that_nobody_else_gets_are_found(made: World) -> None:
    wrong = Scorer(-9_000)
    report = made.audit(trainer=wrong, rescore=2, scope=Scope(at_once=1))
    assert says(report).count("when scored again") == 2 * ROUNDS
    assert report.checked["gains scored again"] == 2 * ROUNDS
    assert [row.rescored for row in report.rounds] == [2] * ROUNDS
    assert [len(job.updates) for job in wrong.jobs] == [2] * ROUNDS
    assert wrong.jobs[0].last_aggregate is None
    assert all(job.last_aggregate is not None for job in wrong.jobs[1:])


def test_all_scores_can_be_given_again_and_the_sample_is_anybodys(made: World) -> None:
    assert made.audit(trainer=Scorer(0), rescore=None).checked["gains scored again"] == 5 + 4 + 5
    first, second = (_picked(made, seed) for seed in (1, 2))
    assert first == _picked(made, 1) != second


def _picked(made: World, seed: int) -> list[bytes]:
    scorer = Scorer(DEFAULT_GAIN)
    made.audit(trainer=scorer, rescore=1, seed=seed)
    return [sha256(job.updates[0]) for job in sorted(scorer.jobs, key=lambda job: job.round)]


class LyingChain(RecordedChain):
    """An endpoint whose contracts answer otherwise than its events add up to."""

    async def read(self, call: Call) -> Any:
        answer = await super().read(call)
        return answer + 1 if call.function == "totalSupply" else answer


def test_a_contract_that_answers_otherwise_is_found(made: World) -> None:
    report = made.audit(chain=LyingChain(made.archive))
    assert "ContributionToken.totalSupply() answers" in says(report)
    assert report.differences[-1].transaction == ""


def test_what_happens_while_the_audit_runs_is_read_too(made: World) -> None:
    """The head moves between events and views: the rest is read, nothing is found."""

    class Growing(RecordedChain):
        heads = 0

        async def head(self) -> Any:
            head = await super().head()
            self.heads += 1
            return replace(head, number=made.event("RoundFinalized", 2).block - 1) if self.heads == 1 else head

    chain = Growing(made.archive)
    report = made.audit(chain=chain)
    assert chain.heads == 3
    assert len(report.findings) == 1
    assert report.state.events == len(made.archive.events)


def test_a_history_that_breaks_off_says_where_and_asks_nothing_more(made: World) -> None:
    events = [event for event in made.archive.events if event.name != "RoundOpened"]
    report = made.audit(events=events)
    assert "cannot follow the history" in report.findings[-1]
    assert "views of the contracts" not in report.checked


def test_a_sum_of_squares_near_the_bound_is_left_to_the_exact_check() -> None:
    unit = {"a": np.array([3.0, 4.0], np.float32)}
    assert is_plainly_within(unit, 5.1)
    assert not is_plainly_within(unit, 5.0)
    assert not is_plainly_within({"a": np.array([np.nan], np.float32)}, 5.0)
    assert not is_plainly_within({"a": np.array([np.inf], np.float32)}, 5.0)


class Shape(HTMLParser):
    """Open tags, and every attribute that could load something."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[tuple[str, str]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "br"}:
            self.open.append(tag)
        self.loads += [
            (tag, name) for name, _ in attrs if name in {"src", "href", "action", "onclick", "onload", "style"}
        ]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_is_whole_and_loads_nothing(world: World) -> None:
    for events in (None, tampered(world, "UpdateSettled", gain=lambda gain: gain + 1)):
        report = world.audit(events=events, scope=Scope(with_storage=False))
        parsed = Shape()
        parsed.feed(page(report))
        assert parsed.open == []
        assert parsed.loads == []
        assert "script" not in page(report)
        assert report.differences[0].transaction in "".join(parsed.text)


def test_the_page_escapes_what_it_shows(made: World) -> None:
    report = made.audit()
    nasty = replace(report.differences[0], what="<script>alert(1)</script>")
    report.differences = [nasty]
    assert "<script>" not in page(report)
    assert "&lt;script&gt;" in page(report)


def test_json_names_the_first_difference(world: World) -> None:
    report = world.audit(events=tampered(world, "UpdateSettled", gain=lambda gain: gain + 1))
    value = report.to_json()
    settled = world.event("UpdateSettled")
    assert value["first_difference"]["block"] == settled.block
    assert value["first_difference"]["transaction"] == "0x" + settled.transaction.hex()
    assert not value["ok"]
