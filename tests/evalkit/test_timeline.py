"""The timeline begins where the network runs, and knows its layers by name."""

from __future__ import annotations

import json
from pathlib import Path

from evalkit.hardware.scheduler import SECOND
from evalkit.hardware.spans import Span
from evalkit.timeline import last_inference, layer_names

MILLI = SECOND // 1000


def test_the_last_inference_and_what_is_beside_it() -> None:
    layers = [
        Span("layer 0", 10 * MILLI, 12 * MILLI), Span("layer 1", 12 * MILLI, 20 * MILLI),
        Span("layer 0", 110 * MILLI, 112 * MILLI), Span("layer 1", 112 * MILLI, 130 * MILLI),
    ]  # fmt: skip
    assert last_inference([("layers", layers)], 5000 * MILLI) == (102 * MILLI, 138 * MILLI)
    assert last_inference([("layers", layers[:2])], 21 * MILLI) == (6 * MILLI, 21 * MILLI)
    assert last_inference([("bus", layers)], 5000 * MILLI) == (0, 5000 * MILLI)


def test_names_come_from_the_report_beside_the_firmware(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"layers": [{"name": "conv1"}, {"name": "pose"}]}))
    assert layer_names(report) == {"layer 0": "conv1", "layer 1": "pose"}
    for other in ("no json", "[]", '{"layers": [1]}'):
        report.write_text(other)
        assert layer_names(report) == {}
    assert layer_names(tmp_path / "missing.json") == {}
