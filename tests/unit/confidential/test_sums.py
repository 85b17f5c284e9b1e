"""Secure sums: exact with every drop-out pattern, masks that look like noise, and members that lie, repeat or go astray."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregation.errors import AggregationError, UpdateRejected
from aggregation.secure import Grid, add, subtract
from node.confidential.agreement import agree, public_key
from node.confidential.sums import Announcement, Cluster, Member, Unmasking, expand, majority, recover
from node.protocol.errors import LocalProtocolError, RemoteProtocolError
from node.protocol.types import Address

RNG = np.random.default_rng


def account(i: int) -> Address:
    return Address("0x" + f"{i + 1:040x}")


def private(i: int, seed: int = 0) -> bytes:
    return hashlib.sha256(f"{seed}/{i}".encode()).digest()


@dataclass
class Table:
    """A cluster of n at one table, and everything that was said."""

    n: int
    seed: int = 0
    threshold: int = 0

    def __post_init__(self) -> None:
        self.names = [account(i) for i in range(self.n)]
        keys = {name: public_key(private(i, self.seed)) for i, name in enumerate(self.names)}
        self.cluster = Cluster(b"context%d" % self.seed, keys, self.threshold or majority(self.n))
        self.members = {
            name: Member(self.cluster, name, private(i, self.seed + 1), partial(agree, private(i, self.seed)))
            for i, name in enumerate(self.names)
        }
        self.announced: dict[Address, Announcement] = {}
        self.masked: dict[Address, np.ndarray] = {}
        self.answers: dict[Address, Unmasking] = {}

    def mask(self, words: Mapping[Address, np.ndarray], silent: Sequence[Address] = ()) -> None:
        """Steps 1 to 3; the silent never did step 2."""
        there = [name for name in self.names if name not in silent]
        self.announced = {name: self.members[name].announce() for name in there}
        posted = {name: self.members[name].share() for name in there}
        for name in words:
            if name in there:
                shares = {other: posted[other][name] for other in there if other != name}
                self.masked[name] = self.members[name].send(words[name], self.announced, shares)

    def unmask(self, silent: Sequence[Address] = ()) -> np.ndarray:
        """Step 4, without those who are silent by then."""
        sent = set(self.masked)
        self.answers = {
            name: self.members[name].unmask(sent) for name in self.announced if name in sent and name not in silent
        }
        return self.recover().words

    def recover(self):
        return recover(self.cluster, self.announced, self.masked, self.answers)


def draw(n: int, length: int = 9, seed: int = 0) -> dict[Address, np.ndarray]:
    return {account(i): RNG([seed, i]).integers(0, 1 << 32, length, dtype=np.uint32) for i in range(n)}


def total(words: Mapping[Address, np.ndarray]) -> np.ndarray:
    return np.sum([one.astype(np.uint64) for one in words.values()], axis=0).astype(np.uint32)


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_the_sum_is_exact_with_every_drop_out_pattern_the_threshold_allows(n):
    spare = n - majority(n)
    names = [account(i) for i in range(n)]
    for lost in range(spare + 1):
        for gone in combinations(names, lost):
            for step in (2, 3, 4):
                table, words = Table(n), draw(n)
                table.mask(
                    {name: one for name, one in words.items() if step != 3 or name not in gone},
                    silent=gone if step == 2 else (),
                )
                found = table.unmask(silent=gone if step == 4 else ())
                expected = words if step == 4 else {name: one for name, one in words.items() if name not in gone}
                assert np.array_equal(found, total(expected)), (n, gone, step)
                assert table.recover().count == len(expected)


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 5), st.integers(0, 2**20), st.integers(1, 300), st.data())
def test_sums_of_any_words(n, seed, length, data):
    table, words = Table(n, seed), draw(n, length, seed)
    names = [account(i) for i in range(n)]
    gone = data.draw(st.sets(st.sampled_from(names), max_size=n - majority(n)))
    table.mask({name: one for name, one in words.items() if name not in gone})
    assert np.array_equal(table.unmask(), total({name: one for name, one in words.items() if name not in gone}))


def test_one_more_drop_out_loses_the_sum():
    table = Table(5)
    table.mask(draw(5))
    with pytest.raises(RemoteProtocolError, match="sum is lost: 2 shares"):
        table.unmask(silent=[account(0), account(1), account(2)])


def test_too_few_that_sent_are_not_unmasked():
    table = Table(5)
    table.mask(dict(list(draw(5).items())[:2]))
    with pytest.raises(LocalProtocolError, match="2 members cannot be unmasked"):
        table.unmask()


# --- what shows -------------------------------------------------------------------------------------------------------


def chi_square(words: np.ndarray) -> float:
    """Of the bytes against the uniform distribution, 255 degrees of freedom: mean 255, deviation 22.6."""
    counts = np.bincount(words.view(np.uint8), minlength=256)
    expected = counts.sum() / 256
    return float(((counts - expected) ** 2 / expected).sum())


@pytest.mark.parametrize("value", [0, 1, (1 << 32) - 1])
def test_masked_words_look_uniform_whatever_is_masked(value):
    length = 1 << 16
    table = Table(3)
    table.mask({name: np.full(length, value, np.uint32) for name in table.names})
    for words in table.masked.values():
        assert abs(chi_square(words) - 255) < 5 * 22.6
    assert abs(chi_square(add(table.masked[account(0)], table.masked[account(1)])) - 255) < 5 * 22.6


def test_two_worlds_with_one_sum_look_alike_in_every_message_and_in_the_sum():
    length = 1 << 16
    first, second = Table(3, seed=1), Table(3, seed=2)
    inputs = {name: np.zeros(length, np.uint32) for name in first.names}
    moved = {
        **inputs,
        account(0): np.full(length, 7, np.uint32),
        account(1): np.full(length, -7 % (1 << 32), np.uint32),
    }
    first.mask(inputs)
    second.mask(moved)
    for name in first.names:
        assert abs(chi_square(subtract(first.masked[name], second.masked[name])) - 255) < 5 * 22.6
    assert np.array_equal(first.unmask(), second.unmask())


def test_fewer_members_than_the_threshold_cannot_lift_anothers_masks():
    """Two of five hold two shares of the third's seed: every seed is as likely as any other (test_shamir), so what they join is not it."""
    table, words = Table(5), draw(5)
    table.mask(words)
    victim, spies = account(2), [account(0), account(1)]
    known = {table.cluster.place(spy): table.members[spy]._received[victim][32:] for spy in spies}
    from node.confidential import shamir

    assert shamir.join(known) != table.members[victim]._seed
    guess = subtract(table.masked[victim], expand(shamir.join(known), 9))
    for spy in spies:  # they know the masks they share with it
        seed = agree_seed(table, spy, victim)
        guess = subtract(guess, expand(seed, 9)) if victim < spy else add(guess, expand(seed, 9))
    assert not np.array_equal(guess, words[victim])


