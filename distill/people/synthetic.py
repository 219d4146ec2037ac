"""Synthetic people: procedural figures over varied backgrounds, with exact keypoints.

Training data that needs no download, and the picture the demonstration ships.  A figure is a
small three-dimensional skeleton, posed at random, turned about its vertical axis, projected
without perspective and drawn limb by limb from far to near.  The same seed always gives the same
picture.

``python -m distill.people.synthetic FOLDER --count 100`` writes a set in COCO keypoint format.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ai8x_models.skeleton import COCO17, KEYPOINTS, to_coco17
from common.arguments import Parser, to_folder, whole
from common.console import command_line, progress, say
from common.errors import UserError
from common.files import whole_folder, write_file
from distill.people import film
from distill.people.drawn.bones import placed, posed
from distill.people.drawn.figure import (
    SUPERSAMPLE,
    Canvas,
    backdrop,
    clothes,
    draw_person,
    finished,
    keypoints_of,
    look_at,
)


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture of synthetic people.

    Attributes:
        pixels: uint8 [h, w, 3], RGB.
        keypoints: float32 [people, 18, 3]: x, y in pixels and 2 visible, 1 hidden by somebody
            nearer, 0 outside the picture or on the far side of the head (then x = y = 0).
    """

    pixels: npt.NDArray[np.uint8]
    keypoints: npt.NDArray[np.float32]


def make_scene(
    seed: int, width: int = 256, height: int = 256, people: int | None = None, active: float = 0.5
) -> Scene:
    """Draw a picture of ``people`` figures (random, 1 to 4, when not given).

    ``active``, 0..1, bounds how far poses stray from standing.  The result depends on the
    arguments only.
    """
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 5)) if people is None else people
    wide, high = width * SUPERSAMPLE, height * SUPERSAMPLE
    canvas = Canvas(backdrop(rng, high, wide))
    slots = (rng.permutation(count) + 0.5 + rng.uniform(-0.2, 0.2, count)) / max(count, 1)
    found = []
    for person in range(count):
        canvas.current = person
        body = posed(rng, active * rng.random())
        at, unit = placed(body, rng, round(wide * 1.2 / max(count, 1) ** 0.5), high, 0.0)
        shift = np.array([slots[person] * wide, 0, 0])
        at = {name: point + shift for name, point in at.items()}
        draw_person(canvas, at, unit, clothes(rng))
        found.append(keypoints_of(at))
    for person, points in enumerate(found):
        look_at(points, canvas.owner, person)
    keypoints = np.array(found, dtype=np.float32).reshape(-1, len(KEYPOINTS), 3)
    return Scene(finished(canvas.pixels, rng), keypoints)


def demonstration() -> Scene:
    """The scene of ``docs/images/people.png``, the picture that ``make run`` looks at by itself."""
    return make_scene(seed=106, width=320, height=240, people=2, active=0.35)


def coco_annotations(scene: Scene, image_id: int, first_id: int) -> list[dict[str, Any]]:
    """The scene's people as COCO keypoint annotations (17 points)."""
    records = []
    for offset, person in enumerate(scene.keypoints):
        points = to_coco17(person)
        seen = points[points[:, 2] > 0, :2]
        if not len(seen):
            continue
        low, size = seen.min(axis=0), np.ptp(seen, axis=0)
        records.append(
            {
                "id": first_id + offset,
                "image_id": image_id,
                "category_id": 1,
                "iscrowd": 0,
                "keypoints": [round(float(value), 2) for value in points.reshape(-1)],
                "num_keypoints": len(seen),
                "bbox": [round(float(value), 2) for value in (*low, *size)],
                # About the part of its box that a person covers.
                "area": round(float(size[0] * size[1]) * 0.5, 2),
            }
        )
    return records


def crossing_scene(seed: int, size: int) -> Scene:
    """Four people who cross on their ways, many of them overlapping: a picture out of a film."""
    frame = film.still(seed, size)
    keypoints = np.array(list(frame.people.values()), np.float32)
    return Scene(frame.pixels, keypoints.reshape(-1, len(KEYPOINTS), 3))


def write_set(
    folder: Path,
    count: int,
    seed: int = 0,
    size: int = 192,
    height: int | None = None,
    crossing: bool = False,
) -> Path:
    """Write ``count`` pictures and ``annotations.json`` in COCO format; returns the JSON's path.

    Pictures are ``size`` pixels wide and as high, unless ``height`` is given. With ``crossing``
    they are those of :func:`crossing_scene`, else of :func:`make_scene`. The folder appears only
    when everything in it is complete.
    """
    if folder.exists():
        raise UserError(f"{folder} exists already; remove it or name another folder")

    def make(number: int) -> Scene:
        if crossing:
            return crossing_scene(number, size)
        return make_scene(number, size, height or size)

    with whole_folder(folder) as staging:
        _write_set(staging, range(seed, seed + count), make)
    return folder / "annotations.json"


def _write_set(folder: Path, seeds: Sequence[int], make: Callable[[int], Scene]) -> None:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index, seed in enumerate(progress(seeds, title="pictures", unit="picture")):
        scene = make(seed)
        height, width = scene.pixels.shape[:2]
        name = f"{index:06d}.jpg"
        write_picture(folder / name, scene.pixels)
        images.append({"id": index + 1, "file_name": name, "width": width, "height": height})
        annotations += coco_annotations(scene, index + 1, 100 * (index + 1))
    categories = [{"id": 1, "name": "person", "keypoints": list(COCO17)}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    write_file(folder / "annotations.json", json.dumps(content))


def write_picture(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    """Write uint8 [h, w, 3] RGB as the format its name ends in."""
    if not cv2.imwrite(str(path), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)):
        raise UserError(f"cannot write the picture {path}; is the disk full or the folder missing?")


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = Parser(prog="python -m distill.people.synthetic", description=__doc__)
    parser.add_argument("folder", type=to_folder, help="folder to make")
    parser.add_argument("--count", type=whole(), default=100, help="pictures (100)")
    parser.add_argument("--seed", type=whole(0), default=0, help="seed of the first picture (0)")
    parser.add_argument(
        "--size", type=whole(16, 2048), default=192, help="side of a picture in pixels (192)"
    )
    parser.add_argument(
        "--crossing", action="store_true", help="four people in each, who cross and overlap"
    )
    options = parser.parse_args(arguments)
    made = write_set(
        options.folder, options.count, options.seed, options.size, crossing=options.crossing
    )
    say(str(made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
