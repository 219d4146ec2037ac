"""Computes one decoded layer on what is in the memories."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.hardware.cnn import operators
from evalkit.hardware.cnn.memory import BiasMemory, DataMemory, WeightMemory
from evalkit.hardware.cnn.operators import Kernels
from evalkit.hardware.cnn.plan import Layer, Masks
from evalkit.hardware.cnn.reader import missing_pixels, read_input
from evalkit.hardware.cnn.writer import Writer
from evalkit.hardware.faults import KitFault
from synthesize.chip import limits, registers
from synthesize.chip.registers import Register

_ACCUMULATOR_LIMIT = 1 << (limits.ACCUMULATOR_BITS - 1)

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Result:
    """What a layer read and produced.

    inputs: int8 [channel, operand, row, column]; channel = pass * processors + processor.
    outputs: int8 (int32 if wide) [channel, row, column]; for pass-through, channels of a pass
        follow those of the pass before.
    """

    inputs: NDArray[np.int8]
    outputs: NDArray[np.signedinteger]


@dataclass
class Memories:
    """Everything a layer can see. ``version`` of the weights keys the cache of decoded masks."""

    data: DataMemory
    weights: WeightMemory
    bias: BiasMemory


@dataclass(frozen=True)
class _Weights:
    """Decoded weights of a layer.

    version: of the weight memory.
    undefined: bool [output], see ``Engine._undefined_outputs``.
    biased: bool [output], those with a weight that is not zero; used: bool [channel] likewise.
    """

    version: int
    kernels: Kernels
    undefined: Bools
    biased: Bools
    used: Bools


class Engine:
    """Runs layers; keeps decoded weights between inferences."""

    def __init__(self, memories: Memories) -> None:
        self.memories = memories
        self._cache: dict[tuple, _Weights] = {}

    def run(
        self, layer: Layer, source: DataMemory, target: DataMemory, round_average: bool
    ) -> Result:
        """Compute one layer from ``source`` into ``target``.

        Raises:
            KitFault: unwritten input, weights or bias, an output out of range or over the
                layer's own input, an accumulator overflow.
        """
        raw, known = read_input(layer, source)
        writer = Writer(layer, source, target)
        if layer.masks is None:
            return _pass_through(layer, raw, known, writer, round_average)
        weights = self._weights(layer)
        certain = _certain(layer, weights, known)
        fields = _prepare(layer, raw, round_average)
        if layer.spread:
            fields = operators.spread(fields)
        sums = operators.convolve(fields, weights.kernels, layer.pad)
        bias = self._bias(layer, weights)
        sums = operators.add_bias(sums, bias)
        if not _fits(weights.kernels, bias, sums):
            raise _fault(layer, registers.POST, None, "a sum of products exceeds 26 bits")
        outputs: NDArray[np.signedinteger] = sums
        if not layer.wide:
            outputs = operators.scale(sums, layer.shift, layer.relu, layer.absolute)
        writer.convolution(outputs, certain)
        return Result(raw, outputs)

    def _weights(self, layer: Layer) -> _Weights:
        """The layer's weights, from the cache if the weight memory is the same."""
        masks = layer.masks
        assert masks is not None
        key = (masks, layer.processors, layer.passes, layer.kernel)
        memory = self.memories.weights
        memory.flush()
        cached = self._cache.get(key)
        if cached is None or cached.version != memory.version:
            cached = self._cache[key] = self._decode_weights(layer, masks)
        return cached

    def _decode_weights(self, layer: Layer, masks: Masks) -> _Weights:
        counter = masks.first + masks.bits * np.arange(masks.count)
        start = (counter >> 3) * masks.taps + masks.skip
        positions = start[:, None] + np.arange(masks.taps)[::-1]
        undefined = self._undefined_outputs(layer, positions)
        memory = self.memories.weights
        chosen = memory.taps()[list(layer.processors)][:, positions].astype(np.int32)
        chosen = chosen >> (counter & 7)[None, :, None].astype(np.int32)
        sign = 1 << (masks.bits - 1)
        chosen = ((chosen & (2 * sign - 1)) ^ sign) - sign
        shape = (len(layer.processors), layer.outputs, layer.passes, masks.taps)
        weights = np.ascontiguousarray(chosen.reshape(shape).transpose(1, 2, 0, 3))
        weights = weights.reshape(layer.outputs, -1, *layer.kernel)
        weights[undefined] = 0
        return _Weights(
            memory.version,
            Kernels.of(weights),
            undefined,
            biased=np.asarray(weights.any(axis=(1, 2, 3)), bool),
            used=np.asarray(weights.any(axis=(0, 2, 3)), bool),
        )

    def _undefined_outputs(self, layer: Layer, positions: NDArray[np.int64]) -> Bools:
        """Which outputs, bool [output], use kernel words that were never written.

        Outputs are counted from the first byte of a data memory word to the last wanted channel;
        channels in between that nobody wants have no weights, or in some processors those of
        another layer. They are stored as unwritten, so that reading them is a fault. The last
        output is always wanted: there an unwritten kernel word is a fault at once.
        """
        words = positions // limits.WEIGHT_WORD_BYTES
        known = self.memories.weights.known_words()[list(layer.processors)][:, words]
        known = known.reshape(len(layer.processors), layer.outputs, -1).min(axis=2)
        undefined = np.asarray(~known.min(axis=0), bool)
        if undefined[-1]:
            processor = layer.processors[int(np.flatnonzero(~known[:, -1])[0])]
            used = words[-layer.passes :]
            raise _fault(
                layer,
                registers.MCNT,
                "mcnt_sad",
                f"a kernel word between {used.min()} and {used.max()} of processor {processor} is"
                f" used for output {layer.outputs - 1} but was never written",
            )
        return undefined

    def _bias(self, layer: Layer, weights: _Weights) -> NDArray[np.int32]:
        """What is added to each output, int32 [output], before it is scaled by 128."""
        total = np.zeros(layer.outputs, np.int32)
        # Streaming starts the bias counter of the first layer one byte late on this device
        # (ai8x-synthesis izer/kbias.py works around it).
        late = 1 if layer.streaming and layer.number == 0 else 0
        for quadrant, first in layer.bias:
            first += late
            end = first + layer.outputs
            inside = min(end, limits.BIAS_BYTES_PER_QUADRANT)
            known = np.zeros(layer.outputs, bool)
            known[: inside - first] = self.memories.bias.known[quadrant, first:inside]
            missing = np.flatnonzero(weights.biased & ~known)
            if len(missing):
                raise _fault(
                    layer,
                    registers.POST,
                    "bptr_sad",
                    f"bias {first + int(missing[0])} of quadrant {quadrant} is used but was never"
                    " written",
                    quadrant,
                )
            total[: inside - first] += self.memories.bias.values[quadrant, first:inside]
        return total


