"""Batch-norm folding of a student."""

from __future__ import annotations

from ai8x_models.layers.norm import fold_layer
from ai8x_models.students import Student


def fold_batchnorm(student: Student) -> Student:
    """Fold every layer in place; the float student computes the same function as in eval mode."""
    for _, layer in student.layers():
        fold_layer(layer)
    return student
