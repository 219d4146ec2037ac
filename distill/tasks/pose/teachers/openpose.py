"""The Lightweight OpenPose network: dilated MobileNetV1, context module, stages that refine.

Architecture: Osokin, "Real-time 2D Multi-Person Pose Estimation on CPU: Lightweight OpenPose",
2018. Module names follow the public implementation (lightweight-human-pose-estimation.pytorch,
``models/with_mobilenet.py``), so that its checkpoints load by key.

The published network takes blue, green, red as (pixel - 128) / 256; ours takes red, green, blue
as (pixel - 128) / 128 like the students. The difference is folded into the first convolution when
a published checkpoint is read, which is exact: a permutation and a division by two.

The same network as Intel's Open Model Zoo gives it away (human-pose-estimation-0001, read by
:mod:`distill.tasks.pose.teachers.openpose_onnx`) is the variant ``reduced``: its context module
has one more 1x1 layer and ELU behind the first, and its batch norm is folded into the
convolutions. Such layers are trained as they stand, a kernel and an offset each: there are no
statistics of batches, and what the network computes is the same in training and in use.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ai8x_models.skeleton import NUM_HEATMAPS, NUM_PAFS
from ai8x_models.student_file import read_checkpoint, write_atomically
from common.errors import UserError

ARCH = "lightweight_openpose"
STRIDE = 8
OUR_INPUT = "rgb128"  # marks checkpoints whose first convolution takes the students' input
HEAD_WIDTH = 512  # of the initial stage
MAX_STAGES, MAX_WIDTH = 16, 1024  # the published ones have at most 3 and 128
# Backbone blocks after the first convolution: (outputs, stride, dilation), up to conv5_5.
_BLOCKS = (
    (64, 1, 1), (128, 2, 1), (128, 1, 1), (256, 2, 1), (256, 1, 1), (512, 1, 1),
    (512, 1, 2), (512, 1, 1), (512, 1, 1), (512, 1, 1), (512, 1, 1),
)  # fmt: skip


def _conv(
    inputs: int,
    outputs: int,
    kernel: int = 3,
    *,
    stride: int = 1,
    dilation: int = 1,
    bias: bool = True,
    batchnorm: bool = False,
    folded: bool = False,
    relu: bool = True,
) -> nn.Sequential:
    """Convolution that keeps the size (up to the stride), then batch norm and ReLU if wanted.

    Where batch norm is ``folded`` an identity stands in its place, so that keys stay.
    """
    padding = dilation * (kernel // 2)
    steps: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=bias or folded)
    ]
    if batchnorm:
        steps.append(_norm(outputs, folded))
    if relu:
        steps.append(nn.ReLU(inplace=True))
    return nn.Sequential(*steps)


def _norm(channels: int, folded: bool) -> nn.Module:
    """Batch norm, or nothing where the convolution before has taken it in."""
    return nn.Identity() if folded else nn.BatchNorm2d(channels)


def _separable(
    inputs: int, outputs: int, stride: int = 1, dilation: int = 1, folded: bool = False
) -> nn.Sequential:
    """Depthwise 3x3, then pointwise, each with batch norm and ReLU (a MobileNetV1 block)."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride, dilation, dilation, groups=inputs, bias=folded),
        _norm(inputs, folded),
        nn.ReLU(inplace=True),
        nn.Conv2d(inputs, outputs, 1, bias=folded),
        _norm(outputs, folded),
        nn.ReLU(inplace=True),
    )


def _separable_elu(width: int, bias: bool = False) -> nn.Sequential:
    """Depthwise 3x3, then pointwise, each with ELU and no batch norm."""
    return nn.Sequential(
        nn.Conv2d(width, width, 3, padding=1, groups=width, bias=bias),
        nn.ELU(inplace=True),
        nn.Conv2d(width, width, 1, bias=bias),
        nn.ELU(inplace=True),
    )


