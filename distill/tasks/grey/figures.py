"""Parameters, multiplications and speed of the detectors and of the chip student, as a table."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

from ai8x_models.students import Student
from common.arguments import Parser, real, whole
from distill.tasks.grey.detectors import Detector, multiplications, parameters
from distill.tasks.grey.recipe import DETECTORS
from distill.tasks.grey.student import grey_student


@torch.no_grad()
def rate(network: nn.Module, x: Tensor, seconds: float) -> float:
    """Pictures per second of processor time of this process, inference."""
    network.eval()
    network(x)
    count, start = 0, time.process_time()
    while (taken := time.process_time() - start) < seconds:
        network(x)
        count += len(x)
    return count / taken


def networks(keypoints: int, size: int) -> dict[str, nn.Module]:
    """By name, every network of the task."""
    found: dict[str, nn.Module] = {name: Detector(name, keypoints, size) for name in DETECTORS}
    found["chip student"] = Student(grey_student(keypoints, size))
    return found


def main(arguments: list[str]) -> int:
    """Print the table; parts of the detectors have rows of their own."""
    parser = Parser(prog="python -m distill grey figures")
    parser.add_argument("--keypoints", type=whole(), choices=(13, 17), default=13)
    parser.add_argument(
        "--size", type=whole(16, 1024), default=64, help="side of the picture (%(default)s)"
    )
    parser.add_argument("--batch", type=whole(), default=16, help="pictures at once (%(default)s)")
    parser.add_argument(
        "--seconds", type=real(above=0), default=2.0, help="per network (%(default)s)"
    )
    options = parser.parse_args(arguments)
    x = torch.rand(options.batch, 1, options.size, options.size) * 2 - 1
    print("| network | parameters | MMAC | pictures/s of processor time |")
    print("|---|---:|---:|---:|")
    for name, network in networks(options.keypoints, options.size).items():
        macs = multiplications(network, x[:1]) / 1e6
        speed = rate(network, x, options.seconds)
        print(f"| {name} | {parameters(network):,} | {macs:.1f} | {speed:.0f} |")
        if isinstance(network, Detector):
            for part, module in network.named_children():
                print(f"| {name}: {part} | {parameters(module):,} | | |")
    return 0
