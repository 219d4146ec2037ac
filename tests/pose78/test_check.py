"""``pose78 check``: a network need not be trained to be asked about."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import pose78
from ai8x_models.spec.layer import LayerSpec
from ai8x_models.students import SPECS, StudentSpec
from pose78.__main__ import main
from pose78.checking import recipe_bits, untrained
from pose78.commands.check import read_bits
from synthesize.compiler import compile_graph

WIDE = StudentSpec(
    "wide",
    (3, 128, 128),
    (
        LayerSpec("a", "input", 3, 64),
        LayerSpec("b", "a", 64, 1000, pool=2, kernel=5),
        LayerSpec("c", "b", 1000, 1100, pool=2),
    ),
    ("c",),
)


def test_an_untrained_student_fits_with_the_bits_of_its_recipe() -> None:
    verdict = pose78.check(SPECS["tiny"])
    assert verdict.fits
    assert verdict.problems == ()
    assert verdict.text().endswith("fits\n")
    compiled = compile_graph(untrained(SPECS["tiny"], recipe_bits("tiny")))
    assert verdict.cycles == compiled.program.cycles


def test_weights_and_biases_count_although_there_are_none_yet() -> None:
    compiled = compile_graph(untrained(SPECS["tiny"], recipe_bits("tiny")))
    assert compiled.program.bias_bytes > 0
    assert compiled.program.weight_bytes > 100_000


def test_everything_that_breaks_a_limit_is_named_at_once_with_the_cycles() -> None:
    verdict = pose78.check(WIDE)
    text = verdict.text()
    assert not verdict.fits
    assert verdict.cycles is not None
    assert verdict.cycles > 1_000_000
    for sentence in (
        "layer b: a 5x5 kernel is not possible",
        "layer c: 1100 channels exceed the 1024",
        "weight memory: 11,501,728 bytes are needed, 11,059,360 more than the 442,368",
        "bias memory: 2,164 bytes are needed, 116 more than the 2,048",
        "data memory: ",
    ):
        assert sentence in text
    assert len(set(verdict.problems)) == len(verdict.problems) >= 5


def test_cycles_without_a_place_are_those_with_one() -> None:
    from pose78.checking import _failing

    graph = untrained(SPECS["tiny"], recipe_bits("tiny"))
    placed = pose78.check(SPECS["tiny"])
    # The compiler may have merged the two heads, which the failing form does not.
    nominal = {x["name"]: x for x in _failing(graph, pose78.UserError("any")).layers}
    for layer in placed.layers:
        if layer["name"] in nominal:
            assert nominal[layer["name"]] == layer


def test_a_python_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from dataclasses import replace\n"
        "from ai8x_models.students import SPECS, Student\n"
        "mine = replace(SPECS['lift'], name='mine')\n"
        "class Mine(Student):\n"
        "    def __init__(self): super().__init__(mine)\n"
    )
    assert main(["check", str(file)]) == 0
    assert "mine: " in capsys.readouterr().out
    file.write_text(file.read_text() + "other = replace(SPECS['tiny'], name='tiny')\n")
    assert main(["check", str(file)]) == 2
    assert "choose one as" in capsys.readouterr().err
    assert main(["check", f"{file}:other", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "tiny"
    assert main(["check", f"{file}:third"]) == 2
    assert "has no network third; it has mine, Mine, other" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x = 1\n", "has no network"),
        ("a = 1\nb = a / 0\n", "line 2: ZeroDivisionError: division by zero"),
        ("a = (\n", "line 1: SyntaxError"),
    ],
)
def test_a_python_file_that_does_not_serve(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, sentence: str
) -> None:
    (tmp_path / "x.py").write_text(text)
    assert main(["check", str(tmp_path / "x.py")]) == 2
    assert sentence in capsys.readouterr().err


def test_a_network_that_does_not_fit_is_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--student", "tiny", "--bits", "8"]) in (0, 1)
    capsys.readouterr()
    assert main(["check", "--student", "seed", "--bits", "8"]) == 1
    said = capsys.readouterr().out
    assert "does not fit: weight memory" in said
    assert "cycles" in said


def test_what_the_compiler_writes_can_be_asked_about(tmp_path: Path) -> None:
    pose78.compile("lift", tmp_path / "p", build=False)
    verdict = pose78.check(tmp_path / "p" / "network.yaml")
    assert verdict.fits
    assert verdict.cycles == pose78.check(pose78.shipped.find("lift")).cycles


def test_bits() -> None:
    assert read_bits("4") == 4
    assert read_bits("default=4,conv1=8") == {"default": 4, "conv1": 8}
    for wrong in ("x", "conv1=", "=4", "conv1=8,"):
        with pytest.raises(pose78.UserError, match="--bits"):
            read_bits(wrong)
    with pytest.raises(pose78.UserError, match="has no such layer"):
        pose78.check("lift", bits={"conv99": 8})
    with pytest.raises(pose78.UserError, match="3 bits"):
        pose78.check("lift", bits=3)
