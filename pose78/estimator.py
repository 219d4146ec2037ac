"""People in a picture, by an integer student on the reference interpreter.

What comes out is what the chip would answer: the same integers from the network, the same decoder,
the network's own thresholds. No torch is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_models import decode, thresholds
from ai8x_models.preprocess import Prepared, prepare, read_picture
from ai8x_models.show import Output, PoseMaps, pose_maps
from ai8x_models.skeleton import KEYPOINTS, NUM_HEATMAPS, NUM_PAFS
from common.errors import UserError
from pose78.parallel import in_order
from pose78.shipped import find
from synthesize.graph import quick
from synthesize.graph.ir import Graph
from synthesize.legal import rewrites
from synthesize.read import checkpoint, student

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Point:
    """A point of a person: ``x`` and ``y`` in pixels of the picture, the centre of the first pixel
    being 0, and how sure it is (height of its peak, about 0 to 1)."""

    name: str
    x: float
    y: float
    score: float


@dataclass(frozen=True, eq=False)
class Person:
    """Somebody in a picture.

    Attributes:
        score: how sure the person is, 0 to about 1 (``ai8x_models.thresholds.person_score``).
        keypoints: float32 [18, 3], (x, y, score) in the order of ``ai8x_models.skeleton.KEYPOINTS``
            in pixels of the picture; a point that was not found is 0, 0, 0.
    """

    score: float
    keypoints: npt.NDArray[np.float32]

    @property
    def points(self) -> dict[str, Point]:
        """The points that were found, by name."""
        return {
            name: Point(name, *(float(value) for value in point))
            for name, point in zip(KEYPOINTS, self.keypoints, strict=True)
            if point[2] > 0
        }


class Model:
    """An integer pose student, ready to look at pictures; make one with :func:`load`.

    Attributes:
        name: of the network.
        size: side of its square input in pixels.
        settings: who counts as a person.
    """

    def __init__(self, graph: Graph, settings: thresholds.DecodeSettings, where: str) -> None:
        channels, rows, columns = graph.input.described_shape
        made = sorted(out.channels for out in graph.outputs)
        if (channels, rows) != (3, columns) or made not in (
            [NUM_HEATMAPS, NUM_PAFS], [NUM_HEATMAPS + NUM_PAFS]
        ):  # fmt: skip
            raise UserError(
                f"{where}: {graph.name} does not look for people in colour pictures (input "
                f"{channels}x{rows}x{columns}, outputs of {made} channels); use a student of the "
                "pose task"
            )
        self.name, self.size, self.settings = graph.name, rows, settings
        self._outputs = [Output(o.name, graph.layer(o.layer).step) for o in graph.outputs]
        self._graph = rewrites.legalise(graph, check=False)
        self._runner = quick.Runner(self._graph)

    def maps(self, picture: Pixels) -> PoseMaps:
        """The network's integer answer to uint8 [h, w, 3] RGB, fitted into its input."""
        return pose_maps(self.answer(prepare(picture, self.size)), self._outputs)

    def answer(self, prepared: Prepared) -> list[npt.NDArray[np.int32]]:
        """The network's outputs as they leave the chip, int32 [channels, rows, columns] each."""
        answer = self._runner.run(prepared.data)
        return [answer[output.name] for output in self._outputs]

    def people(self, prepared: Prepared, threshold: float | None = None) -> list[decode.Person]:
        """Who is in a picture, in pixels of the network's input."""
        maps = pose_maps(self.answer(prepared), self._outputs)
        return maps.people(self.settings_for(threshold), self.size)

    def predict(self, picture: str | Path | Pixels, threshold: float | None = None) -> list[Person]:
        """The people in a picture, the surest first.

        Args:
            picture: a file, or uint8 [h, w, 3] RGB.
            threshold: least score of a person; by default the network's own.

        Raises:
            UserError: the file is no picture, or the threshold is out of range.
        """
        pixels = read_picture(picture) if isinstance(picture, (str, Path)) else picture
        if not isinstance(pixels, np.ndarray) or pixels.ndim != 3 or pixels.dtype != np.uint8:
            raise UserError("a picture is a file, or an array of bytes [height, width, 3] in RGB")
        prepared = prepare(pixels, self.size)
        found = self.people(prepared, threshold)
        return [Person(one.score, prepared.to_picture(one.keypoints)) for one in found]

    def predict_many(
        self,
        pictures: Iterable[str | Path | Pixels],
        threshold: float | None = None,
        threads: int | None = None,
    ) -> Iterator[list[Person]]:
        """:meth:`predict` of many pictures on several threads, in order.

        Raises:
            UserError: as :meth:`predict`, when the turn of that picture comes.
        """
        return in_order(lambda picture: self.predict(picture, threshold), pictures, threads)

    def settings_for(self, threshold: float | None) -> thresholds.DecodeSettings:
        """Who counts as a person, with another least score; UserError when it is out of range."""
        if threshold is None:
            return self.settings
        if not 0 <= threshold <= thresholds.MAX_SCORE:
            raise UserError(
                f"the threshold is {threshold}; 0 to {thresholds.MAX_SCORE:g} are possible"
            )
        return replace(self.settings, min_score=threshold)


def load(name: str | Path = "native") -> Model:
    """An integer student by name, or from a checkpoint (``*-q.pth.tar``) that describes itself.

    Raises:
        UserError: no such student, a file that is no integer checkpoint, or one of another task.
    """
    path = find(name)
    stored = checkpoint.load(path)
    extras: dict[str, Any] = dict(stored.extras)
    return Model(student.load(stored), thresholds.from_extras(extras, str(path)), str(name))