def agree_seed(table: Table, spy: Address, victim: Address) -> bytes:
    from node.confidential import sums

    return sums._pair_seed(table.members[spy]._mask_private, table.announced[victim].mask_key, table.cluster)


def test_all_the_others_together_learn_what_the_sum_says_and_nothing_hides_that():
    table, words = Table(3), draw(3)
    table.mask(words)
    assert np.array_equal(
        subtract(table.unmask(), add(words[account(0)], words[account(1)])), words[account(2)]
    )  # a cluster of three hides nobody from two colluders


# --- members that lie, repeat or go astray ------------------------------------------------------------------------------


def test_a_member_answers_once():
    table = Table(5)
    table.mask(draw(5))
    member = table.members[account(0)]
    answer = member.unmask(table.names)
    assert member.unmask(reversed(table.names)) == answer
    with pytest.raises(LocalProtocolError, match="for another set"):
        member.unmask(table.names[:4])


def test_no_answer_gives_both_secrets_of_anybody():
    table = Table(5)
    table.mask({name: words for name, words in draw(5).items() if name != account(4)})
    table.unmask()
    for answer in table.answers.values():
        assert set(answer.seeds) == set(table.names[:4])
        assert set(answer.mask_keys) == {account(4)}


@pytest.mark.parametrize("who", [0, 2, 4])
def test_false_shares_are_noticed_and_with_one_to_spare_the_sum_is_found(who):
    table, words = Table(5), draw(5)
    table.mask({name: one for name, one in words.items() if name != account(3)})
    table.unmask()
    liar = account(who)
    lies = {name: bytes(32) for name in table.answers[liar].seeds}
    table.answers[liar] = replace(table.answers[liar], seeds=lies)
    found = table.recover()
    assert np.array_equal(found.words, total({name: one for name, one in words.items() if name != account(3)}))
    assert found.liars == {liar}
    table.answers[liar] = Unmasking({}, {})
    assert table.recover().liars == {liar}


