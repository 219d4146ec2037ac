"""Broken data sets: refused with a sentence, or left out and counted."""

from __future__ import annotations

import copy
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from common.errors import UserError
from distill.people.annotations import Skipped
from distill.people.crops import Augmentation, CropDataset
from distill.people.person_sets import FilePicture, PeopleSet
from distill.people.synthetic import write_set


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("set") / "people", 4, seed=3, size=96)


def open_changed(sound: Path, out: Path, change) -> PeopleSet:
    """Read the set after ``change`` has been at its annotations."""
    data: dict[str, Any] = json.loads(sound.read_text())
    data = change(data) or data
    path = out / "changed.json"
    path.write_text(json.dumps(data))
    return PeopleSet(path, sound.parent)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.update(categories=[]), "'categories' is empty"),
        (lambda d: d.update(annotations=[]), "'annotations' is empty"),
        (lambda d: d.pop("images"), "no list 'images'"),
        (lambda d: [1, 2], "no list 'images'"),
        (lambda d: d["categories"][0].update(keypoints=[]), "no category lists keypoints"),
        (lambda d: d["categories"][0].update(keypoints=["a"] * 5), "5 points per person"),
        (lambda d: [i.update(file_name=f"no{i['id']}.jpg") for i in d["images"]] and None,
         r"no picture with a labelled person.*4 pictures missing.*no\d+\.jpg"),
    ],
)  # fmt: skip
def test_useless_files_are_refused(sound: Path, tmp_path: Path, change, said: str) -> None:
    with pytest.raises(UserError, match=said):
        open_changed(sound, tmp_path, change)


def test_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(UserError, match="is not JSON"):
        PeopleSet(tmp_path / "a.json", tmp_path)
    with pytest.raises(UserError, match=r"cannot read annotations .*b\.json"):
        PeopleSet(tmp_path / "b.json", tmp_path)


def damage(data: dict[str, Any]) -> None:
    """One of each kind of damage that leaves the rest usable."""
    images, annotations = data["images"], data["annotations"]
    images[1]["width"] += 1
    images.append({"id": 900, "file_name": "gone.jpg"})
    images.append({"file_name": "no id"})
    first = annotations[0]
    annotations.append({**copy.deepcopy(first), "id": 901, "keypoints": [1, 2]})
    annotations.append({**copy.deepcopy(first), "id": 902, "image_id": 12345})
    annotations.append({**copy.deepcopy(first), "id": 903, "category_id": 7})
    first["keypoints"][0:3] = [500.0, 10.0, 2]


def test_the_rest_of_a_damaged_set_is_used(
    sound: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = PeopleSet(sound, sound.parent)
    assert not whole.skipped
    with caplog.at_level(logging.WARNING):
        people = open_changed(sound, tmp_path, damage)
    assert len(people.pictures) == len(whole.pictures) - 1
    assert {reason: count for reason, (count, _) in people.skipped.reasons.items()} == {
        "pictures of another size than annotated": 1,
        "pictures missing or unreadable": 1,
        "picture entries without id, file name or size": 1,
        "people with broken keypoints": 1,
        "annotations of no listed picture": 1,
        "annotations of other categories": 1,
        "points outside the picture": 1,
    }
    assert "left out" in caplog.text
    assert "gone.jpg" in caplog.text
    assert people.pictures[0].people[0, 0].tolist() == [0, 0, 0]
    # The person without usable keypoints hides nothing and is not background either.
    assert len(people.pictures[0].ignore) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["images"][0].update(width="96"),
        lambda d: d["images"][0].update(height=None),
        lambda d: d["images"][0].update(width=10**400),
        lambda d: d["annotations"][0].update(image_id=[1]),
        lambda d: d["annotations"][0]["keypoints"].__setitem__(0, 10**400),
        lambda d: d["categories"].insert(0, {"keypoints": 17}),
        lambda d: d["categories"].insert(0, {"keypoints": [1, 2]}),
    ],
)
def test_values_that_are_none_are_left_out(sound: Path, tmp_path: Path, change) -> None:
    people = open_changed(sound, tmp_path, lambda d: change(d) and None)
    assert len(people.pictures) >= 3


def test_truncated_and_foreign_pictures_are_counted(sound: Path, tmp_path: Path) -> None:
    for index, path in enumerate(sorted(sound.parent.glob("*.jpg"))):
        raw = path.read_bytes()
        content = {0: raw[: len(raw) // 2], 1: b"", 2: b"no picture"}.get(index, raw)
        (tmp_path / path.name).write_bytes(content)
    people = PeopleSet(sound, tmp_path)
    assert people.skipped.reasons == {"pictures broken": (3, "000000.jpg")}
    assert len(people.pictures) == 1


def test_pictures_left_in_their_files_give_the_same_crops(sound: Path) -> None:
    kept, left = (
        CropDataset(PeopleSet(sound, sound.parent, in_memory=memory), 64, Augmentation())
        for memory in (True, False)
    )
    assert len(left.set.pictures) == 4
    assert isinstance(left.set.pictures[0], FilePicture)
    assert len(kept) == len(left)
    for index in range(len(kept)):
        for key, value in kept[index].items():
            assert torch.equal(value, left[index][key]), key


@pytest.mark.parametrize("size", [32, 96])
def test_random_crops_of_files_are_hardly_different(sound: Path, size: int) -> None:
    """Small crops are decoded at half or a quarter of the size, which shifts nothing."""
    augment = Augmentation(scale=(1.1, 1.6), rotate=30, flip=0.5, colour=0.3, cutout=0.5)
    kept, left = (
        CropDataset(
            PeopleSet(sound, sound.parent, in_memory=memory), size, augment, 1, teacher_size=40
        )
        for memory in (True, False)
    )
    reduced = 0
    for index in range(len(kept)):
        ours, theirs = left[index], kept[index]
        for key, value in theirs.items():
            if "image" in key:
                image = value.float()
                difference = (ours[key] - image).abs().mean()
                reduced += bool(difference)
                for shift, axis in ((1, 1), (-1, 1), (1, 2), (-1, 2)):
                    moved = (image.roll(shift, axis) - image).abs().mean()
                    assert difference < 0.5 * moved
            else:
                assert torch.equal(value, ours[key]), key
    assert bool(reduced) == (size == 32)


def test_a_picture_that_breaks_later_teaches_nothing(
    sound: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = sorted(sound.parent.glob("*.jpg"))
    for index, path in enumerate(files):
        raw = bytearray(path.read_bytes())
        if index == 0:
            raw[2:-2] = bytes(len(raw) - 4)  # has its start and its end, and nothing between
        (tmp_path / path.name).write_bytes(raw[:100] if index == 1 else raw)
    (tmp_path / files[2].name).unlink()
    people = PeopleSet(sound, tmp_path, in_memory=False)
    assert people.skipped.reasons == {"pictures missing or broken": (2, files[1].name)}
    items = CropDataset(people, 64, Augmentation())
    first = [p.picture for p in people.people].index(0)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            item = items[first]
    assert item["channels"].sum() == 0
    assert (item["target_person"] == 0).all()
    assert caplog.text.count("cannot be decoded") == 1
    with pytest.raises(UserError, match="in memory only"):
        people.pictures[0].pixels = np.zeros((2, 2, 3), np.uint8)


def test_counts_read_as_a_sentence() -> None:
    skipped = Skipped()
    skipped.add("pictures missing", "a.jpg")
    skipped.add("pictures missing", "b.jpg", 2)
    assert str(skipped) == "3 pictures missing (first: a.jpg)"
