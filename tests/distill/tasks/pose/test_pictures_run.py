"""A student's run on ordinary pictures, from the command line to its file."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ai8x_models.student_file import load_student
from ai8x_models.students import Student
from common.errors import UserError
from distill.__main__ import main
from distill.engine.recipe import load_recipe
from distill.people.picture_data import views_of
from distill.people.recipe import PictureSet, SetConfig
from distill.people.synthetic import write_set
from distill.tasks.pose import compare_pictures
from distill.tasks.pose.loss import known_loss, map_loss
from distill.tasks.pose.module import TeacherViewModule, told
from distill.tasks.pose.recipe import PictureRecipe, PictureTeacherRecipe
from distill.tasks.pose.teachers.openpose import LightweightOpenPose, load_teacher, save_teacher
from distill.tasks.pose.train import map_stride, picture_data
from quantize.integer import to_integer
from tests.helpers.places import REPOSITORY

RECIPES = Path(__file__).resolve().parents[4] / "distill" / "tasks" / "pose" / "recipes"


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Six pictures, the last without anybody, and a small untrained teacher."""
    from distill.people.synthetic import make_scene

    images, annotations = [], []
    for index in range(6):
        scene = make_scene(index, people=1)
        pixels = scene.pixels if index < 5 else np.full((96, 128, 3), 90, np.uint8)
        cv2.imwrite(str(tmp_path / f"{index}.png"), pixels[..., ::-1])
        height, width = pixels.shape[:2]
        images.append({"id": index, "file_name": f"{index}.png", "width": width, "height": height})
        if index < 5:
            from ai8x_models.skeleton import to_coco17

            points = to_coco17(scene.keypoints)[0]
            annotations.append({"id": index, "image_id": index, "category_id": 1, "iscrowd": 0,
                                "keypoints": [float(v) for v in points.reshape(-1)],
                                "bbox": [0, 0, width, height], "num_keypoints": 17})  # fmt: skip
    categories = [{"id": 1, "name": "person", "keypoints": [f"k{i}" for i in range(17)]}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "labels.json").write_text(json.dumps(content))
    save_teacher(LightweightOpenPose(0, 8), tmp_path / "teacher.pth.tar", 1, {"sigma": 7.0})
    return tmp_path


def arguments(folder: Path, *more: str) -> list[str]:
    return [
        "pose", "student", "kind=pictures", "student=tiny", f"out={folder}/run", "epochs=1",
        f"pictures=[{{images: {folder}, annotations: {folder}/labels.json}}]", "workers=0",
        "validation=[{annotations: 'synthetic:2'}]", "batch=4", "samples_per_epoch=8", "size=64",
        "validate_every=1", "accelerator=cpu", f"picture_maps={folder}/maps", *more,
    ]  # fmt: skip


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_run_ends_with_a_student(people: Path, precision: str, optimizer: str) -> None:
    plain = str(people / "plain.yaml")
    Path(plain).write_text("kind: pictures\n")
    more = [f"picture_teacher={people}/teacher.pth.tar", "picture_size=64"]
    order = arguments(people, f"precision={precision}", f"optimizer={optimizer}", *more)
    assert main([*order[:2], "--config", plain, *order[2:]]) == 0
    student, _ = load_student(people / "run" / "student.pth.tar")
    assert student.spec.name == "tiny"
    (maps,) = (people / "maps").glob("*.maps")
    assert maps.stat().st_size == 6 * 57 * 8 * 8


def test_unlabelled_pictures_need_a_teacher(people: Path) -> None:
    with pytest.raises(UserError, match="picture_teacher"):
        load_recipe(None, [f"pictures=[{{images: {people}}}]",
                           "validation=[{annotations: 'synthetic:2'}]"], PictureRecipe)  # fmt: skip


@pytest.mark.parametrize(
    "name", [f"{s}{q}.yaml" for s in ("native", "seed", "tiny") for q in ("", "-qat")]
)
def test_shipped_recipes_run_through_the_command_line(people: Path, name: str) -> None:
    assert load_recipe(RECIPES / name, [], PictureRecipe).student in name
    settings = [
        f"picture_teacher={people}/teacher.pth.tar", "picture_size=64", "warmup_steps=1",
        "early_share=0",
    ]  # fmt: skip
    if "qat" in name:
        settings += ["qat.calibration_images=2", "start_from=''",
                     f"teacher={people}/teacher.pth.tar"]  # fmt: skip
    order = [word for word in arguments(people, *settings) if not word.startswith("student=")]
    assert main([*order[:2], "--config", str(RECIPES / name), *order[2:]]) == 0
    student, _ = load_student(people / "run" / "student.pth.tar")
    assert student.mode == ("qat" if "qat" in name else "float")


