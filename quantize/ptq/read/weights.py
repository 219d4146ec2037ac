"""Weights and biases of layers, which are constants of finite numbers."""

from __future__ import annotations

import numpy as np

from quantize.ptq.net import Op
from quantize.ptq.read.reader import Reader
from synthesize.read.onnx.model import Node


def finite(node: Node, weight: np.ndarray) -> np.ndarray:
    """Weights as float64.

    Raises:
        UserError: one is NaN or infinite.
    """
    if not np.isfinite(weight).all():
        raise node.refuse("its weights are not finite; train the model again")
    return weight.astype(np.float64)


def matching(reader: Reader, node: Node, source: Op, weight: np.ndarray) -> np.ndarray:
    """Weights [outputs, inputs, ...] for data of as many channels.

    Behind something that the chip does not have, whose size is not known, they stand for others.

    Raises:
        UserError: the data has more channels, or fewer.
    """
    inputs, channels = weight.shape[1], source.shape[0]
    if inputs == channels:
        return weight
    if reader.uncertain(source):
        return np.zeros((len(weight), channels, *weight.shape[2:]))
    raise node.refuse(f"{inputs} inputs expected, but its data has {channels}")


def bias_of(reader: Reader, node: Node, outputs: int) -> np.ndarray:
    """The third input, zeros where there is none.

    Raises:
        UserError: it is data, or not finite.
    """
    if reader.is_data(node, 2):
        raise node.refuse("its bias is data; export it with constants, or with an Add behind it")
    bias = reader.constant(node, 2)
    if bias is None:
        return np.zeros(outputs)
    return finite(node, bias.reshape(-1))
