"""What make does after it was killed, or after the clock was set back: never half of a thing."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.helpers.front_door import ROOT, bare_environment, make
from tests.helpers.recorded_make import Recorded

PYTHON = """#!{shell}
# Makes environments out of itself, and is killed with all of make as soon as it should.
echo "$@" >> {log}
case "$*" in
*"{kill}"*) test -e {killed} || {{ touch {killed}; {half} kill -9 0; }};;
esac
case "$*" in
"-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && touch "$3/whole";;
esac
"""


class Setup:
    """``make setup`` with a Python that writes down what it is asked for."""

    def __init__(self, folder: Path, kill: str = "nothing at all", half: str = "") -> None:
        self.folder, self.log, self.venv = folder, folder / "log", folder / "venv"
        self.python = folder / "python"
        self.python.write_text(PYTHON.format(
            shell="/bin/sh", log=self.log, kill=kill, killed=folder / "killed", half=half,
        ))  # fmt: skip
        self.python.chmod(0o755)

    def run(self) -> tuple[int, str]:
        """Its status, and what Python was asked for since the last one."""
        self.log.unlink(missing_ok=True)
        said = subprocess.run(
            ["make", f"VENV={self.venv}", f"PYTHON={self.python}", "setup"],
            cwd=ROOT, env=bare_environment(), capture_output=True, text=True,
            start_new_session=True,
        )  # fmt: skip
        return said.returncode, self.log.read_text() if self.log.exists() else said.stderr


@pytest.mark.parametrize(
    ("kill", "half"),
    [
        ("-m venv", 'mkdir -p "$3/bin"; cp "$0" "$3/bin/python";'),
        ("torch", ""),
        ("train,dev", ""),
    ],
)
def test_a_setup_that_was_killed_is_made_anew(kill: str, half: str, tmp_path: Path) -> None:
    setup = Setup(tmp_path, kill, half)
    status, _ = setup.run()
    assert status != 0
    assert not (setup.venv / ".ready").exists()
    (setup.venv / "half a package").touch()
    status, asked = setup.run()
    assert status == 0
    assert "-m venv" in asked
    assert "torch" in asked
    assert "train,dev" in asked
    assert (setup.venv / "whole").exists()
    assert (setup.venv / ".ready").exists()
    assert not (setup.venv / "half a package").exists()
    status, asked = setup.run()
    assert (status, asked) == (0, ""), "an environment that is whole stays"


def test_an_environment_that_was_there_is_never_removed(tmp_path: Path) -> None:
    setup = Setup(tmp_path, "train,dev")
    (setup.venv / "bin").mkdir(parents=True)
    (setup.venv / "bin" / "python").write_bytes(setup.python.read_bytes())
    (setup.venv / "bin" / "python").chmod(0o755)
    (setup.venv / "mine").touch()
    assert setup.run()[0] != 0
    status, asked = setup.run()
    assert status == 0
    assert "-m venv" not in asked
    assert "train,dev" in asked
    assert (setup.venv / "mine").exists()


def test_another_network_is_compiled_though_the_clock_was_set_back(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    report, choice = (tmp_path / "build" / name for name in ("project/report.json", ".choice"))
    report.parent.mkdir(parents=True)
    choice.write_text("another network\n")
    made = (report, choice, tmp_path / "build" / "input.npy")
    for path in made:
        path.touch()
        os.utime(path, (time.time() + 1e6, time.time() + 1e6))
    calls = recorded.make(str(report))
    assert any(call[:3] == ["-m", "synthesize", "compile"] for call in calls), calls
    assert any("sample" in call for call in calls), calls


@pytest.mark.parametrize("target", ["folder", "made/later"])
def test_results_may_go_where_a_link_leads(target: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "build").symlink_to(tmp_path / target)
    for arguments in (["-n", "synth"], [f"{tmp_path}/build/.choice", "KEPT=1"]):
        result = make(tmp_path / "build", *arguments)
        assert result.returncode == 0, result.stderr
    assert (tmp_path / target / ".choice").exists()
    assert (tmp_path / "build").is_symlink()
