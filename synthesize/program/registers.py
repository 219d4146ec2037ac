"""From a placed graph to register writes.

Every value is built with the field tables of :mod:`synthesize.chip.registers`. Only values that
differ from zero are written: the accelerator's layer registers are zero after reset. Facts on the
meaning of the fields: ai8x-synthesis ``izer/backend/max7800x.py``; checked word by word against
recorded programs of the public generator.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from synthesize.chip import limits
from synthesize.chip import registers as reg
from synthesize.graph.hardware import (
    as_run,
    frame_words,
    hardware_pad,
    line_buffer_words,
    pixels_before,
    pixels_flattened,
    rollover,
    stream_counts,
)
from synthesize.graph.ir import Graph, Layer
from synthesize.graph.masks import bit_count, bits_of, first_bit, last_bit
from synthesize.place.geometry import time_slots
from synthesize.place.placement import LayerPlace, Placement
from synthesize.program.program import RegisterWrite

FIFO_ALMOST_FULL = 2
FIFO_ALMOST_EMPTY = 2


@dataclass(frozen=True)
class _Context:
    """One hardware layer being lowered."""

    graph: Graph
    placement: Placement
    index: int
    layer: Layer
    place: LayerPlace

    @property
    def passthrough(self) -> bool:
        return self.layer.op == "passthrough"

    @property
    def chw(self) -> bool:
        return self.placement.chw and self.index == 0

    @property
    def one_by_one(self) -> bool:
        return self.layer.op in ("conv2d", "linear") and self.layer.kernel == (1, 1)

    @property
    def many_operands(self) -> bool:
        """Element-wise pass-through with several passes: rows are stretched by the passes.

        Two operands in two passes run as they are (ai8x-synthesis ``izer/backend/max7800x.py``,
        ``emulate_eltwise``).
        """
        operands, passes = self.layer.operands, self.place.passes
        several = operands > 1 and passes > 1 and (operands, passes) != (2, 2)
        return self.passthrough and several

    @property
    def flat(self) -> int:
        """Last (pass, pixel) number of a flattening layer, counted from 0; 0 for others."""
        return self.place.passes * pixels_flattened(self.layer) - 1 if self.layer.flatten else 0

    def in_quadrant(self, mask: int, quadrant: int) -> int:
        per = limits.PROCESSORS_PER_QUADRANT
        return mask >> (quadrant * per) & ((1 << per) - 1)


def initialise(graph: Graph, placement: Placement) -> list[RegisterWrite]:
    """Return the writes that bring the accelerator out of reset, before weights are loaded."""
    writes = [RegisterWrite(reg.shared_address(reg.AOD_CTRL), 0, "all quadrants powered")]
    control = reg.CTRL.encode(clk_en=1, mexpress=1, fifo_en=int(placement.fifo))
    layers = reg.LCNT_MAX.encode(lcnt=len(graph.layers) - 1)
    for quadrant in placement.quadrants:
        for register, value, comment in (
            (reg.CTRL, control, "stopped, clocks on"),
            (reg.SRAM, reg.SRAM_SETTING, "memory timing"),
            (reg.LCNT_MAX, layers, "last layer"),
        ):
            address = reg.global_address(quadrant, register)
            writes.append(RegisterWrite(address, value, f"quadrant {quadrant}: {comment}"))
    return writes


def configure(graph: Graph, placement: Placement) -> list[RegisterWrite]:
    """Return the writes that configure all layers, and the FIFOs when they are used."""
    writes: list[RegisterWrite] = []
    for index, layer in enumerate(graph.layers):
        context = _context(graph, placement, index)
        for quadrant in placement.quadrants:
            for register, value in layer_registers(context, quadrant):
                if value:
                    address = reg.layer_address(quadrant, index, register)
                    comment = f"{layer.name}, quadrant {quadrant}: {register.name}"
                    writes.append(RegisterWrite(address, value, comment))
            if index == 0 and placement.fifo:
                frame = reg.IFRM.encode(ifrm=frame_words(as_run(layer), placement.chw))
                address = reg.global_address(quadrant, reg.IFRM)
                writes.append(RegisterWrite(address, frame, "words of one input frame"))
    if placement.fifo:
        writes.append(_fifo_control(placement))
    return writes


def start(placement: Placement) -> list[RegisterWrite]:
    """Return the writes that start the accelerator, the first quadrant (the master) last."""
    streaming = any(place.streaming for place in placement.layers)
    common = {
        "stream_en": int(streaming),
        "lilbuf": int(placement.fifo and streaming),
        "fifo_en": int(placement.fifo),
        "clk_en": 1,
        "mexpress": 1,
    }
    master = placement.quadrants[0]
    follow = 4 | master
    writes = []
    for quadrant in placement.quadrants:
        value = reg.CTRL.encode(**common, ext_sync=follow, cnn_en=int(quadrant != master))
        address = reg.global_address(quadrant, reg.CTRL)
        writes.append(RegisterWrite(address, value, f"quadrant {quadrant}: enable"))
    # With FIFOs the master keeps following itself; without, it runs free.
    extra = {"ext_sync": 4} if placement.fifo else {}
    value = reg.CTRL.encode(**common, cnn_en=1, **extra)
    writes.append(RegisterWrite(reg.global_address(master, reg.CTRL), value, "start"))
    return writes


def _context(graph: Graph, placement: Placement, index: int) -> _Context:
    """Return a layer as it runs, writing from its first pixel on, wanted or not."""
    layer, place = graph.layers[index], placement.layers[index]
    words = place.out_passes * (place.write_gap + 1) * (4 if layer.wide else 1)
    before = pixels_before(layer) * words
    place = replace(place, out_offset=place.out_offset - 4 * before)
    return _Context(graph, placement, index, as_run(layer), place)


def layer_registers(c: _Context, quadrant: int) -> Iterator[tuple[reg.Register, int]]:
    """Yield (register, value) of one layer in one quadrant, zero values included."""
    yield reg.RCNT, _count(reg.RCNT, "rcnt", *_rows(c))
    yield reg.CCNT, _count(reg.CCNT, "ccnt", *_columns(c))
    yield reg.PRCNT, reg.PRCNT.encode(prcnt_max=c.layer.pool_size[0] - 1)
    yield reg.PCCNT, reg.PCCNT.encode(pccnt_max=c.layer.pool_size[1] - 1)
    yield reg.STRIDE, reg.STRIDE.encode(stride=_stride(c))
    yield from _write_pointers(c, quadrant)
    yield reg.RPTR_BASE, reg.RPTR_BASE.encode(rptr_base=c.place.in_offset // 4)
    yield reg.LCTRL0, _control(c, quadrant)
    yield reg.LCTRL1, _control1(c)
    yield reg.MCNT, _mask_count(c)
    yield reg.ONED, _one_d(c)
    yield reg.TPTR, _line_buffer(c)
    yield reg.POST, _post(c, quadrant)
    enabled = c.in_quadrant(c.place.processors, quadrant)
    yield reg.EN, reg.EN.encode(pro_en=enabled, mask_en=0 if c.passthrough else enabled)
    if c.index < limits.MAX_STREAM_LAYERS:
        yield from _streaming(c)


def _count(register: reg.Register, prefix: str, size: int, pad: int) -> int:
    return register.encode(
        **{f"{prefix}_max": size - 1 + 2 * pad, f"{prefix}_pad": pad},
    )


def _rows(c: _Context) -> tuple[int, int]:
    if c.layer.flatten:
        return c.layer.pool_size[0], hardware_pad(c.layer)[0]
    rows = c.layer.in_shape[1]
    if c.layer.op == "convtranspose2d":
        rows *= c.layer.stride[0]
    elif c.many_operands:
        rows *= c.place.passes
    return rows, hardware_pad(c.layer)[0]


def _columns(c: _Context) -> tuple[int, int]:
    if c.layer.flatten:
        return c.layer.pool_size[1], hardware_pad(c.layer)[1]
    cols = c.layer.in_shape[2]
    if c.layer.op == "convtranspose2d":
        cols *= c.layer.stride[1]
    return cols, hardware_pad(c.layer)[1]


def _stride(c: _Context) -> int:
    return 0 if c.layer.op == "convtranspose2d" else c.layer.pool_stride[0] - 1


def _write_pointers(c: _Context, quadrant: int) -> Iterator[tuple[reg.Register, int]]:
    outputs = c.place.output_processors
    if c.passthrough:
        # A pass-through layer writes per quadrant, so each has a first processor of its own.
        per = limits.PROCESSORS_PER_QUADRANT
        outputs &= ((1 << per) - 1) << (quadrant * per)
    instance = first_bit(outputs) // limits.PROCESSORS_PER_INSTANCE if outputs else 0
    word = c.place.out_offset // 4
    yield reg.WPTR_BASE, reg.WPTR_BASE.encode(word=word, instance=instance)
    slot = 0
    if c.one_by_one:
        slot = 1
    elif c.passthrough:
        several = c.layer.operands > 1 and c.place.passes > 1
        quads = 4 if bit_count(c.place.processors) > 4 or several else 1
        slot = quads * limits.DATA_INSTANCE_WORDS // 4
    yield reg.WPTR_TOFF, reg.WPTR_TOFF.encode(wptr_toff=slot)
    group = 0 if c.passthrough else limits.DATA_INSTANCE_WORDS
    yield reg.WPTR_MOFF, reg.WPTR_MOFF.encode(wptr_moff=group)
    step = 0
    if c.place.out_passes > 1:
        step = (4 if c.layer.wide else 1) * (c.place.write_gap + 1)
    yield reg.WPTR_CHOFF, reg.WPTR_CHOFF.encode(wptr_choff=step)


def _control(c: _Context, quadrant: int) -> int:
    pool = c.layer.pool
    sources = 0
    if not c.passthrough and quadrant == c.placement.quadrants[0]:
        # The master adds up the sums of all other quadrants at work and fetches the bias. Bit n
        # stands for the n-th quadrant behind it.
        for other in range(quadrant + 1, limits.QUADRANTS):
            if c.in_quadrant(c.place.processors, other) or c.place.bias_quadrant == other:
                sources |= 1 << (other - quadrant)
    return reg.LCTRL0.encode(
        act_en=int(c.layer.activation == "relu"),
        maxpl_en=int(pool is None or pool.kind == "max"),
        pool_en=int(c.layer.pool_size != (1, 1)),
        parallel=int(c.chw),
        master=1,
        sramlsrc=1,
        bigdwrt=int(c.layer.wide),
        cnnsi_en=sources,
    )


def _control1(c: _Context) -> int:
    outputs = c.place.output_processors
    lowest = first_bit(outputs) // limits.PROCESSORS_PER_INSTANCE * limits.PROCESSORS_PER_INSTANCE
    if c.layer.flatten:
        passes = c.flat & 0xF
    elif c.many_operands:
        passes = 0
    else:
        passes = c.place.passes - 1
    if c.passthrough:
        return reg.LCTRL1.encode(inpchexp=passes, wptr_inc=c.place.write_gap)
    return reg.LCTRL1.encode(
        inpchexp=passes,
        wptr_inc=c.place.out_passes * (c.place.write_gap + 1) - 1,
        xpch_max=(last_bit(outputs) - lowest) * c.layer.bits,
    )


def _mask_count(c: _Context) -> int:
    if c.many_operands:
        return 0
    if c.passthrough:
        return reg.MCNT.encode(mcnt_max=(c.place.out_passes - 1) * 8)
    first = 9 * c.place.first_word // (c.layer.kernel[0] * c.layer.kernel[1]) * 8
    last = first + (c.place.kernels - 1) * c.layer.bits
    return reg.MCNT.encode(mcnt_sad=first, mcnt_max=last)


def _one_d(c: _Context) -> int:
    fields = {"tscnt_max": time_slots(c.layer, c.place) - 1}
    if c.layer.op == "conv1d":
        fields |= {"oned_width": c.layer.kernel[0], "oned_en": 1}
    elif c.one_by_one or (c.passthrough and c.layer.operands == 1):
        fields["oned_width"] = 1
    if not c.passthrough:
        taps = c.layer.kernel[0] * c.layer.kernel[1]
        fields["oned_sad"] = 9 * c.place.first_word % taps
    if c.layer.operands > 1:
        fields |= {
            "ewise_en": 1,
            "ewise_func": reg.ELEMENTWISE_CODE[c.layer.join],
            "ewise_cnt": c.layer.operands - 1,
            "prepool": int(c.layer.pool_size != (1, 1) and c.layer.pool_first),
            "two_d_conv": int(not c.passthrough),
        }
    return reg.ONED.encode(**fields)


def _line_buffer(c: _Context) -> int:
    small = c.layer.op == "conv1d" or c.one_by_one
    if small and (c.index == 0 or not c.place.streaming):
        if c.flat < 16:
            return 0
        return reg.TPTR.encode(tptr_sad=c.flat, tptr_max=2 * c.flat + 1)
    before = 0
    if c.index > 0 and c.place.streaming:
        # Layers that stream run at the same time, so their line buffers lie behind one another.
        before = sum(
            line_buffer_words(layer) * place.passes
            for layer, place in zip(
                c.graph.layers[: c.index], c.placement.layers[: c.index], strict=True
            )
        )
    return reg.TPTR.encode(tptr_sad=before, tptr_max=before + line_buffer_words(c.layer) - 1)


def _post(c: _Context, quadrant: int) -> int:
    layer = c.layer
    fields = {
        "scale_reg": abs(layer.shift),
        "scale_shft": int(layer.shift < 0),
        "out_abs": int(layer.activation == "abs"),
        "deconv_en": int(layer.op == "convtranspose2d"),
    }
    if not c.passthrough:
        fields["mask_size"] = reg.WEIGHT_BITS_CODE[layer.bits]
    else:
        fields |= {"ts_en": 1, "onexone_en": int(layer.operands == 1)}
    if c.place.bias_quadrant == quadrant:
        fields |= {"bptr_en": 1, "bptr_sad": c.place.bias_offset}
    if c.flat >= 16:
        fields |= {"flatten_en": 1, "xpmp_cnt": c.flat >> 4}
    return reg.POST.encode(**fields)


def _streaming(c: _Context) -> Iterator[tuple[reg.Register, int]]:
    fifo, streaming = c.placement.fifo, c.place.streaming
    begin, delta1, delta2 = stream_counts(c.graph, c.index, streaming, fifo, c.chw)
    yield reg.STRM0, reg.STRM0.encode(strm_isval=begin)
    offset = 0
    if c.index > 0 and c.place.streaming:
        offset = sum(place.passes for place in c.placement.layers[: c.index])
    yield (
        reg.STRM1,
        reg.STRM1.encode(strm_invol=offset, strm_dsval1=delta1, strm_dsval2=delta2),
    )
    if fifo and streaming:
        yield reg.FBUF, reg.FBUF.encode(fbuf_max=rollover(c.graph, c.index, c.chw))


def _fifo_control(placement: Placement) -> RegisterWrite:
    processors = bits_of(placement.layers[0].processors)
    enabled = sum({1 << p // limits.PROCESSORS_PER_QUADRANT for p in processors})
    value = reg.FIFO_CTRL.encode(
        almost_full=FIFO_ALMOST_FULL, almost_empty=FIFO_ALMOST_EMPTY, cpl=1, fifo_en=enabled
    )
    return RegisterWrite(reg.shared_address(reg.FIFO_CTRL), value, "FIFOs on")
