"""Models of ai8x-training projects: imported, traced, quantised into students that describe
themselves.

``python -m quantize project MODEL.py:NAME CHECKPOINT --input 3,32,32 -o OUT-q.pth.tar`` runs the
model's own Python (so name only files you trust) with our layers in place of ai8x-training's.
A checkpoint of quantisation-aware training is converted; a float one needs ``--calibrate``.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from ai8x_models.layers import FusedLayer
from ai8x_models.student_file import read_checkpoint, save_student
from ai8x_models.students import Student
from ai8x_models.trace import TraceError, trace
from common.console import say
from common.errors import UserError
from quantize.as_ai8x import as_ai8x


def run_project(options: argparse.Namespace) -> None:
    """Quantise a project's model."""
    from quantize.integer import integer_extras, to_integer

    shape = _shape(options.input)
    data = read_checkpoint(options.checkpoint)
    model = load_model(options.model, shape, data["state_dict"], options.classes)
    load_weights(model, data["state_dict"], str(options.checkpoint))
    try:
        student = trace(
            model.eval(), shape, options.model.rpartition(":")[2],
            lambda text: say(f"note: {text}"),
        )  # fmt: skip
    except TraceError as error:
        raise UserError(f"{options.model}: {error}") from error
    if student.mode != "qat":
        _calibrated(student, options)
    to_integer(student)
    save_student(student, options.out, int(data.get("epoch") or 0), integer_extras(student, {}))
    say(f"integer student written to {options.out}; it describes itself to the compiler")


def _shape(text: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(n) for n in text.split(","))
    except ValueError:
        shape = ()
    if len(shape) not in (2, 3) or any(not 0 < n <= 4096 for n in shape):
        raise UserError(
            f"--input {text}: give channels, rows, columns (3,32,32) or channels, length"
        )
    return shape


def load_model(
    named: str, shape: tuple[int, ...], state: dict[str, Any], classes: int | None = None
) -> nn.Module:
    """Import a file and make the model it names.

    Args:
        named: ``FILE.py:NAME``; the function or class is called as ai8x-training's ``train.py``
            does, with the arguments it knows of ``num_classes, num_channels, dimensions, bias``.
        shape: of the input.
        state: of the checkpoint; whether layers have biases is read off its keys.
        classes: ``num_classes``; None for the model's default.

    Raises:
        UserError: no such file or name, or its code fails.
    """
    path, _, name = named.rpartition(":")
    if not path or not Path(path).is_file():
        raise UserError(f"{named}: name a Python file and the model in it, as in model.py:ai85net5")
    with as_ai8x(Path(path)):
        factory = getattr(_imported(Path(path)), name, None)
        if not callable(factory):
            raise UserError(f"{path}: it holds no model {name!r}; name a function or class of it")
        given: dict[str, Any] = {
            "num_channels": shape[0], "dimensions": shape[1:],
            "bias": any(key.endswith(".op.bias") for key in state),
        }  # fmt: skip
        given |= {} if classes is None else {"num_classes": classes}
        known = inspect.signature(factory).parameters
        if not any(p.kind is p.VAR_KEYWORD for p in known.values()):
            given = {key: value for key, value in given.items() if key in known}
        try:
            model = factory(**given)
        except Exception as error:
            raise UserError(f"{named}: it cannot be made: {_line(error)}") from error
    if not isinstance(model, nn.Module):
        raise UserError(f"{named}: it gives {type(model).__name__}, not a torch module")
    return model


def _imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"project_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"{path}: it cannot be imported: {_line(error)}") from error
    return module


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def load_weights(model: nn.Module, state: dict[str, Any], path: str) -> None:
    """Load a checkpoint's weights; layers whose batch norm was folded lose it here too.

    Raises:
        UserError: they belong to another model.
    """
    state = {key.removeprefix("module."): value for key, value in state.items()}
    for name, layer in model.named_modules():
        if not isinstance(layer, FusedLayer):
            continue
        if layer.bn is not None and f"{name}.bn.running_mean" not in state:
            layer.remove_batchnorm()
    trouble = _misfit(model.state_dict(), state)
    if trouble:
        raise UserError(
            f"{path}: its weights are those of another model: {trouble}; name the model and the "
            "--classes it was trained with"
        )
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(f"{path}: its weights cannot be put into the model") from error
    for _, layer in model.named_modules():
        if isinstance(layer, FusedLayer):
            layer.mode = "qat" if _quantised(model) else "float"


def _misfit(wanted: dict[str, Any], state: dict[str, Any]) -> str:
    """What keeps weights from being a model's, the first of each kind; empty where nothing does."""
    other = [
        f"{name} is {_sizes(state[name])}, the model's {_sizes(tensor)}"
        for name, tensor in wanted.items()
        if name in state and _sizes(state[name]) != _sizes(tensor)
    ]
    kinds = (
        ("there is no", [name for name in wanted if name not in state]),
        ("the model has no", [name for name in state if name not in wanted]),
        ("", other),
    )
    for _, names in kinds:
        names.sort(key=lambda name: not name.endswith(".weight"))  # what people know comes first
    return ", ".join(
        f"{word} {shown[0]}".strip() + (f" (and {len(shown) - 1} more)" if shown[1:] else "")
        for word, shown in kinds
        if shown
    )


def _sizes(tensor: Any) -> str:
    """Sizes of a tensor for a message."""
    return "x".join(map(str, getattr(tensor, "shape", ()))) or "one number"


def _quantised(model: nn.Module) -> bool:
    """Whether quantisation-aware training has begun."""
    layers = [la for la in model.modules() if isinstance(la, FusedLayer) and la.op is not None]
    return bool(layers) and all(int(layer.weight_bits) > 0 for layer in layers)


def _calibrated(student: Student, options: argparse.Namespace) -> None:
    """Fold, level and calibrate a float student, with the widest bits that fit the chip."""
    from quantize.calibrate import calibrate
    from quantize.equalize import equalize
    from quantize.fold import fold_batchnorm
    from quantize.ptq import data
    from quantize.ptq.correct import correct_biases
    from quantize.ptq.run import choose_bits

    if options.calibrate is None:
        raise UserError(
            f"{options.checkpoint}: a float checkpoint; give inputs with --calibrate FILE.npy"
        )
    layout = "ncl" if len(_shape(options.input)) == 2 else "nchw"
    inputs = data.load(options.calibrate, student.spec.input_shape, layout, 64).inputs
    if abs(inputs).max() > 1:
        raise UserError(
            f"{options.calibrate}: values reach {abs(inputs).max():g}, but such models read -1 to "
            "127/128; divide bytes by 128"
        )
    images = torch.from_numpy(inputs).clamp(-1, 127 / 128)
    fold_batchnorm(student.eval())
    equalize(student, images)
    floating = copy.deepcopy(student)
    calibrate(student, choose_bits(student, images).bits, images)
    correct_biases(student, floating, images)
