"""The accelerator's bus interface: loading, starting, time, interrupts, self-test."""

from __future__ import annotations

import numpy as np
import pytest

from evalkit.hardware.cnn import Cnn, KitFault
from synthesize.chip import cycles, limits, memory_map
from synthesize.chip import registers as r
from tests.helpers import cnn_programs
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


def clocked() -> Cnn:
    cnn = Cnn()
    for quadrant in range(limits.QUADRANTS):
        cnn.write(r.global_address(quadrant, r.CTRL), 4, CLOCKED)
    return cnn


def load_unpacked(cnn: Cnn, processor: int, word: int, data: bytes) -> None:
    for index in range(len(data) // 9):
        part = data[9 * index : 9 * index + 9]
        address = memory_map.weight_address(processor, word + index)
        cnn.write(address, 4, part[0])
        cnn.write(address + 4, 4, int.from_bytes(part[1:5], "big"))
        cnn.write(address + 8, 4, int.from_bytes(part[5:], "big"))
        cnn.write(address + 12, 4, 0)


def test_packed_and_unpacked_weights_are_the_same() -> None:
    data = bytes(np.random.default_rng(1).integers(0, 256, 5 * 9, dtype=np.uint8))
    packed, unpacked = clocked(), clocked()
    load_weights(packed, 37, 11, data)
    unpacked.write(r.global_address(2, r.CTRL), 4, r.CTRL.encode(clk_en=1))
    load_unpacked(unpacked, 37, 11, data)
    for word in range(11, 16):
        for part in range(4):
            address = memory_map.weight_address(37, word) + 4 * part
            assert packed.read(address, 4) == unpacked.read(address, 4)
    assert np.array_equal(packed.memories.weights.taps(), unpacked.memories.weights.taps())


def test_packed_load_drops_what_does_not_fill_a_word() -> None:
    cnn = clocked()
    load_weights(cnn, 0, 0, bytes(range(1, 12)))
    assert cnn.read(memory_map.weight_address(0, 0) + 4, 4) == 0x02030405
    with pytest.raises(KitFault, match="never written"):
        cnn.read(memory_map.weight_address(0, 1), 4)


def test_blocks_equal_single_writes() -> None:
    words = np.random.default_rng(2).integers(0, 1 << 32, 40, dtype=np.uint32)
    blocks, singles = clocked(), clocked()
    # Across the border between two instances, and a packed weight load.
    data = memory_map.instance_address(2, limits.DATA_INSTANCE_WORDS - 8)
    weights = memory_map.weight_address(5)
    for cnn in (blocks, singles):
        cnn.write(memory_map.packed_weight_start(5), 1, 1)
    blocks.write_block(data, words[:16])
    blocks.write_block(weights, words)
    for i, value in enumerate(words):
        if i < 16:
            singles.write(data + 4 * i, 4, int(value))
        singles.write(weights + 4 * i, 4, int(value))
    assert np.array_equal(blocks.memories.data.bytes, singles.memories.data.bytes)
    assert np.array_equal(blocks.memories.weights.taps(), singles.memories.weights.taps())
    assert list(blocks.read_block(data, 16)) == [int(w) for w in words[:16]]


def test_bias_is_read_back() -> None:
    cnn = clocked()
    cnn.write(memory_map.bias_address(3, 7), 4, 0xF5)
    assert cnn.read(memory_map.bias_address(3, 7), 4) == 0xF5
    assert cnn.memories.bias.values[3, 7] == -11


def test_reset_values() -> None:
    cnn = Cnn()
    assert cnn.read(r.global_address(0, r.CTRL), 4) == 0x6
    assert cnn.read(r.global_address(0, r.SRAM), 4) == 0xE
    assert cnn.read(r.layer_address(3, 31, r.POST), 4) == 0
    assert not cnn.interrupt_pending


def test_interrupt_comes_after_the_modelled_cycles() -> None:
    cnn = Cnn()
    configure(cnn, layer_words(SPEC))
    fill(cnn, SPEC)
    start(cnn)
    geometry = cycles.LayerGeometry(
        kernel=(3, 3),
        pad=(1, 1),
        pooled=(4, 4),
        pool=(1, 1),
        passes=1,
        outputs=2,
        output_columns=4,
    )
    total = cycles.STARTUP_CYCLES + cycles.layer_cycles(geometry)
    assert cnn.busy_cycles == total
    cnn.advance(total - 1)
    assert cnn.running
    assert not cnn.interrupt_pending
    cnn.advance(1)
    assert not cnn.running
    assert cnn.interrupt_pending
    assert cnn.cycles == [(0, total - 1)]


def test_interrupt_is_cleared_by_writing_zero_and_forced_by_writing_one() -> None:
    cnn = run(SPEC)
    address = r.global_address(0, r.CTRL)
    assert cnn.read(address, 4) == r.CTRL.encode(cnn_en=1, clk_en=1, cnn_irq=1)
    cnn.write(address, 4, r.CTRL.encode(clk_en=1))
    assert not cnn.interrupt_pending
    cnn.write(address, 4, r.CTRL.encode(clk_en=1, cnn_irq=1))
    assert cnn.interrupt_pending


def test_stopping_pauses_the_run() -> None:
    cnn = Cnn()
    configure(cnn, layer_words(SPEC))
    fill(cnn, SPEC)
    start(cnn)
    address = r.global_address(0, r.CTRL)
    left = cnn.busy_cycles
    cnn.write(address, 4, r.CTRL.encode(clk_en=1))
    cnn.advance(10_000)
    assert cnn.running
    assert cnn.busy_cycles == left
    cnn.write(address, 4, r.CTRL.encode(clk_en=1, cnn_en=1))
    cnn.advance(left)
    assert not cnn.running
    assert cnn.inferences == 1


def test_one_shot_runs_one_layer_at_a_time() -> None:
    words = layer_words(SPEC)
    words.update(layer_words(LayerSpec(read_word=0, out_word=100, kernel="pass"), layer=1))
    cnn = Cnn()
    configure(cnn, words, last_layer=1)
    fill(cnn, SPEC)
    seen = []
    cnn.observer = lambda layer, _: seen.append(layer.number)
    for expected in ([0], [0, 1], [0, 1, 0]):
        start(cnn, oneshot=1)
        cnn.finish()
        assert seen == expected
        cnn.write(r.global_address(0, r.CTRL), 4, r.CTRL.encode(clk_en=1, oneshot=1))


def test_weights_stay_for_the_next_inference() -> None:
    cnn = run(SPEC)
    first = cnn.read_block(memory_map.instance_address(1), 16)
    cnn.write(r.global_address(0, r.CTRL), 4, CLOCKED)
    cnn.write_block(memory_map.instance_address(1), np.zeros(16, np.uint32))
    start(cnn)
    cnn.finish()
    assert np.array_equal(
        cnn.read_block(memory_map.instance_address(1), 16) & 0xFFFF, first & 0xFFFF
    )


def test_new_weights_are_used() -> None:
    cnn = run(SPEC)
    first = cnn.read_block(memory_map.instance_address(1), 16)
    cnn.write(r.global_address(0, r.CTRL), 4, CLOCKED)
    for processor in SPEC.processors:
        load_weights(cnn, processor, 0, bytes(18))
    start(cnn)
    cnn.finish()
    assert not (cnn.read_block(memory_map.instance_address(1), 16) & 0xFFFF).any()
    assert (first & 0xFFFF).any()


@pytest.mark.parametrize(("run_bit", "done"), [("sbistrun", "sallbdone"), ("sramz", "sallzdone")])
def test_self_test_zeroes_data_memory(run_bit: str, done: str) -> None:
    cnn = clocked()
    cnn.write(memory_map.data_address(17, 5), 4, 123)
    address = r.global_address(1, r.TEST)
    cnn.write(address, 4, r.TEST.encode(**{run_bit: 1}))
    status = r.TEST.decode(cnn.read(address, 4))
    assert status[done] == 1
    assert status["bistdone"] + status["zerodone"] == 1
    assert status["bistfail"] == 0
    assert cnn.read(memory_map.data_address(17, 5), 4) == 0
    assert cnn.read(memory_map.data_address(31, 8191), 4) == 0
    cnn.write(address, 4, 0)
    assert cnn.read(address, 4) == 0


def test_self_test_zeroes_weights_and_bias() -> None:
    cnn = clocked()
    address = r.global_address(0, r.TEST)
    cnn.write(address, 4, r.TEST.encode(mramz=1, bramz=1, tramz=1))
    assert cnn.read(memory_map.weight_address(15, 767), 4) == 0
    assert cnn.read(memory_map.bias_address(0, 511), 4) == 0
    with pytest.raises(KitFault, match="never written"):
        cnn.read(memory_map.weight_address(16), 4)


@pytest.mark.parametrize("kind", ["data", "bias", "weight"])
def test_flipped_bits_change_the_result(kind: str) -> None:
    spec = LayerSpec(processors=(0, 1), outputs=2, pad=1, wide=True, bias={0: 3})
    wanted = wide_outputs(run(spec))
    cnn = Cnn()
    configure(cnn, layer_words(spec))
    fill(cnn, spec)
    assert wide_outputs(cnn, begin=True) == wanted
    cnn.write(r.global_address(0, r.CTRL), 4, CLOCKED)
    address = {
        "data": memory_map.data_address(0, 6),
        "bias": memory_map.bias_address(0, 4),
        "weight": memory_map.weight_address(1, 1),
    }[kind]
    cnn.flip_bit(address, 5)
    assert wide_outputs(cnn, begin=True) != wanted


def wide_outputs(cnn: Cnn, begin: bool = False) -> list[int]:
    """Two wide output channels, run first if asked."""
    if begin:
        start(cnn)
        cnn.finish()
    words = [4 * pixel + channel for pixel in range(16) for channel in range(2)]
    return [cnn.read(memory_map.instance_address(1, word), 4) for word in words]


def test_products_use_one_thread_and_give_the_others_back() -> None:
    from threadpoolctl import threadpool_info

    def threads() -> set[int]:
        return {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}

    before, seen = threads(), []
    spec = cnn_programs.LayerSpec()
    cnn = Cnn(lambda layer, result: seen.append(threads()))
    cnn_programs.configure(cnn, cnn_programs.layer_words(spec))
    cnn_programs.fill(cnn, spec)
    cnn_programs.start(cnn, spec.quadrants)
    assert seen == [{1}]
    assert threads() == before
