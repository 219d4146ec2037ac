"""Eleven typical small networks as people write them, none of them for this chip."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


def block(inputs: int, outputs: int, stride: int = 1, act: type[nn.Module] = nn.ReLU) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), act()
    )


class Classifier(nn.Module):
    """Convolutions with batch norm, global average pooling, a linear layer, softmax."""

    shape: tuple[int, ...] = (3, 32, 32)

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            block(3, 16), nn.MaxPool2d(2), block(16, 32), nn.MaxPool2d(2), block(32, 32, 2)
        )
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.adaptive_avg_pool2d(self.body(x), 1)
        return F.softmax(self.head(x.flatten(1)), 1)


class UNet(nn.Module):
    """Skip connections by concatenation; 2x2 transposed convolutions."""

    shape = (1, 32, 32)

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2, self.middle = block(1, 8), block(8, 16), block(16, 32)
        self.up2 = nn.ConvTranspose2d(32, 16, 2, 2)
        self.up1 = nn.ConvTranspose2d(16, 8, 2, 2)
        self.mix2, self.mix1 = block(32, 16), block(16, 8)
        self.out = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.down1(x)
        b = self.down2(F.max_pool2d(a, 2))
        c = self.middle(F.max_pool2d(b, 2))
        b = self.mix2(torch.cat([self.up2(c), b], 1))
        return self.out(self.mix1(torch.cat([self.up1(b), a], 1)))


class Residual(nn.Module):
    """Two residual blocks, ReLU behind the sum, mean by the tensor's own method."""

    shape = (3, 16, 16)

    def __init__(self) -> None:
        super().__init__()
        self.stem = block(3, 16)
        self.one = nn.ModuleList([self.half(), self.half()])
        self.two = nn.ModuleList([self.half(), self.half()])
        self.head = nn.Linear(16, 5)

    def half(self) -> nn.Module:
        return nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1), nn.BatchNorm2d(16))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for first, second in (self.one, self.two):
            x = F.relu(x + second(F.relu(first(x))))
        return self.head(x.mean([2, 3]))


class MobileLike(nn.Module):
    """Depthwise and pointwise convolutions with ReLU6."""

    shape = (3, 32, 32)

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [block(3, 16, 2, nn.ReLU6)]
        for inputs, outputs, stride in ((16, 24, 1), (24, 32, 2)):
            layers += [
                nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False),
                nn.BatchNorm2d(inputs), nn.ReLU6(),
                nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU6(),
            ]  # fmt: skip
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(32, 7))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


class Keywords(nn.Module):
    """1D convolutions on spectra, one of them dilated."""

    shape = (20, 64)

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(20, 32, 5, padding=2), nn.BatchNorm1d(32), nn.ReLU(), nn.MaxPool1d(2),
            nn.Conv1d(32, 32, 3, padding=2, dilation=2), nn.BatchNorm1d(32), nn.ReLU(),
            nn.MaxPool1d(2), nn.Conv1d(32, 32, 3, padding=1), nn.ReLU(), nn.AvgPool1d(4),
        )  # fmt: skip
        self.head = nn.Linear(32 * 4, 12)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).flatten(1))


class Spoken(nn.Module):
    """A residual block in 1D, a mean over time."""

    shape = (16, 48)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(16, 24, 5, padding=2), nn.BatchNorm1d(24), nn.ReLU())
        self.one, self.two = nn.Conv1d(24, 24, 3, padding=1), nn.Conv1d(24, 24, 3, padding=1)
        self.norm, self.head = nn.BatchNorm1d(24), nn.Linear(24, 12)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool1d(self.stem(x), 2)
        x = F.relu(x + self.norm(self.two(F.relu(self.one(x)))))
        return self.head(x.mean(-1))


