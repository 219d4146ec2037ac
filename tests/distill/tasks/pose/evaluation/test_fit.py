"""Thresholds are fitted on pictures and travel in the checkpoint; the accuracy page."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ai8x_models import thresholds
from ai8x_models.codec import encode
from ai8x_models.preprocess import prepare
from ai8x_models.skeleton import COCO17, from_coco17
from ai8x_models.student_file import load_student, read_checkpoint, save_student
from ai8x_models.students import Student
from ai8x_models.thresholds import DecodeSettings
from common.errors import UserError
from distill.people.judge import Truth, score
from distill.tasks.pose.evaluation import accuracy, fit
from distill.tasks.pose.evaluation.whole import Maps, Picture, WholeResult, look
from tests.helpers.judged import found, labelled, truth

SIZE = 128


def seen(points: np.ndarray | None, known: Truth, gain: float, noise: float, seed: int) -> fit.Seen:
    """A picture whose maps show somebody, as strongly as ``gain`` says, on a grid of 32 x 32."""
    people = np.zeros((0, 17, 3), np.float32) if points is None else points[None]
    heat, pafs = encode(from_coco17(people.astype(np.float32)), SIZE, 4, 4.0)
    rng = np.random.default_rng(seed)
    values = np.concatenate([heat, pafs]) * gain
    values = np.round(128 * (values + rng.normal(0, noise, values.shape))).clip(-128, 127)
    prepared = prepare(np.zeros((SIZE, SIZE, 3), np.uint8), SIZE)
    return fit.Seen(Picture({}, prepared, known), Maps(values.astype(np.int32), (7, 7)))


def test_the_fit_tells_people_from_faint_ghosts() -> None:
    people = [labelled(10 + 3 * n, 5, 90 + 3 * n) for n in range(4)]
    pictures = [seen(one, truth(one), 0.9, 0.02, n) for n, one in enumerate(people)]
    pictures += [seen(labelled(20, 20, 80), truth(), 0.35, 0.02, 10 + n) for n in range(4)]
    before = fit.check(pictures, DecodeSettings())
    fitted = fit.fit(pictures, 0.0)
    after = fit.check(pictures, fitted.settings)
    assert before.false_pictures > 0
    assert (after.recall, after.precision, after.false_pictures) == (1, 1, 0)
    assert fitted.f1 == 1


def test_thresholds_that_gain_nothing_stay_as_they_are() -> None:
    people = [labelled(10 + 3 * n, 5, 90 + 3 * n) for n in range(3)]
    pictures = [seen(one, truth(one), 0.9, 0.02, n) for n, one in enumerate(people)]
    pictures.append(seen(None, truth(), 0.9, 0.02, 9))
    fitted = fit.fit(pictures, 0.0).settings
    usual = fit.OPEN_DOOR
    for name in ("peak", "agreement", "affinity"):
        assert getattr(fitted, name) == getattr(usual, name)


def test_a_set_of_empties_alone_is_read_and_named_as_what_is_missing(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((64, 64, 3), np.uint8))
    content = {"images": [{"id": 0, "file_name": "0.png", "width": 64, "height": 64}],
               "annotations": [], "categories": [{"id": 1, "keypoints": list(COCO17)}]}  # fmt: skip
    (tmp_path / "set.json").write_text(json.dumps(content))
    save_student(Student("tiny").eval(), tmp_path / "tiny.pth.tar", 0, {})
    arguments = [str(tmp_path / "tiny.pth.tar"), "--set", str(tmp_path / "set.json"), str(tmp_path)]
    with pytest.raises(UserError, match="0 people and 1 pictures without anybody"):
        fit.main(arguments)


def test_somebody_badly_placed_is_there() -> None:
    """A skeleton on a real person counts as right from an OKS of 0.3 on, not from 0.5."""
    person = labelled(20, 10, 100)
    moved = person + np.array([5.0, 5.0, 0.0], np.float32)
    picture = seen(moved, truth(person), 0.9, 0.0, 0)
    answers, truths = [picture.people(DecodeSettings())], [picture.picture.truth]
    assert score(answers, truths, 0.3).recall == 1
    assert score(answers, truths, 0.5).recall == 0
    assert fit.weigh([picture], fit.OPEN_DOOR, 0.0).f1 == 1


def test_fitted_thresholds_travel_in_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "student.pth.tar"
    save_student(Student("tiny"), path, 3, {"note": "kept"})
    own = DecodeSettings(peak=0.25, min_keypoints=5, min_score=0.4)
    fit.save(path, path, own)
    extras = read_checkpoint(path)["extras"]
    assert thresholds.from_extras(extras, "x") == own
    assert extras["note"] == "kept"
    assert load_student(path)[0].spec.name == "tiny"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"peaks": 1}, "decoder settings are"),
        ({"peak": "high"}, "peak is 'high'"),
        ({"peak": float("nan")}, "peak is nan"),
        ({"max_people": 9}, "max_people is 9; 1 to 8"),
        ([1], "decoder settings are"),
    ],
)
def test_thresholds_that_make_no_sense_are_refused(given: object, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        thresholds.from_extras({"decoder": given}, "some.pth.tar")


def test_an_integer_students_maps_are_its_integers(tmp_path: Path) -> None:
    torch.manual_seed(1)
    student = Student("tiny").eval()
    prepared = prepare(np.full((SIZE, SIZE, 3), 40, np.uint8), SIZE)
    maps = look(student, prepared)
    assert maps.units is None
    assert maps.values.shape == (57, 16, 16)


def test_a_gallery_shows_only_what_may_be_shown(tmp_path: Path) -> None:
    one = labelled(10, 5, 90)
    entries = [
        {"id": n, "file_name": f"{n}.png", "source": f"00000000{n}.jpg", "license": licence}
        for n, licence in enumerate((4, 3, 8))
    ]
    for entry in entries:
        cv2.imwrite(str(tmp_path / str(entry["file_name"])), np.zeros((128, 128, 3), np.uint8))
    answers = [[found(one, 0.9)], [found(one, 0.9)], [found(one, 0.8, 60)]]
    truths = [truth(one)] * 3
    judged = score(answers, truths)
    result = WholeResult(entries, answers, truths, {}, judged, judged)
    right, wrong = accuracy.cases(result, 5)
    assert [case.index for case in right] == [0]
    assert [case.index for case in wrong] == [2]
    assert wrong[0].caption == "0 found, 1 missed, 1 not there"
    assert "CC BY 2.0" in accuracy.source_of(entries[0])
    points = accuracy.curve(result)
    assert [round(p, 2) for _, p, _ in points] == [1, 1, 0.67]
    (tmp_path / "set.json").write_text(
        json.dumps({"images": entries, "annotations": [{"id": 1}],
                    "categories": [{"id": 1, "name": "person", "keypoints": list(COCO17)}]})
    )  # fmt: skip
    content = accuracy.KeypointFile(tmp_path / "set.json")
    page = tmp_path / "docs" / "accuracy.md"
    drawn = accuracy.gallery(result, content, tmp_path, page.parent / "images", page, 5)
    assert "![1 found, 0 missed, 0 not there](images/0.jpg)" in drawn
    assert sorted(p.name for p in (page.parent / "images").iterdir()) == ["0.jpg", "2.jpg"]


@pytest.mark.parametrize("text", ["native", "=x", "a@b=x", "a="])
def test_a_network_is_named_as_the_sentence_says(text: str) -> None:
    with pytest.raises(UserError, match="write NAME=CHECKPOINT"):
        accuracy.Entry.parse(text, SIZE)
    assert accuracy.Entry.parse("teacher@256=t.onnx", SIZE).size == 256
