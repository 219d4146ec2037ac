"""The tasks: each a teacher, a chip student and what turns the chip's numbers into an answer.

A task is a package ``distill/tasks/NAME/`` whose ``__init__.py`` exposes ``TASK``. It is imported
only when it is asked for, and the compiler knows nothing of it: a student describes itself in its
checkpoint. No task imports another one.
"""

from __future__ import annotations

import importlib

from common.errors import UserError
from distill.engine.task import Task

#: Modules by the tasks' names; the first one is meant when none is named.
TASKS: dict[str, str] = {
    "pose": "distill.tasks.pose",
    "grey": "distill.tasks.grey",
    "lift": "distill.tasks.lift",
}

# What used to be a task, and what replaces it.
_GONE = {
    "linear": "the pose transformer is a teacher of the task pose: python -m distill pose teacher "
    "kind=transformer (make teacher TEACHER_KIND=transformer); pose also has its growth, figures "
    "and export",
}


def load_task(name: str) -> Task:
    """Import a task.

    Raises:
        UserError: there is no task of this name.
    """
    if name in _GONE:
        raise UserError(f"TASK is '{name}', which is no task of its own any more: {_GONE[name]}")
    if name not in TASKS:
        raise UserError(f"TASK is '{name}'; it must be one of {', '.join(TASKS)}")
    task = importlib.import_module(TASKS[name]).TASK
    assert isinstance(task, Task)
    return task
