"""A program is plain data: what it says about its input is enough to lay one out."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from synthesize.compiler import build_program, compile_network, place_automatically
from synthesize.program.program import Program
from synthesize.read import checkpoint
from tests.helpers.networks import random_chain, random_graph

CHECKPOINTS = Path(__file__).resolve().parents[3] / "ai8x_models" / "checkpoints"


def random_program(seed: int) -> Program:
    return build_program(*place_automatically(random_graph(seed)))


def stored(program: Program, sample: np.ndarray) -> dict[int, int]:
    """Every byte of a packed input by its address."""
    found: dict[int, int] = {}
    for block in program.pack_input(sample):
        octets = block.words.astype("<u4").view(np.int8).tolist()
        found |= {block.address + i: value for i, value in enumerate(octets)}
    return found


@pytest.mark.parametrize("seed", [1, 2, 3, 5, 8, 13])
def test_each_element_lies_at_its_address_and_nothing_else_does(seed: int) -> None:
    try:
        program = random_program(seed)
    except UserError:
        pytest.skip("this random network is too large")
    sample = np.random.default_rng(seed).integers(-128, 128, program.input_shape)
    memory = stored(program, sample)
    addresses = program.input_addresses()
    assert len(np.unique(addresses)) == addresses.size
    for address, value in zip(addresses.ravel().tolist(), sample.ravel().tolist(), strict=True):
        assert memory.pop(address) == value
    assert not any(memory.values())


def test_a_folded_input_too() -> None:
    program = compile_network(checkpoint.load(CHECKPOINTS / "seed-q.pth.tar")).program
    assert program.input.fold == 2
    sample = np.random.default_rng(0).integers(-128, 128, program.input_shape)
    memory = stored(program, sample)
    addresses = program.input_addresses()
    assert addresses.shape == program.input_shape
    for index in np.ndindex(*sample.shape):
        assert memory[int(addresses[index])] == sample[index]


def test_elements_that_go_through_a_fifo_have_no_address() -> None:
    program = build_program(*place_automatically(random_chain(0)))
    assert program.fifo is not None
    assert (program.input_addresses() == -1).all()


def test_a_program_can_be_put_away_and_taken_out_again() -> None:
    program = random_program(1)
    sample = np.random.default_rng(1).integers(-128, 128, program.input_shape)
    again = pickle.loads(pickle.dumps(program))
    assert again.checksum == program.checksum
    assert stored(again, sample) == stored(program, sample)
