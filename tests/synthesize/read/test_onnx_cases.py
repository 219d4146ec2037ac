"""ONNX files as other people have them, kept beside the repository: how each of them ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthesize.__main__ import main
from tests.helpers.places import find_shared

# Folder and file, exit status, what the answer must say.
CASES = [
    ("bias-message/model.onnx", 2, ("Conv", "bias")),
    ("float-dead-end/float.onnx", 2, ("not quantised", "quantize", "--calibrate")),
    ("float-dead-end/ort-symmetric.onnx", 2, ("powers of two", "--calibrate")),
    ("global-pool-32/model.onnx", 2, ("GlobalAveragePool", "at most 16")),
    ("reducemean/model.onnx", 0, ("ReduceMean",)),
    ("resize-nearest/model.onnx", 0, ("Resize",)),
]


@pytest.mark.parametrize(("name", "status", "words"), CASES, ids=[case[0] for case in CASES])
def test_each_ends_as_it_should(
    name: str, status: int, words: tuple[str, ...], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    shared = find_shared()
    path = (shared or tmp_path) / "cases" / "onnx" / name
    if not path.is_file():
        pytest.skip(f"the case {name} is not on this machine")
    assert main(["compile", str(path), "--out", str(tmp_path / "out")]) == status
    said = capsys.readouterr()
    text = said.err if status else said.out
    for word in words:
        assert word in text
    assert (tmp_path / "out").exists() == (status == 0)
    assert not (name.startswith("bias") and "MaxPool" in text)
