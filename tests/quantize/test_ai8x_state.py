"""Checkpoints of ai8x-training's quantisation-aware training become integers without its tools."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ai8x_models import ai8x
from ai8x_models.layers.norm import fold_layer
from common.errors import UserError
from quantize.__main__ import main
from quantize.ai8x_state import integer_state
from synthesize.read import checkpoint

LAYERS = {
    "conv1": (ai8x.FusedConv2dBNReLU, (3, 8, 3), {"padding": 1}),
    "conv2": (ai8x.FusedMaxPoolConv2dBNReLU, (8, 12, 3), {"padding": 1}),
    "up": (ai8x.ConvTranspose2d, (12, 6, 3), {"stride": 2, "padding": 1, "bias": False}),
    "line": (ai8x.Conv1d, (6, 6, 4), {}),
    "fc": (ai8x.Linear, (6, 5), {"bias": True, "wide": True}),
}
BITS = {"conv1": 8, "conv2": 4, "up": 8, "line": 2, "fc": 8}


def trained(seed: int = 0, quantile: float = 0.995) -> torch.nn.ModuleDict:
    """A network in the middle of quantisation-aware training."""
    torch.manual_seed(seed)
    network = torch.nn.ModuleDict(
        {name: kind(*given, **options) for name, (kind, given, options) in LAYERS.items()}
    )
    for name, layer in network.items():
        if layer.op.bias is not None:
            torch.nn.init.uniform_(layer.op.bias, -0.3, 0.3)
        fold_layer(layer)
        ai8x.start_qat(layer, BITS[name])
        layer.shift_quantile.fill_(quantile)
        layer.op.weight.data.mul_(2.0 ** (seed % 5 - 2))
    return network


def saved(network: torch.nn.Module, path: Path, prefix: str = "") -> Path:
    state = {prefix + key: value for key, value in network.state_dict().items()}
    torch.save({"epoch": 9, "arch": "ai85x", "state_dict": state, "extras": {"best": 1}}, path)
    return path


@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_command_makes_a_checkpoint_the_compiler_reads(prefix: str, tmp_path: Path) -> None:
    path = saved(trained(), tmp_path / "qat.pth.tar", prefix)
    assert main(["convert", str(path), str(tmp_path / "q.pth.tar")]) == 0
    read = checkpoint.load(tmp_path / "q.pth.tar")
    assert [layer.name for layer in read.layers] == list(LAYERS)
    assert {layer.name: layer.bits for layer in read.layers} == BITS


@pytest.mark.parametrize("seed", range(5))
def test_integers_compute_what_training_computed(seed: int) -> None:
    network = trained(seed, quantile=1.0)
    state = integer_state(network.state_dict(), "x")
    for name, layer in network.items():
        kind, given, options = LAYERS[name]
        twin = kind(*given, **options)
        twin.remove_batchnorm()
        own = {k[len(name) + 1 :]: v for k, v in state.items() if k.startswith(name + ".")}
        twin.load_state_dict(own)
        twin.mode = "integer"
        axes = {"line": (6, 20), "fc": (6,)}.get(name, (given[0], 8, 8))
        x = torch.randint(-128, 128, (2, *axes)).double()
        layer.double()
        with torch.no_grad():
            unit = 2.0 ** (7 + BITS[name] - 1) if twin.wide else 128.0
            assert torch.equal(layer(x / 128) * unit, twin(x))


def official(path: Path, out: Path) -> dict[str, torch.Tensor]:
    """The same checkpoint through ai8x-synthesis' own quantisation."""
    folder = os.environ.get("AI8X_SYNTHESIS", "")
    if not Path(folder, "quantize.py").is_file():
        pytest.skip("AI8X_SYNTHESIS does not name a checkout of ai8x-synthesis")
    python = os.environ.get("AI8X_PYTHON", sys.executable)
    # Their unwrap gives an array of one element, which numpy 2 does not turn into a number.
    code = (
        "import sys; from izer import quantize as q; old = q.unwrap; "
        "q.unwrap = lambda x: old(x).reshape(-1)[0]; q.main()"
    )
    arguments = [python, "-c", code, str(path), str(out), "--device", "MAX78000"]
    subprocess.run(arguments, cwd=folder, check=True, capture_output=True)
    return dict(torch.load(out, weights_only=True)["state_dict"])


@pytest.mark.parametrize("seed", range(3))
def test_it_is_what_their_own_quantisation_makes(seed: int, tmp_path: Path) -> None:
    path = saved(trained(seed), tmp_path / "qat.pth.tar")
    theirs = official(path, tmp_path / "theirs.pth.tar")
    ours = integer_state(torch.load(path, weights_only=True)["state_dict"], "x")
    for key in ours:
        if key.endswith((".weight", ".bias", "output_shift", "weight_bits")):
            assert torch.equal(ours[key].float(), theirs[key].float()), key


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda s: s["conv1.weight_bits"].fill_(0), "layer conv1 has no weight_bits"),
        (lambda s: s.update({"conv2.bn.running_mean": torch.zeros(12)}), "conv2 still has batch"),
        (lambda s: s["fc.op.weight"].fill_(float("nan")), "layer fc: .* not finite"),
    ],
)
def test_what_cannot_be_converted_is_named_and_nothing_written(
    spoil: object, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(spoil)
    state = dict(trained().state_dict())
    spoil(state)
    path = tmp_path / "qat.pth.tar"
    torch.save({"epoch": 1, "arch": "ai85x", "state_dict": state}, path)
    with pytest.raises(UserError, match=said):
        integer_state(state, str(path))
    assert main([str(path), str(tmp_path / "q.pth.tar")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "q.pth.tar").exists()
