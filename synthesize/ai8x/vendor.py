"""Compiles the networks that ai8x-synthesis ships and compares each with what its generator writes.

``python -m synthesize.ai8x.vendor --work DIR [--out docs/vendor-networks.md] [NAME ...]``

Descriptions come from ``networks/`` (with every checkpoint of their architecture in ``trained/``)
and ``tests/``. The generator's projects are kept in DIR: a second run only compiles and compares.
Nothing of ai8x-synthesis is copied: it is a checkout that ``AI8X_SYNTHESIS`` names.

Its test networks (``arch: test``) take weights and biases from ``tests/weights_DATASET.npy`` and
``tests/bias_NAME.npy`` (``izer/sampleweight.py``): arrays one after the other, weights shifted down
to the bits of the layer, biases as they go to bias memory.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common import files
from common.arguments import Parser, to_file
from common.console import command_line, say
from common.errors import UserError
from synthesize.ai8x import compare, generator
from synthesize.ai8x.vendor_page import Row, page
from synthesize.compiler import Compiled, compile_network
from synthesize.read import checkpoint
from synthesize.read.checkpoint import Checkpoint
from synthesize.read.yaml.nodes import Item, read

_OWN_CHECKPOINTS = {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
"""Its own checkpoints hold classes, which torch does not load by default any more."""
MAX_ANSWER = "1000000"
"""Lines of known answer that the generator may write."""


@dataclass(frozen=True)
class Case:
    """One description, with its weights: a checkpoint, or None for test weights."""

    name: str
    description: Path
    weights: Path | None
    sample: Path
    fifo: bool


def cases(folder: Path) -> Iterator[Case]:
    """Yield every description of a checkout that has weights and a sample."""
    trained = _by_architecture(
        [*folder.glob("trained/*-q.pth.tar"), *folder.glob("tests/*.pth.tar")]
    )
    for path in sorted([*folder.glob("tests/*.yaml"), *folder.glob("networks/*.yaml")]):
        top = read(path).value
        arch = str(top["arch"].value).lower()
        sample = folder / "tests" / f"sample_{str(top['dataset'].value).lower()}.npy"
        first = top["layers"].value[0].value
        streaming = "streaming" in first and first["streaming"].value is True
        fifo = streaming or "fifo" in path.stem
        prefix = "net-" if path.parent.name == "networks" else ""
        if arch == "test":
            yield Case(prefix + path.stem, path, None, sample, fifo)
        for weights in trained.get(arch, []):
            suffix = weights.name.removesuffix(".pth.tar")
            yield Case(f"{prefix}{path.stem}@{suffix}", path, weights, sample, fifo)


def _by_architecture(paths: Sequence[Path]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in sorted(paths):
        try:
            arch = checkpoint.load(path, lenient=True).arch.lower()
        except UserError:
            continue
        found.setdefault(arch, []).append(path)
    return found


def compile_case(case: Case) -> tuple[Compiled, np.ndarray]:
    """Compile a case with our compiler; returns its sample as well.

    Raises:
        UserError: the compiler refuses it, or a file is missing.
    """
    try:
        sample = np.load(case.sample, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{case.sample}: not a readable sample ({error})") from error
    if case.weights is not None:
        weights = checkpoint.load(case.weights, lenient=True)
        compiled = compile_network(weights, case.description, sample.shape, True, fifo=case.fifo)
        return compiled, sample
    with tempfile.TemporaryDirectory(prefix="vendor-") as folder:
        plain = Path(folder) / case.description.name
        text = case.description.read_text(encoding="utf-8")
        lines = [n for n in text.splitlines() if not n.startswith(("weights:", "bias:"))]
        plain.write_text("\n".join(lines) + "\n", encoding="utf-8")
        weights = test_weights(case.description)
        return compile_network(weights, plain, sample.shape, True, fifo=case.fifo), sample


def test_weights(description: Path) -> Checkpoint:
    """Return the test weights of a description as a checkpoint.

    Raises:
        UserError: a file is missing or holds too few arrays.
    """
    top: Mapping[str, Item] = read(description).value
    folder = description.parent
    named = top["weights"].value if "weights" in top else f"weights_{top['dataset'].value}".lower()
    arrays = _arrays(folder / f"{named}.npy")
    if len(arrays) == 1:  # one array of all layers
        arrays = list(arrays[0])
    biases = _arrays(folder / f"bias_{top['bias'].value}.npy") if "bias" in top else []
    state: dict[str, np.ndarray] = {}
    number = 0
    for entry in top["layers"].value:
        operation = _operation(entry.value)
        if operation in ("none", "passthrough", "add", "sub", "or", "xor"):
            continue
        if number >= len(arrays):
            raise UserError(f"{description}: there are weights for {len(arrays)} layers only")
        bits = int(entry.value["quantization"].value) if "quantization" in entry.value else 8
        weight = _requantised(arrays[number], bits)
        if operation == "convtranspose2d":
            weight = np.flip(weight, axis=(2, 3)).swapaxes(0, 1)
        name = f"weights{number}"
        state[f"{name}.weight_bits"] = np.array([bits])
        state[f"{name}.op.weight"] = weight
        if number < len(biases):
            state[f"{name}.op.bias"] = biases[number].astype(np.int64) << (bits - 1)
        number += 1
    return checkpoint.from_state_dict(state, str(folder / f"{named}.npy"), lenient=True)


def _operation(entry: Mapping[str, Item]) -> str:
    for key in ("op", "operation", "operator", "convolution"):
        if key in entry:
            return str(entry[key].value).lower()
    return "conv2d"


def _arrays(path: Path) -> list[np.ndarray]:
    """Return the arrays that follow each other in a file."""
    arrays: list[np.ndarray] = []
    try:
        with path.open("rb") as stream:
            while stream.peek(1):
                arrays.append(np.load(stream, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        if not arrays:
            raise UserError(f"{path}: not a readable list of arrays ({error})") from error
    return arrays


def _requantised(weight: np.ndarray, bits: int) -> np.ndarray:
    """Shift weights down to their bits, by as much as the generator does."""
    weight = weight.astype(np.int64)
    high, low = (int(v) + (1 if v < 0 else 0) for v in (weight.max(), weight.min()))
    now = max(abs(low).bit_length() - 1, abs(high).bit_length() - 1) + 2
    return weight >> (now - bits) if now > bits else weight


def official(found: generator.Generator, case: Case, work: Path) -> Path:
    """Return the generator's project of a case, written unless it is there.

    Raises:
        UserError: the generator refuses it, now or in an earlier run.
    """
    project, refusal = work / case.name, work / f"{case.name}.refused"
    if refusal.is_file():
        raise UserError(refusal.read_text(encoding="utf-8"))
    if (project / "cnn.c").is_file():
        return project
    arguments = [
        *(found.python, "ai8xize.py", "--test-dir", str(work), "--prefix", case.name),
        *("--config-file", str(case.description), "--sample-input", str(case.sample)),
        *("--device", "MAX78000", "--no-version-check", "--overlap-data", "--no-progress"),
        *("--timer", "0", "--overwrite", "--max-checklines", MAX_ANSWER),
        *(["--checkpoint-file", str(case.weights)] if case.weights else []),
        *(["--fifo"] if case.fifo else []),
    ]
    result = subprocess.run(
        arguments, cwd=found.folder, capture_output=True, text=True, check=False,
        timeout=generator.TIMEOUT_SECONDS, env=os.environ | _OWN_CHECKPOINTS,
    )  # fmt: skip
    if result.returncode:
        files.write_file(refusal, generator.reason(result.stderr))
        raise UserError(generator.reason(result.stderr))
    return project


def judge(found: generator.Generator, case: Case, work: Path) -> Row:
    """Compile a case with both and say how the programs compare."""
    try:
        project = official(found, case, work)
    except UserError as error:
        return Row(case.name, "refused there", str(error))
    try:
        compiled, sample = compile_case(case)
    except UserError as error:
        return Row(case.name, "refused", _shortened(str(error), case))
    try:
        differences = generator.differences(compiled.program, sample, project)
        expected = compiled.known_answer(sample)
        answers = generator.answer_differences(compiled.program, expected, project)
    except UserError as error:
        return Row(case.name, "not compared", _shortened(str(error), case))
    left, explained = compare.explain(differences, compiled)
    known = [f"{count} {name}" for name, count in sorted(explained.items())]
    if left or answers:
        first = str(left[0]) if left else ""
        return Row(
            case.name,
            "differs",
            f"{len(left)} in the program, {len(answers)} in the answer; {first}",
        )
    return Row(case.name, "known differences" if known else "same", "; ".join(known))


def _shortened(text: str, case: Case) -> str:
    """Return a sentence without the folders of this machine."""
    for path in (case.description, case.weights, case.sample):
        if path is not None:
            text = text.replace(str(path), path.name)
    return re.sub(r"\S*/(?=[^/ ]+\.(yaml|npy|tar))", "", text)


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: 0 all compared, 1 some differ without a known reason, 2 wrong input."""
    parser = Parser(prog="python -m synthesize.ai8x.vendor", description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of names of the networks (default: all)")
    parser.add_argument("--work", type=Path, required=True, help="folder of the generated projects")
    parser.add_argument("--out", type=to_file, help="page to write")
    options = parser.parse_args(arguments)
    found = generator.find()
    rows = []
    options.work.mkdir(parents=True, exist_ok=True)
    for case in cases(found.folder):
        if options.names and not any(name in case.name for name in options.names):
            continue
        rows.append(judge(found, case, options.work.resolve()))
        say(f"{rows[-1].name}: {rows[-1].outcome}: {rows[-1].text}")
    if options.out is not None:
        files.write_file(options.out, page(rows, generator.TESTED_COMMIT))
    return 1 if any(row.outcome == "differs" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
