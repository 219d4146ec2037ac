"""The compiler's command line, from the student to the project folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ai8x_models.students import SPECS
from synthesize.__main__ import main
from synthesize.compiler import compile_network
from synthesize.read import checkpoint
from tests.helpers.virtual import run_on_kit

HAND_PLACED_CYCLES = 1_156_833
FOUR_BITS = {"conv4", "conv5", "conv6", "conv7", "conv8", "cpm2", "cpm3"}


def seed_checkpoint(path: Path, bits: dict[str, int] | None = None, **changes: Any) -> Path:
    """Integer checkpoint of the seed student with random weights."""
    spec = SPECS["seed"]
    rng = np.random.default_rng(5)
    state: dict[str, torch.Tensor] = {}
    for layer in spec.layers:
        width = (bits or {}).get(layer.name, 4 if layer.name in FOUR_BITS else 8)
        top = 1 << (width - 1)
        shape = (layer.out_channels, layer.in_channels, layer.kernel, layer.kernel)
        weight = rng.integers(-top, top, shape)
        bias = rng.integers(-100, 100, layer.out_channels) * top
        state[f"{layer.name}.output_shift"] = torch.tensor([-5.0 if width == 8 else 0.0])
        state[f"{layer.name}.weight_bits"] = torch.tensor([float(width)])
        state[f"{layer.name}.op.weight"] = torch.tensor(weight.astype(np.float32))
        state[f"{layer.name}.op.bias"] = torch.tensor(bias.astype(np.float32))
    extras = {**spec.describe(), **changes}
    torch.save({"epoch": 0, "arch": "seed", "state_dict": state, "extras": extras}, path)
    return path


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seed_checkpoint(tmp_path_factory.mktemp("student") / "seed-q.pth.tar")


def test_student_needs_no_description(student: Path) -> None:
    compiled = compile_network(checkpoint.load(student))
    program = compiled.program
    assert program.cycles <= HAND_PLACED_CYCLES
    assert program.input_shape == (3, 128, 128)
    assert {out.name: out.shape for out in program.outputs} == {
        "heat_out": (19, 16, 16),
        "paf_out": (38, 16, 16),
    }
    sample = np.random.default_rng(0).integers(-128, 128, (3, 128, 128))
    outputs, cycles = run_on_kit(program, sample)
    assert cycles == program.cycles
    for name, values in compiled.known_answer(sample).items():
        np.testing.assert_array_equal(outputs[name], values)


def test_checksum_depends_on_the_weights(student: Path, tmp_path: Path) -> None:
    one = compile_network(checkpoint.load(student)).program
    again = compile_network(checkpoint.load(student)).program
    assert one.checksum == again.checksum
    data = torch.load(student, weights_only=True)
    data["state_dict"]["paf_out.op.weight"][0, 0] += 1 if data["state_dict"][
        "paf_out.op.weight"][0, 0] < 127 else -1  # fmt: skip
    torch.save(data, tmp_path / "other.pth.tar")
    assert compile_network(checkpoint.load(tmp_path / "other.pth.tar")).program.checksum != (
        one.checksum
    )


def test_compile_writes_project_and_report(
    student: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "project"
    assert main(["compile", str(student), "--out", str(out)]) == 0
    report = json.loads((out / "report.json").read_text())
    assert report["weight_bytes"]["limit"] == 442_368
    assert report["bias_bytes"]["limit"] == 2_048
    assert report["data_bytes"]["limit"] == 524_288
    assert report["kernel_words"]["limit"] == 768
    assert report["kernel_words"]["used"] <= 768
    assert report["cycles"] == sum(e["cycles"] for e in report["layers"]) + 1
    assert "weights.h" in {p.name for p in out.iterdir()}
    assert f"{report['cycles']:,} cycles" in capsys.readouterr().out


def test_show_is_stable(student: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(student)]) == 0
    first = capsys.readouterr().out
    assert main(["show", str(student)]) == 0
    assert capsys.readouterr().out == first
    assert "conv1 = conv2d k3x3 s2x2 p1x1" in first
    assert "input 12x64x64 fold 2" in first
    assert "conv1: in 0x0000000000000fff@" in first


def test_check_says_that_it_fits(student: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(student)]) == 0
    assert capsys.readouterr().out.endswith("fits\n")


def test_network_over_the_weight_budget(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    everything = {layer.name: 8 for layer in SPECS["seed"].layers}
    path = seed_checkpoint(tmp_path / "big.pth.tar", everything)
    out = tmp_path / "project"
    assert main(["compile", str(path), "--out", str(out)]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert message.count("\n") == 1
    assert "kernel words" in message
    assert "768" in message
    assert "use fewer weight bits" in message
    assert list(tmp_path.iterdir()) == [path]


def network(**change: Any) -> list[dict[str, Any]]:
    described = SPECS["seed"].describe()["network"]
    return [{**described[0], **change}, *described[1:]]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": None}, "does not describe its network (architecture seed)"),
        ({"network": [{"name": 3}]}, "must list layers with names"),
        ({"network": network(speed=2)}, "layer conv1: unknown key 'speed'"),
        ({"network": network(dilation=2)}, "only conv1d can be dilated"),
        ({"network": network(kernel=[5, 5])}, "layer conv1: its weights have kernel 3x3"),
        ({"network": network(stride=0)}, "'stride' must be one whole number or two"),
        ({"network": network(**{"in": ["conv9"]})}, "layer conv1: it reads 'conv9'"),
        ({"network": network(op="conv5d")}, "'op' is 'conv5d'"),
        ({"network": network(name="other")}, "layer other: the checkpoint holds no weights"),
        ({"network": network(act="tanh")}, "'act' is 'tanh'"),
        ({"network": network(pool=["mean", 2, 2])}, "'pool' must be kind"),
        ({"network": network()[:-1], "outputs": ["heat_out"]}, "holds weights of paf_out"),
        ({"network": network(pad=3)}, "layer conv1: padding 3 with kernel 3x3 is not possible"),
        ({"input": {"shape": [4, 128, 128]}}, "layer conv1: the weights expect 3 input channels"),
        ({"input": {"shape": [3, 0, 128]}}, "must be channels, rows, columns"),
        ({"outputs": ["nothing"]}, "names layers that do not exist"),
    ],
)
def test_unusable_students_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], words: str
) -> None:
    path = seed_checkpoint(tmp_path / "bad.pth.tar", **changes)
    assert main(["compile", str(path), "--out", str(tmp_path / "project")]) == 2
    message = capsys.readouterr().err
    assert words in message
    assert message.count("\n") == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compile", "missing.npz", "--out", "x"], "there is no such checkpoint file"),
        (["compile", "missing.npz"], "nothing to do; give --out"),
        (["compile", "net.yaml", "--out", "x"], "net.yaml: there is no such file"),
        (["compile", "a", "b", "c", "--out", "x"], "at most a network description"),
        (["compile", "{student}", "--out", "x", "--sample", "no.npy"], "not a readable .npy"),
        (["compile", "{student}", "--against", "no.npz"], "no readable trace"),
        (["compile", "no.yaml", "{student}", "--out", "x"], "there is no such file"),
    ],
)
def test_wrong_arguments(
    student: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    filled = [a.replace("{student}", str(student)) for a in arguments]
    assert main(filled) == 2
    message = capsys.readouterr().err
    assert words in message
    assert message.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (np.zeros((3, 128, 128), np.float32), "holds integers"),
        (np.zeros((3, 64, 64), np.int8), "the input has shape 3x64x64"),
        (np.full((3, 128, 128), 200, np.int16), "subtract 128 from pixels"),
        (np.array(["text"]), "holds integers"),
        (np.zeros((0, 128, 128), np.int8), "holds no numbers"),
    ],
)
def test_wrong_samples(
    student: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    sample: np.ndarray,
    words: str,
) -> None:
    np.save(tmp_path / "sample.npy", sample)
    arguments = ["--sample", str(tmp_path / "sample.npy"), "--out", str(tmp_path / "project")]
    assert main(["compile", str(student), *arguments]) == 2
    assert words in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["sample.npy"]


UNTRAINED = """\
arch: tiny
dataset: none
layers:
- name: conv1
  op: conv2d
  kernel_size: 3x3
  stride: 2
  in_dim: [128, 128]
  in_channels: 3
  out_channels: 32
  activate: ReLU
