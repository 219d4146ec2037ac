"""A network whose one narrow output holds heatmaps and part affinities on a fine grid."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ai8x_models.decode_fixed import FixedSettings, decode_fixed
from ai8x_models.thresholds import DecodeSettings
from common.errors import UserError
from evalkit.camera import Camera
from evalkit.kit import Kit
from evalkit.wire import pieces, protocol
from synthesize.compiler import Compiled, compile_network
from synthesize.read import checkpoint
from synthesize.read import student as frontend
from synthesize.write import elf as build
from synthesize.write import project as emit
from tests.helpers.live_board import SIDE, paces, scenes

pytest.importorskip("unicorn", reason="the kit extra is not installed")

BAUD = 921600
OWN = DecodeSettings(peak=0.3, affinity=0.1, agreement=0.5, min_keypoints=2, min_score=0.05)


def layer(name: str, source: str, inputs: int, outputs: int, **more: Any) -> dict[str, Any]:
    """A layer's description as students carry it."""
    return {
        "name": name, "op": "conv2d", "in": [source], "in_channels": inputs,
        "out_channels": outputs, "kernel": [3, 3], "stride": 1, "pad": 1, "pool": None,
        "act": "relu", "wide": False, **more,
    }  # fmt: skip


def network(decoder: dict[str, Any] | None = None) -> checkpoint.Checkpoint:
    """128 x 128 pixels -> 57 channels of bytes, 32 x 32; random weights."""
    layers = [
        layer("conv1", "input", 3, 16, stride=2),
        layer("conv2", "conv1", 16, 32, pool=["max", 2, 2]),
        layer("pose", "conv2", 32, 57, kernel=[1, 1], pad=0, act="none"),
    ]
    rng = np.random.default_rng(78)
    state: dict[str, np.ndarray] = {}
    for one, shift in zip(layers, (0, 0, 1), strict=True):
        shape = (one["out_channels"], one["in_channels"], *one["kernel"])
        state[f"{one['name']}.op.weight"] = rng.integers(-64, 64, shape)
        state[f"{one['name']}.op.bias"] = rng.integers(-2000, 2000, shape[0])
        state[f"{one['name']}.output_shift"] = np.array(shift)
        state[f"{one['name']}.weight_bits"] = np.array(8)
    extras = {
        "network": layers, "outputs": ["pose"], "input": {"shape": [3, 128, 128], "fold": 1},
        **({"decoder": decoder} if decoder is not None else {}),
    }  # fmt: skip
    return checkpoint.from_state_dict(state, "pose.npz", "one-output", extras)


def firmware(compiled: Compiled, application: str, folder: Path) -> Path:
    """The application with this network."""
    program = compiled.program
    example = emit.example(program, None, application)
    expected = compiled.known_answer(example)
    emit.write_project(program, example, expected, folder / "project", application)
    return build.build(folder / "project", cache=folder / "objects", baud=BAUD)


def people_part(compiled: Compiled, chw: np.ndarray, settings: DecodeSettings) -> bytes:
    """What the poses frame says of an input, as the Python twin finds it."""
    maps = compiled.known_answer(chw)["pose"]
    found = decode_fixed(maps[:19], maps[19:], 7, 7, FixedSettings.of(settings, stride=4))
    payload = b""
    for person in found:
        payload += struct.pack("<HH", person.score, int((person.points[:, 2] > 0).sum()))
        payload += b"".join(struct.pack("<hhH", *map(int, point)) for point in person.points)
    return payload


def test_frame_injection_finds_the_twins_people(tmp_path: Path) -> None:
    compiled = compile_network(network(OWN.plain()))
    kit = Kit(firmware(compiled, "frame-injection", tmp_path))
    kit.run_until_frame(protocol.HELLO)
    rng = np.random.default_rng(1)
    picture = np.kron(rng.integers(0, 256, (16, 16, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    kit.uart_write(b"".join(map(protocol.encode, protocol.image_frames(picture, 1))))
    payload = kit.run_until_frame(protocol.POSES, protocol.ERROR, max_seconds=20).payload
    chw = (picture.astype(np.int16) - 128).astype(np.int8).transpose(2, 0, 1)
    expected = people_part(compiled, chw, OWN)
    assert len(expected) >= 112
    assert payload[16:] == expected
    assert expected != people_part(compiled, chw, DecodeSettings())


def test_live_pose_keeps_the_maps_in_the_boards_memory(tmp_path: Path) -> None:
    compiled = compile_network(network(OWN.plain()))
    camera = Camera(scenes(2))
    kit = Kit(firmware(compiled, "live-pose", tmp_path), camera=camera)
    kit.run_until(lambda: len(paces(kit)) >= 2, max_seconds=30)
    answers = [f.payload for f in kit.frames if f.type == protocol.POSES][:2]
    for number, payload in enumerate(answers):
        pixels = pieces.rgb565(camera.sent[number].data, SIDE, SIDE)
        chw = (pixels.astype(np.int16) - 128).astype(np.int8).transpose(2, 0, 1)
        expected = people_part(compiled, chw, OWN)
        assert len(expected) >= 112
        assert payload[16:] == expected


def test_settings_nobody_knows_are_refused() -> None:
    with pytest.raises(UserError, match="decoder settings are"):
        compile_network(network({"peaks": 0.3}))
    with pytest.raises(UserError, match="min_keypoints is 19; 1 to 18"):
        compile_network(network({"min_keypoints": 19}))
    assert frontend.load(network()).outputs[0].channels == 57
