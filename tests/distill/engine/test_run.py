"""One training run for all tasks: who writes the file, and figures that are pooled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch.utilities import rank_zero_only

from ai8x_models.students import Student
from distill.engine import run
from distill.engine.module import TrainedModule
from distill.people.recipe import SetConfig
from distill.tasks.grey import train as grey
from distill.tasks.grey.module import StudentModule
from distill.tasks.grey.recipe import GreyRecipe, GreyTeacherRecipe
from distill.tasks.grey.student import grey_student
from distill.tasks.lift import train as lift
from distill.tasks.lift.module import LiftStudentModule, UnsupervisedModule
from distill.tasks.lift.networks import LiftTransformer
from distill.tasks.lift.recipe import LiftStudentRecipe, LiftTeacherRecipe
from distill.tasks.pose import train as pose
from distill.tasks.pose.recipe import Recipe, TeacherRecipe
from distill.tasks.pose.teachers.transformer import train as transformer
from distill.tasks.pose.teachers.transformer.model import LinearPose
from distill.tasks.pose.teachers.transformer.module import LinearModule
from distill.tasks.pose.teachers.transformer.recipe import LinearRecipe

DRAWN = [SetConfig("synthetic:4:1")]
SMALL = {"backbone": "mobilenet", "width": 32, "people": 2, "blocks": 1, "layers": 1}
RUNS: dict[str, Callable[[str], Path]] = {
    "pose student": lambda out: pose.train_student(Recipe(student="tiny", out=out)),
    "pose teacher": lambda out: pose.train_teacher(TeacherRecipe(stages=0, width=8, out=out)),
    "pose transformer": lambda out: transformer.train_teacher(LinearRecipe(out=out, **SMALL)),
    "grey student": lambda out: grey.train_student(
        GreyRecipe(size=32, train=DRAWN, validation=DRAWN, out=out)
    ),
    "grey teacher": lambda out: grey.train_teacher(GreyTeacherRecipe(size=32, out=out)),
    "lift student": lambda out: lift.train_student(LiftStudentRecipe(out=out)),
    "lift teacher": lambda out: lift.train_teacher(LiftTeacherRecipe(width=8, depth=1, out=out)),
}


@pytest.mark.parametrize("what", RUNS)
def test_only_the_first_process_writes_the_file(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "fit", lambda *_: {})  # the file is what matters here
    monkeypatch.setattr(rank_zero_only, "rank", 1, raising=False)
    path = RUNS[what](str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(rank_zero_only, "rank", 0, raising=False)
    assert RUNS[what](str(tmp_path)) == path
    assert list(tmp_path.iterdir()) == [path]
    assert path.name == f"{'student' if what.endswith('student') else 'teacher'}.pth.tar"


def _grey(numbers: list[int]) -> StudentModule:
    module = StudentModule(Student(grey_student(13, 64)), GreyRecipe())
    rng = [np.random.default_rng(number) for number in numbers]
    truth = np.stack([np.c_[r.uniform(0, 1, (13, 2)), np.ones(13)] for r in rng])
    module.truth.append(truth.astype(np.float32))
    moved = truth + np.array([0.05 * number for number in numbers])[:, None, None]
    module.found.append(moved.astype(np.float32))
    return module


def _transformer(numbers: list[int]) -> LinearModule:
    module = LinearModule(LinearPose(LinearRecipe(**SMALL).shape()), LinearRecipe(**SMALL))
    for number in numbers:
        rng = np.random.default_rng(number)
        truth = np.c_[rng.uniform(10, 110, (18, 2)), np.ones(18)].astype(np.float32)
        module.truth.append(truth)
        module.found.append(truth + np.float32(3 * number))
    return module


def _lift(numbers: list[int]) -> LiftStudentModule:
    module = LiftStudentModule(Student("lift"), LiftStudentRecipe())
    for number in numbers:
        truth = np.random.default_rng(number).normal(size=(1, 17, 3))
        module.wanted.append(truth)
        module.poses.append(truth + 0.01 * number)
    return module


def _unsupervised(numbers: list[int]) -> UnsupervisedModule:
    recipe = LiftTeacherRecipe(width=8, depth=1, heads=2, unsupervised=True)
    module = UnsupervisedModule(LiftTransformer(8, 1, 2), recipe)
    module.loss = lambda batch: batch["view"].mean()  # type: ignore[method-assign]
    for number in numbers:  # batches of different length
        module.validation_step({"view": torch.full((number,), float(number))}, 0)
    return module


MODULES: dict[str, tuple[Callable[[list[int]], TrainedModule], set[str]]] = {
    "grey": (_grey, {"pck"}),
    "transformer": (_transformer, {"pck", "oks"}),
    "lift": (_lift, {"mpjpe"}),
    "unsupervised": (_unsupervised, {"unsupervised"}),
}


def figures(
    module: TrainedModule, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[torch.Tensor], dict[str, float]]:
    """What one process hands over to be summed, and what it logs when it is alone."""
    summed: list[torch.Tensor] = []

    def reduce(parts: torch.Tensor, reduce_op: str) -> torch.Tensor:
        assert reduce_op == "sum"
        summed.append(parts.clone())
        return parts

    logged: dict[str, float] = {}
    strategy = SimpleNamespace(strategy=SimpleNamespace(reduce=reduce))
    monkeypatch.setattr(type(module), "trainer", strategy)
    monkeypatch.setattr(module, "log", lambda key, value, **_: logged.update({key: float(value)}))
    module.on_validation_epoch_end()
    return summed, logged


@pytest.mark.parametrize("what", MODULES)
def test_a_figure_of_two_processes_is_that_of_all_data(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of one and of four items: the mean of both processes' means would be another number."""
    make, names = MODULES[what]
    few, alone = figures(make([5]), monkeypatch)
    many, _ = figures(make([1, 2, 3, 4]), monkeypatch)
    _, whole = figures(make([1, 2, 3, 4, 5]), monkeypatch)
    assert whole.keys() == names
    for (total, count), value in zip(
        [a + b for a, b in zip(few, many, strict=True)], whole.values(), strict=True
    ):
        assert float(total / count) == pytest.approx(value, rel=1e-5)
    assert any(alone[name] != pytest.approx(whole[name]) for name in names)
