"""Reads the Lightweight OpenPose network from the Open Model Zoo's form of it, an ONNX file.

``human-pose-estimation-0001`` (Intel Open Model Zoo, Apache-2.0) keeps the names of the original
Caffe layers. Every convolution is a node ``Conv`` named after its layer, its offset the constant
of the ``Add`` behind it; both are found by the layer's name, and nothing of the file is run.

Differences from the network as published, all exact here:

* the input is blue, green, red, 0..255, times a scale plus an offset per colour. Ours is
  (pixel - 128) / 128 in red, green, blue; with ``pixel = 128 x + 128`` the first kernel takes the
  factor ``128 * scale``, and because the borders are padded with zeros *behind* the offset, the
  rest ``128 * scale + offset`` must be zero, as it is in that file (257 / 512 - 257 / 512);
* the refinement stage is given part affinities, heatmaps, features, ours features, heatmaps, part
  affinities: the columns of its first kernels change places.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ai8x_models.skeleton import NUM_HEATMAPS, NUM_PAFS
from common.errors import UserError

MAX_FILE_BYTES = 256 << 20
MAX_NODES = 10_000
NETWORK = "human-pose-estimation-0001 of the Open Model Zoo"
_BLOCKS = ("2_1", "2_2", "3_1", "3_2", "4_1", "4_2", "5_1", "5_2", "5_3", "5_4", "5_5")
_END = "/WithoutBiases"  # of a layer's name, where its offset has a node of its own
_REST = 1e-6  # how far a grey of 128 may lie from the padding's zero, in the network's units


@dataclass(frozen=True, eq=False)
class _Layer:
    """A convolution: kernel float32 [outputs, inputs per group, k, k], offset float32 [outputs]."""

    weight: np.ndarray
    bias: np.ndarray
    inputs: tuple[str, ...]


def _context_layers() -> dict[str, str]:
    """Layer names by key, in the context module."""
    layers = {"cpm.align.0": "conv4_3_CPM/al", "cpm.reduce.0": "conv4_3_CPM/red"}
    for block in range(3):
        depthwise = f"conv4_3_CPM/dw{block + 1}"
        layers[f"cpm.trunk.{block}.0"] = depthwise
        layers[f"cpm.trunk.{block}.2"] = f"{depthwise}/1x1" if block < 2 else "conv4_3_CPM/inc"
    return {**layers, "cpm.conv.0": "conv4_4_CPM"}


def _stage_layers(stage: int) -> dict[str, str]:
    """Layer names by key, in one refinement stage; the first is number 2 in the file."""
    key, number = f"refinement_stages.{stage}", f"stage{stage + 2}"
    layers = {}
    for block in range(5):
        name = f"Mconv{block + 1}_{number}_L1"
        layers[f"{key}.trunk.{block}.initial.0"] = f"{name}/sq"
        layers[f"{key}.trunk.{block}.trunk.0.0"] = f"{name}/3x3"
        layers[f"{key}.trunk.{block}.trunk.1.0"] = f"{name}/3x3/2"
    for head, branch in (("pafs", "L1"), ("heatmaps", "L2")):
        for step in range(2):
            layers[f"{key}.{head}.{step}.0"] = f"Mconv{6 + step}_{number}_{branch}"
    return layers


def layer_names(stages: int) -> dict[str, str]:
    """Names of the published layers by our keys (without ``.weight`` and ``.bias``)."""
    layers = {"model.0.0": "conv1"}
    for index, block in enumerate(_BLOCKS, 1):
        layers[f"model.{index}.0"] = f"conv{block}/dw"
        layers[f"model.{index}.3"] = f"conv{block}/sep"
    layers |= _context_layers()
    for index in range(3):
        layers[f"initial_stage.trunk.{index}.0"] = f"conv5_{index + 1}_CPM_L1"
    for head, branch in (("pafs", "L1"), ("heatmaps", "L2")):
        for step in range(2):
            layers[f"initial_stage.{head}.{step}.0"] = f"conv5_{4 + step}_CPM_{branch}"
    for stage in range(stages):
        layers |= _stage_layers(stage)
    return layers


class _File:
    """An ONNX file's nodes and constants, looked up by name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        graph = _graph(path)
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.nodes = list(graph.node)
        self.readers: dict[str, list[Any]] = {}
        for node in self.nodes:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.convolutions = {
            (node.name or node.output[0]).removesuffix(_END): node
            for node in self.nodes
            if node.op_type == "Conv" and node.output
        }

    def refuse(self, what: str) -> UserError:
        """The sentence for a file of another network."""
        return UserError(
            f"{self.path} is not {NETWORK}: {what}; give that network's file, or a checkpoint of "
            "a Lightweight OpenPose network"
        )

    def array(self, name: str) -> np.ndarray | None:
        """A constant as float32, None where no constant has the name."""
        from onnx import TensorProto, numpy_helper

        tensor = self.constants.get(name)
        if tensor is None:
            return None
        if tensor.data_location == TensorProto.EXTERNAL:
            raise self.refuse(f"its constant {name} is stored in another file")
        try:
            values = np.asarray(numpy_helper.to_array(tensor), np.float32)
        except (ValueError, TypeError):
            raise self.refuse(f"its constant {name} cannot be read") from None
        if not np.isfinite(values).all():
            raise self.refuse(f"its constant {name} holds values that are no numbers")
        return values

    def constant_of(self, node: Any) -> np.ndarray | None:
        """The constant that an ``Add`` or ``Mul`` works with, flat; None without one."""
        found = [self.array(name) for name in node.input]
        values = [array for array in found if array is not None]
        return values[0].reshape(-1) if len(values) == 1 else None

    def layer(self, name: str) -> _Layer:
        """A convolution with its offset, by its published name."""
        node = self.convolutions.get(name)
        if node is None:
            raise self.refuse(f"it has no convolution {name}")
        weight = self.array(node.input[1]) if len(node.input) > 1 else None
        if weight is None or weight.ndim != 4:
            raise self.refuse(f"the kernel of {name} is no constant of four dimensions")
        bias = self.array(node.input[2]) if len(node.input) > 2 else self._added(node)
        if bias is None:
            bias = np.zeros(len(weight), np.float32)
        if bias.size != len(weight):
            raise self.refuse(f"{name} has {len(weight)} outputs and {bias.size} offsets")
        return _Layer(weight, bias.reshape(-1), tuple(node.input))

    def _added(self, node: Any) -> np.ndarray | None:
        """What is added behind a convolution."""
        readers = self.readers.get(node.output[0], [])
        if len(readers) != 1 or readers[0].op_type != "Add":
            return None
        return self.constant_of(readers[0])

    def input_scale(self, first: _Layer) -> float:
        """The factor between our input and the one the first convolution reads.

        Raises:
            UserError: a grey of 128 is not the zero that the borders are padded with.
        """
        scale, offset, at = np.float64(1), np.float64(0), first.inputs[0]
        for kind in ("Add", "Mul"):
            made = [n for n in self.nodes if at in n.output]
            if made and made[0].op_type == kind:
                values = self.constant_of(made[0])
                if values is None or np.ptp(values) or not values.size:
                    raise self.refuse("its colours are scaled differently")
                if kind == "Add":
                    offset = np.float64(values[0])
                else:
                    scale = np.float64(values[0])
                at = next(name for name in made[0].input if name not in self.constants)
        if abs(128 * scale + offset) > _REST:
            raise self.refuse(
                f"its input is pixel * {scale:g} + {offset:g}, in which a pixel of 128 is not zero"
            )
        return float(128 * scale)


