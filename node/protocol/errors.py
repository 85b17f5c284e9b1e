"""Every error a person can meet, each with what happened, why, what to try, and an exit code.

```
CommonweightError                 exit 1
├── ConfigError                        2   unknown key, bad value, guideline that cannot be honoured
├── KeystoreError                      3   missing, damaged or locked keystore
├── ChainError                         4
│   ├── RpcUnreachable
│   ├── ChainIdMismatch
│   └── TransactionReverted            (name and arguments of the contract's custom error)
├── BlobError                          5
│   ├── BlobStoreDown                  the IPFS node is not up
│   ├── BlobUnavailable                nobody serves this CID in time
│   │   └── EnvelopeClosed             an encrypted bundle that we cannot open
│   ├── BlobTooLarge
│   └── BlobCorrupt                    bytes do not match the CID or content hash
│       └── EnvelopeBroken             an encrypted bundle that is not what its header and content key say
├── GossipError                        6
├── SetupError                         7   missing tool, port in use, full disk
├── AuditFailed                        8   the history does not add up
├── TrainingError                      9   local training, scoring or its data
│   └── SliceUnusable                  (the rows of a benchmark slice are none of the task's)
├── LeakFound                     10   a leak audit failed: what was trained gives away what it was trained on
├── RemoteProtocolError                    a peer broke the protocol: costs the peer, never us
└── LocalProtocolError                     our own bug: crashes
```
"""

from __future__ import annotations


class CommonweightError(Exception):
    """Base of all expected failures.

    Args:
        what: what happened, one sentence.
        why: the likely cause, if known.
        hint: what to try next.
    """

    exit_code = 1

    def __init__(self, what: str, *, why: str = "", hint: str = "") -> None:
        self.what = what
        self.why = why
        self.hint = hint
        super().__init__(" ".join(part for part in (what, why, hint) if part))


class ConfigError(CommonweightError):
    """A setting is unknown, missing or out of range."""

    exit_code = 2


class KeystoreError(CommonweightError):
    """The encrypted keystore is missing, damaged, or the password is wrong."""

    exit_code = 3


class ChainError(CommonweightError):
    """The chain could not be read or written."""

    exit_code = 4


class RpcUnreachable(ChainError):
    """No answer from the RPC endpoint."""


class ChainIdMismatch(ChainError):
    """The RPC endpoint serves another chain than the configured one."""


class TransactionReverted(ChainError):
    """A contract refused a call.

    Args:
        error: name of the custom error, e.g. ``WrongPhase``.
        arguments: its decoded arguments.
    """

    def __init__(self, error: str, arguments: tuple[object, ...] = (), *, call: str = "", hint: str = "") -> None:
        self.error = error
        self.arguments = arguments
        self.call = call
        shown = ", ".join("0x" + a.hex() if isinstance(a, bytes) else str(a) for a in arguments)
        super().__init__(f"The contract refused {call or 'the call'}: {error}({shown}).", hint=hint)


class BlobError(CommonweightError):
    """Content could not be stored or fetched."""

    exit_code = 5


class BlobStoreDown(BlobError):
    """The IPFS node is not up."""


class BlobUnavailable(BlobError):
    """Nobody served the CID before the deadline."""


class EnvelopeClosed(BlobUnavailable):
    """A bundle was not encrypted to us, or our copy of its key does not open: to us it is as good as not there."""


class BlobTooLarge(BlobError):
    """The content exceeds the limit for its kind."""


class BlobCorrupt(BlobError):
    """The bytes do not match their CID or content hash."""


class EnvelopeBroken(BlobCorrupt):
    """An encrypted bundle is not what its header and its content key say: whoever can open it sees the same."""


class GossipError(CommonweightError):
    """The peer-to-peer host failed."""

    exit_code = 6


class SetupError(CommonweightError):
    """The machine lacks something: a tool, a free port, disk space."""

    exit_code = 7


class AuditFailed(CommonweightError):
    """The recorded history does not add up."""

    exit_code = 8


class TrainingError(CommonweightError):
    """Local training, scoring, or reading the training data failed."""

    exit_code = 9


class SliceUnusable(TrainingError):
    """The rows of a benchmark slice cannot be read, or are too few to say anything."""


class LeakFound(CommonweightError):
    """What was trained gives away what it was trained on, so it must not be published."""

    exit_code = 10


class RemoteProtocolError(CommonweightError):
    """A peer broke the protocol."""


class LocalProtocolError(CommonweightError):
    """We broke the protocol: a bug of ours."""
