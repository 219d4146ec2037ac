"""Procedural people through the same crops and targets as photographs."""

import numpy as np
import pytest

from common.errors import UserError
from distill.people.crops import Augmentation, CropDataset, collate
from distill.people.person_sets import SyntheticSet


def test_crops_and_targets_come_out_as_for_photographs() -> None:
    people = SyntheticSet(4, seed=1)
    assert len(people.pictures) == 4
    crops = CropDataset(people, 128, Augmentation(rotate=30, flip=0.5))
    batch = collate([crops[index] for index in range(len(crops))])
    assert batch["image"].shape == (len(people.people), 3, 128, 128)
    assert batch["target"].shape == (len(people.people), 57, 16, 16)
    assert bool((batch["channels"] == 1).all())
    # The person that a crop is about fills it: most of its points have a peak.
    peaks = batch["target"][:, :18].amax(dim=(2, 3)) > 0.5
    assert bool((peaks.sum(dim=1) >= 4).all())


def test_seeds_differ_and_repeat() -> None:
    first, again, other = SyntheticSet(2, 3), SyntheticSet(2, 3), SyntheticSet(2, 4)
    assert np.array_equal(first.pictures[1].pixels, again.pictures[1].pixels)
    assert not np.array_equal(first.pictures[1].pixels, other.pictures[1].pixels)
    # Neighbouring seeds share no picture.
    assert not np.array_equal(first.pictures[1].pixels, other.pictures[0].pixels)


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(UserError, match="synthetic:0"):
        SyntheticSet(0, 0)
