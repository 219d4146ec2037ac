"""Output over a layer's own input: what the check lets pass runs on the kit, the rest is named.

The kit counts in another way (it asks which word is still to be read after every output), so a
layer that the check misjudges shows as a fault there.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import UserError
from evalkit.hardware.faults import KitFault
from synthesize.compiler import build_program
from synthesize.graph import ir, reference
from synthesize.graph.hardware import channels_per_pass
from synthesize.graph.hints import Hints, LayerHint
from synthesize.graph.ir import INPUT, Graph, Input, Layer, Output, Pool
from synthesize.place import by_hand, verify
from synthesize.place.placement import Placement
from tests.helpers.networks import Builder
from tests.helpers.virtual import run_on_kit


def one_layer(seed: int) -> tuple[Graph, bool]:
    """A network of one layer, and whether its input is stored channel by channel."""
    b = Builder(seed)
    rows, cols = (int(n) for n in b.rng.integers(1, 14, 2))
    cols = 1 if b.chance(0.2) else cols
    chw = b.chance(0.5)
    b.shapes[INPUT] = (int(b.rng.integers(1, 9)) if chw else b.channels(100), rows, cols)
    operands = 1 if chw or not b.chance(0.3) else 2
    for _ in range(20):
        if b.chance(0.25) and not chw:
            b.add(b.layer("passthrough", INPUT, pool=b.pool(b.shapes[INPUT], cols == 1)))
        else:
            b.conv(INPUT, 16)
        if b.layers and b.layers[-1].op != "upsample" and b.layers[-1].stride != (2, 2):
            break
    layer = b.layers[-1]
    source = Input(b.shapes[INPUT])
    if operands == 2 and layer.in_shape[0] <= 64 and layer.op != "conv1d":
        layer = replace(layer, join="add", stacked=2)
        source = Input((2 * source.shape[0], *source.shape[1:]))
    output = Output(layer.name, layer.name, 0, layer.out_shape[0])
    return Graph(f"one{seed}", source, (layer,), (output,)), chw


def somewhere(graph: Graph, chw: bool, rng: np.random.Generator) -> Placement:
    """Place the layer so that its output is likely to touch its input."""
    layer = graph.layers[0]
    width = channels_per_pass(layer.in_shape[0])[1]
    processors = sum(1 << 4 * n for n in range(width)) if chw else (1 << width) - 1
    outputs = (1 << channels_per_pass(layer.out_shape[0])[1]) - 1
    begin, end = (4 * int(n) for n in rng.integers(0, 60, 2))
    hint = LayerHint(processors, outputs, begin, end, write_gap=int(rng.integers(0, 2)))
    return by_hand.by_hand(graph, Hints((hint,), chw))


def agree(seed: int) -> str:
    """Compare check and kit on one random layer; return "free", "found" or "strict"."""
    graph, chw = one_layer(seed)
    rng = np.random.default_rng(seed)
    data = rng.integers(-128, 128, graph.input.shape)
    placement = somewhere(graph, chw, rng)
    findings = [str(finding) for finding in verify.check(graph, placement)]
    assert all("overwrites its own input" in sentence for sentence in findings), findings
    program = build_program(graph, placement)
    fault = ""
    try:
        outputs, _ = run_on_kit(program, data)
    except KitFault as error:
        fault = str(error)
    if fault:
        assert "output overwrites live input" in fault
        assert findings, f"the check saw nothing, but: {fault}"
        return "found"
    wanted = reference.run(graph, data)[graph.layers[0].name]
    if not findings:
        np.testing.assert_array_equal(outputs[graph.layers[0].name], wanted)
    return "strict" if findings else "free"


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_what_the_check_lets_pass_runs(seed: int) -> None:
    agree(seed)


def test_the_check_is_hardly_stricter_than_the_kit() -> None:
    """Were it to refuse whatever overlaps, the test above would pass as well."""
    results = [agree(seed) for seed in range(150)]
    assert results.count("free") > 30
    assert results.count("found") > 30
    assert results.count("strict") < 15


def test_words_of_four_pixels_are_free_after_the_last_of_them() -> None:
    """A 1x1 layer writes one word per pixel and frees one word every four pixels."""
    layer = Layer(
        "a", "conv2d", (INPUT,), (1, 4, 8), (4, 4, 8), kernel=(1, 1),
        weight=np.ones((4, 1, 1, 1), np.int64),
    )  # fmt: skip
    graph = Graph("g", Input((1, 4, 8)), (layer,), (Output("a", "a", 0, 4),))

    def findings(begin: int) -> list[str]:
        hint = LayerHint(0x1, 0xF, in_offset=4 * begin, out_offset=0)
        placement = by_hand.by_hand(graph, Hints((hint,), True))
        return [str(finding) for finding in verify.check(graph, placement)]

    # Word k of the input at word begin + k is overwritten by pixel begin + k; it is read for the
    # last time with pixel 4 k + 3, which for the last word, k = 7, asks for begin >= 24.
    assert findings(24) == []
    assert any("overwrites its own input, input," in sentence for sentence in findings(23))
    assert any("overwrites its own input, input," in sentence for sentence in findings(0))


@pytest.mark.parametrize("mask", [0x3, 0x6, 0x22, 0x1_0002])
def test_channels_stored_one_by_one_begin_a_data_memory_each(mask: int) -> None:
    layer = Layer(
        "a", "conv2d", (INPUT,), (2, 4, 4), (4, 4, 4), kernel=(1, 1),
        weight=np.ones((4, 2, 1, 1), np.int64),
    )  # fmt: skip
    graph = Graph("g", Input((2, 4, 4)), (layer,), (Output("a", "a", 0, 4),))
    with pytest.raises(UserError, match="the first processor of a data memory"):
        by_hand.by_hand(graph, Hints((LayerHint(mask, 0xF, 0, 0x100),), True))
    right = LayerHint(0x11, 0xF, 0, 0x100)
    assert verify.check(graph, by_hand.by_hand(graph, Hints((right,), True))) == []


def test_a_second_reader_of_such_an_input_is_found() -> None:
    """It would read four pixels of one channel as one pixel of four."""
    weight = np.ones((4, 1, 1, 1), np.int64)
    a, b = (
        Layer(n, "conv2d", (INPUT,), (1, 4, 4), (4, 4, 4), kernel=(1, 1), weight=weight)
        for n in "ab"
    )
    outputs = (Output("a", "a", 0, 4), Output("b", "b", 0, 4))
    graph = Graph("g", ir.Input((1, 4, 4)), (a, b), outputs)
    hints = (LayerHint(0x1, 0xF, 0, 0x100), LayerHint(0x1, 0xF, 0, 0x200))
    findings = [str(f) for f in verify.check(graph, by_hand.by_hand(graph, Hints(hints, True)))]
    assert any("layer b" in sentence and "it reads input" in sentence for sentence in findings)


def test_a_layer_without_weights_writes_a_pass_before_it_reads_the_next() -> None:
    """Two passes of 48 channels: the first word of the output may not lie on the second one."""
    pool = Pool("max", (1, 1), (2, 1))
    layer = Layer("a", "passthrough", (INPUT,), (96, 4, 1), (96, 2, 1), pool=pool)
    graph = Graph("g", Input((96, 4, 1)), (layer,), (Output("a", "a", 0, 96),))
    mask = (1 << 48) - 1

    def findings(word: int) -> list[str]:
        hint = LayerHint(mask, mask, in_offset=4 * 8, out_offset=4 * word)
        placement = by_hand.by_hand(graph, Hints((hint,), False))
        return [str(finding) for finding in verify.check(graph, placement)]

    assert findings(8) == []
    assert any("overwrites its own input, input," in sentence for sentence in findings(9))
