"""Endless files for every reader: seeds made by code, changed as bytes and as what they say."""

from __future__ import annotations

import copy
import io
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import yaml

from tests.fuzz import hostile, images, mutate

Make = Callable[[random.Random], bytes]


def endless(name: str, seed: int, hostile_ones: bool = True) -> Iterator[bytes]:
    """Files for a reader, the same for the same seed: hostile ones first, then changed seeds."""
    if hostile_ones:
        yield from hostile.HOSTILE.get(name, dict)().values()
    make = MAKERS[name]()
    number = seed
    while True:
        yield make(random.Random(f"{name} {number}"))
        number += 1


def _layers() -> list[dict[str, Any]]:
    return [
        {
            **{"name": "a", "op": "conv2d", "kernel_size": "3x3", "pad": 1, "in_channels": 3},
            **{"in_dim": [8, 8], "out_channels": 4, "activate": "ReLU", "processors": 7},
            **{"data_format": "HWC", "out_offset": 0x2000, "output_width": 8},
        },
        {
            **{"name": "b", "op": "conv2d", "kernel_size": "1x1", "pad": 0, "out_channels": 4},
            **{"max_pool": 2, "pool_stride": 2, "quantization": 4, "processors": 15},
        },
        {"name": "c", "op": "passthrough", "in_sequences": ["a"], "avg_pool": 2, "pool_stride": 2},
        {"name": "d", "eltwise": "add", "in_sequences": ["b", "c"], "op": "none", "operands": 2},
    ]


def _yaml() -> Make:
    described = {"arch": "n", "dataset": "d", "layers": _layers()}
    free = copy.deepcopy(described)
    for layer in free["layers"]:
        for key in ("processors", "out_offset"):
            layer.pop(key, None)
    seeds = [described, free, {"layers": _layers()[:1]}, {"layers": _layers()[:2]}]
    return _trees_or_bytes(seeds, lambda value: yaml.dump(value, sort_keys=False).encode())


def _trees_or_bytes(seeds: list[Any], write: Callable[[Any], bytes]) -> Make:
    def make(rng: random.Random) -> bytes:
        seed = rng.choice(seeds)
        if rng.random() < 0.7:
            return write(mutate.tree(rng, seed))
        return mutate.octets(rng, write(seed), [write(other) for other in seeds])

    return make


def _checkpoint() -> Make:
    layers = [
        {"name": "a", "op": "conv2d", "in": ["input"], "kernel": 3, "pad": 1, "act": "relu"},
        {"name": "b", "op": "conv2d", "in": "a", "kernel": [1, 1], "pool": ["max", 2, 2]},
        {"name": "c", "op": "conv2d", "in": ["b"], "kernel": 1, "wide": True, "stride": 1},
    ]
    extras = {"network": layers, "input": {"shape": [3, 8, 8], "fold": 1}, "outputs": ["c"]}
    kinds = ("FloatStorage", "LongStorage", "CharStorage", "BFloat16Storage", "HalfStorage")

    def make(rng: random.Random) -> bytes:
        state: dict[str, Any] = {}
        for name, inputs, size in (("a", 3, 3), ("b", 4, 1), ("c", 4, 1)):
            kind = rng.choice(kinds) if rng.random() < 0.2 else "FloatStorage"
            shape = (4, inputs, size, size)
            stride = (inputs * size * size, size * size, size, 1)
            if rng.random() < 0.1:
                shape = tuple(rng.choice((0, 1, 3, 4, 1 << 20, 1 << 40)) for _ in range(4))
            if rng.random() < 0.1:
                stride = tuple(rng.choice((-1, 0, 1, 5, 1 << 40)) for _ in range(4))
            count = rng.choice((0, 1, 1 << 40)) if rng.random() < 0.05 else 108
            state[f"{name}.op.weight"] = hostile.Tensor(kind, "0", count, shape, stride)
            state[f"{name}.op.bias"] = hostile.Tensor(kind, "0", 108, (4,), (1,))
            for key in ("output_shift", "weight_bits"):
                odd = rng.random() < 0.1
                state[f"{name}.{key}"] = mutate.odd(rng) if odd else hostile.Tensor(
                    "FloatStorage", "1", 1, (1,), (1,)
                )  # fmt: skip
        content = {"state_dict": state, "arch": "n", "epoch": 1, "extras": extras}
        if rng.random() < 0.7:
            content["extras"] = mutate.tree(rng, extras)
        if rng.random() < 0.1:
            content = mutate.tree(rng, content)
        numbers = {"0": np.zeros(108, "<f4").tobytes() * 2, "1": np.float32(8).tobytes()}
        plain = b"\x80\x02" + hostile.opcodes(content) + b"."
        if rng.random() < 0.2:
            plain = mutate.octets(rng, plain, [plain])
        whole = hostile.archive(plain, numbers)
        return mutate.octets(rng, whole, [whole]) if rng.random() < 0.1 else whole

    return make