def _graph(path: Path) -> Any:
    """The graph of an ONNX file of sensible size, as the ONNX package parses it."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise UserError(
                f"{path} has {size:,} bytes; a teacher's ONNX file has at most {MAX_FILE_BYTES:,}"
            )
        graph = onnx.load_model_from_string(path.read_bytes()).graph
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except (DecodeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} is no ONNX file: it cannot be parsed") from None
    if not 0 < len(graph.node) <= MAX_NODES:
        raise UserError(
            f"{path} has {len(graph.node)} nodes; an ONNX file of 1 to {MAX_NODES} is expected"
        )
    return graph


def _reordered(weight: np.ndarray) -> np.ndarray:
    """Columns from affinities, heatmaps, features to features, heatmaps, affinities."""
    pafs, heatmaps, features = np.split(weight, [NUM_PAFS, NUM_PAFS + NUM_HEATMAPS], axis=1)
    return np.concatenate([features, heatmaps, pafs], axis=1)


def _state(layers: Mapping[str, _Layer]) -> dict[str, Tensor]:
    """Kernels and offsets as tensors by key."""
    state = {}
    for key, layer in layers.items():
        state[f"{key}.weight"] = torch.from_numpy(np.array(layer.weight))
        state[f"{key}.bias"] = torch.from_numpy(np.array(layer.bias))
    return state


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict of the variant ``reduced``, for our input and our order of channels.

    Args:
        path: an ONNX file with the published layers' names; any number of refinement stages.

    Raises:
        UserError: unreadable, too large, or another network's file.
    """
    file = _File(path)
    stages = 0
    while f"Mconv7_stage{stages + 2}_L2" in file.convolutions:
        stages += 1
    layers = {key: file.layer(name) for key, name in layer_names(stages).items()}
    first = layers["model.0.0"]
    factor = file.input_scale(first)
    swapped = first.weight[:, ::-1].astype(np.float64) * factor
    layers["model.0.0"] = _Layer(swapped.astype(np.float32), first.bias, ())
    for stage in range(stages):
        key = f"refinement_stages.{stage}.trunk.0.initial.0"
        layers[key] = _Layer(_reordered(layers[key].weight), layers[key].bias, ())
    return _state(layers)
