"""I2C, SPI with the display, and pulse trains: what they do, when, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from common.errors import UserError
from evalkit.hardware.faults import KitFault
from evalkit.hardware.scheduler import SECOND
from evalkit.kit import Kit
from tests.helpers.chip_driver import MICROSECOND, SLEEPER, Chip
from tests.helpers.mini_firmware import build_program

STOPPED, ACKNOWLEDGED, REFUSED = 1 << 6, 1 << 7, 1 << 10


@pytest.fixture(scope="module")
def sleeper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_program(tmp_path_factory.mktemp("sleeper") / "program", SLEEPER)


@pytest.fixture
def chip(sleeper: Path) -> Chip:
    return Chip(Kit(sleeper))


# ---- pulse trains ----------------------------------------------------------------------------


def test_square_wave_frequency(chip: Chip) -> None:
    chip.start_clock(rate=2)
    assert chip.machine.pt.frequency(0) == 12.5e6
    assert chip.machine.pt.frequency(1) == 0
    chip.machine.pt.write(0x14, 4, 1)
    assert chip.machine.pt.frequency(0) == 0


def test_a_counted_train_ends_and_interrupts(chip: Chip) -> None:
    pt = chip.machine.pt
    pt.write(0x20, 4, 50)  # 32 bits of 1 microsecond
    pt.write(0x24, 4, 0x5555_5555)
    pt.write(0x28, 4, 10)
    pt.write(0x0C, 4, 1)
    pt.write(0x00, 4, 1)
    assert pt.frequency(0) == 0.5e6
    chip.wait(319 * MICROSECOND)
    assert pt.read(0x00, 4) == 1
    chip.wait(2 * MICROSECOND)
    assert pt.read(0x00, 4) == 0
    assert 16 + 59 in chip.machine.nvic.lines
    pt.write(0x08, 4, 1)
    assert 16 + 59 not in chip.machine.nvic.lines


def test_a_stopped_train_does_not_end_later(chip: Chip) -> None:
    pt = chip.machine.pt
    pt.write(0x20, 4, 50)
    pt.write(0x28, 4, 10)
    pt.write(0x00, 4, 1)
    pt.write(0x00, 4, 0)
    chip.wait(500 * MICROSECOND)
    assert pt.read(0x08, 4) == 0


def test_pulse_train_misuse(chip: Chip) -> None:
    with pytest.raises(KitFault, match="pulse train 1 is started with rate 0"):
        chip.machine.pt.write(0x00, 4, 2)
    with pytest.raises(KitFault, match=r"PT\.RESTART0: .*on_pt_x_loop_exit, which is not modelled"):
        chip.machine.pt.write(0x2C, 4, 1 << 7)
    chip.machine.gcr.values["PCLKDIS0"] |= 1 << 29
    with pytest.raises(KitFault, match=r"PT\.ENABLE: access while its clock is off"):
        chip.machine.pt.write(0x00, 4, 1)


# ---- I2C -------------------------------------------------------------------------------------


def test_bytes_take_their_time_on_the_wire(chip: Chip) -> None:
    i2c = chip.machine.i2cs[1]
    chip.i2c_on(1)
    start = chip.machine.now
    i2c.write(0x2C, 4, 0x50)
    i2c.write(0x30, 4, 1)
    i2c.write(0x2C, 4, 0x00)
    i2c.write(0x30, 4, 4)
    assert i2c.read(0x04, 4) & 1, "busy"
    chip.wait_for(lambda: i2c.read(0x08, 4) & STOPPED)
    took = chip.machine.now - start
    assert took == pytest.approx((10 + 9 + 1) * 10 * MICROSECOND, abs=11 * MICROSECOND)
    assert i2c.read(0x08, 4) & ACKNOWLEDGED
    assert i2c.read(0x30, 4) == 0
    assert not i2c.read(0x04, 4) & 1


def test_nobody_acknowledges_an_empty_address(chip: Chip) -> None:
    i2c = chip.machine.i2cs[0]
    chip.i2c_on(0)
    i2c.write(0x0C, 4, REFUSED)
    i2c.write(0x2C, 4, 0x50)
    i2c.write(0x30, 4, 1)
    chip.wait(150 * MICROSECOND)
    assert i2c.read(0x08, 4) & REFUSED
    assert 16 + 13 in chip.machine.nvic.lines
    i2c.write(0x08, 4, REFUSED)
    assert 16 + 13 not in chip.machine.nvic.lines
    i2c.write(0x30, 4, 4)
    chip.wait(50 * MICROSECOND)
    assert i2c.read(0x08, 4) & STOPPED


def test_reading_more_than_the_fifo_holds_waits(chip: Chip) -> None:
    i2c = chip.machine.i2cs[1]
    chip.i2c_transfer(1, 0x28, b"\x20" + bytes(range(1, 7)))
    chip.i2c_transfer(1, 0x28, b"\x26" + bytes(range(7, 13)))
    chip.i2c_transfer(1, 0x28, b"\x20")
    i2c.write(0x20, 4, 12)
    i2c.write(0x08, 4, 0xFFFF)
    i2c.write(0x2C, 4, 0x51)
    i2c.write(0x30, 4, 1)
    chip.wait(SECOND // 100)
    assert i2c.read(0x20, 4) >> 8 == 8
    got = []
    for _ in range(12):
        chip.wait_for(lambda: not i2c.read(0x04, 4) & 2)
        got.append(i2c.read(0x2C, 4))
    assert got == list(range(1, 13))
    assert i2c.read(0x08, 4) & 1


def test_start_stays_until_the_stop(chip: Chip) -> None:
    """The driver looks at it to know whether it must start again (i2c_reva.c)."""
    i2c = chip.machine.i2cs[1]
    chip.i2c_on(1)
    i2c.write(0x08, 4, 0xFF_FFFF)  # as the driver clears all flags
    i2c.write(0x2C, 4, 0x50)
    i2c.write(0x30, 4, 1)
    i2c.write(0x2C, 4, 0x00)
    chip.wait(SECOND // 1000)
    assert i2c.read(0x30, 4) & 1
    i2c.write(0x20, 4, 1)
    i2c.write(0x30, 4, i2c.read(0x30, 4) | 2)
    chip.wait(SECOND // 1000)
    assert i2c.read(0x30, 4) == 1
    i2c.write(0x2C, 4, 0x51)
    chip.wait(SECOND // 1000)
    assert i2c.read(0x2C, 4) == 0x02
    i2c.write(0x30, 4, 5)
    chip.wait(SECOND // 1000)
    assert i2c.read(0x30, 4) == 0


def test_recovery_by_hand_sees_its_own_levels(chip: Chip) -> None:
    i2c = chip.machine.i2cs[0]
    seen = []
    for levels in (3, 2, 0, 1):
        i2c.write(0x00, 4, 1 << 10 | 1 | levels << 6)
        seen.append(i2c.read(0x00, 4) >> 8 & 3)
    assert seen == [3, 2, 0, 1]
    i2c.write(0x00, 4, 1)
    assert i2c.read(0x00, 4) >> 8 & 3 == 3


def test_i2c_misuse(chip: Chip) -> None:
    i2c = chip.machine.i2cs[0]
    with pytest.raises(KitFault, match=r"I2C0\.FIFO: written while the controller is off"):
        i2c.write(0x2C, 4, 0)
    with pytest.raises(KitFault, match=r"I2C0\.MSTCTRL: used while the controller is off or no ma"):
        i2c.write(0x30, 4, 1)
    with pytest.raises(KitFault, match=r"I2C0\.FIFO: read from an empty receive FIFO"):
        i2c.read(0x2C, 4)
    chip.i2c_on(0)
    for _ in range(8):
        i2c.write(0x2C, 4, 0)
    with pytest.raises(KitFault, match=r"I2C0\.FIFO: write to a full transmit FIFO"):
        i2c.write(0x2C, 4, 0)
    chip.machine.gcr.values["PCLKDIS0"] |= 1 << 13
    with pytest.raises(KitFault, match=r"I2C0\.CTRL: access while its clock is off"):
        i2c.write(0x00, 4, 1)
    assert chip.machine.reset_peripheral("i2c0")
    chip.machine.gcr.values["PCLKDIS0"] = 0
    assert i2c.read(0x28, 4) == 0, "the reset has emptied the FIFO"


# ---- SPI and display -------------------------------------------------------------------------


def spi_on(chip: Chip, bits: int = 9) -> None:
    spi = chip.machine.spis[0]
    spi.write(0x04, 4, 1 << 17 | 3)
    spi.write(0x0C, 4, bits << 8)
    spi.write(0x14, 4, 1 << 8 | 1)  # 25 MHz
    spi.write(0x1C, 4, 1 << 6)


def send(chip: Chip, values: list[int]) -> None:
    """Characters to the display, as many at a time as fit into the FIFO."""
    spi = chip.machine.spis[0]
    for first in range(0, len(values), 16):
        piece = values[first : first + 16]
        spi.write(0x20, 4, 1 << 11)
        spi.write(0x08, 4, len(piece))
        for value in piece:
            spi.write(0x00, 2, value)
        spi.write(0x04, 4, 1 << 17 | 1 << 5 | 3)
        chip.wait_for(lambda: spi.read(0x20, 4) & 1 << 11)


def registers(*pairs: tuple[int, int]) -> list[int]:
    return [c for number, value in pairs for c in (number, 0x100 | value >> 8, 0x100 | value & 255)]


def test_characters_take_their_time(chip: Chip) -> None:
    spi_on(chip)
    spi = chip.machine.spis[0]
    spi.write(0x08, 4, 16)
    for _ in range(8):
        spi.write(0x00, 4, 0)
    assert spi.read(0x1C, 4) >> 8 & 0x3F == 32
    start = chip.machine.now
    spi.write(0x04, 4, 1 << 17 | 1 << 5 | 3)
    assert spi.read(0x30, 4) == 1
    while spi.read(0x30, 4):
        chip.wait(MICROSECOND // 10)
    took = chip.machine.now - start
    assert took == pytest.approx(16 * 9 * SECOND / 25e6, abs=MICROSECOND // 5)
    assert spi.read(0x1C, 4) >> 8 & 0x3F == 0


def test_display_fills_its_window(chip: Chip, tmp_path: Path) -> None:
    spi_on(chip)
    window = registers((0x4E, 10), (0x4F, 20), (0x44, 22 << 8 | 20), (0x45, 10), (0x46, 13))
    colours = [0xF800, 0x07E0, 0x001F] * 4
    pixels = [c for colour in colours for c in (0x100 | colour >> 8, 0x100 | colour & 255)]
    send(chip, [*window, 0x22, *pixels])
    display = chip.kit.board.display
    assert display.written == 12
    np.testing.assert_array_equal(display.memory[20:23, 10:14].ravel(), colours)
    assert np.count_nonzero(display.memory) == 12
    display.save(tmp_path / "display.png")
    back = cv2.imread(str(tmp_path / "display.png"))
    assert back is not None
    np.testing.assert_array_equal(back[..., ::-1], display.picture())
    assert display.picture()[20, 10].tolist() == [255, 0, 0]
    send(chip, registers((0x01, 0x30EF)))
    assert display.picture()[239 - 20, 319 - 10].tolist() == [255, 0, 0]
    with pytest.raises(UserError, match="cannot write"):
        display.save(tmp_path / "display.png" / "display.png")


def test_display_fills_upwards_by_columns(chip: Chip) -> None:
    spi_on(chip)
    window = registers((0x11, 0x6858), (0x4E, 0), (0x4F, 2), (0x44, 2 << 8), (0x45, 0), (0x46, 1))
    pixels = [c for colour in range(1, 7) for c in (0x100, 0x100 | colour)]
    send(chip, [*window, 0x22, *pixels])
    np.testing.assert_array_equal(chip.kit.board.display.memory[:3, :2], [[3, 6], [2, 5], [1, 4]])


def test_spi_by_dma(chip: Chip) -> None:
    spi_on(chip)
    spi, dma = chip.machine.spis[0], chip.machine.dma
    values = registers((0x4E, 3), (0x4F, 4)) + [0x22] + [0x1AA] * 200
    data = np.array(values, "<u2").tobytes()
    chip.machine.cpu.write_memory(0x2000_8000, data)
    spi.write(0x1C, 4, 1 << 15 | 1 << 6)
    spi.write(0x08, 4, len(values))
    dma.write(0x168, 4, 0x2000_8000)
    dma.write(0x170, 4, len(data))
    dma.write(0x160, 4, 1 << 20 | 1 << 18 | 1 << 16 | 0x2F << 4 | 1)
    start = chip.machine.now
    spi.write(0x04, 4, 1 << 17 | 1 << 5 | 3)
    chip.wait_for(lambda: spi.read(0x20, 4) & 1 << 11)
    assert chip.machine.now - start == pytest.approx(
        len(values) * 9 * SECOND / 25e6, abs=11 * MICROSECOND
    )
    assert chip.kit.board.display.written == 100
    assert dma.read(0x170, 4) == 0


def test_received_characters_and_nobody(chip: Chip) -> None:
    spi_on(chip, bits=8)
    spi = chip.machine.spis[0]
    spi.write(0x04, 4, 1 << 16 | 3)  # select line 0: nobody
    spi.write(0x1C, 4, 1 << 22 | 1 << 6)
    spi.write(0x08, 4, 3 << 16 | 3)
    for _ in range(3):
        spi.write(0x00, 1, 0xFF)
    spi.write(0x04, 4, 1 << 16 | 1 << 5 | 3)
    chip.wait(2 * MICROSECOND)
    assert spi.read(0x1C, 4) >> 24 & 0x3F == 3
    assert [spi.read(0x00, 1) for _ in range(3)] == [0, 0, 0]
    assert chip.kit.board.display.written == 0


def test_spi_misuse(chip: Chip) -> None:
    spi = chip.machine.spis[0]
    with pytest.raises(KitFault, match=r"SPI0\.FIFO: written while the FIFO is off"):
        spi.write(0x00, 4, 0)
    with pytest.raises(KitFault, match=r"SPI0\.CTRL0: start while the controller is off"):
        spi.write(0x04, 4, 1 << 5)
    with pytest.raises(KitFault, match=r"SPI0\.CTRL0: start without a device selected"):
        spi.write(0x04, 4, 1 << 5 | 3)
    spi_on(chip)
    with pytest.raises(KitFault, match="start without characters to send"):
        spi.write(0x04, 4, 1 << 17 | 1 << 5 | 3)
    with pytest.raises(KitFault, match=r"SPI0\.FIFO: 4 bytes are read, but the FIFO holds 0"):
        spi.read(0x00, 4)
    with pytest.raises(KitFault, match=r"SPI0\.CTRL2: .*data_width, which is not modelled"):
        spi.write(0x0C, 4, 1 << 12)
    for _ in range(8):
        spi.write(0x00, 4, 0)
    with pytest.raises(KitFault, match="1 bytes are written to a FIFO with 32 of 32"):
        spi.write(0x00, 1, 0)
    spi.write(0x08, 4, 16)
    spi.write(0x04, 4, 1 << 17 | 1 << 5 | 3)
    with pytest.raises(KitFault, match="start while a transfer is under way"):
        spi.write(0x04, 4, 1 << 17 | 1 << 5 | 3)
    with pytest.raises(KitFault, match="numbits is changed during a transfer"):
        spi.write(0x0C, 4, 8 << 8)
