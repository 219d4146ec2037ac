"""How fast the virtual board is: ``python -m evalkit bench INJECTION.elf [--trace trace.npz]``.

The firmware must be the frame-injection application. Wall time is this machine's; modelled time is
the board's.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from evalkit import protocol, replay
from evalkit.host import pictures
from evalkit.kit import Kit
from synthesize.chip.errors import UserError


def measure_firmware(path: str, count: int, photograph: Path | None) -> dict[str, float]:
    """Boot, first answer, and ``count`` further pictures; wall seconds and modelled times.

    Without a photograph the pictures are noise, the hardest case for the decoder.

    Raises:
        UserError: unusable image, or another application.
    """
    begin = time.perf_counter()
    kit = Kit(path)
    hello = protocol.parse_hello(kit.run_until_frame(protocol.HELLO).payload)
    booted = time.perf_counter()
    channels, rows, columns = hello.input_shape
    source = np.random.default_rng(0)
    answers = (protocol.POSES, protocol.MAP, protocol.END, protocol.ERROR)
    marks = []
    poses = None
    for number in range(count + 1):
        if photograph is None:
            image = source.integers(0, 256, (rows, columns, channels), np.uint8)
        else:
            image = pictures.fit(pictures.read_photograph(photograph), rows, columns).pixels
        for frame in protocol.image_frames(image, number):
            kit.uart_write(protocol.encode(frame))
        answer = kit.run_until_frame(*answers)
        if answer.type != protocol.POSES:
            raise UserError(f"{path}: no frame-injection firmware of a pose network")
        poses = protocol.parse_poses(answer.payload)
        marks.append(time.perf_counter())
    assert poses is not None
    return {
        "boot_wall_s": booted - begin,
        "first_answer_wall_s": marks[0] - begin,
        "further_answers_per_wall_s": count / (marks[-1] - marks[0]),
        "modelled_input_us": poses.input_us,
        "modelled_inference_us": poses.inference_us,
        "modelled_decode_us": poses.decode_us,
    }


def measure_replay(path: Path) -> dict[str, float]:
    """Wall seconds to replay a recorded trace."""
    begin = time.perf_counter()
    replay.replay(path)
    return {"replay_wall_s": time.perf_counter() - begin}


def main(given: list[str]) -> int:
    """Command line; prints one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m evalkit bench", description=__doc__)
    parser.add_argument("firmware", help="ELF image of the frame-injection application")
    parser.add_argument("--picture", type=Path, help="what the board looks at (else noise)")
    parser.add_argument("--count", type=int, default=10, help="pictures after the first")
    parser.add_argument("--trace", type=Path, help="also replay this trace.npz")
    arguments = parser.parse_args(given)
    if arguments.count < 1:
        raise UserError(f"--count is {arguments.count}; at least one picture is needed")
    result = measure_firmware(arguments.firmware, arguments.count, arguments.picture)
    if arguments.trace:
        result |= measure_replay(arguments.trace)
    print(json.dumps({name: round(value, 4) for name, value in result.items()}, indent=1))
    return 0
