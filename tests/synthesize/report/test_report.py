"""The report page: well-formed, self-contained, and its numbers are those of the program."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser

import pytest

from ai8x_models.students import SPECS
from common.errors import UserError
from synthesize.chip import energy, limits
from synthesize.compiler import Compiled, build_program, place_automatically
from synthesize.graph.ir import INPUT
from synthesize.place.bits import graph_of, with_bits
from synthesize.place.regions import tensor_regions
from synthesize.report.advice import advice
from synthesize.report.page import page, write_report
from synthesize.report.table import data_bytes

VOID = {"meta", "br", "img", "link", "input", "hr"}
NARROW = ("conv4", "conv5", "conv6", "conv7", "conv8", "cpm2", "cpm3")


class Page(HTMLParser):
    """Collects tables, titles and shapes; complains about tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.titles: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag == "title":
            self.titles.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.text += data
        if "td" in self.open or "th" in self.open:
            self.tables[-1][-1][-1] += data
        if self.open and self.open[-1] == "title":
            self.titles[-1] += data


def compiled_student(name: str = "seed", warnings: tuple[str, ...] = ()) -> Compiled:
    described = graph_of(name, SPECS["seed"].describe())
    bits = {layer.name: 4 if layer.name in NARROW else 8 for layer in described.layers}
    described = with_bits(described, bits)
    legal, placement = place_automatically(described)
    program = build_program(legal, placement)
    return Compiled(described, legal, placement, program, warnings)


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    return compiled_student(warnings=("look at <this>",))


@pytest.fixture(scope="module")
def parsed(compiled: Compiled) -> Page:
    return Page(page(compiled))


def test_nothing_is_loaded_from_elsewhere(compiled: Compiled, parsed: Page) -> None:
    for tag, attributes in parsed.tags:
        assert tag not in ("script", "link", "img", "iframe", "object", "use", "image"), tag
        assert not {"src", "href", "xlink:href"} & set(attributes), tag
    assert not re.search(r"https?:|@import|url\(", page(compiled))


def test_cycles_of_every_layer_and_the_total(compiled: Compiled, parsed: Page) -> None:
    rows = parsed.tables[0][1:]
    program = compiled.program
    assert [(row[0], row[2]) for row in rows[:-1]] == [
        (layer.name, f"{layer.cycles:,}") for layer in program.layers
    ]
    assert rows[-1][2] == f"{program.cycles:,}"
    shares = [float(row[4].removesuffix(" %")) for row in rows[:-1]]
    assert sum(shares) == pytest.approx(100, abs=1)


def test_bars_show_cycles_and_the_arithmetic_limit(compiled: Compiled, parsed: Page) -> None:
    bars = [a["style"] or "" for t, a in parsed.tags if t in ("i", "b") and "style" in a]
    bars = [style for style in bars if "background" in style]
    most = max(layer.cycles for layer in compiled.program.layers)
    widths = [float(re.match(r"width:([\d.]+)%", style).group(1)) for style in bars]
    for layer, actual, least in zip(
        compiled.program.layers, widths[::2], widths[1::2], strict=True
    ):
        assert actual == pytest.approx(100 * layer.cycles / most, abs=0.01)
        assert least == pytest.approx(100 * layer.macs / 576 / most, abs=0.01)
        assert least <= actual


def test_layer_table(compiled: Compiled, parsed: Page) -> None:
    head, *rows = parsed.tables[1]
    for row, layer in zip(rows, compiled.program.layers, strict=True):
        cells = dict(zip(head, row, strict=True))
        last = layer.first_word + layer.words_per_processor - 1
        assert cells["Layer"] == layer.name
        assert cells["Bits"] == str(layer.bits)
        assert cells["Weights, B"] == f"{layer.weight_bytes:,}"
        assert cells["Kernel words"] == f"{layer.first_word}–{last}"
        assert cells["Passes"] == str(layer.passes)
        assert int(cells["Offset out"], 16) == layer.out_offset


def test_totals_stand_beside_their_limits(compiled: Compiled, parsed: Page) -> None:
    program = compiled.program
    for used, limit in (
        (program.weight_bytes, limits.WEIGHT_BYTES),
        (program.bias_bytes, limits.BIAS_BYTES),
        (data_bytes(compiled), limits.DATA_BYTES),
    ):
        assert f"{used:,} bytes" in parsed.text
        assert f"of {limit:,} bytes · {100 * used / limit:.1f}\N{NO-BREAK SPACE}%" in parsed.text


def test_every_weight_block_lies_where_the_placement_says(compiled: Compiled, parsed: Page) -> None:
    for layer, spot in zip(compiled.legal.layers, compiled.placement.layers, strict=True):
        last = spot.first_word + spot.words - 1
        title = f"{layer.name}: words {spot.first_word} to {last} of processors "
        assert any(t.startswith(title) for t in parsed.titles), title


def test_data_regions_follow_liveness(compiled: Compiled, parsed: Page) -> None:
    graph = compiled.legal
    regions = {region.name: region for region in tensor_regions(graph, compiled.placement)}
    assert set(regions) == {INPUT, *(layer.name for layer in graph.layers)}
    assert regions[INPUT].words == 64 * 64
    assert regions["conv1"].end == graph.index("conv2")
    outputs = {out.layer for out in graph.outputs}
    for name, region in regions.items():
        assert (region.end == len(graph.layers)) == (name in outputs)
        first = f"{name}: bytes {4 * region.start} to "
        assert any(title.startswith(first) for title in parsed.titles)


def test_energy_is_called_an_estimate_and_names_its_source(parsed: Page) -> None:
    assert "Energy: an estimate" in parsed.text
    assert energy.SOURCE in parsed.text
    assert "This is not measured" in parsed.text


def test_energy_of_the_measured_network_is_the_measurement() -> None:
    cycles = round(limits.CNN_CLOCK_HZ / energy.MEASURED_PER_SECOND)
    low, high = energy.estimate(cycles, round(cycles * energy.MEASURED_MACS_PER_CYCLE))
    assert low == pytest.approx(196e-6, rel=1e-4)
    assert high == pytest.approx(196e-6, rel=1e-4)


def test_advice_names_idle_processors_and_passes(compiled: Compiled) -> None:
    entries = {name: e.sentence for e in advice(compiled) for name in e.layers}
    first = entries["conv1"]  # reads the picture, whose channels nobody can add to
    assert "12 input channels are what the picture has and use 12 of 64 processors" in first
    assert "would take no longer" not in first
    assert "2 passes of 48 processors" in entries["conv7"]
    idle = 1 - 48 / 64
    assert f"{100 * idle:.0f}" in entries["conv7"]
    shares = [entry.share for entry in advice(compiled)]
    assert shares == sorted(shares, reverse=True)


def test_text_of_the_user_is_escaped(parsed: Page) -> None:
    assert "look at <this>" in parsed.text
    hostile = compiled_student("<script>alert(1)</script>")
    assert "<script" not in page(hostile)


def test_the_file_is_replaced_as_a_whole(compiled: Compiled, tmp_path) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")
    assert write_report(compiled, target) == target
    assert target.read_text(encoding="utf-8") == page(compiled)
    assert list(tmp_path.iterdir()) == [target]
    with pytest.raises(UserError, match="cannot write"):
        write_report(compiled, target / "report.html")
    renamed = dataclasses.replace(compiled, warnings=())
    assert page(renamed) != page(compiled)
