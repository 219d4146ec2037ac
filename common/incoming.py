"""Files of other people: limits that hold before anything is decoded.

Every function here raises :class:`Unfit` (a ValueError) with a reason that fits behind ``PATH:``,
or OSError when the file cannot be read. A small file cannot ask for much memory: what it unpacks
to is known before it is unpacked.
"""

from __future__ import annotations

import io
import json
import math
import stat
import zipfile
import zlib
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import UserError

if TYPE_CHECKING:
    import numpy as np

MAX_JSON_BYTES = 64 * 1024 * 1024
"""Of results, keypoints and reports; Python takes about six times as much for numbers."""

MAX_ARRAY_BYTES = 256 * 1024 * 1024
"""Of one archive of arrays, unpacked."""

MAX_PICKLE_BYTES = 16 * 1024 * 1024
"""Of everything but the tensors of a checkpoint; networks of 1,000 tensors have 300,000."""

MAX_YAML_EVENTS, MAX_YAML_DEPTH, MAX_YAML_SCALAR = 5_000, 20, 1_000

MAX_YAML_BYTES = 64 * 1024

_ROOM = b"\nbytearray\n"
"""A name in a pickle that torch calls: with a number it takes so many bytes of memory."""

_ARCHIVE = b"PK\x03\x04"

CUT_OFF = "it is cut off, its end is missing"
"""Of an archive whose copy or download broke off."""

MAX_ENTRIES = 10_000
"""Files within one archive."""


class Unfit(ValueError):
    """The content of a file is damaged, hostile or too large; the message is the reason."""


def need_file(path: Path, kind: str = "file", remedy: str = "check the path") -> None:
    """Refuse a path that is no file, and say what it is instead.

    Args:
        path: to read from.
        kind: of file that is wanted.
        remedy: what to do about it.

    Raises:
        UserError: it is missing, a folder, a pipe or a device.
    """
    if path.is_file():
        return
    if path.is_dir():
        raise UserError(f"{path} is a folder; {remedy}")
    if path.exists():
        raise UserError(f"{path} is no ordinary file (a pipe or a device); {remedy}")
    raise UserError(f"{path}: there is no such {kind}; {remedy}")


def _ordinary(path: Path) -> None:
    """Refuse what may never begin or end; a folder is told by the system when it is opened."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise Unfit("it is no ordinary file (a pipe or a device)")


def read_bytes(path: Path, most: int) -> bytes:
    """Return a file's bytes; devices and pipes, which may never end or begin, are refused.

    Raises:
        Unfit: it has more than ``most`` bytes, is no ordinary file, or has a name that no file can
            have.
        OSError: it cannot be read.
    """
    try:
        _ordinary(path)
        file = path.open("rb")
    except Unfit:
        raise
    except ValueError:  # a null character, or half of one of Unicode's pairs
        raise Unfit("its name has characters that no file's name can have") from None
    with file:
        content = file.read(most + 1)
    if len(content) > most:
        raise Unfit(f"it is larger than {most} bytes")
    return content


def parse_json(text: str | bytes) -> Any:
    """Return what JSON text says.

    Raises:
        Unfit: it is no JSON, nested too deeply, or holds numbers of thousands of digits.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise Unfit("it is nested too deeply") from None
    except ValueError as error:
        broken = isinstance(error, json.JSONDecodeError | UnicodeDecodeError)
        raise Unfit(str(error) if broken else "a number of thousands of digits") from None


def read_json(path: Path, most: int = MAX_JSON_BYTES) -> Any:
    """Return the content of a JSON file.

    Raises:
        Unfit: as :func:`read_bytes` and :func:`parse_json`.
        OSError: it cannot be read.
    """
    return parse_json(read_bytes(path, most))


def check_yaml(text: str) -> None:
    """Look at YAML text before it becomes values: small settings, not data.

    Raises:
        Unfit: it is too long, nested too deeply, or holds a word or number without end.
    """
    import yaml

    depth = 0
    try:
        for count, event in enumerate(yaml.parse(text)):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            line = event.start_mark.line + 1 if event.start_mark else 0
            if count > MAX_YAML_EVENTS or depth > MAX_YAML_DEPTH:
                raise Unfit(f"line {line}: nested too deeply or too long for settings")
            if not isinstance(event, yaml.ScalarEvent) or event.style is not None:
                continue
            if len(event.value) > MAX_YAML_SCALAR:
                raise Unfit(f"line {line}: a value of {len(event.value)} characters")
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        if isinstance(error, Unfit):
            raise
        wrong = yaml_line(error)
        place = f" in line {wrong}" if wrong else ""
        raise Unfit(f"not valid YAML{place} ({yaml_problem(error)})") from None


