"""The report as a browser shows it: no table is cut off at the width of a usual window."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthesize.compiler import compile_network
from synthesize.read import checkpoint
from synthesize.report.page import write_report
from tests.helpers.browser import browser
from tests.helpers.places import REPOSITORY

CUT = "[...document.querySelectorAll('.scroll')].filter(x => x.scrollWidth > x.clientWidth).length"


@pytest.mark.parametrize("student", ["native", "seed"])
def test_nothing_is_cut_off_at_1185_pixels(student: str, tmp_path: Path) -> None:
    path = REPOSITORY / "ai8x_models" / "checkpoints" / f"{student}-q.pth.tar"
    report = write_report(compile_network(checkpoint.load(path)), tmp_path / "report.html")
    with browser((1185, 800)) as window:
        window.open(report.as_uri())
        assert window.evaluate("document.querySelectorAll('.scroll').length") == 5
        assert window.evaluate(CUT) == 0
        assert window.evaluate("document.documentElement.scrollWidth") <= 1185


TABLES = "[...document.querySelectorAll('.scroll table')].filter(x => x.scrollWidth > innerWidth)"
WIDER = f"{TABLES}.length + +(document.documentElement.scrollWidth > innerWidth)"


@pytest.mark.parametrize("student", ["native", "seed"])
def test_tables_fit_a_phone(student: str, tmp_path: Path) -> None:
    path = REPOSITORY / "ai8x_models" / "checkpoints" / f"{student}-q.pth.tar"
    report = write_report(compile_network(checkpoint.load(path)), tmp_path / "report.html")
    with browser((390, 800)) as window:
        window.open(report.as_uri())
        assert window.evaluate(WIDER) == 0
        heads = "getComputedStyle(document.querySelector('.layers td[data-head]'), '::before')"
        assert window.evaluate(f"{heads}.content") == '"Input"'
