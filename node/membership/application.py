"""The newcomer's side of `commonweight join`: make the request, sign it, publish it, send it; leave again.

Everything is kept in ``data/join/`` as it is made, so a command that was interrupted goes on where it stopped::

    draft.json            the body, before it is signed; hardware and data statement may be edited (--draft)
    update.safetensors    sample update    test-set-<name>.jsonl    offered test sets
    request.json          signed           sent.json                the transaction
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aggregation.bundle import decode
from node.combine import encode_update, trainable_schema
from node.dao.desk import Desk, receipt_row
from node.dao.files import Files, checkpoint
from node.membership import signature, survey
from node.membership.checks import Check, Community, check_request, check_test_set, failed
from node.membership.deeds import Applicant, community_of, current_model, describe_update
from node.membership.office import FOLDER, guideline_in_force
from node.membership.request import VERSION, Body, Identity, OfferedSet, Request, SampleUpdate, parse, parse_body
from node.membership.shelf import own_peer_id
from node.membership.terms import Terms
from node.ports import Trainer, TrainJob
from node.protocol.cid import cid_from_digest, compute_cid, digest_from_cid
from node.protocol.errors import ConfigError, RemoteProtocolError
from node.protocol.guideline import Guideline
from node.protocol.state import Application, State
from node.protocol.types import MemberStatus
from node.records import to_plain
from node.runtime import load_signer, measure_data, open_trainer, read_file
from node.store import sha256, write_atomic

WAIT_PAUSE = 1.0


@dataclass(frozen=True, slots=True)
class Options:
    """How to apply.

    Attributes:
        test_sets: JSONL files to offer; a file's stem is the benchmark's name.
        about: what they test, in words.
        note: remark on the data.
        hardware_note: remark on the hardware.
        draft: an edited draft whose hardware and data statement are taken instead of what is found.
        dry_run: make and check everything, send nothing.
        fresh: begin anew instead of going on with what lies in ``data/join``.
        wait: seconds to stay and serve the files until the application is decided.
    """

    test_sets: tuple[Path, ...] = ()
    about: str = ""
    note: str = ""
    hardware_note: str = ""
    draft: Path | None = None
    dry_run: bool = False
    fresh: bool = False
    wait: int = 0


@dataclass(slots=True)
class _Made:
    """A request and the files it names."""

    request: Request
    data: bytes
    files: list[bytes] = field(default_factory=list)


async def apply_to_join(desk: Desk, files: Files, options: Options) -> dict[str, Any]:
    """Make, check, publish and send our request; an unfinished one is gone on with.

    Raises:
        ConfigError: we are a member, banned, or under review with another request; or the request would be refused.
    """
    state = await desk.state()
    standing = state.member(desk.me).status
    if standing not in (MemberStatus.NONE, MemberStatus.APPLIED, MemberStatus.PROBATION):
        raise ConfigError(f"{desk.me} cannot apply: it is {standing.name.lower()}.", hint="`commonweight join list`")
    guideline = await guideline_in_force(desk, files, state)
    folder = desk.config.node.data / FOLDER
    made = None if options.fresh or options.draft else _unfinished(folder)
    if standing is not MemberStatus.NONE:
        return await _publish_again(desk, files, state, made)
    if made is None or failed(_own_checks(desk, state, guideline, made)):
        made = await _make(desk, files, state, guideline, options)
    against = failed(_own_checks(desk, state, guideline, made))
    answer: dict[str, Any] = {
        "request_hash": "0x" + sha256(made.data).hex(),
        "request_cid": compute_cid(made.data),
        "document": json.loads(made.data),
        "failed": against,
    }
    if options.dry_run:
        return answer
    if against:
        raise ConfigError(
            f"The committee would refuse this: {against[0]}.",
            why=f"{len(against)} check(s) failed; --dry-run prints the document.",
            hint="Mend it, or edit data/join/draft.json and pass it with --draft.",
        )
    for one in (*made.files, made.data):
        await files.publish(one)
    who = made.request.body.identity
    cid = digest_from_cid(compute_cid(made.data))
    receipt = await desk.send(
        "MemberRegistry", "applyToJoin", sha256(made.data), cid, who.peer_id.encode(), who.encryption_key
    )
    number = (await desk.state()).member(desk.me).application
    answer |= {"application": number, **receipt_row(receipt)}
    write_atomic(folder / "sent.json", json.dumps({"application": number, **receipt_row(receipt)}).encode())
    return answer | await _served(desk, number, options.wait)


async def _publish_again(desk: Desk, files: Files, state: State, made: _Made | None) -> dict[str, Any]:
    """The request was sent already: see that its files can be had, and say where it stands."""
    member = state.member(desk.me)
    application = state.applications[member.application]
    if made is None or sha256(made.data) != application.request_hash:
        raise ConfigError(
            f"Application {application.number} is under review already, and its request does not lie in data/join.",
            hint="Wait for the committee; who is refused may apply again.",
        )
    for one in (*made.files, made.data):
        await files.publish(one)
    return {"application": application.number, "standing": member.status.name, "published": "again"}


async def _served(desk: Desk, number: int, seconds: int) -> dict[str, Any]:
    """Stay (and serve what lies in our store) until the application is decided, at most so long."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while True:
        member = (await desk.state()).member(desk.me)
        waits = member.application == number and member.status is MemberStatus.APPLIED
        if not waits or loop.time() >= end:
            return {"standing": "REFUSED" if member.status is MemberStatus.NONE else member.status.name}
        await asyncio.sleep(WAIT_PAUSE)


