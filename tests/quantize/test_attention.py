"""Attention is one thing that the chip does not have, however it is written."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from quantize.ptq.obstacles import UnfitNetwork
from quantize.ptq.run import understand
from tests.helpers.bring import brought
from tests.helpers.float_models import Float
from tests.helpers.typical import exported

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

NEAREST = "nearest: 3x3 convolutions in its place (linear attention multiplies data as well)"
ONE = np.array(1, np.int64)
NORM = "LayerNorm, whose statistics are those of each input"


class Tokens(nn.Module):
    """Pixels as tokens, a residual attention, a layer on the mean of all."""

    shape = (3, 8, 8)

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 12, 3, padding=1), nn.LayerNorm(12)
        self.attention, self.head = attention, nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x)).flatten(2).transpose(1, 2)
        return self.head((x + self.attention(self.norm(x))).mean(1))


class Plain(nn.Module):
    """One head."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(12, 12) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        scores = self.q(x) @ self.k(x).transpose(1, 2) / 12**0.5
        return self.o(torch.softmax(scores, -1) @ self.v(x))


class Heads(Plain):
    """Heads by reshaping, as most people write it."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (layer(x).view(1, 64, 3, 4).transpose(1, 2) for layer in (self.q, self.k, self.v))
        y = torch.softmax(q @ k.transpose(2, 3) / 2, -1) @ v
        return self.o(y.transpose(1, 2).reshape(1, 64, 12))


class Scaled(Plain):
    """PyTorch's function."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (layer(x).view(1, 64, 3, 4).transpose(1, 2) for layer in (self.q, self.k, self.v))
        y = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.o(y.transpose(1, 2).reshape(1, 64, 12))


class Joint(nn.Module):
    """One layer for all three, as vision transformers have it."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.o = nn.Linear(12, 36), nn.Linear(12, 12)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).reshape(1, 64, 3, 3, 4).permute(2, 0, 3, 1, 4).unbind(0)
        y = (q @ k.transpose(-2, -1)).softmax(-1) @ v
        return self.o(y.transpose(1, 2).reshape(1, 64, 12))


class Ready(nn.Module):
    """PyTorch's own module."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(12, 3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x, x, x, need_weights=False)[0]


class Linear(Plain):
    """Without a softmax: keys by values first."""

    def forward(self, x: Tensor) -> Tensor:
        q, k = torch.relu(self.q(x)), torch.relu(self.k(x))
        return self.o(q @ (k.transpose(1, 2) @ self.v(x)))


def said(module: nn.Module, path: Path, opset: int = 17) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported(Tokens(module).eval(), path, opset)
    with pytest.raises(UnfitNetwork) as caught:
        understand(path)
    return str(caught.value)


@pytest.mark.parametrize("opset", [14, 17])
@pytest.mark.parametrize("kind", [Plain, Heads, Scaled, Joint, Ready, Linear])
def test_attention_is_one_thing(kind: type[nn.Module], opset: int, tmp_path: Path) -> None:
    """Beside it stands the norm, which opset 14 writes out."""
    text = said(kind(), tmp_path / "m.onnx", opset)
    lines = text.splitlines()
    assert "2 things that the chip does not have" in lines[0], text
    assert NORM in lines[1]
    name = "attention without a softmax" if kind is Linear else "attention"
    assert f": {name}, " in lines[2]
    assert " operators up to node " in lines[2]
    assert NEAREST in lines[2]
    assert "it would fit" in lines[3]


def test_every_block_of_an_encoder_is_named(tmp_path: Path) -> None:
    blocks = [nn.TransformerEncoderLayer(12, 3, 24, batch_first=True) for _ in range(2)]
    text = said(nn.Sequential(*blocks), tmp_path / "m.onnx")
    assert text.count(": attention, ") == 2
    assert text.count(NORM) == 5
    assert "7 things" in text


def stem(m: Float) -> str:
    """64 tokens of 6 channels."""
    data = m.conv(4, 6, 3, 3, pads=[1, 1, 1, 1])
    return m.add("Transpose", m.add("Reshape", data, m.whole(1, 6, 64)), perm=[0, 2, 1])


