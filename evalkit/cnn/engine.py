"""Computes one decoded layer on what is in the memories."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.cnn import operators
from evalkit.cnn.faults import KitFault
from evalkit.cnn.memory import BiasMemory, DataMemory, WeightMemory
from evalkit.cnn.plan import Layer, Target
from synthesize.chip import limits, registers
from synthesize.chip.registers import Register

_PER_INSTANCE = limits.PROCESSORS_PER_INSTANCE
_PER_QUADRANT = limits.PROCESSORS_PER_QUADRANT
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


class Engine:
    """Runs layers; keeps decoded weights between inferences."""

    def __init__(self, memories: Memories) -> None:
        self.memories = memories
        self._cache: dict[tuple, tuple[int, NDArray[np.int32], Bools]] = {}

    def run(
        self, layer: Layer, source: DataMemory, target: DataMemory, round_average: bool
    ) -> Result:
        """Compute one layer from ``source`` into ``target``.

        Raises:
            KitFault: unwritten input, weights or bias, an output out of range or over the
                layer's own input, an accumulator overflow.
        """
        raw, known = self._read(layer, source)
        if layer.masks is None:
            return self._pass_through(layer, raw, known, source, target, round_average)
        weights, undefined = self._weights(layer)
        doubtful = _doubtful_outputs(layer, known, weights)
        fields = _prepare(layer, raw, round_average)
        if layer.spread:
            fields = operators.spread(fields)
        sums = operators.convolve(fields, weights, layer.pad)
        sums = self._add_bias(layer, sums, weights)
        if max(int(sums.max()), -int(sums.min())) >= _ACCUMULATOR_LIMIT:
            raise _fault(layer, registers.POST, None, "a sum of products exceeds 26 bits")
        if layer.wide:
            outputs: NDArray[np.signedinteger] = sums
        else:
            outputs = operators.scale(sums, layer.shift, layer.relu, layer.absolute)
        writer = _Writer(layer, source, target)
        writer.convolution(outputs, undefined, doubtful)
        return Result(raw, outputs)

    def _read(self, layer: Layer, source: DataMemory) -> tuple[NDArray[np.int8], Bools]:
        """Input int8 and bool [channel, operand, row, column]."""
        count = layer.input_words
        parts, known = [], []
        for quadrant in sorted({p // _PER_QUADRANT for p in layer.processors}):
            local = [p for p in layer.processors if p // _PER_QUADRANT == quadrant]
            start = layer.read_word[quadrant]
            if start + count > source.capacity:
                raise _fault(
                    layer,
                    registers.RPTR_BASE,
                    "rptr_base",
                    f"{count} input words from word {start} run over the"
                    f" {source.capacity} words of a data memory instance",
                    quadrant,
                )
            instances = [p // _PER_INSTANCE for p in local]
            lanes = [p % _PER_INSTANCE for p in local]
            rows = slice(start, start + count)
            self._check_mixture(layer, source, sorted(set(instances)), rows)
            if layer.parallel:
                parts.append(source.bytes[instances, rows].reshape(len(local), -1))
                known.append(source.known[instances, rows].reshape(len(local), -1))
            else:
                parts.append(source.bytes[instances, rows, :][np.arange(len(local)), :, lanes])
                known.append(source.known[instances, rows, :][np.arange(len(local)), :, lanes])
        data = np.concatenate(parts)
        flags = np.concatenate(known)
        return _shape_input(layer, data).view(np.int8), _shape_input(layer, flags)

    @staticmethod
    def _check_mixture(
        layer: Layer, source: DataMemory, instances: list[int], words: slice
    ) -> None:
        """Fault if the input is an output that another layer has partly overwritten."""
        mixed = source.note_read(instances, words)
        if mixed is None:
            return
        instance, word, writer = mixed
        victim = "the input" if writer < 0 else f"the output of layer {writer}"
        raise _fault(
            layer,
            registers.RPTR_BASE,
            "rptr_base",
            f"reads {victim}, but layer {source.writer[instance, word]} overwrote word {word} of"
            f" data memory {instance} before it was read",
            4 * instance // _PER_QUADRANT,
        )

    def _weights(self, layer: Layer) -> tuple[NDArray[np.int32], Bools]:
        """Masks as int32 [output, channel, kernel row, kernel column]; undefined outputs."""
        masks = layer.masks
        assert masks is not None
        key = (masks, layer.processors, layer.passes, layer.kernel)
        memory = self.memories.weights
        taps = memory.taps()
        cached = self._cache.get(key)
        if cached is not None and cached[0] == memory.version:
            return cached[1:]
        counter = masks.first + masks.bits * np.arange(masks.count)
        start = (counter >> 3) * masks.taps + masks.skip
        positions = start[:, None] + np.arange(masks.taps)[::-1]
        undefined = self._undefined_outputs(layer, positions)
        chosen = taps[list(layer.processors)][:, positions].astype(np.int32)
        chosen = chosen >> (counter & 7)[None, :, None].astype(np.int32)
        sign = 1 << (masks.bits - 1)
        chosen = ((chosen & (2 * sign - 1)) ^ sign) - sign
        shape = (len(layer.processors), layer.outputs, layer.passes, masks.taps)
        weights = np.ascontiguousarray(chosen.reshape(shape).transpose(1, 2, 0, 3))
        weights = weights.reshape(layer.outputs, -1, *layer.kernel)
        weights[undefined] = 0
        self._cache[key] = (memory.version, weights, undefined)
        return weights, undefined

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

    def _add_bias(
        self, layer: Layer, sums: NDArray[np.int32], weights: NDArray[np.int32]
    ) -> NDArray[np.int32]:
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
            used = weights.reshape(layer.outputs, -1).any(axis=1)
            missing = np.flatnonzero(used & ~known)
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
        return operators.add_bias(sums, total) if layer.bias else sums

    def _pass_through(
        self,
        layer: Layer,
        raw: NDArray[np.int8],
        known: Bools,
        source: DataMemory,
        target: DataMemory,
        round_average: bool,
    ) -> Result:
        outputs = _prepare(layer, raw, round_average)
        # A byte that came from unwritten memory stays unwritten: channels that only round up to
        # whole words pass through like the others.
        missing: NDArray[np.int8] = np.any(~known, axis=1).astype(np.int8)
        missing = operators.pool(missing, layer.pool, layer.stride, True, False)
        writer = _Writer(layer, source, target)
        writer.passed(outputs, missing == 0)
        return Result(raw, outputs)


def _fault(
    layer: Layer, register: Register, name: str | None, message: str, quadrant: int | None = None
) -> KitFault:
    chosen = layer.quadrants[0] if quadrant is None else quadrant
    return KitFault.in_layer(layer.number, chosen, register, message, name)


def _shape_input(layer: Layer, data: NDArray) -> NDArray:
    """[processor, byte sequence] -> [channel, operand, row, column]."""
    pixels = layer.rows * layer.columns
    if layer.parallel:
        return data[:, :pixels].reshape(len(data), 1, layer.rows, layer.columns)
    shape = (len(data), layer.rows, layer.columns, layer.passes, layer.operands)
    moved = data.reshape(shape).transpose(3, 0, 4, 1, 2)
    return np.ascontiguousarray(moved).reshape(-1, layer.operands, layer.rows, layer.columns)


def _doubtful_outputs(layer: Layer, known: Bools, weights: NDArray[np.int32]) -> Bools:
    """Output pixels, bool [pixel], that depend on input which nobody wrote.

    Only the end of the last row may be missing: programs round their input up to whole rows and
    leave the outputs that this spoils unused. Anything else is a fault. Channels whose weights
    are all zero do not count.
    """
    pixels = layer.output_size[0] * layer.output_size[1]
    used = np.asarray(weights.any(axis=(0, 2, 3)), bool)
    missing = np.asarray((~known[used]).any(axis=(0, 1)), bool)
    if not missing.any():
        return np.zeros(pixels, bool)
    first = int(np.flatnonzero(missing.reshape(-1))[0])
    tail = missing.reshape(-1)[first:]
    if first == 0 or len(tail) >= layer.columns or not tail.all():
        raise _unwritten(layer, known, used)
    spoilt = missing[None].astype(np.int8)
    spoilt = operators.pool(spoilt, layer.pool, layer.stride, True, False)
    if layer.spread:
        spoilt = operators.spread(spoilt)
    reach = np.asarray(weights.any(axis=(0, 1)), np.int32)[None, None]
    return operators.convolve(spoilt, reach, layer.pad).reshape(-1) > 0


def _unwritten(layer: Layer, known: Bools, used: Bools) -> KitFault:
    """The fault for the first unwritten byte of a channel that is used."""
    channel = int(np.flatnonzero(~known.reshape(len(known), -1).all(axis=1) & used)[0])
    operand, row, column = (int(i) for i in np.argwhere(~known[channel])[0])
    step, position = divmod(channel, len(layer.processors))
    processor = layer.processors[position]
    quadrant = processor // _PER_QUADRANT
    word = _input_word(layer, quadrant, operand, row, column, step)
    return _fault(
        layer,
        registers.RPTR_BASE,
        "rptr_base",
        f"processor {processor} reads word {word} of data memory"
        f" {processor // _PER_INSTANCE} (row {row}, column {column}, pass {step}, operand"
        f" {operand}), which nobody wrote{_hint(layer)}",
        quadrant,
    )


def _hint(layer: Layer) -> str:
    if layer.operands == 1:
        return ""
    return f"; the {layer.operands} operands must be interleaved word by word"


def _input_word(layer: Layer, quadrant: int, operand: int, row: int, column: int, step: int) -> int:
    pixel = row * layer.columns + column
    if layer.parallel:
        return layer.read_word[quadrant] + pixel // 4
    return layer.read_word[quadrant] + (pixel * layer.passes + step) * layer.operands + operand


def _prepare(layer: Layer, raw: NDArray[np.int8], round_average: bool) -> NDArray[np.int8]:
    """Pooling and element-wise operation, in the order the layer asks for."""

    def pooled(data: NDArray[np.int8]) -> NDArray[np.int8]:
        return operators.pool(data, layer.pool, layer.stride, layer.maximum, round_average)

    if layer.function is None:
        return pooled(raw[:, 0])
    if layer.prepool or layer.pool == (1, 1):
        return operators.elementwise(pooled(raw), layer.function)
    return pooled(operators.elementwise(raw, layer.function))


class _Writer:
    """Stores outputs, after checking that they fit and leave the layer's own input alone."""

    def __init__(self, layer: Layer, source: DataMemory, target: DataMemory) -> None:
        self.layer = layer
        self.target = target
        self.reading = source is target
        self._live: NDArray[np.int64] | None = None

    def convolution(
        self, outputs: NDArray[np.signedinteger], undefined: Bools, doubtful: Bools
    ) -> None:
        """Outputs of a convolution, [channel, row, column].

        The ``undefined`` channels and the ``doubtful`` pixels are stored as unwritten.
        """
        layer = self.layer
        where = layer.targets[layer.quadrants[0]]
        quadrant = layer.quadrants[0]
        flat = outputs.reshape(len(outputs), -1)
        for expansion in range(layer.expansions):
            first = expansion * layer.per_expansion
            last = min(first + layer.per_expansion, layer.outputs)
            for channel in range(first, last, _PER_INSTANCE):
                group = flat[channel : min(channel + _PER_INSTANCE, last)]
                index = (channel - first) // _PER_INSTANCE
                instance = where.instance + index * where.instance_step
                word = where.word + expansion * where.expansion_step
                lanes = undefined[channel : channel + len(group)]
                certain = ~(lanes[None, :] | doubtful[:, None])
                if layer.wide:
                    for lane, values in enumerate(group.astype("<i4")):
                        as_bytes = values.view(np.uint8).reshape(-1, 4)
                        flags = certain[:, [lane]]
                        self._store(quadrant, where, instance, word + lane, as_bytes, flags)
                else:
                    as_bytes = group.view(np.uint8).T
                    self._store(quadrant, where, instance, word, as_bytes, certain)

    def passed(self, outputs: NDArray[np.int8], certain: Bools) -> None:
        """Outputs of a pass-through layer, [pass * processor, row, column]."""
        layer = self.layer
        count = len(layer.processors)
        values = outputs.reshape(layer.passes, count, -1)
        flags = certain.reshape(layer.passes, count, -1)
        for quadrant, where in layer.targets.items():
            local = [i for i, p in enumerate(layer.processors) if p // _PER_QUADRANT == quadrant]
            for slot in range(-(-len(local) // _PER_INSTANCE)):
                chosen = local[slot * _PER_INSTANCE : (slot + 1) * _PER_INSTANCE]
                # Passes of one pixel follow each other, so the write pointer steps per pass.
                data = values[:, chosen].transpose(2, 0, 1).reshape(-1, len(chosen))
                known = flags[:, chosen].transpose(2, 0, 1).reshape(-1, len(chosen))
                instance = where.instance + slot * where.instance_step
                as_bytes = np.ascontiguousarray(data).view(np.uint8)
                self._store(quadrant, where, instance, where.word, as_bytes, known)

    def _store(
        self,
        quadrant: int,
        where: Target,
        instance: int,
        word: int,
        values: NDArray[np.uint8],
        known: Bools,
    ) -> None:
        """Bytes [pixel, lane] into lanes 0.. of every ``where.step``-th word from ``word``."""
        count, lanes = values.shape
        last = word + (count - 1) * where.step
        if instance >= limits.DATA_INSTANCES or last >= self.target.capacity:
            raise _fault(
                self.layer,
                registers.WPTR_BASE,
                "word",
                f"outputs up to word {last} of data memory {instance} run out of the memory"
                f" ({limits.DATA_INSTANCES} instances of {self.target.capacity} words)",
                quadrant,
            )
        words = slice(word, last + 1, where.step)
        if self.reading:
            self._check_overlap(quadrant, instance, words, lanes)
        self.target.store(self.layer.number, instance, words, values, known)

    def _check_overlap(self, quadrant: int, instance: int, words: slice, lanes: int) -> None:
        """Fault if a word is written before the layer has read it for the last time."""
        layer = self.layer
        for processor in layer.processors:
            lane = processor % _PER_INSTANCE
            if processor // _PER_INSTANCE != instance or (lane >= lanes and not layer.parallel):
                continue
            start = layer.read_word[processor // _PER_QUADRANT]
            end = start + layer.input_words
            if words.start >= end or words.stop <= start:
                continue
            written = np.arange(words.start, words.stop, words.step)
            live = (written >= start + self._first_live()) & (written < end)
            if live.any():
                first = int(written[live][0])
                raise _fault(
                    layer,
                    registers.WPTR_BASE,
                    "word",
                    f"output overwrites live input: word {first} of data memory {instance},"
                    f" which processor {processor} reads (words {start} to {end - 1})",
                    quadrant,
                )

    def _first_live(self) -> NDArray[np.int64]:
        """First input word still to be read after each output, relative to the first.

        The line buffer is filled one pooled pixel at a time in raster order; an output is
        written once the last pooled pixel of its receptive field has been read.
        """
        if self._live is None:
            self._live = _first_live_words(self.layer)
        return self._live


def _first_live_words(layer: Layer) -> NDArray[np.int64]:
    rows, columns = layer.pooled
    size = layer.output_size
    factor = 2 if layer.spread else 1
    reach = (layer.kernel[0] - 1 - layer.pad[0], layer.kernel[1] - 1 - layer.pad[1])
    row = np.minimum(np.arange(size[0]) + reach[0], rows * factor - 1)[:, None]
    column = np.minimum(np.arange(size[1]) + reach[1], columns * factor - 1)[None, :]
    # Spread rows and columns of zeros are not read; after one, the next read is the next pixel.
    pooled_row = row // factor
    done = np.where(
        row % factor == 0,
        pooled_row * columns + column // factor + 1,
        (pooled_row + 1) * columns + 0 * column,
    )
    done = np.where((row < 0) | (column < 0), np.maximum(row, 0) * columns, done)
    next_row, next_column = np.divmod(done, columns)
    pixel = (next_row * layer.columns + next_column) * layer.stride
    pixel = np.where(next_row >= rows, layer.rows * layer.columns, pixel)
    if layer.parallel:
        live = pixel // 4
    else:
        live = pixel * layer.passes * layer.operands
    if layer.masks is None and layer.passes > 1:
        # Pass-through writes after each pass, before the other words of the pixel are read.
        before = np.repeat(live.reshape(-1), layer.passes)
        steps = np.tile(np.arange(layer.passes) + 1 - layer.passes, live.size)
        return before + steps * layer.operands
    return live.reshape(-1)
