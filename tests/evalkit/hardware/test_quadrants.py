"""Power of the accelerator's quadrants: what is off cannot be used, what is on can."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evalkit.hardware.faults import KitFault
from evalkit.kit import Kit
from synthesize.chip import memory_map, registers
from tests.helpers import cnn_programs
from tests.helpers.chip_driver import SLEEPER, Chip
from tests.helpers.cnn_programs import LayerSpec
from tests.helpers.mini_firmware import build_program

BASE = memory_map.CNN_BASE
POWER, MEMORY, ISOLATION, RESET = 0x0, 0x4, 0x8, 0xC
CLOCK = registers.CTRL.encode(clk_en=1)
ALWAYS_ON = memory_map.AOD_CTRL - BASE


@pytest.fixture(scope="module")
def sleeper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_program(tmp_path_factory.mktemp("sleeper") / "program", SLEEPER)


@pytest.fixture
def chip(sleeper: Path) -> Chip:
    return Chip(Kit(sleeper))


def power(chip: Chip, mask: int) -> None:
    """As ``cnn_enable`` of the public generator does."""
    gcfr = chip.machine.gcfr
    gcfr.write(RESET, 4, 0xF)
    gcfr.write(MEMORY, 4, mask)
    gcfr.write(POWER, 4, mask)
    gcfr.write(ISOLATION, 4, ~mask & 0xF)
    gcfr.write(RESET, 4, 0)


def control(quadrant: int) -> int:
    return registers.global_address(quadrant, registers.CTRL) - BASE


def places(quadrant: int) -> dict[str, int]:
    """One address of everything a quadrant has."""
    return {
        "register": control(quadrant),
        "layer register": registers.layer_address(quadrant, 3, registers.RCNT) - BASE,
        "data": memory_map.instance_address(4 * quadrant) - BASE,
        "weights": memory_map.weight_address(16 * quadrant) - BASE,
        "biases": memory_map.bias_address(quadrant, 0) - BASE,
    }


@pytest.mark.parametrize("mask", [1, 2, 4, 8, 5, 10, 14, 15])
def test_what_is_on_can_be_used_and_what_is_off_cannot(chip: Chip, mask: int) -> None:
    power(chip, mask)
    bus = chip.machine.accelerator
    bus.write(ALWAYS_ON, 4, 0)
    for quadrant in range(4):
        if mask >> quadrant & 1:
            bus.write(control(quadrant), 4, CLOCK)
        for address in places(quadrant).values():
            if mask >> quadrant & 1:
                bus.write(address, 4, CLOCK if address == control(quadrant) else 0)
                bus.flush()
                continue
            with pytest.raises(KitFault, match=f"quadrant {quadrant} is accessed while its power"):
                bus.write(address, 4, 0)
            with pytest.raises(KitFault, match=f"quadrant {quadrant} is accessed while its power"):
                bus.read(address, 4)


@pytest.mark.parametrize(
    ("register", "value", "said"),
    [
        (POWER, 0b1101, "its power is off"),
        (MEMORY, 0b1101, "its memories are off"),
        (ISOLATION, 0b0010, "it is isolated"),
        (RESET, 0b0010, "it is held in reset"),
    ],
)
def test_each_register_of_the_power_domains_counts(
    chip: Chip, register: int, value: int, said: str
) -> None:
    power(chip, 0xF)
    bus = chip.machine.accelerator
    bus.write(control(1), 4, cnn_programs.CLOCKED)
    chip.machine.gcfr.write(register, 4, value)
    bus.write(control(2), 4, cnn_programs.CLOCKED)
    with pytest.raises(KitFault, match=f"quadrant 1 is accessed while {said}"):
        bus.read(control(1), 4)


def test_a_quadrant_that_was_off_has_forgotten_everything(chip: Chip) -> None:
    power(chip, 0xF)
    bus, data = chip.machine.accelerator, places(1)["data"]
    for quadrant in (0, 1):
        bus.write(control(quadrant), 4, cnn_programs.CLOCKED)
        bus.write(places(quadrant)["data"], 4, 0x1234_5678)
    assert bus.read(data, 4) == 0x1234_5678
    chip.machine.gcfr.write(POWER, 4, 0b1101)
    chip.machine.gcfr.write(POWER, 4, 0b1111)
    assert bus.read(control(1), 4) == registers.CTRL.reset
    assert bus.read(places(0)["data"], 4) == 0x1234_5678
    bus.write(control(1), 4, cnn_programs.CLOCKED)
    with pytest.raises(KitFault):
        bus.read(data, 4)


def test_stores_that_are_still_collected_are_not_lost(chip: Chip) -> None:
    power(chip, 0xF)
    bus = chip.machine.accelerator
    bus.write(control(0), 4, cnn_programs.CLOCKED)
    for index in range(4):
        bus.write(places(0)["data"] + 4 * index, 4, index)
    chip.machine.gcfr.write(POWER, 4, 0b0111)
    assert [bus.read(places(0)["data"] + 4 * index, 4) for index in range(4)] == [0, 1, 2, 3]


def layer(chip: Chip, spec: LayerSpec, quadrants: tuple[int, ...]) -> None:
    """Configure what is on, and fill memories."""
    cnn = chip.machine.accelerator.cnn
    for quadrant in quadrants:
        cnn.write(control(quadrant) + BASE, 4, cnn_programs.CLOCKED)
        cnn.write(registers.global_address(quadrant, registers.LCNT_MAX), 4, 0)
    for address, value in cnn_programs.layer_words(spec).items():
        if registers.REGISTER_MAP[address].quadrant in quadrants:
            cnn.write(address, 4, value)
    cnn_programs.fill(cnn, spec)


def start(chip: Chip) -> None:
    value = registers.CTRL.encode(cnn_en=1, clk_en=1)
    chip.machine.accelerator.write(control(0), 4, value)


def test_one_quadrant_alone_computes(chip: Chip) -> None:
    spec = LayerSpec(out_instance=2)
    power(chip, 1)
    layer(chip, spec, (0,))
    start(chip)
    chip.machine.accelerator.cnn.finish()
    whole = cnn_programs.run(spec)
    out = memory_map.instance_address(2)
    ours = chip.machine.accelerator.cnn.read_block(out, 4)
    np.testing.assert_array_equal(ours, whole.read_block(out, 4))


def test_output_into_a_quadrant_that_is_off_is_stopped(chip: Chip) -> None:
    power(chip, 1)
    layer(chip, LayerSpec(out_instance=4), (0,))
    with pytest.raises(KitFault, match="output goes to quadrant 1, while its power is off"):
        start(chip)


def test_output_across_a_quadrant_that_is_off_is_stopped(chip: Chip) -> None:
    """From the last memory of quadrant 0 to the first of quadrant 2."""
    power(chip, 0b1101)
    spec = LayerSpec(outputs=24, out_instance=3, kernel="1x1")
    layer(chip, spec, (0, 2, 3))
    with pytest.raises(KitFault, match="output goes to quadrant 1, while its power is off"):
        start(chip)


@pytest.mark.parametrize("switch", ["GCFR", "always-on block"])
def test_switching_off_what_computes_is_stopped(chip: Chip, switch: str) -> None:
    power(chip, 0b0011)
    layer(chip, LayerSpec(rows=32, columns=32, kernel="1x1", out_instance=2), (0, 1))
    start(chip)
    assert chip.machine.accelerator.cnn.running
    off = registers.AOD_CTRL.encode(group_off=1)
    block, offset, value = {
        "GCFR": (chip.machine.gcfr, POWER, 0b0010),
        "always-on block": (chip.machine.accelerator, ALWAYS_ON, off),
    }[switch]
    with pytest.raises(KitFault, match="quadrant 0"):
        block.write(offset, 4, value)


def test_a_quadrant_that_the_always_on_block_switched_off_cannot_be_used(chip: Chip) -> None:
    power(chip, 0b0011)
    bus = chip.machine.accelerator
    for quadrant in (0, 1):
        bus.write(control(quadrant), 4, cnn_programs.CLOCKED)
    bus.write(ALWAYS_ON, 4, registers.AOD_CTRL.encode(group_off=2))
    bus.write(places(0)["data"], 4, 1)
    for address in places(1).values():
        with pytest.raises(KitFault):
            bus.read(address, 4)


def test_an_isolated_quadrant_does_not_start(chip: Chip) -> None:
    power(chip, 0b0011)
    spec = LayerSpec(processors=(0, 16), out_instance=2, kernel="1x1")
    layer(chip, spec, (0, 1))
    follow = registers.CTRL.encode(cnn_en=1, clk_en=1, ext_sync=4)
    chip.machine.accelerator.write(control(1), 4, follow)
    chip.machine.gcfr.write(ISOLATION, 4, 0b1110)
    with pytest.raises(KitFault, match="quadrant 1 is started while it is isolated"):
        start(chip)


def test_all_quadrants_off_ends_a_run(chip: Chip) -> None:
    power(chip, 0xF)
    layer(chip, LayerSpec(rows=32, columns=32, kernel="1x1", out_instance=2), (0, 1, 2, 3))
    start(chip)
    chip.machine.gcfr.write(POWER, 4, 0)
    assert not chip.machine.accelerator.cnn.running
    assert np.all(~chip.machine.accelerator.cnn.memories.data.known)
