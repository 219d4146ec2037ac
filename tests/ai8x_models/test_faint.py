"""Faint points: what somebody reported lacks is taken from peaks too small to begin with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ai8x_models import faint_fixed
from ai8x_models.codec import encode
from ai8x_models.decode import decode
from ai8x_models.decode_fixed import FixedSettings, decode_fixed
from ai8x_models.skeleton import BODY, FLIP_KEYPOINTS, KEYPOINTS, NEAREST
from ai8x_models.thresholds import NOTHING_FAINT, DecodeSettings
from tests.helpers.decoder_cases import STANDING, Case, check, quantised

SETTINGS = DecodeSettings(peak=0.3, faint=0.15)
ANKLE, KNEE = KEYPOINTS.index("r_ankle"), KEYPOINTS.index("r_knee")
UNIT, STRIDE = 14, 8

Maps = tuple[np.ndarray, np.ndarray]


def figure(x: float, y: float = 10, height: float = 100) -> np.ndarray:
    """A standing figure, all points seen."""
    points = np.ones((18, 3), np.float32)
    points[:, :2] = STANDING * (0.5 * height, height) + (x, y)
    return points


def faded(people: list[np.ndarray], keypoint: int, value: float) -> Maps:
    """Maps in which one kind of point is so faint that no limb leads there."""
    heat, pafs = encode(np.stack(people), 128, STRIDE)
    heat[keypoint] *= value / heat[keypoint].max()
    pafs[4:6] = 0  # r_knee - r_ankle
    return heat, pafs


def found(maps: Maps, settings: DecodeSettings = SETTINGS) -> list[np.ndarray]:
    """Points of the people that the reference, the twin and the C decoder find alike."""
    heat, pafs = (quantised(m, UNIT, wide=True) for m in maps)
    fixed = FixedSettings.of(settings, STRIDE)
    assert check([Case(heat, pafs, True, UNIT, UNIT, fixed)]) > 0
    twin = [p.to_person().keypoints for p in decode_fixed(heat, pafs, UNIT, UNIT, fixed)]
    reference = decode(heat / 2.0**UNIT, pafs / 2.0**UNIT, STRIDE, settings)
    for one, other in zip(twin, reference, strict=True):
        assert ((one[:, 2] > 0) == (other.keypoints[:, 2] > 0)).all()
        assert np.abs(one - other.keypoints).max() < 0.25
    return twin


def test_a_faint_point_is_found_where_it_is_expected() -> None:
    person = figure(40)
    (points,) = found(faded([person], ANKLE, 0.2))
    assert (points[:, 2] > 0).all()
    assert np.abs(points[ANKLE, :2] - person[ANKLE, :2]).max() < 1
    assert points[ANKLE, 2] == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize(
    "settings",
    [
        replace(SETTINGS, faint=0.25),
        replace(SETTINGS, faint=0.3),
        replace(SETTINGS, faint=NOTHING_FAINT),
    ],
)
def test_what_is_fainter_or_not_asked_for_stays_missing(settings: DecodeSettings) -> None:
    (points,) = found(faded([figure(40)], ANKLE, 0.2), settings)
    assert not points[ANKLE].any()
    assert (np.delete(points[:, 2], ANKLE) > 0).all()


def test_the_score_and_whether_somebody_is_there_stay_as_they_are() -> None:
    heat, pafs = faded([figure(40)], ANKLE, 0.2)
    scores = [
        [p.score for p in decode(heat, pafs, STRIDE, settings)]
        for settings in (SETTINGS, replace(SETTINGS, faint=NOTHING_FAINT))
    ]
    assert scores[0] == scores[1]
    least = replace(SETTINGS, min_keypoints=18)
    assert decode(heat, pafs, STRIDE, least) == []


def test_of_half_a_body_and_less_nobody_is_completed() -> None:
    """Nine points are enough, eight are not."""
    for count in (9, 8):
        person = figure(40)
        heat, pafs = faded([person], ANKLE, 0.2)
        heat[[k for k in range(18) if k not in (0, 1, 2, 3, 4, 5, 8, 9, 11, ANKLE)]] = 0
        heat[0] *= count == 9
        (points,) = found((heat, pafs))
        assert (points[:, 2] > 0).sum() == (10 if count == 9 else 8)


def test_what_lies_far_away_is_not_taken() -> None:
    """A small person; the faint peak is further from the ankle than a torso is long."""
    person = figure(10, height=40)
    heat, pafs = faded([person], ANKLE, 0.2)
    away = encode(np.stack([person + (70, 40, 0)]), 128, STRIDE)[0]
    heat[ANKLE] = 0.2 * away[ANKLE] / away[ANKLE].max()
    (points,) = found((heat, pafs))
    assert not points[ANKLE].any()


def test_of_two_people_each_takes_their_own() -> None:
    people = [figure(10), figure(60)]
    for points in found(faded(people, ANKLE, 0.2)):
        near = min(np.abs(points[ANKLE, :2] - p[ANKLE, :2]).max() for p in people)
        assert near < 1
        assert abs(points[ANKLE, 0] - points[KNEE, 0]) < 4


def test_nobody_takes_the_point_of_somebody_else_who_is_reported() -> None:
    """One ankle for two people who stand nearly in the same place: one of them has it."""
    people = [figure(30), figure(50)]
    heat, pafs = faded(people, ANKLE, 0.2)
    heat[ANKLE] = 0.2 * encode(np.stack(people[:1]), 128, STRIDE)[0][ANKLE]
    both = found((heat, pafs))
    assert len(both) == 2
    assert sum(points[ANKLE, 2] > 0 for points in both) == 1


def test_a_bound_on_the_cells_leaves_points_missing_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight people who lack much, whose searches take more than is looked at."""
    rng = np.random.default_rng(5)
    people = [figure(4 + 15 * i, 2 + rng.uniform(0, 4), 115) for i in range(8)]
    heat, pafs = encode(np.stack(people), 128, 4)
    heat[[3, 4, 6, 7, 9, 10, 12, 13]] *= 0.2  # elbows, wrists, knees, ankles
    settings = FixedSettings.of(replace(SETTINGS, min_score=0.0, min_keypoints=2), 4)
    case = Case(*(quantised(m, UNIT, True) for m in (heat, pafs)), True, UNIT, UNIT, settings)
    assert check([case]) > 4

    def missing() -> int:
        return sum(int((person.points[:, 2] == 0).sum()) for person in case.expected())

    bounded = missing()
    monkeypatch.setattr(faint_fixed, "MAX_CELLS", 1 << 20)
    assert missing() < bounded


def test_the_mean_body_is_the_same_on_both_sides() -> None:
    body = np.array(BODY)
    assert (body[list(FLIP_KEYPOINTS)] == body * (-1, 1)).all()
    for keypoint, nearest in enumerate(NEAREST):
        assert keypoint not in nearest
        assert len(set(nearest)) == len(nearest) == 6
