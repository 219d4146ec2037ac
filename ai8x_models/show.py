"""From the maps a board sent to people and a picture of them.

``python -m ai8x_models.show PICTURE --maps maps.npz --report report.json -o overlay.png``

The people drawn are those the firmware reports: the same decoder in integers, the network's own
thresholds.

``maps.npz`` holds the network's outputs as they left the chip (``maps.py``); ``report.json`` is the
compiler's and says under ``outputs``, in the same order, what one integer step of each is worth.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_models import thresholds
from ai8x_models.decode import Person
from ai8x_models.decode_fixed import FixedSettings, decode_fixed
from ai8x_models.maps import read_maps
from ai8x_models.overlay import compose, write_picture
from ai8x_models.preprocess import prepare, read_picture
from ai8x_models.skeleton import KEYPOINTS, NUM_HEATMAPS, NUM_PAFS
from ai8x_models.thresholds import DecodeSettings
from common.arguments import Parser, to_file
from common.console import command_line, say
from common.errors import UserError
from common.incoming import read_json

Maps = Sequence[npt.NDArray[np.integer[Any]]]


@dataclass(frozen=True)
class Output:
    """One output of a compiled network: its name and what one integer step is worth."""

    name: str
    step: float


def _load_report(path: Path) -> tuple[list[Output], Mapping[str, Any]]:
    """Outputs, and everything in the compiler's report."""
    try:
        content = read_json(path)
        return [Output(str(e["name"]), float(e["step"])) for e in content["outputs"]], content
    except OSError as error:
        raise UserError(f"report {path} cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is no report of the compiler; make it with: make synth") from None


def load_outputs(path: Path) -> list[Output]:
    """The network's outputs in order, from the compiler's report.

    Raises:
        UserError: the file is missing or is no such report.
    """
    return _load_report(path)[0]


def load_report(path: Path) -> Mapping[str, Any]:
    """Everything in the compiler's report.

    Raises:
        UserError: the file is missing or is no such report.
    """
    return _load_report(path)[1]


def load_decoder(path: Path) -> DecodeSettings:
    """Who counts as a person, from the compiler's report.

    Raises:
        UserError: the file is missing or is no such report.
    """
    return thresholds.from_extras(_load_report(path)[1], str(path))


@dataclass(frozen=True, eq=False)
class PoseMaps:
    """A network's pose maps as integers, and the exponents u with which 1.0 is 2**u.

    Attributes:
        heat: [19, h, w].
        pafs: [38, h, w].
    """

    heat: npt.NDArray[np.integer[Any]]
    pafs: npt.NDArray[np.integer[Any]]
    heat_unit: int
    paf_unit: int

    def people(self, settings: DecodeSettings, size: int) -> list[Person]:
        """Who is there, as the firmware decides it: points in pixels of an input of ``size``."""
        fixed = FixedSettings.of(settings, size // self.heat.shape[1])
        found = decode_fixed(self.heat, self.pafs, self.heat_unit, self.paf_unit, fixed)
        return [person.to_person() for person in found]


def pose_maps(maps: Maps, outputs: Sequence[Output]) -> PoseMaps:
    """Heatmaps and part affinities out of the outputs: two of them, or one of 57 channels.

    Raises:
        UserError: there is not exactly one output of each kind, or maps and report disagree.
    """
    if len(maps) != len(outputs):
        raise UserError(
            f"{len(maps)} maps were received, but the report lists {len(outputs)} outputs; "
            "firmware and report are of different networks"
        )
    units = [-math.frexp(output.step)[1] + 1 for output in outputs]
    if any(output.step != 2.0**-unit for output, unit in zip(outputs, units, strict=True)):
        raise UserError("the report's steps are no powers of two; make it again with: make synth")
    channels = [len(values) for values in maps]
    if channels.count(NUM_HEATMAPS) == channels.count(NUM_PAFS) == 1:
        heat, pafs = channels.index(NUM_HEATMAPS), channels.index(NUM_PAFS)
        return PoseMaps(maps[heat], maps[pafs], units[heat], units[pafs])
    if channels.count(NUM_HEATMAPS + NUM_PAFS) == 1:
        both = channels.index(NUM_HEATMAPS + NUM_PAFS)
        heatmaps, fields = maps[both][:NUM_HEATMAPS], maps[both][NUM_HEATMAPS:]
        return PoseMaps(heatmaps, fields, units[both], units[both])
    shapes = ", ".join(f"{o.name} {m.shape}" for o, m in zip(outputs, maps, strict=True))
    raise UserError(
        f"the network's outputs are {shapes}; poses need one with {NUM_HEATMAPS} channels "
        f"(heatmaps) and one with {NUM_PAFS} (part affinities), or one with both behind each other"
    )


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
    found = pose_maps(read_maps(maps).outputs, load_outputs(report))
    pixels = read_picture(picture)
    people = found.people(load_decoder(report), size)
    heatmaps = (found.heat * 2.0**-found.heat_unit).astype(np.float32)
    write_picture(output, compose(pixels, prepare(pixels, size), heatmaps, people))
    return describe(people)


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = Parser(
        prog="python -m ai8x_models.show",
        description="Decode the maps a board sent and draw the people found.",
    )
    parser.add_argument("picture", type=Path, help="the picture the board was given")
    parser.add_argument("--maps", type=Path, required=True, help="maps the board sent (.npz)")
    parser.add_argument("--report", type=Path, required=True, help="the compiler's report.json")
    parser.add_argument(
        "-o", "--output", type=to_file, required=True, help="overlay to write (.png)"
    )
    options = parser.parse_args(arguments)
    print(show(options.picture, options.maps, options.report, options.output))
    say(f"overlay: {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
