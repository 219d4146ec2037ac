"""Networks of other people in the tables, beside ours."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ai8x_models.skeleton import COCO17, to_coco17
from distill.__main__ import main
from distill.tasks.pose.evaluation.accuracy import Entry, measure
from distill.tasks.pose.evaluation.evaluate import load_any
from distill.tasks.pose.evaluation.published import Published, published
from tests.helpers import tiny_labellers as tiny

SPOT = (70, 66)  # x, y
POINTS = np.array(SPOT) + tiny.OFFSETS / 2  # of a picture of 128 pixels


@pytest.fixture
def one_person(tmp_path: Path) -> Path:
    """A set of two pictures: one with somebody where the tiny networks see them, one without."""
    for name, spot in (("somebody.png", True), ("nobody.png", False)):
        pixels = np.zeros((128, 128, 3), np.uint8)
        if spot:
            pixels[SPOT[1], SPOT[0], 2] = 230
        cv2.imwrite(str(tmp_path / name), pixels)
    points = np.hstack([POINTS, np.full((17, 1), 2)])
    low, size = POINTS.min(axis=0), np.ptp(POINTS, axis=0)
    content = {
        "images": [
            {"id": n, "file_name": name, "width": 128, "height": 128}
            for n, name in enumerate(("somebody.png", "nobody.png"))
        ],
        "annotations": [
            {"id": 1, "image_id": 0, "category_id": 1, "keypoints": points.ravel().tolist(),
             "num_keypoints": 17, "bbox": [*low, *size], "area": float(size.prod() / 2)}
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO17)}],
    }  # fmt: skip
    (tmp_path / "set.json").write_text(json.dumps(content))
    return tmp_path / "set.json"


def test_who_is_found_is_judged_as_for_our_networks(one_person: Path, tmp_path: Path) -> None:
    entries = [
        Entry("at 128", tiny.multipose(tmp_path / "multi.onnx"), 128),
        Entry("at 64", tmp_path / "multi.onnx", 64),
        Entry("of another size", tiny.yolo(tmp_path / "yolo.onnx"), 128),
    ]
    results, _ = measure(entries, one_person, tmp_path, None)
    found = results["at 128"]
    assert found.ap["AP"] > 0.95
    assert (found.right.recall, found.right.precision, found.right.false_pictures) == (1, 1, 0)
    (person,) = found.answers[0]
    np.testing.assert_allclose(to_coco17(person.keypoints)[:, :2], POINTS, atol=1)
    assert person.score == pytest.approx(230 / 255, abs=0.01)
    # Fitted into 64 pixels the spot is a quarter as bright; into 128 it is what the network got.
    assert results["at 64"].answers[0][0].score == pytest.approx(230 / 255 / 4, abs=0.02)
    assert len(results["of another size"].answers[0]) == 1


def test_one_persons_points_of_a_crop(tmp_path: Path) -> None:
    crop = np.zeros((128, 128, 3), np.uint8)
    crop[SPOT[1] - 1 : SPOT[1] + 2, SPOT[0] - 1 : SPOT[0] + 2, 0] = 230
    for path in (tiny.movenet(tmp_path / "one.onnx"), tiny.multipose(tmp_path / "multi.onnx")):
        network = load_any(path)
        assert isinstance(network, Published)
        points = network.points(crop)
        assert points.shape == (18, 3)
        scale = 2 if path.stem == "one" else 1
        np.testing.assert_allclose(points[0, :2], SPOT + tiny.OFFSETS[0] / 2 * scale, atol=2)
    nobody = load_any(tmp_path / "multi.onnx")
    assert isinstance(nobody, Published)
    assert not nobody.points(np.zeros_like(crop)).any()


def test_the_command_line_has_a_row_for_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tiny.movenet(tmp_path / "one.onnx")
    assert main(["eval", str(path), "--synthetic", "2", "--size", "64", "--flip"]) == 0
    said = capsys.readouterr().out
    assert f"| {tmp_path.name}/one.onnx |" in said
    assert "flip test" not in said


def test_what_is_none_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert published(tmp_path / "student.pth.tar") is None
    classes = tiny.fixed(tmp_path / "classes.onnx", np.zeros((1, 1000)), (1, 3, 224, 224))
    assert published(classes) is None
    (tmp_path / "text.onnx").write_text("hello")
    for name in ("classes.onnx", "text.onnx", "missing.onnx"):
        assert main(["eval", str(tmp_path / name), "--synthetic", "2"]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert name in line
        assert ("MoveNet MultiPose" in line) == (name == "classes.onnx")


def test_sizes_that_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tiny.multipose(tmp_path / "multi.onnx")
    rest = ["--annotations", "set.json", "--images", "."]
    for name in ("m@0", "m@8", "m@100", "m@999999992", "m@" + "9" * 5000):
        assert main(["pose", "accuracy", "--network", f"{name}={path}", *rest]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert "multiple of 8" in line
    for verb in ("accuracy", "thresholds"):
        first = ["--network", f"m={path}"] if verb == "accuracy" else [str(path), "--set", "a", "b"]
        more = rest if verb == "accuracy" else []
        assert main(["pose", verb, *first, "--size", "100", *more]) == 2
        assert "--size is 100; it must be a multiple of 8" in capsys.readouterr().err


def test_a_size_between_those_that_multipose_takes(tmp_path: Path) -> None:
    """It takes multiples of 32, and gets the next one."""
    network = load_any(tiny.multipose(tmp_path / "multi.onnx"))
    assert isinstance(network, Published)
    crop = np.zeros((40, 40, 3), np.uint8)
    crop[18:23, 18:23, 0] = 230
    (person,) = network.people(crop)
    np.testing.assert_allclose(person.keypoints[0, :2], 20 + tiny.OFFSETS[0] * 40 / 256, atol=3)


def test_two_networks_of_one_name(
    one_person: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = []
    for folder in ("x", "y"):
        (tmp_path / folder / "n").mkdir(parents=True)
        files.append(str(tiny.multipose(tmp_path / folder / "n" / "m.onnx")))
    where = ["--annotations", str(one_person), "--images", str(tmp_path)]
    assert main(["eval", *files, *where, "--whole"]) == 0
    said = capsys.readouterr().out
    assert all(said.count(f"| {file} |") == 2 for file in files)
    named = [f"--network=a={file}" for file in files]
    assert main(["pose", "accuracy", *named, *where]) == 2
    assert "two networks are called 'a'" in capsys.readouterr().err


def test_a_broken_file_is_told_before_the_first_is_measured(
    one_person: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = tiny.multipose(tmp_path / "multi.onnx")
    (tmp_path / "empty.onnx").write_bytes(b"")
    (tmp_path / "folder.onnx").mkdir()
    where = ["--annotations", str(one_person), "--images", str(tmp_path)]
    for name, said in (("empty", "is no ONNX network"), ("folder", "it is no file")):
        assert main(["eval", str(good), str(tmp_path / f"{name}.onnx"), *where]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert said in captured.err
        assert "ONNXRuntimeError" not in captured.err
