"""Result pictures put things where they are."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from ai8x_models.codec import encode
from ai8x_models.decode import Person, decode
from ai8x_models.overlay import compose, draw_heatmaps, draw_people, write_picture
from ai8x_models.preprocess import prepare
from common.errors import UserError
from distill.people.synthetic import make_scene


def test_a_limb_is_drawn_only_between_found_points() -> None:
    black = np.zeros((64, 64, 3), dtype=np.uint8)
    person = np.zeros((18, 3), dtype=np.float32)
    person[2], person[3] = (10, 10, 1), (10, 50, 1)
    drawn = draw_people(black, [person])
    assert drawn[30, 10].any()
    assert not drawn[:, 20:].any()
    assert not black.any()
    person[3, 2] = 0
    assert not draw_people(black, [person])[30].any()


def test_heatmap_glows_at_its_point() -> None:
    person = np.zeros((1, 18, 3), dtype=np.float32)
    person[0, 4] = 83.5, 43.5, 1
    grey = np.full((128, 128, 3), 100, dtype=np.uint8)
    shown = draw_heatmaps(grey, encode(person)[0]).astype(int)
    colourful = shown.max(axis=2) - shown.min(axis=2)
    row, column = np.unravel_index(colourful.argmax(), colourful.shape)
    assert abs(row - 43.5) <= 4
    assert abs(column - 83.5) <= 4
    assert colourful[110, 20] == 0


@pytest.mark.parametrize(("width", "height"), [(300, 150), (90, 200), (128, 128)])
def test_three_panels_with_the_skeleton_at_the_right_pixels(width: int, height: int) -> None:
    scene = make_scene(9, width, height, people=1, active=0.2)
    ready = prepare(scene.pixels)
    points = scene.keypoints.copy()
    seen = points[..., 2] > 0
    points[seen, :2] = (points[seen, :2] + 0.5) * ready.scale - 0.5
    heat, pafs = encode(points)
    people = decode(heat, pafs)
    assert len(people) == 1
    shown = compose(scene.pixels, ready, heat, people, side=240)
    factor = 240 / max(width, height)
    panel = round(width * factor)
    assert shown.shape == (round(height * factor) + 28, 3 * panel + 12, 3)
    changed = np.abs(shown[28:, :panel].astype(int) - shown[28:, -panel:]).max(axis=2) > 30
    for x, y, visible in scene.keypoints[0]:
        if visible:
            row, column = round((y + 0.5) * factor), round((x + 0.5) * factor)
            # Half a cell of the network is 4 input pixels.
            reach = int(np.ceil(4 * factor / min(ready.scale)))
            window = changed[
                max(0, row - reach) : row + reach, max(0, column - reach) : column + reach
            ]
            assert window.any()
    nobody = compose(scene.pixels, ready, heat, [], side=240)
    assert np.array_equal(nobody[28:, :panel], nobody[28:, -panel:])


def test_decoded_points_return_to_the_picture() -> None:
    """The whole way: picture -> input -> maps -> people -> picture."""
    scene = make_scene(9, 300, 200, people=1, active=0.2)
    ready = prepare(scene.pixels)
    points = scene.keypoints.copy()
    seen = points[..., 2] > 0
    points[seen, :2] = (points[seen, :2] + 0.5) * ready.scale - 0.5
    found = ready.to_picture(decode(*encode(points))[0].keypoints)
    both = seen[0] & (found[:, 2] > 0)
    assert both.sum() >= 12
    assert np.median(np.abs(found[both, :2] - scene.keypoints[0, both, :2])) < 1.0


def test_a_file_is_whole_or_missing(tmp_path: Path) -> None:
    pixels = np.full((4, 5, 3), (255, 0, 0), dtype=np.uint8)
    write_picture(tmp_path / "a.png", pixels)
    assert cv2.imread(str(tmp_path / "a.png"))[0, 0].tolist() == [0, 0, 255]
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    with pytest.raises(UserError, match="cannot write"):
        write_picture(tmp_path / "a.png" / "b.png", pixels)


def test_person_scores_do_not_matter_for_drawing() -> None:
    points = np.zeros((18, 3), dtype=np.float32)
    points[0] = 5, 5, 0.01
    picture = np.zeros((32, 32, 3), dtype=np.uint8)
    shown = compose(picture, prepare(picture), np.zeros((19, 16, 16), np.float32), [
        Person(points, 0.0)
    ], side=64)  # fmt: skip
    assert shown[28:, -64:].any()
