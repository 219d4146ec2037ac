"""Writes each layer's input and output as .npy, and finds where two such dumps part."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from evalkit.cnn.decode import Layer
from evalkit.cnn.engine import Result
from synthesize.chip.errors import UserError


class LayerDump:
    """Observer for :class:`evalkit.cnn.Cnn` that writes ``layerNN_in.npy``, ``layerNN_out.npy``.

    Inputs are int8 [channel, row, column] ([channel, operand, row, column] with more than one
    operand) before pooling, outputs int8 or int32 [channel, row, column]. From the second run on
    the files go into ``run1``, ``run2``, ...
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.run = -1
        self.seen = -1

    def __call__(self, layer: Layer, result: Result) -> None:
        """Write one layer."""
        if layer.number <= self.seen or self.run < 0:
            self.run += 1
        self.seen = layer.number
        folder = self.directory if self.run == 0 else self.directory / f"run{self.run}"
        folder.mkdir(parents=True, exist_ok=True)
        inputs = result.inputs if layer.operands > 1 else result.inputs[:, 0]
        np.save(folder / f"layer{layer.number:02d}_in.npy", inputs)
        np.save(folder / f"layer{layer.number:02d}_out.npy", result.outputs)
