"""Rewrites are exact, integer for integer, on random integers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from common.errors import UserError
from synthesize.compiler import compile_graph
from synthesize.graph import ir, reference, shapes
from synthesize.graph.ir import INPUT, Graph, Input, Layer, Output, Pool
from synthesize.legal import rewrites as passes
from synthesize.legal import rules
from synthesize.legal.rewrites.copy_operands import copy_shared_operands
from synthesize.legal.rewrites.fold_stride import fold_first_stride
from synthesize.legal.rewrites.linear import linear_as_conv
from synthesize.legal.rewrites.merge import merge_parallel
from synthesize.legal.rewrites.stride_pool import stride_as_pool
from tests.helpers.virtual import run_on_kit


def layer(
    name: str, source: str, shape: ir.Shape, out: int, seed: int = 0, **options: object
) -> Layer:
    """A layer with random weights and biases; its result shape follows."""
    rng = np.random.default_rng(seed)
    kernel = options.pop("kernel", (3, 3))
    bits = options.get("bits", 8)
    assert isinstance(bits, int)
    low = -(1 << (bits - 1))
    made = Layer(
        name=name,
        op=options.pop("op", "conv2d"),  # type: ignore[arg-type]
        inputs=(source,),
        in_shape=shape,
        out_shape=(1, 1, 1),
        kernel=kernel,  # type: ignore[arg-type]
        weight=rng.integers(low, -low, (out, shape[0], *kernel)),  # type: ignore[misc]
        bias=rng.integers(-128, 128, out),
        output_shift=-4,
        **options,  # type: ignore[arg-type]
    )
    return replace(made, out_shape=shapes.result_shape(made))


def same(before: Graph, after: Graph, tries: int = 3) -> None:
    rng = np.random.default_rng(1)
    for _ in range(tries):
        data = rng.integers(-128, 128, before.input.described_shape)
        expected, got = reference.run(before, data), reference.run(after, data)
        assert expected.keys() == got.keys()
        for name, values in expected.items():
            np.testing.assert_array_equal(got[name], values)


def single(made: Layer) -> Graph:
    outputs = (Output(made.name, made.name, 0, made.out_shape[0]),)
    return Graph("g", Input(made.in_shape), (made,), outputs)


@pytest.mark.parametrize("shape", [(3, 128, 128), (1, 2, 2), (5, 6, 10)])
@pytest.mark.parametrize("activation", ["none", "relu", "abs"])
def test_stride_2_first_layer_is_folded_exactly(shape: ir.Shape, activation: str) -> None:
    options = {"stride": (2, 2), "pad": (1, 1), "activation": activation}
    graph = single(layer("conv1", INPUT, shape, 8, **options))
    folded = fold_first_stride(graph)
    assert folded.input.shape == (4 * shape[0], shape[1] // 2, shape[2] // 2)
    assert folded.input.described_shape == shape
    assert folded.layers[0].stride == (1, 1)
    same(graph, folded)


def test_folded_order_is_that_of_the_training_tools() -> None:
    graph = single(layer("c", INPUT, (3, 4, 4), 2, stride=(2, 2), pad=(1, 1)))
    folded = fold_first_stride(graph)
    data = np.zeros((3, 4, 4), np.int64)
    data[2, 1, 2] = 99  # colour 2, row 1 and column 0 of block (0, 1)
    result = reference.fold_input(folded.input, data)
    assert result[3 * (2 * 1 + 0) + 2, 0, 1] == 99
    assert np.count_nonzero(result) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"stride": (1, 1), "pad": (1, 1)},
        {"stride": (2, 2), "pad": (0, 0)},
        {"stride": (2, 2), "pad": (1, 1), "pool": Pool("max", (2, 2), (2, 2))},
    ],
)
def test_other_first_layers_are_left_alone(options: dict[str, object]) -> None:
    graph = single(layer("c", INPUT, (3, 8, 8), 2, **options))
    assert fold_first_stride(graph) is graph


def test_odd_input_is_left_to_the_next_pass() -> None:
    graph = single(layer("c", INPUT, (3, 7, 8), 2, stride=(2, 2), pad=(1, 1)))
    assert fold_first_stride(graph) is graph
    legal = passes.legalise(graph)
    assert [made.op for made in legal.layers] == ["conv2d", "passthrough"]
    same(graph, legal)


@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize("kernel", [1, 3])
def test_strided_layer_becomes_steps(stride: int, kernel: int) -> None:
    first = layer("a", INPUT, (4, 9, 10), 6, pad=(1, 1))
    options = {"kernel": (kernel, kernel), "stride": (stride, stride), "pad": (0, 0)}
    second = layer("b", "a", first.out_shape, 5, **options)
    third = layer("c", "b", second.out_shape, 3, kernel=(1, 1))
    graph = Graph("g", Input((4, 9, 10)), (first, second, third), (Output("c", "c", 0, 3),))
    legal = stride_as_pool(graph)
    assert all(made.stride == (1, 1) for made in legal.layers)
    same(graph, legal)


@pytest.mark.parametrize("first", [True, False])
def test_patches_are_exact(first: bool) -> None:
    options = {"kernel": (2, 2), "stride": (2, 2), "pad": (0, 0)}
    if first:
        graph = single(layer("c", INPUT, (3, 8, 10), 5, **options))
    else:
        a = layer("a", INPUT, (3, 8, 10), 4, pad=(1, 1))
        b = layer("b", "a", a.out_shape, 5, **options)
        graph = Graph("g", Input((3, 8, 10)), (a, b), (Output("b", "b", 0, 5),))
    legal = passes.legalise(graph)
    rules.check(legal)
    same(graph, legal)


def test_patches_on_odd_data_are_refused() -> None:
    options = {"kernel": (2, 2), "stride": (2, 2), "pad": (0, 0)}
    graph = single(layer("c", INPUT, (3, 7, 8), 5, **options))
    with pytest.raises(UserError, match="layer c: a 2x2 kernel is not possible"):
        rules.check(passes.legalise(graph))


def upsampling(*factor: int) -> Graph:
    body = layer("a", INPUT, (3, 4, 5), 6, pad=(1, 1))
    up = Layer("up", "upsample", ("a",), (6, 4, 5), (1, 1, 1), stride=factor)  # type: ignore[arg-type]
    up = replace(up, out_shape=shapes.result_shape(up))
    end = layer("b", "up", up.out_shape, 2, pad=(1, 1))
    return Graph("g", Input((3, 4, 5)), (body, up, end), (Output("b", "b", 0, 2),))


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_nearest_upsampling_is_exact(factor: int) -> None:
    graph = upsampling(factor, factor)
    assert graph.layer("up").out_shape == (6, 4 * factor, 5 * factor)
    legal = passes.legalise(graph)
    rules.check(legal)
    assert sum(made.op == "convtranspose2d" for made in legal.layers) == factor.bit_length() - 1
    same(graph, legal)


@pytest.mark.parametrize("factor", [(3, 3), (2, 4)])
def test_other_upsampling_is_refused(factor: tuple[int, int]) -> None:
    with pytest.raises(UserError, match=r"layer up: upsampling by .* has no exact form"):
        passes.legalise(upsampling(*factor))


def test_strided_wide_output_is_refused() -> None:
    made = layer("a", INPUT, (3, 9, 9), 6, stride=(2, 2), wide=True)
    with pytest.raises(UserError, match="layer a: stride 2 cannot be combined with 32-bit"):
        passes.legalise(single(made))


def heads(wide: bool = True, shifts: tuple[int, int] = (-4, -4), bits: int = 8) -> Graph:
    """Two hidden layers on one tensor, each with an output of its own."""
    body = layer("body", INPUT, (6, 5, 5), 10, pad=(1, 1), activation="relu")
    one = {"kernel": (1, 1), "activation": "relu"}
    a = replace(layer("a", "body", (10, 5, 5), 7, 1, **one), output_shift=shifts[0])
    b = replace(layer("b", "body", (10, 5, 5), 9, 2, **one), output_shift=shifts[1])
    last = {"kernel": (1, 1), "wide": wide}
    c = layer("c", "a", (7, 5, 5), 3, 3, **last)
    d = layer("d", "b", (9, 5, 5), 4, 4, bits=bits, **last)
    d = replace(d, output_shift=c.shift - 8 + bits)
    outputs = (Output("c", "c", 0, 3), Output("d", "d", 0, 4))
    return Graph("g", Input((6, 5, 5)), (body, a, b, c, d), outputs)


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("bits", [8, 4])
def test_heads_are_merged_exactly(wide: bool, bits: int) -> None:
    graph = heads(wide, bits=bits)
    merged = merge_parallel(graph)
    assert [made.name for made in merged.layers] == ["body", "a+b", "c+d"]
    assert merged.outputs == (Output("c", "c+d", 0, 3), Output("d", "c+d", 3, 4))
    weight = merged.layers[2].weight
    assert weight is not None
    assert not weight[:3, 7:].any()
    assert not weight[3:, :7].any()
    same(graph, merged)


def test_heads_with_different_scales_stay_apart() -> None:
    graph = heads(shifts=(-4, -5))
    merged = merge_parallel(graph)
    assert [made.name for made in merged.layers] == ["body", "a", "b", "c", "d"]


def test_linear_on_one_pixel_is_a_convolution() -> None:
    made = layer("fc", INPUT, (20, 1, 1), 30, op="linear", kernel=(1, 1), activation="relu")
    graph = single(made)
    legal = linear_as_conv(graph)
    assert legal.layers[0].op == "conv2d"
    same(graph, legal)


def residual() -> Graph:
    """c2 is read by c3 and by the sum."""
    shape = (4, 6, 6)
    same_size = {"pad": (1, 1), "activation": "relu"}
    c1 = layer("c1", INPUT, shape, 4, 1, **same_size)
    c2 = layer("c2", "c1", shape, 4, 2, **same_size)
    c3 = layer("c3", "c2", shape, 4, 3, **same_size)
    add = replace(layer("add", "c2", shape, 5, 4, **same_size), inputs=("c2", "c3"), join="add")
    outputs = (Output("add", "add", 0, 5),)
    return Graph("g", Input(shape), (c1, c2, c3, add), outputs)


def test_operand_read_twice_is_copied() -> None:
    graph = residual()
    legal = copy_shared_operands(graph)
    assert legal.layer("add").inputs == ("c2_for_add", "c3")
    assert legal.layer("c2_for_add").op == "passthrough"
    same(graph, legal)
    assert copy_shared_operands(legal) is legal


def test_copy_for_a_concatenation_is_exact_for_every_value() -> None:
    shape = (2, 16, 16)
    join = replace(layer("y", INPUT, shape, 3), inputs=(INPUT, INPUT))
    weight = np.random.default_rng(0).integers(-128, 128, (3, 4, 3, 3))
    join = replace(join, in_shape=(4, 16, 16), weight=weight)
    graph = Graph("g", Input(shape), (join,), (Output("y", "y", 0, 3),))
    legal = copy_shared_operands(graph)
    copies = [made for made in legal.layers if made.name != "y"]
    assert [made.op for made in copies] == ["conv2d", "conv2d"]
    data = np.arange(512).reshape(shape) % 256 - 128
    values = reference.run_layers(legal, data)
    for made in copies:
        np.testing.assert_array_equal(values[made.name], data)
    same(graph, legal)


def sum_beside_its_operand() -> Graph:
    """y reads c2 and, behind it, c1 + c2, which an element-wise layer leaves where c2 is."""
    shape = (4, 6, 6)
    c1 = layer("c1", INPUT, shape, 4, 1, pad=(1, 1))
    c2 = layer("c2", "c1", shape, 4, 2, pad=(1, 1))
    add = Layer("add", "passthrough", ("c1", "c2"), shape, shape, join="add")
    y = replace(layer("y", "c2", (8, 6, 6), 3, 4), inputs=("c2", "add"))
    return Graph("g", Input(shape), (c1, c2, add, y), (Output("y", "y", 0, 3),))


def test_parts_that_would_lie_on_the_same_processors_are_moved() -> None:
    graph = sum_beside_its_operand()
    program = compile_graph(graph).program
    data = np.random.default_rng(5).integers(-128, 128, (4, 6, 6)).astype(np.int8)
    found, _ = run_on_kit(program, data)
    np.testing.assert_array_equal(found["y"], reference.run(graph, data)["y"])


def test_parts_of_odd_widths_are_joined_by_a_convolution() -> None:
    shape, size = (3, 16, 16), (16, 16)
    c1 = layer("c1", INPUT, shape, 8, 1, pad=(1, 1))
    both = Layer("both", "passthrough", (INPUT, "c1"), (11, *size), (11, *size))
    c2 = layer("c2", "both", (11, *size), 8, 2, pad=(1, 1))
    y = replace(layer("y", "both", (19, *size), 8, 3), inputs=("both", "c2"))
    graph = Graph("g", Input(shape), (c1, both, c2, y), (Output("y", "y", 0, 8),))
    data = np.random.default_rng(6).integers(-128, 128, shape).astype(np.int8)
    found, _ = run_on_kit(compile_graph(graph).program, data)
    np.testing.assert_array_equal(found["y"], reference.run(graph, data)["y"])


def test_what_agrees_with_its_place_is_not_copied() -> None:
    graph = sum_beside_its_operand()
    sole = replace(graph.layer("y"), inputs=("add", "c3"))
    c3 = layer("c3", INPUT, (4, 6, 6), 4, 7, pad=(1, 1))
    layers = (*graph.layers[:3], c3, sole)
    assert len(copy_shared_operands(replace(graph, layers=layers)).layers) == len(layers) + 1


def test_a_pass_that_changes_a_result_is_caught() -> None:
    graph = residual()

    def wrong(before: Graph) -> Graph:
        assert before.layers[0].bias is not None
        first = replace(before.layers[0], bias=before.layers[0].bias + 64)
        return replace(before, layers=(first, *before.layers[1:]))

    with pytest.raises(AssertionError, match="wrong changed output add"):
        passes.apply(wrong, graph)


def test_alternatives_start_with_the_graph_itself() -> None:
    graph = heads()
    first, second = list(passes.alternatives(graph))
    assert first is graph
    assert len(second.layers) == 3
