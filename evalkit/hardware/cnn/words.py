"""The register words of one layer, and faults that name them."""

from __future__ import annotations

from collections.abc import Mapping

from evalkit.hardware.faults import KitFault
from synthesize.chip import limits, registers
from synthesize.chip.registers import Register


class LayerRegisters:
    """The register words of one layer in the quadrants that take part.

    Args:
        words: register value by bus address (missing: the reset value).
        layer: layer number 0..31.
        quadrants: quadrants that take part, the leader first.
    """

    def __init__(self, words: Mapping[int, int], layer: int, quadrants: tuple[int, ...]) -> None:
        self.words = words
        self.layer = layer
        self.quadrants = quadrants
        self.leader = quadrants[0]

    def value(self, register: Register, quadrant: int | None = None) -> int:
        """Register value in a quadrant (default: the leader)."""
        chosen = self.leader if quadrant is None else quadrant
        address = registers.layer_address(chosen, self.layer, register)
        return self.words.get(address, register.reset)

    def get(self, register: Register, name: str, quadrant: int | None = None) -> int:
        """Field value in a quadrant (default: the leader)."""
        return register.get(self.value(register, quadrant), name)

    def fault(
        self, register: Register, name: str | None, message: str, quadrant: int | None = None
    ) -> KitFault:
        """A fault that names a field of this layer."""
        chosen = self.leader if quadrant is None else quadrant
        return KitFault.in_layer(self.layer, chosen, register, message, name)

    def processors(self) -> tuple[int, ...]:
        """Chip-wide numbers of the processors that read."""
        return tuple(
            limits.PROCESSORS_PER_QUADRANT * q + p
            for q in sorted(self.quadrants)
            for p in range(limits.PROCESSORS_PER_QUADRANT)
            if self.get(registers.EN, "pro_en", q) >> p & 1
        )
