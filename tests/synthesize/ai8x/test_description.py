"""Placements written in ai8x-synthesis' language compile to the same state again."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from common.errors import UserError
from synthesize.ai8x import compare
from synthesize.ai8x import description as yaml_out
from synthesize.ai8x import generated as official_project
from synthesize.ai8x import generator as official
from synthesize.compiler import build_program, place_automatically
from synthesize.graph import reference
from synthesize.graph.ir import Graph
from synthesize.place.placement import Placement
from tests.helpers.networks import random_graph

SEEDS = (0, 1, 5, 7, 23)


def placed(seed: int) -> tuple[Graph, Graph, Placement]:
    graph = random_graph(seed)
    return graph, *place_automatically(graph)


def sample_for(graph: Graph) -> np.ndarray:
    return np.random.default_rng(0).integers(-128, 128, graph.input.described_shape)


@pytest.mark.parametrize("seed", SEEDS)
def test_round_trip_leaves_the_same_state_and_answer(seed: int, tmp_path: Path) -> None:
    graph, legal, placement = placed(seed)
    program, sample = build_program(legal, placement), sample_for(graph)
    yaml_out.write(tmp_path, legal, placement, sample)
    again, folded = official.load(tmp_path)
    first = compare.state_of_program(program, sample)
    assert compare.differences(compare.state_of_program(again.program, folded), first) == []
    assert len(first.kernels) > 0
    ours = again.program.known_answer(again.known_answer(folded))
    theirs = program.known_answer(reference.run(graph, sample))
    assert official_project.answer_bytes(ours) == official_project.answer_bytes(theirs)


def test_another_placement_gives_another_state(tmp_path: Path) -> None:
    """The comparison above would notice."""
    graph, legal, placement = placed(5)
    yaml_out.write(tmp_path, legal, placement, sample_for(graph))
    path = tmp_path / yaml_out.YAML_NAME
    moved = re.sub("out_offset: 0x.", "out_offset: 0x4", path.read_text(), count=1)
    assert moved != path.read_text()
    path.write_text(moved)
    again, folded = official.load(tmp_path)
    program = build_program(legal, placement)
    state = compare.state_of_program(program, sample_for(graph))
    assert compare.differences(compare.state_of_program(again.program, folded), state)


def test_every_place_is_stated(tmp_path: Path) -> None:
    _, legal, placement = placed(0)
    described = yaml.safe_load(yaml_out.to_yaml(legal, placement))
    for entry, spot in zip(described["layers"], placement.layers, strict=True):
        assert entry["processors"] == spot.processors
        assert entry["output_processors"] == spot.output_processors
        assert (entry["in_offset"], entry["out_offset"]) == (spot.in_offset, spot.out_offset)


def test_names_stay_texts_and_unique() -> None:
    _, legal, placement = placed(5)
    awkward = ["on", "1e3", "Stop", "a b: #'c'", "X", "x", "0x12", "null", "~", "é", "-"]
    names = {layer.name: name for layer, name in zip(legal.layers, awkward, strict=False)}
    layers = tuple(
        replace(
            layer,
            name=names.get(layer.name, layer.name),
            inputs=tuple(names.get(n, n) for n in layer.inputs),
        )
        for layer in legal.layers
    )
    outputs = tuple(replace(o, layer=names.get(o.layer, o.layer)) for o in legal.outputs)
    graph = replace(legal, name="Test", layers=layers, outputs=outputs)
    described = yaml.safe_load(yaml_out.to_yaml(graph, placement))
    written = [entry["name"] for entry in described["layers"]]
    assert all(isinstance(name, str) for name in written)
    assert len({name.lower() for name in written}) == len(written)
    assert "stop" not in {name.lower() for name in written}
    assert described["arch"] == "Test_"
    keys = yaml_out.state_dict(graph)
    assert {k.removesuffix(".op.weight") for k in keys if k.endswith(".weight")} <= set(written)


def test_biases_that_no_description_can_place_are_refused() -> None:
    _, legal, placement = placed(5)
    index = next(i for i, p in enumerate(placement.layers) if p.bias_quadrant is not None)
    moved = replace(placement.layers[index], bias_offset=400)
    layers = (*placement.layers[:index], moved, *placement.layers[index + 1 :])
    with pytest.raises(UserError, match="cannot be described"):
        yaml_out.to_yaml(legal, replace(placement, layers=layers))


def test_a_sample_that_does_not_fit_writes_nothing(tmp_path: Path) -> None:
    _, legal, placement = placed(1)
    with pytest.raises(UserError, match="expects"):
        yaml_out.write(tmp_path / "out", legal, placement, np.zeros((1, 2, 3), np.int64))
    assert not (tmp_path / "out").exists()
