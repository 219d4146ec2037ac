"""Safe loading of integer checkpoints.

Two containers hold the same state dictionary (keys as ai8x-training writes them, see ai8x-synthesis
``izer/checkpoint.py``): ``.pth.tar`` (see :mod:`synthesize.read.torch_archive`; no code of the file
runs) and ``.npz`` (read with ``allow_pickle=False``).

Keys of a layer ``NAME``: ``NAME.op.weight`` (or ``NAME.weight``), ``NAME.op.bias``,
``NAME.output_shift``, ``NAME.weight_bits``; missing shift means 0, missing bits 8. The order of
the weights in the file is the order of the layers.

Quantised checkpoints of parallel training may hold the network twice, as ``module.NAME`` and
``NAME``. The first copy counts, as in ai8x-synthesis. When such copies were merged, biases of the
other copy stand behind the weights of all layers, which no state dictionary of a single network
does; they are not used either, and a note says so.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from common import incoming
from common.errors import UserError
from common.texts import is_plain, shown
from synthesize.chip import limits
from synthesize.read import torch_archive

MAX_FILE_BYTES = 256 * 1024 * 1024
"""Larger files are refused unread: 100 times what the weight memory can hold."""


MAX_WEIGHTS = 8 * limits.WEIGHT_BYTES
"""Weights of one bit that fill the weight memory."""

MAX_STORED = 4 * MAX_WEIGHTS
"""Weights of all layers in one file: more than any network whose description leaves layers out."""

MAX_BIASES = 1 << 16
MAX_ENTRIES = 50_000
_MAX_DEPTH = 12


QUANTISE = (
    "quantise it first: a student of this project with 'make quantize', any other network with the "
    "tools it was trained with (ai8x-training batchnormfuser.py, then ai8x-synthesis quantize.py)"
)


@dataclass(frozen=True, eq=False)
class LayerWeights:
    """Parameters of one layer as stored.

    Args:
        name: layer name, the key without ``.op.weight``.
        weight: int64, [out, in, rows, columns], [out, in, length] or [out, in]; transposed
            convolutions [in, out, rows, columns].
        bias: int64 [out] as in the checkpoint, None without bias.
        output_shift: power-of-two scale of the output.
        bits: bits per weight (1, 2, 4 or 8).
    """

    name: str
    weight: np.ndarray
    bias: np.ndarray | None
    output_shift: int
    bits: int

    def stored_bias(self) -> np.ndarray | None:
        """Return the bias as it goes to bias memory: floor(bias / 2**(bits - 1)), int64 [out].

        The bits are those the checkpoint was quantised with, whatever a description says.
        """
        return None if self.bias is None else self.bias >> (self.bits - 1)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """An integer checkpoint: layers by running order, architecture name, extra plain data."""

    path: str
    arch: str
    layers: tuple[LayerWeights, ...]
    extras: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    fault: UserError | None = None
    """What is wrong with the layer behind ``layers``, in checkpoints read with ``lenient``."""
    unread: tuple[str, ...] = ()
    """Names of that layer and those behind it."""

    def first_layers(self, count: int) -> tuple[LayerWeights, ...]:
        """Return the first layers, as many as there are up to ``count``.

        Raises:
            UserError: one of them is not usable.
        """
        if count > len(self.layers) and self.fault is not None:
            raise self.fault
        return self.layers[:count]

    def beyond(self, count: int) -> tuple[str, ...]:
        """Return the names of all layers but the first ``count``."""
        return (*(layer.name for layer in self.layers[count:]), *self.unread)

    def layer(self, name: str) -> LayerWeights | None:
        """Return the parameters stored under ``name``, None when there are none."""
        return next((layer for layer in self.layers if layer.name == name), None)


def load(path: str | Path, lenient: bool = False) -> Checkpoint:
    """Load and validate an integer checkpoint.

    Args:
        path: ``.pth.tar`` (or ``.pth``, ``.pt``) or ``.npz`` file.
        lenient: read up to the first layer that is not usable, and allow a file without layers;
            a network description says how many layers are needed.

    Raises:
        UserError: missing, unreadable or hostile file; non-integer or out-of-range values.
    """
    path = Path(path)
    incoming.need_file(path, "checkpoint file")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise UserError(
            f"{path}: {path.stat().st_size} bytes is more than the {MAX_FILE_BYTES} a checkpoint "
            "for this chip can need; is it the right file?"
        )
    if path.suffix == ".npz":
        return from_state_dict(_read_npz(path), str(path), lenient=lenient)
    content = _read_torch(path)
    state = content.get("state_dict")
    if not isinstance(state, dict):
        raise UserError(f"{path}: it holds no 'state_dict'; save a checkpoint, not a bare tensor")
    extras = content.get("extras")
    if isinstance(extras, dict):
        _check_extras(path, extras)
    arch = content.get("arch", "")
    return from_state_dict(
        {_key(path, k): _to_numpy(path, str(k), v) for k, v in state.items()},
        str(path),
        arch=arch if isinstance(arch, str) else "",
        extras=extras if isinstance(extras, dict) else {},
        lenient=lenient,
    )


def _key(path: Path, key: Any) -> str:
    if not isinstance(key, str) or not is_plain(key):
        raise UserError(f"{path}: {shown(key)} is no name of a tensor; save a state_dict of torch")
    return key


def _check_extras(path: Path, extras: Mapping[Any, Any]) -> None:
    """UserError unless what describes the network is of words and numbers, and not endless."""
    for name in ("network", "input", "outputs"):
        left = [(extras.get(name), 0)]
        for count in itertools.count():
            if not left:
                break
            value, depth = left.pop()
            whole = isinstance(value, int) and abs(value) >= 1 << 63
            if count > MAX_ENTRIES or depth > _MAX_DEPTH or whole:
                raise UserError(
                    f"{path}: extras['{name}'] holds {shown(value)}, too deep or too large to "
                    "describe a network; save the checkpoint again"
                )
            if isinstance(value, Mapping):
                left += [(key, depth + 1) for key in value]
                left += [(entry, depth + 1) for entry in value.values()]
            elif isinstance(value, (list, tuple)):
                left += [(entry, depth + 1) for entry in value]
            elif not isinstance(value, (str, int, float, type(None))):
                raise UserError(
                    f"{path}: extras['{name}'] holds {type(value).__name__} where words and "
                    "numbers describe the network; save the checkpoint again"
                )


def from_state_dict(
    state: Mapping[str, np.ndarray],
    path: str,
    arch: str = "",
    extras: Mapping[str, Any] | None = None,
    lenient: bool = False,
) -> Checkpoint:
    """Build a checkpoint from a state dictionary of arrays.

    Raises:
        UserError: as :func:`load`.
    """
    keys = [key for key in state if key.endswith(".weight")]
    stored_weights = sum(np.asarray(state[key]).size for key in keys)
    if stored_weights > MAX_STORED:
        raise UserError(
            f"{path}: {stored_weights} weights, more than {MAX_STORED}; is it for this chip?"
        )
    stray = _stray_biases(list(state), keys)
    layers: dict[str, LayerWeights] = {}
    owners: dict[str, str] = {}
    fault: UserError | None = None
    unread: dict[str, None] = {}
    for key in keys:
        owner = key[: -len(".weight")]
        stored = owner[: -len(".op")] if owner.endswith(".op") else owner
        name = stored.removeprefix("module.")
        if fault is not None and name not in layers:
            unread[name] = None
        elif name not in layers:
            used = {k: v for k, v in state.items() if k not in stray} if stray else state
            try:
                layers[name] = _layer(path, used, owner, stored, name)
            except UserError as error:
                if not lenient:
                    raise
                fault, unread[name] = error, None
                continue
            owners[name] = owner
        elif owners[name].startswith("module.") == owner.startswith("module."):
            raise UserError(f"{path}: layer {name} has more than one weight array; keep one")
    if not layers and not lenient:
        raise UserError(f"{path}: it holds no weights (no key ends in '.weight')")
    notes: tuple[str, ...] = ()
    if stray:
        notes = (
            f"{path}: the biases ({', '.join(sorted(stray))}) stand behind the weights of all "
            "layers, so they are the rest of a second copy of the network and are not used; "
            "store each bias beside its weights to use it",
        )
    kept = tuple(layers.values())
    return Checkpoint(path, arch, kept, dict(extras or {}), notes, fault, tuple(unread))


def _stray_biases(order: list[str], weights: list[str]) -> set[str]:
    """Return all bias keys when every one of them comes after the weights of all layers."""
    biases = [key for key in order if key.endswith(".bias")]
    if len(weights) < 2 or len(biases) < 2:
        return set()
    behind = order.index(biases[0]) > order.index(weights[-1])
    return set(biases) if behind else set()


def _layer(
    path: str, state: Mapping[str, np.ndarray], owner: str, stored: str, name: str
) -> LayerWeights:
    key = f"{owner}.weight"
    raw = np.asarray(state[key])
    if raw.size > MAX_WEIGHTS:
        raise UserError(
            f"{path}: layer {name}: {key} has {raw.size} values; the chip holds at most "
            f"{MAX_WEIGHTS} weights of one bit"
        )
    if raw.ndim == 1:
        raise UserError(
            f"{path}: layer {name}: {key} has one dimension, so batch norm is not folded yet; "
            + QUANTISE
        )
    if raw.ndim not in (2, 3, 4) or raw.size == 0:
        raise UserError(f"{path}: layer {name}: {key} has shape {raw.shape}, expected 2 to 4 axes")
    # Layers whose weights are all zero may be stored with no bits; they take 8.
    bits = _scalar(path, state, f"{stored}.weight_bits", name, 8) or 8
    if bits not in (1, 2, 4, 8):
        raise UserError(
            f"{path}: layer {name}: weight_bits is {bits}, the chip has 1, 2, 4 or 8; "
            "quantise the layer again"
        )
    weight = integers(path, name, key, raw)
    low, high = -(1 << (bits - 1)), max((1 << (bits - 1)) - 1, 0)
    if weight.min() < low or weight.max() > high:
        raise UserError(
            f"{path}: layer {name}: weights reach from {weight.min()} to {weight.max()}, but "
            f"{bits}-bit weights hold {low} to {high}; " + QUANTISE
        )
    bias = state.get(f"{owner}.bias")
    if bias is not None:
        stored_bias = np.asarray(bias)
        if not 0 < stored_bias.size <= MAX_BIASES:
            raise UserError(
                f"{path}: layer {name}: {owner}.bias has {stored_bias.size} values, expected one "
                f"for each of at most {MAX_BIASES} outputs"
            )
        bias = integers(path, name, f"{owner}.bias", stored_bias).reshape(-1)
        in_memory = bias >> (bits - 1)
        if in_memory.min() < -128 or in_memory.max() > 127:
            raise UserError(
                f"{path}: layer {name}: biases reach from {bias.min()} to {bias.max()}, but "
                f"after division by {1 << (bits - 1)} they must lie in -128 to 127; quantise again"
            )
    shift = _scalar(path, state, f"{stored}.output_shift", name, 0)
    return LayerWeights(name, weight, bias, shift, bits)


def spread(weight: np.ndarray, dilation: int) -> tuple[np.ndarray, int]:
    """Return (kernel, dilation) of a dilated kernel in 1D, as the chip takes it.

    One that reaches over no more samples than a kernel may be long becomes an undilated one with
    zeros between its taps, [out, in, (rows - 1) * dilation + 1, 1]. Any other stays as it is.
    """
    outputs, inputs, rows, _ = weight.shape
    if (rows - 1) * dilation >= limits.MAX_CONV1D_LENGTH:
        return weight, dilation
    whole = np.zeros((outputs, inputs, (rows - 1) * dilation + 1, 1), weight.dtype)
    whole[:, :, ::dilation] = weight
    return whole, 1


def integers(path: str, name: str, key: str, raw: np.ndarray) -> np.ndarray:
    """Return ``raw`` as int64.

    Raises:
        UserError: it holds anything but integers.
    """
    if raw.dtype.kind not in "iufb":
        raise UserError(f"{path}: layer {name}: {key} holds {raw.dtype}, expected numbers")
    if raw.dtype.kind == "f":
        raw = raw.astype(np.float64)
        if not np.isfinite(raw).all() or (raw != np.rint(raw)).any() or np.abs(raw).max() > 2**31:
            raise UserError(
                f"{path}: layer {name}: {key} holds fractions; this is a float checkpoint, "
                + QUANTISE
            )
        return np.rint(raw).astype(np.int64)
    return raw.astype(np.int64)


def _scalar(path: str, state: Mapping[str, np.ndarray], key: str, name: str, default: int) -> int:
    if key not in state:
        return default
    raw = np.asarray(state[key])
    if raw.size != 1:
        raise UserError(f"{path}: layer {name}: {key} has {raw.size} values, expected one")
    value = int(integers(path, name, key, raw).reshape(-1)[0])
    if abs(value) > 64:
        raise UserError(f"{path}: layer {name}: {key} is {value}, no number of bits; save it again")
    return value


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        return {_key(path, k): v for k, v in incoming.read_arrays(path, MAX_FILE_BYTES).items()}
    except UserError:
        raise
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable .npz checkpoint ({_first_line(error)})") from error


def _read_torch(path: Path) -> dict[str, Any]:
    content = _read_archive(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: it holds no 'state_dict'; save a checkpoint, not a bare tensor")
    return content


def _read_archive(path: Path) -> Any:
    try:
        if incoming.is_cut_off(path):
            raise UserError(f"{path}: {incoming.CUT_OFF}; copy or download it again")
        if not torch_archive.is_archive(path):
            return torch_archive.load_old(path)
        return torch_archive.load(path, MAX_FILE_BYTES)
    except torch_archive.ArchiveError as error:
        with path.open("rb") as file:
            first = file.read(1)
        if first not in (b"P", b"\x80"):  # of an archive, or of a pickle
            raise UserError(
                f"{path}: not a readable checkpoint, but another kind of file; name a .pth.tar file"
            ) from None
        raise UserError(f"{path}: not a readable checkpoint ({_first_line(error)})") from error


def _to_numpy(path: Path, key: str, value: Any) -> np.ndarray:
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "detach") and not value.is_sparse:
        return np.asarray(value.detach().cpu().numpy())
    if isinstance(value, (int, float)):
        return np.asarray(value)
    raise UserError(f"{path}: {key} is no tensor of a type this compiler reads; save plain tensors")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
