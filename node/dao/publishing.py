"""From a finalised round to a published release: measure, attest, settle the round's claims, propose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from incentives.ownership import BEST_SCORE
from node.dao import files as content
from node.dao import releases
from node.dao.acts import propose
from node.dao.calls import Action, cwt, to_name
from node.dao.desk import Desk, receipt_row
from node.dao.files import BENCHMARK_BYTES, Files
from node.dao.measure import Measure
from node.dao.proposal import Proposal, add_benchmark
from node.dao.releases import Addition, Candidate, Line, gate, require_gate, version_of
from node.protocol.cid import cid_from_digest, compute_cid
from node.protocol.errors import ConfigError
from node.protocol.guideline import Guideline
from node.protocol.releases import Catalogue, Version
from node.protocol.types import Phase
from node.store import sha256


async def finalised(desk: Desk, number: int) -> dict[str, Any]:
    """A finalised round as the chain holds it.

    Raises:
        ConfigError: it is not finalised.
    """
    found: dict[str, Any] = await desk.read("RoundManager", "roundOf", number)
    if found["phase"] != Phase.FINALIZED:
        phase = Phase(found["phase"]).name.lower()
        raise ConfigError(f"Round {number} is {phase}.", hint="A release needs a finalised round (`round list`).")
    return found


async def last_finalised(desk: Desk) -> int:
    """The newest finalised round.

    Raises:
        ConfigError: there is none.
    """
    rounds = (await desk.state()).rounds
    numbers = [number for number, found in rounds.items() if found.phase is Phase.FINALIZED]
    if not numbers:
        raise ConfigError("No round is finalised yet.", hint="`commonweight round list` shows them.")
    return max(numbers)


# --- measuring --------------------------------------------------------------------------------------------------------


async def make_candidate(
    desk: Desk, files: Files, measure: Measure, number: int, added: Mapping[str, bytes] | None = None
) -> Candidate:
    """Measure the model of a finalised round on every active benchmark, and on those that the proposal shall add.

    Args:
        desk: the community.
        files: where model and benchmarks come from.
        measure: gives the scores.
        number: round.
        added: rows of benchmarks to add, by name.

    Raises:
        ConfigError: the round is not finalised, or a benchmark to add exists already.
        BlobUnavailable: model or benchmark could not be had.
    """
    found, catalogue = await finalised(desk, number), (await desk.state()).catalogue
    rows = await benchmark_rows(files, releases.active(catalogue))
    for name in added or {}:
        if to_name(name) in catalogue.benchmarks:
            raise ConfigError(f"The benchmark {name} exists already.", hint="A name is used once; choose another.")
    new = tuple(Addition(name, sha256(data), compute_cid(data)) for name, data in sorted((added or {}).items()))
    guideline = await content.guideline_of(desk, files, found["epoch"])
    cid = cid_from_digest(found["cid"])
    model = await content.checkpoint(desk, files, found["modelHash"], cid, guideline.update.max_bytes)
    scores = await measure(model, {**rows, **(added or {})})
    return Candidate(number, found["modelHash"], cid, scores, new)


async def benchmark_rows(files: Files, benchmarks: Sequence[Addition]) -> dict[str, bytes]:
    """Rows of benchmarks by name, with the hashes that the chain names."""
    rows = {}
    for one in benchmarks:
        rows[one.name] = await content.fetch(files, one.cid, one.content_hash, max_bytes=BENCHMARK_BYTES)
    return rows


async def table(desk: Desk, candidate: Candidate, guideline: Guideline) -> list[Line]:
    """The candidate against its parent: what the contract will refuse, and what the guideline of its round allows beyond that."""
    regression = await desk.read("ReleaseRegistry", "maxRegression")
    return gate(candidate, (await desk.state()).catalogue, min(regression, allowed_regression(guideline)))


def allowed_regression(guideline: Guideline) -> int:
    """How far the guideline lets a score fall, ppm; where it does not say, as far as the contract does."""
    allowed = guideline.documents["versioning"].get("allowed_regression")
    return BEST_SCORE if allowed is None else round(allowed * BEST_SCORE)


async def readiness(desk: Desk, candidate: Candidate) -> dict[str, Any]:
    """What is there and what is missing for a release: votes for the scores, claims, credits."""
    scores_hash = candidate.scores_hash(desk.manifest.chain_id, desk.manifest.contracts["ReleaseRegistry"])
    votes, needed = await desk.read("ReleaseRegistry", "votesOf", candidate.round, scores_hash)
    rolled = await desk.read("ReleaseRegistry", "rolledTo")
    return {
        "scores_hash": "0x" + scores_hash.hex(),
        "votes": votes,
        "votes_needed": needed,
        "claims_missing": {
            str(number): indices for number, indices in (await unclaimed(desk, candidate.round)).items()
        },
        "credits_rolled": rolled >= candidate.round,
    }


# --- attesting --------------------------------------------------------------------------------------------------------


async def attest(desk: Desk, files: Files, measure: Measure, candidate: Candidate, *, tolerance: int) -> dict[str, Any]:
    """Measure a candidate ourselves and vote for its scores where they are ours, within ``tolerance`` ppm each.

    The contract counts votes for exactly equal scores, and processors differ in the last bits of a model's arithmetic; so attesters
    vote for the numbers of whoever measured first, if these are what they find themselves.

    Raises:
        ConfigError: a score differs by more, the model is not the round's, a benchmark is not measured, or we are no correct attester.
    """
    found, state = await finalised(desk, candidate.round), await desk.state()
    if (candidate.model_hash, candidate.cid) != (found["modelHash"], cid_from_digest(found["cid"])):
        raise ConfigError(f"The candidate's model is not that of round {candidate.round}.")
    slots = await _our_slots(desk, candidate.round)
    benchmarks = {one.name: one for one in (*releases.active(state.catalogue), *candidate.added)}
    if missing := sorted(set(benchmarks) - set(candidate.scores)):
        raise ConfigError(
            f"The candidate has no score of {missing[0]}.", hint="Every active benchmark must be measured."
        )
    if foreign := sorted(set(candidate.scores) - set(benchmarks)):
        raise ConfigError(f"The candidate has a score of {foreign[0]}, which is no active benchmark.")
    rows = await benchmark_rows(files, [benchmarks[name] for name in sorted(candidate.scores)])
    guideline = await content.guideline_of(desk, files, found["epoch"])
    model = await content.checkpoint(desk, files, candidate.model_hash, candidate.cid, guideline.update.max_bytes)
    ours = await measure(model, rows)
    for name, score in candidate.scores.items():
        if abs(ours[name] - score) > tolerance:
            raise ConfigError(
                f"We find {ours[name] / 1e6:.6f} on {name}, the candidate says {score / 1e6:.6f}.",
                why=f"That is further apart than the tolerance of {tolerance} ppm.",
                hint="Do not vote for it. If the difference is your machine's arithmetic, raise --tolerance.",
            )
    scores_hash = candidate.scores_hash(desk.manifest.chain_id, desk.manifest.contracts["ReleaseRegistry"])
    answer: dict[str, Any] = {"ours": ours, "scores_hash": "0x" + scores_hash.hex()}
    voters = await desk.read("ReleaseRegistry", "votersOf", candidate.round, scores_hash)
    for slot in slots:
        if not voters >> slot & 1:
            receipt = await desk.send("ReleaseRegistry", "attestScores", candidate.round, slot, scores_hash)
            answer |= receipt_row(receipt)
    votes, needed = await desk.read("ReleaseRegistry", "votesOf", candidate.round, scores_hash)
    return answer | {"votes": votes, "votes_needed": needed}


async def _our_slots(desk: Desk, number: int) -> list[int]:
    attestations = (await desk.state()).rounds[number].attestations
    slots = [slot for slot, (attester, _) in attestations.items() if attester == desk.me]
    correct = [slot for slot in slots if (await desk.read("RoundManager", "attestationOf", number, slot))[2]]
    if not correct:
        raise ConfigError(
            f"{desk.me} is no correct attester of round {number}.",
            why="Only those whose attestation opened to the round's model vote for its scores.",
        )
    return correct


# --- settling claims --------------------------------------------------------------------------------------------------


async def unclaimed(desk: Desk, number: int) -> dict[int, list[int]]:
    """Indices whose claims are missing, by round, in the finalised rounds up to ``number`` that are not added up yet.

    Also owners whose update was forfeited: their claim pays nothing, but the credits are not final without it.
    """
    state = await desk.state()
    found: dict[int, list[int]] = {}
    for one, round_ in state.rounds.items():
        if state.catalogue.rolled_to < one <= number and round_.phase is Phase.FINALIZED:
            found[one] = sorted({reveal.index for reveal in round_.reveals} - round_.claimed)
    return {one: indices for one, indices in found.items() if indices}


async def settle(desk: Desk, number: int) -> dict[str, Any]:
    """Claim for everybody who has not, and add up the credits, up to a finalised round. Anybody may; the rewards go to their owners.

    Raises:
        ConfigError: the round is not finalised.
    """
    await finalised(desk, number)
    claims = 0
    for one, indices in (await unclaimed(desk, number)).items():
        for index in indices:
            if not await desk.read("RewardDistributor", "isClaimed", one, index):
                await desk.send("RewardDistributor", "claim", one, index)
                claims += 1
    if await desk.read("ReleaseRegistry", "rolledTo") < number:
        await desk.send("ReleaseRegistry", "rollCredits", number)
    total = await desk.read("ReleaseRegistry", "creditTotalAt", number)
    return {"claims_made": claims, "credits_up_to": number, "credit_total": str(total), "credits": cwt(total)}


# --- proposing --------------------------------------------------------------------------------------------------------


async def propose_release(
    desk: Desk, files: Files, candidate: Candidate, version: Version, text: str, *, force: bool, send: bool
) -> dict[str, Any]:
    """Publish the notes (``text`` and the benchmark table) and propose the release; benchmarks that it adds go first.

    The gate is checked before: what the contract would refuse, or the guideline forbids, is not proposed.

    Raises:
        ConfigError: a benchmark fell too far, or something else would fail when the proposal is executed.
    """
    epoch = (await finalised(desk, candidate.round))["epoch"]
    guideline = await content.guideline_of(desk, files, epoch)
    lines, catalogue = await table(desk, candidate, guideline), (await desk.state()).catalogue
    if not force:
        require_gate(lines)
    notes = draft_notes(candidate, lines, catalogue, guideline, text)
    data = notes.encode()
    notes_cid = await files.publish(data) if send else compute_cid(data)
    struct = candidate.struct(catalogue.latest, version, (sha256(data), notes_cid))
    actions = [add_benchmark(one.name, one.content_hash, one.cid) for one in candidate.added]
    actions.append(Action("ReleaseRegistry", "publish", (struct,)))
    title = f"Release {'.'.join(map(str, version))}: the model of round {candidate.round}"
    proposal = Proposal(tuple(actions), f"{title}\n\n{notes}", desk.me)
    return {"version": ".".join(map(str, version)), **await propose(desk, proposal, force=force, send=send)}


def draft_notes(
    candidate: Candidate, lines: Sequence[Line], catalogue: Catalogue, guideline: Guideline, text: str
) -> str:
    """Release notes: what somebody wrote, and the benchmark table against the parent."""
    metric = guideline.documents["versioning"].get("metric", "score")
    rows = [
        f"| {line.benchmark} | {_shown(line.parent)} | {_shown(line.score)} | {_shown(line.change, signed=True)} | {line.verdict} |"
        for line in lines
    ]
    parent = catalogue.releases.get(catalogue.latest)
    against = f"release {version_of(parent)}" if parent else "no earlier release"
    return "\n".join(
        [
            *([text.strip(), ""] if text.strip() else []),
            f"Model of round {candidate.round}, SHA-256 {candidate.model_hash.hex()}, compared with {against}.",
            "",
            f"| benchmark ({metric}) | before | now | change | |",
            "|---|---:|---:|---:|---|",
            *rows,
            "",
        ]
    )


def _shown(ppm: int | None, *, signed: bool = False) -> str:
    return "–" if ppm is None else f"{ppm / 1e6:+.4f}" if signed else f"{ppm / 1e6:.4f}"
