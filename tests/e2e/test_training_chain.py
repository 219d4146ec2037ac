"""The whole chain on synthetic people, from teacher to firmware: it can learn, its stages fit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import yaml

from ai8x_models.student_file import load_student
from distill.__main__ import main as distill
from distill.people.person_sets import SyntheticSet
from distill.tasks.pose.evaluation.evaluate import evaluate_pck
from evalkit.__main__ import main as evalkit
from quantize.__main__ import main as quantize
from synthesize.__main__ import main as synthesize
from synthesize.write import elf as build
from tests.helpers.places import REPOSITORY, find_shared

PLAIN = REPOSITORY / "tests" / "distill" / "tasks" / "pose" / "plain.yaml"
QUICK = ["precision=32-true", "accelerator=cpu", "workers=0", "validate_every=1", "seed=5"]


@pytest.mark.long
def test_ten_images_can_be_learnt_by_heart(tmp_path: Path) -> None:
    """Data, targets, loss, optimiser, schedule and decoding: PCK 0.99, or one of them is wrong."""
    settings = [
        # At 96 pixels the cells are fine enough: decoding perfect maps gives PCK 1.0.
        *QUICK, "kind=crops", "student=tiny", "size=96", "epochs=1", "samples_per_epoch=1800",
        "batch=10",
        "learning_rate=4e-3", "warmup_steps=20", "decay_fraction=0.5", "weight_decay=0",
        "train=[{annotations: 'synthetic:10:1'}]", "validation=[{annotations: 'synthetic:1:1'}]",
        "augment={scale: [1.3, 1.3], rotate: 0, shift: 0, flip: 0, colour: 0, cutout: 0}",
        f"out={tmp_path}",
    ]  # fmt: skip
    assert distill(["student", "--config", str(PLAIN), *settings]) == 0
    student, _ = load_student(tmp_path / "student.pth.tar")
    people = SyntheticSet(10, seed=5, people=1)
    assert len(people.people) == 10
    assert evaluate_pck(student, people, size=96).overall >= 0.99


def through_the_firmware(checkpoint: Path, folder: Path, count: int, people: list[str]) -> str:
    """What ``distill kit`` says about ``count`` crops that the firmware has seen on the kit."""
    project, crops, maps = (folder / name for name in ("project", "crops", "maps.npz"))
    compiled = [str(checkpoint), "--quiet", "--application", "frame-injection"]
    assert synthesize(["compile", *compiled, "--out", str(project)]) == 0
    elf = build.build(project, cache=folder / "objects", baud=921600)
    assert distill(["crops", "--out", str(crops), "--count", str(count), *people]) == 0
    assert evalkit(["maps", "--kit", str(elf), "--camera", str(crops), "-o", str(maps)]) == 0
    assert distill(["kit", str(checkpoint), str(maps), *people]) == 0
    return f"{count} of {count} crops: all maps equal, word for word"


@pytest.mark.long
@pytest.mark.parametrize("name", ["native", "seed", "tiny"])
def test_a_hundred_validation_crops_on_the_kit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """The shipped integer student and its firmware agree on photographs, or on drawn people."""
    pytest.importorskip("unicorn", reason="the kit extra is not installed")
    shared = find_shared()
    people = ["--synthetic", "60"]
    if shared is not None:
        lspet = shared / "data" / "lspet"
        people = ["--annotations", str(lspet / "lspet_val.json"), "--images", str(lspet / "val")]
    shipped = REPOSITORY / "ai8x_models" / "checkpoints" / f"{name}-q.pth.tar"
    said = through_the_firmware(shipped, tmp_path, 100, people)
    table = capsys.readouterr().out
    assert said in table
    scores = re.findall(r"\| (?:integer student, here|firmware) \| ([\d.]+) \|", table)
    assert len(scores) == 2
    assert scores[0] == scores[1]
    if shared is not None:  # a hundred of the thousand that docs/results.yaml speaks of
        results = yaml.safe_load((REPOSITORY / "docs" / "results.yaml").read_text())["students"]
        (known,) = (entry["integer"] for entry in results if entry["name"] == name)
        assert abs(float(scores[0]) - known) < 5


def test_from_nothing_to_firmware(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Teacher, distilled student, quantisation-aware student, integers, evaluation, firmware."""
    pytest.importorskip("unicorn", reason="the kit extra is not installed")
    common = [
        *QUICK, "size=64", "epochs=1", "samples_per_epoch=8", "batch=4", "warmup_steps=1",
        "train=[{annotations: 'synthetic:6'}]", "validation=[{annotations: 'synthetic:4'}]",
    ]  # fmt: skip
    teacher, floating, aware = (tmp_path / name for name in ("teacher", "float", "qat"))
    assert distill(["teacher", *common, "stages=0", "width=16", f"out={teacher}"]) == 0
    taught = f"teacher={teacher / 'teacher.pth.tar'}"
    assert (
        distill(["student", *common, "kind=crops", "student=tiny", taught, f"out={floating}"]) == 0
    )
    start = f"start_from={floating / 'student.pth.tar'}"
    assert (
        distill(["student", *common, "kind=crops", "qat.enabled=true", start, f"out={aware}"]) == 0
    )
    integers = tmp_path / "tiny-q.pth.tar"
    assert quantize([str(aware / "student.pth.tar"), str(integers)]) == 0
    capsys.readouterr()
    files = [str(floating / "student.pth.tar"), str(integers)]
    assert distill(["eval", *files, "--synthetic", "6", "--size", "64"]) == 0
    table = capsys.readouterr().out
    assert "float/student.pth.tar" in table
    assert "tiny-q.pth.tar" in table
    said = through_the_firmware(integers, tmp_path, 2, ["--synthetic", "2"])
    assert said in capsys.readouterr().out
    # The integers compute what quantisation-aware training computed.
    qat, _ = load_student(aware / "student.pth.tar")
    student, _ = load_student(integers)
    pixels = torch.randint(0, 256, (2, 3, 64, 64)).double() - 128
    with torch.no_grad():
        for exact, trained in zip(student.maps(pixels), qat.maps((pixels / 128).float()),
                                  strict=True):  # fmt: skip
            torch.testing.assert_close(exact.float(), trained, rtol=0, atol=1e-4)
