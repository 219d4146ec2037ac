"""Squares get the shape back in which a teacher is surest of people."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ai8x_models.codec import BACKGROUND
from common.errors import UserError
from distill.tasks.pose import unstretch
from distill.tasks.pose.unstretch import SIDE, Kept, choose


def look(pixels: np.ndarray) -> np.ndarray:
    """A teacher that sees people in red pictures, the surer the more the picture stands upright."""
    assert pixels.shape == (SIDE, SIDE, 3)
    columns = int((pixels[0] != 128).any(axis=1).sum())
    maps = np.zeros((57, SIDE // 8, SIDE // 8), np.float32)
    red = float(pixels[0, 0, 0]) / 255
    maps[:BACKGROUND, 5, 5] = red * (1.0 if columns < SIDE else 0.4)
    return maps


def square(red: int) -> np.ndarray:
    return np.full((64, 64, 3), (0, 0, red), np.uint8)  # BGR


def test_the_surer_shape_is_taken() -> None:
    kept, shape = choose(cv2.cvtColor(square(230), cv2.COLOR_BGR2RGB), look)
    assert (kept, unstretch.SHAPES[shape]) == (Kept.PEOPLE, (154, 216))


def test_nobody_is_a_landscape() -> None:
    assert choose(np.zeros((64, 64, 3), np.uint8), look) == (Kept.EMPTY, 0)


@pytest.fixture
def squares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "squares"
    folder.mkdir()
    for index in range(4):
        cv2.imwrite(str(folder / f"people{index}.png"), square(230))
        cv2.imwrite(str(folder / f"nobody{index}.png"), square(0))
    cv2.imwrite(str(folder / "wide.png"), np.full((64, 80, 3), 230, np.uint8))
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("no picture either")
    monkeypatch.setattr(unstretch, "picture_look", lambda path: look)
    return folder


@pytest.mark.parametrize(("share", "empty"), [("0", 0), ("1", 4)])
def test_a_folder(
    squares: Path, share: str, empty: int, capsys: pytest.CaptureFixture[str]
) -> None:
    out = squares.parent / "out"
    arguments = [str(squares), str(out), "--teacher", "t.onnx", "--empty", share]
    assert unstretch.main(arguments) == 0
    written = {path.name: cv2.imread(str(path)).shape[:2] for path in out.iterdir()}
    assert len(written) == 4 + empty
    assert written["people0.jpg"] == (216, 154)
    if empty:
        assert written["nobody0.jpg"] == (154, 216)
    said = capsys.readouterr().out
    assert "4 with people" in said
    assert "2 broken or no square" in said


def test_nothing_is_overwritten_and_nothing_half_written(squares: Path) -> None:
    with pytest.raises(UserError, match="not empty"):
        unstretch.main([str(squares), str(squares), "--teacher", "t.onnx"])
    for path in squares.glob("*.png"):
        path.unlink()
    with pytest.raises(UserError, match="none is a square"):
        unstretch.main([str(squares), str(squares.parent / "out"), "--teacher", "t.onnx"])
    assert not (squares.parent / "out").exists()
