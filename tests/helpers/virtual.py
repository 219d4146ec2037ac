"""Runs a compiled program on the virtual accelerator, bus write by bus write."""

from __future__ import annotations

import numpy as np

from evalkit.hardware.cnn import Cnn
from synthesize.chip import memory_map
from synthesize.program.program import Program


def run_on_kit(program: Program, sample: np.ndarray) -> tuple[dict[str, np.ndarray], int]:
    """Load and run a program.

    Returns:
        outputs by name (int32 [channels, rows, columns]) and the cycles of the run.
    """
    return infer(loaded(program), program, sample)


def loaded(program: Program) -> Cnn:
    """A virtual accelerator with a program in it."""
    kit = Cnn()
    split = next(
        (i for i, write in enumerate(program.registers) if not _control(write.address)),
        len(program.registers),
    )
    for write in program.registers[:split]:
        kit.write(write.address, write.size, write.value)
    for block in program.weights:
        kit.write(block.address | 1, 1, 1)
        kit.write_block(block.address, block.words)
    for block in (*program.biases, *program.cleared):
        kit.write_block(block.address, block.words)
    for write in program.registers[split:]:
        kit.write(write.address, write.size, write.value)
    return kit


def infer(kit: Cnn, program: Program, sample: np.ndarray) -> tuple[dict[str, np.ndarray], int]:
    """Run a loaded program on a sample; returns as :func:`run_on_kit`."""
    blocks = program.pack_input(sample)
    if program.fifo is None:
        for block in blocks:
            kit.write_block(block.address, block.words)
    for write in program.start:
        kit.write(write.address, write.size, write.value)
    if program.fifo is not None:
        for words in zip(*(block.words.tolist() for block in blocks), strict=True):
            for block, word in zip(blocks, words, strict=True):
                kit.write(block.address, 4, word)
    cycles = kit.busy_cycles
    kit.finish()
    return {out.name: out.gather(lambda a: kit.read(a, 4)) for out in program.outputs}, cycles


def _control(address: int) -> bool:
    where = memory_map.locate(address)
    return where is not None and (
        where.kind == "fifo" or (where.kind == "register" and where.offset < 0x10)
    )
