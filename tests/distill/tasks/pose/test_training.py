"""Training on synthetic people: recipes, resume, teacher and distillation, bad ends."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ai8x_models.codec import flip_maps
from ai8x_models.student_file import load_student
from common.errors import UserError
from common.files import checksum, kept
from distill.__main__ import main
from distill.engine.recipe import load_recipe
from distill.engine.run import fit
from distill.people.crops import to_input
from distill.people.mixture import PoseData
from distill.tasks.pose.module import MapModule
from distill.tasks.pose.recipe import Recipe
from distill.tasks.pose.teacher_maps import (
    CacheKey,
    MapCache,
    TeacherMaps,
    flip_back,
    load_any_teacher,
    resize_maps,
    teacher_maps,
)
from distill.tasks.pose.teachers.openpose import LightweightOpenPose, load_teacher, save_teacher
from tests.helpers.tiny_training import TINY

ROOT = Path(__file__).resolve().parents[4]
RECIPES = (ROOT / "distill" / "tasks" / "pose" / "recipes").glob("*.yaml")
# Recipes of other kinds have tests of their own.
CONFIGS = sorted(
    path
    for path in RECIPES
    if path.stem != "transformer" and "kind: pictures" not in path.read_text()
)
PLAIN = Path(__file__).with_name("plain.yaml")


def run(stage: str, *settings: str) -> int:
    """The real command line; the quick settings come first, so that ``settings`` win."""
    kind = ["kind=crops"] if stage == "student" else []
    return main([stage, "--config", str(PLAIN), *kind, *TINY, *settings])


@pytest.fixture(scope="module")
def teacher_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("teacher") / "teacher.pth.tar"
    save_teacher(LightweightOpenPose(0), path, 0, {})
    return path


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_recipe_runs_through_the_command_line(
    config: Path,
    tmp_path: Path,
    teacher_file: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = [*TINY, f"out={tmp_path / 'run'}"]
    caplog.set_level("INFO")
    text = config.read_text()
    if "\nteacher:" in text:
        settings.append(f"teacher={teacher_file}")
    if "\nqat:" in text:
        settings += ["qat.calibration_images=2", "start_from=''"]
    stage = "teacher" if config.stem.startswith("teacher") else "student"
    assert main([stage, "--config", str(config), *settings]) == 0
    said = capsys.readouterr()
    assert f"{stage} written to {tmp_path / 'run'}" in caplog.text
    assert "epoch 1/1: loss " in said.out
    assert "validation PCK@0.2" in said.out
    assert "Tip" not in said.err + said.out
    assert "GPU available" not in said.err + said.out
    assert sorted(path.name for path in (tmp_path / "run").glob("*.pth.tar")) == [
        f"{stage}.pth.tar"
    ]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_resumed_run_ends_like_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    def train(folder: str) -> int:
        settings = [
            "student=tiny", "epochs=2", "decay_fraction=0", "warmup_steps=0",
            f"optimizer={optimizer}", "early_share=0.5", "early_size=32",
        ]  # fmt: skip
        return run("student", *settings, f"out={tmp_path / folder}")

    def killed(module: MapModule, maps: torch.Tensor, batch: dict[str, torch.Tensor]):
        if module.current_epoch == 1:
            raise UserError("killed in the second epoch")
        return whole_loss(module, maps, batch)

    assert train("whole") == 0
    whole_loss = MapModule.truth_loss
    with monkeypatch.context() as patch:
        patch.setattr(MapModule, "truth_loss", killed)
        assert train("parts") == 2
    assert not (tmp_path / "parts" / "student.pth.tar").exists()
    assert train("parts") == 0
    whole, parts = (
        load_student(tmp_path / folder / "student.pth.tar")[0].state_dict()
        for folder in ("whole", "parts")
    )
    for key, value in whole.items():
        assert torch.equal(value, parts[key]), key
    assert train("parts") == 0  # a finished run is not trained further
    again = load_student(tmp_path / "parts" / "student.pth.tar")[0].state_dict()
    assert torch.equal(again["conv1.op.weight"], whole["conv1.op.weight"])


def test_a_run_stops_early_and_keeps_the_best(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["student=tiny", "epochs=9", "patience=1", "learning_rate=1e-9"]
    assert run("student", *settings, f"out={tmp_path}") == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    assert 2 <= len(lines) < 9


def test_a_rate_without_end_is_refused() -> None:
    with pytest.raises(UserError, match="learning_rate is inf; it must be positive and finite"):
        load_recipe(None, ["learning_rate=.inf"], Recipe)


def test_a_folder_that_cannot_be_made_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    recipe = SimpleNamespace(out=str(tmp_path / "file" / "run"))
    with pytest.raises(UserError, match=r"cannot write .*run: .*file, not a folder"):
        fit(torch.nn.Linear(1, 1), SimpleNamespace(), recipe)  # type: ignore[arg-type]


def test_a_loss_that_is_not_a_number_stops_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run("student", "student=tiny", "positive_weight=1e39", f"out={tmp_path}")
    assert code == 2
    error = capsys.readouterr().err
    assert re.match(r"error: the loss is (nan|inf) in epoch 1, step 1; lower learning_rate", error)
    assert not (tmp_path / "student.pth.tar").exists()


def test_a_full_disk_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import common.files as files

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    assert run("student", "student=tiny", f"out={tmp_path}") == 2
    assert "cannot write the checkpoint" in (error := capsys.readouterr().err)
    assert "No space left on device" in error
    assert not [path for path in tmp_path.rglob("*") if ".part" in path.name]


def test_a_run_goes_on_with_what_it_began_with_and_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["student=tiny", f"out={tmp_path}"]
    assert run("student", *settings, "epochs=1") == 0
    capsys.readouterr()
    assert run("student", *settings, "epochs=2", "learning_rate=0.01") == 2
    error = capsys.readouterr().err
    assert f"the run of {tmp_path / 'last.ckpt'} began with learning_rate=" in error
    assert "(now 0.01)" in error
    with kept(tmp_path, "run", "wait"):
        assert run("student", *settings, "epochs=2") == 2
    assert f"another run is writing to {tmp_path}; wait until it" in capsys.readouterr().err
    assert run("student", *settings, "epochs=2") == 0
    assert "epoch 2/2" in capsys.readouterr().out


def test_a_damaged_checkpoint_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "last.ckpt").write_bytes(b"damaged")
    assert run("student", "student=tiny", f"out={tmp_path}") == 2
    assert f"cannot resume from {tmp_path / 'last.ckpt'}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("teacher_share=1.5", "teacher_share is 1.5"),
        ("teacher_cache=x", "augment_variants is 0"),
        ("samples_per_epoch=1", "less than one batch"),
        ("size=100", "multiple of 8"),
        ("train=[]", "no data set under 'train'"),
        ("validation=[]", "no data set under 'validation'"),
        ("train=[{annotations: 'synthetic:x'}]", "written synthetic:N"),
        ("teacher=nowhere.pth", "nowhere.pth"),
        ("augment.whole=1.5", "augment.whole is 1.5"),
        ("augment.scale=[2,1]", "augment.scale is [2.0, 1.0]"),
        ("student=none", "student 'none' is unknown"),
        (
            "teacher_flipp=true",
            "'teacher_flipp' is no setting of this run, it would have no effect; "
            "the nearest is 'teacher_flip'",
        ),
        ("qat.bit={}", "the nearest is 'qat.bits'"),
        ("augment.flips=1", "the nearest is 'augment.flip'"),
        ("train=[{annotation: 'synthetic:4'}]", "the nearest is 'train[0].annotations'"),
        ("stages=2", "'stages' is no setting of this run"),
        ("epochs", "has no '='"),
        ("accelerator=hpu", "the run cannot start"),
        ("optimizer=sgd", "optimizer is 'sgd'; it must be one of adamw, muon"),
        ("muon_rate=0", "muon_rate is 0"),
        ("early_share=2", "early_share is 2"),
        ("early_size=20", "early_size is 20; it must be a multiple of 8, at least 32"),
    ],
)
def test_bad_settings_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], setting: str, said: str
) -> None:
    assert run("student", f"out={tmp_path}", setting) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len([line for line in error.splitlines() if line.startswith("error: ")]) == 1


def test_recipes_know_nothing_of_each_other(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="stages"):
        load_recipe(None, ["stages=2"], Recipe)


def test_teacher_command_trains_every_stage(tmp_path: Path) -> None:
    assert run("teacher", "stages=1", "width=16", f"out={tmp_path}") == 0
    teacher, data = load_teacher(tmp_path / "teacher.pth.tar")
    assert (teacher.stages, teacher.width) == (1, 16)
    assert data["extras"]["sigma"] == 7.0


def test_small_crops_come_first() -> None:
    settings = [*TINY, "epochs=5", "early_share=0.5", "early_size=32"]
    recipe = load_recipe(None, settings, Recipe)
    assert [recipe.side(epoch) for epoch in range(5)] == [32, 32, 64, 64, 64]
    data = PoseData(recipe)
    data.setup("fit")
    for epoch, side in ((1, 32), (2, 64)):
        data.trainer = SimpleNamespace(current_epoch=epoch)  # type: ignore[assignment]
        batch = next(iter(data.train_dataloader()))
        assert batch["image"].shape == (2, 3, side, side)
        assert batch["target"].shape == (2, 57, side // 8, side // 8)
        assert batch["area"].shape == (2, side // 8, side // 8)
        assert next(iter(data.val_dataloader()))["image"].shape[-1] == 64


def test_a_student_teaches_another(tmp_path: Path) -> None:
    assert run("student", "student=seed", f"out={tmp_path / 'first'}") == 0
    first = tmp_path / "first" / "student.pth.tar"
    teacher = load_any_teacher(first)
    student, _ = load_student(first)
    images = pictures(2)
    with torch.no_grad():
        wanted = torch.cat(student.eval().maps(to_input(images)), dim=1)
    assert torch.allclose(teacher_maps(teacher.eval(), images, 8), wanted, atol=1e-6)
    settings = ["student=tiny", f"teacher={first}", "teacher_flip=true"]
    assert run("student", *settings, f"out={tmp_path / 'second'}") == 0
    extras = load_student(tmp_path / "second" / "student.pth.tar")[1]["extras"]
    assert extras["teacher"] == checksum(first)


def small_teacher() -> LightweightOpenPose:
    torch.manual_seed(1)
    return LightweightOpenPose(0, 16).eval()


def pictures(count: int, size: int = 64) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8)


def test_flipped_maps_agree_with_the_codec() -> None:
    maps = torch.randn(2, 57, 8, 8)
    heat, pafs = flip_maps(maps[:, :19].numpy(), maps[:, 19:].numpy())
    assert np.array_equal(flip_back(maps).numpy(), np.concatenate([heat, pafs], axis=1))


def test_a_flip_ensemble_sees_a_mirrored_picture_mirrored() -> None:
    teacher, image = small_teacher(), pictures(2)
    maps = teacher_maps(teacher, image, 8, flip=True)
    mirrored = teacher_maps(teacher, image.flip(-1), 8, flip=True)
    torch.testing.assert_close(flip_back(mirrored), maps, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("side", [4, 8, 16])
def test_resized_maps_keep_their_place(side: int) -> None:
    centres = (torch.arange(8) + 0.5) / 8
    ramp = centres.expand(1, 57, 8, 8)
    resized = resize_maps(ramp, side)[0, 0, 0]
    wanted = (torch.arange(side) + 0.5) / side
    inner = slice(1, -1)  # enlarging cannot know what is beyond the edge
    torch.testing.assert_close(resized[inner], wanted[inner])


def test_cache_returns_what_was_computed(tmp_path: Path) -> None:
    teacher, image = small_teacher(), pictures(3)
    samples = torch.tensor([[0, 0, 1], [0, 1, 1], [1, 0, 0]])
    key = CacheKey({"teacher": "a"})

    def cache() -> MapCache:
        return MapCache(tmp_path, key, [2, 1], 8)

    maps = TeacherMaps(teacher, cache=cache())
    fresh = maps({"image": image, "sample": samples})
    exact = TeacherMaps(teacher)({"image": image})
    torch.testing.assert_close(fresh, exact, rtol=1e-3, atol=1e-3)
    # Now nothing may be computed: other pixels, other order, a new process' view of the files.
    known, flags = cache().get(samples.flip(0).tolist())
    assert flags.all()
    assert np.array_equal(known, fresh.flip(0).numpy())
    again = TeacherMaps(teacher, cache=cache())({"image": pictures(3), "sample": samples})
    assert torch.equal(again, fresh)
    assert not cache().get([[0, 0, 0]])[1].any()
    assert CacheKey({"teacher": "b"}).name != key.name


def test_distillation_with_cache_and_larger_teacher_crops(
    tmp_path: Path, teacher_file: Path
) -> None:
    settings = [
        f"teacher={teacher_file}", "teacher_size=96", "teacher_flip=true", "augment_variants=1",
        f"teacher_cache={tmp_path / 'cache'}", "student=tiny", "epochs=2",
    ]  # fmt: skip
    assert run("student", *settings, f"out={tmp_path / 'run'}") == 0
    (known,) = (tmp_path / "cache").rglob("*.known.npy")
    assert 1 <= np.load(known).sum() <= 4
    extras = load_student(tmp_path / "run" / "student.pth.tar")[1]["extras"]
    assert len(extras["teacher"]) == 64


def test_the_teacher_teaches_where_ground_truth_is_masked(teacher_file: Path) -> None:
    from ai8x_models.students import Student
    from distill.tasks.pose.module import PoseModule

    teacher, _ = load_teacher(teacher_file)
    recipe = load_recipe(None, [*TINY, "teacher_share=0.7"], Recipe)
    module = PoseModule(Student("seed"), recipe, TeacherMaps(teacher))
    module.log_dict = lambda *_: None  # type: ignore[assignment]
    batch = {
        "image": pictures(2), "target": torch.zeros(2, 57, 8, 8),
        "channels": torch.zeros(2, 57), "area": torch.ones(2, 8, 8),
    }  # fmt: skip
    module.loss(batch).backward()
    # Channel 14 is an eye, which the 14-point set does not label.
    assert float(module.student.heat_out.op.bias.grad[14].abs()) > 0  # type: ignore[union-attr]
    keys = module.state_dict().keys()
    assert not [key for key in keys if "cpm.align" in key]
