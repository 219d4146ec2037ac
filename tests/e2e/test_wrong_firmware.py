"""Firmware that leaves a step out or does a wrong one is stopped, and told what is wrong.

Each program is a compiled network with the real driver, built and run as an image; only ``main``
is written here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evalkit.kit import Fault, Kit
from synthesize.chip import memory_map, registers
from synthesize.compiler import Compiled, compile_graph
from synthesize.graph import ir
from synthesize.write import elf as build
from synthesize.write import project as emit

pytest.importorskip("unicorn", reason="the kit extra is not installed")

STEPS = {
    "enable": "cnn_enable(CNN_CLOCK_PERIPHERAL, CNN_CLOCK_DIVIDE_1);",
    "init": "cnn_init();",
    "weights": "cnn_load_weights();",
    "bias": "cnn_load_bias();",
    "configure": "cnn_configure();",
    "input": "cnn_load_input(sample_input);",
    "start": "cnn_start();",
    "wait": "cnn_wait(100000);",
    "unload": "cnn_unload(results);",
}

MAIN = """
#include "cnn.h"
#include "console.h"
#include "network.h"
#include "platform.h"
#include "sampledata.h"
#define WORD(address) (*(volatile uint32_t *)(address))
static const uint32_t __attribute__((unused)) sample_input[] = SAMPLE_INPUT;
static uint32_t results[1024];
int main(void)
{
    platform_init();
%s
    console_text("the end");
    platform_halt();
}
"""


def _layer(register: registers.Register) -> int:
    return registers.layer_address(0, 0, register)


CTRL = registers.global_address(0, registers.CTRL)
SRAM = registers.global_address(0, registers.SRAM)
DATA = memory_map.instance_address(0)
FAR = memory_map.instance_address(15, 8000)


def poke(address: int, operation: str) -> str:
    """C statement that changes a word."""
    return f"WORD(0x{address:08X}u) {operation};"


LEFT_OUT = {
    "enable": "GCR.PCLKDIS0.cnn is 1",
    "init": "while the clock of quadrant 0 is off (CTRL.clk_en)",
    "weights": "is used for output 7 but was never written",
    "bias": "of quadrant 0 is used but was never written",
    "input": "which nobody wrote",
    "configure": "no processor is enabled",
    "wait": "data memory is accessed while the accelerator runs",
}
"""What happens without a step."""

ADDED = {
    "reserved bit": ("configure", poke(_layer(registers.STRIDE), "= 1u << 31"), "is reserved"),
    "bit that is not modelled": ("init", poke(CTRL, "|= 1u << 21"), "CTRL.simple1b"),
    "no register": ("init", poke(CTRL + 0x20_0000 - 0x10_0000 + 0x8000, "= 1"), "nothing is at"),
    "register by bytes": ("init", f"*(volatile uint8_t *)0x{CTRL:08X}u = 8;", "32-bit accesses"),
    "output over input": (
        "configure",
        poke(_layer(registers.WPTR_BASE), "= 100") + poke(_layer(registers.RPTR_BASE), "= 0"),
        "output overwrites live input",
    ),
    "word nobody wrote": ("wait", f"results[0] = {poke(FAR, '')}", "was never written"),
    "register while running": (
        "start",
        poke(_layer(registers.STRIDE), "= 0"),
        "is written while the accelerator runs",
    ),
    "memory asleep": ("init", poke(SRAM, "|= 1u << 16"), "is asleep or powered down"),
    "clock stopped": ("configure", "WORD(0x40000024u) |= 1u << 25;", "GCR.PCLKDIS0.cnn is 1"),
    "power cut": ("configure", "WORD(0x40005800u) = 0;", "its power is off"),
    "input without data": (
        "configure",
        poke(_layer(registers.RPTR_BASE), "= 64"),
        "which nobody wrote",
    ),
    "output out of memory": (
        "configure",
        poke(_layer(registers.WPTR_BASE), "|= 0x1FFF"),
        "run out of the memory",
    ),
    "run stopped half-way": (
        "start",
        poke(CTRL, "&= ~1u"),
        "data memory is accessed while the accelerator runs",
    ),
}
"""After which step, what else is done, what the message says."""


@pytest.fixture(scope="module")
def network() -> tuple[Compiled, np.ndarray]:
    rng = np.random.default_rng(0)
    layer = ir.Layer(
        "a", "conv2d", (ir.INPUT,), (4, 16, 16), (8, 16, 16), kernel=(3, 3), pad=(1, 1),
        weight=rng.integers(-128, 128, (8, 4, 3, 3)), bias=rng.integers(-128, 128, 8),
        output_shift=-3,
    )  # fmt: skip
    outputs = (ir.Output("y", "a", 0, 8),)
    graph = ir.Graph("small", ir.Input((4, 16, 16)), (layer,), outputs)
    return compile_graph(graph), rng.integers(-128, 128, (4, 16, 16))


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("objects")


def board(
    network: tuple[Compiled, np.ndarray], folder: Path, objects: Path, steps: list[str]
) -> Kit:
    compiled, sample = network
    emit.write_project(compiled.program, sample, compiled.known_answer(sample), folder)
    (folder / "main.c").write_text(MAIN % "\n".join(f"    {s}" for s in steps), encoding="ascii")
    return Kit(build.build(folder, cache=objects))


def message(kit: Kit) -> str:
    with pytest.raises(Fault) as caught:
        kit.run_until(max_seconds=1)
    return str(caught.value)


def test_right_firmware_comes_to_its_end(
    network: tuple[Compiled, np.ndarray], tmp_path: Path, objects: Path
) -> None:
    kit = board(network, tmp_path / "project", objects, list(STEPS.values()))
    kit.run_until()
    assert "the end" in kit.uart_text()


@pytest.mark.parametrize("step", LEFT_OUT)
def test_step_left_out(
    network: tuple[Compiled, np.ndarray], tmp_path: Path, objects: Path, step: str
) -> None:
    steps = [code for name, code in STEPS.items() if name != step]
    said = message(board(network, tmp_path / "project", objects, steps))
    assert LEFT_OUT[step] in said
    assert "at pc 0x1000" in said


@pytest.mark.parametrize("name", ADDED)
def test_wrong_step(
    network: tuple[Compiled, np.ndarray], tmp_path: Path, objects: Path, name: str
) -> None:
    after, code, expected = ADDED[name]
    steps = []
    for step, right in STEPS.items():
        steps += [right, code] if step == after else [right]
    said = message(board(network, tmp_path / "project", objects, steps))
    assert expected in said
    assert "at pc 0x1000" in said
