"""The comparison of a student with and without a teacher: arithmetic, resuming, bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from distill import compare as module
from distill.__main__ import main
from distill.compare import Arm, table
from distill.teachers.lightweight_openpose import LightweightOpenPose, save_teacher
from tests.unit.test_training import TINY


@pytest.fixture
def teacher(tmp_path: Path) -> str:
    torch.manual_seed(0)
    path = tmp_path / "teacher.pth.tar"
    save_teacher(LightweightOpenPose(0, width=16), path, 0, {})
    return f"teacher={path}"


def test_the_table_says_whether_the_gain_stands_out() -> None:
    plain = Arm({1: 0.40, 2: 0.42, 3: 0.41})
    text = table({"without": plain, "with": Arm({1: 0.45, 2: 0.44, 3: 0.46})})
    assert "| without teacher | 40.00 | 42.00 | 41.00 | 41.00 | 2.00 |" in text
    assert "| gain | +5.00 | +2.00 | +5.00 | +4.00 | +3.00 |" in text
    assert "+4.00 points is larger than the spread over 3 seeds (2.00 points)" in text
    assert "is not larger" in table({"without": plain, "with": plain})


def test_finished_runs_are_not_repeated(
    tmp_path: Path, teacher: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / "compare"
    settings = [*TINY, "student=tiny", teacher, f"out={out}"]
    assert main(["compare", *settings, "seeds=[4]"]) == 0
    stored = json.loads((out / "comparison.json").read_text())
    assert sorted(stored["runs"]) == ["with-4", "without-4"]
    assert (out / "comparison.csv").read_text().count("\n") == 3
    assert (out / "without-4" / "student.pth.tar").exists()
    weights = [
        torch.load(out / f"{arm}-4" / "student.pth.tar", weights_only=True)["state_dict"]
        for arm in module.ARMS
    ]
    assert not torch.equal(weights[0]["conv1.op.weight"], weights[1]["conv1.op.weight"])

    def never(_: object) -> Path:
        raise AssertionError("trained again")

    monkeypatch.setattr(module, "train_student", never)
    capsys.readouterr()
    assert main(["compare", *settings, "seeds=[4]"]) == 0
    assert "| gain |" in capsys.readouterr().out
    assert main(["compare", *settings, "seeds=[4]", "learning_rate=0.1"]) == 2
    assert "other settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "said"),
    [(["seeds=[]"], "seeds"), (["seeds=[1,1]"], "different"), (["teacher=''"], "needs a teacher")],
)
def test_bad_settings(
    settings: list[str], said: str, tmp_path: Path, teacher: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert main(["compare", *TINY, teacher, f"out={tmp_path}", *settings]) == 2
    assert said in capsys.readouterr().err


def test_a_damaged_record_is_named(
    tmp_path: Path, teacher: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "comparison.json").write_text("{")
    assert main(["compare", *TINY, teacher, f"out={tmp_path}"]) == 2
    assert "comparison.json" in capsys.readouterr().err
