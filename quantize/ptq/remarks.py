"""What is worth a remark when a quantised network is far from its model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ai8x_models.students import INPUT, StudentSpec
from common.errors import UserError
from quantize.ptq import evaluate
from quantize.ptq.net import Net
from quantize.ptq.suits import TRIALS

LARGE = 0.5
"""Share of an output's spread beyond which its error is remarked on."""

NOISE = 1e-4
"""Error by an output's own size that two ways to compute in float32 may make."""


def share(got: np.ndarray, truth: np.ndarray) -> float:
    """Error of an output [N, channels, ...] by how far it goes from the mean of each channel.

    0 where all inputs give the same.
    """
    channels = np.moveaxis(truth, 1, 0).reshape(truth.shape[1], -1)
    spread = float(channels.var(axis=1, dtype=np.float64).mean())
    error = float(np.square(got - truth, dtype=np.float64).mean())
    return float(np.sqrt(error / spread)) if spread > 0 else 0.0


def remark(spec: StudentSpec, name: str, layer: str, far: float, ratios: dict[str, float]) -> str:
    """The remark on an output whose error is large.

    Args:
        spec: layers of the network.
        name: of the output in the model, ``layer`` in the network.
        far: its error by its spread.
        ratios: signal to error of every layer in dB, all layers before it rounded as well.
    """
    worst = source_of_error(spec, layer, ratios)
    return (
        f"output {name} is wrong by {far:.2g} of its spread; most of it arises in layer {worst} "
        f"({ratios[worst]:.1f} dB): give it more bits, calibrate on more data, or fine-tune "
        "(--float)"
    )


def remark_unlike(path: Path, net: Net, name: str, far: float) -> str:
    """The remark on an output that is far from the model's before anything is rounded.

    Raises:
        UserError: nothing of the model was replaced, so that it was misread.
    """
    said = f"output {name} is wrong by {far:.2g} of its spread before anything is rounded"
    replaced = [note for note in net.notes if " replaced by " in note]
    if not replaced:
        raise UserError(
            f"{path}: {said}: what was read of the model computes something else; please report it"
        )
    what = replaced[0].partition(" is replaced")[0].partition(": ")[0]
    return f"{said}: {what} and what stands for it are that far apart"


def unlike(net: Net, inputs: np.ndarray, name: str, truth: np.ndarray) -> float:
    """Error of a float network by the spread of an output, on a few inputs; 0 for mere noise.

    Args:
        net: after :func:`quantize.ptq.fuse.fuse`.
        inputs: [N, channels, rows, columns] float32.
        name: of the output.
        truth: what the model gives there, [N, channels, ...].
    """
    found = evaluate.outputs(net, torch.from_numpy(inputs[:TRIALS]))[name].numpy()
    some = truth[: len(found)]
    found = found.reshape(some.shape)
    noise = NOISE * float(np.linalg.norm(some))
    return share(found, some) if float(np.linalg.norm(found - some)) > noise else 0.0


def source_of_error(spec: StudentSpec, output: str, ratios: dict[str, float]) -> str:
    """The layer in which most of an output's error arises.

    Args:
        spec: of the network.
        output: name of the layer that gives it.
        ratios: signal to error of every layer in dB, all layers before it rounded as well.
    """
    noise = {name: 10 ** (-ratio / 10) for name, ratio in ratios.items()} | {INPUT: 0.0}
    layers = {layer.name: layer for layer in spec.layers}
    added: dict[str, float] = {}
    waiting = [output]
    while waiting:
        name = waiting.pop()
        if name == INPUT or name in added:
            continue
        sources = layers[name].sources
        added[name] = noise[name] - max(noise[source] for source in sources)
        waiting += sources
    return max(added, key=lambda name: added[name])
