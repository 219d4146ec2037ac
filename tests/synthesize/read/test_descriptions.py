"""Network descriptions: what they mean, and what is refused with file and line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import UserError
from synthesize.place import by_hand
from synthesize.read.checkpoint import Checkpoint, from_state_dict
from synthesize.read.yaml import description as frontend_yaml
from synthesize.read.yaml import language
from synthesize.read.yaml.description import Description

GOOD = """\
arch: net
dataset: any
layers:
- name: a
  processors: 0x7
  op: conv2d
  kernel_size: 3x3
  pad: 1
  in_dim: [8, 8]
  in_channels: 3
  out_offset: 0x2000
  activate: ReLU
- {name: b, processors: 0xf, op: conv2d, kernel_size: 1x1, pad: 0, max_pool: 2, pool_stride: 2}
"""


def weights() -> Checkpoint:
    return from_state_dict(
        {
            "a.op.weight": np.ones((4, 3, 3, 3), np.int64),
            "b.op.weight": np.ones((5, 4, 1, 1), np.int64),
        },
        "net.npz",
    )


def read(tmp_path: Path, text: str, checkpoint: Checkpoint | None = None) -> Description:
    path = tmp_path / "net.yaml"
    path.write_text(text)
    return frontend_yaml.load(path, checkpoint or weights())


def test_meaning(tmp_path: Path) -> None:
    found = read(tmp_path, GOOD)
    text = found.graph.text().replace("w8:", "w").splitlines()
    assert text[1] == "  input 3x8x8"
    assert text[2].startswith("  a = conv2d k3x3 s1x1 p1x1 relu")
    assert text[2].endswith("(input) 3x8x8 -> 4x8x8")
    assert text[3].startswith("  b = conv2d k1x1 s1x1 p0x0 maxpool2x2s2x2 none")
    assert text[3].endswith("(a) 4x8x8 -> 5x4x4")
    assert text[4] == "  output b = b[0:5]"
    assert found.hints.layers[0].processors == 7
    assert found.hints.layers[0].out_offset == 0x2000
    assert found.graph.layers[1].where.line == 13


def test_names_come_from_the_checkpoint_when_there_are_none(tmp_path: Path) -> None:
    found = read(tmp_path, GOOD.replace("name: a\n  ", "").replace("name: b, ", ""))
    assert [layer.name for layer in found.graph.layers] == ["a", "b"]


def test_masks_may_be_written_as_text(tmp_path: Path) -> None:
    found = read(tmp_path, GOOD.replace("0x7", "'0000.0000_0007'"))
    assert found.hints.layers[0].processors == 7


def read_and_place(tmp_path: Path, text: str) -> None:
    description = read(tmp_path, text)
    by_hand.by_hand(description.graph, description.hints)


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("  pad: 1\n", "  pad: 1\n  pad: 0\n", 9, "'pad' is given twice (first in line 8)"),
        ("  pad: 1\n", "  pads: 1\n", 8, "unknown key 'pads'"),
        ("dataset: any", "datasets: any", 2, "unknown key 'datasets'"),
        ("dataset: any", "bias: any", 2, "'bias' is not available"),
        ("  pad: 1\n", "  pad: one\n", 8, "'pad' must be a whole number, not 'one'"),
        ("  pad: 1\n", "  pad: true\n", 8, "'pad' must be a whole number"),
        ("  pad: 1\n", "  pad: -1\n", 8, "'pad' is -1"),
        ("3x3\n", "5x5\n", 7, "kernel_size '5x5' is not supported"),
        ("  processors: 0x7\n", "", 4, "'processors' is missing"),
        ("0x7", "0", 5, "mask of 64 bits"),
        ("0x7", "0x17", 4, "3 input channels need 3 processors"),
        ("op: conv2d\n", "op: conv3d\n", 6, "operation 'conv3d' is unknown"),
        ("op: conv2d\n", "op: conv2d\n  operation: conv2d\n", 7, "mean the same"),
        ("activate: ReLU", "activate: tanh", 12, "activation 'tanh' is unknown"),
        ("max_pool: 2,", "max_pool: 2, avg_pool: 2,", 13, "not both"),
        ("  pad: 1\n", "  pad: 1\n  stride: 2\n", 9, "stride 2x2 is not supported"),
        ("  pad: 1\n", "  pad: 1\n  dilation: 2\n", 9, "only Conv1d can be dilated"),
        ("  pad: 1\n", "  pad: 1\n  groups: 3\n", 9, "no depth-wise or grouped"),
        ("  pad: 1\n", "  pad: 1\n  next_sequence: 3\n", 4, "runs layers one after the other"),
        ("  pad: 1\n", "  pad: 1\n  quantization: 3\n", 9, "weights of 1, 2, 4 or 8 bits"),
        ("  pad: 1\n", "  pad: 1\n  output_width: 16\n", 9, "writes 8 or 32 bits"),
        ("  pad: 1\n", "  pad: 1\n  operands: 2\n", 9, "needs an element-wise operation"),
        ("  pad: 1\n", "  pad: 1\n  in_sequences: later\n", 4, "no earlier layer"),
        ("  pad: 1\n", "  pad: 1\n  in_channels: 4\n", 11, "given twice"),
        ("name: b", "name: A", 13, "used twice"),
        ("name: b", "name: input", 13, "reserved name"),
        ("name: b", "name: 7", 13, "'name' must be a text"),
        ("name: b", "data_format: CHW", 13, "first layer only"),
        ("in_dim: [8, 8]", "in_dim: [8, 8, 8]", 9, "one number or two"),
        ("in_channels: 3", "in_channels: 2", 4, "expect 3 input channels but input gives 2"),
        ("kernel_size: 1x1, pad: 0", "kernel_size: 3x3", 13, "kernel 3x3 but b"),
        ("max_pool: 2", "max_pool: 9", 13, "larger than the data 4x8x8"),
    ],
)
def test_refused_with_file_and_line(
    tmp_path: Path, old: str, new: str, line: int, words: str
) -> None:
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    with pytest.raises(UserError) as caught:
        read_and_place(tmp_path, text)
    message = str(caught.value)
    assert f"net.yaml:{line}: " in message
    assert words in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        ("[", "not valid YAML"),
        ("a: 1", "unknown key 'a'"),
        ("arch: x", "no 'layers' list"),
        ("layers: 3", "must be a list"),
        ("layers: []", "at least one layer"),
        ("layers: [3]", "must be a mapping"),
        ("? [a]\n: 1", "a key must be plain text"),
        ("a: &x [*x]", "nested too deeply"),
        ("layers: [" + "[" * 30 + "]" * 31, "nested too deeply"),
        ("layers: !!python/object/apply:os.system [echo]", "must be a mapping"),
        ("arch: 2001-01-01", "expected a number, a word"),
    ],
)
def test_malformed_files(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UserError, match=r"net\.yaml") as caught:
        read(tmp_path, text)
    assert words in str(caught.value)


def test_missing_layers(tmp_path: Path) -> None:
    three = GOOD + "- {name: c, processors: 0x1f, op: linear, flatten: true}\n"
    with pytest.raises(UserError, match=r"describes 3 layers with weights but net\.npz holds 2"):
        read(tmp_path, three)


def test_layers_that_no_description_uses_are_named(tmp_path: Path) -> None:
    first_only = "\n".join(GOOD.splitlines()[:12])
    (note,) = read(tmp_path, first_only).notes
    assert "net.npz: b behind the first 1 layers are not described in" in note


def test_a_float_layer_behind_the_described_ones_does_no_harm(tmp_path: Path) -> None:
    state = {
        "a.op.weight": np.ones((4, 3, 3, 3)),
        "b.op.weight": np.ones((5, 4, 1, 1)),
        "stem.op.weight": np.full((5, 5, 3, 3), 0.5),
        "last.op.weight": np.ones((5, 5, 3, 3)),
    }
    found = read(tmp_path, GOOD, from_state_dict(state, "net.npz", lenient=True))
    assert "stem, last behind the first 2 layers" in found.notes[0]
    more = GOOD + "- {name: stem, processors: 0x1f, op: conv2d, kernel_size: 3x3, pad: 1}\n"
    with pytest.raises(UserError, match=r"stem\.op\.weight holds fractions"):
        read(tmp_path, more, from_state_dict(state, "net.npz", lenient=True))


def test_a_network_without_weights_needs_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    entry = "{processors: 0xf, op: none, max_pool: 2, pool_stride: 2, in_channels: 4, in_dim: 8}"
    path.write_text(f"layers: [{entry}]")
    graph = frontend_yaml.load(path, None, trained=True).graph
    assert graph.layers[0].out_shape == (4, 4, 1)
    path.write_text(f"layers: [{entry.replace('none', 'conv1d')}]")
    with pytest.raises(UserError, match="give the checkpoint as well"):
        frontend_yaml.load(path, None, trained=True)


def test_checkpoint_of_another_architecture(tmp_path: Path) -> None:
    other = from_state_dict(
        {"a.op.weight": np.ones((4, 3, 3, 3)), "b.op.weight": np.ones((5, 4, 1, 1))},
        "other.pth.tar",
        arch="Other",
    )
    assert read(tmp_path, GOOD.replace("arch: net", "arch: oTHER"), other).graph.layers
    with pytest.raises(UserError, match=r"net\.yaml:1: .* is of net, but other\.pth\.tar holds"):
        read(tmp_path, GOOD, other)


def test_layers_in_another_order(tmp_path: Path) -> None:
    swapped = GOOD.replace("name: a", "name: x").replace("name: b", "name: a").replace("x\n", "b\n")
    with pytest.raises(UserError, match="the checkpoint has a in this place"):
        read(tmp_path, swapped)


def test_aliases_cannot_explode(tmp_path: Path) -> None:
    lines = ["a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]")
    with pytest.raises(UserError, match="too long for a network description"):
        read(tmp_path, "\n".join(lines))


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_refused_in_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "net.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(UserError):
        frontend_yaml.load(path, weights())


SCALARS = st.one_of(
    st.integers(-5, 70000),
    st.booleans(),
    st.floats(allow_nan=False),
    st.sampled_from(["conv2d", "add", "input", "ReLU", "3x3", "stop", "CHW", "b", "''"]),
    st.lists(st.integers(-2, 9), max_size=3),
)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(sorted(language.LAYER)),
        SCALARS,
        max_size=6,
    )
)
def test_random_keys_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, extra: dict[str, object]
) -> None:
    """Every combination of known keys and odd values ends in a graph or one sentence."""
    lines = [f"  {key}: {str(value).lower() if isinstance(value, bool) else value}"
             for key, value in extra.items()]  # fmt: skip
    kept = [line for line in GOOD.splitlines() if line.strip().split(":")[0] not in extra]
    kept[-1:-1] = lines
    path = tmp_path_factory.mktemp("fuzz") / "net.yaml"
    path.write_text("\n".join(kept) + "\n")
    try:
        found = frontend_yaml.load(path, weights())
    except UserError as error:
        if "net.yaml" not in str(error):
            raise
        return
    stopped = str(extra.get("next_sequence", "")).lower() == "stop"  # behind the first layer
    assert len(found.graph.layers) == 2 - stopped
