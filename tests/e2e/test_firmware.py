"""From a compiled network to the known answer computed by firmware on the virtual board."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from evalkit.commands.run import main as run_command
from evalkit.kit import Fault, Kit
from evalkit.timeline import collect
from evalkit.wire import protocol
from synthesize.compiler import Compiled, compile_graph, compile_network
from synthesize.graph import ir
from synthesize.read import checkpoint
from synthesize.write import elf as build
from synthesize.write import project as emit

pytest.importorskip("unicorn", reason="the kit extra is not installed")

FAST = ("mnist-extrasmall", "kws20_v3", "rnd_lifter")
"""An image network, a 1D network with FIFO-free input, linear layers."""


def load_case(folder: Path) -> tuple[Compiled, np.ndarray]:
    sample = np.load(folder / "input.npy")
    compiled = compile_network(
        checkpoint.load(folder / "checkpoint.npz"), folder / "network.yaml", sample.shape
    )
    return compiled, sample


@pytest.fixture(scope="session")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("objects")


@pytest.fixture(scope="session")
def mnist(shared_dir: Path) -> tuple[Compiled, np.ndarray]:
    return load_case(shared_dir / "golden" / "mnist-extrasmall")


@pytest.fixture(scope="session")
def mnist_image(
    mnist: tuple[Compiled, np.ndarray], tmp_path_factory: pytest.TempPathFactory, objects: Path
) -> Path:
    compiled, sample = mnist
    folder = tmp_path_factory.mktemp("mnist") / "project"
    emit.write_project(compiled.program, sample, compiled.known_answer(sample), folder)
    return build.build(folder, cache=objects)


def check_passes(case: Path, folder: Path, objects: Path) -> None:
    check_compiled(*load_case(case), folder, objects)


def check_compiled(compiled: Compiled, sample: np.ndarray, folder: Path, objects: Path) -> None:
    expected = compiled.known_answer(sample)
    emit.write_project(compiled.program, sample, expected, folder)
    kit = Kit(build.build(folder, cache=objects))
    kit.run_until()
    assert "PASS" in kit.uart_text()
    for got, out in zip(kit.maps(), compiled.program.outputs, strict=True):
        np.testing.assert_array_equal(got, expected[out.name].reshape(out.shape))
    assert kit.machine.accelerator.cnn.inferences == 1


def test_known_answer_of_input_through_two_fifos(tmp_path: Path, objects: Path) -> None:
    rng = np.random.default_rng(6)
    weights = rng.integers(-128, 128, (8, 6, 3, 3)), rng.integers(-128, 128, (4, 8, 3, 3))
    shape = (6, 91, 92)
    first = ir.Layer(
        "a", "conv2d", (ir.INPUT,), shape, (8, 91, 92), kernel=(3, 3), pad=(1, 1),
        weight=weights[0], output_shift=-3,
    )  # fmt: skip
    second = ir.Layer(
        "b", "conv2d", ("a",), (8, 91, 92), (4, 30, 30), kernel=(3, 3), pad=(1, 1),
        pool=ir.Pool("max", (3, 3), (3, 3)), weight=weights[1], output_shift=-3,
    )  # fmt: skip
    outputs = (ir.Output("y", "b", 0, 4),)
    compiled = compile_graph(ir.Graph("fifos", ir.Input(shape), (first, second), outputs))
    assert compiled.program.fifo is not None
    assert len(compiled.program.fifo.data_addresses) == 2
    check_compiled(compiled, rng.integers(-128, 128, shape), tmp_path / "project", objects)


@pytest.mark.parametrize("name", FAST)
def test_known_answer(name: str, shared_dir: Path, tmp_path: Path, objects: Path) -> None:
    check_passes(shared_dir / "golden" / name, tmp_path / "project", objects)


@pytest.mark.long
@pytest.mark.parametrize(
    "name",
    ["autoencoder", "cats-dogs", "cifar-10", "pose659", "rnd_keypoints", "rnd_lowbit", "rnd_odd",
     "rnd_upsample", "svhn_tinierssd"],
)  # fmt: skip
def test_known_answer_of_every_case(
    name: str, shared_dir: Path, tmp_path: Path, objects: Path
) -> None:
    check_passes(shared_dir / "golden" / name, tmp_path / "project", objects)


def test_inference_time_is_that_of_the_cycle_model(
    mnist: tuple[Compiled, np.ndarray], mnist_image: Path
) -> None:
    kit = Kit(mnist_image)
    kit.run_until()
    ends = [protocol.parse_end(f.payload) for f in kit.frames if f.type == protocol.END]
    assert len(ends) == 1
    assert ends[0].status == 0
    # The stopwatch also sees the interrupt's entry and the first instructions of its handler.
    assert 0 <= ends[0].ticks - mnist[0].program.cycles < 100


def test_hello_identifies_the_network(
    mnist: tuple[Compiled, np.ndarray], mnist_image: Path
) -> None:
    kit = Kit(mnist_image)
    kit.run_until()
    hello = protocol.parse_hello(kit.frames[0].payload)
    program = mnist[0].program
    assert (hello.network, hello.checksum) == (program.name, program.checksum)
    assert f"network: {program.name}" in kit.uart_text()
    assert f"checksum: 0x{program.checksum:08x}" in kit.uart_text()


def test_wrong_answer_fails_and_names_the_first_address(
    mnist: tuple[Compiled, np.ndarray],
    tmp_path: Path,
    objects: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    compiled, sample = mnist
    expected = {name: values.copy() for name, values in compiled.known_answer(sample).items()}
    out = compiled.program.outputs[0]
    expected[out.name].reshape(-1)[2] += 1
    emit.write_project(compiled.program, sample, expected, tmp_path / "project")
    image = build.build(tmp_path / "project", cache=objects)
    assert run_command([str(image), "--uart", "-"]) == 1
    text = capsys.readouterr().out
    address = int(out.addresses.reshape(-1)[2]) & ~3
    assert f"first difference at 0x{address:08x}" in text
    assert "words that differ: 1\n" in text
    assert "FAIL" in text


def test_flipped_weight_bit_changes_the_answer(mnist_image: Path) -> None:
    kit = Kit(mnist_image)
    assert kit.run_to("cnn_start")
    processor0_first_kernel = 0x5018_0000
    for word in range(8):
        kit.flip_bit(processor0_first_kernel + 16 * word + 4, 6)
    kit.run_until()
    assert "FAIL" in kit.uart_text()


def test_another_sample_compiles_only_the_application(
    mnist: tuple[Compiled, np.ndarray], tmp_path: Path
) -> None:
    compiled, sample = mnist
    cache = tmp_path / "objects"
    folder = tmp_path / "project"
    for other in (sample, -1 - sample):
        before = set(cache.glob("*.o"))
        emit.write_project(compiled.program, other, compiled.known_answer(other), folder)
        build.build(folder, cache=cache)
    new = {path.name.split("-")[0] for path in set(cache.glob("*.o")) - before}
    assert new == {"main"}


def test_timeline_shows_the_phases(mnist_image: Path, tmp_path: Path) -> None:
    page = tmp_path / "timeline.html"
    maps = tmp_path / "maps.npz"
    dump = tmp_path / "dump"
    options = ["--timeline", str(page), "--maps", str(maps), "--dump-layers", str(dump)]
    assert run_command([str(mnist_image), *options]) == 0
    assert (dump / "layer00_in.npy").is_file()
    text = page.read_text(encoding="utf-8")
    for phase in ("load weights", "registers", "load data", "unload", "layer 0", "run 1", "UART0"):
        assert phase in text
    with np.load(maps) as stored:
        assert stored["output_0"].dtype == np.int32


def test_layer_times_add_up(mnist: tuple[Compiled, np.ndarray], mnist_image: Path) -> None:
    kit = Kit(mnist_image)
    kit.run_until()
    rows = dict(collect(kit.machine))
    cycles = [round((span.end - span.start) / 20_000) for span in rows["layers"]]
    assert cycles == [layer.cycles for layer in mnist[0].program.layers]


def test_folder_with_other_contents_is_left_alone(
    mnist: tuple[Compiled, np.ndarray], tmp_path: Path
) -> None:
    compiled, sample = mnist
    precious = tmp_path / "project" / "thesis.txt"
    precious.parent.mkdir()
    precious.write_text("text", encoding="ascii")
    with pytest.raises(UserError, match="no generated project"):
        emit.write_project(compiled.program, sample, compiled.known_answer(sample), precious.parent)
    assert precious.read_text(encoding="ascii") == "text"
    assert [path.name for path in tmp_path.iterdir()] == ["project"]


def test_input_of_the_wrong_shape_leaves_nothing(
    mnist: tuple[Compiled, np.ndarray], tmp_path: Path
) -> None:
    compiled, sample = mnist
    with pytest.raises(UserError):
        emit.write_project(
            compiled.program, sample[:, 1:], compiled.known_answer(sample), tmp_path / "project"
        )
    assert list(tmp_path.iterdir()) == []


def test_uncompiled_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no generated project"):
        build.build(tmp_path)


def test_missing_compiler_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'pose78\[toolchain\]'"):
        build.find_toolchain()


def test_too_large_a_program_is_explained(tmp_path: Path, mnist_image: Path) -> None:
    folder = tmp_path / "project"
    shutil.copytree(mnist_image.parent, folder)
    main = (folder / "main.c").read_text(encoding="ascii")
    # In the section of the vectors, which the linker keeps although nobody refers to it.
    kept = '__attribute__((used, section(".vectors")))'
    blob = f"{kept} static const unsigned char blob[600000] = {{1}};\n"
    (folder / "main.c").write_text(main + blob, encoding="ascii")
    with pytest.raises(UserError, match="exceeds the 512 KiB of flash by"):
        build.build(folder, cache=tmp_path / "objects")


def test_a_fault_carries_register_and_line(
    mnist: tuple[Compiled, np.ndarray], tmp_path: Path, objects: Path
) -> None:
    """A driver that loads only the first block of weights."""
    compiled, sample = mnist
    folder = tmp_path / "project"
    emit.write_project(compiled.program, sample, compiled.known_answer(sample), folder)
    driver = (folder / "cnn.c").read_text(encoding="ascii")
    loop = "while (record[0] != 0) {\n        const uint32_t address"
    assert loop in driver
    driver = driver.replace(loop, loop.replace("while", "if"))
    check = "int cnn_verify_weights(void)\n{\n"
    assert check in driver
    driver = driver.replace(check, check + "    return CNN_OK;\n")
    (folder / "cnn.c").write_text(driver, encoding="ascii")
    kit = Kit(build.build(folder, cache=objects))
    with pytest.raises(Fault, match=r"layer \d+.*at pc 0x[0-9a-f]{8} \(.*cnn\.c:\d+\)"):
        kit.run_until()
