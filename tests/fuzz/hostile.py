"""Files that were made to do harm, by reader: small ones that ask for much, and odd values."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
import zlib
from typing import Any

import numpy as np

from tests.helpers.float_models import Float


class _Global:
    """Pickles as the name of something in a module, which is not imported here."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


def opcodes(value: Any) -> bytes:
    """Opcodes that push plain data, names and calls (a tuple of a name and its arguments)."""
    if isinstance(value, _Global):
        return f"c{value.module}\n{value.name}\n".encode()
    if isinstance(value, dict):
        return b"}(" + b"".join(opcodes(k) + opcodes(v) for k, v in value.items()) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(opcodes, value)) + b"e"
    if isinstance(value, tuple):
        return b"(" + b"".join(map(opcodes, value)) + b"t"
    if isinstance(value, Tensor):
        return value.opcodes()
    return pickle.dumps(value, 2)[2:-1]


class Tensor:
    """A tensor of a checkpoint: where its numbers are and how they are looked at."""

    def __init__(
        self, storage: str, key: str, count: int, shape: tuple[int, ...], stride: tuple[int, ...]
    ) -> None:
        self.storage, self.key, self.count = storage, key, count
        self.shape, self.stride = shape, stride

    def opcodes(self) -> bytes:
        """What rebuilds it."""
        identity = ("storage", _Global("torch", self.storage), self.key, "cpu", self.count)
        hooks = b"ccollections\nOrderedDict\n)R"
        arguments = opcodes(identity) + b"Q" + opcodes(0) + opcodes(self.shape)
        arguments += opcodes(self.stride) + opcodes(False) + hooks
        return opcodes(_Global("torch._utils", "_rebuild_tensor_v2")) + b"(" + arguments + b"tR"


def archive(
    content: Any, tensors: dict[str, bytes] | None = None, compressed: bool = False
) -> bytes:
    """A checkpoint of torch with a content that torch itself would never write."""
    data = content if isinstance(content, bytes) else b"\x80\x02" + opcodes(content) + b"."
    whole = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(whole, "w", kind, compresslevel=1) as file:
        file.writestr("archive/data.pkl", data)
        for key, raw in (tensors or {}).items():
            file.writestr(f"archive/data/{key}", raw)
    return whole.getvalue()


def _layer(**changes: Any) -> dict[str, Any]:
    return {"name": "a", "op": "conv2d", "in": ["input"], "kernel": 1, **changes}


def _described(network: Any, **more: Any) -> bytes:
    weight = Tensor("FloatStorage", "0", 12, (4, 3, 1, 1), (3, 1, 1, 1))
    extras = {"network": network, "input": {"shape": [3, 8, 8]}, **more}
    state = {"a.op.weight": weight}
    return archive({"state_dict": state, "arch": "a", "extras": extras}, {"0": bytes(48)})


def checkpoints() -> dict[str, bytes]:
    """Bombs, code, and values that do not stand where they belong."""
    shown = Tensor("DoubleStorage", "0", 1, (1 << 24,), (0,))
    bias = Tensor("FloatStorage", "0", 1, (0,), (1,))
    weight = Tensor("FloatStorage", "0", 1, (1, 1, 1, 1), (1, 1, 1, 1))
    deep: Any = 1
    for _ in range(20):
        deep = [deep]
    shell = b"\x80\x02cos\nsystem\nX\x0f\x00\x00\x00touch /tmp/harm\x85R."
    return {
        "one number shown many times": archive(
            {"state_dict": {f"l{n}.weight": shown for n in range(100)}}, {"0": bytes(8)}
        ),
        "lists without end": archive(b"\x80\x02](" + b"]" * 20_000_000 + b"e.", compressed=True),
        "an empty bias": archive(
            {"state_dict": {"a.op.weight": weight, "a.op.bias": bias}}, {"0": bytes(4)}
        ),
        "a command": archive(shell),
        "one number shown for ever": archive(
            {"state_dict": {"a.op.weight": Tensor("FloatStorage", "0", 1, (1 << 31,), (0,))}},
            {"0": bytes(4)},
        ),
        "a key of tuples within tuples": archive(b"\x80\x02})" + b"2\x86" * 40 + b"Ns."),
        "a key of remembered tuples": archive(
            b"\x80\x02})q\0"
            + b"".join(b"h%ch%c\x86q%c" % (n, n, n + 1) for n in range(40))
            + b"Ns."
        ),
        "a key of tuples, the old form": b"\x80\x02})" + b"2\x86" * 40 + b"Ns.",
        "room for 4 GB": archive(b"\x80\x02c__builtin__\nbytearray\n\x8a\x05\0\0\0\0\x01\x85R."),
        "a place far away": archive(b"\x80\x02}r\xff\xff\xff\x0f."),
        "a place far away, in digits": archive(b"\x80\x02}p268435455\n."),
        "the old form, a place far away": b"\x80\x02K\x01r\xff\xff\xff\x0f.",
        "an array where a word belongs": _described(
            [_layer(act=Tensor("FloatStorage", "0", 12, (2,), (1,)))]
        ),
        "a list where a name belongs": _described([_layer(**{"in": [["input"]]})]),
        "a number of many digits": _described([_layer(op=1 << 20_000)]),
        "a description too deep": _described([_layer(kernel=deep)]),
        "a name of C": _described([_layer(name="x*\\\n/ int y; //")]),
        "the input too large": _described([_layer()], input={"shape": [1 << 40, 1, 1]}),
        "names that are none": archive({"state_dict": {1 << 20_000: weight}}, {"0": bytes(4)}),
        "the old form, cut off": b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
        "no checkpoint": b"\x00" * 100,
        "nothing": b"",
    }


