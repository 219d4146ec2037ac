"""From the register words of all quadrants to what one layer does.

Nothing here knows how the words came about. Every combination of fields that is not understood
stops with a KitFault that names layer, register and field.

Sources for the meaning of the fields: MAX78000 User Guide (CNN chapter), ai8x-synthesis
``izer/backend/max7800x.py`` (the values it programs for each operator) and ``izer/kernels.py``
(the order in which masks are counted).
"""

from __future__ import annotations

from collections.abc import Mapping

from evalkit.hardware.cnn.checks import check_layer
from evalkit.hardware.cnn.plan import Layer, Masks, Target
from evalkit.hardware.cnn.words import LayerRegisters
from synthesize.chip import limits, registers

_WEIGHT_BITS = {code: bits for bits, code in registers.WEIGHT_BITS_CODE.items()}
_INSTANCE_WORDS = limits.DATA_INSTANCE_WORDS

SAME_EVERYWHERE = (
    *(registers.RCNT, registers.CCNT, registers.ONED, registers.PRCNT, registers.PCCNT),
    *(registers.STRIDE, registers.WPTR_TOFF, registers.WPTR_MOFF, registers.WPTR_CHOFF),
    *(registers.MCNT, registers.TPTR, registers.LCTRL1),
)
"""Registers whose whole value must agree in all quadrants that take part."""


