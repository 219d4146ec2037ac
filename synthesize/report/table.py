"""Figures of a compiled program: ``report.json`` and a table for the terminal."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from synthesize.chip import limits
from synthesize.compiler import Compiled
from synthesize.place.regions import tensor_regions

PEAK_MACS_PER_CYCLE = limits.PROCESSORS * 9


def facts(compiled: Compiled) -> dict[str, Any]:
    """Return plain data: totals against the chip's limits and one entry per layer.

    Units: bytes, 72-bit kernel words, CNN clock cycles, milliseconds at the chip's 50 MHz.
    """
    program = compiled.program
    cycles = program.cycles
    return {
        "name": program.name,
        "checksum": f"{program.checksum:08x}",
        "cycles": cycles,
        "milliseconds": _milliseconds(cycles),
        "macs": program.macs,
        "macs_per_cycle": round(program.macs / cycles, 1),
        "weight_bytes": {"used": program.weight_bytes, "limit": limits.WEIGHT_BYTES},
        "bias_bytes": {"used": program.bias_bytes, "limit": limits.BIAS_BYTES},
        "data_bytes": {"used": data_bytes(compiled), "limit": limits.DATA_BYTES},
        "kernel_words": {"used": kernel_words(compiled), "limit": limits.WEIGHT_WORDS},
        "startup_cycles": program.startup_cycles,
        "layers": [
            {
                "name": layer.name,
                "operation": layer.operation,
                "input": list(layer.input_shape),
                "output": list(layer.output_shape),
                "bits": layer.bits,
                "cycles": layer.cycles,
                "milliseconds": _milliseconds(layer.cycles),
                "macs": layer.macs,
                "weight_bytes": layer.weight_bytes,
                "bias_bytes": layer.bias_bytes,
                "words_per_processor": layer.words_per_processor,
                "first_word": layer.first_word,
                "processors": layer.processors,
                "passes": layer.passes,
                "in_offset": layer.in_offset,
                "out_offset": layer.out_offset,
            }
            for layer in program.layers
        ],
        "outputs": [
            {
                "name": out.name,
                "shape": list(out.shape),
                "wide": out.wide,
                "step": output_step(compiled, out.layer),
            }
            for out in program.outputs
        ],
        "decoder": program.decoder.plain(),
        "points": None if program.points is None else program.points.plain(),
        "warnings": list(compiled.warnings),
    }


def to_json(compiled: Compiled) -> str:
    """Return :func:`facts` as text for ``report.json``."""
    return json.dumps(facts(compiled), indent=1) + "\n"


def output_step(compiled: Compiled, index: int) -> float:
    """Return the real number that one integer step of a hardware layer's output stands for."""
    return compiled.legal.layers[index].step


def output_units(compiled: Compiled) -> dict[str, int]:
    """Return for each output the exponent u with which 1.0 is the integer 2**u."""
    return {
        out.name: -int(math.log2(output_step(compiled, out.layer)))
        for out in compiled.program.outputs
    }


def kernel_words(compiled: Compiled) -> int:
    """Return the kernel words in use in the fullest processor."""
    used = np.zeros(limits.PROCESSORS, np.int64)
    for place in compiled.placement.layers:
        mask = [place.processors >> p & 1 for p in range(limits.PROCESSORS)]
        used += np.array(mask) * place.words
    return int(used.max())


def data_bytes(compiled: Compiled) -> int:
    """Return the bytes of data memory that are written at some time during one inference."""
    touched = np.zeros((limits.DATA_INSTANCES, limits.DATA_INSTANCE_WORDS), bool)
    for region in tensor_regions(compiled.legal, compiled.placement):
        touched[list(region.instances), region.start : region.start + region.words] = True
    return int(touched.sum()) * 4


def table(compiled: Compiled) -> str:
    """Return a table for people: memories against their limits, then one line per layer."""
    report = facts(compiled)
    lines = [f"{report['name']}: {report['cycles']:,} cycles, {report['milliseconds']} ms"]
    lines[0] += f" at 50 MHz, {report['macs']:,} MAC ({report['macs_per_cycle']} per cycle)"
    for title, key in (
        ("weight memory", "weight_bytes"),
        ("bias memory", "bias_bytes"),
        ("data memory", "data_bytes"),
        ("kernel words per processor", "kernel_words"),
    ):
        used, limit = report[key]["used"], report[key]["limit"]
        unit = "words" if key == "kernel_words" else "bytes"
        share = 100 * used / limit
        lines.append(f"  {title:<27}{used:>9,} of {limit:>7,} {unit}  {share:5.1f} %")
    width = max(5, *(len(layer["name"]) for layer in report["layers"]))
    lines.append(
        f"  {'layer':<{width}}  {'input':>11}  {'output':>11}  bits  words"
        f"  {'cycles':>9}  {'ms':>6}  MAC/cycle"
    )
    for layer in report["layers"]:
        rate = layer["macs"] / max(1, layer["cycles"])
        lines.append(
            f"  {layer['name']:<{width}}  {_shape(layer['input']):>11}  "
            f"{_shape(layer['output']):>11}  {layer['bits'] or '-':>4}  "
            f"{layer['words_per_processor']:>5}  {layer['cycles']:>9,}  "
            f"{layer['milliseconds']:>6.3f}  {rate:>9.1f}"
        )
    return "\n".join(lines) + "\n"


def _milliseconds(cycles: int) -> float:
    return round(1000 * cycles / limits.CNN_CLOCK_HZ, 3)


def _shape(shape: list[int]) -> str:
    return "x".join(str(n) for n in shape)
