"""What the benchmark of following says of energy, and what it refuses."""

from __future__ import annotations

import pytest

from synthesize.chip import energy, limits
from tests.bench.follow_stages import energy_lines, main
from tests.helpers.live_board import shipped


def test_energy_of_an_hour_is_that_of_its_pictures() -> None:
    network = 0.02196
    lines = energy_lines(0.04, network, 0.5)
    inference = energy.estimate(round(network * limits.CNN_CLOCK_HZ), shipped().program.macs)
    joules = energy.drain(inference, 0.04, 0.5).joules
    (hour,) = (line.split() for line in lines if line.startswith("an hour"))
    assert float(hour[2]) == pytest.approx(joules[0] * 3600 / 0.04, abs=0.01)
    assert float(hour[4]) == pytest.approx(joules[1] * 3600 / 0.04, abs=0.01)


@pytest.mark.parametrize(
    ("words", "message"),
    [(["dance"], "there is no film 'dance'"), (["--pictures", "3"], "ask for 4 or more")],
)
def test_films_and_counts_that_make_no_sense(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
