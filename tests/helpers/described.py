"""Small networks described by hand in YAML, with random weights: compiled and run on the kit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml

from synthesize.compiler import Compiled, compile_network
from synthesize.read.checkpoint import Checkpoint, from_state_dict
from tests.helpers.virtual import run_on_kit

Shape = tuple[int, ...]

EARLY_SHAPE = (3, 6, 5)
"""Input of :func:`output_before_the_last`."""


def text(*layers: Mapping[str, object], **top: object) -> str:
    """Return a description of layers given as key and value pairs."""
    return yaml.safe_dump({"arch": "net", "dataset": "any", **top, "layers": list(layers)})


def weights(
    shapes: Sequence[tuple[str, Shape] | tuple[str, Shape, int]], seed: int = 0, bias: bool = True
) -> Checkpoint:
    """Return a checkpoint of random weights; entries are name, shape and (default 8) bits."""
    rng = np.random.default_rng(seed)
    state: dict[str, np.ndarray] = {}
    for name, shape, *rest in shapes:
        bits = rest[0] if rest else 8
        low, high = -(1 << (bits - 1)), max((1 << (bits - 1)) - 1, 0)
        state[f"{name}.weight_bits"] = np.array([bits])
        state[f"{name}.output_shift"] = np.array([-4])
        state[f"{name}.op.weight"] = rng.integers(low, high + 1, shape)
        if bias:
            state[f"{name}.op.bias"] = rng.integers(-128, 128, shape[0]) << (bits - 1)
    return from_state_dict(state, "net.npz", arch="net")


def compile_text(
    folder: Path,
    description: str,
    checkpoint: Checkpoint | None,
    shape: Shape,
    stop_after: str = "",
) -> Compiled:
    """Compile a description for an input of the given shape."""
    path = folder / "net.yaml"
    path.write_text(description)
    return compile_network(checkpoint, path, shape, stop_after=stop_after)


def run(compiled: Compiled, shape: Shape, seed: int = 0) -> None:
    """Run a network on the kit; outputs and cycles must be what the compiler says."""
    sample = np.random.default_rng(seed).integers(-128, 128, shape)
    expected = compiled.known_answer(sample)
    outputs, cycles = run_on_kit(compiled.program, sample)
    for name, values in expected.items():
        assert values.any(), f"output {name} is all zero and shows nothing"
        np.testing.assert_array_equal(outputs[name], values)
    assert cycles == compiled.program.cycles


def output_before_the_last(folder: Path, quadrant: int) -> Compiled:
    """Two outputs of which the first is written into a quadrant that no layer reads."""
    place = {"data_format": "HWC", "processors": 0x7, "output": True}
    first = place | {
        "name": "a", "op": "conv2d", "kernel_size": "3x3", "pad": 1, "activate": "ReLU",
        "out_offset": 0x2000, "output_processors": 0xF << 16 * quadrant,
    }  # fmt: skip
    second = place | {
        "name": "b", "op": "conv2d", "kernel_size": "1x1", "pad": 0, "in_offset": 0,
        "in_sequences": ["input"], "out_offset": 0x3000, "output_processors": 0xF,
    }  # fmt: skip
    del second["data_format"]
    checkpoint = weights([("a", (4, 3, 3, 3)), ("b", (4, 3, 1, 1))])
    return compile_text(folder, text(first, second), checkpoint, EARLY_SHAPE)
