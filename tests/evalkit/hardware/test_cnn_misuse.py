"""Wrong programs are stopped, with the register, field, layer and address in the message."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from evalkit.hardware.cnn import Cnn, KitFault
from synthesize.chip import memory_map
from synthesize.chip import registers as r
from tests.helpers.cnn_programs import (
    CLOCKED,
    LayerSpec,
    configure,
    fill,
    layer_words,
    load_weights,
    run,
    start,
)

SPEC = LayerSpec(processors=(0, 1), outputs=2, pad=1)


def ready(spec: LayerSpec = SPEC, words: dict[int, int] | None = None) -> Cnn:
    """A configured and filled accelerator, not started."""
    cnn = Cnn()
    configure(cnn, layer_words(spec) if words is None else words)
    fill(cnn, spec)
    return cnn


def changed(spec: LayerSpec, register: r.Register, quadrant: int = 0, **fields: int) -> dict:
    """Register words of a layer with some fields of one register replaced."""
    words = layer_words(spec)
    address = r.layer_address(quadrant, 0, register)
    words[address] = register.encode(**{**register.decode(words[address]), **fields})
    return words


def fault_of(action: Callable[[], object]) -> KitFault:
    with pytest.raises(KitFault) as caught:
        action()
    return caught.value


def fault_of_run(spec: LayerSpec, words: dict[int, int] | None = None) -> KitFault:
    cnn = ready(spec, words)
    return fault_of(lambda: start(cnn, spec.quadrants))


def check(fault: KitFault, register: r.Register, field: str | None, text: str) -> None:
    """The fault names register, field, layer and address, also in its text."""
    assert fault.register == register.name
    assert fault.field == field
    assert text in fault.message
    assert fault.address is not None
    place = r.register_at(fault.address)
    assert place is not None
    assert place.register is register
    assert fault.layer == (place.layer if place.layer >= 0 else None)
    assert f"0x{fault.address:08x}" in str(fault)
    assert f"{place}.{field}" in str(fault) if field else str(place) in str(fault)


def test_the_program_these_tests_break_runs() -> None:
    cnn = run(SPEC)
    assert cnn.interrupt_pending
    assert not cnn.running


# ---- accesses ----------------------------------------------------------------------------------


@pytest.mark.parametrize("address", [0x50000018, 0x50101004, 0x50110000 + 0x3000, 0x51020000])
def test_nothing_at_the_address(address: int) -> None:
    cnn = ready()
    assert "nothing is at this address" in fault_of(lambda: cnn.write(address, 4, 0)).message
    assert f"0x{address:08x}" in str(fault_of(lambda: cnn.read(address, 4)))


@pytest.mark.parametrize(("address", "size"), [(0x50100000, 1), (0x50100010, 2), (0x50100011, 4)])
def test_registers_take_words(address: int, size: int) -> None:
    fault = fault_of(lambda: ready().write(address, size, 0))
    assert "aligned 32-bit accesses" in fault.message


@pytest.mark.parametrize("size", [1, 2])
def test_data_memory_takes_words(size: int) -> None:
    fault = fault_of(lambda: ready().write(memory_map.data_address(0), size, 0))
    assert "aligned 32-bit accesses" in fault.message


def test_reserved_bit() -> None:
    address = r.layer_address(1, 3, r.LCTRL0)
    fault = fault_of(lambda: ready().write(address, 4, 1 << 20))
    check(fault, r.LCTRL0, "reserved_31_17", "reserved")
    assert str(fault).startswith("quadrant 1, layer 3, LCTRL0.reserved_31_17 (0x5050059c)")


def test_stream_register_of_a_layer_that_cannot_stream() -> None:
    address = r.layer_address(0, 0, r.FBUF) + 4 * 8
    fault = fault_of(lambda: ready().write(address, 4, 1))
    assert "reserved" in fault.message
    assert fault.layer == 8
    ready().write(address, 4, 0)


def test_field_that_is_not_modelled() -> None:
    fault = fault_of(lambda: ready().write(r.layer_address(0, 0, r.LCTRL0), 4, 1))
    check(fault, r.LCTRL0, "sslave", "not modelled")
    fault = fault_of(lambda: ready().write(r.global_address(2, r.CTRL), 4, CLOCKED | 1 << 31))
    check(fault, r.CTRL, "qupac", "not modelled")


def test_reading_a_word_that_was_never_written() -> None:
    fault = fault_of(lambda: ready().read(memory_map.data_address(60, 7), 4))
    assert "never written" in fault.message
    assert "data memory 15, word 7" in str(fault)


def test_fifo_cannot_be_read() -> None:
    fault = fault_of(lambda: ready().read(memory_map.FIFO_WRITE[0], 4))
    check(fault, r.FIFO_WR0, None, "can only be written")


# ---- clocks and power --------------------------------------------------------------------------


def test_memory_without_clock() -> None:
    cnn = Cnn()
    fault = fault_of(lambda: cnn.write(memory_map.data_address(16), 4, 1))
    assert "clock of quadrant 1 is off (CTRL.clk_en)" in fault.message


def test_start_without_clock() -> None:
    cnn = ready()
    address = r.global_address(0, r.CTRL)
    check(fault_of(lambda: cnn.write(address, 4, 1)), r.CTRL, "clk_en", "without its clock")


def test_output_into_a_quadrant_without_clock() -> None:
    spec = replace(SPEC, out_instance=8)
    cnn = ready(spec)
    cnn.write(r.global_address(2, r.CTRL), 4, 0)
    fault = fault_of(lambda: start(cnn))
    check(fault, r.WPTR_BASE, "instance", "quadrant 2, whose clock is off")


def test_quadrant_that_is_powered_off() -> None:
    cnn = ready()
    cnn.write(memory_map.AOD_CTRL, 4, r.AOD_CTRL.encode(group_off=0b1000))
    fault = fault_of(lambda: cnn.write(r.global_address(3, r.CTRL), 4, CLOCKED))
    check(fault, r.CTRL, None, "quadrant 3 is powered off (AOD_CTRL.group_off)")


def test_memory_asleep() -> None:
    cnn = ready()
    cnn.write(r.global_address(0, r.SRAM), 4, r.SRAM_SETTING | r.SRAM.encode(ds=1))
    fault = fault_of(lambda: cnn.read(memory_map.data_address(0), 4))
    assert "asleep or powered down (SRAM.ds, pd)" in fault.message


def test_power_down_loses_the_contents() -> None:
    cnn = ready()
    setting = r.SRAM_SETTING
    cnn.write(r.global_address(0, r.SRAM), 4, setting | r.SRAM.encode(pd=1))
    cnn.write(r.global_address(0, r.SRAM), 4, setting)
    check(fault_of(lambda: start(cnn)), r.MCNT, "mcnt_sad", "never written")


# ---- while running -----------------------------------------------------------------------------


def test_accesses_while_running() -> None:
    cnn = ready()
    start(cnn)
    assert cnn.running
    for address in (memory_map.data_address(0), memory_map.weight_address(0)):
        message = fault_of(lambda a=address: cnn.write(a, 4, 0)).message
        assert "while the accelerator runs" in message
    message = fault_of(lambda: cnn.read(memory_map.bias_address(0), 4)).message
    assert "while the accelerator runs" in message
    address = r.layer_address(0, 0, r.RCNT)
    check(fault_of(lambda: cnn.write(address, 4, 0)), r.RCNT, None, "while the accelerator runs")


def test_run_that_is_stopped() -> None:
    cnn = ready()
    start(cnn)
    cnn.write(r.global_address(0, r.CTRL), 4, r.CTRL.encode(clk_en=1))
    check(fault_of(cnn.finish), r.CTRL, "cnn_en", "was stopped and not continued")
    start(cnn)
    cnn.finish()
    assert cnn.interrupt_pending


# ---- weights and biases ------------------------------------------------------------------------


def test_packed_weights_without_a_start_address() -> None:
    cnn = ready()
    fault = fault_of(lambda: cnn.write(memory_map.weight_address(5), 4, 1))
    assert "packed weights for processor 5 without a start address" in fault.message


def test_packed_weights_over_the_end() -> None:
    cnn = ready()
    fault = fault_of(lambda: load_weights(cnn, 2, 767, bytes(18)))
    assert "run over the end of the memory of processor 2" in fault.message


def test_packed_start_address_of_a_word_that_does_not_exist() -> None:
    cnn = ready()
    address = memory_map.weight_address(0) + 4 * 768 + 1
    assert "kernel word 768 does not exist" in fault_of(lambda: cnn.write(address, 1, 1)).message


def test_unpacked_weights_must_end_in_zero() -> None:
    cnn = ready()
    cnn.write(r.global_address(0, r.CTRL), 4, r.CTRL.encode(clk_en=1))
    address = memory_map.weight_address(0, 3)
    fault = fault_of(lambda: cnn.write(address + 12, 4, 1))
    assert "must be zero" in fault.message
    assert "has only 8 bits" in fault_of(lambda: cnn.write(address, 4, 256)).message


def test_weights_that_were_never_written() -> None:
    words = changed(SPEC, r.MCNT, mcnt_sad=8 * 100, mcnt_max=8 * 101)
    fault = fault_of_run(SPEC, words)
    check(fault, r.MCNT, "mcnt_sad", "of processor 0 is used for output 1 but was never written")


def test_gap_between_outputs_needs_no_weights_but_cannot_be_read() -> None:
    spec = replace(SPEC, processors=(0, 4), outputs=6)
    cnn = Cnn()
    configure(cnn, layer_words(spec))
    for processor in spec.processors:
        for output in (1, 2, 5):
            load_weights(cnn, processor, output, bytes(range(9)))
    cnn.write_block(memory_map.data_address(0), np.zeros(16, np.uint32))
    cnn.write_block(memory_map.data_address(4), np.zeros(16, np.uint32))
    cnn.write(r.layer_address(0, 0, r.WPTR_BASE), 4, r.WPTR_BASE.encode(instance=2))
    start(cnn)
    cnn.finish()
    known = cnn.memories.data.known
    assert known[2, 0].tolist() == [False, True, True, False]
    assert known[3, 0].tolist() == [False, True, False, False]


def test_masks_over_the_end_of_the_weight_memory() -> None:
    words = changed(SPEC, r.MCNT, mcnt_sad=8 * 767, mcnt_max=8 * 768)
    check(fault_of_run(SPEC, words), r.MCNT, "mcnt_max", "run over the 768 kernel words")


def test_bias_that_was_never_written() -> None:
    spec = replace(SPEC, bias={0: 10})
    words = changed(spec, r.POST, bptr_sad=11)
    check(fault_of_run(spec, words), r.POST, "bptr_sad", "bias 12 of quadrant 0 is used but was")


def test_bias_with_more_than_eight_bits() -> None:
    fault = fault_of(lambda: ready().write(memory_map.bias_address(1, 2), 4, 0x100))
    assert "a bias has 8 bits" in fault.message
    assert "quadrant 1, bias 2" in str(fault)


# ---- layers ------------------------------------------------------------------------------------


def test_layer_reads_data_nobody_wrote() -> None:
    cnn = Cnn()
    configure(cnn, layer_words(SPEC))
    for processor in SPEC.processors:
        load_weights(cnn, processor, 0, bytes(range(18)))
    cnn.write_block(memory_map.data_address(0), np.zeros(10, np.uint32))
    fault = fault_of(lambda: start(cnn))
    check(fault, r.RPTR_BASE, "rptr_base", "processor 0 reads word 10 of data memory 0")
    assert "(row 2, column 2, pass 0, operand 0), which nobody wrote" in fault.message


def test_outputs_spoilt_by_an_unwritten_end_of_the_last_row_stay_unwritten() -> None:
    cnn = Cnn()
    configure(cnn, layer_words(SPEC))
    for processor in SPEC.processors:
        load_weights(cnn, processor, 0, bytes(range(1, 19)))
    cnn.write_block(memory_map.data_address(0), np.zeros(14, np.uint32))
    start(cnn)
    cnn.finish()
    for pixel in range(16):
        row, column = divmod(pixel, 4)
        address = memory_map.instance_address(1, pixel)
        if row >= 2 and column >= 1:
            assert "never written" in fault_of(lambda a=address: cnn.read(a, 4)).message
        else:
            assert cnn.read(address, 4) == 0


def test_unwritten_channel_with_zero_weights_is_allowed() -> None:
    spec = replace(SPEC, processors=(0, 4))
    cnn = Cnn()
    configure(cnn, layer_words(spec))
    load_weights(cnn, 0, 0, bytes(range(1, 19)))
    load_weights(cnn, 4, 0, bytes(18))
    cnn.write_block(memory_map.data_address(0), np.arange(16, dtype=np.uint32))
    start(cnn)


def test_operands_must_be_interleaved() -> None:
    spec = replace(SPEC, operands=2)
    cnn = Cnn()
    configure(cnn, layer_words(spec))
    for processor in spec.processors:
        load_weights(cnn, processor, 0, bytes(range(18)))
    cnn.write_block(memory_map.data_address(0), np.zeros(16, np.uint32))
    fault = fault_of(lambda: start(cnn))
    check(fault, r.RPTR_BASE, "rptr_base", "operands must be interleaved word by word")


def test_output_over_live_input() -> None:
    spec = replace(SPEC, out_instance=0, out_word=15)
    check(fault_of_run(spec), r.WPTR_BASE, "word", "output overwrites live input: word 15 of data")


def test_output_over_input_that_has_been_read_is_allowed() -> None:
    spec = replace(SPEC, pad=0, rows=8, columns=8, out_instance=0, out_word=0)
    cnn = ready(spec)
    start(cnn)


def test_pooled_output_may_follow_the_reading() -> None:
    spec = replace(SPEC, rows=8, columns=8, pool=(2, 2), stride=2, read_word=8, out_instance=0)
    run(spec)
    check(
        fault_of_run(replace(spec, out_word=48)),
        r.WPTR_BASE,
        "word",
        "output overwrites live input: word 48",
    )


def test_output_out_of_memory() -> None:
    spec = replace(SPEC, out_word=8190)
    check(fault_of_run(spec), r.WPTR_BASE, "word", "run out of the memory")


def test_input_out_of_memory() -> None:
    spec = replace(SPEC, read_word=0)
    words = changed(spec, r.RPTR_BASE, rptr_base=8185)
    check(fault_of_run(spec, words), r.RPTR_BASE, "rptr_base", "run over the 8192 words")


def test_sum_of_a_quadrant_that_is_not_added() -> None:
    spec = replace(SPEC, processors=(0, 16))
    words = changed(spec, r.LCTRL0, cnnsi_en=0)
    fault = fault_of_run(spec, words)
    check(fault, r.LCTRL0, "cnnsi_en", "the sum of quadrant 1 is computed but not added")


def test_sum_of_a_quadrant_that_does_not_take_part() -> None:
    words = changed(SPEC, r.LCTRL0, cnnsi_en=0b0100)
    fault = fault_of_run(SPEC, words)
    check(fault, r.LCTRL0, "cnnsi_en", "adds the sum of quadrant 2, which does not take part")


def test_quadrants_that_disagree() -> None:
    spec = replace(SPEC, processors=(0, 16))
    words = changed(spec, r.RCNT, 1, rcnt_max=7)
    check(fault_of_run(spec, words), r.RCNT, None, "differs from 0x10005 in quadrant 0")
    words = changed(spec, r.POST, 1, scale_reg=3)
    check(fault_of_run(spec, words), r.POST, "scale_reg", "3 differs from quadrant 0")


def test_layer_counts_that_disagree() -> None:
    spec = replace(SPEC, processors=(0, 16))
    cnn = ready(spec)
    cnn.write(r.global_address(1, r.LCNT_MAX), 4, 2)
    check(fault_of(lambda: start(cnn, (0, 1))), r.LCNT_MAX, "lcnt", "differs from 0")


def test_sum_beyond_the_accumulator() -> None:
    spec = LayerSpec(
        kernel="1x1",
        rows=1,
        columns=1,
        passes=64,
        flatten=True,
        wide=True,
        processors=tuple(range(64)),
        outputs=1,
    )
    cnn = Cnn()
    configure(cnn, layer_words(spec))
    for processor in range(64):
        load_weights(cnn, processor, 0, b"\x80" * 72)
    for instance in range(16):
        words = np.full(64, 0x80808080, np.uint32)
        cnn.write_block(memory_map.instance_address(instance), words)
    fault = fault_of(lambda: start(cnn, (0, 1, 2, 3)))
    check(fault, r.POST, None, "exceeds 26 bits")


@pytest.mark.parametrize(
    ("register", "fields", "field", "text"),
    [
        (r.EN, {"pro_en": 0, "mask_en": 0}, "pro_en", "no processor is enabled"),
        (r.EN, {"pro_en": 1}, "mask_en", "multiply that do not read"),
        (r.EN, {"mask_en": 1}, "mask_en", "some processors multiply and some pass through"),
        (r.RCNT, {"rcnt_max": 1}, "rcnt_max", "0 rows are left without padding"),
        (r.RCNT, {"rcnt_pad": 3}, "rcnt_max", "0 rows are left"),
        (r.CCNT, {"ccnt_max": 0}, "ccnt_max", "-1 columns are left"),
        (r.RCNT, {"rcnt_max": 7, "rcnt_pad": 3}, "rcnt_pad", "padding 3 is above 2"),
        (r.PRCNT, {"prcnt_max": 1}, "pool_en", "is off with a 2x1 pooling window"),
        (r.ONED, {"oned_width": 2}, "oned_width", "must be 0 (3x3) or 1 (1x1)"),
        (r.ONED, {"oned_en": 1}, "ccnt_max", "a 1D layer has one column"),
        (r.ONED, {"ewise_cnt": 1}, "ewise_cnt", "is used only with ewise_en"),
        (r.ONED, {"ewise_en": 1}, "two_d_conv", "must be set when, and only when"),
        (r.POST, {"xpmp_cnt": 1}, "xpmp_cnt", "is used only with flatten_en"),
        (r.POST, {"flatten_en": 1}, "flatten_en", "needs a 1x1 kernel over one pixel"),
        (r.POST, {"ts_en": 1}, "ts_en", "time slots in a convolution"),
        (r.MCNT, {"mcnt_max": 0xC}, "mcnt_max", "not a whole number of 8-bit masks"),
        (r.LCTRL1, {"inpchexp": 2}, "mcnt_max", "not a whole number of outputs of 3 passes"),
        (r.LCTRL1, {"xpch_max": 0}, "wptr_choff", "written over each other"),
        (r.LCTRL1, {"xpch_max": 3}, "xpch_max", "is not a multiple of 8 bits"),
        (r.LCTRL1, {"xpch_max": 511}, "xpch_max", "is not a multiple of 8 bits"),
        (r.WPTR_MOFF, {"wptr_moff": 5}, None, "not a whole number of data memory instances"),
        (r.TPTR, {"tptr_max": 4}, "tptr_max", "the line buffer has 5 words for rows of 4"),
        (r.LCTRL0, {"sramlsrc": 0}, "sramlsrc", "output to local memory is not modelled"),
        (r.LCTRL0, {"master": 0}, "master", "the leading quadrant forms no sum"),
        (r.LCTRL0, {"cnnsi_en": 1}, "cnnsi_en", "add a quadrant to itself"),
        (r.LCTRL0, {"parallel": 1}, "parallel", "only the first processor of each four"),
        (r.LCTRL0, {"bigdwrt": 1, "act_en": 1}, "act_en", "an activation of 32-bit output"),
    ],
)
def test_fields_that_contradict(
    register: r.Register, fields: dict[str, int], field: str | None, text: str
) -> None:
    fault = fault_of_run(SPEC, changed(SPEC, register, **fields))
    assert text in fault.message
    assert fault.layer == 0
    if field is not None:
        assert fault.field == field
    assert fault.address is not None


@pytest.mark.parametrize("length", [0, 10])
def test_kernel_length(length: int) -> None:
    spec = LayerSpec(kernel="1d", rows=12, columns=1, length=3)
    words = changed(spec, r.ONED, oned_width=length)
    check(fault_of_run(spec, words), r.ONED, "oned_width", f"kernel length {length} is not 1 to 9")


def test_transposed_convolution_of_an_odd_size() -> None:
    spec = replace(SPEC, rows=5)
    words = changed(spec, r.POST, deconv_en=1)
    check(fault_of_run(spec, words), r.POST, "deconv_en", "even rows and columns, not 5 x 4")


def test_window_larger_than_the_input() -> None:
    spec = replace(SPEC, rows=3, pool=(3, 2))
    words = changed(spec, r.PRCNT, prcnt_max=3)
    check(fault_of_run(spec, words), r.PRCNT, "prcnt_max", "window 4x2 is larger than the input")


def test_input_smaller_than_the_kernel() -> None:
    spec = replace(SPEC, pad=0)
    words = changed(spec, r.RCNT, rcnt_max=1)
    check(fault_of_run(spec, words), r.RCNT, "rcnt_max", "smaller than the kernel: 0 x 2 outputs")


@pytest.mark.parametrize(
    ("register", "fields", "field", "text"),
    [
        (r.LCTRL0, {"act_en": 1}, "act_en", "is not modelled in a pass-through layer"),
        (r.POST, {"scale_reg": 1}, "scale_reg", "is not modelled in a pass-through layer"),
        (r.POST, {"ts_en": 0}, "ts_en", "writes by time slots"),
        (r.POST, {"onexone_en": 0}, "onexone_en", "must be set"),
        (r.ONED, {"tscnt_max": 0}, "tscnt_max", "1 time slots are too few for 5 processors"),
        (r.WPTR_TOFF, {"wptr_toff": 7}, "wptr_toff", "whole number of data memory instances"),
    ],
)
def test_pass_through_misuse(
    register: r.Register, fields: dict[str, int], field: str, text: str
) -> None:
    spec = LayerSpec(kernel="pass", processors=(0, 1, 2, 3, 4), out_instance=2)
    check(fault_of_run(spec, changed(spec, register, **fields)), register, field, text)


# ---- FIFO --------------------------------------------------------------------------------------


def fifo_ready(frame: int = 16) -> Cnn:
    cnn = ready()
    cnn.write(r.global_address(0, r.IFRM), 4, frame)
    cnn.write(memory_map.FIFO_CTRL, 4, r.FIFO_CTRL.encode(fifo_en=1))
    start(cnn, fifo_en=1)
    return cnn


def test_fifo_feeds_the_first_layer() -> None:
    cnn = fifo_ready()
    for word in range(16):
        assert cnn.read(memory_map.FIFO_STAT, 4) == 0
        cnn.write(memory_map.FIFO_WRITE[0], 4, word)
    assert cnn.running
    cnn.finish()
    assert cnn.read(memory_map.data_address(0, 5), 4) == 5


def test_fifo_that_is_not_enabled() -> None:
    cnn = fifo_ready()
    fault = fault_of(lambda: cnn.write(memory_map.FIFO_WRITE[1], 4, 0))
    check(fault, r.FIFO_WR1, None, "FIFO 1 is not enabled (FIFO_CTRL.fifo_en)")


def test_fifo_input_that_does_not_come() -> None:
    cnn = fifo_ready()
    cnn.write(memory_map.FIFO_WRITE[0], 4, 0)
    check(fault_of(cnn.finish), r.CTRL, "fifo_en", "waits for input that did not come")


def test_fifo_frame_that_is_too_small() -> None:
    cnn = fifo_ready(frame=9)
    for word in range(8):
        cnn.write(memory_map.FIFO_WRITE[0], 4, word)
    fault = fault_of(lambda: cnn.write(memory_map.FIFO_WRITE[0], 4, 8))
    check(fault, r.IFRM, "ifrm", "9 words are fewer than the 16 that layer 0 reads")


def test_fifo_without_a_frame_size() -> None:
    fault = fault_of(lambda: fifo_ready(frame=0))
    check(fault, r.IFRM, "ifrm", "the input frame has no words")


def test_stream_without_a_source() -> None:
    cnn = ready()
    cnn.write(r.layer_address(0, 0, r.FBUF), 4, 5)
    fault = fault_of(lambda: start(cnn, stream_en=1))
    check(fault, r.FBUF, "fbuf_max", "neither the FIFOs nor the layer before feed it")


# ---- several layers ----------------------------------------------------------------------------


def test_output_over_an_output_that_is_still_needed() -> None:
    """Layer 1 overwrites half of what layer 0 wrote; layer 2 reads all of it."""
    first = LayerSpec(kernel="pass", rows=8, columns=4)
    second = LayerSpec(kernel="pass", rows=2, columns=4, read_word=100, out_word=16)
    third = LayerSpec(kernel="pass", rows=8, columns=4, processors=(4,), out_instance=2)
    words = {}
    for number, spec in enumerate((first, second, third)):
        words.update(layer_words(spec, number))
    cnn = Cnn()
    configure(cnn, words, last_layer=2)
    fill(cnn, first)
    fill(cnn, second)
    fault = fault_of(lambda: start(cnn))
    check(fault, r.RPTR_BASE, "rptr_base", "reads the output of layer 0, but layer 1 overwrote")
    assert "overwrote word 16 of data memory 1 before it was read" in fault.message
    assert fault.layer == 2


def test_output_over_an_output_that_has_been_read_is_allowed() -> None:
    first = LayerSpec(kernel="pass", rows=8, columns=4)
    reader = LayerSpec(kernel="pass", rows=8, columns=4, processors=(4,), out_instance=2)
    second = LayerSpec(kernel="pass", rows=2, columns=4, read_word=100, out_word=16)
    words = {}
    for number, spec in enumerate((first, reader, second, reader)):
        words.update(layer_words(spec, number))
    cnn = Cnn()
    configure(cnn, words, last_layer=3)
    fill(cnn, first)
    fill(cnn, second)
    start(cnn)
    cnn.finish()
