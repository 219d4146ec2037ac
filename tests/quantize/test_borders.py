"""Padded pooling behind a ReLU: zeros around in a layer of their own, then pooling."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from quantize.ptq.command import write
from quantize.ptq.data import Calibration
from quantize.ptq.obstacles import UnfitNetwork
from quantize.ptq.run import quantize, understand
from synthesize.compiler import compile_graph
from synthesize.read.onnx.network import load
from tests.helpers.float_models import Float
from tests.helpers.same_float import same
from tests.helpers.virtual import run_on_kit

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


def pooled(
    folder: Path, op: str, *before: str, size: tuple[int, int] = (9, 8), **more: object
) -> Path:
    """A convolution, some operators and pooling."""
    model = Float(3, *size)
    model.conv(3, 4, 3, 3, pads=[1, 1, 1, 1])
    for name in before:
        model.add(name)
    model.add(op, **more)
    model.conv(4, 4, 1, 1)
    return model.save(folder / "model.onnx")


def around(window: int, stride: int, pads: list[int], ceil: int = 0) -> dict[str, object]:
    return {
        "kernel_shape": [window] * 2, "strides": [stride] * 2, "pads": pads, "ceil_mode": ceil,
    }  # fmt: skip


CASES = [
    around(3, 2, [1, 1, 1, 1]), around(3, 1, [1, 1, 1, 1]), around(2, 2, [0, 0, 1, 1]),
    around(3, 2, [0, 0, 1, 1]), around(5, 1, [2, 2, 2, 2]), around(3, 3, [1, 1, 0, 0]),
    around(2, 2, [0, 0, 0, 0], 1), around(3, 2, [1, 1, 1, 1], 1), around(2, 3, [1, 1, 0, 0], 1),
]  # fmt: skip


@pytest.mark.parametrize(
    ("case", "size"), [*product(CASES, [(9, 9)]), (CASES[0], (9, 8)), (CASES[7], (8, 8))]
)
def test_a_maximum_behind_a_relu(
    case: dict[str, object], size: tuple[int, int], tmp_path: Path
) -> None:
    same(pooled(tmp_path, "MaxPool", "Relu", size=size, **case), (3, *size))


def test_padding_that_no_window_reaches_takes_no_layer(tmp_path: Path) -> None:
    case = around(2, 2, [0, 0, 1, 1])
    net = same(pooled(tmp_path, "MaxPool", size=(8, 8), **case), (3, 8, 8))
    assert not any(op.copies for op in net.ops.values())


def test_zeros_that_an_average_counts_need_no_relu(tmp_path: Path) -> None:
    case = around(3, 2, [1, 1, 1, 1]) | {"count_include_pad": 1}
    same(pooled(tmp_path, "AveragePool", **case), (3, 9, 8))


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_zeros_that_the_model_adds_itself_need_no_relu(op: str, tmp_path: Path) -> None:
    model = Float(3, 8, 8)
    model.conv(3, 4, 3, 3, pads=[1, 1, 1, 1])
    model.add("Pad", model.last, model.whole(0, 0, 1, 1, 0, 0, 1, 1))
    model.add(op, kernel_shape=[3, 3], strides=[2, 2])
    model.conv(4, 4, 1, 1)
    same(model.save(tmp_path / "model.onnx"), (3, 8, 8))


def test_along_one_axis(tmp_path: Path) -> None:
    model = Float(4, 20)
    model.conv(4, 4, 3, pads=[1, 1])
    model.add("Relu")
    model.add("MaxPool", kernel_shape=[3], strides=[2], pads=[1, 1])
    model.conv(4, 4, 1)
    same(model.save(tmp_path / "model.onnx"), (4, 20))


def test_sums_and_joins_of_what_is_positive_are_positive(tmp_path: Path) -> None:
    model = Float(3, 8, 8)
    one = model.add("Relu", model.conv(3, 4, 3, 3, pads=[1, 1, 1, 1]))
    two = model.add("Clip", model.conv(3, 4, 1, 1, source="x"), model.real(0.0), model.real(6.0))
    added = model.add("Add", one, two)
    model.add("Concat", added, two, axis=1)
    model.add("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    model.conv(8, 4, 1, 1)
    same(model.save(tmp_path / "model.onnx"), (3, 8, 8))


@pytest.mark.parametrize(
    ("op", "before", "said"),
    [
        ("MaxPool", [], "nearest: a ReLU in front of it"),
        ("MaxPool", ["Neg"], "pooling with pads [1, 1, 1, 1]"),
        ("AveragePool", ["Relu"], "or one that counts it (count_include_pad)"),
    ],
)
def test_what_zeros_cannot_stand_for_is_an_obstacle(
    op: str, before: list[str], said: str, tmp_path: Path
) -> None:
    path = pooled(tmp_path, op, *before, **around(3, 2, [1, 1, 1, 1]))
    with pytest.raises(UnfitNetwork) as caught:
        understand(path)
    assert said in str(caught.value)


def test_rows_and_columns_that_need_unlike_zeros_are_an_obstacle(tmp_path: Path) -> None:
    path = pooled(tmp_path, "MaxPool", "Relu", size=(9, 8), **around(2, 2, [0, 0, 1, 1]))
    with pytest.raises(UnfitNetwork, match="need as many zeros as each other"):
        understand(path)


def test_the_kit_computes_it(tmp_path: Path) -> None:
    path = pooled(tmp_path, "MaxPool", "Relu", size=(16, 16), **around(3, 2, [1, 1, 1, 1]))
    data = np.random.default_rng(1).uniform(-1, 1, (16, 3, 16, 16)).astype(np.float32)
    result = quantize(path, lambda net: Calibration(data))
    assert all(error < 0.05 for error in result.outputs.values())
    copied = [name for name in result.layers if "around" in name]
    assert len(copied) == 1
    first = next(iter(result.layers.values()))
    assert result.layers[copied[0]] == pytest.approx(first, abs=1.5)  # copying costs nothing
    write(result, tmp_path / "q.onnx")
    sample = np.floor(data[0] * 127).astype(np.int8)
    with torch.no_grad():
        (wanted,) = result.student(torch.from_numpy(sample)[None].double())
    found, _ = run_on_kit(compile_graph(load(tmp_path / "q.onnx").graph).program, sample)
    (words,) = found.values()
    assert np.array_equal(words.reshape(-1), wanted.numpy().reshape(-1))
