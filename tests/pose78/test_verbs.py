"""The front door itself: verbs, exit statuses, and that it opens at once."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import pose78
from pose78.__main__ import VERBS, main
from tests.helpers.places import REPOSITORY


def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name:<9} {verb.what}" in said for name, verb in VERBS.items())


@pytest.mark.parametrize("given", [[], ["fly"], ["--fly"]])
def test_what_is_no_verb_is_one_sentence(
    capsys: pytest.CaptureFixture[str], given: list[str]
) -> None:
    assert main(given) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert all(name in said for name in VERBS)


def test_help_loads_nothing_that_takes_time() -> None:
    program = (
        "import sys; from pose78.__main__ import main; main(['--help']); import pose78;"
        "print([m for m in ('numpy', 'torch', 'cv2', 'yaml', 'onnx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_looking_at_pictures_loads_no_torch() -> None:
    program = (
        "import sys, pose78; pose78.load('native');"
        "print([m for m in ('torch', 'onnx', 'pycocotools') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize(
    "asked", [["--student", "native"], ["--student", "grey"], ["examples/does_it_fit.py"]]
)
def test_asking_about_a_described_student_loads_no_torch(asked: list[str]) -> None:
    """It would take five times as long."""
    program = (
        "import sys; from pose78.__main__ import main; status = main(['check', *sys.argv[1:]]);"
        "print(status, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, *asked], capture_output=True, text=True,
                          cwd=REPOSITORY)  # fmt: skip
    assert done.stdout.splitlines()[-1] == "0 False", done.stderr


def test_looking_at_pictures_loads_neither_compiler_nor_viewer() -> None:
    """What a hundred pictures do not need would take a tenth of their time."""
    program = (
        "import sys; from pose78.__main__ import main; main(['predict', 'docs/images/pose.jpg']);"
        "print([m for m in sys.modules if m in ('synthesize.compiler', 'yaml', 'http.server')"
        " or m.startswith(('evalkit', 'synthesize.program'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          cwd=REPOSITORY)  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_every_public_name_is_there_and_described() -> None:
    for name in pose78.__all__:
        assert getattr(pose78, name).__doc__
        assert name in dir(pose78)
    with pytest.raises(AttributeError, match="no attribute 'fly'"):
        pose78.fly  # noqa: B018


def test_tasks_may_be_named_in_front_of_their_verbs() -> None:
    for verb, word in (("train", "student"), ("eval", "eval")):
        spelled = VERBS[verb].spelled
        assert spelled(["lift", "epochs=1"]) == ["lift", word, "epochs=1"]
        assert spelled(["epochs=1"]) == [word, "epochs=1"]
        assert spelled([]) == [word]


def test_the_doctor_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["doctor"])
    said = capsys.readouterr().out
    assert status == ("MISSING" in said)
    assert "numpy cv2" in said


def test_the_doctor_knows_every_package_that_an_extra_installs() -> None:
    """Under the names they are imported by."""
    from pose78.commands import doctor

    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    imported = {"pyelftools": "elftools", "pyserial": "serial", "myst-parser": "myst_parser"}
    extras = re.findall(r"^(kit|toolchain|view|train|docs) = \[(.*)\]", text, re.MULTILINE)
    names = [n for _, line in extras for n in re.findall(r'"([\w-]+)', line)]
    assert len(extras) == 5
    known = Path(doctor.__file__).read_text(encoding="utf-8")
    assert [n for n in names if f'"{imported.get(n, n)}"' not in known] == []


STUDENTS = "(grey, lift, native, seed, tiny)"


@pytest.mark.parametrize(
    "given",
    [
        ["check", "nobody"], ["check", "--student", "nobody"], ["report", "nobody"],
        ["predict", "x.png", "--model", "nobody"], ["view", "--model", "nobody"],
    ],
)  # fmt: skip
def test_every_command_knows_the_same_students(
    given: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.png").touch()
    assert main(given) == 2
    assert STUDENTS in capsys.readouterr().err


@pytest.mark.parametrize("name", ["grey", "lift", "native", "seed", "tiny"])
def test_every_student_can_be_checked(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--student", name]) == 0
    assert capsys.readouterr().out.startswith(f"{name}: ")


def test_a_report_of_whatever_can_be_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch
    from torch import nn

    from quantize.ptq.module import export

    monkeypatch.chdir(tmp_path)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
    export(net, torch.zeros(1, 3, 16, 16), tmp_path / "mine.onnx")
    assert main(["report", "mine.onnx"]) == 0
    assert "<title>mine" in (tmp_path / "report.html").read_text(encoding="utf-8")
    (tmp_path / "report.html").unlink()
    (tmp_path / "net.py").write_text(
        "from dataclasses import replace\nfrom ai8x_models.students import SPECS\n"
        "net = replace(SPECS['seed'], name='net')\n"
    )
    assert main(["report", "net.py"]) == 1
    assert "does not fit: " in capsys.readouterr().out
    assert not (tmp_path / "report.html").exists()


def test_students_are_named_to_the_verbs_that_take_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pose78.shipped import shipped

    native = str(shipped()["native"])
    assert VERBS["compile"].spelled(["native", "--out", "p"]) == ["compile", native, "--out", "p"]
    assert VERBS["eval"].spelled(["lift", "lift"]) == ["lift", "eval", str(shipped()["lift"])]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "native").touch()
    assert VERBS["compile"].spelled(["native"]) == ["compile", "native"]


def test_a_report_carries_what_is_known_of_accuracy_and_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:

    out, picture = tmp_path / "r.html", str(REPOSITORY / "docs" / "images" / "people.png")
    assert main(["report", "native", "-o", str(out), "--picture", picture]) == 0
    text = out.read_text(encoding="utf-8")
    card = (REPOSITORY / "ai8x_models" / "checkpoints" / "native.md").read_text(encoding="utf-8")
    figure = re.search(r"AP50 [\d.]+", card)
    assert figure is not None
    assert figure[0] in text
    assert "data:image/jpeg;base64," in text
    assert " in people.png, scores " in text
    assert main(["report", "lift", "-o", str(out), "--picture", picture]) == 2
    assert "does not look for people" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["grey", "lift", "native", "seed", "tiny"])
def test_every_card_says_how_accurate_its_student_is(name: str) -> None:
    from pose78.commands.report import accuracy

    assert re.search(r"\d\d\.\d", accuracy(name))
    assert "|" not in accuracy(name)


def test_the_version_and_a_verb_that_is_nearly_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.match(r"pose78[ ,]", capsys.readouterr().out)
    assert main(["Predict"]) == 2
    assert "(do you mean predict?)" in capsys.readouterr().err
