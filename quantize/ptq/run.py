"""From any ONNX model to an integer student: the whole of post-training quantisation."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ai8x_models.students import INPUT, Student, inputs_of
from common.console import progress as bar
from common.errors import UserError
from quantize.calibrate import calibrate
from quantize.equalize import equalize
from quantize.integer import to_integer
from quantize.ptq import evaluate, lower, remarks, scales
from quantize.ptq.correct import correct_biases
from quantize.ptq.data import Calibration, given
from quantize.ptq.fuse import fuse
from quantize.ptq.net import INPUT as NET_INPUT
from quantize.ptq.net import Net
from quantize.ptq.obstacles import UnfitNetwork, nothing, trouble, unfinished
from quantize.ptq.read.reader import read
from quantize.ptq.read.views import as_it_lies, canonical
from quantize.ptq.suits import TRIALS, check, some
from quantize.sensitivity import sensitivity
from synthesize.place.bits import Allocation, allocate, graph_of

WIDTHS = (8, 4, 2)
Progress = Callable[[str], None]


@dataclass
class Result:
    """What quantisation made, and how far it is from the float model.

    Args:
        student: integer student; its data is the model's divided by ``factors``.
        floating: the same network before rounding, the teacher of fine-tuning.
        factors: real value of one in the input and in every output, by layer name.
        allocation: bits, words and cycles as the compiler placed them.
        layers: by layer: signal to error in dB, all layers before it rounded as well.
        outputs: by output: relative error (root of summed squares) to the model itself.
        agreement: share of inputs whose largest output is the model's, None without classes.
        accuracy: (float, integer) share of right classes, None without labels.
        notes: what the user should know.
    """

    net: Net
    student: Student
    floating: Student
    factors: dict[str, float]
    allocation: Allocation
    layers: dict[str, float]
    outputs: dict[str, float]
    agreement: float | None
    accuracy: tuple[float, float] | None
    notes: list[str] = field(default_factory=list)


def understand(path: Path, approximate: bool = False) -> tuple[Net, lower.Lowered]:
    """Read a model and turn it into layers.

    Raises:
        UnfitNetwork: with everything that stands in the way.
        UserError: it cannot be read at all.
    """
    net = fuse(read(path), approximate)
    try:
        lowered = lower.lower(net)
    except UserError as error:
        if not net.obstacles:
            raise UserError(f"{path}: {error}") from None
        raise UnfitNetwork(f"{path}: {unfinished(net, str(error))}") from None
    if not lowered.spec.layers:
        raise UnfitNetwork(f"{path}: {nothing(net)}")
    found = trouble(net, lowered.spec)
    if found is not None:
        raise UnfitNetwork(f"{path}: {found}")
    return net, lowered


def quantize(
    path: Path,
    calibration: Callable[[Net], Calibration],
    widths: Sequence[int] = WIDTHS,
    approximate: bool = False,
    progress: Progress = lambda text: None,
    fresh: Callable[[Net], Calibration] | None = None,
) -> Result:
    """Quantise a model.

    Args:
        path: float or QDQ ONNX model.
        calibration: gives the data for a network, once its input is known.
        widths: weight bits to choose from; the widest that fits is tried first.
        approximate: replace what the chip does not have by the nearest thing it has.
        progress: called with what happens next.
        fresh: gives other data, to compare with the model on; None: the calibration's.

    Raises:
        UserError: the model, the data or the memory is not enough; everything is named.
    """
    net, lowered = understand(path, approximate)
    data = calibration(net)
    check(net, data.inputs)
    progress("ranges")
    inputs = torch.from_numpy(data.inputs)
    seen = scales.ranges(net, inputs)
    wide = {op.name for op in net.ops.values() if lower.is_wide(net, op)}
    factors = scales.factors(net, seen, wide)
    student = lower.build(lowered, factors)
    unit = float(factors[NET_INPUT][0])
    chip = _rounded(inputs / unit)
    trial = some(chip, TRIALS)
    _note_limits(net, seen, factors)
    progress("equalisation")
    equalize(student, trial)
    floating = copy.deepcopy(student)
    allocation = choose_bits(student, trial, widths, progress)
    progress("calibration")
    calibrate(student, allocation.bits, trial)
    correct_biases(student, floating, trial)
    to_integer(student)
    progress("comparison")
    values = {name: float(factors[lowered.ops[name].name][0]) for name in lowered.spec.outputs}
    result = Result(
        net, student, floating, {INPUT: unit, **values}, allocation,
        _per_layer(student, floating, trial), {}, None, None, list(net.notes),
    )  # fmt: skip
    if fresh is not None:
        data = fresh(net)
        chip = _rounded(torch.from_numpy(data.inputs) / unit)
    _compare(path, result, lowered, data, chip)
    return result


def _rounded(x: Tensor) -> Tensor:
    return (torch.floor(x * 128 + 0.5) / 128).clamp(-1, 127 / 128)


def choose_bits(
    student: Student,
    chip: Tensor,
    widths: Sequence[int] = WIDTHS,
    progress: Progress = lambda text: None,
) -> Allocation:
    """Bits of every layer: the widest everywhere, else what costs least of all that fits."""
    graph = graph_of(student.spec.name, student.spec.describe())
    names = [spec.name for spec, _ in student.layers()]
    widest = max(widths)
    try:
        return allocate(graph, {name: {widest: 0.0} for name in names})
    except UserError:
        if len(set(widths)) == 1:
            raise
    progress("sensitivity of every layer")
    with bar(title="sensitivity", total=len(names), unit="layer") as shown:

        def measuring(name: str) -> None:
            progress(name)
            shown.update()

        return allocate(graph, sensitivity(student, chip, widths, measuring))


def _note_limits(net: Net, seen: dict[str, scales.Range], factors: dict[str, np.ndarray]) -> None:
    """Say where limits of the model are not those of the chip, and whether it matters."""
    for op in net.ops.values():
        if op.plain or (op.low, op.high) == (-np.inf, np.inf):
            continue
        most = float(factors[op.name].max()) * 127 / 128
        low = op.low if op.activation == "none" else -most
        kept = abs(op.high - most) <= 0.02 * most and abs(low + most) <= 0.02 * most
        if not kept and scales.binding(op, seen[op.name]):
            net.notes.append(
                f"{op.node}: limits {op.low:g} to {op.high:g} are not the chip's ({-most:g} to "
                f"{most:g}); the error below includes it"
            )


@torch.no_grad()
def _per_layer(student: Student, floating: Student, chip: Tensor) -> dict[str, float]:
    """Signal to error of every layer in dB."""
    real, whole = {INPUT: chip}, {INPUT: (chip * 128).double()}
    found: dict[str, float] = {}
    for (spec, layer), (_, truth) in zip(student.steps(), floating.steps(), strict=True):
        real[spec.name] = truth(*inputs_of(spec, real))
        whole[spec.name] = layer(*inputs_of(spec, whole))
        worth = student.worth(spec.name)
        error = (whole[spec.name] * worth - real[spec.name]).square().mean()
        power = real[spec.name].double().square().mean()
        found[spec.name] = float(10 * torch.log10(power.clamp_min(1e-30) / error.clamp_min(1e-30)))
    return found


def _compare(
    path: Path, result: Result, lowered: lower.Lowered, data: Calibration, chip: Tensor
) -> None:
    """Compare the integer student with the model itself, as ONNX Runtime computes it.

    Raises:
        UserError: the model was misread.
    """
    net, student = result.net, result.student
    wanted = model_outputs(path, net, data.inputs)
    mine = integer_outputs(student, chip, result.factors)
    for (name, op), truth in zip(net.outputs, wanted, strict=True):
        got = mine[lowered.layers[op]].reshape(truth.shape)
        norm = float(np.linalg.norm(truth)) or 1.0
        result.outputs[name] = float(np.linalg.norm(got - truth)) / norm
        far = remarks.share(got, truth)
        read = remarks.unlike(net, data.inputs, name, truth) if far > remarks.LARGE / 2 else 0.0
        if read > remarks.LARGE / 2:
            result.notes.append(remarks.remark_unlike(path, net, name, read))
        elif far > remarks.LARGE:
            layer = lowered.layers[op]
            result.notes.append(remarks.remark(student.spec, name, layer, far, result.layers))
    op = net.outputs[0][1]
    first, truth = mine[lowered.layers[op]].reshape(len(data.inputs), -1), wanted[0]
    truth = truth.reshape(len(truth), -1)
    if net.ops[op].shape[1:] == (1, 1) and truth.shape[1] > 1:
        result.agreement = float((first.argmax(1) == truth.argmax(1)).mean())
        labels = data.labels
        if labels is not None and labels.max() < truth.shape[1]:
            result.accuracy = (
                float((truth.argmax(1) == labels).mean()), float((first.argmax(1) == labels).mean())
            )  # fmt: skip


@torch.no_grad()
def integer_outputs(
    student: Student, chip: Tensor, factors: dict[str, float]
) -> dict[str, np.ndarray]:
    """Real outputs of the integer student by layer name, [N, C, H, W]."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in student.spec.outputs}
    batches = range(0, len(chip), scales.BATCH)
    for start in bar(batches, title="the integer network", unit="batch"):
        maps = student.maps((chip[start : start + scales.BATCH] * 128).double())
        for name, value in zip(student.spec.outputs, maps, strict=True):
            parts[name].append((value * factors[name]).numpy())
    return {name: np.concatenate(values) for name, values in parts.items()}


def _inner(net: Net, name: str, value: np.ndarray) -> np.ndarray:
    """A tensor of the model in the order that its values have here."""
    value = canonical(value, net.views.get(name, ""))
    if name not in net.orders:
        return value
    return as_it_lies(value.reshape(len(value), -1), net.orders[name])


def model_outputs(path: Path, net: Net, inputs: np.ndarray) -> list[np.ndarray]:
    """What the model itself computes up to the operations that the network puts out.

    Outputs that only the application computes (a Softmax at the end) are taken from in front of
    it. Without onnxruntime the float network stands in for the model.
    """
    from quantize.ptq.runtime import run_model

    found = run_model(path, net, given(inputs, net.ops[NET_INPUT].shape, net.layout))
    if found is not None:
        names = [net.cut.get(name, name) for name, _ in net.outputs]
        return [_inner(net, name, value) for name, value in zip(names, found, strict=True)]
    batches = [
        evaluate.outputs(net, torch.from_numpy(inputs[i : i + scales.BATCH]))
        for i in range(0, len(inputs), scales.BATCH)
    ]
    return [np.concatenate([b[name].numpy() for b in batches]) for name, _ in net.outputs]
