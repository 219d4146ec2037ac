"""From a picture file to signed bytes."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from ai8x_models.preprocess import prepare, read_picture, to_bytes
from common.errors import UserError


def test_bytes_are_pixel_minus_128() -> None:
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    data = to_bytes(pixels)
    assert data.dtype == np.int8
    assert data.shape == (3, 16, 16)
    assert np.array_equal(data, (pixels.astype(int) - 128).transpose(2, 0, 1))


@pytest.mark.parametrize(("height", "width"), [(128, 128), (256, 128), (96, 192), (40, 30), (1, 9)])
def test_fits_top_left_and_pads_with_grey(height: int, width: int) -> None:
    picture = np.full((height, width, 3), (10, 20, 30), dtype=np.uint8)
    ready = prepare(picture)
    used_w = round(width * 128 / max(height, width))
    used_h = round(height * 128 / max(height, width))
    assert ready.pixels.shape == (128, 128, 3)
    assert (ready.pixels[:used_h, :used_w] == (10, 20, 30)).all()
    assert (ready.pixels[used_h:] == 128).all()
    assert (ready.pixels[:, used_w:] == 128).all()
    assert (ready.data[:, used_h:] == 0).all()


def test_points_go_back_to_the_picture() -> None:
    picture = np.zeros((300, 600, 3), dtype=np.uint8)
    cv2.circle(picture, (450, 80), 12, (255, 255, 255), -1)
    ready = prepare(picture)
    ys, xs = np.nonzero(ready.pixels[:64, :, 0] > 128)
    back = ready.to_picture([[xs.mean(), ys.mean(), 1], [5, 5, 0]])
    assert np.abs(back[0, :2] - (450, 80)).max() < 1
    assert back[1].tolist() == [0, 0, 0]


def test_colours_are_red_green_blue(tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    cv2.imwrite(str(path), np.full((8, 8, 3), (0, 0, 255), dtype=np.uint8))  # OpenCV: BGR
    assert read_picture(path)[0, 0].tolist() == [255, 0, 0]


def test_unusable_files_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_picture(tmp_path / "none.jpg")
    with pytest.raises(UserError, match="cannot be read"):
        read_picture(tmp_path)
    empty, text = tmp_path / "empty.jpg", tmp_path / "text.jpg"
    empty.write_bytes(b"")
    text.write_text("no picture")
    for path in (empty, text):
        with pytest.raises(UserError, match="no picture that can be decoded"):
            read_picture(path)


def test_only_colour_bytes_are_prepared() -> None:
    with pytest.raises(ValueError, match="float64"):
        prepare(np.zeros((8, 8, 3)))  # type: ignore[arg-type]
