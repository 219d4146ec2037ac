"""Turns a source (board, virtual kit, recording) into a stream of events, over and over.

A feed runs in a thread of its own. When its source goes away it says so, waits and tries again; it
ends only when it is stopped, or when a limited run is over.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ai8x_models.follow.events import RULES
from ai8x_models.preprocess import fit
from common.errors import UserError
from evalkit.host.serial.links import Link, LinkLost
from evalkit.host.serial.own_camera import OwnCamera, enlarged
from evalkit.host.serial.session import Answer, Session, heatmaps
from evalkit.host.stream.follower import Follower
from evalkit.host.stream.pictures import Camera, Picture, shown
from evalkit.host.stream.player import Gate, Player
from evalkit.host.stream.recording import Recorder
from evalkit.host.stream.shots import Shot, brightness
from evalkit.wire import protocol

RETRY_SECONDS = 1.0
_LISTEN_SECONDS = 0.5
_SILENT_SECONDS = 5.0

WAITING, LIVE, GONE, DONE = "waiting", "live", "gone", "done"


class Listener(Protocol):
    """Who is told what happens; called from the feed's thread."""

    def status(self, state: str, text: str) -> None:
        """The source is WAITING, LIVE, GONE or DONE; one sentence on it."""

    def hello(self, hello: protocol.Hello, source: str) -> None:
        """Who answers."""

    def shot(self, shot: Shot) -> None:
        """A picture and its answer."""

    def log(self, text: str) -> None:
        """A line for the log."""


class Feed:
    """What all feeds have in common.

    Attributes:
        want_heat: whether heatmaps are asked for; may be set at any time.
        player: what the page's buttons work on.
        failed: the sentence that ended a run that does not repeat, or "".
        crash: what ended it that nobody expected, or None.
    """

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.want_heat = False
        self.player: Player | Gate = Gate()
        self.failed = ""
        self.crash: BaseException | None = None
        self._stop = threading.Event()
        self._begun = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._guarded, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._begun = True
        self._thread.start()

    def stop(self, seconds: float = 10.0) -> None:
        """End; waits for the thread."""
        self._stop.set()
        end = time.monotonic() + seconds
        while self._begun and time.monotonic() < end:
            self._interrupt()
            if self._ended.wait(0.1):
                break

    def _interrupt(self) -> None:
        """Have the thread come to see that it is to stop."""

    def run(self) -> None:
        """Begin, and wait until it ends by itself; whatever interrupts that ends it too."""
        try:
            self.start()
            self.wait()
        finally:
            self.stop()

    def wait(self) -> None:
        """Until it ends by itself; may be interrupted from the keyboard."""
        # Not by joining: a join that is interrupted says ever after that the thread has ended
        # (seen with CPython 3.11), and nobody would wait for it.
        while self._begun and not self._ended.wait(0.2):
            pass

    def _guarded(self) -> None:
        try:
            self._run()
        except UserError as error:
            self.failed = str(error)
            self.listener.status(GONE, self.failed)
        except BaseException as error:
            # It must not end in a thread whose fate nobody looks at.
            self.crash = error
            self.failed = f"{type(error).__name__}: {error}"
            self.listener.status(GONE, self.failed)
        finally:
            self._ended.set()

    def check(self) -> None:
        """Raise what ended the feed.

        Raises:
            UserError: ``failed``.
            BaseException: ``crash``.
        """
        if self.crash is not None:
            raise self.crash
        if self.failed:
            raise UserError(self.failed)

    def _run(self) -> None:
        raise NotImplementedError


@dataclass
class Options:
    """How a live feed behaves.

    Attributes:
        camera: where pictures come from; None: the board has its own and sends answers unasked.
        recorder: gets everything, or None.
        network: the network that the firmware must run, or "" for any.
        count: end after so many pictures; None: go on.
        once: without ``count``: at the camera's end, hold and say so, rather than begin again.
        step: of the board's own pictures ask for every so-many-th pixel; 0: for none.
        follow: follow people over the pictures that are sent.
        colour: with ``follow``, tell them by the colour of their clothes too.
    """

    camera: Camera | None = None
    recorder: Recorder | None = None
    network: str = ""
    count: int | None = None
    step: int = 0
    once: bool = False
    follow: bool = False
    colour: bool = False


