"""What a recipe gives, beside what a kind of settings has: names, lists, texts and numbers.

References (``${...}``) are left to the reader of recipes, which knows what they stand for.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import OmegaConf

from common.errors import UserError

_NAME = r"[^.\[\]]+"
_KEY = re.compile(rf"{_NAME}(\.{_NAME}|\[{_NAME}\])*")
_NUMBERS: dict[Any, tuple[tuple[type, ...], str]] = {
    int: ((int, str), "whole number"),
    float: ((float, int, str), "number"),
}


def check_form(given: object, kind: type, source: str) -> None:
    """Refuse settings that have no effect, or are of another form.

    Args:
        given: by name, as YAML has them.
        kind: of settings.
        source: what the sentence begins with.

    Raises:
        UserError: naming the first one.
    """
    for fault in _faults(given, kind, ""):
        raise UserError(f"{source}: {fault}")


def check_change(config: Any, key: str, value: object, kind: Any, setting: str) -> None:
    """Refuse to change one setting, ``a.b`` or ``a[0].b``.

    Args:
        config: what is changed.
        key: names the setting.
        value: new.
        kind: of settings.
        setting: how the change was written.

    Raises:
        UserError: there is no such setting, or it is of another form.
    """
    if not _KEY.fullmatch(key):
        raise UserError(f"setting '{setting}' lacks a name; write key=value")
    where, hint = "", ""
    for name in re.findall(_NAME, key):
        kind, hint = _bare(kind), ""
        if typing.get_origin(kind) is list:
            if not (name.isdecimal() and int(name) < len(config)):
                have = f"0 to {len(config) - 1}" if len(config) else "none"
                raise UserError(f"setting {setting}: the list has no entry '{name}' ({have})")
            kind, where = typing.get_args(kind)[0], f"{where}[{int(name)}]"
            config = config[int(name)]
            continue
        if dataclasses.is_dataclass(kind):
            for fault in _unknown(name, kind, where):
                raise UserError(f"setting {setting}: {fault}")
            hint = _none(kind, name)
            kind = typing.get_type_hints(kind)[name]
        elif typing.get_origin(kind) is dict:
            kind = typing.get_args(kind)[1]
        else:
            raise UserError(f"setting {setting}: '{where}' has no settings of its own")
        where = _joined(where, name)
        config = config.get(name) if OmegaConf.is_dict(config) else None
    for fault in _faults(value, kind, where, hint):
        raise UserError(f"setting {setting}: {fault}")


def _joined(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _bare(kind: Any) -> Any:
    """A kind without ``| None``."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return next(one for one in typing.get_args(kind) if one is not type(None))
    return kind


def _unknown(name: str, kind: Any, where: str) -> Iterator[str]:
    """Why a kind of settings has no such name, if it has not."""
    names = [field.name for field in dataclasses.fields(kind)]
    if name in names:
        return
    if not name:
        yield "a setting has no name; write key: value"
    (nearest,) = difflib.get_close_matches(name, names, 1, 0.0)
    yield (
        f"'{_joined(where, name)}' is no setting of this run, it would have no effect; the nearest "
        f"is '{_joined(where, nearest)}'"
    )


def _none(kind: Any, name: str) -> str:
    """Whether a setting may be empty: what stands for nothing then."""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    return "''" if fields[name].default == "" else ""


def _faults(given: object, kind: Any, where: str, hint: str = "") -> Iterator[str]:
    """What is wrong with a value, as sentences that begin with its place."""
    bare = _bare(kind)
    if given is None:
        if bare is kind:
            remedy = f'; write "{where}={hint}" for none' if hint else ""
            yield f"{where}: it needs a value{remedy}"
    elif isinstance(given, str) and ("${" in given or given == "???"):
        return
    elif typing.get_origin(bare) is list:
        if not isinstance(given, list):
            yield f"{where}: a list is expected, [a, b]"
            return
        for index, item in enumerate(given):
            yield from _faults(item, typing.get_args(bare)[0], f"{where}[{index}]")
    elif dataclasses.is_dataclass(bare) or typing.get_origin(bare) is dict:
        yield from _settings(given, bare, where)
    elif isinstance(given, Mapping | list):
        what = {str: "a text", bool: "true or false"}.get(bare, "a number")
        yield f"{where}: {what} is expected, not {'a list' if isinstance(given, list) else 'keys'}"
    elif bare in _NUMBERS and not _is_number(given, bare):
        yield f"{where}: '{given}' is no {_NUMBERS[bare][1]}"


def _is_number(given: Any, kind: Any) -> bool:
    try:
        kind(given)
    except (ValueError, TypeError, OverflowError):
        return False
    return type(given) in _NUMBERS[kind][0]


def _settings(given: object, kind: Any, where: str) -> Iterator[str]:
    """As :func:`_faults`, of a group of settings or of names that may be any."""
    if not isinstance(given, Mapping):
        at = f"{where}: " if where else ""
        yield f"{at}settings are expected, {{key: value}}, not {given}"
        return
    if not dataclasses.is_dataclass(kind):
        for name, value in given.items():
            if not isinstance(name, str):
                yield f"{where}: {name} is no name; write '{name}'"
            yield from _faults(value, typing.get_args(kind)[1], _joined(where, str(name)))
        return
    known = typing.get_type_hints(kind)
    # A name that means nothing is the likelier slip: it is told before any value is.
    for name in given:
        yield from _unknown(str(name), kind, where)
    for name, value in given.items():
        yield from _faults(value, known[name], _joined(where, name), _none(kind, name))
