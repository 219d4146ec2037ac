"""Live-pose firmware on the virtual board, and what the Python pipeline makes of the same bytes."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ai8x_models.decode_fixed import FixedPerson, FixedSettings, decode_fixed
from ai8x_models.skeleton import NUM_HEATMAPS
from distill.people.synthetic import make_scene
from evalkit.camera import Camera
from evalkit.kit import Kit
from evalkit.wire import pieces, protocol
from synthesize.__main__ import main as synthesize
from synthesize.compiler import Compiled, compile_network
from synthesize.graph import reference
from synthesize.read import checkpoint
from synthesize.report.table import output_units
from synthesize.write import elf as build
from synthesize.write import pose_outputs
from tests.helpers.places import REPOSITORY, find_shared

SHIPPED = REPOSITORY / "ai8x_models" / "checkpoints" / "native-q.pth.tar"
BAUD = 921600
SIDE = 128


def live_firmware(
    folder: Path,
    application: str = "live-pose",
    student: Path = SHIPPED,
    colour: bool = False,
) -> Path:
    """The shipped student with an application that uses the camera."""
    options = ["--application", application, "--quiet", "--out", str(folder / "live")]
    assert synthesize(["compile", str(student), *options]) == 0
    return build.build(folder / "live", cache=folder / "objects", baud=BAUD, colour=colour)


def shipped(student: Path = SHIPPED) -> Compiled:
    """The shipped student, compiled."""
    return compile_network(checkpoint.load(student))


def scenes(count: int) -> list[np.ndarray]:
    """Drawn people, uint8 [height, width, 3]."""
    return [np.asarray(make_scene(index, 160, 200).pixels, np.uint8) for index in range(count)]


def photographs(count: int) -> list[Path]:
    """Real photographs, half of single persons and half of several; fewer where there are none."""
    shared = find_shared()
    if shared is None:
        return []
    many = sorted((shared / "data" / "coco_mini").glob("*/*.jpg"))[: count // 2]
    return [*many, *sorted((shared / "data" / "lspet" / "val").glob("*.jpg"))[: count - len(many)]]


def watch(kit: Kit, count: int, seconds: float = 30.0) -> dict[int, bytes]:
    """Run until so many pictures are answered; poses payloads by the picture's number."""

    kit.run_until(lambda: len(paces(kit)) >= count, max_seconds=seconds, max_wall_seconds=1800)
    payloads = [f.payload for f in kit.frames if f.type == protocol.POSES]
    return {struct.unpack_from("<H", payload)[0]: payload for payload in payloads}


def paces(kit: Kit) -> list[protocol.Pace]:
    """All pace frames so far."""
    return [protocol.parse_pace(f.payload) for f in kit.frames if f.type == protocol.PACE]


def expected_people(compiled: Compiled, data: bytes) -> bytes:
    """The people part of the poses frame that the Python pipeline makes of camera bytes."""
    pixels = pieces.rgb565(data, SIDE, SIDE)
    return expected_from_chw(
        compiled, (pixels.astype(np.int16) - 128).astype(np.int8).transpose(2, 0, 1)
    )


def twin_people(compiled: Compiled, maps: Mapping[str, np.ndarray]) -> list[FixedPerson]:
    """The people that the Python twin finds in a network's maps, by output name."""
    program = compiled.program
    found = pose_outputs.find(program)
    assert found is not None
    heat, paf, first = found
    units = output_units(compiled)
    heat_name, paf_name = (program.outputs[index].name for index in (heat, paf))
    heatmaps = maps[heat_name][:NUM_HEATMAPS].astype(np.int64)
    fields = maps[paf_name][first:].astype(np.int64)
    stride = program.input_shape[-1] // heatmaps.shape[-1]
    settings = FixedSettings.of(program.decoder, stride=stride)
    return decode_fixed(heatmaps, fields, units[heat_name], units[paf_name], settings)


def expected_from_chw(compiled: Compiled, chw: np.ndarray) -> bytes:
    """The people part of the poses frame of a network input, int8 [3, rows, columns]."""
    people = twin_people(compiled, reference.run(compiled.described, chw))
    payload = b""
    for person in people:
        points = np.asarray(person.points, np.int64).reshape(18, 3)
        count = int((points[:, 2] > 0).sum())
        payload += struct.pack("<HH", person.score, count)
        payload += b"".join(struct.pack("<hhH", *map(int, point)) for point in points)
    return payload


def same_people(compiled: Compiled, camera: Camera, answers: dict[int, bytes]) -> int:
    """Assert that every answer is the Python pipeline's; returns how many people there were."""
    total = 0
    for number, payload in answers.items():
        expected = expected_people(compiled, camera.sent[number].data)
        assert payload[16:] == expected, f"picture {number}, {camera.sent[number].name}"
        total += len(expected) // 112
    return total


def send(kit: Kit, frames: Sequence[protocol.Frame]) -> None:
    """Frames for the board."""
    kit.uart_write(b"".join(map(protocol.encode, frames)))
