"""Every limit of the chip, from both sides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from synthesize.graph import shapes
from synthesize.graph.ir import Graph, Input, Layer, Output, Pool
from synthesize.legal import limits_page, rules
from synthesize.legal.messages import message

ROOT = Path(__file__).resolve().parents[3]
Make = Callable[[int], Layer]


def conv(
    channels: int = 4,
    rows: int = 8,
    cols: int = 8,
    out: int = 4,
    kernel: tuple[int, int] = (3, 3),
    **options: object,
) -> Layer:
    """A convolution whose shapes follow from its arguments."""
    options.setdefault("pad", (0, 0))
    layer = Layer(
        name="layer1",
        op=options.pop("op", "conv2d"),  # type: ignore[arg-type]
        inputs=options.pop("inputs", ("input",)),  # type: ignore[arg-type]
        in_shape=(channels, rows, cols),
        out_shape=(1, 1, 1),
        kernel=kernel,
        **options,  # type: ignore[arg-type]
    )
    if layer.op != "passthrough":
        inputs = channels * (layer.pooled[0] * layer.pooled[1] if layer.flatten else 1)
        layer = replace(layer, weight=np.zeros((out, inputs, *kernel), np.int64))
    return replace(layer, out_shape=shapes.result_shape(layer))


def graph_of(*layers: Layer) -> Graph:
    """A network around layers that all read the input."""
    source = Input(layers[0].in_shape)
    last = layers[-1]
    return Graph("net", source, layers, (Output("y", last.name, 0, last.out_shape[0]),))


def chain(length: int) -> Graph:
    """Many layers one after the other."""
    layers = [replace(conv(kernel=(1, 1)), name="n0")]
    for i in range(1, length):
        layers.append(replace(conv(kernel=(1, 1)), name=f"n{i}", inputs=(f"n{i - 1}",)))
    return graph_of(*layers)


def biased(value: int) -> Layer:
    return replace(conv(), bias=np.array([0, 0, 0, value]))


def weighted(value: int) -> Layer:
    layer = conv()
    assert layer.weight is not None
    weight = layer.weight.copy()
    weight[0, 0, 0, 0] = value
    return replace(layer, weight=weight, bits=4)


def eltwise(operands: int, channels: int = 4, **options: object) -> Layer:
    return conv(channels, inputs=("input",) * operands, join="add", **options)


def linear(rows: int, flatten: bool = True, channels: int = 4, pool: Pool | None = None) -> Layer:
    kernel = (1, 1)
    return conv(channels, rows, rows, op="linear", kernel=kernel, flatten=flatten, pool=pool)


def dilated(length: int, rows: int = 32, **options: object) -> Layer:
    return conv(4, rows, 1, op="conv1d", kernel=(length, 1), dilation=9, **options)


# rule -> (a layer just inside, a layer just outside, words of the sentence)
CASES: dict[str, tuple[Callable[[], Layer], Callable[[], Layer], str]] = {
    "known_operation": (
        lambda: conv(activation="abs"),
        lambda: replace(conv(), activation="tanh"),  # type: ignore[arg-type]
        "activation tanh",
    ),
    "channels": (
        lambda: conv(1024, 1, 1, kernel=(1, 1)),
        lambda: conv(1025, 1, 1, kernel=(1, 1)),
        "1025 channels exceed the 1024",
    ),
    "rows_and_columns": (
        lambda: conv(1, 1023, 1, kernel=(1, 1)),
        lambda: conv(1, 1024, 1, kernel=(1, 1)),
        "1024 rows or columns exceed the 1023",
    ),
    "counted_size": (
        lambda: conv(1, 1022, 4, pad=(1, 1), pool=Pool("max", (2, 2), (2, 2))),
        lambda: conv(1, 1023, 4, pad=(1, 1), pool=Pool("max", (2, 2), (2, 2))),
        "1025 rows or columns, padding on both sides included, exceed the 1024",
    ),
    "kernel_2d": (
        lambda: conv(kernel=(1, 1)),
        lambda: conv(kernel=(5, 5)),
        "a 5x5 kernel is not possible",
    ),
    "kernel_1d": (
        lambda: conv(4, 20, 1, op="conv1d", kernel=(9, 1)),
        lambda: conv(4, 20, 1, op="conv1d", kernel=(10, 1)),
        "length 10",
    ),
    "one_column": (
        lambda: conv(4, 20, 1, op="conv1d", kernel=(3, 1)),
        lambda: conv(4, 20, 2, op="conv1d", kernel=(3, 1)),
        "2 columns",
    ),
    "stride": (lambda: conv(), lambda: conv(stride=(2, 2)), "stride 2x2"),
    "padding": (lambda: conv(pad=(2, 2)), lambda: conv(pad=(3, 3)), "padding 3 with kernel 3x3"),
    "output_padding": (
        lambda: conv(op="convtranspose2d", stride=(2, 2), pad=(1, 1), output_pad=(1, 1)),
        lambda: conv(op="convtranspose2d", stride=(2, 2), pad=(1, 1), output_pad=(0, 0)),
        "output padding 0",
    ),
    "pooling_and_transposed": (
        lambda: conv(op="convtranspose2d", stride=(2, 2), pad=(1, 1), output_pad=(1, 1)),
        lambda: conv(
            op="convtranspose2d",
            stride=(2, 2),
            pad=(1, 1),
            output_pad=(1, 1),
            pool=Pool("max", (2, 2), (2, 2)),
        ),
        "pooling cannot be combined with a transposed convolution",
    ),
    "pooling_window": (
        lambda: conv(4, 40, 40, pool=Pool("max", (16, 16), (16, 16)), kernel=(1, 1)),
        lambda: conv(4, 40, 40, pool=Pool("max", (17, 17), (16, 16)), kernel=(1, 1)),
        "a pooling window or stride of 17",
    ),
    "pooling_stride": (
        lambda: conv(pool=Pool("max", (2, 3), (2, 2)), kernel=(1, 1)),
        lambda: conv(pool=Pool("max", (2, 2), (2, 1)), kernel=(1, 1)),
        "a pooling stride of 2x1",
    ),
    "pooling_passes": (
        lambda: conv(64, op="passthrough", kernel=(1, 1), pool=Pool("max", (2, 2), (2, 2))),
        lambda: conv(65, op="passthrough", kernel=(1, 1), pool=Pool("max", (2, 2), (2, 2))),
        "over 65 channels",
    ),
    "number_of_operands": (
        lambda: eltwise(16),
        lambda: eltwise(17),
        "17 operands of an element-wise operation exceed 16",
    ),
    "operands_in_1d": (
        lambda: eltwise(1, op="conv1d", cols=1, kernel=(3, 1)),
        lambda: eltwise(2, op="conv1d", cols=1, kernel=(3, 1)),
        "cannot be combined with a 1D convolution",
    ),
    "operands_before_pooling": (
        lambda: eltwise(2, pool=Pool("max", (2, 2), (2, 2)), pool_first=False),
        lambda: eltwise(3, pool=Pool("max", (2, 2), (2, 2)), pool_first=False),
        "3 operands combined before pooling exceed 2",
    ),
    "operands_and_passes": (
        lambda: eltwise(2, 128),
        lambda: eltwise(3, 128),
        "3 operands of 128 channels",
    ),
    "passthrough_is_plain": (
        lambda: conv(op="passthrough", kernel=(1, 1)),
        lambda: conv(op="passthrough", kernel=(1, 1), activation="relu"),
        "no activation (relu)",
    ),
    "weights_exist": (lambda: conv(), lambda: replace(conv(), bits=3), "no weights of 3 bits"),
    "weight_range": (lambda: weighted(-8), lambda: weighted(8), "do not fit 4 bits (-8 to 7)"),
    "bias_range": (lambda: biased(-128), lambda: biased(-129), "a bias of -129 does not fit"),
    "number_of_biases": (
        lambda: replace(conv(out=512), bias=np.ones(512, np.int64)),
        lambda: replace(conv(out=513), bias=np.ones(513, np.int64)),
        "513 biased outputs exceed the 512",
    ),
    "scale_range": (
        lambda: replace(conv(), output_shift=-15),
        lambda: replace(conv(), output_shift=-16),
        "output_shift -16 with 8-bit weights is out of range",
    ),
    "wide_output": (
        lambda: conv(wide=True),
        lambda: conv(wide=True, activation="relu"),
        "a 32-bit output has no activation (relu)",
    ),
    "flatten_pixels": (
        lambda: linear(16),
        lambda: linear(17, channels=1),
        "flattening 289 pixels of 1 channels",
    ),
    "flatten_alone": (
        lambda: linear(4),
        lambda: linear(4, pool=Pool("max", (2, 2), (2, 2))),
        "flattening cannot be combined with pooling",
    ),
    "linear_data": (
        lambda: linear(1, flatten=False),
        lambda: linear(2, flatten=False),
        "a linear layer on 2x2 data needs 'flatten'",
    ),
    "dilated_kernel": (
        lambda: dilated(3),
        lambda: dilated(4),
        "a kernel of length 4 with dilation 9 reaches over 28 samples",
    ),
    "dilated_padding": (
        lambda: dilated(2),
        lambda: dilated(2, pad=(1, 0)),
        "padding 1 with dilation 9 is not possible",
    ),
    "dilated_pooling": (
        lambda: dilated(3, rows=64),
        lambda: dilated(3, rows=64, pool=Pool("max", (2, 1), (2, 1))),
        "pooling cannot be combined with dilation 9",
    ),
}


def broken(graph: Graph) -> list[str]:
    return rules.violations(graph)


@pytest.mark.parametrize("rule", CASES)
def test_rule_from_both_sides(rule: str) -> None:
    inside, outside, words = CASES[rule]
    function = next(r for r in rules.LAYER_RULES if r.__name__ == rule)
    good = inside()
    assert function(graph_of(good), good) is None
    bad = outside()
    values = function(graph_of(bad), bad)
    assert values is not None
    sentence = message(function, values)
    assert words in sentence
    assert any(words in line and "layer layer1" in line for line in broken(graph_of(bad)))


def test_layers_inside_all_limits_break_no_rule() -> None:
    for rule, (inside, _, _) in CASES.items():
        layer = inside()
        assert broken(graph_of(layer)) == [], rule


def test_number_of_layers() -> None:
    assert broken(chain(32)) == []
    assert any("33 layers exceed the 32" in line for line in broken(chain(33)))


def test_outputs() -> None:
    graph = graph_of(conv())
    assert any("0 outputs" in line for line in broken(replace(graph, outputs=())))


def test_wide_is_last() -> None:
    first = replace(conv(kernel=(1, 1)), name="first", wide=True)
    second = replace(conv(kernel=(1, 1)), inputs=("first",))
    assert broken(graph_of(first)) == []
    assert any("read by layer1" in line for line in broken(graph_of(first, second)))


def test_every_rule_has_a_case() -> None:
    names = {rule.__name__ for rule in rules.LAYER_RULES + rules.GRAPH_RULES}  # type: ignore[operator]
    assert names == {*CASES, "number_of_layers", "outputs", "wide_is_last", "inserted_rows"}


def test_check_raises_the_first_sentence() -> None:
    with pytest.raises(UserError, match="layer layer1: stride 2x2 is not possible"):
        rules.check(graph_of(conv(stride=(2, 2))))


def test_check_notices_shapes_that_do_not_chain() -> None:
    layer = replace(conv(), out_shape=(4, 5, 5))
    with pytest.raises(UserError, match="the shapes do not chain"):
        rules.check(graph_of(layer))


def test_limits_page_is_generated_from_the_rules() -> None:
    assert (ROOT / "docs" / "limits.md").read_text(encoding="utf-8") == limits_page.documentation()


def test_sentences_are_filled_completely() -> None:
    for _, outside, _ in CASES.values():
        layer = outside()
        for line in broken(graph_of(layer)):
            assert "{" not in line
