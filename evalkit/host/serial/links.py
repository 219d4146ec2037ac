"""Where a board's bytes come from and go to: a serial port, or the virtual kit.

A link carries bytes and knows nothing of frames. It ends with :class:`LinkLost`, whose one sentence
says why; whoever opened it may open it anew later.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from common.errors import UserError

if TYPE_CHECKING:
    from evalkit.camera import Camera
    from evalkit.kit import Kit

BAUD = 115200
"""What firmware speaks unless it was built otherwise (docs/protocol.md)."""

_WRITE_SECONDS = 30.0
_PIECE = 4096
_KIT_STEP_SECONDS = 0.05
_KIT_WALL_SECONDS = 120.0


class LinkLost(UserError):
    """The other end is not there, or not there any more; the message is one sentence."""


class Link(Protocol):
    """Bytes to and from a board.

    Attributes:
        name: what to call it in messages.
        baud: rate of the line, None where there is no choice.
    """

    name: str
    baud: int | None

    def read(self, seconds: float) -> bytes:
        """Bytes that have come; waits up to ``seconds`` for the first. Raises LinkLost."""

    def write(self, data: bytes) -> None:
        """Send; raises LinkLost."""

    def clock(self) -> float:
        """Seconds, by the clock that time-outs on this link go by."""

    def interrupt(self) -> None:
        """Have a read in another thread, and all later ones, end soon; to be said until it has."""

    def close(self) -> None:
        """Let go of it."""


try:
    from termios import error as _TERMINAL_ERROR
except ImportError:  # not on Windows
    _TERMINAL_ERROR = OSError  # type: ignore[assignment,misc]


class SerialLink:
    """A serial port.

    Raises:
        UserError: pyserial is not installed, or it is no serial port at all.
        LinkLost: the port is not there, in use, or may not be opened.
    """

    def __init__(self, port: str, baud: int = BAUD) -> None:
        serial = _serial()
        self.name = port
        self.baud: int | None = baud
        self._error: Any = serial.SerialException
        try:
            self._port = serial.Serial(
                port, baud, timeout=0, write_timeout=_WRITE_SECONDS, exclusive=True
            )
        except (serial.SerialException, OSError, _TERMINAL_ERROR) as error:
            # What is no terminal will never become one; any other port may come back.
            kind = UserError if "inappropriate ioctl" in str(error).lower() else LinkLost
            raise kind(_why_not_open(port, error)) from None
        except ValueError as error:
            raise UserError(f"{port} cannot run at {baud} baud ({error})") from None

    def read(self, seconds: float) -> bytes:
        """See :class:`Link`."""
        end = time.monotonic() + seconds
        try:
            while True:
                data = bytes(self._port.read(_PIECE))
                if data or time.monotonic() >= end:
                    return data
                time.sleep(0.002)
        except (self._error, OSError, TypeError):
            # TypeError: what pyserial does when the port vanishes between two of its steps.
            raise self._gone() from None

    def write(self, data: bytes) -> None:
        """See :class:`Link`."""
        try:
            for at in range(0, len(data), _PIECE):
                self._port.write(data[at : at + _PIECE])
        except (self._error, OSError, TypeError):
            raise self._gone() from None

    def clock(self) -> float:
        """Wall time."""
        return time.monotonic()

    def interrupt(self) -> None:
        """Nothing: what a read waits for is a fraction of a second."""

    def close(self) -> None:
        """See :class:`Link`."""
        try:
            self._port.close()
        except (self._error, OSError):
            return  # it is gone already

    def _gone(self) -> LinkLost:
        return LinkLost(f"{self.name} went away; is the cable still plugged in?")


def _serial() -> Any:
    try:
        import serial
        import serial.tools.list_ports
    except ImportError:
        raise UserError(
            "serial ports need the pyserial package; install it with: pip install 'pose78[view]'"
        ) from None
    return serial


def ports() -> Sequence[str]:
    """Names of the serial ports this machine has."""
    return sorted(port.device for port in _serial().tools.list_ports.comports())


def _why_not_open(port: str, error: Exception) -> str:
    reason = str(error).lower()
    if "permission" in reason or "access is denied" in reason:
        return (
            f"{port} may not be opened: on Linux join the group dialout "
            "(sudo usermod -aG dialout $USER, then log in again), or close the program that has it"
        )
    if "busy" in reason or "lock" in reason:
        return f"{port} is in use; close the other program that has it"
    if "ioctl" in reason or "not configurable" in reason or "could not configure" in reason:
        return f"{port} is no serial port; name the board's with --port"
    here = [name for name in ports() if name != port]
    known = f"; ports here: {', '.join(here)}" if here else "; this machine has no serial port now"
    return f"{port} is not there; plug the board in or name its port with --port{known}"


def has_own_camera(firmware: Path) -> bool:
    """Whether an ELF image is firmware that takes pictures itself.

    Raises:
        UserError: it is no usable image.
    """
    from evalkit.hardware import elf

    return "live_camera_open" in elf.load(firmware).symbols


class KitLink:
    """The virtual kit, running a firmware image.

    Its clock is the modelled one, so that time-outs do not depend on this machine's speed.

    Args:
        firmware: ELF image.
        scene: what the board's camera looks at, for firmware that uses it: photographs or a video.

    Attributes:
        camera: what it looks at, if anything was given.

    Raises:
        LinkLost: the image is missing or unusable.
        UserError: the scene is.
    """

    def __init__(self, firmware: Path, scene: Path | None = None) -> None:
        from evalkit.camera import Camera
        from evalkit.kit import Kit

        self.name = f"virtual kit ({firmware.name})"
        self.baud: int | None = None
        self.camera: Camera | None = None
        self._waited = 0.0
        self._interrupted = False
        try:
            if scene is not None and has_own_camera(firmware):
                self.camera = Camera(scene)
            self._kit: Kit = Kit(firmware, self.camera) if self.camera else Kit(firmware)
        except UserError as error:
            raise LinkLost(str(error)) from error

    def read(self, seconds: float) -> bytes:
        """Run until characters have been sent; see :class:`Link`."""
        data = self._kit.uart_read()
        end = self.clock() + seconds
        while not data and self.clock() < end:
            if self._interrupted:
                raise LinkLost(f"{self.name} was stopped")
            begin = self._kit.seconds
            until = begin + _KIT_STEP_SECONDS
            try:
                self._kit.run_until(
                    lambda until=until: self._kit.seconds >= until,
                    2 * _KIT_STEP_SECONDS,
                    _KIT_WALL_SECONDS,
                )
            except UserError as error:
                raise LinkLost(f"{self.name} stopped: {error}") from error
            if self._kit.seconds <= begin:  # asleep, and only we could wake it
                self._waited += _KIT_STEP_SECONDS
            data = self._kit.uart_read()
        return data

    def write(self, data: bytes) -> None:
        """See :class:`Link`."""
        self._kit.uart_write(data)

    def clock(self) -> float:
        """Modelled time."""
        return self._kit.seconds + self._waited

    def interrupt(self) -> None:
        """See :class:`Link`; a board that starts computes for seconds before its first word."""
        self._interrupted = True
        self._kit.interrupt()

    def close(self) -> None:
        """Nothing to let go of."""
