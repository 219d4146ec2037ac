"""Two wires driven pin by pin (OmniVision's SCCB, which is I2C), with the devices on them.

The vendor's camera driver makes this bus from two GPIO pins (sccb.c in the public SDK).
"""

from __future__ import annotations

from typing import Protocol

from evalkit.hardware.peripherals.gpio import Gpio


class Device(Protocol):
    """Something on a two-wire bus.

    Attributes:
        address: seven bits.
    """

    address: int

    def begin(self, read: bool) -> bool:
        """A START with this address; False: no acknowledge."""

    def write(self, value: int) -> bool:
        """A byte for the device; False: no acknowledge."""

    def read(self) -> int:
        """The next byte from the device."""

    def end(self) -> None:
        """STOP, or START again."""


class WireBus:
    """Listens to two pins and answers on the data pin.

    Args:
        gpio: the port of both pins.
        clock: pin number of the clock.
        data: pin number of the data.
        devices: who is there.
    """

    def __init__(self, gpio: Gpio, clock: int, data: int, devices: list[Device]) -> None:
        self._gpio = gpio
        self._clock, self._data = clock, data
        self._devices = devices
        self._device: Device | None = None
        self._levels = (1, 1)
        self._phase = "idle"
        self._bits = 0
        self._shift = 0
        self._answer = 1
        gpio.listeners.append(self._changed)

    def _line(self, pin: int) -> int:
        """The level that the chip gives the line; 1 when it lets go (pull-up resistors)."""
        driven = self._gpio.values["OUTEN"] >> pin & 1
        return self._gpio.values["OUT"] >> pin & 1 if driven else 1

    def _changed(self) -> None:
        before = self._levels
        clock, data = self._line(self._clock), self._line(self._data)
        self._levels = (clock, data)
        if before == (clock, data):
            return
        if before[0] and clock and before[1] != data:
            self._start() if before[1] else self._stop()
        elif clock and not before[0]:
            self._rise(data)
        elif before[0] and not clock:
            self._fall()

    def _pull(self, level: int) -> None:
        if level != self._answer:
            self._answer = level
            self._gpio.set_pin(self._data, level)

    def _start(self) -> None:
        if self._device is not None:
            self._device.end()
        self._device = None
        self._phase, self._bits, self._shift = "address", 0, 0
        self._pull(1)

    def _stop(self) -> None:
        if self._device is not None:
            self._device.end()
        self._device = None
        self._phase = "idle"
        self._pull(1)

    def _rise(self, data: int) -> None:
        """A bit is valid."""
        if self._phase in ("address", "write") and self._bits < 8:
            self._shift = self._shift << 1 | data
        elif self._phase == "read" and self._bits == 8 and data:
            self._phase = "finished"  # the master does not acknowledge: no further byte
        self._bits += 1

    def _fall(self) -> None:
        """The device may change the data line."""
        if self._phase in ("idle", "finished"):
            self._pull(1)
        elif self._phase == "read":
            if self._bits == 9:
                self._load()
            self._pull(self._shift >> 7 - self._bits & 1 if self._bits < 8 else 1)
        elif self._bits == 8:
            self._pull(0 if self._take() else 1)
        elif self._bits == 9:
            self._next_byte()

    def _take(self) -> bool:
        """A byte is complete; True to acknowledge it."""
        if self._phase == "write":
            return self._device is not None and self._device.write(self._shift)
        for device in self._devices:
            if device.address == self._shift >> 1 and device.begin(bool(self._shift & 1)):
                self._device = device
                return True
        return False

    def _next_byte(self) -> None:
        if self._device is None:
            self._phase = "idle"
            self._pull(1)
        elif self._phase == "address" and self._shift & 1:
            self._phase = "read"
            self._load()
            self._pull(self._shift >> 7)
        else:
            self._phase, self._bits, self._shift = "write", 0, 0
            self._pull(1)

    def _load(self) -> None:
        assert self._device is not None
        self._bits, self._shift = 0, self._device.read()
