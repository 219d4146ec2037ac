"""The camera: sensor, its bus, camera interface and DMA, frame by frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ai8x_models.preprocess import fit
from common.errors import UserError
from evalkit.camera import Camera, frame_pixels
from evalkit.hardware.around import ov7692
from evalkit.hardware.around.ov7692 import ColourBars, Source
from evalkit.hardware.faults import KitFault
from evalkit.hardware.peripherals.pcif import FIFO_DEPTH
from evalkit.hardware.scheduler import SECOND
from evalkit.kit import COLOUR_BARS, Kit
from tests.helpers.chip_driver import BUFFER, MICROSECOND, SLEEPER, Chip
from tests.helpers.mini_firmware import build_program

Make = Callable[..., Chip]
DONE, FULL, THRESHOLD, NOT_EMPTY = 1, 2, 4, 8


@pytest.fixture(scope="module")
def sleeper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_program(tmp_path_factory.mktemp("sleeper") / "program", SLEEPER)


@pytest.fixture
def make(sleeper: Path) -> Make:
    def chip(camera: Source | None = COLOUR_BARS) -> Chip:
        return Chip(Kit(sleeper, camera=camera))

    return chip


def noise(count: int, rows: int = 48, columns: int = 64) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    return list(rng.integers(0, 256, (count, rows, columns, 3), np.uint8))


def running(make: Make, rows: int = 8, columns: int = 12, count: int = 3, **registers: int) -> Chip:
    """A sensor that streams frames of its own size, one picture of noise after the other."""
    chip = make(Camera(noise(count, rows, columns), repeat=False, fit="pad"))
    chip.start_clock()
    chip.set_sensor(rows, columns, **registers)
    return chip


# ---- the sensor's bus ------------------------------------------------------------------------


def test_identity_through_pins(make: Make) -> None:
    chip = make()
    chip.start_clock()
    read = []
    for number in (0x0A, 0x0B, 0x1C, 0x1D):
        chip.wire_start()
        assert chip.wire_send(0x3C << 1)
        assert chip.wire_send(number)
        chip.wire_stop()
        chip.wire_start()
        assert chip.wire_send(0x3C << 1 | 1)
        read.append(chip.wire_receive())
        chip.wire_stop()
    assert bytes(read) == b"\x76\x92\x7f\xa2"


def test_identity_through_i2c(make: Make) -> None:
    chip = make()
    chip.start_clock()
    assert chip.i2c_transfer(2, 0x3C, b"\x0a", 1) == b"\x76"
    assert chip.i2c_transfer(2, 0x3C, b"\x0b", 1) == b"\x92"


def test_other_addresses_do_not_answer(make: Make) -> None:
    chip = make()
    chip.start_clock()
    chip.wire_start()
    assert not chip.wire_send(0x3D << 1)
    chip.wire_stop()
    assert chip.i2c_transfer(2, 0x3D, b"\x0a") is None


@pytest.mark.parametrize("why", ["absent", "no clock", "no power"])
def test_a_camera_that_is_not_there_does_not_acknowledge(make: Make, why: str) -> None:
    chip = make(None if why == "absent" else COLOUR_BARS)
    if why != "no clock":
        chip.start_clock()
    if why == "no power":  # LDO2 of the MAX78000FTHR's power management
        assert chip.i2c_transfer(1, 0x28, b"\x0f\x00\x13") == b""
        assert chip.i2c_transfer(1, 0x28, b"\x17\x42") == b""
    chip.wire_start()
    assert not chip.wire_send(0x3C << 1)
    chip.wire_stop()
    assert chip.i2c_transfer(2, 0x3C, b"\x0a") is None


def test_power_management_answers_after_five_milliseconds(make: Make) -> None:
    chip = make()
    assert chip.i2c_transfer(1, 0x28, b"\x00", 1) == b"\x02"
    chip.i2c_transfer(1, 0x28, b"\x0f\x01\x13")
    chip.i2c_transfer(1, 0x28, b"\x17\x42")
    assert chip.i2c_transfer(1, 0x28, b"\x18", 1) == b"\x00"
    chip.wait(5000 * MICROSECOND)
    assert chip.i2c_transfer(1, 0x28, b"\x18", 1) == b"\x42"


def test_reset_and_read_only_registers(make: Make) -> None:
    chip = make()
    chip.start_clock()
    chip.i2c_transfer(2, 0x3C, b"\x0a\x00")
    chip.i2c_transfer(2, 0x3C, b"\xcd\x22")
    assert chip.i2c_transfer(2, 0x3C, b"\x0a", 1) == b"\x76"
    assert chip.i2c_transfer(2, 0x3C, b"\xcd", 1) == b"\x22"
    chip.i2c_transfer(2, 0x3C, b"\x12\x80")
    assert chip.i2c_transfer(2, 0x3C, b"\xcd", 1) == b"\x80"
    chip.i2c_transfer(2, 0x3C, b"\xff\x01")
    chip.i2c_transfer(2, 0x3C, b"\xcd\x33")  # of the other bank
    chip.i2c_transfer(2, 0x3C, b"\xff\x00")
    assert chip.i2c_transfer(2, 0x3C, b"\xcd", 1) == b"\x80"


# ---- pixel formats ---------------------------------------------------------------------------


PIXELS = np.array(
    [[[0xFF, 0x81, 0x0F], [0, 0, 0]], [[0x10, 0x20, 0xF7], [255, 255, 255]]], np.uint8
)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (ov7692.RGB565, "fc01 0000 111e ffff"),
        (ov7692.RGB444, "0f80 0000 012f 0fff"),
        (ov7692.BAYER, "0f 00 20 ff"),
    ],
)
def test_packed_by_hand(kind: str, expected: str) -> None:
    assert ov7692.pack(PIXELS, kind).hex() == expected.replace(" ", "")


def test_yuv_by_hand() -> None:
    grey = np.full((1, 2, 3), 100, np.uint8)
    assert ov7692.pack(grey, ov7692.YUV422) == bytes((100, 128, 100, 128))
    assert ov7692.pack(grey, ov7692.YUV422, luma_first=False) == bytes((128, 100, 128, 100))
    red = np.tile(np.array([[[255, 0, 0]]], np.uint8), (1, 2, 1))
    assert ov7692.pack(red, ov7692.YUV422) == bytes((76, 85, 76, 255))


def test_unpack_undoes_pack() -> None:
    pixels = noise(1, 6, 10)[0]
    back = ov7692.unpack(ov7692.pack(pixels, ov7692.RGB565), 6, 10)
    np.testing.assert_array_equal(back, pixels & np.array([0xF8, 0xFC, 0xF8], np.uint8))


def test_flips_turn_the_picture(make: Make) -> None:
    seen = {}
    for flips in (0xC0, 0x80, 0x40, 0x00):
        chip = running(make, r0C=0x16 | flips, count=1)
        chip.capture()
        chip.wait(SECOND // 5)
        assert isinstance(chip.kit.camera, Camera)
        seen[flips] = chip.kit.camera.sent[0].pixels
    picture = noise(1, 8, 12)[0]
    np.testing.assert_array_equal(seen[0xC0], picture)
    np.testing.assert_array_equal(seen[0x80], picture[:, ::-1])
    np.testing.assert_array_equal(seen[0x40], picture[::-1])
    np.testing.assert_array_equal(seen[0x00], picture[::-1, ::-1])


# ---- frames ----------------------------------------------------------------------------------


def test_frame_rate_follows_the_input_clock(make: Make) -> None:
    chip = running(make, count=9)
    sensor = chip.kit.board.sensor
    assert sensor is not None
    assert sensor.frame_time() == pytest.approx(846 * 512 / 6.25e6 * SECOND)
    chip.set_sensor(8, 12, r11=3)
    assert sensor.frame_time() == pytest.approx(4 * 846 * 512 / 6.25e6 * SECOND)
    chip.set_sensor(8, 12, r11=0, r2A=0x21, r2B=0x00, r2C=0x10)
    assert sensor.frame_time() == pytest.approx(512 * (512 + 0x110) / 6.25e6 * SECOND, abs=2)


def test_vga_at_thirteen_megahertz_gives_thirty_frames() -> None:
    sensor = ov7692.Ov7692(ColourBars(), lambda: 26e6, lambda: 0)
    for value in (0x11, 0x01):
        sensor.write(value)
    assert SECOND / sensor.frame_time() == pytest.approx(30, abs=0.05)


def test_continuous_mode_takes_every_frame(make: Make) -> None:
    chip = running(make, count=4)
    pcif = chip.machine.pcif
    chip.capture(mode=2)
    times = []
    for _ in range(4):
        chip.wait_for(lambda: pcif.read(0x10, 4) & DONE)
        times.append(chip.machine.now)
        while pcif.read(0x10, 4) & NOT_EMPTY:
            pcif.read(0x30, 4)
            pcif.write(0x10, 4, NOT_EMPTY)
        pcif.write(0x10, 4, DONE)
    period = 846 * 512 / 6.25e6 * SECOND
    assert np.diff(times) == pytest.approx([period] * 3, abs=20 * MICROSECOND)
    assert pcif.wanted is not None, "the pictures are over and it still waits"


def test_single_mode_takes_one(make: Make) -> None:
    chip = running(make)
    chip.capture()
    chip.wait(SECOND // 2)
    assert isinstance(chip.kit.camera, Camera)
    assert chip.kit.camera.count == 1
    assert chip.machine.pcif.read(0x08, 4) & 3 == 0


def test_dma_brings_the_bytes_that_were_sent(make: Make) -> None:
    chip = running(make, 16, 20)
    chip.start_dma(16 * 20 * 2)
    chip.capture(extra=1 << 16 | 1 << 17)
    chip.wait_for(lambda: chip.machine.pcif.read(0x10, 4) & DONE)
    assert isinstance(chip.kit.camera, Camera)
    sent = chip.kit.camera.sent[0]
    assert sent.data == ov7692.pack(noise(3, 16, 20)[0], ov7692.RGB565)
    assert chip.machine.cpu.read_memory(BUFFER, 640) == sent.data
    assert chip.machine.dma.read(0x170, 4) == 0
    assert chip.machine.dma.read(0x164, 4) & 4
    assert chip.machine.pcif.lost == 0


def test_rows_arrive_one_after_the_other(make: Make) -> None:
    chip = running(make, 16, 20)
    chip.start_dma(640)
    chip.capture(extra=1 << 16 | 1 << 17)
    camera = chip.kit.camera
    assert isinstance(camera, Camera)
    chip.wait_for(lambda: camera.count)
    frame = camera.sent[0]
    for row in (0, 7, 15):
        end = frame.start + frame.line_starts[row] + round(40 * frame.byte_time)
        chip.wait(end - chip.machine.now - MICROSECOND)
        assert chip.machine.dma.read(0x170, 4) == 640 - 40 * row
        chip.wait(2 * MICROSECOND)
        assert chip.machine.dma.read(0x170, 4) == 640 - 40 * (row + 1)
    assert frame.byte_time == pytest.approx(SECOND / 6.25e6)


def test_dma_for_each_row_as_the_streaming_driver_does(make: Make) -> None:
    chip = running(make, 8, 12)
    rows = bytearray()

    def next_row() -> None:
        if chip.machine.dma.read(0x164, 4) & 4:
            rows.extend(chip.machine.cpu.read_memory(BUFFER, 24))
            chip.start_dma(24)

    chip.start_dma(24)
    chip.capture(extra=1 << 16 | 1 << 17)
    while not chip.machine.pcif.read(0x10, 4) & DONE:
        chip.wait(100 * MICROSECOND)
        next_row()
    next_row()
    assert isinstance(chip.kit.camera, Camera)
    assert bytes(rows) == chip.kit.camera.sent[0].data
    assert chip.machine.pcif.lost == 0


def test_three_channels_make_a_word_of_each_pixel(make: Make) -> None:
    chip = running(make, 4, 6)
    chip.start_dma(4 * 6 * 4)
    chip.capture(width=2, extra=1 << 30 | 1 << 16 | 1 << 17)
    chip.wait_for(lambda: chip.machine.pcif.read(0x10, 4) & DONE)
    got = np.frombuffer(chip.machine.cpu.read_memory(BUFFER, 96), np.uint8).reshape(4, 6, 4)
    want = noise(3, 4, 6)[0] & np.array([0xF8, 0xFC, 0xF8], np.uint8)
    np.testing.assert_array_equal(got[..., :3], want)
    assert not got[..., 3].any()


def test_wide_samples_take_sixteen_bits(make: Make) -> None:
    chip = running(make, 4, 6, r12=0x01)  # raw: one byte for each pixel
    chip.start_dma(48)
    chip.capture(width=1, extra=1 << 16 | 1 << 17)
    chip.wait_for(lambda: chip.machine.pcif.read(0x10, 4) & DONE)
    got = np.frombuffer(chip.machine.cpu.read_memory(BUFFER, 48), "<u2")
    assert isinstance(chip.kit.camera, Camera)
    assert bytes(got.astype(np.uint8)) == chip.kit.camera.sent[0].data


def test_fifo_threshold_interrupts(make: Make) -> None:
    chip = running(make, 8, 12)
    pcif, line = chip.machine.pcif, 16 + 91
    pcif.write(0x0C, 4, THRESHOLD | DONE)
    chip.capture(extra=4 << 5)
    taken = bytearray()
    while not pcif.read(0x10, 4) & DONE:
        chip.wait_for(lambda: line in chip.machine.nvic.lines)
        while pcif.read(0x10, 4) & THRESHOLD:
            for _ in range(4):
                taken += pcif.read(0x30, 4).to_bytes(4, "little")
            pcif.write(0x10, 4, THRESHOLD)
    pcif.write(0x10, 4, DONE)
    assert line not in chip.machine.nvic.lines
    assert isinstance(chip.kit.camera, Camera)
    assert bytes(taken) == chip.kit.camera.sent[0].data


def test_flags_follow_the_fifo(make: Make) -> None:
    """The driver empties the FIFO and then looks at the flag (camera.c)."""
    chip = running(make, 4, 4)
    pcif = chip.machine.pcif
    chip.capture(extra=8 << 5)
    chip.wait_for(lambda: pcif.read(0x10, 4) & DONE)
    assert pcif.read(0x10, 4) & (THRESHOLD | NOT_EMPTY) == THRESHOLD | NOT_EMPTY
    pcif.write(0x10, 4, 0xF)
    assert pcif.read(0x10, 4) == THRESHOLD | NOT_EMPTY
    pcif.read(0x30, 4)
    assert pcif.read(0x10, 4) == NOT_EMPTY
    for _ in range(7):
        pcif.read(0x30, 4)
    assert pcif.read(0x10, 4) == 0


def test_words_nobody_takes_are_lost(make: Make) -> None:
    chip = running(make, 8, 12)
    pcif = chip.machine.pcif
    chip.capture()
    chip.wait_for(lambda: pcif.read(0x10, 4) & DONE)
    assert pcif.read(0x10, 4) & FULL
    assert pcif.lost == 8 * 12 * 2 // 4 - FIFO_DEPTH
    first = b"".join(pcif.read(0x30, 4).to_bytes(4, "little") for _ in range(FIFO_DEPTH))
    assert isinstance(chip.kit.camera, Camera)
    assert chip.kit.camera.sent[0].data.startswith(first)


def test_a_frame_is_lost_when_the_clock_stops(make: Make) -> None:
    chip = running(make)
    chip.capture()
    camera = chip.kit.camera
    assert isinstance(camera, Camera)
    chip.wait_for(lambda: camera.count)
    chip.machine.pt.write(0x00, 4, 0)
    chip.wait(SECOND // 5)
    assert not chip.machine.pcif.read(0x10, 4) & DONE
    chip.start_clock()
    chip.wait_for(lambda: chip.machine.pcif.read(0x10, 4) & DONE)
    assert camera.count == 2


def test_a_sleeping_sensor_sends_nothing(make: Make) -> None:
    chip = running(make, r0E=0x08)
    chip.capture()
    chip.wait(SECOND // 5)
    assert chip.kit.camera_wait > 0
    chip.set_sensor(8, 12, r0E=0)
    assert chip.kit.camera_wait == 0
    chip.wait_for(lambda: chip.machine.pcif.read(0x10, 4) & DONE)


# ---- misuse ----------------------------------------------------------------------------------


def test_capture_without_the_clock_is_a_fault(make: Make) -> None:
    chip = running(make)
    chip.machine.gcr.values["PCLKDIS1"] |= 1 << 18
    with pytest.raises(KitFault, match=r"PCIF\.CTRL: an image is asked for .*PCLKDIS1\.pcif is 1"):
        chip.capture()


def test_reading_an_empty_fifo_is_a_fault(make: Make) -> None:
    with pytest.raises(KitFault, match=r"PCIF\.FIFO_DATA: read from an empty FIFO"):
        make().machine.pcif.read(0x30, 4)


def test_embedded_timing_codes_are_refused(make: Make) -> None:
    with pytest.raises(KitFault, match=r"PCIF\.CTRL: .*ds_timing_en, which is not modelled"):
        make().machine.pcif.write(0x08, 4, 1 << 4)


def test_three_channels_need_twelve_bits(make: Make) -> None:
    chip = running(make)
    chip.capture(extra=1 << 30)
    with pytest.raises(KitFault, match="three channels from RGB565 with data_width 0"):
        chip.wait(SECOND // 5)


def test_format_change_during_a_frame_is_a_fault(make: Make) -> None:
    chip = running(make)
    chip.capture()
    camera = chip.kit.camera
    assert isinstance(camera, Camera)
    chip.wait_for(lambda: camera.count)
    with pytest.raises(KitFault, match="changed while a frame comes in"):
        chip.machine.pcif.write(0x08, 4, 1 << 31 | 1 << 2 | 1)


@pytest.mark.parametrize(
    ("control", "message"),
    [
        (1 << 22 | 0xD << 4 | 1, "by other than 32 bits"),
        (2 << 20 | 2 << 16 | 0xD << 4 | 1, "increments dst and nothing else"),
    ],
)
def test_camera_dma_is_by_words_to_consecutive_addresses(
    make: Make, control: int, message: str
) -> None:
    chip = make()
    chip.machine.dma.write(0x16C, 4, BUFFER)
    chip.machine.dma.write(0x170, 4, 64)
    with pytest.raises(KitFault, match=message):
        chip.machine.dma.write(0x160, 4, control)


def test_dma_into_nothing_is_a_fault(make: Make) -> None:
    chip = running(make)
    chip.start_dma(64)
    chip.machine.dma.write(0x16C, 4, 0x2001_FFF8)
    chip.capture(extra=1 << 16 | 1 << 17)
    with pytest.raises(KitFault, match=r"DMA\.DST3: 24 bytes at 0x2001fff8: no memory that can be"):
        chip.wait(SECOND // 5)


def test_what_a_deep_sleep_would_tear_apart(make: Make) -> None:
    chip = make()
    machine = chip.machine
    parts = (machine.pcif, machine.pt, machine.i2cs[2], machine.spis[0])
    assert [part.under_way() for part in parts] == [None] * 4
    chip.start_clock()
    chip.capture()
    chip.i2c_on(2)
    machine.i2cs[2].write(0x2C, 4, 0x78)
    machine.i2cs[2].write(0x30, 4, 1)
    named = [part.under_way() for part in parts]
    assert named == ["PCIF takes an image", "PT puts out pulses", "I2C2 transfers", None]


# ---- pictures --------------------------------------------------------------------------------


def test_pictures_once_repeated_and_counted() -> None:
    pictures = noise(2)
    once = Camera(pictures, repeat=False)
    assert [once.next_picture(4, 4, 1.0) is not None for _ in range(3)] == [True, True, False]
    assert once.over
    counted = Camera(pictures, frames=3)
    names = [counted.next_picture(4, 4, 1.0) for _ in range(4)]
    assert [n and n[0] for n in names] == ["picture 0", "picture 1", "picture 0", None]
    assert not Camera(pictures).over


def test_crop_takes_the_middle() -> None:
    picture = np.zeros((4, 8, 3), np.uint8)
    picture[:, 2:6] = 200
    np.testing.assert_array_equal(frame_pixels(picture, 4, 4, 1.0, "crop"), 200)
    tall = np.transpose(picture, (1, 0, 2))
    np.testing.assert_array_equal(frame_pixels(tall, 2, 2, 1.0, "crop"), 200)


def test_crop_follows_the_window_of_the_array() -> None:
    picture = noise(1, 480, 640)[0]
    np.testing.assert_array_equal(frame_pixels(picture, 480, 640, 4 / 3, "crop"), picture)
    np.testing.assert_array_equal(frame_pixels(picture, 480, 480, 1.0, "crop"), picture[:, 80:560])


def test_pad_is_the_deployment_path() -> None:
    picture = noise(1, 30, 50)[0]
    np.testing.assert_array_equal(
        frame_pixels(picture, 16, 16, 1.0, "pad"), fit(picture, 16, 16).pixels
    )


def test_bad_cameras_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        Camera(tmp_path / "nowhere")
    with pytest.raises(UserError, match="has no photographs"):
        Camera(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8 not a picture")
    with pytest.raises(UserError, match=r"a\.jpg is no picture that can be decoded"):
        Camera(tmp_path)
    with pytest.raises(UserError, match="given no pictures"):
        Camera([])
    with pytest.raises(UserError, match="--frames 0 makes no sense"):
        Camera(noise(1), frames=0)
    with pytest.raises(UserError, match="crop or pad, not by 'stretch'"):
        Camera(noise(1), fit="stretch")
