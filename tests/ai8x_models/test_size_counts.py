"""Of two people who are equally sure otherwise, the smaller one is less sure, in all decoders."""

from __future__ import annotations

import numpy as np
import pytest

from ai8x_models.codec import encode
from ai8x_models.decode import decode
from ai8x_models.decode_fixed import FixedSettings, decode_fixed
from ai8x_models.thresholds import SCORE_PRIOR, DecodeSettings, person_score
from tests.helpers.decoder_cases import STANDING, Case, check, quantised

UNIT, STRIDE, SIDE = 14, 8, 16
SETTINGS = DecodeSettings(min_score=0.0)


def scores(side: int, people: list[np.ndarray]) -> list[float]:
    """Scores by the twin, which is the C decoder's equal, and near the reference's."""
    heat, pafs = (
        quantised(maps, UNIT, wide=True) for maps in encode(np.stack(people), side * STRIDE, STRIDE)
    )
    fixed = FixedSettings.of(SETTINGS, STRIDE)
    assert check([Case(heat, pafs, True, UNIT, UNIT, fixed)]) > 0
    twin = [p.to_person().score for p in decode_fixed(heat, pafs, UNIT, UNIT, fixed)]
    reference = [p.score for p in decode(heat / 2.0**UNIT, pafs / 2.0**UNIT, STRIDE, SETTINGS)]
    np.testing.assert_allclose(twin, reference, atol=5e-3)
    return twin


def figure(height: float) -> np.ndarray:
    points = np.ones((18, 3), np.float32)
    points[:, :2] = STANDING * (0.5 * height, height) + (20, 10)
    return points


def test_a_score_falls_by_a_32nd_with_each_halving() -> None:
    whole = person_score(10, 18, 1.0)
    assert whole == pytest.approx(10 / (18 + SCORE_PRIOR))
    for halvings in (1, 2, 3):
        assert whole - person_score(10, 18, 0.5**halvings) == pytest.approx(halvings / 32)
    assert person_score(0.01, 3, 1 / 32) == 0


@pytest.mark.parametrize("height", [50, 70, 100])
def test_the_same_person_is_less_sure_in_a_larger_picture(height: float) -> None:
    (small,), (large,) = scores(32, [figure(height)]), scores(SIDE, [figure(height)])
    assert large - small == pytest.approx(1 / 32, abs=1e-3)


def test_the_size_is_that_of_the_points_found() -> None:
    whole = figure(100)
    half = whole.copy()
    half[8:14, 2] = 0  # no legs
    (a,), (b,) = scores(SIDE, [whole]), scores(SIDE, [half])
    longer = [np.ptp(p[p[:, 2] > 0, :2], axis=0).max() for p in (whole, half)]
    points = [18, 12]
    # In ideal maps a limb's affinity is about 1, and n points are held together by n - 1 of them.
    sums = [s - np.log2(size / 128) / 32 for s, size in zip((a, b), longer, strict=True)]
    limbs = [s * (n + SCORE_PRIOR) for s, n in zip(sums, points, strict=True)]
    assert limbs == pytest.approx([n - 1 for n in points], abs=0.05)
