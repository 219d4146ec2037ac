"""Random views of pictures: what is shown, what labels are believed, what a teacher adds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from ai8x_models import codec, skeleton
from common.errors import UserError
from distill.people.picture_maps import NoMaps, PictureMaps
from distill.people.pictures import (
    Pictures,
    ViewDataset,
    known_cells,
    labelled_cells,
    merge,
    with_labels,
)
from distill.people.recipe import PictureSet
from distill.people.views import Views, draw_view

COCO_L_WRIST = 9


def folder(path: Path, count: int = 3) -> Path:
    """Pictures, one person with all points in each but the last, which shows nobody."""
    images = []
    annotations = []
    rng = np.random.default_rng(1)
    for index in range(count):
        name = f"{index}.png"
        cv2.imwrite(str(path / name), rng.integers(0, 255, (90, 120, 3), np.uint8))
        images.append({"id": index, "file_name": name, "width": 120, "height": 90})
        if index < count - 1:
            points = np.column_stack([40 + 30 * rng.random(17), 20 + 50 * rng.random(17)])
            keypoints = [v for x, y in points for v in (float(x), float(y), 2)]
            box = [35.0, 15.0, 45.0, 60.0]
            annotations.append({"id": index + 1, "image_id": index, "category_id": 1,
                                "keypoints": keypoints, "bbox": box, "num_keypoints": 17,
                                "area": 1000.0, "iscrowd": 0})  # fmt: skip
    categories = [{"id": 1, "name": "person", "keypoints": [f"k{i}" for i in range(17)]}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (path / "labels.json").write_text(json.dumps(content))
    return path / "labels.json"


def views_of(pictures: Pictures, stride: int = 4) -> ViewDataset:
    return ViewDataset(pictures, 128, stride, Views(), colour=0.3, cutout=0.1, seed=3)


def test_a_view_is_the_same_for_the_same_seed_epoch_and_picture(tmp_path: Path) -> None:
    labels = folder(tmp_path)
    one, two = (views_of(Pictures(tmp_path, labels)) for _ in range(2))
    for index in range(3):
        np.testing.assert_array_equal(one[index]["image"], two[index]["image"])
    two.epoch = 1
    assert (one[0]["image"] != two[0]["image"]).any()


@pytest.mark.parametrize("stride", [4, 8])
def test_a_batch_has_targets_on_the_students_grid(tmp_path: Path, stride: int) -> None:
    dataset = views_of(Pictures(tmp_path, folder(tmp_path)), stride)
    batch = merge([dataset[i] for i in range(3)], stride, sigma=5.0)
    side = 128 // stride
    assert batch["target"].shape == batch["known"].shape == (3, 57, side, side)
    assert batch["target"][0, :18].max() > 0.5
    assert batch["target"][2, :18].max() == 0  # nobody there, and the labels say so
    assert batch["known"][2].all()
    assert "teacher" not in batch


def test_a_set_of_pictures_without_anybody_teaches_that_nobody_is_there(tmp_path: Path) -> None:
    dataset = views_of(Pictures(tmp_path, folder(tmp_path, count=1)))
    batch = merge([dataset[0]], 4, sigma=5.0)
    assert batch["known"].all()
    assert batch["target"][0, :18].max() == 0
    assert batch["target"][0, 18].min() == 1  # background everywhere


def test_pictures_without_labels_teach_nothing_by_themselves(tmp_path: Path) -> None:
    folder(tmp_path)
    dataset = views_of(Pictures(tmp_path, None))
    assert len(dataset) == 3
    assert not merge([dataset[0]], 4, 5.0)["known"].any()


def test_a_broken_picture_is_grey_and_named(tmp_path: Path) -> None:
    labels = folder(tmp_path)
    (tmp_path / "1.png").write_bytes(b"not a picture")
    pictures = Pictures(tmp_path, labels)
    dataset = ViewDataset(pictures, 128, 4, Views(), colour=0.0, cutout=0.0, seed=3)
    item = dataset[1]
    assert (item["image"] == 128).all()
    assert not item["known"].any()
    assert "1.png" in str(pictures.skipped)


def test_large_sets_stay_in_their_files(tmp_path: Path) -> None:
    labels = folder(tmp_path)
    kept, left = (views_of(Pictures(tmp_path, labels, 1.0, kept)) for kept in (True, False))
    for index in range(3):
        np.testing.assert_array_equal(kept[index]["image"], left[index]["image"])
    assert len(kept.pictures.files) == 3
    assert not left.pictures.files


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no pictures"):
        Pictures(tmp_path, None)


class TestKnownCells:
    def person(self) -> np.ndarray:
        points = np.zeros((1, 18, 3), np.float32)
        points[0, :, 0], points[0, :, 1], points[0, :, 2] = 60, np.linspace(40, 90, 18), 2
        return points

    nobody = np.zeros((0, 4, 2), np.float32)

    def test_everything_is_known_of_a_whole_person(self) -> None:
        assert known_cells(self.person(), self.nobody, 128, 4).all()

    def test_a_missing_point_is_unknown_near_its_person_only(self) -> None:
        people = self.person()
        wrist = skeleton.KEYPOINTS.index("l_wrist")
        people[0, wrist] = 0
        known = known_cells(people, self.nobody, 128, 4)
        assert not known[wrist, 15, 15]
        assert known[wrist, 2, 2]
        assert known[0].all()
        limb = skeleton.LIMBS.index((skeleton.KEYPOINTS.index("l_elbow"), wrist))
        assert not known[19 + 2 * limb : 21 + 2 * limb, 15, 15].any()
        assert not known[codec.BACKGROUND, 15, 15]

    def test_regions_to_ignore_are_unknown_in_every_channel(self) -> None:
        box = np.array([[[0, 0], [40, 0], [40, 40], [0, 40]]], np.float32)
        known = known_cells(self.person()[:0], box, 128, 4)
        assert not known[:, 3, 3].any()
        assert known[:, 20, 20].all()


def test_labels_mend_what_a_teacher_overlooks() -> None:
    drawn = torch.zeros(1, 57, 32, 32)
    drawn[:, codec.BACKGROUND] = 1
    drawn[:, 3, 10, 10], drawn[:, codec.BACKGROUND, 10, 10] = 1.0, 0.0
    drawn[:, 19 + 1, 10, 10] = -1.0  # a vertical limb: its x component is zero
    teacher = torch.zeros(1, 57, 32, 32)
    teacher[:, codec.BACKGROUND] = 0.9
    teacher[:, 5, 20, 20], teacher[:, 19, 10, 10] = 0.7, 0.5
    mended = with_labels(teacher, drawn, torch.zeros(1, 57, 32, 32, dtype=torch.bool))
    assert mended[0, 3, 10, 10] == 1
    assert mended[0, 5, 20, 20] == pytest.approx(0.7)
    assert mended[0, 19, 10, 10] == 0
    assert mended[0, 20, 10, 10] == -1
    assert mended[0, codec.BACKGROUND, 10, 10] == 0


def test_each_set_says_whether_its_labels_are_drawn_into_the_maps(tmp_path: Path) -> None:
    labels, silent = folder(tmp_path, count=2), np.zeros((57, 16, 16), np.float32)
    items = []
    for draw in (True, False):
        pictures = Pictures(tmp_path, labels, draw_labels=draw)
        names = [entry.name for entry in pictures.entries]
        pictures.maps = PictureMaps(tmp_path / f"{draw}.maps", names, 128)
        pictures.maps.fill(lambda pixels: silent, lambda name: None)
        items.append(views_of(pictures)[0])
    teacher = merge(items, 4, sigma=5.0)["teacher"]
    assert teacher[0, : codec.BACKGROUND].max() > 0.5
    assert teacher[1, : codec.BACKGROUND].abs().max() == 0


def test_a_teachers_other_opinions_do_not_count_where_labels_say_all() -> None:
    drawn, teacher = torch.zeros(1, 57, 32, 32), torch.zeros(1, 57, 32, 32)
    drawn[:, 3, 10, 10] = 1.0
    teacher[:, 3, 12, 12] = teacher[:, 3, 30, 30] = teacher[:, 4, 12, 12] = 0.9
    said = torch.zeros(1, 57, 32, 32, dtype=torch.bool)
    said[:, 3, 8:16, 8:16] = True
    mended = with_labels(teacher, drawn, said)
    assert mended[0, 3, 10, 10] == 1
    assert mended[0, 3, 12, 12] == 0  # a left hand taken for a right one
    assert mended[0, 3, 30, 30] == pytest.approx(0.9)  # somebody else
    assert mended[0, 4, 12, 12] == pytest.approx(0.9)  # a point that has no label


def test_labels_say_all_of_marked_points_around_their_person() -> None:
    people = TestKnownCells().person()
    wrist = skeleton.KEYPOINTS.index("l_wrist")
    people[0, wrist] = 0
    said = labelled_cells(people, 128, 4)
    assert said[0, 15, 15]
    assert not said[0, 2, 2]
    assert not said[wrist].any()
    assert not labelled_cells(people[:0], 128, 4).any()


@pytest.mark.parametrize("seed", range(30))
def test_views_show_the_person_at_the_wanted_size(seed: int) -> None:
    rng = np.random.default_rng(seed)
    people = np.zeros((1, 18, 3), np.float32)
    people[0, :, :2] = rng.uniform((40, 30), (100, 130), (18, 2))
    people[0, :, 2] = 2
    views = Views(whole=0.0, size=(0.5, 0.8), zoom=9, beside=0.0)
    matrix, _ = draw_view(views, (192, 144), people, 128, rng)
    placed = people[0, :, :2] @ matrix[:, :2].T + matrix[:, 2]
    extent = float((placed.max(0) - placed.min(0)).max()) / 128
    assert 0.3 < extent < 0.95  # turned and stretched a little
    assert np.abs(placed.mean(0) - 63.5).max() < 64


def test_some_views_look_past_everybody() -> None:
    people = np.zeros((1, 18, 3), np.float32)
    people[0, :, :2] = np.random.default_rng(1).uniform((10, 10), (40, 60), (18, 2))
    people[0, :, 2] = 2
    seen = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        matrix, _ = draw_view(Views(whole=0.0, beside=1.0), (192, 144), people, 128, rng)
        placed = people[0, :, :2] @ matrix[:, :2].T + matrix[:, 2]
        seen += bool(((placed > 8) & (placed < 120)).all(-1).any())
    assert seen < 12  # not everywhere is room beside somebody


class TestComplete:
    """Sets whose labels say everything, beside others that a teacher looks at."""

    def labels(self, path: Path, hidden: int = 0) -> Path:
        """One picture with one person, whose left wrist is ``hidden`` (visibility)."""
        labels = folder(path, count=2)
        content = json.loads(labels.read_text())
        content["annotations"][0]["keypoints"][3 * COCO_L_WRIST + 2] = hidden
        labels.write_text(json.dumps(content))
        return labels

    def merged(self, tmp_path: Path, **settings: bool) -> tuple[dict[str, torch.Tensor], int]:
        """A view of the set and one of another with a teacher; which channel the wrist has."""
        pictures = Pictures(tmp_path, self.labels(tmp_path, 1), **settings)
        pictures.maps = NoMaps(128)
        taught = Pictures(tmp_path, tmp_path / "labels.json", draw_labels=False)
        taught.maps = PictureMaps(tmp_path / "t.maps", [e.name for e in taught.entries], 128)
        sees = np.full((57, 16, 16), 0.5, np.float32)
        taught.maps.fill(lambda pixels: sees, lambda name: None)
        items = [self.whole(pictures), self.whole(taught)]
        return merge(items, 4, sigma=5.0), skeleton.KEYPOINTS.index("l_wrist")

    def whole(self, pictures: Pictures) -> dict[str, Any]:
        """The first picture, whole and unchanged."""
        views = Views(whole=1, exact=1, flip=0)
        return ViewDataset(pictures, 128, 4, views, colour=0, cutout=0, seed=3)[0]

    def test_what_is_not_marked_is_not_there(self, tmp_path: Path) -> None:
        batch, wrist = self.merged(tmp_path, complete=True, hidden=False)
        assert batch["known"][0].all()
        assert batch["complete"].tolist() == [True, False]
        assert batch["target"][0, wrist].abs().max() == 0
        assert torch.equal(batch["teacher"][0], batch["target"][0])
        assert batch["target"][0, 0].max() > 0.5

    def test_what_is_hidden_may_be_learnt(self, tmp_path: Path) -> None:
        batch, wrist = self.merged(tmp_path, complete=True)
        assert batch["target"][0, wrist].max() > 0.5
        assert torch.equal(batch["teacher"][0], batch["target"][0])

    def test_otherwise_it_is_unknown_and_the_teacher_is_asked(self, tmp_path: Path) -> None:
        batch, wrist = self.merged(tmp_path, complete=True, hidden=False)
        assert batch["teacher"][1, wrist].median() == pytest.approx(64 / 127, abs=1e-6)
        pictures = Pictures(tmp_path, self.labels(tmp_path, 1), hidden=False)
        assert not self.whole(pictures)["known"][wrist].all()

    def test_crowds_say_that_labels_do_not_say_everything(self, tmp_path: Path) -> None:
        labels = self.labels(tmp_path)
        content = json.loads(labels.read_text())
        crowd = {"id": 9, "image_id": 0, "category_id": 1, "iscrowd": 1, "keypoints": [0] * 51,
                 "num_keypoints": 0, "bbox": [0.0, 0.0, 30.0, 30.0], "area": 900.0}  # fmt: skip
        content["annotations"].append(crowd)
        labels.write_text(json.dumps(content))
        assert len(Pictures(tmp_path, labels).entries[0].ignore) == 1
        with pytest.raises(UserError, match=r"in 0.png, so .*; leave out 'complete: true'"):
            Pictures(tmp_path, labels, complete=True)

    def test_a_broken_picture_teaches_nothing(self, tmp_path: Path) -> None:
        pictures = Pictures(tmp_path, self.labels(tmp_path), complete=True)
        pictures.maps = NoMaps(128)
        (tmp_path / pictures.entries[0].name).write_bytes(b"no picture")
        item = views_of(pictures)[0]
        assert not item["known"].any()
        assert not item["complete"]
        assert merge([item], 4, sigma=5.0)["teacher"][:, : codec.BACKGROUND].abs().max() == 0

    def test_somebody_all_hidden_is_nobody(self, tmp_path: Path) -> None:
        labels = folder(tmp_path, count=2)
        content = json.loads(labels.read_text())
        content["annotations"][0]["keypoints"][2::3] = [1] * 17
        labels.write_text(json.dumps(content))
        assert len(Pictures(tmp_path, labels, hidden=False).entries[0].people) == 0
        assert len(Pictures(tmp_path, labels).entries[0].people) == 1

    @pytest.mark.parametrize(
        ("settings", "words"),
        [({"complete": True}, "complete: true"), ({"hidden": False}, "hidden: false")],
    )
    def test_a_set_without_labels_can_be_neither(
        self, settings: dict[str, bool], words: str
    ) -> None:
        with pytest.raises(UserError, match=f"photos has '{words}' and no labels; write annot"):
            PictureSet(images="photos", **settings)  # type: ignore[arg-type]


def test_nobody_is_drawn_into_the_maps_of_a_broken_picture(tmp_path: Path) -> None:
    pictures = Pictures(tmp_path, folder(tmp_path, count=2), draw_labels=True)
    pictures.maps = PictureMaps(tmp_path / "t.maps", [e.name for e in pictures.entries], 128)
    pictures.maps.fill(lambda pixels: np.zeros((57, 16, 16), np.float32), lambda name: None)
    (tmp_path / pictures.entries[0].name).write_bytes(b"no picture")
    teacher = merge([views_of(pictures)[0]], 4, sigma=5.0)["teacher"]
    assert teacher[:, : codec.BACKGROUND].abs().max() == 0
