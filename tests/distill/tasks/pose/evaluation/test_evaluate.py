"""Evaluation of checkpoints: crops, whole pictures, flip test, sheets of cases, bad options."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ai8x_models.codec import encode
from ai8x_models.skeleton import from_coco17
from ai8x_models.student_file import save_student
from ai8x_models.students import Student
from distill.__main__ import main
from distill.people.annotations import KeypointFile
from distill.people.metrics import pck, torso_lengths
from distill.people.person_sets import PeopleSet
from distill.people.synthetic import write_set
from distill.tasks.pose.evaluation.evaluate import (
    CropResult,
    evaluate_crops,
    ground_truth,
    head_lengths,
    predict,
)
from distill.tasks.pose.evaluation.report import case_sheet, crop_table
from distill.tasks.pose.evaluation.whole import evaluate_whole
from distill.tasks.pose.teachers.openpose import LightweightOpenPose, save_teacher

SIZE = 128


@pytest.fixture(scope="module")
def people_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("set") / "people", 5, seed=11, size=SIZE)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("nets")
    torch.manual_seed(2)
    save_student(Student("tiny"), folder / "student.pth.tar", 0, {})
    save_teacher(LightweightOpenPose(0, 16), folder / "teacher.pth.tar", 0, {})
    return [folder / "student.pth.tar", folder / "teacher.pth.tar"]


class Oracle(nn.Module):
    """A network that knows the answers: maps of whole pictures by their pixels' sum."""

    def __init__(self, content: KeypointFile, folder: Path) -> None:
        super().__init__()
        self.answers: dict[int, tuple[Tensor, Tensor]] = {}
        for image in content.images:
            pixels = cv2.imread(str(folder / image["file_name"]))
            marked, _ = content.people_of(image, SIZE, SIZE)
            points = np.array([a["keypoints"] for a in marked], np.float32).reshape(-1, 17, 3)
            heat, pafs = encode(from_coco17(points), SIZE)
            self.answers[int(pixels.sum())] = torch.from_numpy(heat), torch.from_numpy(pafs)

    def maps(self, x: Tensor) -> tuple[Tensor, ...]:
        found = [self.answers[round(float((image * 128 + 128).double().sum()))] for image in x]
        return tuple(torch.stack(maps) for maps in zip(*found, strict=True))


def test_perfect_maps_give_a_high_average_precision(people_file: Path) -> None:
    content = KeypointFile(people_file)
    oracle = Oracle(content, people_file.parent)
    result = evaluate_whole(oracle, content, people_file.parent, SIZE)  # type: ignore[arg-type]
    assert result.ap["AP50"] > 0.7
    assert result.right.recall > 0.7
    assert result.right.precision > 0.9
    # A network that finds nobody finds nobody.
    with torch.no_grad():
        for heat, pafs in oracle.answers.values():
            heat.zero_()
            pafs.zero_()
    nobody = evaluate_whole(oracle, content, people_file.parent, SIZE)  # type: ignore[arg-type]
    assert nobody.ap["AP"] == nobody.right.recall == 0
    assert np.isnan(nobody.right.precision)


def test_flip_test_averages_with_the_mirrored_picture() -> None:
    torch.manual_seed(0)
    network = LightweightOpenPose(0, 16).eval()
    image = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    plain, both = predict(network, image), predict(network, image, flip=True)
    mirrored = predict(network, image.flip(-1), flip=True)
    scale = float(plain.std())
    # The nose's map of the mirrored picture is the mirrored one; without the test it is not.
    np.testing.assert_allclose(mirrored[:, 0, :, ::-1] / scale, both[:, 0] / scale, atol=1e-3)
    assert np.abs(both - plain).max() > 0.1 * scale


def test_lengths_other_than_the_torso() -> None:
    truth = np.zeros((2, 18, 3), np.float32)
    truth[:, :, 2] = 2
    found = truth[..., :2] + np.float32([3, 4])
    assert np.isnan(torso_lengths(truth * 0)).all()
    result = pck(found, truth, 0.5, lengths=[10.0, np.nan])
    assert (result.overall, result.people, result.skipped) == (1.0, 1, 1)
    assert pck(found, truth, 0.5, lengths=[9.9, 9.9]).overall == 0.0


