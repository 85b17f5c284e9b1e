"""What a grid of results says: means with intervals, comparisons paired by seed, the paper's claims, the paper's numbers beside ours.

All intervals are 95 % t intervals over seeds (`learning.experiment.statistics`). A seed draws data, partition and batches, so intervals of
single means hold the data's spread too; the paired ones do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from learning.experiment.paper import NOT_AT_HAND, published, tables
from learning.experiment.settings import ALONE, Experiment
from learning.experiment.statistics import Paired, estimate, paired

Result = Mapping[str, Any]
REFERENCE = "fedavg"
PAPER_S = ("fedavg", "fedtrimmedavg", "fedmedian", "fedprox")
SHOWN, LEANING, REFUTED = "shown", "not significant", "the opposite"


@dataclass(frozen=True, slots=True)
class Group:
    """The cells that differ in their seed alone.

    Attributes:
        task: its name.
        model: what tables call it.
        partition: likewise.
        algorithm: likewise.
        metric: what is compared.
        kind: of partition.
        budget: of a single client.
        of: the partition a single client is one of.
        base: the algorithm's name without its settings.
        values: the metric by seed.
        failed: seeds that diverged.
    """

    task: str
    model: str
    partition: str
    algorithm: str
    metric: str
    kind: str
    budget: str
    of: str
    base: str
    values: Mapping[int, float]
    failed: tuple[int, ...]


def groups(results: Sequence[Result]) -> list[Group]:
    """Results by everything but the seed, in the order in which they come."""
    found: dict[tuple[str, ...], Group] = {}
    for result in results:
        names, settings = result["labels"], result["settings"]
        key = (names["task"], names["model"], names["partition"], names["algorithm"])
        if key not in found:
            part = settings["partition"]
            found[key] = Group(
                *key, names["metric"], part["kind"], part["budget"], part["of"], settings["algorithm"]["name"], {}, ()
            )
        group = found[key]
        if "failed" in result:
            found[key] = replace(group, failed=(*group.failed, settings["seed"]))
        else:
            value = result["metrics"][group.metric]
            found[key] = replace(group, values={**group.values, settings["seed"]: value})
    return list(found.values())


def build(experiment: Experiment, results: Sequence[Result]) -> dict[str, Any]:
    """The report as plain JSON values."""
    found = groups(results)
    rows = [_row(experiment, group) for group in found]
    comparisons, claims = [], []
    for task, model in dict.fromkeys((g.task, g.model) for g in found):
        own = [g for g in found if (g.task, g.model) == (task, model)]
        comparisons += _comparisons(own)
        claims += _claims(own)
    digests = {(r["labels"]["task"], r["settings"]["seed"], r["data"]["sha256"]) for r in results}
    seeds = {(task, seed) for task, seed, _ in digests}
    warnings = _one_label(results)
    if len(digests) > len(seeds):
        warnings.append(
            "Cells of one task and seed were run on different data: packages changed in between. Run them again with --force."
        )
    return {
        "name": experiment.name,
        "title": experiment.title,
        "table": experiment.table,
        "note": experiment.note,
        "seeds": list(experiment.seeds),
        "rounds": experiment.rounds,
        "epochs": experiment.epochs,
        "rows": rows,
        "before": _before(results),
        "comparisons": comparisons,
        "claims": claims,
        "warnings": warnings,
        "data": [{"task": t, "seed": s, "sha256": d[:16]} for t, s, d in sorted(digests)],
        "machines": _distinct([r["machine"] for r in results]),
        "versions": _distinct([r["versions"] for r in results]),
        "seconds": round(sum(r.get("seconds", 0.0) for r in results), 1),
    }


def _before(results: Sequence[Result]) -> list[dict[str, Any]]:
    """The metric of each task's models before any training, mean over seeds."""
    found: dict[tuple[str, str, str], dict[int, float]] = {}
    for result in results:
        names = result["labels"]
        if names["metric"] in result.get("before", {}):
            values = found.setdefault((names["task"], names["model"], names["metric"]), {})
            values[result["settings"]["seed"]] = result["before"][names["metric"]]
    rows = []
    for (task, model, metric), values in found.items():
        known = estimate(list(values.values()))
        rows.append(
            {"task": task, "model": model, "metric": metric, "mean": known.mean, "half_width": known.half_width}
        )
    return rows


