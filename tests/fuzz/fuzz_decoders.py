"""Every reader of foreign bytes, with good inputs to start from and the errors it documents."""

from __future__ import annotations

import asyncio
import atexit
import json
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from eth_abi.abi import encode as abi_encode
from fuzz_engine import Decoder
from join_requests import ME, body, signed

from aggregation import bundle
from aggregation.compress import parse as parse_scheme
from aggregation.errors import AggregationError, UpdateRejected
from aggregation.files import mapped
from aggregation.registry import parse as parse_pipeline
from deploy.manifest import load_preset
from learning.errors import DataError, LearningError
from learning.spec import LearningSpec
from learning.tasks.pairs import Pair, decode_pairs, encode_pairs
from node import config, evaluations, manifest, records
from node.adapters.abi import CONTRACTS, AbiMismatch, contract_abi, decode_revert
from node.adapters.blobs_rpc import _reason
from node.adapters.chain_evm import EvmChain
from node.adapters.chain_rpc import Rpc, RpcLimits
from node.adapters.signer_keystore import _parse_keystore
from node.backup import restore
from node.combine import check_update
from node.confidential.agreement import public_key
from node.confidential.envelope import enclose, key_file, open_with, read_envelope, read_key_file
from node.dao import calls, card, proposal, releases
from node.dao.guideline_schema import check_documents
from node.dao.honour import faults_of
from node.hosts import framing
from node.hosts import messages as host_messages
from node.index import codec
from node.membership import request, review, signature
from node.protocol import cid, governance, messages, slices
from node.protocol.commitments import RoundScope
from node.protocol.errors import (
    BlobCorrupt,
    BlobTooLarge,
    ChainError,
    ConfigError,
    EnvelopeBroken,
    KeystoreError,
    RemoteProtocolError,
)
from node.protocol.guideline import Guideline
from node.protocol.types import Address, Call
from node.public_update import read_slice
from node.roles.view import AggregateFact, Facts, Fetched, Opening
from node.sim.community import toy_guideline
from node.store import facts_from_json, facts_to_json

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = Address("0x" + "11" * 20)
SCHEMES = ("int8", "int4", "sign", "topk:k=16")
FOUNDED = json.loads((ROOT / "deploy" / "guidelines" / "code-search.json").read_bytes())
FOUNDED["architecture"]["learning"]["base_hash"] = "00" * 32
GUIDELINE = json.dumps(FOUNDED).encode()


