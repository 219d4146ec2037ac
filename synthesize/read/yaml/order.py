"""The running order of described layers, and layers that use each other's weights."""

from __future__ import annotations

from collections.abc import Sequence

from common.errors import UserError
from common.texts import shown
from synthesize.read.checkpoint import LayerWeights
from synthesize.read.yaml.entries import Entry

_STOP = -1


def running_order(entries: Sequence[Entry]) -> list[Entry]:
    """Sort layers by ``sequence`` and end the network where ``next_sequence`` stops it.

    A layer without ``sequence`` follows the one listed before it. Numbers may have holes as long
    as no layer is referred to by number.

    Raises:
        UserError: a number is given twice, or a layer is to be followed by another than the next.
    """
    placed: dict[int, Entry] = {}
    number = 0
    for entry in entries:
        number = number if entry.sequence is None else entry.sequence
        if number in placed:
            raise UserError(
                f"{entry.where}: two layers have sequence {number} (the first is at "
                f"{placed[number].where}); give every layer a number of its own"
            )
        placed[number] = entry
        number += 1
    numbers = sorted(placed)
    ordered = [placed[n] for n in numbers]
    if numbers != list(range(len(numbers))):
        _refuse_numbers(ordered)
    return _until_stop(ordered)


def shared_weights(
    entries: Sequence[Entry], names: Sequence[str], weights: Sequence[LayerWeights | None]
) -> list[LayerWeights | None]:
    """Give the layers with a ``weight_source`` the parameters of the layer it names.

    Raises:
        UserError: it names no layer with weights of its own.
    """
    result = list(weights)
    for index, entry in enumerate(entries):
        if entry.weight_source is None:
            continue
        source = _find(entry.weight_source, names)
        found = None if source is None else weights[source]
        if found is None or entry.op == "passthrough":
            raise UserError(
                f"{entry.where}: weight_source {shown(entry.weight_source)} names no "
                "layer with weights "
                "of its own that this layer could use; correct the name"
            )
        result[index] = found
    return result


def _find(wanted: int | str, names: Sequence[str]) -> int | None:
    if isinstance(wanted, int):
        return wanted if 0 <= wanted < len(names) else None
    lower = [name.lower() for name in names]
    return lower.index(wanted.lower()) if wanted.lower() in lower else None


def _refuse_numbers(entries: Sequence[Entry]) -> None:
    for entry in entries:
        used = [*(entry.sources or ()), entry.after, entry.weight_source]
        if any(isinstance(n, int) and n >= 0 for n in used):
            raise UserError(
                f"{entry.where}: a layer is referred to by number, but the numbers in 'sequence' "
                "have holes; use names, or number the layers without holes"
            )


def _until_stop(entries: list[Entry]) -> list[Entry]:
    for index, entry in enumerate(entries):
        if entry.after is None:
            continue
        if entry.after == _STOP or str(entry.after).lower() == "stop":
            return entries[: index + 1]
        following = entries[index + 1] if index + 1 < len(entries) else None
        names = (index + 1, following.name.lower() if following and following.name else None)
        after = entry.after.lower() if isinstance(entry.after, str) else entry.after
        if following is None or after not in names:
            raise UserError(
                f"{entry.where}: next_sequence {shown(entry.after)}: the MAX78000 runs "
                "layers one after "
                "the other, so only the following layer or 'stop' is possible; reorder the layers"
            )
    return entries
