"""Files of output maps: what is written is read again, and so are older files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ai8x_models.maps import read_maps, write_maps
from common.errors import UserError

MAPS = [np.arange(24, dtype=np.int32).reshape(2, 3, 4), np.full((5, 1, 1), -7, np.int32)]


@pytest.mark.parametrize("names", [(), ("a.png", "b.png")])
def test_what_is_written_is_read(tmp_path: Path, names: tuple[str, ...]) -> None:
    write_maps(tmp_path / "maps.npz", MAPS, names)
    read = read_maps(tmp_path / "maps.npz")
    assert read.names == list(names)
    for ours, theirs in zip(read.outputs, MAPS, strict=True):
        assert ours.dtype == np.int32
        np.testing.assert_array_equal(ours, theirs)


def test_files_from_before_the_keys_agreed_are_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "old.npz", output0=MAPS[0], output1=MAPS[1])
    read = read_maps(tmp_path / "old.npz")
    assert [maps.shape for maps in read.outputs] == [(2, 3, 4), (5, 1, 1)]


def test_what_is_no_file_of_maps_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "gap.npz", output_0=MAPS[0], output_2=MAPS[1])
    np.savez(tmp_path / "none.npz", names=["a"])
    np.save(tmp_path / "array.npz.npy", MAPS[0])
    np.savez_compressed(tmp_path / "whole.npz", output_0=np.arange(5000))
    broken = bytearray((tmp_path / "whole.npz").read_bytes())
    broken[200] ^= 0xFF
    (tmp_path / "broken.npz").write_bytes(broken)
    for name in ("gap.npz", "none.npz", "array.npz.npy", "missing.npz", "broken.npz"):
        with pytest.raises(UserError, match=name):
            read_maps(tmp_path / name)


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "maps.npz").mkdir()
    with pytest.raises(UserError, match=r"cannot write .*maps\.npz"):
        write_maps(tmp_path / "maps.npz", MAPS)
    assert [path.name for path in tmp_path.iterdir()] == ["maps.npz"]
