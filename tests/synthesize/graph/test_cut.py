"""A network that ends early computes in its last layer what the whole one computes there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from synthesize.compiler import compile_graph
from synthesize.graph import cut, reference
from tests.helpers.described import compile_text, text, weights
from tests.helpers.networks import random_graph
from tests.helpers.virtual import run_on_kit


@pytest.mark.parametrize("seed", [3, 11, 12, 20])
def test_every_layer_of_random_networks(seed: int) -> None:
    graph = random_graph(seed)
    data = np.random.default_rng(seed).integers(-128, 128, graph.input.shape)
    values = {}
    for number, layer in enumerate(graph.layers):
        ended, hints = cut.stop_after(graph, None, layer.name if number % 2 else str(number))
        assert hints is None
        assert ended.layers[-1] is layer
        assert {out.layer for out in ended.outputs} == {layer.name}
        values[layer.name] = reference.run(ended, data)[layer.name]
    whole = reference.run(graph, data)
    for out in graph.outputs:
        np.testing.assert_array_equal(
            values[out.layer][out.first :][: out.channels], whole[out.name]
        )


def test_a_placement_by_hand_stays(tmp_path: Path) -> None:
    """The output goes where the layer that is left out would have read it."""
    first = {"name": "a", "op": "conv2d", "kernel_size": "3x3", "pad": 1, "processors": 0x7,
             "out_offset": 0x2000, "data_format": "HWC"}  # fmt: skip
    other = {"name": "b", "op": "conv2d", "kernel_size": "3x3", "pad": 1, "processors": 0xFF000000,
             "out_offset": 0}  # fmt: skip
    checkpoint = weights([("a", (8, 3, 3, 3)), ("b", (4, 8, 3, 3))])
    arguments = tmp_path, text(first, other), checkpoint, (3, 8, 8)
    whole, ended = compile_text(*arguments), compile_text(*arguments, stop_after="a")
    assert ended.placement.layers[0] == whole.placement.layers[0]
    sample = np.random.default_rng(0).integers(-128, 128, (3, 8, 8))
    outputs, _ = run_on_kit(ended.program, sample)
    np.testing.assert_array_equal(outputs["a"], ended.known_answer(sample)["a"])


def test_layers_beside_the_way_are_left_out() -> None:
    graph = next(g for g in map(random_graph, range(200)) if len(g.layers[-1].inputs) > 1)
    side = graph.layers[-1].inputs[-1]
    ended, _ = cut.stop_after(graph, None, side)
    needed = {name for layer in ended.layers for name in layer.inputs}
    assert all(layer.name in needed for layer in ended.layers[:-1])
    compile_graph(ended)


@pytest.mark.parametrize("name", ["nowhere", "99", "-1"])
def test_a_layer_that_is_not_there(name: str) -> None:
    with pytest.raises(
        UserError, match=f"--stop-after {name}: the network random3 has no such layer"
    ):
        cut.stop_after(random_graph(3), None, name)
