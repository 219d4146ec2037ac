"""Going on with a run: with what it began with, and alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import UserError
from common.files import kept
from distill.engine.resume import check, facts
from distill.people.recipe import SetConfig
from distill.tasks.pose.recipe import Recipe

LAST = Path("run/last.ckpt")


def recipe(folder: Path, **more: object) -> Recipe:
    labels = folder / "labels.json"
    if not labels.exists():
        labels.write_text("[]")
    train = [SetConfig(str(labels), str(folder))]
    return Recipe(**{"student": "tiny", "train": train, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"epochs": 99},
        {"workers": 3, "devices": 2, "accelerator": "cpu", "strategy": "ddp", "precision": "16"},
        {"out": "elsewhere", "patience": 4, "validate_every": 7},
    ],
)
def test_length_place_and_machine_may_change(tmp_path: Path, more: dict[str, object]) -> None:
    check(LAST, facts(recipe(tmp_path)), facts(recipe(tmp_path, **more)))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"learning_rate": 0.5}, r"run/last\.ckpt began with learning_rate=0\.003 \(now 0\.5\); "),
        ({"student": "seed"}, r"student=tiny \(now seed\)"),
        ({"seed": 1, "batch": 4, "sigma": 3.0, "samples_per_epoch": 90}, "and 1 more settings"),
        ({"train": [SetConfig("synthetic:4")]}, r"train\[0\]\.annotations=.*now synthetic:4\)"),
        ({"train": []}, "began with train"),
    ],
)
def test_other_settings_are_named_and_refused(
    tmp_path: Path, more: dict[str, object], said: str
) -> None:
    with pytest.raises(UserError, match=said) as error:
        check(LAST, facts(recipe(tmp_path)), facts(recipe(tmp_path, **more)))
    assert "name another folder with out=" in str(error.value)
    assert "\n" not in str(error.value)


def test_other_data_under_the_same_name_is_refused(tmp_path: Path) -> None:
    before = facts(recipe(tmp_path))
    (tmp_path / "labels.json").write_text("[1]")
    with pytest.raises(UserError, match=r"other content of the file of train\[0\]\.annotations"):
        check(LAST, before, facts(recipe(tmp_path)))


def test_checkpoints_of_earlier_versions_are_taken(tmp_path: Path) -> None:
    now = facts(recipe(tmp_path))
    check(LAST, None, now)
    check(LAST, {name: value for name, value in now.items() if name != "average"}, now)


def test_a_folder_is_kept_by_one(tmp_path: Path) -> None:
    with kept(tmp_path, "run", "wait"):
        second = kept(tmp_path, "run", "wait")
        with pytest.raises(UserError, match=f"another run is writing to {tmp_path}; wait"):
            second.__enter__()
    with kept(tmp_path, "run", "wait"):
        pass
