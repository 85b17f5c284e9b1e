"""The committee's side of `commonweight join`: look at an application, measure it, vote on it, object, admit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from node.combine import require_guideline
from node.config import Config
from node.dao.desk import Desk, receipt_row
from node.dao.files import BENCHMARK_BYTES, Files, checkpoint, fetch, guideline_of
from node.dao.measure import metric_name
from node.membership.checks import failed
from node.membership.deeds import Applicant, community_of, current_model
from node.membership.judge import Judge, model_cid
from node.membership.measure import Gain, gains
from node.membership.review import MAX_REASON, VERSION, Measured, Review, parse, shortened
from node.protocol.cid import cid_from_digest
from node.protocol.errors import BlobError, ConfigError, RemoteProtocolError
from node.protocol.guideline import Guideline
from node.protocol.state import Application, State
from node.protocol.types import Cid, MemberStatus
from node.records import to_plain
from node.runtime import open_trainer, read_file
from node.store import write_atomic

PUBLIC = "public benchmark"
FOLDER = "join"
SEEN = "seen-{}.json"


async def guideline_in_force(desk: Desk, files: Files, state: State) -> Guideline:
    """The guideline of the newest epoch: our own file where it is that one, else by CID."""
    guideline = await guideline_of(desk, files, len(state.guidelines.epochs))
    require_guideline(guideline)
    return guideline


def application_of(state: State, number: int) -> Application:
    """An application by number.

    Raises:
        ConfigError: nobody made it.
    """
    if number not in state.applications:
        made = max(state.applications, default=0)
        raise ConfigError(
            f"There is no application {number}.", hint=f"`commonweight join list`; {made} were made so far."
        )
    return state.applications[number]


def open_judge(desk: Desk, files: Files, state: State, guideline: Guideline) -> Judge:
    """Checks as the automatic committee makes them; what nobody serves now counts against the applicant."""

    async def get(cid: Cid, max_bytes: int) -> bytes:
        return await files.get(cid, max_bytes=max_bytes)

    async def model(digest: bytes, cid: bytes) -> bytes:
        return await checkpoint(desk, files, digest, cid_from_digest(cid), guideline.update.max_bytes)

    here = Applicant(registry=desk.manifest.contracts["MemberRegistry"])
    community = community_of(state, desk.manifest.chain_id, guideline, here)
    return Judge(state, community, get, model, is_final=True)


# --- looking ----------------------------------------------------------------------------------------------------------


async def show(desk: Desk, files: Files, number: int, *, measure: bool) -> dict[str, Any]:
    """Fetch, check and (with ``measure``) measure an application; keeps what was found for our review.

    Raises:
        ConfigError: there is no such application.
        BlobStoreDown: our own IPFS store is down.
    """
    state = await desk.state()
    application = application_of(state, number)
    guideline = await guideline_in_force(desk, files, state)
    judge = open_judge(desk, files, state, guideline)
    checks = await judge.all_checks(application)
    measured = await _measure(desk, files, judge, guideline) if measure and not failed(checks) else []
    metric = metric_name(guideline)
    answer = {
        "application": number,
        "applicant": application.applicant,
        "standing": _standing(state, application),
        "request_hash": "0x" + application.request_hash.hex(),
        "request_cid": cid_from_digest(application.request_cid),
        "admit_at": application.admit_at or None,
        "request": None if judge.request is None else to_plain(judge.request)["body"],
        "checks": [asdict(check) for check in checks],
        "failed": failed(checks),
        "metric": metric,
        "measured": [_gain_row(gain, metric) for gain in measured],
        "has_sample": judge.update is not None,
        "reviews": await _reviews(desk, files, number),
    }
    kept = {key: answer[key] for key in ("request_hash", "failed", "metric", "measured")}
    write_atomic(_seen(desk.config, number), json.dumps(kept, indent=1).encode())
    return answer


def _standing(state: State, application: Application) -> str:
    member = state.member(application.applicant)
    if member.application != application.number:
        return "CLOSED"
    return "REFUSED" if member.status is MemberStatus.NONE else member.status.name


def _seen(config: Config, number: int) -> Path:
    return config.node.data / FOLDER / SEEN.format(number)


async def _measure(desk: Desk, files: Files, judge: Judge, guideline: Guideline) -> Sequence[Gain]:
    """The model with and without the sample update; without one, the newest model alone on the offered test sets."""
    parent = judge.parent
    if parent is None:
        current = current_model(judge.state)
        if current is None:
            return []
        cid = model_cid(judge.state, current[0])
        assert cid is not None, "it is a model of the community"
        parent = await judge.model(current[0], cid)
    config = desk.config
    benchmarks = {PUBLIC: read_file(config.network.public_benchmark, "public benchmark", "It comes with the network.")}
    for name in judge.state.catalogue.active:
        known = judge.state.catalogue.benchmarks[name]
        shown = name.rstrip(b"\0").decode("utf-8", "replace")
        rows = await fetch(files, cid_from_digest(known.cid), known.content_hash, max_bytes=BENCHMARK_BYTES)
        if rows not in benchmarks.values():
            benchmarks[f"benchmark {shown}"] = rows
    benchmarks |= {f"test set {name}": rows for name, rows in judge.test_sets.items()}
    async with AsyncExitStack() as stack:
        trainer = open_trainer(config, guideline, stack)
        return await gains(trainer, parent, judge.update, benchmarks, guideline)


def _gain_row(gain: Gain, metric: str) -> dict[str, Any]:
    if gain.error:
        return {"benchmark": gain.benchmark, "error": gain.error}
    return {
        "benchmark": gain.benchmark,
        "before": gain.before[metric],
        "after": gain.after[metric],
        "change": gain.change(metric),
        "loss_before": gain.before.get("loss"),
        "loss_after": gain.after.get("loss"),
    }


async def _reviews(desk: Desk, files: Files, number: int) -> list[dict[str, Any]]:
    """All votes and vetoes with their published reasons, in order."""
    rows = []
    for event in await desk.events():
        a = event.arguments
        if event.name not in ("Reviewed", "Vetoed") or a["application"] != number:
            continue
        row = {
            "reviewer": a["reviewer"],
            "kind": "review" if event.name == "Reviewed" else "veto",
            "approve": bool(a.get("approve", False)),
            "transaction": "0x" + event.transaction.hex(),
        }
        rows.append(row | await _reason(files, a["reasonHash"], a["reviewer"], number))
    return rows


async def _reason(files: Files, reason_hash: bytes, reviewer: str, number: int) -> dict[str, Any]:
    if reason_hash == bytes(32):
        return {"reason": None, "why_not": "none was given"}
    try:
        review = parse(await files.get(cid_from_digest(reason_hash), max_bytes=64 * 1024))
    except (BlobError, RemoteProtocolError) as error:
        return {"reason": None, "why_not": error.what}
    if (review.reviewer, review.application) != (reviewer, number):
        return {"reason": None, "why_not": "the published review is of somebody or something else"}
    return {
        "reason": review.reason,
        "failed": list(review.failed),
        "measured": [asdict(one) for one in review.measured],
    }


# --- voting -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Vote:
    """A reviewer's decision on an application."""

    number: int
    approve: bool
    reason: str
    force: bool = False