def _one_label(results: Sequence[Result]) -> list[str]:
    """How many clients of each partition saw one label only, over its seeds."""
    found: dict[tuple[str, str], dict[int, tuple[int, int]]] = {}
    for result in results:
        part, names = result["partition"], result["labels"]
        if part["warnings"]:
            place = (names["task"], names["partition"])
            found.setdefault(place, {})[result["settings"]["seed"]] = (len(part["warnings"]), len(part["examples"]))
    return [
        f"{task}, {partition}: {sum(n for n, _ in by_seed.values())} of {sum(k for _, k in by_seed.values())} clients see one label only."
        for (task, partition), by_seed in found.items()
    ]


def _row(experiment: Experiment, group: Group) -> dict[str, Any]:
    known = estimate(list(group.values.values())) if group.values else None
    as_there = group.kind != "single_client" or group.budget == "own"
    theirs = published(experiment.table, group.kind, "–" if group.kind in ALONE else group.base, group.metric)
    return {
        "task": group.task,
        "model": group.model,
        "partition": group.partition,
        "kind": group.kind,
        "algorithm": group.algorithm,
        "metric": group.metric,
        "values": {str(seed): value for seed, value in sorted(group.values.items())},
        "mean": known.mean if known else None,
        "half_width": known.half_width if known else None,
        "failed": list(group.failed),
        "paper": [{"model": p.model, "value": p.value} for p in theirs] if as_there else [],
    }


def _comparisons(own: Sequence[Group]) -> list[dict[str, Any]]:
    """Every algorithm against FedAvg on the same partition."""
    found = []
    for partition in dict.fromkeys(g.partition for g in own if g.kind not in ALONE):
        there = {g.algorithm: g for g in own if g.partition == partition}
        if REFERENCE not in there:
            continue
        for name, group in there.items():
            compared = paired(there[REFERENCE].values, group.values)
            if name != REFERENCE and compared is not None:
                found.append({**_head(group), "partition": partition, "algorithm": name, **_difference(compared)})
    return found


def _claims(own: Sequence[Group]) -> list[dict[str, Any]]:
    """The paper's three claims, each as a difference paired by seed: of FedAvg, and of the mean of the paper's four algorithms."""
    found = []
    central = next((g for g in own if g.kind == "centralised"), None)
    singles = [g for g in own if g.kind == "single_client"]
    lower = own[0].metric == "loss"
    kinds = {g.kind: g.partition for g in own if g.kind not in ALONE}
    four = {p: _average([g for g in own if g.partition == p and g.base in PAPER_S]) for p in kinds.values()}
    plain = {p: next((g.values for g in own if g.partition == p and g.base == REFERENCE), {}) for p in kinds.values()}
    for which, values in ((REFERENCE, plain), ("mean of the paper's four", four)):
        for single in singles:
            if single.of in kinds:
                place = kinds[single.of]
                text = f"{single.partition} < federated ({place})"
                found.append(_claim(own[0], text, which, single.values, values[place], lower=lower))
        if central is not None:
            for place in kinds.values():
                text = f"federated ({place}) − centralised"
                found.append(_claim(own[0], text, which, central.values, values[place], lower=lower, gap=True))
        if "label_imbalanced" in kinds and "uniform" in kinds:
            label, uniform = values[kinds["label_imbalanced"]], values[kinds["uniform"]]
            found.append(_claim(own[0], "label imbalanced < uniform", which, label, uniform, lower=lower))
            for kind in ("quantity_imbalanced", "by_repository"):
                if kind in kinds:
                    text = f"label imbalanced < {kinds[kind]}"
                    found.append(_claim(own[0], text, which, label, values[kinds[kind]], lower=lower))
    return [claim for claim in found if claim]


def _average(some: Sequence[Group]) -> dict[int, float]:
    """Mean over algorithms by seed, of the seeds in which none failed."""
    seeds = set.intersection(*(set(g.values) for g in some)) if some else set()
    return {seed: sum(g.values[seed] for g in some) / len(some) for seed in sorted(seeds)}


def _claim(
    group: Group,
    text: str,
    which: str,
    first: Mapping[int, float],
    second: Mapping[int, float],
    *,
    lower: bool,
    gap: bool = False,
) -> dict[str, Any]:
    compared = paired(second, first) if lower else paired(first, second)
    if compared is None:
        return {}
    difference = compared.difference
    if gap:
        verdict = "differs" if difference.excludes_zero else "no difference seen"
    elif difference.excludes_zero:
        verdict = SHOWN if difference.mean > 0 else REFUTED
    else:
        verdict = LEANING
    return {**_head(group), "claim": text, "algorithm": which, **_difference(compared), "verdict": verdict}


def _head(group: Group) -> dict[str, Any]:
    return {"task": group.task, "model": group.model, "metric": group.metric}


