"""Addresses of the CNN accelerator on the system bus.

Source: ai8x-synthesis ``docs/AHBAddresses.md`` (MAX78000 tables) and the base offsets in
``izer/tornadocnn.py``. All addresses are absolute.

``locate(address)`` takes an address apart, the ``*_address`` functions put one together.
"""

from __future__ import annotations

from dataclasses import dataclass

from synthesize.chip import limits

FLASH_BASE, FLASH_SIZE = 0x1000_0000, 512 * 1024
"""Bytes (MAX78000 data sheet)."""

CNN_BASE = 0x5000_0000
CNN_END = 0x5110_0000
"""First address after the window in which every access belongs to the accelerator."""

FIFO_BASE = 0x5000_0000
FIFO_CTRL = FIFO_BASE
FIFO_STAT = FIFO_BASE + 4
FIFO_WRITE = tuple(FIFO_BASE + 8 + 4 * i for i in range(4))
AOD_CTRL = 0x5000_1000
"""Control register of the always-on domain."""

QUADRANT_BASE = 0x5010_0000
QUADRANT_STRIDE = 0x40_0000
REGISTER_OFFSET = 0x0
REGISTER_BYTES = 0x1004
BIAS_OFFSET = 0x8000
BIAS_WINDOW = 4 * limits.BIAS_BYTES_PER_QUADRANT
"""A bias byte takes 32 bits of address space."""
TRAM_OFFSET = 0x1_0000
TRAM_STRIDE = 0x4000
TRAM_WINDOW = 4 * limits.TRAM_WORDS
"""A 16-bit TRAM word takes 32 bits of address space."""
WEIGHT_OFFSET = 0x8_0000
WEIGHT_STRIDE = 0x4000
WEIGHT_WORD_STRIDE = 16
"""A 72-bit kernel word takes 128 bits of address space."""
WEIGHT_WINDOW = WEIGHT_WORD_STRIDE * limits.WEIGHT_WORDS
DATA_OFFSET = 0x30_0000
DATA_STRIDE = 0x8000


@dataclass(frozen=True)
class Location:
    """Where an address lies.

    kind: ``fifo`` (FIFO and always-on registers), ``register`` (of a quadrant), ``bias``,
        ``tram``, ``weight`` or ``data``.
    quadrant: 0..3, or -1 for ``fifo``.
    index: ``weight``/``tram``: processor within the chip 0..63; ``data``: instance 0..15;
        otherwise 0.
    offset: bytes from the start of that memory or register block.
    """

    kind: str
    quadrant: int
    index: int
    offset: int


def locate(address: int) -> Location | None:
    """Take a bus address apart; ``None`` where the chip has nothing."""
    if FIFO_BASE <= address < FIFO_BASE + 0x18 or AOD_CTRL <= address < AOD_CTRL + 4:
        return Location("fifo", -1, 0, address - FIFO_BASE)
    quadrant, offset = divmod(address - QUADRANT_BASE, QUADRANT_STRIDE)
    if not 0 <= quadrant < limits.QUADRANTS:
        return None
    if offset < REGISTER_BYTES:
        return Location("register", quadrant, 0, offset)
    if BIAS_OFFSET <= offset < BIAS_OFFSET + BIAS_WINDOW:
        return Location("bias", quadrant, 0, offset - BIAS_OFFSET)
    for kind, start, stride, window, count in _ARRAYS:
        index, inner = divmod(offset - start, stride)
        if 0 <= index < count and inner < window:
            return Location(kind, quadrant, quadrant * count + index, inner)
    return None


_ARRAYS = (
    ("tram", TRAM_OFFSET, TRAM_STRIDE, TRAM_WINDOW, limits.PROCESSORS_PER_QUADRANT),
    ("weight", WEIGHT_OFFSET, WEIGHT_STRIDE, WEIGHT_STRIDE, limits.PROCESSORS_PER_QUADRANT),
    ("data", DATA_OFFSET, DATA_STRIDE, DATA_STRIDE, limits.DATA_INSTANCES // limits.QUADRANTS),
)


def quadrant_base(quadrant: int) -> int:
    """Address of a quadrant's register block, quadrant 0..3."""
    return QUADRANT_BASE + _in_range("quadrant", quadrant, limits.QUADRANTS) * QUADRANT_STRIDE


def data_address(processor: int, word: int = 0) -> int:
    """Address of 32-bit word ``word`` (0..8191) in the data memory that ``processor`` reads.

    The processor's own byte in that word is ``processor % 4``.
    """
    _in_range("processor", processor, limits.PROCESSORS)
    instance = processor // limits.PROCESSORS_PER_INSTANCE
    return instance_address(instance, word)


def instance_address(instance: int, word: int = 0) -> int:
    """Address of 32-bit word ``word`` (0..8191) of data memory instance 0..15."""
    _in_range("data memory instance", instance, limits.DATA_INSTANCES)
    _in_range("data memory word", word, limits.DATA_INSTANCE_WORDS)
    quadrant, local = divmod(instance, limits.DATA_INSTANCES // limits.QUADRANTS)
    return quadrant_base(quadrant) + DATA_OFFSET + local * DATA_STRIDE + 4 * word


def weight_address(processor: int, word: int = 0) -> int:
    """Address of kernel word ``word`` (0..767) of ``processor``, in the unpacked layout.

    Unpacked, a kernel word is four 32-bit words: byte 0; bytes 1..4 and bytes 5..8, first byte
    in the highest bits; and a final zero whose writing stores the word.
    """
    _in_range("processor", processor, limits.PROCESSORS)
    _in_range("kernel word", word, limits.WEIGHT_WORDS)
    quadrant, local = divmod(processor, limits.PROCESSORS_PER_QUADRANT)
    base = quadrant_base(quadrant) + WEIGHT_OFFSET + local * WEIGHT_STRIDE
    return base + WEIGHT_WORD_STRIDE * word


def packed_weight_start(processor: int, word: int = 0) -> int:
    """Address whose byte write selects the first kernel word of a packed load (CTRL.mexpress).

    The packed bytes then follow as 32-bit words, first byte in the highest bits, written from
    ``weight_address(processor)`` upwards.
    """
    return weight_address(processor) + 4 * _in_range("kernel word", word, limits.WEIGHT_WORDS) + 1


def bias_address(quadrant: int, index: int = 0) -> int:
    """Address of bias byte ``index`` (0..511) of a quadrant; one 32-bit word per byte."""
    _in_range("bias index", index, limits.BIAS_BYTES_PER_QUADRANT)
    return quadrant_base(quadrant) + BIAS_OFFSET + 4 * index


def _in_range(what: str, value: int, count: int) -> int:
    if not 0 <= value < count:
        raise ValueError(f"{what} {value} does not exist (0 to {count - 1})")
    return value
