"""One thread for each product.

The products of a layer are small: a matrix library that spreads them over all cores gains little on
an idle machine, and on a busy one its threads wait for each other several times as long as they
compute.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


@functools.cache
def _controller() -> Any:
    """The matrix libraries that are loaded, looked for once."""
    import numpy as np  # noqa: F401 - it must be loaded to be found
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController()


def single_threaded(function: Callable[P, R]) -> Callable[P, R]:
    """Let matrix products inside a function use one thread; others get theirs back."""

    @functools.wraps(function)
    def alone(*args: P.args, **kwargs: P.kwargs) -> R:
        with _controller().limit(limits=1, user_api="blas"):
            return function(*args, **kwargs)

    return alone
