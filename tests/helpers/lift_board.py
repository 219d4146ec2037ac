"""What the board that lifts people to three dimensions should answer, by other means."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import torch

from distill.tasks.lift.fixed import millimetres, view_bytes
from distill.tasks.lift.student import load_lifter
from synthesize.compiler import Compiled, compile_network
from synthesize.graph import reference
from synthesize.read import checkpoint
from synthesize.report.table import output_units
from tests.helpers.live_board import expected_from_chw
from tests.helpers.places import REPOSITORY

POSE, LIFTER = (
    REPOSITORY / "ai8x_models" / "checkpoints" / f"{name}-q.pth.tar" for name in ("native", "lift")
)
PEOPLE = REPOSITORY / "docs" / "images" / "people.png"


@dataclass
class Pipeline:
    """The shipped networks, compiled, and what they make of a picture."""

    pose: Compiled
    lifter: Compiled

    def answer(self, image: np.ndarray) -> tuple[bytes, bytes]:
        """The people of the poses frame and of the poses3d frame."""
        chw = (image.astype(np.int16) - 128).astype(np.int8).transpose(2, 0, 1)
        payload = expected_from_chw(self.pose, chw)
        lifted = b""
        for index in range(len(payload) // 112):
            points = np.array(struct.unpack_from("<" + 18 * "hhH", payload, 112 * index + 4))
            made = view_bytes(points.reshape(18, 3))
            if made is not None:
                joints = self._lift(made[0])
                lifted += struct.pack("<HH", index, made[1]) + joints.astype("<i2").tobytes()
        return payload, lifted

    def _lift(self, view: np.ndarray) -> np.ndarray:
        (out,) = reference.run(self.lifter.described, view.reshape(32, 1, 1)).values()
        (unit,) = output_units(self.lifter).values()
        student = load_lifter(LIFTER)
        torch_out = student.maps(torch.from_numpy(view.reshape(1, 32, 1, 1)).float())[0]
        np.testing.assert_array_equal(torch_out.detach().numpy().reshape(-1) * 2**unit, out.flat)
        return millimetres(out, unit)


def lifting_pipeline() -> Pipeline:
    """Of the shipped students."""
    return Pipeline(*(compile_network(checkpoint.load(path)) for path in (POSE, LIFTER)))
