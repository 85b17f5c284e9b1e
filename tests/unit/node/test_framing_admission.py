"""Which gossip messages a host lets in."""

import pytest

from node.hosts.admission import FRESH_SECONDS, REMEMBER_SECONDS, Admission, TokenBuckets, Verdict
from node.hosts.messages import MAX_PAYLOAD_BYTES

NOW = 1_700_000_000.0
AUTHOR = bytes((0x00, 0x24, 0x08, 0x01, 0x12, 0x20)) + b"k" * 32


def sequence(at: float) -> bytes:
    return int(at * 1e9).to_bytes(8, "big")


def verdict(admission: Admission | None = None, **changes: object) -> Verdict:
    message: dict[str, object] = {
        "forwarder": b"f",
        "author": AUTHOR,
        "sequence": sequence(NOW),
        "topics": ["t"],
        "size": MAX_PAYLOAD_BYTES,
        "now": NOW,
    }
    return (admission or Admission("t")).before_signature(**(message | changes))  # type: ignore[arg-type]  # a table of cases


@pytest.mark.parametrize("age", [0, FRESH_SECONDS - 1, 1 - FRESH_SECONDS])
def test_fresh_messages_of_the_right_shape_pass(age: float):
    assert verdict(sequence=sequence(NOW - age)) is Verdict.ACCEPT


@pytest.mark.parametrize("age", [FRESH_SECONDS + 1, -FRESH_SECONDS - 1])
def test_old_and_future_messages_are_dropped_but_their_forwarder_stays(age: float):
    assert verdict(sequence=sequence(NOW - age)) is Verdict.DROP


@pytest.mark.parametrize(
    "change",
    [
        {"topics": ["other"]},
        {"topics": ["t", "other"]},
        {"topics": []},
        {"size": MAX_PAYLOAD_BYTES + 1},
        {"author": b""},
        {"author": b"\x12\x20" + b"k" * 32},  # a hashed key: the key itself would come with the message
        {"author": AUTHOR + b"x"},
        {"sequence": b""},
        {"sequence": bytes(9)},
    ],
)
def test_what_no_honest_peer_forwards_costs_the_connection(change: dict[str, object]):
    assert verdict(**change) is Verdict.DISCONNECT


def test_a_message_is_remembered_longer_than_it_is_fresh():
    # Accepted at the last moment of the future side, it stays fresh for twice the window.
    assert REMEMBER_SECONDS > 2 * FRESH_SECONDS


def test_one_forwarder_cannot_use_up_anothers_rate():
    admission = Admission("t")
    while verdict(admission) is Verdict.ACCEPT:
        pass
    assert verdict(admission, forwarder=b"other") is Verdict.ACCEPT
    assert verdict(admission, now=NOW + 1) is Verdict.ACCEPT


def test_one_author_cannot_use_up_anothers_rate():
    admission = Admission("t")
    assert sum(admission.after_signature(AUTHOR, NOW) for _ in range(1_000)) == 200
    assert admission.after_signature(b"other", NOW)
    assert admission.after_signature(AUTHOR, NOW + 1)


def test_many_authors_together_are_limited():
    admission = Admission("t")
    assert sum(admission.after_signature(b"%d" % number, NOW) for number in range(5_000)) == 2_000


def test_buckets_refill_with_time_up_to_their_burst():
    buckets = TokenBuckets(rate=2, burst=3, keys=10)
    assert [buckets.take(b"a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert [buckets.take(b"a", 1.0) for _ in range(3)] == [True, True, False]
    assert [buckets.take(b"a", 100.0) for _ in range(4)] == [True, True, True, False]


def test_a_clock_that_steps_back_gives_nothing_away():
    buckets = TokenBuckets(rate=1, burst=1, keys=10)
    assert buckets.take(b"a", 100.0)
    assert not buckets.take(b"a", 50.0)


def test_the_number_of_keys_is_bounded():
    buckets = TokenBuckets(rate=1, burst=1, keys=2)
    assert all(buckets.take(b"%d" % number, 0.0) for number in range(100))
    assert not buckets.take(b"99", 0.0)
