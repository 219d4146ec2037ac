"""The viewer's page in use: held, stepped, dropped on, looked closely at, saved, on a phone."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

import pose78
from ai8x_models.preprocess import read_picture
from evalkit.host.stream.feed import Feed, LiveFeed, Options
from evalkit.host.stream.pictures import Photographs, Video
from evalkit.host.stream.replay import ReplayFeed
from evalkit.host.viewer.board import Board
from pose78.estimator import Model
from pose78.watching import StudentFeed
from tests.helpers.browser import Browser, browser
from tests.helpers.fake_board import STANDING, FakeBoard
from tests.helpers.viewer import SHOWN, Viewer, paced, recording

PEOPLE = Path(__file__).resolve().parents[2] / "docs" / "images" / "people.png"
CLICK = "document.getElementById({!r}).click()"
TEXT = "document.getElementById({!r}).textContent"


@pytest.fixture(scope="module")
def page() -> Iterator[Browser]:
    with browser() as opened:
        yield opened
        assert opened.errors == []


@pytest.fixture(scope="module")
def model() -> Model:
    return pose78.load("native")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five pictures, the third of which is broken."""
    path = tmp_path / "pictures"
    path.mkdir()
    for number in range(5):
        picture = np.full((60, 80, 3), 40 * number, np.uint8)
        cv2.imwrite(str(path / f"{number}.png"), picture)
    (path / "2.png").write_bytes(b"broken")
    return path


def film(path: Path, frames: int) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (160, 120))
    for number in range(frames):
        writer.write(np.full((120, 160, 3), 10 * number, np.uint8))
    writer.release()
    return path


def click(page: Browser, name: str) -> None:
    page.evaluate(CLICK.format(name))


def caption(page: Browser) -> str:
    return str(page.evaluate(TEXT.format("caption")))


def key(page: Browser, name: str, code: int, text: str = "") -> None:
    more = {"text": text} if text else {}
    page.call(
        "Input.dispatchKeyEvent", type="keyDown", key=name, windowsVirtualKeyCode=code, **more
    )
    page.call("Input.dispatchKeyEvent", type="keyUp", key=name, windowsVirtualKeyCode=code)


def test_hold_step_back_and_choose(page: Browser, folder: Path) -> None:
    board = FakeBoard(people=(STANDING,))
    feeds: list[Feed] = []

    def make(listener: Board) -> Feed:
        feeds.append(LiveFeed(listener, lambda: paced(board), Options(Photographs(folder))))
        return feeds[0]

    with Viewer(make) as viewer:
        page.open(viewer.server.url)
        page.wait(SHOWN)
        click(page, "play")
        page.wait("state.control.held && document.body.classList.contains('held')")
        page.evaluate("document.getElementById('film').children[0].click()")
        page.wait("state.shot.name === '0.png'")
        page.wait(
            "[...document.querySelectorAll('#film .now img')].map((i) => i.alt).includes('0.png')"
        )
        page.wait("[...document.querySelectorAll('#film img')].filter((i) => i.naturalWidth).length"
                  " === 4")  # fmt: skip
        click(page, "next")
        page.wait("state.shot.name === '1.png'")
        key(page, "ArrowRight", 39)
        page.wait("state.shot.name === '3.png'")  # the broken one is left out, and named
        page.wait(f"{TEXT.format('log')}.includes('left out: ')")
        page.wait(f"{TEXT.format('log')}.includes('2.png is no picture')")
        key(page, "ArrowLeft", 37)
        page.wait("state.shot.name === '1.png'")
        assert caption(page) == "1.png"
        click(page, "next")
        assert caption(page) == "3.png"  # kept by the page, not asked for again
        seen = len(board.pictures)
        page.evaluate("new Promise((done) => setTimeout(done, 400))")
        assert len(board.pictures) == seen
        key(page, " ", 32, " ")
        page.wait("!state.control.held")
        page.wait("state.shot.name === '0.png'")


def test_a_recording_is_held_too(page: Browser, tmp_path: Path) -> None:
    path = recording(tmp_path / "r.p78")
    with Viewer(lambda listener: ReplayFeed(listener, path)) as viewer:
        page.open(viewer.server.url)
        page.wait(SHOWN)
        click(page, "play")
        page.wait("state.control.held")
        number = page.evaluate("state.times.length")
        page.evaluate("new Promise((done) => setTimeout(done, 1500))")
        assert page.evaluate("state.times.length") <= number + 1
        click(page, "next")
        page.wait(f"state.times.length > {number}")


