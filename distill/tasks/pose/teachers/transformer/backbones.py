"""Backbones: pictures to features at several strides.

``mobilenet`` and ``openpose`` are the Lightweight OpenPose network's, and can start from such a
teacher's checkpoint; ``native``, ``seed`` and ``tiny`` are pose students of that name, and can
start from a student's; ``resnet*`` and ``efficientnet-b*`` come from the transformers library,
built from a configuration, so nothing is downloaded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from ai8x_models.skeleton import NUM_HEATMAPS, NUM_PAFS
from ai8x_models.student_file import load_student
from ai8x_models.students import SPECS, Student
from common.errors import UserError
from distill.engine.efficientnet import efficientnet, library
from distill.tasks.pose.teachers.openpose import LightweightOpenPose, load_teacher

# Blocks and widths of the stages, bottlenecks or basic blocks: He et al., "Deep Residual Learning
# for Image Recognition", 2015, table 1.
_RESNETS: Mapping[str, tuple[str, list[int], list[int]]] = {
    "resnet18": ("basic", [2, 2, 2, 2], [64, 128, 256, 512]),
    "resnet34": ("basic", [3, 4, 6, 3], [64, 128, 256, 512]),
    "resnet50": ("bottleneck", [3, 4, 6, 3], [256, 512, 1024, 2048]),
}
# Width and depth factors: Tan and Le, "EfficientNet: Rethinking Model Scaling", 2019.
_EFFICIENTNETS: Mapping[str, tuple[float, float]] = {
    "efficientnet-b0": (1.0, 1.0),
    "efficientnet-b1": (1.0, 1.1),
    "efficientnet-b2": (1.1, 1.2),
}
STUDENTS = tuple(
    name
    for name, spec in SPECS.items()
    if sum(layer.out_channels for layer in spec.layers if layer.name in spec.outputs)
    == NUM_HEATMAPS + NUM_PAFS
)
NAMES = ("openpose", "mobilenet", *STUDENTS, *_RESNETS, *_EFFICIENTNETS)
_STRIDES = (8, 16, 32)


class Backbone(Protocol):
    """``[n, 3, h, w]`` float32 RGB, (pixel - 128) / 128 -> features, finest first.

    ``channels`` are those of the features, one for each of them.
    """

    channels: tuple[int, ...]

    def __call__(self, x: Tensor) -> list[Tensor]: ...  # noqa: D102


class MobileNet(nn.Module):
    """The dilated MobileNetV1 of Lightweight OpenPose: 128, 256 and 512 channels, strides 4, 8, 8.

    The last is averaged to stride 16 too, which gives the attention a wider view for few tokens.
    """

    channels = (128, 512, 512)
    _AT_STRIDE_4 = 3  # blocks before the features at stride 4 are taken

    def __init__(self) -> None:
        super().__init__()
        self.model = LightweightOpenPose(0).model

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features at strides 4, 8 and 16."""
        fine: Tensor = self.model[: self._AT_STRIDE_4 + 1](x)
        middle: Tensor = self.model[self._AT_STRIDE_4 + 1 :](fine)
        return [fine, middle, nn.functional.avg_pool2d(middle, 2)]


class OpenPose(nn.Module):
    """A whole Lightweight OpenPose network: its context features beside its maps.

    Strides 8 and 16, 185 channels each. The transformer then need not learn to see, but to make
    people of what is seen.
    """

    channels = (128 + NUM_HEATMAPS + NUM_PAFS,) * 2

    def __init__(self) -> None:
        super().__init__()
        self.network = LightweightOpenPose(1)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features at strides 8 and 16."""
        network = self.network
        features = network.cpm(network.model(x))
        maps = torch.cat(network.initial_stage(features), dim=1)
        for stage in network.refinement_stages:
            maps = torch.cat(stage(torch.cat([features, maps], dim=1)), dim=1)
        seen = torch.cat([features, maps], dim=1)
        return [seen, nn.functional.avg_pool2d(seen, 2)]


class PoseStudent(nn.Module):
    """A pose student in real numbers: the end of its trunk, its heads if any, its maps.

    Strides 8 and 16; what is finer is averaged. A student is trained sooner than a Lightweight
    OpenPose network, and sees for well under half of its arithmetic.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.network = Student(name)
        spec = self.network.spec
        source = {layer.name: layer.source for layer in spec.layers}
        before = tuple(source[name] for name in spec.outputs)
        heads = before if len(before) > 1 else ()
        self.names = (source[heads[0]] if heads else before[0], *heads, *spec.outputs)
        width = {layer.name: layer.out_channels for layer in spec.layers}
        self.channels = (sum(width[name] for name in self.names),) * 2

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features at strides 8 and 16."""
        seen = torch.cat(self.network.values(x, self.names), dim=1)
        while seen.shape[-1] * _STRIDES[0] > x.shape[-1]:
            seen = nn.functional.avg_pool2d(seen, 2)
        return [seen, nn.functional.avg_pool2d(seen, 2)]


class Residual(nn.Module):
    """A ResNet of the transformers library: features at strides 8, 16 and 32."""

    def __init__(self, name: str) -> None:
        super().__init__()
        transformers = library(f"backbone '{name}'")
        kind, depths, widths = _RESNETS[name]
        config = transformers.ResNetConfig(
            layer_type=kind, depths=depths, hidden_sizes=widths,
            out_features=["stage2", "stage3", "stage4"],
        )  # fmt: skip
        self.network = transformers.ResNetBackbone(config)
        self.channels = tuple(widths[1:])

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features at strides 8, 16 and 32."""
        return list(self.network(x).feature_maps)


