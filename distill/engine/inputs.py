"""What a recipe reads, looked for before anything is loaded.

A setting says in its metadata what it names; a set that reads more than one thing, or in a way of
its own, has a method ``check_inputs(where)``.
"""

from __future__ import annotations

import dataclasses
import stat
from pathlib import Path
from typing import Any

from common.errors import UserError

FILE, FOLDER = {"names": "a file"}, {"names": "a folder"}
"""Metadata of a setting that names what a run reads; empty: nothing."""
LATER = {"names": "what only an evaluation reads"}
"""Metadata of a setting whose files a run does not need."""
WEIGHED = {"sets": "drawn by their weights"}
"""Metadata of a list of sets of which those of weight 0 are not read."""
DRAWN = "synthetic"
"""How the name of a set begins that is drawn and not read."""


def check_inputs(settings: Any, where: str = "") -> None:
    """Refuse a recipe without sets, or that names files or folders which are not there.

    Args:
        settings: a recipe or a part of it.
        where: what stands before a setting's name.

    Raises:
        UserError: naming the first setting.
    """
    for entry in dataclasses.fields(settings):
        value, name = getattr(settings, entry.name), f"{where}{entry.name}"
        wanted = entry.metadata.get("names")
        if wanted == LATER["names"]:
            continue
        items: list[tuple[int | None, Any]] = [(None, value)]
        if isinstance(value, list):
            items = list(enumerate(value))
        if "sets" in entry.metadata:
            items = [(index, item) for index, item in items if item.weight > 0]
        if not items and entry.name in getattr(settings, "SETS", ()):
            raise UserError(f"the recipe names no data set under '{name}'")
        for index, item in items:
            at = name if index is None else f"{name}[{index}]"
            if hasattr(item, "check_inputs"):
                item.check_inputs(f"{at}.")
            elif dataclasses.is_dataclass(item):
                check_inputs(item, f"{at}.")
            elif wanted and item:
                (need_folder if wanted == FOLDER["names"] else need_file)(at, Path(item))


def need_folder(name: str, path: Path) -> None:
    """Refuse a setting that names no folder.

    Raises:
        UserError: naming the setting.
    """
    if not path.is_dir():
        reason = "is no folder" if path.exists() else "does not exist"
        raise UserError(f"{name}: the folder {path} {reason}")


def need_file(name: str, path: Path) -> None:
    """Refuse a setting that names no file.

    Raises:
        UserError: naming the setting.
    """
    try:
        mode = path.stat().st_mode
        reason = "it is a folder" if stat.S_ISDIR(mode) else "it is a pipe or a device"
        if stat.S_ISREG(mode):
            path.open("rb").close()
            return
    except (OSError, ValueError) as error:  # a name with a zero in it is a ValueError
        reason = getattr(error, "strerror", None) or "no file has such a name"
    raise UserError(f"{name}: cannot read {path}: {reason}")
