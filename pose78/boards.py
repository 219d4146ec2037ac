"""Eyes that are firmware: a board, or a student's firmware on the virtual kit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ai8x_models.preprocess import prepare, to_picture
from common.errors import UserError
from common.texts import counted
from evalkit.host.serial.links import KitLink, Link, SerialLink
from evalkit.host.serial.session import Answer, Session
from pose78.estimator import Model, Person

Pixels = npt.NDArray[np.uint8]
Log = Callable[[str], None]


class Board:
    """A board (or the virtual kit) with the frame-injection firmware, behind a link.

    Args:
        link: to it.
        threshold: least score of a person; the firmware drops who is below its own.
        log: gets what the board says.

    Raises:
        UserError: nobody answers, or it runs another kind of network.
    """

    threads: int | None = 1
    _maps = False

    def __init__(self, link: Link, threshold: float | None, log: Log) -> None:
        self._session = Session(link, log)
        self._threshold = threshold or 0.0
        self._number = 0
        self.network = self._session.meet().network

    def see(self, picture: Pixels) -> list[Person]:
        """See :class:`pose78.eyes.Eyes`."""
        hello = self._session.hello
        assert hello is not None
        fitted = prepare(picture, hello.input_shape[1])
        self._number = (self._number + 1) & 0xFFFF
        answer = self._session.look(fitted.pixels, self._number, self._maps)
        self._judge(picture, answer)
        return [
            Person(one.score, to_picture(one.points.astype(np.float32), fitted.scale))
            for one in answer.poses.people
            if one.score >= self._threshold
        ]

    def told(self) -> str:
        """See :class:`pose78.eyes.Eyes`."""
        return f"answered by network {self.network} on {self._session.link.name}"

    def _judge(self, picture: Pixels, answer: Answer) -> None:
        """Nothing to compare a board's answer with: it may run any network."""


class Proven(Board):
    """The firmware of a student on the virtual kit; every answer is compared with the student's.

    Both the network's integers and the people found in them must be the same.

    Raises:
        UserError: as :class:`Board`; an answer differs.
    """

    _maps = True

    def __init__(self, link: Link, model: Model, threshold: float | None, log: Log) -> None:
        super().__init__(link, threshold, log)
        self._model = model
        self._proven = 0

    def told(self) -> str:
        """See :class:`pose78.eyes.Eyes`."""
        answers = counted(self._proven, "answer is", "answers are")
        return f"{answers} equal to the integer student's, map by map and point by point"

    def _judge(self, picture: Pixels, answer: Answer) -> None:
        prepared = prepare(picture, self._model.size)
        wanted = self._model.answer(prepared)
        same = len(wanted) == len(answer.maps) and all(map(np.array_equal, wanted, answer.maps))
        people = self._model.people(prepared)
        found = answer.poses.people
        alike = [one.score for one in people] == [one.score for one in found] and all(
            np.array_equal(ours.keypoints, theirs.points)
            for ours, theirs in zip(people, found, strict=True)
        )
        if not (same and alike):
            raise UserError(
                f"picture {self._proven + 1}: the {'people' if same else 'maps'} of the firmware "
                f"are not those of the integer student {self._model.name}; build the firmware and "
                "this program from the same sources and checkpoint, or report this as a fault"
            )
        self._proven += 1


def on_kit(model: Model, firmware: Path, threshold: float | None, log: Log) -> Proven:
    """A student's firmware on the virtual kit.

    Raises:
        UserError: the kit is not installed, or the firmware is of another network.
    """
    at_least(model, threshold)
    eyes = Proven(KitLink(firmware), model, threshold, log)
    if eyes.network != model.name:
        raise UserError(
            f"{firmware} runs network {eyes.network}, not {model.name}; name its student with "
            "--model"
        )
    return eyes


def on_board(port: str, baud: int, threshold: float | None, log: Log) -> Board:
    """A board behind a serial port.

    Raises:
        UserError: there is no such port, or nobody answers.
    """
    return Board(SerialLink(port, baud), threshold, log)


def at_least(model: Model, threshold: float | None) -> None:
    """Refuse a threshold that the firmware's own makes useless."""
    own = model.settings.min_score
    if threshold is not None and threshold < own:
        raise UserError(
            f"--threshold is {threshold}, but firmware of {model.name} drops people below "
            f"{own:.3g} itself; give {own:.3g} or more, or leave --kit out"
        )
