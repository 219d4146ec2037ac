"""Clocks: what is counted and planned follows a change of frequency."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.hardware.clocks import TICK, Clock
from evalkit.hardware.core.system import SYSTICK
from evalkit.hardware.scheduler import SECOND, Scheduler
from evalkit.kit import Kit
from synthesize.chip import memory_map, registers
from tests.helpers import cnn_programs
from tests.helpers.chip_driver import BUFFER, MICROSECOND, SLEEPER, Chip
from tests.helpers.mini_firmware import build_program

DIVIDE_BY_4 = 2 << 6


@settings(deadline=None)
@given(
    ticks=st.integers(1, 10**6),
    changes=st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**8)), max_size=6),
)
def test_an_event_comes_after_its_ticks_whatever_the_rate(
    ticks: int, changes: list[tuple[int, int]]
) -> None:
    time, scheduler, came = 0, Scheduler(), []
    clock = Clock(50_000_000, lambda: time, lambda t, action: scheduler.at(t, action))
    clock.after(ticks, lambda: came.append(time))
    passed = 0.0  # ticks, worked out without the clock
    for duration, frequency in changes:
        upcoming = scheduler.next_time()
        if upcoming is None or upcoming > time + duration * MICROSECOND:
            passed += duration * 1e-6 * clock.frequency
            time += duration * MICROSECOND
            assert clock.count() / TICK == pytest.approx(passed, rel=1e-9)
            clock.set_frequency(frequency)
    assert not came
    end = scheduler.next_time()
    assert end is not None
    left = (end - time) / SECOND * clock.frequency
    assert passed + left == pytest.approx(ticks, rel=1e-9, abs=clock.frequency / SECOND)
    time = end
    scheduler.run_due(time)
    assert came == [end]
    assert not clock.planned


def test_a_cancelled_event_stays_cancelled() -> None:
    scheduler, came = Scheduler(), []
    clock = Clock(1000, lambda: 0, lambda t, action: scheduler.at(t, action))
    clock.after(5, lambda: came.append(1)).cancel()
    clock.set_frequency(10)
    scheduler.run_due(SECOND)
    assert came == []


# ---- every peripheral that counts ------------------------------------------------------------


def watchdog(chip: Chip) -> Callable[[], object]:
    chip.machine.peripherals["WDT0"].write(0x00, 4, 1 << 8 | 1 << 11 | 14 << 4)
    return lambda: chip.machine.resets


def watchdog_interrupt(chip: Chip) -> Callable[[], object]:
    wdt = chip.machine.peripherals["WDT0"]
    wdt.write(0x00, 4, 1 << 8 | 1 << 10 | 15)
    return lambda: wdt.read(0x00, 4) & 1 << 9


def timer(chip: Chip, interrupt: int = 1) -> Callable[[], object]:
    tmr = chip.machine.timers[1]
    tmr.write(0x04, 4, 20_000)
    tmr.write(0x18, 4, interrupt << 8)
    tmr.write(0x10, 4, 1 << 15 | 1 << 14)
    return lambda: tmr.read(0x0C, 4) & 1


def timer_without_interrupt(chip: Chip) -> Callable[[], object]:
    return timer(chip, interrupt=0)


def timer_count(chip: Chip) -> Callable[[], object]:
    timer(chip, interrupt=0)
    return lambda: chip.machine.timers[1].read(0x00, 4) >= 15_000


def systick(chip: Chip) -> Callable[[], object]:
    system = chip.machine.system
    chip.machine.cpu.set_register("PRIMASK", 1)
    system.write(0xE000_E014, 4, 40_000)
    system.write(0xE000_E018, 4, 0)
    system.write(0xE000_E010, 4, 7)
    return lambda: SYSTICK in {*chip.machine.nvic.pending, *chip.machine.nvic.active}


def uart_on(chip: Chip) -> None:
    uart = chip.machine.uarts[1]
    uart.write(0x10, 4, 434)  # 115,207 baud
    uart.write(0x00, 4, 1 << 15 | 3 << 10 | 8)


def uart_out(chip: Chip) -> Callable[[], object]:
    uart_on(chip)
    uart = chip.machine.uarts[1]
    uart.write(0x20, 4, 0x55)
    return lambda: uart.sent


def uart_in(chip: Chip) -> Callable[[], object]:
    uart_on(chip)
    uart = chip.machine.uarts[1]
    uart.receive(b"abcd")
    return lambda: uart.read(0x04, 4) >> 8 & 0xF == 4


def spi(chip: Chip) -> Callable[[], object]:
    port = chip.machine.spis[0]
    port.write(0x04, 4, 1 << 17 | 3)
    port.write(0x0C, 4, 8 << 8)
    port.write(0x14, 4, 50 << 8 | 50)
    port.write(0x1C, 4, 1 << 6)
    port.write(0x08, 4, 20)
    for _ in range(5):
        port.write(0x00, 4, 0)
    port.write(0x04, 4, 1 << 17 | 1 << 5 | 3)
    return lambda: not port.read(0x30, 4)


def i2c(chip: Chip) -> Callable[[], object]:
    port = chip.machine.i2cs[0]
    chip.i2c_on(0)
    port.write(0x2C, 4, 0x20 << 1)
    port.write(0x30, 4, 1 | 4)
    return lambda: port.read(0x08, 4) & 1 << 6


def dma(chip: Chip) -> Callable[[], object]:
    base, controller = 0x140, chip.machine.dma
    controller.write(base + 0x08, 4, BUFFER)
    controller.write(base + 0x0C, 4, BUFFER + 0x8000)
    controller.write(base + 0x10, 4, 0x8000)
    controller.write(base, 4, 1 << 22 | 1 << 18 | 1)
    return lambda: controller.read(base + 0x04, 4) & 1 << 2


def pulse_train(chip: Chip) -> Callable[[], object]:
    pt = chip.machine.pt
    pt.write(0x20, 4, 50)
    pt.write(0x24, 4, 0x5555_5555)
    pt.write(0x28, 4, 10)
    pt.write(0x00, 4, 1)
    return lambda: not pt.read(0x00, 4)


def accelerator(chip: Chip) -> Callable[[], object]:
    machine = chip.machine
    for offset, value in ((0x0, 0xF), (0x4, 0xF), (0x8, 0), (0xC, 0)):
        machine.gcfr.write(offset, 4, value)
    spec = cnn_programs.LayerSpec(rows=64, columns=64, kernel="1x1", outputs=4)
    cnn = machine.accelerator.cnn
    cnn_programs.configure(cnn, cnn_programs.layer_words(spec))
    cnn_programs.fill(cnn, spec)
    address = registers.global_address(0, registers.CTRL)
    start = registers.CTRL.encode(cnn_en=1, clk_en=1)
    machine.accelerator.write(address - memory_map.CNN_BASE, 4, start)
    assert machine.accelerator.cnn.running
    return lambda: not machine.accelerator.cnn.running


STARTED = {
    f.__name__: f
    for f in (
        *(watchdog, watchdog_interrupt, timer, timer_without_interrupt, timer_count, systick),
        *(uart_out, uart_in, spi, i2c, dma, pulse_train, accelerator),
    )
}


@pytest.fixture(scope="module")
def sleeper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_program(tmp_path_factory.mktemp("sleeper") / "program", SLEEPER)


def time_until(chip: Chip, done: Callable[[], object], step: int) -> int:
    """Picoseconds until something holds, looked at every ``step``."""
    start = chip.machine.now
    for _ in range(2000):
        if done():
            return chip.machine.now - start
        chip.wait(step)
    raise AssertionError("it never happened")


def check_the_rest_is_four_times_as_long(sleeper: Path, name: str) -> None:
    chip = Chip(Kit(sleeper))
    step = MICROSECOND // 2
    whole = time_until(chip, STARTED[name](chip), 4 * step)
    chip = Chip(Kit(sleeper))
    done = STARTED[name](chip)
    chip.wait(whole // 3)
    assert not done()
    gcr = chip.machine.gcr
    gcr.write(0x08, 4, gcr.read(0x08, 4) | DIVIDE_BY_4)
    rest = time_until(chip, done, 16 * step)
    assert rest == pytest.approx(4 * (whole - whole // 3), abs=40 * step)


@pytest.mark.parametrize("name", STARTED)
def test_a_quarter_of_the_clock_makes_the_rest_four_times_as_long(sleeper: Path, name: str) -> None:
    check_the_rest_is_four_times_as_long(sleeper, name)


@pytest.mark.parametrize("name", STARTED)
def test_the_check_sees_a_peripheral_that_is_not_told(
    sleeper: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What runs on a clock counts on, and comes when it was planned, as if nothing had changed."""
    monkeypatch.setattr(Clock, "set_frequency", lambda clock, frequency: None)
    with pytest.raises(AssertionError, match=r"it never happened|=="):
        check_the_rest_is_four_times_as_long(sleeper, name)


def test_a_camera_that_gets_its_clock_from_the_chip_slows_down(sleeper: Path) -> None:
    chip = Chip(Kit(sleeper))
    chip.start_clock()
    told = []
    chip.machine.pt.listeners.append(lambda: told.append(chip.machine.pt.frequency(0)))
    gcr = chip.machine.gcr
    gcr.write(0x08, 4, gcr.read(0x08, 4) | DIVIDE_BY_4)
    assert told == [50e6 / 4 / 8]


def test_a_watchdog_on_its_own_oscillator_does_not_care(sleeper: Path) -> None:
    chip = Chip(Kit(sleeper))
    wdt, gcr = chip.machine.peripherals["WDT1"], chip.machine.gcr
    wdt.write(0x08, 4, 1)
    wdt.write(0x00, 4, 1 << 8 | 1 << 10 | 15)
    gcr.write(0x08, 4, gcr.read(0x08, 4) | DIVIDE_BY_4)
    time = time_until(chip, lambda: wdt.read(0x00, 4) & 1 << 9, 10 * MICROSECOND)
    assert time == pytest.approx((1 << 16) / 7_372_800 * SECOND, abs=10 * MICROSECOND)
