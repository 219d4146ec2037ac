"""Reading a project of the public generator, and running it, without having it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from common.errors import UserError
from synthesize.ai8x import compare
from synthesize.ai8x import generated as official_project
from synthesize.ai8x import generator as official

CODE = """
int cnn_load_bias(void)
{
  memcpy_8to32((uint32_t *) 0x50108000, bias_0, sizeof(uint8_t) * 3);
  return CNN_OK;
}

int cnn_init(void)
{
  *((volatile uint32_t *) 0x50001000) = 0x00000000; // always-on domain
  *((volatile uint32_t *) 0x50100000) = 0x00100008; // halt
  return CNN_OK;
}

int cnn_configure(void)
{
  // Layer 0 quadrant 0
  *((volatile uint32_t *) 0x50100010) = 0x00010041; // rows of the input
  return CNN_OK;
}

int cnn_start(void)
{
  cnn_time = 0;
  *((volatile uint32_t *) 0x50100000) = 0x00100808; // Enable quadrant 0
#ifdef CNN_INFERENCE_TIMER
  MXC_TMR_SW_Start(CNN_INFERENCE_TIMER);
#endif
  CNN_START; // Allow capture of processing time
  *((volatile uint32_t *) 0x50100000) = 0x00100009; // Master enable quadrant 0

  return CNN_OK;
}
"""
STORED = """
void load_input(void)
{
  // This function loads the sample data input -- replace with actual data

  memcpy32((uint32_t *) 0x50400000, input_0, 2);
}
"""
PUSHED = """
void load_input(void)
{
  int i;
  const uint32_t *in0 = input_0;

  for (i = 0; i < 2; i++) {
    // Remove the following line if there is no risk
    while (((*((volatile uint32_t *) 0x50000004) & 1)) != 0); // Wait for FIFO 0
    *((volatile uint32_t *) 0x50000008) = *in0++; // Write FIFO 0
  }
}
"""
WEIGHTS = """
#define BIAS_0 { \\
  0x16, 0x5f, 0xe5 \\
}

