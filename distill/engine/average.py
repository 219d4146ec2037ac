"""``python -m distill pose average STUDENT ... -o FILE``: the mean of several float students.

Students that were trained on from the same weights lie close enough together for their mean to be a
student, too, and often a better one than each (Wortsman et al., "Model soups", ICML 2022).
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


def mean(students: Sequence[Student], names: Sequence[str]) -> Student:
    """A student with the mean of all weights and statistics; the first one is changed to it.

    Raises:
        UserError: they are of different networks, or not float; ``names`` say which.
    """
    first = students[0]
    for student, name in zip(students, names, strict=True):
        if student.mode != "float":
            raise UserError(
                f"{name} is a student of mode '{student.mode}'; only float ones have a mean"
            )
        if student.spec.describe() != first.spec.describe():
            raise UserError(
                f"{name} is another network than {names[0]} ('{student.spec.name}' and "
                f"'{first.spec.name}', or other layers); only equal ones have a mean"
            )
    states = [student.state_dict() for student in students]
    for key, value in states[0].items():
        if value.is_floating_point():
            states[0][key] = torch.stack([state[key] for state in states]).mean(0)
    first.load_state_dict(states[0])
    return first


def main(arguments: list[str] | None = None) -> int:
    """Read, average, write.

    Raises:
        UserError: see :func:`mean`, or files that cannot be read or written.
    """
    parser = Parser(prog="python -m distill pose average", description=__doc__)
    parser.add_argument("students", type=Path, nargs="+", help="float students of one network")
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
