"""The vendor SDK's build of a generated project; needs the SDK and its compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from evalkit.camera import Camera
from evalkit.kit import Kit
from synthesize import checkpoint, emit
from synthesize.compiler import compile_network
from tests.live_board import live_firmware, paces, same_people, scenes, shipped, watch

pytest.importorskip("unicorn", reason="the kit extra is not installed")

SDK = os.environ.get("MAXIM_PATH", "")


@pytest.mark.long
@pytest.mark.skipif(
    not SDK or not shutil.which("arm-none-eabi-gcc"),
    reason="the vendor SDK is not here (set MAXIM_PATH, put arm-none-eabi-gcc on the path)",
)
@pytest.mark.parametrize("board", ["FTHR_RevA", "EvKit_V1"])
def test_known_answer_with_the_vendor_sdk(shared_dir: Path, tmp_path: Path, board: str) -> None:
    case = shared_dir / "golden" / "cifar-10"
    sample = np.load(case / "input.npy")
    compiled = compile_network(
        checkpoint.load(case / "checkpoint.npz"), case / "network.yaml", sample.shape
    )
    project = emit.write_project(
        compiled.program, sample, compiled.known_answer(sample), tmp_path / "project"
    )
    command = ["make", "-C", str(project / "sdk"), f"MAXIM_PATH={SDK}", f"BOARD={board}"]
    subprocess.run(command, check=True, capture_output=True)
    kit = Kit(project / "sdk" / "build" / "max78000.elf")
    kit.run_until()
    assert "PASS" in kit.uart_text()


@pytest.mark.long
@pytest.mark.skipif(
    not SDK or not shutil.which("arm-none-eabi-gcc"),
    reason="the vendor SDK is not here (set MAXIM_PATH, put arm-none-eabi-gcc on the path)",
)
def test_live_pose_with_the_vendor_sdk(tmp_path: Path) -> None:
    """The vendor's camera driver, 20 pictures a second or more, the Python pipeline's skeletons."""
    camera = Camera(scenes(4))
    project = live_firmware(tmp_path).parent
    command = ["make", "-C", str(project / "sdk"), f"MAXIM_PATH={SDK}", "BAUD=921600"]
    subprocess.run(command, check=True, capture_output=True)
    kit = Kit(project / "sdk" / "build" / "max78000.elf", camera=camera)
    same_people(shipped(), camera, watch(kit, 4))
    assert max(pace.period for pace in paces(kit)) < 50_000
