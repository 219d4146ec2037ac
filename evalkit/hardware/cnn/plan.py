"""What a layer does, as plain data; the result of :func:`evalkit.hardware.cnn.decode.decode`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from synthesize.chip import limits
from synthesize.chip.cycles import LayerGeometry


@dataclass(frozen=True)
class Masks:
    """Where a layer's weights are and in which order the mask logic counts through them.

    Mask number ``j`` (output ``j // passes``, pass ``j % passes``) is at kernel
    ``(first + j * bits) // 8`` and bit ``(first + j * bits) % 8``; kernel ``k`` of ``taps`` bytes
    starts ``k * taps + skip`` bytes into the weight memory.
    """

    first: int
    count: int
    bits: int
    taps: int
    skip: int

    def first_kernel_word(self) -> int:
        """72-bit word in which the first mask lies."""
        byte = (self.first >> 3) * self.taps + self.skip
        return byte // limits.WEIGHT_WORD_BYTES


@dataclass(frozen=True)
class Target:
    """Where outputs go.

    instance, word: first data memory instance and word.
    instance_step: instances from one group of four channels (or time slot) to the next.
    step: words from one output pixel to the next.
    expansion_step: words from one expansion to the next.
    """

    instance: int
    word: int
    instance_step: int
    step: int
    expansion_step: int


@dataclass(frozen=True)
class Layer:
    """One layer, decoded.

    quadrants: those that take part, the leader first.
    processors: chip-wide numbers of the processors that read, ascending.
    read_word: first input word, per quadrant.
    rows, columns: of the input, without padding or spread zeros.
    pad, pool, stride, maximum: of the input window; ``pool`` is (1, 1) without pooling.
    passes: input words per pixel and operand; flattened pixels count as passes.
    masks: None for pass-through.
    kernel: rows, columns; (1, 1) for pass-through.
    outputs: output channels, expansions and rounding included; per_expansion of them each.
    targets: one, or for pass-through one per quadrant that reads.
    bias: (quadrant, first byte) pairs that are added.
    """

    number: int
    quadrants: tuple[int, ...]
    processors: tuple[int, ...]
    read_word: Mapping[int, int]
    parallel: bool
    passes: int
    flatten: bool
    operands: int
    function: int | None
    prepool: bool
    rows: int
    columns: int
    pad: tuple[int, int]
    pool: tuple[int, int]
    stride: int
    maximum: bool
    spread: bool
    kernel: tuple[int, int]
    masks: Masks | None
    outputs: int
    per_expansion: int
    shift: int
    relu: bool
    absolute: bool
    wide: bool
    bias: tuple[tuple[int, int], ...]
    targets: Mapping[int, Target]
    time_slots: int
    streaming: bool
    stream_words: int

    @property
    def pooled(self) -> tuple[int, int]:
        """Rows and columns after pooling."""
        return (
            (self.rows - self.pool[0]) // self.stride + 1,
            (self.columns - self.pool[1]) // self.stride + 1,
        )

    @property
    def spread_size(self) -> tuple[int, int]:
        """Rows and columns that the convolution sees, without padding."""
        factor = 2 if self.spread else 1
        return self.pooled[0] * factor, self.pooled[1] * factor

    @property
    def output_size(self) -> tuple[int, int]:
        """Rows and columns of the output."""
        size, pad, kernel = self.spread_size, self.pad, self.kernel
        return (size[0] + 2 * pad[0] - kernel[0] + 1, size[1] + 2 * pad[1] - kernel[1] + 1)

    @property
    def input_words(self) -> int:
        """Words read from each data memory instance."""
        pixels = self.rows * self.columns
        return (pixels + 3) // 4 if self.parallel else pixels * self.passes * self.operands

    @property
    def expansions(self) -> int:
        """Groups of output channels that share processors."""
        return -(-self.outputs // self.per_expansion)

    def geometry(self) -> LayerGeometry:
        """What the cycle model needs."""
        # How many of a flattening layer's words are pixels cannot be seen in the registers; the
        # cycles depend on the product only.
        return LayerGeometry(
            kernel=self.kernel,
            pad=self.pad,
            pooled=self.spread_size,
            pool=self.pool,
            passes=self.passes,
            outputs=self.outputs,
            output_columns=self.output_size[1],
            operands=self.operands,
            pool_first=self.prepool or self.pool == (1, 1) or self.operands == 1,
            passthrough=self.masks is None,
            time_slots=self.time_slots,
            expansions=self.expansions,
            flatten_long=self.flatten,
            streaming=self.streaming,
            kernel_word=self.masks.first_kernel_word() if self.masks else 0,
        )
