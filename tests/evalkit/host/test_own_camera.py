"""Frames of a board with a camera of its own, on the host."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from evalkit.host.serial.own_camera import PATIENCE_SECONDS, OwnCamera, Seen, enlarged
from evalkit.wire import pieces, protocol
from evalkit.wire.protocol import Frame
from synthesize.write import self_test
from tests.helpers.fake_board import STANDING, poses


def pixels(rows: int, columns: int, seed: int = 0) -> bytes:
    """Random RGB565 bytes."""
    return np.random.default_rng(seed).bytes(2 * rows * columns)


def cut(number: int, data: bytes, rows: int, columns: int, most: int = 100) -> list[Frame]:
    """Picture frames of at most ``most`` bytes of pixels."""
    return [
        Frame(
            protocol.PICTURE,
            0,
            struct.pack("<4HI", number, 0, rows, columns, at) + data[at : at + most],
        )
        for at in range(0, len(data), most)
    ]


def feed(camera: OwnCamera, frames: list[Frame]) -> list[Seen]:
    return [seen for frame in frames if (seen := camera.take(frame)) is not None]


def answer(number: int) -> Frame:
    return Frame(protocol.POSES, 0, poses(number, (STANDING,)))


def test_pixels_repeat_their_highest_bits() -> None:
    data = bytes((0xFF, 0xFF, 0x00, 0x00, 0xF8, 0x00, 0x07, 0xE0, 0x00, 0x1F, 0x84, 0x10))
    rgb = pieces.rgb565(data, 1, 6)[0].tolist()
    assert rgb == [[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255],
                   [132, 130, 132]]  # fmt: skip


@pytest.mark.parametrize("poses_first", [True, False])
def test_picture_and_skeletons_of_one_number_belong_together(poses_first: bool) -> None:
    camera = OwnCamera(2)
    data = pixels(8, 6)
    picture = cut(7, data, 8, 6, most=24)
    frames = [answer(6), answer(7), *picture] if poses_first else [*picture, answer(6), answer(7)]
    (seen,) = feed(camera, frames)
    assert protocol.parse_poses(seen.payload).number == 7
    np.testing.assert_array_equal(seen.pixels, pieces.rgb565(data, 8, 6))
    assert feed(camera, [answer(7)]) == []


def test_picture_with_a_piece_missing_is_forgotten() -> None:
    camera = OwnCamera(1)
    first = cut(1, pixels(8, 6), 8, 6, most=24)
    del first[1]
    second = cut(2, pixels(8, 6, 1), 8, 6, most=24)
    seen = feed(camera, [*first, answer(1), *second, answer(2)])
    assert [protocol.parse_poses(s.payload).number for s in seen] == [2]


def test_skeletons_alone() -> None:
    camera = OwnCamera(0)
    assert camera.request(0.0) is None
    (seen,) = feed(camera, [answer(3)])
    assert seen.pixels is None


def test_pictures_are_asked_for_one_by_one_and_again_when_none_comes() -> None:
    camera = OwnCamera(4)
    request = camera.request(10.0)
    assert request is not None
    assert (request.type, request.payload) == (protocol.SHOW, b"\4\0")
    assert camera.request(10.1) is None
    assert camera.request(10.0 + PATIENCE_SECONDS) is not None
    feed(camera, cut(1, pixels(4, 4), 4, 4))
    assert camera.request(10.2 + PATIENCE_SECONDS) is not None


def test_pace() -> None:
    camera = OwnCamera(0)
    assert camera.pace is None
    feed(camera, [Frame(protocol.PACE, 0, struct.pack("<HH6I", 5, 0, 1, 2, 3, 4, 5, 6))])
    assert camera.pace == protocol.Pace(5, 1, 2, 3, 4, 5, 6)


@pytest.mark.parametrize(
    "payload",
    [
        b"short",
        struct.pack("<4HI", 1, 9, 4, 4, 0),
        struct.pack("<4HI", 1, 0, 1, 1, 0) + b"123",
        struct.pack("<4HI", 1, 0, 4, 4, 1 << 31) + b"12",
    ],
)
def test_picture_frames_that_make_no_sense(payload: bytes) -> None:
    with pytest.raises(ValueError, match="picture"):
        OwnCamera(1).take(Frame(protocol.PICTURE, 0, payload))
    with pytest.raises(ValueError, match="pace"):
        OwnCamera(1).take(Frame(protocol.PACE, 0, payload))


def test_small_pictures_are_enlarged() -> None:
    small = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    large = enlarged(small, 4, 6)
    assert large.shape == (4, 6, 3)
    np.testing.assert_array_equal(large[::2, ::3], small)
    np.testing.assert_array_equal(large[1, 2], small[0, 0])


def test_computed_picture_is_that_of_the_generator() -> None:
    state, expected = self_test.SEED, []
    for _ in range(6):
        state = (1664525 * state + 1013904223) % 2**32
        expected.append((state >> 24) - 128)
    picture = self_test.picture((3, 2, 2))
    assert picture.dtype == np.int8
    assert picture[:, 0, :2].T.reshape(-1).tolist() == expected


def tracks(number: int) -> Frame:
    """Nobody followed; the region 10, 20, 128 of 480."""
    words = struct.pack("<6H3I", number, 0, 480, 10, 20, 128, 1000, 0, 0)
    return Frame(protocol.TRACKS, 0, words)


def test_a_board_that_follows_people_is_waited_for() -> None:
    camera = OwnCamera(0)
    assert camera.take(answer(1)) is not None  # nobody knows yet that it follows
    assert camera.take(tracks(1)) is None  # told already
    assert camera.take(answer(2)) is None
    seen = camera.take(tracks(2))
    assert seen is not None
    assert protocol.parse_tracks(seen.tracks).region == (10, 20, 128)


def test_tracks_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="tracks frame"):
        OwnCamera(0).take(Frame(protocol.TRACKS, 0, bytes(25)))
