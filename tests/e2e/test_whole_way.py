"""One picture after the other: torch, the integer reference and the firmware agree bit for bit."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from ai8x_models import preprocess, show
from ai8x_models.maps import read_maps
from ai8x_models.student_file import load_student, save_student
from ai8x_models.students import Student
from distill.engine.recipe import load_recipe
from distill.people.synthetic import demonstration, make_scene, write_picture
from distill.tasks.pose.recipe import PictureRecipe
from evalkit.__main__ import main as evalkit
from quantize.calibrate import bits_per_layer, calibrate
from quantize.fold import fold_batchnorm
from quantize.integer import integer_extras, to_integer
from synthesize.__main__ import main as synthesize
from synthesize.graph import reference
from synthesize.read import checkpoint as checkpoints
from synthesize.read.student import load as read_graph
from synthesize.write import elf as build
from synthesize.write.known_answer import CRC_FLAG
from tests.helpers.places import REPOSITORY, find_shared

SHIPPED = REPOSITORY / "ai8x_models" / "checkpoints" / "native-q.pth.tar"
PICTURES = 20


def random_student(path: Path, name: str = "seed", recipe: str = "seed-qat") -> Path:
    """An integer checkpoint with random weights, as uneven as trained ones, at a recipe's bits."""
    torch.manual_seed(78)
    student = Student(name)
    file = REPOSITORY / "distill" / "tasks" / "pose" / "recipes" / f"{recipe}.yaml"
    settings = load_recipe(file, [], PictureRecipe)
    qat = settings.qat
    for _, layer in student.layers():
        if layer.bn is not None:
            torch.nn.init.uniform_(layer.bn.weight, 0.5, 2.0)
            torch.nn.init.uniform_(layer.bn.bias, -0.5, 1.0)
    noise = torch.randint(-128, 128, (4, 3, 64, 64)).float() / 128
    student.train()
    with torch.no_grad():
        student(noise)
    fold_batchnorm(student.eval())
    calibrate(student, bits_per_layer(student, qat.default_bits, qat.bits), noise)
    save_student(to_integer(student), path, 0, integer_extras(student, {}))
    return path


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to work in; compiled objects are kept between pictures."""
    return tmp_path_factory.mktemp("work")


def pictures(folder: Path, count: int) -> list[Path]:
    """Photographs where this machine has some, otherwise drawn people."""
    shared = find_shared()
    if shared is not None:
        found = sorted((shared / "data").glob("*/val/*.jpg"))
        return found[:: max(1, len(found) // count)][:count]
    for index in range(count):
        write_picture(folder / f"{index:02d}.png", make_scene(index, 160, 200).pixels)
    return sorted(folder.glob("*.png"))


def torch_answer(student: Student, data: np.ndarray) -> list[np.ndarray]:
    """Outputs of the integer-exact torch forward, integers [channels, h, w]."""
    with torch.no_grad():
        outputs = student.eval()(torch.from_numpy(data).float()[None])
    return [output[0].numpy().astype(np.int64) for output in outputs]


def firmware_answer(checkpoint: Path, data: np.ndarray, work: Path) -> list[np.ndarray]:
    """Maps that the firmware sends from the virtual kit, having passed its known-answer test."""
    np.save(work / "input.npy", data)
    arguments = [str(checkpoint), "--sample", str(work / "input.npy"), "--quiet"]
    assert synthesize(["compile", *arguments, "--out", str(work / "project")]) == 0
    elf = build.build(work / "project", cache=work / "objects")
    console = work / "console.txt"
    maps = ["--maps", str(work / "maps.npz"), "--uart", str(console)]
    assert evalkit(["run", str(elf), *maps]) == 0
    assert "PASS" in console.read_text()
    return [maps.astype(np.int64) for maps in read_maps(work / "maps.npz").outputs]


def agree(checkpoint: Path, data: np.ndarray, firmware: list[np.ndarray]) -> None:
    """Torch, reference and firmware hold the same integers."""
    graph = read_graph(checkpoints.load(checkpoint))
    wanted = reference.run(graph, data)
    by_torch_all = torch_answer(load_student(checkpoint)[0], data)
    for name, by_torch, by_firmware in zip(wanted, by_torch_all, firmware, strict=True):
        assert np.array_equal(wanted[name], by_torch), f"{name}: reference and torch differ"
        assert np.array_equal(wanted[name], by_firmware), f"{name}: reference and firmware differ"


@pytest.mark.parametrize("name", ["seed", "native"])
def test_random_weights_through_the_firmware(work: Path, tmp_path: Path, name: str) -> None:
    data = preprocess.prepare(make_scene(1, 200, 150).pixels).data
    checkpoint = random_student(tmp_path / "random-q.pth.tar", name, f"{name}-qat")
    agree(checkpoint, data, firmware_answer(checkpoint, data, work))


@pytest.mark.long
def test_a_wrong_checksum_of_a_long_answer_fails(work: Path, tmp_path: Path) -> None:
    """The native student's answer is stored as checksums, for want of flash memory."""
    data = preprocess.prepare(make_scene(1, 200, 150).pixels).data
    np.save(tmp_path / "input.npy", data)
    checkpoint = random_student(tmp_path / "random-q.pth.tar", "native", "native-qat")
    arguments = [str(checkpoint), "--sample", str(tmp_path / "input.npy"), "--quiet"]
    assert synthesize(["compile", *arguments, "--out", str(tmp_path / "project")]) == 0
    header = tmp_path / "project" / "sampleoutput.h"
    words = re.findall(r"0x[0-9a-f]{8}", header.read_text())
    assert int(words[2], 16) & CRC_FLAG
    wrong = f"0x{int(words[3], 16) ^ 1:08x}"
    header.write_text(header.read_text().replace(words[3], wrong, 1))
    elf = build.build(tmp_path / "project", cache=work / "objects")
    assert evalkit(["run", str(elf), "--uart", str(tmp_path / "console.txt")]) == 1
    console = (tmp_path / "console.txt").read_text()
    assert "FAIL" in console
    assert f"the words differ from {words[0]}" in console.lower()
    assert "words that differ: 1" in console


