"""Networks that are no students yet: float ONNX models, torch modules, float checkpoints.

They become the description of a student, with the nearest thing in place of what the chip does not
have, and a sentence for every such thing.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from ai8x_models.students import StudentSpec

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Understood:
    """A network as layers of the chip.

    Attributes:
        spec: its layers.
        obstacles: a sentence for everything that stands in them for something the chip lacks.
    """

    spec: StudentSpec
    obstacles: tuple[str, ...] = ()


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
    shape = shape or getattr(network, "input_shape", None)
    if shape is None:
        raise UserError(
            f"{name} does not say what it reads; give one input's shape, as in --input 3,128,128 "
            "(in Python: check(module, shape))"
        )
    shape = tuple(int(size) for size in shape)
    if not any(isinstance(part, FusedLayer) for part in network.modules()):
        return _exported(network, shape, name)
    try:
        return Understood(trace(network.eval(), shape, name).spec)
    except TraceError as error:
        raise UserError(f"{name}: {error}") from None


def _exported(network: nn.Module, shape: Shape, name: str) -> Understood:
    """A module of torch's own layers, by way of ONNX."""
    import torch

    from quantize.ptq.module import export

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.onnx"
        export(network, torch.zeros(1, *shape), path)
        return onnx(path, name)


def onnx(path: Path, name: str = "") -> Understood:
    """A float or quantised ONNX model.

    Raises:
        UserError: it cannot be read, or nothing of it runs on the chip.
    """
    from quantize.ptq import lower
    from quantize.ptq.fuse import fuse
    from quantize.ptq.obstacles import too_wide
    from quantize.ptq.read.reader import read

    try:
        net = fuse(read(path))
    except UserError as error:
        raise UserError(str(error).replace(str(path), name or str(path))) from None
    spec = lower.lower(net).spec
    if not spec.layers:
        raise UserError(f"{name or path}: it holds no layers; nothing of it runs on the chip")
    spec = replace(spec, name=name or path.stem)
    return Understood(spec, (*map(str, net.obstacles), *too_wide(spec)))


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
