"""What the boards have around the chip: camera, display (EVKIT), power management (FTHR).

Wiring (public MAX78000 SDK, ``Boards/MAX78000``): the sensor's input clock is pulse train 0; its
two-wire bus are P0.30 and P0.31, which the SDK drives pin by pin and which are I2C2 as well; the
power management of MAX78000FTHR is on I2C1, and its LDO2 supplies the camera there. Here the camera
has power from the start, so that one model serves both boards; firmware can switch LDO2. The
display of the evaluation kit is the second device on SPI0.
"""

from __future__ import annotations

from evalkit.hardware.around.max20303 import Max20303
from evalkit.hardware.around.ov7692 import Ov7692, Source
from evalkit.hardware.around.sccb import Device, WireBus
from evalkit.hardware.around.ssd2119 import Ssd2119
from evalkit.hardware.machine import Machine

_CAMERA_CLOCK = 0
_CAMERA_SCL, _CAMERA_SDA = 30, 31
_DISPLAY_SELECT = 1


class Board:
    """Connects a chip to its surroundings.

    Args:
        machine: the chip.
        source: what the camera looks at; None: no camera is plugged in.

    Attributes:
        sensor: the camera's sensor, None without one.
        display: the display, whether or not the firmware uses it.
    """

    def __init__(self, machine: Machine, source: Source | None) -> None:
        self.sensor: Ov7692 | None = None
        self.display = Ssd2119()
        machine.spis[0].devices[_DISPLAY_SELECT] = self.display
        on_camera_bus: list[Device] = []
        if source is not None:
            self.sensor = Ov7692(
                source, lambda: machine.pt.frequency(_CAMERA_CLOCK), lambda: machine.now
            )
            self.sensor.on_frame = getattr(source, "record", None)
            machine.pt.listeners.append(self.sensor.changed)
            machine.pcif.connect(self.sensor)
            on_camera_bus.append(self.sensor)
        WireBus(machine.gpios[0], _CAMERA_SCL, _CAMERA_SDA, on_camera_bus)
        machine.i2cs[2].devices += on_camera_bus
        machine.i2cs[1].devices.append(Max20303(lambda: machine.now, self._camera_power))

    def _camera_power(self, on: bool) -> None:
        if self.sensor is not None:
            self.sensor.powered = on
