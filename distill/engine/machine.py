"""What a training run asks of its machine: a fast number format, and memory kept at hand."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping
from typing import Any

import torch

# Names under which torch lists instructions that multiply bfloat16 numbers.
_BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")

# Parameters of glibc's mallopt(3), from malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_USUAL = {_MMAP_MAX: 65536, _TRIM_THRESHOLD: 1 << 17, _TOP_PAD: 1 << 17}
_MOST = 2**31 - 1  # mallopt takes an int


def processor_has_bfloat16(capabilities: Mapping[str, Any] | None = None) -> bool:
    """Whether the processor multiplies bfloat16 numbers itself.

    Without such instructions torch computes them some ten times as slowly as float32. Versions
    of torch that cannot tell are taken as without.
    """
    if capabilities is None:
        ask = getattr(torch.cpu, "get_capabilities", None)
        capabilities = ask() if ask is not None else {}
    return any(bool(capabilities.get(name)) for name in _BFLOAT16)


def resolve_precision(precision: str, accelerator: str) -> str:
    """The trainer library's name of the precision; ``auto`` becomes the fast one of the machine."""
    if precision != "auto":
        return precision
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    if accelerator in ("auto", "gpu", "mps") and torch.backends.mps.is_available():
        return "bf16-mixed"
    return "bf16-mixed" if processor_has_bfloat16() else "32-true"


def keep_memory() -> bool:
    """Have glibc keep freed memory instead of returning it; true if it does.

    A training step frees and takes the same hundreds of megabytes again and again. By default every
    large block is returned to the kernel, which then clears each of its pages anew: a sixth of the
    time of a step of the seed student on two cores.
    """
    return _tell_malloc({_MMAP_MAX: 0, _TRIM_THRESHOLD: _MOST, _TOP_PAD: 1 << 28})


def return_memory() -> bool:
    """Undo :func:`keep_memory`, and have glibc return what it has kept; true if it does."""
    return _tell_malloc(_USUAL) and ctypes.CDLL(None).malloc_trim(0) in (0, 1)


def _tell_malloc(settings: Mapping[int, int]) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library
        return False
    return all(mallopt(name, value) == 1 for name, value in settings.items())
