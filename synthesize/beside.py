"""Two networks on one accelerator, both resident: the second uses memory that the first leaves.

Kernels and biases of both are loaded once. To change from one to the other only registers are
written: a layer register that one network needs and the other does not has to be cleared, because
the accelerator's registers keep their values. The second network starts after the first one's
results have been read, so the data memories are free again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from synthesize import emit, place
from synthesize.chip import memory_map
from synthesize.chip.errors import UserError
from synthesize.compiler import Compiled
from synthesize.program import Program, RegisterWrite
from synthesize.reserved import NOTHING, Reserved

Compile = Callable[[Reserved], Compiled]
"""Compiles one network beside what is reserved."""


@dataclass(frozen=True)
class Pair:
    """Two networks that can be resident together; ``first`` is loaded and run first."""

    first: Compiled
    second: Compiled

    def programs(self) -> tuple[Program, Program]:
        """Both programs, each of which clears what the other one has left in the registers."""
        one, two = self.first.program, self.second.program
        return clearing(one, two), clearing(two, one)


def compile_pair(first: Compile, second: Compile) -> Pair:
    """Compile two networks into one accelerator.

    The first is placed as if it were alone and the second beside it; when that does not fit, the
    other way round.

    Raises:
        UserError: they do not fit together either way (or one of them not even alone).
    """
    alone = first(NOTHING)
    try:
        return Pair(alone, second(place.reserve(alone.legal, alone.placement)))
    except UserError as failure:
        small = second(NOTHING)
        try:
            return Pair(first(place.reserve(small.legal, small.placement)), small)
        except UserError:
            raise UserError(
                f"{small.program.name} does not fit beside {alone.program.name}: {failure}"
            ) from None


def write_project(
    pair: Pair,
    samples: tuple[np.ndarray, np.ndarray],
    out: Path,
    units: tuple[Mapping[str, int], Mapping[str, int]] = ({}, {}),
) -> Path:
    """Write the C project of a pair, with known answers of both; see :func:`emit.write_project`.

    Args:
        pair: what :func:`compile_pair` made.
        samples: an input of each, integers [channels, rows, columns].
        out: folder of the project.
        units: of the outputs of each.
    """
    one, two = pair.programs()
    if one.fifo is not None or two.fifo is not None:
        streamed = one if one.fifo is not None else two
        raise UserError(
            f"{streamed.name}: its input is streamed through FIFOs; two networks in turn both need "
            "an input that fits data memory"
        )
    expected = pair.first.known_answer(samples[0])
    answer = two.known_answer(pair.second.known_answer(samples[1]))
    name = emit.identifier_text(two.name)
    sample = emit.sample_macro("SECOND_INPUT", two, samples[1])
    more = {
        "second_network.h": emit.guarded(
            "SECOND_NETWORK_H",
            f'#define SECOND_NAME "{name}"\n#define SECOND_OUTPUT_COUNT {len(two.outputs)}u\n',
        ),
        "second_registers.h": emit.registers_header(
            two, units[1], "second_outputs[SECOND_OUTPUT_COUNT]"
        ),
        "second_weights.h": emit.weights_header(two),
        "second_sample.h": emit.guarded(
            "SECOND_SAMPLE_H", sample + "\n" + emit.word_macro("SECOND_OUTPUT", answer)
        ),
    }
    return emit.write_project(one, samples[0], expected, out, "two-networks", units[0], more)


def clearing(program: Program, other: Program) -> Program:
    """Return a program that also undoes what another network has written to the registers.

    Registers that only the other one writes become zero, their value after reset; the control
    registers of quadrants that only the other one uses are set to its state before the start.
    """
    own = {write.address for write in program.registers}
    stopped, cleared = [], []
    for write in other.registers:
        if write.address in own:
            continue
        if _is_control(write.address):
            stopped.append(replace(write, comment=f"{write.comment} (not used)"))
        else:
            comment = f"clear what {other.name} has set"
            cleared.append(RegisterWrite(write.address, 0, comment, write.size))
    control, layers = emit.split_initialisation(program.registers)
    return replace(program, registers=(*stopped, *control, *cleared, *layers), _cache={})


def _is_control(address: int) -> bool:
    """Whether a register controls a quadrant as a whole."""
    found = memory_map.locate(address)
    return found is not None and emit.is_control(found)