async def review(desk: Desk, files: Files, vote: Vote) -> dict[str, Any]:
    """Publish why, and vote.

    Raises:
        ConfigError: no reason, an approval of what was not looked at or failed checks, or the application is closed.
        TransactionReverted: no seat, or voted already.
    """
    state = await desk.state()
    application = application_of(state, vote.number)
    if vote.approve and not vote.force:
        _require_fit(vote.number, _what_was_seen(desk.config, application))
    return await _send_review(desk, files, application, vote, "review")


def _require_fit(number: int, seen: Mapping[str, Any] | None) -> None:
    if seen is None:
        raise ConfigError(
            f"Application {number} was not looked at from this node.",
            hint=f"`commonweight join show {number}` checks and measures it first; --force approves it unseen.",
        )
    if seen["failed"]:
        raise ConfigError(
            f"Application {number} failed a check: {seen['failed'][0]}.",
            hint="Reject it, or --force the approval and say why in --reason.",
        )


async def veto(desk: Desk, files: Files, number: int, reason: str) -> dict[str, Any]:
    """Publish why, and object to an approved application within its window.

    Raises:
        ConfigError: no reason.
        TransactionReverted: no seat, objected already, or the window is over.
    """
    application = application_of(await desk.state(), number)
    return await _send_review(desk, files, application, Vote(number, False, reason), "veto")


def _what_was_seen(config: Config, application: Application) -> Mapping[str, Any] | None:
    try:
        seen: Mapping[str, Any] = json.loads(_seen(config, application.number).read_bytes())
    except (OSError, ValueError):
        return None
    return seen if seen.get("request_hash") == "0x" + application.request_hash.hex() else None


async def _send_review(desk: Desk, files: Files, application: Application, vote: Vote, kind: str) -> dict[str, Any]:
    seen = _what_was_seen(desk.config, application)
    reason = " ".join(vote.reason.split())
    if not reason or len(reason) > MAX_REASON or not reason.isprintable():
        raise ConfigError(f"A {kind} needs a reason of 1 to {MAX_REASON} printable characters.", hint="--reason TEXT")
    written = Review(
        version=VERSION,
        application=application.number,
        request_hash=application.request_hash,
        reviewer=desk.me,
        kind=kind,
        approve="yes" if vote.approve else "no",
        reason=reason,
        failed=shortened(seen["failed"]) if seen else (),
        measured=_measured(seen) if seen else (),
    )
    arguments: tuple[Any, ...] = (application.number, written.reason_hash)
    if kind == "review":
        arguments = (application.number, vote.approve, written.reason_hash)
    cid = await files.publish(written.encode())
    receipt = await desk.send("MemberRegistry", kind, *arguments)
    state = await desk.state()
    return {"reason_cid": cid, "standing": _standing(state, application), **receipt_row(receipt)}


def _measured(seen: Mapping[str, Any]) -> tuple[Measured, ...]:
    return tuple(
        Measured(row["benchmark"], seen["metric"], f"{row['before']:.6f}", f"{row['after']:.6f}")
        for row in seen["measured"]
        if "error" not in row
    )


async def admit(desk: Desk, number: int) -> dict[str, Any]:
    """Admit an approved applicant whose veto window is over; anybody may.

    Raises:
        ConfigError: it is not on probation, or its window is not over.
    """
    state = await desk.state()
    application = application_of(state, number)
    standing, now = _standing(state, application), await desk.now()
    if standing != MemberStatus.PROBATION.name:
        raise ConfigError(
            f"Application {number} is not on probation: {standing.lower()}.", hint="`join show` says more."
        )
    if now < application.admit_at:
        raise ConfigError(
            f"The veto window of application {number} ends in {application.admit_at - now} s.",
            hint="Any keeper admits it then by itself.",
        )
    receipt = await desk.send("MemberRegistry", "admit", number)
    return {"standing": _standing(await desk.state(), application), **receipt_row(receipt)}
