"""The front door itself: verbs, exit statuses, and that it opens at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pose78
from pose78.__main__ import VERBS, main


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
