"""The report of a build as one self-contained HTML page: no script, no external resource.

What it says is gathered here; how it looks is in ``page.html``, ``pieces.py`` and ``report.css``.
Python's own formatting fills it: to load and compile a language of templates takes a tenth of a
compilation.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from markupsafe import Markup

from common.files import write_file
from synthesize.chip import energy, limits
from synthesize.compiler import Compiled
from synthesize.report import pieces
from synthesize.report.advice import advice
from synthesize.report.figures import figures, layer_colour, operation, size
from synthesize.report.pieces import Known
from synthesize.report.table import PEAK_MACS_PER_CYCLE, facts


def write_report(compiled: Compiled, path: str | Path, known: Known | None = None) -> Path:
    """Write the page of a compiled network; an older file of that name is replaced.

    Args:
        compiled: what the compiler made.
        path: file to write, normally ``report.html``.
        known: what else is known of the network.

    Returns:
        The file.

    Raises:
        UserError: it cannot be written.
    """
    path = Path(path)
    write_file(path, page(compiled, known))
    return path


def page(compiled: Compiled, known: Known | None = None) -> str:
    """Return the page as text; equal builds give equal pages."""
    report = facts(compiled)
    low, high = energy.estimate(report["cycles"], report["macs"])
    layers = _layers(compiled, report)
    filled = Markup(_resource("page.html")).format(
        name=report["name"],
        style=Markup(_resource("report.css")),
        pictures=pieces.pictures(figures(compiled)),
        input=size(compiled.program.input_shape),
        outputs=", ".join(f"{out['name']} {size(out['shape'])}" for out in report["outputs"]),
        milliseconds=f"{report['milliseconds']:.2f}",
        megahertz=limits.CNN_CLOCK_HZ // 1_000_000,
        per_second=f"{limits.CNN_CLOCK_HZ / report['cycles']:.1f}",
        peak=PEAK_MACS_PER_CYCLE,
        seen=pieces.seen(known or Known()),
        cards=pieces.cards(_cards(report, f"{1e3 * low:.2g} to {1e3 * high:.2g}")),
        advice=pieces.advice(compiled.warnings, _advice(compiled)),
        times=pieces.times(layers),
        layers=pieces.rows(layers),
        total={"cycles": f"{report['cycles']:,}", "rate": f"{report['macs_per_cycle']:.0f}"},
        joules=f"{1e3 * low:.2g} to {1e3 * high:.2g}",
        energy=_measurement(),
        heads=pieces.heads(),
        megamacs=f"{report['macs'] / 1e6:,.1f}",
        checksum=report["checksum"],
    )
    return str(filled)


def _resource(name: str) -> str:
    return resources.files("synthesize.report").joinpath(name).read_text(encoding="utf-8")


def _cards(report: dict[str, Any], joules: str) -> list[dict[str, Any]]:
    rate = report["macs_per_cycle"]
    layers = {"used": len(report["layers"]), "limit": limits.MAX_LAYERS}
    return [
        _card(
            "Time per inference",
            f"{report['milliseconds']:.2f}",
            "ms",
            f"{report['cycles']:,} cycles",
        ),
        _card(
            "Arithmetic",
            str(rate),
            "MAC/cycle",
            f"of {PEAK_MACS_PER_CYCLE} · {report['macs'] / 1e6:,.1f} million MAC",
            rate / PEAK_MACS_PER_CYCLE,
        ),
        _budget("Kernel words, fullest processor", report["kernel_words"], ""),
        _budget("Weight memory", report["weight_bytes"], "bytes"),
        _budget("Bias memory", report["bias_bytes"], "bytes"),
        _budget("Data memory touched", report["data_bytes"], "bytes"),
        _budget("Hardware layers", layers, ""),
        _card("Energy, estimated", joules, "mJ", "per inference · not measured, see below"),
    ]


def _budget(what: str, budget: dict[str, int], unit: str) -> dict[str, Any]:
    used, limit = budget["used"], budget["limit"]
    of = f"of {limit:,} {unit}".rstrip()
    share = used / limit
    return _card(what, f"{used:,}", unit, f"{of} · {100 * share:.1f}\N{NO-BREAK SPACE}%", share)


def _card(what: str, value: str, unit: str, of: str, share: float | None = None) -> dict[str, Any]:
    filled = None if share is None else f"{100 * min(share, 1):.1f}"
    return {
        "what": what, "value": value, "unit": unit, "of": of, "share": share, "filled": filled,
    }  # fmt: skip


def _advice(compiled: Compiled) -> list[dict[str, Any]]:
    return [
        {
            "layers": entry.layers,
            "percent": f"{100 * entry.share:.0f}",
            "sentence": entry.sentence,
        }
        for entry in advice(compiled)
    ]


def _layers(compiled: Compiled, report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return both tables' cells, layer by layer.

    A bar shows the cycles of a layer beside those that the arithmetic alone would take.
    """
    layers = report["layers"]
    most = max(layer["cycles"] for layer in layers)
    rows = []
    for index, (entry, layer) in enumerate(zip(layers, compiled.legal.layers, strict=True)):
        cycles = max(entry["cycles"], 1)
        rows.append(
            {
                "name": entry["name"],
                "colour": layer_colour(index, len(layers)),
                "bar": f"{100 * cycles / most:.2f}",
                "least": f"{100 * entry['macs'] / PEAK_MACS_PER_CYCLE / most:.2f}",
                "cycles": f"{entry['cycles']:,}",
                "milliseconds": f"{entry['milliseconds']:.2f}",
                "percent": f"{100 * entry['cycles'] / report['cycles']:.1f}",
                "rate": f"{entry['macs'] / cycles:.0f}",
                "operation": operation(layer),
                "cells": _cells(entry),
            }
        )
    return rows


def _cells(layer: dict[str, Any]) -> list[str]:
    first, count = layer["first_word"], layer["words_per_processor"]
    return [
        size(layer["input"]),
        size(layer["output"]),
        str(layer["bits"] or "–"),
        f"{layer['weight_bytes']:,}",
        f"{layer['bias_bytes']:,}",
        f"{first}–{first + count - 1}" if count else "–",
        str(layer["passes"]),
        str(layer["processors"]),
        f"0x{layer['in_offset']:04x}",
        f"0x{layer['out_offset']:04x}",
    ]


def _measurement() -> dict[str, str]:
    """Return the published measurement that the estimate of energy scales."""
    return {
        "source": energy.SOURCE,
        "measured": f"{1e6 * energy.MEASURED_JOULES:.0f}",
        "per_second": f"{energy.MEASURED_PER_SECOND:.0f}",
        "rate": f"{energy.MEASURED_MACS_PER_CYCLE:.0f}",
        "milliwatts": f"{1e3 * energy.WATTS:.0f}",
        "picojoules": f"{1e12 * energy.JOULES_PER_MAC:.1f}",
    }
