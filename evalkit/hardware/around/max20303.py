"""Power management of the MAX78000FTHR board, as far as the SDK's board support talks to it.

Register numbers, commands and the 5 ms for a command: public MAX78000 SDK, ``Boards/MAX78000/
Source/max20303.c``.
"""

from __future__ import annotations

from collections.abc import Callable

from evalkit.hardware.scheduler import SECOND

HARDWARE_ID = 0x02
_ID, _DATA_OUT, _COMMAND, _RESPONSE = 0x00, 0x0F, 0x17, 0x18
_LDO2_WRITE = 0x42
_ENABLED = 3
COMMAND_TIME = 5 * SECOND // 1000


class Max20303:
    """Registers with a running number; commands take 5 ms; LDO2 is the camera's supply.

    Args:
        now: returns picoseconds since power-up.
        camera_power: called with the new state of LDO2.
    """

    address = 0x28

    def __init__(self, now: Callable[[], int], camera_power: Callable[[bool], None]) -> None:
        self._now = now
        self._camera_power = camera_power
        self._registers = bytearray(256)
        self._registers[_ID] = HARDWARE_ID
        self._pointer: int | None = None
        self._answer_at = 0

    def begin(self, read: bool) -> bool:
        """Always there."""
        if not read:
            self._pointer = None
        return True

    def write(self, value: int) -> bool:
        """First the register's number, then values for it and the following ones."""
        if self._pointer is None:
            self._pointer = value
            return True
        if self._pointer != _ID:
            self._registers[self._pointer] = value
        if self._pointer == _COMMAND:
            self._registers[_RESPONSE] = value
            self._answer_at = self._now() + COMMAND_TIME
            if value == _LDO2_WRITE:
                self._camera_power(self._registers[_DATA_OUT] & _ENABLED == 1)
        self._pointer = self._pointer + 1 & 0xFF
        return True

    def read(self) -> int:
        """The register named by the last write, and the following ones."""
        pointer = self._pointer or 0
        self._pointer = pointer + 1 & 0xFF
        if pointer == _RESPONSE and self._now() < self._answer_at:
            return 0
        return self._registers[pointer]

    def end(self) -> None:
        """STOP changes nothing."""
