"""What a role can ask for. The `key` names the deed: one key is carried out once, however often it is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from node.protocol.messages import Message
from node.protocol.types import Call


@dataclass(frozen=True, slots=True)
class Submit:
    """Send a transaction."""

    key: str
    call: Call


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell peers."""

    key: str
    message: Message


@dataclass(frozen=True, slots=True)
class TrainUpdate:
    """Train locally on the round's parent model."""

    round: int

    @property
    def key(self) -> str:
        """Name of the deed."""
        return f"{self.round}:train"


@dataclass(frozen=True, slots=True)
class StoreUpdate:
    """Publish our update's bytes (only once commits are closed)."""

    round: int

    @property
    def key(self) -> str:
        """Name of the deed."""
        return f"{self.round}:store-update"


@dataclass(frozen=True, slots=True)
class PrepareSlice:
    """Choose the unpublished benchmark slice of a round about to open."""

    round: int

    @property
    def key(self) -> str:
        """Name of the deed."""
        return f"{self.round}:prepare-slice"


@dataclass(frozen=True, slots=True)
class StoreSlice:
    """Publish the slice's bytes."""

    round: int

    @property
    def key(self) -> str:
        """Name of the deed."""
        return f"{self.round}:store-slice"


@dataclass(frozen=True, slots=True)
class FetchUpdate:
    """Fetch and check one revealed update. ``must``: it was accepted, so without it we cannot go on; try until it is there."""

    round: int
    index: int
    must: bool = False

    @property
    def key(self) -> str:
        """Name of the deed."""
        return f"{self.round}:{'refetch' if self.must else 'fetch'}:{self.index}"


@dataclass(frozen=True, slots=True)
class ScoreUpdates:
    """Measure the updates assigned to us and build our score word; ``retry``: the Unscored ones of our second window."""

    round: int
    retry: bool = False

    @property
    def key(self) -> str:
        """Name of the deed."""
        return f"{self.round}:{'rescore' if self.retry else 'score'}"


@dataclass(frozen=True, slots=True)
class ProveCopy:
    """Prove that the update of index ``copy`` has the bytes of ``original``, which was committed before it."""

    round: int
    original: int
    copy: int

    @property
    def key(self) -> str:
        """Name of the deed."""
        return f"{self.round}:copy:{self.copy}"


@dataclass(frozen=True, slots=True)
class Judge:
    """Find our ballot in a dispute: measure the disputed update, or hold our own aggregate against the round's."""

    dispute: int

    @property
    def key(self) -> str:
        """Name of the deed."""
        return f"dispute-{self.dispute}:judge"


@dataclass(frozen=True, slots=True)
class ComputeAggregate:
    """Combine the accepted updates into the next checkpoint."""

    round: int

    @property
    def key(self) -> str:
        """Name of the deed."""
        return f"{self.round}:aggregate"


@dataclass(frozen=True, slots=True)
class PublishKeys:
    """Publish the content keys of a final round's encrypted updates, so that anybody can audit it."""

    round: int

    @property
    def key(self) -> str:
        """Name of the deed."""
        return f"{self.round}:publish-keys"


@dataclass(frozen=True, slots=True)
class FollowGuideline:
    """Take over the guideline of an epoch: Keccak-256 hash and CID digest."""

    epoch: int
    digest: bytes
    cid: bytes

    @property
    def key(self) -> str:
        """Name of the deed."""
        return f"guideline:{self.epoch}"


@dataclass(frozen=True, slots=True)
class Apply:
    """Write, publish and send our request to join."""

    @property
    def key(self) -> str:
        """Name of the deed."""
        return "apply"


@dataclass(frozen=True, slots=True)
class ReviewApplication:
    """Fetch a newcomer's request, hold it against the guideline, and vote."""

    application: int

    @property
    def key(self) -> str:
        """Name of the deed."""
        return f"review:{self.application}"


Action = (
    Apply
    | FollowGuideline
    | PublishKeys
    | ReviewApplication
    | Submit
    | Announce
    | TrainUpdate
    | StoreUpdate
    | PrepareSlice
    | StoreSlice
    | FetchUpdate
    | ScoreUpdates
    | Judge
    | ProveCopy
    | ComputeAggregate
)
