"""Independent check of a placement by following every byte through data memory.

Nothing here is shared with the code that places or packs: the check starts from processors,
offsets, passes and gaps alone and re-derives every address from the hardware's counting rules
(write pointer: base + pixel * (increment + 1) + pass * channel offset; read pointer: base + one
word per operand, pass and pixel).

Layers that stream read from circular buffers, which are at work at the same time: these must not
share a word with each other or with the output of the last such layer.

Findings name both tensors and the address. A placement made by the compiler must have none.
"""

from __future__ import annotations

from synthesize.graph.ir import Graph
from synthesize.place.placement import Placement
from synthesize.place.verify.data import Data
from synthesize.place.verify.finding import Finding
from synthesize.place.verify.owners import biases, passthrough, weights
from synthesize.place.verify.rings import rings


def check(graph: Graph, placement: Placement) -> list[Finding]:
    """Return everything wrong with a placement: data, weights and biases."""
    findings = Data(graph, placement).run()
    findings += rings(graph, placement)
    findings += passthrough(graph, placement)
    findings += weights(graph, placement)
    findings += biases(graph, placement)
    return findings
