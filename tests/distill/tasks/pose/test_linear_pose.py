"""The pose transformer: shape, matching, loss, maps, checkpoints, recipe, learning."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from ai8x_models import codec
from ai8x_models.decode import decode, decode_single
from ai8x_models.skeleton import COCO17_TO_18
from ai8x_models.student_file import load_student, save_student, write_atomically
from ai8x_models.students import Student
from common.errors import UserError
from distill.__main__ import main
from distill.engine.muon import Muon
from distill.people.crops import Augmentation, CropDataset, collate, to_input
from distill.people.metrics import pck
from distill.people.person_sets import SyntheticSet
from distill.tasks import pose
from distill.tasks.pose.teacher_maps import load_any_teacher
from distill.tasks.pose.teachers.openpose import LightweightOpenPose, save_teacher
from distill.tasks.pose.teachers.transformer.backbones import make_backbone, start_backbone
from distill.tasks.pose.teachers.transformer.checkpoint import load_network, save_network
from distill.tasks.pose.teachers.transformer.loss import set_loss
from distill.tasks.pose.teachers.transformer.matching import (
    Truth,
    giou,
    match,
    oks,
    point_distance,
    truth_of,
)
from distill.tasks.pose.teachers.transformer.model import LinearPose, People, place_code
from distill.tasks.pose.teachers.transformer.module import LinearModule, hidden_weights, summed_oks
from distill.tasks.pose.teachers.transformer.recipe import LinearRecipe, Shape, Weights
from distill.tasks.pose.teachers.transformer.render import (
    LinearTeacher,
    best_person,
    keypoints18,
    render,
)
from quantize.fold import fold_batchnorm

SMALL = Shape(backbone="mobilenet", width=32, people=3, blocks=1, layers=2)
RECIPE = Path(pose.__file__).parent / "recipes" / "transformer.yaml"
TINY = [
    "train=[{annotations: 'synthetic:4'}]", "validation=[{annotations: 'synthetic:2'}]",
    "epochs=1", "samples_per_epoch=2", "batch=2", "validate_every=1", "workers=0", "size=64",
    "precision=32-true", "accelerator=cpu", "warmup_steps=1",
]  # fmt: skip


def batch_of(people: int, pictures: int = 4, size: int = 128) -> dict[str, torch.Tensor]:
    crops = CropDataset(SyntheticSet(pictures, 3, people=people), size, Augmentation())
    return collate([crops[index] for index in range(pictures)])


def truth_in(batch: dict[str, torch.Tensor]) -> Truth:
    size = batch["image"].shape[-1]
    return truth_of(batch["keypoints"], batch["channels"][:, :18] > 0, size)


def perfect(truth: Truth, people: int, order: list[int]) -> People:
    """An answer that has person k of every picture in query ``order[k]``."""
    n, real = truth.box.shape[:2]
    found = People(
        torch.full((n, people), -9.0),
        torch.rand(n, people, 4) * 0.1 + 0.02,
        torch.rand(n, people, 17, 2),
        torch.full((n, people, 17), -9.0),
    )
    for person in range(real):
        found.score[:, order[person]] = torch.where(truth.counts > person, 9.0, -9.0)
        found.box[:, order[person]] = truth.box[:, person]
        found.points[:, order[person]] = truth.points[:, person]
        marks = truth.marked[:, person]
        found.seen[:, order[person]] = torch.where(marks, 9.0, -9.0)
    return found


# The network.


def test_the_shipped_shape_has_at_most_five_million_parameters() -> None:
    """Behind the backbone; the described layers at width 256 would have more."""
    counts = {
        width: LinearPose(Shape(width=width)).transformer_parameters() for width in (160, 256)
    }
    assert 3_000_000 < counts[160] <= 5_000_000
    assert counts[256] > 5_000_000


@pytest.mark.parametrize(
    "backbone", ["mobilenet", "openpose", "native", "resnet18", "efficientnet-b0"]
)
def test_any_backbone_serves(backbone: str) -> None:
    torch.manual_seed(0)
    shape = Shape(backbone=backbone, width=32, people=3, blocks=1, layers=2)
    network = LinearPose(shape).eval()
    with torch.inference_mode():
        layers = network(torch.randn(2, 3, 64, 96))
    assert len(layers) == 2
    assert len(network.backbone.channels) >= 2  # several scales
    for found in layers:
        assert (found.score.shape, found.seen.shape) == ((2, 3), (2, 3, 17))
        assert (found.box.shape, found.points.shape) == ((2, 3, 4), (2, 3, 17, 2))
        assert ((found.points > 0) & (found.points < 1)).all()


def test_a_students_backbone_sees_what_the_student_sees(tmp_path: Path) -> None:
    torch.manual_seed(0)
    student, path, x = Student("tiny"), tmp_path / "student.pth.tar", torch.randn(2, 3, 64, 64)
    save_student(student, path, 0, {})
    backbone = make_backbone("tiny").eval()
    start_backbone(backbone, path)
    with torch.inference_mode():
        fine, coarse = backbone(x)
        maps = torch.cat(student.eval()(x), dim=1)
    assert torch.equal(fine[:, -maps.shape[1] :], maps)
    assert fine.shape == (2, 64 * 3 + 57, 8, 8)
    assert coarse.shape == (2, 64 * 3 + 57, 4, 4)


def test_a_students_backbone_refuses_other_starts(tmp_path: Path) -> None:
    student, path = Student("tiny"), tmp_path / "student.pth.tar"
    save_student(student, path, 0, {})
    with pytest.raises(UserError, match="'tiny' in mode 'float', but the backbone starts from 'na"):
        start_backbone(make_backbone("native"), path)
    folded, _ = load_student(path)
    fold_batchnorm(folded)
    save_student(folded, path, 0, {})
    with pytest.raises(UserError, match="batch norm folded"):
        start_backbone(make_backbone("tiny"), path)


def test_muon_leaves_answers_queries_and_the_backbone_alone() -> None:
    network = LinearPose(SMALL)
    names = {id(p): name for name, p in network.named_parameters()}
    hidden = {names[id(p)] for p in hidden_weights(network)}
    assert all(name.startswith(("encoder.", "decoder.layers.")) for name in hidden)
    assert {"decoder.layers.0.graph.mix.weight", "encoder.local.0.wide.weight"} <= hidden
    for name in ("decoder.slot", "decoder.layers.1.points.2.weight", "encoder.local.0.deep.weight"):
        assert name in names.values()
        assert name not in hidden
    module = LinearModule(network, LinearRecipe(optimizer="muon", backbone_rate=0.1))
    optimizer = module.make_optimizer()
    assert isinstance(optimizer, Muon)
    trained = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(trained) == sorted(names)  # each once
    rates = {names[id(p)]: g["lr"] for g in optimizer.param_groups for p in g["params"]}
    assert {r for n, r in rates.items() if n.startswith("backbone.")} == {
        0.1 * module.recipe.learning_rate
    }
    assert {rates[name] for name in hidden} == {module.recipe.muon_rate}


def test_every_parameter_learns() -> None:
    torch.manual_seed(0)
    network, batch = LinearPose(SMALL), batch_of(2, 2, 64)
    for step in range(2):  # heads start at zero, so what is behind them learns one step later
        loss, _ = set_loss(
            network(to_input(batch["image"])), truth_in(batch), batch["area"], Weights()
        )
        loss.backward()
        if step == 0:
            torch.optim.SGD(network.parameters(), 0.01).step()
    still = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert not still


def test_close_places_have_close_codes() -> None:
    at = torch.tensor([[0.5, 0.5], [0.51, 0.5], [0.7, 0.5]])
    code = place_code(at, 64)
    assert code.shape == (3, 64)
    assert (code[0] - code[1]).norm() < (code[0] - code[2]).norm()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"width": 30}, "width is 30"),
        ({"people": 0}, "people is 0"),
        ({"backbone": "vgg"}, "backbone 'vgg' is unknown"),
    ],
)
def test_impossible_shapes_are_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        LinearPose(Shape(**change))  # type: ignore[arg-type]


# Matching and loss.


def test_matching_finds_the_best_of_all_pairings() -> None:
    torch.manual_seed(3)
    truth = truth_in(batch_of(3))
    found = perfect(truth, 5, [4, 0, 2])
    found.points.add_(torch.randn_like(found.points) * 0.1)
    weights = Weights()
    picture, query, person = match(found, truth, weights)

    def cost(n: int, q: int, p: int) -> float:
        box, size = found.box[n, q], truth.box[n, p]
        points, wanted, marked = found.points[n, q], truth.points[n, p], truth.marked[n, p]
        return float(
            -weights.score * torch.sigmoid(found.score[n, q])
            + weights.box * (box - size).abs().sum()
            - weights.giou * giou(box, size)
            + weights.points * point_distance(points, wanted, marked)
            - weights.oks * oks(points, size, wanted, marked)
        )

    for n, count in enumerate(truth.counts.tolist()):
        here = picture == n
        assert sorted(person[here].tolist()) == list(range(count))
        ours = sum(
            cost(n, q, p) for q, p in zip(query[here].tolist(), person[here].tolist(), strict=True)
        )
        best = min(
            sum(cost(n, q, p) for p, q in enumerate(chosen))
            for chosen in itertools.permutations(range(5), count)
        )
        assert ours == pytest.approx(best, abs=1e-4)


@pytest.mark.parametrize("order", [[0, 1, 2], [3, 0, 1]])
def test_a_perfect_answer_costs_almost_nothing_in_any_order(order: list[int]) -> None:
    batch = batch_of(3)
    truth = truth_in(batch)
    found = perfect(truth, 4, order)
    loss, parts = set_loss([found], truth, batch["area"], Weights())
    assert float(loss) < 0.01, parts
    _, worse = set_loss(
        [People(found.score, found.box, (found.points + 0.1), found.seen)],
        truth, batch["area"], Weights(),
    )  # fmt: skip
    assert worse["points"] == pytest.approx(0.2, abs=0.01)
    assert worse["oks"] > 0.3


def test_unmarked_points_and_unknown_places_teach_nothing() -> None:
    batch = batch_of(1)
    truth = truth_in(batch)
    found = perfect(truth, 3, [1])
    found.points[:, 1][~truth.marked[:, 0]] = 0.9
    found.score[:, 2] = 9.0  # claims somebody else
    charged, _ = set_loss([found], truth, batch["area"], Weights())
    free, parts = set_loss([found], truth, torch.zeros_like(batch["area"]), Weights())
    assert float(charged) > 1
    assert float(free) < 0.01, parts


def test_pictures_without_people_have_a_loss() -> None:
    truth = truth_of(torch.zeros(2, 3, 18, 3), torch.ones(2, 18, dtype=torch.bool), 64)
    assert truth.counts.tolist() == [0, 0]
    found = list(LinearPose(SMALL)(torch.zeros(2, 3, 64, 64)))
    loss, _ = set_loss(found, truth, torch.ones(2, 8, 8), Weights())
    loss.backward()
    assert 0 < float(loss.detach()) < 10


def test_giou_by_hand() -> None:
    box = torch.tensor([0.5, 0.5, 0.2, 0.2])
    assert float(giou(box, box)) == pytest.approx(1)
    beside = torch.tensor([0.7, 0.5, 0.2, 0.2])  # they touch: no overlap, hull = both
    assert float(giou(box, beside)) == pytest.approx(0, abs=1e-6)
    half = torch.tensor([0.6, 0.5, 0.2, 0.2])
    assert float(giou(box, half)) == pytest.approx(1 / 3, abs=1e-6)


def test_oks_agrees_with_coco() -> None:
    pytest.importorskip("pycocotools")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    torch.manual_seed(5)
    truth = truth_in(batch_of(1, 1))
    wanted, box = truth.points[0, 0] * 128, truth.box[0, 0] * 128
    guess = wanted + torch.randn(17, 2) * 4
    marks = torch.cat([wanted, 2 * truth.marked[0, 0, :, None]], 1).double().flatten().tolist()
    area = 0.5 * float(box[2] * box[3])
    common = {"image_id": 1, "category_id": 1, "id": 1, "area": area, "bbox": [0, 0, 1, 1]}
    coco = COCO.__new__(COCO)
    evaluation = COCOeval(None, None, "keypoints")
    evaluation.params.maxDets = [20]
    evaluation._gts = {(1, 1): [{**common, "keypoints": marks, "ignore": 0}]}
    drawn = torch.cat([guess, torch.ones(17, 1)], 1).double().flatten().tolist()
    evaluation._dts = {(1, 1): [{**common, "keypoints": drawn, "score": 1.0}]}
    theirs = evaluation.computeOks(1, 1)[0, 0]
    ours = oks(guess / 128, truth.box[0, 0], truth.points[0, 0], truth.marked[0, 0])
    assert coco is not None
    assert float(ours) == pytest.approx(theirs, abs=1e-5)


# Maps.


def test_rendered_people_are_decoded_again() -> None:
    batch = batch_of(2)
    truth = truth_in(batch)
    maps = render(keypoints18(perfect(truth, 4, [2, 1]), 128), 128)
    assert maps.shape == (4, 57, 16, 16)
    for n, one in enumerate(maps):
        people = decode(one[:19], one[19:])
        assert len(people) >= 1
        for person in people:
            points = person.keypoints[list(COCO17_TO_18)]
            apart = np.linalg.norm(points[None, :, :2] - truth.points[n].numpy() * 128, axis=2)
            both = truth.marked[n].numpy() & (points[None, :, 2] > 0)
            nearest = min(
                np.median(a[b]) for a, b in zip(apart, both, strict=True) if b.any()
            )  # fmt: skip
            assert nearest < 4


def test_full_confidence_draws_the_training_targets() -> None:
    points = batch_of(2)["keypoints"].numpy().copy()
    points[..., 2] = points[..., 2] > 0
    ours = render(points, 128)
    heat, pafs = codec.encode_batch(points, 128)
    assert np.array_equal(ours[:, :18], heat[:, :18])
    alike = np.isclose(ours[:, 19:], pafs)  # where limbs cross, another person may be on top
    assert alike.mean() > 0.99


def test_doubt_is_drawn_fainter() -> None:
    points = batch_of(1)["keypoints"].numpy()[:, :1].copy()
    points[..., 2] = points[..., 2] > 0
    sure = render(points, 128)
    points[..., 2] *= 0.5
    np.testing.assert_allclose(render(points, 128)[:, :18], 0.5 * sure[:, :18], atol=1e-6)
    np.testing.assert_allclose(render(points, 128)[:, 19:], 0.5 * sure[:, 19:], atol=1e-6)


# Checkpoints.


@pytest.fixture(scope="module")
def teacher_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("linear") / "teacher.pth.tar"
    save_network(LinearPose(SMALL), path, 1, {"sigma": 6.0})
    return path


def test_a_checkpoint_is_a_teacher_of_maps(teacher_file: Path) -> None:
    network, data = load_network(teacher_file)
    assert network.shape == SMALL
    teacher = load_any_teacher(teacher_file)
    assert isinstance(teacher, LinearTeacher)
    assert (teacher.sigma, data["extras"]["joints"]) == (6.0, 17)
    assert teacher(torch.zeros(1, 3, 64, 64))[-1].shape == (1, 57, 8, 8)


def _nan(data: dict) -> None:
    data["state_dict"]["decoder.slot"][0, 0] = torch.nan


def _reshape(data: dict) -> None:
    data["state_dict"]["decoder.slot"] = torch.zeros(14, 32)


def _widen(data: dict) -> None:
    data["extras"]["shape"]["width"] = 64


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d["extras"].update(joints=14), "finds 14 keypoints per person; 17"),
        (lambda d: d["extras"].pop("shape"), "does not say the network's backbone, width"),
        (lambda d: d["extras"]["shape"].update(width="x"), "does not say"),
        (
            lambda d: d["extras"]["shape"].update(width=64),
            r"has shape \(3, 32\), but \(3, 64\) is expected",
        ),
        (_reshape, r"'decoder.slot' has shape \(14, 32\), but \(18, 32\) is expected"),
        (_nan, "'decoder.slot' holds values that are not finite"),
        (lambda d: d["state_dict"].pop("decoder.slot"), "lacks 'decoder.slot'"),
        (lambda d: d.update(arch="grey"), "holds 'grey', but the pose transformer"),
        (lambda d: d["extras"].update(sigma=-1), "sigma is -1"),
    ],
)
def test_foreign_checkpoints_are_one_sentence(
    teacher_file: Path, tmp_path: Path, change, said: str
) -> None:
    data = torch.load(teacher_file, weights_only=True)
    change(data)
    write_atomically(data, tmp_path / "odd.pth.tar")
    from distill.tasks.pose.teachers.transformer.checkpoint import teacher_from

    with pytest.raises(UserError, match=said):
        teacher_from(data, tmp_path / "odd.pth.tar")


def test_the_other_teacher_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "openpose.pth.tar"
    save_teacher(LightweightOpenPose(0), path, 0, {})
    assert (
        main(["teacher", "kind=transformer", *TINY, f"out={tmp_path}", f"start_from={path}"]) == 2
    )
    error = capsys.readouterr().err
    assert "holds 'lightweight_openpose', but the pose transformer, 'linear_pose'" in error


def test_an_integer_student_is_no_teacher() -> None:
    shipped = Path(__file__).parents[4] / "ai8x_models" / "checkpoints" / "seed-q.pth.tar"
    with pytest.raises(UserError, match="holds 'seed', which gives no maps"):
        load_any_teacher(shipped)


@pytest.mark.parametrize("shape", [(2, 3, 17, 3), (2, 3, 18, 2), (3, 18, 3)])
def test_another_joint_count_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"but \[pictures, people, 18, 3\] is expected"):
        truth_of(torch.zeros(shape), torch.ones(2, 18), 128)


def test_keypoints_that_are_no_numbers_are_refused() -> None:
    keypoints = torch.zeros(1, 1, 18, 3)
    keypoints[0, 0, 3, 1] = torch.nan
    with pytest.raises(UserError, match="not finite"):
        truth_of(keypoints, torch.ones(1, 18), 128)


def test_people_that_are_no_numbers_are_refused() -> None:
    truth = truth_in(batch_of(1, 1))
    found = perfect(truth, 2, [0])
    found.points[0, 0, 0, 0] = torch.nan
    with pytest.raises(UserError, match="cannot be matched; lower learning_rate"):
        match(found, truth, Weights())


# Training.


def test_its_recipe_runs_through_the_command_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    seeing = tmp_path / "student.pth.tar"
    save_student(Student("native"), seeing, 0, {})
    settings = [*TINY, f"out={tmp_path / 'run'}", f"start_backbone={seeing}"]
    assert main(["pose", "teacher", "--config", str(RECIPE), *settings]) == 0
    assert "teacher written to" in caplog.text
    network, data = load_network(tmp_path / "run" / "teacher.pth.tar")
    assert network.transformer_parameters() <= 5_000_000
    assert {"pck", "sigma", "shape"} <= data["extras"].keys()


def test_a_frozen_backbone_stays_as_it_is(tmp_path: Path) -> None:
    seeing = tmp_path / "openpose.pth.tar"
    save_teacher(LightweightOpenPose(0), seeing, 0, {})
    small = ["backbone=mobilenet", "width=32", "people=2", "blocks=1", "layers=1"]
    settings = [*TINY, *small, f"start_backbone={seeing}", f"out={tmp_path}", "backbone_rate=0"]
    assert main(["teacher", "kind=transformer", *settings]) == 0
    network, _ = load_network(tmp_path / "teacher.pth.tar")
    before = torch.load(seeing, weights_only=True)["state_dict"]
    for key, value in network.backbone.model.state_dict().items():
        assert torch.equal(value, before[f"model.{key}"]), key


def overfit(pictures: int, people: int, steps: int) -> tuple[float, float]:
    """PCK and OKS on the very pictures learnt; small networks, no luck needed."""
    torch.manual_seed(0)
    batch = batch_of(people, pictures, 64)
    network, truth = LinearPose(SMALL), truth_in(batch)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    x = to_input(batch["image"])
    for _ in range(steps):
        loss, _ = set_loss(network(x), truth, batch["area"], Weights())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    with torch.no_grad():
        found = network(x)[-1]
    best, target = best_person(found, 64), batch["target_person"].numpy()
    maps = render(keypoints18(found, 64), 64)
    drawn = pck(np.stack([decode_single(m[:19]) for m in maps]), target).overall
    assert people > 1 or drawn > 0.8
    total, counted = summed_oks(best, target, 64)
    return pck(best, target).overall, total / counted


def test_a_few_pictures_are_learnt_by_heart() -> None:
    score, alike = overfit(pictures=4, people=1, steps=60)
    assert score > 0.9
    assert alike > 0.8


@pytest.mark.long
def test_several_people_are_told_apart() -> None:
    torch.manual_seed(0)
    batch = batch_of(2, 6, 96)
    network, truth = LinearPose(SMALL), truth_in(batch)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    x = to_input(batch["image"])
    for _ in range(250):
        loss, _ = set_loss(network(x), truth, batch["area"], Weights())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    with torch.no_grad():
        found = network(x)[-1]
    picture, query, person = match(found, truth, Weights())
    alike = oks(
        found.points[picture, query], truth.box[picture, person],
        truth.points[picture, person], truth.marked[picture, person],
    )  # fmt: skip
    assert float(alike.mean()) > 0.8
    sure = torch.sigmoid(found.score) > 0.3
    assert (sure.sum(1) == truth.counts).float().mean() > 0.8


# What is told of it.


def test_an_exported_model_says_the_same(teacher_file: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    path = tmp_path / "people.onnx"
    assert main(["export", str(teacher_file), str(path), "--size", "64"]) == 0
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    image = torch.randn(1, 3, 64, 64)
    found = session.run(["box", "points"], {"image": image.numpy()})
    network, _ = load_network(teacher_file)
    with torch.inference_mode():
        wanted = network(image)[-1]
    np.testing.assert_allclose(found[0], wanted.box.numpy(), atol=1e-4)
    np.testing.assert_allclose(found[1], wanted.points.numpy(), atol=1e-4)
    assert [p.name for p in tmp_path.iterdir()] == ["people.onnx"]
    assert main(["export", str(teacher_file), str(path), "--size", "50"]) == 2


def test_counted_weights_are_the_networks() -> None:
    """The formula of the documentation, beside the modules that it describes."""
    from torch import nn

    from distill.tasks.pose.teachers.transformer.figures import (
        deformable_parameters,
        linear_parameters,
    )

    network = LinearPose(Shape(width=64))
    heads = [*(layer.points for layer in network.decoder.layers),
             *(layer.box for layer in network.decoder.layers), network.encoder.narrow]  # fmt: skip
    outside = {id(p) for head in heads for p in head.parameters()}
    modules = [*network.encoder.modules(), *network.decoder.modules()]
    counted = sum(
        m.weight.numel()
        for m in modules
        if isinstance(m, nn.Linear | nn.Conv2d) and id(m.weight) not in outside
    )
    assert counted == linear_parameters(64)
    # By hand: 6 layers x (2 x 256^2 + 3 x 128 x 256 + 2 x 256 x 1024), and 8 x 256^2 more in each
    # of the decoder's.
    assert deformable_parameters() == 6 * 753_664 + 6 * (753_664 + 524_288)


def test_flops_are_counted_as_the_formulas_say() -> None:
    from distill.tasks.pose.teachers.transformer.figures import attention_flops

    linear, explicit = attention_flops(100, width=32, heads=4)
    # Linear: k^T v and q (k^T v), 2 x tokens x 8 x 8 each; q sum(k), 2 x tokens x 8; 4 heads.
    assert linear == 4 * (2 * 2 * 100 * 8 * 8 + 2 * 100 * 8)
    assert explicit == 4 * 2 * 2 * 100 * 100 * 8
