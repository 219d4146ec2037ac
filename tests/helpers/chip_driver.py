"""Drives peripherals of the virtual board register by register, with a program that sleeps."""

from __future__ import annotations

from dataclasses import dataclass

from evalkit.hardware.machine import IDLE
from evalkit.hardware.scheduler import SECOND
from evalkit.kit import Kit

SLEEPER = '#include "platform.h"\nint main(void) { platform_init(); platform_halt(); }\n'
MICROSECOND = SECOND // 1_000_000
BUFFER = 0x2000_8000
"""Free SRAM."""

PCLKDIS0, PCLKDIS1 = 0x24, 0x48
CAMERA_SCL, CAMERA_SDA = 1 << 30, 1 << 31
SENSOR_SETTINGS = {
    0x0C: 0xD6, 0x12: 0x06, 0x16: 0x07,
    0xC8: 0x01, 0xC9: 0xE0, 0xCA: 0x01, 0xCB: 0xE0, 0xCC: 0x00, 0xCE: 0x00,
}  # fmt: skip
"""Upright RGB565 from the middle 480 x 480, slow pixel clock."""


@dataclass
class Chip:
    """A board whose processor sleeps for good."""

    kit: Kit

    def __post_init__(self) -> None:
        self.machine = self.kit.machine
        self.kit.run_until()
        self.machine.gcr.values["PCLKDIS0"] = 0
        self.machine.gcr.values["PCLKDIS1"] = 0

    def wait(self, duration: int) -> None:
        """Let picoseconds pass."""
        end = self.machine.now + duration
        self.machine.schedule(duration, lambda: None)
        while self.machine.now < end and self.machine.run(end) != IDLE:
            pass

    def wait_for(self, condition: object, limit: int = SECOND) -> None:
        """Let time pass until a function of nothing is true."""
        assert callable(condition)
        end = self.machine.now + limit
        while not condition():
            assert self.machine.now < end, "it never happened"
            self.wait(10 * MICROSECOND)

    # ---- camera --------------------------------------------------------------------------------

    def start_clock(self, rate: int = 4) -> None:
        """Square wave on pulse train 0: 50 MHz / (2 rate)."""
        self.machine.pt.write(0x20, 4, 1 << 27 | rate)
        self.machine.pt.write(0x00, 4, 1)

    def set_sensor(self, rows: int, columns: int, **registers: int) -> None:
        """Write the sensor's registers through I2C2; ``r12=0`` overrides register 0x12."""
        settings = dict(SENSOR_SETTINGS)
        settings |= {0xCD: columns, 0xCF: rows + 1}
        settings |= {int(name[1:], 16): value for name, value in registers.items()}
        for number, value in settings.items():
            assert self.i2c_transfer(2, 0x3C, bytes((number, value))) == b""

    def capture(self, mode: int = 1, width: int = 0, extra: int = 0) -> None:
        """Set PCIF.CTRL: enabled, one image by default."""
        self.machine.pcif.write(0x08, 4, 1 << 31 | extra | width << 2)
        self.machine.pcif.write(0x08, 4, 1 << 31 | extra | width << 2 | mode)

    def start_dma(self, size: int, channel: int = 3) -> None:
        """Words from the camera to BUFFER (the program's console uses other channels)."""
        base = 0x100 + 0x20 * channel
        dma = self.machine.dma
        dma.write(base + 0x04, 4, 0x5C)
        dma.write(base + 0x0C, 4, BUFFER)
        dma.write(base + 0x10, 4, size)
        dma.write(base, 4, 1 << 31 | 3 << 24 | 1 << 22 | 2 << 20 | 2 << 16 | 0xD << 4 | 1)

    # ---- I2C -----------------------------------------------------------------------------------

    def i2c_on(self, number: int, clocks: int = 249) -> None:
        """Master at 50 MHz / (2 (clocks + 1)): 100 kHz."""
        i2c = self.machine.i2cs[number]
        i2c.write(0x00, 4, 3)
        i2c.write(0x34, 4, clocks)
        i2c.write(0x38, 4, clocks)

    def i2c_transfer(self, number: int, address: int, data: bytes, count: int = 0) -> bytes | None:
        """Write ``data``, then read ``count`` bytes; None when somebody does not acknowledge."""
        i2c = self.machine.i2cs[number]
        if not i2c.values["CTRL"] & 1:
            self.i2c_on(number, 24)
        i2c.write(0x08, 4, 0xFFFF)
        i2c.write(0x2C, 4, address << 1)
        i2c.write(0x30, 4, 1)
        for byte in data:
            i2c.write(0x2C, 4, byte)
        if count:
            i2c.write(0x20, 4, count)
            i2c.write(0x30, 4, 2)
            self.wait_for(lambda: not i2c.read(0x30, 4) & 2)
            i2c.write(0x2C, 4, address << 1 | 1)
            self.wait_for(lambda: i2c.read(0x08, 4) & (1 | 1 << 10))
        i2c.write(0x30, 4, 4)
        self.wait_for(lambda: i2c.read(0x08, 4) & 1 << 6)
        if i2c.read(0x08, 4) & (1 << 10 | 1 << 11):
            return None
        return bytes(i2c.read(0x2C, 4) for _ in range(count))

    # ---- the camera's bus, pin by pin ----------------------------------------------------------

    def wire(self, clock: int | None = None, data: int | None = None) -> int:
        """Set the pins (``data`` 2: let go); returns the level of the data pin."""
        gpio = self.machine.gpios[0]
        if data is not None:
            gpio.write(0x14 if data == 2 else 0x10, 4, CAMERA_SDA)
            if data != 2:
                gpio.write(0x1C if data else 0x20, 4, CAMERA_SDA)
        if clock is not None:
            gpio.write(0x10, 4, CAMERA_SCL)
            gpio.write(0x1C if clock else 0x20, 4, CAMERA_SCL)
        return int(bool(gpio.read(0x24, 4) & CAMERA_SDA))

    def wire_start(self) -> None:
        """START."""
        self.wire(data=1)
        self.wire(clock=1)
        self.wire(data=0)
        self.wire(clock=0)

    def wire_stop(self) -> None:
        """STOP."""
        self.wire(data=0)
        self.wire(clock=1)
        self.wire(data=1)

    def wire_send(self, value: int) -> bool:
        """Eight bits; True when they are acknowledged."""
        for bit in range(7, -1, -1):
            self.wire(data=value >> bit & 1)
            self.wire(clock=1)
            self.wire(clock=0)
        self.wire(data=2)
        acknowledged = not self.wire(clock=1)
        self.wire(clock=0)
        self.wire(data=0)
        return acknowledged

    def wire_receive(self) -> int:
        """Eight bits, not acknowledged."""
        value = 0
        self.wire(data=2)
        for _ in range(8):
            value = value << 1 | self.wire(clock=1)
            self.wire(clock=0)
        self.wire(data=1)
        self.wire(clock=1)
        self.wire(clock=0)
        return value
