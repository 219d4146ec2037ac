"""Pictures of the report as inline SVG: network graph, data memory, weight memory.

Colours are those of :func:`layer_colour`, one per layer in running order, the same in every
picture; everything else is styled by ``report.css``. All text that comes from the user is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from common.texts import markup
from synthesize.chip import limits
from synthesize.compiler import Compiled
from synthesize.graph.ir import INPUT, Graph, Layer
from synthesize.graph.masks import bits_of
from synthesize.place.placement import Placement
from synthesize.place.regions import Region, tensor_regions

NODE_WIDTH, NODE_HEIGHT = 246, 46
ROW, GAP = 70, 14
BAND = 26
PICTURE = 900
"""Width of the memory pictures without their labels."""
LETTER = 6.0
"""Mean width of a character of the small font, in picture units."""


def layer_colour(index: int, count: int) -> str:
    """Return the fill of a layer's shapes: hues in running order, neighbours unlike in lightness.

    ``index`` -1 is the input.
    """
    if index < 0:
        return "hsl(215 10% 62%)"
    hue = 205 + 250 * index / max(count - 1, 1)
    return f"hsl({hue % 360:.0f} 62% {60 + 12 * (index % 2)}%)"


def size(shape: Sequence[int]) -> str:
    """Return a shape as text, channels x rows x columns."""
    return "×".join(str(n) for n in shape)


def operation(layer: Layer) -> str:
    """Return a few words on what a layer computes."""
    words: list[str] = []
    if layer.join != "concat":
        words.append(layer.join)
    if layer.pool is not None:
        rows, cols = layer.pool.size
        words.append(f"{layer.pool.kind} pool {rows}×{cols}")
    if layer.op == "linear":
        words.append("linear")
    elif layer.op == "conv1d":
        words.append(f"1D kernel {layer.kernel[0]}")
    elif layer.op in ("conv2d", "convtranspose2d"):
        up = "transposed " if layer.op == "convtranspose2d" else ""
        words.append(f"{up}{layer.kernel[0]}×{layer.kernel[1]}")
    elif not words:
        words.append("pass through")
    if layer.activation != "none":
        words.append({"relu": "ReLU", "abs": "abs"}[layer.activation])
    if layer.wide:
        words.append("32 bit")
    return " · ".join(words)


def graph_figure(graph: Graph) -> str:
    """Return the network graph, running downwards; layers of equal depth stand side by side."""
    depth = {INPUT: 0}
    for layer in graph.layers:
        depth[layer.name] = 1 + max(depth[name] for name in layer.inputs)
    rows: dict[int, list[str]] = {}
    for name, level in depth.items():
        rows.setdefault(level, []).append(name)
    widest = max(len(names) for names in rows.values())
    jumps = any(depth[x.name] - depth[n] > 1 for x in graph.layers for n in x.inputs)
    margin = 60 if jumps else 8
    width = widest * (NODE_WIDTH + GAP) - GAP + 2 * margin
    place = {}
    for level, names in rows.items():
        left = (width - len(names) * (NODE_WIDTH + GAP) + GAP) / 2
        for i, name in enumerate(names):
            place[name] = (left + i * (NODE_WIDTH + GAP), 4 + level * ROW)
    parts = [
        _edge(place[name], place[layer.name]) for layer in graph.layers for name in layer.inputs
    ]
    count = len(graph.layers)
    about = (INPUT, size(graph.input.shape), "8 bit")
    parts.append(_node(place[INPUT], about, layer_colour(-1, count)))
    for index, layer in enumerate(graph.layers):
        bits = f"{layer.bits} bit" if layer.weight is not None else ""
        text = f"{operation(layer)} → {size(layer.out_shape)}"
        parts.append(_node(place[layer.name], (layer.name, text, bits), layer_colour(index, count)))
    height = 8 + max(rows) * ROW + NODE_HEIGHT
    return _svg("graph", width, height, "Network graph", parts)


def data_figure(graph: Graph, placement: Placement) -> str:
    """Return the data memories: one band each, time from left to right, offset downwards."""
    regions = tensor_regions(graph, placement)
    count = len(graph.layers)
    names = ("load input", *(layer.name for layer in graph.layers))
    longest = min(132.0, LETTER * max(map(len, names)))
    left, top = 78, round(24 + 0.77 * longest)
    column = max(30, PICTURE // (count + 1))
    width = left + (count + 1) * column + 60
    height = top + limits.DATA_INSTANCES * BAND + 24
    parts = []
    for step, name in enumerate(names):
        x = left + step * column
        label = _fit(name, 132)
        parts.append(
            f'<text class="small" x="0" y="0" transform="translate({x + column / 2 + 3} {top - 8}) '
            f'rotate(-50)">{label}</text><line class="grid" x1="{x}" y1="{top}" x2="{x}" '
            f'y2="{top + limits.DATA_INSTANCES * BAND}"/>'
        )
    for number in range(limits.DATA_INSTANCES):
        y = top + number * BAND
        parts.append(
            f'<rect class="cell" x="{left}" y="{y}" width="{(count + 1) * column}" '
            f'height="{BAND}"/><text class="small end" x="{left - 8}" y="{y + BAND / 2 + 4}">'
            f"memory {number}</text>"
        )
    parts += [_region(region, count, (left, top), column) for region in regions]
    per = limits.DATA_INSTANCES // limits.QUADRANTS
    for quadrant in range(1, limits.QUADRANTS):
        y = top + quadrant * per * BAND
        parts.append(f'<line class="rule" x1="0" y1="{y}" x2="{width - 60}" y2="{y}"/>')
    parts.append(
        f'<text class="small" x="{left}" y="{height - 6}">time, one column per layer → '
        f"each band: offset 0 at its top to {limits.DATA_INSTANCE_BYTES // 1024} KiB at its bottom"
        "</text>"
    )
    return _svg("data", width, height, "Data memories over time", parts)


def weight_figure(graph: Graph, placement: Placement) -> str:
    """Return the weight memory: processors from left to right, kernel words downwards."""
    cell, scale = PICTURE // limits.PROCESSORS, 0.55
    left, top = 52, 34
    full_width, full_height = limits.PROCESSORS * cell, limits.WEIGHT_WORDS * scale
    width, height = left + full_width + 12, top + full_height + 28
    per = limits.PROCESSORS_PER_QUADRANT
    parts = [
        f'<rect class="cell" x="{left}" y="{top}" width="{full_width}" height="{full_height}"/>'
    ]
    for word in range(0, limits.WEIGHT_WORDS + 1, 128):
        y = top + word * scale
        parts.append(
            f'<text class="small end" x="{left - 6}" y="{y + 4}">{word}</text>'
            f'<line class="grid" x1="{left}" y1="{y}" x2="{left + full_width}" y2="{y}"/>'
        )
    for quadrant in range(limits.QUADRANTS):
        x = left + quadrant * per * cell
        parts.append(
            f'<text class="small middle" x="{x + per * cell / 2}" y="{top - 12}">quadrant '
            f"{quadrant}: {quadrant * per}–{quadrant * per + per - 1}</text>"
        )
        if quadrant:
            parts.append(
                f'<line class="rule" x1="{x}" y1="{top - 8}" x2="{x}" y2="{height - 28}"/>'
            )
    count = len(graph.layers)
    for index, (layer, spot) in enumerate(zip(graph.layers, placement.layers, strict=True)):
        for first, last in _runs(bits_of(spot.processors)) if spot.words else ():
            box = (left + first * cell, top + spot.first_word * scale)
            extent = ((last - first + 1) * cell, spot.words * scale)
            title = (
                f"{layer.name}: words {spot.first_word} to {spot.first_word + spot.words - 1} of "
                f"processors {first} to {last}"
            )
            parts.append(_block(box, extent, layer.name, title, layer_colour(index, count)))
    parts.append(
        f'<text class="small" x="{left}" y="{height - 8}">processors 0 to 63 → kernel words of '
        f"{limits.WEIGHT_WORD_BYTES} bytes, 0 at the top to {limits.WEIGHT_WORDS} at the bottom"
        "</text>"
    )
    return _svg("weights", width, height, "Weight memory of the 64 processors", parts)


def figures(compiled: Compiled) -> Mapping[str, str]:
    """Return all pictures by name."""
    graph, placement = compiled.legal, compiled.placement
    return {
        "graph": graph_figure(graph),
        "data": data_figure(graph, placement),
        "weights": weight_figure(graph, placement),
    }


def _svg(name: str, width: float, height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg class="{name}" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" aria-label="{title}">{"".join(parts)}</svg>'
    )


def _edge(start: tuple[float, float], end: tuple[float, float]) -> str:
    """Return an arrow from the bottom of one node to the top of another."""
    x1, y1 = start[0] + NODE_WIDTH / 2, start[1] + NODE_HEIGHT
    x2, y2 = end[0] + NODE_WIDTH / 2, end[1] - 2
    if y2 - y1 < ROW:
        middle = (y1 + y2) / 2
        path = f"M{x1:g} {y1:g}C{x1:g} {middle:g} {x2:g} {middle:g} {x2:g} {y2:g}"
    else:
        # Past other layers: out to the right of both nodes and back.
        side = max(start[0], end[0]) + NODE_WIDTH + 34
        out, into = start[0] + NODE_WIDTH, end[0] + NODE_WIDTH
        a, b = start[1] + NODE_HEIGHT / 2, end[1] + NODE_HEIGHT / 2
        path = f"M{out:g} {a:g}C{side:g} {a:g} {side:g} {a:g} {side:g} {a + 24:g}"
        path += f"V{b - 24:g}C{side:g} {b:g} {side:g} {b:g} {into + 4:g} {b:g}"
        x2, y2 = into + 4, b
        head = f"M{x2 + 6:g} {y2 - 4:g}L{x2 - 2:g} {y2:g}L{x2 + 6:g} {y2 + 4:g}Z"
        return f'<path class="edge" d="{path}"/><path class="head" d="{head}"/>'
    head = f"M{x2 - 4:g} {y2 - 6:g}L{x2:g} {y2 + 2:g}L{x2 + 4:g} {y2 - 6:g}Z"
    return f'<path class="edge" d="{path}"/><path class="head" d="{head}"/>'


def _node(corner: tuple[float, float], about: tuple[str, str, str], colour: str) -> str:
    """Return a box with name, text below it and a remark at its right."""
    (x, y), (name, text, remark) = corner, about
    room = NODE_WIDTH - 32 - LETTER * len(remark)
    return (
        f'<g><rect class="node" x="{x:g}" y="{y:g}" width="{NODE_WIDTH}" height="{NODE_HEIGHT}" '
        f'rx="7"/><rect x="{x:g}" y="{y + 7:g}" width="4" height="{NODE_HEIGHT - 14}" rx="2" '
        f'fill="{colour}"/><text class="name" x="{x + 13:g}" y="{y + 19:g}">'
        f'{_fit(name, 0.75 * room)}</text><text class="tiny end" x="{x + NODE_WIDTH - 10:g}" '
        f'y="{y + 19:g}">{markup(remark)}</text><text class="tiny" x="{x + 13:g}" '
        f'y="{y + 36:g}">{_fit(text, NODE_WIDTH - 20)}</text>'
        f"<title>{markup(name)}: {markup(text)}</title></g>"
    )


def _region(region: Region, count: int, corner: tuple[float, float], column: float) -> str:
    """Return the rectangles of one tensor, one per data memory."""
    left, top = corner
    x = left + (region.begin + 1) * column
    steps = min(region.end, count - 1) - region.begin + 1
    # A band is two units of rim and the rest memory; what is tiny stays visible.
    inner = BAND - 2
    height = max(2, inner * region.words / limits.DATA_INSTANCE_WORDS)
    y = top + 1 + inner * region.start / limits.DATA_INSTANCE_WORDS
    title = (
        f"{region.name}: bytes {4 * region.start} to {4 * (region.start + region.words) - 1} of "
        f"memories {_ranges(region.instances)}"
    )
    colour = layer_colour(region.begin, count)
    boxes = "".join(
        f'<rect x="{x + 1:g}" y="{y + number * BAND:.2f}" width="{steps * column - 2:g}" '
        f'height="{height:.2f}"/>'
        for number in region.instances
    )
    return f'<g fill="{colour}">{boxes}<title>{markup(title)}</title></g>'


def _block(
    corner: tuple[float, float], extent: tuple[float, float], name: str, title: str, colour: str
) -> str:
    """Return a filled rectangle with its name inside, if it has room for it."""
    (x, y), (width, height) = corner, extent
    label = ""
    if height >= 12 and width >= 40:
        label = (
            f'<text class="inside" x="{x + width / 2:g}" y="{y + height / 2 + 4:g}">'
            f"{_fit(name, width - 8)}</text>"
        )
    return (
        f'<g><rect x="{x:g}" y="{y:g}" width="{width:g}" height="{max(height, 1):g}" '
        f'fill="{colour}" class="block"/>{label}<title>{markup(title)}</title></g>'
    )


def _fit(text: str, room: float) -> str:
    """Return escaped text; what does not fit the room loses its middle, as ends tell more."""
    most = max(3, int(room / LETTER))
    if len(text) > most:
        tail = most // 2
        text = f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"
    return markup(text)


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Return (first, last) of every run of consecutive numbers."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def _ranges(numbers: Sequence[int]) -> str:
    return ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in _runs(numbers))
