"""Networks that keep rows from one inference to the next: numpy == the reference == the kit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import UserError
from synthesize.ai8x import description as yaml_out
from synthesize.ai8x import generator
from synthesize.compiler import Compiled
from synthesize.graph import cut, quick, reference
from synthesize.place import regions, verify
from synthesize.place.reserved import NOTHING
from synthesize.write import headers, two_networks
from tests.helpers.described import compile_text, text, weights
from tests.helpers.virtual import infer, loaded

CHANNELS = 8
OFFSET = 0x3000


def network(
    folder: Path, rows: int = 5, step: int = 1, channels: int = CHANNELS, cut_after: str = "",
    buffer: dict[str, Any] | None = None, shift: dict[str, Any] | None = None,
    insert: dict[str, Any] | None = None, last: dict[str, Any] | None = None, more: bool = False,
) -> Compiled:  # fmt: skip
    """Shift the buffer, insert ``step`` new rows made of the input, and convolve all rows."""
    passes = -(-channels // 64)
    mask = (1 << -(-channels // passes)) - 1
    word = 4 * passes
    kept = {"name": "kept", "processors": mask, "dim": rows, "channels": channels}
    kept |= {"offset": OFFSET, **(buffer or {})}
    moved = {
        "name": "move", "op": "passthrough", "processors": mask, "output_processors": mask,
        "in_sequences": "kept", "in_offset": OFFSET + word * step, "in_dim": rows - step,
        "in_channels": channels, "out_offset": OFFSET, "buffer_shift": step, **(shift or {}),
    }  # fmt: skip
    added = {
        "name": "add", "op": "conv1d", "kernel_size": 1, "pad": 0, "processors": 0x7,
        "in_sequences": "input", "in_offset": 0, "output_processors": mask,
        "out_offset": OFFSET + word * (rows - step), "buffer_insert": step,
        "data_format": "HWC", **(insert or {}),
    }  # fmt: skip
    used = {
        "name": "use", "op": "conv1d", "kernel_size": 3, "pad": 1, "processors": mask,
        "in_sequences": "kept", "in_offset": OFFSET, "in_dim": rows, "in_channels": channels,
        "out_offset": 0x5000, **(last or {}),
    }  # fmt: skip
    first = {
        "name": "copy", "op": "conv1d", "kernel_size": 1, "pad": 0, "processors": 0x7,
        "data_format": "HWC", "out_offset": 0x6000, "output_processors": 0xF,
    }  # fmt: skip
    added.pop("data_format")
    layers = [first, moved, added, used]
    shapes = [("copy", (4, 3, 1)), ("add", (channels, 3, 1)), ("use", (4, channels, 3))]
    for number in range(2 if more else 0):
        name = f"more{number}"
        layers.append({"name": name, "op": "conv1d", "kernel_size": 1, "pad": 0,
                       "processors": 0xF, "in_offset": 0x5000 + 0x1000 * number,
                       "out_offset": 0x6000 + 0x1000 * number})  # fmt: skip
        shapes.append((name, (4, 4, 1)))
    source = text(*layers, data_buffer=[kept])
    checkpoint = weights(shapes)
    return compile_text(folder, source, checkpoint, (3, step), cut_after)


def convolved(layer: Any, data: np.ndarray, pad: int) -> np.ndarray:
    """A Conv1d in numpy, int [channels, samples]."""
    data = np.pad(data, ((0, 0), (pad, pad)))
    taps = layer.weight[:, :, :, 0]
    length = data.shape[1] - taps.shape[2] + 1
    acc = sum(taps[:, :, t] @ data[:, t : t + length] for t in range(taps.shape[2]))
    acc = acc + 128 * layer.bias[:, None]
    return np.clip(np.floor(acc * 2.0**layer.shift / 128 + 0.5), -128, 127).astype(int)


@pytest.mark.parametrize(("rows", "step", "channels"), [
    (5, 1, 8), (2, 1, 4), (9, 3, 7), (15, 2, 32), (6, 1, 72), (40, 11, 64),
])  # fmt: skip
def test_several_inferences(tmp_path: Path, rows: int, step: int, channels: int) -> None:
    compiled = network(tmp_path, rows, step, channels)
    kit = loaded(compiled.program)
    rng = np.random.default_rng(rows)
    kept = np.zeros((channels, rows), int)
    values: np.ndarray | None = None
    for _ in range(4):
        sample = rng.integers(-128, 128, (3, step))
        fresh = convolved(compiled.legal.layer("add"), sample, 0)
        kept = np.concatenate([kept[:, step:], fresh], axis=1)
        wanted = convolved(compiled.legal.layer("use"), kept, 1)
        layers = reference.run_layers(compiled.legal, sample, values)
        np.testing.assert_array_equal(layers["use"][:, :, 0], wanted)
        values = layers["kept"]
        np.testing.assert_array_equal(values[:, :, 0], kept)
        outputs, cycles = infer(kit, compiled.program, sample)
        np.testing.assert_array_equal(outputs["use"][:, :, 0], wanted)
        assert cycles == compiled.program.cycles


def test_the_first_answer_is_that_of_an_empty_buffer(tmp_path: Path) -> None:
    compiled = network(tmp_path)
    sample = np.random.default_rng(0).integers(-128, 128, (3, 1))
    expected = reference.run(compiled.legal, sample, np.zeros((CHANNELS, 5, 1), np.int8))
    np.testing.assert_array_equal(compiled.known_answer(sample)["use"], expected["use"])
    quickly = quick.Runner(compiled.legal).run(sample)
    np.testing.assert_array_equal(quickly["use"], expected["use"])


def test_the_program_clears_the_buffer(tmp_path: Path) -> None:
    compiled = network(tmp_path)
    blocks = compiled.program.cleared
    assert [(b.address & 0xFFFF, len(b.words)) for b in blocks] == [
        (OFFSET, 5),
        (OFFSET + 0x8000, 5),
    ]
    text = headers.registers_header(compiled.program, {})
    assert "#define CNN_CLEARED 1" in text
    assert f"0x{blocks[0].address:08x}u, 5u," in text


def test_a_row_inserted_elsewhere_is_found(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="layer use: it reads move, channel 0"):
        network(tmp_path, insert={"out_offset": OFFSET + 12})


def test_a_layer_that_reads_another_row_is_found(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="layer move: it reads kept, channel 0"):
        network(tmp_path, shift={"in_offset": OFFSET + 8})


def test_an_output_over_the_buffer_is_found(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data buffer kept: at the end .* holds use instead of mo"):
        network(tmp_path, last={"out_offset": OFFSET})


def test_an_input_over_the_buffer_is_found(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="layer move: it reads kept, channel 0"):
        network(tmp_path, buffer={"offset": 0}, shift={"in_offset": 4, "out_offset": 0}, step=2)


@pytest.mark.parametrize(("options", "said"), [
    ({"buffer": {"processors": 0x7F}}, "data buffer kept: 8 channels need 8 processors"),
    ({"buffer": {"offset": 0x7FF0}}, "it ends at byte 32772 of a data memory that has 32768"),
    ({"buffer": {"width": 32}}, "a data buffer holds 8-bit data"),
    ({"buffer": {"depth": 1}}, "unknown key 'depth' in 'data_buffer'"),
    ({"shift": {"buffer_shift": 5}}, "leaves nothing of the 5 rows"),
    ({"shift": {"in_sequences": "copy", "in_channels": 4, "processors": 0xF,
                "output_processors": 0xF, "in_dim": 1}}, "reads kept and nothing else"),
    ({"insert": {"buffer_insert": 2}}, "its 8x1x1 output is not 2 rows of the data buffer"),
    ({"insert": {"name": "kept"}}, "the data buffer has this name"),
])  # fmt: skip
def test_refusals(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        network(tmp_path, **options)


def test_a_shift_without_a_buffer(tmp_path: Path) -> None:
    layer = {"name": "a", "op": "none", "processors": 0xF, "output_processors": 0xF,
             "data_format": "HWC", "buffer_shift": 1, "out_offset": 0x1000}  # fmt: skip
    with pytest.raises(UserError, match="buffer_shift needs a data buffer; describe 'data_buffer'"):
        compile_text(tmp_path, text(layer), None, (4, 6))


@pytest.mark.parametrize("buffers", [[], [{}, {}]])
def test_one_buffer(tmp_path: Path, buffers: list[Any]) -> None:
    with pytest.raises(UserError, match="a network has one"):
        compile_text(tmp_path, text({"op": "none"}, data_buffer=buffers), None, (4, 6))


def test_a_buffer_needs_a_placement(tmp_path: Path) -> None:
    kept = {"name": "k", "processors": 0xF, "dim": 4, "channels": 4, "offset": 0}
    layer = {"name": "a", "op": "conv1d", "kernel_size": 1, "pad": 0}
    with pytest.raises(UserError, match="so every layer needs 'processors' as well"):
        compile_text(tmp_path, text(layer, data_buffer=[kept]), weights([("a", (4, 4, 1))]), (4, 6))


def test_the_description_says_it_as_it_is(tmp_path: Path) -> None:
    compiled = network(tmp_path)
    sample = np.random.default_rng(0).integers(-128, 128, (3, 1, 1))
    yaml_out.write(tmp_path, compiled.legal, compiled.placement, sample)
    again, _ = generator.load(tmp_path)
    assert again.program.checksum == compiled.program.checksum
    assert again.legal.text().splitlines()[1:] == compiled.legal.text().splitlines()[1:]


def test_what_the_buffer_is_made_of_stays_when_a_network_ends_early(tmp_path: Path) -> None:
    whole = network(tmp_path)
    graph, _ = cut.stop_after(whole.legal, None, "use")
    assert [layer.name for layer in graph.layers] == ["move", "add", "use"]


def test_the_buffer_is_a_region_of_its_own(tmp_path: Path) -> None:
    compiled = network(tmp_path)
    found = {r.name: r for r in regions.tensor_regions(compiled.legal, compiled.placement)}
    kept = found["kept"]
    assert (kept.start, kept.words, kept.instances) == (OFFSET // 4, 5, (0, 1))
    assert (kept.begin, kept.end) == (-1, 4)
    assert verify.check(compiled.legal, compiled.placement) == []


def test_two_networks_in_turn_cannot_keep_anything(tmp_path: Path) -> None:
    compiled = network(tmp_path)
    pair = two_networks.Pair(compiled, compiled)
    sample = np.zeros((3, 1, 1), np.int64)
    with pytest.raises(UserError, match="which the other network would overwrite"):
        two_networks.write_project(pair, (sample, sample), tmp_path / "out")
    assert NOTHING is compiled.placement.reserved
