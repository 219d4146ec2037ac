"""Numbers on command lines have limits, and what is wrong with an argument is one sentence."""

from __future__ import annotations

import pytest

from common.arguments import Parser, real, whole
from common.console import command_line


@command_line
def command(arguments: list[str]) -> int:
    parser = Parser(prog="command")
    parser.add_argument("--count", type=whole())
    parser.add_argument("--start", type=whole(0, 10))
    parser.add_argument("--rate", type=real(above=0))
    parser.add_argument("--share", type=real(0, 1))
    parser.add_argument("--span", type=real(), nargs=2)
    print(vars(parser.parse_args(arguments)))
    return 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--count", "0"], "argument --count: 0 is not a whole number of at least 1;"),
        (["--count", "-1"], "argument --count: -1 is not a whole number of at least 1;"),
        (["--count", "1.5"], "1.5 is not a whole number"),
        (["--count", "nan"], "nan is not a whole number"),
        (["--count", "9" * 9000], "is not a whole number of at least 1;"),
        (["--start", "11"], "11 is not a whole number from 0 to 10;"),
        (["--rate", "0"], "0 is not a number above 0;"),
        (["--rate", "nan"], "nan is not a number above 0;"),
        (["--rate", "1e400"], "1e400 is not a number above 0;"),
        (["--share", "-0.1"], "-0.1 is not a number from 0 to 1;"),
        (["--share", "x\ny"], r"x\ny is not a number from 0 to 1;"),
        (["--span", "0", "inf"], "inf is not a finite number;"),
        (["--other"], "unrecognized arguments: --other; command -h explains it"),
    ],
)
def test_what_is_no_such_number_is_one_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(arguments) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.startswith("error: ")
    assert told.count("\n") == 1
    assert len(told) < 200


def test_numbers_within_the_limits_pass(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--count", "1", "--start", "0", "--rate", "1e-9", "--share", "1", "--span", "-1", "2"]
    assert command(given) == 0
    assert "'count': 1, 'start': 0, 'rate': 1e-09, 'share': 1.0" in capsys.readouterr().out
