"""What a model does at its end only to put its values in another order is the application's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from quantize.ptq.obstacles import UnfitNetwork
from quantize.ptq.run import understand
from tests.helpers.bring import brought
from tests.helpers.float_models import Float

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

Case = Callable[[Float], None]
ORDER = "the firmware's is 6x8x8 (channels, rows, columns)"


def trunk(m: Float, channels: int = 6) -> str:
    """Data of 8x8 pixels behind two convolutions."""
    m.conv(4, 8, 3, 3, pads=[1, 1, 1, 1])
    return m.conv(8, channels, 3, 3, source=m.add("Relu"), pads=[1, 1, 1, 1])


def as_list(m: Float, source: str, count: int, size: int) -> str:
    """Channels last, and a list of pixels or of anchors."""
    return m.add("Reshape", m.add("Transpose", source, perm=[0, 2, 3, 1]), m.whole(1, count, size))


def pixels(m: Float) -> None:
    as_list(m, trunk(m), 64, 6)


def flattened_pixels(m: Float) -> None:
    m.add("Transpose", m.add("Reshape", trunk(m), m.whole(1, 6, -1)), perm=[0, 2, 1])


def likely_pixels(m: Float) -> None:
    m.add("Sigmoid", as_list(m, trunk(m), -1, 6))


def anchors(m: Float) -> None:
    as_list(m, trunk(m), 192, 2)


def boxes(m: Float) -> None:
    """As a YOLO head puts out its grid."""
    m.add("Reshape", trunk(m), m.whole(1, 2, 3, 8, 8))
    m.add("Transpose", m.last, perm=[0, 1, 3, 4, 2])


def turned(m: Float) -> None:
    m.add("Flatten", m.add("Transpose", trunk(m), perm=[0, 3, 2, 1]))


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (pixels, ORDER), (flattened_pixels, ORDER), (turned, ORDER),
        (likely_pixels, "the output is what it reads, as 6x8x8 (channels, rows, columns)"),
        (anchors, "Reshape to [1, 192, 2] comes last and is left to the application; the output "
                  "is what it reads, as 6x8x8 (channels, rows, columns)"),
        (boxes, "(Transpose): Transpose [0, 1, 3, 4, 2] comes last"),
    ],
)  # fmt: skip
def test_an_order_at_the_end_is_left_to_the_application(
    case: Case, said: str, tmp_path: Path
) -> None:
    model = Float(4, 8, 8)
    case(model)
    result = brought(model.save(tmp_path / "m.onnx"), model.shape)
    assert any(said in note for note in result.notes), result.notes


def levels(m: Float) -> tuple[str, str]:
    """Two heads of other sizes."""
    fine = trunk(m)
    return fine, m.add("Relu", m.conv(6, 6, 3, 3, source=fine, strides=[2, 2], pads=[1] * 4))


def listed_levels(m: Float) -> None:
    """As SSD lists its anchors."""
    fine, coarse = levels(m)
    m.add("Concat", as_list(m, fine, 192, 2), as_list(m, coarse, 48, 2), axis=1)


def levels_of_pixels(m: Float) -> None:
    fine, coarse = levels(m)
    m.add("Sigmoid", m.add("Concat", *(
        m.add("Reshape", data, m.whole(1, 6, -1)) for data in (fine, coarse)
    ), axis=2))  # fmt: skip


@pytest.mark.parametrize("case", [listed_levels, levels_of_pixels], ids=lambda c: c.__name__)
def test_heads_that_are_listed_one_behind_the_other_are_outputs(case: Case, tmp_path: Path) -> None:
    model = Float(4, 8, 8)
    case(model)
    result = brought(model.save(tmp_path / "m.onnx"), model.shape)
    said = "\n".join(result.notes)
    assert "comes last and is left to the application; the 2 things that it reads are outputs" in (
        said
    )
    assert "6x8x8 (channels, rows, columns)" in said
    assert "6x4x4 (channels, rows, columns)" in said
    assert len(result.outputs) == 2


def tokens(m: Float) -> None:
    """Layers on a list of pixels, with a residual sum, and a picture again."""
    data = as_list(m, trunk(m), 64, 6)
    m.add("Add", m.add("MatMul", data, m.random(6, 12)), m.random(12))
    m.add("MatMul", m.add("Relu"), m.random(12, 6))
    m.add("Transpose", m.add("Add", data, m.last), perm=[0, 2, 1])
    m.conv(6, 4, 3, 3, source=m.add("Reshape", m.last, m.whole(1, 6, 8, 8)))


def mean_token(m: Float) -> None:
    m.add("ReduceMean", as_list(m, trunk(m), 64, 6), axes=[1], keepdims=0)
    m.add("Gemm", m.last, m.random(6, 4))


def pointwise(m: Float) -> None:
    """A convolution in 1D of a list of pixels, and the largest of all."""
    m.conv(6, 5, 1, source=m.add("Reshape", trunk(m), m.whole(1, 6, 64)))
    m.add("GlobalMaxPool", m.add("Relu"))
    m.add("Gemm", m.add("Flatten"), m.random(5, 4))


@pytest.mark.parametrize("case", [tokens, mean_token, pointwise], ids=lambda c: c.__name__)
def test_lists_of_pixels_are_pictures_to_the_layers_between(case: Case, tmp_path: Path) -> None:
    model = Float(4, 8, 8)
    case(model)
    brought(model.save(tmp_path / "m.onnx"), model.shape, 0.08)


def taps(m: Float) -> None:
    """Neighbours in the list are no neighbours in the picture."""
    m.conv(6, 5, 3, source=m.add("Reshape", trunk(m), m.whole(1, 6, 64)))
    m.add("Gemm", m.add("Flatten"), m.random(310, 4))


def regrouped(m: Float) -> None:
    m.add("MatMul", as_list(m, trunk(m), 192, 2), m.random(2, 4))
    m.add("Gemm", m.add("Flatten"), m.random(768, 4))


def with_the_input(m: Float) -> None:
    """The network's input is no output."""
    m.add("Concat", trunk(m, 4), "x", axis=2)


