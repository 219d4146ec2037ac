"""Plain data of a placement: where every tensor, kernel and bias of a graph lives on the chip.

Vocabulary (source: ai8x-synthesis README):

* *processors*: bit mask of the 64 processors that read a layer's input; with more than 64 input
  channels the layer runs in ``passes`` with equally many processors in each.
* *output processors*: mask of the processors whose data memory receives the output.
* *offset*: byte offset inside every data memory instance (32 KiB, shared by four processors).
* *write gap*: words skipped between two output pixels, so that operands of an element-wise layer
  can be interleaved.
"""

from __future__ import annotations

from dataclasses import dataclass

from synthesize.chip import limits
from synthesize.graph.hints import BufferPlace
from synthesize.graph.masks import bit_count, bits_of, first_bit, last_bit
from synthesize.place.reserved import NOTHING, Reserved


@dataclass(frozen=True)
class LayerPlace:
    """Where one layer lives.

    Args:
        processors, output_processors: masks of 64 bits.
        in_offset, out_offset: byte offsets in the data memories.
        passes: input passes (channels per operand / 64, rounded up).
        in_per_pass: processors used in each pass.
        out_passes, out_per_pass: the same for the output.
        first_word: kernel word at which the layer's weights start, in every processor.
        words: kernel words it takes in every processor.
        kernels: kernel count behind the mask counter (padding included).
        bias_quadrant: quadrant whose bias memory holds the biases, None without bias.
        bias_offset: first byte in that memory.
    """

    processors: int
    output_processors: int
    in_offset: int
    out_offset: int
    passes: int
    in_per_pass: int
    out_passes: int
    out_per_pass: int
    write_gap: int = 0
    streaming: bool = False
    first_word: int = 0
    words: int = 0
    kernels: int = 0
    bias_quadrant: int | None = None
    bias_offset: int = 0

    @property
    def span(self) -> int:
        """Channels a convolution counts in each output pass, unwanted ones included.

        It counts from the first processor of a data memory to the last output processor.
        """
        return last_bit(self.output_processors) - self._first_counted + 1

    @property
    def has_gaps(self) -> bool:
        """Whether a convolution counts channels that nobody wants."""
        return self.span != bit_count(self.output_processors)

    def counted(self, channels: int) -> list[int]:
        """Return the number under which a convolution counts each output channel."""
        first, span = self._first_counted, self.span
        positions = [bit - first for bit in bits_of(self.output_processors)][: self.out_per_pass]
        passes = -(-channels // self.out_per_pass)
        return [n * span + position for n in range(passes) for position in positions][:channels]

    @property
    def _first_counted(self) -> int:
        first = first_bit(self.output_processors)
        return first - first % limits.PROCESSORS_PER_INSTANCE


@dataclass(frozen=True)
class Placement:
    """Places of all layers of a graph, in the same order.

    Args:
        chw: input stored channel by channel (one channel per data memory) instead of four
            channels per word.
        fifo: input streamed through the FIFOs.
        by_hand: the offsets and processors come from a network description.
        warnings: sentences worth showing (a hand-written placement that cannot compute what the
            network means).
        buffer: where the data buffer lies, if the network has one.
        reserved: memory that another network keeps, which this one leaves alone.
    """

    layers: tuple[LayerPlace, ...]
    quadrants: tuple[int, ...]
    chw: bool = False
    fifo: bool = False
    by_hand: bool = False
    warnings: tuple[str, ...] = ()
    reserved: Reserved = NOTHING
    buffer: BufferPlace | None = None
