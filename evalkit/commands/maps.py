"""``python -m evalkit maps``: a network's output maps for a folder of pictures, as NumPy arrays.

The firmware must be the frame-injection application of a pose network, on the virtual kit or on a
board. What is written are the integers the accelerator computed, for comparison with another
calculation (``ai8x_models.maps``).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ai8x_models.maps import Maps, write_maps
from ai8x_models.preprocess import fit
from common.arguments import Parser, to_file, whole
from common.console import progress, say
from common.errors import UserError
from common.files import check_writable
from common.texts import counted
from evalkit.host.serial.links import BAUD, KitLink, Link, SerialLink
from evalkit.host.serial.session import Session
from evalkit.host.stream.pictures import Photographs


def collect(
    link: Link, camera: Photographs, count: int | None = None
) -> tuple[list[str], list[Maps]]:
    """Show pictures to a board and keep its maps: names, and every output of all pictures.

    Pictures of another size than the input are fitted into it.

    Raises:
        UserError: a picture cannot be read, or the board does not answer as it should.
    """
    session = Session(link, print)
    hello = session.meet()
    _, rows, columns = hello.input_shape
    names: list[str] = []
    maps: list[list[NDArray[np.int32]]] = []
    total = len(camera.files) if count is None else min(count, len(camera.files))
    shown = progress(camera.pictures(repeat=False), title="pictures", total=total, unit="picture")
    for number, picture in enumerate(shown):
        if number == count:
            break
        pixels = fit(picture.pixels, rows, columns).pixels
        maps.append(session.look(pixels, number & 0xFFFF, want_maps=True).maps)
        names.append(picture.name)
    return names, [np.stack(found) for found in zip(*maps, strict=True)]


def main(given: list[str]) -> int:
    """Command line.

    Raises:
        UserError: firmware, port or pictures are unusable; or the file cannot be written.
    """
    parser = Parser(prog="python -m evalkit maps", description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--kit", type=Path, metavar="ELF", help="run this on the virtual kit")
    source.add_argument("--port", help="serial port of the board, e.g. /dev/ttyACM0 or COM3")
    parser.add_argument("--baud", type=whole(), default=BAUD, help=f"of the port (default {BAUD})")
    parser.add_argument("--camera", type=Path, required=True, help="photographs (folder or file)")
    parser.add_argument("--count", type=whole(), help="end after so many pictures (default: all)")
    parser.add_argument("-o", "--output", type=to_file, required=True, help=".npz file to write")
    options = parser.parse_args(given)
    if options.count is not None and options.count < 1:
        raise UserError(f"--count is {options.count}; at least one picture is needed")
    check_writable(options.output)
    if not options.camera.exists():
        raise UserError(f"camera {options.camera} does not exist; name a folder of photographs")
    camera = Photographs(options.camera)
    link: Link = KitLink(options.kit) if options.kit else SerialLink(options.port, options.baud)
    try:
        names, outputs = collect(link, camera, options.count)
    finally:
        link.close()
    write_maps(options.output, outputs, names)
    say(f"{options.output}: maps of {counted(len(names), 'picture')}")
    return 0
