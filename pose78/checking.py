"""Does a network fit the chip? Asked of what is not trained yet as well as of what is.

The answer names everything that breaks a limit at once, and the cycles even when it does not fit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ai8x_models.spec.checked import student_of
from common.console import progress
from common.errors import UserError
from synthesize.chip import limits
from synthesize.chip.cycles import STARTUP_CYCLES
from synthesize.compiler import Compiled, compile_graph, compile_network
from synthesize.graph.hardware import channels_per_pass
from synthesize.graph.ir import Graph, Layer
from synthesize.graph.shapes import check_shapes
from synthesize.legal import rewrites, rules
from synthesize.place import geometry, memories, search
from synthesize.place.placement import LayerPlace
from synthesize.read import checkpoint, student
from synthesize.read.checkpoint import Checkpoint, LayerWeights
from synthesize.report import table

if TYPE_CHECKING:
    from torch import nn

    from ai8x_models.spec.student import StudentSpec
    from pose78.foreign import Understood

Bits = int | Mapping[str, int]
_NAMED = 3
"""Layers that a sentence names."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """The answer about one network.

    Attributes:
        name: of the network.
        fits: whether the compiler places it.
        cycles: CNN clock cycles of one inference; None when the shapes do not chain.
        problems: a sentence for every limit it breaks; empty when it fits.
        layers: name, input, output, bits, kernel words and cycles of every layer as it runs.
        compiled: what the compiler made; None when it does not fit.
        hint: what would make it fit, where that is known.
        notes: what else should be known, as of what is left to the application.
    """

    name: str
    fits: bool
    cycles: int | None
    problems: tuple[str, ...]
    layers: tuple[dict[str, Any], ...]
    compiled: Compiled | None = None
    hint: str = ""
    notes: tuple[str, ...] = ()

    @property
    def milliseconds(self) -> float | None:
        """Time of one inference at the chip's 50 MHz."""
        return None if self.cycles is None else round(1000 * self.cycles / limits.CNN_CLOCK_HZ, 3)

    def text(self) -> str:
        """Table and verdict for a terminal."""
        notes = [f"note: {note}" for note in self.notes]
        if self.compiled is not None:
            return table.table(self.compiled) + "\n".join([*notes, "fits"]) + "\n"
        lines = []
        if self.cycles is not None:
            lines += [f"{self.name}: {self.cycles:,} cycles, {self.milliseconds} ms at 50 MHz"]
            lines += [_row(layer) for layer in (_HEAD, *self.layers)]
        lines += notes
        lines += [f"does not fit: {problem}" for problem in self.problems]
        lines += [self.hint] if self.hint else []
        return "\n".join(lines) + "\n"

    def json(self) -> str:
        """The same for programs."""
        plain = {
            "name": self.name, "fits": self.fits, "cycles": self.cycles,
            "milliseconds": self.milliseconds, "problems": list(self.problems),
            "hint": self.hint, "notes": list(self.notes), "layers": list(self.layers),
        }  # fmt: skip
        return json.dumps(plain, indent=1) + "\n"


_HEAD: dict[str, Any] = {
    "name": "layer", "input": "input", "output": "output", "bits": "bits", "words": "words",
    "cycles": "cycles",
}  # fmt: skip


def _row(layer: Mapping[str, Any]) -> str:
    sizes = [s if isinstance(s, str) else "x".join(map(str, s)) for s in
             (layer["input"], layer["output"])]  # fmt: skip
    cycles = layer["cycles"] if isinstance(layer["cycles"], str) else f"{layer['cycles']:,}"
    return (
        f"  {layer['name']:<20}  {sizes[0]:>11}  {sizes[1]:>11}  {layer['bits'] or '-':>4}  "
        f"{layer['words']:>5}  {cycles:>11}"
    )


def check(
    network: StudentSpec | nn.Module | str | Path,
    shape: tuple[int, ...] | None = None,
    *,
    bits: Bits | None = None,
    weights: str | Path | None = None,
) -> Verdict:
    """Does it fit, how fast is it, and what breaks which limit?

    Args:
        network: a student's description; a torch module, trained or not, of this project's layers
            or of torch's own; the name of a described student; or a file: Python
            (a :class:`~ai8x_models.spec.student.StudentSpec`, a module or a class of one;
            ``file.py:NAME`` chooses among several), a network description (YAML), ONNX (float or
            quantised), or a checkpoint (integer, or float when it describes itself).
        shape: of one input, [channels, rows, columns] or [channels, length], for modules that do
            not say it themselves (``input_shape``).
        bits: weight bits of an untrained network, for all layers or by layer (the others have 8);
            by default those of its recipe, else 8.
        weights: integer checkpoint of a network description; by default the one beside it.

    Raises:
        UserError: there is no such network, it cannot be read, or something is given that it says
            itself.
    """
    if not isinstance(network, (str, Path)):
        return _undecided(network, shape, bits)
    path = Path(network)
    _refuse_idle(path, shape, bits, weights)
    if path.suffix in (".yaml", ".yml"):
        return _described(path, None if weights is None else Path(weights))
    if path.suffix == ".onnx":
        return _onnx(path, bits)
    if path.name.endswith((".pth.tar", ".pth", ".pt", ".npz")):
        return _stored(path, bits)
    from pose78.students import named

    return _undecided(named(str(network), shape), shape, bits)


