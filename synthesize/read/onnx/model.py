"""Safe reading of ONNX files into plain data.

A model from outside is untrusted: files are limited in size, tensors stored outside the model's
folder are refused (their paths could lead anywhere), and whatever the ONNX package cannot parse
becomes one sentence. The package is imported only when a model is read.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import UserError
from common.incoming import need_file, parse_json, read_bytes
from synthesize.read.onnx import beside
from synthesize.read.onnx.needed import keep_needed

MAX_FILE_BYTES = 64 * 1024 * 1024
"""A network that fills the weight memory with bits has 14 MB of numbers."""

MAX_ELEMENTS = 16 * 1024 * 1024
"""Of all constants together."""
MAX_NODES = 10_000
LEAST_OPSET = 13
"""QuantizeLinear and DequantizeLinear have their present form since this version."""

_NAMELESS = ("", "graph", "main", "main_graph", "tf2onnx", "torch_jit", "torch-jit-export")
"""What exporters call a graph that has no name."""

BITS_KEY = "pose78.weight_bits"
"""Metadata of a model: JSON, bits by name of the weight initialiser."""


@dataclass(frozen=True, eq=False)
class Constant:
    """A constant tensor.

    Args:
        array: float64 or int64.
        name: name of the initialiser it stems from.
        type_bits: 4 for the INT4 type, else 8.
        unsigned: whether its type is an unsigned integer.
        scale: set when ``array`` holds the integers of a dequantised constant.
    """

    array: np.ndarray
    name: str
    type_bits: int = 8
    unsigned: bool = False
    scale: float | None = None

    @property
    def real(self) -> np.ndarray:
        """The values it stands for, float64."""
        values = self.array.astype(np.float64)
        return values if self.scale is None else values * self.scale


@dataclass(frozen=True)
class Node:
    """One operator call, ``order``-th of the model; attributes: numbers, texts, constants."""

    path: str
    order: int
    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def refuse(self, message: str) -> UserError:
        """Return the error that names this node."""
        return UserError(f"{self.path}: node {self.name} ({self.op}): {message}")

    def unquantised(self, message: str) -> UserError:
        """Return the error that names this node and the way to a model the chip can run."""
        return self.refuse(
            f"{message} (python -m quantize {self.path} --calibrate DATA -o q.onnx makes such a "
            "model)"
        )

    def integer(self, key: str, default: int) -> int:
        """Return an integer attribute."""
        value = self.attributes.get(key, default)
        if not isinstance(value, int):
            raise self.refuse(f"attribute {key} must be a whole number")
        return value

    def number(self, key: str, default: float) -> float:
        """Return a real attribute."""
        value = self.attributes.get(key, default)
        if not isinstance(value, (int, float)):
            raise self.refuse(f"attribute {key} must be a number")
        return float(value)

    def integers(self, key: str) -> tuple[int, ...] | None:
        """Return an attribute that lists integers, None when it is absent."""
        value = self.attributes.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(n, int) for n in value):
            raise self.refuse(f"attribute {key} must list whole numbers")
        return tuple(value)


@dataclass(frozen=True)
class Model:
    """A model as plain data: ``inputs`` by name with their dimensions (None: not fixed).

    ``types`` are those of the inputs by name, as NumPy calls them; empty where none is stated.
    """

    path: str
    name: str
    inputs: Mapping[str, tuple[int | None, ...]]
    outputs: tuple[str, ...]
    constants: Mapping[str, Constant]
    nodes: tuple[Node, ...]
    bits: Mapping[str, int]
    types: Mapping[str, str] = field(default_factory=dict)

    def uses(self, tensor: str) -> int:
        """Return how often a tensor is read, graph outputs included."""
        reads = sum(node.inputs.count(tensor) for node in self.nodes)
        return reads + self.outputs.count(tensor)

    def reader(self, tensor: str) -> Node | None:
        """Return the only node that reads a tensor, None when there are others or none."""
        readers = [node for node in self.nodes if tensor in node.inputs]
        return readers[0] if len(readers) == 1 and tensor not in self.outputs else None


def read(path: str | Path) -> Model:
    """Read an ONNX file.

    Raises:
        UserError: missing, unreadable or hostile file, or one that needs a newer exporter.
    """
    path = Path(path)
    need_file(path, "ONNX file")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise UserError(
            f"{path}: larger than {MAX_FILE_BYTES} bytes; this is no network for a chip"
        )
    try:
        return _model(str(path), load_proto(path))
    except UserError:
        raise
    except Exception as error:  # a parser in C++ and protobuf: anything may come out
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise UserError(
            f"{path}: not a readable ONNX model ({reason}); export it, or copy it, again"
        ) from error


def load_proto(path: Path) -> Any:
    """Load a model as ONNX' own ``ModelProto``, with what is stored in files beside it.

    Raises:
        UserError: the package is missing, the file is too large, old or no model.
        Exception: whatever the parser has to say of a damaged file.
    """
    try:
        import onnx
    except ImportError as error:
        raise UserError("reading ONNX needs the package onnx; run: pip install onnx") from error
    proto = onnx.load_model_from_string(read_bytes(path, MAX_FILE_BYTES))
    keep_needed(proto)
    _check_shell(path, proto)
    beside.take_in(path, proto, MAX_FILE_BYTES)
    return proto


def _check_shell(path: Path, proto: Any) -> None:
    versions = [entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")]
    if not proto.graph.node or not versions:
        raise UserError(f"{path}: it holds no ONNX operators; is it an ONNX model?")
    if max(versions) < LEAST_OPSET:
        raise UserError(
            f"{path}: written for operator set {max(versions)}; export it again with "
            f"opset_version={LEAST_OPSET} or later"
        )
    if len(proto.graph.node) > MAX_NODES:
        raise UserError(f"{path}: {len(proto.graph.node)} operators; the chip runs 32 layers")
    tensors = [*proto.graph.initializer, *(a.t for n in proto.graph.node for a in n.attribute)]
    count = sum(math.prod(tensor.dims) for tensor in tensors)
    if count > MAX_ELEMENTS:
        raise UserError(f"{path}: {count} constants are too many; the chip holds 3,538,944 weights")


def _model(path: str, proto: Any) -> Model:
    graph = proto.graph
    constants = {_name(t.name): _constant(path, t, _name(t.name)) for t in graph.initializer}
    if graph.sparse_initializer:
        raise UserError(f"{path}: it holds sparse weights; export them as dense tensors")
    inputs = {
        _name(value.name): tuple(
            int(d.dim_value) if d.WhichOneof("value") == "dim_value" else None
            for d in value.type.tensor_type.shape.dim
        )
        for value in graph.input
        if _name(value.name) not in constants
    }
    return Model(
        path=path,
        name=_network_name(_name(graph.name), path),
        inputs=inputs,
        outputs=tuple(_name(value.name) for value in graph.output),
        constants=constants,
        nodes=tuple(_node(path, i, node) for i, node in enumerate(_in_order(graph.node))),
        bits=_bits(path, {_name(entry.key): _name(entry.value) for entry in proto.metadata_props}),
        types={_name(v.name): _type_name(v.type.tensor_type.elem_type) for v in graph.input},
    )


def _type_name(number: int) -> str:
    """What NumPy calls a type of ONNX, or ONNX itself where NumPy has none; empty for none."""
    from onnx import TensorProto, helper

    try:
        name = str(np.dtype(helper.tensor_dtype_to_np_dtype(number)).name)
        return TensorProto.DataType.Name(number).lower() if name == "object" else name
    except (KeyError, TypeError, ValueError):
        return ""


def _in_order(nodes: Sequence[Any]) -> list[Any]:
    """Put every operator behind those it reads; some converters append theirs at the end.

    Operators that read one another in a circle come last.
    """
    maker = {name: i for i, node in enumerate(nodes) for name in node.output if name}
    needs = [{maker[name] for name in node.input if name in maker} for node in nodes]
    readers: list[list[int]] = [[] for _ in nodes]
    for i, sources in enumerate(needs):
        for source in sources:
            readers[source].append(i)
    missing = [len(sources) for sources in needs]
    ready = [i for i, count in enumerate(missing) if count == 0]  # ascending: a heap
    order = []
    while ready:
        i = heapq.heappop(ready)
        order.append(i)
        for reader in readers[i]:
            missing[reader] -= 1
            if missing[reader] == 0:
                heapq.heappush(ready, reader)
    order += [i for i, count in enumerate(missing) if count]
    return [nodes[i] for i in order]


def _network_name(stated: str, path: str) -> str:
    """What the network is called; exporters that know no name put a word of their own."""
    return Path(path).stem if stated in _NAMELESS else stated


def _bits(path: str, metadata: Mapping[str, str]) -> dict[str, int]:
    if BITS_KEY not in metadata:
        return {}
    try:
        content = parse_json(metadata[BITS_KEY])
    except ValueError as error:
        raise UserError(
            f"{path}: metadata {BITS_KEY} is not JSON; export the model again"
        ) from error
    valid = isinstance(content, dict) and all(
        type(bits) is int and bits in (1, 2, 4, 8) for bits in content.values()
    )
    if not valid:
        raise UserError(f"{path}: metadata {BITS_KEY} must give 1, 2, 4 or 8 bits by weight name")
    return dict(content)


def _name(text: str | bytes) -> str:
    """Return a text field; damaged files may hold bytes that are no text."""
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def _node(path: str, order: int, proto: Any) -> Node:
    inputs, outputs = tuple(map(_name, proto.input)), tuple(map(_name, proto.output))
    op, domain = _name(proto.op_type), _name(proto.domain)
    return Node(
        path=path,
        order=order,
        name=_name(proto.name) or (outputs[0] if outputs else "without name"),
        op=op if domain in ("", "ai.onnx") else f"{domain}.{op}",
        inputs=inputs,
        outputs=outputs,
        attributes={
            _name(entry.name): value
            for entry in proto.attribute
            if (value := _attribute(path, entry)) is not None
        },
    )


def _attribute(path: str, proto: Any) -> Any:
    """Return an attribute as plain data, None for graphs and the like."""
    from onnx import AttributeProto, helper

    if proto.type == AttributeProto.TENSOR:
        return _constant(path, proto.t, _name(proto.t.name))
    plain = (
        *(AttributeProto.INT, AttributeProto.FLOAT, AttributeProto.STRING),
        *(AttributeProto.INTS, AttributeProto.FLOATS),
    )
    if proto.type not in plain:
        return None
    value = helper.get_attribute_value(proto)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return list(value) if proto.type in (AttributeProto.INTS, AttributeProto.FLOATS) else value


def _constant(path: str, proto: Any, name: str) -> Constant:
    from onnx import TensorProto, numpy_helper

    if any(d < 0 for d in proto.dims) or math.prod(proto.dims) > MAX_ELEMENTS:
        raise UserError(f"{path}: tensor {name} has {list(proto.dims)} elements, too many")
    array = numpy_helper.to_array(proto)
    narrow = proto.data_type == getattr(TensorProto, "INT4", -1)
    if proto.data_type in (TensorProto.STRING, TensorProto.COMPLEX64, TensorProto.COMPLEX128):
        what = "text" if proto.data_type == TensorProto.STRING else "complex numbers"
        raise UserError(
            f"{path}: tensor {name} holds {what}, expected real numbers; export the model without "
            "what reads it"
        )
    whole = narrow or np.issubdtype(array.dtype, np.integer) or array.dtype == np.bool_
    array = array.astype(np.int64 if whole else np.float64)
    unsigned = proto.data_type in (TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32)
    return Constant(array, name, 4 if narrow else 8, unsigned)