@cache
def folder() -> Path:
    """A folder for readers that want files; in memory where the system has such a place."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="commonweight-fuzz-", dir=memory if memory.is_dir() else None))


def from_file(name: str, read: Callable[[Path], Any]) -> Callable[[bytes], Any]:
    """A reader of files as one of bytes."""

    def run(data: bytes) -> Any:
        path = folder() / name
        path.write_bytes(data)
        return read(path)

    return run


@cache
def loop() -> asyncio.AbstractEventLoop:
    """One event loop for all readers that are coroutines."""
    made = asyncio.new_event_loop()
    atexit.register(made.close)
    return made


def text_of(read: Callable[[str], Any]) -> Callable[[bytes], Any]:
    """A reader of text as one of bytes."""
    return lambda data: read(data.decode("utf-8", "surrogateescape"))


# --- bundles and updates ----------------------------------------------------------------------------------------------

TENSORS = {
    "a.lora_B": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4),
    "b": np.ones(5, np.float32),
    "c.weight": np.float32([[1e-3, -0.0]]),
}
SCHEMA = bundle.schema_of(TENSORS)
BUNDLE = bundle.encode(TENSORS)


def canonical_bundle(data: bytes) -> None:
    assert bundle.encode(bundle.decode(data, max_bytes=1 << 20)) == data


def update_of(scheme: str) -> Decoder:
    guideline = toy_guideline(**({} if scheme == "none" else {"compression": scheme, "pipeline": "arc+nnm+mean"}))
    data = BUNDLE
    if scheme != "none":
        data = parse_scheme(scheme).compress(TENSORS, SCHEMA, None, max_norm=100.0)[0]

    def read(data: bytes) -> None:
        tensors = check_update(data, SCHEMA, guideline)
        assert bundle.schema_of(tensors) == SCHEMA

    return Decoder(f"update/{scheme.partition(':')[0]}", read, (UpdateRejected,), (data,))


def any_safetensors(path: Path) -> None:
    with mapped(path) as tensors:
        for tensor in tensors.values():
            tensor.sum(dtype=np.float64)


def bundles() -> Iterator[Decoder]:
    yield Decoder(
        "bundle", canonical_bundle, (UpdateRejected,), (BUNDLE, bundle.encode({"x": np.zeros(1, np.float32)}))
    )
    header = b'{"x":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"__metadata__":{"a":"b"}}'
    half = len(header).to_bytes(8, "little") + header + bytes(4)
    errors = (AggregationError,)
    yield Decoder("safetensors file", from_file("u.safetensors", any_safetensors), errors, (BUNDLE, half))
    yield from (update_of(scheme) for scheme in ("none", *SCHEMES))
    yield Decoder(
        "pipeline text", text_of(parse_pipeline), errors, (b"arc+nnm+trimmed_mean", b"bucketing:s=2+median:f=1")
    )
    yield Decoder("compression text", text_of(parse_scheme), errors, (b"int8", b"topk:k=64", b"int4:block=64"[:4]))


# --- slices, envelopes, content ---------------------------------------------------------------------------------------


def people() -> list[tuple[Address, bytes]]:
    return [(Address("0x" + f"{i:040x}"), public_key(bytes([i]) * 32)) for i in (1, 2, 3)]


def confidential() -> Iterator[Decoder]:
    envelope, key = enclose(BUNDLE, RoundScope(5, ADDRESS, 3), ADDRESS, people(), b"s" * 32)

    def read(data: bytes) -> None:
        assert open_with(read_envelope(data), key) == BUNDLE
        assert data == envelope

    yield Decoder("envelope", read, (EnvelopeBroken,), (envelope,))
    yield Decoder("content key", read_key_file, (EnvelopeBroken,), (key_file(key),))


def content() -> Iterator[Decoder]:
    guideline = toy_guideline()
    rows = b'{"x": [1.0], "y": 0}\n' * 3
    slice_ = slices.join_slice(rows, BUNDLE)
    yield Decoder("slice", partial(read_slice, schema=SCHEMA, guideline=guideline), (BlobTooLarge,), (slice_, rows))
    pairs = encode_pairs([Pair("what", "def f(): pass", "r", "p.py", "f"), Pair("é", "x", "r", "q", "n")])

    def exact(data: bytes) -> None:
        assert encode_pairs(decode_pairs(encode_pairs(decode_pairs(data)))) == encode_pairs(decode_pairs(data))

    yield Decoder("benchmark rows", exact, (DataError,), (pairs,))
    blocks = dict(cid.iter_blocks([bytes(300_000)]))
    roots = tuple(block for block in blocks.values() if len(block) < 1_000)
    leaf = next(iter(dict(cid.iter_blocks([b"content"])).values()))

    def walk(data: bytes) -> None:
        root = cid.cid_from_digest(sha256(data).digest())
        assert cid.compute_cid(cid.read_file(root, lambda digest: blocks.get(digest, data), max_bytes=1 << 20)) == root

    yield Decoder("IPFS blocks", walk, (BlobCorrupt, BlobTooLarge), (leaf, *roots))
    name = cid.compute_cid(b"x").encode()

    def both_ways(text: str) -> None:
        assert cid.cid_from_digest(cid.digest_from_cid(text)) == text

    yield Decoder("CID text", text_of(both_ways), (RemoteProtocolError,), (name,))


# --- messages ---------------------------------------------------------------------------------------------------------


def gossip(data: bytes) -> None:
    message = messages.decode(data)
    messages.validate(message, author="p", peer_ids={message.sender: "p"}, current_round=7)
    assert messages.decode(messages.encode(message)) == message


def talk() -> Iterator[Decoder]:
    name = cid.compute_cid(b"x")
    said = (
        messages.Hello(ADDRESS, ("/ip4/127.0.0.1/tcp/1/p2p/Qm",)),
        messages.UpdateNotice(ADDRESS, 7, name),
        messages.ModelNotice(ADDRESS, 7, name),
    )
    yield Decoder("gossip message", gossip, (RemoteProtocolError,), tuple(map(messages.encode, said)))
    host = (
        host_messages.Ready("peer", ("/ip4/1.2.3.4/tcp/1",)),
        host_messages.Received("peer", 7, b"data"),
        host_messages.Reply(3, "", ("a", "b")),
        host_messages.Health(1, 2, 3, 4),
        host_messages.Failed(setup=True, what="a", why="b", hint="c"),
    )
    frames = tuple(map(framing.encode, host))

    def feed(data: bytes) -> None:
        for message in framing.FrameDecoder().feed(data):
            assert list(framing.FrameDecoder().feed(framing.encode(message))) == [message]

    yield Decoder("host frames", feed, (framing.FrameError,), (*frames, b"".join(frames)))


# --- documents --------------------------------------------------------------------------------------------------------


def guideline(data: bytes) -> None:
    found = Guideline.parse(data)
    assert Guideline.parse(found.canonical).hash == found.hash
    for fault in faults_of(found):
        str(fault)
    _ = found.update
    LearningSpec.from_mapping(found.learning)


def documents() -> Iterator[Decoder]:
    small = toy_guideline(confidentiality="members").canonical
    yield Decoder("guideline", guideline, (ConfigError, LearningError), (GUIDELINE,))
    yield Decoder(
        "guideline lines",
        lambda data: check_documents(Guideline.parse(data).documents),
        (ConfigError,),
        (GUIDELINE, small),
    )
    made = signed(body()).encode()

    def asked(data: bytes) -> None:
        found = request.parse(data)
        assert found.encode() == data
        card.repositories(data)

    yield Decoder("join request", asked, (RemoteProtocolError,), (made,))
    draft = json.dumps(records.to_plain(body()), indent=1).encode()
    yield Decoder("request draft", request.parse_body, (ConfigError,), (draft,))
    told = review.Review(
        1, 3, bytes(32), ME.address, "review", "yes", "fine", ("a",), (review.Measured("b", "mrr", "0.1", "0.2"),)
    )

    def reviewed(data: bytes) -> None:
        assert review.parse(data).encode() == data

    yield Decoder("review", reviewed, (RemoteProtocolError,), (told.encode(),))
    sign = partial(signature.recover, 1, ADDRESS, ADDRESS, bytes(32))
    yield Decoder("signature", sign, (RemoteProtocolError,), (signed(body()).signature,))
    yield Decoder("statements on the card", card.repositories, (), (made, b""))
    candidate = releases.Candidate(**candidate_fields())
    yield Decoder("release candidate", releases.Candidate.parse, (ConfigError,), (candidate.to_json(),))
    yield Decoder("version", text_of(releases.parse_version), (ConfigError,), (b"1.2.3", b"v0.0.1"))
    plan = {
        "title": "A seat",
        "text": "for Ada",
        "actions": [{"kind": "seat", "seat": 0, "holder": ADDRESS, "expires_at": 9}],
    }
    as_json = json.dumps(plan).encode()
    yield Decoder("proposal (JSON)", from_file("p.json", proposal.read_file), (ConfigError,), (as_json,))
    as_toml = (
        f'title = "A seat"\ntext = "for Ada"\n[[actions]]\nkind = "seat"\nseat = 0\nholder = "{ADDRESS}"\nexpires_at = 9\n'
    ).encode()
    yield Decoder("proposal (TOML)", from_file("p.toml", proposal.read_file), (ConfigError,), (as_toml,))
    yield Decoder("description", text_of(proposal.split_description), (), (b"A\n\nb #proposer=0x",))


def candidate_fields() -> dict[str, Any]:
    known = {"scores": {"mrr": 5}, "added": ()}
    hints = releases.Candidate.__annotations__
    basic = {"int": 1, "bytes": bytes(32), "str": "x", "Cid": cid.compute_cid(b"x"), "Address": ADDRESS}
    return {name: known.get(name, basic.get(str(kind))) for name, kind in hints.items() if not name.startswith("_")}


# --- settings ---------------------------------------------------------------------------------------------------------


def settings() -> Iterator[Decoder]:
    own = config.template(
        {"chain.rpc": "http://127.0.0.1:1", "pace.poll_seconds": 0.5, "node.roles": ["keeper"]}
    ).encode()
    short = b'[node]\nroles = ["keeper"]\n[pace]\npoll_seconds = 1\n[p2p]\nport = 7\n'
    yield Decoder("settings", from_file("c.toml", config.load_config), (ConfigError,), (own[:2_500], short))
    (folder() / "with.toml").write_text('[network]\nfile = "network.toml"\n')
    network = b'[chain]\nrpc = "http://x"\n[network]\nmanifest = "m.json"\n[p2p]\nbootstrap = ["/ip4/1.2.3.4"]\n'

    def community(_path: Path) -> None:
        config.load_config(folder() / "with.toml")

    yield Decoder("network file", from_file("network.toml", community), (ConfigError,), (network,))

    def flag(text: str) -> None:
        (folder() / "flag.toml").write_bytes(b"")
        name, _, value = text.partition("=")
        config.load_config(folder() / "flag.toml", flags=[text])
        config.load_config(
            folder() / "flag.toml", environment={"COMMONWEIGHT_" + name.replace(".", "_", 1).upper(): value}
        )

    yield Decoder("flags", text_of(flag), (ConfigError,), (b"pace.stagger=3", b'p2p.bootstrap=["a"]', b"chain.rpc=x"))
    yield Decoder("manifest", from_file("m.json", manifest.load_manifest), (ConfigError,), (manifest_bytes(),))
    preset = (ROOT / "deploy" / "networks" / "localnet.toml").read_bytes()
    assert load_preset("localnet")

    def keystore(data: bytes) -> None:
        _parse_keystore(Path("key.json"), data)

    kdf = {"n": 1024, "r": 8, "p": 1, "dklen": 32, "salt": "00"}
    crypto = {"kdf": "scrypt", "kdfparams": kdf, "cipher": "aes-128-ctr", "ciphertext": "00", "mac": "00"}
    key = json.dumps({"version": 3, "address": "00" * 20, "crypto": crypto}).encode()
    yield Decoder("keystore", keystore, (KeystoreError,), (key,))
    del preset
    values = b'{"name": "mrr", "unit": "", "values": {"0": 0.3257, "1": 0.3595}}'
    read = from_file("evaluations.json", lambda path: evaluations.read(path.parent, "mrr"))
    yield Decoder("evaluations", read, (ConfigError,), (values,))
    facts = Facts(
        update=Opening(bytes(32), bytes(32), bytes(32), 7),
        fetched={0: (Fetched.VALID, "")},
        word=(5, bytes(32)),
        ballots={1: (1, bytes(32))},
        aggregate=AggregateFact(bytes(32), bytes(32), bytes(32)),
        keys={0: bytes(32)},
    )
    stored = json.dumps(facts_to_json(facts)).encode()
    yield Decoder("facts", lambda data: facts_from_json(json.loads(data)), (ValueError,), (stored,))
    yield Decoder("backup", from_file("b.tar.gz", restored), (ConfigError,), (archive(), archive(extra="keys/a")))


def restored(path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder()) as target:
        restore(path, Path(target) / "node")
        assert all(one.resolve().is_relative_to(target) for one in Path(target).rglob("*"))


def archive(extra: str = "data/rounds/000001/facts.json") -> bytes:
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in ("commonweight.toml", extra):
            entry = tarfile.TarInfo(name)
            entry.size = 3
            tar.addfile(entry, BytesIO(b"abc"))
    return buffer.getvalue()


def manifest_bytes() -> bytes:
    file = manifest.content(b"x", bytes(32))
    contracts = {name: Address(ME.address) for name in CONTRACTS}
    made = manifest.Manifest(
        version=1,
        chain_id=5,
        deployment_block=7,
        contracts=contracts,
        code_hashes=dict.fromkeys(CONTRACTS, b"\x01" * 32),
        params=load_preset("localnet"),
        committee=(Address(ME.address),),
        guardian=Address(ME.address),
        guardian_until=2_000_000_000,
        documents=(file,) * 4,
        guideline=file,
        genesis=file,
        public_benchmark=file,
        topic=manifest.topic_of(5, contracts["RoundManager"]),
    )
    return json.dumps(records.to_plain(made)).encode()


# --- what an RPC endpoint answers -------------------------------------------------------------------------------------


def zero(kind: str) -> Any:
    """A value of an ABI type."""
    if kind.endswith("]"):
        return [zero(kind[: kind.rindex("[")])] * 2
    if kind.startswith(("uint", "int")):
        return 1
    if kind.startswith("bytes"):
        return bytes(int(kind[5:] or 3))
    return {"address": ADDRESS, "bool": True, "string": "text"}[kind]


def logs() -> list[tuple[str, list[bytes], bytes]]:
    """One log entry of every event without structs, by contract."""
    found = []
    for name in CONTRACTS:
        for topic, entry in contract_abi(name).events.items():
            if any(parameter["type"].startswith("tuple") for parameter in entry.inputs):
                continue
            indexed = [p["type"] for p in entry.inputs if p["indexed"]]
            plain = [p["type"] for p in entry.inputs if not p["indexed"]]
            topics = [topic, *(abi_encode([kind], [zero(kind)])[-32:] for kind in indexed)]
            found.append((name, topics, abi_encode(plain, [zero(kind) for kind in plain])))
    return found


class Answered(Rpc):
    """An endpoint whose every answer is given."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1", RpcLimits(attempts=1))
        self.answer = b""

        async def post(_body: bytes) -> tuple[int, bytes]:
            return 200, self.answer

        self._provider._post = post


