"""What a reviewer can decide without judgement: is the request well-formed, signed, of this community, and within its data protocol?

People and the automatic committee of a local network use the same checks. Everything here comes from a stranger; the answer is always a
list of `Check`, never an exception.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from aggregation.bundle import Schema
from aggregation.errors import UpdateRejected
from node.combine import check_update
from node.membership import request as documents
from node.membership.request import Accepted, Body, OfferedSet, Request
from node.membership.signature import Recover, recover
from node.membership.terms import Terms, is_licence_allowed
from node.protocol.errors import RemoteProtocolError
from node.protocol.guideline import DOCUMENTS, Guideline
from node.protocol.state import Application
from node.protocol.types import Address
from node.store import sha256

MAX_FIELD = 20_000
"""Longest text of a test set's row, as in `learning.tasks`."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at, and what was found."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Community:
    """What a request is held against.

    Attributes:
        chain_id: of the community's chain.
        registry: its MemberRegistry.
        guideline: in force.
        epoch: its number; 0: not known, so not checked.
        models: hashes of the genesis model and of all finalised ones.
        is_running: a round was finalised, so there is a model to improve.
        recover: finds the signer.
    """

    chain_id: int
    registry: Address
    guideline: Guideline
    epoch: int
    models: Collection[bytes]
    is_running: bool
    recover: Recover = recover

    @property
    def accepted(self) -> Accepted:
        """What an applicant has to accept."""
        texts = {name: sha256(self.guideline.document(name)) for name in DOCUMENTS}
        return Accepted(self.epoch, self.guideline.hash, texts)


def failed(checks: Sequence[Check]) -> list[str]:
    """What speaks against an applicant, a sentence each."""
    return [f"{check.name}: {check.detail}" for check in checks if not check.ok]


def check_request(data: bytes, application: Application, community: Community) -> tuple[Request | None, list[Check]]:
    """Hold a request's bytes against its application and the community; the request is None where it cannot be read."""
    if sha256(data) != application.request_hash:
        return None, [Check("hash", False, "the bytes do not have the hash in the application's transaction")]
    try:
        request = documents.parse(data)
    except RemoteProtocolError as error:
        return None, [Check("form", False, error.what)]
    terms = Terms.of(community.guideline)
    checks = [
        Check("form", True, f"version {request.version}, {len(data)} bytes"),
        *_identity(request, application, community),
        *_guideline(request.body.guideline, community),
        *_data(request.body, terms),
        *_offers(request.body, terms, community),
    ]
    return request, checks


def _identity(request: Request, application: Application, community: Community) -> Iterator[Check]:
    body, who = request.body, request.body.identity
    here = (body.chain_id, body.registry) == (community.chain_id, community.registry)
    yield Check("community", here, f"chain {body.chain_id}, registry {body.registry}")
    same = who.account == application.applicant and who.peer_id == application.peer_id
    yield Check("identity", same, f"account {who.account}, peer {who.peer_id[:60]}")
    if len(who.encryption_key) != 32:
        yield Check("encryption key", False, f"it has {len(who.encryption_key)} bytes, not 32")
    try:
        signer = community.recover(body.chain_id, body.registry, who.account, body.hash, request.signature)
    except RemoteProtocolError as error:
        yield Check("signature", False, error.what)
        return
    is_own = signer == application.applicant
    yield Check("signature", is_own, "by the applicant" if is_own else f"by {signer}, not by {application.applicant}")


def _guideline(accepted: Accepted, community: Community) -> Iterator[Check]:
    wanted = community.accepted
    if community.epoch == 0:
        accepted = replace(accepted, epoch=0)
    if accepted.epoch != wanted.epoch or accepted.hash != wanted.hash:
        yield Check(
            "guideline", False, f"it accepts epoch {accepted.epoch} ({accepted.hash.hex()[:16]}…), not the one in force, "
            f"{wanted.epoch} ({wanted.hash.hex()[:16]}…)",
        )  # fmt: skip
        return
    wrong = [name for name in DOCUMENTS if accepted.documents.get(name) != wanted.documents[name]]
    extra = sorted(set(accepted.documents) - set(DOCUMENTS))
    if wrong or extra:
        yield Check("guideline", False, f"other documents are accepted: {', '.join(wrong + extra)[:200]}")
    else:
        yield Check("guideline", True, "all four documents in force are accepted")


