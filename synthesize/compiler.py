"""The compiler, stage by stage, with a check between the stages.

    read -> (described graph) -> legalise -> rules -> place -> verify -> build -> known answer

A hand-written placement is honoured as it is: no pass changes the layers, and masks and offsets
are taken over. Our own students, which come without description, and descriptions without
placement are legalised, optional rewrites are tried, and the fastest that fits is placed by search.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ai8x_models import point_maps, thresholds
from common.errors import UserError
from synthesize.chip import limits, memory_map
from synthesize.chip.cycles import STARTUP_CYCLES
from synthesize.graph import cut, reference
from synthesize.graph.ir import Graph
from synthesize.graph.masks import bit_count, bits_of
from synthesize.legal import rewrites, rules, streaming
from synthesize.place import by_hand, geometry, search, verify
from synthesize.place.placement import Placement
from synthesize.place.reserved import NOTHING, Reserved
from synthesize.program import pack, points, registers
from synthesize.program.program import FifoPort, LayerInfo, Program
from synthesize.read import student
from synthesize.read.checkpoint import Checkpoint
from synthesize.read.yaml import description as description_file


@dataclass(frozen=True)
class Compiled:
    """Everything a compilation made.

    Args:
        described: the graph as the user wrote it.
        legal: the graph as it runs on the chip.
        placement: where it lies.
        program: what is written to the chip.
        warnings: sentences the user should read.
    """

    described: Graph
    legal: Graph
    placement: Placement
    program: Program
    warnings: tuple[str, ...] = ()

    def known_answer(self, sample: np.ndarray) -> dict[str, np.ndarray]:
        """Return the outputs of the described network for a sample, int32 by output name."""
        return reference.run(self.described, sample)


def compile_network(
    checkpoint: Checkpoint | None,
    description: str | Path | None = None,
    input_shape: tuple[int, ...] | None = None,
    trust_placement: bool = False,
    reserved: Reserved = NOTHING,
    trained: bool = False,
    fifo: bool = False,
    stop_after: str = "",
) -> Compiled:
    """Compile a network.

    Args:
        checkpoint: its integer weights; without ``description`` it must describe itself. None
            for a description of a network that is not trained yet (weights are zero).
        description: network description (YAML), with or without a placement by hand.
        input_shape: shape of the sample, for descriptions that do not give the input's size.
        trust_placement: compile a hand-written placement although the check finds that it
            overwrites or misses data; the findings become warnings.
        reserved: weight and bias memory that another network keeps.
        trained: without a checkpoint, refuse layers that have weights.
        fifo: send the input of a placement by hand through the FIFOs although nothing streams.
        stop_after: name or number of the layer that the network is to end with.

    Raises:
        UserError: the network cannot be compiled; one sentence says where and why.
    """
    compiled = _compile(
        checkpoint, description, input_shape, trust_placement, reserved, trained, fifo, stop_after
    )
    if checkpoint is None or stop_after:
        return compiled
    decoder = thresholds.from_extras(checkpoint.extras, checkpoint.path)
    reading = point_maps.from_extras(checkpoint.extras, checkpoint.path)
    program = replace(compiled.program, decoder=decoder, points=reading)
    points.check(program, checkpoint.path)
    return replace(compiled, program=program)


def _compile(
    checkpoint: Checkpoint | None,
    description: str | Path | None,
    input_shape: tuple[int, ...] | None,
    trust_placement: bool,
    reserved: Reserved,
    trained: bool,
    fifo: bool,
    stop_after: str,
) -> Compiled:
    """:func:`compile_network`, without what the checkpoint says about reading the outputs."""
    if description is not None:
        read = description_file.load(description, checkpoint, input_shape, trained)
        notes = (*(checkpoint.notes if checkpoint else ()), *read.notes)
        if stop_after:
            graph, hints = cut.stop_after(read.graph, read.hints, stop_after)
            read = replace(read, graph=graph, hints=hints)
        if read.hints is None:
            return compile_graph(read.graph, notes, reserved)
        read = replace(read, hints=replace(read.hints, fifo=fifo))
        assert read.hints is not None
        rules.check(read.graph)
        streaming.check(read.graph, read.hints)
        on = [hint.streaming for hint in read.hints.layers]
        legal = streaming.widen_kernels(read.graph, on)
        placement = by_hand.by_hand(legal, read.hints, reserved)
        return _finish(notes, read.graph, legal, placement, trust_placement)
    if checkpoint is None:
        raise UserError("give a checkpoint, a network description or both")
    graph = student.load(checkpoint)
    if stop_after:
        graph, _ = cut.stop_after(graph, None, stop_after)
    return compile_graph(graph, checkpoint.notes, reserved)


def compile_graph(
    described: Graph, notes: tuple[str, ...] = (), reserved: Reserved = NOTHING
) -> Compiled:
    """Compile a graph that has no placement yet; ``notes`` are passed on as warnings.

    Raises:
        UserError: the network cannot be compiled; one sentence says where and why.
    """
    legal, placement = place_automatically(described, reserved)
    return _finish(notes, described, legal, placement, False)


def place_automatically(described: Graph, reserved: Reserved = NOTHING) -> tuple[Graph, Placement]:
    """Legalise a graph and place it; of all rewrites that fit, return the fastest.

    Raises:
        UserError: the graph breaks a rule or does not fit in any form.
    """
    legal = rewrites.legalise(described)
    best: tuple[int, Graph, Placement] | None = None
    error: UserError | None = None
    for candidate in rewrites.alternatives(legal):
        try:
            rules.check(candidate)
            candidate = streaming.widen_first(candidate, search.streaming_layers(candidate))
            placement = search.search(candidate, reserved=reserved)
        except UserError as failure:
            error = error or failure
            continue
        cycles = total_cycles(candidate, placement)
        if best is None or cycles < best[0]:
            best = (cycles, candidate, placement)
    if best is None:
        assert error is not None
        raise error
    return best[1], best[2]


def total_cycles(graph: Graph, placement: Placement) -> int:
    """Return the cycles of one inference, start-up included."""
    pairs = zip(graph.layers, placement.layers, strict=True)
    return STARTUP_CYCLES + sum(geometry.cycles(layer, spot) for layer, spot in pairs)


def build_program(legal: Graph, placement: Placement) -> Program:
    """Return the program of a placed graph."""
    outputs = tuple(
        pack.output_map(
            legal.layer(out.layer),
            placement.layers[legal.index(out.layer)],
            legal.index(out.layer),
            out,
        )
        for out in legal.outputs
    )
    return Program(
        name=legal.name,
        layers=_layer_infos(legal, placement),
        registers=(*registers.initialise(legal, placement), *registers.configure(legal, placement)),
        start=tuple(registers.start(placement)),
        weights=pack.weight_blocks(legal, placement),
        biases=pack.bias_blocks(legal, placement),
        outputs=outputs,
        input=legal.input,
        input_blocks=pack.input_blocks(legal.input, placement, legal.layers[0].stacked),
        fifo=_fifo(placement),
        startup_cycles=STARTUP_CYCLES,
        cleared=pack.cleared_blocks(legal, placement),
    )


def _finish(
    notes: tuple[str, ...], described: Graph, legal: Graph, placement: Placement, trust: bool
) -> Compiled:
    findings = [str(finding) for finding in verify.check(legal, placement)]
    if findings and not (placement.by_hand and trust):
        assert placement.by_hand, f"the search made a wrong placement: {findings[0]}"
        raise UserError(
            f"{findings[0]} (--trust-placement compiles it all the same, but the result will not "
            "be that of the network)"
        )
    program = build_program(legal, placement)
    return Compiled(described, legal, placement, program, (*notes, *findings))


def _layer_infos(graph: Graph, placement: Placement) -> tuple[LayerInfo, ...]:
    infos = []
    for i, (layer, spot) in enumerate(zip(graph.layers, placement.layers, strict=True)):
        infos.append(
            LayerInfo(
                name=layer.name,
                index=i,
                operation=layer.operation(),
                input_shape=layer.in_shape,
                output_shape=layer.out_shape,
                bits=layer.bits if layer.weight is not None else 0,
                cycles=geometry.cycles(layer, spot),
                macs=layer.macs,
                weight_bytes=layer.weight_bytes,
                bias_bytes=0 if layer.bias is None else len(layer.bias),
                words_per_processor=spot.words,
                first_word=spot.first_word,
                passes=spot.passes,
                processors=bit_count(spot.processors),
                output_processors=bit_count(spot.output_processors),
                in_offset=spot.in_offset,
                out_offset=spot.out_offset,
                source=str(layer.where),
            )
        )
    return tuple(infos)


def _fifo(placement: Placement) -> FifoPort | None:
    if not placement.fifo:
        return None
    processors = bits_of(placement.layers[0].processors)
    numbers = sorted({p // limits.PROCESSORS_PER_QUADRANT for p in processors})
    full = sum(1 << number for number in numbers)
    return FifoPort(tuple(memory_map.FIFO_WRITE[n] for n in numbers), memory_map.FIFO_STAT, full)
