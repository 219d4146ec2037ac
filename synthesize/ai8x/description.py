"""Writes a placed network in the language of ai8x-synthesis: YAML, checkpoint and sample input.

What the placer decided becomes a hand-written description: processors, offsets, gaps, everything
stated and nothing left to defaults. Three files describe the *legal* network (folded input, merged
layers), so that a compiler which honours them needs no pass of its own:

* ``network.yaml``: the network description (ai8x-synthesis README, "YAML Network Description");
* ``checkpoint-q.pth.tar``: integer weights, biases and shifts of the legal network, with the keys
  that ai8x-synthesis ``izer/checkpoint.py`` reads;
* ``sample.npy``: the sample input as the legal network takes it, int64 [channels, rows, columns],
  the only type ai8x-synthesis ``izer/sampledata.py`` accepts.

Compiling them again gives the same final state, here and with the public generator; ``docs/
interop.md`` tells what was compared, and what the public generator refuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml

from common.errors import UserError
from common.files import write_array, write_file
from common.texts import word
from synthesize.ai8x import torch_writer
from synthesize.graph import reference
from synthesize.graph.ir import INPUT, Graph, Layer
from synthesize.place import memories
from synthesize.place.placement import LayerPlace, Placement

YAML_NAME = "network.yaml"
CHECKPOINT_NAME = "checkpoint-q.pth.tar"
SAMPLE_NAME = "sample.npy"
DATASET = "pose78"

_OPERATION = {
    "conv1d": "conv1d",
    "conv2d": "conv2d",
    "convtranspose2d": "convtranspose2d",
    "linear": "linear",
    "passthrough": "passthrough",
}
_ACTIVATION = {"none": "None", "relu": "ReLU", "abs": "Abs"}
_RESERVED = ("input", "stop")
"""Names with a meaning of their own for the public generator; ``test`` is one for networks."""


def write(
    folder: str | Path,
    graph: Graph,
    placement: Placement,
    sample: np.ndarray | None = None,
) -> Path:
    """Write the description, the checkpoint and, with ``sample``, the input of a placed network.

    Args:
        folder: where to; made when missing, files of the same names are replaced.
        graph: the legal graph (after all passes).
        placement: where it lies.
        sample: one input, int [channels, rows, columns] in -128..127, in the described shape or
            already folded.

    Returns:
        Path of the YAML file.

    Raises:
        UserError: the sample does not fit the network, or the placement's biases cannot be
            expressed in the language, or a file cannot be written.
    """
    folder = Path(folder)
    text = to_yaml(graph, placement)
    folded = None if sample is None else reference.fold_input(graph.input, sample)
    write_file(folder / YAML_NAME, text)
    _save_checkpoint(graph, folder / CHECKPOINT_NAME)
    if folded is not None:
        write_array(folder / SAMPLE_NAME, folded.astype(np.int64))
    return folder / YAML_NAME


def to_yaml(graph: Graph, placement: Placement) -> str:
    """Return the network description of a placed graph.

    Raises:
        UserError: the biases lie where no description can put them.
    """
    names = layer_names(graph)
    quadrants = _bias_quadrants(graph, placement)
    lines = [
        "---",
        "# Written by pose78: every place is stated, change the network's source instead.",
        f"arch: {_scalar(architecture(graph))}",
        f"dataset: {DATASET}",
        *_buffer(graph, placement),
        "layers:",
    ]
    for index in range(len(graph.layers)):
        entry = layer_entry(graph, placement, index, names)
        if quadrants[index] is not None:
            entry["bias_quadrant"] = str(quadrants[index])
        head, *rest = (f"{key}: {value}" for key, value in entry.items())
        lines += [f"  - {head}", *(f"    {line}" for line in rest)]
    return "\n".join(lines) + "\n"


def _buffer(graph: Graph, placement: Placement) -> list[str]:
    """Return the lines that describe the data buffer."""
    buffer, place = graph.buffer, placement.buffer
    if buffer is None or place is None:
        return []
    channels, rows, cols = buffer.shape
    return [
        "data_buffer:",
        f"  - name: {_scalar(buffer.name)}",
        f"    processors: 0x{place.processors:016x}",
        f"    dim: {_list((rows, cols))}",
        f"    channels: {channels}",
        f"    offset: 0x{place.offset:04x}",
    ]


def layer_entry(
    graph: Graph, placement: Placement, index: int, names: dict[str, str]
) -> dict[str, str]:
    """Return keys and values (as YAML text) that describe one layer and its place."""
    layer, spot = graph.layers[index], placement.layers[index]
    entry = {"name": _scalar(names[layer.name])}
    if index == 0:
        entry["data_format"] = "CHW" if placement.chw else "HWC"
        entry["in_channels"] = str(_channels_stated(layer))
        entry["in_dim"] = _list(graph.input.shape[1:])
    entry |= _inputs(graph, index, names)
    entry |= _computation(layer)
    entry |= _place(spot)
    for key, rows in (("buffer_shift", layer.buffer_shift), ("buffer_insert", layer.buffer_insert)):
        entry |= {key: str(rows)} if rows else {}
    if any(out.layer == layer.name for out in graph.outputs):
        entry["output"] = "true"
    return entry


def architecture(graph: Graph) -> str:
    """Return the network's name as a word the public generator takes for an architecture."""
    name = word(graph.name) or "network"
    return f"{name}_" if name.lower() == "test" else name


