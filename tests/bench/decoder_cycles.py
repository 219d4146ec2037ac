"""Cycles of the C pose decoder on the virtual board: ``python -m tests.bench.decoder_cycles``.

The firmware is compiled for the Cortex-M4 and runs on the kit; the maps are those of synthetic
people with a little noise.  The kit's cycle counts are estimates
(``evalkit/hardware/core/timing.py``).
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np

from ai8x_models.codec import encode
from ai8x_models.decode_fixed import FixedSettings
from ai8x_models.skeleton import LIMBS, NUM_KEYPOINTS
from ai8x_models.thresholds import DEFAULTS, DecodeSettings
from evalkit.kit import Kit
from synthesize.write import elf as build
from synthesize.write import project as emit
from tests.helpers.decoder_cases import DECODER, STANDING, quantised
from tests.helpers.mini_firmware import BOARD_SUPPORT

CLOCK_MHZ = 100
AT_MOST_MS = 5.0  # for four people
SIDE = 128  # pixels
# Kinds of maps: bits of an element, 1.0 as a power of two, pixels per cell, the Gaussians' sigma.
KINDS = ((32, 14, 8, 7.0), (8, 7, 8, 7.0), (8, 7, 4, 4.0))


def group_photo(
    people: int, noise: float, seed: int = 0, stride: int = 8, sigma: float = 7.0
) -> tuple[np.ndarray, np.ndarray]:
    """Real-valued maps of so many people side by side, all points visible."""
    rng = np.random.default_rng(seed)
    points = np.zeros((people, 18, 3), np.float32)
    for index in range(people):
        column, row, across = index % 4, index // 4, min(people, 4)
        size = np.array([128 / across, 128 / (1 + (people > 4))])
        low = size * (column, row)
        points[index, :, :2] = low + STANDING * size * 0.95 + rng.normal(0, 0.7, (18, 2))
        points[index, :, 2] = 1
    heat, pafs = encode(points, SIDE, stride, sigma)
    return heat + rng.normal(0, noise, heat.shape), pafs + rng.normal(0, noise, pafs.shape)


def worst(cells: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Real-valued maps with all the work there can be: every cell a possible keypoint, every second
    one each way a peak, the strongest 16 of each channel so that every pair is joined.

    Args:
        cells: a side; 16 or more.
    """
    rng = np.random.default_rng(0)
    heat = np.full((19, cells, cells), 0.3)
    heat[:, ::2, ::2] = rng.uniform(0.4, 0.6, (19, cells // 2, cells // 2))
    blocks = cells // 8
    places = 8 * np.stack(np.divmod(np.arange(NUM_KEYPOINTS) * 7 % blocks**2, blocks), axis=1)
    for channel, (row, column) in enumerate(places):
        heat[channel, row : row + 8 : 2, column : column + 8 : 2] += 0.35
    pafs = np.zeros((2 * len(LIMBS), cells, cells))
    for limb, (start, end) in enumerate(LIMBS):
        way = (places[end] - places[start])[::-1].astype(float)
        length = np.linalg.norm(way)
        pafs[2 * limb : 2 * limb + 2] = (way / max(length, 1))[:, None, None] * 0.95
    return heat, pafs


def _arranged(maps: np.ndarray, wide: bool) -> tuple[np.ndarray, np.ndarray, int]:
    """Elements in the order of memory, each channel's offset in bytes, bytes from cell to cell.

    Wide maps are plain; of narrow ones four channels share a word, as in the accelerator.
    """
    channels, rows, columns = maps.shape
    if wide:
        return maps.ravel(), np.arange(channels) * rows * columns * 4, 4
    padded = np.zeros((-(-channels // 4) * 4, rows, columns), maps.dtype)
    padded[:channels] = maps
    words = padded.reshape(-1, 4, rows, columns).transpose(0, 2, 3, 1)
    number = np.arange(channels)
    return words.ravel(), number // 4 * (4 * rows * columns) + number % 4, 4


def _header(sets: Sequence[np.ndarray], unit: int, wide: bool, settings: FixedSettings) -> str:
    """``map_sets.h``: maps of 57 channels."""
    _, rows, columns = sets[0].shape
    arranged = [_arranged(maps, wide) for maps in sets]
    offsets, step = arranged[0][1:]
    values = {
        "MAP_SET_COUNT": len(sets), "MAP_ROWS": rows, "MAP_COLUMNS": columns,
        "MAP_ROW_STRIDE": step * columns, "MAP_COLUMN_STRIDE": step, "MAP_WIDE": int(wide),
        "MAP_UNIT": unit,
    }  # fmt: skip
    lines = [f"#define {name} {value}u" for name, value in values.items()]
    lines.append(f"#define MAP_SETTINGS {{{', '.join(map(str, astuple(settings)))}}}")
    lines.append("#include <stdint.h>")
    for name, part in (("heat", offsets[:19]), ("paf", offsets[19:])):
        lines.append(f"static const uint32_t {name}_offsets[] = {{{','.join(map(str, part))}}};")
    kind = "int32_t" if wide else "int8_t"
    lines.append(f"static const {kind} map_sets[][{arranged[0][0].size}]")
    lines.append("    __attribute__((aligned(4))) = {")
    lines += [f"{{{','.join(map(str, values))}}}," for values, _, _ in arranged]
    return "\n".join([*lines, "};", ""])


def measure(
    maps: Sequence[tuple[np.ndarray, np.ndarray]],
    unit: int = 14,
    wide: bool = True,
    settings: DecodeSettings = DEFAULTS,
) -> list[tuple[int, int, int]]:
    """(people found, CPU cycles, CRC-32 of the people) for each pair of real-valued maps."""
    sets = [quantised(np.concatenate(pair), unit, wide) for pair in maps]
    fixed = FixedSettings.of(settings, stride=SIDE // sets[0].shape[1])
    with tempfile.TemporaryDirectory() as temporary:
        project = Path(temporary) / "project"
        project.mkdir()
        sources = [emit.TEMPLATES / "common" / name for name in BOARD_SUPPORT]
        sources += [*DECODER.glob("pose_*.[ch]"), Path(__file__).with_name("decoder_bench.c")]
        for source in sources:
            shutil.copyfile(source, project / source.name)
        shutil.copytree(emit.TEMPLATES / "standalone", project / "standalone")
        (project / "map_sets.h").write_text(_header(sets, unit, wide, fixed), encoding="ascii")
        (project / "network.h").write_text("", encoding="ascii")
        kit = Kit(build.build(project))
        kit.run_until("done")
        lines = [line.split() for line in kit.uart_text().splitlines() if "decode:" in line]
    return [(int(found), int(cycles), int(crc)) for _, found, cycles, crc in lines]


def main() -> int:
    """Print a table; exit status 1 when four people take longer than they may.

    The last line is the worst case: maps that no picture gives.
    """
    counts = [0, 1, 2, 4, 8]
    slow = False
    for bits, unit, stride, sigma in KINDS:
        photos = [group_photo(count, 0.02, 0, stride, sigma) for count in counts]
        measured = measure(photos, unit, bits == 32)
        side = SIDE // stride
        for count, (found, cycles, _) in zip(counts, measured, strict=True):
            time = cycles / CLOCK_MHZ / 1000
            slow |= count == 4 and time > AT_MOST_MS
            kind = f"{side} x {side} maps of {bits:2} bits"
            print(f"decode, {kind}, {found} people {cycles:10,} cycles {time:6.2f} ms")
    faint = replace(DEFAULTS, faint=0.1)
    most = measure([worst()], 7, False, faint)[0][1] / CLOCK_MHZ / 1000
    print(f"decode, 32 x 32 maps of  8 bits, the most work there can be {most:6.2f} ms")
    if slow:
        print(f"too slow: four people may take {AT_MOST_MS} ms", file=sys.stderr)
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