def test_peaks_of_right_and_wrong_points() -> None:
    truth = np.zeros((1, 18, 3), np.float32)
    truth[:, :6, 2] = 2
    truth[:, 8] = (0, 50, 2)  # the right hip: a torso of 50 pixels
    found = truth.copy()
    found[0, :, 2] = 0.8
    found[0, :2] = (30, 0, 0.2)  # two of seven labelled points are wrong
    found[0, 10:] = (99, 99, 0.9)  # not labelled: not counted
    result = CropResult(found, truth, np.full(1, np.nan), 1.0)
    assert result.peaks() == pytest.approx((0.8, 0.2))
    assert "| 80.0 | 20.0 |" in crop_table({"it": result})
    found[0, :2] = truth[0, :2]
    assert np.isnan(CropResult(found, truth, np.full(1, np.nan), 1.0).peaks()[1])


def test_head_length_is_that_of_the_crop(tmp_path: Path) -> None:
    points = np.zeros((14, 3))
    points[:, 2] = 2
    points[:, 1] = np.arange(14) * 10  # 130 pixels tall; neck and head top 10 apart
    data = {
        "images": [{"id": 1, "file_name": "a.png", "width": 200, "height": 200}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "num_keypoints": 14,
                         "bbox": [0, 0, 10, 130], "area": 700,
                         "keypoints": points.reshape(-1).tolist()}],
        "categories": [{"id": 1, "name": "person", "keypoints": [str(i) for i in range(14)]}],
    }  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps(data))
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((200, 200, 3), np.uint8))
    people = PeopleSet(tmp_path / "a.json", tmp_path)
    extent = 120  # neck to the first ankle; the head top is none of the 18 points
    assert head_lengths(people, 128)[0] == pytest.approx(10 * 128 / (1.3 * extent))
    # Networks of 18 points are not charged with the head top.
    (record,) = ground_truth(people.content, people.content.images)["annotations"]
    assert record["num_keypoints"] == 13
    assert record["keypoints"][39:] == [0, 0, 0]


def test_cases_are_sorted_best_first(people_file: Path) -> None:
    people = PeopleSet(people_file, people_file.parent)
    count = len(people.people)
    torch.manual_seed(0)
    truth = evaluate_crops(Student("tiny"), people, 64).truth
    found = truth.copy()
    found[1, :, :2] += 1e3
    result = CropResult(found, truth, np.full(count, np.nan), 1.0)
    order = result.order()
    if 1 in order:
        assert order[-1] == 1
    sheet = case_sheet(people, result, 64, cases=2)
    assert sheet.shape == (2 * 128, 2 * 2 * 128, 3)


def test_tables_on_the_command_line(
    checkpoints: list[Path], people_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "eval", *map(str, checkpoints), "--annotations", str(people_file),
        "--images", str(people_file.parent), "--size", "64", "--limit", "3", "--flip", "--whole",
        "--pictures", str(tmp_path / "cases"),
    ]  # fmt: skip
    assert main(arguments) == 0
    said = capsys.readouterr().out
    folder = checkpoints[0].parent.name
    for name in ("student", "teacher"):
        assert said.count(f"| {folder}/{name}.pth.tar |") == 2  # crops and whole pictures
        assert said.count(f"| {folder}/{name}.pth.tar, flip test |") == 2
    assert "| network | AP | AP50 |" in said
    assert len(list((tmp_path / "cases").glob("*.png"))) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "name a set with --annotations"),
        (["--synthetic", "2", "--annotations", "a", "--images", "b"], "name a set"),
        (["--synthetic", "2", "--whole"], "--whole needs --annotations"),
        (["--synthetic", "2", "--size", "100"], "--size is 100"),
        (["--annotations", "no.json", "--images", "."], "cannot read annotations no.json"),
    ],
)
def test_bad_options_are_one_sentence(
    checkpoints: list[Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    options: list[str],
    said: str,
) -> None:
    monkeypatch.setenv("POSE78_DATA", str(tmp_path))  # where there is nothing
    assert main(["eval", str(checkpoints[0]), *options]) == 2
    assert said in capsys.readouterr().err
