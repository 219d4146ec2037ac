"""PCK against cases counted by hand; average precision on a set that is its own answer."""

import numpy as np
import pytest

from ai8x_models.decode import Person
from ai8x_models.skeleton import KEYPOINTS, from_coco17, from_lsp14
from common.errors import UserError
from distill.people.metrics import detections, oks_ap, pck


def people(count: int, seed: int = 0) -> np.ndarray:
    """Random labelled people whose torso is 50 pixels long."""
    rng = np.random.default_rng(seed)
    points = np.concatenate([rng.uniform(0, 128, (count, 18, 2)), np.full((count, 18, 1), 2)], 2)
    points[:, KEYPOINTS.index("l_shoulder"), :2] = 70, 20
    points[:, KEYPOINTS.index("r_hip"), :2] = 40, 60
    return points


def test_counting_by_hand() -> None:
    truth = people(2)
    truth[0, 0, 2] = 0  # an unlabelled nose is not counted
    guess = truth[..., :2].copy()
    guess[0, 0] += 100
    guess[0, 4] += (9.9, 0)  # just inside 0.2 * 50
    guess[1, 4] += (10.1, 0)  # just outside
    guess[1, 9] = np.nan  # not found
    result = pck(guess, truth)
    assert (result.points, result.people, result.skipped) == (35, 2, 0)
    assert result.overall == pytest.approx(33 / 35)
    assert result.per_joint["r_wrist"] == 0.5
    assert result.per_joint["r_knee"] == 0.5
    assert result.per_joint["nose"] == 1.0


def test_people_without_a_torso_are_said_to_be_skipped() -> None:
    truth = people(3)
    truth[1, KEYPOINTS.index("r_hip"), 2] = 0
    result = pck(truth, truth)
    assert (result.people, result.skipped, result.overall) == (2, 1, 1.0)
    assert np.isnan(pck(truth[1:2], truth[1:2]).overall)


def test_shapes_must_match() -> None:
    with pytest.raises(ValueError, match="do not match"):
        pck(np.zeros((2, 18, 2)), np.zeros((3, 18, 3)))


def coco_set(joints: int) -> dict:
    """Three pictures with two people each, in COCO format."""
    rng = np.random.default_rng(joints)
    annotations = []
    for index in range(6):
        points = np.concatenate([rng.uniform(10, 190, (joints, 2)), np.full((joints, 1), 2)], 1)
        low, high = points[:, :2].min(0), points[:, :2].max(0)
        width, height = high - low
        annotations.append(
            {
                "id": index + 1, "image_id": index // 2, "category_id": 1, "iscrowd": 0,
                "keypoints": [float(v) for v in points.reshape(-1)], "num_keypoints": joints,
                "bbox": [*map(float, low), float(width), float(height)],
                "area": float(width * height / 2),
            }
        )  # fmt: skip
    category = {"id": 1, "name": "person", "keypoints": [f"k{i}" for i in range(joints)]}
    images = [{"id": index, "width": 200, "height": 200} for index in range(3)]
    return {"images": images, "annotations": annotations, "categories": [category]}


@pytest.mark.parametrize(("joints", "convert"), [(17, from_coco17), (14, from_lsp14)])
def test_the_truth_scores_one_and_a_shifted_one_less(joints: int, convert) -> None:
    truth = coco_set(joints)
    if joints == 14:  # the head top is not among the 18 points
        for annotation in truth["annotations"]:
            annotation["keypoints"][39:] = 0, 0, 0
            annotation["num_keypoints"] = 13
    found, shifted = [], []
    for annotation in truth["annotations"]:
        points = convert(np.reshape(annotation["keypoints"], (joints, 3)))
        found += detections(annotation["image_id"], [Person(points, 1.0)], joints)
        shifted += detections(annotation["image_id"], [Person(points + (12, 0, 0), 1.0)], joints)
    result = oks_ap(truth, found)
    assert result["AP"] == pytest.approx(1.0)
    assert result["AR"] == pytest.approx(1.0)
    assert 0 < oks_ap(truth, shifted)["AP"] < 0.9
    assert oks_ap(truth, found[:3])["AR"] == pytest.approx(0.5)
    assert oks_ap(truth, []) == dict.fromkeys(result, 0.0)


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(UserError, match="16 joints per person"):
        oks_ap(coco_set(16), [])
