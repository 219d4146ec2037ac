"""From a network to a C project, and to a firmware image."""

from __future__ import annotations

from pathlib import Path

from pose78.shipped import find


def compile_project(
    network: str | Path,
    out: str | Path,
    application: str = "known-answer",
    sample: str | Path | None = None,
    build: bool = True,
) -> Path:
    """Compile an integer student or an ONNX model to a C project, and build it.

    Args:
        network: a student of the package by name, an integer checkpoint or a quantised ONNX model.
        out: folder of the project.
        application: program around the network (``pose78 compile -h`` lists them).
        sample: one input (``.npy``, integers [channels, rows, columns]).
        build: make the firmware image too.

    Returns:
        ``firmware.elf``, or the folder when nothing is built.

    Raises:
        UserError: it cannot be read, compiled, written or built; one sentence says why.
    """
    from synthesize import __main__ as compiler
    from synthesize.write import elf

    given = ["compile", str(find(network)), "--out", str(out), "--application", application]
    given += [] if sample is None else ["--sample", str(sample)]
    compiler.run([*given, "--quiet"])
    return elf.build(Path(out)) if build else Path(out)