# --- making -----------------------------------------------------------------------------------------------------------


async def _make(desk: Desk, files: Files, state: State, guideline: Guideline, options: Options) -> _Made:
    config, folder = desk.config, desk.config.node.data / FOLDER
    signer = load_signer(config)
    registry = desk.manifest.contracts["MemberRegistry"]
    offered = [_read_test_set(path, options.about) for path in options.test_sets]
    async with AsyncExitStack() as stack:
        trainer = open_trainer(config, guideline, stack)
        data = await asyncio.to_thread(measure_data, config, await trainer.pairs(), options.note)
        samples, update = await _sample(desk, files, state, guideline, trainer)
    machine = survey.hardware(config.learning.device, survey.accelerators(), options.hardware_note)
    if options.draft is not None:
        edited = parse_body(read_file(options.draft, "draft", "`join apply --dry-run` writes one to data/join."))
        machine, data = edited.hardware, edited.data
    body = Body(
        chain_id=desk.manifest.chain_id,
        registry=registry,
        identity=Identity(
            signer.address, await own_peer_id(config, desk.manifest), signer.encryption_public_key, config.node.name
        ),
        hardware=machine,
        data=data,
        guideline=_community(desk, state, guideline).accepted,
        sample_updates=samples,
        test_sets=tuple(test_set for test_set, _rows in offered),
    )
    domain = signature.domain(body.chain_id, registry)
    signed = signer.sign_typed(domain, signature.TYPES, signature.message(signer.address, body.hash))
    request = Request(VERSION, body, signed)
    write_atomic(folder / "draft.json", (json.dumps(to_plain(body), indent=1) + "\n").encode())
    for test_set, rows in offered:
        write_atomic(folder / f"test-set-{test_set.name}.jsonl", rows)
    write_atomic(folder / "request.json", request.encode())
    return _Made(request, request.encode(), [*update, *(rows for _one, rows in offered)])


async def _sample(
    desk: Desk, files: Files, state: State, guideline: Guideline, trainer: Trainer
) -> tuple[tuple[SampleUpdate, ...], list[bytes]]:
    """Train on the newest finalised model; nothing before there is one."""
    current = current_model(state)
    if current is None:
        return (), []
    limit = guideline.update.max_bytes
    parent = await checkpoint(desk, files, current[0], cid_from_digest(current[1]), limit)
    result = await trainer.train(TrainJob(max(state.rounds), parent, desk.config.learning.seed))
    schema = trainable_schema(decode(parent, max_bytes=limit), guideline)
    update, _residual = await asyncio.to_thread(encode_update, result.update, schema, guideline)
    write_atomic(desk.config.node.data / FOLDER / "update.safetensors", update)
    return (describe_update(update, compute_cid(update), current[0], result.samples),), [update]


