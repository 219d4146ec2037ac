"""Follows every byte through data memory.

It writes the identity of each tensor element where the layer puts it and looks, at every later
read, whether the expected element is still there. A layer may write over its own input only where
the pixel has been read before that output pixel is complete.
"""

from __future__ import annotations

import numpy as np

from synthesize.chip import limits
from synthesize.graph.ir import INPUT, Graph, Layer, at
from synthesize.place.placement import LayerPlace, Placement
from synthesize.place.verify.dilated import in_rows, pixels_written, read_pixels
from synthesize.place.verify.finding import Finding, address_of
from synthesize.place.verify.kept import Kept

_NOBODY = -1
_LANES = limits.PROCESSORS_PER_INSTANCE
_SIZE = limits.DATA_INSTANCES * limits.DATA_INSTANCE_WORDS


class Data:
    """Data memory with the identity of what each byte holds.

    Places are bytes counted over all data memories, four to a word.
    """

    def __init__(self, graph: Graph, placement: Placement) -> None:
        self.graph = graph
        self.placement = placement
        self.content = np.full(_SIZE * _LANES, _NOBODY, np.int32)
        self.words = self.content.reshape(_SIZE, _LANES)
        self.first_id: dict[str, int] = {}
        self.findings: list[Finding] = []
        next_id = 0
        for name, shape in self._tensors():
            self.first_id[name] = next_id
            next_id += shape[0] * shape[1] * shape[2]
        self.last_id = next_id
        self.kept: Kept | None = None
        if graph.buffer is not None and placement.buffer is not None:
            ids = self._ids(graph.buffer.name, graph.buffer.shape)
            self.kept = Kept(
                graph.buffer, placement.buffer.processors, placement.buffer.offset, ids
            )

    def _tensors(self) -> list[tuple[str, tuple[int, int, int]]]:
        tensors = [(INPUT, self.graph.input.shape)]
        if self.graph.buffer is not None:
            tensors.append((self.graph.buffer.name, self.graph.buffer.shape))
        return tensors + [(layer.name, layer.out_shape) for layer in self.graph.layers]

    def run(self) -> list[Finding]:
        """Let all layers read and write, in running order; return what went wrong."""
        streaming = [place.streaming for place in self.placement.layers]
        if self.kept is not None:
            self.content[self.kept.places()] = self.kept.ids
        if not (self.placement.fifo and streaming[0]):
            self._load_input()
        for i, (layer, place) in enumerate(
            zip(self.graph.layers, self.placement.layers, strict=True)
        ):
            if streaming[i]:
                last = i + 1 == len(streaming) or not streaming[i + 1]
                if last and self._in_range(layer, place):
                    self._write(layer, place)
                continue
            if self._in_range(layer, place):
                read = self._read(layer, place)
                self._write(layer, place, read)
            if self.kept is not None:
                self.kept.change(layer, self._ids(layer.name, layer.out_shape))
        self._outputs()
        if self.kept is not None:
            self.findings += self.kept.check(self.content, self._owner)
        return self.findings

    def _in_range(self, layer: Layer, place: LayerPlace) -> bool:
        words = limits.DATA_INSTANCE_WORDS
        touched = self._touched_words(layer, place)
        begin, end = int(touched.min()), int(touched.max()) + 1
        if begin < 0:
            self._report(
                layer,
                f"it begins to write {4 * -begin} bytes before a data memory begins, a row of "
                f"{layer.dilation} samples in front of its output; use a larger offset",
            )
            return False
        pixels = read_pixels(layer)
        reads = place.in_offset // 4 + pixels * place.passes * layer.operands
        if place.streaming:
            reads = 0
        if self._packed(layer):
            reads = place.in_offset // 4 + -(-pixels // 4)
        if end <= words and reads <= words:
            return True
        what, used = ("output", end) if end > words else ("input", reads)
        self._report(
            layer,
            f"its {what} ends at word {used} of a data memory that has {words}; use a smaller "
            "offset, fewer channels or more pooling",
        )
        return False

    def _load_input(self) -> None:
        first, place = self.graph.layers[0], self.placement.layers[0]
        shape = self.graph.input.shape
        if first.inputs != (INPUT,) or not self._in_range(first, place):
            return
        ids = self._ids(INPUT, shape)
        parts = []
        for operand, part in enumerate(np.split(ids, first.stacked)):
            each = (len(part), *shape[1:])
            parts.append((self._read_places(first, place, each, operand, first.stacked), part))
        for places, _ in parts:
            self.words[places // _LANES] = _NOBODY
        for places, part in parts:
            self.content[places] = part

    def _read(self, layer: Layer, place: LayerPlace) -> list[np.ndarray]:
        """Check that a layer reads what it should; return the places it reads."""
        read = []
        for places, names, ids in self._expected(layer, place):
            read.append(places)
            found = self.content[places]
            wrong = found != ids
            if wrong.any():
                first = tuple(np.argwhere(wrong)[0])
                self._report_read(layer, places, found, ids, first, names)
                break
        return read

    def _expected(
        self, layer: Layer, place: LayerPlace
    ) -> list[tuple[np.ndarray, str, np.ndarray]]:
        """Return (places, description, expected identities) for each operand."""
        shapes = dict(self._tensors())
        if self.kept is not None and self.kept.buffer.name in layer.inputs:
            places = self._read_places(layer, place, layer.in_shape, 0, 1)
            return [(places, self.kept.buffer.name, self.kept.read_by(layer))]
        if layer.operands > 1:
            result = []
            names = [n for n in layer.inputs for _ in range(layer.stacked)]
            parts = [
                part
                for n in layer.inputs
                for part in np.split(self._ids(n, shapes[n]), layer.stacked)
            ]
            for o, (name, part) in enumerate(zip(names, parts, strict=True)):
                places = self._read_places(layer, place, layer.in_shape, o, layer.operands)
                result.append((places, name, part))
            return result
        ids = np.concatenate([self._ids(n, shapes[n]) for n in layer.inputs])
        ids = ids.reshape(layer.in_shape[0], -1)
        places = self._read_places(layer, place, layer.in_shape, 0, 1)
        return [(places, " and ".join(layer.inputs), ids)]

    def _read_places(
        self,
        layer: Layer,
        place: LayerPlace,
        shape: tuple[int, int, int],
        operand: int,
        operands: int,
    ) -> np.ndarray:
        """Return the place of every [channel, pixel]."""
        enabled = np.flatnonzero([place.processors >> p & 1 for p in range(limits.PROCESSORS)])
        number, position = np.divmod(np.arange(shape[0]), place.in_per_pass)
        processor = enabled[position]
        pixel = np.arange(shape[1] * shape[2])
        word = processor // _LANES * limits.DATA_INSTANCE_WORDS + place.in_offset // 4
        if self._packed(layer):
            return _LANES * word[:, None] + pixel
        first = _LANES * (word + number * operands + operand) + processor % _LANES
        return first[:, None] + _LANES * place.passes * operands * pixel

    def _packed(self, layer: Layer) -> bool:
        """Whether a layer reads four neighbouring pixels of one channel from each word."""
        return self.placement.chw and layer is self.graph.layers[0]

    def _touched_words(self, layer: Layer, place: LayerPlace) -> np.ndarray:
        """Return the words of an output instance that a layer writes, those of no use as well."""
        size = _LANES if layer.wide else 1
        step = place.out_passes * (place.write_gap + 1) * size
        first, count = pixels_written(layer)
        pixel = np.arange(first, first + count)[:, None] * step
        number = np.arange(place.out_passes)[None, :] * (place.write_gap + 1) * size
        words = (place.out_offset // 4 + pixel + number).ravel()
        return (words[:, None] + np.arange(size)).ravel()

    def _write(self, layer: Layer, place: LayerPlace, read: list[np.ndarray] | None = None) -> None:
        """Let a layer write; ``read`` are the places it reads, None where that is a ring."""
        processors = np.flatnonzero(
            [place.output_processors >> p & 1 for p in range(limits.PROCESSORS)]
        )
        ids = self._ids(layer.name, layer.out_shape)
        instances = _instances_written(layer, processors)
        words = self._touched_words(layer, place)
        touched = (instances[:, None] * limits.DATA_INSTANCE_WORDS + words).ravel()
        if read is not None:
            self._check_own_input(layer, place, touched, read)
        self.words[touched] = _NOBODY
        number, position = np.divmod(np.arange(layer.out_shape[0]), place.out_per_pass)
        processor = processors[position]
        size = (place.write_gap + 1) * (_LANES if layer.wide else 1)
        pixel = np.arange(layer.out_shape[1] * layer.out_shape[2]) * place.out_passes * size
        word = processor // _LANES * limits.DATA_INSTANCE_WORDS + place.out_offset // 4
        word += (np.arange(place.out_passes) * size)[number]
        if layer.wide:
            self.words[(word + processor % _LANES)[:, None] + pixel] = ids[..., None]
        else:
            self.content[(_LANES * word + processor % _LANES)[:, None] + _LANES * pixel] = ids

    def _check_own_input(
        self, layer: Layer, place: LayerPlace, touched: np.ndarray, read: list[np.ndarray]
    ) -> None:
        """Refuse output that reaches an input pixel before the layer has read it."""
        marked = np.zeros(_SIZE * _LANES, bool)
        for places in read:
            marked[places] = True
        both = touched[marked.view(np.uint32)[touched] != 0]  # any of the four bytes of a word
        if not len(both):
            return
        offset = both % limits.DATA_INSTANCE_WORDS
        read_at = (offset - place.in_offset // 4) // layer.operands
        pixel_in, pass_in = np.divmod(read_at, place.passes)
        step = (place.write_gap + 1) * (_LANES if layer.wide else 1)
        pixel_out, pass_out = np.divmod((offset - place.out_offset // 4) // step, place.out_passes)
        pixel_out -= pixels_written(layer)[0]
        layer = in_rows(layer)
        if self._packed(layer):
            last = read_pixels(layer) - 1
            pixels = (pixel_in[:, None] * _LANES + np.arange(_LANES)).clip(max=last)
            complete = _complete_after(layer, pixels).max(axis=1)
        else:
            complete = _complete_after(layer, pixel_in)
        early = pixel_out < complete
        if layer.op == "passthrough":  # it writes each pass before it reads the next
            early |= (pixel_out == complete) & (pass_out < pass_in)
        if early.any():
            word = int(both[np.argmax(early)])
            self._report(
                layer,
                f"its output overwrites its own input, {' and '.join(layer.inputs)}, at "
                f"{address_of(word)} before it is read; place input and output apart",
            )

    def _outputs(self) -> None:
        for out in self.graph.outputs:
            layer = self.graph.layer(out.layer)
            place = self.placement.layers[self.graph.index(out.layer)]
            ids = self._ids(layer.name, layer.out_shape)
            alive = np.zeros(self.last_id + 1, bool)
            alive[self.content] = True  # nobody's is the last
            present = alive[ids]
            if not present.all():
                channel = int(np.argwhere(~present)[0][0])
                word = place.out_offset // 4
                processor = place.output_processors.bit_length() - 1
                address = address_of(processor // _LANES * limits.DATA_INSTANCE_WORDS + word)
                self._report(
                    layer,
                    f"output {out.name}, channel {channel}, is overwritten by a later layer near "
                    f"{address}; give the output a place of its own",
                )

    def _ids(self, name: str, shape: tuple[int, int, int]) -> np.ndarray:
        size = shape[0] * shape[1] * shape[2]
        first = self.first_id[name]
        return np.arange(first, first + size, dtype=np.int32).reshape(shape[0], -1)

    def _owner(self, identity: int) -> str:
        if identity == _NOBODY:
            return "nothing"
        return max(
            (n for n, first in self.first_id.items() if first <= identity),
            key=lambda n: self.first_id[n],
        )

    def _report_read(
        self,
        layer: Layer,
        places: np.ndarray,
        found: np.ndarray,
        ids: np.ndarray,
        where: tuple[int, ...],
        names: str,
    ) -> None:
        there = self._owner(int(found[where]))
        wanted = self._owner(int(ids[where]))
        held = f"holds {there} there" if there != wanted else "holds another element of it there"
        self._report(
            layer,
            f"it reads {wanted}, channel {where[0]}, at "
            f"{address_of(int(places[where]) // _LANES)}, but the memory {held}; the places of "
            f"{names} do not fit together",
        )

    def _report(self, layer: Layer, sentence: str) -> None:
        self.findings.append(Finding(layer.name, at(layer) + sentence))


def _complete_after(layer: Layer, pixel: np.ndarray) -> np.ndarray:
    """Return the first output pixel that is complete only after an input pixel was read."""
    out_rows, out_cols = layer.out_shape[1:]
    if layer.flatten or layer.op == "convtranspose2d":
        return np.full(pixel.shape, out_rows * out_cols)
    row, col = np.divmod(pixel, layer.in_shape[2])
    lead_row, lead_col = (k - 1 - p for k, p in zip(layer.kernel, layer.pad, strict=True))
    out_row = row // layer.pool_stride[0] - lead_row
    out_col = (col // layer.pool_stride[1] - lead_col).clip(0, out_cols - 1)
    return np.where(out_row < 0, 0, out_row * out_cols + out_col)


def _instances_written(layer: Layer, processors: np.ndarray) -> np.ndarray:
    """Return the data memories that a layer writes to.

    A convolution counts all channels up to the last wanted one, so it also writes to the memories
    between output processors that are not neighbours.
    """
    if layer.op == "passthrough":
        return np.array(sorted(set((processors // _LANES).tolist())))
    return np.arange(processors[0] // _LANES, processors[-1] // _LANES + 1)
