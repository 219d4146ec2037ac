"""Wake-up timer and deep sleep, driven by small programs through their registers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evalkit.kit import Fault, Kit
from tests.helpers.mini_firmware import build_program

HEAD = """
#include <stdint.h>
#include "console.h"
#include "platform.h"
#define WORD(address) (*(volatile uint32_t *)(address))
#define PM WORD(0x4000000C)
#define LPM 8u
#define UPM 9u
#define WUT_WAKES (1u << 7)
#define PINS_WAKE (1u << 4)
#define WUT_CNT WORD(0x40006400)
#define WUT_CMP WORD(0x40006404)
#define WUT_INTR WORD(0x4000640C)
#define WUT_CTRL WORD(0x40006410)
#define WUT_ON 0x80u
volatile uint32_t calls;
static void timer(void) { WUT_INTR = 1; calls = calls + 1; }
static void pin(void) { WORD(0x40008048) = 0xFFFFFFFFu; calls = calls + 1; }
static uint32_t vectors[120] __attribute__((aligned(512)));
static void __attribute__((unused)) prepare(void)
{
    platform_init();
    for (uint32_t i = 0; i < 120; ++i) vectors[i] = WORD(0x10000000u + 4 * i);
    vectors[16 + 53] = (uint32_t)(uintptr_t)timer;
    vectors[16 + 24] = (uint32_t)(uintptr_t)pin;
    WORD(0xE000ED08) = (uint32_t)(uintptr_t)vectors;
    WORD(0xE000E100 + 4 * (53 / 32)) = 1u << (53 % 32);
    WORD(0xE000E100) = 1u << 24;
    WORD(0x40000008) |= 1u << 17; /* 32.768 kHz oscillator */
    WORD(0xE000E010) = 0;         /* SysTick off */
}
static void __attribute__((unused)) quiet(void)
{
    platform_flush();
    while (WORD(0x40042004) & 1) {} /* the last character is on the line */
    WORD(0x40010010) = 0;           /* TMR0 off */
}
static void __attribute__((unused)) watch_button(void)
{
    WORD(0x40008028) = 4; /* P0.2: edge, falling, interrupt */
    WORD(0x40008038) = 4;
}
static void __attribute__((unused)) sleep_deeply(uint32_t mode)
{
    PM = mode;
    WORD(0xE000ED10) = 4;
    __asm volatile("dsb\\n\\twfi" ::: "memory");
    WORD(0xE000ED10) = 0;
}
static void __attribute__((unused)) alarm(uint32_t counts, uint32_t control)
{
    WUT_CNT = 0;
    WUT_CMP = counts;
    WUT_CTRL = WUT_ON | control;
}
"""

Make = Callable[[str], Kit]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("objects")


@pytest.fixture
def make(tmp_path: Path, cache: Path) -> Make:
    def board(body: str) -> Kit:
        source = f"{HEAD}\nint main(void)\n{{\nprepare();\n{body}\nplatform_halt();\n}}\n"
        return Kit(build_program(tmp_path / "program", source, cache))

    return board


@pytest.mark.parametrize(("prescaler", "seconds"), [(0, 0.1), (3, 0.8)])
def test_one_shot_wakes_and_stops(make: Make, prescaler: int, seconds: float) -> None:
    kit = make(
        f"quiet(); alarm(3277, {prescaler}u << 3); sleep_deeply(UPM | WUT_WAKES);"
        'console_unsigned(calls); console_text(WUT_CTRL & WUT_ON ? " on" : " off");'
    )
    kit.run_until()
    assert kit.uart_text() == "1 off"
    (nap,) = [s for s in kit.machine.recorder.rows["processor"] if "deep" in s.name]
    assert nap.name == "in deep sleep (UPM)"
    assert (nap.end - nap.start) / 1e12 == pytest.approx(seconds, rel=1e-3)


def test_continuous_goes_on(make: Make) -> None:
    kit = make("alarm(328, 1); while (calls < 5) {}console_unsigned(WUT_CNT < 10); WUT_CTRL = 0;")
    kit.run_until()
    assert kit.uart_text() == "1"
    assert kit.seconds == pytest.approx(5 * 0.01, rel=0.05)


def test_compare_counts_on(make: Make) -> None:
    kit = make("alarm(300, 5); while (!calls) {}console_unsigned(WUT_CNT >= 300); WUT_CTRL = 0;")
    kit.run_until()
    assert kit.uart_text() == "1"


def test_characters_leave_during_lpm(make: Make) -> None:
    """The clocks of the peripherals run on; characters in the FIFO need nothing else."""
    kit = make(
        "quiet(); for (int i = 0; i < 5; ++i) WORD(0x40042020) = 'a' + i;"
        'alarm(3277, 0); sleep_deeply(LPM | WUT_WAKES); console_text("!");'
    )
    kit.run_until()
    assert kit.uart_text() == "abcde!"


def test_button_ends_deep_sleep(make: Make) -> None:
    kit = make(
        'console_text("in"); quiet(); watch_button(); WORD(0x40006808) = 4;'
        "sleep_deeply(2 | PINS_WAKE); console_unsigned(calls);"
        "console_unsigned(WORD(0x40006804)); WORD(0x40006804) = 4;"
        "console_unsigned(WORD(0x40006804));"
    )
    kit.run_until()
    assert kit.uart_text() == "in"
    kit.press_button(0)
    kit.run_until()
    assert kit.uart_text() == "in140"


WRONG = {
    "no mode": ("quiet(); sleep_deeply(WUT_WAKES);", "while GCR.PM.mode is 0"),
    "SysTick": (
        "quiet(); WORD(0xE000E014) = 9999; WORD(0xE000E010) = 5; sleep_deeply(LPM);",
        "deep sleep (LPM) while SysTick counts",
    ),
    "timer": ("sleep_deeply(UPM);", "deep sleep (UPM) while TMR0 counts"),
    "sending": ("quiet(); WORD(0x40042020) = 65; sleep_deeply(UPM);", "while UART0 sends"),
    "transfer": (
        'for (int i = 0; i < 9; ++i) { console_text("many characters"); } sleep_deeply(LPM);',
        "DMA channel 0 transfers",
    ),
    "not enabled": (
        "quiet(); alarm(99, 0); sleep_deeply(UPM);",
        "interrupt 53 comes in deep sleep but is not enabled to end it (GCR.PM.wut_we is 0)",
    ),
    "other source": (
        "quiet(); WORD(0x40042020) = 65; WORD(0x40042008) = 1 << 6; WORD(0xE000E280) = 1 << 14;"
        "for (int i = 0; i < 6; ++i) WORD(0x40042020) = 65; WORD(0xE000E100) = 1 << 14;"
        "sleep_deeply(LPM);",
        "interrupt 14 comes in deep sleep; only RTC, WUT and GPIO can there",
    ),
    "BACKUP": ("PM = 4;", "GCR.PM: the firmware enters BACKUP"),
    "POWERDOWN": ("PM = 10;", "GCR.PM: the firmware enters POWERDOWN"),
    "unknown mode": ("PM = 7;", "GCR.PM: mode 7 does not exist"),
    "no oscillator": (
        "WORD(0x40000008) &= ~(1u << 17); WUT_CTRL = WUT_ON;",
        "WUT.CTRL: enabled while its oscillator is off",
    ),
    "timer mode": ("WUT_CTRL = WUT_ON | 3;", "WUT.CTRL: mode 3 is not modelled"),
    "sleep on exit": ("WORD(0xE000ED10) = 2;", "SCR 0x2: only SLEEPDEEP and SEVONPEND"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_refused(make: Make, name: str) -> None:
    body, message = WRONG[name]
    kit = make(body)
    with pytest.raises(Fault) as caught:
        kit.run_until(max_seconds=2)
    assert message in str(caught.value)
    assert "main.c:" in str(caught.value)


def test_pin_that_is_not_enabled(make: Make) -> None:
    kit = make("quiet(); watch_button(); sleep_deeply(UPM | PINS_WAKE);")
    kit.run_until()
    kit.press_button(0)
    with pytest.raises(Fault, match=r"not enabled to end it \(PWRSEQ\.LPWKEN0\)"):
        kit.run_until()
