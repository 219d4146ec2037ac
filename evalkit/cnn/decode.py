"""From the register words of all quadrants to what one layer does.

Nothing here knows how the words came about. Every combination of fields that is not understood
stops with a KitFault that names layer, register and field.

Sources for the meaning of the fields: MAX78000 User Guide (CNN chapter), ai8x-synthesis
``izer/backend/max7800x.py`` (the values it programs for each operator) and ``izer/kernels.py``
(the order in which masks are counted).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evalkit.cnn.faults import KitFault
from synthesize.chip import limits, registers
from synthesize.chip.cycles import LayerGeometry
from synthesize.chip.registers import Register

_WEIGHT_BITS = {code: bits for bits, code in registers.WEIGHT_BITS_CODE.items()}
_INSTANCE_WORDS = limits.DATA_INSTANCE_WORDS
_PER_QUADRANT = limits.PROCESSORS_PER_QUADRANT

SAME_EVERYWHERE = (
    *(registers.RCNT, registers.CCNT, registers.ONED, registers.PRCNT, registers.PCCNT),
    *(registers.STRIDE, registers.WPTR_TOFF, registers.WPTR_MOFF, registers.WPTR_CHOFF),
    *(registers.MCNT, registers.TPTR, registers.LCTRL1),
)
"""Registers whose whole value must agree in all quadrants that take part."""


@dataclass(frozen=True)
class Masks:
    """Where a layer's weights are and in which order the mask logic counts through them.

    Mask number ``j`` (output ``j // passes``, pass ``j % passes``) is at kernel
    ``(first + j * bits) // 8`` and bit ``(first + j * bits) % 8``; kernel ``k`` of ``taps`` bytes
    starts ``k * taps + skip`` bytes into the weight memory.
    """

    first: int
    count: int
    bits: int
    taps: int
    skip: int

    def first_kernel_word(self) -> int:
        """72-bit word in which the first mask lies."""
        byte = (self.first >> 3) * self.taps + self.skip
        return byte // limits.WEIGHT_WORD_BYTES


@dataclass(frozen=True)
class Target:
    """Where outputs go.

    instance, word: first data memory instance and word.
    instance_step: instances from one group of four channels (or time slot) to the next.
    step: words from one output pixel to the next.
    expansion_step: words from one expansion to the next.
    """

    instance: int
    word: int
    instance_step: int
    step: int
    expansion_step: int


@dataclass(frozen=True)
class Layer:
    """One layer, decoded.

    quadrants: those that take part, the leader first.
    processors: chip-wide numbers of the processors that read, ascending.
    read_word: first input word, per quadrant.
    rows, columns: of the input, without padding or spread zeros.
    pad, pool, stride, maximum: of the input window; ``pool`` is (1, 1) without pooling.
    passes: input words per pixel and operand; flattened pixels count as passes.
    masks: None for pass-through.
    kernel: rows, columns; (1, 1) for pass-through.
    outputs: output channels, expansions and rounding included; per_expansion of them each.
    targets: one, or for pass-through one per quadrant that reads.
    bias: (quadrant, first byte) pairs that are added.
    """

    number: int
    quadrants: tuple[int, ...]
    processors: tuple[int, ...]
    read_word: Mapping[int, int]
    parallel: bool
    passes: int
    flatten: bool
    operands: int
    function: int | None
    prepool: bool
    rows: int
    columns: int
    pad: tuple[int, int]
    pool: tuple[int, int]
    stride: int
    maximum: bool
    spread: bool
    kernel: tuple[int, int]
    masks: Masks | None
    outputs: int
    per_expansion: int
    shift: int
    relu: bool
    absolute: bool
    wide: bool
    bias: tuple[tuple[int, int], ...]
    targets: Mapping[int, Target]
    time_slots: int
    streaming: bool
    stream_words: int

    @property
    def pooled(self) -> tuple[int, int]:
        """Rows and columns after pooling."""
        return (
            (self.rows - self.pool[0]) // self.stride + 1,
            (self.columns - self.pool[1]) // self.stride + 1,
        )

    @property
    def spread_size(self) -> tuple[int, int]:
        """Rows and columns that the convolution sees, without padding."""
        factor = 2 if self.spread else 1
        return self.pooled[0] * factor, self.pooled[1] * factor

    @property
    def output_size(self) -> tuple[int, int]:
        """Rows and columns of the output."""
        size, pad, kernel = self.spread_size, self.pad, self.kernel
        return (size[0] + 2 * pad[0] - kernel[0] + 1, size[1] + 2 * pad[1] - kernel[1] + 1)

    @property
    def input_words(self) -> int:
        """Words read from each data memory instance."""
        pixels = self.rows * self.columns
        return (pixels + 3) // 4 if self.parallel else pixels * self.passes * self.operands

    @property
    def expansions(self) -> int:
        """Groups of output channels that share processors."""
        return -(-self.outputs // self.per_expansion)

    def geometry(self) -> LayerGeometry:
        """What the cycle model needs."""
        # How many of a flattening layer's words are pixels cannot be seen in the registers; the
        # cycles depend on the product only.
        return LayerGeometry(
            kernel=self.kernel,
            pad=self.pad,
            pooled=self.spread_size,
            pool=self.pool,
            passes=self.passes,
            outputs=self.outputs,
            output_columns=self.output_size[1],
            operands=self.operands,
            pool_first=self.prepool or self.pool == (1, 1) or self.operands == 1,
            passthrough=self.masks is None,
            time_slots=self.time_slots,
            expansions=self.expansions,
            flatten_long=self.flatten,
            streaming=self.streaming,
            kernel_word=self.masks.first_kernel_word() if self.masks else 0,
        )


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
            _PER_QUADRANT * q + p
            for q in sorted(self.quadrants)
            for p in range(_PER_QUADRANT)
            if self.get(registers.EN, "pro_en", q) >> p & 1
        )


def decode(
    words: Mapping[int, int], layer: int, quadrants: tuple[int, ...], stream: bool
) -> Layer:
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
    _check_layer(regs, decoded)
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
        for register, own in ((registers.LCTRL0, ("cnnsi_en",)),
                              (registers.POST, ("bptr_en", "bptr_sad"))):
            for part in register.fields:
                here = part.of(regs.value(register, quadrant))
                if part.name not in own and here != part.of(regs.value(register)):
                    raise regs.fault(
                        register, part.name,
                        f"{here} differs from quadrant {regs.leader}, which it follows", quadrant,
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
                registers.EN, "mask_en",
                "some processors multiply and some pass through, which is not modelled", quadrant,
            )
        reading += bin(pro).count("1")
        multiplying += bin(mask).count("1")
    if not reading:
        raise regs.fault(registers.EN, "pro_en", "no processor is enabled")
    if multiplying not in (0, reading):
        raise regs.fault(
            registers.EN, "mask_en",
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
        raise regs.fault(
            registers.CCNT, "ccnt_max", f"{columns} columns are left without padding"
        )
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
            registers.POST, "deconv_en",
            f"a transposed convolution counts even rows and columns, not {rows} x {columns}",
        )
    return rows // 2, columns // 2


def _kernel(regs: LayerRegisters, oned: bool, convolve: bool) -> tuple[int, int]:
    """Kernel rows and columns."""
    width = regs.get(registers.ONED, "oned_width")
    if oned:
        if not 1 <= width <= limits.MAX_CONV1D_LENGTH:
            raise regs.fault(
                registers.ONED, "oned_width",
                f"kernel length {width} is not 1 to {limits.MAX_CONV1D_LENGTH}",
            )
        return (width, 1)
    if not convolve:
        return (1, 1)
    if width > 1:
        raise regs.fault(
            registers.ONED, "oned_width", "must be 0 (3x3) or 1 (1x1) without oned_en"
        )
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
        raise regs.fault(
            registers.TPTR, "tptr_max", f"does not fit flattening of {passes} words"
        )
    return passes, True


def _masks(regs: LayerRegisters, kernel: tuple[int, int]) -> Masks:
    first = regs.get(registers.MCNT, "mcnt_sad")
    last = regs.get(registers.MCNT, "mcnt_max")
    bits = _WEIGHT_BITS[regs.get(registers.POST, "mask_size")]
    if last < first or (last - first) % bits:
        raise regs.fault(
            registers.MCNT, "mcnt_max",
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
            registers.MCNT, "mcnt_max",
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
            registers.MCNT, "mcnt_max",
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
            registers.LCTRL1, "xpch_max",
            f"{per_expansion} channels per expansion are more than {limits.PROCESSORS}",
        )
    if outputs > per_expansion and not regs.value(registers.WPTR_CHOFF):
        raise regs.fault(
            registers.WPTR_CHOFF, "wptr_choff",
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
            registers.ONED, "two_d_conv",
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


def _check_layer(regs: LayerRegisters, layer: Layer) -> None:
    """Combinations that cannot work or are not modelled."""
    _check_control(regs, layer)
    _check_sum(regs, layer)
    if layer.rows < layer.pool[0] or layer.columns < layer.pool[1]:
        raise regs.fault(
            registers.PRCNT, "prcnt_max",
            f"the pooling window {layer.pool[0]}x{layer.pool[1]} is larger than the input"
            f" {layer.rows}x{layer.columns}",
        )
    if min(layer.output_size) < 1:
        raise regs.fault(
            registers.RCNT, "rcnt_max",
            f"the input is smaller than the kernel: {layer.output_size[0]} x"
            f" {layer.output_size[1]} outputs",
        )
    if layer.kernel == (3, 3) and not layer.streaming:
        _check_line_buffer(regs, layer)
    if layer.masks is None:
        _check_passthrough(regs, layer)
    elif regs.get(registers.POST, "ts_en") or regs.get(registers.POST, "onexone_en"):
        raise regs.fault(
            registers.POST, "ts_en", "time slots in a convolution are not modelled"
        )


def _check_control(regs: LayerRegisters, layer: Layer) -> None:
    for quadrant in layer.quadrants:
        if not regs.get(registers.LCTRL0, "sramlsrc", quadrant):
            raise regs.fault(
                registers.LCTRL0, "sramlsrc", "output to local memory is not modelled", quadrant
            )
    if not regs.get(registers.LCTRL0, "master"):
        raise regs.fault(registers.LCTRL0, "master", "the leading quadrant forms no sum")
    if layer.wide and (layer.relu or layer.absolute):
        register = registers.LCTRL0 if layer.relu else registers.POST
        raise regs.fault(
            register, "act_en" if layer.relu else "out_abs",
            "an activation of 32-bit output is not modelled",
        )
    if layer.parallel:
        if layer.passes > 1 or layer.operands > 1:
            raise regs.fault(
                registers.LCTRL0, "parallel", "is not modelled with several passes or operands"
            )
        if any(p % limits.PROCESSORS_PER_INSTANCE for p in layer.processors):
            raise regs.fault(
                registers.LCTRL0, "parallel",
                "only the first processor of each four can read one channel per word",
            )
    if layer.spread and (layer.pool != (1, 1) or layer.kernel != (3, 3)):
        raise regs.fault(
            registers.POST, "deconv_en", "is modelled for 3x3 kernels without pooling only"
        )


def _check_sum(regs: LayerRegisters, layer: Layer) -> None:
    """Every quadrant that multiplies or adds a bias must reach the leader's sum."""
    feeds = regs.get(registers.LCTRL0, "cnnsi_en")
    reached = {layer.quadrants[0]}
    for distance in range(1, limits.QUADRANTS):
        if feeds >> distance & 1:
            quadrant = (layer.quadrants[0] + distance) % limits.QUADRANTS
            if quadrant not in layer.quadrants:
                raise regs.fault(
                    registers.LCTRL0, "cnnsi_en",
                    f"adds the sum of quadrant {quadrant}, which does not take part",
                )
            reached.add(quadrant)
    if feeds & 1:
        raise regs.fault(registers.LCTRL0, "cnnsi_en", "bit 0 would add a quadrant to itself")
    if layer.masks is None:
        return
    wanted = {p // _PER_QUADRANT for p in layer.processors} | {q for q, _ in layer.bias}
    for quadrant in sorted(wanted - reached):
        raise regs.fault(
            registers.LCTRL0, "cnnsi_en",
            f"the sum of quadrant {quadrant} is computed but not added",
        )


def _check_line_buffer(regs: LayerRegisters, layer: Layer) -> None:
    words = regs.get(registers.TPTR, "tptr_max") - regs.get(registers.TPTR, "tptr_sad") + 1
    if words != layer.output_size[1]:
        raise regs.fault(
            registers.TPTR, "tptr_max",
            f"the line buffer has {words} words for rows of {layer.output_size[1]} outputs",
        )
    if regs.get(registers.TPTR, "tptr_max") >= limits.TRAM_WORDS:
        raise regs.fault(
            registers.TPTR, "tptr_max", f"the line buffer ends after {limits.TRAM_WORDS} words"
        )


def _check_passthrough(regs: LayerRegisters, layer: Layer) -> None:
    if not regs.get(registers.POST, "ts_en"):
        raise regs.fault(registers.POST, "ts_en", "a pass-through layer writes by time slots")
    if layer.operands == 1 and not regs.get(registers.POST, "onexone_en"):
        raise regs.fault(registers.POST, "onexone_en", "must be set in a pass-through layer")
    for register, name, wrong in (
        (registers.LCTRL0, "act_en", layer.relu),
        (registers.POST, "out_abs", layer.absolute),
        (registers.LCTRL0, "bigdwrt", layer.wide),
        (registers.POST, "bptr_en", bool(layer.bias)),
        (registers.POST, "scale_reg", layer.shift != 0),
        (registers.RCNT, "rcnt_pad", layer.pad != (0, 0)),
        (registers.POST, "deconv_en", layer.spread),
        (registers.POST, "flatten_en", layer.flatten),
    ):
        if wrong:
            raise regs.fault(register, name, "is not modelled in a pass-through layer")
    widest = max(
        sum(p // _PER_QUADRANT == q for p in layer.processors) for q in layer.targets
    )
    needed = -(-widest // limits.PROCESSORS_PER_INSTANCE)
    if layer.time_slots < needed:
        raise regs.fault(
            registers.ONED, "tscnt_max",
            f"{layer.time_slots} time slots are too few for {widest} processors in a quadrant",
        )
    if needed > 1 and regs.value(registers.WPTR_TOFF) % _INSTANCE_WORDS:
        raise regs.fault(
            registers.WPTR_TOFF, "wptr_toff", "is not a whole number of data memory instances"
        )
