"""A description that is no YAML is refused in words about YAML, whatever its reader says."""

from __future__ import annotations

import pytest

from common.errors import UserError
from synthesize.read.yaml.nodes import parse

WRONG = [
    ('a: "\\UFFFFFFFF"', "number, date or character that does not exist"),
    ("a: 2020-13-45", "number, date or character that does not exist"),
    ("a: !!int x", "number, date or character that does not exist"),
    ("a: !!timestamp x", "number, date or character that does not exist"),
    ("a: !!python/name:os.system", "a tag (!) that means nothing here"),
    ("? [a]\n: b", "a key must be plain text"),
    ("a: [1", "expected ',' or ']'"),
]
PYTHON = ("int()", "Python", "NoneType", "month must be", "constructor", "unhashable", "type '")


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_descriptions(text: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(text, "n.yaml")
    assert said in str(caught.value)
    assert not any(word in str(caught.value) for word in PYTHON)
