"""Two networks resident on one accelerator: compiled together, run in turn on the virtual board."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ai8x_models.student_file import save_student
from ai8x_models.students import Student
from common.errors import UserError
from evalkit.kit import Kit
from quantize.calibrate import bits_per_layer, calibrate
from quantize.fold import fold_batchnorm
from quantize.integer import integer_extras, to_integer
from synthesize.__main__ import main
from synthesize.compiler import Compiled, compile_network
from synthesize.place.reserved import NOTHING, Reserved
from synthesize.program.program import FifoPort
from synthesize.read import checkpoint
from synthesize.write import elf as build
from synthesize.write import two_networks as beside

pytest.importorskip("unicorn", reason="the kit extra is not installed")

SEED = Path(__file__).resolve().parents[2] / "ai8x_models" / "checkpoints" / "seed-q.pth.tar"


@pytest.fixture(scope="module")
def lifter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    student = fold_batchnorm(Student("lift"))
    calibrate(student, bits_per_layer(student, 4, {}), torch.randn(64, 32, 1, 1).clamp(-1, 0.99))
    for _, layer in student.layers():
        layer.op.bias.data.uniform_(-0.1, 0.1)  # type: ignore[union-attr]
    path = tmp_path_factory.mktemp("lifter") / "lifter-q.pth.tar"
    save_student(to_integer(student), path, 0, integer_extras(student, {}))
    return path


def compiled(path: Path, reserved: Reserved) -> Compiled:
    return compile_network(checkpoint.load(path), reserved=reserved)


def test_both_meet_their_known_answers_in_turn(
    lifter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tmp_path / "project"
    assert main(["compile", str(SEED), "--second", str(lifter), "--out", str(project)]) == 0
    assert "lift: 183 cycles" in capsys.readouterr().out
    kit = Kit(build.build(project, cache=tmp_path / "objects"))
    kit.run_until(max_seconds=1)
    said = kit.uart_text()
    assert "PASS" in said
    assert said.count("CNN clock cycles: ") == 4  # three inferences and a sum


def test_registers_of_one_network_do_not_reach_the_other(lifter: Path) -> None:
    pair = beside.compile_pair(lambda r: compiled(SEED, r), lambda r: compiled(lifter, r))
    first, second = pair.programs()
    written = [{w.address for w in program.registers} for program in (first, second)]
    assert written[0] == written[1]
    assert first.checksum != pair.first.program.checksum
    last = {w.address: w.value for w in second.registers}
    own = {w.address for w in pair.second.program.registers}
    others = [a for a in last if a not in own and a & 0xFFFF >= 0x10]
    assert others
    assert not any(last[a] for a in others)


def test_a_second_network_that_does_not_fit_is_refused(
    lifter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def large(reserved: Reserved) -> Compiled:
        if reserved != NOTHING:
            raise UserError("no room")
        return compiled(lifter, reserved)

    with pytest.raises(UserError, match="lift does not fit beside lift: no room"):
        beside.compile_pair(large, large)
    assert beside.compile_pair(large, lambda r: compiled(lifter, r)).second.program.name == "lift"
    against = ["--against", str(tmp_path / "no.npz")]
    assert main(["compile", str(lifter), "--second", str(lifter), *against]) == 2
    assert "--second needs --out DIR" in capsys.readouterr().err


def test_a_pair_whose_input_is_streamed_is_refused(lifter: Path, tmp_path: Path) -> None:
    pair = beside.compile_pair(lambda r: compiled(SEED, r), lambda r: compiled(lifter, r))

    streamed = replace(pair.first.program, fifo=FifoPort((0,), 0, 0))
    other = beside.Pair(replace(pair.first, program=streamed), pair.second)
    with pytest.raises(UserError, match="seed: its input is streamed through FIFOs"):
        beside.write_project(other, (np.zeros(0), np.zeros(0)), tmp_path / "no")


def test_one_network_starts_at_a_given_word(
    lifter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = ["--weight-start", "748", "--bias-start", "300"]
    assert main(["check", str(lifter), *start]) == 0
    assert "fits" in capsys.readouterr().out
    assert main(["check", str(lifter), "--weight-start", "768"]) == 2
    assert "the first kernel word is 768; it must be in 0..767" in capsys.readouterr().err
