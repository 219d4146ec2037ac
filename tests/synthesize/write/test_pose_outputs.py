"""How much memory the pose maps of a network take, and which of them are loose."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from synthesize.program.program import Program
from synthesize.write import pose_outputs

SIDE = 16


def output(channels: int, wide: bool, start: int = 0) -> Any:
    """Addresses as the accelerator lays channels out: words each, or four to a word."""
    channel, cell = np.arange(channels)[:, None], np.arange(SIDE * SIDE)[None]
    if wide:
        addresses = 0x10000 * channel + 4 * cell
    else:
        addresses = 0x10000 * (channel // 4) + channel % 4 + 4 * cell
    shape = (channels, SIDE, SIDE)
    return SimpleNamespace(shape=shape, addresses=start + addresses.reshape(shape), wide=wide)


def program(*outputs: Any) -> Program:
    return cast(Program, SimpleNamespace(outputs=outputs, input_shape=(3, 128, 128)))


@pytest.mark.parametrize(
    ("outputs", "blocks", "loose"),
    [
        ([output(57, wide=False)], 14, 1),  # the last goes where the background is
        ([output(57, wide=True)], 56, 0),
        ([output(19, wide=True), output(38, wide=True, start=0x100_0000)], 56, 0),
    ],
)
def test_maps_without_a_word_of_their_own(outputs: list[Any], blocks: int, loose: int) -> None:
    found = pose_outputs.find(program(*outputs))
    assert found is not None
    assert pose_outputs._packed(program(*outputs), found) == (blocks * SIDE * SIDE, loose)


def test_two_outputs_of_bytes() -> None:
    """Heatmaps leave two bytes free, fields end with a word of two."""
    both = program(output(19, wide=False), output(38, wide=False, start=0x100_0000))
    assert pose_outputs.map_words(both) == 14 * SIDE * SIDE


def test_no_pose_maps() -> None:
    assert pose_outputs.map_words(program(output(5, wide=False))) == 0
