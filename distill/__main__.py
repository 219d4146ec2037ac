"""The command line of training and evaluation: ``python -m distill TASK VERB ...``.

``python -m distill`` lists the tasks, ``python -m distill TASK --help`` a task's verbs, and every
verb explains itself with ``--help``. Without a task, pose is meant: ``python -m distill student``.
"""

from __future__ import annotations

import logging
import sys

from common.console import command_line
from common.errors import UserError
from distill.engine.task import VERBS, Task
from distill.tasks import TASKS, load_task

HELP = ("-h", "--help")


def _overview() -> str:
    """Tasks and the verbs that all of them have."""
    lines = ["usage: python -m distill TASK VERB [--config RECIPE.yaml] [key=value ...]", ""]
    lines += [f"  {name:<8} {load_task(name).what}" for name in TASKS]
    common = f"all of them can: {', '.join(VERBS)}"
    return "\n".join(
        [*lines, "", common, "python -m distill TASK --help lists what else a task can."]
    )


def _task_of(arguments: list[str]) -> tuple[Task, list[str]]:
    """The task that is meant, and what it is told."""
    usual = load_task(next(iter(TASKS)))
    if arguments[0] in usual.verbs and arguments[0] not in TASKS:
        return usual, arguments
    return load_task(arguments[0]), arguments[1:]


@command_line
def main(arguments: list[str] | None = None) -> int:
    """Run one verb of one task; exit status 2 with one sentence for bad input."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if not arguments or arguments[0] in HELP:
        print(_overview())
        return 0
    task, rest = _task_of(arguments)
    if rest and rest[0] in HELP:
        print(task.overview())
        return 0
    if not rest:
        raise UserError(f"say what task {task.name} is to do: {', '.join(task.verbs)}")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    return task.run(rest[0], rest[1:])


if __name__ == "__main__":
    sys.exit(main())
