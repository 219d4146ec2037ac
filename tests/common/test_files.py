"""Files appear whole or not at all, and what cannot be written is said in one sentence."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from common.files import (
    check_place,
    check_writable,
    checksum,
    replace_file,
    whole_file,
    whole_folder,
    write_array,
    write_arrays,
    write_file,
)
from common.incoming import Unfit, check_torch, is_cut_off, read_bytes
from common.pictures import open_video
from tests.helpers.places import REPOSITORY


def test_arrays_come_back_and_nothing_else_is_left(tmp_path: Path) -> None:
    first = np.arange(6, dtype=np.int8).reshape(2, 3)
    write_array(tmp_path / "new" / "a.npy", first)
    write_arrays(tmp_path / "new" / "b.npz", {"first": first, "second": first[0]})
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a.npy", "b.npz"]
    assert np.load(tmp_path / "new" / "a.npy").tolist() == first.tolist()
    with np.load(tmp_path / "new" / "b.npz") as archive:
        assert archive["second"].tolist() == [0, 1, 2]


def test_what_was_there_stays_when_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a.txt"
    write_file(target, "old")

    def full(self: Path, content: bytes) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match=r"cannot write .*a\.txt: No space left on device"):
        write_file(target, "new")
    with pytest.raises(OSError, match="No space left"):
        replace_file(target, b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert target.read_text() == "old"


def test_a_folder_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    write_file(tmp_path / "a", b"")
    with pytest.raises(UserError, match="cannot write"):
        write_array(tmp_path / "a" / "b.npy", np.zeros(1))


def test_the_checksum_is_that_of_the_content(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000  # more than is read at once
    write_file(tmp_path / "a", content)
    assert checksum(tmp_path / "a") == hashlib.sha256(content).hexdigest()
    with pytest.raises(UserError, match=r"cannot read .*none: No such file"):
        checksum(tmp_path / "none")


def test_a_file_that_grows_is_seen_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a"
    with whole_file(target) as partial:
        partial.write_text("half")
        assert not target.exists()
    assert target.read_text() == "half"
    with pytest.raises(TypeError), whole_file(target) as partial:
        partial.write_text(b"broken")  # type: ignore[arg-type]
    assert [(path.name, path.read_text()) for path in target.parent.iterdir()] == [("a", "half")]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "project"
    for name in ("old", "new"):
        with whole_folder(target) as staging:
            (staging / name).touch()
        assert [path.name for path in target.iterdir()] == [name]
    with pytest.raises(TypeError), whole_folder(target) as staging:
        (staging / "broken").write_text(b"")  # type: ignore[arg-type]
    rename = Path.rename

    def refuse(self: Path, to: Path) -> Path:
        if to == target and (self / "broken").exists():
            raise OSError(5, "Input/output error")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="Input/output"), whole_folder(target) as staging:
        (staging / "broken").touch()
    assert [path.name for path in target.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["project"]


@pytest.mark.parametrize("name", ["", ".", "..", "/"])
def test_a_name_of_no_place_of_its_own_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="names no file of its own"):
        write_file(Path(name), b"x")
    with pytest.raises(OSError, match="names no folder of its own"), whole_folder(Path(name)):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_goes_with_the_next_one(tmp_path: Path) -> None:
    """It dies in the middle of a file and of a folder; another one, which lives, keeps its own."""
    script = f"""
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {str(REPOSITORY)!r})
from common.files import whole_file, whole_folder
with whole_file(Path("file")) as partial, whole_folder(Path("folder")) as staging:
    partial.write_text("half")
    (staging / "x").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    result = subprocess.run([sys.executable, "-c", script], cwd=tmp_path)
    assert result.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
    (tmp_path / ".pose78-part-link").symlink_to(REPOSITORY)
    with whole_folder(tmp_path / "folder"):
        write_file(tmp_path / "file", "whole")
        command = f"from common.files import write_file; from pathlib import Path; " \
            f"write_file(Path({str(tmp_path / 'other')!r}), 'whole')"  # fmt: skip
        subprocess.run([sys.executable, "-c", command], cwd=REPOSITORY, check=True)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [".pose78-part-link", "file", "folder", "other"]


def test_a_link_to_a_folder_keeps_leading_to_what_is_written(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "target")
    for name in ("old", "new"):
        with whole_folder(link) as staging:
            (staging / name).touch()
    assert link.is_symlink()
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["new"]


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    """A limit on the size of files stands in for the disk; the child process alone has it."""
    (tmp_path / "old").write_bytes(b"before")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x").write_bytes(b"before")
    script = f"""
import resource, sys
from pathlib import Path
sys.path.insert(0, {str(REPOSITORY)!r})
from common.errors import UserError
from common.files import whole_folder, write_file
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_file(Path("old"), bytes(5000))
except UserError as error:
    print(error)
try:
    with whole_folder(Path("folder")) as staging:
        (staging / "x").write_bytes(bytes(5000))
except OSError as error:
    print(error.strerror)
"""
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.stdout.splitlines() == ["cannot write old: File too large", "File too large"]
    assert result.stderr == ""
    assert (tmp_path / "old").read_bytes() == (tmp_path / "folder" / "x").read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "old"]