def _fits(kernels: Kernels, bias: NDArray[np.int32], sums: NDArray[np.int32]) -> bool:
    """Whether all sums fit the accumulator; mostly known without looking at them."""
    most = kernels.largest + limits.BIAS_SCALE * int(np.abs(bias).max(initial=0))
    if most < _ACCUMULATOR_LIMIT:
        return True
    return max(int(sums.max()), -int(sums.min())) < _ACCUMULATOR_LIMIT


def _certain(layer: Layer, weights: _Weights, known: Bools | None) -> Bools | None:
    """Outputs, bool [channel, pixel], that depend on nothing unwritten; None: all."""
    missing = None if known is None else missing_pixels(layer, known, weights.used)
    if missing is None and not weights.undefined.any():
        return None
    certain = np.zeros((layer.outputs, layer.output_size[0] * layer.output_size[1]), bool)
    certain[:] = ~weights.undefined[:, None]
    if missing is None:
        return certain
    spoilt = missing[None].astype(np.int8)
    spoilt = operators.pool(spoilt, layer.pool, layer.stride, True, False)
    if layer.spread:
        spoilt = operators.spread(spoilt)
    reach = np.asarray(weights.kernels.weights.any(axis=(0, 1)), np.int32)[None, None]
    counts = operators.convolve(spoilt, Kernels.of(reach), layer.pad)
    return np.asarray(certain & (counts.reshape(-1) == 0), bool)


def _pass_through(
    layer: Layer,
    raw: NDArray[np.int8],
    known: Bools | None,
    writer: Writer,
    round_average: bool,
) -> Result:
    outputs = _prepare(layer, raw, round_average)
    certain = None
    if known is not None:
        # A byte that came from unwritten memory stays unwritten: channels that only round up to
        # whole words pass through like the others.
        missing: NDArray[np.int8] = np.any(~known, axis=1).astype(np.int8)
        missing = operators.pool(missing, layer.pool, layer.stride, True, False)
        certain = np.asarray(missing == 0, bool)
    writer.passed(outputs, certain)
    return Result(raw, outputs)


def _fault(
    layer: Layer, register: Register, name: str | None, message: str, quadrant: int | None = None
) -> KitFault:
    chosen = layer.quadrants[0] if quadrant is None else quadrant
    return KitFault.in_layer(layer.number, chosen, register, message, name)


def _prepare(layer: Layer, raw: NDArray[np.int8], round_average: bool) -> NDArray[np.int8]:
    """Pooling and element-wise operation, in the order the layer asks for."""

    def pooled(data: NDArray[np.int8]) -> NDArray[np.int8]:
        return operators.pool(data, layer.pool, layer.stride, layer.maximum, round_average)

    if layer.function is None:
        return pooled(raw[:, 0])
    if layer.prepool or layer.pool == (1, 1):
        return operators.elementwise(pooled(raw), layer.function)
    return pooled(operators.elementwise(raw, layer.function))