- {name: conv2, op: conv2d, max_pool: 2, pool_stride: 2, out_channels: 64, quantization: 4}
- {name: heat, op: conv2d, kernel_size: 1x1, pad: 0, out_channels: 19, output_width: 32}
"""


def test_untrained_network_without_placement_is_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(UNTRAINED)
    assert main(["check", str(path)]) == 0
    out = capsys.readouterr().out
    assert "115 of" in out.replace("  ", " ")  # biases of all three layers
    assert out.endswith("fits\n")
    path.write_text(UNTRAINED.replace("out_channels: 64", "out_channels: 800"))
    assert main(["check", str(path)]) == 2
    assert "layer conv2: 800 biased outputs exceed the 512" in capsys.readouterr().err


def test_untrained_network_needs_its_channel_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(UNTRAINED.replace(" out_channels: 64,", ""))
    assert main(["check", str(path)]) == 2
    assert "tiny.yaml:12: layer conv2: without a checkpoint" in capsys.readouterr().err


def test_description_without_placement_is_placed(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(UNTRAINED)
    rng = np.random.default_rng(3)
    state = {
        "conv1.op.weight": rng.integers(-128, 128, (32, 3, 3, 3)),
        "conv1.output_shift": np.array([-4]),
        "conv2.op.weight": rng.integers(-8, 8, (64, 32, 3, 3)),
        "heat.op.weight": rng.integers(-128, 128, (19, 64, 1, 1)),
    }
    compiled = compile_network(checkpoint.from_state_dict(state, "tiny.npz"), path)
    sample = rng.integers(-128, 128, (3, 128, 128))
    outputs, _ = run_on_kit(compiled.program, sample)
    np.testing.assert_array_equal(outputs["heat"], compiled.known_answer(sample)["heat"])
