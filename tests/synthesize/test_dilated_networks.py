"""Conv1d that reaches over more than 9 samples: torch == the reference == the virtual kit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from common.errors import UserError
from synthesize.ai8x import description as yaml_out
from synthesize.ai8x import generator
from synthesize.compiler import Compiled, compile_graph
from synthesize.graph.ir import INPUT, Graph, Input, Layer, Output, Pool, Where
from synthesize.graph.shapes import layer_reading
from synthesize.place import regions
from synthesize.read import student
from synthesize.read.checkpoint import Checkpoint
from tests.helpers.described import compile_text, run, text, weights
from tests.helpers.virtual import run_on_kit


@st.composite
def far(draw: st.DrawFn) -> tuple[int, int, int]:
    """Length of a kernel, a dilation that lets it reach far, and the length of the data."""
    length = draw(st.integers(2, 3))
    dilation = draw(st.integers(-(-9 // (length - 1)), 300))
    return length, dilation, draw(st.integers((length - 1) * dilation + 1, 700))


def expected(sample: np.ndarray, layer: Layer) -> np.ndarray:
    """What torch says, as the layer scales it: int [channels, samples, 1]."""
    assert layer.weight is not None
    acc = torch.nn.functional.conv1d(
        torch.from_numpy(sample[:, :, 0]).double()[None],
        torch.from_numpy(np.array(layer.weight[:, :, :, 0])).double(), dilation=layer.dilation,
    )[0].numpy()  # fmt: skip
    if layer.bias is not None:
        acc += 128 * layer.bias[:, None]
    if not layer.wide:
        acc = np.clip(np.floor(acc * 2.0**layer.shift / 128 + 0.5), -128, 127)
    return np.asarray(acc[:, :, None], np.int64)


def more_than_half(refusal: str) -> bool:
    """Whether a network is refused for want of memory that it uses more than half of: copies of its
    input and wide results may leave no arrangement then."""
    used = re.search(r"(\d+) of 524288 bytes of data memory", refusal)
    return used is not None and int(used[1]) > 524288 // 2


@settings(max_examples=30, deadline=None)
@given(
    far(), st.sampled_from([1, 5, 64, 70, 128]), st.sampled_from([1, 7, 64, 65]),
    st.sampled_from([1, 2, 4, 8]), st.booleans(), st.integers(0, 99),
)  # fmt: skip
def test_any_reach(
    form: tuple[int, int, int], inputs: int, outputs: int, bits: int, wide: bool, seed: int
) -> None:
    length, dilation, samples = form
    rng = np.random.default_rng(seed)
    low, high = -(1 << (bits - 1)), max((1 << (bits - 1)) - 1, 0)
    shape = (inputs, samples, 1)
    layer = layer_reading(
        [shape], name="far", where=Where(), op="conv1d", inputs=(INPUT,), kernel=(length, 1),
        dilation=dilation, weight=rng.integers(low, high + 1, (outputs, inputs, length, 1)),
        bias=rng.integers(-128, 128, outputs), bits=bits, output_shift=bits - 13, wide=wide,
    )  # fmt: skip
    graph = Graph("far", Input(shape), (layer,), (Output("far", "far", 0, outputs),))
    try:
        compiled = compile_graph(graph)
    except UserError as refusal:
        if not more_than_half(str(refusal)):
            raise
        reject()
    sample = rng.integers(-128, 128, shape)
    values = expected(sample, layer)
    np.testing.assert_array_equal(compiled.known_answer(sample)["far"], values)
    outputs, cycles = run_on_kit(compiled.program, sample)
    np.testing.assert_array_equal(outputs["far"], values)
    assert cycles == compiled.program.cycles


def by_hand(folder: Path, offset: int = 0x2000, **options: Any) -> Compiled:
    """Kernel of length 3, dilation 7, and a layer behind it that reads what it wrote."""
    first = {"name": "a", "op": "conv1d", "kernel_size": 3, "pad": 0, "dilation": 7}
    first |= {"processors": 0x1F, "output_processors": 0xFF0, "out_offset": offset, **options}
    last = {"name": "b", "op": "conv1d", "kernel_size": 1, "pad": 0, "in_offset": offset}
    last |= {"processors": 0xFF0, "out_offset": 0x4000}
    length = int(first["kernel_size"])  # type: ignore[call-overload]
    checkpoint = weights([("a", (8, 5, length)), ("b", (3, 8, 1))])
    return compile_text(folder, text(first, last), checkpoint, (5, 40))


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("gap", [0, 1, 3])
def test_an_output_with_gaps(tmp_path: Path, gap: int, wide: bool) -> None:
    layer = {"name": "a", "op": "conv1d", "kernel_size": 3, "pad": 0, "dilation": 7}
    layer |= {"processors": 0x1F, "out_offset": 0x2000, "write_gap": gap}
    layer |= {"output_width": 32} if wide else {}
    run(compile_text(tmp_path, text(layer), weights([("a", (6, 5, 3))]), (5, 40)), (5, 40))


@pytest.mark.parametrize("options", [{}, {"kernel_size": 2, "dilation": 13}, {"dilation": 19}])
def test_a_placement_by_hand(tmp_path: Path, options: dict[str, Any]) -> None:
    run(by_hand(tmp_path, **options), (5, 40))


def test_what_is_written_in_front_of_the_output_needs_its_place(tmp_path: Path) -> None:
    """A row of 7 samples, so that the output may begin at byte 28 but no earlier."""
    first = {"name": "a", "op": "conv1d", "kernel_size": 3, "pad": 0, "dilation": 7}
    first |= {"processors": 0x1F, "output_processors": 0xFF00}
    checkpoint = weights([("a", (8, 5, 3))])
    run(compile_text(tmp_path, text(first | {"out_offset": 28}), checkpoint, (5, 40)), (5, 40))
    with pytest.raises(UserError, match="4 bytes before a data memory begins, a row of 7 samples"):
        compile_text(tmp_path, text(first | {"out_offset": 24}), checkpoint, (5, 40))


def test_a_row_in_front_of_the_output_is_not_kept_free_by_hand(tmp_path: Path) -> None:
    """What lies there is overwritten, which the check of the placement tells."""
    first = {"name": "a", "op": "conv1d", "kernel_size": 1, "pad": 0, "processors": 0x1F}
    first |= {"out_offset": 0x1000, "output_processors": 0xFF}
    far = {"name": "b", "op": "conv1d", "kernel_size": 3, "pad": 0, "dilation": 7}
    far |= {"processors": 0x1F, "in_sequences": ["input"], "in_offset": 0}
    far |= {"out_offset": 0x1000 + 40 * 4, "output_processors": 0xFF}
    last = {"name": "c", "op": "conv1d", "kernel_size": 1, "pad": 0, "processors": 0xFF}
    last |= {"in_sequences": ["a"], "in_offset": 0x1000, "out_offset": 0x3000}
    checkpoint = weights([("a", (8, 5, 1)), ("b", (8, 5, 3)), ("c", (3, 8, 1))])
    with pytest.raises(UserError, match="layer c: it reads a, channel 0"):
        compile_text(tmp_path, text(first, far, last), checkpoint, (5, 40))
    far["out_offset"] = 0x1000 + 47 * 4
    run(compile_text(tmp_path, text(first, far, last), checkpoint, (5, 40)), (5, 40))


def test_the_region_holds_what_is_written_around_the_output(tmp_path: Path) -> None:
    compiled = by_hand(tmp_path)
    found = {r.name: r for r in regions.tensor_regions(compiled.legal, compiled.placement)}
    assert (found["a"].start, found["a"].words) == (0x2000 // 4 - 7, 42)


@pytest.mark.parametrize(("options", "said"), [
    ({"pad": 1}, "padding 1 with dilation 7"),
    ({"max_pool": 2, "pool_stride": 2}, "pooling cannot be combined with dilation 7"),
    ({"kernel_size": 4}, "reaches over 22 samples, but only kernels of length 2 and 3"),
    ({"dilation": 20}, "kernel with dilation 20 is larger than the padded data"),
    ({"streaming": True}, "dilation 7, which reaches over more than 9 samples, cannot stream"),
])  # fmt: skip
def test_what_a_far_reach_excludes(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        by_hand(tmp_path, **options)


def far_chain(pool: bool, joined: bool) -> Graph:
    """A far layer behind pooling, and one that a sum or nothing reads."""
    rng = np.random.default_rng(3)

    def layer(name: str, source: str, shape: tuple[int, int, int], **options: Any) -> Layer:
        options = {"op": "conv1d", "kernel": (3, 1), "dilation": 11, "output_shift": -6} | options
        weight = rng.integers(-128, 128, (6, shape[0], options["kernel"][0], 1))
        return layer_reading(
            [shape], name=name, where=Where(), inputs=(source,), weight=weight, **options
        )

    options: dict[str, Any] = {}
    if pool:
        options["pool"] = Pool("max", (2, 1), (2, 1))
    layers = [layer("a", INPUT, (4, 200, 1), **options)]
    shape = layers[0].out_shape
    if joined:
        layers.append(layer("b", "a", shape, kernel=(1, 1), dilation=1))
        layers.append(layer_reading(
            [shape] * 2, name="c", where=Where(), op="passthrough", inputs=("a", "b"), join="add",
        ))  # fmt: skip
    last = layers[-1]
    output = Output("y", last.name, 0, last.out_shape[0])
    return Graph("net", Input((4, 200, 1)), tuple(layers), (output,))


@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize("joined", [False, True])
def test_pooling_and_sums_around_it_are_made_possible(pool: bool, joined: bool) -> None:
    run(compile_graph(far_chain(pool, joined)), (4, 200, 1))


@pytest.mark.parametrize(("samples", "dilations"), [
    (60, (9, 11)), (60, (9, 16)), (67, (13, 23)), (88, (20, 30)), (200, (31, 9)),
])  # fmt: skip
def test_one_behind_the_other(samples: int, dilations: tuple[int, int]) -> None:
    """The second reads, in part, what the first has made of unwritten memory behind its input."""
    rng = np.random.default_rng(5)
    layers: list[Layer] = []
    shape, source = (4, samples, 1), INPUT
    for number, dilation in enumerate(dilations):
        layers.append(layer_reading(
            [shape], name=f"n{number}", where=Where(), op="conv1d", inputs=(source,),
            kernel=(2, 1), dilation=dilation, weight=rng.integers(-128, 128, (4, 4, 2, 1)),
            output_shift=-2,
        ))  # fmt: skip
        shape, source = layers[-1].out_shape, layers[-1].name
    graph = Graph("two", Input((4, samples, 1)), tuple(layers), (Output("y", source, 0, 4),))
    run(compile_graph(graph), (4, samples, 1))


def test_the_description_says_it_as_it_is(tmp_path: Path) -> None:
    compiled = compile_graph(far_chain(False, True))
    sample = np.random.default_rng(0).integers(-128, 128, (4, 200, 1))
    yaml_out.write(tmp_path, compiled.legal, compiled.placement, sample)
    again, _ = generator.load(tmp_path)
    assert again.program.checksum == compiled.program.checksum


def test_checkpoints_that_describe_themselves() -> None:
    stored = weights([("d", (6, 4, 3))])
    entry = {"name": "d", "op": "conv1d", "in": ["input"], "in_channels": 4, "out_channels": 6,
             "kernel": [3, 1], "dilation": 21}  # fmt: skip
    extras = {"network": [entry], "input": {"shape": [4, 99, 1]}, "outputs": ["d"]}
    graph = student.load(Checkpoint("net", "net", stored.layers, extras))
    assert (graph.layers[0].kernel, graph.layers[0].dilation) == ((3, 1), 21)
    run(compile_graph(graph), (4, 99, 1))
