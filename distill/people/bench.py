"""Speed of data preparation and decoding, one core: ``make bench``.

All data are synthetic people, so the numbers can be measured anywhere.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

from ai8x_models.codec import encode_batch
from ai8x_models.decode import decode, decode_single
from common.arguments import Parser
from common.console import command_line, progress
from distill.people.crops import Augmentation, CropDataset, collate
from distill.people.person_sets import MAX_SIDE, PeopleSet, SyntheticSet
from distill.people.synthetic import write_set

BATCH = 32
# Figures below which training on one core would wait for its data, images per second.
TARGETS_AT_LEAST = 1000.0
LOADER_AT_LEAST = 300.0


def rate(step: Callable[[], int], seconds: float = 1.5) -> float:
    """Items per second of processor time; ``step`` says how many it did, its first call is free."""
    step()
    done, start = 0, time.process_time()
    while time.process_time() - start < seconds:
        done += step()
    return done / (time.process_time() - start)


def measure() -> dict[str, float]:
    """Images per second of processor time, of every stage."""
    people = SyntheticSet(40, 0)
    augment = Augmentation(scale=(1.1, 1.6), rotate=40, shift=0.1, flip=0.5, colour=0.3, cutout=0.2)
    crops = CropDataset(people, 128, augment)
    points = np.zeros((BATCH, 3, 18, 3), dtype=np.float32)
    for index in range(BATCH):
        points[index, :, :, :] = people.people[index % len(people.people)].keypoints * (0.5, 0.5, 1)
    heat, pafs = encode_batch(points)

    def targets() -> int:
        encode_batch(points)
        return BATCH

    def loader() -> int:
        collate([crops[index % len(crops)] for index in range(BATCH)])
        return BATCH

    def single() -> int:
        for index in range(BATCH):
            decode_single(heat[index])
        return BATCH

    def several() -> int:
        for index in range(BATCH):
            decode(heat[index], pafs[index])
        return BATCH

    found = _rates({"targets, 3 people": targets, "crops with targets": loader})
    found |= measure_files()
    return found | _rates({"decode, one person": single, "decode, any number": several})


def _rates(steps: dict[str, Callable[[], int]]) -> dict[str, float]:
    """:func:`rate` of each."""
    return {
        name: rate(step) for name, step in progress(steps.items(), title="measuring", unit="stage")
    }


def measure_files(count: int = 32) -> dict[str, float]:
    """The same from JPEG files as large as photographs that do not stay in memory, 640 x 480."""
    augment = Augmentation(scale=(1.1, 1.6), rotate=40, shift=0.1, flip=0.5, colour=0.3, cutout=0.2)
    with tempfile.TemporaryDirectory() as folder:
        annotations = write_set(Path(folder) / "set", count, seed=0, size=640, height=480)
        people = PeopleSet(annotations, annotations.parent, in_memory=False)
        crops = CropDataset(people, 128, augment)

        def decode() -> int:
            for picture in people.pictures:
                assert picture.pixels.shape[1] == MAX_SIDE
            return count

        def loader() -> int:
            collate([crops[index % len(crops)] for index in range(BATCH)])
            return BATCH

        return _rates({"decode 640 x 480 JPEG": decode, "crops from such files": loader})


@command_line
def main(arguments: list[str] | None = None) -> int:
    """Print a table; exit status 1 when data preparation is slower than it must be."""
    Parser(
        prog="python -m distill.people.bench",
        description="Measure how fast pictures are made ready for training.",
    ).parse_args(arguments)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    results = measure()
    for name, value in results.items():
        print(f"{name:<22} {value:10,.0f} images/s")
    slow = [
        f"{name}: {results[name]:.0f} images/s, at least {limit:.0f} are needed"
        for name, limit in (
            ("targets, 3 people", TARGETS_AT_LEAST),
            ("crops with targets", LOADER_AT_LEAST),
        )
        if results[name] < limit
    ]
    for line in slow:
        print(f"too slow: {line}", file=sys.stderr)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
