"""Commands that write are killed at random times, and run again."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.helpers.places import REPOSITORY


@pytest.mark.long
def test_the_same_command_again_gives_the_right_result() -> None:
    pytest.importorskip("unicorn", reason="the kit extra is not installed")
    pytest.importorskip("pytorch_lightning", reason="the train extra is not installed")
    kills = [sys.executable, "-m", "tests.kills", "--count", "21", "--seed", "4"]
    said = subprocess.run(kills, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr[-2000:]
    assert "killed" in said.stdout