def _refuse_idle(path: Path, shape: Any, bits: Bits | None, weights: Any) -> None:
    """Refuse what would change nothing.

    Raises:
        UserError: as said.
    """
    described = path.suffix in (".yaml", ".yml")
    if weights is not None and not described:
        raise UserError(f"--weights goes with a network description (.yaml), not with {path}")
    if bits is not None and described:
        raise UserError(f"{path} says its weight bits itself; leave --bits out")
    if shape is not None and ".py" not in path.name:
        raise UserError(f"{path} says its input itself; leave --input out")


def _undecided(
    network: StudentSpec | nn.Module, shape: tuple[int, ...] | None, bits: Bits | None
) -> Verdict:
    """Something that has no integer weights yet."""
    student_spec = student_of(network)
    if student_spec is not None:
        if shape is not None and tuple(shape) != tuple(student_spec.input_shape):
            own = "x".join(map(str, student_spec.input_shape))
            raise UserError(
                f"{student_spec.name} says itself that it reads {own}; leave --input out"
            )
        chosen = bits if bits is not None else recipe_bits(student_spec.name)
        return judge(untrained(student_spec, chosen))
    from pose78 import foreign

    return _of(foreign.module(cast("nn.Module", network), shape), bits)


def _of(understood: Understood, bits: Bits | None) -> Verdict:
    """A network of another kind, and what the chip lacks for it."""
    spec = understood.spec
    try:
        verdict = judge(untrained(spec, 8 if bits is None else bits))
    except UserError as error:
        if not understood.obstacles:
            raise
        verdict = Verdict(spec.name, False, None, (str(error),), ())
    verdict = replace(verdict, notes=understood.notes)
    if understood.obstacles:
        # Sizes that do not chain are no fault of the network where something stands in for a part.
        own = () if verdict.cycles is None else verdict.problems
        problems = tuple(dict.fromkeys((*understood.obstacles, *own)))
        return replace(verdict, fits=False, problems=problems, compiled=None)
    return replace(verdict, hint=_narrower(spec)) if bits is None else verdict


def _narrower(spec: StudentSpec) -> str:
    """Whether fewer bits would make a network fit that has 8; empty when it needs none."""
    for bits in progress((8, 4, 2, 1), title="weight bits", unit="width"):
        try:
            compile_graph(untrained(spec, bits))
        except UserError:
            continue
        return "" if bits == 8 else f"with {bits} bits in every layer it fits: --bits {bits}"
    return ""


def _onnx(path: Path, bits: Bits | None) -> Verdict:
    """A model that is quantised for the chip as it is, any other as a float one."""
    from synthesize.read.onnx import network as onnx_network

    try:
        graph = onnx_network.load(path).graph
    except UserError:
        from pose78 import foreign

        return _of(foreign.onnx(path), bits)
    return _settled(graph, path, bits)


def _settled(graph: Graph, path: Path, bits: Bits | None) -> Verdict:
    """A network that has its integers."""
    if bits is not None:
        raise UserError(f"{path} holds integers, whose bits are settled; leave --bits out")
    return judge(graph)


def _stored(path: Path, bits: Bits | None) -> Verdict:
    """A checkpoint, of integers or of floats."""
    try:
        graph = student.load(checkpoint.load(path))
    except UserError:
        if path.suffix == ".npz" or not path.is_file():
            raise
        from pose78 import foreign

        understood = foreign.float_checkpoint(path)
        if understood is None:
            raise
        return _undecided(understood.spec, None, bits)
    return _settled(graph, path, bits)


def recipe_bits(name: str) -> Bits:
    """Weight bits that the recipe of a described student trains with; 8 where there is none."""
    import yaml

    root = Path(__file__).resolve().parent.parent / "distill" / "tasks"
    for path in sorted(root.glob(f"*/recipes/{name}-qat.yaml")):
        settings = yaml.safe_load(path.read_text(encoding="utf-8")).get("qat") or {}
        return {"default": settings.get("default_bits", 8), **(settings.get("bits") or {})}
    return 8


def untrained(spec: StudentSpec, bits: Bits = 8) -> Graph:
    """The graph of a student that has no weights yet; its biases count as used.

    Raises:
        UserError: bits of a layer it does not have, or not 1, 2, 4 or 8.
    """
    each = {"default": bits} if isinstance(bits, int) else dict(bits)
    usual = each.pop("default", 8)
    unknown = sorted(set(each) - {layer.name for layer in spec.layers})
    if unknown:
        raise UserError(
            f"bits are given for {', '.join(unknown)}, but {spec.name} has no such layer"
        )
    stored = []
    for layer in spec.layers:
        width = each.get(layer.name, usual)
        if width not in (1, 2, 4, 8):
            raise UserError(f"layer {layer.name} is given {width} bits; the chip has 1, 2, 4 and 8")
        if layer.weighted:
            bias = np.full(layer.out_channels, 1 << (width - 1)) if layer.bias else None
            weight = np.zeros(_weight_shape(layer), np.int64)
            stored.append(LayerWeights(layer.name, weight, bias, 0, width))
    return student.load(Checkpoint(spec.name, spec.name, tuple(stored), spec.describe()))


