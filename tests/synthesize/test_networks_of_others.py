"""Forms that other people's networks have: they run, or one sentence says why not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import UserError
from synthesize.ai8x import description as yaml_out
from synthesize.ai8x import generator
from synthesize.compiler import compile_network
from synthesize.graph import ir, reference
from synthesize.legal import rules
from synthesize.read.checkpoint import from_state_dict
from tests.helpers.described import compile_text, run, text, weights
from tests.helpers.virtual import run_on_kit

HWC: dict[str, Any] = {"data_format": "HWC"}


@pytest.mark.parametrize("mask", [0x0000000100010001, 0x0002000100030001, 0xF00040001, 0xE])
def test_fifos_need_not_be_full(tmp_path: Path, mask: int) -> None:
    """Each FIFO feeds the first four processors of its quadrant, whichever are in use."""
    count = mask.bit_count()
    first = HWC | {
        "name": "a", "op": "conv2d", "kernel_size": "3x3", "pad": 1, "activate": "ReLU",
        "processors": mask, "streaming": True, "out_offset": 0x10,
    }  # fmt: skip
    last = {
        "name": "b", "op": "conv2d", "kernel_size": "3x3", "pad": 1, "max_pool": 4,
        "pool_stride": 4, "processors": 0xFFFF, "out_offset": 0x2000,
    }  # fmt: skip
    shape = (count, 24, 32)
    checkpoint = weights([("a", (16, count, 3, 3)), ("b", (4, 16, 3, 3))])
    run(compile_text(tmp_path, text(first, last), checkpoint, shape), shape)


def test_a_processor_that_no_fifo_reaches(tmp_path: Path) -> None:
    first = HWC | {"name": "a", "op": "conv2d", "kernel_size": "3x3", "pad": 1}
    first |= {"processors": 0x13, "streaming": True, "out_offset": 0x10}
    with pytest.raises(UserError, match="no FIFO brings channel 2 to processor 4"):
        compile_text(tmp_path, text(first), weights([("a", (4, 3, 3, 3))]), (3, 8, 8))


@pytest.mark.parametrize(("join", "operands", "channels"), [
    ("add", 2, 3), ("sub", 3, 8), ("xor", 2, 12), ("or", 4, 5), ("add", 2, 65), ("add", 3, 100),
])  # fmt: skip
@pytest.mark.parametrize("convolved", [True, False])
def test_operands_stacked_in_the_input(
    tmp_path: Path, join: str, operands: int, channels: int, convolved: bool
) -> None:
    passes, each = (1, channels) if channels <= 64 else (2, -(-channels // 8) * 4)
    mask = (1 << each) - 1
    layer = HWC | {"name": "a", "eltwise": join, "operands": operands, "processors": mask}
    layer |= {"out_offset": 0x4000, "op": "none", "in_channels": channels}
    entries = []
    if convolved and (passes == 1 or (operands, passes) == (2, 2)):
        layer |= {"op": "conv2d", "kernel_size": "3x3", "pad": 1}
        entries = [("a", (6, channels, 3, 3))]
    else:
        layer |= {"output_processors": mask}
    shape = (operands * channels, 6, 5)
    checkpoint = weights(entries) if entries else None
    compiled = compile_text(tmp_path, text(layer), checkpoint, shape)
    run(compiled, shape)


def test_operands_stacked_in_the_layer_before(tmp_path: Path) -> None:
    """128 channels in two passes lie as two operands of 64 channels do."""
    first = HWC | {"name": "a", "op": "conv2d", "kernel_size": "3x3", "pad": 1, "processors": 0x7}
    first |= {"output_processors": (1 << 64) - 1, "out_offset": 0x2000}
    last = {"name": "b", "op": "conv2d", "kernel_size": "1x1", "pad": 0, "eltwise": "add"}
    last |= {"operands": 2, "in_channels": 64, "processors": (1 << 64) - 1, "out_offset": 0}
    checkpoint = weights([("a", (128, 3, 3, 3)), ("b", (8, 64, 1, 1))])
    run(compile_text(tmp_path, text(first, last), checkpoint, (3, 6, 6)), (3, 6, 6))


@pytest.mark.parametrize(("length", "dilation"), [(2, 4), (2, 8), (3, 4), (5, 2), (9, 1)])
def test_dilated_1d(tmp_path: Path, length: int, dilation: int) -> None:
    layer = HWC | {
        "name": "d",
        "op": "conv1d",
        "kernel_size": length,
        "pad": 1,
        "dilation": dilation,
    }
    layer |= {"processors": 0x1F, "out_offset": 0x2000}
    checkpoint = weights([("d", (7, 5, length))])
    compiled = compile_text(tmp_path, text(layer), checkpoint, (5, 40))
    sample = np.random.default_rng(1).integers(-128, 128, (5, 40))
    (values,) = compiled.known_answer(sample).values()
    padded = np.pad(sample, ((0, 0), (1, 1)))
    reach = (length - 1) * dilation
    kernel, bias = checkpoint.layers[0].weight, checkpoint.layers[0].bias
    assert bias is not None
    for position in range(0, 42 - reach, 5):
        taps = padded[:, position : position + reach + 1 : dilation]
        acc = (kernel * taps).sum(axis=(1, 2)) + 128 * (bias >> 7)
        expected = np.clip(np.floor(acc * 2.0**-4 / 128 + 0.5), -128, 127)
        np.testing.assert_array_equal(values[:, position, 0], expected)
    run(compiled, (5, 40))


def test_a_dilation_that_reaches_too_far(tmp_path: Path) -> None:
    layer = HWC | {"name": "d", "op": "conv1d", "kernel_size": 4, "pad": 0, "dilation": 5}
    layer |= {"processors": 0x1F, "out_offset": 0x2000}
    with pytest.raises(UserError, match="reaches over 16 samples, but only kernels of length 2"):
        compile_text(tmp_path, text(layer), weights([("d", (7, 5, 4))]), (5, 40))


@pytest.mark.parametrize(("rows", "pad", "fits"), [(1022, 1, True), (1023, 1, False),
                                                   (1020, 2, True), (1021, 2, False)])  # fmt: skip
def test_rows_that_the_chip_can_count(tmp_path: Path, rows: int, pad: int, fits: bool) -> None:
    layer = HWC | {"name": "a", "op": "conv2d", "kernel_size": "3x3", "pad": pad}
    layer |= {"processors": 0x7, "out_offset": 0x4000, "max_pool": 2, "pool_stride": 2}
    shape = (3, rows, 4)
    checkpoint = weights([("a", (4, 3, 3, 3))])
    if fits:
        run(compile_text(tmp_path, text(layer), checkpoint, shape), shape)
        return
    with pytest.raises(UserError, match="padding on both sides included, exceed the 1024"):
        compile_text(tmp_path, text(layer), checkpoint, shape)


@pytest.mark.parametrize(("outputs", "gap", "most"), [(256, 4, 3), (64, 16, 15), (128, 8, 7)])
def test_the_largest_write_gap(tmp_path: Path, outputs: int, gap: int, most: int) -> None:
    layer = HWC | {"name": "a", "op": "conv2d", "kernel_size": "3x3", "pad": 0, "processors": 0x7}
    layer |= {"out_offset": 0x1000, "output_processors": (1 << 64) - 1}
    checkpoint = weights([("a", (outputs, 3, 3, 3))])
    shape = (3, 5, 5)
    good = compile_text(tmp_path, text(layer | {"write_gap": most}), checkpoint, shape)
    run(good, shape)
    with pytest.raises(UserError) as caught:
        compile_text(tmp_path, text(layer | {"write_gap": gap}), checkpoint, shape)
    sentence = str(caught.value)
    assert f"the largest is {most}" in sentence or "must lie in 0 to 15" in sentence


def test_pooling_before_a_transposed_convolution(tmp_path: Path) -> None:
    """By hand it is refused; without a placement it gets a layer of its own."""
    layer = HWC | {
        "name": "t", "op": "convtranspose2d", "kernel_size": "3x3", "pad": 1, "max_pool": 2,
        "pool_stride": 2, "out_offset": 0x2000,
    }  # fmt: skip
    checkpoint = weights([("t", (3, 4, 3, 3))], bias=False)
    with pytest.raises(UserError, match="pooling cannot be combined with a transposed"):
        compile_text(tmp_path, text(layer | {"processors": 7}), checkpoint, (3, 8, 8))
    compiled = compile_text(tmp_path, text(layer), checkpoint, (3, 8, 8))
    assert [one.op for one in compiled.legal.layers] == ["passthrough", "convtranspose2d"]
    run(compiled, (3, 8, 8))


def test_pool_first_without_pooling_costs_nothing(tmp_path: Path) -> None:
    parts = {"op": "conv2d", "kernel_size": "3x3", "pad": 1, "processors": 0xF}
    a = HWC | parts | {"name": "a", "out_offset": 0x1000, "write_gap": 1, "output_processors": 0xF}
    b = parts | {"name": "b", "in_sequences": ["input"], "in_offset": 0, "out_offset": 0x1004,
                 "write_gap": 1, "output_processors": 0xF}  # fmt: skip
    s = parts | {"name": "s", "in_sequences": ["a", "b"], "in_offset": 0x1000, "eltwise": "add",
                 "out_offset": 0x2000, "pool_first": False}  # fmt: skip
    shapes = [(name, (4, 4, 3, 3)) for name in "abs"]
    run(compile_text(tmp_path, text(a, b, s), weights(shapes), (4, 5, 6)), (4, 5, 6))


@pytest.mark.parametrize("bits", [4, 8])
def test_a_flattening_first_layer_is_written_and_read_back(tmp_path: Path, bits: int) -> None:
    """The public generator counts the channels of a flattening layer after flattening."""
    layer = {"name": "f", "op": "linear", "flatten": True, "in_channels": 8, "in_dim": [4, 4]}
    checkpoint = weights([("f", (6, 128), bits)])
    compiled = compile_text(tmp_path, text(layer), checkpoint, (8, 4, 4))
    sample = np.random.default_rng(1).integers(-128, 128, (8, 4, 4))
    out = yaml_out.write(tmp_path / "out", compiled.legal, compiled.placement, sample)
    assert "in_channels: 128" in out.read_text()
    again, _ = generator.load(tmp_path / "out")
    np.testing.assert_array_equal(
        again.known_answer(sample)["f"], compiled.known_answer(sample)["f"]
    )
    without_sample = compile_network(
        checkpoint, out, None, reserved=replace(compiled.placement.reserved)
    )
    assert without_sample.described.input.shape == (8, 4, 4)


def test_two_operands_in_two_passes_keep_their_rows() -> None:
    """Only more of either are emulated by stretched rows; the limit on rows is that of the data."""
    layer = ir.Layer("a", "passthrough", ("x", "y"), (128, 600, 1), (128, 600, 1), join="add")
    source = ir.Layer("x", "conv2d", (ir.INPUT,), (1, 600, 1), (128, 600, 1))
    graph = ir.Graph("g", ir.Input((1, 600, 1)), (source, replace(source, name="y"), layer), ())
    assert rules.counted_size(graph, layer) is None
    data = np.zeros((2, 128, 600, 1), np.int8)
    assert reference.run_layer(layer, list(data)).shape == (128, 600, 1)


@pytest.mark.parametrize(("mask", "chw"), [(0x7, False), (0xF000F, False), (0x10001, True)])
def test_whole_pictures_through_the_fifos(tmp_path: Path, mask: int, chw: bool) -> None:
    count = mask.bit_count()
    layer = {"name": "a", "op": "conv2d", "kernel_size": "3x3", "pad": 1, "processors": mask}
    layer |= {"out_offset": 0x2000, "data_format": "CHW" if chw else "HWC"}
    path = tmp_path / "net.yaml"
    path.write_text(text(layer))
    checkpoint = weights([("a", (6, count, 3, 3))])
    compiled = compile_network(checkpoint, path, (count, 10, 12), fifo=True)
    assert compiled.program.fifo is not None
    run(compiled, (count, 10, 12))
    path.write_text(text(layer | {"processors": 0x30 if count == 2 else 0x70}))
    with pytest.raises(UserError, match=r"no FIFO brings|but the mask"):
        compile_network(checkpoint, path, (count, 10, 12), fifo=True)


def test_biases_count_with_the_bits_of_the_checkpoint(tmp_path: Path) -> None:
    """A description may state other bits than the checkpoint; the generator divides by its own."""
    layer = HWC | {"name": "a", "op": "conv2d", "kernel_size": "1x1", "pad": 0, "processors": 0x7}
    layer |= {"out_offset": 0x2000, "quantization": 4}
    state = {"a.op.weight": np.ones((2, 3, 1, 1), np.int64), "a.op.bias": np.array([-384, 640])}
    checkpoint = from_state_dict(state, "net.npz", arch="net")
    compiled = compile_text(tmp_path, text(layer), checkpoint, (3, 4, 4))
    bias = compiled.legal.layers[0].bias
    assert bias is not None
    assert bias.tolist() == [-3, 5]


def test_a_flattening_convolution_is_linear(tmp_path: Path) -> None:
    layer = HWC | {"name": "a", "op": "conv2d", "kernel_size": "1x1", "pad": 0, "flatten": True}
    layer |= {"processors": 0x7, "out_offset": 0x2000}
    compiled = compile_text(tmp_path, text(layer), weights([("a", (4, 48, 1, 1))]), (3, 4, 4))
    assert compiled.legal.layers[0].op == "linear"
    run(compiled, (3, 4, 4))


def test_operands_in_the_pixels_of_the_layer_before(tmp_path: Path) -> None:
    first = HWC | {"name": "a", "op": "conv2d", "kernel_size": "3x3", "pad": 1, "processors": 0x7}
    first |= {"output_processors": 0xF, "out_offset": 0x2000}
    last = {"name": "b", "op": "add", "in_dim": [4, 2], "processors": 0xF, "out_offset": 0x4000}
    with pytest.raises(UserError, match="interleaved in the pixels of the layer before"):
        compile_text(tmp_path, text(first, last), weights([("a", (4, 3, 3, 3))]), (3, 4, 4))


@pytest.mark.parametrize(("mask", "outputs"), [
    (0x0000_000F_0003_0000, 0x3F00_0000), (0xFF00_0000_0000_0000, 0x0000_00F0_0000_0000),
    (0x8000_0001_0000_0000, 0xFFFF_0000), (0x1111_0101_1010_0000, 0xFFFF_0000_0000_0000),
    (0x00FF_0000_0000_0000, 0x0000_0000_000F_0000), (0x0001_0000_0001_0000, 0x1),
])  # fmt: skip
def test_quadrant_0_left_out(tmp_path: Path, mask: int, outputs: int) -> None:
    """The first quadrant in use adds up the sums of those behind it, counted from itself."""
    channels, out = mask.bit_count(), outputs.bit_count()
    first = HWC | {"name": "a", "op": "conv2d", "kernel_size": "3x3", "pad": 1, "processors": mask}
    first |= {"out_offset": 0x2000, "output_processors": outputs}
    last = {"name": "b", "op": "conv2d", "kernel_size": "1x1", "pad": 0, "processors": outputs}
    last |= {"in_offset": 0x2000, "out_offset": 0x4000, "output_processors": mask}
    checkpoint = weights([("a", (out, channels, 3, 3)), ("b", (channels, out, 1, 1))])
    run(compile_text(tmp_path, text(first, last), checkpoint, (channels, 5, 6)), (channels, 5, 6))


@pytest.mark.parametrize(("channels", "rows", "outputs"), [
    (3, 1, 1), (3, 2, 1), (5, 4, 1), (5, 4, 2), (70, 3, 1), (1, 16, 1),
])  # fmt: skip
def test_cycles_of_few_flattened_outputs(
    tmp_path: Path, channels: int, rows: int, outputs: int
) -> None:
    """Flattened pixels are passes to the chip; one output of one pass takes a cycle more."""
    per_pass = channels if channels <= 64 else -(-channels // 8) * 4
    layer = HWC | {"name": "a", "op": "linear", "flatten": True, "out_offset": 0x4000}
    layer |= {"processors": (1 << per_pass) - 1}
    shape = (channels, rows, rows)
    checkpoint = weights([("a", (outputs, channels * rows * rows))])
    compiled = compile_text(tmp_path, text(layer), checkpoint, shape)
    _, cycles = run_on_kit(compiled.program, np.ones(shape, int))
    assert cycles == compiled.program.cycles