class Autoencoder(nn.Module):
    """Down by strides, up by transposed convolutions; tanh at the end."""

    shape = (1, 32, 32)

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(),
            nn.ConvTranspose2d(16, 8, 3, 2, 1, output_padding=1), nn.ReLU(),
            nn.ConvTranspose2d(8, 1, 3, 2, 1, output_padding=1), nn.Tanh(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Six(nn.Module):
    """ReLU6 whose limit matters, and a limit on both sides."""

    shape = (3, 16, 16)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 16, 3, 1, 1), nn.Conv2d(16, 16, 3, 1, 1)
        self.last = nn.Conv2d(16, 4, 1)
        with torch.no_grad():
            self.first.weight.mul_(12)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.hardtanh(self.second(F.relu6(self.first(x))), -1.0, 1.0))


class Enlarged(nn.Module):
    """A decoder with nearest-neighbour resizing."""

    shape = (3, 16, 16)

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up, self.out = block(3, 16, 2), block(16, 8), nn.Conv2d(8, 3, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(self.down(x), scale_factor=2, mode="nearest")
        return self.out(F.interpolate(self.up(x), scale_factor=2, mode="nearest"))


class Gated(nn.Module):
    """Squeeze and excitation, a 5x5 kernel and HardSwish: three things the chip does not have."""

    shape = (3, 16, 16)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 5, 1, 2)
        self.squeeze, self.excite = nn.Conv2d(16, 4, 1), nn.Conv2d(4, 16, 1)
        self.out = nn.Conv2d(16, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardswish(self.stem(x))
        gate = F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1)))
        return self.out(x * torch.sigmoid(self.excite(gate)))


class Detector(nn.Module):
    """Two heads, boxes and classes, on one trunk."""

    shape = (3, 32, 32)

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(block(3, 16, 2), block(16, 32, 2), block(32, 32))
        self.boxes, self.classes = nn.Conv2d(32, 8, 3, 1, 1), nn.Conv2d(32, 6, 3, 1, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.body(x)
        return self.boxes(x), torch.sigmoid(self.classes(x))


NETWORKS: dict[str, type[nn.Module]] = {
    "classifier": Classifier, "unet": UNet, "residual": Residual, "mobile": MobileLike,
    "keywords": Keywords, "spoken": Spoken, "autoencoder": Autoencoder, "six": Six,
    "enlarged": Enlarged, "detector": Detector,
}  # fmt: skip
"""Those that the chip can express."""


def made(kind: type[nn.Module], seed: int = 0) -> nn.Module:
    """A network with random weights whose batch norms have seen data and are uneven."""
    torch.manual_seed(seed)
    network = kind()
    for layer in network.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.3, 0.5)
    network.train()
    with torch.no_grad():
        for number in range(8):
            network(torch.from_numpy(inputs(kind, 16, number)))
    return network.eval()


def inputs(kind: type[nn.Module], count: int, seed: int = 0) -> np.ndarray:
    """Smooth random data in -1 to 1, as pictures and spectra are."""
    rng = np.random.default_rng(seed)
    shape: tuple[int, ...] = kind.shape  # type: ignore[attr-defined]
    coarse = rng.normal(0, 0.7, (count, shape[0], *(n // 4 for n in shape[1:])))
    for axis in range(2, coarse.ndim):
        coarse = np.repeat(coarse, 4, axis)
    return np.clip(coarse + rng.normal(0, 0.1, coarse.shape), -1, 1).astype(np.float32)


def exported(network: nn.Module, path: Path, opset: int = 17, dynamo: bool = False) -> Path:
    """The network as ONNX, by one of torch's two exporters."""
    example = torch.zeros(1, *network.shape)  # type: ignore[operator]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = io.BytesIO()
        if dynamo:
            program = torch.onnx.export(
                network, (example,), dynamo=True, opset_version=opset, verbose=False
            )
            program.save(path, external_data=False)
            return path
        torch.onnx.export(network, (example,), content, opset_version=opset, dynamo=False)
    path.write_bytes(content.getvalue())
    return path
