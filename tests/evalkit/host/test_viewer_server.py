"""The viewer's server: who may ask, and connections that say nothing."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import UserError
from evalkit.__main__ import main
from evalkit.host.stream.feed import Feed
from evalkit.host.stream.recording import Recorder
from evalkit.host.viewer.board import Board
from evalkit.host.viewer.server import Server, viewer_key


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    served = Server(Board(), 0)
    served.start()
    yield served
    served.stop()


def status(server: Server, path: str, method: str = "GET", **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.request(method, path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_only_who_knows_the_key_sees_the_page(server: Server) -> None:
    key = server.url.split("/")[3]
    assert len(key) >= 16
    assert status(server, f"/{key}/") == 200
    assert status(server, f"/{key}/app.js") == 200
    assert status(server, f"/{key}/none") == 404
    for path in ("/", "/app.js", "/events", "/keypoints.json", f"/{key[:-1]}/", f"/{key}x/app.js"):
        assert status(server, path) == 403
    assert status(server, "/heat/on", "POST") == 403
    assert status(server, f"/{key}/heat/on", "POST") == 204


def test_pages_of_others_may_not_ask(server: Server) -> None:
    key, port = server.url.split("/")[3], server.port
    own = f"127.0.0.1:{port}"
    assert status(server, f"/{key}/", Host=own, Origin=f"http://{own}") == 200
    for host, origin in (
        (own, f"http://127.0.0.1:{port + 1}"),
        (own, "http://127.0.0.1"),
        (own, f"https://{own}"),
        (own, "null"),
        (f"127.0.0.1:{port + 1}", f"http://127.0.0.1:{port + 1}"),
        (f"evil.example:{port}", f"http://evil.example:{port}"),
    ):
        assert status(server, f"/{key}/heat/on", "POST", Host=host, Origin=origin) == 403


def test_a_thousand_half_open_requests_keep_nobody_away(
    server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    key = server.url.split("/")[3]
    before = threading.active_count()
    silent = []
    for number in range(1000):
        one = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        if number % 2:
            one.sendall(b"GET / HT")
        silent.append(one)
        if number % 100 == 0:
            assert status(server, f"/{key}/") == 200
    assert threading.active_count() - before <= 200
    assert status(server, f"/{key}/") == 200
    for one in silent:
        one.close()
    assert status(server, f"/{key}/") == 200
    assert capfd.readouterr().err == ""


def test_the_key_is_kept_for_the_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    key = viewer_key()
    path = tmp_path / "pose78" / "viewer-key"
    assert viewer_key() == key == path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    path.chmod(0o644)
    assert viewer_key() != key
    monkeypatch.setenv("XDG_CACHE_HOME", str(path))  # no folder can be made there
    assert viewer_key() != viewer_key()


@pytest.mark.parametrize("port", ["99999", "-1"])
def test_a_port_that_does_not_exist_is_a_sentence(port: str) -> None:
    with pytest.raises(UserError, match="cannot serve on port"):
        Server(Board(), int(port))


# ---- threads that fail -----------------------------------------------------------------------


class Failing(Feed):
    def __init__(self, error: BaseException) -> None:
        super().__init__(Board())
        self._error = error

    def _run(self) -> None:
        raise self._error


@pytest.mark.parametrize("error", [UserError("gone"), RuntimeError("bug"), OverflowError("inf")])
def test_what_ends_a_feed_is_raised_where_it_is_waited_for(error: BaseException) -> None:
    feed = Failing(error)
    feed.start()
    feed.wait()
    with pytest.raises(type(error), match=str(error)):
        feed.check()


@pytest.mark.parametrize(
    "damage",
    ['{"shot": {"seconds": 1, "name": "a", "size": [Infinity, 2], "scale": [1, 1]}}', "[]", "7"],
)
def test_a_damaged_recording_exports_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    path = tmp_path / "bad.p78"
    path.write_text(f'{{"format": "pose78 recording", "version": 1}}\n{damage}\n')
    words = ["export", "--replay", str(path), "-o", str(tmp_path / "out.json")]
    assert main(words) == 2
    assert "line 2, is damaged" in capsys.readouterr().err
    assert not (tmp_path / "out.json").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_recording_on_a_full_disk_is_a_sentence() -> None:
    with pytest.raises(UserError, match="No space left"):
        Recorder(Path("/dev/full"))
