"""The grey task: points, crops, detectors, scores, recipes, pictures, bad input."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ai8x_models.preprocess import grey_bytes, prepare, to_grey
from ai8x_models.skeleton import KEYPOINTS
from ai8x_models.student_file import load_student, save_student
from ai8x_models.students import Student
from common.errors import UserError
from distill.__main__ import main
from distill.engine.recipe import load_recipe
from distill.people.crops import Augmentation
from distill.people.recipe import AugmentConfig
from distill.people.synthetic import make_scene
from distill.tasks.grey import detectors
from distill.tasks.grey.data import (
    GreyCrops,
    GreySynthetic,
    fractions,
    pixels_of,
    split_by_series,
)
from distill.tasks.grey.detectors import Detector, Encoder, multiplications, parameters
from distill.tasks.grey.metrics import grey_oks, grey_pck
from distill.tasks.grey.module import PointModule, point_loss
from distill.tasks.grey.points import POINTS
from distill.tasks.grey.recipe import DETECTORS, GreyRun, GreyTeacherRecipe
from distill.tasks.grey.student import grey_student
from distill.tasks.grey.train import predict, save_detector, teach

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
    module = PointModule(network, GreyTeacherRecipe(learning_rate=1e-3, weight_decay=0.01))
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
    recipe = GreyRun(loss="mse")
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
        (["optimizer=lion"], "optimizer is 'lion'; it must be one of adamw, muon, sgd"),
        (["loss=l1"], "loss is 'l1'"),
        (["sigma=7"], "'sigma' is no setting of this run"),
        (["paf_weight=1"], "'paf_weight' is no setting of this run"),
        (["teacher_size=96"], "the nearest is 'teacher_share'"),
        (["beta=0"], "beta is 0"),
        (["validation_share=1"], "validation_share is 1"),
        (["teacher_share=2"], "teacher_share is 2"),
        (
            ["size=64", "teacher=DETECTOR"],
            "is for 32x32 pixels and 13 points, the recipe for 64x64",
        ),
        (["keypoints=17", "teacher=DETECTOR"], "the recipe for 32x32 and 17"),
        (["teacher=SEED"], "holds architecture 'seed', but a 'grey-detector' is needed"),
        (["start_from=SEED"], "is a student for pictures [3, 128, 128], the grey task has [1, 32"),
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
    named = {"DETECTOR": str(detector_file), "SEED": str(seed)}
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
    assert "with input [3, 128, 128] and 38 outputs" in capsys.readouterr().err


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


def test_shown_points_lie_where_the_numbers_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, overlay = tmp_path / "picture.png", tmp_path / "overlay.png"
    cv2.imwrite(str(picture), np.full((200, 100, 3), 90, np.uint8))
    numbers = np.zeros((13, 3), np.int64)
    numbers[:, :2], numbers[0] = 16, (8, 32, 60)  # steps of 1/64
    np.savez(tmp_path / "maps.npz", output_0=numbers.reshape(39, 1, 1))
    report = tmp_path / "report.json"
    report.write_text('{"outputs": [{"name": "points", "step": 0.015625}]}')
    common = ["--report", str(report), "-o", str(overlay)]
    assert main(["grey", "show", str(picture), "--maps", str(tmp_path / "maps.npz"), *common]) == 0
    said = capsys.readouterr().out
    # An eighth and a half of a square of 200 pixels.
    assert "neck        x    24.5  y    99.5  visible  0.94" in said
    drawn = cv2.imread(str(overlay))
    assert drawn.shape == (480, 240, 3)
    rows, columns = np.nonzero((drawn != 90).any(axis=2))
    assert abs(rows.mean() - 239.5) < 2
    assert abs(columns.mean() - 59.5) < 2
    np.savez(tmp_path / "maps.npz", output_0=np.zeros((19, 16, 16), np.int64))
    assert main(["grey", "show", str(picture), "--maps", str(tmp_path / "maps.npz"), *common]) == 2
    assert "outputs are [19, 16, 16], a grey student has one of" in capsys.readouterr().err


def test_described_recipe_is_sgd_with_squared_error() -> None:
    path = ROOT / "distill" / "tasks" / "grey" / "recipes" / "described.yaml"
    recipe = load_recipe(path, [], GreyTeacherRecipe)
    assert (recipe.optimizer, recipe.momentum, recipe.loss) == ("sgd", 0.9, "mse")
