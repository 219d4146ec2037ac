"""The skeleton's tables, pinned by hand where a slip would train a wrong network."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ai8x_models import skeleton as sk

ROOT = Path(__file__).resolve().parents[2]


def test_tables_have_the_sizes_of_the_network() -> None:
    assert (sk.NUM_KEYPOINTS, sk.NUM_HEATMAPS, sk.NUM_LIMBS, sk.NUM_PAFS) == (18, 19, 19, 38)


def test_flip_exchanges_sides_only() -> None:
    assert sk.FLIP_KEYPOINTS == (0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16)
    for table in (sk.FLIP_KEYPOINTS, sk.FLIP_HEATMAPS, sk.FLIP_LIMBS, sk.FLIP_PAFS):
        assert [table[table[i]] for i in range(len(table))] == list(range(len(table)))


def test_limbs_span_the_body_as_a_tree_and_two_loops() -> None:
    assert sorted(sk.GROUP_ORDER) == list(range(sk.NUM_LIMBS))
    reached = {1}
    for limb in sk.GROUP_ORDER[:17]:
        start, end = sk.LIMBS[limb]
        assert start in reached
        assert end not in reached
        reached.add(end)
    assert reached == set(range(18))
    assert set(sk.GROUP_ORDER[17:]) == set(sk.LOOP_LIMBS)


def test_coco_points_land_by_name() -> None:
    # COCO 2017 order of names, from the dataset's own "keypoints" list.
    names = (
        "nose l_eye r_eye l_ear r_ear l_shoulder r_shoulder l_elbow r_elbow "
        "l_wrist r_wrist l_hip r_hip l_knee r_knee l_ankle r_ankle"
    ).split()
    points = np.array([[10 * i, 10 * i + 1, 2] for i in range(17)], dtype=np.float32)
    out = sk.from_coco17(points)
    for index, name in enumerate(names):
        assert out[sk.KEYPOINTS.index(name)].tolist() == points[index].tolist()
    assert out[sk.KEYPOINTS.index("neck")].tolist() == [55, 56, 2]


def test_coco_neck_needs_both_shoulders() -> None:
    points = np.ones((17, 3), dtype=np.float32)
    points[5] = 7, 7, 0
    out = sk.from_coco17(points)
    assert out[sk.KEYPOINTS.index("neck")].tolist() == [0, 0, 0]
    assert out[sk.KEYPOINTS.index("l_shoulder")].tolist() == [0, 0, 0]


def test_lsp_points_land_by_name() -> None:
    names = (
        "r_ankle r_knee r_hip l_hip l_knee l_ankle r_wrist r_elbow r_shoulder "
        "l_shoulder l_elbow l_wrist neck"
    ).split()
    points = np.array([[i, 2 * i, 2] for i in range(14)], dtype=np.float32)
    out = sk.from_lsp14(points)
    for index, name in enumerate(names):
        assert out[sk.KEYPOINTS.index(name)].tolist() == points[index].tolist()
    missing = {sk.KEYPOINTS[i] for i in np.flatnonzero(~sk.LSP14_LABELLED)}
    assert missing == {"nose", "r_eye", "l_eye", "r_ear", "l_ear"}
    assert (out[~sk.LSP14_LABELLED] == 0).all()


def test_masks_leave_out_what_a_set_cannot_label() -> None:
    heat, paf = sk.loss_masks(sk.LSP14_LABELLED)
    assert heat.tolist() == [0] + [1] * 13 + [0] * 4 + [0]
    kept = {sk.LIMBS[i] for i in range(19) if paf[2 * i] and paf[2 * i + 1]}
    assert kept == {limb for limb in sk.LIMBS if not set(limb) & {0, 14, 15, 16, 17}}
    heat, paf = sk.loss_masks(sk.COCO17_LABELLED)
    assert heat.all()
    assert paf.all()


def test_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(14, 3\).*17"):
        sk.from_coco17(np.zeros((14, 3)))


@pytest.mark.parametrize("name", ["skeleton", "preprocess", "codec"])
def test_what_the_viewer_reads_loads_neither_torch_nor_the_compiler(name: str) -> None:
    code = (
        f"import sys, ai8x_models.{name}\n"
        "sys.exit(bool({'torch', 'synthesize'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_bones_of_a_3d_pose_lead_from_the_pelvis_to_its_ends() -> None:
    names = [(sk.JOINTS_3D[parent], sk.JOINTS_3D[joint]) for parent, joint in sk.BONES_3D]
    sides = [
        *((f"{s}_hip", f"{s}_knee") for s in "rl"), *((f"{s}_knee", f"{s}_ankle") for s in "rl"),
        *((f"{s}_shoulder", f"{s}_elbow") for s in "rl"),
        *((f"{s}_elbow", f"{s}_wrist") for s in "rl"),
    ]  # fmt: skip
    middle = [
        ("pelvis", "r_hip"), ("pelvis", "l_hip"), ("pelvis", "spine"), ("spine", "thorax"),
        ("thorax", "neck"), ("neck", "head_top"), ("thorax", "l_shoulder"),
        ("thorax", "r_shoulder"),
    ]  # fmt: skip
    assert sorted(names) == sorted(sides + middle)
