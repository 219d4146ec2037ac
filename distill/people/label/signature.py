"""What an ONNX file says of itself: names, types and shapes of its inputs and outputs."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from common.errors import UserError

MAX_FILE_BYTES = 1 << 30
_TYPES = {
    "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8,
    "tensor(int32)": np.int32, "tensor(int64)": np.int64,
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """An input or output; a dimension is None where it is open."""

    name: str
    kind: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        dims = ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name} {self.kind.removeprefix('tensor(').removesuffix(')')} [{dims}]"

    def fits(self, *dims: int | None) -> bool:
        """Whether it has these dimensions; None, asked or found, agrees with everything."""
        return len(dims) == len(self.shape) and all(
            want is None or have is None or want == have
            for want, have in zip(dims, self.shape, strict=True)
        )

    def says(self, axis: int, size: int) -> bool:
        """Whether a dimension is there, not open, and of this size."""
        return -len(self.shape) <= axis < len(self.shape) and self.shape[axis] == size


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs of a network."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    def __str__(self) -> str:
        sides = (", ".join(map(str, tensors)) for tensors in (self.inputs, self.outputs))
        return " -> ".join(sides)


class Runner:
    """An ONNX file ready to run on one thread of the processor.

    Raises:
        UserError: ONNX Runtime is not installed, or the file is none that it can load.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._session = _session(path)
        self.signature = Signature(
            _tensors(self._session.get_inputs()), _tensors(self._session.get_outputs())
        )

    def __call__(self, data: npt.NDArray[Any]) -> list[npt.NDArray[np.float32]]:
        """All outputs as float32 for the one input, which is turned into the type it has."""
        wanted = self.signature.inputs[0]
        fed = np.ascontiguousarray(data.astype(_TYPES[wanted.kind]))
        try:
            outputs = self._session.run(None, {wanted.name: fed})
        except Exception as error:  # the runtime's exceptions have no common type of their own
            raise UserError(
                f"{self.path} cannot answer an input of {list(fed.shape)}: {_reason(error)}"
            ) from None
        answers = [np.asarray(output, np.float32) for output in outputs]
        if not all(np.isfinite(answer).all() for answer in answers):
            raise UserError(f"{self.path} answers with values that are no numbers; take another")
        return answers


def _session(path: Path) -> Any:
    """An inference session of ONNX Runtime."""
    try:
        import onnxruntime
    except ImportError:
        raise UserError(
            "labelling needs the package 'onnxruntime'; install it with pip install 'pose78[train]'"
        ) from None
    try:
        size = path.stat().st_size
    except OSError as error:
        raise UserError(f"cannot read network {path}: {error.strerror or error}") from None
    if size > MAX_FILE_BYTES:
        raise UserError(f"{path} has {size:,} bytes; a network has at most {MAX_FILE_BYTES:,}")
    if not path.is_file():
        raise UserError(f"cannot read network {path}: it is no file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # not errors, which are raised as well
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise UserError(f"{path} is no ONNX network that can be run: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """The first line of what the runtime says."""
    if "INVALID_PROTOBUF" in str(error):
        return "it is another kind of file"
    said = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error).strip())
    return textwrap.shorten(next(iter(said.splitlines()), type(error).__name__), 200)


def _tensors(described: Sequence[Any]) -> tuple[Tensor, ...]:
    """ONNX Runtime's description of inputs or outputs; names of open dimensions are dropped."""
    return tuple(
        Tensor(
            tensor.name,
            tensor.type,
            tuple(size if isinstance(size, int) and size > 0 else None for size in tensor.shape),
        )
        for tensor in described
    )
