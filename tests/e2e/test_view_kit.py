"""The virtual kit as the viewer's source."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ai8x_models.preprocess import prepare, read_picture
from evalkit.host.serial.links import KitLink, LinkLost
from evalkit.host.serial.session import Session
from evalkit.host.stream.feed import LiveFeed, Options
from evalkit.host.stream.pictures import Photographs
from evalkit.host.stream.recording import Recorder, read_recording
from evalkit.host.stream.shots import Shot
from evalkit.host.viewer.server import Board
from evalkit.wire import protocol
from evalkit.wire.protocol import Frame, encode
from synthesize.__main__ import main as synthesize
from synthesize.write import elf as build
from tests.helpers.fake_board import STANDING, FakeBoard, FakeLink, poses
from tests.helpers.live_board import shipped, twin_people
from tests.helpers.places import REPOSITORY

SHIPPED = REPOSITORY / "ai8x_models" / "checkpoints" / "native-q.pth.tar"
PEOPLE = REPOSITORY / "docs" / "images" / "people.png"


def firmware(folder: Path, *network: Path | str) -> Path:
    """Frame-injection firmware of a network."""
    pytest.importorskip("unicorn", reason="the kit extra is not installed")
    words = [*map(str, network), "--application", "frame-injection", "--quiet"]
    assert synthesize(["compile", *words, "--out", str(folder / "project")]) == 0
    return build.build(folder / "project", cache=folder / "objects", baud=921600)


@pytest.mark.long
def test_skeletons_are_those_of_the_maps(tmp_path: Path) -> None:
    """From a photograph on the host to poses: what the firmware finds is what its maps hold."""
    elf = firmware(tmp_path, SHIPPED)
    session = Session(KitLink(elf), lambda text: None)
    picture = prepare(read_picture(PEOPLE))
    answer = session.look(picture.pixels, 1, want_maps=True)
    steps = json.loads((elf.parent / "report.json").read_text())["outputs"]
    maps = {step["name"]: m for step, m in zip(steps, answer.maps, strict=True)}
    expected = twin_people(shipped(), maps)
    assert len(expected) == len(answer.poses.people) > 0
    for want, got in zip(expected, answer.poses.people, strict=True):
        points = np.asarray(want.points, float) / (16, 16, 2**15)
        np.testing.assert_array_equal(got.points, points)
    without = session.look(picture.pixels, 2, want_maps=False)
    assert without.payload[2:4] + without.payload[16:] == answer.payload[2:4] + answer.payload[16:]


def test_firmware_without_poses(shared_dir: Path, tmp_path: Path) -> None:
    case = shared_dir / "golden" / "cifar-10"
    sample = ("--sample", case / "input.npy")
    elf = firmware(tmp_path, case / "network.yaml", case / "checkpoint.npz", *sample)
    session = Session(KitLink(elf), lambda text: None)
    hello = session.meet()
    pixels = np.zeros((*hello.input_shape[1:], 3), np.uint8)
    with pytest.raises(LinkLost, match="has no pose outputs"):
        session.look(pixels, 1, want_maps=False)


def test_an_image_that_is_none(tmp_path: Path) -> None:
    pytest.importorskip("unicorn", reason="the kit extra is not installed")
    path = tmp_path / "firmware.elf"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(LinkLost, match=r"firmware\.elf"):
        KitLink(path)


def test_board_with_a_camera_of_its_own(tmp_path: Path) -> None:
    """It sends answers unasked; the viewer listens."""
    link = FakeLink(FakeBoard())
    sent = [encode(Frame(protocol.POSES, n, poses(n, (STANDING,)))) for n in range(3)]
    read = link.read
    link.read = lambda seconds: read(seconds) or (sent.pop(0) if sent else b"")  # type: ignore
    path = tmp_path / "own.p78"
    board = Board()
    feed = LiveFeed(board, lambda: link, Options(recorder=Recorder(path), count=3))
    feed.start()
    feed.wait()
    assert not feed.failed
    shots = [entry for entry in read_recording(path) if isinstance(entry, Shot)]
    assert [shot.name for shot in shots] == ["camera #0", "camera #1", "camera #2"]
    assert all((shot.width, shot.height) == (128, 128) for shot in shots)
    np.testing.assert_array_equal(shots[0].people()[0][0][:, :2], STANDING)


def test_virtual_kit_with_a_camera_of_its_own(tmp_path: Path) -> None:
    """Pictures of the live-pose firmware come with the skeletons that belong to them."""
    pytest.importorskip("unicorn", reason="the kit extra is not installed")
    from tests.helpers.live_board import expected_people, live_firmware, shipped

    elf = live_firmware(tmp_path)
    links: list[KitLink] = []

    def open_link() -> KitLink:
        links.append(KitLink(elf, PEOPLE))
        return links[-1]

    path = tmp_path / "own.p78"
    feed = LiveFeed(Board(), open_link, Options(recorder=Recorder(path), count=2, step=4))
    feed.start()
    feed.wait()
    assert not feed.failed
    shots = [entry for entry in read_recording(path) if isinstance(entry, Shot)]
    seen = links[0].camera.sent[0].data
    assert [shot.payload[16:] for shot in shots] == [expected_people(shipped(), seen)] * 2
    assert all(shot.jpeg and (shot.width, shot.height) == (128, 128) for shot in shots)


def test_another_network_than_wanted() -> None:
    options = Options(Photographs(PEOPLE), network="tiny", count=1)
    feed = LiveFeed(Board(), lambda: FakeLink(FakeBoard()), options)
    feed.start()
    feed.wait()
    assert "runs network seed, not tiny" in feed.failed
