"""Settings of data about people: sets of pictures, random changes, crops and their maps."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ai8x_models.codec import STRIDE
from common.errors import UserError
from distill.engine.inputs import DRAWN, FILE, WEIGHED, need_file, need_folder
from distill.engine.recipe import Run, Settings

if TYPE_CHECKING:
    from distill.people.crops import Augmentation
    from distill.people.views import Views

_COUNT = re.compile(r"0*[1-9][0-9]{,8}")
"""Of pictures or people that are drawn."""


MAX_SIDE = 2048
"""Pixels; a teacher's maps of such a picture are 15 MB."""


@dataclass
class SetConfig:
    """One data set of the mixture: COCO-format annotations, picture folder, sampling weight.

    ``annotations`` may also be ``synthetic:N``, N pictures of procedural people (1 to 4 in each),
    or ``synthetic:N:P``, P people in each.
    """

    annotations: str = ""
    images: str = ""
    weight: float = 1.0
    limit: int | None = None
    in_memory: bool = True  # false: decode pictures whenever they are needed (large sets)

    @property
    def is_drawn(self) -> bool:
        """Whether its people are drawn, and nothing is read."""
        return self.annotations.partition(":")[0] == DRAWN

    def drawn(self) -> list[int]:
        """How many pictures are drawn and, where that is said, of how many people each.

        Raises:
            UserError: it is written in another way.
        """
        numbers = self.annotations.split(":")[1:]
        if len(numbers) not in (1, 2) or not all(map(_COUNT.fullmatch, numbers)):
            raise UserError(
                f"data set '{self.annotations}' is to be written synthetic:N or synthetic:N:P, "
                "whole numbers from 1"
            )
        return [int(number) for number in numbers]

    def check_inputs(self, where: str) -> None:
        """See :func:`distill.engine.inputs.check_inputs`.

        Raises:
            UserError: what it reads is not there, or not said.
        """
        if self.is_drawn:
            self.drawn()
            return
        for name, value in (("annotations", "FILE or synthetic:N"), ("images", "FOLDER")):
            if not getattr(self, name):
                raise UserError(f"{where}{name} is not said; write {name}: {value}")
        need_file(f"{where}annotations", Path(self.annotations))
        need_folder(f"{where}images", Path(self.images))


@dataclass
class AugmentConfig(Settings):
    """Ranges of the random changes; see :class:`distill.people.crops.Augmentation`."""

    GROUP: ClassVar[str] = "augment."

    scale: list[float] = field(default_factory=lambda: [1.1, 1.7])
    rotate: float = 40.0
    shift: float = 0.1
    flip: float = 0.5
    colour: float = 0.3
    cutout: float = 0.2
    whole: float = 0.0

    def __post_init__(self) -> None:
        self.share("flip", "cutout", "whole")
        self.span("scale")
        if self.scale[0] <= 0:
            raise UserError(f"augment.scale begins at {self.scale[0]}; a size is above zero")

    def build(self) -> Augmentation:
        """The immutable form the data set takes."""
        from distill.people.crops import Augmentation

        low, high = self.scale
        return Augmentation(
            (low, high), self.rotate, self.shift, self.flip, self.colour, self.cutout, self.whole
        )


@dataclass
class Crops(Settings):
    """Crops of people: from which sets, how large, changed in which way."""

    SETS: ClassVar[tuple[str, ...]] = ("train",)

    size: int = 128
    train: list[SetConfig] = field(default_factory=list, metadata=WEIGHED)
    validation: list[SetConfig] = field(default_factory=list)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    workers: int = 1

    def __post_init__(self) -> None:
        self.at_least(0, "workers")
        check_side("size", self.size)
        super().__post_init__()


@dataclass
class MapCrops(Crops):
    """Crops for a network that answers with maps, hence may see crops of any size.

    Small crops cost less, so a run may begin with them; what is learnt carries over.
    """

    sigma: float = 7.0  # pixels of the input, width of the heatmaps' Gaussians
    early_share: float = 0.0  # of the epochs, at the run's beginning, with crops of early_size
    early_size: int = 96

    def __post_init__(self) -> None:
        self.positive("sigma")
        self.share("early_share")
        check_side("early_size", self.early_size)
        super().__post_init__()


@dataclass
class CropRun(Run, Crops):
    """A run on crops of people."""


@dataclass
class MapRun(CropRun, MapCrops):
    """A run of a network that answers with maps."""

    SETS: ClassVar[tuple[str, ...]] = ("train", "validation")

    def side(self, epoch: int) -> int:
        """Side of the training crops in an epoch, in pixels; epochs count from 0."""
        return self.early_size if epoch < int(self.early_share * self.epochs) else self.size

    def crop_options(self) -> dict[str, Any]:
        """What else :class:`distill.people.crops.CropDataset` is told for training."""
        return {}


