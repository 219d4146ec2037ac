"""Students whose batch norms have seen data, and input for them."""

from __future__ import annotations

import torch

from ai8x_models.students import Student


def warmed_student(seed: int = 0) -> Student:
    """A random student whose batch norms have seen data and have uneven parameters."""
    torch.manual_seed(seed)
    student = Student("seed")
    for _, layer in student.layers():
        if layer.bn is not None:
            torch.nn.init.uniform_(layer.bn.weight, 0.5, 2.0)
            torch.nn.init.uniform_(layer.bn.bias, -0.5, 1.0)
        else:
            torch.nn.init.uniform_(layer.op.bias, -0.2, 0.2)
    student.train()
    with torch.no_grad():
        for _ in range(5):
            student(pixels(4))
    return student.eval()


def pixels(count: int, size: int = 64) -> torch.Tensor:
    """Random network input, multiples of 1/128."""
    return torch.randint(-128, 128, (count, 3, size, size)).float() / 128