class Efficient(nn.Module):
    """An EfficientNet of the transformers library: the last features at strides 8, 16 and 32."""

    def __init__(self, name: str) -> None:
        super().__init__()
        network = efficientnet(f"backbone '{name}'", *_EFFICIENTNETS[name], drop_connect_rate=0.0)
        # Only the head that would make one vector of each picture hangs behind these two.
        self.embeddings, self.blocks = network.embeddings, network.encoder.blocks
        with torch.no_grad():
            training, self.channels = self.training, ()
            self.eval()
            self.channels = tuple(f.shape[1] for f in self(torch.zeros(1, 3, 64, 64)))
            self.train(training)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features at strides 8, 16 and 32."""
        side = x.shape[-1]
        x = self.embeddings(x)
        found: dict[int, Tensor] = {}
        for block in self.blocks:
            x = block(x)
            found[round(side / x.shape[-1])] = x
        return [found[stride] for stride in _STRIDES]


def make_backbone(name: str) -> nn.Module:
    """A backbone with random weights.

    Raises:
        UserError: unknown name, or a library is missing.
    """
    if name not in NAMES:
        raise UserError(f"backbone '{name}' is unknown; choose from {', '.join(NAMES)}")
    if name == "mobilenet":
        return MobileNet()
    if name == "openpose":
        return OpenPose()
    if name in STUDENTS:
        return PoseStudent(name)
    return Residual(name) if re.match("resnet", name) else Efficient(name)


def start_backbone(backbone: nn.Module, path: Path) -> None:
    """Copy a trained network's weights into the backbone.

    ``mobilenet`` and ``openpose`` take a Lightweight OpenPose teacher's, a student's backbone those
    of a student of the same name that still has its batch norm, as training in real numbers
    leaves it.
    """
    if isinstance(backbone, PoseStudent):
        _start_student(backbone.network, path)
        return
    teacher, _ = load_teacher(path)
    if teacher.reduced:
        raise UserError(
            f"{path} has its batch norm folded away and one more layer, which the pose "
            "transformer's backbone has not; give a teacher that was trained from nothing, or a "
            "published checkpoint (.pth)"
        )
    if isinstance(backbone, MobileNet):
        backbone.model.load_state_dict(teacher.model.state_dict())
    elif isinstance(backbone, OpenPose):
        own = (backbone.network.stages, backbone.network.width)
        if (teacher.stages, teacher.width) != own:
            raise UserError(
                f"{path} has (refinement stages, width) {(teacher.stages, teacher.width)}, but the "
                f"backbone openpose takes {own}; use backbone=mobilenet, or another teacher"
            )
        backbone.network.load_state_dict(teacher.state_dict())
    else:
        raise UserError(
            f"{path} is a Lightweight OpenPose teacher; only the backbones mobilenet and openpose "
            "can start from one"
        )


def _start_student(own: Student, path: Path) -> None:
    student, _ = load_student(path)
    if student.spec.name != own.spec.name or student.mode != "float":
        raise UserError(
            f"{path} holds the student '{student.spec.name}' in mode '{student.mode}', but the "
            f"backbone starts from '{own.spec.name}' in mode 'float'"
        )
    if student.state_dict().keys() != own.state_dict().keys():
        raise UserError(
            f"{path} has its batch norm folded; the backbone starts from the student.pth.tar that "
            "training in real numbers writes"
        )
    own.load_state_dict(student.state_dict())
