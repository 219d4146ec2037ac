"""Stores a layer's outputs, after checking that they fit and leave its own input alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evalkit.hardware.cnn.memory import DataMemory
from evalkit.hardware.cnn.plan import Layer, Target
from evalkit.hardware.faults import KitFault
from synthesize.chip import limits, registers

Bools = NDArray[np.bool_]
Bytes = NDArray[np.uint8]

_PER_INSTANCE = limits.PROCESSORS_PER_INSTANCE
_PER_QUADRANT = limits.PROCESSORS_PER_QUADRANT


class Writer:
    """Output of one layer.

    Args:
        layer: the layer.
        source: where its input came from.
        target: where its output goes.
    """

    def __init__(self, layer: Layer, source: DataMemory, target: DataMemory) -> None:
        self.layer = layer
        self.target = target
        self.reading = source is target
        self._times: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None

    def convolution(self, outputs: NDArray[np.signedinteger], certain: Bools | None) -> None:
        """Outputs of a convolution, [channel, row, column].

        ``certain``, bool [channel, pixel], is False where a value depends on what nobody wrote:
        it is stored as unwritten. None: all are certain.

        Raises:
            KitFault: an output out of range, or over the layer's own input.
        """
        layer = self.layer
        where = layer.targets[layer.quadrants[0]]
        flat = outputs.reshape(len(outputs), -1)
        for expansion in range(layer.expansions):
            first = expansion * layer.per_expansion
            last = min(first + layer.per_expansion, layer.outputs)
            word = where.word + expansion * where.expansion_step
            whole = (last - first) // _PER_INSTANCE if where.instance_step else 0
            middle = first + whole * _PER_INSTANCE
            # Groups of four that go to different instances in one step, the rest one by one.
            pieces = [(first, middle, whole)] if whole else []
            pieces += [
                (channel, min(channel + _PER_INSTANCE, last), 1)
                for channel in range(middle, last, _PER_INSTANCE)
            ]
            for begin, end, groups in pieces:
                index = (begin - first) // _PER_INSTANCE
                instance = where.instance + index * where.instance_step
                flags = None if certain is None else certain[begin:end]
                self._groups(where, instance, word, groups, flat[begin:end], flags)

    def _groups(
        self,
        where: Target,
        instance: int,
        word: int,
        groups: int,
        values: NDArray[np.signedinteger],
        certain: Bools | None,
    ) -> None:
        """Channels [groups * lanes, pixel] to ``groups`` instances."""
        quadrant = self.layer.quadrants[0]
        lanes, pixels = len(values) // groups, values.shape[1]
        by_group = values.reshape(groups, lanes, pixels)
        flags = None if certain is None else certain.reshape(groups, lanes, pixels)
        if not self.layer.wide:
            data = by_group.view(np.uint8).transpose(0, 2, 1)
            known = None if flags is None else flags.transpose(0, 2, 1)
            self._store(quadrant, where, instance, word, data, known)
            return
        for lane in range(lanes):
            data = np.ascontiguousarray(by_group[:, lane], "<i4").view(np.uint8)
            known = None if flags is None else flags[:, lane, :, None]
            data = data.reshape(groups, pixels, -1)
            self._store(quadrant, where, instance, word + lane, data, known)

    def passed(self, outputs: NDArray[np.int8], certain: Bools | None) -> None:
        """Outputs of a pass-through layer, [pass * processor, row, column].

        ``certain``, of the same shape, as in ``convolution``. Raises KitFault likewise.
        """
        layer = self.layer
        count = len(layer.processors)
        values = outputs.reshape(layer.passes, count, -1)
        flags = None if certain is None else certain.reshape(layer.passes, count, -1)
        for quadrant, where in layer.targets.items():
            local = [i for i, p in enumerate(layer.processors) if p // _PER_QUADRANT == quadrant]
            for slot in range(-(-len(local) // _PER_INSTANCE)):
                chosen = local[slot * _PER_INSTANCE : (slot + 1) * _PER_INSTANCE]
                instance = where.instance + slot * where.instance_step
                data = np.ascontiguousarray(_by_pass(values[:, chosen])).view(np.uint8)
                known = None if flags is None else _by_pass(flags[:, chosen])
                self._store(quadrant, where, instance, where.word, data, known)

    def _store(
        self,
        quadrant: int,
        where: Target,
        instance: int,
        word: int,
        values: Bytes,
        known: Bools | None,
    ) -> None:
        """Bytes [instance, pixel, lane] into lanes 0.. of every ``where.step``-th word.

        The first group goes to ``word`` of ``instance``, each other ``where.instance_step``
        instances further on.
        """
        groups, count, lanes = values.shape
        last = word + (count - 1) * where.step
        instances = [instance + i * where.instance_step for i in range(groups)]
        for number in instances:
            if number >= limits.DATA_INSTANCES or last >= self.target.capacity:
                raise KitFault.in_layer(
                    self.layer.number,
                    quadrant,
                    registers.WPTR_BASE,
                    f"outputs up to word {last} of data memory {number} run out of the memory"
                    f" ({limits.DATA_INSTANCES} instances of {self.target.capacity} words)",
                    "word",
                )
        words = slice(word, last + 1, where.step)
        if self.reading:
            for number in instances:
                self._check_overlap(quadrant, number, words, lanes)
        chosen = slice(instance, instances[-1] + 1, max(where.instance_step, 1))
        self.target.store(self.layer.number, chosen, words, values, known)

    def _check_overlap(self, quadrant: int, instance: int, words: slice, lanes: int) -> None:
        """Fault if a word is written before the layer has read it for the last time."""
        layer = self.layer
        first = instance * _PER_INSTANCE
        start = layer.read_word.get(first // _PER_QUADRANT)
        if start is None:
            return
        end = start + layer.input_words
        if words.start >= end or words.stop <= start:
            return
        readers = [p for p in layer.processors if first <= p < first + _PER_INSTANCE]
        reader = next((p for p in readers if layer.parallel or p - first < lanes), None)
        if reader is None:
            return
        written = np.arange(words.start, words.stop, words.step)
        done = self._done()
        inside = (written >= start) & (written < end)
        live = np.zeros(len(written), bool)
        live[inside] = self._last_read()[written[inside] - start] >= done[inside]
        if live.any():
            raise KitFault.in_layer(
                layer.number,
                quadrant,
                registers.WPTR_BASE,
                f"output overwrites live input: word {int(written[live][0])} of data memory"
                f" {instance}, which processor {reader} reads (words {start} to {end - 1})",
                "word",
            )

    def _done(self) -> NDArray[np.int64]:
        """Reads that are over when each output is written."""
        if self._times is None:
            self._times = _reads_before(self.layer), _last_reads(self.layer)
        return self._times[0]

    def _last_read(self) -> NDArray[np.int64]:
        """Number of the last read of each input word, -1 for words that no window holds."""
        if self._times is None:
            self._times = _reads_before(self.layer), _last_reads(self.layer)
        return self._times[1]


def _by_pass(values: NDArray) -> NDArray:
    """[pass, lane, pixel] -> [1, pixel and pass, lane].

    Passes of one pixel follow each other, so the write pointer steps per pass.
    """
    return values.transpose(2, 0, 1).reshape(1, -1, values.shape[1])


def _reads_before(layer: Layer) -> NDArray[np.int64]:
    """How many reads precede each output; a read is one pass over one pooled pixel.

    The line buffer is filled one pooled pixel at a time in raster order; an output is written once
    the last pooled pixel of its receptive field has been read.
    """
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
    # Rows of padding at the end come after all reads.
    below = (np.arange(size[0]) + reach[0] >= rows * factor)[:, None]
    done = np.where(below, rows * columns, done).reshape(-1) * layer.passes
    if layer.masks is None and layer.passes > 1:
        # Pass-through writes after each pass, before the other words of the pixel are read.
        steps = np.tile(np.arange(layer.passes) + 1 - layer.passes, done.size)
        return np.repeat(done, layer.passes) + steps
    return done


def _last_reads(layer: Layer) -> NDArray[np.int64]:
    """Which read of ``_reads_before`` is the last of each input word; -1: it is never read."""

    def last_window(pixels: int, windows: int, size: int) -> NDArray[np.int64]:
        at = np.arange(pixels)
        window = np.minimum(at // layer.stride, windows - 1)
        return np.where(at - window * layer.stride < size, window, -1)

    row = last_window(layer.rows, layer.pooled[0], layer.pool[0])[:, None]
    column = last_window(layer.columns, layer.pooled[1], layer.pool[1])[None, :]
    pixel = np.where((row < 0) | (column < 0), -1, row * layer.pooled[1] + column).reshape(-1)
    if layer.parallel:  # four neighbouring pixels share a word
        return np.asarray(
            np.pad(pixel, (0, -len(pixel) % 4), constant_values=-1).reshape(-1, 4).max(axis=1)
        )
    number = pixel[:, None] * layer.passes + np.arange(layer.passes)
    number = np.where(pixel[:, None] < 0, -1, number)
    return np.repeat(number.reshape(-1), layer.operands)
