"""The cycle model against the times that real chips took."""

from __future__ import annotations

import pytest

from synthesize.chip import energy, measured
from synthesize.chip.cycles import (
    GENERATOR_STREAMING,
    STARTUP_CYCLES,
    LayerGeometry,
    layer_cycles,
)
from synthesize.chip.measured import MEASURED
from tests.helpers.places import REPOSITORY

BY_NAME = {entry.network: entry for entry in MEASURED}


@pytest.mark.parametrize("entry", [e for e in MEASURED if not e.streaming_cycles],
                         ids=lambda entry: entry.network)  # fmt: skip
def test_layers_that_do_not_stream_are_exact(entry: measured.Measurement) -> None:
    """Published times are whole microseconds, and the overhead varies by half of one."""
    assert entry.modelled() == pytest.approx(entry.microseconds, abs=0.6)


@pytest.mark.parametrize("name", ["cats-dogs", "faceid"])
def test_streaming_is_within_two_percent(name: str) -> None:
    entry = BY_NAME[name]
    assert entry.modelled() == pytest.approx(entry.microseconds, rel=0.02)
    assert entry.modelled(GENERATOR_STREAMING) > 1.2 * entry.microseconds


CHAINS = {
    # input channels, rows and columns after pooling, pooling, outputs, streaming
    "cats-dogs": [
        (3, 128, 128, 1, 16, True), (16, 64, 64, 2, 32, True), (32, 32, 32, 2, 64, False),
        (64, 16, 16, 2, 32, False), (32, 8, 8, 2, 32, False), (32, 8, 8, 1, 16, False),
    ],
    "faceid": [
        (3, 160, 120, 1, 16, True), (16, 80, 60, 2, 32, True), (32, 40, 30, 2, 32, False),
        (32, 20, 15, 2, 64, False), (64, 10, 7, 2, 64, False), (64, 10, 7, 1, 64, False),
        (64, 10, 7, 1, 64, False),
    ],
}  # fmt: skip
TAILS = {
    # 2 outputs of 16x8x8 flattened; 64 -> 512 (1x1 kernel, pooling) and average pooling of it
    "cats-dogs": [
        LayerGeometry(
            kernel=(1, 1), pad=(0, 0), pooled=(8, 8), pool=(1, 1), passes=1, outputs=2,
            output_columns=8, flatten_long=True,
        )
    ],
    "faceid": [
        LayerGeometry(
            kernel=(1, 1), pad=(0, 0), pooled=(5, 3), pool=(2, 2), passes=1, outputs=512,
            output_columns=3,
        ),
        LayerGeometry(
            kernel=(1, 1), pad=(0, 0), pooled=(1, 1), pool=(5, 3), passes=8, outputs=512,
            output_columns=1, passthrough=True, time_slots=4, expansions=8,
        ),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", CHAINS)
def test_the_table_holds_what_the_model_says(name: str) -> None:
    plain, streaming = STARTUP_CYCLES, 0
    for channels, rows, columns, pool, outputs, streams in CHAINS[name]:
        geometry = LayerGeometry(
            kernel=(3, 3), pad=(1, 1), pooled=(rows, columns), pool=(pool, pool),
            passes=-(-channels // 64), outputs=outputs, output_columns=columns,
        )  # fmt: skip
        plain += 0 if streams else layer_cycles(geometry)
        streaming += layer_cycles(geometry) if streams else 0
    plain += sum(layer_cycles(tail) for tail in TAILS[name])
    assert (plain, streaming) == (BY_NAME[name].plain_cycles, BY_NAME[name].streaming_cycles)


def test_the_page_is_up_to_date() -> None:
    assert (REPOSITORY / "docs/measured.md").read_text() == measured.documentation()


def test_the_energy_that_reports_scale_is_a_published_one() -> None:
    published = {entry.microjoules: entry for entry in measured.ENERGIES}
    scaled = published[round(energy.MEASURED_JOULES * 1e6)]
    assert "arXiv:2306.00001" in scaled.source
    assert "arXiv:2306.00001" in energy.SOURCE
    assert all(entry.source for entry in measured.ENERGIES)


def test_what_a_board_draws_is_network_and_processor() -> None:
    """Against a calculation by hand: 1 mJ and 2 mJ, 40 ms, awake a quarter of the time."""
    drain = energy.drain((1e-3, 2e-3), 0.04, 0.25)
    processor = 22.2e-6 * 100 * 3.0  # amperes for each MHz
    assert drain.joules == pytest.approx((1e-3 + processor * 0.01, 2e-3 + processor * 0.04))
    assert drain.watts == pytest.approx((0.025 + processor / 4, 0.05 + processor))
    assert drain.milliampere_hours[1] == pytest.approx(1000 * (0.05 + processor) / 3.7)
