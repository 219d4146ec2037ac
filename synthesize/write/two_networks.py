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

from common.errors import UserError
from common.texts import c_string
from synthesize.chip import memory_map
from synthesize.compiler import Compiled
from synthesize.place import memories
from synthesize.place.reserved import NOTHING, Reserved
from synthesize.program.program import Program, RegisterWrite
from synthesize.write import headers, pose_outputs, project

Compile = Callable[[Reserved], Compiled]
"""Compiles one network beside what is reserved."""

_LIFTER_INPUT, _LIFTER_OUTPUT = (32, 1, 1), (48, 1, 1)
"""What ``firmware_templates/lifting`` feeds a lifter with, and takes from it."""
_LIFTER_MOST_UNIT = 20


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
        return Pair(alone, second(memories.reserve(alone.legal, alone.placement)))
    except UserError as failure:
        small = second(NOTHING)
        try:
            return Pair(first(memories.reserve(small.legal, small.placement)), small)
        except UserError:
            raise UserError(
                f"{small.program.name} does not fit beside {alone.program.name}: {failure}"
            ) from None


def write_project(
    pair: Pair,
    samples: tuple[np.ndarray, np.ndarray],
    out: Path,
    units: tuple[Mapping[str, int], Mapping[str, int]] = ({}, {}),
    application: str = "two-networks",
    beside: Callable[[Path], object] | None = None,
) -> Path:
    """Write the C project of a pair; see :func:`project.write_project`.

    Args:
        pair: what :func:`compile_pair` made.
        samples: an input of each, integers [channels, rows, columns].
        out: folder of the project.
        units: of the outputs of each.
        application: one of ``project.PAIRS``; ``two-networks`` carries known answers of both,
            ``frame-injection-3d`` only of the first.
        beside: as of :func:`project.write_project`.

    Raises:
        UserError: the networks are none for the application; which, and what it takes, is said.
    """
    one, two = pair.programs()
    if one.fifo is not None or two.fifo is not None:
        streamed = one if one.fifo is not None else two
        raise UserError(
            f"{streamed.name}: its input is streamed through FIFOs; two networks in turn both need "
            "an input that fits data memory"
        )
    for program in (one, two):
        if program.cleared:
            raise UserError(
                f"{program.name}: it keeps a data buffer in data memory, which the other network "
                "would overwrite; run it alone"
            )
    if application == "frame-injection-3d":
        _check_lifter(one, two, units[1])
    expected = pair.first.known_answer(samples[0])
    answer = two.known_answer(pair.second.known_answer(samples[1]))
    name = c_string(two.name)
    sample = headers.sample_macro("SECOND_INPUT", two, samples[1])
    more = {
        "second_network.h": headers.guarded(
            "SECOND_NETWORK_H",
            f'#define SECOND_NAME "{name}"\n#define SECOND_OUTPUT_COUNT {len(two.outputs)}u\n',
        ),
        "second_registers.h": headers.registers_header(
            two, units[1], "second_outputs[SECOND_OUTPUT_COUNT]"
        ),
        "second_weights.h": headers.weights_header(two),
        "second_input.h": headers.guarded("SECOND_INPUT_H", _input_table(two)),
        "second_sample.h": headers.guarded(
            "SECOND_SAMPLE_H", sample + "\n" + headers.word_macro("SECOND_OUTPUT", answer)
        ),
    }
    return project.write_project(
        one, samples[0], expected, out, application, units[0], more, beside
    )


def _check_lifter(pose: Program, lifter: Program, units: Mapping[str, int]) -> None:
    """UserError unless the second network lifts what the first finds."""
    if pose_outputs.find(pose) is None:
        raise UserError(
            f"{pose.name}: no pose outputs (19 heatmaps and 38 fields, apart or in one output of "
            "57 channels) for frame-injection with --second; compile a pose network, or use "
            "--application two-networks"
        )
    shapes = [out.shape for out in lifter.outputs]
    if lifter.input_shape != _LIFTER_INPUT or shapes != [_LIFTER_OUTPUT]:
        raise UserError(
            f"{lifter.name}: input {list(lifter.input_shape)} and outputs "
            f"{[list(shape) for shape in shapes]}; frame-injection with --second takes a lifter, "
            f"{list(_LIFTER_INPUT)} and [{list(_LIFTER_OUTPUT)}]; others run in two-networks"
        )
    unit = units.get(lifter.outputs[0].name, 7)
    if not 0 <= unit <= _LIFTER_MOST_UNIT:
        raise UserError(
            f"{lifter.name}: an answer of 1 m is 2^{unit}; the firmware takes 2^0 to "
            f"2^{_LIFTER_MOST_UNIT}"
        )


def _input_table(program: Program) -> str:
    """Addresses of the words that hold four channels each, of an input of one pixel.

    No table of another input: its application stores prepared records.
    """
    if program.input_shape[1:] != (1, 1) or program.input_shape[0] % 4:
        return "/* Not an input of single words. */\n"
    groups = program.input_addresses().reshape(-1, 4)
    if (groups[:, 0] % 4).any() or (np.diff(groups) != 1).any():
        return "/* Not an input of single words. */\n"
    rows = "".join(f"    0x{int(address):08x}u,\n" for address in groups[:, 0])
    return (
        f"#include <stdint.h>\n\n#define SECOND_INPUT_WORDS {len(groups)}u\n\n"
        f"static const uint32_t second_input_words[] = {{\n{rows}}};\n"
    )


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
    control, layers = headers.split_initialisation(program.registers)
    return replace(program, registers=(*stopped, *control, *cleared, *layers), _cache={})


def _is_control(address: int) -> bool:
    """Whether a register controls a quadrant as a whole."""
    found = memory_map.locate(address)
    return found is not None and headers.is_control(found)
