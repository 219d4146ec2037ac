"""What somebody met in the first hours with the tools: each of it, and its kind, in one place.

Every sentence is a row: a call, and what is said. The same mistakes made with every command are in
``test_mistakes.py``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from pose78.shipped import shipped
from tests.helpers.front_door import make
from tests.helpers.places import REPOSITORY
from tests.helpers.refusals import call, refused

PEOPLE = REPOSITORY / "docs" / "images" / "people.png"
EVALKIT, COMPILER, QUANTIZE = "evalkit.__main__", "synthesize.__main__", "quantize.__main__"
SAMPLE, SHOW, FRONT = "ai8x_models.preprocess", "ai8x_models.show", "pose78.__main__"
DISTILL = "distill.__main__"


@dataclass(frozen=True)
class Row:
    """A call that is refused.

    module, given: the call; words in capitals are files of :func:`places`.
    says: a part of the sentence.
    never: what it said once.
    """

    module: str
    given: str
    says: str
    never: str = "Traceback"


# The kinds: places that cannot be written, ports that are none, sizes that are none, files of
# another kind than the command takes.
ROWS = {
    "run --uart": Row(EVALKIT, "run LIFT.elf --uart FILE/x.txt", "cannot write"),
    "run --uart-raw": Row(EVALKIT, "run LIFT.elf --uart-raw FILE/x.bin", "cannot write"),
    "run --maps": Row(EVALKIT, "run LIFT.elf --maps FILE/m.npz", "cannot write"),
    "run --timeline": Row(EVALKIT, "run LIFT.elf --timeline FILE/t.html", "cannot write"),
    "run --display": Row(EVALKIT, "run LIFT.elf --display FILE/d.png", "cannot write"),
    "run --dump-layers": Row(EVALKIT, "run LIFT.elf --dump-layers FILE", "cannot write"),
    "run --gdb": Row(EVALKIT, "run LIFT.elf --gdb 99999", "port 99999 cannot be used"),
    "view --http": Row(EVALKIT, "view --port /dev/null --http 99999", "cannot serve on port 99999"),
    "pose78 view --http": Row(FRONT, "view --http 99999", "cannot serve on port 99999"),
    "predict --http": Row(FRONT, "predict PEOPLE --show --http 99999", "cannot serve on port"),
    "view --port": Row(
        EVALKIT, "view --port /dev/null --no-browser --http 0", "/dev/null is no serial port"
    ),
    "export --port": Row(EVALKIT, "export --port /dev/null -o OUT", "/dev/null is no serial port"),
    "predict --port": Row(FRONT, "predict PEOPLE --port /dev/null", "/dev/null is no serial port"),
    "compile --out": Row(COMPILER, "compile LIFT --out /proc/x", "cannot write /proc/x"),
    "size -5": Row(SAMPLE, "PEOPLE -o OUT --size=-5", "-5 is not a whole number"),
    "size 0": Row(SAMPLE, "PEOPLE -o OUT --size=0", "0 is not a whole number of at least 1"),
    "size 100000000": Row(SAMPLE, "PEOPLE -o OUT --size=100000000", "--size is 100000000; 1 to"),
    "no pictures at all": Row(FRONT, "eval native --limit=-1", "-1 is not a whole number"),
    "known-answer firmware": Row(
        EVALKIT, "export --kit NATIVE.elf --camera PICTURES -o OUT",
        "runs the program 'known-answer test', which looks at no pictures", "no pose outputs",
    ),
    "a float checkpoint": Row(
        COMPILER, "show FLOAT.pth.tar", "this is a float checkpoint", "weight_bits is 0"
    ),
    "integers again": Row(
        QUANTIZE, "LIFT OUT.pth.tar", "holds integers already", "not ready for integers"
    ),
    "a picture to lift": Row(
        DISTILL, "lift sample PEOPLE -o OUT.npy", "is no text; lifting starts from COCO keypoints",
        "PNG\\r",
    ),
    "text as checkpoint": Row(
        QUANTIZE, "TEXT.pth.tar OUT.pth.tar", "is no torch checkpoint of plain data", "weights_only"
    ),
    "text as checkpoint to compile": Row(
        COMPILER, "compile TEXT.pth.tar --out OUT", "TEXT.pth.tar", "weights_only"
    ),
    "a task that is gone": Row(
        DISTILL, "linear sample PEOPLE", "'linear', which is no task of its own any more"
    ),
    "a folder as picture": Row(SAMPLE, "PICTURES -o OUT.npy", "pose78 predict"),
    # Nothing that a library says of itself.
    "a picture as checkpoint": Row(FRONT, "predict PEOPLE --model PEOPLE",
                                   "another kind of file", "opcode"),
    "a student of another task": Row(FRONT, "predict PEOPLE --model grey", "error: grey: ",
                                     "-q.pth.tar"),
    "a port beyond": Row(EVALKIT, "run LIFT.elf --gdb 99999", "ports are 0 to 65535", "bind()"),
    "a page's port beyond": Row(FRONT, "view --http 99999", "ports are 0 to 65535", "bind()"),
    "a word for a number": Row(DISTILL, "pose student epochs=abc", "epochs: ", "object_type"),
    "a picture as network": Row(
        DISTILL, "pose label PICTURES --networks PEOPLE --out OUT.json", "another kind of file",
        "INVALID_PROTOBUF",
    ),
    "a student that is none": Row(
        DISTILL, "pose student student=nope", "choose one of native, seed, tiny", "lift"
    ),
    "a file where a folder is named": Row(
        FRONT, "predict PEOPLE --save FILE/x", "FILE is a file, not a folder", "File exists"
    ),
    "no time at all": Row(EVALKIT, "run LIFT.elf --max-seconds=-1", "--max-seconds is -1"),
    "time without end": Row(EVALKIT, "run LIFT.elf --max-seconds=inf", "inf is not a finite"),
    "a kind that is not written": Row(
        QUANTIZE, "MODEL.onnx --calibrate PICTURES -o OUT.txt", "name a file ending in", "..."
    ),
    "a name that is no picture's": Row(
        SHOW, "PEOPLE --maps MAPS --report REPORT -o OUT.txt", "names no kind of picture"
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Known-answer firmware of a shipped student, built when it is asked for."""
    for package in ("unicorn", "ziglang"):
        pytest.importorskip(package, reason="firmware on the kit needs 'kit' and 'toolchain'")
    from pose78.building import compile_project

    made: dict[str, Path] = {}
    folder = tmp_path_factory.mktemp("firmware")

    def build(name: str) -> Path:
        if name not in made:
            made[name] = compile_project(name, folder / name)
        return made[name]

    return build


