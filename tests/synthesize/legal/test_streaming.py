"""Streaming layers: every limit from both sides, and the kernels they get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from common.errors import UserError
from synthesize.graph import ir, reference
from synthesize.graph.hints import Hints, LayerHint
from synthesize.graph.ir import INPUT, Graph, Input, Layer, Output, Pool
from synthesize.legal import streaming
from synthesize.place.bits import allocate

Case = tuple[Graph, Hints]


def network(
    count: int,
    on: int,
    channels: int = 4,
    mask: int = 0xF,
    chw: bool = False,
    change: Callable[[int, Layer], Layer] = lambda index, layer: layer,
    late: bool = False,
) -> Case:
    """A chain of 3x3 convolutions of which the first ``on`` stream (``late``: all but these)."""
    layers: list[Layer] = []
    shape: ir.Shape = (channels, 8, 8)
    for i in range(count):
        weight = np.random.default_rng(i).integers(-128, 128, (4, shape[0], 3, 3))
        source = layers[-1].name if layers else INPUT
        layer = Layer(
            f"n{i}", "conv2d", (source,), shape, (4, 8, 8), kernel=(3, 3), pad=(1, 1),
            weight=weight, output_shift=-4,
        )  # fmt: skip
        layers.append(change(i, layer))
        shape = (4, 8, 8)
    hints = [LayerHint(mask, streaming=(i < on) != late) for i in range(count)]
    outputs = (Output("y", layers[-1].name, 0, 4),)
    return Graph("g", Input((channels, 8, 8)), tuple(layers), outputs), Hints(tuple(hints), chw)


def wide(index: int, layer: Layer) -> Layer:
    """A second layer of 14 passes of input channels, behind a first one of 1."""
    return replace(layer, in_shape=(896, 8, 8)) if index == 1 else layer


def wider(index: int, layer: Layer) -> Layer:
    return replace(layer, in_shape=(897, 8, 8)) if index == 1 else layer


def linear(index: int, layer: Layer) -> Layer:
    return replace(layer, op="linear") if index == 1 else layer


def skipping(index: int, layer: Layer) -> Layer:
    return replace(layer, inputs=("n0",)) if index == 2 else layer


def unpadded(index: int, layer: Layer) -> Layer:
    return replace(layer, pad=(0, 0)) if index == 1 else layer


def narrow(index: int, layer: Layer) -> Layer:
    if index == 0:
        return layer
    assert layer.weight is not None
    return replace(layer, kernel=(1, 1), pad=(0, 0), weight=layer.weight[:, :, :1, :1])


def reading_input(index: int, layer: Layer) -> Layer:
    return replace(layer, inputs=(INPUT,)) if index == 2 else layer


def padded_more(index: int, layer: Layer) -> Layer:
    """A 1x1 kernel behind the first layer."""
    return replace(narrow(index, layer), pad=(2, 2)) if index == 1 else layer


def padded(index: int, layer: Layer) -> Layer:
    return replace(narrow(index, layer), pad=(1, 1)) if index == 1 else layer


def columns(index: int, layer: Layer, cols: int = 1023) -> Layer:
    shape = (4, 8, cols)
    return replace(layer, in_shape=shape, out_shape=shape)


def more_columns(index: int, layer: Layer) -> Layer:
    return columns(index, layer, 1024 if index == 0 else 1025)


def pooled(size: int, stride: int, cols: int) -> Callable[[int, Layer], Layer]:
    """The second layer pools its input."""

    def change(index: int, layer: Layer) -> Layer:
        layer = replace(layer, in_shape=(4, 32, cols))
        pool = Pool("max", (size, size), (stride, stride))
        return replace(layer, pool=pool) if index == 1 else layer

    return change


def dilated(index: int, layer: Layer) -> Layer:
    return replace(layer, dilation=7) if index == 1 else layer


# rule -> (just inside, just outside, words of the sentence)
CASES: dict[str, tuple[Case, Case, str]] = {
    "streaming_comes_first": (network(3, 2), network(3, 1, late=True), "streams behind n0"),
    "streaming_layers": (network(9, 8), network(9, 9), "9 streaming layers exceed the 8"),
    "streaming_is_a_chain": (
        network(3, 2, change=skipping),
        network(3, 3, change=skipping),
        "reads the layer before it, n1, and nothing else",
    ),
    "streaming_is_convolution": (
        network(3, 1, change=linear),
        network(3, 2, change=linear),
        "only convolutions can stream, not linear",
    ),
    "streaming_ends_padded": (
        network(3, 3, change=unpadded),
        network(3, 2, change=unpadded),
        "the last streaming layer needs padding",
    ),
    "streaming_passes": (
        network(3, 3, change=wide),
        network(3, 3, change=wider),
        "16 passes of the streaming layers before it exceed 15",
    ),
    "streaming_channels": (
        network(1, 1, 4, mask=0x0001_0001_0001_0001, chw=True),
        network(1, 1, 5, mask=0x0001_0001_0001_0001, chw=True),
        "5 input channels exceed the 4 that the FIFOs carry",
    ),
    "streamed_data_is_read_once": (
        network(3, 1, change=skipping),
        network(3, 2, change=skipping),
        "layer n0: it streams into n1 and is never stored as a whole",
    ),
    "streamed_input_is_read_once": (
        network(3, 2),
        network(3, 2, change=reading_input),
        "n2 reads the input too",
    ),
    "streaming_small_kernel": (
        network(2, 1, change=padded),
        network(2, 1, change=padded_more),
        "n1 has a 1x1 kernel, which runs as 3x3 near streaming data, where padding 2 exceeds 1",
    ),
    "streaming_line_buffers": (
        network(3, 3, change=columns),
        network(3, 3, change=more_columns),
        "3074 words of line buffer",
    ),
    "streaming_dilation": (
        network(3, 1, change=dilated),
        network(3, 2, change=dilated),
        "dilation 7, which reaches over more than 9 samples, cannot stream",
    ),
    "streaming_delays": (
        # between rows: 4 skipped rows of cols + 2 words, and a window of 4
        network(2, 2, change=pooled(4, 5, 1020)),
        network(2, 2, change=pooled(4, 5, 1021)),
        "it waits 5123 words before it starts and 4096 words between rows",
    ),
    "streaming_processors": (
        network(1, 1, mask=0xF0000),
        network(1, 1, mask=0xF0),
        "no FIFO brings channel 0 to processor 4",
    ),
}


@pytest.mark.parametrize("rule", CASES)
def test_rule_from_both_sides(rule: str) -> None:
    function = next(r for r in streaming.STREAM_RULES if r.__name__ == rule)  # type: ignore[attr-defined]
    (graph, hints), (bad_graph, bad_hints), words = CASES[rule]
    on = [i for i, hint in enumerate(hints.layers) if hint.streaming]
    assert all(function(graph, hints, i) is None for i in on)
    with pytest.raises(UserError) as caught:
        streaming.check(bad_graph, bad_hints)
    assert words in str(caught.value)


def test_every_rule_has_a_case() -> None:
    assert {r.__name__ for r in streaming.STREAM_RULES} == set(CASES)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("rows", "fits"), [(35, True), (36, False)])
def test_whole_rows_of_a_dilated_input_come_through_the_fifos(rows: int, fits: bool) -> None:
    graph, hints = network(1, 0)
    layer = replace(graph.layers[0], dilation=7, in_shape=(4, rows, 1))
    graph, hints = replace(graph, layers=(layer,)), replace(hints, fifo=True)
    if fits:
        streaming.check(graph, hints)
        return
    with pytest.raises(UserError, match="36 samples through the FIFOs are no multiple of the d"):
        streaming.check(graph, hints)


def test_sixteen_channels_fit_the_fifos() -> None:
    streaming.check(*network(2, 1, 16, mask=0x000F_000F_000F_000F))
    with pytest.raises(UserError, match="17 input channels exceed the 16 that the FIFOs carry"):
        streaming.check(*network(2, 1, 17, mask=0x000F_000F_000F_000F))


@pytest.mark.parametrize(
    ("channels", "mask", "chw", "words"),
    [
        (5, 0x1F, False, "no FIFO brings channel 4 to processor 4"),
        (6, 0x001E_0003, False, "no FIFO brings channel 5 to processor 20"),
        (2, 0x3, True, "no FIFO brings channel 1 to processor 1"),
    ],
)
def test_channels_lie_where_the_fifos_bring_them(
    channels: int, mask: int, chw: bool, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        streaming.check(*network(2, 1, channels, mask=mask, chw=chw))


def test_start_delay_from_both_sides() -> None:
    streaming.check(*network(2, 2, change=pooled(15, 1, 1020)))  # 16 rows of cols + 2, and 19
    with pytest.raises(UserError, match="it waits 16387 words before it starts"):
        streaming.check(*network(2, 2, change=pooled(15, 1, 1021)))


def test_small_kernels_near_streaming_data_are_widened_exactly() -> None:
    graph, hints = network(4, 2, change=narrow)
    on = [hint.streaming for hint in hints.layers]
    widened = streaming.widen_kernels(graph, on)
    assert [layer.kernel for layer in widened.layers] == [(3, 3), (3, 3), (3, 3), (1, 1)]
    data = np.random.default_rng(9).integers(-128, 128, (4, 8, 8))
    before, after = reference.run(graph, data), reference.run(widened, data)
    np.testing.assert_array_equal(before["y"], after["y"])


def test_bits_are_chosen_for_the_kernels_that_run() -> None:
    """The 1x1 kernels behind a streaming layer take nine times their words."""
    rng = np.random.default_rng(0)
    pool = Pool("max", (2, 2), (2, 2))
    first = Layer(
        "a", "conv2d", (INPUT,), (4, 128, 128), (64, 128, 128), kernel=(3, 3), pad=(1, 1),
        weight=rng.integers(-128, 128, (64, 4, 3, 3)),
    )  # fmt: skip
    second = Layer(
        "b", "conv2d", ("a",), (64, 128, 128), (32, 64, 64), kernel=(1, 1), pool=pool,
        weight=rng.integers(-128, 128, (32, 64, 1, 1)),
    )  # fmt: skip
    graph = Graph("g", Input((4, 128, 128)), (first, second), (Output("y", "b", 0, 32),))
    found = allocate(graph, {name: {8: 0.0, 4: 1.0} for name in "ab"})
    assert [place.streaming for place in found.placement.layers] == [True, True]
    assert found.bits == {"a": 8, "b": 8}
    assert found.words["b"] == 32
