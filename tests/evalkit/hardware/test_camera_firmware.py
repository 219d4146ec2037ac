"""Programs that use the camera, from start-up to the bytes in memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from common.errors import UserError
from evalkit.camera import Camera
from evalkit.commands import run
from evalkit.hardware.around import ov7692
from evalkit.kit import Fault, Kit
from tests.helpers.mini_firmware import build_program

SDK = os.environ.get("MAXIM_PATH", "")

GRABBER = """
#include <stdint.h>
#include "console.h"
#include "crc32.h"
#include "platform.h"
#define WORD(address) (*(volatile uint32_t *)(address))
enum { I2C = 0x4001F000, PCIF = 0x4000E000, PT = 0x4003C000, DMA = 0x40028160 };
enum { ROWS = 128, COLUMNS = 128, SIZE = ROWS * COLUMNS * 2 };
static uint8_t frame[SIZE] __attribute__((aligned(4)));

static int set(uint8_t number, uint8_t value)
{
    WORD(I2C + 0x08) = 0xFFFF;
    WORD(I2C + 0x2C) = 0x3C << 1;
    WORD(I2C + 0x30) = 1;
    WORD(I2C + 0x2C) = number;
    WORD(I2C + 0x2C) = value;
    WORD(I2C + 0x30) = 4;
    while (!(WORD(I2C + 0x08) & 1u << 6)) {}
    return (WORD(I2C + 0x08) & 0xC00) == 0;
}

static void handler(void) { WORD(PCIF + 0x10) = WORD(PCIF + 0x10); }

static uint32_t vectors[120] __attribute__((aligned(512)));

static void catch(uint32_t irq)
{
    for (uint32_t i = 0; i < 120; ++i) vectors[i] = WORD(0x10000000u + 4 * i);
    vectors[16 + irq] = (uint32_t)(uintptr_t)handler;
    WORD(0xE000ED08) = (uint32_t)(uintptr_t)vectors;
    WORD(0xE000E100 + 4 * (irq / 32)) = 1u << (irq % 32);
}

static void grab(void)
{
    WORD(DMA + 0x04) = 0x5C;
    WORD(DMA + 0x0C) = (uint32_t)(uintptr_t)frame;
    WORD(DMA + 0x10) = SIZE;
    WORD(DMA) = 3u << 24 | 1u << 22 | 2u << 20 | 2u << 16 | 0xDu << 4 | 1u;
    WORD(PCIF + 0x08) |= 1;
    platform_mask();
    while (WORD(DMA + 0x10)) { platform_sleep(); platform_unmask(); platform_mask(); }
    platform_unmask();
}

