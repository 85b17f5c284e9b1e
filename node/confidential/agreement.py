"""X25519 key agreement and HKDF, the two steps that envelopes and secure sums share. `cryptography` does the arithmetic.

```
shared(a, B) = HKDF-SHA-256(X25519(a, B), info = "commonweight/x25519-shared/1" ‖ both public keys in byte order)
```
"""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
_SHARED_INFO = b"commonweight/x25519-shared/1"
_PROBE = X25519PrivateKey.from_private_bytes(bytes(range(KEY_BYTES)))


def hkdf(secret: bytes, info: bytes) -> bytes:
    """HKDF-SHA-256 without salt, 32 bytes (RFC 5869)."""
    return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=info).derive(secret)


def public_key(private: bytes) -> bytes:
    """The public key of 32 private bytes."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def agree(private: bytes, peer: bytes) -> bytes:
    """32 bytes that only the owners of two key pairs can compute, each from its private and the other's public key.

    Raises:
        ValueError: ``peer`` is no X25519 public key, or one of small order, with which the secret would be 0.
    """
    own = X25519PrivateKey.from_private_bytes(private)
    raw = own.exchange(X25519PublicKey.from_public_bytes(peer))
    return hkdf(raw, _SHARED_INFO + b"".join(sorted((own.public_key().public_bytes_raw(), peer))))


def is_usable(key: bytes) -> bool:
    """Whether somebody can write to this public key: 32 bytes, not of small order. Everybody finds the same."""
    if len(key) != KEY_BYTES:
        return False
    try:
        # A point of small order gives 0 with every private key, since those are multiples of 8; then the library refuses.
        _PROBE.exchange(X25519PublicKey.from_public_bytes(key))
    except ValueError:
        return False
    return True
