"""One cluster's sum, of which nobody sees a term: pairwise masks and drop-out recovery after Bonawitz et al. 2017, on words mod 2^32.

With x_u a member's words, b_u its own seed, s_uv = HKDF(shared(m_u, M_v)) the seed that u and v agree on, and P a stream cipher::

    1 announce   u → all   M_u = m_u·G, H(b_u)                    fresh for each sum
    2 share      u → v     t-of-n shares of m_u and b_u           encrypted to v's registered key
    3 send       u → all   y_u = x_u + P(b_u) + Σ_{v>u} P(s_uv) − Σ_{v<u} P(s_uv)
    4 unmask     u → all   its share of b_v for every v that sent, its share of m_v for every v that shared and did not send
      anybody              Σ x = Σ y − Σ P(b_v) ∓ Σ P(s_vw) for v sent, w not

Whoever sent has only its b recovered, whoever did not only its m: with both, its x would show. So a member answers step 4 once, for one
set (all must see the same set; on a chain they do). Fewer than t members that talk to each other learn the sum and nothing else; fewer
than t that answer lose the sum. H(b_u) and M_u expose false shares, and with a share to spare the sum is found all the same.

What it does not do: nobody can check x_u. A member may send any words, and the cluster's sum is then worth nothing.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from itertools import combinations

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from aggregation.secure import Words, add, subtract
from node.confidential import shamir
from node.confidential.agreement import KEY_BYTES, agree, hkdf, is_usable, public_key
from node.protocol.errors import LocalProtocolError, RemoteProtocolError
from node.protocol.types import Address

_LABELS = {name: f"commonweight/sum-{name}/1".encode() for name in ("mask", "seed", "shares", "pair", "channel", "own")}
_NONCE = bytes(12)
SHARES_BYTES = 2 * KEY_BYTES + 16


@dataclass(frozen=True, slots=True)
class Cluster:
    """Who sums, and what the sum is bound to.

    Attributes:
        context: chain, contract, round and number of the cluster, as bytes.
        members: account → X25519 key registered on chain, in order of address.
        threshold: members that must answer in step 4.
    """

    context: bytes
    members: Mapping[Address, bytes]
    threshold: int

    def __post_init__(self) -> None:
        if not 2 <= self.threshold <= len(self.members) <= shamir.MAX_SHARES:
            raise LocalProtocolError(f"A cluster of {len(self.members)} cannot have threshold {self.threshold}.")

    def place(self, who: Address) -> int:
        """Number of a member's shares, from 1."""
        return sorted(self.members).index(who) + 1


@dataclass(frozen=True, slots=True)
class Announcement:
    """Step 1: public mask key, and hash of the own seed."""

    mask_key: bytes
    seed_hash: bytes


@dataclass(frozen=True, slots=True)
class Unmasking:
    """Step 4: shares of the seeds of those who sent, and of the mask keys of those who did not."""

    seeds: Mapping[Address, bytes]
    mask_keys: Mapping[Address, bytes]


def majority(members: int) -> int:
    """The usual threshold: more than half, so two halves of a cluster cannot be told different things. Tolerates ⌈n/2⌉ − 1 drop-outs."""
    return members // 2 + 1


def expand(seed: bytes, words: int) -> Words:
    """P: the first ``words`` words of AES-256-CTR's key stream (little-endian)."""
    stream = Cipher(algorithms.AES(seed), modes.CTR(bytes(16))).encryptor().update(bytes(4 * words))
    return np.frombuffer(stream, dtype="<u4").astype(np.uint32, copy=False)


