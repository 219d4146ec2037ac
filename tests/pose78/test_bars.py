"""Work that takes its time shows a bar with the time left, on terminals only."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest
import torch

from pose78.shipped import shipped
from tests.helpers.tiny_training import TINY

PEOPLE = Path(__file__).resolve().parents[2] / "docs" / "images" / "people.png"
FLOAT = shipped()["native"].with_name("native-float.pth.tar")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@dataclass(frozen=True)
class Work:
    """A command: what it is given, and the titles of its bars.

    given: arguments; PICTURES, MODEL and OUT stand for a folder, an ONNX file and a new file.
    """

    module: str
    given: tuple[str, ...]
    titles: tuple[str, ...]


WORKS = {
    "predict": Work("pose78.__main__", ("predict", "PICTURES"), ("looking",)),
    "quantize --calibrate": Work(
        "pose78.__main__",
        ("quantize", "MODEL", "--calibrate", "PICTURES", "--bits", "8", "-o", "OUT.onnx"),
        ("reading", "ranges", "equalising", "calibrating", "the integer network"),
    ),
    "equalize": Work(
        "quantize.__main__",
        ("equalize", str(FLOAT), "OUT.pth.tar", "--images", "PICTURES", "--count", "1"),
        ("reading", "equalising"),
    ),
    "average": Work(
        "distill.__main__", ("pose", "average", str(FLOAT), str(FLOAT), "-o", "OUT.pth.tar"),
        ("reading",),
    ),
    "train": Work(
        "distill.__main__", ("grey", "student", "out=OUT", *TINY),
        ("epoch 1/1", "validation"),
    ),
    "eval": Work(
        "distill.__main__",
        ("pose", "eval", str(FLOAT), "--synthetic", "2", "--size", "64"), ("crops",),
    ),
    "fuzz": Work("tests.fuzz.__main__", ("keypoints", "--count", "2"), ("keypoints",)),
    "check": Work("pose78.__main__", ("check", "WIDE"), ("weight bits",)),
    "film": Work("distill.people.film", ("walk", "OUT.avi"), ("film",)),
}  # fmt: skip


def called(work: Work, folder: Path) -> Callable[[], object]:
    """The command, with files for it."""
    from quantize.ptq.module import export

    (folder / "pictures").mkdir()
    for name in ("a.png", "b.png"):
        shutil.copy(PEOPLE, folder / "pictures" / name)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.ReLU())
    export(net, torch.zeros(1, 3, 16, 16), folder / "m.onnx")
    (folder / "wide.py").write_text(
        "from torch import nn\nnet = nn.Sequential(*(nn.Conv2d(64, 64, 3, padding=1) "
        "for _ in range(14)))\nnet.input_shape = (64, 8, 8)\n"
    )
    places = {"PICTURES": folder / "pictures", "MODEL": folder / "m.onnx", "OUT": folder / "out",
              "WIDE": folder / "wide.py"}  # fmt: skip
    given = []
    for word in work.given:
        for name, path in places.items():
            word = word.replace(name, str(path))
        given.append(word)
    return lambda: import_module(work.module).main(given)


@pytest.mark.parametrize("name", WORKS)
def test_a_bar_with_the_time_left(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, terminal = called(WORKS[name], tmp_path), Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert work() in (0, 1)
    shown = terminal.getvalue()
    for title in WORKS[name].titles:
        assert f"\r{title}: " in shown or f"{title}: " in shown, shown
        bar = shown[shown.index(f"{title}: ") :]
        assert "<" in bar.partition("\r")[0], f"{title} does not say how long it will take"


@pytest.mark.parametrize("name", ["predict", "quantize --calibrate", "train"])
def test_no_bar_in_a_log_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work, log = called(WORKS[name], tmp_path), io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    assert work() == 0
    assert "%|" not in log.getvalue()
    assert "\r" not in log.getvalue()


def test_stages_of_work_without_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    from common.console import stages

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with stages("virtual kit", 2) as begin:
        begin("compiling")
        begin("building")
    assert "compiling" in terminal.getvalue()
    assert "1/2" in terminal.getvalue()