def computed_behind(m: Float) -> None:
    fine, coarse = levels(m)
    joined = m.add("Concat", as_list(m, fine, 192, 2), as_list(m, coarse, 48, 2), axis=1)
    m.add("MatMul", joined, m.random(2, 4))
    m.add("Gemm", m.add("Flatten"), m.random(960, 4))


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (taps, "a convolution in 1 dimensions of data of channels x pixels; nearest: Conv"),
        (regrouped, "Reshape to [1, 192, 2]; nearest: "),
        (with_the_input, "Concat along axis 2; nearest: all that it reads as outputs"),
        (computed_behind, "Concat along axis 1; nearest: channels"),
    ],
)  # fmt: skip
def test_an_order_that_layers_need_stays_an_obstacle(case: Case, said: str, tmp_path: Path) -> None:
    model = Float(4, 8, 8)
    case(model)
    with pytest.raises(UnfitNetwork) as caught:
        understand(model.save(tmp_path / "m.onnx"))
    assert said in str(caught.value)


def test_a_list_of_pixels_is_enlarged_by_nothing(tmp_path: Path) -> None:
    model = Float(4, 8, 8)
    listed = model.add("Reshape", trunk(model), model.whole(1, 6, 64))
    scales = model.constant(np.array([1, 1, 2], np.float32))
    model.add("Resize", listed, "", scales, mode="nearest")
    model.add("MatMul", model.add("Transpose", model.last, perm=[0, 2, 1]), model.random(6, 2))
    with pytest.raises(UnfitNetwork, match="Resize by other factors than 2, 4 or 8"):
        understand(model.save(tmp_path / "m.onnx"))
