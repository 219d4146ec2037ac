"""Stages of live-follow over a thousand pictures on the virtual board, and what they draw.

``python -m tests.bench.follow_stages [FILM ...] [--pictures N] [--photographs JSON]
[--colour]`` (part of ``make bench``). The camera plays drawn films one after the other (people who
cross, a crowd, people far away, people who leave, one who walks) to the shipped student's firmware;
with photographs (COCO annotations, the pictures beside them in ``images/``) every second second
goes slowly over one of those with the most people. The kit's cycle counts are estimates
(``evalkit/hardware/core/timing.py``), the energy is one from published figures
(``synthesize/chip/energy.py``). Exit status 1 when pictures come slower than 25 a second, or lines
of the camera or pictures are lost.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from distill.people.film import SCRIPTS, SIDE, film
from evalkit.camera import Camera
from evalkit.kit import Kit
from evalkit.wire import protocol
from synthesize.chip import energy, limits
from tests.helpers.live_board import live_firmware, paces, shipped

FILMS = ("cross", "crowd", "far", "leave", "walk")
RATE = 25.0
"""Pictures a second that must be reached at least."""
SECOND = 29
"""Pictures of a photograph or a film, in turn."""
BLOCK = 50
"""Pictures from one line of progress to the next."""
BEGINNING = 3
"""Pictures until the pipeline is full; not counted."""
STAGES = ("period", "capture", "store", "network", "copy", "decode")


Pixels = npt.NDArray[np.uint8]


def crowds(annotations: Path) -> list[Path]:
    """The photographs of a COCO set, those with the most people first."""
    data = json.loads(annotations.read_text(encoding="utf-8"))
    people = Counter(person["image_id"] for person in data["annotations"])
    names = {image["id"]: image["file_name"] for image in data["images"]}
    return [annotations.parent / "images" / names[number] for number, _ in people.most_common()]


def pan(photograph: Path) -> Iterator[Pixels]:
    """A second of a camera that goes from one corner of a photograph to the other."""
    with Image.open(photograph) as opened:
        pixels = np.asarray(opened.convert("RGB"))
    scale = 1.1 * SIDE / min(pixels.shape[:2])
    large = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    room = np.array(large.shape[:2]) - SIDE
    for share in np.linspace(0, 1, SECOND):
        row, column = (room * share).astype(int)
        yield np.ascontiguousarray(large[row : row + SIDE, column : column + SIDE])


def pictures(films: Sequence[str], count: int, photographs: Sequence[Path] = ()) -> list[Pixels]:
    """So many pictures of the films, again from the first one when they are over.

    Between their seconds one of each photograph, while there are any.
    """
    drawn = (frame.pixels for name in itertools.cycle(films) for frame in film(SCRIPTS[name]))
    seconds = ((pan(one), itertools.islice(drawn, SECOND)) for one in photographs)
    frames = itertools.chain.from_iterable(itertools.chain.from_iterable(seconds))
    return list(itertools.islice(itertools.chain(frames, drawn), count))


def stages(kit: Kit) -> dict[str, list[float]]:
    """Milliseconds of each picture, by stage."""
    told = paces(kit)[BEGINNING:]
    times = {name: [getattr(pace, name) / 1000 for pace in told] for name in STAGES}
    frames = [protocol.parse_tracks(f.payload) for f in kit.frames if f.type == protocol.TRACKS]
    by_number = {frame.number: frame for frame in frames}
    tracks = [by_number[pace.number] for pace in told if pace.number in by_number]
    times["averaging"] = [frame.crop_us / 1000 for frame in tracks]
    times["track"] = [frame.track_us / 1000 for frame in tracks]
    return times


def awake(kit: Kit) -> float:
    """Share of the time that the processor does not sleep, as far as the timeline goes."""
    spans = [s for s in kit.machine.recorder.rows["processor"] if s.name == "asleep"]
    return 1 - sum(s.end - s.start for s in spans) / (spans[-1].end - spans[0].start)


def energy_lines(period: float, network: float, share: float) -> list[str]:
    """What accelerator and processor draw; period and network in seconds."""
    inference = energy.estimate(round(network * limits.CNN_CLOCK_HZ), shipped().program.macs)
    drain = energy.drain(inference, period, share)
    rows = (
        ("network", inference, 1e3, "mJ a picture"),
        ("network and processor", drain.joules, 1e3, "mJ a picture"),
        ("power", drain.watts, 1e3, "mW"),
        ("an hour", (3600 * drain.watts[0], 3600 * drain.watts[1]), 1.0, "J"),
        (f"of a cell of {energy.CELL_VOLTS} V", drain.milliampere_hours, 1.0, "mAh an hour"),
    )
    lines = [f"{name:22} {low * by:6.2f} .. {high * by:6.2f} {unit}"
             for name, (low, high), by, unit in rows]  # fmt: skip
    return [
        f"processor awake {100 * share:.0f} % of the time",
        *lines,
        f"not counted: camera, lights, the rest of the board; after {energy.SOURCE}; "
        f"{energy.PROCESSOR_SOURCE}",
    ]


def _sent(camera: Camera, count: int) -> Callable[[], bool]:
    return lambda: camera.count >= count


def run(films: Sequence[str], count: int, photographs: Sequence[Path], colour: bool) -> Kit:
    """The board after so many pictures."""
    with tempfile.TemporaryDirectory() as folder:
        firmware = live_firmware(Path(folder), "live-follow", colour=colour)
        camera = Camera(pictures(films, count, photographs), repeat=False)
        kit = Kit(firmware, camera=camera)
        for end in range(BLOCK, count + BLOCK, BLOCK):
            until = min(end, count)
            kit.run_until(_sent(camera, until), 60.0, max_wall_seconds=36000)
            print(f"{until} pictures of {count}", file=sys.stderr, flush=True)
    return kit


def main(arguments: list[str] | None = None) -> int:
    """Run it and print the tables; exit status as above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=1000, metavar="N", help="(default 1000)")
    parser.add_argument(
        "--photographs", type=Path, metavar="JSON", help="annotations of photographs to pan over"
    )
    parser.add_argument("--colour", action="store_true", help="the firmware with FOLLOW_COLOUR")
    parser.add_argument("films", nargs="*", metavar="FILM", help=f"({', '.join(FILMS)})")
    options = parser.parse_args(arguments)
    for name in options.films:
        if name not in SCRIPTS:
            parser.error(f"there is no film '{name}'; there are {', '.join(sorted(SCRIPTS))}")
    count = options.pictures
    if count <= BEGINNING:
        parser.error(f"--pictures {count} is too few; ask for {BEGINNING + 1} or more")
    if options.photographs and not options.photographs.is_file():
        parser.error(f"there are no annotations {options.photographs}; name a COCO file")
    photographs = crowds(options.photographs) if options.photographs else []
    kit = run(options.films or FILMS, count, photographs, options.colour)
    told = stages(kit)
    for name, times in told.items():
        print(
            f"{name:10} mean {np.mean(times):6.2f} ms, {min(times):6.2f} .. {max(times):6.2f}, "
            f"99 % within {np.percentile(times, 99):6.2f}"
        )
    seconds = float(np.mean(told["period"])) / 1000
    print(f"{1 / seconds:.1f} pictures a second, at worst {1000 / max(told['period']):.1f}")
    print("\n".join(energy_lines(seconds, float(np.mean(told["network"])) / 1000, awake(kit))))
    answered, lost = len(paces(kit)), kit.machine.pcif.lost
    # The last pictures are under way when the camera has sent them.
    dropped = max(0, count - BEGINNING - answered)
    print(
        f"{answered} pictures answered of {count}, {dropped} dropped; words of lines lost: {lost}"
    )
    return int(max(told["period"]) > 1000 / RATE or dropped > 0 or lost > 0)


if __name__ == "__main__":
    sys.exit(main())
