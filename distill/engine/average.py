"""``python -m distill pose average STUDENT ... -o FILE``: the mean of several students.

Students that were trained on from the same weights lie close enough together for their mean to be a
student, too, and often a better one than each (Wortsman et al., "Model soups", ICML 2022). Students
of quantisation-aware training have one, too, where their layers have the same bits and shifts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ai8x_models.student_file import load_student, save_student
from ai8x_models.students import Student
from common.arguments import Parser, to_file
from common.console import progress, say
from common.errors import UserError
from common.files import check_writable

SETTINGS = ("output_shift", "weight_bits", "bias_bits", "quantize_activation")
"""Entries of a layer that are no weights; see :class:`ai8x_models.layers.FusedLayer`."""


def mean(students: Sequence[Student], names: Sequence[str]) -> Student:
    """A student with the mean of all weights and statistics; the first one is changed to it.

    Raises:
        UserError: they are of different networks, modes, bits or shifts, or integers; ``names`` say
            which.
    """
    first = students[0]
    for student, name in zip(students, names, strict=True):
        if student.mode == "integer" or student.mode != first.mode:
            raise UserError(
                f"{name} is a student of mode '{student.mode}' and {names[0]} one of mode "
                f"'{first.mode}'; only students of one mode have a mean, and integer ones have none"
            )
        if student.spec.describe() != first.spec.describe():
            raise UserError(
                f"{name} is another network than {names[0]} ('{student.spec.name}' and "
                f"'{first.spec.name}', or other layers); only equal ones have a mean"
            )
    states = [student.state_dict() for student in students]
    for key, value in states[0].items():
        if _is_setting(key):
            _check_equal(key, states, names)
        elif value.is_floating_point():
            states[0][key] = torch.stack([state[key] for state in states]).mean(0)
    first.load_state_dict(states[0])
    return first


def _is_setting(key: str) -> bool:
    """Whether an entry says how a layer computes: its bits, its shift."""
    return key.rpartition(".")[2] in SETTINGS


def _check_equal(key: str, states: Sequence[dict[str, torch.Tensor]], names: Sequence[str]) -> None:
    for state, name in zip(states, names, strict=True):
        if not torch.equal(state[key], states[0][key]):
            layer, _, setting = key.rpartition(".")
            raise UserError(
                f"{name}: {setting} of layer {layer} is {state[key].tolist()}, that of {names[0]} "
                f"{states[0][key].tolist()}; only students that agree on it have a mean"
            )


def main(arguments: list[str] | None = None) -> int:
    """Read, average, write.

    Raises:
        UserError: see :func:`mean`, or files that cannot be read or written.
    """
    parser = Parser(prog="python -m distill pose average", description=__doc__)
    parser.add_argument("students", type=Path, nargs="+", help="students of one network and mode")
    parser.add_argument("-o", "--output", type=to_file, required=True, help="student to write")
    options = parser.parse_args(arguments)
    check_writable(options.output)
    files = progress(options.students, title="reading", unit="student")
    loaded = [load_student(path) for path in files]
    names = [str(path) for path in options.students]
    student = mean([student for student, _ in loaded], names)
    save_student(student, options.output, 0, {"mean_of": len(names)})
    say(str(options.output))
    return 0
