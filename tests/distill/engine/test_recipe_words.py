"""A wrong recipe is refused in words about YAML and settings, whatever its reader says."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import UserError
from distill.__main__ import main
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
PYTHON = (
    *("int()", "Python", "NoneType", "month must be", "constructor", "unhashable", "type '"),
    *("nterpolation", "optional", "codec"),
)


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
        ("teacher=[a]", "teacher: a text is expected, not a list"),
        ("teacher={a: 1}", "teacher: a text is expected, not keys"),
        ("pictures=[{images: [a]}]", "pictures[0].images: a text is expected, not a list"),
        ("epochs=[1]", "epochs: a number is expected, not a list"),
        ("qat.enabled=[1]", "qat.enabled: true or false is expected, not a list"),
        ("qat.enabled=maybe", "qat.enabled: 'maybe' is neither true nor false"),
        ("qat.bits={1: 8}", "qat.bits: 1 is no name; write '1'"),
        ("qat.bits={a: x}", "qat.bits.a: 'x' is no whole number"),
        ("pictures.0.nope=1", "'pictures[0].nope' is no setting of this run"),
        ("pictures[0].image=1", "the nearest is 'pictures[0].images'"),
        ("pictures.0={nope: 1}", "'pictures[0].nope' is no setting of this run"),
        ("pictures.0=null", "pictures[0]: it needs a value"),
        ("pictures.0=[1]", "pictures[0]: settings are expected, {key: value}, not [1]"),
        ("pictures={a: 1}", "pictures: a list is expected, [a, b]"),
        ("seed.x=2", "'seed' has no settings of its own"),
        ("seed=2024-01-01", "seed: '2024-01-01' is no whole number"),
        ("teacher=${teacher}", "teacher: it refers to itself"),
        ("teacher=${seed.x}", "teacher: it refers to a setting 'seed.x', which is not there"),
        ("teacher=${a:b}", "teacher: ${a:...} means nothing here"),
        ("teacher=${", "teacher: what follows ${ cannot be read"),
        ("teacher=${views}", "teacher: a text is expected"),
        ("seed=${views.size}", "is no whole number"),
        ("teacher=???", "teacher: it needs a value"),
        ("teacher=", "teacher: it needs a value; write \"teacher=''\" for none"),
        ("epochs=", "epochs: it needs a value"),
        ("=3", "setting '=3' lacks a name; write key=value"),
        ("views.=3", "setting 'views.=3' lacks a name"),
        ("pictures[0=3", "setting 'pictures[0=3' lacks a name"),
    ],
)
def test_settings_of_another_form(setting: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        load_recipe(pose.RECIPES / "native.yaml", [setting], PictureRecipe)
    assert said in str(caught.value)
    assert not any(word in str(caught.value) for word in (*PYTHON, "Config", "subclass", "Error"))


@pytest.mark.parametrize(
    ("setting", "name", "value"),
    [
        ("teacher=''", "teacher", ""),
        ("teacher=3", "teacher", "3"),
        ("epochs='3'", "epochs", 3),
        ("learning_rate=1", "learning_rate", 1.0),
        ("out=${teacher}x", "out", "x"),
        ("seed=${epochs}", "seed", 30),
        ("pictures.0.whole=null", "pictures", None),
        ("qat.bits.conv1=4", "qat", None),
    ],
)
def test_settings_that_are_in_order(setting: str, name: str, value: object) -> None:
    changes = ["epochs=30", setting]
    recipe = load_recipe(pose.RECIPES / "native.yaml", changes, PictureRecipe)
    assert value in (None, getattr(recipe, name))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("3", "holds no settings; write key: value"),
        ("[1]", "settings are expected, {key: value}, not [1]"),
        ("pictures: [{images: a, weight: x}]", "pictures[0].weight: 'x' is no number"),
        ("pictures: {0: {weight: 2}}", "pictures: a list is expected"),
        ("'': 3", "a setting has no name; write key: value"),
        ("null: 3", "a setting has no name"),
        ("teacher:", "teacher: it needs a value"),
    ],
)
def test_files_of_another_form(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        load_recipe(tmp_path / "r.yaml", [], PictureRecipe)
    assert said in str(caught.value)


@pytest.mark.parametrize("task", [("pose", "student"), ("lift", "teacher"), ("grey", "student")])
@pytest.mark.parametrize("size", [150, 100_000])
def test_a_recipe_that_is_a_picture(
    task: tuple[str, str], size: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff" * size)
    assert main([*task, "--config", str(tmp_path / "a.jpg")]) == 2
    assert capsys.readouterr().err == f"error: recipe {tmp_path}/a.jpg is no text\n"