def places(folder: Path) -> dict[str, Path]:
    """Files that rows name, and a file OUT that is not there."""
    (folder / "FILE").write_text("in the way")
    (folder / "TEXT.pth.tar").write_text("just text\n")
    (folder / "PICTURES").mkdir()
    shutil.copy(PEOPLE, folder / "PICTURES" / "a.png")
    state = {"a.op.weight": torch.full((4, 4, 3, 3), 0.3), "a.weight_bits": torch.zeros(1)}
    torch.save({"state_dict": state, "extras": {}}, folder / "FLOAT.pth.tar")
    maps = {f"output_{n}": np.zeros((c, 16, 16), np.int32) for n, c in enumerate((19, 38))}
    np.savez(folder / "MAPS", **maps)
    outputs = [{"name": n, "shape": [c, 16, 16], "step": 2.0**-14} for n, c in
               (("heat", 19), ("paf", 38))]  # fmt: skip
    (folder / "REPORT").write_text(json.dumps({"outputs": outputs}))
    return {"PEOPLE": PEOPLE, "LIFT": shipped()["lift"], "MAPS": folder / "MAPS.npz"}


@pytest.mark.parametrize("name", ROWS)
def test_a_sentence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    row, known = ROWS[name], places(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    given = []
    for word in row.given.split():
        if word.endswith(".elf"):
            word = str(request.getfixturevalue("built")(word.removesuffix(".elf").lower()))
        given.append(str(known.get(word, word)))
    assert call(row.module, given) == 2
    said = capsys.readouterr()
    refused(said.err)
    assert row.says in said.err
    assert row.never not in said.err + said.out
    assert sorted(tmp_path.rglob("*")) == before


def test_results_go_into_folders_that_are_not_there_yet(
    built: Callable[[str], Path], tmp_path: Path
) -> None:
    """All commands make the folders of their results; none demands them."""
    elf, new = str(built("lift")), tmp_path / "new"
    outputs = {"--uart": "u/u.txt", "--maps": "m/m.npz", "--timeline": "t/t.html",
               "--dump-layers": "d/d"}  # fmt: skip
    given = [word for key, name in outputs.items() for word in (key, str(new / name))]
    assert call(EVALKIT, ["run", elf, *given]) == 0
    results = {"--json": "j/r.json", "--csv": "c/r.csv", "--save": "s/s"}
    given = [word for key, name in results.items() for word in (key, str(new / name))]
    assert call(FRONT, ["predict", str(PEOPLE), *given]) == 0
    assert call(FRONT, ["report", "lift", "-o", str(new / "r" / "r.html")]) == 0
    assert call(FRONT, ["compile", "lift", "--quiet", "--out", str(new / "p" / "p")]) == 0
    assert call(SAMPLE, [str(PEOPLE), "-o", str(new / "n" / "x.npy")]) == 0
    floats = str(shipped()["native"].with_name("native-float.pth.tar"))
    assert call(DISTILL, ["pose", "average", floats, "-o", str(new / "a" / "a.pth.tar")]) == 0
    assert sorted(path.name for path in new.iterdir()) == list("acdjmnprstu")


def test_a_corrupt_file_does_not_stop_an_export(
    built: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from pose78.building import compile_project

    elf = compile_project("native", tmp_path / "p", "frame-injection")
    (tmp_path / "pictures").mkdir()
    for name in ("a.png", "c.png"):
        shutil.copy(PEOPLE, tmp_path / "pictures" / name)
    (tmp_path / "pictures" / "b.png").write_bytes(PEOPLE.read_bytes()[:900])
    given = ["export", "--kit", str(elf), "--camera", str(tmp_path / "pictures"), "-o",
             str(tmp_path / "e.json")]  # fmt: skip
    assert call(EVALKIT, given) == 0
    said = capsys.readouterr().out
    assert "b.png is no picture that can be decoded" in said
    assert " in 2 pictures" in said.splitlines()[-1]


def test_help_of_the_benchmark_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("distill.people.bench", ["-h"]) == 0
    assert "images/s" not in capsys.readouterr().out


def test_a_picture_is_written_as_its_name_says(tmp_path: Path) -> None:
    from ai8x_models.overlay import write_picture

    for name, begin in (("a.jpg", b"\xff\xd8"), ("a.png", b"\x89PNG"), ("a.webp", b"RIFF")):
        write_picture(tmp_path / name, np.zeros((4, 4, 3), np.uint8))
        assert (tmp_path / name).read_bytes().startswith(begin)


def test_one_person_is_not_one_people(capsys: pytest.CaptureFixture[str]) -> None:
    from ai8x_models.decode import Person
    from ai8x_models.show import describe

    nobody = np.zeros((18, 3), np.float32)
    assert describe([Person(nobody, 1.0)]).startswith("1 person found")
    one = str(REPOSITORY / "docs" / "images" / "pose.jpg")
    assert call(FRONT, ["predict", one]) == 0
    assert "1 person in 1 picture," in capsys.readouterr().out


def test_make_refuses_what_it_does_not_know_and_takes_names_as_they_are(tmp_path: Path) -> None:
    done = make(tmp_path, "help", "BOARD=foo")
    assert done.returncode == 2
    assert "BOARD is 'foo'; it must be one of fthr evkit" in done.stderr
    gone = make(tmp_path, "run", "TASK=linear")
    assert gone.returncode == 2
    assert "make teacher TEACHER_KIND=transformer" in " ".join(gone.stderr.split())
    shown = make(tmp_path, '--eval=shown: ; @echo "$$IMAGE"', "shown", "IMAGE=a$b c.png")
    assert shown.stdout == "a$b c.png\n", shown.stderr
