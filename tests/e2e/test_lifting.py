"""From a picture to 3D on the virtual board: pose network, decoder, second network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ai8x_models.preprocess import prepare, read_picture
from common.errors import UserError
from distill.tasks.lift.fixed import view_bytes
from evalkit.kit import Kit
from evalkit.wire import pieces, protocol
from evalkit.wire.protocol import Frame, encode, image_frames
from synthesize.__main__ import main
from synthesize.write import elf as build
from synthesize.write import two_networks as beside
from tests.helpers.lift_board import LIFTER, PEOPLE, POSE, Pipeline, lifting_pipeline
from tests.helpers.live_board import scenes, twin_people

INJECTION = ("--application", "frame-injection", "--quiet")


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return lifting_pipeline()


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    pytest.importorskip("unicorn", reason="the kit extra is not installed")
    folder = tmp_path_factory.mktemp("lifting")
    words = ["compile", str(POSE), "--second", str(LIFTER), *INJECTION]
    assert main([*words, "--out", str(folder / "project")]) == 0
    elf = build.build(folder / "project", cache=folder / "objects", baud=921600)
    board = Kit(elf)
    board.run_until_frame(protocol.HELLO)
    return board


def send(kit: Kit, *frames: Frame) -> None:
    kit.uart_write(b"".join(map(encode, frames)))


def look(kit: Kit, image: np.ndarray, number: int) -> tuple[bytes, bytes]:
    """Payloads of the poses and the poses3d frame."""
    send(kit, *image_frames(image, number))
    lifted = kit.run_until_frame(protocol.POSES3D, protocol.ERROR)
    assert lifted.type == protocol.POSES3D, lifted.payload
    poses = kit.run_until_frame(protocol.POSES)
    assert poses.payload[:2] == lifted.payload[:2] == number.to_bytes(2, "little")
    return poses.payload, lifted.payload


def test_people_are_lifted_as_the_python_pipeline_lifts_them(kit: Kit, pipeline: Pipeline) -> None:
    images = [prepare(read_picture(PEOPLE)).pixels, *(prepare(s).pixels for s in scenes(2))]
    total = 0
    for number, image in enumerate(images):
        poses, lifted = look(kit, image, number)
        expected, expected3d = pipeline.answer(image)
        assert poses[16:] == expected
        assert lifted[8:] == expected3d
        people = protocol.parse_poses3d(lifted).people
        total += len(people)
        for person in people:  # a body, not noise: nobody is smaller than 0.5 m or larger than 3
            extent = np.ptp(person.joints.astype(int), axis=0).max()
            assert 500 < extent < 3000
    assert total >= 3


def test_nobody_in_the_picture_and_the_known_answer_in_between(
    kit: Kit, pipeline: Pipeline
) -> None:
    empty = np.full((128, 128, 3), 128, np.uint8)
    poses, lifted = look(kit, empty, 8)
    assert (poses[2:4], lifted[2:4]) == (b"\0\0", b"\0\0")
    send(kit, Frame(protocol.TEST, 0, b""))
    assert protocol.parse_end(kit.run_until_frame(protocol.END).payload).status == 0
    image = prepare(read_picture(PEOPLE)).pixels
    assert look(kit, image, 9)[1][8:] == pipeline.answer(image)[1] != b""


def test_both_networks_come_back_after_a_failed_test(kit: Kit, pipeline: Pipeline) -> None:
    kit.flip_bit(0x5018_0000, 5)  # a weight of the first network
    send(kit, Frame(protocol.TEST, 0, b""))
    assert protocol.parse_end(kit.run_until_frame(protocol.END).payload).status == 1
    image = prepare(read_picture(PEOPLE)).pixels
    assert look(kit, image, 10)[1][8:] == pipeline.answer(image)[1]


def test_maps_are_those_of_the_first_network(kit: Kit, pipeline: Pipeline) -> None:
    image = prepare(read_picture(PEOPLE)).pixels
    send(kit, *image_frames(image, 11, want_maps=True))
    collector = pieces.MapCollector()
    while (frame := kit.run_until_frame(protocol.MAP, protocol.POSES3D)).type == protocol.MAP:
        collector.add(frame.payload)
    lifted = frame.payload
    kit.run_until_frame(protocol.POSES)
    names = [out.name for out in pipeline.pose.program.outputs]
    people = twin_people(pipeline.pose, dict(zip(names, collector.maps(), strict=True)))
    views = [view_bytes(np.asarray(person.points, np.int64)) for person in people]
    assert protocol.parse_poses3d(lifted).number == 11
    assert lifted[2] == sum(view is not None for view in views) > 0


def test_pairs_that_do_not_go_together_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "no")]
    cases = (
        ([str(LIFTER), "--second", str(LIFTER), *INJECTION], "no pose outputs"),
        ([str(POSE), "--second", str(LIFTER), "--application", "live-pose"],
         "--second does not go with --application live-pose"),
        ([str(POSE), "--application", "frame-injection-3d"], "give --second"),
    )  # fmt: skip
    for words, message in cases:
        assert main(["compile", *words, *out]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_a_second_network_that_is_no_lifter_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    program = pipeline.lifter.program
    other = replace(program, input=replace(program.input, shape=(16, 1, 1)))
    pair = beside.Pair(pipeline.pose, replace(pipeline.lifter, program=other))
    samples = (np.zeros(0), np.zeros(0))
    with pytest.raises(UserError, match=r"input \[16, 1, 1\].*takes a lifter, \[32, 1, 1\]"):
        beside.write_project(pair, samples, tmp_path / "no", ({}, {}), "frame-injection-3d")
    units = ({}, {"pose3d": 25})
    pair = beside.Pair(pipeline.pose, pipeline.lifter)
    with pytest.raises(UserError, match=r"an answer of 1 m is 2\^25"):
        beside.write_project(pair, samples, tmp_path / "no", units, "frame-injection-3d")
