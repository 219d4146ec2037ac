"""Names of layers and networks in everything the compiler writes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from common.errors import UserError
from common.files import write_arrays
from synthesize.__main__ import main
from synthesize.compiler import Compiled, compile_network
from synthesize.program.program import RegisterWrite
from synthesize.report import page
from synthesize.write import project
from tests.helpers.c_text import without_comments

POISON = "/* {0x50100010u, 0x78u}, */ </title><script>alert(1)</script> ??/ \\ '\" $(id)"
SPLICED = "x*\\\n/ {0x50100010u, 0x78u}, //"


LAYER = {"op": "conv2d", "kernel_size": "3x3", "pad": 1, "in_channels": 3, "in_dim": [8, 8]}


def description(folder: Path, name: str) -> Path:
    path = folder / "network.yaml"
    entry = {**LAYER, "out_channels": 4, "name": name}
    path.write_text(yaml.safe_dump({"layers": [entry]}, allow_unicode=False))
    return path


def compiled_as(folder: Path, name: str) -> Compiled:
    return compile_network(None, description(folder, name))


def trained(folder: Path) -> Path:
    path = folder / "weights.npz"
    write_arrays(path, {"conv.op.weight": np.ones((4, 3, 3, 3), np.int64)})
    return path


def test_a_name_that_prints_stays_a_name_in_every_file(tmp_path: Path) -> None:
    plain = compiled_as(tmp_path, "conv")
    odd = compiled_as(tmp_path, POISON)
    assert odd.program.layers[0].name == POISON
    sample = project.example(plain.program, None, "known-answer")
    expected = plain.known_answer(sample)
    renamed = {odd.program.outputs[0].name: next(iter(expected.values()))}
    ours = project.generated_files(plain.program, sample, expected)
    theirs = project.generated_files(odd.program, sample, renamed)
    for name in ("registers.h", "weights.h", "sampledata.h", "sampleoutput.h"):
        tokens = without_comments(theirs[name])
        tokens = re.sub(r'"[^"\\\n]*"', '"conv"', tokens)
        assert tokens == without_comments(ours[name]), name


def test_the_page_of_a_report_shows_the_name_as_text(tmp_path: Path) -> None:
    shown = page.page(compiled_as(tmp_path, POISON))
    assert "<script>alert" not in shown
    assert "&lt;script&gt;alert" in shown


def test_the_description_written_for_others_holds_plain_words(tmp_path: Path) -> None:
    files = [str(description(tmp_path, POISON)), str(trained(tmp_path))]
    assert main(["compile", *files, "--out", str(tmp_path / "out"), "--quiet"]) == 0
    written = yaml.safe_load((tmp_path / "out" / "network.yaml").read_text())
    assert all(re.fullmatch(r"[\w.+-]+", entry["name"], re.ASCII) for entry in written["layers"])


@pytest.mark.parametrize("name", [SPLICED, "a\x1b[2J", "", "n" * 201, "\u202eevil"])
def test_a_name_that_does_not_print_is_refused_with_its_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"network\.yaml:\d.*name") as refused:
        compiled_as(tmp_path, name)
    assert str(refused.value).isprintable()


def test_comments_of_registers_are_held_back_even_without_the_reader(tmp_path: Path) -> None:
    program = compiled_as(tmp_path, "conv").program
    writes = tuple(
        RegisterWrite(write.address, write.value, SPLICED, write.size)
        for write in program.registers
    )
    spliced = project.registers_header(replace(program, registers=writes, _cache={}), {})
    assert without_comments(spliced) == without_comments(project.registers_header(program, {}))
