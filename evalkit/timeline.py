"""A page that shows where time went: one self-contained HTML file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.files import write_file
from common.texts import counted, markup, script
from evalkit.hardware.scheduler import SECOND
from evalkit.hardware.spans import Span

if TYPE_CHECKING:
    from evalkit.hardware.machine import Machine

ROWS = ("bus", "accelerator", "layers", "processor", "UART0", "UART1", "UART2")
"""Rows from top to bottom; others follow."""
LAYERS = "layers"
DECODERS = ("people_find", "pose_decode")
"""Functions of the firmware that find people in maps; the first that there is."""
DECODE = "decode"
_REACH = 4
"""Decoding is looked at together with layers that took at least a quarter of the time until it."""
_GAP = SECOND // 100_000
"""Between two layers of one inference passes less."""

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Timeline of {title}</title><style>
body {{ font: 14px system-ui, sans-serif; margin: 1.5em; color: #222; background: #fff }}
svg {{ width: 100%; display: block; border: 1px solid #ccc; cursor: grab; touch-action: pan-y }}
table {{ border-collapse: collapse; margin-top: 1em }}
td, th {{ padding: 2px 10px; text-align: left; border-bottom: 1px solid #eee }}
@media (max-width: 500px) {{
  body {{ margin: .7em; font-size: 13px }}
  td, th {{ padding: 2px 5px }}
}}
td.n {{ text-align: right; font-variant-numeric: tabular-nums }}
</style></head><body>
<h1>Timeline of {title}</h1>
<p>{summary} Wheel: zoom. Drag: move. Point at or touch a bar: what it is and how long it took.
<output id="told"></output>
<button id="near">the network</button> <button id="all">everything</button></p>
<svg id="view"></svg>
<table><thead><tr><th>row</th><th>what</th><th>from (ms)</th><th>took (µs)</th></tr></thead>
<tbody>
{table}</tbody></table>
<script>
const rows = {data}, total = {total}, left = 100;
// Rows whose bars are short have room for names that stand upright.
const heights = rows.map(([title]) => ["layers", "processor"].includes(title) ? 56 : 28);
const bottom = heights.reduce((sum, height) => sum + height, 8);
const svg = document.getElementById("view"), ns = "http://www.w3.org/2000/svg";
const colours = ["#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677", "#aa3377"];
const inks = ["#fff", "#000", "#fff", "#000", "#000", "#fff"];
const near = {near};
let [from, to] = near;
function add(name, attributes, parent, text) {{
  const node = document.createElementNS(ns, name);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  if (text) node.textContent = text;
  parent.appendChild(node);
  return node;
}}
function draw() {{
  const width = svg.clientWidth - left, scale = width / (to - from);
  svg.replaceChildren();
  svg.setAttribute("height", bottom + 26);
  let y = 8;
  rows.forEach(([title, spans], row) => {{
    const high = heights[row] - 8;
    spans.forEach(([name, start, end], i) => {{
      if (end < from || start > to) return;
      const x0 = left + Math.max(0, (start - from) * scale);
      const x1 = left + Math.min(width, (end - from) * scale);
      const bar = add("rect", {{x: x0, y: y, width: Math.max(1, x1 - x0), height: high,
        fill: colours[i % colours.length]}}, svg);
      const what = name + ": " + ((end - start) * 1000).toFixed(1) + " µs from "
        + start.toFixed(3) + " ms";
      add("title", {{}}, bar, what);
      bar.addEventListener("click", () => document.getElementById("told").textContent = what);
      const style = {{"font-size": 10, fill: inks[i % inks.length], "pointer-events": "none"}};
      if (x1 - x0 > 5.8 * name.length + 4)
        add("text", {{x: x0 + 2, y: y + high / 2 + 4, ...style}}, svg, name);
      else if (x1 - x0 > 9 && high > 5.8 * name.length + 4)
        add("text", {{transform: `translate(${{(x0 + x1) / 2 + 3}} ${{y + high - 3}}) rotate(-90)`,
          ...style}}, svg, name);
    }});
    add("text", {{x: 6, y: y + high / 2 + 4, "font-size": 12}}, svg, title);
    y += heights[row];
  }});
  // A mark every 1, 2 or 5 times a power of ten, as close as their texts allow.
  const least = 75 / scale, power = Math.pow(10, Math.floor(Math.log10(least)));
  const step = power * [1, 2, 5, 10].find(n => n * power >= least);
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  for (let n = Math.ceil(from / step); n * step <= to; n++)
    if (left + (n * step - from) * scale < svg.clientWidth - 50)
      add("text", {{x: left + (n * step - from) * scale, y: bottom + 14,
        "font-size": 10, fill: "#666", "class": "mark"}}, svg,
        (n * step).toFixed(digits) + " ms");
}}
svg.addEventListener("wheel", event => {{
  event.preventDefault();
  const at = from + (event.offsetX - left) / (svg.clientWidth - left) * (to - from);
  const factor = event.deltaY > 0 ? 1.25 : 0.8;
  from = Math.max(0, at - (at - from) * factor);
  to = Math.min(total, at + (to - at) * factor);
  draw();
}});
svg.addEventListener("pointermove", event => {{
  if (event.buttons !== 1) return;
  const shift = -event.movementX / (svg.clientWidth - left) * (to - from);
  const kept = Math.max(-from, Math.min(total - to, shift));
  from += kept;
  to += kept;
  draw();
}});
function look(at) {{ [from, to] = at; draw(); }}
document.getElementById("near").addEventListener("click", () => look(near));
document.getElementById("all").addEventListener("click", () => look([0, total]));
window.addEventListener("resize", draw);
draw();
</script></body></html>
"""