@dataclass(slots=True)
class Member:
    """One member of a cluster, step by step.

    Args:
        cluster: the cluster.
        me: our account.
        secret: 32 bytes that only we know and that were never used for this context; everything fresh is derived from them.
        shared_secret: `agreement.agree` under the private part of our registered key.
    """

    cluster: Cluster
    me: Address
    secret: bytes
    shared_secret: Callable[[bytes], bytes]
    _received: dict[Address, bytes] = field(default_factory=dict)
    _answered: frozenset[Address] | None = None

    def announce(self) -> Announcement:
        """Step 1."""
        return Announcement(public_key(self._mask_private), _seed_hash(self._seed))

    def share(self) -> dict[Address, bytes]:
        """Step 2: what to send to every other member."""
        cluster = self.cluster
        count, threshold = len(cluster.members), cluster.threshold
        both = self._mask_private + self._seed
        shares = shamir.split(both, threshold, count, self._random((threshold - 1) * len(both)))
        return {
            other: self._channel(other, key, from_me=True).encrypt(
                _NONCE, shares[cluster.place(other)], cluster.context
            )
            for other, key in cluster.members.items()
            if other != self.me
        }

    def send(self, words: Words, announced: Mapping[Address, Announcement], shares: Mapping[Address, bytes]) -> Words:
        """Step 3: our masked words.

        Args:
            words: ours, of `aggregation.secure.Grid.encode`.
            announced: step 1 of all who did step 2, us included.
            shares: what they sent us in step 2.

        Raises:
            RemoteProtocolError: a member's announcement or shares cannot be used: leave it out of ``announced`` and ``shares``.
            LocalProtocolError: fewer than the threshold are left, or these are not the same members.
        """
        if (
            len(announced) < self.cluster.threshold
            or set(announced) - {self.me} != set(shares)
            or self.me not in announced
        ):
            raise LocalProtocolError(f"A sum of {len(announced)} members with threshold {self.cluster.threshold}.")
        opened = {sender: self._open(sender, data) for sender, data in shares.items()}
        place = self.cluster.place(self.me)
        own = shamir.split(
            self._mask_private + self._seed,
            self.cluster.threshold,
            len(self.cluster.members),
            self._random((self.cluster.threshold - 1) * 2 * KEY_BYTES),
        )[place]
        masked = add(words, expand(self._seed, len(words)))
        for other, announcement in announced.items():
            if other != self.me:
                mask = expand(_pair_seed(self._mask_private, announcement.mask_key, self.cluster), len(words))
                masked = (add if self.me < other else subtract)(masked, mask)
        self._received = {**opened, self.me: own}
        return masked

    def unmask(self, sent: Iterable[Address]) -> Unmasking:
        """Step 4: our shares, once, for the set of members whose masked words arrived.

        Raises:
            LocalProtocolError: step 3 did not happen, the set is no set of members that shared, is below the threshold, or is another one
                than we answered for before: with shares for both sets somebody's words would show.
        """
        survivors = frozenset(sent)
        if not survivors <= set(self._received) or len(survivors) < self.cluster.threshold:
            raise LocalProtocolError(f"{len(survivors)} members cannot be unmasked.")
        if self._answered not in (None, survivors):
            raise LocalProtocolError(
                "This cluster's sum was unmasked already, for another set of members.",
                why="Shares for two sets would show a single member's update.",
            )
        self._answered = survivors
        return Unmasking(
            seeds={who: share[KEY_BYTES:] for who, share in self._received.items() if who in survivors},
            mask_keys={who: share[:KEY_BYTES] for who, share in self._received.items() if who not in survivors},
        )

    # --- what follows from our secret ---

    @property
    def _mask_private(self) -> bytes:
        return self._derived("mask")

    @property
    def _seed(self) -> bytes:
        return self._derived("seed")

    def _derived(self, label: str) -> bytes:
        return hmac.digest(self.secret, _LABELS[label] + self.cluster.context, "sha256")

    def _random(self, count: int) -> bytes:
        return expand(self._derived("shares"), -(-count // 4)).astype("<u4").tobytes()[:count]

    def _channel(self, other: Address, key: bytes, *, from_me: bool) -> ChaCha20Poly1305:
        """One key for each direction and context, used once."""
        if not is_usable(key):
            raise RemoteProtocolError(f"{other} registered no usable encryption key.")
        pair = (self.me, other) if from_me else (other, self.me)
        bound = _LABELS["channel"] + self.cluster.context + "".join(pair).lower().encode()
        return ChaCha20Poly1305(hkdf(self.shared_secret(key), bound))

    def _open(self, sender: Address, data: bytes) -> bytes:
        if sender not in self.cluster.members or len(data) != SHARES_BYTES:
            raise RemoteProtocolError(f"{sender} sent no shares of this cluster.")
        try:
            channel = self._channel(sender, self.cluster.members[sender], from_me=False)
            return channel.decrypt(_NONCE, data, self.cluster.context)
        except InvalidTag:
            raise RemoteProtocolError(f"The shares of {sender} do not open.") from None


@dataclass(frozen=True, slots=True)
class Sum:
    """The sum of the members that sent, how many they were, and who gave false shares."""

    words: Words
    count: int
    liars: frozenset[Address]


def recover(
    cluster: Cluster,
    announced: Mapping[Address, Announcement],
    masked: Mapping[Address, Words],
    unmaskings: Mapping[Address, Unmasking],
) -> Sum:
    """What anybody computes from what was published.

    Args:
        cluster: the cluster.
        announced: step 1 of all who did step 2.
        masked: words of step 3, by member.
        unmaskings: answers of step 4, by member.

    Raises:
        RemoteProtocolError: too few right answers, or words of different lengths.
    """
    lengths = {len(words) for words in masked.values()}
    if len(lengths) != 1 or not set(masked) <= set(announced):
        raise RemoteProtocolError("The masked updates of a cluster do not belong together.")
    (length,) = lengths
    liars: set[Address] = set()
    total = reduce(add, masked.values())
    for who in sorted(announced):
        if who in masked:
            given = {other: answer.seeds.get(who, b"") for other, answer in unmaskings.items()}
            seed = _secret(cluster, given, _has_hash(announced[who].seed_hash), who, liars)
            total = subtract(total, expand(seed, length))
            continue
        given = {other: answer.mask_keys.get(who, b"") for other, answer in unmaskings.items()}
        private = _secret(cluster, given, _has_public(announced[who].mask_key), who, liars)
        for other in masked:
            mask = expand(_pair_seed(private, announced[other].mask_key, cluster), length)
            total = (subtract if other < who else add)(total, mask)
    return Sum(total, len(masked), frozenset(liars))


def _secret(
    cluster: Cluster,
    given: Mapping[Address, bytes],
    is_right: Callable[[bytes], bool],
    who: Address,
    liars: set[Address],
) -> bytes:
    """A member's secret from the shares of others; those whose share does not fit join ``liars``."""
    shares = {cluster.place(other): share for other, share in given.items() if len(share) == KEY_BYTES}
    for chosen in combinations(sorted(shares), cluster.threshold):
        secret = shamir.join({place: shares[place] for place in chosen})
        if not is_right(secret):
            continue
        for other, share in given.items():
            base = {place: shares[place] for place in chosen[:-1]}
            place = cluster.place(other)
            fits = place in chosen or (
                len(share) == KEY_BYTES and place not in base and shamir.join({**base, place: share}) == secret
            )
            if not fits:
                liars.add(other)
        return secret
    raise RemoteProtocolError(
        f"The sum is lost: {len(shares)} shares of {who} do not give its secret.",
        why=f"{cluster.threshold} right ones are needed.",
        hint="The cluster's updates of this round are left out.",
    )


def _has_hash(expected: bytes) -> Callable[[bytes], bool]:
    return lambda seed: _seed_hash(seed) == expected


def _has_public(expected: bytes) -> Callable[[bytes], bool]:
    return lambda private: public_key(private) == expected


def _pair_seed(private: bytes, peer: bytes, cluster: Cluster) -> bytes:
    try:
        return hkdf(agree(private, peer), _LABELS["pair"] + cluster.context)
    except ValueError:
        raise RemoteProtocolError("A member's mask key is of small order.") from None


def _seed_hash(seed: bytes) -> bytes:
    return hashlib.sha256(_LABELS["own"] + seed).digest()
