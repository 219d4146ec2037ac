"""The virtual board for programs: load, run until something, talk, look, interfere.

    kit = Kit("firmware.elf")
    kit.run_until("PASS")
    print(kit.uart_text())
    maps = kit.maps()

A run is the same every time: time is modelled and nothing depends on the host's clock, except the
limit on wall time, which ends a run with an error.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from evalkit.hardware import elf
from evalkit.hardware.around.board import Board
from evalkit.hardware.around.ov7692 import ColourBars, Source
from evalkit.hardware.boot import in_sram
from evalkit.hardware.faults import KitFault
from evalkit.hardware.machine import IDLE, LIMIT, WALL, Machine
from evalkit.hardware.scheduler import SECOND
from evalkit.wire import pieces, protocol
from synthesize.chip import memory_map

DEFAULT_SECONDS = 30.0
DEFAULT_WALL_SECONDS = 120.0
_SLICE = SECOND // 100
"""Modelled time between two looks at the wall clock."""

BUTTONS = ((("GPIO0", 2), ("GPIO2", 6)), (("GPIO1", 7), ("GPIO2", 7)))
"""Push buttons (board.c): port and pin on MAX78000FTHR and on the EVKIT, pressed = low. Where one
board has a button, the other has an output or nothing, so that a press can act on both."""

Condition = str | bytes | Callable[[], bool]

COLOUR_BARS = ColourBars()
"""What the camera sees when nothing else is said."""


class Kit:
    """A MAX78000 board with a firmware image.

    Args:
        firmware: path of an ELF executable.
        camera: what the camera looks at (``evalkit.camera.Camera``, or the path of photographs or
            a video); by default colour bars; None: no camera is plugged in.

    Attributes:
        machine: the chip, for whoever needs more.
        board: what is around it.
        camera: as given, opened.
        on_time: called with the modelled seconds, a hundred times in each, while it runs.
    Raises:
        UserError: the image is unusable, or the emulator is not installed.
    """

    def __init__(
        self, firmware: str | Path, camera: Source | str | Path | None = COLOUR_BARS
    ) -> None:
        self.machine = Machine(elf.load(firmware))
        self.camera = _opened(camera)
        self.on_time: Callable[[float], object] = lambda seconds: None
        self.board = Board(self.machine, self.camera)
        self._parser = protocol.Parser()
        self._console = self.machine.uarts[0]
        self._frames: list[protocol.Frame] = []
        self._parsed = 0
        self._read = 0

    # ---- running -------------------------------------------------------------------------------

    @property
    def seconds(self) -> float:
        """Modelled time since power-up."""
        return self.machine.now / SECOND

    def run_until(
        self,
        condition: Condition | None = None,
        max_seconds: float = DEFAULT_SECONDS,
        max_wall_seconds: float = DEFAULT_WALL_SECONDS,
    ) -> bool:
        """Run until a condition holds.

        Args:
            condition: text or bytes that the console must have sent, or a function; None runs
                until the firmware sleeps for good.
            max_seconds: limit on modelled time from now on.
            max_wall_seconds: limit on the host's time.

        Returns:
            True when the condition holds; False when the firmware went to sleep for good first.

        Raises:
            UserError: a limit was reached; or the firmware did something wrong (the message
                names register, program counter and source line).
        """
        check = self._check(condition)
        end = self.machine.now + int(max_seconds * SECOND)
        self.machine.wall_end = time.monotonic() + max_wall_seconds
        try:
            return self._run_until(condition, check, end, max_seconds, max_wall_seconds)
        finally:
            self.machine.wall_end = math.inf

    def _run_until(
        self,
        condition: Condition | None,
        check: Callable[[], bool] | None,
        end: int,
        max_seconds: float,
        max_wall_seconds: float,
    ) -> bool:
        while True:
            reason = self._run_slice(min(self.machine.now + _SLICE, end), check)
            self.on_time(self.seconds)
            if reason == IDLE:
                return condition is None or (check is not None and check())
            if reason == WALL:
                raise UserError(self._unfinished(f"{max_wall_seconds:g} s of wall time"))
            if reason != LIMIT:
                return True
            if self.machine.now >= end:
                raise UserError(self._unfinished(f"{max_seconds:g} s of modelled time"))

    def interrupt(self) -> None:
        """Let :meth:`run_until` in another thread return; call it until it has."""
        self.machine.interrupt()

    def run_to(
        self,
        function: str,
        max_seconds: float = DEFAULT_SECONDS,
        max_wall_seconds: float = DEFAULT_WALL_SECONDS,
    ) -> bool:
        """Run until a function of the firmware is called; False when it goes to sleep first.

        Raises:
            UserError: no such function, or as ``run_until``.
        """
        symbol = self.machine.firmware.symbols.get(function)
        if symbol is None:
            raise UserError(f"{self.machine.firmware.path}: there is no function {function}")
        cpu = self.machine.cpu
        cpu.add_breakpoint(symbol[0])
        try:
            return self.run_until(lambda: cpu.pc == symbol[0], max_seconds, max_wall_seconds)
        finally:
            cpu.remove_breakpoint(symbol[0])

    def _run_slice(self, until: int, check: Callable[[], bool] | None) -> str:
        try:
            return self.machine.run(until, check)
        except KitFault as fault:
            raise Fault(self.machine.describe_fault(fault), fault) from fault

    def _check(self, condition: Condition | None) -> Callable[[], bool] | None:
        if condition is None or callable(condition):
            return condition
        wanted = condition.encode() if isinstance(condition, str) else condition
        sent, looked = self._console.sent, 0

        def has_come() -> bool:
            nonlocal looked
            start = max(0, looked - len(wanted))
            looked = len(sent)
            return sent.find(wanted, start) >= 0

        return has_come

    def run_until_frame(
        self,
        *kinds: int,
        max_seconds: float = DEFAULT_SECONDS,
        max_wall_seconds: float = DEFAULT_WALL_SECONDS,
    ) -> protocol.Frame:
        """Run until the console sends a frame of one of these types; returns it.

        Raises:
            UserError: the firmware went to sleep for good before, or as ``run_until``.
        """
        self._parse()
        seen = len(self._frames)
        bytes_seen = -1

        def arrived() -> bool:
            nonlocal seen, bytes_seen
            if len(self._console.sent) == bytes_seen:
                return False
            bytes_seen = len(self._console.sent)
            self._parse()
            while seen < len(self._frames):
                if self._frames[seen].type in kinds:
                    return True
                seen += 1
            return False

        if not self.run_until(arrived, max_seconds, max_wall_seconds):
            raise UserError("the firmware went to sleep without sending the expected frame")
        return self._frames[seen]

    def _unfinished(self, limit: str) -> str:
        pc = self.machine.cpu.pc
        firmware = self.machine.firmware
        where = ", ".join(w for w in (firmware.function_at(pc), firmware.source_line(pc)) if w)
        return (
            f"the firmware did not finish within {limit}; it is at pc 0x{pc:08x}"
            f"{f' ({where})' if where else ''}; raise the limit or look there"
        )

    # ---- console -------------------------------------------------------------------------------

    def _parse(self) -> None:
        sent = self._console.sent
        if self._parsed < len(sent):
            self._frames += self._parser.feed(bytes(sent[self._parsed :]))
            self._parsed = len(sent)

    @property
    def frames(self) -> list[protocol.Frame]:
        """All frames the console has sent."""
        self._parse()
        return self._frames

    def uart_read(self) -> bytes:
        """Everything the console has sent since the last call."""
        data = bytes(self._console.sent[self._read :])
        self._read += len(data)
        return data

    def uart_text(self) -> str:
        """All text (not frames) the console has sent."""
        self._parse()
        return self._parser.text.decode("ascii", errors="replace")

    def uart_write(self, data: bytes) -> None:
        """Send characters to the console; they arrive one after the other at its baud rate."""
        self._console.receive(data)

    def maps(self) -> list[NDArray[np.int32]]:
        """Result maps of all outputs from the map frames so far, int32 [channels, rows, columns].

        Raises:
            ValueError: a frame is missing or does not fit.
        """
        collector = pieces.MapCollector()
        for frame in self.frames:
            if frame.type == protocol.MAP:
                collector.add(frame.payload)
        return collector.maps()

    @property
    def camera_wait(self) -> float:
        """Seconds that the firmware has been waiting for a frame that does not come; else 0."""
        since = self.machine.pcif.wanted
        return 0.0 if since is None else (self.machine.now - since) / SECOND

    # ---- looking and interfering ---------------------------------------------------------------

    def read_memory(self, address: int, size: int) -> bytes:
        """Bytes of flash, SRAM or the accelerator's data memory."""
        if memory_map.CNN_BASE <= address < memory_map.CNN_END:
            self.machine.accelerator.flush()
            cnn = self.machine.accelerator.cnn
            first = address & ~3
            words = cnn.read_block(first, (address + size - first + 3) // 4)
            return words.astype("<u4").tobytes()[address - first : address - first + size]
        return self.machine.cpu.read_memory(address, size)

    def press_button(self, number: int, pressed: bool = True) -> None:
        """Press or let go of button 0 or 1."""
        for port, pin in BUTTONS[number]:
            gpio = next(g for g in self.machine.gpios if g.name == port)
            gpio.set_pin(pin, 0 if pressed else 1)

    def flip_bit(self, address: int, bit: int) -> None:
        """Invert one bit of SRAM, or of the accelerator's memories (bit 0..31 of the word)."""
        if memory_map.CNN_BASE <= address < memory_map.CNN_END:
            self.machine.accelerator.flush()
            self.machine.accelerator.cnn.flip_bit(address, bit)
            return
        if not in_sram(address):
            raise UserError(f"0x{address:08x} is neither SRAM nor memory of the accelerator")
        address, bit = address + bit // 8, bit % 8
        old = self.machine.cpu.read_memory(address, 1)[0]
        self.machine.cpu.write_memory(address, bytes((old ^ 1 << bit,)))


def _opened(camera: Source | str | Path | None) -> Source | None:
    if not isinstance(camera, (str, Path)):
        return camera
    from evalkit.camera import Camera  # needs OpenCV, which is slow to load

    return Camera(camera)


class Fault(UserError):
    """The firmware did something the hardware would not do; ``cause`` has the details."""

    def __init__(self, message: str, cause: KitFault) -> None:
        super().__init__(message)
        self.cause = cause
