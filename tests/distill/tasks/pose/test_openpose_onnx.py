"""The Lightweight OpenPose teacher, read from the Open Model Zoo's ONNX form of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from common.errors import UserError
from distill.__main__ import main
from distill.tasks.pose.evaluation.evaluate import load_network
from distill.tasks.pose.teacher_maps import load_any_teacher
from distill.tasks.pose.teachers.openpose import (
    LightweightOpenPose,
    load_teacher,
    save_teacher,
)

WIDTH = 8
BLOCKS = {
    "2_1": (64, 1, 1), "2_2": (128, 2, 1), "3_1": (128, 1, 1), "3_2": (256, 2, 1),
    "4_1": (256, 1, 1), "4_2": (512, 1, 1), "5_1": (512, 1, 2), "5_2": (512, 1, 1),
    "5_3": (512, 1, 1), "5_4": (512, 1, 1), "5_5": (512, 1, 1),
}  # fmt: skip


class Zoo:
    """The published graph with random weights, narrow behind the backbone."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(1)
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}

    def op(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [name], name="", **attributes))
        return name

    def constant(self, name: str, values: Any) -> str:
        self.constants[name] = np.asarray(values, np.float32)
        return name

    def conv(
        self, x: str, name: str, shape: tuple[int, int, int], act: str | None = "Relu",
        stride: int = 1, dilation: int = 1, end: str = "/WithoutBiases",
    ) -> str:  # fmt: skip
        outputs, inputs, side = shape
        group = outputs if inputs == 1 else 1
        spread = (1.5 / (inputs * side * side)) ** 0.5
        weight = self.rng.normal(0, spread, (outputs, inputs, side, side))
        pad = dilation * (side // 2)
        made = self.op(
            "Conv", [x, self.constant(f"{name}.w", weight)], name + end, group=group,
            pads=[pad] * 4, strides=[stride] * 2, dilations=[dilation] * 2,
        )  # fmt: skip
        offset = self.constant(f"{name}.c", self.rng.normal(0, 0.1, (1, outputs, 1, 1)))
        out = self.op("Add", [made, offset], f"{name}/add_")
        return self.op(act, [out], f"relu/{name}") if act else out

    def backbone(self, x: str) -> str:
        x = self.conv(x, "conv1", (32, 3, 3), stride=2, end="")
        before = 32
        for name, (outputs, stride, dilation) in BLOCKS.items():
            x = self.conv(
                x, f"conv{name}/dw", (before, 1, 3), stride=stride, dilation=dilation, end=""
            )
            x = self.conv(x, f"conv{name}/sep", (outputs, before, 1), end="")
            before = outputs
        return x

    def context(self, x: str) -> str:
        w, p = WIDTH, "conv4_3_CPM/"
        aligned = self.conv(x, p + "al", (w, 512, 1), "Elu")
        x = self.conv(aligned, p + "red", (w, w, 1), "Elu")
        for block, point in enumerate(("dw1/1x1", "dw2/1x1", "inc"), 1):
            x = self.conv(x, f"{p}dw{block}", (w, 1, 3), "Elu", end="")
            x = self.conv(x, p + point, (w, w, 1), "Elu")
        return self.conv(self.op("Add", [aligned, x], p + "res"), "conv4_4_CPM", (w, w, 3))

    def initial(self, features: str) -> list[str]:
        w, x = WIDTH, features
        for index in (1, 2, 3):
            x = self.conv(x, f"conv5_{index}_CPM_L1", (w, w, 3))
        heads = []
        for branch, outputs in (("L1", 38), ("L2", 19)):
            hidden = self.conv(x, f"conv5_4_CPM_{branch}", (512, w, 1))
            heads.append(self.conv(hidden, f"conv5_5_CPM_{branch}", (outputs, 512, 1), None))
        return heads  # affinities, heatmaps

    def refinement(self, x: str) -> list[str]:
        w, inputs = WIDTH, WIDTH + 57
        for block in range(1, 6):
            name = f"Mconv{block}_stage2_L1/"
            first = self.conv(x, name + "sq", (w, inputs, 1))
            second = self.conv(first, name + "3x3", (w, w, 3))
            third = self.conv(second, name + "3x3/2", (w, w, 3), dilation=2)
            x, inputs = self.op("Add", [first, third], name + "res"), w
        heads = []
        for branch, outputs in (("L2", 19), ("L1", 38)):
            hidden = self.conv(x, f"Mconv6_stage2_{branch}", (w, w, 1))
            heads.append(self.conv(hidden, f"Mconv7_stage2_{branch}", (outputs, w, 1), None))
        return heads  # heatmaps, affinities

    def build(self) -> onnx.ModelProto:
        scale = self.constant("scale", np.full((1, 1, 1, 1), 257 / 65536))
        offset = self.constant("offset", np.full((1, 3, 1, 1), -257 / 512))
        x = self.op("Add", [self.op("Mul", ["data", scale], "scaled"), offset], "shifted")
        features = self.context(self.backbone(x))
        joined = self.op("Concat", [*self.initial(features), features], "concat_stage2", axis=1)
        self.op("Concat", self.refinement(joined), "maps", axis=1)
        return self.model()

    def model(self) -> onnx.ModelProto:
        weights = [numpy_helper.from_array(v, n) for n, v in self.constants.items()]
        data = helper.make_tensor_value_info("data", TensorProto.FLOAT, ["n", 3, "h", "w"])
        maps = helper.make_tensor_value_info("maps", TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "zoo", [data], [maps], weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("zoo") / "small.onnx"
    onnx.save(Zoo().build(), path)
    return path


def answers(path: Path, network: Any, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maps of ONNX Runtime and of the torch network, of RGB pixels [n, h, w, 3]."""
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    chw = pixels.transpose(0, 3, 1, 2).astype(np.float32)
    session = runtime.InferenceSession(str(path), options)
    theirs = session.run(None, {"data": np.ascontiguousarray(chw[:, ::-1])})[0]
    with torch.no_grad():
        ours = network((torch.from_numpy(chw) - 128) / 128)[-1].numpy()
    return theirs, ours


def test_a_small_file_of_the_same_layers_computes_the_same(small: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3))
    theirs, ours = answers(small, load_any_teacher(small), pixels)
    assert theirs.std() > 0.01
    np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=1e-4)


def test_the_published_file_computes_the_same(shared_dir: Path, tmp_path: Path) -> None:
    path = shared_dir / "teachers" / "lightweight-openpose.onnx"
    if not path.is_file():
        pytest.skip("the pretrained teacher is not there (teachers/lightweight-openpose.onnx)")
    teacher = load_any_teacher(path)
    assert isinstance(teacher, LightweightOpenPose)
    assert (teacher.stages, teacher.width, teacher.reduced) == (1, 128, True)
    picture = sorted((shared_dir / "data" / "coco_mini" / "val").glob("*.jpg"))[0]
    read = cv2.cvtColor(cv2.imread(str(picture)), cv2.COLOR_BGR2RGB)
    pixels = cv2.resize(read, (256, 192), interpolation=cv2.INTER_AREA)[None]
    theirs, ours = answers(path, teacher, pixels)
    assert theirs[0, :18].max() > 0.3  # somebody is seen
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    save_teacher(teacher, tmp_path / "teacher.pth.tar", 0, {})
    again = load_any_teacher(tmp_path / "teacher.pth.tar")
    for key, value in teacher.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key
    np.testing.assert_array_equal(answers(path, again, pixels)[1], ours)


def test_saved_as_a_checkpoint_it_is_the_same_network(small: Path, tmp_path: Path) -> None:
    first, _ = load_teacher(small)
    save_teacher(first, tmp_path / "again.pth.tar", 3, {})
    second = load_network(tmp_path / "again.pth.tar")
    assert isinstance(second, LightweightOpenPose)
    assert second.reduced
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for a, b in zip(first(x), second(x), strict=True):
            assert torch.equal(a, b)


def test_it_is_trained_as_it_stands(small: Path) -> None:
    """No layer behaves differently in training, every weight takes part, and the loss falls."""
    teacher, _ = load_teacher(small)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        before = teacher.eval()(x)[-1]
        assert torch.equal(teacher.train()(x)[-1], before)
    optimizer = torch.optim.AdamW(teacher.parameters(), lr=1e-4)
    wanted, losses = torch.zeros_like(before), []
    for _ in range(5):
        optimizer.zero_grad()
        loss = sum(((maps - wanted) ** 2).mean() for maps in teacher(x))
        loss.backward()
        assert all(p.grad is not None for p in teacher.parameters())
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]


def _without(name: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        node = next(n for n in model.graph.node if n.output[0].startswith(name))
        node.output[0] = "other"

    return change


def _constant(name: str, values: np.ndarray) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        tensor = next(t for t in model.graph.initializer if t.name == name)
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))

    return change


def _external(model: onnx.ModelProto) -> None:
    tensor = next(t for t in model.graph.initializer if t.name == "conv1.w")
    tensor.data_location = TensorProto.EXTERNAL


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_without("conv5_3/dw"), "it has no convolution conv5_3/dw; give"),
        (_constant("conv1.c", np.zeros((1, 7, 1, 1))), "conv1 has 32 outputs and 7 offsets"),
        (_constant("conv1.w", np.zeros((3, 3))), "the kernel of conv1 is no constant of four"),
        (_constant("conv2_2/dw.w", np.full((64, 1, 3, 3), np.nan)), "values that are no numbers"),
        (_constant("offset", np.full((1, 3, 1, 1), -0.4)), "a pixel of 128 is not zero"),
        (_constant("offset", np.arange(3.0)[None, :, None, None]), "colours are scaled"),
        (_constant("conv2_1/sep.w", np.zeros((9, 32, 1, 1))), "conv2_1/sep has 9 outputs and 64"),
        (_constant("conv2_1/sep.w", np.zeros((64, 9, 1, 1))), r"of another shape \(model.1.3"),
        (_external, "conv1.w is stored in another file"),
    ],
)
def test_another_network_is_one_sentence(
    small: Path, tmp_path: Path, change: Callable[[onnx.ModelProto], None], said: str
) -> None:
    model = onnx.load(small)
    change(model)
    path = tmp_path / "odd.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match=said) as error:
        load_any_teacher(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no model", b"\x08\x09"])
def test_no_onnx_file_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.onnx"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"is no ONNX file|has 0 nodes"):
        load_any_teacher(path)
    with pytest.raises(UserError, match="cannot read"):
        load_any_teacher(tmp_path / "nowhere.onnx")


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.onnx"
    with path.open("wb") as file:
        file.truncate((256 << 20) + 1)
    with pytest.raises(UserError, match="has 268,435,457 bytes; a teacher's ONNX file has at most"):
        load_any_teacher(path)


def test_a_teacher_starts_from_it_and_a_student_learns_from_it(small: Path, tmp_path: Path) -> None:
    settings = [
        "train=[{annotations: 'synthetic:4'}]", "validation=[{annotations: 'synthetic:2'}]",
        "epochs=1", "samples_per_epoch=2", "batch=2", "workers=0", "size=64", "warmup_steps=1",
        "precision=32-true", "accelerator=cpu", "validate_every=1",
    ]  # fmt: skip
    trained = tmp_path / "teacher" / "teacher.pth.tar"
    assert main(["teacher", *settings, f"start_from={small}", f"out={trained.parent}"]) == 0
    before, (after, _) = load_teacher(small)[0].state_dict(), load_teacher(trained)
    assert after.reduced
    changed = [k for k, value in after.state_dict().items() if not torch.equal(value, before[k])]
    assert changed
    out = tmp_path / "student"
    student = ["student=tiny", f"teacher={small}", f"out={out}", "teacher_size=128"]
    recipe = tmp_path / "plain.yaml"
    recipe.write_text("kind: crops\n")
    assert main(["student", "--config", str(recipe), *settings, *student]) == 0
