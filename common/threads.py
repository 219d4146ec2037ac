"""One thread for each matrix product."""

from __future__ import annotations

import os

_SETTINGS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def one_per_product() -> None:
    """Let the matrix libraries that this process will load use one thread, unless told otherwise.

    For programs whose products are small, or spread over processors by other means: the threads of
    a product would only wait for each other (a compilation then takes half as much processor time
    again). Has no effect on a library that is loaded already.
    """
    for name in _SETTINGS:
        os.environ.setdefault(name, "1")
