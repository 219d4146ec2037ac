"""The documentation as a site: it builds without a warning, and what it shows can be run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pose78.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
sys.path.append(str(DOCS))
import commands_page  # noqa: E402


def shown(page: str) -> list[str]:
    """The command lines of a page, without remarks."""
    blocks = re.findall(r"```sh\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def test_the_reference_of_commands_is_that_of_the_parsers() -> None:
    written = (DOCS / "reference" / "commands.md").read_text(encoding="utf-8")
    assert written == commands_page.page(), "run: make site"


def test_links_out_of_the_documentation_become_words() -> None:
    text = "[a](start.md), [b](../README.md), [c](https://x.org/y), [d](start.md#here)"
    mended = commands_page.without_outward_links(text, DOCS, DOCS / "index.md")
    assert mended == "[a](start.md), b, [c](https://x.org/y), [d](start.md#here)"


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    for package in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(package, reason="the site needs the extra 'docs'")
    given = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", str(DOCS), str(tmp_path)]
    done = subprocess.run([*given, "-d", str(tmp_path / "trees")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for page in DOCS.glob("*.md"):
        assert (tmp_path / f"{page.stem}.html").is_file()
    api = (tmp_path / "reference" / "python.html").read_text(encoding="utf-8")
    assert "The people in a picture, the surest first." in api
    assert "pose78 predict" in (tmp_path / "reference" / "commands.html").read_text("utf-8")


def test_what_the_first_page_shows_can_be_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("unicorn", "ziglang"):
        pytest.importorskip(package, reason="firmware on the kit needs 'kit' and 'toolchain'")
    for name in ("docs", "examples", "ai8x_models"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    ran = 0
    for line in shown("start.md"):
        program, *arguments = shlex.split(line)
        if program == "pose78":
            assert main(arguments) == 0, line
        elif arguments[:2] == ["-m", "synthesize.build"]:
            from synthesize.build import main as build

            assert build(arguments[2:]) == 0, line
        else:
            assert line == "pip install ."
            continue
        ran += 1
    assert ran >= 9
    assert {"results", "people.json", "people.csv", "build", "report.html"} <= {
        path.name for path in tmp_path.iterdir()
    }


def test_the_python_that_the_first_page_shows_can_be_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    text = (DOCS / "start.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(program, "start.md", "exec"), {})
    assert "Point(name='neck'" in capsys.readouterr().out
