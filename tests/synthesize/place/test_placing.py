"""Placement by hand and by search, and the independent check that watches both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from common.errors import UserError
from synthesize.graph import ir, shapes
from synthesize.graph.hardware import channels_per_pass
from synthesize.graph.hints import Hints, LayerHint
from synthesize.graph.ir import INPUT, Graph, Input, Layer, Output
from synthesize.place import by_hand, memories, search, verify
from synthesize.place.placement import LayerPlace, Placement


def conv(
    name: str, source: str, shape: ir.Shape, out: int, kernel: int = 3, **options: object
) -> Layer:
    options.setdefault("pad", (kernel // 2, kernel // 2))
    layer = Layer(
        name, "conv2d", (source,), shape, (1, 1, 1), kernel=(kernel, kernel),
        weight=np.ones((out, shape[0], kernel, kernel), np.int64), **options,  # type: ignore[arg-type]
    )  # fmt: skip
    return replace(layer, out_shape=shapes.result_shape(layer))


def chain(*layers: Layer, outputs: tuple[str, ...] = ()) -> Graph:
    names = outputs or (layers[-1].name,)
    shapes = {layer.name: layer.out_shape for layer in layers}
    made = tuple(Output(n, n, 0, shapes[n][0]) for n in names)
    return Graph("g", Input(layers[0].in_shape), layers, made)


def two() -> Graph:
    return chain(conv("a", INPUT, (4, 8, 8), 8), conv("b", "a", (8, 8, 8), 4))


def placed(graph: Graph, *hints: LayerHint) -> Placement:
    return by_hand.by_hand(graph, Hints(hints))


@pytest.mark.parametrize(
    ("channels", "expected"),
    [(1, (1, 1)), (64, (1, 64)), (65, (2, 36)), (96, (2, 48)), (100, (2, 52)), (1024, (16, 64))],
)
def test_channels_per_pass(channels: int, expected: tuple[int, int]) -> None:
    assert channels_per_pass(channels) == expected


def test_good_placement_has_no_findings() -> None:
    placement = placed(two(), LayerHint(0xF, out_offset=0x1000), LayerHint(0xFF, in_offset=0x1000))
    assert verify.check(two(), placement) == []


@pytest.mark.parametrize(
    ("hints", "words"),
    [
        (
            (LayerHint(0xF, out_offset=0x1000), LayerHint(0xFF, in_offset=0x800)),
            "it reads a, channel 0, at 0x50400800 (data memory 0, word 512), but the memory "
            "holds nothing there",
        ),
        (
            (LayerHint(0xF, 0xFF0, out_offset=0x1000), LayerHint(0xFF, in_offset=0x1000)),
            "it reads a, channel 0, at 0x50401000",
        ),
        (
            (LayerHint(0xF, out_offset=0x7F80), LayerHint(0xFF, in_offset=0x7F80)),
            "its output ends at word 8224 of a data memory that has 8192",
        ),
    ],
)
def test_wrong_places_are_found(hints: tuple[LayerHint, ...], words: str) -> None:
    findings = [str(f) for f in verify.check(two(), placed(two(), *hints))]
    assert any(words in finding for finding in findings), findings


def test_output_over_own_input_is_found_only_when_it_comes_too_early() -> None:
    a = conv("a", INPUT, (4, 8, 8), 4)
    graph = chain(a)

    def findings(out_offset: int) -> list[str]:
        hint = LayerHint(0xF, 0xF, in_offset=0x40, out_offset=out_offset)
        return [str(f) for f in verify.check(graph, placed(graph, hint))]

    # Output pixel n goes where input pixel n - 16 was, two rows behind the one being read.
    assert findings(0) == []
    # Output pixel n goes where input pixel n + 8 is, which the 3x3 kernel has just read ...
    assert findings(0x60 - 0x40) == []
    # ... and 48 pixels ahead nothing has been read yet.
    assert any("overwrites its own input, input," in f for f in findings(0x100))


def test_lost_operand_is_found_by_both_names() -> None:
    a = conv("a", INPUT, (4, 4, 4), 4)
    b = conv("b", INPUT, (4, 4, 4), 4)
    c = replace(conv("c", "a", (4, 4, 4), 4), inputs=("a", "b"), join="add")
    graph = chain(a, b, c)
    hints = (
        LayerHint(0xF, 0xF, out_offset=0x1000, write_gap=1),
        LayerHint(0xF, 0xF, out_offset=0x1000, in_offset=0, write_gap=1),
        LayerHint(0xF, 0xF, in_offset=0x1000, out_offset=0x2000),
    )
    findings = [str(f) for f in verify.check(graph, placed(graph, *hints))]
    assert any("it reads a, channel 0" in f and "holds b there" in f for f in findings)
    good = (hints[0], replace(hints[1], out_offset=0x1004), hints[2])
    assert verify.check(graph, placed(graph, *good)) == []


def test_overwritten_output_is_found() -> None:
    a, b = conv("a", INPUT, (4, 8, 8), 4), conv("b", INPUT, (4, 8, 8), 4)
    graph = chain(a, b, outputs=("a", "b"))
    hints = (LayerHint(0xF, 0xF, out_offset=0x1000), LayerHint(0xF, 0xF, 0, 0x1000))
    findings = [str(f) for f in verify.check(graph, placed(graph, *hints))]
    assert any("output a, channel 0, is overwritten by a later layer" in f for f in findings)


def test_passthrough_must_stay_where_it_is() -> None:
    a = conv("a", INPUT, (4, 4, 4), 4)
    copy = Layer("p", "passthrough", ("a",), (4, 4, 4), (4, 4, 4))
    graph = chain(a, copy)
    stay = (LayerHint(0xF, 0xF0, out_offset=0x400), LayerHint(0xF0, 0xF0, 0x400, 0x800))
    assert verify.check(graph, placed(graph, *stay)) == []
    move = (stay[0], replace(stay[1], output_processors=0xF0000))
    findings = [str(f) for f in verify.check(graph, placed(graph, *move))]
    assert any("cannot move data to other processors" in f for f in findings)


def test_weights_and_biases_with_two_owners_are_found() -> None:
    layers = (conv("a", INPUT, (8, 4, 4), 8), conv("b", "a", (8, 4, 4), 8))
    graph = chain(*(replace(layer, bias=np.ones(8, np.int64)) for layer in layers))
    good = placed(graph, LayerHint(0xFF, out_offset=0x1000), LayerHint(0xFF, 0xFF, 0x1000))
    assert verify.check(graph, good) == []
    first, second = good.layers
    bad = replace(good, layers=(first, replace(second, first_word=first.first_word + 4)))
    assert "belongs to a" in str(verify.check(graph, bad)[0])
    bad = replace(good, layers=(first, replace(second, first_word=765)))
    assert "kernel word 772 does not exist" in str(verify.check(graph, bad)[0])
    bad = replace(good, layers=(first, replace(second, bias_quadrant=0, bias_offset=4)))
    assert "bias byte 4 of quadrant 0 belongs to a" in str(verify.check(graph, bad)[0])


def test_masks_must_fit_the_channels() -> None:
    with pytest.raises(UserError, match="4 input channels need 4 processors, but the mask"):
        placed(two(), LayerHint(0x1F), LayerHint(0xFF))
    with pytest.raises(UserError, match="8 output channels need 8 processors, but the mask"):
        placed(two(), LayerHint(0xF, 0x1FF), LayerHint(0xFF))


@pytest.mark.parametrize("mask", [0x3, 0x1FF, 0xFFFF])
def test_a_wrong_mask_is_found_in_the_layer_that_has_it(mask: int) -> None:
    """A layer without a mask for its output writes where the next one reads."""
    a = conv("a", INPUT, (4, 4, 4), 8)
    b = Layer("b", "linear", ("a",), (8, 4, 4), (10, 1, 1), flatten=True)
    b = replace(b, weight=np.ones((10, 128, 1, 1), np.int64))
    for graph in (chain(a, b), two()):
        with pytest.raises(UserError, match=r"^layer b: 8 input channels need 8 processors"):
            placed(graph, LayerHint(0xF), LayerHint(mask))
        with pytest.raises(UserError, match=r"^layer a: 8 output channels need 8 processors"):
            placed(graph, LayerHint(0xF, mask), LayerHint(mask))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("length", range(1, 10))
def test_kernel_words_hold_all_kernels(bits: int, length: int) -> None:
    for outputs in range(1, 65):
        weight = np.zeros((outputs, 1, length, 1), np.int64)
        layer = Layer(
            "a", "conv1d", (INPUT,), (1, 20, 1), (outputs, 21 - length, 1),
            kernel=(length, 1), weight=weight, bits=bits,
        )  # fmt: skip
        spot = LayerPlace(1, (1 << outputs) - 1, 0, 0, 1, 1, 1, outputs)
        groups = -(-outputs * bits // 8)
        words = memories.kernel_words(layer, spot)
        assert groups * length <= 9 * words
        assert 9 * (words - 7) < groups * length  # what the generator's rounding wastes at most


def long_chain(count: int, bits: int) -> Graph:
    layers = [conv("n0", INPUT, (64, 4, 4), 64, bits=bits)]
    for i in range(1, count):
        layers.append(conv(f"n{i}", f"n{i - 1}", (64, 4, 4), 64, bits=bits))
    return chain(*layers)


def test_weight_memory_from_both_sides() -> None:
    """Twelve layers of 64 kernel words fill 768 words exactly."""
    placement = search.search(long_chain(12, 8))
    assert max(p.first_word + p.words for p in placement.layers) == 768
    with pytest.raises(UserError, match=r"layer n12: its weights take 64 kernel words .* only 0"):
        search.search(long_chain(13, 8))
    search.search(long_chain(24, 4))


def biased_chain(outputs: int) -> Graph:
    layers = []
    source, shape = INPUT, (4, 1, 1)
    for i in range(4):
        layer = conv(f"n{i}", source, shape, outputs, 1)
        layers.append(replace(layer, bias=np.ones(outputs, np.int64)))
        source, shape = layer.name, layer.out_shape
    last = conv("last", source, shape, 1, 1)
    return chain(*layers, replace(last, bias=np.ones(1, np.int64)))


def test_bias_memory_from_both_sides() -> None:
    search.search(biased_chain(256))
    biases = biased_chain(508)
    with pytest.raises(UserError, match="weights take"):
        search.search(biases)
    places = search.search(biased_chain(256)).layers
    quadrants = {p.bias_quadrant for p in places}
    assert quadrants == {0, 1, 2, 3}
    graph = biased_chain(256)
    wishes = [(0,)] * len(graph.layers)
    with pytest.raises(UserError, match=r"biases do not fit: .* 0 of 512 bytes free"):
        memories.complete(graph, places, wishes)


def test_data_memory_from_both_sides() -> None:
    exactly = chain(conv("a", INPUT, (4, 90, 91), 4))  # 8190 words
    assert verify.check(exactly, search.search(exactly)) == []
    too_many = chain(conv("a", INPUT, (4, 64, 129), 4))  # 8256 words
    with pytest.raises(UserError, match="layer a: its output takes 33024 bytes in each"):
        search.search(too_many)


HALVE = ir.Pool("max", (2, 2), (2, 2))


def large(rows: int, cols: int, channels: int = 3, **options: object) -> Graph:
    """Two convolutions, the second of which halves its input."""
    options.setdefault("pool", HALVE)
    return chain(
        conv("a", INPUT, (channels, rows, cols), 8),
        conv("b", "a", (8, rows, cols), 4, **options),  # type: ignore[arg-type]
    )


def test_only_data_that_does_not_fit_is_streamed() -> None:
    fits, streams = search.search(large(64, 128)), search.search(large(64, 129))  # 8192, 8256 words
    assert not fits.fifo
    assert [place.streaming for place in fits.layers] == [False, False]
    assert streams.fifo
    assert not streams.chw
    assert [place.streaming for place in streams.layers] == [True, True]
    assert verify.check(large(64, 129), streams) == []


def test_as_few_layers_as_possible_stream() -> None:
    first, *_ = large(128, 128).layers
    small = conv("c", "b", (4, 64, 64), 4)
    graph = chain(first, conv("b", "a", (8, 128, 128), 4, pool=HALVE), small)
    assert search.streaming_layers(graph) == 2
    # An unpadded last streaming layer is not possible, so one more streams.
    unpadded = conv("b", "a", (8, 128, 128), 4, pool=HALVE, pad=(0, 0))
    graph = chain(first, unpadded, conv("c", "b", (4, 62, 62), 4))
    assert search.streaming_layers(graph) == 3


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (large(128, 128, 17), "17 input channels exceed the 16 that the FIFOs carry"),
        (large(128, 128, pad=(0, 0)), "layer b: the last streaming layer needs padding"),
        (
            large(128, 128, pool=ir.Pool("max", (3, 3), (2, 2))),
            "layer b: 3x3 pooling with stride 2x2 is not streamed without a placement by hand",
        ),
        (chain(conv("a", INPUT, (4, 64, 129), 4)), "only the first layers can be streamed"),
    ],
)
def test_too_large_data_that_cannot_stream_is_refused_with_the_reason(
    graph: Graph, reason: str
) -> None:
    with pytest.raises(UserError) as caught:
        search.search(graph)
    assert "bytes in each data memory, but there are 32768" in str(caught.value)
    assert reason in str(caught.value)


def test_many_channels_in_a_streaming_layer_are_refused() -> None:
    graph = chain(
        conv("a", INPUT, (3, 128, 128), 65), conv("b", "a", (65, 128, 128), 4, pool=HALVE)
    )
    with pytest.raises(UserError, match="layer b: 65 channels take several passes"):
        search.search(graph)
    graph = chain(
        conv("a", INPUT, (3, 128, 128), 64), conv("b", "a", (64, 128, 128), 4, pool=HALVE)
    )
    assert search.search(graph).fifo


def test_streamed_channels_lie_where_the_fifos_bring_them() -> None:
    graph = large(128, 128, 14)
    placement = search.search(graph)
    assert placement.layers[0].processors == 0x0003_000F_000F_000F
    assert verify.check(graph, placement) == []


def test_circular_buffers_that_overlap_are_found() -> None:
    graph = large(64, 129)
    good = search.search(graph)

    def findings(layer: int, **change: int) -> list[str]:
        layers = list(good.layers)
        layers[layer] = replace(layers[layer], **change)  # type: ignore[arg-type]
        return [str(f) for f in verify.check(graph, replace(good, layers=tuple(layers)))]

    a, b = good.layers
    same = {"processors": 0xFF, "in_offset": a.in_offset}
    (found,) = [f for f in findings(1, **same) if "input of a" in f]
    assert found.startswith("layer b: the circular input of b overlaps the circular input of a in")
    ring = {"output_processors": b.processors & -b.processors * 0xF, "out_offset": b.in_offset}
    assert any("the output of b overlaps the circular input of b" in f for f in findings(1, **ring))
    assert any("ends at word" in f and "circular" in f for f in findings(1, in_offset=0x7FF0))


def test_large_input_is_stored_channel_by_channel() -> None:
    pool = ir.Pool("max", (2, 2), (2, 2))
    graph = chain(conv("a", INPUT, (3, 128, 128), 8, pool=pool), conv("b", "a", (8, 64, 64), 4))
    placement = search.search(graph)
    assert placement.chw
    assert placement.layers[0].processors == 0x111


def test_residual_operands_are_interleaved() -> None:
    a, b = conv("a", INPUT, (4, 4, 4), 8), conv("b", INPUT, (4, 4, 4), 8)
    c = replace(conv("c", "a", (8, 4, 4), 4), inputs=("a", "b"), join="sub")
    graph = chain(a, b, c)
    placement = search.search(graph)
    first, second, joined = placement.layers
    assert first.write_gap == second.write_gap == 1
    assert second.out_offset == first.out_offset + 4
    assert joined.in_offset == first.out_offset
    assert joined.processors == first.output_processors == second.output_processors


def test_concatenated_parts_lie_side_by_side() -> None:
    a, b = conv("a", INPUT, (4, 4, 4), 6), conv("b", INPUT, (4, 4, 4), 10)
    c = replace(conv("c", "a", (16, 4, 4), 4), inputs=("a", "b"))
    placement = search.search(chain(a, b, c))
    assert verify.check(chain(a, b, c), placement) == []
    shift = (placement.layers[2].processors & -placement.layers[2].processors).bit_length() - 1
    assert placement.layers[2].processors >> shift == 0b111111111100111111


def test_uneven_long_concatenation_is_refused_with_a_way_out() -> None:
    a, b = conv("a", INPUT, (4, 4, 4), 40), conv("b", INPUT, (4, 4, 4), 60)
    c = replace(conv("c", "a", (100, 4, 4), 4), inputs=("a", "b"))
    with pytest.raises(UserError, match=r"layer c: .* must have 52 channels each, not 40, 60"):
        search.search(chain(a, b, c))


def test_search_is_repeatable() -> None:
    graph = long_chain(10, 8)
    assert search.search(graph) == search.search(graph)
