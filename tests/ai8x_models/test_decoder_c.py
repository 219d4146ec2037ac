"""The C pose decoder against its Python twin, and the twin against floating point."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ai8x_models import decode_fixed as twin
from ai8x_models import decoder_tables, peaks_fixed
from ai8x_models.codec import encode
from ai8x_models.decode_fixed import FixedSettings, decode_fixed
from ai8x_models.skeleton import LIMBS
from tests.bench import decoder_cycles
from tests.helpers import decoder_cases
from tests.helpers.decoder_cases import (
    Case,
    check,
    crowd,
    quantised,
    random_case,
    request,
    run_decoder,
)


def test_the_committed_tables_are_current(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert decoder_tables.main(["--check"]) == 0
    stale = tmp_path / "pose_tables.h"
    assert decoder_tables.main(["--check", "--output", str(stale)]) == 1
    assert "python -m ai8x_models.decoder_tables" in capsys.readouterr().err
    assert decoder_tables.main(["--output", str(stale)]) == 0
    assert stale.read_text() == decoder_tables.HEADER.read_text()


def test_two_hundred_random_map_sets() -> None:
    cases = [random_case(seed) for seed in range(200)]
    assert check(cases) > 150  # people: the comparison was about something
    assert {case.layout for case in cases} == {"chw", "chip", "spread"}


@pytest.mark.long
@pytest.mark.parametrize("block", range(20))
def test_ten_thousand_random_map_sets(block: int) -> None:
    assert check([random_case(1000 + 500 * block + i) for i in range(500)]) > 300


def people_case(seed: int, wide: bool = True) -> Case:
    rng = np.random.default_rng(seed)
    heat, pafs = encode(crowd(rng, 4))
    unit = 14 if wide else 7
    settings = FixedSettings.of()
    return Case(
        quantised(heat, unit, wide), quantised(pafs, unit, wide), wide, unit, unit, settings
    )


@pytest.mark.parametrize("wide", [True, False])
def test_where_the_maps_lie_makes_no_difference(wide: bool) -> None:
    case = people_case(5, wide)
    answers = run_decoder(
        [request(replace(case, layout=layout)) for layout in ("chw", "chip", "spread")]
    )
    assert answers[0]["count"] > 0
    assert answers[0].tobytes() == answers[1].tobytes() == answers[2].tobytes()


def test_a_scale_is_only_a_scale() -> None:
    case = people_case(6)
    larger = replace(case, heat=case.heat * 8, pafs=case.pafs * 8, heat_unit=17, paf_unit=17)
    first, second = run_decoder([request(case), request(larger)])
    assert first["count"] > 1
    assert first.tobytes() == second.tobytes()


def test_more_peaks_than_there_is_room_for() -> None:
    rng = np.random.default_rng(1)
    heat = np.zeros((19, 16, 16), np.int32)
    heat[:, ::2, ::2] = rng.integers(5000, 16000, (19, 8, 8))  # 64 peaks in the first channel,
    heat[1:, 2:] = heat[1:, :, 14:] = 0  # 7 in the others: not too many pairs
    pafs = np.full((38, 16, 16), 9000, np.int32)
    settings = replace(FixedSettings.of(), min_keypoints=1, min_score=0)
    case = Case(heat, pafs, True, 14, 14, settings)
    assert check([case]) == 8
    found = peaks_fixed.find_peaks(heat.astype(np.int64), 14, settings.peak)[0]
    assert len(found.value) == peaks_fixed.MAX_PEAKS
    strongest = np.sort(heat[0][heat[0] > 0])[-peaks_fixed.MAX_PEAKS :]
    assert sorted(found.value // 2) == strongest.tolist()


def full(seed: int, pafs: int) -> Case:
    """Bytes as the chip has them: more peaks than there is room for, one field everywhere."""
    rng = np.random.default_rng(seed)
    heat = rng.integers(20, 60, (19, 32, 32))
    heat[:, ::2, ::2] = rng.integers(60, 128, (19, 16, 16))
    fields = np.full((38, 32, 32), pafs)
    settings = replace(FixedSettings.of(), min_score=0)
    return Case(heat, fields, False, 7, 7, settings, "chip")


def test_of_too_many_pairs_those_of_the_strongest_peaks_are_looked_at() -> None:
    case = full(1, 60)
    assert check([case]) == 8
    found = peaks_fixed.find_peaks(case.heat.astype(np.int64), 7, case.settings.peak)[:18]
    assert {len(peaks.value) for peaks in found} == {8}
    assert len(LIMBS) * 8**2 <= peaks_fixed.MAX_PAIRS < len(LIMBS) * 9**2
    strongest = np.sort(case.heat[0][::2, ::2].ravel())[-8:]
    assert sorted(found[0].value >> 8) == strongest.tolist()


def test_looks_end_where_they_are_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    heat, pafs = (quantised(maps, 7, False) for maps in decoder_cycles.worst())
    case = Case(heat, pafs, False, 7, 7, FixedSettings.of(), "chip")
    assert check([case]) == 8
    bounded = [person.points.tolist() for person in case.expected()]
    monkeypatch.setattr(twin, "MAX_LOOKS", 10**6)
    assert bounded != [person.points.tolist() for person in case.expected()]


def test_bytes_are_sampled_in_place_up_to_the_last_row_and_column() -> None:
    """Where the bytes of a map lie decides how its fields are read, not what is found."""
    cases = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        heat, pafs = encode(crowd(rng, 6, 256), size=256)
        heat[:, 31, ::5] = heat[:, ::5, 31] = 0.9
        pafs += rng.normal(0, 0.1, pafs.shape)
        case = Case(
            quantised(heat, 7, False),
            quantised(pafs, 7, False),
            False, 7, 7, replace(FixedSettings.of(), min_score=0), "chip",
        )  # fmt: skip
        cases += [case, replace(case, layout="chw")]
    assert check(cases) > 200


@pytest.mark.parametrize(
    ("position", "value", "status"),
    [
        (0, 1, 1),
        (0, 33, 1),
        (1, 0, 1),
        (1, 2**32 - 1, 1),
        (2, 2**18, 3),
        (3, 2**18, 3),
        (4, 2**30, 3),
        (5, 2**20, 3),
        (6, 0, 3),
        (6, 11, 3),
        (7, 0, 3),
        (7, 19, 3),
        (8, 0, 3),
        (8, 9, 3),
        (9, 0, 3),
        (9, 65, 3),
        (11, 25, 2),
        (12, 66, 2),
        (13, 2, 2),
        (16, 1, 2),
    ],
)
def test_unusable_requests_are_refused(position: int, value: int, status: int) -> None:
    words = np.frombuffer(request(people_case(1)), "<u4").copy()
    words[position] = value
    (answer,) = run_decoder([words.tobytes()])
    assert answer["status"] == status
    assert answer["count"] == 0


def test_the_twin_refuses_what_c_refuses() -> None:
    case = people_case(2)
    with pytest.raises(ValueError, match="unit 25"):
        decode_fixed(case.heat, case.pafs, 25, 14)
    with pytest.raises(ValueError, match="2 to 32 a side"):
        decode_fixed(np.zeros((19, 33, 4), int), np.zeros((38, 33, 4), int), 14, 14)
    with pytest.raises(ValueError, match="integers"):
        decode_fixed(case.heat.astype(float), case.pafs, 14, 14)
    with pytest.raises(ValueError, match="differ in size"):
        decode_fixed(case.heat, case.pafs[:, :8], 14, 14)
    with pytest.raises(ValueError, match="agreeing 11"):
        replace(FixedSettings.of(), agreeing=11)


def test_logarithm_and_inverse_root_are_what_they_are_called() -> None:
    values = np.unique(np.geomspace(1, 2**31 - 1, 20000).astype(np.int64))
    assert np.abs(peaks_fixed.log2_q20(values) / 2**20 - np.log2(values)).max() < 2**-18
    values = np.unique(np.geomspace(2**28, 2**31 - 1, 50000).astype(np.int64))
    error = twin.inverse_root(values) * np.sqrt(values) / 2**30 - 1
    assert -1.2e-4 < error.min() < error.max() <= 0


def test_memory_is_as_stated() -> None:
    text = (decoder_cases.DECODER / "pose_decoder.h").read_text()
    assert f"sizeof: {decoder_cases.RESULT.itemsize - 4} bytes" in text
