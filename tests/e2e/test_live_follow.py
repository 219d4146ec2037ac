"""The live-follow firmware on the virtual board: regions, numbers and events are the twins'."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from ai8x_models.follow.colour import thumbnail_rgb565
from ai8x_models.follow.crop import crop_rgb565
from ai8x_models.follow.events import RULES, Event
from ai8x_models.follow.region import Chooser, RegionSettings
from ai8x_models.follow.tracker import Region, Told, Tracker, region_people
from common.errors import UserError
from distill.people.synthetic import make_scene
from evalkit.camera import Camera
from evalkit.kit import Kit
from evalkit.wire import pieces, protocol
from synthesize.compiler import Compiled
from synthesize.write.elf import find_toolchain
from tests.helpers.live_board import (
    SHIPPED,
    expected_people,
    live_firmware,
    paces,
    shipped,
    watch,
)
from tests.helpers.places import REPOSITORY

pytest.importorskip("unicorn", reason="the kit extra is not installed")

SEED = REPOSITORY / "ai8x_models" / "checkpoints" / "seed-q.pth.tar"
SIDE = 480
RATE = 25.0
"""Pictures per second that the modelled system must reach at least."""


@dataclass(frozen=True)
class Board:
    """A student, and the firmware that follows people with it."""

    firmware: Path
    compiled: Compiled
    colour: bool = False


def made(folder: Path, student: Path, colour: bool = False) -> Board:
    firmware = live_firmware(folder, "live-follow", student, colour)
    return Board(firmware, shipped(student), colour)


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Board:
    """The shipped student: maps of 32 x 32, bytes."""
    return made(tmp_path_factory.mktemp("native"), SHIPPED)


@pytest.fixture(scope="module")
def lenient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student that sees people everywhere (maps of 16 x 16, words): not its strict thresholds,
    but the usual ones."""
    data = torch.load(SEED, weights_only=True)
    del data["extras"]["decoder"]
    student = tmp_path_factory.mktemp("lenient") / "seed-q.pth.tar"
    torch.save(data, student)
    return student


@pytest.fixture(scope="module")
def easy(tmp_path_factory: pytest.TempPathFactory, lenient: Path) -> Board:
    return made(tmp_path_factory.mktemp("easy"), lenient)


@pytest.fixture(scope="module")
def coloured(tmp_path_factory: pytest.TempPathFactory, lenient: Path) -> Board:
    """The same, with colours."""
    return made(tmp_path_factory.mktemp("coloured"), lenient, colour=True)


def small_people(count: int) -> list[np.ndarray]:
    """Somebody a third as high as the picture, who goes to its border; uint8 [480, 480, 3]."""
    scene = np.asarray(make_scene(3, 200, 200, people=1, active=0.2).pixels, np.uint8)
    pictures = []
    for index in range(count):
        picture = np.full((SIDE, SIDE, 3), 128, np.uint8)
        x = 140 + 25 * index
        picture[120:320, x : x + 200] = scene[:, : SIDE - x]
        pictures.append(picture)
    return pictures


def crowd(count: int) -> list[np.ndarray]:
    """Twelve people who run to the right and out of the picture; uint8 [480, 480, 3]."""
    scenes = [
        np.asarray(make_scene(seed, 240, 240, people=3).pixels, np.uint8) for seed in range(4)
    ]
    picture = np.vstack([np.hstack(scenes[:2]), np.hstack(scenes[2:])])
    pictures = []
    for index in range(count):
        shifted = np.full_like(picture, 128)
        shifted[:, 40 * index :] = picture[:, : SIDE - 40 * index]
        pictures.append(shifted)
    return pictures


def tracks_of(kit: Kit) -> list[protocol.Tracks]:
    """All tracks frames so far."""
    return [protocol.parse_tracks(f.payload) for f in kit.frames if f.type == protocol.TRACKS]


def people_of(payload: bytes) -> list[np.ndarray]:
    """The people of a poses frame as integers, int64 [18, 3] each."""
    raw = np.frombuffer(payload[16:], "<u2").reshape(-1, 56)[:, 2:].reshape(-1, 18, 3)
    places = raw[..., :2].astype(np.int16)
    return [
        np.concatenate([place, value], axis=1).astype(np.int64)
        for place, value in zip(places, raw[..., 2:], strict=True)
    ]


def same_tracks(told: list[Told], said: protocol.Tracks) -> bool:
    """Whether the firmware told what the twin does."""
    if len(told) != len(said.people):
        return False
    for twin, track in zip(told, said.people, strict=True):
        if (twin.number, twin.missed) != (track.number, track.missed):
            return False
        if not np.array_equal(twin.points, np.round(track.points * (16, 16, 2**15))):
            return False
    return True


