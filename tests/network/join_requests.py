"""A community on paper, and good requests to join it, for tests to break."""

from __future__ import annotations

import json

from node.adapters.signer_keystore import KeystoreSigner
from node.membership.checks import Community, check_request
from node.membership.request import (
    VERSION,
    Body,
    DataStatement,
    Hardware,
    Identity,
    OfferedSet,
    Request,
    SampleUpdate,
    Source,
    canonical,
)
from node.membership.signature import TYPES, domain, message
from node.protocol.cid import compute_cid
from node.protocol.guideline import Guideline
from node.protocol.state import Application
from node.protocol.types import Address
from node.store import sha256

ME = KeystoreSigner.from_key(bytes(31) + b"\7")
OTHER = KeystoreSigner.from_key(bytes(31) + b"\x08")
REGISTRY = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")
MODEL = bytes(31) + b"\1"
PEER = "12D3KooWCommonweight"
ADMISSION = {"languages": ["python"], "licences": ["own", "MIT"], "min_rows": 10, "test_set_min_rows": 2}


def guideline(**admission):
    documents = {
        "data": {"task": "code_search", "held_out": ["networkx"], "admission": {**ADMISSION, **admission}},
        "architecture": {"trainable_suffix": ""},
        "update": {"pipeline": "mean", "outer_learning_rate": 1.0, "max_norm": 10.0, "max_bytes": 1 << 20},
        "versioning": {},
    }
    return Guideline.parse(json.dumps(documents).encode())


def community(**changes):
    settings = {"guideline": guideline(), "epoch": 1, "models": {MODEL}, "is_running": True}
    return Community(chain_id=1, registry=REGISTRY, **{**settings, **changes})


ROWS = b"".join(
    canonical({"query": f"adds {n} to it", "code": "def Func(): pass", "repository": "tests", "path": "a", "name": "b"})
    for n in range(3)
)
OFFER = OfferedSet("arithmetic", "sums", compute_cid(ROWS), sha256(ROWS), len(ROWS), 3)
DATA = DataStatement(
    ("python",), (Source("mine", "", "own", 20), Source("typer", "1", "MIT", 30)), 50, 999, 0, 0, 0, ""
)
SAMPLE = SampleUpdate(compute_cid(b"update"), sha256(b"update"), 6, MODEL, 50)


def body(**changes):
    settings = {
        "chain_id": 1,
        "registry": REGISTRY,
        "identity": Identity(ME.address, PEER, bytes(32), "me"),
        "hardware": Hardware("Linux", "x86_64", "3.11", 2, 1 << 33, "auto", (), ""),
        "data": DATA,
        "guideline": community().accepted,
        "sample_updates": (SAMPLE,),
        "test_sets": (OFFER,),
    }
    return Body(**{**settings, **changes})


def signed(made, signer=ME):
    typed = domain(made.chain_id, made.registry), TYPES, message(made.identity.account, made.hash)
    return Request(VERSION, made, signer.sign_typed(*typed))


def judge(data, where=None, **changes):
    settings = {
        "number": 1,
        "applicant": ME.address,
        "request_hash": sha256(data),
        "request_cid": bytes(32),
        "peer_id": PEER,
    }
    return check_request(data, Application(**{**settings, **changes}), where or community())
