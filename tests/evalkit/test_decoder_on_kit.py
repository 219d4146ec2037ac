"""The pose decoder as the Cortex-M4 runs it, DSP instructions included, against its twin."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from ai8x_models.decode_fixed import FixedPerson, FixedSettings, decode_fixed
from tests.bench.decoder_cycles import AT_MOST_MS, CLOCK_MHZ, group_photo, measure
from tests.helpers.decoder_cases import PERSON, quantised


def image_of(people: list[FixedPerson]) -> bytes:
    """The bytes of ``pose_person_t`` for each of them."""
    records = np.zeros(len(people), PERSON)
    for record, person in zip(records, people, strict=True):
        record["points"] = person.points.astype(np.uint16).view(np.int16)
        record["score"] = person.score
        record["count"] = np.count_nonzero(person.points[:, 2])
    return records.tobytes()


@pytest.mark.parametrize(
    ("unit", "wide", "stride"), [(14, True, 8), (11, True, 8), (7, False, 8), (7, False, 4)]
)
def test_the_board_finds_the_same_people(unit: int, wide: bool, stride: int) -> None:
    pytest.importorskip("unicorn", reason="the kit extra is not installed")
    maps = [
        group_photo(people, noise, 0, stride, stride - 0.5)
        for people, noise in ((4, 0.02), (1, 0.0), (6, 0.12))
    ]
    answers = measure(maps, unit, wide)
    settings = FixedSettings.of(stride=stride)
    assert len(answers) == len(maps)
    for (heat, pafs), (found, _, crc) in zip(maps, answers, strict=True):
        want = decode_fixed(
            quantised(heat, unit, wide), quantised(pafs, unit, wide), unit, unit, settings
        )
        assert found == len(want)
        assert crc == zlib.crc32(image_of(want))
    assert answers[0][1] <= AT_MOST_MS * 1000 * CLOCK_MHZ
    assert answers[0][0] == 4
