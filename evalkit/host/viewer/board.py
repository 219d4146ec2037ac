"""The state that the viewer's pages show, as events that carry it whole."""

from __future__ import annotations

import base64
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from ai8x_models.skeleton import BONES_3D, DRAWN_LIMBS, KEYPOINTS
from evalkit.host.coco import export
from evalkit.host.stream.feed import WAITING
from evalkit.host.stream.shots import Shot, heat_bytes
from evalkit.wire import protocol

_LOG_LINES = 200
_KEPT_SHOTS = 2000
_KEPT_TIMES = 400
_RATE_SECONDS = 5.0

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
        self._times: deque[list[int]] = deque(maxlen=_KEPT_TIMES)
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
        what = f"{source}: network {hello.network}"
        firmware = f", checksum {hello.checksum:08x}, firmware {version}"
        self.log(what + firmware if hello.version else what)

    def shot(self, shot: Shot) -> None:
        """See :class:`evalkit.host.stream.feed.Listener`."""
        now = time.monotonic()
        self._arrivals.append(now)
        while now - self._arrivals[0] > _RATE_SECONDS and len(self._arrivals) > 2:
            self._arrivals.popleft()
        self._shots.append(shot)
        event = shot_event(shot, self._rate())
        with self.changed:
            self._times.append(event["micros"])
            self._keep("shot", event)

    def log(self, text: str) -> None:
        """See :class:`evalkit.host.stream.feed.Listener`."""
        with self.changed:
            self.version += 1
            self._log.append((self.version, time.strftime("%H:%M:%S"), text))
            self.changed.notify_all()
        if self.echo:
            self.echo(text)

    def control(self, state: dict[str, Any]) -> None:
        """How the source stands: see :meth:`evalkit.host.stream.player.Gate.state`."""
        self._keep("control", state)

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
            if version == 0:  # a page that is new, or loaded again; the last comes with its shot
                events.insert(0, {"kind": "times", "values": list(self._times)[:-1]})
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
