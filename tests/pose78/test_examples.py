"""Every script in ``examples/`` runs and says what it is there to say."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from pose78.__main__ import main

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SAYS = {
    "people_in_a_picture.py": ("person 1, score 0.", "neck "),
    "does_it_fit.py": ("narrower: ", "fits: True"),
    "firmware_on_the_kit.py": ("PASS", "outputs: [[48, 1, 1]]"),
}


def test_no_example_is_forgotten() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SAYS)


@pytest.mark.parametrize("name", SAYS)
def test_an_example_runs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    if name == "firmware_on_the_kit.py":
        pytest.importorskip("unicorn", reason="the virtual kit needs the extra 'kit'")
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    said = capsys.readouterr().out
    assert all(text in said for text in SAYS[name])


def test_the_example_of_a_student_can_be_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(EXAMPLES / "does_it_fit.py")]) == 0
    assert "narrower: " in capsys.readouterr().out
    assert main(["check", f"{EXAMPLES / 'does_it_fit.py'}:NARROWER"]) == 0
    assert "narrower: " in capsys.readouterr().out