def check_side(name: str, side: int) -> None:
    """Refuse a side of a picture that the maps' cells do not divide.

    Raises:
        UserError: naming the setting.
    """
    if side % STRIDE or not 4 * STRIDE <= side <= MAX_SIDE:
        raise UserError(
            f"{name} is {side}; it must be a multiple of {STRIDE}, at least {4 * STRIDE} and at "
            f"most {MAX_SIDE}"
        )


@dataclass
class PictureSet:
    """One set of whole pictures in the mixture: folder, labels, sampling weight.

    Without ``annotations`` (COCO keypoint JSON) nothing is labelled and a teacher speaks alone.
    ``rotate`` is a factor on the usual angles, for sets that are full of somersaults; ``whole`` and
    ``extent`` take the place of ``views.whole`` and ``views.size`` where they are given, and
    ``draw_labels`` that of the recipe's. ``complete``: the labels say everything, as those of drawn
    pictures do; what is not marked is not there, and no teacher is asked. ``hidden`` false: points
    marked as hidden (visibility 1) count as not marked.
    """

    images: str = ""
    annotations: str = ""
    weight: float = 1.0
    rotate: float = 1.0
    whole: float | None = None
    extent: list[float] | None = None
    draw_labels: bool | None = None
    complete: bool = False
    hidden: bool = True
    in_memory: bool = True  # false: read files whenever they are looked at (large sets)

    def __post_init__(self) -> None:
        if not self.images:
            raise UserError("a set under 'pictures' names no folder; write images: FOLDER")
        if self.weight < 0:
            raise UserError(f"pictures: weight of {self.images} is {self.weight}, below zero")
        for name, said in (("complete: true", self.complete), ("hidden: false", not self.hidden)):
            if said and not self.annotations:
                raise UserError(
                    f"pictures: {self.images} has '{name}' and no labels; write annotations: FILE, "
                    "or leave it out"
                )

    def check_inputs(self, where: str) -> None:
        """See :func:`distill.engine.inputs.check_inputs`.

        Raises:
            UserError: its files are not there, or nobody says which pictures it has.
        """
        from common.pictures import SUFFIXES

        need_folder(f"{where}images", Path(self.images))
        if self.annotations:
            need_file(f"{where}annotations", Path(self.annotations))
        elif not any(path.suffix.lower() in SUFFIXES for path in Path(self.images).iterdir()):
            raise UserError(
                f"{where}images: {self.images} holds no pictures that could be learnt from"
            )


@dataclass
class ViewsConfig(Settings):
    """Ranges of the random views; see :class:`distill.people.views.Views`."""

    GROUP: ClassVar[str] = "views."

    whole: float = 0.45
    exact: float = 0.6
    size: list[float] = field(default_factory=lambda: [0.2, 1.0])
    zoom: float = 1.7
    rotate: float = 10.0
    stretch: float = 0.12
    shift: float = 0.2
    flip: float = 0.5
    beside: float = 0.12
    colour: float = 0.3
    cutout: float = 0.1

    def __post_init__(self) -> None:
        self.share("whole", "exact", "flip", "beside", "cutout")
        self.span("size")
        if self.size[0] <= 0:
            raise UserError(f"views.size begins at {self.size[0]}; a size is above zero")

    def build(self) -> Views:
        """The immutable form that views are drawn with."""
        from distill.people.views import Views

        low, high = self.size
        return Views(
            self.whole, self.exact, (low, high), self.zoom, self.rotate, self.stretch, self.shift,
            self.flip, self.beside,
        )  # fmt: skip


@dataclass
class PictureMixture(Settings):
    """Whole pictures and the views of them that a network with maps is shown."""

    SETS: ClassVar[tuple[str, ...]] = ("pictures", "validation")

    size: int = 128
    early_share: float = 0.0  # of the epochs, at the run's beginning, with views of early_size
    early_size: int = 96
    sigma: float = 4.0  # pixels of the input, width of the heatmaps' Gaussians
    pictures: list[PictureSet] = field(default_factory=list, metadata=WEIGHED)
    views: ViewsConfig = field(default_factory=ViewsConfig)
    validation: list[SetConfig] = field(default_factory=list)
    # Network whose maps of whole pictures teach through every view.
    picture_teacher: str = field(default="", metadata=FILE)
    picture_size: int = 256  # pixels of the longer side it looks at
    picture_widen: float = 1.0  # the teacher's spots, to the width of the labels' (sigma)
    picture_maps: str = "runs/maps"  # folder that keeps them
    draw_labels: bool = True  # into them, where labels name people
    workers: int = 1

    def __post_init__(self) -> None:
        self.at_least(0, "workers")
        self.share("early_share")
        self.positive("sigma")
        self.at_least(1, "picture_widen")
        for name in ("size", "early_size", "picture_size"):
            check_side(name, getattr(self, name))
        super().__post_init__()


@dataclass
class PictureRun(Run, PictureMixture):
    """A run of a network with maps on ordinary pictures."""

    def side(self, epoch: int) -> int:
        """Side of the views in an epoch, in pixels; epochs count from 0."""
        return self.early_size if epoch < int(self.early_share * self.epochs) else self.size
