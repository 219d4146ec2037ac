"""Pictures in, recordings and COCO files out."""

from __future__ import annotations

import contextlib
import io
import json
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai8x_models import preprocess, skeleton
from common.errors import UserError
from evalkit.__main__ import main
from evalkit.host import coco
from evalkit.host.stream.pictures import Photographs, open_camera, shown
from evalkit.host.stream.recording import Recorder, read_recording
from evalkit.host.stream.shots import Shot
from evalkit.wire.protocol import Hello
from tests.helpers.fake_board import STANDING, hello, poses, poses3d


def random_picture(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), np.uint8)


def shot(number: int = 1, name: str = "one.jpg", heat: np.ndarray | None = None) -> Shot:
    payload = poses(number, (STANDING, ((10, 20), *[(-1, -1)] * 17)))
    return Shot(number / 2, name, 256, 320, (0.4, 0.4), b"\xff\xd8 picture", payload, heat)


@settings(deadline=None)
@given(rows=st.integers(1, 400), columns=st.integers(1, 400), seed=st.integers(0, 99))
def test_points_come_back_from_a_fitted_picture(rows: int, columns: int, seed: int) -> None:
    fitted = preprocess.fit(random_picture(rows, columns, seed), 48, 64)
    assert fitted.pixels.shape == (48, 64, 3)
    points = np.random.default_rng(seed).uniform(0, 48, (18, 3))
    points[4] = 0
    back = preprocess.to_picture(points, fitted.scale)
    assert not back[4].any()
    again = (back[:, :2] + 0.5) * fitted.scale - 0.5
    np.testing.assert_allclose(np.delete(again, 4, 0), np.delete(points[:, :2], 4, 0), atol=1e-9)
    np.testing.assert_allclose(fitted.to_picture(points), back, rtol=1e-5, atol=1e-4)


def test_exported_names_are_sides_of_the_skeleton() -> None:
    sides = {"left": "l", "right": "r"}
    for name, of_18 in zip(skeleton.COCO17, skeleton.COCO17_TO_18, strict=True):
        side, _, rest = name.partition("_")
        expected = f"{sides[side]}_{rest}" if rest else name
        assert skeleton.KEYPOINTS[of_18] == expected


def test_cameras(tmp_path: Path) -> None:
    for name, value in (("b.png", 20), ("a.JPG", 10), ("notes.txt", 0)):
        good, data = cv2.imencode(".png", np.full((4, 6, 3), value, np.uint8))
        assert good
        (tmp_path / name).write_bytes(data.tobytes())
    camera = open_camera(tmp_path)
    assert [p.name for p in camera.pictures(repeat=False)] == ["a.JPG", "b.png"]
    again = camera.pictures(repeat=True)
    assert [next(again).pixels[0, 0, 0] for _ in range(4)] == [10, 20, 10, 20]
    assert [p.name for p in Photographs(tmp_path / "b.png").pictures(False)] == ["b.png"]


def test_a_video_is_a_camera(tmp_path: Path) -> None:
    path = tmp_path / "walk.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    if not writer.isOpened():
        pytest.skip("this OpenCV cannot write a video to test with")
    for value in (40, 120, 200):
        writer.write(np.full((48, 64, 3), value, np.uint8))
    writer.release()
    pictures = list(open_camera(path).pictures(repeat=False))
    assert [p.name for p in pictures] == [f"walk.avi #{n}" for n in range(3)]
    assert [
        abs(int(p.pixels.mean()) - v) < 4 for p, v in zip(pictures, (40, 120, 200), strict=True)
    ]


