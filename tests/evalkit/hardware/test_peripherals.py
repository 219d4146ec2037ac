"""Peripherals beyond the console, driven by small programs through their registers."""

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
volatile uint32_t calls;
static void handler(void);
static uint32_t vectors[120] __attribute__((aligned(512)));
static void __attribute__((unused)) catch(uint32_t irq)
{
    for (uint32_t i = 0; i < 120; ++i) vectors[i] = WORD(0x10000000u + 4 * i);
    vectors[16 + irq] = (uint32_t)(uintptr_t)handler;
    WORD(0xE000ED08) = (uint32_t)(uintptr_t)vectors;
    WORD(0xE000E100 + 4 * (irq / 32)) = 1u << (irq % 32);
}
"""

NO_HANDLER = "static void handler(void) {}"
Make = Callable[..., Kit]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("objects")


@pytest.fixture
def make(tmp_path: Path, cache: Path) -> Make:
    def board(body: str, outside: str = NO_HANDLER) -> Kit:
        main = f"int main(void)\n{{\nplatform_init();\n{body}\nplatform_halt();\n}}\n"
        source = f"{HEAD}{outside}\n{main}"
        return Kit(build_program(tmp_path / "program", source, cache))

    return board


def text_of(kit: Kit, seconds: float = 30) -> str:
    kit.run_until(max_seconds=seconds)
    return kit.uart_text()


RTC_WRITABLE = "WORD(0x40006010) = 1u << 15;"


def test_rtc_counts_seconds(make: Make) -> None:
    kit = make(
        RTC_WRITABLE + "WORD(0x40006000) = 100; WORD(0x40006010) = 1u << 15 | 1;"
        "uint32_t start = platform_ticks();"
        "while (platform_ticks() - start < 50u * 2500000u) {}"
        'console_unsigned(WORD(0x40006000)); console_text(" ");'
        "console_unsigned(WORD(0x40006004) > 2000 && WORD(0x40006004) < 2200);"
    )
    assert text_of(kit) == "102 1"


def test_rtc_alarm_wakes_the_processor(make: Make) -> None:
    kit = make(
        "catch(3);" + RTC_WRITABLE + "WORD(0x40006008) = 2;"
        "WORD(0x40006010) = 1u << 15 | 3;"
        "platform_mask(); while (!calls) { platform_sleep(); platform_mask(); } platform_unmask();"
        "console_unsigned(WORD(0x40006000));",
        outside="static void handler(void) { calls = calls + 1; WORD(0x40006010) &= ~0x42u; }",
    )
    assert text_of(kit) == "2"
    assert kit.seconds == pytest.approx(2, rel=0.01)


def test_rtc_write_without_permission_is_a_fault(make: Make) -> None:
    with pytest.raises(Fault, match=r"RTC\.SEC: written while CTRL\.we is 0.*main\.c"):
        text_of(make("WORD(0x40006000) = 1;"))


WATCHDOG = "WORD(0x40003000) = 1u << 8 | 1u << 11 | 9u << 4;"
"""Reset after 2**22 clocks of 50 MHz: 84 ms."""

FEED = "WORD(0x40003004) = 0xA5; WORD(0x40003004) = 0x5A;"
WAIT_50_MS = "{ uint32_t start = platform_ticks(); while (platform_ticks() - start < 2500000u) {} }"


def test_watchdog_is_kept_quiet(make: Make) -> None:
    kit = make(
        WATCHDOG + f"for (int i = 0; i < 5; ++i) {{ {WAIT_50_MS} {FEED} }}"
        'WORD(0x40003000) = 0; console_text("alive");'
    )
    assert text_of(kit) == "alive"


def test_hungry_watchdog_ends_the_run(make: Make) -> None:
    kit = make(WATCHDOG + "for (;;) {}")
    kit.machine.restarts = False
    with pytest.raises(Fault, match=r"WDT0\.CTRL: the watchdog was not fed in time"):
        text_of(kit)
    assert kit.seconds == pytest.approx(2**22 / 50e6, rel=0.01)


def test_watchdog_interrupt_comes_before_the_reset(make: Make) -> None:
    kit = make(
        "catch(1); WORD(0x40003000) = 1u << 8 | 1u << 10 | 1u << 11 | 9u << 4 | 10u;"
        f"{WAIT_50_MS} WORD(0x40003000) = 0; console_unsigned(calls);",
        outside="static void handler(void) { calls = calls + 1; WORD(0x40003000) &= ~(1u << 9); }",
    )
    assert text_of(kit) == "1"


FLASH_WRITE = """
static const uint32_t page[2048 + 4] __attribute__((aligned(8192))) = {1, 2, 3, 4};
static void flash(uint32_t command, uint32_t code)
{
    WORD(0x40029008) = 2u << 28 | code << 8;
    WORD(0x40029000) = (uint32_t)(uintptr_t)page - 0x10000000u;
    WORD(0x40029008) |= command;
    while (WORD(0x40029008) & 1u << 24) {}
    WORD(0x40029008) = 0;
}
static uint32_t at(uint32_t i) { return ((volatile const uint32_t *)page)[i]; }
"""


def test_flash_is_erased_and_written(make: Make) -> None:
    kit = make(
        "flash(4, 0x55); console_hex(at(0)); console_hex(at(2047));"
        "WORD(0x40029030) = 5; WORD(0x40029034) = 6; WORD(0x40029038) = 7; WORD(0x4002903C) = 8;"
        "flash(1, 0); console_unsigned(at(0)); console_unsigned(at(3)); console_hex(at(4));",
        outside=NO_HANDLER + FLASH_WRITE,
    )
    assert text_of(kit) == "0xffffffff0xffffffff580xffffffff"


def test_locked_flash_reports_an_access_fault(make: Make) -> None:
    kit = make(
        "WORD(0x40029000) = 0x40000; WORD(0x40029008) = 0x55u << 8 | 4u;"
        "console_unsigned(WORD(0x40029024)); console_unsigned(WORD(0x40029008) & 7u);"
    )
    assert text_of(kit) == "20"


def test_dma_copies_and_reloads(make: Make) -> None:
    kit = make(
        "for (int i = 0; i < 64; ++i) from[i] = i;\n"
        "WORD(0x40028148) = (uint32_t)(uintptr_t)from; WORD(0x4002814C) = (uint32_t)(uintptr_t)to;"
        "WORD(0x40028150) = 128; WORD(0x40028154) = (uint32_t)(uintptr_t)(from + 32);"
        "WORD(0x40028158) = (uint32_t)(uintptr_t)(to + 32); WORD(0x4002815C) = 1u << 31 | 128;"
        "WORD(0x40028140) = 1u << 18 | 1u << 22 | 3u;"
        "while (WORD(0x40028144) & 1) {}"
        "uint32_t sum = 0; for (int i = 0; i < 64; ++i) sum += to[i]; console_unsigned(sum);",
        outside=NO_HANDLER + "static uint32_t from[64]; static volatile uint32_t to[64];",
    )
    assert text_of(kit) == str(sum(range(64)))


def test_one_shot_timer_interrupts_once(make: Make) -> None:
    kit = make(
        "catch(6); WORD(0x40000024) &= ~(1u << 16);"
        "WORD(0x40011018) = 1u << 31 | 1u << 8; WORD(0x40011010) = 1u << 14;"
        "WORD(0x40011000) = 1; WORD(0x40011004) = 500000; WORD(0x40011010) |= 1u << 15;"
        f"{WAIT_50_MS} console_unsigned(calls);"
        "console_unsigned(WORD(0x40011010) >> 15 & 1);",
        outside="static void handler(void) { calls = calls + 1; WORD(0x4001100C) = 1; }",
    )
    assert text_of(kit) == "10"


def test_continuous_timer_interrupts_again_and_again(make: Make) -> None:
    kit = make(
        "catch(6); WORD(0x40000024) &= ~(1u << 16);"
        "WORD(0x40011018) = 1u << 31 | 1u << 8; WORD(0x40011010) = 1u << 14 | 1;"
        "WORD(0x40011000) = 1; WORD(0x40011004) = 500000; WORD(0x40011010) |= 1u << 15;"
        f"{WAIT_50_MS} WORD(0x40011010) = 0; console_unsigned(calls >= 4 && calls <= 5);",
        outside="static void handler(void) { calls = calls + 1; WORD(0x4001100C) = 1; }",
    )
    assert text_of(kit, 1) == "1"


def test_timer_without_clock_cannot_start(make: Make) -> None:
    with pytest.raises(Fault, match=r"TMR1\.CTRL0: the timer is started while its clock is off"):
        text_of(make("WORD(0x40011010) = 1u << 15;"))


def test_button_interrupts(make: Make) -> None:
    kit = make(
        "catch(24); WORD(0x4000802C) = 0; WORD(0x40008028) = 4; WORD(0x40008034) = 4;"
        'console_text("wait ");'
        "platform_mask(); while (!calls) { platform_sleep(); platform_mask(); } platform_unmask();"
        "console_unsigned(calls);",
        outside="static void handler(void) { calls = calls + 1; WORD(0x40008048) = 4; }",
    )
    kit.run_until("wait ")
    kit.press_button(0)
    assert text_of(kit) == "wait 1"


def test_led_is_seen_from_outside(make: Make) -> None:
    kit = make(
        'WORD(0x4008000C) &= ~1u; WORD(0x40080410) = 3; WORD(0x4008041C) = 1;console_text("on");'
    )
    assert text_of(kit) == "on"
    assert kit.machine.gpios[2].output() == 1


def test_time_passes_while_the_program_branches_to_itself(make: Make) -> None:
    kit = make('console_text("x"); __asm volatile("cpsie i\\n1: b 1b");')
    kit.run_until(lambda: kit.seconds > 5, max_seconds=6, max_wall_seconds=20)
    assert kit.uart_text() == "x"


def test_supervisor_call_and_pending_service(make: Make) -> None:
    kit = make(
        "catch(0); vectors[11] = vectors[16]; vectors[14] = vectors[16];"
        '__asm volatile("svc #1"); console_unsigned(calls);'
        'WORD(0xE000ED04) = 1u << 28; __asm volatile("isb"); console_unsigned(calls);',
        outside="static void handler(void) { calls = calls + 1; }",
    )
    assert text_of(kit) == "12"
