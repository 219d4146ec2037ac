"""Maps of whole pictures, seen through crops, are the maps of the crops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ai8x_models import codec, skeleton
from common.errors import UserError
from distill.people.crops import transform_points
from distill.people.picture_maps import (
    SCALE,
    SPOT,
    PictureMaps,
    cell_map,
    fit_square,
    maps_file,
    through_crops,
    wider,
)
from distill.people.views import Views, draw_view

SIZE = 256  # of the teacher's square


def standing(offset: float = 0.0) -> np.ndarray:
    """One person, float32 [1, 18, 3], in a picture of 192 x 144 pixels."""
    rng = np.random.default_rng(5)
    points = np.full((1, 18, 3), 2, np.float32)
    points[0, :, 0] = 60 + offset + 50 * rng.random(18)
    points[0, :, 1] = 25 + 90 * rng.random(18)
    return points


def seen_by_teacher(people: np.ndarray, longest: int) -> torch.Tensor:
    """What a perfect teacher answers for the whole picture, int8 [1, 57, 32, 32]."""
    zoom = SIZE / longest
    placed = people.copy()
    placed[..., :2] = (people[..., :2] + 0.5) * zoom - 0.5
    maps = np.concatenate(codec.encode(placed, SIZE, sigma=10.0))
    return torch.from_numpy(np.rint(maps * SCALE).astype(np.int8))[None]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("stride", [4, 8])
def test_peaks_and_vectors_lie_where_the_crop_has_them(seed: int, stride: int) -> None:
    rng = np.random.default_rng(seed)
    people = standing()
    matrix, flip = draw_view(Views(size=(0.5, 0.9)), (192, 144), people, 128, rng)
    cells = cell_map(matrix, SIZE / 192, stride, 128)
    maps = through_crops(
        seen_by_teacher(people, 192),
        torch.from_numpy(cells)[None],
        torch.tensor([flip]),
        128 // stride,
    )[0]
    placed = transform_points(people, matrix)
    if flip:
        placed = placed[:, list(skeleton.FLIP_KEYPOINTS)]
    inside = ((placed[0, :, :2] > 8) & (placed[0, :, :2] < 120)).all(-1)
    for point in np.flatnonzero(inside):
        row, column = divmod(int(maps[point].argmax()), 128 // stride)
        centre = codec.cell_centre(np.array([column, row]), stride)
        assert np.abs(centre - placed[0, point, :2]).max() <= 0.75 * stride + 1.5
        # Between four cells the Gaussian that is looked up is lower than its peak.
        assert maps[point].max() > 0.4
    drawn = codec.encode(placed, 128, stride=stride)[1].reshape(19, 2, *maps.shape[1:])
    fields = maps[19:].reshape(19, 2, *maps.shape[1:]).numpy()
    dot = (drawn * fields).sum(1)
    common = (np.hypot(*drawn.swapaxes(0, 1)) > 0) & (np.hypot(*fields.swapaxes(0, 1)) > 0.9)
    assert common.sum() > 10
    assert np.median(dot[common]) > 0.97


def test_nobody_stands_outside_of_the_picture() -> None:
    cells = cell_map(np.array([[0.25, 0, 48.0], [0, 0.25, 48.0]]), SIZE / 192, 4, 128)
    maps = through_crops(
        seen_by_teacher(standing(), 192), torch.from_numpy(cells)[None], torch.tensor([False]), 32
    )[0]
    assert maps[:18, :8].abs().max() == 0
    assert maps[18, :8].min() == 1
    assert maps[19:, :8].abs().max() == 0


def test_a_mirrored_view_has_the_mirrored_maps() -> None:
    maps = seen_by_teacher(standing(), 192)
    plain = cell_map(np.eye(2, 3) * (128 / 192), SIZE / 192, 4, 128)
    matrix = np.eye(2, 3) * (128 / 192)
    matrix[0] *= -1
    matrix[0, 2] += 127
    mirrored = cell_map(matrix, SIZE / 192, 4, 128)
    both = through_crops(
        torch.cat([maps, maps]),
        torch.from_numpy(np.stack([plain, mirrored])),
        torch.tensor([False, True]),
        32,
    ).numpy()
    heat, pafs = codec.flip_maps(both[0, :19], both[0, 19:])
    np.testing.assert_allclose(np.concatenate([heat, pafs])[:, :, 2:-2], both[1][:, :, 2:-2],
                               atol=0.35)  # fmt: skip
    assert np.abs(np.concatenate([heat, pafs]) - both[1]).mean() < 0.01


class TestKeeping:
    def look(self, pixels: np.ndarray) -> np.ndarray:
        assert pixels.shape == (64, 64, 3)
        return np.full((57, 8, 8), pixels[0, 0, 0] / 255, np.float32)

    def read(self, name: str) -> np.ndarray | None:
        if name == "broken":
            return None
        return np.full((4, 6, 3), int(name), np.uint8)

    def test_a_killed_run_goes_on_with_whole_records(self, tmp_path: Path) -> None:
        names = ["10", "20", "broken", "255"]
        maps = PictureMaps(tmp_path / "a.maps", names, 64)
        maps.fill(self.look, self.read)
        whole = maps.path.read_bytes()
        maps.path.write_bytes(whole[: maps.record + 100])  # killed in the second record
        again = PictureMaps(maps.path, names, 64)
        assert again.known() == 1
        again.fill(self.look, self.read)
        assert maps.path.read_bytes() == whole
        assert (again.get("255") == SCALE).all()
        assert (again.get("broken") == round(128 / 255 * SCALE)).all()

    def test_another_teacher_size_or_folder_has_another_file(self, tmp_path: Path) -> None:
        files = {
            maps_file(tmp_path, teacher, size, images, names)
            for teacher in ("a", "b")
            for size in (256, 368)
            for images in (tmp_path / "x", tmp_path / "y")
            for names in (["1"], ["1", "2"])
        }
        assert len(files) == 16
        assert maps_file(tmp_path, "a", 256, tmp_path / "x", ["1"], 1.4) not in files

    def test_no_room_is_told_in_a_sentence(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("not a folder")
        maps = PictureMaps(tmp_path / "file" / "a.maps", ["10"], 64)
        with pytest.raises(UserError, match="cannot write"):
            maps.fill(self.look, self.read)


class TestWiderSpots:
    """A teacher of more pixels draws spots narrower than a student's cell."""

    def look(self, pixels: np.ndarray) -> np.ndarray:
        points = np.zeros((1, 2, 18, 3), np.float32)
        points[0, :, 4] = (100, 100, 2), (220, 140, 2)
        heat, pafs = codec.encode_batch(points, 368, stride=8, sigma=SPOT * 8)
        return np.concatenate([heat, pafs], axis=1)[0]

    def widths(self, maps: np.ndarray) -> list[float]:
        """Standard deviations in cells, from the three values about each peak of point 4."""
        found = []
        for x, y in ((12, 12), (27, 17)):
            left, top, right = np.log(maps[4, y, x - 1 : x + 2])
            found.append(float((2 * top - left - right) ** -0.5))
        return found

    def test_spots_get_wider_and_no_higher(self) -> None:
        pixels = np.zeros((368, 368, 3), np.uint8)
        before, after = self.look(pixels), wider(self.look, 1.4)(pixels)
        assert self.widths(before) == pytest.approx([SPOT, SPOT], rel=0.01)
        assert self.widths(after) == pytest.approx([1.4 * SPOT] * 2, rel=0.06)
        assert after[4].max() == pytest.approx(before[4].max(), rel=0.03)
        assert after[4].max() <= before[4].max()
        np.testing.assert_allclose(after[18], 1 - after[:18].max(axis=0), atol=1e-6)
        np.testing.assert_array_equal(after[19:], before[19:])
        assert (np.delete(after[:18], 4, axis=0) == 0).all()

    def test_a_factor_of_one_is_the_teacher_itself(self) -> None:
        look = self.look
        assert wider(look, 1.0) is look


def test_a_picture_is_fitted_into_the_upper_left() -> None:
    square = fit_square(np.full((50, 100, 3), 7, np.uint8), 64)
    assert (square[:32] == 7).all()
    assert (square[32:] == 128).all()
