"""Networks by name, or out of a Python file that somebody edits."""

from __future__ import annotations

import inspect
import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ai8x_models.spec.described import described_spec
from ai8x_models.spec.student import SPECS, StudentSpec
from common.errors import UserError
from common.foreign_code import contained
from common.incoming import need_file
from pose78.shipped import shipped
from quantize.as_ai8x import as_ai8x

if TYPE_CHECKING:
    from torch import nn

_RUN = "<run_path>"
"""What :mod:`runpy` calls a file's module: classes with it were made in the file itself."""


def named(name: str, shape: tuple[int, ...] | None = None) -> StudentSpec | nn.Module:
    """A described student, or what ``file.py`` or ``file.py:NAME`` holds: a description or module.

    Args:
        name: of either.
        shape: of one input; a function or class that is named is given it as ai8x-training's
            ``train.py`` does (``num_channels``, ``dimensions``).

    Raises:
        UserError: there is none, or more than one to choose from, or the file does not run.
    """
    if name in shipped():
        return _described(name)
    file, _, wanted = name.partition(".py:")
    path = Path(f"{file}.py" if wanted else file)
    if path.suffix != ".py":
        raise UserError(
            f"{name} is neither a student ({', '.join(shipped())}) nor a file this command reads "
            "(.py, .yaml, .onnx, .pth.tar)"
        )
    need_file(path, remedy="name a Python file with a student or torch module")
    with contained(str(path), path), as_ai8x(path):
        return _network(path, wanted, shape)


def _network(path: Path, wanted: str, shape: tuple[int, ...] | None) -> StudentSpec | nn.Module:
    """What a file holds under a name, or the only network in it."""
    content = runpy.run_path(str(path))
    found = {key: value for key, value in content.items() if _is_network(value)}
    if wanted:
        return _made(path, wanted, content.get(wanted), found, shape)
    ready = {key: value for key, value in found.items() if not isinstance(value, type)}
    ready = ready or {key: value for key, value in found.items() if _is_simple(value)}
    # A shipped student that a file begins with is not what it asks about, unless there is no other.
    own = {k: v for k, v in ready.items() if all(_spec(v) is not s for s in SPECS.values())}
    distinct = {id(_spec(value)): key for key, value in (own or ready).items()}
    if len(distinct) != 1:
        raise UserError(
            f"{path} has {len(found)} networks ({', '.join(found)}); choose one as {path}:NAME"
            if found
            else f"{path} has no network; let it hold a StudentSpec, or a torch module or a class "
            "of one"
        )
    key = next(iter(distinct.values()))
    return _made(path, key, content[key], found, shape)


def _described(name: str) -> StudentSpec:
    """A student of this package; those whose sizes are parameters are what their weights say."""
    if name in SPECS:
        return SPECS[name]
    from synthesize.read import checkpoint

    stored = checkpoint.load(shipped()[name])
    state = {f"{layer.name}.op.weight": layer.weight for layer in stored.layers}
    state |= {f"{x.name}.op.bias": x.bias for x in stored.layers if x.bias is not None}
    spec = described_spec(name, stored.extras, state)
    assert spec is not None, name
    return spec


def _modules() -> tuple[type, ...]:
    """What torch modules are instances of; nothing before somebody has loaded torch."""
    torch = sys.modules.get("torch")
    return () if torch is None else (torch.nn.Module,)


def _is_network(value: Any) -> bool:
    """A description, a module, or a class of modules that the file itself defines."""
    if isinstance(value, type):
        return issubclass(value, _modules()) and value.__module__ == _RUN
    return isinstance(value, (StudentSpec, *_modules()))


def _is_simple(kind: type) -> bool:
    """Whether a class needs no arguments: parts of a network usually do."""
    needed = inspect.signature(kind).parameters.values()
    return all(p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
               for p in needed)  # fmt: skip


def _spec(value: Any) -> Any:
    """What a value is told apart by: a student's description, else itself."""
    spec = getattr(value, "spec", None)
    return spec if isinstance(spec, StudentSpec) else value


def _made(
    path: Path, name: str, value: Any, found: dict[str, Any], shape: tuple[int, ...] | None
) -> StudentSpec | nn.Module:
    """A network of a file, made if it is a class or function of one."""
    if callable(value) and not isinstance(value, _modules()):
        given: dict[str, Any] = {}
        if shape is not None:
            given = {"num_channels": shape[0], "dimensions": tuple(shape[1:])}
        parameters = inspect.signature(value).parameters
        inherited = [vars(kind)["__init__"] for kind in _modules()]
        own = getattr(value, "__init__", None) not in inherited
        if not own or not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            given = {key: v for key, v in given.items() if key in parameters}
        value = value(**given)
    if not isinstance(value, (StudentSpec, *_modules())):
        raise UserError(f"{path} has no network {name}; it has {', '.join(found) or 'none'}")
    network: StudentSpec | nn.Module = _spec(value)
    return network
