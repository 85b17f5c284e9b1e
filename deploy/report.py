"""`report.html`: one self-contained page about a run: what was shown, the metric by round, rewards by node, gas by call."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")  # no display
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from deploy.summary import Claim, better_alone
from incentives.rewards import CWT

INK, MUTED, ACCENT, GOOD, BAD = "#1c2733", "#7a8794", "#2563a8", "#2e8b57", "#c0392b"
ROLE_COLOURS = {"trainer": ACCENT, "verifier": "#5aa9c9", "attester": "#b9d7e6"}

_STYLE = (Path(__file__).parent / "report.css").read_text("utf-8")


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _axes(width: float, height: float) -> tuple[Figure, Any]:
    figure, axes = plt.subplots(figsize=(width, height), facecolor="white")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#c8d0d8")
    axes.tick_params(colors=INK, labelsize=9, length=3)
    return figure, axes


def metric_plot(summary: Mapping[str, Any]) -> str:
    """Metric by round, with every baseline as a line of its own."""
    figure, axes = _axes(8.4, 3.6)
    base, names = summary["baseline"], summary["names"]
    values = [base["pretrained"], *(r["metric_after"] for r in summary["rounds"])]
    x = list(range(len(values)))
    ticks: list[tuple[float, str, str]] = [(base["pretrained"], "pretrained", MUTED)]
    for address, value in base["single_clients"].items():
        ticks.append((value, f"alone: {names[address]}", "#9aa7b3"))
    if base["centralised"] is not None:
        ticks.append((base["centralised"], "centralised", GOOD))
    for value, _, colour in ticks:
        axes.axhline(value, color=colour, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes.plot(x, values, color=ACCENT, linewidth=2.4, marker="o", markersize=6, zorder=3)
    known = [value for value in values if value is not None] + [value for value, _, _ in ticks]
    low, high = min(known), max(known)
    pad = max(high - low, 1e-3) * 0.08
    axes.set_ylim(low - pad, high + pad)
    gap = (high - low + 2 * pad) * 0.052
    placed = _spread([*ticks, (values[-1], "federated", ACCENT)], gap)
    for (value, label, colour), y in placed:
        axes.annotate(
            f"{label}  {value:.4f}", (x[-1] + 0.12, y), fontsize=8.5, va="center", annotation_clip=False,
            color=colour if colour != "#9aa7b3" else MUTED, fontweight="bold" if label == "federated" else "normal",
        )  # fmt: skip
    axes.set_xlim(-0.1, x[-1] + 0.08)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("after round", color=INK, fontsize=9)
    axes.set_ylabel("MRR, held-out repositories", color=INK, fontsize=9)
    return _svg(figure)


def _spread(labels: Sequence[tuple[float, str, str]], gap: float) -> list[tuple[tuple[float, str, str], float]]:
    """Heights for labels so that none overlap, each as near its value as its neighbours allow."""
    placed: list[tuple[tuple[float, str, str], float]] = []
    floor = float("-inf")
    for label in sorted(labels, key=lambda entry: entry[0]):
        floor = max(label[0], floor + gap)
        placed.append((label, floor))
    return placed


def rewards_plot(summary: Mapping[str, Any]) -> str:
    """Rewards by node and role, stacked."""
    figure, axes = _axes(8.4, 0.42 * len(summary["why"]) + 0.9)
    labels = [summary["names"][address] for address in summary["why"]]
    left = [0.0] * len(labels)
    for role, colour in ROLE_COLOURS.items():
        amounts = [sum(int(line[role]) for line in lines) / CWT for lines in summary["why"].values()]
        axes.barh(labels, amounts, left=left, color=colour, label=role, height=0.62)
        left = [a + b for a, b in zip(left, amounts, strict=True)]
    for y, total in enumerate(left):
        axes.annotate(f" {total:,.0f}" if total else " 0, nothing", (total, y), va="center", fontsize=9, color=INK)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("CWT", color=INK, fontsize=9)
    axes.legend(frameon=False, fontsize=8.5, loc="lower right")
    return _svg(figure)


def gas_plot(summary: Mapping[str, Any]) -> str:
    """Mean gas by call."""
    calls = sorted(summary["gas"].items(), key=lambda entry: entry[1])
    figure, axes = _axes(8.4, 0.3 * len(calls) + 0.8)
    axes.barh([name for name, _ in calls], [gas for _, gas in calls], color=ACCENT, height=0.62)
    for y, (_, gas) in enumerate(calls):
        axes.annotate(f" {gas:,}", (gas, y), va="center", fontsize=8.5, color=INK)
    axes.margins(x=0.12)
    axes.set_xlabel("mean gas per call", color=INK, fontsize=9)
    return _svg(figure)


def _number(value: float | None, form: str = ".4f") -> str:
    return "–" if value is None else format(value, form)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are HTML; columns named with a trailing # are numbers."""
    kinds = [' class="n"' if column.endswith("#") else "" for column in columns]
    head = "".join(f"<th{kind}>{escape(column.rstrip('#'))}</th>" for kind, column in zip(kinds, columns, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds, row, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _name(summary: Mapping[str, Any], address: str) -> str:
    css = ' class="attacker"' if address in summary["attacker"] else ""
    return f'<span{css} title="{address}">{escape(summary["names"].get(address, address))}</span>'


def _rounds_table(summary: Mapping[str, Any]) -> str:
    rows = []
    for r in summary["rounds"]:
        refused = "<br>".join(f"{_name(summary, entry['addr'])}: {escape(entry['reason'])}" for entry in r["rejected"])
        rows.append(
            [
                str(r["round"]), _number(r["metric_before"]), _number(r["metric_after"]), str(len(r["accepted"])),
                refused or "–", str(r["distinct_model_hashes"]), f"<code>{(r['model_hash'] or '–')[:16]}</code>", f"{r['seconds']}",
            ]
        )  # fmt: skip
    return _table(
        ("round#", "before#", "after#", "accepted#", "refused", "distinct models#", "model", "seconds#"), rows
    )


def _members_table(summary: Mapping[str, Any]) -> str:
    rows = []
    for address, lines in summary["why"].items():
        verdicts = "<br>".join(
            f"{line['round']}: {line['verdict'].lower()} {line['gain_ppm']:+,}"
            for line in lines
            if line["gain_ppm"] is not None
        )
        alone = summary["baseline"]["single_clients"].get(address)
        rows.append(
            [
                _name(summary, address), escape(", ".join(summary["repositories"][address][:3])), verdicts,
                f"{int(summary['rewards'][address]) / CWT:,.1f}", f"{int(summary['stakes'][address]) / CWT:,.1f}", _number(alone),
            ]
        )  # fmt: skip
    return _table(
        ("member", "trains on", "round: verdict, gain (ppm)", "earned CWT#", "stake CWT#", "alone MRR#"), rows
    )


def _release(summary: Mapping[str, Any]) -> str:
    """The release: how it was decided, how it scores, who owns it; nothing where there was none."""
    release = summary["release"]
    if release is None or "error" in release:
        return ""
    proposal, total = release["proposal"], int(release["credit_total"])
    amounts = {key: f"{int(proposal[key]) / CWT:,.0f}" for key in ("for", "against", "quorum")}
    rows = [
        [
            _name(summary, account),
            f"{100 * int(credit) / total:.2f} %",
            f"{int(proposal['votes'].get(account, 0)) / CWT:,.0f}",
        ]
        for account, credit in release["credits"].items()
    ]
    scores = ", ".join(f"{escape(name)} {ppm / 1e6:.4f}" for name, ppm in sorted(release["scores_ppm"].items()))
    return f"""<h2>Release {escape(release["version"])}</h2>
<p class="lead">The model of round {release["round"]}: {scores}. Proposal {proposal["number"]} passed with {amounts["for"]} votes for and
{amounts["against"]} against (quorum {amounts["quorum"]}) and was carried out by the timelock. Fetched into
<code>{escape(release["folder"])}</code>; {release["verified"]["checked"]} files are what the chain says.</p>
{_table(("owner", "share#", "votes#"), rows)}"""


def render(summary: Mapping[str, Any], found: Sequence[Claim]) -> str:
    """The page."""
    base, rounds = summary["baseline"], summary["rounds"]
    tiles = [
        (f"{_number(base['pretrained'])} → {_number(base['federated'])}", "MRR, pretrained → federated"),
        (
            f"{sum(len(r['accepted']) for r in rounds)} / {sum(len(r['rejected']) for r in rounds)}",
            "updates accepted / refused",
        ),
        (str(max((r["distinct_model_hashes"] for r in rounds), default=0)), "distinct models among all nodes"),
        (
            f"{sum(summary['audit']['checked'].values()):,}",
            "audit checks, " + ("all passed" if summary["audit"]["ok"] else "FAILED"),
        ),
        (f"{summary['duration_s']:.0f} s", "from start to audit"),
    ]
    claims = "".join(
        f'<li class="{"yes" if c.holds else "no"}{"" if c.required else " goal"}">{escape(c.text)}{"" if c.required else " (goal)"}</li>'
        for c in found
    )
    missing = []
    if not base["single_clients"]:
        missing.append("single-client baselines were not run")
    if base["centralised"] is None:
        missing.append("centralised training was not run (make demo BASELINES=1)")
    plain = "".join(f"<p class='lead'>{escape(sentence)}.</p>" for sentence in better_alone(summary))
    note = plain
    if missing:
        note += f"<p class='lead'>Not computed in this run: {'; '.join(missing)}.</p>"
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Commonweight: a federated run</title><style>{_STYLE}</style>
<main><h1>Commonweight</h1>
<p class="lead">{len(summary["names"])} nodes, {len(summary["attacker"])} of them hostile, {len(rounds)} rounds of
federated LoRA fine-tuning for code search, on a local chain, IPFS and libp2p. Seed {escape(str(summary["settings"].get("seed")))}.</p>
<div class="tiles">{"".join(f'<div class="tile"><b>{value}</b><span>{escape(label)}</span></div>' for value, label in tiles)}</div>
<h2>What this run shows</h2><ul class="claims">{claims}</ul>
<h2>Metric by round</h2><figure>{metric_plot(summary)}
<figcaption>Mean reciprocal rank on the public benchmark: repositories nobody trained on.
Dashed: the pretrained model, each honest client alone on its own data, centralised training.</figcaption></figure>{note}
<h2>Rewards by node</h2><figure>{rewards_plot(summary)}
<figcaption>Paid for accepted updates, for scores that match the settled median, and for right attestations.</figcaption></figure>
<h2>Members</h2>{_members_table(summary)}
{_release(summary)}
<h2>Rounds</h2>{_rounds_table(summary)}
<h2>Gas by call</h2><figure>{gas_plot(summary)}
<figcaption>Read from the receipts of this run; independent of the model's size.</figcaption></figure>
</main></html>
"""