def watch_decoding(machine: Machine) -> None:
    """Let the timeline show when the firmware looks for people in the maps.

    Call it before the firmware runs; without such a function nothing is shown.
    """
    symbols = machine.firmware.symbols
    address = next((symbols[name][0] for name in DECODERS if name in symbols), None)
    if address is None:
        return
    import unicorn

    cpu, hook = machine.cpu, unicorn.UC_HOOK_CODE
    begun: list[int] = []
    watched: set[int] = set()

    def left(*_: object) -> None:
        if begun:
            machine.recorder.add("processor", DECODE, begun.pop(), machine.now)

    def entered(*_: object) -> None:
        begun.append(machine.now)
        back = cpu.register("LR") & ~1
        # Where it returns to is known only now; no code has begun there before its first call.
        if back not in watched:
            watched.add(back)
            cpu.uc.hook_add(hook, left, None, back, back)

    cpu.uc.hook_add(hook, entered, None, address & ~1, address & ~1)


def collect(machine: Machine) -> list[tuple[str, list[Span]]]:
    """Rows of the timeline, from top to bottom."""
    machine.accelerator.flush()
    recorded = machine.recorder.rows
    names = [name for name in ROWS if name in recorded]
    names += sorted(set(recorded) - set(names))
    return [(name, recorded[name]) for name in names]


def write_timeline(machine: Machine, path: str | Path) -> None:
    """Write the page for everything that has happened so far.

    It begins with the last inference: input, layers by name, and what comes after. The names of the
    layers are those of ``report.json`` beside the firmware, where there is one.
    """
    names = layer_names(Path(machine.firmware.path).with_name("report.json"))
    rows = [
        (
            row,
            [replace(s, name=names.get(s.name, s.name)) for s in spans] if row == LAYERS else spans,
        )
        for row, spans in collect(machine)
    ]
    total = max([span.end for _, spans in rows for span in spans], default=SECOND // 1000)
    title = markup(Path(machine.firmware.path).name)
    summary = (
        f"{machine.now / SECOND * 1e3:.1f} ms of modelled time, "
        f"{machine.cycles:,} processor cycles (an estimate for each instruction), "
        f"{counted(machine.accelerator.cnn.inferences, 'inference')}."
    )
    page = _PAGE.format(
        title=title,
        summary=summary,
        table="".join(_table_row(name, span) for name, spans in rows for span in spans[:200]),
        data=script([[name, [_milliseconds(s) for s in spans]] for name, spans in rows]),
        total=script(total / SECOND * 1e3),
        near=script([round(at / SECOND * 1e3, 6) for at in last_inference(rows, total)]),
    )
    write_file(Path(path), page)


def layer_names(report: Path) -> dict[str, str]:
    """``layer N`` and the name of that layer, by the compiler's report; empty without one."""
    try:
        layers = json.loads(report.read_text(encoding="utf-8"))["layers"]
        return {f"layer {number}": str(layer["name"]) for number, layer in enumerate(layers)}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def last_inference(rows: list[tuple[str, list[Span]]], total: int) -> tuple[int, int]:
    """The time around the last run of the layers and the decoding behind it, in picoseconds; all
    of it where none ran."""
    spans = dict(rows).get(LAYERS, [])
    if not spans:
        return 0, total
    first = len(spans) - 1
    while first and spans[first].start - spans[first - 1].end <= _GAP:
        first -= 1
    start, end = spans[first].start, spans[-1].end
    margin = max((end - start) // 5, SECOND // 1000)
    decoded = [s.end for s in dict(rows).get("processor", []) if s.name == DECODE]
    # Where much is said in between, the layers would be a sliver again.
    end = max([end, *(at for at in decoded if end <= at <= end + _REACH * (end - start))])
    return max(0, start - margin), min(total, end + margin)


def _milliseconds(span: Span) -> list[Any]:
    return [span.name, round(span.start / 1e9, 6), round(span.end / 1e9, 6)]


def _table_row(row: str, span: Span) -> str:
    return (
        f"<tr><td>{markup(row)}</td><td>{markup(span.name)}</td>"
        f"<td class=n>{span.start / 1e9:.3f}</td><td class=n>{(span.end - span.start) / 1e6:.1f}"
        "</td></tr>\n"
    )
