"""Going on with a killed run: only with what it began with, and one process at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.files import checksum
from common.texts import shortened
from distill.engine.recipe import Run

KEY = "recipe"
"""Under which a checkpoint keeps what its run was told."""
_FREE = (
    "epochs", "patience", "validate_every", "out", "workers", "in_memory", "picture_maps",
    "teacher_cache", "precision", "accelerator", "devices", "nodes", "strategy",
)  # fmt: skip
"""Settings that may change in between: how long, where, and on what machine."""
_CONTENT = " (what the file holds)"
_NAMED = 3  # changes that a message lists


def facts(recipe: Run) -> dict[str, str]:
    """All that a run learns from, as text by setting: values, and checksums of files."""
    out = {}
    for name, value in _flat("", asdict(recipe)):
        if re.split(r"[.\[]", name)[-1] in _FREE:
            continue
        out[name] = str(value)
        # Where a run starts from matters at its start only, and may be what it wrote itself.
        if isinstance(value, str) and value and name != "start_from" and Path(value).is_file():
            out[name + _CONTENT] = checksum(Path(value))
    return out


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Settings one by one: ``views.shift``, ``train[0].images``."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}" if name else str(key), inner)
    elif isinstance(value, list | tuple) and any(isinstance(v, dict) for v in value):
        for place, inner in enumerate(value):
            yield from _flat(f"{name}[{place}]", inner)
    else:
        yield name, value


def check(last: Path, before: Any, now: dict[str, str]) -> None:
    """Refuse to go on from a checkpoint of a run that was told something else.

    ``before`` is what the checkpoint keeps; one of an earlier version keeps nothing.

    Raises:
        UserError: naming the settings that changed.
    """
    if not isinstance(before, dict):
        return
    names = sorted(before.keys() | now.keys())
    changes = [
        _change(name, before.get(name), now.get(name))
        for name in names
        if before.get(name) != now.get(name) and not _is_new(name, before, now)
    ]
    if not changes:
        return
    named = ", ".join(changes[:_NAMED])
    more = f" and {len(changes) - _NAMED} more settings" if len(changes) > _NAMED else ""
    raise UserError(
        f"the run of {last} began with {named}{more}; go on with what it began with, name another "
        "folder with out=..., or remove the file to start afresh"
    )


def _is_new(name: str, before: dict[str, Any], now: dict[str, str]) -> bool:
    """Whether one of the two versions of this program does not know a setting."""
    plain = not re.search(r"[.\[ ]", name)
    return plain and (name not in before or name not in now)


def _change(name: str, before: Any, now: Any) -> str:
    if name.endswith(_CONTENT):
        return f"other content of the file of {name.removesuffix(_CONTENT)}"
    was, is_ = (
        "nothing" if v is None else repr("") if v == "" else shortened(str(v), 60)
        for v in (before, now)
    )
    return f"{name}={was} (now {is_})"