def test_a_picture_dropped_on_the_page(page: Browser, model: Model, tmp_path: Path) -> None:
    with Viewer(lambda listener: StudentFeed(listener, model, None)) as viewer:
        page.open(viewer.server.url)
        page.wait("document.body.textContent.includes('drop a picture or a video here')")
        page.drop(PEOPLE, "stage")
        page.wait(f"state.shot && state.shot.name === '{PEOPLE.name}'")
        found = model.predict(PEOPLE)
        assert page.evaluate("document.querySelectorAll('#list li[data-index]').length") == len(
            found
        )
        assert page.evaluate("state.shot.people[0].score") == pytest.approx(
            found[0].score, abs=1e-3
        )
        (tmp_path / "no.png").write_text("text")
        page.drop(tmp_path / "no.png", "stage")
        page.wait("document.getElementById('toast').textContent.includes('no picture')")
        page.drop(film(tmp_path / "walk.mp4", 3), "stage")
        page.wait("document.getElementById('ended').textContent === 'walk.mp4 has ended'")
        assert caption(page) == "walk.mp4 #2"
        assert page.evaluate("document.getElementById('drop').hidden")


def test_a_board_answers_to_what_is_dropped_but_not_one_with_its_own_camera(page: Browser) -> None:
    scene = np.zeros((128, 128, 3), np.uint8)
    board = FakeBoard(people=(STANDING,), scene=scene)
    with Viewer(
        lambda listener: LiveFeed(listener, lambda: paced(board), Options(step=2))
    ) as viewer:
        page.open(viewer.server.url)
        page.wait(SHOWN)
        page.drop(PEOPLE, "stage")
        page.wait("document.getElementById('toast').textContent.includes('a camera of its own')")
        click(page, "play")
        page.wait("state.control.held")
        number = page.evaluate("state.shot.number")
        page.evaluate("new Promise((done) => setTimeout(done, 400))")
        assert page.evaluate("state.shot.number") <= number + 1
    board = FakeBoard(people=(STANDING,))
    camera = Photographs(PEOPLE)
    with Viewer(
        lambda listener: LiveFeed(listener, lambda: paced(board), Options(camera))
    ) as viewer:
        page.open(viewer.server.url)
        page.wait("state.control && state.control.takes")
        page.drop(PEOPLE.with_name("pose.jpg"), "stage")
        page.wait("state.shot && state.shot.name === 'pose.jpg' && state.control.held")


def test_a_video_that_ends_says_so_and_begins_again(
    page: Browser, model: Model, tmp_path: Path
) -> None:
    video = Video(film(tmp_path / "walk.mp4", 4))
    with Viewer(lambda listener: StudentFeed(listener, model, video, once=True)) as viewer:
        page.open(viewer.server.url)
        page.wait("document.getElementById('ended').textContent === 'walk.mp4 has ended'")
        assert caption(page) == "walk.mp4 #3"
        count = page.evaluate("state.times.length")
        click(page, "play")
        page.wait(f"state.times.length > {count} && !document.getElementById('ended').hidden")
        assert caption(page) == "walk.mp4 #3"


def test_the_camera_of_the_browser(page: Browser, model: Model) -> None:
    with Viewer(lambda listener: StudentFeed(listener, model, None)) as viewer:
        page.open(viewer.server.url)
        page.wait("state.control && state.control.takes")
        click(page, "webcam")
        page.wait("state.shot && state.shot.name === 'webcam' && state.times.length >= 2")
        click(page, "webcam")
        page.wait("document.getElementById('webcam').getAttribute('aria-pressed') === 'false'")
        assert page.evaluate("state.shot.size[0]") == 640


