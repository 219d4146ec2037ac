"""Tables of accuracy, size and speed: several checkpoints side by side, and two baselines."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np

from common.arguments import Parser, whole
from common.console import progress, say
from common.errors import UserError
from distill.tasks.lift.cameras import normalise
from distill.tasks.lift.data import Views, Windows, open_motion
from distill.tasks.lift.lifters import Lifter, linear_regression, load, mean_pose
from distill.tasks.lift.metrics import Errors, measure
from distill.tasks.lift.motion.mocap import window_reach
from distill.tasks.lift.picture import compare_pictures
from distill.tasks.lift.recipe import MotionConfig
from distill.tasks.lift.skeleton import JOINTS

BASELINE_POSES = 14000


def _parser(prog: str) -> argparse.ArgumentParser:
    data = Path(os.environ.get("POSE78_DATA", "data")) / "mocap"
    parser = Parser(prog=f"python -m distill lift {prog}")
    parser.add_argument("checkpoints", type=Path, nargs="+", help="teachers and students")
    parser.add_argument("--motion", default=str(data / "val.npz"), help="poses to lift (val.npz)")
    parser.add_argument(
        "--train", default=str(data / "train.npz"), help="poses the baselines learn from, or none"
    )
    parser.add_argument("--limit", type=whole(), help="use only the first poses")
    parser.add_argument("--pictures", type=Path, help="folder for pictures of some poses")
    return parser


def _windows(name: str, window: int, limit: int | None = None) -> Windows:
    motion = open_motion(MotionConfig(annotations=name, limit=limit))
    return Windows(motion, window, Views(), seed=0)


def baselines(train: str) -> list[Lifter]:
    """Mean pose and linear regression, fitted to random views of the training poses."""
    windows = _windows(train, 1)
    batch = windows.batch(list(range(min(len(windows), BASELINE_POSES))))
    view, pose = batch["view"][:, 0], batch["pose"][:, 0]
    return [mean_pose(pose), linear_regression(view, pose)]


def lift_all(
    lifters: list[Lifter], motion: str, limit: int | None = None
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Lift the same random views with all of them.

    Returns:
        Poses [n, 17, 3] of each, the views [n, 17, 2] and the truth [n, 17, 3]. All see the same
        poses: those in the middle of the largest window.
    """
    window = max(lifter.window for lifter in lifters)
    windows = _windows(motion, window, limit)
    batch = windows.batch(list(range(len(windows))))
    middle = window_reach(window)[0]
    found = []
    for lifter in progress(lifters, title="lifting", unit="network"):
        before, after = window_reach(lifter.window)
        part = batch["view"][:, middle - before : middle + after + 1]
        found.append(lifter(normalise(part)))
    return (
        found,
        normalise(batch["view"][:, middle : middle + 1])[:, 0].numpy(),
        (batch["pose"][:, middle].numpy()),
    )


def table(lifters: list[Lifter], errors: list[Errors]) -> str:
    """Accuracy, size and speed, one line each."""
    width = max(len(lifter.name) for lifter in lifters)
    head = f"{'':<{width}}   MPJPE  P-MPJPE  parameters        MAC   poses/s"
    lines = [f"{errors[0].poses} poses, errors in mm (16 joints relative to the pelvis)", head]
    for lifter, error in zip(lifters, errors, strict=True):
        lines.append(
            f"{lifter.name:<{width}}  {error.mpjpe:6.1f}  {error.aligned:7.1f}  "
            f"{lifter.parameters:10,}  {lifter.macs:9,}  {lifter.speed():8,.0f}"
        )
    return "\n".join(lines)


def joint_table(lifters: list[Lifter], errors: list[Errors]) -> str:
    """MPJPE of every joint, networks side by side."""
    names = [f"({n})" for n in range(1, len(lifters) + 1)]
    lines = [f"  {key} {lifter.name}" for key, lifter in zip(names, lifters, strict=True)]
    lines.append(f"{'mm':<12}" + "".join(f"{key:>8}" for key in names))
    for joint in JOINTS[1:]:
        values = "".join(f"{error.per_joint[joint]:8.1f}" for error in errors)
        lines.append(f"{joint:<12}{values}")
    return "\n".join(lines)


def compare(arguments: list[str]) -> int:
    """As :func:`main`, with every joint of every network side by side."""
    return main(arguments, "compare")


def main(arguments: list[str], prog: str = "eval") -> int:
    """``CHECKPOINT ... [--motion FILE] [--pictures DIR]``: tables, ``compare`` with joints."""
    options = _parser(prog).parse_args(arguments)
    if options.limit is not None and options.limit < 1:
        raise UserError(f"--limit is {options.limit}; at least one pose is needed")
    lifters = [load(path) for path in options.checkpoints]
    if options.train != "none":
        lifters += baselines(options.train)
    found, views, truth = lift_all(lifters, options.motion, options.limit)
    errors = [measure(poses, truth) for poses in found]
    print(table(lifters, errors))
    if prog == "compare":
        print()
        print(joint_table(lifters, errors))
    if options.pictures:
        names = [lifter.name for lifter in lifters]
        say(f"pictures: {compare_pictures(options.pictures, names, found, views, truth)}")
    return 0
