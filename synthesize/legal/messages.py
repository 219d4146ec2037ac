"""Rules carry their sentence in their docstring; this turns it into what the user reads."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

Rule = Callable[..., "dict[str, Any] | None"]


def sentence(rule: Rule) -> str:
    """Return a rule's docstring as one line, names in braces still to be filled in."""
    return " ".join((inspect.getdoc(rule) or "").split())


def message(rule: Rule, values: dict[str, Any]) -> str:
    """Return a rule's sentence with the values filled in."""
    return sentence(rule).format(**values)


def title(rule: Rule) -> str:
    """Return a rule's name as a heading."""
    return str(getattr(rule, "__name__", "rule")).replace("_", " ").capitalize()