def test_narrow_weights_are_held_through_a_run(people: Path) -> None:
    settings = [
        f"picture_teacher={people}/teacher.pth.tar", "picture_size=64", "qat.enabled=true",
        "qat.default_bits=4", "qat.bits={conv1: 8}", "qat.calibration_images=2",
        "qat.hold_narrow=true", "warmup_steps=0", "learning_rate=1e-2",
    ]  # fmt: skip
    plain = people / "plain.yaml"
    plain.write_text("kind: pictures\n")
    order = arguments(people, *settings)
    assert main([*order[:2], "--config", str(plain), *order[2:]]) == 0
    student, _ = load_student(people / "run" / "student.pth.tar")
    on_grid = {
        spec.name: bool((layer.op.weight * 8 == torch.floor(layer.op.weight * 8)).all())
        for spec, layer in student.layers()
    }
    assert not on_grid.pop("conv1")
    assert all(on_grid.values())


@pytest.mark.parametrize("enabled", [True, False])
def test_a_run_goes_on_from_integers(
    people: Path, enabled: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that ship, say: with nothing learnt they come out as they went in."""
    given = REPOSITORY / "ai8x_models" / "checkpoints" / "tiny-q.pth.tar"
    order = arguments(people, f"start_from={given}", f"qat.enabled={str(enabled).lower()}",
                      "learning_rate=1e-9", "optimizer=adamw")  # fmt: skip
    plain = people / "plain.yaml"
    plain.write_text("kind: pictures\n")
    status = main([*order[:2], "--config", str(plain), *order[2:]])
    if not enabled:
        assert status == 2
        assert "say qat.enabled=true, or name a float one" in capsys.readouterr().err
        return
    assert status == 0
    trained, _ = load_student(people / "run" / "student.pth.tar")
    assert trained.mode == "qat"
    before = load_student(given)[0].state_dict()
    for name, value in to_integer(trained).state_dict().items():
        if not name.endswith(".bias"):  # on a finer grid than a step at the least rate
            assert torch.equal(value.float(), before[name].float()), name


@pytest.mark.parametrize("name", ["grey", "lift"])
@pytest.mark.parametrize(
    "verb", ["student start_from=X", "eval X --synthetic 2", "thresholds X --set {set}"]
)
def test_a_student_of_another_task_is_refused(
    people: Path, verb: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = REPOSITORY / "ai8x_models" / "checkpoints" / f"{name}-q.pth.tar"
    words = verb.replace("X", str(given)).format(set=f"{people}/labels.json {people}").split()
    teacher = [f"picture_teacher={people}/teacher.pth.tar", "picture_size=64"]
    training = words[0] == "student"
    order = arguments(people, words[1], *teacher) if training else ["pose", *words]
    assert main(order) == 2
    said = capsys.readouterr().err
    assert f"{given}: {name}" in said
    assert said.endswith("name a student of the task pose\n")


def test_the_views_teacher_is_not_asked_where_labels_say_everything() -> None:
    seen, target = torch.zeros(2, 57, 4, 4), torch.ones(2, 57, 4, 4)
    batch = {"target": target, "complete": torch.tensor([True, False])}
    found = told(seen, batch)
    assert torch.equal(found[0], target[0])
    assert torch.equal(found[1], seen[1])


def test_a_teacher_goes_on_learning_from_pictures(people: Path) -> None:
    given = people / "teacher.pth.tar"
    order = [word for word in arguments(people) if not word.startswith("student=")]
    order[1] = "teacher"
    settings = [f"start_from={given}", "picture_size=128"]
    settings += ["warmup_steps=0", "learning_rate=1e-2"]
    recipe = str(RECIPES / "teacher-pictures.yaml")
    assert main([*order[:2], "--config", recipe, *order[2:], *settings]) == 0
    (maps,) = (people / "maps").glob("*.maps")
    assert maps.stat().st_size == 6 * 57 * 16 * 16  # of pictures twice as large as its views
    before, after = (load_teacher(path)[0] for path in (given, people / "run" / "teacher.pth.tar"))
    changed = zip(before.parameters(), after.parameters(), strict=True)
    assert all(not torch.equal(a, b) for a, b in changed)


def test_all_stages_of_a_teacher_learn_from_labels_and_from_maps() -> None:
    batch = {
        "image": torch.zeros(2, 3, 64, 64, dtype=torch.uint8),
        "target": torch.rand(2, 57, 8, 8),
        "known": torch.rand(2, 57, 8, 8) > 0.5,
        "teacher": torch.rand(2, 57, 8, 8),
    }
    recipe = PictureTeacherRecipe(
        pictures=[PictureSet(images="i", annotations="a")], validation=[SetConfig("synthetic:2")]
    )
    module = TeacherViewModule(LightweightOpenPose(1, 8).eval(), recipe)
    module.log_dict = lambda *_: None
    wanted = 0.0
    for maps in module.teacher(module.network_input(batch["image"])):
        truth = known_loss(maps, batch["target"], batch["known"], recipe.positive_weight)
        taught = known_loss(maps, batch["teacher"], None, recipe.positive_weight)
        wanted += 0.3 * truth.item() + 0.7 * taught.item()
    assert module.loss(batch).item() == pytest.approx(wanted, rel=1e-5)


def test_a_set_may_have_views_of_its_own(people: Path) -> None:
    recipe = load_recipe(
        None,
        arguments(people, "views.whole=0.4", "views.shift=0.3")[2:]
        + ["picture_teacher=t", f"pictures=[{{images: {people}}},"
           f"{{images: {people}, whole: 0, extent: [0.5, 1.0]}}]"],
        PictureRecipe,
    )  # fmt: skip
    usual, own = (views_of(recipe, one) for one in recipe.pictures)
    assert (usual.whole, usual.size, usual.shift) == (0.4, (0.2, 1.0), 0.3)
    assert (own.whole, own.size, own.shift) == (0.0, (0.5, 1.0), 0.3)


def test_the_mean_of_the_weights_is_kept(people: Path) -> None:
    plain = people / "plain.yaml"
    plain.write_text("kind: pictures\n")
    order = arguments(
        people, f"picture_teacher={people}/teacher.pth.tar", "picture_size=64", "average=0.5"
    )
    assert main([*order[:2], "--config", str(plain), *order[2:]]) == 0
    run = torch.load(people / "run" / "last.ckpt", weights_only=True)
    mean, last = (
        run[key]["student.conv1.op.weight"] for key in ("state_dict", "current_model_state")
    )
    assert not torch.equal(mean, last)
    student, _ = load_student(people / "run" / "student.pth.tar")
    assert torch.equal(dict(student.named_parameters())["conv1.op.weight"], mean)


@pytest.mark.parametrize(("name", "stride"), [("native", 4), ("tiny", 8)])
def test_the_grid_is_a_property_of_the_network(name: str, stride: int) -> None:
    assert map_stride(Student(name), 128) == stride


def test_the_loss_with_all_cells_known_is_the_loss_on_maps() -> None:
    maps, target = torch.randn(2, 57, 8, 8), torch.randn(2, 57, 8, 8)
    everywhere = torch.ones(2, 57), torch.ones(2, 8, 8)
    torch.testing.assert_close(
        known_loss(maps, target, None, 4.0, 0.5), map_loss(maps, target, *everywhere, 4.0, 0.5)
    )
    known = torch.ones(2, 57, 8, 8, dtype=torch.bool)
    known[:, 3] = False
    channels = torch.ones(2, 57)
    channels[:, 3] = 0
    torch.testing.assert_close(
        known_loss(maps, target, known, 4.0), map_loss(maps, target, channels, everywhere[1], 4.0)
    )


def test_crops_are_not_for_students_with_a_finer_grid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "crops.yaml"
    recipe.write_text("kind: crops\nstudent: native\n")
    sets = [f"{name}=[{{annotations: 'synthetic:2'}}]" for name in ("train", "validation")]
    assert main(["pose", "student", "--config", str(recipe), *sets, f"out={tmp_path}/run"]) == 2
    assert "grid of 4 pixels" in capsys.readouterr().err


@pytest.mark.parametrize("draw", [True, False])
def test_labelled_people_are_drawn_into_the_maps_or_not(people: Path, draw: bool) -> None:
    recipe = load_recipe(
        None,
        arguments(people, f"draw_labels={draw}", f"picture_teacher={people}/teacher.pth.tar")[2:]
        + ["picture_size=64", "views.beside=0", "views.whole=1", "views.exact=1"],
        PictureRecipe,
    )  # fmt: skip
    data = picture_data(recipe, 8)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    points = slice(0, 18)  # an untrained teacher says next to nothing about points
    shares = (batch["teacher"][:, points] > 0.5), (batch["target"][:, points] > 0.5)
    assert shares[1].any()
    assert torch.equal(*shares) is draw


def test_three_ways_of_teaching_are_compared(
    people: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = people / "compare"
    judge = f"judge=[{{images: {people}, annotations: {people}/labels.json}}]"
    plain = people / "plain.yaml"
    plain.write_text("kind: pictures\n")
    settings = [word for word in arguments(people)[2:] if not word.startswith("out=")]
    both = (
        f"pictures=[{{images: {people}, annotations: {people}/labels.json}},{{images: {people}}}]"
    )
    order = ["pose", "compare", "--config", str(plain), *settings, both, f"out={out}", judge,
             f"picture_teacher={people}/teacher.pth.tar", "picture_size=64"]  # fmt: skip
    taught: list[PictureRecipe] = []
    train = compare_pictures.train_on_pictures

    def noted(recipe: PictureRecipe) -> Path:
        taught.append(recipe)
        return train(recipe)

    monkeypatch.setattr(compare_pictures, "train_on_pictures", noted)
    assert main([*order, "seeds=[3]"]) == 0
    assert [(bool(r.picture_teacher), r.draw_labels, len(r.pictures)) for r in taught] == [
        (False, True, 1), (True, False, 2), (True, True, 2)
    ]  # fmt: skip
    said = capsys.readouterr().out
    assert said.count("| labels alone |") == 3
    assert "| OKS AP | seed 3 |" in said
    assert "| PCK@0.2 | seed 3 |" in said
    assert "gain of drawing people" in said
    assert (out / "comparison.csv").read_text().count("\n") == 4
    assert main([*order, "seeds=[3]"]) == 0
    assert len(taught) == 3  # finished runs are not repeated
    assert main([*order, "seeds=[3]", "sigma=9"]) == 2
    assert "other settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["picture_teacher=''"], "needs a teacher"),
        (["seeds=[1,1]"], "different whole numbers"),
        (["judge=[]"], "one set of whole pictures"),
        (["judge=[{annotations: 'synthetic:4'}]"], "one set of whole pictures"),
        (["judge=[{images: {people}}]"], "one set of whole pictures"),
        (
            ["judge=[{images: {people}/none, annotations: {people}/labels.json}]"],
            "judge[0].images: the folder",
        ),
        (
            ["judge=[{images: {people}/empty, annotations: {people}/labels.json}]"],
            "none of the pictures of",
        ),
        (["judge=[{images: {people}, annotations: {people}/none.json}]"], "none.json"),
    ],
)
def test_what_a_comparison_on_pictures_needs(
    settings: list[str], said: str, people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judge = f"judge=[{{images: {people}, annotations: {people}/labels.json}}]"
    order = ["pose", "compare", *arguments(people)[2:], judge,
             f"picture_teacher={people}/teacher.pth.tar", f"out={people}/compare",
             *(word.replace("{people}", str(people)) for word in settings)]  # fmt: skip
    (people / "empty").mkdir()
    assert main(order) == 2
    assert said in capsys.readouterr().err
    assert not (people / "compare").exists()


def test_no_teacher_is_asked_about_a_set_whose_labels_say_everything(
    people: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    drawn = tmp_path_factory.mktemp("drawn") / "set"
    write_set(drawn, 3, size=64, crossing=True)
    labelled = f"{{images: {people}, annotations: {people}/labels.json, weight: 1.0e-9}}"
    complete = f"{{images: {drawn}, annotations: {drawn}/annotations.json, complete: true"
    words = arguments(people, f"picture_teacher={people}/teacher.pth.tar", "picture_size=64")[2:]
    words = [word for word in words if not word.startswith("pictures=")]
    two = f"pictures=[{labelled}, {complete}, hidden: false}}]"
    recipe = load_recipe(None, [*words, two, "draw_labels=false"], PictureRecipe)
    data = picture_data(recipe, 8)
    data.setup("fit")
    (maps,) = (people / "maps").glob("*.maps")
    assert maps.stat().st_size == 6 * 57 * 8 * 8
    batch = next(iter(data.train_dataloader()))
    assert batch["known"].all()
    assert torch.equal(batch["teacher"], batch["target"])
