"""The exception with which the virtual kit stops."""

from __future__ import annotations

from synthesize.chip import registers


class KitFault(Exception):
    """Something the hardware would not do, or would do without anybody noticing.

    Attributes:
        message: what is wrong, without the place.
        address: bus address, or None.
        register: name of the register concerned, or None.
        field: name of the register's field, or None.
        layer: layer number, or None.
        pc: program counter of the access; filled in by the machine, None in a replay.
    """

    def __init__(
        self,
        message: str,
        address: int | None = None,
        register: str | None = None,
        layer: int | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.address = address
        self.register = register
        self.layer = layer
        self.field = field
        self.pc: int | None = None

    @classmethod
    def at(cls, address: int, message: str, field: str | None = None) -> KitFault:
        """A fault at a bus address; register and layer are looked up."""
        place = registers.register_at(address & ~3)
        if place is None:
            return cls(message, address, field=field)
        layer = place.layer if place.layer >= 0 else None
        return cls(message, address, place.register.name, layer, field)

    @classmethod
    def in_layer(
        cls,
        layer: int,
        quadrant: int,
        register: registers.Register,
        message: str,
        field: str | None = None,
    ) -> KitFault:
        """A fault found while a layer's registers are decoded or its data computed."""
        address = registers.layer_address(quadrant, layer, register)
        return cls(message, address, register.name, layer, field)

    def __str__(self) -> str:
        place = []
        if self.address is not None:
            name = registers.describe(self.address)
            if self.field:
                name += f".{self.field}"
            place.append(f"{name} (0x{self.address:08x})")
        if self.layer is not None and (self.address is None or self.register is None):
            place.append(f"layer {self.layer}")
        if self.pc is not None:
            place.append(f"pc 0x{self.pc:08x}")
        return ": ".join([", ".join(place), self.message]) if place else self.message


class ChipReset(KitFault):
    """The chip resets itself; ends the run unless the machine restarts.

    Attributes:
        cause: ``watchdog`` or ``software``.
    """

    def __init__(self, cause: str, message: str, address: int) -> None:
        super().__init__(message, address)
        self.cause = cause
