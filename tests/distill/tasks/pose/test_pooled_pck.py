"""PCK over several processes counts points; it does not average shares."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ai8x_models.students import Student
from distill.people.metrics import pck
from distill.tasks.pose.module import PoseModule
from distill.tasks.pose.recipe import Recipe


def people(count: int, hits: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """``count`` people of 18 labelled points, of whom ``hits`` are found and the others missed."""
    rng = np.random.default_rng(count)
    truth = [np.c_[rng.uniform(0, 99, (18, 2)), np.ones(18)] for _ in range(count)]
    found = [t if n < hits else t + (500, 0, 0) for n, t in enumerate(truth)]
    return found, truth


def logged(parts: list[tuple[int, int]], rank: int, monkeypatch: pytest.MonkeyPatch) -> float:
    """What the process of this rank logs when every process has a part of the people."""
    scores = [pck(np.stack(found), np.stack(truth)) for found, truth in (people(*p) for p in parts)]

    def reduce(counts: torch.Tensor, reduce_op: str) -> torch.Tensor:
        assert reduce_op == "sum"
        assert counts.tolist() == [scores[rank].correct, scores[rank].points]
        return torch.tensor([sum(s.correct for s in scores), sum(s.points for s in scores)])

    module = PoseModule(Student("tiny"), Recipe())
    strategy = SimpleNamespace(reduce=reduce)
    monkeypatch.setattr(type(module), "trainer", SimpleNamespace(strategy=strategy))
    found = {}
    monkeypatch.setattr(module, "log", lambda key, value, **_: found.update({key: float(value)}))
    module.found, module.truth = people(*parts[rank])
    module.on_validation_epoch_end()
    assert module.found == []
    return found["pck"]


def test_parts_of_different_size(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [(8, 8), (2, 0)]  # shares of 1 and 0: their mean is 0.5, the truth is 0.8
    for rank in (0, 1):
        assert logged(parts, rank, monkeypatch) == pytest.approx(0.8)
