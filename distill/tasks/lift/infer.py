"""Lift keypoint files: the ``infer`` verb, and ``sample`` and ``show`` for the chip.

``infer`` writes a JSON file per keypoint file: for each person ``image_id``, ``id`` and ``pose3d``,
[17, 3] in metres from the pelvis, camera frame (x right, y down, z away). ``sample`` makes the
chip's input from the surest person of a file, and ``show`` draws what the chip answered.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from ai8x_models.maps import read_maps
from ai8x_models.overlay import write_picture
from ai8x_models.show import load_outputs
from common.arguments import Parser, to_file, to_folder
from common.console import say
from common.errors import UserError
from common.files import write_array, write_file
from common.texts import counted
from distill.tasks.lift.keypoints import Found, files_of, normalise_known, read, sequence
from distill.tasks.lift.lifters import Lifter, load
from distill.tasks.lift.picture import pose_picture
from distill.tasks.lift.skeleton import JOINTS, PARENTS
from distill.tasks.lift.student import ANSWERS, CHANNELS, to_bytes, to_pose


def lift_people(lifter: Lifter, people: list[Found]) -> tuple[list[Found], np.ndarray, np.ndarray]:
    """Lift the people of one file.

    Returns:
        Who was lifted (a temporal network takes one person per picture), their views [n, 17, 2]
        and poses [n, 17, 3].
    """
    if lifter.window == 1:
        joints = np.stack([person.joints for person in people])
        view = normalise_known(joints)[:, None]
        return people, view[:, 0], lifter(torch.from_numpy(view))
    windows = sequence(people, lifter.window)
    middle = (lifter.window - 1) // 2
    best: dict[int, Found] = {}
    for person in people:
        if person.image not in best or person.score > best[person.image].score:
            best[person.image] = person
    return list(best.values()), windows[:, middle], lifter(torch.from_numpy(windows))


def infer(arguments: list[str]) -> int:
    """``CHECKPOINT KEYPOINTS -o FOLDER [--pictures]``."""
    parser = Parser(prog="python -m distill lift infer")
    parser.add_argument("checkpoint", type=Path, help="teacher or student")
    parser.add_argument("keypoints", type=Path, help="COCO keypoint JSON, or a folder of them")
    parser.add_argument(
        "-o", "--output", type=to_folder, required=True, help="folder for the results"
    )
    parser.add_argument("--pictures", action="store_true", help="draw every person as well")
    options = parser.parse_args(arguments)
    lifter = load(options.checkpoint)
    for path in files_of(options.keypoints):
        people, without = read(path)
        if not people:
            say(f"{path.name}: nobody whose hips are known")
            continue
        lifted, views, poses = lift_people(lifter, people)
        annotations = [
            {"image_id": p.image, "id": p.number, "pose3d": np.round(pose, 4).tolist()}
            for p, pose in zip(lifted, poses.astype(np.float64), strict=True)
        ]
        content = {"joints": JOINTS, "parents": PARENTS, "unit": "m", "annotations": annotations}
        write_file(options.output / f"{path.stem}.3d.json", json.dumps(content))
        if options.pictures:
            for person, view, pose in zip(lifted, views, poses, strict=True):
                name = f"{path.stem}.{person.number}.png"
                write_picture(options.output / name, pose_picture(view, pose, ""))
        note = f", {without} without hips left out" if without else ""
        say(f"{path.name}: {counted(len(lifted), 'pose')} lifted{note}")
    return 0


def _surest(path: Path) -> Found:
    people, _ = read(path)
    if not people:
        raise UserError(f"{path}: nobody whose hips are known; lifting starts from the pelvis")
    return max(people, key=lambda person: person.score)


def sample(arguments: list[str]) -> int:
    """``KEYPOINTS.json -o INPUT.npy``."""
    parser = Parser(prog="python -m distill lift sample")
    parser.add_argument("keypoints", type=Path, help="COCO keypoint JSON")
    parser.add_argument(
        "-o", "--output", type=to_file, required=True, help="input of the chip, .npy"
    )
    options = parser.parse_args(arguments)
    data = to_bytes(normalise_known(_surest(options.keypoints).joints))
    write_array(options.output, data.reshape(CHANNELS, 1, 1))
    return 0


def show(arguments: list[str]) -> int:
    """``KEYPOINTS.json --maps MAPS.npz --report REPORT.json -o PICTURE.png``."""
    parser = Parser(prog="python -m distill lift show")
    parser.add_argument("keypoints", type=Path, help="COCO keypoint JSON")
    parser.add_argument("--maps", type=Path, required=True, help="what the chip answered")
    parser.add_argument("--report", type=Path, required=True, help="the compiler's report.json")
    parser.add_argument("-o", "--output", type=to_file, required=True, help="picture to write")
    options = parser.parse_args(arguments)
    person = _surest(options.keypoints)
    maps, outputs = read_maps(options.maps).outputs, load_outputs(options.report)
    if len(maps) != 1 or len(outputs) != 1 or maps[0].size != ANSWERS:
        found = ", ".join(str(list(values.shape)) for values in maps)
        raise UserError(f"{options.maps}: expected one output [{ANSWERS}, 1, 1], found {found}")
    answer = torch.from_numpy(maps[0].astype(np.float32) * outputs[0].step)
    pose = to_pose(answer[None])[0].numpy()
    write_picture(options.output, pose_picture(normalise_known(person.joints), pose, "chip"))
    for name, (x, y, z) in zip(JOINTS, pose.tolist(), strict=True):
        print(f"  {name:<12}{x:7.2f}{y:7.2f}{z:7.2f} m")
    say(f"picture: {options.output}")
    return 0
