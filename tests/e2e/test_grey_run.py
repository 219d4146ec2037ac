"""`make run TASK=grey`: a picture, the firmware on the virtual kit, points; the same as torch's."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from ai8x_models import point_maps
from ai8x_models.point_maps import PointMaps
from ai8x_models.point_reader import as_person, read_points, real
from ai8x_models.preprocess import prepare, read_picture, to_grey
from ai8x_models.student_file import load_student
from distill.people.synthetic import make_scene
from distill.tasks.grey.module import student_maps
from distill.tasks.grey.student import STRIDE
from evalkit.kit import Kit
from evalkit.wire import protocol
from synthesize.compiler import compile_network
from synthesize.read import checkpoint
from synthesize.write import elf, project
from tests.helpers.front_door import ROOT, make

pytest.importorskip("unicorn", reason="the kit extra is not installed")

CHECKPOINT = ROOT / "ai8x_models" / "checkpoints" / "grey-q.pth.tar"


def by_torch(data: npt.NDArray[np.int8]) -> tuple[npt.NDArray[np.int32], PointMaps]:
    """Points [13, 3] as the firmware's integers, and how they were read."""
    student, stored = load_student(CHECKPOINT)
    settings = point_maps.from_extras(stored["extras"], "it")
    assert settings is not None
    maps = student_maps(student, torch.from_numpy(data)[None].double())
    return read_points(maps[0], settings, STRIDE), settings


def test_run_prints_the_points_that_torch_computes_and_the_firmware_sends(tmp_path: Path) -> None:
    result = make(tmp_path, "run", "TASK=grey")
    assert result.returncode == 0, result.stderr
    assert "\nPASS\n" in result.stdout
    assert "\npeople: 1\n" in result.stdout
    assert f"overlay: {tmp_path}/overlay.png" in result.stdout
    points, settings = by_torch(np.load(tmp_path / "input.npy"))
    picture = read_picture(ROOT / "docs" / "images" / "grey.jpg")
    placed = real(points)
    seen = placed[:, 2].copy()
    placed[:, 2] = 1
    wanted = prepare(picture, 64).to_picture(placed)[:, :2]
    line = re.compile(r"^  \w+ +x +(-?[\d.]+)  y +(-?[\d.]+)  visible +([\d.]+)", re.MULTILINE)
    found = np.array(line.findall(result.stdout), float)
    assert found.shape == (13, 3)
    assert np.abs(found[:, :2] - wanted).max() <= 0.051
    assert np.abs(found[:, 2] - seen).max() <= 0.0051
    # The firmware's own reader, bit for bit.
    person = as_person(points, settings)
    assert person is not None
    kit = Kit(tmp_path / "project" / "firmware.elf")
    sent = kit.run_until_frame(protocol.POSES, protocol.ERROR, max_seconds=20).payload
    wanted_words = struct.pack("<HH", person.score, int((person.points[:, 2] > 0).sum()))
    wanted_words += b"".join(struct.pack("<hhH", *map(int, point)) for point in person.points)
    assert sent[16:] == wanted_words


def test_pictures_over_the_line_are_answered_with_points(tmp_path: Path) -> None:
    compiled = compile_network(checkpoint.load(CHECKPOINT))
    program = compiled.program
    example = project.example(program, None, "frame-injection")
    folder = tmp_path / "project"
    project.write_project(
        program, example, compiled.known_answer(example), folder, "frame-injection"
    )
    kit = Kit(elf.build(folder, cache=tmp_path / "objects", baud=921600))
    kit.run_until_frame(protocol.HELLO)
    for number in range(3):
        scene = make_scene(number, 64, 64, people=1).pixels
        grey = to_grey(scene)[..., None]
        kit.uart_write(b"".join(map(protocol.encode, protocol.image_frames(grey, number + 1))))
        payload = kit.run_until_frame(protocol.POSES, protocol.ERROR, max_seconds=20).payload
        points, settings = by_torch((grey.astype(np.int16) - 128).astype(np.int8)[None, ..., 0])
        person = as_person(points, settings)
        found = protocol.parse_poses(payload)
        assert len(found.people) == (person is not None)
        for one in found.people:
            assert person is not None
            real_person = person.to_person()
            assert np.array_equal(one.points, real_person.keypoints)
            assert one.score == real_person.score


def test_a_checkpoint_of_another_task_is_refused(tmp_path: Path) -> None:
    seed = ROOT / "ai8x_models" / "checkpoints" / "seed-q.pth.tar"
    result = make(tmp_path, "synth", "TASK=grey", f"CHECKPOINT={seed}")
    assert result.returncode == 2
    assert "the input has shape 1x64x64 but the network expects 3x128x128" in result.stderr
