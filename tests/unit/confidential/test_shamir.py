"""Secret sharing: any threshold of shares gives the secret; one less says exactly nothing, shown by exhaustion."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.confidential import shamir
from node.protocol.errors import LocalProtocolError


@given(st.binary(min_size=1, max_size=40), st.integers(1, 5), st.integers(0, 3), st.data())
def test_any_threshold_of_shares_gives_the_secret(secret, threshold, more, data):
    randomness = data.draw(st.binary(min_size=(threshold - 1) * len(secret), max_size=(threshold - 1) * len(secret)))
    shares = shamir.split(secret, threshold, threshold + more, randomness)
    for chosen in combinations(shares, threshold):
        assert shamir.join({x: shares[x] for x in chosen}) == secret


@pytest.mark.parametrize("place", [1, 2, 5])
def test_one_share_of_two_is_uniform_whatever_the_secret(place):
    for secret in (0, 1, 77, 255):
        seen = {shamir.split(bytes([secret]), 2, 5, bytes([a]))[place] for a in range(256)}
        assert len(seen) == 256


def test_two_shares_of_three_are_uniform_whatever_the_secret():
    found = {}
    for secret in (0, 200):
        pairs = Counter()
        for a in range(256):
            for b in range(256):
                shares = shamir.split(bytes([secret]), 3, 3, bytes([a, b]))
                pairs[shares[1] + shares[3]] += 1
        found[secret] = pairs
    assert found[0] == found[200]
    assert set(found[0].values()) == {1}
    assert len(found[0]) == 1 << 16


def test_the_field_is_that_of_aes():
    assert shamir._times(0x57, 0x83) == 0xC1  # FIPS 197, section 4.2
    assert shamir._times(0x57, 0x13) == 0xFE
    assert all(shamir._over(shamir._times(a, b), b) == a for a in range(256) for b in range(1, 256, 7))


def test_fewer_or_false_shares_give_something_else():
    shares = shamir.split(b"secret", 3, 4, bytes(range(12)))
    assert shamir.join({1: shares[1], 2: shares[2]}) != b"secret"
    assert shamir.join({1: shares[1], 2: shares[2], 4: shares[3]}) != b"secret"


@pytest.mark.parametrize(
    ("threshold", "count", "random"), [(0, 3, 0), (4, 3, 18), (2, 256, 6), (2, 3, 5), (2, 3, 7), (1, 0, 0)]
)
def test_numbers_that_cannot_be(threshold, count, random):
    with pytest.raises(LocalProtocolError):
        shamir.split(b"secret", threshold, count, bytes(random))


@pytest.mark.parametrize("shares", [{}, {1: b"a", 2: b"bb"}, {0: b"a"}, {256: b"a"}])
def test_shares_that_do_not_belong_together(shares):
    with pytest.raises(LocalProtocolError):
        shamir.join(shares)
