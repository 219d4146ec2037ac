"""Parameters, arithmetic and speed of the pose transformer, by parts, beside a deformable one.

``python -m distill pose figures`` prints the tables of ``docs/tasks-linear.md``. One FLOP
is one multiplication or one addition, counted by PyTorch's own counter: matrix products and
convolutions only.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from common.arguments import Parser
from distill.tasks.pose.teachers.transformer.attention import explicit_attention, linear_attention
from distill.tasks.pose.teachers.transformer.model import LinearPose
from distill.tasks.pose.teachers.transformer.recipe import Shape

WIDTHS = (128, 160, 192, 256)
SIZE = 128
_BACKBONES = ("native", "openpose", "mobilenet", "resnet18", "resnet50", "efficientnet-b0")


def linear_parameters(width: int, blocks: int = 4, layers: int = 6) -> int:
    """Weights of the described layers alone: no biases, norms, heads, embeddings, projections.

    Encoder: two separable convolutions; per block four projections and a two-fold MLP. Decoder, per
    layer: three attentions of four projections each and a two-fold FFN.
    """
    square = width * width
    return 2 * (9 * width + square) + blocks * 8 * square + layers * 16 * square


def deformable_parameters(
    width: int = 256, ffn: int = 1024, levels: int = 4, heads: int = 8, points: int = 4
) -> int:
    """The same of a deformable transformer with six encoder and six decoder layers.

    A deformable attention has two projections of the width (values and output), and predicts two
    offsets and one weight per head, level and point: Zhu et al., "Deformable DETR: Deformable
    Transformers for End-to-End Object Detection", 2020. The decoder layers attend within each
    person and across persons first, four projections each: Liu et al., "Group Pose: A Simple
    Baseline for End-to-End Multi-Person Pose Estimation", 2023.
    """
    square, ffns = width * width, 2 * width * ffn
    deformable = 2 * square + 3 * heads * levels * points * width
    return 6 * (deformable + ffns) + 6 * (8 * square + deformable + ffns)


def flops(call: Callable[[], object]) -> int:
    """FLOPs of one call."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        call()
    return int(counter.get_total_flops())


@torch.inference_mode()
def rate(network: LinearPose, batch: int = 4, repeats: int = 2) -> float:
    """Pictures of 128 x 128 per second of one thread's time, the best of some passes."""
    x = torch.randn(batch, 3, SIZE, SIZE).contiguous(memory_format=torch.channels_last)
    network = network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network(x)
    seconds = []
    for _ in range(repeats):
        start = time.thread_time()
        network(x)
        seconds.append(time.thread_time() - start)
    return batch / min(seconds)


def parameter_table() -> str:
    """Markdown: a row per width."""
    lines = [
        "| width | described layers, weights | transformer, all parameters | at most 5 M |",
        "|---:|---:|---:|---|",
    ]
    for width in WIDTHS:
        whole = LinearPose(Shape(width=width)).transformer_parameters()
        fits = "yes" if whole <= 5_000_000 else "no"
        lines.append(f"| {width} | {linear_parameters(width):,} | {whole:,} | {fits} |")
    for ffn in (1024, 2048):
        count = deformable_parameters(ffn=ffn)
        lines.append(f"| 256, deformable, FFN of {ffn} | {count:,} | | no |")
    return "\n".join(lines)


def backbone_table() -> str:
    """Markdown: a row per backbone at width 160."""
    lines = [
        "| backbone | parameters | MFLOP backbone | MFLOP encoder | MFLOP decoder | images/s |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    x = torch.randn(1, 3, SIZE, SIZE)
    for name in _BACKBONES:
        network = LinearPose(Shape(backbone=name)).eval()
        with torch.no_grad():
            features = network.backbone(x)
            memory = network.encoder(features)
        parts = (
            flops(lambda n=network: n.backbone(x)),  # type: ignore[misc]
            flops(lambda n=network, f=features: n.encoder(f)),  # type: ignore[misc]
            flops(lambda n=network, m=memory: n.decoder(m)),  # type: ignore[misc]
        )
        count = sum(p.numel() for p in network.backbone.parameters())
        cells = " | ".join(f"{part / 1e6:,.0f}" for part in parts)
        lines.append(f"| {name} | {count:,} | {cells} | {rate(network):.1f} |")
    return "\n".join(lines)


def attention_flops(tokens: int, width: int = 160, heads: int = 4) -> tuple[int, int]:
    """FLOPs of the linear and of the explicit form on so many tokens, without projections."""
    parts: list[Tensor] = [torch.rand(1, heads, tokens, width // heads) for _ in range(3)]
    return (
        flops(lambda: linear_attention(*parts)),
        flops(lambda: explicit_attention(*parts)),
    )


def main(arguments: list[str]) -> int:
    """Print the tables, measured on one thread."""
    parser = Parser(prog="python -m distill pose figures", description=__doc__)
    parser.parse_args(arguments)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        print(parameter_table(), end="\n\n")
        print(backbone_table(), end="\n\n")
        for tokens in (256, 1344):
            linear, explicit = attention_flops(tokens)
            print(f"{tokens} tokens: {linear / 1e6:.1f} MFLOP, explicit {explicit / 1e6:.1f}")
    finally:
        torch.set_num_threads(threads)
    return 0
