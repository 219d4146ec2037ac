"""Options of ai8x-synthesis: taken, or refused by name with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthesize.__main__ import main
from synthesize.ai8x import options

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "options.md"


@pytest.mark.parametrize("name", sorted(options.REFUSED))
def test_refused_by_name(name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    for value in ([], ["2.5"]):
        assert main(["compile", "net-q.pth.tar", "--out", str(out), name, *value]) == 2
        message = capsys.readouterr().err
        assert f"{name} of ai8x-synthesis is not available: {options.REFUSED[name]}" in message
        assert message.count("\n") == 1
    assert not out.exists()


def test_the_page_is_up_to_date() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == options.documentation()
