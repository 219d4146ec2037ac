"""Whether a program's outputs are the maps that its point settings are for."""

from __future__ import annotations

from common.errors import UserError
from synthesize.program.program import OutputMap, Program

LARGEST_SIDE = 64
"""Rows and columns of a map; positions in sixteenths of a pixel fit 16 bits many times over."""
LARGEST_STRIDE = 64
"""POSE_MAX_STRIDE of firmware_templates/decoder/pose_decoder.h."""


def check(program: Program, where: str) -> None:
    """Refuse settings that do not fit the network.

    Raises:
        UserError: it has other outputs than one byte map per point; ``where`` says whose.
    """
    if program.points is None:
        return
    count, shapes = len(program.points.places), [out.shape for out in program.outputs]
    fits = len(shapes) == 1 and _reads(program.outputs[0], count, program.input_shape)
    if not fits:
        told = ", ".join("x".join(map(str, shape)) for shape in shapes)
        raise UserError(
            f"{where}: its settings are for {count} maps of 8 bits that cover the input, but the "
            f"outputs are {told}; train it again, or take the entry 'points' out of its extras"
        )


def _reads(out: OutputMap, count: int, picture: tuple[int, int, int]) -> bool:
    channels, rows, columns = out.shape
    stride = picture[1] // rows
    return (
        not out.wide
        and channels == count
        and 2 <= min(rows, columns) <= max(rows, columns) <= LARGEST_SIDE
        and (rows * stride, columns * stride) == tuple(picture[1:])
        and 1 <= stride <= LARGEST_STRIDE
    )
