"""A wrong recipe is refused in words about YAML and settings, whatever its reader says."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import UserError
from distill.engine.recipe import load_recipe
from distill.tasks import pose
from distill.tasks.grey.recipe import GreyRecipe
from distill.tasks.pose.recipe import PictureRecipe

WRONG = [
    ('a: "\\UFFFFFFFF"', "number, date or character that does not exist"),
    ("a: !!int x", "number, date or character that does not exist"),
    ("a: !!timestamp x", "number, date or character that does not exist"),
    ("a: !!python/name:os.system", "a tag (!) that means nothing here"),
    ("? [a]\n: b", "a key that is a list"),
    ("a: [1", "expected ',' or ']'"),
]
PYTHON = ("int()", "Python", "NoneType", "month must be", "constructor", "unhashable", "type '")


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_recipes(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        load_recipe(tmp_path / "r.yaml", [], GreyRecipe)
    assert said in str(caught.value)
    assert not any(word in str(caught.value) for word in PYTHON)
    with pytest.raises(UserError) as caught:
        load_recipe(None, [f"epochs={text.partition(': ')[2] or '[1'}"], GreyRecipe)
    assert not any(word in str(caught.value) for word in PYTHON)


@pytest.mark.parametrize(
    ("setting", "kind"), [("epochs=x", "whole number"), ("learning_rate=x", "number")]
)
def test_settings_of_another_kind(setting: str, kind: str) -> None:
    with pytest.raises(UserError, match=f"'x' is no {kind}"):
        load_recipe(None, [setting], GreyRecipe)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("pictures=3", "pictures: a list is expected, [a, b]"),
        ("views.size=3", "views.size: a list is expected, [a, b]"),
        ("views.size=[a,b]", "views.size[0]: 'a' is no number"),
        ("views=3", "views: settings are expected, {key: value}, not 3"),
        ("pictures=[3]", "pictures[0]: settings are expected, {key: value}, not 3"),
        ("qat.bits=3", "qat.bits: settings are expected, {key: value}"),
        ("views.whole=null", "views.whole: it needs a value"),
        ("pictures=[{images: null}]", "images: it needs a value"),
        ("epochs=${x}", "epochs: it refers to a setting 'x', which is not there"),
        ("epochs=${oc.env:NOPE78}", "epochs: the environment variable NOPE78 is not set"),
        ("pictures.9.weight=3", "pictures.9.weight=3: the list has no entry '9' (0 to 3)"),
        ("pictures[x].weight=3", "pictures[x].weight=3: the list has no entry 'x' (0 to 3)"),
        ("rivals.0=a", "'rivals' is no setting"),
    ],
)
def test_settings_of_another_form(setting: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        load_recipe(pose.RECIPES / "native.yaml", [setting], PictureRecipe)
    assert said in str(caught.value)
    assert not any(word in str(caught.value) for word in (*PYTHON, "Config", "subclass", "Error"))
