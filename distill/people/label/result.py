"""The labels as one file in COCO keypoint form, whole or in shards that are put together."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ai8x_models.skeleton import COCO17
from common.errors import UserError
from common.files import write_file
from common.incoming import read_json
from common.texts import counted, shown
from distill.people.annotation_checks import is_flag, is_numbers, is_picture
from distill.people.annotations import MAX_ANNOTATION_BYTES

_CATEGORY = {"id": 1, "name": "person", "keypoints": list(COCO17), "skeleton": []}

_MOST_SHARDS = 1_000_000  # --shard takes six digits
_NAMED = 20  # missing shards that a message lists


def compose(
    run: Mapping[str, Any],
    pictures: Sequence[tuple[int, str, Mapping[str, Any]]],
    records: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """The content of the file.

    Args:
        run: what the run is; becomes ``info``.
        pictures: number, file name and further fields of each, in order.
        records: by file name, as in the journal; broken pictures are left out of the lists.
    """
    images, annotations, broken = [], [], []
    for number, name, fields in pictures:
        record = records[name]
        if "broken" in record:
            broken.append({"file_name": name, "reason": record["broken"]})
            continue
        if run["drop_empty"] and not record["annotations"]:
            continue
        width, height = record["size"]
        images.append({**fields, "id": number, "file_name": name, "width": width, "height": height})
        annotations += [{**a, "image_id": number} for a in record["annotations"]]
    info = {"description": "labels by pretrained networks", "unmarked_points": "unknown", **run}
    return {
        "info": info, "images": images, "annotations": numbered(annotations),
        "categories": [_CATEGORY], "broken": broken,
    }  # fmt: skip


def numbered(annotations: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Annotations with numbers from 1 and the person's category."""
    return [
        {**annotation, "id": number, "category_id": 1}
        for number, annotation in enumerate(annotations, 1)
    ]


def write_labels(content: Mapping[str, Any], out: Path) -> None:
    """Write the file, whole or not at all.

    Raises:
        UserError: it cannot be written.
    """
    write_file(out, json.dumps(content) + "\n")


def summary(content: Mapping[str, Any]) -> str:
    """A line on what was found."""
    by_image: dict[int, Counter[int]] = {image["id"]: Counter() for image in content["images"]}
    for annotation in content["annotations"]:
        by_image[annotation["image_id"]][annotation.get("iscrowd", 0)] += 1
    people = sum(kinds[0] for kinds in by_image.values())
    regions = sum(kinds[1] for kinds in by_image.values())
    somebody = sum(kinds[0] > 0 for kinds in by_image.values())
    empty = sum(not kinds for kinds in by_image.values())
    text = (
        f"{counted(len(by_image), 'picture')}: {counted(people, 'person', 'people')} in {somebody} "
        f"of them, {counted(regions, 'region')} to ignore, {counted(empty, 'picture')} without "
        "anybody"
    )
    broken = content["broken"]
    if broken:
        first = broken[0]
        text += f"; left out: {len(broken)} broken (first: {first['file_name']}, {first['reason']})"
    return text


def read_labels(path: Path) -> dict[str, Any]:
    """A file that labelling wrote, looked at entry by entry.

    Raises:
        UserError: unreadable, or something else; the sentence says what is wrong with it.
    """
    try:
        content = read_json(path, MAX_ANNOTATION_BYTES)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError:
        raise UserError(f"{path} was not written by labelling; give its shards") from None
    wrong = _wrong_with(content)
    if wrong:
        raise UserError(f"{path} was not written by labelling ({wrong}); give its shards")
    assert isinstance(content, dict)
    return content


def _wrong_with(content: Any) -> str:
    """What a file of labels lacks or has too much of; nothing where all is well."""
    if not isinstance(content, dict) or not isinstance(content.get("info"), dict):
        return "it has no 'info'"
    for key in ("images", "annotations", "broken", "categories"):
        entries = content.get(key)
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            return f"its '{key}' is no list of entries"
    shard = content["info"].get("shard")
    if not isinstance(content["info"].get("pictures"), dict):
        return "its 'info' does not say of which pictures"
    if not isinstance(shard, list) or [type(part) for part in shard] != [int, int]:
        return "its 'info' does not say which shard of how many it is"
    if not 1 <= shard[0] <= shard[1] < _MOST_SHARDS:
        return f"it says that it is shard {shown(shard[0])} of {shown(shard[1])}"
    if content["categories"] != [_CATEGORY]:
        return "its 'categories' are not the person of 17 points that labelling writes"
    for entry in content["broken"]:
        if not isinstance(entry.get("file_name"), str) or not isinstance(entry.get("reason"), str):
            return "an entry of 'broken' has no file name or no reason"
    return _wrong_entry(content["images"], content["annotations"])


