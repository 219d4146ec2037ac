"""Training on whole pictures: what the network sees is what deployment shows it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ai8x_models.preprocess import prepare
from distill.people.crops import Augmentation, CropDataset
from distill.people.person_sets import PeopleSet
from distill.people.synthetic import write_set


@pytest.fixture(scope="module")
def annotations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("set") / "people", 3, seed=5, size=160, height=120)


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_a_whole_picture_lies_as_in_deployment(
    annotations: Path, in_memory: bool, flip: float
) -> None:
    people = PeopleSet(annotations, annotations.parent, in_memory=in_memory)
    items = CropDataset(people, 64, Augmentation(whole=1.0, flip=flip))
    for index, person in enumerate(people.people):
        item = items[index]
        prepared = prepare(people.pictures[person.picture].pixels, 64)
        image = item["image"].numpy().transpose(1, 2, 0).astype(float)
        expected = prepared.pixels[:, ::-1] if flip else prepared.pixels
        assert np.abs(image - expected).mean() < 6  # averaged in deployment, sampled here
        assert (expected[48:] == 128).all()
        assert (image[49:] == 128).all()
        marked = person.keypoints[:, 2] > 0
        if not flip:
            wanted = (person.keypoints[marked, :2] + 0.5) * 0.4 - 0.5
            found = item["target_person"].numpy()[marked, :2]
            np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_a_share_of_them(annotations: Path) -> None:
    people = PeopleSet(annotations, annotations.parent)
    crops = CropDataset(people, 64, Augmentation(whole=0.5), seed=1)
    whole = CropDataset(people, 64, Augmentation(whole=1.0))
    same = 0
    for epoch in range(40):
        crops.epoch = epoch
        same += bool((crops[0]["image"] == whole[0]["image"]).all())
    assert 10 < same < 30
