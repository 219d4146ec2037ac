"""Flat data that is joined: side by side, or added, flattened in any order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from quantize.ptq.obstacles import UnfitNetwork
from quantize.ptq.run import understand
from tests.helpers.bring import brought
from tests.helpers.float_models import Float
from tests.helpers.same_float import same

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

Case = Callable[[Float], None]


def trunk(m: Float, channels: int = 6, source: str = "x") -> str:
    """Data of 4x4 pixels behind a convolution."""
    m.conv(4, channels, 3, 3, source=source, pads=[1, 1, 1, 1])
    return m.add("MaxPool", m.add("Relu"), kernel_shape=[2, 2], strides=[2, 2])


def flat(m: Float, source: str, last: bool = False) -> str:
    """Flattened, with channels first or last."""
    data = m.add("Transpose", source, perm=[0, 2, 3, 1]) if last else source
    return m.add("Flatten", data)


def side_by_side(m: Float) -> None:
    m.add("Concat", flat(m, trunk(m)), flat(m, trunk(m, 3)), axis=1)
    m.add("Gemm", m.last, m.random(9 * 16, 5), m.random(5))


def channels_last(m: Float) -> None:
    """As Keras flattens; one part is in the order of channels."""
    one, other = trunk(m), trunk(m, 3)
    parts = [flat(m, one, last=True), flat(m, other), flat(m, other, last=True)]
    m.add("Concat", *parts, axis=-1)
    m.add("Relu")
    m.add("Gemm", m.last, m.random(5, 12 * 16), m.random(5), transB=1)


def of_other_sizes(m: Float) -> None:
    """Flattened pixels beside their means; a curve behind the layer."""
    data = trunk(m)
    mean = m.add("ReduceMean", data, axes=[2, 3], keepdims=0)
    m.add("Concat", mean, flat(m, data, last=True), axis=1)
    m.add("Gemm", m.last, m.random(6 + 6 * 16, 5), m.random(5))
    m.add("Relu")
    m.add("Gemm", m.last, m.random(5, 3))


def added(m: Float) -> None:
    one, other = trunk(m), trunk(m)
    m.add("Add", flat(m, one, last=True), flat(m, other, last=True))
    m.add("Gemm", m.add("Relu"), m.random(96, 5), m.random(5))


def added_to_a_layer(m: Float) -> None:
    """Flattened data and the result of a linear layer; the difference is put out."""
    data = flat(m, trunk(m))
    inner = m.add("Gemm", data, m.random(96, 96))
    m.add("Gemm", m.add("Sub", data, inner), m.random(96, 5), m.random(5))


def sum_of_many(m: Float) -> None:
    """More than one operation takes, and a constant."""
    parts = [m.conv(4, 3, 1, 1, source="x") for _ in range(18)]
    m.add("Sum", *parts, m.random(3, 1, 1))
    m.conv(3, 4, 1, 1)


def pixels_of_one(m: Float) -> None:
    """Flat data as one pixel of a picture, added to a mean; a part of it put out."""
    data = trunk(m)
    mean = m.add("GlobalAveragePool", data)
    m.add("Reshape", m.add("Gemm", flat(m, data), m.random(96, 6)), m.whole(1, 6, 1, 1))
    m.add("Add", mean, m.last)
    m.add("Slice", flat(m, m.last), m.whole(1), m.whole(5), m.whole(1))


def convolved(m: Float) -> None:
    """A linear layer written as a convolution of flat data, and one that picks values."""
    m.add("Reshape", flat(m, trunk(m)), m.whole(1, 96, 1, 1))
    m.conv(96, 8, 1, 1)
    m.add("Relu")
    m.conv(8, 3, 1, 1)


def normed(m: Float) -> None:
    """Factors of every value of flat data, then a ReLU."""
    m.add("Mul", flat(m, trunk(m)), m.random(96))
    m.add("Relu", m.add("Add", m.last, m.random(96)))
    m.add("Gemm", m.last, m.random(96, 4))


def wide(m: Float) -> None:
    """More channels than there are processors."""
    mean = m.add("ReduceMean", trunk(m), axes=[2, 3], keepdims=0)
    parts = [m.add("Gemm", mean, m.random(6, 200), m.random(200)) for _ in range(2)]
    total = m.add("Relu", m.add("Add", *parts))
    m.add("Gemm", m.add("Concat", total, parts[0], axis=1), m.random(400, 4))


def of_many_channels(m: Float) -> None:
    """More than there are processors, of which every pixel is flattened."""
    m.add("Concat", flat(m, trunk(m, 60)), flat(m, trunk(m, 12), last=True), axis=1)
    m.add("Gemm", m.last, m.random(72 * 16, 4))


CASES: list[Case] = [
    side_by_side, channels_last, of_other_sizes, added, added_to_a_layer, sum_of_many,
    pixels_of_one, convolved, normed, wide, of_many_channels,
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_joined_flat_data_is_what_the_model_computes(case: Case, tmp_path: Path) -> None:
    model = Float(4, 8, 8)
    case(model)
    same(model.save(tmp_path / "m.onnx"), model.shape)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_the_kit_computes_joined_flat_data(case: Case, tmp_path: Path) -> None:
    model = Float(4, 8, 8)
    case(model)
    brought(model.save(tmp_path / "m.onnx"), model.shape)


def test_flat_data_that_was_quantised_already_is_joined(tmp_path: Path) -> None:
    """Quantised and dequantised between all operators, as onnxruntime writes it."""
    model = Float(4, 8, 8)

    def known(source: str) -> str:
        step, zero = model.real(1 / 32), model.constant(np.zeros((), np.int8))
        whole = model.add("QuantizeLinear", source, step, zero)
        return model.add("DequantizeLinear", whole, step, zero)

    data = known(trunk(model))
    parts = [known(flat(model, data, last=True)), known(model.add("GlobalMaxPool", data))]
    parts[1] = known(flat(model, parts[1]))
    model.add("Gemm", known(model.add("Concat", *parts, axis=1)), model.random(102, 5))
    brought(model.save(tmp_path / "m.onnx"), model.shape)


def put_side_by_side(m: Float) -> None:
    m.add("Concat", flat(m, trunk(m)), flat(m, trunk(m, 3)), axis=1)


def test_joined_flat_data_is_put_out_as_it_lies(tmp_path: Path) -> None:
    model = Float(4, 8, 8)
    put_side_by_side(model)
    result = brought(model.save(tmp_path / "m.onnx"), model.shape)
    (name,) = result.student.spec.outputs
    assert [layer.out_channels for layer in result.student.spec.layers if layer.name == name] == [9]


def in_other_orders(m: Float) -> None:
    one, other = trunk(m), trunk(m)
    m.add("Add", flat(m, one, last=True), flat(m, other))
    m.add("Gemm", m.last, m.random(96, 5))


def of_other_shapes(m: Float) -> None:
    """One is repeated."""
    one, other = flat(m, trunk(m)), m.add("Gemm", flat(m, trunk(m)), m.random(96, 1))
    m.add("Gemm", m.add("Add", one, other), m.random(96, 5))


def with_a_constant(m: Float) -> None:
    m.add("Concat", m.random(1, 2), flat(m, trunk(m)), axis=1)
    m.add("Gemm", m.last, m.random(98, 5))


def along_rows(m: Float) -> None:
    """Only what it is is said, not that the layer behind expects other data."""
    m.add("Flatten", m.add("Concat", trunk(m), trunk(m), axis=2))
    m.add("Gemm", m.last, m.random(6 * 8 * 4, 5))


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (in_other_orders, "Add of data that was flattened in different orders; nearest: channels "
                          "first, or last, in all that is flattened"),
        (of_other_shapes, "Add of data of 96 and 1; nearest: data of equal shape"),
        (with_a_constant, "Concat of data and a constant; nearest: data alone"),
        (along_rows, "Concat along axis 2; nearest: channels"),
    ],
)  # fmt: skip
def test_other_joins_are_one_thing_that_the_chip_does_not_have(
    case: Case, said: str, tmp_path: Path
) -> None:
    model = Float(4, 8, 8)
    case(model)
    with pytest.raises(UnfitNetwork, match="1 thing that the chip does not have") as caught:
        understand(model.save(tmp_path / "m.onnx"))
    assert said in str(caught.value)


def test_flat_data_that_only_a_sum_reads_is_refused(tmp_path: Path) -> None:
    """It is put out, so that no linear layer can take it apart."""
    model = Float(4, 8, 8)
    data = flat(model, trunk(model))
    model.add("Add", data, model.add("Gemm", data, model.random(96, 96)))
    with pytest.raises(
        UserError, match=r"flat data that no linear layer reads: 6x4x4 for .*node Add"
    ):
        understand(model.save(tmp_path / "m.onnx"))


def test_a_layer_of_another_size_is_refused_where_the_size_is_known(tmp_path: Path) -> None:
    model = Float(4, 8, 8)
    put_side_by_side(model)
    model.add("Gemm", model.last, model.random(96, 5))
    with pytest.raises(UserError, match="96 inputs expected, but its data has 144"):
        understand(model.save(tmp_path / "m.onnx"))
