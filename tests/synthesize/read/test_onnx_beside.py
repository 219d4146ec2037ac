"""Constants that an exporter put into a file beside the model."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import onnx
import pytest

from common.errors import UserError
from synthesize.graph import reference
from synthesize.read.onnx import network as frontend_onnx
from synthesize.read.onnx.model import read
from tests.helpers.onnx_models import Model


def plain() -> tuple[Model, list[str]]:
    m = Model((3, 8, 8))
    x = m.rounded(m.conv(m.data, m.weight(5, 3, 1, 1), 5, name="first"), -2)
    return m, [m.conv(x, m.weight(4, 5, 1, 1), 4, name="wide")]


def beside(folder: Path) -> tuple[Path, Path]:
    """A model whose constants lie in a file beside it, as exporters write them."""
    m, outputs = plain()
    path, data = folder / "model.onnx", folder / "model.onnx.data"
    onnx.save(m.proto(*outputs), str(path), save_as_external_data=True, location=data.name,
              size_threshold=0)  # fmt: skip
    return path, data


def test_constants_in_a_file_beside_the_model_are_read(tmp_path: Path) -> None:
    m, outputs = plain()
    path, data = beside(tmp_path)
    assert data.stat().st_size > 0
    wanted = frontend_onnx.load(m.save(tmp_path / "one.onnx", *outputs)).graph
    found = frontend_onnx.load(path).graph
    sample = np.arange(math.prod(wanted.input.shape)).reshape(wanted.input.shape).astype(np.int8)
    (first,), (second,) = (reference.run(g, sample).values() for g in (wanted, found))
    assert np.array_equal(first, second)


def test_a_file_beside_the_model_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    path, data = beside(tmp_path)
    content = data.read_bytes()
    data.write_bytes(content[:-4])
    with pytest.raises(UserError, match="copy both files of the same export"):
        frontend_onnx.load(path)
    data.unlink()
    with pytest.raises(UserError, match="which is not there; put it beside the model"):
        frontend_onnx.load(path)
    (tmp_path / "other").mkdir()
    path.rename(tmp_path / "other" / path.name)
    (tmp_path / "secret").write_bytes(content)
    (tmp_path / "other" / data.name).symlink_to(tmp_path / "secret")
    with pytest.raises(UserError, match="outside of the model's folder"):
        frontend_onnx.load(tmp_path / "other" / path.name)
    (tmp_path / "other" / data.name).unlink()
    os.mkfifo(tmp_path / "other" / data.name)
    with pytest.raises(UserError, match="which is no file of at most"):
        frontend_onnx.load(tmp_path / "other" / path.name)


def test_operators_may_come_in_any_order(tmp_path: Path) -> None:
    """Converters to half precision append their casts at the end."""
    m, outputs = plain()
    proto = m.proto(*outputs)
    wanted = [node.output[0] for node in proto.graph.node]
    nodes = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend(nodes[::-1])
    onnx.save(proto, str(tmp_path / "turned.onnx"))
    found = [node.outputs[0] for node in read(tmp_path / "turned.onnx").nodes]
    made = {name for node in nodes for name in node.output}
    assert sorted(found) == sorted(wanted)
    for i, node in enumerate(read(tmp_path / "turned.onnx").nodes):
        assert node.order == i
        assert all(name in found[:i] for name in node.inputs if name in made)
