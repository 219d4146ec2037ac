"""The comparison of a student with and without a teacher: arithmetic, resuming, bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from distill.__main__ import main
from distill.tasks.pose import compare as module
from distill.tasks.pose.compare import Arm, table
from distill.tasks.pose.teachers.openpose import LightweightOpenPose, save_teacher
from tests.helpers.tiny_training import TINY


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
    assert "The gain is +4.00 points, larger than the spread over 3 seeds (2.00 points)." in text
    assert "points, not larger than" in table({"without": plain, "with": plain})
    one = Arm({1: 0.4})
    assert "with one seed, which shows no spread" in table({"without": one, "with": one})


def test_rivals_are_compared_with_the_first_teacher() -> None:
    arms = {
        "without": Arm({1: 0.40, 2: 0.42}),
        "with": Arm({1: 0.45, 2: 0.46}),
        "with2": Arm({1: 0.47, 2: 0.50}),
    }
    text = table(arms)
    assert "| with teacher 2 | 47.00 | 50.00 | 48.50 | 3.00 |" in text
    assert "| gain of teacher 2 | +7.00 | +8.00 | +7.50 | +1.00 |" in text
    assert "| gain of teacher 2 over the teacher | +2.00 | +4.00 | +3.00 | +2.00 |" in text
    assert "The gain of teacher 2 over the teacher is +3.00 points, not larger than" in text


def test_two_teachers_and_seeds_side_by_side(
    tmp_path: Path, teacher: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    torch.manual_seed(1)
    rival, out = tmp_path / "rival.pth.tar", tmp_path / "compare"
    save_teacher(LightweightOpenPose(0, width=16), rival, 0, {})
    settings = ["compare", *TINY, "student=tiny", teacher, f"rivals=[{rival}]", f"out={out}"]
    measured: list[tuple[str, str]] = []

    def measure(recipe: module.CompareRecipe, arm: str, seed: int) -> dict[str, object]:
        single = recipe.run(arm, seed)
        measured.append((single.teacher, Path(single.out).name))
        if (arm, seed) == ("with2", 1):  # meanwhile another process ends another seed
            assert main([*settings, "seeds=[2]"]) == 0
        return {"pck": 0.1 * seed, "points": 10, "images": 2, "student": "tiny"}

    monkeypatch.setattr(module, "_measure", measure)
    assert main([*settings, "seeds=[1]"]) == 0
    file = teacher.partition("=")[2]
    assert measured[:3] == [("", "without-1"), (file, "with-1"), (str(rival), "with2-1")]
    stored = json.loads((out / "comparison.json").read_text())
    assert sorted(stored["runs"]) == [
        "with-1", "with-2", "with2-1", "with2-2", "without-1", "without-2",
    ]  # fmt: skip
    capsys.readouterr()
    measured.clear()
    assert main([*settings, "seeds=[1,2]"]) == 0
    assert not measured
    assert "| with teacher 2 | 10.00 | 20.00 |" in capsys.readouterr().out


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
        for arm in (module.PLAIN, module.TAUGHT)
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
    [
        (["seeds=[]"], "seeds"),
        (["seeds=[1,1]"], "different"),
        (["teacher=''"], "needs a teacher"),
        (["teacher_cache=maps", "augment_variants=2", "rivals=[other.pth.tar]"], "drop it, or ri"),
    ],
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
