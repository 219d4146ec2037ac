"""Pictures as telephones and print shops write them: turned by a tag, in four colours."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from ai8x_models.preprocess import prepare, read_picture
from common.errors import UserError
from common.pictures import early_end, pictures_in
from distill.people.annotations import Skipped, read_pixels
from evalkit.host.stream.pictures import Video

TURNS = {3: 2, 6: 3, 8: 1}
"""By EXIF orientation: quarter turns to the left that set the picture upright."""


def corner(mode: str = "RGB") -> Image.Image:
    """40 x 24 pixels, red but for a blue quarter in front."""
    pixels = np.zeros((24, 40, 3), np.uint8)
    pixels[...] = (220, 20, 20)
    pixels[:12, :20] = (20, 20, 220)
    return Image.fromarray(pixels).convert(mode)


def saved(picture: Image.Image, path: Path, orientation: int = 1, **more: object) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(path, exif=exif, **more)
    return path


@pytest.mark.parametrize("orientation", TURNS)
def test_a_picture_is_looked_at_upright(orientation: int, tmp_path: Path) -> None:
    path = saved(corner(), tmp_path / "a.jpg", orientation, quality=95, subsampling=0)
    wanted = np.rot90(np.asarray(corner()), TURNS[orientation])
    found = read_picture(path)
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).mean() < 12
    assert prepare(found, 64).data.shape == (3, 64, 64)


def test_annotations_are_about_the_pixels_as_they_are_stored(tmp_path: Path) -> None:
    path = saved(corner(), tmp_path / "a.jpg", 6, quality=95, subsampling=0)
    entry = {"file_name": "a.jpg", "width": 40, "height": 24}
    found = read_pixels(path, entry, Skipped())
    assert found is not None
    assert found.shape == (24, 40, 3)


@pytest.mark.parametrize("orientation", [1, 6])
def test_four_colours_are_three(orientation: int, tmp_path: Path) -> None:
    path = saved(corner("CMYK"), tmp_path / "a.jpg", orientation, quality=95)
    wanted = np.rot90(np.asarray(corner()), TURNS.get(orientation, 0))
    found = read_picture(path)
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).mean() < 30


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_what_is_transparent_is_white(suffix: str, orientation: int, tmp_path: Path) -> None:
    picture = corner("RGBA")
    alpha = np.full((24, 40), 255, np.uint8)
    alpha[12:] = 0
    alpha[:12, 20:] = 128
    more = {"lossless": True, "exact": True} if suffix == ".webp" else {}
    opaque = saved(picture, tmp_path / f"o{suffix}", orientation, **more)
    picture.putalpha(Image.fromarray(alpha))
    clear = saved(picture, tmp_path / f"a{suffix}", orientation, **more)
    turns = TURNS.get(orientation, 0) if read_picture(opaque).shape[0] == 40 else 0
    wanted = np.array(corner())
    np.testing.assert_array_equal(read_picture(opaque), np.rot90(wanted, turns))
    wanted[12:] = 255
    wanted[:12, 20:] = (237, 137, 137)
    difference = read_picture(clear).astype(int) - np.rot90(wanted, turns)
    assert np.abs(difference).max() <= 1


def test_pictures_of_grey_or_few_colours_are_laid_over_white_as_well(tmp_path: Path) -> None:
    grey = Image.new("LA", (8, 8), (10, 0))
    grey.save(tmp_path / "a.png")
    few = Image.new("P", (8, 8), 0)
    few.save(tmp_path / "b.png", transparency=0)
    few.save(tmp_path / "c.gif", transparency=0)
    for name in ("a.png", "b.png", "c.gif"):
        assert (read_picture(tmp_path / name) == 255).all()


def test_files_of_several_pictures_are_counted(tmp_path: Path) -> None:
    steps = [Image.new("RGB", (8, 8), (60 * step, 0, 0)) for step in range(3)]
    for suffix in (".gif", ".png", ".tif", ".webp"):
        path = tmp_path / f"a{suffix}"
        steps[0].save(path, save_all=True, append_images=steps[1:])
        assert pictures_in(path) == 3
        steps[0].save(path)
        assert pictures_in(path) == 1
    (tmp_path / "b.gif").write_text("no picture")
    assert pictures_in(tmp_path / "b.gif") == pictures_in(tmp_path / "none.jpg") == 1


def test_a_turned_picture_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    content = io.BytesIO()
    corner("CMYK").save(content, "JPEG")
    (tmp_path / "a.jpg").write_bytes(content.getvalue()[:200])
    with pytest.raises(UserError, match=r"a\.jpg"):
        read_picture(tmp_path / "a.jpg")


def test_a_film_for_a_board_that_ends_early_is_told_of_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (400, 240))
    noise = np.random.default_rng(0).integers(0, 256, (240, 400, 3)).astype(np.uint8)
    for _ in range(6):
        writer.write(noise)
    writer.release()
    assert len(list(Video(path).pictures(False))) == 6
    assert not capfd.readouterr().err
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    repeated = Video(path).pictures(True)
    for _ in range(10):
        next(repeated)
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 1
    assert "of 6 pictures: it is cut off, or damaged" in said[0]


class Stated:
    """A video that says it has ten pictures."""

    def get(self, _: int) -> float:
        return 10.0


@pytest.mark.parametrize(("name", "edited"), [("a.mp4", True), ("a.MOV", True), ("a.avi", False)])
def test_pictures_that_a_video_does_not_show(name: str, edited: bool) -> None:
    said = early_end(name, Stated(), 7)  # type: ignore[arg-type]
    assert said is not None
    assert said.startswith("ends after 7 of 10 pictures: it is cut off, or damaged")
    assert ("edit list" in said) == edited
    assert early_end(name, Stated(), 10) is None  # type: ignore[arg-type]
