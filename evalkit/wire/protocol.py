"""What the frames on the serial line say (docs/protocol.md); how they look: ``framing.py``."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ai8x_models.skeleton import JOINTS_3D
from ai8x_models.skeleton import NUM_KEYPOINTS as KEYPOINTS
from evalkit.wire.framing import MAGIC as MAGIC
from evalkit.wire.framing import MAX_PAYLOAD as MAX_PAYLOAD
from evalkit.wire.framing import Frame as Frame
from evalkit.wire.framing import Parser as Parser
from evalkit.wire.framing import encode as encode

HELLO = 0x01
MAP = 0x02
END = 0x03
POSES = 0x04
ERROR = 0x05
PICTURE = 0x06
PACE = 0x07
POSES3D = 0x08
TRACKS = 0x09
EVENT = 0x0A
ASK = 0x10
IMAGE = 0x11
SHOW = 0x12
TEST = 0x13

NO_WEIGHTS = 5
"""Code of an error frame: the network could not be loaded."""
NO_CAMERA = 6
"""Code of an error frame: the camera is missing or silent."""

IMAGE_LAST = 1
IMAGE_WANT_MAPS = 2

SHOW_MOST_STEP = 16

JOINTS = len(JOINTS_3D) - 1
"""Joints of a 3D pose; the pelvis, its origin, is not among them."""
TICKS_PER_SECOND = 50_000_000


@dataclass(frozen=True)
class Hello:
    """Who is at the other end."""

    version: int
    checksum: int
    input_shape: tuple[int, int, int]
    outputs: int
    network: str


def parse_hello(payload: bytes) -> Hello:
    """Decode a hello frame's payload; ValueError when it is too short."""
    if len(payload) < 16:
        raise ValueError(f"hello frame of {len(payload)} bytes (at least 16)")
    version, checksum, *shape, outputs = struct.unpack_from("<IIHHHH", payload)
    name = payload[16:].decode("ascii", errors="replace")
    return Hello(version, checksum, (shape[0], shape[1], shape[2]), outputs, name)


@dataclass(frozen=True)
class End:
    """Status (0: known answer met) and inference time in ticks of 20 ns."""

    status: int
    ticks: int


def parse_end(payload: bytes) -> End:
    """Decode an end frame's payload; ValueError when its length is wrong."""
    if len(payload) != 8:
        raise ValueError(f"end frame of {len(payload)} bytes (8)")
    return End(*struct.unpack("<II", payload))


@dataclass(frozen=True)
class Person:
    """One person: pixels of the network's input, values and score as real numbers.

    Attributes:
        points: float64 [18, 3]: x, y, value; value 0 where the keypoint was not found.
        score: how sure the person is, 0 to about 1.
    """

    points: NDArray[np.float64]
    score: float


@dataclass(frozen=True)
class Poses:
    """Answer to a picture; times in microseconds."""

    number: int
    people: tuple[Person, ...]
    input_us: int
    inference_us: int
    decode_us: int


def _points(payload: bytes, at: int) -> NDArray[np.float64]:
    """The 18 keypoints at an offset, float64 [18, 3]: x, y in pixels, value."""
    raw = np.frombuffer(payload, "<i2", 3 * KEYPOINTS, at).reshape(KEYPOINTS, 3)
    points = raw.astype(np.float64) / (16, 16, 1)
    points[:, 2] = raw[:, 2].astype(np.uint16) / 2**15
    return points


def parse_poses(payload: bytes) -> Poses:
    """Decode a poses frame's payload; ValueError when its length is wrong."""
    each = 4 + 6 * KEYPOINTS
    if len(payload) < 16 or (len(payload) - 16) % each:
        raise ValueError(f"poses frame of {len(payload)} bytes")
    number, count, input_us, inference_us, decode_us = struct.unpack_from("<HHIII", payload)
    if count != (len(payload) - 16) // each:
        raise ValueError(f"poses frame for {count} people has {len(payload)} bytes")
    people = []
    for index in range(count):
        at = 16 + each * index
        (score,) = struct.unpack_from("<H", payload, at)
        people.append(Person(_points(payload, at + 4), score / 2**14))
    return Poses(number, tuple(people), input_us, inference_us, decode_us)


