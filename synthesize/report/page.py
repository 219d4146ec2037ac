"""The report of a build as one self-contained HTML page: no script, no external resource."""

from __future__ import annotations

import os
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from common.errors import UserError
from synthesize.chip import energy, limits
from synthesize.compiler import Compiled
from synthesize.report.advice import advice
from synthesize.report.figures import figures, layer_colour, operation, size
from synthesize.report.table import PEAK_MACS_PER_CYCLE, facts


def write_report(compiled: Compiled, path: str | Path) -> Path:
    """Write the page of a compiled network; an older file of that name is replaced.

    Args:
        compiled: what the compiler made.
        path: file to write, normally ``report.html``.

    Returns:
        The file.

    Raises:
        UserError: it cannot be written.
    """
    path = Path(path)
    text = page(compiled)
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
    return path


def page(compiled: Compiled) -> str:
    """Return the page as text; equal builds give equal pages."""
    report = facts(compiled)
    pictures = figures(compiled)
    style = resources.files("synthesize.report").joinpath("report.css").read_text(encoding="utf-8")
    title = escape(report["name"])
    body = [
        f"<h1>{title}</h1>",
        f'<p class="lead">{_lead(compiled, report)}</p>',
        _cards(compiled, report),
        _advice(compiled),
        _cycles(compiled, report),
        _picture(
            "Weight memory",
            "Every processor holds the kernels for the channels it reads; a layer starts at the "
            "same word in all of them. What is empty is free.",
            pictures["weights"],
        ),
        _picture(
            "Data memory over time",
            "Which tensor lies where while each layer runs. A tensor stays from the layer that "
            "writes it to the last that reads it; outputs stay to the end.",
            pictures["data"],
        ),
        _picture(
            "Network as it runs on the chip",
            "After the exact rewrites; one box per hardware layer, with the size of its output and "
            "the bits of its weights.",
            pictures["graph"],
        ),
        _layers(compiled, report),
        _energy(report),
        f"<footer>pose78 · program checksum {report['checksum']}</footer>",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}: build report</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def _lead(compiled: Compiled, report: dict[str, Any]) -> str:
    outputs = ", ".join(f"{escape(o['name'])} {size(o['shape'])}" for o in report["outputs"])
    per_second = limits.CNN_CLOCK_HZ / report["cycles"]
    return (
        f"Input {size(compiled.program.input_shape)} → {outputs}. One inference takes "
        f"{report['milliseconds']:.2f} ms of the accelerator at "
        f"{limits.CNN_CLOCK_HZ // 1_000_000} MHz, at most {per_second:.1f} per second."
    )


def _cards(compiled: Compiled, report: dict[str, Any]) -> str:
    rate = report["macs_per_cycle"]
    low, high = energy.estimate(report["cycles"], report["macs"])
    cards = [
        _card(
            "Time per inference",
            f"{report['milliseconds']:.2f} <small>ms</small>",
            f"{report['cycles']:,} cycles",
        ),
        _card(
            "Arithmetic",
            f"{rate} <small>MAC/cycle</small>",
            f"of {PEAK_MACS_PER_CYCLE} · {report['macs'] / 1e6:,.1f} million MAC",
            rate / PEAK_MACS_PER_CYCLE,
        ),
        _budget("Kernel words, fullest processor", report["kernel_words"], ""),
        _budget("Weight memory", report["weight_bytes"], "bytes"),
        _budget("Bias memory", report["bias_bytes"], "bytes"),
        _budget("Data memory touched", report["data_bytes"], "bytes"),
        _budget("Hardware layers", {"used": len(report["layers"]), "limit": limits.MAX_LAYERS}, ""),
        _card(
            "Energy, estimated",
            f"{_joules(low, high)} <small>mJ</small>",
            "per inference · not measured, see below",
        ),
    ]
    return f'<div class="cards">{"".join(cards)}</div>'


def _budget(what: str, budget: dict[str, int], unit: str) -> str:
    used, limit = budget["used"], budget["limit"]
    of = f"of {limit:,} {unit}".rstrip()
    share = used / limit
    value = f"{used:,} <small>{unit}</small>" if unit else f"{used:,}"
    return _card(what, value, f"{of} · {100 * share:.1f}\N{NO-BREAK SPACE}%", share)


def _card(what: str, value: str, of: str, share: float | None = None) -> str:
    meter = ""
    if share is not None:
        meter = f'<div class="meter"><i style="width:{100 * min(share, 1):.1f}%"></i></div>'
    return (
        f'<div class="card"><div class="what">{what}</div><div class="value">{value}</div>'
        f'<div class="of">{of}</div>{meter}</div>'
    )


def _advice(compiled: Compiled) -> str:
    items = [f'<li class="warning">{escape(text)}</li>' for text in compiled.warnings]
    for entry in advice(compiled):
        names = ", ".join(f"<b>{escape(name)}</b>" for name in entry.layers)
        share = f" ({100 * entry.share:.0f}\N{NO-BREAK SPACE}% of all cycles): " if names else ""
        items.append(f"<li>{names}{share}{escape(entry.sentence)}.</li>")
    if not items:
        items = ["<li>Nothing stands out.</li>"]
    return (
        f'<section><h2>Warnings and advice</h2><ul class="advice">{"".join(items)}</ul></section>'
    )


