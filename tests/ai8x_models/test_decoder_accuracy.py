"""The integer decoder against the floating-point reference: positions and average precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ai8x_models.codec import encode
from ai8x_models.decode import Person, decode
from ai8x_models.decode_fixed import decode_fixed
from distill.people.metrics import detections, oks_ap
from distill.people.synthetic import coco_annotations, make_scene
from tests.helpers.decoder_cases import crowd, quantised

Maps = tuple[np.ndarray, np.ndarray]


def noisy(keypoints: np.ndarray, noise: float, rng: np.random.Generator) -> Maps:
    heat, pafs = encode(keypoints)
    return heat + rng.normal(0, noise, heat.shape), pafs + rng.normal(0, noise, pafs.shape)


def both(maps: Maps, unit: int, wide: bool) -> tuple[list[Person], list[Person]]:
    """People by the reference and by the integer decoder, from the same integers."""
    heat, pafs = (quantised(m, unit, wide) for m in maps)
    reference = decode(heat / 2.0**unit, pafs / 2.0**unit)
    return reference, [p.to_person() for p in decode_fixed(heat, pafs, unit, unit)]


def differing_points(want: Person, found: list[Person]) -> tuple[int, int]:
    """Points of a person, and how many of them its counterpart lacks or has elsewhere."""
    # Which of them it is, by position; equal scores may change places in the list.
    gaps = [np.abs(p.keypoints[:, :2] - want.keypoints[:, :2]).max(axis=1) for p in found]
    index = int(np.argmin([np.count_nonzero(gap >= 0.25) for gap in gaps]))
    got = found[index]
    same = (gaps[index] < 0.25) & ((got.keypoints[:, 2] > 0) == (want.keypoints[:, 2] > 0))
    if same.all():
        assert np.abs(got.keypoints[:, 2] - want.keypoints[:, 2]).max() < 1e-3
        assert abs(got.score - want.score) < 5e-3
    return np.count_nonzero(want.keypoints[:, 2]), np.count_nonzero(~same)


@pytest.mark.parametrize(("unit", "wide"), [(14, True), (11, True), (7, False)])
@pytest.mark.parametrize("noise", [0, 0.03])
def test_positions_and_scores_agree(unit: int, wide: bool, noise: float) -> None:
    rng = np.random.default_rng(17)
    points = differing = 0
    for _ in range(25):
        people = crowd(rng, int(rng.integers(1, 6)))
        reference, fixed = both(noisy(people, noise, rng), unit, wide)
        assert len(fixed) == len(reference)
        counts = [differing_points(want, fixed) for want in reference]
        points += sum(count for count, _ in counts)
        differing += sum(count for _, count in counts)
    assert points > 600
    # With noise two limbs may score the same to the last digit, and either may be taken.
    assert differing <= (0.01 * points if noise else 0)


def average_precision(scenes: int, noise: float, unit: int, wide: bool) -> tuple[float, float]:
    """AP of both decoders on the noisy maps of synthetic scenes."""
    rng = np.random.default_rng(23)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    results: tuple[list, list] = ([], [])
    for index in range(scenes):
        scene = make_scene(5000 + index, 128, 128)
        images.append({"id": index, "width": 128, "height": 128})
        annotations += coco_annotations(scene, index, 1 + 100 * index)
        reference, fixed = both(noisy(scene.keypoints, noise, rng), unit, wide)
        results[0].extend(detections(index, reference))
        results[1].extend(detections(index, fixed))
    category = {"id": 1, "name": "person", "keypoints": [f"k{i}" for i in range(17)]}
    truth = {"images": images, "annotations": annotations, "categories": [category]}
    return oks_ap(truth, results[0])["AP"], oks_ap(truth, results[1])["AP"]


@pytest.mark.parametrize(("noise", "unit", "wide"), [(0.05, 14, True), (0.03, 7, False)])
def test_average_precision_agrees(noise: float, unit: int, wide: bool) -> None:
    reference, fixed = average_precision(40, noise, unit, wide)
    assert reference > 0.7
    assert abs(fixed - reference) <= 0.005


@pytest.mark.long
@pytest.mark.parametrize("noise", [0, 0.02, 0.05, 0.1, 0.15])
@pytest.mark.parametrize(("unit", "wide"), [(14, True), (7, False)])
def test_average_precision_of_many_scenes(noise: float, unit: int, wide: bool) -> None:
    reference, fixed = average_precision(300, noise, unit, wide)
    assert fixed >= reference - 0.005
    if noise < 0.1:  # beyond, dropping the weakest peaks does good
        assert fixed <= reference + 0.005
