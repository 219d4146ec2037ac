"""A student whose input is 4x4 blocks of the picture as channels, which no shipped one has."""

from __future__ import annotations

from typing import Any

from ai8x_models.students import HEATMAPS, INPUT, PAFS, LayerSpec, Student, StudentSpec

_WIDE: dict[str, Any] = {"kernel": 1, "activation": "none", "batchnorm": False, "wide": True}


def folded_student() -> Student:
    """Two layers and two outputs, for pictures [3, 64, 64]."""
    layers = (
        LayerSpec("fine", INPUT, 48, 16, fold=4),
        LayerSpec("coarse", "fine", 16, 8, pool=2),
        LayerSpec("heat_out", "coarse", 8, HEATMAPS, **_WIDE),
        LayerSpec("paf_out", "coarse", 8, PAFS, **_WIDE),
    )
    return Student(StudentSpec("folded", (3, 64, 64), layers, ("heat_out", "paf_out")))
