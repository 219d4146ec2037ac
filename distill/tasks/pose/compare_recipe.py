"""Recipes of comparisons over seeds: :mod:`.compare` and :mod:`.compare_pictures`."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from common.errors import UserError
from distill.engine.inputs import FILE
from distill.people.recipe import SetConfig
from distill.tasks.pose.comparison import check_seeds
from distill.tasks.pose.recipe import PictureRecipe, Recipe

PLAIN, TAUGHT = "without", "with"  # a teacher; its rivals are with2, with3, ...
LABELS, MAPS, DRAWN = "labels", "maps", "drawn"


@dataclass
class CompareRecipe(Recipe):
    """A student's recipe with a teacher, and the seeds to compare it over."""

    out: str = "runs/compare"
    seeds: list[int] = field(default_factory=lambda: [1, 2, 3])
    # More teachers to compare with the first.
    rivals: list[str] = field(default_factory=list, metadata=FILE)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.teacher:
            raise UserError("a comparison needs a teacher; add teacher=FILE")
        check_seeds(self.seeds)
        if self.rivals and self.teacher_cache:
            raise UserError("teacher_cache would keep the maps of all teachers; drop it, or rivals")

    @property
    def teachers(self) -> dict[str, str]:
        """Checkpoints by the name of their arm; the first arm has none."""
        named = {f"{TAUGHT}{number}": file for number, file in enumerate(self.rivals, 2)}
        return {PLAIN: "", TAUGHT: self.teacher, **named}

    def run(self, arm: str, seed: int) -> Recipe:
        """Recipe of one run; it validates at its end only."""
        settings = {f.name: getattr(self, f.name) for f in fields(Recipe)}
        recipe = Recipe(
            **{
                **settings,
                "seed": seed,
                "out": str(Path(self.out) / f"{arm}-{seed}"),
                "validate_every": self.epochs,
                "patience": 0,
            }
        )
        teacher = self.teachers[arm]
        return replace(recipe, teacher=teacher, teacher_cache=self.teacher_cache if teacher else "")


@dataclass
class ComparePicturesRecipe(PictureRecipe):
    """A student's recipe on ordinary pictures, whole pictures to judge by, and the seeds."""

    out: str = "runs/compare-pictures"
    seeds: list[int] = field(default_factory=lambda: [1, 2, 3])
    judge: list[SetConfig] = field(default_factory=list)  # one set of whole pictures

    def __post_init__(self) -> None:
        super().__post_init__()
        check_seeds(self.seeds)
        if not self.picture_teacher:
            raise UserError("a comparison needs a teacher; add picture_teacher=FILE")
        if not any(s.annotations for s in self.pictures):
            raise UserError(
                "no set under 'pictures' has annotations, so labels alone teach nothing"
            )
        ours = [s for s in self.judge if s.images and s.annotations]
        if len(self.judge) != 1 or not ours or ours[0].is_drawn:
            raise UserError(
                "name one set of whole pictures to judge by: "
                '"judge=[{annotations: SET.json, images: DIR}]"'
            )

    def run(self, arm: str, seed: int) -> PictureRecipe:
        """Recipe of one run; it validates at its end only."""
        settings = {f.name: getattr(self, f.name) for f in fields(PictureRecipe)}
        own = {"seed": seed, "out": str(Path(self.out) / f"{arm}-{seed}"), "patience": 0}
        recipe = PictureRecipe(**{**settings, **own, "validate_every": self.epochs})
        if arm == LABELS:
            labelled = [s for s in recipe.pictures if s.annotations]
            return replace(recipe, picture_teacher="", pictures=labelled)
        return replace(recipe, draw_labels=arm == DRAWN)
