"""The student networks, described as plain data.

A student is a tuple of :class:`LayerSpec` in execution order. The description travels inside
every checkpoint (``extras['network']``), so the compiler builds its graph from the checkpoint
alone; :class:`ai8x_models.students.Student` is the torch module.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ai8x_models.skeleton import NUM_HEATMAPS as HEATMAPS
from ai8x_models.skeleton import NUM_PAFS as PAFS
from ai8x_models.spec.layer import LayerSpec

INPUT = "input"


@dataclass(frozen=True)
class StudentSpec:
    """A whole student: input shape CHW, layers, and groups of layers that share one shift.

    Layers of ``tied`` groups get equal output shifts, which lets the compiler merge them.
    """

    name: str
    input_shape: tuple[int, int, int]
    layers: tuple[LayerSpec, ...]
    outputs: tuple[str, ...]
    tied: tuple[tuple[str, ...], ...] = ()

    def describe(self) -> dict[str, Any]:
        """Checkpoint extras the compiler reads."""
        return {
            "network": [layer.describe() for layer in self.layers],
            "input": {"shape": list(self.input_shape), "fold": self.layers[0].fold},
            "outputs": list(self.outputs),
        }

    def as_dict(self) -> dict[str, Any]:
        """The specification as nested plain types."""
        return asdict(self)


# What the layers of a trunk do besides a 3x3 convolution, in the first two students.
_TRUNK_OPTIONS: dict[str, dict[str, Any]] = {
    "conv1": {"stride": 2}, "conv4": {"pool": 2}, "conv6": {"pool": 2}, "cpm1": {"kernel": 1},
}  # fmt: skip
_HEADS = ("heat_hidden", "paf_hidden")
_HEAD_TIES = (("heat_hidden", "paf_hidden"), ("heat_out", "paf_out"))


def _pose_student(
    name: str, width: dict[str, int], trunk: dict[str, dict[str, Any]] = _TRUNK_OPTIONS
) -> StudentSpec:
    """A trunk of the named layers, one after the other, and the two heads on its last layer.

    ``width`` holds output channels by layer, ``trunk`` what else a layer of the trunk does.
    """
    layers = []
    source, channels = INPUT, 3
    for layer in (layer for layer in width if layer not in _HEADS):
        options = trunk.get(layer, {})
        inputs = channels * options.get("fold", 1) ** 2
        layers.append(LayerSpec(layer, source, inputs, width[layer], **options))
        source, channels = layer, width[layer]
    layers += [LayerSpec(head, source, channels, width[head], kernel=1) for head in _HEADS]
    out: dict[str, Any] = {"kernel": 1, "activation": "none", "batchnorm": False, "wide": True}
    heat, paf = _HEADS
    layers.append(LayerSpec("heat_out", heat, width[heat], HEATMAPS, **out))
    layers.append(LayerSpec("paf_out", paf, width[paf], PAFS, **out))
    return StudentSpec(name, (3, 128, 128), tuple(layers), ("heat_out", "paf_out"), _HEAD_TIES)


_SEED_WIDTHS = {
    "conv1": 32, "conv2": 32, "conv3": 64, "conv4": 64, "conv5": 96, "conv6": 96,
    "conv7": 128, "conv8": 128, "cpm1": 96, "cpm2": 96, "cpm3": 96,
    "heat_hidden": 64, "paf_hidden": 64,
}  # fmt: skip

# Nothing is wider than the 64 processors, so that no layer needs a second pass; the weight memory
# that 8 bits everywhere leaves is spent on depth at the smallest size, where cycles are cheapest.
_TINY_WIDTHS = {
    "conv1": 32, "conv2": 32, "conv3": 64, "conv4": 64, "conv5": 64, "conv6": 64,
    "conv7": 64, "conv8": 64, "conv9": 64, "cpm1": 64, "cpm2": 64, "cpm3": 64, "cpm4": 64,
    "heat_hidden": 64, "paf_hidden": 64,
}  # fmt: skip


def _native() -> StudentSpec:
    """The chip-native student: down to 16x16 and back up to 32x32, one 8-bit answer.

    Designed with the cycle model (docs/adr/0014-third-native-student.md): two narrow layers at
    64x64, where 32 inputs cost as much as 64 would, then only layers that keep all processors
    busy. What the middle has seen of the whole picture is added, element by element, to what the
    layers at 32x32 see of its details.
    """
    layers = [
        LayerSpec("conv1", INPUT, 3, 32, stride=2),
        LayerSpec("conv2", "conv1", 32, 32),
        LayerSpec("conv3", "conv2", 32, 64, pool=2),
        *(LayerSpec(f"conv{n}", f"conv{n - 1}", 64, 64) for n in range(4, 9)),
        LayerSpec("conv9", "conv8", 64, 128, pool=2),
        LayerSpec("conv10", "conv9", 128, 128),
        LayerSpec("conv11", "conv10", 128, 128),
        LayerSpec("conv12", "conv11", 128, 64),
        LayerSpec("up", "conv12", 64, 64, op="convtranspose2d"),
        LayerSpec("conv13", "up", 64, 64, others=("conv8",), join="add"),
        LayerSpec(
            "pose", "conv13", 64, HEATMAPS + PAFS, kernel=1, activation="none", batchnorm=False
        ),
    ]
    return StudentSpec("native", (3, 128, 128), tuple(layers), ("pose",))


def _lifter(name: str, *hidden: int) -> StudentSpec:
    """A fully connected network from 16 joints in 2D (x, y of each) to 16 in 3D, in metres.

    Linear layers on a single pixel are 1x1 convolutions, which may have batch norm.
    """
    layers = []
    source, inputs = INPUT, 32
    for number, outputs in enumerate(hidden, 1):
        layers.append(LayerSpec(f"fc{number}", source, inputs, outputs, kernel=1))
        source, inputs = f"fc{number}", outputs
    last: dict[str, Any] = {"kernel": 1, "activation": "none", "batchnorm": False, "wide": True}
    layers.append(LayerSpec("pose3d", source, inputs, 48, **last))
    return StudentSpec(name, (32, 1, 1), tuple(layers), ("pose3d",))


SPECS: dict[str, StudentSpec] = {
    spec.name: spec
    for spec in (
        _pose_student("seed", _SEED_WIDTHS),
        _pose_student("tiny", _TINY_WIDTHS),
        _native(),
        _lifter("lift", 64, 64),
    )
}