def test_many_pictures_through_the_firmware(work: Path, tmp_path: Path) -> None:
    chosen = pictures(tmp_path, PICTURES)
    assert len(chosen) == PICTURES
    for path in chosen:
        data = preprocess.prepare(preprocess.read_picture(path)).data
        agree(SHIPPED, data, firmware_answer(SHIPPED, data, work))


def test_reference_and_torch_agree_on_many_pictures(tmp_path: Path) -> None:
    graph = read_graph(checkpoints.load(SHIPPED))
    student, _ = load_student(SHIPPED)
    for path in pictures(tmp_path, PICTURES):
        data = preprocess.prepare(preprocess.read_picture(path)).data
        wanted = reference.run(graph, data)
        for name, by_torch in zip(wanted, torch_answer(student, data), strict=True):
            assert np.array_equal(wanted[name], by_torch), f"{path.name}: {name} differs"


def test_the_shipped_student_sees_the_shipped_picture(work: Path, tmp_path: Path, capsys) -> None:
    """The skeletons lie on the people: their exact keypoints are known."""
    picture = tmp_path / "people.png"
    scene = demonstration()
    write_picture(picture, scene.pixels)
    data = preprocess.prepare(scene.pixels).data
    firmware_answer(SHIPPED, data, work)
    report = work / "project" / "report.json"
    assert show.main(
        [str(picture), "--maps", str(work / "maps.npz"), "--report", str(report)]
        + ["-o", str(tmp_path / "overlay.png")]
    ) == 0  # fmt: skip
    count = len(scene.keypoints)
    assert capsys.readouterr().out.startswith(f"{count} people found")
    used = json.loads(report.read_text())
    for key in ("weight_bytes", "bias_bytes", "data_bytes", "kernel_words"):
        assert used[key]["used"] <= used[key]["limit"]
