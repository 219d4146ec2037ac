"""What a COCO keypoint file may say: whose skeleton, which boxes, areas, flags and doubles."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from ai8x_models.skeleton import COCO17
from common.errors import UserError
from common.incoming import Unfit, read_bytes
from distill.people.annotation_checks import LSP14, check_names
from distill.people.annotations import KeypointFile, Skipped, looks_whole, read_pixels
from distill.people.judge import truth_of
from distill.people.metrics import oks_ap
from distill.people.person_sets import PeopleSet
from distill.people.pictures import Pictures
from distill.tasks.pose.evaluation.evaluate import ground_truth

Change = Callable[[dict[str, Any]], object]
FLAT = [v for n in range(17) for v in (30 + n, 20 + 2 * n, 2)]


def person(number: int, image: int, **more: Any) -> dict[str, Any]:
    flat = [v + number if place % 3 == 0 else v for place, v in enumerate(FLAT)]
    return {"id": number, "image_id": image, "category_id": 1, "keypoints": flat,
            "num_keypoints": 17, "bbox": [25, 15, 30, 45], "area": 700.0, "iscrowd": 0,
            **more}  # fmt: skip


def written(folder: Path, change: Change = lambda d: None) -> Path:
    """Two pictures of 120 x 90 with a person in the first and two in the second."""
    for number in (1, 2):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((90, 120, 3), 90, np.uint8))
    data = {
        "images": [{"id": n, "file_name": f"{n}.png", "width": 120, "height": 90} for n in (1, 2)],
        "annotations": [person(1, 1), person(2, 2), person(3, 2)],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO17)}],
    }
    change(data)
    path = folder / "set.json"
    path.write_text(json.dumps(data))
    return path


def measured(content: KeypointFile) -> int:
    """People that are measured, the same for both measurements."""
    truths = [truth_of(content, image, (120, 90)) for image in content.images]
    areas = np.concatenate([truth.areas for truth in truths])
    heights = np.concatenate([truth.heights for truth in truths])
    assert (areas > 0).all()
    assert (heights > 0).all()
    kept = ground_truth(content, content.images)["annotations"]
    people = [a for a in kept if a["num_keypoints"] and not a["iscrowd"]]
    assert len(people) == len(areas)
    assert [a["area"] for a in people] == areas.tolist()
    return len(areas)


def first(**more: Any) -> Change:
    return lambda d: d["annotations"][0].update(more)


def without(key: str) -> Change:
    return lambda d: d["annotations"][0].pop(key)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: None,
        without("area"),
        without("iscrowd"),
        without("num_keypoints"),
        without("category_id"),
        without("id"),
        first(iscrowd=False),
        first(area=3),
        lambda d: d["annotations"][1].update(id=1),
    ],
)
def test_sound_people_are_all_measured(tmp_path: Path, change: Change) -> None:
    content = KeypointFile(written(tmp_path, change))
    assert measured(content) == 3
    assert not content.skipped


@pytest.mark.parametrize(
    ("change", "said"),
    [
        *[(first(area=area), "1 person whose area is no positive number (first: annotation 1)")
          for area in (float("nan"), float("inf"), 0, -5, "12", None, 10**400, [1])],
        *[(first(bbox=box), "1 person without a sound box (first: annotation 1)")
          for box in ([1, 2, 3], [float("nan")] * 4, ["1", "2", "3", "4"], [1, 2, -3, 4],
                      [1, 2, 0, 4], None, 7, [1, 2, 3, 10**400])],
        (without("bbox"), "1 person without a sound box"),
        *[(first(iscrowd=flag), "1 annotation whose iscrowd is neither 0 nor 1")
          for flag in ("0", [1], 2, "")],
        (first(num_keypoints="0"), "1 annotation whose num_keypoints is no number of points"),
        (first(num_keypoints=0), "1 person with points although num_keypoints is 0"),
        *[(first(keypoints=[30, 40, v] * 17), "visibility is not 0, 1 or 2")
          for v in (3, -1, 0.9)],
        (first(category_id="1"),
         "1 annotation of other categories (first: annotation 1, category '1')"),
        (first(category_id=2),
         "1 annotation of other categories (first: annotation 1, category 2)"),
    ],
)  # fmt: skip
def test_others_are_counted_and_not_measured(tmp_path: Path, change: Change, said: str) -> None:
    content = KeypointFile(written(tmp_path, change))
    assert measured(content) == 2
    assert said in str(content.skipped)
    assert not truth_of(content, content.images[1], (120, 90)).empty


def test_whoever_is_found_in_the_place_of_who_is_left_out_counts_neither_way(
    tmp_path: Path,
) -> None:
    def answers(content: KeypointFile) -> list[dict[str, Any]]:
        people = [person(n, image) for n, image in ((1, 1), (2, 2), (3, 2))]
        scores = (0.9, 0.8, 0.7)
        return [
            {"image_id": p["image_id"], "category_id": 1, "keypoints": p["keypoints"], "score": s}
            for p, s in zip(people, scores, strict=True)
        ]

    for change in (lambda d: None, first(area=0), first(keypoints=[1])):
        content = KeypointFile(written(tmp_path, change))
        assert oks_ap(ground_truth(content, content.images), answers(content))["AP"] > 0.99
    nobody = KeypointFile(written(tmp_path, lambda d: [a.update(area=0) for a in d["annotations"]]))
    assert oks_ap(ground_truth(nobody, nobody.images), [])["AP"] == -1


def test_who_is_left_out_is_a_region_to_ignore(tmp_path: Path) -> None:
    content = KeypointFile(written(tmp_path, first(area=0)))
    truth = truth_of(content, content.images[0], (120, 90))
    assert not truth.empty
    assert truth.regions.tolist() == [[25, 15, 30, 45]]
    content = KeypointFile(written(tmp_path, without("bbox")))
    assert truth_of(content, content.images[0], (120, 90)).regions.tolist() == [[31, 20, 16, 32]]


def test_training_needs_no_box(tmp_path: Path) -> None:
    path = written(tmp_path, lambda d: [a.pop("bbox") for a in d["annotations"]])
    assert len(PeopleSet(path, tmp_path).people) == 3
    entries = Pictures(tmp_path, path).entries
    assert [len(entry.people) for entry in entries] == [1, 2]


def test_doubles_count_once(tmp_path: Path) -> None:
    def twice(data: dict[str, Any]) -> None:
        data["annotations"] += [{**a, "id": a["id"] + 100} for a in data["annotations"]]
        data["images"] += data["images"]

    content = KeypointFile(written(tmp_path, twice))
    assert measured(content) == 3
    assert content.skipped.reasons == {
        "picture entries with the id of another": (2, "entry 2"),
        "annotations there twice": (3, "annotation 101"),
    }
    assert "2 picture entries with" in str(content.skipped)
    assert "3 annotations there twice" in str(content.skipped)


def test_one_file_under_two_numbers_is_one_picture(tmp_path: Path) -> None:
    """With the people of both. Tools that write an entry for each person make such sets."""

    def split(data: dict[str, Any]) -> None:
        name = data["images"][1]["file_name"]
        data["images"].append({**data["images"][1], "id": 50})
        data["annotations"][2]["image_id"] = 50
        data["annotations"].append({**data["annotations"][1], "id": 77, "image_id": 50})
        assert [entry["file_name"] for entry in data["images"]].count(name) == 2

    content = KeypointFile(written(tmp_path, split))
    assert [len(content.people_of(entry, 120, 90)[0]) for entry in content.images] == [1, 2]
    assert measured(content) == 3
    assert content.skipped.reasons == {
        "picture entries with the file of another": (1, "entry 2"),
        "annotations there twice": (1, "annotation 77"),
    }
    assert [len(entry.people) for entry in Pictures(tmp_path, content.path).entries] == [1, 2]


@pytest.mark.parametrize("size", [{"width": 60, "height": 45}, {}])
def test_a_file_of_two_stated_sizes_has_that_of_its_pixels(
    tmp_path: Path, size: dict[str, int]
) -> None:
    """Wherever the wrong entry stands; people placed by it are not those of the picture."""

    def split(data: dict[str, Any]) -> None:
        picture = data["images"][1]
        wrong = {**picture, "id": 0, **size}
        if not size:
            del wrong["width"], wrong["height"]
        data["images"].insert(0, wrong)
        data["annotations"].append({**data["annotations"][1], "bbox": [1, 1, 9, 9], "image_id": 0})

    pictures = Pictures(tmp_path, written(tmp_path, split))
    assert [len(entry.people) for entry in pictures.entries] == ([1, 2] if size else [3, 1])
    reason = "pictures of another size than annotated" if size else "picture entries with the file"
    assert [known.startswith(reason) for known in pictures.skipped.reasons] == [True]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("sides", [(), ("width",), ("height",)])
def test_of_which_pixels_an_entry_is_nobody_knows(
    tmp_path: Path, order: tuple[int, ...], sides: tuple[str, ...]
) -> None:
    """Without a size, beside two that differ: in no order are its people put into one of them."""

    def split(data: dict[str, Any]) -> None:
        picture = data["images"][1]
        bare = {key: picture[key] for key in ("file_name", *sides)}
        three = [picture, {**picture, "id": 50, "width": 60, "height": 45}, {**bare, "id": 51}]
        data["images"][1:] = [three[place] for place in order]
        data["annotations"].append({**data["annotations"][1], "bbox": [1, 1, 9, 9], "image_id": 51})

    pictures = Pictures(tmp_path, written(tmp_path, split))
    assert [len(entry.people) for entry in pictures.entries] == [1]
    (reason,) = [r for r in pictures.skipped.reasons if r.startswith("picture entries without a")]
    assert pictures.skipped.reasons[reason][0] == 3


def test_a_number_of_thousands_of_digits(tmp_path: Path) -> None:
    (tmp_path / "set.json").write_text(f'{{"images": [{"9" * 6000}]}}')
    with pytest.raises(UserError, match=r"is not JSON \(a number of thousands of digits\)"):
        KeypointFile(tmp_path / "set.json")


def test_one_file_is_one_however_its_place_is_written(tmp_path: Path) -> None:
    def split(data: dict[str, Any]) -> None:
        picture = data["images"][0]
        data["images"].append({**picture, "id": 50, "file_name": f"./{picture['file_name']}"})

    content = KeypointFile(written(tmp_path, split))
    assert content.skipped.reasons == {"picture entries with the file of another": (1, "entry 2")}


def test_a_number_of_one_file_is_not_that_of_another(tmp_path: Path) -> None:
    """Else people would be put into the picture that the number meant before."""

    def change(data: dict[str, Any]) -> None:
        first, second = data["images"][:2]
        data["images"][:2] = [first, {**first, "id": 50}, {**second, "id": 50}]
        data["annotations"] = [a for a in data["annotations"] if a["image_id"] == first["id"]]

    content = KeypointFile(written(tmp_path, change))
    assert len(content.images) == 1
    assert content.skipped.reasons == {
        "picture entries with the file of another": (1, "entry 1"),
        "picture entries with the id of another": (1, "entry 2"),
    }


@pytest.mark.parametrize(
    "names",
    [
        list(COCO17),
        [name.replace("_", " ").title() for name in COCO17],
        [name.replace("_", "-").upper() for name in COCO17],
        [name.replace("left_", "l").replace("right_", "r_") for name in COCO17],
        list(LSP14),
        [f"k{n}" for n in range(17)],
        [str(n) for n in range(1, 15)],
    ],
)
def test_names_of_a_known_skeleton_in_its_order(names: list[str]) -> None:
    check_names(Path("set.json"), names)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (list(reversed(COCO17)), "point 1 is 'right_ankle', where the 17 of COCO have nose"),
        (["nose"] * 17, "point 2 is 'nose', where the 17 of COCO have left_eye"),
        ([*COCO17[:16], "pelvis"], "point 17 is 'pelvis'"),
        ([f"k{n}" for n in reversed(range(17))], "point 1 is 'k16'"),
        ([*LSP14[1:], LSP14[0]], "the 14 of Leeds Sports Pose have right_ankle"),
        (list(COCO17[:16]), r"has 16 points per person \(nose, left_eye, right_eye, left_ear, "),
    ],
)
def test_another_skeleton_is_refused_by_its_first_point(
    tmp_path: Path, names: list[str], said: str
) -> None:
    path = written(tmp_path, lambda d: d["categories"][0].update(keypoints=names))
    for read in (KeypointFile, lambda p: PeopleSet(p, tmp_path), lambda p: Pictures(tmp_path, p)):
        with pytest.raises(UserError, match=said):
            read(path)


@pytest.mark.parametrize("name", ["a\0b.png", "a\ud800b.png", "a" * 5000])
def test_names_that_no_file_has_are_counted(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, lambda d: d["images"][0].update(file_name=name))
    people = PeopleSet(path, tmp_path)
    assert len(people.people) == 2
    assert people.skipped.reasons["pictures missing or unreadable"][0] == 1
    assert len(str(people.skipped)) < 250
    str(people.skipped).encode()
    assert not looks_whole(tmp_path / name)
    with pytest.raises((Unfit, OSError)):
        read_bytes(tmp_path / name, 10)
    pictures = Pictures(tmp_path, path)
    assert pictures.pixels(pictures.entries[0]) is None
    assert pictures.pixels(pictures.entries[1]) is not None


def turned(path: Path, orientation: int) -> None:
    """40 x 24 pixels as stored, dark, bright in the first rows and columns."""
    pixels = np.zeros((24, 40, 3), np.uint8)
    pixels[:12, :20] = 220
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif, quality=95)


@pytest.mark.parametrize(
    ("orientation", "size", "bright"),
    [
        (1, (40, 24), (0, 0)),
        (6, (24, 40), (0, -1)),
        (6, (40, 24), (0, 0)),  # labels of the pixels as they are stored
        (8, (24, 40), (-1, 0)),
        (3, (40, 24), (-1, -1)),  # either way: upright, as it is looked at
        (6, None, (0, -1)),
    ],
)
def test_all_readers_turn_a_photograph_as_its_labels_do(
    tmp_path: Path, orientation: int, size: tuple[int, int] | None, bright: tuple[int, int]
) -> None:
    turned(tmp_path / "a.jpg", orientation)

    def change(data: dict[str, Any]) -> None:
        entry = data["images"][0]
        del entry["width"], entry["height"]
        entry.update(file_name="a.jpg", **dict(zip(("width", "height"), size or (), strict=False)))
        data["annotations"][0]["keypoints"] = [3, 3, 2] * 8 + [9, 9, 2] * 9

    path = written(tmp_path, change)
    skipped = Skipped()
    entry = KeypointFile(path).images[0]
    kept, left = (PeopleSet(path, tmp_path, in_memory=memory) for memory in (True, False))
    pictures = Pictures(tmp_path, path)
    read = [
        read_pixels(tmp_path / "a.jpg", entry, skipped),
        kept.pictures[0].pixels,
        left.pictures[0].pixels,
        pictures.pixels(pictures.entries[0]),
    ]
    for pixels in read:
        assert pixels is not None
        assert pixels.shape[1::-1] == (size or (24, 40))
        assert pixels[bright].mean() > 200
    half = read_pixels(tmp_path / "a.jpg", entry, skipped, reduce=2)
    assert half is not None
    assert half[bright].mean() > 200
    assert not skipped


@pytest.mark.parametrize("stated", [{"width": 121}, {"height": 45}, {"width": 120.5}])
def test_a_picture_of_another_size_is_left_out_everywhere(
    tmp_path: Path, stated: dict[str, float]
) -> None:
    path = written(tmp_path, lambda d: d["images"][0].update(stated))
    reason = {"pictures of another size than annotated": (1, "1.png")}
    people, pictures = PeopleSet(path, tmp_path), Pictures(tmp_path, path)
    assert people.skipped.reasons == pictures.skipped.reasons == reason
    assert [entry.name for entry in pictures.entries] == ["2.png"]


def test_a_picture_that_changed_after_the_run_began_teaches_nothing(tmp_path: Path) -> None:
    pictures = Pictures(tmp_path, written(tmp_path))
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((50, 50, 3), np.uint8))
    assert pictures.pixels(pictures.entries[0]) is None
    assert "1 picture of another size than annotated" in str(pictures.skipped)


def test_sizes_that_are_not_given_are_taken_from_the_pictures(tmp_path: Path) -> None:
    def change(data: dict[str, Any]) -> None:
        for image in data["images"]:
            del image["width"], image["height"]
        data["images"].append({"id": 3, "file_name": "gone.png"})

    pictures = Pictures(tmp_path, written(tmp_path, change))
    assert [entry.size for entry in pictures.entries] == [{"width": 120, "height": 90}] * 2
    assert pictures.skipped.reasons == {"pictures missing or unreadable": (1, "gone.png")}


@pytest.mark.parametrize("shape", [(10, 4000), (4000, 10)])
def test_very_long_pictures_are_still_pictures(tmp_path: Path, shape: tuple[int, int]) -> None:
    cv2.imwrite(str(tmp_path / "long.png"), np.full((*shape, 3), 90, np.uint8))

    def change(data: dict[str, Any]) -> None:
        data["images"][0].update(file_name="long.png", width=shape[1], height=shape[0])
        data["annotations"][0]["keypoints"] = [v for n in range(17) for v in (n % 9, n % 7, 2)]

    path = written(tmp_path, change)
    for memory in (True, False):
        picture = PeopleSet(path, tmp_path, in_memory=memory).pictures[0]
        assert min(picture.size()) >= 1
        assert picture.pixels.shape[1::-1] == picture.size()
