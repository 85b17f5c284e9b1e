"""Deals a data set out to clients: the six settings of the study on federated code models (arXiv 2404.06201), and Dirichlet.

| kind | what a client gets |
|---|---|
| ``centralised`` | there is one client, with everything |
| ``single_client`` | as ``uniform``, but only the client ``client`` trains: what it reaches alone |
| ``uniform`` | sizes differ by at most one, drawn at random |
| ``label_imbalanced`` | equal sizes; ``skew``/1000 of each label lies in one stretch of clients, the rest is spread evenly |
| ``quantity_imbalanced`` | client i is ``ratio`` times as large as client i + 1; labels drawn at random |
| ``by_repository`` | whole repositories, the largest first to the client that has least |
| ``dirichlet`` | shares of each label, of each repository or of everything (``over``) drawn from Dirichlet(``alpha``): arXiv 1909.06335 |

Pure and seeded. "At random" is the order of SHA-256(seed, index), shares are rounded by largest remainders in integers: equal on every
machine and version. Dirichlet alone draws floats (numpy's PCG64). Every example is with exactly one client; a client without examples is
refused, one that sees a single label is named in `learning.partition_summary.Summary.warnings`, or refused with ``two_labels``.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from learning.errors import DataError, SpecError

PartitionKind = Literal[
    "centralised", "single_client", "uniform", "label_imbalanced", "quantity_imbalanced", "by_repository", "dirichlet"
]
KINDS: tuple[PartitionKind, ...] = (
    "centralised",
    "single_client",
    "uniform",
    "label_imbalanced",
    "quantity_imbalanced",
    "by_repository",
    "dirichlet",
)
_DRAWS = 100
MOST_UNEQUAL = 256


@dataclass(frozen=True, slots=True)
class Settings:
    """How to partition; what a kind does not use is ignored.

    Attributes:
        kind: see the module's head.
        clients: how many, 1…100,000; ``centralised`` has one whatever this says.
        seed: fixes every draw.
        client: the one that trains in ``single_client``.
        skew: thousandths of each label that lie together in ``label_imbalanced``; 0 is uniform, 1000 the sorted extreme.
        ratio: size of a client over that of the next in ``quantity_imbalanced``, > 1.
        alpha: Dirichlet's concentration > 0: 0.1 is very uneven, 100 almost even.
        over: what Dirichlet's shares are of: ``labels``, ``repositories`` or ``quantity``.
        two_labels: refuse a partition in which a client sees one label while there are several.
    """

    kind: PartitionKind
    clients: int = 5
    seed: int = 0
    client: int = 0
    skew: int = 800
    ratio: Fraction = Fraction(2)
    alpha: float = 0.5
    over: Literal["labels", "repositories", "quantity"] = "labels"
    two_labels: bool = False

    def __post_init__(self) -> None:
        """Check every range.

        Raises:
            SpecError: the first setting that is wrong, by name.
        """
        checks = (
            (self.kind in KINDS, f"kind must be one of {', '.join(KINDS)}, not {self.kind!r}"),
            (1 <= self.clients <= 100_000, f"clients must be 1 to 100000, not {self.clients}"),
            (0 <= self.client < self.clients, f"client must be 0 to {self.clients - 1}, not {self.client}"),
            (0 <= self.skew <= 1000, f"skew must be 0 to 1000, not {self.skew}"),
            (1 < self.ratio <= 1000, f"ratio must be above 1 and at most 1000, not {self.ratio}"),
            (1e-3 <= self.alpha <= 1e6, f"alpha must be 0.001 to 1000000, not {self.alpha}"),
            (self.over in {"labels", "repositories", "quantity"}, f"over cannot be {self.over!r}"),
        )
        for holds, message in checks:
            if not holds:
                raise SpecError(f"The partition setting {message}.")


@dataclass(frozen=True, slots=True)
class Partition:
    """Who has what.

    Attributes:
        settings: how it was made.
        clients: indices of each client's examples, ascending; together every index once.
        trains: the clients that take part; all but in ``single_client``.
    """

    settings: Settings
    clients: tuple[tuple[int, ...], ...]
    trains: tuple[int, ...]


def partition(
    settings: Settings, labels: Sequence[str], repositories: Sequence[str], *, labelled: bool = True
) -> Partition:
    """Deal out the examples 0…n−1.

    Args:
        settings: see `Settings`.
        labels: each example's class (`TaskData.strata`).
        repositories: each example's repository.
        labelled: whether these classes are labels that a client should see more than one of (`Task.labelled`).

    Raises:
        DataError: fewer examples, labels or repositories than the kind needs, or a client would have no example (or one label only, where
            that is refused).
    """
    if len(labels) != len(repositories):
        raise DataError(f"There are {len(labels)} labels and {len(repositories)} repositories; one of each an example.")
    count = 1 if settings.kind == "centralised" else settings.clients
    if len(labels) < count:
        raise DataError(
            f"{len(labels)} examples cannot be dealt out to {count} clients.",
            hint="Ask for fewer clients, or more examples.",
        )
    match settings.kind:
        case "centralised":
            dealt = [list(range(len(labels)))]
        case "uniform" | "single_client":
            dealt = _deal(_order(range(len(labels)), settings.seed), [1] * count)
        case "label_imbalanced":
            dealt = _label_imbalanced(labels, settings)
        case "quantity_imbalanced":
            if count > MOST_UNEQUAL:
                raise DataError(f"quantity_imbalanced knows at most {MOST_UNEQUAL} clients, not {count}.")
            weights = [settings.ratio ** (count - 1 - i) for i in range(count)]
            dealt = _deal(_order(range(len(labels)), settings.seed), weights)
        case "by_repository":
            dealt = _by_repository(repositories, settings)
        case "dirichlet":
            dealt = _dirichlet(labels, repositories, settings)
    _check(dealt, labels, settings, labelled=labelled)
    trains = (settings.client,) if settings.kind == "single_client" else tuple(range(count))
    return Partition(settings, tuple(tuple(sorted(rows)) for rows in dealt), trains)


def apportion(total: int, weights: Sequence[int | Fraction]) -> list[int]:
    """``total`` split in proportion to ``weights``, by largest remainders (ties: the earlier), summing to ``total`` exactly."""
    whole = sum(Fraction(w) for w in weights)
    if whole <= 0:
        raise SpecError("Shares cannot be computed from weights that are all zero.")
    exact = [total * Fraction(w) / whole for w in weights]
    counts = [int(e) for e in exact]
    order = sorted(range(len(exact)), key=lambda i: (counts[i] - exact[i], i))
    for place in order[: total - sum(counts)]:
        counts[place] += 1
    return counts


def _order(indices: Sequence[int], seed: int, salt: str = "") -> list[int]:
    return sorted(indices, key=lambda i: hashlib.sha256(f"{seed}\0{salt}\0{i}".encode()).digest())


def _deal(order: Sequence[int], weights: Sequence[int | Fraction]) -> list[list[int]]:
    """Consecutive stretches of ``order``, sized by `apportion`."""
    result, start = [], 0
    for count in apportion(len(order), weights):
        result.append(list(order[start : start + count]))
        start += count
    return result


def _label_imbalanced(labels: Sequence[str], settings: Settings) -> list[list[int]]:
    names = sorted(set(labels))
    if len(names) < 2:
        raise DataError(
            f"Labels cannot be imbalanced: all examples are of the class {names[0]!r}.",
            hint="Use quantity_imbalanced, by_repository or dirichlet over repositories for this task.",
        )
    together: list[int] = []
    spread: list[int] = []
    for name in names:
        own = _order([i for i, label in enumerate(labels) if label == name], settings.seed)
        cut = len(own) * settings.skew // 1000
        together += own[:cut]
        spread += own[cut:]
    weights = [1] * settings.clients
    stretches = _deal(together, weights)
    sizes = apportion(len(labels), weights)
    rest, start = _order(spread, settings.seed, "spread"), 0
    for stretch, size in zip(stretches, sizes, strict=True):
        missing = size - len(stretch)
        stretch.extend(rest[start : start + missing])
        start += missing
    turn = _order(range(settings.clients), settings.seed, "clients")
    return [stretches[i] for i in turn]


def _by_repository(repositories: Sequence[str], settings: Settings) -> list[list[int]]:
    members: dict[str, list[int]] = {}
    for index, name in enumerate(repositories):
        members.setdefault(name, []).append(index)
    if len(members) < settings.clients:
        raise DataError(
            f"The examples come from {len(members)} repositories; {settings.clients} clients need as many at least.",
            why="The source may not say where its examples come from." if "" in members else "",
            hint="Ask for fewer clients.",
        )
    turn = {n: hashlib.sha256(f"{settings.seed}\0{n}".encode(errors="surrogateescape")).digest() for n in members}
    dealt: list[list[int]] = [[] for _ in range(settings.clients)]
    for name in sorted(members, key=lambda n: (-len(members[n]), turn[n])):
        smallest = min(range(settings.clients), key=lambda c: (len(dealt[c]), c))
        dealt[smallest] += members[name]
    return dealt


def _dirichlet(labels: Sequence[str], repositories: Sequence[str], settings: Settings) -> list[list[int]]:
    strata = {"labels": labels, "repositories": repositories, "quantity": [""] * len(labels)}[settings.over]
    members: dict[str, list[int]] = {}
    for index, name in enumerate(strata):
        members.setdefault(name, []).append(index)
    generator = np.random.Generator(np.random.PCG64(settings.seed))
    for _ in range(_DRAWS):
        dealt: list[list[int]] = [[] for _ in range(settings.clients)]
        for name in sorted(members):
            shares = generator.dirichlet([settings.alpha] * settings.clients)
            weights = [int(share * 2**40) for share in shares]
            for client, part in zip(dealt, _deal(_order(members[name], settings.seed), weights), strict=True):
                client.extend(part)
        if all(dealt):
            return dealt
    raise DataError(
        f"In {_DRAWS} draws of Dirichlet({settings.alpha}) over {settings.over} some client always had no example.",
        hint="Use a larger alpha, fewer clients, or more examples.",
    )


def _check(dealt: Sequence[Sequence[int]], labels: Sequence[str], settings: Settings, *, labelled: bool) -> None:
    empty = [client for client, rows in enumerate(dealt) if not rows]
    if empty:
        raise DataError(
            f"Client {empty[0]} of {len(dealt)} would have no example.",
            hint="Use fewer clients, a smaller ratio, or more examples.",
        )
    if settings.two_labels and labelled and len(set(labels)) > 1:
        for client, rows in enumerate(dealt):
            seen = {labels[i] for i in rows}
            if len(seen) == 1:
                raise DataError(
                    f"Client {client} would see the label {seen.pop()!r} only.",
                    why="Such a client cannot learn to tell labels apart.",
                    hint="Use a smaller skew or a larger alpha, or allow it (two_labels = false).",
                )


def describe(settings: Settings) -> dict[str, Any]:
    """The settings as plain JSON values."""
    return {
        "kind": settings.kind,
        "clients": 1 if settings.kind == "centralised" else settings.clients,
        "seed": settings.seed,
        "client": settings.client,
        "skew": settings.skew,
        "ratio": str(settings.ratio),
        "alpha": settings.alpha,
        "over": settings.over,
        "two_labels": settings.two_labels,
    }


def counts(names: Sequence[str], rows: Sequence[int]) -> Counter[str]:
    """How many of ``rows`` bear each name."""
    return Counter(names[i] for i in rows)