@pytest.mark.parametrize("name", ["missing", "empty", "broken.jpg", "broken.mp4"])
def test_cameras_that_are_none(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(UserError, match=name) as caught:
        next(open_camera(tmp_path / name).pictures(repeat=False))
    assert "\n" not in str(caught.value)


def test_what_is_shown_is_small() -> None:
    decoded = cv2.imdecode(np.frombuffer(shown(random_picture(300, 1200)), np.uint8), 1)
    assert decoded.shape == (160, 640, 3)


# ---- recordings ---------------------------------------------------------------------------------


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "walk.p78"
    recorder = Recorder(path)
    recorder.hello(hello())
    heat = np.random.default_rng(0).integers(0, 256, (18, 16, 16), np.uint8)
    recorder.shot(shot(1, heat=heat))
    recorder.shot(shot(2, "two.jpg"))
    recorder.close()
    return path


def test_recording_comes_back_as_it_was(recording: Path) -> None:
    who, first, second = read_recording(recording)
    assert isinstance(who, Hello)
    assert who.network == "seed"
    for number, (got, name) in enumerate(((first, "one.jpg"), (second, "two.jpg")), 1):
        assert isinstance(got, Shot)
        wanted = shot(number, name)
        for field in ("seconds", "name", "width", "height", "scale", "jpeg", "payload"):
            assert getattr(got, field) == getattr(wanted, field)
    assert isinstance(first, Shot)
    assert isinstance(second, Shot)
    assert first.heat is not None
    assert first.heat.shape == (18, 16, 16)
    assert second.heat is None


def test_recording_keeps_people_in_3d(tmp_path: Path) -> None:
    path = tmp_path / "solid.p78"
    recorder = Recorder(path)
    lifted = poses3d(1, (np.arange(48).reshape(16, 3),))
    recorder.shot(replace(shot(), payload3d=lifted))
    recorder.shot(shot(2))
    recorder.close()
    first, second = read_recording(path)
    assert isinstance(first, Shot)
    assert isinstance(second, Shot)
    assert first.payload3d == lifted
    assert first.poses3d is not None
    assert second.poses3d is None
    text = path.read_text()
    path.write_text(text.replace('"poses3d":"', '"poses3d":"AAAA'))
    with pytest.raises(UserError, match="line 2, is damaged"):
        list(read_recording(path))


def test_recording_cut_off_in_its_last_line_is_good_up_to_there(recording: Path) -> None:
    whole = recording.read_bytes()
    recording.write_bytes(whole[:-10])
    assert len(list(read_recording(recording))) == 2


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "holds no pictures"),
        (b"\x89PNG\r\n\x1a\n", "is no recording"),
        (b'{"format":"pose78 recording","version":2}\n', "is no recording"),
        (b'{"shot":1}\n', "line 4, is damaged"),
        (b'{"shot":{"size":[0,1],"scale":[1,1],"seconds":0}}\n', "a picture of 0 x 1"),
        (b'{"shot":{"size":[1,1],"scale":[1,NaN],"seconds":0}}\n', "no proper number"),
        (b"[" * 100_000 + b"\n", "line 4, is damaged"),
        (b'{"other":1}\n', "neither hello nor shot"),
    ],
)
def test_recordings_that_are_none(
    content: bytes, expected: str, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = recording.read_bytes().splitlines(keepends=True)
    is_line = content.startswith((b'{"shot', b"[", b'{"other'))
    recording.write_bytes(b"".join(lines[:3]) + content if is_line else content)
    output = recording.with_name("out.json")
    assert main(["export", "--replay", str(recording), "-o", str(output)]) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1
    assert not output.exists()


# ---- COCO ---------------------------------------------------------------------------------------


def test_keypoints_as_coco(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    output = recording.with_name("keypoints.json")
    assert main(["export", "--replay", str(recording), "-o", str(output)]) == 0
    assert "4 people in 2 pictures" in capsys.readouterr().out
    data = json.loads(output.read_text())
    assert [image["file_name"] for image in data["images"]] == ["one.jpg", "two.jpg"]
    person, lone = data["annotations"][:2]
    nose, left_eye = person["keypoints"][:3], person["keypoints"][3:6]
    # Pixel centres at whole numbers: (64 + 0.5) / 0.4 - 0.5.
    assert nose == [160.75, 50.75, 2]
    assert left_eye == [168.25, 43.25, 2]
    assert person["num_keypoints"] == 17  # the neck is not COCO's
    assert lone["num_keypoints"] == 1
    assert lone["keypoints"][3:] == [0] * 48
    assert [value > 0 for value in lone["scores"]] == [True] + [False] * 16
    assert len(person["scores"]) == 17
    assert person["score"] > 0
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(output))
        found = truth.loadRes(data["annotations"])
        score = COCOeval(truth, found, "keypoints")
        score.evaluate()
        score.accumulate()
        score.summarize()
    assert score.stats[0] == 1


def test_pictures_named_by_number_keep_it_as_their_id() -> None:
    images = coco.export([shot(1, "000000000785.jpg"), shot(2, "000000000139.jpg")])["images"]
    assert [image["id"] for image in images] == [785, 139]
    images = coco.export([shot(1, "000000000785.jpg"), shot(2, "me.jpg")])["images"]
    assert [image["id"] for image in images] == [1, 2]


def test_a_picture_shown_twice_is_exported_once() -> None:
    data = coco.export([shot(1), shot(2), shot(3, "two.jpg")])
    assert len(data["images"]) == 2
    assert len(data["annotations"]) == 4


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        (["view", "--kit", "x.elf"], "no camera of its own"),
        (["view", "--kit", "x.elf", "--camera", "nowhere"], "camera nowhere does not exist"),
        (["view", "--replay", "nowhere.p78"], "nowhere.p78 cannot be read"),
        (
            ["export", "--kit", "x.elf", "-o", "x", "--count", "0"],
            "0 is not a whole number of at least 1",
        ),
        (["export", "--replay", "x", "--record", "y", "-o", "x"], "make no sense with --replay"),
    ],
)
def test_command_lines_that_cannot_work(
    given_: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(given_) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1


def test_a_pipe_is_no_recording(tmp_path: Path) -> None:
    """It may never begin."""
    os.mkfifo(tmp_path / "x.p78")
    with pytest.raises(UserError, match="is no ordinary file"):
        list(read_recording(tmp_path / "x.p78"))