def _arrays() -> Make:
    def make(rng: random.Random) -> bytes:
        whole = io.BytesIO()
        arrays: dict[str, Any] = {}
        for key in ("a.op.weight", "a.op.bias", "a.output_shift", "b.weight", "b.weight_bits"):
            shape = rng.choice(((4, 3, 3, 3), (4,), (1,), (), (0,), (2, 2), (1, 1, 1, 1, 1)))
            kind = rng.choice(("i8", "f4", "f2", "u1", "?", "U3", "c8", "M8[s]", "V3"))
            arrays[key] = np.zeros(shape, kind)
            if kind == "f4":
                arrays[key] += rng.choice((0, 1, np.inf, np.nan, 1e30))
        np.savez(whole, **arrays)
        return mutate.octets(rng, whole.getvalue(), [b"PK"]) if rng.random() < 0.4 else (
            whole.getvalue()
        )  # fmt: skip

    return make


def _model(build: Callable[[Any], Any], seeds: int) -> Make:
    """ONNX models whose fields are changed one by one."""
    protos = [build(np.random.default_rng(number)) for number in range(seeds)]

    def make(rng: random.Random) -> bytes:
        proto = type(protos[0])()
        proto.CopyFrom(rng.choice(protos))
        if rng.random() < 0.2:
            raw = proto.SerializeToString()
            return mutate.octets(rng, raw, [raw])
        for _ in range(rng.randint(1, 4)):
            _change_model(rng, proto.graph)
        return proto.SerializeToString()  # type: ignore[no-any-return]

    return make


def _change_model(rng: random.Random, graph: Any) -> None:
    kinds = (_change_attribute, _rewire, _change_values, _change_shape, _change_inputs)
    rng.choice(kinds)(rng, graph)


def _change_attribute(rng: random.Random, graph: Any) -> None:
    node = rng.choice(graph.node)
    if not node.attribute:
        return
    attribute = rng.choice(node.attribute)
    number = rng.choice((0, -1, 1, 2, 3, 7, 1 << 31, (1 << 63) - 1))
    attribute.i = number
    attribute.f = rng.choice((0.0, float("inf"), float("nan"), -1.0))
    for index in range(len(attribute.ints)):
        if rng.random() < 0.5:
            attribute.ints[index] = number


def _rewire(rng: random.Random, graph: Any) -> None:
    node = rng.choice(graph.node)
    kind = rng.randrange(4)
    if kind == 0 and node.input:
        names = [n for other in graph.node for n in (*other.input, *other.output)]
        node.input[rng.randrange(len(node.input))] = rng.choice([*names, "", "nowhere"])
    elif kind == 1:
        node.op_type = rng.choice(graph.node).op_type
    elif kind == 2 and len(graph.node) > 1:
        del graph.node[rng.randrange(len(graph.node))]
    elif node.output:
        node.output[0] = rng.choice(graph.node).output[0]


def _change_values(rng: random.Random, graph: Any) -> None:
    from onnx import numpy_helper

    tensor = rng.choice(graph.initializer)
    try:
        array = np.array(numpy_helper.to_array(tensor))
    except ValueError:  # its shape was changed before
        return
    if not array.size:
        return
    odd = (0, np.inf, -np.inf, np.nan, 1e38, 1e-38, -1, 0.3)
    number = rng.choice(odd if array.dtype.kind == "f" else (0, 1, 127, 5))
    array.reshape(-1)[rng.randrange(array.size)] = number
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _change_shape(rng: random.Random, graph: Any) -> None:
    from onnx import numpy_helper

    tensor = rng.choice(graph.initializer)
    shape = [rng.choice((0, 1, 2, 3, 5, 1 << 20)) for _ in range(rng.randrange(5))]
    if rng.random() < 0.5 and np.prod(shape, dtype=float) < 1e6:
        tensor.CopyFrom(numpy_helper.from_array(np.ones(shape, np.float32), tensor.name))
    else:
        tensor.dims[:] = shape


def _change_inputs(rng: random.Random, graph: Any) -> None:
    for value in graph.input:
        for dim in value.type.tensor_type.shape.dim:
            if rng.random() < 0.3:
                dim.dim_value = rng.choice((0, -1, 1, 3, 8, 1 << 20, 1 << 40))


