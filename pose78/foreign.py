"""Networks that are no students yet: float ONNX models, torch modules, float checkpoints.

They become the description of a student, with the nearest thing in place of what the chip does not
have, and a sentence for every such thing.
"""

from __future__ import annotations

import tempfile
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ai8x_models.spec.checked import shape_of
from common import foreign_code
from common.errors import UserError
from common.foreign_code import contained, reason

if TYPE_CHECKING:
    from torch import nn

    from ai8x_models.spec.student import StudentSpec

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Understood:
    """A network as layers of the chip.

    Attributes:
        spec: its layers.
        obstacles: a sentence for everything that stands in them for something the chip lacks.
        notes: what else should be known, as of what comes last and is left to the application.
    """

    spec: StudentSpec
    obstacles: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def module(network: nn.Module, shape: Shape | None, name: str = "") -> Understood:
    """A torch module, trained or not.

    Args:
        network: made of this project's layers (or ai8x-training's), or of torch's own.
        shape: of one input, [channels, rows, columns] or [channels, length]; by default the
            module's own ``input_shape``.
        name: of the network; by default that of its class.

    Raises:
        UserError: its input is not known, or torch cannot follow its code.
    """
    from ai8x_models.layers import FusedLayer
    from ai8x_models.trace import TraceError, trace

    name = name or type(network).__name__
    with contained(name):
        shape = _read_shape(network, shape, name)
        _tried(network, shape, name)
        fused = any(isinstance(part, FusedLayer) for part in network.modules())
    if not fused:
        return _exported(network, shape, name)
    notes: list[str] = []
    with contained(name):
        try:
            spec = trace(network.eval(), shape, name, notes.append).spec
        except TraceError as error:
            if error.spec is None:
                raise UserError(f"{name}: {error}") from None
            return Understood(error.spec, error.obstacles)
    return Understood(spec, (), tuple(notes))


def _read_shape(network: nn.Module, shape: Shape | None, name: str) -> Shape:
    """The shape that is given, or that a module says itself.

    Raises:
        UserError: there is none, or it is no shape, or the module has not been made.
    """
    if "_modules" not in vars(network):
        raise UserError(f"{name} is not made: let its __init__ begin with super().__init__()")
    value: Any = shape or getattr(network, "input_shape", None)
    if value is None:
        raise UserError(
            f"{name} does not say what it reads; give one input's shape, as in --input 3,128,128 "
            "(in Python: check(module, shape))"
        )
    try:
        return shape_of(value)
    except ValueError as wanted:
        raise UserError(f"{name}: the shape of one input must be {wanted}") from None


def _tried(network: nn.Module, shape: Shape, name: str) -> None:
    """Let a module look at zeros once, so that a shape it does not take is said in our words.

    Raises:
        UserError: its code fails; the layer or the line of its file is named.
    """
    import torch

    from ai8x_models.layers import FusedLayer

    entered: list[tuple[str, nn.Module, Shape]] = []
    hooks = []
    for path, part in network.named_modules():
        if isinstance(part, FusedLayer) or not list(part.children()):
            hooks.append(part.register_forward_pre_hook(
                lambda part, given, path=path: entered.append((path, part, _size(given)))
            ))  # fmt: skip
            hooks.append(part.register_forward_hook(lambda *_: entered.pop() and None))
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, *shape))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # it is the module's own code that runs
        raise _untaken(name, shape, entered, error) from None
    finally:
        for hook in hooks:
            hook.remove()


def _untaken(
    name: str, shape: Shape, entered: list[tuple[str, nn.Module, Shape]], error: BaseException
) -> UserError:
    """Why a module does not take an input, and where."""
    asked = "x".join(map(str, shape))
    remedy = "give the shape of one input that it reads, as in --input 3,128,128"
    if entered and isinstance(error, Exception):
        path, part, size = entered[0]
        op = getattr(part, "op", part)
        reads = getattr(op, "in_channels", getattr(op, "in_features", None))
        wants = f"reads {reads} channels and" if reads is not None else ""
        where = f"layer {path or name} ({type(part).__name__}) {wants}".rstrip()
        given = "x".join(map(str, size[1:]))
        return UserError(f"{name} does not take {asked}: {where} is given {given}; {remedy}")
    own = [frame for frame in traceback.extract_tb(error.__traceback__)
           if "site-packages" not in frame.filename
           and frame.filename not in (__file__, foreign_code.__file__)]  # fmt: skip
    line = f"{own[-1].filename} line {own[-1].lineno} ({own[-1].line})" if own else "its code"
    if isinstance(error, RuntimeError):
        return UserError(f"{name} does not take {asked}: {line} fails; {remedy}")
    return UserError(f"{name}: {line}: {reason(error)}")


def _size(given: tuple[Any, ...]) -> Shape:
    """The shape of the first tensor that a module is given."""
    return next((tuple(value.shape) for value in given if hasattr(value, "shape")), ())


def _exported(network: nn.Module, shape: Shape, name: str) -> Understood:
    """A module of torch's own layers, by way of ONNX."""
    import torch

    from quantize.ptq.module import export

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        with contained(name):
            export(network, torch.zeros(1, *shape), path)
        return onnx(path, name)


def onnx(path: Path, name: str = "") -> Understood:
    """A float or quantised ONNX model.

    Raises:
        UserError: it cannot be read, or nothing of it runs on the chip.
    """
    from quantize.ptq import lower
    from quantize.ptq.fuse import fuse
    from quantize.ptq.obstacles import UnfitNetwork, nothing, too_wide
    from quantize.ptq.read.reader import read

    try:
        net = fuse(read(path))
    except UserError as error:
        raise UserError(str(error).replace(str(path), name or str(path))) from None
    spec = lower.lower(net).spec
    if not spec.layers:
        raise UnfitNetwork(f"{name or path}: {nothing(net)}")
    spec = replace(spec, name=name or path.stem)
    return Understood(spec, (*map(str, net.obstacles), *too_wide(spec)), tuple(net.notes))


def float_checkpoint(path: Path) -> Understood | None:
    """A checkpoint of floats that describes itself; None where it does not, or holds integers.

    Raises:
        UserError: it cannot be read.
    """
    from ai8x_models.student_file import read_checkpoint, spec_of

    data = read_checkpoint(path)
    state = data["state_dict"]
    if not _fractions(state):
        return None
    extras: Any = data.get("extras")
    spec = spec_of(str(data.get("arch")), extras if isinstance(extras, dict) else {}, state)
    if spec is None:
        raise UserError(
            f"{path}: a float checkpoint that does not say what its network is; name the Python "
            "file of its model (FILE.py:NAME --input 3,64,64), or its network.yaml"
        )
    return Understood(spec)


def _fractions(state: dict[str, Any]) -> bool:
    """Whether weights of a state dictionary are no integers."""
    weights = [value for key, value in state.items() if key.endswith(".weight")]
    return any(w.is_floating_point() and bool((w != w.round()).any()) for w in weights)
