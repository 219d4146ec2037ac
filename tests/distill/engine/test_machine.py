"""What a run asks of its machine: the number format, and memory that is kept."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest
import torch

from distill.engine.machine import keep_memory, processor_has_bfloat16, resolve_precision


@pytest.mark.parametrize(
    ("capabilities", "has"),
    [
        ({"avx512_f": True, "avx512_bf16": False}, False),
        ({"avx2": True, "avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
        ({}, False),
    ],
)
def test_bfloat16_is_told_by_the_instructions(capabilities: dict[str, bool], has: bool) -> None:
    assert processor_has_bfloat16(capabilities) is has


def test_the_processors_format_is_the_fast_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for has, wanted in ((True, "bf16-mixed"), (False, "32-true")):
        monkeypatch.setattr("distill.engine.machine.processor_has_bfloat16", lambda has=has: has)
        assert resolve_precision("auto", "cpu") == wanted
    assert resolve_precision("16-mixed", "cpu") == "16-mixed"


def test_an_accelerator_is_asked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for has, wanted in ((True, "bf16-mixed"), (False, "16-mixed")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda has=has: has)
        assert resolve_precision("auto", "auto") == wanted
    monkeypatch.setattr("distill.engine.machine.processor_has_bfloat16", lambda: False)
    assert resolve_precision("auto", "cpu") == "32-true"


# Takes and frees 64 MB twenty times, twice; prints how many pages the kernel handed out in the
# second half.
_FAULTS = """
import resource, torch
from distill.engine.machine import keep_memory
KEEP
torch.set_num_threads(1)
def use(): torch.ones(1 << 24)
for _ in range(20): use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20): use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_memory_that_is_kept_is_not_cleared_again() -> None:
    if not keep_memory():
        pytest.skip("this C library has no mallopt")

    def taken(keep: str) -> float:
        """Share of the used memory that came anew from the kernel."""
        code = _FAULTS.replace("KEEP", keep)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return int(done.stdout) * resource.getpagesize() / (20 * 2**26)

    # Where the kernel hands out large pages, few of them are counted either way.
    assert taken("keep_memory()") < 0.1 or taken("pass") < 0.1
