"""Cycles of a layer depend on what its registers say, and on nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from synthesize.chip.cycles import LayerGeometry, layer_cycles

ELEMENTWISE = LayerGeometry(
    kernel=(3, 3), pad=(1, 1), pooled=(8, 8), pool=(1, 1), passes=1, outputs=4,
    output_columns=8, operands=2,
)  # fmt: skip


@pytest.mark.parametrize("operands", [1, 2, 3])
def test_the_order_of_no_pooling_takes_no_time(operands: int) -> None:
    first = replace(ELEMENTWISE, operands=operands)
    assert layer_cycles(replace(first, pool_first=False)) == layer_cycles(first)


def test_the_order_of_pooling_does() -> None:
    first = replace(ELEMENTWISE, pool=(2, 2))
    assert layer_cycles(replace(first, pool_first=False)) < layer_cycles(first)
