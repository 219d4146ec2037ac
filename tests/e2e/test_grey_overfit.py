"""Students and detectors learn a few pictures by heart: data, targets, loss, optimiser, scores."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ai8x_models.student_file import load_student
from distill.__main__ import main
from distill.people.crops import Augmentation, to_input
from distill.tasks.grey.data import GreyCrops, GreySynthetic, pixels_of
from distill.tasks.grey.evaluate import ground_truth, predict
from distill.tasks.grey.metrics import grey_oks, grey_pck
from distill.tasks.grey.points import POINTS
from distill.tasks.grey.recipe import GreyTeacherRecipe
from distill.tasks.grey.train import load_detector

HEART = [
    "train=[{annotations: 'synthetic:8:1'}]", "validation=[{annotations: 'synthetic:2:1'}]",
    "precision=32-true", "accelerator=cpu", "workers=0", "seed=5", "epochs=1", "size=32",
    "batch=8", "warmup_steps=20", "decay_fraction=0.5", "weight_decay=0", "validate_every=1",
    "augment={scale: [1.3, 1.3], rotate: 0, shift: 0, flip: 0, colour: 0, cutout: 0}",
]  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize(
    ("detector", "size", "steps"),
    [("simple", 32, 250), ("efficientnet", 64, 320), ("code", 32, 250)],
)
def test_detectors_learn_eight_pictures_by_heart(
    detector: str, size: int, steps: int, tmp_path: Path
) -> None:
    settings = [
        *HEART, f"detector={detector}", f"size={size}", f"samples_per_epoch={8 * steps}",
        "learning_rate=1e-3", "dropout=0", f"out={tmp_path}",
    ]  # fmt: skip
    assert (
        main(["grey", "teacher", "--config=distill/tasks/grey/recipes/teacher.yaml", *settings])
        == 0
    )
    network = load_detector(tmp_path / "teacher.pth.tar", GreyTeacherRecipe(size=size))
    crops = GreyCrops(GreySynthetic(8, 5, 1), POINTS[13], size, Augmentation())
    (images, _), *_ = crops.batches(8)
    network.train()  # batch norm has not seen enough batches for its running statistics
    with torch.no_grad():
        found = pixels_of(network(to_input(images)).numpy(), size)
    truth, _ = ground_truth(crops)
    assert grey_pck(found, truth, POINTS[13]).overall >= 0.9


@pytest.mark.long
def test_eight_pictures_can_be_learnt_by_heart(tmp_path: Path) -> None:
    settings = [*HEART, "samples_per_epoch=2400", "learning_rate=4e-3", f"out={tmp_path}"]
    assert main(["grey", "student", "--config=distill/tasks/grey/recipes/toy.yaml", *settings]) == 0
    student, _ = load_student(tmp_path / "student.pth.tar")
    crops = GreyCrops(GreySynthetic(8, 5, 1), POINTS[13], 32, Augmentation())
    (images, _), *_ = crops.batches(8)
    found = pixels_of(predict(student.eval(), images), 32)
    truth, areas = ground_truth(crops)
    assert torch.isfinite(torch.from_numpy(found)).all()
    assert grey_pck(found, truth, POINTS[13]).overall >= 0.97
    assert grey_oks(found, truth, list(areas), POINTS[13])["AP"] >= 0.9
