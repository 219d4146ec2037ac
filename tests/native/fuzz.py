"""Fuzzes the firmware's C that reads foreign data: ``python -m tests.native.fuzz`` (``make fuzz``).

Builds the libFuzzer targets with the address and undefined-behaviour sanitizers, gives them seeds
and runs each for a while.  Needs a clang with libFuzzer (Debian: clang and libclang-rt-dev); the
environment variable ``CLANG`` may name it.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
from dataclasses import astuple
from pathlib import Path

import numpy as np

from evalkit.wire.framing import Frame, encode
from tests.helpers.decoder_cases import DECODER, crowd, quantised
from tests.helpers.host_c import NATIVE, ROOT, TEMPLATES
from tests.helpers.track_cases import TRACK, packed, random_course

FLAGS = (
    "-std=c11", "-g", "-O1", "-Wall", "-Wextra", "-Werror",
    "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all",
)  # fmt: skip
_TRACK = tuple(
    TRACK / f"{n}.c" for n in ("fuzz_track", "tracker", "likeness", "crossing", "steady", "region")
)
COMMON = TEMPLATES / "common"
TARGETS: dict[str, tuple[tuple[Path, ...], tuple[Path, ...], int]] = {
    "crop": ((TRACK / "fuzz_crop.c", TRACK / "crop.c"), (TRACK, DECODER), 4000),
    "decoder": ((DECODER / "fuzz_decoder.c", DECODER / "pose_decoder.c"), (DECODER,), 20000),
    "receiver": (
        (NATIVE / "fuzz_receiver.c", COMMON / "frame_receiver.c", COMMON / "crc32.c"),
        (COMMON,),
        9000,
    ),
    "track": (_TRACK, (TRACK, DECODER), 9000),
    "clothes": ((*_TRACK, TRACK / "colour.c", TRACK / "clothes.c"), (TRACK, DECODER), 20000),
}
"""By name: sources, folders of headers, longest input."""
MACROS = {"clothes": ("-DFOLLOW_COLOUR=1",)}


def find_clang() -> str:
    """Path of clang; SystemExit with the way out when there is none."""
    names = [os.environ.get("CLANG", ""), "clang", *(f"clang-{n}" for n in range(22, 10, -1))]
    for name in names:
        if name and (path := shutil.which(name)):
            return path
    raise SystemExit("error: no clang found; install one with libFuzzer, or set CLANG to its path")


def decoder_seed(index: int) -> bytes:
    """Maps of people in the form fuzz_decoder.c takes: 8-bit 16 x 16, or 32-bit 8 x 8."""
    from ai8x_models.codec import encode as encode_people

    rng = np.random.default_rng(index)
    wide = index % 2
    side, unit = (8, 14) if wide else (16, 7)
    pair = encode_people(crowd(rng, index % 6, 8 * side), size=8 * side)
    maps = quantised(np.concatenate([pair[0][:18], pair[1]]), unit, bool(wide))
    head = bytes((side, side, wide | 2, *[0] * 19, unit, unit))
    return head + maps.astype("<i4" if wide else "i1").tobytes()


def receiver_seed(index: int) -> bytes:
    """A few frames with noise between them."""
    source = random.Random(index)
    parts = []
    for number in range(index % 7):
        payload = bytes(source.choices(b"P78\xa5\0", k=9 * number))
        kind = source.choice((1, 2, 0x10, 0x11, 0x50))
        parts += [source.randbytes(3), encode(Frame(kind, number, payload))]
    return b"".join(parts)


def track_seed(index: int, colour: bool = False) -> bytes:
    """Walking people in the form fuzz_track.c takes."""
    course = random_course(index, most=12, colour=colour)
    head = [index, *astuple(course.tracker), *astuple(course.region)]
    parts = [np.array(head, "<u2").tobytes()]
    for before, shot in zip(course.shots, course.shots[1:], strict=False):
        parts.append(np.array([len(before.people)], "<u2").tobytes())
        parts += [(points & 0xFFFF).astype("<u2").tobytes() for points in before.people]
        if colour:
            parts.append(np.array([before.seen is not None], "<u2").tobytes())
            parts.append(packed(before.seen) if before.seen is not None else b"")
        parts.append(np.array([(shot.time - before.time) & 0xFFFF], "<u2").tobytes())
    return b"".join(parts)


def clothes_seed(index: int) -> bytes:
    """The same with thumbnails."""
    return track_seed(index, colour=True)


def crop_seed(index: int) -> bytes:
    """Regions that move, over noise."""
    return random.Random(index).randbytes(200 * (index + 1) % 4000)


SEEDS = {
    "clothes": clothes_seed,
    "crop": crop_seed,
    "decoder": decoder_seed,
    "receiver": receiver_seed,
    "track": track_seed,
}
"""By name of the target: what makes its seeds."""


def build(name: str, folder: Path) -> Path:
    """Compile one target."""
    sources, headers, _ = TARGETS[name]
    program = folder / f"fuzz_{name}"
    includes = [f"-I{folder}" for folder in headers]
    command = [
        find_clang(),
        *FLAGS,
        *MACROS.get(name, ()),
        *includes,
        *map(str, sources),
        "-o",
        str(program),
    ]
    subprocess.run(command, check=True)
    return program


def fuzz(name: str, folder: Path, seconds: int) -> int:
    """Run one target on its corpus, which is kept; returns its exit status, 0 without a finding."""
    program = build(name, folder)
    corpus = folder / f"{name}_corpus"
    corpus.mkdir(exist_ok=True)
    for index in range(24):
        (corpus / f"seed{index}").write_bytes(SEEDS[name](index))
    longest = TARGETS[name][2]
    options = [f"-max_len={longest}", f"-max_total_time={seconds}", "-print_final_stats=1"]
    command = [str(program), *options, f"-artifact_prefix={folder}/{name}_", str(corpus)]
    return subprocess.run(command, check=False).returncode


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.native.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=600, help="for each target")
    parser.add_argument("--only", choices=sorted(TARGETS), help="only this target")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "fuzz")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    names = [options.only] if options.only else sorted(TARGETS)
    return max(fuzz(name, options.folder, options.seconds) != 0 for name in names)


if __name__ == "__main__":
    sys.exit(main())