def _picture(title: str, note: str, svg: str) -> str:
    return (
        f'<section class="long"><h2>{title}</h2><p class="note">{note}</p>'
        f'<figure class="scroll">{svg}</figure></section>'
    )


def _cycles(compiled: Compiled, report: dict[str, Any]) -> str:
    """Cycles of every layer beside those that the arithmetic alone would take."""
    layers = report["layers"]
    most = max(layer["cycles"] for layer in layers)
    rows = []
    for index, layer in enumerate(layers):
        cycles = max(layer["cycles"], 1)
        least = layer["macs"] / PEAK_MACS_PER_CYCLE
        colour = layer_colour(index, len(layers))
        rows.append(
            f'<tr><td class="left">{_chip(colour)}{escape(layer["name"])}</td>'
            f'<td style="width:45%"><div class="bar">'
            f'<i style="width:{100 * cycles / most:.2f}%;background:{colour}"></i>'
            f'<b style="width:{100 * least / most:.2f}%;background:{colour}"></b></div></td>'
            f"<td>{layer['cycles']:,}</td><td>{layer['milliseconds']:.2f}</td>"
            f"<td>{100 * layer['cycles'] / report['cycles']:.1f} %</td>"
            f"<td>{layer['macs'] / cycles:.0f}</td></tr>"
        )
    return (
        '<section class="long"><h2>Cycles per layer</h2><p class="note">Pale: the cycles a layer '
        f"takes. Full: what {PEAK_MACS_PER_CYCLE} MAC per cycle, the limit of the arithmetic, "
        'would take.</p><div class="scroll"><table><thead><tr><th class="left">Layer</th>'
        "<th></th><th>Cycles</th><th>Time, ms</th><th>Share</th><th>MAC/cycle</th></tr></thead>"
        f"<tbody>{''.join(rows)}{_total(report)}</tbody></table></div></section>"
    )


def _total(report: dict[str, Any]) -> str:
    return (
        f'<tr class="total"><td class="left">all, with start-up</td><td></td>'
        f"<td>{report['cycles']:,}</td><td>{report['milliseconds']:.2f}</td><td>100.0 %</td>"
        f"<td>{report['macs_per_cycle']:.0f}</td></tr>"
    )


def _layers(compiled: Compiled, report: dict[str, Any]) -> str:
    heads = (
        "Input", "Output", "Bits", "Weights, B", "Biases, B", "Kernel words", "Passes",
        "Processors", "Offset in", "Offset out",
    )  # fmt: skip
    rows = []
    layers = report["layers"]
    for index, (facts_, layer) in enumerate(zip(layers, compiled.legal.layers, strict=True)):
        cells = (
            size(facts_["input"]), size(facts_["output"]), facts_["bits"] or "–",
            f"{facts_['weight_bytes']:,}", f"{facts_['bias_bytes']:,}",
            _words(facts_), facts_["passes"], facts_["processors"],
            f"0x{facts_['in_offset']:04x}", f"0x{facts_['out_offset']:04x}",
        )  # fmt: skip
        rows.append(
            f'<tr><td class="left">{_chip(layer_colour(index, len(layers)))}'
            f'{escape(facts_["name"])}</td><td class="left">{escape(operation(layer))}</td>'
            + "".join(f"<td>{cell}</td>" for cell in cells)
            + "</tr>"
        )
    header = "".join(f"<th>{head}</th>" for head in heads)
    return (
        '<section class="long"><h2>Layers</h2><p class="note">Shapes are channels × rows × '
        "columns; bits are those of a weight, B is bytes; kernel words are those taken in each "
        "processor of a layer; offsets are bytes within each data memory.</p>"
        '<div class="scroll"><table><thead><tr><th class="left">Layer</th>'
        f'<th class="left">Operation</th>{header}</tr></thead><tbody>{"".join(rows)}'
        "</tbody></table></div></section>"
    )


def _words(layer: dict[str, Any]) -> str:
    """Return the kernel words of a layer as a range."""
    first, count = layer["first_word"], layer["words_per_processor"]
    return f"{first}–{first + count - 1}" if count else "–"


def _energy(report: dict[str, Any]) -> str:
    low, high = energy.estimate(report["cycles"], report["macs"])
    return (
        "<section><h2>Energy: an estimate</h2><p>"
        f"The accelerator takes about <b>{_joules(low, high)} mJ</b> per inference. This is not "
        f"measured: it scales one published measurement ({energy.SOURCE}: "
        f"{1e6 * energy.MEASURED_JOULES:.0f} µJ per inference at {energy.MEASURED_PER_SECOND:.0f} "
        f"inferences per second and {energy.MEASURED_MACS_PER_CYCLE:.0f} MAC per cycle) by time, "
        f"{1e3 * energy.WATTS:.0f} mW for {report['milliseconds']:.2f} ms, and by work, "
        f"{1e12 * energy.JOULES_PER_MAC:.1f} pJ for each of {report['macs'] / 1e6:,.1f} million "
        'MAC.</p><p class="note">Not included: loading weights and input, the processor core, the '
        "camera, and standby. Measure on a board before sizing a battery.</p></section>"
    )


def _joules(low: float, high: float) -> str:
    return f"{1e3 * low:.2g} to {1e3 * high:.2g}"


def _chip(colour: str) -> str:
    return f'<span class="chip" style="background:{colour}"></span>'
