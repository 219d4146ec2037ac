"""What the benchmark of following says of energy, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from distill.people.film import SIDE
from synthesize.chip import energy, limits
from tests.bench.follow_stages import SECOND, crowds, energy_lines, main, pictures
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
    [
        (["dance"], "there is no film 'dance'"),
        (["--pictures", "3"], "ask for 4 or more"),
        (["--photographs", "nowhere.json"], "no annotations nowhere.json"),
    ],
)
def test_films_and_counts_that_make_no_sense(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_photographs_with_the_most_people_come_first_in_turn_with_the_films(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name, grey in (("few.png", 50), ("many.png", 200)):
        Image.new("RGB", (64, 40), (grey, grey, grey)).save(tmp_path / "images" / name)
    images = [{"id": 1, "file_name": "few.png"}, {"id": 2, "file_name": "many.png"}]
    people = [{"image_id": number} for number in (1, 2, 2)]
    annotations = tmp_path / "people.json"
    annotations.write_text(json.dumps({"images": images, "annotations": people}))
    photographs = crowds(annotations)
    assert [path.name for path in photographs] == ["many.png", "few.png"]
    seen = pictures(["stand"], SECOND + 2, photographs)
    assert len(seen) == SECOND + 2
    assert all(np.array_equal(one, np.full((SIDE, SIDE, 3), 200)) for one in seen[:SECOND])
    assert not any(np.array_equal(one, seen[0]) for one in seen[SECOND:])