def chain() -> Iterator[Decoder]:
    contracts = {name: Address(f"0x{i + 1:040d}") for i, name in enumerate(CONTRACTS)}
    rpc = Answered()
    evm = EvmChain(rpc, contracts, None)

    def answers(work: Callable[[], Any], *results: Any, name: str) -> Decoder:
        def read(data: bytes) -> None:
            rpc.answer = data
            evm._timestamps.clear()
            loop().run_until_complete(work())

        corpus = [json.dumps({"jsonrpc": "2.0", "id": 0, "result": one}).encode() for one in results]
        error = {"code": 3, "message": "execution reverted", "data": "0x08c379a0" + "00" * 64}
        corpus.append(json.dumps({"jsonrpc": "2.0", "id": 0, "error": error}).encode())
        return Decoder(f"RPC {name}", read, (ChainError,), tuple(corpus))

    block = {"number": "0x5", "hash": "0x" + "ab" * 32, "timestamp": "0x6", "parentHash": "0x" + "00" * 32}
    entries = [
        {
            "address": contracts[name],
            "topics": ["0x" + topic.hex() for topic in topics],
            "data": "0x" + data.hex(),
            "blockNumber": "0x5",
            "blockHash": "0x" + "ab" * 32,
            "transactionHash": "0x" + "cd" * 32,
            "transactionIndex": "0x0",
            "logIndex": hex(i),
            "removed": False,
            "blockTimestamp": "0x6",
        }
        for i, (name, topics, data) in enumerate(logs())
    ]
    transaction = {"to": contracts["RoundManager"], "input": "0x" + reveal_call().hex(), "hash": "0x" + "cd" * 32}
    yield answers(evm.head, block, None, name="block")
    yield answers(lambda: evm.events(5, 5), entries[:2], entries[7:9], [], name="events")
    yield answers(lambda: evm.call_of(bytes(32)), transaction, None, name="transaction")
    asked = Call("RoundManager", "latestModel", ())
    yield answers(lambda: evm.read(asked), "0x" + "01" * 96, "0x", name="view")