def _difference(compared: Paired) -> dict[str, Any]:
    return {
        "difference": compared.difference.mean,
        "half_width": compared.difference.half_width,
        "better": compared.better,
        "seeds": len(compared.seeds),
    }


def _distinct(items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [dict(pairs) for pairs in dict.fromkeys(tuple(sorted(item.items())) for item in items)]


def shown(value: float | None, half_width: float | None, metric: str) -> str:
    """``0.9012 ± 0.0034``; BLEU with two digits."""
    if value is None:
        return "–"
    digits = 2 if metric.startswith("bleu") else 4
    return f"{value:.{digits}f}" + ("" if half_width is None else f" ± {half_width:.{digits}f}")


def signed(value: float, half_width: float | None, metric: str) -> str:
    """The same with a sign."""
    return ("+" if value >= 0 else "−") + shown(abs(value), half_width, metric)


def paper_text(numbers: Sequence[Mapping[str, Any]], metric: str) -> str:
    """The paper's numbers of a row."""
    digits = 2 if metric.startswith("bleu") else 4
    return ", ".join(f"{n['model']} {n['value']:.{digits}f}".strip() for n in numbers) or NOT_AT_HAND


def markdown(report: Mapping[str, Any], picture: str = "") -> str:
    """The report as a section of a Markdown page."""
    seeds = ", ".join(map(str, report["seeds"]))
    lines = [f"## {report['title']}", ""]
    if report["note"]:
        lines += [report["note"], ""]
    lines += [
        f"Seeds {seeds}; {report['rounds']} rounds of {report['epochs']:g} epoch(s); mean ± half of the 95 % t interval.",
        "",
    ]
    for row in report["before"]:
        lines += [f"{row['model']} before any training: {shown(row['mean'], row['half_width'], row['metric'])}.", ""]
    for model in dict.fromkeys(row["model"] for row in report["rows"]):
        lines += _model_markdown([row for row in report["rows"] if row["model"] == model], report["table"])
    lines += _claims_markdown(report)
    if picture:
        lines += ["", f"![{report['title']}: every partition and algorithm]({picture})"]
    lines += ["", *(f"* {warning}" for warning in report["warnings"])] if report["warnings"] else []
    return "\n".join(lines).rstrip() + "\n"


def _model_markdown(rows: Sequence[Mapping[str, Any]], table: int) -> list[str]:
    """Who learned alone, then algorithms by partitions; below each number the paper's."""
    metric, model = rows[0]["metric"], rows[0]["model"]

    def cell(row: Mapping[str, Any] | None) -> str:
        if row is None:
            return "–"
        text = shown(row["mean"], row["half_width"], metric)
        if row["failed"]:
            text += f" (diverged: seeds {', '.join(map(str, row['failed']))})"
        return text + (f"<br>paper: {paper_text(row['paper'], metric)}" if table else "")

    lonely = [row for row in rows if row["kind"] in ALONE]
    names = list(dict.fromkeys(row["partition"] for row in rows if row["kind"] not in ALONE))
    lines = []
    if lonely:
        heads = " | ".join(row["partition"] for row in lonely)
        lines += [f"| {model}, {metric} | {heads} |", "|---" * (len(lonely) + 1) + "|"]
        lines += [f"| alone | {' | '.join(map(cell, lonely))} |", ""]
    if names:
        lines += [f"| {model}, {metric} | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for algorithm in dict.fromkeys(row["algorithm"] for row in rows if row["kind"] not in ALONE):
        there = {row["partition"]: row for row in rows if row["algorithm"] == algorithm}
        lines.append(f"| {algorithm} | {' | '.join(cell(there.get(name)) for name in names)} |")
    return [*lines, ""]


def _claims_markdown(report: Mapping[str, Any]) -> list[str]:
    lines = ["| claim | algorithm | difference, paired by seed | seeds above 0 | |", "|---|---|---|---|---|"]
    for claim in report["claims"]:
        value = signed(claim["difference"], claim["half_width"], claim["metric"])
        lines.append(
            f"| {claim['claim']} | {claim['algorithm']} | {value} | {claim['better']} of {claim['seeds']} | {claim['verdict']} |"
        )
    apart = [c for c in report["comparisons"] if c["half_width"] is not None and abs(c["difference"]) > c["half_width"]]
    if report["comparisons"]:
        texts = [
            f"{c['algorithm']} on {c['partition']} {signed(c['difference'], c['half_width'], c['metric'])}"
            for c in apart
        ]
        lines += [
            "",
            "Against FedAvg on the same partition, intervals without 0: " + ("; ".join(texts) or "none") + ".",
        ]
    return lines


def source() -> str:
    """Where the paper's numbers come from."""
    return str(tables()["source"])
