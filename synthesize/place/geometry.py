"""Translates a placed layer into what the cycle model needs."""

from __future__ import annotations

from synthesize.chip import limits
from synthesize.chip.cycles import LayerGeometry, layer_cycles
from synthesize.graph.hardware import as_run, hardware_pad, pixels_flattened
from synthesize.graph.ir import Layer
from synthesize.graph.masks import bit_count
from synthesize.place.placement import LayerPlace


def geometry(layer: Layer, place: LayerPlace) -> LayerGeometry:
    """Return the geometry of a layer for :mod:`synthesize.chip.cycles`."""
    layer = as_run(layer)
    pooled = layer.pooled
    if layer.op == "convtranspose2d":
        pooled = pooled[0] * layer.stride[0], pooled[1] * layer.stride[1]
    # Flattened pixels are so many more passes of one pixel, which is how the registers have it.
    passes = place.passes * pixels_flattened(layer)
    passthrough = layer.op == "passthrough"
    outputs = layer.out_shape[0] if passthrough else place.kernels // passes
    return LayerGeometry(
        kernel=layer.kernel,
        pad=hardware_pad(layer),
        pooled=(1, 1) if layer.flatten else pooled,
        pool=layer.pool_size,
        passes=passes,
        outputs=outputs,
        output_columns=layer.out_shape[2],
        operands=layer.operands,
        pool_first=layer.pool_first or layer.pool_size == (1, 1) or layer.operands == 1,
        passthrough=passthrough,
        time_slots=time_slots(layer, place),
        expansions=place.out_passes,
        flatten_long=layer.flatten and passes > 16,
        streaming=place.streaming,
        kernel_word=place.first_word,
    )


def cycles(layer: Layer, place: LayerPlace) -> int:
    """Return the cycles of a placed layer."""
    return layer_cycles(geometry(layer, place))


def time_slots(layer: Layer, place: LayerPlace) -> int:
    """Return the time slots in which a pass-through layer writes; 1 for any other layer."""
    if layer.op != "passthrough":
        return 1
    per = limits.PROCESSORS_PER_QUADRANT
    counts = [bit_count(place.processors >> (q * per) & ((1 << per) - 1)) for q in range(4)]
    return max((n - 1) // 4 for n in counts if n) + 1
