"""The vendor SDK's build of a generated project; needs the SDK and its compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from ai8x_models.preprocess import prepare, read_picture
from evalkit.camera import Camera
from evalkit.kit import Kit
from evalkit.wire import pieces, protocol
from synthesize.__main__ import main as synthesize
from synthesize.compiler import compile_network
from synthesize.read import checkpoint
from synthesize.write import project as emit
from tests.helpers.lift_board import LIFTER, PEOPLE, lifting_pipeline
from tests.helpers.live_board import (
    SHIPPED,
    SIDE,
    expected_people,
    live_firmware,
    paces,
    same_people,
    scenes,
    send,
    shipped,
    watch,
)

pytest.importorskip("unicorn", reason="the kit extra is not installed")

SDK = os.environ.get("MAXIM_PATH", "")


pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not SDK or not shutil.which("arm-none-eabi-gcc"),
        reason="the vendor SDK is not here (set MAXIM_PATH, put arm-none-eabi-gcc on the path)",
    ),
]
BOARDS = ("FTHR_RevA", "EvKit_V1")
SCREEN_LEFT, SCREEN_SIDE = 40, 240
"""Where the network's input is on the screen (display_tft.c)."""
SQUARE = 4
COLOURS = ((255, 255, 0), (0, 255, 255), (255, 0, 255), (0, 255, 0))
"""Of people, one after the other."""
LIMBS = (
    (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 2), (2, 3), (3, 4), (1, 5),
    (5, 6), (6, 7), (1, 0), (0, 14), (0, 15), (14, 16), (15, 17),
)  # fmt: skip


def sdk_build(project: Path, board: str, *settings: str) -> Path:
    """Compile a project with the vendor SDK; returns the executable."""
    command = ["make", "-C", str(project / "sdk"), f"MAXIM_PATH={SDK}", f"BOARD={board}"]
    subprocess.run([*command, *settings], check=True, capture_output=True)
    return project / "sdk" / "build" / "max78000.elf"


@pytest.mark.parametrize("board", BOARDS)
def test_known_answer_with_the_vendor_sdk(shared_dir: Path, tmp_path: Path, board: str) -> None:
    case = shared_dir / "golden" / "cifar-10"
    sample = np.load(case / "input.npy")
    compiled = compile_network(
        checkpoint.load(case / "checkpoint.npz"), case / "network.yaml", sample.shape
    )
    project = emit.write_project(
        compiled.program, sample, compiled.known_answer(sample), tmp_path / "project"
    )
    kit = Kit(sdk_build(project, board))
    kit.run_until()
    assert "PASS" in kit.uart_text()


@pytest.mark.parametrize("board", BOARDS)
def test_frame_injection_with_the_vendor_sdk(tmp_path: Path, board: str) -> None:
    """Pictures from the host, the Python pipeline's skeletons back."""
    project = tmp_path / "injection"
    options = ["--application", "frame-injection", "--quiet", "--out", str(project)]
    assert synthesize(["compile", str(SHIPPED), *options]) == 0
    kit = Kit(sdk_build(project, board, "BAUD=921600"))
    kit.run_until_frame(protocol.HELLO)
    people = 0
    for number, scene in enumerate(scenes(2)):
        data = rgb565_bytes(np.ascontiguousarray(scene[:SIDE, :SIDE]))
        send(kit, protocol.image_frames(pieces.rgb565(data, SIDE, SIDE), number))
        payload = kit.run_until_frame(protocol.POSES, protocol.ERROR).payload
        assert payload[16:] == expected_people(shipped(), data)
        people += len(protocol.parse_poses(payload).people)
    assert people > 0


@pytest.mark.parametrize("board", BOARDS)
def test_frame_injection_3d_with_the_vendor_sdk(tmp_path: Path, board: str) -> None:
    """Two networks: skeletons of the Python pipeline, and their bodies in three dimensions."""
    project = tmp_path / "lifting"
    options = ["--second", str(LIFTER), "--application", "frame-injection", "--quiet"]
    assert synthesize(["compile", str(SHIPPED), *options, "--out", str(project)]) == 0
    kit = Kit(sdk_build(project, board, "BAUD=921600"))
    kit.run_until_frame(protocol.HELLO)
    image = prepare(read_picture(PEOPLE)).pixels
    send(kit, protocol.image_frames(image, 78))
    lifted = kit.run_until_frame(protocol.POSES3D, protocol.ERROR)
    assert lifted.type == protocol.POSES3D, lifted.payload
    poses = kit.run_until_frame(protocol.POSES)
    assert (poses.payload[16:], lifted.payload[8:]) == lifting_pipeline().answer(image)
    assert protocol.parse_poses3d(lifted.payload).people


def rgb565_bytes(pixels: np.ndarray) -> bytes:
    """uint8 [rows, columns, 3] as the camera sends it."""
    red, green, blue = (pixels[..., i].astype(np.uint16) for i in range(3))
    return bytes((red >> 3 << 11 | green >> 2 << 5 | blue >> 3).astype(">u2").tobytes())


@pytest.mark.parametrize("board", BOARDS)
def test_live_pose_with_the_vendor_sdk(tmp_path: Path, board: str) -> None:
    """The vendor's camera driver, 20 pictures a second or more, the Python pipeline's skeletons."""
    camera = Camera(scenes(4))
    project = live_firmware(tmp_path).parent
    kit = Kit(sdk_build(project, board, "BAUD=921600"), camera=camera)
    same_people(shipped(), camera, watch(kit, 4))
    assert max(pace.period for pace in paces(kit)) < 50_000
    if board == "EvKit_V1":
        check_screen(kit)


def check_screen(kit: Kit) -> None:
    """With the firmware paused, the screen shows the people of the last poses frame."""
    kit.press_button(0)
    end = kit.seconds + 0.5
    kit.run_until(lambda: kit.seconds >= end, max_wall_seconds=500)
    payload = [frame.payload for frame in kit.frames if frame.type == protocol.POSES][-1]
    people = protocol.parse_poses(payload).people
    assert people
    screen = kit.board.display.picture()
    explained = np.zeros(screen.shape[:2], bool)
    for index, person in enumerate(people):
        near, on = limbs_on_screen(person.points)
        explained |= near & (screen == COLOURS[index % len(COLOURS)]).all(axis=-1)
        assert on
        lit = [screen[y - 1 : y + 2, x - 1 : x + 2].any() for x, y in on]
        assert all(lit), f"person {index}: {lit.count(False)} of {len(lit)} pixels are dark"
    assert not (screen.any(axis=-1) & ~explained).any()


def limbs_on_screen(points: np.ndarray) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Where a person's pixels may be, bool [240, 320], and (x, y) of some that must be lit."""
    near, on = np.zeros((240, 320), bool), []
    for one, other in LIMBS:
        if points[one, 2] == 0 or points[other, 2] == 0:
            continue
        for share in np.linspace(0, 1, 101):
            x, y = (1 - share) * points[one, :2] + share * points[other, :2]
            column = round(SCREEN_LEFT + x * SCREEN_SIDE / SIDE + SQUARE / 2 - 1)
            row = round(max(0, y * SCREEN_SIDE / SIDE) + SQUARE / 2 - 1)
            near[max(0, row - SQUARE) : row + SQUARE, max(0, column - SQUARE) : column + SQUARE] = 1
            if 0 < row < 239 and 0 < column < 319:
                on.append((column, row))
    return near, on
