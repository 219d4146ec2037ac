"""While a model of an ai8x-training project is loaded, ``import ai8x`` finds our layers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

NAME = "ai8x"


class _Layers(MetaPathFinder, Loader):
    """Our layers under ai8x-training's name; they, and torch, are loaded for those who ask."""

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        return spec_from_loader(name, self) if name == NAME else None

    def exec_module(self, _: ModuleType) -> None:
        sys.modules[NAME] = import_module("ai8x_models.ai8x")


@contextmanager
def as_ai8x(file: Path | None = None) -> Iterator[None]:
    """Let ``import ai8x`` find our layers, and other imports the project the file belongs to.

    Models of ai8x-training lie in a folder of the project whose other files they import
    (``ai8x_blocks``, ``utils``). Afterwards those modules are forgotten: the next project has its
    own.
    """
    modules, path, layers = dict(sys.modules), list(sys.path), _Layers()
    folders = [str(folder) for folder in file.resolve().parents[:2]] if file else []
    sys.modules.pop(NAME, None)
    sys.meta_path.insert(0, layers)
    sys.path[:0] = folders
    try:
        yield
    finally:
        sys.path[:] = path
        sys.meta_path.remove(layers)
        new = set(sys.modules) - set(modules)
        # What was in use before stays, with the parts of it that were loaded meanwhile.
        tops = {n: n.partition(".")[0] for n in new}
        for name in [n for n, top in tops.items()
                     if n == NAME or (top not in modules and _home(top) in folders)]:  # fmt: skip
            del sys.modules[name]
        if NAME in modules:
            sys.modules[NAME] = modules[NAME]


def _home(package: str) -> str:
    """The folder that a module or package lies in."""
    module = sys.modules.get(package)
    found = list(getattr(module, "__path__", ())) or [getattr(module, "__file__", None) or ""]
    return str(Path(found[0]).parent)
