"""The pose decoder, in C and in Python, on the maps of a shipped student for real photographs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ai8x_models.decode import Person, decode
from ai8x_models.decode_fixed import FixedSettings
from ai8x_models.preprocess import prepare, read_picture
from ai8x_models.student_file import load_student
from ai8x_models.students import Student
from distill.people.metrics import detections, oks_ap
from tests.helpers.decoder_cases import Case, check, quantised
from tests.helpers.places import REPOSITORY

CHECKPOINT = REPOSITORY / "ai8x_models" / "checkpoints" / "seed-q.pth.tar"
PICTURES = ("coco_mini/val", "coco_mini/train", "lspet/val")
UNIT = 14


@pytest.fixture(scope="module")
def student() -> Student:
    if not CHECKPOINT.is_file():
        pytest.skip(f"there is no {CHECKPOINT.relative_to(REPOSITORY)}")
    return load_student(CHECKPOINT)[0].eval()


@torch.no_grad()
def maps_of(student: Student, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Real-valued maps of a picture prepared for the network, int8 [3, 128, 128]."""
    scale = 1 if student.mode == "integer" else 128
    heat, pafs = student.maps(torch.from_numpy(pixels.astype(np.float32))[None] / scale)
    return heat[0].numpy(), pafs[0].numpy()


def case_of(maps: tuple[np.ndarray, np.ndarray], wide: bool) -> Case:
    unit = UNIT if wide else 7
    heat, pafs = (quantised(m, unit, wide) for m in maps)
    return Case(heat, pafs, wide, unit, unit, FixedSettings.of())


@pytest.mark.long
def test_a_thousand_photographs(student: Student, shared_dir: Path) -> None:
    paths = [p for name in PICTURES for p in sorted((shared_dir / "data" / name).iterdir())]
    cases = []
    for path in paths[:1000]:
        maps = maps_of(student, prepare(read_picture(path)).data)
        cases += [case_of(maps, True), case_of(maps, False)]
    assert len(cases) == 2000
    assert check(cases) > 1000


@pytest.mark.long
def test_average_precision_on_photographs(student: Student, shared_dir: Path) -> None:
    folder = shared_dir / "data" / "coco_mini"
    truth: dict[str, Any] = json.loads((folder / "person_keypoints_val.json").read_text())
    results: tuple[list, list] = ([], [])
    for image in truth["images"]:
        ready = prepare(read_picture(folder / "val" / image["file_name"]))
        case = case_of(maps_of(student, ready.data), True)
        reference = decode(case.heat / 2.0**UNIT, case.pafs / 2.0**UNIT)
        fixed = [person.to_person() for person in case.expected()]
        for found, records in ((reference, results[0]), (fixed, results[1])):
            people = [Person(ready.to_picture(p.keypoints), p.score) for p in found]
            records.extend(detections(image["id"], people))
    reference_ap, fixed_ap = (oks_ap(truth, records)["AP"] for records in results)
    assert abs(fixed_ap - reference_ap) <= 0.005