#define KERNELS { \\
  0x50180010, 0x00000003, 0x01020304, 0x05060708, 0x09000000, \\
  0x00000000 \\
}
"""


def write_project(folder: Path, main: str = STORED, code: str = CODE) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "cnn.c").write_text(code)
    (folder / "main.c").write_text(main)
    (folder / "weights.h").write_text(WEIGHTS)
    (folder / "sampledata.h").write_text(
        "#define SAMPLE_INPUT_0 { \\\n  0x11223344, 0x55667788 \\\n}\n"
    )
    (folder / "sampleoutput.h").write_text(
        "#define SAMPLE_OUTPUT { \\\n  0x50400000, 0x00ffffff, 0x00000002, 0x00010203, \\\n"
        "  0x00040506, 0x00000000 \\\n}\n"
    )
    return folder


def test_a_project_becomes_state_and_answer(tmp_path: Path) -> None:
    project = official_project.read(write_project(tmp_path / "p"))
    words = project.state.words
    assert words[0x50100000] == 0x00100009, "the last write counts"
    assert words[0x50100010] == 0x00010041
    assert [words[0x50108000 + 4 * i] for i in range(3)] == [0x16, 0x5F, 0xE5]
    assert (words[0x50400000], words[0x50400004]) == (0x11223344, 0x55667788)
    assert project.state.kernels == {(0, 4): bytes(range(1, 10))}
    assert project.answer == {
        0x50400000: 3, 0x50400001: 2, 0x50400002: 1,
        0x50400004: 6, 0x50400005: 5, 0x50400006: 4,
    }  # fmt: skip


def test_input_through_the_fifo_is_read_in_order(tmp_path: Path) -> None:
    project = official_project.read(write_project(tmp_path / "p", PUSHED))
    assert project.state.pushed == {0x50000008: [0x11223344, 0x55667788]}


def test_a_changed_number_is_a_difference(tmp_path: Path) -> None:
    first = official_project.read(write_project(tmp_path / "a")).state
    changed = CODE.replace("0x00010041", "0x00010042")
    second = official_project.read(write_project(tmp_path / "b", code=changed)).state
    found = compare.differences(first, second)
    assert len(found) == 1
    assert "50100010" in found[0].where


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("= 0x00010041;", "|= 0x00010041;", "cnn_configure holds the unknown statement"),
        ("int cnn_start", "int other_start", "there is no function cnn_start"),
        ("sizeof(uint8_t) * 3", "sizeof(uint8_t) * 4", "BIAS_0 holds 3 values, not 4"),
        ("memcpy_8to32", "memcpy_other", "cnn_load_bias holds the unknown statement"),
    ],
)
def test_what_it_does_not_know_is_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in CODE
    with pytest.raises(UserError, match=words):
        official_project.read(write_project(tmp_path / "p", code=CODE.replace(old, new)))


@pytest.mark.parametrize(
    "stream", [[0x50400000, 0xFF], [0x50400000, 0xFF, 9, 1, 0], [0x50400000, 0xF0, 1, 1, 0]]
)
def test_a_damaged_answer_is_refused(stream: list[int]) -> None:
    with pytest.raises(UserError):
        official_project.answer_bytes(np.array(stream, np.uint32))


def test_a_missing_generator_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="AI8X_SYNTHESIS is not set"):
        official.find({})
    with pytest.raises(UserError, match=r"no ai8xize\.py there"):
        official.find({"AI8X_SYNTHESIS": str(tmp_path)})


def stub(folder: Path, script: str) -> official.Generator:
    """A generator that is a few lines of Python."""
    folder.mkdir()
    (folder / "ai8xize.py").write_text(script)
    return official.find({"AI8X_SYNTHESIS": str(folder), "AI8X_PYTHON": sys.executable})


def described(folder: Path) -> Path:
    folder.mkdir()
    (folder / "network.yaml").write_text("layers:\n  - name: a\n")
    (folder / "checkpoint-q.pth.tar").write_bytes(b"")
    (folder / "sample.npy").write_bytes(b"")
    return folder


def test_the_generators_complaint_is_passed_on(tmp_path: Path) -> None:
    script = "import sys\nprint('ERROR: Layer 3:', 'too\\nlarge', file=sys.stderr)\nsys.exit(1)\n"
    generator = stub(tmp_path / "generator", script)
    source = described(tmp_path / "source")
    with pytest.raises(UserError, match="ai8x-synthesis says: ERROR: Layer 3: too large"):
        official.generate(generator, source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="no such file; compile with --out first"):
        official.generate(generator, tmp_path, tmp_path / "out")


def test_the_project_is_moved_into_place_and_made_buildable(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys\n"
        "out = pathlib.Path(sys.argv[sys.argv.index('--test-dir') + 1], 'network')\n"
        "out.mkdir()\n"
        "assert '--fifo' not in sys.argv\n"
        "for name in ('cnn.c', 'main.c', 'weights.h', 'sampledata.h', 'sampleoutput.h',\n"
        "             'softmax.c'):\n"
        "    (out / name).write_text(name)\n"
        "(out / 'cnn.h').write_text('#define CNN_NUM_OUTPUTS 38\\n')\n"
    )
    generator = stub(tmp_path / "generator", script)
    source = described(tmp_path / "source")
    for _ in range(2):  # the second time it replaces the first
        project = official.generate(generator, source, tmp_path / "out")
        made = official.firmware(project, tmp_path / "firmware", 57)
    assert (made / "cnn.h").read_text() == "#define CNN_NUM_OUTPUTS 57\n"
    assert (made / "main.c").read_text() == "main.c"
    assert (made / "standalone" / "startup.c").is_file()
    with pytest.raises(UserError, match="no generated project"):
        official.firmware(project, source)
    with pytest.raises(UserError, match="no project of the generator"):
        official.generate(generator, source, tmp_path / "generator")


@pytest.mark.parametrize(("answer", "words"), [(1_000, None), (24_321, 24_320)])
def test_an_answer_longer_than_flash_has_room_for_is_cut(answer: int, words: int | None) -> None:
    # 512 KiB less 24 KiB of code, 400,000 bytes of weights and a sample of 2,432 bytes.
    block = SimpleNamespace(words=np.zeros(100_000, np.uint32))
    program = SimpleNamespace(weights=(block,), input_shape=(2, 32, 38))
    assert official.words_that_fit(program, np.zeros(answer, np.uint32)) == words  # type: ignore[arg-type]
