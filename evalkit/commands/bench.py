"""How fast the virtual board is: ``python -m evalkit bench INJECTION.elf [--trace trace.npz]``.

The firmware must be the frame-injection application. One inference is everything between handing a
picture to the serial line and the complete answer: the picture's bytes at the modelled baud rate,
their check and their way into the accelerator, the network, the decoder in C, the answer. It is
measured in wall time, which other programs on this machine lengthen, and in processor time of this
program, which they hardly do. Modelled time is the board's.
"""

from __future__ import annotations

import itertools
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai8x_models.preprocess import fit
from common.arguments import Parser, whole
from common.console import progress
from common.errors import UserError
from evalkit.commands import replay
from evalkit.host.stream import pictures
from evalkit.kit import Kit
from evalkit.wire import pieces, protocol

TARGET_ANSWER_MS = 1e3 * 2 / 30
"""Processor time of a further answer: 30 a second of two cores."""
TARGET_FIRST_S = 3.0
TARGET_REPLAY_S = 1.0

_ANSWERS = (protocol.POSES, protocol.END, protocol.ERROR)


@dataclass
class Stopwatch:
    """Wall and processor seconds of each lap."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._last = (time.perf_counter(), time.process_time())

    def lap(self) -> None:
        """End a lap and begin the next."""
        now = (time.perf_counter(), time.process_time())
        self.wall.append(now[0] - self._last[0])
        self.cpu.append(now[1] - self._last[1])
        self._last = now


def measure_firmware(
    path: str, count: int, photograph: Path | None, want_maps: bool = False
) -> dict[str, Any]:
    """Boot, first answer, and ``count`` further pictures; seconds here and modelled times.

    Without a photograph the pictures are noise, the hardest case for the decoder.

    Raises:
        UserError: unusable image, or another application.
    """
    watch = Stopwatch()
    kit = Kit(path)
    hello = protocol.parse_hello(kit.run_until_frame(protocol.HELLO).payload)
    watch.lap()
    images = _pictures(hello.input_shape, photograph)
    poses = None
    for number in progress(range(count + 1), title="pictures", unit="picture"):
        poses = _ask(kit, next(images), number, hello.outputs if want_maps else 0)
        watch.lap()
    assert poses is not None
    return {
        "boot_wall_s": watch.wall[0],
        "first_answer_wall_s": watch.wall[0] + watch.wall[1],
        "further_answers_per_wall_s": count / sum(watch.wall[2:]),
        "further_answer_wall_ms": _spread(watch.wall[2:]),
        "further_answer_cpu_ms": _spread(watch.cpu[2:]),
        "modelled_input_us": poses.input_us,
        "modelled_inference_us": poses.inference_us,
        "modelled_decode_us": poses.decode_us,
    }


def _pictures(shape: tuple[int, int, int], photograph: Path | None) -> Iterator[NDArray[np.uint8]]:
    """Endlessly the photograph, which is prepared once, or different noise."""
    channels, rows, columns = shape
    if photograph is not None:
        fitted = fit(pictures.read_photograph(photograph), rows, columns).pixels
        yield from itertools.repeat(fitted)
    source = np.random.default_rng(0)
    while True:
        yield source.integers(0, 256, (rows, columns, channels), np.uint8)


def _ask(kit: Kit, image: NDArray[np.uint8], number: int, maps: int) -> protocol.Poses:
    """One picture and its answer, with the maps of ``maps`` outputs."""
    for frame in protocol.image_frames(image, number, want_maps=maps > 0):
        kit.uart_write(protocol.encode(frame))
    seen = len(kit.frames)
    answer = kit.run_until_frame(*_ANSWERS)
    if answer.type != protocol.POSES:
        raise UserError(
            f"{kit.machine.firmware.path}: no frame-injection firmware of a pose network"
        )
    if maps:
        counts: dict[int, int] = {}  # outputs that are complete, by how many frames have come
        kit.run_until(lambda: _outputs_of(kit.frames[seen:], counts) == maps)
    return protocol.parse_poses(answer.payload)


def _outputs_of(frames: Sequence[protocol.Frame], counts: dict[int, int]) -> int:
    """How many outputs have all their maps among some frames; remembered in ``counts``."""
    if len(frames) not in counts:
        collector = pieces.MapCollector()
        for frame in frames:
            if frame.type == protocol.MAP:
                collector.add(frame.payload)
        try:
            counts[len(frames)] = len(collector.maps())
        except ValueError:
            counts[len(frames)] = 0
    return counts[len(frames)]


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    """Milliseconds: least, median, most."""
    scaled = [1e3 * s for s in seconds]
    return {"least": min(scaled), "median": statistics.median(scaled), "most": max(scaled)}


def measure_replay(path: Path) -> dict[str, float]:
    """Wall seconds to replay a recorded trace."""
    begin = time.perf_counter()
    replay.replay(path)
    return {"replay_wall_s": time.perf_counter() - begin}


def verdicts(result: dict[str, Any]) -> list[str]:
    """One line for each target: what was measured, how much it spread, whether it is met."""
    cpu = result["further_answer_cpu_ms"]
    rows = [
        (
            "further answers",
            f"{result['further_answers_per_wall_s']:.1f}/s of wall time; processor time"
            f" {cpu['median']:.0f} ms each ({cpu['least']:.0f} to {cpu['most']:.0f}),"
            f" {1e3 / cpu['median']:.1f}/s",
            f"at most {TARGET_ANSWER_MS:.0f} ms",
            cpu["median"] <= TARGET_ANSWER_MS,
        ),
        (
            "boot to first answer",
            f"{result['first_answer_wall_s']:.2f} s",
            f"under {TARGET_FIRST_S:g} s",
            result["first_answer_wall_s"] < TARGET_FIRST_S,
        ),
    ]
    if "replay_wall_s" in result:
        rows.append(
            (
                "replay of the trace",
                f"{result['replay_wall_s']:.2f} s",
                f"under {TARGET_REPLAY_S:g} s",
                result["replay_wall_s"] < TARGET_REPLAY_S,
            )
        )
    return [
        f"{what}: {measured}; target {target}: {'met' if met else 'MISSED'}"
        for what, measured, target, met in rows
    ]


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return round(value, 4)


def main(given: list[str]) -> int:
    """Command line; prints one JSON object, and the targets on the standard error stream."""
    parser = Parser(prog="python -m evalkit bench", description=__doc__)
    parser.add_argument("firmware", help="ELF image of the frame-injection application")
    parser.add_argument("--picture", type=Path, help="what the board looks at (else noise)")
    parser.add_argument("--count", type=whole(), default=10, help="pictures after the first")
    parser.add_argument("--maps", action="store_true", help="ask for the result maps as well")
    parser.add_argument("--trace", type=Path, help="also replay this trace.npz")
    arguments = parser.parse_args(given)
    if arguments.count < 1:
        raise UserError(f"--count is {arguments.count}; at least one picture is needed")
    result: dict[str, Any] = measure_firmware(
        arguments.firmware, arguments.count, arguments.picture, arguments.maps
    )
    if arguments.trace:
        result |= measure_replay(arguments.trace)
    print(json.dumps(_rounded(result), indent=1))
    for line in verdicts(result):
        print(line, file=sys.stderr)
    return 0
