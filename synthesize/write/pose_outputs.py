"""What the firmware's pose decoder has to know of a network: its maps, its grid, its thresholds."""

from __future__ import annotations

import numpy as np

from ai8x_models.thresholds import fixed
from synthesize.program.program import Program

LARGEST_SIDE = 32
"""POSE_MAX_SIDE of firmware_templates/decoder/pose_decoder.h."""


def defines(program: Program) -> list[str]:
    """Lines of ``network.h``: the pose maps, where they lie, who counts as a person."""
    found = find(program)
    if found is None:
        return ["#define POSE_OUTPUTS 0"]
    heat, paf, first = found
    shape = program.outputs[heat].shape
    cells = shape[1] * shape[2]
    words, loose = _packed(program, found)
    values = {
        "HEAT_OUTPUT": heat,
        "PAF_OUTPUT": paf,
        "PAF_CHANNEL": first,
        "STRIDE": program.input_shape[1] // shape[1],
        "MAP_CELLS": cells,
        "MAP_WORDS": words,
        "MAP_LOOSE": loose,
        **{f"SETTING_{name.upper()}": value for name, value in fixed(program.decoder).items()},
    }
    return ["#define POSE_OUTPUTS 1", *(f"#define POSE_{n} {v}u" for n, v in values.items())]


def find(program: Program) -> tuple[int, int, int] | None:
    """Output with the 19 heatmaps, output with the 38 affinities and the first channel of those.

    They are two outputs of the same size, or one of 57 channels, the heatmaps first. None: the
    network has no such outputs, or none that the decoder can read.
    """
    channels = [out.shape[0] for out in program.outputs]
    if channels.count(19) == 1 and channels.count(38) == 1:
        found = (channels.index(19), channels.index(38), 0)
    elif channels.count(57) == 1:
        found = (channels.index(57), channels.index(57), 19)
    else:
        return None
    heat, paf = program.outputs[found[0]], program.outputs[found[1]]
    sides = heat.shape[1:]
    stride = program.input_shape[1] // sides[0]
    fits = tuple(side * stride for side in sides) == tuple(program.input_shape[1:])
    if paf.shape[1:] != sides or not fits or not 2 <= min(sides) <= max(sides) <= LARGEST_SIDE:
        return None
    return found


def map_words(program: Program) -> int:
    """Words that hold the pose maps in SRAM; 0 for a network without."""
    found = find(program)
    return 0 if found is None else _packed(program, found)[0]


def _packed(program: Program, found: tuple[int, int, int]) -> tuple[int, int]:
    """Words that hold the 18 keypoint maps and the 38 affinities, and how many maps are loose.

    Maps of 8 bits share their words, up to four of them; the last word's are loose when the words
    before have as many bytes that nobody asked for: they go there, and need no words of their own.
    """
    heat, paf, first = found
    parts = ((program.outputs[heat], 0, 18), (program.outputs[paf], first, 38))
    starts = np.concatenate(
        [out.addresses[begin : begin + count, 0, 0] for out, begin, count in parts]
    )
    cells = parts[0][0].shape[1] * parts[0][0].shape[2]
    blocks = starts & ~3
    count = len(set(blocks.tolist()))  # np.unique loads numpy.ma, which takes long
    loose = int((blocks == blocks[-1]).sum())
    free = 4 * (count - 1) - (len(starts) - loose)
    narrow = not any(out.wide for out, *_ in parts)
    if narrow and (blocks[-loose:] == blocks[-1]).all() and loose <= free:
        return (count - 1) * cells, loose
    return count * cells, 0
