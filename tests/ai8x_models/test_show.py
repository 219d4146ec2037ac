"""Maps of integers, as they leave the chip, to people and a picture."""

import json
from pathlib import Path

import numpy as np
import pytest

from ai8x_models import preprocess, show
from ai8x_models.codec import encode
from ai8x_models.overlay import write_picture
from distill.people.synthetic import make_scene

STEP = 2.0**-14


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """A folder as a run leaves it, with ideal maps of a synthetic person."""
    scene = make_scene(9, 200, 160, people=1, active=0.2)
    write_picture(tmp_path / "people.png", scene.pixels)
    points = scene.keypoints.copy()
    seen = points[..., 2] > 0
    points[seen, :2] = (points[seen, :2] + 0.5) * (128 / 200) - 0.5
    heat, pafs = encode(points)
    np.savez(
        tmp_path / "maps.npz",
        output_0=np.round(heat / STEP).astype(np.int32),
        output_1=np.round(pafs / STEP).astype(np.int32),
    )
    outputs = [{"name": "heat_out", "step": STEP}, {"name": "paf_out", "step": STEP}]
    (tmp_path / "report.json").write_text(json.dumps({"outputs": outputs}))
    return tmp_path


def call(folder: Path, **changed: str) -> int:
    """Run the command line on the folder, some file names replaced."""
    names = {"picture": "people.png", "maps": "maps.npz", "report": "report.json", **changed}
    return show.main(
        [
            str(folder / names["picture"]),
            "--maps", str(folder / names["maps"]),
            "--report", str(folder / names["report"]),
            "-o", str(folder / "overlay.png"),
        ]
    )  # fmt: skip


def test_a_person_is_found_and_drawn(board: Path, capsys) -> None:
    assert call(board) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("1 person found")
    assert preprocess.read_picture(board / "overlay.png").shape == (384 + 28, 3 * 480 + 12, 3)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"picture": "none.png"}, "none.png does not exist"),
        ({"maps": "none.npz"}, "none.npz do not exist"),
        ({"maps": "report.json"}, "report.json cannot be read"),
        ({"report": "people.png"}, "no report of the compiler"),
        ({"report": "none.json"}, "none.json cannot be read"),
    ],
)
def test_bad_files_are_named_and_nothing_is_left(board: Path, capsys, changed, sentence) -> None:
    before = sorted(board.iterdir())
    assert call(board, **changed) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert sentence in error
    assert sorted(board.iterdir()) == before


def test_another_networks_maps_are_refused(board: Path, capsys) -> None:
    np.savez(board / "maps.npz", output_0=np.zeros((10, 1, 1), dtype=np.int32))
    assert call(board) == 2
    assert "1 maps were received, but the report lists 2" in capsys.readouterr().err
    outputs = [{"name": "digits", "step": 1}]
    (board / "report.json").write_text(json.dumps({"outputs": outputs}))
    assert call(board) == 2
    assert "digits (10, 1, 1)" in capsys.readouterr().err


def test_picture_to_bytes_on_the_command_line(board: Path, capsys) -> None:
    target = board / "input.npy"
    assert preprocess.main([str(board / "people.png"), "-o", str(target)]) == 0
    data = np.load(target)
    assert data.shape == (3, 128, 128)
    assert data.dtype == np.int8
    pixels = preprocess.read_picture(board / "people.png")
    assert np.array_equal(data, preprocess.prepare(pixels).data)
    assert preprocess.main([str(board / "none.png"), "-o", str(target)]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert (
        preprocess.main([str(board / "people.png"), "-o", str(board / "people.png" / "x.npy")]) == 2
    )
    assert "cannot write" in capsys.readouterr().err
