"""What a register is: named fields that cover every bit of a 32-bit word exactly once."""

from __future__ import annotations

from dataclasses import dataclass, field

MODELLED = "modelled"
"""The virtual kit's behaviour follows the field."""
INERT = "inert"
"""Named; any value is accepted; only electrical margins or bus wait states depend on it."""
UNMODELLED = "unmodelled"
"""Named; what it does is not modelled, so any value but the reset value is refused."""
RESERVED = "reserved"
"""Has no documented meaning; must be written with its reset value."""
STATUS = "status"
"""Set by the hardware; writing has no effect."""

STORED = "stored"
"""Writing a field stores the value."""
CLEARED_BY_1 = "cleared by 1"
"""Bits that are written as 1 become 0; the others stay."""
CLEARED_BY_0 = "cleared by 0"
"""Bits that are written as 0 become 0; the others stay."""
CLEARS_ITSELF = "clears itself"
"""Writing 1 starts something; the field reads as 0."""

WORD = 0xFFFF_FFFF


@dataclass(frozen=True)
class Field:
    """Bits ``lsb .. lsb+width-1`` of a register; ``write`` is what writing them does."""

    name: str
    lsb: int
    width: int = 1
    kind: str = MODELLED
    doc: str = ""
    write: str = STORED
    # Not properties: the virtual kit asks for them some ten thousand times per picture.
    maximum: int = field(init=False, repr=False, compare=False)
    """Largest value that fits."""
    mask: int = field(init=False, repr=False, compare=False)
    """The field's bits within the register."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "maximum", (1 << self.width) - 1)
        object.__setattr__(self, "mask", self.maximum << self.lsb)

    def of(self, value: int) -> int:
        """The field's value within a register value."""
        return (value >> self.lsb) & self.maximum


@dataclass(frozen=True)
class Register:
    """A 32-bit register: named fields which cover every bit exactly once.

    Bits that no field names become fields of kind ``reserved``. Overlapping or too wide fields
    raise ``ValueError`` when the table is built.
    """

    name: str
    fields: tuple[Field, ...]
    reset: int = 0
    doc: str = ""
    by_name: dict[str, Field] = field(init=False, repr=False, compare=False)
    _masks: dict[str, int] = field(init=False, repr=False, compare=False)
    """Bits by kind and by what writing them does; no two of those have one name."""

    def __post_init__(self) -> None:
        complete = _fill_reserved(self.name, self.fields)
        object.__setattr__(self, "fields", complete)
        object.__setattr__(self, "by_name", {f.name: f for f in complete})
        masks: dict[str, int] = {}
        for part in complete:
            for what in (part.kind, part.write):
                masks[what] = masks.get(what, 0) | part.mask
        object.__setattr__(self, "_masks", masks)

    def encode(self, **values: int) -> int:
        """Register value from field values; fields not given are 0.

        Raises ValueError for an unknown or reserved field or a value that does not fit.
        """
        word = 0
        for name, value in values.items():
            part = self.by_name.get(name)
            if part is None or part.kind == RESERVED:
                raise ValueError(f"register {self.name} has no field {name!r}")
            if not 0 <= value <= part.maximum:
                raise ValueError(
                    f"{self.name}.{name} = {value} does not fit in {part.width} bits"
                    f" (0 to {part.maximum})"
                )
            word |= int(value) << part.lsb
        return word

    def decode(self, value: int) -> dict[str, int]:
        """All named (not reserved) field values of a register value."""
        return {f.name: f.of(value) for f in self.fields if f.kind != RESERVED}

    def get(self, value: int, name: str) -> int:
        """One field of a register value."""
        return self.by_name[name].of(value)

    def mask(self, *names: str) -> int:
        """All bits of the fields of these names."""
        return sum(self.by_name[name].mask for name in names)

    def written(self, old: int, value: int) -> int:
        """What the register holds after ``value`` is written, where its fields say so.

        Fields that the hardware sets keep what they have.
        """
        kept = self.mask_of(STATUS)
        by_1, by_0, gone = (
            self._masks.get(how, 0) for how in (CLEARED_BY_1, CLEARED_BY_0, CLEARS_ITSELF)
        )
        plain = value & ~(kept | by_1 | by_0 | gone)
        return plain | old & kept | old & ~value & by_1 | old & value & by_0

    def mask_of(self, *kinds: str) -> int:
        """All bits of the fields of these kinds."""
        return sum(self._masks.get(kind, 0) for kind in kinds)

    def misused(self, value: int) -> Field | None:
        """First reserved or unmodelled field that ``value`` would change from its reset value."""
        wrong = (value ^ self.reset) & self.mask_of(RESERVED, UNMODELLED)
        if not wrong:
            return None
        return next(f for f in self.fields if f.mask & wrong and f.kind in (RESERVED, UNMODELLED))

    def text(self, value: int) -> str:
        """Non-zero fields, for messages: ``master=1 sramlsrc=1``."""
        parts = [f"{n}={v}" for n, v in self.decode(value).items() if v]
        return " ".join(parts) or "0"


def _fill_reserved(name: str, given: tuple[Field, ...]) -> tuple[Field, ...]:
    fields: list[Field] = []
    position = 0
    for part in sorted(given, key=lambda f: f.lsb):
        if part.width < 1 or part.lsb + part.width > 32:
            raise ValueError(f"{name}.{part.name} does not fit in 32 bits")
        if part.lsb < position:
            raise ValueError(f"{name}.{part.name} overlaps {fields[-1].name}")
        if part.lsb > position:
            fields.append(_reserved(position, part.lsb - position))
        fields.append(part)
        position = part.lsb + part.width
    if position < 32:
        fields.append(_reserved(position, 32 - position))
    if len({f.name for f in fields}) != len(fields):
        raise ValueError(f"register {name} names a field twice")
    return tuple(fields)


def _reserved(lsb: int, width: int) -> Field:
    name = f"reserved_{lsb}" if width == 1 else f"reserved_{lsb + width - 1}_{lsb}"
    return Field(name, lsb, width, RESERVED)
