"""Camera to skeleton on the virtual board: the live-pose firmware."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evalkit.camera import Camera
from evalkit.hardware.scheduler import SECOND
from evalkit.kit import Kit
from evalkit.wire import pieces, protocol
from evalkit.wire.protocol import Frame
from synthesize.compiler import Compiled
from tests.helpers.live_board import (
    live_firmware,
    paces,
    photographs,
    same_people,
    scenes,
    send,
    shipped,
    watch,
)

pytest.importorskip("unicorn", reason="the kit extra is not installed")

RATE = 20.0
"""Pictures per second that the modelled system must reach at least."""
BUDGET_US = {"store": 5_000, "network": 23_000, "copy": 1_500, "decode": 12_000}
"""At most so long for each stage, whichever compiler; docs/live.md explains the table."""


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return live_firmware(tmp_path_factory.mktemp("live"))


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    return shipped()


def check_pace(kit: Kit, count: int) -> list[protocol.Pace]:
    """Every stage keeps its budget and no picture of the camera is missed."""
    times = paces(kit)[:count]
    assert [pace.number for pace in times] == list(range(count))
    for pace in times:
        for stage, most in BUDGET_US.items():
            assert getattr(pace, stage) <= most, (stage, pace)
    periods = [pace.period for pace in times[1:]]
    assert 1e6 / np.mean(periods) >= RATE
    assert max(periods) < 1.1 * min(periods)
    return times


def test_skeletons_are_those_of_the_python_pipeline(firmware: Path, compiled: Compiled) -> None:
    camera = Camera(scenes(5))
    kit = Kit(firmware, camera=camera)
    answers = watch(kit, 5)
    assert sorted(answers)[:5] == list(range(5))
    assert same_people(compiled, camera, answers) >= 3
    check_pace(kit, 5)


@pytest.mark.long
def test_a_hundred_photographs(firmware: Path, compiled: Compiled) -> None:
    chosen = photographs(100)
    if len(chosen) < 100:
        pytest.skip("the folder of photographs was not found (set POSE78_SHARED to its path)")
    from ai8x_models.preprocess import read_picture

    camera = Camera(map(read_picture, chosen), frames=100)
    kit = Kit(firmware, camera=camera)
    answers = watch(kit, 100)
    assert sorted(answers) == list(range(100))
    people = same_people(compiled, camera, answers)
    assert people >= 50
    times = check_pace(kit, 100)
    for stage in ("period", "capture", *BUDGET_US):
        values = [getattr(pace, stage) / 1000 for pace in times[1:]]
        print(f"{stage:8} mean {np.mean(values):6.2f} ms, {min(values):6.2f} .. {max(values):6.2f}")
    print(f"{people} people in 100 pictures")


def test_picture_on_request(firmware: Path) -> None:
    camera = Camera(scenes(2))
    kit = Kit(firmware, camera=camera)
    kit.run_until_frame(protocol.POSES)
    for step in (1, 4):
        send(kit, [protocol.show_frame(step)])
        collector = pieces.PictureCollector()
        picture = None
        while picture is None:
            picture = collector.add(kit.run_until_frame(protocol.PICTURE).payload)
        number, pixels = picture
        whole = pieces.rgb565(camera.sent[number].data, 128, 128)
        np.testing.assert_array_equal(pixels, whole[::step, ::step])
        poses = [protocol.parse_poses(f.payload) for f in kit.frames if f.type == protocol.POSES]
        assert poses[-1].number in (number, number - 1)
    send(kit, [protocol.show_frame(17)])
    assert protocol.parse_error(kit.run_until_frame(protocol.ERROR).payload).code == 2


def error(kit: Kit) -> protocol.Error:
    return protocol.parse_error(kit.run_until_frame(protocol.ERROR).payload)


def test_board_without_a_camera_says_so_and_keeps_running(firmware: Path) -> None:
    kit = Kit(firmware, camera=None)
    said = error(kit)
    assert (said.code, said.text) == (6, "no camera answers; is it connected?")
    assert kit.uart_text().count("no camera answers") == 1
    send(kit, [Frame(protocol.ASK, 0, b"")])
    kit.run_until_frame(protocol.HELLO)
    assert error(kit).code == 6
    send(kit, [Frame(protocol.TEST, 0, b"")])
    end = protocol.parse_end(kit.run_until_frame(protocol.END).payload)
    assert end.status == 0
    assert kit.seconds < 5


def test_camera_that_falls_silent_and_comes_back(firmware: Path) -> None:
    camera = Camera(scenes(2))
    kit = Kit(firmware, camera=camera)
    watch(kit, 2)
    sensor = kit.board.sensor
    assert sensor is not None
    sensor.powered = False
    said = error(kit)
    assert (said.code, said.text) == (6, "the camera sends no picture")
    count = sum(frame.type == protocol.POSES for frame in kit.frames)
    watch(kit, count + 2)


def test_request_of_an_unknown_type(firmware: Path) -> None:
    kit = Kit(firmware, camera=None)
    kit.run_until_frame(protocol.ERROR)
    send(kit, [Frame(protocol.IMAGE, 0, bytes(96))])
    assert error(kit).code == 1


def light(kit: Kit, pin: int) -> bool:
    """LED of the MAX78000FTHR on P2.0 (red), P2.1 (green) or P2.2 (blue)."""
    gpio = next(g for g in kit.machine.gpios if g.name == "GPIO2")
    return not gpio.output() >> pin & 1


def press(kit: Kit, button: int) -> None:
    """Press it for a tenth of a second."""
    for down in (True, False):
        kit.press_button(button, down)
        end = kit.seconds + 0.1
        kit.run_until(lambda end=end: kit.seconds >= end)


def test_buttons_and_lights(firmware: Path) -> None:
    kit = Kit(firmware, camera=Camera(scenes(3)))
    found = [protocol.parse_poses(payload) for payload in watch(kit, 3).values()]
    assert light(kit, 1) == bool(found[-1].people)
    assert not light(kit, 0)
    before = light(kit, 2)
    watch(kit, 4)
    assert light(kit, 2) != before
    press(kit, 0)
    assert "paused" in kit.uart_text()
    count = sum(frame.type == protocol.POSES for frame in kit.frames)
    press(kit, 1)
    ends = [protocol.parse_end(f.payload) for f in kit.frames if f.type == protocol.END]
    assert [end.status for end in ends] == [0]
    assert "known-answer test: PASS" in kit.uart_text()
    assert sum(frame.type == protocol.POSES for frame in kit.frames) == count
    press(kit, 0)
    watch(kit, count + 2)


IRQ_CNN = 16 + 101


def test_network_that_does_not_finish(firmware: Path, compiled: Compiled) -> None:
    """Its interrupt never comes: a time-out, another start, and on it goes."""
    camera = Camera(scenes(2))
    kit = Kit(firmware, camera=camera)
    watch(kit, 2)
    kit.machine.nvic.enabled.discard(IRQ_CNN)
    before = kit.seconds
    said = error(kit)
    assert (said.code, said.text) == (4, "the accelerator did not finish")
    assert 1.9 < kit.seconds - before < 2.2
    answers = watch(kit, 5)
    same_people(compiled, camera, {n: p for n, p in answers.items() if n > said.number})


def test_loop_that_hangs_is_ended_by_the_watchdog(firmware: Path) -> None:
    kit = Kit(firmware, camera=None)
    kit.run_until_frame(protocol.ERROR)
    branch_to_itself = b"\xfe\xe7"
    kit.machine.cpu.write_memory(
        kit.machine.firmware.symbols["button_pressed"][0], branch_to_itself
    )
    before = kit.seconds
    said = error(kit)
    assert (said.code, said.text) == (7, "the watchdog has restarted the board")
    ((reset, cause),) = kit.machine.resets
    assert cause == "watchdog"
    assert 2.5 < reset / SECOND - before < 2.9
    assert error(kit).code == 6  # from the start again: there is no camera