def descriptions() -> dict[str, bytes]:
    """YAML that takes long, or that is more than it seems."""
    head = b"layers:\n  - name: a\n    op: conv2d\n    in_channels: 3\n    in_dim: [8, 8]\n"
    return {
        "many keys": head + b"".join(b"    k%d: 1\n" % n for n in range(20_000)),
        "a flow list": head + b"    pad: [" + b"1, " * 60_000 + b"1]\n",
        "nested lists": head + b"    pad: " + b"[" * 5_000,
        "nested mappings": b"".join(b" " * n + b"a:\n" for n in range(600)),
        "a number to base 60": head + b"    pad: 1" + b":00" * 13_000 + b"\n",
        "a number of many digits": head + b"    pad: 0x" + b"f" * 5_000 + b"\n",
        "decimal digits": head + b"    pad: " + b"9" * 5_000 + b"\n",
        "a number that is none": head + b"    pad: !!int '_'\n",
        "neither true nor false": head + b"    pad: !!bool maybe\n",
        "a character that does not exist": head + b'    name: "\\U7fffffff"\n',
        "an anchor within itself": b"layers: &a [*a]\n",
        "laughter": b"a: &a [1]\n"
        + b"".join(b"%c: &%c [" % (c, c) + b"*%c, " % (c - 1) * 9 + b"1]\n" for c in b"bcdefghij"),
        "C in a name": head
        + b'    out_channels: 4\n    kernel_size: 3x3\n    name: "*\\\\\\n/ x"\n',
        "an object of Python": b"!!python/object/apply:os.system ['true']\n",
        "too long": head + b"#" * 300_000,
    }