class Decoder:
    """Decodes layers; one whose registers are as they were is not decoded again."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, tuple[int, ...], bool], tuple[list[int | None], Layer]] = {}
        self._addresses: dict[tuple[int, tuple[int, ...]], list[int]] = {}

    def decode(
        self, words: Mapping[int, int], layer: int, quadrants: tuple[int, ...], stream: bool
    ) -> Layer:
        """As the function of the same name."""
        where = (layer, quadrants)
        if where not in self._addresses:
            streams = registers.STREAM_REGISTERS if layer < limits.MAX_STREAM_LAYERS else ()
            self._addresses[where] = [
                registers.layer_address(q, layer, register)
                for q in quadrants
                for register in (*registers.LAYER_REGISTERS, *streams)
            ]
        values = [words.get(address) for address in self._addresses[where]]
        known = self._known.get((*where, stream))
        if known is None or known[0] != values:
            known = self._known[(*where, stream)] = (values, decode(words, *where, stream))
        return known[1]


def decode(words: Mapping[int, int], layer: int, quadrants: tuple[int, ...], stream: bool) -> Layer:
    """Decode one layer.

    Args:
        words: register value by bus address.
        layer: layer number.
        quadrants: quadrants that take part, the leader first.
        stream: CTRL.stream_en of the leader.

    Raises:
        KitFault: fields that contradict each other, are out of range or not understood.
    """
    regs = LayerRegisters(words, layer, quadrants)
    _check_agreement(regs)
    convolve = _is_convolution(regs)
    oned = regs.get(registers.ONED, "oned_en") == 1
    rows, columns, pad = _input_size(regs, oned)
    spread = regs.get(registers.POST, "deconv_en") == 1
    if spread:
        rows, columns = _unspread(regs, rows, columns)
    kernel = _kernel(regs, oned, convolve)
    passes, flatten = _passes(regs, rows, columns, kernel)
    masks = _masks(regs, kernel) if convolve else None
    outputs, per_expansion = _outputs(regs, masks, passes)
    operands, function = _operands(regs, convolve)
    streaming, stream_words = _streaming(regs, stream)
    decoded = Layer(
        number=layer,
        quadrants=quadrants,
        processors=regs.processors(),
        read_word={q: regs.get(registers.RPTR_BASE, "rptr_base", q) for q in quadrants},
        parallel=regs.get(registers.LCTRL0, "parallel") == 1,
        passes=passes,
        flatten=flatten,
        operands=operands,
        function=function,
        prepool=regs.get(registers.ONED, "prepool") == 1,
        rows=rows,
        columns=columns,
        pad=pad,
        pool=_pool(regs, oned),
        stride=regs.get(registers.STRIDE, "stride") + 1,
        maximum=regs.get(registers.LCTRL0, "maxpl_en") == 1,
        spread=spread,
        kernel=kernel,
        masks=masks,
        outputs=outputs,
        per_expansion=per_expansion,
        shift=_shift(regs),
        relu=regs.get(registers.LCTRL0, "act_en") == 1,
        absolute=regs.get(registers.POST, "out_abs") == 1,
        wide=regs.get(registers.LCTRL0, "bigdwrt") == 1,
        bias=_bias(regs),
        targets=_targets(regs, convolve),
        time_slots=regs.get(registers.ONED, "tscnt_max") + 1,
        streaming=streaming,
        stream_words=stream_words,
    )
    check_layer(regs, decoded)
    return decoded


def _check_agreement(regs: LayerRegisters) -> None:
    """All quadrants that take part must run the same loop."""
    for quadrant in regs.quadrants[1:]:
        for register in SAME_EVERYWHERE:
            if regs.value(register, quadrant) != regs.value(register):
                raise regs.fault(
                    register,
                    None,
                    f"0x{regs.value(register, quadrant):x} differs from 0x"
                    f"{regs.value(register):x} in quadrant {regs.leader}, which it follows",
                    quadrant,
                )
        for register, own in (
            (registers.LCTRL0, ("cnnsi_en",)),
            (registers.POST, ("bptr_en", "bptr_sad")),
        ):
            for part in register.fields:
                here = part.of(regs.value(register, quadrant))
                if part.name not in own and here != part.of(regs.value(register)):
                    raise regs.fault(
                        register,
                        part.name,
                        f"{here} differs from quadrant {regs.leader}, which it follows",
                        quadrant,
                    )


def _is_convolution(regs: LayerRegisters) -> bool:
    """Whether processors multiply; all that read must do the same."""
    reading = multiplying = 0
    for quadrant in regs.quadrants:
        pro = regs.get(registers.EN, "pro_en", quadrant)
        mask = regs.get(registers.EN, "mask_en", quadrant)
        if mask & ~pro:
            raise regs.fault(
                registers.EN, "mask_en", "processors multiply that do not read", quadrant
            )
        if mask and mask != pro:
            raise regs.fault(
                registers.EN,
                "mask_en",
                "some processors multiply and some pass through, which is not modelled",
                quadrant,
            )
        reading += bin(pro).count("1")
        multiplying += bin(mask).count("1")
    if not reading:
        raise regs.fault(registers.EN, "pro_en", "no processor is enabled")
    if multiplying not in (0, reading):
        raise regs.fault(
            registers.EN,
            "mask_en",
            "some quadrants multiply and some pass through, which is not modelled",
        )
    return multiplying > 0


def _input_size(regs: LayerRegisters, oned: bool) -> tuple[int, int, tuple[int, int]]:
    """Rows and columns without padding, and the padding."""
    pad_rows = regs.get(registers.RCNT, "rcnt_pad")
    pad_columns = regs.get(registers.CCNT, "ccnt_pad")
    rows = regs.get(registers.RCNT, "rcnt_max") + 1 - 2 * pad_rows
    columns = regs.get(registers.CCNT, "ccnt_max") + 1 - 2 * pad_columns
    if oned and regs.get(registers.RCNT, "rcnt_max") == 0:
        rows, columns, pad_rows, pad_columns = columns, rows, pad_columns, pad_rows
    if rows < 1:
        raise regs.fault(registers.RCNT, "rcnt_max", f"{rows} rows are left without padding")
    if columns < 1:
        raise regs.fault(registers.CCNT, "ccnt_max", f"{columns} columns are left without padding")
    if oned and (columns != 1 or pad_columns):
        raise regs.fault(registers.CCNT, "ccnt_max", "a 1D layer has one column")
    for register, name, value in (
        (registers.RCNT, "rcnt_pad", pad_rows),
        (registers.CCNT, "ccnt_pad", pad_columns),
    ):
        if value > limits.MAX_PADDING:
            raise regs.fault(register, name, f"padding {value} is above {limits.MAX_PADDING}")
    return rows, columns, (pad_rows, pad_columns)


def _unspread(regs: LayerRegisters, rows: int, columns: int) -> tuple[int, int]:
    """Input size of a transposed convolution: the counters include the zeros in between."""
    if rows % 2 or columns % 2:
        raise regs.fault(
            registers.POST,
            "deconv_en",
            f"a transposed convolution counts even rows and columns, not {rows} x {columns}",
        )
    return rows // 2, columns // 2


def _kernel(regs: LayerRegisters, oned: bool, convolve: bool) -> tuple[int, int]:
    """Kernel rows and columns."""
    width = regs.get(registers.ONED, "oned_width")
    if oned:
        if not 1 <= width <= limits.MAX_CONV1D_LENGTH:
            raise regs.fault(
                registers.ONED,
                "oned_width",
                f"kernel length {width} is not 1 to {limits.MAX_CONV1D_LENGTH}",
            )
        return (width, 1)
    if not convolve:
        return (1, 1)
    if width > 1:
        raise regs.fault(registers.ONED, "oned_width", "must be 0 (3x3) or 1 (1x1) without oned_en")
    return (3, 3) if width == 0 else (1, 1)


def _passes(
    regs: LayerRegisters, rows: int, columns: int, kernel: tuple[int, int]
) -> tuple[int, bool]:
    """Input words per pixel, and whether the extended count for flattening is on."""
    low = regs.get(registers.LCTRL1, "inpchexp")
    high = regs.get(registers.POST, "xpmp_cnt")
    flatten = regs.get(registers.POST, "flatten_en") == 1
    if not flatten:
        if high:
            raise regs.fault(registers.POST, "xpmp_cnt", "is used only with flatten_en")
        return low + 1, False
    if (rows, columns) != (1, 1) or kernel != (1, 1):
        raise regs.fault(
            registers.POST, "flatten_en", "flattening needs a 1x1 kernel over one pixel"
        )
    passes = (high << 4 | low) + 1
    if regs.value(registers.TPTR) != registers.TPTR.encode(
        tptr_sad=passes - 1, tptr_max=2 * passes - 1
    ):
        raise regs.fault(registers.TPTR, "tptr_max", f"does not fit flattening of {passes} words")
    return passes, True


def _masks(regs: LayerRegisters, kernel: tuple[int, int]) -> Masks:
    first = regs.get(registers.MCNT, "mcnt_sad")
    last = regs.get(registers.MCNT, "mcnt_max")
    bits = _WEIGHT_BITS[regs.get(registers.POST, "mask_size")]
    if last < first or (last - first) % bits:
        raise regs.fault(
            registers.MCNT,
            "mcnt_max",
            f"0x{last:x} is not a whole number of {bits}-bit masks after mcnt_sad 0x{first:x}",
        )
    if first % bits:
        raise regs.fault(
            registers.MCNT, "mcnt_sad", f"0x{first:x} is not a multiple of {bits} bits"
        )
    skip = regs.get(registers.ONED, "oned_sad")
    taps = kernel[0] * kernel[1]
    masks = Masks(first, (last - first) // bits + 1, bits, taps, skip)
    if (last // 8 + 1) * taps + skip > limits.WEIGHT_BYTES_PER_PROCESSOR:
        raise regs.fault(
            registers.MCNT,
            "mcnt_max",
            f"masks run over the {limits.WEIGHT_WORDS} kernel words of a processor",
        )
    return masks


def _outputs(regs: LayerRegisters, masks: Masks | None, passes: int) -> tuple[int, int]:
    """Output channels, and how many of them share one expansion."""
    if masks is None:
        # Pass-through counts expansions where convolutions count masks.
        count = (regs.get(registers.MCNT, "mcnt_max") >> 3) + 1
        return count, 1
    if masks.count % passes:
        raise regs.fault(
            registers.MCNT,
            "mcnt_max",
            f"{masks.count} masks are not a whole number of outputs of {passes} passes",
        )
    outputs = masks.count // passes
    widest = regs.get(registers.LCTRL1, "xpch_max")
    if widest % masks.bits:
        raise regs.fault(
            registers.LCTRL1, "xpch_max", f"0x{widest:x} is not a multiple of {masks.bits} bits"
        )
    per_expansion = widest // masks.bits + 1
    if per_expansion > limits.PROCESSORS:
        raise regs.fault(
            registers.LCTRL1,
            "xpch_max",
            f"{per_expansion} channels per expansion are more than {limits.PROCESSORS}",
        )
    if outputs > per_expansion and not regs.value(registers.WPTR_CHOFF):
        raise regs.fault(
            registers.WPTR_CHOFF,
            "wptr_choff",
            f"{outputs} outputs in expansions of {per_expansion} are written over each other",
        )
    return outputs, per_expansion


def _operands(regs: LayerRegisters, convolve: bool) -> tuple[int, int | None]:
    """Operands per pixel and the element-wise function."""
    if not regs.get(registers.ONED, "ewise_en"):
        for name in ("ewise_cnt", "ewise_func", "prepool", "two_d_conv"):
            if regs.get(registers.ONED, name):
                raise regs.fault(registers.ONED, name, "is used only with ewise_en")
        return 1, None
    if convolve != bool(regs.get(registers.ONED, "two_d_conv")):
        raise regs.fault(
            registers.ONED,
            "two_d_conv",
            "must be set when, and only when, the element-wise result is convolved",
        )
    if regs.get(registers.ONED, "oned_en"):
        raise regs.fault(registers.ONED, "ewise_en", "1D layers have no element-wise operation")
    return regs.get(registers.ONED, "ewise_cnt") + 1, regs.get(registers.ONED, "ewise_func")


def _pool(regs: LayerRegisters, oned: bool) -> tuple[int, int]:
    rows = regs.get(registers.PRCNT, "prcnt_max") + 1
    columns = regs.get(registers.PCCNT, "pccnt_max") + 1
    if oned and regs.get(registers.RCNT, "rcnt_max") == 0:
        rows, columns = columns, rows
    if not regs.get(registers.LCTRL0, "pool_en"):
        if (rows, columns) != (1, 1):
            raise regs.fault(
                registers.LCTRL0, "pool_en", f"is off with a {rows}x{columns} pooling window"
            )
        return 1, 1
    return rows, columns


def _shift(regs: LayerRegisters) -> int:
    amount = regs.get(registers.POST, "scale_reg")
    return -amount if regs.get(registers.POST, "scale_shft") else amount


def _bias(regs: LayerRegisters) -> tuple[tuple[int, int], ...]:
    """(quadrant, first byte) of every bias that is added."""
    return tuple(
        (q, regs.get(registers.POST, "bptr_sad", q))
        for q in regs.quadrants
        if regs.get(registers.POST, "bptr_en", q)
    )


def _targets(regs: LayerRegisters, convolve: bool) -> dict[int, Target]:
    """Where each quadrant that writes does so."""
    increment = regs.get(registers.LCTRL1, "wptr_inc")
    step = increment + 1
    offset = registers.WPTR_MOFF if convolve else registers.WPTR_TOFF
    pointer = regs.value(offset)
    if pointer % _INSTANCE_WORDS and convolve:
        raise regs.fault(
            offset, None, f"0x{pointer:x} is not a whole number of data memory instances"
        )
    if convolve:
        writers: tuple[int, ...] = (regs.leader,)
    else:
        writers = tuple(q for q in regs.quadrants if regs.get(registers.EN, "pro_en", q))
    wide = 4 if regs.get(registers.LCTRL0, "bigdwrt") else 1
    targets = {}
    for quadrant in writers:
        base = regs.value(registers.WPTR_BASE, quadrant)
        targets[quadrant] = Target(
            instance=registers.WPTR_BASE.get(base, "instance"),
            word=registers.WPTR_BASE.get(base, "word"),
            instance_step=pointer // _INSTANCE_WORDS,
            step=step * wide,
            expansion_step=regs.value(registers.WPTR_CHOFF),
        )
    return targets


def _streaming(regs: LayerRegisters, stream: bool) -> tuple[bool, int]:
    """Whether the layer streams, and the words of its circular input buffer."""
    if not stream or regs.layer >= limits.MAX_STREAM_LAYERS:
        return False, 0
    words = regs.get(registers.FBUF, "fbuf_max")
    return words > 0, words
