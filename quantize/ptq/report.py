"""What quantisation cost, as text for people and as plain data for programs."""

from __future__ import annotations

from typing import Any

from common.texts import shortened
from quantize.ptq.run import Result
from synthesize.chip.limits import WEIGHT_WORDS


def as_data(result: Result) -> dict[str, Any]:
    """Everything measured, as plain data."""
    return {
        "network": result.student.spec.name,
        "bits": result.allocation.bits,
        "kernel_words": result.allocation.fullest,
        "cycles": result.allocation.cycles,
        "layer_signal_to_error_db": {k: round(v, 2) for k, v in result.layers.items()},
        "output_relative_error": result.outputs,
        "agreement": result.agreement,
        "accuracy": None if result.accuracy is None else {
            "model": result.accuracy[0], "integer": result.accuracy[1],
        },
        "real_value_of_one": result.factors,
        "notes": result.notes,
    }  # fmt: skip


def as_text(result: Result) -> str:
    """A table of the layers, then the outputs and what the user should know."""
    lines = [f"{'layer':<32}{'kind':<17}{'bits':>5}{'signal to error':>17}"]
    for spec in result.student.spec.layers:
        bits = str(result.allocation.bits.get(spec.name, "-"))
        ratio = f"{min(result.layers[spec.name], 999.0):.1f} dB"
        lines.append(f"{shortened(spec.name, 31):<32}{spec.op:<17}{bits:>5}{ratio:>17}")
    found = result.allocation
    lines.append(f"{found.fullest} of {WEIGHT_WORDS} kernel words, {found.cycles:,} cycles")
    for name, error in result.outputs.items():
        lines.append(f"output {name}: relative error {error:.4f} against the model")
    if result.agreement is not None:
        lines.append(f"same class as the model: {100 * result.agreement:.1f} %")
    if result.accuracy is not None:
        model, integer = (100 * share for share in result.accuracy)
        lines.append(f"right class: model {model:.1f} %, integer {integer:.1f} %")
    unit = result.factors["input"]
    lines.append(f"input: one step of the chip's bytes is {unit / 128:g} of the model's input")
    return "\n".join(lines + [f"note: {note}" for note in result.notes]) + "\n"
