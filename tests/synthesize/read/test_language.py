"""No key of a description is read without effect: it changes what is compiled, or is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import UserError
from synthesize.ai8x import compare
from synthesize.compiler import Compiled
from synthesize.read.yaml import language
from tests.helpers.described import compile_text, run, text, weights
from tests.helpers.places import REPOSITORY

A = {
    "name": "a", "op": "conv2d", "kernel_size": "3x3", "pad": 1, "data_format": "HWC",
    "processors": 0xF, "output_processors": 0xF, "out_offset": 0x2000, "activate": "ReLU",
    "in_dim": [6, 6], "in_channels": 4, "quantization": 8,
}  # fmt: skip
B = {
    "name": "b", "op": "conv2d", "kernel_size": "3x3", "pad": 1, "processors": 0xF,
    "output_processors": 0xF, "in_offset": 0x2000, "out_offset": 0x4000,
}  # fmt: skip
ONE_D = A | {"op": "conv1d", "kernel_size": 3, "in_dim": 36}
SHAPES = [("a", (4, 4, 3, 3)), ("b", (4, 4, 3, 3))]
Change = tuple[list[dict[str, Any]], list[dict[str, Any]], list[tuple[str, tuple[int, ...]]]]


def pair(key: str, value: object, index: int = 0, shapes: object = None, **more: object) -> Change:
    """Two layers as they are, and with one more key (and what it needs) in one of them."""
    layers = [dict(A), dict(B)]
    changed = [dict(A), dict(B)]
    changed[index] |= {key: value, **more}
    return layers, changed, shapes or SHAPES  # type: ignore[return-value]


def alone(base: dict[str, Any], key: str, value: object, *shape: int) -> Change:
    """One layer as it is, and with one more key."""
    return [dict(base)], [base | {key: value}], [("a", shape or (4, 4, 3, 3))]


def without(base: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in base.items() if key not in keys}


POOLED = A | {"max_pool": 2}
SUM = {
    "name": "s", "eltwise": "add", "in_sequences": ["a", "b"], "processors": 0xF,
    "op": "conv2d", "kernel_size": "3x3", "pad": 1, "in_offset": 0x2000, "out_offset": 0x6000,
    "max_pool": 2, "pool_stride": 2,
}  # fmt: skip
PARTS = [A | {"write_gap": 1}, B | {"in_offset": 0, "in_sequences": ["input"],
                                    "out_offset": 0x2004, "write_gap": 1}]  # fmt: skip
THREE = [*SHAPES, ("s", (4, 4, 3, 3))]
TRANSPOSED = without(A, "pad") | {"op": "convtranspose2d", "pad": 1}
EFFECT: dict[str, Change] = {
    "name": pair("name", "z", 1),
    "sequence": ([A, B], [A | {"sequence": 1}, B | {"sequence": 0}], SHAPES),
    "next_sequence": pair("next_sequence", "stop"),
    "in_sequences": pair("in_sequences", ["input"], 1, in_offset=0),
    "processors": alone(A, "processors", 0xF0),
    "output_processors": pair("output_processors", 0xF0, 1),
    "in_offset": alone(A, "in_offset", 0x100),
    "out_offset": pair("out_offset", 0x5000, 1),
    "write_gap": pair("write_gap", 1, 1),
    "in_channels": alone(without(A, "in_channels"), "in_channels", 3),
    "in_dim": pair("in_dim", [9, 4], 1),
    "out_channels": alone(A, "out_channels", 5),
    "op": alone(without(A, "op", "kernel_size", "pad"), "op", "none"),
    "operation": alone(without(A, "op", "kernel_size", "pad"), "operation", "none"),
    "operator": alone(without(A, "op", "kernel_size", "pad"), "operator", "none"),
    "convolution": alone(without(A, "op", "kernel_size", "pad"), "convolution", "none"),
    "kernel_size": alone(A, "kernel_size", "1x1"),
    "pad": alone(A, "pad", 2),
    "output_pad": alone(TRANSPOSED, "output_pad", 0),
    "stride": alone(A, "stride", 2),
    "dilation": alone(ONE_D, "dilation", 2, 4, 4, 3),
    "max_pool": alone(A, "max_pool", 2),
    "avg_pool": alone(A, "avg_pool", 2),
    "pool_stride": alone(POOLED, "pool_stride", 2),
    "pool_first": ([*PARTS, SUM], [*PARTS, SUM | {"pool_first": False}], THREE),
    "eltwise": (
        [*PARTS, SUM], [*PARTS, SUM | {"eltwise": "sub"}], THREE,
    ),
    "operands": ([*PARTS, SUM], [*PARTS, SUM | {"operands": 3}], THREE),
    "activate": alone(A, "activate", "Abs"),
    "activation": alone(without(A, "activate"), "activation", "Abs"),
    "quantization": alone(A, "quantization", 4),
    "output_shift": alone(A, "output_shift", 2),
    "output_width": pair("output_width", 32, 1),
    "flatten": alone(
        without(A, "kernel_size", "pad", "in_channels") | {"op": "linear"}, "flatten", True, 4, 144
    ),
    "data_format": alone(A | {"processors": 0x1111}, "data_format", "CHW"),
    "streaming": pair("streaming", True),
    "output": pair("output", True),
    "bias_quadrant": alone(A | {"output_processors": 0xF0000}, "bias_quadrant", 1),
    "bias_group": alone(A | {"output_processors": 0xF0000}, "bias_group", 1),
    "weight_source": pair("weight_source", "a", 1),
    "buffer_shift": pair("buffer_shift", 1),
    "buffer_insert": pair("buffer_insert", 1),
}  # fmt: skip


def outcome(folder: Path, layers: list[dict[str, Any]], shapes: Any) -> object:
    """Return everything a compilation decides, or the refusal without its line."""
    try:
        compiled = compile_text(folder, text(*layers), weights(shapes), (4, 6, 6))
    except UserError as error:
        return str(error).split(": ", 1)[1]
    return decided(compiled)


def decided(compiled: Compiled) -> object:
    state = compare.state_of_program(compiled.program, np.ones(compiled.program.input_shape, int))
    outputs = [(out.name, out.addresses.tolist()) for out in compiled.program.outputs]
    return state, outputs, [layer.name for layer in compiled.legal.layers], compiled.warnings


@pytest.mark.parametrize("key", [k for k, v in language.LAYER.items() if v.kind == "honoured"])
def test_honoured_keys_change_something(key: str, tmp_path: Path) -> None:
    before, after, shapes = EFFECT[key]
    assert outcome(tmp_path, before, shapes) != outcome(tmp_path, after, shapes)


@pytest.mark.parametrize("key", [k for k, v in language.LAYER.items() if v.kind == "neutral"])
def test_neutral_keys_take_one_value_only(key: str, tmp_path: Path) -> None:
    known = language.LAYER[key]
    plain = outcome(tmp_path, [A, B], SHAPES)
    for value in known.values:
        assert outcome(tmp_path, [A | {key: value}, B], SHAPES) == plain
    others = [v for v in (0, 1, 2, True, False, [0, 0], [1, 2]) if (type(v), v) not in
              [(type(n), n) for n in known.values]]  # fmt: skip
    for value in others:
        assert known.text in str(outcome(tmp_path, [A | {key: value}, B], SHAPES))


@pytest.mark.parametrize("key", [k for k, v in language.LAYER.items() if v.kind == "refused"])
def test_refused_keys_say_why(key: str, tmp_path: Path) -> None:
    assert language.LAYER[key].text in str(outcome(tmp_path, [A | {key: 1}, B], SHAPES))


@pytest.mark.parametrize("key", [k for k, v in language.TOP.items() if v.kind == "refused"])
def test_refused_keys_beside_the_layers_say_why(key: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not available: ") as caught:
        compile_text(tmp_path, text(A, B, **{key: "x"}), weights(SHAPES), (4, 6, 6))
    assert language.TOP[key].text in str(caught.value)


def test_honoured_keys_beside_the_layers(tmp_path: Path) -> None:
    plain = compile_text(tmp_path, text(A, B), weights(SHAPES), (4, 6, 6))
    moved = compile_text(tmp_path, text(A, B | {"processors": 0xF}, output_map=0xF0),
                         weights(SHAPES), (4, 6, 6))  # fmt: skip
    assert decided(plain) != decided(moved)
    with pytest.raises(UserError, match="the description is of other"):
        compile_text(tmp_path, text(A, B, arch="other"), weights(SHAPES), (4, 6, 6))


def test_the_page_is_up_to_date() -> None:
    assert (REPOSITORY / "docs/keys.md").read_text(encoding="utf-8") == language.documentation()


def test_sequence_is_the_running_order(tmp_path: Path) -> None:
    first, last = A | {"sequence": 0}, B | {"sequence": 1}
    there = compile_text(tmp_path, text(last, first), weights(SHAPES), (4, 6, 6))
    plain = compile_text(tmp_path, text(A, B), weights(SHAPES), (4, 6, 6))
    assert decided(there) == decided(plain)
    run(there, (4, 6, 6))


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([A, B | {"sequence": 0}], "two layers have sequence 0"),
        ([A, B | {"sequence": 4, "in_sequences": [0]}], "the numbers in 'sequence' have holes"),
        ([A | {"next_sequence": 2}, B], "only the following layer or 'stop' is possible"),
        ([A, B | {"weight_source": "c"}], "names no layer with weights"),
        ([A, B | {"bias_quadrant": 2}], "bias_quadrant 2 is not used by this network"),
    ],
)
def test_wrong_orders_and_names(layers: list[dict[str, Any]], words: str, tmp_path: Path) -> None:
    assert words in str(outcome(tmp_path, layers, SHAPES))


def test_holes_and_following_names(tmp_path: Path) -> None:
    layers = [A | {"sequence": 3, "next_sequence": "b"}, B | {"sequence": 7}]
    assert outcome(tmp_path, layers, SHAPES) == outcome(tmp_path, [A, B], SHAPES)


def test_weights_of_another_layer(tmp_path: Path) -> None:
    layers = [A, B | {"weight_source": "a"}]
    compiled = compile_text(tmp_path, text(*layers), weights(SHAPES[:1]), (4, 6, 6))
    first, second = compiled.legal.layers
    assert first.weight is not None
    np.testing.assert_array_equal(first.weight, second.weight)
    run(compiled, (4, 6, 6))
