"""Pictures over the serial line into the firmware, results back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from evalkit.hardware.scheduler import SECOND
from evalkit.kit import Kit
from evalkit.wire import pieces, protocol
from evalkit.wire.protocol import Frame, encode, image_frames
from synthesize.compiler import Compiled, compile_network
from synthesize.read import checkpoint
from synthesize.write import elf as build
from synthesize.write import project as emit
from synthesize.write.input_table import layout

pytest.importorskip("unicorn", reason="the kit extra is not installed")

Network = tuple[Compiled, Path]


def compile_case(case: Path) -> Compiled:
    shape = np.load(case / "input.npy").shape
    return compile_network(checkpoint.load(case / "checkpoint.npz"), case / "network.yaml", shape)


@pytest.fixture(scope="module")
def network(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Network:
    """A small picture network (3x32x32) with the frame-injection application."""
    compiled = compile_case(shared_dir / "golden" / "cifar-10")
    folder = tmp_path_factory.mktemp("injection")
    program = compiled.program
    example = emit.example(program, None, "frame-injection")
    expected = compiled.known_answer(example)
    emit.write_project(program, example, expected, folder / "project", "frame-injection")
    return compiled, build.build(folder / "project", cache=folder / "objects", baud=921600)


@pytest.fixture
def kit(network: Network) -> Kit:
    board = Kit(network[1])
    hello = protocol.parse_hello(board.run_until_frame(protocol.HELLO).payload)
    assert hello.network == network[0].program.name
    assert hello.input_shape == network[0].program.input_shape
    return board


def picture(network: Network, seed: int) -> np.ndarray:
    """Random pixels, uint8 [rows, columns, channels]."""
    channels, rows, columns = network[0].program.input_shape
    return np.random.default_rng(seed).integers(0, 256, (rows, columns, channels), np.uint8)


def send(kit: Kit, *frames: Frame) -> None:
    kit.uart_write(b"".join(map(encode, frames)))


def answer(kit: Kit, network: Network) -> list[np.ndarray]:
    """Wait for the maps of one picture."""
    count = sum(out.shape[0] for out in network[0].program.outputs)
    collector = pieces.MapCollector()
    for _ in range(count):
        frame = kit.run_until_frame(protocol.MAP, protocol.ERROR)
        assert frame.type == protocol.MAP, frame.payload
        collector.add(frame.payload)
    return collector.maps()


def check_answer(kit: Kit, network: Network, image: np.ndarray) -> None:
    chw = (image.astype(np.int16) - 128).astype(np.int8).transpose(2, 0, 1)
    expected = network[0].known_answer(chw)
    for got, out in zip(answer(kit, network), network[0].program.outputs, strict=True):
        np.testing.assert_array_equal(got, expected[out.name].reshape(out.shape))


def wait_error(kit: Kit) -> protocol.Error:
    return protocol.parse_error(kit.run_until_frame(protocol.ERROR).payload)


def test_pictures_one_after_the_other(kit: Kit, network: Network) -> None:
    for number in range(3):
        image = picture(network, number)
        send(kit, *image_frames(image, number))
        check_answer(kit, network, image)


def test_board_says_who_it_is_when_asked(kit: Kit, network: Network) -> None:
    send(kit, Frame(protocol.ASK, 0, b""))
    hello = protocol.parse_hello(kit.run_until_frame(protocol.HELLO).payload)
    assert hello.checksum == network[0].program.checksum


def test_wrong_requests_are_answered_and_the_board_goes_on(kit: Kit, network: Network) -> None:
    image = picture(network, 7)
    good = image_frames(image, 7)
    header = good[0].payload[:8]
    send(kit, Frame(0x77, 0, b"?"))
    assert wait_error(kit).code == 1
    for wrong in (b"", b"1234567", header + b"x", b"\0\0\0\0\x01\0\0\0" + bytes(96),
                  b"\0\0\0\0\0\0\0\x01" + bytes(96), b"\0\0\0\0\xff\xff\xff\xff"):  # fmt: skip
        send(kit, Frame(protocol.IMAGE, 0, wrong))
        assert wait_error(kit).code == 2
    send(kit, good[-1] if len(good) > 1 else Frame(protocol.IMAGE, 0, b"\0\0\1\0\0\0\0\0"))
    assert wait_error(kit).code == 3
    send(kit, *good)
    check_answer(kit, network, image)


def let_everything_arrive(kit: Kit) -> None:
    end = kit.seconds + 0.3
    kit.run_until(lambda: kit.seconds >= end)


def test_damaged_piece_costs_only_its_picture(kit: Kit, network: Network) -> None:
    first, second = picture(network, 1), picture(network, 2)
    stream = bytearray(b"".join(map(encode, image_frames(first, 1))))
    del stream[len(stream) // 2]
    kit.uart_write(bytes(stream))
    let_everything_arrive(kit)
    assert not any(frame.type == protocol.MAP for frame in kit.frames)
    send(kit, *image_frames(second, 2))
    check_answer(kit, network, second)


def test_silence_in_the_middle_of_a_frame_is_survived(kit: Kit, network: Network) -> None:
    image = picture(network, 4)
    begun = encode(image_frames(image, 4)[0])
    for cut in (5, 12, len(begun) // 2):
        kit.uart_write(begun[:cut])
        let_everything_arrive(kit)
        send(kit, Frame(protocol.ASK, 0, b""))
        kit.run_until_frame(protocol.HELLO)
    send(kit, *image_frames(image, 4))
    check_answer(kit, network, image)


def test_noise_is_ignored(kit: Kit, network: Network) -> None:
    kit.uart_write(np.random.default_rng(5).integers(0, 256, 3_000, np.uint8).tobytes())
    let_everything_arrive(kit)
    assert "no frames; the rate of this console is: 921600 baud" in kit.uart_text()
    image = picture(network, 6)
    send(kit, *image_frames(image, 6))
    check_answer(kit, network, image)


CASES = ("cifar-10", "mnist-extrasmall", "rnd_keypoints", "rnd_lowbit", "rnd_odd", "pose659")


@pytest.mark.parametrize("name", CASES)
def test_input_table_is_where_the_packer_writes(name: str, shared_dir: Path) -> None:
    program = compile_case(shared_dir / "golden" / name).program
    place = layout(program)
    addresses = program.input_addresses()
    channels, rows, columns = program.input_shape
    fold = place.fold
    seen = np.full(addresses.shape, -1)
    for address, source in place.words:
        for lane, offset in enumerate(source):
            if offset < 0:
                continue
            y, rest = divmod(offset, columns * channels)
            x, c = divmod(rest, channels)
            row, column = np.mgrid[0 : rows // fold, 0 : columns // fold]
            seen[c, y::fold, x::fold] = (
                address + lane + row * place.row_stride + column * place.column_stride
            )
    np.testing.assert_array_equal(seen, addresses)


def test_network_that_streams_is_refused(shared_dir: Path, tmp_path: Path) -> None:
    program = compile_case(shared_dir / "golden" / "cats-dogs").program
    none = np.zeros(program.input_shape, np.int8)
    with pytest.raises(UserError, match="streams its input"):
        emit.write_project(program, none, {}, tmp_path / "project", "frame-injection")
    assert list(tmp_path.iterdir()) == []


def fresh(network: Network) -> Kit:
    """A board that has just got power."""
    return Kit(network[1])


FIRST_KERNEL = 0x5018_0000
IRQ_CNN = 16 + 101


def flip_before_check(kit: Kit) -> None:
    """Damage weight memory once the weights are there, before they are checked."""
    assert kit.run_to("cnn_verify_weights")
    kit.flip_bit(FIRST_KERNEL, 5)


def test_weight_that_was_not_stored_is_noticed_and_loaded_again(network: Network) -> None:
    kit = fresh(network)
    flip_before_check(kit)
    said = wait_error(kit)
    assert said.code == 5
    assert said.text == "weight memory does not hold the network's weights"
    kit.run_until_frame(protocol.HELLO)
    assert kit.uart_text().count(said.text) == 1
    image = picture(network, 1)
    send(kit, *image_frames(image, 1))
    check_answer(kit, network, image)


def test_weight_memory_that_is_broken(network: Network) -> None:
    """The board says so, refuses pictures with an error, and keeps talking."""
    kit = fresh(network)
    for _ in range(3):
        flip_before_check(kit)
        wait_error(kit)
    kit.run_until_frame(protocol.HELLO)
    errors = [protocol.parse_error(f.payload) for f in kit.frames if f.type == protocol.ERROR]
    assert [error.code for error in errors] == [5, 5, 5]
    send(kit, *image_frames(picture(network, 1), 1))
    said = wait_error(kit)
    assert (said.code, said.number) == (5, 1)
    assert said.text == "the network could not be loaded"
    send(kit, Frame(protocol.TEST, 0, b""))  # it has another try, and now memory is right
    assert protocol.parse_end(kit.run_until_frame(protocol.END).payload).status == 1
    send(kit, Frame(protocol.TEST, 0, b""))
    assert protocol.parse_end(kit.run_until_frame(protocol.END).payload).status == 0


def test_known_answer_on_demand(kit: Kit, network: Network) -> None:
    image = picture(network, 3)
    send(kit, Frame(protocol.TEST, 0, b""))
    end = protocol.parse_end(kit.run_until_frame(protocol.END).payload)
    assert end.status == 0
    assert end.ticks >= network[0].program.cycles
    kit.flip_bit(FIRST_KERNEL, 5)
    send(kit, Frame(protocol.TEST, 0, b""))
    assert protocol.parse_end(kit.run_until_frame(protocol.END).payload).status == 1
    assert "known-answer test: FAIL" in kit.uart_text()
    send(kit, *image_frames(image, 3))  # the weights have been loaded again
    check_answer(kit, network, image)


def test_network_that_does_not_finish(kit: Kit, network: Network) -> None:
    kit.machine.nvic.enabled.discard(IRQ_CNN)
    image = picture(network, 9)
    send(kit, *image_frames(image, 9))
    said = wait_error(kit)
    assert (said.code, said.number) == (4, 9)
    assert said.text == "the accelerator did not finish"
    send(kit, *image_frames(image, 9))
    check_answer(kit, network, image)


def test_loop_that_hangs_is_ended_by_the_watchdog(kit: Kit) -> None:
    branch_to_itself = b"\xfe\xe7"
    function = kit.machine.firmware.symbols["frame_send_hello"][0]
    kit.machine.cpu.write_memory(function, branch_to_itself)
    send(kit, Frame(protocol.ASK, 0, b""))
    before = kit.seconds
    said = wait_error(kit)
    assert (said.code, said.text) == (7, "the watchdog has restarted the board")
    ((reset, cause),) = kit.machine.resets
    assert cause == "watchdog"
    assert 2.5 < reset / SECOND - before < 2.9
