"""The grey teachers: a shared trunk (encoder and FSRCNN-style upsampler) and two detectors.

The trunk squeezes the picture into 256 numbers and paints 64 feature maps from them; a detector
reads K points (x and y as fractions of the picture, visibility) out of these maps. FSRCNN: Dong,
Loy and Tang, "Accelerating the Super-Resolution Convolutional Neural Network", ECCV 2016.
EfficientNet: Tan and Le, ICML 2019, in the ``transformers`` library's implementation.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.errors import UserError
from distill.engine.efficientnet import MOMENTUM, efficientnet, library
from distill.tasks.grey.recipe import CELL

log = logging.getLogger(__name__)

MAPS = 64  # feature maps between trunk and detector
HIDDEN, CODE = 512, 256  # widths of the encoder's two linear layers
DOUBLINGS = 4
_SKIPPED = 0.2  # of residual paths, EfficientNet's own stochastic depth
PRETRAINED = "google/efficientnet-b0"  # the library's name of the ImageNet weights


def keep_signal(*parts: nn.Module) -> None:
    """First weights with which a picture's code reaches the answer.

    With PyTorch's own, every convolution with ReLU keeps a third of what it is given and adds an
    offset that is the same for all pictures: behind the four doublings nothing of the picture is
    left, and training ends at the mean pose. He et al., "Delving Deep into Rectifiers", 2015.
    """
    for part in parts:
        for layer in part.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)


class Encoder(nn.Module):
    """[N, 1, size, size] -> [N, 256].

    A gain and an offset per channel make 64 channels of the picture; behind the pooling such a
    channel is the local maximum or the local minimum, scaled, so the 512 outputs of the first
    linear layer see two different maps, however many weights it has.
    """

    def __init__(self, size: int, enlarge: int = 1) -> None:
        super().__init__()
        self.enlarge = enlarge
        self.scale = nn.Conv2d(1, MAPS, 1)
        self.squeeze = nn.Linear(MAPS * (size * enlarge // 2) ** 2, HIDDEN)
        self.code = nn.Linear(HIDDEN, CODE)

    def forward(self, x: Tensor) -> Tensor:
        """The picture's code."""
        if self.enlarge > 1:
            x = F.interpolate(x, scale_factor=self.enlarge, mode="bilinear", align_corners=False)
        x = F.max_pool2d(self.scale(x), 2)
        code: Tensor = self.code(F.relu(self.squeeze(x.flatten(1))))
        return code


