"""The comparison with the networks of ai8x-synthesis, on a small checkout made here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from synthesize.ai8x import generator, vendor
from synthesize.ai8x.vendor_page import Row, page

DESCRIPTION = """\
---
arch: test
dataset: Test_Tiny
weights: weights_other
bias: tiny
layers:
  - {op: conv2d, processors: 0x7, out_offset: 0x2000, kernel_size: 3x3, pad: 1, quantization: 4}
  - {op: none, processors: 0xf, out_offset: 0, max_pool: 2, pool_stride: 2}
  - {op: linear, processors: 0xf, out_offset: 0x2000, flatten: true}
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "test-tiny.yaml").write_text(DESCRIPTION)
    rng = np.random.default_rng(1)
    np.save(tests / "sample_test_tiny.npy", rng.integers(-128, 128, (3, 4, 4)))
    with (tests / "weights_other.npy").open("wb") as stream:
        np.save(stream, rng.integers(-128, 128, (4, 3, 3, 3)))
        np.save(stream, rng.integers(-128, 128, (2, 16)))
    with (tests / "bias_tiny.npy").open("wb") as stream:
        np.save(stream, np.array([1, -2, 3, -4]))
        np.save(stream, np.array([5, -6]))
    return tmp_path


def test_test_weights_are_read_as_the_generator_reads_them(checkout: Path) -> None:
    (case,) = vendor.cases(checkout)
    assert (case.name, case.weights, case.fifo) == ("test-tiny", None, False)
    compiled, sample = vendor.compile_case(case)
    first, _, last = compiled.legal.layers
    assert first.weight is not None
    assert (first.bits, first.weight.min(), first.weight.max()) == (4, -8, 7)
    assert first.bias is not None
    assert last.bias is not None
    assert (first.bias.tolist(), last.bias.tolist()) == ([1, -2, 3, -4], [5, -6])
    assert compiled.known_answer(sample)


def test_what_the_generator_refused_before_is_not_run_again(checkout: Path, tmp_path: Path) -> None:
    (case,) = vendor.cases(checkout)
    (tmp_path / "test-tiny.refused").write_text("ERROR: no such device")
    nowhere = generator.Generator(checkout, "/nonexistent/python")
    assert vendor.judge(nowhere, case, tmp_path) == Row(
        "test-tiny", "refused there", "ERROR: no such device"
    )


def test_too_few_weights(checkout: Path) -> None:
    with (checkout / "tests/weights_other.npy").open("wb") as stream:
        np.save(stream, np.zeros((1, 4, 3, 3, 3), np.int64))
    (case,) = vendor.cases(checkout)
    with pytest.raises(UserError, match="there are weights for 1 layers only"):
        vendor.compile_case(case)


def test_the_page_counts() -> None:
    rows = [Row("a", "same", ""), Row("b", "refused there", "x"), Row("c", "differs", "1 | 2")]
    text = page(rows, "ab4f4c0")
    assert "2 that its generator accepts for the MAX78000, 1 compile to the same" in text
    assert "| c | differs | 1 / 2 |" in text
    assert "| b |" not in text