def _weight_shape(layer: Any) -> tuple[int, ...]:
    """Shape of a layer's weights as a checkpoint stores them."""
    inputs, outputs = layer.in_channels, layer.out_channels
    if layer.op == "linear":
        return outputs, inputs
    if layer.op == "conv1d":
        return outputs, inputs, layer.kernel
    first = (inputs, outputs) if layer.op == "convtranspose2d" else (outputs, inputs)
    return (*first, layer.kernel, layer.kernel)


def _described(path: Path, weights_file: Path | None) -> Verdict:
    """A network description, whose placement, if it has one, is taken as it is."""
    from synthesize.ai8x.description import CHECKPOINT_NAME
    from synthesize.read.yaml import description

    # The compiler writes the weights, whose number says how many channels there are, beside it.
    beside = weights_file or path.parent / CHECKPOINT_NAME
    known = weights_file is not None or beside.is_file()
    weights = checkpoint.load(beside, lenient=True) if known else None
    read = description.load(path, weights)
    if read.hints is None:
        return judge(read.graph)
    try:
        return _fitting(compile_network(weights, path))
    except UserError as error:
        return _failing(read.graph, error)


def judge(graph: Graph) -> Verdict:
    """Place a graph, or say everything that is in the way."""
    try:
        return _fitting(compile_graph(graph))
    except UserError as error:
        return _failing(graph, error)


def _fitting(compiled: Compiled) -> Verdict:
    layers = tuple(
        {
            "name": layer.name, "input": list(layer.input_shape),
            "output": list(layer.output_shape), "bits": layer.bits,
            "words": layer.words_per_processor, "cycles": layer.cycles,
        }
        for layer in compiled.program.layers
    )  # fmt: skip
    return Verdict(compiled.program.name, True, compiled.program.cycles, (), layers, compiled)


def _failing(described: Graph, error: UserError) -> Verdict:
    try:
        legal = rewrites.legalise(described, check=False)
        check_shapes(legal)
    except UserError:
        return Verdict(described.name, False, None, (str(error),), ())
    problems = [*rules.violations(legal), *budgets(legal)]
    if not problems or not any(_about(problem, error) for problem in problems):
        problems.append(str(error))
    layers = tuple(_nominal(layer) for layer in legal.layers)
    cycles = STARTUP_CYCLES + sum(layer["cycles"] for layer in layers)
    return Verdict(described.name, False, cycles, tuple(dict.fromkeys(problems)), layers)


def _about(problem: str, error: UserError) -> bool:
    """Whether a sentence says what the compiler said, or the sum of it."""
    return str(error) in problem or (
        problem.startswith("weight memory") and "kernel words" in str(error)
    )


def budgets(graph: Graph) -> list[str]:
    """A sentence for every memory that a legal graph needs more of than there is."""
    found = []
    weights = {layer.name: layer.weight_bytes for layer in graph.layers}
    if sum(weights.values()) > limits.WEIGHT_BYTES:
        found.append(
            f"weight memory: {sum(weights.values()):,} bytes are needed, "
            f"{sum(weights.values()) - limits.WEIGHT_BYTES:,} more than the "
            f"{limits.WEIGHT_BYTES:,} there are; give fewer bits or channels to {_largest(weights)}"
        )
    biases = {x.name: len(x.bias) for x in graph.layers if x.bias is not None and x.bias.any()}
    if sum(biases.values()) > limits.BIAS_BYTES:
        found.append(
            f"bias memory: {sum(biases.values()):,} bytes are needed, "
            f"{sum(biases.values()) - limits.BIAS_BYTES:,} more than the {limits.BIAS_BYTES:,} "
            f"there are; leave the bias of {_largest(biases)} out"
        )
    try:
        search.streaming_layers(graph)
    except UserError as error:
        found.append(f"data memory: {error}")
    return found


def _largest(sizes: Mapping[str, int]) -> str:
    """The layers that take most, with their bytes."""
    chosen = sorted(sizes, key=lambda name: -sizes[name])[:_NAMED]
    return ", ".join(f"{name} ({sizes[name]:,})" for name in chosen)


def _nominal(layer: Layer) -> dict[str, Any]:
    """Figures of a layer that has no place: its cycles do not depend on one."""
    passes, width = channels_per_pass(layer.in_shape[0])
    out_passes, out_width = channels_per_pass(layer.out_shape[0])
    place = LayerPlace((1 << width) - 1, (1 << out_width) - 1, 0, 0, passes, width, out_passes,
                       out_width)  # fmt: skip
    place = replace(place, kernels=memories.kernel_count(layer, place))
    return {
        "name": layer.name, "input": list(layer.in_shape), "output": list(layer.out_shape),
        "bits": layer.bits if layer.weight is not None else 0,
        "words": memories.kernel_words(layer, place), "cycles": geometry.cycles(layer, place),
    }  # fmt: skip
