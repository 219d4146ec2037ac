"""Files of a network's output maps (``.npz``): one writer, one reader, one set of keys.

``output_0``, ``output_1``, ... are the outputs in order, integers as they left the chip: of one
answer [channels, rows, columns], of several pictures [n, channels, rows, columns] with the
pictures' ``names`` [n]. Files written before the keys agreed have ``output0``, ``output1``, ...;
they are read as well.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from common.errors import UserError
from common.files import write_file
from common.incoming import read_arrays

Maps = npt.NDArray[np.integer[Any]]

_MAX_BYTES = 1 << 30  # maps of some ten thousand pictures
_KEY = re.compile(r"output_?(\d+)")


@dataclass(frozen=True, eq=False)
class MapsFile:
    """What such a file holds: the outputs in order, and names of pictures (empty: one answer)."""

    outputs: list[Maps]
    names: list[str]


def read_maps(path: Path) -> MapsFile:
    """Read a file of maps.

    Raises:
        UserError: the file is missing or is not what it should be.
    """
    try:
        content = read_arrays(path, _MAX_BYTES)
        found = {int(m[1]): key for key in content if (m := _KEY.fullmatch(key))}
        if sorted(found) != list(range(len(found))) or not found:
            raise ValueError("it has no output_0, output_1, ...")
        names = [str(name) for name in content["names"]] if "names" in content else []
        return MapsFile([content[found[index]] for index in sorted(found)], names)
    except FileNotFoundError:
        raise UserError(f"maps {path} do not exist; run the firmware first") from None
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"maps {path} cannot be read: {error}") from None


def write_maps(path: Path, outputs: Sequence[Maps], names: Sequence[str] = ()) -> None:
    """Write a file of maps, whole or not at all; UserError when it cannot be written."""
    arrays: dict[str, npt.NDArray[Any]] = {f"output_{i}": maps for i, maps in enumerate(outputs)}
    if names:
        arrays["names"] = np.array(names)
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
    write_file(path, content.getvalue())
