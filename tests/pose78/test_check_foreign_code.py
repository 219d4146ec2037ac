"""``pose78 check`` of files that misbehave: one sentence and status 2, whatever they do."""

from __future__ import annotations

import json
import os
import posix
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import pose78
from ai8x_models.spec.checked import checked
from ai8x_models.spec.layer import LayerSpec
from ai8x_models.spec.student import SPECS, StudentSpec
from pose78.__main__ import main
from pose78.commands.check import read_bits, read_shape

MODULE = "import sys\nfrom torch import nn\nclass Net(nn.Module):\n    input_shape = (3, 32, 32)\n"
FORWARD = "    def forward(self, x):\n        "
FINE = "from ai8x_models.spec.student import SPECS\nnet = SPECS['lift']\n"
LAYER = LayerSpec("c1", "input", 3, 16)
STUDENT = StudentSpec("n", (3, 32, 32), (LAYER,), ("c1",))


def refused(capsys: pytest.CaptureFixture[str], *given: str) -> str:
    """What is said of a file that is refused: one sentence, nothing among the results."""
    assert main(["check", *given]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    return said.err


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("import sys\nsys.exit(0)\n", "x.py line 2: SystemExit: 0"),
        (
            "import os\nos._exit(0)\n",
            "x.py line 2: SystemExit: os._exit() ends the whole program",
        ),
        ("import posix\nposix._exit(0)\n", "x.py line 2: SystemExit: os._exit() ends"),
        ("import posix\nposix.execv('/bin/true', ['true'])\n", "x.py line 2: SystemExit: os.exec"),
        ("import os\nos.execlp('true', 'true')\n", "x.py line 2: SystemExit: os.exec"),
        (
            MODULE + FORWARD + "import os; os._exit(0)\n",
            "Net: TMP/x.py line 6 (import os; os._exit(0)): SystemExit: os._exit() ends",
        ),
        ("class E(BaseException): pass\nraise E('base')\n", "x.py line 2: E: base"),
        (
            "class E(Exception):\n    def __str__(self): raise KeyError\nraise E\n",
            "x.py line 3: E",
        ),
        (MODULE + "    def __init__(self):\n        sys.exit(0)\n", "x.py line 6: SystemExit: 0"),
        (MODULE + FORWARD + "sys.exit(0)\n", "x.py line 6 (sys.exit(0)): SystemExit: 0"),
        (
            "from torch import nn\nclass Meta(type):\n    def __call__(cls): raise SystemExit(1)\n"
            "class Net(nn.Module, metaclass=Meta): pass\n",
            "x.py line 3: SystemExit: 1",
        ),
        (MODULE + "    def __init__(self): self.a = 1\n", "begin with super().__init__()"),
        (
            MODULE.replace("(3, 32, 32)", "'hello'"),
            "Net: the shape of one input must be 1 to 3 whole numbers",
        ),
        (MODULE.replace("(3, 32, 32)", "(3, 1 << 15, 1 << 15)"), "with a product of at most"),
        (MODULE + "    __signature__ = 3\n", "__signature__"),
        (
            MODULE + "    @property\n    def spec(self): sys.exit(0)\n",
            "SystemExit: 0",
        ),
    ],
)
def test_what_a_file_does_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, sentence: str
) -> None:
    ends = os._exit, os.execv, posix._exit, posix.execv
    (tmp_path / "x.py").write_text(text)
    assert sentence.replace("TMP", str(tmp_path)) in refused(capsys, str(tmp_path / "x.py"))
    now = os._exit, os.execv, posix._exit, posix.execv
    assert now == ends, "the program itself can still end"


FORKS = [
    "import os\nchild = os.fork()\nif not child:\n    os._exit(7)\n"
    "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7\n",
    "import os, posix\nchild = os.fork()\nif not child:\n    posix._exit(7)\n"
    "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7\n",
    "import os\nchild = os.fork()\nif not child:\n    os.execvp('true', ['true'])\n"
    "assert os.waitpid(child, 0)[1] == 0\n",
    "import multiprocessing\n"
    "process = multiprocessing.get_context('fork').Process(target=int)\n"
    "process.start()\nprocess.join()\nassert process.exitcode == 0\n",
    "import torch\nfrom torch.utils.data import DataLoader\n"
    "assert sum(batch.sum() for batch in DataLoader(torch.ones(8), 4, num_workers=1)) == 8\n",
]


