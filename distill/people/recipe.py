"""Settings of data about people: sets of pictures, random changes, crops and their maps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from ai8x_models.codec import STRIDE
from common.errors import UserError
from distill.engine.recipe import FILE, FOLDER, Run, Settings

if TYPE_CHECKING:
    from distill.people.crops import Augmentation
    from distill.people.views import Views


MAX_SIDE = 2048
"""Pixels; a teacher's maps of such a picture are 15 MB."""


@dataclass
class SetConfig:
    """One data set of the mixture: COCO-format annotations, picture folder, sampling weight.

    ``annotations`` may also be ``synthetic:N``, N pictures of procedural people (1 to 4 in each),
    or ``synthetic:N:P``, P people in each.
    """

    annotations: str = field(default="", metadata=FILE)
    images: str = field(default="", metadata=FOLDER)
    weight: float = 1.0
    limit: int | None = None
    in_memory: bool = True  # false: decode pictures whenever they are needed (large sets)


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

    size: int = 128
    train: list[SetConfig] = field(default_factory=list)
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
    ``extent`` take the place of ``views.whole`` and ``views.size`` where they are given.
    """

    images: str = field(default="", metadata=FOLDER)
    annotations: str = field(default="", metadata=FILE)
    weight: float = 1.0
    rotate: float = 1.0
    whole: float | None = None
    extent: list[float] | None = None
    in_memory: bool = True  # false: read files whenever they are looked at (large sets)

    def __post_init__(self) -> None:
        if not self.images:
            raise UserError("a set under 'pictures' names no folder; write images: FOLDER")
        if self.weight < 0:
            raise UserError(f"pictures: weight of {self.images} is {self.weight}, below zero")


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

    size: int = 128
    early_share: float = 0.0  # of the epochs, at the run's beginning, with views of early_size
    early_size: int = 96
    sigma: float = 4.0  # pixels of the input, width of the heatmaps' Gaussians
    pictures: list[PictureSet] = field(default_factory=list)
    views: ViewsConfig = field(default_factory=ViewsConfig)
    validation: list[SetConfig] = field(default_factory=list)
    # Network whose maps of whole pictures teach through every view.
    picture_teacher: str = field(default="", metadata=FILE)
    picture_size: int = 256  # pixels of the longer side it looks at
    picture_maps: str = "runs/maps"  # folder that keeps them
    draw_labels: bool = True  # into them, where labels name people
    workers: int = 1

    def __post_init__(self) -> None:
        self.at_least(0, "workers")
        self.share("early_share")
        self.positive("sigma")
        for name in ("size", "early_size", "picture_size"):
            check_side(name, getattr(self, name))
        super().__post_init__()


@dataclass
class PictureRun(Run, PictureMixture):
    """A run of a network with maps on ordinary pictures."""

    def side(self, epoch: int) -> int:
        """Side of the views in an epoch, in pixels; epochs count from 0."""
        return self.early_size if epoch < int(self.early_share * self.epochs) else self.size