def test_too_many_false_shares_lose_the_sum():
    table = Table(3)
    table.mask(draw(3))
    table.unmask()
    for name in table.names[:2]:
        table.answers[name] = replace(table.answers[name], seeds=dict.fromkeys(table.names, bytes(32)))
    with pytest.raises(RemoteProtocolError, match="do not give its secret"):
        table.recover()


def test_shares_that_cannot_be_used_name_their_sender():
    table = Table(3)
    there = {name: member.announce() for name, member in table.members.items()}
    good = {name: table.members[name].share()[account(0)] for name in table.names[1:]}
    bad = [b"", good[account(1)][:-1], bytes(len(good[account(1)])), good[account(2)]]
    for data in bad:
        with pytest.raises(RemoteProtocolError, match=account(1)):
            table.members[account(0)].send(draw(1)[account(0)], there, {**good, account(1): data})


def test_shares_are_for_one_reader_and_one_context():
    table, other = Table(3), Table(3)
    other.cluster = replace(other.cluster, context=b"another round")
    there = {name: member.announce() for name, member in table.members.items()}
    posted = {name: table.members[name].share() for name in table.names[1:]}
    words = draw(1)[account(0)]
    with pytest.raises(RemoteProtocolError, match="do not open"):
        table.members[account(0)].send(
            words, there, {account(1): posted[account(1)][account(2)], account(2): posted[account(2)][account(0)]}
        )
    astray = Member(other.cluster, account(0), private(0, 1), partial(agree, private(0)))
    with pytest.raises(RemoteProtocolError, match="do not open"):
        astray.send(words, there, {name: posted[name][account(0)] for name in table.names[1:]})


def test_no_two_messages_are_encrypted_under_one_key():
    first, second = Table(3), Table(3, seed=9)
    second.members[account(0)] = Member(second.cluster, account(0), private(0, 1), partial(agree, private(0)))
    key = first.cluster.members[account(1)]
    channels = [
        first.members[account(0)]._channel(account(1), key, from_me=True),
        first.members[account(0)]._channel(account(1), key, from_me=False),
        first.members[account(0)]._channel(account(2), first.cluster.members[account(2)], from_me=True),
        second.members[account(0)]._channel(account(1), key, from_me=True),  # same keys, another context
    ]
    assert len({channel.encrypt(bytes(12), bytes(64), b"") for channel in channels}) == 4


def test_a_mask_key_of_small_order_is_refused():
    table = Table(3)
    there = {name: member.announce() for name, member in table.members.items()}
    there[account(1)] = replace(there[account(1)], mask_key=bytes(32))
    shares = {name: table.members[name].share()[account(0)] for name in table.names[1:]}
    with pytest.raises(RemoteProtocolError, match="small order"):
        table.members[account(0)].send(draw(1)[account(0)], there, shares)