def _read_test_set(path: Path, about: str) -> tuple[OfferedSet, bytes]:
    rows = read_file(path, "test set", "Name a JSONL file in the data protocol's format.")
    count = rows.count(b"\n")
    return OfferedSet(path.stem, about, compute_cid(rows), sha256(rows), len(rows), count), rows


def _unfinished(folder: Path) -> _Made | None:
    """What an earlier call made, if all of it is still there."""
    try:
        data = (folder / "request.json").read_bytes()
        request = parse(data)
        wanted = [sample.sha256 for sample in request.body.sample_updates]
        wanted += [offered.sha256 for offered in request.body.test_sets]
        names = ["update.safetensors"] * len(request.body.sample_updates)
        names += [f"test-set-{one.name}.jsonl" for one in request.body.test_sets]
        found = [(folder / name).read_bytes() for name in names]
    except (OSError, RemoteProtocolError):
        return None
    is_whole = [sha256(one) for one in found] == wanted
    return _Made(request, data, found) if is_whole else None


def _community(desk: Desk, state: State, guideline: Guideline) -> Community:
    here = Applicant(registry=desk.manifest.contracts["MemberRegistry"])
    return community_of(state, desk.manifest.chain_id, guideline, here)


def _own_checks(desk: Desk, state: State, guideline: Guideline, made: _Made) -> list[Check]:
    """What the committee will find, before it is asked."""
    body = made.request.body
    who = Application(0, desk.me, sha256(made.data), bytes(32), body.identity.peer_id)
    _request, checks = check_request(made.data, who, _community(desk, state, guideline))
    terms = Terms.of(guideline)
    rows = made.files[len(body.sample_updates) :]
    checks += [check_test_set(one, offered, body, terms) for one, offered in zip(rows, body.test_sets, strict=True)]
    current = current_model(state)
    stale = [one for one in body.sample_updates if current is None or one.parent_model_hash != current[0]]
    if stale:
        checks.append(Check("sample update", False, "it was trained on a model that is not the newest any more"))
    return checks


# --- staying ---------------------------------------------------------------------------------------------------------


async def bond(desk: Desk, amount: int) -> dict[str, Any]:
    """Add own tokens to our stake: who fell below the bond is eligible again from the next second on.

    Raises:
        TransactionReverted: no active member, or not so many tokens.
    """
    registry = desk.manifest.contracts["MemberRegistry"]
    await desk.send("ContributionToken", "approve", registry, amount)
    receipt = await desk.send("MemberRegistry", "bond", amount)
    return {"stake": str((await desk.state()).member(desk.me).stake), **receipt_row(receipt)}


async def update_peer(desk: Desk) -> dict[str, Any]:
    """Register our present peer id and encryption key, e.g. after the keys' folder was restored without ``gossip.key``.

    Raises:
        TransactionReverted: no member.
    """
    peer_id = await own_peer_id(desk.config, desk.manifest)
    key = load_signer(desk.config).encryption_public_key
    receipt = await desk.send("MemberRegistry", "updatePeer", peer_id.encode(), key)
    return {"peer_id": peer_id, "encryption_key": "0x" + key.hex(), **receipt_row(receipt)}


# --- leaving ----------------------------------------------------------------------------------------------------------


async def leave(desk: Desk, *, finish: bool) -> dict[str, Any]:
    """Start our exit, or finish it once its delay is over.

    Raises:
        ConfigError: our standing does not allow it, or the delay is not over.
    """
    member, now = (await desk.state()).member(desk.me), await desk.now()
    needed = MemberStatus.EXITING if finish else MemberStatus.ACTIVE
    if member.status is not needed:
        hint = "`join exit` starts one." if finish else "`join exit --finish` ends one that was started."
        raise ConfigError(f"{desk.me} is {member.status.name.lower()}, not {needed.name.lower()}.", hint=hint)
    if finish and now < member.exit_at:
        raise ConfigError(
            f"The exit can be finished in {member.exit_at - now} s.", why="Until then the stake can still be slashed."
        )
    receipt = await desk.send("MemberRegistry", "finishExit" if finish else "startExit")
    after = (await desk.state()).member(desk.me)
    return {"standing": after.status.name, "exit_at": after.exit_at or None, **receipt_row(receipt)}
