"""Who looks: the student, its firmware on the virtual kit, a board; and webcams."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import pose78
from ai8x_models.preprocess import read_picture
from evalkit.host.viewer.board import Board as Shown
from pose78 import boards, eyes, looking, results, sources, watching
from pose78.__main__ import main
from pose78.commands import predict
from pose78.estimator import Model
from pose78.watching import shot_of
from tests.helpers import fake_board
from tests.helpers.fake_board import FakeBoard, FakeLink, plugged_in

PEOPLE = Path(__file__).resolve().parents[2] / "docs" / "images" / "people.png"


@pytest.fixture(scope="module")
def model() -> Model:
    return pose78.load("native")


def test_the_firmware_on_the_kit_gives_the_students_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("unicorn", reason="the virtual kit needs the extra 'kit'")
    cv2.imwrite(str(tmp_path / "nobody.png"), np.zeros((50, 90, 3), np.uint8))
    found = []
    for option in ((), ("--kit",)):
        out = tmp_path / "r.json"
        assert main(["predict", str(PEOPLE), str(tmp_path / "nobody.png"), "--json", str(out),
                     *option]) == 0  # fmt: skip
        found.append(json.loads(out.read_text()))
    assert found[0] == found[1] != []
    assert "2 answers are equal to the integer student's" in capsys.readouterr().out


def test_an_answer_that_differs_is_not_hidden(model: Model) -> None:
    board = FakeBoard(identity=fake_board.hello("native"))
    board.answer = None
    proven = boards.Proven(FakeLink(board), model, None, print)
    with pytest.raises(pose78.UserError, match="picture 1: the maps of the firmware are not those"):
        proven.see(read_picture(PEOPLE))


def test_people_that_differ_are_told_from_maps_that_differ(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evalkit.host.serial.session import Session
    from evalkit.wire import protocol

    board = FakeBoard(identity=fake_board.hello("native"))
    proven = boards.Proven(FakeLink(board), model, None, print)
    own = proven._session.look

    def look(pixels, number, want_maps):
        answer = own(pixels, number, False)
        data = (pixels ^ 0x80).view(np.int8).transpose(2, 0, 1)
        maps = list(model._runner.run(data).values())
        return type(answer)(answer.payload, answer.poses, maps)

    monkeypatch.setattr(proven._session, "look", look)
    with pytest.raises(pose78.UserError, match="picture 1: the people of the firmware"):
        proven.see(read_picture(PEOPLE))
    assert isinstance(proven._session, Session)
    assert protocol.IMAGE_WANT_MAPS


def test_a_board_answers_in_pixels_of_the_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("serial", reason="boards need the extra 'view'")
    port, out = tmp_path / "port", tmp_path / "r.json"
    cv2.imwrite(str(tmp_path / "large.png"), np.zeros((256, 256, 3), np.uint8))
    given = ["predict", str(tmp_path / "large.png"), "--port", str(port), "--json", str(out)]
    with plugged_in(FakeBoard(), port):
        assert main(given) == 0
    assert "answered by network seed" in capsys.readouterr().out
    nose = json.loads(out.read_text())[0]["keypoints"][:2]
    assert nose == pytest.approx([2 * 64.5 - 0.5, 2 * 20.5 - 0.5])
    assert main(given) == 2
    assert "is not there" in capsys.readouterr().err


def test_the_threshold_is_the_hosts_above_the_firmwares(model: Model) -> None:
    board = boards.Board(FakeLink(FakeBoard()), 1.5, print)
    assert board.see(read_picture(PEOPLE)) == []
    assert len(boards.Board(FakeLink(FakeBoard()), 1.0, print).see(read_picture(PEOPLE))) == 1
    with pytest.raises(pose78.UserError, match="drops people below"):
        boards.at_least(model, 0.01)


def test_firmware_of_another_network_is_refused(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boards, "KitLink", lambda elf: FakeLink(FakeBoard()))
    with pytest.raises(pose78.UserError, match="runs network seed, not native"):
        boards.on_kit(model, Path("x.elf"), None, print)


def film(path: Path, frames: int) -> None:
    pixels = cv2.imread(str(PEOPLE))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, pixels.shape[1::-1])
    for _ in range(frames):
        writer.write(pixels)
    writer.release()


def test_a_webcam_is_looked_at_until_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    film(tmp_path / "f.avi", 3)
    capture = cv2.VideoCapture
    wanted = []

    def camera(which, *more):
        wanted.append(which)
        return capture(str(tmp_path / "f.avi"))

    monkeypatch.setattr(sources.cv2, "VideoCapture", camera)
    given = ["predict", "webcam:1", "--save", str(tmp_path / "out"), "--csv", str(tmp_path / "c")]
    assert main(given) == 0
    said = capsys.readouterr().out
    assert [which for which in wanted if not isinstance(which, str)] == [1]
    assert "webcam:1 #2: " in said
    assert "in 3 pictures" in said
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["webcam-1.mp4"]


def test_a_webcam_that_is_not_there_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "webcam:77"]) == 2
    assert "webcam:77 does not answer; plug a camera in" in capsys.readouterr().err
    assert main(["predict", "webcam", str(PEOPLE)]) == 2
    assert "webcam never ends; name it as the only source" in capsys.readouterr().err


def test_ctrl_c_ends_a_webcam_and_keeps_what_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    class Once:
        threads = 1
        turns = 0

        def see(self, picture):
            self.turns += 1
            if self.turns > 2:
                raise KeyboardInterrupt
            return []

    view = sources.View(Path("webcam"), 0, lambda: read_picture(PEOPLE))
    monkeypatch.setattr(looking, "views_of", lambda file: iter([view] * 9))
    seen, broken = looking.look(Once(), [Path("webcam")])
    assert (len(seen), broken) == (2, 0)
    with pytest.raises(KeyboardInterrupt):
        looking.look(Once(), [PEOPLE])


def test_pictures_of_a_webcam_stand_at_their_time(tmp_path: Path) -> None:
    pixels = read_picture(PEOPLE)
    with results.Album(tmp_path) as album:
        for number, seconds in enumerate((0.0, 0.4, 1.0)):
            album.add(sources.View(Path("webcam"), number, lambda: pixels, seconds), pixels, [])
    capture = cv2.VideoCapture(str(tmp_path / "webcam.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 26
    capture.release()


def test_a_video_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    pixels = read_picture(PEOPLE)

    def fail() -> None:
        with results.Album(tmp_path) as album:
            album.add(sources.View(Path("a.mp4"), 0, lambda: pixels), pixels, [])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_shot_for_the_viewer_holds_the_people_exactly(model: Model) -> None:
    pixels = read_picture(PEOPLE)
    people = model.predict(pixels)
    shot = shot_of("x", pixels, people, model.size, 7)
    assert shot.poses.number == 7
    for person, (points, score) in zip(people, shot.people(), strict=True):
        np.testing.assert_allclose(points, person.keypoints, atol=1e-3)
        assert score == person.score


def test_the_page_shows_what_is_looked_at_and_that_it_ended(model: Model) -> None:
    board = Shown()
    page = watching.Page(board)
    look = looking.look(eyes.Student(model, None), [PEOPLE], page=page)
    page.ended()
    events = {event["kind"]: event for event in board.since(0)[1]}
    assert len(events["shot"]["people"]) == len(look[0][0][1]) > 0
    assert events["status"] == {"kind": "status", "state": "done",
                                "text": "all sources have ended"}  # fmt: skip


def test_a_picture_is_its_matrix_products_and_nothing_is_made_anew(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What sixty pictures a second rest on, counted and not timed: time is ``make bench``'s."""
    pixels = read_picture(PEOPLE)
    before = model.predict(pixels)  # makes the buffers
    done, places, multiply = [], set(), np.matmul

    def counted(a, b, out):
        assert a.dtype == b.dtype == out.dtype == np.float32
        done.append(a.shape[0] * a.shape[1] * b.shape[1])
        places.add(out.__array_interface__["data"][0])
        return multiply(a, b, out=out)

    monkeypatch.setattr(np, "matmul", counted)
    again = model.predict(pixels)
    first = set(places)
    model.predict(pixels)
    macs = 2 * sum(layer.macs for layer in model._graph.layers)
    assert 0.9 * macs < sum(done) < macs, "the transposed convolution skips what meets no data"
    assert places == first, "every picture has new buffers"
    assert [p.keypoints.tolist() for p in again] == [p.keypoints.tolist() for p in before]


def test_show_ends_with_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    waited = []
    monkeypatch.setattr(predict, "_wait", waited.append)
    assert main(["predict", str(PEOPLE), "--show", "--http", "0", "--no-browser"]) == 0
    assert len(waited) == 1
