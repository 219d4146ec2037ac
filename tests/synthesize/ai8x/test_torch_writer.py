"""Checkpoints written without torch are what torch reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from synthesize.ai8x import torch_writer
from synthesize.read import torch_archive

CONTENT: dict[str, Any] = {
    "epoch": -7,
    "arch": "net ü",
    "none": None,
    "flags": [True, False],
    "pair": (1, 2.5),
    "state_dict": {
        "a.op.weight": np.arange(-12, 12, dtype=np.int64).reshape(2, 3, 2, 2),
        "b.op.weight": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "c": np.array([1], np.int32),
        "d": np.zeros((0, 3), np.int8),
        "e": np.array(5, np.int16),
    },
}


def check(found: Any) -> None:
    assert {k: v for k, v in found.items() if k != "state_dict"} == {
        k: v for k, v in CONTENT.items() if k != "state_dict"
    }
    for key, value in CONTENT["state_dict"].items():
        got = np.asarray(found["state_dict"][key])
        assert got.dtype == value.dtype
        np.testing.assert_array_equal(got, value)


def test_torch_loads_it(tmp_path: Path) -> None:
    path = tmp_path / "a.pth.tar"
    torch_writer.save(CONTENT, path)
    check(torch.load(path, weights_only=True))


def test_our_reader_loads_both(tmp_path: Path) -> None:
    path = tmp_path / "a.pth.tar"
    torch_writer.save(CONTENT, path)
    check(torch_archive.load(path, 10_000))
    tensors = {k: torch.tensor(v) for k, v in CONTENT["state_dict"].items()}
    torch.save({**CONTENT, "state_dict": tensors}, path)
    check(torch_archive.load(path, 100_000))


def test_equal_content_gives_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        torch_writer.save(CONTENT, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_other_objects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="Path cannot be written"):
        torch_writer.save({"a": Path()}, tmp_path / "a")


def test_unpacked_size_is_limited(tmp_path: Path) -> None:
    path = tmp_path / "a.pth.tar"
    torch_writer.save(CONTENT, path)
    with pytest.raises(torch_archive.ArchiveError, match="more than 100"):
        torch_archive.load(path, 100)
