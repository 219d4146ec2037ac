"""Texts from outside on their way into C, YAML, pages and consoles."""

from __future__ import annotations

import html
import json
import re

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from common import texts
from common.console import command_line
from common.errors import UserError
from tests.helpers.c_text import without_comments

SPLICED = "x*\\\n/ {0x50100010u, 0x78u}, //"
ANY = st.text(max_size=80) | st.text(alphabet="*/\\?\n\"'<>&%$`#: ]", max_size=40)


@settings(deadline=None)
@given(ANY)
@example(SPLICED)
@example("*??/\n/ int x; //")
@example("*/ int x; /*")
def test_a_comment_holds_whatever_text_it_is_given(text: str) -> None:
    source = f"a /* {texts.c_comment(text)} */ b"
    assert without_comments(source) == "a   b"
    assert "/*" not in texts.c_comment(text)  # gcc warns about it, and warnings are errors


def test_without_the_rule_the_comment_would_end() -> None:
    assert "0x78u" in without_comments(f"a /* {SPLICED} */ b")


@settings(deadline=None)
@given(ANY)
@example('"; int x; //')
def test_a_string_of_c_stays_one_string(text: str) -> None:
    inside = texts.c_string(text)
    assert len(inside) <= 64
    assert re.fullmatch(r"[\w. -]*", inside, re.ASCII)


@settings(deadline=None)
@given(ANY)
@example("a: b\n- c")
def test_a_word_is_one_scalar_of_yaml(text: str) -> None:
    assert yaml.safe_load(f"k: '{texts.word(text)}'") == {"k": texts.word(text)}
    assert not set(texts.word(text)) & set(" $`#'\"\\\n:;|&()")


@settings(deadline=None)
@given(ANY)
@example("</script><script>alert(1)</script>")
def test_a_page_shows_the_text_and_runs_nothing(text: str) -> None:
    assert not set(texts.markup(text)) & set("<>\"'")
    assert html.unescape(texts.markup(text)) == texts.one_line(text)
    assert not set(texts.script([text])) & set("<>&")
    assert json.loads(texts.script([text])) == [text]


def test_control_characters_become_visible_and_the_rest_stays() -> None:
    assert texts.one_line("a\x1b[2Jb\nc\td") == "a\\x1b[2Jb\\nc\\td"
    assert texts.console("one\ntwo\t\x1b]0;t\x07\u202e") == "one\ntwo\t\\x1b]0;t\\x07\\u202e"
    assert texts.console("Grüße, 図 and ~") == "Grüße, 図 and ~"
    texts.console("\ud800").encode()


def test_a_refusal_cannot_send_control_sequences(capsys: pytest.CaptureFixture[str]) -> None:
    @command_line
    def main() -> None:
        raise UserError("layer \x1b[1A\x1b[2Kall is well: no")

    assert main() == 2
    assert capsys.readouterr().err == "error: layer \\x1b[1A\\x1b[2Kall is well: no\n"


def test_any_value_can_be_shown_in_a_message() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert texts.shown(3) == "3"
    assert texts.shown("a\nb") == r"'a\nb'"
    assert texts.shown(1 << 100_000) == "a number of 100001 bits"
    assert texts.shown([1 << 100_000]) == "a list"
    assert texts.shown(deep) == "a list"
    assert texts.shown(list(range(1000))) == "a list of 1000 entries"
    assert len(texts.shown("x" * 1_000_000)) == 60


def test_one_is_not_many() -> None:
    assert texts.people(1) == "1 person"
    assert texts.people(0) == "0 people"
    assert texts.counted(1, "picture") == "1 picture"
    assert texts.counted(2, "picture") == "2 pictures"
