"""Programs around a network that tell more than its answer: classes with shares, and energy."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from evalkit.kit import Kit
from synthesize.compiler import Compiled, compile_graph
from synthesize.graph.ir import INPUT, Graph, Input, Layer, Output
from synthesize.report import table
from synthesize.write import elf, project

pytest.importorskip("unicorn", reason="the kit extra is not installed")


def classifier(
    wide: bool, classes: int, bits: int = 8, seed: int = 0
) -> tuple[Compiled, np.ndarray]:
    """A flattening linear layer whose output is lively, and an input for it."""
    rng = np.random.default_rng(seed)
    top = 1 << bits - 1
    layer = Layer(
        "classes", "linear", (INPUT,), (4, 3, 3), (classes, 1, 1), flatten=True, bits=bits,
        weight=rng.integers(-top, top, (classes, 36, 1, 1)), output_shift=bits - 8 - 3, wide=wide,
    )  # fmt: skip
    output = Output("classes", "classes", 0, classes)
    graph = Graph("classifier", Input((4, 3, 3)), (layer,), (output,))
    return compile_graph(graph), rng.integers(-128, 128, (4, 3, 3))


def told(compiled: Compiled, sample: np.ndarray, folder: Path, **options: object) -> str:
    units = table.output_units(compiled)
    expected = compiled.known_answer(sample)
    application = str(options.pop("application", "known-answer"))
    out = project.write_project(
        compiled.program,
        sample,
        expected,
        folder,
        application,
        units,
        **options,  # type: ignore[arg-type]
    )
    kit = Kit(elf.build(out))
    kit.run_until()
    return kit.uart_text()


@pytest.mark.parametrize(("wide", "classes", "bits"), [(False, 10, 8), (True, 23, 4)])
def test_the_class_and_the_shares(wide: bool, classes: int, bits: int, tmp_path: Path) -> None:
    compiled, sample = classifier(wide, classes, bits)
    text = told(compiled, sample, tmp_path / "p", softmax=True)
    assert "PASS" in text
    values = compiled.known_answer(sample)["classes"].reshape(-1).astype(np.float64)
    values = values / 2.0 ** table.output_units(compiled)["classes"]
    shares = np.exp(values - values.max())
    shares = 1000 * shares / shares.sum()
    assert f"class: {int(np.argmax(values))}" in text
    found = {int(c): int(n) for c, n in re.findall(r"share of class (\d+): (\d+) permille", text)}
    assert found
    for number, share in enumerate(shares):
        assert abs(found.get(number, 0) - share) < 1.0


def test_softmax_needs_classes(tmp_path: Path) -> None:
    compiled, sample = classifier(False, 4)
    out = compiled.program.outputs[0]
    single = replace(out, addresses=out.addresses[:1], shape=(1, 1, 1))
    program = replace(compiled.program, outputs=(single,))
    with pytest.raises(UserError, match="softmax needs an output of one pixel"):
        project.generated_files(program, sample, {"classes": np.zeros((1, 1, 1))}, softmax=True)


def test_energy_phases(tmp_path: Path) -> None:
    """Each phase lasts what its work takes; the inferences are as long as one, times a hundred."""
    compiled, sample = classifier(False, 10)
    text = told(compiled, sample, tmp_path / "p", application="energy")
    assert "PASS" in text
    assert "times each: 100" in text
    phases = {name: int(us) for name, us in re.findall(r"phase ([a-z ]+): (\d+) us", text)}
    assert list(phases) == ["sleep", "weights", "input", "input and inference"]
    assert 1_000_000 <= phases["sleep"] < 2_100_000
    least = 100 * compiled.program.cycles / 50
    assert (
        phases["input"] + least
        <= phases["input and inference"]
        < phases["input"] + 4 * least + 5_000
    )
