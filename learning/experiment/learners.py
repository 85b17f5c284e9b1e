"""Models by kind: what an experiment file may name, what settings each has, and how to make one for a task's data.

| kind | what | tasks | settings |
|---|---|---|---|
| ``hashed`` | logistic regression on hashed n-grams (`learning.models.hashed`) | clone_detection, defect_detection | `Options` there |
| ``search`` | sentence encoder with LoRA on its top layers (`learning.experiment.search_learner`) | code_search | `search_options` |
| ``transformers`` | any Transformers model, all of it or an adapter (`learning.training`) | all | `transformer_options.Options` |
| ``tiny`` | a random Transformers model made on the spot, trained whole | all | `transformer_options.TinyOptions` |

A new kind is one entry in `KINDS`: it takes a task's data and its own settings and gives a `learning.learner.Learner`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, get_type_hints

from learning.errors import SpecError
from learning.experiment import search_options, transformer_options
from learning.learner import Learner
from learning.models import hashed
from learning.tasks.base import TaskData
from learning.tasks.registry import TASKS


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of model.

    Attributes:
        tasks: the tasks it can do.
        options: dataclass of its settings, checked where it is made.
        make: (data, options, seed) → learner.
        speed: training examples a second on one CPU core, for estimates before anything was measured; roughly.
    """

    tasks: tuple[str, ...]
    options: type[Any]
    make: Callable[[TaskData[Any], Any, int], Learner]
    speed: float


def _search(data: TaskData[Any], options: Any, seed: int) -> Learner:
    from learning.experiment.search_learner import SearchLearner  # noqa: PLC0415 - loads torch

    return SearchLearner(data, options, seed)


def _transformers(data: TaskData[Any], options: Any, seed: int) -> Learner:
    from learning.experiment.transformer_learner import named  # noqa: PLC0415 - loads torch

    return named(data, options, seed)


def _tiny(data: TaskData[Any], options: Any, seed: int) -> Learner:
    from learning.experiment.transformer_learner import tiny  # noqa: PLC0415 - loads torch

    return tiny(data, options, seed)


KINDS: Mapping[str, Kind] = {
    "hashed": Kind(
        ("clone_detection", "defect_detection"),
        hashed.Options,
        lambda data, options, _seed: hashed.HashedLearner(data, options),
        30_000.0,
    ),
    "search": Kind(("code_search",), search_options.Options, _search, 60.0),
    "transformers": Kind(tuple(TASKS), transformer_options.Options, _transformers, 2.0),
    "tiny": Kind(tuple(TASKS), transformer_options.TinyOptions, _tiny, 30.0),
}


def check(kind: str, options: Mapping[str, Any], task: str) -> None:
    """Refuse what cannot be made, without data and without loading a model.

    Raises:
        SpecError: an unknown kind or setting, a value out of range, or a task it cannot do.
    """
    if kind not in KINDS:
        raise SpecError(f"There is no model of kind {kind!r}.", hint=f"Kinds: {', '.join(KINDS)}.")
    if task not in KINDS[kind].tasks:
        raise SpecError(f"A model of kind {kind!r} cannot do {task}.", hint=f"It does {', '.join(KINDS[kind].tasks)}.")
    _options(kind, options)


def build(kind: str, options: Mapping[str, Any], data: TaskData[Any], seed: int) -> Learner:
    """A learner for the data.

    Raises:
        SpecError: as `check`.
        ModelError: the base model is not on this machine, or another one.
        DataError: data it cannot learn from.
    """
    check(kind, options, data.task.name)
    return KINDS[kind].make(data, _options(kind, options), seed)


def _options(kind: str, options: Mapping[str, Any]) -> Any:
    cls = KINDS[kind].options
    hints = get_type_hints(cls)
    known = [f.name for f in fields(cls)]
    if odd := sorted(set(options) - set(known)):
        raise SpecError(f"A model of kind {kind!r} has no setting {odd[0]!r}.", hint=f"It has {', '.join(known)}.")
    required = [f.name for f in fields(cls) if f.default is MISSING]
    if missing := [name for name in required if name not in options]:
        raise SpecError(f"A model of kind {kind!r} lacks {missing[0]}.")
    values = {}
    for key, value in options.items():
        wanted = hints[key]
        given = float(value) if wanted is float and isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(given, wanted) or (isinstance(given, bool) and wanted is not bool):
            raise SpecError(f"The setting {key} of model kind {kind!r} must be {wanted.__name__}, not {value!r}.")
        values[key] = given
    return cls(**values)
