"""The readers that are fuzzed, each as the command lines use it."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

Read = Callable[[Path], object]


def yaml() -> Read:
    """Network descriptions, up to the placed program."""
    from synthesize.compiler import compile_network

    return lambda path: compile_network(None, path)


def checkpoint() -> Read:
    """Integer checkpoints, as the compiler reads them (without torch)."""
    from synthesize.read import checkpoint, student

    return lambda path: student.load(checkpoint.load(_named(path, ".pth.tar")))


def arrays() -> Read:
    """Integer checkpoints in ``.npz`` files."""
    from synthesize.read import checkpoint

    return lambda path: checkpoint.load(_named(path, ".npz"))


def student() -> Read:
    """Checkpoints, as training and quantisation read them (with torch)."""
    from ai8x_models.student_file import load_student

    return load_student


def onnx() -> Read:
    """Quantised ONNX models, as the compiler reads them."""
    from synthesize.read.onnx import network

    return lambda path: network.load(path)


def float_onnx() -> Read:
    """ONNX models in real numbers, up to the layers that they become."""
    from quantize.ptq.run import understand

    return understand


def elf() -> Read:
    """Firmware, and 50 ms of it on the virtual kit."""
    from evalkit.kit import Kit

    def read(path: Path) -> None:
        gc.collect()  # each emulator keeps a gigabyte of address space until it is collected
        Kit(path).run_until(None, 0.05, 2.0)

    return read


def recording() -> Read:
    """Recordings of the viewer."""
    from evalkit.host.stream.recording import read_recording

    return lambda path: list(read_recording(path))


def coco() -> Read:
    """COCO keypoint files, and the people of every picture in them."""
    from distill.people.annotations import KeypointFile

    def read(path: Path) -> None:
        content = KeypointFile(path)
        for image in content.images:
            content.people_of(image, image.get("width", 64), image.get("height", 64))
            content.annotations_of(image)

    return read


def keypoints() -> Read:
    """Keypoints to be lifted."""
    from distill.tasks.lift import keypoints

    return keypoints.read


def picture() -> Read:
    """Pictures, fitted to a network's input."""
    from ai8x_models.preprocess import prepare, read_picture

    return lambda path: prepare(read_picture(path))


def recipe() -> Read:
    """Recipes of training."""
    from distill.engine.recipe import load_recipe
    from distill.tasks.pose.recipe import Recipe

    return lambda path: load_recipe(path, [], Recipe)


def sample() -> Read:
    """A sample input (``.npy``)."""
    from synthesize.commands import read_sample

    return read_sample


READERS: dict[str, Callable[[], Read]] = {
    reader.__name__: reader
    for reader in (
        *(yaml, checkpoint, arrays, student, onnx, float_onnx, elf, recording, coco, keypoints),
        *(picture, recipe, sample),
    )
}


def _named(path: Path, ending: str) -> Path:
    """The file under a name that says what it is."""
    named = path.with_name(path.name + ending)
    named.unlink(missing_ok=True)
    named.hardlink_to(path)
    return named
