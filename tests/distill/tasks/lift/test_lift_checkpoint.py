"""The shipped lifting student: torch, the compiler's reference and the virtual chip agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from distill.tasks.lift.student import ANSWERS, CHANNELS, load_lifter
from synthesize.compiler import compile_network
from synthesize.read import checkpoint
from tests.helpers.virtual import run_on_kit

PATH = Path(__file__).resolve().parents[4] / "ai8x_models" / "checkpoints" / "lift-q.pth.tar"


def test_torch_reference_and_chip_agree_on_a_hundred_inputs() -> None:
    student = load_lifter(PATH).eval()
    compiled = compile_network(checkpoint.load(PATH))
    inputs = np.random.default_rng(78).integers(-128, 128, (100, CHANNELS, 1, 1)).astype(np.int8)
    with torch.no_grad():
        answers = student(torch.from_numpy(inputs).float())[0].numpy().astype(np.int64)
    assert answers.shape == (100, ANSWERS, 1, 1)
    for number, (sample, answer) in enumerate(zip(inputs, answers, strict=True)):
        assert np.array_equal(compiled.known_answer(sample)["pose3d"], answer)
        found = run_on_kit(compiled.program, sample)[0]["pose3d"]
        assert np.array_equal(found, answer), number
