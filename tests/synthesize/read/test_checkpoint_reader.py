"""Integer checkpoints: what is read, what is refused, and that nothing of them runs."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import UserError
from synthesize.read import checkpoint
from synthesize.read.checkpoint import from_state_dict, load

State = dict[str, np.ndarray]


def state() -> State:
    return {
        "c1.output_shift": np.array([-3]),
        "c1.weight_bits": np.array([4]),
        "c1.op.weight": np.arange(-8, 8).reshape(4, 4, 1, 1),
        "c1.op.bias": np.array([8, -8, 7, 0]),
        "fc.op.weight": np.array([[127, -128]]),
    }


def test_values_are_read_in_order() -> None:
    found = from_state_dict(state(), "f.npz", arch="a")
    assert [layer.name for layer in found.layers] == ["c1", "fc"]
    first = found.layers[0]
    assert (first.bits, first.output_shift) == (4, -3)
    bias = first.stored_bias()
    assert bias is not None
    assert bias.tolist() == [1, -1, 0, 0]  # floor(bias / 8)
    assert found.layers[1].bits == 8
    assert found.layers[1].bias is None
    assert found.layer("fc") is found.layers[1]
    assert found.layer("x") is None


def test_npz_and_torch_hold_the_same(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **state())
    tensors = {k: torch.tensor(v, dtype=torch.float32) for k, v in state().items()}
    data = {"epoch": 1, "arch": "net", "state_dict": tensors, "extras": {"network": []}}
    torch.save(data, tmp_path / "a-q.pth.tar")
    one, two = load(tmp_path / "a.npz"), load(tmp_path / "a-q.pth.tar")
    assert two.arch == "net"
    assert two.extras == {"network": []}
    for a, b in zip(one.layers, two.layers, strict=True):
        assert a.name == b.name
        np.testing.assert_array_equal(a.weight, b.weight)


def test_views_parameters_and_old_files(tmp_path: Path) -> None:
    base = torch.arange(-30, 30, dtype=torch.int8)
    tensors = {
        "a.op.weight": base[4:].view(7, 8)[1:5, 2:6].t(),
        "b.op.weight": torch.nn.Parameter(torch.ones(2, 2).double()),
        "c.op.weight": base[:4].half().reshape(1, 4, 1, 1),
    }
    for zipped in (True, False):
        path = tmp_path / f"{zipped}.pth.tar"
        torch.save({"state_dict": tensors}, path, _use_new_zipfile_serialization=zipped)
        found = load(path)
        for layer, tensor in zip(found.layers, tensors.values(), strict=True):
            np.testing.assert_array_equal(layer.weight, tensor.detach().numpy())


def test_second_copy_of_the_network_is_ignored() -> None:
    first = {f"module.{k}": v for k, v in state().items() if "bias" not in k}
    other = dict(state())
    other["c1.op.weight"] = np.zeros((4, 4, 1, 1))
    found = from_state_dict({**first, **other}, "f")
    assert [layer.name for layer in found.layers] == ["c1", "fc"]
    assert found.layers[0].weight.any()
    assert found.layers[0].bias is None


def test_biases_behind_all_weights_are_not_used_and_noted() -> None:
    weights = {k: np.ones((1, 1, 1, 1)) for k in ("a.op.weight", "b.op.weight")}
    biases = {k: np.array([128]) for k in ("a.op.bias", "b.op.bias")}
    found = from_state_dict({**weights, **biases}, "f.npz")
    assert all(layer.bias is None for layer in found.layers)
    assert "a.op.bias, b.op.bias" in found.notes[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"c1.op.weight": np.full((4, 4, 1, 1), 8)}, "weights reach from 8 to 8, but 4-bit"),
        ({"c1.op.weight": np.full((4, 4, 1, 1), 0.5)}, "float checkpoint"),
        ({"c1.op.weight": np.full((4, 4, 1, 1), np.nan)}, "float checkpoint"),
        ({"c1.op.weight": np.full((4,), 1)}, "batch norm is not folded"),
        ({"c1.op.weight": np.array("text")}, "expected 2 to 4 axes"),
        ({"c1.op.weight": np.array([["a", "b"]])}, "expected numbers"),
        ({"c1.weight_bits": np.array([3])}, "weight_bits is 3"),
        ({"c1.weight_bits": np.array([4, 4])}, "has 2 values"),
        ({"c1.op.bias": np.array([1024, 0, 0, 0])}, "must lie in -128 to 127"),
    ],
)
def test_bad_values_are_refused_by_layer(change: State, words: str) -> None:
    with pytest.raises(UserError, match="layer c1") as caught:
        from_state_dict({**state(), **change}, "f.npz")
    assert words in str(caught.value)


def test_nothing_to_read() -> None:
    with pytest.raises(UserError, match="holds no weights"):
        from_state_dict({"c1.op.bias": np.array([1])}, "f.npz")


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("bomb-went-off"),)  # type: ignore[return-value]


def test_hostile_pickle_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bomb = {"state_dict": {"a.op.weight": Bomb()}}
    torch.save(bomb, tmp_path / "bad.pth.tar")
    torch.save(bomb, tmp_path / "old.pth.tar", _use_new_zipfile_serialization=False)
    (tmp_path / "raw.pth.tar").write_bytes(pickle.dumps(Bomb()))
    for name in ("bad.pth.tar", "old.pth.tar", "raw.pth.tar"):
        with pytest.raises(UserError, match=name):
            load(tmp_path / name)
    beside = {**bomb, "state_dict": {"a.op.weight": torch.ones(1, 1)}, "optimizer": Bomb()}
    torch.save(beside, tmp_path / "beside.pth.tar")
    assert load(tmp_path / "beside.pth.tar").layers[0].weight.tolist() == [[1]]
    np.savez(tmp_path / "bad.npz", **{"a.op.weight": np.array([Bomb()], dtype=object)})
    with pytest.raises(UserError, match="not a readable"):
        load(tmp_path / "bad.npz")
    assert not (tmp_path / "bomb-went-off").exists()


def test_missing_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such checkpoint"):
        load(tmp_path / "missing.npz")
    torch.save(torch.zeros(3), tmp_path / "tensor.pth.tar")
    with pytest.raises(UserError, match="state_dict"):
        load(tmp_path / "tensor.pth.tar")
    torch.save({"epoch": 1}, tmp_path / "empty.pth.tar")
    with pytest.raises(UserError, match="state_dict"):
        load(tmp_path / "empty.pth.tar")


def test_a_copy_that_broke_off_is_named_as_such(tmp_path: Path) -> None:
    """By both readers, that with torch and that without."""
    from ai8x_models.student_file import read_checkpoint

    path = tmp_path / "a.pth.tar"
    torch.save({"state_dict": {"a.weight": torch.zeros(3000)}}, path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(UserError, match="it is cut off, its end is missing; copy"):
        load(path)
    with pytest.raises(UserError, match="it is cut off, its end is missing"):
        read_checkpoint(path)


def test_large_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "MAX_FILE_BYTES", 100)
    np.savez(tmp_path / "a.npz", **state())
    with pytest.raises(UserError, match="more than the 100"):
        load(tmp_path / "a.npz")


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["f.npz", "f.pth.tar"]))
def test_any_bytes_are_refused_in_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / name
    path.write_bytes(data)
    with pytest.raises(UserError):
        load(path)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2000), st.integers(0, 255), st.booleans())
def test_damaged_files_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, position: int, value: int, as_torch: bool
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / ("f.pth.tar" if as_torch else "f.npz")
    if as_torch:
        torch.save({"state_dict": {k: torch.tensor(v) for k, v in state().items()}}, path)
    else:
        np.savez(path, **state())
    data = bytearray(path.read_bytes())
    data[position % len(data)] = value
    path.write_bytes(data)
    try:
        found = load(path)
    except UserError:
        return
    assert found.layers


class _Optimiser:
    """Stands for the training state that old checkpoints carry."""

    def __init__(self) -> None:
        self.rate = 0.1


def test_the_form_before_torch_1_6_with_classes_inside(tmp_path: Path) -> None:
    weight = torch.arange(36, dtype=torch.float32).reshape(4, 1, 3, 3) - 18
    shared = torch.arange(8, dtype=torch.float32)
    content = {
        "arch": "old",
        "optimizer": _Optimiser(),
        "state_dict": {"a.op.weight": weight, "a.op.bias": shared[2:6]},
    }
    path = tmp_path / "old.pth.tar"
    torch.save(content, path, _use_new_zipfile_serialization=False)
    found = checkpoint.load(path)
    assert found.arch == "old"
    np.testing.assert_array_equal(found.layers[0].weight, weight.numpy())
    np.testing.assert_array_equal(found.layers[0].bias, [2, 3, 4, 5])
    raw = path.read_bytes()
    for end in range(0, len(raw), 7):
        path.write_bytes(raw[:end])
        with pytest.raises(UserError):
            checkpoint.load(path)
