"""The guideline's four protocols as schemas: what each may say, checked line by line; published as JSON Schema in docs/schema.

A line is a dotted path such as ``update.pipeline``. The schemas say which keys there are and of what kind; whether a node can carry a
line out is `node.dao.honour`'s question. Settings of learning are those of `learning.spec.LearningSpec`, in any of three documents.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from learning.spec import LearningSpec
from node.membership.terms import Terms
from node.protocol.guideline import DOCUMENTS, OUTER_KEYS

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]
_STRICT = ConfigDict(extra="forbid", strict=True)


def _learning() -> type[BaseModel]:
    """Settings of `LearningSpec`, each optional, since they are spread over three documents."""
    hints = get_type_hints(LearningSpec)
    lists = {tuple[str, ...]: list[str], tuple[float, ...]: list[float]}
    entries: dict[str, Any] = {
        item.name: (lists.get(hints[item.name], hints[item.name]) | None, None)
        for item in dataclasses.fields(LearningSpec)
    }
    return create_model("Learning", __config__=_STRICT, **entries)


def _admission() -> type[BaseModel]:
    """What `Terms` asks of newcomers, each line optional."""
    hints = get_type_hints(Terms)
    entries: dict[str, Any] = {
        item.name: (list[str] if hints[item.name] == tuple[str, ...] else hints[item.name], item.default)
        for item in dataclasses.fields(Terms)
        if item.name != "held_out"  # the data document's own line
    }
    return create_model("Admission", __config__=_STRICT, **entries)


Learning = _learning()
Admission = _admission()


class Data(BaseModel):
    """What is trained on: task, form of the rows, repositories that nobody may train on."""

    model_config = _STRICT
    task: Annotated[str, Field(min_length=1, description="what the model learns, e.g. code_search")]
    format: Annotated[str, Field(description="form of training and test rows")] = ""
    held_out: Annotated[list[str], Field(description="repositories of the benchmarks: no member trains on them")] = []
    admission: Admission | None = Field(default=None, description="what newcomers must show")  # type: ignore[valid-type]
    learning: Learning = Field(default_factory=Learning)  # type: ignore[valid-type]  # made above


class Architecture(BaseModel):
    """The model: its base by name and hash, which tensors are trained."""

    model_config = _STRICT
    trainable_suffix: Annotated[str, Field(description="ending of the names of trained tensors")] = ""
    learning: Learning = Field(default_factory=Learning)  # type: ignore[valid-type]


class Update(BaseModel):
    """How updates are made, sent and combined."""

    model_config = _STRICT
    pipeline: Annotated[str, Field(min_length=1, description="aggregation pipeline, e.g. arc+nnm+trimmed_mean")]
    outer_kind: Annotated[
        Literal["sgd", "momentum", "nesterov", "adam"] | None, Field(description="how the aggregate moves the model")
    ] = None
    outer_learning_rate: Annotated[Positive, Field(description="step of the aggregate added to the parent model")]
    outer_momentum: Share = 0.0
    outer_second_momentum: Share = 0.0
    outer_epsilon: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    compression: Annotated[str, Field(description="how updates travel")] = "none"
    max_norm: Annotated[Positive, Field(description="L2 bound of an update")]
    max_bytes: Annotated[int, Field(gt=0, description="size limit of an update or checkpoint file")]
    confidentiality: Annotated[
        Literal["none", "members"], Field(description="who can read an update before its round is final")
    ] = "none"
    learning: Learning = Field(default_factory=Learning)  # type: ignore[valid-type]


class Versioning(BaseModel):
    """What a release must show."""

    model_config = _STRICT
    metric: Annotated[str, Field(min_length=1, description="metric that releases are measured by, between 0 and 1")]
    naming: Annotated[Literal["semantic"], Field(description="major.minor.patch")] = "semantic"
    allowed_regression: Annotated[
        float | None,
        Field(ge=0, le=0.1, description="how far a score may fall; the ReleaseRegistry's own bound decides"),
    ] = None


MODELS: Mapping[str, type[BaseModel]] = {
    "data": Data,
    "architecture": Architecture,
    "update": Update,
    "versioning": Versioning,
}
assert tuple(MODELS) == DOCUMENTS
assert set(OUTER_KEYS) == {"sgd", "momentum", "nesterov", "adam"}


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """A line that is wrong, or cannot be honoured: dotted path, the value there (None where there is none), and why."""

    line: str
    value: Any
    why: str

    def __str__(self) -> str:
        shown = "" if self.value is None else f" is {json.dumps(self.value, default=str)[:80]}"
        return f"{self.line}{shown}: {self.why}"


def check_documents(documents: Mapping[str, Any]) -> list[Fault]:
    """Every line that its schema refuses, in the order of the documents; none for a guideline that is well formed."""
    faults = [Fault(name, None, "a guideline has no such document") for name in sorted(set(documents) - set(MODELS))]
    for name, model in MODELS.items():
        if name not in documents:
            faults.append(Fault(name, None, "the document is missing"))
            continue
        try:
            model.model_validate(documents[name])
        except ValidationError as error:
            faults += [
                Fault(".".join([name, *(str(part) for part in one["loc"])]), _value(one), _why(one))
                for one in error.errors(include_url=False)
            ]
    return faults


def _value(error: Any) -> Any:
    return None if error["type"] == "missing" else error["input"]


def _why(error: Any) -> str:
    if error["type"] == "missing":
        return "the line is missing"
    if error["type"] == "extra_forbidden":
        return "there is no such line"
    return str(error["msg"][:1].lower() + error["msg"][1:])


@cache
def json_schema(name: str) -> str:
    """The published JSON Schema of one document, as a file's text."""
    schema = MODELS[name].model_json_schema(mode="validation")
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"commonweight/guideline/{name}/1",
        **schema,
    }
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


def write_schemas(folder: Path) -> list[Path]:
    """Write every document's schema into a folder; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in MODELS:
        path = folder / f"{name}.json"
        path.write_text(json_schema(name), encoding="utf-8")
        written.append(path)
    return written


if __name__ == "__main__":
    write_schemas(Path(__file__).resolve().parents[2] / "docs" / "schema")
