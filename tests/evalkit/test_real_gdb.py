"""A real debugger on ``evalkit run --gdb``, driven by a script as a person would type it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from tests.helpers.mini_firmware import build_program

DEBUGGER = next(filter(None, map(shutil.which, ("gdb-multiarch", "arm-none-eabi-gdb"))), None)

pytestmark = pytest.mark.skipif(
    DEBUGGER is None, reason="neither gdb-multiarch nor arm-none-eabi-gdb is installed"
)

PROGRAM = """
#include <stdint.h>
#include "console.h"
#include "platform.h"
volatile uint32_t starts = 41;
static int __attribute__((noinline)) layers_of(int network)
{
    int layers = network * 5;
    return layers + (int)starts;
}
int __attribute__((noinline)) cnn_start(void)
{
    starts = starts + 1;
    const int layers = layers_of(3);
    *(volatile uint32_t *)0x50100000 = 8; /* the accelerator has no power */
    return layers;
}
int main(void)
{
    platform_init();
    console_text("before ");
    return cnn_start();
}
"""

# Values are numbered only as far as that does not depend on the compiler: after "finish" the
# debugger shows the result, and numbers it, when the debugging information tells where it is.
SCRIPT = """
set pagination off
set confirm off
target remote :{port}
break cnn_start
continue
print starts
next
print starts
backtrace
break layers_of
continue
info args
finish
monitor time
printf "stack %d\\n", (int) $sp & 3
set var starts = 7
printf "changed to %d\\n", starts
stepi
continue
backtrace 1
detach
"""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """What the debugger showed, and what the board's command said."""
    folder = tmp_path_factory.mktemp("gdb")
    image = build_program(folder / "program", PROGRAM)
    board = subprocess.Popen(
        [sys.executable, "-m", "evalkit", "run", str(image), "--gdb", "0", "--uart", "-"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert board.stderr is not None
        port = re.search(r"target remote :(\d+)", board.stderr.readline())
        assert port is not None
        script = folder / "script.gdb"
        script.write_text(SCRIPT.format(port=port[1]))
        assert DEBUGGER is not None
        shown = subprocess.run(
            [DEBUGGER, "-nx", "-batch", "-x", str(script), str(image)],
            capture_output=True,
            text=True,
            timeout=120,
        )
        said, errors = board.communicate(timeout=60)
    finally:
        board.kill()
        board.wait()
    return shown.stdout + shown.stderr, said + errors


def test_breakpoint_step_and_variables(session: tuple[str, str]) -> None:
    shown, _ = session
    assert re.search(r"Breakpoint 1, cnn_start \(\) at .*main\.c:13", shown)
    assert "$1 = 41" in shown
    assert "$2 = 42" in shown  # after the step over one line
    assert re.search(r"#0 +cnn_start \(\) at .*main\.c:14", shown)


def test_arguments_and_return(session: tuple[str, str]) -> None:
    shown, _ = session
    assert re.search(r"Breakpoint 2, layers_of \(network=3\)", shown)
    assert "network = 3" in shown
    # "finish" comes back in the middle of a line or at the next one, as the compiler likes.
    assert re.match(
        r"\n(.*\n)*?(0x1000[0-9a-f]{4} in )?cnn_start \(\) at", shown.split("network = 3")[1]
    )
    assert "stack 0\n" in shown  # the stack is aligned
    assert "changed to 7\n" in shown  # a variable that the debugger has changed


def test_time_stands_still_and_is_told(session: tuple[str, str]) -> None:
    assert re.search(r"0\.000\d{6} s, \d{4} cycles", session[0])


def test_fault_is_explained(session: tuple[str, str]) -> None:
    shown, said = session
    assert "SIGSEGV" in shown
    assert "the accelerator is accessed while GCR.PCLKDIS0.cnn is 1" in shown
    assert re.search(r"at pc 0x1000[0-9a-f]{4} \(cnn_start, main\.c:15\)", shown)
    # Without the debugger the program runs into it again, and the command ends with the message.
    assert "error: " in said
