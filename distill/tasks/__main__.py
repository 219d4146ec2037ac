"""Command line of the tasks: ``python -m distill.tasks TASK VERB [--config FILE] [key=value ...]``.

``python -m distill.tasks`` lists them. Every verb explains itself: ``TASK VERB --help``.
"""

from __future__ import annotations

import logging
import sys

from common.errors import UserError
from distill.tasks import TASKS, VERBS, load_task


def _overview() -> str:
    """Tasks and the verbs they have."""
    lines = ["usage: python -m distill.tasks TASK VERB [--config FILE] [key=value ...]", ""]
    for name in TASKS:
        task = load_task(name)
        extra = [verb for verb in task.verbs if verb not in VERBS]
        lines.append(f"  {name:<8} {task.what}" + (f" (also: {', '.join(extra)})" * bool(extra)))
    return "\n".join([*lines, "", f"verbs: {', '.join(VERBS)}"])


def main(arguments: list[str] | None = None) -> int:
    """Run one verb of one task; exit status 2 with one sentence for bad input."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        if not arguments or arguments[0] in ("-h", "--help"):
            print(_overview())
            return 0
        task = load_task(arguments[0])
        if len(arguments) == 1:
            raise UserError(f"say what task {task.name} is to do: {', '.join(task.verbs)}")
        return task.run(arguments[1], arguments[2:])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
