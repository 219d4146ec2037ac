"""Models that people brought and that were refused or misjudged: each is rebuilt here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from synthesize.__main__ import main
from synthesize.compiler import compile_graph
from synthesize.graph import reference
from synthesize.read.onnx import network as frontend_onnx
from tests.helpers.onnx_models import UNIT, Model
from tests.helpers.virtual import run_on_kit


def layer(model: Model, tensor: str, inputs: int, outputs: int, shift: int, name: str = "") -> str:
    """A 3x3 convolution with ReLU, as the chip rounds it."""
    found = model.conv(
        tensor, model.weight(outputs, inputs, 3, 3), outputs, name, pads=[1, 1, 1, 1]
    )
    return model.rounded(model.add("Relu", found), shift)


def compare_with_runtime(path: Path, shape: tuple[int, ...], slack: int = 0) -> None:
    """ONNX Runtime, the compiler's reference and the kit agree on random inputs."""
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    compiled = compile_graph(frontend_onnx.load(path).graph)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(3)
    for _ in range(3):
        sample = rng.integers(-128, 128, (*shape, 1, 1)[:3])
        real = (sample / 128).astype(np.float32).reshape(1, *shape)
        wanted = session.run(None, {"input": real})[0]
        (said,) = reference.run(compiled.described, sample).values()
        (found,) = run_on_kit(compiled.program, sample.astype(np.int8))[0].values()
        assert np.array_equal(found, said)
        assert np.abs(said.reshape(wanted.shape) - wanted * 128).max() <= slack


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("pooled", [False, True])
def test_nearest_neighbour_resizing_repeats_pixels(
    factor: int, pooled: bool, tmp_path: Path
) -> None:
    model = Model((3, 8, 8))
    tensor = layer(model, model.data, 3, 8, -2)
    if pooled:
        tensor = model.add("MaxPool", tensor, kernel_shape=[2, 2], strides=[2, 2])
    scales = model.constant(np.array([1, 1, factor, factor], np.float32))
    tensor = model.add(
        "Resize", tensor, "", scales, mode="nearest", nearest_mode="floor",
        coordinate_transformation_mode="asymmetric",
    )  # fmt: skip
    tensor = model.quantized(tensor, UNIT)
    tensor = model.rounded(model.conv(tensor, model.weight(4, 8, 1, 1), 4), -2)
    compare_with_runtime(model.save(tmp_path / "m.onnx", tensor), (3, 8, 8))


@pytest.mark.parametrize(
    ("options", "scale"),
    [
        ({"mode": "linear"}, 2),
        ({"mode": "nearest", "nearest_mode": "ceil"}, 2),
        ({"mode": "nearest", "nearest_mode": "floor"}, 3),
    ],
)
def test_other_resizing_is_refused(options: dict[str, str], scale: float, tmp_path: Path) -> None:
    model = Model((3, 8, 8))
    scales = model.constant(np.array([1, 1, scale, scale], np.float32))
    where = {"coordinate_transformation_mode": "asymmetric"}
    tensor = model.add("Resize", layer(model, model.data, 3, 8, -2), "", scales, **where, **options)
    path = model.save(tmp_path / "m.onnx", model.quantized(tensor, UNIT))
    with pytest.raises(UserError, match="repeat every pixel"):
        frontend_onnx.load(path)


@pytest.mark.parametrize("as_input", [False, True])
@pytest.mark.parametrize("keep", [0, 1])
def test_the_mean_over_rows_and_columns_is_global_pooling(
    as_input: bool, keep: int, tmp_path: Path
) -> None:
    model = Model((3, 8, 8))
    tensor = layer(model, model.data, 3, 8, -2)
    if as_input:
        axes = model.constant(np.array([-1, 2], np.int64))
        tensor = model.add("ReduceMean", tensor, axes, keepdims=keep)
    else:
        tensor = model.add("ReduceMean", tensor, axes=[2, 3], keepdims=keep)
    tensor = model.quantized(tensor, UNIT)
    if keep:
        tensor = model.add("Flatten", tensor)
    weight = model.weight(5, 8)
    tensor = model.rounded(model.add("Gemm", tensor, weight, model.bias(5), transB=1), -2)
    path = model.save(tmp_path / "m.onnx", tensor, opset=18 if as_input else 17)
    compare_with_runtime(path, (3, 8, 8), slack=2)  # the chip truncates the mean


def test_a_mean_over_one_axis_is_refused(tmp_path: Path) -> None:
    model = Model((3, 8, 8))
    tensor = model.add("ReduceMean", layer(model, model.data, 3, 8, -2), axes=[2], keepdims=1)
    path = model.save(tmp_path / "m.onnx", model.quantized(tensor, UNIT), opset=17)
    with pytest.raises(UserError, match="rows and columns together"):
        frontend_onnx.load(path)


def test_a_bias_that_is_too_large_names_its_convolution(tmp_path: Path) -> None:
    model = Model((3, 8, 8))
    large = model.constant(np.full(8, 40.0, np.float32))
    tensor = model.add("Conv", model.data, model.weight(8, 3, 3, 3), large, name="/f/f.2/Conv")
    tensor = model.rounded(model.add("Relu", tensor), -2)
    tensor = model.add("MaxPool", tensor, kernel_shape=[2, 2], strides=[2, 2], name="/f/f.3/Pool")
    path = model.save(tmp_path / "m.onnx", layer(model, tensor, 8, 4, -2))
    with pytest.raises(UserError, match=r"/f/f\.2/Conv \(Conv\): biases from 40 to 40"):
        frontend_onnx.load(path)


def float_model(path: Path) -> Path:
    model = Model((3, 8, 8))
    weight = model.constant(model.rng.normal(size=(4, 3, 3, 3)).astype(np.float32))
    first = model.add("Relu", model.add("Conv", "input", weight))
    again = model.constant(model.rng.normal(size=(4, 4, 1, 1)).astype(np.float32))
    return model.save(path, model.add("Conv", first, again))


def uneven_model(path: Path) -> Path:
    """As onnxruntime quantises: scales that are no powers of two."""
    model = Model((3, 8, 8))
    tensor = model.quantized("input", 0.0079)
    return model.save(path, model.conv(tensor, model.weight(4, 3, 3, 3, step=0.0021), 4))


@pytest.mark.parametrize("make", [float_model, uneven_model])
def test_what_is_not_quantised_for_the_chip_is_shown_the_way(
    make: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(make)
    path = make(tmp_path / "m.onnx")
    assert main(["compile", str(path), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert f"python -m quantize {path} --calibrate DATA -o q.onnx" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_pooling_over_more_than_the_chip_has_says_who_does_it(tmp_path: Path) -> None:
    model = Model((3, 32))
    taps = model.weight(8, 3, 3)
    tensor = model.rounded(model.add("Relu", model.conv(model.data, taps, 8, pads=[1, 1])), -2)
    tensor = model.quantized(model.add("GlobalAveragePool", tensor), UNIT)
    with pytest.raises(UserError, match="pools over 32x1, the chip over at most 16; python -m"):
        frontend_onnx.load(model.save(tmp_path / "m.onnx", tensor))


def test_a_dilated_convolution_in_one_dimension_has_zeros_in_between(tmp_path: Path) -> None:
    model = Model((4, 20))
    tensor = model.conv(model.data, model.weight(6, 4, 3), 6, dilations=[3], pads=[2, 2])
    path = model.save(tmp_path / "m.onnx", model.rounded(tensor, -2))
    compare_with_runtime(path, (4, 20))
