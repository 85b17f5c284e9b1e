"""The ReleaseRegistry as a fold of its events: releases, benchmarks, votes for scores, rolled credits. Part of `node.protocol.state`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from node.protocol.governance import GovernorProposal
from node.protocol.members import InconsistentHistory, with_entry
from node.protocol.types import Address, ChainEvent
from node.protocol.vault import NOBODY

Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Release:
    """One published version of the model.

    Attributes:
        number: from 1.
        parent: release it is built on; 0: none.
        before: latest release before it that was not yanked, ``following`` the first after it; kept as they were for a yanked one.
        version: major, minor, patch.
        round: whose model it is; its owners' credits are those up to this round.
        model_hash: SHA-256 of the checkpoint.
        cid: of the checkpoint.
        notes_hash: SHA-256 of the release notes.
        notes_cid: of the release notes.
        scores: ppm by benchmark, in ascending order of names.
        credit_total: credits of all members from rounds up to its own.
        published_at: seconds.
        transaction: that published it.
        proposal: id of the proposal that was carried out by it; 0 where the timelock was made to act directly.
        proposer: of that proposal.
        is_yanked: taken back.
        yank_reason: SHA-256 of the published reason.
    """

    number: int
    parent: int
    before: int
    version: Version
    round: int
    model_hash: bytes
    cid: bytes
    notes_hash: bytes
    notes_cid: bytes
    scores: Mapping[bytes, int]
    credit_total: int
    published_at: int
    block: int
    transaction: bytes
    following: int = 0
    proposal: int = 0
    proposer: Address = NOBODY
    is_yanked: bool = False
    yank_reason: bytes = b""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark that releases are measured by; no longer, once it is not active."""

    name: bytes
    content_hash: bytes
    cid: bytes
    is_active: bool = True


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything of the ReleaseRegistry.

    Attributes:
        releases: by number.
        latest: number of the latest that is not yanked; 0: none.
        benchmarks: by name, retired ones too.
        active: names of the active benchmarks, in the contract's order.
        score_votes: slots of the attesters that voted for scores, by (round, hash of the scores).
        credit_totals: credits of all rounds up to a round, by round, as rolled.
    """

    releases: Mapping[int, Release] = field(default_factory=dict)
    latest: int = 0
    benchmarks: Mapping[bytes, Benchmark] = field(default_factory=dict)
    active: tuple[bytes, ...] = ()
    score_votes: Mapping[tuple[int, bytes], frozenset[int]] = field(default_factory=dict)
    credit_totals: Mapping[int, int] = field(default_factory=dict)

    @property
    def rolled_to(self) -> int:
        """Latest round whose credits are final and added up."""
        return len(self.credit_totals)

    def lineage(self, number: int) -> tuple[int, ...]:
        """A release and its ancestors, newest first."""
        line: list[int] = []
        while number in self.releases:
            line.append(number)
            number = self.releases[number].parent
        return tuple(line)


def _known(known: Catalogue, event: ChainEvent) -> Release:
    number = event.arguments["release"]
    if number not in known.releases:
        raise InconsistentHistory(f"{event.name} names release {number}, which was never published.")
    return known.releases[number]


def _score_attested(known: Catalogue, event: ChainEvent) -> Catalogue:
    a = event.arguments
    key = (a["round"], a["scoresHash"])
    voters = known.score_votes.get(key, frozenset())
    if a["slot"] in voters:
        raise InconsistentHistory(f"Slot {a['slot']} of round {a['round']} voted twice for the same scores.")
    return replace(known, score_votes=with_entry(known.score_votes, key, voters | {a["slot"]}))


def _rolled(known: Catalogue, event: ChainEvent) -> Catalogue:
    a = event.arguments
    if a["round"] != known.rolled_to + 1:
        raise InconsistentHistory(f"The credits of round {a['round']} were rolled after those of {known.rolled_to}.")
    return replace(known, credit_totals=with_entry(known.credit_totals, a["round"], a["creditTotal"]))


def _published(known: Catalogue, event: ChainEvent) -> Catalogue:
    a = event.arguments
    candidate, version, number = a["candidate"], a["candidate"]["version"], a["release"]
    parent = candidate["parent"]
    if (
        number != len(known.releases) + 1
        or (parent and parent not in known.releases)
        or candidate["round"] != a["round"]
    ):
        raise InconsistentHistory(f"Release {number} on {parent} came after {len(known.releases)} releases.")
    release = Release(
        number=number,
        parent=parent,
        before=parent,
        version=(version["major"], version["minor"], version["patch"]),
        round=candidate["round"],
        model_hash=candidate["modelHash"],
        cid=candidate["cid"],
        notes_hash=candidate["notesHash"],
        notes_cid=candidate["notesCid"],
        scores={score["benchmark"]: score["ppm"] for score in candidate["scores"]},
        credit_total=a["creditTotal"],
        published_at=event.timestamp,
        block=event.block,
        transaction=event.transaction,
    )
    releases = with_entry(known.releases, number, release)
    if parent:
        releases = with_entry(releases, parent, replace(releases[parent], following=number))
    return replace(known, releases=releases, latest=number)


def _yanked(known: Catalogue, event: ChainEvent) -> Catalogue:
    release = _known(known, event)
    if release.is_yanked:
        raise InconsistentHistory(f"Release {release.number} was yanked twice.")
    gone = replace(release, is_yanked=True, yank_reason=event.arguments["reasonHash"])
    releases, latest = with_entry(known.releases, release.number, gone), known.latest
    before, following = release.before, release.following
    if before:
        releases = with_entry(releases, before, replace(releases[before], following=following))
    if following:
        releases = with_entry(releases, following, replace(releases[following], before=before))
    else:
        latest = before
    return replace(known, releases=releases, latest=latest)


def _benchmark_added(known: Catalogue, event: ChainEvent) -> Catalogue:
    a = event.arguments
    if a["name"] in known.benchmarks:
        raise InconsistentHistory(f"The benchmark 0x{a['name'].hex()} was added twice.")
    benchmark = Benchmark(a["name"], a["contentHash"], a["cid"])
    added = with_entry(known.benchmarks, benchmark.name, benchmark)
    return replace(known, benchmarks=added, active=(*known.active, benchmark.name))


def _benchmark_retired(known: Catalogue, event: ChainEvent) -> Catalogue:
    name = event.arguments["name"]
    if name not in known.active:
        raise InconsistentHistory(f"The benchmark 0x{name.hex()} was retired, but was not active.")
    active = list(known.active)
    active[active.index(name)] = active[-1]  # the contract moves the last one into the gap
    retired = with_entry(known.benchmarks, name, replace(known.benchmarks[name], is_active=False))
    return replace(known, benchmarks=retired, active=tuple(active[:-1]))


def decided_by(known: Catalogue, transaction: bytes, proposal: GovernorProposal) -> Catalogue:
    """The catalogue once it is known which proposal a transaction carried out: its releases are that proposal's."""
    releases = known.releases
    for number in range(len(releases), 0, -1):
        if releases[number].transaction != transaction:
            break
        named = replace(releases[number], proposal=proposal.number, proposer=proposal.proposer)
        releases = with_entry(releases, number, named)
    return replace(known, releases=releases)


RELEASE_HANDLERS: Mapping[str, Callable[[Catalogue, ChainEvent], Catalogue]] = {
    "ScoresAttested": _score_attested,
    "CreditsRolled": _rolled,
    "ReleasePublished": _published,
    "ReleaseYanked": _yanked,
    "BenchmarkAdded": _benchmark_added,
    "BenchmarkRetired": _benchmark_retired,
}
"""Handlers of the ReleaseRegistry's events, by name."""