def attend(m: Float, one: str, other: str = "") -> tuple[str, str]:
    """Attention of tokens to tokens: what it gives, and its scores."""
    q, k, v = (m.add("MatMul", name, m.random(6, 6)) for name in (one, *[other or one] * 2))
    scores = m.add("Softmax", m.add("MatMul", q, m.add("Transpose", k, perm=[0, 2, 1])), axis=-1)
    return m.add("MatMul", scores, v), scores


def test_attention_that_comes_last_is_left_to_the_application(tmp_path: Path) -> None:
    model = Float(4, 8, 8)
    attend(model, stem(model))
    result = brought(model.save(tmp_path / "m.onnx"), model.shape)
    (note,) = result.notes
    assert "attention, 9 operators up to node MatMul" in note
    assert "the output is what it reads, as 6x8x8 (channels, rows, columns)" in note


def test_attention_to_other_data_is_one_thing(tmp_path: Path) -> None:
    model = Float(4, 8, 8)
    one = stem(model)
    other = model.add("Relu", one)
    attended, _ = attend(model, one, other)
    model.add("MatMul", model.add("Add", one, attended), model.random(6, 3))
    with pytest.raises(UnfitNetwork, match=r"1 thing .*\n.*: attention, 7 operators"):
        understand(model.save(tmp_path / "m.onnx"))


def test_scores_that_are_put_out_keep_its_operators_apart(tmp_path: Path) -> None:
    model = Float(4, 8, 8)
    attended, scores = attend(model, stem(model))
    last = model.add("MatMul", model.add("Relu", attended), model.random(6, 3))
    with pytest.raises(UnfitNetwork, match="a matrix product of data") as caught:
        understand(model.save(tmp_path / "m.onnx", last, scores))
    assert "operators up to" not in str(caught.value)


def test_a_single_product_of_data_is_no_attention(tmp_path: Path) -> None:
    model = Float(4, 8, 8)
    data = stem(model)
    product = model.add("MatMul", data, model.add("Transpose", data, perm=[0, 2, 1]))
    model.add("MatMul", model.add("Relu", product), model.random(64, 3))
    with pytest.raises(UnfitNetwork, match="a matrix product of data; nearest: constant weights"):
        understand(model.save(tmp_path / "m.onnx"))


def test_sizes_may_be_computed_within(tmp_path: Path) -> None:
    """Shape and Gather of what has four axes there."""
    model = Float(4, 8, 8)
    data = stem(model)
    q, k, v = (
        model.add("Transpose", model.add(
            "Reshape", model.add("MatMul", data, model.random(6, 6)), model.whole(1, 64, 2, 3)
        ), perm=[0, 2, 1, 3])
        for _ in range(3)
    )  # fmt: skip
    turned = model.add("Transpose", k, perm=[0, 1, 3, 2])
    y = model.add("MatMul", model.add("Softmax", model.add("MatMul", q, turned), axis=-1), v)
    y = model.add("Transpose", y, perm=[0, 2, 1, 3])
    count = model.add("Gather", model.add("Shape", y), model.constant(ONE), axis=0)
    deep = model.add("Gather", model.add("Shape", y), model.constant(3 * ONE), axis=0)
    sizes = [model.add("Unsqueeze", n, model.whole(0)) for n in (count, deep)]
    twice = model.add("Mul", sizes[1], model.whole(2))
    shape = model.add("Concat", model.whole(1), sizes[0], twice, axis=0)
    model.add("Add", data, model.add("Reshape", y, shape))
    model.add("MatMul", model.last, model.random(6, 3))
    with pytest.raises(UnfitNetwork, match=r"1 thing .*\n.*: attention, "):
        understand(model.save(tmp_path / "m.onnx"))


def test_the_operator_is_called_by_its_name(tmp_path: Path) -> None:
    model = Float(4, 8, 8)
    data = stem(model)
    model.add("MultiHeadAttention", data, data, data, domain="com.microsoft", num_heads=2)
    model.add("MatMul", model.last, model.random(6, 3))
    with pytest.raises(UnfitNetwork, match=": attention; nearest: 3x3 convolutions"):
        understand(model.save(tmp_path / "m.onnx"))