def test_a_link_keeps_leading_to_what_is_written(tmp_path: Path) -> None:
    target, link = tmp_path / "target.txt", tmp_path / "link.txt"
    target.write_text("old")
    link.symlink_to(target)
    replace_file(link, b"new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        replace_file(pipe, b"answer")
        assert os.read(reader, 100) == b"answer"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_whether_a_result_can_be_written_is_found_out_without_writing_it(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "a.json")
    check_writable(tmp_path / "drawn", folder=True)
    assert [path.name for path in (tmp_path / "new").iterdir()] == []
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == []
    (tmp_path / "file").touch()
    for path, folder in ((tmp_path / "file" / "a", False), (tmp_path / "file", True)):
        with pytest.raises(UserError, match="cannot write"):
            check_writable(path, folder)
    with pytest.raises(UserError, match="it is a folder"):
        check_writable(tmp_path)
    if Path("/proc/self").is_dir():  # takes no files, whatever its permissions say
        with pytest.raises(UserError, match="cannot write /proc/x"):
            check_writable(Path("/proc/x"))
    check_writable(Path(os.devnull))


@pytest.mark.parametrize("folder", [True, False, None])
def test_a_place_that_could_be_made_is_tried_and_not_made(folder: bool, tmp_path: Path) -> None:
    check_place(tmp_path / "a" / "b" / "c", folder)
    assert not list(tmp_path.iterdir())


def test_places_that_cannot_be_written_are_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file" / "inside")
    for path, folder, said in (
        (tmp_path, False, "it is a folder; name a file in it"),
        (tmp_path / "file", True, "is a file, not a folder"),
        (tmp_path / "file" / "x", False, "is a file, not a folder"),
        (tmp_path / "link", False, "is a file, not a folder"),
        (tmp_path / ("n" * 300), False, "name too long"),
        (Path("/dev/full"), False, "No space left on device"),
        (Path("/dev/null"), True, "is a file, not a folder"),
    ):
        with pytest.raises(UserError, match=f"cannot write .*{said}".replace("name", "[nN]ame")):
            check_place(path, folder)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "link"]


def _linked(place: Path) -> dict[str, Path]:
    """Links of every kind that a result may be sent to."""
    (place / "folder").mkdir()
    (place / "file").write_text("old")
    links = {"to a file": "file", "dangling": "new", "deep": "made/for/it", "itself": "itself"}
    for name, target in links.items():
        (place / name).symlink_to(place / target)
    (place / "chain").symlink_to(place / "to a file")
    return {name: place / target for name, target in {**links, "chain": "file"}.items()}


def test_a_file_goes_where_a_link_leads(tmp_path: Path) -> None:
    for name, target in _linked(tmp_path).items():
        check_place(tmp_path / name, False)
        check_writable(tmp_path / name)
        write_file(tmp_path / name, name)
        assert target.read_text() == (tmp_path / name).read_text() == name
    (tmp_path / "to a folder").symlink_to(tmp_path / "folder")
    for check in (check_place, check_writable):
        with pytest.raises(UserError, match="it is a folder; name a file in it"):
            check(tmp_path / "to a folder", False)


def test_a_folder_goes_where_a_link_leads(tmp_path: Path) -> None:
    _linked(tmp_path)
    (tmp_path / "to a folder").symlink_to(tmp_path / "folder")
    for name, target in (("to a folder", "folder"), ("dangling", "new"), ("deep", "made/for/it")):
        check_place(tmp_path / name, True)
        check_writable(tmp_path / name, folder=True)
        with whole_folder(tmp_path / name) as place:
            (place / "a").write_text(name)
        assert (tmp_path / target / "a").read_text() == name
        assert (tmp_path / name).is_symlink()
    for check in (check_place, check_writable):
        with pytest.raises(UserError, match="is a file, not a folder"):
            check(tmp_path / "to a file", True)


def test_files_and_devices_that_are_there_may_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "new")
    for path in (tmp_path / "file", tmp_path / "link", Path("/dev/null"), Path("/dev/stdout")):
        check_place(path, False)
    check_place(tmp_path, True)
    assert (tmp_path / "file").read_text() == "kept"


def test_text_with_names_that_are_no_utf8_is_written(tmp_path: Path) -> None:
    write_file(tmp_path / "a", "ü " + os.fsdecode(b"bad\xff"))
    assert (tmp_path / "a").read_text("utf-8") == r"ü bad\udcff"


def test_pipes_are_refused_rather_than_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Unfit, match="no ordinary file"):
        read_bytes(tmp_path / "pipe", 10)
    with pytest.raises(UserError, match="no ordinary file"):
        checksum(tmp_path / "pipe")
    for look in (is_cut_off, check_torch):
        with pytest.raises(Unfit, match="no ordinary file"):
            look(tmp_path / "pipe")
    assert not open_video(str(tmp_path / "pipe")).isOpened()
    write_file(tmp_path / "file", "content")
    assert read_bytes(tmp_path / "file", 10) == b"content"
    with pytest.raises(IsADirectoryError):
        read_bytes(tmp_path, 10)
