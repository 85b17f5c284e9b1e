"""What every client got, as a mapping, a table for people, and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from learning.errors import DataError
from learning.partition import Partition, counts, describe

MOST_SHOWN = 8
_COLOURS = (
    "#2563a8",
    "#e08a2c",
    "#2e8b57",
    "#c0392b",
    "#7d5ba6",
    "#5aa9c9",
    "#b58900",
    "#7a8794",
    "#d6a5c0",
    "#9fbf7f",
)


@dataclass(frozen=True, slots=True)
class ClientSummary:
    """One client: number of examples, of each class, of each repository; whether it trains."""

    client: int
    examples: int
    labels: dict[str, int]
    repositories: dict[str, int]
    trains: bool


@dataclass(frozen=True, slots=True)
class Summary:
    """What every client got, and what to beware of."""

    settings: dict[str, Any]
    clients: tuple[ClientSummary, ...]
    warnings: tuple[str, ...]

    def to_mapping(self) -> dict[str, Any]:
        """As plain JSON values."""
        clients = [
            {
                "client": c.client,
                "examples": c.examples,
                "labels": c.labels,
                "repositories": c.repositories,
                "trains": c.trains,
            }
            for c in self.clients
        ]
        return {"settings": self.settings, "clients": clients, "warnings": list(self.warnings)}


def summarise(
    found: Partition, labels: Sequence[str], repositories: Sequence[str], *, labelled: bool = True
) -> Summary:
    """Count every client's examples by class and by repository; warn of clients that see one label only."""
    rows = []
    warnings = []
    for client, indices in enumerate(found.clients):
        classes, places = counts(labels, indices), counts(repositories, indices)
        rows.append(
            ClientSummary(
                client,
                len(indices),
                dict(sorted(classes.items())),
                dict(sorted(places.items(), key=lambda item: (-item[1], item[0]))),
                client in found.trains,
            )
        )
        if labelled and len(classes) == 1 and len(set(labels)) > 1:
            warnings.append(f"Client {client} sees the label {next(iter(classes))!r} only.")
    return Summary(describe(found.settings), tuple(rows), tuple(warnings))


def as_table(summary: Summary) -> Table:
    """One row a client: examples, share of each class, repositories (the largest named)."""
    names = sorted({name for client in summary.clients for name in client.labels})
    shown = names if len(names) <= MOST_SHOWN else []
    table = Table(title=f"Partition: {summary.settings['kind']}, seed {summary.settings['seed']}")
    table.add_column("client", justify="right")
    table.add_column("examples", justify="right")
    for name in shown:
        table.add_column(escape(name), justify="right")
    if not shown:
        table.add_column("classes", justify="right")
    table.add_column("repositories")
    for client in summary.clients:
        classes = [str(client.labels.get(name, 0)) for name in shown] or [str(len(client.labels))]
        places = list(client.repositories)
        more = f" and {len(places) - 3} more" if len(places) > 3 else ""
        listed = ", ".join(f"{escape(name) or '(unknown)'} {client.repositories[name]}" for name in places[:3]) + more
        table.add_row(f"{client.client}{'' if client.trains else ' (idle)'}", str(client.examples), *classes, listed)
    return table


def plot(summary: Summary, path: Path, *, by: str = "labels") -> None:
    """A bar a client, stacked by class or by repository (the largest named, the others together), written to ``path`` (svg, png, pdf).

    Raises:
        DataError: the file cannot be written, or its ending names no picture format.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import, and only wanted here

    held = [client.labels if by == "labels" else client.repositories for client in summary.clients]
    totals: dict[str, int] = {}
    for part in held:
        for name, count in part.items():
            totals[name] = totals.get(name, 0) + count
    largest = sorted(totals, key=lambda name: (-totals[name], name))[:MOST_SHOWN]
    shown = sorted(largest) if by == "labels" else largest
    layers = {name or "(unknown)": [part.get(name, 0) for part in held] for name in shown}
    if len(totals) > len(shown):
        layers["others"] = [sum(c for n, c in part.items() if n not in shown) for part in held]
    figure = Figure(figsize=(max(4.8, 0.5 * len(held) + 2.5), 3.4), layout="constrained")
    axes = figure.subplots()
    bottom = [0] * len(held)
    for number, (name, heights) in enumerate(layers.items()):
        axes.bar(range(len(held)), heights, bottom=bottom, label=name, color=_COLOURS[number % len(_COLOURS)])
        bottom = [b + h for b, h in zip(bottom, heights, strict=True)]
    axes.set_xlabel("client")
    axes.set_ylabel("examples")
    axes.set_title(f"{summary.settings['kind'].replace('_', ' ')}, seed {summary.settings['seed']}", fontsize=10)
    if len(held) <= 30:
        axes.set_xticks(range(len(held)))
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(
        title="label" if by == "labels" else "repository", loc="outside right upper", fontsize=8, frameon=False
    )
    try:
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    except (OSError, ValueError) as error:
        raise DataError(
            f"The picture {path} could not be written.",
            why=str(error)[:200],
            hint="Use a name that ends in .svg or .png.",
        ) from error
