"""Lifting: every recipe runs a few steps, networks and losses, tables, inference, bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ai8x_models.student_file import load_student, save_student
from ai8x_models.students import Student
from common.errors import UserError
from distill.__main__ import main
from distill.tasks.lift import loss as losses
from distill.tasks.lift.lifters import load
from distill.tasks.lift.networks import KeypointViT, LiftTransformer, save_network
from distill.tasks.lift.skeleton import NUM_JOINTS
from tests.helpers import lift_motion

FOLDER = Path(__file__).resolve().parents[4] / "distill" / "tasks" / "lift" / "recipes"
RECIPES = sorted(FOLDER.glob("*.yaml"))
STUDENTS = ("lift", "lift-qat")


@pytest.fixture(scope="module")
def motion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lift_motion.write(tmp_path_factory.mktemp("motion") / "m.npz")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("teacher") / "teacher.pth.tar"
    save_network(LiftTransformer(8, 1, 2), path, 0, {})
    return path


def quick(motion: Path, out: Path) -> list[str]:
    sets = f"[{{annotations: '{motion}'}}]"
    return [
        f"train={sets}", f"validation={sets}", f"out={out}", "epochs=1", "samples_per_epoch=8",
        "batch=4", "validate_every=1", "accelerator=cpu", "warmup_steps=1",
    ]  # fmt: skip


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_runs_a_few_steps(
    recipe: Path, motion: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = quick(motion, tmp_path / "run")
    verb = "student" if recipe.stem in STUDENTS else "teacher"
    if verb == "student":
        settings += [f"teacher={teacher}", "start_from=''"]
    else:
        settings += ["width=8", "depth=1", "heads=2"]
    if recipe.stem == "pretrain":
        settings.append("self_supervision.adversarial=0.1")
    assert main(["lift", verb, "--config", str(recipe), *settings]) == 0
    said = capsys.readouterr().out
    assert "epoch 1/1: loss " in said
    assert ("loss without labels" if recipe.stem == "pretrain" else "MPJPE (mm)") in said
    path = tmp_path / "run" / f"{verb}.pth.tar"
    if recipe.stem == "lift-qat":
        assert load_student(path)[0].mode == "qat"
        assert main(["lift", "quantize", str(path), str(tmp_path / "q.pth.tar")]) == 0
        assert load(tmp_path / "q.pth.tar").name.endswith("(integer)")
    elif recipe.stem != "pretrain":
        assert load(path)(torch.zeros(3, load(path).window, 17, 2)).shape == (3, 17, 3)


@pytest.mark.parametrize("mapping", ["2d-2d", "3d-3d"])
def test_the_vit_maps_2d_to_2d_and_3d_to_3d(motion: Path, tmp_path: Path, mapping: str) -> None:
    settings = [*quick(motion, tmp_path / "run"), f"mapping={mapping}", "width=8", "depth=1"]
    recipe = str(FOLDER / "vit.yaml")
    assert main(["lift", "teacher", "--config", recipe, *settings]) == 0
    with pytest.raises(UserError, match="lifting maps 2 to 3"):
        load(tmp_path / "run" / "teacher.pth.tar")


@pytest.mark.parametrize("kind", [LiftTransformer, KeypointViT])
def test_networks_refuse_other_shapes_and_use_the_whole_window(
    kind: type[LiftTransformer] | type[KeypointViT],
) -> None:
    torch.manual_seed(0)
    network = kind(8, 1, 2, window=3).eval()
    view = torch.randn(2, 3, 17, 2)
    pose = network(view)
    assert pose.shape == (2, 17, 3)
    assert not pose[:, 0].any()
    changed = view.clone()
    changed[:, 0] += 1
    assert not torch.allclose(network(changed), pose)
    with pytest.raises(UserError, match=r"shape \[N, 3, 17, 2\] .* found \[2, 2, 17, 2\]"):
        network(view[:, :2])


def test_the_vit_is_counted_layer_by_layer(tmp_path: Path) -> None:
    network = KeypointViT(width=8, depth=2, heads=2)
    save_network(network, tmp_path / "vit.pth.tar", 0, {"mapping": "2d-3d"})
    tokens, width = 1 + NUM_JOINTS, 8
    layer = tokens * width * width * (4 + 2 * 4) + 2 * tokens * tokens * width
    ends = NUM_JOINTS * 2 * width + NUM_JOINTS * width * 3 + width * NUM_JOINTS * 3
    assert load(tmp_path / "vit.pth.tar").macs == 2 * layer + ends


def test_relations_in_the_skeleton_change_attention() -> None:
    torch.manual_seed(0)
    network = LiftTransformer(8, 1, 2).eval()
    view = torch.randn(1, 1, 17, 2)
    before = network(view)
    network.encoder[0].joints.relation.data[1] = 3.0  # look at neighbours
    assert not torch.allclose(network(view), before)


def test_losses_without_labels_vanish_for_the_true_pose() -> None:
    world = torch.from_numpy(lift_motion.poses(8))
    pose = world - world[:, :1]
    pose = pose @ losses.view_rotation(*torch.zeros(3, 1))[0].T
    turned, seen = losses.reproject(pose, losses.random_rotation(8))
    assert torch.allclose(turned[..., :2], seen, atol=1e-5)
    up = pose[:, 10, 1] < pose[:, 3, 1]
    assert torch.equal(turned[:, 10, 1] < turned[:, 3, 1], up)
    assert float(losses.limb_symmetry(pose)) < 1e-3
    assert float(losses.limb_spread(pose)) < 1e-3
    bent = pose.clone()
    bent[:, 6] *= 1.5
    assert float(losses.limb_symmetry(bent)) > 0.02
    assert float(losses.supervised(pose, pose, 0.5)) == 0


def test_the_critic_and_its_opponent_get_opposite_gradients() -> None:
    critic = losses.Critic(8)
    guessed = torch.randn(4, NUM_JOINTS, 2, requires_grad=True)
    critic.loss(torch.randn(4, NUM_JOINTS, 2), guessed).backward()
    plain = guessed.detach().clone().requires_grad_()
    torch.nn.functional.softplus(critic(plain)).mean().backward()
    assert guessed.grad is not None
    assert plain.grad is not None
    assert torch.allclose(guessed.grad, -plain.grad)


def test_networks_and_baselines_are_compared(
    motion: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pictures"
    arguments = ["--motion", str(motion), "--train", str(motion), "--pictures", str(folder)]
    assert main(["lift", "compare", str(teacher), *arguments]) == 0
    said = capsys.readouterr().out
    assert "mean pose" in said
    assert "linear regression" in said
    assert "r_ankle" in said
    assert len(list(folder.glob("*.png"))) == 6
    assert main(["lift", "eval", str(teacher), *arguments[:4], "--limit", "0"]) == 2


def test_keypoint_files_are_lifted(
    teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.uniform(0, 99, (17, 2)), np.full((17, 1), 2)], axis=1)
    entry = {"id": 4, "image_id": 2, "keypoints": values.reshape(-1).tolist()}
    folder = tmp_path / "found"
    folder.mkdir()
    (folder / "a.json").write_text(json.dumps({"annotations": [entry]}))
    (folder / "b.json").write_text(json.dumps({"annotations": []}))
    out = tmp_path / "out"
    assert main(["lift", "infer", str(teacher), str(folder), "-o", str(out), "--pictures"]) == 0
    assert "a.json: 1 pose lifted" in capsys.readouterr().out
    pose = np.array(json.loads((out / "a.3d.json").read_text())["annotations"][0]["pose3d"])
    assert pose.shape == (17, 3)
    assert (out / "a.4.png").is_file()
    sample = tmp_path / "input.npy"
    assert main(["lift", "sample", str(folder / "a.json"), "-o", str(sample)]) == 0
    assert np.load(sample).shape == (32, 1, 1)
    np.savez(tmp_path / "maps.npz", output_0=np.arange(48).reshape(48, 1, 1))
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"outputs": [{"name": "pose3d", "step": 0.01}]}))
    shown = ["--maps", str(tmp_path / "maps.npz"), "--report", str(report)]
    picture = tmp_path / "p.png"
    assert main(["lift", "show", str(folder / "a.json"), *shown, "-o", str(picture)]) == 0
    assert picture.is_file()


def test_what_belongs_elsewhere_is_refused(
    motion: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "pose.pth.tar"
    save_student(Student("tiny"), other, 0, {})
    assert main(["lift", "eval", str(other), "--motion", str(motion), "--train", "none"]) == 2
    assert "input of shape [3, 128, 128] and 57 outputs, expected" in capsys.readouterr().err
    settings = [*quick(motion, tmp_path / "run"), "window=30", "width=8", "depth=1"]
    assert main(["lift", "teacher", *settings]) == 2
    assert "expected sequences of at least 30 poses" in capsys.readouterr().err
    for wrong, said in (
        ("kind=mlp", "it must be one of transformer, vit"),
        ("mapping=2d-2d", "the transformer maps 2d-3d only"),
        ("views.distance=[1, 2]", "at least 2 are needed"),
        ("heads=3", "width a multiple of heads"),
        ("window=0", "window is 0; it must be at least 1"),
        ("paf_weight=2", "'paf_weight' is no setting of this run"),
        ("sigma=7", "'sigma' is no setting of this run"),
        ("size=128", "'size' is no setting of this run"),
        ("positive_weight=1", "'positive_weight' is no setting of this run"),
        ("augment.flip=0.5", "'augment' is no setting of this run"),
        ("workers=2", "'workers' is no setting of this run"),
        ("train=[{images: pictures}]", "'train[0].images' is no setting of this run"),
        ("bone_wieght=1", "the nearest is 'bone_weight'"),
    ):
        assert main(["lift", "teacher", *quick(motion, tmp_path / "run"), wrong]) == 2
        assert said in capsys.readouterr().err
    assert main(["lift", "student", *quick(motion, tmp_path / "run"), "window=3"]) == 2
    assert "the chip student sees one pose at a time" in capsys.readouterr().err
