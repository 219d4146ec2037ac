"""Exact rewrites that turn a described network into one the accelerator can run.

Every pass is a pure function from graph to graph that keeps every output, integer for integer.
:func:`legalise` runs those that are always wanted and executes the graph on random integers before
and after each one; rewrites that are a choice (merging layers) are offered by
:func:`alternatives`, and the compiler takes the fastest that fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from synthesize.graph import reference
from synthesize.graph.ir import Graph
from synthesize.legal.rewrites.copy_operands import copy_shared_operands
from synthesize.legal.rewrites.fold_stride import fold_first_stride
from synthesize.legal.rewrites.linear import linear_as_conv
from synthesize.legal.rewrites.merge import merge_parallel
from synthesize.legal.rewrites.patches import widen_patches
from synthesize.legal.rewrites.pool_alone import pool_alone
from synthesize.legal.rewrites.stride_pool import stride_as_pool
from synthesize.legal.rewrites.upsample import upsample_as_convolution

Pass = Callable[[Graph], Graph]

LEGALISE: tuple[Pass, ...] = (
    widen_patches,  # before folding, so that patches in the first layer are folded too
    fold_first_stride,
    stride_as_pool,
    upsample_as_convolution,
    linear_as_conv,
    pool_alone,
    copy_shared_operands,
)
"""Passes that only change what the chip cannot do, in running order."""

CHOICES: tuple[Pass, ...] = (merge_parallel,)
"""Passes that may or may not pay."""

_SEED = 78


def legalise(graph: Graph, check: bool = True) -> Graph:
    """Apply all necessary passes, verifying each by execution.

    Raises:
        AssertionError: a pass changed a result (a defect of the compiler).
        UserError: the network holds something that no pass can express.
    """
    for step in LEGALISE:
        graph = apply(step, graph, check)
    return graph


def alternatives(graph: Graph, check: bool = True) -> Iterator[Graph]:
    """Yield a legal graph as it is, then with each optional pass applied."""
    yield graph
    for step in CHOICES:
        changed = apply(step, graph, check)
        if changed is not graph:
            yield changed


def apply(step: Pass, graph: Graph, check: bool = True) -> Graph:
    """Apply one pass; when it changed something, execute both graphs on random integers."""
    changed = step(graph)
    if changed is graph or not check:
        return changed
    rng = np.random.default_rng(_SEED)
    data = rng.integers(-128, 128, graph.input.described_shape)
    before, after = reference.run(graph, data), reference.run(changed, data)
    for name, values in before.items():
        assert np.array_equal(values, after[name]), f"{step.__name__} changed output {name}"
    return changed
