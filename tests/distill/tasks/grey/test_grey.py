"""The grey task: points, crops, detectors, scores, recipes, pictures, bad input."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ai8x_models import point_maps
from ai8x_models.point_maps import PointMaps
from ai8x_models.point_reader import as_bytes
from ai8x_models.preprocess import grey_bytes, prepare, to_grey
from ai8x_models.skeleton import KEYPOINTS
from ai8x_models.student_file import load_student, save_student
from ai8x_models.students import Student
from common.errors import UserError
from distill.__main__ import main
from distill.engine.recipe import load_recipe
from distill.people.crops import Augmentation
from distill.people.recipe import AugmentConfig, SetConfig
from distill.people.synthetic import make_scene
from distill.tasks.grey import detectors
from distill.tasks.grey.data import (
    GreyCrops,
    GreyData,
    GreySynthetic,
    fractions,
    pixels_of,
    split_by_series,
)
from distill.tasks.grey.detectors import Detector, Encoder, multiplications, parameters
from distill.tasks.grey.metrics import grey_oks, grey_pck
from distill.tasks.grey.module import (
    DetectorModule,
    StudentModule,
    gaussians,
    map_loss,
    point_loss,
    points_in,
    usual_points,
)
from distill.tasks.grey.points import POINTS
from distill.tasks.grey.recipe import DETECTORS, GreyRecipe, GreyTeacherRecipe
from distill.tasks.grey.student import grey_student
from distill.tasks.grey.train import predict, save_detector, teach
from distill.tasks.grey.visibility import Peaks, fit, gather, reliability

ROOT = Path(__file__).resolve().parents[4]
RECIPES = sorted((ROOT / "distill" / "tasks" / "grey" / "recipes").glob("*.yaml"))
TINY = [
    "train=[{annotations: 'synthetic:20:1'}]", "validation=[{annotations: 'synthetic:2:1'}]",
    "epochs=1", "samples_per_epoch=4", "batch=2", "validate_every=1", "workers=0", "size=32",
    "precision=32-true", "accelerator=cpu", "warmup_steps=1",
]  # fmt: skip


@pytest.fixture(scope="module")
def people() -> GreySynthetic:
    return GreySynthetic(12, seed=3, people=1)


@pytest.fixture(scope="module")
def detector_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("grey") / "teacher.pth.tar"
    save_detector(Detector(size=32, width=4, mapping=0), path, 0, {})
    return path


@pytest.mark.parametrize("count", POINTS)
def test_points_know_their_sides_and_sigmas(count: int) -> None:
    points = POINTS[count]
    assert len(points) == len(set(points.names)) == len(points.sigmas) == count
    for name, other in zip(points.names, points.mirrored, strict=True):
        swapped = {"r_": "l_", "l_": "r_"}.get(name[:2], name[:2]) + name[2:]
        assert points.names[other] == swapped
    wanted = {"neck": 0.079, "r_wrist": 0.062, "l_hip": 0.107, "l_ankle": 0.089, "nose": 0.026}
    for name, sigma in wanted.items():
        if name in points.names:
            assert points.sigmas[points.names.index(name)] == sigma
    values = np.random.default_rng(0).random((2, count, 3))
    assert np.array_equal(points.take(points.spread(values)), values)


def test_thirteen_points_are_the_neck_and_twelve_limb_joints() -> None:
    assert set(POINTS[13].names) == set(KEYPOINTS) - {"nose", "r_eye", "l_eye", "r_ear", "l_ear"}


def test_fractions_and_pixels_are_inverse_and_outside_is_invisible() -> None:
    points = np.array([[-0.5, 63.5, 2], [31.5, 0, 1], [-0.6, 3, 2], [3, 63.6, 2], [3, 3, 0]])
    out = fractions(points, 64)
    assert out[0].tolist() == [0, 1, 2]
    assert out[1, 0] == 0.5
    assert not out[2:].any()
    assert np.allclose(pixels_of(out, 64)[:2], points[:2], atol=1e-5)


def test_a_mirrored_crop_has_mirrored_points(people: GreySynthetic) -> None:
    plain, flipped = (GreyCrops(people, POINTS[13], 64, Augmentation(flip=p)) for p in (0.0, 1.0))
    for index in range(len(people.people)):
        a, b = plain[index], flipped[index]
        assert (a["image"].int() - b["image"].flip(-1).int()).abs().max() <= 3  # interpolation
        swapped = b["points"][list(POINTS[13].mirrored)]
        visible = a["points"][:, 2] > 0
        assert torch.equal(visible, swapped[:, 2] > 0)
        wanted = a["points"][visible]
        assert torch.allclose(1 - swapped[visible][:, 0], wanted[:, 0], atol=1e-5)
        assert torch.allclose(swapped[visible][:, 1], wanted[:, 1], atol=1e-5)


def test_crops_depend_on_seed_epoch_and_person_alone(people: GreySynthetic) -> None:
    augment = AugmentConfig().build()
    first, again = (GreyCrops(people, POINTS[17], 48, augment, seed=5) for _ in range(2))
    for index in (7, 2, 7):
        assert torch.equal(first[index]["image"], again[index]["image"])
    again.epoch = 1
    assert not torch.equal(first[2]["image"], again[2]["image"])
    assert first[2]["image"].shape == (1, 48, 48)
    assert first[2]["points"].shape == (17, 3)


def test_series_are_not_torn_apart(people: GreySynthetic) -> None:
    for index, picture in enumerate(people.pictures):
        picture.source["series_id"] = index // 3
    train, validation = split_by_series(people, 0.5)
    assert sorted(train + validation) == list(range(len(people.people)))
    series = [{people.people[i].picture // 3 for i in part} for part in (train, validation)]
    assert series[0].isdisjoint(series[1])
    assert split_by_series(people, 0.5) == (train, validation)
    with pytest.raises(UserError, match="cannot be split with validation_share"):
        split_by_series(people, 1e-9)


def test_the_teachers_points_follow_random_crops(people: GreySynthetic) -> None:
    """A teacher that knows the truth of the unchanged crop teaches the truth of any crop."""
    unchanged = GreyCrops(people, POINTS[13], 64, Augmentation())
    truth = iter([unchanged[i]["points"][None] for i in range(len(unchanged))])

    class Oracle(Detector):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([next(truth) for _ in x])

    crops = GreyCrops(people, POINTS[13], 64, AugmentConfig(scale=[1.5, 1.9]).build(), seed=1)
    teach(Oracle(size=64, width=1, mapping=0), crops, flip=False)
    compared = 0
    for index in range(len(crops)):
        item = crops[index]
        both = (item["points"][:, 2] > 0) & (item["taught"][:, 2] > 0)
        compared += int(both.sum())
        assert torch.allclose(item["taught"][both, :2], item["points"][both, :2], atol=1e-4)
    assert compared > 100


def test_a_flip_ensemble_sees_a_mirrored_picture_mirrored() -> None:
    torch.manual_seed(0)
    network = Detector(size=32, width=4, mapping=0).eval()
    images = torch.randint(0, 256, (3, 1, 32, 32), dtype=torch.uint8)
    points, mirrored = predict(network, images, True), predict(network, images.flip(-1), True)
    mirrored = mirrored[:, list(POINTS[13].mirrored)]
    mirrored[..., 0] = 1 - mirrored[..., 0]
    assert np.allclose(points, mirrored, atol=1e-5)


def test_detectors_have_the_described_layers() -> None:
    simple = Detector("simple")
    assert simple.encoder.squeeze.weight.shape == (512, 65_536)
    assert parameters(simple.encoder.squeeze) == 33_554_944
    assert parameters(simple) == 34_008_263
    assert multiplications(simple, torch.zeros(1, 1, 64, 64)) == 138_231_808
    maps = simple.upsampler(simple.encoder(torch.zeros(2, 1, 64, 64)))
    assert maps.shape == (2, 64, 64, 64)


@pytest.mark.parametrize(
    ("kind", "size", "count"), [("simple", 96, 17), ("efficientnet", 32, 13), ("code", 32, 13)]
)
def test_input_size_and_points_are_parameters(kind: str, size: int, count: int) -> None:
    network = Detector(kind, count, size, width=4, mapping=1, enlarge=2 if size < 64 else 1)
    assert network(torch.zeros(2, 1, size, size)).shape == (2, count, 3)
    if kind == "efficientnet":
        assert 4_000_000 < parameters(network.head.net) < 4_020_000  # B0 without its classifier
    with pytest.raises(UserError, match=rf"made for pictures \[1, {size}, {size}\]"):
        network(torch.zeros(1, 1, size + 16, size + 16))


@pytest.mark.parametrize("kind", DETECTORS)
def test_an_untrained_detector_tells_pictures_apart(kind: str) -> None:
    """Where answers do not depend on the picture, training ends at the mean pose."""
    torch.manual_seed(0)
    network, images = Detector(kind, dropout=0.0), torch.rand(8, 1, 64, 64) * 2 - 1
    answers = network.train()(
        images.roll(3, dims=-1) + torch.linspace(-1, 1, 8)[:, None, None, None]
    )
    assert answers.std(dim=0).mean() > 0.02


def test_the_layer_with_very_many_inputs_learns_at_a_smaller_rate() -> None:
    network = Detector()
    module = DetectorModule(network, GreyTeacherRecipe(learning_rate=1e-3, weight_decay=0.01))
    groups = module.make_optimizer().param_groups
    trained = [id(p) for group in groups for p in group["params"]]
    assert sorted(trained) == sorted(id(p) for p in network.parameters())  # each once
    rates = {id(p): (g["lr"], g["lr"] * g["weight_decay"]) for g in groups for p in g["params"]}
    assert rates[id(network.encoder.squeeze.weight)] == pytest.approx((1e-3 / 64, 1e-5))
    assert rates[id(network.encoder.code.weight)] == pytest.approx((1e-3, 1e-5))
    assert rates[id(network.encoder.squeeze.bias)] == (1e-3, 0)


def test_efficientnet_can_be_trained_from_its_first_weights() -> None:
    torch.manual_seed(0)
    network = detectors.efficientnet_b0(pretrained=False)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(m.momentum == 0.01 and bool((m.weight == 1).all()) for m in norms)
    seen = network.train()(torch.randn(4, 3, 64, 64)).pooler_output
    assert seen.std(dim=0).mean() > 0.1


def test_the_encoder_sees_two_maps_only() -> None:
    """Its 64 channels are local maxima or minima times a gain: what the documentation claims."""
    torch.manual_seed(2)
    encoder, x = Encoder(32), torch.randn(3, 1, 32, 32)
    gain = encoder.scale.weight.flatten()[:, None, None]
    highest, lowest = F.max_pool2d(x, 2), -F.max_pool2d(-x, 2)
    wanted = torch.where(gain > 0, gain * highest, gain * lowest)
    wanted = wanted + encoder.scale.bias[:, None, None]
    torch.testing.assert_close(F.max_pool2d(encoder.scale(x), 2), wanted)


def test_without_imagenet_weights_a_line_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import transformers

    def offline(*_: object, **__: object) -> nn.Module:
        raise OSError("We couldn't connect to the hub")

    monkeypatch.setattr(transformers.EfficientNetModel, "from_pretrained", offline)
    assert isinstance(detectors.efficientnet_b0(pretrained=True), nn.Module)
    assert "no ImageNet weights (We couldn't connect" in caplog.text


def test_loss_ignores_what_nobody_knows() -> None:
    recipe = GreyTeacherRecipe(loss="mse")
    wanted = torch.tensor([[[0.2, 0.3, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]])
    found = torch.full((1, 3, 3), 0.5, requires_grad=True)
    known = torch.tensor([[1.0, 1.0, 0.0]])
    loss = point_loss(found, wanted, known, recipe)
    # x, y and visibility of the first point, visibility of the second, nothing of the third.
    assert float(loss.detach()) == pytest.approx((0.09 + 0.04 + 0.25 + 0.25) / 4)
    loss.backward()
    assert found.grad is not None
    assert found.grad[0, 2].abs().max() == 0
    assert found.grad[0, 1, :2].abs().max() == 0


def test_oks_agrees_with_its_formula_and_perfect_points_are_perfect() -> None:
    rng = np.random.default_rng(0)
    truth = np.concatenate([rng.uniform(5, 60, (6, 13, 2)), np.full((6, 13, 1), 2.0)], axis=2)
    truth[0, 3] = 0
    areas = rng.uniform(500, 900, 6)
    assert grey_pck(truth, truth, POINTS[13]).overall == 1
    assert grey_oks(truth, truth, list(areas), POINTS[13])["AP"] == pytest.approx(1)
    found = truth + rng.normal(0, 2, truth.shape) * (1, 1, 0)
    squared = ((found - truth)[..., :2] ** 2).sum(axis=2)
    variance = (2 * POINTS[13].sigmas) ** 2
    each = np.exp(-squared / (2 * areas[:, None] * variance + np.spacing(1)))
    oks = np.array([e[t[:, 2] > 0].mean() for e, t in zip(each, truth, strict=True)])
    thresholds = np.arange(0.5, 1, 0.05)
    recall = (oks[:, None] >= thresholds).mean()
    scores = grey_oks(found, truth, list(areas), POINTS[13])
    assert scores["AR"] == pytest.approx(recall, abs=1e-6)
    assert 0 < scores["AP"] < 1


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_runs_through_the_command_line(
    recipe: Path, tmp_path: Path, detector_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    settings = [*TINY, f"out={tmp_path / 'run'}"]
    text = recipe.read_text()
    stage = "teacher" if "\ndetector:" in text else "student"
    if "\nteacher:" in text:
        settings.append(f"teacher={detector_file}")
    if "\nqat:" in text:
        settings += ["qat.calibration_images=2", "start_from=''"]
    assert main(["grey", stage, "--config", str(recipe), *settings]) == 0
    assert f"{stage} written to {tmp_path / 'run'}" in caplog.text
    events = list((tmp_path / "run").glob("events.out.tfevents.*"))  # TensorBoard
    assert len(events) == 1


def test_from_nothing_to_integers_and_a_table(
    tmp_path: Path, detector_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Split by series, distillation, quantisation-aware training, integers, evaluation."""
    drawn = "train=[{annotations: 'synthetic:20:1'}]"
    common = [*TINY, drawn, "validation=[]", "keypoints=13", f"teacher={detector_file}"]
    floating, aware = tmp_path / "float", tmp_path / "qat"
    assert main(["grey", "student", *common, f"out={floating}"]) == 0
    start = f"start_from={floating / 'student.pth.tar'}"
    again = ["qat.enabled=true", start, f"out={aware}"]
    assert main(["grey", "student", *common, *again]) == 0
    integers = tmp_path / "grey-q.pth.tar"
    assert main(["grey", "quantize", str(aware / "student.pth.tar"), str(integers)]) == 0
    capsys.readouterr()
    files = [detector_file, floating / "student.pth.tar", aware / "student.pth.tar", integers]
    tested = ["--set", "test=[{annotations: 'synthetic:5:1'}]"]
    assert main(["grey", "eval", *map(str, files), *tested]) == 0
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines() if "|" in line]
    assert [row[1].strip() for row in rows[2:]] == [
        "mean pose, 13 points", f"{detector_file.parent.name}/teacher.pth.tar",
        "float/student.pth.tar", "qat/student.pth.tar", f"{tmp_path.name}/grey-q.pth.tar",
    ]  # fmt: skip
    # The integers compute what quantisation-aware training computed.
    assert rows[-1][2:7] == rows[-2][2:7]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["keypoints=14"], "keypoints is 14; 13 (neck and limbs) and 17 (COCO) are known"),
        (["size=40"], "multiple of 16"),
        (["optimizer=sgd"], "optimizer is 'sgd'; it must be one of adamw, muon"),
        (["loss=mse"], "'loss' is no setting of this run"),
        (["sigma=0"], "sigma is 0"),
        (["positive_weight=-1"], "positive_weight is -1"),
        (["early_size=44"], "early_size is 44; it must be a multiple of 8"),
        (["early_share=2"], "early_share is 2"),
        (["paf_weight=1"], "'paf_weight' is no setting of this run"),
        (["teacher_size=96"], "the nearest is 'teacher_share'"),
        (["validation_share=1"], "validation_share is 1"),
        (["teacher_share=2"], "teacher_share is 2"),
        (
            ["size=64", "teacher=DETECTOR"],
            "is for 32x32 pixels and 13 points, the recipe for 64x64",
        ),
        (["keypoints=17", "teacher=DETECTOR"], "the recipe for 32x32 and 17"),
        (["teacher=SEED"], "is a student for pictures [3, 128, 128]"),
        (["teacher=INTEGERS"], "holds integers; a teacher has to be one in real numbers"),
        (
            ["start_from=SEED"],
            "with 38 outputs in its last layer, the grey task has [1, size, size]",
        ),
        (["start_from=DETECTOR"], "no description of a student"),
        (["train=[]"], "no data set under 'train'"),
    ],
)
def test_bad_settings_are_one_sentence(
    settings: list[str], said: str, tmp_path: Path, detector_file: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    seed = tmp_path / "seed.pth.tar"
    save_student(Student("seed"), seed, 0, {})
    integers = tmp_path / "integers.pth.tar"
    save_student(Student(grey_student(13, 32)).set_mode("integer"), integers, 0, {})
    named = {"DETECTOR": str(detector_file), "SEED": str(seed), "INTEGERS": str(integers)}
    for word, path in named.items():
        settings = [setting.replace(word, path) for setting in settings]
    assert main(["grey", "student", *TINY, f"out={tmp_path / 'run'}", *settings]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len([line for line in error.splitlines() if line.startswith("error: ")]) == 1
    assert not (tmp_path / "run" / "student.pth.tar").exists()


def test_evaluation_refuses_other_tasks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = tmp_path / "seed.pth.tar"
    save_student(Student("seed"), seed, 0, {})
    assert main(["grey", "eval", str(seed)]) == 2
    assert "is a student for pictures [3, 128, 128] with 38 outputs" in capsys.readouterr().err


def test_a_described_student_is_rebuilt_and_a_forged_one_refused(tmp_path: Path) -> None:
    student, path = Student(grey_student(17, 96)), tmp_path / "student.pth.tar"
    save_student(student, path, 3, {})
    found, data = load_student(path)
    assert found.spec.describe() == student.spec.describe()
    assert data["epoch"] == 3
    for key, value in student.state_dict().items():
        assert torch.equal(found.state_dict()[key], value)
    forged = torch.load(path, weights_only=True)
    forged["extras"]["network"][1]["out_channels"] = 10**9
    torch.save(forged, path)
    with pytest.raises(UserError, match="no description of a student"):
        load_student(path)


def test_a_picture_becomes_signed_grey_levels(tmp_path: Path) -> None:
    scene = make_scene(1, 120, 90, people=1)
    file, out = tmp_path / "picture.png", tmp_path / "input.npy"
    cv2.imwrite(str(file), cv2.cvtColor(scene.pixels, cv2.COLOR_RGB2BGR))
    assert main(["grey", "sample", str(file), "-o", str(out)]) == 0
    sample = np.load(out)
    assert (sample.shape, sample.dtype) == ((1, 64, 64), np.int8)
    assert np.array_equal(sample, grey_bytes(prepare(scene.pixels, 64).pixels))
    assert (sample[0, 48:] == 0).all()  # padded below with grey 128
    level = to_grey(prepare(scene.pixels, 64).pixels).astype(int)
    assert np.array_equal(sample[0], level - 128)


def test_shown_points_lie_where_the_maps_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, overlay = tmp_path / "picture.png", tmp_path / "overlay.png"
    cv2.imwrite(str(picture), np.full((200, 100, 3), 90, np.uint8))
    numbers = np.zeros((13, 16, 16), np.int64)
    numbers[:, 8, 4], numbers[0, 8, 4], numbers[0, 7, 3] = 16, 0, 112
    np.savez(tmp_path / "maps.npz", output_0=numbers)
    report, outputs = tmp_path / "report.json", [{"name": "points", "step": 0.0078125}]
    settings = PointMaps(POINTS[13].places, slope=16.0, offset=-8.0)
    report.write_text(json.dumps({"outputs": outputs, "points": settings.plain()}))
    common = ["--report", str(report), "-o", str(overlay)]
    assert main(["grey", "show", str(picture), "--maps", str(tmp_path / "maps.npz"), *common]) == 0
    said = capsys.readouterr().out
    # Cell 3 and 7 of 16 in a square of 200 pixels; 16 x 7/8 - 8 = 6.
    assert "neck        x    43.2  y    93.2  visible  1.00" in said
    assert "l_ankle     x    55.8  y   105.8  visible  0.00" in said
    drawn = cv2.imread(str(overlay))
    assert drawn.shape == (480, 240, 3)
    rows, columns = np.nonzero((drawn != 90).any(axis=2))
    assert abs(rows.mean() - 224.5) < 2
    assert abs(columns.mean() - 104.5) < 2
    np.savez(tmp_path / "maps.npz", output_0=np.zeros((19, 16, 16), np.int64))
    assert main(["grey", "show", str(picture), "--maps", str(tmp_path / "maps.npz"), *common]) == 2
    assert "outputs are [19, 16, 16], a grey student has one of" in capsys.readouterr().err


def test_maps_have_their_peaks_where_the_points_are() -> None:
    """What is taught is read back: the middle of a cell exactly, other places nearly."""
    points = torch.tensor([[[4.5 / 16, 9.5 / 16, 1.0], [0.3, 0.71, 1.0], [0.5, 0.5, 0.0]]])
    maps = gaussians(points, 16, sigma=1.1)
    assert maps.shape == (1, 3, 16, 16)
    assert float(maps[0, 0, 9, 4]) == pytest.approx(1)
    assert not maps[0, 2].any()
    found = points_in(as_bytes(maps.numpy()), PointMaps((1, 2, 3)))
    assert found[0, 0, :2] == pytest.approx([4.5 / 16, 9.5 / 16], abs=1e-6)
    assert found[0, 1, :2] == pytest.approx([0.3, 0.71], abs=0.15 / 16)


def test_the_loss_of_maps_ignores_those_nobody_knows_and_weighs_the_points() -> None:
    wanted, found = torch.zeros(1, 2, 2, 2), torch.full((1, 2, 2, 2), 0.5)
    wanted[0, 0, 0, 0] = 1.0
    loss = map_loss(found, wanted, torch.tensor([[1.0, 0.0]]), positive_weight=8.0)
    assert float(loss) == pytest.approx((9 * 0.25 + 3 * 0.25) / 4)


def test_a_student_is_taught_by_another_ones_maps() -> None:
    torch.manual_seed(0)
    teacher, student = (Student(grey_student(13, 32)).eval() for _ in range(2))
    batch = {
        "image": torch.randint(0, 256, (2, 1, 32, 32), dtype=torch.uint8),
        "points": torch.rand(2, 13, 3),
        "known": torch.ones(2, 13),
    }
    recipe = GreyRecipe(size=32, teacher_share=1.0, teacher_flip=False, positive_weight=0.0)
    module = StudentModule(student, recipe, teacher)
    module.log_dict = lambda *_, **__: None  # type: ignore[method-assign,assignment]
    wanted = teacher.maps(batch["image"].float() / 128 - 1)[0].clamp_min(0)
    found = module(batch["image"]).detach()
    loss = module.loss(batch).detach()
    assert float(loss) == pytest.approx(float(((found - wanted) ** 2).mean().detach()))
    # A teacher that answers to the mirrored crop as well, with sides exchanged, sees no sides.
    module.recipe = dataclasses.replace(recipe, teacher_flip=True)
    plain = module._taught(batch, found)
    batch["image"] = batch["image"].flip(-1)
    mirrored = module._taught(batch, found)
    assert plain is not None
    assert mirrored is not None
    swapped = mirrored.flip(-1)[:, list(POINTS[13].mirrored)]
    assert torch.allclose(plain, swapped, atol=1e-5)
    assert len(list(module.parameters())) == len(list(student.parameters()))


def test_small_crops_come_first() -> None:
    recipe = GreyRecipe(
        size=64, epochs=10, early_share=0.4, early_size=48, train=[SetConfig("synthetic:20:1")]
    )
    data = GreyData(recipe)
    data.setup("fit")
    for epoch, side in ((0, 48), (3, 48), (4, 64), (9, 64)):
        data.start(epoch)
        assert data.train[0][0]["image"].shape == (1, side, side)
        assert data.validation[0][0]["image"].shape == (1, 64, 64)


def test_visibility_is_fitted_to_what_was_visible() -> None:
    rng = np.random.default_rng(0)
    peaks = rng.integers(0, 128, 20_000) / 128
    visible = rng.random(20_000) < 1 / (1 + np.exp(-(9 * peaks - 4)))
    seen = Peaks(peaks, visible, np.full(20_000, np.nan))
    slope, offset = fit(seen)
    assert slope == pytest.approx(9, rel=0.05)
    assert offset == pytest.approx(-4, rel=0.05)
    rows = reliability(seen, PointMaps((1,), slope, offset)).splitlines()[2:7]
    for row in rows:
        said, share = (float(cell.strip(" %")) for cell in row.split("|")[3:5])
        assert said == pytest.approx(share, abs=2.5)
    # Peaks that say nothing, and those that say all, give numbers as well.
    for shown in (np.ones(20_000, bool), peaks > 0.5):
        assert all(np.isfinite(fit(Peaks(peaks, shown, seen.right))))


def test_views_for_visibility_have_points_outside(people: GreySynthetic) -> None:
    torch.manual_seed(0)
    student = Student(grey_student(13, 64)).eval()
    crops = GreyCrops(people, POINTS[13], 64, Augmentation())
    first, again = (gather(student, [crops], usual_points(13)) for _ in range(2))
    assert np.array_equal(first.peaks, again.peaks)
    assert 0.03 < 1 - first.visible.mean() < 0.5
    assert np.isnan(first.right[~first.visible]).all()


def test_a_trained_student_carries_what_its_peaks_say(tmp_path: Path) -> None:
    settings = [*TINY, "validation=[]", f"out={tmp_path}"]
    assert main(["grey", "student", *settings]) == 0
    _, data = load_student(tmp_path / "student.pth.tar")
    found = point_maps.from_extras(data["extras"], "it")
    assert found is not None
    assert found.places == POINTS[13].places


def test_described_recipe_is_sgd_with_squared_error() -> None:
    path = ROOT / "distill" / "tasks" / "grey" / "recipes" / "described.yaml"
    recipe = load_recipe(path, [], GreyTeacherRecipe)
    assert (recipe.optimizer, recipe.momentum, recipe.loss) == ("sgd", 0.9, "mse")
