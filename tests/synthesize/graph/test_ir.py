"""The intermediate form: text, shapes, structure."""

from __future__ import annotations

import numpy as np
import pytest

from common.errors import UserError
from synthesize.graph.ir import Graph, Input, Layer, Output, Pool, Where
from synthesize.graph.shapes import check_shapes

WEIGHT = np.arange(-9, 9).reshape(2, 1, 3, 3)


def conv(name: str = "c1", source: str = "input", **options: object) -> Layer:
    options.setdefault("where", Where("net.yaml", 7))
    return Layer(
        name, "conv2d", (source,), (1, 4, 4), (2, 4, 4), kernel=(3, 3), pad=(1, 1),
        weight=WEIGHT, activation="relu", **options,  # type: ignore[arg-type]
    )  # fmt: skip


def graph(*layers: Layer) -> Graph:
    return Graph("net", Input((1, 4, 4)), layers, (Output("y", layers[-1].name, 0, 2),))


def test_text_form() -> None:
    pool = Layer(
        "p", "passthrough", ("c1",), (2, 4, 4), (2, 2, 2), pool=Pool("avg", (2, 2), (2, 2))
    )
    assert graph(conv(bias=np.array([1, 2])), pool).text() == (
        "graph net\n"
        "  input 1x4x4\n"
        "  c1 = conv2d k3x3 s1x1 p1x1 relu w8:8b8ed337 shift+0 b:0c730b69 (input) 1x4x4 -> 2x4x4\n"
        "  p = passthrough avgpool2x2s2x2 none (c1) 2x4x4 -> 2x2x2\n"
        "  output y = p[0:2]\n"
    )


def test_layers_are_immutable() -> None:
    layer = conv()
    assert layer.weight is not None
    with pytest.raises(ValueError, match="read-only"):
        layer.weight[0, 0, 0, 0] = 1
    with pytest.raises(AttributeError):
        layer.name = "other"  # type: ignore[misc]


def test_unknown_source_is_refused_with_its_place() -> None:
    with pytest.raises(UserError, match=r"net.yaml:7: layer c1: it reads 'later'"):
        graph(conv(source="later"))


def test_cycle_is_refused() -> None:
    with pytest.raises(UserError, match="without cycles"):
        graph(conv(source="c2"), conv("c2", source="c1"))


def test_names_are_unique() -> None:
    with pytest.raises(UserError, match="used twice"):
        graph(conv(), conv())


def test_empty_network_is_refused() -> None:
    with pytest.raises(UserError, match="no layers"):
        Graph("net", Input((1, 1, 1)), (), ())


def test_shapes_must_chain() -> None:
    second = conv("c2", "c1")  # expects one channel, gets two
    with pytest.raises(UserError, match="layer c2: the shapes do not chain: inputs give 2x4x4"):
        check_shapes(graph(conv(), second))


def test_folded_input_remembers_the_described_shape() -> None:
    assert Input((12, 64, 64), 2).described_shape == (3, 128, 128)
