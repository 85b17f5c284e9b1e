"""Whether a node can carry a guideline out, and which line it cannot: what keeps a node out of a round, named precisely."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from aggregation.errors import AggregationError
from learning.errors import LearningError
from learning.models.installed import find_base_model
from learning.spec import LearningSpec
from node.combine import UNCOMPRESSED, outer_step, require_guideline
from node.config import Config
from node.dao.guideline_schema import Fault, check_documents
from node.protocol.errors import CommonweightError, ConfigError
from node.protocol.guideline import DOCUMENTS, Guideline

METRICS: Mapping[str, tuple[str, ...]] = {"code_search": ("mrr",)}
"""Metrics between 0 and 1 that a task's evaluation gives."""


def faults_of(guideline: Guideline) -> list[Fault]:
    """Every line of a guideline that no node of this version can carry out; empty for one that can be.

    Well-formedness comes first: a guideline with a wrong line is not looked at further.
    """
    faults = check_documents(guideline.documents)
    if faults:
        return faults
    return [*_learning_faults(guideline), *_update_faults(guideline), *_versioning_faults(guideline)]


def faults_here(guideline: Guideline, config: Config, *, trains: bool) -> list[Fault]:
    """`faults_of`, and the lines that this machine or this operator's own settings cannot keep.

    Args:
        guideline: what the community asks for.
        config: the node's settings.
        trains: whether the node trains or scores, so that it needs the base model.
    """
    faults = faults_of(guideline)
    held_out = set(guideline.documents.get("data", {}).get("held_out", ()))
    if overlap := sorted(held_out & set(config.learning.repositories)):
        faults.append(Fault("data.held_out", None, f"this node trains on {overlap[0]}, which benchmarks are made of"))
    name = _documents_value(guideline, "model")
    if trains and not faults and name is not None:
        own = config.learning.base_model
        try:
            find_base_model(str(name), Path(own) if own else None)
        except LearningError as error:
            faults.append(Fault(_line_of(guideline, "model"), name, f"{error.what} {error.hint}".strip()))
    return faults


def require_honoured(guideline: Guideline, config: Config, *, trains: bool) -> None:
    """Refuse a guideline that this node cannot carry out.

    Raises:
        ConfigError: names the first such line, and how many there are.
    """
    faults = faults_here(guideline, config, trains=trains)
    if faults:
        more = f" ({len(faults) - 1} more lines; `commonweight guideline check` lists them)" if len(faults) > 1 else ""
        raise ConfigError(
            f"This node cannot honour the guideline's line {faults[0]}{more}",
            why="A node that works by other rules than its peers would be outvoted, or slashed.",
            hint="Change the node's settings, update the node, or propose another guideline.",
        )


# --- learning ---------------------------------------------------------------------------------------------------------


def _learning_faults(guideline: Guideline) -> list[Fault]:
    documents = guideline.documents
    seen: dict[str, str] = {}
    for name in DOCUMENTS[:3]:
        for key in documents[name].get("learning", {}):
            if key in seen:
                return [Fault(f"{name}.learning.{key}", None, f"{seen[key]}.learning.{key} sets it already")]
            seen[key] = name
    settings = guideline.learning
    task = documents["data"]["task"]
    if "task" in settings and settings["task"] != task:
        return [Fault(_line_of(guideline, "task"), settings["task"], f"data.task says {task}")]
    if "max_norm" in settings and settings["max_norm"] > documents["update"]["max_norm"]:
        line = _line_of(guideline, "max_norm")
        return [Fault(line, settings["max_norm"], "trainers would send what update.max_norm calls malformed")]
    if not settings:
        return []
    try:
        LearningSpec.from_mapping(settings)
    except LearningError as error:
        named = [item.name for item in fields(LearningSpec) if re.search(rf"\b{item.name}\b", error.what)]
        key = named[0] if named else "learning"
        return [Fault(_line_of(guideline, key), settings.get(key), error.what)]
    return []


def _documents_value(guideline: Guideline, key: str) -> Any:
    return next((d["learning"][key] for d in guideline.documents.values() if key in d.get("learning", {})), None)


def _line_of(guideline: Guideline, key: str) -> str:
    """Dotted path of a setting of learning; where it is missing, of the document that should have it."""
    for name in DOCUMENTS[:3]:
        if key in guideline.documents[name].get("learning", {}):
            return f"{name}.learning.{key}"
    return f"architecture.learning.{key}"


# --- update and versioning --------------------------------------------------------------------------------------------


def _update_faults(guideline: Guideline) -> list[Fault]:
    from aggregation.compress import parse as parse_scheme  # noqa: PLC0415 - the kernels behind it load slowly
    from aggregation.registry import parse as parse_pipeline  # noqa: PLC0415

    document = guideline.documents["update"]
    try:
        update = guideline.update
    except ConfigError as error:
        named = [key for key in document if re.search(rf"\b{key}\b", error.what)]
        line = named[-1] if named else "outer_kind"
        return [Fault(f"update.{line}", document.get(line), _told(error))]
    try:
        parse_pipeline(update.pipeline)
    except AggregationError as error:
        return [Fault("update.pipeline", update.pipeline, _told(error))]
    try:
        if update.compression != UNCOMPRESSED:
            parse_scheme(update.compression)
    except AggregationError as error:
        return [Fault("update.compression", update.compression, _told(error))]
    try:
        outer_step(guideline)
    except ConfigError as error:
        return [Fault("update.outer_kind", update.outer_kind, _told(error))]
    try:
        require_guideline(guideline)
    except ConfigError as error:
        line = "pipeline" if "pipeline" in error.what else "compression"
        return [Fault(f"update.{line}", document.get(line), _told(error))]
    return []


def _told(error: CommonweightError | AggregationError) -> str:
    return " ".join(part for part in (error.what, error.why, error.hint) if part)


def _versioning_faults(guideline: Guideline) -> list[Fault]:
    task, metric = guideline.documents["data"]["task"], guideline.documents["versioning"]["metric"]
    known = METRICS.get(task)
    if known is not None and metric not in known:
        return [Fault("versioning.metric", metric, f"{task} is measured by {' or '.join(known)}")]
    return []
