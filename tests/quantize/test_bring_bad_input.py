"""Bad input of ``quantize onnx``: one sentence, nothing half-written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from quantize.__main__ import main
from tests.helpers.float_models import Float


def plain(folder: Path) -> Path:
    """A model without any trouble."""
    model = Float(3, 8, 8)
    model.conv(3, 4, 3, 3, pads=[1, 1, 1, 1])
    model.add("Relu")
    return model.save(folder / "plain.onnx")


def good(folder: Path) -> Path:
    data = np.random.default_rng(0).uniform(-1, 1, (4, 3, 8, 8)).astype(np.float32)
    np.save(folder / "good.npy", data)
    return folder / "good.npy"


def other_shape(folder: Path) -> Path:
    np.save(folder / "other.npy", np.zeros((4, 3, 9, 8), np.float32))
    return folder / "other.npy"


def nan(folder: Path) -> Path:
    data = np.zeros((4, 3, 8, 8), np.float32)
    data[2, 0, 0, 0] = np.nan
    np.save(folder / "nan.npy", data)
    return folder / "nan.npy"


def texts(folder: Path) -> Path:
    np.save(folder / "texts.npy", np.full((2, 3, 8, 8), "a"))
    return folder / "texts.npy"


def code(folder: Path) -> Path:
    np.save(folder / "code.npy", np.array([{}], object), allow_pickle=True)
    return folder / "code.npy"


def empty_folder(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


def constant(folder: Path) -> Path:
    np.save(folder / "same.npy", np.full((4, 3, 8, 8), 0.5, np.float32))
    return folder / "same.npy"


DATA: list[tuple[Callable[[Path], Path], str]] = [
    (other_shape, "it holds 4x3x9x8, but the model reads Nx3x8x8"),
    (nan, "input 2 of those used holds NaN"),
    (texts, "it holds no numbers"),
    (constant, "every value is 0.5"),
    (code, "not a readable .npy file"),
    (empty_folder, "holds no pictures"),
    (lambda folder: folder / "missing", "there is no such thing here"),
]


def refused(arguments: list[str], out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    before = sorted(out.parent.iterdir())
    assert main([*arguments, "-o", str(out)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "Traceback" not in said
    assert sorted(out.parent.iterdir()) == before
    return said


@pytest.mark.parametrize(("make", "wanted"), DATA)
def test_calibration_data_that_cannot_be_used(
    make: Callable[[Path], Path], wanted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, data = plain(tmp_path), make(tmp_path)
    said = refused([str(model), "--calibrate", str(data)], tmp_path / "q.onnx", capsys)
    assert wanted in said
    assert said.count("\n") == 1


def unknown_operator(folder: Path) -> Path:
    model = Float(3, 8, 8)
    model.conv(3, 4, 1, 1)
    model.add("LRN", model.last, size=3)
    model.conv(4, 4, 1, 1)
    return model.save(folder / "m.onnx")


def external(folder: Path) -> Path:
    """Its weights were left behind."""
    proto = onnx.load(str(plain(folder)))
    onnx.save(proto, str(folder / "outside.onnx"), save_as_external_data=True,
              location="weights.bin", size_threshold=0)  # fmt: skip
    (folder / "weights.bin").unlink()
    return folder / "outside.onnx"


def stride_0(folder: Path) -> Path:
    model = Float(3, 8, 8)
    model.add("MaxPool", model.last, kernel_shape=[2, 2], strides=[2, 0])
    return model.save(folder / "m.onnx")


def margin(folder: Path) -> Path:
    model = Float(3, 8, 8)
    model.conv(3, 4, 3, 3, pads=[1, 1 << 31, 1, 1])
    return model.save(folder / "m.onnx")


def too_large(folder: Path) -> Path:
    """No part of it is large, but the result of one operator."""
    model = Float(3, 8, 8)
    model.conv(3, 4, 3, 3, pads=[2000, 2000, 2000, 2000])
    return model.save(folder / "m.onnx")


def elsewhere(folder: Path) -> Path:
    """Weights in a file outside of the model's folder."""
    (folder / "weights").mkdir()
    (folder / "weights" / "w.bin").write_bytes(bytes(4096))
    proto = onnx.load(str(plain(folder)))
    for tensor in proto.graph.initializer:
        onnx.external_data_helper.set_external_data(tensor, "../../weights/w.bin", 0, 16)
        tensor.ClearField("raw_data")
    (folder / "elsewhere.onnx").write_bytes(proto.SerializeToString())
    return folder / "elsewhere.onnx"


def open_sizes(folder: Path) -> Path:
    proto = onnx.load(str(plain(folder)))
    proto.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "rows"
    onnx.save(proto, str(folder / "open.onnx"))
    return folder / "open.onnx"


def other_range(folder: Path) -> Path:
    """A model quantised for inputs up to 100."""
    model = Float(3, 8, 8)
    step, zero = model.real(100 / 127), model.constant(np.zeros((), np.int8))
    whole = model.add("QuantizeLinear", "x", step, zero)
    model.conv(3, 4, 1, 1, source=model.add("DequantizeLinear", whole, step, zero))
    return model.save(folder / "m.onnx")


def rubbish(folder: Path) -> Path:
    (folder / "rubbish.onnx").write_bytes(b"\x08\x01nonsense" * 40)
    return folder / "rubbish.onnx"


def two_inputs(folder: Path) -> Path:
    model = Float(3, 8, 8)
    model.add("Add", "x", "y")
    model.conv(3, 4, 3, 3)
    proto = onnx.load(str(model.save(folder / "two.onnx")))
    second = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, (1, 3, 8, 8))
    proto.graph.input.append(second)
    onnx.save(proto, str(folder / "two.onnx"))
    return folder / "two.onnx"


