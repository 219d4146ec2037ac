"""From the description in a checkpoint to the student: the inverse of ``StudentSpec.describe``.

Students of the pose task are known by their architecture's name; those of other tasks, whose sizes
are parameters, are rebuilt from what their checkpoint says about itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ai8x_models.students import INPUT, LayerSpec, StudentSpec

MAX_LAYERS = 256


def described_spec(
    arch: str, extras: Mapping[str, Any], state: Mapping[str, Any]
) -> StudentSpec | None:
    """The specification that a checkpoint describes, or None when it describes none.

    Args:
        arch: the network's name.
        extras: of the checkpoint, untrusted.
        state: its state dictionary; whether a layer has batch norm is read off its keys.
    """
    try:
        network, source = extras["network"], extras["input"]
        if not 0 < len(network) <= MAX_LAYERS:
            return None
        fold = int(source.get("fold", 1))
        layers = tuple(_layer(entry, fold, state) for entry in network)
        channels, rows, columns = (int(n) for n in source["shape"])
        outputs = tuple(str(name) for name in extras["outputs"])
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        return None
    names = {layer.name for layer in layers}
    if not names >= set(outputs) or not {layer.source for layer in layers} <= names | {INPUT}:
        return None
    return StudentSpec(arch, (channels, rows, columns), layers, outputs)


def _layer(entry: Mapping[str, Any], fold: int, state: Mapping[str, Any]) -> LayerSpec:
    """One layer; raises what its callers catch."""
    name = str(entry["name"])
    (source,) = entry["in"]
    inputs, outputs = int(entry["in_channels"]), int(entry["out_channels"])
    if tuple(state[f"{name}.op.weight"].shape[:2]) != (outputs, inputs):
        raise ValueError(f"layer {name} is not as large as its weights")
    options: dict[str, Any] = {}
    if entry["op"] == "conv2d":
        kernel, pool = int(entry["kernel"][0]), entry["pool"]
        if entry["pad"] != kernel // 2 or (pool and (pool[0] != "max" or pool[1] != pool[2])):
            raise ValueError(f"layer {name} is none of a student's")
        options = {
            "kernel": kernel, "stride": int(entry["stride"]), "pool": int(pool[1]) if pool else 1,
            "fold": fold if source == INPUT else 1,
        }  # fmt: skip
    elif entry["op"] != "linear":
        raise ValueError(f"layer {name} is a {entry['op']}")
    return LayerSpec(
        name, str(source), inputs, outputs,
        activation=entry["act"], batchnorm=f"{name}.bn.weight" in state, wide=bool(entry["wide"]),
        op=entry["op"], **options,
    )  # fmt: skip
