"""Synthetic people: exact where they claim to be."""

import importlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ai8x_models.preprocess import read_picture
from ai8x_models.skeleton import KEYPOINTS
from common.errors import UserError
from distill.people import film
from distill.people.synthetic import (
    coco_annotations,
    crossing_scene,
    demonstration,
    main,
    make_scene,
    write_set,
)


def test_the_seed_decides_everything() -> None:
    first, again, other = make_scene(4, 96, 128), make_scene(4, 96, 128), make_scene(5, 96, 128)
    assert np.array_equal(first.pixels, again.pixels)
    assert np.array_equal(first.keypoints, again.keypoints)
    assert not np.array_equal(first.pixels, other.pixels)
    assert first.pixels.shape == (128, 96, 3)
    assert first.pixels.dtype == np.uint8


@pytest.mark.parametrize("people", [0, 1, 3])
def test_as_many_people_as_asked(people: int) -> None:
    assert make_scene(1, 64, 64, people=people).keypoints.shape == (people, 18, 3)


def test_keypoints_lie_in_the_picture_or_are_not_labelled() -> None:
    for seed in range(30):
        scene = make_scene(seed, 120, 100)
        points = scene.keypoints.reshape(-1, 3)
        seen = points[:, 2] > 0
        assert set(np.unique(points[:, 2])) <= {0, 1, 2}
        assert (points[~seen] == 0).all()
        assert (points[seen, :2] > -0.5).all()
        assert (points[seen, 0] < 119.5).all()
        assert (points[seen, 1] < 99.5).all()


def test_the_neck_is_between_the_shoulders() -> None:
    for seed in range(20):
        for person in make_scene(seed).keypoints:
            ends = person[[KEYPOINTS.index(name) for name in ("r_shoulder", "l_shoulder", "neck")]]
            if (ends[:, 2] > 0).all():
                right, left, neck = ends[:, :2]
                # The neck's root is 0.01 body heights above the line through the shoulders.
                assert np.abs((right + left) / 2 - neck).max() < 4


def test_hands_are_drawn_where_the_wrists_are() -> None:
    """With one person on an otherwise equal picture, the wrists' pixels differ from nobody's."""
    near = 0
    total = 0
    for seed in range(12):
        scene = make_scene(seed, 256, 256, people=1, active=1.0)
        for name in ("r_wrist", "l_wrist"):
            x, y, visible = scene.keypoints[0, KEYPOINTS.index(name)]
            if visible == 2 and 6 < x < 249 and 6 < y < 249:
                skin = scene.pixels[round(float(y)), round(float(x))].astype(int)
                total += 1
                near += skin[0] > skin[2]  # every skin colour has more red than blue
    assert total >= 12
    assert near / total > 0.7  # the rest are behind the back


def test_facing_people_have_their_right_side_at_the_left() -> None:
    facing = 0
    for seed in range(20):
        scene = make_scene(seed, people=1, active=0.0)
        person = scene.keypoints[0]
        face = person[[KEYPOINTS.index(n) for n in ("nose", "r_eye", "l_eye", "r_ear", "l_ear")]]
        right, left = (person[KEYPOINTS.index(n)] for n in ("r_shoulder", "l_shoulder"))
        if (face[:, 2] > 0).all() and right[2] > 0 and left[2] > 0:
            facing += 1
            assert right[0] < left[0]
    assert facing >= 3


def test_annotations_name_what_is_seen() -> None:
    scene = make_scene(3)
    for record in coco_annotations(scene, 7, 1):
        points = np.reshape(record["keypoints"], (17, 3))
        assert record["image_id"] == 7
        assert record["num_keypoints"] == (points[:, 2] > 0).sum() > 0
        x, y, w, h = record["bbox"]
        seen = points[points[:, 2] > 0]
        assert (seen[:, 0] >= x - 0.02).all()
        assert (seen[:, 0] <= x + w + 0.02).all()
        assert (seen[:, 1] >= y - 0.02).all()
        assert (seen[:, 1] <= y + h + 0.02).all()


def test_a_set_is_written_whole_or_not_at_all(tmp_path: Path, capsys) -> None:
    target = tmp_path / "people"
    assert main([str(target), "--count", "3", "--size", "64"]) == 0
    content = json.loads((target / "annotations.json").read_text())
    assert [entry["file_name"] for entry in content["images"]] == [f"{i:06d}.jpg" for i in range(3)]
    assert all(cv2.imread(str(path)).shape == (64, 64, 3) for path in target.glob("*.jpg"))
    assert len(content["categories"][0]["keypoints"]) == 17
    assert [path.name for path in tmp_path.iterdir()] == ["people"]
    with pytest.raises(UserError, match="exists already"):
        write_set(target, 1)
    capsys.readouterr()
    assert main([str(target), "--count", "1"]) == 2
    assert "exists already" in capsys.readouterr().err


def test_a_set_of_people_who_cross(tmp_path: Path) -> None:
    folder = tmp_path / "crossing"
    assert main([str(folder), "--count", "6", "--size", "96", "--crossing", "--seed", "2"]) == 0
    content = json.loads((folder / "annotations.json").read_text())
    points = [np.reshape(record["keypoints"], (17, 3)) for record in content["annotations"]]
    assert 12 <= len(points) <= 24, "four each, but for who is outside"
    assert any((person[:, 2] == 1).any() for person in points), "somebody stands behind another"
    assert all(cv2.imread(str(path)).shape == (96, 96, 3) for path in folder.glob("*.jpg"))
    again = crossing_scene(2, 96)
    np.testing.assert_array_equal(again.pixels, crossing_scene(2, 96).pixels)
    assert not np.array_equal(again.pixels, crossing_scene(3, 96).pixels)


def test_nobody_is_trained_with_who_is_judged_by() -> None:
    judged = {actor.seed for n in range(200) for actor in film.crossing(n).actors}
    trained = {actor.seed for n in range(200) for actor in film.crossing(film.STILLS + n).actors}
    assert not judged & trained


def test_the_shipped_picture_is_the_one_our_code_draws() -> None:
    path = Path(__file__).resolve().parents[3] / "docs" / "images" / "people.png"
    shipped = read_picture(path).astype(int)
    drawn = demonstration().pixels
    assert shipped.shape == drawn.shape
    # Other releases of OpenCV may round edges differently.
    assert np.mean(np.abs(shipped - drawn) > 2) < 0.01


@pytest.mark.parametrize("name", ["synthetic", "bench"])
def test_the_older_names_of_the_commands_lead_to_them(name: str) -> None:
    older = importlib.import_module(f"distill.{name}")
    assert older.main is importlib.import_module(f"distill.people.{name}").main