def infinite(folder: Path) -> Path:
    model = Float(3, 8, 8)
    model.add("Conv", "x", model.constant(np.full((4, 3, 1, 1), np.inf, np.float32)))
    return model.save(folder / "m.onnx")


def nothing(folder: Path) -> Path:
    model = Float(3, 8, 8)
    model.add("Identity", "x")
    return model.save(folder / "m.onnx")


MODELS: list[tuple[Callable[[Path], Path], str]] = [
    (unknown_operator, "LRN"),
    (external, "which is not there; put it beside the model"),
    (stride_0, "strides are [2, 0]; from 1 to 4096 is possible"),
    (margin, "from -4096 to 4096 is possible"),
    (too_large, "its result of 4x4006x4006 is too large; at most 16777216 values"),
    (elsewhere, "outside of the model's folder"),
    (open_sizes, "only the batch may be open"),
    (other_range, "calibration data reaches 0.9"),
    (rubbish, "not a readable ONNX model"),
    (two_inputs, "it has 2 inputs"),
    (infinite, "not finite"),
    (nothing, "is the input itself"),
    (lambda folder: folder / "none.onnx", "there is no such ONNX file"),
]


@pytest.mark.parametrize(("make", "wanted"), MODELS)
def test_models_that_cannot_be_used(
    make: Callable[[Path], Path], wanted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, model = good(tmp_path), make(tmp_path)
    said = refused([str(model), "--calibrate", str(data)], tmp_path / "q.onnx", capsys)
    assert wanted in said
    assert said.count("\n") == 1 or make is unknown_operator  # which is a list


def test_flat_data_in_front_of_what_is_unknown_is_in_the_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Float(3, 8, 8)
    model.conv(3, 4, 1, 1)
    model.add("Flatten", model.last)
    model.add("LpNormalization", model.last, axis=1)
    model.add("Add", model.last, model.add("Gemm", model.last, model.random(256, 256)))
    assert main([str(model.save(tmp_path / "m.onnx"))]) == 2
    said = capsys.readouterr().err
    assert "LpNormalization" in said
    assert "flat data that no linear layer reads" in said


def test_operators_on_integers_are_listed_with_the_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What they make of the channels is not known, so that a batch norm behind does not match."""
    model = Float(3, 8, 8)
    model.add("QLinearConv", "x")
    model.add("BatchNormalization", model.last, *(model.real(*[1.0] * 8) for _ in range(4)))
    model.conv(3, 4, 1, 1)
    assert main([str(model.save(tmp_path / "m.onnx"))]) == 2
    said = capsys.readouterr().err
    assert "quantise it with quant_format=QuantFormat.QDQ" in said
    assert "batch norm of 8 channels" in said


def test_without_data_it_says_whether_anything_stands_in_the_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(plain(tmp_path))]) == 2
    assert "the chip has all it needs; give inputs with --calibrate" in capsys.readouterr().err


def test_a_place_that_takes_no_file_is_refused_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, data = plain(tmp_path), good(tmp_path)
    (tmp_path / "no").touch()
    out = tmp_path / "no" / "q.onnx"
    assert main([str(model), "--calibrate", str(data), "-o", str(out)]) == 2
    said = capsys.readouterr()
    assert f"cannot write {out}: " in said.err
    assert "..." not in said.err


def normed(folder: Path, trained: bool = True) -> Path:
    """A convolution and a batch norm whose statistics are those of inputs of -1 to 1."""
    model = Float(3, 8, 8)
    weight = np.random.default_rng(1).normal(0, 0.4, (4, 3, 1, 1)).astype(np.float32)
    model.add("Conv", "x", model.constant(weight))
    variance = (weight[:, :, 0, 0] ** 2).sum(1) / 3 if trained else np.ones(4)
    mean = np.full(4, 0.01 if trained else 0.0)
    ones, zeros = model.real(1, 1, 1, 1), model.real(0, 0, 0, 0)
    model.add("BatchNormalization", model.last, ones, zeros, model.real(*mean),
              model.real(*variance))  # fmt: skip
    model.add("Relu")
    return model.save(folder / f"normed{trained}.onnx")


@pytest.mark.parametrize(("factor", "refusal"), [(1, ""), (4, ""), (127.5, "127 times as far"),
                                                 (1 / 255, "0.00391 times")])  # fmt: skip
def test_data_unlike_that_of_training_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], factor: float, refusal: str
) -> None:
    data = np.random.default_rng(0).uniform(-1, 1, (16, 3, 8, 8)) * factor
    np.save(tmp_path / "data.npy", data.astype(np.float32))
    arguments = [str(normed(tmp_path)), "--calibrate", str(tmp_path / "data.npy")]
    if refusal:
        said = refused(arguments, tmp_path / "q.onnx", capsys)
        assert refusal in said
        assert "by the statistics of" in said
    else:
        assert main([*arguments, "-o", str(tmp_path / "q.onnx")]) == 0


def test_large_inputs_without_any_statistics_are_remarked_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = np.random.default_rng(0).uniform(0, 255, (16, 3, 8, 8)).astype(np.float32)
    np.save(tmp_path / "data.npy", data)
    for model in (plain(tmp_path), normed(tmp_path, trained=False)):
        arguments = [str(model), "--calibrate", str(tmp_path / "data.npy")]
        assert main([*arguments, "-o", str(tmp_path / "q.onnx")]) == 0
        assert "nothing in the model says whether" in capsys.readouterr().out