def test_threshold_list_and_names_of_points(page: Browser, model: Model) -> None:
    page.resize(1280, 800)
    people = model.predict(PEOPLE)
    assert len(people) >= 2
    with Viewer(lambda listener: StudentFeed(listener, model, Photographs(PEOPLE))) as viewer:
        page.open(viewer.server.url)
        page.wait(SHOWN)
        click(page, "play")
        page.wait("state.control.held")
        rows = page.evaluate(
            "[...document.querySelectorAll('#list li')].map((li) => li.textContent)"
        )
        for number, (row, person) in enumerate(zip(rows, people, strict=True), 1):
            assert row == (f"person {number}{round(100 * person.score)} %"
                           f"{len(person.points)} of 18 points")  # fmt: skip
        nose = people[0].points["nose"]
        left, top, zoom = map(float, page.wait("stage.dataset.box").split())
        x0, y0 = page.evaluate("[stage.getBoundingClientRect().x, stage.getBoundingClientRect().y]")
        at = (x0 + left + (nose.x + 0.5) * zoom, y0 + top + (nose.y + 0.5) * zoom)
        page.call("Input.dispatchMouseEvent", type="mouseMoved", x=at[0] + 1, y=at[1])
        tip = page.wait("!document.getElementById('tip').hidden && " + TEXT.format("tip"))
        assert tip == f"nose · {round(100 * nose.score)} % · person 1"
        page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x0 + 2, y=y0 + 2)
        page.wait("document.getElementById('tip').hidden")
        page.evaluate("least.value = 100; least.dispatchEvent(new Event('input'))")
        assert page.evaluate(TEXT.format("people")) == "0"
        assert page.evaluate(TEXT.format("list")) == "nobody"
        page.evaluate("least.value = 0; least.dispatchEvent(new Event('input'))")
        assert page.evaluate(TEXT.format("people")) == str(len(people))


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("width", [1400, 1024])
def test_a_row_of_the_list_stays_in_its_place(page: Browser, follow: bool, width: int) -> None:
    """No cell is broken in two or wider than its column, whether people have numbers or scores."""
    page.resize(width, 757)
    board = FakeBoard(people=(STANDING,))
    options = Options(Photographs(PEOPLE), follow=follow)
    with Viewer(lambda listener: LiveFeed(listener, lambda: paced(board), options)) as viewer:
        page.open(viewer.server.url)
        name = "number" if follow else "person"
        page.wait(f"document.querySelector('#list li span')?.textContent.startsWith('{name}')")
        cells = page.evaluate(
            "[...document.querySelectorAll('#list li > *')].filter((c) => !c.hidden)"
            ".map((c) => [c.scrollWidth - c.clientWidth, c.getBoundingClientRect().height])"
        )
    assert len(cells) == (3 if follow else 5)
    assert all(over <= 1 and height <= 23 for over, height in cells), cells


def test_the_chart_survives_a_reload(page: Browser) -> None:
    with Viewer(lambda listener: LiveFeed(listener, lambda: paced(FakeBoard()),
                                          Options(Photographs(PEOPLE)))) as viewer:  # fmt: skip
        page.open(viewer.server.url)
        page.wait("state.times.length > 6")
        click(page, "play")
        page.wait("state.control.held")
        before = page.evaluate("JSON.stringify(state.times)")
        page.call("Page.reload")
        page.wait(f"document.readyState === 'complete' && {SHOWN}")
        assert page.evaluate("JSON.stringify(state.times)").startswith(before[:-1])


def test_what_is_saved_is_what_is_drawn(page: Browser, model: Model) -> None:
    with Viewer(lambda listener: StudentFeed(listener, model, Photographs(PEOPLE))) as viewer:
        page.open(viewer.server.url)
        page.wait(SHOWN)
        click(page, "play")
        page.evaluate("window.saved = []; download = (blob, name) => saved.push([blob, name])")
        click(page, "save")
        url = page.wait(
            "saved.length && new Promise((done) => { const r = new FileReader();"
            " r.onload = () => done(r.result); r.readAsDataURL(saved[0][0]) })"
        )
        assert page.evaluate("saved[0][1]") == "people-people.png"
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(url.split(",")[1]), np.uint8), 1)
        plain = read_picture(PEOPLE)
        zoom = max(1, 640 / max(plain.shape[:2]))
        assert picture.shape[:2] == tuple(round(side * zoom) for side in plain.shape[:2])
        for person in model.predict(PEOPLE):
            for point in person.points.values():
                x, y = round((point.x + 0.5) * zoom), round((point.y + 0.5) * zoom)
                if 0 <= x < picture.shape[1] and 0 <= y < picture.shape[0]:
                    assert picture[y, x].min() > 180
        click(page, "clip")
        page.wait("recorder && recorder.state === 'recording'")
        page.evaluate("new Promise((done) => setTimeout(done, 500))")
        page.evaluate("draw()")
        click(page, "clip")
        page.wait("saved.length === 2 && saved[1][0].size > 100")
        assert page.evaluate("saved[1][1]") == "people.webm"


@pytest.mark.parametrize("size", [(390, 844), (320, 640), (820, 1180), (1280, 800), (1920, 1080)])
def test_nothing_is_cut_at_any_size(
    page: Browser, model: Model, folder: Path, size: tuple[int, int]
) -> None:
    with Viewer(lambda listener: StudentFeed(listener, model, Photographs(folder))) as viewer:
        page.resize(*size)
        page.open(viewer.server.url)
        page.wait(SHOWN)
        click(page, "play")
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        cut = page.evaluate(
            "[...document.querySelectorAll('button.button, a.button, label.button, .switch, .slide,"
            " .keys')].filter((e) => { const b = e.getBoundingClientRect(), "
            "p = document.querySelector('.picture').getBoundingClientRect();"
            " return b.right > p.right + 1 || b.left < p.left - 1"
            " || e.scrollWidth > e.clientWidth + 1"
            " }).map((e) => e.textContent)"
        )
        assert cut == []
    page.resize(1280, 800)
