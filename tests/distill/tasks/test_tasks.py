"""The table of tasks: names, verbs, recipes, and that Makefile and table agree."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from distill.__main__ import main
from distill.engine.task import VERBS, Training, Verb, imported
from distill.tasks import TASKS, load_task

ROOT = Path(__file__).resolve().parents[3]


def trainings(name: str) -> dict[str, Training]:
    verbs = load_task(name).verbs
    return {verb: training for verb, training in verbs.items() if isinstance(training, Training)}


@pytest.mark.parametrize("name", TASKS)
def test_a_task_has_every_verb_and_what_it_names_exists(name: str) -> None:
    task = load_task(name)
    assert task.name == name
    assert set(VERBS) <= set(task.verbs)
    assert {"teacher", "student"} <= set(trainings(name))
    for verb in task.verbs.values():
        named = [verb.call] if isinstance(verb, Verb) else []
        if isinstance(verb, Training):
            for kind in verb.kinds.values():
                named += [kind.recipe, kind.train]
                assert kind.default is None or kind.default.is_file()
        assert all(callable(imported(one)) for one in named)


def told_by_make(verb: str, name: str) -> str:
    lines = make("-B", "student", f"TASK={name}").stdout.splitlines()
    (found,) = [line for line in lines if f"distill {name} {verb} " in line][:1]
    return found


@pytest.mark.parametrize("name", TASKS)
def test_make_and_the_command_train_the_same_student(name: str) -> None:
    default = trainings(name)["student"].usual.default
    assert default is not None
    assert f"--config {default.relative_to(ROOT)} " in told_by_make("student", name)


@pytest.mark.parametrize("name", TASKS)
def test_a_run_without_a_recipe_is_told_before_torch_is_loaded(name: str) -> None:
    code = (
        "import sys; from distill.__main__ import main\n"
        f"status = main(['{name}', 'student', '--config', 'none.yaml'])\n"
        f"main(['{name}', '--help']); main([])\n"
        "sys.exit(status if 'torch' not in sys.modules else 9)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 2
    assert run.stderr == "error: cannot read recipe none.yaml: No such file or directory\n"


@pytest.mark.parametrize("verb", ["teacher", "student"])
@pytest.mark.parametrize("name", TASKS)
def test_help_lists_the_settings_and_loads_no_torch(name: str, verb: str) -> None:
    code = (
        "import sys; from distill.__main__ import main\n"
        f"try: main(['{name}', '{verb}', '--help'])\n"
        "except SystemExit: sys.exit(9 if 'torch' in sys.modules else 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "learning_rate=0.00" in run.stdout


def test_an_older_command_works_or_says_what_replaces_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for words in (["student"], ["pose", "student"]):
        assert main([*words, "--config", "none.yaml"]) == 2
        assert "cannot read recipe none.yaml" in capsys.readouterr().err
    assert main(["linear", "teacher"]) == 2
    assert "python -m distill pose teacher kind=transformer" in capsys.readouterr().err
    assert "make teacher TEACHER_KIND=transformer" in " ".join(
        make("teacher", "TASK=linear").stderr.split()
    ).replace("\\ ", "")


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
    """What make would do, with the values of what it hands on in its environment put in."""
    fixed = ["make", "-n", "-o", f"{sys.prefix}/.ready", f"VENV={sys.prefix}"]
    told = ("TAUGHT", "TUTOR")
    rule = "told: ; @true " + " ".join(f"$(info {name}=$({name}))" for name in told)
    done = subprocess.run([*fixed, *arguments], cwd=ROOT, capture_output=True, text=True)
    choices = [a for a in arguments if "=" in a]
    asked = subprocess.run(
        [*fixed, f"--eval={rule}", "told", *choices], cwd=ROOT, capture_output=True, text=True
    )
    for line in asked.stdout.splitlines():
        name, equals, value = line.partition("=")
        if equals and name in told:
            done.stdout = done.stdout.replace(f'"${name}"', value)
    return done


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
    assert "distill pose student --config distill/tasks/pose/recipes/tiny.yaml" in result.stdout
    taught = "start_from=runs/tiny-float/equalized.pth.tar teacher=runs/tiny-float/student.pth.tar"
    assert taught in result.stdout
    assert "pose quantize runs/tiny-qat/student.pth.tar build/tiny-q.pth.tar" in result.stdout
    # A student's own recipe names its teacher itself.
    assert "picture_teacher=" not in make("-B", "student", "STUDENT=seed").stdout
    unknown = make("student", "STUDENT=nope")
    assert unknown.returncode == 2
    assert "STUDENT is 'nope'; it must be one of native seed tiny" in unknown.stderr


@pytest.mark.parametrize("name", [name for name in TASKS if name != "pose"])
def test_make_keeps_the_files_of_tasks_apart(name: str) -> None:
    result = make("-B", "run", "quantize", f"TASK={name}")  # whatever has been trained here
    assert result.returncode == 0, result.stderr
    recipe = f"distill/tasks/{name}/recipes/teacher.yaml"
    # The grey student is taught by its float self alone, the others by their teacher, too.
    tutor = "float/student" if name == "grey" else "teacher/teacher"
    assert (f"distill {name} teacher --config {recipe}" in result.stdout) == (name != "grey")
    assert (
        f"start_from=runs/{name}-float/student.pth.tar teacher=runs/{name}-{tutor}" in result.stdout
    )
    assert f"distill {name} quantize runs/{name}-qat/student.pth.tar" in result.stdout
    assert f"-o build/{name}/input.npy" in result.stdout


def test_make_trains_the_named_teacher() -> None:
    said = make("-B", "student", "STUDENT=seed", "TEACHER_KIND=transformer").stdout
    assert "pose teacher --config distill/tasks/pose/recipes/transformer.yaml" in said
    assert (
        "pose student --config distill/tasks/pose/recipes/seed-distill.yaml "
        "teacher=runs/transformer-teacher/teacher.pth.tar" in said
    )
    assert (
        "lift teacher --config distill/tasks/lift/recipes/vit.yaml"
        in make("-B", "teacher", "TASK=lift", "TEACHER_KIND=vit").stdout
    )
    unknown = make("teacher", "TEACHER_KIND=none")
    assert unknown.returncode == 2
    assert "TEACHER_KIND is 'none'" in unknown.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["student", "out=/dev/null/run"],
        ["pose", "teacher", "out=/dev/full"],
        ["grey", "eval", "x.pth.tar", "-o", "/dev/null/page.md"],
        ["pose", "thresholds", "x.pth.tar", "--output=/dev/full"],
    ],
)
def test_places_are_tried_before_torch_is_loaded(words: list[str]) -> None:
    code = (
        "import sys; from distill.__main__ import main\n"
        f"status = main({words})\n"
        "sys.exit(status if 'torch' not in sys.modules else 9)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 2, run.stderr
    assert run.stderr.startswith("error: cannot write /dev/")
    assert run.stderr.count("\n") == 1
