"""`commonweight privacy`: look for leaks before publishing, add up what noise spent, find secrets in training data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from node import console
from node.cli.base import DEFAULT_CONFIG, ConfigOption, JsonOption, SetOption, group, resolve, say
from node.protocol.errors import CommonweightError, ConfigError, LeakFound, TrainingError

if TYPE_CHECKING:  # imports torch
    from learning.privacy.audit import Report
    from learning.spec import LearningSpec
    from learning.tasks.code_search import Pair
    from node.config import Config

privacy_app = group("privacy", "Leak audit, privacy ledger, secrets in training data.")


@privacy_app.command("audit")
def privacy_audit(
    file: Annotated[Path, typer.Argument(help="The update, or the trained checkpoint (safetensors).")],
    parent: Annotated[Path, typer.Option(help="Checkpoint that training began with.")],
    pairs: Annotated[
        Path | None, typer.Option(help="Rows trained on (JSONL); none: this node's own, of --round.")
    ] = None,
    holdout: Annotated[Path | None, typer.Option(help="Rows of the same source not trained on (JSONL).")] = None,
    number: Annotated[int, typer.Option("--round", help="Whose window of this node's rows was trained on.")] = 1,
    shadows: Annotated[int, typer.Option(help="Shadow trainings for the likelihood ratio (even); 0: none.")] = 0,
    canaries: Annotated[int, typer.Option(help="Canaries planted in a training like this one; 0: none.")] = 0,
    repeats: Annotated[int, typer.Option(help="How often each canary stands in the data.")] = 1,
    seed: Annotated[int, typer.Option(help="Of shadows and canaries.")] = 0,
    config: ConfigOption = DEFAULT_CONFIG,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try on an update what an attacker could: membership inference, shadows, canaries, a secret scan. Exit code 10 where it leaks."""
    from learning.errors import LearningError

    if (pairs is None) != (holdout is None):
        raise ConfigError(
            "--pairs and --holdout go together.", hint="Or leave both out: this node's own rows are taken."
        )
    settings = resolve(config, overrides)
    try:
        rows = _own_rows(settings, number) if pairs is None or holdout is None else (_rows(pairs), _rows(holdout))
        report = _audited(settings, file, parent, rows, (shadows, canaries, repeats, seed))
    except LearningError as error:
        raise TrainingError(error.what, why=error.why, hint=error.hint) from error
    _show(report, rows, as_json=as_json)
    if report.failures:
        raise LeakFound(
            f"{len(report.failures)} of the audit's findings fail: {'; '.join(map(str, report.failures))}.",
            why="What was trained tells its rows apart from others like them, or they hold secrets.",
            hint="Train less on each row, on more rows, or with noise; do not publish this. docs/privacy.md explains each test.",
        )


def _audited(
    settings: Config, file: Path, parent: Path, rows: tuple[list[Pair], list[Pair]], effort: tuple[int, int, int, int]
) -> Report:
    from learning.device import choose_device
    from learning.models.encoder import Encoder
    from learning.models.installed import find_base_model
    from learning.privacy.audit import Limits
    from learning.privacy.encoder_audit import Effort, EncoderAudit

    spec = _spec(settings)
    own = settings.learning.base_model
    model = Encoder(
        find_base_model(spec.model, Path(own) if own else None), spec, choose_device(settings.learning.device)
    )
    before, update = _tensors(parent), _tensors(file)
    if any(name.endswith("lora_A") for name in update):  # a checkpoint, not an update
        update = {name: update[name] - before[name] for name in update if name.endswith("lora_B") and name in before}
    limits = Limits(max_auc=settings.privacy.max_auc, max_tpr=settings.privacy.max_tpr)
    return EncoderAudit(model, before, *rows, limits).report(update, spec, Effort(*effort))


def _own_rows(settings: Config, number: int) -> tuple[list[Pair], list[Pair]]:
    from learning.local_training import round_window
    from node.adapters.trainer_local import read_pairs
    from node.privacy import split

    rows = split(read_pairs(settings.learning.repositories, settings.learning.cache))
    return round_window(rows.training, _spec(settings).samples_per_round, number), rows.held_out


def _spec(settings: Config) -> LearningSpec:
    from learning.spec import LearningSpec
    from node.protocol.guideline import Guideline
    from node.runtime import read_file

    data = read_file(settings.network.guideline, "guideline", "It comes with the network's files.")
    return LearningSpec.from_mapping(Guideline.parse(data).learning)


