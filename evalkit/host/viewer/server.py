"""The viewer's page and its stream of events, served to browsers on this machine.

Plain HTTP and server-sent events from the standard library: a browser reconnects by itself. Every
event carries the whole state it speaks of, so that a page that comes late or comes back is right at
once. A browser that is too slow misses pictures, never the latest one.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import re
import secrets
import socket
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from common.errors import UserError
from evalkit.host.stream.player import Gate
from evalkit.host.viewer.board import Board
from evalkit.host.viewer.orders import MOST_BYTES, Orders

PAGE = Path(__file__).parent / "page"
_FILES = {
    "people.js": ("people.js", "text/javascript; charset=utf-8"),
    "control.js": ("control.js", "text/javascript; charset=utf-8"),
    "": ("index.html", "text/html; charset=utf-8"),
    "style.css": ("style.css", "text/css; charset=utf-8"),
    "solid.js": ("solid.js", "text/javascript; charset=utf-8"),
    "app.js": ("app.js", "text/javascript; charset=utf-8"),
}
MOST_PORT = 65535
_BEAT_SECONDS = 2.0
_MOST_CONNECTIONS = 64
_SILENCE_SECONDS = 10.0
"""A connection that neither says nor takes anything for so long is closed."""
_KEY = re.compile(r"[\w-]{16,64}")
_POLICY = "default-src 'self'; img-src 'self' data:; style-src 'self'; frame-ancestors 'none'"


class Server:
    """Serves the page.

    Attributes:
        url: where; the key in it is what other users of this machine do not know.

    Raises:
        UserError: the port is in use, or there is no such port.
    """

    def __init__(self, board: Board, port: int, host: str = "127.0.0.1") -> None:
        if not 0 <= port <= MOST_PORT:
            raise UserError(
                f"cannot serve on port {port}: ports are 0 to {MOST_PORT}; give another with --http"
            )
        try:
            self._http = _Http((host, port), _Handler)
        except OSError as error:
            why = error.strerror or error
            raise UserError(
                f"cannot serve on port {port}: {why}; give another with --http"
            ) from None
        self._http.board = board
        self._http.orders = Orders()
        self.port = int(self._http.server_address[1])
        self.url = f"http://{host}:{self.port}/{self._http.key}/"
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)

    def connect(self, player: Gate, want_heat: Callable[[bool], None] | None = None) -> None:
        """Let the page's buttons work on a player, and show how it stands."""
        board, orders = self._http.board, self._http.orders
        orders.player = player
        orders.want_heat = want_heat or orders.want_heat
        player.told = board.control
        player.tell()

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
        self._http.orders.close()


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
    orders: Orders

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
        elif page.startswith("thumb/"):
            picture = self.server.orders.thumbnail(page)
            self._answer(200 if picture else 404, "image/jpeg", picture)
        elif page == "keypoints.json":
            self._answer(200, "application/json", json.dumps(self.server.board.coco()).encode())
        else:
            self._answer(404, "text/plain", b"no such page\n")

    def do_POST(self) -> None:
        """What the page's buttons ask for."""
        self.server.asked(self.connection)
        self.close_connection = True
        page = self._page()
        if page is None:
            return
        try:
            size = int(self.headers.get("Content-Length") or 0)
        except ValueError:
            size = -1
        if not 0 <= size <= MOST_BYTES:
            self._answer(413, "text/plain", f"at most {MOST_BYTES >> 20} MiB\n".encode())
            return
        status, said = self.server.orders.obey(page, self.rfile.read(size))
        self._answer(status, "text/plain; charset=utf-8", said.encode())

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
