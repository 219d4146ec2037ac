"""The viewer's page and its stream of events, served to browsers on this machine.

Plain HTTP and server-sent events from the standard library: a browser reconnects by itself. Every
event carries the whole state it speaks of, so that a page that comes late or comes back is right at
once. A browser that is too slow misses pictures, never the latest one.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import os
import re
import secrets
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ai8x_models.skeleton import DRAWN_LIMBS, KEYPOINTS
from common.errors import UserError
from evalkit.host.coco import export
from evalkit.host.stream.feed import WAITING, heat_bytes
from evalkit.host.stream.shots import BONES_3D, Shot
from evalkit.wire import protocol

PAGE = Path(__file__).parent / "page"
_FILES = {
    "": ("index.html", "text/html; charset=utf-8"),
    "style.css": ("style.css", "text/css; charset=utf-8"),
    "solid.js": ("solid.js", "text/javascript; charset=utf-8"),
    "app.js": ("app.js", "text/javascript; charset=utf-8"),
}
_LOG_LINES = 200
_KEPT_SHOTS = 2000
_BEAT_SECONDS = 2.0
_RATE_SECONDS = 5.0
_MOST_CONNECTIONS = 64
_SILENCE_SECONDS = 10.0
"""A connection that neither says nor takes anything for so long is closed."""
_KEY = re.compile(r"[\w-]{16,64}")
_POLICY = "default-src 'self'; img-src 'self' data:; style-src 'self'; frame-ancestors 'none'"

Event = dict[str, Any]


class Board:
    """The state that pages show; a feed's listener.

    Attributes:
        echo: also called with every line of the log.
    """

    def __init__(self, echo: Callable[[str], None] | None = None) -> None:
        self.changed = threading.Condition()
        self.version = 0
        self.echo = echo
        self._kept: dict[str, tuple[int, Event]] = {}
        self._log: deque[tuple[int, str, str]] = deque(maxlen=_LOG_LINES)
        self._shots: deque[Shot] = deque(maxlen=_KEPT_SHOTS)
        self._arrivals: deque[float] = deque()
        self._tables()
        self.status(WAITING, "starting")

    def _tables(self) -> None:
        self._keep("tables", {"keypoints": KEYPOINTS, "limbs": DRAWN_LIMBS, "bones": BONES_3D})

    def _keep(self, kind: str, event: Event) -> None:
        with self.changed:
            self.version += 1
            self._kept[kind] = (self.version, event)
            self.changed.notify_all()

    # ---- what a feed tells ---------------------------------------------------------------------

    def status(self, state: str, text: str) -> None:
        """See :class:`evalkit.host.stream.feed.Listener`."""
        event = {"state": state, "text": text}
        if self._kept.get("status", (0, {}))[1] != event:
            self._keep("status", event)

    def hello(self, hello: protocol.Hello, source: str) -> None:
        """See :class:`evalkit.host.stream.feed.Listener`."""
        version = f"{hello.version >> 16}.{hello.version & 0xFFFF}"
        self._keep(
            "hello",
            {
                "network": hello.network,
                "checksum": f"{hello.checksum:08x}",
                "version": version,
                "input": list(hello.input_shape),
                "source": source,
            },
        )
        self.log(
            f"{source}: network {hello.network}, checksum {hello.checksum:08x}, firmware {version}"
        )

    def shot(self, shot: Shot) -> None:
        """See :class:`evalkit.host.stream.feed.Listener`."""
        now = time.monotonic()
        self._arrivals.append(now)
        while now - self._arrivals[0] > _RATE_SECONDS and len(self._arrivals) > 2:
            self._arrivals.popleft()
        self._shots.append(shot)
        self._keep("shot", shot_event(shot, self._rate()))

    def log(self, text: str) -> None:
        """See :class:`evalkit.host.stream.feed.Listener`."""
        with self.changed:
            self.version += 1
            self._log.append((self.version, time.strftime("%H:%M:%S"), text))
            self.changed.notify_all()
        if self.echo:
            self.echo(text)

    def _rate(self) -> float:
        span = self._arrivals[-1] - self._arrivals[0]
        return (len(self._arrivals) - 1) / span if span > 0 else 0.0

    # ---- what pages ask ------------------------------------------------------------------------

    def since(self, version: int) -> tuple[int, list[Event]]:
        """Events that tell all that happened after ``version``, oldest state first."""
        with self.changed:
            fresh = sorted(
                ((at, kind, event) for kind, (at, event) in self._kept.items() if at > version),
                key=lambda entry: entry[0],
            )
            events: list[Event] = [{"kind": kind, **event} for _, kind, event in fresh]
            lines = [[at, when, text] for at, when, text in self._log if at > version]
            if lines:
                events.append({"kind": "log", "lines": lines})
            return self.version, events

    def coco(self) -> dict[str, Any]:
        """The latest answers as a COCO data set."""
        return export(list(self._shots))


def shot_event(shot: Shot, rate: float) -> Event:
    """A shot as the page wants it; points in pixels of the picture."""
    poses = shot.poses
    people = [
        {"points": points.round(3).tolist(), "score": round(score, 4)}
        for points, score in shot.people()
    ]
    event: Event = {
        "number": poses.number,
        "name": shot.name,
        "size": [shot.width, shot.height],
        "scale": list(shot.scale),
        "people": people,
        "micros": [poses.input_us, poses.inference_us, poses.decode_us],
        "rate": round(rate, 3),
        "jpeg": base64.b64encode(shot.jpeg).decode("ascii"),
    }
    lifted = shot.poses3d
    if lifted is not None:
        event["solid"] = {"micros": lifted.lift_us, "people": list(map(_solid, lifted.people))}
    tracks = shot.tracks
    if tracks is not None:
        event["followed"] = _followed(tracks)
    heat = heat_bytes(shot)
    if heat is not None:
        event["heat"] = {"shape": heat[0], "data": base64.b64encode(heat[1]).decode("ascii")}
    return event


def _followed(tracks: protocol.Tracks) -> Event:
    """Numbers, points in pixels of the camera picture, and the region that was looked at."""
    return {
        "side": tracks.picture,
        "region": list(tracks.region),
        "people": [
            {"number": t.number, "missed": t.missed, "points": t.points.round(3).tolist()}
            for t in tracks.people
        ],
    }


def _solid(person: protocol.Person3D) -> Event:
    """A person in 3D as the page wants it: 17 joints in millimetres, the pelvis first."""
    return {
        "person": person.person,
        "known": [True, *person.known.tolist()],
        "joints": [[0, 0, 0], *person.joints.tolist()],
    }


class Server:
    """Serves the page.

    Attributes:
        url: where; the key in it is what other users of this machine do not know.
        on_heat: called when a page wants heatmaps or no longer wants them.

    Raises:
        UserError: the port is in use, or there is no such port.
    """

    def __init__(self, board: Board, port: int, host: str = "127.0.0.1") -> None:
        try:
            self._http = _Http((host, port), _Handler)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise UserError(
                f"cannot serve on port {port}: {why}; give another with --http"
            ) from None
        self._http.board = board
        self.on_heat: Callable[[bool], None] = lambda wanted: None
        self._http.want_heat = lambda wanted: self.on_heat(wanted)
        self.port = int(self._http.server_address[1])
        self.url = f"http://{host}:{self.port}/{self._http.key}/"
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; open event streams end too."""
        self._http.stopping.set()
        with self._http.board.changed:
            self._http.board.changed.notify_all()
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join(5)
        self._http.server_close()