def _tensors(path: Path) -> dict[str, Any]:
    from aggregation.bundle import decode
    from aggregation.errors import AggregationError
    from node.combine import model_tensors
    from node.runtime import read_file

    data = read_file(path, "safetensors file", "Name an update or a checkpoint.")
    try:
        return model_tensors(decode(data, max_bytes=len(data)))
    except AggregationError as error:
        raise CommonweightError(f"{path} is no bundle: {error.what}", why=error.why, hint=error.hint) from error


def _rows(path: Path) -> list[Pair]:
    from learning.tasks.code_search import decode_pairs
    from node.runtime import read_file

    return decode_pairs(read_file(path, "rows", "Name a JSONL file of pairs."), max_rows=1_000_000)


def _show(report: Report, rows: tuple[Sequence[object], Sequence[object]], *, as_json: bool) -> None:
    if as_json:
        console.print_json(report.to_json() | {"members": len(rows[0]), "others": len(rows[1])})
        return
    colours = {"pass": "green", "fail": "bold red"}
    console.table(
        f"Leak audit: {len(rows[0])} rows trained on, {len(rows[1])} others; 95 % intervals",
        ("test", "measure", "found", "limit#", "verdict", "note"),
        [
            (
                one.test,
                one.measure,
                "" if one.estimate is None else str(one.estimate),
                "" if one.limit is None else f"{one.limit:g}",
                f"[{colours.get(one.verdict, 'dim')}]{one.verdict}[/]",
                escape(one.note),
            )
            for one in report.findings
        ],
    )


@privacy_app.command("budget")
def privacy_budget(
    delta: Annotated[float, typer.Option(help="δ to report ε for; 0: the guideline's.")] = 0.0,
    config: ConfigOption = DEFAULT_CONFIG,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """What this node's noise has spent: ε by round and of all rounds together."""
    from learning.errors import LearningError
    from learning.privacy.accountant import epsilon
    from node.privacy import LEDGER, read

    settings = resolve(config, overrides)
    ledger = read(settings.node.data / LEDGER)
    try:
        delta = delta or _spec(settings).privacy_delta
        rounds = [
            {"round": one.round, "unit": one.unit, "noise_multiplier": one.noise_multiplier, "epsilon": epsilon([one], delta)}
            for one in ledger.spendings
        ]  # fmt: skip
        found: Mapping[str, Any] = {"delta": delta, "epsilon": ledger.epsilons(delta), "rounds": rounds}
    except LearningError as error:
        raise ConfigError(error.what, why=error.why, hint=error.hint) from error
    if as_json:
        console.print_json(found)
        return
    if not rounds:
        console.out.print(
            "No noisy training yet: updates carry no formal privacy. docs/privacy.md says what protects them."
        )
        return
    columns = ("round#", "protects a", "noise multiplier#", "ε#")
    console.table(
        f"Privacy spent, δ = {delta:g}", columns, [(*list(one.values())[:3], f"{one['epsilon']:.3f}") for one in rounds]
    )
    say({f"ε of all rounds, {unit}": f"{eps:.3f}" for unit, eps in found["epsilon"].items()}, as_json=False)


@privacy_app.command("scan")
def privacy_scan(
    pairs: Annotated[Path | None, typer.Argument(help="Rows (JSONL); none: this node's own repositories.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find rows that seem to hold keys, tokens or passwords; says where and of what kind, never what. Exit code 10 if there are any."""
    from learning.errors import LearningError
    from learning.privacy.secrets import secret_rows

    try:
        if pairs is None:
            from node.adapters.trainer_local import read_pairs

            settings = resolve(config, overrides)
            rows = read_pairs(settings.learning.repositories, settings.learning.cache)
        else:
            rows = _rows(pairs)
    except LearningError as error:
        raise TrainingError(error.what, why=error.why, hint=error.hint) from error
    found = list(secret_rows(rows).values())
    if as_json:
        console.print_json({"rows": len(rows), "found": found})
    else:
        console.table(
            f"{len(found)} of {len(rows)} rows seem to hold secrets", ("where",), [(escape(one),) for one in found]
        )
    if found:
        raise LeakFound(
            f"{len(found)} of {len(rows)} rows seem to hold secrets.",
            hint="Remove them from the repositories and change them where they are used. A node with privacy.audit leaves such rows out.",
        )
