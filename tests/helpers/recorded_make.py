"""Calls of the Makefile with a Python that only writes down what it is asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.helpers.front_door import ROOT, bare_environment

RECORDER = """#!{python}
import json, os, sys
if sys.argv[1:3] == ["-m", "common.words"]:
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
with open({log!r}, "a") as log:
    log.write(json.dumps([*sys.argv[1:], "DATA " + os.environ.get("POSE78_DATA", "")]) + "\\n")
"""


class Recorded:
    """A Python that writes down what it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log"
        self.harm = folder / "harm"
        python = folder / "venv" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(RECORDER.format(python=sys.executable, log=str(self.log)))
        python.chmod(0o755)

    @property
    def odd(self) -> str:
        """A text that does harm as soon as a shell or make looks into it."""
        return (
            f"a b'c\"d $HOME ${{HOME}} `touch {self.harm}` $(touch {self.harm}) "
            f"$(shell touch {self.harm}) ; touch {self.harm} & * ? # é \\ \\\\ % "
            f": = := , @ ~ ! ^ < > [ ] {{ }}\nx: ; touch {self.harm}\n\ty"
        )

    def make(self, *arguments: str, env: dict[str, str] | None = None) -> list[list[str]]:
        """What was asked for by make; nothing may be harmed."""
        result = self.run(*arguments, env=env)
        assert not self.harm.exists(), arguments
        assert result.returncode == 0, result.stderr
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def run(
        self, *arguments: str, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        venv = self.folder / "venv"
        fixed = ["make", "-o", f"{venv}/.ready", f"VENV={venv}", f"BUILD={self.folder}/build"]
        return subprocess.run(
            [*fixed, *arguments],
            cwd=ROOT,
            env=bare_environment() | (env or {}),
            capture_output=True,
            text=True,
        )