def reveal_call() -> bytes:
    return contract_abi("RoundManager").encode_call("revealUpdate", (1, bytes(32), bytes(32), 5, bytes(32)))


def abi() -> Iterator[Decoder]:
    known = logs()
    corpus = tuple(name.encode() + b"|" + b"".join(topics) + b"|" + data for name, topics, data in known)

    def event(data: bytes) -> None:
        name, _, rest = data.partition(b"|")
        topics, _, payload = rest.partition(b"|")
        contract = name.decode("ascii", "replace")
        if contract in CONTRACTS:
            contract_abi(contract).decode_event([topics[i : i + 32] for i in range(0, len(topics), 32)], payload)

    yield Decoder("ABI event", event, (AbiMismatch,), corpus)
    where = {name: Address(f"0x{i + 1:040d}") for i, name in enumerate(CONTRACTS)}
    manager = contract_abi("RoundManager")
    yield Decoder("ABI call", manager.decode_call, (AbiMismatch,), (reveal_call(),))
    yield Decoder("DAO call", lambda data: calls.decode(where["RoundManager"], data, where), (), (reveal_call(),))
    error = bytes.fromhex("08c379a0") + abi_encode(["string"], ["no"])
    yield Decoder("revert", decode_revert, (), (error, bytes.fromhex("4e487b71") + bytes(31) + b"\x11", b""))
    view = partial(contract_abi("RoundManager").decode_result, "latestModel", 0)
    yield Decoder("ABI result", view, (AbiMismatch,), (bytes(96),))
    arguments = codec.encode({"round": 5, "who": ADDRESS, "list": (1, b"x"), "struct": {"a": True}}).encode()

    def indexed(text: str) -> None:
        found = codec.decode(text)
        assert codec.decode(codec.encode(found)) == found

    yield Decoder("event index", text_of(indexed), (ValueError,), (arguments,))
    vote = b"".join(n.to_bytes(16, "big") for n in (1, 2, 3))
    support = int(governance.FRACTIONAL)
    split = partial(governance.split_vote, support, 6)
    yield Decoder("split vote", split, (governance.InconsistentHistory,), (vote,))
    yield Decoder("benchmark name", lambda data: calls.from_name(data[:32]), (), (b"mrr".ljust(32, b"\0"),))
    said = b'{"Message":"merkledag: not found","Code":0}'
    yield Decoder("IPFS answer", lambda data: (_reason(data), _reason(data, "Hash")), (), (said, b'{"Hash":"Qm"}'))


def addresses() -> Iterator[Decoder]:
    from node.hosts.libp2p_peers import parse_address  # loads libp2p, with its warnings

    peer = b"/ip4/127.0.0.1/tcp/4001/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"
    yield Decoder("multiaddr", text_of(parse_address), (ValueError,), (peer,))


def decoders(*, whole: bool = False) -> list[Decoder]:
    """All of them; ``whole``: those, too, that load libp2p."""
    parts = (bundles, confidential, content, talk, documents, settings, chain, abi, *([addresses] if whole else []))
    return [decoder for part in parts for decoder in part()]