def _data(body: Body, terms: Terms) -> Iterator[Check]:
    data = body.data
    foreign = sorted(set(data.languages) - set(terms.languages)) if terms.languages else []
    yield Check(
        "languages", bool(data.languages) and not foreign,
        f"{', '.join(foreign or data.languages)}{' not in the data protocol' if foreign else ''}" or "none is named",
    )  # fmt: skip
    unlawful = [
        f"{one.name} ({one.licence})" for one in data.sources if not is_licence_allowed(one.licence, terms.licences)
    ]
    yield Check(
        "licences", bool(data.sources) and not unlawful, _listed(unlawful) or f"{len(data.sources)} repositories"
    )
    overlap = sorted(terms.held_out.intersection(one.name for one in data.sources))
    if overlap:
        yield Check("held out", False, f"it trains on what benchmarks are made of: {_listed(overlap)}")
    enough = data.rows >= terms.min_rows and data.rows == sum(one.rows for one in data.sources)
    yield Check(
        "size", enough, f"{data.rows} rows, {data.length} bytes; at least {terms.min_rows} rows, the sources' sum"
    )
    for name, found, most in (
        ("near-duplicates", data.near_duplicates, terms.max_near_duplicates),
        ("secrets", data.secrets, terms.max_secrets),
        ("personal data", data.personal, terms.max_personal),
    ):
        yield Check(name, found <= most, f"{found} rows, at most {most}")


def _offers(body: Body, terms: Terms, community: Community) -> Iterator[Check]:
    if not body.sample_updates:
        needed = terms.sample_update and community.is_running
        yield Check("sample update", not needed, "missing" if needed else "none, and none is asked for before a model")
    for sample in body.sample_updates:
        fits = sample.parent_model_hash in community.models and sample.length <= community.guideline.update.max_bytes
        yield Check("sample update", fits, f"{sample.length} bytes on model {sample.parent_model_hash.hex()[:16]}…")
    own = {one.name for one in body.data.sources}
    for offered in body.test_sets:
        yield _announced(offered, terms)
        if offered.name in own:
            yield Check("test set", False, f"{offered.name} is also among the training data")


def _announced(offered: OfferedSet, terms: Terms) -> Check:
    fits = (
        terms.test_set_min_rows <= offered.rows <= terms.test_set_max_rows
        and offered.length <= terms.test_set_max_bytes
        and 0 < len(offered.name.encode()) <= 32
    )
    return Check(
        "test set", fits, f"{offered.name[:32]}: {offered.rows} rows, {offered.length} bytes; allowed are "
        f"{terms.test_set_min_rows} to {terms.test_set_max_rows} rows, {terms.test_set_max_bytes} bytes, a name of 1 to 32 bytes",
    )  # fmt: skip


# --- files that a request names -----------------------------------------------------------------------------------------


def check_sample(data: bytes, sha: bytes, schema: Schema, guideline: Guideline) -> Check:
    """A sample update's bytes: hash, size, schema, finite values, norm, as a verifier would look at them."""
    if sha256(data) != sha:
        return Check("sample update's bytes", False, "they do not have the hash in the request")
    try:
        check_update(data, schema, guideline)
    except UpdateRejected as error:
        return Check("sample update's bytes", False, f"{error.reason}: {error.what}")
    return Check("sample update's bytes", True, f"{len(data)} bytes, schema, values and norm as in a round")


def check_test_set(data: bytes, offered: OfferedSet, body: Body, terms: Terms) -> Check:
    """An offered test set's bytes: hash, rows, fields, and that no row comes from the applicant's own training data."""
    name = f"test set {offered.name[:32]}"
    if sha256(data) != offered.sha256 or len(data) != offered.length:
        return Check(name, False, "its bytes do not have the hash and length in the request")
    lines = data.split(b"\n")
    if lines.pop() != b"" or len(lines) != offered.rows:
        return Check(name, False, f"it has {len(lines)} whole lines, the request says {offered.rows}")
    own = {one.name for one in body.data.sources}
    queries: set[str] = set()
    for number, line in enumerate(lines, 1):
        problem = _row_problem(line, terms, own, queries)
        if problem:
            return Check(name, False, f"line {number} {problem}")
    return Check(
        name, True, f"{len(lines)} rows in the data protocol's format, none of the applicant's own repositories"
    )


def _row_problem(line: bytes, terms: Terms, own: Collection[str], queries: set[str]) -> str:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return "is not JSON"
    if not isinstance(row, dict) or set(row) != set(terms.test_set_fields):
        return f"does not have exactly the fields {', '.join(terms.test_set_fields)}"
    if any(not isinstance(value, str) or len(value) > MAX_FIELD for value in row.values()):
        return f"has a field that is no text of at most {MAX_FIELD} characters"
    main = [row[name] for name in terms.test_set_fields[:2]]
    if not all(text.strip() for text in main):
        return f"has an empty {' or '.join(terms.test_set_fields[:2])}"
    if row.get("repository") in own:
        return f"comes from {row['repository'][:80]}, which the applicant trains on"
    if row.get("repository") in terms.held_out:
        return f"comes from {row['repository'][:80]}, which benchmarks are made of already"
    if main[0] in queries:
        return "repeats an earlier line"
    queries.add(main[0])
    return ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
