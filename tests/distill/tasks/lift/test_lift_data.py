"""Lifting: readers of motion capture, what they refuse, virtual cameras, metrics, keypoints."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from common.errors import UserError
from distill.tasks.lift import keypoints, metrics
from distill.tasks.lift.cameras import normalise, project, random_cameras, to_camera
from distill.tasks.lift.data import Views, Windows, make_views, mirror
from distill.tasks.lift.motion import h36m, mocap
from distill.tasks.lift.motion.pickled_arrays import read_object
from distill.tasks.lift.skeleton import BONES, JOINTS, MIRROR, PARENTS, SYMMETRIC_BONES, hops
from tests.helpers import lift_motion


def test_the_skeleton_is_consistent() -> None:
    assert [JOINTS[MIRROR[j]] for j in (1, 6, 8, 13)] == ["l_hip", "r_ankle", "thorax", "r_wrist"]
    assert all(hops()[a, b] == 1 for a, b in BONES)
    assert hops()[JOINTS.index("l_wrist"), JOINTS.index("r_ankle")] == 8
    assert len(SYMMETRIC_BONES) == 6


def test_motion_is_read_in_runs(tmp_path: Path) -> None:
    motion = mocap.read_motion(lift_motion.write(tmp_path / "m.npz"))
    assert (len(motion), motion.names) == (40, ("a", "b"))
    assert motion.windows(1).tolist() == list(range(40))
    assert motion.windows(9).tolist() == [*range(4, 16), *range(24, 36)]
    assert mocap.window_indices(np.array([4]), 9).tolist() == [list(range(9))]
    assert len(mocap.join([motion, motion]).names) == 4
    with pytest.raises(UserError, match=r"at least 21 poses .* found at most 20"):
        motion.windows(21)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"poses": np.zeros((40, 16, 3), np.float32)},
            r"\[N, 17, 3\], found \[40, 16, 3\]",
        ),
        ({"poses": np.full((40, 17, 3), np.nan)}, r"40 of 40 poses \[40, 17, 3\] hold NaN"),
        ({"joint_names": np.array(JOINTS[::-1])}, "expected the joints pelvis"),
        ({"parents": None}, "the array 'parents' is missing"),
        ({"sequence": np.zeros(3, np.int32)}, r"found shape \(3,\)"),
        ({"names": np.array([{}], object)}, "is no archive of plain arrays"),
    ],
)
def test_bad_motion_is_one_sentence(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        mocap.read_motion(lift_motion.write(tmp_path / "m.npz", **changes))


def archive(path: Path, name: str, value: Any) -> Path:
    np.savez(path, **{name: np.array(value, dtype=object)})
    return path


def test_human36m_archives_are_read(tmp_path: Path) -> None:
    poses = lift_motion.poses(10).astype(np.float64)
    full = np.zeros((10, 32, 3))
    full[:, h36m.OF_32] = poses
    path = archive(
        tmp_path / "3d.npz", "positions_3d", {"S1": {"Walk": full}, "S5": {"Sit": poses}}
    )
    motion = h36m.read_3d(path, step=2)
    assert motion.names == ("S1 Walk", "S5 Sit")
    assert np.array_equal(motion.poses, np.concatenate([poses[::2]] * 2).astype(np.float32))
    assert h36m.read_3d(path, ("S5",), 5).sequence.tolist() == [0, 0]
    flat = poses[:, :, :2]
    path = archive(tmp_path / "2d.npz", "positions_2d", {"S1": {"Walk": [flat, 2 * flat]}})
    cameras = h36m.read_2d(path, step=1)["S1 Walk"]
    assert len(cameras) == 2
    assert np.array_equal(cameras[1], (2 * flat).astype(np.float32))


@pytest.mark.parametrize("protocol", [2, 4])
def test_pickles_of_every_protocol_are_read(tmp_path: Path, protocol: int) -> None:
    value = {"S1": {"a": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "n": np.float32(2)}}
    data = pickle.dumps(np.array(value, dtype=object), protocol=protocol)
    path = archive(tmp_path / "x.npz", "x", {})
    write_pickle(path, data)
    found = read_object(path, "x")["S1"]
    assert found["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["n"] == 2


def write_pickle(path: Path, data: bytes) -> None:
    """An archive whose object array is any pickle."""
    import zipfile

    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }"
    header += b" " * (64 - (len(header) + 11) % 64) + b"\n"
    with zipfile.ZipFile(path, "w") as archive_:
        start = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
        archive_.writestr("x.npy", start + header + data)


class Harmful:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


def test_code_in_an_archive_is_not_executed(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    path = tmp_path / "x.npz"
    write_pickle(path, pickle.dumps({"S1": Harmful(mark)}))
    with pytest.raises(UserError, match="is refused: it names"):
        read_object(path, "x")
    assert not mark.exists()
    for data in (b"", b"\x80\x04garbage", b"cos\nsystem\n."):
        write_pickle(path, data)
        with pytest.raises(UserError, match="is refused"):
            read_object(path, "x")


def test_bad_human36m_archives_are_one_sentence(tmp_path: Path) -> None:
    wrong = archive(tmp_path / "a.npz", "positions_3d", {"S1": {"Walk": np.zeros((4, 16, 3))}})
    with pytest.raises(UserError, match=r"S1 Walk: expected .* found \[4, 16, 3\]"):
        h36m.read_3d(wrong)
    with pytest.raises(UserError, match="it has no subject S9, only S1"):
        h36m.read_3d(wrong, ("S9",))
    with pytest.raises(UserError, match="'positions_2d' is missing"):
        h36m.read_2d(wrong)
    with pytest.raises(UserError, match="cannot be read"):
        h36m.read_3d(tmp_path / "none.npz")
    np.savez(tmp_path / "b.npz", positions_3d=np.zeros(3))
    with pytest.raises(UserError, match="expected an array of objects"):
        h36m.read_3d(tmp_path / "b.npz")


def test_cameras_look_at_the_pelvis_with_the_head_up() -> None:
    world = torch.from_numpy(lift_motion.poses(20))[:, None]
    rotation, distance = random_cameras(20, torch.Generator().manual_seed(0))
    identity = rotation @ rotation.transpose(1, 2)
    assert torch.allclose(identity, torch.eye(3).expand(20, 3, 3), atol=1e-5)
    assert torch.allclose(torch.linalg.det(rotation), torch.ones(20), atol=1e-5)
    pose = to_camera(world, rotation)
    assert not pose[:, :, 0].any()
    assert (pose[:, 0, JOINTS.index("head_top"), 1] < pose[:, 0, 3, 1]).all()  # y points down
    lengths = [torch.linalg.vector_norm(p[..., 3, :] - p[..., 2, :], dim=-1) for p in (world, pose)]
    assert torch.allclose(*lengths, atol=1e-5)
    view = normalise(project(pose, distance))
    assert torch.allclose(view.abs().amax(dim=(1, 2, 3)), torch.full((20,), 127 / 128))


def test_views_repeat_and_mirroring_keeps_the_skeleton(tmp_path: Path) -> None:
    motion = mocap.read_motion(lift_motion.write(tmp_path / "m.npz"))
    views = Views(flip=0.5, noise=0.01, lose=0.1, stretch=0.05, derived=0.5)
    windows = Windows(motion, 3, views, seed=1)
    one, same = windows.batch([0, 5]), windows.batch([0, 5])
    assert one["view"].shape == (2, 3, 17, 2)
    assert all(torch.equal(one[key], same[key]) for key in one)
    windows.epoch = 1
    assert not torch.equal(windows.batch([0, 5])["view"], one["view"])
    exact = make_views(windows.poses[:4, None], Views(), torch.Generator().manual_seed(0))
    assert torch.equal(exact["view"], exact["clean"])
    pose = exact["pose"]
    assert torch.equal(mirror(mirror(pose)), pose)
    assert torch.equal(mirror(pose)[..., JOINTS.index("l_knee"), 0], -pose[..., 2, 0])


def test_metrics_know_a_shift_a_turn_and_a_mirror() -> None:
    truth = lift_motion.poses(5).astype(np.float64)
    truth -= truth[:, :1]
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    assert metrics.measure(truth, truth).mpjpe == 0
    moved = 1.3 * truth @ turn + 0.2
    error = metrics.measure(moved, truth)
    assert error.mpjpe > 100
    assert error.aligned == pytest.approx(0, abs=1e-6)
    assert metrics.measure(truth * [1, 1, -1], truth).aligned > 20  # no reflections
    shifted = truth.copy()
    shifted[:, JOINTS.index("l_wrist"), 0] += 0.16
    error = metrics.measure(shifted, truth)
    assert error.mpjpe == pytest.approx(10)
    assert error.per_joint["l_wrist"] == pytest.approx(160)
    with pytest.raises(ValueError, match="do not match"):
        metrics.measure(truth[:, :16], truth[:, :16])


def person(**changes: Any) -> dict[str, Any]:
    points = np.random.default_rng(3).uniform(10, 90, (17, 2)).round(1)
    values = np.concatenate([points, np.full((17, 1), 2)], axis=1).reshape(-1).tolist()
    return {"id": 1, "image_id": 1, "keypoints": values, "score": 0.5, **changes}


def write_people(path: Path, *people: dict[str, Any], **more: Any) -> Path:
    path.write_text(json.dumps({"annotations": people, **more}))
    return path


def test_keypoint_files_become_normalised_views(tmp_path: Path) -> None:
    lost = person(id=2)
    lost["keypoints"][33:39] = [0] * 6  # both hips
    found, without = keypoints.read(write_people(tmp_path / "a.json", person(), lost))
    assert ([p.number for p in found], without) == ([1], 1)
    view = keypoints.normalise_known(found[0].joints)
    assert view.shape == (17, 2)
    assert np.abs(view).max() == pytest.approx(127 / 128)
    assert not view[0].any()
    joints = found[0].joints.copy()
    joints[13] = 0
    assert not keypoints.normalise_known(joints)[13].any()
    series = [person(image_id=n, id=n) for n in range(5)]
    people, _ = keypoints.read(write_people(tmp_path / "b.json", *series))
    assert keypoints.sequence(people, 3).shape == (5, 3, 17, 2)
    with pytest.raises(UserError, match=r"at least \[9, 17, 2\] .* found \[5, 17, 2\]"):
        keypoints.sequence(people, 9)


@pytest.mark.parametrize(
    ("changes", "more", "said"),
    [
        ({"keypoints": [1.0] * 42}, {}, r"expected 51 keypoint values .* found shape \[42\]"),
        ({"keypoints": [float("nan")] * 51}, {}, r"the keypoints \[17, 3\] hold NaN"),
        ({}, {"categories": [{"keypoints": ["nose", "neck"]}]}, "found 2: nose, neck"),
        ({}, {"categories": 7}, "is no COCO keypoint file"),
    ],
)
def test_bad_keypoint_files_are_one_sentence(
    tmp_path: Path, changes: dict[str, Any], more: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        keypoints.read(write_people(tmp_path / "a.json", person(**changes), **more))
    with pytest.raises(UserError, match="does not exist"):
        keypoints.files_of(tmp_path / "none.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no \.json file"):
        keypoints.files_of(tmp_path / "empty")


def test_parents_come_before_their_joints() -> None:
    assert all(parent < joint for joint, parent in enumerate(PARENTS))