def test_sets_that_do_not_fit():
    table = Table(3)
    there = {name: member.announce() for name, member in table.members.items()}
    shares = {name: table.members[name].share()[account(0)] for name in table.names[1:]}
    member, words = table.members[account(0)], draw(1)[account(0)]
    for announced, given_shares in (
        ({account(0): there[account(0)]}, {}),
        (there, {}),
        ({name: there[name] for name in table.names[1:]}, shares),
    ):
        with pytest.raises(LocalProtocolError, match="A sum of"):
            member.send(words, announced, given_shares)
    with pytest.raises(LocalProtocolError, match="cannot be unmasked"):
        member.unmask(table.names)


def test_words_that_do_not_belong_together():
    table = Table(3)
    table.mask(draw(3))
    table.unmask()
    with pytest.raises(RemoteProtocolError, match="belong together"):
        recover(
            table.cluster, table.announced, {**table.masked, account(0): table.masked[account(0)][:3]}, table.answers
        )
    with pytest.raises(RemoteProtocolError, match="belong together"):
        recover(table.cluster, table.announced, {**table.masked, account(7): table.masked[account(0)]}, table.answers)


@pytest.mark.parametrize(("n", "threshold"), [(3, 1), (3, 4), (1, 2)])
def test_groups_that_cannot_be(n, threshold):
    with pytest.raises(LocalProtocolError, match="cannot have threshold"):
        Table(n, threshold=threshold)


def test_a_majority_cannot_be_had_twice():
    for n in range(2, 9):
        assert 2 * majority(n) > n


# --- fixed point ------------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 9), st.floats(1e-6, 1e6), st.integers(0, 1 << 20))
def test_the_mean_of_words_is_the_mean_of_vectors_to_half_a_step(members, max_norm, seed):
    grid = Grid.of(members, max_norm)
    vectors = RNG(seed).uniform(-max_norm, max_norm, (members, 50)).astype(np.float32)
    vectors = np.clip(vectors, -np.float32(max_norm), np.float32(max_norm))
    words = [grid.encode(vector) for vector in vectors]
    found = grid.mean(np.sum([one.astype(np.uint64) for one in words], axis=0).astype(np.uint32), members)
    exact = vectors.astype(np.float64).mean(axis=0)
    assert np.all(np.abs(found - exact) <= 2.0**-grid.shift + 2.0**-24 * np.abs(exact))


@pytest.mark.parametrize("members", [1, 2, 3, 5, 1024])
@pytest.mark.parametrize("max_norm", [0.5, 1.0, 1.5, 6.0, 100.0])
def test_the_loudest_sum_fits(members, max_norm):
    grid = Grid.of(members, max_norm)
    assert members * (1 << grid.bits) <= 1 << 30
    loudest = grid.encode(np.array([max_norm, -max_norm], np.float32))
    assert list(grid.mean(np.multiply(loudest, members, dtype=np.uint32), members)) == [max_norm, -max_norm]
    beyond = grid.encode(np.array([3e38, -3e38], np.float32)).view(np.int32)
    assert list(beyond) == [1 << grid.bits, -(1 << grid.bits)]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_not_summed(bad):
    with pytest.raises(UpdateRejected, match="NaN or infinity"):
        Grid.of(3, 1.0).encode(np.array([0, bad], np.float32))


@pytest.mark.parametrize(
    ("members", "max_norm"), [(0, 1.0), (1025, 1.0), (3, 0.0), (3, float("inf")), (3, float("nan"))]
)
def test_grids_that_cannot_be(members, max_norm):
    with pytest.raises(AggregationError, match="no grid"):
        Grid.of(members, max_norm)
    with pytest.raises(AggregationError, match="at least one"):
        Grid.of(3, 1.0).mean(np.zeros(1, np.uint32), 0)
