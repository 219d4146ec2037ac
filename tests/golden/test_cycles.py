"""The cycle model against the reference generator's reports.

Twice: from the geometry of the described network, and from the registers that the recordings
leave (which is what the kit's time is made of).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from evalkit.commands import replay
from evalkit.hardware.cnn import Cnn
from evalkit.hardware.cnn.decode import decode
from synthesize.chip.cycles import (
    GENERATOR_STREAMING,
    STARTUP_CYCLES,
    LayerGeometry,
    layer_cycles,
)
from tests.helpers.golden_cases import every_case

Shape = tuple[int, int, int]


def reported(case: Path) -> list[int]:
    """Cycles of each layer as the generator reports them."""
    cycles = json.loads((case / "report.json").read_text())["cycles"]
    layers = [value for name, value in cycles.items() if name.startswith("Layer")]
    assert cycles["Startup"] == STARTUP_CYCLES
    assert cycles["Total"] == STARTUP_CYCLES + sum(layers)
    return layers


@every_case()
def test_cycles_from_the_network(golden_case: Path) -> None:
    model = [layer_cycles(g, GENERATOR_STREAMING) for g in geometries(golden_case)]
    assert_close(model, reported(golden_case), [g.streaming for g in geometries(golden_case)])


@every_case()
def test_cycles_from_the_registers(golden_case: Path) -> None:
    recording = replay.load_recording(golden_case / "trace.npz")
    cnn = Cnn()
    # Without the start (and the FIFO words after it), so that nothing is computed.
    control = recording.trace[:, 1] == 0x50100000
    starts = np.flatnonzero(control & (recording.trace[:, 3] & 1 == 1))
    replay.play(cnn, recording.trace[: starts[0]])
    quadrants = tuple(q for q in range(4) if q == 0 or cnn.control(q, "cnn_en"))
    stream = bool(recording.trace[starts[0], 3] >> 14 & 1)
    wanted = reported(golden_case)
    layers = [decode(cnn.registers, n, quadrants, stream) for n in range(len(wanted))]
    model = [layer_cycles(layer.geometry(), GENERATOR_STREAMING) for layer in layers]
    assert_close(model, wanted, [layer.streaming for layer in layers])
    assert model == [layer_cycles(g, GENERATOR_STREAMING) for g in geometries(golden_case)]


def assert_close(model: list[int], wanted: list[int], streaming: list[bool]) -> None:
    """Exact, or within 5 % where the reference itself is an estimate."""
    assert len(model) == len(wanted)
    for number, (got, want, streams) in enumerate(zip(model, wanted, streaming, strict=True)):
        allowed = 0.05 * want if streams else 0
        assert abs(got - want) <= allowed, f"layer {number}: {got} cycles, reported {want}"


# ---- geometry from the description -------------------------------------------------------------


def geometries(case: Path) -> Iterator[LayerGeometry]:
    """Geometry of each layer, from network.yaml and the shapes in the checkpoint."""
    layers = yaml.safe_load((case / "network.yaml").read_text())["layers"]
    names = {spec.get("name"): index for index, spec in enumerate(layers)}
    checkpoint = np.load(case / "checkpoint.npz")
    weights = [checkpoint[key].shape for key in checkpoint.files if key.endswith(".op.weight")]
    assert len(weights) == len(layers)
    outputs: list[Shape] = []
    given = np.load(case / "input.npy").shape
    start: Shape = (given[0], given[1], given[2] if len(given) > 2 else 1)
    for spec, weight in zip(layers, weights, strict=True):
        source = spec.get("in_sequences", len(outputs) - 1)
        source = source[0] if isinstance(source, list) else names.get(source, source)
        shape = outputs[source] if outputs else start
        geometry, output = describe(spec, weight, shape, layers.index(spec))
        outputs.append(output)
        yield geometry


def describe(
    spec: dict[str, Any], weight: tuple[int, ...], shape: Shape, number: int
) -> tuple[LayerGeometry, Shape]:
    """Geometry and output shape of one layer."""
    kind = spec.get("operation", spec.get("op", "")).lower()
    kernel = _kernel(spec, kind)
    pad = 0 if kind == "mlp" else int(spec.get("pad", 1))
    pads = (pad, 0) if kind == "conv1d" else (pad, pad)
    size = int(spec.get("max_pool", spec.get("avg_pool", 1)))
    pool = (size, 1) if kind == "conv1d" else (size, size)
    stride = int(spec.get("pool_stride", 1))
    rows = (shape[1] - pool[0]) // stride + 1
    columns = (shape[2] - pool[1]) // (1 if kind == "conv1d" else stride) + 1
    if kind == "convtranspose2d":
        rows, columns = 2 * rows, 2 * columns
    channels = shape[0]
    count = weight[1] if kind == "convtranspose2d" else weight[0]
    high = rows + 2 * pads[0] - kernel[0] + 1
    wide = columns + 2 * pads[1] - kernel[1] + 1
    passes = -(-channels // 64)
    expansions = -(-count // 64)
    flatten = bool(spec.get("flatten"))
    rounded = expansions * (-(-count // expansions) + 3 & ~3) if expansions > 1 else count
    geometry = LayerGeometry(
        kernel=kernel,
        pad=pads,
        pooled=(rows, columns),
        pool=pool,
        passes=passes,
        outputs=count if flatten else rounded,
        output_columns=wide,
        operands=int(spec.get("operands", 1)),
        expansions=expansions,
        flatten_long=flatten and passes * rows * columns > 16,
        streaming=bool(spec.get("streaming")),
    )
    return geometry, (count, 1, 1) if flatten else (count, high, wide)


def _kernel(spec: dict[str, Any], kind: str) -> tuple[int, int]:
    if kind == "mlp":
        return (1, 1)
    size = spec.get("kernel_size", "3x3")
    if kind == "conv1d":
        return (int(size), 1)
    rows, columns = str(size).split("x")
    return (int(rows), int(columns))


def test_idle_layers_take_time_for_padding_too() -> None:
    """A geometry worked out by hand: 1 channel, 4x4, 3x3 kernel, padding 1, 2 outputs."""
    geometry = LayerGeometry(
        kernel=(3, 3),
        pad=(1, 1),
        pooled=(4, 4),
        pool=(1, 1),
        passes=1,
        outputs=2,
        output_columns=4,
    )
    # One row of padding above (2 * 3 + 4 * 3 cycles), one data row before the first output
    # (the same), three more rows (3 + 3 + 3 * 2 + 2 to read, 4 * 2 to write) and one below.
    assert layer_cycles(geometry) == 18 + 18 + 3 * (14 + 8) + (14 + 8)


@pytest.mark.parametrize("time_slots", [1, 3])
def test_pass_through_writes_by_time_slots(time_slots: int) -> None:
    geometry = LayerGeometry(
        kernel=(1, 1),
        pad=(0, 0),
        pooled=(5, 6),
        pool=(1, 1),
        passes=2,
        outputs=2,
        output_columns=6,
        passthrough=True,
        time_slots=time_slots,
        expansions=2,
    )
    assert layer_cycles(geometry) == 30 * (2 * 2 + 2 * time_slots)
