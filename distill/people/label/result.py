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
from common.texts import counted
from distill.people.annotations import MAX_ANNOTATION_BYTES

_CATEGORY = {"id": 1, "name": "person", "keypoints": list(COCO17), "skeleton": []}


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
    """A file that labelling wrote.

    Raises:
        UserError: unreadable, or something else.
    """
    try:
        content = read_json(path, MAX_ANNOTATION_BYTES)
        parts = [content["info"]["shard"], content["info"]["pictures"], content["broken"]]
        parts += [content["images"], content["annotations"]]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} was not written by labelling; give its shards") from None
    assert isinstance(content, dict)
    return content


def merge(paths: Sequence[Path]) -> dict[str, Any]:
    """One content out of all shards of a run, the same as of a run in one piece.

    Raises:
        UserError: shards of different runs, one twice, or one missing.
    """
    shards = [(path, read_labels(path)) for path in paths]
    runs: list[tuple[Path, dict[str, Any]]] = []
    seen: dict[int, Path] = {}
    for path, content in shards:
        place, count = content["info"].pop("shard")
        if place in seen:
            raise UserError(
                f"{path} and {seen[place]} are both shard {place}/{count}; give each once"
            )
        seen[place] = path
        runs.append((path, {**content["info"], "of": count}))
    for path, run in runs[1:]:
        if run != runs[0][1]:
            raise UserError(
                f"{path} and {runs[0][0]} come from runs with other pictures, networks or settings"
            )
    count = runs[0][1]["of"]
    missing = sorted(set(range(1, count + 1)) - seen.keys())
    if missing:
        named = ", ".join(f"{place}/{count}" for place in missing)
        raise UserError(f"of {count} shards these are missing: {named}; label them first")
    return _joined([content for _, content in shards])


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
