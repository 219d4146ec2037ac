"""Networks that label: recognised by their signatures, asked and answered in their own terms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ai8x_models.codec import encode
from ai8x_models.skeleton import from_coco17
from common.errors import UserError
from distill.people.label import movenet
from distill.people.label.crew import FAMILIES, Crew
from distill.people.label.families import recognise
from distill.people.label.poses import Pose, alike
from tests.helpers import tiny_labellers as tiny

pytest.importorskip("onnxruntime")
RED = (250, 40, 30)


def picture(width: int, height: int, spot: tuple[int, int], size: int = 5) -> np.ndarray:
    """A dim picture with a red spot and a blue one far from it, uint8 [h, w, 3]."""
    pixels = np.full((height, width, 3), 40, np.uint8)
    x, y = spot
    pixels[y - size : y + size + 1, x - size : x + size + 1] = RED
    pixels[2:12, 2:12] = (20, 30, 250)
    return pixels


def somebody(x: float, y: float, size: float = 60.0) -> Pose:
    """A pose about a place, as a finder gives it."""
    points = np.ones((17, 3), np.float32)
    points[:, :2] = (x, y) + tiny.OFFSETS * size / 62
    return Pose(points, 0.9)


FINDERS: dict[str, Callable[[Path], Path]] = {
    "MoveNet MultiPose": tiny.multipose,
    "RTMO": tiny.rtmo,
    "YOLO-pose": tiny.yolo,
    "YOLO-pose, rows": lambda path: tiny.yolo(path, rows=True),
}
REFINERS: dict[str, Callable[[Path], Path]] = {
    "MoveNet for one person": tiny.movenet,
    "RTMPose": tiny.rtmpose,
    "ViTPose and other heatmaps": tiny.heatmaps,
}


@pytest.mark.parametrize("name", FINDERS)
@pytest.mark.parametrize("shape", [(200, 200), (120, 120), (321, 321)])
def test_finders_find_the_spot(name: str, shape: tuple[int, int], tmp_path: Path) -> None:
    family, network = recognise(FINDERS[name](tmp_path / "net.onnx"), FAMILIES)
    assert family.name == name.split(",")[0]
    (person,) = network.find(picture(*shape, (90, 70)))  # type: ignore[union-attr]
    # A square of one colour: the first of its pixels is the spot, up to half a pixel of the input.
    body = person.points[5:, :2].mean(axis=0)
    scale = max(shape) / (256 if name.startswith("Move") else 160)
    wanted = (90 - 5, 70 - 5) + tiny.OFFSETS[5:].mean(axis=0) * scale
    np.testing.assert_allclose(body, wanted, atol=1.3 * max(scale, 1))
    assert person.score == pytest.approx(RED[0] / 255, abs=0.03)
    assert person.points[0, 2] == pytest.approx(RED[0] / 255, abs=0.03)


@pytest.mark.parametrize("name", ["RTMO", "YOLO-pose"])
@pytest.mark.parametrize("shape", [(320, 200), (150, 260)])
def test_oblong_pictures_are_fitted_in(name: str, shape: tuple[int, int], tmp_path: Path) -> None:
    _, network = recognise(FINDERS[name](tmp_path / "net.onnx"), FAMILIES)
    (person,) = network.find(picture(*shape, (100, 120)))  # type: ignore[union-attr]
    scale = max(shape) / 160
    wanted = (95, 115) + tiny.OFFSETS[5:].mean(axis=0) * scale
    np.testing.assert_allclose(person.points[5:, :2].mean(axis=0), wanted, atol=1.3 * scale)


@pytest.mark.parametrize("name", REFINERS)
def test_refiners_find_the_spot_in_a_crop(name: str, tmp_path: Path) -> None:
    family, network = recognise(REFINERS[name](tmp_path / "net.onnx"), FAMILIES)
    assert family.name == name
    pixels = picture(400, 300, (200, 160), size=8)
    person = network.refine(pixels, somebody(205, 150))  # type: ignore[union-attr]
    side = 1.35 * 60  # of the crop, in pixels of the picture
    per_pixel = side / (64 if name.startswith("Move") else 128)
    offsets = tiny.OFFSETS / (2 if name.startswith("Move") else 1)
    wanted = (192, 152) + offsets * per_pixel
    cell = per_pixel * (4 if name.startswith("ViT") else 1)
    np.testing.assert_allclose(person.points[:, :2], wanted, atol=1.2 * max(cell, 1))
    assert person.score == np.float32(0.9)
    np.testing.assert_allclose(person.points[:, 2], RED[0] / 255, atol=0.03)


def test_openpose_maps_go_through_our_decoder(tmp_path: Path) -> None:
    truth = np.ones((1, 17, 3), np.float32) * 2
    truth[0, :, :2] = (64, 64) + tiny.OFFSETS * 1.6
    maps = encode(from_coco17(truth), 128)
    answer = np.concatenate([np.asarray(m, np.float32) for m in maps])[None]
    path = tiny.fixed(tmp_path / "maps.onnx", answer)
    family, network = recognise(path, FAMILIES)
    assert family.name == "Lightweight OpenPose"
    (person,) = network.find(np.zeros((64, 64, 3), np.uint8))  # type: ignore[union-attr]
    # The maps are an eighth of 128 pixels; the picture of 64 was shown at 256.
    expected = np.hstack([(truth[0, :, :2] + 0.5) / 4 - 0.5, np.ones((17, 1))])
    assert alike(person.points, expected.astype(np.float32)) > 0.8
    assert 0.25 < person.score <= 1


@pytest.mark.parametrize(
    ("file", "family", "role"),
    [
        ("movenet-multipose.onnx", "MoveNet MultiPose", "find"),
        ("movenet-thunder.onnx", "MoveNet for one person", "refine"),
        ("lightweight-openpose.onnx", "Lightweight OpenPose", "find"),
    ],
)
def test_published_files_are_recognised(
    shared_dir: Path, file: str, family: str, role: str
) -> None:
    path = shared_dir / "teachers" / file
    if not path.is_file():
        pytest.skip(f"the pretrained network is not there (teachers/{file})")
    found, network = recognise(path, FAMILIES)
    assert found.name == family
    assert hasattr(network, role)


def test_an_unknown_signature_is_one_sentence(tmp_path: Path) -> None:
    path = tiny.fixed(tmp_path / "classes.onnx", np.zeros((1, 1000)), (1, 3, 224, 224))
    with pytest.raises(UserError) as error:
        Crew([path])
    said = str(error.value)
    assert "image float [1, 3, 224, 224] -> " in said
    assert "float [1, 1000], known are MoveNet MultiPose: [1, h, w, 3] -> [1, 6, 56]; " in said
    assert "\n" not in said
    for family in FAMILIES:
        assert family.name in said


LOGITS: dict[str, Callable[[Path], Any]] = {
    "yolo": lambda path: tiny.yolo(path, factor=9.0),
    "movenet": lambda path: tiny.movenet(path, factor=1.0),
    "heatmaps": lambda path: tiny.heatmaps(path, factor=30.0),
}


@pytest.mark.parametrize("name", LOGITS)
def test_scores_that_are_no_probabilities_are_one_sentence(name: str, tmp_path: Path) -> None:
    crew = Crew([LOGITS[name](tmp_path / "net.onnx")])
    pixels = picture(160, 160, (90, 70))
    with pytest.raises(UserError, match=r"net\.onnx answers with scores from .* no probabilities"):
        [crew.refine(pixels, candidate.pose) for candidate in crew.find(pixels)]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_answers_that_are_no_numbers_are_one_sentence(value: float, tmp_path: Path) -> None:
    answer = np.full((1, 56, 3), value, np.float32)
    crew = Crew([tiny.fixed(tmp_path / "net.onnx", answer, (1, 3, 160, 160))])
    with pytest.raises(UserError, match="values that are no numbers"):
        crew.find(picture(160, 160, (90, 70)))


def test_files_that_are_no_networks_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"no network")
    with pytest.raises(UserError, match="is no ONNX network that can be run") as error:
        Crew([tmp_path / "net.onnx"])
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="cannot read network"):
        Crew([tmp_path / "nowhere.onnx"])
    with pytest.raises(UserError, match="name at least one network"):
        Crew([])


def test_two_networks_for_single_people_are_refused(tmp_path: Path) -> None:
    paths = [tiny.movenet(tmp_path / "a.onnx"), tiny.heatmaps(tmp_path / "b.onnx")]
    with pytest.raises(UserError, match=r"b\.onnx is the second network that looks at single"):
        Crew(paths)


def test_two_finders_that_agree_find_one_person(tmp_path: Path) -> None:
    crew = Crew([tiny.rtmo(tmp_path / "a.onnx"), tiny.yolo(tmp_path / "b.onnx")])
    (candidate,) = crew.find(picture(160, 160, (90, 70)))
    assert candidate.certain


@pytest.mark.parametrize("shape", [(10, 20000), (20000, 10), (1, 1)])
def test_multipose_looks_at_pictures_of_any_shape(shape: tuple[int, int]) -> None:
    seen = []

    class Blind:
        path = Path("blind.onnx")

        def __call__(self, canvas: np.ndarray) -> list[np.ndarray]:
            seen.append(canvas.shape)
            return [np.zeros((1, movenet.PEOPLE, 56), np.float32)]

    finder = movenet.MultiPose(Blind())  # type: ignore[arg-type]
    assert finder.find(np.zeros((*shape, 3), np.uint8)) == []
    assert all(side >= movenet.STEP and side % movenet.STEP == 0 for c in seen for side in c[1:3])
