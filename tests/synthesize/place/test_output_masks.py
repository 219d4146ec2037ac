"""Output processors that do not start at a multiple of 4, or have gaps."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import UserError
from tests.helpers.described import (
    EARLY_SHAPE,
    compile_text,
    output_before_the_last,
    run,
    text,
    weights,
)

FIRST = {
    "name": "a", "op": "conv2d", "kernel_size": "3x3", "pad": 1, "data_format": "HWC",
    "processors": 0x7, "out_offset": 0x2000, "activate": "ReLU",
}  # fmt: skip
SHAPE = (3, 6, 5)


def network(folder: Path, mask: int, bits: int, kernel: int, bias: bool) -> None:
    """A layer that writes to the processors of a mask, and one that reads from there."""
    channels = mask.bit_count()
    first = FIRST | {"output_processors": mask, "kernel_size": f"{kernel}x{kernel}"}
    first |= {"quantization": bits, "pad": kernel // 2}
    second = {
        "name": "b", "op": "conv2d", "kernel_size": "1x1", "pad": 0, "processors": mask,
        "output_processors": 0b1100, "out_offset": 0x4000, "output_width": 32,
    }  # fmt: skip
    checkpoint = weights(
        [("a", (channels, 3, kernel, kernel), bits), ("b", (2, channels, 1, 1))], mask % 97, bias
    )
    run(compile_text(folder, text(first, second), checkpoint, SHAPE), SHAPE)


@pytest.mark.parametrize("mask", [1 << 63, 0x11, 0xFFFFFFFC00000000, 0x6, 0x1_0000_0001, 0xF0F0])
@pytest.mark.parametrize(("bits", "kernel"), [(8, 3), (4, 3), (2, 1), (1, 3), (8, 1)])
def test_masks_of_others(tmp_path: Path, mask: int, bits: int, kernel: int) -> None:
    network(tmp_path, mask, bits, kernel, bias=True)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.integers(1, (1 << 64) - 1),
    st.sampled_from([1, 2, 4, 8]),
    st.sampled_from([1, 3]),
    st.booleans(),
)
def test_any_mask(tmp_path: Path, mask: int, bits: int, kernel: int, bias: bool) -> None:
    # A few weights of 1 bit may all be 0: without a bias such a network puts out nothing.
    few = mask.bit_count() * kernel**2 < 9
    network(tmp_path, mask, bits, kernel, bias or few)


@pytest.mark.parametrize("mask", [0x11, 0xFC, 1 << 63 | 1])
def test_flattening_and_input_passes(tmp_path: Path, mask: int) -> None:
    channels = mask.bit_count()
    first = FIRST | {"output_processors": (1 << 40) - 1}
    second = {
        "name": "b", "op": "linear", "flatten": True, "processors": (1 << 40) - 1,
        "output_processors": mask, "out_offset": 0x4000, "in_offset": 0x2000,
    }  # fmt: skip
    third = {
        "name": "c", "op": "linear", "processors": mask, "out_offset": 0, "output_width": 32,
    }  # fmt: skip
    checkpoint = weights([("a", (80, 3, 3, 3)), ("b", (channels, 80 * 6), 4), ("c", (5, channels))])
    shape = (3, 3, 2)
    run(compile_text(tmp_path, text(first, second, third), checkpoint, shape), shape)


def test_holes_in_weight_memory_are_used(tmp_path: Path) -> None:
    """Words of outputs that nobody wants are free for another layer."""
    first = FIRST | {"output_processors": 1 << 16 | 1}
    second = {
        "name": "b", "op": "conv2d", "kernel_size": "3x3", "pad": 1, "processors": 0x7,
        "in_offset": 0, "in_sequences": ["input"], "out_offset": 0x3000, "output_processors": 0xF,
        "output": True,
    }  # fmt: skip
    third = {
        "name": "c", "op": "linear", "processors": 1 << 16 | 1, "in_sequences": ["a"],
        "in_offset": 0x2000, "out_offset": 0x5000, "output": True,
    }  # fmt: skip
    checkpoint = weights([("a", (2, 3, 3, 3)), ("b", (4, 3, 3, 3)), ("c", (4, 2))])
    first |= {"pad": 0, "in_dim": [3, 3]}
    shape = (3, 3, 3)
    compiled = compile_text(tmp_path, text(first, second, third), checkpoint, shape)
    places = compiled.placement.layers
    assert places[0].words == 17
    assert places[0].first_word < places[1].first_word < places[0].first_word + places[0].words
    run(compiled, shape)


@pytest.mark.parametrize("quadrant", [1, 2, 3])
def test_an_output_before_the_last_runs_where_nobody_reads(tmp_path: Path, quadrant: int) -> None:
    compiled = output_before_the_last(tmp_path, quadrant)
    assert compiled.placement.quadrants == (0, quadrant)
    run(compiled, EARLY_SHAPE)


def test_unaligned_outputs_in_several_passes_are_refused(tmp_path: Path) -> None:
    first = FIRST | {"output_processors": ((1 << 40) - 1) << 2}
    second = {"name": "b", "op": "conv2d", "kernel_size": "1x1", "pad": 0}
    second |= {"processors": ((1 << 40) - 1) << 2}
    checkpoint = weights([("a", (80, 3, 3, 3)), ("b", (4, 80, 1, 1))])
    with pytest.raises(UserError, match="must start at a multiple of 4, because 80 channels"):
        compile_text(tmp_path, text(first, second), checkpoint, SHAPE)