def yaml_line(error: Exception) -> int | None:
    """The line, from 1, in which YAML is wrong, where that is known."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return mark.line + 1 if mark else None


def yaml_problem(error: Exception) -> str:
    """What is wrong with YAML, in words about YAML; its reader also says what Python said."""
    import yaml

    if isinstance(error, yaml.constructor.ConstructorError):
        problem = str(error.problem)
        if "constructor for the tag" in problem:
            return "a tag (!) that means nothing here"
        if "unhashable key" in problem:
            return "a key that is a list or has keys itself"
        return "a value that is not what its tag (!) says"
    if isinstance(error, yaml.reader.ReaderError):
        return f"a character that text does not have, at place {error.position + 1}"
    if isinstance(error, yaml.YAMLError):
        return str(getattr(error, "problem", None) or "it ends too early")
    return "a number, date or character that does not exist"


def check_archive(file: Path | io.BytesIO, most: int) -> None:
    """Look at the directory of a zip archive.

    Raises:
        Unfit: it is damaged, or unpacks to more than ``most`` bytes.
        OSError: it cannot be read.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
        raise Unfit(_reason(error)) from None
    size = sum(entry.file_size for entry in entries)
    if len(entries) > MAX_ENTRIES:
        raise Unfit(f"it holds {len(entries)} files, more than {MAX_ENTRIES}")
    if size > most:
        raise Unfit(f"it unpacks to {size} bytes, more than {most}")


def is_cut_off(path: Path) -> bool:
    """Whether a file begins as a zip archive and lacks the directory at its end.

    Raises:
        Unfit: it is no ordinary file.
        OSError: it cannot be read.
    """
    _ordinary(path)
    with path.open("rb") as file:
        return file.read(len(_ARCHIVE)) == _ARCHIVE and not zipfile.is_zipfile(path)


def check_torch(path: Path) -> None:
    """Look at a checkpoint before torch unpacks it: torch itself never compresses.

    Raises:
        Unfit: it is no ordinary file, would unpack to far more than it takes, or describes more
            than any network.
        OSError: it cannot be read.
    """
    if is_cut_off(path):
        raise Unfit(CUT_OFF)
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            if path.stat().st_size and mmap(file.fileno(), 0, access=ACCESS_READ).find(_ROOM) >= 0:
                raise Unfit("it asks for memory that it does not fill")
        return
    check_archive(path, path.stat().st_size + MAX_PICKLE_BYTES)
    with zipfile.ZipFile(path) as archive:
        described = [e for e in archive.infolist() if e.filename.endswith("data.pkl")]
        size = sum(entry.file_size for entry in described)
        if size > MAX_PICKLE_BYTES:
            raise Unfit(f"its description takes {size} bytes, more than {MAX_PICKLE_BYTES}")
        try:
            rooms = any(_ROOM in archive.read(entry) for entry in described)
        except (
            zipfile.BadZipFile,
            NotImplementedError,
            RuntimeError,
            EOFError,
            zlib.error,
        ) as error:
            raise Unfit(_reason(error)) from None
    if rooms:
        raise Unfit("it asks for memory that it does not fill")


def array_of(content: bytes) -> np.ndarray:
    """Return the array that the bytes of a ``.npy`` file hold; objects are never unpickled.

    Raises:
        Unfit: they are no such file, or hold fewer elements than they say.
    """
    import numpy as np

    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        readers = {(1, 0): np.lib.format.read_array_header_1_0}
        read_header = readers.get(version, np.lib.format.read_array_header_2_0)
        shape, _, dtype = read_header(stream)
        if dtype.hasobject:
            raise Unfit("it holds objects, not numbers")
        left = len(content) - stream.tell()
        if math.prod(shape) * max(dtype.itemsize, 1) > left:
            raise Unfit(f"it is cut off: {left} bytes for {dtype} {list(shape)}")
        return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except Unfit:
        raise
    except Exception as error:  # NumPy evaluates the header: almost anything comes out
        raise Unfit(f"no .npy content ({_reason(error)})") from None


def read_array(path: Path, most: int = MAX_ARRAY_BYTES) -> np.ndarray:
    """Return the array of a ``.npy`` file.

    Raises:
        Unfit: as :func:`read_bytes` and :func:`array_of`.
        OSError: it cannot be read.
    """
    return array_of(read_bytes(path, most))


def read_arrays(path: Path, most: int = MAX_ARRAY_BYTES) -> dict[str, np.ndarray]:
    """Return the arrays of an ``.npz`` file by name.

    Raises:
        Unfit: it is damaged, unpacks to more than ``most`` bytes, or holds objects.
        OSError: it cannot be read.
    """
    raw = io.BytesIO(read_bytes(path, most))
    check_archive(raw, most)
    arrays: dict[str, np.ndarray] = {}
    try:
        with zipfile.ZipFile(raw) as archive:
            for entry in archive.infolist():
                arrays[entry.filename.removesuffix(".npy")] = array_of(archive.read(entry))
    except Unfit:
        raise
    except Exception as error:  # zlib, encryption, unknown methods, bad sums
        raise Unfit(f"damaged archive ({_reason(error)})") from None
    return arrays


def _reason(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
