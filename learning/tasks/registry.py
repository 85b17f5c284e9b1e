"""The tasks by name. A new task is one file beside these and one line here."""

from __future__ import annotations

from typing import Any

from learning.errors import SpecError
from learning.tasks.base import Task
from learning.tasks.clone_detection import CloneDetection
from learning.tasks.code_to_text import CodeToText
from learning.tasks.completion import Completion
from learning.tasks.defect_detection import DefectDetection
from learning.tasks.search import CodeSearch

TASKS: dict[str, Task[Any]] = {
    task.name: task for task in (CloneDetection(), DefectDetection(), CodeSearch(), CodeToText(), Completion())
}


def find_task(name: str) -> Task[Any]:
    """The task called ``name``.

    Raises:
        SpecError: there is none.
    """
    if name not in TASKS:
        raise SpecError(f"There is no task called {name!r}.", hint=f"Tasks: {', '.join(TASKS)}.")
    return TASKS[name]
