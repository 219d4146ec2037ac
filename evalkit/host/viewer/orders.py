"""What a page may ask for: hold, go on, look at this."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs

from common.errors import UserError
from common.pictures import VIDEO_SUFFIXES
from evalkit.host.stream.pictures import Video, decoded, read_photograph, shown
from evalkit.host.stream.player import Gate, Player

MOST_BYTES = 256 << 20
"""Of a picture or video that is dropped."""
_THUMBNAIL = 96
_NO_DROPS = "this source has a camera of its own and takes no pictures"


class Orders:
    """Obeys pages, whichever thread they come from.

    Attributes:
        player: what the buttons work on; None: nothing happens.
        want_heat: called when a page wants heatmaps or no longer wants them.
    """

    def __init__(self) -> None:
        self.player: Gate | None = None
        self.want_heat: Callable[[bool], None] = lambda wanted: None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def close(self) -> None:
        """Throw away what was dropped."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def obey(self, order: str, body: bytes) -> tuple[int, str]:
        """HTTP status and a sentence for the page (empty when all is well).

        Orders: ``heat/on``, ``heat/off``, ``hold``, ``play``, ``step``, ``go/NUMBER``,
        ``drop?name=NAME`` with the bytes of a picture or video; ``&live=1``: of a camera's picture.
        """
        name, _, rest = order.partition("?")
        player = self.player
        if player is None:
            return 204, ""
        if name in ("heat/on", "heat/off"):
            self.want_heat(name == "heat/on")
        elif name in ("hold", "play", "step"):
            {"hold": player.hold, "play": player.play, "step": player.step}[name]()
        elif name.startswith("go/") and name[3:].isdecimal() and isinstance(player, Player):
            player.go(int(name[3:]))
        elif name == "drop":
            return self._drop(parse_qs(rest).get("name", ["picture"])[0], body)
        else:
            return 404, "no such page"
        return 204, ""

    def _drop(self, name: str, body: bytes) -> tuple[int, str]:
        player = self.player
        if not isinstance(player, Player) or not player.takes:
            return 409, _NO_DROPS
        name = Path(name.replace("\\", "/")).name or "picture"
        try:
            if Path(name).suffix.lower() in VIDEO_SUFFIXES:
                player.visit(Video(self._kept(name, body)))
            else:
                player.drop(decoded(name, body))
        except UserError as error:
            return 400, str(error)
        return 204, ""

    def _kept(self, name: str, body: bytes) -> Path:
        """A dropped video as a file, in place of the one before."""
        self.close()
        self._folder = tempfile.TemporaryDirectory(prefix="pose78-")
        path = Path(self._folder.name) / f"dropped{Path(name).suffix.lower()}"
        path.write_bytes(body)
        return path.rename(path.with_name(name)) if len(name) < 100 else path

    def thumbnail(self, page: str) -> bytes:
        """``thumb/NUMBER``: that picture of the folder as a small JPEG; empty: there is none."""
        player = self.player
        number = page.partition("/")[2]
        if not isinstance(player, Player) or not number.isdecimal():
            return b""
        file = player.file(int(number))
        return b"" if file is None else _small(file)


@functools.lru_cache(maxsize=1024)
def _small(file: Path) -> bytes:
    try:
        return shown(read_photograph(file), _THUMBNAIL)
    except UserError:
        return b""
