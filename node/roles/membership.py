"""Joining: the applicant asks; the reviewer, a committee seat, holds the request against the guideline and votes.

The request is a JSON document on IPFS, bound to the applicant's account and peer id by the hash in its transaction (which the account
signed). This reviewer's policy is mechanical (`check_request`); people review with `commonweight join review`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from node.protocol.hashing import keccak256
from node.protocol.state import Application
from node.protocol.types import MemberStatus
from node.roles.actions import Action, Apply, ReviewApplication
from node.roles.view import View

REQUEST_VERSION = 1
MAX_REQUEST_BYTES = 64 * 1024
REQUEST_KEYS = ("version", "account", "peer_id", "guideline_hash", "hardware", "repositories")


def decide_apply(view: View) -> list[Action]:
    """Apply once, as a stranger."""
    return [Apply()] if view.state.member(view.me).status is MemberStatus.NONE else []


def decide_review(view: View) -> list[Action]:
    """Review every open application we have a seat for and have not voted on."""
    if view.me not in view.seats:
        return []
    return [
        ReviewApplication(number)
        for number, application in view.state.applications.items()
        if view.state.member(application.applicant).status is MemberStatus.APPLIED
        and view.state.member(application.applicant).application == number
        and view.me not in view.state.reviews.get(number, {})
    ]


def encode_request(request: Mapping[str, Any]) -> bytes:
    """Canonical JSON of a request."""
    return (json.dumps(request, sort_keys=True, separators=(",", ":"), ensure_ascii=True) + "\n").encode()


def check_request(data: bytes, application: Application, *, guideline_hash: bytes, held_out: frozenset[str]) -> str:
    """Reason to refuse a request, empty to approve.

    Args:
        data: the request's bytes, as fetched by CID.
        application: what its transaction said.
        guideline_hash: guideline in force.
        held_out: repositories that benchmarks are made of: nobody may train on them.
    """
    if len(data) > MAX_REQUEST_BYTES or keccak256(data) != application.request_hash:
        return "the request's bytes do not have the hash in its transaction"
    try:
        request = json.loads(data)
    except (ValueError, RecursionError):
        return "the request is not JSON"
    if not isinstance(request, dict) or sorted(request) != sorted(REQUEST_KEYS):
        return f"the request does not have exactly the keys {', '.join(REQUEST_KEYS)}"
    repositories = request["repositories"]
    if not isinstance(repositories, list) or not repositories or not all(isinstance(r, str) for r in repositories):
        return "the data statement names no repositories"
    wanted = {
        "version": REQUEST_VERSION,
        "account": application.applicant,
        "peer_id": application.peer_id,
        "guideline_hash": guideline_hash.hex(),
    }
    for key, value in wanted.items():
        if request[key] != value:
            return f"{key} is {str(request[key])[:80]!r}, expected {value!r}"
    overlap = sorted(held_out.intersection(repositories))
    if overlap:
        return f"it trains on held-out repositories: {', '.join(overlap)}"
    return ""
