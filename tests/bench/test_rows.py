"""What the rows of ``make bench`` say, without measuring anything."""

from __future__ import annotations

from tests.bench import kit_answers, official_time


def test_a_compilation_beside_its_peer() -> None:
    line = official_time.verdict("x", [0.3, 0.2, 0.4], [5.0, 4.0, 6.0])
    assert line.endswith("ai8x-synthesis 5.00 s (4.00 to 6.00): 0.060 of it, target 0.07: met")
    assert official_time.verdict("x", [0.4], [5.0]).endswith("MISSED")
    assert "no peer" in official_time.verdict("x", [0.3], [])


def test_answers_of_two_kits() -> None:
    kits = [
        {"cpu": [0.05] * 20, "wall": [0.1] * 20, "right": 21, "asked": 21},
        {"cpu": [0.07] * 20, "wall": [0.1] * 20, "right": 20, "asked": 21},
    ]
    median, line = kit_answers.summary(kits)
    assert round(median, 3) == 60.0
    assert line.startswith("20.0 answers/s of wall time; processor time 60 ms each (50 to 70")
    assert "33.3/s on 2 cores; 41 of 42 different pictures" in line


def test_pictures_differ_and_come_again_with_the_same_seed() -> None:
    def some(seed: int) -> list[bytes]:
        pictures = kit_answers.different_pictures((3, 32, 32), seed)
        return [next(pictures).tobytes() for _ in range(20)]

    assert len(set(some(0))) == 20
    assert some(0) == some(0)
    assert some(0) != some(1)
