"""``pose78 predict`` and ``pose78.load``: what a newcomer does first."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import pose78
from ai8x_models.preprocess import prepare, read_picture
from common.errors import UserError
from pose78 import drawings, sources
from pose78.__main__ import main
from pose78.estimator import Model
from pose78.results import drawn_names
from pose78.sources import find
from synthesize.graph import reference
from synthesize.read import checkpoint, student

PEOPLE = Path(__file__).resolve().parents[2] / "docs" / "images" / "people.png"


def film(path: Path, frames: int, size: tuple[int, int] | None = None) -> None:
    """A video of people who stand still, ten pictures a second."""
    pixels = cv2.imread(str(PEOPLE))
    assert pixels is not None
    if size is not None:
        pixels = cv2.resize(pixels, size)
    code = "mp4v" if path.suffix == ".mp4" else "MJPG"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), 10, pixels.shape[1::-1])
    for _ in range(frames):
        writer.write(pixels)
    writer.release()


@pytest.fixture(scope="module")
def model() -> Model:
    return pose78.load("native")


def test_people_have_named_points_in_pixels_of_the_picture(model: Model) -> None:
    found = model.predict(PEOPLE)
    height, width = read_picture(PEOPLE).shape[:2]
    assert found
    assert [person.score for person in found] == sorted((p.score for p in found), reverse=True)
    for person in found:
        assert len(person.points) == int((person.keypoints[:, 2] > 0).sum()) >= 3
        for point in person.points.values():
            assert -8 < point.x < width + 8
            assert -8 < point.y < height + 8
            assert point.score > 0
    doubled = np.kron(read_picture(PEOPLE), np.ones((2, 2, 1), np.uint8))
    assert model.predict(doubled)[0].points["neck"].x == pytest.approx(
        2 * found[0].points["neck"].x, abs=4
    )


def test_the_answer_is_that_of_the_described_network(model: Model) -> None:
    graph = student.load(checkpoint.load(pose78.shipped.shipped()["native"]))
    pixels = read_picture(PEOPLE)
    wanted = reference.run(graph, prepare(pixels, model.size).data)
    maps = model.maps(pixels)
    both = np.concatenate([maps.heat, maps.pafs])
    np.testing.assert_array_equal(both, np.concatenate(list(wanted.values())))


def test_a_threshold_drops_the_unsure(model: Model) -> None:
    every = model.predict(PEOPLE, threshold=0.0)
    assert model.predict(PEOPLE, threshold=31.0) == []
    between = (every[0].score + every[-1].score) / 2
    assert 0 < len(model.predict(PEOPLE, threshold=between)) < len(every)
    with pytest.raises(pose78.UserError, match="threshold is 99"):
        model.predict(PEOPLE, threshold=99)


def test_many_pictures_come_in_order(model: Model) -> None:
    blank = np.zeros((40, 40, 3), np.uint8)
    counts = [len(p) for p in model.predict_many([PEOPLE, blank, PEOPLE, blank, blank], threads=3)]
    assert counts == [counts[0], 0, counts[0], 0, 0]
    assert counts[0] > 0


@pytest.mark.parametrize("name", ["grey", "lift"])
def test_a_student_of_another_task_is_refused(name: str) -> None:
    with pytest.raises(pose78.UserError, match="does not look for people in colour pictures"):
        pose78.load(name)


def test_broken_files_are_named_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    shutil.copy(PEOPLE, folder / "000012.png")
    shutil.copy(PEOPLE, folder / "000007.png")
    (folder / "000010.jpg").write_bytes(PEOPLE.read_bytes()[:900])
    (folder / "000011.mp4").write_text("no video")
    (folder / "notes.txt").write_text("not looked at")
    out = tmp_path / "new" / "r.json"
    status = main(["predict", str(folder), "--json", str(out), "--csv", str(tmp_path / "r.csv"),
                   "--save", str(tmp_path / "drawn")])  # fmt: skip
    said = capsys.readouterr()
    assert status == 1
    assert "000010.jpg is no picture" in said.err
    assert "000011.mp4 is no video" in said.err
    assert "; 2 left out; 1 file of other kinds passed over (.txt)" in said.out.splitlines()[-1]
    results = json.loads(out.read_text())
    assert {entry["image_id"] for entry in results} == {7, 12}
    for entry in results:
        assert len(entry["keypoints"]) == 51
        assert 0 < entry["score"] < 2
        confidences = entry["keypoints"][2::3]
        assert any(0 < c < 2 and c != int(c) for c in confidences)
    rows = list(csv.DictReader((tmp_path / "r.csv").read_text().splitlines()))
    points = sum(np.count_nonzero(e["keypoints"][2::3]) for e in results)
    assert len([row for row in rows if row["point"] != "neck"]) == points
    assert sorted(p.name for p in (tmp_path / "drawn").iterdir()) == ["000007.png", "000012.png"]
    assert (read_picture(tmp_path / "drawn" / "000007.png") != read_picture(PEOPLE)).any()


def test_a_video_in_gives_a_video_out(tmp_path: Path) -> None:
    film(tmp_path / "walk.avi", 3)
    assert main(["predict", str(tmp_path / "walk.avi"), "--save", str(tmp_path / "out"),
                 "--json", str(tmp_path / "r.json")]) == 0  # fmt: skip
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["walk.mp4"]
    capture = cv2.VideoCapture(str(tmp_path / "out" / "walk.mp4"))
    frames = 0
    while capture.read()[0]:
        frames += 1
    assert frames == 3
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(10)
    capture.release()
    results = json.loads((tmp_path / "r.json").read_text())
    assert {entry["image_id"] for entry in results} == {1, 2, 3}


@pytest.mark.parametrize("size", [(1, 1), (640, 1)])
def test_a_video_that_cannot_be_drawn_loses_no_results(
    size: tuple[int, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film(tmp_path / "a.avi", 2, size)
    shutil.copy(PEOPLE, tmp_path / "b.png")
    film(tmp_path / "c.avi", 2)
    results = [tmp_path / "r.json", tmp_path / "r.csv"]
    given = ["predict", str(tmp_path), "--json", str(results[0]), "--csv", str(results[1])]
    out = tmp_path / "out"
    assert main([*given, "--save", str(out)]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("not drawn: ")
    assert f"no video of {size[0]} x {size[1]} pixels" in said[0]
    assert sorted(path.name for path in out.iterdir()) == ["b.png", "c.mp4"]
    assert "b.png" in results[0].read_text()
    assert "b.png" in results[1].read_text()
    assert main([*given, "--save", str(out)]) == 1  # as the first time
    assert main(given) == 0


def test_a_picture_that_cannot_be_drawn_loses_no_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise UserError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr("pose78.results.write_file", full)
    given = ["predict", str(PEOPLE), "--save", str(tmp_path / "out"), "--json"]
    assert main([*given, str(tmp_path / "r.json")]) == 1
    assert "people.png: cannot write" in capsys.readouterr().err
    assert json.loads((tmp_path / "r.json").read_text())


@pytest.mark.parametrize("name", ["a.avi", "a.mkv"])
def test_a_video_that_ends_early_is_told_of(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    film(tmp_path / name, 6)
    given = ["predict", str(tmp_path / name), "--save", str(tmp_path / "out")]
    assert main(given) == 0
    assert not capfd.readouterr().err
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) * 6 // 10])
    assert main(given) == 1
    said = capfd.readouterr()
    assert len(said.err.splitlines()) == 1
    assert "of 6 pictures: it is cut off, or damaged" in said.err
    assert "1 left out" in said.out.splitlines()[-1]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.mp4"]


def test_libraries_say_nothing_of_damaged_pictures(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for suffix in (".bmp", ".gif", ".jpg", ".tif"):
        file = tmp_path / f"a{suffix}"
        Image.open(PEOPLE).convert("RGB").save(file)
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    main(["predict", str(tmp_path)])
    assert all(line.startswith("left out: ") for line in capfd.readouterr().err.splitlines()[:-1])


def test_nothing_readable_is_status_2(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("text")
    assert main(["predict", str(tmp_path)]) == 2


def test_globs_and_repeated_names(tmp_path: Path) -> None:
    for name in ("a.png", "b.jpg", "c.txt"):
        (tmp_path / name).touch()
    glob, one = str(tmp_path / "*"), str(tmp_path / "b.jpg")
    found = find([one, glob])
    assert [path.name for path in found.files] == ["b.jpg", "a.png"]
    assert [path.name for path in found.others] == ["c.txt"]
    assert not found.again
    (tmp_path / "nowhere.jpg").symlink_to("gone.jpg")
    with pytest.raises(pose78.UserError, match=r"nowhere\.jpg does not exist"):
        find([str(tmp_path / "nowhere.jpg")])
    with pytest.raises(pose78.UserError, match="does not exist"):
        find([str(tmp_path / "d.png")])
    with pytest.raises(pose78.UserError, match="holds nothing to look at"):
        find([str(tmp_path / "*.txt")])


def test_a_file_with_many_names_is_looked_at_once(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "a.png").touch()
    (tmp_path / "b.png").symlink_to("a.png")
    (inner / "up").symlink_to("..")
    (inner / "c.txt").touch()
    found = find([str(tmp_path / "**"), str(tmp_path)])
    assert [path.name for path in found.files] == ["a.png"]
    assert found.again > 0
    assert found.folders == 1
    assert not found.missing


def test_what_a_folder_holds_beside_files_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(PEOPLE, tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to("a.png")
    (tmp_path / "more.png").mkdir()
    assert main(["predict", str(tmp_path)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert "1 folder in it not looked into; 1 link to files that are looked at already" in last
    (tmp_path / "c.png").symlink_to("gone.png")
    (tmp_path / "d.png").symlink_to("d.png")
    for name in ("e.png", "f.mp4"):
        os.mkfifo(tmp_path / name)
    assert main(["predict", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert "c.png is a link to nothing" in said.err
    assert "d.png is a link to nothing" in said.err
    assert "e.png is no ordinary file (a pipe or a device)" in said.err
    assert "4 left out" in said.out.splitlines()[-1]
    for name in ("e.png", "f.mp4"):
        assert main(["predict", str(tmp_path / name)]) == 2
        assert "is no ordinary file" in capsys.readouterr().err


def test_a_folder_that_cannot_be_listed_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: Path) -> list[Path]:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert main(["predict", str(tmp_path), str(PEOPLE)]) == 1
    assert f"{tmp_path} cannot be read: Permission denied" in capsys.readouterr().err


def test_twenty_thousand_names_are_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = 0

    class Counted(type(tmp_path)):  # type: ignore[misc]
        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str(self) == str(other)

        def __hash__(self) -> int:
            return hash(str(self))

    monkeypatch.setattr(sources, "Path", Counted)
    for number in range(300):
        (tmp_path / f"{number}.{'png' if number % 2 else 'txt'}").touch()
    found = find([str(tmp_path)])
    assert (len(found.files), len(found.others)) == (150, 150)
    assert compared < 3000
    names = drawn_names([Path(f"{number}/a.png") for number in range(20000)])
    assert list(names)[-1] == "a-20000.png"


def test_names_that_are_no_utf8_come_through(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    odd = os.fsdecode(b"bad\xffname")
    try:
        shutil.copy(PEOPLE, folder / f"{odd}.png")
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    film(folder / "b.avi", 2)
    (folder / "b.avi").rename(folder / f"{odd}.avi")
    given = ["predict", str(folder), "--csv", str(tmp_path / "r.csv"), "--json"]
    given += [str(tmp_path / "r.json"), "--save", str(tmp_path / f"drawn{odd}")]
    assert main(given) == 1
    assert r"bad\udcffname.avi is a video whose name is no UTF-8" in capsys.readouterr().err
    assert r"bad\udcffname.png,1," in (tmp_path / "r.csv").read_text("utf-8")
    assert r"bad\udcffname.png" in json.loads((tmp_path / "r.json").read_text())[0]["file_name"]
    assert [path.name for path in (tmp_path / f"drawn{odd}").iterdir()] == [f"{odd}.png"]


def test_pictures_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in "ab":
        (tmp_path / folder).mkdir()
        shutil.copy(PEOPLE, tmp_path / folder / "one.png")
    assert main(["predict", str(tmp_path / "a"), str(tmp_path / "b"), "--save",
                 str(tmp_path / "out")]) == 0  # fmt: skip
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["one-2.png", "one.png"]


def test_the_json_is_what_pycocotools_reads(tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    out = tmp_path / "r.json"
    assert main(["predict", str(PEOPLE), "--json", str(out)]) == 0
    truth = COCO()
    truth.dataset = {
        "images": [{"id": 1, "file_name": PEOPLE.name}],
        "annotations": [],
        "categories": [{"id": 1, "name": "person"}],
        "info": {},
    }
    truth.createIndex()
    loaded = truth.loadRes(str(out))
    assert len(loaded.getAnnIds(imgIds=[1])) == len(json.loads(out.read_text())) > 0


def test_results_replace_neither_each_other_nor_what_is_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "people.png"
    shutil.copy(PEOPLE, picture)
    before, both = picture.read_bytes(), str(tmp_path / "results")
    assert main(["predict", str(picture), "--json", str(picture)]) == 2
    assert "is looked at" in capsys.readouterr().err
    assert main(["predict", str(picture), "--json", both, "--csv", both]) == 2
    assert "a file of its own" in capsys.readouterr().err
    assert picture.read_bytes() == before
    assert not Path(both).exists()


def test_a_missing_source_is_named_and_left_out_beside_good_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main(["predict", str(tmp_path / "no.jpg"), str(PEOPLE), str(empty)]) == 1
    said = capsys.readouterr()
    assert "no.jpg does not exist" in said.err
    assert f"{empty} holds nothing to look at" in said.err
    assert said.out.splitlines()[-1].endswith("2 left out")
    assert main(["predict", str(PEOPLE)]) == 0


def test_that_one_picture_of_several_is_looked_at_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = [Image.new("RGB", (40, 40), (60 * step, 0, 0)) for step in range(3)]
    steps[0].save(tmp_path / "a.gif", save_all=True, append_images=steps[1:])
    steps[0].save(tmp_path / "b.jfif", "JPEG")
    assert main(["predict", str(tmp_path)]) == 0
    first, second = capsys.readouterr().out.splitlines()[:2]
    assert first.endswith("; 1 of 3 frames looked at")
    assert second.endswith("b.jfif: nobody")


def test_pictures_of_every_suffix_are_looked_at(tmp_path: Path) -> None:
    from common.pictures import SUFFIXES

    for suffix in SUFFIXES:
        Image.open(PEOPLE).convert("L" if suffix == ".pgm" else "RGB").save(tmp_path / f"a{suffix}")
    assert main(["predict", str(tmp_path), "--save", str(tmp_path / "drawn")]) == 0
    assert len(list((tmp_path / "drawn").iterdir())) == len(SUFFIXES)


@pytest.mark.parametrize("threshold", ["nan", "inf", "-1"])
def test_a_threshold_that_is_none_is_named_as_it_was_given(
    threshold: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(PEOPLE), f"--threshold={threshold}"]) == 2
    said = capsys.readouterr().err
    assert f"{threshold} is not a number from 0 to 32" in said
    assert "min_score" not in said


def test_results_on_standard_output_are_alone_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["predict", str(PEOPLE), "--json", "-"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)
    assert "people.png: " in said.err
    assert main(["predict", str(PEOPLE), "--csv", "-"]) == 0
    assert capsys.readouterr().out.startswith("picture,person,score")
    assert main(["predict", str(PEOPLE), "--csv", "-", "--json", "-"]) == 2
    assert not any(tmp_path.iterdir())


def test_drawings_do_not_replace_what_is_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(PEOPLE, tmp_path / "a.png")
    assert main(["predict", str(tmp_path), "--save", str(tmp_path)]) == 2
    assert "which would be lost" in capsys.readouterr().err
    assert (tmp_path / "a.png").read_bytes() == PEOPLE.read_bytes()


@pytest.mark.parametrize("suffix", [".bmp", ".avi"])
def test_drawings_replace_nothing_but_drawings(
    suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, folder = tmp_path / f"a{suffix}", tmp_path / "drawn"
    if suffix == ".avi":
        film(source, 2)
    else:
        Image.open(PEOPLE).convert("RGB").save(source)
    drawn = "a.mp4" if suffix == ".avi" else "a.png"
    (tmp_path / drawn).write_bytes(b"somebody's own")
    assert main(["predict", str(source), "--save", str(tmp_path)]) == 2
    assert f"where {drawn} is, which would be lost" in capsys.readouterr().err
    folder.mkdir()
    shutil.copy(PEOPLE, folder / drawn)
    assert main(["predict", str(source), "--save", str(folder)]) == 2
    assert (tmp_path / drawn).read_bytes() == b"somebody's own"
    assert (folder / drawn).read_bytes() == PEOPLE.read_bytes()
    (folder / drawn).unlink()
    for _ in range(2):  # a drawing takes the place of an earlier one
        assert main(["predict", str(source), "--save", str(folder)]) == 0
        assert [path.name for path in folder.iterdir()] == [drawn]


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_drawing_is_known_by_a_remark_that_pictures_bear(suffix: str, tmp_path: Path) -> None:
    from ai8x_models.overlay import encoded

    path = tmp_path / f"a{suffix}"
    pixels = read_picture(PEOPLE)
    path.write_bytes(encoded(path, pixels))
    assert drawings.is_foreign(path)
    plain = read_picture(path)
    path.write_bytes(drawings.marked(path.read_bytes()))
    assert not drawings.is_foreign(path)
    np.testing.assert_array_equal(read_picture(path), plain)
    assert not drawings.is_foreign(tmp_path / "none.png")
    assert drawings.is_foreign(tmp_path)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["--json", "out/people.png", "--save", "out"], "where --save writes a drawing"),
        (["--csv", "out", "--save", "out"], "is the folder that --save needs"),
        (["--json", "out", "--save", "out/more"], "is the folder that --save needs"),
        (["--json", "r", "--csv", "./r"], "a file of its own"),
    ],
)
def test_all_results_have_places_of_their_own(
    given: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["predict", str(PEOPLE), *given]) == 2
    assert sentence in capsys.readouterr().err
    assert not any(tmp_path.iterdir())
    assert main(["predict", str(PEOPLE), "--json", "out/r.json", "--save", "out"]) == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["people.png", "r.json"]


def test_names_of_files_do_not_speak_to_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a\x1b[31m\n.png", "b\x1b[2J\nerror: no\n.png"):
        (tmp_path / name).write_bytes(PEOPLE.read_bytes())
    (tmp_path / "b\x1b[2J\nerror: no\n.png").write_text("no picture")
    assert main(["predict", str(tmp_path), str(tmp_path / "\x1b[1m\nx.jpg")]) == 1
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    assert len(said.out.splitlines()) == 2
    assert len(said.err.splitlines()) == 2
    assert main(["predict", "\x1b[1m\n.jpg"]) == 2
    assert capsys.readouterr().err == (
        "error: \\x1b[1m\\n.jpg does not exist; name a picture, a folder, a glob, a video or "
        "webcam\n"
    )


@pytest.mark.parametrize("option", ["--json", "--csv", "--save"])
def test_a_place_that_takes_no_files_is_found_before_the_work(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = "/proc/x" if Path("/proc").is_dir() else str(tmp_path / "a" / "b")
    (tmp_path / "a").touch()
    assert main(["predict", str(PEOPLE), option, place]) == 2
    said = capsys.readouterr()
    assert f"error: cannot write {place}" in said.err
    assert not said.out


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["--http", "8079"], "--http goes with --show"),
        (["--no-browser"], "--no-browser goes with --show"),
        (["--baud", "9600", "--kit"], "--baud goes with --port"),
        (["--threads", "2", "--kit"], "leave --threads out"),
    ],
)
def test_options_that_would_change_nothing_are_refused(
    given: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(PEOPLE), *given]) == 2
    assert sentence in capsys.readouterr().err