def layer_names(graph: Graph) -> dict[str, str]:
    """Return a plain name for every layer, unique whatever its case and not reserved."""
    names: dict[str, str] = {}
    taken = set(_RESERVED)
    for layer in graph.layers:
        name = word(layer.name) or "_"
        while name.lower() in taken:
            name += "_"
        taken.add(name.lower())
        names[layer.name] = name
    return names


def state_dict(graph: Graph) -> dict[str, np.ndarray]:
    """Return the integer checkpoint of a legal graph, int64 arrays by state-dict key.

    A stored bias is the byte of bias memory times ``2**(bits - 1)``; kernels of transposed
    convolutions are turned back into torch's order [in, out, rows, columns].
    """
    names = layer_names(graph)
    state: dict[str, np.ndarray] = {}
    for layer in graph.layers:
        if layer.weight is None:
            continue
        name = names[layer.name]
        state[f"{name}.output_shift"] = np.array([layer.output_shift])
        state[f"{name}.weight_bits"] = np.array([layer.bits])
        state[f"{name}.bias_bits"] = np.array([8])
        state[f"{name}.op.weight"] = np.ascontiguousarray(_torch_weight(layer))
        if layer.bias is not None:
            state[f"{name}.op.bias"] = layer.bias << (layer.bits - 1)
    return state


def _torch_weight(layer: Layer) -> np.ndarray:
    weight = layer.weight
    assert weight is not None
    if layer.op == "convtranspose2d":
        return np.flip(weight.swapaxes(0, 1), axis=(2, 3))
    if layer.op == "conv1d":
        return weight[:, :, :, 0]
    return weight[:, :, 0, 0] if layer.op == "linear" else weight


def _save_checkpoint(graph: Graph, path: Path) -> None:
    content = {
        "epoch": 0,
        "arch": architecture(graph),
        "state_dict": state_dict(graph),
        "extras": {"clipping_method": "MAX_BIT_SHIFT"},
    }
    torch_writer.save(content, path)


def _inputs(graph: Graph, index: int, names: dict[str, str]) -> dict[str, str]:
    layer = graph.layers[index]
    entry: dict[str, str] = {}
    previous = graph.layers[index - 1].name if index else INPUT
    if layer.inputs != (previous,):
        sources = (_scalar(names.get(name, name)) for name in layer.inputs)
        entry["in_sequences"] = f"[{', '.join(sources)}]"
    if index and layer.reshape is not None:
        entry["in_dim"] = _list(layer.reshape)
    if index and (layer.reshape is not None or "in_sequences" in entry):
        entry["in_channels"] = str(_channels_stated(layer))
    return entry


