"""``pose78 doctor``: what is installed, and what is missing for what."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from common.arguments import Parser

_TRAIN = "pip install 'pose78[train]'"


@dataclass(frozen=True)
class Need:
    """Something that a part of the work needs.

    Attributes:
        what: the work.
        found: says what serves, or an empty string.
        remedy: what to do when nothing does.
    """

    what: str
    found: Callable[[], str]
    remedy: str


def _package(*names: str) -> Callable[[], str]:
    """All of these Python packages; the names of those that are installed, if all are."""
    return lambda: "" if _lacking(names) else " ".join(names)


def _lacking(names: Sequence[str]) -> list[str]:
    return [name for name in names if importlib.util.find_spec(name) is None]


def _program(*names: str) -> Callable[[], str]:
    """The first of these programs."""
    return lambda: next((path for name in names if (path := shutil.which(name))), "")


def _compiler() -> str:
    return _program("arm-none-eabi-gcc")() or _package("ziglang")()


def _ports() -> str:
    """The serial ports that are plugged in."""
    if not _package("serial")():
        return ""
    from serial.tools import list_ports

    ports = [port.device for port in list_ports.comports()]
    return f"pyserial; ports: {', '.join(ports) or 'none is plugged in'}"


NEEDS = (
    Need("pictures to skeletons", _package("numpy", "cv2"), "pip install pose78"),
    Need("networks in ONNX files", _package("onnx"), "pip install pose78"),
    Need("students and training",
         _package("torch", "lightning", "omegaconf", "scipy", "tensorboard"), _TRAIN),
    Need("labels, ONNX teachers", _package("onnxruntime"), _TRAIN),
    Need("the transformer teacher", _package("transformers"), _TRAIN),
    Need("curves and plots", _package("matplotlib"), _TRAIN),
    Need("ARM firmware", _compiler, "pip install 'pose78[toolchain]', or arm-none-eabi-gcc"),
    Need("the virtual kit", _package("unicorn", "elftools"), "pip install 'pose78[kit]'"),
    Need("watching a board", _ports, "pip install 'pose78[view]'"),
    Need("flashing a board", _program("openocd"), "install OpenOCD 0.12 with MAX78000 support"),
    Need("the viewer in a browser", _program("xdg-open", "open", "firefox", "chromium"),
         "open the address it prints in any browser"),
    Need("this documentation", _package("sphinx", "myst_parser", "furo"),
         "pip install 'pose78[docs]'"),
)  # fmt: skip


_WIDTH = max(len(need.what) for need in NEEDS)


def main(arguments: list[str]) -> int:
    """Command line; 1 when something is missing."""
    Parser(
        prog="pose78 doctor",
        description="Say what is installed and what is missing for what. Exit status 1: something "
        "is missing.",
    ).parse_args(arguments)
    print(f"Python {sys.version.split()[0]}")
    missing = 0
    for need in NEEDS:
        found = need.found()
        missing += not found
        print(f"  {need.what:<{_WIDTH}} {found or f'MISSING: {need.remedy}'}")
    return 1 if missing else 0
