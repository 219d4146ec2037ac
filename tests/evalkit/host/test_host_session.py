"""Talking to a board: the right answer, and one sentence for everything that goes wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from evalkit.host.serial.links import LinkLost, SerialLink
from evalkit.host.serial.session import Session, heatmaps
from evalkit.wire import protocol
from evalkit.wire.protocol import Frame
from tests.helpers.fake_board import (
    CHECKSUM,
    STANDING,
    FakeBoard,
    FakeLink,
    hello,
    plugged_in,
    poses,
    poses3d,
)


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (128, 128, 3), np.uint8)


def session(board: FakeBoard, greeting: bytes = b"") -> tuple[Session, list[str]]:
    lines: list[str] = []
    return Session(FakeLink(board, greeting), lines.append), lines


def test_the_board_gets_the_picture_and_its_answer_comes_back() -> None:
    board = FakeBoard()
    talk, _ = session(board)
    assert talk.meet().checksum == CHECKSUM
    for number in (1, 65535, 0):
        answer = talk.look(picture(number), number, want_maps=False)
        np.testing.assert_array_equal(board.pictures[-1], picture(number))
        np.testing.assert_array_equal(answer.poses.people[0].points[:, :2], STANDING)
        assert answer.maps == []


def test_maps_come_when_asked_for() -> None:
    talk, _ = session(FakeBoard(peaks=((3, 5, 7),)))
    answer = talk.look(picture(), 1, want_maps=True)
    assert [m.shape for m in answer.maps] == [(19, 16, 16), (38, 16, 16)]
    heat = heatmaps(answer.maps)
    assert heat is not None
    assert np.argwhere(heat).tolist() == [[3, 5, 7]]


@pytest.mark.parametrize("want_maps", [False, True])
def test_people_in_3d_come_along(want_maps: bool) -> None:
    joints = np.arange(48).reshape(16, 3) - 20
    talk, _ = session(FakeBoard(lifted=(joints, -joints)))
    answer = talk.look(picture(), 3, want_maps)
    assert len(answer.maps) == (2 if want_maps else 0)
    lifted = protocol.parse_poses3d(answer.payload3d)
    assert (lifted.number, lifted.lift_us) == (3, 260)
    assert [person.person for person in lifted.people] == [0, 1]
    np.testing.assert_array_equal(lifted.people[1].joints, -joints)
    assert lifted.people[0].known.all()
    assert session(FakeBoard())[0].look(picture(), 3, want_maps).payload3d == b""


def test_3d_of_another_picture_is_passed_over_and_a_broken_one_is_not() -> None:
    def answer(number: int) -> list[Frame]:
        late = poses3d(number - 1, (np.ones((16, 3)),))
        return [Frame(protocol.POSES3D, 0, late), Frame(protocol.POSES, 0, poses(number, ()))]

    assert session(FakeBoard(answer=answer))[0].look(picture(), 2, False).payload3d == b""
    for payload in (b"", bytes(9), poses3d(1, ())[:2] + b"\1\0" + bytes(4)):
        broken = FakeBoard(answer=lambda n, p=payload: [Frame(protocol.POSES3D, 0, p)])
        with pytest.raises(LinkLost, match="3D poses have another size"):
            session(broken)[0].look(picture(), 1, False)


def test_a_picture_without_answer_is_sent_again() -> None:
    board = FakeBoard(ignore=2)
    talk, lines = session(board)
    talk.look(picture(), 5, want_maps=False)
    assert len(board.pictures) == 3
    assert lines.count("no answer to picture 5; sending it again") == 2


def test_an_error_that_sending_again_mends() -> None:
    calls = []

    def answer(number: int) -> list[Frame]:
        calls.append(number)
        if len(calls) == 1:
            text = b"\x03\0" + number.to_bytes(2, "little") + b"pieces of the picture are missing"
            return [Frame(protocol.ERROR, 0, text)]
        return [Frame(protocol.POSES, 0, poses(number, ()))]

    talk, lines = session(FakeBoard(answer=answer))
    assert talk.look(picture(), 9, want_maps=False).poses.people == ()
    assert calls == [9, 9]
    assert "the board says: pieces of the picture are missing (code 3)" in lines


def test_late_answers_to_other_pictures_are_passed_over() -> None:
    def answer(number: int) -> list[Frame]:
        late = Frame(protocol.POSES, 0, poses(number - 1, (STANDING,)))
        return [late, Frame(protocol.POSES, 0, poses(number, ()))]

    talk, _ = session(FakeBoard(answer=answer))
    assert talk.look(picture(), 2, want_maps=False).poses.people == ()


def test_text_of_the_board_goes_to_the_log() -> None:
    talk, lines = session(FakeBoard(), b"\r\n*** frame injection ***\r\nnetw")
    talk.link._pending += b"ork: seed\r\n"  # type: ignore[attr-defined]
    talk.meet()
    assert lines == ["board: *** frame injection ***", "board: network: seed"]


Frames = Callable[[int], list[Frame]]
MAP_ONLY = b"\0\0\0\0\x01\0\x01\0\x01\0\0\0\0\0\0\0\0\0\0\0"
WRONG = {
    "other network": (FakeBoard(hello("kws", (64, 16, 1))), "network kws.*3 channels"),
    "short hello": (FakeBoard(b"\0" * 5), "answers strangely"),
    "no poses": (
        FakeBoard(answer=lambda n: [Frame(protocol.MAP, 0, MAP_ONLY)]),
        "network seed has no pose outputs",
    ),
    "bad poses": (
        FakeBoard(answer=lambda n: [Frame(protocol.POSES, 0, bytes(20))]),
        "another size than it should",
    ),
    "restarted as another": (
        FakeBoard(answer=lambda n: [Frame(protocol.HELLO, 0, hello("tiny"))]),
        "now runs network tiny .* instead of seed",
    ),
    "refused": (
        FakeBoard(answer=lambda n: [Frame(protocol.ERROR, 0, b"\2\0\1\0a piece is wrong")]),
        "a piece is wrong",
    ),
    "silent": (FakeBoard(ignore=99), "stopped answering"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_goes_wrong_is_said_in_one_sentence(name: str) -> None:
    board, expected = WRONG[name]
    talk, _ = session(board)
    with pytest.raises(LinkLost, match=expected) as caught:
        talk.look(picture(), 1, want_maps=False)
    assert "\n" not in str(caught.value)


def test_a_picture_of_another_size_is_refused_here() -> None:
    board = FakeBoard()
    talk, _ = session(board)
    with pytest.raises(UserError, match=r"64 x 64 x 3 does not fit .* 128 x 128 x 3"):
        talk.look(np.zeros((64, 64, 3), np.uint8), 1, want_maps=False)
    assert board.pictures == []


class Deaf(FakeLink):
    """Sends whatever it has and hears nothing."""

    def write(self, data: bytes) -> None:
        self._check()


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"", "does not answer.*reset button"),
        (np.random.default_rng(1).integers(0, 256, 500, np.uint8).tobytes(), "--baud the rate"),
        (b"hello from another program\r\n" * 20, "does not answer"),
    ],
    ids=["silence", "another baud rate", "another program"],
)
def test_no_answer(sent: bytes, expected: str) -> None:
    with pytest.raises(LinkLost, match=expected):
        Session(Deaf(FakeBoard(), sent), lambda text: None).meet()


def test_serial_port(tmp_path: Path) -> None:
    pytest.importorskip("serial", reason="the view extra is not installed")
    board, port = FakeBoard(), tmp_path / "ttyFake"
    with pytest.raises(LinkLost, match=rf"{re.escape(str(port))} is not there"):
        SerialLink(str(port))
    with plugged_in(board, port):
        link = SerialLink(str(port), 921600)
        talk = Session(link, lambda text: None)
        with pytest.raises(LinkLost, match="is in use; close the other program"):
            SerialLink(str(port))
        answer = talk.look(picture(3), 3, want_maps=True)
        np.testing.assert_array_equal(board.pictures[0], picture(3))
        assert len(answer.maps) == 2
    with pytest.raises(LinkLost, match="went away; is the cable"):
        talk.look(picture(3), 4, want_maps=False)
    link.close()


def test_an_impossible_rate(tmp_path: Path) -> None:
    pytest.importorskip("serial", reason="the view extra is not installed")
    port = tmp_path / "ttyFake"
    with plugged_in(FakeBoard(), port), pytest.raises(UserError, match="-5 baud"):
        SerialLink(str(port), -5)


class Noisy(FakeLink):
    """Loses, doubles and changes bytes in both directions."""

    def __init__(self, board: FakeBoard, seed: int) -> None:
        super().__init__(board)
        self._random = np.random.default_rng(seed)
        self.damaged = 0

    def write(self, data: bytes) -> None:
        super().write(self._damage(data))

    def read(self, seconds: float) -> bytes:
        return self._damage(super().read(seconds))

    def _damage(self, data: bytes) -> bytes:
        bad = bytearray(data)
        for _ in range(self._random.poisson(len(data) / 30_000)):
            at = int(self._random.integers(len(bad)))
            kind = self._random.integers(3)
            bad[at : at + 1] = (b"", bytes((bad[at],)) * 2, bytes((bad[at] ^ 0x41,)))[kind]
            self.damaged += 1
        return bytes(bad)


def test_a_bad_cable_costs_time_and_never_gives_a_wrong_answer() -> None:
    # An answer names the picture it belongs to, so that a mix-up would show.
    board = FakeBoard(answer=lambda n: [Frame(protocol.POSES, 0, poses(n, (STANDING,) * (n % 4)))])
    link = Noisy(board, 5)
    answered = lost = 0
    for number in range(60):
        try:
            talk = Session(link, lambda text: None)
            answer = talk.look(picture(number), number, want_maps=False)
        except LinkLost:
            lost += 1
            continue
        answered += 1
        assert len(answer.poses.people) == number % 4
        np.testing.assert_array_equal(board.pictures[-1], picture(number))
    assert link.damaged > 50, link.damaged
    assert answered > 20
    assert answered + lost == 60
