"""The Lightweight OpenPose teacher: structure, parameter count, checkpoints from outside."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ai8x_models.student_file import write_atomically
from common.errors import UserError
from distill.tasks.pose.teachers.openpose import (
    LightweightOpenPose,
    load_teacher,
    save_teacher,
)


@pytest.fixture(scope="module")
def teacher() -> LightweightOpenPose:
    torch.manual_seed(0)
    return LightweightOpenPose(stages=1).eval()


def test_parameter_count_with_one_refinement_stage(teacher: LightweightOpenPose) -> None:
    assert sum(p.numel() for p in teacher.parameters()) == 4_091_698


@pytest.mark.parametrize("stages", [0, 1, 3])
def test_every_stage_gives_57_maps_at_stride_8(stages: int) -> None:
    with torch.no_grad():
        maps = LightweightOpenPose(stages).eval()(torch.zeros(1, 3, 64, 96))
    assert [m.shape for m in maps] == [(1, 57, 8, 12)] * (stages + 1)


def test_keys_are_the_published_ones(teacher: LightweightOpenPose) -> None:
    keys = teacher.state_dict().keys()
    assert {
        "model.0.0.weight", "model.0.1.running_var", "model.7.0.weight", "model.11.4.bias",
        "cpm.align.0.bias", "cpm.trunk.2.2.weight", "cpm.conv.0.weight",
        "initial_stage.trunk.2.0.bias", "initial_stage.pafs.1.0.weight",
        "refinement_stages.0.trunk.4.initial.0.weight",
        "refinement_stages.0.trunk.0.trunk.1.0.bias",
        "refinement_stages.0.trunk.0.trunk.1.1.running_mean",
        "refinement_stages.0.heatmaps.0.0.weight",
    } <= set(keys)  # fmt: skip
    assert "model.0.0.bias" not in keys
    assert teacher.model[7][0].dilation == (2, 2)


def published(teacher: LightweightOpenPose, path: Path, prefix: str = "") -> Path:
    """A file as the public implementation's training writes it."""
    state = {prefix + key: value for key, value in teacher.state_dict().items()}
    write_atomically({"state_dict": state, "iter": 1, "current_epoch": 2}, path)
    return path


@pytest.mark.parametrize("prefix", ["", "module."])
def test_published_checkpoint_takes_our_input(
    teacher: LightweightOpenPose, tmp_path: Path, prefix: str
) -> None:
    loaded, _ = load_teacher(published(teacher, tmp_path / "coco.pth", prefix))
    pixels = torch.randint(0, 256, (1, 3, 64, 64)).float()
    with torch.no_grad():
        theirs = teacher((pixels.flip(1) - 128) / 256)
        ours = loaded((pixels - 128) / 128)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_own_checkpoint_round_trip(teacher: LightweightOpenPose, tmp_path: Path) -> None:
    path = tmp_path / "teacher.pth.tar"
    save_teacher(teacher, path, 3, {"pck": 0.5})
    loaded, data = load_teacher(path)
    assert data["extras"]["pck"] == 0.5
    for key, value in teacher.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("cpm.conv.0.weight"), r"1 missing \(cpm\.conv\.0\.weight first\)"),
        (lambda s: s.pop("cpm.align.0.weight"), "no Lightweight OpenPose checkpoint"),
        (lambda s: s.update(extra=torch.zeros(1)), r"1 unknown \(extra first\)"),
        (lambda s: s.update({"model.0.0.weight": torch.zeros(32, 1, 3, 3)}), "another shape"),
        (lambda s: s.update({"cpm.conv.0.bias": 3}), "no plain tensor"),
    ],
)
def test_foreign_keys_are_one_sentence(
    teacher: LightweightOpenPose, tmp_path: Path, change, said: str
) -> None:
    state = dict(teacher.state_dict())
    change(state)
    write_atomically({"state_dict": state}, tmp_path / "odd.pth")
    with pytest.raises(UserError, match=said):
        load_teacher(tmp_path / "odd.pth")


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(UserError, match="-1 refinement stages"):
        LightweightOpenPose(stages=-1)
