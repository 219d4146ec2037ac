"""A network brought as ONNX, all the way to the virtual kit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from quantize.ptq.command import write
from quantize.ptq.data import Calibration, arranged
from quantize.ptq.run import Result, quantize
from synthesize.compiler import compile_graph
from synthesize.graph import reference
from synthesize.read.onnx import network as frontend_onnx
from tests.helpers.virtual import run_on_kit


def brought(path: Path, shape: tuple[int, ...], worst: float = 0.05) -> Result:
    """Quantise a model on random inputs [*shape] and compile what was written.

    The integer student, the integer reference and the kit agree bit for bit, and the outputs are
    the model's within a relative error of ``worst``.
    """
    random = np.random.default_rng(11)  # of its own: what ran before must not matter
    inputs = random.uniform(-1, 1, (24, *shape)).astype(np.float32)
    result = quantize(
        path, lambda net: Calibration(arranged(inputs, net.ops["input"].shape, net.layout)), (8,)
    )
    assert all(error < worst for error in result.outputs.values()), result.outputs
    sample = random.integers(-128, 128, result.student.spec.input_shape).astype(np.int8)
    with torch.no_grad():
        wanted = result.student(torch.from_numpy(sample)[None].double())
    written = path.with_name("q.onnx")
    write(result, written)
    compiled = compile_graph(frontend_onnx.load(written).graph)
    known = reference.run(compiled.legal, sample)
    found, _ = run_on_kit(compiled.program, sample)
    for value, true, words in zip(wanted, known.values(), found.values(), strict=True):
        assert np.array_equal(words.reshape(-1), value.numpy().reshape(-1))
        assert np.array_equal(true.reshape(-1), words.reshape(-1))
    return result
