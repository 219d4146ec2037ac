"""Prints how many different pictures a second the virtual kit answers, alone and beside others.

``python -m tests.bench.kit_answers INJECTION.elf [--checkpoint FILE]`` (part of ``make
bench``). Two kits run at once, one a core: once as the machine is, once beside as many programs
that compute without end. Every picture is another one, and after every answer the maps in the
accelerator's memory must be the reference's integers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ai8x_models.preprocess import fit
from evalkit.host.stream import pictures
from evalkit.kit import Kit
from evalkit.wire import protocol
from synthesize.chip import memory_map
from synthesize.compiler import compile_network
from synthesize.read import checkpoint
from tests.helpers.places import REPOSITORY

KITS = 2
TARGET_PER_SECOND = 30.0
"""Of all kits together, on a machine where nothing else runs."""
TARGET_MS = 1e3 * KITS / TARGET_PER_SECOND
"""Processor time of an answer."""
TARGET_BUSY = 2.0
"""Processor time on a busy machine by that on this one."""
PHOTOGRAPH = REPOSITORY / "docs" / "images" / "people.png"


def different_pictures(shape: tuple[int, int, int], seed: int) -> Iterator[np.ndarray]:
    """The photograph moved, mirrored and brightened at random, uint8 [rows, columns, 3]."""
    rng = np.random.default_rng(seed)
    pixels = fit(pictures.read_photograph(PHOTOGRAPH), *shape[1:]).pixels.astype(np.int16)
    while True:
        moved = np.roll(pixels, rng.integers(0, shape[1:]), (0, 1))
        moved = moved[:, :: int(rng.choice([-1, 1]))] + rng.integers(-40, 41)
        yield np.clip(moved, 0, 255).astype(np.uint8)


class Reference:
    """The integers that a picture's maps must be, and where the accelerator holds them."""

    def __init__(self, path: Path) -> None:
        self.compiled = compile_network(checkpoint.load(path))
        self.outputs = self.compiled.program.outputs
        places = [
            [memory_map.locate(int(a)) for a in out.addresses.ravel()] for out in self.outputs
        ]
        self.places = [
            np.array([(p.index, p.offset // 4, p.offset % 4) for p in some if p is not None])
            for some in places
        ]

    def agrees(self, kit: Kit, picture: np.ndarray) -> bool:
        """Whether the maps in the accelerator's memory are those of a picture."""
        sample = (picture.astype(np.int16) - 128).astype(np.int8).transpose(2, 0, 1)
        expected = self.compiled.known_answer(sample)
        memory = kit.machine.accelerator.cnn.memories.data.bytes
        for out, places in zip(self.outputs, self.places, strict=True):
            instances, words, lanes = places.T
            if out.wide:
                got = memory[instances, words].view("<i4")[:, 0]
            else:
                got = memory[instances, words, lanes].view(np.int8)
            if not np.array_equal(got, expected[out.name].ravel()):
                return False
        return True


def work(elf: str, path: Path, count: int, seed: int) -> dict[str, Any]:
    """One kit's answers: processor and wall seconds of each, and how many were right."""
    reference = Reference(path)
    kit = Kit(elf)
    hello = protocol.parse_hello(kit.run_until_frame(protocol.HELLO).payload)
    cpu, wall, right = [], [], 0
    for number, picture in enumerate(different_pictures(hello.input_shape, seed)):
        start = time.process_time(), time.perf_counter()
        for frame in protocol.image_frames(picture, number):
            kit.uart_write(protocol.encode(frame))
        answer = kit.run_until_frame(protocol.POSES, protocol.ERROR)
        cpu.append(time.process_time() - start[0])
        wall.append(time.perf_counter() - start[1])
        right += answer.type == protocol.POSES and reference.agrees(kit, picture)
        if number == count:
            break
    # The first answer fills caches.
    return {"cpu": cpu[1:], "wall": wall[1:], "right": right, "asked": count + 1}


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many programs that compute without end."""
    burn = "import numpy\na = numpy.ones((256, 256))\nwhile True:\n    a @ a"
    burners = [subprocess.Popen([sys.executable, "-c", burn]) for _ in range(count)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def run_kits(elf: str, path: Path, count: int) -> list[dict[str, Any]]:
    """Several kits at once, each a process of its own."""
    command = [sys.executable, "-m", "tests.bench.kit_answers", elf, "--checkpoint", str(path)]
    command += ["--count", str(count)]
    kits = [
        subprocess.Popen([*command, "--worker", str(seed)], stdout=subprocess.PIPE, text=True)
        for seed in range(KITS)
    ]
    answers = [kit.communicate()[0] for kit in kits]
    if any(kit.returncode for kit in kits):
        raise SystemExit(2)  # they have said why
    return [json.loads(answer) for answer in answers]


def summary(results: list[dict[str, Any]]) -> tuple[float, str]:
    """Median processor milliseconds of an answer, and a line."""
    cpu = sorted(1e3 * s for result in results for s in result["cpu"])
    rate = sum(len(result["wall"]) / sum(result["wall"]) for result in results)
    right, asked = (sum(result[name] for result in results) for name in ("right", "asked"))
    median = statistics.median(cpu)
    middle = f"{cpu[len(cpu) // 20]:.0f} to {cpu[-1 - len(cpu) // 20]:.0f}"
    return median, (
        f"{rate:.1f} answers/s of wall time; processor time {median:.0f} ms each ({middle} without"
        f" the outer twentieths), {KITS * 1e3 / median:.1f}/s on {KITS} cores; {right} of {asked}"
        " different pictures with the reference's integers"
    )


def verdict(met: bool) -> str:
    """One word."""
    return "met" if met else "MISSED"


def main() -> int:
    """Command line; exit status 1 where an answer is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("firmware", help="ELF image of the frame-injection application")
    shipped = REPOSITORY / "ai8x_models" / "checkpoints" / "native-q.pth.tar"
    parser.add_argument("--checkpoint", type=Path, default=shipped, help="what it was made of")
    parser.add_argument("--count", type=int, default=30, help="pictures of each kit")
    parser.add_argument("--worker", type=int, metavar="SEED", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker is not None:
        print(json.dumps(work(options.firmware, options.checkpoint, options.count, options.worker)))
        return 0
    alone = run_kits(options.firmware, options.checkpoint, options.count)
    with busy(KITS):
        crowded = run_kits(options.firmware, options.checkpoint, options.count)
    quiet, line = summary(alone)
    loaded, busy_line = summary(crowded)
    print(f"{KITS} kits: {line}")
    print(f"{KITS} kits beside {KITS} busy programs: {busy_line}")
    print(
        f"processor time of an answer: target at most {TARGET_MS:.0f} ms:"
        f" {verdict(quiet <= TARGET_MS)}; beside busy programs {loaded / quiet:.2f} times as much,"
        f" target at most {TARGET_BUSY:g}: {verdict(loaded <= TARGET_BUSY * quiet)}"
    )
    return int(any(result["right"] != result["asked"] for result in (*alone, *crowded)))


if __name__ == "__main__":
    sys.exit(main())
