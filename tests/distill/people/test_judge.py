"""Found people against labelled ones: right, wrong, open; sizes; empty pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from distill.people.annotations import KeypointFile
from distill.people.judge import OPEN, RIGHT, WRONG, judge, score, similarities, truth_of
from tests.helpers.judged import found, labelled, truth


def test_the_same_person_counts_once() -> None:
    one = labelled(10, 10, 150)
    verdicts = judge([found(one, 0.9), found(one, 0.8, 2)], truth(one))
    assert verdicts.found.tolist() == [RIGHT, WRONG]
    assert verdicts.seen.tolist() == [True]


def test_similarity_is_one_for_the_same_points_and_falls_with_distance() -> None:
    one = labelled(10, 10, 150)
    oks = similarities([found(one, 1), found(one, 1, 10), found(one, 1, 80)], truth(one))[:, 0]
    assert oks[0] == pytest.approx(1, abs=1e-6)
    assert 0.3 < oks[1] < 0.95
    assert oks[2] < 0.1


def test_somebody_in_an_open_region_counts_neither_way() -> None:
    stranger = found(labelled(100, 0, 60), 0.5)
    where = truth(regions=[[95, 0, 40, 70]])
    assert judge([stranger], where).found.tolist() == [OPEN]
    assert judge([stranger], truth()).found.tolist() == [WRONG]
    assert not where.empty
    assert np.isnan(score([[stranger]], [where]).precision)


def test_a_score_counts_people_by_height_and_empty_pictures() -> None:
    tall, small = labelled(0, 0, 160), labelled(100, 100, 30)
    answers = [[found(tall, 0.9), found(labelled(0, 150, 40), 0.3)], [found(tall, 0.4)], []]
    result = score(answers, [truth(tall, small), truth(), truth()])
    assert result.precision == pytest.approx(1 / 3)
    assert result.recall == 0.5
    assert result.by_size["half of the picture or more"] == 1
    assert result.by_size["less"] == 0
    assert np.isnan(result.by_size["a quarter to a half"])
    assert (result.false_pictures, result.empty) == (0.5, 2)
    assert result.f1 == pytest.approx(0.4)


def test_a_file_tells_people_regions_and_empty_pictures(tmp_path: Path) -> None:
    flat = labelled(10, 10, 100).reshape(-1).tolist()
    common = {"image_id": 1, "category_id": 1, "area": 2500.0}
    people = [
        {"id": 1, **common, "keypoints": flat, "num_keypoints": 17, "bbox": [10, 10, 50, 100]},
        {"id": 2, **common, "bbox": [60, 10, 20, 20], "iscrowd": 1, "num_keypoints": 0},
    ]
    names = [f"p{n}" for n in range(17)]
    content = {
        "images": [{"id": n, "file_name": f"{n}.png", "width": 100, "height": 200} for n in (1, 2)],
        "annotations": people,
        "categories": [{"id": 1, "name": "person", "keypoints": names}],
    }
    path = tmp_path / "set.json"
    path.write_text(json.dumps(content))
    keypoints = KeypointFile(path)
    first, second = (truth_of(keypoints, image, (100, 200)) for image in keypoints.images)
    assert first.points.shape == (1, 17, 3)
    assert first.heights.tolist() == [0.5]
    assert first.regions.tolist() == [[60, 10, 20, 20]]
    assert second.empty
    assert not first.empty