def _wrong_entry(images: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> str:
    """What is wrong with the first bad picture or annotation."""
    numbers: set[int] = set()
    for place, image in enumerate(images):
        if not is_picture(image) or not {"width", "height"} <= image.keys():
            return f"entry {place} of 'images' lacks an id, a file name or a size"
        if image["id"] in numbers:
            return f"two entries of 'images' have the id {shown(image['id'])}"
        numbers.add(image["id"])
    for place, annotation in enumerate(annotations):
        number = annotation.get("image_id")
        if not isinstance(number, int) or number not in numbers:
            return f"entry {place} of 'annotations' is of no picture that it lists"
        if not is_numbers(annotation.get("keypoints"), 3 * len(COCO17)):
            return f"entry {place} of 'annotations' has no 17 points"
        if not is_numbers(annotation.get("bbox"), 4) or not is_flag(annotation.get("iscrowd")):
            return f"entry {place} of 'annotations' has no box, or an iscrowd that is not 0 or 1"
    return ""


def merge(paths: Sequence[Path]) -> dict[str, Any]:
    """One content out of all shards of a run, the same as of a run in one piece.

    Raises:
        UserError: shards of different runs, one twice, or one missing; files that are damaged.
    """
    contents = [read_labels(path) for path in paths]
    shards = [tuple(content["info"].pop("shard")) for content in contents]
    seen: dict[tuple[int, int], Path] = {}
    for path, shard in zip(paths, shards, strict=True):
        if shard in seen:
            raise UserError(
                f"{path} and {seen[shard]} are both shard {_name(shard)}; give each once"
            )
        seen[shard] = path
    count = shards[0][1]
    for path, shard, content in zip(paths, shards, contents, strict=True):
        if shard[1] != count:
            raise UserError(
                f"{path} is shard {_name(shard)} and {paths[0]} is shard {_name(shards[0])}; give "
                "the shards of one run"
            )
        if content["info"] != contents[0]["info"]:
            raise UserError(
                f"{path} and {paths[0]} come from runs with other pictures, networks or settings"
            )
    missing = [place for place in range(1, count + 1) if (place, count) not in seen]
    if missing:
        named = ", ".join(f"{place}/{count}" for place in missing[:_NAMED])
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise UserError(f"of {count} shards these are missing: {named}{more}; label them first")
    _check_apart(paths, contents)
    return _joined(contents)


def _name(shard: tuple[int, ...]) -> str:
    return "/".join(map(str, shard))


def _check_apart(paths: Sequence[Path], contents: Sequence[dict[str, Any]]) -> None:
    """Refuse shards that have a picture in common.

    Raises:
        UserError: naming both files and the picture.
    """
    owner: dict[int, Path] = {}
    for path, content in zip(paths, contents, strict=True):
        for image in content["images"]:
            if image["id"] in owner:
                raise UserError(
                    f"{path} and {owner[image['id']]} both have the picture {shown(image['id'])}, "
                    f"{shown(image['file_name'])}; label their shards again"
                )
            owner[image["id"]] = path


def _joined(contents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    images = sorted((i for c in contents for i in c["images"]), key=lambda image: image["id"])
    annotations = [annotation for content in contents for annotation in content["annotations"]]
    annotations.sort(
        key=lambda annotation: annotation["image_id"]
    )  # stable: order within one stays
    broken = sorted((b for c in contents for b in c["broken"]), key=lambda b: str(b["file_name"]))
    info = {**contents[0]["info"], "shard": [1, 1]}
    return {
        "info": info, "images": images, "annotations": numbered(annotations),
        "categories": contents[0]["categories"], "broken": broken,
    }  # fmt: skip
