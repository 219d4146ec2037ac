"""Small programs on the virtual board: console, time, interrupts, and what stops them."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from common.errors import UserError
from evalkit.kit import Fault, Kit
from evalkit.wire import protocol
from tests.helpers.mini_firmware import build_program

HEAD = """
#include <stdint.h>
#include "console.h"
#include "frame.h"
#include "platform.h"
#define WORD(address) (*(volatile uint32_t *)(address))
"""

Make = Callable[[str], Kit]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("objects")


@pytest.fixture
def make(tmp_path: Path, cache: Path) -> Make:
    """Compile the body of main() and put it on a board."""

    def board(body: str, outside: str = "") -> Kit:
        source = f"{HEAD}{outside}\nint main(void)\n{{\n{body}\n}}\n"
        return Kit(build_program(tmp_path / "program", source, cache))

    return board  # type: ignore[return-value]


def test_text_arrives_and_the_end_is_noticed(make: Make) -> None:
    kit = make('platform_init(); console_line("answer", 42, " of it"); platform_halt();')
    assert kit.run_until()
    assert kit.uart_text() == "answer: 42 of it\r\n"
    assert kit.uart_read() == b"answer: 42 of it\r\n"
    assert kit.uart_read() == b""


def test_uart_takes_its_time(make: Make) -> None:
    kit = make('platform_init(); for (int i = 0; i < 100; ++i) console_text("0123456789");'
               "platform_halt();")  # fmt: skip
    kit.run_until()
    assert kit.seconds == pytest.approx(1000 * 10 / 115200, rel=0.01)


def test_stopwatch_agrees_with_modelled_time(make: Make) -> None:
    kit = make(
        "platform_init(); uint32_t start = platform_ticks();"
        "while (platform_ticks() - start < 50u * 20000u) {}"
        'console_text("done"); platform_halt();'
    )
    before = kit.seconds
    kit.run_until("done")
    sending = 4 * 10 / 115200
    assert kit.seconds - before == pytest.approx(0.020 + sending, rel=0.03)


def test_data_and_bss_are_initialised(make: Make) -> None:
    kit = make(
        "platform_init(); console_unsigned(changed[1]); console_unsigned(zero[2]);"
        " platform_halt();",
        outside="volatile uint32_t changed[] = {5, 7}; volatile uint32_t zero[4];",
    )
    kit.run_until()
    assert kit.uart_text() == "70"


def test_frames_reach_the_host(make: Make) -> None:
    kit = make(
        'platform_init(); console_text("before "); frame_begin(7, 5); frame_put("abc", 3);'
        'frame_put_u16(0x1234); frame_end(); console_text("after"); platform_halt();'
    )
    kit.run_until()
    assert kit.uart_text() == "before after"
    assert kit.frames == [protocol.Frame(7, 0, b"abc\x34\x12")]


def test_received_characters_are_echoed(make: Make) -> None:
    kit = make(
        'platform_init(); console_text("ready ");'
        "for (;;) { platform_mask(); int c = platform_read(); if (c < 0) { platform_sleep();"
        " continue; } platform_unmask(); uint8_t b = (uint8_t)(c + 1); platform_write(&b, 1); }"
    )
    kit.run_until("ready")
    kit.uart_write(b"HAL" * 20)
    kit.run_until("IBM" * 20)


def test_polling_program_sees_each_character_when_it_comes(make: Make) -> None:
    """Characters are taken in when the program looks; below the threshold nothing else happens."""
    kit = make(
        'platform_init(); console_text("go "); platform_flush(); WORD(0x40042008) = 0;'
        "uint32_t before = 0; for (int i = 0; i < 4; ++i) {"
        " while (WORD(0x40042004) & 0x10) {} const uint32_t now = platform_ticks();"
        " const uint8_t byte = (uint8_t)WORD(0x40042020); platform_write(&byte, 1);"
        " if (i) console_unsigned((now - before) / PLATFORM_TICKS_PER_US); before = now; }"
        "platform_halt();"
    )
    kit.run_until("go ")
    kit.uart_write(b"abcd")
    kit.run_until()
    found = re.fullmatch(r"go ab(\d+)c(\d+)d(\d+)", kit.uart_text())
    assert found is not None
    assert all(86 <= int(us) <= 88 for us in found.groups())  # ten bits at 115,200 baud


def test_a_run_is_the_same_every_time(tmp_path: Path, cache: Path) -> None:
    source = HEAD + (
        "int main(void) { platform_init(); console_unsigned(platform_ticks()); platform_halt(); }"
    )
    path = build_program(tmp_path / "program", source, cache)
    seen = set()
    for _ in range(2):
        kit = Kit(path)
        kit.run_until()
        seen.add((kit.uart_text(), kit.machine.cycles, kit.machine.now))
    assert len(seen) == 1


OWN_TICK = """
static volatile uint32_t ticks;
static volatile float noise;
static void tick(void) { ticks = ticks + 1; noise = noise * 3.0f + 1.0f; }
static uint32_t vectors[120] __attribute__((aligned(512)));
static void use_own_tick(void)
{
    for (uint32_t i = 0; i < 120; ++i) vectors[i] = WORD(0x10000000u + 4 * i);
    vectors[15] = (uint32_t)(uintptr_t)tick;
    WORD(0xE000ED08) = (uint32_t)(uintptr_t)vectors;
}
"""


def test_interrupt_preserves_registers_and_floating_point(make: Make) -> None:
    kit = make(
        "use_own_tick(); platform_init(); float sum = 0; uint32_t start = platform_ticks();"
        "volatile float step = 1.5f;"
        "while (platform_ticks() - start < 50u * 45000u) sum = sum + step - step;"
        'console_unsigned(ticks); console_text(sum == 0.0f ? " ok" : " bad"); platform_halt();',
        outside=OWN_TICK,
    )
    kit.run_until()
    assert kit.uart_text() == "4 ok"


def test_masked_interrupt_waits(make: Make) -> None:
    kit = make(
        "use_own_tick(); platform_init(); platform_mask(); uint32_t start = platform_ticks();"
        "while (platform_ticks() - start < 50u * 25000u) {}"
        "console_unsigned(ticks); platform_unmask(); console_unsigned(ticks); platform_halt();",
        outside=OWN_TICK,
    )
    kit.run_until()
    assert kit.uart_text() == "01"


def test_button_is_seen(make: Make) -> None:
    kit = make(
        'platform_init(); console_text("wait ");'
        "while (WORD(0x40008024) & 4u) {}"
        'console_text("pressed"); platform_halt();'
    )
    kit.run_until("wait")
    kit.press_button(0)
    assert kit.run_until("pressed")


def test_memory_can_be_read_and_bits_flipped(make: Make) -> None:
    kit = make(
        'platform_init(); console_text("go "); while (value == 9) {} console_unsigned(value);'
        "platform_halt();",
        outside="volatile uint32_t value = 9;",
    )
    kit.run_until("go ")
    address, size = kit.machine.firmware.symbols["value"]
    assert kit.read_memory(address, size) == struct.pack("<I", 9)
    kit.flip_bit(address, 9)
    kit.run_until()
    assert kit.uart_text() == f"go {9 + 512}"


WRONG = {
    "unmapped read": ("WORD(0x30000000);", "read from address 0x30000000"),
    "unmapped write": ("WORD(0x60000004) = 1;", "write to address 0x60000004"),
    "write to flash": ("WORD(0x10000100) = 1;", "write to read-only address 0x10000100"),
    "no peripheral": ("WORD(0x40050000) = 1;", "no peripheral is modelled at 0x40050000"),
    "no register": ("WORD(0x40042100) = 1;", "UART0+0x100: no register"),
    "narrow access": (
        "*(volatile uint8_t *)0x40042000 = 1;",
        "UART0.CTRL: access of 8 bits; the register takes 32",
    ),
    "reserved bit": ("WORD(0x40042000) = 1u << 31;", "UART0.CTRL: 0x80000000 changes reserved_31"),
    "unmodelled bit": ("WORD(0x40042000) = 1u << 4;", "changes par_en, which is not modelled"),
    "clock off": ("WORD(0x40043004);", "UART1.STATUS: access while its clock is off"),
    "empty FIFO": ("WORD(0x40042020);", "UART0.FIFO: read from an empty receive FIFO"),
    "full FIFO": (
        "for (int i = 0; i < 20; ++i) WORD(0x40042020) = 65;",
        "UART0.FIFO: write to a full transmit FIFO",
    ),
    "accelerator off": ("WORD(0x50100000) = 8;", "GCR.PCLKDIS0.cnn is 1"),
    "no such interrupt": ("WORD(0xE000E10C) = 1u << 20;", "external interrupt 116 does not exist"),
    "core register": ("WORD(0xE000F000) = 1;", "core register 0xe000f000 is not modelled"),
    "reset request": ("WORD(0xE000ED0C) = 0x05FA0004;", "the firmware resets the chip"),
    "trap": ("__builtin_trap();", "undefined instruction"),
    "breakpoint": ('__asm volatile("bkpt #7");', "breakpoint (bkpt #7)"),
    "jump into the void": ("((void (*)(void))0x30000001u)();", "0x30000000"),
    "unexpected interrupt": ("WORD(0xE000E100) = 1u << 5; WORD(0xE000E200) = 1u << 5;", "bkpt #1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_access_is_stopped_where_it_happens(make: Make, name: str) -> None:
    body, message = WRONG[name]
    kit = make(f"platform_init();\n{body}\nplatform_halt();")
    kit.machine.restarts = False
    with pytest.raises(Fault) as caught:
        kit.run_until(max_seconds=1)
    text = str(caught.value)
    assert message in text
    assert re.search(r"at pc 0x[0-9a-f]{8}", text)
    if name not in ("jump into the void", "unexpected interrupt"):
        before = f"{HEAD}\nint main(void)\n{{\nplatform_init();\n"
        assert f"(main, main.c:{before.count(chr(10)) + 1})" in text


def test_firmware_that_never_finishes_is_ended(make: Make) -> None:
    kit = make("platform_init(); for (;;) {}")
    with pytest.raises(UserError, match=r"did not finish within 0\.05 s of modelled time.*main"):
        kit.run_until("never", max_seconds=0.05)


def test_wall_time_is_limited(make: Make) -> None:
    kit = make("platform_init(); for (;;) {}")
    with pytest.raises(UserError, match=r"did not finish within 0 s of wall time"):
        kit.run_until("never", max_seconds=1000, max_wall_seconds=0)


def test_uart_noise_is_no_frame(make: Make) -> None:
    kit = make(
        'platform_init(); platform_write((const uint8_t *)"P78\\xa5 and rubbish P78\\xa5", 22);'
        'frame_begin(7, 2); frame_put("ok", 2); frame_end(); platform_halt();'
    )
    kit.run_until()
    assert [f.payload for f in kit.frames] == [b"ok"]