def png(columns: int, rows: int, content: bytes) -> bytes:
    """A PNG file, grey, with a header that says what it likes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def jpeg(columns: int, rows: int, components: int = 3, orientation: int = 1) -> bytes:
    """The head of a JPEG file with an orientation tag (EXIF) and a size; 4 components are CMYK."""
    tag = b"II*\x00\x08\x00\x00\x00\x01\x00" + struct.pack("<HHIHH", 0x112, 3, 1, orientation, 0)
    exif = b"Exif\x00\x00" + tag + b"\x00" * 4
    frame = struct.pack(">BHHB", 8, rows, columns, components)
    frame += b"".join(bytes((n + 1, 0x11, 0)) for n in range(components))
    return (
        b"\xff\xd8\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
        + b"\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame + b"\xff\xd9"
    )  # fmt: skip


def pictures() -> dict[str, bytes]:
    """Headers that promise more than memory holds."""
    rows = zlib.compress(bytes(30_001 * 3_000), 9)
    return {
        "30,000 x 30,000 pixels": png(30_000, 30_000, rows),
        "a header of two thousand million": png(0x7FFFFFFF, 0x7FFFFFFF, b""),
        "JPEG of 65,535 a side": jpeg(65_535, 65_535),
        "JPEG, turned": jpeg(65_535, 65_535, orientation=6),
        "JPEG of four inks": jpeg(60_000, 60_000, components=4),
        "no pixels": png(0, 0, b""),
        "a part of 2 GB": png(64, 64, b"").replace(b"\0\0\0\0IDAT", b"\x7f\xff\xff\0IDAT"),
        "cut off": png(64, 64, b"")[:40],
        "nothing": b"",
    }


def json_files() -> dict[str, bytes]:
    """JSON that is too deep, or holds what is no number."""
    coco = {"images": [{"id": 1, "file_name": "a"}], "categories": [{"keypoints": ["nose"]}]}
    people = [{"image_id": 1, "keypoints": [1e400, None, "x"], "bbox": [1, 2]}]
    return {
        "nested lists": b"[" * 400_000,
        "nested mappings": b'{"a":' * 100_000,
        "a number of many digits": b'{"annotations": [{"keypoints": [' + b"9" * 100_000 + b"]}]}",
        "what is no keypoint": json.dumps({**coco, "annotations": [], "x": people}).encode(),
        "no text": bytes(range(256)),
        "a number": b"1",
        "nothing": b"",
    }


def recordings() -> dict[str, bytes]:
    """Lines of a recording with values that are none."""
    head = b'{"format": "pose78 recording", "version": 1}\n'
    shot = {"seconds": 0, "name": "a", "size": [1, 1], "scale": [1, 1], "poses": "", "jpeg": ""}
    lines = [
        *({**shot, "size": [float("inf"), 1]}, {**shot, "scale": [float("nan"), 1]}),
        *({**shot, "heat": {"shape": [19, 1 << 40, 0], "data": ""}}, {**shot, "seconds": "x"}),
    ]
    return {f"shot {n}": head + json.dumps({"shot": line}).encode() + b"\n"
            for n, line in enumerate(lines)} | {
        "deep": head + b"[" * 100_000 + b"\n",
        "a line without end": head + b" " * (40 << 20),}  # fmt: skip


def recipes() -> dict[str, bytes]:
    """Settings that take long, or reach outside."""
    return {
        "a number to base 60": b"epochs: 1" + b":00" * 30_000,
        "a number that is none": b"epochs: !!int '_'\n",
        "neither true nor false": b"epochs: !!bool maybe\n",
        "nested": b"a: " + b"[" * 5_000,
        "many keys": b"".join(b"k%d: 1\n" % n for n in range(20_000)),
        "itself": b"out: ${out}\n",
        "an object of Python": b"out: !!python/object/apply:os.system ['true']\n",
        "a list": b"- 1\n",
        "a text": b"'0x10'\n",
    }


def samples() -> dict[str, bytes]:
    """Arrays that are none, or say that they are larger than their file."""
    head = b"{'descr': '<i8', 'fortran_order': False, 'shape': (%s,), }"
    whole = io.BytesIO()
    np.save(whole, np.array([{}], object), allow_pickle=True)

    def named(shape: bytes) -> bytes:
        text = (head % shape).ljust(117) + b"\n"
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text

    return {
        "larger than its file": named(b"1 << 40"), "more than there is": named(b"1099511627776"),
        "negative": named(b"-1"), "an object": whole.getvalue(), "garbage": b"\x93NUMPY\xff" * 9,
        "a pickle": pickle.dumps([1]), "nothing": b"",
    }  # fmt: skip


def compressed() -> dict[str, bytes]:
    """Archives of arrays that unpack to more than they should."""
    bomb, empty = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        file.writestr("a.weight.npy", bytes(300 << 20))
    np.savez(empty, **{"a.weight": np.ones((1, 1, 1, 1)), "a.bias": np.ones(0)})  # type: ignore[arg-type]
    return {"a bomb": bomb.getvalue(), "an empty bias": empty.getvalue(), "nothing": b""}


def models() -> dict[str, bytes]:
    """ONNX models that ask for much in few bytes: for thousands of steps, or twice as many each."""
    files = {}
    for name, count in (("doubled", 60), ("deep", 1500)):
        model = Float(4, 8, 8)
        model.conv(4, 4, 1, 1)
        first = model.add("Relu")
        for _ in range(count):
            model.add("Add", model.last, model.last if name == "doubled" else first)
            model.add("MaxPool", kernel_shape=[1, 1])
        model.add("Relu")
        model.conv(4, 4, 1, 1)
        files[name] = model.content()
    return files


HOSTILE = {
    "yaml": descriptions, "checkpoint": checkpoints, "student": checkpoints, "picture": pictures,
    "coco": json_files, "keypoints": json_files, "recording": recordings, "recipe": recipes,
    "sample": samples, "arrays": compressed, "float_onnx": models, "onnx": models,
}  # fmt: skip
"""By reader; others are made by their fuzzers (:mod:`tests.fuzz.cases`)."""
