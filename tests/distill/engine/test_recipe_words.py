"""A wrong recipe is refused in words about YAML and settings, whatever its reader says."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import UserError
from distill.engine.recipe import load_recipe
from distill.tasks.grey.recipe import GreyRecipe

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
