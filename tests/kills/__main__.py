"""Kills commands that write, at random times: ``python -m tests.kills --count 200 --seed 1``.

Each round starts a command in a process group of its own, kills the group (SIGKILL) after a random
part of the time that the command takes, and runs the same command again. That must succeed with
what an undisturbed run gives. What the killed one left is the old content, the new, or nothing;
what lies there at the end is a result or named in :mod:`tests.kills.commands`. Where a command can
be told to write something else, every other round finds that in its place.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.helpers.places import REPOSITORY
from tests.kills import stock
from tests.kills.commands import COMMANDS, Command, named

RECIPES = REPOSITORY / "distill" / "tasks" / "lift" / "recipes"
PATIENCE = 900.0


@dataclass
class Kills:
    """Undisturbed results, and what came of the rounds."""

    folder: Path
    rng: random.Random
    seconds: dict[str, float] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def prepare(self, commands: tuple[Command, ...]) -> None:
        """Make what the commands work on, and run each of them undisturbed."""
        (self.folder / "stock").mkdir()
        pid = os.fork()  # torch and its like must not have worked in the process that forks
        if not pid:
            with _status_of_child(self.folder / "said"):
                stock.make(self.folder / "stock")
        if os.waitpid(pid, 0)[1]:
            raise RuntimeError((self.folder / "said").read_text())
        for command in commands:
            for which in "ab" if command.twice else "a":
                place = self.folder / f"{command.name}-{which}"
                begin = time.monotonic()
                status, said = self.run(command, which, place)
                if status or command.says not in said:
                    raise RuntimeError(f"{command.name}: {said}")
                self.seconds[command.name] = time.monotonic() - begin

    def run(
        self, command: Command, which: str, place: Path, after: float | None = None
    ) -> tuple[int, str]:
        """Run a command in ``place``; kill it after some seconds. Returns status and output."""
        place.mkdir(exist_ok=True)
        if command.needs and not (place / command.needs[1]).exists():
            source = self.folder / "stock" / command.needs[0].format(which=which)
            shutil.copytree(source, place / command.needs[1])
            (place / command.needs[1] / "firmware.elf").unlink(missing_ok=True)
        values = {"stock": self.folder / "stock", "which": which, "recipes": RECIPES}
        arguments = [part.format(**values) for part in command.arguments.split()]
        said = place.with_suffix(".said")
        pid = os.fork()
        if not pid:
            os.setsid()
            with _status_of_child(said):
                os.chdir(place)
                sys.argv = [command.name, *arguments]
                sys.exit(importlib.import_module(command.module).main(arguments))
        status = _wait(pid, PATIENCE if after is None else after)
        if status is None:
            try:
                os.killpg(pid, signal.SIGKILL)
            except ProcessLookupError:  # it has no group of its own yet
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return -signal.SIGKILL, said.read_text()
        return status, said.read_text()

    def round(self, command: Command, number: int) -> None:
        """Kill once, and look."""
        place = self.folder / "round"
        shutil.rmtree(place, ignore_errors=True)
        before = "b" if command.twice and number % 2 else ""
        if before:
            shutil.copytree(self.folder / f"{command.name}-b", place)
            if command.needs:  # another project came into the place of the one that was built
                shutil.rmtree(place / command.needs[1])
        after = self.rng.uniform(0, 1.1) * self.seconds[command.name]
        status, _ = self.run(command, "a", place, after)
        killed = status == -signal.SIGKILL
        self.counts[f"{command.name} killed" if killed else f"{command.name} ended"] += 1
        wrong = [
            f"{made} is neither old nor new"
            for made in command.made
            if killed and command.whole and not self._is_whole(command, made, place, before)
        ]
        left = _names(place)
        status, said = self.run(command, "a", place)
        if status or command.says not in said:
            wrong.append(f"the same command again: status {status}, {said[-500:]}")
        else:
            wrong += [
                f"{made} is not what it should be"
                for made in command.made
                if not self._equal(command, made, place, "a")
            ]
        extra = {name for name in _names(place) if not named(command, name)}
        extra -= {name for name in extra if name.startswith("project/")}
        if extra:
            wrong.append(f"left over: {sorted(extra)}")
        self.counts[f"{command.name} left something"] += killed and bool(left)
        self.found += [f"{command.name}, after {after:.2f} s: {what}" for what in wrong]

    def _equal(self, command: Command, made: str, place: Path, which: str) -> bool:
        one, other = place / made, self.folder / f"{command.name}-{which}" / made
        if not one.exists():
            return False
        if (command.same and one.suffix != ".json") or command.name == "label":
            assert command.same is not None
            return command.same(one, other)
        return _content(one) == _content(other)

    def _is_whole(self, command: Command, made: str, place: Path, before: str) -> bool:
        path = place / made
        kinds = f"a{before}" if not command.needs else "a"
        return not path.exists() or any(self._equal(command, made, place, w) for w in kinds)


@contextlib.contextmanager
def _status_of_child(said: Path) -> Iterator[None]:
    """End the forked process with the status of the block, its output in a file."""
    status = 1
    try:
        handle = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        yield
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _wait(pid: int, seconds: float) -> int | None:
    """Exit status, None when it takes longer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    return None


def _names(place: Path) -> set[str]:
    return {path.relative_to(place).as_posix() for path in place.rglob("*")}


def _content(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in files}


def main(arguments: list[str] | None = None) -> int:
    """Return 1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="rounds (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    names = ", ".join(command.name for command in COMMANDS)
    parser.add_argument("--only", help=f"these commands: {names}")
    options = parser.parse_args(arguments)
    wanted = options.only.split(",") if options.only else None
    commands = tuple(c for c in COMMANDS if wanted is None or c.name in wanted)
    for command in commands:  # forked processes start where importing ends
        importlib.import_module(command.module)
    with tempfile.TemporaryDirectory() as folder:
        kills = Kills(Path(folder), random.Random(options.seed))
        kills.prepare(commands)
        for number in range(options.count):
            command = commands[number % len(commands)]
            kills.round(command, number // len(commands))
            while kills.found:
                print(kills.found.pop(), file=sys.stderr, flush=True)
                kills.counts["found"] += 1
            print(f"\r{number + 1} rounds", end="", file=sys.stderr, flush=True)
    print()
    for name, count in sorted(kills.counts.items()):
        print(f"{name}: {count}")
    return int(kills.counts["found"] > 0)


if __name__ == "__main__":
    sys.exit(main())