def viewer_key() -> str:
    """The key of this user's viewers, the same from one start to the next.

    A page that is still open finds the viewer again. Kept in a file that only the user can read;
    where that cannot be, the key is a new one each time.
    """
    folder = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    path = Path(folder) / "pose78" / "viewer-key"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_urlsafe(12))
        known = path.read_text("ascii").strip()
        if _KEY.fullmatch(known) and path.stat().st_mode & 0o077 == 0:
            return known
    except (OSError, ValueError, RuntimeError):
        pass
    return secrets.token_urlsafe(12)


class _Http(ThreadingHTTPServer):
    """One thread for each connection, but no more than ``_MOST_CONNECTIONS``.

    Who has connected and not said yet what they want gives way to who comes later, so that
    connections that say nothing cannot keep the page from anybody.
    """

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128
    board: Board
    want_heat: Callable[[bool], None]

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.stopping = threading.Event()
        self.key = viewer_key()
        self._lock = threading.Lock()
        self._silent: dict[socket.socket, None] = {}
        self._served: set[socket.socket] = set()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection a thread, or turn it away."""
        with self._lock:
            if len(self._silent) + len(self._served) >= _MOST_CONNECTIONS:
                if not self._silent:
                    self.shutdown_request(request)
                    return
                oldest = next(iter(self._silent))
                del self._silent[oldest]
                with contextlib.suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)
            self._silent[request] = None
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no more threads on this machine
            self.shutdown_request(request)

    def asked(self, request: socket.socket) -> None:
        """A connection has said what it wants."""
        with self._lock:
            if request in self._silent:
                del self._silent[request]
                self._served.add(request)

    def shutdown_request(self, request: Any) -> None:
        """A connection is over."""
        self._silent.pop(request, None)
        self._served.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away is no news."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Http
    protocol_version = "HTTP/1.1"
    timeout = _SILENCE_SECONDS

    def do_GET(self) -> None:
        """Page, events, keypoints."""
        self.server.asked(self.connection)
        page = self._page()
        if page is None:
            return
        if page in _FILES:
            name, kind = _FILES[page]
            self._answer(200, kind, (PAGE / name).read_bytes())
        elif page == "events":
            self._events()
        elif page == "keypoints.json":
            self._answer(200, "application/json", json.dumps(self.server.board.coco()).encode())
        else:
            self._answer(404, "text/plain", b"no such page\n")

    def do_POST(self) -> None:
        """Heatmaps on and off."""
        self.server.asked(self.connection)
        self.close_connection = True
        page = self._page()
        if page is None:
            return
        if page not in ("heat/on", "heat/off"):
            self._answer(404, "text/plain", b"no such page\n")
            return
        self.server.want_heat(page.endswith("/on"))
        self._answer(204, "text/plain", b"")

    def _page(self) -> str | None:
        """What is asked for, without the key; None when it was refused."""
        key, _, page = self.path.removeprefix("/").partition("/")
        if not self._is_local():
            self._answer(403, "text/plain", b"this page is served to this machine only\n")
        elif not hmac.compare_digest(key.encode(), self.server.key.encode()):
            self._answer(
                403, "text/plain", b"open the whole address that the viewer printed: it has a key\n"
            )
        else:
            return page
        return None

    def _is_local(self) -> bool:
        """Whether the page was asked for by this machine's name and port, and by itself.

        Pages of others, also those that another port of this machine serves, may not use it.
        """
        host, port = self.headers.get("Host") or "", self.server.server_address[1]
        names = ("127.0.0.1", "localhost", str(self.server.server_address[0]))
        origin = self.headers.get("Origin", f"http://{host}")
        return host in [f"{name}:{port}" for name in names] and origin == f"http://{host}"

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(body)

    def _events(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        board, seen = self.server.board, 0
        try:
            self.wfile.write(b"retry: 500\n\n")
            while not self.server.stopping.is_set():
                with board.changed:
                    if board.version == seen:
                        board.changed.wait(_BEAT_SECONDS)
                seen, events = board.since(seen)
                for event in events or [{"kind": "beat"}]:
                    self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
                self.wfile.flush()
        except OSError:
            return  # the browser has gone

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not news."""