def poses_payload(poses: Poses) -> bytes:
    """Payload of a poses frame, as the firmware sends it: what ``parse_poses`` reads.

    Positions are rounded to sixteenths of a pixel, values to 2**-15, scores to 2**-14.
    """
    payload = struct.pack(
        "<HHIII", poses.number, len(poses.people), poses.input_us, poses.inference_us,
        poses.decode_us,
    )  # fmt: skip
    for person in poses.people:
        raw = np.rint(person.points * (16, 16, 2**15))
        raw[:, :2] = raw[:, :2].clip(-(2**15), 2**15 - 1)
        words = raw.clip(-(2**15), 2**16 - 1).astype(np.int64).astype("<u2")
        score = min(max(round(person.score * 2**14), 0), 0xFFFF)
        found = int((person.points[:, 2] > 0).sum())
        payload += struct.pack("<HH", score, found) + words.tobytes()
    return payload


@dataclass(frozen=True)
class Person3D:
    """One person in 3D.

    Attributes:
        person: which of the poses frame with the same number.
        known: bool [16], whether the joint's place in the picture was known.
        joints: int16 [16, 3], millimetres from the pelvis: right, down, away from the camera.
    """

    person: int
    known: NDArray[np.bool_]
    joints: NDArray[np.int16]


@dataclass(frozen=True)
class Poses3D:
    """The people of a picture in 3D, those whose hips were found; the time in microseconds."""

    number: int
    people: tuple[Person3D, ...]
    lift_us: int


def parse_poses3d(payload: bytes) -> Poses3D:
    """Decode a poses3d frame's payload; ValueError when its length is wrong."""
    each = 4 + 6 * JOINTS
    if len(payload) < 8 or (len(payload) - 8) % each:
        raise ValueError(f"poses3d frame of {len(payload)} bytes")
    number, count, lift_us = struct.unpack_from("<HHI", payload)
    if count != (len(payload) - 8) // each:
        raise ValueError(f"poses3d frame for {count} people has {len(payload)} bytes")
    people = []
    for at in range(8, len(payload), each):
        person, known = struct.unpack_from("<HH", payload, at)
        joints = np.frombuffer(payload, "<i2", 3 * JOINTS, at + 4).reshape(JOINTS, 3)
        seen = known >> np.arange(JOINTS) & 1 == 1
        people.append(Person3D(person, seen, joints.astype(np.int16)))
    return Poses3D(number, tuple(people), lift_us)


@dataclass(frozen=True, eq=False)
class Track:
    """Somebody who is followed; pixels of the camera picture.

    Attributes:
        number: 1..65535, the same from picture to picture.
        missed: milliseconds since they were found; 0: in this picture.
        size: longer side of the box around the points.
        speed: x and y, pixels a second.
        points: float64 [18, 3]: x, y, value; value 0 where nothing is known.
    """

    number: int
    missed: int
    size: float
    speed: tuple[float, float]
    points: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Tracks:
    """Who is in a picture of the camera.

    Attributes:
        number: of the picture.
        picture: pixels a side of the camera picture.
        region: x, y, side: what the network looked at.
        ms: when, by the board's clock.
        crop_us: processor time to average the region.
        track_us: processor time to give numbers and look at the rules.
        people: in no order that means anything.
    """

    number: int
    picture: int
    region: tuple[int, int, int]
    ms: int
    crop_us: int
    track_us: int
    people: tuple[Track, ...]


