"""The fast way into the emulator and the documented one do the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.hardware.core import binding, cpu
from evalkit.kit import Fault, Kit
from tests.helpers.mini_firmware import build_program

PROGRAM = """
#include <stdint.h>
#include "console.h"
#include "frame.h"
#include "platform.h"
volatile float sum;
int main(void)
{
    platform_init();
    for (uint32_t i = 0; i < 300; ++i) {
        sum = sum + 0.25f * (float)platform_ticks();
        if (i % 50 == 0) platform_sleep();
    }
    console_line("sum", (uint32_t)sum, "");
    frame_begin(7, 2);
    frame_put("ok", 2);
    frame_end();
    platform_flush();
    *(volatile uint32_t *)0x50100000 = 8; /* the accelerator has no power */
    return 0;
}
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_program(tmp_path_factory.mktemp("binding") / "program", PROGRAM)


def outcome(image: Path) -> tuple[object, ...]:
    kit = Kit(image)
    kit.uart_write(b"characters that come while the program is busy")
    with pytest.raises(Fault) as caught:
        kit.run_until(max_seconds=5)
    return kit.uart_text(), kit.frames, kit.machine.cycles, kit.machine.now, str(caught.value)


def test_both_ways_are_the_same(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = outcome(image)
    used: list[object] = []

    def documented(*given: object) -> binding.Binding:
        used.append(given)
        return binding.Binding(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(cpu, "bind", documented)
    assert outcome(image) == fast
    assert used
    assert "GCR.PCLKDIS0.cnn is 1" in str(fast[-1])


def test_the_fast_way_is_used(image: Path) -> None:
    """Were the binding's inside to change, nothing but the speed would tell."""
    assert isinstance(Kit(image).machine.cpu._binding, binding.Direct)


@pytest.mark.parametrize("fast", [True, False])
def test_an_error_in_a_device_is_raised(
    image: Path, monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    if not fast:
        monkeypatch.setattr(cpu, "bind", binding.Binding)
    kit = Kit(image)

    def broken() -> int:
        raise ZeroDivisionError("in a device")

    kit.machine.timers[0]._readers[0] = broken
    with pytest.raises(ZeroDivisionError, match="in a device"):
        kit.run_until()