class _Context(nn.Module):
    """Narrows the backbone's features and mixes them once more (the "CPM" block).

    The variant ``reduced`` has ELU behind ``align``, a further 1x1 layer before the trunk, which
    the residual sum does not see, and offsets throughout.
    """

    def __init__(self, inputs: int, width: int, reduced: bool) -> None:
        super().__init__()
        self.align = _conv(inputs, width, 1)
        self.reduce: nn.Module = nn.Identity()
        if reduced:
            self.align[1] = nn.ELU(inplace=True)
            self.reduce = nn.Sequential(nn.Conv2d(width, width, 1), nn.ELU(inplace=True))
        self.trunk = nn.Sequential(*(_separable_elu(width, reduced) for _ in range(3)))
        self.conv = _conv(width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.align(x)
        mixed: Tensor = self.conv(x + self.trunk(self.reduce(x)))
        return mixed


class _Stage(nn.Module):
    """A trunk, then one head for the heatmaps and one for the part affinities."""

    def __init__(self, trunk: nn.Sequential, width: int, hidden: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.heatmaps = self._head(width, hidden, NUM_HEATMAPS)
        self.pafs = self._head(width, hidden, NUM_PAFS)

    @staticmethod
    def _head(width: int, hidden: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(_conv(width, hidden, 1), _conv(hidden, outputs, 1, relu=False))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.trunk(x)
        return self.heatmaps(x), self.pafs(x)


class _RefinementBlock(nn.Module):
    """A pointwise convolution with a residual pair of 3x3 ones, the second dilated."""

    def __init__(self, inputs: int, width: int, folded: bool) -> None:
        super().__init__()
        self.initial = _conv(inputs, width, 1)
        self.trunk = nn.Sequential(
            _conv(width, width, batchnorm=True, folded=folded),
            _conv(width, width, dilation=2, batchnorm=True, folded=folded),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.initial(x)
        refined: Tensor = x + self.trunk(x)
        return refined


def _refinement_stage(inputs: int, width: int, folded: bool) -> _Stage:
    blocks = [_RefinementBlock(inputs if i == 0 else width, width, folded) for i in range(5)]
    return _Stage(nn.Sequential(*blocks), width, width)


class LightweightOpenPose(nn.Module):
    """The teacher: ``[N, 3, H, W]`` float32 RGB, (pixel - 128) / 128 -> maps at stride 8.

    ``forward`` returns one float tensor ``[N, 57, H/8, W/8]`` per stage (19 heatmaps, then 38
    part affinities), the initial stage first, the best last. ``stages`` counts the refinement
    stages, ``width`` the channels of everything behind the backbone; ``reduced`` is the variant
    of the Open Model Zoo.
    """

    def __init__(self, stages: int = 1, width: int = 128, reduced: bool = False) -> None:
        super().__init__()
        if not (0 <= stages <= MAX_STAGES and 0 < width <= MAX_WIDTH):
            raise UserError(
                f"a teacher cannot have {stages} refinement stages of width {width}; at most "
                f"{MAX_STAGES} and {MAX_WIDTH} are possible"
            )
        blocks = [_conv(3, 32, stride=2, bias=False, batchnorm=True, folded=reduced)]
        before = 32
        for outputs, stride, dilation in _BLOCKS:
            blocks.append(_separable(before, outputs, stride, dilation, reduced))
            before = outputs
        self.model = nn.Sequential(*blocks)
        self.cpm = _Context(before, width, reduced)
        trunk = nn.Sequential(*(_conv(width, width) for _ in range(3)))
        self.initial_stage = _Stage(trunk, width, HEAD_WIDTH)
        inputs = width + NUM_HEATMAPS + NUM_PAFS
        self.refinement_stages = nn.ModuleList(
            _refinement_stage(inputs, width, reduced) for _ in range(stages)
        )
        self._initialise()

    def _initialise(self) -> None:
        """Keep the variance through ReLUs; start from maps near zero, as the targets are."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        for stage in (self.initial_stage, *self.refinement_stages):
            assert isinstance(stage, _Stage)
            for head in (stage.heatmaps, stage.pafs):
                nn.init.normal_(head[1][0].weight, std=0.01)  # type: ignore[index]

    @property
    def stages(self) -> int:
        """Refinement stages."""
        return len(self.refinement_stages)

    @property
    def width(self) -> int:
        """Channels behind the backbone."""
        layer = self.cpm.align[0]
        assert isinstance(layer, nn.Conv2d)
        return layer.out_channels

    @property
    def reduced(self) -> bool:
        """Whether it is the variant of the Open Model Zoo."""
        assert isinstance(self.cpm, _Context)
        return not isinstance(self.cpm.reduce, nn.Identity)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Maps of every stage."""
        features = self.cpm(self.model(x))
        maps = [torch.cat(self.initial_stage(features), dim=1)]
        for stage in self.refinement_stages:
            maps.append(torch.cat(stage(torch.cat([features, maps[-1]], dim=1)), dim=1))
        return maps

    def maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Heatmaps and part affinities of the last stage, as a student's ``maps``."""
        last = self(x)[-1]
        return last[:, :NUM_HEATMAPS], last[:, NUM_HEATMAPS:]


def save_teacher(
    teacher: LightweightOpenPose, path: Path, epoch: int, extras: dict[str, Any]
) -> None:
    """Write ``epoch, arch, state_dict, extras``, whole or not at all."""
    described = {
        "stages": teacher.stages, "width": teacher.width, "reduced": teacher.reduced,
        "input": OUR_INPUT,
    }  # fmt: skip
    data = {
        "epoch": epoch,
        "arch": ARCH,
        "state_dict": teacher.state_dict(),
        "extras": {**described, **extras},
    }
    write_atomically(data, path)


def is_teacher(data: dict[str, Any]) -> bool:
    """Whether a checkpoint's content is this network's, ours or a published one."""
    return data.get("arch") == ARCH or "cpm.align.0.weight" in data["state_dict"]


def load_teacher(path: Path) -> tuple[LightweightOpenPose, dict[str, Any]]:
    """Read our own or a published checkpoint, or the Open Model Zoo's ONNX file.

    No code from it is executed.

    Raises:
        UserError: unreadable, or its keys or shapes are not this network's.
    """
    data = read_teacher_file(path)
    return teacher_from(data, path), data


def read_teacher_file(path: Path) -> dict[str, Any]:
    """A checkpoint's content; an ONNX file's weights in the form of a checkpoint.

    Raises:
        UserError: unreadable, or an ONNX file of another network.
    """
    if path.suffix.lower() != ".onnx":
        return read_checkpoint(path)
    from distill.tasks.pose.teachers.openpose_onnx import read_weights

    extras = {"input": OUR_INPUT, "start": path.name}
    return {"epoch": 0, "arch": ARCH, "state_dict": read_weights(path), "extras": extras}


def teacher_from(data: dict[str, Any], path: Path) -> LightweightOpenPose:
    """Build the network that a checkpoint's content describes; see :func:`load_teacher`."""
    state = {key.removeprefix("module."): value for key, value in data["state_dict"].items()}
    if not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path} holds values that are no tensors in its state_dict")
    named = [key.split(".") for key in state if key.startswith("refinement_stages.")]
    stages = len({parts[1] for parts in named})
    align = state.get("cpm.align.0.weight")
    if align is None or align.ndim != 4:
        raise UserError(
            f"{path} is no Lightweight OpenPose checkpoint: its keys lack cpm.align.0.weight"
        )
    teacher = LightweightOpenPose(stages, align.shape[0], "cpm.reduce.0.weight" in state)
    _check_keys(teacher, state, path)
    extras = data.get("extras")
    ours = isinstance(extras, dict) and extras.get("input") == OUR_INPUT
    if not ours:
        state["model.0.0.weight"] = state["model.0.0.weight"].flip(1) / 2
    teacher.load_state_dict(state)
    return teacher.eval()


def _check_keys(teacher: LightweightOpenPose, state: dict[str, Tensor], path: Path) -> None:
    """Refuse a state dict that does not fit, naming what is missing, foreign or misshapen."""
    own = teacher.state_dict()
    # Checkpoints of torch before 0.4.1 do not count the batches batch norm has seen.
    for key in own.keys() - state.keys():
        if key.endswith("num_batches_tracked"):
            state[key] = own[key]
    missing, foreign = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    misshapen = [key for key in own if key in state and own[key].shape != state[key].shape]
    problems = [
        f"{len(keys)} {what} ({keys[0]} first)"
        for what, keys in (
            ("missing", missing),
            ("unknown", foreign),
            ("of another shape", misshapen),
        )
        if keys
    ]
    if problems:
        raise UserError(
            f"{path} does not fit Lightweight OpenPose with {teacher.stages} refinement stages: "
            f"keys {', '.join(problems)}; give a checkpoint of that network"
        )