def parse_tracks(payload: bytes) -> Tracks:
    """Decode a tracks frame's payload; ValueError when its length is wrong."""
    each = 10 + 6 * KEYPOINTS
    if len(payload) < 24 or (len(payload) - 24) % each:
        raise ValueError(f"tracks frame of {len(payload)} bytes")
    number, count, picture, x, y, side, ms, crop, track = struct.unpack_from("<6H3I", payload)
    if count != (len(payload) - 24) // each:
        raise ValueError(f"tracks frame for {count} people has {len(payload)} bytes")
    people = []
    for at in range(24, len(payload), each):
        name, missed, size, across, down = struct.unpack_from("<3H2h", payload, at)
        points = _points(payload, at + 10)
        people.append(Track(name, missed, size / 16, (across / 16, down / 16), points))
    return Tracks(number, picture, (x, y, side), ms, crop, track, tuple(people))


@dataclass(frozen=True)
class Event:
    """The number of people for whom a rule holds has changed in a picture."""

    number: int
    rule: int
    count: int


def parse_event(payload: bytes) -> Event:
    """Decode an event frame's payload; ValueError when its length is wrong."""
    if len(payload) != 8:
        raise ValueError(f"event frame of {len(payload)} bytes (8)")
    number, rule, count, _ = struct.unpack("<4H", payload)
    return Event(number, rule, count)


@dataclass(frozen=True)
class Error:
    """Why the board did not do what it was asked."""

    code: int
    number: int
    text: str


def parse_error(payload: bytes) -> Error:
    """Decode an error frame's payload; ValueError when it is too short."""
    if len(payload) < 4:
        raise ValueError(f"error frame of {len(payload)} bytes (at least 4)")
    code, number = struct.unpack_from("<HH", payload)
    return Error(code, number, payload[4:].decode("ascii", errors="replace"))


@dataclass(frozen=True)
class Pace:
    """How long each stage of a camera picture took, in microseconds.

    Attributes:
        number: of the picture.
        period: from the start of the network to its next start, 0 for the first picture.
        capture: from asking the camera to the last row.
        store: processor time to unpack the rows and store them in input memory.
        network: accelerator time.
        copy: processor time to copy the maps out of the accelerator's memory.
        decode: processor time to find the people.
    """

    number: int
    period: int
    capture: int
    store: int
    network: int
    copy: int
    decode: int


def parse_pace(payload: bytes) -> Pace:
    """Decode a pace frame's payload; ValueError when its length is wrong."""
    if len(payload) != 28:
        raise ValueError(f"pace frame of {len(payload)} bytes (28)")
    number, _, *times = struct.unpack("<HH6I", payload)
    return Pace(number, *times)


def show_frame(step: int, sequence: int = 0) -> Frame:
    """Ask for the next camera picture, every ``step``-th pixel each way, 1..16."""
    return Frame(SHOW, sequence, struct.pack("<H", step))


def image_frames(
    image: NDArray[np.uint8], number: int, first_sequence: int = 0, want_maps: bool = False
) -> list[Frame]:
    """Cut a picture into image frames.

    Args:
        image: uint8 [rows, columns, channels], of the network's input size.
        number: 0..65535, comes back in the answer.
        first_sequence: sequence number of the first frame.
        want_maps: ask for the result maps as well.
    """
    rows, columns, channels = image.shape
    # Whole bands of four rows, whatever the network's folding is; all rows when they are few.
    band = next(r for r in (4, 2, 1) if rows % r == 0) * columns * channels
    most = max(1, (MAX_PAYLOAD - 8) // band) * band
    if most > MAX_PAYLOAD - 8:
        raise ValueError(f"rows of {columns} pixels with {channels} channels are too long")
    data = np.ascontiguousarray(image).tobytes()
    frames: list[Frame] = []
    for offset in range(0, len(data), most):
        piece = data[offset : offset + most]
        last = offset + len(piece) == len(data)
        flags = (IMAGE_LAST if last else 0) | (IMAGE_WANT_MAPS if want_maps else 0)
        header = struct.pack("<HHI", number, flags, offset)
        frames.append(Frame(IMAGE, (first_sequence + len(frames)) & 0xFF, header + piece))
    return frames
