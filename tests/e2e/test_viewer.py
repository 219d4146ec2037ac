"""The viewer's page in a real browser: right pixels, and it survives what goes away."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from ai8x_models.skeleton import DRAWN_LIMBS as LIMBS
from evalkit.__main__ import main
from evalkit.host.serial.links import Link, LinkLost, SerialLink
from evalkit.host.stream.feed import GONE, LIVE, Feed, LiveFeed, Options
from evalkit.host.stream.pictures import Photographs, Picture
from evalkit.host.stream.recording import Recorder
from evalkit.host.stream.replay import ReplayFeed
from evalkit.host.viewer.board import Board
from tests.helpers.browser import Browser, browser
from tests.helpers.fake_board import STANDING, FakeBoard, FakeLink, hello, plugged_in
from tests.helpers.viewer import (
    BACKGROUND,
    HEIGHT,
    PERSON,
    SHOWN,
    WIDTH,
    Viewer,
    known_picture,
    paced,
    recording,
)

STATE = "document.body.dataset.state"


@pytest.fixture(scope="module")
def page() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


class Fixed:
    """A camera that sees the known picture again and again."""

    name = "fixed"

    def pictures(self, repeat: bool) -> Iterator[Picture]:
        while True:
            yield Picture("known.png", known_picture())


def live(open_link: Callable[[], Link], **options: object) -> Callable[[Board], Feed]:
    settings = Options(Fixed(), **options)  # type: ignore[arg-type]
    return lambda board: LiveFeed(board, open_link, settings)


def on_canvas(page: Browser, points: np.ndarray) -> np.ndarray:
    """Where keypoints of the network's input belong on the canvas, worked out from its size."""
    width, height = page.evaluate("[stage.clientWidth, stage.clientHeight]")
    zoom = min(width / WIDTH, height / HEIGHT)
    left, top = (width - zoom * WIDTH) / 2, (height - zoom * HEIGHT) / 2
    scale = 128 / WIDTH  # of the network's input to the picture
    return np.asarray(np.stack([left, top]) + (points + 0.5) / scale * zoom)


def settled(page: Browser) -> np.ndarray:
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.canvas("stage")[..., :3].astype(int)


@pytest.mark.parametrize("ratio", [1, 2])
def test_skeleton_of_a_known_picture_is_at_the_right_pixels(
    page: Browser, tmp_path: Path, ratio: int
) -> None:
    path = recording(tmp_path / "known.p78")
    page.resize(1280, 800, ratio)
    with Viewer(lambda board: ReplayFeed(board, path)) as viewer:
        page.open(viewer.server.url)
        page.wait(SHOWN)
        drawn = settled(page)
        page.evaluate("document.getElementById('skeletons').click()")
        plain = settled(page)
        assert page.evaluate("document.getElementById('people').textContent") == "1"
    expected = on_canvas(page, np.array(PERSON)) * ratio
    # The picture itself lies where it should: its corner marks, and its plain middle.
    corners = on_canvas(page, np.array([[4.0, 4], [123, 4], [4, 91], [123, 91]])) * ratio
    for x, y in corners:
        assert abs(plain[round(y), round(x)] - 230).max() < 12
    middle = on_canvas(page, np.array([[20.0, 48]]))[0] * ratio
    assert abs(plain[round(middle[1]), round(middle[0])] - BACKGROUND).max() < 12
    # Every keypoint is a white dot, every limb a line in one colour on its way.
    for x, y in expected:
        assert drawn[round(y), round(x)].min() > 225
    colours = set()
    for a, b in LIMBS:
        for part in (0.4, 0.5, 0.6):
            x, y = expected[a] + part * (expected[b] - expected[a])
            near = np.hypot(*(expected - (x, y)).T).min()
            if near > 7 * ratio:
                colours.add(tuple(drawn[round(y), round(x)]))
    # At the edge of a pixel a line may cover all but a trace of it.
    assert np.ptp(np.array(sorted(colours)), axis=0).max() <= 2
    # And nothing is drawn away from it: all changed pixels are within 7 pixels of a limb, but for
    # the person's score above the highest point.
    changed = np.argwhere(abs(drawn - plain).max(2) > 20)[:, ::-1] + 0.5
    top = expected[expected[:, 1].argmin()]
    beside, above = (np.abs(changed[:, 0] - top[0]), top[1] - changed[:, 1])
    label = (beside < 30 * ratio) & (above > 6 * ratio) & (above < 28 * ratio)
    assert label.any()
    changed = changed[~label]
    distance = np.min([_to_limb(changed, expected[a], expected[b]) for a, b in LIMBS], axis=0)
    assert distance.max() < 7 * ratio
    assert page.errors == []


