"""``networks/`` holds what the compiler writes for every shipped student."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import UserError
from synthesize.__main__ import main
from synthesize.ai8x import shipped

STUDENTS = shipped.students()


@pytest.mark.parametrize("name", STUDENTS)
def test_each_description_is_what_the_compiler_writes(name: str) -> None:
    written = (shipped.NETWORKS / f"{name}.yaml").read_text(encoding="utf-8")
    assert written == shipped.text_of(STUDENTS[name]), "run: python -m synthesize networks"


def test_no_description_is_left_of_a_student_that_is_gone() -> None:
    assert {path.stem for path in shipped.NETWORKS.glob("*.yaml")} == set(STUDENTS)


def test_one_command_writes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["networks", "--out", str(tmp_path / "new")]) == 0
    assert capsys.readouterr().out.split() == [
        str(tmp_path / "new" / f"{name}.yaml") for name in STUDENTS
    ]
    for name in STUDENTS:
        ours = (shipped.NETWORKS / f"{name}.yaml").read_bytes()
        assert (tmp_path / "new" / f"{name}.yaml").read_bytes() == ours


def test_a_folder_without_students_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no NAME-q\.pth\.tar there"):
        shipped.write_all(tmp_path / "out", tmp_path)
    assert not (tmp_path / "out").exists()
