"""The tasks: each a teacher, a chip student and what turns the chip's numbers into an answer.

A task is a package ``distill/tasks/NAME/`` whose ``__init__.py`` exposes ``TASK``. It is imported
only when it is asked for, and the compiler knows nothing of it: a student describes itself in its
checkpoint. ``python -m distill.tasks NAME VERB ...`` is the command line; ``make`` calls it.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import UserError
from distill.engine.recipe import AnyRun, load_recipe

Verb = Callable[[list[str]], int]

#: What ``make`` calls; a task may have more verbs of its own.
VERBS = ("teacher", "student", "quantize", "eval", "sample", "show")

#: Modules by the tasks' names.
TASKS: dict[str, str] = {
    "pose": "distill.tasks.pose",
    "linear": "distill.tasks.pose.teachers.transformer",
    "grey": "distill.tasks.grey",
    "lift": "distill.tasks.lift",
}


@dataclass(frozen=True)
class Task:
    """One kind of network.

    Attributes:
        name: as in ``TASK=name``.
        what: half a line for the list of tasks.
        verbs: a command line each: arguments in, exit status out. They raise
            :class:`~common.errors.UserError` for bad input.
        recipes: by verb, the recipe that is used when no ``--config`` is given.
    """

    name: str
    what: str
    verbs: Mapping[str, Verb]
    recipes: Mapping[str, Path] = field(default_factory=dict)

    def run(self, verb: str, arguments: list[str]) -> int:
        """Run one verb.

        Raises:
            UserError: the task has no such verb, or what the verb refuses.
        """
        if verb not in self.verbs:
            raise UserError(f"task {self.name} cannot '{verb}'; it can {', '.join(self.verbs)}")
        configured = any(a == "--config" or a.startswith("--config=") for a in arguments)
        if verb in self.recipes and not configured:
            arguments = ["--config", str(self.recipes[verb]), *arguments]
        return self.verbs[verb](arguments)


def load_task(name: str) -> Task:
    """Import a task.

    Raises:
        UserError: there is no task of this name.
    """
    if name not in TASKS:
        raise UserError(f"TASK is '{name}'; it must be one of {', '.join(TASKS)}")
    task = importlib.import_module(TASKS[name]).TASK
    assert isinstance(task, Task)
    return task


def recipe_from(arguments: list[str], kind: type[AnyRun], prog: str) -> AnyRun:
    """The recipe a training verb is told: ``[--config RECIPE.yaml] [key=value ...]``.

    Raises:
        UserError: see :func:`distill.engine.recipe.load_recipe`.
    """
    parser = argparse.ArgumentParser(prog=f"python -m distill.tasks {prog}")
    parser.add_argument("--config", type=Path, help="recipe (YAML)")
    parser.add_argument("overrides", nargs="*", help="recipe settings, key=value")
    options = parser.parse_intermixed_args(arguments)
    return load_recipe(options.config, options.overrides, kind)