def _to_limb(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Distance of points [n, 2] to a segment."""
    along = end - start
    part = np.clip((points - start) @ along / (along @ along), 0, 1)
    return np.asarray(np.hypot(*(points - start - part[:, None] * along).T))


def test_heatmap_glows_where_its_peak_is(page: Browser, tmp_path: Path) -> None:
    path = recording(tmp_path / "heat.p78", people=(), heat=True)
    page.resize(1280, 800)
    with Viewer(lambda board: ReplayFeed(board, path)) as viewer:
        page.open(viewer.server.url)
        page.wait(SHOWN)
        before = settled(page)
        page.evaluate("document.getElementById('heat').click()")
        after = settled(page)
        assert page.evaluate("document.getElementById('channel').options.length") == 19
        page.evaluate("document.getElementById('channel').value = 5; draw()")
        other = settled(page)
    # The centre of cell (row 2, column 8) is at input pixel (8 * 8 + 3.5, 8 * 2 + 3.5).
    x, y = on_canvas(page, np.array([[67.5, 19.5]]))[0]
    glow = (after - other).sum(2)
    assert glow[round(y), round(x)] > 150
    row, column = np.unravel_index(cv2.GaussianBlur(glow.astype(np.float32), (0, 0), 4).argmax(),
                                   glow.shape)  # fmt: skip
    assert np.hypot(column - x, row - y) < 4
    assert after[-60, 60].sum() < before[-60, 60].sum()  # the picture is dimmed


@pytest.mark.parametrize("step", [1, 2])
def test_picture_of_the_boards_own_camera(page: Browser, step: int) -> None:
    scene = np.full((128, 128, 3), BACKGROUND, np.uint8)
    scene[:32, :32] = (230, 230, 230)
    board = FakeBoard(people=(STANDING,), scene=scene)
    page.resize(1280, 800)
    with Viewer(lambda listener: LiveFeed(listener, lambda: paced(board), Options(step=step))) as v:
        page.open(v.server.url)
        page.wait(SHOWN)
        page.wait("document.body.textContent.includes('own camera, 25.0 pictures a second')")
        drawn = settled(page)
        page.evaluate("document.getElementById('skeletons').click()")
        plain = settled(page)
    width, height = page.evaluate("[stage.clientWidth, stage.clientHeight]")
    zoom = min(width, height) / 128
    corner = np.array([(width - 128 * zoom) / 2, (height - 128 * zoom) / 2])
    for point, colour in (((10, 10), 230), ((60, 100), BACKGROUND)):
        x, y = corner + (np.array(point) + 0.5) * zoom
        assert abs(plain[round(y), round(x)] - colour).max() < 14
    for point in STANDING:
        x, y = corner + (np.array(point) + 0.5) * zoom
        assert drawn[round(y), round(x)].min() > 225
    assert page.errors == []


BODY = np.array([
    (-110, 0, 0), (-60, 400, -90), (-100, 800, 40), (110, 0, 0), (120, 420, 60), (100, 810, 130),
    (0, -240, 20), (0, -480, 40), (0, -560, 20), (0, -700, 10), (170, -450, 30), (300, -250, 90),
    (280, -40, -200), (-170, -450, 60), (-330, -300, 150), (-500, -160, 250),
])  # fmt: skip


def in_column(joints: np.ndarray, turn: float, size: tuple[float, float], column: int,
              zoom: float) -> np.ndarray:  # fmt: skip
    """Where joints [n, 3] belong on the canvas of two people, by a rotation matrix."""
    c, s, down, tilt = np.cos(turn), np.sin(turn), np.cos(0.2), np.sin(0.2)
    about_vertical = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    from_above = np.array([[1, 0, 0], [0, down, -tilt]])
    flat = joints @ (from_above @ about_vertical).T * zoom
    return np.asarray(flat + (size[0] * (column + 0.5) / 2, size[1] / 2))


def test_people_in_3d(page: Browser) -> None:
    board = FakeBoard(people=(STANDING, STANDING), lifted=(BODY, BODY // 2))
    page.resize(1280, 900)
    frozen = (
        "solid.free = false; solid.turn = {}; drawSolid(); [depth.clientWidth, depth.clientHeight]"
    )
    with Viewer(live(lambda: paced(board))) as viewer:
        page.open(viewer.server.url)
        page.wait("!document.getElementById('solid').hidden && solid.people.length === 2")
        turned = page.evaluate("solid.turn")
        page.wait(f"solid.turn > {turned}")
        assert page.evaluate("document.getElementById('lift-time').textContent") == "0.26 ms"
        for turn in (0.0, 0.8, 3.0):
            size = page.evaluate(frozen.format(turn))
            drawn = page.canvas("depth").astype(int)
            zoom = page.evaluate("solidZoom(depth.clientWidth, depth.clientHeight)")
            for column, body in enumerate((BODY, BODY // 2)):
                for x, y in in_column(body, turn, size, column, zoom):
                    assert drawn[round(y - 0.5), round(x - 0.5)].min() > 200  # a white dot
            rows, columns = np.nonzero(drawn[..., 3])
            assert rows.min() > 0
            assert rows.max() < size[1] - 1
            assert columns.max() > size[0] / 2 > columns.min()
        board.lifted = None
        page.wait("document.getElementById('solid').hidden")
    assert page.errors == []


def test_hand_turns_the_people(page: Browser) -> None:
    page.resize(1280, 900)
    with Viewer(live(lambda: paced(FakeBoard(lifted=(BODY,))))) as viewer:
        page.open(viewer.server.url)
        page.wait("solid.people.length === 1")
        x, y = page.evaluate(
            "(() => { const b = depth.getBoundingClientRect(); return [b.x + 50, b.y + 50] })()"
        )
        for kind, at in (("mousePressed", x), ("mouseMoved", x + 40), ("mouseReleased", x + 40)):
            page.call("Input.dispatchMouseEvent", type=kind, x=at, y=y, button="left", clickCount=1)
            if kind == "mousePressed":
                before = page.evaluate("solid.turn")
        assert page.evaluate("solid.turn") == pytest.approx(before + 0.4)
        assert page.evaluate("solid.free") is False
    assert page.errors == []


def test_numbers_of_the_board_are_shown(page: Browser) -> None:
    with Viewer(live(lambda: paced(FakeBoard(people=(STANDING, STANDING))))) as viewer:
        page.open(viewer.server.url)
        page.wait(SHOWN)
        texts = {
            name: page.evaluate(f"document.getElementById('{name}').textContent")
            for name in ("network", "checksum", "firmware", "people", "t0", "t1", "t2", "total")
        }
        assert page.wait("Number(document.getElementById('rate').textContent) > 0")
        assert "network seed" in page.evaluate("document.getElementById('log').textContent")
        assert page.evaluate(STATE) == LIVE
    assert texts == {
        "network": "seed", "checksum": "1234abcd", "firmware": "1.0", "people": "2",
        "t0": "1.90 ms", "t1": "22.90 ms", "t2": "2.50 ms", "total": "27.30 ms",
    }  # fmt: skip


def test_heatmaps_are_asked_for_only_when_wanted(page: Browser) -> None:
    with Viewer(live(lambda: paced(FakeBoard()))) as viewer:
        page.open(viewer.server.url)
        page.wait(SHOWN)
        assert page.evaluate("state.heat") is None
        page.evaluate("document.getElementById('heat').click()")
        page.wait("state.heat && state.heat.data[2 * 16 + 8] === 255")
        page.evaluate("document.getElementById('heat').click()")
        page.wait("!state.heat")


def test_source_goes_away_and_comes_back(page: Browser, tmp_path: Path) -> None:
    pytest.importorskip("serial", reason="the view extra is not installed")
    port = tmp_path / "ttyFake"
    notice = "document.getElementById('notice').textContent"
    visible = "getComputedStyle(document.getElementById('notice')).visibility"
    with Viewer(live(lambda: SerialLink(str(port), 921600))) as viewer:
        page.open(viewer.server.url)
        page.wait(f"{STATE} === '{GONE}'")
        assert "is not there; plug the board in" in page.evaluate(notice)
        for network in ("seed", "tiny"):
            with plugged_in(FakeBoard(hello(network)), port):
                page.wait(f"{STATE} === '{LIVE}' && {SHOWN}")
                page.wait(f"document.getElementById('network').textContent === '{network}'")
                shown_one = page.evaluate("state.shot.number")
                page.wait(f"state.shot.number > {shown_one}")
                assert page.evaluate(visible) == "hidden"
            page.wait(f"{STATE} === '{GONE}'")
            assert page.evaluate(visible) == "visible"
    assert page.errors == []


def test_viewer_goes_away_and_comes_back(page: Browser, tmp_path: Path) -> None:
    path = recording(tmp_path / "known.p78")
    with Viewer(lambda board: ReplayFeed(board, path)) as viewer:
        port = viewer.server.port
        page.open(viewer.server.url)
        page.wait(SHOWN)
    page.wait(f"{STATE} === 'offline'")
    with Viewer(lambda board: ReplayFeed(board, path), port):
        page.wait(f"{STATE} === 'live'")


def test_layout_does_not_jump(page: Browser, tmp_path: Path) -> None:
    boxes = (
        "JSON.stringify([...document.querySelectorAll('.frame, .card, .box, .pill, .who, h2, td')]"
        ".map((e) => e.getBoundingClientRect()).map((r) => [r.x, r.y, r.width, r.height]))"
    )
    pulled = threading.Event()

    def open_link() -> Link:
        if pulled.is_set():
            raise LinkLost("the cable is out, and this is said in quite a long sentence, at length")
        links.append(paced(FakeBoard()))
        return links[-1]

    links: list[FakeLink] = []
    pulled.set()
    with Viewer(live(open_link)) as viewer:
        page.open(viewer.server.url)
        page.wait(f"{STATE} === '{GONE}'")
        empty = page.evaluate(boxes)
        pulled.clear()
        page.wait(f"{STATE} === '{LIVE}' && {SHOWN}")
        full = page.evaluate(boxes)
        pulled.set()
        links[-1].gone = True
        page.wait(f"{STATE} === '{GONE}'")
        gone = page.evaluate(boxes)
    before, after = (np.array(json.loads(text)) for text in (empty, full))
    np.testing.assert_allclose(after, before, atol=0.6)
    np.testing.assert_allclose(np.array(json.loads(gone)), before, atol=0.6)


def test_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    path = recording(tmp_path / "known.p78")
    with Viewer(lambda board: ReplayFeed(board, path)) as viewer:
        for name in ("", "style.css", "solid.js", "people.js", "app.js", "control.js"):
            with urllib.request.urlopen(viewer.server.url + name) as answer:
                text = answer.read().decode()
                assert "https:" not in text
                assert "http:" not in text
                assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        request = urllib.request.Request(viewer.server.url, headers={"Host": "evil.example"})
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request)
        assert caught.value.code == 403
        caught.value.close()


def test_command_line_serves_until_interrupted(tmp_path: Path) -> None:
    path = recording(tmp_path / "known.p78")
    words = ["view", "--replay", str(path), "--http", "0", "--no-browser"]
    with subprocess.Popen(
        [sys.executable, "-m", "evalkit", *words],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("viewer: "))
        kinds = []
        with urllib.request.urlopen(line.split()[1] + "events", timeout=30) as events:
            while "shot" not in kinds:
                text = events.readline()
                if text.startswith(b"data: "):
                    kinds.append(json.loads(text[6:])["kind"])
            assert {"tables", "status"} <= set(kinds)
        with urllib.request.urlopen(line.split()[1] + "keypoints.json", timeout=30) as answer:
            assert len(json.load(answer)["annotations"]) == 1
        process.terminate()
        assert process.wait(30) == 0


def test_port_in_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = recording(tmp_path / "known.p78")
    kept = tmp_path / "kept.p78"
    kept.write_text("precious")
    with Viewer(lambda board: ReplayFeed(board, path)) as viewer:
        words = ["view", "--port", "x", "--record", str(kept), "--http", str(viewer.server.port)]
        assert main([*words, "--camera", str(tmp_path)]) == 2
    assert "cannot serve on port" in capsys.readouterr().err
    assert kept.read_text() == "precious"


def test_recording_of_a_live_source_shows_the_same(tmp_path: Path) -> None:
    path = tmp_path / "live.p78"
    board = Board()
    camera = tmp_path / "camera"
    camera.mkdir()
    cv2.imwrite(str(camera / "known.png"), known_picture()[..., ::-1])
    settings = Options(Photographs(camera), Recorder(path), count=3)
    feed = LiveFeed(board, lambda: FakeLink(FakeBoard()), settings)
    feed.start()
    feed.wait()
    first = board.coco()
    again = Board()
    replay = ReplayFeed(again, path, repeat=False)
    replay.start()
    replay.wait()
    assert first["annotations"]
    assert again.coco() == first
