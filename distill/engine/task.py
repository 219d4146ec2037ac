"""What a task is: its verbs, and the recipes that its training verbs take.

Everything a verb needs is named as text, ``module:function``, and imported when the verb runs, so
that help and mistakes are answered at once.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from common.arguments import Parser
from common.console import program
from common.errors import UserError
from common.files import check_place

#: The verbs that every task has, because ``make`` calls them.
VERBS = ("teacher", "student", "quantize", "eval", "sample", "show", "export")


def imported(name: str) -> Any:
    """What ``module:attribute`` names."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


@dataclass(frozen=True)
class Verb:
    """Something a task can do.

    Attributes:
        what: half a line for the list of verbs.
        call: ``module:function``; it takes arguments and returns the exit status.
        before: arguments put before those of the user.
    """

    what: str
    call: str
    before: tuple[str, ...] = ()

    def run(self, prog: str, arguments: list[str]) -> int:
        """Do it; raises :class:`~common.errors.UserError` for bad input."""
        return int(imported(self.call)([*self.before, *arguments]) or 0)


@dataclass(frozen=True)
class Kind:
    """One kind of network that a training verb can train.

    Attributes:
        recipe: ``module:class`` of its settings.
        train: ``module:function`` that takes such a recipe.
        default: the recipe's file when no ``--config`` is given; None where every run says all.
    """

    recipe: str
    train: str
    default: Path | None = None


@dataclass(frozen=True)
class Training:
    """A verb that trains what a recipe describes; ``kind`` in the recipe chooses among several.

    Attributes:
        what: half a line for the list of verbs.
        kinds: by name, the usual one first.
    """

    what: str
    kinds: Mapping[str, Kind]

    @property
    def usual(self) -> Kind:
        """The kind that is trained when nothing is said."""
        return next(iter(self.kinds.values()))

    def run(self, prog: str, arguments: list[str]) -> int:
        """``[--config RECIPE.yaml] [key=value ...]``.

        Raises:
            UserError: see :func:`distill.engine.recipe.load_recipe`, and what the run refuses.
        """
        from distill.engine.inputs import check_inputs
        from distill.engine.recipe import existing, load_recipe

        asked = any(argument in ("-h", "--help") for argument in arguments)
        parser = Parser(
            prog=program(prog),
            description=self.what,
            epilog=self._settings(arguments) if asked else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        usual = f" ({self.usual.default.name})" if self.usual.default else ""
        parser.add_argument("--config", type=Path, help=f"recipe{usual}")
        parser.add_argument("overrides", nargs="*", help="recipe settings, key=value")
        options = parser.parse_intermixed_args(arguments)
        if options.config is not None:
            existing(options.config)
        kind = self._chosen(options.config, options.overrides)
        recipe = load_recipe(
            options.config or kind.default, options.overrides, imported(kind.recipe)
        )
        check_inputs(recipe)
        check_place(Path(recipe.out), folder=True)
        imported(kind.train)(recipe)
        return 0

    def _chosen(self, config: Path | None, overrides: list[str]) -> Kind:
        """The kind that the command line or the file names, or the usual one."""
        from distill.engine.recipe import recipe_text

        if len(self.kinds) == 1:
            return self.usual
        named = [o.removeprefix("kind=") for o in overrides if o.startswith("kind=")]
        if config is not None and not named:
            named = re.findall(r"^kind: *[\"']?([\w-]+)", recipe_text(config), re.MULTILINE)
        if not named:
            return self.usual
        if named[-1] not in self.kinds:
            raise UserError(f"kind is '{named[-1]}'; it must be one of {', '.join(self.kinds)}")
        return self.kinds[named[-1]]

    def _settings(self, arguments: list[str]) -> str:
        """What can be set, for the help."""
        kind = imported(self._chosen(None, arguments).recipe)
        lines = ["settings and what they are unless the recipe says otherwise:"]
        for field in dataclasses.fields(kind):
            value = field.default
            if field.default_factory is not dataclasses.MISSING:
                value = field.default_factory()
            if dataclasses.is_dataclass(value) and not isinstance(value, type):
                value = dataclasses.asdict(value)
            lines.append(f"  {field.name}={yaml.safe_dump(value, default_flow_style=True)}".strip())
        return "\n  ".join(line.replace("\n...", "").replace("\n", " ") for line in lines)


def _try_outputs(arguments: list[str]) -> None:
    """Try the places that a verb is told to write to, before what it needs is imported.

    Raises:
        UserError: one of them cannot be written.
    """
    for option, value in pairwise([*arguments, ""]):
        name, sign, inner = option.partition("=")
        if name == "out" and sign:
            check_place(Path(inner), folder=True)
        elif name in ("-o", "--out", "--output"):
            check_place(Path(inner if sign else value))


@dataclass(frozen=True)
class Task:
    """One kind of problem: a teacher, a chip student, and what makes an answer of its numbers.

    Attributes:
        name: as in ``TASK=name``.
        what: half a line for the list of tasks.
        verbs: by name.
    """

    name: str
    what: str
    verbs: Mapping[str, Verb | Training]

    def run(self, verb: str, arguments: list[str]) -> int:
        """Run one verb.

        Raises:
            UserError: the task has no such verb, or what the verb refuses.
        """
        if verb not in self.verbs:
            raise UserError(f"task {self.name} cannot '{verb}'; it can {', '.join(self.verbs)}")
        _try_outputs(arguments)
        return self.verbs[verb].run(f"python -m distill {self.name} {verb}", arguments)

    def overview(self) -> str:
        """The verbs, a line each."""
        lines = [f"usage: python -m distill {self.name} VERB ...", "", self.what, ""]
        return "\n".join([*lines, *(f"  {n:<9} {v.what}" for n, v in self.verbs.items())])
