"""Rules of Conv1d layers whose dilated kernel reaches over more samples than a kernel may be long.

The chip runs them in two dimensions (:func:`synthesize.graph.hardware.as_run`). Whatever reaches
over fewer samples is a kernel with zeros between its taps and has none of these limits.

Sources: the checks in ai8x-synthesis ``izer/backend/max7800x.py`` ("Using Conv2d hardware for
dilated Conv1d") and ``izer/tornadocnn.py``.
"""

from __future__ import annotations

from typing import Any

from synthesize.chip import limits
from synthesize.graph.ir import Graph, Layer

Values = dict[str, Any] | None


def dilated_kernel(graph: Graph, layer: Layer) -> Values:
    """a kernel of length {length} with dilation {dilation} reaches over {reach} samples, but only
    kernels of length 2 and 3 may reach over more than 9; use a shorter kernel or a smaller
    dilation"""
    if layer.dilation == 1 or layer.kernel[0] in limits.DILATED_LENGTHS:
        return None
    reach = (layer.kernel[0] - 1) * layer.dilation + 1
    return {"length": layer.kernel[0], "dilation": layer.dilation, "reach": reach}


def dilated_padding(graph: Graph, layer: Layer) -> Values:
    """padding {pad} with dilation {dilation} is not possible: where a kernel reaches over more than
    9 samples, the chip pads whole rows of samples; leave the padding out or use a smaller
    dilation"""
    if layer.dilation == 1 or layer.pad == (0, 0):
        return None
    return {"pad": layer.pad[0], "dilation": layer.dilation}


def dilated_pooling(graph: Graph, layer: Layer) -> Values:
    """pooling cannot be combined with dilation {dilation}, whose kernel reaches over more than 9
    samples; pool in a layer before it"""
    if layer.dilation == 1 or layer.pool is None:
        return None
    return {"dilation": layer.dilation}


DILATED_RULES = (dilated_kernel, dilated_padding, dilated_pooling)