@pytest.mark.parametrize("text", FORKS, ids=["os", "posix", "exec", "multiprocessing", "torch"])
def test_a_file_that_forks_is_as_good_as_any(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.py").write_text(text + FINE)
    said = subprocess.run(
        [sys.executable, "-m", "pose78", "check", str(tmp_path / "x.py")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert said.stdout.count("fits\n") == 1, "the child is not another program"
    assert "Error" not in said.stderr


def test_ctrl_c_still_stops(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text(MODULE + FORWARD + "raise KeyboardInterrupt\n")
    assert main(["check", str(tmp_path / "x.py")]) == 130


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_file_cannot_close_what_we_print_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], stream: str
) -> None:
    (tmp_path / "x.py").write_text(f"import sys\nsys.{stream}.close()\n{FINE}")
    assert main(["check", str(tmp_path / "x.py")]) == 0
    assert capsys.readouterr().out.endswith("fits\n")


def test_what_a_file_prints_is_not_among_the_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = MODULE.replace("import sys\n", "import sys\nprint('loaded')\n") + (
        "    def __init__(self):\n        super().__init__()\n"
        "        self.a = nn.Conv2d(3, 16, 3, padding=1)\n"
        f"{FORWARD}sys.stdout.buffer.write(b'looked\\n')\n        return self.a(x)\n"
    )
    (tmp_path / "x.py").write_text(text)
    assert main(["check", str(tmp_path / "x.py"), "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["fits"]
    assert "loaded\n" in said.err
    assert "looked\n" in said.err


def test_files_beside_a_file_are_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for project, name in (("a", "lift"), ("b", "tiny")):
        folder = tmp_path / project
        folder.mkdir()
        (folder / "helper_beside.py").write_text(f"NAME = '{name}'\n")
        (folder / "net.py").write_text(
            "from helper_beside import NAME\n" + FINE.replace("'lift'", "NAME")
        )
        assert main(["check", str(folder / "net.py")]) == 0
        assert capsys.readouterr().out.startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"layers": ()}, "n: layers is (); it must be 1 to 256 LayerSpecs"),
        ({"layers": LAYER}, "with a comma behind a single one"),
        ({"layers": ("c1",)}, "n: layers is ('c1',)"),
        ({"input_shape": (LAYER,), "layers": ("c1",)}, "n: input_shape is (LayerSpec("),
        ({"input_shape": (3, 32)}, "n: input_shape is (3, 32); it must be 3 whole numbers"),
        ({"outputs": "c1"}, "n: outputs is 'c1'; it must be names of layers in brackets"),
        ({"outputs": ()}, "n: outputs is ()"),
        ({"tied": 3}, "n: tied is 3"),
        ({"name": 3}, "the student: name is 3; it must be text"),
    ],
)
def test_slips_in_a_student_are_named(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(pose78.UserError) as caught:
        pose78.check(replace(STUDENT, **changed))
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("in_channels", -16), ("out_channels", 16.0), ("out_channels", True),
        ("out_channels", 100_000), ("kernel", (3, 3)), ("kernel", 0),
        pytest.param("out_channels", 10**5000, id="many digits"),
        ("stride", "2"), ("pool", (2, 2, 2)), ("pool", 0), ("pool_stride", 1.5), ("fold", 0),
        ("activation", "sigmoid"), ("pooling", ["max"]), ("op", "conv3d"), ("join", None),
        ("others", "c0"), ("padding", -1), ("dilation", 0), ("bias", "no"), ("source", None),
    ],
)  # fmt: skip
def test_slips_in_a_layer_are_named(field: str, value: Any) -> None:
    with pytest.raises(pose78.UserError, match=rf"^layer c1: {field} is .*; it must be "):
        pose78.check(replace(STUDENT, layers=(replace(LAYER, **{field: value}),)))


def test_a_student_is_measured_before_anything_is_made() -> None:
    large = (replace(LAYER, out_channels=60_000), LayerSpec("c2", "c1", 60_000, 60_000))
    with pytest.raises(pose78.UserError, match="fewer channels to layer c2"):
        pose78.check(replace(STUDENT, layers=large, outputs=("c2",)))


def test_what_is_in_order_is_taken_as_it_is() -> None:
    import numpy as np

    for spec in SPECS.values():
        assert checked(spec) == spec
    counted = replace(STUDENT, layers=[replace(LAYER, out_channels=np.int64(16))])  # type: ignore[arg-type]
    assert json.loads(pose78.check(counted).json())["fits"]
    assert checked(counted) == STUDENT


@pytest.mark.parametrize("text", ["9" * 5000, "conv1=" + "9" * 5000])
def test_numbers_of_thousands_of_digits(text: str) -> None:
    with pytest.raises(pose78.UserError, match=r"^--bits is .{,70}; give a number"):
        read_bits(text)
    with pytest.raises(pose78.UserError, match=r"^--input is .{,70}; give channels"):
        read_shape(f"3,{text}")


def test_a_layer_is_given_bits_once() -> None:
    assert read_bits("conv1=4,conv2=4") == {"conv1": 4, "conv2": 4}
    with pytest.raises(pose78.UserError, match="--bits names 'conv1' twice"):
        read_bits("conv1=4,conv1=8")


@pytest.mark.parametrize("suffix", [".py", ".yaml", ".onnx", ".pth.tar", ".npz"])
def test_what_is_no_file_is_said_to_be_what_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    (tmp_path / f"folder{suffix}").mkdir()
    os.mkfifo(tmp_path / f"pipe{suffix}")
    for name, sentence in (
        ("folder", "is a folder"),
        ("pipe", "is no ordinary file"),
        ("none", "there is no such"),
    ):
        assert sentence in refused(capsys, str(tmp_path / f"{name}{suffix}"))
