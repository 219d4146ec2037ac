"""Student checkpoints on disk: ``.pth.tar`` files in ai8x-training's form, written atomically."""

from __future__ import annotations

import io
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ai8x_models.spec.described import described_spec
from ai8x_models.students import SPECS, Student, StudentSpec
from common import pickles
from common.errors import UserError
from common.files import replace_file
from common.incoming import Unfit, check_torch
from common.texts import shown

_READ = (
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool),
    *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
)
"""Types of the tensors of a state dictionary; others lack the operations that follow."""


def write_atomically(data: Any, path: Path) -> None:
    """Write a torch file, whole or not at all; OSError when it cannot be."""
    content = io.BytesIO()  # torch's own file writer reports a full disk as RuntimeError
    torch.save(data, content)
    replace_file(path, content.getbuffer())


def write_checkpoint(data: Any, path: Path) -> None:
    """As :func:`write_atomically`.

    Raises:
        UserError: it cannot be written; the sentence names the file and the reason.
    """
    try:
        write_atomically(data, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None


def save_student(
    student: Student, path: Path, epoch: int, extras: dict[str, Any], compact: bool = False
) -> None:
    """Write ``epoch, arch, state_dict, extras``; the network's description joins the extras.

    ``compact`` keeps an integer student's weights as bytes and its biases as 16-bit integers, a
    quarter of the size; the values are the same.
    """
    state = student.state_dict()
    if compact and student.mode == "integer":
        kinds = {".op.weight": torch.int8, ".op.bias": torch.int16}
        for key, value in state.items():
            kind = next((kinds[end] for end in kinds if key.endswith(end)), value.dtype)
            state[key] = value.to(kind)
    data = {
        "epoch": epoch,
        "arch": student.spec.name,
        "state_dict": state,
        "extras": {**student.spec.describe(), "mode": student.mode, **extras},
    }
    write_atomically(data, path)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Load a checkpoint without executing code from it.

    Raises:
        UserError: missing, unreadable, hostile or foreign file.
    """
    path = Path(path)
    try:
        check_torch(path)
        _check_pickles(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a foreign pickle protocol is refused below
            data = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"cannot read checkpoint {path}: {error.strerror or error}") from None
    except (
        *(pickle.UnpicklingError, RecursionError, RuntimeError, EOFError, ValueError),
        *(LookupError, TypeError, AttributeError, OverflowError, MemoryError),
    ) as error:
        # torch's own words advise to execute what the file holds; they are not passed on.
        kind = str(error) if isinstance(error, Unfit) else type(error).__name__
        raise UserError(
            f"{path} is no torch checkpoint of plain data ({kind}); name a .pth.tar file that this "
            "project or ai8x-training wrote"
        ) from None
    if not isinstance(data, dict) or not isinstance(data.get("state_dict"), dict):
        raise UserError(f"{path} has no state_dict; expected epoch, arch, state_dict, extras")
    _check_state(path, data["state_dict"])
    return data


def _check_pickles(path: Path) -> None:
    """Look through what torch will follow: one pickle in an archive, or five in a row.

    Raises:
        ValueError: it asks for too much, or is no pickle.
    """
    if not zipfile.is_zipfile(path):
        with path.open("rb") as stream:
            for _ in range(5):
                pickles.check(stream)
        return
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith("data.pkl"):
                pickles.check(archive.read(name))


_TRAINED = ("weight", "bias", "running_mean", "running_var")


def _check_state(path: Path, state: Mapping[Any, Any]) -> None:
    """A state dictionary holds names and plain tensors, none of which asks for more than the file.

    Raises:
        UserError: something else stands in it; views that show one number many times as well.
    """
    size = path.stat().st_size
    for name, value in state.items():
        if not isinstance(name, str):
            raise UserError(f"{path}: {shown(name)} is no name of a tensor; save a state_dict")
        plain = isinstance(value, torch.Tensor) and not (value.is_nested or value.is_quantized)
        if not plain or value.layout != torch.strided or value.dtype not in _READ or value.is_meta:
            raise UserError(
                f"{path}: {shown(name)} is no plain tensor of real numbers; save it as one, "
                "for example with .to_dense().float()"
            )
        if value.numel() * value.element_size() > size:
            raise UserError(
                f"{path}: {shown(name)} has {value.numel()} elements, more than the file holds; "
                "save its own numbers (.contiguous()), not a view"
            )
        trained = value.is_floating_point() and name.endswith(_TRAINED)
        if trained and not bool(value.isfinite().all()):
            raise UserError(
                f"{path}: {shown(name)} holds NaN or infinity: its training went wrong; name an "
                "earlier checkpoint, or train again"
            )


def spec_of(arch: str, extras: Mapping[str, Any], state: Mapping[str, Any]) -> StudentSpec | None:
    """The student of that name, unless the file describes another one: names outlive networks."""
    known, described = SPECS.get(arch), described_spec(arch, extras, state)
    if known is None or described is None:
        return known or described
    own = {layer.name: layer.op for layer in described.layers}
    same = own == {layer.name: layer.op for layer in known.layers}
    return known if same else described


def load_student(path: str | Path) -> tuple[Student, dict[str, Any]]:
    """Rebuild a student, in the mode and with the folding it was saved with."""
    data = read_checkpoint(path)
    arch, state = data.get("arch"), data["state_dict"]
    chosen = spec_of(str(arch), data.get("extras", {}), state)
    if chosen is None:
        raise UserError(
            f"{path} holds architecture '{arch}' and no description of a student; known ones are "
            f"{sorted(SPECS)}"
        )
    try:
        student = Student(chosen)
    except (ValueError, RuntimeError, KeyError) as error:
        raise UserError(f"{path} describes no network that can be built: {error}") from None
    for spec, layer in student.layers():
        if layer.bn is not None and f"{spec.name}.bn.weight" not in state:
            layer.remove_batchnorm()
    try:
        student.load_state_dict(state)
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:200]
        raise UserError(f"{path} does not fit architecture '{arch}': {detail}") from None
    return student.set_mode(data.get("extras", {}).get("mode", "float")), data