class LiveFeed(Feed):
    """A board behind a link.

    Args:
        listener: who is told.
        open_link: opens the link; called again after it was lost. A UserError other than LinkLost
            ends the feed.
    """

    def __init__(self, listener: Listener, open_link: Callable[[], Link], options: Options) -> None:
        super().__init__(listener)
        self._open = open_link
        self._options = options
        limited = options.count is not None
        self._pictures: Player | None = None
        if options.camera is None:
            self.player = Player(None, log=listener.log)
            self.player.takes = False
        else:
            repeat = not limited and not options.once
            self._pictures = self.player = Player(options.camera, repeat, limited, listener.log)
        self._begin = time.monotonic()
        self._number = 0
        self._taken = 0
        self._largest = 1
        self._follower: Follower | None = None
        self._link: Link | None = None

    def _interrupt(self) -> None:
        link = self._link
        if link is not None:
            link.interrupt()

    def _run(self) -> None:
        recorder = self._options.recorder
        try:
            self._run_links()
        except BaseException:
            if recorder:
                with contextlib.suppress(UserError):
                    recorder.close()
            raise
        if recorder:
            recorder.close()

    def _run_links(self) -> None:
        said = ""
        while not self._over():
            link: Link | None = None
            try:
                link = self._link = self._open()
                if self._over():
                    continue
                self.listener.status(WAITING, f"asking {link.name} who is there")
                self._talk(Session(link, self.listener.log))
            except LinkLost as error:
                if self._stop.is_set():
                    continue
                if self._options.count is not None:
                    raise
                self.listener.status(GONE, str(error))
                if str(error) != said:
                    said = str(error)
                    self.listener.log(said)
                self._stop.wait(RETRY_SECONDS)
            finally:
                if link is not None:
                    link.close()
        self.listener.status(DONE, "finished")

    def _over(self) -> bool:
        count = self._options.count
        return self._stop.is_set() or (count is not None and self._taken >= count)

    def _talk(self, session: Session) -> None:
        self._meet(session)
        own = OwnCamera(self._options.step)
        while not self._over():
            if self._pictures is None:
                self._listen(session, own)
                continue
            picture = self._pictures.next()
            if picture is not None:
                self._ask(session, picture)
            elif self._pictures.over:
                self._options.count = self._taken

    def _meet(self, session: Session) -> None:
        hello = session.meet()
        wanted = self._options.network
        if wanted and hello.network != wanted:
            raise LinkLost(
                f"{session.link.name} runs network {hello.network}, not {wanted}; flash the "
                "firmware of that network"
            )
        if self._options.recorder:
            self._options.recorder.hello(session.hello_payload)
        self._largest = 1
        self._follower = None
        if self._options.follow:
            self._follower = Follower(hello.input_shape[1], self._options.colour)
        self.listener.hello(hello, session.link.name)
        self.listener.status(LIVE, f"{session.link.name} runs network {hello.network}")

    def _ask(self, session: Session, picture: Picture) -> None:
        assert session.hello is not None
        if self._follower is not None:
            return self._ask_closer(session, picture, self._follower)
        _, rows, columns = session.hello.input_shape
        fitted = fit(picture.pixels, rows, columns)
        self._number = (self._number + 1) & 0xFFFF
        answer = session.look(fitted.pixels, self._number, self.want_heat)
        height, width = picture.pixels.shape[:2]
        seen = (fitted.scale, shown(picture.pixels), answer.payload, self._heat(answer))
        self._publish(Shot(self._now(), picture.name, width, height, *seen, answer.payload3d))

    def _ask_closer(self, session: Session, picture: Picture, follower: Follower) -> None:
        """Look at a region; the picture to look at is then that region, as with a live board."""
        pixels = follower.look(picture.pixels)
        self._number = (self._number + 1) & 0xFFFF
        answer = session.look(pixels, self._number, self.want_heat)
        followed, lines = follower.take(answer.payload)
        for line in lines:
            self.listener.log(line)
        height, width = pixels.shape[:2]
        seen = ((1.0, 1.0), shown(pixels), answer.payload, self._heat(answer))
        shot = Shot(self._now(), picture.name, width, height, *seen, answer.payload3d, followed)
        self._publish(shot)

    def _heat(self, answer: Answer) -> NDArray[np.uint8] | None:
        maps = heatmaps(answer.maps)
        if maps is None:
            return None
        self._largest = max(self._largest, int(maps.max()))
        return brightness(maps, self._largest)

    def _listen(self, session: Session, own: OwnCamera) -> None:
        """Take answers that the board sends by itself."""
        assert session.hello is not None
        dropped = self.player.next(0) if self.player.takes else None  # type: ignore[attr-defined]
        if dropped is not None:
            self._ask(session, dropped)
        request = own.request(session.link.clock())
        if request is not None:
            session.send(request)
        frame = session.next_frame(_LISTEN_SECONDS)
        if frame is None:
            if self._now() > _SILENT_SECONDS and self._taken == 0:
                if not self.player.takes:
                    self.player.takes = True
                    self.player.tell()
                self.listener.status(
                    LIVE,
                    f"{session.link.name} runs network {session.hello.network} and waits for "
                    "pictures; drop some here, or give it a folder with --camera",
                )
        elif frame.type == protocol.ERROR:
            self._complain(protocol.parse_error(frame.payload))
        elif frame.type == protocol.HELLO:
            self._began_again(session, frame)
        elif frame.type == protocol.EVENT:
            self._tell_event(session, frame)
        else:
            self._take_own(session, own, frame)

    def _complain(self, error: protocol.Error) -> None:
        text = f"the board says: {error.text}"
        self.listener.log(text)
        if error.code in (protocol.NO_CAMERA, protocol.NO_WEIGHTS):
            self.listener.status(LIVE, text)

    def _tell_event(self, session: Session, frame: protocol.Frame) -> None:
        try:
            event = protocol.parse_event(frame.payload)
        except ValueError as error:
            raise LinkLost(f"{session.link.name} sends what makes no sense: {error}") from None
        name = RULES[event.rule].name if event.rule < len(RULES) else f"rule {event.rule}"
        self.listener.log(f"{name}: {event.count}")

    def _take_own(self, session: Session, own: OwnCamera, frame: protocol.Frame) -> None:
        assert session.hello is not None
        try:
            seen = own.take(frame)
        except ValueError as error:
            raise LinkLost(f"{session.link.name} sends what makes no sense: {error}") from None
        if seen is None or not self.player.shows():
            return
        _, rows, columns = session.hello.input_shape
        jpeg = b"" if seen.pixels is None else shown(enlarged(seen.pixels, rows, columns))
        number = protocol.parse_poses(seen.payload).number
        shot = Shot(
            self._now(), f"camera #{number}", columns, rows, (1.0, 1.0), jpeg, seen.payload,
            followed=seen.tracks,
        )  # fmt: skip
        self._publish(shot)
        if own.pace is not None and own.pace.period:
            rate = 1e6 / own.pace.period
            self.listener.status(
                LIVE,
                f"{session.link.name} runs network {session.hello.network} on its own camera, "
                f"{rate:.1f} pictures a second",
            )

    def _began_again(self, session: Session, frame: protocol.Frame) -> None:
        before = session.hello
        if session.learn(frame) != before:
            raise LinkLost(f"{session.link.name} has started with another firmware")

    def _publish(self, shot: Shot) -> None:
        self._taken += 1
        if self._options.recorder:
            self._options.recorder.shot(shot)
        self.listener.shot(shot)

    def _now(self) -> float:
        return time.monotonic() - self._begin