def compare(board: Board, pictures: list[np.ndarray], late: int = 0) -> list[protocol.Tracks]:
    """Watch pictures; assert that all is as the twins say, and fast enough; what was told.

    At most ``late`` of them may take longer, each at most one picture of the camera, and the rate
    of all together must hold.
    """
    count = len(pictures) - 1
    camera = Camera(pictures)
    kit = Kit(board.firmware, camera=camera)
    answers = watch(kit, len(pictures))
    said = tracks_of(kit)[:count]
    assert [tracks.number for tracks in said] == list(range(count))
    tracker, chooser = Tracker(), Chooser(RegionSettings(SIDE))
    events = [Event(rule) for rule in RULES]
    told: list[list[Told]] = []
    changes = []
    for number, tracks in enumerate(said):
        # The region was chosen when the people of three pictures before were known.
        region = chooser.next(told[number - 3] if number >= 3 else [], tracks.ms)
        assert region == Region(*tracks.region)
        data = crop_rgb565(camera.sent[number].data, SIDE, region, 128)
        if number % 4 == 0:
            assert answers[number][16:] == expected_people(board.compiled, data)
        moved = region_people(region, 128, people_of(answers[number]))
        seen = thumbnail_rgb565(data) if board.colour else None
        told.append(tracker.step(moved, region, tracks.ms, seen))
        assert same_tracks(told[-1], tracks), number
        for rule, event in enumerate(events):
            if event.step(told[-1], tracks.ms):
                changes.append(protocol.Event(number, rule, event.count))
    sent = [protocol.parse_event(f.payload) for f in kit.frames if f.type == protocol.EVENT]
    assert [event for event in sent if event.number < count] == changes
    assert protocol.Event(changes[0].number, 0, 1) in changes
    periods = [pace.period for pace in paces(kit)[1:]]
    slow = [period for period in periods if period > 1e6 / RATE]
    assert len(slow) <= late
    assert sum(periods) <= len(periods) * 1e6 / RATE
    assert all(period < 2e6 / RATE for period in slow)
    assert kit.machine.pcif.lost == 0
    return said


def test_everything_is_as_the_twins_say(native: Board) -> None:
    said = compare(native, small_people(10))
    assert min(tracks.region[2] for tracks in said) < SIDE  # it has looked more closely


def test_a_crowd_that_runs_out_of_the_picture(easy: Board) -> None:
    """Many at once, who leave; more than there is room for is a test of the tracker alone."""
    # Twelve people take up to 27 ms to decode and follow: now and then the camera is ahead.
    said = compare(easy, crowd(13), late=1)
    assert max(len(tracks.people) for tracks in said) >= 5


def test_colours_are_those_of_the_twin(coloured: Board) -> None:
    """People who change clothes among others who do not, and who leave."""
    pictures = crowd(13)
    for picture in pictures[5:]:
        picture[:240, :240] = 255 - picture[:240, :240]
    said = compare(coloured, pictures, late=1)
    assert max(len(tracks.people) for tracks in said) >= 5


@pytest.mark.parametrize("toolchain", ["gcc", "ziglang"])
def test_every_compiler_links_it(
    toolchain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each calls other functions for what C does not spell out, and has its own idea of sizes."""
    monkeypatch.setenv("POSE78_TOOLCHAIN", toolchain)
    try:
        find_toolchain()
    except UserError as error:
        pytest.skip(str(error))
    assert live_firmware(tmp_path, "live-follow", colour=True).stat().st_size > 400_000


def test_camera_that_drops_lines(easy: Board) -> None:
    """Words that are lost cost their picture and no other."""
    camera = Camera(small_people(4))
    kit = Kit(easy.firmware, camera=camera)
    watch(kit, 2)
    before = camera.count
    take = kit.machine.pcif._next_piece
    pcif = kit.machine.pcif
    dropped = []

    def drop_a_line() -> None:
        if pcif._frame is not None and pcif._row == 200 and len(dropped) < 3:
            dropped.append(pcif._frame.name)
            pcif._position += 480
        take()

    pcif._next_piece = drop_a_line  # type: ignore[method-assign]
    watch(kit, 6)
    assert len(dropped) == 3
    assert camera.count >= before + 4
    assert not [f for f in kit.frames if f.type == protocol.ERROR]
    numbers = [
        struct.unpack_from("<H", f.payload)[0] for f in kit.frames if f.type == protocol.POSES
    ]
    assert numbers == list(range(len(numbers)))


def test_a_host_that_knows_nothing_of_this_sees_skeletons(easy: Board) -> None:
    """Poses lie in the picture that the board shows: the region."""
    camera = Camera(small_people(8))
    kit = Kit(easy.firmware, camera=camera)
    watch(kit, 6)
    kit.uart_write(protocol.encode(protocol.show_frame(1)))
    collector = pieces.PictureCollector()
    picture = None
    while picture is None:
        picture = collector.add(kit.run_until_frame(protocol.PICTURE).payload)
    number, pixels = picture
    while not any(tracks.number == number for tracks in tracks_of(kit)):
        kit.run_until_frame(protocol.TRACKS)
    region = next(t.region for t in tracks_of(kit) if t.number == number)
    data = crop_rgb565(camera.sent[number].data, SIDE, Region(*region), 128)
    np.testing.assert_array_equal(pixels, pieces.rgb565(data, 128, 128))
