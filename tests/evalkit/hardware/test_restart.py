"""Reset of the virtual chip by its watchdog or by the program: the firmware starts again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from common.errors import UserError
from evalkit.__main__ import main as evalkit
from evalkit.hardware.scheduler import SECOND
from evalkit.kit import Kit
from tests.helpers.mini_firmware import build_program

HEAD = """
#include <stdint.h>
#include "console.h"
#include "platform.h"
#define WORD(address) (*(volatile uint32_t *)(address))
#define NOTE WORD(0x20010000u)
static void __attribute__((unused)) say(uint32_t value)
{
    console_unsigned(value);
    console_text(" ");
}
"""
WATCHDOG = "WORD(0x40003000) = 1u << 8 | 1u << 11 | 9u << 4;"
"""Reset after 2**22 clocks of 50 MHz: 84 ms."""
RESETS = {
    "watchdog": f"{WATCHDOG} for (;;) {{}}",
    "sleeping": f"{WATCHDOG} for (;;) {{ platform_mask(); platform_sleep(); }}",
    "polling": f"{WATCHDOG} while (WORD(0x40042004) != 0x12345678u) {{}}",
    "processor": "WORD(0xE000ED0C) = 0x05FA0004; for (;;) {}",
    "clock control": "WORD(0x40000004) = 1u << 31; for (;;) {}",
}
SENT = "platform_flush(); while (WORD(0x40042004) & 1u) {}"
"""Nothing is left on the console's line either."""
Make = Callable[[str], Path]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("objects")


@pytest.fixture
def make(tmp_path: Path, cache: Path) -> Make:
    def program(body: str) -> Path:
        source = f"{HEAD}\nint main(void)\n{{\n{body}\n}}\n"
        return build_program(tmp_path / "program", source, cache)

    return program


@pytest.mark.parametrize("name", RESETS)
def test_firmware_starts_again(make: Make, name: str) -> None:
    """Peripherals as after power-up; SRAM and the reason stay."""
    body = (
        "uint32_t reason = WORD(0x40003000), clock = WORD(0x40000008), gates = WORD(0x40000024);"
        "platform_init(); say(reason >> 31); say(clock == 0x24042008u); say(gates != 0);"
        'if (NOTE == 77) { console_text("again"); platform_halt(); }'
        f"NOTE = 77; {SENT} {RESETS[name]} platform_halt();"
    )
    kit = Kit(make(body))
    kit.run_until(max_seconds=1)
    late = int(name in ("watchdog", "sleeping", "polling"))
    assert kit.uart_text() == f"0 1 1 {late} 1 1 again"
    ((time, cause),) = kit.machine.resets
    assert cause == ("watchdog" if late else "software")
    assert not late or time / SECOND == pytest.approx(2**22 / 50e6, rel=0.01)


def test_reset_in_a_handler_leaves_no_handler_behind(make: Make) -> None:
    """Interrupts of the same priority are taken again, and RTC and its flag go on."""
    body = (
        "platform_init(); say(WORD(0x40006000));"
        "if (WORD(0x40003000) >> 31) {"
        " uint32_t start = platform_ticks(); platform_tick(1000);"
        " for (int i = 0; i < 5; ++i) { platform_mask(); platform_sleep(); }"
        " say(platform_ticks() - start > 4 * 50000); platform_halt(); }"
        "WORD(0x40006010) = 1u << 15 | 1; WORD(0x40006000) = 41;"
        "WORD(0x20010100) = 0; for (int i = 0; i < 120; ++i)"
        " WORD(0x20010200 + 4 * i) = WORD(0x10000000 + 4 * i);"
        "WORD(0x20010200 + 4 * 15) = (uint32_t)(uintptr_t)hang; WORD(0xE000ED08) = 0x20010200;"
        f"{SENT} platform_tick(1000); {WATCHDOG} for (;;) {{}}"
    )
    kit = Kit(make("void hang(void);" + body + "}\nvoid hang(void) { for (;;) {}"))
    kit.run_until(max_seconds=2)
    assert kit.uart_text() == "0 41 1 "


def test_limit_holds_for_a_program_that_resets_for_ever(make: Make) -> None:
    kit = Kit(make("platform_init(); WORD(0xE000ED0C) = 0x05FA0004; for (;;) {}"))
    with pytest.raises(UserError, match=r"did not finish within 0\.01 s of modelled time"):
        kit.run_until("never", max_seconds=0.01, max_wall_seconds=1e6)
    assert len(kit.machine.resets) > 2


def test_command_says_that_the_chip_was_reset(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    firmware = make(
        f"platform_init(); if (WORD(0x40003000) >> 31) platform_halt(); {WATCHDOG} for (;;) {{}}"
    )
    assert evalkit(["run", str(firmware)]) == 0
    assert capsys.readouterr().err.startswith("watchdog reset at 0.08")
    assert evalkit(["run", str(firmware), "--no-restart"]) == 2
    assert "was not fed in time and resets the chip" in capsys.readouterr().err