def _block(inputs: int, outputs: int) -> nn.Sequential:
    """3x3 convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class Doubling(nn.Module):
    """Bilinear enlargement by two and a 3x3 convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, width, h, w] -> [N, width, 2 h, 2 w]."""
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        return F.relu(self.conv(x))


class Upsampler(nn.Module):
    """[N, 256] -> [N, 64, size, size]; between its ends it is ``width`` channels wide, as FSRCNN's
    mapping is narrower than what comes before and after it.
    """

    def __init__(self, size: int, width: int, mapping: int) -> None:
        super().__init__()
        self.side = size // 2**DOUBLINGS
        self.unfold = nn.Linear(CODE, MAPS * self.side**2)
        self.body = nn.Sequential(
            _block(MAPS, width),
            *(_block(width, width) for _ in range(mapping)),
            *(Doubling(width) for _ in range(DOUBLINGS)),
            nn.Conv2d(width, MAPS, 1),
        )

    def forward(self, code: Tensor) -> Tensor:
        """Feature maps."""
        maps: Tensor = self.body(self.unfold(code).unflatten(1, (MAPS, self.side, self.side)))
        return maps


class SimpleHead(nn.Module):
    """Two convolutions and averages over the whole picture: [N, 64, s, s] -> [N, 3 K].

    The ReLU in front of the last average makes all outputs non-negative; its offsets start in the
    middle of the picture, where it passes gradients.
    """

    def __init__(self, keypoints: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(MAPS, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 3 * keypoints, 3, padding=1)
        keep_signal(self.conv1)
        nn.init.constant_(self.conv2.bias, 0.5)  # type: ignore[arg-type]

    def forward(self, maps: Tensor) -> Tensor:
        """All numbers of all points."""
        maps = F.avg_pool2d(F.relu(self.conv1(maps)), 2)
        return F.relu(self.conv2(maps)).mean(dim=(2, 3))


class CodeHead(nn.Module):
    """One linear layer on the encoder's 256 numbers: what these say of the pose by themselves.

    A probe, not a detector that was described: the others see nothing but maps painted from these
    numbers, so what is not in them is lost to all.
    """

    def __init__(self, keypoints: int) -> None:
        super().__init__()
        self.read = nn.Linear(CODE, 3 * keypoints)
        nn.init.constant_(self.read.bias, 0.5)

    def forward(self, code: Tensor) -> Tensor:
        """All numbers of all points of codes [N, 256]."""
        numbers: Tensor = self.read(F.relu(code))
        return numbers


class EfficientHead(nn.Module):
    """1x1 convolution to three channels, EfficientNet-B0, three linear layers: -> [N, 3 K]."""

    def __init__(self, keypoints: int, dropout: float, pretrained: bool) -> None:
        super().__init__()
        self.colour = nn.Conv2d(MAPS, 3, 1)
        self.net = efficientnet_b0(pretrained, min(dropout, _SKIPPED))
        self.head = nn.Sequential(
            nn.Linear(1280, 512), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(512, 256), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(256, 3 * keypoints),
        )  # fmt: skip
        keep_signal(self.colour, self.head[0], self.head[3])
        nn.init.constant_(self.head[-1].bias, 0.5)  # type: ignore[arg-type]

    def forward(self, maps: Tensor) -> Tensor:
        """All numbers of all points."""
        found: Tensor = self.head(self.net(self.colour(maps)).pooler_output.flatten(1))
        return found


def efficientnet_b0(pretrained: bool, skipped: float = _SKIPPED) -> nn.Module:
    """The library's EfficientNet-B0 without its classifier.

    ``skipped`` is the share of the last block's residual paths left out in training (stochastic
    depth).

    ImageNet weights come from the library's own store (its cache, or the network). Where they
    cannot be had, a line says so and the network starts from random weights.

    Raises:
        UserError: the library is not installed.
    """
    who = "the EfficientNet detector"
    if pretrained:
        try:
            found: nn.Module = library(who).EfficientNetModel.from_pretrained(
                PRETRAINED, batch_norm_momentum=MOMENTUM, drop_connect_rate=skipped
            )
            return found
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0][:120] if str(error) else "not found"
            log.warning("no ImageNet weights (%s); starting from random ones", reason)
    return efficientnet(who, hidden_dim=1280, dropout_rate=0.2, drop_connect_rate=skipped)


class Detector(nn.Module):
    """Trunk and head: [N, 1, size, size] float32, (pixel - 128) / 128 -> [N, K, 3]."""

    def __init__(
        self,
        detector: str = "simple",
        keypoints: int = 13,
        size: int = 64,
        *,
        width: int = 16,
        mapping: int = 4,
        enlarge: int = 1,
        dropout: float = 0.3,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        if size % CELL:
            raise ValueError(f"size is {size}; it must be a multiple of {CELL}")
        self.described: dict[str, Any] = {
            "detector": detector, "keypoints": keypoints, "size": size, "width": width,
            "mapping": mapping, "enlarge": enlarge, "dropout": dropout,
        }  # fmt: skip
        self.size, self.keypoints = size, keypoints
        self.encoder = Encoder(size, enlarge)
        self.upsampler: nn.Module = nn.Identity()
        if detector != "code":
            self.upsampler = Upsampler(size, width, mapping)
        keep_signal(self.encoder, self.upsampler)
        self.head: nn.Module
        if detector == "efficientnet":
            self.head = EfficientHead(keypoints, dropout, pretrained)
        elif detector == "code":
            self.head = CodeHead(keypoints)
        else:
            self.head = SimpleHead(keypoints)

    def forward(self, x: Tensor) -> Tensor:
        """Points: x, y as fractions of the picture, visibility."""
        if x.shape[1:] != (1, self.size, self.size):
            raise UserError(
                f"the detector was made for pictures [1, {self.size}, {self.size}] and is given "
                f"{list(x.shape[1:])}; set size={self.size}"
            )
        numbers: Tensor = self.head(self.upsampler(self.encoder(x)))
        return numbers.unflatten(1, (self.keypoints, 3))


def parameters(network: nn.Module) -> int:
    """How many parameters a network has."""
    return sum(p.numel() for p in network.parameters())


@torch.no_grad()
def multiplications(network: nn.Module, x: Tensor) -> int:
    """Multiply-accumulate operations of convolutions and linear layers for one picture of ``x``."""
    from torch.utils.flop_counter import FlopCounterMode

    network.eval()
    with FlopCounterMode(display=False) as counter:
        network(x)
    return int(counter.get_total_flops()) // 2 // len(x)
