"""From the description in a checkpoint to the student: the inverse of ``StudentSpec.describe``.

Students of the pose task are known by their architecture's name; those of other tasks, whose sizes
are parameters, are rebuilt from what their checkpoint says about itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ai8x_models.spec.layer import JOINS, OPS, LayerSpec
from ai8x_models.spec.student import INPUT, StudentSpec

MAX_LAYERS = 256


def described_spec(
    arch: str, extras: Mapping[str, Any], state: Mapping[str, Any]
) -> StudentSpec | None:
    """The specification that a checkpoint describes, or None when it describes none.

    Args:
        arch: the network's name.
        extras: of the checkpoint, untrusted.
        state: its state dictionary; whether a layer has batch norm or a bias is read off its keys.
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
    known = {INPUT}
    for layer in layers:
        if layer.name in known or not known.issuperset(layer.sources):
            return None
        known.add(layer.name)
    if not known - {INPUT} >= set(outputs):
        return None
    return StudentSpec(arch, (channels, rows, columns), layers, outputs)


def _layer(entry: Mapping[str, Any], fold: int, state: Mapping[str, Any]) -> LayerSpec:
    """One layer; raises what its callers catch."""
    name, op = str(entry["name"]), entry["op"]
    if op not in OPS:
        raise ValueError(f"layer {name} is a {op}")
    source, *others = (str(source) for source in entry["in"])
    inputs, outputs = int(entry["in_channels"]), int(entry["out_channels"])
    options: dict[str, Any] = {"op": op, "others": tuple(others)}
    if others:
        if entry["join"] not in JOINS:
            raise ValueError(f"layer {name} joins by {entry['join']}")
        options["join"] = entry["join"]
    if op != "linear":
        options |= _pooling(entry["pool"])
    if op == "passthrough":
        options |= {"activation": "none", "batchnorm": False}
        return LayerSpec(name, source, inputs, outputs, **options)
    shape = tuple(state[f"{name}.op.weight"].shape[:2])
    if shape != ((inputs, outputs) if op == "convtranspose2d" else (outputs, inputs)):
        raise ValueError(f"layer {name} is not as large as its weights")
    options |= {
        "activation": entry["act"],
        "wide": bool(entry["wide"]),
        "batchnorm": f"{name}.bn.running_mean" in state,
        "bias": f"{name}.op.bias" in state,
    }
    if op != "linear":
        options |= _kernel(name, op, entry)
        options["fold"] = fold if source == INPUT else 1
    return LayerSpec(name, source, inputs, outputs, **options)


def _kernel(name: str, op: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Kernel, padding and stride, as :meth:`LayerSpec.describe` writes them."""
    rows, columns = (int(n) for n in entry["kernel"])
    if op == "conv1d":
        (stride, _), (padding, _) = entry["stride"], entry["pad"]
        return {
            "kernel": rows, "stride": int(stride), "padding": int(padding),
            "dilation": int(entry.get("dilation", 1)),
        }  # fmt: skip
    if rows != columns:
        raise ValueError(f"layer {name} has a kernel of {rows} x {columns}")
    stride = 1 if op == "convtranspose2d" else int(entry["stride"])
    return {"kernel": rows, "stride": stride, "padding": int(entry["pad"])}


def _pooling(pool: Any) -> dict[str, Any]:
    if pool is None:
        return {}
    kind, size, stride = pool
    if kind not in ("max", "avg"):
        raise ValueError(f"pooling is {kind}")
    return {"pooling": kind, "pool": _size(size), "pool_stride": _size(stride)}


def _size(value: Any) -> int | tuple[int, int]:
    return int(value) if isinstance(value, int) else (int(value[0]), int(value[1]))
