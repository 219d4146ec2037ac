"""Who looks at the pictures: the integer student here; firmware is in :mod:`pose78.boards`."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from pose78.estimator import Model, Person

Pixels = npt.NDArray[np.uint8]


class Eyes(Protocol):
    """Finds people.

    Attributes:
        threads: how many pictures it can look at at a time; None: as many as there are processors.
    """

    threads: int | None

    def see(self, picture: Pixels) -> list[Person]:
        """The people in uint8 [h, w, 3] RGB, the surest first; UserError when it cannot go on."""

    def told(self) -> str:
        """What can be said at the end, or an empty string."""


class Student:
    """The integer student in this program."""

    threads: int | None = None

    def __init__(self, model: Model, threshold: float | None) -> None:
        model.settings_for(threshold)
        self._model, self._threshold = model, threshold

    def see(self, picture: Pixels) -> list[Person]:
        """See :class:`Eyes`."""
        return self._model.predict(picture, self._threshold)

    def told(self) -> str:
        """See :class:`Eyes`."""
        return ""
