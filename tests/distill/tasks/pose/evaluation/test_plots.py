"""Recorded numbers and the pictures of them: what is drawn, what is refused, nothing stale."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from common.errors import UserError
from distill.__main__ import main
from distill.tasks.pose.evaluation.plots import read_curves, read_results, read_run, write_curves
from tests.helpers.places import REPOSITORY

DOCS = REPOSITORY / "docs"
RESULTS = """students:
  - {name: one, cycles: 1000000, float: 41.0, integer: 40.4}
  - {name: two, cycles: 900000, float: 39.5}
"""


def write_log(folder: Path, values: dict[str, list[tuple[int, float]]]) -> None:
    """A TensorBoard log as the trainer writes it."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        for tag, points in values.items():
            for step, value in points:
                writer.add_scalar(tag, value, step)


def test_a_run_becomes_a_curve(tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "curves.csv"
    write_log(run, {"loss": [(49, 0.5), (99, 0.25)], "pck": [(99, 0.375)], "epoch": [(49, 0)]})
    write_curves([run], out)
    write_curves([run], out)  # replaced, not doubled
    (curve,) = read_curves(out)
    assert curve == read_run(run)
    assert (curve.name, list(curve.loss)) == ("run", [(50, 0.5), (100, 0.25)])
    assert list(curve.pck) == [(100, 0.375)]


def test_both_pictures_are_drawn_and_the_same_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results.yaml").write_text(RESULTS)
    (tmp_path / "curves.csv").write_text("run,step,loss,pck\nfirst,50,0.5,\nfirst,100,0.2,0.25\n")
    pictures = []
    for name in ("a", "b"):
        assert main(["plot", "--docs", str(tmp_path), "--out", str(tmp_path / name)]) == 0
        pictures.append((tmp_path / name / "accuracy.svg").read_text())
    assert pictures[0] == pictures[1]
    words = {element.text for element in ElementTree.fromstring(pictures[0]).iter()}
    assert {"one 41.0", "two 39.5", "float", "integer"} <= words
    training = (tmp_path / "a" / "training.svg").read_text()
    assert "first" in training
    assert "training loss" in training


def test_the_committed_pictures_show_the_committed_numbers() -> None:
    accuracy = (DOCS / "images" / "accuracy.svg").read_text()
    for result in read_results(DOCS / "results.yaml"):
        assert f"{result.name} {max(result.pck.values()):.1f}" in accuracy, "run make plot"
    training = (DOCS / "images" / "training.svg").read_text()
    for curve in read_curves(DOCS / "curves.csv"):
        assert f">{curve.name}<" in training, "run make plot"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("students: []", "needs a list"),
        ("{", "cannot read"),
        ("students: [{name: a}]", "entry 1 of students needs a name and a positive number"),
        ("students: [{name: a, cycles: 5, float: 0.4, depth: 3}]", "and nothing else"),
        ("students: [{name: a, cycles: 5, float: 140}]", "float is 140"),
        ("students: [{name: a, cycles: 5, qat: best}]", "qat is 'best'"),
    ],
)
def test_results_that_are_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "results.yaml").write_text(text)
    with pytest.raises(UserError, match=said):
        read_results(tmp_path / "results.yaml")


def test_curves_that_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "curves.csv").write_text("run,step,loss\na,1,x\n")
    with pytest.raises(UserError, match="it has run, step, loss and pck"):
        read_curves(tmp_path / "curves.csv")
    assert main(["curves", str(tmp_path), "--out", str(tmp_path / "c.csv")]) == 2
    assert "holds no TensorBoard log" in capsys.readouterr().err
