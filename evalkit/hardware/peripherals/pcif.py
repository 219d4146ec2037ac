"""Parallel camera interface: takes the bytes of a sensor into a FIFO of 32-bit words.

A frame is moved in pieces, each one event at the time of its last word: as much of a row as the DMA
has room for, or as many words as change a flag that the program can see. Which words are in memory
is therefore exact at the end of each row, DMA transfer and FIFO threshold.

Facts: public MAX78000 SDK, ``cameraif_regs.h``, ``cameraif_reva.c``, ``Boards/MAX78000/Source/
camera.c``. Assumed, because no public text says it: a FIFO of 16 words (the threshold has five
bits, the DMA's four); ``READ_MODE`` returns to 0 after a single image; the lower bits of the three
channels are 0; the flags for a FIFO that is not empty or at its threshold follow its level (the
driver's interrupt handler relies on the first after it has emptied the FIFO). The driver writes
CTRL before it switches the block's clock on, so the registers can be reached without it; an image
cannot be taken without it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from evalkit.hardware.around.ov7692 import RGB565, Ov7692, SensorFrame
from evalkit.hardware.peripherals.base import Peripheral, flags
from evalkit.hardware.scheduler import Event
from synthesize.chip.fields import CLEARED_BY_1, INERT, STATUS, UNMODELLED, Field, Register

if TYPE_CHECKING:
    from evalkit.hardware.machine import Machine

FIFO_DEPTH = 16
OFF, SINGLE, CONTINUOUS = 0, 1, 2
EIGHT_BITS = 0
_FLAGS = {"img_done": 0, "fifo_full": 1, "fifo_thresh": 2, "fifo_not_empty": 3}
_INT_FL = flags("INT_FL", _FLAGS, write=CLEARED_BY_1)
IMAGE_DONE, FIFO_FULL, FIFO_THRESHOLD, FIFO_NOT_EMPTY = (_INT_FL.mask(name) for name in _FLAGS)
_CTRL, _FIFO = 0x08, 0x30
_FORMAT = ("data_width", "three_ch_en", "pcif_sys")


def words(frame: SensorFrame, width: int, three_channels: bool) -> NDArray[np.uint32]:
    """FIFO words of a frame, uint32 [n].

    8 bits: four bytes to a word, the first in the lowest bits. 10 and 12 bits: two samples of 16
    bits to a word; a sensor with eight data lines leaves the upper bits 0. Three channels: one
    RGB565 pixel to a word, 0x00BBGGRR, each channel shifted to the top of its byte.
    """
    raw = np.frombuffer(frame.data, np.uint8)
    if three_channels:
        pixel = raw[: len(raw) // 2 * 2].view(">u2").astype(np.uint32)
        red, green, blue = pixel >> 11 << 3, (pixel >> 5 & 0x3F) << 2, (pixel & 0x1F) << 3
        return np.asarray(red | green << 8 | blue << 16, np.uint32)
    if width == EIGHT_BITS:
        padded = np.concatenate((raw, np.zeros(-len(raw) % 4, np.uint8)))
        return padded.view("<u4").astype(np.uint32)
    samples = np.concatenate((raw, np.zeros(-len(raw) % 2, np.uint8))).astype("<u2")
    return samples.view("<u4").astype(np.uint32)


class Pcif(Peripheral):
    """The camera interface.

    Attributes:
        sensor: what is connected.
        lost: words that found the FIFO full.
        wanted: a capture waits for a frame that does not come since this time (picoseconds).
    """

    REGISTERS: ClassVar[dict[int, Register]] = {
        0x00: Register("VER", (Field("minor", 0, 8, STATUS), Field("major", 8, 8, STATUS))),
        0x04: Register("FIFO_SIZE", (Field("fifo_size", 0, 8, STATUS),), FIFO_DEPTH),
        _CTRL: Register(
            "CTRL",
            (
                Field("read_mode", 0, 2),
                Field("data_width", 2, 2),
                Field("ds_timing_en", 4, 1, UNMODELLED),
                Field("fifo_thrsh", 5, 5),
                Field("rx_dma", 16),
                Field("rx_dma_thrsh", 17, 4, INERT),
                Field("three_ch_en", 30),
                Field("pcif_sys", 31),
            ),
        ),
        0x0C: flags("INT_EN", _FLAGS),
        0x10: _INT_FL,
        0x14: Register("DS_TIMING_CODES", (Field("sav", 0, 8, INERT), Field("eav", 8, 8, INERT))),
        _FIFO: Register("FIFO_DATA", (Field("data", 0, 32),)),
    }

    def __init__(self, machine: Machine, name: str, base: int, irq: int) -> None:
        super().__init__(machine, name, base)
        self.irq = irq
        self.sensor: Ov7692 | None = None
        self.lost = 0
        self.wanted: int | None = None
        self._fifo: deque[int] = deque()
        self._event: Event | None = None
        self._frame: SensorFrame | None = None
        self._words: NDArray[np.uint32] = np.zeros(0, np.uint32)
        self._ends: list[int] = []
        self._row = 0
        self._position = 0
        self._word_bytes = 4

    # ---- registers -----------------------------------------------------------------------------

    def connect(self, sensor: Ov7692) -> None:
        """Put a sensor on the data lines."""
        self.sensor = sensor
        sensor.listeners.append(self._sensor_changed)

    def write_ctrl(self, value: int) -> None:
        """Mode, widths, thresholds; READ_MODE starts and stops."""
        if self.part("CTRL", "read_mode", value) == 3:
            raise self.fault(_CTRL, "read_mode 3 does not exist")
        if self.part("CTRL", "data_width", value) == 3:
            raise self.fault(_CTRL, "data_width 3 does not exist")
        before = self.values["CTRL"]
        control = self.REGISTERS[_CTRL]
        changes = (value ^ before) & ~control.mask("read_mode")
        if self._frame is not None and changes & control.mask(*_FORMAT):
            raise self.fault(_CTRL, "the data format is changed while a frame comes in")
        self.values["CTRL"] = value
        was_off = self.part("CTRL", "read_mode", before) == OFF
        if not self._active:
            self._stop()
        elif self._frame is None and (changes or was_off or self._event is None):
            self._wait_for_frame()
        self._update_flags()
        if self.field("CTRL", "rx_dma"):
            self.dma_changed()

    @property
    def _active(self) -> bool:
        return bool(self.field("CTRL", "read_mode") and self.field("CTRL", "pcif_sys"))

    def stored_int_en(self, _old: int, _given: int) -> None:
        """Interrupt enables."""
        self._update_flags()

    def stored_int_fl(self, _old: int, _given: int) -> None:
        """Image done and FIFO full were cleared; the others follow the FIFO."""
        self._update_flags()

    def read_fifo_data(self) -> int:
        """Take one word out; an empty FIFO is a fault."""
        if not self._fifo:
            raise self.fault(_FIFO, "read from an empty FIFO (INT_FL.fifo_not_empty is 0)")
        value = self._fifo.popleft()
        self._update_flags()
        return value

    def write_fifo_data(self, value: int) -> None:
        """There is no way in."""
        raise self.fault(_FIFO, "the FIFO can only be read")

    def reset(self) -> None:
        """Back to the state after power-up."""
        super().reset()
        self._stop()
        self._fifo.clear()

    def under_way(self) -> str | None:
        """A frame, or the wait for one."""
        return f"{self.name} takes an image" if self._active else None

    def _update_flags(self) -> None:
        level, threshold = len(self._fifo), self.field("CTRL", "fifo_thrsh")
        fl = self.values["INT_FL"] & (IMAGE_DONE | FIFO_FULL)
        if level:
            fl |= FIFO_NOT_EMPTY
        if threshold and level >= threshold:
            fl |= FIFO_THRESHOLD
        if level >= FIFO_DEPTH:
            fl |= FIFO_FULL
        self.values["INT_FL"] = fl
        self.machine.nvic.set_line(self.irq, bool(fl & self.values["INT_EN"]))

    # ---- frames --------------------------------------------------------------------------------

    def _stop(self) -> None:
        if self._event is not None:
            self._event.cancel()
        self._event = self._frame = self.wanted = None

    def _sensor_changed(self) -> None:
        """New clock or settings: a frame under way is lost, the next one comes at another time."""
        if self._active:
            self._stop()
            self._wait_for_frame()

    def _wait_for_frame(self) -> None:
        gate = self.machine.gcr.gated("pcif")
        if gate:
            raise self.fault(_CTRL, f"an image is asked for while its clock is off ({gate})")
        if self._event is not None:
            self._event.cancel()
        start = self.sensor.next_start() if self.sensor is not None else None
        if start is None:
            self._event = None
            self.wanted = self.machine.now if self.wanted is None else self.wanted
            return
        self.wanted = None
        self._event = self.machine.schedule(
            start - self.machine.now, lambda: self._frame_begins(start)
        )

    def _frame_begins(self, start: int) -> None:
        self._event = None
        assert self.sensor is not None
        frame = self.sensor.take_frame(start)
        if frame is None:
            self._wait_for_frame()
            return
        width, three = self.field("CTRL", "data_width"), self.field("CTRL", "three_ch_en")
        if three and (width == EIGHT_BITS or frame.format != RGB565):
            raise self.fault(
                _CTRL,
                f"three channels from {frame.format} with data_width {width} are not modelled; "
                "only from RGB565 with 12 bits",
            )
        self._frame = frame
        self._words = words(frame, width, bool(three))
        self._word_bytes = 2 if three or width != EIGHT_BITS else 4
        line = frame.line_bytes
        self._ends = [(row + 1) * line // self._word_bytes for row in range(len(frame.line_starts))]
        self._ends[-1] = len(self._words)
        self._row = self._position = 0
        self._next_piece()

    def _next_piece(self) -> None:
        """Plan the arrival of the next words."""
        frame = self._frame
        assert frame is not None
        while self._row < len(self._ends) and self._position >= self._ends[self._row]:
            self._row += 1
        if self._row == len(self._ends):
            self._frame_ends()
            return
        count = min(self._ends[self._row] - self._position, self._useful_count())
        before = self._row * frame.line_bytes
        bytes_into_row = min((self._position + count) * self._word_bytes - before, frame.line_bytes)
        time = frame.start + frame.line_starts[self._row]
        time += round(bytes_into_row * frame.byte_time)
        self._event = self.machine.schedule(
            time - self.machine.now, lambda: self._words_arrive(count)
        )

    def _useful_count(self) -> int:
        """Words until something happens that the program can see."""
        channel = self._dma_channel()
        if channel is not None:
            return max(1, -(-self.machine.dma.room(channel) // 4))
        level, threshold = len(self._fifo), self.field("CTRL", "fifo_thrsh")
        if level == 0 and self.values["INT_EN"] & FIFO_NOT_EMPTY:
            return 1
        if level < threshold:
            return threshold - level
        if level < FIFO_DEPTH:
            return 1 if self.values["INT_EN"] & (FIFO_THRESHOLD | FIFO_FULL) else 4
        return 4  # lost, unless the program reads in between

    def _words_arrive(self, count: int) -> None:
        self._event = None
        piece = self._words[self._position : self._position + count]
        self._position += count
        self._drain()
        channel = self._dma_channel()
        while channel is not None and len(piece) and not self._fifo:
            taken = min(len(piece), -(-self.machine.dma.room(channel) // 4))
            self._give(channel, piece[:taken])
            piece = piece[taken:]
            channel = self._dma_channel()
        room = FIFO_DEPTH - len(self._fifo)
        self._fifo.extend(piece[:room].tolist())
        if len(piece) > room:
            self.lost += len(piece) - room
            self.values["INT_FL"] |= FIFO_FULL
        self._update_flags()
        self._next_piece()

    def _frame_ends(self) -> None:
        frame, now = self._frame, self.machine.now
        assert frame is not None
        self._frame = None
        self.machine.recorder.add("camera", frame.name, frame.start, now)
        self.values["INT_FL"] |= IMAGE_DONE
        if self.field("CTRL", "read_mode") == SINGLE:
            self.set_field("CTRL", "read_mode", OFF)
        else:
            self._wait_for_frame()
        self._update_flags()

    # ---- DMA -----------------------------------------------------------------------------------

    def _dma_channel(self) -> int | None:
        return self.machine.dma.camera_channel() if self.field("CTRL", "rx_dma") else None

    def _give(self, channel: int, piece: NDArray[np.uint32]) -> None:
        room = self.machine.dma.room(channel)
        self.machine.dma.put(channel, piece.astype("<u4").tobytes()[:room])

    def _drain(self) -> None:
        channel = self._dma_channel()
        while channel is not None and self._fifo:
            self._give(channel, np.array([self._fifo.popleft()], np.uint32))
            channel = self._dma_channel()

    def dma_changed(self) -> None:
        """A DMA channel was started: it takes what is in the FIFO."""
        self._drain()
        self._update_flags()