def _channels_stated(layer: Layer) -> int:
    """Return ``in_channels``; the public generator divides by the pixels when it flattens."""
    channels, rows, cols = layer.in_shape
    return channels * rows * cols if layer.flatten else channels


def _computation(layer: Layer) -> dict[str, str]:
    entry: dict[str, str] = {}
    if layer.join != "concat":
        entry |= {"eltwise": layer.join, "operands": str(layer.operands)}
    if layer.pool is not None:
        one_d = layer.op == "conv1d"
        key = f"{layer.pool.kind}_pool"
        entry[key] = str(layer.pool.size[0]) if one_d else _list(layer.pool.size)
        entry["pool_stride"] = str(layer.pool.stride[0]) if one_d else _list(layer.pool.stride)
        if not layer.pool_first:
            entry["pool_first"] = "false"
    entry["operation"] = _OPERATION[layer.op]
    if layer.op == "conv1d":
        entry["kernel_size"] = str(layer.kernel[0])
        if layer.dilation > 1:
            entry["dilation"] = str(layer.dilation)
    elif layer.op in ("conv2d", "convtranspose2d"):
        entry["kernel_size"] = f"{layer.kernel[0]}x{layer.kernel[1]}"
    if layer.op == "convtranspose2d":
        entry["output_pad"] = str(layer.output_pad[0])
    if layer.weight is not None:
        # The weights say it too; stated, the description can be asked about without them.
        entry["out_channels"] = str(layer.out_shape[0])
        entry["pad"] = str(layer.pad[0])
        entry["quantization"] = str(layer.bits)
        entry["activate"] = _ACTIVATION[layer.activation]
    if layer.flatten:
        entry["flatten"] = "true"
    if layer.wide:
        entry["output_width"] = "32"
    return entry


def _place(spot: LayerPlace) -> dict[str, str]:
    entry = {
        "processors": f"0x{spot.processors:016x}",
        "output_processors": f"0x{spot.output_processors:016x}",
        "in_offset": f"0x{spot.in_offset:04x}",
        "out_offset": f"0x{spot.out_offset:04x}",
    }
    if spot.write_gap:
        entry["write_gap"] = str(spot.write_gap)
    if spot.streaming:
        entry["streaming"] = "true"
    return entry


def _bias_quadrants(graph: Graph, placement: Placement) -> list[int | None]:
    """Return the quadrants to state so that the biases land where they are.

    Without any statement every compiler of this language fills the bias memories in one way, which
    is also ours; stated quadrants change that order, so nothing is said when nothing need be.
    """
    actual = [
        None if spot.bias_quadrant is None else (spot.bias_quadrant, spot.bias_offset)
        for spot in placement.layers
    ]
    bound = [spot.bias_quadrant for spot in placement.layers]
    for stated in ([None] * len(actual), bound):
        wishes = [None if q is None else (q,) for q in stated]
        if _bias_places(graph, placement, wishes) == actual:
            return list(stated)
    raise UserError(
        f"network {graph.name}: the order of its biases within a bias memory cannot be described "
        "in YAML; leave 'bias_quadrant' out of the description it was compiled from"
    )


def _bias_places(
    graph: Graph, placement: Placement, wishes: Sequence[tuple[int, ...] | None]
) -> list[tuple[int, int] | None]:
    try:
        return memories.allocate_biases(graph, placement.layers, placement.quadrants, wishes)
    except UserError:
        return []


def _list(values: Sequence[int]) -> str:
    return f"[{', '.join(map(str, values))}]"


def _scalar(text: str) -> str:
    """Return a plain name as YAML that reads back as the same text (not as a number, say)."""
    return text if yaml.safe_load(text) == text else f"'{text}'"
