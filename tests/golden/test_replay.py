"""Recorded bus traces replay to their known answers.

Two recordings cannot, because the program that the reference generator recorded does not compute
what its network description says; on silicon they would fail too:

* ``rnd_residual``: the two operands of the element-wise layer lie one after the other, but the
  hardware fetches operands interleaved word by word (the generator only warns about the offsets).
* ``rnd_lowbit``: 1x1 kernels of less than 8 bits with an input that does not fill its last pass:
  the generator leaves out the bytes of channels that do not exist instead of padding them (in
  ``izer/kernels.py`` ``ksize // qfactor`` zero bytes are none for a 1x1 kernel), so that half
  the weights of four processors are not in the recording at all.

For both, the tests show that the kit stops at the mistake, and that with the mistake mended and
nothing else changed the known answer comes out.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from evalkit.commands import replay
from evalkit.hardware.cnn import Cnn, KitFault
from synthesize.chip import memory_map
from synthesize.chip import registers as r
from tests.helpers.golden_cases import every_case

WRONGLY_RECORDED = {"rnd_residual", "rnd_lowbit"}


@every_case()
def test_replay_comes_to_the_known_answer(golden_case: Path) -> None:
    if golden_case.name in WRONGLY_RECORDED:
        with pytest.raises((KitFault, replay.ReplayError)):
            replay.replay(golden_case / "trace.npz")
        return
    assert replay.replay(golden_case / "trace.npz").startswith("PASS")


def test_pose659_replays_in_less_than_a_second(shared_dir: Path) -> None:
    path = shared_dir / "golden" / "pose659" / "trace.npz"
    best = min(_seconds(path) for _ in range(3))
    assert best < 1.0


def _seconds(path: Path) -> float:
    # Processor time, so that other programs on the machine do not decide the test.
    begin = time.process_time()
    replay.replay(path)
    return time.process_time() - begin


def test_repeated_inference_gives_the_same(shared_dir: Path) -> None:
    """Interrupt acknowledged, same input, started again."""
    recording = replay.load_recording(shared_dir / "golden" / "cifar-10" / "trace.npz")
    cnn = Cnn()
    replay.play(cnn, recording.trace)
    cnn.finish()
    for quadrant in range(4):
        address = r.global_address(quadrant, r.CTRL)
        cnn.write(address, 4, cnn.read(address, 4) & ~(1 << 12 | 1))
    assert not cnn.interrupt_pending
    window = recording.trace[:, 1] & 0x0FF0_0000
    data = np.isin(window, (0x400000, 0x800000, 0xC00000, 0x1000000))
    replay.play(cnn, recording.trace[data | (recording.trace[:, 1] & 0xFFFFF == 0)])
    cnn.finish()
    assert cnn.inferences == 2
    assert replay.compare(cnn, recording.expected) > 0


def test_one_wrong_weight_is_found(shared_dir: Path) -> None:
    recording = replay.load_recording(shared_dir / "golden" / "pose659" / "trace.npz")
    cnn = Cnn()
    replay.play(cnn, recording.trace[:-5])
    cnn.flip_bit(memory_map.weight_address(3, 232), 7)
    replay.play(cnn, recording.trace[-5:])
    cnn.finish()
    with pytest.raises(replay.ReplayError, match="written by layer 12"):
        replay.compare(cnn, recording.expected)


# ---- the two recordings that are wrong ---------------------------------------------------------


def test_residual_recording_reads_operands_that_are_not_interleaved(shared_dir: Path) -> None:
    path = shared_dir / "golden" / "rnd_residual" / "trace.npz"
    with pytest.raises(KitFault) as caught:
        replay.replay(path)
    fault = caught.value
    assert (fault.layer, fault.register, fault.field) == (3, "RPTR_BASE", "rptr_base")
    assert "the 2 operands must be interleaved word by word" in fault.message


def test_residual_recording_with_operands_interleaved(shared_dir: Path) -> None:
    """One layer at a time, with the operands interleaved by the processor in between."""
    recording = replay.load_recording(shared_dir / "golden" / "rnd_residual" / "trace.npz")
    cnn = Cnn()
    replay.play(cnn, recording.trace[:-1])
    control = r.global_address(0, r.CTRL)
    stopped = r.CTRL.encode(clk_en=1, mexpress=1, oneshot=1)
    for layer in range(5):
        if layer == 3:
            _interleave(cnn, first=0x0, second=0x1000, pixels=32 * 32, instances=8)
        cnn.write(control, 4, stopped | 1)
        cnn.finish()
        assert [number for number, _ in cnn.layer_cycles] == [layer]
        assert cnn.interrupt_pending
        cnn.write(control, 4, stopped)
    assert replay.compare(cnn, recording.expected) == 17408


def _interleave(cnn: Cnn, first: int, second: int, pixels: int, instances: int) -> None:
    for instance in range(instances):
        operands = [
            cnn.read_block(memory_map.instance_address(instance, word), pixels)
            for word in (first, second)
        ]
        words = np.stack(operands, axis=1).reshape(-1)
        cnn.write_block(memory_map.instance_address(instance, first), words)


def test_lowbit_recording_lacks_weights(shared_dir: Path) -> None:
    path = shared_dir / "golden" / "rnd_lowbit" / "trace.npz"
    with pytest.raises(replay.ReplayError, match=r"written by layer 4\) holds"):
        replay.replay(path)


def test_lowbit_recording_with_all_weights(shared_dir: Path) -> None:
    folder = shared_dir / "golden" / "rnd_lowbit"
    recording = replay.load_recording(folder / "trace.npz")
    weights = np.load(folder / "checkpoint.npz")["c5.op.weight"][:, :, 0, 0]
    outputs, channels = weights.shape
    first_kernel = 0x2400 // 8
    assert (outputs, channels, first_kernel % 9) == (57, 100, 0)
    cnn = Cnn()
    start = len(recording.trace) - 5
    replay.play(cnn, recording.trace[:start])
    for processor in range(48, 52):
        # Output by output, pass by pass, two 4-bit weights to a byte; channels from 100 on
        # do not exist.
        nibbles = np.zeros((outputs, 2), np.uint8)
        nibbles[:, 0] = weights[:, processor] & 15
        flat = np.append(nibbles.reshape(-1), [0] * (2 * 63 - 2 * outputs)).astype(np.uint8)
        taps = flat[0::2] | flat[1::2] << 4
        packed = taps.reshape(7, 9)[:, ::-1].tobytes()
        cnn.write(memory_map.packed_weight_start(processor, first_kernel // 9), 1, 1)
        words = np.frombuffer(packed + b"\0", ">u4").astype(np.uint32)
        cnn.write_block(memory_map.weight_address(processor), words)
    replay.play(cnn, recording.trace[start:])
    cnn.finish()
    assert replay.compare(cnn, recording.expected) == 14592