def _onnx() -> Make:
    from tests.helpers.onnx_models import Model

    def build(rng: Any) -> Any:
        model = Model((3, 8, 8), int(rng.integers(100)))
        first = model.conv(model.data, model.weight(4, 3, 3, 3), 4, pads=[1, 1, 1, 1])
        value = model.rounded(model.add("Relu", first))
        value = model.add("MaxPool", value, kernel_shape=[2, 2], strides=[2, 2])
        value = model.rounded(model.conv(value, model.weight(4, 4, 1, 1), 4))
        return model.proto(value)

    return _model(build, 3)


def _float_onnx() -> Make:
    import tempfile
    from pathlib import Path

    import onnx

    from tests.helpers.float_models import Float

    def build(rng: Any) -> Any:
        model = Float(3, 8, 8)
        model.conv(3, 4, 3, 3, pads=[1, 1, 1, 1])
        model.add("Relu")
        model.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
        model.conv(4, 4, 1, 1)
        model.add("GlobalAveragePool")
        model.add("Flatten", axis=1)
        with tempfile.TemporaryDirectory() as folder:
            return onnx.load(model.save(Path(folder) / "m.onnx"))

    return _model(build, 2)


def _json(seeds: list[Any]) -> Make:
    return _trees_or_bytes(seeds, lambda value: json.dumps(value).encode())


def _coco() -> Make:
    points = [10.0, 20.0, 2] * 17
    person = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": points, "bbox": [1, 2, 3, 4]}
    file = {
        "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 48}],
        "annotations": [{**person, "num_keypoints": 17, "iscrowd": 0, "score": 0.5}],
        "categories": [{"id": 1, "name": "person", "keypoints": [f"p{n}" for n in range(17)]}],
    }
    return _json([file])


def _keypoints() -> Make:
    person = {"id": 1, "image_id": 1, "keypoints": [10.0, 20.0, 2] * 17, "score": 0.5}
    return _json([{"annotations": [person]}, {"annotations": [person], "categories": []}])


def _recording() -> Make:
    from base64 import b64encode

    from evalkit.wire import protocol
    from tests.helpers import fake_board

    hello = b64encode(fake_board.hello()).decode()
    poses = b64encode(fake_board.poses(0, [])).decode()
    heat = {
        "shape": [protocol.KEYPOINTS, 2, 2],
        "data": b64encode(bytes(4 * protocol.KEYPOINTS)).decode(),
    }
    shot = {"seconds": 1.0, "name": "a", "size": [8, 8], "scale": [1.0, 1.0], "poses": poses}
    lines = [{"format": "pose78 recording", "version": 1}, {"hello": hello}]
    seed = [*lines, {"shot": {**shot, "jpeg": "", "heat": heat, "poses3d": ""}}]

    def write(value: Any) -> bytes:
        entries = value if isinstance(value, list) else [value]
        return b"".join(json.dumps(entry).encode() + b"\n" for entry in entries)

    return _trees_or_bytes([seed], write)


def _picture() -> Make:
    import cv2

    pixels = np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8)
    ends = (".png", ".jpg", ".bmp", ".webp", ".tiff", ".ppm")
    seeds = [cv2.imencode(end, pixels)[1].tobytes() for end in ends]
    seeds += [cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()]
    seeds += [hostile.jpeg(24, 20, components=4, orientation=6), hostile.png(4, 4, b"x")]
    return lambda rng: mutate.octets(rng, rng.choice(seeds), seeds)


def _recipe() -> Make:
    from tests.helpers.places import REPOSITORY

    folder = REPOSITORY / "distill" / "tasks" / "pose" / "recipes"
    seeds = [yaml.safe_load(path.read_text()) for path in sorted(folder.glob("*.yaml"))]
    return _trees_or_bytes(seeds, lambda value: yaml.dump(value, sort_keys=False).encode())


def _sample() -> Make:
    seeds = []
    for kind in ("i1", "i8", "f4", "U2", "M8[s]"):
        whole = io.BytesIO()
        np.save(whole, np.zeros((3, 4, 4), kind))
        seeds.append(whole.getvalue())
    return lambda rng: mutate.octets(rng, rng.choice(seeds), seeds)


MAKERS: dict[str, Callable[[], Make]] = {
    "yaml": _yaml, "checkpoint": _checkpoint, "arrays": _arrays, "student": _checkpoint,
    "onnx": _onnx, "float_onnx": _float_onnx, "elf": lambda: images.any_kind,
    "recording": _recording, "coco": _coco, "keypoints": _keypoints, "picture": _picture,
    "recipe": _recipe, "sample": _sample,
}  # fmt: skip