int main(void)
{
    static const uint8_t settings[][2] = {
        {0x0C, 0xD6}, {0x12, 0x06}, {0x16, 0x07}, {0xC8, 0x01}, {0xC9, 0xE0}, {0xCA, 0x01},
        {0xCB, 0xE0}, {0xCC, 0x00}, {0xCD, COLUMNS}, {0xCE, 0x00}, {0xCF, ROWS + 1}};
    platform_init();
    WORD(0x40000024) &= ~(1u << 29);
    WORD(0x40000048) &= ~(1u << 24 | CAMERA_CLOCK);
    WORD(PT + 0x20) = 1u << 27 | 2;
    WORD(PT) = 1;
    WORD(I2C) = 3;
    WORD(I2C + 0x34) = WORD(I2C + 0x38) = 61;
    for (uint32_t i = 0; i < sizeof settings / sizeof *settings; ++i)
        if (!set(settings[i][0], settings[i][1])) {
            console_text("no camera");
            platform_halt();
        }
    catch(91);
    WORD(PCIF + 0x0C) = 1;
    WORD(PCIF + 0x08) = 1u << 31 | 1u << 17 | 1u << 16;
    for (;;) {
        grab();
        console_hex(crc32_update(0, frame, SIZE));
        console_text("\\n");
    }
}
"""


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("objects")


@pytest.fixture(scope="module")
def grabber(tmp_path_factory: pytest.TempPathFactory, objects: Path) -> Path:
    source = GRABBER.replace("CAMERA_CLOCK", "1u << 18")
    return build_program(tmp_path_factory.mktemp("grabber") / "program", source, objects)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(3)
    for i in range(2):
        coarse = rng.integers(0, 256, (15, 20 - 8 * i, 3), np.uint8)
        large = cv2.resize(coarse, None, fx=24, fy=24, interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{i}.png"), large)
    return folder


def test_frames_arrive_byte_for_byte(grabber: Path, photographs: Path) -> None:
    camera = Camera(photographs, frames=3)
    kit = Kit(grabber, camera=camera)
    kit.run_until(lambda: kit.camera_wait > 0.1, max_seconds=3)
    assert [f.name for f in camera.sent] == ["0.png", "1.png", "0.png"]
    sums = [f"0x{zlib.crc32(frame.data):08x}" for frame in camera.sent]
    assert kit.uart_text().split() == sums
    frame = camera.sent[0]
    assert frame.data == ov7692.pack(frame.pixels, ov7692.RGB565)
    assert frame.pixels.shape == (128, 128, 3)
    assert [s.name for s in kit.machine.recorder.rows["camera"]] == [f.name for f in camera.sent]


def test_the_modelled_rate_is_the_sensors(grabber: Path, photographs: Path) -> None:
    camera = Camera(photographs, frames=6)
    kit = Kit(grabber, camera=camera)
    kit.run_until(lambda: kit.camera_wait > 0, max_seconds=3)
    starts = [frame.start / 1e12 for frame in camera.sent]
    # The checksum takes longer than the gap between two frames, so that one is missed each time.
    assert np.diff(starts) == pytest.approx([2 * 846 * 512 / 12.5e6] * 5)


def test_without_a_camera_the_firmware_is_told(grabber: Path) -> None:
    kit = Kit(grabber, camera=None)
    assert kit.run_until("no camera", max_seconds=1)


def test_forgotten_clock_is_named(tmp_path: Path, objects: Path) -> None:
    source = GRABBER.replace("CAMERA_CLOCK", "0")
    kit = Kit(build_program(tmp_path / "program", source, objects))
    with pytest.raises(Fault, match=r"PCIF\.CTRL: an image is asked .*pcif is 1.*main\.c"):
        kit.run_until("never", max_seconds=1)


# ---- command line ----------------------------------------------------------------------------


def test_command_line_sends_each_picture_once(
    grabber: Path, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(grabber), "--camera", str(photographs), "--uart", "-"]
    assert run.main([*given, "--display", str(tmp_path / "out.png")]) == 0
    assert len(capsys.readouterr().out.split()) == 2
    assert cv2.imread(str(tmp_path / "out.png")).shape == (240, 320, 3)
    assert run.main([*given, "--frames", "3", "--camera-fit", "pad"]) == 0
    assert len(capsys.readouterr().out.split()) == 3


def test_command_line_without_a_camera(grabber: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main([str(grabber), "--no-camera", "--uart", "-"]) == 0
    assert capsys.readouterr().out == "no camera"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--camera", "{folder}/nowhere"], "does not exist"),
        (["--camera", "{folder}"], "has no photographs"),
        (["--camera", "{folder}/broken"], r"b\.jpg is no picture that can be decoded"),
        (["--frames", "3"], "--frames goes with --camera"),
        (["--camera", "{folder}/broken/a.png", "--frames", "-1"], "-1 is not a whole number"),
    ],
)
def test_bad_cameras(
    grabber: Path, photographs: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    shutil.copyfile(photographs / "0.png", broken / "a.png")
    (broken / "b.jpg").write_bytes((photographs / "0.png").read_bytes()[:200])
    with pytest.raises(UserError, match=message):
        run.main([str(grabber), *(o.format(folder=tmp_path) for o in options)])


# ---- the vendor's own example ----------------------------------------------------------------


@pytest.fixture(scope="module", params=["FTHR_RevA", "EvKit_V1"])
def vendor_example(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The CameraIF example, unchanged, built for one of the boards."""
    if not SDK or not shutil.which("arm-none-eabi-gcc"):
        pytest.skip(
            "the vendor SDK is not here (set MAXIM_PATH, put arm-none-eabi-gcc on the path)"
        )
    example = Path(SDK) / "Examples" / "MAX78000" / "CameraIF"
    if not example.is_dir():
        pytest.skip(f"the vendor SDK in {SDK} has no CameraIF example")
    folder = tmp_path_factory.mktemp("CameraIF")
    shutil.copytree(example, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("build*"))
    command = ["make", "-C", str(folder), f"MAXIM_PATH={SDK}", f"BOARD={request.param}"]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "build" / "max78000.elf"


@pytest.mark.long
def test_vendor_example_sends_the_picture(vendor_example: Path, photographs: Path) -> None:
    camera = Camera(photographs, frames=1)
    kit = Kit(vendor_example, camera=camera)
    kit.run_until(b"*STR*\x00\x40\x00\x40\x06RGB888", max_seconds=20)
    for line in ("address is 3c", "Product ID is 7692", "Manufacture ID is 7fa2"):
        assert line in kit.uart_text()
    start = bytes(kit.machine.uarts[0].sent).index(b"*STR*") + 5 + 4 + 1 + 6 + 4
    sent = kit.machine.uarts[0].sent
    kit.run_until(lambda: len(sent) >= start + 64 * 64 * 3, max_seconds=5)
    got = np.frombuffer(bytes(sent[start : start + 64 * 64 * 3]), np.uint8).reshape(64, 64, 3)
    frame = camera.sent[0]
    np.testing.assert_array_equal(got, ov7692.unpack(frame.data, 64, 64))
    assert kit.machine.pcif.lost == 0


@pytest.mark.long
def test_vendor_example_without_a_camera(vendor_example: Path) -> None:
    kit = Kit(vendor_example, camera=None)
    kit.run_until("Error returned from reading camera id", max_seconds=20)
