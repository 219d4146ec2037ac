"""What a legal graph may contain: one function per limit of the accelerator.

A rule's docstring is the sentence the user sees; names in braces are filled with what the rule
returns. A rule returns None when the limit is kept. ``docs/limits.md`` is made of them
(``limits_page.py``). Budgets that depend on the placement (kernel words per processor, bias bytes,
data memory) are checked where they are allocated, in :mod:`synthesize.place.memories` and
:mod:`synthesize.place.search`; their numbers appear in the same page.

Sources: DESIGN facts from ai8x-synthesis README ("Limitations of MAX78000 networks"),
``izer/tornadocnn.py`` and the checks in ``izer/backend/max7800x.py`` and ``izer/izer.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from common.errors import UserError
from synthesize.chip import limits, registers
from synthesize.graph import shapes
from synthesize.graph.hardware import as_run, channels_per_pass, hardware_pad
from synthesize.graph.ir import ACTIVATIONS, OPERATIONS, Graph, Layer, at
from synthesize.legal.dilated import DILATED_RULES
from synthesize.legal.kept import KEPT_RULES
from synthesize.legal.messages import message

Values = dict[str, Any] | None
LayerRule = Callable[[Graph, Layer], Values]
GraphRule = Callable[[Graph], Values]

LAYER_RULES: list[LayerRule] = []
GRAPH_RULES: list[GraphRule] = []


def layer_rule(function: LayerRule) -> LayerRule:
    """Register a rule that looks at one layer."""
    LAYER_RULES.append(function)
    return function


def graph_rule(function: GraphRule) -> GraphRule:
    """Register a rule that looks at the whole graph."""
    GRAPH_RULES.append(function)
    return function


def violations(graph: Graph) -> list[str]:
    """Return the sentence of every broken rule, in running order."""
    result = []
    for graph_check in GRAPH_RULES:
        values = graph_check(graph)
        if values is not None:
            result.append(f"network {graph.name}: {message(graph_check, values)}")
    for layer in graph.layers:
        for layer_check in LAYER_RULES:
            values = layer_check(graph, layer)
            if values is not None:
                result.append(at(layer) + message(layer_check, values))
    return result


def check(graph: Graph) -> None:
    """Check that a graph is legal for the accelerator.

    Raises:
        UserError: with the sentence of the first broken rule.
    """
    shapes.check_shapes(graph)
    broken = violations(graph)
    if broken:
        raise UserError(broken[0])


def passes_of(layer: Layer) -> int:
    """Return the input passes of a layer."""
    return channels_per_pass(layer.in_shape[0])[0]


@graph_rule
def number_of_layers(graph: Graph) -> Values:
    """{layers} layers exceed the 32 the chip can run; merge or remove layers"""
    count = len(graph.layers)
    return {"layers": count} if count > limits.MAX_LAYERS else None


@graph_rule
def outputs(graph: Graph) -> Values:
    """{outputs} outputs; a network needs at least one"""
    return {"outputs": 0} if not graph.outputs else None


@layer_rule
def known_operation(graph: Graph, layer: Layer) -> Values:
    """operation {op} with activation {activation} does not exist on the chip; use conv2d, conv1d,
    convtranspose2d, linear or passthrough with none, relu or abs"""
    if layer.op in OPERATIONS and layer.activation in ACTIVATIONS:
        return None
    return {"op": layer.op, "activation": layer.activation}


@layer_rule
def channels(graph: Graph, layer: Layer) -> Values:
    """{channels} channels exceed the 1024 a layer can have; use fewer channels"""
    most = max(layer.in_shape[0], layer.out_shape[0])
    return {"channels": most} if most > limits.MAX_CHANNELS else None


@layer_rule
def rows_and_columns(graph: Graph, layer: Layer) -> Values:
    """{size} rows or columns exceed the 1023 the chip can count; pool earlier or cut the input"""
    size = max(*layer.in_shape[1:], *layer.out_shape[1:])
    return {"size": size} if size > limits.MAX_ROWS_COLUMNS else None


@layer_rule
def counted_size(graph: Graph, layer: Layer) -> Values:
    """{size} rows or columns, padding on both sides included, exceed the {most} the chip can count;
    pad less, pool earlier or cut the input"""
    if layer.flatten or layer.op not in OPERATIONS:
        return None
    most = registers.RCNT.by_name["rcnt_max"].maximum + 1
    layer = as_run(layer)
    pads = hardware_pad(layer)
    factor = layer.stride if layer.op == "convtranspose2d" else (1, 1)
    sizes = [n * f + 2 * p for n, f, p in zip(layer.in_shape[1:], factor, pads, strict=True)]
    return {"size": max(sizes), "most": most} if max(sizes) > most else None


@layer_rule
def kernel_2d(graph: Graph, layer: Layer) -> Values:
    """a {rows}x{cols} kernel is not possible, 2D convolutions are 3x3 or 1x1 and transposed ones
    3x3; express it by such layers"""
    allowed: tuple[tuple[int, int], ...] = limits.CONV2D_KERNELS
    if layer.op == "convtranspose2d":
        allowed = ((3, 3),)
    if layer.op not in ("conv2d", "convtranspose2d") or layer.kernel in allowed:
        return None
    return {"rows": layer.kernel[0], "cols": layer.kernel[1]}


@layer_rule
def kernel_1d(graph: Graph, layer: Layer) -> Values:
    """a 1D kernel of length {length} is not possible, the chip has lengths 1 to 9; use a shorter
    kernel"""
    if layer.op != "conv1d" or 1 <= layer.kernel[0] <= limits.MAX_CONV1D_LENGTH:
        return None
    return {"length": layer.kernel[0]}


@layer_rule
def one_column(graph: Graph, layer: Layer) -> Values:
    """1D convolution on data with {cols} columns is not possible; reshape it to one column"""
    if layer.op != "conv1d" or layer.in_shape[2] == 1:
        return None
    return {"cols": layer.in_shape[2]}


@layer_rule
def stride(graph: Graph, layer: Layer) -> Values:
    """stride {rows}x{cols} is not possible, the chip has stride 1 (transposed convolutions 2); use
    pooling or pool_stride to drop samples"""
    wanted = (2, 2) if layer.op == "convtranspose2d" else (1, 1)
    if layer.stride == wanted:
        return None
    return {"rows": layer.stride[0], "cols": layer.stride[1]}


@layer_rule
def padding(graph: Graph, layer: Layer) -> Values:
    """padding {pad} with kernel {kernel} is not possible, padding is 0, 1 or 2 and smaller than the
    kernel; pad less"""
    for pad, size in zip(layer.pad, layer.kernel, strict=True):
        if pad > limits.MAX_PADDING or pad >= size:
            return {"pad": pad, "kernel": f"{layer.kernel[0]}x{layer.kernel[1]}"}
    return None


@layer_rule
def output_padding(graph: Graph, layer: Layer) -> Values:
    """output padding {pad} is not possible, transposed convolutions have 1; use 1"""
    if layer.op != "convtranspose2d" or layer.output_pad == (1, 1):
        return None
    return {"pad": layer.output_pad[0]}


@layer_rule
def pooling_and_transposed(graph: Graph, layer: Layer) -> Values:
    """pooling cannot be combined with a transposed convolution; pool in a layer before it"""
    return {} if layer.op == "convtranspose2d" and layer.pool is not None else None


@layer_rule
def pooling_window(graph: Graph, layer: Layer) -> Values:
    """a pooling window or stride of {size} is not possible, both go from 1 to 16; pool in two
    layers"""
    size = max(*layer.pool_size, *layer.pool_stride)
    return {"size": size} if size > limits.MAX_POOL else None


@layer_rule
def pooling_stride(graph: Graph, layer: Layer) -> Values:
    """a pooling stride of {rows}x{cols} is not possible, rows and columns have the same stride;
    use a square stride"""
    rows, cols = layer.pool_stride
    if rows == cols or layer.op == "conv1d" or layer.in_shape[2] == 1:
        return None
    return {"rows": rows, "cols": cols}


@layer_rule
def pooling_passes(graph: Graph, layer: Layer) -> Values:
    """pooling without convolution over {channels} channels is not possible, it has one pass of 64
    channels; pool in front of a convolution"""
    pooled = layer.op == "passthrough" and layer.pool_size != (1, 1)
    if not pooled or passes_of(layer) == 1 or layer.pooled == (1, 1):
        return None
    return {"channels": layer.in_shape[0]}


@layer_rule
def number_of_operands(graph: Graph, layer: Layer) -> Values:
    """{operands} operands of an element-wise operation exceed 16; combine them in two layers"""
    count = layer.operands
    return {"operands": count} if count > limits.MAX_OPERANDS else None


@layer_rule
def operands_in_1d(graph: Graph, layer: Layer) -> Values:
    """element-wise operations cannot be combined with a 1D convolution; use a layer of its own"""
    return {} if layer.op == "conv1d" and layer.operands > 1 else None


@layer_rule
def operands_before_pooling(graph: Graph, layer: Layer) -> Values:
    """{operands} operands combined before pooling exceed 2; pool first"""
    last = not layer.pool_first and layer.pool_size != (1, 1)
    if not last or layer.operands <= limits.MAX_POOL_LAST_OPERANDS:
        return None
    return {"operands": layer.operands}


@layer_rule
def operands_and_passes(graph: Graph, layer: Layer) -> Values:
    """{operands} operands of {channels} channels cannot be pooled or convolved in the same layer;
    use a layer of its own for the element-wise operation"""
    passes = passes_of(layer)
    if layer.operands == 1 or passes == 1 or (layer.operands, passes) == (2, 2):
        return None
    if layer.op == "passthrough" and layer.pool is None:
        return None
    return {"operands": layer.operands, "channels": layer.in_shape[0]}


@layer_rule
def passthrough_is_plain(graph: Graph, layer: Layer) -> Values:
    """a layer without convolution has no activation ({activation}), no padding and 8-bit output;
    put them into the next layer"""
    if layer.op != "passthrough":
        return None
    if layer.activation == "none" and not layer.wide and layer.pad == (0, 0):
        return None
    return {"activation": layer.activation}


@layer_rule
def weights_exist(graph: Graph, layer: Layer) -> Values:
    """{op} has no weights of {bits} bits; give integer weights of 1, 2, 4 or 8 bits"""
    if layer.op == "passthrough":
        return None
    if layer.weight is not None and layer.bits in limits.WEIGHT_BITS:
        return None
    return {"op": layer.op, "bits": layer.bits}


@layer_rule
def weight_range(graph: Graph, layer: Layer) -> Values:
    """weights from {low} to {high} do not fit {bits} bits ({least} to {most}); quantise again"""
    if layer.weight is None or layer.weight.size == 0:
        return None
    least, most = -(1 << (layer.bits - 1)), max((1 << (layer.bits - 1)) - 1, 0)
    low, high = int(layer.weight.min()), int(layer.weight.max())
    if low >= least and high <= most:
        return None
    return {"low": low, "high": high, "bits": layer.bits, "least": least, "most": most}


@layer_rule
def bias_range(graph: Graph, layer: Layer) -> Values:
    """a bias of {value} does not fit 8 bits (-128 to 127); quantise again with more weight bits or
    a larger scale"""
    if layer.bias is None or not layer.bias.size:
        return None
    worst = max(int(layer.bias.max()), -1 - int(layer.bias.min()))
    if worst <= 127:
        return None
    return {"value": int(layer.bias.max()) if layer.bias.max() > 127 else int(layer.bias.min())}


@layer_rule
def number_of_biases(graph: Graph, layer: Layer) -> Values:
    """{count} biased outputs exceed the 512 bytes of a bias memory; use fewer outputs or no bias"""
    if layer.bias is None or not layer.bias.any():
        return None
    count = layer.out_shape[0]
    return {"count": count} if count > limits.BIAS_BYTES_PER_QUADRANT else None


@layer_rule
def scale_range(graph: Graph, layer: Layer) -> Values:
    """output_shift {shift} with {bits}-bit weights is out of range, it goes from {low} to {high};
    quantise again"""
    if abs(layer.shift) <= limits.MAX_SHIFT:
        return None
    implicit = 8 - layer.bits
    return {
        "shift": layer.output_shift,
        "bits": layer.bits,
        "low": -limits.MAX_SHIFT - implicit,
        "high": limits.MAX_SHIFT - implicit,
    }


@layer_rule
def wide_output(graph: Graph, layer: Layer) -> Values:
    """a 32-bit output has no activation ({activation}); move it to the application or use 8 bits"""
    if not layer.wide or layer.activation == "none":
        return None
    return {"activation": layer.activation}


@layer_rule
def wide_is_last(graph: Graph, layer: Layer) -> Values:
    """its 32-bit output is read by {reader}, but only the application can read 32 bits; use 8-bit
    output"""
    readers = graph.readers(layer.name)
    return {"reader": readers[0].name} if layer.wide and readers else None


@layer_rule
def flatten_pixels(graph: Graph, layer: Layer) -> Values:
    """flattening {pixels} pixels of {channels} channels exceeds 256 pixels times passes; pool
    further before it"""
    if not layer.flatten:
        return None
    pixels = layer.pooled[0] * layer.pooled[1]
    if pixels * passes_of(layer) <= limits.MAX_FLATTEN_PASSES:
        return None
    return {"pixels": pixels, "channels": layer.in_shape[0]}


@layer_rule
def flatten_alone(graph: Graph, layer: Layer) -> Values:
    """flattening cannot be combined with pooling or a kernel; pool in a layer before it"""
    if not layer.flatten:
        return None
    return {} if layer.pool is not None or layer.op != "linear" else None


@layer_rule
def linear_data(graph: Graph, layer: Layer) -> Values:
    """a linear layer on {rows}x{cols} data needs 'flatten'; set flatten or use a 1x1 convolution"""
    if layer.op != "linear" or layer.flatten or layer.pooled == (1, 1):
        return None
    return {"rows": layer.pooled[0], "cols": layer.pooled[1]}


LAYER_RULES += (*DILATED_RULES, *KEPT_RULES)
