"""The kit's command line: replay and compare, on small recordings made here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evalkit.__main__ import main
from evalkit.dump import LayerDump
from evalkit.hardware.cnn import Cnn
from synthesize.chip import memory_map
from tests.helpers.cnn_programs import LayerSpec, configure, fill, layer_words, start

SPEC = LayerSpec(processors=(0, 1, 2), outputs=3, pad=1)
BLOCK = memory_map.instance_address(1)


class Recorder(Cnn):
    """Writes down every access."""

    def __init__(self) -> None:
        super().__init__()
        self.accesses: list[tuple[int, int, int, int]] = []

    def write(self, address: int, size: int, value: int) -> None:
        self.accesses.append((1, address, size, value))
        super().write(address, size, value)

    def write_block(self, address: int, words: np.ndarray) -> None:
        for i, value in enumerate(words):
            self.write(address + 4 * i, 4, int(value))


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    cnn = Recorder()
    configure(cnn, layer_words(SPEC))
    fill(cnn, SPEC)
    cnn.accesses.append((0, memory_map.FIFO_STAT, 4, 0))
    start(cnn)
    cnn.finish()
    answer = [BLOCK, 0x00FFFFFF, 16, *(int(w) for w in cnn.read_block(BLOCK, 16)), 0]
    path = tmp_path / "trace.npz"
    save(path, np.array(cnn.accesses), np.array(answer))
    return path


def save(path: Path, trace: np.ndarray, expected: np.ndarray) -> None:
    np.savez(path, trace=trace.astype(np.uint32), expected=expected.astype(np.uint32))


def change(path: Path, array: str, at: object, value: object) -> None:
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    arrays[array][at] = value
    np.savez(path, **arrays)


def test_replay_passes(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(recording)]) == 0
    assert capsys.readouterr().out.startswith("PASS: 16 words agree; 1 layers, ")


def test_difference_names_address_and_layer(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(recording, "expected", 3 + 5, 0x010101)
    assert main(["replay", str(recording)]) == 1
    message = capsys.readouterr().err
    assert (
        f"FAIL: 0x{BLOCK + 20:08x} (quadrant 0, data memory 1, word 5, written by layer 0)"
        in message
    )
    assert "expected 0x00010101 under mask 0x00ffffff" in message


def test_masked_bits_are_not_compared(recording: Path) -> None:
    with np.load(recording) as archive:
        word = archive["expected"][3]
    change(recording, "expected", 3, int(word) ^ 0x12000000)
    assert main(["replay", str(recording)]) == 0


def test_read_that_returns_something_else(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load(recording) as archive:
        row = int(np.flatnonzero(archive["trace"][:, 0] == 0)[0])
    change(recording, "trace", (row, 3), 1)
    assert main(["replay", str(recording)]) == 1
    assert "(FIFO_STAT) gives 0x00000000, recorded was 0x00000001" in capsys.readouterr().err


def test_fault_in_a_replay(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with np.load(recording) as archive:
        address = archive["trace"][:, 1]
        row = int(np.flatnonzero(address == memory_map.data_address(0, 3))[0])
    change(recording, "trace", (row, 1), memory_map.data_address(8))
    assert main(["replay", str(recording)]) == 1
    message = capsys.readouterr().err
    assert message.startswith("FAIL: quadrant 0, layer 0, RPTR_BASE.rptr_base (0x50100510): ")


@pytest.mark.parametrize(
    ("array", "at", "value", "text"),
    [
        ("trace", (3, 1), 0x40000000, "access 3 is to 0x40000000, outside the accelerator's"),
        ("trace", (3, 1), 0x50101004, "access 3 is to 0x50101004, where the accelerator has no"),
        ("trace", (3, 1), 0x51030000, "access 3 is to 0x51030000, where the accelerator has no"),
        ("trace", (3, 0), 2, "access 3 is neither a write (1) nor a read (0)"),
        ("trace", (3, 2), 3, "access 3 has 3 bytes, not 1, 2 or 4"),
        ("expected", 0, 0x50100000, "expected block at 0x50100000 does not lie in data memory"),
        ("expected", 2, 99, "expected breaks off at word 0; it must end with 0"),
        ("expected", -1, 1, "expected breaks off at word 19; it must end with 0"),
    ],
)
def test_malformed_recordings(
    recording: Path,
    capsys: pytest.CaptureFixture[str],
    array: str,
    at: object,
    value: int,
    text: str,
) -> None:
    change(recording, array, at, value)
    assert main(["replay", str(recording)]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert text in message
    assert message.count("\n") == 1


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04nonsense", b"\x7fELF" + bytes(100)])
def test_files_that_are_no_recording(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    path = tmp_path / "trace.npz"
    path.write_bytes(content)
    assert main(["replay", str(path)]) == 2
    assert "is not a recording (.npz with trace and expected)" in capsys.readouterr().err


def test_single_array_is_no_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "trace.npy", np.zeros((1, 4), np.uint32))
    assert main(["replay", str(tmp_path / "trace.npy")]) == 2
    assert "is not a recording" in capsys.readouterr().err


def test_damaged_recording(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = bytearray(recording.read_bytes())
    content[200:260] = bytes(60)
    recording.write_bytes(content)
    assert main(["replay", str(recording)]) == 2
    assert "is not a recording" in capsys.readouterr().err


def test_truncated_recording(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recording.write_bytes(recording.read_bytes()[:-200])
    assert main(["replay", str(recording)]) == 2
    assert "is not a recording" in capsys.readouterr().err


def test_missing_file_and_missing_array(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(tmp_path / "none.npz")]) == 2
    assert "does not exist" in capsys.readouterr().err
    np.savez(tmp_path / "half.npz", trace=np.zeros((1, 4), np.uint32))
    assert main(["replay", str(tmp_path / "half.npz")]) == 2
    assert "has no array expected" in capsys.readouterr().err
    np.savez(tmp_path / "wide.npz", trace=np.zeros((1, 5)), expected=np.zeros(1, np.uint32))
    assert main(["replay", str(tmp_path / "wide.npz")]) == 2
    assert "trace is float64 [1, 5]; it must be uint32 [n, 4]" in capsys.readouterr().err


def test_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fly"]) == 2
    assert "unknown command 'fly'" in capsys.readouterr().err
    assert main(["--help"]) == 0
    assert "replay" in capsys.readouterr().out


# ---- dumps -------------------------------------------------------------------------------------


def test_dump_layers(recording: Path, tmp_path: Path) -> None:
    assert main(["replay", str(recording), "--dump-layers", str(tmp_path / "dump")]) == 0
    inputs = np.load(tmp_path / "dump" / "layer00_in.npy")
    outputs = np.load(tmp_path / "dump" / "layer00_out.npy")
    assert (inputs.shape, inputs.dtype) == ((3, 4, 4), np.int8)
    assert (outputs.shape, outputs.dtype) == ((3, 4, 4), np.int8)


def test_compare_finds_layer_channel_and_pixel(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        main(["replay", str(recording), "--dump-layers", str(tmp_path / name)])
    capsys.readouterr()
    both = ["compare", str(tmp_path / "a"), str(tmp_path / "b")]
    assert main(both) == 0
    assert capsys.readouterr().out == "the dumps are equal\n"
    path = tmp_path / "b" / "layer00_out.npy"
    outputs = np.load(path)
    outputs[1, 2, 3] ^= 5
    np.save(path, outputs)
    assert main(both) == 1
    text = capsys.readouterr().out
    assert text.startswith("layer 0 output: channel 1, row 2, column 3: ")
    assert text.endswith("(1 of 48 values differ)\n")


def test_compare_of_different_networks(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        main(["replay", str(recording), "--dump-layers", str(tmp_path / name)])
    capsys.readouterr()
    np.save(tmp_path / "b" / "layer00_in.npy", np.zeros((1, 2, 2), np.int8))
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 1
    assert "layer 0 input: shapes [3, 4, 4] and [1, 2, 2]" in capsys.readouterr().out
    (tmp_path / "b" / "layer00_in.npy").unlink()
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 1
    assert "layer 0 input is only in" in capsys.readouterr().out


def test_compare_without_dumps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(tmp_path), str(tmp_path)]) == 2
    assert "holds no layerNN_in.npy" in capsys.readouterr().err
    assert main(["compare", str(tmp_path / "no"), str(tmp_path)]) == 2
    assert "is not a folder" in capsys.readouterr().err


def test_dump_of_a_second_run_goes_into_its_own_folder(tmp_path: Path) -> None:
    cnn = Cnn(LayerDump(tmp_path))
    configure(cnn, layer_words(SPEC))
    fill(cnn, SPEC)
    for _ in range(2):
        start(cnn)
        cnn.finish()
        cnn.write(0x50100000, 4, 0x100008)
    assert (tmp_path / "run1" / "layer00_out.npy").exists()
