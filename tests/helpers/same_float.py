"""Whether a float network computes what ONNX Runtime makes of its model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from quantize.ptq import evaluate, lower
from quantize.ptq.fuse import fuse
from quantize.ptq.net import Net
from quantize.ptq.read.reader import read
from tests.helpers.float_models import RNG


def same(path: Path, shape: tuple[int, ...]) -> Net:
    """Fused, and lowered to layers, the network still computes what the model does."""
    net = fuse(read(path))
    assert net.obstacles == []
    import onnxruntime as runtime

    x = RNG.uniform(-1, 1, (1, *shape)).astype(np.float32)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    wanted = session.run(None, {"x": x})
    inner = torch.from_numpy(x).reshape(1, *net.ops["input"].shape)
    for value, truth in zip(evaluate.outputs(net, inner).values(), wanted, strict=True):
        np.testing.assert_allclose(value.numpy().reshape(truth.shape), truth, atol=2e-5, rtol=1e-4)
    assert lower.lower(net).spec.layers
    return net
