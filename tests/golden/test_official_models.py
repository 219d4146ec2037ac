"""The models of ai8x-training for the MAX78000, read from its own files: traced, and the same.

Needs a checkout of ai8x-training, named by the environment variable ``AI8X_TRAINING``.
"""

from __future__ import annotations

import copy
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ai8x_models import ai8x as ours
from ai8x_models.trace import TraceError, trace
from quantize.integer import to_integer
from quantize.project import load_model

pytestmark = pytest.mark.long  # three minutes for all of them

MODELS: dict[str, tuple[str, tuple[int, ...]]] = {
    "ai85afsknet": ("ai85net-afsk", (1, 64)),
    "ai85autoencoder": ("ai85net-autoencoder", (256, 3)),
    "bayer2rgbnet": ("ai85net-bayer2rgbnet", (4, 64, 64)),
    "ai85cdnet": ("ai85net-cd", (3, 64, 64)),
    "ai85faceidnet": ("ai85net-faceid", (3, 160, 120)),
    "ai85faceidnet_112": ("ai85net-faceid_112", (3, 112, 112)),
    "ai85kws20netnas": ("ai85net-kws20-nas", (128, 128)),
    "ai85kws20netv2batchnorm": ("ai85net-kws20-v2-batchnorm", (128, 128)),
    "ai85kws20netv2": ("ai85net-kws20-v2", (128, 128)),
    "ai85kws20netv3": ("ai85net-kws20-v3", (128, 128)),
    "ai85nascifarnet": ("ai85net-nas-cifar", (3, 32, 32)),
    "ai85ressimplenet": ("ai85net-res-simplenet", (3, 32, 32)),
    "ai85simplenetwide2x": ("ai85net-simplenet-wide2x", (3, 32, 32)),
    "ai85simplenet": ("ai85net-simplenet", (3, 32, 32)),
    "ai85tinierssdface": ("ai85net-tinierssd-face", (3, 224, 168)),
    "ai85tinierssdqr": ("ai85net-tinierssd-kpts-qr", (3, 240, 320)),
    "ai85tinierssd": ("ai85net-tinierssd", (3, 74, 74)),
    "ai85unetsmall": ("ai85net-unet", (3, 80, 80)),
    "ai85unetmedium": ("ai85net-unet", (3, 80, 80)),
    "ai85unetlarge": ("ai85net-unet", (48, 88, 88)),
    "ai85net5": ("ai85net", (3, 32, 32)),
    "ai85netextrasmall": ("ai85net", (1, 28, 28)),
}
UNREADABLE = {
    "ai85kws20net": ("ai85net-kws20", (128, 128), "view to [16, 16, 8] is not possible"),
    "ai85audionet": ("ai85net-audio", (128, 128), "view to [16, 16, 8] is not possible"),
}
BIASED = {"any.op.bias": 0}


@pytest.fixture
def folder() -> Path:
    found = Path(os.environ.get("AI8X_TRAINING", ""), "models")
    if not (found / "ai85net.py").is_file():
        pytest.skip("AI8X_TRAINING does not name a checkout of ai8x-training")
    return found


def mine(folder: Path, name: str, file: str, shape: tuple[int, ...]) -> nn.Module:
    """A model out of our layers, with uneven batch norms and small weights."""
    torch.manual_seed(0)
    model = load_model(f"{folder / (file + '.py')}:{name}", shape, BIASED, 4)
    for key, value in model.state_dict().items():
        if ".bn." in key and value.is_floating_point():
            value.uniform_(0.5, 1.5)
        elif key.endswith("op.bias"):
            value.uniform_(-0.1, 0.1)
    return model.eval()


def twin(ai8x: ModuleType, folder: Path, name: str, file: str, model: nn.Module,
         shape: tuple[int, ...]) -> nn.Module:  # fmt: skip
    """The same model out of ai8x-training's own layers."""
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location("official_model", folder / f"{file}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = set(sys.modules)
    try:
        spec.loader.exec_module(module)
        given: dict[str, Any] = {"num_classes": 4, "num_channels": shape[0],
                                 "dimensions": shape[1:], "bias": True}  # fmt: skip
        other = getattr(module, name)(**given)
    finally:
        sys.path.remove(str(folder))
        for extra in [m for m in set(sys.modules) - before if m.startswith(("ai8x_", "utils"))]:
            del sys.modules[extra]
    assert isinstance(other, nn.Module)
    return other.eval()


def outputs_of(model: nn.Module, student: Any, x: Tensor) -> list[Tensor]:
    """What the layers that are outputs of the student compute within a model."""
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        return lambda module, given, result: found.update({name: result})

    handles = [
        layer.register_forward_hook(keep(name.replace(".", "_")))
        for name, layer in model.named_modules()
    ]
    with torch.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    return [found[name.removeprefix("layer_")] for name in student.spec.outputs]


@pytest.mark.parametrize("name", sorted(MODELS))
def test_their_models_compute_the_same_here(ai8x: ModuleType, folder: Path, name: str) -> None:
    file, shape = MODELS[name]
    model = mine(folder, name, file, shape)
    student = trace(model, shape, name)
    ai8x.set_device(85, simulate=False, round_avg=False)
    other = twin(ai8x, folder, name, file, model, shape)
    other.load_state_dict(model.state_dict())
    x = torch.randint(-128, 128, (2, *shape)) / 128
    with torch.no_grad():
        here = student(x.reshape(2, *student.spec.input_shape))
    for value, wanted in zip(here, outputs_of(other, student, x), strict=True):
        torch.testing.assert_close(value.flatten(1), wanted.flatten(1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_their_models_are_the_same_integers(ai8x: ModuleType, folder: Path, name: str) -> None:
    file, shape = MODELS[name]
    model = mine(folder, name, file, shape)
    ours.fuse_bn_layers(model)
    ours.initiate_qat(model, {"weight_bits": 8})
    student = to_integer(trace(copy.deepcopy(model), shape, name))
    ai8x.set_device(85, simulate=True, round_avg=False)
    other = twin(ai8x, folder, name, file, model, shape)
    ai8x.fuse_bn_layers(other)
    integers = dict(model.state_dict())
    for path, _ in model.named_modules():
        layer = getattr(student, path.replace(".", "_"), None)
        if layer is not None and path:
            integers |= {f"{path}.{key}": value for key, value in layer.state_dict().items()}
    other.load_state_dict(integers)
    for layer in other.modules():
        if isinstance(layer, ai8x.QuantizationAwareModule):
            layer.set_functions()
    x = torch.randint(-128, 128, (2, *shape)).double()
    with torch.no_grad():
        here = student(x.reshape(2, *student.spec.input_shape))
    for value, wanted in zip(here, outputs_of(other.double(), student, x), strict=True):
        assert torch.equal(value.flatten(1), wanted.flatten(1))


@pytest.mark.parametrize("name", sorted(UNREADABLE))
def test_what_no_layer_computes_is_named(folder: Path, name: str) -> None:
    file, shape, said = UNREADABLE[name]
    with pytest.raises(TraceError) as caught:
        trace(mine(folder, name, file, shape), shape, name)
    assert said in str(caught.value)
