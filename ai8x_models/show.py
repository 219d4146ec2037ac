"""From the maps a board sent to people and a picture of them.

``python -m ai8x_models.show PICTURE --maps maps.npz --report report.json -o overlay.png``

``maps.npz`` holds the network's outputs as they left the chip (``maps.py``); ``report.json`` is the
compiler's and says under ``outputs``, in the same order, what one integer step of each is worth.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_models.codec import Floats
from ai8x_models.decode import DecodeSettings, Person, decode
from ai8x_models.maps import read_maps
from ai8x_models.overlay import compose, write_png
from ai8x_models.preprocess import prepare, read_picture
from ai8x_models.skeleton import KEYPOINTS, NUM_HEATMAPS, NUM_PAFS
from common.errors import UserError

Maps = Sequence[npt.NDArray[np.integer[Any]]]


@dataclass(frozen=True)
class Output:
    """One output of a compiled network: its name and what one integer step is worth."""

    name: str
    step: float


def load_outputs(path: Path) -> list[Output]:
    """The network's outputs in order, from the compiler's report.

    Raises:
        UserError: the file is missing or is no such report.
    """
    try:
        outputs = json.loads(path.read_text(encoding="utf-8"))["outputs"]
        return [Output(str(entry["name"]), float(entry["step"])) for entry in outputs]
    except OSError as error:
        raise UserError(f"report {path} cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is no report of the compiler; make it with: make synth") from None


# A picture for a person to look at: a few stray points are no skeleton.
SHOWN = DecodeSettings(min_keypoints=6)


def pose_maps(maps: Maps, outputs: Sequence[Output]) -> tuple[Floats, Floats]:
    """Heatmaps float32 [19, h, w] and part affinities float32 [38, h, w] out of the outputs.

    Raises:
        UserError: there is not exactly one output of each kind, or maps and report disagree.
    """
    if len(maps) != len(outputs):
        raise UserError(
            f"{len(maps)} maps were received, but the report lists {len(outputs)} outputs; "
            "firmware and report are of different networks"
        )
    found = []
    for channels, what in ((NUM_HEATMAPS, "heatmaps"), (NUM_PAFS, "part affinities")):
        fitting = [i for i, values in enumerate(maps) if values.shape[:1] == (channels,)]
        if len(fitting) != 1:
            shapes = ", ".join(f"{o.name} {m.shape}" for o, m in zip(outputs, maps, strict=True))
            raise UserError(
                f"the network's outputs are {shapes}; poses need one with {channels} ({what})"
            )
        found.append((maps[fitting[0]] * outputs[fitting[0]].step).astype(np.float32))
    return found[0], found[1]


def describe(people: Sequence[Person]) -> str:
    """A line per person for the terminal."""
    lines = [f"{len(people)} {'person' if len(people) == 1 else 'people'} found"]
    for index, person in enumerate(people, 1):
        seen = np.flatnonzero(person.keypoints[:, 2] > 0)
        missing = [name for k, name in enumerate(KEYPOINTS) if k not in seen]
        lack = f", not found: {' '.join(missing)}" if missing else ""
        lines.append(f"  {index}: {len(seen)} of 18 points, score {person.score:.2f}{lack}")
    return "\n".join(lines)


def show(picture: Path, maps: Path, report: Path, output: Path, size: int = 128) -> str:
    """Decode the maps, write the overlay and return what to print."""
    heatmaps, pafs = pose_maps(read_maps(maps).outputs, load_outputs(report))
    pixels = read_picture(picture)
    people = decode(heatmaps, pafs, size // heatmaps.shape[1], SHOWN)
    write_png(output, compose(pixels, prepare(pixels, size), heatmaps, people))
    return describe(people)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m ai8x_models.show",
        description="Decode the maps a board sent and draw the people found.",
    )
    parser.add_argument("picture", type=Path, help="the picture the board was given")
    parser.add_argument("--maps", type=Path, required=True, help="maps the board sent (.npz)")
    parser.add_argument("--report", type=Path, required=True, help="the compiler's report.json")
    parser.add_argument("-o", "--output", type=Path, required=True, help="overlay to write (.png)")
    options = parser.parse_args(arguments)
    try:
        print(show(options.picture, options.maps, options.report, options.output))
        print(f"overlay: {options.output}")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
