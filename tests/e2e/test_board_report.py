"""A report about a board: tried on the virtual kit, on one that lies, and on boards that fail."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from evalkit.__main__ import main
from evalkit.hardware.cnn import runner
from evalkit.host import board_report
from evalkit.wire import protocol
from evalkit.wire.protocol import Frame, encode
from synthesize.compiler import compile_graph
from synthesize.graph.ir import INPUT, Graph, Input, Layer, Output
from synthesize.report import table
from synthesize.write import elf, project

pytest.importorskip("unicorn", reason="the kit extra is not installed")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    layer = Layer(
        "c", "conv2d", (INPUT,), (4, 24, 24), (16, 24, 24), kernel=(3, 3), pad=(1, 1),
        weight=rng.integers(-128, 128, (16, 4, 3, 3)), output_shift=-4,
    )  # fmt: skip
    graph = Graph("small", Input((4, 24, 24)), (layer,), (Output("c", "c", 0, 16),))
    compiled = compile_graph(graph)
    sample = rng.integers(-128, 128, (4, 24, 24))
    folder = tmp_path_factory.mktemp("board") / "small"
    project.write_project(compiled.program, sample, compiled.known_answer(sample), folder)
    (folder / "report.json").write_text(table.to_json(compiled), encoding="utf-8")
    elf.build(folder)
    return folder


def report(built: Path, folder: Path) -> tuple[int, dict, str]:
    status = main(["board-report", str(built), "-o", str(folder / "b.json"), "--note", "<desk>"])
    page = (folder / "b.html").read_text(encoding="utf-8")
    return status, json.loads((folder / "b.json").read_text(encoding="utf-8")), page


def test_the_virtual_kit_agrees_with_the_model(built: Path, tmp_path: Path) -> None:
    status, facts, page = report(built, tmp_path)
    (row,) = facts["networks"]
    assert (status, facts["good"], row["verdict"]) == (0, True, "agrees")
    assert row["known_answer"]
    assert 0 <= row["measured_cycles"] - row["model_cycles"] < board_report.TOLERANCE_CYCLES
    assert "1 of 1 networks" in page
    assert "&lt;desk&gt;" in page


def test_a_kit_that_lies_about_its_cycles(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = runner.layer_cycles
    monkeypatch.setattr(runner, "layer_cycles", lambda geometry: 11 * honest(geometry) // 10)
    status, facts, page = report(built, tmp_path)
    (row,) = facts["networks"]
    assert (status, facts["good"], row["verdict"]) == (1, False, "differs")
    assert row["known_answer"]
    assert 0.09 < row["deviation"] < 0.15
    assert 'class="bad"' in page
    assert "0 of 1 networks" in page


class Board:
    """A link that says what it is told to."""

    name, baud = "board", None

    def __init__(self, *frames: Frame) -> None:
        self.left = b"noise\r\n" + b"".join(encode(frame) for frame in frames)
        self.time = 0.0

    def read(self, seconds: float) -> bytes:
        self.time += seconds
        data, self.left = self.left[:7], self.left[7:]
        return data

    def write(self, data: bytes) -> None:
        raise AssertionError(data)

    def clock(self) -> float:
        return self.time

    def close(self) -> None:
        pass


def hello(checksum: int) -> Frame:
    return Frame(
        protocol.HELLO, 0, struct.pack("<IIHHHH", 1 << 16, checksum, 4, 24, 24, 1) + b"other"
    )


def end(status: int, ticks: int) -> Frame:
    return Frame(protocol.END, 0, struct.pack("<II", status, ticks))


@pytest.mark.parametrize(
    ("frames", "verdict", "cycles"),
    [
        ((), "no answer", None),
        ((hello(7),), "no end", None),
        ((hello(7), end(1, 9000)), "the known answer was not met", 9000),
        ((hello(7), end(0, 0)), "the known answer was not met", None),
        ((hello(8), end(0, 9000)), "the board runs another network (other)", None),
        ((end(0, 9000),), "no answer", None),
        ((hello(7), end(0, 9000)), "agrees", 9000),
        ((hello(7), end(0, 9600)), "agrees", 9600),
        ((hello(7), end(0, 9681)), "differs", 9681),
        ((hello(7), end(0, 8319)), "differs", 8319),
    ],
)
def test_verdicts(frames: tuple[Frame, ...], verdict: str, cycles: int | None) -> None:
    wanted = board_report.Expected("small", 7, 9000, 1, Path("firmware.elf"))
    began = []
    row = board_report.measure(wanted, Board(*frames), lambda: began.append(1))
    assert began == [1]
    assert (row.verdict, row.measured_cycles, row.good) == (verdict, cycles, verdict == "agrees")


def test_a_folder_that_is_no_project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in (None, "{", "[" * 5000, '{"name": "x"}'):
        if text is not None:
            (tmp_path / "report.json").write_text(text)
            (tmp_path / "firmware.elf").write_bytes(b"")
        assert main(["board-report", str(tmp_path), "-o", str(tmp_path / "b.json")]) == 2
        assert capsys.readouterr().err.count("\n") == 1
        assert not (tmp_path / "b.json").exists()
