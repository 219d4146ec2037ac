"""The table of tasks: names, verbs, recipes, and that Makefile and table agree."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from distill.tasks import TASKS, VERBS, load_task
from distill.tasks.__main__ import main

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("name", TASKS)
def test_a_task_has_every_verb_and_its_recipes_exist(name: str) -> None:
    task = load_task(name)
    assert task.name == name
    assert set(VERBS) <= set(task.verbs)
    assert {"teacher", "student"} <= set(task.recipes)
    assert all(path.is_file() for path in task.recipes.values())


@pytest.mark.parametrize("name", [name for name in TASKS if name != "pose"])
def test_recipes_lie_where_make_looks_and_write_where_it_looks(name: str) -> None:
    folder = load_task(name).recipes["teacher"].parent
    for stage, out in (("teacher", "teacher"), ("student", "float"), ("qat", "qat")):
        text = (folder / f"{stage}.yaml").read_text(encoding="utf-8")
        assert re.search(rf"^out: runs/{name}-{out}$", text, re.MULTILINE)


def test_tasks_are_imported_when_they_are_asked_for() -> None:
    code = "import sys, distill.tasks; sys.exit(any(m in sys.modules for m in sys.argv[1:]))"
    assert subprocess.run([sys.executable, "-c", code, *TASKS.values()], cwd=ROOT).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nope", "teacher"], "TASK is 'nope'; it must be one of pose"),
        (["pose"], "say what task pose is to do: teacher"),
        (["pose", "fly"], "task pose cannot 'fly'; it can teacher"),
    ],
)
def test_what_does_not_exist_is_one_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert said in error
    assert error.count("\n") == 1


def test_the_overview_lists_every_task(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    said = capsys.readouterr().out
    assert all(re.search(rf"^  {name} ", said, re.MULTILINE) for name in TASKS)


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    fixed = ["make", "-n", "-o", f"{sys.prefix}/.ready", f"VENV={sys.prefix}"]
    return subprocess.run([*fixed, *arguments], cwd=ROOT, capture_output=True, text=True)


def test_make_refuses_an_unknown_task() -> None:
    result = make("run", "TASK=nope")
    assert result.returncode == 2
    known = re.search(r"TASK is 'nope'; it must be one of ([a-z ]+)\.", result.stderr)
    assert known is not None
    assert set(known[1].split()) == set(TASKS)
    assert make("run", "TASK=pose nope").returncode == 2


def test_make_trains_the_named_student() -> None:
    result = make("-B", "quantize", "STUDENT=tiny")  # whatever has been trained here
    assert result.returncode == 0, result.stderr
    assert "distill student --config distill/tasks/pose/recipes/tiny.yaml" in result.stdout
    taught = "start_from=runs/tiny-float/equalized.pth.tar teacher=runs/tiny-float/student.pth.tar"
    assert taught in result.stdout
    assert "quantize runs/tiny-qat/student.pth.tar build/tiny-q.pth.tar" in result.stdout
    # The seed student's recipe has no teacher.
    assert "teacher=" not in make("-B", "student", "STUDENT=seed").stdout
    unknown = make("student", "STUDENT=nope")
    assert unknown.returncode == 2
    assert "STUDENT is 'nope'; it must be one of native seed tiny" in unknown.stderr


@pytest.mark.parametrize("name", [name for name in TASKS if name != "pose"])
def test_make_keeps_the_files_of_tasks_apart(name: str) -> None:
    result = make("-B", "run", "quantize", f"TASK={name}")  # whatever has been trained here
    assert result.returncode == 0, result.stderr
    recipe = load_task(name).recipes["teacher"].relative_to(ROOT)
    assert f"distill.tasks {name} teacher --config {recipe}" in result.stdout
    assert f"distill.tasks {name} quantize runs/{name}-qat/student.pth.tar" in result.stdout
    assert f"-o build/{name}/input.npy" in result.stdout
