"""What a user names reaches the tools as it was written, and is run by nobody on the way."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.front_door import ROOT, make
from tests.helpers.recorded_make import Recorded


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    return Recorded(tmp_path)


@pytest.mark.parametrize(
    ("variable", "arguments"),
    [
        ("IMAGE", ["{build}/input.npy"]),
        ("CHECKPOINT", ["onnx"]),
        ("ONNX", ["onnx"]),
        ("NETWORK", ["{build}/project/report.json", "NETWORK=x"]),
        ("SAMPLE", ["{build}/project/report.json", "NETWORK=x"]),
        ("FIRMWARE", ["flash"]),
        ("FIRMWARE", ["view"]),
        ("CAMERA", ["view", "FIRMWARE=x"]),
        ("PORT", ["view"]),
        ("PORT", ["board-report"]),
        ("REPLAY", ["view"]),
        ("PICTURES", ["label", "NETWORKS=a"]),
        ("LABELS", ["label", "NETWORKS=a", "PICTURES=x"]),
    ],
)
def test_a_name_is_taken_as_it_is_written(
    recorded: Recorded, variable: str, arguments: list[str]
) -> None:
    given = [a.format(build=recorded.folder / "build") for a in arguments]
    given = [a for a in given if not a.startswith(f"{variable}=")]
    calls = recorded.make(*given, f"{variable}={recorded.odd}")
    assert any(recorded.odd in call for call in calls), calls


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["onnx"], "{build}/network.onnx"),
        (["label", "PICTURES=x", "NETWORKS=a"], "{build}/labels.json"),
        (["flash", "FIRMWARE=x"], "x"),
        (["view", "FIRMWARE=x"], "docs/images/pose.jpg"),
    ],
)
def test_what_is_not_named_has_its_usual_name(
    recorded: Recorded, arguments: list[str], wanted: str
) -> None:
    calls = recorded.make(*arguments)
    assert any(wanted.format(build=recorded.folder / "build") in call for call in calls), calls


def test_without_a_name_the_firmware_that_takes_pictures_is_flashed(recorded: Recorded) -> None:
    injection = recorded.folder / "build" / "injection" / "firmware.elf"
    probe = recorded.folder / "probe.mk"
    probe.write_text("probe:\n\t@echo $(FIRMWARE)\n")
    assert recorded.run("-f", "Makefile", "-f", str(probe), "probe").stdout == f"{injection}\n"


def test_a_sample_that_is_named_takes_the_pictures_place(recorded: Recorded) -> None:
    """Of a network in an ONNX file, say, which describes itself and looks at no picture."""
    report = f"{recorded.folder}/build/project/report.json"
    (call,) = recorded.make(report, "CHECKPOINT=x.onnx", "SAMPLE=x.npy", "KEPT=1")
    assert call[:5] == ["-m", "synthesize", "compile", "x.onnx", "--sample"]
    assert call[5] == "x.npy"


@pytest.mark.parametrize("target", ["flash", "view"])
@pytest.mark.parametrize(
    ("folder", "again"), [("live", "live"), ("injection", "injection"), ("project", "firmware")]
)
def test_a_firmware_that_is_named_and_there_is_taken_as_it_was_built(
    recorded: Recorded, target: str, folder: str, again: str
) -> None:
    firmware = recorded.folder / "build" / folder / "firmware.elf"
    firmware.parent.mkdir(parents=True)
    firmware.write_text("built with FOLLOW=1 BAUD=115200")
    result = recorded.run(target, f"FIRMWARE={firmware}")
    assert f"{firmware} is taken as it was built; make {again} builds it again" in result.stdout
    calls = [json.loads(line)[:3] for line in recorded.log.read_text().splitlines()]
    assert [call[:3] for call in calls] == [["-m", "evalkit", target]]
    assert firmware.read_text() == "built with FOLLOW=1 BAUD=115200"


@pytest.mark.parametrize("named", [True, False])
def test_a_firmware_that_is_not_there_or_not_named_is_built(
    recorded: Recorded, named: bool
) -> None:
    firmware = recorded.folder / "build" / "injection" / "firmware.elf"
    if not named:
        firmware.parent.mkdir(parents=True)
        firmware.write_text("of another network")
    calls = recorded.make("flash", *([f"FIRMWARE={firmware}"] if named else []))
    assert [call[:2] for call in calls] == [
        ["-m", "synthesize"],
        ["-m", "synthesize.build"],
        ["-m", "evalkit"],
    ]


def test_who_gives_other_settings_is_told_that_all_is_made_anew(recorded: Recorded) -> None:
    said = "other settings or files than before: "
    choice = f"{recorded.folder}/build/.choice"
    assert said not in recorded.run(choice, "KEPT=1").stderr
    assert said not in recorded.run(choice, "KEPT=1").stderr
    assert said in recorded.run(choice, "KEPT=1", "BAUD=115200").stderr


def test_a_device_is_not_read_to_its_end(recorded: Recorded) -> None:
    """The picture is compared by content to know what is stale; a device has no end."""
    choice = f"{recorded.folder}/build/.choice"
    assert recorded.run(choice, "KEPT=1", "IMAGE=/dev/zero", "CHECKPOINT=/dev/zero").returncode == 0
    assert Path(choice).read_text().splitlines()[:2] == ["/dev/zero", "/dev/zero"]


def test_tests_run_in_as_many_processes_as_asked(recorded: Recorded) -> None:
    calls = recorded.make("test", "WORKERS=3", "ARGS=-k name")
    assert calls[0][:7] == ["-m", "pytest", "-q", "-n", "3", "--maxprocesses", "8"]
    assert calls[0][-3:-1] == ["-k", "name"]


WORDS = [
    ("SET", "teacher"),
    ("ARGS", "test"),
    ("ARGS", "board-report"),
    ("NETWORKS", "label"),
    ("CHECKPOINTS", "eval"),
]


@pytest.mark.parametrize(("variable", "target"), WORDS)
def test_words_are_divided_by_spaces_and_quotes_alone(
    recorded: Recorded, variable: str, target: str
) -> None:
    harm = recorded.harm
    text = f"a=1 'b c' $HOME `touch&{harm}` $(touch&{harm}) $(shell touch {harm}) ;touch&{harm} *"
    call = recorded.make(target, "PICTURES=x", f"{variable}={text}", "TASK=grey")[-1]
    wanted = ["a=1", "b c", "$HOME", f"`touch&{harm}`", f"$(touch&{harm})", "$(shell", "touch"]
    at = call.index("a=1")
    assert call[at:][: len(wanted)] == wanted
    assert "*" in call


def test_the_data_and_the_teacher_are_taken_as_they_are_written(recorded: Recorded) -> None:
    calls = recorded.make("teacher", f"DATA={recorded.odd}", f"TEACHER={recorded.odd}")
    assert f"start_from={recorded.odd}" in calls[0]
    assert f"DATA {recorded.odd}" in calls[0]


FREE = (
    "PYTHON|PIP_FLAGS|IMAGE|CHECKPOINTS?|NETWORK|SAMPLE|DATA|TEACHER|SET|PORT|CAMERA|REPLAY|FIRMWARE"
    "|PICTURES|NETWORKS|LABELS|ONNX|ARGS|AI8X_URL|AI8X_FOLDER|AI8X_SYNTHESIS|AI8X_PYTHON"
)


@pytest.mark.parametrize("name", ["Makefile", "ai8x.mk"])
def test_no_recipe_has_make_write_out_what_a_user_names(name: str) -> None:
    recipes = [line for line in (ROOT / name).read_text().splitlines() if line.startswith("\t")]
    for line in recipes:  # but for whether it is named at all, and other than usual
        asked = re.sub(rf"\$\(filter-out \$\(\w+\),\$\(({FREE})\)\)", "", line)
        asked = re.sub(rf"\$\(if (\$\(({FREE})\))*,", "", asked)
        assert not re.search(rf"\$[({{]({FREE})[)}}]", asked), line


@pytest.mark.parametrize(
    ("variable", "text"),
    [("BACKEND", "foo"), ("FOLLOW", "2"), ("FOLLOW", ""), ("FOLLOW_COLOUR", "yes")],
)
def test_a_choice_is_one_of_those_there_are(recorded: Recorded, variable: str, text: str) -> None:
    result = recorded.run("help", f"{variable}={text}")
    assert result.returncode == 2
    assert f"{variable} is '{text}'; it must be" in result.stderr


def test_colours_go_with_following(recorded: Recorded) -> None:
    result = recorded.run("help", "FOLLOW_COLOUR=1")
    assert result.returncode == 2
    assert "say FOLLOW=1 as well" in result.stderr
    assert not any("--colour" in call for call in recorded.make("live", "FOLLOW=1"))
    calls = recorded.make("live", "FOLLOW=1", "FOLLOW_COLOUR=1")
    assert any("--colour" in call for call in calls)


def test_the_environment_is_not_expanded_either(recorded: Recorded) -> None:
    (call,) = recorded.make("onnx", env={"CHECKPOINT": recorded.odd, "ONNX": recorded.odd})
    assert call.count(recorded.odd) == 2


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        *itertools.product(
            ["BUILD", "VENV", "TASK", "BAUD", "BOARD", "STUDENT", "SECONDS", "WORKERS"],
            ["a b", "$(shell touch {harm})", "`touch {harm}`", "a'b", "a;b"],
        ),
        ("BUILD", ""),
    ],
)
def test_names_of_targets_hold_nothing_special(
    recorded: Recorded, variable: str, text: str
) -> None:
    result = recorded.run("help", f"{variable}={text.format(harm=recorded.harm)}")
    assert result.returncode == 2
    assert variable in result.stderr
    assert "must" in result.stderr or "empty" in result.stderr
    assert not recorded.harm.exists()


def test_a_second_make_with_the_same_folder_is_told_so(tmp_path: Path) -> None:
    build = tmp_path / "build"
    lock = [sys.executable, "-m", "common.words", "--lock", str(build)]
    waiting = [*lock, sys.executable, "-c", "print('in', flush=True); input()"]
    with subprocess.Popen(
        waiting, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as first:
        assert first.stdout
        assert first.stdin
        first.stdout.readline()
        result = make(build, "run")
        first.stdin.close()
    assert result.returncode == 2
    assert f"error: {build} is in use by another make" in result.stderr
    assert "PASS" not in result.stdout
    assert [path.name for path in build.iterdir()] == [".lock"]
