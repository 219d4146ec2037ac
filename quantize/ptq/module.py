"""Post-training quantisation of a torch module."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common.errors import UserError
from quantize.ptq.command import write
from quantize.ptq.data import Calibration, arranged, described
from quantize.ptq.net import Net
from quantize.ptq.run import Result, quantize

OPSET = 17


def quantize_module(
    module: nn.Module,
    example: Tensor,
    calibration: np.ndarray | Tensor,
    out: str | Path | None = None,
    labels: np.ndarray | None = None,
    **options: Any,
) -> Result:
    """Quantise a module as :func:`quantize.ptq.run.quantize` does a file.

    Args:
        module: the network; it is put into eval mode while it is read.
        example: one input, batch 1.
        calibration: float inputs, batch first.
        out: ``.onnx`` or ``.pth.tar`` file to write.
        labels: class of every input, for the accuracy.
        options: ``widths``, ``approximate``, ``progress``.

    Raises:
        UserError: torch cannot export it, or as :func:`quantize.ptq.run.quantize`.
    """
    inputs = np.asarray(calibration, np.float32)

    def load(net: Net) -> Calibration:
        shape = net.ops["input"].shape
        wanted = described(shape, net.layout)
        if inputs.shape[1:] != wanted or not len(inputs):
            raise UserError(f"calibration is {inputs.shape}, but the module reads N x {wanted}")
        if not np.isfinite(inputs).all():
            raise UserError("the calibration inputs hold NaN or infinity; remove them")
        return Calibration(arranged(inputs, shape, net.layout), labels)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{type(module).__name__.lower()}.onnx")
        export(module, example, path)
        result = quantize(path, load, **options)
    if out is not None:
        write(result, Path(out))
    return result


def export(module: nn.Module, example: Tensor, path: Path) -> None:
    """Write a module as ONNX; UserError when torch cannot."""
    training = module.training
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's own deprecations
            torch.onnx.export(
                module.eval(), (example,), str(path), opset_version=OPSET, dynamo=False
            )
    except Exception as error:  # the exporter runs the module's own code
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UserError(f"torch cannot export the module as ONNX: {reason}") from error
    finally:
        module.train(training)
