"""The command ``pose78 VERB ...``: one front door to all rooms.

A verb is imported when it is asked for. Two verbs live here, the others hand their arguments to the
room whose work they are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module

from common.console import call_as, command_line
from common.errors import UserError
from pose78.shipped import as_files

HELP = ("-h", "--help")


def _as_given(arguments: list[str]) -> list[str]:
    return arguments


def _behind(*words: str) -> Callable[[list[str]], list[str]]:
    """Puts words before the arguments."""
    return lambda arguments: [*words, *arguments]


def _compile(arguments: list[str]) -> list[str]:
    """Students of the package may be named where a checkpoint is expected."""
    return ["compile", *as_files(arguments)]


def _task_verb(
    verb: str, read: Callable[[list[str]], list[str]] = _as_given
) -> Callable[[list[str]], list[str]]:
    """Puts the verb behind the task, if one is named, and the usual task otherwise."""

    def spelled(arguments: list[str]) -> list[str]:
        from distill.tasks import TASKS

        if arguments and arguments[0] in TASKS:
            return [arguments[0], verb, *read(arguments[1:])]
        return [verb, *read(arguments)]

    return spelled


@dataclass(frozen=True)
class Verb:
    """Something the command can do.

    Attributes:
        what: half a line for the list.
        module: has ``main(arguments: list[str]) -> int``.
        spelled: what that main is told.
    """

    what: str
    module: str
    spelled: Callable[[list[str]], list[str]] = _as_given


VERBS: dict[str, Verb] = {
    "predict": Verb("people in pictures, folders and videos", "pose78.commands.predict"),
    "check": Verb("does a network fit the chip, and how fast is it", "pose78.commands.check"),
    "train": Verb("train a student ([TASK] key=value ...)", "distill.__main__",
                  _task_verb("student")),
    "label": Verb("label a folder of pictures", "distill.__main__", _behind("pose", "label")),
    "quantize": Verb("integers of a trained student", "quantize.__main__"),
    "compile": Verb("write the C project of a network", "synthesize.__main__",
                    _compile),
    "report": Verb("draw a network on the chip as a page", "pose78.commands.report"),
    "run": Verb("run a firmware ELF on the virtual kit", "evalkit.__main__", _behind("run")),
    "view": Verb("watch the student, a board or the virtual kit in the browser",
                 "pose78.commands.view"),
    "flash": Verb("write a firmware ELF into a board", "evalkit.__main__", _behind("flash")),
    "eval": Verb("accuracy of checkpoints", "distill.__main__", _task_verb("eval", as_files)),
    "export": Verb("people seen by a board or the virtual kit as COCO JSON",
                   "evalkit.__main__", _behind("export")),
    "doctor": Verb("what is installed, and what is missing for what", "pose78.commands.doctor"),
}  # fmt: skip


def version() -> str:
    """Of the package; of sources that are not installed, what they would be."""
    from importlib import metadata

    try:
        return f"pose78 {metadata.version('pose78')}"
    except metadata.PackageNotFoundError:
        return "pose78, not installed"


def usage() -> str:
    """The verbs, a line each."""
    lines = [f"  {name:<9} {verb.what}" for name, verb in VERBS.items()]
    return "\n".join(
        [
            "usage: pose78 VERB [options]",
            "",
            "Human pose on the MAX78000: pictures in, skeletons and firmware out.",
            "",
            *lines,
            "",
            "pose78 VERB -h explains a verb; pose78 --version says which pose78 this is.",
            "Exit status: 0 done, 1 the answer is no, 2 wrong input.",
        ]
    )


@command_line
def main(arguments: list[str] | None = None) -> int:
    """Run one verb; returns the exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given and given[0] in HELP:
        print(usage())
        return 0
    if given and given[0] == "--version":
        print(version())
        return 0
    if not given:
        raise UserError(f"say what to do: {', '.join(VERBS)} (pose78 --help explains them)")
    name, *rest = given
    if name not in VERBS:
        near = get_close_matches(name.lower(), VERBS, 1)
        meant = f" (do you mean {near[0]}?)" if near else ""
        raise UserError(f"there is no verb {name!r}{meant}; choose one of {', '.join(VERBS)}")
    verb = VERBS[name]
    with call_as(f"pose78 {name}"):
        return int(import_module(verb.module).main(verb.spelled(rest)) or 0)


if __name__ == "__main__":
    sys.exit(main())
