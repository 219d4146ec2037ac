"""Registers of the CNN accelerator, field by field.

How to use::

    LCTRL0.encode(master=1, sramlsrc=1)          -> 32-bit value; unknown or too large: ValueError
    LCTRL0.decode(value)                         -> {"sslave": 0, ..., "master": 1, ...}
    layer_address(quadrant, layer, LCTRL0)       -> bus address of a per-layer register
    global_address(quadrant, CTRL)               -> bus address of a per-quadrant register
    register_at(address)                         -> Place(register, quadrant, layer) or None
    describe(address)                            -> "quadrant 1, layer 3, LCTRL0"

Per-quadrant registers: ``CTRL SRAM LCNT_MAX TEST IFRM MLAT`` (tuple ``GLOBAL_REGISTERS``).
Per-layer registers (32 layers): ``RCNT CCNT ONED PRCNT PCCNT STRIDE WPTR_BASE WPTR_TOFF
WPTR_MOFF WPTR_CHOFF RPTR_BASE LCTRL0 MCNT TPTR EN POST LCTRL1`` (``LAYER_REGISTERS``).
Per-stream registers (streams 0..7): ``STRM0 STRM1 FBUF`` (``STREAM_REGISTERS``).
FIFO and always-on registers, one of each: ``FIFO_CTRL FIFO_STAT FIFO_WR0..3 AOD_CTRL``
(``SHARED_REGISTERS``).

Sources of names and bit positions: MAX78000 User Guide (CNN chapter: CNNx16_n_* registers) as
quoted in the public ekut-es/netdeployonnx ``cnn_registers.py``; register numbers and widths in
ai8x-synthesis ``izer/tornadocnn.py``; uses in ``izer/backend/max7800x.py``. Where the two differ
(STRIDE has two bits in the guide but the generator uses four; TPTR eleven against twelve) the
wider field is taken, because programs that ran on silicon use it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from synthesize.chip import limits, memory_map
from synthesize.chip.fields import INERT, STATUS, UNMODELLED, Field, Register
from synthesize.chip.fields import MODELLED as MODELLED
from synthesize.chip.fields import RESERVED as RESERVED

CTRL = Register(
    "CTRL",
    (
        Field("cnn_en", 0, doc="0 -> 1 starts (or continues) processing"),
        Field("rdy_sel", 1, 2, INERT, "bus wait states"),
        Field("clk_en", 3, doc="clock of the data processing"),
        Field("calcmax", 4, 1, UNMODELLED, "maximum pooling for all layers"),
        Field("pool_en", 5, 1, UNMODELLED, "pooling for all layers"),
        Field("bigdata", 6, 1, UNMODELLED, "one channel per 32-bit word for all layers"),
        Field("apbclk_en", 7, 1, INERT, "register clock always on"),
        Field("oneshot", 8, doc="stop after each layer"),
        Field("ext_sync", 9, 3, doc="[1:0] quadrant to follow, [2] follow it"),
        Field("cnn_irq", 12, doc="interrupt request; set when processing ends; write 0 to clear"),
        Field("poolrnd", 13, doc="round averages instead of truncating them"),
        Field("stream_en", 14, doc="streaming mode"),
        Field("fifo_en", 15, doc="input of layer 0 comes from the FIFOs"),
        Field("mlat_ld", 16, 1, UNMODELLED, "start of packed channel read-out"),
        Field("mlatch_sel", 17, 2, UNMODELLED, "byte of packed channel read-out"),
        Field("lilbuf", 19, doc="circular input buffers for streaming layers (FBUF)"),
        Field("mexpress", 20, doc="packed loading of the weight memory"),
        Field("simple1b", 21, 1, UNMODELLED, "simple logic for 1-bit weights"),
        Field("ffifo_en", 22, 1, UNMODELLED, "fast FIFO"),
        Field("fifogrp", 23, 1, UNMODELLED, "all FIFO channels to the first four processors"),
        Field("fclk_dly", 24, 6, INERT, "FIFO clock delay"),
        Field("timeshft", 30, 1, UNMODELLED, "wait state in the pooling stage"),
        Field("qupac", 31, 1, UNMODELLED, "all quadrants process the same data"),
    ),
    reset=0x6,
)

SRAM = Register(
    "SRAM",
    (
        Field("extacc", 0, 1, INERT, "extended access time"),
        Field("rmargin_en", 1, 1, INERT),
        Field("rmargin", 2, 4, INERT, "read margin"),
        Field("ra", 6, 2, INERT, "read assist voltage"),
        Field("wneg_vol", 8, 2, INERT, "write negative voltage"),
        Field("wneg_en", 10, 1, INERT),
        Field("wpulse", 11, 3, INERT, "write pulse width"),
        Field("ds", 15, doc="memories in deep sleep: contents kept, no access"),
        Field("pd", 16, doc="memories powered down: contents lost"),
        Field("lsdram", 19, 1, INERT, "data memory light sleep"),
        Field("lsmram", 20, 1, INERT, "weight memory light sleep"),
        Field("lstram", 21, 1, INERT, "TRAM light sleep"),
        Field("lsbram", 22, 1, INERT, "bias memory light sleep"),
    ),
    reset=0xE,
)

LCNT_MAX = Register(
    "LCNT_MAX",
    (Field("lcnt", 0, 5, doc="last layer, counted from 0"),),
)

TEST = Register(
    "TEST",
    (
        Field("sbistrun", 0, doc="self-test of the data memory (leaves it zero)"),
        Field("sramz", 1, doc="zero the data memory"),
        Field("mbistrun", 2, doc="self-test of the weight memory"),
        Field("mramz", 3, doc="zero the weight memory"),
        Field("tbistrun", 4, doc="self-test of the TRAM"),
        Field("tramz", 5, doc="zero the TRAM"),
        Field("bbistrun", 6, doc="self-test of the bias memory"),
        Field("bramz", 7, doc="zero the bias memory"),
        Field("bistsel", 8, 6, UNMODELLED, "controller whose status is shown"),
        Field("sallbfail", 14, 1, STATUS),
        Field("mallbfail", 15, 1, STATUS),
        Field("tallbfail", 16, 1, STATUS),
        Field("ballbfail", 17, 1, STATUS),
        Field("sallbdone", 18, 1, STATUS),
        Field("mallbdone", 19, 1, STATUS),
        Field("tallbdone", 20, 1, STATUS),
        Field("ballbdone", 21, 1, STATUS),
        Field("sallzdone", 22, 1, STATUS),
        Field("mallzdone", 23, 1, STATUS),
        Field("tallzdone", 24, 1, STATUS),
        Field("ballzdone", 25, 1, STATUS),
        Field("bistfail", 26, 1, STATUS),
        Field("bistdone", 27, 1, STATUS),
        Field("zerodone", 28, 1, STATUS),
    ),
)

IFRM = Register("IFRM", (Field("ifrm", 0, 20, doc="words of one input frame in the FIFO"),))
MLAT = Register("MLAT", (Field("mlatdat", 0, 32, UNMODELLED, "packed channel data"),))

RCNT = Register(
    "RCNT",
    (
        Field("rcnt_max", 0, 10, doc="last input row, padding at both ends included"),
        Field("rcnt_pad", 16, 2, doc="padding rows at each end"),
    ),
)
CCNT = Register(
    "CCNT",
    (
        Field("ccnt_max", 0, 10, doc="last input column, padding at both ends included"),
        Field("ccnt_pad", 16, 2, doc="padding columns at each end"),
    ),
)
ONED = Register(
    "ONED",
    (
        Field("tscnt_max", 0, 4, doc="last time slot, counted from 0"),
        Field("oned_sad", 4, 4, doc="bytes added to the mask start address"),
        Field("oned_width", 8, 4, doc="kernel length; 0: 3x3; 1 without oned_en: 1x1"),
        Field("oned_en", 12, doc="1D processing"),
        Field("ewise_en", 13, doc="element-wise operation"),
        Field("ewise_func", 14, 2, doc="0 subtract, 1 add, 2 or, 3 xor"),
        Field("prepool", 16, doc="pool each operand before the element-wise operation"),
        Field("two_d_conv", 17, doc="convolve the element-wise result"),
        Field("ewise_cnt", 18, 4, doc="operands - 1"),
    ),
)
PRCNT = Register("PRCNT", (Field("prcnt_max", 0, 4, doc="pooling rows - 1"),))
PCCNT = Register("PCCNT", (Field("pccnt_max", 0, 4, doc="pooling columns - 1"),))
STRIDE = Register("STRIDE", (Field("stride", 0, 4, doc="stride of the input window - 1"),))
WPTR_BASE = Register(
    "WPTR_BASE",
    (
        Field("word", 0, 13, doc="word within the data memory instance"),
        Field("instance", 13, 4, doc="data memory instance 0..15"),
    ),
)
WPTR_TOFF = Register("WPTR_TOFF", (Field("wptr_toff", 0, 17, doc="words added per time slot"),))
WPTR_MOFF = Register(
    "WPTR_MOFF", (Field("wptr_moff", 0, 17, doc="words added per four output channels"),)
)
WPTR_CHOFF = Register(
    "WPTR_CHOFF", (Field("wptr_choff", 0, 17, doc="words added per output expansion"),)
)
RPTR_BASE = Register("RPTR_BASE", (Field("rptr_base", 0, 17, doc="first input word, local"),))
LCTRL0 = Register(
    "LCTRL0",
    (
        Field("sslave", 0, 4, UNMODELLED, "receptive field shared within four processors"),
        Field("mslave", 4, 1, UNMODELLED, "receptive field shared within the quadrant"),
        Field("master", 5, doc="quadrant forms its own sum of products"),
        Field("parallel", 6, doc="one channel per 32-bit word (CHW input)"),
        Field("pool_en", 7),
        Field("maxpl_en", 8, doc="1 maximum, 0 average"),
        Field("act_en", 9, doc="ReLU"),
        Field("cpad_only", 10, 1, UNMODELLED, "no row padding"),
        Field("sramlsrc", 11, doc="output from the global data bus"),
        Field("cnnsi_en", 12, 4, doc="quadrants (counted from this one) added to the sum"),
        Field("bigdwrt", 16, doc="32-bit output of the accumulator"),
    ),
)
MCNT = Register(
    "MCNT",
    (
        Field("mcnt_max", 0, 16, doc="last mask: kernel number * 8 + bit"),
        Field("mcnt_sad", 16, 16, doc="first mask: kernel number * 8 + bit"),
    ),
)
TPTR = Register(
    "TPTR",
    (
        Field("tptr_max", 0, 12, doc="last TRAM word of the layer's line buffer"),
        Field("tptr_sad", 16, 12, doc="first TRAM word of the layer's line buffer"),
    ),
)
EN = Register(
    "EN",
    (
        Field("pro_en", 0, 16, doc="processors that read"),
        Field("mask_en", 16, 16, doc="processors that multiply"),
    ),
)
POST = Register(
    "POST",
    (
        Field("bptr_sad", 0, 12, doc="first bias byte"),
        Field("bptr_en", 12, doc="add a bias"),
        Field("scale_reg", 13, 4, doc="shift of the sum, on top of the division by 128"),
        Field("scale_shft", 17, doc="0 left, 1 right"),
        Field("xpmp_cnt", 18, 4, doc="upper four bits of the pass count when flattening"),
        Field("mask_size", 22, 2, doc="weight bits: 0 eight, 1 one, 2 two, 3 four"),
        Field("ts_en", 24, doc="time slots"),
        Field("onexone_en", 25, doc="pass-through"),
        Field("out_abs", 26, doc="absolute value"),
        Field("flatten_en", 27),
        Field("deconv_en", 28, doc="zeros between input rows and columns"),
    ),
)
STRM0 = Register("STRM0", (Field("strm_isval", 0, 14, doc="words read before the layer starts"),))
STRM1 = Register(
    "STRM1",
    (
        Field("strm_invol", 0, 4, doc="input volume offset"),
        Field("strm_dsval1", 4, 5, doc="words between outputs of one row"),
        Field("strm_dsval2", 16, 12, doc="words between rows"),
    ),
)
FBUF = Register("FBUF", (Field("fbuf_max", 0, 17, doc="words of the circular input buffer"),))
LCTRL1 = Register(
    "LCTRL1",
    (
        Field("inpchexp", 0, 4, doc="passes - 1"),
        Field("wptr_inc", 4, 4, doc="words added to the step of one per output pixel"),
        Field("xpch_max", 8, 9, doc="(output channels per expansion - 1) * weight bits"),
    ),
)

FIFO_CTRL = Register(
    "FIFO_CTRL",
    (
        Field("rdy_sel", 0, 2, INERT, "bus wait states"),
        Field("almost_full", 2, 5, INERT, "threshold"),
        Field("almost_empty", 7, 4, INERT, "threshold"),
        Field("cpl", 11, 1, INERT, "set by the generator on this device"),
        Field("fifo_en", 12, 4, doc="FIFO 0..3 enabled"),
    ),
)
FIFO_STAT = Register(
    "FIFO_STAT",
    (
        Field("full", 0, 4, STATUS, "FIFO 0..3 full"),
        Field("other", 4, 28, STATUS, "not modelled, reads as zero"),
    ),
)
FIFO_WR0, FIFO_WR1, FIFO_WR2, FIFO_WR3 = (
    Register(f"FIFO_WR{i}", (Field("data", 0, 32, doc="four channels or four pixels"),))
    for i in range(4)
)
FIFO_WRITES = (FIFO_WR0, FIFO_WR1, FIFO_WR2, FIFO_WR3)
AOD_CTRL = Register(
    "AOD_CTRL",
    (
        Field("rdy_sel", 0, 2, INERT, "bus wait states"),
        Field("group_off", 12, 4, doc="quadrant 0..3 powered off"),
    ),
)

GLOBAL_REGISTERS: tuple[tuple[int, Register], ...] = (
    (0x0000, CTRL),
    (0x0004, SRAM),
    (0x0008, LCNT_MAX),
    (0x000C, TEST),
    (0x0990, IFRM),
    (0x1000, MLAT),
)
_LAYER_BLOCK = 0x10
_LAYER_STRIDE = 4 * limits.MAX_LAYERS
_LAYER_NUMBERS: tuple[tuple[int, Register], ...] = tuple(
    enumerate(
        (
            *(RCNT, CCNT, ONED, PRCNT, PCCNT, STRIDE, WPTR_BASE, WPTR_TOFF, WPTR_MOFF),
            *(WPTR_CHOFF, RPTR_BASE, LCTRL0, MCNT, TPTR, EN, POST),
        )
    )
) + ((20, LCTRL1),)
_STREAM_NUMBERS: tuple[tuple[int, Register], ...] = ((16, STRM0), (17, STRM1), (18, FBUF))
LAYER_REGISTERS = tuple(r for _, r in _LAYER_NUMBERS)
STREAM_REGISTERS = tuple(r for _, r in _STREAM_NUMBERS)
SHARED_REGISTERS: tuple[tuple[int, Register], ...] = (
    (memory_map.FIFO_CTRL, FIFO_CTRL),
    (memory_map.FIFO_STAT, FIFO_STAT),
    (memory_map.FIFO_WRITE[0], FIFO_WR0),
    (memory_map.FIFO_WRITE[1], FIFO_WR1),
    (memory_map.FIFO_WRITE[2], FIFO_WR2),
    (memory_map.FIFO_WRITE[3], FIFO_WR3),
    (memory_map.AOD_CTRL, AOD_CTRL),
)
RESERVED_STREAM = Register("STREAM_RESERVED", ())
"""Address of a per-stream register for a layer that cannot stream: all bits reserved."""

SRAM_SETTING = 0x40E
"""Value of SRAM every program writes at initialisation (ai8x-synthesis backend, "SRAM control")."""

WEIGHT_BITS_CODE = {8: 0, 1: 1, 2: 2, 4: 3}
"""POST.mask_size for a number of weight bits."""
ELEMENTWISE_CODE = {"sub": 0, "add": 1, "or": 2, "xor": 3}
"""ONED.ewise_func for an element-wise operation."""


@dataclass(frozen=True)
class Place:
    """A register of the chip: ``quadrant`` and ``layer`` are -1 where they do not apply."""

    register: Register
    quadrant: int
    layer: int

    def __str__(self) -> str:
        parts = []
        if self.quadrant >= 0:
            parts.append(f"quadrant {self.quadrant}")
        if self.layer >= 0:
            parts.append(f"layer {self.layer}")
        return ", ".join([*parts, self.register.name])


def global_address(quadrant: int, register: Register) -> int:
    """Address of a per-quadrant register (CTRL, SRAM, LCNT_MAX, TEST, IFRM, MLAT)."""
    offset = next(o for o, r in GLOBAL_REGISTERS if r is register)
    return memory_map.quadrant_base(quadrant) + offset


# Looked up thousands of times per inference, so by identity: comparing registers is slow.
_LAYER_PLACES = {id(r): (n, limits.MAX_LAYERS) for n, r in _LAYER_NUMBERS}
_LAYER_PLACES |= {id(r): (n, limits.MAX_STREAM_LAYERS) for n, r in _STREAM_NUMBERS}


def layer_address(quadrant: int, layer: int, register: Register) -> int:
    """Address of a per-layer (layers 0..31) or per-stream (0..7) register of a quadrant."""
    number, count = _LAYER_PLACES[id(register)]
    if not 0 <= layer < count:
        raise ValueError(f"{register.name} exists for layers 0 to {count - 1}, not for {layer}")
    block = memory_map.quadrant_base(quadrant) + _LAYER_BLOCK
    return block + number * _LAYER_STRIDE + 4 * layer


def shared_address(register: Register) -> int:
    """Address of a FIFO or always-on register."""
    return next(a for a, r in SHARED_REGISTERS if r is register)


def all_places() -> Iterator[tuple[int, Place]]:
    """Every register of the chip with its address."""
    for address, register in SHARED_REGISTERS:
        yield address, Place(register, -1, -1)
    for quadrant in range(limits.QUADRANTS):
        for _, register in GLOBAL_REGISTERS:
            yield global_address(quadrant, register), Place(register, quadrant, -1)
        for _, register in _LAYER_NUMBERS:
            for layer in range(limits.MAX_LAYERS):
                address = layer_address(quadrant, layer, register)
                yield address, Place(register, quadrant, layer)
        for _, register in _STREAM_NUMBERS:
            first = layer_address(quadrant, 0, register)
            for layer in range(limits.MAX_LAYERS):
                real = register if layer < limits.MAX_STREAM_LAYERS else RESERVED_STREAM
                yield first + 4 * layer, Place(real, quadrant, layer)


REGISTER_MAP: dict[int, Place] = dict(all_places())
"""Every register of the chip by address."""


def register_at(address: int) -> Place | None:
    """The register at a word address, or ``None``."""
    return REGISTER_MAP.get(address)


def describe(address: int) -> str:
    """Human name of any accelerator address, such as ``quadrant 1, layer 3, LCTRL0``."""
    place = register_at(address & ~3)
    if place is not None:
        return str(place)
    where = memory_map.locate(address)
    if where is None:
        return "no register or memory"
    if where.kind == "data":
        return f"quadrant {where.quadrant}, data memory {where.index}, word {where.offset // 4}"
    if where.kind == "weight":
        word = where.offset // memory_map.WEIGHT_WORD_STRIDE
        return f"quadrant {where.quadrant}, weights of processor {where.index}, word {word}"
    if where.kind == "bias":
        return f"quadrant {where.quadrant}, bias {where.offset // 4}"
    if where.kind == "tram":
        return f"quadrant {where.quadrant}, TRAM of processor {where.index}"
    return "no register or memory"
