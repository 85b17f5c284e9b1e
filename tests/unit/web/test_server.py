"""The interface over HTTP: every endpoint, every refusal, the headers of every answer."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from node.adapters.abi import contract_abi
from node.membership.review import parse as parse_review
from node.ports import Receipt
from node.protocol.cid import compute_cid, digest_from_cid
from node.protocol.errors import TransactionReverted
from node.protocol.hashing import keccak256
from node.web.guard import MAX_BODY_BYTES
from node.web.server import TOKEN_HEADER, Outlet, make_app
from node.web.views import SECTIONS

from .conftest import AT, COMMUNITY, HOSTILE
from .test_hub import Played, make_hub

HOST = "127.0.0.1:8480"
ORIGIN = {"Origin": f"http://{HOST}"}
TOKEN = "t0ken"


class Sent:
    """What a outlet was asked."""

    def __init__(self, refusal=None):
        self.calls, self.checked, self.refusal = [], [], refusal

    async def send(self, call):
        self.calls.append(call)
        return Receipt(b"\x01" * 32, 7, 21_000)

    async def check(self, sender, calls):
        self.checked.append((sender, list(calls)))
        return self.refusal


def encode(call):
    return AT[call.contract], contract_abi(call.contract).encode_call(call.function, call.arguments)


@pytest.fixture
async def hub():
    made = make_hub(Played())
    await made.poll()
    return made


@pytest.fixture
def static(tmp_path):
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").write_text("<!doctype html><title>x</title>")
    (tmp_path / "page" / "app.js").write_text("0")
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "page" / "link.txt").symlink_to(tmp_path / "secret.txt")
    return tmp_path / "page"


def client_of(hub, static, outlet, **headers):
    app = make_app(hub, outlet, frozenset({HOST, "localhost:8480"}), static)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}", headers=headers)


@pytest.fixture
def sent():
    return Sent()


@pytest.fixture
async def client(hub, static, sent):
    async with client_of(hub, static, Outlet(encode, sent.check)) as made:
        yield made


@pytest.fixture
async def signing(hub, static, sent):
    outlet = Outlet(encode, sent.check, sent.send, TOKEN, COMMUNITY.members[0])
    async with client_of(hub, static, outlet, **ORIGIN, **{TOKEN_HEADER: TOKEN}) as made:
        yield made


# --- reading ---


async def test_the_snapshot_and_its_tag(client):
    answer = await client.get("/api/snapshot")
    assert answer.status_code == 200
    assert set(answer.json()) == {"version", "id", *SECTIONS}
    again = await client.get("/api/snapshot", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    part = await client.get("/api/snapshot?sections=live,head,live")
    assert set(part.json()) == {"version", "id", "live", "head"}
    assert (await client.get("/api/snapshot?sections=")).json().keys() == {"version", "id"}
    wrong = await client.get("/api/snapshot?sections=joke")
    assert wrong.status_code == 404
    assert wrong.json()["error"] == "ConfigError"
    assert "hint" in wrong.json()


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        ("/api/round/2", "number", 2),
        ("/api/proposal/1", "number", 1),
        ("/api/release/2", "version", "1.2.0"),
        ("/api/explain/reward/2.0", "agrees", True),
        ("/api/explain/score/1.1", "agrees", True),
        ("/api/explain/slash/1", "agrees", True),
        ("/api/explain/release/1", "what", "release"),
        ("/api/health", "ok", True),
    ],
)
async def test_one_thing_at_a_time(client, path, key, value):
    answer = await client.get(path)
    assert answer.status_code == 200
    assert answer.json()[key] == value
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path",
    [
        "/api/round/99", "/api/round/x", "/api/round/-1", "/api/round/" + "9" * 300, "/api/round/%C2%B2", "/api/proposal/0",
        "/api/release/9", "/api/explain/joke/1", "/api/explain/reward/1", "/api/explain/power/0x", "/api/nothing", "/api/",
        "/api/explain/reward/1.0/more", "/nothing.js", "/api/round/1%2f..%2f2",
    ],
)  # fmt: skip
async def test_what_is_not_there_is_a_404_with_advice(client, path):
    answer = await client.get(path)
    assert answer.status_code == 404
    found = answer.json()
    assert found["what"]
    assert set(found) == {"error", "what", "why", "hint"}


async def test_health_is_bad_while_the_chain_is_silent(static):
    chain = Played()
    hub = make_hub(chain)
    await hub.poll()
    chain.is_down = True
    await hub.poll()
    async with client_of(hub, static, Outlet(encode, Sent().check)) as client:
        answer = await client.get("/api/health")
        assert answer.status_code == 503
        assert answer.json()["ok"] is False
        assert (await client.get("/api/snapshot")).json()["head"]["is_stale"] is True


# --- the page ---


async def test_the_page_and_its_files(client):
    page = await client.get("/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert (await client.get("/app.js")).text == "0"


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/%2e%2e%2fsecret.txt", "/....//secret.txt",
        "/..%5csecret.txt", "/%252e%252e/secret.txt", "//etc/passwd", "/%2fetc%2fpasswd", "/app.js/../../secret.txt",
        "/app.js%00.html", "/link.txt", "/.", "/..", "/page/../../secret.txt", "/file:///etc/passwd",
    ],
)  # fmt: skip
async def test_no_path_leads_out_of_the_page(client, path):
    request = client.build_request("GET", "/")
    request.url = request.url.copy_with(raw_path=path.encode())
    answer = await client.send(request)
    assert answer.status_code in (404, 405) or answer.headers["content-type"].startswith("text/html")
    assert "secret" not in answer.text
    assert "root:" not in answer.text


async def test_without_a_page_the_interface_still_works(hub, tmp_path):
    async with client_of(hub, tmp_path / "none", Outlet(encode, Sent().check)) as client:
        assert (await client.get("/")).status_code == 404
        assert (await client.get("/api/health")).status_code == 200


@pytest.mark.parametrize("path", ["/", "/app.js", "/api/snapshot", "/api/nothing", "/api/health", "/nothing"])
async def test_every_answer_carries_the_policy(client, path):
    headers = (await client.get(path)).headers
    policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
    assert policy == {
        "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self' data:",
        "connect-src": "'self'", "frame-ancestors": "'none'", "base-uri": "'none'", "form-action": "'none'",
    }  # fmt: skip
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in headers
    assert "server" not in headers


async def test_texts_of_others_travel_as_json_text(client):
    answer = await client.get("/api/proposal/3")
    assert answer.headers["content-type"] == "application/json"
    assert HOSTILE in answer.json()["title"]


# --- who may ask ---


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8480", "127.0.0.1", "127.0.0.1:1", "127.0.0.1:8480.evil.example", "", "LOCALHOST"],
)
async def test_another_name_is_refused(client, host):
    answer = await client.get("/api/snapshot", headers={"Host": host})
    assert answer.status_code == 421
    assert answer.json()["why"]
    assert "content-security-policy" in answer.headers


async def test_our_names_are_heard_in_any_case(client):
    for host in ("localhost:8480", "LocalHost:8480", HOST):
        assert (await client.get("/api/health", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_other_sites_cannot_even_ask(client, site):
    for path in ("/api/snapshot", "/api/events", "/app.js"):
        assert (await client.get(path, headers={"Sec-Fetch-Site": site})).status_code == 403
    embedded = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
    assert (await client.get("/", headers=embedded)).status_code == 403
    followed = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert (await client.get("/", headers=followed)).status_code == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"])
async def test_other_methods_are_refused(client, method):
    assert (await client.request(method, "/api/snapshot")).status_code == 405


async def test_reading_is_not_posted(client):
    for path in ("/api/snapshot", "/", "/api/round/1"):
        answer = await client.post(path, json={}, headers=ORIGIN)
        assert answer.status_code in (404, 405)
    assert (await client.get("/api/actions/vote")).status_code in (404, 405)


VOTE = {"proposal": "4", "support": "for", "reason": "why not"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": f"https://{HOST}"}, 403),
        ({"Origin": f"http://{HOST}.evil.example"}, 403),
        ({"Origin": "http://localhost:8480"}, 403),
        ({**ORIGIN, "Sec-Fetch-Site": "cross-site"}, 403),
        ({**ORIGIN, "Content-Type": "text/plain"}, 415),
        ({**ORIGIN, "Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({**ORIGIN, "Content-Type": "application/json; charset=utf-8"}, 200),
        ({**ORIGIN}, 200),
    ],
)
async def test_acts_come_from_the_page_alone(client, headers, status):
    given = {"Content-Type": "application/json", **headers}
    answer = await client.post("/api/actions/vote", content=json.dumps(VOTE), headers=given)
    assert answer.status_code == status


async def test_a_header_that_comes_twice_is_refused(client):
    headers = [
        ("Host", HOST),
        ("Origin", ORIGIN["Origin"]),
        ("Origin", "http://evil.example"),
        ("Content-Type", "application/json"),
    ]
    answer = await client.post("/api/actions/vote", content=json.dumps(VOTE), headers=headers)
    assert answer.status_code == 400


async def test_large_bodies_are_refused_announced_or_not(client):
    given = {**ORIGIN, "Content-Type": "application/json"}
    announced = await client.post("/api/actions/vote", content=b"x" * (MAX_BODY_BYTES + 1), headers=given)
    assert announced.status_code == 413
    taken = 0

    async def endless():
        nonlocal taken
        while True:
            taken += 4_096
            yield b"x" * 4_096

    answer = await client.post("/api/actions/vote", content=endless(), headers=given)
    assert answer.status_code == 413
    assert taken <= MAX_BODY_BYTES + 2 * 4_096


async def test_a_body_that_does_not_come_is_given_up(client, monkeypatch):
    from node.web import guard

    monkeypatch.setattr(guard, "BODY_SECONDS", 0.05)

    async def never():
        yield b"{"
        await asyncio.sleep(30)

    async with asyncio.timeout(5):
        answer = await client.post(
            "/api/actions/vote", content=never(), headers={**ORIGIN, "Content-Type": "application/json"}
        )
    assert answer.status_code == 408


# --- acts ---


def post(client, name, body, **headers):
    return client.post(f"/api/actions/{name}", json=body, headers={**ORIGIN, **headers})


async def test_a_vote_becomes_an_unsigned_transaction(client, sent, hub):
    answer = await post(client, "vote", VOTE)
    (transaction,) = answer.json()["transactions"]
    proposal = list(hub.world.state.proposals)[3]
    assert answer.json()["mode"] == "wallet"
    assert transaction["to"] == AT["CommunityGovernor"]
    assert transaction["chainId"] == hex(COMMUNITY.deployment.chain_id)
    assert transaction["value"] == "0x0"
    decoded = contract_abi("CommunityGovernor").decode_call(bytes.fromhex(transaction["data"][2:]))
    assert decoded == ("castVoteWithReason", (proposal, 1, "why not"))
    assert sent.calls == sent.checked == []


@pytest.mark.parametrize(
    ("name", "body", "calls"),
    [
        ("queue", {"proposal": "3"}, ["queue"]),
        ("execute", {"proposal": "3"}, ["execute"]),
        ("review", {"application": 9, "approve": False, "reason": "no"}, ["review"]),
        ("veto", {"application": 9, "reason": ""}, ["veto"]),
        ("admit", {"application": 9}, ["admit"]),
        ("lock", {"amount": "5"}, ["approve", "lock"]),
        ("unlock", {"amount": "5"}, ["unlock"]),
        ("withdraw", {}, ["withdraw"]),
        ("delegate", {"to": COMMUNITY.members[0]}, ["delegate"]),
        ("claim", {"round": 5, "index": 4}, ["claim"]),
    ],
)
async def test_every_act_is_built(client, name, body, calls):
    answer = await post(client, name, body)
    assert answer.status_code == 200
    found = []
    for transaction in answer.json()["transactions"]:
        contract = next(key for key, address in AT.items() if address == transaction["to"])
        found.append(contract_abi(contract).decode_call(bytes.fromhex(transaction["data"][2:]))[0])
        assert transaction["label"]
    assert found == calls


async def test_a_queued_operation_names_the_proposals_own_calls(client, hub):
    answer = await post(client, "execute", {"proposal": "3"})
    proposal = list(hub.world.state.proposals.values())[2]
    _, arguments = contract_abi("CommunityGovernor").decode_call(
        bytes.fromhex(answer.json()["transactions"][0]["data"][2:])
    )
    assert arguments == (
        proposal.targets,
        proposal.values,
        proposal.calldatas,
        keccak256(proposal.description.encode()),
    )


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("joke", {}, 404),
        ("vote", {}, 400),
        ("vote", [], 400),
        ("vote", "x", 400),
        ("vote", {**VOTE, "more": 1}, 400),
        ("vote", {**VOTE, "proposal": 4}, 400),
        ("vote", {**VOTE, "proposal": "99"}, 404),
        ("vote", {**VOTE, "proposal": "-1"}, 400),
        ("vote", {**VOTE, "proposal": "9" * 100}, 400),
        ("vote", {**VOTE, "support": "maybe"}, 400),
        ("vote", {**VOTE, "reason": "x" * 1_001}, 400),
        ("vote", {**VOTE, "from": "0x12"}, 400),
        ("review", {"application": True, "approve": True, "reason": ""}, 400),
        ("review", {"application": 1, "approve": 1, "reason": ""}, 400),
        ("review", {"application": -1, "approve": True, "reason": ""}, 400),
        ("review", {"application": 2**64, "approve": True, "reason": ""}, 400),
        ("lock", {"amount": "0"}, 400),
        ("lock", {"amount": "-5"}, 400),
        ("lock", {"amount": "1.5"}, 400),
        ("lock", {"amount": "²"}, 400),
        ("lock", {"amount": str(2**96)}, 400),
        ("lock", {"amount": 5}, 400),
        ("delegate", {"to": COMMUNITY.members[0].upper().replace("X", "x", 1)}, 400),
        ("delegate", {"to": COMMUNITY.members[0][:-1]}, 400),
        ("review", {"application": 99, "approve": True, "reason": ""}, 404),
        ("delegate", {"to": "0x"}, 400),
        ("claim", {"round": 1.0, "index": 0}, 400),
    ],
)
async def test_bodies_that_make_no_sense_are_refused(client, sent, name, body, status):
    answer = await post(client, name, body)
    assert answer.status_code == status
    assert answer.json()["what"]
    assert sent.calls == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 5_000, b'{"a":' * 2_000, b"NaN"])
async def test_bodies_that_are_no_json_are_refused(client, content):
    given = {**ORIGIN, "Content-Type": "application/json"}
    assert (await client.post("/api/actions/vote", content=content, headers=given)).status_code == 400


async def test_a_refusal_of_the_contract_is_told_before_anybody_signs(hub, static):
    sent = Sent(TransactionReverted("GovernorAlreadyCastVote", ("0x",), call="castVote", hint="You have voted."))
    async with client_of(hub, static, Outlet(encode, sent.check)) as client:
        known = await post(client, "vote", {**VOTE, "from": COMMUNITY.members[0]})
        assert known.status_code == 409
        assert known.json()["hint"] == "You have voted."
        assert (
            await post(client, "vote", VOTE)
        ).status_code == 200  # who does not say who it is hears it from the wallet


async def test_a_signing_server_checks_and_sends_in_order(signing, sent):
    answer = await signing.post("/api/actions/lock", json={"amount": "5"})
    assert answer.json()["mode"] == "sign"
    assert [call.function for call in sent.calls] == ["approve", "lock"]
    assert [call.function for call in sent.checked[0][1]] == ["approve", "lock"]
    assert sent.checked[0][0] == COMMUNITY.members[0]
    assert [row["block"] for row in answer.json()["transactions"]] == [7, 7]


async def test_a_reviews_reasons_are_published_by_the_server_that_signs_it(hub, static, sent):
    kept: list[bytes] = []
    me = COMMUNITY.members[0]
    outlet = Outlet(encode, sent.check, sent.send, TOKEN, me, kept.append)
    async with client_of(hub, static, outlet, **ORIGIN, **{TOKEN_HEADER: TOKEN}) as client:
        answer = await client.post(
            "/api/actions/review", json={"application": 9, "approve": False, "reason": "no täst"}
        )
        assert answer.status_code == 200
        await client.post("/api/actions/vote", json=VOTE)
    (file,) = kept
    review = parse_review(file)
    assert (review.application, review.reviewer, review.approve, review.reason) == (9, me, "no", "no täst")
    assert review.request_hash == hub.world.state.applications[9].request_hash
    assert sent.calls[0].arguments == (9, False, digest_from_cid(compute_cid(file)))


async def test_a_page_with_a_wallet_makes_the_server_publish_nothing(hub, static, sent):
    kept: list[bytes] = []
    async with client_of(hub, static, Outlet(encode, sent.check, publish=kept.append), **ORIGIN) as client:
        body = {"application": 9, "approve": True, "reason": "x", "from": COMMUNITY.members[0].lower()}
        answer = await client.post("/api/actions/review", json=body)
        assert answer.status_code == 200
    assert kept == []
    data = bytes.fromhex(answer.json()["transactions"][0]["data"][2:])
    assert contract_abi("MemberRegistry").decode_call(data)[1] == (9, True, keccak256(b"x"))


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x", TOKEN[:-1], TOKEN.upper(), "ß"])
async def test_without_the_token_nothing_is_signed(hub, static, sent, token):
    outlet = Outlet(encode, sent.check, sent.send, TOKEN, COMMUNITY.members[0])
    async with client_of(hub, static, outlet) as client:
        headers = [(b"origin", ORIGIN["Origin"].encode()), (TOKEN_HEADER.encode(), token.encode())]
        answer = await client.post("/api/actions/vote", json=VOTE, headers=headers)
        assert answer.status_code == 403
    assert sent.calls == sent.checked == []


async def test_the_token_alone_is_not_enough(hub, static, sent):
    outlet = Outlet(encode, sent.check, sent.send, TOKEN, COMMUNITY.members[0])
    async with client_of(hub, static, outlet, **{TOKEN_HEADER: TOKEN}) as client:
        for origin in ({}, {"Origin": "http://evil.example"}):
            assert (await client.post("/api/actions/vote", json=VOTE, headers=origin)).status_code == 403
    assert sent.calls == []


async def test_a_signing_server_signs_for_nobody_else(signing, sent):
    answer = await signing.post("/api/actions/vote", json={**VOTE, "from": COMMUNITY.members[1]})
    assert answer.status_code == 404
    assert sent.calls == []


async def test_a_refused_act_is_not_sent(hub, static):
    sent = Sent(TransactionReverted("NotLocked", (5, 0)))
    outlet = Outlet(encode, sent.check, sent.send, TOKEN, COMMUNITY.members[0])
    async with client_of(hub, static, outlet, **ORIGIN, **{TOKEN_HEADER: TOKEN}) as client:
        assert (await client.post("/api/actions/unlock", json={"amount": "5"})).status_code == 409
    assert sent.calls == []


async def test_a_mistake_of_ours_shows_nothing_of_the_inside(hub, static, caplog):
    async def broken(_sender, _calls):
        raise RuntimeError("inside")

    async with client_of(hub, static, Outlet(encode, broken)) as client:
        answer = await post(client, "vote", {**VOTE, "from": COMMUNITY.members[0]})
    assert answer.status_code == 500
    assert "inside" not in answer.text
    assert "content-security-policy" in answer.headers
