"""A student that somebody else's file describes: types and ranges, before anything is made of it.

How layers are connected, and what of them the chip has, is the compiler's to say.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from math import prod
from typing import Any, get_args

from ai8x_models.spec.described import MAX_LAYERS
from ai8x_models.spec.layer import JOINS, OPS, Activation, LayerSpec, Pooling
from ai8x_models.spec.student import StudentSpec
from common.errors import UserError
from common.foreign_code import contained
from common.texts import shown

MAX_SIZE = 1 << 16
"""Rows or columns."""
MAX_CHANNELS = 1 << 16
"""A linear layer counts its inputs after flattening."""
MAX_WEIGHTS = 1 << 25
"""Of a network; ten times the 1-bit weights that the chip holds."""
MAX_NUMBERS = 1 << 24
"""Of one input."""

Check = Callable[[Any], Any]


def student_of(network: Any) -> StudentSpec | None:
    """The description that a network is or has (``spec``), checked; None where there is none.

    Raises:
        UserError: as :func:`checked`, or code of the network fails.
    """
    with contained(type(network).__name__):
        spec = getattr(network, "spec", network)
        return checked(spec) if isinstance(spec, StudentSpec) else None


def checked(spec: StudentSpec) -> StudentSpec:
    """The same student with plain numbers, strings and tuples.

    Raises:
        UserError: a field is not of its type or out of its range (its layer is named), or the
            network is too large to be looked at.
    """
    name = spec.name if isinstance(spec.name, str) else "the student"
    fields = _fields(spec, _STUDENT, f"{name}: ")
    plain = StudentSpec(**fields)
    large = {layer.name: _weights(layer) for layer in plain.layers}
    if sum(large.values()) > MAX_WEIGHTS:
        most = max(large, key=lambda layer: large[layer])
        raise UserError(
            f"{name}: {sum(large.values()):,} weights are more than the {MAX_WEIGHTS:,} that are "
            f"looked at; give fewer channels to layer {most} ({large[most]:,})"
        )
    return plain


def shape_of(value: Any) -> tuple[int, ...]:
    """The shape of one input, 1 to 3 sizes.

    Raises:
        ValueError: it is none, or larger than anything that is looked at; says what it has to be.
    """
    return _shape(value, (1, 2, 3))


def _shape(value: Any, counts: tuple[int, ...]) -> tuple[int, ...]:
    many = "1 to 3" if 1 in counts else "3"
    wanted = ValueError(
        f"{many} whole numbers from 1 to {MAX_SIZE}, such as (3, 64, 64), with a product of at "
        f"most {MAX_NUMBERS:,}"
    )
    if not isinstance(value, (tuple, list)) or len(value) not in counts:
        raise wanted
    try:
        sizes = tuple(_whole(1, MAX_SIZE)(size) for size in value)
    except ValueError:
        raise wanted from None
    if prod(sizes) > MAX_NUMBERS:
        raise wanted
    return sizes


def _weights(layer: LayerSpec) -> int:
    kernel = {"linear": 0, "conv1d": 1}.get(layer.op, 2)
    return layer.in_channels * layer.out_channels * layer.kernel**kernel if layer.weighted else 0


def _fields(spec: Any, checks: dict[str, Check], where: str) -> dict[str, Any]:
    """Every field as its check gives it."""
    found = {}
    for field, check in checks.items():
        value = getattr(spec, field)
        try:
            found[field] = check(value)
        except UserError:
            raise
        except ValueError as wanted:
            raise UserError(f"{where}{field} is {shown(value)}; it must be {wanted}") from None
    return found


def _whole(least: int, most: int) -> Check:
    def check(value: Any) -> int:
        try:
            number = -1 if isinstance(value, bool) else int(operator.index(value))
        except TypeError:
            number = least - 1
        if not least <= number <= most or isinstance(value, bool):
            raise ValueError(f"a whole number from {least} to {most}")
        return number

    return check


def _size(value: Any) -> Any:
    """One number, or one for rows and columns each."""
    single = _whole(1, MAX_SIZE)
    if isinstance(value, (tuple, list)) and len(value) in (1, 2):
        return tuple(map(single, value))
    return single(value)


def _or_none(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("text")
    return str(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, int) or value not in (0, 1):
        raise ValueError("True or False")
    return bool(value)


def _one_of(*words: str) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return str(value)

    return check


def _names(least: int) -> Check:
    def check(value: Any) -> tuple[str, ...]:
        fit = isinstance(value, (tuple, list)) and least <= len(value) <= MAX_LAYERS
        if not fit or not all(isinstance(name, str) for name in value):
            raise ValueError('names of layers in brackets, such as ("conv1",)')
        return tuple(map(str, value))

    return check


def _groups(value: Any) -> tuple[tuple[str, ...], ...]:
    try:
        return tuple(map(_names(1), value if isinstance(value, (tuple, list)) else [value]))
    except ValueError:
        raise ValueError('groups of names, such as (("a", "b"),)') from None


def _layers(value: Any) -> tuple[LayerSpec, ...]:
    fit = isinstance(value, (tuple, list)) and 0 < len(value) <= MAX_LAYERS
    if not fit or not all(isinstance(layer, LayerSpec) for layer in value):
        raise ValueError(
            f"1 to {MAX_LAYERS} LayerSpecs in brackets, with a comma behind a single one: "
            "(LayerSpec(...),)"
        )
    found = []
    for number, layer in enumerate(value, 1):
        named = layer.name if isinstance(layer.name, str) else f"number {number}"
        found.append(LayerSpec(**_fields(layer, _LAYER, f"layer {named}: ")))
    return tuple(found)


_STUDENT: dict[str, Check] = {
    "name": _text,
    "input_shape": lambda value: _shape(value, (3,)),
    "layers": _layers,
    "outputs": _names(1),
    "tied": _groups,
}
_CHANNELS, _STEPS = _whole(1, MAX_CHANNELS), _whole(1, 64)
_LAYER: dict[str, Check] = {
    "name": _text, "source": _text, "in_channels": _CHANNELS, "out_channels": _CHANNELS,
    "kernel": _STEPS, "stride": _STEPS, "pool": _size,
    "activation": _one_of(*get_args(Activation)), "batchnorm": _flag, "wide": _flag,
    "fold": _STEPS, "op": _one_of(*OPS), "others": _names(0), "join": _one_of(*JOINS),
    "padding": _or_none(_whole(0, 64)), "pool_stride": _or_none(_size),
    "pooling": _one_of(*get_args(Pooling)), "dilation": _whole(1, MAX_SIZE), "bias": _flag,
}  # fmt: skip
