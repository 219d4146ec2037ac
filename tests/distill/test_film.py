"""Films of drawn people and what is measured on them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from distill.people import film as films
from distill.people.film import SCRIPTS, Actor, Script, crossing, film, write_film
from distill.tasks.pose.evaluation import followed as command
from distill.tasks.pose.evaluation.followed import Score, chain, judge, perfect

SHORT = Script(1.0, (Actor(1, ((0, 0.3, 0.7, 0.4), (1, 0.5, 0.7, 0.4))),))


def test_the_same_script_gives_the_same_film() -> None:
    first, second = (list(film(SHORT, side=96, rate=4)) for _ in range(2))
    assert len(first) == 4
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(one.pixels, other.pixels)
        assert np.array_equal(one.people[0], other.people[0])


def test_people_go_where_the_script_says() -> None:
    frames = list(film(SHORT, side=200, rate=10))
    hips = [frame.people[0][[8, 11], :2].mean(axis=0) for frame in frames]
    assert hips[0][0] == pytest.approx(0.3 * 200, abs=3)
    assert hips[-1][0] == pytest.approx((0.3 + 0.2 * 0.9) * 200, abs=3)
    ankles = frames[0].people[0][[10, 13], 1].mean()
    assert ankles == pytest.approx(0.7 * 200, abs=6)


def test_people_leave_and_hide_each_other() -> None:
    leave = [frame.people for frame in film(SCRIPTS["leave"], side=96, rate=2)]
    assert set(leave[0]) == {0, 1}
    assert set(leave[-1]) == {1}
    cross = [frame.people for frame in film(SCRIPTS["cross"], side=96, rate=2)]
    hidden = [(points[:, 2] == 1).sum() for people in cross for points in people.values()]
    assert max(hidden) >= 6


def test_a_video_and_its_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCRIPTS, "walk", Script(0.2, SHORT.actors))
    video = tmp_path / "new" / "walk.avi"
    assert films.main(["walk", str(video)]) == 0
    frames = json.loads((video.parent / "walk.avi.json").read_text())["frames"]
    capture = cv2.VideoCapture(str(video))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == len(frames) == 6
    assert len(frames[0]["0"]) == 18
    assert sorted(path.name for path in video.parent.iterdir()) == ["walk.avi", "walk.avi.json"]


def test_an_unknown_kind_of_video(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    assert films.main(["walk", str(tmp_path / "walk.nothing")]) == 2
    assert "name a file that ends in .mp4" in capfd.readouterr().err
    assert not list(tmp_path.iterdir())
    assert films.main(["walk", str(tmp_path)]) == 2
    assert "name a file" in capfd.readouterr().err
    assert films.main(["unknown", "x.mp4"]) == 2
    assert "invalid choice" in capfd.readouterr().err


def test_names_at_which_opencv_crashes_or_waits(
    tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    for name, said in (("\udcff.mp4", "is no UTF-8"), ("pipe.mp4", "is no ordinary file")):
        assert films.main(["walk", str(tmp_path / name)]) == 2
        assert said in capfd.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["pipe.mp4"]


@pytest.mark.parametrize("place", ["file.txt/x.mp4", "/proc/x.mp4"])
def test_a_place_where_nothing_can_be_written(
    tmp_path: Path, capfd: pytest.CaptureFixture, place: str
) -> None:
    (tmp_path / "file.txt").write_text("kept")
    assert films.main(["walk", str(tmp_path / place)]) == 2
    assert len(capfd.readouterr().err.splitlines()) == 1
    assert (tmp_path / "file.txt").read_text() == "kept"


def test_a_film_leaves_other_files_of_its_name_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SCRIPTS, "walk", Script(0.1, SHORT.actors))
    (tmp_path / "a.json").write_text("mine")
    for name in ("a.avi", "a.mp4"):
        assert films.main(["walk", str(tmp_path / name)]) == 0
        assert json.loads((tmp_path / f"{name}.json").read_text())["frames"]
    assert (tmp_path / "a.json").read_text() == "mine"


def seen_whole_and_followed(height: float) -> tuple[Score, Score]:
    """Somebody who hardly moves, before a perfect network: what the chain is worth."""
    ways = ((0, 0.45, 0.5, height), (2, 0.45, 0.5, height))
    frames = list(film(Script(1.5, (Actor(6, ways, 0.0),))))
    truth = [frame.people for frame in frames]
    whole, followed = (judge(truth, chain(frames, perfect(), follow)) for follow in (False, True))
    return whole, followed


def test_following_trembles_less_and_loses_hardly_a_point() -> None:
    """At 15 % of the picture the perfect network finds 773 of 774 points by itself."""
    whole, followed = seen_whole_and_followed(0.15)
    assert followed.right > 0.95 * whole.right
    assert np.mean(followed.tremble) < 0.5 * np.mean(whole.tremble)
    assert followed.switches == 0


def test_following_finds_a_fifth_more_of_somebody_small() -> None:
    whole, followed = seen_whole_and_followed(0.07)
    assert followed.right > 1.2 * whole.right
    assert np.mean(followed.tremble) < 0.5 * np.mean(whole.tremble)


def test_other_people_cross_on_other_ways() -> None:
    assert crossing(0) == SCRIPTS["cross"]
    assert crossing(1) == crossing(1) != crossing(2)
    assert [len(crossing(seed).actors) for seed in range(3)] == [4] * 3


def test_films_by_number(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """One to a number, or from one to another; of several the sum is told, too."""
    monkeypatch.setattr(command, "film", lambda script, seed: iter([]))
    assert command.main(["--crossings", "41-42"]) == 0
    named = [line.split(", ")[0] for line in capfd.readouterr().out.splitlines()]
    assert named == ["crossing 41"] * 2 + ["crossing 42"] * 2 + ["all"] * 2
    assert command.main(["--crossings", "1"]) == 0
    assert len(capfd.readouterr().out.splitlines()) == 2
    for wrong in ("0", "42-41", "-3", "a", "3-", "1000000"):
        assert command.main([f"--crossings={wrong}"]) == 2
        assert "not a number from 1 to 999999" in capfd.readouterr().err


def test_writing_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(films, "film", lambda script: iter([None]))
    with pytest.raises(AttributeError):
        write_film(SHORT, tmp_path / "walk.avi")
    assert not list(tmp_path.iterdir())
