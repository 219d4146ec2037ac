"""The timeline begins where the network runs, and knows its layers by name."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from evalkit.hardware.scheduler import SECOND
from evalkit.hardware.spans import Recorder, Span
from evalkit.timeline import last_inference, layer_names, write_timeline
from tests.helpers.browser import browser

MILLI = SECOND // 1000


def test_the_last_inference_and_what_is_beside_it() -> None:
    layers = [
        Span("layer 0", 10 * MILLI, 12 * MILLI), Span("layer 1", 12 * MILLI, 20 * MILLI),
        Span("layer 0", 110 * MILLI, 112 * MILLI), Span("layer 1", 112 * MILLI, 130 * MILLI),
    ]  # fmt: skip
    assert last_inference([("layers", layers)], 5000 * MILLI) == (106 * MILLI, 134 * MILLI)
    assert last_inference([("layers", layers[:2])], 21 * MILLI) == (8 * MILLI, 21 * MILLI)
    assert last_inference([("bus", layers)], 5000 * MILLI) == (0, 5000 * MILLI)


def test_decoding_is_looked_at_with_the_layers_before_it() -> None:
    layers = [Span("layer 0", 10 * MILLI, 30 * MILLI)]
    processor = [Span("asleep", 10 * MILLI, 30 * MILLI), Span("decode", 40 * MILLI, 42 * MILLI)]
    rows = [("layers", layers), ("processor", processor)]
    assert last_inference(rows, 900 * MILLI) == (6 * MILLI, 46 * MILLI)
    late = [("layers", layers), ("processor", [Span("decode", 800 * MILLI, 801 * MILLI)])]
    assert last_inference(late, 900 * MILLI) == (6 * MILLI, 34 * MILLI)


def test_names_come_from_the_report_beside_the_firmware(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"layers": [{"name": "conv1"}, {"name": "pose"}]}))
    assert layer_names(report) == {"layer 0": "conv1", "layer 1": "pose"}
    for other in ("no json", "[]", '{"layers": [1]}'):
        report.write_text(other)
        assert layer_names(report) == {}
    assert layer_names(tmp_path / "missing.json") == {}


MARKS = (
    "[...document.querySelectorAll('.mark')].map(m => m.getBoundingClientRect())"
    ".sort((a, b) => a.x - b.x).filter((m, i, all) => i && all[i - 1].right > m.left).length"
)


@pytest.mark.parametrize("width", [390, 1185])
def test_the_page_names_layers_and_decoding_and_its_marks_do_not_overlap(
    width: int, tmp_path: Path
) -> None:
    recorder = Recorder()
    at = 80 * MILLI
    for number in range(12):
        recorder.add("layers", f"layer {number}", at, at + 2 * MILLI)
        at += 2 * MILLI
    recorder.add("processor", "decode", at + 10 * MILLI, at + 12 * MILLI)
    recorder.add("UART0", "send", at, 5000 * MILLI)
    machine = SimpleNamespace(
        accelerator=SimpleNamespace(flush=lambda: None, cnn=SimpleNamespace(inferences=1)),
        recorder=recorder, firmware=SimpleNamespace(path=str(tmp_path / "f.elf")),
        now=5 * SECOND, cycles=1,
    )  # fmt: skip
    names = [{"name": f"conv{number}"} for number in range(12)]
    (tmp_path / "report.json").write_text(json.dumps({"layers": names}))
    write_timeline(machine, tmp_path / "t.html")  # type: ignore[arg-type]
    with browser((width, 600)) as window:
        window.open((tmp_path / "t.html").as_uri())
        shown = window.evaluate("document.getElementById('view').textContent")
        assert "decode" in shown
        assert "conv3" in shown
        assert window.evaluate("document.querySelectorAll('.mark').length") >= 2
        assert window.evaluate(MARKS) == 0
        assert window.evaluate("document.documentElement.scrollWidth") <= width
