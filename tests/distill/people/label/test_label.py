"""Labelling a folder: who becomes a label, what is kept, resumed, merged, left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from ai8x_models.skeleton import COCO17
from common.console import STOPPED
from distill.__main__ import main
from distill.people.label import run as running
from distill.people.label.agreement import agreement
from distill.people.label.crew import Candidate
from distill.people.label.judge import Known, Settings, label_picture
from distill.people.label.poses import Pose, alike, without_doubles
from distill.people.person_sets import PeopleSet
from tests.helpers import tiny_labellers as tiny

pytest.importorskip("onnxruntime")
GREY = np.full((200, 300, 3), 90, np.uint8)


def body(x: float, y: float, size: float = 60.0, confidence: float = 0.8) -> np.ndarray:
    points = np.full((17, 3), confidence, np.float32)
    points[:, :2] = (x, y) + tiny.OFFSETS * size / 62
    return points


class Fake:
    """Finds and refines as it is told."""

    refiner = True

    def __init__(self, found: list[Candidate], seen: np.ndarray | None = None) -> None:
        self.found, self.seen = found, seen

    def find(self, _: np.ndarray) -> list[Candidate]:
        return self.found

    def refine(self, _: np.ndarray, pose: Pose) -> Pose:
        return Pose(pose.points if self.seen is None else self.seen, pose.score)


def labelled(fake: Fake, *known: Known) -> list[dict[str, Any]]:
    return label_picture(GREY, fake, Settings(), known)  # type: ignore[arg-type]


def one(x: float, score: float = 0.9, confidence: float = 0.8) -> Candidate:
    return Candidate(Pose(body(x, 100, confidence=confidence), score), score >= 0.2)


def test_certain_people_are_labels_and_others_regions() -> None:
    people = labelled(Fake([one(60), one(150, 0.15), one(240, confidence=0.15)]))
    assert [person["iscrowd"] for person in people] == [0, 1, 1]
    first = people[0]
    assert first["num_keypoints"] == 17
    assert first["scores"] == [0.8] * 17
    assert first["score"] == 0.9
    left, _, width, height = first["bbox"]
    assert left < 60 - 16 * 60 / 62 < left + width
    assert first["area"] == pytest.approx(0.47 * width * height, rel=0.01)
    assert people[1]["keypoints"] == [0] * 51
    places = [person["bbox"] for person in people[1:]]
    assert all(sum(1 for x, _, w, _ in places if x < at < x + w) == 1 for at in (150, 240))


def test_points_outside_or_unsure_are_not_labels() -> None:
    points = body(4, 100)
    points[3, 2] = 0.2
    (person,) = labelled(Fake([Candidate(Pose(points, 0.9), True)]))
    marked = np.array(person["keypoints"]).reshape(17, 3)
    outside = points[:, 0] < -0.5
    assert outside.any()
    assert (marked[outside] == 0).all()
    assert (marked[3] == 0).all()
    assert (marked[~outside & (points[:, 2] > 0.3), 2] == 2).all()


def test_doubles_are_removed_by_likeness() -> None:
    poses = [Pose(body(100, 100), 0.5), Pose(body(102, 100), 0.9), Pose(body(160, 100), 0.4)]
    assert [pose.score for pose in without_doubles(poses, 0.5)] == [0.9, 0.4]
    assert alike(body(1, 1), body(1, 1)) == 1
    assert alike(body(0, 0), body(100, 0)) < 0.01
    people = labelled(Fake([one(100), one(103, 0.5)]))
    assert len(people) == 1


def known(points: np.ndarray, **more: Any) -> Known:
    marked = points[:, 2] > 0
    low, high = points[marked, :2].min(axis=0), points[marked, :2].max(axis=0)
    annotation = {"keypoints": list(points.reshape(-1)), "bbox": [*low, *(high - low)], **more}
    return Known(points, (*low, *high), annotation, bool(more.get("iscrowd")))


def test_ground_truth_is_kept_and_its_missing_points_are_filled_in() -> None:
    truth = body(100, 100, confidence=2)
    truth[:5] = 0  # no face
    seen = body(101, 100, confidence=0.7)
    seen[4, 2] = 0.1
    people = labelled(Fake([one(102), one(250)], seen), known(truth))
    first = np.array(people[0]["keypoints"]).reshape(17, 3)
    np.testing.assert_allclose(first[5:], truth[5:], atol=0.006)
    np.testing.assert_allclose(first[:4, :2], seen[:4, :2], atol=0.06)
    assert (first[4] == 0).all()
    assert people[0]["scores"] == [0.7] * 4 + [0.1] + [1.0] * 12
    assert people[0]["num_keypoints"] == 16
    assert len(people) == 1  # the other one is where the fake sees the first, once more


def test_another_pose_fills_nothing_in() -> None:
    truth = body(100, 100, confidence=2)
    truth[:5] = 0
    people = labelled(Fake([], body(150, 60, 30)), known(truth))
    assert people[0]["num_keypoints"] == 12
    assert people[0]["scores"][:5] == [0.0] * 5


def test_unlabelled_people_are_added_and_crowds_stay() -> None:
    crowd = known(body(240, 100, 70, confidence=2), iscrowd=1)
    people = labelled(Fake([one(100), one(175), one(240)]), known(body(101, 99)), crowd)
    assert [person.get("iscrowd", 0) for person in people] == [0, 1, 0]
    assert people[1] is crowd.annotation
    assert abs(people[2]["keypoints"][0] - 175) < 1


def test_a_person_without_points_gets_those_of_who_is_found_there() -> None:
    bare = known(body(100, 100, 70), num_keypoints=0)
    bare = Known(np.zeros((17, 3), np.float32), bare.box, bare.annotation, False)
    (person,) = labelled(Fake([one(100)]), bare)
    assert person["num_keypoints"] == 17
    (person,) = labelled(Fake([]), bare)
    assert person is bare.annotation


@pytest.fixture
def networks(tmp_path: Path) -> list[str]:
    finder, refiner = tiny.yolo(tmp_path / "find.onnx"), tiny.movenet(tmp_path / "refine.onnx")
    return [str(finder), str(refiner)]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "deeper").mkdir(parents=True)
    for index in range(6):
        pixels = np.full((160, 200, 3), 20, np.uint8)
        if index % 3:
            pixels[80:84, 60 + 10 * index : 64 + 10 * index] = (30, 40, 240)  # blue, green, red
        name = f"deeper/{index}.png" if index == 5 else f"{index}.png"
        cv2.imwrite(str(folder / name), pixels)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut short")
    (folder / "notes.txt").write_text("no picture")
    return folder


def arguments(pictures: Path, networks: list[str], out: Path, *more: str) -> list[str]:
    return ["label", str(pictures), "--networks", *networks, "--out", str(out), *more]


def test_a_folder_becomes_a_file_of_labels(
    pictures: Path, networks: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    out = tmp_path / "labels.json"
    assert main(arguments(pictures, networks, out)) == 0
    content = json.loads(out.read_text())
    names = {image["id"]: image["file_name"] for image in content["images"]}
    assert list(names.values()) == [*(f"{n}.png" for n in range(5)), "deeper/5.png"]
    assert content["categories"][0]["keypoints"] == list(COCO17)
    assert content["broken"] == [{"file_name": "broken.jpg", "reason": "broken"}]
    people = [a for a in content["annotations"] if not a["iscrowd"]]
    assert {names[a["image_id"]] for a in people} == {"1.png", "2.png", "4.png", "deeper/5.png"}
    assert len(people) == 4
    said = capsys.readouterr().out
    assert "6 pictures: 4 people in 4 of them" in said
    assert "left out: 1 broken (first: broken.jpg, broken)" in said
    assert "left out: broken.jpg (broken)" in caplog.text
    assert not list(tmp_path.glob("*.journal"))
    assert len(PeopleSet(out, pictures).people) == 4  # training reads it


def test_pictures_without_anybody_can_be_dropped(
    pictures: Path, networks: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "labels.json"
    assert main(arguments(pictures, networks, out, "--drop-empty")) == 0
    content = json.loads(out.read_text())
    assert [image["file_name"] for image in content["images"]] == [
        "1.png", "2.png", "4.png", "deeper/5.png",
    ]  # fmt: skip


def test_a_killed_run_goes_on_and_gives_the_same_file(
    pictures: Path, networks: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = tmp_path / "whole.json", tmp_path / "labels.json"
    assert main(arguments(pictures, networks, whole)) == 0
    done: list[str] = []
    real = running.label_picture

    def until_killed(*given: Any) -> Any:
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append("one")
        return real(*given)

    monkeypatch.setattr(running, "label_picture", until_killed)
    assert main(arguments(pictures, networks, out)) == STOPPED
    assert not out.exists()
    journal = tmp_path / "labels.json.journal"
    with journal.open("ab") as file:
        file.write(b'{"file": "4.png", "si')  # the line it died in
    done.clear()
    assert main(arguments(pictures, networks, out)) == 0
    assert len(done) == 3
    assert out.read_bytes() == whole.read_bytes()


def test_shards_merge_to_the_file_of_a_whole_run(
    pictures: Path, networks: list[str], tmp_path: Path
) -> None:
    whole = tmp_path / "whole.json"
    assert main(arguments(pictures, networks, whole)) == 0
    parts = [tmp_path / f"part{n}.json" for n in (1, 2, 3)]
    for place, part in enumerate(parts, 1):
        assert main(arguments(pictures, networks, part, "--shard", f"{place}/3")) == 0
    merged = tmp_path / "merged.json"
    assert main(["merge", str(merged), *map(str, reversed(parts))]) == 0
    assert merged.read_bytes() == whole.read_bytes()


def refused(capsys: pytest.CaptureFixture[str], *given: str) -> str:
    assert main(list(given)) == 2
    error = capsys.readouterr().err
    assert error.count("error: ") == 1
    assert error.count("\n") == 1
    return error


def test_shards_that_do_not_belong_together_are_refused(
    pictures: Path, networks: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, other = tmp_path / "first.json", tmp_path / "other.json"
    assert main(arguments(pictures, networks, first, "--shard", "1/3")) == 0
    assert main(arguments(pictures, networks[:1], other, "--shard", "2/3")) == 0
    capsys.readouterr()
    out = str(tmp_path / "merged.json")
    assert "missing: 2/3, 3/3" in refused(capsys, "merge", out, str(first))
    assert "both shard 1/3" in refused(capsys, "merge", out, str(first), str(first))
    assert "with other pictures, net" in refused(capsys, "merge", out, str(first), str(other))
    assert "not written by label" in refused(capsys, "merge", out, str(pictures / "notes.txt"))
    assert "cannot read" in refused(capsys, "merge", out, str(tmp_path / "nowhere.json"))
    assert not Path(out).exists()


@pytest.mark.parametrize("shard", ["0/3", "4/3", "3", "a/b", "1/0"])
def test_impossible_shards_are_refused(
    shard: str, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = arguments(pictures, ["none.onnx"], tmp_path / "out.json", "--shard", shard)
    assert f"--shard is '{shard}'" in refused(capsys, *given)


def test_bad_folders_and_journals_are_one_sentence(
    pictures: Path, networks: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "labels.json"
    nowhere, empty = tmp_path / "nowhere", tmp_path / "empty"
    empty.mkdir()
    assert "is no folder" in refused(capsys, *arguments(nowhere, networks, out))
    assert "holds no pictures" in refused(capsys, *arguments(empty, networks, out))
    journal = tmp_path / "labels.json.journal"
    journal.write_text('{"version": 0}\n')
    assert "a run with other pictures" in refused(capsys, *arguments(pictures, networks, out))
    journal.write_text("[1]\n")
    assert "is no journal" in refused(capsys, *arguments(pictures, networks, out))
    assert not out.exists()


def test_one_picture_that_cannot_be_labelled_does_not_end_the_run(
    pictures: Path, networks: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    real = running.label_picture

    def fails_at_ten_rows(pixels: np.ndarray, *given: Any) -> Any:
        if pixels.shape[0] == 10:
            cv2.resize(pixels, (0, 0))
        return real(pixels, *given)

    monkeypatch.setattr(running, "label_picture", fails_at_ten_rows)
    cv2.imwrite(str(pictures / "0wide.png"), np.zeros((10, 2000, 3), np.uint8))
    out = tmp_path / "labels.json"
    assert main(arguments(pictures, networks, out)) == 0
    content = json.loads(out.read_text())
    assert len(content["images"]) == 6
    assert {"file_name": "0wide.png", "reason": "broken: error at 2000 x 10 pixels"} in content[
        "broken"
    ]
    assert "2 broken" in capsys.readouterr().out


@pytest.mark.parametrize("shape", [(10, 20000), (20000, 10), (1, 1)])
def test_pictures_of_any_shape_are_labelled(
    shape: tuple[int, int], networks: list[str], tmp_path: Path
) -> None:
    folder, out = tmp_path / "odd", tmp_path / "labels.json"
    folder.mkdir()
    cv2.imwrite(str(folder / "odd.png"), np.full((*shape, 3), 60, np.uint8))
    assert main(arguments(folder, networks, out)) == 0
    content = json.loads(out.read_text())
    assert content["broken"] == []
    (image,) = content["images"]
    assert (image["height"], image["width"]) == shape


def test_photographs_are_labelled_upright(networks: list[str], tmp_path: Path) -> None:
    folder, out = tmp_path / "phone", tmp_path / "labels.json"
    folder.mkdir()
    upright = np.full((200, 160, 3), 20, np.uint8)
    upright[120:124, 70:74] = (240, 40, 30)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(upright)).save(folder / "a.png", exif=exif)
    Image.fromarray(upright).save(folder / "b.png")
    assert main(arguments(folder, networks, out)) == 0
    content = json.loads(out.read_text())
    assert [(i["width"], i["height"]) for i in content["images"]] == [(160, 200)] * 2
    turned, plain = content["annotations"]
    assert turned["keypoints"] == plain["keypoints"]
    first, second = PeopleSet(out, folder).pictures
    assert (first.pixels == second.pixels).all()


def changed(part: Path, change: Callable[[dict[str, Any]], object]) -> str:
    content = json.loads(part.read_text())
    change(content)
    path = part.with_name("changed.json")
    path.write_text(json.dumps(content))
    return str(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.pop("info"), "it has no 'info'"),
        (lambda c: c.pop("categories"), "its 'categories' is no list of entries"),
        (lambda c: c.update(categories=[]), "its 'categories' are not the person of 17 points"),
        (lambda c: c.update(images=None), "its 'images' is no list"),
        (lambda c: c["images"].append(None), "its 'images' is no list of entries"),
        (lambda c: c["annotations"].append(7), "its 'annotations' is no list of entries"),
        (lambda c: c["broken"].append({"file_name": None}), "an entry of 'broken' has no file"),
        (lambda c: c["info"].update(shard=None), "does not say which shard"),
        (lambda c: c["info"].update(shard=[1]), "does not say which shard"),
        (lambda c: c["info"].update(shard=[3, 2]), "it says that it is shard 3 of 2"),
        (lambda c: c["info"].update(shard=[1, 10**9]), "it says that it is shard 1 of 1000000000"),
        (lambda c: c["info"].pop("pictures"), "does not say of which pictures"),
        (lambda c: c["images"].append(c["images"][0]), "two entries of 'images' have the id"),
        (lambda c: c["images"][0].update(id="1"), "entry 0 of 'images' lacks an id"),
        (lambda c: c["images"][0].pop("width"), "entry 0 of 'images' lacks an id"),
        (lambda c: c["annotations"][0].update(image_id=999), "entry 0 of 'annotations' is of no"),
        (lambda c: c["annotations"][0].update(image_id=None), "entry 0 of 'annotations' is of no"),
        (lambda c: c["annotations"][0].update(keypoints=[1]), "has no 17 points"),
        (lambda c: c["annotations"][0].update(bbox=None), "has no box"),
        (lambda c: c["annotations"][0].update(iscrowd="0"), "has no box, or an iscrowd"),
    ],
)
def test_a_damaged_shard_is_refused_by_what_is_wrong(
    change: Any, said: str, pictures: Path, networks: list[str], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    part = tmp_path / "part.json"
    assert main(arguments(pictures, networks, part)) == 0
    capsys.readouterr()
    message = refused(capsys, "merge", str(tmp_path / "out.json"), changed(part, change))
    assert said in message
    assert "changed.json was not written by labelling (" in message


def test_shards_of_other_counts_and_with_common_pictures_are_refused(
    pictures: Path, networks: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, half, out = (tmp_path / f"{n}.json" for n in ("whole", "half", "out"))
    assert main(arguments(pictures, networks, whole)) == 0
    assert main(arguments(pictures, networks, half, "--shard", "1/2")) == 0
    capsys.readouterr()
    said = refused(capsys, "merge", str(out), str(whole), str(half))
    assert f"{half} is shard 1/2 and {whole} is shard 1/1" in said
    second = changed(half, lambda c: c["info"].update(shard=[2, 2]))
    said = refused(capsys, "merge", str(out), str(half), second)
    assert "both have the picture 1, '0.png'"
    many = changed(half, lambda c: c["info"].update(shard=[1, 1000]))
    assert "21/1000 and 979 more" in refused(capsys, "merge", str(out), many)


def coco(path: Path, names: list[str], joints: int) -> Path:
    points = [[70.0, 82.0, 2]] * joints
    content = {
        "images": [{"id": 7, "file_name": "1.png", "width": 200, "height": 160, "license": 4}],
        "annotations": [
            {"id": 9, "image_id": 7, "category_id": 1, "bbox": [40, 40, 60, 80],
             "keypoints": [v for p in points for v in p], "num_keypoints": joints}
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": names}],
    }  # fmt: skip
    path.write_text(json.dumps(content))
    return path


def test_labels_of_another_skeleton_are_one_sentence(
    pictures: Path, networks: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"hand{n}" for n in range(21)]
    truth = coco(tmp_path / "truth.json", names, 21)
    given = arguments(pictures, networks, tmp_path / "o.json", "--annotations", str(truth))
    said = refused(capsys, *given)
    assert "has 21 points per person (hand0, hand1, hand2, hand3, ...)" in said


@pytest.mark.parametrize("joints", [14, 17])
def test_ground_truth_comes_out_in_coco_order(
    joints: int, pictures: Path, networks: list[str], tmp_path: Path
) -> None:
    names = list(COCO17) if joints == 17 else [f"joint{n}" for n in range(14)]
    truth = coco(tmp_path / "truth.json", names, joints)
    out = tmp_path / "labels.json"
    assert main(arguments(pictures, networks, out, "--annotations", str(truth))) == 0
    content = json.loads(out.read_text())
    (image,) = content["images"]
    assert (image["id"], image["file_name"], image["license"]) == (7, "1.png", 4)
    first = content["annotations"][0]
    points = np.array(first["keypoints"]).reshape(17, 3)
    assert (points[5:] == (70, 82, 2)).all()
    assert first["image_id"] == 7
    assert ("lsp14" in first) == (joints == 14)


def _compared(shared: Path, count: int, tmp_path: Path) -> tuple[float, float, int]:
    """Shares of people found in the shipped labels and the reverse, on evenly spaced pictures."""
    networks = [shared / "teachers" / f"movenet-{n}.onnx" for n in ("multipose", "thunder")]
    source = shared / "data" / "people"
    if not source.is_dir() or not all(path.is_file() for path in networks):
        pytest.skip("the labelled photographs or their networks are not there (data/people)")
    labels = json.loads((source / "person_keypoints.json").read_text())
    chosen = labels["images"][:: len(labels["images"]) // count][:count]
    folder = tmp_path / "sample"
    folder.mkdir()
    for image in chosen:
        (folder / image["file_name"]).symlink_to(source / "images" / image["file_name"])
    out = tmp_path / "labels.json"
    assert main(arguments(folder, list(map(str, networks)), out)) == 0
    made = json.loads(out.read_text())
    first, second = agreement(labels, made), agreement(made, labels)
    return first.share, second.share, first.people


def test_a_few_shipped_labels_are_made_again(shared_dir: Path, tmp_path: Path) -> None:
    found, right, people = _compared(shared_dir, 10, tmp_path)
    assert people >= 8
    assert found >= 0.6
    assert right >= 0.7


@pytest.mark.long
def test_a_hundred_shipped_labels_are_made_again(shared_dir: Path, tmp_path: Path) -> None:
    """They were made at up to 640 pixels, these at 192."""
    found, right, people = _compared(shared_dir, 100, tmp_path)
    assert people >= 100
    assert found >= 0.72
    assert right >= 0.85
