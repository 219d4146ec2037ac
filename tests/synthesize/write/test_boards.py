"""Every application is compiled for every board, warnings being errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import UserError
from pose78.shipped import find
from synthesize.__main__ import main
from synthesize.write import elf
from synthesize.write.project import APPLICATIONS, PAIRS

SECOND = {"two-networks": "known-answer", "frame-injection-3d": "frame-injection"}
"""What a pair is asked for as, beside the second network."""


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        elf.find_toolchain()
    except UserError as error:
        pytest.skip(str(error))
    return tmp_path_factory.mktemp("objects")


def project(application: str, folder: Path) -> Path:
    words = ["compile", str(find("native")), "--out", str(folder), "--quiet", "--application"]
    words += [SECOND.get(application, application)]
    words += ["--second", str(find("lift"))] if application in PAIRS else []
    assert main(words) == 0
    return folder


@pytest.mark.parametrize("board", elf.BOARDS)
def test_the_camera_is_powered_on_every_board(board: str, tmp_path: Path, objects: Path) -> None:
    assert elf.build(project("live-pose", tmp_path / "live"), cache=objects, board=board).is_file()


@pytest.mark.long
@pytest.mark.parametrize("board", elf.BOARDS)
@pytest.mark.parametrize("application", APPLICATIONS)
def test_every_application_is_built_for_every_board(
    application: str, board: str, tmp_path: Path, objects: Path
) -> None:
    assert elf.build(project(application, tmp_path / "p"), cache=objects, board=board).is_file()
