"""``python -m aggregation PIPELINE FILE… -o OUT``: robust aggregation of safetensors files, without a network or a chain."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from aggregation.errors import AggregationError, PreconditionFailed, UpdateRejected
from aggregation.files import aggregate_files
from aggregation.kernels import CHOICES
from aggregation.pre import PRE_AGGREGATIONS
from aggregation.registry import DEFAULT, parse
from aggregation.rules import RULES

EXIT_USAGE, EXIT_UPDATE, EXIT_PRECONDITION = 2, 4, 5


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code (0; 2 bad use; 4 a bad update; 5 too few updates for the rule)."""
    options = _parser().parse_args(arguments)
    try:
        weights = None if options.weights is None else [int(weight) for weight in options.weights.split(",")]
        seed = bytes.fromhex(options.seed)
    except ValueError as error:
        return _failed(f"--weights takes integers and --seed hex digits: {error}.", EXIT_USAGE)
    try:
        result, digest = aggregate_files(
            parse(options.pipeline),
            options.files,
            options.out,
            weights=weights,
            seed=seed,
            kernels=options.kernels,
            threads=options.threads,
        )
    except PreconditionFailed as error:
        return _failed(str(error), EXIT_PRECONDITION)
    except UpdateRejected as error:
        return _failed(str(error), EXIT_UPDATE)
    except AggregationError as error:
        return _failed(str(error), EXIT_USAGE)
    report = result.report
    if options.json:
        facts = {"out": str(options.out), "sha256": digest, "pipeline": report.pipeline, "n": report.n, "f": report.f}
        sys.stdout.write(json.dumps({**facts, "warnings": list(report.warnings)}) + "\n")
        return 0
    sys.stdout.write(f"{report.pipeline} of {report.n} updates, f = {report.f}\n{digest}  {options.out}\n")
    for warning in report.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    stages = ", ".join(stage.name for stage in PRE_AGGREGATIONS)
    rules = ", ".join(rule.name for rule in RULES)
    parser = argparse.ArgumentParser(
        prog="python -m aggregation",
        description="Combine model updates by a robust rule: the same bytes on every machine, in any order of the files.",
        epilog=f"Rules: {rules}. Before the rule: {stages}. Exit codes: 2 bad use, 4 a bad update, 5 too few updates.",
    )
    parser.add_argument("pipeline", help=f"e.g. {DEFAULT} or bucketing(s=2)+median:f=1")
    parser.add_argument("files", nargs="+", type=Path, help="safetensors files, float32, float16 or bfloat16")
    parser.add_argument("-o", "--out", required=True, type=Path, help="file to write")
    parser.add_argument("--weights", help="integers, one per file, comma-separated (weighted_mean)")
    parser.add_argument("--seed", default="", help="hex; draws the buckets of bucketing")
    parser.add_argument("--threads", type=int, default=1, help="workers; does not change the result")
    parser.add_argument("--kernels", choices=CHOICES, help="does not change the result")
    parser.add_argument("--json", action="store_true", help="print facts as JSON")
    return parser


def _failed(message: str, code: int) -> int:
    sys.stderr.write(f"error: {message}\n")
    return code


if __name__ == "__main__":
    raise SystemExit(main())
